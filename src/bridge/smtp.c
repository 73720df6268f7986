/*
 * smtp.c
 *		Mails to one mail server, over connections that are kept.
 *
 * libcurl connects, greets, secures the connection and logs in; the mails
 * then go over it one by one (MAIL, RCPT, DATA, RFC 5321), since libcurl's own
 * upload gives a connection up for every refused recipient, and keeps neither
 * the phases' time limits nor a stop while it waits for the final answer.
 *
 * TLS is what the URL asks for: smtps:// from the first byte; smtp:// with
 * STARTTLS required, unless the server is on this machine or ?starttls=no
 * says otherwise (try: where it is offered).  A password is never sent in
 * the clear but to loopback.
 *
 * Whose fault a refusal is depends on when it comes:
 *
 *		connect to MAIL		the server's, the login's or our sender's: the sink
 *							rests, no notification is blamed
 *		RCPT to the dot		this mail's: 5xx refuses it for good, 4xx for now
 *							(RFC 5321, section 4.2.1); but 421 is the server's
 *							own good-bye, and 530 wants a login
 *		no answer to RCPT	the server's, or the mail's own: see
 *		or DATA				br_sink_suspect
 *		no answer to the	the mail may have been taken: that was a try, to be
 *		dot					counted and spaced like any other
 *
 * Of a reply only its code and enhanced code (RFC 3463) are kept, since its
 * words may repeat the address.
 */
#include "ends.h"

#include <ctype.h>
#include <curl/curl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* RFC 5321, section 4.5.3.2, in seconds; the options may say less. */
#define LIMIT_COMMAND 300
#define LIMIT_DATA    120
#define LIMIT_BLOCK   180

/* What is sent before an answer is looked for. */
#define BLOCK_LENGTH 16384
/* A reply of more lines' worth is none. */
#define REPLY_MOST 65536

/* The sender, taken apart once. */
typedef struct Smtp
{
	BrSender sender;
	char *server; /* URL without login and options */
	long use_ssl;
} Smtp;

/* A connection. */
typedef struct Session
{
	BrTransfer *transfer;
	CURL *easy;
	curl_socket_t fd;
	bool pipelining; /* RFC 2920 */
	bool smtputf8;   /* RFC 6531 */
	bool lost;       /* of no use any more */
	unsigned mails;  /* begun on it */
	int64_t limit;   /* br_clock_now's scale: no command may end later */
	int code;        /* of the last reply; 0: none came */
	char enhanced[12];
	char in[2048];
	size_t have;
} Session;

/* ---- prepared, by the main thread ---- */

static void
smtp_forget(BrSink *sink)
{
	Smtp *smtp = sink->shared;

	if (smtp == NULL)
		return;
	br_sender_free(&smtp->sender);
	free(smtp->server);
	free(smtp);
	sink->shared = NULL;
}

static bool
take_security(Smtp *smtp, const BrSink *sink, BrFault *fault)
{
	bool local = br_url_loopback(&sink->url);
	const char *word =
	    br_url_option(&sink->url, "starttls", local ? "no" : "required");

	if (strcmp(sink->url.scheme, "smtps") == 0 || strcmp(word, "required") == 0)
		smtp->use_ssl = CURLUSESSL_ALL;
	else if (strcmp(word, "try") == 0)
		smtp->use_ssl = CURLUSESSL_TRY;
	else if (strcmp(word, "no") == 0)
		smtp->use_ssl = CURLUSESSL_NONE;
	else
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "%s: starttls is required, try or no",
		                    sink->url.name);
	if (sink->url.user && smtp->use_ssl != CURLUSESSL_ALL && !local)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "%s: a login over the network needs "
		                    "starttls=required, or smtps",
		                    sink->url.name);
	return true;
}

static bool
smtp_prepare(BrSink *sink, BrFault *fault)
{
	Smtp *smtp = br_alloc(sizeof(*smtp));

	sink->shared = smtp;
	sink->need = sink->options->dot_timeout * 1000 + 1000;
	if (!br_sender_make(&smtp->sender, sink->options, fault) ||
	    !take_security(smtp, sink, fault))
		return false;
	/* The path is what libcurl says after EHLO. */
	smtp->server = br_format(
	    strchr(sink->url.host, ':') ? "%s://[%s]:%d/%s" : "%s://%s:%d/%s",
	    sink->url.scheme, sink->url.host, sink->url.port, smtp->sender.ehlo);
	return true;
}

/* ---- the connection ---- */

/* What the server offers: the lines of its last answer to EHLO. */
static size_t
on_line(char *line, size_t size, size_t n, void *context)
{
	Session *s = context;
	size_t length = size * n;

	/* The greeting, or STARTTLS: what was offered before is void. */
	if (length > 3 && strncmp(line, "220", 3) == 0)
		s->pipelining = s->smtputf8 = false;
	else if (length > 4 && strncmp(line, "250", 3) == 0)
	{
		size_t word = 0;

		while (4 + word < length && isalnum((unsigned char) line[4 + word]))
			word++;
		if (word == 10 && strncasecmp(line + 4, "PIPELINING", word) == 0)
			s->pipelining = true;
		if (word == 8 && strncasecmp(line + 4, "SMTPUTF8", word) == 0)
			s->smtputf8 = true;
	}
	return length;
}

static void
smtp_close(BrLink *link)
{
	Session *s = link->state;

	if (s == NULL)
		return;
	br_transfer_free(s->transfer, !s->lost);
	free(s);
	link->state = NULL;
}

static long
limit_of(const BrSink *sink, long seconds)
{
	return seconds < sink->options->mail_timeout ? seconds
	                                             : sink->options->mail_timeout;
}

static bool
smtp_open(BrLink *link, BrFault *fault)
{
	const Smtp *smtp = link->sink->shared;
	Session *s = br_alloc(sizeof(*s));
	int code;

	link->state = s;
	s->lost = true;
	s->transfer = br_transfer_make(link->sink, fault);
	if (s->transfer == NULL)
		return false;
	s->easy = br_transfer_begin(s->transfer);
	curl_easy_setopt(s->easy, CURLOPT_URL, smtp->server);
	curl_easy_setopt(s->easy, CURLOPT_USE_SSL, smtp->use_ssl);
	curl_easy_setopt(s->easy, CURLOPT_CONNECT_ONLY, 1L);
	curl_easy_setopt(s->easy, CURLOPT_CONNECTTIMEOUT,
	                 limit_of(link->sink, LIMIT_COMMAND));
	curl_easy_setopt(s->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT,
	                 limit_of(link->sink, LIMIT_COMMAND));
	curl_easy_setopt(s->easy, CURLOPT_HEADERFUNCTION, on_line);
	curl_easy_setopt(s->easy, CURLOPT_HEADERDATA, s);
	code = br_transfer_perform(s->transfer);
	if (code == CURLE_OK && (curl_easy_getinfo(s->easy, CURLINFO_ACTIVESOCKET,
	                                           &s->fd) != CURLE_OK ||
	                         s->fd == CURL_SOCKET_BAD))
		code = CURLE_COULDNT_CONNECT;
	if (code != CURLE_OK)
		return br_transfer_fault(s->transfer, code, fault);
	s->lost = false;
	return true;
}

/* ---- commands and replies ---- */

static bool
send_text(BrLink *link, const char *text, size_t length, int64_t deadline)
{
	Session *s = link->state;

	while (length > 0 && !s->lost)
	{
		size_t sent = 0;
		CURLcode code = curl_easy_send(s->easy, text, length, &sent);

		text += sent;
		length -= sent;
		if (code == CURLE_AGAIN)
			s->lost = !br_sink_wait(link->sink, s->fd, true, deadline);
		else
			s->lost = code != CURLE_OK;
	}
	return !s->lost;
}

/* One line into s->in, ended by NUL instead of CRLF; what is behind it stays
 * there.  Of a line that is too long its start. */
static bool
read_line(BrLink *link, char *line, size_t size, int64_t deadline)
{
	Session *s = link->state;
	bool whole = true;

	for (;;)
	{
		char *end = memchr(s->in, '\n', s->have);
		size_t n = end ? (size_t) (end - s->in) + 1 : 0;
		CURLcode code;
		size_t got = 0;

		if (end != NULL || s->have == sizeof(s->in))
		{
			size_t used = end ? n : s->have;

			if (whole)
				snprintf(line, size, "%.*s", (int) used, s->in);
			s->have -= used;
			memmove(s->in, s->in + used, s->have);
			if (end != NULL)
				return true;
			whole = false;
			continue;
		}
		code = curl_easy_recv(s->easy, s->in + s->have, sizeof(s->in) - s->have,
		                      &got);
		s->have += got;
		if (code == CURLE_AGAIN)
			s->lost = !br_sink_wait(link->sink, s->fd, false, deadline);
		else
			s->lost = code != CURLE_OK || got == 0;
		if (s->lost)
			return false;
	}
}

/* The next reply's code; 0, and the session lost, where none came in time. */
static int
read_reply(BrLink *link, int64_t deadline)
{
	Session *s = link->state;
	size_t length = 0;
	size_t n = 0;
	char line[128];

	s->code = 0;
	s->enhanced[0] = '\0';
	do
	{
		if (!read_line(link, line, sizeof(line), deadline))
			return 0;
		length += strlen(line);
		s->lost = length > REPLY_MOST || strspn(line, "0123456789") != 3;
	} while (!s->lost && line[3] == '-');
	if (s->lost)
		return 0;
	s->code = atoi(line);
	while (line[3] == ' ' && n < sizeof(s->enhanced) - 1 &&
	       (isdigit((unsigned char) line[4 + n]) || line[4 + n] == '.'))
	{
		s->enhanced[n] = line[4 + n];
		n++;
	}
	s->enhanced[n] = '\0';
	return s->code;
}

/* When an answer has to be there: so many seconds from now, and early enough
 * for what is still to come within the lease. */
static int64_t
deadline_of(const BrLink *link, long seconds)
{
	const Session *s = link->state;
	int64_t deadline = br_clock_now() + limit_of(link->sink, seconds) * 1000;

	return s->limit > 0 && s->limit < deadline ? s->limit : deadline;
}

/* ---- a mail ---- */

/* One mail on its way. */
typedef struct Mail
{
	char *to;
	bool utf8;
	char *text;
} Mail;

static void
mail_free(Mail *mail)
{
	free(mail->to);
	br_free_secret(mail->text);
}

/* False after judging a notification that no mail can carry. */
static bool
mail_make(Mail *mail, BrLink *link, BrNotification *n)
{
	const Smtp *smtp = link->sink->shared;
	BrMessage message;
	BrFault fault;

	memset(mail, 0, sizeof(*mail));
	if (strcmp(n->channel, "email") == 0)
		mail->to = br_mail_address(n->recipient, &mail->utf8);
	if (mail->to == NULL)
	{
		br_notification_judge(n, BR_REFUSED,
		                      "the recipient is not a mail address");
		return false;
	}
	mail->utf8 = mail->utf8 || smtp->sender.utf8;
	if (!br_templates_render(link->sink->templates, n, &message, &fault))
	{
		br_notification_judge(n, BR_REFUSED, "%s", fault.text);
		mail_free(mail);
		return false;
	}
	mail->text = br_mail_compose(&smtp->sender, mail->to, n, &message);
	br_message_free(&message);
	return true;
}

/* The envelope; with pipelining all of it at once (RFC 2920, section 3.1). */
static bool
send_envelope(BrLink *link, const Mail *mail, int part)
{
	const Smtp *smtp = link->sink->shared;
	Session *s = link->state;
	char *mail_from = br_format("MAIL FROM:<%s>%s\r\n", smtp->sender.envelope,
	                            mail->utf8 ? " SMTPUTF8" : "");
	char *rcpt_to = br_format("RCPT TO:<%s>\r\n", mail->to);
	const char *parts[] = {mail_from, rcpt_to, "DATA\r\n"};
	char *all;
	bool good = true;

	if (s->pipelining && part == 0)
	{
		all = br_format("%s%s%s", parts[0], parts[1], parts[2]);
		good =
		    send_text(link, all, strlen(all), deadline_of(link, LIMIT_COMMAND));
		free(all);
	}
	else if (!s->pipelining)
		good = send_text(link, parts[part], strlen(parts[part]),
		                 deadline_of(link, LIMIT_COMMAND));
	free(mail_from);
	free(rcpt_to);
	return good;
}

/* The connection, or the server as a whole, is of no use. */
static bool
server_fault(BrLink *link, const char *at, BrFault *fault)
{
	Session *s = link->state;
	int code = s->code;

	s->lost = true;
	if (code == 0)
		return br_fault_set(fault, BR_KIND_UNREACHABLE, "%s: no answer to %s",
		                    link->sink->url.name, at);
	return br_fault_set(fault,
	                    code == 530 || code == 534 || code == 535 || code == 538
	                        ? BR_KIND_LOGIN
	                        : BR_KIND_UNREACHABLE,
	                    "%s answers %d%s%s to %s", link->sink->url.name, code,
	                    s->enhanced[0] ? " " : "", s->enhanced, at);
}

/* A 4xx or 5xx that is about this mail: true.  False, with the fault, where
 * it is not, or where there was no answer. */
static bool
judge_reply(BrLink *link, BrNotification *n, const char *at, BrFault *fault)
{
	const Session *s = link->state;

	if (s->code == 0)
	{
		(void) server_fault(link, at, fault);
		br_sink_suspect(link->sink, n, fault);
		return false;
	}
	if (s->code == 421 || s->code == 530)
		return server_fault(link, at, fault);
	br_notification_judge(n, s->code >= 500 ? BR_REFUSED : BR_DEFERRED,
	                      "%s answers %d%s%s to %s", link->sink->url.name,
	                      s->code, s->enhanced[0] ? " " : "", s->enhanced, at);
	return true;
}

/* Forget the mail, keep the connection (RFC 5321, section 4.1.1.5). */
static void
reset(BrLink *link)
{
	Session *s = link->state;

	if (!send_text(link, "RSET\r\n", 6, deadline_of(link, LIMIT_COMMAND)) ||
	    read_reply(link, deadline_of(link, LIMIT_COMMAND)) / 100 != 2)
		s->lost = true;
}

/* After a refused recipient: with pipelining DATA is on its way already, and
 * a server that takes it gets a mail of nothing to nobody. */
static void
take_back(BrLink *link)
{
	Session *s = link->state;

	if (s->pipelining &&
	    read_reply(link, deadline_of(link, LIMIT_DATA)) / 100 == 3)
	{
		if (send_text(link, ".\r\n", 3, deadline_of(link, LIMIT_BLOCK)))
			(void) read_reply(link, deadline_of(link, LIMIT_COMMAND));
	}
	if (!s->lost)
		reset(link);
}

/* The text, its dot, and what the server says to that. */
static bool
send_mail(BrLink *link, BrNotification *n, const Mail *mail, BrFault *fault)
{
	Session *s = link->state;
	size_t left = strlen(mail->text);
	const char *p = mail->text;

	s->code = 0;
	while (left > 0)
	{
		size_t block = left < BLOCK_LENGTH ? left : BLOCK_LENGTH;

		if (!send_text(link, p, block, deadline_of(link, LIMIT_BLOCK)))
			return judge_reply(link, n, "DATA", fault);
		p += block;
		left -= block;
	}
	if (!send_text(link, ".\r\n", 3, deadline_of(link, LIMIT_BLOCK)))
		return judge_reply(link, n, "DATA", fault);
	if (read_reply(link, br_clock_now() +
	                         link->sink->options->dot_timeout * 1000) == 0)
	{
		if (!br_sink_aborted(link->sink))
			br_notification_judge(n, BR_DEFERRED, "%s: no answer to the mail",
			                      link->sink->url.name);
		return server_fault(link, "the mail", fault);
	}
	if (s->code / 100 != 2)
		return judge_reply(link, n, "DATA", fault);
	n->outcome = BR_DELIVERED;
	return true;
}

/* *stale: a kept connection that was closed meanwhile; nothing happened. */
static bool
transact(BrLink *link, BrNotification *n, const Mail *mail, bool *stale,
         BrFault *fault)
{
	Session *s = link->state;
	int code = 0;

	*stale = false;
	if (send_envelope(link, mail, 0))
		code = read_reply(link, deadline_of(link, LIMIT_COMMAND));
	if (code / 100 != 2)
	{
		*stale = s->mails > 1 && (code == 0 || code == 421) &&
		         !br_sink_aborted(link->sink);
		if (mail->utf8 && code / 100 == 5)
		{
			(void) judge_reply(link, n, "MAIL FROM", fault);
			s->lost = true;
			return true;
		}
		return server_fault(link, "our sender address", fault);
	}
	code = 0;
	if (send_envelope(link, mail, 1))
		code = read_reply(link, deadline_of(link, LIMIT_COMMAND));
	if (code / 100 != 2)
	{
		if (!judge_reply(link, n, "RCPT TO", fault))
			return false;
		take_back(link);
		return true;
	}
	code = 0;
	if (send_envelope(link, mail, 2))
		code = read_reply(link, deadline_of(link, LIMIT_DATA));
	if (code / 100 == 3)
		return send_mail(link, n, mail, fault);
	if (!judge_reply(link, n, "DATA", fault))
		return false;
	reset(link);
	return true;
}

/* A connection that waits for a command: the server closed it, or said 421,
 * where there is anything to read. */
static bool
is_stale(const Session *s)
{
	struct pollfd p = {s->fd, POLLIN, 0};

	return s->lost || poll(&p, 1, 0) != 0;
}

static bool
reopen(BrLink *link, BrFault *fault)
{
	Session *s = link->state;

	s->lost = true;
	smtp_close(link);
	return smtp_open(link, fault);
}

static bool
smtp_deliver(BrLink *link, BrNotification **batch, size_t count, BrFault *fault)
{
	BrNotification *n = batch[0];
	bool stale = is_stale(link->state);
	bool good = true;
	Session *s;
	Mail mail;

	(void) count;
	if (!mail_make(&mail, link, n))
		return true;
	do
	{
		good = !stale || reopen(link, fault);
		stale = false;
		s = link->state;
		if (good && mail.utf8 && !s->smtputf8)
		{
			/* RFC 6531, section 3.2: it may not even be tried. */
			br_notification_judge(n, BR_REFUSED,
			                      "%s has no SMTPUTF8 for this address",
			                      link->sink->url.name);
			break;
		}
		s->mails++;
		s->limit =
		    n->lease_end > 0 ? n->lease_end - link->sink->need + 1000 : 0;
		good = good && transact(link, n, &mail, &stale, fault);
	} while (!good && stale);
	mail_free(&mail);
	return good;
}

/* The server closed it while nothing was to do: no reason to rest. */
static bool
smtp_tend(BrLink *link, BrFault *fault)
{
	Session *s = link->state;

	(void) fault;
	if (is_stale(s))
		s->lost = true;
	return true;
}

const BrSinkMethods br_smtp_methods = {smtp_prepare, smtp_forget, smtp_open,
                                       smtp_deliver, smtp_tend,   smtp_close};
