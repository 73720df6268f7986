/*
 * row_probe.c: whether a row is there, for the one look-up that every request
 * makes.
 *
 * Finding a row by an index is most of what a verification costs, and a client
 * sends the same token until it is renewed. So a backend remembers where in the
 * table it found a row, and looks there first. It remembers nothing else: what
 * is there now is read each time, under a snapshot taken for it, and it counts
 * only if it is a visible row with this very key. Anything else, and the index
 * is asked. A place says as little of a row as an index entry does: rows may
 * have moved, gone or been replaced since, and the table may have shrunk.
 *
 * Where nothing is found, for whatever reason, that means no more than "look
 * properly".
 */
#include "base/base.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

/* 24 kB of a backend that has seen as many sessions. */
#define PLACES 4096

typedef struct Probe
{
	Relation relation;
	const AsUuid *first;
	const AsUuid *second;
	AsUuid *third;
	Snapshot snapshot;
} Probe;

/* By the second part of the key, of whatever table; all zero at first. */
static ItemPointerData places[PLACES];

/* Its last bytes are random: ids that begin with the time end so, too. */
static ItemPointer
place_of(const AsUuid *second)
{
	uint32 tail;

	memcpy(&tail, second->bytes + sizeof(second->bytes) - sizeof(tail),
	       sizeof(tail));
	return &places[tail % PLACES];
}

static bool
is_uuid(Relation relation, HeapTuple tuple, int column, const AsUuid *expected)
{
	bool is_null;
	Datum value =
	    heap_getattr(tuple, column, RelationGetDescr(relation), &is_null);

	return !is_null && memcmp(DatumGetUUIDP(value)->data, expected->bytes,
	                          sizeof(expected->bytes)) == 0;
}

/* False where there is none: who may alter the table may allow that. */
static bool
take_third(const Probe *probe, HeapTuple tuple)
{
	bool is_null;
	Datum value =
	    heap_getattr(tuple, 3, RelationGetDescr(probe->relation), &is_null);

	if (is_null)
		return false;
	memcpy(probe->third->bytes, DatumGetUUIDP(value)->data,
	       sizeof(probe->third->bytes));
	return true;
}

/* Reading behind the end of a table is an error, not a miss. */
static bool
can_be_read(Relation relation, const ItemPointerData *place)
{
	return ItemPointerIsValid(place) && ItemPointerGetBlockNumber(place) <
	                                        RelationGetNumberOfBlocks(relation);
}

bool
as_row_read_at(Relation relation, Snapshot snapshot,
               const ItemPointerData *place, const AsUuid *first,
               const AsUuid *second, HeapTuple tuple, Buffer *buffer)
{
	if (!can_be_read(relation, place))
		return false;
	tuple->t_self = *place;
	if (!heap_fetch(relation, snapshot, tuple, buffer, false))
		return false;
	if (is_uuid(relation, tuple, 1, first) &&
	    is_uuid(relation, tuple, 2, second))
		return true;
	ReleaseBuffer(*buffer);
	return false;
}

static bool
find_at(const Probe *probe, const ItemPointerData *place)
{
	HeapTupleData tuple;
	Buffer buffer;
	bool found;

	if (!as_row_read_at(probe->relation, probe->snapshot, place, probe->first,
	                    probe->second, &tuple, &buffer))
		return false;
	found = take_third(probe, &tuple);
	ReleaseBuffer(buffer);
	return found;
}

static bool
find_by_index(const Probe *probe, const char *primary_key,
              ItemPointerData *place)
{
	AsRowLookup lookup;
	HeapTuple tuple =
	    as_row_lookup_begin(&lookup, probe->relation, probe->snapshot,
	                        primary_key, probe->first, probe->second);
	bool found = HeapTupleIsValid(tuple) && take_third(probe, tuple);

	if (found)
		*place = tuple->t_self;
	as_row_lookup_end(&lookup);
	return found;
}

static bool
find(const char *table, const char *primary_key, const AsUuid *first,
     const AsUuid *second, AsUuid *third)
{
	ItemPointer place = place_of(second);
	Probe probe = {.first = first, .second = second, .third = third};
	bool found = false;

	probe.relation = table_open(as_store_relation(table), AccessShareLock);
	if (as_is_local(RelationGetRelid(probe.relation)))
	{
		/* A parallel operation can't take another than the query's. */
		probe.snapshot = RegisterSnapshot(
		    IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
		found =
		    find_at(&probe, place) || find_by_index(&probe, primary_key, place);
		UnregisterSnapshot(probe.snapshot);
	}
	table_close(probe.relation, AccessShareLock);
	return found;
}

bool
as_row_probe(const char *table, const char *primary_key, const AsUuid *first,
             const AsUuid *second, AsUuid *third)
{
	AsFrame frame;
	bool found = false;

	as_frame_enter_direct(&frame);
	PG_TRY();
	{
		found = find(table, primary_key, first, second, third);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return found;
}
