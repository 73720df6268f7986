/*
 * keys.c: the door of the signing keys, for operators.
 */
#include "nouns.h"

#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/inval.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(auth_private_signing_keys_changed);

PGDLLEXPORT Datum auth_private_signing_keys_changed(PG_FUNCTION_ARGS);

/* The trigger on the table: every backend loads its keys anew. */
Datum
auth_private_signing_keys_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "auth_private.signing_keys_changed is a trigger");
	CacheInvalidateRelcacheByRelid(
	    RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	PG_RETURN_POINTER(NULL);
}
