/*
 * fold.c: revocations, worked into the rows that they name, by the recorder:
 * ends of sessions, new passwords, bans, and deletions.
 *
 * User by user, in one transaction each, and only what is free: dead sessions
 * go, the survivors and the account get the epoch in force, the account its
 * new hash, and exactly the rows that were read are deleted. So what the rule
 * of revocation.c says of a session is the same before and after. What
 * somebody holds stays for the next time.
 *
 * With the account's row held by us no sign-in is between its look at the
 * epoch and its commit, but for one that went on without the row, which has a
 * row of its own here when it commits.
 */
#include "service/service.h"

/* Whether nothing of a session is left. */
static bool
end_if_free(const AsUuid *user_id, const AsUuid *session_id)
{
	AsLocked session = as_session_try_lock(user_id, session_id);
	AsLocked cached = as_token_cache_try_lock(user_id, session_id);

	if (session == AS_HELD || cached == AS_HELD)
		return false;
	if (session == AS_LOCKED)
		as_session_delete(user_id, session_id);
	if (cached == AS_LOCKED)
		as_token_cache_delete(user_id, session_id);
	return true;
}

static bool
is_of_one_session(const AsRevocation *row)
{
	return as_uuid_is_known(&row->session_id);
}

/* The account is held by others, or gone: ends of single sessions at least. */
static bool
fold_single(const AsRevocation *rows, int count)
{
	bool done = true;

	for (int i = 0; i < count; i++)
	{
		if (is_of_one_session(&rows[i]) &&
		    end_if_free(&rows[i].user_id, &rows[i].session_id))
			as_revocation_delete(&rows[i]);
		else
			done = false;
	}
	return done;
}

/* Sessions of an account that is gone: none survives. */
static bool
fold_orphans(const AsUuid *user_id, const AsRevocation *rows, int count)
{
	AsSessionFate *fates;
	int sessions = as_session_list_fates(user_id, &fates);
	bool done = true;

	for (int i = 0; i < sessions; i++)
		done = end_if_free(user_id, &fates[i].id) && done;
	for (int i = 0; done && i < count; i++)
		as_revocation_delete(&rows[i]);
	return done;
}

static bool
survivors_are_free(const AsUuid *user_id, const AsSessionFate *fates, int count)
{
	for (int i = 0; i < count; i++)
		if (fates[i].lives &&
		    as_session_try_lock(user_id, &fates[i].id) == AS_HELD)
			return false;
	return true;
}

static bool
is_named(const AsRevocation *rows, int count, const AsUuid *session_id)
{
	for (int i = 0; i < count; i++)
		if (as_uuid_equal(&rows[i].session_id, session_id))
			return true;
	return false;
}

/* The epoch that was begun by the rows, the hash and the ban that came last. */
static void
save_account(const AsAccount *account, const AsRevocation *rows, int count)
{
	const AsPasswordHash *hash = NULL;
	const AsBan *ban = NULL;
	int64 epoch = account->epoch;

	for (int i = 0; i < count; i++)
	{
		epoch += rows[i].weight;
		if (rows[i].hash.phc[0] != '\0')
			hash = &rows[i].hash;
		if (rows[i].changes_ban)
			ban = &rows[i].ban;
	}
	as_account_set_epoch(&account->id, epoch, hash);
	if (ban != NULL)
		as_account_set_ban(&account->id, ban);
}

/* The addresses of the last new password, where it was told any. */
static void
restore_addresses(AsAccount *account, const AsRevocation *rows, int count)
{
	for (int i = count - 1; i >= 0; i--)
		if (rows[i].keeps_addresses)
		{
			as_address_restore(account, rows[i].email, rows[i].phone);
			return;
		}
}

static bool
is_deletion(const AsRevocation *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (rows[i].deletes)
			return true;
	return false;
}

static bool
fold_all(const AsAccount *account, const AsRevocation *rows, int count)
{
	const AsUuid *user_id = &account->id;
	AsSessionFate *fates;
	int sessions = as_session_list_fates(user_id, &fates);
	AsAccount folded;
	bool done = true;

	if (!survivors_are_free(user_id, fates, sessions))
		return fold_single(rows, count);
	for (int i = 0; i < sessions; i++)
	{
		if (fates[i].lives || end_if_free(user_id, &fates[i].id))
			continue;
		/* Held: it goes on being dead by a row of its own. */
		if (!is_named(rows, count, &fates[i].id))
			as_revocation_add(user_id, &fates[i].id, NULL, NULL, 0);
		done = false;
	}
	save_account(account, rows, count);
	(void) as_account_find(user_id, &folded);
	for (int i = 0; i < sessions; i++)
		if (fates[i].lives)
			as_session_set_epoch(user_id, &fates[i].id, folded.epoch);
	for (int i = 0; i < count; i++)
		if (!is_of_one_session(&rows[i]) ||
		    as_session_try_lock(user_id, &rows[i].session_id) == AS_ABSENT)
			as_revocation_delete(&rows[i]);
	restore_addresses(&folded, rows, count);
	as_session_keep_newest(&folded);
	return done;
}

bool
as_fold_user(const AsUuid *user_id)
{
	AsLocked locked = as_account_try_lock(user_id, true);
	AsRevocation *rows;
	int count = as_revocation_list(user_id, &rows);
	AsAccount account;

	as_store_make_durable();
	if (count == 0)
		return true;
	if (locked == AS_HELD)
		return fold_single(rows, count);
	if (locked == AS_LOCKED && is_deletion(rows, count) &&
	    !as_account_end_if_possible(user_id))
		return false;
	if (locked == AS_ABSENT || !as_account_find(user_id, &account))
		return fold_orphans(user_id, rows, count);
	return fold_all(&account, rows, count);
}
