/*
 * answer.c: what is answered: the composite types of schema auth.
 *
 * Whatever is passed by reference is allocated for the caller: SQL keeps an
 * argument of CALL across the COMMITs of a procedure.
 */
#include "service/service.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

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

void
as_answer_row(HeapTuple tuple, TupleDesc descriptor, void *result)
{
	tuplestore_puttuple(((ReturnSetInfo *) result)->setResult, tuple);
}

Datum
as_answer_uuid(const AsUuid *uuid)
{
	AsUuid *copy = palloc(sizeof(AsUuid));

	*copy = *uuid;
	return PointerGetDatum(copy);
}

Datum
as_answer_account(FunctionCallInfo fcinfo, const AsAccount *account)
{
	Datum values[10] = {0};
	bool nulls[10] = {false};

	values[0] = PointerGetDatum(&account->id);
	set_text(&values[1], &nulls[1], account->email);
	set_text(&values[2], &nulls[2], account->phone);
	set_time(&values[3], &nulls[3], account->email_confirmed_at);
	set_time(&values[4], &nulls[4], account->phone_confirmed_at);
	set_text(&values[5], &nulls[5], as_address_pending(account, false));
	set_text(&values[6], &nulls[6], as_address_pending(account, true));
	values[7] = PointerGetDatum(account->info);
	set_time(&values[8], &nulls[8], account->created_at);
	set_text(&values[9], &nulls[9], as_account_status_name(account));
	return form_result(fcinfo, values, nulls);
}

/* The refresh token as text; zeroes token. */
static void
print_refresh_token(AsRefreshToken *token,
                    char text[AS_REFRESH_TOKEN_CHARS + 1])
{
	AsMacKey tag_key;

	(void) as_mac_key(AS_MAC_REFRESH_TAG, true, &tag_key);
	as_refresh_token_print(token, &tag_key, text);
	as_wipe(&tag_key, sizeof(tag_key));
	as_wipe(token, sizeof(*token));
}

Datum
as_answer_tokens(FunctionCallInfo fcinfo, const AsAccount *account,
                 const AsSession *session, AsRefreshToken *token,
                 bool to_cookies)
{
	Datum values[8] = {0};
	bool nulls[8] = {false};
	int64 now = as_unix_seconds(GetCurrentTimestamp());
	char *access = as_access_token_make(account, session);
	char refresh[AS_REFRESH_TOKEN_CHARS + 1] = "";

	if (token != NULL)
		print_refresh_token(token, refresh);
	as_response_keep_from_caches();
	if (to_cookies)
		as_cookie_set(session, access, refresh);
	set_text(&values[0], &nulls[0], to_cookies ? NULL : access);
	set_text(&values[4], &nulls[4],
	         to_cookies || token == NULL ? NULL : refresh);
	as_wipe(access, strlen(access));
	as_wipe(refresh, sizeof(refresh));
	set_text(&values[1], &nulls[1], "bearer");
	values[2] = Int32GetDatum(
	    (int32) (as_unix_seconds(session->access_expires_at) - now));
	set_time(&values[3], &nulls[3], session->access_expires_at);
	values[5] = PointerGetDatum(&session->id);
	values[6] = PointerGetDatum(&session->user_id);
	nulls[7] = true;
	return form_result(fcinfo, values, nulls);
}

Datum
as_answer_mfa_token(FunctionCallInfo fcinfo, char *mfa_token)
{
	Datum values[8] = {0};
	bool nulls[8] = {true, true, true, true, true, true, true, false};

	as_response_keep_from_caches();
	values[7] = CStringGetTextDatum(mfa_token);
	as_wipe(mfa_token, strlen(mfa_token));
	return form_result(fcinfo, values, nulls);
}

Datum
as_answer_enrollment(FunctionCallInfo fcinfo, char *secret, char *uri,
                     char *qr_svg)
{
	char *texts[3] = {secret, uri, qr_svg};
	Datum values[3];
	bool nulls[3];
	Datum result;

	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		set_text(&values[i], &nulls[i], texts[i]);
		as_wipe(texts[i], strlen(texts[i]));
	}
	result = form_result(fcinfo, values, nulls);
	for (int i = 0; i < (int) lengthof(texts); i++)
		as_wipe(VARDATA_ANY(DatumGetPointer(values[i])),
		        VARSIZE_ANY_EXHDR(DatumGetPointer(values[i])));
	return result;
}

Datum
as_answer_api_key(FunctionCallInfo fcinfo, const AsNewApiKey *key, char *text)
{
	Datum values[6] = {0};
	bool nulls[6] = {false};
	Datum result;

	values[0] = PointerGetDatum(&key->id);
	values[1] = CStringGetTextDatum(text);
	as_wipe(text, strlen(text));
	values[2] = CStringGetTextDatum(key->name);
	values[3] = as_arg_texts(&key->scopes).value;
	set_text(&values[4], &nulls[4], key->role);
	set_time(&values[5], &nulls[5], key->expires_at);
	result = form_result(fcinfo, values, nulls);
	as_wipe(VARDATA_ANY(DatumGetPointer(values[1])),
	        VARSIZE_ANY_EXHDR(DatumGetPointer(values[1])));
	return result;
}
