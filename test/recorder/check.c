/*
 * check.c: the recorder's queue without a server: who gets a place in it when
 * somebody fills it. Prints TAP; exit status 0 only when every line passed.
 *
 * The caller and the worker are this one process, which says each time what it
 * is; the clock is in our hands.
 */
#include "shared/shared.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "utils/resowner.h"

/* In the order in which they register. */
#define WORKER 0
#define HOLDER 1

/* ---- what the server has of it ---- */

Oid MyDatabaseId = 1;
int MyProcPid = 100;
bool IsUnderPostmaster = false;
bool auth_session_notify = true;
volatile uint32 CritSectionCount = 0;

static int64 clock_ms = 5000000;
static bool is_served = true;
static bool dispatch_is_full = false;
static bool is_standby = false;
static int in_dispatch = 0;
static int logged = 0;
static int locks = 0;
static int broadcasts = 0;
static XactCallback at_end_of_transaction = NULL;
static ResourceReleaseCallback at_release = NULL;
static pg_on_exit_callback at_exit[2];
static int at_exits = 0;
static pg_on_exit_callback at_stop = NULL;
static AsRecord in_file[8192];
static int in_file_count = 0;
static AsSharedArea area;
static LWLockPadded tranche;

int64
as_clock_ms(void)
{
	return clock_ms;
}

/* As the server's start does it. */
static void
start(void)
{
	static void *memory = NULL;

	free(memory);
	memory = calloc(1, area.size);
	area.attach(memory, true);
}

void
as_shared_area_add(const AsSharedArea *added)
{
	area = *added;
	start();
}

void
as_dispatch_init(void)
{
}

bool
as_dispatch_is_served(void)
{
	return is_served;
}

bool
as_dispatch_add(Oid database)
{
	in_dispatch += !dispatch_is_full;
	return !dispatch_is_full;
}

void
as_dispatch_remove(Oid database, int count)
{
	in_dispatch -= count;
}

static int woken = 0;

void
as_dispatch_wake(AsWork work)
{
	woken += work;
}

void
as_record_file_write(const AsRecord *records, int count)
{
	memcpy(in_file, records, sizeof(AsRecord) * count);
	in_file_count = count;
}

int
as_record_file_read(AsRecord *records, int most)
{
	int count = in_file_count;

	memcpy(records, in_file, sizeof(AsRecord) * count);
	in_file_count = 0;
	return count;
}

LWLockPadded *
GetNamedLWLockTranche(const char *name)
{
	return &tranche;
}

bool
LWLockAcquire(LWLock *lock, LWLockMode mode)
{
	if (locks++ != 0)
		abort();
	return true;
}

void
LWLockRelease(LWLock *lock)
{
	if (--locks != 0)
		abort();
}

void
ConditionVariableInit(ConditionVariable *cv)
{
}

void
ConditionVariableBroadcast(ConditionVariable *cv)
{
	broadcasts++;
}

void
ConditionVariablePrepareToSleep(ConditionVariable *cv)
{
}

bool
ConditionVariableTimedSleep(ConditionVariable *cv, long timeout, uint32 event)
{
	clock_ms += timeout;
	return true;
}

#if PG_VERSION_NUM >= 170000
uint32
WaitEventExtensionNew(const char *name)
{
	return PG_WAIT_EXTENSION;
}
#endif

#if PG_VERSION_NUM >= 160000
bool
ConditionVariableCancelSleep(void)
{
	return false;
}
#else
void
ConditionVariableCancelSleep(void)
{
}
#endif

bool
RecoveryInProgress(void)
{
	return is_standby;
}

void
RegisterXactCallback(XactCallback callback, void *arg)
{
	at_end_of_transaction = callback;
}

void
RegisterResourceReleaseCallback(ResourceReleaseCallback callback, void *arg)
{
	at_release = callback;
}

void
before_shmem_exit(pg_on_exit_callback callback, Datum arg)
{
	at_exit[at_exits++] = callback;
}

void
on_shmem_exit(pg_on_exit_callback callback, Datum arg)
{
	at_stop = callback;
}

bool
errstart(int level, const char *domain)
{
	logged++;
	return false;
}

void
errfinish(const char *file, int line, const char *function)
{
}

#if PG_VERSION_NUM >= 160000
void
ExceptionalCondition(const char *condition, const char *file, int line)
#else
void
ExceptionalCondition(const char *condition, const char *type, const char *file,
                     int line)
#endif
{
	abort();
}

int
errmsg(const char *format, ...)
{
	return 0;
}

int
errdetail(const char *format, ...)
{
	return 0;
}

int
errhint(const char *format, ...)
{
	return 0;
}

void *
palloc(Size size)
{
	return malloc(size);
}

void
pfree(void *memory)
{
	free(memory);
}

/* ---- the checks ---- */

static int checks = 0;
static int failures = 0;

static void
check(bool passed, const char *format, ...)
{
	va_list args;

	checks++;
	failures += !passed;
	printf("%sok %d - ", passed ? "" : "not ", checks);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

/* An empty queue, in a second that nobody has used. */
static void
begin(void)
{
	clock_ms += 10 * 60 * 1000;
	in_dispatch = 0;
	logged = 0;
	MyDatabaseId = 1;
	start();
}

static AsUuid
uuid_of(int number)
{
	AsUuid uuid = {{0}};

	memcpy(uuid.bytes, &number, sizeof(number));
	return uuid;
}

/* In a second of its own unless it is one of many. */
static AsRecordOutcome
submit(Oid database, AsRecordKind kind, int user, int thing)
{
	AsRecord record = {.kind = kind};

	MyDatabaseId = database;
	record.event.user_id = uuid_of(user);
	if (kind == AS_RECORD_REUSE)
		record.event.session_id = uuid_of(thing);
	else
		snprintf(record.identifier, sizeof(record.identifier), "%d", thing);
	return as_recorder_submit(&record, NULL, 0);
}

/* How many of so many, each of a user of its own, get a place. */
static int
submit_many(Oid database, AsRecordKind kind, int first, int count)
{
	int queued = 0;

	for (int i = first; i < first + count; i++)
	{
		clock_ms += 1000;
		queued += submit(database, kind, i, i) == AS_RECORD_QUEUED;
	}
	return queued;
}

static AsTaken hand[8192];

static int
take(Oid database, int most)
{
	long wait_ms;

	MyDatabaseId = database;
	return as_recorder_take(hand, most, &wait_ms);
}

/* The worker takes all there is, and finds every row locked. */
static int
all_wait(Oid database)
{
	int count = take(database, 8192);

	for (int i = 0; i < count; i++)
	{
		hand[i].waits++;
		as_recorder_put_back(&hand[i], 50);
	}
	return count;
}

static void
settle_all(Oid database)
{
	int count;

	for (clock_ms += 100000; (count = take(database, 8192)) > 0;
	     clock_ms += 100000)
		as_recorder_settle(hand, count);
}

static void
check_merging(void)
{
	int queued = 0;

	begin();
	for (int i = 0; i < 10000; i++)
		queued += submit(1, AS_RECORD_REUSE, 1, 1) == AS_RECORD_QUEUED;
	check(queued == 10000 && in_dispatch == 1,
	      "H8: 10,000 reuses of one session are one record");
	for (int i = 0; i < 7; i++)
		(void) submit(1, AS_RECORD_CODE_ATTEMPT, 1, 1);
	check(in_dispatch == 2, "seven tries of one code are another");
	(void) submit(1, AS_RECORD_REUSE, 1, 2);
	(void) submit(1, AS_RECORD_REUSE, 2, 1);
	(void) submit(2, AS_RECORD_REUSE, 1, 1);
	(void) submit(1, AS_RECORD_CODE_ATTEMPT, 1, 2);
	check(in_dispatch == 6, "another session, user, database, code are others");
	check(take(1, 8192) == 5, "a worker takes its database's");
	for (int i = 0; i < 5; i++)
		if (hand[i].record.kind == AS_RECORD_CODE_ATTEMPT &&
		    strcmp(hand[i].record.identifier, "1") == 0)
			check(hand[i].record.times == 7, "and no try is lost");

	/* While all five are in the worker's hand. */
	for (int i = 0; i < 10000; i++)
		(void) submit(1, AS_RECORD_REUSE, 1, 1);
	check(in_dispatch == 7, "what is at work is merged with none");
	(void) submit(1, AS_RECORD_CODE_ATTEMPT, 1, 1);
	check(in_dispatch == 8, "nor are tries");
	for (int i = 0; i < 5; i++)
		as_recorder_put_back(&hand[i], 0);
	check(in_dispatch == 6, "until it is put back");
	check(take(1, 8192) == 5, "and then is one again");
	for (int i = 0; i < 5; i++)
		if (hand[i].record.kind == AS_RECORD_CODE_ATTEMPT &&
		    strcmp(hand[i].record.identifier, "1") == 0)
			check(hand[i].record.times == 8, "with every try");
	as_recorder_settle(hand, 5);
	check(in_dispatch == 1 && take(1, 8192) == 0, "settled, it is gone");
	check(take(2, 8192) == 1 && hand[0].record.times == 1,
	      "another database's is not");
	for (int i = 0; i < 3; i++)
		(void) submit(1, AS_RECORD_EVENT, 1, 1);
	check(take(1, 8192) == 3, "audit rows are merged never");
}

static void
check_quotas(void)
{
	int events;
	int codes;
	int reuses;

	begin();
	events = submit_many(1, AS_RECORD_EVENT, 1, 1000);
	codes = submit_many(1, AS_RECORD_CODE_ATTEMPT, 1, 1000);
	reuses = submit_many(1, AS_RECORD_REUSE, 1, 1000);
	check(events > 0 && codes > 0 && reuses > 0 && logged > 0,
	      "H8: %d audit rows, %d more tries, %d more ends of sessions", events,
	      codes, reuses);
	check(submit(1, AS_RECORD_REUSE, 5000, 5000) == AS_RECORD_FULL,
	      "then it is full for this database");
	check(submit(1, AS_RECORD_REUSE, 1, 1) == AS_RECORD_QUEUED,
	      "but not for what is in it");
	check(submit_many(2, AS_RECORD_REUSE, 1, 100) == 100,
	      "H8: another database has its own");

	/* Databases without number: the last quarter is for who has little. */
	for (Oid database = 3; database < 40; database++)
		(void) submit_many(database, AS_RECORD_REUSE, 1, 1000);
	check(in_dispatch > 3000 &&
	          submit(3, AS_RECORD_REUSE, 1001, 1001) == AS_RECORD_FULL,
	      "(nearly all of the queue is in use)");
	check(submit_many(100, AS_RECORD_EVENT, 1, 10) == 10,
	      "H8: a database with little still has room");
	logged = 0;
	(void) submit(3, AS_RECORD_REUSE, 1001, 1001);
	(void) submit(3, AS_RECORD_REUSE, 1001, 1001);
	clock_ms += 60000;
	(void) submit(3, AS_RECORD_REUSE, 1001, 1001);
	check(logged >= 1 && logged <= 2, "the log says so once a minute");
}

/* Makes all, a batch at a time: how many of one had waited, at most. */
static int
most_that_waited(Oid database)
{
	int most = 0;
	int count;

	for (clock_ms += 1000; (count = take(database, 64)) > 0;)
	{
		int waited = 0;

		for (int i = 0; i < count; i++)
			waited += hand[i].waits > 0;
		most = Max(most, waited);
		as_recorder_settle(hand, count);
	}
	return most;
}

static void
check_waiting(void)
{
	long wait_ms;

	begin();
	(void) submit_many(1, AS_RECORD_CODE_ATTEMPT, 1, 190);
	check(all_wait(1) == 190, "(all wait for a lock)");
	check(submit_many(1, AS_RECORD_CODE_ATTEMPT, 1000, 192) == 192,
	      "H8: what waits for a lock takes nobody's place");
	check(submit_many(1, AS_RECORD_EVENT, 1, 10) == 0,
	      "(what does not wait has its quota)");
	check(most_that_waited(1) == 4,
	      "of what the worker takes at once few have waited");
	check(in_dispatch == 0, "and all are made in the end");

	/* Of one user so many, so that one login fills no database. */
	begin();
	for (int i = 0; i < 8; i++)
		(void) submit(1, AS_RECORD_REUSE, 7, i);
	(void) all_wait(1);
	check(submit(1, AS_RECORD_REUSE, 7, 100) == AS_RECORD_FULL,
	      "H8: who has eight of them waiting gets no more");
	check(submit(1, AS_RECORD_REUSE, 7, 3) == AS_RECORD_QUEUED,
	      "but for the same ones");
	check(submit(1, AS_RECORD_EVENT, 7, 1) == AS_RECORD_QUEUED,
	      "nor for what waits for no row");
	check(submit(1, AS_RECORD_REUSE, 8, 100) == AS_RECORD_QUEUED,
	      "H8: another user does");
	settle_all(1);
	check(submit(1, AS_RECORD_REUSE, 7, 100) == AS_RECORD_QUEUED,
	      "and so does the first when they are made");

	begin();
	for (int i = 0; i < 20; i++)
		(void) submit(1, AS_RECORD_EVENT, 7, i);
	(void) all_wait(1);
	check(submit(1, AS_RECORD_REUSE, 7, 1) == AS_RECORD_QUEUED,
	      "audit rows that wait keep nobody's session alive");

	/* Beyond what may wait they count for the quota, and none is lost. */
	begin();
	for (int round = 0; round < 4; round++)
	{
		(void) submit_many(1, AS_RECORD_REUSE, 1000 * round, 300);
		clock_ms += 1000;
		for (int i = 0; i < 200; i++)
			(void) all_wait(1);
	}
	check(submit(1, AS_RECORD_REUSE, 9000, 9000) == AS_RECORD_FULL,
	      "what waits is bounded, too");
	check(in_dispatch > 500 && in_dispatch < 700, "at %d", in_dispatch);
	check(submit(2, AS_RECORD_REUSE, 1, 1) == AS_RECORD_QUEUED,
	      "H8: and nothing to another database");

	begin();
	(void) submit(1, AS_RECORD_REUSE, 1, 1);
	(void) take(1, 1);
	hand[0].waits++;
	as_recorder_put_back(&hand[0], 500);
	check(as_recorder_take(hand, 64, &wait_ms) == 0 && wait_ms == 500,
	      "one that waits says for how long");
	check(in_dispatch == 1, "and is there");
}

static void
check_rate(void)
{
	int told = 0;

	begin();
	clock_ms = clock_ms / 1000 * 1000;
	for (int i = 0; i < 1000; i++)
		told += submit(1, AS_RECORD_EVENT, i, i) == AS_RECORD_COUNTED;
	check(told == 950, "H9: of 1,000 refusals in a second 50 are on record");
	check(take(1, 8192) == 50, "and no more");
	as_recorder_settle(hand, 50);
	check(submit(1, AS_RECORD_REUSE, 1, 1) == AS_RECORD_QUEUED &&
	          take(1, 1) == 1 && hand[0].record.is_unlogged,
	      "H9: a session ends all the same, without a row");
	as_recorder_settle(hand, 1);
	(void) submit(1, AS_RECORD_CODE_ATTEMPT, 1, 1);
	clock_ms += 1000;
	(void) submit(1, AS_RECORD_CODE_ATTEMPT, 1, 1);
	check(take(1, 1) == 1 && !hand[0].record.is_unlogged &&
	          hand[0].record.times == 2,
	      "of several that are one, one may have the row");
	as_recorder_settle(hand, 1);
	for (int i = 0; i < 50; i++)
		(void) submit(1, AS_RECORD_EVENT, i, i);
	as_recorder_settle(hand, take(1, 8192));
	(void) submit(2, AS_RECORD_EVENT, 1, 1);
	check(take(2, 1) == 1 && !hand[0].record.is_unlogged,
	      "H9: another database has its own");
	clock_ms += 1000;
	(void) submit(1, AS_RECORD_EVENT, 1, 1);
	check(take(1, 1) == 1, "and so has the next second");
	as_recorder_settle(hand, 1);
	for (int i = 0; i < 1000; i++)
		(void) submit(1, AS_RECORD_REUSE, 1, 1);
	check(submit(1, AS_RECORD_EVENT, 1, 1) == AS_RECORD_QUEUED,
	      "what is merged makes no row, and counts for none");
}

static void
check_holding(void)
{
	AsRecordHold hold = {0};
	AsRecordHold holds[400] = {{0}};
	AsRecord record = {.kind = AS_RECORD_CODE_ATTEMPT};
	int held = 0;

	begin();
	check(as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &hold) && in_dispatch == 0,
	      "a place can be kept, and wakes nobody");
	check(take(1, 8192) == 0, "there is nothing in it");
	(void) submit_many(1, AS_RECORD_CODE_ATTEMPT, 1, 1000);
	clock_ms += 1000;
	strcpy(record.identifier, "9999");
	check(submit(1, AS_RECORD_CODE_ATTEMPT, 9998, 9998) == AS_RECORD_FULL &&
	          as_recorder_submit(&record, &hold, 0) == AS_RECORD_QUEUED,
	      "H8: whoever has one is recorded when it is full");
	check(hold.id == 0, "which uses it up");
	check(!as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &hold),
	      "and then there is none to be kept");
	settle_all(1);

	check(as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &hold), "(one more)");
	as_recorder_let_go(&hold);
	as_recorder_let_go(&hold);
	for (int i = 0; i < 400; i++)
		held += as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &holds[i]);
	check(held == 192, "kept places are in the quota: %d", held);
	at_end_of_transaction(XACT_EVENT_ABORT, NULL);
	memset(holds, 0, sizeof(holds));
	for (int i = 0, held = 0; i < 400; i++)
	{
		held += as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &holds[i]);
		if (i == 399)
			check(held == 192, "and end with their transaction");
	}
	at_exit[HOLDER](0, (Datum) 0);
	memset(holds, 0, sizeof(holds));
	check(as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &holds[0]),
	      "or their process");
	strcpy(record.identifier, "1");
	(void) as_recorder_submit(&record, NULL, 0);
	check(as_recorder_submit(&record, &holds[0], 0) == AS_RECORD_QUEUED &&
	          holds[0].id == 0 && in_dispatch == 1,
	      "what is merged needs none");
	settle_all(1);
	is_served = false;
	check(!as_recorder_hold(AS_RECORD_CODE_ATTEMPT, &hold) &&
	          submit(1, AS_RECORD_EVENT, 1, 1) == AS_RECORD_FULL && logged > 0,
	      "H8: without a worker there is no place");
	is_served = true;
	dispatch_is_full = true;
	check(submit(1, AS_RECORD_EVENT, 1, 1) == AS_RECORD_FULL && take(1, 1) == 0,
	      "nor where there are databases without number");
	dispatch_is_full = false;
	is_standby = true;
	check(submit(1, AS_RECORD_EVENT, 1, 1) == AS_RECORD_IMPOSSIBLE,
	      "a standby records nothing");
	check(as_recorder_hold(AS_RECORD_EVENT, &hold) && hold.id == 0,
	      "and needs no place");
	is_standby = false;
}

/* The end of a transaction, in the server's order. */
static void
release(bool is_commit)
{
	at_release(RESOURCE_RELEASE_BEFORE_LOCKS, is_commit, true, NULL);
	at_release(RESOURCE_RELEASE_LOCKS, is_commit, true, NULL);
	at_release(RESOURCE_RELEASE_AFTER_LOCKS, is_commit, true, NULL);
}

static void
commit(void)
{
	at_end_of_transaction(XACT_EVENT_COMMIT, NULL);
	release(true);
}

static void
check_life(void)
{
	AsRecordHold hold = {0};

	begin();
	(void) submit_many(1, AS_RECORD_REUSE, 1, 10);
	(void) submit_many(2, AS_RECORD_REUSE, 1, 5);
	check(take(1, 4) == 4, "(four in a worker's hand)");
	at_exit[WORKER](0, (Datum) 0);
	check(take(1, 8192) == 10, "a worker that ends has put back all it had");
	at_exit[WORKER](0, (Datum) 0);
	check(as_recorder_discard(2) == 5 && in_dispatch == 10,
	      "a database that is gone takes its own with it");
	check(take(2, 8192) == 0 && take(1, 8192) == 10, "and no other's");
	MyDatabaseId = 1;
	(void) as_recorder_hold(AS_RECORD_EVENT, &hold);
	at_stop(0, (Datum) 0);
	check(in_file_count == 10, "what is queued or taken outlives a stop");
	begin();
	check(in_dispatch == 10 && take(1, 8192) == 10,
	      "and is there when the server starts again");
	as_recorder_settle(hand, 10);
	at_stop(0, (Datum) 0);
	check(in_file_count == 0, "what is settled is not");
	(void) submit_many(1, AS_RECORD_REUSE, 1, 10);
	at_stop(1, (Datum) 0);
	check(in_file_count == 0, "nor what there is after a crash");

	broadcasts = 0;
	(void) take(1, 8192);
	as_recorder_settle(hand, 3);
	check(broadcasts == 3, "who waits for a record is woken");

	/* Always some that are new: the old ones get their turn, too. */
	begin();
	(void) submit_many(1, AS_RECORD_REUSE, 1, 100);
	for (int i = 0, seen = 0; i < 20; i++)
	{
		int count = take(1, 64);

		for (int j = 0; j < count; j++)
			seen += hand[j].record.event.user_id.bytes[0] == 100;
		as_recorder_settle(hand, count);
		(void) submit_many(1, AS_RECORD_REUSE, 1000 * (i + 1), 64);
		if (i == 19)
			check(seen > 0, "none waits for ever behind newer ones");
	}

	as_wake_on_commit(AS_WORK_BRIDGE);
	at_end_of_transaction(XACT_EVENT_ABORT, NULL);
	release(false);
	check(woken == 0, "a rollback wakes no bridge");
	as_wake_on_commit(AS_WORK_BRIDGE);
	at_release(RESOURCE_RELEASE_AFTER_LOCKS, true, true, NULL);
	check(woken == 0, "nor does what is released within a transaction");
	at_end_of_transaction(XACT_EVENT_COMMIT, NULL);
	check(woken == 0, "a commit does not before its invalidations are out");
	at_release(RESOURCE_RELEASE_LOCKS, true, true, NULL);
	at_release(RESOURCE_RELEASE_AFTER_LOCKS, true, false, NULL);
	check(woken == 0, "which is with the release of its locks");
	at_release(RESOURCE_RELEASE_AFTER_LOCKS, true, true, NULL);
	commit();
	check(woken == 1, "then it does, once");
	auth_session_notify = false;
	as_wake_on_commit(AS_WORK_BRIDGE);
	commit();
	check(woken == 1, "unless auth_session.notify is off");
	as_wake_on_commit(AS_WORK_FOLD);
	commit();
	check(woken == 1 + AS_WORK_FOLD, "which is nothing to other work");
}

int
main(void)
{
	as_recorder_init();
	check_merging();
	check_quotas();
	check_waiting();
	check_rate();
	check_holding();
	check_life();
	printf("1..%d\n", checks);
	return failures > 0;
}
