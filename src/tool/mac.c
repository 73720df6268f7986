/*
 * mac.c: digests, under a server key and plain.
 *
 * One random key serves all purposes, through libsodium's key derivation:
 * what is learned of one purpose says nothing of another. Both digests are of
 * SHA-256, and are compared in constant time.
 *
 * They are OpenSSL's, which are five times as fast as libsodium's: these are
 * portable C. Contexts are kept, those of HMAC with their keys, since making
 * one costs more than using it: a process has a handful of keys, and drops
 * their contexts with them. Where OpenSSL can't, libsodium has the same answer.
 */
#include "tool/tool.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

/* A key that was used lately, and its context, to be rewound. */
#define KEPT 8

static struct Kept
{
	AsMacKey key;
	AsHmac *context; /* NULL: nothing is kept here */
} kept[KEPT];

static int next_kept = 0;

void
as_mac_key_derive(const uint8_t master[AS_MAC_KEY_BYTES], AsMacPurpose purpose,
                  AsMacKey *out)
{
	static const char context[crypto_kdf_CONTEXTBYTES] = {'a', 'u', 't', 'h',
	                                                      's', 'e', 's', 's'};

	(void) crypto_kdf_derive_from_key(out->bytes, sizeof(out->bytes),
	                                  (uint64_t) purpose, context, master);
}

static void
drop(struct Kept *place)
{
	as_hmac_free(place->context);
	place->context = NULL;
	as_wipe(&place->key, sizeof(place->key));
}

void
as_mac_forget(void)
{
	for (int i = 0; i < KEPT; i++)
		drop(&kept[i]);
}

/* The key's context; NULL where OpenSSL can't make one. */
static AsHmac *
context_of(const AsMacKey *key)
{
	struct Kept *place;

	for (int i = 0; i < KEPT; i++)
		if (kept[i].context != NULL &&
		    as_is_same(kept[i].key.bytes, key->bytes, sizeof(key->bytes)))
			return kept[i].context;
	place = &kept[next_kept];
	next_kept = (next_kept + 1) % KEPT;
	drop(place);
	place->context = as_hmac_new("SHA256", key->bytes, sizeof(key->bytes));
	if (place->context != NULL)
		place->key = *key;
	return place->context;
}

void
as_mac(const AsMacKey *key, const void *data, size_t length,
       uint8_t out[AS_DIGEST_BYTES])
{
	AsHmac *context = context_of(key);

	if (context != NULL &&
	    as_hmac(context, key->bytes, sizeof(key->bytes), data, length, out,
	            AS_DIGEST_BYTES) == AS_DIGEST_BYTES)
		return;
	(void) crypto_auth_hmacsha256(out, data, length, key->bytes);
}

/* A context that hashes, of the first that was asked for on; NULL: none. */
static EVP_MD_CTX *
hasher(void)
{
	static EVP_MD_CTX *context = NULL;
	EVP_MD *sha256;

	if (context != NULL)
		return context;
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	context = EVP_MD_CTX_new();
	if (sha256 == NULL || context == NULL ||
	    EVP_DigestInit_ex2(context, sha256, NULL) != 1)
	{
		EVP_MD_CTX_free(context);
		context = NULL;
	}
	EVP_MD_free(sha256);
	return context;
}

void
as_digest(const void *data, size_t length, AsDigest *out)
{
	EVP_MD_CTX *context = hasher();

	/* Without an algorithm it takes the one that it has. */
	if (context != NULL && EVP_DigestInit_ex2(context, NULL, NULL) == 1 &&
	    EVP_DigestUpdate(context, data, length) == 1 &&
	    EVP_DigestFinal_ex(context, out->bytes, NULL) == 1)
		return;
	ERR_clear_error();
	(void) crypto_hash_sha256(out->bytes, data, length);
}

bool
as_digest_equal(const AsDigest *a, const AsDigest *b)
{
	return as_is_same(a->bytes, b->bytes, sizeof(a->bytes));
}
