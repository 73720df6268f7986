/*
 * flow.c
 *		The loop: take from the source, give to the sinks, tell how it ended.
 *
 * Round by round, in the main thread: collect what the sinks have judged, tell
 * the source, take as much as the sinks would like to have, and when nothing
 * moves, wait for the source, a sink, a signal or the poll interval.  Nothing
 * here waits for a destination.
 *
 * Three places keep it safe.  What is taken and not begun waits in its sink
 * through an outage, until it is wanted elsewhere or its lease gets short, and
 * is then given back at the cost of no try.  What is judged is kept through
 * outages of the source until that was told, so that a restart of the
 * database sends nothing twice.  And nothing is taken for a sink that rests,
 * nor before all is told, so that neither can pile up.
 */
#include "flow.h"

#include <stdlib.h>
#include <string.h>

/* A sink that failed so often in a row gives back what waits in it: another
 * bridge may have a way. */
#define FAILURES_HELD 5
/* What a stop may take to tell the source, after all else. */
#define TELL_MILLISECONDS 5000
/* What the links may take to end once they were told to end now. */
#define ABORT_MILLISECONDS 2500

struct BrFlow
{
	BrRoutes *routes;
	BrRoutes *retiring; /* the ones before, while their links finish */
	BrSource *source;
	BrBackoff rest;              /* of the source */
	BrList judged;               /* to be told */
	size_t held;                 /* with the sinks */
	int64_t look[BR_SINKS_MOST]; /* when to take next, by sink */
	bool empty[BR_SINKS_MOST];   /* the last take brought nothing */
	bool up;                     /* the source is connected */
	bool proven;                 /* both ends have worked */
	bool refused;                /* anything at all */
	bool moved;                  /* this round */
};

/* ---- what ends the program ---- */

/* Whether a fault does, although nobody asked to stop. */
static bool
ends(const BrFlow *f, const BrFault *fault)
{
	if (f->routes->options->once)
		return true;
	return !f->proven && fault->kind != BR_KIND_UNREACHABLE &&
	       fault->kind != BR_KIND_INTERNAL;
}

/* The source does not work: say so, and leave it alone for a while. */
static void
source_failed(BrFlow *f, const BrFault *fault)
{
	char event[32];
	char wait[32];

	f->up = false;
	f->source->methods->close(f->source);
	snprintf(event, sizeof(event), "%s_failed", f->source->word);
	snprintf(wait, sizeof(wait), "%lld",
	         (long long) br_backoff_fail(&f->rest, 0));
	br_metrics_add(BR_COUNT_SOURCE_FAILURES, 1);
	br_log(BR_WARNING, event, "kind", br_fault_word(fault->kind), "text",
	       fault->text, "retry_ms", wait, (char *) NULL);
}

/* ---- the steps of a round ---- */

static void
collect_from(BrFlow *f, const BrRoutes *routes)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(routes, sinks);
	int i;

	for (i = 0; i < n; i++)
		f->held += br_sink_collect(sinks[i], &f->judged);
}

static bool
all_gone(const BrRoutes *routes)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(routes, sinks);

	while (n > 0)
		if (!br_sink_gone(sinks[--n]))
			return false;
	return true;
}

static void
collect(BrFlow *f)
{
	const BrNotification *n;

	f->held = 0;
	collect_from(f, f->routes);
	if (f->retiring != NULL)
	{
		/* Asked first: what a link judges last is collected after it. */
		bool gone = all_gone(f->retiring);

		collect_from(f, f->retiring);
		if (gone)
		{
			br_routes_free(f->retiring);
			f->retiring = NULL;
		}
	}
	for (n = f->judged.first; n != NULL; n = n->next)
		f->refused =
		    f->refused || n->outcome == BR_DEFERRED || n->outcome == BR_REFUSED;
	br_metrics_set(BR_GAUGE_HELD, f->held);
}

/* Connected, and everything told that there is to tell. */
static bool
source_ready(BrFlow *f, BrFault *fault)
{
	char event[32];

	fault->kind = BR_KIND_NONE;
	if (br_clock_now() < f->rest.until)
		return false;
	if (!f->source->methods->open(f->source, fault))
	{
		source_failed(f, fault);
		return false;
	}
	if (!f->up)
	{
		/* What came meanwhile was not heard. */
		memset(f->look, 0, sizeof(f->look));
		snprintf(event, sizeof(event), "%s_up", f->source->word);
		br_log(BR_INFO, event, (char *) NULL);
	}
	f->up = true;
	if (f->judged.n > 0)
	{
		if (!f->source->methods->tell(f->source, &f->judged, fault))
		{
			source_failed(f, fault);
			return false;
		}
		f->moved = true;
	}
	br_backoff_succeed(&f->rest);
	return true;
}

/* Give back what a sink cannot deliver for now. */
static void
withdraw(BrFlow *f, BrSink *sink, bool all)
{
	BrList back = {NULL, NULL, 0};
	BrNotification *n;
	char count[32];

	br_sink_withdraw(sink, all, &back);
	if (back.n == 0)
		return;
	snprintf(count, sizeof(count), "%zu", back.n);
	br_log(BR_INFO, "given_back", "sink", sink->url.name, "count", count,
	       (char *) NULL);
	while ((n = br_list_shift(&back)) != NULL)
	{
		n->outcome = BR_UNTRIED;
		n->error[0] = '\0';
		br_list_push(&f->judged, n);
	}
	f->moved = true;
}

/*
 * A sink that does not work for long keeps nothing from others: rows go back
 * to the database, where another bridge may find them.  Messages of a queue
 * are kept, since the queue has them either way; unless they fill the window
 * that the other sink needs.
 */
static void
withdraw_stuck(BrFlow *f, BrSink *sinks[], int n)
{
	bool window_full = f->source->window > 0 && f->held * 2 > f->source->window;
	int working = 0;
	int i;

	for (i = 0; i < n; i++)
		working += br_sink_state(sinks[i]) != BR_SINK_RESTING;
	for (i = 0; i < n; i++)
	{
		bool resting = br_sink_state(sinks[i]) == BR_SINK_RESTING;
		bool stuck = f->source->lease > 0
		                 ? sinks[i]->rest.failures >= FAILURES_HELD
		                 : window_full && working > 0;

		withdraw(f, sinks[i], resting && stuck);
	}
}

/* To the sink of its channel; what has none is refused. */
static void
give(BrFlow *f, BrNotification *n)
{
	BrSink *sink = br_routes_find(f->routes, n);

	if (sink != NULL)
	{
		br_sink_give(sink, n);
		f->held++;
		return;
	}
	br_notification_judge(n, BR_REFUSED, "no destination for channel %s",
	                      n->channel);
	br_log(BR_WARNING, "refused", "id", n->id, "text", n->error, (char *) NULL);
	br_metrics_add(BR_COUNT_REFUSED, 1);
	f->refused = true;
	br_list_push(&f->judged, n);
}

static bool
take(BrFlow *f, const char *channel, size_t most, int slot, BrFault *fault)
{
	BrList came = {NULL, NULL, 0};
	BrNotification *n;
	bool good =
	    f->source->methods->take(f->source, channel, most, &came, fault);

	f->empty[slot] = good && came.n == 0;
	if (came.n > 0)
		f->moved = true;
	/* --once takes until nothing comes. */
	if (came.n < most && !(f->routes->options->once && came.n > 0))
		f->look[slot] = br_clock_now() + f->routes->options->poll * 1000;
	while ((n = br_list_shift(&came)) != NULL)
		give(f, n);
	if (!good)
		source_failed(f, fault);
	return good;
}

/* A queue hands out what comes next, whoever it is for. */
static bool
take_any(BrFlow *f, BrFault *fault)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(f->routes, sinks);
	size_t room = 0;
	int i;

	for (i = 0; i < n; i++)
		if (br_sink_state(sinks[i]) != BR_SINK_RESTING)
			room = f->source->window;
	if (f->held >= room)
		return true;
	return take(f, NULL, room - f->held, 0, fault);
}

static bool
take_for_each(BrFlow *f, BrSink *sinks[], int n, BrFault *fault)
{
	int i;

	for (i = 0; i < n; i++)
	{
		size_t room;

		if (br_clock_now() < f->look[i])
			continue;
		room = br_sink_room(sinks[i]);
		if (room > 0 && !take(f, sinks[i]->channel, room, i, fault))
			return false;
	}
	return true;
}

/* One round; false where it ends the program, with the fault. */
static bool
round_of(BrFlow *f, bool taking, BrFault *fault)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(f->routes, sinks);
	bool all = true;
	bool ready;
	int i;

	f->moved = false;
	collect(f);
	ready = source_ready(f, fault);
	if (!ready && fault->kind != BR_KIND_NONE && ends(f, fault))
		return false;
	for (i = 0; i < n; i++)
	{
		if (br_sink_failed(sinks[i], fault) && ends(f, fault))
			return false;
		all = all && br_sink_state(sinks[i]) != BR_SINK_RESTING;
	}
	f->proven = f->proven || (ready && all);
	/* Without its connection what a queue gave out comes again. */
	if (!f->up && f->source->lease == 0)
		for (i = 0; i < n; i++)
			withdraw(f, sinks[i], true);
	withdraw_stuck(f, sinks, n);
	if (!ready || !taking)
		return true;
	if (f->source->window > 0 ? take_any(f, fault)
	                          : take_for_each(f, sinks, n, fault))
		return true;
	return !ends(f, fault);
}

/* Nothing moved: wait for whatever comes first. */
static void
idle(BrFlow *f, bool taking)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(f->routes, sinks);
	int64_t until = br_clock_now() + 1000;
	BrFault fault;
	bool news = false;
	int i;

	if (!f->up && f->rest.until < until)
		until = f->rest.until;
	/* A look that cannot be had is nothing to wait for. */
	for (i = 0; f->up && taking && i < n; i++)
		if (f->look[i] < until && f->look[i] > br_clock_now() &&
		    br_sink_state(sinks[i]) != BR_SINK_RESTING)
			until = f->look[i];
	if (!f->up)
		br_wait(-1, until);
	else if (!f->source->methods->wait(f->source, until, &news, &fault))
		source_failed(f, &fault);
	else if (news)
		memset(f->look, 0, sizeof(f->look));
}

/* --once: nothing held, nothing to tell, nothing left. */
static bool
is_done(const BrFlow *f)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = f->source->window > 0 ? 1 : br_routes_list(f->routes, sinks);
	int i;

	if (!f->routes->options->once || !f->up || f->held > 0 || f->judged.n > 0)
		return false;
	for (i = 0; i < n; i++)
		if (!f->empty[i])
			return false;
	return f->source->methods->empty(f->source);
}

/* ---- what the program calls ---- */

static bool
start(const BrRoutes *routes, BrFault *fault)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(routes, sinks);
	int i;

	for (i = 0; i < n; i++)
		if (!br_sink_start(sinks[i], fault))
			return false;
	return true;
}

BrFlow *
br_flow_make(BrRoutes *routes, BrSource *source, BrFault *fault)
{
	BrFlow *f = br_alloc(sizeof(*f));

	f->routes = routes;
	f->source = source;
	if (start(routes, fault))
		return f;
	(void) br_flow_close(f);
	return NULL;
}

BrFlowEnd
br_flow_run(BrFlow *f, BrFault *fault)
{
	for (;;)
	{
		if (br_signals_stop())
			return BR_FLOW_STOPPED;
		if (br_signals_reload())
			return BR_FLOW_RELOAD;
		if (!round_of(f, true, fault))
			return BR_FLOW_FAILED;
		if (!f->moved && is_done(f))
			return BR_FLOW_DONE;
		if (!f->moved)
			idle(f, true);
	}
}

/* Links end at once: what they have is given back. */
static void
abort_links(BrFlow *f, BrRoutes *routes)
{
	int64_t deadline = br_clock_now() + ABORT_MILLISECONDS;
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(routes, sinks);
	int i;

	for (i = 0; i < n; i++)
		br_sink_abort(sinks[i]);
	while (!all_gone(routes) && br_clock_now() < deadline)
		br_wait(-1, deadline);
	for (i = 0; i < n; i++)
	{
		(void) br_sink_collect(sinks[i], &f->judged);
		withdraw(f, sinks[i], true);
	}
	/* A link that a library holds fast keeps what it works with. */
	if (all_gone(routes))
		br_routes_free(routes);
}

bool
br_flow_adopt(BrFlow *f, BrRoutes *routes, BrSource *source, BrFault *fault)
{
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(f->routes, sinks);
	BrList waiting = {NULL, NULL, 0};
	BrNotification *one;
	int i;

	if (!start(routes, fault))
		return false;
	if (f->retiring != NULL)
		abort_links(f, f->retiring);
	for (i = 0; i < n; i++)
	{
		br_sink_end(sinks[i]);
		br_sink_withdraw(sinks[i], true, &waiting);
	}
	f->retiring = f->routes;
	f->routes = routes;
	while ((one = br_list_shift(&waiting)) != NULL)
		give(f, one);
	memset(f->look, 0, sizeof(f->look));
	f->source->options = routes->options;
	if (source != NULL)
	{
		f->source->methods->free(f->source);
		f->source = source;
		f->up = false;
		br_backoff_succeed(&f->rest);
	}
	return true;
}

/* Finish what is held, as far as the sinks let us. */
static void
drain(BrFlow *f)
{
	int64_t deadline = br_clock_now() + f->routes->options->drain * 1000;
	BrFault fault;

	while (br_clock_now() < deadline)
	{
		(void) round_of(f, false, &fault);
		if (f->held == 0 && f->judged.n == 0)
			break;
		if (!f->moved)
			idle(f, false);
	}
}

bool
br_flow_close(BrFlow *f)
{
	int64_t deadline;
	bool refused;
	BrFault fault;

	if (br_signals_stop())
		drain(f);
	deadline = br_clock_now() + TELL_MILLISECONDS;
	if (f->retiring != NULL)
		abort_links(f, f->retiring);
	abort_links(f, f->routes);
	while (f->judged.n > 0 && !source_ready(f, &fault) &&
	       br_clock_now() < deadline)
		br_wait(-1, f->rest.until < deadline ? f->rest.until : deadline);
	if (f->judged.n > 0)
		br_log(BR_ERROR, "unsettled", "text",
		       "the source is gone: what was delivered comes again",
		       (char *) NULL);
	br_list_free(&f->judged);
	refused = f->refused || f->source->refused;
	f->source->methods->free(f->source);
	free(f);
	return !refused;
}
