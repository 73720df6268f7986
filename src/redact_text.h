/*
 * redact_text.h: what the tools that read a text for secrets share: the
 * classes of characters, and the mask.
 */
#ifndef AS_REDACT_TEXT_H
#define AS_REDACT_TEXT_H

#include "tools.h"

#include <string.h>
#include <strings.h>

static inline char
as_text_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c | 0x20) : c;
}

static inline bool
as_text_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* What identifiers are made of, but for the dollar, which also quotes. */
static inline bool
as_text_is_word(char c)
{
	char l = (char) (c | 0x20);

	return (l >= 'a' && l <= 'z') || as_text_is_digit(c) || c == '_' ||
	       (unsigned char) c >= 0x80;
}

static inline bool
as_text_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline const char *
as_text_skip(const char *p, const char *end, bool (*is)(char))
{
	while (p < end && is(*p))
		p++;
	return p;
}

/*
 * Writes what stands for length bytes of a secret: no more than length, and
 * just as many when same_length. Returns what follows it.
 */
static inline char *
as_text_put_mask(char *out, size_t length, bool same_length)
{
	size_t shown = same_length || length < 3 ? length : 3;

	memset(out, '*', shown);
	return out + shown;
}

/*
 * Whether a token that is not masked starts at p. *barren, the text's start
 * at first, is where a pass has found that no JWT starts before, so that one
 * pass stays linear. (redact_token.c)
 */
extern bool as_text_token_at(const char *p, const char *end,
                             const char **barren);

#endif /* AS_REDACT_TEXT_H */
