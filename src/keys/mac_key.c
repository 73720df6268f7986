/*
 * mac_key.c: the server's MAC key, in auth_private.mac_keys.
 *
 * One random key from which the key of each purpose is derived. It is made
 * on first use, not by CREATE EXTENSION, so that what a restore brings back
 * never meets another; where there are several, the newest counts. A backend
 * keeps it until a trigger on the table invalidates what was loaded, as with
 * the signing keys (key_ring.c): a change, and the abort of a transaction
 * that made one, drop it everywhere. Its stored form is sealed under the
 * master key, where there is one.
 */
#include "keys/keys.h"

#include <sodium.h>

#include "utils/inval.h"

static AsStatement newest =
    AS_STATEMENT("SELECT key, id FROM auth_private.mac_keys "
                 "ORDER BY created_at DESC, id DESC LIMIT 1");

static AsStatement insert =
    AS_STATEMENT("INSERT INTO auth_private.mac_keys (id, key, created_at) "
                 "VALUES ($1, $2, $3)");

static AsStatement select_all =
    AS_STATEMENT("SELECT key, id FROM auth_private.mac_keys ORDER BY id");

static AsStatement update_key =
    AS_STATEMENT("UPDATE auth_private.mac_keys SET key = $2 WHERE id = $1");

typedef struct Found
{
	bool found;
	AsSealOutcome opened;
	uint8_t key[AS_MAC_KEY_BYTES];
} Found;

/* What this backend has loaded. */
typedef struct Loaded
{
	bool is_watched;
	bool is_valid;
	uint64 invalidations;
	Oid relation;
	uint8_t key[AS_MAC_KEY_BYTES];
} Loaded;

static Loaded loaded;

/* The key rows as they are stored. */
typedef struct StoredKey
{
	AsUuid id;
	uint8 *stored;
	size_t length;
} StoredKey;

static void
read_key(const AsRow *row, void *into)
{
	Found *found = into;
	char label[AS_UUID_CHARS + 1];
	AsUuid id;
	size_t stored_length;
	uint8 *stored = as_row_bytea(row, 1, &stored_length);
	size_t length = 0;

	(void) as_row_uuid(row, 2, &id);
	as_uuid_print(&id, label);
	found->found = true;
	found->opened = as_sealed_open(label, stored, stored_length, found->key,
	                               sizeof(found->key), &length);
	if (found->opened == AS_SEAL_OPENED && length != sizeof(found->key))
		found->opened = AS_SEAL_DAMAGED;
	as_wipe(stored, stored_length);
}

/* With the lock held, since a concurrent first use may have been faster. */
static void
create(Found *found)
{
	AsArgs args = {0};
	AsUuid id = as_uuid_random();
	char label[AS_UUID_CHARS + 1];
	uint8 *stored;
	size_t stored_length;

	as_store_lock_value("mac_keys", 0);
	(void) as_store_run(&newest, AS_READ, NULL, read_key, found);
	if (found->found)
		return;

	randombytes_buf(found->key, sizeof(found->key));
	as_arg_uuid(&args, &id);
	as_uuid_print(&id, label);
	stored =
	    as_sealed_make(label, found->key, sizeof(found->key), &stored_length);
	as_arg_bytes(&args, stored, stored_length);
	as_wipe(stored, stored_length);
	as_arg_time(&args, GetCurrentTimestamp());
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
	found->found = true;
	found->opened = AS_SEAL_OPENED;
}

/* InvalidOid stands for every relation. */
static void
on_invalidation(Datum argument, Oid relation)
{
	if (relation != InvalidOid && relation != loaded.relation)
		return;
	loaded.invalidations++;
	loaded.is_valid = false;
	as_wipe(loaded.key, sizeof(loaded.key));
}

/* False where there is no key; raises where it can't be opened. */
static bool
load(bool may_create)
{
	Found found = {0};
	uint64 before;

	if (!loaded.is_watched)
		CacheRegisterRelcacheCallback(on_invalidation, (Datum) 0);
	loaded.is_watched = true;
	loaded.relation = as_store_relation("mac_keys");
	before = loaded.invalidations;

	(void) as_store_run(&newest, AS_READ, NULL, read_key, &found);
	if (!found.found && may_create)
		create(&found);
	if (found.found && found.opened != AS_SEAL_OPENED)
		as_sealed_fail(found.opened);
	memcpy(loaded.key, found.key, sizeof(loaded.key));
	as_wipe(found.key, sizeof(found.key));

	/* Overtaken by a change, it serves this once. */
	loaded.is_valid = found.found && loaded.invalidations == before;
	return found.found;
}

bool
as_mac_key(AsMacPurpose purpose, bool may_create, AsMacKey *out)
{
	AcceptInvalidationMessages();
	if (!loaded.is_valid && !load(may_create))
		return false;
	as_mac_key_derive(loaded.key, purpose, out);
	return true;
}

/* Collects the rows in a list of StoredKey. */
static void
read_stored(const AsRow *row, void *into)
{
	List **list = into;
	StoredKey *key = palloc(sizeof(StoredKey));

	key->stored = as_row_bytea(row, 1, &key->length);
	(void) as_row_uuid(row, 2, &key->id);
	*list = lappend(*list, key);
}

int
as_mac_key_seal_all(const AsMasterKey *previous)
{
	List *list = NIL;
	ListCell *cell;
	int sealed = 0;

	as_store_lock_value("mac_keys", 0);
	(void) as_store_run(&select_all, AS_READ, NULL, read_stored, &list);
	foreach (cell, list)
	{
		StoredKey *key = lfirst(cell);
		char label[AS_UUID_CHARS + 1];
		AsArgs args = {0};
		uint8 *again;
		size_t length;

		as_uuid_print(&key->id, label);
		again =
		    as_sealed_again(label, key->stored, key->length, previous, &length);
		as_wipe(key->stored, key->length);
		if (again == NULL)
			continue;
		as_arg_uuid(&args, &key->id);
		as_arg_bytes(&args, again, length);
		(void) as_store_run(&update_key, AS_WRITE, &args, NULL, NULL);
		sealed++;
	}
	return sealed;
}
