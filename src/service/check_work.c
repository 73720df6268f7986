/*
 * check_work.c: what an operator should know of what others have to do:
 * maintenance, and the bridge.
 */
#include "service/service.h"

/*
 * What prune should have deleted a day ago, by its indexes. $1: when prune last
 * ran, $2: since when that is known, $3: the jobs of pg_cron, NULL where they
 * can't be seen.
 */
static AsStatement maintenance = AS_READS(
    "SELECT CASE"
    "   WHEN $1::timestamptz IS NOT NULL THEN format('Maintenance last ran"
    " %s ago', date_trunc('second', now() - $1))"
    "   ELSE 'Maintenance has not run since the server was started' END"
    "   AS finding,"
    " 'What has ended is not deleted: tables grow, and keys are not rotated.'"
    "   AS risk,"
    " 'Run CALL auth_admin.maintain() every few minutes: by pg_cron (SELECT"
    " auth_admin.schedule_maintenance(''*/5 * * * *'')) or any other"
    " scheduler.' AS cure"
    " WHERE CASE WHEN $1::timestamptz IS NOT NULL"
    "         THEN $1 < now() - interval '1 day'"
    /* Where a job is known, it gets an hour to begin. */
    "         ELSE coalesce(jsonb_array_length($3::jsonb), 0) = 0"
    "           OR coalesce($2::timestamptz < now() - interval '1 hour', true)"
    "         END"
    " UNION ALL "
    "SELECT 'Maintenance leaves rows that ended more than a day ago',"
    " 'Tables grow.',"
    " 'Let CALL auth_admin.maintain() run oftener; the server log names"
    " accounts that something of a superuser''s keeps.'"
    " WHERE $1::timestamptz >= now() - interval '1 day'"
    "   AND (EXISTS (SELECT FROM auth_private.sessions"
    "     WHERE expiry_day < (now() AT TIME ZONE 'UTC')::date - 1)"
    "     OR EXISTS (SELECT FROM auth_private.codes"
    "     WHERE link_expires_at < now() - interval '1 day'))");

static AsStatement jobs = AS_READS(
    "SELECT CASE"
    "   WHEN NOT active THEN format('The job of %I that is the maintenance is"
    " switched off', \"user\")"
    "   WHEN NOT can_login THEN format('Role %I, whose job the maintenance is,"
    " cannot log in', \"user\")"
    "   WHEN NOT may THEN format('Role %I, whose job the maintenance is, lacks"
    " a right that it needs', \"user\")"
    "   ELSE format('The last run of the maintenance by pg_cron failed: %s',"
    "     message) END AS finding,"
    " 'What has ended is not deleted, and keys are not rotated.' AS risk,"
    " CASE"
    "   WHEN NOT active THEN format('Run: SELECT cron.alter_job(%s, active :="
    " true);', id)"
    "   WHEN NOT can_login THEN format('Run: ALTER ROLE %I LOGIN;', \"user\")"
    "   WHEN NOT may THEN format('Run: GRANT USAGE ON SCHEMA auth_admin TO"
    " %1$I; GRANT EXECUTE ON FUNCTION auth_admin.prune,"
    " auth_admin.rotate_signing_key TO %1$I; GRANT EXECUTE ON PROCEDURE"
    " auth_admin.maintain TO %1$I;', \"user\")"
    "   WHEN message ~* 'connect' THEN 'pg_cron could not connect: set"
    " cron.use_background_workers = on, or let the role in by pg_hba.conf"
    " (peer, trust) or a .pgpass of the server''s user; then restart the"
    " server.'"
    "   ELSE 'Look at cron.job_run_details.' END AS cure"
    "  FROM jsonb_to_recordset($1::jsonb) AS job (id bigint, \"user\" text,"
    "       active boolean, can_login boolean, may boolean, status text,"
    "       message text)"
    " WHERE NOT active OR NOT can_login OR NOT may OR status = 'failed'");

static AsStatement notifications = AS_READS(
    "SELECT format('A notification has waited for %s',"
    "   date_trunc('second', now() - oldest)) AS finding,"
    " 'Users do not get their codes, nor hear of what happens to their"
    " accounts.' AS risk,"
    " 'See that auth-session-bridge runs, and what its log says.' AS cure"
    "  FROM (SELECT min(created_at) FROM (SELECT created_at"
    "     FROM auth_private.outbox WHERE settled_at IS NULL"
    "      AND parked_at IS NULL LIMIT 10000) AS waiting) AS w (oldest)"
    " WHERE oldest < now() - interval '15 minutes'"
    " UNION ALL "
    "SELECT format('%s notifications are parked', count(*)),"
    " 'They were refused for good, or for three days, and are not tried"
    " again.',"
    " 'Look at auth_admin.parked_notifications, mend the cause, and call"
    " auth_admin.release_notifications.'"
    "  FROM (SELECT FROM auth_private.outbox WHERE parked_at IS NOT NULL"
    "     AND settled_at IS NULL LIMIT 10000) AS parked"
    " HAVING count(*) > 0");

void
as_work_check(AsFindings *findings, const AsCounts *counts, const Jsonb *cron)
{
	TimestampTz pruned_at = counts == NULL ? AS_NO_TIME : counts->pruned_at;
	TimestampTz since = counts == NULL ? AS_NO_TIME : counts->since;

	as_finding_select(findings, &maintenance,
	                  AS_ARGS(as_arg_time(pruned_at), as_arg_time(since),
	                          as_arg_jsonb(cron)));
	if (cron != NULL)
		as_finding_select(findings, &jobs, AS_ARGS(as_arg_jsonb(cron)));
	as_finding_select(findings, &notifications, AS_NO_ARGS);
}
