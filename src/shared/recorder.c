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
 *     free       as_recorder_hold                         held
 *     free, held as_recorder_submit                       queued
 *     held       as_recorder_let_go, or the end of its    free
 *                transaction
 *     queued     as_recorder_take, when due               taken
 *     taken      as_recorder_settle: committed, or gone   free
 *     taken      as_recorder_put_back, or the worker's    queued, due later
 *                exit                                     or at once
 *     queued     as_recorder_discard: no such database    free
 *
 * A slot's id is new with each record, so a submitter knows that its record
 * is settled when the slot no longer has its id, and needs to free nothing:
 * it may leave or die whenever it likes. A record leaves the queue only when
 * it is committed, or when it can't ever be (its database is gone); a full
 * queue refuses, it forgets nothing. What is queued when the server is shut
 * down is kept in a file until it starts again; a crash of shared memory
 * loses it.
 *
 * The queue is shared fairly, since whoever can call can fill it:
 *
 * - Reuses of one session, and tries at one address, are one record, however
 *   many: what a single lock holds up takes one slot, or two.
 * - A database has its quota, of which audit rows take the least and the ends
 *   of sessions have places that nothing else takes. The last quarter of the
 *   queue is for databases that have next to nothing in it.
 * - A record that had to wait for a lock counts for no quota, so that it takes
 *   nobody's place; there are so many such places for each user and database.
 * - Audit rows of refusals are so many a second and database. Beyond that a
 *   refusal is counted only, and what else a record does is done without one.
 */
#include "shared/shared.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/resowner.h"

#define SLOTS 4096

/* Of them, for databases that have less than so many records. */
#define SLOTS_KEPT 1024
#define FEW        16

/* Records of a database that wait for no lock. */
static const int quotas[] = {
    [AS_RECORD_EVENT] = 64,
    [AS_RECORD_CODE_ATTEMPT] = 192,
    [AS_RECORD_REUSE] = 320,
};

#define NO_USER 0

/* Records that wait for a lock, of a database and, audit rows aside, a user. */
#define WAITING_MOST         256
#define WAITING_OF_USER_MOST 8

/* Audit rows of refusals in a second; the seconds of so many databases. */
#define LOGGED_PER_S 50
#define RATES        64

/* Of the records that are taken at once, one in so many failed before. */
#define FRESH_TO_FAILED 16

/* The log says that the queue is full, or served by nobody, once in so long. */
#define LOG_INTERVAL_MS 60000

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_HELD,
	SLOT_QUEUED,
	SLOT_TAKEN
} SlotState;

/* What a look over all slots needs, side by side. */
typedef struct Mark
{
	uint8 state;
	bool is_waiting; /* for a lock: in nobody's quota */
	Oid database;
	uint32 user; /* a hash, not 0 */
	uint32 key;  /* a hash; 0 where it is merged with none */
	int holder;  /* the process that holds it */
} Mark;

typedef struct Slot
{
	pg_atomic_uint64 id; /* 0: free */
	ConditionVariable settled;
	int waits;
	int tries;
	int64 due; /* by as_clock_ms */
	AsRecord record;
} Slot;

typedef struct Rate
{
	Oid database;
	int64 second;
	int logged;
} Rate;

/* Guarded by the lock; a submitter reads its slot's id without. */
typedef struct Recorder
{
	uint64 last_id;
	int used;
	int cursor; /* where the worker looks first */
	int64 full_logged;
	int64 unserved_logged;
	Rate rates[RATES];
	Mark marks[SLOTS];
	Slot slots[SLOTS];
} Recorder;

static Recorder *recorder = NULL;
static LWLock *recorder_lock = NULL;

/* ---- one slot; all under the lock ---- */

static uint32
hash_of(const void *bytes, size_t length)
{
	uint32 hash = hash_bytes(bytes, (int) length);

	return hash != 0 ? hash : 1;
}

/* Whose rows it is about: an address has them, too. */
static uint32
user_of(const AsRecord *record)
{
	if (record->kind == AS_RECORD_CODE_ATTEMPT)
		return hash_of(record->identifier, strlen(record->identifier));
	return hash_of(&record->event.user_id, sizeof(AsUuid));
}

/* What is merged: 0 for audit rows, of which each tells something else. */
static uint32
key_of(const AsRecord *record)
{
	switch (record->kind)
	{
		case AS_RECORD_REUSE:
			return hash_of(&record->event.session_id, sizeof(AsUuid));
		case AS_RECORD_CODE_ATTEMPT:
			return hash_of(record->identifier, strlen(record->identifier));
		default:
			return 0;
	}
}

static bool
are_one(const AsRecord *a, const AsRecord *b)
{
	if (a->kind != b->kind || a->database != b->database)
		return false;
	if (a->kind == AS_RECORD_REUSE)
		return as_uuid_equal(&a->event.user_id, &b->event.user_id) &&
		       as_uuid_equal(&a->event.session_id, &b->event.session_id);
	return strcmp(a->identifier, b->identifier) == 0 &&
	       strcmp(a->purpose, b->purpose) == 0;
}

/* The event stays the first's, if that is to be told. */
static void
merge(AsRecord *into, const AsRecord *from)
{
	int times = into->times + from->times;

	if (into->is_unlogged)
		*into = *from;
	into->times = times;
}

static void
slot_fill(int number, const AsRecord *record)
{
	Mark *mark = &recorder->marks[number];
	Slot *slot = &recorder->slots[number];

	mark->state = SLOT_QUEUED;
	mark->is_waiting = false;
	mark->database = record->database;
	mark->user = user_of(record);
	mark->key = key_of(record);
	slot->waits = 0;
	slot->tries = 0;
	slot->due = 0;
	slot->record = *record;
}

static void
slot_occupy(int number)
{
	recorder->used++;
	pg_atomic_write_u64(&recorder->slots[number].id, ++recorder->last_id);
}

static void
slot_free(int number)
{
	memset(&recorder->marks[number], 0, sizeof(Mark));
	recorder->used--;
	pg_atomic_write_u64(&recorder->slots[number].id, 0);
	ConditionVariableBroadcast(&recorder->slots[number].settled);
}

/* ---- all slots; under the lock ---- */

/* What there is of a database, and for a record of it. */
typedef struct Survey
{
	int free; /* -1: none */
	int same; /* a queued record that is one with it; -1: none */
	int in_quota;
	int waiting;
	int waiting_of_user;
} Survey;

/* record may be NULL: then nothing is the same. */
static Survey
survey(Oid database, const AsRecord *record)
{
	Survey found = {.free = -1, .same = -1};
	uint32 key = record == NULL ? 0 : key_of(record);
	uint32 user = record == NULL ? NO_USER : user_of(record);

	for (int i = 0; i < SLOTS; i++)
	{
		const Mark *mark = &recorder->marks[i];

		if (mark->state == SLOT_FREE && found.free < 0)
			found.free = i;
		if (mark->state == SLOT_FREE || mark->database != database)
			continue;
		if (mark->is_waiting)
			found.waiting++;
		else
			found.in_quota++;
		if (mark->is_waiting && mark->key != 0 && mark->user == user)
			found.waiting_of_user++;
		if (key != 0 && mark->key == key && mark->state == SLOT_QUEUED &&
		    are_one(&recorder->slots[i].record, record))
			found.same = i;
	}
	return found;
}

static bool
has_room(const Survey *found, AsRecordKind kind)
{
	if (found->free < 0 || found->in_quota >= quotas[kind])
		return false;
	if (kind != AS_RECORD_EVENT &&
	    found->waiting_of_user >= WAITING_OF_USER_MOST)
		return false;
	return recorder->used < SLOTS - SLOTS_KEPT || found->in_quota < FEW;
}

/* The audit rows of this second in a database; NULL where there is no room. */
static Rate *
rate_of(Oid database)
{
	int64 second = as_clock_ms() / 1000;
	Rate *rate = NULL;

	for (int i = 0; i < RATES; i++)
	{
		Rate *other = &recorder->rates[i];

		if (other->database == database)
		{
			rate = other;
			break;
		}
		if (rate == NULL && other->second < second)
			rate = other;
	}
	if (rate != NULL && (rate->database != database || rate->second < second))
		*rate = (Rate){.database = database, .second = second};
	return rate;
}

/* ---- start and stop of the server ---- */

/* In the postmaster, when all others are gone: no lock. */
static void
recorder_keep(int code, Datum arg)
{
	AsRecord *records;
	int count = 0;

	if (code != 0 || recorder->used == 0)
		return;
	records = malloc(sizeof(AsRecord) * recorder->used);
	if (records == NULL)
		return;
	for (int i = 0; i < SLOTS; i++)
		if (recorder->marks[i].state == SLOT_QUEUED ||
		    recorder->marks[i].state == SLOT_TAKEN)
			records[count++] = recorder->slots[i].record;
	if (count > 0)
		as_record_file_write(records, count);
	free(records);
}

static void
recorder_restore(void)
{
	AsRecord *records = palloc(sizeof(AsRecord) * SLOTS);
	int count = as_record_file_read(records, SLOTS);

	for (int i = 0; i < count; i++)
	{
		if (!as_dispatch_add(records[i].database))
			continue;
		slot_occupy(i);
		slot_fill(i, &records[i]);
	}
	pfree(records);
}

static void
recorder_attach(void *memory, bool is_new)
{
	recorder = memory;
	recorder_lock = &GetNamedLWLockTranche("auth_session recorder")->lock;
	if (!IsUnderPostmaster)
		on_shmem_exit(recorder_keep, (Datum) 0);
	if (!is_new)
		return;

	memset(recorder, 0, sizeof(Recorder));
	recorder->full_logged = -LOG_INTERVAL_MS;
	recorder->unserved_logged = -LOG_INTERVAL_MS;
	for (int i = 0; i < SLOTS; i++)
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

/* Whether the log has not said so for a while. */
static bool
is_due(int64 *last)
{
	int64 now = as_clock_ms();
	bool due;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	due = now - *last >= LOG_INTERVAL_MS;
	if (due)
		*last = now;
	LWLockRelease(recorder_lock);
	return due;
}

static void
log_full(void)
{
	if (is_due(&recorder->full_logged))
		ereport(LOG, (errmsg("the queue of the auth_session recorder is full"),
		              errdetail("A failure that must be recorded is answered "
		                        "with \"busy\".")));
}

static bool
is_served(void)
{
	if (as_dispatch_is_served())
		return true;
	if (is_due(&recorder->unserved_logged))
		ereport(LOG,
		        (errmsg("the auth_session recorder is not running: nothing "
		                "can be recorded"),
		         errdetail("A failure that must be recorded is answered with "
		                   "\"busy\"; no session is ended for the reuse of its "
		                   "refresh token."),
		         errhint("Raise max_worker_processes, of which the recorder "
		                 "needs one, and restart the server.")));
	return false;
}

/* Places that this process holds. */
static int holding = 0;

/* Under the lock. */
static void
let_go(int number)
{
	Assert(recorder->marks[number].state == SLOT_HELD);
	holding--;
	slot_free(number);
}

static void
let_go_of_all(void)
{
	if (holding == 0)
		return;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
		if (recorder->marks[i].state == SLOT_HELD &&
		    recorder->marks[i].holder == MyProcPid)
			let_go(i);
	LWLockRelease(recorder_lock);
}

static void
holder_on_exit(int code, Datum arg)
{
	let_go_of_all();
}

static void
holder_on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT ||
	    event == XACT_EVENT_PREPARE)
		let_go_of_all();
}

static void
register_holder_once(void)
{
	static bool registered = false;

	if (registered)
		return;
	before_shmem_exit(holder_on_exit, (Datum) 0);
	RegisterXactCallback(holder_on_transaction_end, NULL);
	registered = true;
}

bool
as_recorder_hold(AsRecordKind kind, AsRecordHold *hold)
{
	Survey found;

	Assert(hold->id == 0);
	if (RecoveryInProgress())
		return true;
	if (!is_served())
		return false;
	register_holder_once();
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	found = survey(MyDatabaseId, NULL);
	if (has_room(&found, kind))
	{
		slot_occupy(found.free);
		recorder->marks[found.free] = (Mark){
		    .state = SLOT_HELD, .database = MyDatabaseId, .holder = MyProcPid};
		holding++;
		hold->slot = found.free;
		hold->id = recorder->last_id;
	}
	LWLockRelease(recorder_lock);
	if (hold->id == 0)
		log_full();
	return hold->id != 0;
}

void
as_recorder_let_go(AsRecordHold *hold)
{
	if (hold->id == 0)
		return;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	let_go(hold->slot);
	LWLockRelease(recorder_lock);
	hold->id = 0;
}

/*
 * Queues a record, or merges it into one that is queued, and returns its slot:
 * -1 when there is no room. *is_new where the dispatcher must hear of it.
 */
static int
enqueue(const AsRecord *record, bool has_place, bool *is_new)
{
	Survey found = survey(record->database, record);

	*is_new = false;
	if (found.same >= 0)
	{
		merge(&recorder->slots[found.same].record, record);
		return found.same;
	}
	if (found.free < 0 || (!has_place && !has_room(&found, record->kind)))
		return -1;
	*is_new = true;
	slot_occupy(found.free);
	slot_fill(found.free, record);
	return found.free;
}

static AsRecordOutcome
wait_for(int number, uint64 id, int wait_ms)
{
	Slot *slot = &recorder->slots[number];
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

/* Under the lock. */
static AsRecordOutcome
hand_over(AsRecord *record, AsRecordHold *hold, int *number, bool *is_new)
{
	bool has_place = hold->id != 0;
	Rate *rate = rate_of(record->database);

	*is_new = false;
	if (has_place)
		let_go(hold->slot);
	hold->id = 0;
	record->is_unlogged = rate == NULL || rate->logged >= LOGGED_PER_S;
	if (record->is_unlogged && record->kind == AS_RECORD_EVENT)
		return AS_RECORD_COUNTED;
	*number = enqueue(record, has_place, is_new);
	if (*is_new && !record->is_unlogged)
		rate->logged++;
	return *number < 0 ? AS_RECORD_FULL : AS_RECORD_QUEUED;
}

AsRecordOutcome
as_recorder_submit(AsRecord *record, AsRecordHold *hold, int wait_ms)
{
	AsRecordHold none = {0};
	AsRecordOutcome outcome;
	uint64 id = 0;
	int number;
	bool is_new;

	record->database = MyDatabaseId;
	record->times = 1;
	if (hold == NULL)
		hold = &none;
	if (RecoveryInProgress())
		return AS_RECORD_IMPOSSIBLE;
	if (!is_served())
		return AS_RECORD_FULL;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	outcome = hand_over(record, hold, &number, &is_new);
	if (outcome == AS_RECORD_QUEUED)
		id = pg_atomic_read_u64(&recorder->slots[number].id);
	LWLockRelease(recorder_lock);

	if (is_new && !as_dispatch_add(record->database))
	{
		LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
		slot_free(number);
		LWLockRelease(recorder_lock);
		outcome = AS_RECORD_FULL;
	}
	if (outcome == AS_RECORD_FULL)
		log_full();
	return outcome == AS_RECORD_QUEUED ? wait_for(number, id, wait_ms)
	                                   : outcome;
}

/* ---- the worker's side ---- */

/* Only one worker at a time serves a database, so what is taken is its own. */
static void
recorder_on_exit(int code, Datum arg)
{
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
		if (recorder->marks[i].database == MyDatabaseId &&
		    recorder->marks[i].state == SLOT_TAKEN)
			recorder->marks[i].state = SLOT_QUEUED;
	LWLockRelease(recorder_lock);
}

static void
register_exit_once(void)
{
	static bool registered = false;

	if (registered)
		return;
	before_shmem_exit(recorder_on_exit, (Datum) 0);
	registered = true;
}

/* Under the lock. */
static void
take(int number, AsTaken *taken)
{
	const Slot *slot = &recorder->slots[number];

	recorder->marks[number].state = SLOT_TAKEN;
	taken->slot = number;
	taken->waits = slot->waits;
	taken->tries = slot->tries;
	taken->record = slot->record;
}

int
as_recorder_take(AsTaken *taken, int most, long *wait_ms)
{
	int64 now = as_clock_ms();
	int count = 0;
	int failed = 0;
	int begin;

	register_exit_once();
	*wait_ms = -1;
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	begin = recorder->cursor;
	for (int i = 0; recorder->used > 0 && i < SLOTS && count < most; i++)
	{
		int number = (begin + i) % SLOTS;
		const Mark *mark = &recorder->marks[number];
		const Slot *slot = &recorder->slots[number];
		int64 left_ms;

		if (mark->state != SLOT_QUEUED || mark->database != MyDatabaseId)
			continue;
		left_ms = Max(slot->due - now, 0);
		if (slot->waits + slot->tries > 0 &&
		    (left_ms > 0 || failed * FRESH_TO_FAILED >= most))
		{
			if (*wait_ms < 0 || left_ms < *wait_ms)
				*wait_ms = (long) left_ms;
			continue;
		}
		if (slot->waits + slot->tries > 0)
			failed++;
		take(number, &taken[count++]);
		/* Round and round, so that none waits for ever. */
		recorder->cursor = (number + 1) % SLOTS;
	}
	LWLockRelease(recorder_lock);
	return count;
}

void
as_recorder_settle(const AsTaken *taken, int count)
{
	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
		slot_free(taken[i].slot);
	LWLockRelease(recorder_lock);
	as_dispatch_remove(MyDatabaseId, count);
}

void
as_recorder_put_back(const AsTaken *taken, int delay_ms)
{
	Slot *slot = &recorder->slots[taken->slot];
	Mark *mark = &recorder->marks[taken->slot];
	Survey found;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	found = survey(MyDatabaseId, &slot->record);
	if (found.same >= 0)
	{
		/* Another came meanwhile, which is one with this and goes with it. */
		merge(&slot->record, &recorder->slots[found.same].record);
		slot_free(found.same);
	}
	mark->state = SLOT_QUEUED;
	mark->is_waiting = mark->is_waiting || found.waiting < WAITING_MOST;
	slot->waits = taken->waits;
	slot->tries = taken->tries;
	slot->due = as_clock_ms() + delay_ms;
	LWLockRelease(recorder_lock);
	if (found.same >= 0)
		as_dispatch_remove(MyDatabaseId, 1);
}

int
as_recorder_discard(Oid database)
{
	int count = 0;

	LWLockAcquire(recorder_lock, LW_EXCLUSIVE);
	for (int i = 0; i < SLOTS; i++)
	{
		if (recorder->marks[i].state != SLOT_QUEUED ||
		    recorder->marks[i].database != database)
			continue;
		slot_free(i);
		count++;
	}
	LWLockRelease(recorder_lock);
	as_dispatch_remove(database, count);
	return count;
}

int
as_recorder_waiting(Oid database)
{
	int count = 0;

	LWLockAcquire(recorder_lock, LW_SHARED);
	for (int i = 0; i < SLOTS; i++)
		if (recorder->marks[i].database == database &&
		    (recorder->marks[i].state == SLOT_QUEUED ||
		     recorder->marks[i].state == SLOT_TAKEN))
			count++;
	LWLockRelease(recorder_lock);
	return count;
}
