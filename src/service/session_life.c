/*
 * session_life.c: how sessions begin, go on and end, in auth_private.sessions
 * and auth_private.token_cache.
 *
 * A session is written first, then its cache row, never in one statement
 * (token_cache.c). Verification writes nothing: a refill could race with a
 * logout. Whatever ends a session is durable when it has committed, and is
 * seen at once by the very statement that did it. It waits for nobody: where
 * somebody holds one of the two rows, a row of revocations is appended, which
 * verification honours (revocation.c), and the recorder does the rest.
 *
 * Revocations are looked at before the cache: a fold that comes in between
 * has deleted what it ended.
 */
#include "service/service.h"

static AsFailure
check_token(const AsSessionToken *current, const AsUuid *jti, TimestampTz now)
{
	if (!as_uuid_equal(&current->jti, jti))
		return AS_TOKEN_EXPIRED;
	return current->expires_at > now ? AS_OK : AS_SESSION_EXPIRED;
}

AsFailure
as_session_check(const AsUuid *user_id, const AsUuid *id, const AsUuid *jti,
                 TimestampTz now)
{
	AsUuid cached;
	AsSessionToken current;

	if (as_revocation_may_decide(user_id))
		return as_session_find_live(user_id, id, &current)
		           ? check_token(&current, jti, now)
		           : AS_SESSION_REVOKED;
	if (as_token_cache_probe(user_id, id, &cached) &&
	    as_uuid_equal(&cached, jti))
		return AS_OK;
	return as_session_find_token(user_id, id, &current)
	           ? check_token(&current, jti, now)
	           : AS_SESSION_REVOKED;
}

bool
as_session_is_ended(const AsUuid *user_id, const AsUuid *id)
{
	AsSessionToken current;

	return as_revocation_may_decide(user_id) &&
	       !as_session_find_live(user_id, id, &current);
}

/* How long an operator may act for a user: seconds. */
#define IMPERSONATION_TTL 600

static TimestampTz
earlier(TimestampTz a, TimestampTz end)
{
	return end != AS_NO_TIME && end < a ? end : a;
}

/* Nothing extends the life of a session in which somebody else acts. */
static void
set_ends(AsSession *session, TimestampTz now)
{
	session->ends_at = auth_session_session_max_age > 0
	                       ? as_after_seconds(now, auth_session_session_max_age)
	                       : AS_NO_TIME;
	if (session->actor != NULL)
	{
		session->ends_at =
		    earlier(as_after_seconds(now, IMPERSONATION_TTL), session->ends_at);
		session->expires_at = session->access_expires_at = session->ends_at;
		return;
	}
	session->expires_at =
	    earlier(as_after_seconds(now, auth_session_refresh_token_ttl),
	            session->ends_at);
	session->access_expires_at =
	    earlier(as_after_seconds(now, auth_session_access_token_ttl),
	            session->expires_at);
}

void
as_session_open(const AsAccount *account, const AsOrigin *origin,
                const char *aal, const AsTexts *amr, const char *actor,
                AsSession *session, AsRefreshToken *token)
{
	TimestampTz now = GetCurrentTimestamp();

	memset(session, 0, sizeof(*session));
	session->user_id = account->id;
	session->epoch = account->epoch;
	session->id = as_uuid_ordered(as_unix_milliseconds(now));
	session->jti = as_uuid_random();
	session->created_at = session->renewed_at = session->auth_time = now;
	session->actor = actor == NULL ? NULL : pstrdup(actor);
	set_ends(session, now);
	session->aal = pstrdup(aal);
	session->amr = *amr;
	as_refresh_token_first(&account->id, &session->id, token);
	session->generation = (int32) token->generation;
	as_refresh_token_digest(token, &session->refresh_digest);
	as_session_insert(session, origin);
	as_token_cache_put(session);
	as_counter_add(AS_COUNT_SIGNINS);
	as_announce("session_started", &account->id, &session->id);
}

bool
as_session_renew(const AsRefreshToken *presented, const AsRefreshToken *next,
                 AsSession *session)
{
	AsUuid jti = as_uuid_random();

	as_store_make_durable();
	if (!as_session_rotate(presented, next, &jti, session))
		return false;
	as_token_cache_put(session);
	as_counter_add(AS_COUNT_RENEWALS);
	return true;
}

/* Those of a session, and what is new of others, in the caller's memory. */
static AsTexts
joined_methods(const AsTexts *had, const AsTexts *shown)
{
	AsTexts all = {had->count, palloc(sizeof(char *) *
	                                  (size_t) (had->count + shown->count))};

	for (int i = 0; i < had->count; i++)
		all.items[i] = had->items[i];
	for (int i = 0; i < shown->count; i++)
	{
		bool is_new = true;

		for (int j = 0; j < had->count; j++)
			if (strcmp(had->items[j], shown->items[i]) == 0)
				is_new = false;
		if (is_new)
			all.items[all.count++] = shown->items[i];
	}
	return all;
}

AsFailure
as_session_prove(const AsUuid *user_id, const AsUuid *id, const AsUuid *jti,
                 const AsTexts *methods, const char *aal, AsSession *session)
{
	AsFailure failure =
	    as_session_check(user_id, id, jti, GetCurrentTimestamp());
	AsUuid next = as_uuid_random();
	AsTexts amr;

	if (failure != AS_OK)
		return failure;
	if (!as_session_find(user_id, id, session))
		return AS_SESSION_REVOKED;
	as_store_make_durable();
	amr = joined_methods(&session->amr, methods);
	if (!as_session_set_proof(user_id, id, jti, &next, &amr,
	                          aal == NULL ? session->aal : aal, session))
	{
		/* Somebody was faster: with what? */
		failure = as_session_check(user_id, id, jti, GetCurrentTimestamp());
		return failure == AS_OK ? AS_BUSY : failure;
	}
	/* One that has ended meanwhile: what was written is undone with it. */
	if (as_session_is_ended(user_id, id))
		return AS_SESSION_REVOKED;
	as_token_cache_put(session);
	as_context_changed();
	return AS_OK;
}

/* Deletes a session whose rows are free, else appends its end. */
static bool
end_one(const AsUuid *user_id, const AsUuid *id)
{
	AsRowKey of_session = {.first = *user_id, .second = *id};
	AsRowKey of_cached = {.first = *user_id, .second = *id};
	AsLocked session = as_session_try_lock(user_id, id, &of_session.place);
	AsLocked cached = as_token_cache_try_lock(user_id, id, &of_cached.place);

	if (session == AS_HELD || (session == AS_LOCKED && cached == AS_HELD))
	{
		as_revocation_add(user_id, id, NULL, NULL, 0);
		return true;
	}
	/* The cache row first, so that nothing is left for a cascade. */
	if (cached == AS_LOCKED)
		as_token_cache_delete(&of_cached);
	if (session == AS_LOCKED)
		as_session_delete_alone(&of_session);
	return session == AS_LOCKED;
}

bool
as_session_end(const AsUuid *user_id, const AsUuid *id)
{
	bool ended;

	as_store_make_durable();
	ended = !as_session_is_ended(user_id, id) && end_one(user_id, id);
	as_context_changed();
	if (ended)
		as_announce("session_ended", user_id, id);
	return ended;
}

/* One by one, where somebody holds some of them. */
static int
end_each(const AsUuid *user_id, const AsUuid *keep)
{
	AsSessionFate *fates;
	int count = as_session_list_fates(user_id, &fates);
	int ended = 0;

	for (int i = 0; i < count; i++)
		if ((keep == NULL || !as_uuid_equal(&fates[i].id, keep)) &&
		    end_one(user_id, &fates[i].id))
			ended++;
	return ended;
}

int
as_session_end_all(const AsUuid *user_id, const AsUuid *keep)
{
	int ended;

	as_store_make_durable();
	if (as_session_lock_all(user_id, keep) &&
	    as_token_cache_lock_all(user_id, keep))
	{
		ended = as_session_delete_all(user_id, keep);
		as_token_cache_delete_all(user_id, keep);
	}
	else
		ended = end_each(user_id, keep);
	as_context_changed();
	if (ended > 0)
		as_announce("session_ended", user_id, NULL);
	return ended;
}

/* Without a cascade, which is a statement for each row, where that can be. */
int
as_session_prune(TimestampTz now, int batch)
{
	AsRowKey *keys;
	int count;

	if (as_is_distributed())
		return as_session_delete_ended(now, batch);
	count = as_session_lock_ended(now, batch, &keys);
	if (as_token_cache_delete_each(keys, count) &&
	    as_session_delete_each(keys, count))
		return count;
	for (int i = 0; i < count; i++)
		as_session_delete(&keys[i].first, &keys[i].second);
	return count;
}

bool
as_refresh_token_read(const AsText *text, AsRefreshToken *token)
{
	AsMacKey tag_key;
	bool is_genuine;

	if (!as_mac_key(AS_MAC_REFRESH_TAG, false, &tag_key))
		return false;
	is_genuine =
	    as_refresh_token_parse(text->bytes, text->length, &tag_key, token);
	as_wipe(&tag_key, sizeof(tag_key));
	return is_genuine;
}
