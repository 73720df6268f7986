/*
 * invitation.c: accounts that an operator made, and whose user has yet to
 * choose a password.
 *
 * An invitation is a link and never a code, and no password: what it takes is a
 * new one, checked as at sign-up. It dies with its time, with its use, and once
 * the account has a password in whatever way; an account that nobody has
 * confirmed ends with it, as any sign-up does. What strangers do at its address
 * ends it only when one of them owns that.
 */
#include "service/service.h"

static char *
canonical_of(const AsAccount *account, bool is_phone)
{
	const char *address = is_phone ? account->phone : account->email;

	return address == NULL ? NULL : as_identifier_canonical(address, is_phone);
}

void
as_invitation_send(const AsAccount *account)
{
	AsIdentifier identifier = {.is_phone = account->email == NULL};

	identifier.canonical = canonical_of(account, identifier.is_phone);
	as_message_send_code(account, AS_PURPOSE_INVITATION, &identifier);
}

/* ---- accepting one ---- */

static AsFailure
refuse(AsAttempt *attempt)
{
	return as_attempt_refuse(attempt, AS_INVALID_CODE, "dead invitation");
}

/* Whether the account still waits for a password, at this address. */
static bool
is_open(const AsAccount *account, const AsIdentifier *identifier)
{
	char *canonical = canonical_of(account, identifier->is_phone);

	return account->hash.phc[0] == '\0' && canonical != NULL &&
	       strcmp(canonical, identifier->canonical) == 0 &&
	       !as_account_is_banned(account, GetCurrentTimestamp());
}

/* The code is used up, and with it all that the account had before. */
static bool
use(const AsProof *proof)
{
	AsCode code = {.user_id = proof->user_id, .id = proof->code_id};
	bool used = as_code_consume(&code);

	as_code_drop_all(&proof->user_id);
	return used;
}

static void
confirm(AsAccount *account, const AsIdentifier *identifier)
{
	TimestampTz *confirmed_at = identifier->is_phone
	                                ? &account->phone_confirmed_at
	                                : &account->email_confirmed_at;
	bool was_active = account->status == AS_ACCOUNT_ACTIVE;

	if (*confirmed_at == AS_NO_TIME)
		*confirmed_at = GetCurrentTimestamp();
	if (!was_active && as_account_is_whole(account))
		account->status = AS_ACCOUNT_ACTIVE;
	as_account_save_confirmed(account);
	if (!was_active && account->status == AS_ACCOUNT_ACTIVE)
		as_announce("user_created", &account->id, NULL);
}

static AsFailure
save(AsAttempt *attempt, const AsProof *proof, const AsPasswordHash *hash,
     AsAccount *account)
{
	const AsIdentifier *identifier = &proof->identifier;
	AsUuid id = account->id;
	AsFailure outcome;
	int ended;

	if (!as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, account) ||
	    !as_account_find_in_force(&id, account) ||
	    !is_open(account, identifier))
		return refuse(attempt);
	outcome = as_claim_own(identifier->canonical, &id);
	if (outcome == AS_ALREADY_EXISTS)
		return as_attempt_refuse(attempt, outcome, "address is taken");
	if (outcome != AS_OK)
		return outcome;
	if (!use(proof) || as_epoch_begin(&id, AS_ENDS_SESSIONS_AND_KEYS, NULL,
	                                  NULL, hash, &ended) != AS_OK)
		return refuse(attempt);
	account->hash = *hash;
	confirm(account, identifier);
	as_claim_drop_others(identifier->canonical, &id);
	as_claim_ask(account);
	as_proof_forgive(attempt, proof, AS_PURPOSE_INVITATION);
	return AS_OK;
}

AsFailure
as_invitation_accept(AsAttempt *attempt, const AsProof *proof,
                     AsNewPassword *password, AsAccount *account)
{
	AsFailure outcome;

	attempt->event.user_id = proof->user_id;
	if (!as_account_find_in_force(&proof->user_id, account) ||
	    !is_open(account, &proof->identifier))
		return refuse(attempt);
	if (password == NULL)
		return as_attempt_tell(
		    attempt, AS_PASSWORD_REQUIRED,
		    "Repeat the call with a password of your own choice.");
	outcome = as_password_take(attempt, password, account);
	return outcome == AS_OK ? save(attempt, proof, &password->hash, account)
	                        : outcome;
}
