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
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsProof proof;
	bool has_password;
	AsPassword password;
	AsCodeTry tries[AS_CLAIMS_READ];
	AsAccount accounts[AS_CLAIMS_READ];
	int count;
	int chosen;
} Confirm;

static AsPurpose
purpose_of(const AsIdentifier *identifier)
{
	return identifier->is_phone ? AS_PURPOSE_CONFIRM_PHONE
	                            : AS_PURPOSE_CONFIRM_EMAIL;
}

/* ---- confirm ---- */

static AsFailure
read_arguments(Confirm *confirm)
{
	FunctionCallInfo fcinfo = confirm->fcinfo;

	confirm->has_password = !PG_ARGISNULL(2);
	if (confirm->has_password &&
	    !as_call_password(fcinfo, 2, &confirm->password, NULL))
		return as_attempt_tell(&confirm->attempt, AS_INVALID_REQUEST,
		                       "The password is too long or not Unicode.");
	return as_proof_read(&confirm->attempt, fcinfo, &confirm->proof);
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
fail_proof(Confirm *confirm)
{
	return as_proof_fail(&confirm->attempt, &confirm->proof, confirm->tries,
	                     confirm->count);
}

static AsFailure
count_password(Confirm *confirm)
{
	const char *key = confirm->proof.identifier.canonical;

	return as_attempt_charge(&confirm->attempt, AS_LIMIT_CODE_ACCOUNT, key,
	                         strlen(key), PASSWORDS_MOST,
	                         auth_session_rate_window);
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
	return fail_proof(confirm);
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
	if (claims->count > 0)
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
	bool was_active;

	as_identifier_lock(confirm->proof.identifier.canonical);
	if (as_identifier_owner(confirm->proof.identifier.canonical, &owner))
		return as_attempt_refuse(&confirm->attempt, AS_ALREADY_EXISTS,
		                         "address is taken");
	if (!lock_claims(confirm, &claims, account) || !use_codes(confirm) ||
	    !as_identifier_own(confirm->proof.identifier.canonical, &id))
		return fail_proof(confirm);

	if (confirm->proof.identifier.is_phone)
		account->phone_confirmed_at = GetCurrentTimestamp();
	else
		account->email_confirmed_at = GetCurrentTimestamp();
	was_active = account->status == AS_ACCOUNT_ACTIVE;
	if (account->status == AS_ACCOUNT_PENDING && is_whole(account))
		account->status = AS_ACCOUNT_ACTIVE;
	as_account_save_confirmed(account);
	if (account->status == AS_ACCOUNT_ACTIVE)
		as_announce(was_active ? "user_confirmed" : "user_created", &id, NULL);
	drop_others(confirm, &claims, &id);
	confirm->attempt.event.user_id = id;
	return AS_OK;
}

static AsFailure
confirm_address(void *flow)
{
	Confirm *confirm = flow;
	AsAttempt *attempt = &confirm->attempt;
	AsProof *proof = &confirm->proof;
	AsFailure outcome;

	if ((outcome = read_arguments(confirm)) == AS_OK &&
	    (outcome = as_proof_follow(attempt, proof, AS_PURPOSE_CONFIRM_EMAIL,
	                               AS_PURPOSE_CONFIRM_PHONE)) == AS_OK &&
	    (outcome = find_candidates(confirm)) == AS_OK &&
	    (outcome = as_proof_try(attempt, proof, confirm->tries,
	                            confirm->count)) == AS_OK &&
	    (outcome = choose(confirm)) == AS_OK)
		outcome = take_address(confirm);
	return outcome;
}

Datum
auth_confirm(PG_FUNCTION_ARGS)
{
	Confirm *confirm = palloc0(sizeof(Confirm));

	confirm->fcinfo = fcinfo;
	as_attempt_run(&confirm->attempt, "confirm", confirm_address, confirm);
	PG_RETURN_DATUM(
	    as_answer_account(fcinfo, &confirm->accounts[confirm->chosen]));
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

typedef struct Resend
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
} Resend;

static AsFailure
resend(void *flow)
{
	Resend *resend = flow;
	AsEvent *event = &resend->attempt.event;
	AsIdentifier identifier;
	AsAccount account;
	AsFailure outcome;
	bool is_pending;

	if (!as_call_identifier(resend->fcinfo, 0, &identifier) ||
	    identifier.canonical == NULL)
		return as_attempt_tell(
		    &resend->attempt, AS_INVALID_REQUEST,
		    "The identifier is neither an email nor a phone.");
	outcome = as_message_allow(&resend->attempt, AS_MESSAGE_CONFIRMATION,
	                           &identifier, true);
	if (outcome != AS_OK)
		return outcome;

	as_identifier_lock(identifier.canonical);
	is_pending = newest_pending(&identifier, &account);
	as_message_look_up_until(event->at);
	as_message_send_code(is_pending ? &account.id : NULL,
	                     purpose_of(&identifier), &identifier,
	                     identifier.typed);
	if (is_pending)
		event->user_id = account.id;
	return AS_OK;
}

Datum
auth_resend_confirmation(PG_FUNCTION_ARGS)
{
	Resend flow = {.fcinfo = fcinfo};

	as_attempt_run(&flow.attempt, "resend_confirmation", resend, &flow);
	PG_RETURN_VOID();
}
