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
 * 2xx delivers.  What follows depends on whom an answer is about:
 *
 *		400, 413, 422		this notification: it is refused for good
 *		408, 425, 5xx		nobody knows: it is worth another try
 *		all else			the hook, for every notification alike (moved, gone,
 *							another key, too many): it rests, nobody is blamed,
 *							for as long as Retry-After asks (RFC 9110, section
 *							10.2.3; an hour at most)
 *
 * A redirect is not followed: what is in the body is for this URL only.  Of
 * an answer only status and Retry-After count; its body is read as far as
 * keeps the connection, and no longer.
 */
#include "ends.h"

#include <curl/curl.h>
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

/* Of an answer's body, and of the time that it may take. */
#define ANSWER_MOST         65536
#define ANSWER_MILLISECONDS 2000
/* Seconds that a hook may ask to be left alone. */
#define RETRY_AFTER_MOST 3600

typedef struct Key
{
	unsigned char bytes[KEY_MOST];
	size_t length;
} Key;

typedef struct Webhook
{
	char *url; /* without login */
	Key keys[KEYS_MAX];
	int nkeys;
} Webhook;

/* One request on its way. */
typedef struct Request
{
	BrSink *sink;
	char *body;
	struct curl_slist *headers;
	CURL *easy;
	size_t answered;  /* bytes of its answer's body */
	int64_t deadline; /* br_clock_now's scale, of the answer's body; 0: none */
} Request;

static void
webhook_forget(BrSink *sink)
{
	Webhook *hook = sink->shared;

	if (hook == NULL)
		return;
	free(hook->url);
	OPENSSL_cleanse(hook->keys, sizeof(hook->keys));
	free(hook);
	sink->shared = NULL;
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
	FILE *in = br_open_private(path, "webhook-secret-file", fault);
	char line[LINE_LENGTH];
	bool good = true;
	int number = 0;

	if (in == NULL)
		return false;
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

/* The URL as libcurl gets it: without login and fragment. */
static char *
bare_url(const char *text)
{
	CURLU *parts = curl_url();
	char *url = NULL;
	char *copy;

	if (parts && curl_url_set(parts, CURLUPART_URL, text, 0) == CURLUE_OK)
	{
		curl_url_set(parts, CURLUPART_USER, NULL, 0);
		curl_url_set(parts, CURLUPART_PASSWORD, NULL, 0);
		curl_url_set(parts, CURLUPART_FRAGMENT, NULL, 0);
		curl_url_get(parts, CURLUPART_URL, &url, 0);
	}
	copy = br_copy(url);
	curl_free(url);
	curl_url_cleanup(parts);
	return copy;
}

static bool
webhook_prepare(BrSink *sink, BrFault *fault)
{
	Webhook *hook = br_alloc(sizeof(*hook));

	sink->shared = hook;
	sink->need = sink->options->timeout * 1000;
	if (sink->options->webhook_secret_file == NULL)
		return br_fault_set(
		    fault, BR_KIND_USAGE,
		    "%s: a webhook is signed, give --webhook-secret-file",
		    sink->url.name);
	if (!read_keys(hook, sink->options->webhook_secret_file, fault))
		return false;
	hook->url = bare_url(sink->url.text);
	return hook->url != NULL ||
	       br_fault_set(fault, BR_KIND_USAGE, "not a URL that can be read");
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
request_clear(Request *request)
{
	br_free_secret(request->body);
	curl_slist_free_all(request->headers);
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

/* False after judging a notification that cannot be posted. */
static bool
request_make(Request *request, BrSink *sink, BrNotification *n)
{
	const Webhook *hook = sink->shared;
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
	request->sink = sink;
	request->body = make_body(sink, n);
	if (request->body == NULL)
		return false;
	snprintf(timestamp, sizeof(timestamp), "%lld", (long long) time(NULL));
	signature = sign(hook, n->id, timestamp, request->body);
	good = add_header(request, br_copy("Content-Type: application/json")) &&
	       add_header(request, br_copy("Expect:")) &&
	       add_header(request, br_format("webhook-id: %s", n->id)) &&
	       add_header(request, br_format("webhook-timestamp: %s", timestamp)) &&
	       add_header(request, br_format("webhook-signature: %s", signature));
	free(signature);
	if (!good)
		br_notification_judge(n, BR_DEFERRED, "out of memory");
	return good;
}

/* The body of the answer: no more of it than keeps the connection. */
static size_t
on_body(char *data, size_t size, size_t n, void *context)
{
	Request *request = context;

	(void) data;
	request->answered += size * n;
	return request->answered > ANSWER_MOST ? CURL_WRITEFUNC_ERROR : size * n;
}

/* Ends it when the sink does, and a body that drips. */
static int
on_progress(void *context, curl_off_t down, curl_off_t downloaded,
            curl_off_t up, curl_off_t uploaded)
{
	Request *request = context;
	long status = 0;

	(void) down;
	(void) downloaded;
	(void) up;
	(void) uploaded;
	curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status >= 200 && request->deadline == 0)
		request->deadline = br_clock_now() + ANSWER_MILLISECONDS;
	return br_sink_aborted(request->sink) ||
	       (request->deadline > 0 && br_clock_now() >= request->deadline);
}

static long
request_perform(Request *request, BrLink *link, int *code)
{
	const Webhook *hook = link->sink->shared;
	CURL *easy = br_transfer_begin(link->state);
	long status = 0;

	request->easy = easy;
	curl_easy_setopt(easy, CURLOPT_URL, hook->url);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT,
	                 (long) link->sink->options->timeout);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT,
	                 (long) link->sink->options->timeout);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(easy, CURLOPT_XFERINFODATA, request);
	curl_easy_setopt(easy, CURLOPT_USERAGENT,
	                 "auth-session-bridge/" BR_VERSION);
	*code = br_transfer_perform(link->state);
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	/* What was not the final answer is none. */
	return status >= 200 ? status : 0;
}

/* The hook as a whole answers so, or not at all. */
static bool
hook_fault(const Request *request, BrLink *link, long status, int code,
           BrFault *fault)
{
	curl_off_t after = 0;

	if (status == 0)
		return br_transfer_fault(link->state, code, fault);
	br_fault_set(fault,
	             status == 401 || status == 403 ? BR_KIND_LOGIN
	                                            : BR_KIND_UNREACHABLE,
	             "%s answers %ld", link->sink->url.name, status);
	curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &after);
	if (after > RETRY_AFTER_MOST)
		after = RETRY_AFTER_MOST;
	fault->rest = (int64_t) after * 1000;
	return false;
}

static bool
webhook_deliver(BrLink *link, BrNotification **batch, size_t count,
                BrFault *fault)
{
	BrNotification *n = batch[0];
	Request request;
	long status;
	int code;
	bool good = true;

	(void) count;
	memset(&request, 0, sizeof(request));
	if (!request_make(&request, link->sink, n))
	{
		request_clear(&request);
		return true;
	}
	status = request_perform(&request, link, &code);
	if (status / 100 == 2)
		n->outcome = BR_DELIVERED;
	else if (status == 400 || status == 413 || status == 422)
		br_notification_judge(n, BR_REFUSED, "%s answers %ld",
		                      link->sink->url.name, status);
	else if (status == 408 || status == 425 ||
	         (status >= 500 && status != 502 && status != 503 && status != 504))
		br_notification_judge(n, BR_DEFERRED, "%s answers %ld",
		                      link->sink->url.name, status);
	else
	{
		good = hook_fault(&request, link, status, code, fault);
		if (status == 0 && code != CURLE_COULDNT_CONNECT &&
		    code != CURLE_COULDNT_RESOLVE_HOST)
			br_sink_suspect(link->sink, n, fault);
	}
	request_clear(&request);
	return good;
}

static void
webhook_close(BrLink *link)
{
	br_transfer_free(link->state, true);
	link->state = NULL;
}

/* A connection, with its certificate looked at; nothing is sent. */
static bool
webhook_open(BrLink *link, BrFault *fault)
{
	const Webhook *hook = link->sink->shared;
	CURL *easy;
	int code;

	link->state = br_transfer_make(link->sink, fault);
	if (link->state == NULL)
		return false;
	easy = br_transfer_begin(link->state);
	curl_easy_setopt(easy, CURLOPT_URL, hook->url);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT,
	                 (long) link->sink->options->timeout);
	curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
	code = br_transfer_perform(link->state);
	return code == CURLE_OK || br_transfer_fault(link->state, code, fault);
}

const BrSinkMethods br_webhook_methods = {
    webhook_prepare, webhook_forget, webhook_open,
    webhook_deliver, NULL,           webhook_close};
