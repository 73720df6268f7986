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

static BrSink *
make(const char *text, const BrOptions *options, const BrTemplates *templates,
     const char *setting, BrFault *fault)
{
	BrSink *sink = br_alloc(sizeof(*sink));
	const char *scheme;
	bool good;

	sink->options = options;
	sink->templates = templates;
	good = br_url_parse(&sink->url, text, fault);
	scheme = good ? sink->url.scheme : "";
	if (strncmp(scheme, "amqp", 4) == 0)
	{
		sink->methods = &br_amqp_methods;
		sink->chunk = AMQP_CHUNK;
		if (options->consume)
			good = br_fault_set(fault, BR_KIND_USAGE,
			                    "%s: --consume does not feed a broker again",
			                    sink->url.name);
	}
	else if (strncmp(scheme, "smtp", 4) == 0)
	{
		sink->methods = &br_smtp_methods;
		sink->chunk = (size_t) options->connections * ROUNDS;
		good = br_smtp_prepare(sink, fault);
	}
	else if (strncmp(scheme, "http", 4) == 0)
	{
		sink->methods = &br_webhook_methods;
		sink->chunk = (size_t) options->connections * ROUNDS;
		good = br_webhook_prepare(sink, fault);
	}
	else
	{
		sink->methods = &br_file_methods;
		sink->chunk = FILE_CHUNK;
	}
	if (good)
		return sink;
	/* Which of several URLs was meant. */
	{
		char *said = br_copy(fault->text);

		br_fault_set(fault, fault->kind, "%s: %s", setting, said);
		free(said);
	}
	br_url_free(&sink->url);
	free(sink);
	return NULL;
}

static void
sink_free(BrSink *sink)
{
	if (sink == NULL)
		return;
	sink->methods->close(sink);
	br_url_free(&sink->url);
	free(sink);
}

bool
br_routes_make(BrRoutes *routes, const BrOptions *options, BrFault *fault)
{
	BrSink *all = NULL;

	memset(routes, 0, sizeof(*routes));
	routes->templates = br_templates_load(options, fault);
	if (routes->templates == NULL)
		return false;
	if (options->to && (options->email == NULL || options->sms == NULL))
	{
		all = make(options->to, options, routes->templates, "to", fault);
		if (all == NULL)
			goto fail;
		all->gauge = BR_GAUGE_EMAIL_UP;
	}
	routes->email = all;
	routes->sms = all;
	if (options->email)
	{
		routes->email =
		    make(options->email, options, routes->templates, "email", fault);
		if (routes->email == NULL)
			goto fail;
		routes->email->gauge = BR_GAUGE_EMAIL_UP;
		if (all)
			all->gauge = BR_GAUGE_SMS_UP;
	}
	if (options->sms)
	{
		routes->sms =
		    make(options->sms, options, routes->templates, "sms", fault);
		if (routes->sms == NULL)
			goto fail;
		routes->sms->gauge = BR_GAUGE_SMS_UP;
	}
	return true;
fail:
	br_routes_free(routes);
	return false;
}

void
br_routes_free(BrRoutes *routes)
{
	BrSink *list[2];
	int n = br_routes_list(routes, list);

	while (n > 0)
		sink_free(list[--n]);
	br_templates_free(routes->templates);
	memset(routes, 0, sizeof(*routes));
}

BrSink *
br_routes_find(const BrRoutes *routes, const BrNotification *n)
{
	if (strcmp(n->channel, "email") == 0)
		return routes->email;
	if (strcmp(n->channel, "sms") == 0)
		return routes->sms;
	return NULL;
}

int
br_routes_list(const BrRoutes *routes, BrSink *list[2])
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
fail(BrSink *sink, const BrFault *fault)
{
	char wait[32];

	sink->methods->close(sink);
	sink->up = false;
	snprintf(wait, sizeof(wait), "%lld",
	         (long long) br_backoff_fail(&sink->rest));
	br_metrics_set(sink->gauge, 0);
	br_metrics_add(BR_COUNT_SINK_FAILURES, 1);
	br_log(BR_WARNING, "sink_failed", "sink", sink->url.name, "kind",
	       br_fault_word(fault->kind), "text", fault->text, "retry_ms", wait,
	       (char *) NULL);
}

bool
br_sink_ready(BrSink *sink, BrFault *fault)
{
	if (sink->up)
		return true;
	if (br_clock_now() < sink->rest.until)
		return false;
	if (!sink->methods->open(sink, fault))
	{
		fail(sink, fault);
		return false;
	}
	sink->up = true;
	br_metrics_set(sink->gauge, 1);
	br_log(BR_INFO, "sink_up", "sink", sink->url.name, (char *) NULL);
	return true;
}

bool
br_sink_deliver(BrSink *sink, BrNotification **batch, size_t n, BrFault *fault)
{
	size_t delivered = 0;
	size_t i;
	char count[32];
	bool good;

	for (i = 0; i < n; i++)
	{
		batch[i]->outcome = BR_UNTRIED;
		batch[i]->error[0] = '\0';
	}
	good = sink->methods->deliver(sink, batch, n, fault);
	for (i = 0; i < n; i++)
	{
		BrNotification *one = batch[i];
		char to[400];

		if (one->outcome == BR_UNTRIED)
			continue;
		br_notification_mask(one, to, sizeof(to));
		if (one->outcome == BR_DELIVERED)
			delivered++;
		br_log(one->outcome == BR_DELIVERED ? BR_DEBUG : BR_WARNING,
		       one->outcome == BR_DELIVERED  ? "delivered"
		       : one->outcome == BR_DEFERRED ? "deferred"
		                                     : "refused",
		       "id", one->id, "kind", one->kind, "to", to, "sink",
		       sink->url.name, "text", one->error[0] ? one->error : NULL,
		       (char *) NULL);
		br_metrics_add(one->outcome == BR_DELIVERED  ? BR_COUNT_DELIVERED
		               : one->outcome == BR_DEFERRED ? BR_COUNT_DEFERRED
		                                             : BR_COUNT_REFUSED,
		               1);
	}
	if (delivered > 0)
	{
		br_metrics_set(BR_GAUGE_LAST_DELIVERY, (uint64_t) time(NULL));
		snprintf(count, sizeof(count), "%zu", delivered);
		br_log(BR_INFO, "batch_delivered", "sink", sink->url.name, "count",
		       count, (char *) NULL);
		br_backoff_succeed(&sink->rest);
	}
	if (!good)
		fail(sink, fault);
	return good;
}

void
br_sink_tend(BrSink *sink)
{
	BrFault fault;

	if (sink->up && sink->methods->tend && !sink->methods->tend(sink, &fault))
		fail(sink, &fault);
}
