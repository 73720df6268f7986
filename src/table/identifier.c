/*
 * identifier.c: emails and phones, in auth_private.identifiers.
 *
 * An identifier is a canonical email or E.164 number. Any number of pending
 * accounts may claim one, three at a time; at most one account owns it, by a
 * unique index. Who is about to claim, own or trim takes the identifier's
 * value lock first, before any account, so that what it then reads stays
 * true until it commits.
 */
#include "table/table.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"

static AsStatement select_owner =
    AS_READS("SELECT user_id FROM auth_private.identifiers"
             " WHERE identifier = $1 AND owned");

static AsStatement select_claims =
    AS_READS("SELECT user_id FROM auth_private.identifiers"
             " WHERE identifier = $1 AND NOT owned"
             " ORDER BY created_at DESC, user_id DESC LIMIT $2");

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.identifiers"
              "       (identifier, user_id, owned, created_at)"
              " VALUES ($1, $2, $3, $4)");

static AsStatement update_owned =
    AS_WRITES("UPDATE auth_private.identifiers SET owned = true"
              " WHERE identifier = $1 AND user_id = $2");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.identifiers"
              " WHERE identifier = $1 AND user_id = $2");

static const AsColumn id_columns[] = {
    AS_COLUMN_ONLY("user_id", UUID),
};
static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);

char *
as_identifier_canonical(const char *typed, bool is_phone)
{
	const char *utf8 = pg_server_to_any(typed, (int) strlen(typed), PG_UTF8);
	char *canonical = is_phone ? as_phone_normalize(utf8, strlen(utf8))
	                           : as_email_normalize(utf8, strlen(utf8));

	if (canonical == NULL)
		return NULL;
	return as_text_from_utf8(canonical, strlen(canonical));
}

void
as_identifier_lock(const char *identifier)
{
	as_store_lock_value("identifiers",
	                    hash_bytes((const unsigned char *) identifier,
	                               (int) strlen(identifier)));
}

bool
as_identifier_owner(const char *identifier, AsUuid *user_id)
{
	memset(user_id, 0, sizeof(*user_id));
	return as_store_find(&select_owner, &id_shape, user_id,
	                     AS_ARGS(as_arg_text(identifier)));
}

void
as_identifier_claims(const char *identifier, AsClaimList *claims)
{
	claims->count = as_store_list(
	    &select_claims, &id_shape, &claims->user_ids,
	    AS_ARGS(as_arg_text(identifier), as_arg_int(AS_CLAIMS_READ)));
}

void
as_identifier_add(const char *identifier, const AsUuid *user_id, bool owned)
{
	(void) as_store_run(&insert,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(user_id),
	                            as_arg_bool(owned),
	                            as_arg_time(GetCurrentTimestamp())));
}

bool
as_identifier_own(const char *identifier, const AsUuid *user_id)
{
	return as_store_run(&update_owned, AS_ARGS(as_arg_text(identifier),
	                                           as_arg_uuid(user_id))) > 0;
}

void
as_identifier_drop(const char *identifier, const AsUuid *user_id)
{
	(void) as_store_run(&delete_one,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(user_id)));
}
