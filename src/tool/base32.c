/*
 * base32.c: the encoding that people type (RFC 4648 section 6).
 *
 * What is encoded is secret: a character is computed and not looked up, in a
 * time that doesn't depend on it.
 */
#include "tool/tool.h"

/* All ones where a < b, for small numbers. */
static unsigned
below(unsigned a, unsigned b)
{
	return 0U - ((a - b) >> 31);
}

static char
character_of(unsigned value)
{
	unsigned is_letter = below(value, 26);

	return (char) ((is_letter & ('A' + value)) |
	               (~is_letter & ('2' - 26 + value)));
}

/* 32 or more for what is no character. */
static unsigned
value_of(unsigned char c)
{
	unsigned upper = c & ~(0x20U & below('a' - 1, c) & below(c, 'z' + 1));
	unsigned is_letter = below('A' - 1, upper) & below(upper, 'Z' + 1);
	unsigned is_digit = below('2' - 1, upper) & below(upper, '7' + 1);

	return (is_letter & (upper - 'A')) | (is_digit & (upper - '2' + 26)) |
	       (~is_letter & ~is_digit & 32);
}

size_t
as_base32_encode(const void *bytes, size_t length, char *out)
{
	const uint8_t *from = bytes;
	size_t written = 0;
	unsigned held = 0;
	int bits = 0;

	for (size_t i = 0; i < length; i++)
	{
		held = (held << 8 | from[i]) & 0xfff;
		for (bits += 8; bits >= 5; bits -= 5)
			out[written++] = character_of(held >> (bits - 5) & 31);
	}
	if (bits > 0)
		out[written++] = character_of(held << (5 - bits) & 31);
	out[written] = '\0';
	return written;
}

bool
as_base32_decode(const char *text, size_t length, void *out, size_t bytes)
{
	uint8_t *to = out;
	unsigned held = 0;
	unsigned all = 0;
	size_t written = 0;
	int bits = 0;

	if (length != AS_BASE32_CHARS(bytes))
		return false;
	for (size_t i = 0; i < length; i++)
	{
		unsigned value = value_of((unsigned char) text[i]);

		all |= value;
		held = (held << 5 | (value & 31)) & 0xfff;
		bits += 5;
		if (bits >= 8)
		{
			bits -= 8;
			to[written++] = (uint8_t) (held >> bits);
		}
	}
	return all < 32 && (held & ((1U << bits) - 1)) == 0;
}
