/*
 * session.c: sessions, in auth_private.sessions.
 *
 * A session that has a row lives, unless a revocation ends it that could not
 * get at the row (revocation.c, which has the rule). The row carries the jti
 * of the one access token that is good and the digest of the one refresh token
 * that is current.
 */
#include "table/table.h"

static AsStatement select_token =
    AS_READS_QUALIFIED("SELECT jti, expires_at FROM auth_private.sessions"
                       " WHERE user_id OPERATOR(pg_catalog.=) $1"
                       "   AND id OPERATOR(pg_catalog.=) $2");

#define COLUMNS                                                       \
	"user_id, id, jti, generation, refresh_digest, created_at,"       \
	" renewed_at, access_expires_at, expires_at, ends_at, aal, amr, " \
	"auth_time, epoch, actor"

static AsStatement select_one =
    AS_READS("SELECT " COLUMNS " FROM auth_private.sessions"
             " WHERE user_id = $1 AND id = $2");

static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.sessions"
    "       (user_id, id, jti, generation, refresh_digest, created_at,"
    "        renewed_at, access_expires_at, expires_at, ends_at, expiry_day,"
    "        ip, user_agent, aal, amr, auth_time, epoch, actor)"
    " VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9, $10,"
    "         $11::pg_catalog.inet, $12, $13, $14, $15, $16, $17)");

/*
 * Only the row that the presented token knows: of any number of renewals at
 * once, one finds it. revise_rotated says the same without a statement.
 */
static AsStatement update_rotated = AS_WRITES(
    "UPDATE auth_private.sessions"
    "   SET jti = $5, generation = generation + 1, refresh_digest = $6,"
    "       renewed_at = $7, access_expires_at = LEAST($8, $9, ends_at),"
    "       expires_at = LEAST($9, ends_at),"
    "       expiry_day = (LEAST($9, ends_at) AT TIME ZONE 'UTC')"
    "                    ::pg_catalog.date"
    " WHERE user_id = $1 AND id = $2 AND generation = $3"
    "   AND refresh_digest = $4 AND expires_at > $7"
    " RETURNING " COLUMNS);

/*
 * Not renewed_at, from which the grace of the refresh token before runs: who
 * proves anew must not open that again.
 */
static AsStatement update_proof =
    AS_WRITES("UPDATE auth_private.sessions"
              "   SET jti = $4, auth_time = $5, amr = $6, aal = $7,"
              "       access_expires_at = LEAST($8, expires_at)"
              " WHERE user_id = $1 AND id = $2 AND jti = $3"
              "   AND expires_at > $5"
              " RETURNING " COLUMNS);

static AsStatement select_live_token =
    AS_READS("SELECT jti, expires_at FROM auth_private.sessions"
             " WHERE user_id = $1 AND id = $2 AND " AS_SESSION_LIVES);

static AsStatement select_fates =
    AS_READS("SELECT id, COALESCE(" AS_SESSION_LIVES ", false) AS lives"
             "  FROM auth_private.sessions WHERE user_id = $1");

static AsStatement count_made_before =
    AS_READS("SELECT pg_catalog.count(*) AS count FROM auth_private.sessions"
             " WHERE created_at < $1 AND expires_at > $2"
             "   AND NOT " AS_MADE_BEFORE("sessions.created_at"));

static AsStatement select_made_before =
    AS_READS("SELECT user_id, id FROM auth_private.sessions"
             " WHERE (user_id, id) > ($2, $3) AND created_at < $1"
             " ORDER BY user_id, id LIMIT $4");

static AsStatement update_epoch =
    AS_WRITES("UPDATE auth_private.sessions SET epoch = $3"
              " WHERE user_id = $1 AND id = $2");

static AsStatement delete_one = AS_WRITES(
    "DELETE FROM auth_private.sessions WHERE user_id = $1 AND id = $2");

#define ALL_BUT_ONE               \
	" FROM auth_private.sessions" \
	" WHERE user_id = $1 AND id IS DISTINCT FROM $2"

static AsStatement delete_all = AS_WRITES("DELETE" ALL_BUT_ONE);
static AsStatement select_others = AS_READS("SELECT" ALL_BUT_ONE);
static AsStatement lock_one =
    AS_WRITES("SELECT FROM auth_private.sessions"
              " WHERE user_id = $1 AND id = $2 FOR UPDATE SKIP LOCKED");
static AsStatement lock_others =
    AS_WRITES("SELECT" ALL_BUT_ONE " FOR UPDATE SKIP LOCKED");

/* An operator's sessions as the user are none of the user's. */
#define SELECT_OWN                         \
	"SELECT id FROM auth_private.sessions" \
	" WHERE user_id = $1 AND expires_at > $3 AND actor IS NULL"
#define BUT_THE_NEWEST " ORDER BY created_at DESC, id DESC OFFSET $2"

static AsStatement select_oldest = AS_READS(SELECT_OWN BUT_THE_NEWEST);
static AsStatement select_oldest_by_rule =
    AS_READS(SELECT_OWN " AND " AS_SESSION_LIVES BUT_THE_NEWEST);

#define SELECT_LIVE                                                       \
	"SELECT id, created_at, renewed_at, expires_at, ip, user_agent, aal," \
	"       amr, id IS NOT DISTINCT FROM $2"                              \
	"  FROM auth_private.sessions WHERE user_id = $1 AND expires_at > $3"
#define NEWEST_FIRST " ORDER BY created_at DESC, id DESC"

static AsStatement select_live = AS_READS(SELECT_LIVE NEWEST_FIRST);
static AsStatement select_live_by_rule =
    AS_READS(SELECT_LIVE " AND " AS_SESSION_LIVES NEWEST_FIRST);

static AsStatement delete_ended =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.sessions"
              "      WHERE expiry_day <= $1 AND expires_at <= $2"
              "      ORDER BY expiry_day LIMIT $3 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.sessions"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

static AsStatement lock_ended =
    AS_WRITES("SELECT user_id, id, ctid FROM auth_private.sessions"
              " WHERE expiry_day <= $1 AND expires_at <= $2"
              " ORDER BY expiry_day LIMIT $3 FOR UPDATE SKIP LOCKED");

static AsStatement export =
    AS_EXPORTS("id, created_at, renewed_at, expires_at, ends_at, ip,"
               " user_agent, aal, amr, auth_time",
               "sessions WHERE user_id = $1", "created_at DESC");

static const AsColumn session_columns[] = {
    AS_COLUMN(AsSession, UUID, user_id),
    AS_COLUMN(AsSession, UUID, id),
    AS_COLUMN(AsSession, UUID, jti),
    AS_COLUMN(AsSession, INT, generation),
    AS_COLUMN(AsSession, FIXED, refresh_digest),
    AS_COLUMN(AsSession, TIME, created_at),
    AS_COLUMN(AsSession, TIME, renewed_at),
    AS_COLUMN(AsSession, TIME, access_expires_at),
    AS_COLUMN(AsSession, TIME, expires_at),
    AS_COLUMN(AsSession, TIME, ends_at),
    AS_COLUMN(AsSession, TEXT, aal),
    AS_COLUMN(AsSession, TEXTS, amr),
    AS_COLUMN(AsSession, TIME, auth_time),
    AS_COLUMN(AsSession, INT8, epoch),
    AS_COLUMN(AsSession, TEXT, actor),
};

static const AsColumn token_columns[] = {
    AS_COLUMN(AsSessionToken, UUID, jti),
    AS_COLUMN(AsSessionToken, TIME, expires_at),
};

static const AsColumn fate_columns[] = {
    AS_COLUMN(AsSessionFate, UUID, id),
    AS_COLUMN(AsSessionFate, BOOL, lives),
};

static const AsColumn key_columns[] = {
    AS_COLUMN_AS("user_id", AsRowKey, UUID, first),
    AS_COLUMN_AS("id", AsRowKey, UUID, second),
};

static const AsColumn place_columns[] = {
    AS_COLUMN_AS("user_id", AsRowKey, UUID, first),
    AS_COLUMN_AS("id", AsRowKey, UUID, second),
    AS_COLUMN_AS("ctid", AsRowKey, PLACE, place),
};

static const AsColumn count_columns[] = {
    AS_COLUMN_ONLY("count", INT8),
};

static const AsColumn id_columns[] = {
    AS_COLUMN_ONLY("id", UUID),
};
static const AsShape session_shape = AS_SHAPE(AsSession, session_columns);
static const AsShape token_shape = AS_SHAPE(AsSessionToken, token_columns);
static const AsShape fate_shape = AS_SHAPE(AsSessionFate, fate_columns);
static const AsShape key_shape = AS_SHAPE(AsRowKey, key_columns);
static const AsShape place_shape = AS_SHAPE(AsRowKey, place_columns);
static const AsShape count_shape = AS_SHAPE(int64, count_columns);
static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);

bool
as_session_find(const AsUuid *user_id, const AsUuid *id, AsSession *session)
{
	return as_store_find(&select_one, &session_shape, session,
	                     AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
}

bool
as_session_find_token(const AsUuid *user_id, const AsUuid *id,
                      AsSessionToken *token)
{
	return as_store_find(&select_token, &token_shape, token,
	                     AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
}

bool
as_session_find_live(const AsUuid *user_id, const AsUuid *id,
                     AsSessionToken *token)
{
	return as_store_find(&select_live_token, &token_shape, token,
	                     AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
}

int
as_session_list_fates(const AsUuid *user_id, AsSessionFate **fates)
{
	return as_store_list(&select_fates, &fate_shape, fates,
	                     AS_ARGS(as_arg_uuid(user_id)));
}

int64
as_session_count_made_before(TimestampTz made_before)
{
	int64 count = 0;

	(void) as_store_find(
	    &count_made_before, &count_shape, &count,
	    AS_ARGS(as_arg_time(made_before), as_arg_time(GetCurrentTimestamp())));
	return count;
}

int
as_session_list_made_before(TimestampTz made_before, const AsRowKey *after,
                            int most, AsRowKey **keys)
{
	return as_store_list(
	    &select_made_before, &key_shape, keys,
	    AS_ARGS(as_arg_time(made_before), as_arg_uuid(&after->first),
	            as_arg_uuid(&after->second), as_arg_int(most)));
}

void
as_session_insert(const AsSession *session, const AsOrigin *origin)
{
	Assert(session->generation == 1);
	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&session->user_id), as_arg_uuid(&session->id),
	            as_arg_uuid(&session->jti), as_arg_int(session->generation),
	            as_arg_bytes(&session->refresh_digest, AS_DIGEST_BYTES),
	            as_arg_time(session->created_at),
	            as_arg_time(session->access_expires_at),
	            as_arg_time(session->expires_at), as_arg_time(session->ends_at),
	            as_arg_date(session->expires_at), as_arg_text(origin->address),
	            as_arg_text(origin->user_agent), as_arg_text(session->aal),
	            as_arg_texts(&session->amr), as_arg_time(session->auth_time),
	            as_arg_int8(session->epoch), as_arg_text(session->actor)));
}

/* What a renewal is of, and what it brings. */
typedef struct Rotation
{
	const AsRefreshToken *presented;
	AsDigest presented_digest;
	AsDigest next_digest;
	const AsUuid *jti;
	TimestampTz now;
	TimestampTz access_expires_at; /* these two unless ends_at is earlier */
	TimestampTz expires_at;
} Rotation;

static TimestampTz
earlier(TimestampTz a, TimestampTz end)
{
	return end != AS_NO_TIME && end < a ? end : a;
}

/* As update_rotated. */
static int
revise_rotated(void *row, AsNewValue values[AS_ROW_MAX_NEW],
               const void *context)
{
	AsSession *session = row;
	const Rotation *rotation = context;

	if (session->generation != (int32) rotation->presented->generation ||
	    !as_digest_equal(&session->refresh_digest,
	                     &rotation->presented_digest) ||
	    session->expires_at <= rotation->now)
		return 0;
	session->jti = *rotation->jti;
	session->generation++;
	session->refresh_digest = rotation->next_digest;
	session->renewed_at = rotation->now;
	session->expires_at = earlier(rotation->expires_at, session->ends_at);
	session->access_expires_at =
	    earlier(rotation->access_expires_at, session->expires_at);

	values[0] = (AsNewValue){"jti", as_arg_uuid(&session->jti)};
	values[1] = (AsNewValue){"generation", as_arg_int(session->generation)};
	values[2] =
	    (AsNewValue){"refresh_digest",
	                 as_arg_bytes(&session->refresh_digest, AS_DIGEST_BYTES)};
	values[3] = (AsNewValue){"renewed_at", as_arg_time(session->renewed_at)};
	values[4] = (AsNewValue){"access_expires_at",
	                         as_arg_time(session->access_expires_at)};
	values[5] = (AsNewValue){"expires_at", as_arg_time(session->expires_at)};
	values[6] = (AsNewValue){"expiry_day", as_arg_date(session->expires_at)};
	return 7;
}

bool
as_session_rotate(const AsRefreshToken *presented, const AsRefreshToken *next,
                  const AsUuid *jti, AsSession *session)
{
	TimestampTz now = GetCurrentTimestamp();
	Rotation rotation = {
	    .presented = presented,
	    .jti = jti,
	    .now = now,
	    .access_expires_at =
	        as_after_seconds(now, auth_session_access_token_ttl),
	    .expires_at = as_after_seconds(now, auth_session_refresh_token_ttl)};
	AsRevised revised;

	as_refresh_token_digest(presented, &rotation.presented_digest);
	as_refresh_token_digest(next, &rotation.next_digest);
	revised = as_row_revise("sessions", "sessions_pkey", &presented->user_id,
	                        &presented->session_id, &session_shape, session,
	                        revise_rotated, &rotation);
	if (revised != AS_BY_STATEMENT)
		return revised == AS_REVISED;
	return as_store_find(
	    &update_rotated, &session_shape, session,
	    AS_ARGS(as_arg_uuid(&presented->user_id),
	            as_arg_uuid(&presented->session_id),
	            as_arg_int((int32) presented->generation),
	            as_arg_bytes(&rotation.presented_digest, AS_DIGEST_BYTES),
	            as_arg_uuid(jti),
	            as_arg_bytes(&rotation.next_digest, AS_DIGEST_BYTES),
	            as_arg_time(now), as_arg_time(rotation.access_expires_at),
	            as_arg_time(rotation.expires_at)));
}

bool
as_session_set_proof(const AsUuid *user_id, const AsUuid *id, const AsUuid *jti,
                     const AsUuid *next, const AsTexts *amr, const char *aal,
                     AsSession *session)
{
	TimestampTz now = GetCurrentTimestamp();

	return as_store_find(
	    &update_proof, &session_shape, session,
	    AS_ARGS(
	        as_arg_uuid(user_id), as_arg_uuid(id), as_arg_uuid(jti),
	        as_arg_uuid(next), as_arg_time(now), as_arg_texts(amr),
	        as_arg_text(aal),
	        as_arg_time(as_after_seconds(now, auth_session_access_token_ttl))));
}

void
as_session_set_epoch(const AsUuid *user_id, const AsUuid *id, int64 epoch)
{
	(void) as_store_run(
	    &update_epoch,
	    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id), as_arg_int8(epoch)));
}

void
as_session_delete(const AsUuid *user_id, const AsUuid *id)
{
	(void) as_store_run(&delete_one,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
}

void
as_session_delete_alone(const AsRowKey *key)
{
	if (!as_session_delete_each(key, 1))
		as_session_delete(&key->first, &key->second);
}

bool
as_session_delete_each(const AsRowKey *keys, int count)
{
	return as_row_delete("sessions", "sessions_pkey", keys, count,
	                     "token_cache") == count;
}

int
as_session_delete_all(const AsUuid *user_id, const AsUuid *keep)
{
	return (int) as_store_run(&delete_all,
	                          AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(keep)));
}

bool
as_session_lock_all(const AsUuid *user_id, const AsUuid *keep)
{
	AsArgs args = AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(keep));

	return as_store_run(&lock_others, args) ==
	       as_store_run(&select_others, args);
}

AsLocked
as_session_try_lock(const AsUuid *user_id, const AsUuid *id, ItemPointer place)
{
	if (!as_is_local(as_store_relation("sessions")))
		return as_store_lock_by(&lock_one, &select_token,
		                        AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
	return as_store_try_lock("sessions", "sessions_pkey", user_id, id, true,
	                         place);
}

int
as_session_list_oldest(const AsUuid *user_id, int most, bool by_rule,
                       AsUuid **ids)
{
	TimestampTz now = GetCurrentTimestamp();

	return as_store_list(
	    by_rule ? &select_oldest_by_rule : &select_oldest, &id_shape, ids,
	    AS_ARGS(as_arg_uuid(user_id), as_arg_int(most), as_arg_time(now)));
}

void
as_session_each(const AsUuid *user_id, const AsUuid *current, bool by_rule,
                AsTupleVisit visit, void *into)
{
	(void) as_store_each(by_rule ? &select_live_by_rule : &select_live, visit,
	                     into,
	                     AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(current),
	                             as_arg_time(GetCurrentTimestamp())));
}

int
as_session_delete_ended(TimestampTz now, int batch)
{
	return (int) as_shards_run(
	    &delete_ended, "auth_private.sessions",
	    AS_ARGS(as_arg_date(now), as_arg_time(now), as_arg_int(batch)));
}

int
as_session_lock_ended(TimestampTz now, int batch, AsRowKey **keys)
{
	return as_store_list(
	    &lock_ended, &place_shape, keys,
	    AS_ARGS(as_arg_date(now), as_arg_time(now), as_arg_int(batch)));
}

Jsonb *
as_session_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
