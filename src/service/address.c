/*
 * address.c: an account's email and phone change: asked for by its user, or set
 * by an operator.
 *
 * A new address that a user asks for is pending: it stands in the account's
 * row, counts for nothing and keeps nobody from it, and it lasts exactly as
 * long as the code that was sent there. So whatever takes the codes of an
 * account away, a reset or a ban, ends the change with them, and waits for
 * nobody who holds the account's row; the column is tidied up by prune.
 *
 * Whose an address is, is decided when it is taken: the identifier is owned
 * first, which waits for who is about to own it, and the old one is dropped
 * after that. Sessions go on; the next access token of each says what the
 * account is then.
 *
 * A new password waits for nobody either, and so may not see that an address is
 * being taken in a transaction left open: the recorder changes that back when
 * it has committed (fold.c), or a thief would have the account for good.
 */
#include "service/service.h"

#include "miscadmin.h"

static char **
pending_of(AsAccount *account, bool is_phone)
{
	return is_phone ? &account->pending_phone : &account->pending_email;
}

AsPurpose
as_address_purpose(bool is_phone)
{
	return is_phone ? AS_PURPOSE_PHONE_CHANGE : AS_PURPOSE_EMAIL_CHANGE;
}

const char *
as_address_pending(const AsAccount *account, bool is_phone)
{
	const char *pending =
	    is_phone ? account->pending_phone : account->pending_email;

	return pending != NULL && as_code_is_live_for(&account->id,
	                                              as_address_purpose(is_phone),
	                                              GetCurrentTimestamp())
	           ? pending
	           : NULL;
}

bool
as_address_is_pending(const AsAccount *account, const AsIdentifier *identifier)
{
	const char *pending =
	    identifier->is_phone ? account->pending_phone : account->pending_email;
	const char *canonical =
	    pending == NULL
	        ? NULL
	        : as_identifier_canonical(pending, identifier->is_phone);

	return canonical != NULL && strcmp(canonical, identifier->canonical) == 0;
}

void
as_address_forget(AsAccount *account, bool is_phone)
{
	*pending_of(account, is_phone) = NULL;
	as_code_drop_purpose(&account->id, as_address_purpose(is_phone));
}

void
as_address_ask(AsAccount *account, const AsIdentifier *identifier)
{
	TimestampTz began = GetCurrentTimestamp();
	AsAccount read;
	AsUuid owner;
	bool is_taken = as_identifier_owner(identifier->canonical, &owner) &&
	                !as_uuid_equal(&owner, &account->id);

	/* The same statements for a free address and for a taken one. */
	is_taken =
	    as_account_find(is_taken ? &owner : &account->id, &read) && is_taken;
	as_message_look_up_until(began);
	as_address_forget(account, identifier->is_phone);
	*pending_of(account, identifier->is_phone) = identifier->typed;
	as_account_save_addresses(account);
	as_message_send_first_code(account,
	                           as_address_purpose(identifier->is_phone),
	                           identifier, is_taken ? &read : NULL);
}

/* ---- taking an address ---- */

/*
 * An address that the account has no more. The codes that went there are for
 * who owns it then; none is deleted, lest the owner's reset waits for a thief's
 * change that is left open.
 */
static void
drop_old(const AsUuid *user_id, const char *typed, const AsIdentifier *kept)
{
	char *old =
	    typed == NULL ? NULL : as_identifier_canonical(typed, kept->is_phone);

	if (old != NULL && strcmp(old, kept->canonical) != 0)
		as_identifier_drop(old, user_id);
}

AsFailure
as_address_take(AsAccount *account, const AsIdentifier *identifier,
                const char *payload)
{
	AsAccount before = *account;
	AsUuid id = account->id;
	char **address = identifier->is_phone ? &account->phone : &account->email;
	AsFailure outcome = as_claim_own(identifier->canonical, &id);

	if (outcome != AS_OK)
		return outcome;
	as_revocation_let_addresses_change(&id);
	drop_old(&id, *address, identifier);
	as_address_forget(account, identifier->is_phone);
	*address = identifier->typed;
	if (identifier->is_phone)
		account->phone_confirmed_at = GetCurrentTimestamp();
	else
		account->email_confirmed_at = GetCurrentTimestamp();
	if (account->status == AS_ACCOUNT_PENDING && as_account_is_whole(account))
		account->status = AS_ACCOUNT_ACTIVE;
	as_account_save_addresses(account);
	as_claim_drop_others(identifier->canonical, &id);
	if (account->status == AS_ACCOUNT_ACTIVE)
		as_announce(before.status == AS_ACCOUNT_ACTIVE ? "user_changed"
		                                               : "user_created",
		            &id, NULL);
	as_message_tell_change(&before, account, identifier->is_phone, payload);
	return AS_OK;
}

/* ---- addresses that a new password did not see change ---- */

static bool
is_same(const char *a, const char *b, bool is_phone)
{
	if (a == NULL || b == NULL)
		return a == b;
	a = as_identifier_canonical(a, is_phone);
	b = as_identifier_canonical(b, is_phone);
	return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* One that the account did not have: nobody proved it but who is locked out. */
static void
remove_address(AsAccount *account, bool is_phone)
{
	AsIdentifier none = {.canonical = "", .is_phone = is_phone};

	drop_old(&account->id, is_phone ? account->phone : account->email, &none);
	as_address_forget(account, is_phone);
	if (is_phone)
	{
		account->phone = NULL;
		account->phone_confirmed_at = AS_NO_TIME;
	}
	else
	{
		account->email = NULL;
		account->email_confirmed_at = AS_NO_TIME;
	}
	as_account_save_addresses(account);
}

static void
restore(AsAccount *account, const char *kept, bool is_phone)
{
	const char *current = is_phone ? account->phone : account->email;
	AsIdentifier identifier = {
	    .typed = unconstify(char *, kept),
	    .is_phone = is_phone,
	};

	if (!as_account_owns(&account->id, current, is_phone))
		current = NULL;
	if (is_same(current, kept, is_phone))
		return;
	if (kept == NULL)
	{
		remove_address(account, is_phone);
		return;
	}
	identifier.canonical = as_identifier_canonical(kept, is_phone);
	/* Somebody else's by now: then not even the other one is the account's. */
	if (identifier.canonical == NULL ||
	    as_address_take(account, &identifier, "{}") != AS_OK)
		remove_address(account, is_phone);
}

void
as_address_restore(AsAccount *account, const char *email, const char *phone)
{
	restore(account, email, false);
	restore(account, phone, true);
}

/* ---- changes that nobody can confirm any more ---- */

static bool
forget_ended(const AsUuid *id)
{
	AsAccount account;

	if (!as_account_lock(id, AS_ACCOUNT_IF_FREE, &account))
		return false;
	/* Asked for anew, since it was found? */
	if (as_address_pending(&account, false) != NULL ||
	    as_address_pending(&account, true) != NULL)
		return false;
	account.pending_email = account.pending_phone = NULL;
	as_account_save_addresses(&account);
	return true;
}

int
as_address_prune(TimestampTz now, int batch)
{
	AsUuid *ids;
	int count = as_account_list_changes_ended(now, batch, &ids);
	int forgotten = 0;

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (forget_ended(&ids[i]))
			forgotten++;
	}
	return forgotten;
}
