/*
 * refusal_log.c: a line of the server log for each refusal, where
 * auth_session.log_refusals is on.
 *
 * For fail2ban and its like, which ban what a line names. So it names a client
 * only where a proxy is trusted to tell it, and could: in the place of one that
 * can't be read is "unknown", never the proxy's own address, and without a
 * proxy it is no client but the connection, which may well be a back end's.
 * There is nothing else in it that anybody chose. At most AS_REFUSAL_LINES a
 * second, and then how many were left out.
 */
#include "service/service.h"

static void
print_origin(char *out, size_t room)
{
	const AsRequest *request = as_request();
	bool is_readable = request->address_key[8] != AS_ADDRESS_UNREADABLE;

	if (request->has_client_address)
		snprintf(out, room, "client %s",
		         is_readable ? request->address : "unknown");
	else
		snprintf(out, room, "connection %s",
		         request->address[0] != '\0' ? request->address : "local");
}

static void
log_refusal(AsFailure failure)
{
	char origin[AS_ADDRESS_CHARS + 16];
	int left_out;
	bool may_log = as_counters_may_log(&left_out);

	if (left_out > 0)
		ereport(LOG_SERVER_ONLY,
		        (errmsg("auth_session refused %d more in one second", left_out),
		         errhidestmt(true), errhidecontext(true)));
	if (!may_log)
		return;
	print_origin(origin, sizeof(origin));
	ereport(LOG_SERVER_ONLY, (errmsg("auth_session refused %s: %s", origin,
	                                 as_failure_code(failure)),
	                          errhidestmt(true), errhidecontext(true)));
}

void
as_refusal_log_init(void)
{
	as_failure_log = log_refusal;
}
