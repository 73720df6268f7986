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
 *
 * Where a proxy is trusted, a client has a budget of refusals for all that can
 * be called without a context. It is looked at before an argument is, so that
 * a flood of the cheapest refusal fills no other limit; what is refused for it
 * is not counted again.
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

/* ---- a client's budget ---- */

/* What can be called without a context. */
typedef struct OpenCall
{
	const char *action;
	bool is_always_counted; /* it answers the same, right or wrong */
	bool is_for_users;      /* with a context the budget is none of its */
} OpenCall;

static const OpenCall open_calls[] = {
    {.action = "signup"},
    {.action = "confirm"},
    {.action = "resend_confirmation", .is_always_counted = true},
    {.action = "signin"},
    {.action = "signin_totp"},
    {.action = "renew"},
    {.action = "logout", .is_for_users = true},
    {.action = "request_password_reset", .is_always_counted = true},
    {.action = "reset_password"},
    {.action = "request_signin_code", .is_always_counted = true},
    {.action = "signin_code"},
};

/* NULL where the budget is none of the call's. */
static const OpenCall *
find_open_call(const AsAttempt *attempt)
{
	for (int i = 0; i < (int) lengthof(open_calls); i++)
	{
		const OpenCall *call = &open_calls[i];

		if (strcmp(call->action, attempt->event.action) != 0)
			continue;
		if (call->is_for_users && as_context_live() != NULL)
			return NULL;
		return call;
	}
	return NULL;
}

const uint8 *
as_attempt_client(void)
{
	const AsRequest *request = as_request();

	return request->has_client_address ? request->address_key : NULL;
}

static AsFailure
check_budget(AsAttempt *attempt)
{
	const uint8 *client = as_attempt_client();

	if (client == NULL)
		return AS_OK;
	return as_throttle_look(AS_LIMIT_REFUSAL, client, AS_ADDRESS_KEY_BYTES,
	                        auth_session_refusal_rate_per_address,
	                        auth_session_rate_window, &attempt->wait_s);
}

/* AS_BUSY is no fault of the client's. */
static void
spend_budget(const OpenCall *call, AsFailure outcome)
{
	const uint8 *client = as_attempt_client();
	int wait_s;

	if (client == NULL || outcome == AS_BUSY ||
	    (outcome == AS_OK && !call->is_always_counted))
		return;
	(void) as_throttle_count(AS_LIMIT_REFUSAL, client, AS_ADDRESS_KEY_BYTES,
	                         auth_session_refusal_rate_per_address,
	                         auth_session_rate_window, &wait_s);
}

/* ---- the steps' side ---- */

/* What an operator does as the user, the user has not done. */
static void
name_operator(AsEvent *event)
{
	AsSession session;

	if (as_session_find(&event->user_id, &event->session_id, &session) &&
	    session.actor != NULL)
		strlcpy(event->actor, session.actor, sizeof(event->actor));
}

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
	if (context->token->claims.has_act)
		name_operator(&attempt->event);
	return AS_OK;
}

AsFailure
as_attempt_take(AsAttempt *attempt, AsLimit limit, const void *key,
                size_t key_length, int allowed, int window_s)
{
	AsFailure outcome;

	Assert(attempt->ticket_count < AS_ATTEMPT_TICKETS);
	outcome = as_throttle_take(limit, key, key_length, allowed, window_s,
	                           &attempt->tickets[attempt->ticket_count],
	                           &attempt->wait_s);
	if (outcome == AS_OK)
		attempt->ticket_count++;
	return outcome;
}

AsFailure
as_attempt_charge(AsAttempt *attempt, AsLimit limit, const void *key,
                  size_t key_length, int allowed, int window_s)
{
	return as_throttle_count(limit, key, key_length, allowed, window_s,
	                         &attempt->wait_s);
}

static void
return_tickets(AsAttempt *attempt)
{
	while (attempt->ticket_count > 0)
		as_throttle_return(&attempt->tickets[--attempt->ticket_count]);
}

void
as_attempt_return(AsAttempt *attempt)
{
	return_tickets(attempt);
	as_recorder_let_go(&attempt->hold);
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
	while (attempt->ticket_count > 0)
		as_throttle_fail(&attempt->tickets[--attempt->ticket_count]);
	return as_attempt_refuse(attempt, failure, reason);
}

AsFailure
as_attempt_hold(AsAttempt *attempt, AsRecordKind kind)
{
	if (attempt->hold.id != 0 || as_recorder_hold(kind, &attempt->hold))
		return AS_OK;
	return AS_BUSY;
}

/* ---- the way out ---- */

static bool
record_refusal(AsAttempt *attempt)
{
	AsRecord record = {.kind = attempt->record, .event = attempt->event};

	if (attempt->record == AS_RECORD_NONE)
		return true;
	if (attempt->record == AS_RECORD_CODE_ATTEMPT)
	{
		strlcpy(record.identifier, attempt->identifier,
		        sizeof(record.identifier));
		strlcpy(record.purpose, attempt->purpose, sizeof(record.purpose));
	}
	return as_recorder_submit(&record, &attempt->hold, RECORD_WAIT) !=
	       AS_RECORD_FULL;
}

pg_noreturn static void
refuse(AsAttempt *attempt, AsFailure failure)
{
	bool is_recorded;

	attempt->event.result = failure;
	is_recorded = record_refusal(attempt);
	as_recorder_let_go(&attempt->hold);
	if (!is_recorded)
		as_fail(AS_BUSY, NULL);
	if (failure == AS_THROTTLED || failure == AS_BUSY)
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

/* Whatever has not been found right or wrong by the end was never compared. */
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
	return_tickets(attempt);
	if (failure == AS_OK)
		as_recorder_let_go(&attempt->hold);
	return failure;
}

void
as_attempt_run(AsAttempt *attempt, const char *action, AsSteps steps,
               void *flow)
{
	AsSecret *mark = as_call_secrets_mark();
	const OpenCall *open;
	AsFailure failure;

	as_call_enter(AS_CALL_WRITES);
	begin(attempt, action);
	open = find_open_call(attempt);
	if (open != NULL && check_budget(attempt) != AS_OK)
		refuse(attempt, AS_THROTTLED);
	failure = run_steps(attempt, steps, flow);
	as_call_secrets_wipe(mark);
	if (open != NULL)
		spend_budget(open, failure);
	if (failure != AS_OK)
		refuse(attempt, failure);
	if (!attempt->is_silent)
		as_audit_log_write(&attempt->event, attempt->remark);
}
