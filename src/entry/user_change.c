/*
 * user_change.c: what operators change of an account: password, app data and
 * addresses; and the reset that they have sent.
 *
 * An operator sets a password and never reads one. The user is told of a new
 * password and of a new address, the latter at the address that was; a new
 * password ends all that the old one had opened. An operator's word confirms an
 * address.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_set_password);
AS_ENTRY(auth_admin_set_app);
AS_ENTRY(auth_admin_set_email);
AS_ENTRY(auth_admin_set_phone);
AS_ENTRY(auth_admin_send_password_reset);

/* Nothing of where the operator is goes to the user. */
#define NO_ORIGIN "{}"

static void
announce_change(const AsAccount *account)
{
	if (account->status == AS_ACCOUNT_ACTIVE)
		as_announce("user_changed", &account->id, NULL);
}

/* ---- set_password ---- */

typedef struct SetPassword
{
	AsOperation operation;
	AsNewPassword new;
} SetPassword;

static AsFailure
save_password(SetPassword *set)
{
	const AsAccount *account = &set->operation.account;
	int ended;
	AsFailure outcome = as_epoch_begin(&account->id, AS_ENDS_SESSIONS_AND_KEYS,
	                                   NULL, NULL, &set->new.hash, &ended);

	if (outcome != AS_OK)
		return outcome == AS_SESSION_REVOKED ? AS_USER_NOT_FOUND : outcome;
	as_owner_code_end(account);
	as_message_tell(account, "password_changed", NO_ORIGIN);
	return as_operation_forgive(account);
}

static AsFailure
set_password(void *flow)
{
	SetPassword *set = flow;
	AsOperation *operation = &set->operation;
	AsAttempt *attempt = &operation->attempt;
	AsFailure outcome = as_operation_find(operation);

	if (outcome == AS_OK &&
	    !as_call_password(operation->fcinfo, 1, &set->new.password,
	                      &set->new.characters))
		outcome = as_attempt_tell(
		    attempt, AS_INVALID_REQUEST,
		    "The password is missing, too long or not Unicode.");
	if (outcome == AS_OK &&
	    (outcome = as_password_take(attempt, &set->new, &operation->account)) ==
	        AS_OK)
		outcome = save_password(set);
	return outcome;
}

Datum
auth_admin_set_password(PG_FUNCTION_ARGS)
{
	SetPassword set = {0};

	as_operation_run(&set.operation, fcinfo, "set_password", set_password);
	PG_RETURN_VOID();
}

/* ---- set_app ---- */

static AsFailure
set_app(void *flow)
{
	AsOperation *operation = flow;
	FunctionCallInfo fcinfo = operation->fcinfo;
	AsFailure outcome = as_operation_find(operation);
	Jsonb *app;

	if (outcome == AS_OK && (PG_ARGISNULL(1) || !as_call_app(fcinfo, 1, &app)))
		outcome = as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST,
		                          AS_APP_HINT);
	if (outcome == AS_OK && (outcome = as_operation_lock(operation)) == AS_OK)
	{
		as_account_set_app(&operation->account.id, app);
		announce_change(&operation->account);
	}
	return outcome;
}

Datum
auth_admin_set_app(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "set_app", set_app);
	PG_RETURN_VOID();
}

/* ---- set_email and set_phone ---- */

typedef struct SetAddress
{
	AsOperation operation;
	AsIdentifier identifier;
} SetAddress;

static AsFailure
save_address(SetAddress *set)
{
	AsAccount *account = &set->operation.account;
	AsUuid id = account->id;
	bool was_active = account->status == AS_ACCOUNT_ACTIVE;
	AsFailure outcome = as_address_take(account, &set->identifier, NO_ORIGIN);

	/* A sign-up that is pending lives as long as its codes. */
	if (outcome == AS_OK && was_active)
		as_code_drop_all(&id);
	return outcome;
}

static AsFailure
set_address(SetAddress *set, bool is_read, const char *hint)
{
	AsOperation *operation = &set->operation;
	AsFailure outcome = as_operation_find(operation);

	if (outcome == AS_OK && (!is_read || set->identifier.canonical == NULL))
		outcome =
		    as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST, hint);
	if (outcome == AS_OK && (outcome = as_operation_lock(operation)) == AS_OK)
		outcome = save_address(set);
	return outcome;
}

static AsFailure
set_email(void *flow)
{
	SetAddress *set = flow;

	return set_address(
	    set, as_call_email(set->operation.fcinfo, 1, &set->identifier),
	    "The email is missing or not valid.");
}

static AsFailure
set_phone(void *flow)
{
	SetAddress *set = flow;

	return set_address(
	    set, as_call_phone(set->operation.fcinfo, 1, &set->identifier),
	    "The phone is missing or no E.164 number.");
}

Datum
auth_admin_set_email(PG_FUNCTION_ARGS)
{
	SetAddress set = {0};

	as_operation_run(&set.operation, fcinfo, "set_email", set_email);
	PG_RETURN_VOID();
}

Datum
auth_admin_set_phone(PG_FUNCTION_ARGS)
{
	SetAddress set = {0};

	as_operation_run(&set.operation, fcinfo, "set_phone", set_phone);
	PG_RETURN_VOID();
}

/* ---- send_password_reset ---- */

static AsFailure
send_reset(void *flow)
{
	AsOperation *operation = flow;
	const AsAccount *account = &operation->account;
	AsFailure outcome = as_operation_find(operation);
	AsIdentifier identifier = {0};
	const char *address;

	if (outcome != AS_OK)
		return outcome;
	address = as_account_counts(account->email, account->email_confirmed_at);
	if (address == NULL)
	{
		identifier.is_phone = true;
		address =
		    as_account_counts(account->phone, account->phone_confirmed_at);
	}
	if (address != NULL)
		identifier.canonical =
		    as_identifier_canonical(address, identifier.is_phone);
	if (identifier.canonical == NULL ||
	    as_account_is_banned(account, GetCurrentTimestamp()))
		return as_attempt_tell(
		    &operation->attempt, AS_INVALID_REQUEST,
		    "The account has no confirmed address, or is banned.");
	as_message_send_code(account, AS_PURPOSE_PASSWORD_RESET, &identifier);
	return AS_OK;
}

Datum
auth_admin_send_password_reset(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "send_password_reset", send_reset);
	PG_RETURN_VOID();
}
