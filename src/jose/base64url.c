/*
 * base64url.c: the encoding of tokens (RFC 4648 section 5, RFC 7515
 * section 2).
 *
 * Its own, because neither library's fits every request's token: OpenSSL
 * knows the other alphabet only, with padding, and its decoder takes white
 * space; libsodium's works in constant time, as a key needs it, and takes
 * ten times as long.
 */
#include "jose/jose.h"

static const char letter[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* One more than the value of each character; 0 for no character. */
static const uint8_t digit[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,
    ['G'] = 7,  ['H'] = 8,  ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12,
    ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,
    ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,
    ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54,
    ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,
    ['8'] = 61, ['9'] = 62, ['-'] = 63, ['_'] = 64,
};

size_t
as_base64url_encode(const void *bytes, size_t length, char *out)
{
	const uint8_t *in = bytes;
	size_t chars = AS_BASE64URL_CHARS(length);
	uint32_t group;

	for (; length >= 3; length -= 3)
	{
		group = (uint32_t) in[0] << 16 | (uint32_t) in[1] << 8 | in[2];
		out[0] = letter[group >> 18];
		out[1] = letter[group >> 12 & 63];
		out[2] = letter[group >> 6 & 63];
		out[3] = letter[group & 63];
		in += 3;
		out += 4;
	}
	if (length > 0)
	{
		group =
		    (uint32_t) in[0] << 16 | (length == 2 ? (uint32_t) in[1] << 8 : 0);
		*out++ = letter[group >> 18];
		*out++ = letter[group >> 12 & 63];
		if (length == 2)
			*out++ = letter[group >> 6 & 63];
	}
	*out = '\0';
	return chars;
}

bool
as_base64url_decode(const char *text, size_t length, void *out, size_t room,
                    size_t *out_length)
{
	const uint8_t *in = (const uint8_t *) text;
	uint8_t *to = out;
	size_t rest = length % 4;
	size_t bytes = length / 4 * 3 + (rest == 0 ? 0 : rest - 1);
	uint32_t group;

	/* A single character left over holds no byte. */
	if (rest == 1 || bytes > room)
		return false;
	for (size_t i = 0; i < length / 4; i++)
	{
		uint32_t a = digit[in[0]];
		uint32_t b = digit[in[1]];
		uint32_t c = digit[in[2]];
		uint32_t d = digit[in[3]];

		if (a == 0 || b == 0 || c == 0 || d == 0)
			return false;
		group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6 | (d - 1);
		to[0] = (uint8_t) (group >> 16);
		to[1] = (uint8_t) (group >> 8);
		to[2] = (uint8_t) group;
		in += 4;
		to += 3;
	}
	if (rest != 0)
	{
		uint32_t a = digit[in[0]];
		uint32_t b = digit[in[1]];
		uint32_t c = rest == 3 ? digit[in[2]] : 1;

		if (a == 0 || b == 0 || c == 0)
			return false;
		group = (a - 1) << 18 | (b - 1) << 12 | (c - 1) << 6;

		/* Bits that no byte takes are zero, or two texts would be one. */
		if (group & (rest == 3 ? 0xFFu : 0xFFFFu))
			return false;
		to[0] = (uint8_t) (group >> 16);
		if (rest == 3)
			to[1] = (uint8_t) (group >> 8);
	}
	*out_length = bytes;
	return true;
}
