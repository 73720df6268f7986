/*
 * basics.h
 *		The bridge's ground floor: faults, time, memory, URLs, log, metrics.
 *
 * auth-session-bridge is a program of its own: nothing here, and nothing in
 * src/bridge, includes a header of the server or of the extension.  Two
 * headers mark its two floors.  This one is what every file may call and
 * what calls no other file of the bridge; bridge.h is the rest.
 */
#ifndef AS_BRIDGE_BASICS_H
#define AS_BRIDGE_BASICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define AS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define AS_PRINTF(fmt, args)
#endif

/*
 * What went wrong, by kind.  The numbers are the program's exit statuses, as
 * the manual page lists them: never renumber.
 */
typedef enum AsKind
{
	AS_KIND_NONE = 0,        /* nothing did */
	AS_KIND_INTERNAL = 1,    /* memory, files, what nobody expects */
	AS_KIND_USAGE = 2,       /* options, config file, URLs */
	AS_KIND_UNREACHABLE = 3, /* no answer, or the connection broke */
	AS_KIND_LOGIN = 4,       /* the other side refused the credentials */
	AS_KIND_TLS = 5,         /* certificate or handshake */
	AS_KIND_TEMPLATE = 6,    /* missing or malformed template */
	AS_KIND_DATABASE = 7,    /* functions missing, or not granted */
	AS_KIND_UNDELIVERED = 8, /* --once: some notification was refused */
	AS_KIND_TOPOLOGY = 9     /* the broker's exchange or queue is another */
} AsKind;

/* One failure: its kind and one line that says what and where. */
typedef struct AsFault
{
	AsKind kind;
	char text[400];
} AsFault;

/*
 * Fill *fault with kind and a printf-formatted line (cut to fit, control
 * characters replaced by spaces, so that a peer's words cannot forge a log
 * line).  Returns false, so that a caller can return it.
 */
extern bool as_fault_set(AsFault *fault, AsKind kind, const char *format, ...)
    AS_PRINTF(3, 4);

/* The kind as the word that log lines carry: "unreachable", "login", ... */
extern const char *as_fault_word(AsKind kind);

/*
 * Memory that is always there: these end the program with status 1 and a log
 * line when the system has none left (nothing is lost: leases run out).
 */
extern void *as_alloc(size_t size);            /* zeroed */
extern void *as_realloc(void *p, size_t size); /* grown part undefined */
extern char *as_copy(const char *text);        /* NULL stays NULL */
extern char *as_format(const char *format, ...) AS_PRINTF(1, 2);
/* Open a stream into memory; *text is valid after fclose (caller frees). */
extern FILE *as_stream_open(char **text, size_t *length);
/* Close it; ends the program where memory ran out in between. */
extern void as_stream_close(FILE *stream);
/* Overwrite a secret (not optimised away) and free it; NULL is fine. */
extern void as_free_secret(char *text);

/* Milliseconds of a clock that never jumps. */
extern int64_t as_clock_now(void);
/* Wait until the descriptor can be read (or written, if writing) or the
 * deadline (as_clock_now's scale) has come.  True when it can. */
extern bool as_clock_wait(int fd, bool writing, int64_t deadline);

/*
 * How long to leave somebody alone who failed: doubles from 250 ms to 30 s,
 * each time a random value from the upper half, so that many bridges do not
 * come back in step.
 */
typedef struct AsBackoff
{
	unsigned failures; /* in a row */
	int64_t until;     /* as_clock_now's scale; 0: no need to wait */
} AsBackoff;

/* Count a failure; returns the milliseconds to wait, also in b->until. */
extern int64_t as_backoff_fail(AsBackoff *b);
extern void as_backoff_succeed(AsBackoff *b);

/*
 * Signals, as flags (set up once by as_signals_catch): SIGTERM and SIGINT
 * ask to stop, SIGHUP to reload.
 */
extern void as_signals_catch(void);
extern bool as_signals_stop(void);
/* True once per SIGHUP. */
extern bool as_signals_reload(void);
/* Idle until a signal, the deadline, or until the descriptor (-1: none) can
 * be read.  A signal that came since its flag was looked at ends it too. */
extern void as_signals_wait(int fd, int64_t deadline);

/*
 * A URL, parsed by libcurl: amqp, amqps, smtp, smtps, https (http to
 * loopback only), or the bare forms stdout: and file:PATH.
 */
typedef struct AsUrl
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
} AsUrl;

/*
 * Parse text.  Unknown schemes, missing hosts, ports out of range and
 * options that the scheme does not know are AS_KIND_USAGE, with a text that
 * never repeats credentials.  Free with as_url_free, also after false.
 */
extern bool as_url_parse(AsUrl *url, const char *text, AsFault *fault);
extern void as_url_free(AsUrl *url);
/* An option's value, or fallback where it is not given. */
extern const char *as_url_option(const AsUrl *url, const char *name,
                                 const char *fallback);
/* Whether traffic to the host stays on this machine. */
extern bool as_url_loopback(const AsUrl *url);

typedef enum AsLevel
{
	AS_DEBUG,
	AS_INFO,
	AS_WARNING,
	AS_ERROR
} AsLevel;

/* Where log lines start and how they look; json: one object per line. */
extern void as_log_setup(bool json, AsLevel least);

/*
 * Write one line to standard error: time, level, event, then the given
 * pairs (name, value; ended by a NULL name; a NULL value leaves its pair
 * out).  Values are quoted and escaped as the format asks; no caller passes
 * a code, a token or a full address.
 */
extern void as_log(AsLevel level, const char *event, ...)
    __attribute__((sentinel));

/* What is counted; the names that Prometheus reads are in metrics.c. */
typedef enum AsCounter
{
	AS_COUNT_CLAIMED,
	AS_COUNT_DELIVERED,
	AS_COUNT_SETTLED,
	AS_COUNT_DEFERRED,
	AS_COUNT_REFUSED,
	AS_COUNT_DEAD_LETTERED,
	AS_COUNT_DUPLICATES,
	AS_COUNT_SINK_FAILURES,
	AS_COUNT_SOURCE_FAILURES,
	AS_COUNT_WAKEUPS,
	AS_GAUGE_HELD,
	AS_GAUGE_SOURCE_UP,
	AS_GAUGE_EMAIL_UP,
	AS_GAUGE_SMS_UP,
	AS_GAUGE_LAST_DELIVERY,
	AS_NCOUNTERS
} AsCounter;

extern void as_metrics_add(AsCounter counter, uint64_t n);
extern void as_metrics_set(AsCounter gauge, uint64_t value);
/*
 * Serve the counters from a thread of its own: target is HOST:PORT on
 * loopback, or file:PATH (replaced twice a second).  AS_KIND_USAGE for
 * another address, AS_KIND_INTERNAL where the port is taken or the file
 * cannot be written.  Call once.
 */
extern bool as_metrics_start(const char *target, AsFault *fault);
/* Replace the file now; nothing without one. */
extern void as_metrics_flush(void);

#endif
