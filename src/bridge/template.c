/*
 * template.c
 *		What a notification's placeholders mean, and its rendered message.
 *
 * Placeholders are the payload's members and, before them and never
 * replaced by them, the notification's own (id, kind, channel, recipient,
 * created_at) and what is made here: site_url, site, link.  The host of a
 * link comes from site_url alone, which the bridge read from the database's
 * setting.
 */
#include "message.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* One rendering: what lookup needs, and the value it made last. */
typedef struct Rendering
{
	const BrTemplates *templates;
	const BrNotification *n;
	char *made;
	bool in_link; /* a link's path cannot contain the link */
} Rendering;

/* The site's URL without its last slash, or NULL where it is not one. */
static char *
site_url(const BrNotification *n)
{
	const char *url = json_string_value(json_object_get(n->body, "site_url"));
	const unsigned char *p;
	size_t length;

	if (url == NULL ||
	    (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0))
		return NULL;
	for (p = (const unsigned char *) url; *p; p++)
		if (*p <= 0x20 || *p == 0x7f)
			return NULL;
	length = strlen(url);
	while (length > 0 && url[length - 1] == '/')
		length--;
	return br_format("%.*s", (int) length, url);
}

/* What mails call the site: the option, else the host of its URL. */
static char *
site(const Rendering *r)
{
	char *url;
	char *host;

	if (r->templates->options->site_name)
		return br_copy(r->templates->options->site_name);
	url = site_url(r->n);
	if (url == NULL)
		return NULL;
	host = strstr(url, "://") + 3;
	host = br_format("%.*s", (int) strcspn(host, "/?#"), host);
	free(url);
	return host;
}

/* 2026-11-24T07:30:00.5+00:00 and the like, for people. */
static char *
readable_time(const char *value)
{
	static const char shape[] = "dddd-dd-ddTdd:dd";
	const char *zone = "";
	size_t i;
	size_t n;

	for (i = 0; shape[i]; i++)
		if (shape[i] == 'd'
		        ? !isdigit((unsigned char) value[i])
		        : value[i] != shape[i] && !(shape[i] == 'T' && value[i] == ' '))
			return br_copy(value);
	n = i + strspn(value + i, ":.0123456789");
	if (strcmp(value + n, "Z") == 0 || strcmp(value + n, "+00") == 0 ||
	    strcmp(value + n, "+00:00") == 0)
		zone = " UTC";
	else
		zone = value + n;
	return br_format("%.10s %.5s%s", value, value + 11, zone);
}

static const char *lookup(void *context, const char *name);

/* The host comes from the database's setting, the rest from link-path. */
static char *
make_link(Rendering *r)
{
	json_t *payload = json_object_get(r->n->body, "payload");
	char *url;
	char *path;
	char *whole = NULL;
	char *why;

	if (!json_is_string(json_object_get(payload, "link_token")))
		return NULL;
	url = site_url(r->n);
	if (url == NULL)
		return NULL;
	r->in_link = true;
	path = br_render(r->templates->options->link_path, BR_ESCAPE_URL, lookup, r,
	                 &why);
	r->in_link = false;
	whole = br_format("%s%s", url, path);
	br_free_secret(path);
	free(url);
	return whole;
}

/* A member of the payload as text; NULL for what is not a scalar. */
static char *
member(const BrNotification *n, const char *name)
{
	json_t *value = json_object_get(json_object_get(n->body, "payload"), name);
	size_t length = strlen(name);

	if (json_is_string(value) && json_string_length(value) == 0)
		return NULL;
	if (json_is_string(value) && length > 3 &&
	    strcmp(name + length - 3, "_at") == 0)
		return readable_time(json_string_value(value));
	if (json_is_string(value))
		return br_copy(json_string_value(value));
	if (json_is_integer(value))
		return br_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (json_is_true(value))
		return br_copy("true");
	return NULL;
}

static const char *
lookup(void *context, const char *name)
{
	Rendering *r = context;
	char *made;

	if (strcmp(name, "id") == 0)
		return r->n->id;
	if (strcmp(name, "kind") == 0)
		return r->n->kind;
	if (strcmp(name, "channel") == 0)
		return r->n->channel;
	if (strcmp(name, "recipient") == 0)
		return r->n->recipient;
	if (strcmp(name, "created_at") == 0)
		made = readable_time(r->n->created_at);
	else if (strcmp(name, "site_url") == 0)
		made = site_url(r->n);
	else if (strcmp(name, "site") == 0)
		made = site(r);
	else if (strcmp(name, "link") == 0)
		made = r->in_link ? NULL : make_link(r);
	else
		made = member(r->n, name);
	br_free_secret(r->made);
	r->made = made;
	return made;
}

bool
br_templates_render(const BrTemplates *templates, const BrNotification *n,
                    BrMessage *message, BrFault *fault)
{
	static const BrEscape escapes[BR_NPARTS] = {
	    BR_ESCAPE_HEADER, BR_ESCAPE_TEXT, BR_ESCAPE_HTML, BR_ESCAPE_TEXT};
	const BrTemplate *t = br_templates_choose(templates, n);
	char *made[BR_NPARTS] = {NULL, NULL, NULL, NULL};
	Rendering r = {templates, n, NULL, false};
	char *why = NULL;
	int i;

	memset(message, 0, sizeof(*message));
	if (t == NULL)
		return br_fault_set(fault, BR_KIND_TEMPLATE,
		                    "missing template: no locale has one for %s",
		                    n->kind);
	for (i = 0; i < BR_NPARTS && why == NULL; i++)
		if (t->parts[i] != NULL)
			made[i] = br_render(t->parts[i], escapes[i], lookup, &r, &why);
	br_free_secret(r.made);
	message->subject = made[BR_PART_SUBJECT];
	message->text = made[BR_PART_TEXT];
	message->html = made[BR_PART_HTML];
	message->sms = made[BR_PART_SMS];
	if (why == NULL)
		return true;
	br_fault_set(fault, BR_KIND_TEMPLATE,
	             "template %s/%s: the value of \"%s\" would break the subject",
	             t->locale, t->kind, why);
	free(why);
	br_message_free(message);
	return false;
}

void
br_message_free(BrMessage *message)
{
	br_free_secret(message->subject);
	br_free_secret(message->text);
	br_free_secret(message->html);
	br_free_secret(message->sms);
	memset(message, 0, sizeof(*message));
}
