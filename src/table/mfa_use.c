/*
 * mfa_use.c: mfa tokens that have had their use, in auth_private.mfa_uses.
 *
 * A token is a signed text and has no row of its own; what is kept is that it
 * was used, until it would have expired anyway. Only who has shown both factors
 * adds a row, and waits for nobody but another use of the same token.
 */
#include "table/table.h"

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.mfa_uses (user_id, id, expires_at)"
              " VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");

static AsStatement select_one = AS_READS("SELECT FROM auth_private.mfa_uses"
                                         " WHERE user_id = $1 AND id = $2");

static AsStatement delete_all =
    AS_WRITES("DELETE FROM auth_private.mfa_uses WHERE user_id = $1");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.mfa_uses"
              "      WHERE expires_at <= $1"
              "      ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.mfa_uses"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

bool
as_mfa_use_add(const AsMfaToken *token)
{
	return as_store_run(&insert, AS_ARGS(as_arg_uuid(&token->user_id),
	                                     as_arg_uuid(&token->id),
	                                     as_arg_time(token->expires_at))) > 0;
}

bool
as_mfa_use_is(const AsMfaToken *token)
{
	return as_store_run(&select_one, AS_ARGS(as_arg_uuid(&token->user_id),
	                                         as_arg_uuid(&token->id))) > 0;
}

void
as_mfa_use_delete_all(const AsUuid *user_id)
{
	(void) as_store_run(&delete_all, AS_ARGS(as_arg_uuid(user_id)));
}

int
as_mfa_use_prune(TimestampTz now, int batch)
{
	return (int) as_shards_run(&prune, "auth_private.mfa_uses",
	                           AS_ARGS(as_arg_time(now), as_arg_int(batch)));
}
