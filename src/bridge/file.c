/*
 * file.c
 *		stdout: and file:PATH, for trying out: one JSON object per line.
 *
 * A line is the notification as a broker would get it, plus "message" with
 * what a mail would say.  The file is made readable for its owner only: it
 * holds codes.  A row counts as delivered when the line is written whole
 * and, for a file, flushed to the disk.
 */
#include "ends.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The open descriptor, in link->state as a pointer to it. */
static int
descriptor(const BrLink *link)
{
	return *(int *) link->state;
}

static void
file_close(BrLink *link)
{
	if (link->state == NULL)
		return;
	if (descriptor(link) != STDOUT_FILENO)
		close(descriptor(link));
	free(link->state);
	link->state = NULL;
}

static bool
file_open(BrLink *link, BrFault *fault)
{
	const BrSink *sink = link->sink;
	int fd = STDOUT_FILENO;

	if (sink->url.path != NULL)
		fd = open(sink->url.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
		          0600);
	if (fd < 0)
		return br_fault_set(fault, BR_KIND_UNREACHABLE, "cannot open %s: %s",
		                    sink->url.path, strerror(errno));
	link->state = br_alloc(sizeof(int));
	*(int *) link->state = fd;
	return true;
}

/* The line, or NULL after judging a notification that no mail can carry. */
static char *
make_line(const BrSink *sink, BrNotification *n)
{
	json_t *whole = json_copy(n->body);
	BrMessage message;
	BrFault fault;
	char *line = NULL;
	char *text;
	bool good = false;

	/* An event says nothing to people. */
	if (strcmp(n->channel, "event") == 0)
		good = true;
	else if (!br_templates_render(sink->templates, n, &message, &fault))
		br_notification_judge(n, BR_REFUSED, "%s", fault.text);
	else
	{
		json_object_set_new(whole, "message",
		                    json_pack("{s:s, s:s, s:s*}", "subject",
		                              message.subject, "text", message.text,
		                              "sms", message.sms));
		br_message_free(&message);
		good = true;
	}
	text = good ? json_dumps(whole, JSON_COMPACT) : NULL;
	if (text != NULL)
		line = br_format("%s\n", text);
	br_free_secret(text);
	json_decref(whole);
	return line;
}

static bool
write_whole(int fd, const char *line)
{
	size_t left = strlen(line);

	while (left > 0)
	{
		ssize_t n = write(fd, line, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		line += n;
		left -= (size_t) n;
	}
	return true;
}

static bool
file_deliver(BrLink *link, BrNotification **batch, size_t n, BrFault *fault)
{
	const BrSink *sink = link->sink;
	int fd = descriptor(link);
	size_t i;
	bool good = true;

	for (i = 0; i < n && good; i++)
	{
		char *line = make_line(sink, batch[i]);

		if (line == NULL)
			continue;
		good = write_whole(fd, line);
		if (good)
			batch[i]->outcome = BR_DELIVERED;
		br_free_secret(line);
	}
	/* A pipe or a terminal cannot be flushed and says EINVAL. */
	if (good && sink->url.path && fdatasync(fd) != 0 && errno != EINVAL)
	{
		good = false;
		for (i = 0; i < n; i++)
			if (batch[i]->outcome == BR_DELIVERED)
				batch[i]->outcome = BR_UNTRIED;
	}
	if (!good)
		br_fault_set(fault, BR_KIND_UNREACHABLE, "cannot write to %s: %s",
		             sink->url.name, strerror(errno));
	return good;
}

const BrSinkMethods br_file_methods = {NULL,         NULL, file_open,
                                       file_deliver, NULL, file_close};
