/*
 * sink.c
 *		The destinations by channel, and how one that fails is left alone.
 *
 * A sink is up or resting.  While it rests nobody claims for it and nobody
 * knocks; when the rest is over it is opened again.  The flows hold on to
 * what they have taken meanwhile, so an outage of the destination costs no
 * notification a try.
 */
#include "bridge.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A broker takes a whole claim; the others, a few rounds of connections. */
#define AMQP_CHUNK 10000
#define FILE_CHUNK 100
#define ROUNDS     4

static AsSink *
make(const char *text, const AsOptions *options, const AsTemplates *templates,
     const char *setting, AsFault *fault)
{
	AsSink *sink = as_alloc(sizeof(*sink));
	const char *scheme;
	bool good;

	sink->options = options;
	sink->templates = templates;
	good = as_url_parse(&sink->url, text, fault);
	scheme = good ? sink->url.scheme : "";
	if (strncmp(scheme, "amqp", 4) == 0)
	{
		sink->methods = &as_amqp_methods;
		sink->chunk = AMQP_CHUNK;
		if (options->consume)
			good = as_fault_set(fault, AS_KIND_USAGE,
			                    "%s: --consume does not feed a broker again",
			                    sink->url.name);
	}
	else if (strncmp(scheme, "smtp", 4) == 0)
	{
		sink->methods = &as_smtp_methods;
		sink->chunk = (size_t) options->connections * ROUNDS;
		good = as_smtp_prepare(sink, fault);
	}
	else if (strncmp(scheme, "http", 4) == 0)
	{
		sink->methods = &as_webhook_methods;
		sink->chunk = (size_t) options->connections * ROUNDS;
		good = as_webhook_prepare(sink, fault);
	}
	else
	{
		sink->methods = &as_file_methods;
		sink->chunk = FILE_CHUNK;
	}
	if (good)
		return sink;
	/* Which of several URLs was meant. */
	{
		char *said = as_copy(fault->text);

		as_fault_set(fault, fault->kind, "%s: %s", setting, said);
		free(said);
	}
	as_url_free(&sink->url);
	free(sink);
	return NULL;
}

static void
sink_free(AsSink *sink)
{
	if (sink == NULL)
		return;
	sink->methods->close(sink);
	as_url_free(&sink->url);
	free(sink);
}

bool
as_routes_make(AsRoutes *routes, const AsOptions *options, AsFault *fault)
{
	AsSink *all = NULL;

	memset(routes, 0, sizeof(*routes));
	routes->templates = as_templates_load(options, fault);
	if (routes->templates == NULL)
		return false;
	if (options->to && (options->email == NULL || options->sms == NULL))
	{
		all = make(options->to, options, routes->templates, "to", fault);
		if (all == NULL)
			goto fail;
		all->gauge = AS_GAUGE_EMAIL_UP;
	}
	routes->email = all;
	routes->sms = all;
	if (options->email)
	{
		routes->email =
		    make(options->email, options, routes->templates, "email", fault);
		if (routes->email == NULL)
			goto fail;
		routes->email->gauge = AS_GAUGE_EMAIL_UP;
		if (all)
			all->gauge = AS_GAUGE_SMS_UP;
	}
	if (options->sms)
	{
		routes->sms =
		    make(options->sms, options, routes->templates, "sms", fault);
		if (routes->sms == NULL)
			goto fail;
		routes->sms->gauge = AS_GAUGE_SMS_UP;
	}
	return true;
fail:
	as_routes_free(routes);
	return false;
}

void
as_routes_free(AsRoutes *routes)
{
	AsSink *list[2];
	int n = as_routes_list(routes, list);

	while (n > 0)
		sink_free(list[--n]);
	as_templates_free(routes->templates);
	memset(routes, 0, sizeof(*routes));
}

AsSink *
as_routes_find(const AsRoutes *routes, const AsNotification *n)
{
	if (strcmp(n->channel, "email") == 0)
		return routes->email;
	if (strcmp(n->channel, "sms") == 0)
		return routes->sms;
	return NULL;
}

int
as_routes_list(const AsRoutes *routes, AsSink *list[2])
{
	int n = 0;

	if (routes->email)
		list[n++] = routes->email;
	if (routes->sms && routes->sms != routes->email)
		list[n++] = routes->sms;
	return n;
}

/* The sink does not work: say so once, and let it rest. */
static void
fail(AsSink *sink, const AsFault *fault)
{
	char wait[32];

	sink->methods->close(sink);
	sink->up = false;
	snprintf(wait, sizeof(wait), "%lld",
	         (long long) as_backoff_fail(&sink->rest));
	as_metrics_set(sink->gauge, 0);
	as_metrics_add(AS_COUNT_SINK_FAILURES, 1);
	as_log(AS_WARNING, "sink_failed", "sink", sink->url.name, "kind",
	       as_fault_word(fault->kind), "text", fault->text, "retry_ms", wait,
	       (char *) NULL);
}

bool
as_sink_ready(AsSink *sink, AsFault *fault)
{
	if (sink->up)
		return true;
	if (as_clock_now() < sink->rest.until)
		return false;
	if (!sink->methods->open(sink, fault))
	{
		fail(sink, fault);
		return false;
	}
	sink->up = true;
	as_metrics_set(sink->gauge, 1);
	as_log(AS_INFO, "sink_up", "sink", sink->url.name, (char *) NULL);
	return true;
}

bool
as_sink_deliver(AsSink *sink, AsNotification **batch, size_t n, AsFault *fault)
{
	size_t delivered = 0;
	size_t i;
	char count[32];
	bool good;

	for (i = 0; i < n; i++)
	{
		batch[i]->outcome = AS_UNTRIED;
		batch[i]->error[0] = '\0';
	}
	good = sink->methods->deliver(sink, batch, n, fault);
	for (i = 0; i < n; i++)
	{
		AsNotification *one = batch[i];
		char to[400];

		if (one->outcome == AS_UNTRIED)
			continue;
		as_notification_mask(one, to, sizeof(to));
		if (one->outcome == AS_DELIVERED)
			delivered++;
		as_log(one->outcome == AS_DELIVERED ? AS_DEBUG : AS_WARNING,
		       one->outcome == AS_DELIVERED  ? "delivered"
		       : one->outcome == AS_DEFERRED ? "deferred"
		                                     : "refused",
		       "id", one->id, "kind", one->kind, "to", to, "sink",
		       sink->url.name, "text", one->error[0] ? one->error : NULL,
		       (char *) NULL);
		as_metrics_add(one->outcome == AS_DELIVERED  ? AS_COUNT_DELIVERED
		               : one->outcome == AS_DEFERRED ? AS_COUNT_DEFERRED
		                                             : AS_COUNT_REFUSED,
		               1);
	}
	if (delivered > 0)
	{
		as_metrics_set(AS_GAUGE_LAST_DELIVERY, (uint64_t) time(NULL));
		snprintf(count, sizeof(count), "%zu", delivered);
		as_log(AS_INFO, "batch_delivered", "sink", sink->url.name, "count",
		       count, (char *) NULL);
		as_backoff_succeed(&sink->rest);
	}
	if (!good)
		fail(sink, fault);
	return good;
}

void
as_sink_tend(AsSink *sink)
{
	AsFault fault;

	if (sink->up && sink->methods->tend && !sink->methods->tend(sink, &fault))
		fail(sink, &fault);
}
