/*
 * redact.h: the redaction floor. No secret in the log or the statistics.
 *
 * redact.c stands in the server's hooks and decides what is masked; the
 * others find secrets in a text and mask them: bytes in, bytes out, compiled
 * without a server for the fuzzer. Calls base only.
 */
#ifndef AS_REDACT_H
#define AS_REDACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* ---- redact.c: no secret in the log or the statistics ---- */

/* Installs the hooks; from _PG_init, preloaded. */
extern void as_redact_init(void);

/*
 * From here on every line that the client's statement logs is masked, and
 * its text where others can read it. First thing in each function that takes
 * or returns a secret; costs nothing after the first time in a statement.
 */
extern void as_redact_statement(void);

/* ---- redact_*.c: what must not be read out of a text ---- */

typedef enum AsTextVerdict
{
	AS_TEXT_PLAIN, /* nothing to hide */
	AS_TEXT_TOKEN, /* shows a token, by its shape */
	AS_TEXT_NAMES  /* names a function that takes or returns a secret */
} AsTextVerdict;

/* The names that count besides the functions of auth and auth_admin. */
typedef struct AsTextNames
{
	/* Comma-separated, schema-qualified or not; NULL or "" for none. */
	const char *wrappers;
	/* The text behind a name that EXECUTE uses, or NULL; may be NULL. */
	const char *(*prepared)(const char *name);
} AsTextNames;

/*
 * Whether a text (any bytes, not NUL-terminated) names such a function, in
 * any case, quoting or spacing, inside literals and comments too; or else
 * shows a token. Linear in length.
 */
extern AsTextVerdict as_text_inspect(const char *text, size_t length,
                                     const AsTextNames *names);

/* The position of the first such name; length when there is none. */
extern size_t as_text_name_position(const char *text, size_t length,
                                    const AsTextNames *names);

/*
 * Each masks in place, adds no NUL and returns the new length, never more
 * than before. With same_length nothing moves.
 */

/* Literals, comments and long numbers of SQL that begins at text. */
extern size_t as_text_mask_literals(char *text, size_t length,
                                    bool same_length);
/* Tokens, by shape, in any text. */
extern size_t as_text_mask_tokens(char *text, size_t length, bool same_length);
/* From the first literal's quote to the last, and long numbers. */
extern size_t as_text_mask_prose(char *text, size_t length);
/* From the first double quote to the last. */
extern size_t as_text_mask_values(char *text, size_t length);

/* ---- redact_memory.c: what was found of a text before ---- */

/* Stands for a text, under a key of this server's, and tells nothing of it. */
typedef struct AsTextTag
{
	uint8_t bytes[16];
} AsTextTag;

typedef struct AsTextKnown
{
	AsTextVerdict verdict;
	AsTextVerdict masked; /* masking it as such a text changes nothing */
} AsTextKnown;

/* Makes the key; before any other, in the postmaster. */
extern void as_text_memory_init(void);

/* The tag of a text that is looked at with these wrappers. */
extern void as_text_tag(const char *text, size_t length, const char *wrappers,
                        AsTextTag *out);

/* False where it is not known, or known no more. */
extern bool as_text_recall(const AsTextTag *tag, AsTextKnown *known);
extern void as_text_remember(const AsTextTag *tag, AsTextKnown known);

/* ---- the readers among themselves: classes of characters, the mask ---- */

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

#endif /* AS_REDACT_H */
