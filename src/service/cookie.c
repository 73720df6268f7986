/*
 * cookie.c: a browser's session, in cookies.
 *
 * A page that holds no token can't lose one. The browser keeps both, where no
 * script can read them (RFC 6265bis):
 *
 *     __Host-access     the access token; to this host, with every request
 *     __Secure-refresh  the refresh token; to the one path that takes it
 *
 * The first is a context only by auth.check_request(), which PostgREST calls
 * before anything else; no helper looks at it. It outlives the token in it, for
 * as long as the session, so that a request with an expired one is told to
 * renew and does not pass for anonymous. But nobody could sign in again with a
 * dead cookie if that stopped the calls by which one does.
 *
 * A sibling domain can plant a cookie of the second name, not one of the first,
 * which the prefix binds to this host: so a refresh token counts only beside an
 * access token of the same session.
 *
 * Without their prefixes (auth_session.cookie_prefixes) browsers take them over
 * plain http, for development: only where site_url is http.
 */
#include "service/service.h"

#include "catalog/namespace.h"
#include "utils/varlena.h"

/* Of name and value: browsers drop what is longer, without a word. */
#define COOKIE_MOST 4096

/* ---- their names ---- */

static bool
has_prefixes(void)
{
	return auth_session_cookie_prefixes ||
	       strncmp(auth_session_site_url, "http://", 7) != 0;
}

static const char *
access_name(void)
{
	return has_prefixes() ? "__Host-access" : "access";
}

static const char *
refresh_name(void)
{
	return has_prefixes() ? "__Secure-refresh" : "refresh";
}

/* ---- the calls that a dead cookie doesn't stop ---- */

static const char *const open_calls[] = {
    "signup",
    "confirm",
    "resend_confirmation",
    "signin",
    "signin_code",
    "signin_totp",
    "request_signin_code",
    "request_password_reset",
    "reset_password",
    "renew",
    "logout",
    "logout_all",
    "jwks",
};

/*
 * Whether /rpc/NAME is this extension's: PostgREST puts the schema of the
 * request first.
 */
static bool
is_auth_first(void)
{
	char *list = pstrdup(namespace_search_path);
	List *names = NIL;

	return SplitIdentifierString(list, ',', &names) && names != NIL &&
	       strcmp(linitial(names), "auth") == 0;
}

static bool
is_open_call(void)
{
	static const char rpc[] = "/rpc/";
	const char *path = as_request_path();

	if (path == NULL || strncmp(path, rpc, strlen(rpc)) != 0)
		return false;
	for (int i = 0; i < (int) lengthof(open_calls); i++)
	{
		if (strcmp(path + strlen(rpc), open_calls[i]) == 0)
			return is_auth_first();
	}
	return false;
}

/* ---- the caller ---- */

/* The access token in the cookie, in the caller's memory; NULL for none. */
static char *
access_token(void)
{
	return auth_session_cookies ? as_request_cookie(access_name()) : NULL;
}

/* The claims in the database's encoding, and the role that they name. */
static void
become(const AsAccessToken *token)
{
	const char *role = token->claims.role;
	char *claims = as_text_from_utf8(token->payload, token->payload_length);

	role = as_text_from_utf8(role, strlen(role));
	if (claims == NULL || role == NULL)
		as_fail(AS_INVALID_TOKEN, NULL);
	as_caller_switch_role(role, claims);
}

bool
as_cookie_take(void)
{
	char *text = access_token();
	const AsContext *context;

	if (text == NULL)
		return false;
	/* As authenticate() leaves it; "" would be no token there, a handle a key. */
	as_context_token_set(
	    text[0] == '\0' || as_api_key_handle_is_one(text) ? "?" : text);
	as_wipe(text, strlen(text));
	context = as_context();
	if (context->failure != AS_OK)
	{
		if (!is_open_call())
			as_fail(context->failure, NULL);
		as_context_token_set("");
		return true;
	}
	if (!as_request_is_safe() && !as_request_is_from_own_page())
		as_fail(AS_CROSS_SITE, NULL);
	become(context->token);
	return true;
}

bool
as_cookie_is_there(void)
{
	return access_token() != NULL;
}

/* AS_INVALID_TOKEN where there is none. */
AsFailure
as_cookie_read(AsAccessToken *token)
{
	char *text = access_token();
	AsFailure failure;

	if (text == NULL)
		return AS_INVALID_TOKEN;
	failure = as_access_token_read(text, strlen(text), token);
	as_wipe(text, strlen(text));
	return failure;
}

bool
as_cookie_is_of(const AsUuid *user_id, const AsUuid *session_id)
{
	AsAccessToken token;

	return as_cookie_read(&token) == AS_OK &&
	       as_uuid_equal(&token.claims.sub, user_id) &&
	       as_uuid_equal(&token.claims.session_id, session_id);
}

char *
as_cookie_refresh_token(void)
{
	return auth_session_cookies ? as_request_cookie(refresh_name()) : NULL;
}

/* ---- asked for, set and cleared ---- */

AsFailure
as_cookie_may_set(AsAttempt *attempt)
{
	if (!auth_session_cookies)
		return as_attempt_tell(attempt, AS_FEATURE_DISABLED,
		                       "Ask for tokens, without x-session.");
	return as_request_is_from_own_page() ? AS_OK : AS_CROSS_SITE;
}

AsFailure
as_cookie_check(AsAttempt *attempt)
{
	return as_request()->wants_cookies ? as_cookie_may_set(attempt) : AS_OK;
}

/* In seconds; 0 tells the browser to forget it. */
static void
put(const char *name, const char *value, const char *path, int64 seconds)
{
	StringInfoData cookie;

	initStringInfo(&cookie);
	appendStringInfo(
	    &cookie,
	    "%s=%s; Path=%s; Max-Age=" INT64_FORMAT "; HttpOnly; SameSite=Strict%s",
	    name, value, path, seconds, has_prefixes() ? "; Secure" : "");
	as_response_add_header("Set-Cookie", cookie.data);
	as_wipe(cookie.data, cookie.len);
	pfree(cookie.data);
}

/* Raises where browsers would drop it, and tells the operator. */
static void
require_fit(const char *access)
{
	if (strlen(access_name()) + strlen(access) <= COOKIE_MOST)
		return;
	ereport(LOG_SERVER_ONLY,
	        (errmsg("an access token does not fit into a cookie"),
	         errdetail("It has %zu bytes, and browsers take %d.",
	                   strlen(access), COOKIE_MOST),
	         errhint("Look at the result of auth_session.claims_hook and the "
	                 "app data of the account.")));
	as_fail(AS_BUSY, NULL);
}

void
as_cookie_set(const AsSession *session, const char *access, const char *refresh)
{
	int64 seconds = as_unix_seconds(session->expires_at) -
	                as_unix_seconds(GetCurrentTimestamp());

	require_fit(access);
	put(access_name(), access, "/", Max(seconds, 1));
	if (refresh[0] != '\0')
		put(refresh_name(), refresh, auth_session_cookie_refresh_path,
		    Max(seconds, 1));
}

void
as_cookie_clear(void)
{
	if (!as_cookie_is_there() || !as_request_is_from_own_page())
		return;
	put(access_name(), "", "/", 0);
	put(refresh_name(), "", auth_session_cookie_refresh_path, 0);
}
