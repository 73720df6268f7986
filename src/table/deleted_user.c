/*
 * deleted_user.c: accounts that are gone, in auth_private.deleted_users.
 *
 * No foreign key of an application's crosses into our tables; it follows this
 * one instead (auth_admin.deleted_users).
 */
#include "table/table.h"

/* An account that was restored, and has gone again, is here already. */
static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.deleted_users AS d (user_id, deleted_at)"
    " VALUES ($1, $2)"
    " ON CONFLICT (user_id) DO UPDATE SET deleted_at = excluded.deleted_at");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.deleted_users WHERE user_id = $1");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id FROM auth_private.deleted_users"
              "      WHERE deleted_at < $1 ORDER BY deleted_at LIMIT $2"
              "        FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.deleted_users"
              "  WHERE user_id IN (SELECT user_id FROM batch)");

void
as_deleted_user_note(const AsUuid *user_id, TimestampTz at)
{
	(void) as_store_run(&insert,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_time(at)));
}

void
as_deleted_user_forget(const AsUuid *user_id)
{
	(void) as_store_run(&delete_one, AS_ARGS(as_arg_uuid(user_id)));
}

int
as_deleted_user_prune(TimestampTz now, int batch)
{
	TimestampTz cutoff;

	if (auth_session_deleted_retention == 0)
		return 0;
	cutoff = as_after_seconds(now, -(int64) auth_session_deleted_retention);
	return (int) as_shards_run(&prune, "auth_private.deleted_users",
	                           AS_ARGS(as_arg_time(cutoff), as_arg_int(batch)));
}
