/*
 * smtp.c
 *		Mails, through libcurl, to one mail server.
 *
 * TLS is what the URL asks for: smtps:// from the first byte; smtp:// with
 * STARTTLS required, unless the server is on this machine or ?starttls=no
 * says otherwise (try: where it is offered).  A password is never sent in
 * the clear but to loopback.
 *
 * Whose fault a refusal is depends on when it comes.  Up to and including
 * MAIL FROM it is the server, the login or our sender address: the sink
 * rests and no notification is blamed.  From RCPT TO on it is this mail:
 * 5xx refuses it for good, 4xx for now (RFC 5321, section 4.2.1), but for
 * 421, with which a server closes the connection.  The commands and replies
 * are followed through libcurl's trace; only the reply's code and its
 * enhanced code (RFC 3463) are kept, since its words may repeat the address.
 */
#include "bridge.h"

#include <ctype.h>
#include <curl/curl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* RFC 2047 allows 75 characters for an encoded word: 45 bytes in base64. */
#define WORD_BYTES 45

/* The sender, taken apart once. */
typedef struct Smtp
{
	BrTransfers *transfers;
	char *from_header;
	char *from_address;
	const char *from_domain;
	char *server; /* URL without login and options */
	long use_ssl;
} Smtp;

typedef enum Stage
{
	STAGE_CONNECT, /* greeting, TLS, login */
	STAGE_MAIL,
	STAGE_RCPT,
	STAGE_DATA
} Stage;

/* One mail on its way. */
typedef struct Mail
{
	Stage stage;
	int code;          /* of the last reply to the last command; 0: none */
	char enhanced[12]; /* "5.1.1", or empty */
	bool over;         /* what follows is the good-bye */
	struct curl_slist *headers;
	struct curl_slist *recipients;
	curl_mime *mime;
} Mail;

/* An unstructured header value, as encoded words where it needs them. */
static char *
encode_header(const char *text)
{
	const unsigned char *p = (const unsigned char *) text;
	char *result;
	size_t length;
	FILE *out;
	bool plain = strlen(text) <= 60 && strstr(text, "=?") == NULL;

	for (; *p; p++)
		plain = plain && *p >= 0x20 && *p < 0x7f;
	if (plain)
		return br_copy(text);
	out = br_stream_open(&result, &length);
	while (*text)
	{
		unsigned char base64[WORD_BYTES * 2];
		size_t n = strnlen(text, WORD_BYTES);

		if (text[n] != '\0')
			while (n > 1 && ((unsigned char) text[n] & 0xc0) == 0x80)
				n--;
		EVP_EncodeBlock(base64, (const unsigned char *) text, (int) n);
		fprintf(out, "=?UTF-8?B?%s?=%s", base64, text[n] ? "\r\n " : "");
		text += n;
	}
	br_stream_close(out);
	return result;
}

/* "Name <address>" or an address; fills the sender's members in. */
static bool
take_sender(Smtp *smtp, const char *from, BrFault *fault)
{
	const char *open = strrchr(from, '<');
	const char *close = strrchr(from, '>');
	BrNotification probe;
	char *name;
	char *encoded;
	size_t n;

	if (open && close && close > open && close[1] == '\0')
		smtp->from_address =
		    br_format("%.*s", (int) (close - open - 1), open + 1);
	else
	{
		smtp->from_address = br_copy(from);
		open = from;
	}
	memset(&probe, 0, sizeof(probe));
	probe.channel = "email";
	probe.recipient = smtp->from_address;
	if (!br_notification_addressable(&probe) ||
	    strpbrk(from, "\r\n\"\\") != NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "from: \"%.100s\" is not a mail address, nor "
		                    "Name <address>",
		                    from);
	smtp->from_domain = strchr(smtp->from_address, '@') + 1;
	name = br_format("%.*s", (int) (open - from), from);
	for (n = strlen(name); n > 0 && isspace((unsigned char) name[n - 1]); n--)
		name[n - 1] = '\0';
	encoded = encode_header(name);
	if (*name == '\0')
		smtp->from_header = br_format("From: %s", smtp->from_address);
	else if (strcmp(name, encoded) == 0)
		smtp->from_header =
		    br_format("From: \"%s\" <%s>", name, smtp->from_address);
	else
		smtp->from_header =
		    br_format("From: %s <%s>", encoded, smtp->from_address);
	free(encoded);
	free(name);
	return true;
}

static void
smtp_close(BrSink *sink)
{
	Smtp *smtp = sink->state;

	if (smtp == NULL)
		return;
	br_transfers_free(smtp->transfers);
	free(smtp->from_header);
	free(smtp->from_address);
	free(smtp->server);
	free(smtp);
	sink->state = NULL;
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

bool
br_smtp_prepare(BrSink *sink, BrFault *fault)
{
	Smtp *smtp = br_alloc(sizeof(*smtp));

	sink->state = smtp;
	if (sink->options->from == NULL)
		br_fault_set(fault, BR_KIND_USAGE,
		             "from: a mail needs a sender, give --from");
	else if (take_sender(smtp, sink->options->from, fault) &&
	         take_security(smtp, sink, fault))
	{
		/* The path is what libcurl says after EHLO. */
		smtp->server = br_format(strchr(sink->url.host, ':') ? "%s://[%s]:%d/%s"
		                                                     : "%s://%s:%d/%s",
		                         sink->url.scheme, sink->url.host,
		                         sink->url.port, smtp->from_domain);
		return true;
	}
	smtp_close(sink);
	return false;
}

/* Follows the dialogue; see the head of the file. */
static int
on_trace(CURL *easy, curl_infotype type, char *data, size_t size, void *context)
{
	Mail *mail = context;

	(void) easy;
	/* With QUIT libcurl has made up its mind. */
	if (type == CURLINFO_HEADER_OUT && size >= 4 &&
	    strncmp(data, "QUIT", 4) == 0)
		mail->over = true;
	if (mail->over)
		return 0;
	if (type == CURLINFO_HEADER_OUT)
	{
		mail->code = 0;
		mail->enhanced[0] = '\0';
		if (size >= 5 && strncmp(data, "MAIL ", 5) == 0)
			mail->stage = STAGE_MAIL;
		else if (size >= 5 && strncmp(data, "RCPT ", 5) == 0)
			mail->stage = STAGE_RCPT;
		else if (size >= 4 && strncmp(data, "DATA", 4) == 0)
			mail->stage = STAGE_DATA;
	}
	else if (type == CURLINFO_HEADER_IN && size >= 4 &&
	         isdigit((unsigned char) data[0]) &&
	         isdigit((unsigned char) data[1]) &&
	         isdigit((unsigned char) data[2]))
	{
		size_t n = 0;

		mail->code =
		    (data[0] - '0') * 100 + (data[1] - '0') * 10 + data[2] - '0';
		while (4 + n < size && n < sizeof(mail->enhanced) - 1 &&
		       (isdigit((unsigned char) data[4 + n]) || data[4 + n] == '.'))
		{
			mail->enhanced[n] = data[4 + n];
			n++;
		}
		mail->enhanced[n] = '\0';
	}
	return 0;
}

/* Text with the line ends that mail has. */
static char *
with_crlf(const char *text)
{
	char *result;
	size_t length;
	FILE *out = br_stream_open(&result, &length);

	for (; *text; text++)
	{
		if (*text == '\n')
			fputc('\r', out);
		if (*text != '\r')
			fputc(*text, out);
	}
	br_stream_close(out);
	return result;
}

static bool
add_part(curl_mime *mime, const char *text, const char *type)
{
	curl_mimepart *part = curl_mime_addpart(mime);
	char *body = with_crlf(text);
	bool good = part != NULL &&
	            curl_mime_data(part, body, CURL_ZERO_TERMINATED) == CURLE_OK &&
	            curl_mime_type(part, type) == CURLE_OK &&
	            curl_mime_encoder(part, "quoted-printable") == CURLE_OK;

	br_free_secret(body);
	return good;
}

/* Takes the line over; false where memory ran out. */
static bool
add_header(Mail *mail, char *line)
{
	struct curl_slist *longer = curl_slist_append(mail->headers, line);

	free(line);
	if (longer != NULL)
		mail->headers = longer;
	return longer != NULL;
}

static bool
compose(Mail *mail, const Smtp *smtp, const BrNotification *n,
        const BrMessage *message, CURL *easy)
{
	char *subject = encode_header(message->subject);
	char date[64];
	time_t now = time(NULL);
	struct tm parts;
	bool good;

	localtime_r(&now, &parts);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S %z", &parts);
	good = add_header(mail, br_format("Date: %s", date)) &&
	       add_header(mail, br_copy(smtp->from_header)) &&
	       add_header(mail, br_format("To: %s", n->recipient)) &&
	       add_header(mail, br_format("Subject: %s", subject)) &&
	       add_header(mail, br_format("Message-ID: <%s@%s>", n->id,
	                                  smtp->from_domain)) &&
	       add_header(mail, br_copy("Auto-Submitted: auto-generated")) &&
	       add_header(mail, br_copy("X-Auto-Response-Suppress: All"));
	free(subject);
	mail->mime = curl_mime_init(easy);
	good = good && mail->mime &&
	       add_part(mail->mime, message->text, "text/plain; charset=utf-8");
	if (message->html)
		good =
		    good &&
		    add_header(mail, br_copy("Content-Type: multipart/alternative")) &&
		    add_part(mail->mime, message->html, "text/html; charset=utf-8");
	mail->recipients = curl_slist_append(NULL, n->recipient);
	return good && mail->recipients;
}

static void
mail_free(Mail *mail)
{
	curl_slist_free_all(mail->headers);
	curl_slist_free_all(mail->recipients);
	curl_mime_free(mail->mime);
	free(mail);
}

static Mail *
mail_begin(const Smtp *smtp, BrTransfer *transfer)
{
	Mail *mail = br_alloc(sizeof(*mail));

	curl_easy_setopt(transfer->easy, CURLOPT_URL, smtp->server);
	curl_easy_setopt(transfer->easy, CURLOPT_USE_SSL, smtp->use_ssl);
	curl_easy_setopt(transfer->easy, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(transfer->easy, CURLOPT_DEBUGFUNCTION, on_trace);
	curl_easy_setopt(transfer->easy, CURLOPT_DEBUGDATA, mail);
	return mail;
}

/* Connects, logs in, and does nothing. */
static bool
check_begin(BrSink *sink, BrTransfer *transfer)
{
	transfer->detail = mail_begin(sink->state, transfer);
	curl_easy_setopt(transfer->easy, CURLOPT_CUSTOMREQUEST, "NOOP");
	curl_easy_setopt(transfer->easy, CURLOPT_NOBODY, 1L);
	return true;
}

static bool
check_end(BrSink *sink, BrTransfer *transfer, BrFault *fault)
{
	mail_free(transfer->detail);
	return transfer->result == CURLE_OK ||
	       br_transfer_fault(sink, transfer, fault);
}

static bool
deliver_begin(BrSink *sink, BrTransfer *transfer)
{
	Smtp *smtp = sink->state;
	BrNotification *n = transfer->n;
	BrMessage message;
	BrFault fault;
	Mail *mail;
	bool good;

	if (strcmp(n->channel, "email") != 0 || !br_notification_addressable(n))
	{
		br_notification_judge(n, BR_REFUSED,
		                      "the recipient is not a mail address");
		return false;
	}
	if (!br_templates_render(sink->templates, n, &message, &fault))
	{
		br_notification_judge(n, BR_REFUSED, "%s", fault.text);
		return false;
	}
	mail = mail_begin(smtp, transfer);
	transfer->detail = mail;
	good = compose(mail, smtp, n, &message, transfer->easy);
	br_message_free(&message);
	if (!good)
	{
		br_notification_judge(n, BR_DEFERRED, "out of memory");
		mail_free(mail);
		return false;
	}
	curl_easy_setopt(transfer->easy, CURLOPT_MAIL_FROM, smtp->from_address);
	curl_easy_setopt(transfer->easy, CURLOPT_MAIL_RCPT, mail->recipients);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, mail->headers);
	curl_easy_setopt(transfer->easy, CURLOPT_MIMEPOST, mail->mime);
	return true;
}

static bool
deliver_end(BrSink *sink, BrTransfer *transfer, BrFault *fault)
{
	Mail *mail = transfer->detail;
	BrNotification *n = transfer->n;
	const char *at = mail->stage == STAGE_DATA ? "DATA" : "RCPT TO";
	bool good = true;

	if (transfer->result == CURLE_OK)
		n->outcome = BR_DELIVERED;
	else if (mail->stage >= STAGE_RCPT && mail->code >= 400 &&
	         mail->code < 600 && mail->code != 421)
		br_notification_judge(n, mail->code >= 500 ? BR_REFUSED : BR_DEFERRED,
		                      "%s answers %d%s%s to %s", sink->url.name,
		                      mail->code, mail->enhanced[0] ? " " : "",
		                      mail->enhanced, at);
	else
	{
		good = false;
		if (mail->stage == STAGE_MAIL && mail->code >= 400)
			br_fault_set(fault,
			             mail->code == 530 || mail->code == 535
			                 ? BR_KIND_LOGIN
			                 : BR_KIND_UNREACHABLE,
			             "%s answers %d %s to our sender address",
			             sink->url.name, mail->code, mail->enhanced);
		else
			(void) br_transfer_fault(sink, transfer, fault);
		/*
		 * Once per outage the mail itself is suspected, so that one that
		 * breaks connections cannot stand in the way of the others.
		 */
		if (mail->stage >= STAGE_RCPT && sink->rest.failures == 0)
			br_notification_judge(n, BR_DEFERRED,
			                      "%s broke off during the delivery",
			                      sink->url.name);
	}
	mail_free(mail);
	return good;
}

static bool
smtp_open(BrSink *sink, BrFault *fault)
{
	Smtp *smtp = sink->state;

	if (smtp == NULL && !br_smtp_prepare(sink, fault))
		return false;
	smtp = sink->state;
	smtp->transfers = br_transfers_make(sink);
	if (smtp->transfers == NULL)
		return br_fault_set(fault, BR_KIND_INTERNAL, "libcurl: out of memory");
	return br_transfers_run(smtp->transfers, NULL, 0, check_begin, check_end,
	                        sink, fault);
}

static bool
smtp_deliver(BrSink *sink, BrNotification **batch, size_t n, BrFault *fault)
{
	Smtp *smtp = sink->state;

	return br_transfers_run(smtp->transfers, batch, n, deliver_begin,
	                        deliver_end, sink, fault);
}

const BrSinkMethods br_smtp_methods = {smtp_open, smtp_deliver, NULL,
                                       smtp_close};
