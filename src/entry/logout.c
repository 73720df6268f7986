/*
 * logout.c: auth.logout and auth.logout_all.
 *
 * The session's row is deleted, then its cache row: from the commit on no
 * connection, backend or standby that has replayed it takes the token. A
 * refresh token needs no context (RFC 7009): whoever has it may end what it
 * stands for, and one whose session is gone already is no error.
 */
#include "entry/entry.h"

#include <sodium.h>

AS_ENTRY(auth_logout);
AS_ENTRY(auth_logout_all);

static void
end_session(AsEvent *event, bool may_be_gone)
{
	if (as_session_end(&event->user_id, &event->session_id))
		as_door_succeed(event);
	else if (!may_be_gone)
		as_fail(AS_SESSION_NOT_FOUND, NULL);
}

static void
logout_by_token(FunctionCallInfo fcinfo, AsEvent *event)
{
	AsText text;
	AsMacKey tag_key;
	AsRefreshToken token;
	bool genuine;

	genuine = as_door_text(fcinfo, 1, AS_REFRESH_TOKEN_CHARS, &text) &&
	          as_mac_key(AS_MAC_REFRESH_TAG, false, &tag_key) &&
	          as_refresh_token_parse(text.bytes, text.length, &tag_key, &token);
	as_text_wipe(&text);
	sodium_memzero(&tag_key, sizeof(tag_key));
	if (!genuine)
		as_fail(AS_INVALID_TOKEN, NULL);
	event->user_id = token.user_id;
	event->session_id = token.session_id;
	sodium_memzero(&token, sizeof(token));
	end_session(event, true);
}

Datum
auth_logout(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	AsEvent event;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&event, AS_ACTION_LOGOUT);
	if (!PG_ARGISNULL(1))
	{
		if (!PG_ARGISNULL(0))
			as_fail(AS_INVALID_REQUEST,
			        "Give either a session_id or a refresh_token.");
		logout_by_token(fcinfo, &event);
		PG_RETURN_VOID();
	}

	context = as_context_require();
	event.user_id = context->user_id;
	if (!as_door_uuid(fcinfo, 0, &event.session_id))
		event.session_id = context->session_id;
	end_session(&event, false);
	PG_RETURN_VOID();
}

Datum
auth_logout_all(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	AsUuid user_id;
	AsUuid current;
	AsEvent event;
	bool keep_current;
	int ended;

	as_door_enter(AS_DOOR_WRITES);
	keep_current = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	as_event_begin(&event, AS_ACTION_LOGOUT_ALL);
	context = as_context_require();
	user_id = context->user_id;
	current = context->session_id;

	/* First the account, so that no sign-in in flight survives. */
	if (!as_account_begin_epoch(&user_id))
		as_fail(AS_SESSION_REVOKED, NULL);
	ended = as_session_end_all(&user_id, keep_current ? &current : NULL);
	event.user_id = user_id;
	event.session_id = current;
	as_door_succeed(&event);
	PG_RETURN_INT32(ended);
}
