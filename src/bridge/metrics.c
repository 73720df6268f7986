/*
 * metrics.c
 *		Counters in Prometheus' text format, over HTTP on loopback or in a file.
 *
 * Counters are plain 64-bit values touched with the compiler's relaxed
 * atomics.  A thread of its own answers HTTP (one request at a time, with a
 * time limit) or writes the file, so the figures stay readable while the
 * bridge waits for a peer that hangs, which is when they are wanted.  The
 * thread reads nothing but the counters.
 */
#include "basics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "auth_session_bridge_"

/* Milliseconds between two versions of the file. */
#define FILE_PERIOD 500

static uint64_t values[BR_NCOUNTERS];
static char *file_path;
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static int listener = -1;

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

static void
write_all(int fd, const char *text, size_t length)
{
	while (length > 0)
	{
		ssize_t n = send(fd, text, length, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		text += n;
		length -= (size_t) n;
	}
}

/* One request: whatever is asked, the answer is the figures. */
static void
answer(int fd)
{
	struct timeval limit = {2, 0};
	char request[2048];
	size_t have = 0;
	size_t length;
	char *body;
	char *head;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	do
	{
		ssize_t n = recv(fd, request + have, sizeof(request) - 1 - have, 0);

		if (n <= 0)
			return;
		have += (size_t) n;
		request[have] = '\0';
	} while (strstr(request, "\r\n\r\n") == NULL && have < sizeof(request) - 1);
	if (strncmp(request, "GET /metrics", 12) != 0 &&
	    strncmp(request, "GET / ", 6) != 0)
	{
		static const char none[] = "HTTP/1.1 404 Not Found\r\n"
		                           "Content-Length: 0\r\n"
		                           "Connection: close\r\n\r\n";

		write_all(fd, none, sizeof(none) - 1);
		return;
	}
	body = render(&length);
	head = br_format("HTTP/1.1 200 OK\r\n"
	                 "Content-Type: text/plain; version=0.0.4\r\n"
	                 "Content-Length: %zu\r\nConnection: close\r\n\r\n",
	                 length);
	write_all(fd, head, strlen(head));
	write_all(fd, body, length);
	free(head);
	free(body);
}

static void *
serve(void *unused)
{
	(void) unused;
	for (;;)
	{
		int fd = accept(listener, NULL, NULL);

		if (fd >= 0)
		{
			answer(fd);
			close(fd);
		}
		else if (errno == EMFILE || errno == ENFILE)
			poll(NULL, 0, 1000);
	}
	return NULL;
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

static bool
start_http(const char *target, BrFault *fault)
{
	BrUrl url;
	char *text = br_format("http://%s", target);
	struct addrinfo hints;
	struct addrinfo *found = NULL;
	char port[16];
	int one = 1;

	/* Parsing as http refuses every host but loopback. */
	if (!br_url_parse(&url, text, fault))
	{
		br_fault_set(fault, BR_KIND_USAGE,
		             "metrics: \"%.80s\" is neither HOST:PORT on loopback nor "
		             "file:PATH",
		             target);
		goto fail;
	}
	memset(&hints, 0, sizeof(hints));
	hints.ai_socktype = SOCK_STREAM;
	hints.ai_flags = AI_NUMERICSERV;
	snprintf(port, sizeof(port), "%d", url.port);
	if (getaddrinfo(url.host, port, &hints, &found) != 0 ||
	    (listener = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0)) <
	        0 ||
	    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) !=
	        0 ||
	    bind(listener, found->ai_addr, found->ai_addrlen) != 0 ||
	    listen(listener, 16) != 0)
	{
		br_fault_set(fault, BR_KIND_INTERNAL,
		             "metrics: cannot listen on %s: %s", target,
		             strerror(errno));
		goto fail;
	}
	if (!start_thread(serve, fault))
		goto fail;
	freeaddrinfo(found);
	br_url_free(&url);
	free(text);
	return true;
fail:
	if (found)
		freeaddrinfo(found);
	br_url_free(&url);
	free(text);
	return false;
}

bool
br_metrics_start(const char *target, BrFault *fault)
{
	if (strncmp(target, "file:", 5) != 0)
		return start_http(target, fault);
	if (target[5] == '\0')
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "metrics: file: names no path");
	file_path = br_copy(target + 5);
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
