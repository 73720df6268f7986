/*
 * outbox.c: notifications on their way to the bridge, in
 * auth_private.outbox.
 *
 * A row is written in the transaction of the change that it tells of. The
 * bridge leases rows (claim), and settles or releases them; a lease that
 * runs out hands the row out again, so every notification arrives at least
 * once. A row that can never be delivered, or could not for days, is parked
 * with its error until somebody releases it.
 *
 * Rows are claimed by lanes, one for a kind, codes before notices; so a flood
 * of one kind keeps no other back. A lane is read from where it was last found
 * to begin: what lies before are the dead index entries of settled rows, which
 * no vacuum can remove while a dump holds its snapshot, and which made each
 * claim slower than the one before. A row that is committed late, behind that
 * point, is found when all is read again, once a minute.
 */
#include "table/table.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

/*
 * Deliveries tried before a row is parked: after pauses of 10, 40, 160, 640
 * and 2,560 seconds (greylists forgive within half an hour), and of an hour
 * from then on, about three days. A code ends with its own life before that.
 */
#define TRIES_MOST 76

/* The lanes of sql/30_tables.sql in the order of their turns. */
#define LANES    15
#define CHANNELS 3
#define ROUNDS   2
/* Of a claim, what one lane gets in the first round. */
#define LANE_SHARE 8

/* From here on a lane is always read; and how often it is read whole. */
#define LATE_USECS  (30 * USECS_PER_SEC)
#define WHOLE_USECS (60 * USECS_PER_SEC)
/* How long settled rows are kept, and undelivered ones at most: days. */
#define SETTLED_DAYS     1
#define UNDELIVERED_DAYS 30

static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.outbox"
    "       (user_id, id, created_at, kind, channel, recipient, code_id,"
    "        payload, attempts, due_at, settled_at)"
    " VALUES ($6, $1, $2, $3, $4, $5, $7, $8, 0, $2, $9)");

/*
 * One place for each lane of each channel, read twice: a share of it, and what
 * else is due. The batch is picked once, and whole (its count is asked for)
 * before the first row is updated: a second reading would not count the rows
 * that the first has taken, and a batch that is read row by row could exceed
 * $2.
 */
static AsStatement claim = AS_WRITES(
    "WITH batch AS MATERIALIZED ("
    "     SELECT o.user_id, o.id, o.due_at, p.place"
    "       FROM ROWS FROM (pg_catalog.unnest($4), pg_catalog.unnest($5),"
    "                       pg_catalog.unnest($6), pg_catalog.unnest($7),"
    "                       pg_catalog.unnest($8))"
    "            AS p (place, channel, lane, floor, taken),"
    "            LATERAL ("
    "            SELECT user_id, id, due_at FROM auth_private.outbox AS o"
    "             WHERE settled_at IS NULL AND parked_at IS NULL"
    "               AND o.channel = p.channel AND o.lane = p.lane"
    "               AND due_at >= p.floor AND due_at <= $1"
    "             ORDER BY due_at"
    "             LIMIT CASE WHEN p.taken = 0 THEN $9 ELSE $2 END"
    "             OFFSET p.taken"
    "             FOR UPDATE SKIP LOCKED) AS o"
    "      LIMIT $2)"
    " UPDATE auth_private.outbox AS o"
    "    SET due_at = $1 + $3, attempts = attempts + 1"
    "   FROM (SELECT user_id, id, due_at, place,"
    "                pg_catalog.count(*) OVER () AS count"
    "           FROM batch) AS b"
    "  WHERE o.user_id = b.user_id AND o.id = b.id AND b.count > 0"
    " RETURNING o.id, created_at, kind, channel, recipient, o.user_id,"
    "           code_id, payload, b.place, b.due_at AS was_due_at,"
    "           (SELECT info ->> 'locale' FROM auth_private.accounts AS a"
    "             WHERE a.id = o.user_id) AS language");

/*
 * Where the table is distributed no statement locks what it picks on several
 * nodes: the lanes that have anything due, then some rows of each, which are
 * leased if they are still due. Of two that pick the same, one gets them.
 */
static AsStatement select_due_lanes =
    AS_READS("SELECT channel, lane FROM auth_private.outbox"
             " WHERE settled_at IS NULL AND parked_at IS NULL"
             "   AND channel = ANY ($1) AND due_at <= $2"
             " GROUP BY channel, lane"
             " ORDER BY lane = 0, lane, channel");

static AsStatement select_due =
    AS_READS("SELECT user_id, id FROM auth_private.outbox"
             " WHERE settled_at IS NULL AND parked_at IS NULL"
             "   AND channel = $1 AND lane = $2 AND due_at <= $3"
             " ORDER BY due_at, id LIMIT $4 OFFSET $5");

static AsStatement lease_due = AS_WRITES(
    "UPDATE auth_private.outbox AS o"
    "   SET due_at = $3 + $4, attempts = attempts + 1"
    " WHERE user_id = ANY ($1) AND id = ANY ($2)"
    "   AND settled_at IS NULL AND parked_at IS NULL AND due_at <= $3"
    " RETURNING id, created_at, kind, channel, recipient, user_id, code_id,"
    "           payload, 0 AS place, due_at AS was_due_at,"
    "           NULL::text AS language");

static AsStatement select_language =
    AS_READS("SELECT info ->> 'locale' AS language"
             "  FROM auth_private.accounts WHERE id = $1");

static AsStatement settle =
    AS_WRITES("UPDATE auth_private.outbox"
              "   SET settled_at = $2, parked_at = NULL, error = NULL"
              " WHERE id = ANY ($1) AND settled_at IS NULL");

static AsStatement settle_one =
    AS_WRITES("UPDATE auth_private.outbox"
              "   SET settled_at = $3, parked_at = NULL, error = NULL"
              " WHERE user_id = $1 AND id = $2 AND settled_at IS NULL");

/*
 * A parked row is taken up again, with all its tries before it, unless it is
 * parked ($5) once more. Without an error it is given back: that was no try.
 */
static AsStatement release = AS_WRITES(
    "UPDATE auth_private.outbox"
    "   SET error = CASE WHEN $3 IS NULL AND parked_at IS NULL"
    "               THEN error ELSE $3 END,"
    "       attempts = CASE WHEN $5 THEN attempts"
    "                  WHEN parked_at IS NOT NULL THEN 0"
    "                  WHEN $3 IS NULL THEN GREATEST(attempts - 1, 0)"
    "                  ELSE attempts END,"
    "       due_at = CASE WHEN parked_at IS NULL AND $3 IS NOT NULL"
    "                THEN $2 + LEAST(3600, 10 * 4 ^ LEAST(attempts - 1, 5))"
    "                     * '1 second'::pg_catalog.interval"
    "                ELSE $2 END,"
    "       parked_at = CASE WHEN $5 THEN COALESCE(parked_at, $2)"
    "                   WHEN parked_at IS NULL AND $3 IS NOT NULL"
    "                        AND attempts >= $4 THEN $2 END"
    " WHERE id = ANY ($1) AND settled_at IS NULL");

static AsStatement prune = AS_WRITES(
    "WITH batch AS MATERIALIZED ("
    "     SELECT user_id, id FROM auth_private.outbox"
    "      WHERE created_at <= $1 AND (settled_at <= $1 OR created_at <= $2)"
    "      ORDER BY created_at LIMIT $3 FOR UPDATE SKIP LOCKED)"
    " DELETE FROM auth_private.outbox"
    "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

/*
 * But what carries a code, which is in codes: a new address that is somebody
 * else's has a code and nothing here.
 */
static AsStatement export = AS_EXPORTS(
    "created_at, kind, channel, recipient, payload, settled_at, parked_at",
    "outbox WHERE user_id = $1 AND code_id IS NULL", "id DESC");

static const AsColumn claimed_columns[] = {
    AS_COLUMN(AsClaimed, UUID, id),
    AS_COLUMN(AsClaimed, TIME, created_at),
    AS_COLUMN(AsClaimed, TEXT, kind),
    AS_COLUMN(AsClaimed, TEXT, channel),
    AS_COLUMN(AsClaimed, TEXT, recipient),
    AS_COLUMN(AsClaimed, UUID, user_id),
    AS_COLUMN(AsClaimed, UUID, code_id),
    AS_COLUMN(AsClaimed, JSONB, payload),
    AS_COLUMN(AsClaimed, INT, place),
    AS_COLUMN(AsClaimed, TIME, was_due_at),
    AS_COLUMN(AsClaimed, TEXT, language),
};
static const AsShape claimed_shape = AS_SHAPE(AsClaimed, claimed_columns);

void
as_outbox_add(const AsNotification *notification)
{
	static const AsUuid nobody;
	TimestampTz now = GetCurrentTimestamp();
	AsUuid id = as_uuid_ordered(as_unix_milliseconds(now));

	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&id), as_arg_time(now),
	            as_arg_text(notification->kind),
	            as_arg_text(notification->channel  ? notification->channel
	                        : notification->by_sms ? "sms"
	                                               : "email"),
	            as_arg_text(notification->recipient),
	            as_arg_uuid(notification->user_id ? notification->user_id
	                                              : &nobody),
	            as_arg_uuid(notification->code_id),
	            as_arg_jsonb(as_jsonb_parse(notification->payload)),
	            as_arg_time(notification->is_decoy ? now : AS_NO_TIME)));
	as_wake_on_commit(AS_WORK_BRIDGE);
}

static int
older_first(const void *a, const void *b)
{
	return memcmp(&((const AsClaimed *) a)->id, &((const AsClaimed *) b)->id,
	              sizeof(AsUuid));
}

/* ---- places: where a lane of a channel was last found to begin ---- */

#define PLACES (CHANNELS * LANES)

static const char *const channels[CHANNELS] = {"email", "sms", "event"};

#define EVENTS 2

/* This backend's, which is the bridge's as long as it lives. */
static TimestampTz floors[PLACES];
static TimestampTz whole_at;

typedef struct Places
{
	int count;
	Datum place[PLACES * ROUNDS];
	Datum channel[PLACES * ROUNDS];
	Datum lane[PLACES * ROUNDS];
	Datum floor[PLACES * ROUNDS];
	Datum taken[PLACES * ROUNDS];
} Places;

/* Lane 0 is of kinds without one of their own, and comes last. */
static int
lane_of(int turn)
{
	return (turn + 1) % LANES;
}

static void
list_places(Places *places, const char *channel, int share)
{
	places->count = 0;
	for (int round = 0; round < ROUNDS; round++)
		for (int turn = 0; turn < LANES; turn++)
			for (int c = 0; c < CHANNELS; c++)
			{
				int place = c * LANES + turn;
				int i = places->count;

				if (strcmp(channel ? channel : channels[c], channels[c]) != 0 ||
				    (channel == NULL && c == EVENTS))
					continue;
				places->place[i] = Int32GetDatum(place);
				places->channel[i] = CStringGetTextDatum(channels[c]);
				places->lane[i] = Int32GetDatum(lane_of(turn));
				places->floor[i] = TimestampTzGetDatum(floors[place]);
				places->taken[i] = Int32GetDatum(round * share);
				places->count++;
			}
}

static AsArg
arg_array(const Places *places, Datum *values, Oid type, Oid array_type)
{
	int16 length;
	bool by_value;
	char align;

	get_typlenbyvalalign(type, &length, &by_value, &align);
	return as_arg_datum(
	    array_type, PointerGetDatum(construct_array(values, places->count, type,
	                                                length, by_value, align)));
}

/*
 * After a claim: a lane that gave rows begins with the first of them, one that
 * gave none is empty if the batch was not full before its turn.
 */
static void
move_floors(const Places *places, const AsClaimed *rows, int count,
            bool is_full, TimestampTz now)
{
	TimestampTz late = now - LATE_USECS;

	for (int i = 0; i < places->count / ROUNDS; i++)
	{
		int place = DatumGetInt32(places->place[i]);
		TimestampTz first = late;
		bool was_read = !is_full;

		for (int j = 0; j < count; j++)
			if (rows[j].place == place)
			{
				was_read = true;
				first = Min(first, rows[j].was_due_at);
			}
		if (was_read)
			floors[place] = Max(floors[place], first);
	}
}

/* ---- a claim over several nodes ---- */

typedef struct Lane
{
	char *channel;
	int32 lane;
} Lane;

static const AsColumn lane_columns[] = {
    AS_COLUMN(Lane, TEXT, channel),
    AS_COLUMN(Lane, INT, lane),
};
static const AsShape lane_shape = AS_SHAPE(Lane, lane_columns);

static const AsColumn due_columns[] = {
    AS_COLUMN_AS("user_id", AsRowKey, UUID, first),
    AS_COLUMN_AS("id", AsRowKey, UUID, second),
};
static const AsShape due_shape = AS_SHAPE(AsRowKey, due_columns);

static const AsColumn language_columns[] = {
    AS_COLUMN_ONLY("language", TEXT),
};
static const AsShape language_shape = AS_SHAPE(char *, language_columns);

typedef struct Picked
{
	int count;
	Datum *user_ids;
	Datum *ids;
} Picked;

static void
pick(Picked *picked, const Lane *lane, int most, int after, TimestampTz now)
{
	AsRowKey *keys;
	int count;

	if (most <= 0)
		return;
	count = as_store_list(&select_due, &due_shape, &keys,
	                      AS_ARGS(as_arg_text(lane->channel),
	                              as_arg_int(lane->lane), as_arg_time(now),
	                              as_arg_int(most), as_arg_int(after)));
	for (int i = 0; i < count; i++)
	{
		picked->user_ids[picked->count] = PointerGetDatum(&keys[i].first);
		picked->ids[picked->count++] = PointerGetDatum(&keys[i].second);
	}
}

static AsArg
arg_uuids(Datum *uuids, int count)
{
	return as_arg_datum(UUIDARRAYOID, PointerGetDatum(construct_array(
	                                      uuids, count, UUIDOID, sizeof(AsUuid),
	                                      false, TYPALIGN_CHAR)));
}

static int
lease(const Picked *picked, Datum lease_time, TimestampTz now, AsClaimed **rows)
{
	int count = as_store_list(
	    &lease_due, &claimed_shape, rows,
	    AS_ARGS(arg_uuids(picked->user_ids, picked->count),
	            arg_uuids(picked->ids, picked->count), as_arg_time(now),
	            as_arg_datum(INTERVALOID, lease_time)));

	for (int i = 0; i < count; i++)
		if (as_uuid_is_known(&(*rows)[i].user_id))
			(void) as_store_find(&select_language, &language_shape,
			                     &(*rows)[i].language,
			                     AS_ARGS(as_arg_uuid(&(*rows)[i].user_id)));
	qsort(*rows, count, sizeof(AsClaimed), older_first);
	return count;
}

/* A share of each lane first, so that none keeps the others back. */
static int
claim_on_nodes(int most, Datum lease_time, const char *channel,
               AsClaimed **rows)
{
	char *wanted[CHANNELS];
	AsTexts texts = {0, wanted};
	TimestampTz now = GetCurrentTimestamp();
	int share = Max(1, most / LANE_SHARE);
	Picked picked = {0};
	Lane *lanes;
	int count;

	for (int c = 0; c < CHANNELS; c++)
		if (channel == NULL ? c != EVENTS : strcmp(channel, channels[c]) == 0)
			wanted[texts.count++] = unconstify(char *, channels[c]);
	count = as_store_list(&select_due_lanes, &lane_shape, &lanes,
	                      AS_ARGS(as_arg_texts(&texts), as_arg_time(now)));
	picked.user_ids = palloc(sizeof(Datum) * most);
	picked.ids = palloc(sizeof(Datum) * most);
	for (int i = 0; i < count; i++)
		pick(&picked, &lanes[i], Min(share, most - picked.count), 0, now);
	for (int i = 0; i < count; i++)
		pick(&picked, &lanes[i], most - picked.count, share, now);
	if (picked.count == 0)
	{
		*rows = NULL;
		return 0;
	}
	return lease(&picked, lease_time, now, rows);
}

int
as_outbox_claim(int most, Datum lease, const char *channel, AsClaimed **rows)
{
	TimestampTz now = GetCurrentTimestamp();
	int share = Max(1, most / LANE_SHARE);
	Places places;
	int count;

	if (as_is_distributed())
		return claim_on_nodes(most, lease, channel, rows);
	if (now - whole_at >= WHOLE_USECS || now < whole_at)
	{
		memset(floors, 0, sizeof(floors));
		whole_at = now;
	}
	list_places(&places, channel, share);
	count = as_store_list(
	    &claim, &claimed_shape, rows,
	    AS_ARGS(as_arg_time(now), as_arg_int(most),
	            as_arg_datum(INTERVALOID, lease),
	            arg_array(&places, places.place, INT4OID, INT4ARRAYOID),
	            arg_array(&places, places.channel, TEXTOID, TEXTARRAYOID),
	            arg_array(&places, places.lane, INT4OID, INT4ARRAYOID),
	            arg_array(&places, places.floor, TIMESTAMPTZOID,
	                      TIMESTAMPTZARRAYOID),
	            arg_array(&places, places.taken, INT4OID, INT4ARRAYOID),
	            as_arg_int(share)));
	move_floors(&places, *rows, count, count >= most, now);
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
as_outbox_settle_one(const AsUuid *user_id, const AsUuid *id)
{
	(void) as_store_run(&settle_one,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id),
	                            as_arg_time(GetCurrentTimestamp())));
}

int
as_outbox_release(Datum ids, const char *error, bool is_permanent)
{
	return (int) as_store_run(
	    &release,
	    AS_ARGS(as_arg_datum(UUIDARRAYOID, ids),
	            as_arg_time(GetCurrentTimestamp()), as_arg_text(error),
	            as_arg_int(TRIES_MOST), as_arg_bool(is_permanent)));
}

int
as_outbox_prune(TimestampTz now, int batch)
{
	return (int) as_shards_run(
	    &prune, "auth_private.outbox",
	    AS_ARGS(as_arg_time(now - SETTLED_DAYS * USECS_PER_DAY),
	            as_arg_time(now - UNDELIVERED_DAYS * USECS_PER_DAY),
	            as_arg_int(batch)));
}

Jsonb *
as_outbox_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
