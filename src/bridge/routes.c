/*
 * routes.c
 *		Which destination a channel has, and what serves its URL's scheme.
 *
 * A new kind of destination is a row here, a row of url.c, and a file with its
 * methods.  What a channel without one has stays in the outbox, unclaimed: for
 * another bridge, or for this one once it is told where to.
 */
#include "ends.h"

#include <stdlib.h>
#include <string.h>

/* A row per scheme: chunk is what one delivery takes; links 0: the option. */
static const struct
{
	const char *scheme;
	const BrSinkMethods *methods;
	size_t chunk;
	int links;
} schemes[] = {
    {"amqp", &br_amqp_methods, 1000, 1},  {"amqps", &br_amqp_methods, 1000, 1},
    {"smtp", &br_smtp_methods, 1, 0},     {"smtps", &br_smtp_methods, 1, 0},
    {"https", &br_webhook_methods, 1, 0}, {"http", &br_webhook_methods, 1, 0},
    {"file", &br_file_methods, 100, 1},   {"stdout", &br_file_methods, 100, 1}};

static bool
take_scheme(BrSink *sink, BrFault *fault)
{
	size_t i = 0;

	/* br_url_parse knows no others. */
	while (strcmp(schemes[i].scheme, sink->url.scheme) != 0)
		i++;
	sink->methods = schemes[i].methods;
	sink->chunk = schemes[i].chunk;
	sink->nlinks =
	    schemes[i].links ? schemes[i].links : sink->options->connections;
	if (sink->options->consume && sink->methods == &br_amqp_methods)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "%s: --consume does not feed a broker again",
		                    sink->url.name);
	return sink->methods->prepare == NULL ||
	       sink->methods->prepare(sink, fault);
}

/* setting is the option that names the URL, for the error text. */
static BrSink *
sink_make(const BrRoutes *routes, const char *url, const char *setting,
          const char *channel, BrCounter gauge, BrFault *fault)
{
	BrSink *sink = br_sink_make(routes->options, routes->templates);
	char *said;

	if (sink == NULL)
	{
		br_fault_set(fault, BR_KIND_INTERNAL, "out of descriptors");
		return NULL;
	}
	sink->gauge = gauge;
	sink->channel = channel;
	if (br_url_parse(&sink->url, url, fault) && take_scheme(sink, fault))
		return sink;
	said = br_copy(fault->text);
	(void) br_fault_set(fault, fault->kind, "%s: %s", setting, said);
	free(said);
	br_sink_free(sink);
	return NULL;
}

/* Events are for programs: a broker, or a file to try it out. */
static bool
make_events(BrRoutes *r, BrFault *fault)
{
	r->events = sink_make(r, r->options->events, "events", "event",
	                      BR_GAUGE_EVENTS_UP, fault);
	if (r->events == NULL || r->events->methods == &br_amqp_methods ||
	    r->events->methods == &br_file_methods)
		return r->events != NULL;
	return br_fault_set(fault, BR_KIND_USAGE, "events: %s is not a broker",
	                    r->events->url.name);
}

/* One sink for both channels, or one for each that has a destination. */
static bool
make_sinks(BrRoutes *r, BrFault *fault)
{
	const BrOptions *o = r->options;
	const char *email = o->email ? o->email : o->to;
	const char *sms = o->sms ? o->sms : o->to;
	bool both = o->email == NULL && o->sms == NULL;

	if (email != NULL)
	{
		r->email = sink_make(r, email, o->email ? "email" : "to",
		                     both ? NULL : "email", BR_GAUGE_EMAIL_UP, fault);
		if (r->email == NULL)
			return false;
	}
	if (both)
		r->sms = r->email;
	else if (sms != NULL)
	{
		r->sms = sink_make(r, sms, o->sms ? "sms" : "to", "sms",
		                   BR_GAUGE_SMS_UP, fault);
		if (r->sms == NULL)
			return false;
	}
	if (r->email == NULL || r->sms == NULL)
		br_log(BR_INFO, "no_destination", "channel", r->email ? "sms" : "email",
		       (char *) NULL);
	return o->events == NULL || make_events(r, fault);
}

BrRoutes *
br_routes_make(BrOptions *options, BrFault *fault)
{
	BrRoutes *r = br_alloc(sizeof(*r));

	r->options = options;
	r->templates = br_templates_load(options, fault);
	if (r->templates != NULL && make_sinks(r, fault))
		return r;
	br_routes_free(r);
	return NULL;
}

void
br_routes_free(BrRoutes *routes)
{
	BrSink *list[BR_SINKS_MOST];
	int n;

	if (routes == NULL)
		return;
	n = br_routes_list(routes, list);
	while (n > 0)
		br_sink_free(list[--n]);
	br_templates_free(routes->templates);
	br_options_free(routes->options);
	free(routes);
}

BrSink *
br_routes_find(const BrRoutes *routes, const BrNotification *n)
{
	if (strcmp(n->channel, "email") == 0)
		return routes->email;
	if (strcmp(n->channel, "sms") == 0)
		return routes->sms;
	if (strcmp(n->channel, "event") == 0)
		return routes->events;
	return NULL;
}

int
br_routes_list(const BrRoutes *routes, BrSink *list[BR_SINKS_MOST])
{
	int n = 0;

	if (routes->email)
		list[n++] = routes->email;
	if (routes->sms && routes->sms != routes->email)
		list[n++] = routes->sms;
	if (routes->events)
		list[n++] = routes->events;
	return n;
}
