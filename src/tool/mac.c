/*
 * mac.c: digests, under a server key and plain.
 *
 * One random key serves all purposes, through libsodium's key derivation:
 * what is learned of one purpose says nothing of another. Both digests are of
 * SHA-256, and are compared in constant time.
 */
#include "tool/tool.h"

#include <sodium.h>

void
as_mac_key_derive(const uint8_t master[AS_MAC_KEY_BYTES], AsMacPurpose purpose,
                  AsMacKey *out)
{
	static const char context[crypto_kdf_CONTEXTBYTES] = {'a', 'u', 't', 'h',
	                                                      's', 'e', 's', 's'};

	(void) crypto_kdf_derive_from_key(out->bytes, sizeof(out->bytes),
	                                  (uint64_t) purpose, context, master);
}

void
as_mac(const AsMacKey *key, const void *data, size_t length,
       uint8_t out[AS_DIGEST_BYTES])
{
	(void) crypto_auth_hmacsha256(out, data, length, key->bytes);
}

void
as_digest(const void *data, size_t length, AsDigest *out)
{
	(void) crypto_hash_sha256(out->bytes, data, length);
}

bool
as_digest_equal(const AsDigest *a, const AsDigest *b)
{
	return sodium_memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}
