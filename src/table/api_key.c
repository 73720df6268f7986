/*
 * api_key.c: API keys, in auth_private.api_keys.
 *
 * A key lives while its row is there and its key_epoch is the one in force of
 * its account: accounts.key_epoch, and 1 for each pending row of revocations
 * that ends keys (revocation.c). So one that is committed after a reset, in a
 * transaction that was open across it, is dead when it appears. Without an
 * account there is none.
 */
#include "table/table.h"

#define OF_ACCOUNT(equals)                                               \
	"SELECT api_keys.digest, api_keys.scopes, api_keys.role,"            \
	"       api_keys.last_used_at, api_keys.expires_at, accounts.email," \
	"       accounts.phone, accounts.email_confirmed_at,"                \
	"       accounts.phone_confirmed_at, accounts.app"                   \
	"  FROM auth_private.api_keys, auth_private.accounts"                \
	" WHERE api_keys.user_id " equals " $1"                              \
	"   AND api_keys.id " equals " $2 AND accounts.id " equals " $1"

/* For what every request with a key makes. */
static AsStatement select_one = AS_READS_QUALIFIED(OF_ACCOUNT(
    "OPERATOR(pg_catalog.=)") " AND api_keys.key_epoch OPERATOR(pg_catalog.=)"
                              "     accounts.key_epoch");

/* Whether a key of $1 is of the account's epoch, and no revocation ends it. */
#define LIVES                                                    \
	"api_keys.key_epoch ="                                       \
	"     (SELECT accounts.key_epoch FROM auth_private.accounts" \
	"       WHERE accounts.id = $1)"                             \
	"     + (SELECT pg_catalog.count(*)"                         \
	"          FROM auth_private.revocations AS r"               \
	"         WHERE r.user_id = $1 AND r.ends_keys)"             \
	" AND NOT EXISTS (SELECT FROM auth_private.revocations AS r" \
	"                  WHERE r.user_id = $1"                     \
	"                    AND r.session_id = api_keys.id)"        \
	" AND NOT " AS_MADE_BEFORE("api_keys.created_at")

static AsStatement select_by_rule = AS_READS(OF_ACCOUNT("=") " AND " LIVES);

#define GOOD "(expires_at IS NULL OR expires_at > $2)"

static AsStatement select_good =
    AS_READS("SELECT id, name, scopes, role, created_at, last_used_at,"
             "       expires_at"
             "  FROM auth_private.api_keys"
             " WHERE user_id = $1 AND " GOOD " AND " LIVES
             " ORDER BY created_at DESC, id DESC");

static AsStatement select_fates =
    AS_READS("SELECT id, COALESCE(" LIVES ", false) AS lives"
             "  FROM auth_private.api_keys WHERE user_id = $1");

static AsStatement select_made_before =
    AS_READS("SELECT user_id, id FROM auth_private.api_keys"
             " WHERE (user_id, id) > ($2, $3) AND created_at < $1"
             " ORDER BY user_id, id LIMIT $4");

static AsStatement select_id = AS_READS("SELECT id FROM auth_private.api_keys"
                                        " WHERE user_id = $1 AND id = $2");

static AsStatement lock_one =
    AS_WRITES("SELECT FROM auth_private.api_keys"
              " WHERE user_id = $1 AND id = $2 FOR UPDATE SKIP LOCKED");

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.api_keys"
              "       (user_id, id, digest, name, scopes, role, key_epoch,"
              "        created_at, expires_at)"
              " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");

static AsStatement update_used =
    AS_WRITES("UPDATE auth_private.api_keys SET last_used_at = $3"
              " WHERE user_id = $1 AND id = $2"
              "   AND (last_used_at IS NULL OR last_used_at < $3)");

static AsStatement delete_one = AS_WRITES(
    "DELETE FROM auth_private.api_keys WHERE user_id = $1 AND id = $2");

static AsStatement lock_expired =
    AS_WRITES("SELECT id FROM auth_private.api_keys"
              " WHERE user_id = $1 AND expires_at <= $2"
              "   FOR UPDATE SKIP LOCKED");

static AsStatement delete_locked =
    AS_WRITES("DELETE FROM auth_private.api_keys"
              " WHERE user_id = $1 AND id = ANY ($2)");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.api_keys"
              "      WHERE expires_at <= $1"
              "      ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.api_keys"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

static AsStatement export =
    AS_EXPORTS("id, name, scopes, role, created_at, last_used_at, expires_at",
               "api_keys WHERE user_id = $1", "created_at DESC");

static const AsColumn row_columns[] = {
    AS_COLUMN(AsApiKeyRow, FIXED, digest),
    AS_COLUMN(AsApiKeyRow, TEXTS, scopes),
    AS_COLUMN(AsApiKeyRow, TEXT, role),
    AS_COLUMN(AsApiKeyRow, TIME, last_used_at),
    AS_COLUMN(AsApiKeyRow, TIME, expires_at),
    AS_COLUMN(AsApiKeyRow, TEXT, email),
    AS_COLUMN(AsApiKeyRow, TEXT, phone),
    AS_COLUMN(AsApiKeyRow, TIME, email_confirmed_at),
    AS_COLUMN(AsApiKeyRow, TIME, phone_confirmed_at),
    AS_COLUMN(AsApiKeyRow, JSONB, app),
};
static const AsShape row_shape = AS_SHAPE(AsApiKeyRow, row_columns);

static const AsColumn fate_columns[] = {
    AS_COLUMN(AsApiKeyFate, UUID, id),
    AS_COLUMN(AsApiKeyFate, BOOL, lives),
};
static const AsShape fate_shape = AS_SHAPE(AsApiKeyFate, fate_columns);

static const AsColumn key_columns[] = {
    AS_COLUMN_AS("user_id", AsRowKey, UUID, first),
    AS_COLUMN_AS("id", AsRowKey, UUID, second),
};
static const AsShape key_shape = AS_SHAPE(AsRowKey, key_columns);

static const AsColumn id_columns[] = {
    AS_COLUMN_ONLY("id", UUID),
};
static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);

bool
as_api_key_find(const AsUuid *user_id, const AsUuid *id, bool by_rule,
                AsApiKeyRow *row)
{
	return as_store_find(by_rule ? &select_by_rule : &select_one, &row_shape,
	                     row, AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
}

void
as_api_key_insert(const AsNewApiKey *key)
{
	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&key->user_id), as_arg_uuid(&key->id),
	            as_arg_bytes(&key->digest, AS_DIGEST_BYTES),
	            as_arg_text(key->name), as_arg_texts(&key->scopes),
	            as_arg_text(key->role), as_arg_int8(key->key_epoch),
	            as_arg_time(key->created_at), as_arg_time(key->expires_at)));
}

static AsArgs
now_of(AsArg args[2], const AsUuid *user_id)
{
	args[0] = as_arg_uuid(user_id);
	args[1] = as_arg_time(GetCurrentTimestamp());
	return (AsArgs){2, args};
}

int
as_api_key_count(const AsUuid *user_id)
{
	AsArg args[2];

	return (int) as_store_run(&select_good, now_of(args, user_id));
}

void
as_api_key_each(const AsUuid *user_id, AsTupleVisit visit, void *into)
{
	AsArg args[2];

	(void) as_store_each(&select_good, visit, into, now_of(args, user_id));
}

int
as_api_key_list_fates(const AsUuid *user_id, AsApiKeyFate **fates)
{
	return as_store_list(&select_fates, &fate_shape, fates,
	                     AS_ARGS(as_arg_uuid(user_id)));
}

int
as_api_key_list_made_before(TimestampTz made_before, const AsRowKey *after,
                            int most, AsRowKey **keys)
{
	return as_store_list(
	    &select_made_before, &key_shape, keys,
	    AS_ARGS(as_arg_time(made_before), as_arg_uuid(&after->first),
	            as_arg_uuid(&after->second), as_arg_int(most)));
}

AsLocked
as_api_key_try_lock(const AsUuid *user_id, const AsUuid *id)
{
	if (!as_is_local(as_store_relation("api_keys")))
		return as_store_lock_by(&lock_one, &select_id,
		                        AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
	return as_store_try_lock("api_keys", "api_keys_pkey", user_id, id, true,
	                         NULL);
}

void
as_api_key_delete(const AsUuid *user_id, const AsUuid *id)
{
	(void) as_store_run(&delete_one,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id)));
}

void
as_api_key_set_used(const AsUuid *user_id, const AsUuid *id, TimestampTz at)
{
	(void) as_store_run(
	    &update_used,
	    AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id), as_arg_time(at)));
}

void
as_api_key_delete_expired(const AsUuid *user_id)
{
	AsArg args[2];
	AsUuid *expired;
	int count = as_store_list(&lock_expired, &id_shape, &expired,
	                          now_of(args, user_id));

	if (count > 0)
		(void) as_store_run(
		    &delete_locked,
		    AS_ARGS(as_arg_uuid(user_id), as_arg_uuids(expired, count)));
}

int
as_api_key_prune(TimestampTz now, int batch)
{
	return (int) as_shards_run(&prune, "auth_private.api_keys",
	                           AS_ARGS(as_arg_time(now), as_arg_int(batch)));
}

Jsonb *
as_api_key_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
