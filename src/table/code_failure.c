/*
 * code_failure.c: wrong tries on the short codes of an address, in
 * auth_private.code_failures.
 *
 * One row per try, whatever code or sign-up it was meant for: a new sign-up at
 * somebody's address, or another code for it, begins no new budget. A row is
 * added by the recorder and taken away by a success, so the two never wait for
 * each other.
 */
#include "table/table.h"

/* How long the tries at an address are remembered after the last of them. */
#define KEPT_HOURS 24

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.code_failures"
              "       (identifier, id, purpose, failed_at)"
              " VALUES ($1, $2, $3, $4)");

static AsStatement count =
    AS_READS("SELECT count(*)::integer AS since_success,"
             "       (count(*) FILTER (WHERE purpose = $2"
             "           AND failed_at > $3))::integer AS in_window"
             "  FROM auth_private.code_failures WHERE identifier = $1");

static AsStatement lock_own =
    AS_WRITES("SELECT id FROM auth_private.code_failures"
              " WHERE identifier = $1 FOR UPDATE SKIP LOCKED");
static AsStatement delete_locked =
    AS_WRITES("DELETE FROM auth_private.code_failures"
              " WHERE identifier = $1 AND id = ANY ($2)");

static AsStatement prune = AS_WRITES(
    "WITH batch AS MATERIALIZED ("
    "     SELECT identifier, id FROM auth_private.code_failures AS old"
    "      WHERE failed_at <= $1 AND NOT EXISTS ("
    "            SELECT FROM auth_private.code_failures AS newer"
    "             WHERE newer.identifier = old.identifier"
    "               AND newer.failed_at > $1)"
    "      ORDER BY failed_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
    " DELETE FROM auth_private.code_failures"
    "  WHERE (identifier, id) IN (SELECT identifier, id FROM batch)");

static AsStatement export =
    AS_EXPORTS("purpose, identifier, failed_at",
               "code_failures WHERE identifier = ANY ($1)", "failed_at DESC");

static const AsColumn failures_columns[] = {
    AS_COLUMN(AsCodeFailures, INT, since_success),
    AS_COLUMN(AsCodeFailures, INT, in_window),
};
static const AsShape failures_shape =
    AS_SHAPE(AsCodeFailures, failures_columns);

void
as_code_failure_add(const char *identifier, const char *purpose, TimestampTz at)
{
	AsUuid id = as_uuid_random();

	(void) as_store_run(&insert,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(&id),
	                            as_arg_text(purpose), as_arg_time(at)));
}

void
as_code_failure_count(const char *identifier, const char *purpose, int window_s,
                      AsCodeFailures *failures)
{
	TimestampTz since = as_after_seconds(GetCurrentTimestamp(), -window_s);

	(void) as_store_find(&count, &failures_shape, failures,
	                     AS_ARGS(as_arg_text(identifier), as_arg_text(purpose),
	                             as_arg_time(since)));
}

bool
as_code_failure_allows(const AsCodeFailures *failures)
{
	return failures->since_success < AS_CODE_FAILURES_MOST &&
	       failures->in_window < auth_session_code_attempts;
}

void
as_code_failure_forget(const char *identifier)
{
	static const AsColumn id_columns[] = {AS_COLUMN_ONLY("id", UUID)};
	static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);
	AsUuid *own;
	int count = as_store_list(&lock_own, &id_shape, &own,
	                          AS_ARGS(as_arg_text(identifier)));

	if (count > 0)
		(void) as_store_run(&delete_locked, AS_ARGS(as_arg_text(identifier),
		                                            as_arg_uuids(own, count)));
}

int
as_code_failure_prune(TimestampTz now, int batch)
{
	return (int) as_shards_run(
	    &prune, "auth_private.code_failures",
	    AS_ARGS(as_arg_time(as_after_seconds(now, -KEPT_HOURS * 3600)),
	            as_arg_int(batch)));
}

Jsonb *
as_code_failure_export(const AsTexts *identifiers)
{
	return as_store_jsonb(&export, AS_ARGS(as_arg_texts(identifiers),
	                                       as_arg_int(AS_EXPORT_MOST)));
}
