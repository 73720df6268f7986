/*
 * bridge.c: what the bridge reads of strangers: messages of a queue, values
 * in templates, templates, URLs.
 *
 * The first byte chooses what the rest is. What the files promise is
 * asserted: a value never adds markup to HTML, a line to a header or a
 * character to a URL; a message that is taken has an id and a kind that can
 * stand in a header and a file's name; an address that is taken ends no
 * command.
 *
 * With FUZZ_MAIN it is a program that makes its inputs itself: ROUNDS SEED.
 */
#include "../../src/bridge/message.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 8192

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool condition, const char *what, const char *text)
{
	if (condition)
		return;
	fprintf(stderr, "not so: %s: \"%s\"\n", what, text);
	abort();
}

static const char *
only_value(void *context, const char *name)
{
	(void) name;
	return *(const char *) context ? context : NULL;
}

static size_t
count(const char *text, const char *set)
{
	size_t n = 0;

	for (; *text; text++)
		n += strchr(set, *text) != NULL;
	return n;
}

static bool
has_control(const char *text)
{
	for (; *text; text++)
		if ((unsigned char) *text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static void
render_value(char *value)
{
	char *why = NULL;
	char *html = br_render("<a href=\"{{v}}\" id='{{v}}'>{{v}}</a>",
	                       BR_ESCAPE_HTML, only_value, value, &why);
	char *header =
	    br_render("Hi {{v}}", BR_ESCAPE_HEADER, only_value, value, &why);
	char *text = br_render("{{v}}", BR_ESCAPE_TEXT, only_value, value, &why);
	char *url = br_render("{{v}}", BR_ESCAPE_URL, only_value, value, &why);

	require(html && count(html, "<>\"'") == 8, "no markup of a value", value);
	require(header == NULL || !has_control(header), "no line in a header",
	        value);
	require(text && !has_control(text), "no line in a text", value);
	require(url && strspn(url, "abcdefghijklmnopqrstuvwxyz"
	                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                           "0123456789-._~%") == strlen(url),
	        "no character in a URL", value);
	free(html);
	free(header);
	free(text);
	free(url);
	free(why);
}

static void
render_template(char *template)
{
	static char value[] = "value";
	static char none[] = "";
	const char *bad = NULL;
	char *why = NULL;
	char *made;
	int line = 0;

	if (!br_render_check(template, NULL, NULL, &line, &bad))
	{
		require(bad != NULL && line > 0, "a reason and a line", template);
		return;
	}
	made = br_render(template, BR_ESCAPE_TEXT, only_value, value, &why);
	require(made != NULL, "a template that was passed renders", template);
	free(made);
	free(br_render(template, BR_ESCAPE_HTML, only_value, none, &why));
}

static void
take_message(const char *text, size_t size)
{
	static BrTemplates *templates;
	static BrOptions options = {.locale = "en", .link_path = "/{{link_token}}"};
	const char *why = NULL;
	BrNotification *n = br_notification_parse(text, size, &why);
	BrMessage message;
	BrFault fault;
	char mask[400];

	if (templates == NULL)
		templates = br_templates_load(&options, &fault);
	require(templates != NULL, "the built-in templates load", "");
	if (n == NULL)
	{
		require(why != NULL, "a reason", text);
		return;
	}
	require(strlen(n->id) == 36 && !has_control(n->id), "an id", n->id);
	require(!strpbrk(n->kind, "./\\ "), "a kind", n->kind);
	if (br_notification_addressable(n))
		require(!has_control(n->recipient) && !strpbrk(n->recipient, "<> ,"),
		        "an address", n->recipient);
	br_notification_mask(n, mask, sizeof(mask));
	if (br_templates_render(templates, n, &message, &fault))
	{
		require(!has_control(message.subject), "a subject of one line",
		        message.subject);
		br_message_free(&message);
	}
	br_free_secret(br_notification_print(n));
	br_notification_free(n);
}

static void
take_url(const char *text)
{
	BrUrl url;
	BrFault fault;

	if (br_url_parse(&url, text, &fault))
	{
		require(url.scheme && url.name, "a scheme and a name", text);
		require(!url.password || strlen(url.password) < 6 ||
		            !strstr(url.name, url.password) ||
		            strstr(url.host ? url.host : "", url.password),
		        "no password in the name", text);
	}
	else
		require(fault.kind == BR_KIND_USAGE && *fault.text, "a reason", text);
	br_url_free(&url);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[TEXT_MAX];

	if (size < 1 || size > TEXT_MAX)
		return 0;
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4)
	{
		case 0:
			render_value(text);
			break;
		case 1:
			render_template(text);
			break;
		case 2:
			take_message(text, size - 1);
			break;
		default:
			take_url(text);
			break;
	}
	return 0;
}

#ifdef FUZZ_MAIN

/* Pieces that get further than random bytes. */
static const char *const pieces[] = {
    "{{",
    "}}",
    "{{#a}}",
    "{{/a}}",
    "{{^a}}",
    "{{a}}",
    "a",
    "<",
    "'",
    "\"",
    "&",
    "\r\n",
    "\xc2\x85",
    "\xe2\x80\xa8",
    "\xff",
    "\\u0000",
    "amqp://",
    "smtp://",
    "file:",
    "https://",
    "u:secret99@",
    "host",
    ":5672",
    "/",
    "?queue=x",
    "&declare=no",
    "%00",
    "[::1]",
    "{\"id\":\"00000000-0000-4000-8000-000000000000\",\"kind\":\"new_signin\","
    "\"channel\":\"email\",\"recipient\":\"a@b\",\"created_at\":\"x\","
    "\"payload\":{\"ip\":\"",
    "\"}}",
    "\",\"locale\":\"de",
    "\",\"code\":\"1",
    "@",
    " ",
    "\n"};

int
main(int argc, char **argv)
{
	long rounds = argc > 1 ? atol(argv[1]) : 1000;
	long i;

	srandom(argc > 2 ? (unsigned) atol(argv[2]) : 1);
	for (i = 0; i < rounds; i++)
	{
		char text[TEXT_MAX];
		size_t length = 1;
		long n = random() % 24;

		text[0] = (char) (random() % 4);
		while (n-- > 0)
		{
			const char *piece =
			    pieces[(size_t) random() % (sizeof(pieces) / sizeof(*pieces))];
			size_t more = strlen(piece);

			if (length + more >= sizeof(text))
				break;
			memcpy(text + length, piece, more);
			length += more;
			if (random() % 4 == 0 && length + 1 < sizeof(text))
				text[length++] = (char) random();
		}
		LLVMFuzzerTestOneInput((const uint8_t *) text, length);
	}
	printf("%ld inputs\n", rounds);
	return 0;
}

#endif
