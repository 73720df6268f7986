/*
 * normalize.c: the canonical form of what people type.
 *
 * A password is normalised to NFC and otherwise left alone: never trimmed,
 * folded or cut. An email compares by its NFC form with every character
 * taken to upper and then to lower case (Unicode's simple mappings), which
 * brings all case twins together: K and the Kelvin sign, s and the long s, i
 * and the dotless i are one. Mail still goes to the address as it was
 * stored. A phone is an E.164 number already or it is refused.
 *
 * The server's normalisation tables and glibc's C.UTF-8 do the work, so the
 * result doesn't depend on the database's locale.
 */
#include "postgres.h"

#include "tool/tool.h"

#include <locale.h>
#include <wctype.h>

#include "common/unicode_norm.h"
#include "mb/pg_wchar.h"

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

static bool
points_fold(Points *points)
{
	static locale_t unicode = (locale_t) 0;

	if (unicode == (locale_t) 0)
		unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
	if (unicode == (locale_t) 0)
		return false;
	for (size_t i = 0; i < points->count; i++)
		points->codes[i] =
		    towlower_l(towupper_l((wint_t) points->codes[i], unicode), unicode);
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

static bool
is_control(pg_wchar code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/* Bidirectional marks and other invisible characters that disguise. */
static bool
is_disguise(pg_wchar code)
{
	return (code >= 0x200b && code <= 0x200f) ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
	       code == 0x00ad;
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

/* The characters of Unicode's category Zs. */
static bool
is_space(pg_wchar code)
{
	return code == ' ' || code == 0xa0 || code == 0x1680 ||
	       (code >= 0x2000 && code <= 0x200a) || code == 0x202f ||
	       code == 0x205f || code == 0x3000;
}

/* Bytes of a code point in UTF-8. */
static size_t
utf8_bytes(pg_wchar code)
{
	unsigned char utf8[4];

	return (size_t) pg_utf_mblen(unicode_to_utf8(code, utf8));
}

/*
 * Whether code points are a mailbox that a mail server could take: one @
 * that parts a local part of at most 64 bytes from a domain of dotted
 * labels, nothing that needs quoting, no space, no control character.
 */
static bool
is_mailbox(const Points *points)
{
	size_t at = points->count;
	size_t local_bytes = 0;
	size_t label = 0;

	for (size_t i = 0; i < points->count; i++)
	{
		pg_wchar code = points->codes[i];

		if (is_control(code) || is_disguise(code) || is_space(code) ||
		    (code < 0x80 && strchr("\"(),:;<>[\\]", (int) code) != NULL))
			return false;
		if (code != '@')
			continue;
		if (at != points->count)
			return false;
		at = i;
	}
	for (size_t i = 0; i < at; i++)
		local_bytes += utf8_bytes(points->codes[i]);
	if (at == 0 || local_bytes > 64 || at >= points->count - 1 ||
	    points->codes[0] == '.' || points->codes[at - 1] == '.')
		return false;
	for (size_t i = 1; i < at; i++)
		if (points->codes[i] == '.' && points->codes[i - 1] == '.')
			return false;

	for (size_t i = at + 1; i <= points->count; i++)
	{
		pg_wchar code = i < points->count ? points->codes[i] : '.';

		if (code == '.')
		{
			if (label == 0 || label > 63 || points->codes[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (code == '-' && label == 0)
			return false;
		if (code < 0x80 && code != '-' && !isalnum((unsigned char) code))
			return false;
		label++;
	}
	return true;
}

char *
as_email_normalize(const char *utf8, size_t length)
{
	Points points;
	size_t canonical_length;
	char *canonical = NULL;

	if (length == 0 || length > AS_EMAIL_MAX_BYTES ||
	    !points_read(utf8, length, &points))
		return NULL;
	points_compose(&points);
	if (points_fold(&points))
	{
		points_compose(&points);
		if (is_mailbox(&points))
			canonical = points_print(&points, &canonical_length);
	}
	points_free(&points);
	return canonical;
}

char *
as_fold_text(const char *utf8, size_t length)
{
	Points points;
	size_t folded_length;
	char *folded;

	if (!points_read(utf8, length, &points))
		return pstrdup("");
	points_compose(&points);
	(void) points_fold(&points);
	folded = points_print(&points, &folded_length);
	points_free(&points);
	return folded;
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
		if (!is_control(points.codes[i]) && !is_disguise(points.codes[i]))
			points.codes[kept++] = points.codes[i];
	points.count = kept;
	shown = points_print(&points, &kept);
	points_free(&points);
	return shown;
}
