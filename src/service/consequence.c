/*
 * consequence.c: what follows from a refusal, in the recorder's transaction:
 * the caller's is lost.
 *
 *     AS_RECORD_EVENT         the audit log has it
 *     AS_RECORD_CODE_ATTEMPT  the try counts at its address, as often as it
 *                             was made
 *     AS_RECORD_REUSE         a refresh token was used before: the session
 *                             ends and its user is told, once, however often
 *                             the old token is presented
 */
#include "service/service.h"

static void
count_code_failures(const AsRecord *record)
{
	for (int i = 0; i < Min(record->times, AS_CODE_FAILURES_MOST); i++)
		as_code_failure_add(record->identifier, record->purpose,
		                    record->event.at);
}

/* Where there are too many of them in this second, there is none of this. */
static void
log_refusal(const AsRecord *record)
{
	if (!record->is_unlogged)
		as_audit_log_write(&record->event, NULL);
}

static void
tell_reuse(const AsEvent *event)
{
	AsAccount account;
	StringInfoData payload;

	if (!as_account_find(&event->user_id, &account))
		return;
	as_json_begin(&payload);
	as_json_text(&payload, "reason", "refresh_token_reused");
	as_json_text(&payload, "ip",
	             event->address[0] != '\0' ? event->address : NULL);
	as_json_time(&payload, "at", event->at);
	as_json_end(&payload);
	as_message_tell(&account, "session_revoked", payload.data);
}

void
as_consequence_apply(const AsRecord *record)
{
	const AsEvent *event = &record->event;

	switch (record->kind)
	{
		case AS_RECORD_NONE:
			break;
		case AS_RECORD_EVENT:
			log_refusal(record);
			break;
		case AS_RECORD_CODE_ATTEMPT:
			count_code_failures(record);
			log_refusal(record);
			break;
		case AS_RECORD_REUSE:
			if (!as_session_end(&event->user_id, &event->session_id))
				break;
			as_audit_log_write(event, NULL);
			tell_reuse(event);
			break;
	}
}
