/*
 * throttle.c: attempts counted before the work, where no rollback reaches.
 *
 * A count-min sketch per database and limit: ROWS rows of cells, and a key
 * has one cell in each, picked by BLAKE2b under a random key made at server
 * start, so nobody can aim at another's cells. A key's count is the least of
 * its cells. That is never too low, whatever else is counted: nothing is
 * allocated, nothing is evicted, a flood of other keys can only make a count
 * too high.
 *
 * A cell counts what failed and, apart from it, what is being tried. A try
 * that turns out right is taken back, one that is wrong becomes a failure:
 *
 *     failed            >= allowed    AS_THROTTLED, until the window's end
 *     failed + tried    >= allowed    AS_BUSY: the tries may turn out right
 *     else                            the attempt is counted
 *
 * So of any number of parallel attempts no more than allowed fail, and right
 * ones at once are put off for a moment, not for the window. The cells of a
 * limit are split into parts, each under its own spinlock; a key's cells are
 * all in one part, so looking and counting are one step.
 *
 * A cell is good until its end and starts at 0 after it, tries too; no sweep
 * is needed. Windows lie on a grid that starts with the server, by the
 * monotonic clock: setting the system's clock ends none. Keys of different
 * window lengths (a setting can differ between roles) may meet in a cell; it
 * then keeps the later end. Across the edge of two windows up to twice the
 * limit can pass. AS_LIMIT_RESEND is a cooldown instead: its window starts
 * with the attempt.
 *
 * Each of the first OWN_SKETCHES databases has a sketch of its own, so that a
 * flood in one is not felt in another; it keeps it until it has counted
 * nothing for LONGEST_WINDOW_S, when every cell is over anyway. Those beyond
 * share the last one.
 *
 * How wrong can it be? A stranger's key is refused wrongly when all its ROWS
 * cells have reached the limit by other keys. With n other attempts counted
 * in the window, a cell has n / 32,768 of them on average. At a limit of 10
 * and n = 100,000 in the same database the odds are 3e-12, at 200,000 they
 * are 1e-4 (failed sign-ins: two cores compute about 45,000 hashes in 15
 * minutes). Where a proxy is trusted one client gets no further than
 * auth_session.refusal_rate_per_address. Cheaper to flood, without one, are
 * requests for messages: at 50,000 different identifiers within one cooldown
 * a third of the others have to wait for it, too. Sketches of different
 * limits share no cell, so that such a flood delays messages and nothing
 * else.
 *
 * Memory: a limit has 16 parts x 4 rows x 2,048 cells x 8 bytes = 1 MiB in
 * each of the 8 sketches. What no database uses is never touched.
 */
#include "shared/shared.h"

#include <sodium.h>

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/spin.h"

#define OWN_SKETCHES 7
#define SKETCHES     (OWN_SKETCHES + 1)

#define PARTS_BITS 4
#define PARTS      (1 << PARTS_BITS)
#define ROWS       4
#define ROW_BITS   11
#define CELLS      (1 << ROW_BITS)

#define FAILED_BITS 20
#define FAILED_MAX  ((1 << FAILED_BITS) - 1)
#define TRIED_BITS  12
#define TRIED_MAX   ((1 << TRIED_BITS) - 1)

/* Time is counted in ticks since the throttle's start: good for 13 years. */
#define TICKS_PER_S      10
#define LONGEST_WINDOW_S (24 * 60 * 60)

/* A try takes no longer than that, mostly. */
#define RETRY_TRIES_S 1

typedef struct Cell
{
	uint32 end;
	uint32 failed : FAILED_BITS;
	uint32 tried : TRIED_BITS;
} Cell;

typedef struct Part
{
	Cell cells[ROWS][CELLS];
} Part;

typedef struct Sketch
{
	Part parts[AS_LIMIT_COUNT][PARTS];
} Sketch;

typedef struct Throttle
{
	uint8 key[crypto_generichash_KEYBYTES];
	int64 start_ms;                        /* by as_clock_ms */
	slock_t claim;                         /* of a sketch */
	pg_atomic_uint64 owners[OWN_SKETCHES]; /* Oid << 32 | last used; or 0 */
	slock_t locks[SKETCHES][AS_LIMIT_COUNT][PARTS];
	Sketch sketches[SKETCHES];
} Throttle;

static Throttle *throttle = NULL;

/* The system hands out zeroed pages, and most of these stay untouched. */
static void
throttle_attach(void *memory, bool is_new)
{
	throttle = memory;
	if (!is_new)
		return;

	memset(throttle, 0, offsetof(Throttle, sketches));
	SpinLockInit(&throttle->claim);
	for (int i = 0; i < OWN_SKETCHES; i++)
		pg_atomic_init_u64(&throttle->owners[i], 0);
	for (int i = 0; i < SKETCHES; i++)
		for (int limit = 0; limit < AS_LIMIT_COUNT; limit++)
			for (int part = 0; part < PARTS; part++)
				SpinLockInit(&throttle->locks[i][limit][part]);
	randombytes_buf(throttle->key, sizeof(throttle->key));
	throttle->start_ms = as_clock_ms();
}

void
as_throttle_init(void)
{
	static const AsSharedArea area = {.name = "auth_session throttle",
	                                  .size = sizeof(Throttle),
	                                  .attach = throttle_attach};

	as_shared_area_add(&area);
}

static uint32
now_in_ticks(void)
{
	return (uint32) ((as_clock_ms() - throttle->start_ms) * TICKS_PER_S / 1000);
}

/* ---- the sketch of this database ---- */

static Oid
owner_oid(uint64 owner)
{
	return (Oid) (owner >> 32);
}

/* All that it has counted is over. */
static bool
owner_is_over(uint64 owner, uint32 now)
{
	return (uint64) (uint32) owner + (LONGEST_WINDOW_S + 1) * TICKS_PER_S < now;
}

static int
find_own_sketch(uint32 now)
{
	uint64 used = (uint64) MyDatabaseId << 32 | now;

	for (int i = 0; i < OWN_SKETCHES; i++)
	{
		uint64 owner = pg_atomic_read_u64(&throttle->owners[i]);

		/* That it was used is said first, so that nobody takes it over. */
		while (owner_oid(owner) == MyDatabaseId)
			if ((uint32) owner >= now ||
			    pg_atomic_compare_exchange_u64(&throttle->owners[i], &owner,
			                                   used))
				return i;
	}
	return -1;
}

static int
claim_sketch(uint32 now)
{
	uint64 used = (uint64) MyDatabaseId << 32 | now;
	int found;

	SpinLockAcquire(&throttle->claim);
	found = find_own_sketch(now);
	for (int i = 0; found < 0 && i < OWN_SKETCHES; i++)
	{
		uint64 owner = pg_atomic_read_u64(&throttle->owners[i]);

		if ((owner == 0 || owner_is_over(owner, now)) &&
		    pg_atomic_compare_exchange_u64(&throttle->owners[i], &owner, used))
			found = i;
	}
	SpinLockRelease(&throttle->claim);
	return found < 0 ? SKETCHES - 1 : found;
}

static int
sketch_of_database(uint32 now)
{
	int own = find_own_sketch(now);

	return own >= 0 ? own : claim_sketch(now);
}

/* ---- the cells of a key ---- */

/* A key in a sketch: where its cells are, and what guards them. */
typedef struct Place
{
	slock_t *lock;
	Cell *cells[ROWS];
} Place;

static uint64
key_hash(const void *key, size_t key_length)
{
	crypto_generichash_state state;
	uint8 digest[crypto_generichash_BYTES_MIN];
	uint64 hash;

	crypto_generichash_init(&state, throttle->key, sizeof(throttle->key),
	                        sizeof(digest));
	crypto_generichash_update(&state, (const uint8 *) &MyDatabaseId,
	                          sizeof(MyDatabaseId));
	crypto_generichash_update(&state, key, key_length);
	crypto_generichash_final(&state, digest, sizeof(digest));
	memcpy(&hash, digest, sizeof(hash));
	return hash;
}

static Place
find_place(const AsThrottleTicket *at)
{
	int limit = (int) at->limit - 1;
	int number = (int) (at->hash >> (64 - PARTS_BITS));
	Part *part = &throttle->sketches[at->sketch].parts[limit][number];
	Place place = {.lock = &throttle->locks[at->sketch][limit][number]};

	Assert(limit >= 0 && limit < AS_LIMIT_COUNT);
	for (int row = 0; row < ROWS; row++)
		place.cells[row] =
		    &part->cells[row][(at->hash >> (row * ROW_BITS)) & (CELLS - 1)];
	return place;
}

/* The end of the window in which an attempt of now counts. */
static uint32
window_end(AsLimit limit, uint32 now, uint32 window)
{
	if (limit == AS_LIMIT_RESEND)
		return now + window;
	return (now / window + 1) * window;
}

/* Under the lock: the cell as one of a window that runs until end. */
static void
cell_open(Cell *cell, uint32 now, uint32 end)
{
	if (cell->end <= now)
		cell->failed = cell->tried = 0;
	cell->end = Max(cell->end, end);
}

static void
cell_add_failure(Cell *cell)
{
	if (cell->failed < FAILED_MAX)
		cell->failed++;
}

/* Under the lock: what one more attempt is answered; *free_at on AS_THROTTLED. */
static AsFailure
judge(const Place *place, uint32 now, uint32 allowed, uint32 *free_at)
{
	AsFailure answer = AS_THROTTLED;

	*free_at = PG_UINT32_MAX;
	for (int row = 0; row < ROWS; row++)
	{
		const Cell *cell = place->cells[row];
		bool is_over = cell->end <= now;

		if (is_over ||
		    (cell->failed + cell->tried < allowed && cell->tried < TRIED_MAX))
			return AS_OK;
		if (cell->failed < allowed)
			answer = AS_BUSY;
		*free_at = Min(*free_at, cell->end);
	}
	return answer;
}

/* ---- attempts ---- */

typedef enum Use
{
	LOOK,
	COUNT,
	TRY
} Use;

/* One attempt of a key, now. */
typedef struct Attempt
{
	AsThrottleTicket at;
	uint32 now;
	uint32 allowed;
} Attempt;

static Attempt
make_attempt(AsLimit limit, const void *key, size_t key_length, int allowed,
             int window_s)
{
	Attempt attempt = {.now = now_in_ticks(),
	                   .allowed = Min((uint32) allowed, FAILED_MAX)};

	Assert(window_s > 0 && window_s <= LONGEST_WINDOW_S);
	attempt.at.limit = limit;
	attempt.at.hash = key_hash(key, key_length);
	attempt.at.sketch = sketch_of_database(attempt.now);
	attempt.at.window = (uint32) window_s * TICKS_PER_S;
	attempt.at.end = window_end(limit, attempt.now, attempt.at.window);
	return attempt;
}

static AsFailure
run(const Attempt *attempt, Use use, int *retry_after_s)
{
	Place place = find_place(&attempt->at);
	uint32 free_at;
	AsFailure answer;

	SpinLockAcquire(place.lock);
	answer = judge(&place, attempt->now, attempt->allowed, &free_at);
	for (int row = 0; answer == AS_OK && use != LOOK && row < ROWS; row++)
	{
		cell_open(place.cells[row], attempt->now, attempt->at.end);
		if (use == TRY)
			place.cells[row]->tried++;
		else
			cell_add_failure(place.cells[row]);
	}
	SpinLockRelease(place.lock);

	*retry_after_s = RETRY_TRIES_S;
	if (answer == AS_THROTTLED)
		*retry_after_s =
		    (int) ((free_at - attempt->now + TICKS_PER_S - 1) / TICKS_PER_S);
	return answer;
}

AsFailure
as_throttle_look(AsLimit limit, const void *key, size_t key_length, int allowed,
                 int window_s, int *retry_after_s)
{
	Attempt attempt;

	if (allowed == 0)
		return AS_OK;
	attempt = make_attempt(limit, key, key_length, allowed, window_s);
	return run(&attempt, LOOK, retry_after_s);
}

AsFailure
as_throttle_count(AsLimit limit, const void *key, size_t key_length,
                  int allowed, int window_s, int *retry_after_s)
{
	Attempt attempt;

	if (allowed == 0)
		return AS_OK;
	attempt = make_attempt(limit, key, key_length, allowed, window_s);
	return run(&attempt, COUNT, retry_after_s);
}

AsFailure
as_throttle_take(AsLimit limit, const void *key, size_t key_length, int allowed,
                 int window_s, AsThrottleTicket *ticket, int *retry_after_s)
{
	Attempt attempt;
	AsFailure answer;

	ticket->is_open = false;
	if (allowed == 0)
		return AS_OK;
	attempt = make_attempt(limit, key, key_length, allowed, window_s);
	answer = run(&attempt, TRY, retry_after_s);
	if (answer == AS_OK)
	{
		*ticket = attempt.at;
		ticket->is_open = true;
	}
	return answer;
}

/*
 * While the ticket's window runs, so do its cells, and its try is still in
 * every one of them. Later it is gone from those that started anew, and to
 * take one away would be another's.
 */
static void
settle(AsThrottleTicket *ticket, bool failed)
{
	uint32 now = now_in_ticks();
	bool is_counted = now < ticket->end;
	Place place;

	if (!ticket->is_open)
		return;
	ticket->is_open = false;
	if (!is_counted)
	{
		/* A failure counts in the window in which it is found. */
		ticket->sketch = sketch_of_database(now);
		ticket->end = window_end(ticket->limit, now, ticket->window);
	}

	place = find_place(ticket);
	SpinLockAcquire(place.lock);
	for (int row = 0; row < ROWS; row++)
	{
		Cell *cell = place.cells[row];

		if (failed)
		{
			cell_open(cell, now, ticket->end);
			cell_add_failure(cell);
		}
		if (is_counted && cell->tried > 0)
			cell->tried--;
	}
	SpinLockRelease(place.lock);
}

void
as_throttle_fail(AsThrottleTicket *ticket)
{
	settle(ticket, true);
}

void
as_throttle_return(AsThrottleTicket *ticket)
{
	settle(ticket, false);
}

void
as_throttle_clear(AsLimit limit, const void *key, size_t key_length)
{
	Attempt attempt = make_attempt(limit, key, key_length, 1, 1);
	Place place = find_place(&attempt.at);
	uint32 failed = FAILED_MAX;

	SpinLockAcquire(place.lock);
	for (int row = 0; row < ROWS; row++)
	{
		cell_open(place.cells[row], attempt.now, 0);
		failed = Min(failed, place.cells[row]->failed);
	}
	for (int row = 0; row < ROWS; row++)
		place.cells[row]->failed -= failed;
	SpinLockRelease(place.lock);
}
