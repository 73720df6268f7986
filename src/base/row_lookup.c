/*
 * row_lookup.c: a row by the index of its primary key.
 *
 * As the server's own index scan finds it, but for one thing. That prunes a
 * page of old versions whenever it has less room left than the fillfactor keeps
 * free, and a page which loading has filled has that little for good: each
 * renewal would prune two pages, of one old version each, and pay more for that
 * than for its own two updates. What matters is that the next version finds room
 * in its page (HOT), so a page is pruned once it has no more than two rows' room
 * left. Old versions in between cost a look each.
 *
 * What is visible is the server's to say, and so are serialization failures and
 * which entries of the index are dead.
 */
#include "base/base.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

/* The version that the snapshot sees of the row at place. */
static bool
read_version(AsRowLookup *lookup, const ItemPointerData *place, bool *all_dead)
{
	ItemPointerData root = *place;
	bool found;

	LockBuffer(lookup->buffer, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(&root, lookup->relation, lookup->buffer,
	                               lookup->scan->iscan->xs_snapshot,
	                               &lookup->version, all_dead, true);
	lookup->is_short_of_room =
	    found && PageGetHeapFreeSpace(BufferGetPage(lookup->buffer)) <
	                 2 * MAXALIGN(lookup->version.t_len);
	LockBuffer(lookup->buffer, BUFFER_LOCK_UNLOCK);
	return found;
}

/* Its pin keeps the version where it is. */
static bool
fetch(AsRowLookup *lookup, const ItemPointerData *place, bool *all_dead)
{
	lookup->buffer =
	    ReadBuffer(lookup->relation, ItemPointerGetBlockNumber(place));
	if (read_version(lookup, place, all_dead))
	{
		if (!lookup->is_short_of_room)
			return true;
		/* That moves versions within the page. */
		heap_page_prune_opt(lookup->relation, lookup->buffer);
		if (read_version(lookup, place, all_dead))
			return true;
	}
	ReleaseBuffer(lookup->buffer);
	lookup->buffer = InvalidBuffer;
	return false;
}

/* index_getnext_slot() with the fetch above. */
static HeapTuple
next_by_index(AsRowLookup *lookup, IndexScanDesc scan)
{
	ItemPointer place;

	while ((place = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		bool all_dead = false;
		bool found = fetch(lookup, place, &all_dead);

		/* A standby may still show what is dead on the primary. */
		if (!scan->xactStartedInRecovery)
			scan->kill_prior_tuple = all_dead;
		if (found)
		{
			pgstat_count_heap_fetch(scan->indexRelation);
			return &lookup->version;
		}
		CHECK_FOR_INTERRUPTS();
	}
	return NULL;
}

HeapTuple
as_row_lookup_begin(AsRowLookup *lookup, Relation relation, Snapshot snapshot,
                    const char *primary_key, const AsUuid *first,
                    const AsUuid *second)
{
	ScanKeyData key[2];

	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_UUID_EQ,
	            PointerGetDatum(first));
	if (second != NULL)
		ScanKeyInit(&key[1], 2, BTEqualStrategyNumber, F_UUID_EQ,
		            PointerGetDatum(second));
	lookup->relation = relation;
	lookup->buffer = InvalidBuffer;
	lookup->scan =
	    systable_beginscan(relation, as_store_relation(primary_key), true,
	                       snapshot, second == NULL ? 1 : 2, key);
	/* Without an index where the server ignores those of the system. */
	if (lookup->scan->iscan == NULL ||
	    relation->rd_tableam != GetHeapamTableAmRoutine())
		return systable_getnext(lookup->scan);
	return next_by_index(lookup, lookup->scan->iscan);
}

void
as_row_lookup_end(AsRowLookup *lookup)
{
	if (BufferIsValid(lookup->buffer))
		ReleaseBuffer(lookup->buffer);
	systable_endscan(lookup->scan);
}
