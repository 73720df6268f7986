/*
 * session_life.c: how sessions begin, go on and end, in auth_private.sessions
 * and auth_private.token_cache.
 *
 * A session is written first, then its cache row, never in one statement
 * (token_cache.c). Verification writes nothing: a refill could race with a
 * logout. Whatever ends a session is durable when it has committed, and is
 * seen at once by the very statement that did it.
 */
#include "service/service.h"

AsFailure
as_session_check(const AsUuid *user_id, const AsUuid *id, const AsUuid *jti,
                 TimestampTz now)
{
	AsUuid cached;
	AsSessionToken current;

	if (as_token_cache_probe(user_id, id, &cached) &&
	    as_uuid_equal(&cached, jti))
		return AS_OK;
	if (!as_session_find_token(user_id, id, &current))
		return AS_SESSION_REVOKED;
	if (!as_uuid_equal(&current.jti, jti))
		return AS_TOKEN_EXPIRED;
	return current.expires_at > now ? AS_OK : AS_SESSION_EXPIRED;
}

static TimestampTz
earlier(TimestampTz a, TimestampTz end)
{
	return end != AS_NO_TIME && end < a ? end : a;
}

void
as_session_open(const AsUuid *user_id, const AsOrigin *origin, const char *aal,
                const AsTexts *amr, AsSession *session, AsRefreshToken *token)
{
	TimestampTz now = GetCurrentTimestamp();

	memset(session, 0, sizeof(*session));
	session->user_id = *user_id;
	session->id = as_uuid_ordered(as_unix_milliseconds(now));
	session->jti = as_uuid_random();
	session->created_at = session->renewed_at = now;
	session->ends_at = auth_session_session_max_age > 0
	                       ? as_after_seconds(now, auth_session_session_max_age)
	                       : AS_NO_TIME;
	session->expires_at =
	    earlier(as_after_seconds(now, auth_session_refresh_token_ttl),
	            session->ends_at);
	session->access_expires_at =
	    earlier(as_after_seconds(now, auth_session_access_token_ttl),
	            session->expires_at);
	session->aal = pstrdup(aal);
	session->amr = *amr;
	as_refresh_token_first(user_id, &session->id, token);
	session->generation = (int32) token->generation;
	as_refresh_token_digest(token, &session->refresh_digest);
	as_session_insert(session, origin);
	as_token_cache_put(session);
	as_announce("session_started", user_id, &session->id);
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
	return true;
}

bool
as_session_end(const AsUuid *user_id, const AsUuid *id)
{
	bool ended;

	as_store_make_durable();
	ended = as_session_delete(user_id, id);
	as_token_cache_delete(user_id, id);
	as_context_changed();
	if (ended)
		as_announce("session_ended", user_id, id);
	return ended;
}

int
as_session_end_all(const AsUuid *user_id, const AsUuid *keep)
{
	int ended;

	as_store_make_durable();
	ended = as_session_delete_all(user_id, keep);
	as_token_cache_delete_all(user_id, keep);
	as_context_changed();
	if (ended > 0)
		as_announce("session_ended", user_id, NULL);
	return ended;
}

void
as_session_keep_newest(const AsUuid *user_id, int most)
{
	TimestampTz now = GetCurrentTimestamp();

	if (as_session_count(user_id, now) <= most)
		return;
	as_store_make_durable();
	as_session_delete_oldest(user_id, most, now);
	as_announce("session_ended", user_id, NULL);
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
