/*
 * worker.c: the recorder's background worker, a door whose callers are the
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
 * Records that are due are committed together, up to BATCH of them. When that
 * fails, each is tried in a transaction of its own, so that none takes others
 * down. What failed for want of a lock, or of room on the disk, stays queued
 * and is tried again, for ever: that is only ever a matter of time. Any other
 * error is logged and tried a few times, then the record is dropped, with a
 * line in the log that says what was lost.
 *
 * Locks are waited for briefly. A caller may hold the very row while it waits
 * for its record, which no deadlock detector sees.
 *
 * Interrupts are held off from the commit until the records are settled, so
 * that no commit is followed by a second try.
 */
#include "nouns.h"

#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#define BATCH       64
#define MAX_WORKERS 4 /* that serve a database at once */

#define IDLE_MS          1000 /* then the worker leaves its database */
#define WAKE_INTERVAL_MS 25   /* between two NOTIFYs in a database */

/* How long a record waits for a lock, and how long one that had to before. */
#define LOCK_WAIT   "100ms"
#define RELOCK_WAIT "10ms"

/* Until the next try after a failure that passes by itself. */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000

/* Tries of a record that fails for another reason, and the time between. */
#define MAX_TRIES     5
#define REDO_AFTER_MS 1000

#define CHANNEL "auth_session_outbox"

PGDLLEXPORT void auth_session_worker_main(Datum arg);

static bool is_dispatcher = false;
static MemoryContext worker_context = NULL;

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

/* ---- serving one database ---- */

/* How long a record waits for a lock, in the store or elsewhere. */
static void
worker_set_lock_wait(const char *wait)
{
	SetConfigOption("lock_timeout", wait, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("auth_session.lock_wait", wait, PGC_SUSET, PGC_S_OVERRIDE);
}

static void
worker_connect(Oid database)
{
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid,
	                                          BGWORKER_BYPASS_ALLOWCONN);

	/* Settings of the database must not get in the way of the records. */
	SetConfigOption("default_transaction_isolation", "read committed",
	                PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_deferrable", "off", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("session_replication_role", "origin", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	as_dispatch_serve_connected();
}

/* Begins a transaction; it ends with worker_commit or worker_rescue. */
static void
worker_begin(const char *activity)
{
	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
}

static void
worker_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* In PG_CATCH: the error, in the worker's memory; the transaction is over. */
static ErrorData *
worker_rescue(void)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(worker_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	RESUME_INTERRUPTS();
	pgstat_report_activity(STATE_IDLE, NULL);
	return error;
}

/* Whether the failure passes by itself, and the record can wait for that. */
static bool
worker_can_wait(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK: /* deadlocks, too */
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return true;
		default:
			return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
			       error->sqlerrcode == as_failure_sqlstate(AS_BUSY);
	}
}

static const char *
worker_record_name(AsRecordKind kind)
{
	switch (kind)
	{
		case AS_RECORD_EVENT:
			return "an audit row";
		case AS_RECORD_REUSE:
			return "the end of a session whose refresh token was reused";
		case AS_RECORD_CODE_ATTEMPT:
			return "a wrong try on a one-time code";
	}
	pg_unreachable();
}

static void
worker_apply(const AsRecord *record)
{
	switch (record->kind)
	{
		case AS_RECORD_EVENT:
			as_audit_write(&record->event);
			break;
		case AS_RECORD_REUSE:
			(void) as_reuse_punish(&record->event);
			break;
		case AS_RECORD_CODE_ATTEMPT:
			as_code_count_attempt(&record->event.user_id, &record->code_id);
			as_audit_write(&record->event);
			break;
	}
}

/*
 * Commits records in one transaction, and settles them. NULL, or the error
 * that undid it; *gone when the extension is no longer in the database.
 */
static ErrorData *
worker_try(const AsTaken *taken, int count, bool *gone)
{
	ErrorData *volatile error = NULL;
	int i;

	*gone = false;
	PG_TRY();
	{
		worker_begin("auth_session: recording");
		if (OidIsValid(as_store_relation("audit_log")))
		{
			Oid user;
			int context;

			GetUserIdAndSecContext(&user, &context);
			SetUserIdAndSecContext(as_store_owner(),
			                       context | SECURITY_LOCAL_USERID_CHANGE);
			for (i = 0; i < count; i++)
				worker_apply(&taken[i].record);
			SetUserIdAndSecContext(user, context);
			as_store_make_durable();
		}
		else
			*gone = true;

		HOLD_INTERRUPTS();
		worker_commit();
		as_recorder_settle(taken, count);
		RESUME_INTERRUPTS();
	}
	PG_CATCH();
	{
		error = worker_rescue();
	}
	PG_END_TRY();
	return error;
}

static void
worker_failed(AsTaken *taken, const ErrorData *error)
{
	const char *name = worker_record_name(taken->record.kind);

	if (worker_can_wait(error))
	{
		int delay_ms = RETRY_MIN_MS << Min(taken->waits, 5);

		taken->waits++;
		as_recorder_put_back(taken, Min(delay_ms, RETRY_MAX_MS));
		return;
	}

	taken->tries++;
	if (taken->tries == 1)
		ereport(LOG,
		        (errcode(error->sqlerrcode),
		         errmsg("auth_session could not record %s, and tries again: %s",
		                name, error->message)));
	if (taken->tries < MAX_TRIES)
	{
		as_recorder_put_back(taken, REDO_AFTER_MS);
		return;
	}
	ereport(LOG, (errcode(error->sqlerrcode),
	              errmsg("auth_session could not record %s, and drops it: %s",
	                     name, error->message)));
	as_recorder_settle(taken, 1);
}

/*
 * Tries each record alone. Those that failed before are to wait for a lock
 * no longer than it takes to see that it is still held.
 */
static int
worker_record_singly(AsTaken *taken, int count)
{
	int discarded = 0;
	int i;

	for (i = 0; i < count; i++)
	{
		bool gone;
		ErrorData *error;

		worker_set_lock_wait(taken[i].waits > 0 ? RELOCK_WAIT : LOCK_WAIT);
		error = worker_try(&taken[i], 1, &gone);
		if (error != NULL)
			worker_failed(&taken[i], error);
		else if (gone)
			discarded++;
		worker_check_signals();
	}
	return discarded;
}

static int
worker_order(const void *a, const void *b)
{
	const AsTaken *left = a;
	const AsTaken *right = b;

	return (left->waits + left->tries > 0) - (right->waits + right->tries > 0);
}

static void
worker_record(AsTaken *taken, int count)
{
	int fresh = 0;
	int discarded = 0;
	bool gone;

	qsort(taken, (size_t) count, sizeof(AsTaken), worker_order);
	while (fresh < count && taken[fresh].waits + taken[fresh].tries == 0)
		fresh++;

	worker_set_lock_wait(LOCK_WAIT);
	if (fresh > 0 && worker_try(taken, fresh, &gone) == NULL)
		discarded = gone ? fresh : 0;
	else
		discarded = worker_record_singly(taken, fresh);
	discarded += worker_record_singly(&taken[fresh], count - fresh);
	if (discarded > 0)
		ereport(LOG, (errmsg("auth_session discarded %d records of database "
		                     "%u, which no longer has the extension",
		                     discarded, MyDatabaseId)));
}

/*
 * NOTIFY takes a lock of the whole cluster until its commit is flushed; an
 * empty wake-up is worth no flush.
 */
static void
worker_wake_bridge(void)
{
	PG_TRY();
	{
		worker_begin("auth_session: waking the bridge");
		(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
		                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0,
		                         false);
		Async_Notify(CHANNEL, NULL);
		worker_commit();
	}
	PG_CATCH();
	{
		ErrorData *error = worker_rescue();

		as_dispatch_put_back_wake();
		ereport(LOG, (errcode(error->sqlerrcode),
		              errmsg("auth_session could not wake the bridge: %s",
		                     error->message)));
	}
	PG_END_TRY();
}

static bool worker_must_yield(void);

/* Serves a database until there is nothing more to do. */
static void
worker_serve(Oid database)
{
	AsTaken *taken;
	int64 idle_since = as_clock_ms();
	int64 last_wake = idle_since - WAKE_INTERVAL_MS;

	if (!as_dispatch_serve_begin(database))
		return;
	worker_connect(database);
	worker_context = AllocSetContextCreate(TopMemoryContext, AS_WORKER_NAME,
	                                       ALLOCSET_DEFAULT_SIZES);
	taken = MemoryContextAlloc(TopMemoryContext, BATCH * sizeof(AsTaken));

	for (;;)
	{
		long wait_ms;
		int64 now;
		int count;

		ResetLatch(MyLatch);
		worker_check_signals();
		MemoryContextReset(worker_context);
		MemoryContextSwitchTo(worker_context);

		count = as_recorder_take(taken, BATCH, &wait_ms);
		if (count > 0)
			worker_record(taken, count);

		now = as_clock_ms();
		if (now - last_wake < WAKE_INTERVAL_MS)
			wait_ms =
			    wait_ms < 0 ? WAKE_INTERVAL_MS : Min(wait_ms, WAKE_INTERVAL_MS);
		else if (as_dispatch_take_wake())
		{
			worker_wake_bridge();
			last_wake = now;
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

/* ---- the dispatcher ---- */

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
		Oid hopeless;
		Oid database = as_dispatch_next(MAX_WORKERS, wait_ms, &hopeless);

		if (OidIsValid(hopeless))
			ereport(LOG,
			        (errmsg("auth_session discarded %d records of database "
			                "%u, which could not be connected to",
			                as_recorder_discard(hopeless), hopeless)));
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
		return as_dispatch_others_wait();

	database = worker_dispatch(&wait_ms);
	if (!OidIsValid(database))
		return false;
	as_dispatch_cancel(database);
	return true;
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
		if (OidIsValid(database))
		{
			worker_serve(database);
			proc_exit(1);
		}
		worker_sleep(wait_ms);
	}
}
