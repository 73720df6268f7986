/*
 * notification.c
 *		One notification: its JSON body and what became of it.
 *
 * The body is jansson's tree, from the claim to the wire, and from the wire
 * to the mail.  (jansson because it refuses by itself what a message from a
 * queue must not get away with: duplicate names, trailing bytes, bad UTF-8,
 * NUL in a string, and nesting deeper than 2,048 levels.)
 */
#include "message.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* What an email address, a token and a user agent leave far behind. */
#define BODY_MAX 65536

static bool
is_uuid(const char *text)
{
	size_t i;

	for (i = 0; i < 36; i++)
	{
		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return false;
		}
		else if (strchr("0123456789abcdefABCDEF", text[i]) == NULL ||
		         text[i] == '\0')
			return false;
	}
	return text[36] == '\0';
}

/* Kinds and channels end up in routing keys and file names. */
static bool
is_word(const char *text)
{
	size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return n > 0 && n <= 64 && text[n] == '\0';
}

BrNotification *
br_notification_take(json_t *body, const char **why)
{
	BrNotification *n = br_alloc(sizeof(*n));

	n->body = body;
	n->id = json_string_value(json_object_get(body, "id"));
	n->kind = json_string_value(json_object_get(body, "kind"));
	n->channel = json_string_value(json_object_get(body, "channel"));
	n->recipient = json_string_value(json_object_get(body, "recipient"));
	n->created_at = json_string_value(json_object_get(body, "created_at"));
	if (!json_is_object(body))
		*why = "not a JSON object";
	else if (n->id == NULL || !is_uuid(n->id))
		*why = "id is not a UUID";
	else if (n->kind == NULL || !is_word(n->kind))
		*why = "kind is not a word";
	else if (n->channel == NULL || !is_word(n->channel))
		*why = "channel is not a word";
	else if (n->recipient == NULL)
		*why = "recipient is not a string";
	else if (n->created_at == NULL)
		*why = "created_at is not a string";
	else if (!json_is_object(json_object_get(body, "payload")))
		*why = "payload is not an object";
	else
		return n;
	br_notification_free(n);
	return NULL;
}

BrNotification *
br_notification_parse(const char *bytes, size_t length, const char **why)
{
	json_error_t error;
	json_t *body;

	if (length > BODY_MAX)
	{
		*why = "longer than 64 KiB";
		return NULL;
	}
	body = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &error);
	if (body == NULL)
	{
		*why = "malformed JSON";
		return NULL;
	}
	return br_notification_take(body, why);
}

char *
br_notification_print(const BrNotification *n)
{
	char *text = json_dumps(n->body, JSON_COMPACT);

	/* It was parsed or built from valid parts: only memory can be missing. */
	return text ? text : br_copy("{}");
}

/* Milliseconds from now until an RFC 3339 time; *found where it is one. */
static int64_t
until(const char *text, bool *found)
{
	struct timespec now;
	struct tm t;
	int hours = 0;
	int minutes = 0;
	int sign = 1;
	const char *p;

	memset(&t, 0, sizeof(t));
	p = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &t) : NULL;
	*found = p != NULL;
	if (p == NULL)
		return 0;
	p += strspn(p, ".0123456789");
	if (*p == '+' || *p == '-')
	{
		sign = *p == '-' ? -1 : 1;
		if (sscanf(p + 1, "%2d:%2d", &hours, &minutes) < 1)
			hours = 0;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	return ((int64_t) timegm(&t) - sign * (hours * 3600 + minutes * 60) -
	        now.tv_sec) *
	           1000 -
	       now.tv_nsec / 1000000;
}

static int64_t
member_life(const BrNotification *n, const char *name, bool *found)
{
	return until(json_string_value(json_object_get(
	                 json_object_get(n->body, "payload"), name)),
	             found);
}

int64_t
br_notification_life(const BrNotification *n)
{
	bool has_code;
	bool has_link;
	int64_t code = member_life(n, "code_expires_at", &has_code);
	int64_t link = member_life(n, "link_expires_at", &has_link);

	if (has_code && has_link)
		return code > link ? code : link;
	return has_code ? code : has_link ? link : INT64_MAX;
}

void
br_notification_prune(BrNotification *n)
{
	json_t *payload = json_object_get(n->body, "payload");
	bool found;

	if (member_life(n, "code_expires_at", &found) < 0 && found)
	{
		(void) json_object_del(payload, "code");
		(void) json_object_del(payload, "code_expires_at");
	}
}

bool
br_notification_urgent(const BrNotification *n)
{
	json_t *payload = json_object_get(n->body, "payload");

	return json_object_get(payload, "code") != NULL ||
	       json_object_get(payload, "link_token") != NULL;
}

void
br_notification_free(BrNotification *n)
{
	static const char *const secrets[] = {"code", "link_token"};
	json_t *payload;
	size_t i;

	if (n == NULL)
		return;
	payload = json_object_get(n->body, "payload");
	for (i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
	{
		json_t *secret = json_object_get(payload, secrets[i]);

		if (json_is_string(secret))
			OPENSSL_cleanse((char *) json_string_value(secret),
			                json_string_length(secret));
	}
	json_decref(n->body);
	free(n);
}

void
br_list_push(BrList *list, BrNotification *n)
{
	n->next = NULL;
	if (list->last != NULL)
		list->last->next = n;
	else
		list->first = n;
	list->last = n;
	list->n++;
}

void
br_list_unshift(BrList *list, BrNotification *n)
{
	n->next = list->first;
	list->first = n;
	if (list->last == NULL)
		list->last = n;
	list->n++;
}

BrNotification *
br_list_shift(BrList *list)
{
	BrNotification *n = list->first;

	if (n == NULL)
		return NULL;
	list->first = n->next;
	if (list->first == NULL)
		list->last = NULL;
	list->n--;
	n->next = NULL;
	return n;
}

void
br_list_append(BrList *list, BrList *from)
{
	BrNotification *n;

	while ((n = br_list_shift(from)) != NULL)
		br_list_push(list, n);
}

void
br_list_free(BrList *list)
{
	BrNotification *n;

	while ((n = br_list_shift(list)) != NULL)
		br_notification_free(n);
}

void
br_notification_judge(BrNotification *n, BrOutcome outcome, const char *format,
                      ...)
{
	va_list args;
	char *p;

	n->outcome = outcome;
	va_start(args, format);
	vsnprintf(n->error, sizeof(n->error), format, args);
	va_end(args);
	for (p = n->error; *p; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			*p = ' ';
}

void
br_notification_mask(const BrNotification *n, char *out, size_t size)
{
	const char *at = strrchr(n->recipient, '@');
	size_t length = strlen(n->recipient);

	if (strcmp(n->channel, "event") == 0)
		snprintf(out, size, "-");
	else if (!br_notification_addressable(n))
		snprintf(out, size, "(invalid)");
	else if (at != NULL)
		snprintf(out, size, "%c***%s",
		         (unsigned char) n->recipient[0] < 0x80 ? n->recipient[0] : '?',
		         at);
	else
		snprintf(out, size, "%.3s***%s", n->recipient,
		         n->recipient + length - 2);
}

static bool
is_mail_address(const char *text)
{
	const unsigned char *p;
	int ats = 0;

	for (p = (const unsigned char *) text; *p; p++)
	{
		if (*p <= 0x20 || *p == 0x7f || strchr("<>,;:\\\"()[]", *p) != NULL)
			return false;
		/* The C1 controls, and the line and paragraph separators. */
		if (*p == 0xc2 && p[1] < 0xa0)
			return false;
		if (*p == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9))
			return false;
		ats += *p == '@';
	}
	return ats == 1 && text[0] != '@' && p[-1] != '@' && strlen(text) <= 320;
}

/* E.164: a plus sign and up to 15 digits. */
static bool
is_phone_number(const char *text)
{
	size_t n;

	if (text[0] != '+' || text[1] < '1' || text[1] > '9')
		return false;
	n = strspn(text + 1, "0123456789");
	return n >= 4 && n <= 15 && text[1 + n] == '\0';
}

bool
br_notification_addressable(const BrNotification *n)
{
	if (strcmp(n->channel, "sms") == 0)
		return is_phone_number(n->recipient);
	return is_mail_address(n->recipient);
}
