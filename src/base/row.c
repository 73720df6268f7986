/*
 * row.c: one row by its primary key, or a new one, without a statement.
 *
 * An UPDATE or DELETE of one row that is known by its key spends nine tenths of
 * its time on the executor's beginning and end, an INSERT most of it; a session
 * is renewed so often that it shows. Here the row is fetched by the key's index
 * and changed by the table's access method, as the executor does: a version
 * that somebody else is about to replace is waited for, and looked at anew when
 * it has been.
 *
 * That is all of a statement only where nothing hangs on the table that a
 * statement would run or check. Where something does (a trigger or rule of
 * somebody's, a CHECK, a generated column, a foreign key or unique index over
 * what is changed, a default) and, of what is there, at the higher isolation
 * levels, where another's change is a serialization failure, the caller is told
 * to use a statement: it is never wrong.
 *
 * Only a table whose rows this server holds itself (distributed.c) is looked at;
 * of any other a statement finds the rows.
 */
#include "base/base.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#define AS_ROW_MAX_COLUMNS 64

/* ---- what only a statement can do ---- */

/*
 * Whether a trigger has something to do. Those of foreign keys don't while the
 * columns of the key stay; nor where a row goes to which only rows of child
 * could point, and none does.
 */
static bool
has_trigger(Relation relation, bool is_delete, Oid child)
{
	const TriggerDesc *triggers = relation->trigdesc;

	if (triggers == NULL)
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
	{
		const Trigger *trigger = &triggers->triggers[i];

		if (!(is_delete ? TRIGGER_FOR_DELETE(trigger->tgtype)
		                : TRIGGER_FOR_UPDATE(trigger->tgtype)))
			continue;
		if (RI_FKey_trigger_type(trigger->tgfoid) == RI_TRIGGER_NONE ||
		    (is_delete && trigger->tgconstrrelid != child))
			return true;
	}
	return false;
}

/* Any: that of a foreign key has a row to look for. */
static bool
has_insert_trigger(Relation relation)
{
	const TriggerDesc *triggers = relation->trigdesc;

	if (triggers == NULL)
		return false;
	for (int i = 0; i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype))
			return true;
	return false;
}

static bool
has_condition(Relation relation)
{
	const TupleConstr *constraints = RelationGetDescr(relation)->constr;

	return constraints != NULL &&
	       (constraints->num_check > 0 || constraints->has_generated_stored);
}

static bool
is_plain(Relation relation)
{
	return as_is_local(RelationGetRelid(relation)) &&
	       relation->rd_rules == NULL &&
	       !relation->rd_rel->relforcerowsecurity &&
	       RelationGetDescr(relation)->natts <= AS_ROW_MAX_COLUMNS;
}

static bool
is_plain_to_update(Relation relation)
{
	return is_plain(relation) && !has_trigger(relation, false, InvalidOid) &&
	       !has_condition(relation);
}

static bool
is_plain_to_insert(Relation relation)
{
	return is_plain(relation) && !has_insert_trigger(relation) &&
	       !has_condition(relation);
}

/* Whether a foreign key of this table, or one that can point here, has any. */
static bool
are_of_keys(Relation relation, const AttrNumber *columns, int count)
{
	Bitmapset *keys =
	    RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_KEY);
	bool are = false;
	ListCell *cell;

	for (int i = 0; i < count && !are; i++)
		are = bms_is_member(columns[i] - FirstLowInvalidHeapAttributeNumber,
		                    keys);
	bms_free(keys);
	foreach (cell, RelationGetFKeyList(relation))
	{
		const ForeignKeyCacheInfo *key = lfirst(cell);

		for (int i = 0; i < key->nkeys; i++)
			for (int j = 0; j < count; j++)
				are = are || key->conkey[i] == columns[j];
	}
	return are;
}

/* ---- a row ---- */

typedef struct Row
{
	HeapTuple tuple;
	Datum values[AS_ROW_MAX_COLUMNS];
	bool nulls[AS_ROW_MAX_COLUMNS];
} Row;

/* Looks from the column behind the last one on: mostly that is the one. */
static int
find_column(TupleDesc descriptor, const char *name, int after)
{
	for (int i = 1; i <= descriptor->natts; i++)
	{
		int column = (after + i) % descriptor->natts;
		Form_pg_attribute attribute = TupleDescAttr(descriptor, column);

		if (!attribute->attisdropped &&
		    strcmp(NameStr(attribute->attname), name) == 0)
			return column;
	}
	elog(ERROR, "there is no column \"%s\" in a table of auth_private", name);
}

static void
read_row(const Row *row, TupleDesc descriptor, const AsShape *shape, char *into)
{
	int column = descriptor->natts - 1;

	memset(into, 0, shape->size);
	for (int i = 0; i < shape->count; i++)
	{
		const AsColumn *wanted = &shape->columns[i];

		column = find_column(descriptor, wanted->name, column);
		as_column_read(wanted, row->values[column], row->nulls[column],
		               into + wanted->offset);
	}
}

/* Puts the new values in; false where only a statement may. */
static bool
replace_values(Row *row, Relation relation, const AsNewValue *values, int count)
{
	TupleDesc descriptor = RelationGetDescr(relation);
	AttrNumber columns[AS_ROW_MAX_NEW];
	int column = descriptor->natts - 1;

	for (int i = 0; i < count; i++)
	{
		Form_pg_attribute attribute;

		column = find_column(descriptor, values[i].column, column);
		attribute = TupleDescAttr(descriptor, column);
		if (attribute->atttypid != values[i].value.type ||
		    (attribute->attnotnull && values[i].value.is_null))
			return false;
		row->values[column] = values[i].value.value;
		row->nulls[column] = values[i].value.is_null;
		columns[i] = attribute->attnum;
	}
	return !are_of_keys(relation, columns, count);
}

/* Of a new row, or a version that has no room in its page. */
static void
insert_index_entries(Relation relation, TupleTableSlot *slot,
                     AsIndexesToUpdate indexes)
{
	EState *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	InitResultRelInfo(result, relation, 0, NULL, 0);
	ExecOpenIndices(result, false);
	(void) ExecInsertIndexTuples(result, slot, estate, false, false, NULL,
	                             NIL as_only_summarizing(indexes));
	ExecCloseIndices(result);
	FreeExecutorState(estate);
}

static TM_Result
replace(Relation relation, Row *row, Snapshot snapshot)
{
	TupleDesc descriptor = RelationGetDescr(relation);
	TupleTableSlot *slot =
	    MakeSingleTupleTableSlot(descriptor, &TTSOpsHeapTuple);
	HeapTuple tuple = heap_form_tuple(descriptor, row->values, row->nulls);
	AsIndexesToUpdate indexes;
	LockTupleMode lock;
	TM_FailureData failure;
	TM_Result result;

	tuple->t_tableOid = RelationGetRelid(relation);
	ExecStoreHeapTuple(tuple, slot, true);
	result = table_tuple_update(
	    relation, &row->tuple->t_self, slot, GetCurrentCommandId(true),
	    snapshot, InvalidSnapshot, true, &failure, &lock, &indexes);
	if (result == TM_Ok && as_wants_indexes(indexes))
		insert_index_entries(relation, slot, indexes);
	ExecDropSingleTupleTableSlot(slot);
	return result;
}

/* ---- by the key ---- */

typedef struct Lookup
{
	AsRowLookup by_key;
	Snapshot snapshot;
} Lookup;

static bool
begin_lookup(Lookup *lookup, Relation relation, const char *primary_key,
             const AsUuid *first, const AsUuid *second, Row *row)
{
	lookup->snapshot = RegisterSnapshot(
	    IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	row->tuple =
	    as_row_lookup_begin(&lookup->by_key, relation, lookup->snapshot,
	                        primary_key, first, second);
	if (HeapTupleIsValid(row->tuple))
		heap_deform_tuple(row->tuple, RelationGetDescr(relation), row->values,
		                  row->nulls);
	return HeapTupleIsValid(row->tuple);
}

static void
end_lookup(Lookup *lookup)
{
	as_row_lookup_end(&lookup->by_key);
	UnregisterSnapshot(lookup->snapshot);
}

/* ---- find ---- */

/*
 * An unknown user must cost what a known one does, so what isn't here is absent,
 * and no statement looks again; unless the rows are elsewhere.
 */
static AsRowFound
find(const char *table, const char *primary_key, const AsUuid *key,
     const AsShape *shape, char *into)
{
	Relation relation = table_open(as_store_relation(table), AccessShareLock);
	Lookup lookup;
	Row row;
	AsRowFound found = AS_ROW_ELSEWHERE;

	if (RelationGetDescr(relation)->natts <= AS_ROW_MAX_COLUMNS &&
	    as_is_local(RelationGetRelid(relation)))
	{
		found = AS_ROW_ABSENT;
		if (begin_lookup(&lookup, relation, primary_key, key, NULL, &row))
		{
			read_row(&row, RelationGetDescr(relation), shape, into);
			found = AS_ROW_FOUND;
		}
		end_lookup(&lookup);
	}
	table_close(relation, AccessShareLock);
	return found;
}

AsRowFound
as_row_find(const char *table, const char *primary_key, const AsUuid *key,
            const AsShape *shape, void *row)
{
	AsFrame frame;
	AsRowFound found = AS_ROW_ELSEWHERE;

	as_frame_enter_direct(&frame);
	PG_TRY();
	{
		found = find(table, primary_key, key, shape, row);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return found;
}

/* ---- revise ---- */

typedef struct Revision
{
	const char *primary_key;
	const AsUuid *first;
	const AsUuid *second;
	const AsShape *shape;
	char *row;
	AsRowRevise revise;
	const void *context;
} Revision;

static AsRevised
revised(TM_Result result)
{
	switch (result)
	{
		case TM_Ok:
			return AS_REVISED;
		case TM_Deleted:
			return AS_UNFIT;
		default:
			elog(ERROR, "unexpected result of an update: %d", (int) result);
	}
}

/* The version that is the newest now; TM_Updated where it is no more. */
static TM_Result
revise_newest(const Revision *revision, Relation relation, AsRevised *outcome)
{
	AsNewValue values[AS_ROW_MAX_NEW];
	TM_Result result = TM_Ok;
	Lookup lookup;
	Row row;
	int count;

	*outcome = AS_BY_STATEMENT;
	if (begin_lookup(&lookup, relation, revision->primary_key, revision->first,
	                 revision->second, &row))
	{
		if (revision->shape != NULL)
			read_row(&row, RelationGetDescr(relation), revision->shape,
			         revision->row);
		count = revision->revise(revision->row, values, revision->context);
		Assert(count <= AS_ROW_MAX_NEW);
		if (count == 0)
			*outcome = AS_UNFIT;
		else if (replace_values(&row, relation, values, count))
		{
			result = replace(relation, &row, lookup.snapshot);
			if (result != TM_Updated)
				*outcome = revised(result);
		}
	}
	end_lookup(&lookup);
	return result;
}

static AsRevised
revise(const char *table, const Revision *revision)
{
	Relation relation = table_open(as_store_relation(table), RowExclusiveLock);
	AsRevised outcome = AS_BY_STATEMENT;

	if (is_plain_to_update(relation))
	{
		CheckCmdReplicaIdentity(relation, CMD_UPDATE);
		/* What this transaction wrote just now is to be seen, and this. */
		CommandCounterIncrement();
		while (revise_newest(revision, relation, &outcome) == TM_Updated)
			CHECK_FOR_INTERRUPTS();
		CommandCounterIncrement();
	}
	table_close(relation, NoLock);
	return outcome;
}

AsRevised
as_row_revise(const char *table, const char *primary_key, const AsUuid *first,
              const AsUuid *second, const AsShape *shape, void *row,
              AsRowRevise decide, const void *context)
{
	const Revision revision = {primary_key, first,  second, shape,
	                           row,         decide, context};
	AsFrame frame;
	AsRevised outcome = AS_BY_STATEMENT;

	if (IsolationUsesXactSnapshot() || IsInParallelMode())
		return AS_BY_STATEMENT;
	as_frame_enter(&frame, true);
	PG_TRY();
	{
		outcome = revise(table, &revision);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return outcome;
}

/* ---- delete ---- */

static TM_Result
delete_at(Relation relation, const ItemPointerData *place, Snapshot snapshot)
{
	ItemPointerData self = *place;
	TM_FailureData failure;

	return table_tuple_delete(relation, &self, GetCurrentCommandId(true),
	                          snapshot, InvalidSnapshot, true, &failure, false);
}

/*
 * By the place where it was seen: TM_Invisible where it isn't there. Whoever
 * has it locked finds it there; no other version of it can be visible.
 */
static TM_Result
delete_seen(Relation relation, const AsRowKey *key)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	TM_Result result = TM_Invisible;
	HeapTupleData tuple;
	Buffer buffer;

	if (as_row_read_at(relation, snapshot, &key->place, &key->first,
	                   &key->second, &tuple, &buffer))
	{
		ReleaseBuffer(buffer);
		result = delete_at(relation, &key->place, snapshot);
	}
	UnregisterSnapshot(snapshot);
	return result;
}

/* The version that is the newest now; TM_Updated where it is no more. */
static TM_Result
delete_newest(Relation relation, const char *primary_key, const AsRowKey *key,
              bool *is_found)
{
	TM_Result result = TM_Ok;
	Lookup lookup;
	Row row;

	*is_found = begin_lookup(&lookup, relation, primary_key, &key->first,
	                         &key->second, &row);
	if (*is_found)
		result = delete_at(relation, &row.tuple->t_self, lookup.snapshot);
	end_lookup(&lookup);
	return result;
}

static bool
delete_row(Relation relation, const char *primary_key, const AsRowKey *key)
{
	TM_Result result;
	bool is_found;

	if (ItemPointerIsValid(&key->place) && delete_seen(relation, key) == TM_Ok)
		return true;
	do
	{
		CHECK_FOR_INTERRUPTS();
		result = delete_newest(relation, primary_key, key, &is_found);
	} while (result == TM_Updated);
	return is_found && revised(result) == AS_REVISED;
}

static int
delete_rows(const char *table, const char *primary_key, const AsRowKey *keys,
            int count, const char *child)
{
	Relation relation = table_open(as_store_relation(table), RowExclusiveLock);
	int deleted = AS_NOT_DELETED;

	if (is_plain(relation) &&
	    !has_trigger(relation, true,
	                 child == NULL ? InvalidOid : as_store_relation(child)))
	{
		CheckCmdReplicaIdentity(relation, CMD_DELETE);
		CommandCounterIncrement();
		deleted = 0;
		for (int i = 0; i < count; i++)
			deleted += delete_row(relation, primary_key, &keys[i]);
		CommandCounterIncrement();
	}
	table_close(relation, NoLock);
	return deleted;
}

int
as_row_delete(const char *table, const char *primary_key, const AsRowKey *keys,
              int count, const char *child)
{
	AsFrame frame;
	int deleted = AS_NOT_DELETED;

	if (IsolationUsesXactSnapshot() || IsInParallelMode())
		return AS_NOT_DELETED;
	as_frame_enter_direct(&frame);
	PG_TRY();
	{
		deleted = delete_rows(table, primary_key, keys, count, child);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return deleted;
}

/* ---- insert ---- */

/* Forms a row of these values alone; false where only a statement may. */
static bool
form_new(Row *row, TupleDesc descriptor, const AsNewValue *values, int count)
{
	int column = descriptor->natts - 1;

	memset(row->nulls, true, sizeof(row->nulls));
	memset(row->values, 0, sizeof(row->values));
	for (int i = 0; i < count; i++)
	{
		column = find_column(descriptor, values[i].column, column);
		if (TupleDescAttr(descriptor, column)->atttypid != values[i].value.type)
			return false;
		row->values[column] = values[i].value.value;
		row->nulls[column] = values[i].value.is_null;
	}
	/* What a statement would refuse, or find another value for. */
	for (int i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		if (row->nulls[i] && !attribute->attisdropped &&
		    (attribute->attnotnull || attribute->atthasdef))
			return false;
	}
	row->tuple = heap_form_tuple(descriptor, row->values, row->nulls);
	return true;
}

static bool
insert(const char *table, const AsNewValue *values, int count)
{
	Relation relation = table_open(as_store_relation(table), RowExclusiveLock);
	TupleTableSlot *slot;
	Row row;
	bool is_first = !ActiveSnapshotSet();
	/* A table whose rows are elsewhere is empty here. */
	bool inserted = is_plain_to_insert(relation) &&
	                RelationGetNumberOfBlocks(relation) > 0 &&
	                form_new(&row, RelationGetDescr(relation), values, count);

	if (inserted)
	{
		/* An index on an expression may ask for one; the recorder has none. */
		if (is_first)
			PushActiveSnapshot(GetTransactionSnapshot());
		slot = MakeSingleTupleTableSlot(RelationGetDescr(relation),
		                                &TTSOpsHeapTuple);
		row.tuple->t_tableOid = RelationGetRelid(relation);
		ExecStoreHeapTuple(row.tuple, slot, true);
		table_tuple_insert(relation, slot, GetCurrentCommandId(true), 0, NULL);
		insert_index_entries(relation, slot, AS_ALL_INDEXES);
		ExecDropSingleTupleTableSlot(slot);
		if (is_first)
			PopActiveSnapshot();
		CommandCounterIncrement();
	}
	table_close(relation, NoLock);
	return inserted;
}

bool
as_row_insert(const char *table, const AsNewValue *values, int count)
{
	AsFrame frame;
	bool inserted = false;

	if (XactReadOnly || IsInParallelMode())
		return false;
	as_frame_enter(&frame, true);
	PG_TRY();
	{
		inserted = insert(table, values, count);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return inserted;
}
