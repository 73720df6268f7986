/*
 * hook.c: functions of the application's that the service calls.
 *
 * A hook is somebody else's code in the middle of a flow. It runs as its own
 * owner, never as auth_session_owner, in a security-restricted operation
 * under a pinned search_path, and what it sets is undone after. What goes
 * wrong in it is the operator's to read, with its own SQLSTATE, and not the
 * caller's; a flood of it is told in part, and counted.
 */
#include "service/service.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#define TELL_WINDOW_US (60 * USECS_PER_SEC)

/* Errors of one hook that a server process logs in a minute. */
#define ERRORS_MOST 10

/* What this process has logged of a hook in the minute since. */
typedef struct Told
{
	const AsHookShape *shape;
	TimestampTz since;
	int lines;
	int left_out;
} Told;

static Told *
find_told(const AsHookShape *shape)
{
	static Told told[AS_HOOKS];
	TimestampTz now = GetCurrentTimestamp();
	int i = 0;

	while (told[i].shape != NULL && told[i].shape != shape)
		i++;
	if (told[i].shape == NULL || now - told[i].since >= TELL_WINDOW_US ||
	    now < told[i].since)
	{
		told[i].shape = shape;
		told[i].since = now;
		told[i].lines = 0;
	}
	return &told[i];
}

/* Whether there is place for a line, and how many there were none for. */
static bool
may_tell(const AsHookCall *hook, int most, int *left_out)
{
	Told *told = find_told(hook->shape);

	if (told->lines >= most)
	{
		told->left_out++;
		return false;
	}
	told->lines++;
	*left_out = told->left_out;
	told->left_out = 0;
	return true;
}

/* A hook that is not there fails every call: told once a minute. */
static void
tell_missing(const AsHookCall *hook, const char *fault)
{
	int left_out;

	if (!may_tell(hook, 1, &left_out))
		return;
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
		call->args[i].isnull = hook->nulls[i];
	}
	result = FunctionCallInvoke(call);
	*is_null = call->isnull;

	AtEOXact_GUC(false, level);
	SetUserIdAndSecContext(saved_user, saved_context);
	return result;
}

/* The server's state and not the hook's word: a repeat may well be taken. */
static bool
is_passing(int code)
{
	switch (ERRCODE_TO_CATEGORY(code))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_SYSTEM_ERROR:
		case ERRCODE_INTERNAL_ERROR:
			return true;
		default:
			return false;
	}
}

static void
tell_error(const AsHookCall *hook, const ErrorData *error, bool is_refusal)
{
	int left_out;

	if (!may_tell(hook, ERRORS_MOST, &left_out))
		return;
	ereport(
	    LOG_SERVER_ONLY,
	    (errcode(error->sqlerrcode),
	     errmsg("%s \"%s\" %s: %s (SQLSTATE %s)", hook->setting, hook->function,
	            is_refusal ? "refused" : "failed",
	            error->message == NULL ? "" : error->message,
	            unpack_sql_state(error->sqlerrcode)),
	     error->detail == NULL ? 0 : errdetail_internal("%s", error->detail),
	     left_out == 0 ? 0
	                   : errhint("It was so %d times more, which this server "
	                             "process has not logged.",
	                             left_out),
	     error->context == NULL ? 0 : (errcontext("%s", error->context))));
}

/* In PG_CATCH: the log has the error as it was, the caller has a refusal. */
pg_noreturn static void
fail_quietly(const AsHookCall *hook, MemoryContext callers)
{
	ErrorData *error;
	bool is_refusal;

	MemoryContextSwitchTo(callers);
	error = CopyErrorData();

	/* Not the hook's: the caller cancelled, or the server is going down. */
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_OPERATOR_INTERVENTION)
		PG_RE_THROW();
	FlushErrorState();
	is_refusal = hook->refusal != AS_OK && !is_passing(error->sqlerrcode);
	tell_error(hook, error, is_refusal);
	as_fail(is_refusal ? hook->refusal : AS_BUSY, NULL);
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
