/*
 * profile.c: auth.account, auth.update_info and auth.export_account, the
 * caller's own account.
 */
#include "entry/entry.h"

AS_ENTRY(auth_account);
AS_ENTRY(auth_update_info);
AS_ENTRY(auth_export_account);

/* The account of the caller's live context; raises without one. */
static void
find_own(AsAccount *account)
{
	as_call_enter(AS_CALL_READS);
	if (!as_account_find(&as_context_require()->user_id, account))
		as_fail(AS_SESSION_REVOKED, NULL);
}

Datum
auth_account(PG_FUNCTION_ARGS)
{
	AsAccount account;

	find_own(&account);
	PG_RETURN_DATUM(as_answer_account(fcinfo, &account));
}

Datum
auth_export_account(PG_FUNCTION_ARGS)
{
	AsAccount account;

	find_own(&account);
	PG_RETURN_JSONB_P(as_export_account(&account));
}

typedef struct UpdateInfo
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsAccount account;
} UpdateInfo;

static AsFailure
update_info(void *flow)
{
	UpdateInfo *update = flow;
	FunctionCallInfo fcinfo = update->fcinfo;
	const AsUuid *user_id = &update->attempt.event.user_id;
	AsFailure outcome = as_owner_require(&update->attempt);
	Jsonb *info;

	if (outcome != AS_OK)
		return outcome;
	if (PG_ARGISNULL(0) || !as_call_info(fcinfo, 0, &info))
		return as_attempt_tell(&update->attempt, AS_INVALID_REQUEST,
		                       AS_INFO_HINT);
	if (!as_account_lock(user_id, AS_ACCOUNT_EXCLUSIVE, &update->account))
		return AS_SESSION_REVOKED;
	as_account_set_info(user_id, info);
	as_announce("user_changed", user_id, NULL);
	update->account.info = info;
	return AS_OK;
}

Datum
auth_update_info(PG_FUNCTION_ARGS)
{
	UpdateInfo update = {.fcinfo = fcinfo};

	as_attempt_run(&update.attempt, "update_info", update_info, &update);
	PG_RETURN_DATUM(as_answer_account(fcinfo, &update.account));
}
