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
#ifndef AS_BRIDGE_BRIDGE_H
#define AS_BRIDGE_BRIDGE_H

#include <jansson.h>

#include "basics.h"

/* ---- options.c: the command line and the configuration file ------------ */

typedef struct AsOptions
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
	int log_level;   /* AsLevel */
	bool insecure_tls;
	bool check;
	bool once;
} AsOptions;

/*
 * Read the command line and, beneath it, the file that --config names.
 * NULL with AS_KIND_USAGE where anything is unknown, out of range or
 * missing; NULL with AS_KIND_NONE after --help, --version or
 * --dump-templates have done their work.  Free with as_options_free.
 */
extern AsOptions *as_options_load(int argc, char **argv, AsFault *fault);
extern void as_options_free(AsOptions *options);

/* ---- notification.c: what is carried ------------------------------------ */

typedef enum AsOutcome
{
	AS_UNTRIED,   /* the sink did not get to it: nobody's fault */
	AS_DELIVERED, /* confirmed, 250, 2xx */
	AS_DEFERRED,  /* refused, may be taken later */
	AS_REFUSED    /* refused for good */
} AsOutcome;

typedef struct AsNotification
{
	json_t *body;           /* as published; owns the strings below */
	const char *id;         /* UUID: the message id on every way */
	const char *kind;       /* confirm_email, new_signin, ... */
	const char *channel;    /* email or sms */
	const char *recipient;  /* as stored, checked by the sinks */
	const char *created_at; /* RFC 3339, UTC */
	AsOutcome outcome;
	char error[160];   /* why not; no address, no secret */
	int64_t lease_end; /* relay: as_clock_now's scale */
	int64_t due;       /* consume: not to be tried before */
	uint64_t tag;      /* consume: the broker's delivery tag */
	unsigned tries;    /* consume */
} AsNotification;

/*
 * Take a body apart: an object with string members id (a UUID), kind,
 * channel, recipient and created_at, and an object payload.  Steals the
 * reference.  NULL and *why (a constant) where it is anything else.
 */
extern AsNotification *as_notification_take(json_t *body, const char **why);
/* The same from bytes: strict JSON, no duplicate names, bounded nesting. */
extern AsNotification *as_notification_parse(const char *bytes, size_t length,
                                             const char **why);
/* One line of JSON (caller frees with as_free_secret). */
extern char *as_notification_print(const AsNotification *n);
/* Frees it, and overwrites codes and tokens first. */
extern void as_notification_free(AsNotification *n);
/* Set outcome and error (printf-formatted; control characters replaced). */
extern void as_notification_judge(AsNotification *n, AsOutcome outcome,
                                  const char *format, ...) AS_PRINTF(3, 4);
/* The recipient as a log may show it: "a***@example.org", "+49***89". */
extern void as_notification_mask(const AsNotification *n, char *out,
                                 size_t size);
/*
 * Whether the recipient is an address of its channel, with nothing in it
 * that could end a header or a command: control characters, spaces, angle
 * brackets, commas, a second @; for sms, E.164.
 */
extern bool as_notification_addressable(const AsNotification *n);

/* ---- template_set.c, template.c, render.c: what a mail says -------------- */

typedef enum AsPart
{
	AS_PART_SUBJECT,
	AS_PART_TEXT,
	AS_PART_HTML,
	AS_PART_SMS,
	AS_NPARTS
} AsPart;

/* One template; parts are NULL where it has none. */
typedef struct AsTemplate
{
	char *locale;
	char *kind;
	char *parts[AS_NPARTS];
} AsTemplate;

typedef struct AsTemplates
{
	const AsOptions *options;
	AsTemplate *all;
	size_t n;
} AsTemplates;

/* A rendered notification; free with as_message_free. */
typedef struct AsMessage
{
	char *subject; /* UTF-8, one line */
	char *text;
	char *html; /* NULL where the template has none */
	char *sms;  /* NULL where the template has none */
} AsMessage;

/*
 * The built-in templates, overridden by the options' directory.  All are
 * read and checked here, none is opened later.  NULL and AS_KIND_TEMPLATE,
 * naming file and line, where one is malformed or missing.
 */
extern AsTemplates *as_templates_load(const AsOptions *options, AsFault *fault);
extern void as_templates_free(AsTemplates *templates);
/* The one for a notification's kind and locale, or NULL. */
extern const AsTemplate *as_templates_choose(const AsTemplates *templates,
                                             const AsNotification *n);
/* Write the built-in ones under directory, to start from. */
extern bool as_templates_dump(const char *directory, AsFault *fault);
/*
 * Render n.  False with AS_KIND_TEMPLATE where its kind has no template, or
 * where a value would put a control character into the subject; the text
 * names the kind and the placeholder, never the value.
 */
extern bool as_templates_render(const AsTemplates *templates,
                                const AsNotification *n, AsMessage *message,
                                AsFault *fault);
extern void as_message_free(AsMessage *message);

typedef enum AsEscape
{
	AS_ESCAPE_TEXT,   /* control characters become spaces */
	AS_ESCAPE_HTML,   /* and & < > " ' become entities */
	AS_ESCAPE_HEADER, /* control characters are refused */
	AS_ESCAPE_URL     /* all but unreserved characters percent-encoded */
} AsEscape;

/* The value of a placeholder, or NULL where there is none; valid until the
 * next call. */
typedef const char *(*AsLookup)(void *context, const char *name);

/* Whether text is a template; else *line and *why say where not. */
extern bool as_render_check(const char *text, int *line, const char **why);
/*
 * Replace {{name}}, and keep or drop {{#name}}..{{/name}} and
 * {{^name}}..{{/name}}, in a template that as_render_check passed.  Returns
 * the text (caller frees), or NULL where AS_ESCAPE_HEADER met a control
 * character (*why names the placeholder; caller frees).
 */
extern char *as_render(const char *text, AsEscape escape, AsLookup lookup,
                       void *context, char **why);

/* ---- sink.c: where notifications go -------------------------------------- */

typedef struct AsSink AsSink;

typedef struct AsSinkMethods
{
	/* Connect, log in, look that what is needed is there; true at once
	 * where that is done already. */
	bool (*open)(AsSink *sink, AsFault *fault);
	/*
	 * Deliver up to chunk notifications and set each one's outcome.  False,
	 * with the fault, where the sink itself failed: those it did not get to
	 * stay AS_UNTRIED.  Takes no longer than the options' timeout after the
	 * last sign of life.
	 */
	bool (*deliver)(AsSink *sink, AsNotification **batch, size_t n,
	                AsFault *fault);
	/* Called at least once a second while idle: heartbeats, and a broken
	 * connection is noticed.  May be NULL. */
	bool (*tend)(AsSink *sink, AsFault *fault);
	/* Forget the connection; open makes a new one. */
	void (*close)(AsSink *sink);
} AsSinkMethods;

struct AsSink
{
	const AsSinkMethods *methods;
	AsUrl url;
	const AsOptions *options;
	const AsTemplates *templates;
	size_t chunk;   /* the most that one deliver takes */
	void *state;    /* the methods' own */
	bool up;        /* open succeeded and nothing failed since */
	AsBackoff rest; /* while it is down */
	AsCounter gauge;
};

/* The sinks of the channels; one sink may serve both. */
typedef struct AsRoutes
{
	AsTemplates *templates;
	AsSink *email;
	AsSink *sms;
} AsRoutes;

/*
 * Make the sinks that the options name, and load the templates; connects
 * nowhere.  False with AS_KIND_USAGE or AS_KIND_TEMPLATE.
 */
extern bool as_routes_make(AsRoutes *routes, const AsOptions *options,
                           AsFault *fault);
extern void as_routes_free(AsRoutes *routes);
/* The sink of a notification's channel; NULL for an unknown channel. */
extern AsSink *as_routes_find(const AsRoutes *routes, const AsNotification *n);
/* The two as a list without repetition; returns their number. */
extern int as_routes_list(const AsRoutes *routes, AsSink *list[2]);

/* Open the sink where its rest is over; keeps up, rest, log and metrics.
 * False while it is down. */
extern bool as_sink_ready(AsSink *sink, AsFault *fault);
/* Deliver one chunk; keeps up, rest, log and metrics, as above. */
extern bool as_sink_deliver(AsSink *sink, AsNotification **batch, size_t n,
                            AsFault *fault);
extern void as_sink_tend(AsSink *sink);

/* The methods, each in the file of its name. */
extern const AsSinkMethods as_amqp_methods;
extern const AsSinkMethods as_smtp_methods;
extern const AsSinkMethods as_webhook_methods;
extern const AsSinkMethods as_file_methods;
/* Read webhook-secret-file early, to refuse a bad one before any claim. */
extern bool as_webhook_prepare(AsSink *sink, AsFault *fault);
/* The same for the sender's address. */
extern bool as_smtp_prepare(AsSink *sink, AsFault *fault);

/* ---- transfer.c: many libcurl transfers at once -------------------------- */

typedef struct AsTransfers AsTransfers;

/* One transfer, from its start to its end. */
typedef struct AsTransfer
{
	void *easy;        /* CURL *, lent for the time of the transfer */
	AsNotification *n; /* what it carries; NULL for a check */
	char error[256];   /* CURL_ERROR_SIZE */
	int result;        /* CURLcode */
	long status;       /* HTTP's or SMTP's */
	void *detail;      /* the sink's own */
} AsTransfer;

/* Pool of up to options->connections connections to the sink's host. */
extern AsTransfers *as_transfers_make(const AsSink *sink);
extern void as_transfers_free(AsTransfers *transfers);
/*
 * Run one transfer for each of batch (or one with n == NULL where count is
 * 0), several at once.  begin fills the handle in, on top of what all have
 * in common (URL, TLS, login, timeouts), or judges the notification itself
 * and returns false; end judges its outcome and returns false with the fault
 * where the sink itself failed, after which no more are begun.
 */
extern bool as_transfers_run(AsTransfers *transfers, AsNotification **batch,
                             size_t count,
                             bool (*begin)(AsSink *, AsTransfer *),
                             bool (*end)(AsSink *, AsTransfer *, AsFault *),
                             AsSink *sink, AsFault *fault);
/* What a libcurl failure of the connection means. */
extern bool as_transfer_fault(const AsSink *sink, const AsTransfer *transfer,
                              AsFault *fault);

/* ---- broker.c: a connection to RabbitMQ ----------------------------------- */

typedef struct AsBroker AsBroker;

/* An AMQP frame as librabbitmq decodes it (amqp_frame_t). */
struct amqp_frame_t_;

/*
 * Connect to url, log in, open a channel, and declare the topology: the
 * exchange; the queue too, with its dead-letter exchange, where the URL
 * names one or with_queue is set.  NULL with the fault: AS_KIND_UNREACHABLE,
 * _LOGIN, _TLS, or _TOPOLOGY where the broker has something else.
 */
extern AsBroker *as_broker_open(const AsUrl *url, const AsOptions *options,
                                bool with_queue, AsFault *fault);
/* Say good-bye where the connection still works; NULL is fine. */
extern void as_broker_close(AsBroker *broker);
/* The amqp_connection_state_t, on which channel 1 is open. */
extern void *as_broker_connection(AsBroker *broker);
extern const char *as_broker_exchange(const AsBroker *broker);
extern const char *as_broker_queue(const AsBroker *broker);
/*
 * The next frame.  1: it is in *frame.  0: none until the deadline.  -1: the
 * connection is of no use any more, with the fault (also for the broker's
 * own closing of connection or channel).
 */
extern int as_broker_frame(AsBroker *broker, struct amqp_frame_t_ *frame,
                           int64_t deadline, AsFault *fault);
/* A librabbitmq status as a fault; doing says what failed.  False. */
extern bool as_broker_fault(AsBroker *broker, int status, const char *doing,
                            AsFault *fault);
/* Give back what librabbitmq collected for frames that are dealt with. */
extern void as_broker_recycle(AsBroker *broker);
/* Milliseconds after which an idle connection wants as_broker_frame. */
extern int64_t as_broker_patience(const AsBroker *broker);

/* ---- claim.c: the outbox --------------------------------------------------- */

typedef struct AsOutbox AsOutbox;

/* How one notification ended, for the database. */
typedef struct AsVerdict
{
	char id[37];
	char *error; /* NULL: delivered, to settle; else why it is released */
} AsVerdict;

extern AsOutbox *as_outbox_make(const AsOptions *options);
extern void as_outbox_free(AsOutbox *outbox);
/* Take new options over; a changed conninfo means a new connection. */
extern void as_outbox_adopt(AsOutbox *outbox, const AsOptions *options);
/* Connect, LISTEN, read the site's URL, see that the functions are there
 * and granted; true at once where connected. */
extern bool as_outbox_open(AsOutbox *outbox, AsFault *fault);
extern void as_outbox_close(AsOutbox *outbox);
/*
 * Claim up to most notifications, in a transaction of its own, and append
 * them to list, which has room; *n is how many came.  Each one's lease_end
 * is set.  A row that no one could ever read is released on the spot.
 */
extern bool as_outbox_claim(AsOutbox *outbox, int most, AsNotification **list,
                            size_t *n, AsFault *fault);
/*
 * Tell the database how the first n verdicts ended: all delivered ones in
 * one call, the others grouped by error.  On success all are told.  After a
 * failure all are to be told again, which does no harm.
 */
extern bool as_outbox_tell(AsOutbox *outbox, const AsVerdict *verdicts,
                           size_t n, AsFault *fault);
/* Idle until a wake-up, a signal, or the deadline; *woken after a
 * wake-up. */
extern bool as_outbox_wait(AsOutbox *outbox, int64_t deadline, bool *woken,
                           AsFault *fault);
/* Read auth_session.site_url again: it may have changed. */
extern bool as_outbox_refresh(AsOutbox *outbox, AsFault *fault);

/* ---- relay.c, consume.c, main.c: the flows ---------------------------------- */

/*
 * What a flow needs of the program around it: the options it runs with, and
 * the command line to load them again from.
 */
typedef struct AsProgram
{
	AsOptions *options;
	AsRoutes routes;
	int argc;
	char **argv;
} AsProgram;

/*
 * Relay the outbox to the routes until a signal asks to stop (or, with
 * options->once, until it is empty).  True after either; false with the
 * fault that ended it: whatever --once met, and a refusal (not an outage)
 * met before everything had worked once.
 */
extern bool as_relay_run(AsProgram *program, AsFault *fault);
/* The same from a broker's queue. */
extern bool as_consume_run(AsProgram *program, AsFault *fault);
/* Open the consumed queue and close it again, for --check. */
extern bool as_consume_check(const AsOptions *options, AsFault *fault);

/* On SIGHUP: load options, templates and sinks anew.  False, and logged,
 * where they are wrong and the old ones stay. */
extern bool as_program_reload(AsProgram *program);
/* Whether a fault ends the program although it is not asked to stop. */
extern bool as_program_ends(const AsProgram *program, bool proven,
                            const AsFault *fault);

#endif
