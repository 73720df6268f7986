/*
 * context.c: who is calling.
 *
 * The first of these that is present decides, and a bad one is never
 * skipped: the token given to auth.authenticate() in this transaction; the
 * bearer token in request.headers; and, for session users that an operator
 * trusts with it, request.jwt.claims. Nothing a caller can set counts
 * without a signature of ours or that trust.
 *
 * The signature is verified once per transaction and whenever one of the
 * settings behind it is assigned (the generation); expiry and revocation
 * once per client statement, at the newest committed state. In between the
 * answer is a comparison of three numbers, cheap enough for a policy on
 * every row. The helpers answer NULL for whatever is wrong and never raise:
 * the planner runs them too.
 */
#include "entry/entry.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/uuid.h"
#include "utils/varlena.h"

AS_ENTRY(auth_authenticate);
AS_ENTRY(auth_check_request);
AS_ENTRY(auth_verify);
AS_ENTRY(auth_uid);
AS_ENTRY(auth_session_id);
AS_ENTRY(auth_role);
AS_ENTRY(auth_email);
AS_ENTRY(auth_jwt);

/*
 * The context and what it was worked out under. context is in the memory of
 * the transaction lxid and never overwritten, so that what a helper returned
 * stays good to the transaction's end.
 */
typedef struct Cached
{
	uint64 generation; /* 0: nothing is cached */
	LocalTransactionId lxid;
	TimestampTz statement;
	AsContext *context;
} Cached;

static Cached cached;

/* ---- from what the caller gave to a context ---- */

static AsContext *
context_of_token(const char *token)
{
	AsAccessToken *read = palloc0(sizeof(AsAccessToken));
	AsContext *context = palloc0(sizeof(AsContext));

	context->token = read;
	context->failure = as_access_token_read(token, strlen(token), read);
	context->is_genuine = context->failure == AS_OK;
	return context;
}

static bool
session_user_is_trusted(void)
{
	char *list = pstrdup(auth_session_trusted_claims_roles);
	char *user;
	List *names = NIL;
	ListCell *cell;

	if (!SplitIdentifierString(list, ',', &names) || names == NIL)
		return false;
	user = GetUserNameFromId(GetSessionUserId(), true);
	foreach (cell, names)
		if (user != NULL && strcmp(lfirst(cell), user) == 0)
			return true;
	return false;
}

/*
 * The claims that a trusted session user vouches for; NULL where they name
 * no session, as PostgREST's claims of an anonymous request don't.
 */
static AsContext *
context_of_claims(void)
{
	const char *text = as_request_jwt_claims();
	AsAccessToken *read;
	AsContext *context;

	if (text == NULL || text[0] == '\0')
		return NULL;
	read = palloc0(sizeof(AsAccessToken));
	context = palloc0(sizeof(AsContext));
	context->token = read;
	read->payload = pstrdup(text);
	read->payload_length = strlen(text);
	context->failure = AS_INVALID_TOKEN;
	if (!as_claims_read(text, read->payload_length, &read->claims))
		return context;
	if (!read->claims.has_session_id && !read->claims.has_jti)
		return NULL;
	context->is_genuine = read->claims.has_sub && read->claims.has_session_id &&
	                      read->claims.has_jti;
	return context;
}

static AsContext *
identify(void)
{
	AsContext *context = NULL;
	const AsRequest *request;

	if (auth_session_context_token[0] != '\0')
		context = context_of_token(auth_session_context_token);
	else if ((request = as_request())->bearer != NULL)
		context = context_of_token(request->bearer);
	else if (auth_session_trusted_claims_roles[0] != '\0' &&
	         session_user_is_trusted())
		context = context_of_claims();

	if (context != NULL && context->is_genuine)
	{
		context->user_id = context->token->claims.sub;
		context->session_id = context->token->claims.session_id;
		context->jti = context->token->claims.jti;
	}
	return context;
}

static AsContext *
refresh(void)
{
	MemoryContext callers = MemoryContextSwitchTo(TopTransactionContext);
	AsContext *context;

	as_require_preloaded();
	/* Defines request.headers, which makes the generation tell of it. */
	(void) as_request();
	if (cached.generation != as_context_generation || cached.lxid != AS_MY_LXID)
	{
		cached.generation = 0;
		context = identify();
	}
	else
		context = cached.context;
	cached.generation = 0;

	if (context != NULL && context->is_genuine)
		context->failure = as_access_token_check(context->token);
	MemoryContextSwitchTo(callers);

	cached.context = context;
	cached.lxid = AS_MY_LXID;
	cached.statement = GetCurrentStatementStartTimestamp();
	cached.generation = as_context_generation;
	return context;
}

static inline AsContext *
current(void)
{
	if (likely(cached.generation == as_context_generation &&
	           cached.lxid == AS_MY_LXID &&
	           cached.statement == GetCurrentStatementStartTimestamp()))
		return cached.context;
	return refresh();
}

const AsContext *
as_context(void)
{
	return current();
}

const AsContext *
as_context_require(void)
{
	const AsContext *context = current();

	if (context == NULL)
		as_fail(AS_NOT_AUTHENTICATED, NULL);
	if (context->failure != AS_OK)
		as_fail(context->failure, NULL);
	return context;
}

/* ---- the helpers ---- */

static inline const AsContext *
live(void)
{
	const AsContext *context = current();

	return context != NULL && context->failure == AS_OK ? context : NULL;
}

Datum
auth_uid(PG_FUNCTION_ARGS)
{
	const AsContext *context = live();

	if (context == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(&context->user_id);
}

Datum
auth_session_id(PG_FUNCTION_ARGS)
{
	const AsContext *context = live();

	if (context == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(&context->session_id);
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
	const AsContext *context = live();

	return text_claim(fcinfo, context,
	                  context != NULL ? context->token->claims.role : "");
}

Datum
auth_email(PG_FUNCTION_ARGS)
{
	const AsContext *context = live();

	return text_claim(fcinfo, context,
	                  context != NULL ? context->token->claims.email : "");
}

Datum
auth_jwt(PG_FUNCTION_ARGS)
{
	const AsContext *context = live();
	Jsonb *claims = context == NULL ? NULL : as_payload_jsonb(context->token);

	if (claims == NULL)
		PG_RETURN_NULL();
	PG_RETURN_JSONB_P(claims);
}

/* ---- authenticate, check, verify ---- */

/* Reads and checks a token argument, or raises. */
static AsText
require_live_token(FunctionCallInfo fcinfo, AsAccessToken *token)
{
	AsText text;
	AsFailure failure;

	if (PG_ARGISNULL(0))
		as_fail(AS_INVALID_REQUEST, "Give an access_token.");
	if (!as_door_text(fcinfo, 0, AS_JWT_MAX, &text))
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
	AsUuid *user_id = palloc(sizeof(AsUuid));
	AsText text;

	as_door_enter(AS_DOOR_READS);
	text = require_live_token(fcinfo, &token);
	as_context_token_set(text.bytes);
	as_text_wipe(&text);
	*user_id = token.claims.sub;
	PG_RETURN_POINTER(user_id);
}

Datum
auth_verify(PG_FUNCTION_ARGS)
{
	AsAccessToken token;
	Jsonb *claims;

	as_door_enter(AS_DOOR_READS);
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

	as_door_enter(AS_DOOR_READS);
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
