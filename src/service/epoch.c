/*
 * epoch.c: what ends all sessions of an account: logout_all, a new password,
 * a ban; and all API keys: a reset, a ban.
 *
 * A revocation wins: it is in force with its commit and waits for nobody, as
 * whoever holds a row could otherwise keep a stolen session alive for as long
 * as he likes. Where the account's row is free, so that no sign-in is under
 * way, the epoch grows in it and the sessions are deleted, each that is held
 * by a row of revocations instead. Where it is not, or something is pending
 * already, all of it is one row of revocations.
 *
 * A sign-in holds the account's row FOR KEY SHARE until it commits: sign-ins
 * don't hold up each other, and no fold and no end of all sessions in place
 * comes between the epoch that it read and its commit. Where somebody keeps
 * the row from it, it goes on all the same, with a row of weight 0 that has
 * the epochs compared: a thief's logout_all that is left open keeps nobody
 * out. (The sessions beyond max_sessions_per_user that come of it are ended
 * by the fold.)
 *
 * Whoever makes an API key holds the account's row against all of this until it
 * is committed; what comes meanwhile is a row of revocations, under which the
 * key is dead when it appears.
 */
#include "service/service.h"

#include "miscadmin.h"

/* How long a sign-in waits for the account's row: tries, and ms between. */
#define JOIN_TRIES 10
#define JOIN_PAUSE 10

AsLocked
as_epoch_join(const AsUuid *user_id)
{
	/* With a limit of sessions they are counted one sign-in at a time. */
	bool alone = auth_session_max_sessions_per_user > 0;
	AsLocked locked = as_account_try_lock(user_id, alone);

	for (int i = 1; i < JOIN_TRIES && locked == AS_HELD; i++)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(JOIN_PAUSE * 1000L);
		locked = as_account_try_lock(user_id, alone);
	}
	if (locked == AS_HELD)
		as_revocation_add(user_id, NULL, NULL, NULL, 0);
	return locked;
}

bool
as_account_find_in_force(const AsUuid *id, AsAccount *account)
{
	return as_revocation_may_decide(id) ? as_account_find_revoked(id, account)
	                                    : as_account_find(id, account);
}

bool
as_account_find_of_session(const AsUuid *id, const AsUuid *session_id,
                           AsAccount *account)
{
	return as_revocation_may_decide(id)
	           ? as_account_find_in_session(id, session_id, account)
	           : as_account_find(id, account);
}

static bool
same_hash(const AsPasswordHash *a, const AsPasswordHash *b)
{
	return strcmp(a->phc, b->phc) == 0;
}

/*
 * Whether all can be written in place: nothing pending, and the session that
 * goes on is free (or gone). The account is locked.
 */
static bool
is_free(const AsUuid *user_id, const AsUuid *keep)
{
	return !as_revocation_is_pending(user_id) &&
	       (keep == NULL ||
	        as_session_try_lock(user_id, keep, NULL) != AS_HELD);
}

static int
end_in_place(const AsAccount *account, AsEpochEnds ends, const AsUuid *keep,
             const AsPasswordHash *hash)
{
	as_store_make_durable();
	as_account_set_epoch(&account->id, account->epoch + 1, hash);
	if (ends == AS_ENDS_SESSIONS_AND_KEYS)
	{
		as_account_set_key_epoch(&account->id, account->key_epoch + 1);
		as_api_key_end_all(&account->id);
	}
	if (keep != NULL)
		as_session_set_epoch(&account->id, keep, account->epoch + 1);
	return as_session_end_all(&account->id, keep);
}

/* Sessions of a user, but keep, that end with the row that is added next. */
static int
count_living(const AsUuid *user_id, const AsUuid *keep)
{
	AsSessionFate *fates;
	int count = as_session_list_fates(user_id, &fates);
	int living = 0;

	for (int i = 0; i < count; i++)
		if (fates[i].lives &&
		    (keep == NULL || !as_uuid_equal(&fates[i].id, keep)))
			living++;
	return living;
}

/* After the row was added. */
static int
note_ended(const AsUuid *user_id, int ended)
{
	as_context_changed();
	if (ended > 0)
		as_announce("session_ended", user_id, NULL);
	return ended;
}

static const char *
owned(const AsUuid *id, const char *address, bool is_phone)
{
	return as_account_owns(id, address, is_phone) ? address : NULL;
}

static int
end_by_row(const AsAccount *account, AsEpochEnds ends, const AsUuid *keep,
           const AsPasswordHash *hash)
{
	int ended = count_living(&account->id, keep);

	/* What ends keys comes with a password, or with a ban or a deletion. */
	Assert(hash != NULL || ends == AS_ENDS_SESSIONS);
	if (hash == NULL)
		as_revocation_add(&account->id, NULL, keep, NULL, 1);
	else
		as_revocation_add_password(&account->id, keep,
		                           ends == AS_ENDS_SESSIONS_AND_KEYS, hash,
		                           owned(&account->id, account->email, false),
		                           owned(&account->id, account->phone, true));
	return note_ended(&account->id, ended);
}

AsFailure
as_epoch_begin(const AsUuid *user_id, AsEpochEnds ends, const AsUuid *keep,
               const AsPasswordHash *verified, const AsPasswordHash *hash,
               int *ended)
{
	AsLocked locked = as_account_try_lock(user_id, true);
	AsAccount account;

	if (locked == AS_ABSENT || !as_account_find_in_force(user_id, &account))
		return AS_SESSION_REVOKED;
	if (verified != NULL && !same_hash(verified, &account.hash))
		return AS_BUSY;
	*ended = locked == AS_LOCKED && is_free(user_id, keep)
	             ? end_in_place(&account, ends, keep, hash)
	             : end_by_row(&account, ends, keep, hash);
	return AS_OK;
}

AsFailure
as_epoch_forgive(const AsUuid *user_id)
{
	AsLocked locked = as_account_try_lock(user_id, true);
	AsAccount account;

	if (locked == AS_ABSENT || !as_account_find_in_force(user_id, &account))
		return AS_USER_NOT_FOUND;
	if (locked == AS_LOCKED && !as_revocation_is_pending(user_id))
		as_account_forgive(user_id, 1);
	else
		as_revocation_add_forgiveness(user_id);
	return AS_OK;
}

/* A ban ends all sessions and API keys; that it is lifted, none. */
static void
ban_in_place(const AsAccount *account, const AsBan *ban)
{
	as_account_set_ban(&account->id, ban);
	if (ban->at != AS_NO_TIME)
		(void) end_in_place(account, AS_ENDS_SESSIONS_AND_KEYS, NULL, NULL);
}

static void
ban_by_row(const AsUuid *user_id, const AsBan *ban)
{
	int ended = ban->at == AS_NO_TIME ? 0 : count_living(user_id, NULL);

	as_revocation_add_ban(user_id, ban);
	(void) note_ended(user_id, ended);
}

AsFailure
as_epoch_ban(const AsUuid *user_id, const AsBan *ban)
{
	AsLocked locked = as_account_try_lock(user_id, true);
	AsAccount account;

	if (locked == AS_ABSENT || !as_account_find_in_force(user_id, &account))
		return AS_USER_NOT_FOUND;
	as_store_make_durable();
	if (locked == AS_LOCKED && is_free(user_id, NULL))
		ban_in_place(&account, ban);
	else
		ban_by_row(user_id, ban);
	return AS_OK;
}

AsFailure
as_epoch_delete(const AsUuid *user_id, const AsPasswordHash *verified)
{
	AsLocked locked = as_account_try_lock(user_id, true);
	AsAccount account;

	if (locked == AS_ABSENT || !as_account_find_in_force(user_id, &account))
		return AS_USER_NOT_FOUND;
	if (verified != NULL && !same_hash(verified, &account.hash))
		return AS_BUSY;
	if (locked == AS_LOCKED)
		return as_account_end(user_id) ? AS_OK : AS_USER_NOT_FOUND;
	/* Events are told when the rows go, once. */
	as_revocation_add_deletion(user_id);
	as_context_changed();
	return AS_OK;
}
