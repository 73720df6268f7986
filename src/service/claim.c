/*
 * claim.c: who gets an address.
 *
 * Any number may claim one, one account owns it, and then the claims of the
 * others are void: their sign-ups end with them. The losers are waited for by
 * nobody; at an address that has an owner they can win no more.
 */
#include "service/service.h"

/* Claims of others that go with a confirmation; more are left to prune. */
#define LOSERS_MOST 100

bool
as_account_is_whole(const AsAccount *account)
{
	bool email =
	    account->email == NULL || account->email_confirmed_at != AS_NO_TIME;
	bool phone =
	    account->phone == NULL || account->phone_confirmed_at != AS_NO_TIME;

	return (email && phone) ||
	       auth_session_require_confirmation != AS_CONFIRM_ALL;
}

AsFailure
as_claim_look(const char *identifier, const AsUuid *user_id)
{
	AsAccount account;
	AsUuid owner;

	if (!as_identifier_owner(identifier, &owner) ||
	    (user_id != NULL && as_uuid_equal(&owner, user_id)))
		return AS_OK;
	if (as_account_find_in_force(&owner, &account))
		return AS_ALREADY_EXISTS;
	/* Deleted, while somebody holds its row: the recorder frees the address. */
	if (as_account_find(&owner, &account))
		return AS_BUSY;
	as_identifier_drop(identifier, &owner);
	return AS_OK;
}

AsFailure
as_claim_own(const char *identifier, const AsUuid *user_id)
{
	AsFailure outcome = as_claim_look(identifier, user_id);
	AsUuid owner;

	if (outcome != AS_OK || as_identifier_owner(identifier, &owner))
		return outcome;
	return as_identifier_own(identifier, user_id) ||
	               as_identifier_take(identifier, user_id)
	           ? AS_OK
	           : AS_ALREADY_EXISTS;
}

void
as_claim_drop_others(const char *identifier, const AsUuid *winner)
{
	AsClaimList claims;

	as_identifier_claims(identifier, LOSERS_MOST, &claims);
	for (int i = 0; i < claims.count; i++)
		if (!as_uuid_equal(&claims.user_ids[i], winner))
			(void) as_account_give_up_claim(&claims.user_ids[i], identifier);
}

static void
ask(const AsAccount *account, const char *address, TimestampTz confirmed_at,
    AsPurpose purpose)
{
	AsIdentifier identifier = {
	    .is_phone = purpose == AS_PURPOSE_CONFIRM_PHONE,
	};

	if (address == NULL || as_account_counts(address, confirmed_at) != NULL)
		return;
	identifier.canonical =
	    as_identifier_canonical(address, identifier.is_phone);
	if (identifier.canonical == NULL)
		return;
	as_identifier_claim(identifier.canonical, &account->id);
	as_message_send_code(account, purpose, &identifier);
}

void
as_claim_ask(const AsAccount *account)
{
	ask(account, account->email, account->email_confirmed_at,
	    AS_PURPOSE_CONFIRM_EMAIL);
	ask(account, account->phone, account->phone_confirmed_at,
	    AS_PURPOSE_CONFIRM_PHONE);
}
