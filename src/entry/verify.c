/*
 * verify.c: auth.verify, auth.authenticate, auth.check_request: an access
 * token, checked.
 *
 * A token is good by its signature, issuer, audience and times, and by its
 * session, at this moment. authenticate makes it the transaction's context;
 * check_request looks at what PostgREST was given.
 */
#include "entry/entry.h"

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

Datum
auth_check_request(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	const char *text;
	AsClaims claims;

	as_call_enter(AS_CALL_READS);
	context = as_context();
	if (context == NULL)
		PG_RETURN_VOID();
	if (context->failure != AS_OK)
		as_fail(context->failure, NULL);

	/* What PostgREST took its role from must be the token that counts here. */
	text = as_request_jwt_claims();
	if (text != NULL && text[0] != '\0' &&
	    (!as_claims_read(text, strlen(text), &claims) ||
	     (claims.has_jti && memcmp(claims.jti.bytes, context->jti.bytes,
	                               sizeof(claims.jti.bytes)) != 0)))
		as_fail(AS_INVALID_TOKEN, NULL);
	PG_RETURN_VOID();
}
