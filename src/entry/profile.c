/*
 * profile.c: auth.account and auth.update_info, the caller's own account.
 */
#include "entry/entry.h"

AS_ENTRY(auth_account);
AS_ENTRY(auth_update_info);

Datum
auth_account(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	AsAccount account;

	as_door_enter(AS_DOOR_READS);
	context = as_context_require();
	if (!as_account_find(&context->user_id, &account))
		as_fail(AS_SESSION_REVOKED, NULL);
	PG_RETURN_DATUM(as_door_account(fcinfo, &account));
}

Datum
auth_update_info(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	AsAccount account;
	AsEvent event;
	Jsonb *info;

	as_door_enter(AS_DOOR_WRITES);
	as_event_begin(&event, AS_ACTION_UPDATE_INFO);
	context = as_context_require();
	if (PG_ARGISNULL(0) || !as_door_info(fcinfo, 0, &info))
		as_fail(AS_INVALID_REQUEST,
		        "The info is not an object of at most 16 KiB.");
	event.user_id = context->user_id;
	event.session_id = context->session_id;

	if (!as_account_lock(&event.user_id, AS_ACCOUNT_EXCLUSIVE, &account))
		as_fail(AS_SESSION_REVOKED, NULL);
	as_account_set_info(&event.user_id, info);
	account.info = info;
	as_door_succeed(&event);
	PG_RETURN_DATUM(as_door_account(fcinfo, &account));
}
