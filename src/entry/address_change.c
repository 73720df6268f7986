/*
 * address_change.c: auth.change_email, auth.change_phone and
 * auth.cancel_change.
 *
 * Who asks proves to be the account's owner (owner.c). Then the new address is
 * sent a code, and pending until that is given to auth.confirm by the same
 * user, signed in: who merely holds the code, or was sent a link that he never
 * asked for, changes nothing. An address that is somebody else's makes the
 * same answer, work and writes as a free one; its owner hears of it.
 *
 * Messages are limited by the address, as everywhere, and by the user, who
 * could otherwise have one sent to everybody.
 */
#include "entry/entry.h"

AS_ENTRY(auth_change_email);
AS_ENTRY(auth_change_phone);
AS_ENTRY(auth_cancel_change);

typedef struct Change
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsOwner owner;
	AsIdentifier identifier;
} Change;

/* ---- change_email and change_phone ---- */

/*
 * Whoever has none left of his own uses up none of the address's, nor does
 * who is refused there lose one.
 */
static AsFailure
allow_message(Change *change)
{
	AsAttempt *attempt = &change->attempt;
	const AsUuid *id = &change->owner.account.id;
	AsFailure outcome = as_throttle_look(
	    AS_LIMIT_MESSAGE_IDENTIFIER, id->bytes, sizeof(id->bytes),
	    auth_session_message_rate_per_account, auth_session_rate_window,
	    &attempt->wait_s);

	if (outcome == AS_OK)
		outcome = as_message_allow(attempt, AS_MESSAGE_CHANGE,
		                           &change->identifier, true);
	if (outcome == AS_OK)
		outcome = as_attempt_charge(
		    attempt, AS_LIMIT_MESSAGE_IDENTIFIER, id->bytes, sizeof(id->bytes),
		    auth_session_message_rate_per_account, auth_session_rate_window);
	return outcome;
}

/* The password must still be the one that was checked. */
static AsFailure
lock_account(Change *change)
{
	AsAccount *account = &change->owner.account;
	AsPasswordHash verified = account->hash;
	AsUuid id = account->id;
	AsAccount in_force;

	if (!as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, account) ||
	    !as_account_find_in_force(&id, &in_force))
		return AS_SESSION_REVOKED;
	return strcmp(verified.phc, in_force.hash.phc) == 0 ? AS_OK : AS_BUSY;
}

static AsFailure
change_address(Change *change, bool is_read, const char *hint)
{
	AsAttempt *attempt = &change->attempt;
	AsOwner *owner = &change->owner;
	AsFailure outcome;

	if (!is_read || change->identifier.canonical == NULL)
		return as_attempt_tell(attempt, AS_INVALID_REQUEST, hint);
	if ((outcome = as_owner_read_password(
	         attempt, change->fcinfo, 1,
	         "The password is missing, too long or not Unicode.", owner)) ==
	        AS_OK &&
	    (outcome = as_owner_prove(attempt, owner)) == AS_OK &&
	    (outcome = as_owner_look_again(attempt, owner)) == AS_OK &&
	    (outcome = lock_account(change)) == AS_OK &&
	    (outcome = allow_message(change)) == AS_OK)
		as_address_ask(&owner->account, &change->identifier);
	return outcome;
}

static AsFailure
change_email(void *flow)
{
	Change *change = flow;
	AsFailure outcome = as_owner_find(&change->attempt, &change->owner);

	return outcome != AS_OK
	           ? outcome
	           : change_address(
	                 change,
	                 as_call_email(change->fcinfo, 0, &change->identifier),
	                 "The new_email is missing or not valid.");
}

static AsFailure
change_phone(void *flow)
{
	Change *change = flow;
	AsFailure outcome = as_owner_find(&change->attempt, &change->owner);

	return outcome != AS_OK
	           ? outcome
	           : change_address(
	                 change,
	                 as_call_phone(change->fcinfo, 0, &change->identifier),
	                 "The new_phone is missing or no E.164 number.");
}

Datum
auth_change_email(PG_FUNCTION_ARGS)
{
	Change change = {.fcinfo = fcinfo};

	as_attempt_run(&change.attempt, "change_email", change_email, &change);
	PG_RETURN_VOID();
}

Datum
auth_change_phone(PG_FUNCTION_ARGS)
{
	Change change = {.fcinfo = fcinfo};

	as_attempt_run(&change.attempt, "change_phone", change_phone, &change);
	PG_RETURN_VOID();
}

/* ---- cancel_change ---- */

static AsFailure
cancel_change(void *flow)
{
	Change *change = flow;
	AsAccount *account = &change->owner.account;
	AsFailure outcome = as_owner_require(&change->attempt);

	if (outcome != AS_OK)
		return outcome;
	if (!as_account_lock(&change->attempt.event.user_id, AS_ACCOUNT_EXCLUSIVE,
	                     account))
		return AS_SESSION_REVOKED;
	change->attempt.is_silent =
	    account->pending_email == NULL && account->pending_phone == NULL;
	if (change->attempt.is_silent)
		return AS_OK;
	as_address_forget(account, false);
	as_address_forget(account, true);
	as_account_save_addresses(account);
	return AS_OK;
}

Datum
auth_cancel_change(PG_FUNCTION_ARGS)
{
	Change change = {.fcinfo = fcinfo};

	as_attempt_run(&change.attempt, "cancel_change", cancel_change, &change);
	PG_RETURN_VOID();
}
