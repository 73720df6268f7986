/*
 * transfer.c
 *		Several libcurl transfers at once, over connections that are kept.
 *
 * Mail servers and webhooks answer after milliseconds to seconds, so one
 * after the other would be slow.  A pool holds as many handles as there may
 * be connections; libcurl keeps the connections between runs.  Once the
 * sink itself has failed no further transfer is begun, and those under way
 * end as they can.
 *
 * libcurl says good-bye to a mail server when it closes a connection, and
 * would wait two minutes for the answer of one that hangs.  So the sockets
 * are known here, and those of a sink that failed are shut down first.
 */
#include "bridge.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* More than connections: libcurl tries several addresses of a host. */
#define SOCKETS_MAX 256

struct BrTransfers
{
	CURLM *multi;
	int n;
	CURL *easies[64];
	BrTransfer slots[64];
	bool busy[64];
	bool failed;
	curl_socket_t sockets[SOCKETS_MAX]; /* open ones */
	int nsockets;
};

static curl_socket_t
on_open(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
	BrTransfers *t = context;
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
	BrTransfers *t = context;
	int i;

	for (i = 0; i < t->nsockets; i++)
		if (t->sockets[i] == fd)
		{
			t->sockets[i] = t->sockets[--t->nsockets];
			break;
		}
	return close(fd);
}

BrTransfers *
br_transfers_make(const BrSink *sink)
{
	BrTransfers *t = br_alloc(sizeof(*t));

	t->n = sink->options->connections;
	t->multi = curl_multi_init();
	if (t->multi == NULL)
	{
		free(t);
		return NULL;
	}
	curl_multi_setopt(t->multi, CURLMOPT_MAXCONNECTS, (long) t->n);
	return t;
}

void
br_transfers_free(BrTransfers *t)
{
	int i;

	if (t == NULL)
		return;
	for (i = 0; t->failed && i < t->nsockets; i++)
		(void) shutdown(t->sockets[i], SHUT_RDWR);
	for (i = 0; i < t->n; i++)
		if (t->easies[i])
			curl_easy_cleanup(t->easies[i]);
	curl_multi_cleanup(t->multi);
	free(t);
}

/* What every transfer to this sink has in common. */
static void
prepare(BrTransfers *t, const BrSink *sink, CURL *easy, BrTransfer *transfer)
{
	const BrOptions *options = sink->options;

	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long) options->timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, (long) options->timeout);
	curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT,
	                 (long) options->timeout);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
	curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, t);
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
	if (sink->url.user)
	{
		curl_easy_setopt(easy, CURLOPT_USERNAME, sink->url.user);
		curl_easy_setopt(easy, CURLOPT_PASSWORD,
		                 sink->url.password ? sink->url.password : "");
	}
}

/* A delivery that could outlast its lease is left to whoever claims next. */
static bool
in_time(const BrSink *sink, const BrNotification *n)
{
	return n == NULL || n->lease_end == 0 ||
	       br_clock_now() + sink->options->timeout * 1000 < n->lease_end;
}

/* Begin the next transfer in a free slot; false where there was no need. */
static bool
start(BrTransfers *t, BrSink *sink, BrNotification *n,
      bool (*begin)(BrSink *, BrTransfer *))
{
	BrTransfer *transfer;
	int i = 0;

	while (t->busy[i])
		i++;
	transfer = &t->slots[i];
	memset(transfer, 0, sizeof(*transfer));
	transfer->n = n;
	if (t->easies[i] == NULL)
		t->easies[i] = curl_easy_init();
	if (t->easies[i] == NULL || !in_time(sink, n))
		return false;
	transfer->easy = t->easies[i];
	curl_easy_reset(t->easies[i]);
	prepare(t, sink, t->easies[i], transfer);
	if (!begin(sink, transfer))
		return false;
	t->busy[i] = true;
	curl_multi_add_handle(t->multi, t->easies[i]);
	return true;
}

/* Take the ended ones out; returns how many, *failed where the sink did. */
static int
reap(BrTransfers *t, BrSink *sink,
     bool (*end)(BrSink *, BrTransfer *, BrFault *), bool *failed,
     BrFault *fault)
{
	CURLMsg *message;
	int ended = 0;
	int left;

	while ((message = curl_multi_info_read(t->multi, &left)) != NULL)
	{
		char *private = NULL;
		BrTransfer *transfer;
		BrFault mine;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		transfer = (BrTransfer *) private;
		transfer->result = (int) message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_RESPONSE_CODE,
		                  &transfer->status);
		curl_multi_remove_handle(t->multi, message->easy_handle);
		if (!end(sink, transfer, &mine) && !*failed)
		{
			*failed = true;
			*fault = mine;
		}
		t->busy[transfer - t->slots] = false;
		ended++;
	}
	return ended;
}

bool
br_transfers_run(BrTransfers *t, BrNotification **batch, size_t count,
                 bool (*begin)(BrSink *, BrTransfer *),
                 bool (*end)(BrSink *, BrTransfer *, BrFault *), BrSink *sink,
                 BrFault *fault)
{
	size_t most = count > 0 ? count : 1;
	size_t next = 0;
	int active = 0;
	int running;
	bool failed = false;

	for (;;)
	{
		while (!failed && next < most && active < t->n)
		{
			if (start(t, sink, count > 0 ? batch[next] : NULL, begin))
				active++;
			next++;
		}
		if (active == 0)
			break;
		curl_multi_perform(t->multi, &running);
		active -= reap(t, sink, end, &failed, fault);
		if (active > 0 && running > 0)
			curl_multi_poll(t->multi, NULL, 0, 1000, NULL);
	}
	t->failed = failed;
	return !failed;
}

bool
br_transfer_fault(const BrSink *sink, const BrTransfer *transfer,
                  BrFault *fault)
{
	BrKind kind = BR_KIND_UNREACHABLE;

	switch ((CURLcode) transfer->result)
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
	return br_fault_set(fault, kind, "%s: %s", sink->url.name,
	                    transfer->error[0]
	                        ? transfer->error
	                        : curl_easy_strerror((CURLcode) transfer->result));
}
