/*
 * frame.c: the conditions under which the store works, whoever calls and
 * whatever the caller set, and what becomes of its errors.
 *
 *     who it runs as      auth_session_owner, in a security-restricted
 *                         operation: code that somebody hung on our tables
 *                         can't change roles, make temporary objects or leave
 *                         a deferred trigger for the caller's COMMIT
 *     search_path         pinned
 *     triggers, keys      as in origin: the end of an account is that of its
 *                         sessions, also where session_replication_role says
 *                         replica
 *     waiting for a lock  auth_session.lock_wait at most
 *     the planner         planner_list.h
 *
 * Where the tables are distributed, other nodes are connected to as whoever a
 * statement runs as: that is auth_session_node then, which has the rights on
 * rows and no other. Its transactions on the nodes are of the isolation level
 * that the statement runs under: READ COMMITTED, or a session that ends
 * elsewhere would not be seen to.
 *
 * The last three are read only when a wait, a trigger or the planning of a
 * statement begins, so assigning the variables is enough, and far cheaper than
 * a level of settings for every statement.
 *
 * What the server can't do just now (no lock, no memory, no disk, a node that
 * is down or silent) is AS_BUSY to the caller, and told to the operator. A
 * cancel goes on as it is, without our statement in its context.
 */
#include "base/base.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "jit/jit.h"
#include "miscadmin.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/plancache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#define PINNED_SEARCH_PATH "pg_catalog, pg_temp"

#define TELL_EVERY_US (60 * USECS_PER_SEC)

/*
 * How long a node may be silent beyond what it may wait for a lock. A process
 * or machine that has stopped keeps its connections, and no limit of its own.
 */
#define NODE_WAIT_MS 5000

#define PIN(type, name, value)    \
	frame->planner.name = (name); \
	name = (value);
#define UNPIN(type, name, value) name = frame->planner.name;

Oid
as_owner_role(void)
{
	return get_role_oid(AS_OWNER_ROLE, false);
}

static TimeoutId node_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t node_is_late = false;

/* In a signal handler: cancels the statement. */
static void
note_late_node(void)
{
	node_is_late = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

static void
start_node_wait(AsFrame *frame)
{
	if (node_timeout == MAX_TIMEOUTS)
		node_timeout = RegisterTimeout(USER_TIMEOUT, note_late_node);
	frame->waits_for_node = !get_timeout_active(node_timeout);
	if (!frame->waits_for_node)
		return;
	node_is_late = false;
	enable_timeout_after(node_timeout, auth_session_lock_wait + NODE_WAIT_MS);
}

/* Whether it was too long. No later statement is cancelled for it. */
static bool
end_node_wait(const AsFrame *frame)
{
	if (!frame->waits_for_node)
		return false;
	disable_timeout(node_timeout, false);
	if (node_is_late)
		QueryCancelPending = false;
	return node_is_late;
}

static void
restore(const AsFrame *frame)
{
	LockTimeout = frame->lock_timeout;
	if (!frame->is_statement)
		return;
	if (frame->is_distributed)
		XactIsoLevel = frame->isolation;
	SessionReplicationRole = frame->replication_role;
	AS_PLANNER_SETTINGS(UNPIN)
	SetUserIdAndSecContext(frame->user, frame->security_context);
}

void
as_frame_enter_direct(AsFrame *frame)
{
	frame->is_statement = false;
	frame->waits_for_node = false;
	frame->guc_level = 0;
	frame->callers = CurrentMemoryContext;
	frame->lock_timeout = LockTimeout;
	if (LockTimeout == 0 || LockTimeout > auth_session_lock_wait)
		LockTimeout = auth_session_lock_wait;
}

static void
pin_setting(int *level, const char *name, const char *value)
{
	if (*level == 0)
		*level = NewGUCNestLevel();
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
	                         GUC_ACTION_SAVE, true, 0, false);
}

/*
 * What a caller could set of Citus to undo what statements rely on: that all of
 * a function is one transaction on every node, that what every node has is read
 * where the messages of its changes arrive, and that nobody is shown their text.
 */
static void
pin_node_settings(int *level)
{
	static const char *const settings[][2] = {
	    {"citus.function_opens_transaction_block", "on"},
	    {"citus.enable_local_execution", "on"},
	    {"citus.task_assignment_policy", "greedy"},
	    {"citus.log_remote_commands", "off"},
	    {"citus.log_local_commands", "off"},
	    {"citus.log_intermediate_results", "off"},
	};

	for (int i = 0; i < (int) lengthof(settings); i++)
	{
		const char *value = GetConfigOption(settings[i][0], true, false);

		if (value != NULL && strcmp(value, settings[i][1]) != 0)
			pin_setting(level, settings[i][0], settings[i][1]);
	}
	if (client_min_messages < NOTICE)
		pin_setting(level, "client_min_messages", "notice");
}

void
as_frame_enter(AsFrame *frame, bool pin_search_path)
{
	bool is_distributed = as_is_distributed();
	Oid user =
	    is_distributed ? get_role_oid(AS_NODE_ROLE, false) : as_owner_role();
	int level = 0;

	/* Nobody puts back what was changed where this is short of memory. */
	if (pin_search_path &&
	    strcmp(namespace_search_path, PINNED_SEARCH_PATH) != 0)
		pin_setting(&level, "search_path", PINNED_SEARCH_PATH);
	if (is_distributed)
		pin_node_settings(&level);
	as_frame_enter_direct(frame);
	frame->is_statement = true;
	frame->is_distributed = is_distributed;
	frame->isolation = XactIsoLevel;
	frame->guc_level = level;
	GetUserIdAndSecContext(&frame->user, &frame->security_context);
	SetUserIdAndSecContext(user, frame->security_context |
	                                 SECURITY_LOCAL_USERID_CHANGE |
	                                 SECURITY_RESTRICTED_OPERATION);
	if (is_distributed)
		XactIsoLevel = XACT_READ_COMMITTED;
	frame->replication_role = SessionReplicationRole;
	SessionReplicationRole = SESSION_REPLICATION_ROLE_ORIGIN;
	AS_PLANNER_SETTINGS(PIN)
	if (is_distributed)
		start_node_wait(frame);
}

void
as_frame_leave(const AsFrame *frame)
{
	bool was_late = end_node_wait(frame);

	restore(frame);
	if (frame->guc_level > 0)
		AtEOXact_GUC(true, frame->guc_level);
	/* It was cancelled, though nothing came by that would have said so. */
	if (was_late)
		as_fail(AS_BUSY, NULL);
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
	bool was_late = end_node_wait(frame);
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
	if (was_late)
	{
		tell_operator(code, "a node does not answer");
		as_fail(AS_BUSY, NULL);
	}
	/* The callers' context is put to it anew. */
	error->context = NULL;
	ThrowErrorData(error);
	pg_unreachable();
}
