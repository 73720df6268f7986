/*
 * signup.c: auth.signup, a new and pending account.
 *
 * Every sign-up makes an account, also at an address that is taken: the
 * answer, the work and the writes are the same, and only the message that
 * goes out differs. A free address gets its code, the owner of a taken one
 * hears that somebody tried. What was typed belongs to nobody until the
 * address is confirmed.
 *
 * Where auth_session.passwordless is on, an account with one address needs no
 * password: whoever has the address has the account. With two, the code of one
 * would be all that stands between a stranger and the other.
 */
#include "entry/entry.h"

AS_ENTRY(auth_signup);

typedef struct SignUp
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsIdentifier email;
	AsIdentifier phone;
	bool has_password;
	AsPassword password;
	size_t password_characters;
	AsAccount account;
} SignUp;

/* Whether a sign-up without a password can be. */
static bool
is_passwordless(const SignUp *signup)
{
	bool has_one =
	    (signup->email.canonical == NULL) != (signup->phone.canonical == NULL);

	return auth_session_passwordless && has_one;
}

static AsFailure
read_arguments(SignUp *signup)
{
	FunctionCallInfo fcinfo = signup->fcinfo;
	const char *hint = NULL;

	signup->has_password = !PG_ARGISNULL(1);

	if (!as_call_email(fcinfo, 0, &signup->email))
		hint = "The email is not valid.";
	else if (!as_call_phone(fcinfo, 2, &signup->phone))
		hint = "The phone is not an E.164 number.";
	else if (signup->email.canonical == NULL && signup->phone.canonical == NULL)
		hint = "Give an email or a phone.";
	else if ((signup->has_password || !is_passwordless(signup)) &&
	         !as_call_password(fcinfo, 1, &signup->password,
	                           &signup->password_characters))
		hint = "The password is missing, too long or not Unicode.";
	else if (!as_call_info(fcinfo, 3, &signup->account.info))
		hint = AS_INFO_HINT;
	return hint == NULL
	           ? AS_OK
	           : as_attempt_tell(&signup->attempt, AS_INVALID_REQUEST, hint);
}

static AsFailure
check_enabled(void)
{
	return auth_session_signup_enabled ? AS_OK : AS_SIGNUP_DISABLED;
}

static AsFailure
count_message(SignUp *signup, const AsIdentifier *identifier)
{
	if (identifier->canonical == NULL)
		return AS_OK;
	return as_message_allow(&signup->attempt, AS_MESSAGE_CONFIRMATION,
	                        identifier, false);
}

static AsFailure
count_sign_up(SignUp *signup)
{
	const uint8 *client = as_attempt_client();
	AsFailure outcome = AS_OK;

	if (client != NULL)
		outcome = as_attempt_charge(&signup->attempt, AS_LIMIT_SIGNUP_ADDRESS,
		                            client, AS_ADDRESS_KEY_BYTES,
		                            auth_session_signup_rate_per_address,
		                            auth_session_rate_window);
	if (outcome == AS_OK)
		outcome = count_message(signup, &signup->email);
	if (outcome == AS_OK)
		outcome = count_message(signup, &signup->phone);
	return outcome;
}

static AsFailure
check_password(SignUp *signup)
{
	const char *weakness = NULL;

	if (signup->has_password)
		weakness = as_password_weakness(
		    &signup->password, signup->password_characters,
		    signup->email.canonical, signup->phone.canonical);
	return weakness == NULL
	           ? AS_OK
	           : as_attempt_tell(&signup->attempt, AS_WEAK_PASSWORD, weakness);
}

static AsFailure
ask_hook(SignUp *signup)
{
	return as_signup_hook_apply(&signup->email, &signup->phone,
	                            &signup->account.info);
}

static AsFailure
hash_password(SignUp *signup)
{
	return signup->has_password
	           ? as_password_make_hash(&signup->password, &signup->account.hash)
	           : AS_OK;
}

static void
create_account(SignUp *signup, AsAccountStatus status)
{
	AsAccount *account = &signup->account;

	account->id = as_uuid_random();
	account->status = status;
	account->email = signup->email.typed;
	account->phone = signup->phone.typed;
	account->email_confirmed_at = account->phone_confirmed_at = AS_NO_TIME;
	account->banned_at = account->banned_until = AS_NO_TIME;
	account->created_at = GetCurrentTimestamp();
	(void) as_account_create(account);
	signup->attempt.event.user_id = account->id;
}

/*
 * Claims an address and sends the message that it is due: a code to a free
 * one, a word to the owner of a taken one. Rows are only added: a sign-up waits
 * for nobody at the same address, nor makes anybody wait. Without a hash there is
 * nothing that hides how long the look-ups take.
 */
static void
claim(SignUp *signup, const AsIdentifier *identifier, AsPurpose purpose)
{
	AsAccount read;
	AsUuid owner_id;
	bool is_taken;
	TimestampTz began;

	as_identifier_claim(identifier->canonical, &signup->account.id);
	began = GetCurrentTimestamp();
	is_taken = as_identifier_owner(identifier->canonical, &owner_id);
	is_taken =
	    as_account_find(is_taken ? &owner_id : &signup->account.id, &read) &&
	    is_taken;
	if (!signup->has_password)
		as_message_look_up_until(began);
	as_message_send_first_code(&signup->account, purpose, identifier,
	                           is_taken ? &read : NULL);
}

static AsFailure
sign_up_pending(SignUp *signup)
{
	create_account(signup, AS_ACCOUNT_PENDING);
	if (signup->email.canonical != NULL)
		claim(signup, &signup->email, AS_PURPOSE_CONFIRM_EMAIL);
	if (signup->phone.canonical != NULL)
		claim(signup, &signup->phone, AS_PURPOSE_CONFIRM_PHONE);
	return AS_OK;
}

static bool
own(const SignUp *signup, const AsIdentifier *identifier)
{
	AsUuid owner;

	if (identifier->canonical == NULL)
		return true;
	if (as_identifier_owner(identifier->canonical, &owner))
		return false;
	return as_identifier_take(identifier->canonical, &signup->account.id);
}

/* Without confirmation an address belongs to who comes first. */
static AsFailure
sign_up_at_once(SignUp *signup)
{
	create_account(signup, AS_ACCOUNT_ACTIVE);
	if (!own(signup, &signup->email) || !own(signup, &signup->phone))
		return as_attempt_refuse(&signup->attempt, AS_ALREADY_EXISTS,
		                         "address is taken");
	as_announce("user_created", &signup->account.id, NULL);
	return AS_OK;
}

static AsFailure
create(SignUp *signup)
{
	return auth_session_require_confirmation == AS_CONFIRM_NONE
	           ? sign_up_at_once(signup)
	           : sign_up_pending(signup);
}

static AsFailure
sign_up(void *flow)
{
	SignUp *signup = flow;
	AsFailure outcome;

	if ((outcome = read_arguments(signup)) == AS_OK &&
	    (outcome = check_enabled()) == AS_OK &&
	    (outcome = check_password(signup)) == AS_OK &&
	    (outcome = count_sign_up(signup)) == AS_OK &&
	    (outcome = ask_hook(signup)) == AS_OK &&
	    (outcome = hash_password(signup)) == AS_OK)
		outcome = create(signup);
	return outcome;
}

Datum
auth_signup(PG_FUNCTION_ARGS)
{
	SignUp signup = {.fcinfo = fcinfo};

	as_attempt_run(&signup.attempt, "signup", sign_up, &signup);
	PG_RETURN_DATUM(as_answer_account(fcinfo, &signup.account));
}
