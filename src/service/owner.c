/*
 * owner.c: whether who calls owns the account, and not only a token of it.
 *
 * What changes an account or takes it away asks for more than a live session:
 * the password, and where the account has none, a sign-in of the last ten
 * minutes. A wrong password is a failed attempt on the account. Whoever acts
 * for the user (impersonation) is never its owner, and no API key is.
 *
 * The password is compared with no lock held, on the account as it was looked
 * at; a flow that has computed another hash since looks again.
 */
#include "service/service.h"

/* How long a sign-in stands in for a password: seconds. */
#define RECENT 600

bool
as_context_is_recent(const AsContext *context, int64 seconds)
{
	const AsClaims *claims = &context->token->claims;

	return !claims->has_act && claims->has_auth_time &&
	       as_unix_seconds(GetCurrentTimestamp()) - claims->auth_time <=
	           seconds;
}

AsFailure
as_owner_require(AsAttempt *attempt)
{
	AsFailure outcome = as_attempt_require_context(attempt);

	if (outcome == AS_OK && as_context_live()->is_api_key)
		return as_attempt_refuse(attempt, AS_REAUTHENTICATION_REQUIRED,
		                         "API key");
	if (outcome == AS_OK && as_context_live()->token->claims.has_act)
		return as_attempt_refuse(attempt, AS_REAUTHENTICATION_REQUIRED,
		                         "impersonation");
	return outcome;
}

AsFailure
as_owner_find(AsAttempt *attempt, AsOwner *owner)
{
	AsFailure outcome = as_owner_require(attempt);

	if (outcome == AS_OK &&
	    !as_account_find_in_force(&attempt->event.user_id, &owner->account))
		outcome = AS_SESSION_REVOKED;
	return outcome;
}

AsFailure
as_owner_read_password(AsAttempt *attempt, FunctionCallInfo fcinfo,
                       int argument, const char *hint, AsOwner *owner)
{
	owner->has_given_password = !PG_ARGISNULL(argument);
	if (!owner->has_given_password && owner->account.hash.phc[0] == '\0')
		return AS_OK;
	if (!as_call_password(fcinfo, argument, &owner->password, NULL))
		return as_attempt_tell(attempt, AS_INVALID_REQUEST, hint);
	return AS_OK;
}

static AsFailure
check_password(AsAttempt *attempt, AsOwner *owner)
{
	bool matches;
	AsFailure outcome =
	    as_password_verify(&owner->password, &owner->account.hash, &matches);

	if (outcome != AS_OK)
		return outcome;
	if (!matches)
		return as_attempt_fail(attempt, AS_INVALID_CREDENTIALS,
		                       as_password_is_poisoned(&owner->account.hash)
		                           ? "unusable hash"
		                           : "wrong password");
	as_attempt_return(attempt);
	return AS_OK;
}

AsFailure
as_owner_require_recent(void)
{
	return as_context_is_recent(as_context_live(), RECENT)
	           ? AS_OK
	           : AS_REAUTHENTICATION_REQUIRED;
}

AsFailure
as_owner_prove(AsAttempt *attempt, AsOwner *owner)
{
	AsFailure outcome;

	if (!owner->has_given_password)
		return as_owner_require_recent();
	outcome = as_signin_limit_take_user(attempt, &owner->account);
	return outcome == AS_OK ? check_password(attempt, owner) : outcome;
}

AsFailure
as_owner_look_again(AsAttempt *attempt, AsOwner *owner)
{
	AsAccount *account = &owner->account;
	AsPasswordHash verified = account->hash;

	if (!as_account_find_in_force(&account->id, account))
		return AS_SESSION_REVOKED;
	if (strcmp(verified.phc, account->hash.phc) == 0)
		return AS_OK;
	return owner->has_given_password ? check_password(attempt, owner)
	                                 : AS_REAUTHENTICATION_REQUIRED;
}
