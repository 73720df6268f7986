/*
 * request.c: what PostgREST, or a back end that speaks as it does, says of
 * the request: bearer token, client address, user agent, claims.
 *
 * All of it comes from the settings request.headers and request.jwt.claims,
 * which any caller can set. So a bearer token is only ever a claim that its
 * signature must bear out, and the forwarded address counts only where an
 * operator said, by auth_session.trusted_proxies, how many proxies stand
 * before us. There every request counts against some address: one that can't
 * be read counts as one and the same.
 *
 * A value counts only in the transaction that set it: one that was set for the
 * session would make the next client of a pool the last one. Which it was the
 * server knows: a setting has a stack of former values exactly while the
 * transaction could take its value back. (Not an assign hook: that is called
 * for a value that comes back, too.) Parallel workers get values without their
 * stacks, or with stacks of their own; so as soon as a parallel plan starts,
 * the leader hands its verdict over in auth_session.request_is_set.
 *
 * For row-level security the setting's text must not be fetched by name for
 * every row: at a backend's first use the setting is defined with an assign
 * hook that makes the context's generation grow. (Not earlier: a defined
 * setting reads '' and not NULL to applications.) In a parallel operation a
 * setting can be neither defined nor changed; there it is read by name.
 */
#include "service/service.h"

#include <arpa/inet.h>

#include "access/parallel.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

/*
 * PostgREST takes 50 KiB of headers, and a control character becomes six
 * characters of JSON.
 */
#define HEADERS_MAX_BYTES (6 * 51200 + 65536)

/* ---- the settings behind it ---- */

/* Grows with request.headers: what was read of them is stale then. */
static uint64 headers_version = 1;

static void
assign_headers(const char *newval, void *extra)
{
	headers_version++;
	as_context_changed();
}

static void
assign_claims(const char *newval, void *extra)
{
	as_context_changed();
}

/* A setting of PostgREST's, once defined. */
typedef struct Watched
{
	const char *name;
	int bit; /* in auth_session.request_is_set; 0: no context is of it */
	GucStringAssignHook assign;
	bool is_defined;
	char *value;
	struct config_generic *setting;
} Watched;

static Watched headers = {
    .name = "request.headers", .bit = 1, .assign = assign_headers};
static Watched jwt_claims = {
    .name = "request.jwt.claims", .bit = 2, .assign = assign_claims};
static Watched *const all_watched[] = {&headers, &jwt_claims};

/* Of these no context is made, and no worker asks. */
static Watched cookies = {.name = "request.cookies"};
static Watched method = {.name = "request.method"};
static Watched path = {.name = "request.path"};

/* The server's record of a setting; NULL where nobody has set it yet. */
static struct config_generic *
find_setting(const char *name)
{
	int count;
	struct config_generic **settings = as_guc_variables(count);
	struct config_generic *found = NULL;

	for (int i = 0; i < count && found == NULL; i++)
	{
		if (pg_strcasecmp(settings[i]->name, name) == 0)
			found = settings[i];
	}
	as_guc_variables_free(settings);
	return found;
}

static void
define(Watched *watched)
{
	DefineCustomStringVariable(watched->name,
	                           "Set by PostgREST for each request.", NULL,
	                           &watched->value, NULL, PGC_USERSET,
	                           GUC_NOT_IN_SAMPLE, NULL, watched->assign, NULL);
	watched->setting = find_setting(watched->name);
	watched->is_defined = true;
}

/*
 * Whether this transaction set the value. One of ALTER ROLE that a RESET
 * brought back is nobody's request. In a worker a stack says so only where a
 * function's SET clause made it: since 18 what the leader has is set there
 * within the worker's transaction, whenever that was.
 */
static bool
is_set_here(const Watched *watched)
{
	const struct config_generic *setting =
	    watched->is_defined ? watched->setting : find_setting(watched->name);

	if (setting != NULL && setting->stack != NULL &&
	    setting->source == PGC_S_SESSION &&
	    (!IsParallelWorker() || setting->stack->state == GUC_SAVE))
		return true;
	return IsParallelWorker() &&
	       (auth_session_request_is_set & watched->bit) != 0;
}

/* The value that counts; NULL where there is none, or "". */
static const char *
watched_value(Watched *watched)
{
	const char *value;

	if (!watched->is_defined && !IsInParallelMode())
		define(watched);
	value = watched->is_defined ? watched->value
	                            : GetConfigOption(watched->name, true, false);
	if (value == NULL || value[0] == '\0' || !is_set_here(watched))
		return NULL;
	return value;
}

const char *
as_request_jwt_claims(void)
{
	return watched_value(&jwt_claims);
}

bool
as_request_is_present(void)
{
	return watched_value(&headers) != NULL || watched_value(&method) != NULL;
}

bool
as_request_is_safe(void)
{
	static const char *const safe[] = {"GET", "HEAD", "OPTIONS", "TRACE"};
	const char *name = watched_value(&method);

	for (int i = 0; name != NULL && i < (int) lengthof(safe); i++)
	{
		if (strcmp(name, safe[i]) == 0)
			return true;
	}
	return false;
}

const char *
as_request_path(void)
{
	return watched_value(&path);
}

/* Not defined here: it is the application's, which reads NULL of it. */
const char *
as_request_response_headers(void)
{
	const char *value = GetConfigOption("response.headers", true, false);
	const struct config_generic *setting;

	if (value == NULL || value[0] == '\0')
		return NULL;
	setting = find_setting("response.headers");
	return setting->source == PGC_S_SESSION && setting->stack == NULL ? NULL
	                                                                  : value;
}

/* ---- for parallel workers ---- */

static ExecutorStart_hook_type next_executor_start = NULL;

/* A setting that nobody has set stays undefined. */
static void
hand_over(void)
{
	int is_set = 0;

	for (int i = 0; i < (int) lengthof(all_watched); i++)
	{
		if (GetConfigOption(all_watched[i]->name, true, false) != NULL &&
		    is_set_here(all_watched[i]))
			is_set |= all_watched[i]->bit;
	}
	if (is_set != auth_session_request_is_set)
		as_request_is_set_put(is_set);
}

static void
executor_start(QueryDesc *query, int flags)
{
	if (query->plannedstmt->parallelModeNeeded && !IsInParallelMode())
		hand_over();
	if (next_executor_start != NULL)
		next_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

void
as_request_init(void)
{
	next_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
}

/* ---- the parsed headers ---- */

typedef struct Parsed
{
	uint64 version; /* of the headers; 0: never */
	LocalTransactionId lxid;
	int trusted_proxies;
	MemoryContext memory;
	AsRequest request;
} Parsed;

static Parsed parsed;

static bool
is_blank(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * What follows a scheme, in any case (RFC 9110 11.1, RFC 6750 2.1), behind any
 * white space: PostgREST takes any. "" where nothing does; NULL is another
 * scheme.
 */
static const char *
credentials_of(const char *scheme, const char *authorization)
{
	while (is_blank(*authorization))
		authorization++;
	if (pg_strncasecmp(authorization, scheme, strlen(scheme)) != 0)
		return NULL;
	authorization += strlen(scheme);
	if (*authorization != '\0' && !is_blank(*authorization))
		return NULL;
	while (is_blank(*authorization))
		authorization++;
	return authorization;
}

/* Of two that differ none is the one: a bad one. */
static void
set_bearer(AsRequest *request, const char *authorization)
{
	const char *bearer =
	    authorization == NULL ? NULL : credentials_of("bearer", authorization);

	if (bearer == NULL)
		return;
	if (request->bearer != NULL && strcmp(request->bearer, bearer) != 0)
		bearer = "";
	request->bearer = pstrdup(bearer);
}

/* Of what is no API key nothing is said; of two that differ none is the one. */
static void
set_api_key(AsRequest *request, const char *text)
{
	if (text == NULL || !as_api_key_is_one(text))
		return;
	if (request->api_key != NULL && strcmp(request->api_key, text) != 0)
		text = AS_API_KEY_PREFIX;
	request->api_key = pstrdup(text);
}

/*
 * The user name of RFC 7617, in the caller's memory; the password is nothing to
 * us, a client that has one field for a secret puts the key before it.
 */
static void
set_basic(AsRequest *request, const char *credentials)
{
	size_t length = strlen(credentials);
	char *pair = palloc(length + 1);
	size_t decoded;

	if (as_base64_decode(credentials, length, pair, length, &decoded))
	{
		pair[decoded] = '\0';
		pair[strcspn(pair, ":")] = '\0';
		set_api_key(request, pair);
	}
	as_wipe(pair, length + 1);
	pfree(pair);
}

/* What an Authorization header is of: a bearer token, or an API key. */
static void
set_authorization(AsRequest *request, const char *text)
{
	const char *rest;

	set_bearer(request, text);
	if (text == NULL)
		return;
	if ((rest = credentials_of("token", text)) != NULL)
		set_api_key(request, rest);
	else if ((rest = credentials_of("basic", text)) != NULL)
		set_basic(request, rest);
}

static void
set_session_form(AsRequest *request, const char *text)
{
	request->wants_cookies = text != NULL && pg_strcasecmp(text, "cookie") == 0;
}

/* What can't be read is no page of anybody's. */
static void
set_fetch_site(AsRequest *request, const char *text)
{
	request->is_same_origin = text != NULL && strcmp(text, "same-origin") == 0;
}

static void
set_origin(AsRequest *request, const char *text)
{
	strlcpy(request->origin, text == NULL ? "" : text, sizeof(request->origin));
}

static void
set_user_agent(AsRequest *request, const char *text)
{
	if (text != NULL)
		strlcpy(request->user_agent,
		        as_display_text(text, strlen(text), AS_USER_AGENT_BYTES),
		        sizeof(request->user_agent));
}

/*
 * Whether the last four bytes of an IPv6 address are an IPv4 one: mapped (RFC
 * 4291 2.5.5.2), or under the prefix of NAT64 (RFC 6052 2.1), by which a
 * network that has IPv6 alone sees everybody else: by its /64 all of those were
 * one.
 */
static bool
holds_ipv4(const uint8 bytes[16])
{
	static const uint8 mapped[12] = {[10] = 0xff, [11] = 0xff};
	static const uint8 nat64[12] = {0x00, 0x64, 0xff, 0x9b};

	return memcmp(bytes, mapped, sizeof(mapped)) == 0 ||
	       memcmp(bytes, nat64, sizeof(nat64)) == 0;
}

/*
 * Canonical text and limit key of an address: an IPv4 address (also one in
 * IPv6) by its four bytes, an IPv6 one by its /64.
 */
static bool
read_address(const char *text, char canonical[AS_ADDRESS_CHARS + 1],
             uint8 key[AS_ADDRESS_KEY_BYTES])
{
	uint8 bytes[16];

	memset(key, 0, AS_ADDRESS_KEY_BYTES);
	if (inet_pton(AF_INET, text, bytes) != 1)
	{
		if (inet_pton(AF_INET6, text, bytes) != 1)
			return false;
		if (!holds_ipv4(bytes))
		{
			key[8] = AS_ADDRESS_IPV6;
			memcpy(key, bytes, 8);
			return inet_ntop(AF_INET6, bytes, canonical,
			                 AS_ADDRESS_CHARS + 1) != NULL;
		}
		memmove(bytes, bytes + 12, 4);
	}
	memcpy(key, bytes, 4);
	return inet_ntop(AF_INET, bytes, canonical, AS_ADDRESS_CHARS + 1) != NULL;
}

/* Cuts what is neither of both ends: blanks, quotes. */
static char *
trimmed(char *text)
{
	size_t length;

	while (is_blank(*text) || *text == '"')
		text++;
	length = strlen(text);
	while (length > 0 &&
	       (is_blank(text[length - 1]) || text[length - 1] == '"'))
		length--;
	text[length] = '\0';
	return text;
}

static bool
is_port(const char *text)
{
	size_t digits = strspn(text, "0123456789");

	return digits > 0 && digits <= 5 && text[digits] == '\0';
}

/*
 * The address that an entry of x-forwarded-for holds, as the proxies there are
 * write it: 192.0.2.1:443, [2001:db8::1]:443, fe80::1%eth0, in quotes. NULL
 * where it is none of these. Writes into the entry.
 */
static const char *
host_of(char *entry)
{
	char *host = trimmed(entry);
	char *rest = NULL;
	char *zone;

	if (*host == '[')
	{
		host++;
		rest = strchr(host, ']');
		if (rest == NULL)
			return NULL;
		*rest++ = '\0';
		if (*rest != '\0' && (*rest != ':' || !is_port(rest + 1)))
			return NULL;
	}
	else if ((rest = strchr(host, ':')) != NULL &&
	         strchr(rest + 1, ':') == NULL)
	{
		*rest++ = '\0';
		if (!is_port(rest))
			return NULL;
	}
	zone = strchr(host, '%');
	if (zone != NULL && strchr(host, ':') != NULL)
		*zone = '\0';
	return host;
}

/*
 * The entry of x-forwarded-for that the outermost trusted proxy wrote: the
 * trusted_proxies-th from the right. What stands left of it anybody can have
 * put there. NULL where there are fewer.
 */
static char *
forwarded_entry(const char *list, int proxies)
{
	const char *end = list + strlen(list);

	for (;;)
	{
		const char *begin = end;

		while (begin > list && begin[-1] != ',')
			begin--;
		if (--proxies == 0)
			return pnstrdup(begin, end - begin);
		if (begin == list)
			return NULL;
		end = begin - 1;
	}
}

/*
 * Whoever passes a client's address on expects limits by it, and has none: told
 * once, and by auth_admin.check_configuration.
 */
static void
tell_untrusted(void)
{
	if (as_counters_forwarded())
		ereport(
		    LOG_SERVER_ONLY,
		    (errmsg("x-forwarded-for is sent by a role for which no proxy is "
		            "trusted"),
		     errdetail("It is ignored: the limits per client address are off."),
		     errhint("For that role set auth_session.trusted_proxies.")));
}

static void
set_forwarded_address(AsRequest *request, const char *list)
{
	char *entry;
	const char *host;

	if (auth_session_trusted_proxies == 0)
	{
		tell_untrusted();
		return;
	}
	request->address[0] = '\0';
	if (list == NULL)
		return;
	entry = forwarded_entry(list, auth_session_trusted_proxies);
	host = entry == NULL ? NULL : host_of(entry);
	if (host == NULL ||
	    !read_address(host, request->address, request->address_key))
		request->address[0] = '\0';
}

/*
 * The connection's, for show. None for a Unix socket or a background process.
 */
static void
set_connection_address(AsRequest *request)
{
	LOCAL_FCINFO(call, 0);
	Datum address;
	uint8 key[AS_ADDRESS_KEY_BYTES];

	InitFunctionCallInfoData(*call, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(call);
	if (!call->isnull && !read_address(TextDatumGetCString(DirectFunctionCall1(
	                                       network_host, address)),
	                                   request->address, key))
		request->address[0] = '\0';
}

/* Each header is read by its handler; NULL: it can't be read. */
#define HEADER(name, set)               \
	{                                   \
		(name), sizeof(name) - 1, (set) \
	}

static const struct
{
	const char *name;
	size_t length;
	void (*set)(AsRequest *request, const char *text);
} handlers[] = {
    HEADER("apikey", set_api_key),
    HEADER("authorization", set_authorization),
    HEADER("origin", set_origin),
    HEADER("sec-fetch-site", set_fetch_site),
    HEADER("user-agent", set_user_agent),
    HEADER("x-api-key", set_api_key),
    HEADER("x-forwarded-for", set_forwarded_address),
    HEADER("x-session", set_session_form),
};

static bool
visit_entry(const AsJsonMember *member, void *into)
{
	*(char **) into =
	    member->type == AS_JSON_STRING ? pstrdup(member->text) : NULL;
	return true;
}

/* Names have no case (RFC 9110 5.1); of an array, Go's form, the last counts. */
static bool
visit_header(const AsJsonMember *member, void *into)
{
	char *last = NULL;
	size_t length = strlen(member->name);

	for (int i = 0; i < (int) lengthof(handlers); i++)
	{
		if (length != handlers[i].length ||
		    pg_strcasecmp(member->name, handlers[i].name) != 0)
			continue;
		if (member->type == AS_JSON_ARRAY)
			(void) as_json_read_array(member->text, member->length,
			                          member->length, visit_entry, &last);
		handlers[i].set(into,
		                member->type == AS_JSON_STRING ? member->text : last);
	}
	return true;
}

static void
parse(AsRequest *request)
{
	const char *text = watched_value(&headers);

	memset(request, 0, sizeof(*request));
	if (text != NULL &&
	    !as_json_read_mended(text, strlen(text), HEADERS_MAX_BYTES,
	                         visit_header, request))
	{
		/* A bearer token may be in there: what can't be read is a bad one. */
		memset(request, 0, sizeof(*request));
		request->bearer = pstrdup("");
	}
	request->has_client_address = auth_session_trusted_proxies > 0;
	if (request->address[0] != '\0')
		return;
	memset(request->address_key, 0, sizeof(request->address_key));
	request->address_key[8] = AS_ADDRESS_UNREADABLE;
	set_connection_address(request);
}

const AsRequest *
as_request(void)
{
	MemoryContext callers;

	if (!headers.is_defined && !IsInParallelMode())
		define(&headers);
	if (parsed.version == headers_version && parsed.lxid == AS_MY_LXID &&
	    parsed.trusted_proxies == auth_session_trusted_proxies &&
	    headers.is_defined)
		return &parsed.request;

	if (parsed.memory == NULL)
		parsed.memory = AllocSetContextCreate(
		    TopMemoryContext, "auth_session request", ALLOCSET_SMALL_SIZES);
	parsed.version = 0;
	MemoryContextReset(parsed.memory);
	callers = MemoryContextSwitchTo(parsed.memory);
	parse(&parsed.request);
	MemoryContextSwitchTo(callers);
	parsed.version = headers_version;
	parsed.lxid = AS_MY_LXID;
	parsed.trusted_proxies = auth_session_trusted_proxies;
	return &parsed.request;
}

/* ---- the cookies ---- */

typedef struct Wanted
{
	const char *name;
	char *value;
} Wanted;

/* Names have a case (RFC 6265 4.1.1); of two that differ none is the one. */
static bool
visit_cookie(const AsJsonMember *member, void *into)
{
	Wanted *wanted = into;
	const char *value = member->type == AS_JSON_STRING ? member->text : "";

	if (strcmp(member->name, wanted->name) != 0)
		return true;
	if (wanted->value != NULL && strcmp(wanted->value, value) != 0)
		value = "";
	wanted->value = pstrdup(value);
	return true;
}

char *
as_request_cookie(const char *name)
{
	const char *text = watched_value(&cookies);
	Wanted wanted = {.name = name};

	if (text != NULL &&
	    !as_json_read_mended(text, strlen(text), HEADERS_MAX_BYTES,
	                         visit_cookie, &wanted))
		return pstrdup("");
	return wanted.value;
}

AsOrigin
as_request_origin(void)
{
	const AsRequest *request = as_request();
	AsOrigin origin = {
	    .address = request->address[0] != '\0' ? request->address : NULL,
	    .user_agent =
	        request->user_agent[0] != '\0' ? request->user_agent : NULL,
	};

	return origin;
}

char *
as_request_origin_payload(void)
{
	AsOrigin origin = as_request_origin();
	StringInfoData json;

	as_json_begin(&json);
	as_json_text(&json, "ip", origin.address);
	as_json_text(&json, "user_agent", origin.user_agent);
	as_json_time(&json, "at", GetCurrentTimestamp());
	as_json_end(&json);
	return json.data;
}
