/*
 * message.h
 *		The bridge's second floor: a notification, and what a mail says.
 *
 * Bytes in, bytes out: nothing here opens a connection or waits, so that
 * test/fuzz/bridge.c can run all of it.
 */
#ifndef BR_MESSAGE_H
#define BR_MESSAGE_H

#include <jansson.h>

#include "basics.h"

/* ---- notification.c: what is carried ------------------------------------ */

typedef enum BrOutcome
{
	BR_UNTRIED,   /* the sink did not get to it: nobody's fault */
	BR_DELIVERED, /* confirmed, 250, 2xx */
	BR_DEFERRED,  /* refused, may be taken later */
	BR_REFUSED,   /* refused for good */
	BR_EXPIRED    /* its code died before: nothing to deliver */
} BrOutcome;

typedef struct BrNotification
{
	json_t *body;           /* as published; owns the strings below */
	const char *id;         /* UUID: the message id on every way */
	const char *kind;       /* confirm_email, new_signin, ... */
	const char *channel;    /* email, sms or event */
	const char *recipient;  /* as stored, checked by the sinks */
	const char *created_at; /* RFC 3339, UTC */
	BrOutcome outcome;
	char error[160];             /* why not; no address, no secret */
	unsigned breaks;             /* times that the sink failed at it */
	uint64_t before;             /* delivered by the sink before the first */
	int64_t lease_end;           /* outbox: br_clock_now's scale */
	uint64_t tag;                /* queue: the broker's delivery tag, */
	uint64_t epoch;              /* and of which connection it is */
	unsigned tries;              /* queue: so far, this one not counted */
	struct BrNotification *next; /* in a list */
} BrNotification;

/* A line of notifications; all zero is an empty one. */
typedef struct BrList
{
	BrNotification *first;
	BrNotification *last;
	size_t n;
} BrList;

extern void br_list_push(BrList *list, BrNotification *n);
/* To the head of the line. */
extern void br_list_unshift(BrList *list, BrNotification *n);
/* The first, off the list; NULL where it is empty. */
extern BrNotification *br_list_shift(BrList *list);
/* All of from, in its order, behind those of list. */
extern void br_list_append(BrList *list, BrList *from);
/* Free all. */
extern void br_list_free(BrList *list);

/*
 * Take a body apart: an object with string members id (a UUID), kind,
 * channel, recipient and created_at, and an object payload.  Steals the
 * reference.  NULL and *why (a constant) where it is anything else.
 */
extern BrNotification *br_notification_take(json_t *body, const char **why);
/* The same from bytes: strict JSON, no duplicate names, bounded nesting. */
extern BrNotification *br_notification_parse(const char *bytes, size_t length,
                                             const char **why);
/* One line of JSON (caller frees with br_free_secret). */
extern char *br_notification_print(const BrNotification *n);
/* Milliseconds from now until the last of its code and link dies; negative
 * when it has, INT64_MAX for one that has neither. */
extern int64_t br_notification_life(const BrNotification *n);
/* Take a code that is dead out of a notification whose link lives. */
extern void br_notification_prune(BrNotification *n);
/* Whether it holds a code or a link, which somebody waits for. */
extern bool br_notification_urgent(const BrNotification *n);
/* Frees it, and overwrites codes and tokens first. */
extern void br_notification_free(BrNotification *n);
/* Set outcome and error (printf-formatted; control characters replaced). */
extern void br_notification_judge(BrNotification *n, BrOutcome outcome,
                                  const char *format, ...) BR_PRINTF(3, 4);
/* The recipient as a log may show it: "a***@example.org", "+49***89". */
extern void br_notification_mask(const BrNotification *n, char *out,
                                 size_t size);
/*
 * Whether the recipient is an address of its channel, with nothing in it
 * that could end a header or a command: control characters, spaces, angle
 * brackets, commas, a second @; for sms, E.164.
 */
extern bool br_notification_addressable(const BrNotification *n);

/* ---- template_set.c, template.c, render.c: what a mail says -------------- */

typedef enum BrPart
{
	BR_PART_SUBJECT,
	BR_PART_TEXT,
	BR_PART_HTML,
	BR_PART_SMS,
	BR_NPARTS
} BrPart;

/* One template; parts are NULL where it has none. */
typedef struct BrTemplate
{
	char *locale;
	char *kind;
	char *parts[BR_NPARTS];
} BrTemplate;

typedef struct BrTemplates
{
	const BrOptions *options;
	BrTemplate *all;
	size_t n;
} BrTemplates;

/* A rendered notification; free with br_message_free. */
typedef struct BrMessage
{
	char *subject; /* UTF-8, one line */
	char *text;
	char *html; /* NULL where the template has none */
	char *sms;  /* NULL where the template has none */
} BrMessage;

/*
 * The built-in templates, overridden by the options' directory.  All are
 * read and checked here, none is opened later.  NULL and BR_KIND_TEMPLATE,
 * naming file and line, where one is malformed or missing.
 */
extern BrTemplates *br_templates_load(const BrOptions *options, BrFault *fault);
extern void br_templates_free(BrTemplates *templates);
/* The one for a notification's kind and locale, or NULL. */
extern const BrTemplate *br_templates_choose(const BrTemplates *templates,
                                             const BrNotification *n);
/* Whether there are notifications of that kind. */
extern bool br_templates_kind(const char *kind);
/* Write the built-in ones under directory, to start from. */
extern bool br_templates_dump(const char *directory, BrFault *fault);
/*
 * Render n.  False with BR_KIND_TEMPLATE where its kind has no template, or
 * where a value would put a control character into the subject; the text
 * names the kind and the placeholder, never the value.
 */
extern bool br_templates_render(const BrTemplates *templates,
                                const BrNotification *n, BrMessage *message,
                                BrFault *fault);
extern void br_message_free(BrMessage *message);

typedef enum BrEscape
{
	BR_ESCAPE_TEXT,   /* control characters become spaces */
	BR_ESCAPE_HTML,   /* and & < > " ' become entities */
	BR_ESCAPE_HEADER, /* control characters are refused */
	BR_ESCAPE_URL     /* all but unreserved characters percent-encoded */
} BrEscape;

/* The value of a placeholder, or NULL where there is none; valid until the
 * next call. */
typedef const char *(*BrLookup)(void *context, const char *name);

/* Whether there can be a value of that name. */
typedef bool (*BrKnown)(const void *context, const char *name);

/* Whether text is a template, of placeholders that are known (NULL: of any);
 * else *line and *why say where not. */
extern bool br_render_check(const char *text, BrKnown known,
                            const void *context, int *line, const char **why);
/*
 * Replace {{name}}, and keep or drop {{#name}}..{{/name}} and
 * {{^name}}..{{/name}}, in a template that br_render_check passed.  Returns
 * the text (caller frees), or NULL where BR_ESCAPE_HEADER met a control
 * character (*why names the placeholder; caller frees).
 */
extern char *br_render(const char *text, BrEscape escape, BrLookup lookup,
                       void *context, char **why);

/* ---- mail.c: what a mail looks like on the wire ---------------------------- */

/* Who mails are from. */
typedef struct BrSender
{
	char *name;     /* UTF-8; NULL where there is none */
	char *address;  /* as on the wire */
	char *domain;   /* of it, as an A-label */
	char *envelope; /* where bounces go; empty: nowhere */
	char *ehlo;     /* what we call ourselves, as an A-label */
	bool utf8;      /* one of the addresses needs SMTPUTF8 */
} BrSender;

/* From the options; BR_KIND_USAGE, naming the option, where one is none. */
extern bool br_sender_make(BrSender *sender, const BrOptions *options,
                           BrFault *fault);
extern void br_sender_free(BrSender *sender);
/*
 * An address as it stands on the wire: its domain as an A-label (RFC 5890).
 * *utf8 where its local part needs SMTPUTF8 all the same.  NULL where it is
 * no address.  Caller frees.
 */
extern char *br_mail_address(const char *address, bool *utf8);
/*
 * The mail to that address, with CRLF, no line that starts with a dot, and
 * no octet beyond ASCII but in an address that needs SMTPUTF8.  Caller frees
 * with br_free_secret.
 */
extern char *br_mail_compose(const BrSender *sender, const char *to,
                             const BrNotification *n, const BrMessage *message);

#endif
