/*
 * audit_log.c: what happened, in auth_private.audit_log.
 *
 * A success is written in its own transaction, so that the log never tells
 * of what was rolled back; a failure by the recorder, so that the rollback
 * does not take it. No secret and nothing a caller typed but the client's
 * address and user agent, and why an operator did what he did, all bounded
 * and without control characters.
 */
#include "table/table.h"

static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.audit_log"
    "       (id, at, action, actor, result, reason, user_id, session_id, ip,"
    "        user_agent)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.inet, $10)");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT id FROM auth_private.audit_log"
              "      WHERE id < $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.audit_log"
              "  WHERE id IN (SELECT id FROM batch)");

/* Which operator it was, where, and why, is for operators. */
static AsStatement export = AS_EXPORTS(
    "at, action,"
    " CASE WHEN actor IN ('user', 'system') THEN actor"
    " ELSE 'operator' END AS actor, result,"
    " CASE WHEN actor IN ('user', 'system') THEN reason END AS reason,"
    " session_id,"
    " CASE WHEN actor IN ('user', 'system') THEN ip END AS ip,"
    " CASE WHEN actor IN ('user', 'system') THEN user_agent END AS user_agent",
    "audit_log WHERE user_id = $1", "at DESC");

static const AsUuid *
known(const AsUuid *uuid)
{
	return as_uuid_is_known(uuid) ? uuid : NULL;
}

static const char *
given(const char *text)
{
	return text[0] != '\0' ? text : NULL;
}

void
as_audit_log_write(const AsEvent *event, const char *remark)
{
	AsUuid id = as_uuid_ordered(as_unix_milliseconds(event->at));

	Assert(event->action[0] != '\0' && event->actor[0] != '\0');
	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&id), as_arg_time(event->at),
	            as_arg_text(event->action), as_arg_text(event->actor),
	            as_arg_text(as_failure_code(event->result)),
	            as_arg_text(remark != NULL ? remark : given(event->reason)),
	            as_arg_uuid(known(&event->user_id)),
	            as_arg_uuid(known(&event->session_id)),
	            as_arg_text(given(event->address)),
	            as_arg_text(given(event->user_agent))));
}

int
as_audit_log_prune(TimestampTz now, int batch)
{
	AsUuid cutoff;

	if (auth_session_audit_retention == 0)
		return 0;
	/* The ids begin with the time, so their index serves. */
	cutoff = as_uuid_first_of(as_unix_milliseconds(
	    as_after_seconds(now, -(int64) auth_session_audit_retention)));
	return (int) as_store_run(&prune,
	                          AS_ARGS(as_arg_uuid(&cutoff), as_arg_int(batch)));
}

Jsonb *
as_audit_log_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
