/*
 * worker.c: the recorder's background worker: what it is called with are the
 * records in the queue.
 *
 * The static worker is the dispatcher. It has no database; when one has work
 * it starts a dynamic worker for it, which works off the records, wakes the
 * bridge, and exits when it has been idle for a second: a session that stays
 * would hold up DROP DATABASE. Where no slot is free for a dynamic worker,
 * the dispatcher serves the database itself and then exits, since a process
 * can't change its database; the postmaster starts it again at once. So one
 * slot, which nobody can take away, is enough for any number of databases.
 *
 * Where a database can't be connected to, the dispatcher connects to none, as
 * it can to look into pg_database: the records of one that is gone are
 * discarded, those of any other are kept.
 *
 * What it does in its transactions is in worker_task.c.
 */
#include "entry/entry.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#define BATCH       64 /* records that are taken at once */
#define MAX_WORKERS 4  /* that serve a database at once */

#define IDLE_MS          1000 /* then the worker leaves its database */
#define WAKE_INTERVAL_MS 25   /* between two NOTIFYs in a database */
#define WAKE_RETRY_MS    1000 /* after one that failed */
#define USES_INTERVAL_MS 1000 /* between two writes of uses of API keys */

/* Between two looks at revocations whose rows somebody holds. */
#define FOLD_MIN_MS 50
#define FOLD_MAX_MS 1000

PGDLLEXPORT void auth_session_worker_main(Datum arg);

/* The log says once in so many times that a database can't be connected to. */
#define FAILURES_PER_LINE 8

static bool is_dispatcher = false;

/* The dispatcher has looked into pg_database, and can serve none itself. */
static bool is_connected_to_none = false;

/*
 * What the postmaster told the worker. A terminated worker exits here, in
 * between, without a FATAL line in the log; within a transaction the
 * server's own interrupt does it.
 */
static void
worker_check_signals(void)
{
	if (ProcDiePending)
		proc_exit(is_dispatcher ? 1 : 0);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
	}
}

static void
worker_sleep(long wait_ms)
{
	int events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;

	if (wait_ms >= 0)
		events |= WL_TIMEOUT;
	(void) WaitLatch(MyLatch, events, wait_ms,
	                 AS_WAIT_EVENT("AuthSessionRecorderMain"));
}

/* ---- the dispatcher: which databases get a worker ---- */

/* Has the postmaster start a worker for a database; false without a slot. */
static bool
worker_launch(Oid database)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags =
	    BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker.bgw_library_name, "auth_session", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, AS_WORKER_MAIN, BGW_MAXLEN);
	snprintf(worker.bgw_name, BGW_MAXLEN, "%s for database %u", AS_WORKER_NAME,
	         database);
	strlcpy(worker.bgw_type, AS_WORKER_NAME, BGW_MAXLEN);
	worker.bgw_main_arg = ObjectIdGetDatum(database);
	return RegisterDynamicBackgroundWorker(&worker, NULL);
}

/* Whether a database is still in pg_database. */
static bool
database_exists(Oid database)
{
	Relation relation;
	ScanKeyData key;
	SysScanDesc scan;
	bool exists;

	if (!OidIsValid(MyDatabaseId) && !is_connected_to_none)
	{
		BackgroundWorkerInitializeConnectionByOid(InvalidOid, InvalidOid, 0);
		is_connected_to_none = true;
	}

	StartTransactionCommand();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_database_oid, BTEqualStrategyNumber, F_OIDEQ,
	            ObjectIdGetDatum(database));
	scan =
	    systable_beginscan(relation, DatabaseOidIndexId, true, NULL, 1, &key);
	exists = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return exists;
}

/* A database that could not be connected to so many times in a row. */
static void
worker_doubt(Oid database, int failures)
{
	int discarded;

	if (database_exists(database))
	{
		if (failures % FAILURES_PER_LINE == AS_DISPATCH_DOUBTFUL)
			ereport(LOG, (errmsg("auth_session cannot connect to database %u, "
			                     "and keeps its records",
			                     database)));
		return;
	}
	as_dispatch_forget(database);
	as_key_use_forget(database);
	discarded = as_recorder_discard(database);
	as_counters_discarded(discarded);
	ereport(LOG, (errmsg("auth_session discarded %d records of database %u, "
	                     "which was dropped",
	                     discarded, database)));
}

/*
 * Starts workers for the databases that wait, as many as are allowed at once.
 * Returns one for which the server had no slot, or InvalidOid, and in
 * *wait_ms when to look again at the latest.
 */
static Oid
worker_dispatch(long *wait_ms)
{
	for (;;)
	{
		Oid doubtful;
		int failures;
		Oid database =
		    as_dispatch_next(MAX_WORKERS, wait_ms, &doubtful, &failures);

		if (OidIsValid(doubtful))
			worker_doubt(doubtful, failures);
		if (!OidIsValid(database) || !worker_launch(database))
			return database;
	}
}

/*
 * Whether another database waits for a worker that can be had only when this
 * process leaves its own.
 */
static bool
worker_must_yield(void)
{
	long wait_ms;
	Oid database;

	if (!is_dispatcher)
		return as_dispatch_must_yield();

	database = worker_dispatch(&wait_ms);
	if (!OidIsValid(database))
		return false;
	as_dispatch_cancel(database);
	return true;
}

/* ---- serving one database ---- */

static long
worker_sooner(long wait_ms, int64 other_ms)
{
	return wait_ms < 0 || other_ms < wait_ms ? (long) other_ms : wait_ms;
}

/* Works revocations off; answers when to look at them again. */
static int64
worker_fold(int *pause)
{
	AsFolded folded = as_worker_fold();
	int64 now = as_clock_ms();

	if (folded != AS_FOLD_HELD)
		*pause = FOLD_MIN_MS;
	if (folded == AS_FOLDED)
		return now;
	as_dispatch_put_back_work(AS_WORK_FOLD);
	/* Records, and other databases, have their turn in between. */
	if (folded == AS_FOLD_MORE)
		return now + 1;
	/* Somebody holds a row: looks again, less and less often. */
	now += *pause;
	*pause = Min(*pause * 2, FOLD_MAX_MS);
	return now;
}

/* Serves a database until there is nothing more to do. */
static void
worker_serve(Oid database)
{
	AsTaken *taken;
	int64 idle_since = as_clock_ms();
	int64 next_wake = idle_since;
	int64 next_tell = idle_since;
	int64 next_uses = idle_since;
	int64 next_fold = idle_since;
	int fold_pause = FOLD_MIN_MS;

	if (!as_dispatch_serve_begin(database))
		return;
	as_worker_connect(database);
	as_dispatch_serve_connected();
	taken = MemoryContextAlloc(TopMemoryContext, BATCH * sizeof(AsTaken));

	for (;;)
	{
		long wait_ms;
		int64 now;
		int count;

		ResetLatch(MyLatch);
		worker_check_signals();

		count = as_recorder_take(taken, BATCH, &wait_ms);
		if (count > 0)
			as_worker_record(taken, count);

		now = as_clock_ms();
		if (now < next_wake)
			wait_ms = worker_sooner(wait_ms, next_wake - now);
		else if (as_dispatch_take_work(AS_WORK_BRIDGE))
		{
			next_wake = now + (as_worker_wake_bridge() ? WAKE_INTERVAL_MS
			                                           : WAKE_RETRY_MS);
			idle_since = now;
			continue;
		}
		if (now < next_tell)
			wait_ms = worker_sooner(wait_ms, next_tell - now);
		else if (as_dispatch_take_work(AS_WORK_KEYS))
		{
			next_tell = now + (as_worker_tell_postgrest() ? WAKE_INTERVAL_MS
			                                              : WAKE_RETRY_MS);
			idle_since = now;
			continue;
		}
		if (now < next_uses)
			wait_ms = worker_sooner(wait_ms, next_uses - now);
		else if (as_dispatch_take_work(AS_WORK_KEY_USES))
		{
			as_worker_note_key_uses();
			next_uses = now + USES_INTERVAL_MS;
			idle_since = now;
			continue;
		}
		if (now < next_fold)
			wait_ms = worker_sooner(wait_ms, next_fold - now);
		else if (as_dispatch_take_work(AS_WORK_FOLD))
		{
			next_fold = worker_fold(&fold_pause);
			idle_since = now;
			continue;
		}
		if (worker_must_yield())
		{
			(void) as_dispatch_serve_end(false);
			return;
		}
		if (count > 0)
		{
			idle_since = now;
			continue;
		}
		if (now - idle_since >= IDLE_MS && as_dispatch_serve_end(true))
			return;
		worker_sleep(wait_ms < 0 ? IDLE_MS : Min(wait_ms, IDLE_MS));
	}
}

void
auth_session_worker_main(Datum arg)
{
	Oid database = DatumGetObjectId(arg);

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	is_dispatcher = !OidIsValid(database);
	if (!is_dispatcher)
	{
		worker_serve(database);
		proc_exit(0);
	}

	as_dispatch_begin();
	for (;;)
	{
		long wait_ms;

		ResetLatch(MyLatch);
		worker_check_signals();
		database = worker_dispatch(&wait_ms);
		if (OidIsValid(database) && is_connected_to_none)
			as_dispatch_cancel(database);
		else if (OidIsValid(database))
			worker_serve(database);
		if (OidIsValid(database))
			proc_exit(1);
		worker_sleep(wait_ms);
	}
}
