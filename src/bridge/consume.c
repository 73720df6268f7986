/*
 * consume.c
 *		The broker's flow: take a message, deliver it, acknowledge it.
 *
 * A message is acknowledged after the sink's 250 (or 2xx), and not before;
 * until then it is the broker's, and comes again when this program or its
 * connection dies.  What can never be delivered (malformed JSON, an address
 * that is none, a permanent refusal) is rejected without requeueing, so it
 * goes to the dead-letter exchange; what may be delivered later is kept,
 * unacknowledged, and tried again with growing pauses, up to "tries" times.
 *
 * The ids mailed last are remembered: when an acknowledgement was lost with
 * the connection, or the relay published an id twice, the duplicate is
 * acknowledged without a second mail.
 */
#include "bridge.h"

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#endif

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CHANNEL 1
#define RECENT  4096
#define PAUSE   2000  /* milliseconds, after the first refusal */
#define PAUSES  60000 /* at most; all tries within the broker's half hour */

typedef struct Consumer
{
	BrProgram *program;
	BrUrl url;
	BrBroker *broker; /* NULL: not connected */
	amqp_connection_state_t connection;
	BrBackoff rest;
	BrNotification **held;
	size_t nheld;
	size_t prefetch;
	char (*recent)[37];
	size_t next_recent;
	bool proven;
	bool refused;
	bool moved;
} Consumer;

static bool
recently_delivered(const Consumer *c, const char *id)
{
	size_t i;

	for (i = 0; i < RECENT; i++)
		if (strcasecmp(c->recent[i], id) == 0)
			return true;
	return false;
}

/* Whether one of the first n of a list has this id. */
static bool
among(BrNotification *const *list, size_t n, const char *id)
{
	while (n > 0)
		if (strcasecmp(list[--n]->id, id) == 0)
			return true;
	return false;
}

static void
drop(Consumer *c, size_t i)
{
	br_notification_free(c->held[i]);
	c->held[i] = NULL;
}

static void
compact(Consumer *c)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < c->nheld; i++)
		if (c->held[i] != NULL)
			c->held[kept++] = c->held[i];
	c->nheld = kept;
	br_metrics_set(BR_GAUGE_HELD, kept);
}

/* Without its connection a delivery tag means nothing: all comes again. */
static void
disconnect(Consumer *c)
{
	size_t i;

	for (i = 0; i < c->nheld; i++)
		drop(c, i);
	compact(c);
	br_broker_close(c->broker);
	c->broker = NULL;
	br_metrics_set(BR_GAUGE_SOURCE_UP, 0);
}

static bool
broker_failed(Consumer *c, const BrFault *fault)
{
	char wait[32];

	disconnect(c);
	snprintf(wait, sizeof(wait), "%lld", (long long) br_backoff_fail(&c->rest));
	br_metrics_add(BR_COUNT_SOURCE_FAILURES, 1);
	br_log(BR_WARNING, "broker_failed", "kind", br_fault_word(fault->kind),
	       "text", fault->text, "retry_ms", wait, (char *) NULL);
	return false;
}

static bool
broker_ready(Consumer *c, BrFault *fault)
{
	amqp_rpc_reply_t reply;

	if (c->broker != NULL)
		return true;
	if (br_clock_now() < c->rest.until)
		return false;
	c->broker = br_broker_open(&c->url, c->program->options, true, fault);
	if (c->broker == NULL)
		return broker_failed(c, fault);
	c->connection = br_broker_connection(c->broker);
	amqp_basic_qos(c->connection, CHANNEL, 0, (uint16_t) c->prefetch, 0);
	amqp_basic_consume(c->connection, CHANNEL,
	                   amqp_cstring_bytes(br_broker_queue(c->broker)),
	                   amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
	reply = amqp_get_rpc_reply(c->connection);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
	{
		(void) br_fault_set(fault, BR_KIND_LOGIN,
		                    "%s: may not consume queue \"%s\"", c->url.name,
		                    br_broker_queue(c->broker));
		return broker_failed(c, fault);
	}
	br_backoff_succeed(&c->rest);
	br_metrics_set(BR_GAUGE_SOURCE_UP, 1);
	br_log(BR_INFO, "broker_up", "source", c->url.name, "queue",
	       br_broker_queue(c->broker), (char *) NULL);
	return true;
}

/* Tell the broker; false, disconnected, where it cannot be told. */
static bool
acknowledge(Consumer *c, uint64_t tag, bool good)
{
	BrFault fault;
	int status = good ? amqp_basic_ack(c->connection, CHANNEL, tag, 0)
	                  : amqp_basic_reject(c->connection, CHANNEL, tag, 0);

	if (status == AMQP_STATUS_OK)
	{
		br_metrics_add(good ? BR_COUNT_SETTLED : BR_COUNT_DEAD_LETTERED, 1);
		return true;
	}
	(void) br_broker_fault(c->broker, status, "acknowledging", &fault);
	return broker_failed(c, &fault);
}

/* To the dead-letter exchange with it. */
static bool
bury(Consumer *c, uint64_t tag, const char *id, const char *why)
{
	c->refused = true;
	br_log(BR_WARNING, "dead_lettered", "id", id, "text", why, (char *) NULL);
	return acknowledge(c, tag, false);
}

/* A message has come: hold it, or get rid of it at once. */
static bool
take_message(Consumer *c, const amqp_basic_deliver_t *deliver, BrFault *fault)
{
	uint64_t tag = deliver->delivery_tag;
	amqp_message_t message;
	amqp_rpc_reply_t reply =
	    amqp_read_message(c->connection, CHANNEL, &message, 0);
	BrNotification *n;
	const char *why;

	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
	{
		(void) br_broker_fault(c->broker,
		                       reply.reply_type ==
		                               AMQP_RESPONSE_LIBRARY_EXCEPTION
		                           ? reply.library_error
		                           : AMQP_STATUS_CONNECTION_CLOSED,
		                       "reading a message", fault);
		return broker_failed(c, fault);
	}
	n = br_notification_parse(message.body.bytes, message.body.len, &why);
	amqp_destroy_message(&message);
	br_metrics_add(BR_COUNT_CLAIMED, 1);
	c->moved = true;
	if (n == NULL)
		return bury(c, tag, NULL, why);
	if (br_routes_find(&c->program->routes, n) == NULL)
	{
		bool good = bury(c, tag, n->id, "unknown channel");

		br_notification_free(n);
		return good;
	}
	n->tag = tag;
	c->held[c->nheld++] = n;
	br_metrics_set(BR_GAUGE_HELD, c->nheld);
	return true;
}

/* Take what is there; waits for nothing. */
static bool
receive(Consumer *c, BrFault *fault)
{
	amqp_frame_t frame;
	int got = 1;

	while (c->nheld < c->prefetch &&
	       (got = br_broker_frame(c->broker, &frame, 0, fault)) > 0)
	{
		if (frame.frame_type != AMQP_FRAME_METHOD)
			continue;
		if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD)
		{
			if (!take_message(c, frame.payload.method.decoded, fault))
				return false;
		}
		else if (frame.payload.method.id == AMQP_BASIC_CANCEL_METHOD)
		{
			(void) br_fault_set(fault, BR_KIND_UNREACHABLE,
			                    "%s: queue \"%s\" is gone", c->url.name,
			                    br_broker_queue(c->broker));
			return broker_failed(c, fault);
		}
	}
	if (got < 0)
		return broker_failed(c, fault);
	br_broker_recycle(c->broker);
	return true;
}

/* What became of one delivery; false where the broker could not be told. */
static bool
judge(Consumer *c, size_t i)
{
	BrNotification *n = c->held[i];
	uint64_t tag = n->tag;
	char id[37];
	char why[sizeof(n->error)];
	int64_t pause = PAUSE;
	unsigned k;

	if (n->outcome == BR_UNTRIED)
		return true;
	c->moved = true;
	snprintf(id, sizeof(id), "%s", n->id);
	snprintf(why, sizeof(why), "%s", n->error);
	n->tries++;
	if (n->outcome == BR_DEFERRED &&
	    n->tries < (unsigned) c->program->options->tries)
	{
		for (k = 1; k < n->tries && pause < PAUSES; k++)
			pause *= 2;
		n->due = br_clock_now() + (pause < PAUSES ? pause : PAUSES);
		return true;
	}
	if (n->outcome == BR_DELIVERED)
	{
		drop(c, i);
		return acknowledge(c, tag, true);
	}
	drop(c, i);
	return bury(c, tag, id, why);
}

/* Acknowledge what is held and was mailed already, under another tag. */
static void
drop_duplicates(Consumer *c)
{
	size_t i;

	for (i = 0; i < c->nheld && c->broker; i++)
		if (recently_delivered(c, c->held[i]->id))
		{
			uint64_t tag = c->held[i]->tag;

			br_log(BR_INFO, "duplicate", "id", c->held[i]->id, (char *) NULL);
			br_metrics_add(BR_COUNT_DUPLICATES, 1);
			drop(c, i);
			c->moved = true;
			(void) acknowledge(c, tag, true);
		}
	compact(c);
}

static bool
deliver(Consumer *c, BrSink *sink, BrFault *fault)
{
	BrNotification **batch = br_alloc(sink->chunk * sizeof(*batch));
	size_t *places = br_alloc(sink->chunk * sizeof(*places));
	int64_t now = br_clock_now();
	size_t n = 0;
	size_t i;
	bool good = true;

	for (i = 0; i < c->nheld && n < sink->chunk; i++)
		if (c->held[i]->due <= now &&
		    br_routes_find(&c->program->routes, c->held[i]) == sink &&
		    !among(batch, n, c->held[i]->id))
		{
			places[n] = i;
			batch[n++] = c->held[i];
		}
	if (n > 0)
	{
		good = br_sink_deliver(sink, batch, n, fault);
		/* First remember all that is delivered: telling may break off. */
		for (i = 0; i < n; i++)
			if (batch[i]->outcome == BR_DELIVERED)
				snprintf(c->recent[c->next_recent++ % RECENT],
				         sizeof(c->recent[0]), "%s", batch[i]->id);
		for (i = 0; i < n && c->broker; i++)
			(void) judge(c, places[i]);
		compact(c);
	}
	free(places);
	free(batch);
	return good;
}

/* How many messages wait in the queue, not counting those held. */
static bool
queue_is_empty(Consumer *c)
{
	amqp_queue_declare_ok_t *there = amqp_queue_declare(
	    c->connection, CHANNEL, amqp_cstring_bytes(br_broker_queue(c->broker)),
	    1, 0, 0, 0, amqp_empty_table);

	return there != NULL && there->message_count == 0 &&
	       !amqp_frames_enqueued(c->connection);
}

static bool
round_of(Consumer *c, bool receiving, BrFault *fault)
{
	BrSink *sinks[2];
	int n = br_routes_list(&c->program->routes, sinks);
	bool all = true;
	int i;

	c->moved = false;
	fault->kind = BR_KIND_NONE;
	if (!broker_ready(c, fault) &&
	    br_program_ends(c->program, c->proven, fault))
		return false;
	for (i = 0; i < n; i++)
	{
		fault->kind = BR_KIND_NONE;
		if (br_sink_ready(sinks[i], fault))
			continue;
		if (br_program_ends(c->program, c->proven, fault))
			return false;
		all = false;
	}
	c->proven = c->proven || (c->broker && all);
	if (c->broker && receiving && !receive(c, fault) &&
	    br_program_ends(c->program, c->proven, fault))
		return false;
	drop_duplicates(c);
	for (i = 0; i < n && c->broker; i++)
		if (sinks[i]->up && !deliver(c, sinks[i], fault) &&
		    br_program_ends(c->program, c->proven, fault))
			return false;
	return true;
}

static void
idle(Consumer *c)
{
	int64_t until = br_clock_now() + 1000;
	size_t i;

	for (i = 0; i < c->nheld; i++)
		if (c->held[i]->due > 0 && c->held[i]->due < until)
			until = c->held[i]->due;
	if (c->broker == NULL)
		br_signals_wait(-1, c->rest.until < until ? c->rest.until : until);
	else if (c->nheld < c->prefetch)
		br_signals_wait(amqp_get_sockfd(c->connection), until);
	else
		br_signals_wait(-1, until);
}

/* The queue's URL, which has to be a broker's. */
static bool
take_url(BrUrl *url, const BrOptions *options, BrFault *fault)
{
	if (!br_url_parse(url, options->consume, fault))
		return false;
	if (strncmp(url->scheme, "amqp", 4) != 0)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "consume: %s is not a broker (amqp or amqps)",
		                    url->name);
	return true;
}

static bool
take_options(Consumer *c, BrFault *fault)
{
	const BrOptions *options = c->program->options;
	size_t most = (size_t) options->connections * 16;

	c->prefetch =
	    (size_t) options->batch < most ? (size_t) options->batch : most;
	c->held = br_realloc(c->held, c->prefetch * sizeof(BrNotification *));
	br_url_free(&c->url);
	return take_url(&c->url, options, fault);
}

bool
br_consume_check(const BrOptions *options, BrFault *fault)
{
	BrUrl url;
	BrBroker *broker = NULL;

	if (take_url(&url, options, fault))
		broker = br_broker_open(&url, options, true, fault);
	br_broker_close(broker);
	br_url_free(&url);
	return broker != NULL;
}

bool
br_consume_run(BrProgram *program, BrFault *fault)
{
	Consumer c;
	int64_t deadline;
	bool good;

	memset(&c, 0, sizeof(c));
	c.program = program;
	c.recent = br_alloc(RECENT * sizeof(*c.recent));
	good = take_options(&c, fault);
	while (good && !br_signals_stop())
	{
		if (br_signals_reload() && br_program_reload(program))
		{
			disconnect(&c);
			good = take_options(&c, fault);
		}
		good = good && round_of(&c, true, fault);
		if (good && program->options->once && c.broker && c.nheld == 0 &&
		    !c.moved && queue_is_empty(&c))
			break;
		if (good && !c.moved)
			idle(&c);
	}
	/* Finish what was taken; what is left goes back with the connection. */
	deadline = br_clock_now() + program->options->drain * 1000;
	while (good && br_signals_stop() && c.nheld > 0 &&
	       br_clock_now() < deadline)
	{
		BrFault ignored;

		if (!round_of(&c, false, &ignored) || !c.moved)
			break;
	}
	disconnect(&c);
	br_url_free(&c.url);
	free(c.held);
	free(c.recent);
	if (good && program->options->once && c.refused)
		good = br_fault_set(fault, BR_KIND_UNDELIVERED,
		                    "some messages went to the dead-letter exchange");
	return good;
}
