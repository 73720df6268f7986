/*
 * account_deleted.c: an account's sessions end when its row goes, by whose
 * hand ever.
 *
 * A trigger and no foreign key: the rows of both tables are in every dump,
 * their constraints are there before the rows, and pg_restore -j loads them
 * side by side, sessions of accounts that are not there yet included.
 */
#include "entry/entry.h"

#include "commands/trigger.h"
#include "utils/rel.h"

AS_ENTRY(auth_private_account_deleted);

Datum
auth_private_account_deleted(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool is_null;
	AsUuid user_id;
	Datum id;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "auth_private.account_deleted is a trigger");
	id = heap_getattr(trigger->tg_trigtuple, 1,
	                  RelationGetDescr(trigger->tg_relation), &is_null);
	memcpy(user_id.bytes, DatumGetPointer(id), sizeof(user_id.bytes));

	(void) as_session_end_all(&user_id, NULL);
	PG_RETURN_POINTER(NULL);
}
