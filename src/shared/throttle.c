/*
 * throttle.c: attempts counted before the work, where no rollback reaches.
 *
 * A count-min sketch per limit: ROWS rows of cells, and a key has one cell
 * in each, picked by BLAKE2b under a random key made at server start, so
 * nobody can aim at another's cells. A key's count is the least of its
 * cells. That is never too low, whatever else is counted: nothing is
 * allocated, nothing is evicted, a flood of other keys can only make a count
 * too high.
 *
 * The cells of a limit are split into parts, each under its own spinlock; a
 * key's cells are all in one part. So looking and counting are one step: of
 * any number of parallel attempts exactly those within the limit get
 * through, and a refused one leaves no trace.
 *
 * A cell's count is good until the cell's end and starts at 0 after it; no
 * sweep is needed. Windows lie on a grid that starts with the server, by the
 * monotonic clock: setting the system's clock ends none. Keys of different
 * window lengths (a setting can differ between databases) may meet in a
 * cell; it then keeps the later end. Across the edge of two windows up to
 * twice the limit can pass. AS_LIMIT_RESEND is a cooldown instead: its
 * window starts with the attempt.
 *
 * How wrong can it be? A stranger's key is refused wrongly when all its
 * ROWS cells have reached the limit by other keys. With n other attempts
 * counted in the window, a cell has n / 65,536 of them on average. At a
 * limit of 10 and n = 100,000 the odds are 5e-22, at 300,000 they are 1e-7
 * (failed sign-ins: two cores compute about 45,000 hashes in 15 minutes).
 * Cheaper to flood are requests for messages: at 100,000 different
 * identifiers within one cooldown, a third of the others have to wait for
 * it, too. Sketches of different limits share no cell, so that such a
 * flood delays messages and nothing else.
 *
 * Memory: 8 limits x 16 parts x 4 rows x 4,096 cells x 8 bytes = 16 MiB.
 */
#include "shared/shared.h"

#include <sodium.h>

#include "miscadmin.h"
#include "storage/spin.h"

#define PARTS_BITS 4
#define PARTS      (1 << PARTS_BITS)
#define ROWS       4
#define ROW_BITS   12
#define CELLS      (1 << ROW_BITS)

#define COUNT_BITS 24
#define COUNT_MAX  ((1 << COUNT_BITS) - 1)

/* end_ms is in milliseconds since the throttle's start, good for 34 years. */
typedef struct Cell
{
	uint64 end_ms : 64 - COUNT_BITS;
	uint64 count : COUNT_BITS;
} Cell;

typedef struct Part
{
	slock_t lock;
	Cell cells[ROWS][CELLS];
} Part;

typedef struct Throttle
{
	uint8 key[crypto_generichash_KEYBYTES];
	int64 start_ms; /* by as_clock_ms */
	Part parts[AS_LIMIT_COUNT][PARTS];
} Throttle;

static Throttle *throttle = NULL;

static void
throttle_attach(void *memory, bool is_new)
{
	int limit;
	int part;

	throttle = memory;
	if (!is_new)
		return;

	memset(throttle, 0, sizeof(Throttle));
	for (limit = 0; limit < AS_LIMIT_COUNT; limit++)
		for (part = 0; part < PARTS; part++)
			SpinLockInit(&throttle->parts[limit][part].lock);
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

static uint64
throttle_now_ms(void)
{
	return (uint64) (as_clock_ms() - throttle->start_ms);
}

static uint64
throttle_hash(const void *key, size_t key_length)
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

static Part *
throttle_part(AsLimit limit, uint64 hash)
{
	Assert(limit >= 1 && limit <= AS_LIMIT_COUNT);
	return &throttle->parts[limit - 1][hash >> (64 - PARTS_BITS)];
}

static Cell *
part_cell(Part *part, uint64 hash, int row)
{
	return &part->cells[row][(hash >> (row * ROW_BITS)) & (CELLS - 1)];
}

static int
cell_count(const Cell *cell, uint64 now_ms)
{
	return cell->end_ms > now_ms ? (int) cell->count : 0;
}

bool
as_throttle_take(AsLimit limit, const void *key, size_t key_length, int allowed,
                 int window_s, AsThrottleTicket *ticket, int *retry_after_s)
{
	uint64 hash;
	Part *part;
	uint64 now_ms;
	uint64 window_ms = (uint64) window_s * 1000;
	uint64 end_ms;
	uint64 free_ms = PG_UINT64_MAX; /* when the first full cell ends */
	bool within = false;
	int row;

	Assert(window_s > 0);

	*retry_after_s = 0;
	if (ticket != NULL)
		ticket->counted = false;
	if (allowed == 0)
		return true;

	hash = throttle_hash(key, key_length);
	part = throttle_part(limit, hash);
	now_ms = throttle_now_ms();
	if (limit == AS_LIMIT_RESEND)
		end_ms = now_ms + window_ms;
	else
		end_ms = (now_ms / window_ms + 1) * window_ms;

	SpinLockAcquire(&part->lock);
	for (row = 0; row < ROWS; row++)
	{
		const Cell *cell = part_cell(part, hash, row);

		if (cell_count(cell, now_ms) < allowed)
			within = true;
		else
			free_ms = Min(free_ms, cell->end_ms);
	}
	for (row = 0; within && row < ROWS; row++)
	{
		Cell *cell = part_cell(part, hash, row);

		if (cell->end_ms <= now_ms)
			cell->count = 0;
		cell->end_ms = Max(cell->end_ms, end_ms);
		if (cell->count < COUNT_MAX)
			cell->count++;
	}
	SpinLockRelease(&part->lock);

	if (!within)
		*retry_after_s = (int) ((free_ms - now_ms + 999) / 1000);
	else if (ticket != NULL)
	{
		ticket->limit = limit;
		ticket->hash = hash;
		ticket->end_ms = end_ms;
		ticket->counted = true;
	}
	return within;
}

void
as_throttle_return(AsThrottleTicket *ticket)
{
	Part *part;
	uint64 now_ms;
	int row;

	if (!ticket->counted)
		return;
	ticket->counted = false;

	/*
	 * While the ticket's window runs, so do its cells, and what it counted is
	 * still in every one of them. Later it is gone from those that started
	 * anew, and to take one away would be another's.
	 */
	part = throttle_part(ticket->limit, ticket->hash);
	now_ms = throttle_now_ms();
	if (now_ms >= ticket->end_ms)
		return;

	SpinLockAcquire(&part->lock);
	for (row = 0; row < ROWS; row++)
	{
		Cell *cell = part_cell(part, ticket->hash, row);

		if (cell_count(cell, now_ms) > 0)
			cell->count--;
	}
	SpinLockRelease(&part->lock);
}

void
as_throttle_clear(AsLimit limit, const void *key, size_t key_length)
{
	uint64 hash = throttle_hash(key, key_length);
	Part *part = throttle_part(limit, hash);
	uint64 now_ms = throttle_now_ms();
	int count = COUNT_MAX;
	int row;

	SpinLockAcquire(&part->lock);
	for (row = 0; row < ROWS; row++)
		count = Min(count, cell_count(part_cell(part, hash, row), now_ms));
	for (row = 0; count > 0 && row < ROWS; row++)
		part_cell(part, hash, row)->count -= count;
	SpinLockRelease(&part->lock);
}
