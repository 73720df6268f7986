/*
 * base64.c: that our coder reads and writes what libsodium's does: bytes at
 * random in every length that a block can end in, and every character in every
 * place. libsodium's decoder takes bytes above 127 for others (1.0.18), so of
 * these only that they are refused is asked.
 */
#include "check.h"

#include <sodium.h>
#include <string.h>

#define URL   sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define BASIC sodium_base64_VARIANT_ORIGINAL

/* Three blocks, and all that can follow them. */
#define MOST 48

static bool
decodes_alike(int variant, const char *text, size_t length)
{
	uint8_t ours[MOST];
	uint8_t theirs[MOST];
	size_t our_length = 0;
	size_t their_length = 0;
	const char *end = NULL;
	bool is_ascii = true;
	bool taken;
	bool expected;

	for (size_t i = 0; i < length; i++)
		is_ascii = is_ascii && (unsigned char) text[i] < 128;
	taken =
	    variant == URL
	        ? as_base64url_decode(text, length, ours, sizeof(ours), &our_length)
	        : as_base64_decode(text, length, ours, sizeof(ours), &our_length);
	expected = is_ascii &&
	           sodium_base642bin(theirs, sizeof(theirs), text, length, NULL,
	                             &their_length, &end, variant) == 0 &&
	           end == text + length;
	return taken == expected &&
	       (!taken || (our_length == their_length &&
	                   memcmp(ours, theirs, our_length) == 0));
}

static bool
encodes_alike(const uint8_t *bytes, size_t length)
{
	char ours[AS_BASE64URL_ROOM(MOST)];
	char theirs[AS_BASE64URL_ROOM(MOST)];
	size_t written;

	memset(ours, '!', sizeof(ours));
	written = as_base64url_encode(bytes, length, ours);
	(void) sodium_bin2base64(theirs, sizeof(theirs), bytes, length, URL);
	return written == strlen(theirs) && strcmp(ours, theirs) == 0;
}

/* Every byte in place of every character of a text. */
static bool
characters_alike(int variant, const char *text, size_t length)
{
	char changed[sodium_base64_ENCODED_LEN(MOST, BASIC)];

	for (size_t i = 0; i < length; i++)
	{
		memcpy(changed, text, length);
		for (int c = 0; c < 256; c++)
		{
			changed[i] = (char) c;
			if (!decodes_alike(variant, changed, length))
				return false;
		}
	}
	return true;
}

/* One byte of room too few is refused, and not written to. */
static bool
keeps_to_room(const char *text, size_t length, size_t bytes)
{
	uint8_t out[MOST + 1];
	size_t decoded;

	out[bytes - 1] = 0xA5;
	if (as_base64url_decode(text, length, out, bytes - 1, &decoded) ||
	    out[bytes - 1] != 0xA5)
		return false;
	out[bytes] = 0xA5;
	return as_base64url_decode(text, length, out, bytes, &decoded) &&
	       decoded == bytes && out[bytes] == 0xA5;
}

void
check_base64(void)
{
	char text[sodium_base64_ENCODED_LEN(MOST, BASIC)];
	uint8_t bytes[MOST];
	bool same_text = true;
	bool same_characters[2] = {true, true};
	bool same_length = true;
	bool in_room = true;

	for (size_t length = 0; length <= MOST; length++)
	{
		randombytes_buf(bytes, sizeof(bytes));
		for (int i = 0; i < 64; i++)
		{
			/* So that the first three bytes are of every character. */
			bytes[0] = (uint8_t) (i << 2);
			bytes[1] = (uint8_t) (i << 4 | i >> 2);
			bytes[2] = (uint8_t) (i << 6 | i);
			same_text = same_text && encodes_alike(bytes, length);
		}
		for (int basic = 0; basic < 2; basic++)
		{
			int variant = basic ? BASIC : URL;

			(void) sodium_bin2base64(text, sizeof(text), bytes, length,
			                         variant);
			same_characters[basic] =
			    same_characters[basic] &&
			    decodes_alike(variant, text, strlen(text)) &&
			    characters_alike(variant, text, strlen(text));
			if (!basic && length > 0)
				in_room = in_room && keeps_to_room(text, strlen(text), length);
		}
		memset(text, 'A', sizeof(text));
		same_length = same_length && decodes_alike(URL, text, length) &&
		              decodes_alike(BASIC, text, length);
	}
	check(same_text, "base64url is written as libsodium writes it");
	check(same_characters[0], "F7: base64url is read as libsodium reads it, "
	                          "whatever character is in whatever place");
	check(same_characters[1], "base64 with padding is, too");
	check(same_length, "of every length of text");
	check(in_room, "what doesn't fit is refused and nothing behind is written");
}
