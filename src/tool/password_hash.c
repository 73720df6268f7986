/*
 * password_hash.c: password hashes as they are stored. Ours are Argon2id in
 * PHC strings, by libsodium, which also verifies what others made with Argon2;
 * all else is foreign_hash.c's.
 *
 * A stored string decides what its verification costs, so its parameters are
 * read before it is computed: a poisoned row is refused, not paid for.
 *
 * crypto_pwhash_str_verify says no, with the same errno, also when there is no
 * memory for the computation. So the digest is computed here and compared,
 * wherever the salt has the length that libsodium takes.
 */
#include "tool/tool.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>

#define ARGON2ID_PREFIX    "$argon2id$v=19$m="
#define ARGON2I_PREFIX     "$argon2i$v=19$m="
#define MEMORY_KIB_LIMIT   (1024 * 1024)
#define ITERATIONS_LIMIT   64
#define LANES_LIMIT        64
#define DECIMAL_CHARS_MOST 9

/*
 * What an import may ask for, memory times passes: about two seconds. Our own
 * settings may go beyond.
 */
#define IMPORT_KIB_PASSES (4 * 1024 * 1024)

/* Django has the name of its own hasher before the PHC string. */
#define DJANGO_PREFIX "argon2$argon2"
#define DJANGO_NAME   "argon2"

/* What Argon2 itself asks for, and what a string has room for. */
#define MEMORY_KIB_LEAST   8 /* per lane */
#define SALT_BYTES_LEAST   8
#define DIGEST_BYTES_LEAST 16
#define BYTES_MOST         64 /* more than a string has room for */

/* Reads a decimal number that ends at the character last; NULL if none. */
static const char *
read_number(const char *text, char last, uint32_t *out)
{
	uint32_t number = 0;
	int digits = 0;

	while (*text >= '0' && *text <= '9' && digits < DECIMAL_CHARS_MOST)
	{
		number = number * 10 + (uint32_t) (*text++ - '0');
		digits++;
	}
	if (digits == 0 || *text != last)
		return NULL;
	*out = number;
	return text + 1;
}

/* A PHC string of Argon2, read. */
typedef struct Parsed
{
	bool is_argon2id; /* else Argon2i */
	AsHashCost cost;
	uint32_t lanes;
	uint8_t salt[BYTES_MOST];
	size_t salt_length;
	uint8_t digest[BYTES_MOST];
	size_t digest_length;
} Parsed;

/* Base64 without padding up to the character last; NULL if there is none. */
static const char *
read_base64(const char *text, char last, uint8_t *bytes, size_t *length)
{
	const char *end = strchr(text, last);

	if (end == NULL ||
	    sodium_base642bin(bytes, BYTES_MOST, text, (size_t) (end - text), NULL,
	                      length, NULL,
	                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
		return NULL;
	return end + 1;
}

/* Behind the prefix; NULL where it is another. */
static const char *
skip(const char *text, const char *prefix)
{
	size_t length = strlen(prefix);

	return strncmp(text, prefix, length) == 0 ? text + length : NULL;
}

/* False if a string isn't one of Argon2. */
static bool
parse(const AsPasswordHash *hash, Parsed *out)
{
	const char *text;

	if (memchr(hash->phc, '\0', sizeof(hash->phc)) == NULL)
		return false;
	text = skip(hash->phc, ARGON2ID_PREFIX);
	out->is_argon2id = text != NULL;
	if (text == NULL)
		text = skip(hash->phc, ARGON2I_PREFIX);
	if (text == NULL)
		return false;
	text = read_number(text, ',', &out->cost.memory_kib);
	if (text == NULL || strncmp(text, "t=", 2) != 0)
		return false;
	text = read_number(text + 2, ',', &out->cost.iterations);
	if (text == NULL || strncmp(text, "p=", 2) != 0)
		return false;
	text = read_number(text + 2, '$', &out->lanes);
	if (text == NULL)
		return false;
	text = read_base64(text, '$', out->salt, &out->salt_length);
	return text != NULL && out->salt_length >= SALT_BYTES_LEAST &&
	       read_base64(text, '\0', out->digest, &out->digest_length) != NULL &&
	       out->digest_length >= DIGEST_BYTES_LEAST;
}

bool
as_password_hash_make(const AsPassword *password, AsHashCost cost,
                      AsPasswordHash *out)
{
	memset(out, 0, sizeof(*out));
	return crypto_pwhash_str_alg(out->phc, password->bytes, password->length,
	                             cost.iterations,
	                             (size_t) cost.memory_kib * 1024,
	                             crypto_pwhash_ALG_ARGON2ID13) == 0;
}

/* What libsodium makes itself: then a failure and a mismatch differ. */
static bool
is_own(const Parsed *parsed)
{
	return parsed->is_argon2id && parsed->lanes == 1 &&
	       parsed->salt_length == crypto_pwhash_SALTBYTES;
}

static AsHashVerdict
compare(const Parsed *parsed, const AsPassword *password)
{
	uint8_t digest[BYTES_MOST];
	AsHashVerdict verdict = AS_HASH_NO_MEMORY;

	if (crypto_pwhash(digest, parsed->digest_length, password->bytes,
	                  password->length, parsed->salt, parsed->cost.iterations,
	                  (size_t) parsed->cost.memory_kib * 1024,
	                  crypto_pwhash_ALG_ARGON2ID13) == 0)
		verdict =
		    sodium_memcmp(digest, parsed->digest, parsed->digest_length) == 0
		        ? AS_HASH_RIGHT
		        : AS_HASH_WRONG;
	as_wipe(digest, sizeof(digest));
	return verdict;
}

static bool
has_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory != MAP_FAILED && munmap(memory, bytes) == 0;
}

static bool
is_affordable(const Parsed *parsed)
{
	return parsed->lanes >= 1 && parsed->lanes <= LANES_LIMIT &&
	       parsed->cost.memory_kib >= MEMORY_KIB_LEAST * parsed->lanes &&
	       parsed->cost.memory_kib <= MEMORY_KIB_LIMIT &&
	       parsed->cost.iterations >= 1 &&
	       parsed->cost.iterations <= ITERATIONS_LIMIT;
}

AsHashVerdict
as_password_hash_verify(const AsPasswordHash *hash, const AsPassword *password)
{
	AsForeignHash foreign;
	Parsed parsed;

	assert(as_password_hash_acceptable(hash));
	if (!parse(hash, &parsed))
		return as_foreign_hash_read(hash->phc, &foreign)
		           ? as_foreign_hash_verify(&foreign, password)
		           : AS_HASH_WRONG;
	if (is_own(&parsed))
		return compare(&parsed, password);

	/* Made by others; its verifier tells no failure apart. */
	if (crypto_pwhash_str_verify(hash->phc, password->bytes,
	                             password->length) == 0)
		return AS_HASH_RIGHT;
	return has_memory((size_t) parsed.cost.memory_kib * 1024)
	           ? AS_HASH_WRONG
	           : AS_HASH_NO_MEMORY;
}

bool
as_password_hash_acceptable(const AsPasswordHash *hash)
{
	AsForeignHash foreign;
	Parsed parsed;

	if (parse(hash, &parsed))
		return is_affordable(&parsed);
	return memchr(hash->phc, '\0', sizeof(hash->phc)) != NULL &&
	       as_foreign_hash_read(hash->phc, &foreign);
}

bool
as_password_hash_is_weaker(const AsPasswordHash *hash,
                           const AsPassword *password, AsHashCost cost)
{
	AsForeignHash foreign;
	Parsed stored;

	if (parse(hash, &stored))
		return !stored.is_argon2id ||
		       stored.cost.memory_kib < cost.memory_kib ||
		       stored.cost.iterations < cost.iterations;
	return as_foreign_hash_read(hash->phc, &foreign) &&
	       !as_foreign_hash_is_cut(&foreign, password);
}

bool
as_password_hash_import(const char *text, size_t length, AsPasswordHash *out)
{
	size_t skipped = 0;
	Parsed parsed;

	memset(out, 0, sizeof(*out));
	if (length >= sizeof(out->phc) || strlen(text) != length)
		return false;
	if (skip(text, DJANGO_PREFIX) != NULL)
		skipped = strlen(DJANGO_NAME);
	memcpy(out->phc, text + skipped, length - skipped);
	if (parse(out, &parsed) &&
	    (uint64_t) parsed.cost.memory_kib * parsed.cost.iterations >
	        IMPORT_KIB_PASSES)
		return false;
	return as_password_hash_acceptable(out);
}
