/*
 * hmac.c: that each HMAC is of its own message, by whatever OpenSSL. Before
 * 3.0.3 a context that was to be rewound without a key stayed as it was, and
 * that was no failure: the two functions below are such a library's, while it
 * is asked for, since a machine has one.
 */
#define _GNU_SOURCE
#include "check.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

static bool is_old = false;

unsigned long
OpenSSL_version_num(void)
{
	return is_old ? 0x30000020UL : OPENSSL_VERSION_NUMBER;
}

int
EVP_MAC_init(EVP_MAC_CTX *context, const unsigned char *key, size_t length,
             const OSSL_PARAM params[])
{
	int (*theirs)(EVP_MAC_CTX *, const unsigned char *, size_t,
	              const OSSL_PARAM *);

	if (is_old && key == NULL)
		return 1;
	*(void **) &theirs = dlsym(RTLD_NEXT, "EVP_MAC_init");
	return theirs(context, key, length, params);
}

/* Messages of one key, of every length up to two blocks of the hash. */
static int
count_wrong_macs(void)
{
	AsMacKey key;
	uint8_t message[128];
	uint8_t ours[AS_DIGEST_BYTES];
	uint8_t theirs[AS_DIGEST_BYTES];
	int wrong = 0;

	randombytes_buf(&key, sizeof(key));
	randombytes_buf(message, sizeof(message));
	as_mac_forget();
	for (size_t length = 0; length <= sizeof(message); length++)
	{
		as_mac(&key, message, length, ours);
		(void) crypto_auth_hmacsha256(theirs, message, length, key.bytes);
		wrong += memcmp(ours, theirs, sizeof(ours)) != 0;
	}
	as_mac_forget();
	return wrong;
}

/* Tokens of one key, each verified with a key that was never used. */
static int
count_bad_tokens(AsAlgorithm algorithm)
{
	uint8_t secret[64];
	const char *token;
	int bad = 0;
	AsKey *signer;
	AsKey *verifier;

	randombytes_buf(secret, sizeof(secret));
	signer = as_key_from_secret(algorithm, secret, sizeof(secret));
	for (int i = 0; i < 3; i++)
	{
		char header[64];

		verifier = as_key_from_secret(algorithm, secret, sizeof(secret));
		(void) snprintf(header, sizeof(header),
		                "{\"alg\":\"%s\",\"typ\":\"JWT\"}",
		                as_algorithm_name(algorithm));
		token = token_make(signer, header, "{}", 2);
		bad += !token_is_good(verifier, token, strlen(token));
		as_key_free(verifier);
	}
	as_key_free(signer);
	return bad;
}

void
check_hmac(void)
{
	for (int old = 0; old < 2; old++)
	{
		const char *whose = old ? "OpenSSL 3.0.2" : "this OpenSSL";

		is_old = old != 0;
		check(count_wrong_macs() == 0, "each MAC is of its message, by %s",
		      whose);
		check(count_bad_tokens(AS_HS256) + count_bad_tokens(AS_HS384) +
		              count_bad_tokens(AS_HS512) ==
		          0,
		      "each signature is of its token, by %s", whose);
	}
	is_old = false;
}
