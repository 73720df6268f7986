/*
 * utility_text.c: a library that sees utility statements as Citus does, by the
 * hook: writes their texts to the file $UTILITY_TEXT.
 */
#include "postgres.h"

#include "fmgr.h"
#include "tcop/utility.h"

#include <stdio.h>

PG_MODULE_MAGIC;

void _PG_init(void);

static ProcessUtility_hook_type next;

static void
write_text(PlannedStmt *statement, const char *text, bool read_only_tree,
           ProcessUtilityContext context, ParamListInfo params,
           QueryEnvironment *environment, DestReceiver *receiver,
           QueryCompletion *completion)
{
	FILE *out = fopen(getenv("UTILITY_TEXT"), "a");

	if (out == NULL)
		elog(ERROR, "could not open the file of texts: %m");
	fprintf(out, "%s\n", text);
	fclose(out);
	if (next)
		next(statement, text, read_only_tree, context, params, environment,
		     receiver, completion);
	else
		standard_ProcessUtility(statement, text, read_only_tree, context,
		                        params, environment, receiver, completion);
}

void
_PG_init(void)
{
	next = ProcessUtility_hook;
	ProcessUtility_hook = write_text;
}
