/*
 * render.c
 *		The template language: placeholders and sections, nothing else.
 *
 * A strict subset of mustache.  {{name}} is replaced by its value, escaped
 * for where it stands; {{#name}}..{{/name}} stays where there is a value and
 * {{^name}}..{{/name}} where there is none.  There is no way to ask for an
 * unescaped value, to include a file or to run anything, so whoever can
 * choose values (a user agent, say) gains nothing by writing braces: values
 * are never looked at again.
 */
#include "message.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 63
#define DEPTH_MAX       8

/* A value longer than this is cut, on a character's boundary. */
#define VALUE_MAX 1024

typedef struct Tag
{
	char sign; /* '#', '^', '/', or 0 for a value */
	char name[NAME_MAX_LENGTH + 1];
	const char *start; /* of "{{" */
	const char *end;   /* after "}}" */
} Tag;

/* The next tag from p on.  False: none (why NULL), or a malformed one. */
static bool
next_tag(const char *p, Tag *tag, const char **why)
{
	const char *name;
	size_t n;

	*why = NULL;
	tag->start = strstr(p, "{{");
	if (tag->start == NULL)
		return false;
	name = tag->start + 2;
	tag->sign = 0;
	if (*name == '#' || *name == '^' || *name == '/')
		tag->sign = *name++;
	name += strspn(name, " ");
	n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	if (n == 0 || n > NAME_MAX_LENGTH)
	{
		*why = "a placeholder's name is lower-case letters, digits and _";
		return false;
	}
	memcpy(tag->name, name, n);
	tag->name[n] = '\0';
	name += n;
	name += strspn(name, " ");
	if (name[0] != '}' || name[1] != '}')
	{
		*why = "a placeholder ends with }}";
		return false;
	}
	tag->end = name + 2;
	return true;
}

static int
line_of(const char *text, const char *p)
{
	int line = 1;

	for (; text < p; text++)
		line += *text == '\n';
	return line;
}

bool
br_render_check(const char *text, BrKnown known, const void *context, int *line,
                const char **why)
{
	Tag open[DEPTH_MAX];
	const char *p = text;
	int depth = 0;
	Tag tag;

	while (next_tag(p, &tag, why))
	{
		if (tag.sign == '/')
		{
			if (depth == 0 || strcmp(open[depth - 1].name, tag.name) != 0)
				*why = "a section ends that is not the last opened";
			depth--;
		}
		else if (tag.sign)
		{
			if (depth == DEPTH_MAX)
				*why = "sections are nested too deep";
			else
				open[depth] = tag;
			depth++;
		}
		if (*why == NULL && known != NULL && !known(context, tag.name))
			*why = "a placeholder that notifications of this kind never have";
		if (*why != NULL)
			break;
		p = tag.end;
	}
	if (*why == NULL && depth > 0)
	{
		*why = "a section is not closed";
		tag = open[depth - 1];
	}
	if (*why == NULL)
		return true;
	*line = line_of(text, tag.start);
	return false;
}

/* Cut before max, where a character starts. */
static size_t
cut_length(const char *value, size_t max)
{
	size_t n = strnlen(value, max + 1);

	if (n <= max)
		return n;
	for (n = max; n > 0 && ((unsigned char) value[n] & 0xc0) == 0x80; n--)
		;
	return n;
}

/* C0 and DEL; C1 and the Unicode line ends, by their UTF-8 bytes. */
static int
control_length(const unsigned char *p)
{
	if (*p < 0x20 || *p == 0x7f)
		return 1;
	if (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0)
		return 2;
	if (*p == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
		return 3;
	return 0;
}

static void
put_escaped(FILE *out, unsigned char c, BrEscape escape)
{
	if (escape == BR_ESCAPE_HTML)
	{
		switch (c)
		{
			case '&':
				fputs("&amp;", out);
				return;
			case '<':
				fputs("&lt;", out);
				return;
			case '>':
				fputs("&gt;", out);
				return;
			case '"':
				fputs("&quot;", out);
				return;
			case '\'':
				fputs("&#39;", out);
				return;
			default:
				break;
		}
	}
	else if (escape == BR_ESCAPE_URL && c != '-' && c != '_' && c != '.' &&
	         c != '~' && !(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') &&
	         !(c >= 'A' && c <= 'Z'))
	{
		fprintf(out, "%%%02X", c);
		return;
	}
	fputc(c, out);
}

static bool
put_value(FILE *out, const char *value, BrEscape escape)
{
	const unsigned char *p = (const unsigned char *) value;
	const unsigned char *end = p + cut_length(value, VALUE_MAX);

	while (p < end)
	{
		int control = escape == BR_ESCAPE_URL ? 0 : control_length(p);

		if (control && escape == BR_ESCAPE_HEADER)
			return false;
		if (control)
			fputc(' ', out);
		else
			put_escaped(out, *p, escape);
		p += control ? control : 1;
	}
	return true;
}

/* Where text goes on after a tag: a section's tag that has a line for itself
 * leaves no empty line. */
static const char *
after_tag(const char *text, const Tag *tag)
{
	if (tag->sign && *tag->end == '\n' &&
	    (tag->start == text || tag->start[-1] == '\n'))
		return tag->end + 1;
	return tag->end;
}

/* Past the end of the section that opening opens. */
static const char *
skip_section(const char *text, const Tag *opening)
{
	const char *why;
	int depth = 1;
	Tag tag = *opening;

	while (depth > 0 && next_tag(tag.end, &tag, &why))
	{
		if (tag.sign == '/')
			depth--;
		else if (tag.sign)
			depth++;
	}
	return after_tag(text, &tag);
}

char *
br_render(const char *text, BrEscape escape, BrLookup lookup, void *context,
          char **why)
{
	char *result;
	size_t length;
	FILE *out = br_stream_open(&result, &length);
	const char *p = text;
	const char *bad;
	bool good = true;
	Tag tag;

	while (good && next_tag(p, &tag, &bad))
	{
		const char *value = lookup(context, tag.name);

		fwrite(p, 1, (size_t) (tag.start - p), out);
		if ((tag.sign == '#' && value == NULL) ||
		    (tag.sign == '^' && value != NULL))
			p = skip_section(text, &tag);
		else
			p = after_tag(text, &tag);
		if (tag.sign == 0 && value != NULL)
			good = put_value(out, value, escape);
	}
	fputs(p, out);
	br_stream_close(out);
	if (good)
		return result;
	*why = br_copy(tag.name);
	br_free_secret(result);
	return NULL;
}
