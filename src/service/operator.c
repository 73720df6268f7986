/*
 * operator.c: what the functions of operators have in common.
 *
 * EXECUTE is all the authorisation there is. Whoever calls is the actor in the
 * audit log, by the role that the call was made as, and the user whom it is
 * about is named by an argument.
 */
#include "service/service.h"

#include "utils/builtins.h"

/* The longest reason that an operator gives, in bytes. */
#define REASON_MAX_BYTES 1024

void
as_operation_run(AsOperation *operation, FunctionCallInfo fcinfo,
                 const char *action, AsSteps steps)
{
	operation->fcinfo = fcinfo;
	operation->attempt.by_operator = true;
	as_attempt_run(&operation->attempt, action, steps, operation);
}

AsFailure
as_operation_find(AsOperation *operation)
{
	AsUuid *user_id = &operation->attempt.event.user_id;

	if (!as_call_uuid(operation->fcinfo, 0, user_id))
		return as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST,
		                       "Give the user_id.");
	return as_account_find_in_force(user_id, &operation->account)
	           ? AS_OK
	           : AS_USER_NOT_FOUND;
}

AsFailure
as_operation_lock(AsOperation *operation)
{
	AsUuid id = operation->account.id;

	return as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, &operation->account)
	           ? AS_OK
	           : AS_USER_NOT_FOUND;
}

AsFailure
as_operation_read_reason(AsOperation *operation, int argument)
{
	AsText text;
	char *shown;

	if (!as_call_text(operation->fcinfo, argument, REASON_MAX_BYTES, &text))
		return as_attempt_tell(&operation->attempt, AS_INVALID_REQUEST,
		                       "The reason is longer than 1024 bytes.");
	if (text.bytes == NULL)
		return AS_OK;
	shown = as_display_text(text.bytes, text.length, REASON_MAX_BYTES);
	if (shown[0] != '\0')
		operation->attempt.remark = as_text_from_utf8(shown, strlen(shown));
	return AS_OK;
}

AsFailure
as_operation_forgive(const AsAccount *account)
{
	char *identifiers[2] = {NULL, NULL};

	if (account->email != NULL)
		identifiers[0] = as_identifier_canonical(account->email, false);
	if (account->phone != NULL)
		identifiers[1] = as_identifier_canonical(account->phone, true);
	as_factor_forgive(&account->id);
	for (int i = 0; i < (int) lengthof(identifiers); i++)
		if (identifiers[i] != NULL)
			as_proof_forgive_all(identifiers[i]);
	return as_epoch_forgive(&account->id);
}
