/*
 * recovery_code.c: what stands in for a lost authenticator app, in
 * auth_private.recovery_codes.
 *
 * A row is the SHA-256 of a code of 80 random bits, which needs no key to be
 * out of reach: the codes on a user's paper survive new server keys. Using one
 * deletes it.
 */
#include "table/table.h"

static AsStatement insert = AS_WRITES("INSERT INTO auth_private.recovery_codes"
                                      "       (user_id, id, digest, created_at)"
                                      " VALUES ($1, $2, $3, $4)");

static AsStatement select_one =
    AS_READS("SELECT FROM auth_private.recovery_codes"
             " WHERE user_id = $1 AND digest = $2");

static AsStatement select_all =
    AS_READS("SELECT FROM auth_private.recovery_codes WHERE user_id = $1");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.recovery_codes"
              " WHERE user_id = $1 AND digest = $2");

static AsStatement delete_all =
    AS_WRITES("DELETE FROM auth_private.recovery_codes WHERE user_id = $1");

static AsStatement export = AS_EXPORTS(
    "created_at", "recovery_codes WHERE user_id = $1", "created_at DESC");

static AsArg
digest_arg(const AsDigest *digest)
{
	return as_arg_bytes(digest->bytes, sizeof(digest->bytes));
}

void
as_recovery_code_add(const AsUuid *user_id, const AsDigest *digest)
{
	AsUuid id = as_uuid_random();

	(void) as_store_run(&insert, AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(&id),
	                                     digest_arg(digest),
	                                     as_arg_time(GetCurrentTimestamp())));
}

bool
as_recovery_code_is(const AsUuid *user_id, const AsDigest *digest)
{
	return as_store_run(&select_one,
	                    AS_ARGS(as_arg_uuid(user_id), digest_arg(digest))) > 0;
}

int
as_recovery_code_count(const AsUuid *user_id)
{
	return (int) as_store_run(&select_all, AS_ARGS(as_arg_uuid(user_id)));
}

bool
as_recovery_code_consume(const AsUuid *user_id, const AsDigest *digest)
{
	return as_store_run(&delete_one,
	                    AS_ARGS(as_arg_uuid(user_id), digest_arg(digest))) > 0;
}

void
as_recovery_code_delete_all(const AsUuid *user_id)
{
	(void) as_store_run(&delete_all, AS_ARGS(as_arg_uuid(user_id)));
}

Jsonb *
as_recovery_code_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
