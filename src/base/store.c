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
 * is revoked, and one that was opened since can be ended. Writes wait for no
 * lock longer than auth_session.lock_wait: a caller that holds a row can
 * delay others by that much and not more. Neither that nor a deadlock leaves
 * here under its own SQLSTATE: PostgREST would repeat 40P01 without end.
 */
#include "base/base.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/stratnum.h"
#include "access/table.h"
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
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#define PINNED_SEARCH_PATH "pg_catalog, pg_temp"

/* What a statement changes of the backend's state, to be put back. */
typedef struct Frame
{
	Oid user;
	int security_context;
	int guc_level; /* 0: search_path was pinned already */
	int lock_timeout;
} Frame;

static void
frame_enter(Frame *frame, AsAccess access, bool pin_search_path)
{
	Oid owner = as_store_owner();

	GetUserIdAndSecContext(&frame->user, &frame->security_context);
	frame->guc_level = 0;
	frame->lock_timeout = LockTimeout;

	if (pin_search_path &&
	    strcmp(namespace_search_path, PINNED_SEARCH_PATH) != 0)
	{
		frame->guc_level = NewGUCNestLevel();
		(void) set_config_option("search_path", PINNED_SEARCH_PATH, PGC_USERSET,
		                         PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
		                         false);
	}
	if (frame->user != owner)
		SetUserIdAndSecContext(owner, frame->security_context |
		                                  SECURITY_LOCAL_USERID_CHANGE);

	/*
	 * Read only when a lock wait begins, so assigning it is enough, and far
	 * cheaper than a level of settings for every statement.
	 */
	if (access == AS_WRITE &&
	    (LockTimeout == 0 || LockTimeout > auth_session_lock_wait))
		LockTimeout = auth_session_lock_wait;
}

static void
frame_leave(const Frame *frame)
{
	LockTimeout = frame->lock_timeout;
	SetUserIdAndSecContext(frame->user, frame->security_context);
	if (frame->guc_level > 0)
		AtEOXact_GUC(true, frame->guc_level);
}

/*
 * In PG_CATCH: undoes the frame and throws on, a lock that was not had as
 * AS_BUSY. The settings level is left to the abort that follows.
 */
static void
frame_fail(const Frame *frame)
{
	int code = geterrcode();

	LockTimeout = frame->lock_timeout;
	SetUserIdAndSecContext(frame->user, frame->security_context);
	if (code == ERRCODE_LOCK_NOT_AVAILABLE ||
	    code == ERRCODE_T_R_DEADLOCK_DETECTED)
	{
		FlushErrorState();
		as_fail(AS_BUSY, NULL);
	}
	PG_RE_THROW();
}

static void
prepare(AsStatement *statement, const AsArgs *args)
{
	SPIPlanPtr plan;

	plan = SPI_prepare_cursor(statement->sql, args->count,
	                          unconstify(Oid *, &args->types[0]),
	                          CURSOR_OPT_GENERIC_PLAN);
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

static uint64
execute(AsStatement *statement, AsAccess access, const AsArgs *args,
        AsRowReader reader, void *into)
{
	static const AsArgs no_args = {0};
	MemoryContext callers = CurrentMemoryContext;
	MemoryContext spi;
	uint64 found;
	int result;

	if (args == NULL)
		args = &no_args;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "could not connect to SPI");
	if (statement->plan == NULL)
		prepare(statement, args);

	result = SPI_execute_snapshot(
	    statement->plan, unconstify(Datum *, &args->values[0]), args->nulls,
	    newest_snapshot(), InvalidSnapshot, access == AS_READ,
	    access == AS_WRITE, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s", statement->sql,
		     SPI_result_code_string(result));

	found = SPI_processed;
	if (reader != NULL && SPI_tuptable != NULL)
	{
		AsRow row = {.descriptor = SPI_tuptable->tupdesc};

		spi = MemoryContextSwitchTo(callers);
		for (uint64 i = 0; i < found; i++)
		{
			row.tuple = SPI_tuptable->vals[i];
			reader(&row, into);
		}
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	return found;
}

uint64
as_store_run(AsStatement *statement, AsAccess access, const AsArgs *args,
             AsRowReader reader, void *into)
{
	Frame frame;
	uint64 found = 0;

	frame_enter(&frame, access, !statement->is_qualified);
	PG_TRY();
	{
		found = execute(statement, access, args, reader, into);
	}
	PG_CATCH();
	{
		frame_fail(&frame);
	}
	PG_END_TRY();
	frame_leave(&frame);
	return found;
}

bool
as_store_probe(const char *table, const char *primary_key, const AsUuid *first,
               const AsUuid *second, AsUuid *third)
{
	Relation relation = table_open(as_store_relation(table), AccessShareLock);
	Snapshot snapshot = RegisterSnapshot(newest_snapshot());
	ScanKeyData key[2];
	SysScanDesc scan;
	HeapTuple tuple;
	bool is_null;
	bool found;

	ScanKeyInit(&key[0], 1, BTEqualStrategyNumber, F_UUID_EQ,
	            PointerGetDatum(first));
	ScanKeyInit(&key[1], 2, BTEqualStrategyNumber, F_UUID_EQ,
	            PointerGetDatum(second));
	scan = systable_beginscan(relation, as_store_relation(primary_key), true,
	                          snapshot, 2, key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
		memcpy(third->bytes,
		       DatumGetUUIDP(
		           heap_getattr(tuple, 3, RelationGetDescr(relation), &is_null))
		           ->data,
		       sizeof(third->bytes));
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(relation, AccessShareLock);
	return found;
}

void
as_store_lock_value(const char *table, uint32 key)
{
	Oid relation = as_store_relation(table);
	Frame frame;

	frame_enter(&frame, AS_WRITE, true);
	PG_TRY();
	{
		LockDatabaseObject(relation, key, 0, ExclusiveLock);
	}
	PG_CATCH();
	{
		frame_fail(&frame);
	}
	PG_END_TRY();
	frame_leave(&frame);
}

void
as_store_make_durable(void)
{
	ForceSyncCommit();
}

Oid
as_store_relation(const char *table)
{
	return get_relname_relid(table, get_namespace_oid(AS_PRIVATE_SCHEMA, true));
}

Oid
as_store_owner(void)
{
	return get_role_oid(AS_OWNER_ROLE, false);
}

/* ---- parameters ---- */

void
as_arg_datum(AsArgs *args, Oid type, Datum value, bool is_null)
{
	Assert(args->count < AS_STORE_MAX_ARGS);
	args->types[args->count] = type;
	args->values[args->count] = value;
	args->nulls[args->count] = is_null ? 'n' : ' ';
	args->count++;
}

void
as_arg_uuid(AsArgs *args, const AsUuid *uuid)
{
	as_arg_datum(args, UUIDOID, PointerGetDatum(uuid), uuid == NULL);
}

void
as_arg_text(AsArgs *args, const char *text)
{
	as_arg_datum(args, TEXTOID,
	             text == NULL ? (Datum) 0 : CStringGetTextDatum(text),
	             text == NULL);
}

void
as_arg_bytes(AsArgs *args, const void *bytes, size_t length)
{
	bytea *value = palloc(VARHDRSZ + length);

	SET_VARSIZE(value, VARHDRSZ + length);
	memcpy(VARDATA(value), bytes, length);
	as_arg_datum(args, BYTEAOID, PointerGetDatum(value), false);
}

void
as_arg_int(AsArgs *args, int32 value)
{
	as_arg_datum(args, INT4OID, Int32GetDatum(value), false);
}

void
as_arg_int8(AsArgs *args, int64 value)
{
	as_arg_datum(args, INT8OID, Int64GetDatum(value), false);
}

void
as_arg_bool(AsArgs *args, bool value)
{
	as_arg_datum(args, BOOLOID, BoolGetDatum(value), false);
}

void
as_arg_jsonb(AsArgs *args, const Jsonb *value)
{
	as_arg_datum(args, JSONBOID, PointerGetDatum(value), value == NULL);
}

void
as_arg_time(AsArgs *args, TimestampTz value)
{
	as_arg_datum(args, TIMESTAMPTZOID, TimestampTzGetDatum(value),
	             value == AS_NO_TIME);
}

void
as_arg_date(AsArgs *args, TimestampTz utc_day_of)
{
	/* Both count from 2000-01-01 UTC, and no caller is older than that. */
	as_arg_datum(args, DATEOID, DateADTGetDatum(utc_day_of / USECS_PER_DAY),
	             utc_day_of == AS_NO_TIME);
}

/* ---- columns ---- */

Datum
as_row_datum(const AsRow *row, int column, bool *is_null)
{
	return SPI_getbinval(row->tuple, row->descriptor, column, is_null);
}

bool
as_row_is_null(const AsRow *row, int column)
{
	bool is_null;

	(void) as_row_datum(row, column, &is_null);
	return is_null;
}

bool
as_row_uuid(const AsRow *row, int column, AsUuid *out)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	if (is_null)
		memset(out, 0, sizeof(*out));
	else
		memcpy(out->bytes, DatumGetUUIDP(value)->data, sizeof(out->bytes));
	return !is_null;
}

char *
as_row_text(const AsRow *row, int column)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	return is_null ? NULL : TextDatumGetCString(value);
}

Jsonb *
as_row_jsonb(const AsRow *row, int column)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	return is_null ? NULL : DatumGetJsonbPCopy(value);
}

uint8 *
as_row_bytea(const AsRow *row, int column, size_t *length)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);
	bytea *bytes;

	*length = 0;
	if (is_null)
		return NULL;
	bytes = DatumGetByteaPCopy(value);
	*length = VARSIZE_ANY_EXHDR(bytes);
	return (uint8 *) VARDATA_ANY(bytes);
}

bool
as_row_bytes(const AsRow *row, int column, void *out, size_t length)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);
	bytea *bytes;

	memset(out, 0, length);
	if (is_null)
		return false;
	bytes = DatumGetByteaPP(value);
	if (VARSIZE_ANY_EXHDR(bytes) != length)
		return false;
	memcpy(out, VARDATA_ANY(bytes), length);
	return true;
}

int32
as_row_int(const AsRow *row, int column)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	return is_null ? 0 : DatumGetInt32(value);
}

int64
as_row_int8(const AsRow *row, int column)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	return is_null ? 0 : DatumGetInt64(value);
}

bool
as_row_bool(const AsRow *row, int column)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	return is_null ? false : DatumGetBool(value);
}

TimestampTz
as_row_time(const AsRow *row, int column)
{
	bool is_null;
	Datum value = as_row_datum(row, column, &is_null);

	return is_null ? AS_NO_TIME : DatumGetTimestampTz(value);
}
