/*
 * dispatch.c: which databases have work for a worker, and who serves them.
 *
 * Each database with work has an entry in a table in shared memory. At most
 * one worker serves it, so that no two quarrel about a record. The
 * dispatcher is the static worker: it finds the database that has waited
 * longest and sees to it that it gets a worker. A database that can't be
 * connected to is tried again with growing pauses, for ever: only one that is
 * gone from pg_database is given up, which the dispatcher looks up.
 *
 *     from        by                                   to
 *     (no entry)  as_dispatch_add, wake: it has work   UNSERVED
 *     UNSERVED    as_dispatch_next: a worker is asked  STARTING
 *     STARTING    as_dispatch_serve_begin              SERVED
 *     STARTING    as_dispatch_cancel: no slot          UNSERVED
 *     STARTING    START_TIMEOUT_MS: never showed up    UNSERVED, a failure
 *     SERVED      as_dispatch_serve_end, or its exit   UNSERVED, a failure
 *                                                      unless it connected
 *     UNSERVED    no work                              (no entry)
 *
 * Work that is done once for any number of wakes (the bridge's NOTIFY) is one
 * bit of the entry each, in a word of its own with the database's Oid. A
 * committing transaction that finds its bit set is done: whoever clears it does
 * the work afterwards, and so after that commit. Otherwise it sets the bit and
 * wakes the worker. Thus a busy server pays one read of
 * shared memory per commit.
 *
 * One LWLock guards the table, but for those words. It is never held together
 * with another.
 */
#include "shared/shared.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"

#define DATABASES 256

/* The pauses between them: doubled each time, so many times. */
#define FIRST_PAUSE_MS 500
#define DOUBLED_MOST   4

/* The dispatcher restarts at once: gone for so long, it won't come back. */
#define GONE_AFTER_MS 5000

/* A started worker that has not shown up for so long never will. */
#define START_TIMEOUT_MS 15000

#define WORK_MASK ((uint64) AS_WORK_ALL)

typedef enum Service
{
	UNSERVED,
	STARTING, /* a worker has been asked for */
	SERVED    /* a worker has it, and is connected, or about to be */
} Service;

/* Times are those of as_clock_ms. */
typedef struct Database
{
	pg_atomic_uint64 wake; /* Oid << 32 | AsWork bits */
	Oid oid;               /* InvalidOid: the entry is free */
	Service service;
	Latch *latch;   /* of the worker that serves it */
	int records;    /* queued or in a worker's hand; see as_dispatch_add */
	int failures;   /* to connect, one after the other */
	int asked;      /* at so many of them the last time */
	int64 since;    /* it waits for a worker since; 0: it doesn't */
	int64 started;  /* STARTING, or SERVED, since */
	int64 not_till; /* no worker before, after a failure */
} Database;

typedef struct Dispatch
{
	Latch *dispatcher;
	int64 left; /* there was no dispatcher from then until the next */
	Database databases[DATABASES];
} Dispatch;

static Dispatch *dispatch = NULL;
static LWLock *dispatch_lock = NULL;

/* The entry of this backend's database, as far as it knows. */
static Database *own_database = NULL;

/* In a worker: the entry it serves. */
static Database *served = NULL;
static bool served_connected = false;

static void
dispatch_attach(void *memory, bool is_new)
{
	int i;

	dispatch = memory;
	dispatch_lock = &GetNamedLWLockTranche("auth_session dispatch")->lock;
	if (!is_new)
		return;

	memset(dispatch, 0, sizeof(Dispatch));
	dispatch->left = as_clock_ms();
	for (i = 0; i < DATABASES; i++)
		pg_atomic_init_u64(&dispatch->databases[i].wake, 0);
}

void
as_dispatch_init(void)
{
	static const AsSharedArea area = {.name = "auth_session dispatch",
	                                  .size = sizeof(Dispatch),
	                                  .lock_tranche = "auth_session dispatch",
	                                  .attach = dispatch_attach};
	BackgroundWorker worker;

	as_shared_area_add(&area);
	if (max_worker_processes == 0)
		ereport(LOG, (errmsg("auth_session records nothing: "
		                     "max_worker_processes is 0")));

	/*
	 * Not before recovery has finished: a standby writes nothing. Restarted
	 * at once, since it may have to exit to change its database.
	 */
	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags =
	    BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 0;
	strlcpy(worker.bgw_library_name, "auth_session", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, AS_WORKER_MAIN, BGW_MAXLEN);
	strlcpy(worker.bgw_name, AS_WORKER_NAME, BGW_MAXLEN);
	strlcpy(worker.bgw_type, AS_WORKER_NAME, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

/* ---- one entry; all under the lock ---- */

static bool
database_has_work(Database *database)
{
	return database->records > 0 ||
	       (pg_atomic_read_u64(&database->wake) & WORK_MASK) != 0;
}

static Database *
database_find(Oid oid)
{
	int i;

	for (i = 0; i < DATABASES; i++)
		if (dispatch->databases[i].oid == oid)
			return &dispatch->databases[i];
	return NULL;
}

/*
 * Finds or makes the entry of a database. Entries of databases without work
 * and worker are taken over when none is free; NULL when all are busy.
 */
static Database *
database_enter(Oid oid)
{
	Database *database = database_find(oid);
	int i;

	if (database != NULL)
		return database;

	database = database_find(InvalidOid);
	for (i = 0; database == NULL && i < DATABASES; i++)
		if (dispatch->databases[i].service == UNSERVED &&
		    dispatch->databases[i].records == 0 &&
		    !database_has_work(&dispatch->databases[i]))
			database = &dispatch->databases[i];
	if (database == NULL)
		return NULL;

	database->oid = oid;
	database->service = UNSERVED;
	database->latch = NULL;
	database->records = 0;
	database->failures = 0;
	database->asked = 0;
	database->since = 0;
	database->started = 0;
	database->not_till = 0;
	pg_atomic_write_u64(&database->wake, (uint64) oid << 32);
	return database;
}

/* The latch to set when the database has new work; NULL where none is. */
static Latch *
database_new_work(Database *database)
{
	if (database->service == SERVED)
		return database->latch;
	if (database->since == 0)
		database->since = as_clock_ms();
	return dispatch->dispatcher;
}

/* No worker came to connect, or it could not. */
static void
database_failed(Database *database, int64 now)
{
	database->service = UNSERVED;
	database->latch = NULL;
	database->since = now;
	database->not_till =
	    now + (FIRST_PAUSE_MS << Min(database->failures, DOUBLED_MOST));
	database->failures++;
}

/* ---- work comes and goes ---- */

bool
as_dispatch_add(Oid oid)
{
	Database *database;
	Latch *latch = NULL;

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	database = database_enter(oid);
	if (database != NULL)
	{
		database->records++;
		latch = database_new_work(database);
	}
	LWLockRelease(dispatch_lock);
	if (latch != NULL)
		SetLatch(latch);
	return database != NULL;
}

void
as_dispatch_remove(Oid oid, int count)
{
	Database *database;

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	database = database_enter(oid);
	if (database != NULL)
		database->records -= count;
	LWLockRelease(dispatch_lock);
}

/*
 * Runs in a commit that can't fail any more. No entry means 256 databases
 * with work at this moment, and a bridge that finds its rows at its next
 * poll.
 */
void
as_dispatch_wake(AsWork work)
{
	uint64 own = (uint64) MyDatabaseId << 32;
	Latch *latch = NULL;
	uint64 seen;

	/* The commit came first: whoever clears the bit after this sees it. */
	pg_memory_barrier();
	if (own_database != NULL)
	{
		seen = pg_atomic_read_u64(&own_database->wake);
		if ((seen & ~WORK_MASK) == own && (seen & work) != 0)
			return;
	}

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	own_database = database_enter(MyDatabaseId);
	if (own_database != NULL)
	{
		seen = pg_atomic_read_u64(&own_database->wake);
		pg_atomic_write_u64(&own_database->wake,
		                    own | (seen & WORK_MASK) | work);
		latch = database_new_work(own_database);
	}
	LWLockRelease(dispatch_lock);
	if (latch != NULL)
		SetLatch(latch);
}

bool
as_dispatch_take_work(AsWork work)
{
	uint64 before = pg_atomic_fetch_and_u64(&served->wake, ~(uint64) work);

	return (before & work) != 0;
}

void
as_dispatch_put_back_work(AsWork work)
{
	(void) pg_atomic_fetch_or_u64(&served->wake, work);
}

/* ---- the dispatcher ---- */

static void
dispatch_on_exit(int code, Datum arg)
{
	if (served != NULL)
		(void) as_dispatch_serve_end(false);

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	if (dispatch->dispatcher == MyLatch)
	{
		dispatch->dispatcher = NULL;
		dispatch->left = as_clock_ms();
	}
	LWLockRelease(dispatch_lock);
}

/*
 * Before the process connects to a database: callbacks run last in, first
 * out, so this one finds the transaction aborted.
 */
static void
dispatch_register_once(void)
{
	static bool registered = false;

	if (registered)
		return;
	before_shmem_exit(dispatch_on_exit, (Datum) 0);
	registered = true;
}

void
as_dispatch_begin(void)
{
	dispatch_register_once();
	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	dispatch->dispatcher = MyLatch;
	LWLockRelease(dispatch_lock);
}

bool
as_dispatch_is_served(void)
{
	bool is_served;

	if (max_worker_processes == 0)
		return false;
	LWLockAcquire(dispatch_lock, LW_SHARED);
	is_served = dispatch->dispatcher != NULL ||
	            as_clock_ms() - dispatch->left < GONE_AFTER_MS;
	LWLockRelease(dispatch_lock);
	return is_served;
}

/* Without a lock: it is stale as soon as it is known. */
int
as_free_worker_slots(void)
{
	int running = 0;

	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		const PGPROC *process = &ProcGlobal->allProcs[i];

		if (process->procgloballist == &ProcGlobal->bgworkerFreeProcs &&
		    process->pid != 0)
			running++;
	}
	return Max(max_worker_processes - running, 0);
}

static void
wait_at_most(long *wait_ms, int64 ms)
{
	if (*wait_ms < 0 || ms < *wait_ms)
		*wait_ms = (long) Max(ms, 0);
}

/* A look round by those that serve: one of them is to make room. */
static void
dispatch_wake_workers(void)
{
	int i;

	for (i = 0; i < DATABASES; i++)
		if (dispatch->databases[i].service == SERVED)
			SetLatch(dispatch->databases[i].latch);
}

Oid
as_dispatch_next(int most_served, long *wait_ms, Oid *doubtful, int *failures)
{
	int64 now = as_clock_ms();
	Database *next = NULL;
	Oid oid = InvalidOid;
	int served_count = 0;
	int i;

	*wait_ms = -1;
	*doubtful = InvalidOid;
	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	for (i = 0; i < DATABASES; i++)
	{
		Database *database = &dispatch->databases[i];

		if (database->service == STARTING &&
		    now - database->started >= START_TIMEOUT_MS)
			database_failed(database, now);
		if (database->service != UNSERVED)
		{
			served_count++;
			if (database->service == STARTING)
				wait_at_most(wait_ms,
				             database->started + START_TIMEOUT_MS - now);
			continue;
		}
		if (database->oid == InvalidOid || !database_has_work(database))
			continue;
		if (now < database->not_till)
			wait_at_most(wait_ms, database->not_till - now);
		else if (database->failures >= AS_DISPATCH_DOUBTFUL &&
		         database->asked != database->failures)
		{
			wait_at_most(wait_ms, 0);
			if (*doubtful != InvalidOid)
				continue;
			*doubtful = database->oid;
			*failures = database->asked = database->failures;
		}
		else if (next == NULL || database->since < next->since)
			next = database;
	}
	if (next != NULL && served_count < most_served)
	{
		next->service = STARTING;
		next->started = now;
		oid = next->oid;
	}
	else if (next != NULL)
	{
		dispatch_wake_workers();
		wait_at_most(wait_ms, AS_DISPATCH_YIELD_MS);
	}
	LWLockRelease(dispatch_lock);
	return oid;
}

void
as_dispatch_cancel(Oid oid)
{
	Database *database;

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	database = database_find(oid);
	if (database != NULL && database->service == STARTING)
		database->service = UNSERVED;
	LWLockRelease(dispatch_lock);
}

void
as_dispatch_forget(Oid oid)
{
	Database *database;

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	database = database_find(oid);
	if (database != NULL)
		pg_atomic_write_u64(&database->wake, (uint64) oid << 32);
	LWLockRelease(dispatch_lock);
}

bool
as_dispatch_must_yield(void)
{
	int64 now = as_clock_ms();
	int waiting = 0;
	int longer_served = 0;
	int i;

	LWLockAcquire(dispatch_lock, LW_SHARED);
	for (i = 0; i < DATABASES; i++)
	{
		Database *database = &dispatch->databases[i];

		if (database->service == SERVED && database->started < served->started)
			longer_served++;
		else if (database->oid != InvalidOid && database->service == UNSERVED &&
		         database_has_work(database) && now >= database->not_till &&
		         now - database->since >= AS_DISPATCH_YIELD_MS)
			waiting++;
	}
	LWLockRelease(dispatch_lock);
	return longer_served < waiting;
}

/* ---- the worker of one database ---- */

bool
as_dispatch_serve_begin(Oid oid)
{
	Database *database;

	dispatch_register_once();
	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	database = database_find(oid);
	if (database != NULL && database->service != SERVED)
	{
		database->service = SERVED;
		database->latch = MyLatch;
		database->since = 0;
		database->started = as_clock_ms();
		served = database;
		served_connected = false;
	}
	LWLockRelease(dispatch_lock);
	return served != NULL;
}

void
as_dispatch_serve_connected(void)
{
	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	served->failures = 0;
	served->not_till = 0;
	LWLockRelease(dispatch_lock);
	served_connected = true;
}

bool
as_dispatch_serve_end(bool only_idle)
{
	Latch *latch = NULL;

	LWLockAcquire(dispatch_lock, LW_EXCLUSIVE);
	if (only_idle && database_has_work(served))
	{
		LWLockRelease(dispatch_lock);
		return false;
	}
	served->service = UNSERVED;
	served->latch = NULL;
	if (!served_connected)
		database_failed(served, as_clock_ms());
	if (database_has_work(served))
		latch = database_new_work(served);
	served = NULL;
	LWLockRelease(dispatch_lock);
	if (latch != NULL)
		SetLatch(latch);
	return true;
}
