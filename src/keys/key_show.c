/*
 * key_show.c: what others are told of the signing keys.
 *
 * The public ones anybody (auth.jwks), the secret one an operator, for a
 * verifier of his own.
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

text *
as_signing_key_secret_jwk(void)
{
	const AsSigningKey *active = as_signing_key_active();
	const char *algorithm = as_algorithm_name(active->algorithm);
	char encoded[AS_BASE64URL_ROOM(AS_SECRET_MAX)];
	uint8 secret[AS_SECRET_MAX];
	size_t length;
	size_t room;
	text *jwk;

	if (!as_algorithm_is_hmac(active->algorithm))
		return NULL;
	if (active->opened != AS_SEAL_OPENED)
		as_sealed_fail(active->opened);

	/* In one piece: growing would leave a part of the secret behind. */
	length = as_key_private(active->key, secret, sizeof(secret));
	room = sizeof(SECRET_JWK) + strlen(active->kid) + strlen(algorithm) +
	       AS_BASE64URL_CHARS(length);
	jwk = palloc(VARHDRSZ + room);
	sodium_bin2base64(encoded, sizeof(encoded), secret, length,
	                  sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	as_wipe(secret, sizeof(secret));
	length = snprintf(VARDATA(jwk), room, SECRET_JWK, active->kid, algorithm,
	                  encoded);
	as_wipe(encoded, sizeof(encoded));
	Assert(length < room);
	SET_VARSIZE(jwk, VARHDRSZ + length);
	return jwk;
}
