/*
 * grant.c: the last third of every sign-in, by whatever the user has shown
 * who it is.
 *
 * What was checked, was checked with no lock held, on an account as it was
 * looked at. Here the account is locked and must still be of the same epoch:
 * whatever ends all sessions makes it grow, so no sign-in that was in flight
 * meanwhile succeeds.
 */
#include "service/service.h"

void
as_grant_add_method(AsGrant *grant, const char *method)
{
	Assert(grant->method_count < AS_GRANT_METHODS);
	grant->methods[grant->method_count++] = unconstify(char *, method);
}

AsFailure
as_grant_check_status(AsAttempt *attempt, const AsAccount *account)
{
	if (account->status == AS_ACCOUNT_PENDING)
		return as_attempt_refuse(attempt, AS_NOT_CONFIRMED, "pending account");
	if (as_account_is_banned(account, GetCurrentTimestamp()))
		return as_attempt_refuse(attempt, AS_BANNED, "banned account");
	return AS_OK;
}

/*
 * A hash weaker than the settings is replaced here: that changes no epoch, so
 * sign-ins beside this one go on.
 */
static AsFailure
lock_account(AsAttempt *attempt, AsGrant *grant)
{
	AsAccount *seen = &grant->account;
	AsAccount now;
	bool is_changing =
	    grant->stronger != NULL || auth_session_max_sessions_per_user > 0;

	if (!as_account_lock(&seen->id,
	                     is_changing ? AS_ACCOUNT_EXCLUSIVE : AS_ACCOUNT_SHARED,
	                     &now) ||
	    now.epoch != seen->epoch)
		return as_attempt_refuse(attempt, AS_INVALID_CREDENTIALS,
		                         "account changed meanwhile");
	*seen = now;
	if (grant->stronger != NULL && as_password_needs_rehash(&now.hash))
		as_account_set_hash(&now.id, grant->stronger);
	return as_grant_check_status(attempt, seen);
}

AsFailure
as_grant_open(AsAttempt *attempt, AsGrant *grant)
{
	AsOrigin origin = as_request_origin();
	AsTexts amr = {grant->method_count, grant->methods};
	AsFailure outcome = lock_account(attempt, grant);

	Assert(grant->aal != NULL && grant->method_count > 0);
	if (outcome != AS_OK)
		return outcome;
	as_session_open(&grant->account.id, &origin, grant->aal, &amr,
	                &grant->session, &grant->token);
	if (auth_session_max_sessions_per_user > 0)
		as_session_keep_newest(&grant->account.id,
		                       auth_session_max_sessions_per_user);
	as_message_tell(&grant->account, "new_signin", as_request_origin_payload());
	attempt->event.session_id = grant->session.id;
	return AS_OK;
}
