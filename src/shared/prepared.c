/*
 * prepared.c: what a prepared transaction wakes, once it commits.
 *
 * PREPARE TRANSACTION ends the transaction for the process that ran it, and
 * COMMIT PREPARED is run by any other, or after a crash, which knows nothing
 * of what the transaction wrote: nobody would wake the worker for its
 * notifications and its revocations. Only a backend of the same database may
 * commit it, though, and its changes are visible when the command is done. So
 * there all work of the database is looked for; once too often costs a look.
 */
#include "shared/shared.h"

#include "nodes/parsenodes.h"
#include "tcop/utility.h"

static ProcessUtility_hook_type next_process_utility = NULL;

static bool
is_commit_prepared(const PlannedStmt *statement)
{
	const Node *command = statement->utilityStmt;

	return IsA(command, TransactionStmt) &&
	       ((const TransactionStmt *) command)->kind ==
	           TRANS_STMT_COMMIT_PREPARED;
}

static void
wake_for_all_work(void)
{
	/* A database without the extension has none. */
	if (!OidIsValid(as_store_relation("revocations")))
		return;
	if (auth_session_notify)
	{
		as_dispatch_wake(AS_WORK_BRIDGE);
		as_dispatch_wake(AS_WORK_KEYS);
	}
	as_dispatch_wake(AS_WORK_FOLD);
}

static void
prepared_process_utility(PlannedStmt *statement, const char *query_string,
                         bool read_only_tree, ProcessUtilityContext context,
                         ParamListInfo params, QueryEnvironment *environment,
                         DestReceiver *receiver, QueryCompletion *completion)
{
	bool commits = is_commit_prepared(statement);

	if (next_process_utility != NULL)
		next_process_utility(statement, query_string, read_only_tree, context,
		                     params, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, query_string, read_only_tree,
		                        context, params, environment, receiver,
		                        completion);
	if (commits)
		wake_for_all_work();
}

void
as_prepared_init(void)
{
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = prepared_process_utility;
}
