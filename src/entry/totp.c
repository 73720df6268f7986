/*
 * totp.c: auth.enroll_totp, auth.confirm_totp, auth.disable_totp and
 * auth.recovery_codes: a user's second factor, on and off.
 *
 * A secret is pending until a code of it was shown, so that nobody locks
 * himself out by an app that didn't take it. Turning it on begins a new epoch:
 * whoever was signed in by the password alone is so no longer, but for the
 * session that calls.
 */
#include "entry/entry.h"

AS_ENTRY(auth_enroll_totp);
AS_ENTRY(auth_confirm_totp);
AS_ENTRY(auth_disable_totp);
AS_ENTRY(auth_recovery_codes);

typedef struct Totp
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsOwner owner;
	AsTotpSecret secret; /* of an enrolment */
	AsFactorProof proof;
	Datum recovery_codes;
} Totp;

/*
 * Step: the account, held, as it is in force. Whoever waited here while the
 * password was changed has shown the one before it: AS_BUSY.
 */
static AsFailure
lock_account(Totp *totp)
{
	AsAccount *account = &totp->owner.account;
	AsPasswordHash verified = account->hash;
	AsUuid id = account->id;
	AsAccount row;

	if (!as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, &row) ||
	    !as_account_find_in_force(&id, account))
		return AS_SESSION_REVOKED;
	return strcmp(verified.phc, account->hash.phc) == 0 ? AS_OK : AS_BUSY;
}

/* ---- enroll_totp ---- */

static AsFailure
enroll(void *flow)
{
	Totp *totp = flow;
	AsAttempt *attempt = &totp->attempt;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, &totp->owner)) != AS_OK ||
	    (outcome = as_owner_require_recent()) != AS_OK ||
	    (outcome = lock_account(totp)) != AS_OK)
		return outcome;
	if (as_factor_is_on(&totp->owner.account.id))
		return as_attempt_tell(attempt, AS_ALREADY_EXISTS,
		                       "A second factor is on: disable it first.");
	as_totp_secret_random(&totp->secret);
	as_factor_enroll(&totp->owner.account.id, &totp->secret);
	return AS_OK;
}

Datum
auth_enroll_totp(PG_FUNCTION_ARGS)
{
	Totp totp = {.fcinfo = fcinfo};

	as_attempt_run(&totp.attempt, "enroll_totp", enroll, &totp);
	PG_RETURN_DATUM(
	    as_enrollment_answer(fcinfo, &totp.owner.account, &totp.secret));
}

/* ---- confirm_totp ---- */

static AsFailure
find_pending(Totp *totp)
{
	const AsUuid *user_id = &totp->owner.account.id;

	if (totp->proof.is_totp &&
	    as_factor_find_pending(user_id, &totp->proof.factor))
		return AS_OK;
	if (as_factor_is_on(user_id))
		return as_attempt_tell(&totp->attempt, AS_ALREADY_EXISTS,
		                       "A second factor is on already.");
	return as_attempt_tell(&totp->attempt, AS_INVALID_CODE,
	                       "Call enroll_totp, then give the code that the app "
	                       "shows.");
}

static AsFailure
turn_on(Totp *totp)
{
	AsUuid *id = &totp->owner.account.id;
	AsFailure outcome;
	int ended;

	if (as_factor_is_on(id))
		return as_attempt_tell(&totp->attempt, AS_ALREADY_EXISTS,
		                       "A second factor is on already.");
	outcome = as_factor_confirm(&totp->attempt, &totp->proof);
	if (outcome != AS_OK)
		return outcome;
	totp->recovery_codes = as_recovery_renew(id);
	outcome =
	    as_epoch_begin(id, AS_ENDS_SESSIONS, &totp->attempt.event.session_id,
	                   NULL, NULL, &ended);
	if (outcome == AS_OK)
		as_factor_tell(&totp->owner.account, "totp_enabled");
	return outcome;
}

static AsFailure
confirm(void *flow)
{
	Totp *totp = flow;
	AsAttempt *attempt = &totp->attempt;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, &totp->owner)) == AS_OK &&
	    (outcome = as_factor_proof_read(attempt, totp->fcinfo, 0,
	                                    &totp->proof)) == AS_OK &&
	    (outcome = find_pending(totp)) == AS_OK &&
	    (outcome = as_factor_proof_try(attempt, &totp->proof)) == AS_OK &&
	    (outcome = lock_account(totp)) == AS_OK)
		outcome = turn_on(totp);
	return outcome;
}

Datum
auth_confirm_totp(PG_FUNCTION_ARGS)
{
	Totp totp = {.fcinfo = fcinfo};

	as_attempt_run(&totp.attempt, "confirm_totp", confirm, &totp);
	PG_RETURN_DATUM(totp.recovery_codes);
}

/* ---- disable_totp ---- */

static AsFailure
read_password(Totp *totp)
{
	return as_owner_read_password(&totp->attempt, totp->fcinfo, 0,
	                              "The password is missing, too long or not "
	                              "Unicode.",
	                              &totp->owner);
}

static AsFailure
find_factor(Totp *totp)
{
	if (as_factor_find(&totp->owner.account.id, &totp->proof.factor))
		return AS_OK;
	return as_attempt_tell(&totp->attempt, AS_INVALID_CODE,
	                       "No second factor is on.");
}

static AsFailure
turn_off(Totp *totp)
{
	AsAccount *account = &totp->owner.account;
	AsFailure outcome =
	    as_factor_proof_use(&totp->attempt, account, &totp->proof);

	if (outcome == AS_OK)
		as_factor_remove(account, false);
	return outcome;
}

static AsFailure
disable(void *flow)
{
	Totp *totp = flow;
	AsAttempt *attempt = &totp->attempt;
	AsOwner *owner = &totp->owner;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, owner)) == AS_OK &&
	    (outcome = read_password(totp)) == AS_OK &&
	    (outcome = as_factor_proof_read(attempt, totp->fcinfo, 1,
	                                    &totp->proof)) == AS_OK &&
	    (outcome = as_owner_prove(attempt, owner)) == AS_OK &&
	    (outcome = find_factor(totp)) == AS_OK &&
	    (outcome = as_factor_proof_try(attempt, &totp->proof)) == AS_OK &&
	    (outcome = as_owner_look_again(attempt, owner)) == AS_OK &&
	    (outcome = lock_account(totp)) == AS_OK)
		outcome = turn_off(totp);
	return outcome;
}

Datum
auth_disable_totp(PG_FUNCTION_ARGS)
{
	Totp totp = {.fcinfo = fcinfo};

	as_attempt_run(&totp.attempt, "disable_totp", disable, &totp);
	PG_RETURN_VOID();
}

/* ---- recovery_codes ---- */

static AsFailure
renew_codes(Totp *totp)
{
	AsAccount *account = &totp->owner.account;

	if (!as_factor_is_on(&account->id))
		return as_attempt_tell(&totp->attempt, AS_INVALID_REQUEST,
		                       "No second factor is on.");
	as_store_make_durable();
	totp->recovery_codes = as_recovery_renew(&account->id);
	as_factor_tell(account, "recovery_codes_replaced");
	return AS_OK;
}

static AsFailure
replace_codes(void *flow)
{
	Totp *totp = flow;
	AsAttempt *attempt = &totp->attempt;
	AsOwner *owner = &totp->owner;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, owner)) == AS_OK &&
	    (outcome = read_password(totp)) == AS_OK &&
	    (outcome = as_owner_prove(attempt, owner)) == AS_OK &&
	    (outcome = as_owner_look_again(attempt, owner)) == AS_OK &&
	    (outcome = lock_account(totp)) == AS_OK)
		outcome = renew_codes(totp);
	return outcome;
}

Datum
auth_recovery_codes(PG_FUNCTION_ARGS)
{
	Totp totp = {.fcinfo = fcinfo};

	as_attempt_run(&totp.attempt, "recovery_codes", replace_codes, &totp);
	PG_RETURN_DATUM(totp.recovery_codes);
}
