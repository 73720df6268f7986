/*
 * key_life.c: how signing keys come, sign, retire and go.
 *
 * A key is born as next, which verifies already, so that others who fetch
 * auth.jwks() know it before it signs. Activated, it signs; the one before
 * it is retiring and verifies until the last token it signed has expired.
 * Retired, it is refused at once, and its private part is gone.
 *
 * Whoever changes which key signs holds the lock of the table's value 0 and
 * reads again under it: two first uses make one key.
 */
#include "key_row.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type_d.h"

#include <sodium.h>

/* The value of signing_keys that stands for "which key signs". */
#define LOCK_ACTIVE 0

static AsStatement insert_key = AS_STATEMENT(
    "INSERT INTO auth_private.signing_keys"
    "       (kid, algorithm, state, secret, public_jwk, created_at,"
    "        activated_at)"
    " VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7)");

static void store_key(const AsKey *key, const char *kid, bool activate);

void
as_signing_key_ensure(void)
{
	AsKey *key;
	AsUuid id;
	char kid[AS_UUID_CHARS + 1];

	if (RecoveryInProgress() || XactReadOnly)
		as_fail(AS_READ_ONLY, NULL);
	as_store_lock_value(AS_SIGNING_KEYS, LOCK_ACTIVE);
	if (as_key_ring_active() != NULL)
		return;

	id = as_uuid_random();
	as_uuid_print(&id, kid);
	key = as_key_generate(AS_HS256);
	if (key == NULL)
		elog(ERROR, "could not make a signing key");
	PG_TRY();
	{
		store_key(key, kid, true);
	}
	PG_FINALLY();
	{
		as_key_free(key);
	}
	PG_END_TRY();
}

/* Inserts a key, as active or as next. */
static void
store_key(const AsKey *key, const char *kid, bool activate)
{
	uint8 secret[AS_PRIVATE_MAX];
	char public_jwk[AS_PUBLIC_JWK_MAX];
	size_t length = as_key_private(key, secret, sizeof(secret));
	bool has_public = as_key_public_jwk(key, kid, public_jwk) > 0;
	TimestampTz now = GetCurrentTimestamp();
	AsArgs args = {0};

	PG_TRY();
	{
		uint8 *stored;
		size_t stored_length;

		as_arg_text(&args, kid);
		as_arg_text(&args, as_algorithm_name(as_key_algorithm(key)));
		as_arg_text(&args, activate ? "active" : "next");
		if (length > 0)
		{
			stored = as_sealed_make(kid, secret, length, &stored_length);
			as_arg_bytes(&args, stored, stored_length);
			sodium_memzero(stored, stored_length);
		}
		else
			as_arg_datum(&args, BYTEAOID, (Datum) 0, true);
		as_arg_text(&args, has_public ? public_jwk : NULL);
		as_arg_time(&args, now);
		as_arg_time(&args, activate ? now : AS_NO_TIME);
		(void) as_store_run(&insert_key, AS_WRITE, &args, NULL, NULL);
	}
	PG_FINALLY();
	{
		sodium_memzero(secret, sizeof(secret));
	}
	PG_END_TRY();
}
