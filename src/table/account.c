/*
 * account.c: accounts, in auth_private.accounts.
 *
 * An account is pending until what require_confirmation asks for is
 * confirmed. Whatever ends all its sessions (logout_all, a new password, a
 * ban) makes its epoch grow in the same transaction: a sign-in that computes
 * its hash meanwhile finds, once it holds the row, that the epoch is not the
 * one it looked at, and gives up.
 */
#include "table/table.h"

#include "miscadmin.h"

static AsStatement select_one = AS_STATEMENT(
    "SELECT " AS_ACCOUNT_COLUMNS " FROM auth_private.accounts WHERE id = $1");

static AsStatement select_share =
    AS_STATEMENT("SELECT " AS_ACCOUNT_COLUMNS
                 " FROM auth_private.accounts WHERE id = $1 FOR SHARE");

static AsStatement select_update = AS_STATEMENT(
    "SELECT " AS_ACCOUNT_COLUMNS " FROM auth_private.accounts WHERE id = $1 "
    "FOR NO KEY UPDATE");

static AsStatement select_free = AS_STATEMENT(
    "SELECT " AS_ACCOUNT_COLUMNS " FROM auth_private.accounts WHERE id = $1 "
    "FOR NO KEY UPDATE SKIP LOCKED");

static AsStatement insert =
    AS_STATEMENT("INSERT INTO auth_private.accounts (id, status, email, phone, "
                 "password_hash, info, app, epoch, code_failures, created_at) "
                 "VALUES ($1, $2, $3, $4, $5, $6, '{}', 0, 0, $7)");

static AsStatement update_confirmed = AS_STATEMENT(
    "UPDATE auth_private.accounts SET status = $2, email_confirmed_at = $3, "
    "phone_confirmed_at = $4, code_failures = 0 WHERE id = $1");

static AsStatement update_hash = AS_STATEMENT(
    "UPDATE auth_private.accounts SET password_hash = $2 WHERE id = $1");

static AsStatement update_password =
    AS_STATEMENT("UPDATE auth_private.accounts SET password_hash = $2, "
                 "epoch = epoch + 1 WHERE id = $1");

static AsStatement update_info =
    AS_STATEMENT("UPDATE auth_private.accounts SET info = $2 WHERE id = $1");

static AsStatement update_epoch = AS_STATEMENT(
    "UPDATE auth_private.accounts SET epoch = epoch + 1 WHERE id = $1");

static AsStatement update_code_failures = AS_STATEMENT(
    "UPDATE auth_private.accounts SET code_failures = CASE WHEN $2 THEN "
    "code_failures + 1 ELSE 0 END WHERE id = $1");

static AsStatement delete_one =
    AS_STATEMENT("DELETE FROM auth_private.accounts WHERE id = $1");

static AsStatement select_ended = AS_STATEMENT(
    "SELECT id FROM auth_private.accounts WHERE status = 'pending' AND "
    "NOT EXISTS (SELECT FROM auth_private.codes WHERE codes.user_id = "
    "accounts.id AND codes.link_expires_at > $1) ORDER BY created_at LIMIT $2");

static AsStatement select_live_code =
    AS_STATEMENT("SELECT FROM auth_private.codes WHERE user_id = $1 AND "
                 "link_expires_at > $2 LIMIT 1");

static const char *const status_names[] = {
    [AS_ACCOUNT_PENDING] = "pending",
    [AS_ACCOUNT_ACTIVE] = "active",
    [AS_ACCOUNT_BANNED] = "banned",
};

const char *
as_account_status_name(AsAccountStatus status)
{
	return status_names[status];
}

static AsAccountStatus
status_of(const char *name)
{
	for (int i = 0; i < (int) lengthof(status_names); i++)
		if (strcmp(name, status_names[i]) == 0)
			return (AsAccountStatus) i;
	elog(ERROR, "unknown account status \"%s\"", name);
}

void
as_account_read(const AsRow *row, int first, AsAccount *account)
{
	char *hash;

	memset(account, 0, sizeof(*account));
	as_row_uuid(row, first, &account->id);
	account->status = status_of(as_row_text(row, first + 1));
	account->email = as_row_text(row, first + 2);
	account->phone = as_row_text(row, first + 3);
	account->email_confirmed_at = as_row_time(row, first + 4);
	account->phone_confirmed_at = as_row_time(row, first + 5);
	account->pending_email = as_row_text(row, first + 6);
	account->pending_phone = as_row_text(row, first + 7);
	hash = as_row_text(row, first + 8);
	if (hash != NULL)
		strlcpy(account->hash.phc, hash, sizeof(account->hash.phc));
	account->info = as_row_jsonb(row, first + 9);
	account->app = as_row_jsonb(row, first + 10);
	account->epoch = as_row_int8(row, first + 11);
	account->code_failures = as_row_int(row, first + 12);
	account->banned_until = as_row_time(row, first + 13);
	account->created_at = as_row_time(row, first + 14);
}

static void
read_account(const AsRow *row, void *into)
{
	as_account_read(row, 1, into);
}

bool
as_account_find(const AsUuid *id, AsAccount *account)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	return as_store_run(&select_one, AS_READ, &args, read_account, account) > 0;
}

bool
as_account_lock(const AsUuid *id, AsAccountLock lock, AsAccount *account)
{
	AsArgs args = {0};
	AsStatement *const statements[] = {
	    [AS_ACCOUNT_SHARED] = &select_share,
	    [AS_ACCOUNT_EXCLUSIVE] = &select_update,
	    [AS_ACCOUNT_IF_FREE] = &select_free,
	};

	as_arg_uuid(&args, id);
	return as_store_run(statements[lock], AS_WRITE, &args, read_account,
	                    account) > 0;
}

bool
as_account_is_banned(const AsAccount *account, TimestampTz now)
{
	return account->status == AS_ACCOUNT_BANNED &&
	       (account->banned_until == AS_NO_TIME || account->banned_until > now);
}

const char *
as_account_counts(const char *address, TimestampTz confirmed_at)
{
	if (confirmed_at == AS_NO_TIME &&
	    auth_session_require_confirmation != AS_CONFIRM_NONE)
		return NULL;
	return address;
}

void
as_account_create(const AsAccount *account)
{
	AsArgs args = {0};

	as_arg_uuid(&args, &account->id);
	as_arg_text(&args, status_names[account->status]);
	as_arg_text(&args, account->email);
	as_arg_text(&args, account->phone);
	as_arg_text(&args, account->hash.phc);
	as_arg_jsonb(&args, account->info);
	as_arg_time(&args, account->created_at);
	(void) as_store_run(&insert, AS_WRITE, &args, NULL, NULL);
}

void
as_account_save_confirmed(const AsAccount *account)
{
	AsArgs args = {0};

	as_arg_uuid(&args, &account->id);
	as_arg_text(&args, status_names[account->status]);
	as_arg_time(&args, account->email_confirmed_at);
	as_arg_time(&args, account->phone_confirmed_at);
	(void) as_store_run(&update_confirmed, AS_WRITE, &args, NULL, NULL);
}

void
as_account_set_hash(const AsUuid *id, const AsPasswordHash *hash)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	as_arg_text(&args, hash->phc);
	(void) as_store_run(&update_hash, AS_WRITE, &args, NULL, NULL);
}

void
as_account_set_password(const AsUuid *id, const AsPasswordHash *hash)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	as_arg_text(&args, hash->phc);
	(void) as_store_run(&update_password, AS_WRITE, &args, NULL, NULL);
}

void
as_account_set_info(const AsUuid *id, const Jsonb *info)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	as_arg_jsonb(&args, info);
	(void) as_store_run(&update_info, AS_WRITE, &args, NULL, NULL);
}

bool
as_account_begin_epoch(const AsUuid *id)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	return as_store_run(&update_epoch, AS_WRITE, &args, NULL, NULL) > 0;
}

void
as_account_count_code_failure(const AsUuid *id)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	as_arg_bool(&args, true);
	(void) as_store_run(&update_code_failures, AS_WRITE, &args, NULL, NULL);
}

void
as_account_forget_code_failures(const AsUuid *id)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	as_arg_bool(&args, false);
	(void) as_store_run(&update_code_failures, AS_WRITE, &args, NULL, NULL);
}

/* The claim of one address of an account, whatever form it was typed in. */
static void
drop_claim(const AsUuid *id, const char *address, bool is_phone)
{
	char *identifier =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);

	if (identifier != NULL)
		as_identifier_drop(identifier, id);
}

bool
as_account_delete(const AsUuid *id)
{
	AsArgs args = {0};
	AsAccount account;

	if (!as_account_lock(id, AS_ACCOUNT_EXCLUSIVE, &account))
		return false;
	drop_claim(id, account.email, false);
	drop_claim(id, account.pending_email, false);
	drop_claim(id, account.phone, true);
	drop_claim(id, account.pending_phone, true);
	as_code_drop_all(id);
	as_store_make_durable();
	as_arg_uuid(&args, id);
	return as_store_run(&delete_one, AS_WRITE, &args, NULL, NULL) > 0;
}

static bool
owns(const AsUuid *id, const char *address, bool is_phone)
{
	AsUuid owner;
	char *identifier =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);

	return identifier != NULL && as_identifier_owner(identifier, &owner) &&
	       memcmp(owner.bytes, id->bytes, sizeof(owner.bytes)) == 0;
}

void
as_account_give_up_claim(const AsUuid *id, const char *identifier)
{
	AsAccount account;
	/* The account before its claims, as prune does. */
	bool exists = as_account_lock(id, AS_ACCOUNT_EXCLUSIVE, &account);

	as_identifier_drop(identifier, id);
	if (exists && account.status == AS_ACCOUNT_PENDING &&
	    !owns(id, account.email, false) && !owns(id, account.phone, true))
		(void) as_account_delete(id);
}

typedef struct Ids
{
	int count;
	int room;
	AsUuid *ids;
} Ids;

static void
read_id(const AsRow *row, void *into)
{
	Ids *ids = into;

	if (ids->count < ids->room)
		as_row_uuid(row, 1, &ids->ids[ids->count++]);
}

static bool
has_live_code(const AsUuid *id, TimestampTz now)
{
	AsArgs args = {0};

	as_arg_uuid(&args, id);
	as_arg_time(&args, now);
	return as_store_run(&select_live_code, AS_READ, &args, NULL, NULL) > 0;
}

int
as_account_prune_pending(TimestampTz now, int batch)
{
	AsArgs args = {0};
	Ids ids = {.room = batch, .ids = palloc(sizeof(AsUuid) * batch)};
	int deleted = 0;

	as_arg_time(&args, now);
	as_arg_int(&args, batch);
	(void) as_store_run(&select_ended, AS_READ, &args, read_id, &ids);
	for (int i = 0; i < ids.count; i++)
	{
		AsAccount account;

		CHECK_FOR_INTERRUPTS();
		/* Confirmed, or given a new code, since it was found? */
		if (as_account_lock(&ids.ids[i], AS_ACCOUNT_IF_FREE, &account) &&
		    account.status == AS_ACCOUNT_PENDING &&
		    !has_live_code(&account.id, now) && as_account_delete(&account.id))
			deleted++;
	}
	pfree(ids.ids);
	return deleted;
}
