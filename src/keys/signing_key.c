/*
 * signing_key.c: the keys that sign access tokens.
 *
 * A token is verified with the key that its kid names, or, where it names
 * none, with each key of its algorithm; the header decides nothing else.
 * Most tokens were made here and begin with the very header segment that
 * their key writes: those characters have been read before, so comparing
 * them is as good as reading them again.
 */
#include "keys/keys.h"

/* Whether a key that still verifies made the signature. */
static bool
verifies(const AsSigningKey *signing, const AsJwt *jwt)
{
	if (signing->key == NULL)
		return false;
	if (signing->verifies_until != AS_NO_TIME &&
	    signing->verifies_until <= GetCurrentTimestamp())
		return false;
	return as_jwt_verify(signing->key, jwt);
}

/* A token with another header than ours: read it. */
static bool
verifies_with_any(const AsJwt *jwt, const AsSigningKey *keys, int count)
{
	AsJwtHeader header;

	if (!as_jwt_header_read(jwt, &header) || !header.is_jwt ||
	    header.algorithm == AS_ALGORITHM_NONE)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (keys[i].algorithm != header.algorithm)
			continue;
		if (header.kid[0] != '\0' && strcmp(header.kid, keys[i].kid) != 0)
			continue;
		if (verifies(&keys[i], jwt))
			return true;
	}
	return false;
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
	int count;
	int i = 0;

	if (!as_jwt_split(token, length, AS_JWT_MAX, jwt))
		return false;
	keys = as_key_ring(&count);
	while (i < count &&
	       (keys[i].header_length != jwt->header_length ||
	        memcmp(keys[i].header, jwt->header, jwt->header_length) != 0))
		i++;
	return i < count ? verifies(&keys[i], jwt)
	                 : verifies_with_any(jwt, keys, count);
}
