/*
 * confirm.c: auth.confirm of a sign-up (of a change: confirm_change.c), and
 * auth.resend_confirmation.
 *
 * The code proves the address, the password proves who signed up: several may
 * be pending at one address, and whose password is given keeps its account,
 * with its own info; the others die. So who signed up first, in between, or
 * with a phone of his own beside it, with somebody else's address gets no
 * account on it, not even when its owner follows the link. Nobody hears whether
 * a password is missing or wrong who has not shown the right code first, and
 * that one isn't used up by it.
 *
 * A sign-up without a password is confirmed by the address alone, and only where
 * none with a password is pending there: whoever answers for one of those has
 * to give it. What a stranger wrote into its info is for who has typed the code
 * by hand, and not for who merely followed a link in a mail. An operator's
 * invitation takes a new password instead (invitation.c).
 *
 * Candidates are looked at, and passwords hashed, with no lock held; then the
 * winner is locked and must still be there. The losers are waited for by
 * nobody: at an address that has an owner they can win no more.
 */
#include "entry/entry.h"

AS_ENTRY(auth_confirm);
AS_ENTRY(auth_resend_confirmation);

/* Wrong passwords per rate_window at one address. */
#define PASSWORDS_MOST 20

typedef struct Confirm
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsProof proof;
	bool has_password;
	AsNewPassword password; /* new only where an invitation is accepted */
	AsCodeTry tries[AS_CLAIMS_KEPT];
	AsAccount accounts[AS_CLAIMS_KEPT];
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
	    !as_call_password(fcinfo, 2, &confirm->password.password,
	                      &confirm->password.characters))
		return as_attempt_tell(&confirm->attempt, AS_INVALID_REQUEST,
		                       "The password is too long or not Unicode.");
	return as_proof_read(&confirm->attempt, fcinfo, &confirm->proof);
}

/* The pending sign-ups at the address that count, each with its code. */
static AsFailure
find_candidates(Confirm *confirm)
{
	const char *identifier = confirm->proof.identifier.canonical;
	AsPurpose purpose = purpose_of(&confirm->proof.identifier);
	AsClaimList claims;

	as_identifier_claims(identifier, AS_CLAIMS_KEPT, &claims);
	for (int i = 0; i < claims.count; i++)
	{
		AsAccount *account = &confirm->accounts[confirm->count];
		AsCodeTry *one = &confirm->tries[confirm->count];

		if (as_account_find_in_force(&claims.user_ids[i], account) &&
		    !as_account_is_banned(account, GetCurrentTimestamp()) &&
		    as_code_find_for(&account->id, purpose, identifier, &one->code))
			confirm->count++;
	}
	as_message_look_up_until(confirm->attempt.event.at);
	return AS_OK;
}

static AsFailure
try_proof(Confirm *confirm)
{
	return as_proof_try(&confirm->attempt, &confirm->proof,
	                    purpose_of(&confirm->proof.identifier), confirm->tries,
	                    confirm->count);
}

/* The newest whose code was given; none where one has a password. */
static AsFailure
choose_passwordless(Confirm *confirm)
{
	confirm->chosen = confirm->count;
	for (int i = confirm->count - 1; i >= 0; i--)
	{
		if (confirm->accounts[i].hash.phc[0] != '\0')
			return AS_PASSWORD_REQUIRED;
		if (confirm->tries[i].matches)
			confirm->chosen = i;
	}
	return AS_OK;
}

/* The sign-up is the one that has the password. */
static AsFailure
choose_by_password(Confirm *confirm)
{
	AsAttempt *attempt = &confirm->attempt;
	const char *key = confirm->proof.identifier.canonical;
	AsFailure outcome;

	outcome = as_attempt_take(attempt, AS_LIMIT_CODE_ACCOUNT, key, strlen(key),
	                          PASSWORDS_MOST, auth_session_rate_window);
	if (outcome != AS_OK)
		return outcome;
	for (int i = 0; i < confirm->count; i++)
	{
		bool matches;

		outcome = as_password_verify(&confirm->password.password,
		                             &confirm->accounts[i].hash, &matches);
		if (outcome != AS_OK)
			return outcome;
		confirm->chosen = i;
		if (matches)
			return AS_OK;
	}
	return as_attempt_fail(attempt, AS_INVALID_CODE, "wrong password");
}

/* The proof is right: of which sign-up? */
static AsFailure
choose(Confirm *confirm)
{
	return confirm->has_password ? choose_by_password(confirm)
	                             : choose_passwordless(confirm);
}

/*
 * The code that was tried is used up, and with it the chosen account's own:
 * newest first, in whatever roles, so that two who confirm at once with each
 * other's codes don't wait for each other crosswise. False where it was used
 * meanwhile.
 */
static bool
use_codes(const Confirm *confirm)
{
	const AsCode *own = &confirm->tries[confirm->chosen].code;
	bool used = false;

	for (int i = 0; i < confirm->count; i++)
	{
		const AsCodeTry *one = &confirm->tries[i];

		if (!one->matches && i != confirm->chosen)
			continue;
		if (as_code_consume(&one->code) && one->matches)
			used = true;
	}
	/* None that was replaced may count again. */
	as_code_drop(&own->user_id, own->purpose, own->identifier);
	return used;
}

static AsFailure
take_address(Confirm *confirm)
{
	const char *identifier = confirm->proof.identifier.canonical;
	AsAccount *account = &confirm->accounts[confirm->chosen];
	AsUuid id = account->id;
	AsFailure outcome = as_claim_look(identifier, NULL);

	if (outcome == AS_OK &&
	    as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, account) &&
	    use_codes(confirm) && as_identifier_own(identifier, &id))
		return AS_OK;
	outcome = as_claim_look(identifier, NULL);
	if (outcome == AS_ALREADY_EXISTS)
		return as_attempt_refuse(&confirm->attempt, outcome,
		                         "address is taken");
	return outcome == AS_BUSY ? outcome
	                          : as_attempt_refuse(&confirm->attempt,
	                                              AS_INVALID_CODE, "used code");
}

/* Nobody has said that what is in the info of a sign-up is his. */
static void
empty_info(AsAccount *account)
{
	account->info = as_jsonb_parse("{}");
	as_account_set_info(&account->id, account->info);
}

static AsFailure
save(Confirm *confirm)
{
	AsAccount *account = &confirm->accounts[confirm->chosen];
	AsUuid id = account->id;
	bool was_active = account->status == AS_ACCOUNT_ACTIVE;

	if (confirm->proof.identifier.is_phone)
		account->phone_confirmed_at = GetCurrentTimestamp();
	else
		account->email_confirmed_at = GetCurrentTimestamp();
	if (account->status == AS_ACCOUNT_PENDING && as_account_is_whole(account))
		account->status = AS_ACCOUNT_ACTIVE;
	as_account_save_confirmed(account);
	if (!confirm->has_password && confirm->proof.is_link)
		empty_info(account);
	if (account->status == AS_ACCOUNT_ACTIVE)
		as_announce(was_active ? "user_confirmed" : "user_created", &id, NULL);
	as_claim_drop_others(confirm->proof.identifier.canonical, &id);
	as_proof_forgive(&confirm->attempt, &confirm->proof,
	                 purpose_of(&confirm->proof.identifier));
	confirm->attempt.event.user_id = id;
	return AS_OK;
}

static AsFailure
confirm_sign_up(Confirm *confirm)
{
	AsFailure outcome;

	if ((outcome = find_candidates(confirm)) == AS_OK &&
	    (outcome = try_proof(confirm)) == AS_OK &&
	    (outcome = choose(confirm)) == AS_OK &&
	    (outcome = take_address(confirm)) == AS_OK)
		outcome = save(confirm);
	return outcome;
}

static bool
is_invited(const AsProof *proof)
{
	return proof->is_link && proof->purpose == AS_PURPOSE_INVITATION;
}

static AsFailure
accept_invitation(Confirm *confirm)
{
	return as_invitation_accept(&confirm->attempt, &confirm->proof,
	                            confirm->has_password ? &confirm->password
	                                                  : NULL,
	                            &confirm->accounts[0]);
}

static AsFailure
confirm_address(void *flow)
{
	Confirm *confirm = flow;
	AsAttempt *attempt = &confirm->attempt;
	AsProof *proof = &confirm->proof;
	AsFailure outcome;

	if ((outcome = read_arguments(confirm)) == AS_OK &&
	    (outcome = as_proof_follow(
	         attempt, proof,
	         AS_PURPOSE_SET(AS_PURPOSE_CONFIRM_EMAIL) |
	             AS_PURPOSE_SET(AS_PURPOSE_CONFIRM_PHONE) |
	             AS_PURPOSE_SET(AS_PURPOSE_EMAIL_CHANGE) |
	             AS_PURPOSE_SET(AS_PURPOSE_PHONE_CHANGE) |
	             AS_PURPOSE_SET(AS_PURPOSE_INVITATION))) == AS_OK)
		outcome = as_confirm_is_change(proof)
		              ? as_confirm_change(attempt, proof, &confirm->accounts[0])
		          : is_invited(proof) ? accept_invitation(confirm)
		                              : confirm_sign_up(confirm);
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
 * Whether it is a sign-up that a code confirms. One without a password has had
 * such a code; an account that only an invitation opens has not.
 */
static bool
takes_code(const AsAccount *account, const AsUuid *id,
           const AsIdentifier *identifier)
{
	AsCode code;
	bool has_code = as_code_find_for(id, purpose_of(identifier),
	                                 identifier->canonical, &code);

	return has_code || account->hash.phc[0] != '\0';
}

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
	AsUuid nobody = as_nobody_at(identifier->canonical);
	bool is_owned = as_identifier_owner(identifier->canonical, &owner);
	bool is_pending;
	int next = 0;

	memset(account, 0, sizeof(*account));
	as_identifier_claims(identifier->canonical, AS_CLAIMS_KEPT, &claims);
	do
	{
		const AsUuid *id =
		    next < claims.count ? &claims.user_ids[next] : &nobody;
		bool exists = as_account_find_in_force(id, account);
		bool takes = takes_code(account, id, identifier);

		is_pending = exists && takes &&
		             !as_account_is_banned(account, GetCurrentTimestamp());
	} while (!is_pending && ++next < claims.count);
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

	is_pending = newest_pending(&identifier, &account);
	as_message_look_up_until(event->at);
	as_message_send_code(is_pending ? &account : NULL, purpose_of(&identifier),
	                     &identifier);
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
