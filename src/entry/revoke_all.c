/*
 * revoke_all.c: auth_admin.revoke_all, after a restore, a clone or a leak.
 *
 * One row says before when all that was made is dead: it is in force
 * everywhere with its commit, waits for nobody, and reaches what is still
 * uncommitted then. The recorder deletes what it ended, batch by batch
 * (fold.c). With new keys nothing verifies either that was signed or tagged
 * under the old ones, whoever has them, and whenever it was made.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_revoke_all);

typedef struct RevokeAll
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	TimestampTz before;
	bool new_keys;
	int64 ended;
} RevokeAll;

static AsFailure
read_arguments(RevokeAll *revoke)
{
	FunctionCallInfo fcinfo = revoke->fcinfo;
	const char *hint = NULL;

	if (PG_ARGISNULL(0))
		hint = "The time before is missing.";
	else if (PG_ARGISNULL(1))
		hint = "Whether new_keys are to be made is missing.";
	else if (PG_GETARG_TIMESTAMPTZ(0) > GetCurrentTimestamp())
		hint = "The time before lies in the future.";
	if (hint != NULL)
		return as_attempt_tell(&revoke->attempt, AS_INVALID_REQUEST, hint);

	/* Nothing here is older than the year 2000, in which time begins. */
	revoke->before = Max(PG_GETARG_TIMESTAMPTZ(0), 0);
	revoke->new_keys = PG_GETARG_BOOL(1);
	return AS_OK;
}

static void
note(RevokeAll *revoke)
{
	StringInfoData remark;

	initStringInfo(&remark);
	as_json_begin(&remark);
	as_json_time(&remark, "before", revoke->before);
	as_json_raw(&remark, "new_keys", revoke->new_keys ? "true" : "false");
	as_json_end(&remark);
	revoke->attempt.remark = remark.data;
}

static AsFailure
revoke_all(void *flow)
{
	RevokeAll *revoke = flow;
	AsFailure outcome = read_arguments(revoke);

	if (outcome != AS_OK)
		return outcome;
	if (revoke->new_keys)
	{
		as_signing_key_replace_all();
		as_mac_key_replace_all();
	}
	revoke->ended = as_session_count_made_before(revoke->before);
	as_revocation_add_for_all(revoke->before);
	as_context_changed();
	note(revoke);
	return AS_OK;
}

Datum
auth_admin_revoke_all(PG_FUNCTION_ARGS)
{
	RevokeAll revoke = {.fcinfo = fcinfo, .attempt = {.by_operator = true}};

	as_attempt_run(&revoke.attempt, "revoke_all", revoke_all, &revoke);
	PG_RETURN_INT64(revoke.ended);
}
