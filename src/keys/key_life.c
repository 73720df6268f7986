/*
 * key_life.c: how signing keys come, sign, retire and go.
 *
 * A key is born as next, which verifies already, so that others who fetch
 * auth.jwks() know it before it signs. Activated, it signs; the one before
 * it is retiring and verifies until the last token it signed has expired.
 * Retired, it is refused at once, and its private part is gone.
 *
 * Whoever changes which key signs holds the lock of the table's value 0 and
 * reads again under it: two first uses make one key. Every change is durable
 * when it has committed, or a crash would revive a retired key.
 */
#include "keys/keys.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type_d.h"

/* The value of signing_keys that stands for "which key signs". */
#define LOCK_ACTIVE 0

/*
 * A retiring key verifies for so much longer than its tokens live: a token
 * may be signed after the activation was written and before it committed.
 */
#define COMMIT_MARGIN_S 60

static AsStatement insert_key = AS_STATEMENT(
    "INSERT INTO auth_private.signing_keys"
    "       (kid, algorithm, state, secret, public_jwk, created_at,"
    "        activated_at, is_imported)"
    " VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)");

static AsStatement select_key =
    AS_STATEMENT("SELECT state = 'retired', secret IS NOT NULL"
                 "  FROM auth_private.signing_keys WHERE kid = $1");

static AsStatement retire_active =
    AS_STATEMENT("UPDATE auth_private.signing_keys"
                 "   SET state = 'retiring', verifies_until = $2"
                 " WHERE state = 'active' AND kid <> $1");

static AsStatement activate_key = AS_STATEMENT(
    "UPDATE auth_private.signing_keys"
    "   SET state = 'active', activated_at = $2, verifies_until = NULL"
    " WHERE kid = $1");

static AsStatement retire_key = AS_STATEMENT(
    "UPDATE auth_private.signing_keys"
    "   SET state = 'retired', secret = NULL, verifies_until = NULL"
    " WHERE kid = $1 AND state <> 'retired'");

static AsStatement retire_expired =
    AS_STATEMENT("UPDATE auth_private.signing_keys"
                 "   SET state = 'retired', secret = NULL"
                 " WHERE state = 'retiring' AND verifies_until <= $1");

static AsStatement select_active = AS_STATEMENT(
    "SELECT algorithm, activated_at, kid FROM auth_private.signing_keys"
    " WHERE state = 'active'"
    " ORDER BY activated_at DESC NULLS LAST, kid LIMIT 1");

static AsStatement select_next = AS_STATEMENT(
    "SELECT kid FROM auth_private.signing_keys"
    " WHERE state = 'next' AND algorithm = $1 AND secret IS NOT NULL"
    "   AND NOT is_imported"
    " ORDER BY created_at, kid LIMIT 1");

static AsStatement select_secrets =
    AS_STATEMENT("SELECT kid, secret FROM auth_private.signing_keys"
                 " WHERE secret IS NOT NULL ORDER BY kid");

static AsStatement update_secret = AS_STATEMENT(
    "UPDATE auth_private.signing_keys SET secret = $2 WHERE kid = $1");

/* What decides about a key's life, as it is in its row. */
typedef struct KeyRow
{
	bool found;
	bool is_retired;
	bool can_sign;
	char kid[AS_KID_MAX + 1];
	AsAlgorithm algorithm;
	TimestampTz activated_at;
} KeyRow;

/* The rows to seal, in the caller's memory. */
typedef struct SecretList
{
	int count;
	int room;
	struct Secret
	{
		char *kid;
		uint8 *stored;
		size_t length;
	} * secrets;
} SecretList;

static void lock_keys(void);
static void make_key(AsAlgorithm algorithm, bool activate,
                     char kid[AS_KID_MAX + 1]);
static void store_key(const AsKey *key, const char *kid, bool activate,
                      bool is_imported);
static void activate(const char *kid);
static void find_key(const char *kid, KeyRow *out);
static void find_active(KeyRow *out);
static bool find_next(AsAlgorithm algorithm, char kid[AS_KID_MAX + 1]);
static void read_key(const AsRow *row, void *into);
static void read_active(const AsRow *row, void *into);
static void read_next(const AsRow *row, void *into);
static void read_secret(const AsRow *row, void *into);

/* ---- first use ---- */

void
as_signing_key_ensure(void)
{
	char kid[AS_KID_MAX + 1];

	lock_keys();
	if (as_key_ring_active() == NULL)
		make_key(AS_HS256, true, kid);
}

/* ---- what operators ask for ---- */

void
as_signing_key_create(AsAlgorithm algorithm, char kid[AS_KID_MAX + 1])
{
	lock_keys();
	make_key(algorithm, false, kid);
}

AsKeyChange
as_signing_key_import(const char *jwk, size_t length, char kid[AS_KID_MAX + 1])
{
	char thumbprint[AS_THUMBPRINT_CHARS + 1];
	uint8 secret[AS_SECRET_MAX];
	size_t secret_length;
	bool is_strong = true;
	AsKey *key;
	KeyRow row;

	lock_keys();
	key = as_key_from_jwk(jwk, length, AS_ALGORITHM_NONE, kid);
	if (key == NULL)
		return AS_KEY_UNACCEPTABLE;
	if (as_algorithm_is_hmac(as_key_algorithm(key)))
	{
		secret_length = as_key_private(key, secret, sizeof(secret));
		is_strong =
		    as_secret_is_strong(as_key_algorithm(key), secret, secret_length);
		as_wipe(secret, sizeof(secret));
	}
	if (!is_strong)
	{
		as_key_free(key);
		return AS_KEY_UNACCEPTABLE;
	}

	/* The key's own name, or tokens that were made elsewhere don't find it. */
	if (kid[0] == '\0')
	{
		if (as_key_thumbprint(key, thumbprint))
			strlcpy(kid, thumbprint, AS_KID_MAX + 1);
		else
		{
			AsUuid id = as_uuid_random();

			as_uuid_print(&id, kid);
		}
	}

	row.found = true;
	PG_TRY();
	{
		find_key(kid, &row);
		if (!row.found)
			store_key(key, kid, false, true);
	}
	PG_FINALLY();
	{
		as_key_free(key);
	}
	PG_END_TRY();
	return row.found ? AS_KEY_EXISTS : AS_KEY_CHANGED;
}

AsKeyChange
as_signing_key_activate(const char *kid)
{
	KeyRow row;

	lock_keys();
	find_key(kid, &row);
	if (!row.found || row.is_retired)
		return AS_KEY_UNKNOWN;
	if (!row.can_sign)
		return AS_KEY_UNACCEPTABLE;
	find_active(&row);
	if (!row.found || strcmp(row.kid, kid) != 0)
		activate(kid);
	return AS_KEY_CHANGED;
}

AsKeyChange
as_signing_key_retire(const char *kid)
{
	AsArgs args = {0};
	KeyRow active;

	lock_keys();
	find_active(&active);
	if (active.found && strcmp(active.kid, kid) == 0)
		return AS_KEY_UNACCEPTABLE;
	as_arg_text(&args, kid);
	return as_store_run(&retire_key, AS_WRITE, &args, NULL, NULL) == 0
	           ? AS_KEY_UNKNOWN
	           : AS_KEY_CHANGED;
}

/* ---- maintenance ---- */

int
as_signing_key_rotate_if_due(void)
{
	TimestampTz now = GetCurrentTimestamp();
	char kid[AS_KID_MAX + 1];
	AsArgs args = {0};
	KeyRow active;
	int changed;

	lock_keys();
	as_arg_time(&args, now);
	changed = (int) as_store_run(&retire_expired, AS_WRITE, &args, NULL, NULL);
	if (auth_session_key_rotation_interval == 0)
		return changed;
	find_active(&active);
	if (!active.found)
		return changed;

	if (TimestampTzPlusMilliseconds(active.activated_at,
	                                (int64) auth_session_key_rotation_interval *
	                                    1000) <= now)
	{
		if (!find_next(active.algorithm, kid))
			make_key(active.algorithm, false, kid);
		activate(kid);
		changed++;
	}

	/* Others fetch public keys: theirs must know the next one in time. */
	if (!as_algorithm_is_hmac(active.algorithm) &&
	    !find_next(active.algorithm, kid))
	{
		make_key(active.algorithm, false, kid);
		changed++;
	}
	return changed;
}

int
as_signing_key_seal_all(const AsMasterKey *previous)
{
	SecretList list = {0};
	uint8 *stored;
	size_t length;
	int sealed = 0;

	lock_keys();
	(void) as_store_run(&select_secrets, AS_READ, NULL, read_secret, &list);
	for (int i = 0; i < list.count; i++)
	{
		AsArgs args = {0};

		stored = as_sealed_again(list.secrets[i].kid, list.secrets[i].stored,
		                         list.secrets[i].length, previous, &length);
		if (stored == NULL)
			continue;
		as_arg_text(&args, list.secrets[i].kid);
		as_arg_bytes(&args, stored, length);
		(void) as_store_run(&update_secret, AS_WRITE, &args, NULL, NULL);
		sealed++;
	}
	return sealed;
}

/* ---- steps ---- */

static void
lock_keys(void)
{
	if (RecoveryInProgress() || XactReadOnly)
		as_fail(AS_READ_ONLY, NULL);
	as_store_lock_value(AS_SIGNING_KEYS, LOCK_ACTIVE);
	as_store_make_durable();
}

/* Makes a fresh key and stores it, as active or as next. */
static void
make_key(AsAlgorithm algorithm, bool activate_it, char kid[AS_KID_MAX + 1])
{
	char thumbprint[AS_THUMBPRINT_CHARS + 1];
	AsKey *key = as_key_generate(algorithm);

	if (key == NULL)
		elog(ERROR, "could not make a signing key");
	if (as_key_thumbprint(key, thumbprint))
		strlcpy(kid, thumbprint, AS_KID_MAX + 1);
	else
	{
		/* A digest of a secret says something about it; a random id doesn't. */
		AsUuid id = as_uuid_random();

		as_uuid_print(&id, kid);
	}
	PG_TRY();
	{
		store_key(key, kid, activate_it, false);
	}
	PG_FINALLY();
	{
		as_key_free(key);
	}
	PG_END_TRY();
}

static void
store_key(const AsKey *key, const char *kid, bool activate_it, bool is_imported)
{
	uint8 secret[AS_PRIVATE_MAX];
	char public_jwk[AS_PUBLIC_JWK_MAX];
	size_t length = as_key_private(key, secret, sizeof(secret));
	bool has_public = as_key_public_jwk(key, kid, public_jwk) > 0;
	TimestampTz now = GetCurrentTimestamp();
	AsArgs args = {0};

	if (length == 0 && as_key_is_private(key))
		elog(ERROR, "could not write a private key");
	PG_TRY();
	{
		uint8 *stored;
		size_t stored_length;

		as_arg_text(&args, kid);
		as_arg_text(&args, as_algorithm_name(as_key_algorithm(key)));
		as_arg_text(&args, activate_it ? "active" : "next");
		if (length > 0)
		{
			stored = as_sealed_make(kid, secret, length, &stored_length);
			as_arg_bytes(&args, stored, stored_length);
			as_wipe(stored, stored_length);
		}
		else
			as_arg_datum(&args, BYTEAOID, (Datum) 0, true);
		as_arg_text(&args, has_public ? public_jwk : NULL);
		as_arg_time(&args, now);
		as_arg_time(&args, activate_it ? now : AS_NO_TIME);
		as_arg_bool(&args, is_imported);
		(void) as_store_run(&insert_key, AS_WRITE, &args, NULL, NULL);
	}
	PG_FINALLY();
	{
		as_wipe(secret, sizeof(secret));
	}
	PG_END_TRY();
}

/* The key signs from now on, the one before it verifies for a while. */
static void
activate(const char *kid)
{
	TimestampTz now = GetCurrentTimestamp();
	int64 last_token_s = (int64) auth_session_access_token_ttl +
	                     auth_session_leeway + COMMIT_MARGIN_S;
	AsArgs args = {0};

	as_arg_text(&args, kid);
	as_arg_time(&args, TimestampTzPlusMilliseconds(now, last_token_s * 1000));
	(void) as_store_run(&retire_active, AS_WRITE, &args, NULL, NULL);

	memset(&args, 0, sizeof(args));
	as_arg_text(&args, kid);
	as_arg_time(&args, now);
	(void) as_store_run(&activate_key, AS_WRITE, &args, NULL, NULL);
}

static void
find_key(const char *kid, KeyRow *out)
{
	AsArgs args = {0};

	memset(out, 0, sizeof(*out));
	as_arg_text(&args, kid);
	(void) as_store_run(&select_key, AS_READ, &args, read_key, out);
}

static void
find_active(KeyRow *out)
{
	memset(out, 0, sizeof(*out));
	(void) as_store_run(&select_active, AS_READ, NULL, read_active, out);
}

static bool
find_next(AsAlgorithm algorithm, char kid[AS_KID_MAX + 1])
{
	AsArgs args = {0};

	as_arg_text(&args, as_algorithm_name(algorithm));
	return as_store_run(&select_next, AS_READ, &args, read_next, kid) > 0;
}

/* ---- rows ---- */

static void
read_key(const AsRow *row, void *into)
{
	KeyRow *out = into;

	out->found = true;
	out->is_retired = as_row_bool(row, 1);
	out->can_sign = as_row_bool(row, 2);
}

static void
read_active(const AsRow *row, void *into)
{
	KeyRow *out = into;
	char *algorithm = as_row_text(row, 1);

	out->found = true;
	out->algorithm = as_algorithm_parse(algorithm, strlen(algorithm));
	out->activated_at = as_row_time(row, 2);
	strlcpy(out->kid, as_row_text(row, 3), sizeof(out->kid));
}

static void
read_next(const AsRow *row, void *into)
{
	strlcpy(into, as_row_text(row, 1), AS_KID_MAX + 1);
}

static void
read_secret(const AsRow *row, void *into)
{
	SecretList *list = into;

	if (list->count == list->room)
	{
		list->room = list->room == 0 ? 8 : list->room * 2;
		list->secrets =
		    list->secrets == NULL
		        ? palloc(list->room * sizeof(*list->secrets))
		        : repalloc(list->secrets, list->room * sizeof(*list->secrets));
	}
	list->secrets[list->count].kid = as_row_text(row, 1);
	list->secrets[list->count].stored =
	    as_row_bytea(row, 2, &list->secrets[list->count].length);
	list->count++;
}
