/*
 * grant.c: the last third of every sign-in, by whatever the user has shown
 * who it is.
 *
 * What was checked, was checked with no lock held, on an account as it was
 * looked at. Here its epoch is joined (epoch.c) and its password must still be
 * the one that was checked: whatever else has ended its sessions meanwhile,
 * this is a sign-in that begins after it. Whatever ends them from here on ends
 * this one's too.
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
	if (as_account_is_banned(account, GetCurrentTimestamp()))
		return as_attempt_refuse(attempt, AS_BANNED, "banned account");
	if (account->status == AS_ACCOUNT_PENDING)
		return as_attempt_refuse(attempt, AS_NOT_CONFIRMED, "pending account");
	return AS_OK;
}

/*
 * A hash weaker than the settings is replaced by the way, where nobody holds
 * the row: that changes no epoch, so sign-ins beside this one go on.
 */
static void
replace_hash(const AsGrant *grant)
{
	const AsUuid *id = &grant->account.id;
	AsAccount row;

	if (grant->stronger != NULL && !as_revocation_is_pending(id) &&
	    as_account_lock(id, AS_ACCOUNT_IF_FREE, &row))
		as_account_set_hash(id, &grant->account.hash, grant->stronger);
}

static AsFailure
join_account(AsAttempt *attempt, AsGrant *grant)
{
	AsAccount *account = &grant->account;
	AsPasswordHash verified = account->hash;
	AsLocked joined = as_epoch_join(&account->id);

	if (joined == AS_ABSENT || !as_account_find_in_force(&account->id, account))
		return as_attempt_refuse(attempt, AS_INVALID_CREDENTIALS,
		                         "account is gone");
	if (strcmp(verified.phc, account->hash.phc) != 0)
		return AS_BUSY;
	if (joined == AS_LOCKED)
		replace_hash(grant);
	return as_grant_check_status(attempt, account);
}

AsFailure
as_grant_open(AsAttempt *attempt, AsGrant *grant)
{
	/* Where an operator is, the user needn't know. */
	AsOrigin origin =
	    grant->actor == NULL ? as_request_origin() : (AsOrigin){0};
	AsTexts amr = {grant->method_count, grant->methods};
	AsFailure outcome = join_account(attempt, grant);

	Assert(grant->aal != NULL && grant->method_count > 0);
	if (outcome != AS_OK)
		return outcome;
	as_session_open(&grant->account, &origin, grant->aal, &amr, grant->actor,
	                &grant->session, &grant->token);
	attempt->event.session_id = grant->session.id;
	if (grant->actor != NULL)
		return AS_OK;
	if (auth_session_max_sessions_per_user > 0)
		as_session_keep_newest(&grant->account.id,
		                       auth_session_max_sessions_per_user);
	as_message_tell(&grant->account, "new_signin", as_request_origin_payload());
	return AS_OK;
}
