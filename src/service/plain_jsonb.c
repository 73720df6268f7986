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

static bool push_container(Building *building, const AsJsonMember *container);

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
push_member(Building *building, const AsJsonMember *member)
{
	JsonbValue value;

	if (member->name != NULL)
	{
		value.type = jbvString;
		value.val.string.val = unconstify(char *, member->name);
		value.val.string.len = (int) member->name_length;
		(void) pushJsonbValue(&building->state, WJB_KEY, &value);
	}
	if (member->type == AS_JSON_ARRAY || member->type == AS_JSON_OBJECT)
		return push_container(building, member);
	read_scalar(member, &value);
	(void) pushJsonbValue(&building->state,
	                      member->name != NULL ? WJB_VALUE : WJB_ELEM, &value);
	return true;
}

static bool
push_members(Building *building, bool is_array, const AsJsonMember *members,
             int count)
{
	(void) pushJsonbValue(&building->state,
	                      is_array ? WJB_BEGIN_ARRAY : WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < count; i++)
		if (!push_member(building, &members[i]))
			return false;
	building->made = pushJsonbValue(
	    &building->state, is_array ? WJB_END_ARRAY : WJB_END_OBJECT, NULL);
	return true;
}

/* The reader has seen the whole text: it nests as deep as that allows. */
static bool
push_container(Building *building, const AsJsonMember *container)
{
	AsJsonMember members[AS_JSON_PLAIN_MEMBERS];
	bool is_array = container->type == AS_JSON_ARRAY;
	int count;

	/* What is pushed points there until all of it is put together. */
	char *copy = palloc(container->length + 1);

	count = as_json_plain_list(container->text, container->length, is_array,
	                           false, copy, members);
	return count >= 0 && push_members(building, is_array, members, count);
}

Jsonb *
as_plain_jsonb(const AsJsonMember *members, int count)
{
	Building building = {0};

	return push_members(&building, false, members, count)
	           ? JsonbValueToJsonb(building.made)
	           : NULL;
}
