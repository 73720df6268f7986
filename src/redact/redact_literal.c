/*
 * redact_literal.c: masks the literals of a statement, or of a text around
 * one.
 *
 * A text that is known to be SQL, and to start there, is masked by a lexer of
 * SQL's own rules: literals of every kind, comments, numbers long enough to
 * be a code. Anywhere else, in prose around a statement, to which a
 * translation may have added apostrophes, everything from the first quote to
 * the last is masked. Where quoting depends on a setting that the text's
 * reader may have had otherwise, the rest of the text goes.
 *
 * Masking happens in place and never makes a text longer, so it needs no
 * memory. A statement that others still have to read is masked to the same
 * length: the positions in it stay true, and it still lexes.
 */
#include "redact/redact.h"

/* A number of so many digits can be a one-time code. */
#define CODE_DIGITS 4

/* In prose, where a number may be a line or a duration too. */
#define PROSE_CODE_DIGITS 6

/* A place in a statement, and where its masked form has got to. */
typedef struct Lexer
{
	const char *p;
	const char *end;
	char *out;
	bool same_length;
	char before; /* the last character that is no white space */
} Lexer;

static void
copy_to(Lexer *lexer, const char *to)
{
	size_t length = (size_t) (to - lexer->p);

	memmove(lexer->out, lexer->p, length);
	lexer->out += length;
	lexer->p = to;
}

static void
mask_to(Lexer *lexer, const char *to)
{
	lexer->out = as_text_put_mask(lexer->out, (size_t) (to - lexer->p),
	                              lexer->same_length);
	lexer->p = to;
}

/*
 * What can't be lexed for sure is not shown at all. Blanks in a text of the
 * same length: a run of anything else could be an error to its next lexer.
 */
static void
drop_to(Lexer *lexer, const char *to)
{
	size_t length = (size_t) (to - lexer->p);

	if (lexer->same_length)
	{
		memset(lexer->out, ' ', length);
		lexer->out += length;
	}
	lexer->p = to;
}

/* At a quote: masks the literal up to its end, or all the rest. */
static void
lex_string(Lexer *lexer, bool escapes)
{
	const char *q = lexer->p + 1;

	while (q < lexer->end)
	{
		if (escapes && *q == '\\' && q + 1 < lexer->end)
			q += 2;
		else if (*q != '\'')
			q++;
		else if (q + 1 < lexer->end && q[1] == '\'')
			q += 2;
		else
			break;
	}

	/*
	 * A backslash before the closing quote means one thing or the other,
	 * depending on standard_conforming_strings when the statement was read.
	 */
	if (q >= lexer->end || (!escapes && q[-1] == '\\'))
	{
		if (!lexer->same_length)
			copy_to(lexer, lexer->p + 1);
		if (!lexer->same_length)
			mask_to(lexer, lexer->end);
		drop_to(lexer, lexer->end);
		return;
	}
	copy_to(lexer, lexer->p + 1);
	mask_to(lexer, q);
	copy_to(lexer, q + 1);
}

/* The end of the $tag$ at p; NULL when there is none. */
static const char *
dollar_tag_end(const char *p, const char *end)
{
	const char *q = p + 1;

	if (q < end && as_text_is_digit(*q))
		return NULL;
	q = as_text_skip(q, end, as_text_is_word);
	return q < end && *q == '$' ? q + 1 : NULL;
}

static void
lex_dollar(Lexer *lexer)
{
	const char *body = dollar_tag_end(lexer->p, lexer->end);
	const char *q;
	size_t tag;

	if (body == NULL)
	{
		/* A parameter, $1, is no number to mask. */
		copy_to(lexer,
		        as_text_skip(lexer->p + 1, lexer->end, as_text_is_digit));
		return;
	}
	tag = (size_t) (body - lexer->p);
	for (q = body; q < lexer->end; q++)
	{
		q = memchr(q, '$', (size_t) (lexer->end - q));
		if (q == NULL || (size_t) (lexer->end - q) < tag)
			break;
		if (memcmp(q, lexer->p, tag) == 0)
		{
			copy_to(lexer, body);
			mask_to(lexer, q);
			copy_to(lexer, q + tag);
			return;
		}
	}
	drop_to(lexer, lexer->end);
}

/*
 * A password in double quotes is a frequent slip: "..." alone between the
 * commas and parentheses of a call is taken for one.
 */
static void
lex_quoted_name(Lexer *lexer)
{
	const char *q = lexer->p + 1;
	const char *next;
	bool argument;

	while (q < lexer->end)
	{
		if (*q != '"')
			q++;
		else if (q + 1 < lexer->end && q[1] == '"')
			q += 2;
		else
			break;
	}
	if (q >= lexer->end)
	{
		drop_to(lexer, lexer->end);
		return;
	}
	next = as_text_skip(q + 1, lexer->end, as_text_is_space);
	argument = memchr("(,>=", lexer->before, 4) != NULL && next < lexer->end &&
	           (*next == ',' || *next == ')');
	copy_to(lexer, lexer->p + 1);
	if (argument)
		mask_to(lexer, q);
	copy_to(lexer, q + 1);
}

/* Digits become zeros: a number stays a number. */
static void
lex_number(Lexer *lexer)
{
	const char *q = lexer->p;
	int digits = 0;

	while (q < lexer->end && (as_text_is_word(*q) || *q == '.'))
		digits += as_text_is_digit(*q++);
	if (digits < CODE_DIGITS)
		copy_to(lexer, q);
	else if (!lexer->same_length)
		mask_to(lexer, q);
	else
		for (; lexer->p < q; lexer->p++)
			*lexer->out++ = as_text_is_digit(*lexer->p) ? '0' : *lexer->p;
}

static void
lex_word(Lexer *lexer)
{
	const char *start = lexer->p;
	const char *q = start;

	while (q < lexer->end && (as_text_is_word(*q) || *q == '$'))
		q++;
	copy_to(lexer, q);
	/* E'...' is a string with escapes, all other prefixes lex as none. */
	if (q - start == 1 && as_text_lower(*start) == 'e' && q < lexer->end &&
	    *q == '\'')
		lex_string(lexer, true);
}

static void
lex_block_comment(Lexer *lexer)
{
	const char *q = lexer->p;
	int depth = 0;

	do
	{
		if (q + 1 < lexer->end && q[0] == '/' && q[1] == '*')
		{
			depth++;
			q += 2;
		}
		else if (q + 1 < lexer->end && q[0] == '*' && q[1] == '/')
		{
			depth--;
			q += 2;
		}
		else
			q++;
	} while (depth > 0 && q < lexer->end);
	if (depth > 0)
	{
		drop_to(lexer, lexer->end);
		return;
	}
	copy_to(lexer, lexer->p + 2);
	drop_to(lexer, q - 2);
	copy_to(lexer, q);
}

static void
lex_line_comment(Lexer *lexer)
{
	const char *q = lexer->p;

	while (q < lexer->end && *q != '\n' && *q != '\r')
		q++;
	copy_to(lexer, lexer->p + 2);
	drop_to(lexer, q);
}

size_t
as_text_mask_literals(char *text, size_t length, bool same_length)
{
	Lexer lexer = {.p = text,
	               .end = text + length,
	               .out = text,
	               .same_length = same_length,
	               .before = '\0'};

	while (lexer.p < lexer.end)
	{
		char c = *lexer.p;
		char next = lexer.p + 1 < lexer.end ? lexer.p[1] : '\0';

		if (c == '\'')
			lex_string(&lexer, false);
		else if (c == '"')
			lex_quoted_name(&lexer);
		else if (c == '$')
			lex_dollar(&lexer);
		else if (c == '-' && next == '-')
			lex_line_comment(&lexer);
		else if (c == '/' && next == '*')
			lex_block_comment(&lexer);
		else if (as_text_is_digit(c))
			lex_number(&lexer);
		else if (as_text_is_word(c))
			lex_word(&lexer);
		else
			copy_to(&lexer, lexer.p + 1);
		if (!as_text_is_space(c))
			lexer.before = c;
	}
	return (size_t) (lexer.out - text);
}

/* ---- prose ---- */

/* Masks runs of at least PROSE_CODE_DIGITS digits. */
static size_t
mask_codes(char *text, size_t length)
{
	const char *p = text;
	const char *end = text + length;
	char *out = text;

	while (p < end)
	{
		const char *q = as_text_skip(p, end, as_text_is_digit);

		if (q - p >= PROSE_CODE_DIGITS)
			out = as_text_put_mask(out, (size_t) (q - p), false);
		else
		{
			if (q == p)
				q++;
			memmove(out, p, (size_t) (q - p));
			out += q - p;
		}
		p = q;
	}
	return (size_t) (out - text);
}

/* Replaces the bytes from first to last, both kept, by the mask. */
static size_t
mask_between(char *text, size_t length, size_t first, size_t last)
{
	char *out = as_text_put_mask(text + first, last - first, false);

	memmove(out, text + last, length - last);
	return (size_t) (out - text) + (length - last);
}

size_t
as_text_mask_prose(char *text, size_t length)
{
	const char *end = text + length;
	const char *p;
	size_t first = length;
	size_t last = 0;

	for (p = text; p < end; p++)
	{
		const char *after = NULL;

		if (*p == '\'')
			after = p + 1;
		else if (*p == '$')
			after = dollar_tag_end(p, end);
		if (after == NULL)
			continue;
		if (first == length)
			first = (size_t) (after - text);
		else
			last = (size_t) (p - text);
		p = after - 1;
	}
	if (first < length)
		length =
		    mask_between(text, length, first, last > first ? last : length);
	return mask_codes(text, length);
}

size_t
as_text_mask_values(char *text, size_t length)
{
	char *first = memchr(text, '"', length);
	size_t last = length;

	if (first == NULL)
		return length;
	first++;
	while (text + last > first && text[last - 1] != '"')
		last--;
	/* Only one: it was cut off. */
	if (text + last == first)
		last = length;
	else
		last--;
	return mask_between(text, length, (size_t) (first - text), last);
}
