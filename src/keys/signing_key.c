/*
 * signing_key.c: the keys that sign access tokens.
 *
 * A token is verified with the key that its kid names, or, where it names
 * none, with each key of its algorithm; the header decides nothing else.
 * Most tokens were made here and begin with the very header segment that
 * their key writes: those characters have been read before, so comparing
 * them is as good as reading them again. And most tokens have been here
 * before (verified.c): then all that is left to ask is whether their key still
 * verifies.
 */
#include "keys/keys.h"

static bool
still_verifies(const AsSigningKey *signing)
{
	return signing->key != NULL &&
	       (signing->verifies_until == AS_NO_TIME ||
	        signing->verifies_until > GetCurrentTimestamp());
}

/* Whether a key that still verifies made the signature. */
static bool
verifies(const AsSigningKey *signing, const AsJwt *jwt)
{
	return still_verifies(signing) && as_jwt_verify(signing->key, jwt);
}

/*
 * The index of the key that made the signature of a token with another header
 * than ours, or -1: reads it.
 */
static int
find_by_header(const AsJwt *jwt, const AsSigningKey *keys, int count)
{
	AsJwtHeader header;

	if (!as_jwt_header_read(jwt, &header) || !header.is_jwt ||
	    header.algorithm == AS_ALGORITHM_NONE)
		return -1;
	for (int i = 0; i < count; i++)
	{
		if (keys[i].algorithm != header.algorithm)
			continue;
		if (header.kid[0] != '\0' && strcmp(header.kid, keys[i].kid) != 0)
			continue;
		if (verifies(&keys[i], jwt))
			return i;
	}
	return -1;
}

/* The index of the key that made the signature, or -1. */
static int
find_signer(const AsJwt *jwt, const AsSigningKey *keys, int count)
{
	for (int i = 0; i < count; i++)
		if (keys[i].header_length == jwt->header_length &&
		    memcmp(keys[i].header, jwt->header, jwt->header_length) == 0)
			return verifies(&keys[i], jwt) ? i : -1;
	return find_by_header(jwt, keys, count);
}

char *
as_signing_key_sign(const char *claims, size_t length)
{
	const AsSigningKey *signing;
	char *utf8;
	char *token;
	size_t room;

	/* Tokens are UTF-8 (RFC 7519 section 7.1). */
	utf8 = as_text_to_utf8(claims, &length);

	signing = as_signing_key_active();
	if (signing->opened != AS_SEAL_OPENED)
		as_sealed_fail(signing->opened);

	room = as_jwt_room(signing->key, signing->header_length, length);
	if (room > AS_JWT_MAX)
	{
		ereport(LOG_SERVER_ONLY,
		        (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
		         errmsg("the claims are too large for an access token"),
		         errhint("Put less into the app data of the account or the "
		                 "result of the claims hook.")));
		as_fail(AS_BUSY, NULL);
	}
	token = palloc(room);
	if (as_jwt_sign(signing->key, signing->header, signing->header_length, utf8,
	                length, token) == 0)
		elog(ERROR, "could not sign an access token");
	return token;
}

bool
as_signing_key_verify(const char *token, size_t length, AsJwt *jwt)
{
	const AsSigningKey *keys;
	uint64 ring;
	int count;
	int signer;

	if (!as_jwt_split(token, length, AS_JWT_MAX, jwt))
		return false;
	keys = as_key_ring(&count);
	ring = as_key_ring_serial();
	signer = as_verified_recall(token, length, ring);
	if (signer >= 0)
		return still_verifies(&keys[signer]);
	signer = find_signer(jwt, keys, count);
	if (signer < 0)
		return false;
	as_verified_remember(token, length, ring, signer);
	return true;
}
