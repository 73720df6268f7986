/*
 * session.c: sessions and their access tokens, in auth_private.sessions and
 * auth_private.token_cache.
 *
 * A session that has a row lives; deleting the row ends it. The row carries
 * the jti of the one access token that is good and the digest of the one
 * refresh token that is current. The token cache is an allow-list beside it,
 * unlogged and emptied by a crash: a hit with the same jti means live, a
 * miss means nothing and the session's row decides. So nothing that the
 * cache lost or kept revives a token. Verification writes nothing: a refill
 * could race with a logout.
 *
 * Sessions are written first, then the cache, never in one statement; the
 * cache's foreign key turns the interleavings that would leave a cache row
 * behind into a clean serialization failure.
 */
#include "table/table.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

static AsStatement select_jti = AS_STATEMENT_QUALIFIED(
    "SELECT jti, expires_at FROM auth_private.sessions WHERE "
    "user_id OPERATOR(pg_catalog.=) $1 AND id OPERATOR(pg_catalog.=) $2");

#define COLUMNS                                                           \
	"sessions.user_id, sessions.id, sessions.jti, sessions.generation, "  \
	"sessions.refresh_digest, sessions.created_at, sessions.renewed_at, " \
	"sessions.access_expires_at, sessions.expires_at, sessions.ends_at, " \
	"sessions.aal, pg_catalog.array_to_json(sessions.amr)::pg_catalog.text"
#define COLUMN_COUNT 12

static AsStatement select_one =
    AS_STATEMENT("SELECT " COLUMNS " FROM auth_private.sessions WHERE user_id "
                 "= $1 AND id = $2");

static AsStatement insert = AS_STATEMENT(
    "INSERT INTO auth_private.sessions (user_id, id, jti, generation, "
    "refresh_digest, created_at, renewed_at, access_expires_at, expires_at, "
    "ends_at, expiry_day, ip, user_agent, aal, amr) VALUES ($1, $2, $3, $4, "
    "$5, $6, $6, $7, $8, $9, $10, $11::pg_catalog.inet, $12, $13, $14)");

/*
 * Only the row that the presented token knows: of any number of renewals at
 * once, one finds it. The account comes along, since the next access token
 * says what it is now.
 */
static AsStatement update_renewed = AS_STATEMENT(
    "UPDATE auth_private.sessions SET jti = $5, generation = generation + 1, "
    "refresh_digest = $6, renewed_at = $7, "
    "access_expires_at = LEAST($8, $9, ends_at), "
    "expires_at = LEAST($9, ends_at), "
    "expiry_day = (LEAST($9, ends_at) AT TIME ZONE 'UTC')::pg_catalog.date "
    "FROM auth_private.accounts "
    "WHERE sessions.user_id = $1 AND sessions.id = $2 AND generation = $3 AND "
    "refresh_digest = $4 AND expires_at > $7 AND accounts.id = $1 "
    "RETURNING " COLUMNS ", " AS_ACCOUNT_COLUMNS);

static AsStatement update_cached = AS_STATEMENT(
    "UPDATE auth_private.token_cache SET jti = $3, expires_at = $4, "
    "expiry_day = $5 WHERE user_id = $1 AND session_id = $2");

static AsStatement upsert_cached = AS_STATEMENT(
    "INSERT INTO auth_private.token_cache (user_id, session_id, jti, "
    "expires_at, expiry_day) VALUES ($1, $2, $3, $4, $5) "
    "ON CONFLICT (user_id, session_id) DO UPDATE SET jti = EXCLUDED.jti, "
    "expires_at = EXCLUDED.expires_at, expiry_day = EXCLUDED.expiry_day");

static AsStatement delete_one = AS_STATEMENT(
    "DELETE FROM auth_private.sessions WHERE user_id = $1 AND id = $2");

static AsStatement delete_cached = AS_STATEMENT(
    "DELETE FROM auth_private.token_cache WHERE user_id = $1 AND session_id = "
    "$2");

static AsStatement delete_all =
    AS_STATEMENT("DELETE FROM auth_private.sessions WHERE user_id = $1 AND id "
                 "IS DISTINCT FROM $2");

static AsStatement delete_all_cached =
    AS_STATEMENT("DELETE FROM auth_private.token_cache WHERE user_id = $1 AND "
                 "session_id IS DISTINCT FROM $2");

static AsStatement count_live =
    AS_STATEMENT("SELECT pg_catalog.count(*) FROM auth_private.sessions WHERE "
                 "user_id = $1 AND expires_at > $2");

static AsStatement delete_oldest = AS_STATEMENT(
    "DELETE FROM auth_private.sessions WHERE (user_id, id) IN (SELECT user_id, "
    "id FROM auth_private.sessions WHERE user_id = $1 AND expires_at > $3 "
    "ORDER BY created_at DESC, id DESC OFFSET $2) AND user_id = $1");

static AsStatement select_live = AS_STATEMENT(
    "SELECT id, created_at, renewed_at, expires_at, ip, user_agent, aal, amr, "
    "id IS NOT DISTINCT FROM $2 FROM auth_private.sessions WHERE user_id = $1 "
    "AND expires_at > $3 ORDER BY created_at DESC, id DESC");

/*
 * A batch is picked once: planned as a subquery of IN it could be read again
 * for each row, and with FOR UPDATE SKIP LOCKED find others each time.
 */
static AsStatement prune_sessions = AS_STATEMENT(
    "WITH batch AS MATERIALIZED (SELECT user_id, id FROM auth_private.sessions "
    "WHERE expiry_day <= $1 AND expires_at <= $2 ORDER BY expiry_day LIMIT $3 "
    "FOR UPDATE SKIP LOCKED) DELETE FROM auth_private.sessions WHERE "
    "(user_id, id) IN (SELECT user_id, id FROM batch) AND expires_at <= $2");

static AsStatement prune_cached = AS_STATEMENT(
    "WITH batch AS MATERIALIZED (SELECT user_id, session_id FROM "
    "auth_private.token_cache WHERE expiry_day <= $1 AND expires_at <= $2 "
    "ORDER BY expiry_day LIMIT $3 FOR UPDATE SKIP LOCKED) "
    "DELETE FROM auth_private.token_cache WHERE (user_id, session_id) IN "
    "(SELECT user_id, session_id FROM batch) AND expires_at <= $2");

static void
read_session(const AsRow *row, void *into)
{
	AsSession *session = into;

	memset(session, 0, sizeof(*session));
	as_row_uuid(row, 1, &session->user_id);
	as_row_uuid(row, 2, &session->id);
	as_row_uuid(row, 3, &session->jti);
	session->generation = (uint32) as_row_int(row, 4);
	(void) as_row_bytes(row, 5, session->refresh_digest.bytes,
	                    sizeof(session->refresh_digest.bytes));
	session->created_at = as_row_time(row, 6);
	session->renewed_at = as_row_time(row, 7);
	session->access_expires_at = as_row_time(row, 8);
	session->expires_at = as_row_time(row, 9);
	session->ends_at = as_row_time(row, 10);
	session->aal = as_row_text(row, 11);
	session->amr = as_row_text(row, 12);
}

bool
as_session_find(const AsUuid *user_id, const AsUuid *id, AsSession *session)
{
	AsArgs args = {0};

	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, id);
	return as_store_run(&select_one, AS_READ, &args, read_session, session) > 0;
}

/* ---- is an access token live? ---- */

typedef struct Jti
{
	AsUuid jti;
	TimestampTz expires_at;
} Jti;

static void
read_jti(const AsRow *row, void *into)
{
	as_row_uuid(row, 1, &((Jti *) into)->jti);
	((Jti *) into)->expires_at = as_row_time(row, 2);
}

static bool
same_uuid(const AsUuid *a, const AsUuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

AsFailure
as_session_check(const AsUuid *user_id, const AsUuid *id, const AsUuid *jti,
                 TimestampTz now)
{
	AsArgs args = {0};
	Jti found;

	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, id);

	/*
	 * On a standby an unlogged table can't be read. Where the table is spread
	 * over other servers, nothing is found here and the session decides.
	 */
	if (!RecoveryInProgress() &&
	    as_store_probe("token_cache", "token_cache_pkey", user_id, id,
	                   &found.jti) &&
	    same_uuid(&found.jti, jti))
		return AS_OK;

	if (as_store_run(&select_jti, AS_READ, &args, read_jti, &found) == 0)
		return AS_SESSION_REVOKED;
	if (!same_uuid(&found.jti, jti))
		return AS_TOKEN_EXPIRED;
	return found.expires_at > now ? AS_OK : AS_SESSION_EXPIRED;
}

/* ---- open, renew, end ---- */

/* A renewed session has its row there, unless a crash or prune took it. */
static void
cache(const AsSession *session)
{
	AsArgs args = {0};

	as_arg_uuid(&args, &session->user_id);
	as_arg_uuid(&args, &session->id);
	as_arg_uuid(&args, &session->jti);
	as_arg_time(&args, session->access_expires_at);
	as_arg_date(&args, session->access_expires_at);
	if (session->generation == 1 ||
	    as_store_run(&update_cached, AS_WRITE, &args, NULL, NULL) == 0)
		(void) as_store_run(&upsert_cached, AS_WRITE, &args, NULL, NULL);
}

static TimestampTz
after_seconds(TimestampTz from, int seconds)
{
	return from + (int64) seconds * USECS_PER_SEC;
}

static TimestampTz
earlier(TimestampTz a, TimestampTz end)
{
	return end != AS_NO_TIME && end < a ? end : a;
}

void
as_session_open(const AsUuid *user_id, const AsOrigin *origin, const char *aal,
                const char *amr, AsSession *session, AsRefreshToken *token)
{
	AsArgs args = {0};
	TimestampTz now = GetCurrentTimestamp();
	Datum methods[1];

	memset(session, 0, sizeof(*session));
	session->user_id = *user_id;
	session->id = as_uuid_ordered(as_unix_milliseconds(now));
	session->jti = as_uuid_random();
	session->created_at = session->renewed_at = now;
	session->ends_at = auth_session_session_max_age > 0
	                       ? after_seconds(now, auth_session_session_max_age)
	                       : AS_NO_TIME;
	session->expires_at = earlier(
	    after_seconds(now, auth_session_refresh_token_ttl), session->ends_at);
	session->access_expires_at = earlier(
	    after_seconds(now, auth_session_access_token_ttl), session->expires_at);
	session->aal = pstrdup(aal);
	session->amr = psprintf("[\"%s\"]", amr);
	as_refresh_token_first(user_id, &session->id, token);
	session->generation = token->generation;
	as_refresh_token_digest(token, &session->refresh_digest);

	methods[0] = CStringGetTextDatum(amr);
	as_arg_uuid(&args, &session->user_id);
	as_arg_uuid(&args, &session->id);
	as_arg_uuid(&args, &session->jti);
	as_arg_int(&args, (int32) session->generation);
	as_arg_bytes(&args, session->refresh_digest.bytes, AS_DIGEST_BYTES);
	as_arg_time(&args, now);
	as_arg_time(&args, session->access_expires_at);
	as_arg_time(&args, session->expires_at);
	as_arg_time(&args, session->ends_at);
	as_arg_date(&args, session->expires_at);
	as_arg_text(&args, origin->address);
	as_arg_text(&args, origin->user_agent);
	as_arg_text(&args, aal);
	as_arg_datum(
	    &args, TEXTARRAYOID,
	    PointerGetDatum(construct_array(methods, 1, TEXTOID, -1, false, 'i')),
	    false);
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
	cache(session);
}

typedef struct Renewed
{
	AsSession *session;
	AsAccount *account;
} Renewed;

static void
read_renewed(const AsRow *row, void *into)
{
	Renewed *renewed = into;

	read_session(row, renewed->session);
	as_account_read(row, COLUMN_COUNT + 1, renewed->account);
}

bool
as_session_renew(const AsRefreshToken *presented, const AsRefreshToken *next,
                 AsSession *session, AsAccount *account)
{
	AsArgs args = {0};
	Renewed renewed = {session, account};
	AsDigest digest;
	AsUuid jti = as_uuid_random();
	TimestampTz now = GetCurrentTimestamp();

	as_store_make_durable();
	as_arg_uuid(&args, &presented->user_id);
	as_arg_uuid(&args, &presented->session_id);
	as_arg_int(&args, (int32) presented->generation);
	as_refresh_token_digest(presented, &digest);
	as_arg_bytes(&args, digest.bytes, sizeof(digest.bytes));
	as_arg_uuid(&args, &jti);
	as_refresh_token_digest(next, &digest);
	as_arg_bytes(&args, digest.bytes, sizeof(digest.bytes));
	as_arg_time(&args, now);
	as_arg_time(&args, after_seconds(now, auth_session_access_token_ttl));
	as_arg_time(&args, after_seconds(now, auth_session_refresh_token_ttl));
	if (as_store_run(&update_renewed, AS_WRITE, &args, read_renewed,
	                 &renewed) == 0)
		return false;
	cache(session);
	return true;
}

bool
as_session_end(const AsUuid *user_id, const AsUuid *id)
{
	AsArgs args = {0};
	bool ended;

	as_store_make_durable();
	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, id);
	ended = as_store_run(&delete_one, AS_WRITE, &args, NULL, NULL) > 0;
	(void) as_store_run(&delete_cached, AS_WRITE, &args, NULL, NULL);
	as_context_changed();
	return ended;
}

int
as_session_end_all(const AsUuid *user_id, const AsUuid *keep)
{
	AsArgs args = {0};
	uint64 ended;

	as_store_make_durable();
	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, keep);
	ended = as_store_run(&delete_all, AS_WRITE, &args, NULL, NULL);
	(void) as_store_run(&delete_all_cached, AS_WRITE, &args, NULL, NULL);
	as_context_changed();
	return (int) ended;
}

static void
read_count(const AsRow *row, void *into)
{
	*(int64 *) into = as_row_int8(row, 1);
}

void
as_session_keep_newest(const AsUuid *user_id, int most)
{
	AsArgs args = {0};
	AsArgs delete_args = {0};
	TimestampTz now = GetCurrentTimestamp();
	int64 live = 0;

	as_arg_uuid(&args, user_id);
	as_arg_time(&args, now);
	(void) as_store_run(&count_live, AS_READ, &args, read_count, &live);
	if (live <= most)
		return;
	as_store_make_durable();
	as_arg_uuid(&delete_args, user_id);
	as_arg_int(&delete_args, most);
	as_arg_time(&delete_args, now);
	(void) as_store_run(&delete_oldest, AS_WRITE, &delete_args, NULL, NULL);
}

void
as_session_list(const AsUuid *user_id, const AsUuid *current,
                AsRowReader reader, void *into)
{
	AsArgs args = {0};

	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, current);
	as_arg_time(&args, GetCurrentTimestamp());
	(void) as_store_run(&select_live, AS_READ, &args, reader, into);
}

int
as_session_prune(TimestampTz now, int batch)
{
	AsArgs args = {0};
	uint64 pruned;

	as_arg_date(&args, now);
	as_arg_time(&args, now);
	as_arg_int(&args, batch);
	pruned = as_store_run(&prune_sessions, AS_WRITE, &args, NULL, NULL);
	pruned += as_store_run(&prune_cached, AS_WRITE, &args, NULL, NULL);
	return (int) pruned;
}
