/*
 * url.c
 *		Destinations and sources as URLs.
 *
 * libcurl's URL parser does the parsing, for amqp and smtp too; what is ours
 * is the table of schemes, with the options that each one knows.  An unknown
 * option is an error, not a surprise later.  Error texts name the scheme and
 * the host, never the part that may hold a password.
 */
#include "basics.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

typedef struct Scheme
{
	const char *name;
	int port;
	const char *options; /* separated by spaces, with one at each end */
} Scheme;

#define AMQP_OPTIONS " exchange queue dead_letter declare heartbeat queue_type "

static const Scheme schemes[] = {
    {"amqp", 5672, AMQP_OPTIONS}, {"amqps", 5671, AMQP_OPTIONS},
    {"smtp", 25, " starttls "},   {"smtps", 465, " "},
    {"https", 443, NULL},         {"http", 80, NULL}};

static const Scheme *
find_scheme(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (strcmp(schemes[i].name, name) == 0)
			return &schemes[i];
	return NULL;
}

/* One part of the URL, copied out; NULL where it is absent or empty. */
static char *
take(CURLU *parts, CURLUPart which, unsigned flags)
{
	char *text = NULL;
	char *copy = NULL;

	if (curl_url_get(parts, which, &text, flags) == CURLUE_OK && text[0])
		copy = br_copy(text);
	curl_free(text);
	return copy;
}

/* Percent-decoding, refusing a NUL byte. */
static char *
decode(const char *text, size_t length)
{
	int n;
	char *raw = curl_easy_unescape(NULL, text, (int) length, &n);
	char *copy = NULL;

	if (raw != NULL && strlen(raw) == (size_t) n)
		copy = br_copy(raw);
	curl_free(raw);
	return copy;
}

static bool
parse_options(BrUrl *url, const Scheme *scheme, const char *query,
              BrFault *fault)
{
	const int most = (int) (sizeof(url->options) / sizeof(url->options[0]));
	const char *p = query;

	while (*p)
	{
		size_t n = strcspn(p, "&");
		const char *equals = memchr(p, '=', n);
		char *known;
		bool found;

		if (equals == NULL || equals == p || url->noptions == most)
			return br_fault_set(fault, BR_KIND_USAGE,
			                    "%s: options are written ?name=value&...",
			                    url->name);
		url->options[url->noptions].name = decode(p, (size_t) (equals - p));
		url->options[url->noptions].value =
		    decode(equals + 1, n - (size_t) (equals + 1 - p));
		url->noptions++;
		if (url->options[url->noptions - 1].name == NULL ||
		    url->options[url->noptions - 1].value == NULL)
			return br_fault_set(fault, BR_KIND_USAGE,
			                    "%s: bad percent-encoding in the options",
			                    url->name);
		known = br_format(" %s ", url->options[url->noptions - 1].name);
		found = strstr(scheme->options, known) != NULL;
		free(known);
		if (!found)
			return br_fault_set(fault, BR_KIND_USAGE,
			                    "%s: unknown option \"%.40s\" (known:%s)",
			                    url->name, url->options[url->noptions - 1].name,
			                    scheme->options);
		p += n;
		if (*p == '&')
			p++;
	}
	return true;
}

/* Scheme, host and port, and the name that they make; the scheme's row, or
 * NULL with the fault. */
static const Scheme *
take_server(BrUrl *url, CURLU *parts, BrFault *fault)
{
	const Scheme *scheme;
	char *port;
	size_t n;

	url->scheme = take(parts, CURLUPART_SCHEME, 0);
	scheme = url->scheme ? find_scheme(url->scheme) : NULL;
	if (scheme == NULL)
	{
		br_fault_set(fault, BR_KIND_USAGE,
		             "unknown scheme \"%.40s\" (known: amqp, amqps, smtp, "
		             "smtps, https, stdout, file)",
		             url->scheme ? url->scheme : "");
		return NULL;
	}
	url->host = take(parts, CURLUPART_HOST, 0);
	if (url->host == NULL)
	{
		br_fault_set(fault, BR_KIND_USAGE, "%s: the URL names no host",
		             url->scheme);
		return NULL;
	}
	n = strlen(url->host);
	if (url->host[0] == '[' && url->host[n - 1] == ']')
	{
		memmove(url->host, url->host + 1, n - 2);
		url->host[n - 2] = '\0';
	}
	port = take(parts, CURLUPART_PORT, 0);
	url->port = port ? atoi(port) : scheme->port;
	free(port);
	url->name =
	    br_format(strchr(url->host, ':') ? "%s://[%s]:%d" : "%s://%s:%d",
	              url->scheme, url->host, url->port);
	return scheme;
}

static bool
take_parts(BrUrl *url, CURLU *parts, BrFault *fault)
{
	const Scheme *scheme = take_server(url, parts, fault);
	char *query;
	bool good;

	if (scheme == NULL)
		return false;
	url->user = take(parts, CURLUPART_USER, CURLU_URLDECODE);
	url->password = take(parts, CURLUPART_PASSWORD, CURLU_URLDECODE);
	url->path = take(parts, CURLUPART_PATH, CURLU_URLDECODE);
	query = take(parts, CURLUPART_QUERY, 0);
	good = query == NULL || scheme->options == NULL ||
	       parse_options(url, scheme, query, fault);
	free(query);
	if (good && strcmp(url->scheme, "http") == 0 && !br_url_loopback(url))
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "%s: plain http goes to loopback only, use https",
		                    url->name);
	return good;
}

static bool
parse_network(BrUrl *url, BrFault *fault)
{
	CURLU *parts = curl_url();
	const char *authority = strstr(url->text, "://");
	bool good;

	/* libcurl forgives a third slash, and takes the path for the host. */
	if (parts != NULL && authority != NULL && authority[3] != '/' &&
	    curl_url_set(parts, CURLUPART_URL, url->text,
	                 CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS) == CURLUE_OK)
		good = take_parts(url, parts, fault);
	else
		good = br_fault_set(fault, BR_KIND_USAGE,
		                    "not a URL that can be read (expected "
		                    "SCHEME://[USER:PASSWORD@]HOST[:PORT]/...)");
	curl_url_cleanup(parts);
	return good;
}

bool
br_url_parse(BrUrl *url, const char *text, BrFault *fault)
{
	memset(url, 0, sizeof(*url));
	url->text = br_copy(text);
	if (strcmp(text, "stdout:") == 0)
	{
		url->scheme = br_copy("stdout");
		url->name = br_copy("stdout:");
		return true;
	}
	if (strncmp(text, "file:", 5) == 0)
	{
		const char *path = text + 5;

		/* file:///a/b is the same as file:/a/b. */
		if (strncmp(path, "///", 3) == 0)
			path += 2;
		if (*path == '\0')
			return br_fault_set(fault, BR_KIND_USAGE,
			                    "file: the URL names no path");
		url->scheme = br_copy("file");
		url->path = br_copy(path);
		url->name = br_format("file:%s", path);
		return true;
	}
	return parse_network(url, fault);
}

void
br_url_free(BrUrl *url)
{
	int i;

	br_free_secret(url->text);
	br_free_secret(url->password);
	free(url->scheme);
	free(url->user);
	free(url->host);
	free(url->path);
	free(url->name);
	for (i = 0; i < url->noptions; i++)
	{
		free(url->options[i].name);
		free(url->options[i].value);
	}
	memset(url, 0, sizeof(*url));
}

const char *
br_url_option(const BrUrl *url, const char *name, const char *fallback)
{
	int i;

	for (i = 0; i < url->noptions; i++)
		if (strcmp(url->options[i].name, name) == 0)
			return url->options[i].value;
	return fallback;
}

bool
br_url_loopback(const BrUrl *url)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (url->host == NULL || strcmp(url->host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, url->host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (inet_pton(AF_INET6, url->host, &v6) == 1)
		return IN6_IS_ADDR_LOOPBACK(&v6);
	return false;
}
