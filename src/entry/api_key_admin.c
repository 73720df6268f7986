/*
 * api_key_admin.c: auth_admin.delete_api_key, the end of a user's API key by
 * an operator. What keys there are is the view auth_admin.api_keys.
 */
#include "entry/entry.h"

AS_ENTRY(auth_admin_delete_api_key);

static AsFailure
delete_api_key(void *flow)
{
	AsOperation *operation = flow;
	AsAttempt *attempt = &operation->attempt;
	AsFailure outcome = as_operation_find(operation);
	StringInfoData remark;
	AsUuid id;

	if (outcome != AS_OK)
		return outcome;
	if (!as_call_uuid(operation->fcinfo, 1, &id))
		return as_attempt_tell(attempt, AS_INVALID_REQUEST, "Give the id.");
	if (!as_api_key_end(&attempt->event.user_id, &id))
		return AS_API_KEY_NOT_FOUND;
	as_json_begin(&remark);
	as_json_uuid(&remark, "api_key_id", &id);
	as_json_end(&remark);
	attempt->remark = remark.data;
	return AS_OK;
}

Datum
auth_admin_delete_api_key(PG_FUNCTION_ARGS)
{
	AsOperation operation = {0};

	as_operation_run(&operation, fcinfo, "delete_api_key", delete_api_key);
	PG_RETURN_VOID();
}
