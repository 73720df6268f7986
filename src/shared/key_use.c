/*
 * key_use.c: when API keys were last used, on its way to their rows.
 *
 * A request with a key may be read only, or be rolled back, and many come in a
 * second: so a use is noted here, and the recorder writes it. A place is found
 * by the key's id, which is random; a key whose place another has just taken
 * is noted with a later use, and one that was noted is not again within
 * STEP_MS, so that a row that somebody holds costs no transaction with each
 * request. It is for show: a crash forgets it, and on a standby nothing is
 * noted.
 */
#include "shared/shared.h"

#include "access/parallel.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#define PLACES  1024
#define STEP_MS 60000

typedef struct Place
{
	Oid database;
	AsKeyUse use;
	int64 noted_ms; /* by as_clock_ms */
	bool is_waiting;
} Place;

static Place *places = NULL;
static LWLock *places_lock = NULL;

static void
attach(void *memory, bool is_new)
{
	places = memory;
	places_lock = &GetNamedLWLockTranche("auth_session key uses")->lock;
	if (is_new)
		memset(places, 0, sizeof(Place) * PLACES);
}

void
as_key_use_init(void)
{
	static const AsSharedArea area = {.name = "auth_session key uses",
	                                  .size = sizeof(Place) * PLACES,
	                                  .lock_tranche = "auth_session key uses",
	                                  .attach = attach};

	as_shared_area_add(&area);
}

static bool
is_of(const Place *place, const AsUuid *user_id, const AsUuid *id)
{
	return place->database == MyDatabaseId &&
	       as_uuid_equal(&place->use.id, id) &&
	       as_uuid_equal(&place->use.user_id, user_id);
}

/* Whether it is new there. */
static bool
put(Place *place, const AsUuid *user_id, const AsUuid *id, TimestampTz at)
{
	int64 now_ms = as_clock_ms();

	if (place->is_waiting ||
	    (is_of(place, user_id, id) && now_ms - place->noted_ms < STEP_MS))
		return false;
	place->database = MyDatabaseId;
	place->use = (AsKeyUse){*user_id, *id, at};
	place->noted_ms = now_ms;
	place->is_waiting = true;
	return true;
}

void
as_key_use_note(const AsUuid *user_id, const AsUuid *id, TimestampTz at)
{
	uint32 number;
	bool is_new;

	if (places == NULL || IsInParallelMode() || RecoveryInProgress())
		return;
	memcpy(&number, id->bytes + sizeof(id->bytes) - sizeof(number),
	       sizeof(number));
	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	is_new = put(&places[number % PLACES], user_id, id, at);
	LWLockRelease(places_lock);
	if (is_new)
		as_dispatch_wake(AS_WORK_KEY_USES);
}

int
as_key_use_take(AsKeyUse *uses, int most)
{
	int count = 0;

	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	for (int i = 0; i < PLACES && count < most; i++)
	{
		if (!places[i].is_waiting || places[i].database != MyDatabaseId)
			continue;
		uses[count++] = places[i].use;
		places[i].is_waiting = false;
	}
	LWLockRelease(places_lock);
	return count;
}

void
as_key_use_forget(Oid database)
{
	LWLockAcquire(places_lock, LW_EXCLUSIVE);
	for (int i = 0; i < PLACES; i++)
		if (places[i].database == database)
			memset(&places[i], 0, sizeof(places[i]));
	LWLockRelease(places_lock);
}
