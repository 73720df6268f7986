/*
 * identifier.c: emails and phones, in auth_private.identifiers.
 *
 * An identifier is a canonical email or E.164 number. Any number of pending
 * accounts may claim one, of which the newest three count; at most one account
 * owns it, by a unique index. A claim is an insert and waits for nobody: no
 * lock is taken on an address, so nobody's open transaction holds up another
 * person's request. Only two that are about to own it meet, at the index.
 */
#include "table/table.h"

#include "mb/pg_wchar.h"

static AsStatement select_owner =
    AS_READS("SELECT user_id FROM auth_private.identifiers"
             " WHERE identifier = $1 AND owned");

static AsStatement select_claims =
    AS_READS("SELECT user_id FROM auth_private.identifiers"
             " WHERE identifier = $1 AND NOT owned"
             " ORDER BY created_at DESC, user_id DESC LIMIT $2");

static AsStatement insert_owned =
    AS_WRITES("INSERT INTO auth_private.identifiers"
              "       (identifier, user_id, owned, created_at)"
              " VALUES ($1, $2, true, $3)");

static AsStatement insert_claim =
    AS_WRITES("INSERT INTO auth_private.identifiers"
              "       (identifier, user_id, owned, created_at)"
              " VALUES ($1, $2, false, $3) ON CONFLICT DO NOTHING");

static AsStatement update_owned =
    AS_WRITES("UPDATE auth_private.identifiers SET owned = true"
              " WHERE identifier = $1 AND user_id = $2 AND NOT owned");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.identifiers"
              " WHERE identifier = $1 AND user_id = $2");

/* Those that as many newer ones of the same address have made void. */
static AsStatement select_surplus = AS_READS(
    "SELECT identifier, user_id FROM ("
    "       SELECT identifier, user_id,"
    "              row_number() OVER (PARTITION BY identifier"
    "                  ORDER BY created_at DESC, user_id DESC) AS place"
    "         FROM auth_private.identifiers WHERE NOT owned) AS claims"
    " WHERE place > $1 LIMIT $2");

static AsStatement export = AS_EXPORTS(
    "identifier, owned, created_at",
    "identifiers WHERE identifier = ANY ($1) AND owned", "created_at DESC");

static const AsColumn claim_columns[] = {
    AS_COLUMN(AsClaim, TEXT, identifier),
    AS_COLUMN(AsClaim, UUID, user_id),
};
static const AsShape claim_shape = AS_SHAPE(AsClaim, claim_columns);

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

bool
as_identifier_owner(const char *identifier, AsUuid *user_id)
{
	memset(user_id, 0, sizeof(*user_id));
	return as_store_find(&select_owner, &id_shape, user_id,
	                     AS_ARGS(as_arg_text(identifier)));
}

void
as_identifier_claims(const char *identifier, int most, AsClaimList *claims)
{
	claims->count =
	    as_store_list(&select_claims, &id_shape, &claims->user_ids,
	                  AS_ARGS(as_arg_text(identifier), as_arg_int(most)));
}

void
as_identifier_claim(const char *identifier, const AsUuid *user_id)
{
	(void) as_store_run(&insert_claim,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(user_id),
	                            as_arg_time(GetCurrentTimestamp())));
}

bool
as_identifier_take(const char *identifier, const AsUuid *user_id)
{
	uint64 inserted;

	return as_store_try(&insert_owned,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(user_id),
	                            as_arg_time(GetCurrentTimestamp())),
	                    &inserted);
}

bool
as_identifier_own(const char *identifier, const AsUuid *user_id)
{
	uint64 owned = 0;

	return as_store_try(&update_owned,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(user_id)),
	                    &owned) &&
	       owned > 0;
}

void
as_identifier_drop(const char *identifier, const AsUuid *user_id)
{
	(void) as_store_run(&delete_one,
	                    AS_ARGS(as_arg_text(identifier), as_arg_uuid(user_id)));
}

int
as_identifier_list_surplus(int most, AsClaim **claims)
{
	return as_store_list(&select_surplus, &claim_shape, claims,
	                     AS_ARGS(as_arg_int(AS_CLAIMS_KEPT), as_arg_int(most)));
}

Jsonb *
as_identifier_export(const AsTexts *identifiers)
{
	return as_store_jsonb(&export, AS_ARGS(as_arg_texts(identifiers),
	                                       as_arg_int(AS_EXPORT_MOST)));
}
