/*
 * relay.c
 *		The outbox's flow: claim, deliver, then settle or release.
 *
 * Round by round: tell the database how the last deliveries ended, claim
 * more, hand each sink what is for it, and when nothing moves, wait for a
 * NOTIFY, the poll interval, or the end of somebody's rest.
 *
 * Two lists keep it safe.  What is claimed and not delivered is *held*,
 * through outages of the sink, until just before its lease ends, and then
 * forgotten: the database gives it out again.  What is delivered is a
 * *verdict*, kept through outages of the database until that was told, so
 * that a restart of the database sends nothing twice.  Nothing is claimed
 * while the sinks are all resting, so their outages cost no row a try; and
 * nothing is claimed before the verdicts are told, so a row can't be both.
 *
 * A refused row is released with "permanent: " or "temporary: " and the
 * reason; the database counts, spaces the tries, and parks.
 */
#include "bridge.h"

#include <stdlib.h>
#include <string.h>

/* Held at most this many claims' worth; see make_room. */
#define HELD_CLAIMS 4

typedef struct Relay
{
	BrProgram *program;
	BrOutbox *outbox;
	BrBackoff rest; /* of the database */
	BrNotification **held;
	size_t nheld;
	size_t room;
	BrVerdict *verdicts;
	size_t nverdicts;
	size_t verdict_room;
	int64_t look;    /* when to claim next */
	int64_t refresh; /* when to read the site's URL next */
	bool proven;     /* both ends have worked */
	bool empty;      /* the last claim brought nothing */
	bool refused;    /* anything at all */
	bool moved;      /* this round */
} Relay;

static void
add_verdict(Relay *r, const char *id, char *error)
{
	BrVerdict *verdict;

	if (r->nverdicts == r->verdict_room)
	{
		r->verdict_room = r->verdict_room ? r->verdict_room * 2 : 256;
		r->verdicts =
		    br_realloc(r->verdicts, r->verdict_room * sizeof(BrVerdict));
	}
	verdict = &r->verdicts[r->nverdicts++];
	snprintf(verdict->id, sizeof(verdict->id), "%s", id);
	verdict->error = error;
}

/* Take a held notification off the list, with what is to be told of it. */
static void
finish(Relay *r, size_t i, bool tell, char *error)
{
	if (tell)
		add_verdict(r, r->held[i]->id, error);
	br_notification_free(r->held[i]);
	r->held[i] = NULL;
}

static void
compact(Relay *r)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < r->nheld; i++)
		if (r->held[i] != NULL)
			r->held[kept++] = r->held[i];
	r->nheld = kept;
	br_metrics_set(BR_GAUGE_HELD, kept);
}

static bool
database_failed(Relay *r, const BrFault *fault)
{
	char wait[32];

	snprintf(wait, sizeof(wait), "%lld", (long long) br_backoff_fail(&r->rest));
	br_metrics_add(BR_COUNT_SOURCE_FAILURES, 1);
	br_log(BR_WARNING, "database_failed", "kind", br_fault_word(fault->kind),
	       "text", fault->text, "retry_ms", wait, (char *) NULL);
	return false;
}

/* Connected, and everything told that there is to tell. */
static bool
database_ready(Relay *r, BrFault *fault)
{
	bool fresh = r->rest.failures > 0 || r->refresh == 0;

	if (br_clock_now() < r->rest.until)
		return false;
	if (!br_outbox_open(r->outbox, fault))
		return database_failed(r, fault);
	if (fresh)
	{
		/* What was notified meanwhile was not heard. */
		r->look = 0;
		br_log(BR_INFO, "database_up", (char *) NULL);
	}
	if (r->nverdicts > 0)
	{
		size_t i;

		if (!br_outbox_tell(r->outbox, r->verdicts, r->nverdicts, fault))
			return database_failed(r, fault);
		for (i = 0; i < r->nverdicts; i++)
			free(r->verdicts[i].error);
		r->nverdicts = 0;
		r->moved = true;
	}
	if (br_clock_now() >= r->refresh)
	{
		if (!br_outbox_refresh(r->outbox, fault))
			return database_failed(r, fault);
		r->refresh = br_clock_now() + r->program->options->poll * 1000;
	}
	br_backoff_succeed(&r->rest);
	return true;
}

/* Leases that end: the database may give these out again. */
static void
forget_expired(Relay *r)
{
	int64_t now = br_clock_now();
	size_t expired = 0;
	size_t i;
	char count[32];

	for (i = 0; i < r->nheld; i++)
		if (r->held[i]->lease_end <= now)
		{
			finish(r, i, false, NULL);
			expired++;
		}
	if (expired == 0)
		return;
	compact(r);
	snprintf(count, sizeof(count), "%zu", expired);
	br_log(BR_WARNING, "lease_expired", "count", count, (char *) NULL);
}

/*
 * Where so much is held for a sink that is down that nothing more could be
 * claimed for the other one, it is released, at the cost of a try.
 */
static void
make_room(Relay *r)
{
	size_t i;

	for (i = 0; i < r->nheld; i++)
	{
		BrSink *sink = br_routes_find(&r->program->routes, r->held[i]);

		if (sink && !sink->up)
			finish(r, i, true,
			       br_format("temporary: %s does not work", sink->url.name));
	}
	compact(r);
}

/* Claim as much as the sinks that are up can take in a round or so. */
static bool
claim(Relay *r, size_t capacity, BrFault *fault)
{
	const BrOptions *options = r->program->options;
	size_t most = (size_t) options->batch * HELD_CLAIMS;
	size_t wanted = capacity;
	size_t came;

	if (wanted > (size_t) options->batch)
		wanted = (size_t) options->batch;
	if (r->nheld + wanted > most)
	{
		make_room(r);
		return true;
	}
	if (r->nheld + wanted > r->room)
	{
		r->room = r->nheld + wanted;
		r->held = br_realloc(r->held, r->room * sizeof(BrNotification *));
	}
	if (!br_outbox_claim(r->outbox, (int) wanted, r->held + r->nheld, &came,
	                     fault))
		return database_failed(r, fault);
	r->nheld += came;
	r->empty = came == 0;
	if (came > 0)
		r->moved = true;
	if (came < wanted && !(options->once && came > 0))
		r->look = br_clock_now() + options->poll * 1000;
	br_metrics_set(BR_GAUGE_HELD, r->nheld);
	return true;
}

static void
judge(Relay *r, size_t i)
{
	BrNotification *n = r->held[i];

	switch (n->outcome)
	{
		case BR_DELIVERED:
			finish(r, i, true, NULL);
			break;
		case BR_DEFERRED:
			r->refused = true;
			finish(r, i, true, br_format("temporary: %s", n->error));
			break;
		case BR_REFUSED:
			r->refused = true;
			finish(r, i, true, br_format("permanent: %s", n->error));
			break;
		case BR_UNTRIED:
			break;
	}
}

/* One chunk for one sink. */
static bool
deliver(Relay *r, BrSink *sink, BrFault *fault)
{
	BrNotification **batch = br_alloc(sink->chunk * sizeof(*batch));
	size_t *places = br_alloc(sink->chunk * sizeof(*places));
	size_t n = 0;
	size_t i;
	bool good = true;

	for (i = 0; i < r->nheld && n < sink->chunk; i++)
		if (br_routes_find(&r->program->routes, r->held[i]) == sink)
		{
			places[n] = i;
			batch[n++] = r->held[i];
		}
	if (n > 0)
	{
		good = br_sink_deliver(sink, batch, n, fault);
		for (i = 0; i < n; i++)
		{
			r->moved = r->moved || batch[i]->outcome != BR_UNTRIED;
			judge(r, places[i]);
		}
		compact(r);
	}
	free(places);
	free(batch);
	return good;
}

/* A channel that this bridge has never heard of. */
static void
refuse_strangers(Relay *r)
{
	size_t i;

	for (i = 0; i < r->nheld; i++)
		if (br_routes_find(&r->program->routes, r->held[i]) == NULL)
		{
			br_notification_judge(r->held[i], BR_REFUSED, "unknown channel %s",
			                      r->held[i]->channel);
			judge(r, i);
		}
	compact(r);
}

/* One round; false where it ends the program, with the fault. */
static bool
round_of(Relay *r, bool claiming, BrFault *fault)
{
	BrSink *sinks[2];
	int n = br_routes_list(&r->program->routes, sinks);
	size_t capacity = 0;
	bool database;
	bool all = true;
	int i;

	r->moved = false;
	fault->kind = BR_KIND_NONE;
	database = database_ready(r, fault);
	if (!database && br_program_ends(r->program, r->proven, fault))
		return false;
	forget_expired(r);
	for (i = 0; i < n; i++)
	{
		fault->kind = BR_KIND_NONE;
		if (br_sink_ready(sinks[i], fault))
			capacity += sinks[i]->chunk;
		else if (br_program_ends(r->program, r->proven, fault))
			return false;
		else
			all = false;
	}
	r->proven = r->proven || (database && all);
	if (database && capacity > 0 && claiming && br_clock_now() >= r->look &&
	    !claim(r, capacity, fault) &&
	    br_program_ends(r->program, r->proven, fault))
		return false;
	refuse_strangers(r);
	for (i = 0; i < n; i++)
		if (sinks[i]->up && !deliver(r, sinks[i], fault) &&
		    br_program_ends(r->program, r->proven, fault))
			return false;
	return true;
}

/* Nothing moved: wait for whatever comes first. */
static void
idle(Relay *r, bool claiming)
{
	BrSink *sinks[2];
	int n = br_routes_list(&r->program->routes, sinks);
	bool database = r->rest.failures == 0;
	bool up = false;
	/* Sinks are tended once a second. */
	int64_t until = br_clock_now() + 1000;
	BrFault fault;
	bool woken;
	int i;

	for (i = 0; i < n; i++)
	{
		up = up || sinks[i]->up;
		if (!sinks[i]->up && sinks[i]->rest.until < until)
			until = sinks[i]->rest.until;
	}
	if (!database && r->rest.until < until)
		until = r->rest.until;
	/* A look that cannot be had is nothing to wait for. */
	if (database && up && claiming && r->look < until)
		until = r->look;
	if (!database)
		br_signals_wait(-1, until);
	else if (!br_outbox_wait(r->outbox, until, &woken, &fault))
		(void) database_failed(r, &fault);
	else if (woken)
		r->look = 0;
	for (i = 0; i < n; i++)
		br_sink_tend(sinks[i]);
}

/* Give back what could not be delivered, and tell what is to be told. */
static void
wind_up(Relay *r)
{
	int64_t deadline = br_clock_now() + 5000;
	BrFault fault;
	size_t i;

	for (i = 0; i < r->nheld; i++)
		finish(r, i, true, br_copy("temporary: the bridge was stopped"));
	compact(r);
	while (r->nverdicts > 0 && br_clock_now() < deadline)
		if (!database_ready(r, &fault))
			br_signals_wait(-1, r->rest.until < deadline ? r->rest.until
			                                             : deadline);
	if (r->nverdicts > 0)
		br_log(BR_ERROR, "unsettled", "text",
		       "the database is gone: what was delivered comes again",
		       (char *) NULL);
}

static void
relay_free(Relay *r)
{
	size_t i;

	for (i = 0; i < r->nverdicts; i++)
		free(r->verdicts[i].error);
	free(r->verdicts);
	free(r->held);
	br_outbox_free(r->outbox);
}

/* Asked to stop: finish what is claimed, as far as the sinks let us. */
static void
drain(Relay *r, BrFault *fault)
{
	int64_t deadline = br_clock_now() + r->program->options->drain * 1000;

	while ((r->nheld > 0 || r->nverdicts > 0) && br_clock_now() < deadline)
		if (!round_of(r, false, fault))
			break;
		else if (!r->moved)
			idle(r, false);
}

bool
br_relay_run(BrProgram *program, BrFault *fault)
{
	Relay r;
	bool good = true;

	memset(&r, 0, sizeof(r));
	r.program = program;
	r.outbox = br_outbox_make(program->options);
	while (good && !br_signals_stop())
	{
		if (br_signals_reload() && br_program_reload(program))
		{
			br_outbox_adopt(r.outbox, program->options);
			r.look = 0;
			r.refresh = 0;
		}
		good = round_of(&r, true, fault);
		if (good && program->options->once && r.empty && r.nheld == 0 &&
		    r.nverdicts == 0)
			break;
		if (good && !r.moved)
			idle(&r, true);
	}
	if (good && br_signals_stop())
	{
		BrFault ignored;

		drain(&r, &ignored);
	}
	wind_up(&r);
	relay_free(&r);
	if (good && program->options->once && r.refused)
		good = br_fault_set(fault, BR_KIND_UNDELIVERED,
		                    "some notifications were refused; see "
		                    "auth_admin.stats");
	return good;
}
