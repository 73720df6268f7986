/*
 * factor.c: second factors, in auth_private.factors.
 *
 * A row is an authenticator app's secret, pending until a code of it was shown,
 * on from then. A new pending one is only added: of several the newest counts,
 * and not for long. Of those that are on there is one at most: whoever turns
 * one on holds the account.
 *
 * last_step is the newest step of which a code was taken. It only grows, so a
 * code that was used, and any older one, is never taken again.
 */
#include "table/table.h"

#define COLUMNS "user_id, id, secret, confirmed_at, last_step"

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.factors"
              "       (user_id, id, secret, created_at, last_step)"
              " VALUES ($1, $2, $3, $4, 0)");

static AsStatement select_on =
    AS_READS("SELECT " COLUMNS " FROM auth_private.factors"
             " WHERE user_id = $1 AND confirmed_at IS NOT NULL");

static AsStatement select_pending =
    AS_READS("SELECT " COLUMNS " FROM auth_private.factors"
             " WHERE user_id = $1 AND confirmed_at IS NULL AND created_at > $2"
             " ORDER BY created_at DESC, id DESC LIMIT 1");

static AsStatement update_on =
    AS_WRITES("UPDATE auth_private.factors"
              "   SET confirmed_at = $3, last_step = $4"
              " WHERE user_id = $1 AND id = $2 AND confirmed_at IS NULL");

static AsStatement update_step =
    AS_WRITES("UPDATE auth_private.factors SET last_step = $3"
              " WHERE user_id = $1 AND id = $2 AND last_step < $3");

/* Those that are pending, but one that somebody is about to turn on. */
static AsStatement lock_pending =
    AS_WRITES("SELECT id FROM auth_private.factors"
              " WHERE user_id = $1 AND confirmed_at IS NULL"
              "   FOR UPDATE SKIP LOCKED");
static AsStatement delete_locked =
    AS_WRITES("DELETE FROM auth_private.factors"
              " WHERE user_id = $1 AND id = ANY ($2)");

static AsStatement delete_all =
    AS_WRITES("DELETE FROM auth_private.factors WHERE user_id = $1");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.factors"
              "      WHERE created_at <= $1 AND confirmed_at IS NULL"
              "      ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.factors"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

static AsStatement export =
    AS_EXPORTS("created_at, confirmed_at", "factors WHERE user_id = $1",
               "created_at DESC");

static const AsColumn factor_columns[] = {
    AS_COLUMN(AsFactor, UUID, user_id),
    AS_COLUMN(AsFactor, UUID, id),
    AS_COLUMN(AsFactor, BYTES, secret),
    AS_COLUMN(AsFactor, TIME, confirmed_at),
    AS_COLUMN(AsFactor, INT8, last_step),
};
static const AsColumn id_columns[] = {
    AS_COLUMN_ONLY("id", UUID),
};
static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);
static const AsShape factor_shape = AS_SHAPE(AsFactor, factor_columns);

void
as_factor_add(const AsUuid *user_id, const AsUuid *id, AsArg secret)
{
	AsUuid *pending;
	int count = as_store_list(&lock_pending, &id_shape, &pending,
	                          AS_ARGS(as_arg_uuid(user_id)));

	if (count > 0)
		(void) as_store_run(
		    &delete_locked,
		    AS_ARGS(as_arg_uuid(user_id), as_arg_uuids(pending, count)));
	(void) as_store_run(&insert,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id), secret,
	                            as_arg_time(GetCurrentTimestamp())));
}

bool
as_factor_find(const AsUuid *user_id, AsFactor *factor)
{
	return as_store_find(&select_on, &factor_shape, factor,
	                     AS_ARGS(as_arg_uuid(user_id)));
}

bool
as_factor_is_on(const AsUuid *user_id)
{
	return as_store_run(&select_on, AS_ARGS(as_arg_uuid(user_id))) > 0;
}

/* The latest creation of a pending factor that counts no more. */
static TimestampTz
ended_before(TimestampTz now)
{
	return as_after_seconds(now, -AS_FACTOR_PENDING_S);
}

bool
as_factor_find_pending(const AsUuid *user_id, AsFactor *factor)
{
	return as_store_find(
	    &select_pending, &factor_shape, factor,
	    AS_ARGS(as_arg_uuid(user_id),
	            as_arg_time(ended_before(GetCurrentTimestamp()))));
}

bool
as_factor_turn_on(const AsFactor *factor, int64 step)
{
	return as_store_run(&update_on, AS_ARGS(as_arg_uuid(&factor->user_id),
	                                        as_arg_uuid(&factor->id),
	                                        as_arg_time(GetCurrentTimestamp()),
	                                        as_arg_int8(step))) > 0;
}

bool
as_factor_use_step(const AsFactor *factor, int64 step)
{
	return as_store_run(&update_step, AS_ARGS(as_arg_uuid(&factor->user_id),
	                                          as_arg_uuid(&factor->id),
	                                          as_arg_int8(step))) > 0;
}

void
as_factor_delete_all(const AsUuid *user_id)
{
	(void) as_store_run(&delete_all, AS_ARGS(as_arg_uuid(user_id)));
}

int
as_factor_prune(TimestampTz now, int batch)
{
	return (int) as_shards_run(
	    &prune, "auth_private.factors",
	    AS_ARGS(as_arg_time(ended_before(now)), as_arg_int(batch)));
}

Jsonb *
as_factor_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
