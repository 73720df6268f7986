/*
 * key_show.c: what others are told of the signing keys: the public ones
 * anybody (auth.jwks), the secret one an operator, for a verifier of his own.
 */
#include "keys/keys.h"

static AsStatement select_public = AS_STATEMENT(
    "SELECT jsonb_build_object('keys', COALESCE(jsonb_agg(public_jwk"
    "         ORDER BY state = 'active' DESC, activated_at DESC NULLS LAST,"
    "                  kid), '[]'::jsonb))"
    "  FROM auth_private.signing_keys"
    " WHERE public_jwk IS NOT NULL AND state <> 'retired'"
    "   AND (state <> 'retiring' OR verifies_until > $1)");

static void read_jsonb(const AsRow *row, void *into);

Jsonb *
as_signing_key_public_set(void)
{
	AsArgs args = {0};
	Jsonb *set = NULL;

	as_arg_time(&args, GetCurrentTimestamp());
	(void) as_store_run(&select_public, AS_READ, &args, read_jsonb, &set);
	return set;
}

char *
as_signing_key_secret_jwk(void)
{
	const AsSigningKey *active = as_key_ring_active();
	char encoded[AS_BASE64URL_ROOM(AS_SECRET_MAX)];
	uint8 secret[AS_SECRET_MAX];
	size_t length;
	char *jwk;

	if (active == NULL)
	{
		as_signing_key_ensure();
		active = as_key_ring_active();
	}
	if (active == NULL || !as_algorithm_is_hmac(active->algorithm))
		return NULL;
	if (active->opened != AS_SEAL_OPENED)
		as_sealed_fail(active->opened);
	length = as_key_private(active->key, secret, sizeof(secret));
	(void) as_secret_base64url_encode(secret, length, encoded);
	as_wipe(secret, sizeof(secret));
	jwk = psprintf("{\"kty\":\"oct\",\"kid\":\"%s\",\"alg\":\"%s\","
	               "\"use\":\"sig\",\"k\":\"%s\"}",
	               active->kid, as_algorithm_name(active->algorithm), encoded);
	as_wipe(encoded, sizeof(encoded));
	return jwk;
}

static void
read_jsonb(const AsRow *row, void *into)
{
	*(Jsonb **) into = as_row_jsonb(row, 1);
}
