/*
 * key_show.c: what others are told of the signing keys.
 *
 * The public ones anybody (auth.jwks), those with a secret an operator, for a
 * verifier of his own such as PostgREST.
 */
#include "keys/keys.h"

#include <sodium.h>

static AsStatement select_public = AS_READS(
    "SELECT jsonb_build_object('keys', COALESCE(jsonb_agg(public_jwk"
    "         ORDER BY state = 'active' DESC, activated_at DESC NULLS LAST,"
    "                  kid), '[]'::jsonb)) AS key_set"
    "  FROM auth_private.signing_keys"
    " WHERE public_jwk IS NOT NULL AND state <> 'retired'"
    "   AND (state <> 'retiring' OR verifies_until > $1)");

static const AsColumn set_columns[] = {
    AS_COLUMN_ONLY("key_set", JSONB),
};
static const AsShape set_shape = AS_SHAPE(Jsonb *, set_columns);

#define SECRET_JWK                                                             \
	"{\"kty\":\"oct\",\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\",\"k\":\"%" \
	"s\"}"

Jsonb *
as_signing_key_public_set(void)
{
	Jsonb *set = NULL;

	(void) as_store_find(&select_public, &set_shape, &set,
	                     AS_ARGS(as_arg_time(GetCurrentTimestamp())));
	return set;
}

/* The JWK of an HMAC key with its secret, in the caller's memory. */
static char *
print_secret_jwk(const AsSigningKey *signing)
{
	const char *algorithm = as_algorithm_name(signing->algorithm);
	char encoded[AS_BASE64URL_ROOM(AS_SECRET_MAX)];
	uint8 secret[AS_SECRET_MAX];
	size_t length;
	size_t room;
	char *jwk;

	if (signing->opened != AS_SEAL_OPENED)
		as_sealed_fail(signing->opened);

	/* In one piece: growing would leave a part of the secret behind. */
	length = as_key_private(signing->key, secret, sizeof(secret));
	room = sizeof(SECRET_JWK) + strlen(signing->kid) + strlen(algorithm) +
	       AS_BASE64URL_CHARS(length);
	jwk = palloc(room);
	sodium_bin2base64(encoded, sizeof(encoded), secret, length,
	                  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	as_wipe(secret, sizeof(secret));
	snprintf(jwk, room, SECRET_JWK, signing->kid, algorithm, encoded);
	as_wipe(encoded, sizeof(encoded));
	return jwk;
}

Jsonb *
as_signing_key_secret_jwk(void)
{
	const AsSigningKey *active = as_signing_key_active();
	Jsonb *jwk;
	char *text;

	if (!as_algorithm_is_hmac(active->algorithm))
		return NULL;
	text = print_secret_jwk(active);
	jwk = as_jsonb_parse(text);
	as_wipe(text, strlen(text));
	return jwk;
}

/* NULL for one that verifies no more, or that nobody could open. */
static char *
print_jwk(const AsSigningKey *signing, TimestampTz now)
{
	char *jwk;

	if (signing->verifies_until != AS_NO_TIME && signing->verifies_until <= now)
		return NULL;
	if (as_algorithm_is_hmac(signing->algorithm))
		return print_secret_jwk(signing);
	jwk = palloc(AS_PUBLIC_JWK_MAX);
	return signing->key != NULL &&
	               as_key_public_jwk(signing->key, signing->kid, jwk) > 0
	           ? jwk
	           : NULL;
}

char *
as_signing_key_set(void)
{
	TimestampTz now = GetCurrentTimestamp();
	const AsSigningKey *keys;
	char **jwks;
	char *set;
	char *end;
	size_t room = sizeof("{\"keys\":[]}");
	int count;

	(void) as_signing_key_active();
	keys = as_key_ring(&count);
	jwks = palloc(count * sizeof(char *));
	for (int i = 0; i < count; i++)
	{
		jwks[i] = print_jwk(&keys[i], now);
		room += jwks[i] == NULL ? 0 : strlen(jwks[i]) + 1;
	}

	/* In one piece, too. */
	set = palloc(room);
	end = stpcpy(set, "{\"keys\":[");
	for (int i = 0; i < count; i++)
	{
		if (jwks[i] == NULL)
			continue;
		if (end[-1] != '[')
			*end++ = ',';
		end = stpcpy(end, jwks[i]);
		as_wipe(jwks[i], strlen(jwks[i]));
	}
	(void) stpcpy(end, "]}");
	return set;
}
