/*
 * cookie.c: a browser's session, in cookies.
 *
 * A page that holds no token can't lose one: the browser keeps it, in a cookie
 * that no script can read and that goes to this host alone (RFC 6265bis, the
 * prefix __Host-). It is a context only by auth.check_request(), which PostgREST
 * calls first; no helper looks at it.
 *
 * The cookie outlives the token in it, so that a request with an expired one is
 * told to renew and does not pass for anonymous. But nobody could sign in again
 * with a dead cookie if that stopped the calls by which one does.
 */
#include "service/service.h"

#include "catalog/namespace.h"
#include "utils/varlena.h"

#define ACCESS_COOKIE "__Host-access"

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

/* The claims in the database's encoding, and the role that they name. */
static void
become(const char *text, const AsAccessToken *token)
{
	const char *role = token->claims.role;
	char *claims = as_text_from_utf8(token->payload, token->payload_length);

	role = as_text_from_utf8(role, strlen(role));
	if (claims == NULL || role == NULL)
		as_fail(AS_INVALID_TOKEN, NULL);
	as_context_token_set(text);
	as_caller_switch_role(role, claims);
}

bool
as_cookie_take(void)
{
	char *text = auth_session_cookies ? as_request_cookie(ACCESS_COOKIE) : NULL;
	AsAccessToken token;
	AsFailure failure;

	if (text == NULL)
		return false;
	failure = as_access_token_read(text, strlen(text), &token);
	if (failure == AS_OK)
		failure = as_access_token_check(&token);
	if (failure == AS_OK && !as_request_is_safe() &&
	    !as_request_is_from_own_page())
		as_fail(AS_CROSS_SITE, NULL);
	if (failure == AS_OK)
		become(text, &token);
	else if (!is_open_call())
		as_fail(failure, NULL);
	as_wipe(text, strlen(text));
	return true;
}
