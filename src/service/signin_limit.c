/*
 * signin_limit.c: how many sign-ins may fail before the next is refused.
 *
 * Counted per account from one client address, per account from all of them,
 * and per client address: before anything is known of the attempt. Limits by
 * address are for addresses that a trusted proxy told: any other counts as
 * one.
 */
#include "service/service.h"

/* All addresses together may fail this many times as often as one. */
#define FAILURES_FROM_ALL 10

/* The key of an account's failures from one client address. */
static StringInfoData
account_address_key(const char *identifier)
{
	static const uint8 no_address[sizeof(((AsRequest *) 0)->address_key)] = {0};
	const AsRequest *request = as_request();
	StringInfoData key;

	initStringInfo(&key);
	appendBinaryStringInfo(&key,
	                       (const char *) (request->has_client_address
	                                           ? request->address_key
	                                           : no_address),
	                       sizeof(no_address));
	appendStringInfoString(&key, identifier);
	return key;
}

AsFailure
as_signin_limit_take(AsAttempt *attempt, const char *identifier)
{
	const AsRequest *request = as_request();
	StringInfoData both = account_address_key(identifier);
	int rate = auth_session_signin_rate_per_account;
	int window = auth_session_rate_window;
	AsFailure outcome;

	outcome = as_attempt_take(attempt, AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS,
	                          both.data, both.len, rate, window);
	if (outcome == AS_OK)
		outcome = as_attempt_take(attempt, AS_LIMIT_SIGNIN_ACCOUNT, identifier,
		                          strlen(identifier), rate * FAILURES_FROM_ALL,
		                          window);
	if (outcome == AS_OK && request->has_client_address)
		outcome =
		    as_attempt_take(attempt, AS_LIMIT_SIGNIN_ADDRESS,
		                    request->address_key, sizeof(request->address_key),
		                    auth_session_signin_rate_per_address, window);
	return outcome;
}

AsFailure
as_signin_limit_take_user(AsAttempt *attempt, const AsUuid *user_id)
{
	return as_attempt_take(attempt, AS_LIMIT_SIGNIN_ACCOUNT, user_id->bytes,
	                       sizeof(user_id->bytes),
	                       auth_session_signin_rate_per_account,
	                       auth_session_rate_window);
}

void
as_signin_limit_forgive(const char *identifier)
{
	StringInfoData both = account_address_key(identifier);

	as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS, both.data, both.len);
	as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT, identifier, strlen(identifier));
}
