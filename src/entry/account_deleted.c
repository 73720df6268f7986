/*
 * account_deleted.c: an account's sessions end, its codes die, its addresses are
 * free and applications can follow when its row goes, by whose hand ever.
 *
 * A trigger and no foreign key: the rows of both tables are in every dump,
 * their constraints are there before the rows, and pg_restore -j loads them
 * side by side, sessions of accounts that are not there yet included.
 */
#include "entry/entry.h"

#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

AS_ENTRY(auth_private_account_deleted);

static char *
text_of(const TriggerData *trigger, const char *column)
{
	TupleDesc descriptor = RelationGetDescr(trigger->tg_relation);
	AttrNumber number =
	    get_attnum(RelationGetRelid(trigger->tg_relation), column);
	bool is_null;
	Datum value =
	    heap_getattr(trigger->tg_trigtuple, number, descriptor, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

Datum
auth_private_account_deleted(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	AsAccount account = {0};
	bool is_null;
	Datum id;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "auth_private.account_deleted is a trigger");
	id = heap_getattr(trigger->tg_trigtuple, 1,
	                  RelationGetDescr(trigger->tg_relation), &is_null);
	memcpy(account.id.bytes, DatumGetPointer(id), sizeof(account.id.bytes));
	account.email = text_of(trigger, "email");
	account.pending_email = text_of(trigger, "pending_email");
	account.phone = text_of(trigger, "phone");
	account.pending_phone = text_of(trigger, "pending_phone");

	account.status = strcmp(text_of(trigger, "status"), "pending") == 0
	                     ? AS_ACCOUNT_PENDING
	                     : AS_ACCOUNT_ACTIVE;
	as_account_left(&account);
	PG_RETURN_POINTER(NULL);
}
