/*
 * redact_token.c: tokens, known by their shape wherever they show.
 *
 * An error or a parameter shows a token far from any function's name: a cast
 * of a sign-in's result that fails, the bearer token in PostgREST's headers.
 * So a token is also looked for as such: the marks of those made here, a
 * JWT's first character, the header that carries it. The mark stays in the
 * masked text, so that a reader sees what was there.
 */
#include "redact/redact.h"

#include <stddef.h>

/* Fewer characters after a token's mark are no token. */
#define TOKEN_MIN_CHARS 16

/* The base64url of {"alg": alone is longer. */
#define JWT_HEADER_MIN_CHARS 8

static bool
is_base64url(char c)
{
	return (as_text_is_word(c) && (unsigned char) c < 0x80) || c == '-';
}

/* RFC 6750 section 2.1: the characters of a bearer token. */
static bool
is_token68(char c)
{
	return is_base64url(c) || c == '.' || c == '~' || c == '+' || c == '/' ||
	       c == '=';
}

/* White space, and what JSON in SQL in JSON puts around a quote. */
static bool
is_json_gap(char c)
{
	return as_text_is_space(c) || c == '\\' || c == '"' || c == ':';
}

static bool
is_header_value(char c)
{
	return c != '"' && c != '\'' && c != '\\';
}

static bool
is_url(char c)
{
	return !as_text_is_space(c) && c != '"' && c != '\'';
}

/* The end of a JWT at p: base64url of '{"', then two or three parts. */
static const char *
jwt_end(const char *p, const char *end, const char **barren)
{
	const char *q;
	const char *payload;

	/* What follows a part without a point is no JWT from any start. */
	if (p < *barren)
		return NULL;
	q = as_text_skip(p, end, is_base64url);
	if (q - p >= JWT_HEADER_MIN_CHARS && q < end && *q == '.')
	{
		payload = q + 1;
		q = as_text_skip(payload, end, is_base64url);
		if (q - payload >= 2)
			return q < end && *q == '.' ? as_text_skip(q + 1, end, is_base64url)
			                            : q;
		q = payload;
	}
	*barren = q;
	return NULL;
}

/* The end of the value of a header that JSON carries; NULL if it is none. */
static const char *
header_end(const char *gap, const char *end, const char **value)
{
	const char *colon;

	*value = as_text_skip(gap, end, is_json_gap);
	colon = memchr(gap, ':', (size_t) (*value - gap));
	if (colon == NULL || memchr(colon, '"', (size_t) (*value - colon)) == NULL)
		return NULL;
	return as_text_skip(*value, end, is_header_value);
}

static bool
starts(const char *p, const char *end, const char *mark)
{
	size_t length = strlen(mark);

	return (size_t) (end - p) > length && strncasecmp(p, mark, length) == 0;
}

/*
 * When a token that is not masked yet starts at p, the end of it, and in
 * *secret where its secret part begins; else NULL.
 */
static const char *
token_end(const char *p, const char *end, const char **secret,
          const char **barren)
{
	const char *q = NULL;
	ptrdiff_t least = 1;

	switch (*p)
	{
		case 'a':
		case 'A':
			/* asr1_ (refresh), asl1_ (link) and their kin */
			if (end - p > 5 && p[1] == 's' && p[3] == '1' && p[4] == '_')
			{
				*secret = p + 5;
				q = as_text_skip(*secret, end, is_base64url);
				least = TOKEN_MIN_CHARS;
			}
			else if (starts(p, end, "authorization"))
				q = header_end(p + strlen("authorization"), end, secret);
			break;
		case 'b':
		case 'B':
			if (starts(p, end, "bearer "))
			{
				*secret =
				    as_text_skip(p + strlen("bearer"), end, as_text_is_space);
				q = as_text_skip(*secret, end, is_token68);
				least = TOKEN_MIN_CHARS;
			}
			break;
		case 'e':
			*secret = p + 3;
			if (end - p > 3 && p[1] == 'y' && p[2] == 'J' && p[3] != '*')
				q = jwt_end(p, end, barren);
			break;
		case 'o':
			*secret = p + strlen("otpauth://");
			if (starts(p, end, "otpauth://") && **secret != '*')
				q = as_text_skip(*secret, end, is_url);
			break;
		default:
			break;
	}
	return q != NULL && q - *secret >= least && **secret != '*' ? q : NULL;
}

size_t
as_text_mask_tokens(char *text, size_t length, bool same_length)
{
	const char *p = text;
	const char *end = text + length;
	const char *barren = text;
	char *out = text;

	while (p < end)
	{
		const char *secret;
		const char *after = token_end(p, end, &secret, &barren);

		if (after == NULL)
		{
			*out++ = *p++;
			continue;
		}
		memmove(out, p, (size_t) (secret - p));
		out += secret - p;
		out = as_text_put_mask(out, (size_t) (after - secret), same_length);
		p = after;
	}
	return (size_t) (out - text);
}

bool
as_text_token_at(const char *p, const char *end, const char **barren)
{
	const char *secret;

	return token_end(p, end, &secret, barren) != NULL;
}
