/*
 * reauthenticate.c: auth.reauthenticate: who is signed in shows anew who it is.
 *
 * The session goes on, with another access token that has a fresh auth_time and,
 * where a second factor was shown, aal2; the one before it ends, the refresh
 * token in hand stays good. So a stolen token gains nothing by it, and the
 * user needs no other session for what asks for more (require_recent,
 * require_aal). Of an account without a password and without a second factor
 * the code is one that it asked for to sign in: one factor, as before.
 */
#include "entry/entry.h"

AS_ENTRY(auth_reauthenticate);

typedef struct Reauthentication
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsOwner owner;
	bool has_code;
	bool is_sent; /* the code is one for a sign-in, and not of a factor */
	AsFactorProof proof;
	AsProof sent;
	AsCode code;
	AsUuid jti;      /* of the token in hand */
	bool to_cookies; /* where that was in one, or was asked for */
	AsSession session;
} Reauthentication;

/* Of the second factor, where there is one or could be. */
static AsFailure
read_code(Reauthentication *again)
{
	const AsAccount *account = &again->owner.account;

	again->is_sent = account->hash.phc[0] == '\0' &&
	                 !as_factor_find(&account->id, &again->proof.factor);
	if (!again->is_sent)
		return as_factor_proof_read(&again->attempt, again->fcinfo, 1,
		                            &again->proof);
	return as_proof_read_code(&again->attempt, again->fcinfo, 1, &again->sent);
}

/* What was in a cookie must not be given to the page. */
static AsFailure
check_cookies(Reauthentication *again)
{
	const AsEvent *event = &again->attempt.event;

	again->to_cookies = as_request()->wants_cookies ||
	                    (as_request()->bearer == NULL &&
	                     as_cookie_is_of(&event->user_id, &event->session_id));
	return again->to_cookies ? as_cookie_may_set(&again->attempt) : AS_OK;
}

static AsFailure
read_arguments(Reauthentication *again)
{
	FunctionCallInfo fcinfo = again->fcinfo;
	AsAttempt *attempt = &again->attempt;
	bool has_password = !PG_ARGISNULL(0);
	AsFailure outcome = AS_OK;

	again->jti = as_context_live()->jti;
	again->has_code = !PG_ARGISNULL(1);
	if (!has_password && !again->has_code)
		return as_attempt_tell(attempt, AS_INVALID_REQUEST,
		                       "Give the password or a code.");
	if (has_password)
		outcome = as_owner_read_password(
		    attempt, fcinfo, 0, "The password is too long or not Unicode.",
		    &again->owner);
	if (outcome == AS_OK && again->has_code)
		outcome = read_code(again);
	return outcome;
}

static AsFailure
try_sent(Reauthentication *again)
{
	AsAttempt *attempt = &again->attempt;
	AsProof *sent = &again->sent;
	AsUuid caller = attempt->event.user_id;
	AsAccount owner;
	AsFailure outcome;

	if (!sent->is_link &&
	    !as_owner_code_address(&again->owner.account, AS_PURPOSE_SIGNIN_CODE,
	                           &sent->identifier))
		return AS_INVALID_CODE;
	if (sent->is_link && !as_uuid_equal(&sent->user_id, &caller))
		return AS_USER_MISMATCH;
	outcome =
	    as_proof_follow(attempt, sent, AS_PURPOSE_SET(AS_PURPOSE_SIGNIN_CODE));
	if (outcome == AS_OK)
		outcome = as_owner_code_try(attempt, sent, AS_PURPOSE_SIGNIN_CODE,
		                            &owner, &again->code);
	if (outcome == AS_OK && !as_uuid_equal(&owner.id, &caller))
		outcome = AS_INVALID_CODE;
	return outcome;
}

static AsFailure
prove(Reauthentication *again)
{
	AsAttempt *attempt = &again->attempt;
	AsOwner *owner = &again->owner;
	AsFailure outcome = AS_OK;

	if (owner->has_given_password)
		outcome = as_owner_prove(attempt, owner);
	if (outcome != AS_OK || !again->has_code)
		return outcome;
	if (again->is_sent)
		return try_sent(again);
	if (!as_factor_find(&owner->account.id, &again->proof.factor))
		return as_attempt_tell(attempt, AS_INVALID_CODE,
		                       "No second factor is on.");
	return as_factor_proof_try(attempt, &again->proof);
}

static AsFailure
use_code(Reauthentication *again)
{
	AsAttempt *attempt = &again->attempt;
	AsFailure outcome;

	if (!again->is_sent)
		return as_factor_proof_use(attempt, &again->owner.account,
		                           &again->proof);
	outcome = as_owner_code_use(attempt, &again->code);
	if (outcome == AS_OK)
		as_proof_forgive(attempt, &again->sent, AS_PURPOSE_SIGNIN_CODE);
	return outcome;
}

static AsFailure
save(Reauthentication *again)
{
	const AsEvent *event = &again->attempt.event;
	char *methods[3];
	AsTexts shown = {0, methods};

	if (again->owner.has_given_password)
		methods[shown.count++] = pstrdup("pwd");
	if (again->is_sent)
		methods[shown.count++] = pstrdup("otp");
	else if (again->has_code)
	{
		methods[shown.count++] = pstrdup(as_factor_proof_method(&again->proof));
		methods[shown.count++] = pstrdup("mfa");
	}
	return as_session_prove(
	    &event->user_id, &event->session_id, &again->jti, &shown,
	    again->has_code && !again->is_sent ? "aal2" : NULL, &again->session);
}

static AsFailure
reauthenticate(void *flow)
{
	Reauthentication *again = flow;
	AsAttempt *attempt = &again->attempt;
	AsOwner *owner = &again->owner;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, owner)) == AS_OK &&
	    (outcome = check_cookies(again)) == AS_OK &&
	    (outcome = read_arguments(again)) == AS_OK &&
	    (outcome = prove(again)) == AS_OK &&
	    (!owner->has_given_password ||
	     (outcome = as_owner_look_again(attempt, owner)) == AS_OK) &&
	    (!again->has_code || (outcome = use_code(again)) == AS_OK))
		outcome = save(again);
	return outcome;
}

Datum
auth_reauthenticate(PG_FUNCTION_ARGS)
{
	Reauthentication again = {.fcinfo = fcinfo};

	as_attempt_run(&again.attempt, "reauthenticate", reauthenticate, &again);
	PG_RETURN_DATUM(as_answer_tokens(fcinfo, &again.owner.account,
	                                 &again.session, NULL, again.to_cookies));
}
