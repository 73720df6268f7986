/*
 * outbox.c: notifications on their way to the bridge, in
 * auth_private.outbox.
 *
 * A row is written in the transaction of the change that it tells of. The
 * bridge leases rows (claim), and settles or releases them; a lease that
 * runs out hands the row out again, so every notification arrives at least
 * once. A row that was tried too often is parked with its error until
 * somebody releases it.
 */
#include "table/table.h"

#include "catalog/pg_type.h"
#include "utils/array.h"

/* Deliveries tried before a row is parked. */
#define TRIES_MOST 10
/* How long settled rows are kept, and undelivered ones at most: days. */
#define SETTLED_DAYS     1
#define UNDELIVERED_DAYS 30

static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.outbox"
    "       (id, created_at, kind, channel, recipient, user_id, code_id,"
    "        payload, attempts, due_at, settled_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $2, $9)");

/*
 * The batch is picked once: planned as a subquery of IN it could be read again
 * for each row, and hand out more than $2.
 */
static AsStatement claim = AS_WRITES(
    "WITH batch AS MATERIALIZED ("
    "     SELECT id FROM auth_private.outbox"
    "      WHERE settled_at IS NULL AND parked_at IS NULL AND due_at <= $1"
    "      ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
    " UPDATE auth_private.outbox"
    "    SET due_at = $1 + $3, attempts = attempts + 1"
    "  WHERE id IN (SELECT id FROM batch)"
    " RETURNING id, created_at, kind, channel, recipient, user_id, code_id,"
    "           payload");

static AsStatement settle =
    AS_WRITES("UPDATE auth_private.outbox"
              "   SET settled_at = $2, parked_at = NULL, error = NULL"
              " WHERE id = ANY ($1) AND settled_at IS NULL");

/* A pause of 1, 2, 4, ... seconds, an hour at most. */
static AsStatement release = AS_WRITES(
    "UPDATE auth_private.outbox"
    "   SET error = $3,"
    "       attempts = CASE WHEN parked_at IS NULL THEN attempts ELSE 0 END,"
    "       due_at = CASE WHEN parked_at IS NULL"
    "                THEN $2 + LEAST(3600, 2 ^ LEAST(attempts - 1, 12))"
    "                     * '1 second'::pg_catalog.interval"
    "                ELSE $2 END,"
    "       parked_at = CASE WHEN parked_at IS NULL AND attempts >= $4"
    "                   THEN $2 END"
    " WHERE id = ANY ($1) AND settled_at IS NULL");

static AsStatement prune = AS_WRITES(
    "WITH batch AS MATERIALIZED ("
    "     SELECT id FROM auth_private.outbox"
    "      WHERE created_at <= $1 AND (settled_at <= $1 OR created_at <= $2)"
    "      ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED)"
    " DELETE FROM auth_private.outbox WHERE id IN (SELECT id FROM batch)");

static const AsColumn claimed_columns[] = {
    AS_COLUMN(AsClaimed, UUID, id),
    AS_COLUMN(AsClaimed, TIME, created_at),
    AS_COLUMN(AsClaimed, TEXT, kind),
    AS_COLUMN(AsClaimed, TEXT, channel),
    AS_COLUMN(AsClaimed, TEXT, recipient),
    AS_COLUMN(AsClaimed, UUID, user_id),
    AS_COLUMN(AsClaimed, UUID, code_id),
    AS_COLUMN(AsClaimed, JSONB, payload),
};
static const AsShape claimed_shape = AS_SHAPE(AsClaimed, claimed_columns);

void
as_outbox_add(const AsNotification *notification)
{
	TimestampTz now = GetCurrentTimestamp();
	AsUuid id = as_uuid_ordered(as_unix_milliseconds(now));

	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&id), as_arg_time(now),
	            as_arg_text(notification->kind),
	            as_arg_text(notification->by_sms ? "sms" : "email"),
	            as_arg_text(notification->recipient),
	            as_arg_uuid(notification->user_id),
	            as_arg_uuid(notification->code_id),
	            as_arg_jsonb(as_jsonb_parse(notification->payload)),
	            as_arg_time(notification->is_decoy ? now : AS_NO_TIME)));
	as_recorder_wake_bridge();
}

static int
older_first(const void *a, const void *b)
{
	return memcmp(&((const AsClaimed *) a)->id, &((const AsClaimed *) b)->id,
	              sizeof(AsUuid));
}

int
as_outbox_claim(int most, Datum lease, AsClaimed **rows)
{
	int count = as_store_list(&claim, &claimed_shape, rows,
	                          AS_ARGS(as_arg_time(GetCurrentTimestamp()),
	                                  as_arg_int(most),
	                                  as_arg_datum(INTERVALOID, lease)));

	if (count > 0)
		qsort(*rows, count, sizeof(AsClaimed), older_first);
	return count;
}

int
as_outbox_settle(Datum ids)
{
	return (int) as_store_run(&settle,
	                          AS_ARGS(as_arg_datum(UUIDARRAYOID, ids),
	                                  as_arg_time(GetCurrentTimestamp())));
}

void
as_outbox_settle_one(const AsUuid *id)
{
	Datum element = PointerGetDatum(id);

	(void) as_outbox_settle(PointerGetDatum(construct_array(
	    &element, 1, UUIDOID, sizeof(AsUuid), false, TYPALIGN_CHAR)));
}

int
as_outbox_release(Datum ids, const char *error)
{
	return (int) as_store_run(
	    &release, AS_ARGS(as_arg_datum(UUIDARRAYOID, ids),
	                      as_arg_time(GetCurrentTimestamp()),
	                      as_arg_text(error), as_arg_int(TRIES_MOST)));
}

int
as_outbox_prune(TimestampTz now, int batch)
{
	return (int) as_store_run(
	    &prune, AS_ARGS(as_arg_time(now - SETTLED_DAYS * USECS_PER_DAY),
	                    as_arg_time(now - UNDELIVERED_DAYS * USECS_PER_DAY),
	                    as_arg_int(batch)));
}
