/*
 * announce.c: events for applications.
 *
 * A row of the outbox like any notification, in the transaction of the change
 * that it tells of, for channel event and to nobody in particular: the bridge
 * hands it to a broker, at least once, with the id by which a second copy is
 * known. It has no secret and no address. Only the events that
 * auth_session.events names are written, and only of accounts that have
 * become active.
 */
#include "service/service.h"

void
as_announce(const char *event, const AsUuid *user_id, const AsUuid *session_id)
{
	AsNotification notification = {
	    .kind = event,
	    .channel = "event",
	    .recipient = "",
	    .user_id = user_id,
	};
	StringInfoData payload;
	char id[AS_UUID_CHARS + 1];

	if (!as_word_is_in(auth_session_events, event))
		return;
	as_json_begin(&payload);
	if (session_id != NULL)
	{
		as_uuid_print(session_id, id);
		as_json_text(&payload, "session_id", id);
	}
	as_json_end(&payload);
	notification.payload = payload.data;
	as_outbox_add(&notification);
}
