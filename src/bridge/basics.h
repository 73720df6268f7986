/*
 * basics.h
 *		The bridge's ground floor: faults, time, memory, URLs, log, metrics.
 *
 * auth-session-bridge is a program of its own: nothing here, and nothing in
 * src/bridge, includes a header of the server or of the extension.  It has
 * five floors, a header for each, and calls go down only:
 *
 *		main.c		the program: start, check, reload, exit status
 *		flow.h		flow.c: the one loop between a source and the sinks
 *		ends.h		sources: outbox.c queue.c; sinks: routes.c over smtp.c
 *					amqp.c webhook.c file.c, over sink.c; broker.c transfer.c
 *		message.h	notification.c, and what a mail says and looks like:
 *					mail.c template.c template_set.c render.c builtin.c
 *		basics.h	basics.c options.c url.c log.c metrics.c
 *
 * Within a floor no call comes back; make check-floors looks at both.
 */
#ifndef BR_BASICS_H
#define BR_BASICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define BR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define BR_PRINTF(fmt, args)
#endif

/*
 * What went wrong, by kind.  The numbers are the program's exit statuses, as
 * the manual page lists them: never renumber.
 */
typedef enum BrKind
{
	BR_KIND_NONE = 0,        /* nothing did */
	BR_KIND_INTERNAL = 1,    /* memory, files, what nobody expects */
	BR_KIND_USAGE = 2,       /* options, config file, URLs */
	BR_KIND_UNREACHABLE = 3, /* no answer, or the connection broke */
	BR_KIND_LOGIN = 4,       /* the other side refused the credentials */
	BR_KIND_TLS = 5,         /* certificate or handshake */
	BR_KIND_TEMPLATE = 6,    /* missing or malformed template */
	BR_KIND_DATABASE = 7,    /* functions missing, or not granted */
	BR_KIND_UNDELIVERED = 8, /* --once: some notification was refused */
	BR_KIND_TOPOLOGY = 9     /* the broker's exchange or queue is another */
} BrKind;

/* One failure: its kind and one line that says what and where. */
typedef struct BrFault
{
	BrKind kind;
	char text[400];
	int64_t rest; /* milliseconds that the peer asks to be left alone */
} BrFault;

/*
 * Fill *fault with kind and a printf-formatted line (cut to fit, control
 * characters replaced by spaces, so that a peer's words cannot forge a log
 * line).  Returns false, so that a caller can return it.
 */
extern bool br_fault_set(BrFault *fault, BrKind kind, const char *format, ...)
    BR_PRINTF(3, 4);

/* The kind as the word that log lines carry: "unreachable", "login", ... */
extern const char *br_fault_word(BrKind kind);

/*
 * Memory that is always there: these end the program with status 1 and a log
 * line when the system has none left (nothing is lost: leases run out).
 */
extern void *br_alloc(size_t size);            /* zeroed */
extern void *br_realloc(void *p, size_t size); /* grown part undefined */
extern char *br_copy(const char *text);        /* NULL stays NULL */
extern char *br_format(const char *format, ...) BR_PRINTF(1, 2);
/* Open a stream into memory; *text is valid after fclose (caller frees). */
extern FILE *br_stream_open(char **text, size_t *length);
/* Close it; ends the program where memory ran out in between. */
extern void br_stream_close(FILE *stream);
/* Overwrite a secret (not optimised away) and free it; NULL is fine. */
extern void br_free_secret(char *text);

/*
 * Open a file of secrets for reading.  NULL with BR_KIND_USAGE where it cannot
 * be read, or where others than its owner and group can read it, or others
 * than its owner can write to it; what names the option in the text.
 */
extern FILE *br_open_private(const char *path, const char *what,
                             BrFault *fault);

/* Milliseconds of a clock that never jumps. */
extern int64_t br_clock_now(void);
/* Wait until the descriptor can be read (or written, if writing) or the
 * deadline (br_clock_now's scale) has come.  True when it can. */
extern bool br_clock_wait(int fd, bool writing, int64_t deadline);

/*
 * How long to leave somebody alone who failed: doubles from 250 ms to 30 s,
 * each time a random value from the upper half, so that many bridges do not
 * come back in step.
 */
typedef struct BrBackoff
{
	unsigned failures; /* in a row */
	int64_t until;     /* br_clock_now's scale; 0: no need to wait */
} BrBackoff;

/* Count a failure and rest at least least milliseconds; returns how many, also
 * in b->until. */
extern int64_t br_backoff_fail(BrBackoff *b, int64_t least);
extern void br_backoff_succeed(BrBackoff *b);

/*
 * Signals, as flags (set up once by br_signals_catch): SIGTERM and SIGINT
 * ask to stop, SIGHUP to reload.
 */
extern void br_signals_catch(void);
extern bool br_signals_stop(void);
/* True once per SIGHUP. */
extern bool br_signals_reload(void);
/* End the main thread's br_wait, or its next one; from any thread. */
extern void br_wake(void);
/* Idle until a signal, br_wake, the deadline, or until the descriptor (-1:
 * none) can be read.  What came since the last wait ends it at once. */
extern void br_wait(int fd, int64_t deadline);

/*
 * What the program was told, by the command line, the environment and the
 * configuration file (options.c, which has a row for each).  Numbers of time
 * are seconds.
 */
typedef struct BrOptions
{
	char *config;
	char *database;
	char *to;
	char *email;
	char *sms;
	char *events;
	char *consume;
	char *retry; /* --consume: pauses between tries, "5 60 300" */
	char *from;  /* "Name <address>" or an address */
	char *envelope_from;
	char *ehlo;
	char *templates; /* directory, or NULL for the built-in ones */
	char *locale;    /* of recipients whose payload names none */
	char *link_path; /* template of a link after the site's URL */
	char *site_name; /* how mails call the site; NULL: the site's host */
	char *webhook_secret_file;
	char *ca_file;
	char *metrics;    /* a file's path */
	char *render;     /* a kind whose template is to be shown */
	int batch;        /* notifications per claim, at most */
	int lease;        /* 0: as long as the slowest destination needs */
	int poll;         /* between looks without a wake-up */
	int timeout;      /* that a peer may take for one answer */
	int mail_timeout; /* a mail server, before it has the mail */
	int dot_timeout;  /* a mail server, once it has the mail */
	int connections;  /* at once, to a mail server or webhook */
	int tries;        /* --consume: tries before a message is buried */
	int drain;        /* that a stop may take to finish */
	int log_format;   /* 0 key=value, 1 JSON */
	int log_level;    /* BrLevel */
	bool insecure_tls;
	bool check;
	bool once;
} BrOptions;

/* What is asked for instead of work. */
typedef enum BrRequest
{
	BR_REQUEST_WORK,
	BR_REQUEST_HELP,
	BR_REQUEST_VERSION,
	BR_REQUEST_DUMP /* the built-in templates, under a directory */
} BrRequest;

typedef struct BrAsked
{
	BrRequest request;
	const char *argument; /* in argv */
} BrAsked;

/*
 * Read the command line and, beneath it, the environment and the file that
 * --config names.  NULL with BR_KIND_USAGE where anything is unknown, out of
 * range or missing; NULL with BR_KIND_NONE where something else than work is
 * asked for.
 */
extern BrOptions *br_options_load(int argc, char **argv, BrAsked *asked,
                                  BrFault *fault);
extern void br_options_free(BrOptions *options);
/* What --help says. */
extern void br_options_help(void);

/*
 * A URL, parsed by libcurl: amqp, amqps, smtp, smtps, https (http to
 * loopback only), or the bare forms stdout: and file:PATH.
 */
typedef struct BrUrl
{
	char *text;   /* whole: may hold a password, never logged */
	char *scheme; /* lower case */
	char *user;   /* decoded, or NULL */
	char *password;
	char *host; /* without brackets, or NULL for file: and stdout: */
	int port;   /* the scheme's own where none is given */
	char *path; /* decoded, from the first slash on; file:'s path */
	struct
	{
		char *name;
		char *value;
	} options[8]; /* ?name=value&..., decoded */
	int noptions;
	char *name; /* scheme://host:port, as it is logged */
} BrUrl;

/*
 * Parse text.  Unknown schemes, missing hosts, ports out of range and
 * options that the scheme does not know are BR_KIND_USAGE, with a text that
 * never repeats credentials.  Free with br_url_free, also after false.
 */
extern bool br_url_parse(BrUrl *url, const char *text, BrFault *fault);
extern void br_url_free(BrUrl *url);
/* An option's value, or fallback where it is not given. */
extern const char *br_url_option(const BrUrl *url, const char *name,
                                 const char *fallback);
/* Whether traffic to the host stays on this machine. */
extern bool br_url_loopback(const BrUrl *url);

typedef enum BrLevel
{
	BR_DEBUG,
	BR_INFO,
	BR_WARNING,
	BR_ERROR
} BrLevel;

/* Where log lines start and how they look; json: one object per line. */
extern void br_log_setup(bool json, BrLevel least);

/*
 * Write one line to standard error: time, level, event, then the given
 * pairs (name, value; ended by a NULL name; a NULL value leaves its pair
 * out).  Values are quoted and escaped as the format asks; no caller passes
 * a code, a token or a full address.
 */
extern void br_log(BrLevel level, const char *event, ...)
    __attribute__((sentinel));

/* What is counted; the names that Prometheus reads are in metrics.c. */
typedef enum BrCounter
{
	BR_COUNT_CLAIMED,
	BR_COUNT_DELIVERED,
	BR_COUNT_SETTLED,
	BR_COUNT_DEFERRED,
	BR_COUNT_REFUSED,
	BR_COUNT_EXPIRED,
	BR_COUNT_DEAD_LETTERED,
	BR_COUNT_DUPLICATES,
	BR_COUNT_SINK_FAILURES,
	BR_COUNT_SOURCE_FAILURES,
	BR_COUNT_WAKEUPS,
	BR_GAUGE_HELD,
	BR_GAUGE_SOURCE_UP,
	BR_GAUGE_EMAIL_UP,
	BR_GAUGE_SMS_UP,
	BR_GAUGE_EVENTS_UP,
	BR_GAUGE_LAST_DELIVERY,
	BR_NCOUNTERS
} BrCounter;

extern void br_metrics_add(BrCounter counter, uint64_t n);
extern void br_metrics_set(BrCounter gauge, uint64_t value);
/*
 * Write the counters to a file from a thread of its own, twice a second, as
 * node_exporter's textfile collector reads it.  BR_KIND_INTERNAL where it
 * cannot be written.  Call once.
 */
extern bool br_metrics_start(const char *path, BrFault *fault);
/* Replace the file now; nothing without one. */
extern void br_metrics_flush(void);

#endif
