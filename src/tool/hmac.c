/*
 * hmac.c: OpenSSL's HMAC, set up once for a key and rewound for each message.
 *
 * Setting one up costs more than using it. Without a key OpenSSL rewinds to the
 * one that it has, but before 3.0.3 (that of Ubuntu 22.04) it went on where the
 * last message ended, and said that all was well: a MAC that nobody else gets.
 * There the key is set again, which every version takes. Which one runs is asked
 * at run time: the library that is linked may be replaced by a newer one.
 */
#include "tool/tool.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

/* OpenSSL 3.0.3, as OpenSSL_version_num has it. */
#define REWINDS_SINCE 0x30000030L

AsHmac *
as_hmac_new(const char *digest, const void *key, size_t key_length)
{
	OSSL_PARAM params[2];
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	AsHmac *context = hmac == NULL ? NULL : EVP_MAC_CTX_new(hmac);

	EVP_MAC_free(hmac);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
	                                             (char *) digest, 0);
	params[1] = OSSL_PARAM_construct_end();
	if (context != NULL && EVP_MAC_init(context, key, key_length, params) == 1)
		return context;
	EVP_MAC_CTX_free(context);
	ERR_clear_error();
	return NULL;
}

static int
rewind_to(AsHmac *context, const void *key, size_t key_length)
{
	return OpenSSL_version_num() >= REWINDS_SINCE
	           ? EVP_MAC_init(context, NULL, 0, NULL)
	           : EVP_MAC_init(context, key, key_length, NULL);
}

size_t
as_hmac(AsHmac *context, const void *key, size_t key_length, const void *data,
        size_t length, uint8_t *out, size_t room)
{
	size_t written = 0;

	if (rewind_to(context, key, key_length) == 1 &&
	    EVP_MAC_update(context, data, length) == 1 &&
	    EVP_MAC_final(context, out, &written, room) == 1)
		return written;
	ERR_clear_error();
	return 0;
}

void
as_hmac_free(AsHmac *context)
{
	/* OpenSSL zeroes what it had of the key. */
	EVP_MAC_CTX_free(context);
}
