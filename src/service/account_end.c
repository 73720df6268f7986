/*
 * account_end.c: accounts that go, with all that hangs on them.
 *
 * What hangs on an account goes by a trigger of the table (account_deleted),
 * whoever deletes the row: a row that is gone must own no address. Where the
 * tables are distributed it goes here: a trigger would fire on one node, and
 * could not reach what lies on others.
 *
 * What nobody asked for by name, maintenance and the sign-ups that lose an
 * address, goes in a subtransaction each: a foreign key or a trigger that
 * somebody hung on our tables keeps that account, and no other.
 */
#include "service/service.h"

#include "miscadmin.h"

/* The claim of one address of an account, whatever form it was typed in. */
static void
drop_claim(const AsUuid *id, const char *address, bool is_phone)
{
	char *identifier =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);

	if (identifier != NULL)
		as_identifier_drop(identifier, id);
}

void
as_account_left(const AsAccount *account)
{
	(void) as_session_end_all(&account->id, NULL);
	as_api_key_end_all(&account->id);
	drop_claim(&account->id, account->email, false);
	drop_claim(&account->id, account->pending_email, false);
	drop_claim(&account->id, account->phone, true);
	drop_claim(&account->id, account->pending_phone, true);
	as_code_drop_all(&account->id);
	as_factor_left(&account->id);
	as_device_delete_all(&account->id);
	if (account->status != AS_ACCOUNT_PENDING)
		as_deleted_user_note(&account->id, GetCurrentTimestamp());
}

bool
as_account_end(const AsUuid *id)
{
	AsAccount account;

	if (!as_account_lock(id, AS_ACCOUNT_EXCLUSIVE, &account))
		return false;
	as_store_make_durable();
	if (account.status != AS_ACCOUNT_PENDING)
		as_announce("user_deleted", id, NULL);
	if (!as_account_delete_row(id))
		return false;
	if (as_is_distributed())
		as_account_left(&account);
	return true;
}

/* Without quotes, behind which the log is masked. */
static void
tell_kept(const AsUuid *id, const ErrorData *error)
{
	char text[AS_UUID_CHARS + 1];

	as_uuid_print(id, text);
	ereport(
	    LOG_SERVER_ONLY,
	    (errcode(error->sqlerrcode),
	     errmsg("account %s is kept by %s %s of table %s (SQLSTATE %s)", text,
	            error->constraint_name == NULL ? "an error" : "constraint",
	            error->constraint_name == NULL ? "" : error->constraint_name,
	            error->table_name == NULL ? "accounts" : error->table_name,
	            unpack_sql_state(error->sqlerrcode)),
	     errhint("Nothing may reference the tables of auth_private: let "
	             "applications follow auth_admin.deleted_users.")));
}

typedef struct Ending
{
	AsUuid id;
	bool ended;
} Ending;

static void
end_one(void *argument)
{
	Ending *ending = argument;

	ending->ended = as_account_end(&ending->id);
}

bool
as_account_end_if_possible(const AsUuid *id)
{
	Ending ending = {.id = *id};
	ErrorData *error = as_subtransaction_run(end_one, &ending);

	if (error == NULL)
		return ending.ended;
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
	    error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE)
		ReThrowError(error);
	tell_kept(id, error);
	FreeErrorData(error);
	return false;
}

bool
as_account_owns(const AsUuid *id, const char *address, bool is_phone)
{
	AsUuid owner;
	char *identifier =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);

	return identifier != NULL && as_identifier_owner(identifier, &owner) &&
	       as_uuid_equal(&owner, id);
}

bool
as_account_give_up_claim(const AsUuid *id, const char *identifier)
{
	AsAccount account;
	bool exists = as_account_lock(id, AS_ACCOUNT_IF_FREE, &account);

	/* Held by somebody, or not there at all? */
	if (!exists && as_account_find(id, &account))
		return false;
	as_identifier_drop(identifier, id);
	if (exists && account.status == AS_ACCOUNT_PENDING &&
	    !as_code_is_live_for(id, AS_PURPOSE_INVITATION,
	                         GetCurrentTimestamp()) &&
	    !as_account_owns(id, account.email, false) &&
	    !as_account_owns(id, account.phone, true))
		(void) as_account_end_if_possible(id);
	return true;
}

int
as_account_prune_claims(int batch)
{
	AsClaim *claims;
	int count = as_identifier_list_surplus(batch, &claims);
	int dropped = 0;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (as_account_give_up_claim(&claims[i].user_id, claims[i].identifier))
			dropped++;
	}
	return dropped;
}

/* Confirmed, or given a new code, since it was found? */
static bool
is_still_ended(const AsUuid *id, TimestampTz now)
{
	AsAccount account;

	return as_account_lock(id, AS_ACCOUNT_IF_FREE, &account) &&
	       account.status == AS_ACCOUNT_PENDING &&
	       !as_code_is_live(&account.id, now);
}

/* Each may have waited for a lock. */
#define KEPT_SECONDS 10

static bool
is_over(int kept, TimestampTz since)
{
	return kept > 0 &&
	       GetCurrentTimestamp() > as_after_seconds(since, KEPT_SECONDS);
}

/*
 * Those that can't go keep their place at the head of the line: a batch goes on
 * behind them. Where they take too long, the next call of this backend goes on
 * behind the last that was looked at.
 */
int
as_account_prune_pending(TimestampTz now, int batch)
{
	static AsPendingPlace after;
	int deleted = 0;
	int kept = 0;

	while (deleted < batch)
	{
		AsPendingPlace *places;
		int most = batch - deleted;
		int count = as_account_list_ended(now, &after, most, &places);

		for (int i = 0; i < count; i++)
		{
			CHECK_FOR_INTERRUPTS();
			if (is_over(kept, now))
				return deleted;
			if (is_still_ended(&places[i].id, now) &&
			    as_account_end_if_possible(&places[i].id))
				deleted++;
			else
				kept++;
			after = places[i];
		}
		if (count < most)
			break;
	}
	memset(&after, 0, sizeof(after));
	return deleted;
}
