/*
 * password_change.c: auth.change_password.
 *
 * A new password begins a new epoch of its account and ends the user's other
 * sessions: no sign-in with the old one survives, not one that is computing
 * its hash right now. A wrong current password is a failed attempt on the
 * account.
 */
#include "entry/entry.h"

AS_ENTRY(auth_change_password);

typedef struct Change
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsPassword current;
	AsNewPassword new;
	AsAccount account;
} Change;

static AsFailure
find_account(Change *change)
{
	AsFailure outcome = as_attempt_require_context(&change->attempt);

	if (outcome == AS_OK &&
	    !as_account_find_in_force(&change->attempt.event.user_id,
	                              &change->account))
		outcome = AS_SESSION_REVOKED;
	return outcome;
}

static AsFailure
read_arguments(Change *change)
{
	FunctionCallInfo fcinfo = change->fcinfo;
	const char *hint = NULL;

	if (!as_call_password(fcinfo, 0, &change->current, NULL))
		hint = "The current_password is missing, too long or not Unicode.";
	else if (!as_call_password(fcinfo, 1, &change->new.password,
	                           &change->new.characters))
		hint = "The new_password is missing, too long or not Unicode.";
	return hint == NULL
	           ? AS_OK
	           : as_attempt_tell(&change->attempt, AS_INVALID_REQUEST, hint);
}

static AsFailure
check_current(Change *change)
{
	bool matches;
	AsFailure outcome =
	    as_password_verify(&change->current, &change->account.hash, &matches);

	if (outcome != AS_OK || matches)
		return outcome;
	return as_attempt_fail(&change->attempt, AS_INVALID_CREDENTIALS,
	                       "wrong password");
}

/*
 * It may have changed while hashes were computed: looks again, once, as a
 * sign-in does.
 */
static AsFailure
look_again(Change *change)
{
	AsAccount *account = &change->account;
	AsPasswordHash verified = account->hash;

	if (!as_account_find_in_force(&account->id, account))
		return AS_SESSION_REVOKED;
	return strcmp(verified.phc, account->hash.phc) == 0 ? AS_OK
	                                                    : check_current(change);
}

static AsFailure
save(Change *change)
{
	const AsAccount *account = &change->account;
	int ended;
	AsFailure outcome =
	    as_epoch_begin(&account->id, &change->attempt.event.session_id,
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
	AsFailure outcome;

	if ((outcome = find_account(change)) == AS_OK &&
	    (outcome = read_arguments(change)) == AS_OK &&
	    (outcome = as_signin_limit_take_user(attempt, &change->account.id)) ==
	        AS_OK &&
	    (outcome = check_current(change)) == AS_OK &&
	    (outcome = as_password_take(attempt, &change->new, &change->account)) ==
	        AS_OK &&
	    (outcome = look_again(change)) == AS_OK)
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
