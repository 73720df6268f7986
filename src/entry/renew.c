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
 *
 * Of a browser it is the one in the cookie, and so is the next.
 *
 * A renewal that succeeds tells nobody anything, and a session has one every
 * few minutes: it is audited only where auth_session.audit_renewals is on. All
 * that is refused is recorded in any case.
 */
#include "entry/entry.h"

AS_ENTRY(auth_renew);

typedef struct Renew
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	bool by_cookie;
	AsRefreshToken presented;
	AsRefreshToken next;
	AsAccount account;
	AsSession session;
} Renew;

/* The argument, or what the browser keeps. */
static bool
find_token(Renew *renew, AsText *text)
{
	FunctionCallInfo fcinfo = renew->fcinfo;

	renew->by_cookie = PG_ARGISNULL(0);
	if (!renew->by_cookie)
		return as_call_secret(fcinfo, 0, AS_REFRESH_TOKEN_CHARS, text);
	text->bytes = as_cookie_refresh_token();
	if (text->bytes == NULL)
		return true;
	text->length = strlen(text->bytes);
	as_call_keep_secret(text->bytes, text->length);
	return text->length <= AS_REFRESH_TOKEN_CHARS;
}

static AsFailure
read_token(Renew *renew)
{
	AsText text = {0};
	AsMacKey successor_key;
	bool is_short = find_token(renew, &text);

	if (text.bytes == NULL && is_short)
		return as_attempt_tell(&renew->attempt, AS_INVALID_REQUEST,
		                       "Give a refresh_token.");
	if (!is_short || !as_refresh_token_read(&text, &renew->presented) ||
	    !as_mac_key(AS_MAC_REFRESH_SUCCESSOR, false, &successor_key))
		return AS_INVALID_TOKEN;
	as_refresh_token_next(&renew->presented, &successor_key, &renew->next);
	as_wipe(&successor_key, sizeof(successor_key));
	renew->attempt.event.user_id = renew->presented.user_id;
	renew->attempt.event.session_id = renew->presented.session_id;
	return AS_OK;
}

/* A bad or expired bearer counts as no context: renewing is its cure. */
static AsFailure
check_context(Renew *renew)
{
	const AsContext *context = as_context_live();

	if (context == NULL ||
	    as_uuid_equal(&context->user_id, &renew->presented.user_id))
		return AS_OK;
	return as_attempt_refuse(&renew->attempt, AS_USER_MISMATCH,
	                         "belongs to another user");
}

/*
 * A sibling domain can plant a refresh token of another session, and whoever
 * came back to this one would act as somebody else: it can't plant the cookie
 * beside it, which must be of the same.
 */
static AsFailure
check_cookies(Renew *renew)
{
	const AsRefreshToken *presented = &renew->presented;

	if (!renew->by_cookie)
		return as_cookie_check(&renew->attempt);
	if (!as_cookie_is_of(&presented->user_id, &presented->session_id))
		return as_attempt_refuse(&renew->attempt, AS_USER_MISMATCH,
		                         "belongs to another session");
	return as_cookie_may_set(&renew->attempt);
}

static bool
is_within_grace(const Renew *renew)
{
	return GetCurrentTimestamp() <
	       as_after_seconds(renew->session.renewed_at,
	                        auth_session_refresh_reuse_grace);
}

static AsFailure
refuse_gone(Renew *renew)
{
	return as_attempt_refuse(&renew->attempt, AS_SESSION_REVOKED,
	                         "session has ended");
}

/* Whether the row knows the token as its current one. */
static bool
is_current(const Renew *renew)
{
	AsDigest digest;

	as_refresh_token_digest(&renew->presented, &digest);
	return (uint32) renew->session.generation == renew->presented.generation &&
	       as_digest_equal(&digest, &renew->session.refresh_digest);
}

/*
 * The UPDATE missed a row that is there and knows the token: on another node,
 * where it has moved meanwhile. That is no fault of the token's.
 */
static AsFailure
rotate_again(Renew *renew)
{
	return as_session_renew(&renew->presented, &renew->next, &renew->session)
	           ? AS_OK
	           : AS_BUSY;
}

/*
 * What a genuine token is that is not the current one of a session. Reads
 * without a lock: the recorder is to delete this very row.
 */
static AsFailure
classify(Renew *renew)
{
	const AsRefreshToken *presented = &renew->presented;
	const AsSession *session = &renew->session;
	uint32 current;
	AsDigest successor;

	if (!as_session_find(&presented->user_id, &presented->session_id,
	                     &renew->session) ||
	    as_session_is_ended(&presented->user_id, &presented->session_id))
		return refuse_gone(renew);
	if (session->expires_at <= GetCurrentTimestamp())
		return as_attempt_refuse(&renew->attempt, AS_SESSION_EXPIRED,
		                         "session has expired");
	if (is_current(renew))
		return rotate_again(renew);
	current = (uint32) session->generation;
	if (presented->generation >= current)
		/* Of a renewal that was rolled back, or of before a restore. */
		return as_attempt_refuse(&renew->attempt, AS_INVALID_TOKEN,
		                         "token newer than session");
	as_refresh_token_digest(&renew->next, &successor);
	if (renew->next.generation == current &&
	    as_digest_equal(&successor, &session->refresh_digest) &&
	    is_within_grace(renew))
		return AS_OK;
	(void) as_attempt_refuse(&renew->attempt, AS_REFRESH_TOKEN_REUSED,
	                         "refresh token reused");
	renew->attempt.record = AS_RECORD_REUSE;
	return AS_REFRESH_TOKEN_REUSED;
}

static AsFailure
rotate(Renew *renew)
{
	return as_session_renew(&renew->presented, &renew->next, &renew->session)
	           ? AS_OK
	           : classify(renew);
}

/*
 * The next access token says what the account is now. A ban ends all
 * sessions; this is for one that slipped in beside it. A session may have a
 * row and have ended: what was written of it is undone by the refusal.
 */
static AsFailure
check_account(Renew *renew)
{
	if (!as_account_find_of_session(&renew->presented.user_id,
	                                &renew->presented.session_id,
	                                &renew->account) ||
	    renew->account.status == AS_ACCOUNT_PENDING ||
	    as_account_is_banned(&renew->account, GetCurrentTimestamp()))
		return refuse_gone(renew);
	return AS_OK;
}

static AsFailure
renew_session(void *flow)
{
	Renew *renew = flow;
	AsFailure outcome;

	if ((outcome = read_token(renew)) == AS_OK &&
	    (outcome = check_cookies(renew)) == AS_OK &&
	    (outcome = check_context(renew)) == AS_OK &&
	    (outcome = rotate(renew)) == AS_OK)
		outcome = check_account(renew);
	as_wipe(&renew->presented, sizeof(renew->presented));
	renew->attempt.is_silent = !auth_session_audit_renewals;
	return outcome;
}

Datum
auth_renew(PG_FUNCTION_ARGS)
{
	Renew renew = {.fcinfo = fcinfo};

	as_attempt_run(&renew.attempt, "renew", renew_session, &renew);
	PG_RETURN_DATUM(
	    as_answer_tokens(fcinfo, &renew.account, &renew.session, &renew.next,
	                     renew.by_cookie || as_request()->wants_cookies));
}
