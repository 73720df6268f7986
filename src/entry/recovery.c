/*
 * recovery.c: auth.change_password, auth.request_password_reset,
 * auth.reset_password.
 *
 * A new password begins a new epoch of its account and ends its sessions: no
 * sign-in with the old one survives, not one that is computing its hash
 * right now. Asking for a reset changes nothing and answers the same for
 * anybody. A reset signs nobody in.
 */
#include "entry/entry.h"

#include "utils/builtins.h"

AS_ENTRY(auth_change_password);
AS_ENTRY(auth_request_password_reset);
AS_ENTRY(auth_reset_password);

typedef struct NewPassword
{
	AsPassword password;
	size_t characters;
	AsPasswordHash hash;
} NewPassword;

/* Checks and hashes a new password for an account. */
static AsFailure
take_password(NewPassword *new, const AsAccount *account, const char **hint)
{
	const char *email = account->email == NULL
	                        ? NULL
	                        : as_identifier_canonical(account->email, false);

	*hint = as_password_weakness(&new->password, new->characters, email,
	                             account->phone);
	if (*hint != NULL)
		return AS_WEAK_PASSWORD;
	return as_password_make_hash(&new->password, &new->hash);
}

static void
tell_changed(const AsAccount *account)
{
	as_outbox_tell(account, "password_changed", as_door_origin_payload());
}

/* ---- change_password ---- */

typedef struct Change
{
	AsPassword current;
	NewPassword new;
	AsAccount account;
	AsThrottleTicket ticket;
	AsEvent event;
	const char *hint;
	int retry_after_s;
} Change;

static AsFailure
read_change(FunctionCallInfo fcinfo, Change *change)
{
	if (!as_door_password(fcinfo, 0, &change->current, NULL))
		change->hint = "The current_password is missing, too long or not "
		               "Unicode.";
	else if (!as_door_password(fcinfo, 1, &change->new.password,
	                           &change->new.characters))
		change->hint = "The new_password is missing, too long or not Unicode.";
	return change->hint == NULL ? AS_OK : AS_INVALID_REQUEST;
}

/* A wrong current password is a failed attempt on the account. */
static AsFailure
count_change(Change *change)
{
	return as_throttle_take(AS_LIMIT_SIGNIN_ACCOUNT, change->account.id.bytes,
	                        sizeof(change->account.id.bytes),
	                        auth_session_signin_rate_per_account,
	                        auth_session_rate_window, &change->ticket,
	                        &change->retry_after_s)
	           ? AS_OK
	           : AS_THROTTLED;
}

static AsFailure
check_current(Change *change)
{
	bool matches;
	AsFailure outcome =
	    as_password_verify(&change->current, &change->account.hash, &matches);

	if (outcome != AS_OK || matches)
	{
		as_throttle_return(&change->ticket);
		return outcome;
	}
	change->event.reason = AS_REASON_WRONG_PASSWORD;
	return AS_INVALID_CREDENTIALS;
}

static AsFailure
save_change(Change *change)
{
	AsAccount now;

	if (!as_account_lock(&change->account.id, AS_ACCOUNT_EXCLUSIVE, &now) ||
	    now.epoch != change->account.epoch)
	{
		change->event.reason = AS_REASON_CHANGED_MEANWHILE;
		return AS_INVALID_CREDENTIALS;
	}
	as_account_set_password(&now.id, &change->new.hash);
	(void) as_session_end_all(&now.id, &change->event.session_id);
	as_code_drop_all(&now.id);
	tell_changed(&now);
	return AS_OK;
}

Datum
auth_change_password(PG_FUNCTION_ARGS)
{
	Change change = {0};
	const AsContext *context;
	AsFailure outcome;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&change.event, AS_ACTION_CHANGE_PASSWORD);
	context = as_context_require();
	change.event.user_id = context->user_id;
	change.event.session_id = context->session_id;
	if (!as_account_find(&context->user_id, &change.account))
		as_fail(AS_SESSION_REVOKED, NULL);

	if ((outcome = read_change(fcinfo, &change)) == AS_OK &&
	    (outcome = count_change(&change)) == AS_OK &&
	    (outcome = check_current(&change)) == AS_OK &&
	    (outcome = take_password(&change.new, &change.account, &change.hint)) ==
	        AS_OK)
		outcome = save_change(&change);
	as_password_wipe(&change.current);
	as_password_wipe(&change.new.password);

	if (outcome == AS_THROTTLED)
		as_fail_throttled(change.retry_after_s);
	if (outcome == AS_INVALID_CREDENTIALS)
		as_door_refuse(&change.event, outcome, NULL);
	if (outcome != AS_OK)
		as_fail(outcome, change.hint);
	as_door_succeed(&change.event);
	PG_RETURN_VOID();
}

/* ---- request_password_reset ---- */

Datum
auth_request_password_reset(PG_FUNCTION_ARGS)
{
	AsIdentifier identifier;
	AsAccount account;
	AsUuid owner;
	AsEvent event;
	bool is_known;
	int retry_after_s;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&event, AS_ACTION_REQUEST_RESET);
	if (!as_door_identifier(fcinfo, 0, &identifier) ||
	    identifier.canonical == NULL)
		as_fail(AS_INVALID_REQUEST,
		        "The identifier is neither an email nor a phone.");
	if (as_message_allowed(AS_MESSAGE_RESET, &identifier, true,
	                       &retry_after_s) != AS_OK)
		as_fail_throttled(retry_after_s);

	is_known = as_identifier_owner(identifier.canonical, &owner);
	if (!is_known)
		owner = as_uuid_random();
	is_known = as_account_find(&owner, &account) &&
	           !as_account_is_banned(&account, GetCurrentTimestamp());
	as_message_look_up_until(event.at);
	as_message_send_code(
	    is_known ? &account.id : NULL, AS_PURPOSE_PASSWORD_RESET, &identifier,
	    !is_known ? identifier.typed
	              : (identifier.is_phone ? account.phone : account.email));
	if (is_known)
		event.user_id = account.id;
	as_door_succeed(&event);
	PG_RETURN_VOID();
}

/* ---- reset_password ---- */

typedef struct Reset
{
	AsProof proof;
	NewPassword new;
	AsAccount account;
	AsCodeTry try;
	int count; /* of try: 0 where nobody can be meant */
	AsEvent event;
	const char *hint;
} Reset;

static AsFailure
read_reset(FunctionCallInfo fcinfo, Reset *reset)
{
	if (!as_door_password(fcinfo, 2, &reset->new.password,
	                      &reset->new.characters))
	{
		reset->hint = "The new_password is missing, too long or not Unicode.";
		return AS_INVALID_REQUEST;
	}
	return as_proof_read(fcinfo, &reset->proof, &reset->hint);
}

/* The account and the code row that the proof can be for. */
static AsFailure
find_reset(Reset *reset)
{
	const char *identifier;
	AsUuid owner;

	if (as_proof_follow(&reset->proof, AS_PURPOSE_PASSWORD_RESET,
	                    AS_PURPOSE_PASSWORD_RESET) != AS_OK)
		return AS_INVALID_CODE;
	identifier = reset->proof.identifier.canonical;

	/* The address must still be the account's. */
	if (as_identifier_owner(identifier, &owner) &&
	    as_account_find(&owner, &reset->account) &&
	    !as_account_is_banned(&reset->account, GetCurrentTimestamp()) &&
	    as_code_find_for(&owner, AS_PURPOSE_PASSWORD_RESET, identifier,
	                     &reset->try.code))
	{
		reset->try.account_failures = reset->account.code_failures;
		reset->event.user_id = owner;
		reset->count = 1;
	}
	return as_code_try(&reset->proof, &reset->try, reset->count)
	           ? AS_OK
	           : AS_INVALID_CODE;
}

static AsFailure
save_reset(Reset *reset)
{
	AsAccount now;

	if (!as_account_lock(&reset->account.id, AS_ACCOUNT_EXCLUSIVE, &now) ||
	    !as_code_consume(&reset->try.code))
		return AS_INVALID_CODE;
	as_account_set_password(&now.id, &reset->new.hash);
	as_account_forget_code_failures(&now.id);
	(void) as_session_end_all(&now.id, NULL);
	as_code_drop_all(&now.id);
	tell_changed(&now);
	as_signin_forgive(reset->proof.identifier.canonical);
	return AS_OK;
}

Datum
auth_reset_password(PG_FUNCTION_ARGS)
{
	Reset reset = {0};
	AsFailure outcome;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&reset.event, AS_ACTION_RESET_PASSWORD);

	if ((outcome = read_reset(fcinfo, &reset)) == AS_OK &&
	    (outcome = find_reset(&reset)) == AS_OK)
	{
		/* The code was right: from here on a failure is no wrong try. */
		as_code_try_succeeded(&reset.try, reset.count);
		outcome = take_password(&reset.new, &reset.account, &reset.hint);
		if (outcome == AS_OK)
			outcome = save_reset(&reset);
		reset.count = 0;
	}
	else if (outcome == AS_INVALID_CODE &&
	         reset.proof.identifier.canonical != NULL)
		as_code_try_failed(&reset.event, &reset.proof, &reset.try, reset.count);
	as_password_wipe(&reset.new.password);
	as_text_wipe(&reset.proof.code);

	if (outcome != AS_OK)
		as_fail(outcome, reset.hint);
	as_door_succeed(&reset.event);
	PG_RETURN_VOID();
}
