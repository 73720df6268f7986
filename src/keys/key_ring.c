/*
 * key_ring.c: the signing keys that this backend has loaded.
 *
 * Every request verifies a token, so keys are loaded once, with their OpenSSL
 * contexts, and kept until the table changes. A trigger on the table
 * invalidates its relation cache entry, which reaches every backend of the
 * database, and every standby, when the change commits: a retired key is
 * refused at once. The messages are taken in before each use, not only
 * where a transaction begins, so a long transaction sees it too.
 *
 * A private key is read only by a backend that signs: it takes OpenSSL ten
 * times as long, and most backends never need it.
 *
 * Nothing stays from a transaction that came to nothing: its abort runs its
 * own invalidations, which drop what was loaded meanwhile. Nothing stays
 * from a read that a change overtook: the ring counts as valid only when no
 * invalidation came in between.
 */
#include "keys/keys.h"

#include "utils/inval.h"
#include "utils/memutils.h"

/* Keys that couldn't be opened are tried again after so long. */
#define RETRY_US USECS_PER_SEC

static AsStatement select_keys = AS_STATEMENT(
    "SELECT kid, algorithm, state = 'active',"
    "       CASE WHEN public_jwk IS NULL THEN secret END, public_jwk::text,"
    "       CASE state WHEN 'retiring' THEN verifies_until END"
    "  FROM auth_private.signing_keys"
    " WHERE state <> 'retired'"
    " ORDER BY state = 'active' DESC, activated_at DESC NULLS LAST, kid");

static AsStatement select_secret =
    AS_STATEMENT("SELECT secret FROM auth_private.signing_keys WHERE kid = $1");

/* The ring. keys are in their own context, their handles in OpenSSL's. */
static MemoryContext ring_context = NULL;
static AsSigningKey *keys = NULL;
static int key_count = 0;
static int key_room = 0;
static bool is_valid = false;
static bool is_incomplete = false;
static TimestampTz loaded_at;
static Oid keys_relation = InvalidOid;
static uint64 invalidations = 0;

static void load(void);
static void drop(void);
static void read_key(const AsRow *row, void *into);
static void read_secret(const AsRow *row, void *into);
static void open_secret(AsSigningKey *loaded, const AsRow *row, int column);
static void on_invalidation(Datum argument, Oid relation);

const AsSigningKey *
as_key_ring(int *count)
{
	AcceptInvalidationMessages();
	if (is_valid && is_incomplete &&
	    GetCurrentTimestamp() - loaded_at > RETRY_US)
		is_valid = false;
	if (!is_valid)
		load();
	*count = key_count;
	return keys;
}

const AsSigningKey *
as_key_ring_active(void)
{
	int count;
	AsArgs args = {0};

	(void) as_key_ring(&count);
	if (count == 0 || !keys[0].is_active)
		return NULL;
	if (keys[0].opened == AS_SEAL_OPENED &&
	    (keys[0].key == NULL || !as_key_is_private(keys[0].key)))
	{
		as_arg_text(&args, keys[0].kid);
		(void) as_store_run(&select_secret, AS_READ, &args, read_secret,
		                    &keys[0]);
		if (keys[0].opened == AS_SEAL_OPENED &&
		    (keys[0].key == NULL || !as_key_is_private(keys[0].key)))
			keys[0].opened = AS_SEAL_DAMAGED;
	}
	return &keys[0];
}

static void
load(void)
{
	uint64 before;

	if (ring_context == NULL)
	{
		ring_context =
		    AllocSetContextCreate(TopMemoryContext, "auth_session signing keys",
		                          ALLOCSET_SMALL_SIZES);
		CacheRegisterRelcacheCallback(on_invalidation, (Datum) 0);
	}
	drop();
	keys_relation = as_store_relation(AS_SIGNING_KEYS);
	before = invalidations;
	loaded_at = GetCurrentTimestamp();
	(void) as_store_run(&select_keys, AS_READ, NULL, read_key, NULL);
	is_valid = invalidations == before;
}

/* Frees every handle: a key that was loaded half is in the array too. */
static void
drop(void)
{
	is_valid = false;
	is_incomplete = false;
	while (key_count > 0)
	{
		key_count--;
		as_key_free(keys[key_count].key);
	}
}

/* Reads one row into the next place of the ring. */
static void
read_key(const AsRow *row, void *into)
{
	AsSigningKey *loaded;
	char *kid = as_row_text(row, 1);
	char *algorithm = as_row_text(row, 2);
	char *public_jwk;

	/* No row that this extension wrote; it could not be named in a header. */
	if (strlen(kid) > AS_KID_MAX)
		return;
	if (key_count == key_room)
	{
		int room = key_room == 0 ? 8 : key_room * 2;

		keys = keys == NULL ? MemoryContextAlloc(ring_context,
		                                         room * sizeof(AsSigningKey))
		                    : repalloc(keys, room * sizeof(AsSigningKey));
		key_room = room;
	}
	loaded = &keys[key_count];
	memset(loaded, 0, sizeof(*loaded));
	strlcpy(loaded->kid, kid, sizeof(loaded->kid));
	loaded->algorithm = as_algorithm_parse(algorithm, strlen(algorithm));
	loaded->is_active = as_row_bool(row, 3);
	loaded->verifies_until = as_row_time(row, 6);
	loaded->header_length =
	    as_jwt_header_write(loaded->algorithm, kid, loaded->header);
	key_count++;
	loaded->opened = AS_SEAL_OPENED;
	if (!as_row_is_null(row, 4))
		open_secret(loaded, row, 4);
	else if ((public_jwk = as_row_text(row, 5)) != NULL)
		loaded->key = as_key_from_jwk(public_jwk, strlen(public_jwk),
		                              loaded->algorithm, NULL);
	pfree(kid);
	pfree(algorithm);
}

static void
read_secret(const AsRow *row, void *into)
{
	if (!as_row_is_null(row, 1))
		open_secret(into, row, 1);
}

/* Opens the stored form in a column; the key is private then. */
static void
open_secret(AsSigningKey *loaded, const AsRow *row, int column)
{
	uint8 secret[AS_PRIVATE_MAX];
	size_t length = 0;
	size_t stored_length;
	uint8 *stored = as_row_bytea(row, column, &stored_length);
	AsKey *key = NULL;

	loaded->opened = as_sealed_open(loaded->kid, stored, stored_length, secret,
	                                sizeof(secret), &length);
	if (loaded->opened == AS_SEAL_OPENED)
	{
		key = as_key_from_private(loaded->algorithm, secret, length);
		if (key == NULL)
			loaded->opened = AS_SEAL_DAMAGED;
	}
	as_wipe(secret, sizeof(secret));
	as_wipe(stored, stored_length);
	if (loaded->opened != AS_SEAL_OPENED)
		is_incomplete = true;
	if (key != NULL)
	{
		as_key_free(loaded->key);
		loaded->key = key;
	}
}

/* InvalidOid stands for every relation. */
static void
on_invalidation(Datum argument, Oid relation)
{
	if (relation == InvalidOid || relation == keys_relation)
	{
		invalidations++;
		is_valid = false;
	}
}
