/*
 * request.c: what PostgREST, or a back end that speaks as it does, says of
 * the request: bearer token, client address, user agent.
 *
 * All of it comes from the setting request.headers, which any caller can
 * set. So a bearer token is only ever a claim that its signature must bear
 * out, and the forwarded address counts only where an operator said, by
 * auth_session.trusted_proxies, how many proxies stand before us.
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
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/memutils.h"

/* PostgREST's own limit for a request's head is less. */
#define HEADERS_MAX_BYTES 65536

/* The setting behind request.headers or request.jwt.claims, once defined. */
typedef struct Watched
{
	const char *name;
	bool is_defined;
	char *value;
} Watched;

static Watched headers = {.name = "request.headers"};
static Watched jwt_claims = {.name = "request.jwt.claims"};

static void
assign_watched(const char *newval, void *extra)
{
	as_context_changed();
}

static const char *
watched_value(Watched *watched)
{
	if (!watched->is_defined && !IsInParallelMode())
	{
		DefineCustomStringVariable(
		    watched->name, "Set by PostgREST for each request.", NULL,
		    &watched->value, NULL, PGC_USERSET, GUC_NOT_IN_SAMPLE, NULL,
		    assign_watched, NULL);
		watched->is_defined = true;
	}
	if (!watched->is_defined)
		return GetConfigOption(watched->name, true, false);
	return watched->value;
}

const char *
as_request_jwt_claims(void)
{
	return watched_value(&jwt_claims);
}

/* ---- the parsed headers ---- */

typedef struct Parsed
{
	uint64 generation; /* 0: never */
	int trusted_proxies;
	MemoryContext memory;
	AsRequest request;
} Parsed;

static Parsed parsed;

/* "Bearer" in any case, and what follows (RFC 9110 11.1, RFC 6750 2.1). */
static const char *
bearer_of(const char *authorization)
{
	if (pg_strncasecmp(authorization, "bearer", 6) != 0 ||
	    authorization[6] != ' ')
		return NULL;
	authorization += 7;
	while (*authorization == ' ')
		authorization++;
	return authorization;
}

/*
 * The entry of x-forwarded-for that the outermost trusted proxy wrote: the
 * trusted_proxies-th from the right. What stands left of it anybody can have
 * put there.
 */
static char *
forwarded_address(const char *list, int proxies)
{
	const char *end = list + strlen(list);

	for (;;)
	{
		const char *begin = end;

		while (begin > list && begin[-1] != ',')
			begin--;
		if (--proxies == 0)
		{
			while (begin < end && *begin == ' ')
				begin++;
			while (end > begin && end[-1] == ' ')
				end--;
			return pnstrdup(begin, end - begin);
		}
		if (begin == list)
			return NULL;
		end = begin - 1;
	}
}

/*
 * Canonical text and limit key of an address: an IPv4 address (also one
 * mapped into IPv6) by its four bytes, an IPv6 one by its /64.
 */
static bool
set_address(AsRequest *request, const char *text)
{
	static const uint8 mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	uint8 bytes[16];

	memset(request->address_key, 0, sizeof(request->address_key));
	if (inet_pton(AF_INET, text, bytes) == 1)
		memmove(request->address_key, bytes, 4);
	else if (inet_pton(AF_INET6, text, bytes) != 1)
		return false;
	else if (memcmp(bytes, mapped, sizeof(mapped)) == 0)
	{
		memmove(bytes, bytes + 12, 4);
		memcpy(request->address_key, bytes, 4);
	}
	else
	{
		request->address_key[8] = 6;
		memcpy(request->address_key, bytes, 8);
		return inet_ntop(AF_INET6, bytes, request->address,
		                 sizeof(request->address)) != NULL;
	}
	return inet_ntop(AF_INET, bytes, request->address,
	                 sizeof(request->address)) != NULL;
}

/* None for a Unix socket or a background process. */
static void
set_connection_address(AsRequest *request)
{
	LOCAL_FCINFO(call, 0);
	Datum address;

	InitFunctionCallInfoData(*call, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(call);
	if (!call->isnull)
		(void) set_address(request, TextDatumGetCString(DirectFunctionCall1(
		                                network_host, address)));
}

static bool
visit_header(const AsJsonMember *member, void *into)
{
	AsRequest *request = into;
	char *address;
	const char *bearer;

	if (member->type != AS_JSON_STRING)
		return true;
	if (strcmp(member->name, "authorization") == 0)
	{
		bearer = bearer_of(member->text);
		if (bearer != NULL)
			request->bearer = pstrdup(bearer);
	}
	else if (strcmp(member->name, "user-agent") == 0)
		strlcpy(
		    request->user_agent,
		    as_display_text(member->text, member->length, AS_USER_AGENT_BYTES),
		    sizeof(request->user_agent));
	else if (strcmp(member->name, "x-forwarded-for") == 0 &&
	         auth_session_trusted_proxies > 0)
	{
		address = forwarded_address(member->text, auth_session_trusted_proxies);
		request->has_client_address =
		    address != NULL && set_address(request, address);
	}
	return true;
}

static void
parse(AsRequest *request)
{
	const char *text = watched_value(&headers);

	memset(request, 0, sizeof(*request));
	if (text != NULL && text[0] != '\0' &&
	    !as_json_read_object(text, strlen(text), HEADERS_MAX_BYTES, false,
	                         visit_header, request))
	{
		/* A bearer token may be in there: what can't be read is a bad one. */
		memset(request, 0, sizeof(*request));
		request->bearer = pstrdup("");
	}
	if (!request->has_client_address)
		set_connection_address(request);
}

const AsRequest *
as_request(void)
{
	MemoryContext callers;

	(void) watched_value(&headers);
	if (parsed.generation == as_context_generation &&
	    parsed.trusted_proxies == auth_session_trusted_proxies &&
	    headers.is_defined)
		return &parsed.request;

	if (parsed.memory == NULL)
		parsed.memory = AllocSetContextCreate(
		    TopMemoryContext, "auth_session request", ALLOCSET_SMALL_SIZES);
	parsed.generation = 0;
	MemoryContextReset(parsed.memory);
	callers = MemoryContextSwitchTo(parsed.memory);
	parse(&parsed.request);
	MemoryContextSwitchTo(callers);
	parsed.generation = as_context_generation;
	parsed.trusted_proxies = auth_session_trusted_proxies;
	return &parsed.request;
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
