/*
 * key.c: a key ready to sign or verify.
 *
 * What OpenSSL has to look up or set up for a key is done once, when the
 * key is made: an HMAC context that only needs to be rewound, a context for
 * signing and one for verifying. A call then allocates next to nothing.
 *
 * RSA and ECDSA sign a digest, Ed25519 the message itself (RFC 8037 section
 * 3.1). ECDSA signatures are r and s side by side in a token and DER in
 * OpenSSL; the length is checked before anything is converted.
 */
#include "jose/jose.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>
#include <string.h>

#define ED25519_POINT     32
#define ED25519_SIGNATURE 64
#define P256_BYTES        32
#define P256_SIGNATURE    (2 * P256_BYTES)
#define SHA256_BYTES      32
#define MAC_MAX           64

struct AsKey
{
	AsAlgorithm algorithm;
	bool is_private;
	size_t signature_length;

	/* HMAC: keyed, to be rewound; and the secret, to be stored. */
	AsHmac *mac;
	size_t secret_length;
	uint8_t *secret;

	/* The others. A context is made when it is first needed. */
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *signer;
	EVP_PKEY_CTX *verifier;
	EVP_MD_CTX *digest;
	EVP_MD *sha256;
	EVP_MD_CTX *ed_signer;
	EVP_MD_CTX *ed_verifier;
};

/* EVP_DigestSignInit and EVP_DigestVerifyInit. */
typedef int (*DigestInit)(EVP_MD_CTX *context, EVP_PKEY_CTX **pkey_context,
                          const EVP_MD *type, ENGINE *engine, EVP_PKEY *pkey);

static const struct
{
	const char *name;
	const char *digest;
	size_t hash_bytes;
} algorithms[] = {
    [AS_ALGORITHM_NONE] = {"", "", 0},    [AS_HS256] = {"HS256", "SHA256", 32},
    [AS_HS384] = {"HS384", "SHA384", 48}, [AS_HS512] = {"HS512", "SHA512", 64},
    [AS_RS256] = {"RS256", "SHA256", 32}, [AS_ES256] = {"ES256", "SHA256", 32},
    [AS_EDDSA] = {"EdDSA", "", 0},
};

static bool
is_name(const char *candidate, const char *name, size_t length)
{
	return strlen(candidate) == length && memcmp(candidate, name, length) == 0;
}

AsAlgorithm
as_algorithm_parse(const char *name, size_t length)
{
	for (int i = AS_HS256; i <= AS_EDDSA; i++)
	{
		if (is_name(algorithms[i].name, name, length))
			return (AsAlgorithm) i;
	}

	/* RFC 9864 section 2.2: EdDSA with the only curve that is spoken here. */
	return is_name("Ed25519", name, length) ? AS_EDDSA : AS_ALGORITHM_NONE;
}

const char *
as_algorithm_name(AsAlgorithm algorithm)
{
	assert(algorithm <= AS_EDDSA);
	return algorithms[algorithm].name;
}

bool
as_algorithm_is_hmac(AsAlgorithm algorithm)
{
	return algorithm == AS_HS256 || algorithm == AS_HS384 ||
	       algorithm == AS_HS512;
}

bool
as_secret_is_strong(AsAlgorithm algorithm, const void *secret, size_t length)
{
	const uint8_t *bytes = secret;
	uint8_t differences = 0;

	if (!as_algorithm_is_hmac(algorithm) ||
	    length < algorithms[algorithm].hash_bytes)
		return false;
	for (size_t i = 1; i < length; i++)
		differences |= bytes[i] ^ bytes[0];
	return differences != 0;
}

AsKey *
as_key_from_secret(AsAlgorithm algorithm, const void *secret, size_t length)
{
	AsKey *key;

	if (!as_algorithm_is_hmac(algorithm) || length == 0 ||
	    length > AS_SECRET_MAX)
		return NULL;
	key = OPENSSL_zalloc(sizeof(AsKey));
	if (key == NULL)
		return NULL;
	key->algorithm = algorithm;
	key->is_private = true;
	key->signature_length = algorithms[algorithm].hash_bytes;

	key->mac = as_hmac_new(algorithms[algorithm].digest, secret, length);
	key->secret = OPENSSL_malloc(length);
	if (key->mac == NULL || key->secret == NULL)
	{
		as_key_free(key);
		return NULL;
	}
	memcpy(key->secret, secret, length);
	key->secret_length = length;
	return key;
}

/* RSA: an odd public exponent from 3 up to 64 bits, so that verifying is cheap. */
static bool
has_sound_exponent(const EVP_PKEY *pkey)
{
	BIGNUM *e = NULL;
	bool ok;

	ok = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
	     BN_is_odd(e) && !BN_is_one(e) && BN_num_bits(e) <= 64;
	BN_free(e);
	return ok;
}

AsKey *
as_key_adopt(AsAlgorithm algorithm, EVP_PKEY *pkey, bool is_private)
{
	AsKey *key = NULL;
	size_t signature_length = 0;
	uint8_t point[ED25519_POINT];
	size_t point_length = sizeof(point);
	char group[64];
	int bits;

	if (pkey == NULL)
		return NULL;
	switch (algorithm)
	{
		case AS_RS256:
			bits = EVP_PKEY_get_bits(pkey);
			if (EVP_PKEY_is_a(pkey, "RSA") && bits >= AS_RSA_MIN_BITS &&
			    bits <= AS_RSA_MAX_BITS && has_sound_exponent(pkey))
				signature_length = (size_t) EVP_PKEY_get_size(pkey);
			break;
		case AS_ES256:
			if (EVP_PKEY_is_a(pkey, "EC") &&
			    EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) ==
			        1 &&
			    strcmp(group, "prime256v1") == 0)
				signature_length = P256_SIGNATURE;
			break;
		case AS_EDDSA:
			/* On the curve, canonical, and of no small order. */
			if (EVP_PKEY_is_a(pkey, "ED25519") &&
			    EVP_PKEY_get_raw_public_key(pkey, point, &point_length) == 1 &&
			    crypto_core_ed25519_is_valid_point(point) == 1)
				signature_length = ED25519_SIGNATURE;
			break;
		default:
			break;
	}
	if (signature_length > 0)
		key = OPENSSL_zalloc(sizeof(AsKey));
	if (key == NULL)
	{
		EVP_PKEY_free(pkey);
		ERR_clear_error();
		return NULL;
	}
	key->algorithm = algorithm;
	key->is_private = is_private;
	key->signature_length = signature_length;
	key->pkey = pkey;
	if (algorithm != AS_EDDSA)
	{
		key->digest = EVP_MD_CTX_new();
		key->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
		if (key->digest == NULL || key->sha256 == NULL)
		{
			as_key_free(key);
			ERR_clear_error();
			return NULL;
		}
	}
	return key;
}

AsKey *
as_key_generate(AsAlgorithm algorithm)
{
	uint8_t secret[MAC_MAX];
	EVP_PKEY *pkey = NULL;
	AsKey *key;

	switch (algorithm)
	{
		case AS_RS256:
			pkey = EVP_RSA_gen(AS_RSA_GENERATE_BITS);
			break;
		case AS_ES256:
			pkey = EVP_EC_gen("P-256");
			break;
		case AS_EDDSA:
			pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
			break;
		default:
			if (!as_algorithm_is_hmac(algorithm))
				return NULL;
			randombytes_buf(secret, algorithms[algorithm].hash_bytes);
			key = as_key_from_secret(algorithm, secret,
			                         algorithms[algorithm].hash_bytes);
			as_wipe(secret, sizeof(secret));
			return key;
	}
	return as_key_adopt(algorithm, pkey, true);
}

size_t
as_key_private(const AsKey *key, void *out, size_t room)
{
	PKCS8_PRIV_KEY_INFO *info;
	uint8_t *der = NULL;
	int length;
	size_t written = 0;

	if (!key->is_private)
		return 0;
	if (key->secret != NULL)
	{
		if (key->secret_length > room)
			return 0;
		memcpy(out, key->secret, key->secret_length);
		return key->secret_length;
	}
	info = EVP_PKEY2PKCS8(key->pkey);
	length = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, &der);
	if (length > 0 && (size_t) length <= room)
	{
		memcpy(out, der, (size_t) length);
		written = (size_t) length;
	}
	if (length > 0)
		OPENSSL_clear_free(der, (size_t) length);
	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	return written;
}

AsKey *
as_key_from_private(AsAlgorithm algorithm, const void *stored, size_t length)
{
	PKCS8_PRIV_KEY_INFO *info;
	const uint8_t *der = stored;
	EVP_PKEY *pkey;

	if (as_algorithm_is_hmac(algorithm))
		return as_key_from_secret(algorithm, stored, length);
	if (length == 0 || length > AS_PRIVATE_MAX)
		return NULL;
	info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &der, (long) length);
	pkey = info == NULL ? NULL : EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	return as_key_adopt(algorithm, pkey, true);
}

void
as_key_free(AsKey *key)
{
	if (key == NULL)
		return;
	as_hmac_free(key->mac);
	if (key->secret != NULL)
		OPENSSL_clear_free(key->secret, key->secret_length);
	EVP_PKEY_CTX_free(key->signer);
	EVP_PKEY_CTX_free(key->verifier);
	EVP_MD_CTX_free(key->digest);
	EVP_MD_CTX_free(key->ed_signer);
	EVP_MD_CTX_free(key->ed_verifier);
	EVP_MD_free(key->sha256);
	EVP_PKEY_free(key->pkey);
	OPENSSL_free(key);
}

AsAlgorithm
as_key_algorithm(const AsKey *key)
{
	return key->algorithm;
}

bool
as_key_is_private(const AsKey *key)
{
	return key->is_private;
}

size_t
as_key_signature_length(const AsKey *key)
{
	return key->signature_length;
}

const EVP_PKEY *
as_key_pkey(const AsKey *key)
{
	return key->pkey;
}

static bool
hash(AsKey *key, const void *data, size_t length, uint8_t out[SHA256_BYTES])
{
	return EVP_DigestInit_ex2(key->digest, key->sha256, NULL) == 1 &&
	       EVP_DigestUpdate(key->digest, data, length) == 1 &&
	       EVP_DigestFinal_ex(key->digest, out, NULL) == 1;
}

/* The key's context for signing or verifying digests; NULL on failure. */
static EVP_PKEY_CTX *
digest_context(AsKey *key, bool for_signing)
{
	EVP_PKEY_CTX **kept = for_signing ? &key->signer : &key->verifier;
	EVP_PKEY_CTX *context;
	int ok;

	if (*kept != NULL)
		return *kept;
	context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	if (context == NULL)
		return NULL;
	ok = for_signing ? EVP_PKEY_sign_init(context)
	                 : EVP_PKEY_verify_init(context);
	if (ok == 1 && key->algorithm == AS_RS256)
		ok = EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING);
	if (ok == 1)
		ok = EVP_PKEY_CTX_set_signature_md(context, key->sha256);
	if (ok != 1)
	{
		EVP_PKEY_CTX_free(context);
		return NULL;
	}
	*kept = context;
	return context;
}

static bool
raw_from_der(const uint8_t *der, size_t length, uint8_t out[P256_SIGNATURE])
{
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long) length);
	bool ok;

	ok = signature != NULL &&
	     BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, P256_BYTES) ==
	         P256_BYTES &&
	     BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + P256_BYTES,
	                  P256_BYTES) == P256_BYTES;
	ECDSA_SIG_free(signature);
	return ok;
}

static size_t
sign_digest(AsKey *key, const void *data, size_t length, uint8_t *out)
{
	EVP_PKEY_CTX *context = digest_context(key, true);
	uint8_t digest[SHA256_BYTES];
	uint8_t signature[AS_SIGNATURE_MAX];
	size_t written = sizeof(signature);

	if (context == NULL || !hash(key, data, length, digest) ||
	    EVP_PKEY_sign(context, signature, &written, digest, sizeof(digest)) !=
	        1)
		return 0;
	if (key->algorithm == AS_ES256)
		return raw_from_der(signature, written, out) ? P256_SIGNATURE : 0;
	memcpy(out, signature, written);
	return written;
}

/*
 * Makes a context ready for the next message. Ed25519 keeps no state from
 * one to the next, and OpenSSL 3.0 takes the same context again; later ones
 * want it initialised each time.
 */
static bool
ed25519_context(EVP_MD_CTX **kept, DigestInit init, EVP_PKEY *pkey)
{
	if (*kept != NULL && OPENSSL_version_major() == 3 &&
	    OPENSSL_version_minor() == 0)
		return true;
	if (*kept == NULL)
		*kept = EVP_MD_CTX_new();
	return *kept != NULL && init(*kept, NULL, NULL, NULL, pkey) == 1;
}

static size_t
sign_ed25519(AsKey *key, const void *data, size_t length, uint8_t *out)
{
	size_t written = ED25519_SIGNATURE;

	if (!ed25519_context(&key->ed_signer, EVP_DigestSignInit, key->pkey) ||
	    EVP_DigestSign(key->ed_signer, out, &written, data, length) != 1)
		return 0;
	return written;
}

size_t
as_key_sign(AsKey *key, const void *data, size_t length, uint8_t *out)
{
	size_t written;

	if (!key->is_private)
		return 0;
	if (key->mac != NULL)
		return as_hmac(key->mac, key->secret, key->secret_length, data, length,
		               out, MAC_MAX);
	if (key->algorithm == AS_EDDSA)
		written = sign_ed25519(key, data, length, out);
	else
		written = sign_digest(key, data, length, out);
	if (written == 0)
		ERR_clear_error();
	return written;
}

/*
 * The DER form, to be freed, of exactly P256_SIGNATURE octets. Zero or
 * negative on failure. That r and s are in [1, n - 1] is checked by
 * OpenSSL; zeros are refused here as well (CVE-2022-21449).
 */
static int
der_from_raw(const uint8_t raw[P256_SIGNATURE], uint8_t **der)
{
	ECDSA_SIG *signature = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, P256_BYTES, NULL);
	BIGNUM *s = BN_bin2bn(raw + P256_BYTES, P256_BYTES, NULL);
	int length = -1;

	if (signature != NULL && r != NULL && s != NULL && !BN_is_zero(r) &&
	    !BN_is_zero(s) && ECDSA_SIG_set0(signature, r, s) == 1)
	{
		/* They are the signature's now. */
		r = NULL;
		s = NULL;
		length = i2d_ECDSA_SIG(signature, der);
	}
	BN_free(r);
	BN_free(s);
	ECDSA_SIG_free(signature);
	return length;
}

static bool
verify_digest(AsKey *key, const void *data, size_t length,
              const uint8_t *signature, size_t signature_length)
{
	EVP_PKEY_CTX *context = digest_context(key, false);
	uint8_t digest[SHA256_BYTES];
	uint8_t *der = NULL;
	int der_length;
	bool ok;

	if (context == NULL || !hash(key, data, length, digest))
		return false;
	if (key->algorithm != AS_ES256)
		return EVP_PKEY_verify(context, signature, signature_length, digest,
		                       sizeof(digest)) == 1;

	der_length = der_from_raw(signature, &der);
	ok = der_length > 0 && EVP_PKEY_verify(context, der, (size_t) der_length,
	                                       digest, sizeof(digest)) == 1;
	OPENSSL_free(der);
	return ok;
}

static bool
verify_ed25519(AsKey *key, const void *data, size_t length,
               const uint8_t *signature)
{
	return ed25519_context(&key->ed_verifier, EVP_DigestVerifyInit,
	                       key->pkey) &&
	       EVP_DigestVerify(key->ed_verifier, signature, ED25519_SIGNATURE,
	                        data, length) == 1;
}

bool
as_key_verify(AsKey *key, const void *data, size_t length,
              const uint8_t *signature, size_t signature_length)
{
	uint8_t expected[MAC_MAX];
	bool ok;

	if (signature_length != key->signature_length)
		return false;
	if (key->mac != NULL)
	{
		ok = as_hmac(key->mac, key->secret, key->secret_length, data, length,
		             expected, sizeof(expected)) == signature_length &&
		     CRYPTO_memcmp(expected, signature, signature_length) == 0;
		as_wipe(expected, sizeof(expected));
		return ok;
	}
	if (key->algorithm == AS_EDDSA)
		ok = verify_ed25519(key, data, length, signature);
	else
		ok = verify_digest(key, data, length, signature, signature_length);
	if (!ok)
		ERR_clear_error();
	return ok;
}

AsKey *
as_key_proved(AsKey *key)
{
	static const char probe[] = "auth_session";
	uint8_t signature[AS_SIGNATURE_MAX];
	size_t length;

	if (key == NULL || !as_key_is_private(key))
		return key;
	length = as_key_sign(key, probe, sizeof(probe), signature);
	if (length > 0 &&
	    as_key_verify(key, probe, sizeof(probe), signature, length))
		return key;
	as_key_free(key);
	return NULL;
}
