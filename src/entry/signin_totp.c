/*
 * signin_totp.c: auth.signin_totp, the second step of a sign-in.
 *
 * Anybody can call it, but only with an mfa token, which somebody got who has
 * shown a first factor. The code is compared with no lock held; token and code
 * are used up with the session that they open, in one transaction (grant.c).
 */
#include "entry/entry.h"

AS_ENTRY(auth_signin_totp);

typedef struct SecondStep
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsMfaToken token;
	AsFactorProof proof;
	AsGrant grant;
} SecondStep;

static AsFailure
read_arguments(SecondStep *step)
{
	FunctionCallInfo fcinfo = step->fcinfo;
	AsText token;
	AsFailure outcome;

	if (PG_ARGISNULL(0))
		return as_attempt_tell(&step->attempt, AS_INVALID_REQUEST,
		                       "Give the mfa_token of the sign-in.");
	if (!as_call_secret(fcinfo, 0, AS_MFA_TOKEN_CHARS, &token))
		return AS_INVALID_TOKEN;
	outcome = as_mfa_token_read(&step->attempt, &token, &step->token);
	return outcome == AS_OK
	           ? as_factor_proof_read(&step->attempt, fcinfo, 1, &step->proof)
	           : outcome;
}

/* The account must be as the first step saw it, and have a factor still. */
static AsFailure
look_up(SecondStep *step)
{
	AsAccount *account = &step->grant.account;

	if (!as_account_find_in_force(&step->token.user_id, account) ||
	    account->epoch != step->token.epoch ||
	    !as_factor_find(&account->id, &step->proof.factor))
		return as_mfa_token_end(&step->attempt);
	return as_grant_check_status(&step->attempt, account);
}

static AsFailure
sign_in(void *flow)
{
	SecondStep *step = flow;
	AsFailure outcome;

	if ((outcome = as_cookie_check(&step->attempt)) == AS_OK &&
	    (outcome = read_arguments(step)) == AS_OK &&
	    (outcome = look_up(step)) == AS_OK &&
	    (outcome = as_factor_proof_try(&step->attempt, &step->proof)) == AS_OK)
	{
		as_grant_continue(&step->grant, &step->token, &step->proof);
		outcome = as_grant_open(&step->attempt, &step->grant);
	}
	return outcome;
}

Datum
auth_signin_totp(PG_FUNCTION_ARGS)
{
	SecondStep step = {.fcinfo = fcinfo};

	as_attempt_run(&step.attempt, "signin_totp", sign_in, &step);
	PG_RETURN_DATUM(as_grant_answer(fcinfo, &step.grant));
}
