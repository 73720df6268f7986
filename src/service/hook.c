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

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#define TELL_EVERY_US (60 * USECS_PER_SEC)

/*
 * A hook that is not there fails every call, so the operator is told once a
 * minute, by each server process.
 */
static void
tell_missing(const AsHookCall *hook, const char *fault)
{
	static TimestampTz told_at = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (told_at != 0 && now - told_at < TELL_EVERY_US)
		return;
	told_at = now;
	ereport(
	    LOG_SERVER_ONLY,
	    (errcode(ERRCODE_UNDEFINED_FUNCTION),
	     errmsg("%s \"%s\" cannot be called", hook->setting, hook->function),
	     errdetail_internal("%s", fault),
	     errhint("Until it is there, what needs it is refused as busy.")));
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

	InitFunctionCallInfoData(*call, &info, hook->shape->count, hook->collation,
	                         NULL, NULL);
	for (int i = 0; i < hook->shape->count; i++)
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
	AsHook found;
	const char *fault = as_hook_find(hook->function, hook->shape, &found);

	if (fault != NULL)
	{
		tell_missing(hook, fault);
		as_fail(AS_BUSY, NULL);
	}
	GetUserIdAndSecContext(&user, &security_context);
	PG_TRY();
	{
		result = run_as(found.owner, found.function, hook, is_null);
	}
	PG_CATCH();
	{
		SetUserIdAndSecContext(user, security_context);
		fail_quietly(hook, callers);
	}
	PG_END_TRY();
	return result;
}
