/*
 * ends.h
 *		The bridge's third floor: where notifications come from and go to.
 *
 * A source hands notifications out and is told how each one ended: the
 * outbox of a database, or a broker's queue.  A sink delivers them: a broker,
 * a mail server, a webhook, a file.  Neither knows the other, nor the loop
 * between them (flow.h).
 *
 * The loop and the sources live in the main thread.  A sink has a thread for
 * each of its connections, so whatever a peer does, it keeps nobody waiting
 * but its own link.
 */
#ifndef BR_ENDS_H
#define BR_ENDS_H

#include <pthread.h>

#include "message.h"

/* ---- sink.c: where notifications go -------------------------------------- */

typedef struct BrSink BrSink;

/* One connection to a sink, and the thread that it belongs to. */
typedef struct BrLink
{
	BrSink *sink;
	void *state; /* the methods' own */
	bool open;
	bool probing; /* what it has is the one that is tried */
	pthread_t thread;
} BrLink;

typedef struct BrSinkMethods
{
	/* Find what is wrong with options, addresses and keys, before anything
	 * is connected; fills sink->shared.  May be NULL. */
	bool (*prepare)(BrSink *sink, BrFault *fault);
	/* Free sink->shared.  May be NULL. */
	void (*forget)(BrSink *sink);
	/* Connect, log in, look that what is needed is there. */
	bool (*open)(BrLink *link, BrFault *fault);
	/*
	 * Deliver up to sink->chunk notifications and set each one's outcome.
	 * False, with the fault, where the sink itself failed: those it did not
	 * get to, and those that are not to blame, stay BR_UNTRIED.  Ends soon
	 * after br_sink_aborted.
	 */
	bool (*deliver)(BrLink *link, BrNotification **batch, size_t n,
	                BrFault *fault);
	/* Called once a second while idle: heartbeats, and a broken connection
	 * is noticed.  May be NULL. */
	bool (*tend)(BrLink *link, BrFault *fault);
	/* Forget the connection; open makes a new one. */
	void (*close)(BrLink *link);
} BrSinkMethods;

/*
 * How a sink does.  After a failure it rests: nobody claims for it and nobody
 * knocks.  When the rest is over one link opens it again, and one
 * notification at a time is tried until one is delivered.
 */
typedef enum BrSinkState
{
	BR_SINK_RESTING,
	BR_SINK_TRYING,
	BR_SINK_UP
} BrSinkState;

struct BrSink
{
	/* Set before the threads start, and never changed. */
	const BrSinkMethods *methods;
	BrUrl url;
	const BrOptions *options;
	const BrTemplates *templates;
	const char *channel; /* that it is for; NULL: email and sms */
	void *shared;        /* the methods' own, only read by the links */
	size_t chunk;        /* the most that one deliver takes */
	int nlinks;          /* connections at once */
	int64_t need;        /* milliseconds of a lease that a delivery may take */
	BrCounter gauge;
	int abort_fd; /* can be read once the links have to end */

	pthread_mutex_t lock; /* of all below */
	pthread_cond_t work;  /* the links wait here */
	BrSinkState state;
	bool opening; /* by one of the links */
	bool ending;  /* links take no more */
	BrBackoff rest;
	BrList codes;            /* waiting, before */
	BrList others;           /* these */
	BrList done;             /* judged, not yet collected */
	size_t flying;           /* with a link */
	int probes;              /* of these, taken while BR_SINK_TRYING */
	unsigned taken_in_a_row; /* of codes, while others wait */
	uint64_t delivered;
	bool failed; /* since br_sink_failed was asked last */
	BrFault fault;
	int nthreads; /* that run */

	/* The main thread's own. */
	int64_t measured_at;
	uint64_t measured;
	double rate; /* deliveries in a second, lately */

	BrLink links[64];
};

/* A sink without URL and methods; NULL where descriptors are short. */
extern BrSink *br_sink_make(const BrOptions *options,
                            const BrTemplates *templates);
/* One that was never started, or of which br_sink_gone. */
extern void br_sink_free(BrSink *sink);
/* Open the sink and close it again, for --check; no thread is started. */
extern bool br_sink_check(BrSink *sink, BrFault *fault);
/* Start the links' threads. */
extern bool br_sink_start(BrSink *sink, BrFault *fault);
/* How many more it would like to have now; none while it rests. */
extern size_t br_sink_room(BrSink *sink);
/* A notification for it to deliver, sooner or later. */
extern void br_sink_give(BrSink *sink, BrNotification *n);
/* Append what it has judged to list; returns how many it still has. */
extern size_t br_sink_collect(BrSink *sink, BrList *list);
/* Append to list what no link has begun: all, or what has not enough left of
 * its lease to be begun. */
extern void br_sink_withdraw(BrSink *sink, bool all, BrList *list);
/* Whether it failed since this was asked last, with the fault. */
extern bool br_sink_failed(BrSink *sink, BrFault *fault);
extern BrSinkState br_sink_state(BrSink *sink);
/* Links end when they are done with what they have begun. */
extern void br_sink_end(BrSink *sink);
/* Links end now: what is under way stays BR_UNTRIED. */
extern void br_sink_abort(BrSink *sink);
/* Whether all links have ended after one of these. */
extern bool br_sink_gone(BrSink *sink);

/* For the methods: whether br_sink_abort was called; and a wait for a peer
 * that it ends.  True when the descriptor can be read (or written). */
extern bool br_sink_aborted(const BrSink *sink);
extern bool br_sink_wait(const BrSink *sink, int fd, bool writing,
                         int64_t deadline);
/*
 * For the methods: the sink failed while n was delivered, and whether n did
 * it nobody knows.  It goes to the back of the line; once it has failed a few
 * times while others were delivered it is deferred, so that it cannot stand
 * in their way.
 */
extern void br_sink_suspect(BrSink *sink, BrNotification *n,
                            const BrFault *fault);

/* ---- transfer.c: a link's libcurl handle ---------------------------------- */

typedef struct BrTransfer BrTransfer;

/* A handle with what all transfers to the sink have in common: TLS, login,
 * no proxy, an end at br_sink_abort. */
extern BrTransfer *br_transfer_make(BrSink *sink, BrFault *fault);
/* Says good-bye where said; NULL is fine. */
extern void br_transfer_free(BrTransfer *transfer, bool politely);
/* The CURL *, as prepared; options set meanwhile are forgotten. */
extern void *br_transfer_begin(BrTransfer *transfer);
/* The handle as it is. */
extern void *br_transfer_handle(BrTransfer *transfer);
/* Perform it; the CURLcode. */
extern int br_transfer_perform(BrTransfer *transfer);
/* What a libcurl failure of the connection means.  False. */
extern bool br_transfer_fault(const BrTransfer *transfer, int code,
                              BrFault *fault);

/* ---- broker.c: a connection to RabbitMQ ----------------------------------- */

typedef struct BrBroker BrBroker;

/* An AMQP frame as librabbitmq decodes it (amqp_frame_t). */
struct amqp_frame_t_;

/*
 * Connect to url, log in, open a channel, and declare the topology: the
 * exchange (where the URL names none, this one); the queue too, with its
 * dead-letter exchange, where the URL names one or with_queue is set.  NULL
 * with the fault: BR_KIND_UNREACHABLE, _LOGIN, _TLS, or _TOPOLOGY where the
 * broker has something else.
 */
extern BrBroker *br_broker_open(const BrUrl *url, const BrOptions *options,
                                const char *exchange, bool with_queue,
                                BrFault *fault);
/* Say good-bye where the connection still works; NULL is fine. */
extern void br_broker_close(BrBroker *broker);
/* The amqp_connection_state_t, on which channel 1 is open. */
extern void *br_broker_connection(BrBroker *broker);
extern const char *br_broker_exchange(const BrBroker *broker);
extern const char *br_broker_queue(const BrBroker *broker);
/* Declare QUEUE.retry.SECONDS, which hands messages back to QUEUE after so
 * long; with ?declare=no only look that it is there. */
extern bool br_broker_retry_queue(BrBroker *broker, int seconds,
                                  BrFault *fault);
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

/* ---- routes.c: the destinations by channel --------------------------------- */

/* The methods, each in the file of its name. */
extern const BrSinkMethods br_amqp_methods;
extern const BrSinkMethods br_smtp_methods;
extern const BrSinkMethods br_webhook_methods;
extern const BrSinkMethods br_file_methods;

/* The sinks of the channels; one sink may serve both.  They belong to their
 * options and templates. */
typedef struct BrRoutes
{
	BrOptions *options;
	BrTemplates *templates;
	BrSink *email;
	BrSink *sms;
	BrSink *events; /* or NULL */
} BrRoutes;

#define BR_SINKS_MOST 3

/*
 * Make the sinks that the options name, and load the templates; connects
 * nowhere.  Takes the options over, also after false: BR_KIND_USAGE or
 * BR_KIND_TEMPLATE.
 */
extern BrRoutes *br_routes_make(BrOptions *options, BrFault *fault);
/* Frees sinks that were not started, or of which br_sink_gone. */
extern void br_routes_free(BrRoutes *routes);
/* The sink of a notification's channel; NULL where that has none. */
extern BrSink *br_routes_find(const BrRoutes *routes, const BrNotification *n);
/* All as a list without repetition; returns their number. */
extern int br_routes_list(const BrRoutes *routes, BrSink *list[BR_SINKS_MOST]);

/* ---- outbox.c, queue.c: where notifications come from -------------------- */

typedef struct BrSource BrSource;

typedef struct BrSourceMethods
{
	/* Connect; true at once where connected. */
	bool (*open)(BrSource *source, BrFault *fault);
	/*
	 * Append up to most notifications for channel (NULL: for any) to list.
	 * Waits for nothing but the source's answer.
	 */
	bool (*take)(BrSource *source, const char *channel, size_t most,
	             BrList *list, BrFault *fault);
	/*
	 * Tell how these ended, and free those that are told; after false the
	 * others stay in the list, to be told again (which does no harm).
	 * BR_UNTRIED: it is given back, at the cost of no try.
	 */
	bool (*tell)(BrSource *source, BrList *judged, BrFault *fault);
	/* Wait until the source has news, br_wake or the deadline; *news where
	 * a look is worth while. */
	bool (*wait)(BrSource *source, int64_t deadline, bool *news,
	             BrFault *fault);
	/* Whether nothing is left to take; asked after a take that brought
	 * nothing. */
	bool (*empty)(BrSource *source);
	/* Forget the connection. */
	void (*close)(BrSource *source);
	void (*free)(BrSource *source);
} BrSourceMethods;

/* What every source begins with. */
struct BrSource
{
	const BrSourceMethods *methods;
	const BrOptions *options;
	const char *word; /* "database" or "broker", in log lines */
	int64_t lease;    /* milliseconds that what was taken is ours; 0: until
	                   * the connection ends, and then it comes again */
	size_t window;    /* the most that may be out at once; 0: no limit */
	bool refused;     /* something that never got to a sink */
};

extern BrSource *br_outbox_make(const BrOptions *options);
/* NULL with the fault where the URL is no broker's. */
extern BrSource *br_queue_make(const BrOptions *options, BrFault *fault);

#endif
