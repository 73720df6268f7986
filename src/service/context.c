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
 *
 * There is one context, in memory of its own that the next one takes over: a
 * transaction may change its caller a million times.
 */
#include "service/service.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

/* The context and what it was worked out under. */
typedef struct Cached
{
	uint64 generation; /* 0: nothing is cached */
	LocalTransactionId lxid;
	TimestampTz statement;
	AsContext *context;
} Cached;

static Cached cached;

/* Of the one context, and of what a look-up needs on its way. */
static MemoryContext context_memory = NULL;
static MemoryContext lookup_memory = NULL;

/* In place of a context that could not be looked up, for this statement. */
static AsContext unknown = {.failure = AS_BUSY};

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

	if (text == NULL)
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

/* ---- kept, and looked at again ---- */

static void
make_memory(void)
{
	if (context_memory == NULL)
		context_memory = AllocSetContextCreate(
		    TopMemoryContext, "auth_session context", ALLOCSET_SMALL_SIZES);
	if (lookup_memory == NULL)
		lookup_memory = AllocSetContextCreate(
		    TopMemoryContext, "auth_session look-up", ALLOCSET_SMALL_SIZES);
}

static bool
is_identified(void)
{
	return cached.generation == as_context_generation &&
	       cached.lxid == AS_MY_LXID && cached.context != &unknown;
}

static void
keep(AsContext *context)
{
	cached.context = context;
	cached.lxid = AS_MY_LXID;
	cached.statement = GetCurrentStatementStartTimestamp();
	cached.generation = as_context_generation;
}

/* An error in here leaves nothing cached. */
static AsContext *
look_up(void)
{
	MemoryContext callers;
	AsContext *context = cached.context;
	bool is_known = is_identified();

	cached.generation = 0;
	if (!is_known)
	{
		MemoryContextReset(context_memory);
		callers = MemoryContextSwitchTo(context_memory);
		context = identify();
		MemoryContextSwitchTo(callers);
	}
	if (context != NULL && context->is_genuine)
	{
		callers = MemoryContextSwitchTo(lookup_memory);
		context->failure = as_access_token_check(context->token);
		MemoryContextSwitchTo(callers);
		MemoryContextReset(lookup_memory);
	}
	return context;
}

static AsContext *
refresh(void)
{
	AsContext *context;

	as_require_preloaded();
	make_memory();
	/* Defines request.headers, which makes the generation tell of it. */
	(void) as_request();
	context = look_up();
	keep(context);
	return context;
}

static inline bool
is_current(void)
{
	return likely(cached.generation == as_context_generation &&
	              cached.lxid == AS_MY_LXID &&
	              cached.statement == GetCurrentStatementStartTimestamp());
}

static inline AsContext *
current(void)
{
	return is_current() ? cached.context : refresh();
}

void
as_context_confirm(uint64 generation)
{
	if (cached.generation == generation)
		cached.generation = as_context_generation;
}

/* ---- without raising ---- */

/* What is not the look-up's: the caller's own cancel, its own transaction. */
static bool
is_callers(int code)
{
	return code == ERRCODE_QUERY_CANCELED ||
	       code == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/* The helpers are silent; the operator is told what nobody documented. */
static void
tell_operator(const ErrorData *error)
{
	if (error->sqlerrcode == as_failure_sqlstate(AS_BUSY))
		return;
	ereport(LOG_SERVER_ONLY,
	        (errcode(error->sqlerrcode),
	         errmsg("could not look up who is calling: %s (SQLSTATE %s)",
	                error->message == NULL ? "" : error->message,
	                unpack_sql_state(error->sqlerrcode))));
}

static void
look_up_into(void *context)
{
	*(AsContext **) context = look_up();
}

/*
 * What the look-up has opened and locked when it fails only a subtransaction
 * gives back. Once per client statement it costs about a microsecond.
 */
static AsContext *
refresh_quietly(void)
{
	AsContext *context = NULL;
	ErrorData *error;

	as_require_preloaded();
	make_memory();
	(void) as_request();
	error = as_subtransaction_run(look_up_into, &context);
	if (error != NULL)
	{
		MemoryContextReset(lookup_memory);
		if (is_callers(error->sqlerrcode))
			ReThrowError(error);
		tell_operator(error);
		FreeErrorData(error);
		context = &unknown;
	}
	keep(context);
	return context;
}

/* ---- what the floors above ask ---- */

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

static inline const AsContext *
live(const AsContext *context)
{
	return context != NULL && context->failure == AS_OK ? context : NULL;
}

const AsContext *
as_context_live(void)
{
	return live(current());
}

const AsContext *
as_context_quiet(void)
{
	if (is_current())
		return live(cached.context);
	return live(AS_CAN_TAKE_BACK ? refresh_quietly() : refresh());
}
