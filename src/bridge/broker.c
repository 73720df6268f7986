/*
 * broker.c
 *		A connection to RabbitMQ: login, TLS, topology, frames, faults.
 *
 * Both the publisher (amqp.c) and the consumer (queue.c) stand on this.
 * The topology, unless the URL's options say otherwise:
 *
 *		auth_session		durable topic exchange; routing key = kind
 *		auth_session.events	the same, for events
 *		auth_session.mail	durable queue bound to it with "#"
 *		auth_session.dead	durable fanout exchange, and a queue of the same
 *							name: what could not be mailed
 *		QUEUE.retry.SECONDS	durable queues that hand back to QUEUE what has
 *							been in them for so long
 *
 * Everything is declared, so a new broker works at once; what is there
 * already must be the same.  With ?declare=no nothing is made: that the
 * exchange and queue exist is looked up (a passive declaration, which needs
 * no configure permission).
 *
 * Every wait has an end: connecting, each synchronous method and each frame
 * by the options' timeout, and a write to a broker that does not read by the
 * heartbeat.
 */
#include "ends.h"

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/framing.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#define CHANNEL   1
#define FRAME_MAX 131072

struct BrBroker
{
	amqp_connection_state_t connection;
	char *name; /* of the URL, for faults */
	char *exchange;
	char *queue;
	char *dead;
	const char *queue_type; /* in the URL */
	int heartbeat;          /* seconds */
	bool passive;           /* ?declare=no */
	bool broken;            /* not worth a good-bye */
};

void *
br_broker_connection(BrBroker *broker)
{
	return broker->connection;
}

const char *
br_broker_exchange(const BrBroker *broker)
{
	return broker->exchange;
}

const char *
br_broker_queue(const BrBroker *broker)
{
	return broker->queue;
}

void
br_broker_recycle(BrBroker *broker)
{
	amqp_maybe_release_buffers(broker->connection);
}

bool
br_broker_fault(BrBroker *broker, int status, const char *doing, BrFault *fault)
{
	BrKind kind = BR_KIND_UNREACHABLE;

	broker->broken = true;
	if (status == AMQP_STATUS_NO_MEMORY)
		kind = BR_KIND_INTERNAL;
	else if (status <= AMQP_STATUS_SSL_ERROR &&
	         status > AMQP_STATUS_SSL_ERROR - 0x100)
		kind = BR_KIND_TLS;
	return br_fault_set(fault, kind, "%s: %s: %s", broker->name, doing,
	                    amqp_error_string2(status));
}

/* The broker closed the channel or the connection: its code and words. */
static bool
closing_fault(BrBroker *broker, int code, amqp_bytes_t words, const char *doing,
              BrFault *fault)
{
	BrKind kind = BR_KIND_UNREACHABLE;

	broker->broken = true;
	switch (code)
	{
		case 403: /* ACCESS_REFUSED */
		case 530: /* NOT_ALLOWED: no such virtual host, or not for us */
			kind = BR_KIND_LOGIN;
			break;
		case 404: /* NOT_FOUND */
		case 405: /* RESOURCE_LOCKED */
		case 406: /* PRECONDITION_FAILED */
			kind = BR_KIND_TOPOLOGY;
			break;
		default:
			break;
	}
	return br_fault_set(fault, kind, "%s: %s: %d %.*s", broker->name, doing,
	                    code, (int) words.len, (const char *) words.bytes);
}

static bool
method_fault(BrBroker *broker, const amqp_method_t *method, const char *doing,
             BrFault *fault)
{
	if (method->id == AMQP_CONNECTION_CLOSE_METHOD)
	{
		const amqp_connection_close_t *close = method->decoded;

		return closing_fault(broker, close->reply_code, close->reply_text,
		                     doing, fault);
	}
	if (method->id == AMQP_CHANNEL_CLOSE_METHOD)
	{
		const amqp_channel_close_t *close = method->decoded;

		return closing_fault(broker, close->reply_code, close->reply_text,
		                     doing, fault);
	}
	return br_broker_fault(broker, AMQP_STATUS_WRONG_METHOD, doing, fault);
}

static bool
good_reply(BrBroker *broker, amqp_rpc_reply_t reply, const char *doing,
           BrFault *fault)
{
	switch (reply.reply_type)
	{
		case AMQP_RESPONSE_NORMAL:
			return true;
		case AMQP_RESPONSE_SERVER_EXCEPTION:
			return method_fault(broker, &reply.reply, doing, fault);
		case AMQP_RESPONSE_LIBRARY_EXCEPTION:
			return br_broker_fault(broker, reply.library_error, doing, fault);
		default:
			return br_broker_fault(broker, AMQP_STATUS_SOCKET_CLOSED, doing,
			                       fault);
	}
}

int
br_broker_frame(BrBroker *broker, amqp_frame_t *frame, int64_t deadline,
                BrFault *fault)
{
	int64_t left = deadline - br_clock_now();
	struct timeval limit;
	int status;

	if (left < 0)
		left = 0;
	limit.tv_sec = left / 1000;
	limit.tv_usec = left % 1000 * 1000;
	status = amqp_simple_wait_frame_noblock(broker->connection, frame, &limit);
	if (status == AMQP_STATUS_TIMEOUT)
		return 0;
	if (status != AMQP_STATUS_OK)
	{
		(void) br_broker_fault(broker, status, "connection lost", fault);
		return -1;
	}
	if (frame->frame_type == AMQP_FRAME_METHOD &&
	    (frame->payload.method.id == AMQP_CONNECTION_CLOSE_METHOD ||
	     frame->payload.method.id == AMQP_CHANNEL_CLOSE_METHOD))
	{
		(void) method_fault(broker, &frame->payload.method, "closed by broker",
		                    fault);
		return -1;
	}
	return 1;
}

static bool
secure(amqp_socket_t *socket, BrBroker *broker, const BrOptions *options,
       BrFault *fault)
{
	SSL_CTX *context;
	bool trusted;

	amqp_ssl_socket_set_verify_peer(socket, !options->insecure_tls);
	amqp_ssl_socket_set_verify_hostname(socket, !options->insecure_tls);
	(void) amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2,
	                                        AMQP_TLSvLATEST);
	if (options->ca_file)
		trusted = amqp_ssl_socket_set_cacert(socket, options->ca_file) ==
		          AMQP_STATUS_OK;
	else
	{
		context = amqp_ssl_socket_get_context(socket);
		trusted = context && SSL_CTX_set_default_verify_paths(context) == 1;
	}
	if (trusted)
		return true;
	return br_fault_set(
	    fault, BR_KIND_TLS, "%s: cannot read trusted certificates from %s",
	    broker->name, options->ca_file ? options->ca_file : "the system");
}

/*
 * Log in and tell what we understand: that a queue was deleted under its
 * consumer, and that the broker blocks publishers for want of memory or disk.
 */
static amqp_rpc_reply_t
login(BrBroker *broker, const BrUrl *url, const char *vhost)
{
	static const char *const known[] = {"consumer_cancel_notify",
	                                    "connection.blocked",
	                                    "authentication_failure_close"};
	amqp_table_entry_t entries[sizeof(known) / sizeof(known[0])];
	amqp_table_entry_t capabilities;
	amqp_table_t properties = {1, &capabilities};
	int i;

	capabilities.key = amqp_cstring_bytes("capabilities");
	capabilities.value.kind = AMQP_FIELD_KIND_TABLE;
	capabilities.value.value.table.entries = entries;
	capabilities.value.value.table.num_entries =
	    (int) (sizeof(known) / sizeof(known[0]));
	for (i = 0; i < capabilities.value.value.table.num_entries; i++)
	{
		entries[i].key = amqp_cstring_bytes(known[i]);
		entries[i].value.kind = AMQP_FIELD_KIND_BOOLEAN;
		entries[i].value.value.boolean = 1;
	}
	return amqp_login_with_properties(
	    broker->connection, vhost, 0, FRAME_MAX, broker->heartbeat, &properties,
	    AMQP_SASL_METHOD_PLAIN, url->user ? url->user : "guest",
	    url->password ? url->password : "guest");
}

static bool
connect_and_login(BrBroker *broker, const BrUrl *url, const BrOptions *options,
                  BrFault *fault)
{
	struct timeval limit = {options->timeout, 0};
	char *vhost = br_copy("/");
	amqp_socket_t *socket;
	int status;
	bool good;

	if (strcmp(url->scheme, "amqps") == 0)
	{
		socket = amqp_ssl_socket_new(broker->connection);
		if (socket && !secure(socket, broker, options, fault))
		{
			free(vhost);
			return false;
		}
	}
	else
		socket = amqp_tcp_socket_new(broker->connection);
	if (url->path && url->path[1])
	{
		free(vhost);
		vhost = br_copy(url->path + 1);
	}
	status =
	    socket ? amqp_socket_open_noblock(socket, url->host, url->port, &limit)
	           : AMQP_STATUS_NO_MEMORY;
	if (status != AMQP_STATUS_OK)
		good = br_broker_fault(broker, status, "cannot connect", fault);
	else
	{
		(void) amqp_set_handshake_timeout(broker->connection, &limit);
		(void) amqp_set_rpc_timeout(broker->connection, &limit);
		good = good_reply(broker, login(broker, url, vhost), "login", fault);
		if (good)
		{
			amqp_channel_open(broker->connection, CHANNEL);
			good = good_reply(broker, amqp_get_rpc_reply(broker->connection),
			                  "cannot open a channel", fault);
		}
	}
	free(vhost);
	return good;
}

static bool
declare_exchange(BrBroker *broker, const char *name, const char *type,
                 bool passive, BrFault *fault)
{
	char *doing = br_format("exchange \"%s\"", name);
	bool good;

	amqp_exchange_declare(broker->connection, CHANNEL, amqp_cstring_bytes(name),
	                      amqp_cstring_bytes(type), passive, 1, 0, 0,
	                      amqp_empty_table);
	good = good_reply(broker, amqp_get_rpc_reply(broker->connection), doing,
	                  fault);
	free(doing);
	return good;
}

static void
add_text(amqp_table_t *table, const char *key, const char *value)
{
	amqp_table_entry_t *entry = &table->entries[table->num_entries++];

	entry->key = amqp_cstring_bytes(key);
	entry->value.kind = AMQP_FIELD_KIND_UTF8;
	entry->value.value.bytes = amqp_cstring_bytes(value);
}

/*
 * Declare a queue.  dead: the exchange that gets what is rejected, or NULL;
 * back: the queue that gets what has been there for seconds, or NULL.
 */
static bool
declare_queue(BrBroker *broker, const char *name, const char *dead,
              const char *back, int seconds, bool passive, BrFault *fault)
{
	amqp_table_entry_t entries[4];
	amqp_table_t arguments = {0, entries};
	char *doing = br_format("queue \"%s\"", name);
	bool good;

	if (dead && *dead)
		add_text(&arguments, "x-dead-letter-exchange", dead);
	if (back)
	{
		add_text(&arguments, "x-dead-letter-exchange", "");
		add_text(&arguments, "x-dead-letter-routing-key", back);
		entries[arguments.num_entries].key =
		    amqp_cstring_bytes("x-message-ttl");
		entries[arguments.num_entries].value.kind = AMQP_FIELD_KIND_I32;
		entries[arguments.num_entries].value.value.i32 = seconds * 1000;
		arguments.num_entries++;
	}
	if (broker->queue_type)
		add_text(&arguments, "x-queue-type", broker->queue_type);
	amqp_queue_declare(broker->connection, CHANNEL, amqp_cstring_bytes(name),
	                   passive, 1, 0, 0, arguments);
	good = good_reply(broker, amqp_get_rpc_reply(broker->connection), doing,
	                  fault);
	free(doing);
	return good;
}

bool
br_broker_retry_queue(BrBroker *broker, int seconds, BrFault *fault)
{
	char *name = br_format("%s.retry.%d", broker->queue, seconds);
	bool good = declare_queue(broker, name, NULL, broker->queue, seconds,
	                          broker->passive, fault);

	free(name);
	return good;
}

static bool
bind_queue(BrBroker *broker, const char *queue, const char *exchange,
           BrFault *fault)
{
	amqp_queue_bind(broker->connection, CHANNEL, amqp_cstring_bytes(queue),
	                amqp_cstring_bytes(exchange), amqp_cstring_bytes("#"),
	                amqp_empty_table);
	return good_reply(broker, amqp_get_rpc_reply(broker->connection),
	                  "binding the queue", fault);
}

static bool
declare_topology(BrBroker *broker, bool with_queue, bool passive,
                 BrFault *fault)
{
	if (!declare_exchange(broker, broker->exchange, "topic", passive, fault))
		return false;
	if (!with_queue)
		return true;
	if (passive)
		return declare_queue(broker, broker->queue, broker->dead, NULL, 0, true,
		                     fault);
	if (*broker->dead &&
	    !(declare_exchange(broker, broker->dead, "fanout", false, fault) &&
	      declare_queue(broker, broker->dead, NULL, NULL, 0, false, fault) &&
	      bind_queue(broker, broker->dead, broker->dead, fault)))
		return false;
	return declare_queue(broker, broker->queue, broker->dead, NULL, 0, false,
	                     fault) &&
	       bind_queue(broker, broker->queue, broker->exchange, fault);
}

BrBroker *
br_broker_open(const BrUrl *url, const BrOptions *options, const char *exchange,
               bool with_queue, BrFault *fault)
{
	BrBroker *broker = br_alloc(sizeof(*broker));
	const char *declare = br_url_option(url, "declare", "yes");
	const char *queue = br_url_option(url, "queue", NULL);
	const char *heartbeat = br_url_option(url, "heartbeat", "30");
	char *end;
	long seconds = strtol(heartbeat, &end, 10);

	broker->name = br_copy(url->name);
	broker->exchange = br_copy(br_url_option(url, "exchange", exchange));
	broker->queue = br_copy(queue ? queue : "auth_session.mail");
	broker->dead =
	    br_copy(br_url_option(url, "dead_letter", "auth_session.dead"));
	broker->queue_type = br_url_option(url, "queue_type", NULL);
	broker->passive = strcmp(declare, "no") == 0;
	broker->heartbeat = (int) seconds;
	if (end == heartbeat || *end || seconds < 0 || seconds > 3600 ||
	    (strcmp(declare, "yes") != 0 && strcmp(declare, "no") != 0))
	{
		br_fault_set(fault, BR_KIND_USAGE,
		             "%s: heartbeat is 0 to 3600, declare is yes or no",
		             url->name);
		broker->broken = true;
	}
	else if ((broker->connection = amqp_new_connection()) == NULL)
		(void) br_broker_fault(broker, AMQP_STATUS_NO_MEMORY, "cannot connect",
		                       fault);
	else if (connect_and_login(broker, url, options, fault) &&
	         declare_topology(broker, with_queue || queue != NULL,
	                          broker->passive, fault))
		return broker;
	br_broker_close(broker);
	return NULL;
}

void
br_broker_close(BrBroker *broker)
{
	if (broker == NULL)
		return;
	if (broker->connection)
	{
		if (!broker->broken)
			(void) amqp_connection_close(broker->connection,
			                             AMQP_REPLY_SUCCESS);
		(void) amqp_destroy_connection(broker->connection);
	}
	free(broker->name);
	free(broker->exchange);
	free(broker->queue);
	free(broker->dead);
	free(broker);
}
