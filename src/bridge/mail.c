/*
 * mail.c
 *		What a mail looks like on the wire: addresses, headers, body.
 *
 * All is ASCII, so that any server takes it: domains are A-labels (RFC 5890),
 * headers encoded words (RFC 2047, lines of at most 76 columns), bodies
 * quoted-printable (RFC 2045, section 6.7).  The one exception is a local
 * part beyond ASCII, for which there is no other form (RFC 6531).
 */
#include "message.h"

#include <ctype.h>
#include <idn2.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* RFC 2047, section 2: a line with encoded words, and one word. */
#define LINE_MOST  76
#define WORD_MOST  75
#define WORD_FRAME 12 /* =?UTF-8?B??= */
/* RFC 5322, section 2.1.1: what a line may have at all. */
#define PLAIN_MOST 998

/* ---- addresses ---- */

static bool
is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text >= 0x80)
			return false;
	return true;
}

/* Caller frees; NULL where it is no domain name. */
static char *
domain_ascii(const char *domain)
{
	char *made = NULL;
	char *copy;

	if (idn2_to_ascii_8z(domain, &made,
	                     IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return NULL;
	copy = br_copy(made);
	idn2_free(made);
	return copy;
}

char *
br_mail_address(const char *address, bool *utf8)
{
	BrNotification probe;
	const char *at;
	char *domain;
	char *made;

	memset(&probe, 0, sizeof(probe));
	probe.channel = "email";
	probe.recipient = address;
	if (!br_notification_addressable(&probe))
		return NULL;
	at = strrchr(address, '@');
	domain = domain_ascii(at + 1);
	if (domain == NULL)
		return NULL;
	made = br_format("%.*s@%s", (int) (at - address), address, domain);
	free(domain);
	*utf8 = !is_ascii(made);
	return made;
}

void
br_sender_free(BrSender *sender)
{
	free(sender->name);
	free(sender->address);
	free(sender->domain);
	free(sender->envelope);
	free(sender->ehlo);
	memset(sender, 0, sizeof(*sender));
}

/* "Name <address>" or an address. */
static bool
take_from(BrSender *sender, const char *from, BrFault *fault)
{
	const char *open = strrchr(from, '<');
	size_t length = strlen(from);
	char *address;
	size_t n = 0;

	if (open != NULL && from[length - 1] == '>')
	{
		address = br_format("%.*s", (int) (from + length - 2 - open), open + 1);
		n = (size_t) (open - from);
		while (n > 0 && isspace((unsigned char) from[n - 1]))
			n--;
	}
	else
		address = br_copy(from);
	sender->address = br_mail_address(address, &sender->utf8);
	free(address);
	if (sender->address == NULL || strpbrk(from, "\r\n\"\\") != NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "from: \"%.100s\" is not a mail address, nor "
		                    "Name <address>",
		                    from);
	sender->domain = br_copy(strrchr(sender->address, '@') + 1);
	if (n > 0)
		sender->name = br_format("%.*s", (int) n, from);
	return true;
}

bool
br_sender_make(BrSender *sender, const BrOptions *options, BrFault *fault)
{
	const char *envelope = options->envelope_from;
	bool utf8 = false;

	memset(sender, 0, sizeof(*sender));
	if (options->from == NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "from: a mail needs a sender, give --from");
	if (!take_from(sender, options->from, fault))
		return false;
	if (envelope == NULL)
		sender->envelope = br_copy(sender->address);
	else if (*envelope == '\0' || strcmp(envelope, "<>") == 0)
		sender->envelope = br_copy("");
	else
		sender->envelope = br_mail_address(envelope, &utf8);
	if (sender->envelope == NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "envelope-from: \"%.100s\" is not a mail address",
		                    envelope);
	sender->utf8 = sender->utf8 || utf8;
	sender->ehlo = domain_ascii(options->ehlo ? options->ehlo : sender->domain);
	if (sender->ehlo == NULL ||
	    strspn(sender->ehlo,
	           "abcdefghijklmnopqrstuvwxyz0123456789.-"
	           "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != strlen(sender->ehlo))
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "ehlo: \"%.100s\" is not a host's name",
		                    options->ehlo ? options->ehlo : sender->domain);
	return true;
}

/* ---- headers ---- */

/* How many bytes of text, whole characters, fit into an encoded word of a
 * line that has room columns left. */
static size_t
word_length(const char *text, size_t room)
{
	size_t most;
	size_t n;

	if (room > WORD_MOST)
		room = WORD_MOST;
	most = (room - WORD_FRAME) / 4 * 3;
	n = strnlen(text, most);
	if (text[n] != '\0')
		while (n > 1 && ((unsigned char) text[n] & 0xc0) == 0x80)
			n--;
	return n;
}

/* Encoded words, the first at column; returns the column behind the last. */
static size_t
put_words(FILE *out, const char *text, size_t column)
{
	while (*text)
	{
		unsigned char base64[WORD_MOST * 2];
		size_t n = word_length(text, LINE_MOST - column);
		int length =
		    EVP_EncodeBlock(base64, (const unsigned char *) text, (int) n);

		fprintf(out, "=?UTF-8?B?%s?=", base64);
		text += n;
		column += (size_t) length + WORD_FRAME;
		if (*text)
		{
			fputs("\r\n ", out);
			column = 1;
		}
	}
	return column;
}

/* Whether text can stand as it is, on lines folded at its spaces. */
static bool
is_plain(const char *text)
{
	size_t word = 0;
	const unsigned char *p;

	for (p = (const unsigned char *) text; *p; p++)
	{
		word = *p == ' ' ? 0 : word + 1;
		if (*p < 0x20 || *p >= 0x7f || word > PLAIN_MOST - LINE_MOST)
			return false;
	}
	/* What a reader would take for an encoded word; and spaces that folding
	 * would lose. */
	return strstr(text, "=?") == NULL && text[0] != ' ' &&
	       (p == (const unsigned char *) text || p[-1] != ' ');
}

/* Fold where the next word would not fit (RFC 5322, section 2.2.3). */
static size_t
put_folded(FILE *out, const char *text, size_t column)
{
	while (*text)
	{
		size_t n = 1 + strcspn(text + 1, " ");

		if (*text == ' ' && column + n > LINE_MOST && text[n - 1] != ' ')
		{
			fputs("\r\n", out);
			column = 0;
		}
		fwrite(text, 1, n, out);
		column += n;
		text += n;
	}
	return column;
}

/* An unstructured value, ASCII where it is. */
static void
put_text_header(FILE *out, const char *name, const char *text)
{
	size_t column = (size_t) fprintf(out, "%s: ", name);

	if (is_plain(text))
		(void) put_folded(out, text, column);
	else
		(void) put_words(out, text, column);
	fputs("\r\n", out);
}

static void
put_from(FILE *out, const BrSender *sender)
{
	size_t column = (size_t) fprintf(out, "From: ");

	if (sender->name == NULL)
	{
		fprintf(out, "%s\r\n", sender->address);
		return;
	}
	if (is_plain(sender->name))
	{
		fputc('"', out);
		column = put_folded(out, sender->name, column + 1) + 1;
		fputc('"', out);
	}
	else
		column = put_words(out, sender->name, column);
	if (column + strlen(sender->address) + 3 > LINE_MOST)
		fputs("\r\n", out);
	fprintf(out, " <%s>\r\n", sender->address);
}

/* In English whatever the program's locale is. */
static void
put_date(FILE *out)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = time(NULL);
	char rest[32];
	struct tm t;

	localtime_r(&now, &t);
	strftime(rest, sizeof(rest), "%Y %H:%M:%S %z", &t);
	fprintf(out, "Date: %.3s, %02d %.3s %s\r\n", days + 3 * t.tm_wday,
	        t.tm_mday, months + 3 * t.tm_mon, rest);
}

/* ---- bodies ---- */

/* Whether p has to be written as =XX. */
static bool
is_encoded(const unsigned char *p, size_t column)
{
	if (*p == ' ' || *p == '\t')
		return p[1] == '\n' || p[1] == '\r' || p[1] == '\0';
	/* A dot that starts a line would end the mail (RFC 5321, 4.5.2). */
	return *p < 0x20 || *p >= 0x7f || *p == '=' || (*p == '.' && column == 0);
}

static void
put_quoted_printable(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *) text;
	size_t column = 0;

	for (; *p; p++)
	{
		size_t width = is_encoded(p, column) ? 3 : 1;

		if (*p == '\n')
		{
			fputs("\r\n", out);
			column = 0;
		}
		if (*p == '\n' || (*p == '\r' && p[1] == '\n'))
			continue;
		/* The = of a soft line break is the 76th character at most. */
		if (column + width > LINE_MOST - 1)
		{
			fputs("=\r\n", out);
			column = 0;
			width = is_encoded(p, column) ? 3 : 1;
		}
		if (width == 3)
			fprintf(out, "=%02X", *p);
		else
			fputc(*p, out);
		column += width;
	}
	if (column > 0)
		fputs("\r\n", out);
}

static void
put_part(FILE *out, const char *type, const char *text)
{
	fprintf(out,
	        "Content-Type: %s; charset=utf-8\r\n"
	        "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
	        type);
	put_quoted_printable(out, text);
}

char *
br_mail_compose(const BrSender *sender, const char *to, const BrNotification *n,
                const BrMessage *message)
{
	char *made;
	size_t length;
	FILE *out = br_stream_open(&made, &length);

	put_date(out);
	put_from(out, sender);
	fprintf(out, "To: %s\r\n", to);
	put_text_header(out, "Subject", message->subject);
	fprintf(out, "Message-ID: <%s@%s>\r\n", n->id, sender->domain);
	fputs("MIME-Version: 1.0\r\n"
	      "Auto-Submitted: auto-generated\r\n"
	      "X-Auto-Response-Suppress: All\r\n",
	      out);
	if (message->html == NULL)
		put_part(out, "text/plain", message->text);
	else
	{
		/* No quoted-printable text has the two characters it starts with. */
		fprintf(out,
		        "Content-Type: multipart/alternative;\r\n"
		        " boundary=\"=_%s\"\r\n\r\n--=_%s\r\n",
		        n->id, n->id);
		put_part(out, "text/plain", message->text);
		fprintf(out, "\r\n--=_%s\r\n", n->id);
		put_part(out, "text/html", message->html);
		fprintf(out, "\r\n--=_%s--\r\n", n->id);
	}
	br_stream_close(out);
	return made;
}
