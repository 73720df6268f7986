/*
 * counters.c: how often what has happened, in each database, since the server
 * was started.
 *
 * For a monitor, which reads them by auth_admin.stats: nothing is decided by
 * them. What is counted stays counted when its transaction is rolled back. One
 * atomic addition each, without a lock; a backend finds the place of its
 * database once. A place is never given up, so a database beyond the last
 * place has no counts. A crash of the server makes them anew, as it does all
 * shared memory.
 */
#include "shared/shared.h"

#include "miscadmin.h"
#include "port/atomics.h"

/* Databases of a server's life, dropped ones too. */
#define PLACES 128

typedef struct Place
{
	pg_atomic_uint32 database; /* InvalidOid: free */
	pg_atomic_uint64 pruned_at;
	pg_atomic_uint64 forwarded_at;
	pg_atomic_uint32 mismatched; /* 1: has been told */
	pg_atomic_uint64 lines; /* a second << 32 | the lines asked for in it */
	pg_atomic_uint64 counts[AS_COUNTERS];
	pg_atomic_uint64 refusals[AS_FAILURES_MOST];
} Place;

typedef struct Counters
{
	TimestampTz since;
	pg_atomic_uint64 discarded;
	Place places[PLACES];
} Counters;

static Counters *counters = NULL;

static void
init_place(Place *place)
{
	pg_atomic_init_u32(&place->database, InvalidOid);
	pg_atomic_init_u64(&place->pruned_at, 0);
	pg_atomic_init_u64(&place->forwarded_at, 0);
	pg_atomic_init_u32(&place->mismatched, 0);
	pg_atomic_init_u64(&place->lines, 0);
	for (int i = 0; i < AS_COUNTERS; i++)
		pg_atomic_init_u64(&place->counts[i], 0);
	for (int i = 0; i < AS_FAILURES_MOST; i++)
		pg_atomic_init_u64(&place->refusals[i], 0);
}

static void
attach(void *memory, bool is_new)
{
	counters = memory;
	if (!is_new)
		return;
	counters->since = GetCurrentTimestamp();
	pg_atomic_init_u64(&counters->discarded, 0);
	for (int i = 0; i < PLACES; i++)
		init_place(&counters->places[i]);
}

/* Takes a free place for this database, unless another process just has. */
static bool
is_ours(Place *place)
{
	uint32 database = pg_atomic_read_u32(&place->database);

	if (database == InvalidOid &&
	    pg_atomic_compare_exchange_u32(&place->database, &database,
	                                   MyDatabaseId))
		return true;
	return database == MyDatabaseId;
}

/* The place of this database; NULL where it has none. */
static Place *
our_place(void)
{
	static Place *ours = NULL;

	if (ours != NULL || counters == NULL || !OidIsValid(MyDatabaseId))
		return ours;
	for (int i = 0; i < PLACES && ours == NULL; i++)
	{
		Place *place = &counters->places[(MyDatabaseId + i) % PLACES];

		if (is_ours(place))
			ours = place;
	}
	return ours;
}

static void
count_refusal(AsFailure failure)
{
	Place *place = our_place();

	Assert((int) failure < AS_FAILURES_MOST);
	if (place != NULL && (int) failure < AS_FAILURES_MOST)
		pg_atomic_fetch_add_u64(&place->refusals[failure], 1);
}

void
as_counters_init(void)
{
	static const AsSharedArea area = {.name = "auth_session counters",
	                                  .size = sizeof(Counters),
	                                  .attach = attach};

	as_shared_area_add(&area);
	as_failure_hook = count_refusal;
}

void
as_counter_add(AsCounter counter)
{
	Place *place = our_place();

	if (place != NULL)
		pg_atomic_fetch_add_u64(&place->counts[counter], 1);
}

void
as_counters_discarded(int count)
{
	pg_atomic_fetch_add_u64(&counters->discarded, count);
}

void
as_counters_pruned(TimestampTz at)
{
	Place *place = our_place();

	if (place != NULL)
		pg_atomic_write_u64(&place->pruned_at, (uint64) at);
}

bool
as_counters_forwarded(void)
{
	Place *place = our_place();

	return place != NULL &&
	       pg_atomic_exchange_u64(&place->forwarded_at,
	                              (uint64) GetCurrentTimestamp()) == 0;
}

bool
as_counters_mismatched(void)
{
	Place *place = our_place();

	return place != NULL && pg_atomic_exchange_u32(&place->mismatched, 1) == 0;
}

/* A database beyond the last place has nothing to count by, and no lines. */
bool
as_counters_may_log(int *left_out)
{
	Place *place = our_place();
	uint64 second = (uint64) (as_clock_ms() / 1000) & PG_UINT32_MAX;
	uint64 before;
	uint64 after;

	*left_out = 0;
	if (place == NULL)
		return false;
	before = pg_atomic_read_u64(&place->lines);
	do
		after = before >> 32 == second ? before + 1 : second << 32 | 1;
	while (!pg_atomic_compare_exchange_u64(&place->lines, &before, after));

	/* Whoever begins another second tells of the last one. */
	if (before >> 32 != second)
		*left_out = (int) ((before & PG_UINT32_MAX) > AS_REFUSAL_LINES
		                       ? (before & PG_UINT32_MAX) - AS_REFUSAL_LINES
		                       : 0);
	return (after & PG_UINT32_MAX) <= AS_REFUSAL_LINES;
}

/* 0 is never. */
static TimestampTz
time_of(pg_atomic_uint64 *at)
{
	uint64 value = pg_atomic_read_u64(at);

	return value == 0 ? AS_NO_TIME : (TimestampTz) value;
}

bool
as_counters_read(AsCounts *out)
{
	Place *place = our_place();

	if (place == NULL)
		return false;
	out->since = counters->since;
	out->discarded = (int64) pg_atomic_read_u64(&counters->discarded);
	out->pruned_at = time_of(&place->pruned_at);
	out->forwarded_at = time_of(&place->forwarded_at);
	for (int i = 0; i < AS_COUNTERS; i++)
		out->counts[i] = (int64) pg_atomic_read_u64(&place->counts[i]);
	for (int i = 0; i < AS_FAILURES_MOST; i++)
		out->refusals[i] = (int64) pg_atomic_read_u64(&place->refusals[i]);
	return true;
}
