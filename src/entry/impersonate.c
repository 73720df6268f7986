/*
 * impersonate.c: auth_admin.impersonate, by which an operator acts for a user.
 *
 * A session as any other, which the user sees among the own ones, and which
 * ends as they do; but its token says who acts (claim act), lasts ten minutes,
 * and has no successor: the refresh token is thrown away before anybody has
 * seen it. It may read and log out. Whatever changes an account asks for its
 * owner, whom nobody else can be (owner.c).
 *
 * The user is sent nothing: the session is in the user's list, the reason in
 * the audit log.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_impersonate);

typedef struct Impersonate
{
	AsOperation operation;
	AsGrant grant;
} Impersonate;

static AsFailure
read_reason(AsOperation *operation)
{
	AsFailure outcome = as_operation_read_reason(operation, 1);

	if (outcome == AS_OK && operation->attempt.remark == NULL)
		outcome = as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST,
		                          "Give a reason.");
	return outcome;
}

static AsFailure
open_session(Impersonate *impersonate)
{
	AsAttempt *attempt = &impersonate->operation.attempt;
	AsGrant *grant = &impersonate->grant;
	AsFailure outcome;

	grant->account = impersonate->operation.account;
	grant->actor = attempt->event.actor;
	grant->aal = "aal1";
	as_grant_add_method(grant, "impersonation");
	outcome = as_grant_check_status(attempt, &grant->account);
	if (outcome == AS_OK)
		outcome = as_grant_open(attempt, grant);
	as_wipe(&grant->token, sizeof(grant->token));
	/* It is gone since it was found. */
	return outcome == AS_INVALID_CREDENTIALS ? AS_USER_NOT_FOUND : outcome;
}

static AsFailure
impersonate(void *flow)
{
	Impersonate *impersonate = flow;
	AsOperation *operation = &impersonate->operation;
	AsFailure outcome;

	if ((outcome = as_cookie_check(&operation->attempt)) == AS_OK &&
	    (outcome = as_operation_find(operation)) == AS_OK &&
	    (outcome = read_reason(operation)) == AS_OK)
		outcome = open_session(impersonate);
	return outcome;
}

Datum
auth_admin_impersonate(PG_FUNCTION_ARGS)
{
	Impersonate flow = {0};

	as_operation_run(&flow.operation, fcinfo, "impersonate", impersonate);
	PG_RETURN_DATUM(as_answer_tokens(fcinfo, &flow.grant.account,
	                                 &flow.grant.session, NULL,
	                                 as_request()->wants_cookies));
}
