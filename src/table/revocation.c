/*
 * revocation.c: ends of sessions that could not be written into the rows they
 * end, in auth_private.revocations.
 *
 * Whoever ends a session must not wait for a transaction that holds its row:
 * a stolen token's renewal left idle, say. So where a row is held, a row is
 * appended here instead, under a random id, for which nothing is ever waited
 * for. One with a session's id ends that session. One without ends all
 * sessions of its user but keep, and may carry the new password's hash: a
 * session lives only while
 *
 *     its epoch = the account's epoch + sum (weight of the user's rows
 *                                            that do not keep it)
 *
 * No clock and no transaction id is in that rule, so concurrent revocations
 * add up, and a session that is still uncommitted falls under it when it
 * commits. A row of weight 0 ends nothing; it has the user's epochs compared.
 * API keys follow the same rule by an epoch of their own, key_epoch, to which
 * each row that ends_keys adds 1, and a row may have an API key's id, too.
 * A ban, its end, a deletion and forgiven failures are carried in the same
 * way. A new password has the addresses that the account then had, too: a
 * thief's change of address that is left open would otherwise take the account
 * from its owner after a reset, when it commits.
 * The recorder works all of them into the rows they name (fold.c).
 *
 * A row of everybody's (user_id all zeros) ends what was made before a time,
 * in whatever table it has its row, or in none. By the clock alone: whoever
 * opened a session had his transaction's id before the session had its time.
 * So it is worked off when no transaction is left that is older than the row,
 * and the recorder then deletes what it ended.
 *
 * Mostly there is no row at all, and every backend knows that until it hears
 * of a change (watch.c). Where the tables are distributed, these rows are on
 * every node, and a change arrives at one a moment before the others: there
 * the rule is asked each time, by the statement that reads the session's row,
 * on the node where that is.
 */
#include "table/table.h"

#include "access/parallel.h"
#include "access/transam.h"
#include "access/xlog.h"

/* No transaction is left open on another node for longer: seconds. */
#define FOR_ALL_OPEN_S (24 * 3600)

static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.revocations"
    "       (user_id, session_id, id, keep, password_hash, weight, banned,"
    "        banned_until, ban_reason, deleted, forgives, at,"
    "        keeps_addresses, email, phone, ends_keys)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,"
    "         $15, $16)");

static AsStatement insert_for_all =
    AS_WRITES("INSERT INTO auth_private.revocations"
              "       (user_id, session_id, id, weight, at, made_before,"
              "        next_xid)"
              " VALUES (" AS_NOBODY ", " AS_NOBODY ", $1, 0, $2, $3, $4)");

static AsStatement select_not_before =
    AS_READS("SELECT pg_catalog.max(made_before) AS made_before"
             "  FROM auth_private.revocations WHERE user_id = " AS_NOBODY);

static AsStatement select_for_all = AS_READS(
    "SELECT id, made_before, at, next_xid,"
    "       next_xid <= pg_catalog.pg_snapshot_xmin("
    "           pg_catalog.pg_current_snapshot())::text::bigint AS is_over"
    "  FROM auth_private.revocations WHERE user_id = " AS_NOBODY
    " ORDER BY made_before DESC, id");

static AsStatement update_for_all =
    AS_WRITES("UPDATE auth_private.revocations"
              "   SET next_xid = $2, at = COALESCE($3, at)"
              " WHERE user_id = " AS_NOBODY " AND id = $1");

static AsStatement delete_for_all =
    AS_WRITES("DELETE FROM auth_private.revocations"
              " WHERE user_id = " AS_NOBODY " AND id = $1");

static AsStatement select_any =
    AS_READS_QUALIFIED("SELECT FROM auth_private.revocations LIMIT 1");

static AsStatement select_user =
    AS_READS_QUALIFIED("SELECT FROM auth_private.revocations"
                       " WHERE user_id OPERATOR(pg_catalog.=) $1 LIMIT 1");

static AsStatement select_all = AS_READS(
    "SELECT user_id, session_id, id, keep, password_hash, weight,"
    "       banned IS NOT NULL AS changes_ban,"
    "       CASE WHEN banned THEN at END AS banned_at, banned_until,"
    "       ban_reason, deleted, forgives, keeps_addresses, email, phone,"
    "       ends_keys"
    "  FROM auth_private.revocations"
    " WHERE user_id = $1 ORDER BY at, id");

static AsStatement update_addresses =
    AS_WRITES("UPDATE auth_private.revocations SET keeps_addresses = false"
              " WHERE user_id = $1 AND keeps_addresses");

static AsStatement select_users =
    AS_READS("SELECT DISTINCT user_id FROM auth_private.revocations"
             " WHERE user_id > $1 ORDER BY user_id LIMIT $2");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.revocations"
              " WHERE user_id = $1 AND session_id = $2 AND id = $3");

static const AsColumn revocation_columns[] = {
    AS_COLUMN(AsRevocation, UUID, user_id),
    AS_COLUMN(AsRevocation, UUID, session_id),
    AS_COLUMN(AsRevocation, UUID, id),
    AS_COLUMN(AsRevocation, UUID, keep),
    AS_COLUMN_AS("password_hash", AsRevocation, CHARS, hash),
    AS_COLUMN(AsRevocation, INT, weight),
    AS_COLUMN(AsRevocation, BOOL, changes_ban),
    AS_COLUMN_AS("banned_at", AsRevocation, TIME, ban.at),
    AS_COLUMN_AS("banned_until", AsRevocation, TIME, ban.until),
    AS_COLUMN_AS("ban_reason", AsRevocation, TEXT, ban.reason),
    AS_COLUMN_AS("deleted", AsRevocation, BOOL, deletes),
    AS_COLUMN(AsRevocation, BOOL, forgives),
    AS_COLUMN(AsRevocation, BOOL, keeps_addresses),
    AS_COLUMN(AsRevocation, TEXT, email),
    AS_COLUMN(AsRevocation, TEXT, phone),
    AS_COLUMN(AsRevocation, BOOL, ends_keys),
};
static const AsShape revocation_shape =
    AS_SHAPE(AsRevocation, revocation_columns);

static const AsColumn user_columns[] = {
    AS_COLUMN_ONLY("user_id", UUID),
};
static const AsShape user_shape = AS_SHAPE(AsUuid, user_columns);

static const AsColumn for_all_columns[] = {
    AS_COLUMN(AsForAll, UUID, id),      AS_COLUMN(AsForAll, TIME, made_before),
    AS_COLUMN(AsForAll, TIME, at),      AS_COLUMN(AsForAll, INT8, next_xid),
    AS_COLUMN(AsForAll, BOOL, is_over),
};
static const AsShape for_all_shape = AS_SHAPE(AsForAll, for_all_columns);

static const AsColumn not_before_columns[] = {
    AS_COLUMN_ONLY("made_before", TIME),
};
static const AsShape not_before_shape =
    AS_SHAPE(TimestampTz, not_before_columns);

/* The version of the table at which it was empty; 0: it may not be. */
static uint64 empty_at = 0;

/* The newest time of everybody's rows, and of which version; 0: unknown. */
static TimestampTz not_before = AS_NO_TIME;
static uint64 not_before_at = 0;

/* A row; what is all zeros in it is SQL NULL, but session_id. */
static void
add(const AsRevocation *row)
{
	const AsBan *ban = &row->ban;
	AsUuid id = as_uuid_random();
	bool is_banned = ban->at != AS_NO_TIME;
	AsArg banned = as_arg_bool(is_banned);

	banned.is_null = !row->changes_ban;
	empty_at = 0;
	as_store_make_durable();
	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&row->user_id), as_arg_uuid(&row->session_id),
	            as_arg_uuid(&id),
	            as_arg_uuid(as_uuid_is_known(&row->keep) ? &row->keep : NULL),
	            as_arg_text(row->hash.phc[0] == '\0' ? NULL : row->hash.phc),
	            as_arg_int(row->weight), banned,
	            as_arg_time(row->changes_ban ? ban->until : AS_NO_TIME),
	            as_arg_text(row->changes_ban ? ban->reason : NULL),
	            as_arg_bool(row->deletes), as_arg_bool(row->forgives),
	            as_arg_time(GetCurrentTimestamp()),
	            as_arg_bool(row->keeps_addresses), as_arg_text(row->email),
	            as_arg_text(row->phone), as_arg_bool(row->ends_keys)));
	as_wake_on_commit(AS_WORK_FOLD);
}

void
as_revocation_add(const AsUuid *user_id, const AsUuid *session_id,
                  const AsUuid *keep, const AsPasswordHash *hash, int weight)
{
	AsRevocation row = {.user_id = *user_id, .weight = weight};

	Assert(session_id == NULL || weight == 0);
	if (session_id != NULL)
		row.session_id = *session_id;
	if (keep != NULL)
		row.keep = *keep;
	if (hash != NULL)
		row.hash = *hash;
	add(&row);
}

void
as_revocation_add_password(const AsUuid *user_id, const AsUuid *keep,
                           bool ends_keys, const AsPasswordHash *hash,
                           const char *email, const char *phone)
{
	AsRevocation row = {
	    .user_id = *user_id,
	    .hash = *hash,
	    .weight = 1,
	    .ends_keys = ends_keys,
	    .keeps_addresses = true,
	    .email = unconstify(char *, email),
	    .phone = unconstify(char *, phone),
	};

	if (keep != NULL)
		row.keep = *keep;
	add(&row);
}

void
as_revocation_let_addresses_change(const AsUuid *user_id)
{
	if (as_revocation_is_pending(user_id))
		(void) as_store_run(&update_addresses, AS_ARGS(as_arg_uuid(user_id)));
}

void
as_revocation_add_ban(const AsUuid *user_id, const AsBan *ban)
{
	AsRevocation row = {
	    .user_id = *user_id,
	    .weight = ban->at == AS_NO_TIME ? 0 : 1,
	    .changes_ban = true,
	    .ban = *ban,
	    .ends_keys = ban->at != AS_NO_TIME,
	};

	add(&row);
}

void
as_revocation_add_deletion(const AsUuid *user_id)
{
	AsRevocation row = {
	    .user_id = *user_id,
	    .weight = 1,
	    .deletes = true,
	    .ends_keys = true,
	};

	add(&row);
}

void
as_revocation_add_forgiveness(const AsUuid *user_id)
{
	AsRevocation row = {.user_id = *user_id, .forgives = true};

	add(&row);
}

/* Every transaction that has an id by now has a smaller one. */
static int64
next_xid(void)
{
	return (int64) U64FromFullTransactionId(ReadNextFullTransactionId());
}

void
as_revocation_add_for_all(TimestampTz made_before)
{
	AsUuid id = as_uuid_random();

	empty_at = not_before_at = 0;
	as_store_make_durable();
	(void) as_store_run(
	    &insert_for_all,
	    AS_ARGS(as_arg_uuid(&id), as_arg_time(GetCurrentTimestamp()),
	            as_arg_time(made_before), as_arg_int8(next_xid())));
	as_wake_on_commit(AS_WORK_FOLD);
}

/* AS_NO_TIME where there is none. */
static TimestampTz
find_not_before(uint64 version)
{
	TimestampTz newest = AS_NO_TIME;

	if (not_before_at == version && !as_is_distributed())
		return not_before;
	(void) as_store_find(&select_not_before, &not_before_shape, &newest,
	                     AS_NO_ARGS);

	/* As below. */
	if (!IsInParallelMode() &&
	    as_watch_version(AS_WATCH_REVOCATIONS) == version)
	{
		not_before = newest;
		not_before_at = version;
	}
	return newest;
}

bool
as_revocation_ends(TimestampTz made_at)
{
	uint64 version = as_watch_version(AS_WATCH_REVOCATIONS);
	TimestampTz newest = empty_at == version && !as_is_distributed()
	                         ? AS_NO_TIME
	                         : find_not_before(version);

	return newest != AS_NO_TIME && made_at <= newest;
}

/*
 * After a crash, or COMMIT PREPARED, nobody else would. A row of everybody's
 * stays for minutes, in which every request comes by here.
 */
static void
wake_recorder(bool is_for_all)
{
	static TimestampTz woken_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (RecoveryInProgress() || IsInParallelMode() ||
	    (is_for_all && woken_at <= now && now - woken_at < USECS_PER_SEC))
		return;
	woken_at = now;
	as_dispatch_wake(AS_WORK_FOLD);
}

bool
as_revocation_is_pending(const AsUuid *user_id)
{
	uint64 version = as_watch_version(AS_WATCH_REVOCATIONS);
	if (likely(empty_at == version) && !as_is_distributed())
		return false;
	if (as_store_run(&select_any, AS_NO_ARGS) > 0)
	{
		bool is_for_all = find_not_before(version) != AS_NO_TIME;

		wake_recorder(is_for_all);
		return is_for_all ||
		       as_store_run(&select_user, AS_ARGS(as_arg_uuid(user_id))) > 0;
	}

	/* Not known from the snapshot of a query, nor where it has changed. */
	if (!IsInParallelMode() &&
	    as_watch_version(AS_WATCH_REVOCATIONS) == version)
		empty_at = version;
	return false;
}

bool
as_revocation_may_decide(const AsUuid *user_id)
{
	return as_is_distributed() || as_revocation_is_pending(user_id);
}

int
as_revocation_list(const AsUuid *user_id, AsRevocation **rows)
{
	return as_store_list(&select_all, &revocation_shape, rows,
	                     AS_ARGS(as_arg_uuid(user_id)));
}

int
as_revocation_list_users(const AsUuid *after, int most, AsUuid **user_ids)
{
	return as_store_list(&select_users, &user_shape, user_ids,
	                     AS_ARGS(as_arg_uuid(after), as_arg_int(most)));
}

void
as_revocation_delete(const AsRevocation *row)
{
	(void) as_store_run(&delete_one, AS_ARGS(as_arg_uuid(&row->user_id),
	                                         as_arg_uuid(&row->session_id),
	                                         as_arg_uuid(&row->id)));
}

/* Of transactions on other nodes nothing is known but the time. */
int
as_revocation_list_for_all(AsForAll **rows)
{
	int count =
	    as_store_list(&select_for_all, &for_all_shape, rows, AS_NO_ARGS);
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < count && as_is_distributed(); i++)
		(*rows)[i].is_over =
		    (*rows)[i].next_xid != 0 &&
		    as_after_seconds((*rows)[i].at, FOR_ALL_OPEN_S) < now;
	return count;
}

bool
as_revocation_is_native(const AsForAll *row)
{
	return as_is_distributed() || row->next_xid <= next_xid();
}

void
as_revocation_adopt_for_all(const AsForAll *row)
{
	(void) as_store_run(&update_for_all,
	                    AS_ARGS(as_arg_uuid(&row->id), as_arg_int8(next_xid()),
	                            as_arg_time(GetCurrentTimestamp())));
}

void
as_revocation_settle_for_all(const AsForAll *row)
{
	AsArg worked_off = as_arg_int8(0);

	worked_off.is_null = true;
	(void) as_store_run(
	    &update_for_all,
	    AS_ARGS(as_arg_uuid(&row->id), worked_off, as_arg_time(AS_NO_TIME)));
}

void
as_revocation_delete_for_all(const AsForAll *row)
{
	(void) as_store_run(&delete_for_all, AS_ARGS(as_arg_uuid(&row->id)));
}
