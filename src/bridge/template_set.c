/*
 * template_set.c
 *		The templates: built in, or read from a directory; which one is chosen.
 *
 * A template is one file, LOCALE/KIND.tmpl, of parts that begin with a line
 * "%% subject", "%% text", "%% html" or "%% sms"; the first two have to be
 * there.  A file in the options' directory replaces the built-in one whole.
 * All are read, and checked, at start and reload: a mistake shows then, not
 * with the first mail of its kind.
 *
 * The language is the payload's "locale", without its region where there is
 * no such template, then the option, then English.
 */
#include "bridge.h"
#include "builtin.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FILE_MAX 262144

static const char *const part_names[AS_NPARTS] = {"subject", "text", "html",
                                                  "sms"};

/* The kinds of the contract: each needs a template. */
static const char *const kinds[] = {
    "confirm_email",  "confirm_phone",    "account_exists", "new_signin",
    "password_reset", "password_changed", "email_change",   "email_changed",
    "phone_changed",  "session_revoked",  "mfa_changed"};

static void
template_clear(AsTemplate *t)
{
	int i;

	free(t->locale);
	free(t->kind);
	for (i = 0; i < AS_NPARTS; i++)
		free(t->parts[i]);
	memset(t, 0, sizeof(*t));
}

static AsTemplate *
find(const AsTemplates *templates, const char *locale, size_t length,
     const char *kind)
{
	size_t i;

	for (i = 0; i < templates->n; i++)
	{
		AsTemplate *t = &templates->all[i];

		if (strlen(t->locale) == length &&
		    strncasecmp(t->locale, locale, length) == 0 &&
		    strcmp(t->kind, kind) == 0)
			return t;
	}
	return NULL;
}

/* Cut content at its "%% part" lines; name is for error texts. */
static bool
parse(AsTemplate *t, const char *content, const char *name, AsFault *fault)
{
	const char *p = content;
	int number = 0;
	int current = -1;

	while (*p)
	{
		size_t n = strcspn(p, "\n");
		size_t whole = n + (p[n] == '\n');

		number++;
		if (strncmp(p, "%% ", 3) == 0)
		{
			for (current = 0; current < AS_NPARTS; current++)
				if (strlen(part_names[current]) == n - 3 &&
				    strncmp(p + 3, part_names[current], n - 3) == 0)
					break;
			if (current == AS_NPARTS || t->parts[current] != NULL)
				return as_fault_set(fault, AS_KIND_TEMPLATE,
				                    "%s:%d: unknown or repeated part", name,
				                    number);
			t->parts[current] = as_copy("");
		}
		else if (current >= 0)
		{
			char *longer =
			    as_format("%s%.*s", t->parts[current], (int) whole, p);

			free(t->parts[current]);
			t->parts[current] = longer;
		}
		else if (n > 0 && *p != '#')
			return as_fault_set(fault, AS_KIND_TEMPLATE,
			                    "%s:%d: expected a line \"%%%% subject\"", name,
			                    number);
		p += whole;
	}
	return true;
}

/* The newline that ends a one-line part, and blank lines around others. */
static void
strip(char *text)
{
	size_t n = strlen(text);

	while (n > 0 && isspace((unsigned char) text[n - 1]))
		text[--n] = '\0';
}

static bool
check(AsTemplate *t, const char *name, AsFault *fault)
{
	int i;

	for (i = 0; i < AS_NPARTS; i++)
	{
		const char *why;
		int line;

		if (t->parts[i] == NULL && i <= AS_PART_TEXT)
			return as_fault_set(fault, AS_KIND_TEMPLATE,
			                    "%s: missing part \"%%%% %s\"", name,
			                    part_names[i]);
		if (t->parts[i] == NULL)
			continue;
		if (i == AS_PART_SUBJECT || i == AS_PART_SMS)
			strip(t->parts[i]);
		if (i == AS_PART_SUBJECT &&
		    (strchr(t->parts[i], '\n') || strchr(t->parts[i], '\r') ||
		     !*t->parts[i]))
			return as_fault_set(fault, AS_KIND_TEMPLATE,
			                    "%s: the subject is not one line", name);
		if (!as_render_check(t->parts[i], &line, &why))
			return as_fault_set(fault, AS_KIND_TEMPLATE,
			                    "%s: part %s, line %d: %s", name, part_names[i],
			                    line, why);
	}
	return true;
}

/* Add a template, or replace the one of the same locale and kind. */
static bool
add(AsTemplates *templates, const char *locale, const char *kind,
    const char *content, const char *name, AsFault *fault)
{
	AsTemplate fresh;
	AsTemplate *place;

	memset(&fresh, 0, sizeof(fresh));
	fresh.locale = as_copy(locale);
	fresh.kind = as_copy(kind);
	if (!parse(&fresh, content, name, fault) || !check(&fresh, name, fault))
	{
		template_clear(&fresh);
		return false;
	}
	place = find(templates, locale, strlen(locale), kind);
	if (place != NULL)
		template_clear(place);
	else
	{
		templates->all =
		    as_realloc(templates->all, (templates->n + 1) * sizeof(AsTemplate));
		place = &templates->all[templates->n++];
	}
	*place = fresh;
	return true;
}

static char *
read_whole(const char *path, AsFault *fault)
{
	FILE *in = fopen(path, "r");
	char *text;
	size_t n;

	if (in == NULL)
	{
		as_fault_set(fault, AS_KIND_TEMPLATE, "templates: cannot read %s: %s",
		             path, strerror(errno));
		return NULL;
	}
	text = as_alloc(FILE_MAX + 1);
	n = fread(text, 1, FILE_MAX, in);
	if (ferror(in) || !feof(in) || strlen(text) != n)
	{
		as_fault_set(fault, AS_KIND_TEMPLATE,
		             "%s: unreadable, longer than %d bytes, or not text", path,
		             FILE_MAX);
		free(text);
		text = NULL;
	}
	fclose(in);
	return text;
}

/* DIR/LOCALE: every KIND.tmpl in it. */
static bool
read_locale(AsTemplates *templates, const char *directory, const char *locale,
            AsFault *fault)
{
	char *path = as_format("%s/%s", directory, locale);
	DIR *dir = opendir(path);
	struct dirent *entry;
	bool good = true;

	while (good && dir && (entry = readdir(dir)) != NULL)
	{
		size_t n = strlen(entry->d_name);
		char *file;
		char *kind;
		char *content;

		if (n < 6 || strcmp(entry->d_name + n - 5, ".tmpl") != 0)
			continue;
		file = as_format("%s/%s", path, entry->d_name);
		kind = as_format("%.*s", (int) n - 5, entry->d_name);
		content = read_whole(file, fault);
		good = content && add(templates, locale, kind, content, file, fault);
		free(content);
		free(kind);
		free(file);
	}
	if (dir)
		closedir(dir);
	free(path);
	return good;
}

static bool
read_directory(AsTemplates *templates, const char *directory, AsFault *fault)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	bool good = true;

	if (dir == NULL)
		return as_fault_set(fault, AS_KIND_TEMPLATE,
		                    "templates: cannot read %s: %s", directory,
		                    strerror(errno));
	while (good && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			good = read_locale(templates, directory, entry->d_name, fault);
	closedir(dir);
	return good;
}

AsTemplates *
as_templates_load(const AsOptions *options, AsFault *fault)
{
	AsTemplates *templates = as_alloc(sizeof(*templates));
	const AsBuiltin *b;
	const char *why;
	int line;
	size_t i;
	bool good = true;

	templates->options = options;
	for (b = as_builtins; good && b->locale; b++)
	{
		char *name = as_format("built-in %s/%s", b->locale, b->kind);

		good = add(templates, b->locale, b->kind, b->content, name, fault);
		free(name);
	}
	if (good && options->templates)
		good = read_directory(templates, options->templates, fault);
	for (i = 0; good && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!find(templates, options->locale, strlen(options->locale),
		          kinds[i]))
			good = as_fault_set(
			    fault, AS_KIND_TEMPLATE,
			    "missing template: locale \"%.40s\" has none for %s",
			    options->locale, kinds[i]);
	if (good && !as_render_check(options->link_path, &line, &why))
		good = as_fault_set(fault, AS_KIND_TEMPLATE, "link-path: %s", why);
	if (good)
		return templates;
	as_templates_free(templates);
	return NULL;
}

void
as_templates_free(AsTemplates *templates)
{
	size_t i;

	if (templates == NULL)
		return;
	for (i = 0; i < templates->n; i++)
		template_clear(&templates->all[i]);
	free(templates->all);
	free(templates);
}

bool
as_templates_dump(const char *directory, AsFault *fault)
{
	const AsBuiltin *b;

	if (mkdir(directory, 0777) != 0 && errno != EEXIST)
		return as_fault_set(fault, AS_KIND_INTERNAL, "cannot make %s: %s",
		                    directory, strerror(errno));
	for (b = as_builtins; b->locale; b++)
	{
		char *path = as_format("%s/%s", directory, b->locale);
		FILE *out = NULL;
		bool whole = false;

		if (mkdir(path, 0777) == 0 || errno == EEXIST)
		{
			free(path);
			path = as_format("%s/%s/%s.tmpl", directory, b->locale, b->kind);
			/* "x": what an operator changed is not overwritten. */
			out = fopen(path, "wx");
		}
		if (out != NULL)
		{
			whole = fputs(b->content, out) >= 0;
			whole = fclose(out) == 0 && whole;
		}
		if (!whole)
			as_fault_set(fault, AS_KIND_INTERNAL, "cannot write %s: %s", path,
			             strerror(errno));
		free(path);
		if (!whole)
			return false;
	}
	return true;
}

const AsTemplate *
as_templates_choose(const AsTemplates *templates, const AsNotification *n)
{
	const char *wanted = json_string_value(
	    json_object_get(json_object_get(n->body, "payload"), "locale"));
	const char *fallback = templates->options->locale;
	const AsTemplate *t = NULL;

	if (wanted != NULL)
	{
		t = find(templates, wanted, strlen(wanted), n->kind);
		if (t == NULL)
			t = find(templates, wanted, strcspn(wanted, "-_"), n->kind);
	}
	if (t == NULL)
		t = find(templates, fallback, strlen(fallback), n->kind);
	if (t == NULL)
		t = find(templates, "en", 2, n->kind);
	return t;
}
