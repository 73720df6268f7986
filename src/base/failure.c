/*
 * failure.c: what callers are told, and the only place that tells them.
 *
 * A failure is a value on every floor; here it becomes an error: SQLSTATE PT
 * + the HTTP status (PostgREST answers with that status), one constant line
 * as the message, the machine-readable code as DETAIL, and a HINT where
 * there is something to do. Nothing that a caller typed gets into any of
 * them: the message becomes an HTTP reason phrase.
 *
 * What passes by itself is 429 and never 503: at a 503 PostgREST drops its
 * pool and loads its configuration anew.
 */
#include "base/base.h"

typedef struct FailureText
{
	int sqlstate;
	const char *code;
	const char *message;
	const char *hint;
} FailureText;

#define PT400 MAKE_SQLSTATE('P', 'T', '4', '0', '0')
#define PT401 MAKE_SQLSTATE('P', 'T', '4', '0', '1')
#define PT403 MAKE_SQLSTATE('P', 'T', '4', '0', '3')
#define PT404 MAKE_SQLSTATE('P', 'T', '4', '0', '4')
#define PT405 MAKE_SQLSTATE('P', 'T', '4', '0', '5')
#define PT409 MAKE_SQLSTATE('P', 'T', '4', '0', '9')
#define PT422 MAKE_SQLSTATE('P', 'T', '4', '2', '2')
#define PT429 MAKE_SQLSTATE('P', 'T', '4', '2', '9')

/*
 * Seconds until a repeat is worth its while, where nothing says better: locks
 * and places come free within that.
 */
#define BUSY_HINT "1"

/* clang-format off */
static const FailureText failures[] = {
	[AS_INVALID_REQUEST] = {PT400, "invalid_request",
		"the request is not valid", NULL},
	[AS_INVALID_CREDENTIALS] = {PT401, "invalid_credentials",
		"the credentials are not valid",
		"If you have just signed up, confirm the address first."},
	[AS_INVALID_TOKEN] = {PT401, "invalid_token",
		"the token is not valid", NULL},
	[AS_TOKEN_EXPIRED] = {PT401, "token_expired",
		"the access token has expired",
		"Renew the session and repeat the request."},
	[AS_SESSION_REVOKED] = {PT401, "session_revoked",
		"the session has ended", "Sign in again."},
	[AS_SESSION_EXPIRED] = {PT401, "session_expired",
		"the session has expired", "Sign in again."},
	[AS_REFRESH_TOKEN_REUSED] = {PT401, "refresh_token_reused",
		"the refresh token has been used before",
		"The session has been ended. Sign in again."},
	[AS_NOT_AUTHENTICATED] = {PT401, "not_authenticated",
		"an access token is required", NULL},
	[AS_NOT_CONFIRMED] = {PT403, "not_confirmed",
		"the account is not confirmed yet",
		"Confirm every address given at sign-up."},
	[AS_BANNED] = {PT403, "banned",
		"the account is banned", NULL},
	[AS_SIGNUP_DISABLED] = {PT403, "signup_disabled",
		"sign-up is disabled", NULL},
	[AS_SIGNUP_REFUSED] = {PT403, "signup_refused",
		"sign-up is refused", NULL},
	[AS_REAUTHENTICATION_REQUIRED] = {PT403, "reauthentication_required",
		"a recent sign-in is required", "Sign in again."},
	[AS_USER_MISMATCH] = {PT403, "user_mismatch",
		"the token belongs to another user", NULL},
	[AS_CROSS_SITE] = {PT403, "cross_site",
		"the request comes from another site",
		"Send it from a page of the application's own origin."},
	[AS_FEATURE_DISABLED] = {PT403, "feature_disabled",
		"the feature is disabled", NULL},
	[AS_SESSION_NOT_FOUND] = {PT404, "session_not_found",
		"there is no such session", NULL},
	[AS_API_KEY_NOT_FOUND] = {PT404, "api_key_not_found",
		"there is no such API key", NULL},
	[AS_USER_NOT_FOUND] = {PT404, "user_not_found",
		"there is no such user", NULL},

	[AS_ALREADY_EXISTS] = {PT409, "already_exists",
		"the address belongs to an account", NULL},
	[AS_LIMIT_REACHED] = {PT409, "limit_reached",
		"there are too many already", NULL},
	[AS_WEAK_PASSWORD] = {PT422, "weak_password",
		"the password is too weak", NULL},
	[AS_INVALID_CODE] = {PT422, "invalid_code",
		"the code is not valid", "Ask for a new code."},
	[AS_PASSWORD_REQUIRED] = {PT422, "password_required",
		"the password is required",
		"Repeat the call with the password given at sign-up."},
	[AS_THROTTLED] = {PT429, "throttled",
		"too many attempts", NULL},
	[AS_BUSY] = {PT429, "busy",
		"the service is busy", BUSY_HINT},
	[AS_READ_ONLY] = {PT405, "read_only",
		"the service is read-only here",
		"Send the request to the primary, in a read-write transaction."},
};
/* clang-format on */

const char *
as_failure_code(AsFailure failure)
{
	return failure == AS_OK ? "ok" : failures[failure].code;
}

int
as_failure_sqlstate(AsFailure failure)
{
	return failures[failure].sqlstate;
}

void (*as_failure_hook)(AsFailure failure) = NULL;
void (*as_failure_log)(AsFailure failure) = NULL;

void
as_fail(AsFailure failure, const char *hint)
{
	const FailureText *text = &failures[failure];

	if (as_failure_hook != NULL)
		as_failure_hook(failure);
	if (auth_session_log_refusals && as_failure_log != NULL)
		as_failure_log(failure);
	if (hint == NULL)
		hint = text->hint;
	ereport(ERROR,
	        (errcode(text->sqlstate), errmsg_internal("%s", text->message),
	         errdetail_internal("%s", text->code),
	         hint != NULL ? errhint("%s", hint) : 0));
	pg_unreachable();
}

void
as_fail_for_now(AsFailure failure, int seconds)
{
	char hint[16];

	snprintf(hint, sizeof(hint), "%d", Max(seconds, 1));
	as_fail(failure, hint);
}

void
as_require_preloaded(void)
{
	if (as_is_preloaded)
		return;
	ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
	                errmsg("auth_session is not in shared_preload_libraries"),
	                errhint("Add auth_session to shared_preload_libraries and "
	                        "restart the server.")));
}
