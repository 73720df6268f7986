/*
 * audit.c: what happened, in auth_private.audit_log.
 *
 * A success is written in its own transaction, so that the log never tells
 * of what was rolled back; a failure by the recorder, so that the rollback
 * does not take it. No secret and nothing a caller typed but the client's
 * address and user agent, both already bounded and without control
 * characters.
 */
#include "table/table.h"

static AsStatement insert = AS_STATEMENT(
    "INSERT INTO auth_private.audit_log (id, at, action, result, reason, "
    "user_id, session_id, ip, user_agent) VALUES ($1, $2, $3, $4, $5, $6, $7, "
    "$8::pg_catalog.inet, $9)");

static AsStatement prune = AS_STATEMENT(
    "WITH batch AS MATERIALIZED (SELECT id FROM auth_private.audit_log WHERE "
    "id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) "
    "DELETE FROM auth_private.audit_log WHERE id IN (SELECT id FROM batch)");

static const char *const action_names[] = {
    [AS_ACTION_SIGNUP] = "signup",
    [AS_ACTION_CONFIRM] = "confirm",
    [AS_ACTION_RESEND] = "resend_confirmation",
    [AS_ACTION_SIGNIN] = "signin",
    [AS_ACTION_RENEW] = "renew",
    [AS_ACTION_LOGOUT] = "logout",
    [AS_ACTION_LOGOUT_ALL] = "logout_all",
    [AS_ACTION_UPDATE_INFO] = "update_info",
    [AS_ACTION_CHANGE_PASSWORD] = "change_password",
    [AS_ACTION_REQUEST_RESET] = "request_password_reset",
    [AS_ACTION_RESET_PASSWORD] = "reset_password",
    [AS_ACTION_KEY] = "signing_key",
};

static const char *const reason_names[] = {
    [AS_REASON_NONE] = NULL,
    [AS_REASON_UNKNOWN_ACCOUNT] = "unknown account",
    [AS_REASON_WRONG_PASSWORD] = "wrong password",
    [AS_REASON_PENDING_ACCOUNT] = "pending account",
    [AS_REASON_BANNED_ACCOUNT] = "banned account",
    [AS_REASON_CHANGED_MEANWHILE] = "account changed meanwhile",
    [AS_REASON_WRONG_CODE] = "wrong code",
    [AS_REASON_TOKEN_REUSED] = "refresh token reused",
    [AS_REASON_TOKEN_NEWER] = "refresh token newer than the session",
    [AS_REASON_SESSION_GONE] = "session has ended",
    [AS_REASON_SESSION_EXPIRED] = "session has expired",
    [AS_REASON_OTHER_USER] = "belongs to another user",
};

bool
as_uuid_is_known(const AsUuid *uuid)
{
	static const AsUuid unknown = {{0}};

	return memcmp(uuid->bytes, unknown.bytes, sizeof(unknown.bytes)) != 0;
}

void
as_audit_write(const AsEvent *event)
{
	AsArgs args = {0};
	AsUuid id = as_uuid_ordered(as_unix_milliseconds(event->at));

	as_arg_uuid(&args, &id);
	as_arg_time(&args, event->at);
	as_arg_text(&args, action_names[event->action]);
	as_arg_text(&args, as_failure_code(event->result));
	as_arg_text(&args, reason_names[event->reason]);
	as_arg_uuid(&args,
	            as_uuid_is_known(&event->user_id) ? &event->user_id : NULL);
	as_arg_uuid(&args, as_uuid_is_known(&event->session_id) ? &event->session_id
	                                                        : NULL);
	as_arg_text(&args, event->address[0] != '\0' ? event->address : NULL);
	as_arg_text(&args, event->user_agent[0] != '\0' ? event->user_agent : NULL);
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
}

int
as_audit_prune(TimestampTz now, int batch)
{
	AsArgs args = {0};
	AsUuid cutoff;

	if (auth_session_audit_retention == 0)
		return 0;
	/* The ids begin with the time, so their index serves. */
	cutoff = as_uuid_first_of(as_unix_milliseconds(
	    now - auth_session_audit_retention * USECS_PER_SEC));
	as_arg_uuid(&args, &cutoff);
	as_arg_int(&args, batch);
	return (int) as_store_run(&prune, AS_WRITE, &args, NULL, NULL);
}
