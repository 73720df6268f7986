/*
 * transfer.c
 *		A link's libcurl handle: what mail servers and webhooks have in common.
 *
 * One handle for one connection in one thread.  The connection is kept
 * between transfers; a transfer ends within a second of br_sink_abort.
 *
 * libcurl says good-bye to a mail server when it closes a connection, and
 * would wait for the answer of one that hangs.  So the sockets are known
 * here, and unless the farewell is to be polite they are shut down first.
 */
#include "ends.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than one: libcurl tries several addresses of a host. */
#define SOCKETS_MAX 16

struct BrTransfer
{
	BrSink *sink;
	CURL *easy;
	char error[CURL_ERROR_SIZE];
	curl_socket_t sockets[SOCKETS_MAX]; /* open ones */
	int nsockets;
};

static curl_socket_t
on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	BrTransfer *t = context;
	curl_socket_t fd = socket(address->family, address->socktype | SOCK_CLOEXEC,
	                          address->protocol);

	(void) purpose;
	if (fd == CURL_SOCKET_BAD)
		return fd;
	if (t->nsockets == SOCKETS_MAX)
	{
		close(fd);
		return CURL_SOCKET_BAD;
	}
	t->sockets[t->nsockets++] = fd;
	return fd;
}

static int
on_close(void *context, curl_socket_t fd)
{
	BrTransfer *t = context;
	int i;

	for (i = 0; i < t->nsockets; i++)
		if (t->sockets[i] == fd)
		{
			t->sockets[i] = t->sockets[--t->nsockets];
			break;
		}
	return close(fd);
}

static int
on_progress(void *context, curl_off_t down, curl_off_t downloaded,
            curl_off_t up, curl_off_t uploaded)
{
	const BrTransfer *t = context;

	(void) down;
	(void) downloaded;
	(void) up;
	(void) uploaded;
	return br_sink_aborted(t->sink);
}

void *
br_transfer_begin(BrTransfer *t)
{
	const BrOptions *options = t->sink->options;
	const BrUrl *url = &t->sink->url;
	CURL *easy = t->easy;

	curl_easy_reset(easy);
	t->error[0] = '\0';
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, t);
	curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 1L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (options->ca_file)
	{
		curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (options->insecure_tls)
	{
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	if (url->user)
	{
		curl_easy_setopt(easy, CURLOPT_USERNAME, url->user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD,
		                 url->password ? url->password : "");
	}
	return easy;
}

BrTransfer *
br_transfer_make(BrSink *sink, BrFault *fault)
{
	BrTransfer *t = br_alloc(sizeof(*t));

	t->sink = sink;
	t->easy = curl_easy_init();
	if (t->easy != NULL)
		return t;
	free(t);
	br_fault_set(fault, BR_KIND_INTERNAL, "libcurl: out of memory");
	return NULL;
}

void
br_transfer_free(BrTransfer *t, bool politely)
{
	int i;

	if (t == NULL)
		return;
	for (i = 0; !politely && i < t->nsockets; i++)
		(void) shutdown(t->sockets[i], SHUT_RDWR);
	/* A second for the good-bye. */
	curl_easy_setopt(t->easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, 1L);
	curl_easy_cleanup(t->easy);
	free(t);
}

void *
br_transfer_handle(BrTransfer *t)
{
	return t->easy;
}

int
br_transfer_perform(BrTransfer *t)
{
	return (int) curl_easy_perform(t->easy);
}

bool
br_transfer_fault(const BrTransfer *t, int code, BrFault *fault)
{
	BrKind kind = BR_KIND_UNREACHABLE;

	switch ((CURLcode) code)
	{
		case CURLE_LOGIN_DENIED:
			kind = BR_KIND_LOGIN;
			break;
		case CURLE_PEER_FAILED_VERIFICATION:
		case CURLE_SSL_CONNECT_ERROR:
		case CURLE_SSL_CACERT_BADFILE:
		case CURLE_SSL_CERTPROBLEM:
		case CURLE_SSL_CIPHER:
		case CURLE_SSL_ISSUER_ERROR:
		case CURLE_SSL_ENGINE_INITFAILED:
		case CURLE_USE_SSL_FAILED:
			kind = BR_KIND_TLS;
			break;
		case CURLE_OUT_OF_MEMORY:
			kind = BR_KIND_INTERNAL;
			break;
		default:
			break;
	}
	return br_fault_set(fault, kind, "%s: %s", t->sink->url.name,
	                    t->error[0] ? t->error
	                                : curl_easy_strerror((CURLcode) code));
}
