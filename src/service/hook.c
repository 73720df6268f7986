/*
 * hook.c: functions of the application's that the service calls.
 *
 * A hook is somebody else's code in the middle of a flow. It runs as its own
 * owner, never as auth_session_owner, in a security-restricted operation
 * under a pinned search_path, and what it sets is undone after. What goes
 * wrong in it is the operator's to read, with its own SQLSTATE, and not the
 * caller's.
 */
#include "service/service.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/syscache.h"

/*
 * The function of that name and those arguments, and its owner. Looked up
 * without asking what this extension's role may see: it is called as its
 * owner, and only an operator could name it.
 */
static Oid
find_function(const AsHookCall *hook, Oid *owner)
{
	List *name = as_qualified_name(hook->function);
	HeapTuple tuple;
	Form_pg_proc form;
	Oid function;

	/* Without a schema it would depend on a search_path. */
	if (list_length(name) != 2)
		ereport(ERROR, (errcode(ERRCODE_INVALID_NAME),
		                errmsg("the name must be schema.function")));
	tuple = SearchSysCache3(
	    PROCNAMEARGSNSP, CStringGetDatum(strVal(lsecond(name))),
	    PointerGetDatum(buildoidvector(hook->types, hook->count)),
	    ObjectIdGetDatum(get_namespace_oid(strVal(linitial(name)), false)));
	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
		        (errcode(ERRCODE_UNDEFINED_FUNCTION),
		         errmsg("there is no such function of these arguments")));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	function = form->oid;
	*owner = form->proowner;
	if (form->prorettype != hook->result || form->proretset ||
	    form->prokind != PROKIND_FUNCTION)
		ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
		                errmsg("the function must return %s",
		                       format_type_be(hook->result))));
	ReleaseSysCache(tuple);
	return function;
}

/* An error leaves the settings to the abort, and the user to our caller. */
static Datum
run_as(Oid user, Oid function, const AsHookCall *hook, bool *is_null)
{
	LOCAL_FCINFO(call, AS_HOOK_MAX_ARGS);
	FmgrInfo info;
	Oid saved_user;
	int saved_context;
	int level;
	Datum result;

	fmgr_info(function, &info);
	GetUserIdAndSecContext(&saved_user, &saved_context);
	SetUserIdAndSecContext(user, saved_context | SECURITY_LOCAL_USERID_CHANGE |
	                                 SECURITY_RESTRICTED_OPERATION);
	level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
	                         PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);

	InitFunctionCallInfoData(*call, &info, hook->count, hook->collation, NULL,
	                         NULL);
	for (int i = 0; i < hook->count; i++)
	{
		call->args[i].value = hook->values[i];
		call->args[i].isnull = false;
	}
	result = FunctionCallInvoke(call);
	*is_null = call->isnull;

	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(saved_user, saved_context);
	return result;
}

/* In PG_CATCH: the log has the error as it was, the caller has a refusal. */
pg_noreturn static void
fail_quietly(const AsHookCall *hook, MemoryContext callers)
{
	ErrorData *error;

	MemoryContextSwitchTo(callers);
	error = CopyErrorData();

	/* Not the hook's: the caller cancelled, or the server is going down. */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	ereport(
	    LOG_SERVER_ONLY,
	    (errcode(error->sqlerrcode),
	     errmsg("%s \"%s\" failed: %s (SQLSTATE %s)", hook->setting,
	            hook->function, error->message == NULL ? "" : error->message,
	            unpack_sql_state(error->sqlerrcode)),
	     error->detail == NULL ? 0 : errdetail_internal("%s", error->detail),
	     error->context == NULL ? 0 : (errcontext("%s", error->context))));
	as_fail(AS_BUSY, NULL);
}

Datum
as_hook_call(const AsHookCall *hook, bool *is_null)
{
	MemoryContext callers = CurrentMemoryContext;
	volatile Datum result = (Datum) 0;
	Oid user;
	int security_context;

	GetUserIdAndSecContext(&user, &security_context);
	PG_TRY();
	{
		Oid owner;
		Oid function = find_function(hook, &owner);

		result = run_as(owner, function, hook, is_null);
	}
	PG_CATCH();
	{
		SetUserIdAndSecContext(user, security_context);
		fail_quietly(hook, callers);
	}
	PG_END_TRY();
	return result;
}
