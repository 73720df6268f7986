/*
 * factor_admin.c: auth_admin.reset_second_factor, for who has lost app and
 * recovery codes.
 *
 * Whoever may call it can make an account one of a password alone: so its user
 * is told, and all that is signed in ends.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_reset_second_factor);

static AsFailure
reset(void *flow)
{
	AsOperation *operation = flow;
	const AsUuid *id = &operation->account.id;
	AsFailure outcome;
	int ended;

	if ((outcome = as_operation_find(operation)) != AS_OK ||
	    (outcome = as_operation_lock(operation)) != AS_OK)
		return outcome;
	if (!as_factor_is_on(id))
		return AS_OK;
	as_factor_remove(&operation->account, true);
	outcome = as_epoch_begin(id, AS_ENDS_SESSIONS, NULL, NULL, NULL, &ended);
	return outcome == AS_SESSION_REVOKED ? AS_USER_NOT_FOUND : outcome;
}

Datum
auth_admin_reset_second_factor(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "reset_second_factor", reset);
	PG_RETURN_VOID();
}
