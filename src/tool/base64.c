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

#define FOUR(c) c, c, c, c
#define ALL(c)                             \
	{                                      \
		FOUR(c), FOUR(c), FOUR(c), FOUR(c) \
	}

/* The characters that the two alphabets have for 62 and 63, in all lanes. */
typedef struct Alphabet
{
	Lanes of_62;
	Lanes of_63;
} Alphabet;

static const Alphabet url_alphabet = {ALL('-'), ALL('_')};
static const Alphabet basic_alphabet = {ALL('+'), ALL('/')};

static inline bool
is_big_endian(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

/* The word whose most significant byte is the first. */
static inline uint64_t
load(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return is_big_endian() ? word : __builtin_bswap64(word);
}

static inline void
store(uint8_t *bytes, uint64_t word)
{
	word = is_big_endian() ? word : __builtin_bswap64(word);
	memcpy(bytes, &word, sizeof(word));
}

/* The halves whose least significant bytes are the first, and back. */
static inline Halves
little_endian(Halves w)
{
	if (is_big_endian())
		w = (Halves){__builtin_bswap64(w[0]), __builtin_bswap64(w[1])};
	return w;
}

/* Of 48 bits a half, from the top down, six a byte. */
static inline Halves
spread(Halves w)
{
	w = (w >> 24 & 0x0000000000FFFFFF) | (w & 0x0000000000FFFFFF) << 32;
	w = (w >> 12 & 0x00000FFF00000FFF) | (w & 0x00000FFF00000FFF) << 16;
	w = (w >> 6 & 0x003F003F003F003F) | (w & 0x003F003F003F003F) << 8;
	return little_endian(w);
}

static inline Halves
gather(Halves w)
{
	w = little_endian(w);
	w = (w & 0x003F003F003F003F) << 6 | (w >> 8 & 0x003F003F003F003F);
	w = (w & 0x00000FFF00000FFF) << 12 | (w >> 16 & 0x00000FFF00000FFF);
	return (w & 0x0000000000FFFFFF) << 24 | (w >> 32 & 0x0000000000FFFFFF);
}

static inline void
encode_block(const uint8_t in[BLOCK_BYTES], char out[BLOCK_CHARS])
{
	Lanes v = (Lanes) spread((Halves){load(in) >> 16, load(in + 4)});

	/* From each range of values to the next the characters leap by so many. */
	v += 'A' + ((v > 25) & ('a' - 'Z' - 1)) + ((v > 51) & ('0' - 'z' - 1)) +
	     ((v > 61) & ('-' - '9' - 1)) + ((v > 62) & ('_' - '-' - 1));
	memcpy(out, &v, sizeof(v));
}

/* Takes the ones in known from the lanes of what is no character. */
static inline void
decode_block(const char in[BLOCK_CHARS], const Alphabet *alphabet,
             uint8_t out[BLOCK_BYTES], Lanes *known)
{
	Lanes c;
	Lanes upper;
	Lanes lower;
	Lanes digit;
	Lanes is_62;
	Lanes is_63;
	Halves bits;

	memcpy(&c, in, sizeof(c));
	upper = (c > 'A' - 1) ^ (c > 'Z');
	lower = (c > 'a' - 1) ^ (c > 'z');
	digit = (c > '0' - 1) ^ (c > '9');
	is_62 = c == alphabet->of_62;
	is_63 = c == alphabet->of_63;
	*known &= upper ^ lower ^ digit ^ is_62 ^ is_63;
	c += (upper & -'A') + (lower & (26 - 'a')) + (digit & (52 - '0')) +
	     (is_62 & (62 - alphabet->of_62)) + (is_63 & (63 - alphabet->of_63));
	bits = gather((Halves) c);
	store(out, bits[0] << 16 | bits[1] >> 32);
	store(out + 4, bits[0] << 48 | bits[1]);
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
	Lanes known = ALL(-1);
	Halves all;

	/* A single character left over holds no byte. */
	if (length % 4 == 1 || bytes > room)
		return false;
	for (; length >= BLOCK_CHARS; length -= BLOCK_CHARS)
	{
		decode_block(text, alphabet, to, &known);
		text += BLOCK_CHARS;
		to += BLOCK_BYTES;
	}
	memset(last, 'A', sizeof(last));
	memcpy(last, text, length);
	decode_block(last, alphabet, rest, &known);
	memcpy(to, rest, kept);

	/* Bits that no byte takes are zero, or two texts would be one. */
	for (size_t i = kept; i < sizeof(rest); i++)
		unused |= rest[i];
	as_wipe(last, sizeof(last));
	as_wipe(rest, sizeof(rest));
	*out_length = bytes;
	all = (Halves) known;
	return (~(all[0] & all[1]) | unused) == 0;
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
