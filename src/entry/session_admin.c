/*
 * session_admin.c: a user's sessions, as operators see and end them.
 */
#include "entry/entry.h"

#include "funcapi.h"

AS_ENTRY(auth_admin_sessions);
AS_ENTRY(auth_admin_revoke_session);
AS_ENTRY(auth_admin_revoke_sessions);

Datum
auth_admin_sessions(PG_FUNCTION_ARGS)
{
	static const AsUuid none = {{0}};
	AsAccount account;
	AsUuid user_id;

	as_call_enter(AS_CALL_READS);
	if (!as_call_uuid(fcinfo, 0, &user_id))
		as_fail(AS_INVALID_REQUEST, "Give the user_id.");
	if (!as_account_find_in_force(&user_id, &account))
		as_fail(AS_USER_NOT_FOUND, NULL);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	as_session_each(&user_id, &none, as_revocation_may_decide(&user_id),
	                as_answer_row, fcinfo->resultinfo);
	return (Datum) 0;
}

static AsFailure
revoke_session(void *flow)
{
	AsOperation *operation = flow;
	AsEvent *event = &operation->attempt.event;
	AsFailure outcome = as_operation_find(operation);

	if (outcome == AS_OK &&
	    !as_call_uuid(operation->fcinfo, 1, &event->session_id))
		outcome = as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST,
		                          "Give the session_id.");
	if (outcome == AS_OK &&
	    !as_session_end(&event->user_id, &event->session_id))
		outcome = AS_SESSION_NOT_FOUND;
	return outcome;
}

Datum
auth_admin_revoke_session(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "revoke_session", revoke_session);
	PG_RETURN_VOID();
}

typedef struct RevokeSessions
{
	AsOperation operation;
	int ended;
} RevokeSessions;

static AsFailure
revoke_sessions(void *flow)
{
	RevokeSessions *revoke = flow;
	AsFailure outcome = as_operation_find(&revoke->operation);

	if (outcome == AS_OK)
		outcome =
		    as_epoch_begin(&revoke->operation.account.id, AS_ENDS_SESSIONS,
		                   NULL, NULL, NULL, &revoke->ended);
	return outcome == AS_SESSION_REVOKED ? AS_USER_NOT_FOUND : outcome;
}

Datum
auth_admin_revoke_sessions(PG_FUNCTION_ARGS)
{
	RevokeSessions revoke = {0};

	as_operation_run(&revoke.operation, fcinfo, "revoke_sessions",
	                 revoke_sessions);
	PG_RETURN_INT32(revoke.ended);
}
