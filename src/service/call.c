/*
 * door.c: what every door does: enter, read arguments, answer, refuse.
 */
#include "service/service.h"

#include <sodium.h>

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/* The largest info object, in bytes of its text. */
#define INFO_MAX_BYTES 16384

/* How long a failing caller waits for the commit of its record: ms. */
#define RECORD_WAIT 1000

void
as_door_enter(AsDoor door)
{
	as_require_preloaded();
	as_redact_statement();
	if (door == AS_DOOR_WRITES && (RecoveryInProgress() || XactReadOnly))
		as_fail(AS_READ_ONLY, NULL);
}

/* ---- arguments ---- */

bool
as_door_text(FunctionCallInfo fcinfo, int argument, size_t most, AsText *out)
{
	Datum value;
	char *utf8;

	memset(out, 0, sizeof(*out));
	if (PG_ARGISNULL(argument))
		return true;
	value = PG_GETARG_DATUM(argument);
	if (toast_raw_datum_size(value) - VARHDRSZ > most)
		return false;
	out->bytes = TextDatumGetCString(value);
	out->length = strlen(out->bytes);
	utf8 = pg_server_to_any(out->bytes, (int) out->length, PG_UTF8);
	if (utf8 != out->bytes)
	{
		as_text_wipe(out);
		out->bytes = utf8;
		out->length = strlen(utf8);
	}
	return true;
}

void
as_text_wipe(AsText *text)
{
	if (text->bytes == NULL)
		return;
	sodium_memzero(text->bytes, text->length);
	pfree(text->bytes);
	memset(text, 0, sizeof(*text));
}

static bool
set_identifier(AsIdentifier *out, const AsText *text)
{
	if (text->bytes == NULL)
		return true;
	out->typed = pg_any_to_server(text->bytes, (int) text->length, PG_UTF8);
	out->canonical = as_identifier_canonical(out->typed, out->is_phone);
	return out->canonical != NULL;
}

bool
as_door_email(FunctionCallInfo fcinfo, int argument, AsIdentifier *out)
{
	AsText text;

	memset(out, 0, sizeof(*out));
	if (!as_door_text(fcinfo, argument, AS_EMAIL_MAX_BYTES, &text))
		return false;
	return set_identifier(out, &text);
}

bool
as_door_phone(FunctionCallInfo fcinfo, int argument, AsIdentifier *out)
{
	AsText text;

	memset(out, 0, sizeof(*out));
	if (!as_door_text(fcinfo, argument, AS_PHONE_MAX_CHARS, &text))
		return false;
	out->is_phone = true;
	return set_identifier(out, &text);
}

bool
as_door_identifier(FunctionCallInfo fcinfo, int argument, AsIdentifier *out)
{
	return as_door_phone(fcinfo, argument, out) ||
	       as_door_email(fcinfo, argument, out);
}

static void
wipe_password(void *password)
{
	as_password_wipe(password);
}

/* Zeroes a password when its memory goes, on the way of an error too. */
static void
wipe_at_the_end(const AsPassword *password)
{
	AsPassword *kept = palloc(sizeof(AsPassword));
	MemoryContextCallback *callback = palloc0(sizeof(MemoryContextCallback));

	*kept = *password;
	callback->func = wipe_password;
	callback->arg = kept;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
}

bool
as_door_password(FunctionCallInfo fcinfo, int argument, AsPassword *out,
                 size_t *characters)
{
	AsText text;
	size_t count = 0;
	bool is_unicode;

	memset(out, 0, sizeof(*out));
	if (!as_door_text(fcinfo, argument, AS_PASSWORD_MAX_BYTES, &text) ||
	    text.bytes == NULL)
		return false;
	is_unicode = as_password_normalize(text.bytes, text.length, out, &count);
	as_text_wipe(&text);
	if (is_unicode)
		wipe_at_the_end(out);
	if (characters != NULL)
		*characters = count;
	return is_unicode;
}

bool
as_door_uuid(FunctionCallInfo fcinfo, int argument, AsUuid *out)
{
	memset(out, 0, sizeof(*out));
	if (PG_ARGISNULL(argument))
		return false;
	memcpy(out->bytes, PG_GETARG_UUID_P(argument)->data, sizeof(out->bytes));
	return true;
}

bool
as_door_info(FunctionCallInfo fcinfo, int argument, Jsonb **info)
{
	if (PG_ARGISNULL(argument))
	{
		*info = as_jsonb_parse("{}");
		return true;
	}
	if (toast_raw_datum_size(PG_GETARG_DATUM(argument)) > 2 * INFO_MAX_BYTES)
		return false;
	*info = PG_GETARG_JSONB_P(argument);
	return JB_ROOT_IS_OBJECT(*info) &&
	       strlen(as_jsonb_print(*info)) <= INFO_MAX_BYTES;
}

/* ---- events ---- */

void
as_event_begin(AsEvent *event, AsAction action)
{
	const AsRequest *request = as_request();

	memset(event, 0, sizeof(*event));
	event->action = action;
	event->at = GetCurrentTimestamp();
	strlcpy(event->address, request->address, sizeof(event->address));
	strlcpy(event->user_agent, request->user_agent, sizeof(event->user_agent));
}

void
as_door_succeed(AsEvent *event)
{
	event->result = AS_OK;
	as_audit_write(event);
}

void
as_door_refuse(AsEvent *event, AsFailure failure, const char *hint)
{
	AsRecord record = {.kind = AS_RECORD_EVENT};

	event->result = failure;
	record.event = *event;
	if (as_recorder_submit(&record, RECORD_WAIT) == AS_RECORD_FULL)
		as_fail(AS_BUSY, NULL);
	as_fail(failure, hint);
}

AsOrigin
as_door_origin(void)
{
	const AsRequest *request = as_request();
	AsOrigin origin = {
	    .address = request->address[0] != '\0' ? request->address : NULL,
	    .user_agent =
	        request->user_agent[0] != '\0' ? request->user_agent : NULL,
	};

	return origin;
}

char *
as_door_origin_payload(void)
{
	AsOrigin origin = as_door_origin();
	StringInfoData json;

	as_json_begin(&json);
	as_json_text(&json, "ip", origin.address);
	as_json_text(&json, "user_agent", origin.user_agent);
	as_json_time(&json, "at", GetCurrentTimestamp());
	as_json_end(&json);
	return json.data;
}

/* ---- results ---- */

static Datum
form_result(FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	TupleDesc type;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the function must return a composite type");
	type = BlessTupleDesc(type);
	return HeapTupleGetDatum(heap_form_tuple(type, values, nulls));
}

static void
set_text(Datum *value, bool *is_null, const char *text)
{
	*is_null = text == NULL;
	if (text != NULL)
		*value = CStringGetTextDatum(text);
}

static void
set_time(Datum *value, bool *is_null, TimestampTz at)
{
	*is_null = at == AS_NO_TIME;
	*value = TimestampTzGetDatum(at);
}

Datum
as_door_account(FunctionCallInfo fcinfo, const AsAccount *account)
{
	Datum values[10] = {0};
	bool nulls[10] = {false};

	values[0] = PointerGetDatum(&account->id);
	set_text(&values[1], &nulls[1], account->email);
	set_text(&values[2], &nulls[2], account->phone);
	set_time(&values[3], &nulls[3], account->email_confirmed_at);
	set_time(&values[4], &nulls[4], account->phone_confirmed_at);
	set_text(&values[5], &nulls[5], account->pending_email);
	set_text(&values[6], &nulls[6], account->pending_phone);
	values[7] = PointerGetDatum(account->info);
	set_time(&values[8], &nulls[8], account->created_at);
	set_text(&values[9], &nulls[9], as_account_status_name(account->status));
	return form_result(fcinfo, values, nulls);
}

Datum
as_door_tokens(FunctionCallInfo fcinfo, const AsAccount *account,
               const AsSession *session, const AsRefreshToken *token)
{
	Datum values[8] = {0};
	bool nulls[8] = {false};
	char refresh[AS_REFRESH_TOKEN_CHARS + 1];
	AsMacKey tag_key;
	int64 now = as_unix_seconds(GetCurrentTimestamp());

	(void) as_mac_key(AS_MAC_REFRESH_TAG, true, &tag_key);
	as_refresh_token_print(token, &tag_key, refresh);
	sodium_memzero(&tag_key, sizeof(tag_key));

	set_text(&values[0], &nulls[0], as_access_token_make(account, session));
	set_text(&values[1], &nulls[1], "bearer");
	values[2] = Int32GetDatum(
	    (int32) (as_unix_seconds(session->access_expires_at) - now));
	set_time(&values[3], &nulls[3], session->access_expires_at);
	set_text(&values[4], &nulls[4], refresh);
	values[5] = PointerGetDatum(&session->id);
	values[6] = PointerGetDatum(&session->user_id);
	nulls[7] = true;
	sodium_memzero(refresh, sizeof(refresh));
	return form_result(fcinfo, values, nulls);
}
