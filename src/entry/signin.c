/*
 * signin.c: auth.signin, from a password to a session, or to an mfa token where
 * the account has a second factor (grant.c).
 *
 * The steps are those of the contract, in its order, and can be read off
 * sign_in below. An unknown account costs the same hash as a known one. The
 * hash is computed with no lock held; then the password must still be the one
 * that was checked (look_again, and grant.c).
 *
 * Only a password that was compared and is wrong counts as a failure: once it
 * matches, the try is taken back, before anything can wait or fail.
 */
#include "entry/entry.h"

AS_ENTRY(auth_signin);

typedef struct SignIn
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsIdentifier identifier;
	AsPassword password;
	bool is_known; /* the identifier has an owner, who is grant.account */
	AsPasswordHash stronger;
	AsGrant grant;
} SignIn;

static AsFailure
read_arguments(SignIn *signin)
{
	FunctionCallInfo fcinfo = signin->fcinfo;
	AsIdentifier phone;
	const char *hint = NULL;

	if (PG_ARGISNULL(0) == PG_ARGISNULL(2))
		hint = "Give either an email or a phone.";
	else if (!as_call_email(fcinfo, 0, &signin->identifier))
		hint = "The email is not valid.";
	else if (!as_call_phone(fcinfo, 2, &phone))
		hint = "The phone is not an E.164 number.";
	else if (!as_call_password(fcinfo, 1, &signin->password, NULL))
		hint = "The password is missing, too long or not Unicode.";
	else if (signin->identifier.canonical == NULL)
		signin->identifier = phone;
	return hint == NULL
	           ? AS_OK
	           : as_attempt_tell(&signin->attempt, AS_INVALID_REQUEST, hint);
}

static AsFailure
look_up_account(SignIn *signin)
{
	AsUuid nobody = as_nobody_at(signin->identifier.canonical);
	AsUuid owner;
	bool is_owned = as_identifier_owner(signin->identifier.canonical, &owner);

	/* An unknown identifier makes the same look-up, of nobody. */
	if (!is_owned)
		owner = nobody;
	signin->is_known =
	    as_account_find_in_force(&owner, &signin->grant.account) && is_owned;
	if (signin->is_known)
		signin->attempt.event.user_id = owner;
	return AS_OK;
}

/*
 * The failures of an account are counted under the number of times that they
 * were forgiven, so it is looked up before; what is refused here is answered
 * with no hash behind which the look-up could hide.
 */
static AsFailure
take_try(SignIn *signin)
{
	int forgiven = signin->is_known ? signin->grant.account.forgiven : 0;
	AsFailure outcome = as_signin_limit_take(
	    &signin->attempt, signin->identifier.canonical, forgiven);

	if (outcome != AS_OK)
		as_message_look_up_until(signin->attempt.event.at);
	return outcome;
}

static const char *
why_it_failed(const AsPasswordHash *hash)
{
	if (hash == NULL)
		return "unknown account";
	return as_password_is_poisoned(hash) ? "unusable hash" : "wrong password";
}

static AsFailure
check_password(SignIn *signin)
{
	const AsPasswordHash *hash =
	    signin->is_known ? &signin->grant.account.hash : NULL;
	bool matches;
	AsFailure outcome = as_password_verify(&signin->password, hash, &matches);

	if (outcome != AS_OK)
		return outcome;
	if (matches)
	{
		as_attempt_return(&signin->attempt);
		return AS_OK;
	}
	return as_attempt_fail(&signin->attempt, AS_INVALID_CREDENTIALS,
	                       why_it_failed(hash));
}

/*
 * The password may have changed while its hash was computed: looks again,
 * once. One that still fits goes on as a sign-in that began afterwards. Where
 * each look is a message to another node, the one before the session opens
 * must do: that is busy then.
 */
static AsFailure
look_again(SignIn *signin)
{
	AsAccount *account = &signin->grant.account;
	AsPasswordHash verified = account->hash;

	if (as_is_distributed())
		return AS_OK;
	if (!as_account_find_in_force(&account->id, account))
		return as_attempt_refuse(&signin->attempt, AS_INVALID_CREDENTIALS,
		                         "account is gone");
	return strcmp(verified.phc, account->hash.phc) == 0
	           ? AS_OK
	           : check_password(signin);
}

/*
 * Before the lock: no lock is held while hashing. Where there is no place for
 * it, the next sign-in will do.
 */
static AsFailure
strengthen_hash(SignIn *signin)
{
	AsGrant *grant = &signin->grant;

	if (as_password_needs_rehash(&grant->account.hash, &signin->password) &&
	    as_password_make_hash(&signin->password, &signin->stronger) == AS_OK)
		grant->stronger = &signin->stronger;
	return AS_OK;
}

static AsFailure
sign_in(void *flow)
{
	SignIn *signin = flow;
	AsAttempt *attempt = &signin->attempt;
	AsGrant *grant = &signin->grant;
	AsFailure outcome;

	grant->aal = "aal1";
	as_grant_add_method(grant, "pwd");
	if ((outcome = as_cookie_check(attempt)) == AS_OK &&
	    (outcome = read_arguments(signin)) == AS_OK &&
	    (outcome = look_up_account(signin)) == AS_OK &&
	    (outcome = take_try(signin)) == AS_OK &&
	    (outcome = check_password(signin)) == AS_OK &&
	    (outcome = look_again(signin)) == AS_OK &&
	    (outcome = as_grant_check_status(attempt, &grant->account)) == AS_OK &&
	    (outcome = strengthen_hash(signin)) == AS_OK)
		outcome = as_grant_open(attempt, grant);
	return outcome;
}

Datum
auth_signin(PG_FUNCTION_ARGS)
{
	SignIn signin = {.fcinfo = fcinfo};

	as_attempt_run(&signin.attempt, "signin", sign_in, &signin);
	PG_RETURN_DATUM(as_grant_answer(fcinfo, &signin.grant));
}
