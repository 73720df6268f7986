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
#include "service/service.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

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

const AsContext *
as_context_live(void)
{
	const AsContext *context = current();

	return context != NULL && context->failure == AS_OK ? context : NULL;
}
