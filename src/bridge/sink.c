/*
 * sink.c
 *		A destination's line, its links, and how it rests when it fails.
 *
 * Notifications wait in a sink until one of its links takes them: codes
 * before notices, though not all codes before any notice.  A link is a thread
 * with a connection of its own; it delivers what it took, judges each, and
 * puts it where the main thread collects it.
 *
 *		RESTING --the rest is over, a link opened--> TRYING
 *		TRYING --one was delivered--> UP
 *		TRYING, UP --the sink failed--> RESTING, twice as long as before
 *
 * What the sink failed at stays with it, untried: an outage of the
 * destination costs no notification a try.
 */
#include "ends.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* After so many codes a notice has its turn. */
#define CODES_IN_A_ROW 4
/* A notification is blamed after so many failures, with others delivered in
 * between. */
#define BREAKS_MOST 3
#define LINKS_MOST  (sizeof(((BrSink *) NULL)->links) / sizeof(BrLink))

/* ---- made and freed, by the main thread ---- */

void
br_sink_free(BrSink *sink)
{
	if (sink == NULL)
		return;
	if (sink->methods && sink->methods->forget)
		sink->methods->forget(sink);
	br_list_free(&sink->codes);
	br_list_free(&sink->others);
	br_list_free(&sink->done);
	if (sink->abort_fd >= 0)
		close(sink->abort_fd);
	pthread_cond_destroy(&sink->work);
	pthread_mutex_destroy(&sink->lock);
	br_url_free(&sink->url);
	free(sink);
}

BrSink *
br_sink_make(const BrOptions *options, const BrTemplates *templates)
{
	BrSink *sink = br_alloc(sizeof(*sink));
	pthread_condattr_t monotonic;
	size_t i;

	sink->options = options;
	sink->templates = templates;
	sink->need = 1000;
	for (i = 0; i < LINKS_MOST; i++)
		sink->links[i].sink = sink;
	pthread_mutex_init(&sink->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&sink->work, &monotonic);
	pthread_condattr_destroy(&monotonic);
	sink->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sink->abort_fd >= 0)
		return sink;
	br_sink_free(sink);
	return NULL;
}

/* ---- the links' side; the lock is held where a name ends in _locked ---- */

/* The sink does not work: say so once per outage, and let it rest. */
static void
fail_locked(BrSink *sink, const BrFault *fault)
{
	char wait[32];

	if (sink->state == BR_SINK_RESTING && !sink->opening &&
	    br_clock_now() < sink->rest.until)
		return;
	sink->state = BR_SINK_RESTING;
	sink->failed = true;
	sink->fault = *fault;
	snprintf(wait, sizeof(wait), "%lld",
	         (long long) br_backoff_fail(&sink->rest, fault->rest));
	br_metrics_set(sink->gauge, 0);
	br_metrics_add(BR_COUNT_SINK_FAILURES, 1);
	br_log(BR_WARNING, "sink_failed", "sink", sink->url.name, "kind",
	       br_fault_word(fault->kind), "text", fault->text, "retry_ms", wait,
	       (char *) NULL);
}

static void
succeed_locked(BrSink *sink, uint64_t delivered)
{
	sink->delivered += delivered;
	br_metrics_set(BR_GAUGE_LAST_DELIVERY, (uint64_t) time(NULL));
	if (sink->state != BR_SINK_TRYING)
		return;
	sink->state = BR_SINK_UP;
	br_backoff_succeed(&sink->rest);
	pthread_cond_broadcast(&sink->work);
}

static bool
in_time(const BrSink *sink, const BrNotification *n)
{
	return n->lease_end == 0 || br_clock_now() + sink->need < n->lease_end;
}

/* Whose turn it is; NULL where nobody waits who can be begun. */
static BrNotification *
turn_locked(BrSink *sink)
{
	bool notice =
	    sink->others.n > 0 &&
	    (sink->codes.n == 0 || sink->taken_in_a_row >= CODES_IN_A_ROW);
	BrList *list = notice ? &sink->others : &sink->codes;

	if (list->first == NULL || !in_time(sink, list->first))
		return NULL;
	sink->taken_in_a_row = notice ? 0 : sink->taken_in_a_row + 1;
	return br_list_shift(list);
}

/* The same, without those whose code has died here: nobody can use it. */
static BrNotification *
next_locked(BrSink *sink)
{
	BrNotification *n;

	while ((n = turn_locked(sink)) != NULL && br_notification_life(n) < 0)
	{
		n->outcome = BR_EXPIRED;
		n->error[0] = '\0';
		br_list_push(&sink->done, n);
		br_log(BR_INFO, "expired", "id", n->id, "kind", n->kind, (char *) NULL);
		br_metrics_add(BR_COUNT_EXPIRED, 1);
		br_wake();
	}
	if (n != NULL)
		br_notification_prune(n);
	return n;
}

static size_t
take_locked(BrLink *link, BrNotification **batch)
{
	BrSink *sink = link->sink;
	size_t most = sink->state == BR_SINK_UP ? sink->chunk : 1;
	size_t n = 0;

	if (sink->state == BR_SINK_RESTING ||
	    (sink->state == BR_SINK_TRYING && sink->probes > 0))
		return 0;
	while (n < most && (batch[n] = next_locked(sink)) != NULL)
	{
		batch[n]->outcome = BR_UNTRIED;
		batch[n]->error[0] = '\0';
		n++;
	}
	sink->flying += n;
	link->probing = n > 0 && sink->state == BR_SINK_TRYING;
	sink->probes += link->probing;
	return n;
}

static bool
link_open(BrLink *link, BrFault *fault)
{
	if (!link->open)
		link->open = link->sink->methods->open(link, fault);
	if (!link->open)
		link->sink->methods->close(link);
	return link->open;
}

static void
link_close(BrLink *link)
{
	if (link->open)
		link->sink->methods->close(link);
	link->open = false;
}

/* The rest is over: one link looks whether the sink works again. */
static void
reopen_locked(BrLink *link)
{
	BrSink *sink = link->sink;
	BrFault fault;
	bool good;

	sink->opening = true;
	pthread_mutex_unlock(&sink->lock);
	good = link_open(link, &fault);
	pthread_mutex_lock(&sink->lock);
	if (good)
	{
		sink->state = BR_SINK_TRYING;
		br_metrics_set(sink->gauge, 1);
		br_log(BR_INFO, "sink_up", "sink", sink->url.name, (char *) NULL);
	}
	else if (!br_sink_aborted(sink))
		fail_locked(sink, &fault);
	sink->opening = false;
	br_wake();
}

static void
tend_locked(BrLink *link)
{
	BrSink *sink = link->sink;
	BrFault fault;
	bool good;

	if (!link->open || sink->methods->tend == NULL)
		return;
	pthread_mutex_unlock(&sink->lock);
	good = sink->methods->tend(link, &fault);
	if (!good)
		link_close(link);
	pthread_mutex_lock(&sink->lock);
	if (!good)
	{
		fail_locked(sink, &fault);
		br_wake();
	}
}

/* Until there is work (how much), or nothing more to do (0). */
static size_t
await_work(BrLink *link, BrNotification **batch)
{
	BrSink *sink = link->sink;
	struct timespec until;
	size_t n = 0;

	pthread_mutex_lock(&sink->lock);
	while (!sink->ending && (n = take_locked(link, batch)) == 0)
	{
		int64_t wake = br_clock_now() + 1000;

		if (sink->state == BR_SINK_RESTING && !sink->opening)
		{
			if (br_clock_now() >= sink->rest.until)
			{
				reopen_locked(link);
				continue;
			}
			if (sink->rest.until < wake)
				wake = sink->rest.until;
		}
		until.tv_sec = wake / 1000;
		until.tv_nsec = wake % 1000 * 1000000;
		if (pthread_cond_timedwait(&sink->work, &sink->lock, &until) != 0)
			tend_locked(link);
	}
	pthread_mutex_unlock(&sink->lock);
	return n;
}

static void
log_outcome(const BrSink *sink, const BrNotification *n)
{
	static const struct
	{
		const char *event;
		BrLevel level;
		BrCounter counter;
	} meanings[] = {
	    [BR_DELIVERED] = {"delivered", BR_DEBUG, BR_COUNT_DELIVERED},
	    [BR_DEFERRED] = {"deferred", BR_WARNING, BR_COUNT_DEFERRED},
	    [BR_REFUSED] = {"refused", BR_WARNING, BR_COUNT_REFUSED}};
	char to[400];

	if (n->outcome == BR_UNTRIED)
		return;
	br_notification_mask(n, to, sizeof(to));
	br_log(meanings[n->outcome].level, meanings[n->outcome].event, "id", n->id,
	       "kind", n->kind, "to", to, "sink", sink->url.name, "text",
	       n->error[0] ? n->error : NULL, (char *) NULL);
	br_metrics_add(meanings[n->outcome].counter, 1);
}

static void
wait_in_line_locked(BrSink *sink, BrNotification *n, bool first)
{
	BrList *list = br_notification_urgent(n) ? &sink->codes : &sink->others;

	if (first)
		br_list_unshift(list, n);
	else
		br_list_push(list, n);
}

/* What was judged is for the main thread; the others wait again, in their
 * order, and behind all where the connection broke at one. */
static void
put_down(BrLink *link, BrNotification **batch, size_t n, const BrFault *fault)
{
	BrSink *sink = link->sink;
	uint64_t delivered = 0;
	size_t i;

	for (i = 0; i < n; i++)
		log_outcome(sink, batch[i]);
	pthread_mutex_lock(&sink->lock);
	for (i = n; i > 0; i--)
		if (batch[i - 1]->outcome == BR_UNTRIED)
			wait_in_line_locked(sink, batch[i - 1], batch[i - 1]->breaks == 0);
	for (i = 0; i < n; i++)
		if (batch[i]->outcome != BR_UNTRIED)
		{
			delivered += batch[i]->outcome == BR_DELIVERED;
			br_list_push(&sink->done, batch[i]);
		}
	sink->flying -= n;
	sink->probes -= link->probing;
	link->probing = false;
	if (delivered > 0)
		succeed_locked(sink, delivered);
	if (fault != NULL)
		fail_locked(sink, fault);
	pthread_cond_signal(&sink->work);
	pthread_mutex_unlock(&sink->lock);
	br_wake();
}

static void *
work(void *context)
{
	BrLink *link = context;
	BrSink *sink = link->sink;
	BrNotification **batch = br_alloc(sink->chunk * sizeof(*batch));
	size_t n;

	while ((n = await_work(link, batch)) > 0)
	{
		BrFault fault;
		bool good = link_open(link, &fault) &&
		            sink->methods->deliver(link, batch, n, &fault);

		if (!good)
			link_close(link);
		put_down(link, batch, n, good || br_sink_aborted(sink) ? NULL : &fault);
	}
	link_close(link);
	free(batch);
	pthread_mutex_lock(&sink->lock);
	sink->nthreads--;
	pthread_mutex_unlock(&sink->lock);
	br_wake();
	return NULL;
}

bool
br_sink_aborted(const BrSink *sink)
{
	struct pollfd p = {sink->abort_fd, POLLIN, 0};

	return poll(&p, 1, 0) > 0;
}

bool
br_sink_wait(const BrSink *sink, int fd, bool writing, int64_t deadline)
{
	struct pollfd p[2] = {{sink->abort_fd, POLLIN, 0},
	                      {fd, writing ? POLLOUT : POLLIN, 0}};
	int64_t left = deadline - br_clock_now();

	return left > 0 && poll(p, 2, (int) left) > 0 && p[0].revents == 0;
}

void
br_sink_suspect(BrSink *sink, BrNotification *n, const BrFault *fault)
{
	uint64_t delivered;

	pthread_mutex_lock(&sink->lock);
	delivered = sink->delivered;
	pthread_mutex_unlock(&sink->lock);
	n->outcome = BR_UNTRIED;
	if (n->breaks++ == 0)
		n->before = delivered;
	if (n->breaks >= BREAKS_MOST && delivered > n->before &&
	    !br_sink_aborted(sink))
		br_notification_judge(n, BR_DEFERRED, "%.150s", fault->text);
}

/* ---- the main thread's side ---- */

bool
br_sink_check(BrSink *sink, BrFault *fault)
{
	bool good = link_open(&sink->links[0], fault);

	link_close(&sink->links[0]);
	return good;
}

bool
br_sink_start(BrSink *sink, BrFault *fault)
{
	sigset_t all;
	sigset_t before;
	bool good = true;

	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_mutex_lock(&sink->lock);
	while (good && sink->nthreads < sink->nlinks)
	{
		BrLink *link = &sink->links[sink->nthreads];

		good = pthread_create(&link->thread, NULL, work, link) == 0;
		if (good)
		{
			pthread_detach(link->thread);
			sink->nthreads++;
		}
	}
	pthread_mutex_unlock(&sink->lock);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	sink->measured_at = br_clock_now();
	return good || br_fault_set(fault, BR_KIND_INTERNAL,
	                            "%s: cannot start a thread", sink->url.name);
}

/*
 * What it delivers in a second, and at least two for each link: so little is
 * held when it slows down, and it never runs dry while it is fast.  Nothing
 * while half of that is held, since a claim of few costs as much as one of
 * many.
 */
size_t
br_sink_room(BrSink *sink)
{
	size_t most = 2 * (size_t) sink->nlinks * sink->chunk;
	size_t held;
	int64_t now = br_clock_now();

	pthread_mutex_lock(&sink->lock);
	if (now - sink->measured_at >= 250)
	{
		double lately = (double) (sink->delivered - sink->measured) * 1000 /
		                (double) (now - sink->measured_at);

		sink->rate = lately > sink->rate ? lately : (sink->rate + lately) / 2;
		sink->measured = sink->delivered;
		sink->measured_at = now;
	}
	if (sink->rate > (double) most)
		most = (size_t) sink->rate;
	if (most > (size_t) sink->options->batch)
		most = (size_t) sink->options->batch;
	if (sink->state == BR_SINK_RESTING)
		most = 0;
	else if (sink->state == BR_SINK_TRYING && most > sink->chunk)
		most = sink->chunk;
	held = sink->codes.n + sink->others.n + sink->flying;
	pthread_mutex_unlock(&sink->lock);
	return held * 2 <= most ? most - held : 0;
}

void
br_sink_give(BrSink *sink, BrNotification *n)
{
	pthread_mutex_lock(&sink->lock);
	wait_in_line_locked(sink, n, false);
	pthread_cond_signal(&sink->work);
	pthread_mutex_unlock(&sink->lock);
}

size_t
br_sink_collect(BrSink *sink, BrList *list)
{
	size_t held;

	pthread_mutex_lock(&sink->lock);
	br_list_append(list, &sink->done);
	held = sink->codes.n + sink->others.n + sink->flying;
	pthread_mutex_unlock(&sink->lock);
	return held;
}

void
br_sink_withdraw(BrSink *sink, bool all, BrList *list)
{
	BrList *const lines[] = {&sink->codes, &sink->others};
	size_t i;

	pthread_mutex_lock(&sink->lock);
	for (i = 0; i < 2; i++)
	{
		BrList kept = {NULL, NULL, 0};
		BrNotification *n;

		while ((n = br_list_shift(lines[i])) != NULL)
			br_list_push(all || !in_time(sink, n) ? list : &kept, n);
		*lines[i] = kept;
	}
	pthread_mutex_unlock(&sink->lock);
}

bool
br_sink_failed(BrSink *sink, BrFault *fault)
{
	bool failed;

	pthread_mutex_lock(&sink->lock);
	failed = sink->failed;
	if (failed)
		*fault = sink->fault;
	sink->failed = false;
	pthread_mutex_unlock(&sink->lock);
	return failed;
}

BrSinkState
br_sink_state(BrSink *sink)
{
	BrSinkState state;

	pthread_mutex_lock(&sink->lock);
	state = sink->state;
	pthread_mutex_unlock(&sink->lock);
	return state;
}

void
br_sink_end(BrSink *sink)
{
	pthread_mutex_lock(&sink->lock);
	sink->ending = true;
	pthread_cond_broadcast(&sink->work);
	pthread_mutex_unlock(&sink->lock);
}

void
br_sink_abort(BrSink *sink)
{
	uint64_t one = 1;

	(void) !write(sink->abort_fd, &one, sizeof(one));
	br_sink_end(sink);
}

bool
br_sink_gone(BrSink *sink)
{
	bool gone;

	pthread_mutex_lock(&sink->lock);
	gone = sink->nthreads == 0;
	pthread_mutex_unlock(&sink->lock);
	return gone;
}
