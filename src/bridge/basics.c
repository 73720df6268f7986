/*
 * basics.c
 *		Faults, memory, time and signals of the bridge.
 *
 * Signals are caught by a handler that sets a flag and writes a byte to a
 * pipe, and a thread that has news for the main thread writes one too; the
 * main thread's wait includes that pipe, so nothing is lost between looking
 * and going to sleep.
 */
#include "basics.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BACKOFF_FIRST 250
#define BACKOFF_LAST  30000

static int wake_pipe[2] = {-1, -1};
static volatile sig_atomic_t stop_asked;
static volatile sig_atomic_t reload_asked;

bool
br_fault_set(BrFault *fault, BrKind kind, const char *format, ...)
{
	va_list args;
	char *p;
	size_t n;

	fault->kind = kind;
	fault->rest = 0;
	va_start(args, format);
	vsnprintf(fault->text, sizeof(fault->text), format, args);
	va_end(args);
	for (p = fault->text; *p; p++)
		if ((unsigned char) *p < 0x20 || *p == 0x7f)
			*p = ' ';
	for (n = strlen(fault->text); n > 0 && fault->text[n - 1] == ' '; n--)
		fault->text[n - 1] = '\0';
	return false;
}

const char *
br_fault_word(BrKind kind)
{
	static const char *const words[] = {
	    "none", "internal", "usage",    "unreachable", "login",
	    "tls",  "template", "database", "undelivered", "topology"};

	return words[kind];
}

/* Where memory is short nothing more is tried: the leases run out. */
static void *
or_die(void *p)
{
	if (p == NULL)
	{
		br_log(BR_ERROR, "fault", "kind", "internal", "text", "out of memory",
		       (char *) NULL);
		exit(BR_KIND_INTERNAL);
	}
	return p;
}

void *
br_alloc(size_t size)
{
	return or_die(calloc(1, size ? size : 1));
}

void *
br_realloc(void *p, size_t size)
{
	return or_die(realloc(p, size ? size : 1));
}

char *
br_copy(const char *text)
{
	return text ? or_die(strdup(text)) : NULL;
}

char *
br_format(const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	return or_die(n < 0 ? NULL : text);
}

FILE *
br_stream_open(char **text, size_t *length)
{
	return or_die(open_memstream(text, length));
}

void
br_stream_close(FILE *stream)
{
	if (fclose(stream) != 0)
		or_die(NULL);
}

void
br_free_secret(char *text)
{
	if (text != NULL)
		OPENSSL_cleanse(text, strlen(text));
	free(text);
}

FILE *
br_open_private(const char *path, const char *what, BrFault *fault)
{
	FILE *in = fopen(path, "r");
	struct stat st;

	if (in == NULL || fstat(fileno(in), &st) != 0)
	{
		br_fault_set(fault, BR_KIND_USAGE, "%s: cannot read %s: %s", what, path,
		             strerror(errno));
		if (in != NULL)
			fclose(in);
		return NULL;
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & (S_IRWXO | S_IWGRP)) != 0)
	{
		br_fault_set(fault, BR_KIND_USAGE,
		             "%s: %s is open to others (chmod o-rwx,g-w)", what, path);
		fclose(in);
		return NULL;
	}
	return in;
}

int64_t
br_clock_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* What is left until deadline, as poll wants it. */
static int
poll_timeout(int64_t deadline)
{
	int64_t left = deadline - br_clock_now();

	return left < 0 ? 0 : left > 3600000 ? 3600000 : (int) left;
}

bool
br_clock_wait(int fd, bool writing, int64_t deadline)
{
	struct pollfd p;

	do
	{
		p.fd = fd;
		p.events = writing ? POLLOUT : POLLIN;
		p.revents = 0;
		if (poll(&p, 1, poll_timeout(deadline)) > 0)
			return true;
	} while (br_clock_now() < deadline);
	return false;
}

int64_t
br_backoff_fail(BrBackoff *b, int64_t least)
{
	int64_t whole = BACKOFF_FIRST;
	uint32_t dice = 0;
	unsigned i;

	for (i = 0; i < b->failures && whole < BACKOFF_LAST; i++)
		whole *= 2;
	if (whole > BACKOFF_LAST)
		whole = BACKOFF_LAST;
	b->failures++;
	(void) RAND_bytes((unsigned char *) &dice, sizeof(dice));
	whole = whole / 2 + (int64_t) (dice % (uint32_t) (whole / 2 + 1));
	if (whole < least)
		whole = least;
	b->until = br_clock_now() + whole;
	return whole;
}

void
br_backoff_succeed(BrBackoff *b)
{
	b->failures = 0;
	b->until = 0;
}

static void
on_signal(int number)
{
	int saved = errno;

	if (number == SIGHUP)
		reload_asked = 1;
	else
		stop_asked = 1;
	/* A full pipe is as good as one byte more. */
	(void) !write(wake_pipe[1], "", 1);
	errno = saved;
}

void
br_signals_catch(void)
{
	static const int numbers[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action;
	size_t i;

	if (pipe2(wake_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
		or_die(NULL);
	memset(&action, 0, sizeof(action));
	sigemptyset(&action.sa_mask);
	action.sa_handler = on_signal;
	action.sa_flags = SA_RESTART;
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &action, NULL);
}

bool
br_signals_stop(void)
{
	return stop_asked != 0;
}

bool
br_signals_reload(void)
{
	bool asked = reload_asked != 0;

	if (asked)
		reload_asked = 0;
	return asked;
}

void
br_wake(void)
{
	(void) !write(wake_pipe[1], "", 1);
}

void
br_wait(int fd, int64_t deadline)
{
	struct pollfd p[2];
	char drain[256];

	p[0].fd = wake_pipe[0];
	p[0].events = POLLIN;
	p[0].revents = 0;
	p[1].fd = fd;
	p[1].events = POLLIN;
	p[1].revents = 0;
	(void) poll(p, 2, poll_timeout(deadline));
	/* Whoever wrote set something first, and it is looked at after this. */
	while (read(wake_pipe[0], drain, sizeof(drain)) > 0)
		;
}
