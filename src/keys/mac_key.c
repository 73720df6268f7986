/*
 * mac_key.c: the server's MAC key, in auth_private.mac_keys.
 *
 * One random key from which the key of each purpose is derived. It is made
 * on first use, not by CREATE EXTENSION, so that what a restore brings back
 * never meets another; where there are several, the newest counts. A backend
 * keeps it until the table changes (watch.c). Its stored form is sealed
 * under the master key, where there is one.
 */
#include "keys/keys.h"

#include "access/xact.h"

#include <sodium.h>

/* The value of mac_keys that stands for "which key is the newest". */
#define LOCK_NEWEST 0

static AsStatement select_newest =
    AS_READS("SELECT id, key FROM auth_private.mac_keys"
             " ORDER BY created_at DESC, id DESC LIMIT 1");

static AsStatement insert_key =
    AS_WRITES("INSERT INTO auth_private.mac_keys (id, key, created_at)"
              " VALUES ($1, $2, $3)");

static AsStatement delete_all = AS_WRITES("DELETE FROM auth_private.mac_keys");

static AsStatement select_stored =
    AS_READS("SELECT id::text AS label, key AS stored"
             "  FROM auth_private.mac_keys ORDER BY id");

static AsStatement update_stored =
    AS_WRITES("UPDATE auth_private.mac_keys SET key = $2 WHERE id = $1::uuid");

typedef struct KeyRow
{
	AsUuid id;
	AsBytes key;
} KeyRow;

static const AsColumn key_columns[] = {
    AS_COLUMN(KeyRow, UUID, id),
    AS_COLUMN(KeyRow, BYTES, key),
};
static const AsShape key_shape = AS_SHAPE(KeyRow, key_columns);

/* What this backend has loaded, and of which version; 0: nothing. */
static uint8 loaded[AS_MAC_KEY_BYTES];
static uint64 loaded_version = 0;

/* What was derived of it, by purpose; there is room for more than there are. */
static struct Derived
{
	bool is_known;
	AsMacKey key;
} derived[16];

static void
forget(void)
{
	loaded_version = 0;
	as_wipe(loaded, sizeof(loaded));
	as_wipe(derived, sizeof(derived));
	as_mac_forget();
}

/* Reads the newest key; raises where it can't be opened. */
static bool
find_newest(uint8 out[AS_MAC_KEY_BYTES])
{
	KeyRow row;
	char label[AS_UUID_CHARS + 1];
	size_t length = 0;
	AsSealOutcome outcome;

	if (!as_store_find(&select_newest, &key_shape, &row, AS_NO_ARGS))
		return false;
	as_uuid_print(&row.id, label);
	outcome = as_sealed_open(label, &row.key, out, AS_MAC_KEY_BYTES, &length);
	if (outcome == AS_SEAL_OPENED && length != AS_MAC_KEY_BYTES)
		outcome = AS_SEAL_DAMAGED;
	if (outcome != AS_SEAL_OPENED)
		as_sealed_fail(outcome);
	return true;
}

static void
insert_new(void)
{
	AsUuid id = as_uuid_random();
	char label[AS_UUID_CHARS + 1];
	uint8 key[AS_MAC_KEY_BYTES];

	as_uuid_print(&id, label);
	randombytes_buf(key, sizeof(key));
	(void) as_store_run(&insert_key,
	                    AS_ARGS(as_arg_uuid(&id),
	                            as_sealed_arg(label, key, sizeof(key)),
	                            as_arg_time(GetCurrentTimestamp())));
}

/* False where there is no key. */
static bool
load(uint64 version, bool may_create)
{
	forget();
	if (!find_newest(loaded))
	{
		if (!may_create)
			return false;

		/* With the lock held: another first use may have been faster. */
		as_store_lock_value(AS_MAC_KEYS, LOCK_NEWEST);
		if (!find_newest(loaded))
		{
			insert_new();
			if (!find_newest(loaded))
				elog(ERROR, "no MAC key");
		}
	}

	/* What a change has overtaken meanwhile serves this once. */
	loaded_version = version;
	return true;
}

bool
as_mac_key(AsMacPurpose purpose, bool may_create, AsMacKey *out)
{
	uint64 version = as_watch_version(AS_WATCH_MAC_KEYS);
	struct Derived *known = &derived[purpose % lengthof(derived)];

	Assert((size_t) purpose < lengthof(derived));
	if (version != loaded_version && !load(version, may_create))
		return false;
	if (!known->is_known)
		as_mac_key_derive(loaded, purpose, &known->key);
	known->is_known = true;
	*out = known->key;
	return true;
}

int
as_mac_key_seal(const AsMasterKey *previous)
{
	Assert(!XactReadOnly);
	as_store_lock_value(AS_MAC_KEYS, LOCK_NEWEST);
	return as_sealed_renew(&select_stored, &update_stored, previous);
}

void
as_mac_key_replace_all(void)
{
	Assert(!XactReadOnly);
	as_store_lock_value(AS_MAC_KEYS, LOCK_NEWEST);
	as_store_make_durable();
	(void) as_store_run(&delete_all, AS_NO_ARGS);
	insert_new();
}
