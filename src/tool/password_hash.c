/*
 * password_hash.c: Argon2id in PHC strings, by libsodium.
 *
 * A stored string decides what its verification costs, so its parameters are
 * read before it is computed: a poisoned row is refused, not paid for.
 */
#include "tool/tool.h"

#include <sodium.h>
#include <string.h>

#define PHC_PREFIX         "$argon2id$v=19$m="
#define PHC_PREFIX_CHARS   17
#define MEMORY_KIB_LIMIT   (1024 * 1024)
#define ITERATIONS_LIMIT   64
#define DECIMAL_CHARS_MOST 9

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

/* The cost that a PHC string names; false if it isn't one of ours. */
static bool
read_cost(const AsPasswordHash *hash, AsHashCost *cost)
{
	const char *text = hash->phc;
	uint32_t lanes = 0;

	if (memchr(text, '\0', sizeof(hash->phc)) == NULL ||
	    strncmp(text, PHC_PREFIX, PHC_PREFIX_CHARS) != 0)
		return false;
	text = read_number(text + PHC_PREFIX_CHARS, ',', &cost->memory_kib);
	if (text == NULL || strncmp(text, "t=", 2) != 0)
		return false;
	text = read_number(text + 2, ',', &cost->iterations);
	if (text == NULL || strncmp(text, "p=", 2) != 0)
		return false;
	return read_number(text + 2, '$', &lanes) != NULL && lanes == 1;
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

bool
as_password_hash_matches(const AsPasswordHash *hash, const AsPassword *password)
{
	return as_password_hash_acceptable(hash) &&
	       crypto_pwhash_str_verify(hash->phc, password->bytes,
	                                password->length) == 0;
}

bool
as_password_hash_acceptable(const AsPasswordHash *hash)
{
	AsHashCost cost;

	return read_cost(hash, &cost) && cost.memory_kib <= MEMORY_KIB_LIMIT &&
	       cost.iterations <= ITERATIONS_LIMIT;
}

bool
as_password_hash_is_weaker(const AsPasswordHash *hash, AsHashCost cost)
{
	AsHashCost stored;

	return !read_cost(hash, &stored) || stored.memory_kib < cost.memory_kib ||
	       stored.iterations < cost.iterations;
}
