/*
 * identity.c: auth.uid, auth.session_id, auth.role, auth.email, auth.jwt,
 * auth.aal, auth.auth_time, auth.scopes, auth.has_scope: who is calling, and
 * how surely.
 *
 * For policies, on every row: a comparison of three numbers (context.c).
 * They answer NULL for whatever is wrong and never raise: the planner runs
 * them too. What they answer is the caller's, who may keep it longer than
 * the transaction. But where Citus sends a query to the node of its rows, the
 * caller is not known there: NULL would hide rows without a word, so that is
 * an error.
 */
#include "entry/entry.h"

#include "utils/builtins.h"
#include "utils/guc.h"

/* What Citus calls its connections between nodes. */
#define NODE_CONNECTION "citus_internal"

AS_ENTRY(auth_uid);
AS_ENTRY(auth_session_id);
AS_ENTRY(auth_role);
AS_ENTRY(auth_email);
AS_ENTRY(auth_jwt);
AS_ENTRY(auth_aal);
AS_ENTRY(auth_auth_time);
AS_ENTRY(auth_scopes);
AS_ENTRY(auth_has_scope);

static const AsContext *
caller(void)
{
	if (application_name != NULL &&
	    strncmp(application_name, NODE_CONNECTION, strlen(NODE_CONNECTION)) ==
	        0 &&
	    as_is_distributed())
		ereport(ERROR,
		        (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
		         errmsg("nobody is signed in on the node of a distributed "
		                "table's rows"),
		         errhint("Ask auth.uid() by a statement of its own, and "
		                 "compare with what it answers: owner = $1.")));
	return as_context_quiet();
}

Datum
auth_uid(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();

	if (context == NULL)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(as_answer_uuid(&context->user_id));
}

Datum
auth_session_id(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();

	if (context == NULL || context->is_api_key)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(as_answer_uuid(&context->session_id));
}

static Datum
text_claim(FunctionCallInfo fcinfo, const AsContext *context, const char *claim)
{
	char *text;

	if (context == NULL || claim[0] == '\0' ||
	    (text = as_text_from_utf8(claim, strlen(claim))) == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

Datum
auth_role(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();

	return text_claim(fcinfo, context,
	                  context != NULL ? context->token->claims.role : "");
}

Datum
auth_email(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();

	return text_claim(fcinfo, context,
	                  context != NULL ? context->token->claims.email : "");
}

Datum
auth_aal(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();

	return text_claim(fcinfo, context,
	                  context != NULL ? context->token->claims.aal : "");
}

Datum
auth_auth_time(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();

	if (context == NULL || !context->token->claims.has_auth_time)
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(
	    as_from_unix_seconds(context->token->claims.auth_time));
}

Datum
auth_jwt(PG_FUNCTION_ARGS)
{
	const AsContext *context = caller();
	Jsonb *claims = context == NULL ? NULL : as_payload_jsonb(context->token);

	if (claims == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(claims);
}

Datum
auth_scopes(PG_FUNCTION_ARGS)
{
	const AsContext *context = as_context_quiet();

	if (context == NULL || !context->is_api_key)
		PG_RETURN_NULL();
	return as_arg_texts(&context->scopes).value;
}

/* Scopes are of ASCII, whatever the database's encoding. */
static bool
is_among(const AsTexts *scopes, const text *wanted)
{
	size_t length = VARSIZE_ANY_EXHDR(wanted);

	for (int i = 0; i < scopes->count; i++)
		if (strlen(scopes->items[i]) == length &&
		    memcmp(scopes->items[i], VARDATA_ANY(wanted), length) == 0)
			return true;
	return false;
}

Datum
auth_has_scope(PG_FUNCTION_ARGS)
{
	const AsContext *context = as_context_quiet();

	if (context == NULL || PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(!context->is_api_key ||
	               is_among(&context->scopes, PG_GETARG_TEXT_PP(0)));
}
