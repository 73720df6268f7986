/*
 * key_ring.c: the signing keys that this backend has loaded.
 *
 * Every request verifies a token, so keys are loaded once, with their OpenSSL
 * contexts, and kept until the table changes (watch.c).
 *
 * A private key is read only by a backend that signs: it takes OpenSSL ten
 * times as long, and most backends never need it.
 */
#include "keys/keys.h"

#include "utils/memutils.h"

/* Keys that couldn't be opened are tried again after so long. */
#define RETRY_US USECS_PER_SEC

/* A longer kid is in no row that this extension wrote, and in no header. */
static AsStatement select_keys =
    AS_READS("SELECT kid, algorithm, state = 'active' AS is_active,"
             "       CASE state WHEN 'retiring' THEN verifies_until END"
             "           AS verifies_until,"
             "       CASE WHEN public_jwk IS NULL THEN secret END AS secret,"
             "       public_jwk::text AS public_jwk"
             "  FROM auth_private.signing_keys"
             " WHERE state <> 'retired'"
             "   AND octet_length(kid) <= " CppAsString2(
                 AS_KID_MAX) " ORDER BY state = 'active' DESC, activated_at "
                             "DESC NULLS LAST, kid");

static AsStatement select_secret =
    AS_READS("SELECT secret FROM auth_private.signing_keys WHERE kid = $1");

typedef struct KeyRow
{
	AsSigningKey key; /* as far as it stands in the row */
	char *algorithm;
	AsBytes secret;
	char *public_jwk;
} KeyRow;

static const AsColumn key_columns[] = {
    AS_COLUMN_AS("kid", KeyRow, CHARS, key.kid),
    AS_COLUMN(KeyRow, TEXT, algorithm),
    AS_COLUMN_AS("is_active", KeyRow, BOOL, key.is_active),
    AS_COLUMN_AS("verifies_until", KeyRow, TIME, key.verifies_until),
    AS_COLUMN(KeyRow, BYTES, secret),
    AS_COLUMN(KeyRow, TEXT, public_jwk),
};
static const AsShape key_shape = AS_SHAPE(KeyRow, key_columns);

static const AsColumn secret_columns[] = {
    AS_COLUMN_ONLY("secret", BYTES),
};
static const AsShape secret_shape = AS_SHAPE(AsBytes, secret_columns);

/*
 * The ring. keys are in their own context, their handles in OpenSSL's: every
 * handle that there is belongs to one of the first key_count.
 */
static MemoryContext ring_context = NULL;
static AsSigningKey *keys = NULL;
static int key_count = 0;
static uint64 loaded_version = 0; /* 0: not loaded */
static uint64 serial = 0;
static TimestampTz loaded_at;
static bool is_incomplete = false;

static void
drop(void)
{
	loaded_version = 0;
	serial++;
	is_incomplete = false;
	while (key_count > 0)
		as_key_free(keys[--key_count].key);
	keys = NULL;
	MemoryContextReset(ring_context);
}

/* Makes the handle of a stored form, a private key, and zeroes the form. */
static void
open_secret(AsSigningKey *signing, AsBytes *stored)
{
	uint8 secret[AS_PRIVATE_MAX];
	size_t length = 0;
	AsKey *key = NULL;

	signing->opened =
	    as_sealed_open(signing->kid, stored, secret, sizeof(secret), &length);
	if (signing->opened == AS_SEAL_OPENED)
	{
		key = as_key_from_private(signing->algorithm, secret, length);
		if (key == NULL)
			signing->opened = AS_SEAL_DAMAGED;
	}
	as_wipe(secret, sizeof(secret));
	if (key == NULL)
	{
		is_incomplete = true;
		return;
	}
	as_key_free(signing->key);
	signing->key = key;
}

/* The next key of the ring, from its row. */
static void
append(KeyRow *row)
{
	AsSigningKey *signing = &keys[key_count++];

	*signing = row->key;
	signing->algorithm =
	    as_algorithm_parse(row->algorithm, strlen(row->algorithm));
	signing->header_length =
	    as_jwt_header_write(signing->algorithm, signing->kid, signing->header);
	signing->opened = AS_SEAL_OPENED;
	if (row->secret.bytes != NULL)
		open_secret(signing, &row->secret);
	else if (row->public_jwk != NULL)
		signing->key = as_key_from_jwk(row->public_jwk, strlen(row->public_jwk),
		                               signing->algorithm, NULL);
}

static void
load(uint64 version)
{
	KeyRow *rows;
	int count;

	if (ring_context == NULL)
		ring_context =
		    AllocSetContextCreate(TopMemoryContext, "auth_session signing keys",
		                          ALLOCSET_SMALL_SIZES);
	drop();
	loaded_at = GetCurrentTimestamp();
	count = as_store_list(&select_keys, &key_shape, &rows, AS_NO_ARGS);
	if (count > 0)
		keys = MemoryContextAlloc(ring_context, count * sizeof(AsSigningKey));
	for (int i = 0; i < count; i++)
		append(&rows[i]);

	/* What a change has overtaken meanwhile serves this once. */
	loaded_version = version;
}

static bool
can_sign(const AsSigningKey *signing)
{
	return signing->key != NULL && as_key_is_private(signing->key);
}

const AsSigningKey *
as_key_ring(int *count)
{
	uint64 version = as_watch_version(AS_WATCH_SIGNING_KEYS);

	if (version != loaded_version ||
	    (is_incomplete && GetCurrentTimestamp() - loaded_at > RETRY_US))
		load(version);
	*count = key_count;
	return keys;
}

uint64
as_key_ring_serial(void)
{
	return serial;
}

const AsSigningKey *
as_key_ring_active(void)
{
	AsBytes stored;
	int count;

	(void) as_key_ring(&count);
	if (count == 0 || !keys[0].is_active)
		return NULL;
	if (keys[0].opened == AS_SEAL_OPENED && !can_sign(&keys[0]))
	{
		if (as_store_find(&select_secret, &secret_shape, &stored,
		                  AS_ARGS(as_arg_text(keys[0].kid))) &&
		    stored.bytes != NULL)
			open_secret(&keys[0], &stored);
		if (keys[0].opened == AS_SEAL_OPENED && !can_sign(&keys[0]))
			keys[0].opened = AS_SEAL_DAMAGED;
	}
	return &keys[0];
}
