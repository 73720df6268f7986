/*
 * account_end.c: accounts that go, with all that hangs on them.
 *
 * What hangs on an account goes by a trigger of the table (account_deleted),
 * whoever deletes the row: a row that is gone must own no address.
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
	drop_claim(&account->id, account->email, false);
	drop_claim(&account->id, account->pending_email, false);
	drop_claim(&account->id, account->phone, true);
	drop_claim(&account->id, account->pending_phone, true);
	as_code_drop_all(&account->id);
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
	return as_account_delete_row(id);
}

static bool
owns(const AsUuid *id, const char *address, bool is_phone)
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
	    !owns(id, account.email, false) && !owns(id, account.phone, true))
		(void) as_account_end(id);
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

int
as_account_prune_pending(TimestampTz now, int batch)
{
	AsUuid *ids;
	int count = as_account_list_ended(now, batch, &ids);
	int deleted = 0;

	for (int i = 0; i < count; i++)
	{
		AsAccount account;

		CHECK_FOR_INTERRUPTS();
		/* Confirmed, or given a new code, since it was found? */
		if (as_account_lock(&ids[i], AS_ACCOUNT_IF_FREE, &account) &&
		    account.status == AS_ACCOUNT_PENDING &&
		    !as_code_is_live(&account.id, now) && as_account_end(&account.id))
			deleted++;
	}
	return deleted;
}
