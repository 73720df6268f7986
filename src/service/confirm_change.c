/*
 * confirm_change.c: auth.confirm, where the code is of a change of address.
 *
 * It takes the user who asked for the change, signed in: the code proves that
 * the address is read, the session whose account is to have it. A link names
 * its user; digits are of the change that the caller has under way at their
 * address, if any, and else of a sign-up. Who acts for the user is no owner.
 *
 * The code is tried with no lock held; then the account is locked, where the
 * address must still be pending and the code still there, and takes the address
 * if nobody else has it meanwhile.
 */
#include "service/service.h"

#define PURPOSES                               \
	(AS_PURPOSE_SET(AS_PURPOSE_EMAIL_CHANGE) | \
	 AS_PURPOSE_SET(AS_PURPOSE_PHONE_CHANGE))

bool
as_confirm_is_change(const AsProof *proof)
{
	const AsContext *context;
	AsAccount account;

	if (proof->is_link)
		return (AS_PURPOSE_SET(proof->purpose) & PURPOSES) != 0;
	context = as_context_live();
	return context != NULL && as_account_find(&context->user_id, &account) &&
	       as_address_is_pending(&account, &proof->identifier) &&
	       as_address_pending(&account, proof->identifier.is_phone) != NULL;
}

/* Whose change it is must be who calls. */
static AsFailure
find_account(AsAttempt *attempt, const AsProof *proof, AsOwner *owner)
{
	AsFailure outcome = as_owner_find(attempt, owner);

	if (outcome == AS_OK && proof->is_link &&
	    !as_uuid_equal(&proof->user_id, &owner->account.id))
		outcome = as_attempt_refuse(attempt, AS_USER_MISMATCH,
		                            "change of another user");
	return outcome;
}

static AsFailure
try_proof(AsAttempt *attempt, const AsProof *proof, const AsAccount *account,
          AsCodeTry *try)
{
	AsPurpose purpose = as_address_purpose(proof->identifier.is_phone);
	int count = as_address_is_pending(account, &proof->identifier) &&
	            as_code_find_for(&account->id, purpose,
	                             proof->identifier.canonical, &try->code);

	return as_proof_try(attempt, proof, purpose, try, count);
}

static AsFailure
take(AsAttempt *attempt, const AsProof *proof, AsAccount *account,
     const AsCode *code)
{
	AsIdentifier identifier = proof->identifier;
	AsUuid id = account->id;
	AsFailure outcome;

	if (!as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, account) ||
	    !as_address_is_pending(account, &identifier) || !as_code_consume(code))
		return as_attempt_refuse(attempt, AS_INVALID_CODE, "used code");
	/* As it was asked for, however it was typed now. */
	identifier.typed =
	    identifier.is_phone ? account->pending_phone : account->pending_email;
	outcome =
	    as_address_take(account, &identifier, as_request_origin_payload());
	return outcome == AS_ALREADY_EXISTS
	           ? as_attempt_refuse(attempt, outcome, "address is taken")
	           : outcome;
}

AsFailure
as_confirm_change(AsAttempt *attempt, const AsProof *proof, AsAccount *account)
{
	AsOwner owner;
	AsCodeTry try;
	AsFailure outcome;

	if ((outcome = find_account(attempt, proof, &owner)) == AS_OK &&
	    (outcome = try_proof(attempt, proof, &owner.account, &try)) == AS_OK &&
	    (outcome = take(attempt, proof, &owner.account, &try.code)) == AS_OK)
		as_proof_forgive(attempt, proof, try.code.purpose);
	*account = owner.account;
	return outcome;
}
