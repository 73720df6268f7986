/*
 * account.c: accounts, in auth_private.accounts.
 *
 * An account is pending until what require_confirmation asks for is
 * confirmed. A ban stands beside that, so that the account is what it was when
 * the ban is over. Whatever ends all its sessions (logout_all, a new password, a
 * ban) makes its epoch grow, here or by a row of revocations: the sessions of
 * an older epoch have ended, those too that are still to be committed. So it
 * is with key_epoch and API keys, which end with fewer of these.
 */
#include "table/table.h"

#define SELECT_ACCOUNT                                             \
	"SELECT id, status, email, phone, email_confirmed_at,"         \
	"       phone_confirmed_at, pending_email, pending_phone,"     \
	"       password_hash, info, app, epoch, key_epoch, forgiven," \
	"       banned_at, banned_until, created_at"                   \
	"  FROM auth_private.accounts WHERE id = $1"

/* In one snapshot, or a fold could come in between. */
#define SELECT_IN_FORCE                                                        \
	"SELECT accounts.id, status, email, phone, email_confirmed_at,"            \
	"       phone_confirmed_at, pending_email, pending_phone,"                 \
	"       COALESCE((SELECT password_hash FROM auth_private.revocations"      \
	"                  WHERE user_id = $1 AND password_hash IS NOT NULL"       \
	"                  ORDER BY at DESC, revocations.id DESC LIMIT 1),"        \
	"                password_hash) AS password_hash,"                         \
	"       info, app,"                                                        \
	"       epoch + COALESCE((SELECT pg_catalog.sum(weight)"                   \
	"                           FROM auth_private.revocations"                 \
	"                          WHERE user_id = $1), 0) AS epoch,"              \
	"       key_epoch + (SELECT pg_catalog.count(*)"                           \
	"                      FROM auth_private.revocations"                      \
	"                     WHERE user_id = $1 AND ends_keys) AS key_epoch,"     \
	"       (forgiven + (SELECT pg_catalog.count(*)"                           \
	"                      FROM auth_private.revocations"                      \
	"                     WHERE user_id = $1 AND forgives))"                   \
	"       ::pg_catalog.int4 AS forgiven,"                                    \
	"       CASE WHEN change.banned IS NULL THEN banned_at"                    \
	"            WHEN change.banned THEN change.at END AS banned_at,"          \
	"       CASE WHEN change.banned IS NULL THEN banned_until"                 \
	"            ELSE change.until END AS banned_until,"                       \
	"       created_at"                                                        \
	"  FROM auth_private.accounts LEFT JOIN ("                                 \
	"       SELECT banned, at, banned_until AS until"                          \
	"         FROM auth_private.revocations"                                   \
	"        WHERE user_id = $1 AND banned IS NOT NULL"                        \
	"        ORDER BY at DESC, revocations.id DESC LIMIT 1) AS change ON true" \
	" WHERE accounts.id = $1"                                                  \
	"   AND NOT EXISTS (SELECT FROM auth_private.revocations"                  \
	"                    WHERE user_id = $1 AND deleted)"                      \
	"   AND NOT (status = 'pending' AND " AS_MADE_BEFORE(                      \
	    "accounts.created_at") ")"

static AsStatement select_in_force = AS_READS(SELECT_IN_FORCE);
static AsStatement select_in_session =
    AS_READS(SELECT_IN_FORCE
             " AND EXISTS (SELECT FROM auth_private.sessions"
             " WHERE user_id = $1 AND id = $2 AND " AS_SESSION_LIVES ")");

static AsStatement select_one = AS_READS(SELECT_ACCOUNT);
static AsStatement select_update =
    AS_WRITES(SELECT_ACCOUNT " FOR NO KEY UPDATE");
static AsStatement select_free =
    AS_WRITES(SELECT_ACCOUNT " FOR NO KEY UPDATE SKIP LOCKED");

static AsStatement lock_for_update =
    AS_WRITES("SELECT FROM auth_private.accounts"
              " WHERE id = $1 FOR UPDATE SKIP LOCKED");
static AsStatement lock_key = AS_WRITES("SELECT FROM auth_private.accounts"
                                        " WHERE id = $1"
                                        " FOR KEY SHARE SKIP LOCKED");

static AsStatement insert = AS_WRITES(
    "INSERT INTO auth_private.accounts"
    "       (id, status, email, phone, email_confirmed_at,"
    "        phone_confirmed_at, password_hash, info, app, epoch, created_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, COALESCE($9, '{}'), 0, $10)"
    " ON CONFLICT (id) DO NOTHING");

static AsStatement update_confirmed = AS_WRITES(
    "UPDATE auth_private.accounts"
    "   SET status = $2, email_confirmed_at = $3, phone_confirmed_at = $4"
    " WHERE id = $1");

static AsStatement update_hash =
    AS_WRITES("UPDATE auth_private.accounts SET password_hash = $3"
              " WHERE id = $1 AND password_hash = $2");

static AsStatement update_epoch =
    AS_WRITES("UPDATE auth_private.accounts"
              "   SET epoch = $2, password_hash = COALESCE($3, password_hash)"
              " WHERE id = $1");

static AsStatement update_key_epoch =
    AS_WRITES("UPDATE auth_private.accounts SET key_epoch = $2 WHERE id = $1");

static AsStatement update_forgiven =
    AS_WRITES("UPDATE auth_private.accounts SET forgiven = forgiven + $2"
              " WHERE id = $1");

static AsStatement update_info =
    AS_WRITES("UPDATE auth_private.accounts SET info = $2 WHERE id = $1");

static AsStatement update_app =
    AS_WRITES("UPDATE auth_private.accounts SET app = $2 WHERE id = $1");

static AsStatement update_ban =
    AS_WRITES("UPDATE auth_private.accounts"
              "   SET banned_at = $2, banned_until = $3, ban_reason = $4"
              " WHERE id = $1");

static AsStatement update_addresses = AS_WRITES(
    "UPDATE auth_private.accounts"
    "   SET status = $2, email = $3, phone = $4, email_confirmed_at = $5,"
    "       phone_confirmed_at = $6, pending_email = $7, pending_phone = $8"
    " WHERE id = $1");

static AsStatement select_changes_ended =
    AS_READS("SELECT id FROM auth_private.accounts"
             " WHERE (pending_email IS NOT NULL OR pending_phone IS NOT NULL)"
             "   AND NOT EXISTS ("
             "       SELECT FROM auth_private.codes"
             "        WHERE codes.user_id = accounts.id"
             "          AND codes.purpose IN ('email_change', 'phone_change')"
             "          AND codes.link_expires_at > $1)"
             " LIMIT $2");

static AsStatement select_shown =
    AS_READS("SELECT * FROM auth_admin.users WHERE id = $1");

static AsStatement export =
    AS_READS("SELECT pg_catalog.to_jsonb(kept) AS kept FROM ("
             "       SELECT id, status, email, phone, email_confirmed_at,"
             "              phone_confirmed_at, pending_email, pending_phone,"
             "              (SELECT password_hash IS NOT NULL"
             "                 FROM auth_private.accounts AS own"
             "                WHERE own.id = users.id)"
             "              AS has_password, info, app, created_at"
             "         FROM auth_admin.users WHERE id = $1 LIMIT $2) AS kept");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.accounts WHERE id = $1");

static AsStatement select_ended = AS_READS(
    "SELECT created_at, id FROM auth_private.accounts"
    " WHERE status = 'pending' AND (created_at, id) > ($3, $4)"
    "   AND NOT EXISTS ("
    "       SELECT FROM auth_private.codes"
    "        WHERE codes.user_id = accounts.id AND codes.link_expires_at > $1)"
    " ORDER BY created_at, id LIMIT $2");

static AsStatement select_made_before =
    AS_READS("SELECT created_at, id FROM auth_private.accounts"
             " WHERE status = 'pending' AND created_at < $1"
             "   AND (created_at, id) > ($3, $4)"
             " ORDER BY created_at, id LIMIT $2");

static const char *const status_names[] = {
    [AS_ACCOUNT_PENDING] = "pending",
    [AS_ACCOUNT_ACTIVE] = "active",
    NULL,
};

static const AsColumn account_columns[] = {
    AS_COLUMN(AsAccount, UUID, id),
    AS_COLUMN_NAMED(AsAccount, status, status_names),
    AS_COLUMN(AsAccount, TEXT, email),
    AS_COLUMN(AsAccount, TEXT, phone),
    AS_COLUMN(AsAccount, TIME, email_confirmed_at),
    AS_COLUMN(AsAccount, TIME, phone_confirmed_at),
    AS_COLUMN(AsAccount, TEXT, pending_email),
    AS_COLUMN(AsAccount, TEXT, pending_phone),
    AS_COLUMN_AS("password_hash", AsAccount, CHARS, hash),
    AS_COLUMN(AsAccount, JSONB, info),
    AS_COLUMN(AsAccount, JSONB, app),
    AS_COLUMN(AsAccount, INT8, epoch),
    AS_COLUMN(AsAccount, INT8, key_epoch),
    AS_COLUMN(AsAccount, INT, forgiven),
    AS_COLUMN(AsAccount, TIME, banned_at),
    AS_COLUMN(AsAccount, TIME, banned_until),
    AS_COLUMN(AsAccount, TIME, created_at),
};
static const AsShape account_shape = AS_SHAPE(AsAccount, account_columns);

static const AsColumn place_columns[] = {
    AS_COLUMN(AsPendingPlace, TIME, created_at),
    AS_COLUMN(AsPendingPlace, UUID, id),
};
static const AsShape place_shape = AS_SHAPE(AsPendingPlace, place_columns);

static const AsColumn id_columns[] = {
    AS_COLUMN_ONLY("id", UUID),
};
static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);

const char *
as_account_status_name(const AsAccount *account)
{
	return as_account_is_banned(account, GetCurrentTimestamp())
	           ? "banned"
	           : status_names[account->status];
}

bool
as_account_find(const AsUuid *id, AsAccount *account)
{
	AsRowFound found =
	    as_row_find("accounts", "accounts_pkey", id, &account_shape, account);

	if (found != AS_ROW_ELSEWHERE)
		return found == AS_ROW_FOUND;
	return as_store_find(&select_one, &account_shape, account,
	                     AS_ARGS(as_arg_uuid(id)));
}

bool
as_account_find_revoked(const AsUuid *id, AsAccount *account)
{
	return as_store_find(&select_in_force, &account_shape, account,
	                     AS_ARGS(as_arg_uuid(id)));
}

bool
as_account_find_in_session(const AsUuid *id, const AsUuid *session_id,
                           AsAccount *account)
{
	return as_store_find(&select_in_session, &account_shape, account,
	                     AS_ARGS(as_arg_uuid(id), as_arg_uuid(session_id)));
}

AsLocked
as_account_try_lock(const AsUuid *id, bool for_update)
{
	if (!as_is_local(as_store_relation("accounts")))
		return as_store_lock_by(for_update ? &lock_for_update : &lock_key,
		                        &select_one, AS_ARGS(as_arg_uuid(id)));
	return as_store_try_lock("accounts", "accounts_pkey", id, NULL, for_update,
	                         NULL);
}

bool
as_account_lock(const AsUuid *id, AsAccountLock lock, AsAccount *account)
{
	AsStatement *const statements[] = {
	    [AS_ACCOUNT_EXCLUSIVE] = &select_update,
	    [AS_ACCOUNT_IF_FREE] = &select_free,
	};

	return as_store_find(statements[lock], &account_shape, account,
	                     AS_ARGS(as_arg_uuid(id)));
}

bool
as_account_is_banned(const AsAccount *account, TimestampTz now)
{
	return account->banned_at != AS_NO_TIME &&
	       (account->banned_until == AS_NO_TIME || account->banned_until > now);
}

const char *
as_account_counts(const char *address, TimestampTz confirmed_at)
{
	if (confirmed_at == AS_NO_TIME &&
	    auth_session_require_confirmation != AS_CONFIRM_NONE)
		return NULL;
	return address;
}

bool
as_account_create(const AsAccount *account)
{
	return as_store_run(
	           &insert,
	           AS_ARGS(as_arg_uuid(&account->id),
	                   as_arg_text(status_names[account->status]),
	                   as_arg_text(account->email), as_arg_text(account->phone),
	                   as_arg_time(account->email_confirmed_at),
	                   as_arg_time(account->phone_confirmed_at),
	                   as_arg_text(account->hash.phc[0] == '\0'
	                                   ? NULL
	                                   : account->hash.phc),
	                   as_arg_jsonb(account->info), as_arg_jsonb(account->app),
	                   as_arg_time(account->created_at))) > 0;
}

void
as_account_save_confirmed(const AsAccount *account)
{
	(void) as_store_run(&update_confirmed,
	                    AS_ARGS(as_arg_uuid(&account->id),
	                            as_arg_text(status_names[account->status]),
	                            as_arg_time(account->email_confirmed_at),
	                            as_arg_time(account->phone_confirmed_at)));
}

void
as_account_set_hash(const AsUuid *id, const AsPasswordHash *old,
                    const AsPasswordHash *hash)
{
	(void) as_store_run(&update_hash,
	                    AS_ARGS(as_arg_uuid(id), as_arg_text(old->phc),
	                            as_arg_text(hash->phc)));
}

void
as_account_set_epoch(const AsUuid *id, int64 epoch, const AsPasswordHash *hash)
{
	(void) as_store_run(&update_epoch,
	                    AS_ARGS(as_arg_uuid(id), as_arg_int8(epoch),
	                            as_arg_text(hash == NULL ? NULL : hash->phc)));
}

void
as_account_set_key_epoch(const AsUuid *id, int64 key_epoch)
{
	(void) as_store_run(&update_key_epoch,
	                    AS_ARGS(as_arg_uuid(id), as_arg_int8(key_epoch)));
}

void
as_account_forgive(const AsUuid *id, int times)
{
	(void) as_store_run(&update_forgiven,
	                    AS_ARGS(as_arg_uuid(id), as_arg_int(times)));
}

void
as_account_set_info(const AsUuid *id, const Jsonb *info)
{
	(void) as_store_run(&update_info,
	                    AS_ARGS(as_arg_uuid(id), as_arg_jsonb(info)));
}

void
as_account_set_app(const AsUuid *id, const Jsonb *app)
{
	(void) as_store_run(&update_app,
	                    AS_ARGS(as_arg_uuid(id), as_arg_jsonb(app)));
}

void
as_account_set_ban(const AsUuid *id, const AsBan *ban)
{
	(void) as_store_run(&update_ban,
	                    AS_ARGS(as_arg_uuid(id), as_arg_time(ban->at),
	                            as_arg_time(ban->until),
	                            as_arg_text(ban->reason)));
}

void
as_account_save_addresses(const AsAccount *account)
{
	(void) as_store_run(&update_addresses,
	                    AS_ARGS(as_arg_uuid(&account->id),
	                            as_arg_text(status_names[account->status]),
	                            as_arg_text(account->email),
	                            as_arg_text(account->phone),
	                            as_arg_time(account->email_confirmed_at),
	                            as_arg_time(account->phone_confirmed_at),
	                            as_arg_text(account->pending_email),
	                            as_arg_text(account->pending_phone)));
}

int
as_account_list_changes_ended(TimestampTz now, int most, AsUuid **ids)
{
	return as_store_list(&select_changes_ended, &id_shape, ids,
	                     AS_ARGS(as_arg_time(now), as_arg_int(most)));
}

void
as_account_show(const AsUuid *id, AsTupleVisit visit, void *into)
{
	(void) as_store_each(&select_shown, visit, into, AS_ARGS(as_arg_uuid(id)));
}

bool
as_account_delete_row(const AsUuid *id)
{
	return as_store_run(&delete_one, AS_ARGS(as_arg_uuid(id))) > 0;
}

int
as_account_list_ended(TimestampTz now, const AsPendingPlace *after, int most,
                      AsPendingPlace **places)
{
	return as_store_list(&select_ended, &place_shape, places,
	                     AS_ARGS(as_arg_time(now), as_arg_int(most),
	                             as_arg_time(after->created_at),
	                             as_arg_uuid(&after->id)));
}

Jsonb *
as_account_export(const AsUuid *id)
{
	return as_store_jsonb(&export,
	                      AS_ARGS(as_arg_uuid(id), as_arg_int(AS_EXPORT_MOST)));
}

int
as_account_list_made_before(TimestampTz made_before,
                            const AsPendingPlace *after, int most,
                            AsPendingPlace **places)
{
	return as_store_list(&select_made_before, &place_shape, places,
	                     AS_ARGS(as_arg_time(made_before), as_arg_int(most),
	                             as_arg_time(after->created_at),
	                             as_arg_uuid(&after->id)));
}
