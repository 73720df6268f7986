/*
 * signin_code.c: auth.request_signin_code and auth.signin_code, a sign-in
 * without a password, where auth_session.passwordless is on.
 *
 * Who has the code has the address, and that is all that is asked here: a
 * second factor, where one is on, is asked for by grant.c, as after a password.
 * The code is used up with the session that it opens, and by nothing that is
 * refused.
 */
#include "entry/entry.h"

AS_ENTRY(auth_request_signin_code);
AS_ENTRY(auth_signin_code);

static AsFailure
check_enabled(AsAttempt *attempt)
{
	return auth_session_passwordless
	           ? AS_OK
	           : as_attempt_tell(attempt, AS_FEATURE_DISABLED,
	                             "Sign in with a password.");
}

/* ---- request_signin_code ---- */

typedef struct Request
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
} Request;

static AsFailure
request_code(void *flow)
{
	Request *request = flow;
	AsAttempt *attempt = &request->attempt;
	AsFailure outcome = check_enabled(attempt);

	return outcome == AS_OK
	           ? as_owner_code_send(attempt, request->fcinfo, AS_MESSAGE_SIGNIN,
	                                AS_PURPOSE_SIGNIN_CODE)
	           : outcome;
}

Datum
auth_request_signin_code(PG_FUNCTION_ARGS)
{
	Request request = {.fcinfo = fcinfo};

	as_attempt_run(&request.attempt, "request_signin_code", request_code,
	               &request);
	PG_RETURN_VOID();
}

/* ---- signin_code ---- */

typedef struct SignIn
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsProof proof;
	AsCode code;
	AsGrant grant;
} SignIn;

static AsFailure
sign_in(void *flow)
{
	SignIn *signin = flow;
	AsAttempt *attempt = &signin->attempt;
	AsProof *proof = &signin->proof;
	AsGrant *grant = &signin->grant;
	AsFailure outcome;

	grant->aal = "aal1";
	as_grant_add_method(grant, "otp");
	if ((outcome = check_enabled(attempt)) == AS_OK &&
	    (outcome = as_cookie_check(attempt)) == AS_OK &&
	    (outcome = as_proof_read(attempt, signin->fcinfo, proof)) == AS_OK &&
	    (outcome = as_proof_follow(attempt, proof,
	                               AS_PURPOSE_SET(AS_PURPOSE_SIGNIN_CODE))) ==
	        AS_OK &&
	    (outcome = as_owner_code_try(attempt, proof, AS_PURPOSE_SIGNIN_CODE,
	                                 &grant->account, &signin->code)) ==
	        AS_OK &&
	    (outcome = as_grant_check_status(attempt, &grant->account)) == AS_OK &&
	    (outcome = as_owner_code_use(attempt, &signin->code)) == AS_OK &&
	    (outcome = as_grant_open(attempt, grant)) == AS_OK)
		as_proof_forgive(attempt, proof, AS_PURPOSE_SIGNIN_CODE);
	return outcome;
}

Datum
auth_signin_code(PG_FUNCTION_ARGS)
{
	SignIn signin = {.fcinfo = fcinfo};

	as_attempt_run(&signin.attempt, "signin_code", sign_in, &signin);
	PG_RETURN_DATUM(as_grant_answer(fcinfo, &signin.grant));
}
