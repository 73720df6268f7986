/*
 * attacks.c: the attacks on token libraries that have to be computed, each an
 * assertion of its own name (the checklist's section 4.2 and F rows). Every
 * one starts from a token that is good, or it would prove nothing.
 */
#include "check.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAYLOAD "{\"sub\":\"1234567890\",\"exp\":4102444800}"

/* A good token, taken apart so that one part can be replaced. */
typedef struct Victim
{
	AsKey *key;
	char signed_part[4096]; /* header.payload */
	uint8_t signature[AS_SIGNATURE_MAX];
	size_t signature_length;
} Victim;

static void
victim_make(Victim *victim, AsAlgorithm algorithm)
{
	char header[64];
	const char *token;
	const char *dot;
	size_t length;

	victim->key = as_key_generate(algorithm);
	snprintf(header, sizeof(header), "{\"alg\":\"%s\"}",
	         as_algorithm_name(algorithm));
	token = token_make(victim->key, header, PAYLOAD, strlen(PAYLOAD));
	dot = strrchr(token, '.');
	length = (size_t) (dot - token);
	memcpy(victim->signed_part, token, length);
	victim->signed_part[length] = '\0';
	if (!as_base64url_decode(dot + 1, strlen(dot + 1), victim->signature,
	                         sizeof(victim->signature),
	                         &victim->signature_length))
		victim->signature_length = 0;
}

/* Whether the victim's token with another signature is good. */
static bool
good_with(const Victim *victim, const uint8_t *signature, size_t length)
{
	char *token =
	    malloc(strlen(victim->signed_part) + AS_BASE64URL_ROOM(length) + 2);
	size_t n = strlen(victim->signed_part);
	bool good;

	memcpy(token, victim->signed_part, n);
	token[n++] = '.';
	n += as_base64url_encode(signature, length, token + n);
	good = token_is_good(victim->key, token, n);
	free(token);
	return good;
}

static bool
good_with_text(const Victim *victim, const char *signature)
{
	size_t length = strlen(victim->signed_part) + strlen(signature) + 2;
	char *token = malloc(length);
	bool good;

	snprintf(token, length, "%s.%s", victim->signed_part, signature);
	good = token_is_good(victim->key, token, strlen(token));
	free(token);
	return good;
}

/* F18, GHSA-869p-cjfg-cm3x: an HMAC that is compared in part or not at all. */
static void
check_bit_flips(AsAlgorithm algorithm)
{
	Victim victim;
	int survived = 0;

	victim_make(&victim, algorithm);
	check(good_with(&victim, victim.signature, victim.signature_length),
	      "%s: the token that the flips start from is good",
	      as_algorithm_name(algorithm));
	for (size_t bit = 0; bit < victim.signature_length * 8; bit++)
	{
		victim.signature[bit / 8] ^= (uint8_t) (1 << bit % 8);
		if (good_with(&victim, victim.signature, victim.signature_length))
			survived++;
		victim.signature[bit / 8] ^= (uint8_t) (1 << bit % 8);
	}
	check(survived == 0,
	      "F18: %s: every single flipped bit of the signature is refused",
	      as_algorithm_name(algorithm));
	check(!good_with(&victim, victim.signature, victim.signature_length - 1) &&
	          !good_with(&victim, victim.signature, 1),
	      "GHSA-869p-cjfg-cm3x: %s: a cut signature is refused",
	      as_algorithm_name(algorithm));
	check(!good_with_text(&victim, ""), "F7: %s: an empty signature is refused",
	      as_algorithm_name(algorithm));
	as_key_free(victim.key);
}

/* Base64url has one spelling only (python-jose #403, F7, F19). */
static void
check_encoding_twins(void)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	Victim victim;
	char text[AS_BASE64URL_ROOM(AS_SIGNATURE_MAX) + 8];
	size_t length;
	const char *last;

	victim_make(&victim, AS_HS256);
	length =
	    as_base64url_encode(victim.signature, victim.signature_length, text);
	check(good_with_text(&victim, text),
	      "the token that the twins start from is good");

	/* 43 characters carry 258 bits: the last two are unused. */
	last = strchr(alphabet, text[length - 1]);
	text[length - 1] = alphabet[(last - alphabet) ^ 1];
	check(!good_with_text(&victim, text),
	      "F19: base64url malleability: set trailing bits are refused");
	text[length - 1] = *last;
	memcpy(text + length, "=", 2);
	check(!good_with_text(&victim, text), "F7: padding is refused");
	memcpy(text + length, " ", 2);
	check(!good_with_text(&victim, text), "F7: white space behind is refused");
	memcpy(text + length, "\n", 2);
	check(!good_with_text(&victim, text), "F7: a line end behind is refused");
	text[length] = '\0';
	memmove(text + 1, text, length + 1);
	text[0] = ' ';
	check(!good_with_text(&victim, text), "F7: white space before is refused");
	memmove(text, text + 1, length + 1);
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '-' || text[i] == '_')
			text[i] = text[i] == '-' ? '+' : '/';
	}
	if (strpbrk(text, "+/") == NULL)
		text[0] = '+';
	check(!good_with_text(&victim, text),
	      "F7: the alphabet of base64 is refused");
	as_key_free(victim.key);
}

static void
check_es256(void)
{
	static const uint8_t order[32] = {
	    0xFF, 0xFF, 0xFF, 0xFF, 0x00, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xFF,
	    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xBC, 0xE6, 0xFA, 0xAD, 0xA7, 0x17,
	    0x9E, 0x84, 0xF3, 0xB9, 0xCA, 0xC2, 0xFC, 0x63, 0x25, 0x51};
	Victim victim;
	uint8_t forged[65] = {0};
	uint8_t *der = NULL;
	uint8_t *huge;
	int der_length;
	ECDSA_SIG *signature;

	victim_make(&victim, AS_ES256);
	check(good_with(&victim, victim.signature, 64),
	      "ES256: the victim is good");
	check(!good_with(&victim, forged, 64),
	      "F10: psychic signature (CVE-2022-21449): r = s = 0 is refused");
	memcpy(forged, victim.signature, 32);
	check(!good_with(&victim, forged, 64), "F10: s = 0 is refused");
	memset(forged, 0, 32);
	memcpy(forged + 32, victim.signature + 32, 32);
	check(!good_with(&victim, forged, 64), "F10: r = 0 is refused");
	memcpy(forged, order, 32);
	memcpy(forged + 32, order, 32);
	check(!good_with(&victim, forged, 64), "F10: r = s = n is refused");
	memcpy(forged, victim.signature, 64);
	check(!good_with(&victim, forged, 65), "F10: 65 octets are refused");
	check(!good_with(&victim, forged, 63), "F10: 63 octets are refused");

	signature = ECDSA_SIG_new();
	ECDSA_SIG_set0(signature, BN_bin2bn(victim.signature, 32, NULL),
	               BN_bin2bn(victim.signature + 32, 32, NULL));
	der_length = i2d_ECDSA_SIG(signature, &der);
	check(!good_with(&victim, der, (size_t) der_length),
	      "F10: the same signature in DER is refused");
	OPENSSL_free(der);
	ECDSA_SIG_free(signature);

	/* 21,830 characters of base64url: the overflow in a C verifier. */
	huge = calloc(1, 16384);
	memset(huge, 0xFF, 16384);
	check(!good_with(&victim, huge, 16372),
	      "F10: raw to DER overflow: a signature of 21,830 characters is "
	      "refused");
	check(!good_with(&victim, huge, 8192),
	      "F10: raw to DER overflow: a long signature that the size bound lets "
	      "through "
	      "is refused");
	free(huge);

	/*
	 * (r, n - s) verifies as well: ECDSA has it so. State is keyed by session
	 * and jti and never by a token's text, which is why it does no harm.
	 */
	{
		uint8_t twin[64];
		BIGNUM *n = BN_bin2bn(order, 32, NULL);
		BIGNUM *s = BN_bin2bn(victim.signature + 32, 32, NULL);

		memcpy(twin, victim.signature, 32);
		BN_sub(s, n, s);
		BN_bn2binpad(s, twin + 32, 32);
		check(good_with(&victim, twin, 64),
		      "F19: ECDSA malleability: the (r, n - s) twin is the same token, "
		      "not "
		      "another one");
		BN_free(n);
		BN_free(s);
	}
	as_key_free(victim.key);
}

/* RFC 8032 section 5.1.7: S is less than L. */
static void
check_eddsa(void)
{
	static const uint8_t l[32] = {
	    0xED, 0xD3, 0xF5, 0x5C, 0x1A, 0x63, 0x12, 0x58, 0xD6, 0x9C, 0xF7,
	    0xA2, 0xDE, 0xF9, 0xDE, 0x14, 0,    0,    0,    0,    0,    0,
	    0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
	Victim victim;
	uint8_t forged[64];
	unsigned carry = 0;

	victim_make(&victim, AS_EDDSA);
	memcpy(forged, victim.signature, 64);
	check(good_with(&victim, forged, 64), "EdDSA: the victim is good");
	for (int i = 0; i < 32; i++)
	{
		carry += forged[32 + i] + l[i];
		forged[32 + i] = (uint8_t) carry;
		carry >>= 8;
	}
	check(!good_with(&victim, forged, 64), "F11: EdDSA S + L is refused");
	memset(forged, 0, sizeof(forged));
	check(!good_with(&victim, forged, 64),
	      "F11: an EdDSA signature of zeros is refused");
	forged[0] = 1;
	check(!good_with(&victim, forged, 64),
	      "F11: the neutral point with S = 0 is refused");
	check(!good_with(&victim, victim.signature, 63) &&
	          !good_with(&victim, victim.signature, 32),
	      "F11: an EdDSA signature that isn't 64 octets is refused");
	as_key_free(victim.key);
}

/* PS256 with an RS256 key: the padding is the algorithm's. */
static void
check_rsa_padding(void)
{
	Victim victim;
	uint8_t der[AS_PRIVATE_MAX];
	const uint8_t *at = der;
	size_t length;
	EVP_PKEY *pkey;
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *padding;
	uint8_t pss[AS_SIGNATURE_MAX];
	size_t pss_length = sizeof(pss);

	victim_make(&victim, AS_RS256);
	check(good_with(&victim, victim.signature, victim.signature_length),
	      "RS256: the victim is good");
	length = as_key_private(victim.key, der, sizeof(der));
	pkey = d2i_AutoPrivateKey(NULL, &at, (long) length);
	EVP_DigestSignInit(context, &padding, EVP_sha256(), NULL, pkey);
	EVP_PKEY_CTX_set_rsa_padding(padding, RSA_PKCS1_PSS_PADDING);
	EVP_DigestSign(context, pss, &pss_length,
	               (const uint8_t *) victim.signed_part,
	               strlen(victim.signed_part));
	check(
	    pss_length == victim.signature_length &&
	        !good_with(&victim, pss, pss_length),
	    "PS/RS padding swap: a PSS signature under an RS256 header is refused");
	EVP_PKEY_free(pkey);
	EVP_MD_CTX_free(context);
	as_key_free(victim.key);
}

/* F3: RS/HS confusion, CVE-2022-29217, CVE-2023-48223, CVE-2026-34950. */
static void
check_confusion(AsAlgorithm algorithm)
{
	const char *name = as_algorithm_name(algorithm);
	AsKey *key = as_key_generate(algorithm);
	char jwk[AS_PUBLIC_JWK_MAX];
	uint8_t der[AS_PRIVATE_MAX];
	const uint8_t *at = der;
	size_t length;
	EVP_PKEY *pkey;
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;
	char *text;
	long pem_length;

	length = as_key_private(key, der, sizeof(der));
	pkey = d2i_AutoPrivateKey(NULL, &at, (long) length);
	PEM_write_bio_PUBKEY(bio, pkey);
	pem_length = BIO_get_mem_data(bio, &pem);
	text = malloc((size_t) pem_length + 16);

	memcpy(text, pem, (size_t) pem_length);
	check(as_key_text_is_key(text, (size_t) pem_length),
	      "F3: %s public key in PEM is no HMAC secret", name);
	text[0] = ' ';
	memcpy(text + 1, pem, (size_t) pem_length);
	check(as_key_text_is_key(text, (size_t) pem_length + 1),
	      "F3: CVE-2026-34950: %s PEM behind one space is no HMAC secret",
	      name);
	memcpy(text, "\n\t\r\n", 4);
	memcpy(text + 4, pem, (size_t) pem_length);
	check(as_key_text_is_key(text, (size_t) pem_length + 4),
	      "F3: %s PEM behind line ends is no HMAC secret", name);
	memcpy(text, "\xEF\xBB\xBF", 3);
	memcpy(text + 3, pem, (size_t) pem_length);
	check(as_key_text_is_key(text, (size_t) pem_length + 3),
	      "F3: %s PEM behind a byte order mark is no HMAC secret", name);
	check(as_key_from_pem(pem, (size_t) pem_length, AS_HS256) == NULL,
	      "F3: %s PEM makes no HS256 key", name);

	length = as_key_public_jwk(key, "kid", jwk);
	memcpy(text, "  ", 2);
	check(length > 0 && as_key_text_is_key(jwk, length),
	      "F3: %s public JWK is no HMAC secret", name);
	check(as_key_from_jwk(jwk, length, AS_HS256, NULL) == NULL,
	      "F3: %s JWK makes no HS256 key", name);
	free(text);
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	as_key_free(key);
}

/* CVE-2025-30204, F20: what is large is refused before it is read. */
static void
check_sizes(void)
{
	static char bomb[1000000];
	static char deep[300000];
	AsJwt jwt;
	AsJwtHeader header;
	AsClaims claims;
	char segment[AS_BASE64URL_ROOM(AS_JWT_HEADER_MAX)];
	size_t length;

	memset(bomb, '.', sizeof(bomb));
	check(!as_jwt_split(bomb, sizeof(bomb), AS_JWT_MAX, &jwt),
	      "F20: dots bomb (CVE-2025-30204): a million dots are refused");
	check(!as_jwt_split(bomb, 1000, AS_JWT_MAX, &jwt),
	      "F20: dots bomb: a thousand dots are refused");
	memset(bomb, 'a', sizeof(bomb));
	bomb[10] = bomb[20] = '.';
	check(!as_jwt_split(bomb, sizeof(bomb), AS_JWT_MAX, &jwt),
	      "F20: a token over the bound is refused");

	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	check(!as_claims_read(deep, 100000, &claims),
	      "F20: JSON a hundred thousand levels deep is refused");
	check(!as_claims_read(deep, 4000, &claims),
	      "F20: JSON four thousand levels deep is refused");

	/* {"alg":"HS256","a":[[[...]]]} within the size bound. */
	length = (size_t) snprintf(deep, sizeof(deep), "{\"alg\":\"HS256\",\"a\":");
	memset(deep + length, '[', 1000);
	memset(deep + length + 1000, ']', 1000);
	memcpy(deep + length + 2000, "}", 2);
	jwt.header_length = as_base64url_encode(deep, length + 2001, segment);
	jwt.header = segment;
	check(!as_jwt_header_read(&jwt, &header),
	      "F20: a header a thousand levels deep is refused");
	length =
	    (size_t) snprintf(deep, sizeof(deep), "{\"alg\":\"HS256\",\"kid\":\"");
	memset(deep + length, 'k', 2000);
	memcpy(deep + length + 2000, "\"}", 3);
	jwt.header_length = as_base64url_encode(deep, length + 2002, segment);
	check(!as_jwt_header_read(&jwt, &header),
	      "F5: a kid of two thousand characters is refused");
}

static int
compare_r(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

/*
 * F23: an r that is used twice gives the key away. Two processes that were
 * forked with the key, as backends are, sign the same message.
 */
static void
check_fresh_r(void)
{
	enum
	{
		EACH = 50000
	};
	static uint8_t r[2 * EACH][32];
	AsKey *key = as_key_generate(AS_ES256);
	uint8_t signature[AS_SIGNATURE_MAX];
	size_t got = 0;
	int repeated = 0;
	int ends[2];
	pid_t child;

	(void) as_key_sign(key, "same", 4, signature);
	fflush(stdout);
	if (pipe(ends) != 0 || (child = fork()) < 0)
	{
		check(false, "F23: could not fork");
		return;
	}
	for (int i = 0; i < EACH; i++)
	{
		(void) as_key_sign(key, "same", 4, signature);
		memcpy(r[i], signature, 32);
	}
	if (child == 0)
	{
		const uint8_t *at = r[0];
		size_t left = (size_t) EACH * 32;
		ssize_t written;

		while (left > 0 && (written = write(ends[1], at, left)) > 0)
		{
			at += written;
			left -= (size_t) written;
		}
		_exit(0);
	}
	close(ends[1]);
	for (ssize_t n = 1; n > 0 && got < (size_t) EACH * 32; got += (size_t) n)
	{
		n = read(ends[0], r[EACH] + got, (size_t) EACH * 32 - got);
		if (n < 0)
			n = 0;
	}
	close(ends[0]);
	(void) waitpid(child, NULL, 0);
	qsort(r, 2 * EACH, 32, compare_r);
	for (int i = 1; i < 2 * EACH; i++)
		repeated += memcmp(r[i - 1], r[i], 32) == 0;
	check(got == (size_t) EACH * 32 && repeated == 0,
	      "F23: a hundred thousand ES256 signatures of two forked processes: "
	      "no r occurs twice");
	as_key_free(key);
}

void
check_attacks(void)
{
	check_bit_flips(AS_HS256);
	check_bit_flips(AS_HS384);
	check_bit_flips(AS_HS512);
	check_bit_flips(AS_ES256);
	check_bit_flips(AS_EDDSA);
	check_encoding_twins();
	check_es256();
	check_eddsa();
	check_rsa_padding();
	check_confusion(AS_RS256);
	check_confusion(AS_ES256);
	check_confusion(AS_EDDSA);
	check_sizes();
	check_fresh_r();
}
