/*
 * hash_gate.c: how many password hashes are computed at once.
 *
 * A computation takes tens of megabytes and a core for tens of milliseconds.
 * A place in the gate is the right to one. Who finds no place waits in line,
 * as one of a bounded number and for a bounded time, and can be cancelled
 * meanwhile; who finds the line full is told at once. So a storm of sign-ins
 * takes places x memory and no more, and no pool is drained by callers that
 * wait.
 *
 * A backend has at most one place. It gives it back by leave; failing that
 * at the end of its transaction, and in before_shmem_exit, since FATAL
 * runs no PG_FINALLY. (After a SIGKILL the server makes all shared memory
 * anew.)
 */
#include "shared/shared.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/spin.h"

typedef struct HashGate
{
	slock_t lock;
	int running;
	int waiting;
	ConditionVariable freed;
} HashGate;

typedef enum Place
{
	OUTSIDE,
	WAITING,
	INSIDE
} Place;

static HashGate *gate = NULL;
static Place place = OUTSIDE;

static void
gate_attach(void *memory, bool is_new)
{
	gate = memory;
	if (!is_new)
		return;

	memset(gate, 0, sizeof(HashGate));
	SpinLockInit(&gate->lock);
	ConditionVariableInit(&gate->freed);
}

void
as_hash_gate_init(void)
{
	static const AsSharedArea area = {.name = "auth_session hash gate",
	                                  .size = sizeof(HashGate),
	                                  .attach = gate_attach};

	as_shared_area_add(&area);
}

/*
 * Whoever is first in line is woken whenever a place may be free: a waiter
 * may be woken in vain, but none sleeps beside a free place.
 */
static void
gate_wake_next(bool anyone_waits)
{
	if (anyone_waits)
		ConditionVariableSignal(&gate->freed);
}

static void
gate_give_back(void)
{
	bool anyone_waits;

	if (place == OUTSIDE)
		return;

	SpinLockAcquire(&gate->lock);
	if (place == INSIDE)
		gate->running--;
	else
		gate->waiting--;
	anyone_waits = gate->waiting > 0;
	SpinLockRelease(&gate->lock);
	place = OUTSIDE;
	gate_wake_next(anyone_waits);
}

static void
gate_on_exit(int code, Datum arg)
{
	gate_give_back();
}

static void
gate_on_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT ||
	    event == XACT_EVENT_PREPARE)
		gate_give_back();
}

static void
gate_register_once(void)
{
	static bool registered = false;

	if (registered)
		return;
	before_shmem_exit(gate_on_exit, (Datum) 0);
	RegisterXactCallback(gate_on_transaction_end, NULL);
	registered = true;
}

/* A newcomer goes in only when nobody waits, else to the end of the line. */
static void
gate_arrive(int max_running, int max_waiting)
{
	Place taken = OUTSIDE;

	SpinLockAcquire(&gate->lock);
	if (gate->running < max_running && gate->waiting == 0)
	{
		gate->running++;
		taken = INSIDE;
	}
	else if (gate->waiting < max_waiting)
	{
		gate->waiting++;
		taken = WAITING;
	}
	SpinLockRelease(&gate->lock);
	place = taken;
}

static bool
gate_advance(int max_running)
{
	bool wake = false;

	SpinLockAcquire(&gate->lock);
	if (gate->running < max_running)
	{
		gate->waiting--;
		gate->running++;
		place = INSIDE;
		/* More than one place may have come free since the last signal. */
		wake = gate->running < max_running && gate->waiting > 0;
	}
	SpinLockRelease(&gate->lock);
	gate_wake_next(wake);
	return place == INSIDE;
}

static void
gate_wait(int max_running, int wait_ms)
{
	int64 end = as_clock_ms() + wait_ms;
	bool timed_out = false;

	ConditionVariablePrepareToSleep(&gate->freed);
	while (!gate_advance(max_running) && !timed_out)
	{
		int64 left_ms = end - as_clock_ms();

		timed_out = left_ms <= 0 || ConditionVariableTimedSleep(
		                                &gate->freed, (long) left_ms,
		                                AS_WAIT_EVENT("AuthSessionHashGate"));
	}
	ConditionVariableCancelSleep();
}

bool
as_hash_gate_enter(int max_running, int max_waiting, int wait_ms)
{
	Assert(place == OUTSIDE);

	gate_register_once();
	gate_arrive(max_running, max_waiting);
	if (place == WAITING)
	{
		as_counter_add(AS_COUNT_HASH_WAITS);
		PG_TRY();
		{
			gate_wait(max_running, wait_ms);
		}
		PG_FINALLY();
		{
			if (place == WAITING)
				gate_give_back();
		}
		PG_END_TRY();
	}
	return place == INSIDE;
}

void
as_hash_gate_leave(void)
{
	gate_give_back();
}

int
as_hash_gate_waiting(void)
{
	int waiting;

	SpinLockAcquire(&gate->lock);
	waiting = gate->waiting;
	SpinLockRelease(&gate->lock);
	return waiting;
}
