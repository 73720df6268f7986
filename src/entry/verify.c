/*
 * verify.c: auth.verify, auth.authenticate, auth.check_request: an access
 * token, checked.
 *
 * A token is good by its signature, issuer, audience and times, and by its
 * session, at this moment. authenticate makes it the transaction's context;
 * check_request looks at what PostgREST was given, and, where that names
 * nobody, for whom the request is from otherwise.
 */
#include "entry/entry.h"

/* Claims of PostgREST's: those of a token, which it may have escaped. */
#define CLAIMS_MAX_BYTES (6 * AS_JWT_MAX)

AS_ENTRY(auth_verify);
AS_ENTRY(auth_authenticate);
AS_ENTRY(auth_check_request);

/* Reads and checks a token argument, or raises. */
static AsText
require_live_token(FunctionCallInfo fcinfo, AsAccessToken *token)
{
	AsText text;
	AsFailure failure;

	if (PG_ARGISNULL(0))
		as_fail(AS_INVALID_REQUEST, "Give an access_token.");
	if (!as_call_text(fcinfo, 0, AS_JWT_MAX, &text))
		as_fail(AS_INVALID_TOKEN, NULL);
	failure = as_access_token_read(text.bytes, text.length, token);
	if (failure == AS_OK)
		failure = as_access_token_check(token);
	if (failure != AS_OK)
		as_fail(failure, NULL);
	return text;
}

Datum
auth_authenticate(PG_FUNCTION_ARGS)
{
	AsAccessToken token;
	AsText text;

	as_call_enter(AS_CALL_READS);
	text = require_live_token(fcinfo, &token);
	as_context_token_set(text.bytes);
	as_wipe(text.bytes, text.length);
	PG_RETURN_DATUM(as_answer_uuid(&token.claims.sub));
}

Datum
auth_verify(PG_FUNCTION_ARGS)
{
	AsAccessToken token;
	Jsonb *claims;

	as_call_enter(AS_CALL_READS);
	(void) require_live_token(fcinfo, &token);
	claims = as_payload_jsonb(&token);
	if (claims == NULL)
		as_fail(AS_INVALID_TOKEN, NULL);
	PG_RETURN_JSONB_P(claims);
}

/* ---- check_request ---- */

/* The members of claims that name somebody, and what they must be. */
typedef struct Named
{
	const AsContext *context; /* live; NULL: nobody may be named */
	bool is_anybody;
	bool has_jti;
	bool is_other;
} Named;

static void
compare_id(Named *named, const AsJsonMember *member, const AsUuid *expected)
{
	AsUuid id;

	named->is_anybody = true;
	if (member->type != AS_JSON_STRING ||
	    !as_uuid_parse(member->text, member->length, &id) || expected == NULL ||
	    !as_uuid_equal(&id, expected))
		named->is_other = true;
}

static bool
visit_claim(const AsJsonMember *member, void *into)
{
	Named *named = into;
	const AsContext *context = named->context;

	if (member->type == AS_JSON_NULL)
		return true;
	if (strcmp(member->name, "jti") == 0)
	{
		compare_id(named, member, context == NULL ? NULL : &context->jti);
		named->has_jti = true;
	}
	else if (strcmp(member->name, "session_id") == 0)
		compare_id(named, member,
		           context == NULL ? NULL : &context->session_id);
	else if (strcmp(member->name, "sub") == 0)
		compare_id(named, member, context == NULL ? NULL : &context->user_id);
	return true;
}

/*
 * Whether claims are those of the context, or name nobody. PostgREST takes
 * role and claims from the first Authorization header, whatever white space is
 * in it, and passes the last one on: what it believed must be what was checked
 * here, or a token that was revoked would still have its role.
 */
static bool
claims_are_of(const AsContext *context, const char *claims)
{
	Named named = {.context = context};

	if (!as_json_read_mended(claims, strlen(claims), CLAIMS_MAX_BYTES,
	                         visit_claim, &named))
		return false;
	return !named.is_anybody || (named.has_jti && !named.is_other);
}

/*
 * Where else a request may say whom it is from, in this order: the first that
 * it has anything of decides, and a bad one is never skipped. Each makes that
 * the context and switches the role, or raises what is wrong with it; false
 * where the request has nothing of it.
 */
static bool (*const sources[])(void) = {
    as_cookie_take,
};

static void
find_caller(void)
{
	for (int i = 0; i < (int) lengthof(sources); i++)
	{
		if (sources[i]())
			return;
	}
}

Datum
auth_check_request(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	const char *claims;

	as_call_enter(AS_CALL_READS);
	context = as_context();
	if (context != NULL && context->failure != AS_OK)
		as_fail(context->failure, NULL);
	claims = as_request_jwt_claims();
	if (claims != NULL && !as_caller_set_claims(claims) &&
	    !claims_are_of(context, claims))
		as_fail(AS_INVALID_TOKEN, NULL);
	if (context == NULL)
		find_caller();
	PG_RETURN_VOID();
}
