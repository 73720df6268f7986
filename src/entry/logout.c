/*
 * logout.c: auth.logout and auth.logout_all.
 *
 * From the commit on no connection, backend or standby that has replayed it
 * takes the token, whatever transactions others keep open. A
 * refresh token needs no context (RFC 7009): whoever has it may end what it
 * stands for, and one whose session is gone already is no error.
 */
#include "entry/entry.h"

AS_ENTRY(auth_logout);
AS_ENTRY(auth_logout_all);

typedef struct Logout
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	int ended;
} Logout;

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
find_by_context(Logout *logout)
{
	FunctionCallInfo fcinfo = logout->fcinfo;
	AsFailure outcome = as_attempt_require_context(&logout->attempt);
	AsUuid session_id;

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
	if (!by_token)
		return AS_SESSION_NOT_FOUND;
	logout->attempt.is_silent = true;
	return AS_OK;
}

Datum
auth_logout(PG_FUNCTION_ARGS)
{
	Logout logout = {.fcinfo = fcinfo};

	as_attempt_run(&logout.attempt, "logout", log_out, &logout);
	PG_RETURN_VOID();
}

/* ---- logout_all ---- */

static AsFailure
log_out_all(void *flow)
{
	Logout *logout = flow;
	FunctionCallInfo fcinfo = logout->fcinfo;
	AsEvent *event = &logout->attempt.event;
	bool keep_current = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	AsFailure outcome = as_attempt_require_context(&logout->attempt);

	if (outcome != AS_OK)
		return outcome;
	return as_epoch_begin(&event->user_id,
	                      keep_current ? &event->session_id : NULL, NULL, NULL,
	                      &logout->ended);
}

Datum
auth_logout_all(PG_FUNCTION_ARGS)
{
	Logout logout = {.fcinfo = fcinfo};

	as_attempt_run(&logout.attempt, "logout_all", log_out_all, &logout);
	PG_RETURN_INT32(logout.ended);
}
