/*
 * owner_code.c: codes that are for who owns an address: resets and sign-ins.
 *
 * Asking for one changes nothing and answers the same for anybody, whether the
 * address has an owner or not; so does trying one that is wrong.
 */
#include "service/service.h"

/* The account that owns an address; the statements are the same for nobody. */
static bool
find_owner(const AsIdentifier *identifier, AsAccount *account)
{
	AsUuid nobody = as_nobody_at(identifier->canonical);
	AsUuid owner;

	if (!as_identifier_owner(identifier->canonical, &owner))
		owner = nobody;
	return as_account_find_in_force(&owner, account) &&
	       !as_account_is_banned(account, GetCurrentTimestamp());
}

AsFailure
as_owner_code_send(AsAttempt *attempt, FunctionCallInfo fcinfo,
                   AsMessage message, AsPurpose purpose)
{
	AsIdentifier identifier;
	AsAccount account;
	AsFailure outcome;
	bool is_known;

	if (!as_call_identifier(fcinfo, 0, &identifier) ||
	    identifier.canonical == NULL)
		return as_attempt_tell(
		    attempt, AS_INVALID_REQUEST,
		    "The identifier is neither an email nor a phone.");
	outcome = as_message_allow(attempt, message, &identifier, true);
	if (outcome != AS_OK)
		return outcome;

	is_known = find_owner(&identifier, &account);
	as_message_look_up_until(attempt->event.at);
	as_message_send_code(is_known ? &account : NULL, purpose, &identifier);
	if (is_known)
		attempt->event.user_id = account.id;
	return AS_OK;
}

AsFailure
as_owner_code_try(AsAttempt *attempt, const AsProof *proof, AsPurpose purpose,
                  AsAccount *account, AsCode *code)
{
	const char *identifier = proof->identifier.canonical;
	AsUuid nobody = as_nobody_at(identifier);
	AsCodeTry one;
	AsUuid owner;
	AsFailure outcome;
	int count = 0;

	if (!as_identifier_owner(identifier, &owner))
		owner = nobody;
	if (as_account_find_in_force(&owner, account) &&
	    as_code_find_for(&owner, purpose, identifier, &one.code))
	{
		attempt->event.user_id = owner;
		count = 1;
	}
	as_message_look_up_until(attempt->event.at);
	outcome = as_proof_try(attempt, proof, purpose, &one, count);
	*code = one.code;
	return outcome;
}

AsFailure
as_owner_code_use(AsAttempt *attempt, const AsCode *code)
{
	if (!as_code_consume(code))
		return as_attempt_refuse(attempt, AS_INVALID_CODE, "used code");
	/* None that was replaced may count again. */
	as_code_drop(&code->user_id, code->purpose, code->identifier);
	return AS_OK;
}

void
as_owner_code_end(const AsAccount *account)
{
	bool was_invited;

	if (account->status != AS_ACCOUNT_PENDING)
	{
		as_code_drop_all(&account->id);
		return;
	}
	was_invited = as_code_is_live_for(&account->id, AS_PURPOSE_INVITATION,
	                                  GetCurrentTimestamp());
	/* It lives as long as its codes: without them prune would take it. */
	as_code_drop_but_confirmations(&account->id);
	if (was_invited)
		as_claim_ask(account);
}

/* The newest code of an account at an address that counts as its own. */
static void
choose(const AsAccount *account, AsPurpose purpose, const char *address,
       bool is_phone, AsIdentifier *chosen, TimestampTz *newest)
{
	char *canonical =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);
	AsCode code;
	bool is_sent;

	if (canonical == NULL)
		return;
	is_sent = as_code_find_for(&account->id, purpose, canonical, &code);
	if (chosen->canonical != NULL &&
	    (!is_sent || code.code_expires_at <= *newest))
		return;
	chosen->canonical = canonical;
	chosen->is_phone = is_phone;
	*newest = is_sent ? code.code_expires_at : AS_NO_TIME;
}

bool
as_owner_code_address(const AsAccount *account, AsPurpose purpose,
                      AsIdentifier *identifier)
{
	TimestampTz newest = AS_NO_TIME;

	choose(account, purpose,
	       as_account_counts(account->email, account->email_confirmed_at),
	       false, identifier, &newest);
	choose(account, purpose,
	       as_account_counts(account->phone, account->phone_confirmed_at), true,
	       identifier, &newest);
	return identifier->canonical != NULL;
}
