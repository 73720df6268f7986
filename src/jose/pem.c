/*
 * pem.c: keys in PEM (RFC 7468), and what a text is.
 *
 * A PEM is told by its own label; an encrypted one is refused, nobody is
 * asked for a passphrase. A text that is a key, however it is wrapped, is
 * never an HMAC secret: whoever has a public key could sign with it.
 */
#include "jose/jose.h"

#include <openssl/evp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define PEM_MARK "-----BEGIN"

/*
 * The first key of a PEM text, RFC 7468: by the label, which OpenSSL reads.
 * Blocks that are no key (EC PARAMETERS) are passed over.
 */
static EVP_PKEY *
pkey_from_pem(BIO *bio, bool *is_private)
{
	EVP_PKEY *pkey = NULL;
	bool decided = false;
	char *label;
	char *header;
	uint8_t *data;
	long length;

	while (!decided && PEM_read_bio(bio, &label, &header, &data, &length) == 1)
	{
		const uint8_t *der = data;
		const size_t label_length = strlen(label);

		decided = true;
		*is_private = label_length >= 11 &&
		              strcmp(label + label_length - 11, "PRIVATE KEY") == 0;
		if (header[0] != '\0' || strcmp(label, "ENCRYPTED PRIVATE KEY") == 0)
			pkey = NULL;
		else if (strcmp(label, "PUBLIC KEY") == 0)
			pkey = d2i_PUBKEY(NULL, &der, length);
		else if (strcmp(label, "RSA PUBLIC KEY") == 0)
			pkey = d2i_PublicKey(EVP_PKEY_RSA, NULL, &der, length);
		else if (strcmp(label, "PRIVATE KEY") == 0 ||
		         strcmp(label, "RSA PRIVATE KEY") == 0 ||
		         strcmp(label, "EC PRIVATE KEY") == 0)
			pkey = d2i_AutoPrivateKey(NULL, &der, length);
		else
			decided = false;
		OPENSSL_free(label);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t) length);
	}
	return pkey;
}

/* Where a mark is; length where it is nowhere. */
static size_t
find(const char *text, size_t length, const char *mark)
{
	size_t mark_length = strlen(mark);

	for (size_t i = 0; i + mark_length <= length; i++)
	{
		if (memcmp(text + i, mark, mark_length) == 0)
			return i;
	}
	return length;
}

/*
 * RFC 7468 section 3 lets a line end in CR alone, which OpenSSL knows nothing
 * of: it becomes LF.
 */
static void
mend_line_ends(char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
	{
		if (text[i] == '\r' && (i + 1 == length || text[i + 1] != '\n'))
			text[i] = '\n';
	}
}

static EVP_PKEY *
pkey_from_text(const char *text, size_t length, bool *is_private)
{
	/* OpenSSL wants the mark where a line begins; a space may be before. */
	size_t start = find(text, length, PEM_MARK);
	EVP_PKEY *pkey = NULL;
	char *lines;
	BIO *bio;

	length -= start;
	lines = OPENSSL_malloc(length + 1);
	if (lines == NULL)
		return NULL;
	memcpy(lines, text + start, length);
	mend_line_ends(lines, length);
	bio = BIO_new_mem_buf(lines, (int) length);
	if (bio != NULL)
		pkey = pkey_from_pem(bio, is_private);
	BIO_free(bio);
	OPENSSL_clear_free(lines, length + 1);
	ERR_clear_error();
	return pkey;
}

AsKey *
as_key_from_pem(const char *text, size_t length, AsAlgorithm algorithm)
{
	bool is_private = false;
	EVP_PKEY *pkey;

	if (length > AS_KEY_TEXT_MAX || as_algorithm_is_hmac(algorithm))
		return NULL;
	pkey = pkey_from_text(text, length, &is_private);
	return as_key_proved(as_key_adopt(algorithm, pkey, is_private));
}

/* ---- what a text is ---- */

/* Where it begins after white space and a byte order mark. */
static size_t
start_of(const char *text, size_t length)
{
	size_t i = 0;

	for (;;)
	{
		if (i < length &&
		    (text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r')))
			i++;
		else if (length - i >= 3 && memcmp(text + i, "\xEF\xBB\xBF", 3) == 0)
			i += 3;
		else
			return i;
	}
}

/*
 * PEM: its mark counts wherever it is, a text before it (RFC 7468 section 2
 * allows one) makes no secret of a key. JWK: an object or array that is
 * whole, or names a key type. SSH: its prefix.
 */
bool
as_key_text_is_pem(const char *text, size_t length)
{
	return find(text, length, PEM_MARK) < length;
}

static bool
visit_nothing(const AsJsonMember *member, void *into)
{
	(void) member;
	(void) into;
	return true;
}

bool
as_key_text_is_jwk(const char *text, size_t length)
{
	size_t i = start_of(text, length);

	if (i == length)
		return false;
	if (text[i] == '{')
		return find(text, length, "\"kty\"") < length ||
		       as_json_read_object(text + i, length - i, length, false,
		                           visit_nothing, NULL);
	if (text[i] == '[')
		return find(text, length, "\"kty\"") < length ||
		       as_json_read_array(text + i, length - i, length, visit_nothing,
		                          NULL);
	return false;
}

bool
as_key_text_is_key(const char *text, size_t length)
{
	size_t i = start_of(text, length);

	return as_key_text_is_pem(text, length) ||
	       as_key_text_is_jwk(text, length) ||
	       (length - i >= 4 && memcmp(text + i, "ssh-", 4) == 0) ||
	       (length - i >= 11 && memcmp(text + i, "ecdsa-sha2-", 11) == 0);
}

static bool
has(const char *text, size_t length, const char *mark)
{
	return find(text, length, mark) < length;
}

static AsKeyFault
fault_of_pem(const char *text, size_t length)
{
	bool is_private;
	EVP_PKEY *pkey = pkey_from_text(text, length, &is_private);

	EVP_PKEY_free(pkey);
	if (pkey != NULL)
		return AS_KEY_FAULT_NONE;
	if (has(text, length, "\\n"))
		return AS_KEY_FAULT_LINE_ENDS;
	if (has(text, length, "ENCRYPTED"))
		return AS_KEY_FAULT_ENCRYPTED;
	if (has(text, length, "CERTIFICATE-----"))
		return AS_KEY_FAULT_CERTIFICATE;
	if (has(text, length, "BEGIN OPENSSH"))
		return AS_KEY_FAULT_SSH;
	return AS_KEY_FAULT_PEM;
}

/* One that doesn't name its algorithm may be a secret. */
static AsKeyFault
fault_of_jwk(const char *text, size_t length)
{
	AsKey *key = as_key_from_jwk(text, length, AS_ALGORITHM_NONE, NULL);

	if (key == NULL)
		key = as_key_from_jwk(text, length, AS_HS256, NULL);
	as_key_free(key);
	return key != NULL ? AS_KEY_FAULT_NONE : AS_KEY_FAULT_JWK;
}

AsKeyFault
as_key_text_fault(const char *text, size_t length)
{
	if (length > AS_KEY_TEXT_MAX)
		return AS_KEY_FAULT_TEXT;
	if (as_key_text_is_pem(text, length))
		return fault_of_pem(text, length);
	if (as_key_text_is_jwk(text, length))
		return fault_of_jwk(text, length);
	return as_key_text_is_key(text, length) ? AS_KEY_FAULT_SSH
	                                        : AS_KEY_FAULT_TEXT;
}
