/*
 * signin_limit.c: how many sign-ins may fail before the next is refused.
 *
 * Counted per account from one client, per account from all of them, and per
 * client: for an unknown account like for a known one. Where no proxy is
 * trusted there is no client, and only the second applies.
 *
 * What is counted in shared memory no transaction takes back, so failures are
 * forgiven by counting the next ones elsewhere: the keys of an account begin
 * with the number of times that it was forgiven, which grows in its row, with
 * the commit of what forgives (epoch.c), for all clients at once.
 */
#include "service/service.h"

/* All clients together may fail this many times as often as one. */
#define FAILURES_FROM_ALL 10

/* Of one account, from all clients, before a success is remarkable. */
#define FAILURES_REMARKABLE 5

/* The first part of an account's keys: of fixed width, so that no two meet. */
static StringInfoData
account_key(int forgiven)
{
	StringInfoData key;

	initStringInfo(&key);
	appendBinaryStringInfo(&key, (const char *) &forgiven, sizeof(forgiven));
	return key;
}

static AsFailure
take_of_account(AsAttempt *attempt, AsLimit limit, const StringInfoData *key,
                int allowed)
{
	return as_attempt_take(attempt, limit, key->data, (size_t) key->len,
	                       allowed, auth_session_rate_window);
}

static AsFailure
take_of_client(AsAttempt *attempt, const uint8 *client, const char *identifier,
               int forgiven)
{
	StringInfoData both = account_key(forgiven);
	AsFailure outcome;

	appendBinaryStringInfo(&both, (const char *) client, AS_ADDRESS_KEY_BYTES);
	appendStringInfoString(&both, identifier);
	outcome = take_of_account(attempt, AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS, &both,
	                          auth_session_signin_rate_per_account);
	if (outcome == AS_OK)
		outcome = as_attempt_take(
		    attempt, AS_LIMIT_SIGNIN_ADDRESS, client, AS_ADDRESS_KEY_BYTES,
		    auth_session_signin_rate_per_address, auth_session_rate_window);
	return outcome;
}

AsFailure
as_signin_limit_take(AsAttempt *attempt, const char *identifier, int forgiven)
{
	const uint8 *client = as_attempt_client();
	StringInfoData key = account_key(forgiven);
	AsFailure outcome = AS_OK;

	appendStringInfoString(&key, identifier);
	if (client != NULL)
		outcome = take_of_client(attempt, client, identifier, forgiven);
	if (outcome == AS_OK)
		outcome = take_of_account(attempt, AS_LIMIT_SIGNIN_ACCOUNT, &key,
		                          auth_session_signin_rate_per_account *
		                              FAILURES_FROM_ALL);
	return outcome;
}

static bool
is_remarkable(const char *address, bool is_phone, int forgiven)
{
	StringInfoData key = account_key(forgiven);
	char *identifier =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);
	int wait_s;

	if (identifier == NULL)
		return false;
	appendStringInfoString(&key, identifier);
	/* What is being tried at this moment may turn out right: AS_BUSY. */
	return as_throttle_look(AS_LIMIT_SIGNIN_ACCOUNT, key.data, (size_t) key.len,
	                        FAILURES_REMARKABLE, auth_session_rate_window,
	                        &wait_s) == AS_THROTTLED;
}

bool
as_signin_limit_is_suspicious(const AsAccount *account)
{
	return is_remarkable(
	           as_account_counts(account->email, account->email_confirmed_at),
	           false, account->forgiven) ||
	       is_remarkable(
	           as_account_counts(account->phone, account->phone_confirmed_at),
	           true, account->forgiven);
}

AsFailure
as_signin_limit_take_user(AsAttempt *attempt, const AsAccount *account)
{
	StringInfoData key = account_key(account->forgiven);

	appendBinaryStringInfo(&key, (const char *) account->id.bytes,
	                       sizeof(account->id.bytes));
	return take_of_account(attempt, AS_LIMIT_SIGNIN_ACCOUNT, &key,
	                       auth_session_signin_rate_per_account);
}
