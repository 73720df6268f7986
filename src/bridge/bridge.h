/*
 * bridge.h
 *		What the bridge is made of, from its two flows down to its nouns.
 *
 * A notification comes from a source (the outbox, or a broker's queue) and
 * goes to a sink (a broker, a mail server, a webhook, a file):
 *
 *		relay.c    outbox -> sinks      claim, deliver, settle or release
 *		consume.c  queue -> sinks       receive, deliver, acknowledge or bury
 *
 * Both deliver at least once: a notification is settled or acknowledged only
 * after the sink said so, and its id is the same on every try.
 */
#ifndef BR_BRIDGE_H
#define BR_BRIDGE_H

#include <jansson.h>

#include "basics.h"

/* ---- options.c: the command line and the configuration file ------------ */

typedef struct BrOptions
{
	char *config;
	char *database;
	char *to;
	char *email;
	char *sms;
	char *consume;
	char *from;      /* "Name <address>" or an address */
	char *templates; /* directory, or NULL for the built-in ones */
	char *locale;    /* of recipients whose payload names none */
	char *link_path; /* template of a link after the site's URL */
	char *site_name; /* how mails call the site; NULL: the site's host */
	char *webhook_secret_file;
	char *ca_file;
	char *metrics;
	int batch;       /* notifications per claim */
	int lease;       /* seconds */
	int poll;        /* seconds between looks without a wake-up */
	int timeout;     /* seconds that a peer may take for one answer */
	int connections; /* at once, to a mail server or webhook */
	int tries;       /* --consume: tries before a message is buried */
	int drain;       /* seconds that a stop may take to finish */
	int log_format;  /* 0 key=value, 1 JSON */
	int log_level;   /* BrLevel */
	bool insecure_tls;
	bool check;
	bool once;
} BrOptions;

/*
 * Read the command line and, beneath it, the file that --config names.
 * NULL with BR_KIND_USAGE where anything is unknown, out of range or
 * missing; NULL with BR_KIND_NONE after --help, --version or
 * --dump-templates have done their work.  Free with br_options_free.
 */
extern BrOptions *br_options_load(int argc, char **argv, BrFault *fault);
extern void br_options_free(BrOptions *options);

/* ---- notification.c: what is carried ------------------------------------ */

typedef enum BrOutcome
{
	BR_UNTRIED,   /* the sink did not get to it: nobody's fault */
	BR_DELIVERED, /* confirmed, 250, 2xx */
	BR_DEFERRED,  /* refused, may be taken later */
	BR_REFUSED    /* refused for good */
} BrOutcome;

typedef struct BrNotification
{
	json_t *body;           /* as published; owns the strings below */
	const char *id;         /* UUID: the message id on every way */
	const char *kind;       /* confirm_email, new_signin, ... */
	const char *channel;    /* email or sms */
	const char *recipient;  /* as stored, checked by the sinks */
	const char *created_at; /* RFC 3339, UTC */
	BrOutcome outcome;
	char error[160];   /* why not; no address, no secret */
	int64_t lease_end; /* relay: br_clock_now's scale */
	int64_t due;       /* consume: not to be tried before */
	uint64_t tag;      /* consume: the broker's delivery tag */
	unsigned tries;    /* consume */
} BrNotification;

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

/* Whether text is a template; else *line and *why say where not. */
extern bool br_render_check(const char *text, int *line, const char **why);
/*
 * Replace {{name}}, and keep or drop {{#name}}..{{/name}} and
 * {{^name}}..{{/name}}, in a template that br_render_check passed.  Returns
 * the text (caller frees), or NULL where BR_ESCAPE_HEADER met a control
 * character (*why names the placeholder; caller frees).
 */
extern char *br_render(const char *text, BrEscape escape, BrLookup lookup,
                       void *context, char **why);

/* ---- sink.c: where notifications go -------------------------------------- */

typedef struct BrSink BrSink;

typedef struct BrSinkMethods
{
	/* Connect, log in, look that what is needed is there; true at once
	 * where that is done already. */
	bool (*open)(BrSink *sink, BrFault *fault);
	/*
	 * Deliver up to chunk notifications and set each one's outcome.  False,
	 * with the fault, where the sink itself failed: those it did not get to
	 * stay BR_UNTRIED.  Takes no longer than the options' timeout after the
	 * last sign of life.
	 */
	bool (*deliver)(BrSink *sink, BrNotification **batch, size_t n,
	                BrFault *fault);
	/* Called at least once a second while idle: heartbeats, and a broken
	 * connection is noticed.  May be NULL. */
	bool (*tend)(BrSink *sink, BrFault *fault);
	/* Forget the connection; open makes a new one. */
	void (*close)(BrSink *sink);
} BrSinkMethods;

struct BrSink
{
	const BrSinkMethods *methods;
	BrUrl url;
	const BrOptions *options;
	const BrTemplates *templates;
	size_t chunk;   /* the most that one deliver takes */
	void *state;    /* the methods' own */
	bool up;        /* open succeeded and nothing failed since */
	BrBackoff rest; /* while it is down */
	BrCounter gauge;
};

/* The sinks of the channels; one sink may serve both. */
typedef struct BrRoutes
{
	BrTemplates *templates;
	BrSink *email;
	BrSink *sms;
} BrRoutes;

/*
 * Make the sinks that the options name, and load the templates; connects
 * nowhere.  False with BR_KIND_USAGE or BR_KIND_TEMPLATE.
 */
extern bool br_routes_make(BrRoutes *routes, const BrOptions *options,
                           BrFault *fault);
extern void br_routes_free(BrRoutes *routes);
/* The sink of a notification's channel; NULL for an unknown channel. */
extern BrSink *br_routes_find(const BrRoutes *routes, const BrNotification *n);
/* The two as a list without repetition; returns their number. */
extern int br_routes_list(const BrRoutes *routes, BrSink *list[2]);

/* Open the sink where its rest is over; keeps up, rest, log and metrics.
 * False while it is down. */
extern bool br_sink_ready(BrSink *sink, BrFault *fault);
/* Deliver one chunk; keeps up, rest, log and metrics, as above. */
extern bool br_sink_deliver(BrSink *sink, BrNotification **batch, size_t n,
                            BrFault *fault);
extern void br_sink_tend(BrSink *sink);

/* The methods, each in the file of its name. */
extern const BrSinkMethods br_amqp_methods;
extern const BrSinkMethods br_smtp_methods;
extern const BrSinkMethods br_webhook_methods;
extern const BrSinkMethods br_file_methods;
/* Read webhook-secret-file early, to refuse a bad one before any claim. */
extern bool br_webhook_prepare(BrSink *sink, BrFault *fault);
/* The same for the sender's address. */
extern bool br_smtp_prepare(BrSink *sink, BrFault *fault);

/* ---- transfer.c: many libcurl transfers at once -------------------------- */

typedef struct BrTransfers BrTransfers;

/* One transfer, from its start to its end. */
typedef struct BrTransfer
{
	void *easy;        /* CURL *, lent for the time of the transfer */
	BrNotification *n; /* what it carries; NULL for a check */
	char error[256];   /* CURL_ERROR_SIZE */
	int result;        /* CURLcode */
	long status;       /* HTTP's or SMTP's */
	void *detail;      /* the sink's own */
} BrTransfer;

/* Pool of up to options->connections connections to the sink's host. */
extern BrTransfers *br_transfers_make(const BrSink *sink);
extern void br_transfers_free(BrTransfers *transfers);
/*
 * Run one transfer for each of batch (or one with n == NULL where count is
 * 0), several at once.  begin fills the handle in, on top of what all have
 * in common (URL, TLS, login, timeouts), or judges the notification itself
 * and returns false; end judges its outcome and returns false with the fault
 * where the sink itself failed, after which no more are begun.
 */
extern bool br_transfers_run(BrTransfers *transfers, BrNotification **batch,
                             size_t count,
                             bool (*begin)(BrSink *, BrTransfer *),
                             bool (*end)(BrSink *, BrTransfer *, BrFault *),
                             BrSink *sink, BrFault *fault);
/* What a libcurl failure of the connection means. */
extern bool br_transfer_fault(const BrSink *sink, const BrTransfer *transfer,
                              BrFault *fault);

/* ---- broker.c: a connection to RabbitMQ ----------------------------------- */

typedef struct BrBroker BrBroker;

/* An AMQP frame as librabbitmq decodes it (amqp_frame_t). */
struct amqp_frame_t_;

/*
 * Connect to url, log in, open a channel, and declare the topology: the
 * exchange; the queue too, with its dead-letter exchange, where the URL
 * names one or with_queue is set.  NULL with the fault: BR_KIND_UNREACHABLE,
 * _LOGIN, _TLS, or _TOPOLOGY where the broker has something else.
 */
extern BrBroker *br_broker_open(const BrUrl *url, const BrOptions *options,
                                bool with_queue, BrFault *fault);
/* Say good-bye where the connection still works; NULL is fine. */
extern void br_broker_close(BrBroker *broker);
/* The amqp_connection_state_t, on which channel 1 is open. */
extern void *br_broker_connection(BrBroker *broker);
extern const char *br_broker_exchange(const BrBroker *broker);
extern const char *br_broker_queue(const BrBroker *broker);
/*
 * The next frame.  1: it is in *frame.  0: none until the deadline.  -1: the
 * connection is of no use any more, with the fault (also for the broker's
 * own closing of connection or channel).
 */
extern int br_broker_frame(BrBroker *broker, struct amqp_frame_t_ *frame,
                           int64_t deadline, BrFault *fault);
/* A librabbitmq status as a fault; doing says what failed.  False. */
extern bool br_broker_fault(BrBroker *broker, int status, const char *doing,
                            BrFault *fault);
/* Give back what librabbitmq collected for frames that are dealt with. */
extern void br_broker_recycle(BrBroker *broker);
/* Milliseconds after which an idle connection wants br_broker_frame. */
extern int64_t br_broker_patience(const BrBroker *broker);

/* ---- claim.c: the outbox --------------------------------------------------- */

typedef struct BrOutbox BrOutbox;

/* How one notification ended, for the database. */
typedef struct BrVerdict
{
	char id[37];
	char *error; /* NULL: delivered, to settle; else why it is released */
} BrVerdict;

extern BrOutbox *br_outbox_make(const BrOptions *options);
extern void br_outbox_free(BrOutbox *outbox);
/* Take new options over; a changed conninfo means a new connection. */
extern void br_outbox_adopt(BrOutbox *outbox, const BrOptions *options);
/* Connect, LISTEN, read the site's URL, see that the functions are there
 * and granted; true at once where connected. */
extern bool br_outbox_open(BrOutbox *outbox, BrFault *fault);
extern void br_outbox_close(BrOutbox *outbox);
/*
 * Claim up to most notifications, in a transaction of its own, and append
 * them to list, which has room; *n is how many came.  Each one's lease_end
 * is set.  A row that no one could ever read is released on the spot.
 */
extern bool br_outbox_claim(BrOutbox *outbox, int most, BrNotification **list,
                            size_t *n, BrFault *fault);
/*
 * Tell the database how the first n verdicts ended: all delivered ones in
 * one call, the others grouped by error.  On success all are told.  After a
 * failure all are to be told again, which does no harm.
 */
extern bool br_outbox_tell(BrOutbox *outbox, const BrVerdict *verdicts,
                           size_t n, BrFault *fault);
/* Idle until a wake-up, a signal, or the deadline; *woken after a
 * wake-up. */
extern bool br_outbox_wait(BrOutbox *outbox, int64_t deadline, bool *woken,
                           BrFault *fault);
/* Read auth_session.site_url again: it may have changed. */
extern bool br_outbox_refresh(BrOutbox *outbox, BrFault *fault);

/* ---- relay.c, consume.c, main.c: the flows ---------------------------------- */

/*
 * What a flow needs of the program around it: the options it runs with, and
 * the command line to load them again from.
 */
typedef struct BrProgram
{
	BrOptions *options;
	BrRoutes routes;
	int argc;
	char **argv;
} BrProgram;

/*
 * Relay the outbox to the routes until a signal asks to stop (or, with
 * options->once, until it is empty).  True after either; false with the
 * fault that ended it: whatever --once met, and a refusal (not an outage)
 * met before everything had worked once.
 */
extern bool br_relay_run(BrProgram *program, BrFault *fault);
/* The same from a broker's queue. */
extern bool br_consume_run(BrProgram *program, BrFault *fault);
/* Open the consumed queue and close it again, for --check. */
extern bool br_consume_check(const BrOptions *options, BrFault *fault);

/* On SIGHUP: load options, templates and sinks anew.  False, and logged,
 * where they are wrong and the old ones stay. */
extern bool br_program_reload(BrProgram *program);
/* Whether a fault ends the program although it is not asked to stop. */
extern bool br_program_ends(const BrProgram *program, bool proven,
                            const BrFault *fault);

#endif
