/*
 * signup_hook.c: what an application says of a sign-up.
 *
 * The hook is asked once the limits are taken and before a hash is computed,
 * for a free address and a taken one alike. It gets the addresses in the form
 * in which they are compared, so that a list of domains is one of domains, and
 * returns the info to keep. An error of its own refuses the sign-up; it runs in
 * a subtransaction, so that nothing of it is left then.
 */
#include "service/service.h"

#include "catalog/pg_collation_d.h"
#include "utils/builtins.h"

typedef struct Asked
{
	AsHookCall call;
	bool is_null;
	Datum result;
} Asked;

static void
call_hook(void *argument)
{
	Asked *asked = argument;

	asked->result = as_hook_call(&asked->call, &asked->is_null);
}

static void
set_address(AsHookCall *call, int argument, const AsIdentifier *address)
{
	const char *canonical = address->canonical;

	call->nulls[argument] = canonical == NULL;
	if (canonical != NULL)
		call->values[argument] = CStringGetTextDatum(canonical);
}

static AsFailure
failure_of(ErrorData *error)
{
	if (error->sqlerrcode == as_failure_sqlstate(AS_SIGNUP_REFUSED))
		return AS_SIGNUP_REFUSED;
	if (error->sqlerrcode == as_failure_sqlstate(AS_BUSY))
		return AS_BUSY;
	ReThrowError(error);
}

AsFailure
as_signup_hook_apply(const AsIdentifier *email, const AsIdentifier *phone,
                     Jsonb **info)
{
	Asked asked = {
	    .call =
	        {
	            .setting = "auth_session.signup_hook",
	            .function = auth_session_signup_hook,
	            .shape = &as_signup_hook_shape,
	            .values = {0, 0, PointerGetDatum(*info)},
	            .collation = DEFAULT_COLLATION_OID,
	            .refusal = AS_SIGNUP_REFUSED,
	        },
	};
	ErrorData *error;
	Jsonb *wanted;

	if (auth_session_signup_hook[0] == '\0')
		return AS_OK;
	set_address(&asked.call, 0, email);
	set_address(&asked.call, 1, phone);
	error = as_subtransaction_run(call_hook, &asked);
	if (error != NULL)
		return failure_of(error);
	if (asked.is_null)
		return AS_OK;
	wanted = DatumGetJsonbP(asked.result);
	if (as_info_is_sound(wanted))
	{
		*info = wanted;
		return AS_OK;
	}
	ereport(LOG_SERVER_ONLY,
	        (errcode(ERRCODE_DATATYPE_MISMATCH),
	         errmsg("the sign-up hook must return an object of at most 16 KiB, "
	                "with a language as its locale")));
	return AS_BUSY;
}
