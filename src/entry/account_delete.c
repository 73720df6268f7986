/*
 * account_delete.c: auth.delete_account.
 *
 * A deletion is a revocation: in force with its commit, whoever holds the
 * account's row (epoch.c). Who calls proves to be the account's owner
 * (owner.c), by the password that is in force then: a reset that comes in
 * between keeps the account from whoever knew the old one. Nobody is told, as
 * there is nobody left; applications are (user_deleted).
 */
#include "entry/entry.h"

AS_ENTRY(auth_delete_account);

typedef struct Deletion
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsOwner owner;
} Deletion;

static AsFailure
end_account(Deletion *deletion)
{
	const AsAccount *account = &deletion->owner.account;
	AsFailure outcome = as_epoch_delete(&account->id, &account->hash);

	return outcome == AS_USER_NOT_FOUND ? AS_SESSION_REVOKED : outcome;
}

static AsFailure
delete_account(void *flow)
{
	Deletion *deletion = flow;
	AsAttempt *attempt = &deletion->attempt;
	AsOwner *owner = &deletion->owner;
	AsFailure outcome;

	if ((outcome = as_owner_find(attempt, owner)) == AS_OK &&
	    (outcome = as_owner_read_password(
	         attempt, deletion->fcinfo, 0,
	         "The password is missing, too long or not Unicode.", owner)) ==
	        AS_OK &&
	    (outcome = as_owner_prove(attempt, owner)) == AS_OK &&
	    (outcome = as_owner_look_again(attempt, owner)) == AS_OK)
		outcome = end_account(deletion);
	return outcome;
}

Datum
auth_delete_account(PG_FUNCTION_ARGS)
{
	Deletion deletion = {.fcinfo = fcinfo};

	as_attempt_run(&deletion.attempt, "delete_account", delete_account,
	               &deletion);
	as_cookie_clear();
	PG_RETURN_VOID();
}
