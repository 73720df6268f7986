/*
 * recorder.c: what must become durable though the caller fails.
 *
 * A caller can undo what its transaction wrote; the audit row of a failure,
 * the end of a session whose refresh token was stolen and the count of wrong
 * codes must stay. So they are handed over here, in a bounded queue in
 * shared memory, to a background worker (worker.c) that commits them in a
 * transaction of its own.
 *
 *     a slot is  by                                       then it is
 *     free       as_recorder_submit                       queued
 *     queued     as_recorder_take, when due               taken
 *     taken      as_recorder_settle: committed, or gone   free
 *     taken      as_recorder_put_back, or the worker's    queued, due later
 *                exit                                     or at once
 *     queued     as_recorder_discard: no such database    free
 *
 * A slot of the queue is free (id 0), queued, or taken by a worker. Its id is
 * new with each record, so a submitter knows that its record is settled when
 * the slot no longer has its id, and needs to free nothing: it may leave or
 * die whenever it likes. A record leaves the queue only when it is
 * committed, or when it can't ever be (its database is gone); a full queue
 * refuses, it forgets nothing. What is queued when the server is shut down is
 * kept in a file until it starts again; a crash of shared memory loses it.
 */
#include "shared/shared.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"

#define SLOTS 1024

/* Of the records that are taken at once, one in so many failed before. */
#define FRESH_TO_FAILED 16

/* The log says that the queue is full once in so long. */
#define FULL_LOG_INTERVAL_MS 60000

typedef struct Slot
{
	pg_atomic_uint64 id; /* 0: free */
	ConditionVariable settled;
	bool taken;
	int waits;
	int tries;
	int64 due; /* by as_clock_ms */
	AsRecord record;
} Slot;

/* Guarded by the lock; a submitter reads its slot's id without. */
typedef struct Recorder
{
	uint64 last_id;
	int used;
	int reserved; /* places kept for records that may be submitted yet */
	int cursor;   /* where the next free slot is looked for */
	int64 full_logged;
	Slot slots[SLOTS];
} Recorder;

static Recorder *recorder = NULL;
static LWLock *recorder_lock = NULL;

/* This backend's place. */
static bool has_place = false;

/* AsWork bits. */
static int wake_on_commit = 0;

/* Under the lock. */
static bool
place_is_free(void)
{
	return recorder->used + recorder->reserved < SLOTS;
}

static void
place_give_back(void)
{
	if (has_place)
		recorder->reserved--;
	has_place = false;
}

/* The next free slot; NULL when there is none. Under the lock. */
static Slot *
slot_allocate(const AsRecord *record)
{
	Slot *slot;

	place_give_back();
	if (!place_is_free())
		return NULL;
	do
	{
		slot = &recorder->slots[recorder->cursor];
		recorder->cursor = (recorder->cursor + 1) % SLOTS;
	} while (pg_atomic_read_u64(&slot->id) != 0);

	slot->taken = false;
	slot->waits = 0;
	slot->tries = 0;
	slot->due = 0;
	slot->record = *record;
	pg_atomic_write_u64(&slot->id, ++recorder->last_id);
	recorder->used++;
	return slot;
}

/* Under the lock. */
static void
slot_free(Slot *slot)
{
	pg_atomic_write_u64(&slot->id, 0);
	recorder->used--;
	ConditionVariableBroadcast(&slot->settled);
}

/* ---- start and stop of the server ---- */

/* In the postmaster, when all others are gone: no lock. */
static void
recorder_keep(int code, Datum arg)
{
	AsRecord *records;
	int count = 0;
	int i;

	if (code != 0 || recorder->used == 0)
		return;
	records = malloc(sizeof(AsRecord) * recorder->used);
	if (records == NULL)
		return;
	for (i = 0; i < SLOTS; i++)
		if (pg_atomic_read_u64(&recorder->slots[i].id) != 0)
			records[count++] = recorder->slots[i].record;
	as_record_file_write(records, count);
	free(records);
}

static void
recorder_restore(void)
{
	AsRecord *records = palloc(sizeof(AsRecord) * SLOTS);
	int count = as_record_file_read(records, SLOTS);
	int i;

	for (i = 0; i < count; i++)
		if (as_dispatch_add(records[i].database))
			(void) slot_allocate(&records[i]);
	pfree(records);
}

static void
recorder_attach(void *memory, bool is_new)
{
	int i;

	recorder = memory;
	recorder_lock = &GetNamedLWLockTranche("auth_session recorder")->lock;
	if (!IsUnderPostmaster)
		on_shmem_exit(recorder_keep, (Datum) 0);
	if (!is_new)
		return;

	memset(recorder, 0, sizeof(Recorder));
	recorder->full_logged = -FULL_LOG_INTERVAL_MS;
	for (i = 0; i < SLOTS; i++)
	{
		pg_atomic_init_u64(&recorder->slots[i].id, 0);
		ConditionVariableInit(&recorder->slots[i].settled);
	}
	recorder_restore();
}

void
as_recorder_init(void)
{
	static const AsSharedArea area = {.name = "auth_session recorder",
	                                  .size = sizeof(Recorder),
	                                  .lock_tranche = "auth_session recorder",
	                                  .attach = recorder_attach};

	/* First: what is restored is reported there. */
	as_dispatch_init();
	as_shared_area_add(&area);
}

/* ---- the submitter's side ---- */

static void
recorder_log_full(void)
{
	int64 now = as_clock_ms();
	bool log_it;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	log_it = now - recorder->full_logged >= FULL_LOG_INTERVAL_MS;
	if (log_it)
		recorder->full_logged = now;
	LWLockRelease(recorder_lock);
	if (log_it)
		ereport(LOG, (errmsg("the queue of the auth_session recorder is full"),
		              errdetail("A failure that must be recorded is answered "
		                        "with \"busy\".")));
}

/* Queues a record and returns its slot; NULL when there is no room. */
static Slot *
recorder_enqueue(const AsRecord *record, uint64 *id)
{
	Slot *slot;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	slot = slot_allocate(record);
	if (slot != NULL)
		*id = pg_atomic_read_u64(&slot->id);
	LWLockRelease(recorder_lock);

	if (slot != NULL && !as_dispatch_add(record->database))
	{
		LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
		slot_free(slot);
		LWLockRelease(recorder_lock);
		slot = NULL;
	}
	if (slot == NULL)
		recorder_log_full();
	return slot;
}

void
as_recorder_unreserve(void)
{
	if (!has_place)
		return;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	place_give_back();
	LWLockRelease(recorder_lock);
}

static void
unreserve_on_exit(int code, Datum argument)
{
	as_recorder_unreserve();
}

bool
as_recorder_reserve(void)
{
	static bool is_registered = false;

	if (!is_registered)
		before_shmem_exit(unreserve_on_exit, (Datum) 0);
	is_registered = true;
	if (has_place)
		return true;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	has_place = place_is_free();
	if (has_place)
		recorder->reserved++;
	LWLockRelease(recorder_lock);
	if (!has_place)
		recorder_log_full();
	return has_place;
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
	return pg_atomic_read_u64(&slot->id) == id ? AS_RECORD_QUEUED
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

/* The transaction is visible to others by then. */
static void
recorder_on_transaction_end(XactEvent event, void *arg)
{
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
	    event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT)
		for (int work = AS_WORK_BRIDGE; work <= AS_WORK_FOLD; work <<= 1)
			if ((wake_on_commit & work) != 0)
				as_dispatch_wake(work);
	wake_on_commit = 0;
}

void
as_recorder_wake(AsWork work)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(recorder_on_transaction_end, NULL);
		registered = true;
	}
	wake_on_commit |= work;
}

/* ---- the worker's side ---- */

/* Only one worker at a time serves a database, so what is taken is its own. */
static void
recorder_on_exit(int code, Datum arg)
{
	int i;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (i = 0; i < SLOTS; i++)
		if (recorder->slots[i].record.database == MyDatabaseId)
			recorder->slots[i].taken = false;
	LWLockRelease(recorder_lock);
}

int
as_recorder_take(AsTaken *taken, int most, long *wait_ms)
{
	static bool registered = false;
	int64 now = as_clock_ms();
	int count = 0;
	int failed = 0;
	int i;

	if (!registered)
	{
		before_shmem_exit(recorder_on_exit, (Datum) 0);
		registered = true;
	}

	*wait_ms = -1;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (i = 0; recorder->used > 0 && i < SLOTS && count < most; i++)
	{
		int number = (recorder->cursor + i) % SLOTS;
		Slot *slot = &recorder->slots[number];
		int64 left_ms = Max(slot->due - now, 0);

		if (pg_atomic_read_u64(&slot->id) == 0 || slot->taken ||
		    slot->record.database != MyDatabaseId)
			continue;
		if (slot->waits + slot->tries > 0 &&
		    (left_ms > 0 || failed * FRESH_TO_FAILED >= most))
		{
			if (*wait_ms < 0 || left_ms < *wait_ms)
				*wait_ms = (long) left_ms;
			continue;
		}
		if (slot->waits + slot->tries > 0)
			failed++;
		slot->taken = true;
		taken[count].slot = number;
		taken[count].waits = slot->waits;
		taken[count].tries = slot->tries;
		taken[count].record = slot->record;
		count++;
	}
	LWLockRelease(recorder_lock);
	return count;
}

void
as_recorder_settle(const AsTaken *taken, int count)
{
	int i;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (i = 0; i < count; i++)
		slot_free(&recorder->slots[taken[i].slot]);
	LWLockRelease(recorder_lock);
	as_dispatch_remove(MyDatabaseId, count);
}

void
as_recorder_put_back(const AsTaken *taken, int delay_ms)
{
	Slot *slot = &recorder->slots[taken->slot];

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	slot->taken = false;
	slot->waits = taken->waits;
	slot->tries = taken->tries;
	slot->due = as_clock_ms() + delay_ms;
	LWLockRelease(recorder_lock);
}

int
as_recorder_discard(Oid database)
{
	int count = 0;
	int i;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (i = 0; i < SLOTS; i++)
	{
		Slot *slot = &recorder->slots[i];

		if (pg_atomic_read_u64(&slot->id) != 0 &&
		    slot->record.database == database)
		{
			slot_free(slot);
			count++;
		}
	}
	LWLockRelease(recorder_lock);
	as_dispatch_remove(database, count);
	return count;
}
