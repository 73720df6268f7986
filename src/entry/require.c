/*
 * require.c: auth.require_aal and auth.require_recent: how surely, and how
 * lately, the caller has shown who it is.
 *
 * For functions of an application that ask for more than a live session. They
 * look at the verified context only, so they work in a read-only transaction
 * and on a standby.
 */
#include "entry/entry.h"

AS_ENTRY(auth_require_aal);
AS_ENTRY(auth_require_recent);

/* "aal1" is 1; 0 for what is no level. */
static int
level_of(const char *name)
{
	return strcmp(name, "aal1") == 0 ? 1 : strcmp(name, "aal2") == 0 ? 2 : 0;
}

Datum
auth_require_aal(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	AsText text;
	int wanted;

	as_call_enter(AS_CALL_READS);
	if (!as_call_text(fcinfo, 0, AS_AAL_MAX, &text) || text.bytes == NULL ||
	    (wanted = level_of(text.bytes)) == 0)
		as_fail(AS_INVALID_REQUEST, "The level is aal1 or aal2.");
	context = as_context_require();
	if (level_of(context->token->claims.aal) < wanted)
		as_fail(AS_REAUTHENTICATION_REQUIRED,
		        "Call reauthenticate with a code of the second factor.");
	PG_RETURN_VOID();
}

Datum
auth_require_recent(PG_FUNCTION_ARGS)
{
	const AsContext *context;
	int64 max_age;

	as_call_enter(AS_CALL_READS);
	if (PG_ARGISNULL(0) ||
	    (max_age = as_interval_seconds(PG_GETARG_INTERVAL_P(0))) < 0)
		as_fail(AS_INVALID_REQUEST, "The max_age is missing or negative.");
	context = as_context_require();
	if (!as_context_is_recent(context, max_age))
		as_fail(AS_REAUTHENTICATION_REQUIRED, NULL);
	PG_RETURN_VOID();
}
