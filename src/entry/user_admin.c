/*
 * user_admin.c: what operators do to a user as a whole: find, ban, unban,
 * unlock and delete.
 *
 * A ban and a deletion are revocations: in force with their commit, whoever
 * holds the account's row (epoch.c). A ban ends all sessions, those too that
 * are being opened, and is refused on every path until it is lifted or its
 * time is over.
 */
#include "entry/entry.h"

#include "funcapi.h"

AS_ENTRY(auth_admin_find_user);
AS_ENTRY(auth_admin_ban);
AS_ENTRY(auth_admin_unban);
AS_ENTRY(auth_admin_unlock);
AS_ENTRY(auth_admin_delete_user);

/* ---- find_user ---- */

/* Whose the address is, and then whoever claims it. */
Datum
auth_admin_find_user(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsIdentifier identifier;
	AsClaimList claims;
	AsUuid owner;

	as_call_enter(AS_CALL_READS);
	if (!as_call_identifier(fcinfo, 0, &identifier) ||
	    identifier.canonical == NULL)
		as_fail(AS_INVALID_REQUEST,
		        "The identifier is neither an email nor a phone.");
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	if (as_identifier_owner(identifier.canonical, &owner))
		as_account_show(&owner, as_answer_row, result);
	as_identifier_claims(identifier.canonical, AS_CLAIMS_KEPT, &claims);
	for (int i = 0; i < claims.count; i++)
		as_account_show(&claims.user_ids[i], as_answer_row, result);
	return (Datum) 0;
}

/* ---- ban and unban ---- */

static AsFailure
read_ban(AsOperation *operation, AsBan *ban)
{
	FunctionCallInfo fcinfo = operation->fcinfo;
	AsFailure outcome = as_operation_read_reason(operation, 2);

	ban->at = GetCurrentTimestamp();
	ban->until = PG_ARGISNULL(1) ? AS_NO_TIME : PG_GETARG_TIMESTAMPTZ(1);
	ban->reason = unconstify(char *, operation->attempt.remark);
	if (outcome == AS_OK && !PG_ARGISNULL(1) && ban->until <= ban->at)
		outcome = as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST,
		                          "The end of the ban lies in the past.");
	return outcome;
}

static AsFailure
ban(void *flow)
{
	AsOperation *operation = flow;
	const AsUuid *id = &operation->account.id;
	AsFailure outcome;
	AsBan ban;

	if ((outcome = as_operation_find(operation)) == AS_OK &&
	    (outcome = read_ban(operation, &ban)) == AS_OK &&
	    (outcome = as_epoch_ban(id, &ban)) == AS_OK)
	{
		as_code_drop_all(id);
		if (operation->account.status == AS_ACCOUNT_ACTIVE)
			as_announce("user_banned", id, NULL);
	}
	return outcome;
}

Datum
auth_admin_ban(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "ban", ban);
	PG_RETURN_VOID();
}

static AsFailure
unban(void *flow)
{
	AsOperation *operation = flow;
	const AsUuid *id = &operation->account.id;
	AsBan lifted = {.at = AS_NO_TIME, .until = AS_NO_TIME};
	AsFailure outcome = as_operation_find(operation);

	if (outcome != AS_OK)
		return outcome;
	operation->attempt.is_silent = operation->account.banned_at == AS_NO_TIME;
	if (operation->attempt.is_silent)
		return AS_OK;
	outcome = as_epoch_ban(id, &lifted);
	if (outcome == AS_OK && operation->account.status == AS_ACCOUNT_ACTIVE)
		as_announce("user_changed", id, NULL);
	return outcome;
}

Datum
auth_admin_unban(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "unban", unban);
	PG_RETURN_VOID();
}

/* ---- unlock ---- */

static AsFailure
unlock(void *flow)
{
	AsOperation *operation = flow;
	AsFailure outcome = as_operation_find(operation);

	return outcome == AS_OK ? as_operation_forgive(&operation->account)
	                        : outcome;
}

Datum
auth_admin_unlock(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "unlock", unlock);
	PG_RETURN_VOID();
}

/* ---- delete_user ---- */

static AsFailure
delete_user(void *flow)
{
	AsOperation *operation = flow;
	AsFailure outcome = as_operation_find(operation);

	return outcome == AS_OK ? as_epoch_delete(&operation->account.id, NULL)
	                        : outcome;
}

Datum
auth_admin_delete_user(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "delete_user", delete_user);
	PG_RETURN_VOID();
}
