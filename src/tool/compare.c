/*
 * compare.c: whether two secrets are the same.
 *
 * In a time that doesn't depend on where they differ, so that nobody guesses
 * one byte by byte; and by the word, since libsodium's, byte by byte, takes as
 * long for a token as an HMAC.
 */
#include "tool/tool.h"

#include <string.h>

bool
as_is_same(const void *a, const void *b, size_t length)
{
	const uint8_t *of_a = a;
	const uint8_t *of_b = b;
	uint64_t all = 0;
	volatile uint64_t difference;
	size_t i;

	for (i = 0; i + sizeof(uint64_t) <= length; i += sizeof(uint64_t))
	{
		uint64_t word_a;
		uint64_t word_b;

		memcpy(&word_a, of_a + i, sizeof(word_a));
		memcpy(&word_b, of_b + i, sizeof(word_b));
		all |= word_a ^ word_b;
	}
	for (; i < length; i++)
		all |= (uint64_t) (of_a[i] ^ of_b[i]);

	/* The compiler mustn't stop at the first: it can't know who reads this. */
	difference = all;
	return difference == 0;
}
