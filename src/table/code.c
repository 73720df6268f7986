/*
 * code.c: one-time codes, in auth_private.codes.
 *
 * A row stands for a short code and a link token at once; both are derived
 * from its random id (one_time_code.c), so there is nothing in it to read.
 * It is bound to a user, a purpose and an identifier. Using it deletes it,
 * and a new one for the same deletes the old.
 */
#include "table/table.h"

#define COLUMNS                                                     \
	"user_id, id, purpose, identifier, attempts, code_expires_at, " \
	"link_expires_at"

static AsStatement insert = AS_STATEMENT(
    "INSERT INTO auth_private.codes (user_id, id, purpose, identifier, "
    "attempts, created_at, code_expires_at, link_expires_at) "
    "VALUES ($1, $2, $3, $4, 0, $5, $6, $7)");

static AsStatement select_one =
    AS_STATEMENT("SELECT " COLUMNS " FROM auth_private.codes WHERE user_id = "
                 "$1 AND id = $2 AND link_expires_at > $3");

static AsStatement select_for =
    AS_STATEMENT("SELECT " COLUMNS " FROM auth_private.codes WHERE user_id = "
                 "$1 AND purpose = $2 AND identifier = $3 AND "
                 "link_expires_at > $4 ORDER BY created_at DESC LIMIT 1");

static AsStatement delete_one = AS_STATEMENT(
    "DELETE FROM auth_private.codes WHERE user_id = $1 AND id = $2");

static AsStatement delete_for = AS_STATEMENT(
    "DELETE FROM auth_private.codes WHERE user_id = $1 AND purpose = $2 AND "
    "identifier = $3");

static AsStatement delete_all =
    AS_STATEMENT("DELETE FROM auth_private.codes WHERE user_id = $1");

static AsStatement update_attempts =
    AS_STATEMENT("UPDATE auth_private.codes SET attempts = attempts + 1 WHERE "
                 "user_id = $1 AND id = $2");

static AsStatement prune = AS_STATEMENT(
    "WITH batch AS MATERIALIZED (SELECT user_id, id FROM auth_private.codes "
    "WHERE link_expires_at <= $1 ORDER BY link_expires_at LIMIT $2 FOR UPDATE "
    "SKIP LOCKED) DELETE FROM auth_private.codes WHERE (user_id, id) IN "
    "(SELECT user_id, id FROM batch)");

/* In the order of AsPurpose; also the kind of the notification. */
static const char *const purpose_names[] = {
    [AS_PURPOSE_CONFIRM_EMAIL] = "confirm_email",
    [AS_PURPOSE_CONFIRM_PHONE] = "confirm_phone",
    [AS_PURPOSE_EMAIL_CHANGE] = "email_change",
    [AS_PURPOSE_PHONE_CHANGE] = "phone_change",
    [AS_PURPOSE_PASSWORD_RESET] = "password_reset",
};

const char *
as_purpose_name(AsPurpose purpose)
{
	return purpose_names[purpose];
}

static AsPurpose
purpose_of(const char *name)
{
	for (int i = 0; i < (int) lengthof(purpose_names); i++)
		if (strcmp(name, purpose_names[i]) == 0)
			return (AsPurpose) i;
	elog(ERROR, "unknown purpose of a code \"%s\"", name);
}

static void
read_code(const AsRow *row, void *into)
{
	AsCode *code = into;

	as_row_uuid(row, 1, &code->user_id);
	as_row_uuid(row, 2, &code->id);
	code->purpose = purpose_of(as_row_text(row, 3));
	code->identifier = as_row_text(row, 4);
	code->attempts = as_row_int(row, 5);
	code->code_expires_at = as_row_time(row, 6);
	code->link_expires_at = as_row_time(row, 7);
}

static void
insert_code(const AsUuid *user_id, AsPurpose purpose, const char *identifier,
            AsCode *code)
{
	AsArgs args = {0};
	TimestampTz now = GetCurrentTimestamp();
	int link_ttl = purpose == AS_PURPOSE_PASSWORD_RESET
	                   ? auth_session_reset_link_ttl
	                   : auth_session_link_ttl;

	code->user_id = *user_id;
	code->id = as_uuid_random();
	code->purpose = purpose;
	code->identifier = identifier;
	code->attempts = 0;
	code->code_expires_at = now + auth_session_code_ttl * USECS_PER_SEC;
	code->link_expires_at = now + link_ttl * USECS_PER_SEC;
	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, &code->id);
	as_arg_text(&args, purpose_names[purpose]);
	as_arg_text(&args, identifier);
	as_arg_time(&args, now);
	as_arg_time(&args, code->code_expires_at);
	as_arg_time(&args, code->link_expires_at);
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
}

void
as_code_issue(const AsUuid *user_id, AsPurpose purpose, const char *identifier,
              AsCode *code)
{
	as_code_drop(user_id, purpose, identifier);
	insert_code(user_id, purpose, identifier, code);
}

void
as_code_issue_to_nobody(AsPurpose purpose, const char *identifier, AsCode *code)
{
	AsDigest digest;
	AsUuid nobody;

	/* Version 8 (RFC 9562 section 5.8): no account has such an id. */
	as_digest(identifier, strlen(identifier), &digest);
	memcpy(nobody.bytes, digest.bytes, sizeof(nobody.bytes));
	nobody.bytes[6] = (nobody.bytes[6] & 0x0f) | 0x80;
	nobody.bytes[8] = (nobody.bytes[8] & 0x3f) | 0x80;

	if (purpose == AS_PURPOSE_PASSWORD_RESET)
		as_code_issue(&nobody, purpose, identifier, code);
	else
	{
		insert_code(&nobody, purpose, identifier, code);
		as_code_drop(&nobody, purpose, identifier);
	}
}

bool
as_code_find(const AsUuid *user_id, const AsUuid *id, AsCode *code)
{
	AsArgs args = {0};

	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, id);
	as_arg_time(&args, GetCurrentTimestamp());
	return as_store_run(&select_one, AS_READ, &args, read_code, code) > 0;
}

bool
as_code_find_for(const AsUuid *user_id, AsPurpose purpose,
                 const char *identifier, AsCode *code)
{
	AsArgs args = {0};

	as_arg_uuid(&args, user_id);
	as_arg_text(&args, purpose_names[purpose]);
	as_arg_text(&args, identifier);
	as_arg_time(&args, GetCurrentTimestamp());
	return as_store_run(&select_for, AS_READ, &args, read_code, code) > 0;
}

bool
as_code_accepts_digits(const AsCode *code, TimestampTz now)
{
	return code->attempts < auth_session_code_attempts &&
	       code->code_expires_at > now;
}

bool
as_code_consume(const AsCode *code)
{
	AsArgs args = {0};

	as_arg_uuid(&args, &code->user_id);
	as_arg_uuid(&args, &code->id);
	return as_store_run(&delete_one, AS_WRITE, &args, NULL, NULL) > 0;
}

void
as_code_drop(const AsUuid *user_id, AsPurpose purpose, const char *identifier)
{
	AsArgs args = {0};

	as_arg_uuid(&args, user_id);
	as_arg_text(&args, purpose_names[purpose]);
	as_arg_text(&args, identifier);
	(void) as_store_run(&delete_for, AS_WRITE, &args, NULL, NULL);
}

void
as_code_drop_all(const AsUuid *user_id)
{
	AsArgs args = {0};

	as_arg_uuid(&args, user_id);
	(void) as_store_run(&delete_all, AS_WRITE, &args, NULL, NULL);
}

bool
as_code_count_attempt(const AsUuid *user_id, const AsUuid *id)
{
	AsArgs args = {0};

	as_account_count_code_failure(user_id);
	as_arg_uuid(&args, user_id);
	as_arg_uuid(&args, id);
	return as_store_run(&update_attempts, AS_WRITE, &args, NULL, NULL) > 0;
}

int
as_code_prune(TimestampTz now, int batch)
{
	AsArgs args = {0};

	as_arg_time(&args, now);
	as_arg_int(&args, batch);
	return (int) as_store_run(&prune, AS_WRITE, &args, NULL, NULL);
}
