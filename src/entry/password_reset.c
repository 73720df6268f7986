/*
 * password_reset.c: auth.request_password_reset and auth.reset_password.
 *
 * Asking for a reset changes nothing and answers the same for anybody. A
 * reset begins a new epoch of its account, ends all its sessions and signs
 * nobody in.
 */
#include "entry/entry.h"

AS_ENTRY(auth_request_password_reset);
AS_ENTRY(auth_reset_password);

/* ---- request_password_reset ---- */

typedef struct Request
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
} Request;

static AsFailure
request_reset(void *flow)
{
	Request *request = flow;

	return as_owner_code_send(&request->attempt, request->fcinfo,
	                          AS_MESSAGE_RESET, AS_PURPOSE_PASSWORD_RESET);
}

Datum
auth_request_password_reset(PG_FUNCTION_ARGS)
{
	Request request = {.fcinfo = fcinfo};

	as_attempt_run(&request.attempt, "request_password_reset", request_reset,
	               &request);
	PG_RETURN_VOID();
}

/* ---- reset_password ---- */

typedef struct Reset
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsProof proof;
	AsNewPassword new;
	AsAccount account;
	AsCode code;
} Reset;

static AsFailure
read_arguments(Reset *reset)
{
	if (!as_call_password(reset->fcinfo, 2, &reset->new.password,
	                      &reset->new.characters))
		return as_attempt_tell(
		    &reset->attempt, AS_INVALID_REQUEST,
		    "The new_password is missing, too long or not Unicode.");
	return as_proof_read(&reset->attempt, reset->fcinfo, &reset->proof);
}

static AsFailure
try_proof(Reset *reset)
{
	AsFailure outcome = as_owner_code_try(&reset->attempt, &reset->proof,
	                                      AS_PURPOSE_PASSWORD_RESET,
	                                      &reset->account, &reset->code);

	if (outcome == AS_OK &&
	    as_account_is_banned(&reset->account, GetCurrentTimestamp()))
		outcome = as_attempt_refuse(&reset->attempt, AS_INVALID_CODE,
		                            "banned account");
	return outcome;
}

static AsFailure
save(Reset *reset)
{
	const AsAccount *account = &reset->account;
	AsFailure outcome;
	int ended;

	if (!as_code_consume(&reset->code))
		return AS_INVALID_CODE;
	outcome = as_epoch_begin(&account->id, AS_ENDS_SESSIONS_AND_KEYS, NULL,
	                         NULL, &reset->new.hash, &ended);
	if (outcome != AS_OK || as_epoch_forgive(&account->id) != AS_OK)
		return AS_INVALID_CODE;
	as_owner_code_end(account);
	as_message_tell(account, "password_changed", as_request_origin_payload());
	as_proof_forgive(&reset->attempt, &reset->proof, AS_PURPOSE_PASSWORD_RESET);
	return AS_OK;
}

static AsFailure
reset_password(void *flow)
{
	Reset *reset = flow;
	AsAttempt *attempt = &reset->attempt;
	AsFailure outcome;

	if ((outcome = read_arguments(reset)) == AS_OK &&
	    (outcome = as_proof_follow(
	         attempt, &reset->proof,
	         AS_PURPOSE_SET(AS_PURPOSE_PASSWORD_RESET))) == AS_OK &&
	    (outcome = try_proof(reset)) == AS_OK &&
	    (outcome = as_password_take(attempt, &reset->new, &reset->account)) ==
	        AS_OK)
		outcome = save(reset);
	return outcome;
}

Datum
auth_reset_password(PG_FUNCTION_ARGS)
{
	Reset reset = {.fcinfo = fcinfo};

	as_attempt_run(&reset.attempt, "reset_password", reset_password, &reset);
	as_cookie_clear();
	PG_RETURN_VOID();
}
