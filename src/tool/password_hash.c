/*
 * password_hash.c: Argon2id in PHC strings, by libsodium.
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

#define PHC_PREFIX         "$argon2id$v=19$m="
#define PHC_PREFIX_CHARS   17
#define MEMORY_KIB_LIMIT   (1024 * 1024)
#define ITERATIONS_LIMIT   64
#define DECIMAL_CHARS_MOST 9

/* What Argon2 itself asks for, and what a string has room for. */
#define MEMORY_KIB_LEAST   8
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

/* A PHC string, read. */
typedef struct Parsed
{
	AsHashCost cost;
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

/* False if a PHC string isn't one of ours. */
static bool
parse(const AsPasswordHash *hash, Parsed *out)
{
	const char *text = hash->phc;
	uint32_t lanes = 0;

	if (memchr(text, '\0', sizeof(hash->phc)) == NULL ||
	    strncmp(text, PHC_PREFIX, PHC_PREFIX_CHARS) != 0)
		return false;
	text = read_number(text + PHC_PREFIX_CHARS, ',', &out->cost.memory_kib);
	if (text == NULL || strncmp(text, "t=", 2) != 0)
		return false;
	text = read_number(text + 2, ',', &out->cost.iterations);
	if (text == NULL || strncmp(text, "p=", 2) != 0)
		return false;
	text = read_number(text + 2, '$', &lanes);
	if (text == NULL || lanes != 1)
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

/* What libsodium takes for a salt: then a failure and a mismatch differ. */
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

AsHashVerdict
as_password_hash_verify(const AsPasswordHash *hash, const AsPassword *password)
{
	Parsed parsed;

	assert(as_password_hash_acceptable(hash));
	(void) parse(hash, &parsed);
	if (parsed.salt_length == crypto_pwhash_SALTBYTES)
		return compare(&parsed, password);

	/* Another salt is another's; its verifier tells no failure apart. */
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
	Parsed parsed;

	return parse(hash, &parsed) && parsed.cost.memory_kib >= MEMORY_KIB_LEAST &&
	       parsed.cost.memory_kib <= MEMORY_KIB_LIMIT &&
	       parsed.cost.iterations >= 1 &&
	       parsed.cost.iterations <= ITERATIONS_LIMIT;
}

bool
as_password_hash_is_weaker(const AsPasswordHash *hash, AsHashCost cost)
{
	Parsed stored;

	return !parse(hash, &stored) || stored.cost.memory_kib < cost.memory_kib ||
	       stored.cost.iterations < cost.iterations;
}
