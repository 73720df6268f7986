/*
 * amqp.c
 *		Publishing to RabbitMQ, with confirms.
 *
 * A batch is published without waiting, then its confirms are awaited; the
 * broker acknowledges many messages with one frame.  Messages are persistent
 * and mandatory: one that no queue takes comes back (basic.return, before
 * its confirm), and one that a full queue does not take is refused
 * (basic.nack); both are nowhere.  Then the link is closed, and opening it
 * again declares again what the URL asks to declare.  A message is
 * delivered when the broker has confirmed it, and not before; what is
 * unconfirmed when the connection breaks is untried, and goes out again
 * with the same message-id.
 *
 * A broker that is short of memory or disk says so and stops reading.  Then
 * there is no time limit but the heartbeat's: a new connection would only
 * publish everything a second time into the same pipe.
 */
#include "ends.h"

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#endif

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CHANNEL    1
#define PERSISTENT 2
/* Milliseconds between looks whether the link has to end. */
#define GLANCE 200

typedef struct Publisher
{
	BrSink *sink;
	BrBroker *broker;
	amqp_connection_state_t connection;
	uint64_t next_tag; /* of the next message published */
	bool blocked;      /* the broker reads no more for now */
} Publisher;

/* A batch on its way: message i has the tag first + i. */
typedef struct Flight
{
	BrNotification **batch;
	size_t n;       /* published */
	uint64_t first; /* tag */
	size_t open;    /* not yet confirmed either way */
	bool *closed;
	size_t unwanted; /* returned, or not taken */
	char why[160];   /* of the last of these */
} Flight;

static void
amqp_close(BrLink *link)
{
	Publisher *p = link->state;

	if (p == NULL)
		return;
	br_broker_close(p->broker);
	free(p);
	link->state = NULL;
}

static bool
amqp_open(BrLink *link, BrFault *fault)
{
	BrSink *sink = link->sink;
	Publisher *p = br_alloc(sizeof(*p));

	link->state = p;
	p->sink = sink;
	p->broker =
	    br_broker_open(&sink->url, sink->options,
	                   sink->channel && strcmp(sink->channel, "event") == 0
	                       ? "auth_session.events"
	                       : "auth_session",
	                   false, fault);
	if (p->broker == NULL)
		return false;
	p->connection = br_broker_connection(p->broker);
	p->next_tag = 1;
	amqp_confirm_select(p->connection, CHANNEL);
	if (amqp_get_rpc_reply(p->connection).reply_type != AMQP_RESPONSE_NORMAL)
		return br_broker_fault(p->broker, AMQP_STATUS_WRONG_METHOD,
		                       "publisher confirms", fault);
	return true;
}

static int
publish(Publisher *p, const BrNotification *n)
{
	amqp_basic_properties_t properties;
	char *body = br_notification_print(n);
	int64_t life = br_notification_life(n);
	char expiration[32];
	int status;

	memset(&properties, 0, sizeof(properties));
	properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG |
	                    AMQP_BASIC_DELIVERY_MODE_FLAG |
	                    AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TIMESTAMP_FLAG |
	                    AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG;
	properties.content_type = amqp_cstring_bytes("application/json");
	properties.delivery_mode = PERSISTENT;
	properties.message_id = amqp_cstring_bytes(n->id);
	properties.timestamp = (uint64_t) time(NULL);
	properties.type = amqp_cstring_bytes(n->kind);
	properties.app_id = amqp_cstring_bytes("auth_session");
	/* For a queue with x-max-priority. */
	properties._flags |= AMQP_BASIC_PRIORITY_FLAG;
	properties.priority = br_notification_urgent(n);
	if (life != INT64_MAX)
	{
		/* A code that died in the queue is of no use to anybody. */
		snprintf(expiration, sizeof(expiration), "%lld",
		         (long long) (life > 0 ? life : 0));
		properties._flags |= AMQP_BASIC_EXPIRATION_FLAG;
		properties.expiration = amqp_cstring_bytes(expiration);
	}
	status =
	    amqp_basic_publish(p->connection, CHANNEL,
	                       amqp_cstring_bytes(br_broker_exchange(p->broker)),
	                       amqp_cstring_bytes(n->kind), 1, 0, &properties,
	                       amqp_cstring_bytes(body));
	br_free_secret(body);
	return status;
}

/* A message that is nowhere, and whose fault that is is seen when the whole
 * batch is back: see blame. */
static void
unwanted(Flight *flight, BrNotification *n, const char *why)
{
	snprintf(n->error, sizeof(n->error), "%s", why);
	snprintf(flight->why, sizeof(flight->why), "%s", why);
	flight->unwanted++;
}

/*
 * Where the broker took none, it is the broker (a full queue, no queue bound
 * yet), and it rests; where it took others, it is what these are.
 */
static bool
blame(Publisher *p, Flight *flight, BrFault *fault)
{
	size_t i;

	if (flight->unwanted == 0)
		return true;
	br_fault_set(fault, BR_KIND_UNREACHABLE, "%s: %s", p->sink->url.name,
	             flight->why);
	for (i = 0; i < flight->n; i++)
	{
		BrNotification *n = flight->batch[i];
		char why[sizeof(n->error)];

		if (n->outcome != BR_UNTRIED)
			continue;
		snprintf(why, sizeof(why), "%s", n->error);
		if (flight->unwanted < flight->n)
			br_notification_judge(n, BR_DEFERRED, "%s", why);
		else
			br_sink_suspect(p->sink, n, fault);
	}
	return flight->unwanted < flight->n;
}

static void
close_one(Flight *flight, size_t i, bool good)
{
	BrNotification *n = flight->batch[i];

	if (flight->closed[i])
		return;
	flight->closed[i] = true;
	flight->open--;
	/* A returned message is confirmed too. */
	if (n->error[0] != '\0')
		return;
	if (good)
		n->outcome = BR_DELIVERED;
	else
		unwanted(flight, n, "the broker did not take it");
}

/* One ack or nack: of a tag, or of all up to it. */
static void
take_confirm(Flight *flight, uint64_t tag, bool multiple, bool good)
{
	size_t last;
	size_t i;

	if (tag < flight->first || tag - flight->first >= flight->n)
	{
		/* Tag 0 with multiple means everything so far (AMQP 0-9-1). */
		if (tag != 0 || !multiple)
			return;
		last = flight->n - 1;
	}
	else
		last = (size_t) (tag - flight->first);
	for (i = multiple ? 0 : last; i <= last; i++)
		close_one(flight, i, good);
}

/* A message that no queue wanted: find it by its id. */
static bool
take_return(Publisher *p, Flight *flight, const amqp_method_t *method,
            BrFault *fault)
{
	const amqp_basic_return_t *returned = method->decoded;
	int code = returned->reply_code;
	amqp_message_t message;
	amqp_rpc_reply_t reply =
	    amqp_read_message(p->connection, CHANNEL, &message, 0);
	amqp_bytes_t id;
	size_t i;

	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return br_broker_fault(p->broker,
		                       reply.reply_type ==
		                               AMQP_RESPONSE_LIBRARY_EXCEPTION
		                           ? reply.library_error
		                           : AMQP_STATUS_CONNECTION_CLOSED,
		                       "reading a returned message", fault);
	id = message.properties.message_id;
	for (i = 0; i < flight->n; i++)
	{
		BrNotification *n = flight->batch[i];
		char *why;

		if (strlen(n->id) != id.len || memcmp(n->id, id.bytes, id.len) != 0)
			continue;
		why =
		    br_format("no queue is bound to exchange \"%.60s\" for %.64s (%d)",
		              br_broker_exchange(p->broker), n->kind, code);
		unwanted(flight, n, why);
		free(why);
	}
	amqp_destroy_message(&message);
	return true;
}

static void
take_blocking(Publisher *p, const amqp_method_t *method)
{
	bool blocked = method->id == AMQP_CONNECTION_BLOCKED_METHOD;

	if (!blocked && method->id != AMQP_CONNECTION_UNBLOCKED_METHOD)
		return;
	p->blocked = blocked;
	br_log(blocked ? BR_WARNING : BR_INFO,
	       blocked ? "broker_blocked" : "broker_unblocked", "sink",
	       p->sink->url.name, (char *) NULL);
}

/*
 * One frame's worth of news, or none for a while; false with the fault, or at
 * the deadline, which every sign of life moves.
 */
static bool
take_frame(Publisher *p, Flight *flight, int64_t *deadline, BrFault *fault)
{
	amqp_frame_t frame;
	int got =
	    br_broker_frame(p->broker, &frame, br_clock_now() + GLANCE, fault);

	if (got < 0)
		return false;
	if (got > 0 || p->blocked)
		*deadline = br_clock_now() + p->sink->options->timeout * 1000;
	if (got == 0 && !br_sink_aborted(p->sink) && br_clock_now() < *deadline)
		return true;
	if (got == 0)
		return br_broker_fault(p->broker, AMQP_STATUS_TIMEOUT,
		                       "waiting for confirms", fault);
	if (frame.frame_type != AMQP_FRAME_METHOD)
		return true;
	if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD)
	{
		const amqp_basic_ack_t *ack = frame.payload.method.decoded;

		take_confirm(flight, ack->delivery_tag, ack->multiple, true);
	}
	else if (frame.payload.method.id == AMQP_BASIC_NACK_METHOD)
	{
		const amqp_basic_nack_t *nack = frame.payload.method.decoded;

		take_confirm(flight, nack->delivery_tag, nack->multiple, false);
	}
	else if (frame.payload.method.id == AMQP_BASIC_RETURN_METHOD)
		return take_return(p, flight, &frame.payload.method, fault);
	else
		take_blocking(p, &frame.payload.method);
	return true;
}

static bool
amqp_deliver(BrLink *link, BrNotification **batch, size_t n, BrFault *fault)
{
	Publisher *p = link->state;
	Flight flight = {batch, 0, p->next_tag, 0, NULL, 0, ""};
	int64_t deadline = br_clock_now() + link->sink->options->timeout * 1000;
	int status = AMQP_STATUS_OK;
	size_t i;
	bool good = true;

	flight.closed = br_alloc(n * sizeof(bool));
	for (i = 0; i < n && status == AMQP_STATUS_OK; i++)
	{
		status = publish(p, batch[i]);
		if (status == AMQP_STATUS_OK)
		{
			flight.n++;
			flight.open++;
			p->next_tag++;
		}
	}
	if (status != AMQP_STATUS_OK)
		good = br_broker_fault(p->broker, status, "publishing", fault);
	while (good && flight.open > 0)
		good = take_frame(p, &flight, &deadline, fault);
	if (good)
		good = blame(p, &flight, fault);
	free(flight.closed);
	if (good)
		br_broker_recycle(p->broker);
	return good;
}

/* Answer heartbeats, and notice a closed connection, while idle. */
static bool
amqp_tend(BrLink *link, BrFault *fault)
{
	Publisher *p = link->state;
	amqp_frame_t frame;
	int got;

	while ((got = br_broker_frame(p->broker, &frame, 0, fault)) > 0)
		if (frame.frame_type == AMQP_FRAME_METHOD)
			take_blocking(p, &frame.payload.method);
	if (got == 0)
		br_broker_recycle(p->broker);
	return got == 0;
}

const BrSinkMethods br_amqp_methods = {NULL,         NULL,      amqp_open,
                                       amqp_deliver, amqp_tend, amqp_close};
