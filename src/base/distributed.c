/*
 * distributed.c: whether this server holds a table's rows itself.
 *
 * Some rows are read and changed without a statement (row.c, store.c), which is
 * right only for a table whose rows are all in its own heap. Of one that is
 * partitioned they are elsewhere; of one that Citus has taken over, as its
 * catalog says, those that were here before may still lie here, and would be
 * what they were then for ever: sessions that have ended since, for one.
 *
 * The answer is kept until the server says that the table has changed, which
 * Citus does on every node when it takes a table over or gives it back.
 */
#include "base/base.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define PARTITIONS "pg_dist_partition"

/* Its column logicalrelid. */
#define RELATION_COLUMN 1

/* One more than there are tables that are read without a statement. */
#define ANSWERS 6

typedef struct Answer
{
	Oid relation;
	bool is_known;
	bool is_local;
	bool is_distributed;
} Answer;

static Answer answers[ANSWERS];
static uint64 changes = 0;

/* InvalidOid stands for every relation. */
static void
on_invalidation(Datum argument, Oid relation)
{
	changes++;
	for (int i = 0; i < ANSWERS; i++)
		if (relation == InvalidOid || relation == answers[i].relation)
			answers[i].is_known = false;
}

static bool
is_in_catalog(Oid relation)
{
	Oid catalog = get_relname_relid(PARTITIONS, PG_CATALOG_NAMESPACE);
	ScanKeyData key;
	SysScanDesc scan;
	Relation partitions;
	bool found;

	if (!OidIsValid(catalog))
		return false;
	partitions = table_open(catalog, AccessShareLock);
	ScanKeyInit(&key, RELATION_COLUMN, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(relation));
	scan = systable_beginscan(partitions, InvalidOid, false, NULL, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(partitions, AccessShareLock);
	return found;
}

static bool
is_plain_heap(Oid relation)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	bool is_plain = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		is_plain = class->relkind == RELKIND_RELATION &&
		           class->relam == HEAP_TABLE_AM_OID;
		ReleaseSysCache(tuple);
	}
	return is_plain;
}

/* Kept unless something changed during the look. */
static void
look(Answer *found, Oid relation)
{
	uint64 before = changes;

	found->is_known = false;
	found->relation = relation;
	found->is_distributed = is_in_catalog(relation);
	found->is_local = !found->is_distributed && is_plain_heap(relation);
	found->is_known = changes == before;
}

static const Answer *
answer(Oid relation)
{
	static bool is_registered = false;
	static int next = 0;
	Answer *found = NULL;

	for (int i = 0; i < ANSWERS && found == NULL; i++)
		if (answers[i].relation == relation)
			found = &answers[i];
	if (likely(found != NULL && found->is_known))
		return found;
	if (!is_registered)
		CacheRegisterRelcacheCallback(on_invalidation, (Datum) 0);
	is_registered = true;
	if (found == NULL)
	{
		found = &answers[next];
		next = (next + 1) % ANSWERS;
	}
	look(found, relation);
	return found;
}

bool
as_is_local(Oid relation)
{
	return answer(relation)->is_local;
}

bool
as_is_distributed(void)
{
	return answer(as_store_relation("sessions"))->is_distributed;
}
