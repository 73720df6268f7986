/*
 * signup.c: auth.signup, a new and pending account.
 *
 * Every sign-up makes an account, also at an address that is taken: the
 * answer, the work and the writes are the same, and only the message that
 * goes out differs. A free address gets its code, the owner of a taken one
 * hears that somebody tried. What was typed belongs to nobody until the
 * address is confirmed.
 */
#include "entry/entry.h"

AS_ENTRY(auth_signup);

typedef struct SignUp
{
	AsIdentifier email;
	AsIdentifier phone;
	AsPassword password;
	size_t password_characters;
	AsAccount account;
	AsEvent event;
	const char *hint;
	int retry_after_s;
} SignUp;

static AsFailure
read_arguments(FunctionCallInfo fcinfo, SignUp *signup)
{
	if (!as_door_email(fcinfo, 0, &signup->email))
		signup->hint = "The email is not valid.";
	else if (!as_door_phone(fcinfo, 2, &signup->phone))
		signup->hint = "The phone is not an E.164 number.";
	else if (signup->email.canonical == NULL && signup->phone.canonical == NULL)
		signup->hint = "Give an email or a phone.";
	else if (!as_door_password(fcinfo, 1, &signup->password,
	                           &signup->password_characters))
		signup->hint = "The password is missing, too long or not Unicode.";
	else if (!as_door_info(fcinfo, 3, &signup->account.info))
		signup->hint = "The info is not an object of at most 16 KiB.";
	return signup->hint == NULL ? AS_OK : AS_INVALID_REQUEST;
}

static AsFailure
check_enabled(SignUp *signup)
{
	return auth_session_signup_enabled ? AS_OK : AS_SIGNUP_DISABLED;
}

static AsFailure
count_sign_up(SignUp *signup)
{
	const AsRequest *request = as_request();
	AsFailure outcome = AS_OK;

	if (request->has_client_address &&
	    !as_throttle_take(
	        AS_LIMIT_SIGNUP_ADDRESS, request->address_key,
	        sizeof(request->address_key), auth_session_signup_rate_per_address,
	        auth_session_rate_window, NULL, &signup->retry_after_s))
		return AS_THROTTLED;
	if (signup->email.canonical != NULL)
		outcome = as_message_allowed(AS_MESSAGE_CONFIRMATION, &signup->email,
		                             false, &signup->retry_after_s);
	if (outcome == AS_OK && signup->phone.canonical != NULL)
		outcome = as_message_allowed(AS_MESSAGE_CONFIRMATION, &signup->phone,
		                             false, &signup->retry_after_s);
	return outcome;
}

static AsFailure
check_password(SignUp *signup)
{
	signup->hint =
	    as_password_weakness(&signup->password, signup->password_characters,
	                         signup->email.canonical, signup->phone.canonical);
	return signup->hint == NULL ? AS_OK : AS_WEAK_PASSWORD;
}

static AsFailure
hash_password(SignUp *signup)
{
	return as_password_make_hash(&signup->password, &signup->account.hash);
}

/* In one order, whichever of the two a caller typed where. */
static void
lock_identifiers(const SignUp *signup)
{
	if (signup->email.canonical != NULL)
		as_identifier_lock(signup->email.canonical);
	if (signup->phone.canonical != NULL)
		as_identifier_lock(signup->phone.canonical);
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
	account->banned_until = AS_NO_TIME;
	account->created_at = GetCurrentTimestamp();
	as_account_create(account);
	signup->event.user_id = account->id;
}

/* Makes room for one more claim: the oldest pending accounts go. */
static void
trim_claims(const char *identifier)
{
	AsClaimList claims;

	as_identifier_claims(identifier, &claims);
	for (int i = AS_CLAIMS_KEPT - 1; i < claims.count; i++)
		as_account_give_up_claim(&claims.user_ids[i], identifier);
}

/*
 * Claims an address and sends the message that it is due: a code to a free
 * one, a word to the owner of a taken one.
 */
static void
claim(SignUp *signup, const AsIdentifier *identifier, AsPurpose purpose)
{
	AsAccount owner;
	AsUuid owner_id;
	AsCode code;
	bool is_taken;
	AsNotification notification = {.by_sms = identifier->is_phone,
	                               .payload = "{}"};

	trim_claims(identifier->canonical);
	as_identifier_add(identifier->canonical, &signup->account.id, false);
	as_code_issue(&signup->account.id, purpose, identifier->canonical, &code);

	is_taken = as_identifier_owner(identifier->canonical, &owner_id);
	if (!as_account_find(is_taken ? &owner_id : &signup->account.id, &owner))
		is_taken = false;
	notification.kind = is_taken ? "account_exists" : as_purpose_name(purpose);
	notification.user_id = is_taken ? &owner.id : &signup->account.id;
	notification.code_id = is_taken ? NULL : &code.id;
	if (is_taken)
		notification.recipient =
		    identifier->is_phone ? owner.phone : owner.email;
	if (notification.recipient == NULL)
		notification.recipient = identifier->typed;
	as_outbox_add(&notification);
}

static AsFailure
sign_up_pending(SignUp *signup)
{
	lock_identifiers(signup);
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
	as_identifier_add(identifier->canonical, &signup->account.id, true);
	return true;
}

/* Without confirmation an address belongs to who comes first. */
static AsFailure
sign_up_at_once(SignUp *signup)
{
	lock_identifiers(signup);
	create_account(signup, AS_ACCOUNT_ACTIVE);
	if (!own(signup, &signup->email) || !own(signup, &signup->phone))
		return AS_ALREADY_EXISTS;
	return AS_OK;
}

static AsFailure
sign_up(SignUp *signup)
{
	if (auth_session_require_confirmation == AS_CONFIRM_NONE)
		return sign_up_at_once(signup);
	return sign_up_pending(signup);
}

Datum
auth_signup(PG_FUNCTION_ARGS)
{
	SignUp signup = {0};
	AsFailure outcome;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&signup.event, AS_ACTION_SIGNUP);

	if ((outcome = read_arguments(fcinfo, &signup)) == AS_OK &&
	    (outcome = check_enabled(&signup)) == AS_OK &&
	    (outcome = count_sign_up(&signup)) == AS_OK &&
	    (outcome = check_password(&signup)) == AS_OK &&
	    (outcome = hash_password(&signup)) == AS_OK)
		outcome = sign_up(&signup);
	as_password_wipe(&signup.password);

	if (outcome == AS_THROTTLED)
		as_fail_throttled(signup.retry_after_s);
	if (outcome == AS_ALREADY_EXISTS)
		as_door_refuse(&signup.event, outcome, NULL);
	if (outcome != AS_OK)
		as_fail(outcome, signup.hint);
	as_door_succeed(&signup.event);
	PG_RETURN_DATUM(as_door_account(fcinfo, &signup.account));
}
