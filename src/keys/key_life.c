/*
 * key_life.c: how signing keys come, sign, retire and go.
 *
 * A key is born as next, which verifies already, so that others who fetch
 * auth.jwks() know it before it signs. The key before the active one verifies
 * until the last token it signed has expired. A retired key is refused at
 * once, its private part is gone, and its kid stays taken.
 *
 *   from      by                                             to
 *   (none)    first use, where no key is active              active
 *   (none)    create; import; rotation, for lack of a next   next
 *   next      activate; rotation, when its interval is over  active
 *   active    another becomes active                         retiring
 *   retiring  activate                                       active
 *   retiring  rotation, at verifies_until                    retired
 *   next      retire                                         retired
 *   retiring  retire                                         retired
 *   any       all are replaced                               retired
 *
 *   refused: import of a kid that any row has (AS_KEY_EXISTS), or of what is
 *   no sound key (AS_KEY_TOO_LONG, AS_KEY_UNACCEPTABLE); activate of a key
 *   without private part, retire of the active one (AS_KEY_UNACCEPTABLE);
 *   both of a retired key, or of none (AS_KEY_UNKNOWN). To activate the
 *   active key changes nothing. Rotation activates no imported key.
 *
 * Whoever changes which key signs holds the lock of the table's value 0 and
 * reads again under it: two first uses make one key. Every change is durable
 * when it has committed, or a crash would revive a retired key.
 */
#include "keys/keys.h"

#include "access/xact.h"
#include "access/xlog.h"

/* The value of signing_keys that stands for "which key signs". */
#define LOCK_ACTIVE 0

/*
 * A retiring key verifies for so much longer than its tokens live: a token
 * may be signed after the activation was written and before it committed.
 */
#define COMMIT_MARGIN_S 60

typedef enum KeyState
{
	STATE_NEXT,
	STATE_ACTIVE,
	STATE_RETIRING,
	STATE_RETIRED
} KeyState;

static const char *const state_names[] = {"next", "active", "retiring",
                                          "retired", NULL};

/* What decides about a key's life, as it is in its row. */
typedef struct KeyRow
{
	char kid[AS_KID_MAX + 1];
	char *algorithm;
	KeyState state;
	bool can_sign;
	TimestampTz activated_at;
} KeyRow;

#define SELECT_KEY                                                  \
	"SELECT kid, algorithm, state, secret IS NOT NULL AS can_sign," \
	"       activated_at"                                           \
	"  FROM auth_private.signing_keys"

static const AsColumn key_columns[] = {
    AS_COLUMN(KeyRow, CHARS, kid),
    AS_COLUMN(KeyRow, TEXT, algorithm),
    AS_COLUMN_NAMED(KeyRow, state, state_names),
    AS_COLUMN(KeyRow, BOOL, can_sign),
    AS_COLUMN(KeyRow, TIME, activated_at),
};
static const AsShape key_shape = AS_SHAPE(KeyRow, key_columns);

static AsStatement select_key = AS_READS(SELECT_KEY " WHERE kid = $1");

static AsStatement select_active =
    AS_READS(SELECT_KEY " WHERE state = 'active'"
                        " ORDER BY activated_at DESC NULLS LAST, kid LIMIT 1");

static AsStatement select_next =
    AS_READS(SELECT_KEY " WHERE state = 'next' AND algorithm = $1"
                        "   AND secret IS NOT NULL AND NOT is_imported"
                        " ORDER BY created_at, kid LIMIT 1");

static AsStatement insert_key =
    AS_WRITES("INSERT INTO auth_private.signing_keys"
              "       (kid, algorithm, state, secret, public_jwk, created_at,"
              "        activated_at, is_imported)"
              " VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)"
              " ON CONFLICT (kid) DO NOTHING");

static AsStatement active_to_retiring =
    AS_WRITES("UPDATE auth_private.signing_keys"
              "   SET state = 'retiring', verifies_until = $2"
              " WHERE state = 'active' AND kid <> $1");

static AsStatement any_to_active = AS_WRITES(
    "UPDATE auth_private.signing_keys"
    "   SET state = 'active', activated_at = $2, verifies_until = NULL"
    " WHERE kid = $1");

static AsStatement any_to_retired =
    AS_WRITES("UPDATE auth_private.signing_keys"
              "   SET state = 'retired', secret = NULL, verifies_until = NULL"
              " WHERE kid = $1 AND state <> 'retired'");

static AsStatement others_to_retired =
    AS_WRITES("UPDATE auth_private.signing_keys"
              "   SET state = 'retired', secret = NULL, verifies_until = NULL"
              " WHERE kid <> $1 AND state <> 'retired'");

static AsStatement expired_to_retired =
    AS_WRITES("UPDATE auth_private.signing_keys"
              "   SET state = 'retired', secret = NULL"
              " WHERE state = 'retiring' AND verifies_until <= $1");

static AsStatement select_stored =
    AS_READS("SELECT kid AS label, secret AS stored"
             "  FROM auth_private.signing_keys"
             " WHERE secret IS NOT NULL ORDER BY kid");

static AsStatement update_stored = AS_WRITES(
    "UPDATE auth_private.signing_keys SET secret = $2 WHERE kid = $1");

/* ---- steps ---- */

/* First, by whoever changes a key's state. */
static void
lock_keys(void)
{
	if (RecoveryInProgress() || XactReadOnly)
		as_fail(AS_READ_ONLY, NULL);
	as_store_lock_value(AS_SIGNING_KEYS, LOCK_ACTIVE);
	as_store_make_durable();
}

static bool
find_active(KeyRow *out)
{
	return as_store_find(&select_active, &key_shape, out, AS_NO_ARGS);
}

static bool
find_next(const char *algorithm, KeyRow *out)
{
	return as_store_find(&select_next, &key_shape, out,
	                     AS_ARGS(as_arg_text(algorithm)));
}

static bool
is_kid_of(const KeyRow *key, const char *kid)
{
	return strcmp(key->kid, kid) == 0;
}

/* The RFC 7638 thumbprint, by which others would name the key too. */
static void
name_key(const AsKey *key, char kid[AS_KID_MAX + 1])
{
	char thumbprint[AS_THUMBPRINT_CHARS + 1];
	AsUuid id;

	if (as_key_thumbprint(key, thumbprint))
	{
		strlcpy(kid, thumbprint, AS_KID_MAX + 1);
		return;
	}

	/* A digest of a secret says something about it; a random id doesn't. */
	id = as_uuid_random();
	as_uuid_print(&id, kid);
}

/*
 * Stores a key, which it frees, as next or active. False where the kid is
 * taken.
 */
static bool
insert(AsKey *key, const char *kid, KeyState state, bool is_imported)
{
	const char *algorithm = as_algorithm_name(as_key_algorithm(key));
	bool is_private = as_key_is_private(key);
	TimestampTz now = GetCurrentTimestamp();
	uint8 secret[AS_PRIVATE_MAX];
	char public_jwk[AS_PUBLIC_JWK_MAX];
	size_t length = as_key_private(key, secret, sizeof(secret));
	bool has_public = as_key_public_jwk(key, kid, public_jwk) > 0;

	Assert(state == STATE_NEXT || state == STATE_ACTIVE);
	Assert(kid[0] != '\0');
	as_key_free(key);
	if (is_private && length == 0)
		elog(ERROR, "could not write a private key");
	return as_store_run(
	           &insert_key,
	           AS_ARGS(as_arg_text(kid), as_arg_text(algorithm),
	                   as_arg_text(state_names[state]),
	                   is_private ? as_sealed_arg(kid, secret, length)
	                              : as_arg_bytes(NULL, 0),
	                   as_arg_text(has_public ? public_jwk : NULL),
	                   as_arg_time(now),
	                   as_arg_time(state == STATE_ACTIVE ? now : AS_NO_TIME),
	                   as_arg_bool(is_imported))) > 0;
}

static void
make(AsAlgorithm algorithm, KeyState state, char kid[AS_KID_MAX + 1])
{
	AsKey *key = as_key_generate(algorithm);

	if (key == NULL)
		elog(ERROR, "could not make a signing key");
	name_key(key, kid);
	if (!insert(key, kid, state, false))
		elog(ERROR, "a fresh signing key has the kid of another");
}

/* The key signs from now on, the one before it verifies for a while. */
static void
activate(const char *kid)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz verifies_until =
	    as_after_seconds(now, (int64) auth_session_access_token_ttl +
	                              auth_session_leeway + COMMIT_MARGIN_S);

	(void) as_store_run(&active_to_retiring,
	                    AS_ARGS(as_arg_text(kid), as_arg_time(verifies_until)));
	(void) as_store_run(&any_to_active,
	                    AS_ARGS(as_arg_text(kid), as_arg_time(now)));
}

/* An HMAC key that could be guessed is none. */
static bool
is_strong(const AsKey *key)
{
	AsAlgorithm algorithm = as_key_algorithm(key);
	uint8 secret[AS_SECRET_MAX];
	size_t length;
	bool is_strong;

	if (!as_algorithm_is_hmac(algorithm))
		return true;
	length = as_key_private(key, secret, sizeof(secret));
	is_strong = as_secret_is_strong(algorithm, secret, length);
	as_wipe(secret, sizeof(secret));
	return is_strong;
}

/* The key of a JWK, NULL where it isn't acceptable; its texts are zeroed. */
static AsKey *
read_jwk(Jsonb *jwk, char kid[AS_KID_MAX + 1])
{
	char *json = as_jsonb_print(jwk);
	size_t json_length = strlen(json);
	size_t length = json_length;
	char *utf8 = as_text_to_utf8(json, &length);
	AsKey *key = as_key_from_jwk(utf8, length, AS_ALGORITHM_NONE, kid);

	as_wipe(utf8, length);
	as_wipe(json, json_length);
	if (key == NULL || is_strong(key))
		return key;
	as_key_free(key);
	return NULL;
}

/* ---- first use ---- */

const AsSigningKey *
as_signing_key_active(void)
{
	const AsSigningKey *active = as_key_ring_active();
	char kid[AS_KID_MAX + 1];

	if (active != NULL)
		return active;
	lock_keys();
	if (as_key_ring_active() == NULL)
		make(AS_HS256, STATE_ACTIVE, kid);
	active = as_key_ring_active();
	if (active == NULL)
		elog(ERROR, "no active signing key");
	return active;
}

/* ---- what operators ask for ---- */

void
as_signing_key_create(AsAlgorithm algorithm, char kid[AS_KID_MAX + 1])
{
	Assert(algorithm != AS_ALGORITHM_NONE);
	lock_keys();
	make(algorithm, STATE_NEXT, kid);
}

AsKeyChange
as_signing_key_import(Jsonb *jwk, char kid[AS_KID_MAX + 1])
{
	AsKey *key;

	if (VARSIZE(jwk) - VARHDRSZ > AS_KEY_TEXT_MAX)
		return AS_KEY_TOO_LONG;
	lock_keys();
	key = read_jwk(jwk, kid);
	if (key == NULL)
		return AS_KEY_UNACCEPTABLE;

	/* The key's own name, or tokens that were made elsewhere don't find it. */
	if (kid[0] == '\0')
		name_key(key, kid);
	return insert(key, kid, STATE_NEXT, true) ? AS_KEY_CHANGED : AS_KEY_EXISTS;
}

AsKeyChange
as_signing_key_activate(const char *kid)
{
	KeyRow key;
	KeyRow active;

	lock_keys();
	if (!as_store_find(&select_key, &key_shape, &key,
	                   AS_ARGS(as_arg_text(kid))) ||
	    key.state == STATE_RETIRED)
		return AS_KEY_UNKNOWN;
	if (!key.can_sign)
		return AS_KEY_UNACCEPTABLE;
	if (!find_active(&active) || !is_kid_of(&active, kid))
		activate(kid);
	return AS_KEY_CHANGED;
}

AsKeyChange
as_signing_key_retire(const char *kid)
{
	KeyRow active;

	lock_keys();
	if (find_active(&active) && is_kid_of(&active, kid))
		return AS_KEY_UNACCEPTABLE;
	if (as_store_run(&any_to_retired, AS_ARGS(as_arg_text(kid))) == 0)
		return AS_KEY_UNKNOWN;
	return AS_KEY_CHANGED;
}

void
as_signing_key_replace_all(void)
{
	AsAlgorithm algorithm = AS_ALGORITHM_NONE;
	char kid[AS_KID_MAX + 1];
	KeyRow active;

	lock_keys();
	if (find_active(&active))
		algorithm =
		    as_algorithm_parse(active.algorithm, strlen(active.algorithm));
	make(algorithm == AS_ALGORITHM_NONE ? AS_HS256 : algorithm, STATE_ACTIVE,
	     kid);
	(void) as_store_run(&others_to_retired, AS_ARGS(as_arg_text(kid)));
}

/* ---- maintenance ---- */

bool
as_signing_key_rotate_if_due(char kid[AS_KID_MAX + 1])
{
	TimestampTz now = GetCurrentTimestamp();
	AsAlgorithm algorithm;
	KeyRow active;
	KeyRow next;
	bool rotated = false;

	lock_keys();
	(void) as_store_run(&expired_to_retired, AS_ARGS(as_arg_time(now)));
	if (auth_session_key_rotation_interval == 0 || !find_active(&active))
		return false;
	algorithm = as_algorithm_parse(active.algorithm, strlen(active.algorithm));

	if (as_after_seconds(active.activated_at,
	                     auth_session_key_rotation_interval) <= now &&
	    find_next(active.algorithm, &next))
	{
		activate(next.kid);
		strlcpy(kid, next.kid, AS_KID_MAX + 1);
		rotated = true;
	}

	/* Others keep keys: theirs must know the next one a run before it signs. */
	if (!find_next(active.algorithm, &next))
		make(algorithm, STATE_NEXT, next.kid);
	return rotated;
}

int
as_signing_key_seal(const AsMasterKey *previous)
{
	lock_keys();
	return as_sealed_renew(&select_stored, &update_stored, previous);
}
