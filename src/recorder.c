/*
 * recorder.c: what must become durable though the caller fails.
 *
 * A caller can undo what its transaction wrote; the audit row of a failure,
 * the end of a session whose refresh token was stolen and the count of wrong
 * codes must stay. So they are handed over here, in a bounded queue in
 * shared memory, to a background worker (worker.c) that commits them in a
 * transaction of its own.
 *
 * A slot of the queue is free (id 0), queued, or taken by a worker. Its id is
 * new with each record, so a submitter knows that its record is settled when
 * the slot no longer has its id, and needs to free nothing: it may leave or
 * die whenever it likes. A record leaves the queue only when it is
 * committed, or when it can't ever be (its database is gone); a full queue
 * refuses, it forgets nothing. What is queued when the server is shut down is
 * kept in a file until it starts again; a crash of shared memory loses it.
 *
 * Each database with work has an entry in a second table, which says who
 * serves it: at most one worker, so that no two quarrel about a record. The
 * first in line when nobody does is the dispatcher, the static worker.
 *
 * Waking the bridge is one bit of that entry. A committing transaction that
 * finds it set is done: whoever clears it sends the NOTIFY afterwards, and so
 * after that commit. Otherwise it sets the bit and the latch of the worker.
 *
 * One LWLock guards both tables, but for the atomic words.
 */
#include "shared.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"

#define SLOTS     1024
#define DATABASES 256

/* Connecting to a database is tried this often before its records go. */
#define MAX_FAILURES     6
#define FIRST_BACKOFF_MS 500

/* A started worker that has not shown up for so long never will. */
#define START_TIMEOUT_MS 15000

/* The log says that the queue is full once in so long. */
#define FULL_LOG_INTERVAL_MS 60000

#define WAKE_PENDING UINT64CONST(1)

typedef struct Slot
{
	pg_atomic_uint64 id; /* 0: free */
	ConditionVariable settled;
	bool taken;
	int tries;
	int64 due;
	AsRecord record;
} Slot;

typedef enum Service
{
	UNSERVED,
	STARTING, /* a worker has been asked for */
	SERVED    /* a worker has it, and is connected, or about to be */
} Service;

typedef struct Database
{
	pg_atomic_uint64 wake; /* Oid << 32 | WAKE_PENDING */
	Oid oid;               /* InvalidOid: the entry is free */
	Service service;
	Latch *latch;   /* of the worker that serves it */
	int queued;     /* records in the queue, also taken ones */
	int failures;   /* to connect, one after the other */
	int64 since;    /* waits for a worker since, 0: doesn't */
	int64 started;  /* STARTING since */
	int64 not_till; /* no worker before, after a failure */
} Database;

typedef struct Recorder
{
	uint64 last_id;
	int used;
	int cursor; /* where the next free slot is looked for */
	int64 full_logged;
	Latch *dispatcher;
	Database databases[DATABASES];
	Slot slots[SLOTS];
} Recorder;

static Recorder *recorder = NULL;
static LWLock *recorder_lock = NULL;

/* The entry of this backend's database, as far as it knows. */
static Database *own_database = NULL;
static bool wake_on_commit = false;

/* In a worker: the entry it serves. */
static Database *served = NULL;
static bool served_connected = false;

/* ---- start and stop of the server ---- */

static void
recorder_attach(void *memory, bool is_new)
{
	int i;

	recorder = memory;
	recorder_lock = &GetNamedLWLockTranche("auth_session recorder")->lock;
	if (!is_new)
		return;

	memset(recorder, 0, sizeof(Recorder));
	for (i = 0; i < DATABASES; i++)
		pg_atomic_init_u64(&recorder->databases[i].wake, 0);
	for (i = 0; i < SLOTS; i++)
	{
		pg_atomic_init_u64(&recorder->slots[i].id, 0);
		ConditionVariableInit(&recorder->slots[i].settled);
	}
}

void
as_recorder_init(void)
{
	static const AsSharedArea area = {.name = "auth_session recorder",
	                                  .size = sizeof(Recorder),
	                                  .attach = recorder_attach,
	                                  .lock_tranche = "auth_session recorder"};
	BackgroundWorker worker;

	as_shared_area_add(&area);

	/*
	 * Not before recovery has finished: a standby writes nothing. Restarted
	 * at once, since it exits to change the database.
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

/* ---- the table of databases; all under the lock ---- */

static bool
database_wants_wake(Database *database)
{
	return (pg_atomic_read_u64(&database->wake) & WAKE_PENDING) != 0;
}

static bool
database_has_work(Database *database)
{
	return database->queued > 0 || database_wants_wake(database);
}

static Database *
database_find(Oid oid)
{
	int i;

	for (i = 0; i < DATABASES; i++)
		if (recorder->databases[i].oid == oid)
			return &recorder->databases[i];
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
	{
		Database *other = &recorder->databases[i];
		uint64 quiet = (uint64) other->oid << 32;

		/* A backend may set the bit without the lock until the word changes. */
		if (other->service == UNSERVED && other->queued == 0 &&
		    pg_atomic_compare_exchange_u64(&other->wake, &quiet, 0))
			database = other;
	}
	if (database == NULL)
		return NULL;

	database->oid = oid;
	database->service = UNSERVED;
	database->latch = NULL;
	database->queued = 0;
	database->failures = 0;
	database->since = 0;
	database->started = 0;
	database->not_till = 0;
	pg_atomic_write_u64(&database->wake, (uint64) oid << 32);
	return database;
}

/* The latch to set when the database has new work; NULL where none is. */
static Latch *
database_new_work(Database *database, int64 now)
{
	if (database->service == SERVED)
		return database->latch;
	if (database->service == UNSERVED && database->since == 0)
		database->since = now;
	return recorder->dispatcher;
}

/* ---- the submitter's side ---- */

/* The next free slot; the caller has checked that there is one. */
static Slot *
slot_allocate(void)
{
	for (;;)
	{
		Slot *slot = &recorder->slots[recorder->cursor];

		recorder->cursor = (recorder->cursor + 1) % SLOTS;
		if (pg_atomic_read_u64(&slot->id) == 0)
			return slot;
	}
}

/* Queues a record and returns its slot; NULL when there is no room. */
static Slot *
recorder_enqueue(const AsRecord *record, uint64 *id)
{
	int64 now = as_clock_ms();
	Database *database;
	Slot *slot = NULL;
	Latch *latch = NULL;
	bool log_full = false;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	database = recorder->used < SLOTS ? database_enter(record->database) : NULL;
	if (database != NULL)
	{
		slot = slot_allocate();
		slot->taken = false;
		slot->tries = 0;
		slot->due = now;
		slot->record = *record;
		*id = ++recorder->last_id;
		pg_atomic_write_u64(&slot->id, *id);
		recorder->used++;
		database->queued++;
		latch = database_new_work(database, now);
	}
	else if (now - recorder->full_logged >= FULL_LOG_INTERVAL_MS)
	{
		recorder->full_logged = now;
		log_full = true;
	}
	LWLockRelease(recorder_lock);

	if (latch != NULL)
		SetLatch(latch);
	if (log_full)
		ereport(LOG, (errmsg("the queue of auth_session's recorder is full"),
		              errdetail("What must be recorded before it is refused "
		                        "is answered with \"busy\".")));
	return slot;
}

static AsRecordOutcome
recorder_wait(Slot *slot, uint64 id, int wait_ms)
{
	int64 end = as_clock_ms() + wait_ms;
	bool timed_out = false;

	ConditionVariablePrepareToSleep(&slot->settled);
	while (pg_atomic_read_u64(&slot->id) == id && !timed_out)
	{
		int64 left_ms = end - as_clock_ms();

		timed_out = left_ms <= 0 || ConditionVariableTimedSleep(
		                                &slot->settled, (long) left_ms,
		                                AS_WAIT_EVENT("AuthSessionRecorder"));
	}
	ConditionVariableCancelSleep();
	return timed_out && pg_atomic_read_u64(&slot->id) == id
	           ? AS_RECORD_QUEUED
	           : AS_RECORD_COMMITTED;
}

AsRecordOutcome
as_recorder_submit(AsRecord *record, int wait_ms)
{
	Slot *slot;
	uint64 id;

	record->database = MyDatabaseId;
	if (RecoveryInProgress())
		return AS_RECORD_IMPOSSIBLE;

	slot = recorder_enqueue(record, &id);
	if (slot == NULL)
		return AS_RECORD_FULL;
	return recorder_wait(slot, id, wait_ms);
}

/*
 * Runs after the transaction has become visible to others, with interrupts
 * held off, so it must not fail: an entry that can't be had means 256
 * databases with work at this moment, and a bridge that finds its rows at its
 * next poll.
 */
static void
recorder_wake_now(void)
{
	uint64 quiet = (uint64) MyDatabaseId << 32;
	uint64 pending = quiet | WAKE_PENDING;
	Latch *latch = NULL;

	pg_memory_barrier();
	if (own_database != NULL &&
	    pg_atomic_read_u64(&own_database->wake) == pending)
		return;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	own_database = database_enter(MyDatabaseId);
	if (own_database != NULL)
	{
		pg_atomic_write_u64(&own_database->wake, pending);
		latch = database_new_work(own_database, as_clock_ms());
	}
	LWLockRelease(recorder_lock);
	if (latch != NULL)
		SetLatch(latch);
}

static void
recorder_on_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
	    event != XACT_EVENT_PREPARE)
		return;
	if (wake_on_commit && event == XACT_EVENT_COMMIT)
		recorder_wake_now();
	wake_on_commit = false;
}

void
as_recorder_wake_bridge(void)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(recorder_on_transaction_end, NULL);
		registered = true;
	}
	wake_on_commit = true;
}

/* ---- the worker's side ---- */

static void
recorder_on_exit(int code, Datum arg)
{
	if (served != NULL)
		(void) as_recorder_serve_end(false);

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	if (recorder->dispatcher == MyLatch)
		recorder->dispatcher = NULL;
	LWLockRelease(recorder_lock);
}

/*
 * To be called before the process connects to a database: then its
 * transaction has been aborted when the callback runs.
 */
static void
recorder_register_exit_once(void)
{
	static bool registered = false;

	if (registered)
		return;
	before_shmem_exit(recorder_on_exit, (Datum) 0);
	registered = true;
}

void
as_recorder_dispatch_begin(void)
{
	recorder_register_exit_once();
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	recorder->dispatcher = MyLatch;
	LWLockRelease(recorder_lock);
}

/* No worker came to connect, or it could not. */
static void
database_failed(Database *database, int64 now)
{
	database->service = UNSERVED;
	database->latch = NULL;
	database->since = now;
	database->not_till = now + (FIRST_BACKOFF_MS << database->failures);
	database->failures++;
}

static void
slot_free(Slot *slot)
{
	pg_atomic_write_u64(&slot->id, 0);
	recorder->used--;
	ConditionVariableBroadcast(&slot->settled);
}

static int
database_discard(Database *database)
{
	int discarded = database->queued;
	int i;

	for (i = 0; i < SLOTS; i++)
	{
		Slot *slot = &recorder->slots[i];

		if (pg_atomic_read_u64(&slot->id) != 0 &&
		    slot->record.database == database->oid)
			slot_free(slot);
	}
	pg_atomic_write_u64(&database->wake, (uint64) database->oid << 32);
	database->queued = 0;
	database->failures = 0;
	database->since = 0;
	return discarded;
}

static long
milliseconds_till(int64 now, int64 then, long at_most)
{
	long left_ms = then > now ? (long) (then - now) : 0;

	return at_most < 0 ? left_ms : Min(left_ms, at_most);
}

Oid
as_recorder_dispatch_next(long *wait_ms)
{
	int64 now = as_clock_ms();
	Database *next = NULL;
	Oid oid = InvalidOid;
	Oid lost = InvalidOid;
	int lost_records = 0;
	int i;

	*wait_ms = -1;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (i = 0; i < DATABASES; i++)
	{
		Database *database = &recorder->databases[i];

		if (database->oid == InvalidOid || database->service == SERVED)
			continue;
		if (database->service == STARTING)
		{
			int64 end = database->started + START_TIMEOUT_MS;

			*wait_ms = milliseconds_till(now, end, *wait_ms);
			if (end > now)
				continue;
			database_failed(database, now);
		}
		if (!database_has_work(database))
			continue;
		if (database->failures >= MAX_FAILURES)
		{
			lost = database->oid;
			lost_records = database_discard(database);
			*wait_ms = 0;
			break;
		}
		if (database->not_till > now)
			*wait_ms = milliseconds_till(now, database->not_till, *wait_ms);
		else if (next == NULL || database->since < next->since)
			next = database;
	}
	if (next != NULL)
	{
		next->service = STARTING;
		next->started = now;
		oid = next->oid;
	}
	LWLockRelease(recorder_lock);

	if (lost_records > 0)
		ereport(LOG,
		        (errmsg("auth_session discarded %d records of database %u, "
		                "which could not be connected to",
		                lost_records, lost)));
	return oid;
}

void
as_recorder_serve_cancel(Oid oid)
{
	Database *database;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	database = database_find(oid);
	if (database != NULL && database->service == STARTING)
		database->service = UNSERVED;
	LWLockRelease(recorder_lock);
}

int
as_recorder_served_count(void)
{
	int count = 0;
	int i;

	LWLockAcquire(recorder_lock, LW_SHARED);
	for (i = 0; i < DATABASES; i++)
		if (recorder->databases[i].service != UNSERVED)
			count++;
	LWLockRelease(recorder_lock);
	return count;
}

bool
as_recorder_others_wait(int ms)
{
	int64 now = as_clock_ms();
	bool wait = false;
	int i;

	LWLockAcquire(recorder_lock, LW_SHARED);
	for (i = 0; i < DATABASES && !wait; i++)
	{
		Database *database = &recorder->databases[i];

		wait = database->oid != InvalidOid && database->service == UNSERVED &&
		       database_has_work(database) && database->not_till <= now &&
		       now - database->since >= ms;
	}
	LWLockRelease(recorder_lock);
	return wait;
}

bool
as_recorder_serve_begin(Oid oid)
{
	Database *database;

	recorder_register_exit_once();
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	database = database_find(oid);
	if (database != NULL && database->service != SERVED)
	{
		database->service = SERVED;
		database->latch = MyLatch;
		served = database;
		served_connected = false;
	}
	LWLockRelease(recorder_lock);
	return served != NULL;
}

void
as_recorder_serve_connected(void)
{
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	served->failures = 0;
	served->not_till = 0;
	LWLockRelease(recorder_lock);
	served_connected = true;
}

bool
as_recorder_serve_end(bool only_idle)
{
	int64 now = as_clock_ms();
	Latch *latch = NULL;
	int i;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	if (only_idle && database_has_work(served))
	{
		LWLockRelease(recorder_lock);
		return false;
	}
	for (i = 0; served->queued > 0 && i < SLOTS; i++)
	{
		Slot *slot = &recorder->slots[i];

		if (pg_atomic_read_u64(&slot->id) != 0 &&
		    slot->record.database == served->oid)
			slot->taken = false;
	}
	served->service = UNSERVED;
	served->latch = NULL;
	served->since = 0;
	if (!served_connected)
		database_failed(served, now);
	if (database_has_work(served))
		latch = database_new_work(served, now);
	served = NULL;
	LWLockRelease(recorder_lock);
	if (latch != NULL)
		SetLatch(latch);
	return true;
}

int
as_recorder_take(AsTaken *taken, int most, long *wait_ms)
{
	int64 now = as_clock_ms();
	int count = 0;
	int i;

	*wait_ms = -1;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (i = 0; served->queued > 0 && i < SLOTS && count < most; i++)
	{
		int number = (recorder->cursor + i) % SLOTS;
		Slot *slot = &recorder->slots[number];

		if (pg_atomic_read_u64(&slot->id) == 0 || slot->taken ||
		    slot->record.database != served->oid)
			continue;
		if (slot->due > now)
		{
			*wait_ms = milliseconds_till(now, slot->due, *wait_ms);
			continue;
		}
		slot->taken = true;
		taken[count].slot = number;
		taken[count].tries = slot->tries;
		taken[count].record = slot->record;
		count++;
	}
	LWLockRelease(recorder_lock);
	return count;
}

void
as_recorder_settle(const AsTaken *taken)
{
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	served->queued--;
	slot_free(&recorder->slots[taken->slot]);
	LWLockRelease(recorder_lock);
}

void
as_recorder_put_back(const AsTaken *taken, int delay_ms)
{
	Slot *slot = &recorder->slots[taken->slot];

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	slot->taken = false;
	slot->tries = taken->tries;
	slot->due = as_clock_ms() + delay_ms;
	LWLockRelease(recorder_lock);
}

bool
as_recorder_take_wake(void)
{
	uint64 before = pg_atomic_fetch_and_u64(&served->wake, ~WAKE_PENDING);

	return (before & WAKE_PENDING) != 0;
}

void
as_recorder_put_back_wake(void)
{
	(void) pg_atomic_fetch_or_u64(&served->wake, WAKE_PENDING);
}
