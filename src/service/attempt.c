/*
 * attempt.c: one attempt, one way out.
 *
 * A flow is a chain of steps, each of which answers a failure as a value.
 * What it has counted, what becomes durable of its refusal, and what the
 * caller is told are gathered here, so that there is one exit for all flows:
 *
 *     steps end with     tickets            record           caller
 *     AS_OK              given back         event, in its    goes on
 *                                           transaction
 *     a failure          kept only of what  as it says, by   is told after
 *                        was compared       the recorder     the commit
 *     an error, cancel   given back         none             sees the error
 *
 * Only what was compared and wrong is a failure: an attempt that never came
 * to its hash, for whatever reason, must not lock its owner out.
 */
#include "service/service.h"

#include "miscadmin.h"
#include "storage/ipc.h"

/* How long a failing caller waits for the commit of its record: ms. */
#define RECORD_WAIT 1000

static void
begin(AsAttempt *attempt, const char *action)
{
	AsEvent *event = &attempt->event;
	const AsRequest *request = as_request();

	Assert(attempt->ticket_count == 0 && attempt->record == AS_RECORD_NONE);
	strlcpy(event->action, action, sizeof(event->action));
	strlcpy(event->actor,
	        attempt->by_operator ? GetUserNameFromId(GetOuterUserId(), false)
	                             : AS_ACTOR_USER,
	        sizeof(event->actor));
	event->at = GetCurrentTimestamp();
	strlcpy(event->address, request->address, sizeof(event->address));
	strlcpy(event->user_agent, request->user_agent, sizeof(event->user_agent));
}

/* ---- the steps' side ---- */

AsFailure
as_attempt_require_context(AsAttempt *attempt)
{
	const AsContext *context = as_context();

	if (context == NULL)
		return AS_NOT_AUTHENTICATED;
	if (context->failure != AS_OK)
		return context->failure;
	attempt->event.user_id = context->user_id;
	attempt->event.session_id = context->session_id;
	return AS_OK;
}

AsFailure
as_attempt_take(AsAttempt *attempt, AsLimit limit, const void *key,
                size_t key_length, int allowed, int window_s)
{
	Assert(attempt->ticket_count < AS_ATTEMPT_TICKETS);
	if (!as_throttle_take(limit, key, key_length, allowed, window_s,
	                      &attempt->tickets[attempt->ticket_count],
	                      &attempt->wait_s))
		return AS_THROTTLED;
	attempt->ticket_count++;
	return AS_OK;
}

AsFailure
as_attempt_charge(AsAttempt *attempt, AsLimit limit, const void *key,
                  size_t key_length, int allowed, int window_s)
{
	return as_throttle_take(limit, key, key_length, allowed, window_s, NULL,
	                        &attempt->wait_s)
	           ? AS_OK
	           : AS_THROTTLED;
}

AsFailure
as_attempt_hold(AsAttempt *attempt, AsRecordKind kind)
{
	return as_recorder_reserve() ? AS_OK : AS_BUSY;
}

void
as_attempt_return(AsAttempt *attempt)
{
	as_recorder_unreserve();
	while (attempt->ticket_count > 0)
		as_throttle_return(&attempt->tickets[--attempt->ticket_count]);
}

AsFailure
as_attempt_tell(AsAttempt *attempt, AsFailure failure, const char *hint)
{
	attempt->hint = hint;
	return failure;
}

AsFailure
as_attempt_refuse(AsAttempt *attempt, AsFailure failure, const char *reason)
{
	attempt->record = AS_RECORD_EVENT;
	strlcpy(attempt->event.reason, reason, sizeof(attempt->event.reason));
	return failure;
}

AsFailure
as_attempt_fail(AsAttempt *attempt, AsFailure failure, const char *reason)
{
	attempt->is_failure = true;
	return as_attempt_refuse(attempt, failure, reason);
}

/* ---- the way out ---- */

static bool
record_refusal(const AsAttempt *attempt)
{
	AsRecord record = {.kind = attempt->record, .event = attempt->event};

	if (attempt->record == AS_RECORD_NONE)
		return true;
	if (attempt->record == AS_RECORD_CODE_ATTEMPT)
	{
		strlcpy(record.identifier, attempt->identifier,
		        sizeof(record.identifier));
		strlcpy(record.purpose, as_purpose_name(attempt->purpose),
		        sizeof(record.purpose));
	}
	return as_recorder_submit(&record, RECORD_WAIT) != AS_RECORD_FULL;
}

pg_noreturn static void
refuse(AsAttempt *attempt, AsFailure failure)
{
	attempt->event.result = failure;
	if (!record_refusal(attempt))
		as_fail(AS_BUSY, NULL);
	if (failure == AS_THROTTLED)
		as_fail_for_now(failure, attempt->wait_s);
	as_fail(failure, attempt->hint);
}

/* The attempts under way in this backend: a hook can begin one within one. */
static AsAttempt *innermost = NULL;

/* A backend that is terminated within its steps runs no PG_CATCH. */
static void
return_on_exit(int code, Datum argument)
{
	for (; innermost != NULL; innermost = innermost->outer)
		as_attempt_return(innermost);
}

static void
enter(AsAttempt *attempt)
{
	static bool is_registered = false;

	if (!is_registered)
		before_shmem_exit(return_on_exit, (Datum) 0);
	is_registered = true;
	attempt->outer = innermost;
	innermost = attempt;
}

static AsFailure
run_steps(AsAttempt *attempt, AsSteps steps, void *flow)
{
	AsFailure volatile failure = AS_OK;

	enter(attempt);
	PG_TRY();
	{
		failure = steps(flow);
	}
	PG_CATCH();
	{
		innermost = attempt->outer;
		as_attempt_return(attempt);
		PG_RE_THROW();
	}
	PG_END_TRY();
	innermost = attempt->outer;
	if (!attempt->is_failure)
		as_attempt_return(attempt);
	return failure;
}

void
as_attempt_run(AsAttempt *attempt, const char *action, AsSteps steps,
               void *flow)
{
	AsSecret *mark = as_call_secrets_mark();
	AsFailure failure;

	as_call_enter(AS_CALL_WRITES);
	begin(attempt, action);
	failure = run_steps(attempt, steps, flow);
	as_call_secrets_wipe(mark);
	if (failure != AS_OK)
		refuse(attempt, failure);
	if (!attempt->is_silent)
		as_audit_log_write(&attempt->event);
}
