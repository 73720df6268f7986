/*
 * grant.c: the last third of every sign-in, by whatever the user has shown
 * who it is.
 *
 * What was checked, was checked with no lock held, on an account as it was
 * looked at. Here its epoch is joined (epoch.c) and its password must still be
 * the one that was checked: whatever else has ended its sessions meanwhile,
 * this is a sign-in that begins after it. Whatever ends them from here on ends
 * this one's too.
 *
 * Where the account has a second factor, who has shown one gets an mfa token
 * and no session. Whether it has is looked at after the epoch was: who turns a
 * factor on begins another. The second step must be of the same epoch.
 */
#include "service/service.h"

void
as_grant_add_method(AsGrant *grant, const char *method)
{
	for (int i = 0; i < grant->method_count; i++)
		if (strcmp(grant->methods[i], method) == 0)
			return;
	Assert(grant->method_count < AS_GRANT_METHODS);
	grant->methods[grant->method_count++] = unconstify(char *, method);
}

void
as_grant_continue(AsGrant *grant, const AsMfaToken *first, AsFactorProof *proof)
{
	AsTexts shown = as_mfa_token_methods(first);

	grant->first = first;
	grant->proof = proof;
	for (int i = 0; i < shown.count; i++)
		as_grant_add_method(grant, shown.items[i]);
	as_grant_add_method(grant, as_factor_proof_method(proof));
	as_grant_add_method(grant, "mfa");
	grant->aal = "aal2";
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

/* Uses up what the second step was shown: the token first, then the code. */
static AsFailure
take_second_factor(AsAttempt *attempt, AsGrant *grant)
{
	if (grant->account.epoch != grant->first->epoch ||
	    !as_mfa_use_add(grant->first))
		return as_mfa_token_end(attempt);
	return as_factor_proof_use(attempt, &grant->account, grant->proof);
}

static void
open_session(AsAttempt *attempt, AsGrant *grant)
{
	/* Where an operator is, the user needn't know. */
	AsOrigin origin =
	    grant->actor == NULL ? as_request_origin() : (AsOrigin){0};
	AsTexts amr = {grant->method_count, grant->methods};

	Assert(grant->aal != NULL && grant->method_count > 0);
	as_session_open(&grant->account, &origin, grant->aal, &amr, grant->actor,
	                &grant->session, &grant->token);
	attempt->event.session_id = grant->session.id;
	if (grant->actor != NULL)
		return;
	as_session_keep_newest(&grant->account);
	as_new_signin_tell(&grant->account);
}

AsFailure
as_grant_open(AsAttempt *attempt, AsGrant *grant)
{
	AsTexts shown = {grant->method_count, grant->methods};
	AsFailure outcome = join_account(attempt, grant);

	if (outcome == AS_OK && grant->first != NULL)
		outcome = take_second_factor(attempt, grant);
	else if (outcome == AS_OK && grant->actor == NULL &&
	         as_factor_is_on(&grant->account.id))
	{
		grant->mfa_token = as_mfa_token_make(&grant->account, &shown);
		attempt->remark = "second factor asked for";
		return AS_OK;
	}
	if (outcome == AS_OK)
		open_session(attempt, grant);
	return outcome;
}

Datum
as_grant_answer(FunctionCallInfo fcinfo, AsGrant *grant)
{
	if (grant->mfa_token != NULL)
		return as_answer_mfa_token(fcinfo, grant->mfa_token);
	return as_answer_tokens(fcinfo, &grant->account, &grant->session,
	                        &grant->token, as_request()->wants_cookies);
}
