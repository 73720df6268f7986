/*
 * fold.c: revocations, worked into the rows that they name, by the recorder:
 * ends of sessions and API keys, new passwords, bans, deletions and forgiven
 * failures.
 *
 * User by user, in one transaction each, and only what is free: dead sessions
 * go, the survivors and the account get the epoch in force, the account its
 * new hash, and exactly the rows that were read are deleted. So what the rule
 * of revocation.c says of a session is the same before and after. What
 * somebody holds stays for the next time.
 *
 * What a row of everybody's has ended goes by batches, once no transaction is
 * left that could still commit any of it; what somebody holds then has a row of
 * its own from then on.
 *
 * With the account's row held by us no sign-in is between its look at the
 * epoch and its commit, but for one that went on without the row, which has a
 * row of its own here when it commits.
 */
#include "service/service.h"

#include "miscadmin.h"

static bool
end_api_key_if_free(const AsUuid *user_id, const AsUuid *id)
{
	AsLocked key = as_api_key_try_lock(user_id, id);

	if (key == AS_LOCKED)
		as_api_key_delete(user_id, id);
	return key != AS_HELD;
}

/* Whether nothing of a session is left. */
static bool
end_if_free(const AsUuid *user_id, const AsUuid *session_id)
{
	AsRowKey key = {.first = *user_id, .second = *session_id};
	AsLocked session = as_session_try_lock(user_id, session_id, NULL);
	AsLocked cached = as_token_cache_try_lock(user_id, session_id, &key.place);

	if (session == AS_HELD || cached == AS_HELD)
		return false;
	if (session == AS_LOCKED)
		as_session_delete(user_id, session_id);
	if (cached == AS_LOCKED)
		as_token_cache_delete(&key);
	return true;
}

/* Of a session, or of an API key: no id is both. */
static bool
is_of_one(const AsRevocation *row)
{
	return as_uuid_is_known(&row->session_id);
}

static bool
end_named_if_free(const AsRevocation *row)
{
	return end_if_free(&row->user_id, &row->session_id) &&
	       end_api_key_if_free(&row->user_id, &row->session_id);
}

/* The account is held by others: ends of single ones at least. */
static bool
fold_single(const AsRevocation *rows, int count)
{
	bool done = true;

	for (int i = 0; i < count; i++)
	{
		if (is_of_one(&rows[i]) && end_named_if_free(&rows[i]))
			as_revocation_delete(&rows[i]);
		else
			done = false;
	}
	return done;
}

static bool
is_named(const AsRevocation *rows, int count, const AsUuid *id)
{
	for (int i = 0; i < count; i++)
		if (as_uuid_equal(&rows[i].session_id, id))
			return true;
	return false;
}

/* Those that are dead by now; whether that was all. */
static bool
end_dead_api_keys(const AsUuid *user_id, const AsRevocation *rows, int count)
{
	AsApiKeyFate *fates;
	int keys = as_api_key_list_fates(user_id, &fates);
	bool done = true;

	for (int i = 0; i < keys; i++)
	{
		if (fates[i].lives || end_api_key_if_free(user_id, &fates[i].id))
			continue;
		/* Held: it goes on being dead by a row of its own. */
		if (!is_named(rows, count, &fates[i].id))
			as_revocation_add(user_id, &fates[i].id, NULL, NULL, 0);
		done = false;
	}
	return done;
}

/* Sessions and keys of an account that is gone: none survives. */
static bool
fold_orphans(const AsUuid *user_id, const AsRevocation *rows, int count)
{
	AsSessionFate *fates;
	int sessions = as_session_list_fates(user_id, &fates);
	bool done = end_dead_api_keys(user_id, rows, count);

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
		    as_session_try_lock(user_id, &fates[i].id, NULL) == AS_HELD)
			return false;
	return true;
}

/*
 * The epoch that was begun by the rows, the hash and the ban that came last,
 * and all that they forgive.
 */
static void
save_account(const AsAccount *account, const AsRevocation *rows, int count)
{
	const AsPasswordHash *hash = NULL;
	const AsBan *ban = NULL;
	int64 epoch = account->epoch;
	int64 key_epoch = account->key_epoch;
	int forgiven = 0;

	for (int i = 0; i < count; i++)
	{
		epoch += rows[i].weight;
		if (rows[i].hash.phc[0] != '\0')
			hash = &rows[i].hash;
		if (rows[i].changes_ban)
			ban = &rows[i].ban;
		if (rows[i].forgives)
			forgiven++;
		if (rows[i].ends_keys)
			key_epoch++;
	}
	as_account_set_epoch(&account->id, epoch, hash);
	if (key_epoch != account->key_epoch)
		as_account_set_key_epoch(&account->id, key_epoch);
	if (ban != NULL)
		as_account_set_ban(&account->id, ban);
	if (forgiven > 0)
		as_account_forgive(&account->id, forgiven);
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

/* A code that was held when the account was banned: none outlives a ban. */
static void
drop_codes_of_ban(const AsRevocation *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (rows[i].changes_ban && rows[i].ban.at != AS_NO_TIME)
			as_code_drop_until(&rows[i].user_id, rows[i].ban.at);
}

static bool
is_deletion(const AsRevocation *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (rows[i].deletes)
			return true;
	return false;
}

/* What a row names, whoever held it. */
static bool
is_gone(const AsRevocation *row)
{
	return as_session_try_lock(&row->user_id, &row->session_id, NULL) ==
	           AS_ABSENT &&
	       as_api_key_try_lock(&row->user_id, &row->session_id) == AS_ABSENT;
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
	done = end_dead_api_keys(user_id, rows, count) && done;
	save_account(account, rows, count);
	drop_codes_of_ban(rows, count);
	(void) as_account_find(user_id, &folded);
	for (int i = 0; i < sessions; i++)
		if (fates[i].lives)
			as_session_set_epoch(user_id, &fates[i].id, folded.epoch);
	for (int i = 0; i < count; i++)
		if (!is_of_one(&rows[i]) || is_gone(&rows[i]))
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

/* ---- everybody's ---- */

/* Of each kind, in one transaction. */
#define BATCH 500

/* True where that was the last. */
static bool
end_sessions(const AsForAll *row, AsRowKey *after)
{
	AsRowKey *keys;
	int count =
	    as_session_list_made_before(row->made_before, after, BATCH, &keys);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (end_if_free(&keys[i].first, &keys[i].second))
			as_announce("session_ended", &keys[i].first, &keys[i].second);
		else
			as_revocation_add(&keys[i].first, &keys[i].second, NULL, NULL, 0);
		*after = keys[i];
	}
	return count < BATCH;
}

static void
end_sign_up(const AsUuid *id)
{
	AsLocked locked = as_account_try_lock(id, true);
	AsAccount account;

	if (locked == AS_ABSENT || !as_account_find(id, &account) ||
	    account.status != AS_ACCOUNT_PENDING)
		return;
	if (locked == AS_LOCKED)
		(void) as_account_end_if_possible(id);
	else
		as_revocation_add_deletion(id);
}

static bool
end_sign_ups(const AsForAll *row, AsPendingPlace *after)
{
	AsPendingPlace *places;
	int count =
	    as_account_list_made_before(row->made_before, after, BATCH, &places);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		end_sign_up(&places[i].id);
		*after = places[i];
	}
	return count < BATCH;
}

/* True where that was the last. */
static bool
end_api_keys(const AsForAll *row, AsRowKey *after)
{
	AsRowKey *keys;
	int count =
	    as_api_key_list_made_before(row->made_before, after, BATCH, &keys);

	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!end_api_key_if_free(&keys[i].first, &keys[i].second))
			as_revocation_add(&keys[i].first, &keys[i].second, NULL, NULL, 0);
		*after = keys[i];
	}
	return count < BATCH;
}

static AsFolded
end_codes(const AsForAll *row)
{
	if (as_code_delete_made_before(row->made_before, BATCH) >= BATCH)
		return AS_FOLD_MORE;
	if (as_code_is_made_before(row->made_before))
		return AS_FOLD_HELD;
	as_revocation_settle_for_all(row);
	return AS_FOLD_MORE;
}

static AsFolded
work_off(const AsForAll *row, AsForAllPlace *place)
{
	if (!as_uuid_equal(&place->row, &row->id))
		*place = (AsForAllPlace){.row = row->id};
	if (!place->is_behind_sessions)
	{
		place->is_behind_sessions = end_sessions(row, &place->session);
		return AS_FOLD_MORE;
	}
	if (!place->is_behind_accounts)
	{
		place->is_behind_accounts = end_sign_ups(row, &place->account);
		return AS_FOLD_MORE;
	}
	if (!place->is_behind_api_keys)
	{
		place->is_behind_api_keys = end_api_keys(row, &place->api_key);
		return AS_FOLD_MORE;
	}
	return end_codes(row);
}

static bool
has_counted_enough(const AsForAll *row)
{
	return as_after_seconds(row->at, AS_FOR_ALL_KEPT) < GetCurrentTimestamp();
}

AsFolded
as_fold_for_all(AsForAllPlace *place)
{
	AsForAll *rows;
	int count = as_revocation_list_for_all(&rows);

	if (count > 0)
		as_store_make_durable();
	for (int i = 0; i < count; i++)
	{
		if (rows[i].is_over)
			return work_off(&rows[i], place);
		/* It came with a restore, and so may what it has ended. */
		if (!as_revocation_is_native(&rows[i]))
			as_revocation_adopt_for_all(&rows[i]);
		else if (rows[i].next_xid == 0 && has_counted_enough(&rows[i]))
			as_revocation_delete_for_all(&rows[i]);
	}
	return AS_FOLDED;
}
