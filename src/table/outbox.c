/*
 * outbox.c: notifications on their way to the bridge, in
 * auth_private.outbox.
 *
 * A row is written in the transaction of the change that it tells of. The
 * bridge leases rows (claim), and settles or releases them; a lease that
 * runs out hands the row out again, so every notification arrives at least
 * once. A row that was tried too often is parked with its error until
 * somebody releases it. Codes and link tokens are derived while a row is
 * handed out and stand in no row; one whose code is dead is settled instead.
 */
#include "keys/keys.h"
#include "table/table.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* Deliveries tried before a row is parked. */
#define TRIES_MOST 10
/* How long settled rows are kept, and undelivered ones at most: days. */
#define SETTLED_DAYS     1
#define UNDELIVERED_DAYS 30

static AsStatement insert = AS_STATEMENT(
    "INSERT INTO auth_private.outbox (id, created_at, kind, channel, "
    "recipient, user_id, code_id, payload, attempts, due_at, settled_at) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $2, $9)");

/*
 * The batch is picked once: planned as a subquery of IN it could be read again
 * for each row, and hand out more than $2.
 */
static AsStatement claim = AS_STATEMENT(
    "WITH batch AS MATERIALIZED (SELECT id FROM auth_private.outbox WHERE "
    "settled_at IS NULL AND parked_at IS NULL AND due_at <= $1 ORDER BY due_at "
    "LIMIT $2 FOR UPDATE SKIP LOCKED) "
    "UPDATE auth_private.outbox SET due_at = $1 + $3, attempts = attempts + 1 "
    "WHERE id IN (SELECT id FROM batch) RETURNING id, created_at, kind, "
    "channel, recipient, user_id, code_id, payload");

static AsStatement settle =
    AS_STATEMENT("UPDATE auth_private.outbox SET settled_at = $2, parked_at = "
                 "NULL, error = NULL WHERE id = ANY ($1) AND settled_at IS "
                 "NULL");

/* A pause of 1, 2, 4, ... seconds, an hour at most. */
static AsStatement release = AS_STATEMENT(
    "UPDATE auth_private.outbox SET error = $3, "
    "attempts = CASE WHEN parked_at IS NULL THEN attempts ELSE 0 END, "
    "due_at = CASE WHEN parked_at IS NULL THEN $2 + LEAST(3600, 2 ^ "
    "LEAST(attempts - 1, 12)) * '1 second'::pg_catalog.interval ELSE $2 END, "
    "parked_at = CASE WHEN parked_at IS NULL AND attempts >= $4 THEN $2 END "
    "WHERE id = ANY ($1) AND settled_at IS NULL");

static AsStatement prune = AS_STATEMENT(
    "WITH batch AS MATERIALIZED (SELECT id FROM auth_private.outbox WHERE "
    "created_at <= $1 AND (settled_at <= $1 OR created_at <= $2) ORDER BY "
    "created_at LIMIT $3 FOR UPDATE SKIP LOCKED) "
    "DELETE FROM auth_private.outbox WHERE id IN (SELECT id FROM batch)");

uint64
as_unix_milliseconds(TimestampTz at)
{
	return (uint64) (at / 1000 + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) *
	                                 INT64CONST(86400000));
}

void
as_outbox_add(const AsNotification *notification)
{
	AsArgs args = {0};
	TimestampTz now = GetCurrentTimestamp();
	AsUuid id = as_uuid_ordered(as_unix_milliseconds(now));

	as_arg_uuid(&args, &id);
	as_arg_time(&args, now);
	as_arg_text(&args, notification->kind);
	as_arg_text(&args, notification->by_sms ? "sms" : "email");
	as_arg_text(&args, notification->recipient);
	as_arg_uuid(&args, notification->user_id);
	as_arg_uuid(&args, notification->code_id);
	as_arg_jsonb(&args, as_jsonb_parse(notification->payload));
	as_arg_time(&args, notification->is_decoy ? now : AS_NO_TIME);
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
	as_recorder_wake_bridge();
}

void
as_outbox_tell(const AsAccount *account, const char *kind, const char *payload)
{
	AsNotification notification = {
	    .kind = kind,
	    .user_id = &account->id,
	    .payload = payload,
	};

	notification.recipient =
	    as_account_counts(account->email, account->email_confirmed_at);
	if (notification.recipient == NULL)
	{
		notification.by_sms = true;
		notification.recipient =
		    as_account_counts(account->phone, account->phone_confirmed_at);
	}
	if (notification.recipient != NULL)
		as_outbox_add(&notification);
}

/* ---- the bridge's door ---- */

typedef struct Claimed
{
	int count;
	AsClaimed *rows;
} Claimed;

static void
read_claimed(const AsRow *row, void *into)
{
	Claimed *claimed = into;
	AsClaimed *one = &claimed->rows[claimed->count++];

	as_row_uuid(row, 1, &one->id);
	one->created_at = as_row_time(row, 2);
	one->kind = as_row_text(row, 3);
	one->channel = as_row_text(row, 4);
	one->recipient = as_row_text(row, 5);
	one->has_user = as_row_uuid(row, 6, &one->user_id);
	one->has_code = as_row_uuid(row, 7, &one->code_id);
	one->payload = as_row_jsonb(row, 8);
}

static int
older_first(const void *a, const void *b)
{
	return memcmp(((const AsClaimed *) a)->id.bytes,
	              ((const AsClaimed *) b)->id.bytes, 16);
}

/* After too many wrong tries on an account only its links are good. */
static bool
accepts_digits(const AsUuid *user_id)
{
	AsAccount account;

	return as_account_find(user_id, &account) &&
	       account.code_failures < AS_CODE_FAILURES_MOST;
}

/* Adds code and link token; false when the code is dead. */
static bool
add_derived(AsClaimed *row)
{
	StringInfoData json;
	AsMacKey key;
	AsCode code;
	char digits[AS_CODE_MAX_DIGITS + 1];
	char link[AS_LINK_TOKEN_CHARS + 1];
	char *stored;

	if (!as_code_find(&row->user_id, &row->code_id, &code))
		return false;

	as_json_begin(&json);
	if (as_code_accepts_digits(&code, GetCurrentTimestamp()) &&
	    accepts_digits(&code.user_id) && as_mac_key(AS_MAC_CODE, true, &key))
	{
		as_one_time_code_derive(&code.id, &key, auth_session_code_length,
		                        digits);
		as_json_text(&json, "code", digits);
		as_json_time(&json, "code_expires_at", code.code_expires_at);
	}
	if (as_mac_key(AS_MAC_LINK, true, &key))
	{
		as_link_token_print(&code.user_id, &code.id, &key, link);
		as_json_text(&json, "link_token", link);
		as_json_time(&json, "link_expires_at", code.link_expires_at);
	}
	sodium_memzero(&key, sizeof(key));

	/* What was stored follows, without its opening brace. */
	stored = as_jsonb_print(row->payload);
	if (strcmp(stored, "{}") != 0)
		appendStringInfo(&json, "%s%s", json.len > 1 ? "," : "", stored + 1);
	else
		as_json_end(&json);
	row->payload = as_jsonb_parse(json.data);
	sodium_memzero(json.data, json.len);
	sodium_memzero(digits, sizeof(digits));
	sodium_memzero(link, sizeof(link));
	return true;
}

static void
settle_one(AsUuid *id)
{
	Datum element = PointerGetDatum(id);

	(void) as_outbox_settle(PointerGetDatum(construct_array(
	    &element, 1, UUIDOID, sizeof(AsUuid), false, TYPALIGN_CHAR)));
}

int
as_outbox_claim(int most, Datum lease, AsClaimed **rows)
{
	AsArgs args = {0};
	Claimed claimed = {.rows = palloc0(sizeof(AsClaimed) * most)};
	int live = 0;

	as_arg_time(&args, GetCurrentTimestamp());
	as_arg_int(&args, most);
	as_arg_datum(&args, INTERVALOID, lease, false);
	(void) as_store_run(&claim, AS_WRITE, &args, read_claimed, &claimed);
	qsort(claimed.rows, claimed.count, sizeof(AsClaimed), older_first);

	for (int i = 0; i < claimed.count; i++)
	{
		AsClaimed *row = &claimed.rows[i];

		CHECK_FOR_INTERRUPTS();
		if (!row->has_code || add_derived(row))
			claimed.rows[live++] = *row;
		else
			settle_one(&row->id);
	}
	*rows = claimed.rows;
	return live;
}

int
as_outbox_settle(Datum ids)
{
	AsArgs args = {0};

	as_arg_datum(&args, UUIDARRAYOID, ids, false);
	as_arg_time(&args, GetCurrentTimestamp());
	return (int) as_store_run(&settle, AS_WRITE, &args, NULL, NULL);
}

int
as_outbox_release(Datum ids, const char *error)
{
	AsArgs args = {0};

	as_arg_datum(&args, UUIDARRAYOID, ids, false);
	as_arg_time(&args, GetCurrentTimestamp());
	as_arg_text(&args, error);
	as_arg_int(&args, TRIES_MOST);
	return (int) as_store_run(&release, AS_WRITE, &args, NULL, NULL);
}

int
as_outbox_prune(TimestampTz now, int batch)
{
	AsArgs args = {0};

	as_arg_time(&args, now - SETTLED_DAYS * USECS_PER_DAY);
	as_arg_time(&args, now - UNDELIVERED_DAYS * USECS_PER_DAY);
	as_arg_int(&args, batch);
	return (int) as_store_run(&prune, AS_WRITE, &args, NULL, NULL);
}
