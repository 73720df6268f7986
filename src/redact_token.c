/*
 * redact_token.c: tokens, known by their shape wherever they show.
 *
 * An error or a parameter shows a token far from any function's name: a cast
 * of a sign-in's result that fails, the bearer token in PostgREST's headers.
 * So a token is also looked for as such: the marks of those made here, a
 * JWT's first character, the header that carries it. The mark stays in the
 * masked text, so that a reader sees what was there.
 */
#include "redact_text.h"

/* Fewer characters after a token's mark are no token. */
#define TOKEN_MIN_CHARS 16

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

/*
 * When a token starts at p, the end of it, and in *secret where its secret
 * part begins; else NULL.
 */
static const char *
token_end(const char *p, const char *end, const char **secret)
{
	const char *q;
	size_t left = (size_t) (end - p);

	switch (*p)
	{
		case 'a':
			/* asr1_ (refresh), asl1_ (link) and their kin */
			if (left > 5 && p[1] == 's' && p[3] == '1' && p[4] == '_')
			{
				q = as_text_skip(p + 5, end, is_base64url);
				*secret = p + 5;
				return q - *secret >= TOKEN_MIN_CHARS ? q : NULL;
			}
			/* FALLTHROUGH */
		case 'A':
			if (left > 13 && strncasecmp(p, "authorization", 13) == 0)
			{
				*secret = as_text_skip(p + 13, end, is_json_gap);
				q = memchr(p + 13, ':', (size_t) (*secret - p - 13));
				if (q == NULL || memchr(q, '"', (size_t) (*secret - q)) == NULL)
					return NULL;
				q = as_text_skip(*secret, end, is_header_value);
				return q > *secret ? q : NULL;
			}
			return NULL;
		case 'b':
		case 'B':
			if (left > 7 && strncasecmp(p, "bearer ", 7) == 0)
			{
				*secret = as_text_skip(p + 7, end, as_text_is_space);
				q = as_text_skip(*secret, end, is_token68);
				return q - *secret >= TOKEN_MIN_CHARS ? q : NULL;
			}
			return NULL;
		case 'e':
			/* A JWT: the base64url of '{"', then two or three parts. */
			if (left > 3 && p[1] == 'y' && p[2] == 'J')
			{
				*secret = p + 3;
				q = as_text_skip(p + 3, end, is_base64url);
				if (q - p < 8 || q == end || *q != '.')
					return NULL;
				p = q + 1;
				q = as_text_skip(p, end, is_base64url);
				if (q - p < 2)
					return NULL;
				if (q < end && *q == '.')
					q = as_text_skip(q + 1, end, is_base64url);
				return q;
			}
			return NULL;
		case 'o':
			if (left > 10 && strncmp(p, "otpauth://", 10) == 0)
			{
				*secret = p + 10;
				q = as_text_skip(*secret, end, is_url);
				return q > *secret ? q : NULL;
			}
			return NULL;
		default:
			return NULL;
	}
}

size_t
as_text_mask_tokens(char *text, size_t length, bool same_length)
{
	const char *p = text;
	const char *end = text + length;
	char *out = text;

	while (p < end)
	{
		const char *secret;
		const char *after = token_end(p, end, &secret);

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
as_text_token_at(const char *p, const char *end)
{
	const char *secret;
	const char *after = token_end(p, end, &secret);

	/* Masked already? Then there is nothing left to hide. */
	return after != NULL &&
	       memchr(secret, '*', (size_t) (after - secret)) == NULL;
}
