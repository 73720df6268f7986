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

static AsStatement select_owner = AS_STATEMENT(
    "SELECT user_id FROM auth_private.identifiers WHERE identifier = $1 AND "
    "owned");

static AsStatement select_claims = AS_STATEMENT(
    "SELECT user_id FROM auth_private.identifiers WHERE identifier = $1 AND "
    "NOT owned ORDER BY created_at DESC, user_id DESC LIMIT $2");

static AsStatement insert = AS_STATEMENT(
    "INSERT INTO auth_private.identifiers (identifier, user_id, owned, "
    "created_at) VALUES ($1, $2, $3, $4)");

static AsStatement update_owned =
    AS_STATEMENT("UPDATE auth_private.identifiers SET owned = true WHERE "
                 "identifier = $1 AND user_id = $2");

static AsStatement delete_one = AS_STATEMENT(
    "DELETE FROM auth_private.identifiers WHERE identifier = $1 AND user_id = "
    "$2");

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

static void
read_owner(const AsRow *row, void *into)
{
	as_row_uuid(row, 1, into);
}

bool
as_identifier_owner(const char *identifier, AsUuid *user_id)
{
	AsArgs args = {0};

	memset(user_id, 0, sizeof(*user_id));
	as_arg_text(&args, identifier);
	return as_store_run(&select_owner, AS_READ, &args, read_owner, user_id) > 0;
}

static void
read_claim(const AsRow *row, void *into)
{
	AsClaimList *claims = into;

	as_row_uuid(row, 1, &claims->user_ids[claims->count++]);
}

void
as_identifier_claims(const char *identifier, AsClaimList *claims)
{
	AsArgs args = {0};

	claims->count = 0;
	as_arg_text(&args, identifier);
	as_arg_int(&args, AS_CLAIMS_READ);
	(void) as_store_run(&select_claims, AS_READ, &args, read_claim, claims);
}

void
as_identifier_add(const char *identifier, const AsUuid *user_id, bool owned)
{
	AsArgs args = {0};

	as_arg_text(&args, identifier);
	as_arg_uuid(&args, user_id);
	as_arg_bool(&args, owned);
	as_arg_time(&args, GetCurrentTimestamp());
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
}

bool
as_identifier_own(const char *identifier, const AsUuid *user_id)
{
	AsArgs args = {0};

	as_arg_text(&args, identifier);
	as_arg_uuid(&args, user_id);
	return as_store_run(&update_owned, AS_WRITE, &args, NULL, NULL) > 0;
}

void
as_identifier_drop(const char *identifier, const AsUuid *user_id)
{
	AsArgs args = {0};

	as_arg_text(&args, identifier);
	as_arg_uuid(&args, user_id);
	(void) as_store_run(&delete_one, AS_WRITE, &args, NULL, NULL);
}
