/*
 * token_cache.c: access tokens that are good, in auth_private.token_cache.
 *
 * An allow-list beside the sessions, unlogged and emptied by a crash: a hit
 * with the same jti means live, a miss means nothing and the session's row
 * decides. So nothing that the cache lost or kept revives a token.
 *
 * A session is written first, then its row here, never in one statement; the
 * foreign key turns the interleavings that would leave a row behind into a
 * clean serialization failure.
 *
 * Where the tables are distributed it stays empty: it would save a look at what
 * another server has, and no foreign key leads there.
 */
#include "table/table.h"

#include "access/xlog.h"

static AsStatement update =
    AS_WRITES("UPDATE auth_private.token_cache"
              "   SET jti = $3, expires_at = $4, expiry_day = $5"
              " WHERE user_id = $1 AND session_id = $2");

static AsStatement upsert =
    AS_WRITES("INSERT INTO auth_private.token_cache"
              "       (user_id, session_id, jti, expires_at, expiry_day)"
              " VALUES ($1, $2, $3, $4, $5)"
              " ON CONFLICT (user_id, session_id) DO UPDATE"
              "   SET jti = EXCLUDED.jti, expires_at = EXCLUDED.expires_at,"
              "       expiry_day = EXCLUDED.expiry_day");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.token_cache"
              " WHERE user_id = $1 AND session_id = $2");

#define ONE                                \
	"SELECT FROM auth_private.token_cache" \
	" WHERE user_id = $1 AND session_id = $2"

static AsStatement select_one = AS_READS(ONE);
static AsStatement lock_one = AS_WRITES(ONE " FOR UPDATE SKIP LOCKED");

#define ALL_BUT_ONE                  \
	" FROM auth_private.token_cache" \
	" WHERE user_id = $1 AND session_id IS DISTINCT FROM $2"

static AsStatement delete_all = AS_WRITES("DELETE" ALL_BUT_ONE);
static AsStatement select_others = AS_READS("SELECT" ALL_BUT_ONE);
static AsStatement lock_others =
    AS_WRITES("SELECT" ALL_BUT_ONE " FOR UPDATE SKIP LOCKED");

static AsStatement lock_ended =
    AS_WRITES("SELECT user_id, session_id, ctid FROM auth_private.token_cache"
              " WHERE expiry_day <= $1 AND expires_at <= $2"
              " ORDER BY expiry_day LIMIT $3 FOR UPDATE SKIP LOCKED");

static const AsColumn place_columns[] = {
    AS_COLUMN_AS("user_id", AsRowKey, UUID, first),
    AS_COLUMN_AS("session_id", AsRowKey, UUID, second),
    AS_COLUMN_AS("ctid", AsRowKey, PLACE, place),
};
static const AsShape place_shape = AS_SHAPE(AsRowKey, place_columns);

bool
as_token_cache_probe(const AsUuid *user_id, const AsUuid *session_id,
                     AsUuid *jti)
{
	/* On a standby an unlogged table can't be read. */
	return !RecoveryInProgress() &&
	       as_row_probe("token_cache", "token_cache_pkey", user_id, session_id,
	                    jti);
}

static int
revise_token(void *row, AsNewValue values[AS_ROW_MAX_NEW], const void *context)
{
	const AsSession *session = context;

	values[0] = (AsNewValue){"jti", as_arg_uuid(&session->jti)};
	values[1] =
	    (AsNewValue){"expires_at", as_arg_time(session->access_expires_at)};
	values[2] =
	    (AsNewValue){"expiry_day", as_arg_date(session->access_expires_at)};
	return 3;
}

void
as_token_cache_put(const AsSession *session)
{
	AsArgs args = AS_ARGS(as_arg_uuid(&session->user_id),
	                      as_arg_uuid(&session->id), as_arg_uuid(&session->jti),
	                      as_arg_time(session->access_expires_at),
	                      as_arg_date(session->access_expires_at));

	if (as_is_distributed())
		return;
	/* A renewed session has its row there, unless a crash or prune took it. */
	if (session->generation > 1 &&
	    as_row_revise("token_cache", "token_cache_pkey", &session->user_id,
	                  &session->id, NULL, NULL, revise_token,
	                  session) == AS_REVISED)
		return;
	if (session->generation == 1 || as_store_run(&update, args) == 0)
		(void) as_store_run(&upsert, args);
}

void
as_token_cache_delete(const AsRowKey *key)
{
	if (!as_is_distributed() &&
	    as_row_delete("token_cache", "token_cache_pkey", key, 1, NULL) != 1)
		(void) as_store_run(&delete_one, AS_ARGS(as_arg_uuid(&key->first),
		                                         as_arg_uuid(&key->second)));
}

bool
as_token_cache_delete_each(const AsRowKey *sessions, int count)
{
	AsRowKey *keys = palloc(sizeof(AsRowKey) * Max(count, 1));

	/* Their places are the sessions'. */
	for (int i = 0; i < count; i++)
		keys[i] = (AsRowKey){.first = sessions[i].first,
		                     .second = sessions[i].second};
	return as_is_distributed() ||
	       as_row_delete("token_cache", "token_cache_pkey", keys, count,
	                     NULL) != AS_NOT_DELETED;
}

void
as_token_cache_delete_all(const AsUuid *user_id, const AsUuid *keep)
{
	if (!as_is_distributed())
		(void) as_store_run(&delete_all,
		                    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(keep)));
}

bool
as_token_cache_lock_all(const AsUuid *user_id, const AsUuid *keep)
{
	AsArgs args = AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(keep));

	return as_is_distributed() || as_store_run(&lock_others, args) ==
	                                  as_store_run(&select_others, args);
}

AsLocked
as_token_cache_try_lock(const AsUuid *user_id, const AsUuid *session_id,
                        ItemPointer place)
{
	if (as_is_distributed())
		return AS_ABSENT;
	if (!as_is_local(as_store_relation("token_cache")))
		return as_store_lock_by(
		    &lock_one, &select_one,
		    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(session_id)));
	return as_store_try_lock("token_cache", "token_cache_pkey", user_id,
	                         session_id, true, place);
}

int
as_token_cache_prune(TimestampTz now, int batch)
{
	AsRowKey *keys;
	int count;

	if (as_is_distributed())
		return 0;
	/* What is locked is where it was seen until the transaction ends. */
	count = as_store_list(
	    &lock_ended, &place_shape, &keys,
	    AS_ARGS(as_arg_date(now), as_arg_time(now), as_arg_int(batch)));
	if (as_row_delete("token_cache", "token_cache_pkey", keys, count, NULL) ==
	    AS_NOT_DELETED)
	{
		for (int i = 0; i < count; i++)
			(void) as_store_run(&delete_one,
			                    AS_ARGS(as_arg_uuid(&keys[i].first),
			                            as_arg_uuid(&keys[i].second)));
	}
	return count;
}
