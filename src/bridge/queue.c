/*
 * queue.c
 *		The broker's queue: messages taken, acknowledged, buried, put off.
 *
 * A message is acknowledged after the sink's 250 (or 2xx), and not before;
 * until then it is the broker's, and comes again when this program or its
 * connection dies.  What can never be delivered (malformed JSON, an address
 * that is none, a permanent refusal) is rejected without requeueing, so it
 * goes to the dead-letter exchange.
 *
 * What may be delivered later goes to a queue QUEUE.retry.SECONDS, which
 * hands it back after so long, with a header that counts its tries; it is
 * acknowledged only when that queue has it.  So nothing is held here that a
 * sink is not about to deliver, and the broker never waits for us.
 *
 * The ids delivered last are remembered: when an acknowledgement was lost with
 * the connection, or the relay published an id twice, the duplicate is
 * acknowledged without a second mail; one that comes while the first is still
 * under way waits for it.
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
#include <strings.h>

#define CHANNEL    1
#define PERSISTENT 2
#define TRIES      "x-auth-session-tries"

/* Pauses between tries, at most. */
#define PAUSES_MOST 8

/* Ids remembered; a power of two, and buckets twice as many. */
#define RECENT  8192
#define BUCKETS (2 * RECENT)
#define NONE    (-1)

typedef struct Recent
{
	char id[37]; /* lower case */
	bool out;    /* with a sink; else delivered */
	int next;    /* in its bucket */
	bool used;
} Recent;

typedef struct Queue
{
	BrSource source;
	BrUrl url;
	int pauses[PAUSES_MOST]; /* seconds */
	int npauses;
	BrBroker *broker; /* NULL: not connected */
	amqp_connection_state_t connection;
	uint64_t epoch;    /* which connection a delivery tag is of */
	uint64_t next_tag; /* of the next message published */
	uint64_t first;    /* of those that were put off together */
	size_t unconfirmed;
	bool *confirmed; /* window of them */
	bool nacked;
	BrList inbox; /* come, not yet taken */
	BrList twins; /* come, and the same id is out */
	Recent *recent;
	int *buckets;
	int next_recent;
} Queue;

/* ---- ids: what is out, and what was delivered ---- */

static unsigned
bucket_of(const char *id)
{
	unsigned hash = 2166136261u;

	for (; *id; id++)
		hash = (hash ^ (unsigned char) *id) * 16777619u;
	return hash % BUCKETS;
}

static Recent *
recent_find(const Queue *q, const char *id)
{
	int i = q->buckets[bucket_of(id)];

	while (i != NONE && strcmp(q->recent[i].id, id) != 0)
		i = q->recent[i].next;
	return i == NONE ? NULL : &q->recent[i];
}

static void
recent_forget(Queue *q, Recent *one)
{
	int *place = &q->buckets[bucket_of(one->id)];

	while (*place != one - q->recent)
		place = &q->recent[*place].next;
	*place = one->next;
	one->used = false;
}

/* The oldest makes room, but for those that are out: they are few. */
static void
recent_add(Queue *q, const char *id)
{
	Recent *one;
	int *bucket = &q->buckets[bucket_of(id)];

	do
	{
		one = &q->recent[q->next_recent];
		q->next_recent = (q->next_recent + 1) % RECENT;
	} while (one->used && one->out);
	if (one->used)
		recent_forget(q, one);
	snprintf(one->id, sizeof(one->id), "%s", id);
	one->out = true;
	one->used = true;
	one->next = *bucket;
	*bucket = (int) (one - q->recent);
}

/* Ids are compared in lower case. */
static void
lower_id(const BrNotification *n, char id[37])
{
	int i;

	for (i = 0; i < 36; i++)
	{
		id[i] = n->id[i];
		if (id[i] >= 'A' && id[i] <= 'F')
			id[i] = (char) (id[i] - 'A' + 'a');
	}
	id[36] = '\0';
}

/* ---- the connection ---- */

/* Without it a delivery tag means nothing: all comes again. */
static void
queue_close(BrSource *source)
{
	Queue *q = (Queue *) source;

	br_list_free(&q->inbox);
	br_list_free(&q->twins);
	br_broker_close(q->broker);
	q->broker = NULL;
	q->epoch++;
	br_metrics_set(BR_GAUGE_SOURCE_UP, 0);
}

static void
queue_free(BrSource *source)
{
	Queue *q = (Queue *) source;

	queue_close(source);
	br_url_free(&q->url);
	free(q->recent);
	free(q->buckets);
	free(q->confirmed);
	free(q);
}

static bool
broker_failed(Queue *q, int status, const char *doing, BrFault *fault)
{
	(void) br_broker_fault(q->broker, status, doing, fault);
	queue_close(&q->source);
	return false;
}

static bool
queue_open(BrSource *source, BrFault *fault)
{
	Queue *q = (Queue *) source;
	amqp_rpc_reply_t reply;
	int i;

	if (q->broker != NULL)
		return true;
	q->broker =
	    br_broker_open(&q->url, source->options, "auth_session", true, fault);
	if (q->broker == NULL)
		return false;
	q->connection = br_broker_connection(q->broker);
	q->next_tag = q->first = 1;
	q->unconfirmed = 0;
	for (i = 0; i < q->npauses; i++)
		if (!br_broker_retry_queue(q->broker, q->pauses[i], fault))
		{
			queue_close(source);
			return false;
		}
	if (source->options->check)
		return true;
	amqp_confirm_select(q->connection, CHANNEL);
	amqp_basic_qos(q->connection, CHANNEL, 0, (uint16_t) source->window, 0);
	amqp_basic_consume(q->connection, CHANNEL,
	                   amqp_cstring_bytes(br_broker_queue(q->broker)),
	                   amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
	reply = amqp_get_rpc_reply(q->connection);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
	{
		br_fault_set(fault, BR_KIND_LOGIN, "%s: may not consume queue \"%s\"",
		             q->url.name, br_broker_queue(q->broker));
		queue_close(source);
		return false;
	}
	br_metrics_set(BR_GAUGE_SOURCE_UP, 1);
	return true;
}

/* ---- what is told to the broker ---- */

static bool
acknowledge(Queue *q, uint64_t tag, bool good, BrFault *fault)
{
	int status = good ? amqp_basic_ack(q->connection, CHANNEL, tag, 0)
	                  : amqp_basic_reject(q->connection, CHANNEL, tag, 0);

	if (status != AMQP_STATUS_OK)
		return broker_failed(q, status, "acknowledging", fault);
	br_metrics_add(good ? BR_COUNT_SETTLED : BR_COUNT_DEAD_LETTERED, 1);
	return true;
}

/* To the dead-letter exchange with it. */
static bool
bury(Queue *q, uint64_t tag, const char *id, const char *why, BrFault *fault)
{
	br_log(BR_WARNING, "dead_lettered", "id", id, "text", why, (char *) NULL);
	return acknowledge(q, tag, false, fault);
}

/* To be tried again after a pause: into the queue that has it. */
static bool
put_off(Queue *q, const BrNotification *n, unsigned tries, BrFault *fault)
{
	unsigned which = n->outcome == BR_UNTRIED ? 1 : n->tries;
	amqp_basic_properties_t properties;
	amqp_table_entry_t entry;
	char *body = br_notification_print(n);
	char *queue;
	int status;

	if (which >= (unsigned) q->npauses)
		which = (unsigned) q->npauses - 1;
	queue =
	    br_format("%s.retry.%d", br_broker_queue(q->broker), q->pauses[which]);
	memset(&properties, 0, sizeof(properties));
	properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG |
	                    AMQP_BASIC_DELIVERY_MODE_FLAG |
	                    AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_TYPE_FLAG |
	                    AMQP_BASIC_HEADERS_FLAG;
	properties.content_type = amqp_cstring_bytes("application/json");
	properties.delivery_mode = PERSISTENT;
	properties.message_id = amqp_cstring_bytes(n->id);
	properties.type = amqp_cstring_bytes(n->kind);
	entry.key = amqp_cstring_bytes(TRIES);
	entry.value.kind = AMQP_FIELD_KIND_I32;
	entry.value.value.i32 = (int32_t) tries;
	properties.headers.num_entries = 1;
	properties.headers.entries = &entry;
	status = amqp_basic_publish(q->connection, CHANNEL, amqp_empty_bytes,
	                            amqp_cstring_bytes(queue), 0, 0, &properties,
	                            amqp_cstring_bytes(body));
	free(queue);
	br_free_secret(body);
	if (status != AMQP_STATUS_OK)
		return broker_failed(q, status, "putting off", fault);
	q->confirmed[q->next_tag - q->first] = false;
	q->unconfirmed++;
	q->next_tag++;
	return true;
}

/* ---- what the broker says ---- */

static unsigned
tries_of(const amqp_basic_properties_t *properties)
{
	int i;

	if (!(properties->_flags & AMQP_BASIC_HEADERS_FLAG))
		return 0;
	for (i = 0; i < properties->headers.num_entries; i++)
	{
		const amqp_table_entry_t *e = &properties->headers.entries[i];

		if (e->key.len == strlen(TRIES) &&
		    memcmp(e->key.bytes, TRIES, e->key.len) == 0 &&
		    e->value.kind == AMQP_FIELD_KIND_I32 && e->value.value.i32 > 0)
			return (unsigned) e->value.value.i32;
	}
	return 0;
}

/* A message has come: into the inbox, or rid of at once. */
static bool
take_message(Queue *q, uint64_t tag, BrFault *fault)
{
	amqp_message_t message;
	amqp_rpc_reply_t reply =
	    amqp_read_message(q->connection, CHANNEL, &message, 0);
	BrNotification *n;
	const char *why;
	unsigned tries;

	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return broker_failed(q,
		                     reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION
		                         ? reply.library_error
		                         : AMQP_STATUS_CONNECTION_CLOSED,
		                     "reading a message", fault);
	n = br_notification_parse(message.body.bytes, message.body.len, &why);
	tries = tries_of(&message.properties);
	amqp_destroy_message(&message);
	br_metrics_add(BR_COUNT_CLAIMED, 1);
	if (n == NULL)
	{
		q->source.refused = true;
		return bury(q, tag, NULL, why, fault);
	}
	n->tag = tag;
	n->epoch = q->epoch;
	n->tries = tries;
	br_list_push(&q->inbox, n);
	return true;
}

/* Of one that was put off, or of all up to it. */
static void
take_confirm(Queue *q, uint64_t tag, bool multiple)
{
	uint64_t i = multiple ? q->first : tag;

	for (; i >= q->first && i <= tag && i < q->next_tag; i++)
	{
		q->unconfirmed -= !q->confirmed[i - q->first];
		q->confirmed[i - q->first] = true;
	}
}

static bool
take_method(Queue *q, const amqp_method_t *method, BrFault *fault)
{
	const amqp_basic_deliver_t *deliver = method->decoded;
	const amqp_basic_ack_t *ack = method->decoded;
	const amqp_basic_nack_t *nack = method->decoded;

	switch (method->id)
	{
		case AMQP_BASIC_DELIVER_METHOD:
			return take_message(q, deliver->delivery_tag, fault);
		case AMQP_BASIC_ACK_METHOD:
			take_confirm(q, ack->delivery_tag, ack->multiple);
			return true;
		case AMQP_BASIC_NACK_METHOD:
			take_confirm(q, nack->delivery_tag, nack->multiple);
			q->nacked = true;
			return true;
		case AMQP_BASIC_CANCEL_METHOD:
			br_fault_set(fault, BR_KIND_UNREACHABLE, "%s: queue \"%s\" is gone",
			             q->url.name, br_broker_queue(q->broker));
			queue_close(&q->source);
			return false;
		default:
			return true;
	}
}

/* All that is there; waits for nothing. */
static bool
receive(Queue *q, int64_t deadline, BrFault *fault)
{
	amqp_frame_t frame;
	int got;

	while ((got = br_broker_frame(q->broker, &frame, deadline, fault)) > 0)
	{
		if (frame.frame_type == AMQP_FRAME_METHOD &&
		    !take_method(q, &frame.payload.method, fault))
			return false;
		deadline = 0;
	}
	if (got < 0)
	{
		queue_close(&q->source);
		return false;
	}
	br_broker_recycle(q->broker);
	return true;
}

/* Until the broker has all that was put off. */
static bool
await_confirms(Queue *q, BrFault *fault)
{
	int64_t deadline = br_clock_now() + q->source.options->timeout * 1000;

	while (q->unconfirmed > 0)
	{
		if (!receive(q, deadline, fault))
			return false;
		if (q->unconfirmed > 0 && br_clock_now() >= deadline)
			return broker_failed(q, AMQP_STATUS_TIMEOUT, "putting off", fault);
	}
	if (!q->nacked)
		return true;
	br_fault_set(fault, BR_KIND_UNREACHABLE,
	             "%s: a retry queue does not take more", q->url.name);
	queue_close(&q->source);
	return false;
}

/* ---- the methods ---- */

static bool
queue_take(BrSource *source, const char *channel, size_t most, BrList *list,
           BrFault *fault)
{
	Queue *q = (Queue *) source;
	BrNotification *n;

	(void) channel;
	if (!receive(q, 0, fault))
		return false;
	while (most > 0 && (n = br_list_shift(&q->inbox)) != NULL)
	{
		char id[37];
		Recent *known;

		lower_id(n, id);
		known = recent_find(q, id);
		if (known != NULL && known->out)
			br_list_push(&q->twins, n);
		else if (known != NULL)
		{
			uint64_t tag = n->tag;

			br_log(BR_INFO, "duplicate", "id", n->id, (char *) NULL);
			br_metrics_add(BR_COUNT_DUPLICATES, 1);
			br_notification_free(n);
			if (!acknowledge(q, tag, true, fault))
				return false;
		}
		else
		{
			recent_add(q, id);
			br_list_push(list, n);
			most--;
		}
	}
	return true;
}

/* Its fate is known: twins are looked at again. */
static void
settle_id(Queue *q, const BrNotification *n)
{
	BrList kept = {NULL, NULL, 0};
	BrNotification *twin;
	char id[37];
	Recent *known;

	lower_id(n, id);
	known = recent_find(q, id);
	if (known != NULL && n->outcome == BR_DELIVERED)
		known->out = false;
	else if (known != NULL)
		recent_forget(q, known);
	while ((twin = br_list_shift(&q->twins)) != NULL)
		br_list_push(strcasecmp(twin->id, n->id) == 0 ? &q->inbox : &kept,
		             twin);
	q->twins = kept;
}

/* True where it is to be acknowledged when all that was put off is safe. */
static bool
tell_one(Queue *q, BrNotification *n, bool *later, BrFault *fault)
{
	unsigned tries = n->tries + (n->outcome == BR_DEFERRED);

	*later = false;
	settle_id(q, n);
	/* Of a connection that is gone: it comes, or came, again. */
	if (n->epoch != q->epoch || q->broker == NULL)
		return true;
	if (n->outcome == BR_DELIVERED || n->outcome == BR_EXPIRED)
		return acknowledge(q, n->tag, true, fault);
	if (n->outcome == BR_REFUSED ||
	    tries >= (unsigned) q->source.options->tries)
	{
		q->source.refused = true;
		return bury(q, n->tag, n->id, n->error, fault);
	}
	*later = true;
	return put_off(q, n, tries, fault);
}

static bool
queue_tell(BrSource *source, BrList *judged, BrFault *fault)
{
	Queue *q = (Queue *) source;
	BrList off = {NULL, NULL, 0};
	BrNotification *n;
	bool good = true;

	q->first = q->next_tag;
	q->nacked = false;
	/* What is not told after a failure comes again, but not to be mailed
	 * again: hence all are looked at. */
	while ((n = br_list_shift(judged)) != NULL)
	{
		BrFault ignored;
		bool later;

		good = tell_one(q, n, &later, good ? fault : &ignored) && good;
		if (later)
			br_list_push(&off, n);
		else
			br_notification_free(n);
	}
	if (good && off.n > 0)
		good = await_confirms(q, fault);
	while (good && (n = br_list_shift(&off)) != NULL)
	{
		good = acknowledge(q, n->tag, true, fault);
		br_notification_free(n);
	}
	br_list_free(&off);
	return good;
}

static bool
queue_wait(BrSource *source, int64_t deadline, bool *news, BrFault *fault)
{
	Queue *q = (Queue *) source;

	if (!receive(q, 0, fault))
		return false;
	if (q->inbox.n == 0)
	{
		br_wait(amqp_get_sockfd(q->connection), deadline);
		if (!receive(q, 0, fault))
			return false;
	}
	*news = q->inbox.n > 0;
	return true;
}

/* Whether nothing is left, in the queue or here. */
static bool
queue_empty(BrSource *source)
{
	Queue *q = (Queue *) source;
	amqp_queue_declare_ok_t *there;

	if (q->broker == NULL || q->inbox.n > 0 || q->twins.n > 0)
		return false;
	there = amqp_queue_declare(q->connection, CHANNEL,
	                           amqp_cstring_bytes(br_broker_queue(q->broker)),
	                           1, 0, 0, 0, amqp_empty_table);
	return there != NULL && there->message_count == 0 &&
	       !amqp_frames_enqueued(q->connection);
}

static const BrSourceMethods queue_methods = {
    queue_open,  queue_take,  queue_tell, queue_wait,
    queue_empty, queue_close, queue_free};

/* The option retry: seconds, separated by spaces. */
static bool
take_pauses(Queue *q, const char *text, BrFault *fault)
{
	while (*text)
	{
		char *end;
		long seconds = strtol(text, &end, 10);

		if (end == text || seconds < 1 || seconds > 86400 ||
		    q->npauses == PAUSES_MOST)
			return br_fault_set(fault, BR_KIND_USAGE,
			                    "retry: up to %d pauses of 1 to 86400 seconds, "
			                    "separated by spaces",
			                    PAUSES_MOST);
		q->pauses[q->npauses++] = (int) seconds;
		text = end + strspn(end, " ");
	}
	return q->npauses > 0 ||
	       br_fault_set(fault, BR_KIND_USAGE, "retry: names no pause");
}

BrSource *
br_queue_make(const BrOptions *options, BrFault *fault)
{
	Queue *q = br_alloc(sizeof(*q));
	size_t most = (size_t) options->connections * 64;
	int i;

	q->source.methods = &queue_methods;
	q->source.options = options;
	q->source.word = "broker";
	q->source.window =
	    (size_t) options->batch < most ? (size_t) options->batch : most;
	q->confirmed = br_alloc(q->source.window * sizeof(*q->confirmed));
	q->recent = br_alloc(RECENT * sizeof(*q->recent));
	q->buckets = br_alloc(BUCKETS * sizeof(*q->buckets));
	for (i = 0; i < BUCKETS; i++)
		q->buckets[i] = NONE;
	if (br_url_parse(&q->url, options->consume, fault) &&
	    (strncmp(q->url.scheme, "amqp", 4) == 0 ||
	     br_fault_set(fault, BR_KIND_USAGE,
	                  "consume: %s is not a broker (amqp or amqps)",
	                  q->url.name)) &&
	    take_pauses(q, options->retry, fault))
		return &q->source;
	queue_free(&q->source);
	return NULL;
}
