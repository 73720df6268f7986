/*
 * watch.c: whether a table has changed.
 *
 * A backend keeps what it knows of some tables until they change: the keys,
 * and that there is no revocation to look at. Every change invalidates the
 * table's relation cache entry (a trigger's doing), which reaches every
 * backend of the database, and every standby, after the change is visible and
 * before its COMMIT returns; it is in the commit record, also of a prepared
 * transaction. So a retired key is refused, and a revocation seen, at once.
 * The messages are taken in at each look, not only where a transaction
 * begins, so a long transaction sees it too.
 *
 * Nothing stays from a transaction that came to nothing: its abort runs its
 * own invalidations, which end what was loaded meanwhile. Nothing stays from
 * a read that a change overtook either: the version was taken before it.
 */
#include "base/base.h"

#include "access/xact.h"
#include "utils/inval.h"

/* A table as this backend knows it; relation is InvalidOid till looked up. */
static struct Watched
{
	const char *table;
	Oid relation;
	uint64 version;
} watched[] = {
    [AS_WATCH_SIGNING_KEYS] = {.table = "signing_keys", .version = 1},
    [AS_WATCH_MAC_KEYS] = {.table = "mac_keys", .version = 1},
    [AS_WATCH_REVOCATIONS] = {.table = "revocations", .version = 1},
};

static bool is_registered = false;

/* InvalidOid stands for every relation. */
static void
on_invalidation(Datum argument, Oid relation)
{
	for (int i = 0; i < (int) lengthof(watched); i++)
		if (relation == InvalidOid || relation == watched[i].relation)
		{
			watched[i].version++;
			/* It may have been made anew under another Oid. */
			watched[i].relation = InvalidOid;
		}
}

uint64
as_watch_version(AsWatched which)
{
	struct Watched *table = &watched[which];

	Assert(IsTransactionState());
	Assert((size_t) which < lengthof(watched));
	if (!is_registered)
		CacheRegisterRelcacheCallback(on_invalidation, (Datum) 0);
	is_registered = true;
	AcceptInvalidationMessages();
	if (table->relation == InvalidOid)
		table->relation = as_store_relation(table->table);
	return table->version;
}

void
as_watch_changed(void)
{
	for (int i = 0; i < (int) lengthof(watched); i++)
	{
		Oid relation = as_store_relation(watched[i].table);

		if (OidIsValid(relation))
			CacheInvalidateRelcacheByRelid(relation);
	}
}
