/*
 * signin_limit.c: how many sign-ins may fail before the next is refused.
 *
 * Counted per account from one client, per account from all of them, and per
 * client: before anything is known of the attempt. Where no proxy is trusted
 * there is no client, and only the second applies.
 */
#include "service/service.h"

/* All clients together may fail this many times as often as one. */
#define FAILURES_FROM_ALL 10

/* Of one account, from all clients, before a success is remarkable. */
#define FAILURES_REMARKABLE 5

/* The key of an account's failures from one client. */
static StringInfoData
account_client_key(const uint8 *client, const char *identifier)
{
	StringInfoData key;

	initStringInfo(&key);
	appendBinaryStringInfo(&key, (const char *) client, AS_ADDRESS_KEY_BYTES);
	appendStringInfoString(&key, identifier);
	return key;
}

static AsFailure
take_of_client(AsAttempt *attempt, const uint8 *client, const char *identifier)
{
	StringInfoData both = account_client_key(client, identifier);
	AsFailure outcome;

	outcome = as_attempt_take(
	    attempt, AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS, both.data, both.len,
	    auth_session_signin_rate_per_account, auth_session_rate_window);
	if (outcome == AS_OK)
		outcome = as_attempt_take(
		    attempt, AS_LIMIT_SIGNIN_ADDRESS, client, AS_ADDRESS_KEY_BYTES,
		    auth_session_signin_rate_per_address, auth_session_rate_window);
	return outcome;
}

AsFailure
as_signin_limit_take(AsAttempt *attempt, const char *identifier)
{
	const uint8 *client = as_attempt_client();
	AsFailure outcome = AS_OK;

	if (client != NULL)
		outcome = take_of_client(attempt, client, identifier);
	if (outcome == AS_OK)
		outcome = as_attempt_take(
		    attempt, AS_LIMIT_SIGNIN_ACCOUNT, identifier, strlen(identifier),
		    auth_session_signin_rate_per_account * FAILURES_FROM_ALL,
		    auth_session_rate_window);
	return outcome;
}

bool
as_signin_limit_is_suspicious(const char *identifier)
{
	int wait_s;

	/* What is being tried at this moment may turn out right: AS_BUSY. */
	return as_throttle_look(AS_LIMIT_SIGNIN_ACCOUNT, identifier,
	                        strlen(identifier), FAILURES_REMARKABLE,
	                        auth_session_rate_window, &wait_s) == AS_THROTTLED;
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
as_signin_limit_forgive_user(const AsUuid *user_id)
{
	as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT, user_id->bytes,
	                  sizeof(user_id->bytes));
}

void
as_signin_limit_forgive(const char *identifier)
{
	const uint8 *client = as_attempt_client();

	as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT, identifier, strlen(identifier));
	if (client != NULL)
	{
		StringInfoData both = account_client_key(client, identifier);

		as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS, both.data, both.len);
	}
}
