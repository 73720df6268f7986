/*
 * user_create.c: auth_admin.create_user, an account that an operator makes.
 *
 * With a password it is what a sign-up makes; confirmed, it is active at once,
 * by the operator's word. Without one its user is invited to choose one: an
 * operator never has to know a password. Nothing is kept from an operator, so
 * an address that is taken says so.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_create_user);

typedef struct Create
{
	AsOperation operation;
	AsIdentifier email;
	AsIdentifier phone;
	bool has_password;
	AsNewPassword password;
	bool is_confirmed;
} Create;

static AsFailure
read_arguments(Create *create)
{
	FunctionCallInfo fcinfo = create->operation.fcinfo;
	AsAccount *account = &create->operation.account;
	const char *hint = NULL;

	create->has_password = !PG_ARGISNULL(2);
	create->is_confirmed = !PG_ARGISNULL(5) && PG_GETARG_BOOL(5);
	if (!as_call_email(fcinfo, 0, &create->email))
		hint = "The email is not valid.";
	else if (!as_call_phone(fcinfo, 1, &create->phone))
		hint = "The phone is not an E.164 number.";
	else if (create->email.canonical == NULL && create->phone.canonical == NULL)
		hint = "Give an email or a phone.";
	else if (create->has_password &&
	         !as_call_password(fcinfo, 2, &create->password.password,
	                           &create->password.characters))
		hint = "The password is too long or not Unicode.";
	else if (!as_call_info(fcinfo, 3, &account->info))
		hint = AS_INFO_HINT;
	else if (!as_call_app(fcinfo, 4, &account->app))
		hint = AS_APP_HINT;
	return hint == NULL ? AS_OK
	                    : as_attempt_tell(&create->operation.attempt,
	                                      AS_INVALID_REQUEST, hint);
}

/* Before any hash; whose it is by then is looked at again. */
static AsFailure
look_at_addresses(const Create *create)
{
	const AsIdentifier *addresses[] = {&create->email, &create->phone};
	AsFailure outcome = AS_OK;

	for (int i = 0; i < (int) lengthof(addresses) && outcome == AS_OK; i++)
		if (addresses[i]->canonical != NULL)
			outcome = as_claim_look(addresses[i]->canonical, NULL);
	return outcome;
}

static void
fill_account(Create *create)
{
	AsAccount *account = &create->operation.account;
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz confirmed_at = create->is_confirmed ? now : AS_NO_TIME;
	bool is_active = create->is_confirmed ||
	                 auth_session_require_confirmation == AS_CONFIRM_NONE;

	account->id = as_uuid_random();
	account->status = is_active ? AS_ACCOUNT_ACTIVE : AS_ACCOUNT_PENDING;
	account->email = create->email.typed;
	account->phone = create->phone.typed;
	account->email_confirmed_at =
	    account->email == NULL ? AS_NO_TIME : confirmed_at;
	account->phone_confirmed_at =
	    account->phone == NULL ? AS_NO_TIME : confirmed_at;
	account->banned_at = account->banned_until = AS_NO_TIME;
	account->created_at = now;
}

static AsFailure
take_password(Create *create)
{
	AsOperation *operation = &create->operation;
	AsFailure outcome;

	if (!create->has_password)
		return AS_OK;
	outcome = as_password_take(&operation->attempt, &create->password,
	                           &operation->account);
	if (outcome == AS_OK)
		operation->account.hash = create->password.hash;
	return outcome;
}

static AsFailure
own(const AsAccount *account, const AsIdentifier *identifier)
{
	AsFailure outcome;

	if (identifier->canonical == NULL)
		return AS_OK;
	outcome = as_claim_own(identifier->canonical, &account->id);
	if (outcome == AS_OK)
		as_claim_drop_others(identifier->canonical, &account->id);
	return outcome;
}

static void
claim(const AsAccount *account, const AsIdentifier *identifier)
{
	if (identifier->canonical != NULL)
		as_identifier_claim(identifier->canonical, &account->id);
}

static AsFailure
save(Create *create)
{
	const AsAccount *account = &create->operation.account;
	AsFailure outcome = AS_OK;

	as_account_create(account);
	create->operation.attempt.event.user_id = account->id;
	if (account->status == AS_ACCOUNT_ACTIVE)
	{
		if ((outcome = own(account, &create->email)) != AS_OK ||
		    (outcome = own(account, &create->phone)) != AS_OK)
			return outcome;
		as_announce("user_created", &account->id, NULL);
	}
	else
	{
		claim(account, &create->email);
		claim(account, &create->phone);
	}
	if (!create->has_password)
		as_invitation_send(account);
	else if (account->status == AS_ACCOUNT_PENDING)
		as_claim_ask(account);
	return AS_OK;
}

static AsFailure
create_user(void *flow)
{
	Create *create = flow;
	AsFailure outcome;

	if ((outcome = read_arguments(create)) != AS_OK ||
	    (outcome = look_at_addresses(create)) != AS_OK)
		return outcome;
	fill_account(create);
	outcome = take_password(create);
	return outcome == AS_OK ? save(create) : outcome;
}

Datum
auth_admin_create_user(PG_FUNCTION_ARGS)
{
	Create create = {0};

	as_operation_run(&create.operation, fcinfo, "create_user", create_user);
	PG_RETURN_DATUM(as_answer_account(fcinfo, &create.operation.account));
}
