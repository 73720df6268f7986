/*
 * store.c: kept plans, and the only caller of SPI.
 *
 * Every statement of the extension is a constant with parameters. It runs as
 * auth_session_owner under a pinned search_path, whoever calls and whatever
 * the caller set, so that one plan serves a backend for its whole life and
 * no object of the caller's can get between.
 *
 * Every statement sees the newest committed state at every isolation level:
 * a session that was revoked after a REPEATABLE READ caller took its snapshot
 * is revoked, and one that was opened since can be ended. The conditions under
 * which all of it runs, how long it waits for a lock and what becomes of its
 * errors, is frame.c's.
 */
#include "base/base.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

/*
 * One plan for all values; but which node has the rows is known by the values
 * only.
 */
static void
prepare(AsStatement *statement, int count, Oid *types)
{
	SPIPlanPtr plan;

	statement->is_distributed = as_is_distributed();
	plan =
	    SPI_prepare_cursor(statement->sql, count, types,
	                       statement->is_distributed ? CURSOR_OPT_CUSTOM_PLAN
	                                                 : CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", statement->sql,
		     SPI_result_code_string(SPI_result));
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", statement->sql);
	statement->plan = plan;
}

/* A parallel operation can't take another than the query's. */
static Snapshot
newest_snapshot(void)
{
	return IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot();
}

/* What becomes of the rows of a result. */
typedef struct Sink
{
	AsTupleVisit visit; /* NULL: they are only counted */
	void *into;
} Sink;

static uint64
execute(AsStatement *statement, AsArgs args, const Sink *sink)
{
	MemoryContext callers = CurrentMemoryContext;
	MemoryContext spi;
	Oid types[AS_STORE_MAX_ARGS];
	Datum values[AS_STORE_MAX_ARGS];
	char nulls[AS_STORE_MAX_ARGS];
	uint64 found;
	int result;

	Assert(args.count <= AS_STORE_MAX_ARGS);
	for (int i = 0; i < args.count; i++)
	{
		types[i] = args.values[i].type;
		values[i] = args.values[i].value;
		nulls[i] = args.values[i].is_null ? 'n' : ' ';
	}
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (statement->plan != NULL &&
	    statement->is_distributed != as_is_distributed())
	{
		SPI_freeplan(statement->plan);
		statement->plan = NULL;
	}
	if (statement->plan == NULL)
		prepare(statement, args.count, types);

	result = SPI_execute_snapshot(
	    statement->plan, values, nulls, newest_snapshot(), InvalidSnapshot,
	    statement->access == AS_READ, statement->access == AS_WRITE, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql,
		     SPI_result_code_string(result));

	found = SPI_processed;
	if (sink->visit != NULL && SPI_tuptable != NULL)
	{
		spi = MemoryContextSwitchTo(callers);
		for (uint64 i = 0; i < found; i++)
			sink->visit(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
			            sink->into);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return found;
}

static uint64
run(AsStatement *statement, AsArgs args, const Sink *sink)
{
	AsFrame frame;
	uint64 found = 0;

	as_frame_enter(&frame, !statement->is_qualified);
	PG_TRY();
	{
		found = execute(statement, args, sink);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return found;
}

/* ---- rows ---- */

#ifdef USE_ASSERT_CHECKING
static Oid
column_type(AsColumnType type)
{
	static const Oid types[] = {
	    [AS_COLUMN_UUID] = UUIDOID,        [AS_COLUMN_TEXT] = TEXTOID,
	    [AS_COLUMN_CHARS] = TEXTOID,       [AS_COLUMN_TEXTS] = TEXTARRAYOID,
	    [AS_COLUMN_NAME] = TEXTOID,        [AS_COLUMN_INT] = INT4OID,
	    [AS_COLUMN_INT8] = INT8OID,        [AS_COLUMN_BOOL] = BOOLOID,
	    [AS_COLUMN_TIME] = TIMESTAMPTZOID, [AS_COLUMN_JSONB] = JSONBOID,
	    [AS_COLUMN_BYTES] = BYTEAOID,      [AS_COLUMN_FIXED] = BYTEAOID,
	    [AS_COLUMN_PLACE] = TIDOID,
	};

	return types[type];
}

static bool
shape_fits(const AsShape *shape, TupleDesc descriptor)
{
	if (descriptor->natts != shape->count)
		return false;
	for (int i = 0; i < shape->count; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		if (strcmp(NameStr(attribute->attname), shape->columns[i].name) != 0 ||
		    attribute->atttypid != column_type(shape->columns[i].type))
			return false;
	}
	return true;
}
#endif

static void
read_row(const AsShape *shape, HeapTuple tuple, TupleDesc descriptor,
         char *into)
{
	Assert(shape_fits(shape, descriptor));
	memset(into, 0, shape->size);
	for (int i = 0; i < shape->count; i++)
	{
		const AsColumn *column = &shape->columns[i];
		bool is_null;
		Datum value = heap_getattr(tuple, i + 1, descriptor, &is_null);

		as_column_read(column, value, is_null, into + column->offset);
	}
}

/* ---- what the floors above run ---- */

uint64
as_store_run(AsStatement *statement, AsArgs args)
{
	const Sink sink = {0};

	return run(statement, args, &sink);
}

typedef struct Trial
{
	AsStatement *statement;
	AsArgs args;
	uint64 changed;
} Trial;

static void
run_trial(void *argument)
{
	Trial *trial = argument;

	trial->changed = as_store_run(trial->statement, trial->args);
}

bool
as_store_try(AsStatement *statement, AsArgs args, uint64 *changed)
{
	Trial trial = {.statement = statement, .args = args};
	ErrorData *error = as_subtransaction_run(run_trial, &trial);

	if (error == NULL)
	{
		*changed = trial.changed;
		return true;
	}
	if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
		ReThrowError(error);
	FreeErrorData(error);
	return false;
}

uint64
as_store_each(AsStatement *statement, AsTupleVisit visit, void *into,
              AsArgs args)
{
	const Sink sink = {visit, into};

	return run(statement, args, &sink);
}

typedef struct OneRow
{
	const AsShape *shape;
	bool is_found;
	char *into;
} OneRow;

static void
visit_one(HeapTuple tuple, TupleDesc descriptor, void *into)
{
	OneRow *one = into;

	if (one->is_found)
		return;
	one->is_found = true;
	read_row(one->shape, tuple, descriptor, one->into);
}

bool
as_store_find(AsStatement *statement, const AsShape *shape, void *into,
              AsArgs args)
{
	OneRow one = {.shape = shape, .into = into};

	(void) as_store_each(statement, visit_one, &one, args);
	return one.is_found;
}

typedef struct AllRows
{
	const AsShape *shape;
	int count;
	int room;
	char *rows;
} AllRows;

static void
visit_next(HeapTuple tuple, TupleDesc descriptor, void *into)
{
	AllRows *all = into;

	if (all->count == all->room)
	{
		all->room = Max(all->room * 2, 8);
		all->rows =
		    all->rows == NULL
		        ? palloc_extended(all->room * all->shape->size, MCXT_ALLOC_HUGE)
		        : repalloc_huge(all->rows, all->room * all->shape->size);
	}
	read_row(all->shape, tuple, descriptor,
	         all->rows + all->count++ * all->shape->size);
}

Jsonb *
as_store_jsonb(AsStatement *statement, AsArgs args)
{
	static const AsColumn columns[] = {AS_COLUMN_ONLY("kept", JSONB)};
	static const AsShape shape = AS_SHAPE(Jsonb *, columns);
	Jsonb *value = NULL;

	(void) as_store_find(statement, &shape, &value, args);
	return value;
}

int
as_store_list(AsStatement *statement, const AsShape *shape, void *rows,
              AsArgs args)
{
	AllRows all = {.shape = shape};

	(void) as_store_each(statement, visit_next, &all, args);
	*(char **) rows = all.rows;
	return all.count;
}

/* What table_tuple_lock says of the newest version of a row. */
static AsLocked
lock_tuple(Relation relation, HeapTuple tuple, Snapshot snapshot,
           LockTupleMode mode, ItemPointer place)
{
	TupleTableSlot *slot = table_slot_create(relation, NULL);
	TM_FailureData failure;
	TM_Result result;

	result = table_tuple_lock(relation, &tuple->t_self, snapshot, slot,
	                          GetCurrentCommandId(true), mode, LockWaitSkip,
	                          TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	if (result == TM_Ok && place != NULL)
		*place = slot->tts_tid;
	ExecDropSingleTupleTableSlot(slot);
	switch (result)
	{
		case TM_Ok:
			return AS_LOCKED;
		case TM_Deleted:
		case TM_SelfModified:
			return AS_ABSENT;
		default:
			return AS_HELD;
	}
}

static AsLocked
try_lock(const char *table, const char *primary_key, const AsUuid *first,
         const AsUuid *second, bool for_update, ItemPointer place)
{
	Relation relation;
	Snapshot snapshot;
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	AsLocked locked = AS_ABSENT;

	/* What this transaction wrote just now is to be seen. */
	CommandCounterIncrement();
	relation = table_open(as_store_relation(table), RowShareLock);
	if (!as_is_local(RelationGetRelid(relation)))
	{
		/* It has become another meanwhile. */
		table_close(relation, NoLock);
		return AS_HELD;
	}
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_UUID_EQ,
	            PointerGetDatum(first));
	if (second != NULL)
		ScanKeyInit(&key[1], 2, BTEqualStrategyNumber, F_UUID_EQ,
		            PointerGetDatum(second));
	scan = systable_beginscan(relation, as_store_relation(primary_key), true,
	                          snapshot, second == NULL ? 1 : 2, key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		locked = lock_tuple(relation, tuple, snapshot,
		                    for_update ? LockTupleExclusive : LockTupleKeyShare,
		                    place);
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, NoLock);
	return locked;
}

AsLocked
as_store_try_lock(const char *table, const char *primary_key,
                  const AsUuid *first, const AsUuid *second, bool for_update,
                  ItemPointer place)
{
	AsFrame frame;
	AsLocked locked = AS_ABSENT;

	as_frame_enter_direct(&frame);
	PG_TRY();
	{
		locked = try_lock(table, primary_key, first, second, for_update, place);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
	return locked;
}

AsLocked
as_store_lock_by(AsStatement *lock, AsStatement *look, AsArgs key)
{
	if (as_store_run(lock, key) > 0)
		return AS_LOCKED;
	return as_store_run(look, key) > 0 ? AS_HELD : AS_ABSENT;
}

void
as_store_lock_value(const char *table, uint32 key)
{
	Oid relation = as_store_relation(table);
	AsFrame frame;

	as_frame_enter_direct(&frame);
	PG_TRY();
	{
		LockDatabaseObject(relation, key, 0, ExclusiveLock);
	}
	PG_CATCH();
	{
		as_frame_fail(&frame);
	}
	PG_END_TRY();
	as_frame_leave(&frame);
}

void
as_store_make_durable(void)
{
	ForceSyncCommit();
}

/* ---- parameters ---- */

AsArg
as_arg_datum(Oid type, Datum value)
{
	return (AsArg){type, value, false};
}

AsArg
as_arg_uuid(const AsUuid *uuid)
{
	return (AsArg){UUIDOID, PointerGetDatum(uuid), uuid == NULL};
}

AsArg
as_arg_uuids(const AsUuid *uuids, int count)
{
	Datum *items = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		items[i] = PointerGetDatum(&uuids[i]);
	return as_arg_datum(UUIDARRAYOID, PointerGetDatum(construct_array(
	                                      items, count, UUIDOID, UUID_LEN,
	                                      false, TYPALIGN_CHAR)));
}

AsArg
as_arg_text(const char *text)
{
	return (AsArg){TEXTOID,
	               text == NULL ? (Datum) 0 : CStringGetTextDatum(text),
	               text == NULL};
}

AsArg
as_arg_inet(const char *address)
{
	return (AsArg){INETOID,
	               address == NULL
	                   ? (Datum) 0
	                   : DirectFunctionCall1(inet_in, CStringGetDatum(address)),
	               address == NULL};
}

AsArg
as_arg_texts(const AsTexts *texts)
{
	Datum *items = palloc(sizeof(Datum) * Max(texts->count, 1));

	for (int i = 0; i < texts->count; i++)
		items[i] = CStringGetTextDatum(texts->items[i]);
	return as_arg_datum(TEXTARRAYOID, PointerGetDatum(construct_array(
	                                      items, texts->count, TEXTOID, -1,
	                                      false, TYPALIGN_INT)));
}

AsArg
as_arg_bytes(const void *bytes, size_t length)
{
	bytea *value;

	if (bytes == NULL)
		return (AsArg){BYTEAOID, (Datum) 0, true};
	value = palloc(VARHDRSZ + length);
	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	return as_arg_datum(BYTEAOID, PointerGetDatum(value));
}

AsArg
as_arg_int(int32 value)
{
	return as_arg_datum(INT4OID, Int32GetDatum(value));
}

AsArg
as_arg_int8(int64 value)
{
	return as_arg_datum(INT8OID, Int64GetDatum(value));
}

AsArg
as_arg_bool(bool value)
{
	return as_arg_datum(BOOLOID, BoolGetDatum(value));
}

AsArg
as_arg_jsonb(const Jsonb *value)
{
	return (AsArg){JSONBOID, PointerGetDatum(value), value == NULL};
}

AsArg
as_arg_time(TimestampTz value)
{
	return (AsArg){TIMESTAMPTZOID, TimestampTzGetDatum(value),
	               value == AS_NO_TIME};
}

AsArg
as_arg_date(TimestampTz utc_day_of)
{
	/* Both count from 2000-01-01 UTC, and no caller is older than that. */
	Assert(utc_day_of == AS_NO_TIME || utc_day_of >= 0);
	return (AsArg){DATEOID, DateADTGetDatum(utc_day_of / USECS_PER_DAY),
	               utc_day_of == AS_NO_TIME};
}
