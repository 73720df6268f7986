/*
 * frame.c: the conditions under which the store works, whoever calls and
 * whatever the caller set, and what becomes of its errors.
 *
 *     who it runs as      auth_session_owner, in a security-restricted
 *                         operation: code that somebody hung on our tables
 *                         can't change roles, make temporary objects or leave
 *                         a deferred trigger for the caller's COMMIT
 *     search_path         pinned
 *     waiting for a lock  auth_session.lock_wait at most
 *     the planner         planner_list.h
 *
 * The last two are read only when a wait or the planning of a statement
 * begins, so assigning the variables is enough, and far cheaper than a level
 * of settings for every statement.
 *
 * What the server can't do just now (no lock, no memory, no disk, a node that
 * is down) is AS_BUSY to the caller, and told to the operator. A cancel goes
 * on as it is, without our statement in its context.
 */
#include "base/base.h"

#include "catalog/namespace.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/timestamp.h"

#define PINNED_SEARCH_PATH "pg_catalog, pg_temp"

#define TELL_EVERY_US (60 * USECS_PER_SEC)

#define PIN(type, name, value)    \
	frame->planner.name = (name); \
	name = (value);
#define UNPIN(type, name, value) name = frame->planner.name;

Oid
as_owner_role(void)
{
	return get_role_oid(AS_OWNER_ROLE, false);
}

static void
restore(const AsFrame *frame)
{
	LockTimeout = frame->lock_timeout;
	if (!frame->is_statement)
		return;
	AS_PLANNER_SETTINGS(UNPIN)
	SetUserIdAndSecContext(frame->user, frame->security_context);
}

void
as_frame_enter_direct(AsFrame *frame)
{
	frame->is_statement = false;
	frame->guc_level = 0;
	frame->callers = CurrentMemoryContext;
	frame->lock_timeout = LockTimeout;
	if (LockTimeout == 0 || LockTimeout > auth_session_lock_wait)
		LockTimeout = auth_session_lock_wait;
}

void
as_frame_enter(AsFrame *frame, bool pin_search_path)
{
	Oid owner = as_owner_role();
	int level = 0;

	/* Nobody puts back what was changed where this is short of memory. */
	if (pin_search_path &&
	    strcmp(namespace_search_path, PINNED_SEARCH_PATH) != 0)
	{
		level = NewGUCNestLevel();
		(void) set_config_option("search_path", PINNED_SEARCH_PATH, PGC_USERSET,
		                         PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
		                         false);
	}
	as_frame_enter_direct(frame);
	frame->is_statement = true;
	frame->guc_level = level;
	GetUserIdAndSecContext(&frame->user, &frame->security_context);
	SetUserIdAndSecContext(owner, frame->security_context |
	                                  SECURITY_LOCAL_USERID_CHANGE |
	                                  SECURITY_RESTRICTED_OPERATION);
	AS_PLANNER_SETTINGS(PIN)
}

void
as_frame_leave(const AsFrame *frame)
{
	restore(frame);
	if (frame->guc_level > 0)
		AtEOXact_GUC(true, frame->guc_level);
}

/* ---- errors ---- */

/* One line a minute of each kind, by each server process. */
static bool
is_to_be_told(int code)
{
	static struct
	{
		int code;
		TimestampTz at;
	} told[8];
	TimestampTz now = GetCurrentTimestamp();
	int oldest = 0;

	for (int i = 0; i < (int) lengthof(told); i++)
	{
		if (told[i].code == code)
		{
			if (now - told[i].at < TELL_EVERY_US)
				return false;
			told[i].at = now;
			return true;
		}
		if (told[i].at < told[oldest].at)
			oldest = i;
	}
	told[oldest].code = code;
	told[oldest].at = now;
	return true;
}

static void
tell_operator(int code, const char *message)
{
	if (is_to_be_told(code))
		ereport(
		    LOG_SERVER_ONLY,
		    (errcode(code),
		     errmsg("auth_session could not do its work now: %s (SQLSTATE %s)",
		            message == NULL ? "" : message, unpack_sql_state(code))));
}

/* Somebody else has the lock: nothing that the operator needs to hear of. */
static bool
is_lock_not_had(int code)
{
	return code == ERRCODE_LOCK_NOT_AVAILABLE ||
	       code == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* The server, or a node behind it, can't just now. */
static bool
is_out_of_order(int code)
{
	int category = ERRCODE_TO_CATEGORY(code);

	return category == ERRCODE_INSUFFICIENT_RESOURCES ||
	       category == ERRCODE_CONNECTION_EXCEPTION ||
	       (category == ERRCODE_OPERATOR_INTERVENTION &&
	        code != ERRCODE_QUERY_CANCELED);
}

void
as_frame_fail(const AsFrame *frame)
{
	int code = geterrcode();
	ErrorData *error;

	restore(frame);
	if (is_lock_not_had(code))
	{
		FlushErrorState();
		as_fail(AS_BUSY, NULL);
	}
	if (!is_out_of_order(code) && code != ERRCODE_QUERY_CANCELED)
		PG_RE_THROW();

	MemoryContextSwitchTo(frame->callers);
	/* A copy would want the memory that is short. */
	error = code == ERRCODE_OUT_OF_MEMORY ? NULL : CopyErrorData();
	FlushErrorState();
	if (code != ERRCODE_QUERY_CANCELED)
	{
		tell_operator(code, error == NULL ? "out of memory" : error->message);
		as_fail(AS_BUSY, NULL);
	}
	/* The callers' context is put to it anew. */
	error->context = NULL;
	ThrowErrorData(error);
	pg_unreachable();
}
