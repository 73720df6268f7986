/*
 * plain_jsonb.c: the Jsonb of an object that is written plainly.
 *
 * The server's own input parses a text a third time, character by character,
 * and is most of what a token costs that is seen for the first time. Here the
 * quick reader shows the members, and the server's functions put them together:
 * what they make of the same members is the same, byte for byte. What the quick
 * reader leaves alone is left to the server's input.
 */
#include "service/service.h"

#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* Digits that an int64 has room for, whatever they are. */
#define INT64_DIGITS 18

typedef struct Building
{
	JsonbParseState *state;
	JsonbValue *made; /* the outermost container, once it is closed */
} Building;

static bool push_container(Building *building, const char *text, size_t length,
                           bool is_array);

static bool
read_int64(const AsJsonMember *member, int64 *out)
{
	int64 value = 0;

	if (member->length > INT64_DIGITS)
		return false;
	for (size_t i = 0; i < member->length; i++)
	{
		if (member->text[i] < '0' || member->text[i] > '9')
			return false;
		value = value * 10 + (member->text[i] - '0');
	}
	*out = value;
	return true;
}

static Numeric
read_number(const AsJsonMember *member)
{
	int64 value;

	if (read_int64(member, &value))
		return int64_to_numeric(value);
	return DatumGetNumeric(
	    DirectFunctionCall3(numeric_in, CStringGetDatum(member->text),
	                        ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

static void
read_scalar(const AsJsonMember *member, JsonbValue *out)
{
	switch (member->type)
	{
		case AS_JSON_STRING:
			out->type = jbvString;
			out->val.string.val = unconstify(char *, member->text);
			out->val.string.len = (int) member->length;
			break;
		case AS_JSON_NUMBER:
			out->type = jbvNumeric;
			out->val.numeric = read_number(member);
			break;
		case AS_JSON_TRUE:
		case AS_JSON_FALSE:
			out->type = jbvBool;
			out->val.boolean = member->type == AS_JSON_TRUE;
			break;
		default:
			Assert(member->type == AS_JSON_NULL);
			out->type = jbvNull;
			break;
	}
}

static bool
push_member(const AsJsonMember *member, void *into)
{
	Building *building = into;
	JsonbValue value;

	if (member->name != NULL)
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, member->name);
		value.val.string.len = (int) strlen(member->name);
		(void) pushJsonbValue(&building->state, WJB_KEY, &value);
	}
	if (member->type == AS_JSON_ARRAY || member->type == AS_JSON_OBJECT)
		return push_container(building, member->text, member->length,
		                      member->type == AS_JSON_ARRAY);
	read_scalar(member, &value);
	(void) pushJsonbValue(&building->state,
	                      member->name != NULL ? WJB_VALUE : WJB_ELEM, &value);
	return true;
}

/* The reader has seen the whole text: it nests as deep as that allows. */
static bool
push_container(Building *building, const char *text, size_t length,
               bool is_array)
{
	/* What is pushed points there until all of it is put together. */
	char *copy = palloc(length + 1);

	(void) pushJsonbValue(&building->state,
	                      is_array ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT, NULL);
	if (as_json_plain_read(text, length, is_array, false, copy, push_member,
	                       building) != AS_JSON_PLAIN)
		return false;
	building->made = pushJsonbValue(
	    &building->state, is_array ? WJB_END_ARRAY : WJB_END_OBJECT, NULL);
	return true;
}

Jsonb *
as_plain_jsonb(const char *text, size_t length)
{
	Building building = {0};

	return push_container(&building, text, length, false)
	           ? JsonbValueToJsonb(building.made)
	           : NULL;
}
