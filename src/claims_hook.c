/*
 * claims_hook.c: what an application adds to the claims of its tokens.
 *
 * The hook is somebody else's code in the middle of a sign-in. It runs as
 * its own owner in a security-restricted operation under a pinned
 * search_path, gets a copy and gives back a suggestion: who the user is, which
 * session and token it is, until when and for whom stays decided here. What
 * goes wrong in it is the operator's to read and not the caller's.
 */
#include "nouns.h"

#include "catalog/pg_proc.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

static Jsonb *call_hook(const AsUuid *user_id, Jsonb *claims);
static Oid find_hook(Oid *owner);
static Datum run_as(Oid user, Oid function, const AsUuid *user_id,
                    Jsonb *claims, bool *is_null);
pg_noreturn static void fail_quietly(MemoryContext callers);
static Jsonb *merge(Jsonb *claims, Jsonb *wanted);
static bool is_protected(const JsonbValue *name);
static bool has_name(const JsonbValue *name, const char *text);
static bool may_set_role(Jsonb *claims, const JsonbValue *role);

Jsonb *
as_claims_hook_apply(const AsUuid *user_id, Jsonb *claims)
{
	Jsonb *wanted;

	if (auth_session_claims_hook[0] == '\0')
		return claims;
	wanted = call_hook(user_id, claims);
	return wanted == NULL ? claims : merge(claims, wanted);
}

/* What the hook wants; NULL where it has nothing to add. */
static Jsonb *
call_hook(const AsUuid *user_id, Jsonb *claims)
{
	MemoryContext callers = CurrentMemoryContext;
	Jsonb *volatile wanted = NULL;
	Oid user;
	int security_context;

	GetUserIdAndSecContext(&user, &security_context);
	PG_TRY();
	{
		Oid owner;
		Oid function = find_hook(&owner);
		bool is_null;
		Datum result = run_as(owner, function, user_id, claims, &is_null);

		if (!is_null)
		{
			wanted = DatumGetJsonbPCopy(result);
			if (!JB_ROOT_IS_OBJECT(wanted))
				ereport(ERROR,
				        (errcode(ERRCODE_DATATYPE_MISMATCH),
				         errmsg("the claims hook must return an object")));
		}
	}
	PG_CATCH();
	{
		SetUserIdAndSecContext(user, security_context);
		fail_quietly(callers);
	}
	PG_END_TRY();
	return wanted;
}

/* The function that the setting names, and its owner. */
static Oid
find_hook(Oid *owner)
{
	Oid types[] = {UUIDOID, JSONBOID};
	List *name = stringToQualifiedNameList(auth_session_claims_hook
#if PG_VERSION_NUM >= 160000
	                                       ,
	                                       NULL
#endif
	);
	Oid function;
	HeapTuple tuple;

	/* Without a schema it would depend on a search_path. */
	if (list_length(name) != 2)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
		                errmsg("auth_session.claims_hook must be of the form "
		                       "schema.function")));
	function = LookupFuncName(name, lengthof(types), types, false);
	if (get_func_rettype(function) != JSONBOID)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
		                errmsg("the claims hook must return jsonb")));
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	*owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return function;
}

/*
 * Calls the function as user. Whatever it sets is undone after; an error
 * leaves that to the abort, and the user to our caller.
 */
static Datum
run_as(Oid user, Oid function, const AsUuid *user_id, Jsonb *claims,
       bool *is_null)
{
	LOCAL_FCINFO(call, 2);
	FmgrInfo info;
	Oid saved_user;
	int saved_context;
	int level;
	Datum result;

	fmgr_info(function, &info);
	*is_null = true;
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(user, saved_context | SECURITY_LOCAL_USERID_CHANGE |
	                                 SECURITY_RESTRICTED_OPERATION);
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
	                         PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);

	InitFunctionCallInfoData(*call, &info, 2, InvalidOid, NULL, NULL);
	call->args[0].value = PointerGetDatum(user_id);
	call->args[0].isnull = false;
	call->args[1].value = PointerGetDatum(claims);
	call->args[1].isnull = false;
	result = FunctionCallInvoke(call);
	*is_null = call->isnull;

	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(saved_user, saved_context);
	return result;
}

/* In PG_CATCH: the log has the error as it was, the caller has a refusal. */
static void
fail_quietly(MemoryContext callers)
{
	ErrorData *error;

	MemoryContextSwitchTo(callers);
	error = CopyErrorData();

	/* Not the hook's: the caller cancelled, or the server is going down. */
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
	    ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	ereport(
	    LOG_SERVER_ONLY,
	    (errcode(error->sqlerrcode),
	     errmsg("the claims hook failed: %s",
	            error->message == NULL ? "" : error->message),
	     error->detail == NULL ? 0 : errdetail_internal("%s", error->detail),
	     error->context == NULL ? 0 : errcontext("%s", error->context),
	     errhint("The hook is auth_session.claims_hook, SQLSTATE %s.",
	             unpack_sql_state(error->sqlerrcode))));
	as_fail(AS_BUSY, NULL);
}

/* The claims, and over them what is wanted and allowed. */
static Jsonb *
merge(Jsonb *claims, Jsonb *wanted)
{
	JsonbParseState *state = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue name;
	JsonbValue value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	iterator = JsonbIteratorInit(&claims->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY || token == WJB_VALUE)
			pushJsonbValue(&state, token, &value);
	}

	/* Of two members of one name the later one stays. */
	iterator = JsonbIteratorInit(&wanted->root);
	while ((token = JsonbIteratorNext(&iterator, &name, true)) != WJB_DONE)
	{
		if (token != WJB_KEY)
			continue;
		(void) JsonbIteratorNext(&iterator, &value, true);
		if (is_protected(&name) ||
		    (has_name(&name, "role") && !may_set_role(claims, &value)))
			continue;
		pushJsonbValue(&state, WJB_KEY, &name);
		pushJsonbValue(&state, WJB_VALUE, &value);
	}
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static bool
is_protected(const JsonbValue *name)
{
	static const char *const protected[] = {"sub", "session_id", "jti", "iat",
	                                        "exp", "iss",        "aud"};

	for (int i = 0; i < (int) lengthof(protected); i++)
	{
		if (has_name(name, protected[i]))
			return true;
	}
	return false;
}

static bool
has_name(const JsonbValue *name, const char *text)
{
	return name->val.string.len == (int) strlen(text) &&
	       memcmp(name->val.string.val, text, name->val.string.len) == 0;
}

/* The role that the claims have, or one of the list; the log has any other. */
static bool
may_set_role(Jsonb *claims, const JsonbValue *role)
{
	JsonbValue current;
	List *allowed;
	ListCell *cell;
	char *list;
	char *wanted;

	if (role->type != jbvString)
		return false;
	if (getKeyJsonValueFromContainer(&claims->root, "role", 4, &current) !=
	        NULL &&
	    current.type == jbvString &&
	    current.val.string.len == role->val.string.len &&
	    memcmp(current.val.string.val, role->val.string.val,
	           role->val.string.len) == 0)
		return true;

	wanted = pnstrdup(role->val.string.val, role->val.string.len);
	list = pstrdup(auth_session_claims_hook_roles);
	if (SplitIdentifierString(list, ',', &allowed))
	{
		foreach (cell, allowed)
		{
			if (strcmp(lfirst(cell), wanted) == 0)
				return true;
		}
	}
	ereport(LOG_SERVER_ONLY,
	        (errmsg("the claims hook may not set the role \"%s\"", wanted),
	         errhint("Add it to auth_session.claims_hook_roles.")));
	return false;
}
