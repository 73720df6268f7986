/*
 * signin.c: auth.signin, from a password to a session.
 *
 * The steps are those of the contract, in its order, and can be read off
 * auth_signin below. A failure is a value until the one exit, which counts
 * and records before it answers. An unknown account costs the same hash as
 * a known one. The hash is computed with no lock held; then the account is
 * locked and must still be the one that was looked at.
 */
#include "entry/entry.h"

AS_ENTRY(auth_signin);

/* All addresses together may fail this many times as often as one. */
#define FAILURES_FROM_ALL 10

/* Tickets of the three limits, in their order. */
#define LIMITS 3

typedef struct SignIn
{
	AsIdentifier identifier;
	AsPassword password;
	AsThrottleTicket tickets[LIMITS];
	bool is_known; /* the identifier has an owner, who is account */
	AsAccount account;
	AsSession session;
	AsRefreshToken refresh_token;
	AsEvent event;
	const char *hint;
	int retry_after_s;
} SignIn;

static AsFailure
read_arguments(FunctionCallInfo fcinfo, SignIn *signin)
{
	AsIdentifier phone;

	if (PG_ARGISNULL(0) == PG_ARGISNULL(2))
		signin->hint = "Give either an email or a phone.";
	else if (!as_door_email(fcinfo, 0, &signin->identifier))
		signin->hint = "The email is not valid.";
	else if (!as_door_phone(fcinfo, 2, &phone))
		signin->hint = "The phone is not an E.164 number.";
	else if (!as_door_password(fcinfo, 1, &signin->password, NULL))
		signin->hint = "The password is missing, too long or not Unicode.";
	else if (signin->identifier.canonical == NULL)
		signin->identifier = phone;
	return signin->hint == NULL ? AS_OK : AS_INVALID_REQUEST;
}

static void
return_tickets(SignIn *signin)
{
	for (int i = 0; i < LIMITS; i++)
		as_throttle_return(&signin->tickets[i]);
}

/*
 * The key of an account's failures from one client address. Limits by address
 * are for addresses that a trusted proxy told: any other counts as one.
 */
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

void
as_signin_forgive(const char *identifier)
{
	StringInfoData both = account_address_key(identifier);

	as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS, both.data, both.len);
	as_throttle_clear(AS_LIMIT_SIGNIN_ACCOUNT, identifier, strlen(identifier));
}

/*
 * Counts the attempt as a failure before anything is known of it; a success
 * takes its own count back.
 */
static AsFailure
count_attempt(SignIn *signin)
{
	const AsRequest *request = as_request();
	const char *account = signin->identifier.canonical;
	size_t length = strlen(account);
	int rate = auth_session_signin_rate_per_account;
	int window = auth_session_rate_window;
	StringInfoData both = account_address_key(account);

	if (as_throttle_take(AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS, both.data, both.len,
	                     rate, window, &signin->tickets[0],
	                     &signin->retry_after_s) &&
	    as_throttle_take(AS_LIMIT_SIGNIN_ACCOUNT, account, length,
	                     rate * FAILURES_FROM_ALL, window, &signin->tickets[1],
	                     &signin->retry_after_s) &&
	    (!request->has_client_address ||
	     as_throttle_take(AS_LIMIT_SIGNIN_ADDRESS, request->address_key,
	                      sizeof(request->address_key),
	                      auth_session_signin_rate_per_address, window,
	                      &signin->tickets[2], &signin->retry_after_s)))
		return AS_OK;
	return_tickets(signin);
	return AS_THROTTLED;
}

static AsFailure
look_up_account(SignIn *signin)
{
	AsUuid owner;
	bool is_owned = as_identifier_owner(signin->identifier.canonical, &owner);

	/* Nobody's account is looked for as well. */
	if (!is_owned)
		owner = as_uuid_random();
	signin->is_known = as_account_find(&owner, &signin->account) && is_owned;
	if (signin->is_known)
		signin->event.user_id = signin->account.id;
	return AS_OK;
}

static AsFailure
check_password(SignIn *signin)
{
	bool matches;
	AsFailure outcome = as_password_verify(
	    &signin->password, signin->is_known ? &signin->account.hash : NULL,
	    &matches);

	if (outcome != AS_OK)
		return outcome;
	if (matches)
		return AS_OK;
	signin->event.reason =
	    signin->is_known ? AS_REASON_WRONG_PASSWORD : AS_REASON_UNKNOWN_ACCOUNT;
	return AS_INVALID_CREDENTIALS;
}

static AsFailure
check_status(SignIn *signin)
{
	if (signin->account.status == AS_ACCOUNT_PENDING)
	{
		signin->event.reason = AS_REASON_PENDING_ACCOUNT;
		return AS_NOT_CONFIRMED;
	}
	if (as_account_is_banned(&signin->account, GetCurrentTimestamp()))
	{
		signin->event.reason = AS_REASON_BANNED_ACCOUNT;
		return AS_BANNED;
	}
	return AS_OK;
}

/*
 * Locks the account and makes sure that nothing has ended all its sessions
 * since it was looked at. A hash weaker than the settings is replaced here:
 * that changes no epoch, so sign-ins beside this one go on.
 */
static AsFailure
lock_account(SignIn *signin)
{
	AsAccount *seen = &signin->account;
	AsAccount now;
	AsPasswordHash stronger;
	bool rehash = as_password_needs_rehash(&seen->hash);
	AsFailure outcome;

	if (rehash && (outcome = as_password_make_hash(&signin->password,
	                                               &stronger)) != AS_OK)
		return outcome;
	if (!as_account_lock(&seen->id,
	                     rehash || auth_session_max_sessions_per_user > 0
	                         ? AS_ACCOUNT_EXCLUSIVE
	                         : AS_ACCOUNT_SHARED,
	                     &now) ||
	    now.epoch != seen->epoch)
	{
		signin->event.reason = AS_REASON_CHANGED_MEANWHILE;
		return AS_INVALID_CREDENTIALS;
	}
	*seen = now;
	if (rehash && as_password_needs_rehash(&now.hash))
		as_account_set_hash(&now.id, &stronger);
	return check_status(signin);
}

static AsFailure
open_session(SignIn *signin)
{
	AsOrigin origin = as_door_origin();

	as_session_open(&signin->account.id, &origin, "aal1", "pwd",
	                &signin->session, &signin->refresh_token);
	if (auth_session_max_sessions_per_user > 0)
		as_session_keep_newest(&signin->account.id,
		                       auth_session_max_sessions_per_user);
	signin->event.session_id = signin->session.id;
	return AS_OK;
}

static AsFailure
notify_user(SignIn *signin)
{
	as_outbox_tell(&signin->account, "new_signin", as_door_origin_payload());
	return AS_OK;
}

/* Failures that computed a hash are on record; the others only counted. */
static void
refuse(SignIn *signin, AsFailure outcome)
{
	if (outcome == AS_THROTTLED)
		as_fail_throttled(signin->retry_after_s);
	if (outcome == AS_INVALID_REQUEST || outcome == AS_BUSY)
		as_fail(outcome, signin->hint);
	as_door_refuse(&signin->event, outcome, NULL);
}

Datum
auth_signin(PG_FUNCTION_ARGS)
{
	SignIn signin = {0};
	AsFailure outcome;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&signin.event, AS_ACTION_SIGNIN);

	if ((outcome = read_arguments(fcinfo, &signin)) == AS_OK &&
	    (outcome = count_attempt(&signin)) == AS_OK &&
	    (outcome = look_up_account(&signin)) == AS_OK &&
	    (outcome = check_password(&signin)) == AS_OK &&
	    (outcome = check_status(&signin)) == AS_OK &&
	    (outcome = lock_account(&signin)) == AS_OK &&
	    (outcome = open_session(&signin)) == AS_OK)
		outcome = notify_user(&signin);
	as_password_wipe(&signin.password);

	if (outcome == AS_OK || outcome == AS_BUSY)
		return_tickets(&signin);
	if (outcome != AS_OK)
		refuse(&signin, outcome);
	as_door_succeed(&signin.event);
	PG_RETURN_DATUM(as_door_tokens(fcinfo, &signin.account, &signin.session,
	                               &signin.refresh_token));
}
