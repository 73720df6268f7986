/*
 * verified.c: the tokens whose signatures this backend has verified lately.
 *
 * A client sends the same token with every request until it is renewed, and a
 * public-key signature costs more than all the rest of a request. Kept is that
 * these very characters, all of them, bear the signature of a key of the ring
 * as it is now; whatever changes the ring ends all of it. It says nothing of
 * the claims, of the key's own end or of the session: these are looked at on
 * each use. Only what was verified gets in, so nobody can fill it with
 * anything else.
 *
 * There are as many places as there are. A token is zeroed when another takes
 * its place, and all are when the ring changes. It is compared in a time that
 * doesn't depend on where it differs: a signature can't be guessed byte by
 * byte.
 */
#include "keys/keys.h"

#include "utils/memutils.h"

#define PLACES 64

/* Longer ones are verified each time: PLACES of them would be too much. */
#define TOKEN_MOST 4096

/* What a place is chosen by: the signature's last bytes, which are random. */
#define TAIL sizeof(uint64)

typedef struct Place
{
	char *token; /* NULL: nothing is kept */
	size_t length;
	int key;
} Place;

static Place places[PLACES];
static uint64 kept_serial = 0; /* of the ring */

static void
drop(Place *place)
{
	if (place->token == NULL)
		return;
	as_wipe(place->token, place->length);
	pfree(place->token);
	place->token = NULL;
}

static Place *
place_of(const char *token, size_t length)
{
	uint64 tail;

	Assert(length >= TAIL);
	memcpy(&tail, token + length - TAIL, TAIL);
	return &places[(tail * UINT64CONST(0x9E3779B97F4A7C15) >> 32) % PLACES];
}

int
as_verified_recall(const char *token, size_t length, uint64 ring)
{
	const Place *place;

	if (ring != kept_serial)
	{
		for (int i = 0; i < PLACES; i++)
			drop(&places[i]);
		kept_serial = ring;
	}
	if (length < TAIL)
		return -1;
	place = place_of(token, length);
	if (place->token == NULL || place->length != length ||
	    !as_is_same(place->token, token, length))
		return -1;
	return place->key;
}

void
as_verified_remember(const char *token, size_t length, uint64 ring, int key)
{
	Place *place;
	char *copy;

	Assert(ring == kept_serial);
	if (length < TAIL || length > TOKEN_MOST)
		return;
	copy =
	    MemoryContextAllocExtended(TopMemoryContext, length, MCXT_ALLOC_NO_OOM);
	if (copy == NULL)
		return;
	memcpy(copy, token, length);
	place = place_of(token, length);
	drop(place);
	place->token = copy;
	place->length = length;
	place->key = key;
}
