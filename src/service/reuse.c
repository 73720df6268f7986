/*
 * reuse.c: a refresh token that was used before.
 *
 * Runs in the recorder's transaction: the caller's is lost. The session
 * ends, its user is told and the audit log has it, once, however often the
 * old token is presented.
 */
#include "service/service.h"

bool
as_reuse_punish(const AsEvent *event)
{
	AsAccount account;
	StringInfoData payload;

	if (!as_session_end(&event->user_id, &event->session_id))
		return false;
	as_audit_write(event);
	if (!as_account_find(&event->user_id, &account))
		return true;

	as_json_begin(&payload);
	as_json_text(&payload, "reason", "refresh_token_reused");
	as_json_text(&payload, "ip",
	             event->address[0] != '\0' ? event->address : NULL);
	as_json_time(&payload, "at", event->at);
	as_json_end(&payload);
	as_outbox_tell(&account, "session_revoked", payload.data);
	return true;
}
