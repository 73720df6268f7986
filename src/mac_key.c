/*
 * mac_key.c: the server's MAC key, in auth_private.mac_keys.
 *
 * One random key from which the key of each purpose is derived. It is made
 * on first use, not by CREATE EXTENSION, so that what a restore brings back
 * never meets another; where there are several, the newest counts. It is
 * read at every use: nothing of a transaction that may still roll back stays
 * in a backend.
 */
#include "nouns.h"

#include <sodium.h>

static AsStatement newest =
    AS_STATEMENT("SELECT key FROM auth_private.mac_keys "
                 "ORDER BY created_at DESC, id DESC LIMIT 1");

static AsStatement insert =
    AS_STATEMENT("INSERT INTO auth_private.mac_keys (id, key, created_at) "
                 "VALUES ($1, $2, $3)");

typedef struct Found
{
	bool found;
	uint8_t key[AS_MAC_KEY_BYTES];
} Found;

static void
read_key(const AsRow *row, void *into)
{
	Found *found = into;

	found->found = as_row_bytes(row, 1, found->key, sizeof(found->key));
}

/* With the lock held, since a concurrent first use may have been faster. */
static void
create(Found *found)
{
	AsArgs args = {0};
	AsUuid id = as_uuid_random();

	as_store_lock_value("mac_keys", 0);
	(void) as_store_run(&newest, AS_READ, NULL, read_key, found);
	if (found->found)
		return;

	randombytes_buf(found->key, sizeof(found->key));
	as_arg_uuid(&args, &id);
	as_arg_bytes(&args, found->key, sizeof(found->key));
	as_arg_time(&args, GetCurrentTimestamp());
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
	found->found = true;
}

bool
as_mac_key(AsMacPurpose purpose, bool may_create, AsMacKey *out)
{
	Found found = {0};

	(void) as_store_run(&newest, AS_READ, NULL, read_key, &found);
	if (!found.found && may_create)
		create(&found);
	if (found.found)
		as_mac_key_derive(found.key, purpose, out);
	sodium_memzero(found.key, sizeof(found.key));
	return found.found;
}
