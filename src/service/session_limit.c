/*
 * session_limit.c: how many sessions a user has at once.
 *
 * With auth_session.max_sessions_per_user sign-ins of one user count one after
 * the other, holding the account's row, and the oldest beyond that end. One that
 * goes on without the row, which somebody keeps, leaves a row of revocations,
 * and the fold counts again (epoch.c).
 */
#include "service/service.h"

#include "miscadmin.h"

static void
tell_limit(const AsAccount *account)
{
	StringInfoData payload;

	as_json_begin(&payload);
	as_json_text(&payload, "reason", "session_limit");
	as_json_number(&payload, "session_limit",
	               auth_session_max_sessions_per_user);
	as_json_time(&payload, "at", GetCurrentTimestamp());
	as_json_end(&payload);
	as_message_tell(account, "session_revoked", payload.data);
}

void
as_session_keep_newest(const AsAccount *account)
{
	const AsUuid *user_id = &account->id;
	bool any = false;
	AsUuid *ids;
	int count;

	if (auth_session_max_sessions_per_user == 0)
		return;
	count = as_session_list_oldest(user_id, auth_session_max_sessions_per_user,
	                               as_revocation_may_decide(user_id), &ids);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		any = as_session_end(user_id, &ids[i]) || any;
	}
	if (any)
		tell_limit(account);
}
