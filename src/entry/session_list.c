/*
 * session_list.c: auth.sessions, the caller's live sessions.
 *
 * Newest first, without anything of a token.
 */
#include "entry/entry.h"

#include "funcapi.h"

AS_ENTRY(auth_sessions);

Datum
auth_sessions(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	const AsContext *context;

	as_call_enter(AS_CALL_READS);
	context = as_context_require();
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	as_session_each(&context->user_id, &context->session_id,
	                as_revocation_may_decide(&context->user_id), as_answer_row,
	                result);
	return (Datum) 0;
}
