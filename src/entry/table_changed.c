/*
 * table_changed.c: the trigger on the tables of which every backend keeps
 * something (watch.c). PostgREST keeps the signing keys.
 */
#include "entry/entry.h"

#include "commands/trigger.h"
#include "utils/rel.h"

AS_ENTRY(auth_private_table_changed);

Datum
auth_private_table_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "auth_private.table_changed is a trigger");
	as_watch_changed();
	if (strcmp(RelationGetRelationName(
	               ((TriggerData *) fcinfo->context)->tg_relation),
	           AS_SIGNING_KEYS) == 0)
		as_wake_on_commit(AS_WORK_KEYS);
	PG_RETURN_POINTER(NULL);
}
