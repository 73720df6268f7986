/*
 * foreign_hash.c: password hashes that other systems made.
 *
 * A scheme is a row of the table below: a picture of its strings, and what
 * computes it. What a string would cost is known before anything is computed:
 * what no server should pay for one sign-in isn't read. Nothing here is a
 * cipher of ours: libxcrypt computes bcrypt and sha512crypt, OpenSSL the rest.
 *
 * The password is the one that our own hashes are made of, in NFC: a system
 * that hashed what was typed agrees with us on all that is NFC already.
 */
#include "tool/tool.h"

#include <crypt.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <sodium.h>
#include <string.h>

/*
 * The ceilings: each is about two seconds of one core, several times what the
 * systems themselves ask for today.
 */
#define BCRYPT_COST_LEAST  4
#define BCRYPT_COST_MOST   15
#define CRYPT_ROUNDS_LEAST 1000
#define CRYPT_ROUNDS_MOST  1000000
#define CRYPT_SALT_MOST    16
#define PBKDF2_BLOCKS_MOST 5000000   /* iterations times blocks of output */
#define SCRYPT_CELLS_MOST  (1 << 21) /* N * r: 128 bytes each, 256 MiB */
#define SCRYPT_STEPS_MOST  (1 << 23) /* N * r * p */
#define SCRYPT_FACTOR_MOST 255       /* r and p */

#define DIGEST_BYTES_LEAST 16
#define DECIMAL_CHARS_MOST 9
#define FIELD_CHARS_MOST   200

/* bcrypt: $2b$10$ + 22 of salt + 31 of digest; sha512crypt's digest. */
#define BCRYPT_CHARS        60
#define BCRYPT_DIGEST_CHARS 31
#define BCRYPT_BYTES        72
#define SHA512CRYPT_CHARS   86

/* What Firebase's AES-256 takes of the derived key, and its IV. */
#define AES_KEY_BYTES 32
#define AES_IV_BYTES  16

/*
 * In a picture %n is a number (iterations, or N), %l the binary logarithm of
 * N, %r and %p numbers, %o the length of the digest, %t a salt that is its own
 * text, %s one in Base64, %e what Firebase puts behind it, %k its signer key,
 * %d the digest in Base64 and %x in hexadecimal. Base64 is of any alphabet,
 * padded or not.
 */
typedef struct Picture
{
	const char *picture;
	AsForeignScheme scheme;
	const char *digest; /* OpenSSL's name of PBKDF2's */
} Picture;

static const Picture pictures[] = {
    /* Django */
    {"pbkdf2_sha256$%n$%t$%d", AS_FOREIGN_PBKDF2, "SHA256"},
    {"scrypt$%n$%t$%r$%p$%d", AS_FOREIGN_SCRYPT, NULL},
    /* PHC; passlib's scrypt, too */
    {"$pbkdf2-sha256$i=%n$%s$%d", AS_FOREIGN_PBKDF2, "SHA256"},
    {"$pbkdf2-sha256$i=%n,l=%o$%s$%d", AS_FOREIGN_PBKDF2, "SHA256"},
    {"$pbkdf2-sha512$i=%n$%s$%d", AS_FOREIGN_PBKDF2, "SHA512"},
    {"$pbkdf2-sha512$i=%n,l=%o$%s$%d", AS_FOREIGN_PBKDF2, "SHA512"},
    {"$scrypt$ln=%l,r=%r,p=%p$%s$%d", AS_FOREIGN_SCRYPT, NULL},
    /* passlib */
    {"$pbkdf2-sha256$%n$%s$%d", AS_FOREIGN_PBKDF2, "SHA256"},
    {"$pbkdf2-sha512$%n$%s$%d", AS_FOREIGN_PBKDF2, "SHA512"},
    /* werkzeug; better-auth's salt:digest, with its parameters before it */
    {"pbkdf2:sha256:%n$%t$%x", AS_FOREIGN_PBKDF2, "SHA256"},
    {"pbkdf2:sha512:%n$%t$%x", AS_FOREIGN_PBKDF2, "SHA512"},
    {"scrypt:%n:%r:%p$%t$%x", AS_FOREIGN_SCRYPT, NULL},
    /* Firebase, as Supabase writes it */
    {"$fbscrypt$v=1,n=%l,r=%r,p=%p,ss=%e,sk=%k$%s$%d", AS_FOREIGN_FIREBASE,
     NULL},
};

/* ---- reading ---- */

static bool
read_number(const char *field, size_t length, uint32_t *out)
{
	uint32_t number = 0;

	if (length == 0 || length > DECIMAL_CHARS_MOST ||
	    (length > 1 && field[0] == '0'))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		if (field[i] < '0' || field[i] > '9')
			return false;
		number = number * 10 + (uint32_t) (field[i] - '0');
	}
	*out = number;
	return true;
}

/* Appends; passlib has . for +, Firebase's export the URL's alphabet. */
static bool
read_base64(const char *field, size_t length, AsForeignBytes *out)
{
	char plain[FIELD_CHARS_MOST];
	size_t count;

	while (length > 0 && field[length - 1] == '=')
		length--;
	if (length > sizeof(plain))
		return false;
	for (size_t i = 0; i < length; i++)
		plain[i] = field[i] == '.' || field[i] == '-' ? '+'
		           : field[i] == '_'                  ? '/'
		                                              : field[i];
	if (sodium_base642bin(out->bytes + out->length,
	                      sizeof(out->bytes) - out->length, plain, length, NULL,
	                      &count, NULL,
	                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
		return false;
	out->length += count;
	return true;
}

static bool
read_hex(const char *field, size_t length, AsForeignBytes *out)
{
	const char *end;

	return length % 2 == 0 &&
	       sodium_hex2bin(out->bytes, sizeof(out->bytes), field, length, NULL,
	                      &out->length, &end) == 0 &&
	       end == field + length;
}

static bool
read_text(const char *field, size_t length, AsForeignBytes *out)
{
	if (length > sizeof(out->bytes))
		return false;
	memcpy(out->bytes, field, length);
	out->length = length;
	return true;
}

static bool
read_log(const char *field, size_t length, uint32_t *out)
{
	uint32_t exponent;

	if (!read_number(field, length, &exponent) || exponent > 30)
		return false;
	*out = (uint32_t) 1 << exponent;
	return true;
}

static bool
read_field(char what, const char *field, size_t length, AsForeignHash *out)
{
	switch (what)
	{
		case 'n':
			return read_number(field, length, &out->n);
		case 'l':
			return read_log(field, length, &out->n);
		case 'r':
			return read_number(field, length, &out->r);
		case 'p':
			return read_number(field, length, &out->p);
		case 'o':
			return read_number(field, length, &out->digest_length);
		case 't':
			return read_text(field, length, &out->salt);
		case 's':
			return read_base64(field, length, &out->salt);
		case 'e':
			return read_base64(field, length, &out->separator);
		case 'k':
			return read_base64(field, length, &out->signer_key);
		case 'd':
			return read_base64(field, length, &out->digest);
		case 'x':
			return read_hex(field, length, &out->digest);
		default:
			return false;
	}
}

/* A field goes up to the character that follows it in the picture. */
static bool
fits(const char *text, const char *picture, AsForeignHash *out)
{
	while (*picture != '\0')
	{
		const char *end;

		if (*picture != '%')
		{
			if (*text++ != *picture++)
				return false;
			continue;
		}
		end = strchr(text, picture[2]);
		if (end == NULL ||
		    !read_field(picture[1], text, (size_t) (end - text), out))
			return false;
		text = end;
		picture += 2;
	}
	return *text == '\0';
}

/* How many characters of crypt's own alphabet a text begins with. */
static size_t
crypt_chars(const char *text)
{
	return strspn(text, "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                    "abcdefghijklmnopqrstuvwxyz");
}

/* $2x$ is what a broken version made of passwords with accents: refused. */
static bool
read_bcrypt(const char *text, AsForeignHash *out)
{
	uint32_t cost;

	if (strlen(text) != BCRYPT_CHARS || strncmp(text, "$2", 2) != 0 ||
	    strchr("aby", text[2]) == NULL || text[3] != '$' || text[6] != '$' ||
	    crypt_chars(text + 7) != BCRYPT_CHARS - 7)
		return false;
	cost = (uint32_t) (text[4] - '0') * 10 + (uint32_t) (text[5] - '0');
	if (text[4] < '0' || text[5] < '0' || text[5] > '9' ||
	    cost < BCRYPT_COST_LEAST || cost > BCRYPT_COST_MOST)
		return false;
	out->scheme = AS_FOREIGN_BCRYPT;
	out->crypt = text;
	return true;
}

static bool
read_sha512crypt(const char *text, AsForeignHash *out)
{
	const char *salt = text + 3;
	const char *end;
	uint32_t rounds = CRYPT_ROUNDS_LEAST;
	size_t salt_chars;

	if (strncmp(text, "$6$", 3) != 0)
		return false;
	if (strncmp(salt, "rounds=", 7) == 0)
	{
		salt += 7;
		end = strchr(salt, '$');
		if (end == NULL || !read_number(salt, (size_t) (end - salt), &rounds) ||
		    rounds < CRYPT_ROUNDS_LEAST || rounds > CRYPT_ROUNDS_MOST)
			return false;
		salt = end + 1;
	}
	salt_chars = crypt_chars(salt);
	end = salt + salt_chars;
	if (salt_chars < 1 || salt_chars > CRYPT_SALT_MOST || *end != '$' ||
	    crypt_chars(end + 1) != SHA512CRYPT_CHARS ||
	    end[1 + SHA512CRYPT_CHARS] != '\0')
		return false;
	out->scheme = AS_FOREIGN_SHA512CRYPT;
	out->crypt = text;
	return true;
}

/* ---- what it costs ---- */

static bool
is_pbkdf2_affordable(const AsForeignHash *hash)
{
	size_t block = strcmp(hash->digest_name, "SHA256") == 0 ? 32 : 64;
	size_t blocks = (hash->digest.length + block - 1) / block;

	return hash->n >= 1 && hash->n * (uint64_t) blocks <= PBKDF2_BLOCKS_MOST;
}

/* RFC 7914 section 2: N is a power of two, and less than 2^(128 * r / 8). */
static bool
is_scrypt_affordable(const AsForeignHash *hash)
{
	uint64_t cells = (uint64_t) hash->n * hash->r;

	return hash->n >= 2 && (hash->n & (hash->n - 1)) == 0 && hash->r >= 1 &&
	       hash->r <= SCRYPT_FACTOR_MOST && hash->p >= 1 &&
	       hash->p <= SCRYPT_FACTOR_MOST &&
	       (hash->r > 1 || hash->n < (1 << 16)) && cells <= SCRYPT_CELLS_MOST &&
	       cells * hash->p <= SCRYPT_STEPS_MOST;
}

static bool
is_sound(const AsForeignHash *hash)
{
	if (hash->salt.length == 0 || hash->digest.length < DIGEST_BYTES_LEAST ||
	    (hash->digest_length != 0 &&
	     hash->digest_length != hash->digest.length))
		return false;
	switch (hash->scheme)
	{
		case AS_FOREIGN_PBKDF2:
			return is_pbkdf2_affordable(hash);
		case AS_FOREIGN_SCRYPT:
			return is_scrypt_affordable(hash);
		case AS_FOREIGN_FIREBASE:
			return is_scrypt_affordable(hash) &&
			       hash->signer_key.length == hash->digest.length;
		default:
			return false;
	}
}

bool
as_foreign_hash_read(const char *text, AsForeignHash *out)
{
	memset(out, 0, sizeof(*out));
	if (read_bcrypt(text, out) || read_sha512crypt(text, out) ||
	    (strncmp(text, "bcrypt$", 7) == 0 && read_bcrypt(text + 7, out)))
		return true;
	if (strncmp(text, "bcrypt_sha256$", 14) == 0)
	{
		out->is_digested = true;
		return read_bcrypt(text + 14, out);
	}
	for (size_t i = 0; i < sizeof(pictures) / sizeof(pictures[0]); i++)
	{
		memset(out, 0, sizeof(*out));
		out->scheme = pictures[i].scheme;
		out->digest_name = pictures[i].digest;
		if (fits(text, pictures[i].picture, out))
			return is_sound(out);
	}
	return false;
}

bool
as_foreign_hash_is_cut(const AsForeignHash *hash, const AsPassword *password)
{
	return hash->scheme == AS_FOREIGN_BCRYPT && !hash->is_digested &&
	       password->length > BCRYPT_BYTES;
}

/* ---- computing ---- */

/* What crypt_r takes: it ends at a NUL, and reads no more than it uses. */
static void
make_phrase(const AsForeignHash *hash, const AsPassword *password, char *phrase)
{
	uint8_t digest[crypto_hash_sha256_BYTES];
	size_t most = hash->scheme == AS_FOREIGN_BCRYPT ? BCRYPT_BYTES
	                                                : CRYPT_MAX_PASSPHRASE_SIZE;
	size_t length = password->length < most ? password->length : most;

	if (!hash->is_digested)
	{
		memcpy(phrase, password->bytes, length);
		phrase[length] = '\0';
		return;
	}
	(void) crypto_hash_sha256(digest, (const uint8_t *) password->bytes,
	                          password->length);
	(void) sodium_bin2hex(phrase, sizeof(digest) * 2 + 1, digest,
	                      sizeof(digest));
	as_wipe(digest, sizeof(digest));
}

/*
 * Only digests are compared: of a salt that was written carelessly libxcrypt
 * gives back the canonical form. A phrase beyond its limit it refuses.
 */
static AsHashVerdict
verify_crypt(const AsForeignHash *hash, const AsPassword *password)
{
	char phrase[CRYPT_MAX_PASSPHRASE_SIZE + 1];
	struct crypt_data data;
	size_t chars = hash->scheme == AS_FOREIGN_BCRYPT ? BCRYPT_DIGEST_CHARS
	                                                 : SHA512CRYPT_CHARS;
	AsHashVerdict verdict = AS_HASH_WRONG;
	const char *made;

	memset(&data, 0, sizeof(data));
	make_phrase(hash, password, phrase);
	made = crypt_r(phrase, hash->crypt, &data);
	if (made != NULL && strlen(made) > chars &&
	    sodium_memcmp(made + strlen(made) - chars,
	                  hash->crypt + strlen(hash->crypt) - chars, chars) == 0)
		verdict = AS_HASH_RIGHT;
	as_wipe(&data, sizeof(data));
	as_wipe(phrase, sizeof(phrase));
	return verdict;
}

/* False where there is no memory for it. */
static bool
derive(const char *name, const OSSL_PARAM *parameters, uint8_t *out,
       size_t length)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, name, NULL);
	EVP_KDF_CTX *context = kdf == NULL ? NULL : EVP_KDF_CTX_new(kdf);
	bool derived =
	    context != NULL && EVP_KDF_derive(context, out, length, parameters) > 0;

	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
	if (!derived)
		ERR_clear_error();
	return derived;
}

static OSSL_PARAM
bytes_parameter(const char *name, const void *bytes, size_t length)
{
	return OSSL_PARAM_construct_octet_string(name, (void *) (uintptr_t) bytes,
	                                         length);
}

static bool
derive_pbkdf2(const AsForeignHash *hash, const AsPassword *password,
              uint8_t *out, size_t length)
{
	uint64_t iterations = hash->n;
	int any_length = 1; /* of salt and digest, and any iterations */
	OSSL_PARAM parameters[] = {
	    bytes_parameter(OSSL_KDF_PARAM_PASSWORD, password->bytes,
	                    password->length),
	    bytes_parameter(OSSL_KDF_PARAM_SALT, hash->salt.bytes,
	                    hash->salt.length),
	    OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_ITER, &iterations),
	    OSSL_PARAM_construct_int(OSSL_KDF_PARAM_PKCS5, &any_length),
	    OSSL_PARAM_construct_utf8_string(
	        OSSL_KDF_PARAM_DIGEST, (char *) (uintptr_t) hash->digest_name, 0),
	    OSSL_PARAM_END,
	};

	return derive("PBKDF2", parameters, out, length);
}

/* The cells, those of p, and what OpenSSL needs beside them. */
static uint64_t
scrypt_memory(const AsForeignHash *hash)
{
	return 128 * (uint64_t) hash->r * ((uint64_t) hash->n + hash->p + 2) +
	       65536;
}

static bool
derive_scrypt(const AsForeignHash *hash, const AsPassword *password,
              uint8_t *out, size_t length)
{
	AsForeignBytes salt = hash->salt;
	uint8_t salted[sizeof(salt.bytes) * 2];
	uint64_t n = hash->n;
	uint32_t r = hash->r;
	uint32_t p = hash->p;
	uint64_t memory = scrypt_memory(hash);
	OSSL_PARAM parameters[] = {
	    bytes_parameter(OSSL_KDF_PARAM_PASSWORD, password->bytes,
	                    password->length),
	    bytes_parameter(OSSL_KDF_PARAM_SALT, salted,
	                    salt.length + hash->separator.length),
	    OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
	    OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
	    OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
	    OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory),
	    OSSL_PARAM_END,
	};

	memcpy(salted, salt.bytes, salt.length);
	memcpy(salted + salt.length, hash->separator.bytes, hash->separator.length);
	return derive("SCRYPT", parameters, out, length);
}

/* The project's signer key, encrypted under the key that was derived. */
static bool
sign(const AsForeignHash *hash, const uint8_t *key, uint8_t *out)
{
	static const uint8_t iv[AES_IV_BYTES];
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int length;
	bool done =
	    context != NULL &&
	    EVP_EncryptInit_ex(context, EVP_aes_256_ctr(), NULL, key, iv) == 1 &&
	    EVP_EncryptUpdate(context, out, &length, hash->signer_key.bytes,
	                      (int) hash->signer_key.length) == 1;

	EVP_CIPHER_CTX_free(context);
	if (!done)
		ERR_clear_error();
	return done;
}

static bool
compute(const AsForeignHash *hash, const AsPassword *password, uint8_t *out)
{
	uint8_t key[AES_KEY_BYTES];
	bool done;

	switch (hash->scheme)
	{
		case AS_FOREIGN_PBKDF2:
			return derive_pbkdf2(hash, password, out, hash->digest.length);
		case AS_FOREIGN_SCRYPT:
			return derive_scrypt(hash, password, out, hash->digest.length);
		default:
			done = derive_scrypt(hash, password, key, sizeof(key)) &&
			       sign(hash, key, out);
			as_wipe(key, sizeof(key));
			return done;
	}
}

AsHashVerdict
as_foreign_hash_verify(const AsForeignHash *hash, const AsPassword *password)
{
	uint8_t digest[sizeof(hash->digest.bytes)];
	AsHashVerdict verdict = AS_HASH_NO_MEMORY;

	if (hash->crypt != NULL)
		return verify_crypt(hash, password);
	if (compute(hash, password, digest))
		verdict =
		    sodium_memcmp(digest, hash->digest.bytes, hash->digest.length) == 0
		        ? AS_HASH_RIGHT
		        : AS_HASH_WRONG;
	as_wipe(digest, sizeof(digest));
	return verdict;
}
