/*
 * call.c: what every function does first: enter, and read its arguments.
 *
 * An argument's size is looked at before it is read. Secrets are kept on a
 * list of this backend until they are zeroed: by the attempt that read them,
 * or with the memory of the call, in whatever way that ends.
 */
#include "service/service.h"

#include "access/detoast.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "lib/ilist.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

/* The largest info and app objects, in bytes of their text. */
#define INFO_MAX_BYTES 16384
#define APP_MAX_BYTES  8192

void
as_call_enter(AsCallMode mode)
{
	as_require_preloaded();
	as_redact_statement();
	as_version_compare();
	if (mode == AS_CALL_WRITES && (RecoveryInProgress() || XactReadOnly))
		as_fail(AS_READ_ONLY, NULL);
}

/* ---- secrets ---- */

struct AsSecret
{
	dlist_node node;
	MemoryContextCallback callback;
	char *bytes;
	size_t length;
};

static dlist_head secrets = DLIST_STATIC_INIT(secrets);

static void
forget(void *argument)
{
	AsSecret *secret = argument;

	as_wipe(secret->bytes, secret->length);
	dlist_delete(&secret->node);
}

void
as_call_keep_secret(char *bytes, size_t length)
{
	AsSecret *secret = palloc(sizeof(AsSecret));

	secret->bytes = bytes;
	secret->length = length;
	dlist_push_head(&secrets, &secret->node);
	secret->callback.func = forget;
	secret->callback.arg = secret;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &secret->callback);
}

AsSecret *
as_call_secrets_mark(void)
{
	return dlist_is_empty(&secrets)
	           ? NULL
	           : dlist_head_element(AsSecret, node, &secrets);
}

void
as_call_secrets_wipe(AsSecret *mark)
{
	dlist_iter iter;

	/* They stay on the list: what they are part of still has their memory. */
	dlist_foreach(iter, &secrets)
	{
		AsSecret *secret = dlist_container(AsSecret, node, iter.cur);

		if (secret == mark)
			break;
		as_wipe(secret->bytes, secret->length);
	}
}

/* ---- arguments ---- */

bool
as_call_text(FunctionCallInfo fcinfo, int argument, size_t most, AsText *out)
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
		as_wipe(out->bytes, out->length);
		pfree(out->bytes);
		out->bytes = utf8;
		out->length = strlen(utf8);
	}
	return true;
}

bool
as_call_secret(FunctionCallInfo fcinfo, int argument, size_t most, AsText *out)
{
	if (!as_call_text(fcinfo, argument, most, out))
		return false;
	if (out->bytes != NULL)
		as_call_keep_secret(out->bytes, out->length);
	return true;
}

/* What an array needs beside its texts: header, lengths, padding, nulls. */
#define ARRAY_ROOM(most) (64 + 9 * (size_t) (most))

bool
as_call_texts(FunctionCallInfo fcinfo, int argument, int most, size_t longest,
              AsTexts *out)
{
	ArrayType *array;
	Datum *items;
	bool *nulls;
	int count;

	memset(out, 0, sizeof(*out));
	if (PG_ARGISNULL(argument))
		return true;
	if (toast_raw_datum_size(PG_GETARG_DATUM(argument)) >
	    ARRAY_ROOM(most) + (size_t) most * longest)
		return false;
	array = PG_GETARG_ARRAYTYPE_P(argument);
	if (ARR_NDIM(array) > 1)
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls,
	                  &count);
	if (count > most)
		return false;
	out->items = palloc(sizeof(char *) * (size_t) Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		char *item;

		if (nulls[i])
			return false;
		item = TextDatumGetCString(items[i]);
		out->items[i] = pg_server_to_any(item, (int) strlen(item), PG_UTF8);
		if (strlen(out->items[i]) > longest)
			return false;
	}
	out->count = count;
	return true;
}

bool
as_call_password(FunctionCallInfo fcinfo, int argument, AsPassword *out,
                 size_t *characters)
{
	AsText text;
	size_t count = 0;

	memset(out, 0, sizeof(*out));
	if (!as_call_secret(fcinfo, argument, AS_PASSWORD_MAX_BYTES, &text) ||
	    text.bytes == NULL ||
	    !as_password_normalize(text.bytes, text.length, out, &count))
		return false;
	as_call_keep_secret(unconstify(char *, out->bytes), out->length);
	if (characters != NULL)
		*characters = count;
	return true;
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
as_call_email(FunctionCallInfo fcinfo, int argument, AsIdentifier *out)
{
	AsText text;

	memset(out, 0, sizeof(*out));
	if (!as_call_text(fcinfo, argument, AS_EMAIL_MAX_BYTES, &text))
		return false;
	return set_identifier(out, &text);
}

bool
as_call_phone(FunctionCallInfo fcinfo, int argument, AsIdentifier *out)
{
	AsText text;

	memset(out, 0, sizeof(*out));
	if (!as_call_text(fcinfo, argument, AS_PHONE_MAX_CHARS, &text))
		return false;
	out->is_phone = true;
	return set_identifier(out, &text);
}

bool
as_call_identifier(FunctionCallInfo fcinfo, int argument, AsIdentifier *out)
{
	return as_call_phone(fcinfo, argument, out) ||
	       as_call_email(fcinfo, argument, out);
}

bool
as_call_uuid(FunctionCallInfo fcinfo, int argument, AsUuid *out)
{
	memset(out, 0, sizeof(*out));
	if (PG_ARGISNULL(argument))
		return false;
	memcpy(out->bytes, PG_GETARG_UUID_P(argument)->data, sizeof(out->bytes));
	return true;
}

/* Whether info says no language, or one that messages can be looked up by. */
static bool
has_sound_locale(Jsonb *info)
{
	JsonbValue locale;

	if (getKeyJsonValueFromContainer(&info->root, "locale", strlen("locale"),
	                                 &locale) == NULL ||
	    locale.type == jbvNull)
		return true;
	return locale.type == jbvString &&
	       as_is_language(
	           pnstrdup(locale.val.string.val, locale.val.string.len));
}

bool
as_info_is_sound(Jsonb *info)
{
	return JB_ROOT_IS_OBJECT(info) &&
	       as_jsonb_prints_within(info, INFO_MAX_BYTES) &&
	       has_sound_locale(info);
}

bool
as_call_info(FunctionCallInfo fcinfo, int argument, Jsonb **info)
{
	if (PG_ARGISNULL(argument))
	{
		*info = as_jsonb_parse("{}");
		return true;
	}
	if (toast_raw_datum_size(PG_GETARG_DATUM(argument)) > 2 * INFO_MAX_BYTES)
		return false;
	*info = PG_GETARG_JSONB_P(argument);
	return as_info_is_sound(*info);
}

/* Whether a token with this app claim could be read again. */
static bool
is_claim(Jsonb *app)
{
	StringInfoData json;
	size_t length;
	AsClaims claims;
	char *utf8;

	as_json_begin(&json);
	as_json_raw(&json, "app", as_jsonb_print(app));
	as_json_end(&json);
	length = strlen(json.data);
	utf8 = as_text_to_utf8(json.data, &length);
	return as_claims_read(utf8, length, &claims);
}

bool
as_call_app(FunctionCallInfo fcinfo, int argument, Jsonb **app)
{
	if (PG_ARGISNULL(argument))
	{
		*app = as_jsonb_parse("{}");
		return true;
	}
	if (toast_raw_datum_size(PG_GETARG_DATUM(argument)) > 2 * APP_MAX_BYTES)
		return false;
	*app = PG_GETARG_JSONB_P(argument);
	return JB_ROOT_IS_OBJECT(*app) &&
	       as_jsonb_prints_within(*app, APP_MAX_BYTES) && is_claim(*app);
}
