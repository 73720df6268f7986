/*
 * user_import.c: auth_admin.import_user, an account of another system.
 *
 * It keeps what others know it by: its id, its age, its addresses, and its
 * password as a hash that the old system made. Nobody can read that one back;
 * the first sign-in puts one of ours in its place (grant.c). So its cost is
 * looked at here: what this server would not pay for at a sign-in, isn't taken.
 *
 * The operator's word confirms the addresses, and then they belong to the
 * account at once. Without it the account is a sign-up like any other.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_import_user);

typedef struct Import
{
	AsOperation operation; /* its account is the one that comes */
	AsIdentifier email;
	AsIdentifier phone;
	bool is_confirmed;
} Import;

static AsFailure
refuse(Import *import, const char *hint)
{
	return as_attempt_tell(&import->operation.attempt, AS_INVALID_REQUEST,
	                       hint);
}

static AsFailure
read_addresses(Import *import)
{
	FunctionCallInfo fcinfo = import->operation.fcinfo;

	if (!as_call_email(fcinfo, 0, &import->email))
		return refuse(import, "The email is not valid.");
	if (!as_call_phone(fcinfo, 1, &import->phone))
		return refuse(import, "The phone is not an E.164 number.");
	if (import->email.canonical == NULL && import->phone.canonical == NULL)
		return refuse(import, "Give an email or a phone.");
	if (PG_ARGISNULL(6))
		return refuse(import, "Say whether the addresses are confirmed.");
	import->is_confirmed = PG_GETARG_BOOL(6);
	return AS_OK;
}

static AsFailure
read_hash(Import *import)
{
	FunctionCallInfo fcinfo = import->operation.fcinfo;
	AsText text;

	/* Who confirms shows the password, so there must be one. */
	if (PG_ARGISNULL(2))
		return import->is_confirmed
		           ? AS_OK
		           : refuse(import, "An account that is not confirmed needs a "
		                            "password_hash.");
	if (!as_call_secret(fcinfo, 2, AS_PASSWORD_HASH_CHARS - 1, &text) ||
	    !as_password_hash_import(text.bytes, text.length,
	                             &import->operation.account.hash))
		return refuse(import, "The password_hash is of no scheme that is "
		                      "known, malformed, or costs too much.");
	return AS_OK;
}

static AsFailure
read_id(Import *import)
{
	AsUuid *id = &import->operation.account.id;

	if (!as_call_uuid(import->operation.fcinfo, 3, id))
		*id = as_uuid_random();
	else if (!as_uuid_is_known(id))
		return refuse(import, "The id is all zeros, which stands for nobody.");
	import->operation.attempt.event.user_id = *id;
	return AS_OK;
}

static AsFailure
read_rest(Import *import)
{
	FunctionCallInfo fcinfo = import->operation.fcinfo;
	AsAccount *account = &import->operation.account;
	TimestampTz now = GetCurrentTimestamp();

	if (!as_call_info(fcinfo, 4, &account->info))
		return refuse(import, AS_INFO_HINT);
	if (!as_call_app(fcinfo, 5, &account->app))
		return refuse(import, AS_APP_HINT);
	account->created_at = PG_ARGISNULL(7) ? now : PG_GETARG_TIMESTAMPTZ(7);
	if (TIMESTAMP_NOT_FINITE(account->created_at) || account->created_at > now)
		return refuse(import, "The created_at is no time in the past.");
	return AS_OK;
}

/* With its addresses as the settings and the operator would have them. */
static void
set_status(Import *import)
{
	AsAccount *account = &import->operation.account;
	bool is_active = import->is_confirmed ||
	                 auth_session_require_confirmation == AS_CONFIRM_NONE;
	TimestampTz now = GetCurrentTimestamp();

	account->status = is_active ? AS_ACCOUNT_ACTIVE : AS_ACCOUNT_PENDING;
	account->email = import->email.typed;
	account->phone = import->phone.typed;
	account->email_confirmed_at = account->phone_confirmed_at = AS_NO_TIME;
	account->banned_at = account->banned_until = AS_NO_TIME;
	if (import->is_confirmed && account->email != NULL)
		account->email_confirmed_at = now;
	if (import->is_confirmed && account->phone != NULL)
		account->phone_confirmed_at = now;
}

/*
 * An id that was deleted may come back; not while something of who had it is
 * still to be worked in.
 */
static AsFailure
create_account(Import *import)
{
	AsOperation *operation = &import->operation;
	const AsUuid *id = &operation->account.id;
	AsRevocation *rows;
	AsAccount other;

	if (!as_account_create(&operation->account))
		return as_account_find_in_force(id, &other)
		           ? as_attempt_tell(&operation->attempt, AS_ALREADY_EXISTS,
		                             "A user has this id.")
		           : AS_BUSY;
	/* Everybody's says nothing of an id, but ends sign-ups by their age. */
	if (as_revocation_is_pending(id) && (as_revocation_list(id, &rows) > 0 ||
	                                     !as_account_find_in_force(id, &other)))
		return AS_BUSY;
	as_deleted_user_forget(id);
	return AS_OK;
}

/* A pending one makes its claim as a sign-up does, and is sent its code. */
static AsFailure
claim(Import *import, const AsIdentifier *identifier, AsPurpose purpose)
{
	const AsAccount *account = &import->operation.account;
	AsFailure outcome;

	if (identifier->canonical == NULL)
		return AS_OK;
	if (account->status == AS_ACCOUNT_ACTIVE)
	{
		outcome = as_claim_own(identifier->canonical, &account->id);
		if (outcome == AS_OK)
			as_claim_drop_others(identifier->canonical, &account->id);
		return outcome;
	}
	outcome = as_claim_look(identifier->canonical, NULL);
	if (outcome != AS_OK)
		return outcome;
	as_identifier_claim(identifier->canonical, &account->id);
	as_message_send_first_code(account, purpose, identifier, NULL);
	return AS_OK;
}

static AsFailure
import_user(void *flow)
{
	Import *import = flow;
	AsAccount *account = &import->operation.account;
	AsFailure outcome;

	if ((outcome = read_addresses(import)) != AS_OK ||
	    (outcome = read_hash(import)) != AS_OK ||
	    (outcome = read_id(import)) != AS_OK ||
	    (outcome = read_rest(import)) != AS_OK)
		return outcome;
	set_status(import);
	if ((outcome = create_account(import)) != AS_OK ||
	    (outcome = claim(import, &import->email, AS_PURPOSE_CONFIRM_EMAIL)) !=
	        AS_OK ||
	    (outcome = claim(import, &import->phone, AS_PURPOSE_CONFIRM_PHONE)) !=
	        AS_OK)
		return outcome;
	if (account->status == AS_ACCOUNT_ACTIVE)
		as_announce("user_created", &account->id, NULL);
	return AS_OK;
}

Datum
auth_admin_import_user(PG_FUNCTION_ARGS)
{
	Import import = {0};

	as_operation_run(&import.operation, fcinfo, "import_user", import_user);
	as_wipe(&import.operation.account.hash,
	        sizeof(import.operation.account.hash));
	PG_RETURN_DATUM(as_answer_account(fcinfo, &import.operation.account));
}
