/*
 * keys.c: the door of the signing keys: auth.jwks() for everybody, the rest
 * for operators.
 */
#include "entry/entry.h"

#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include <sodium.h>

AS_ENTRY(auth_jwks);
AS_ENTRY(auth_admin_create_signing_key);
AS_ENTRY(auth_admin_import_signing_key);
AS_ENTRY(auth_admin_activate_signing_key);
AS_ENTRY(auth_admin_retire_signing_key);
AS_ENTRY(auth_admin_seal_keys);
AS_ENTRY(auth_admin_jwt_secret);
AS_ENTRY(auth_private_keys_changed);

static void audit_key_change(void);

Datum
auth_jwks(PG_FUNCTION_ARGS)
{
	as_door_enter(AS_DOOR_READS);
	PG_RETURN_JSONB_P(as_signing_key_public_set());
}

Datum
auth_admin_create_signing_key(PG_FUNCTION_ARGS)
{
	text *name = PG_GETARG_TEXT_PP(0);
	AsAlgorithm algorithm;
	char kid[AS_KID_MAX + 1];

	as_door_enter(AS_DOOR_WRITES);
	algorithm = as_algorithm_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	if (algorithm == AS_ALGORITHM_NONE)
		as_fail(AS_INVALID_REQUEST,
		        "The algorithm is HS256, HS384, HS512, RS256, ES256 or EdDSA.");
	as_signing_key_create(algorithm, kid);
	audit_key_change();
	PG_RETURN_TEXT_P(cstring_to_text(kid));
}

Datum
auth_admin_import_signing_key(PG_FUNCTION_ARGS)
{
	Jsonb *jwk = PG_GETARG_JSONB_P(0);
	char kid[AS_KID_MAX + 1];
	char *json;
	char *utf8;
	size_t length;
	AsKeyChange change;

	as_door_enter(AS_DOOR_WRITES);
	if (VARSIZE_ANY_EXHDR(jwk) > AS_KEY_TEXT_MAX)
		as_fail(AS_INVALID_REQUEST, "The JWK is too long.");
	json = JsonbToCString(NULL, &jwk->root, VARSIZE(jwk));
	length = strlen(json);
	utf8 = as_text_to_utf8(json, &length);
	change = as_signing_key_import(utf8, length, kid);
	sodium_memzero(json, strlen(json));
	sodium_memzero(utf8, length);
	if (change == AS_KEY_EXISTS)
		as_fail(AS_ALREADY_EXISTS, "A key of this kid exists.");
	if (change != AS_KEY_CHANGED)
		as_fail(AS_INVALID_REQUEST,
		        "The JWK must be one sound key for HS256, HS384, HS512, RS256 "
		        "(2048 bits or more), ES256 or EdDSA.");
	audit_key_change();
	PG_RETURN_TEXT_P(cstring_to_text(kid));
}

Datum
auth_admin_activate_signing_key(PG_FUNCTION_ARGS)
{
	as_door_enter(AS_DOOR_WRITES);
	switch (as_signing_key_activate(text_to_cstring(PG_GETARG_TEXT_PP(0))))
	{
		case AS_KEY_UNKNOWN:
			as_fail(AS_INVALID_REQUEST,
			        "No key of this kid exists, or it is retired.");
		case AS_KEY_UNACCEPTABLE:
			as_fail(AS_INVALID_REQUEST,
			        "The key has no private part and cannot sign.");
		default:
			audit_key_change();
			PG_RETURN_VOID();
	}
}

Datum
auth_admin_retire_signing_key(PG_FUNCTION_ARGS)
{
	as_door_enter(AS_DOOR_WRITES);
	switch (as_signing_key_retire(text_to_cstring(PG_GETARG_TEXT_PP(0))))
	{
		case AS_KEY_UNKNOWN:
			as_fail(AS_INVALID_REQUEST,
			        "No key of this kid exists, or it is retired already.");
		case AS_KEY_UNACCEPTABLE:
			as_fail(AS_INVALID_REQUEST,
			        "The active key cannot be retired: activate another one "
			        "first.");
		default:
			audit_key_change();
			PG_RETURN_VOID();
	}
}

/*
 * Seals under the master key of today what was stored open, or under the
 * master key of the file given.
 */
Datum
auth_admin_seal_keys(PG_FUNCTION_ARGS)
{
	AsMasterKey previous;
	bool has_previous = !PG_ARGISNULL(0);
	volatile int sealed = 0;

	as_door_enter(AS_DOOR_WRITES);
	if (auth_session_master_key_file[0] == '\0')
		as_fail(AS_INVALID_REQUEST, "Set auth_session.master_key_file first.");
	if (has_previous &&
	    as_master_key_read(text_to_cstring(PG_GETARG_TEXT_PP(0)), &previous) !=
	        AS_MASTER_KEY_OK)
		as_fail(AS_INVALID_REQUEST,
		        "The previous master key must be a file of 32 bytes and mode "
		        "0600 that belongs to the user of the server.");
	PG_TRY();
	{
		sealed = as_signing_key_seal_all(has_previous ? &previous : NULL) +
		         as_mac_key_seal_all(has_previous ? &previous : NULL);
	}
	PG_FINALLY();
	{
		sodium_memzero(&previous, sizeof(previous));
	}
	PG_END_TRY();
	audit_key_change();
	PG_RETURN_INT32(sealed);
}

Datum
auth_admin_jwt_secret(PG_FUNCTION_ARGS)
{
	char *jwk;
	text *result;

	as_door_enter(AS_DOOR_READS);
	jwk = as_signing_key_secret_jwk();
	if (jwk == NULL)
		as_fail(AS_INVALID_REQUEST,
		        "The active key is no HMAC key: use auth.jwks().");
	result = cstring_to_text(jwk);
	sodium_memzero(jwk, strlen(jwk));
	PG_RETURN_TEXT_P(result);
}

/* The trigger on the table: every backend loads its keys anew. */
Datum
auth_private_keys_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "auth_private.keys_changed is a trigger");
	CacheInvalidateRelcacheByRelid(
	    RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	PG_RETURN_POINTER(NULL);
}

/* That a key was changed; which one, the keys' own view has. */
static void
audit_key_change(void)
{
	AsEvent event;

	as_event_begin(&event, AS_ACTION_KEY);
	as_door_succeed(&event);
}
