/*
 * renew.c: auth.renew, the next tokens of a session.
 *
 * The tag says, without a look-up, that a token is ours; its generation says
 * how old it is. The current one is replaced in a single conditional UPDATE,
 * so that of any number of renewals at once exactly one rotates. The others,
 * and a caller whose answer was lost, present the immediate parent within
 * the grace and get the same successor again. Anything older is a theft, or
 * its victim: that session ends, through the recorder, since this
 * transaction is about to be lost.
 */
#include "entry/entry.h"

#include <sodium.h>

AS_ENTRY(auth_renew);

/* How long a failing caller waits for the commit of its record: ms. */
#define RECORD_WAIT 1000

typedef struct Renew
{
	AsText text;
	AsRefreshToken presented;
	AsRefreshToken next;
	AsAccount account;
	AsSession session;
	AsEvent event;
	const char *hint;
} Renew;

static AsFailure
read_token(FunctionCallInfo fcinfo, Renew *renew)
{
	AsMacKey tag_key;
	AsMacKey successor_key;
	bool genuine;

	if (PG_ARGISNULL(0))
	{
		renew->hint = "Give a refresh_token.";
		return AS_INVALID_REQUEST;
	}
	if (!as_door_text(fcinfo, 0, AS_REFRESH_TOKEN_CHARS, &renew->text) ||
	    !as_mac_key(AS_MAC_REFRESH_TAG, false, &tag_key) ||
	    !as_mac_key(AS_MAC_REFRESH_SUCCESSOR, false, &successor_key))
		return AS_INVALID_TOKEN;
	genuine = as_refresh_token_parse(renew->text.bytes, renew->text.length,
	                                 &tag_key, &renew->presented);
	if (genuine)
		as_refresh_token_next(&renew->presented, &successor_key, &renew->next);
	sodium_memzero(&tag_key, sizeof(tag_key));
	sodium_memzero(&successor_key, sizeof(successor_key));
	if (!genuine)
		return AS_INVALID_TOKEN;
	renew->event.user_id = renew->presented.user_id;
	renew->event.session_id = renew->presented.session_id;
	return AS_OK;
}

/* A bad or expired bearer counts as no context: renewing is its cure. */
static AsFailure
check_context(Renew *renew)
{
	const AsContext *context = as_context();

	if (context == NULL || context->failure != AS_OK ||
	    memcmp(context->user_id.bytes, renew->presented.user_id.bytes,
	           sizeof(context->user_id.bytes)) == 0)
		return AS_OK;
	renew->event.reason = AS_REASON_OTHER_USER;
	return AS_USER_MISMATCH;
}

static bool
is_within_grace(const Renew *renew)
{
	return GetCurrentTimestamp() <
	       renew->session.renewed_at +
	           auth_session_refresh_reuse_grace * USECS_PER_SEC;
}

/*
 * What a genuine token is that is not the current one of a session. Reads
 * without a lock: the recorder is to delete this very row.
 */
static AsFailure
classify(Renew *renew)
{
	const AsRefreshToken *presented = &renew->presented;
	AsSession *session = &renew->session;
	AsDigest successor;

	if (!as_session_find(&presented->user_id, &presented->session_id,
	                     session) ||
	    !as_account_find(&presented->user_id, &renew->account))
	{
		renew->event.reason = AS_REASON_SESSION_GONE;
		return AS_SESSION_REVOKED;
	}
	if (session->expires_at <= GetCurrentTimestamp())
	{
		renew->event.reason = AS_REASON_SESSION_EXPIRED;
		return AS_SESSION_EXPIRED;
	}
	if (presented->generation >= session->generation)
	{
		/* Of a renewal that was rolled back, or of before a restore. */
		renew->event.reason = AS_REASON_TOKEN_NEWER;
		return AS_INVALID_TOKEN;
	}
	as_refresh_token_digest(&renew->next, &successor);
	if (renew->next.generation == session->generation &&
	    as_digest_equal(&successor, &session->refresh_digest) &&
	    is_within_grace(renew))
		return AS_OK;
	renew->event.reason = AS_REASON_TOKEN_REUSED;
	return AS_REFRESH_TOKEN_REUSED;
}

static AsFailure
rotate(Renew *renew)
{
	if (as_session_renew(&renew->presented, &renew->next, &renew->session,
	                     &renew->account))
		return AS_OK;
	return classify(renew);
}

/* A ban ends all sessions; this is for one that slipped in beside it. */
static AsFailure
check_account(Renew *renew)
{
	if (renew->account.status != AS_ACCOUNT_PENDING &&
	    !as_account_is_banned(&renew->account, GetCurrentTimestamp()))
		return AS_OK;
	renew->event.reason = AS_REASON_SESSION_GONE;
	return AS_SESSION_REVOKED;
}

static void
refuse(Renew *renew, AsFailure outcome)
{
	AsRecord record = {.kind = AS_RECORD_REUSE};

	if (outcome == AS_INVALID_REQUEST ||
	    !as_uuid_is_known(&renew->event.session_id))
		as_fail(outcome, renew->hint);
	if (outcome != AS_REFRESH_TOKEN_REUSED)
		as_door_refuse(&renew->event, outcome, NULL);

	renew->event.result = outcome;
	record.event = renew->event;
	if (as_recorder_submit(&record, RECORD_WAIT) == AS_RECORD_FULL)
		as_fail(AS_BUSY, NULL);
	as_fail(outcome, NULL);
}

Datum
auth_renew(PG_FUNCTION_ARGS)
{
	Renew renew = {0};
	AsFailure outcome;
	Datum tokens;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&renew.event, AS_ACTION_RENEW);

	if ((outcome = read_token(fcinfo, &renew)) == AS_OK &&
	    (outcome = check_context(&renew)) == AS_OK &&
	    (outcome = rotate(&renew)) == AS_OK)
		outcome = check_account(&renew);
	as_text_wipe(&renew.text);
	sodium_memzero(&renew.presented.secret, sizeof(renew.presented.secret));

	if (outcome != AS_OK)
		refuse(&renew, outcome);
	as_door_succeed(&renew.event);
	tokens =
	    as_door_tokens(fcinfo, &renew.account, &renew.session, &renew.next);
	sodium_memzero(&renew.next, sizeof(renew.next));
	PG_RETURN_DATUM(tokens);
}
