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
#include "bridge.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* One rendering: what lookup needs, and the value it made last. */
typedef struct Rendering
{
	const AsTemplates *templates;
	const AsNotification *n;
	char *made;
	bool in_link; /* a link's path cannot contain the link */
} Rendering;

/* The site's URL without its last slash, or NULL where it is not one. */
static char *
site_url(const AsNotification *n)
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
	return as_format("%.*s", (int) length, url);
}

/* What mails call the site: the option, else the host of its URL. */
static char *
site(const Rendering *r)
{
	char *url;
	char *host;

	if (r->templates->options->site_name)
		return as_copy(r->templates->options->site_name);
	url = site_url(r->n);
	if (url == NULL)
		return NULL;
	host = strstr(url, "://") + 3;
	host = as_format("%.*s", (int) strcspn(host, "/?#"), host);
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
			return as_copy(value);
	n = i + strspn(value + i, ":.0123456789");
	if (strcmp(value + n, "Z") == 0 || strcmp(value + n, "+00") == 0 ||
	    strcmp(value + n, "+00:00") == 0)
		zone = " UTC";
	else
		zone = value + n;
	return as_format("%.10s %.5s%s", value, value + 11, zone);
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
	path = as_render(r->templates->options->link_path, AS_ESCAPE_URL, lookup, r,
	                 &why);
	r->in_link = false;
	whole = as_format("%s%s", url, path);
	as_free_secret(path);
	free(url);
	return whole;
}

/* A member of the payload as text; NULL for what is not a scalar. */
static char *
member(const AsNotification *n, const char *name)
{
	json_t *value = json_object_get(json_object_get(n->body, "payload"), name);
	size_t length = strlen(name);

	if (json_is_string(value) && json_string_length(value) == 0)
		return NULL;
	if (json_is_string(value) && length > 3 &&
	    strcmp(name + length - 3, "_at") == 0)
		return readable_time(json_string_value(value));
	if (json_is_string(value))
		return as_copy(json_string_value(value));
	if (json_is_integer(value))
		return as_format("%" JSON_INTEGER_FORMAT, json_integer_value(value));
	if (json_is_true(value))
		return as_copy("true");
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
	as_free_secret(r->made);
	r->made = made;
	return made;
}

bool
as_templates_render(const AsTemplates *templates, const AsNotification *n,
                    AsMessage *message, AsFault *fault)
{
	static const AsEscape escapes[AS_NPARTS] = {
	    AS_ESCAPE_HEADER, AS_ESCAPE_TEXT, AS_ESCAPE_HTML, AS_ESCAPE_TEXT};
	const AsTemplate *t = as_templates_choose(templates, n);
	char *made[AS_NPARTS] = {NULL, NULL, NULL, NULL};
	Rendering r = {templates, n, NULL, false};
	char *why = NULL;
	int i;

	memset(message, 0, sizeof(*message));
	if (t == NULL)
		return as_fault_set(fault, AS_KIND_TEMPLATE,
		                    "missing template: no locale has one for %s",
		                    n->kind);
	for (i = 0; i < AS_NPARTS && why == NULL; i++)
		if (t->parts[i] != NULL)
			made[i] = as_render(t->parts[i], escapes[i], lookup, &r, &why);
	as_free_secret(r.made);
	message->subject = made[AS_PART_SUBJECT];
	message->text = made[AS_PART_TEXT];
	message->html = made[AS_PART_HTML];
	message->sms = made[AS_PART_SMS];
	if (why == NULL)
		return true;
	as_fault_set(fault, AS_KIND_TEMPLATE,
	             "template %s/%s: the value of \"%s\" would break the subject",
	             t->locale, t->kind, why);
	free(why);
	as_message_free(message);
	return false;
}

void
as_message_free(AsMessage *message)
{
	as_free_secret(message->subject);
	as_free_secret(message->text);
	as_free_secret(message->html);
	as_free_secret(message->sms);
	memset(message, 0, sizeof(*message));
}
