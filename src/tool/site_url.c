/*
 * site_url.c: whether a text can be the application's URL.
 *
 * What links are made of has to hold a path put behind it: an http(s) URL of
 * RFC 3986 with a host and no more than a port and a path, written as it goes
 * over the wire (a domain in A-labels, RFC 5890; a path percent-encoded). A
 * user, a query or a fragment would end up in the middle of the link, or in a
 * mail's subject.
 */
#include "tool/tool.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_MAX 253
#define PORT_MAX 65535

static bool
is_alphanumeric(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9');
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F');
}

/* RFC 3986 section 3.1: a scheme has no case. What follows it, or NULL. */
static const char *
behind_scheme(const char *url)
{
	if (strncasecmp(url, "https://", 8) == 0)
		return url + 8;
	if (strncasecmp(url, "http://", 7) == 0)
		return url + 7;
	return NULL;
}

/* An IPv6 address in brackets (RFC 3986 section 3.2.2); NULL for none. */
static const char *
behind_address(const char *at)
{
	const char *end = strchr(at, ']');
	char address[INET6_ADDRSTRLEN];
	struct in6_addr parsed;
	size_t length;

	if (end == NULL)
		return NULL;
	length = (size_t) (end - at - 1);
	if (length >= sizeof(address))
		return NULL;
	memcpy(address, at + 1, length);
	address[length] = '\0';
	return inet_pton(AF_INET6, address, &parsed) == 1 ? end + 1 : NULL;
}

/* A domain or an IPv4 address: labels, of which none is empty. */
static const char *
behind_domain(const char *at)
{
	const char *start = at;

	for (; is_alphanumeric(*at) || *at == '-' || *at == '_' || *at == '.'; at++)
		if (*at == '.' && (at == start || at[-1] == '.'))
			return NULL;
	return at > start && at - start <= HOST_MAX ? at : NULL;
}

/* A colon and a port, which need not be there; NULL for another number. */
static const char *
behind_port(const char *at)
{
	long port = 0;

	if (*at != ':')
		return at;
	for (at++; *at >= '0' && *at <= '9' && port <= PORT_MAX; at++)
		port = port * 10 + (*at - '0');
	return port > 0 && port <= PORT_MAX ? at : NULL;
}

/* RFC 3986 section 3.3, to the end of the text. */
static bool
is_path(const char *at)
{
	if (*at != '\0' && *at != '/')
		return false;
	for (; *at != '\0'; at++)
	{
		if (*at == '%' && !(is_hex(at[1]) && is_hex(at[2])))
			return false;
		if (!is_alphanumeric(*at) && strchr("/%-._~!$&'()*+,;=:@", *at) == NULL)
			return false;
	}
	return true;
}

/* Behind the host of a URL, scheme and all; NULL where there is none. */
static const char *
behind_host(const char *url)
{
	const char *at = behind_scheme(url);

	if (at == NULL)
		return NULL;
	return *at == '[' ? behind_address(at) : behind_domain(at);
}

bool
as_site_url_is_sound(const char *url)
{
	const char *at;

	if (strlen(url) > AS_SITE_URL_MAX)
		return false;
	at = behind_host(url);
	if (at != NULL)
		at = behind_port(at);
	return at != NULL && is_path(at);
}

bool
as_url_origin(const char *url, char out[AS_ORIGIN_ROOM])
{
	const char *end;
	size_t length;
	bool is_https;
	long port;

	if (!as_site_url_is_sound(url))
		return false;
	end = behind_host(url);
	length = (size_t) (end - url);
	for (size_t i = 0; i < length; i++)
		out[i] =
		    (char) (url[i] >= 'A' && url[i] <= 'Z' ? url[i] | 0x20 : url[i]);
	out[length] = '\0';
	is_https = strncmp(out, "https:", 6) == 0;
	port = *end == ':' ? strtol(end + 1, NULL, 10) : 0;
	if (port != 0 && port != (is_https ? 443 : 80))
		snprintf(out + length, AS_ORIGIN_ROOM - length, ":%ld", port);
	return true;
}
