/*
 * metrics.c
 *		Counters in Prometheus' text format, in a file.
 *
 * Counters are plain 64-bit values touched with the compiler's relaxed
 * atomics, from any thread.  A thread of its own writes the file, so the
 * figures stay fresh whatever the others wait for; node_exporter's textfile
 * collector reads it.  The file is replaced whole.
 */
#include "basics.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "auth_session_bridge_"

/* Milliseconds between two versions of the file. */
#define FILE_PERIOD 500

static uint64_t values[BR_NCOUNTERS];
static char *file_path;
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;

static const struct
{
	const char *name;
	const char *type;
	const char *help;
} meanings[BR_NCOUNTERS] = {
    [BR_COUNT_CLAIMED] = {"claimed_total", "counter",
                          "Notifications taken from the outbox or the queue."},
    [BR_COUNT_DELIVERED] = {"delivered_total", "counter",
                            "Notifications that the destination accepted."},
    [BR_COUNT_SETTLED] =
        {"settled_total", "counter",
         "Notifications settled or acknowledged at the source."},
    [BR_COUNT_DEFERRED] = {"deferred_total", "counter",
                           "Refusals that are worth another try."},
    [BR_COUNT_REFUSED] = {"refused_total", "counter",
                          "Permanent refusals by the destination."},
    [BR_COUNT_EXPIRED] = {"expired_total", "counter",
                          "Notifications dropped since their code had died."},
    [BR_COUNT_DEAD_LETTERED] = {"dead_lettered_total", "counter",
                                "Messages sent to the dead-letter exchange."},
    [BR_COUNT_DUPLICATES] = {"duplicates_total", "counter",
                             "Messages acknowledged without a second mail."},
    [BR_COUNT_SINK_FAILURES] = {"sink_failures_total", "counter",
                                "Times a destination could not be used."},
    [BR_COUNT_SOURCE_FAILURES] = {"source_failures_total", "counter",
                                  "Times the source could not be used."},
    [BR_COUNT_WAKEUPS] = {"wakeups_total", "counter", "Wake-ups by NOTIFY."},
    [BR_GAUGE_HELD] = {"held", "gauge",
                       "Notifications taken and not yet delivered."},
    [BR_GAUGE_SOURCE_UP] = {"source_up", "gauge",
                            "1 while the database or queue is connected."},
    [BR_GAUGE_EMAIL_UP] = {"email_up", "gauge",
                           "1 while the destination for email works."},
    [BR_GAUGE_SMS_UP] = {"sms_up", "gauge",
                         "1 while the destination for SMS works."},
    [BR_GAUGE_EVENTS_UP] = {"events_up", "gauge",
                            "1 while the destination for events works."},
    [BR_GAUGE_LAST_DELIVERY] = {"last_delivery_timestamp_seconds", "gauge",
                                "When the last notification was delivered."},
};

void
br_metrics_add(BrCounter counter, uint64_t n)
{
	__atomic_add_fetch(&values[counter], n, __ATOMIC_RELAXED);
}

void
br_metrics_set(BrCounter gauge, uint64_t value)
{
	__atomic_store_n(&values[gauge], value, __ATOMIC_RELAXED);
}

static char *
render(size_t *length)
{
	char *text;
	FILE *out = br_stream_open(&text, length);
	int i;

	for (i = 0; i < BR_NCOUNTERS; i++)
		fprintf(
		    out,
		    "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n" PREFIX
		    "%s %llu\n",
		    meanings[i].name, meanings[i].help, meanings[i].name,
		    meanings[i].type, meanings[i].name,
		    (unsigned long long) __atomic_load_n(&values[i], __ATOMIC_RELAXED));
	br_stream_close(out);
	return text;
}

static void *
keep_file(void *unused)
{
	(void) unused;
	for (;;)
	{
		br_metrics_flush();
		poll(NULL, 0, FILE_PERIOD);
	}
	return NULL;
}

static bool
start_thread(void *(*work)(void *), BrFault *fault)
{
	pthread_t thread;
	sigset_t all;
	sigset_t before;
	int rc;

	/* Signals belong to the main thread. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, NULL, work, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return br_fault_set(fault, BR_KIND_INTERNAL,
		                    "metrics: cannot start a thread");
	pthread_detach(thread);
	return true;
}

bool
br_metrics_start(const char *path, BrFault *fault)
{
	file_path = br_copy(path);
	br_metrics_flush();
	if (access(file_path, R_OK) != 0)
		return br_fault_set(fault, BR_KIND_INTERNAL,
		                    "metrics: cannot write %s: %s", file_path,
		                    strerror(errno));
	return start_thread(keep_file, fault);
}

void
br_metrics_flush(void)
{
	size_t length;
	char *text;
	char *draft;
	FILE *out;

	if (file_path == NULL)
		return;
	pthread_mutex_lock(&file_lock);
	draft = br_format("%s.new", file_path);
	text = render(&length);
	out = fopen(draft, "w");
	if (out != NULL)
	{
		bool whole = fwrite(text, 1, length, out) == length;

		if (fclose(out) == 0 && whole)
			(void) rename(draft, file_path);
	}
	free(text);
	free(draft);
	pthread_mutex_unlock(&file_lock);
}
