/*
 * key.h: what key.c, jwk.c and pem.c, which read and write keys, share:
 * the OpenSSL key inside. No other file sees it.
 */
#ifndef AS_KEY_H
#define AS_KEY_H

#include "jose.h"

#include <openssl/evp.h>

/*
 * A key around an OpenSSL key, which it takes, also where it refuses it:
 * NULL unless the type, the curve and the size are the algorithm's. Clears
 * the error queue then.
 */
extern AsKey *as_key_adopt(AsAlgorithm algorithm, EVP_PKEY *pkey,
                           bool is_private);

/* The OpenSSL key inside; NULL for HMAC. */
extern const EVP_PKEY *as_key_pkey(const AsKey *key);

/*
 * The key, which it takes; freed, and NULL, where it is private and doesn't
 * sign what its public part verifies.
 */
extern AsKey *as_key_proved(AsKey *key);

#endif /* AS_KEY_H */
