/*
 * json_writer.c: small JSON objects, in the database's encoding.
 *
 * Members come in the order in which they are written, texts through the
 * server's own escaping; what can have nothing to escape stands as it is. Who
 * writes a secret wipes the text.
 */
#include "base/base.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/numeric.h"

void
as_json_begin(StringInfo json)
{
	initStringInfo(json);
	appendStringInfoChar(json, '{');
}

static void
member(StringInfo json, const char *name)
{
	if (json->len > 1)
		appendStringInfoCharMacro(json, ',');
	appendStringInfoCharMacro(json, '"');
	appendStringInfoString(json, name);
	appendBinaryStringInfo(json, "\":", 2);
}

void
as_json_text(StringInfo json, const char *name, const char *text)
{
	if (text == NULL)
		return;
	member(json, name);
	escape_json(json, text);
}

void
as_json_uuid(StringInfo json, const char *name, const AsUuid *uuid)
{
	char text[AS_UUID_CHARS + 1];

	as_uuid_print(uuid, text);
	member(json, name);
	appendStringInfoCharMacro(json, '"');
	appendBinaryStringInfo(json, text, AS_UUID_CHARS);
	appendStringInfoCharMacro(json, '"');
}

void
as_json_number(StringInfo json, const char *name, int64 number)
{
	char digits[MAXINT8LEN + 1];

	member(json, name);
	appendBinaryStringInfo(json, digits, pg_lltoa(number, digits));
}

void
as_json_raw(StringInfo json, const char *name, const char *value)
{
	member(json, name);
	appendStringInfoString(json, value);
}

void
as_json_time(StringInfo json, const char *name, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t fraction;

	if (timestamp2tm(at, NULL, &tm, &fraction, NULL, NULL) != 0)
		return;
	member(json, name);
	appendStringInfo(json, "\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", tm.tm_year,
	                 tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void
as_json_end(StringInfo json)
{
	appendStringInfoChar(json, '}');
}

Jsonb *
as_jsonb_parse(const char *json)
{
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

/*
 * Of what takes no room in jsonb and much as text: a number such as 1e131071 is
 * ten bytes of the one and 131,072 of the other.
 */
static bool
has_short_numbers(Jsonb *value, size_t most)
{
	JsonbIterator *iterator = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue item;
	size_t digits = 0;

	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		char *number;

		if ((token != WJB_VALUE && token != WJB_ELEM) ||
		    item.type != jbvNumeric)
			continue;
		number = DatumGetCString(DirectFunctionCall1(
		    numeric_out, NumericGetDatum(item.val.numeric)));
		digits += strlen(number);
		pfree(number);
		if (digits > most)
			return false;
	}
	return true;
}

bool
as_jsonb_prints_within(Jsonb *value, size_t most)
{
	return has_short_numbers(value, most) &&
	       strlen(as_jsonb_print(value)) <= most;
}

char *
as_jsonb_print(Jsonb *value)
{
	return JsonbToCString(NULL, &value->root, VARSIZE(value));
}
