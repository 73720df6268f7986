/*
 * log.c
 *		One line per event, as key=value pairs or as JSON.
 *
 * A line is built whole and written with one write, so that lines of several
 * bridges on one descriptor do not mix.  It carries no code, no token and no
 * full address: callers pass ids, kinds, counts, br_notification_mask's
 * short form of a recipient, and fault texts that were cleaned when made.
 */
#include "basics.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool log_json = false;
static BrLevel log_least = BR_INFO;

void
br_log_setup(bool json, BrLevel least)
{
	log_json = json;
	log_least = least;
}

/* JSON's string escapes serve both formats. */
static void
put_quoted(FILE *out, const char *value)
{
	const unsigned char *p;

	fputc('"', out);
	for (p = (const unsigned char *) value; *p; p++)
	{
		if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else if (*p < 0x20 || *p == 0x7f)
			fprintf(out, "\\u%04x", *p);
		else
			fputc(*p, out);
	}
	fputc('"', out);
}

static void
put_pair(FILE *out, const char *name, const char *value, bool first)
{
	if (log_json)
	{
		fprintf(out, "%s\"%s\":", first ? "{" : ",", name);
		put_quoted(out, value);
		return;
	}
	fprintf(out, "%s%s=", first ? "" : " ", name);
	if (*value && value[strcspn(value, " \"\\=")] == '\0')
	{
		const unsigned char *p = (const unsigned char *) value;

		while (*p > 0x20 && *p != 0x7f)
			p++;
		if (*p == '\0')
		{
			fputs(value, out);
			return;
		}
	}
	put_quoted(out, value);
}

void
br_log(BrLevel level, const char *event, ...)
{
	static const char *const words[] = {"debug", "info", "warning", "error"};
	struct timespec now;
	struct tm parts;
	char when[64];
	char stamp[80];
	char *line = NULL;
	size_t length = 0;
	const char *name;
	FILE *out;
	va_list args;

	if (level < log_least)
		return;
	out = open_memstream(&line, &length);
	if (out == NULL)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &parts);
	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &parts);
	snprintf(stamp, sizeof(stamp), "%s.%03ldZ", when, now.tv_nsec / 1000000);
	put_pair(out, "time", stamp, true);
	put_pair(out, "level", words[level], false);
	put_pair(out, "event", event, false);
	va_start(args, event);
	while ((name = va_arg(args, const char *)) != NULL)
	{
		const char *value = va_arg(args, const char *);

		if (value != NULL)
			put_pair(out, name, value, false);
	}
	va_end(args);
	fputs(log_json ? "}\n" : "\n", out);
	if (fclose(out) == 0)
		(void) !write(STDERR_FILENO, line, length);
	free(line);
}
