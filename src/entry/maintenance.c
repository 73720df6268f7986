/*
 * maintenance.c: auth_admin.prune, which deletes what has ended, and
 * auth_admin.forbid_password.
 *
 * One call deletes at most a batch of each kind and so takes locks for a
 * short time only; rows that somebody works with are left for the next call.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_prune);
AS_ENTRY(auth_admin_forbid_password);

#define BATCH_MOST 100000

Datum
auth_admin_prune(PG_FUNCTION_ARGS)
{
	TimestampTz now = GetCurrentTimestamp();
	int batch;
	int pruned;

	as_call_enter(AS_CALL_WRITES);
	batch = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	if (batch < 1 || batch > BATCH_MOST)
		as_fail(AS_INVALID_REQUEST, "The batch is not from 1 to 100000.");

	pruned = as_account_prune_pending(now, batch);
	pruned += as_account_prune_claims(batch);
	pruned += as_session_prune(now, batch);
	pruned += as_api_key_prune(now, batch);
	pruned += as_token_cache_prune(now, batch);
	pruned += as_code_prune(now, batch);
	pruned += as_address_prune(now, batch);
	pruned += as_code_failure_prune(now, batch);
	pruned += as_factor_prune(now, batch);
	pruned += as_mfa_use_prune(now, batch);
	pruned += as_device_prune(now, batch);
	pruned += as_outbox_prune(now, batch);
	pruned += as_audit_log_prune(now, batch);
	pruned += as_deleted_user_prune(now, batch);
	as_counters_pruned(now);
	PG_RETURN_INT32(pruned);
}

typedef struct Forbid
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
} Forbid;

/* Which word it was the audit log doesn't say: it may be somebody's password. */
static AsFailure
forbid_password(void *flow)
{
	Forbid *forbid = flow;
	FunctionCallInfo fcinfo = forbid->fcinfo;
	AsText word;

	if (PG_ARGISNULL(0) ||
	    !as_call_text(fcinfo, 0, AS_PASSWORD_MAX_BYTES, &word))
		return as_attempt_tell(&forbid->attempt, AS_INVALID_REQUEST,
		                       "The word is missing or too long.");
	as_common_password_add(as_fold_text(word.bytes, word.length));
	return AS_OK;
}

Datum
auth_admin_forbid_password(PG_FUNCTION_ARGS)
{
	Forbid forbid = {.fcinfo = fcinfo, .attempt.by_operator = true};

	as_attempt_run(&forbid.attempt, "forbid_password", forbid_password,
	               &forbid);
	PG_RETURN_VOID();
}
