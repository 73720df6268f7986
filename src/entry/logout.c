/*
 * logout.c: auth.logout and auth.logout_all.
 *
 * From the commit on no connection, backend or standby that has replayed it
 * takes the token, whatever transactions others keep open. A
 * refresh token needs no context (RFC 7009): whoever has it may end what it
 * stands for, and one whose session is gone already is no error.
 *
 * Nor does a browser's cookie that has expired: one who leaves must not be told
 * to renew first. Whatever it was worth, the browser is told to forget it.
 */
#include "entry/entry.h"

AS_ENTRY(auth_logout);
AS_ENTRY(auth_logout_all);

typedef struct Logout
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	bool by_cookie; /* without a context */
	int ended;
} Logout;

/* Whether a browser that is nobody says by its cookie whom it means. */
static bool
is_by_cookie(AsFailure outcome)
{
	return outcome == AS_NOT_AUTHENTICATED && as_cookie_is_there();
}

/* ---- logout ---- */

static AsFailure
find_by_token(Logout *logout)
{
	FunctionCallInfo fcinfo = logout->fcinfo;
	AsText text;
	AsRefreshToken token;

	if (!as_call_secret(fcinfo, 1, AS_REFRESH_TOKEN_CHARS, &text) ||
	    !as_refresh_token_read(&text, &token))
		return AS_INVALID_TOKEN;
	logout->attempt.event.user_id = token.user_id;
	logout->attempt.event.session_id = token.session_id;
	as_wipe(&token, sizeof(token));
	return AS_OK;
}

static AsFailure
find_by_cookie(Logout *logout)
{
	AsFailure outcome = as_cookie_may_set(&logout->attempt);
	AsAccessToken token;

	logout->by_cookie = true;
	if (outcome != AS_OK || as_cookie_read(&token) != AS_OK)
		return outcome;
	logout->attempt.event.user_id = token.claims.sub;
	logout->attempt.event.session_id = token.claims.session_id;
	return AS_OK;
}

static AsFailure
find_by_context(Logout *logout)
{
	FunctionCallInfo fcinfo = logout->fcinfo;
	AsFailure outcome = as_attempt_require_context(&logout->attempt);
	AsUuid session_id;

	if (PG_ARGISNULL(0) && is_by_cookie(outcome))
		return find_by_cookie(logout);
	if (outcome == AS_OK && as_call_uuid(fcinfo, 0, &session_id))
		logout->attempt.event.session_id = session_id;
	return outcome;
}

static AsFailure
log_out(void *flow)
{
	Logout *logout = flow;
	FunctionCallInfo fcinfo = logout->fcinfo;
	AsEvent *event = &logout->attempt.event;
	bool by_token = !PG_ARGISNULL(1);
	AsFailure outcome;

	if (by_token && !PG_ARGISNULL(0))
		return as_attempt_tell(&logout->attempt, AS_INVALID_REQUEST,
		                       "Give either a session_id or a refresh_token.");
	outcome = by_token ? find_by_token(logout) : find_by_context(logout);
	if (outcome != AS_OK)
		return outcome;
	if (as_session_end(&event->user_id, &event->session_id))
		return AS_OK;
	if (!by_token && !logout->by_cookie)
		return AS_SESSION_NOT_FOUND;
	logout->attempt.is_silent = true;
	return AS_OK;
}

Datum
auth_logout(PG_FUNCTION_ARGS)
{
	Logout logout = {.fcinfo = fcinfo};

	as_attempt_run(&logout.attempt, "logout", log_out, &logout);
	if (logout.by_cookie || as_cookie_is_of(&logout.attempt.event.user_id,
	                                        &logout.attempt.event.session_id))
		as_cookie_clear();
	PG_RETURN_VOID();
}

/* ---- logout_all ---- */

/* Of a session that is gone: the others are for somebody signed in to end. */
static AsFailure
log_out_of_nothing(Logout *logout)
{
	AsFailure outcome = as_cookie_may_set(&logout->attempt);
	AsAccessToken token;

	logout->by_cookie = true;
	logout->attempt.is_silent = true;
	if (outcome != AS_OK || as_cookie_read(&token) != AS_OK)
		return outcome;
	outcome = as_session_check(&token.claims.sub, &token.claims.session_id,
	                           &token.claims.jti, GetCurrentTimestamp());
	return outcome == AS_OK || outcome == AS_TOKEN_EXPIRED ? AS_TOKEN_EXPIRED
	                                                       : AS_OK;
}

static AsFailure
log_out_all(void *flow)
{
	Logout *logout = flow;
	FunctionCallInfo fcinfo = logout->fcinfo;
	AsEvent *event = &logout->attempt.event;
	bool keep_current = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	AsFailure outcome = as_attempt_require_context(&logout->attempt);

	if (is_by_cookie(outcome))
		return log_out_of_nothing(logout);
	if (outcome != AS_OK)
		return outcome;
	return as_epoch_begin(&event->user_id, AS_ENDS_SESSIONS,
	                      keep_current ? &event->session_id : NULL, NULL, NULL,
	                      &logout->ended);
}

Datum
auth_logout_all(PG_FUNCTION_ARGS)
{
	Logout logout = {.fcinfo = fcinfo};

	as_attempt_run(&logout.attempt, "logout_all", log_out_all, &logout);
	if (logout.by_cookie || PG_ARGISNULL(0) || !PG_GETARG_BOOL(0))
		as_cookie_clear();
	PG_RETURN_INT32(logout.ended);
}
