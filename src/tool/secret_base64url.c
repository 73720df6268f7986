/*
 * secret_base64url.c: the encoding of secrets (RFC 4648 section 5), and of
 * those that HTTP's Basic scheme carries (section 4).
 *
 * libsodium's coder, whose time doesn't depend on what is encoded. Its decoder
 * (1.0.18) takes every byte above 127 for an underscore where char is signed,
 * so that a text would have twins: those bytes are refused before.
 */
#include "tool/tool.h"

#include <sodium.h>

#define VARIANT sodium_base64_VARIANT_URLSAFE_NO_PADDING

size_t
as_secret_base64url_encode(const void *bytes, size_t length, char *out)
{
	size_t room = sodium_base64_encoded_len(length, VARIANT);

	(void) sodium_bin2base64(out, room, bytes, length, VARIANT);
	return room - 1;
}

static bool
decode(int variant, const char *text, size_t length, void *out, size_t room,
       size_t *out_length)
{
	const char *end = NULL;
	unsigned char all = 0;

	for (size_t i = 0; i < length; i++)
		all |= (unsigned char) text[i];
	if (all > 127)
		return false;
	return sodium_base642bin(out, room, text, length, NULL, out_length, &end,
	                         variant) == 0 &&
	       end == text + length;
}

bool
as_secret_base64url_decode(const char *text, size_t length, void *out,
                           size_t room, size_t *out_length)
{
	return decode(VARIANT, text, length, out, room, out_length);
}

bool
as_secret_base64_decode(const char *text, size_t length, void *out, size_t room,
                        size_t *out_length)
{
	return decode(sodium_base64_VARIANT_ORIGINAL, text, length, out, room,
	              out_length);
}
