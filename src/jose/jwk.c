/*
 * jwk.c: keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037).
 *
 * A JWK is read into buffers of the largest size allowed, then judged: a
 * kind it is, with the members of that kind and of no other, each of the
 * length it must have, a private part that signs what the public part
 * verifies. What is written are the public members only.
 */
#include "jose/jose.h"

#include <openssl/evp.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#define COORDINATE_BYTES 32
#define NUMBER_MAX       (AS_RSA_MAX_BITS / 8)
#define NAME_MAX_CHARS   31

/* The members of all kinds that carry a number or bytes. */
typedef enum Part
{
	PART_N,
	PART_E,
	PART_D,
	PART_P,
	PART_Q,
	PART_DP,
	PART_DQ,
	PART_QI,
	PART_X,
	PART_Y,
	PART_K,
	PARTS
} Part;

#define BIT(part) (1u << (part))
#define RSA_CRT \
	(BIT(PART_P) | BIT(PART_Q) | BIT(PART_DP) | BIT(PART_DQ) | BIT(PART_QI))

static const char *const part_names[PARTS] = {"n",  "e",  "d", "p", "q", "dp",
                                              "dq", "qi", "x", "y", "k"};

typedef struct Jwk
{
	char kty[NAME_MAX_CHARS + 1];
	char crv[NAME_MAX_CHARS + 1];
	bool has_alg;
	AsAlgorithm alg;
	char kid[AS_KID_MAX + 1];
	unsigned present; /* BIT(part) of each */
	size_t lengths[PARTS];
	uint8_t parts[PARTS][NUMBER_MAX];
} Jwk;

/* RFC 7517 section 4.3: one of the operations is signing or verifying. */
static bool
visit_operation(const AsJsonMember *member, void *into)
{
	bool *found = into;

	if (member->type != AS_JSON_STRING)
		return false;
	if (strcmp(member->text, "sign") == 0 ||
	    strcmp(member->text, "verify") == 0)
		*found = true;
	return true;
}

static bool
take_name(const AsJsonMember *member, char out[NAME_MAX_CHARS + 1])
{
	if (member->type != AS_JSON_STRING || member->length > NAME_MAX_CHARS)
		return false;
	memcpy(out, member->text, member->length + 1);
	return true;
}

static bool
visit_jwk(const AsJsonMember *member, void *into)
{
	Jwk *jwk = into;
	const char *name = member->name;

	if (strcmp(name, "kty") == 0)
		return take_name(member, jwk->kty);
	if (strcmp(name, "crv") == 0)
		return take_name(member, jwk->crv);
	if (strcmp(name, "alg") == 0)
	{
		jwk->has_alg = true;
		if (member->type == AS_JSON_STRING)
			jwk->alg = as_algorithm_parse(member->text, member->length);
		return jwk->alg != AS_ALGORITHM_NONE;
	}
	if (strcmp(name, "use") == 0)
		return member->type == AS_JSON_STRING &&
		       strcmp(member->text, "sig") == 0;
	if (strcmp(name, "key_ops") == 0)
	{
		bool found = false;

		return member->type == AS_JSON_ARRAY &&
		       as_json_read_array(member->text, member->length, AS_KEY_TEXT_MAX,
		                          visit_operation, &found) &&
		       found;
	}
	if (strcmp(name, "kid") == 0)
	{
		/* It goes into headers as it is. */
		if (member->type != AS_JSON_STRING || member->length == 0 ||
		    member->length > AS_KID_MAX)
			return false;
		for (size_t i = 0; i < member->length; i++)
		{
			char c = member->text[i];

			if (c < ' ' || c > '~' || c == '"' || c == '\\')
				return false;
		}
		memcpy(jwk->kid, member->text, member->length + 1);
		return true;
	}

	/* A set of keys, and RSA of more than two primes, are no key here. */
	if (strcmp(name, "keys") == 0 || strcmp(name, "oth") == 0)
		return false;

	for (int i = 0; i < PARTS; i++)
	{
		if (strcmp(name, part_names[i]) != 0)
			continue;
		if (member->type != AS_JSON_STRING || member->length == 0 ||
		    !as_base64url_decode(member->text, member->length, jwk->parts[i],
		                         NUMBER_MAX, &jwk->lengths[i]))
			return false;
		jwk->present |= BIT(i);
		return true;
	}
	return true;
}

static bool
has_only(const Jwk *jwk, unsigned needed, unsigned allowed)
{
	return (jwk->present & needed) == needed && (jwk->present & ~allowed) == 0;
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM_BLD *builder, bool is_private)
{
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (params == NULL || context == NULL ||
	    EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &pkey,
	                      is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
	                      params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(params);
	return pkey;
}

/*
 * RFC 7518 section 6.3. A private key has its factors: without them it could
 * not be stored as PKCS #8.
 */
static AsKey *
build_rsa(const Jwk *jwk)
{
	static const struct
	{
		Part part;
		const char *name;
	} params[] = {
	    {PART_N, OSSL_PKEY_PARAM_RSA_N},
	    {PART_E, OSSL_PKEY_PARAM_RSA_E},
	    {PART_D, OSSL_PKEY_PARAM_RSA_D},
	    {PART_P, OSSL_PKEY_PARAM_RSA_FACTOR1},
	    {PART_Q, OSSL_PKEY_PARAM_RSA_FACTOR2},
	    {PART_DP, OSSL_PKEY_PARAM_RSA_EXPONENT1},
	    {PART_DQ, OSSL_PKEY_PARAM_RSA_EXPONENT2},
	    {PART_QI, OSSL_PKEY_PARAM_RSA_COEFFICIENT1},
	};
	const int count = (int) (sizeof(params) / sizeof(params[0]));
	const unsigned public_parts = BIT(PART_N) | BIT(PART_E);
	bool is_private = (jwk->present & BIT(PART_D)) != 0;
	BIGNUM *numbers[sizeof(params) / sizeof(params[0])] = {NULL};
	OSSL_PARAM_BLD *builder;
	EVP_PKEY *pkey = NULL;
	bool ok;

	if (!has_only(jwk, public_parts, public_parts | BIT(PART_D) | RSA_CRT) ||
	    jwk->crv[0] != '\0')
		return NULL;
	if ((jwk->present & RSA_CRT) != (is_private ? RSA_CRT : 0))
		return NULL;

	/* RFC 7518 section 2, Base64urlUInt: no octet more than needed. */
	if (jwk->parts[PART_N][0] == 0 || jwk->parts[PART_E][0] == 0)
		return NULL;

	builder = OSSL_PARAM_BLD_new();
	ok = builder != NULL;
	for (int i = 0; ok && i < count; i++)
	{
		Part part = params[i].part;

		if ((jwk->present & BIT(part)) == 0)
			continue;
		numbers[i] =
		    part == PART_N || part == PART_E ? BN_new() : BN_secure_new();
		ok = numbers[i] != NULL &&
		     BN_bin2bn(jwk->parts[part], (int) jwk->lengths[part],
		               numbers[i]) != NULL &&
		     OSSL_PARAM_BLD_push_BN(builder, params[i].name, numbers[i]) == 1;
	}
	if (ok)
		pkey = from_params("RSA", builder, is_private);
	for (int i = 0; i < count; i++)
		BN_clear_free(numbers[i]);
	OSSL_PARAM_BLD_free(builder);
	return as_key_adopt(AS_RS256, pkey, is_private);
}

/* RFC 7518 section 6.2: P-256, every coordinate of its full length. */
static AsKey *
build_ec(const Jwk *jwk)
{
	const unsigned public_parts = BIT(PART_X) | BIT(PART_Y);
	bool is_private = (jwk->present & BIT(PART_D)) != 0;
	uint8_t point[1 + 2 * COORDINATE_BYTES];
	BIGNUM *d = NULL;
	OSSL_PARAM_BLD *builder;
	EVP_PKEY *pkey = NULL;
	bool ok;

	if (!has_only(jwk, public_parts, public_parts | BIT(PART_D)) ||
	    strcmp(jwk->crv, "P-256") != 0 ||
	    jwk->lengths[PART_X] != COORDINATE_BYTES ||
	    jwk->lengths[PART_Y] != COORDINATE_BYTES ||
	    (is_private && jwk->lengths[PART_D] != COORDINATE_BYTES))
		return NULL;

	/* SEC 1 section 2.3.3, uncompressed; OpenSSL refuses it off the curve. */
	point[0] = 0x04;
	memcpy(point + 1, jwk->parts[PART_X], COORDINATE_BYTES);
	memcpy(point + 1 + COORDINATE_BYTES, jwk->parts[PART_Y], COORDINATE_BYTES);
	builder = OSSL_PARAM_BLD_new();
	ok = builder != NULL &&
	     OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
	                                     "prime256v1", 0) == 1 &&
	     OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY,
	                                      point, sizeof(point)) == 1;
	if (ok && is_private)
	{
		d = BN_secure_new();
		ok = d != NULL &&
		     BN_bin2bn(jwk->parts[PART_D], COORDINATE_BYTES, d) != NULL &&
		     OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1;
	}
	if (ok)
		pkey = from_params("EC", builder, is_private);
	BN_clear_free(d);
	OSSL_PARAM_BLD_free(builder);
	return as_key_adopt(AS_ES256, pkey, is_private);
}

/* RFC 8037 section 2. OpenSSL makes x from d: it must be the one given. */
static AsKey *
build_ed25519(const Jwk *jwk)
{
	bool is_private = (jwk->present & BIT(PART_D)) != 0;
	uint8_t x[COORDINATE_BYTES];
	size_t x_length = sizeof(x);
	EVP_PKEY *pkey;

	if (!has_only(jwk, BIT(PART_X), BIT(PART_X) | BIT(PART_D)) ||
	    strcmp(jwk->crv, "Ed25519") != 0 ||
	    jwk->lengths[PART_X] != COORDINATE_BYTES ||
	    (is_private && jwk->lengths[PART_D] != COORDINATE_BYTES))
		return NULL;
	if (!is_private)
		return as_key_adopt(AS_EDDSA,
		                    EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL,
		                                                jwk->parts[PART_X],
		                                                COORDINATE_BYTES),
		                    false);
	pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL,
	                                    jwk->parts[PART_D], COORDINATE_BYTES);
	if (pkey == NULL || EVP_PKEY_get_raw_public_key(pkey, x, &x_length) != 1 ||
	    sodium_memcmp(x, jwk->parts[PART_X], sizeof(x)) != 0)
	{
		EVP_PKEY_free(pkey);
		return NULL;
	}
	return as_key_adopt(AS_EDDSA, pkey, true);
}

static AsKey *
build(const Jwk *jwk, AsAlgorithm wanted)
{
	AsAlgorithm algorithm = wanted;

	/* The key's own word, where it has one, must be the wanted one. */
	if (jwk->has_alg)
	{
		if (wanted != AS_ALGORITHM_NONE && wanted != jwk->alg)
			return NULL;
		algorithm = jwk->alg;
	}
	if (strcmp(jwk->kty, "oct") == 0)
	{
		/* Nothing but "alg" tells what a secret is for. */
		if (!has_only(jwk, BIT(PART_K), BIT(PART_K)) || jwk->crv[0] != '\0')
			return NULL;
		return as_key_from_secret(algorithm, jwk->parts[PART_K],
		                          jwk->lengths[PART_K]);
	}
	if (strcmp(jwk->kty, "RSA") == 0 &&
	    (algorithm == AS_RS256 || algorithm == AS_ALGORITHM_NONE))
		return as_key_proved(build_rsa(jwk));
	if (strcmp(jwk->kty, "EC") == 0 &&
	    (algorithm == AS_ES256 || algorithm == AS_ALGORITHM_NONE))
		return as_key_proved(build_ec(jwk));
	if (strcmp(jwk->kty, "OKP") == 0 &&
	    (algorithm == AS_EDDSA || algorithm == AS_ALGORITHM_NONE))
		return as_key_proved(build_ed25519(jwk));
	return NULL;
}

AsKey *
as_key_from_jwk(const char *text, size_t length, AsAlgorithm algorithm,
                char *kid)
{
	Jwk jwk;
	AsKey *key = NULL;

	memset(&jwk, 0, sizeof(jwk));
	if (as_json_read_object(text, length, AS_KEY_TEXT_MAX, true, visit_jwk,
	                        &jwk))
		key = build(&jwk, algorithm);
	if (kid != NULL)
		memcpy(kid, jwk.kid, sizeof(jwk.kid));
	as_wipe(&jwk, sizeof(jwk));
	ERR_clear_error();
	return key;
}

/* A public number in base64url; padded to a coordinate's length or not. */
static size_t
number_of(const EVP_PKEY *pkey, const char *name, bool padded, char *out)
{
	uint8_t bytes[NUMBER_MAX];
	BIGNUM *number = NULL;
	int length = -1;

	if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 &&
	    BN_num_bytes(number) <= NUMBER_MAX)
		length = BN_bn2binpad(number, bytes,
		                      padded ? COORDINATE_BYTES : BN_num_bytes(number));
	BN_free(number);
	return length < 0 ? 0 : as_base64url_encode(bytes, (size_t) length, out);
}

/*
 * The required public members in the order and form of RFC 7638 section
 * 3.2, which is also where a public JWK begins.
 */
static size_t
write_members(const AsKey *key, char *out, size_t room)
{
	const EVP_PKEY *pkey = as_key_pkey(key);
	char first[AS_BASE64URL_ROOM(NUMBER_MAX)];
	char second[AS_BASE64URL_ROOM(NUMBER_MAX)];
	uint8_t raw[COORDINATE_BYTES];
	size_t raw_length = sizeof(raw);
	int length = -1;

	switch (as_key_algorithm(key))
	{
		case AS_RS256:
			if (number_of(pkey, OSSL_PKEY_PARAM_RSA_E, false, first) > 0 &&
			    number_of(pkey, OSSL_PKEY_PARAM_RSA_N, false, second) > 0)
				length = snprintf(out, room,
				                  "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}",
				                  first, second);
			break;
		case AS_ES256:
			if (number_of(pkey, OSSL_PKEY_PARAM_EC_PUB_X, true, first) > 0 &&
			    number_of(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, true, second) > 0)
				length = snprintf(out, room,
				                  "{\"crv\":\"P-256\",\"kty\":\"EC\","
				                  "\"x\":\"%s\",\"y\":\"%s\"}",
				                  first, second);
			break;
		case AS_EDDSA:
			if (EVP_PKEY_get_raw_public_key(pkey, raw, &raw_length) == 1 &&
			    as_base64url_encode(raw, raw_length, first) > 0)
				length = snprintf(
				    out, room,
				    "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}",
				    first);
			break;
		default:
			break;
	}
	if (length < 0 || (size_t) length >= room)
		return 0;
	return (size_t) length;
}

size_t
as_key_public_jwk(const AsKey *key, const char *kid,
                  char out[AS_PUBLIC_JWK_MAX])
{
	size_t length = write_members(key, out, AS_PUBLIC_JWK_MAX);
	int more;

	if (length == 0)
		return 0;

	/* Over the closing brace. */
	length--;
	more = snprintf(out + length, AS_PUBLIC_JWK_MAX - length,
	                ",\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"}", kid,
	                as_algorithm_name(as_key_algorithm(key)));
	if (more < 0 || (size_t) more >= AS_PUBLIC_JWK_MAX - length)
		return 0;
	return length + (size_t) more;
}

bool
as_key_thumbprint(const AsKey *key, char out[AS_THUMBPRINT_CHARS + 1])
{
	char members[AS_PUBLIC_JWK_MAX];
	char encoded[AS_BASE64URL_ROOM(AS_DIGEST_BYTES)];
	uint8_t digest[AS_DIGEST_BYTES];
	size_t length = write_members(key, members, sizeof(members));

	if (length == 0)
		return false;
	crypto_hash_sha256(digest, (const uint8_t *) members, length);
	as_base64url_encode(digest, sizeof(digest), encoded);
	memcpy(out, encoded, AS_THUMBPRINT_CHARS + 1);
	return true;
}
