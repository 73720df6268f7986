/*
 * key_admin.c: the signing keys, as others see them: auth.jwks for everybody,
 * the rest for operators.
 */
#include "entry/entry.h"

#include "utils/builtins.h"
#include "utils/guc.h"

AS_ENTRY(auth_jwks);
AS_ENTRY(auth_admin_create_signing_key);
AS_ENTRY(auth_admin_import_signing_key);
AS_ENTRY(auth_admin_activate_signing_key);
AS_ENTRY(auth_admin_retire_signing_key);
AS_ENTRY(auth_admin_rotate_signing_key);
AS_ENTRY(auth_admin_seal_keys);
AS_ENTRY(auth_admin_jwt_secret);
AS_ENTRY(auth_admin_jwt_keys);
AS_ENTRY(auth_admin_postgrest_settings);
AS_ENTRY(auth_private_make_keys);

typedef struct KeyFlow
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	char kid[AS_KID_MAX + 1];
	int sealed;
} KeyFlow;

/*
 * Runs a change of the keys. The audit log has that a key was changed; which
 * one, the keys' own view has.
 */
static void
run(KeyFlow *flow, FunctionCallInfo fcinfo, AsSteps steps)
{
	memset(flow, 0, sizeof(*flow));
	flow->fcinfo = fcinfo;
	flow->attempt.by_operator = true;
	as_attempt_run(&flow->attempt, "signing_key", steps, flow);
}

static AsFailure
reject(KeyFlow *flow, const char *hint)
{
	return as_attempt_tell(&flow->attempt, AS_INVALID_REQUEST, hint);
}

/* Empty, which names nothing, where none is given. */
static char *
text_argument(KeyFlow *flow)
{
	FunctionCallInfo fcinfo = flow->fcinfo;

	return PG_ARGISNULL(0) ? pstrdup("")
	                       : text_to_cstring(PG_GETARG_TEXT_PP(0));
}

/* ---- create ---- */

static AsFailure
create_key(void *into)
{
	KeyFlow *flow = into;
	char *name = text_argument(flow);
	AsAlgorithm algorithm = as_algorithm_parse(name, strlen(name));

	if (algorithm == AS_ALGORITHM_NONE)
		return reject(flow, "The algorithm is HS256, HS384, HS512, RS256, "
		                    "ES256 or EdDSA.");
	as_signing_key_create(algorithm, flow->kid);
	return AS_OK;
}

Datum
auth_admin_create_signing_key(PG_FUNCTION_ARGS)
{
	KeyFlow flow;

	run(&flow, fcinfo, create_key);
	PG_RETURN_TEXT_P(cstring_to_text(flow.kid));
}

/* ---- import ---- */

static AsFailure
import_key(void *into)
{
	KeyFlow *flow = into;
	FunctionCallInfo fcinfo = flow->fcinfo;

	if (PG_ARGISNULL(0))
		return reject(flow, "The jwk is missing.");
	switch (as_signing_key_import(PG_GETARG_JSONB_P(0), flow->kid))
	{
		case AS_KEY_CHANGED:
			return AS_OK;
		case AS_KEY_TOO_LONG:
			return reject(flow, "The JWK is too long.");
		case AS_KEY_EXISTS:
			return as_attempt_tell(&flow->attempt, AS_ALREADY_EXISTS,
			                       "A key of this kid exists.");
		default:
			return reject(flow, "The JWK must be one sound key for HS256, "
			                    "HS384, HS512, RS256 (2048 bits or more), "
			                    "ES256 or EdDSA.");
	}
}

Datum
auth_admin_import_signing_key(PG_FUNCTION_ARGS)
{
	KeyFlow flow;

	run(&flow, fcinfo, import_key);
	PG_RETURN_TEXT_P(cstring_to_text(flow.kid));
}

/* ---- activate and retire ---- */

static AsFailure
activate_key(void *into)
{
	KeyFlow *flow = into;

	switch (as_signing_key_activate(text_argument(flow)))
	{
		case AS_KEY_UNKNOWN:
			return reject(flow, "No key of this kid exists, or it is retired.");
		case AS_KEY_UNACCEPTABLE:
			return reject(flow, "The key has no private part and cannot sign.");
		default:
			return AS_OK;
	}
}

Datum
auth_admin_activate_signing_key(PG_FUNCTION_ARGS)
{
	KeyFlow flow;

	run(&flow, fcinfo, activate_key);
	PG_RETURN_VOID();
}

static AsFailure
retire_key(void *into)
{
	KeyFlow *flow = into;

	switch (as_signing_key_retire(text_argument(flow)))
	{
		case AS_KEY_UNKNOWN:
			return reject(
			    flow, "No key of this kid exists, or it is retired already.");
		case AS_KEY_UNACCEPTABLE:
			return reject(flow, "The active key cannot be retired: activate "
			                    "another one first.");
		default:
			return AS_OK;
	}
}

Datum
auth_admin_retire_signing_key(PG_FUNCTION_ARGS)
{
	KeyFlow flow;

	run(&flow, fcinfo, retire_key);
	PG_RETURN_VOID();
}

/* ---- rotate ---- */

static AsFailure
rotate_key(void *into)
{
	KeyFlow *flow = into;

	flow->attempt.is_silent = !as_signing_key_rotate_if_due(flow->kid);
	return AS_OK;
}

Datum
auth_admin_rotate_signing_key(PG_FUNCTION_ARGS)
{
	KeyFlow flow;

	run(&flow, fcinfo, rotate_key);
	if (flow.kid[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(flow.kid));
}

/* ---- seal ---- */

static AsFailure
seal_keys(void *into)
{
	KeyFlow *flow = into;
	FunctionCallInfo fcinfo = flow->fcinfo;

	switch (as_keys_seal(PG_ARGISNULL(0) ? NULL : text_argument(flow),
	                     &flow->sealed))
	{
		case AS_SEALING_NO_FILE:
			return reject(
			    flow, "Set auth_session.master_key_file and reload the "
			          "configuration first; a session sees it a moment later.");
		case AS_SEALING_PREVIOUS_REFUSED:
			return reject(flow,
			              "The previous master key must be a file of 32 bytes "
			              "and mode 0600 that belongs to the user of the "
			              "server.");
		default:
			return AS_OK;
	}
}

/*
 * Seals under the master key of today what was stored open, or under the
 * master key of the file given.
 */
Datum
auth_admin_seal_keys(PG_FUNCTION_ARGS)
{
	KeyFlow flow;

	run(&flow, fcinfo, seal_keys);
	PG_RETURN_INT32(flow.sealed);
}

/* ---- what others are told ---- */

Datum
auth_jwks(PG_FUNCTION_ARGS)
{
	as_call_enter(AS_CALL_READS);
	PG_RETURN_JSONB_P(as_signing_key_public_set());
}

Datum
auth_admin_jwt_secret(PG_FUNCTION_ARGS)
{
	Jsonb *jwk;

	as_call_enter(AS_CALL_READS);
	jwk = as_signing_key_secret_jwk();
	if (jwk == NULL)
		as_fail(AS_INVALID_REQUEST,
		        "The active key is no HMAC key: use auth.jwks().");
	PG_RETURN_JSONB_P(jwk);
}

Datum
auth_admin_jwt_keys(PG_FUNCTION_ARGS)
{
	Jsonb *set;
	char *text;

	as_call_enter(AS_CALL_READS);
	text = as_signing_key_set();
	set = as_jsonb_parse(text);
	as_wipe(text, strlen(text));
	PG_RETURN_JSONB_P(set);
}

/* For this transaction, in which PostgREST reads them. */
Datum
auth_admin_postgrest_settings(PG_FUNCTION_ARGS)
{
	char *set;

	as_call_enter(AS_CALL_READS);
	set = as_signing_key_set();
	(void) set_config_option("pgrst.jwt_secret", set, PGC_USERSET,
	                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	as_wipe(set, strlen(set));
	(void) set_config_option("pgrst.jwt_aud", auth_session_audience,
	                         PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true,
	                         0, false);
	PG_RETURN_VOID();
}

/* ---- make_keys ---- */

Datum
auth_private_make_keys(PG_FUNCTION_ARGS)
{
	AsMacKey key;

	as_call_enter(AS_CALL_WRITES);
	(void) as_signing_key_active();
	(void) as_mac_key(AS_MAC_CODE, true, &key);
	as_wipe(&key, sizeof(key));
	PG_RETURN_VOID();
}
