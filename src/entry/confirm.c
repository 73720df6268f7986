/*
 * confirm.c: auth.confirm and auth.resend_confirmation.
 *
 * The code proves the address, the password picks the sign-up: several may
 * be pending at one address, and whose password is given keeps its account,
 * with its own info; the others die. So who signed up first, or in between,
 * with somebody else's address gets no account on it.
 *
 * Candidates are looked at, and passwords hashed, with no lock held; then
 * the address is locked and the winner must still be there.
 */
#include "entry/entry.h"

AS_ENTRY(auth_confirm);
AS_ENTRY(auth_resend_confirmation);

/* Passwords tried per window at one address: each costs a hash. */
#define PASSWORDS_MOST 20

typedef struct Confirm
{
	AsProof proof;
	bool has_password;
	AsPassword password;
	AsCodeTry tries[AS_CLAIMS_READ];
	AsAccount accounts[AS_CLAIMS_READ];
	int count;
	int chosen;
	AsEvent event;
	const char *hint;
	int retry_after_s;
} Confirm;

static AsPurpose
purpose_of(const AsIdentifier *identifier)
{
	return identifier->is_phone ? AS_PURPOSE_CONFIRM_PHONE
	                            : AS_PURPOSE_CONFIRM_EMAIL;
}

/* ---- confirm ---- */

static AsFailure
read_arguments(FunctionCallInfo fcinfo, Confirm *confirm)
{
	confirm->has_password = !PG_ARGISNULL(2);
	if (confirm->has_password &&
	    !as_door_password(fcinfo, 2, &confirm->password, NULL))
	{
		confirm->hint = "The password is too long or not Unicode.";
		return AS_INVALID_REQUEST;
	}
	return as_proof_read(fcinfo, &confirm->proof, &confirm->hint);
}

static AsFailure
follow_link(Confirm *confirm)
{
	return as_proof_follow(&confirm->proof, AS_PURPOSE_CONFIRM_EMAIL,
	                       AS_PURPOSE_CONFIRM_PHONE);
}

/* The pending sign-ups at the address, each with its code. */
static AsFailure
find_candidates(Confirm *confirm)
{
	AsClaimList claims;
	AsPurpose purpose = purpose_of(&confirm->proof.identifier);

	as_identifier_claims(confirm->proof.identifier.canonical, &claims);
	for (int i = 0; i < claims.count; i++)
	{
		AsAccount *account = &confirm->accounts[confirm->count];
		AsCodeTry *one = &confirm->tries[confirm->count];

		if (!as_account_find(&claims.user_ids[i], account) ||
		    account->status == AS_ACCOUNT_BANNED ||
		    !as_code_find_for(&account->id, purpose,
		                      confirm->proof.identifier.canonical, &one->code))
			continue;
		one->account_failures = account->code_failures;
		confirm->count++;
	}
	return AS_OK;
}

static AsFailure
check_code(Confirm *confirm)
{
	return as_code_try(&confirm->proof, confirm->tries, confirm->count)
	           ? AS_OK
	           : AS_INVALID_CODE;
}

static AsFailure
count_password(Confirm *confirm)
{
	const char *key = confirm->proof.identifier.canonical;

	return as_throttle_take(AS_LIMIT_CODE_ACCOUNT, key, strlen(key),
	                        PASSWORDS_MOST, auth_session_rate_window, NULL,
	                        &confirm->retry_after_s)
	           ? AS_OK
	           : AS_THROTTLED;
}

/* The only sign-up there is, or the one that has the password. */
static AsFailure
choose(Confirm *confirm)
{
	AsFailure outcome;

	confirm->chosen = 0;
	if (!confirm->has_password)
		return confirm->count == 1 ? AS_OK : AS_PASSWORD_REQUIRED;

	if ((outcome = count_password(confirm)) != AS_OK)
		return outcome;
	for (int i = 0; i < confirm->count; i++)
	{
		bool matches;

		outcome = as_password_verify(&confirm->password,
		                             &confirm->accounts[i].hash, &matches);
		if (outcome != AS_OK)
			return outcome;
		confirm->chosen = i;
		if (matches)
			return AS_OK;
	}
	return AS_INVALID_CODE;
}

static bool
is_whole(const AsAccount *account)
{
	bool email =
	    account->email == NULL || account->email_confirmed_at != AS_NO_TIME;
	bool phone =
	    account->phone == NULL || account->phone_confirmed_at != AS_NO_TIME;

	return (email && phone) ||
	       auth_session_require_confirmation != AS_CONFIRM_ALL;
}

/* The code that was tried is used up, and so is the chosen account's own. */
static bool
use_codes(Confirm *confirm)
{
	bool used = false;

	for (int i = 0; i < confirm->count; i++)
		if (confirm->tries[i].matches)
			used = as_code_consume(&confirm->tries[i].code) || used;
	(void) as_code_consume(&confirm->tries[confirm->chosen].code);
	return used;
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(AsUuid));
}

/*
 * Locks every account that claims the address, in the order of their ids:
 * two of them may be confirming the two addresses that both claim. False
 * where the winner's claim is gone.
 */
static bool
lock_claims(const Confirm *confirm, AsClaimList *claims, AsAccount *winner)
{
	AsUuid id = winner->id;
	bool found = false;

	as_identifier_claims(confirm->proof.identifier.canonical, claims);
	qsort(claims->user_ids, (size_t) claims->count, sizeof(AsUuid),
	      compare_ids);
	for (int i = 0; i < claims->count; i++)
	{
		AsAccount other;

		if (compare_ids(&claims->user_ids[i], &id) == 0)
			found = as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, winner);
		else
			(void) as_account_lock(&claims->user_ids[i], AS_ACCOUNT_EXCLUSIVE,
			                       &other);
	}
	return found;
}

static void
drop_others(const Confirm *confirm, const AsClaimList *claims,
            const AsUuid *winner)
{
	for (int i = 0; i < claims->count; i++)
		if (compare_ids(&claims->user_ids[i], winner) != 0)
			as_account_give_up_claim(&claims->user_ids[i],
			                         confirm->proof.identifier.canonical);
}

static AsFailure
take_address(Confirm *confirm)
{
	AsAccount *account = &confirm->accounts[confirm->chosen];
	AsClaimList claims;
	AsUuid owner;
	AsUuid id = account->id;

	as_identifier_lock(confirm->proof.identifier.canonical);
	if (as_identifier_owner(confirm->proof.identifier.canonical, &owner))
		return AS_ALREADY_EXISTS;
	if (!lock_claims(confirm, &claims, account) || !use_codes(confirm) ||
	    !as_identifier_own(confirm->proof.identifier.canonical, &id))
		return AS_INVALID_CODE;

	if (confirm->proof.identifier.is_phone)
		account->phone_confirmed_at = GetCurrentTimestamp();
	else
		account->email_confirmed_at = GetCurrentTimestamp();
	if (account->status == AS_ACCOUNT_PENDING && is_whole(account))
		account->status = AS_ACCOUNT_ACTIVE;
	as_account_save_confirmed(account);
	drop_others(confirm, &claims, &id);
	confirm->event.user_id = id;
	return AS_OK;
}

static void
refuse(Confirm *confirm, AsFailure outcome)
{
	if (outcome == AS_THROTTLED)
		as_fail_throttled(confirm->retry_after_s);
	if (outcome == AS_INVALID_CODE &&
	    confirm->proof.identifier.canonical != NULL)
		as_code_try_failed(&confirm->event, &confirm->proof, confirm->tries,
		                   confirm->count);
	if (outcome == AS_ALREADY_EXISTS)
		as_door_refuse(&confirm->event, outcome, NULL);
	as_fail(outcome, confirm->hint);
}

Datum
auth_confirm(PG_FUNCTION_ARGS)
{
	Confirm *confirm = palloc0(sizeof(Confirm));
	AsFailure outcome;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&confirm->event, AS_ACTION_CONFIRM);

	if ((outcome = read_arguments(fcinfo, confirm)) == AS_OK &&
	    (outcome = follow_link(confirm)) == AS_OK &&
	    (outcome = find_candidates(confirm)) == AS_OK &&
	    (outcome = check_code(confirm)) == AS_OK &&
	    (outcome = choose(confirm)) == AS_OK)
		outcome = take_address(confirm);
	as_password_wipe(&confirm->password);
	as_text_wipe(&confirm->proof.code);

	if (outcome != AS_OK)
		refuse(confirm, outcome);
	as_code_try_succeeded(confirm->tries, confirm->count);
	as_door_succeed(&confirm->event);
	PG_RETURN_DATUM(
	    as_door_account(fcinfo, &confirm->accounts[confirm->chosen]));
}

/* ---- resend_confirmation ---- */

/*
 * The newest pending sign-up at the address, whose code is sent again; false
 * where there is none, or the address has an owner. The statements are the
 * same in each case.
 */
static bool
newest_pending(const AsIdentifier *identifier, AsAccount *account)
{
	AsClaimList claims;
	AsUuid owner;
	AsUuid nobody = as_uuid_random();
	bool is_owned = as_identifier_owner(identifier->canonical, &owner);
	bool is_pending;
	int next = 0;

	as_identifier_claims(identifier->canonical, &claims);
	do
		is_pending = as_account_find(
		                 next < claims.count ? &claims.user_ids[next] : &nobody,
		                 account) &&
		             account->status != AS_ACCOUNT_BANNED;
	while (!is_pending && ++next < claims.count);
	return is_pending && !is_owned;
}

Datum
auth_resend_confirmation(PG_FUNCTION_ARGS)
{
	AsIdentifier identifier;
	AsAccount account;
	AsEvent event;
	bool is_pending;
	int retry_after_s;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&event, AS_ACTION_RESEND);
	if (!as_door_identifier(fcinfo, 0, &identifier) ||
	    identifier.canonical == NULL)
		as_fail(AS_INVALID_REQUEST,
		        "The identifier is neither an email nor a phone.");
	if (as_message_allowed(AS_MESSAGE_CONFIRMATION, &identifier, true,
	                       &retry_after_s) != AS_OK)
		as_fail_throttled(retry_after_s);

	as_identifier_lock(identifier.canonical);
	is_pending = newest_pending(&identifier, &account);
	as_message_look_up_until(event.at);
	as_message_send_code(is_pending ? &account.id : NULL,
	                     purpose_of(&identifier), &identifier,
	                     identifier.typed);
	if (is_pending)
		event.user_id = account.id;
	as_door_succeed(&event);
	PG_RETURN_VOID();
}
