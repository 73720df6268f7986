/*
 * normalize.c: the canonical form of what people type.
 *
 * A password is normalised to NFC and otherwise left alone: never trimmed,
 * folded or cut. Mail still goes to the address as it was stored; a phone is
 * an E.164 number already or it is refused.
 *
 * An email compares by a key: its domain as A-label (UTS 46, non-transitional,
 * by libidn2), its local part in NFC, lower case by Unicode's full mapping,
 * and NFC again. Two addresses that mail takes to different mailboxes must
 * never have one key, case of the local part aside. So nothing is folded by
 * way of upper case, which makes one letter of the dotless i and the i; there
 * is no locale, and each code point is mapped alone, so that no word ends in
 * a final sigma. What can't be seen, and what Unicode has yet to give a
 * meaning, is refused: it would be a second address that looks the same, or
 * have another key under a later version.
 *
 * The server's tables do the normalisation, libunistring's the rest; the
 * database's locale does nothing.
 */
#include "postgres.h"

#include "tool/tool.h"

#include <idn2.h>
#include <unicase.h>
#include <unictype.h>

#include "common/unicode_norm.h"
#include "mb/pg_wchar.h"

/* The longest local part and label, in bytes: RFC 5321, RFC 1035. */
#define LOCAL_PART_MAX 64
#define LABEL_MAX      63

/* Code points that one becomes in lower case, at most. */
#define LOWER_MAX 3

/* A text as code points, ended by 0; to be freed by points_free. */
typedef struct Points
{
	pg_wchar *codes;
	size_t count;
} Points;

static void
points_free(Points *points)
{
	if (points->codes == NULL)
		return;
	as_wipe(points->codes, points->count * sizeof(pg_wchar));
	pfree(points->codes);
	points->codes = NULL;
}

/* False where the bytes are not UTF-8. */
static bool
points_read(const char *utf8, size_t length, Points *points)
{
	const unsigned char *at = (const unsigned char *) utf8;
	const unsigned char *end = at + length;

	points->codes = palloc((length + 1) * sizeof(pg_wchar));
	points->count = 0;
	while (at < end)
	{
		int bytes = pg_utf_mblen(at);

		if (at + bytes > end || !pg_utf8_islegal(at, bytes))
		{
			points_free(points);
			return false;
		}
		points->codes[points->count++] = utf8_to_unicode(at);
		at += bytes;
	}
	points->codes[points->count] = 0;
	return true;
}

static void
points_compose(Points *points)
{
	pg_wchar *composed;

	if (unicode_is_normalized_quickcheck(UNICODE_NFC, points->codes) ==
	    UNICODE_NORM_QC_YES)
		return;
	composed = unicode_normalize(UNICODE_NFC, points->codes);
	points_free(points);
	points->codes = composed;
	points->count = 0;
	while (composed[points->count] != 0)
		points->count++;
}

/* Lower case, each code point alone; false where there is no memory. */
static bool
points_lower(Points *points)
{
	pg_wchar *lower =
	    palloc((points->count * LOWER_MAX + 1) * sizeof(pg_wchar));
	size_t count = 0;

	for (size_t i = 0; i < points->count; i++)
	{
		size_t length = LOWER_MAX;
		ucs4_t code = points->codes[i];
		ucs4_t *mapped =
		    u32_tolower(&code, 1, NULL, NULL, &lower[count], &length);

		if (mapped != &lower[count])
		{
			free(mapped);
			pfree(lower);
			return false;
		}
		count += length;
	}
	lower[count] = 0;
	points_free(points);
	points->codes = lower;
	points->count = count;
	return true;
}

static char *
points_print(const Points *points, size_t *length)
{
	char *utf8 = palloc(points->count * 4 + 1);
	unsigned char *end = (unsigned char *) utf8;

	for (size_t i = 0; i < points->count; i++)
	{
		unicode_to_utf8(points->codes[i], end);
		end += pg_utf_mblen(end);
	}
	*end = '\0';
	*length = (size_t) (end - (unsigned char *) utf8);
	return utf8;
}

/*
 * What is not there for the eye: controls, format characters, what Unicode
 * says may be ignored; private use and what has no meaning (yet), non-characters
 * among it; and three that stand for nothing, the blank of Braille and the
 * replacement characters.
 */
static bool
is_hidden(pg_wchar code)
{
	return uc_is_general_category(code, UC_OTHER) ||
	       uc_is_general_category(code, UC_LINE_SEPARATOR) ||
	       uc_is_general_category(code, UC_PARAGRAPH_SEPARATOR) ||
	       uc_is_property_default_ignorable_code_point(code) ||
	       code == 0x2800 || code == 0xfffc || code == 0xfffd;
}

/* Whether all can be seen, and no space is among it. */
static bool
points_are_plain(const Points *points)
{
	for (size_t i = 0; i < points->count; i++)
		if (is_hidden(points->codes[i]) ||
		    uc_is_general_category(points->codes[i], UC_SEPARATOR))
			return false;
	return true;
}

bool
as_password_normalize(const char *utf8, size_t length, AsPassword *out,
                      size_t *characters)
{
	Points points;

	if (!points_read(utf8, length, &points))
		return false;
	points_compose(&points);
	*characters = points.count;
	out->bytes = points_print(&points, &out->length);
	points_free(&points);
	return true;
}

void
as_password_wipe(AsPassword *password)
{
	if (password->bytes != NULL)
		as_wipe(unconstify(char *, password->bytes), password->length);
}

/* ---- emails ---- */

/* A local part that needs no quoting, of dotted atoms. */
static bool
is_local_part(const char *local, size_t length)
{
	if (length == 0 || length > LOCAL_PART_MAX || local[0] == '.' ||
	    local[length - 1] == '.')
		return false;
	for (size_t i = 0; i < length; i++)
		if (strchr("\"(),:;<>@[\\]", local[i]) != NULL ||
		    (local[i] == '.' && local[i - 1] == '.'))
			return false;
	return true;
}

/* The key of a local part; NULL for what is none. */
static char *
local_part_normalize(const char *utf8, size_t length)
{
	Points points;
	char *key = NULL;
	size_t key_length;

	if (length > LOCAL_PART_MAX || !points_read(utf8, length, &points))
		return NULL;
	if (points_are_plain(&points))
	{
		points_compose(&points);
		if (points_lower(&points))
		{
			points_compose(&points);
			key = points_print(&points, &key_length);
			if (!points_are_plain(&points) || !is_local_part(key, key_length))
				key = NULL;
		}
	}
	points_free(&points);
	return key;
}

/* Dotted labels of letters, digits and hyphens, as the DNS has them. */
static bool
is_domain(const char *domain)
{
	size_t label = 0;
	const char *at;

	for (at = domain;; at++)
	{
		if (*at == '.' || *at == '\0')
		{
			if (label == 0 || label > LABEL_MAX || at[-1] == '-')
				return false;
			if (*at == '\0')
				return true;
			label = 0;
			continue;
		}
		if (!isalnum((unsigned char) *at) && (*at != '-' || label == 0))
			return false;
		label++;
	}
}

/* Whether libidn2 has something to say: not ASCII, or an A-label. */
static bool
is_internationalized(const char *domain)
{
	if (pg_strncasecmp(domain, "xn--", 4) == 0)
		return true;
	for (const char *at = domain; *at != '\0'; at++)
		if ((*at & 0x80) != 0 || pg_strncasecmp(at, ".xn--", 5) == 0)
			return true;
	return false;
}

/*
 * Without IDN2_USE_STD3_ASCII_RULES: libidn2 would take a character that they
 * forbid out, and make one of two domains. is_domain refuses it.
 */
static char *
domain_to_ascii(const char *domain)
{
	uint8_t *ascii;
	size_t length;
	char kept[AS_EMAIL_MAX_BYTES + 1];

	if (idn2_lookup_u8((const uint8_t *) domain, &ascii,
	                   IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK)
		return NULL;
	/* A copy first: what is allocated here could fail, and leak that. */
	kept[0] = '\0';
	length = strlen((const char *) ascii);
	if (length <= AS_EMAIL_MAX_BYTES)
		memcpy(kept, ascii, length + 1);
	idn2_free(ascii);
	return pstrdup(kept);
}

/* The key of a domain; NULL for what is none. */
static char *
domain_normalize(const char *utf8, size_t length)
{
	Points points;
	bool is_plain;
	char *domain;

	if (!points_read(utf8, length, &points))
		return NULL;
	is_plain = points_are_plain(&points);
	points_free(&points);
	if (!is_plain)
		return NULL;

	domain = pnstrdup(utf8, length);
	if (is_internationalized(domain))
		domain = domain_to_ascii(domain);
	if (domain == NULL || !is_domain(domain))
		return NULL;
	for (char *at = domain; *at != '\0'; at++)
		*at = (char) pg_ascii_tolower((unsigned char) *at);
	return domain;
}

char *
as_email_normalize(const char *utf8, size_t length)
{
	const char *at = memchr(utf8, '@', length);
	size_t local_length;
	char *local;
	char *domain;
	char *key;

	if (length > AS_EMAIL_MAX_BYTES || at == NULL)
		return NULL;
	local_length = (size_t) (at - utf8);
	local = local_part_normalize(utf8, local_length);
	domain = local == NULL
	             ? NULL
	             : domain_normalize(at + 1, length - local_length - 1);
	if (domain == NULL)
		return NULL;
	key = psprintf("%s@%s", local, domain);
	return strlen(key) <= AS_EMAIL_MAX_BYTES ? key : NULL;
}

/* ---- other texts ---- */

/*
 * By full case folding, not by lower case as addresses are: two passwords that
 * differ as ſ and s do are the same to who guesses.
 */
char *
as_fold_text(const char *utf8, size_t length)
{
	Points points;
	size_t composed_length;
	size_t folded_length = 0;
	char *composed;
	char *answer;
	uint8_t *folded;

	if (!points_read(utf8, length, &points))
		return pstrdup("");
	points_compose(&points);
	composed = points_print(&points, &composed_length);
	points_free(&points);
	folded = u8_casefold((const uint8_t *) composed, composed_length, NULL,
	                     UNINORM_NFC, NULL, &folded_length);
	as_wipe(composed, composed_length);
	pfree(composed);
	if (folded == NULL)
		return pstrdup("");
	answer = pnstrdup((const char *) folded, folded_length);
	as_wipe(folded, folded_length);
	free(folded);
	return answer;
}

char *
as_phone_normalize(const char *text, size_t length)
{
	/* E.164: +, a country code that can't begin with 0, 15 digits at most. */
	if (length < 8 || length > AS_PHONE_MAX_CHARS || text[0] != '+' ||
	    text[1] == '0')
		return NULL;
	for (size_t i = 1; i < length; i++)
		if (text[i] < '0' || text[i] > '9')
			return NULL;
	return pnstrdup(text, length);
}

char *
as_display_text(const char *utf8, size_t length, size_t most)
{
	char *shown;
	size_t kept = 0;
	Points points;

	if (length > most)
		length = pg_encoding_mbcliplen(PG_UTF8, utf8, (int) length, (int) most);
	if (!points_read(utf8, length, &points))
		return pstrdup("");
	for (size_t i = 0; i < points.count; i++)
		if (!is_hidden(points.codes[i]))
			points.codes[kept++] = points.codes[i];
	points.count = kept;
	shown = points_print(&points, &kept);
	points_free(&points);
	return shown;
}

void
as_code_tidy(char *utf8, size_t *length)
{
	const unsigned char *at = (const unsigned char *) utf8;
	const unsigned char *end = at + *length;
	size_t kept = 0;

	for (int bytes; at < end; at += bytes)
	{
		pg_wchar code;

		bytes = pg_utf_mblen(at);
		if (bytes > end - at)
			break;
		code = utf8_to_unicode(at);
		if (uc_is_property_white_space(code) || uc_is_property_dash(code))
			continue;
		memmove(utf8 + kept, at, (size_t) bytes);
		kept += (size_t) bytes;
	}
	utf8[kept] = '\0';
	*length = kept;
}
