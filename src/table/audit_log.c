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
    "       (user_id, id, at, action, actor, result, reason, session_id, ip,"
    "        user_agent)"
    " VALUES ($7, $1, $2, $3, $4, $5, $6, $8, $9, $10)");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.audit_log"
              "      WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.audit_log"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

/* Which operator it was, where, and why, is for operators. */
static AsStatement export = AS_EXPORTS(
    "at, action,"
    " CASE WHEN actor IN ('user', 'system') THEN actor"
    " ELSE 'operator' END AS actor, result,"
    " CASE WHEN actor IN ('user', 'system') THEN reason END AS reason,"
    " session_id,"
    " CASE WHEN actor IN ('user', 'system') THEN ip END AS ip,"
    " CASE WHEN actor IN ('user', 'system') THEN user_agent END AS user_agent",
    "audit_log WHERE user_id = $1", "id DESC");

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
	const AsNewValue row[] = {
	    {"id", as_arg_uuid(&id)},
	    {"at", as_arg_time(event->at)},
	    {"action", as_arg_text(event->action)},
	    {"actor", as_arg_text(event->actor)},
	    {"result", as_arg_text(as_failure_code(event->result))},
	    {"reason", as_arg_text(remark != NULL ? remark : given(event->reason))},
	    {"user_id", as_arg_uuid(&event->user_id)},
	    {"session_id", as_arg_uuid(known(&event->session_id))},
	    {"ip", as_arg_inet(given(event->address))},
	    {"user_agent", as_arg_text(given(event->user_agent))},
	};
	AsArg args[lengthof(row)];

	Assert(event->action[0] != '\0' && event->actor[0] != '\0');
	if (as_row_insert("audit_log", row, lengthof(row)))
		return;
	for (int i = 0; i < (int) lengthof(row); i++)
		args[i] = row[i].value;
	(void) as_store_run(&insert, (AsArgs){lengthof(args), args});
}

int
as_audit_log_prune(TimestampTz now, int batch)
{
	if (auth_session_audit_retention == 0)
		return 0;
	return (int) as_shards_run(
	    &prune, "auth_private.audit_log",
	    AS_ARGS(as_arg_time(as_after_seconds(
	                now, -(int64) auth_session_audit_retention)),
	            as_arg_int(batch)));
}

Jsonb *
as_audit_log_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
