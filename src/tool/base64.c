/*
 * base64.c: the encoding of tokens and secrets (RFC 4648 section 5, RFC 7515
 * section 2), and of what HTTP's Basic scheme carries (section 4).
 *
 * Its time depends on lengths alone. That matters for the secret and the tag of
 * a refresh token, for keys in JWKs and for the signature that a forger
 * guesses at: a table is looked up by what is encoded, and shows it to whoever
 * shares the processor's cache. Claims and headers, which anybody reads in
 * their token, need none of that and get it for nothing: sixteen characters are
 * one vector, whose lanes all go through the same comparisons.
 *
 * Its own, because neither library's fits every request's token: OpenSSL knows
 * the other alphabet only, and its decoder takes white space; libsodium's takes
 * ten times as long, character by character.
 */
#include "tool/tool.h"

#include <string.h>

/* Four times three bytes, and their characters. */
#define BLOCK_BYTES 12
#define BLOCK_CHARS 16

/* Comparing gives a lane of ones or of zeros. */
typedef int8_t Lanes __attribute__((vector_size(BLOCK_CHARS)));
typedef uint64_t Halves __attribute__((vector_size(BLOCK_CHARS)));

/* The characters that the two alphabets have for 62 and 63. */
typedef struct Alphabet
{
	int8_t of_62;
	int8_t of_63;
} Alphabet;

static const Alphabet url_alphabet = {'-', '_'};
static const Alphabet basic_alphabet = {'+', '/'};

/* The word whose most significant byte is the first, and back. */
static inline uint64_t
swap(uint64_t word)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? word
	                                              : __builtin_bswap64(word);
}

static inline uint64_t
load(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return swap(word);
}

static inline void
store(uint8_t *bytes, uint64_t word)
{
	word = swap(word);
	memcpy(bytes, &word, sizeof(word));
}

/* Of the lower 48 bits, six a byte. */
static inline uint64_t
spread(uint64_t w)
{
	w = (w & 0x0000FFFFFF000000) << 8 | (w & 0x0000000000FFFFFF);
	w = (w & 0x00FFF00000FFF000) << 4 | (w & 0x00000FFF00000FFF);
	return (w & 0x0FC00FC00FC00FC0) << 2 | (w & 0x003F003F003F003F);
}

static inline uint64_t
gather(uint64_t w)
{
	w = (w & 0x3F003F003F003F00) >> 2 | (w & 0x003F003F003F003F);
	w = (w & 0x0FFF00000FFF0000) >> 4 | (w & 0x00000FFF00000FFF);
	return (w & 0x00FFFFFF00000000) >> 8 | (w & 0x0000000000FFFFFF);
}

static inline void
encode_block(const uint8_t in[BLOCK_BYTES], char out[BLOCK_CHARS])
{
	Halves halves = {swap(spread(load(in) >> 16)), swap(spread(load(in + 4)))};
	Lanes v = (Lanes) halves;

	/* From each range of values to the next the characters leap by so many. */
	v += 'A' + ((v > 25) & ('a' - 'Z' - 1)) + ((v > 51) & ('0' - 'z' - 1)) +
	     ((v > 61) & ('-' - '9' - 1)) + ((v > 62) & ('_' - '-' - 1));
	memcpy(out, &v, sizeof(v));
}

/* Leaves ones in strange for characters that are none of the alphabet. */
static inline void
decode_block(const char in[BLOCK_CHARS], const Alphabet *alphabet,
             uint8_t out[BLOCK_BYTES], Lanes *strange)
{
	Lanes c;
	Lanes upper;
	Lanes lower;
	Lanes digit;
	Lanes is_62;
	Lanes is_63;
	Halves halves;
	uint64_t first;
	uint64_t second;

	memcpy(&c, in, sizeof(c));
	upper = (c >= 'A') & (c <= 'Z');
	lower = (c >= 'a') & (c <= 'z');
	digit = (c >= '0') & (c <= '9');
	is_62 = c == alphabet->of_62;
	is_63 = c == alphabet->of_63;
	*strange |= ~(upper | lower | digit | is_62 | is_63);
	halves = (Halves) (((upper | lower | digit) & c) + (upper & -'A') +
	                   (lower & (26 - 'a')) + (digit & (52 - '0')) +
	                   (is_62 & 62) + (is_63 & 63));
	first = gather(swap(halves[0]));
	second = gather(swap(halves[1]));
	store(out, first << 16 | second >> 32);
	store(out + 4, first << 48 | second);
}

size_t
as_base64url_encode(const void *bytes, size_t length, char *out)
{
	const uint8_t *in = bytes;
	size_t chars = AS_BASE64URL_CHARS(length);
	uint8_t rest[BLOCK_BYTES] = {0};
	char last[BLOCK_CHARS];

	for (; length >= BLOCK_BYTES; length -= BLOCK_BYTES)
	{
		encode_block(in, out);
		in += BLOCK_BYTES;
		out += BLOCK_CHARS;
	}
	for (size_t i = 0; i < length; i++)
		rest[i] = in[i];
	encode_block(rest, last);
	memcpy(out, last, AS_BASE64URL_CHARS(length));
	out[AS_BASE64URL_CHARS(length)] = '\0';
	as_wipe(rest, sizeof(rest));
	as_wipe(last, sizeof(last));
	return chars;
}

static bool
decode(const char *text, size_t length, const Alphabet *alphabet, void *out,
       size_t room, size_t *out_length)
{
	uint8_t *to = out;
	size_t bytes = length / 4 * 3 + (length % 4 == 0 ? 0 : length % 4 - 1);
	size_t kept = bytes % BLOCK_BYTES;
	char last[BLOCK_CHARS];
	uint8_t rest[BLOCK_BYTES];
	uint8_t unused = 0;
	Lanes strange = {0};
	Halves any;

	/* A single character left over holds no byte. */
	if (length % 4 == 1 || bytes > room)
		return false;
	for (; length >= BLOCK_CHARS; length -= BLOCK_CHARS)
	{
		decode_block(text, alphabet, to, &strange);
		text += BLOCK_CHARS;
		to += BLOCK_BYTES;
	}
	memset(last, 'A', sizeof(last));
	memcpy(last, text, length);
	decode_block(last, alphabet, rest, &strange);
	memcpy(to, rest, kept);

	/* Bits that no byte takes are zero, or two texts would be one. */
	for (size_t i = kept; i < sizeof(rest); i++)
		unused |= rest[i];
	as_wipe(last, sizeof(last));
	as_wipe(rest, sizeof(rest));
	*out_length = bytes;
	any = (Halves) strange;
	return (any[0] | any[1] | unused) == 0;
}

bool
as_base64url_decode(const char *text, size_t length, void *out, size_t room,
                    size_t *out_length)
{
	return decode(text, length, &url_alphabet, out, room, out_length);
}

bool
as_base64_decode(const char *text, size_t length, void *out, size_t room,
                 size_t *out_length)
{
	if (length % 4 != 0)
		return false;
	for (int padding = 0; padding < 2; padding++)
		if (length > 0 && text[length - 1] == '=')
			length--;
	return decode(text, length, &basic_alphabet, out, room, out_length);
}
