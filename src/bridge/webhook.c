/*
 * webhook.c
 *		POSTs to one URL, signed as the Standard Webhooks specification says.
 *
 * webhook-id is the notification's id on every try, webhook-timestamp the
 * time of this try, webhook-signature one "v1," signature for each key of
 * webhook-secret-file (several while keys are being changed): HMAC-SHA256
 * over "id.timestamp.body".  The body's "type" is the kind and its "data"
 * the notification, with the rendered texts as "message".
 *
 * 2xx delivers.  4xx refuses for good, but for 408 and 425; so does a
 * redirect, which is not followed: what is in the body is for this URL
 * only.  429, 502, 503 and 504 say that the hook itself is not well, so it
 * rests.  Other answers are worth another try.
 */
#include "bridge.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_MAX    4
#define KEY_LEAST   24
#define KEY_MOST    64
#define PREFIX      "whsec_"
#define LINE_LENGTH 256

typedef struct Key
{
	unsigned char bytes[KEY_MOST];
	size_t length;
} Key;

typedef struct Webhook
{
	BrTransfers *transfers;
	char *url; /* without login */
	Key keys[KEYS_MAX];
	int nkeys;
} Webhook;

/* One request on its way. */
typedef struct Request
{
	char *body;
	struct curl_slist *headers;
} Request;

static void
webhook_close(BrSink *sink)
{
	Webhook *hook = sink->state;

	if (hook == NULL)
		return;
	br_transfers_free(hook->transfers);
	free(hook->url);
	OPENSSL_cleanse(hook->keys, sizeof(hook->keys));
	free(hook);
	sink->state = NULL;
}

/* base64, with the padding that belongs there, after an optional prefix. */
static bool
decode_key(Key *key, const char *text)
{
	unsigned char raw[LINE_LENGTH];
	size_t length;
	int n;
	bool good;

	if (strncmp(text, PREFIX, strlen(PREFIX)) == 0)
		text += strlen(PREFIX);
	length = strlen(text);
	n = EVP_DecodeBlock(raw, (const unsigned char *) text, (int) length);
	if (n > 0 && length % 4 == 0)
		n -= (text[length - 1] == '=') + (text[length - 2] == '=');
	good = n >= KEY_LEAST && n <= KEY_MOST;
	if (good)
	{
		memcpy(key->bytes, raw, (size_t) n);
		key->length = (size_t) n;
	}
	OPENSSL_cleanse(raw, sizeof(raw));
	return good;
}

static bool
read_keys(Webhook *hook, const char *path, BrFault *fault)
{
	FILE *in = fopen(path, "r");
	char line[LINE_LENGTH];
	bool good = true;
	int number = 0;

	if (in == NULL)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "webhook-secret-file: cannot read %s: %s", path,
		                    strerror(errno));
	while (good && fgets(line, sizeof(line), in))
	{
		number++;
		line[strcspn(line, " \t\r\n")] = '\0';
		if (line[0] == '\0')
			continue;
		good = hook->nkeys < KEYS_MAX &&
		       decode_key(&hook->keys[hook->nkeys], line);
		hook->nkeys += good;
	}
	OPENSSL_cleanse(line, sizeof(line));
	fclose(in);
	if (!good || hook->nkeys == 0)
		return br_fault_set(fault, BR_KIND_USAGE,
		                    "webhook-secret-file: %s:%d: expected up to %d "
		                    "keys whsec_BASE64 of %d to %d bytes",
		                    path, number, KEYS_MAX, KEY_LEAST, KEY_MOST);
	return true;
}

bool
br_webhook_prepare(BrSink *sink, BrFault *fault)
{
	Webhook *hook = br_alloc(sizeof(*hook));
	CURLU *parts;
	char *url = NULL;

	sink->state = hook;
	if (sink->options->webhook_secret_file == NULL)
	{
		br_fault_set(fault, BR_KIND_USAGE,
		             "%s: a webhook is signed, give --webhook-secret-file",
		             sink->url.name);
		webhook_close(sink);
		return false;
	}
	if (!read_keys(hook, sink->options->webhook_secret_file, fault))
	{
		webhook_close(sink);
		return false;
	}
	parts = curl_url();
	if (parts &&
	    curl_url_set(parts, CURLUPART_URL, sink->url.text, 0) == CURLUE_OK)
	{
		curl_url_set(parts, CURLUPART_USER, NULL, 0);
		curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
		curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0);
		curl_url_get(parts, CURLUPART_URL, &url, 0);
	}
	hook->url = br_copy(url);
	curl_free(url);
	curl_url_cleanup(parts);
	if (hook->url != NULL)
		return true;
	webhook_close(sink);
	br_fault_set(fault, BR_KIND_USAGE, "not a URL that can be read");
	return false;
}

/* The value of webhook-signature for this body. */
static char *
sign(const Webhook *hook, const char *id, const char *timestamp,
     const char *body)
{
	char *signed_text = br_format("%s.%s.%s", id, timestamp, body);
	char *result;
	size_t length;
	FILE *out = br_stream_open(&result, &length);
	int i;

	for (i = 0; i < hook->nkeys; i++)
	{
		unsigned char mac[EVP_MAX_MD_SIZE];
		unsigned char base64[EVP_MAX_MD_SIZE * 2];
		unsigned int n = 0;

		HMAC(EVP_sha256(), hook->keys[i].bytes, (int) hook->keys[i].length,
		     (const unsigned char *) signed_text, strlen(signed_text), mac, &n);
		EVP_EncodeBlock(base64, mac, (int) n);
		fprintf(out, "%sv1,%s", i ? " " : "", base64);
	}
	br_stream_close(out);
	br_free_secret(signed_text);
	return result;
}

/* The body, or NULL after judging a notification that has no template. */
static char *
make_body(const BrSink *sink, BrNotification *n)
{
	json_t *data = json_copy(n->body);
	json_t *whole;
	BrMessage message;
	BrFault fault;
	char *text = NULL;

	if (br_templates_render(sink->templates, n, &message, &fault))
	{
		json_object_set_new(data, "message",
		                    json_pack("{s:s, s:s, s:s*, s:s*}", "subject",
		                              message.subject, "text", message.text,
		                              "html", message.html, "sms",
		                              message.sms));
		br_message_free(&message);
		whole = json_pack("{s:s, s:s, s:O}", "type", n->kind, "timestamp",
		                  n->created_at, "data", data);
		text = json_dumps(whole, JSON_COMPACT);
		json_decref(whole);
	}
	else
		br_notification_judge(n, BR_REFUSED, "%s", fault.text);
	json_decref(data);
	return text;
}

static void
request_free(Request *request)
{
	br_free_secret(request->body);
	curl_slist_free_all(request->headers);
	free(request);
}

static bool
add_header(Request *request, char *line)
{
	struct curl_slist *longer = curl_slist_append(request->headers, line);

	free(line);
	if (longer != NULL)
		request->headers = longer;
	return longer != NULL;
}

/* What the hook answers is of no interest but for its status. */
static size_t
discard(char *data, size_t size, size_t n, void *context)
{
	(void) data;
	(void) context;
	return size * n;
}

static bool
deliver_begin(BrSink *sink, BrTransfer *transfer)
{
	const Webhook *hook = sink->state;
	BrNotification *n = transfer->n;
	Request *request;
	char timestamp[32];
	char *signature;
	bool good;

	if (!br_notification_addressable(n))
	{
		br_notification_judge(n, BR_REFUSED,
		                      "the recipient is no address of channel %s",
		                      n->channel);
		return false;
	}
	request = br_alloc(sizeof(*request));
	request->body = make_body(sink, n);
	if (request->body == NULL)
	{
		request_free(request);
		return false;
	}
	snprintf(timestamp, sizeof(timestamp), "%lld", (long long) time(NULL));
	signature = sign(hook, n->id, timestamp, request->body);
	good = add_header(request, br_copy("Content-Type: application/json")) &&
	       add_header(request, br_copy("Expect:")) &&
	       add_header(request, br_format("webhook-id: %s", n->id)) &&
	       add_header(request, br_format("webhook-timestamp: %s", timestamp)) &&
	       add_header(request, br_format("webhook-signature: %s", signature));
	free(signature);
	if (!good)
	{
		br_notification_judge(n, BR_DEFERRED, "out of memory");
		request_free(request);
		return false;
	}
	transfer->detail = request;
	curl_easy_setopt(transfer->easy, CURLOPT_URL, hook->url);
	curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDS, request->body);
	curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(transfer->easy, CURLOPT_WRITEFUNCTION, discard);
	curl_easy_setopt(transfer->easy, CURLOPT_USERAGENT,
	                 "auth-session-bridge/" BR_VERSION);
	return true;
}

static bool
deliver_end(BrSink *sink, BrTransfer *transfer, BrFault *fault)
{
	BrNotification *n = transfer->n;
	long status = transfer->status;
	bool good = true;

	request_free(transfer->detail);
	if (transfer->result == CURLE_OK && status >= 200 && status < 300)
		n->outcome = BR_DELIVERED;
	else if (transfer->result != CURLE_OK || status == 429 || status == 502 ||
	         status == 503 || status == 504)
	{
		if (transfer->result == CURLE_OK)
			good = br_fault_set(fault, BR_KIND_UNREACHABLE, "%s answers %ld",
			                    sink->url.name, status);
		else
			good = br_transfer_fault(sink, transfer, fault);
		/* Once per outage the notification is suspected; see smtp.c. */
		if (sink->rest.failures == 0 && fault->kind == BR_KIND_UNREACHABLE &&
		    transfer->result != CURLE_COULDNT_CONNECT &&
		    transfer->result != CURLE_COULDNT_RESOLVE_HOST)
			br_notification_judge(n, BR_DEFERRED, "%.140s", fault->text);
	}
	else
		br_notification_judge(n,
		                      status < 500 && status != 408 && status != 425
		                          ? BR_REFUSED
		                          : BR_DEFERRED,
		                      "%s answers %ld", sink->url.name, status);
	return good;
}

/* A connection, with its certificate looked at; nothing is sent. */
static bool
check_begin(BrSink *sink, BrTransfer *transfer)
{
	const Webhook *hook = sink->state;

	curl_easy_setopt(transfer->easy, CURLOPT_URL, hook->url);
	curl_easy_setopt(transfer->easy, CURLOPT_CONNECT_ONLY, 1L);
	return true;
}

static bool
check_end(BrSink *sink, BrTransfer *transfer, BrFault *fault)
{
	return transfer->result == CURLE_OK ||
	       br_transfer_fault(sink, transfer, fault);
}

static bool
webhook_open(BrSink *sink, BrFault *fault)
{
	Webhook *hook = sink->state;

	if (hook == NULL && !br_webhook_prepare(sink, fault))
		return false;
	hook = sink->state;
	hook->transfers = br_transfers_make(sink);
	if (hook->transfers == NULL)
		return br_fault_set(fault, BR_KIND_INTERNAL, "libcurl: out of memory");
	return br_transfers_run(hook->transfers, NULL, 0, check_begin, check_end,
	                        sink, fault);
}

static bool
webhook_deliver(BrSink *sink, BrNotification **batch, size_t n, BrFault *fault)
{
	Webhook *hook = sink->state;

	return br_transfers_run(hook->transfers, batch, n, deliver_begin,
	                        deliver_end, sink, fault);
}

const BrSinkMethods br_webhook_methods = {webhook_open, webhook_deliver, NULL,
                                          webhook_close};
