/*
 * password_change.c: auth.change_password.
 *
 * A new password begins a new epoch of its account and ends the user's other
 * sessions: no sign-in with the old one survives, not one that is computing
 * its hash right now. Who calls proves to be the account's owner (owner.c).
 */
#include "entry/entry.h"

AS_ENTRY(auth_change_password);

typedef struct Change
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsOwner owner;
	AsNewPassword new;
} Change;

static AsFailure
read_arguments(Change *change)
{
	FunctionCallInfo fcinfo = change->fcinfo;
	AsFailure outcome = as_owner_read_password(
	    &change->attempt, fcinfo, 0,
	    "The current_password is missing, too long or not Unicode.",
	    &change->owner);

	if (outcome == AS_OK && !as_call_password(fcinfo, 1, &change->new.password,
	                                          &change->new.characters))
		outcome = as_attempt_tell(
		    &change->attempt, AS_INVALID_REQUEST,
		    "The new_password is missing, too long or not Unicode.");
	return outcome;
}

static AsFailure
save(Change *change)
{
	const AsAccount *account = &change->owner.account;
	int ended;
	AsFailure outcome = as_epoch_begin(
	    &account->id, AS_ENDS_SESSIONS, &change->attempt.event.session_id,
	    &account->hash, &change->new.hash, &ended);

	if (outcome != AS_OK)
		return outcome;
	as_code_drop_all(&account->id);
	as_message_tell(account, "password_changed", as_request_origin_payload());
	return AS_OK;
}

static AsFailure
change_password(void *flow)
{
	Change *change = flow;
	AsAttempt *attempt = &change->attempt;
	AsOwner *owner = &change->owner;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, owner)) == AS_OK &&
	    (outcome = read_arguments(change)) == AS_OK &&
	    (outcome = as_owner_prove(attempt, owner)) == AS_OK &&
	    (outcome = as_password_take(attempt, &change->new, &owner->account)) ==
	        AS_OK &&
	    (outcome = as_owner_look_again(attempt, owner)) == AS_OK)
		outcome = save(change);
	return outcome;
}

Datum
auth_change_password(PG_FUNCTION_ARGS)
{
	Change change = {.fcinfo = fcinfo};

	as_attempt_run(&change.attempt, "change_password", change_password,
	               &change);
	PG_RETURN_VOID();
}
