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
 * The language is the payload's "locale" (de-AT, or de where that has no such
 * template), then the option's, then English.
 */
#include "message.h"
#include "builtin.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define FILE_MAX 262144

static const char *const part_names[BR_NPARTS] = {"subject", "text", "html",
                                                  "sms"};

/* The kinds of the contract: each needs a template. */
static const struct
{
	const char *kind;
	bool has_code; /* or a link */
} kinds[] = {{"confirm_email", true},     {"confirm_phone", true},
             {"password_reset", true},    {"email_change", true},
             {"signin_code", true},       {"invitation", true},
             {"account_exists", false},   {"new_signin", false},
             {"password_changed", false}, {"email_changed", false},
             {"phone_changed", false},    {"session_revoked", false},
             {"mfa_changed", false},      {"api_key_created", false}};

#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* What placeholders can be named: of all kinds, and of those with a code. */
static const char *const names[] = {
    "id",           "kind",       "channel", "recipient",
    "created_at",   "site_url",   "site",    "ip",
    "at",           "user_agent", "reason",  "locale",
    "new_email",    "new_phone",  "name",    "recovery_codes_left",
    "session_limit"};
static const char *const code_names[] = {"code", "code_expires_at", "link",
                                         "link_token", "link_expires_at"};

static int
find_kind(const char *kind)
{
	size_t i;

	for (i = 0; i < NKINDS; i++)
		if (strcmp(kinds[i].kind, kind) == 0)
			return (int) i;
	return -1;
}

bool
br_templates_kind(const char *kind)
{
	return find_kind(kind) >= 0;
}

static bool
is_among(const char *const *list, size_t n, const char *name)
{
	while (n > 0)
		if (strcmp(list[--n], name) == 0)
			return true;
	return false;
}

/* context: the kind; NULL for a link's path, which is of those with a code. */
static bool
is_known(const void *context, const char *name)
{
	const char *kind = context;

	return is_among(names, sizeof(names) / sizeof(names[0]), name) ||
	       ((kind == NULL || kinds[find_kind(kind)].has_code) &&
	        is_among(code_names, sizeof(code_names) / sizeof(code_names[0]),
	                 name));
}

static void
template_clear(BrTemplate *t)
{
	int i;

	free(t->locale);
	free(t->kind);
	for (i = 0; i < BR_NPARTS; i++)
		free(t->parts[i]);
	memset(t, 0, sizeof(*t));
}

static BrTemplate *
find(const BrTemplates *templates, const char *locale, size_t length,
     const char *kind)
{
	size_t i;

	for (i = 0; i < templates->n; i++)
	{
		BrTemplate *t = &templates->all[i];

		if (strlen(t->locale) == length &&
		    strncasecmp(t->locale, locale, length) == 0 &&
		    strcmp(t->kind, kind) == 0)
			return t;
	}
	return NULL;
}

/* The one of a locale, or of what it is a variety of: de-AT, then de (RFC
 * 4647, section 3.4). */
static const BrTemplate *
find_near(const BrTemplates *templates, const char *locale, const char *kind)
{
	const BrTemplate *t = NULL;
	size_t n = strlen(locale);

	while (n > 0 && (t = find(templates, locale, n, kind)) == NULL)
		do
			n--;
		while (n > 0 && locale[n] != '-' && locale[n] != '_');
	return t;
}

/* Cut content at its "%% part" lines; name is for error texts. */
static bool
parse(BrTemplate *t, const char *content, const char *name, BrFault *fault)
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
			for (current = 0; current < BR_NPARTS; current++)
				if (strlen(part_names[current]) == n - 3 &&
				    strncmp(p + 3, part_names[current], n - 3) == 0)
					break;
			if (current == BR_NPARTS || t->parts[current] != NULL)
				return br_fault_set(fault, BR_KIND_TEMPLATE,
				                    "%s:%d: unknown or repeated part", name,
				                    number);
			t->parts[current] = br_copy("");
		}
		else if (current >= 0)
		{
			char *longer =
			    br_format("%s%.*s", t->parts[current], (int) whole, p);

			free(t->parts[current]);
			t->parts[current] = longer;
		}
		else if (n > 0 && *p != '#')
			return br_fault_set(fault, BR_KIND_TEMPLATE,
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
check(BrTemplate *t, const char *name, BrFault *fault)
{
	int i;

	for (i = 0; i < BR_NPARTS; i++)
	{
		const char *why;
		int line;

		if (t->parts[i] == NULL && i <= BR_PART_TEXT)
			return br_fault_set(fault, BR_KIND_TEMPLATE,
			                    "%s: missing part \"%%%% %s\"", name,
			                    part_names[i]);
		if (t->parts[i] == NULL)
			continue;
		if (i == BR_PART_SUBJECT || i == BR_PART_SMS)
			strip(t->parts[i]);
		if (i == BR_PART_SUBJECT &&
		    (strchr(t->parts[i], '\n') || strchr(t->parts[i], '\r') ||
		     !*t->parts[i]))
			return br_fault_set(fault, BR_KIND_TEMPLATE,
			                    "%s: the subject is not one line", name);
		if (!br_render_check(t->parts[i], is_known, t->kind, &line, &why))
			return br_fault_set(fault, BR_KIND_TEMPLATE,
			                    "%s: part %s, line %d: %s", name, part_names[i],
			                    line, why);
	}
	return true;
}

/* Add a template, or replace the one of the same locale and kind. */
static bool
add(BrTemplates *templates, const char *locale, const char *kind,
    const char *content, const char *name, BrFault *fault)
{
	BrTemplate fresh;
	BrTemplate *place;

	if (find_kind(kind) < 0)
		return br_fault_set(fault, BR_KIND_TEMPLATE,
		                    "%s: there is no kind \"%.40s\"", name, kind);
	memset(&fresh, 0, sizeof(fresh));
	fresh.locale = br_copy(locale);
	fresh.kind = br_copy(kind);
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
		    br_realloc(templates->all, (templates->n + 1) * sizeof(BrTemplate));
		place = &templates->all[templates->n++];
	}
	*place = fresh;
	return true;
}

static char *
read_whole(const char *path, BrFault *fault)
{
	FILE *in = fopen(path, "r");
	char *text;
	size_t n;

	if (in == NULL)
	{
		br_fault_set(fault, BR_KIND_TEMPLATE, "templates: cannot read %s: %s",
		             path, strerror(errno));
		return NULL;
	}
	text = br_alloc(FILE_MAX + 1);
	n = fread(text, 1, FILE_MAX, in);
	if (ferror(in) || !feof(in) || strlen(text) != n)
	{
		br_fault_set(fault, BR_KIND_TEMPLATE,
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
read_locale(BrTemplates *templates, const char *directory, const char *locale,
            BrFault *fault)
{
	char *path = br_format("%s/%s", directory, locale);
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
		file = br_format("%s/%s", path, entry->d_name);
		kind = br_format("%.*s", (int) n - 5, entry->d_name);
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
read_directory(BrTemplates *templates, const char *directory, BrFault *fault)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	bool good = true;

	if (dir == NULL)
		return br_fault_set(fault, BR_KIND_TEMPLATE,
		                    "templates: cannot read %s: %s", directory,
		                    strerror(errno));
	while (good && (entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			good = read_locale(templates, directory, entry->d_name, fault);
	closedir(dir);
	return good;
}

BrTemplates *
br_templates_load(const BrOptions *options, BrFault *fault)
{
	BrTemplates *templates = br_alloc(sizeof(*templates));
	const BrBuiltin *b;
	const char *why;
	int line;
	size_t i;
	bool good = true;

	templates->options = options;
	for (b = br_builtins; good && b->locale; b++)
	{
		char *name = br_format("built-in %s/%s", b->locale, b->kind);

		good = add(templates, b->locale, b->kind, b->content, name, fault);
		free(name);
	}
	if (good && options->templates)
		good = read_directory(templates, options->templates, fault);
	for (i = 0; good && i < NKINDS; i++)
		if (find_near(templates, options->locale, kinds[i].kind) == NULL)
			good = br_fault_set(
			    fault, BR_KIND_TEMPLATE,
			    "missing template: locale \"%.40s\" has none for %s",
			    options->locale, kinds[i].kind);
	if (good &&
	    !br_render_check(options->link_path, is_known, NULL, &line, &why))
		good = br_fault_set(fault, BR_KIND_TEMPLATE, "link-path: %s", why);
	if (good)
		return templates;
	br_templates_free(templates);
	return NULL;
}

void
br_templates_free(BrTemplates *templates)
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
br_templates_dump(const char *directory, BrFault *fault)
{
	const BrBuiltin *b;

	if (mkdir(directory, 0777) != 0 && errno != EEXIST)
		return br_fault_set(fault, BR_KIND_INTERNAL, "cannot make %s: %s",
		                    directory, strerror(errno));
	for (b = br_builtins; b->locale; b++)
	{
		char *path = br_format("%s/%s", directory, b->locale);
		FILE *out = NULL;
		bool whole = false;

		if (mkdir(path, 0777) == 0 || errno == EEXIST)
		{
			free(path);
			path = br_format("%s/%s/%s.tmpl", directory, b->locale, b->kind);
			/* "x": what an operator changed is not overwritten. */
			out = fopen(path, "wx");
		}
		if (out != NULL)
		{
			whole = fputs(b->content, out) >= 0;
			whole = fclose(out) == 0 && whole;
		}
		if (!whole)
			br_fault_set(fault, BR_KIND_INTERNAL, "cannot write %s: %s", path,
			             strerror(errno));
		free(path);
		if (!whole)
			return false;
	}
	return true;
}

const BrTemplate *
br_templates_choose(const BrTemplates *templates, const BrNotification *n)
{
	const char *wanted = json_string_value(
	    json_object_get(json_object_get(n->body, "payload"), "locale"));
	const BrTemplate *t = NULL;

	if (wanted != NULL)
		t = find_near(templates, wanted, n->kind);
	if (t == NULL)
		t = find_near(templates, templates->options->locale, n->kind);
	if (t == NULL)
		t = find_near(templates, "en", n->kind);
	return t;
}
