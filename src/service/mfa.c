/*
 * mfa.c: mfa tokens: a sign-in that has one factor and lacks the other.
 *
 * Each is of one sign-in: who, with what, in which epoch. Whatever ends the
 * account's sessions ends it with them.
 */
#include "service/service.h"

/* How long the second factor may take: seconds. */
#define TTL 300

/* What can be the first factor; a method's bit is its place. */
static const char *const methods[] = {"pwd", "otp"};

static uint8
set_of(const AsTexts *shown)
{
	uint8 set = 0;

	for (int i = 0; i < shown->count; i++)
		for (int bit = 0; bit < (int) lengthof(methods); bit++)
			if (strcmp(shown->items[i], methods[bit]) == 0)
				set |= (uint8) (1 << bit);
	return set;
}

char *
as_mfa_token_make(const AsAccount *account, const AsTexts *shown)
{
	AsMfaToken token = {
	    .user_id = account->id,
	    .id = as_uuid_random(),
	    .epoch = account->epoch,
	    .expires_at = as_after_seconds(GetCurrentTimestamp(), TTL),
	    .methods = set_of(shown),
	};
	char *text = palloc(AS_MFA_TOKEN_CHARS + 1);
	AsMacKey key;

	(void) as_mac_key(AS_MAC_MFA, true, &key);
	as_mfa_token_print(&token, &key, text);
	as_wipe(&key, sizeof(key));
	return text;
}

/* It was used, or is of before the time to which everybody's have ended. */
static bool
has_ended(const AsMfaToken *token)
{
	return as_revocation_ends(as_after_seconds(token->expires_at, -TTL)) ||
	       as_mfa_use_is(token);
}

AsFailure
as_mfa_token_read(AsAttempt *attempt, const AsText *text, AsMfaToken *token)
{
	AsMacKey key;
	bool is_genuine;

	if (!as_mac_key(AS_MAC_MFA, false, &key))
		return AS_INVALID_TOKEN;
	is_genuine = as_mfa_token_parse(text->bytes, text->length, &key, token);
	as_wipe(&key, sizeof(key));
	if (!is_genuine)
		return AS_INVALID_TOKEN;
	attempt->event.user_id = token->user_id;
	if (token->expires_at <= GetCurrentTimestamp())
		return as_attempt_tell(attempt, AS_TOKEN_EXPIRED, "Sign in again.");
	return has_ended(token) ? as_mfa_token_end(attempt) : AS_OK;
}

AsFailure
as_mfa_token_end(AsAttempt *attempt)
{
	(void) as_attempt_refuse(attempt, AS_INVALID_TOKEN, "dead mfa token");
	return as_attempt_tell(attempt, AS_INVALID_TOKEN, "Sign in again.");
}

AsTexts
as_mfa_token_methods(const AsMfaToken *token)
{
	AsTexts shown = {0, palloc(sizeof(methods))};

	for (int bit = 0; bit < (int) lengthof(methods); bit++)
		if ((token->methods & (1 << bit)) != 0)
			shown.items[shown.count++] = pstrdup(methods[bit]);
	return shown;
}
