/*
 * json_plain.c: members of a JSON object that is written plainly.
 *
 * Most of what comes is: printable ASCII without a backslash, of few members.
 * Of such a text every value stands there as it is meant, and one pass finds
 * where it begins and ends, at a tenth of what the server's parser takes. What
 * is anything else, ill-formed too, is not refused here but left to that
 * parser (json_reader.c): what is taken here is taken there, with the same
 * members, and nothing else is promised. The fuzzer holds one against the
 * other.
 *
 * The whole text has been read before the first member is shown, so that
 * nobody sees members of a text that the other reader then refuses.
 */
#include "jose/jose.h"

#include <stddef.h>
#include <string.h>

/* An object of more members is left to the parser. */
#define MAX_MEMBERS 64

typedef struct Span
{
	const char *begin;
	const char *end;
} Span;

typedef struct Member
{
	Span name; /* empty in an array */
	AsJsonType type;
	Span value; /* of a string, what is between its quotes */
} Member;

/* What is left of the text. */
typedef struct Rest
{
	const char *at;
	const char *end;
} Rest;

static void
skip_blanks(Rest *rest)
{
	while (rest->at < rest->end && (*rest->at == ' ' || *rest->at == '\t' ||
	                                *rest->at == '\n' || *rest->at == '\r'))
		rest->at++;
}

static bool
take(Rest *rest, char c)
{
	if (rest->at == rest->end || *rest->at != c)
		return false;
	rest->at++;
	return true;
}

static inline bool
is_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* The same byte eight times; and the highest bit of each. */
#define ALL(byte) (UINT64_C(0x0101010101010101) * (byte))
#define HIGHEST   ALL(0x80)

/*
 * Whether all of eight characters are plain. Where none has its highest bit,
 * the first of them that is too small for a subtraction gets it; and where none
 * is too small, nothing is borrowed from another.
 */
static inline bool
are_plain(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return ((word | (word - ALL(0x20)) | ((word ^ ALL('"')) - ALL(1)) |
	         ((word ^ ALL('\\')) - ALL(1))) &
	        HIGHEST) == 0;
}

/* RFC 8259 section 7, of unescaped ASCII; behind the opening quote. */
static bool
take_string(Rest *rest, Span *out)
{
	const char *at = rest->at;

	out->begin = at;
	while (rest->end - at >= (ptrdiff_t) sizeof(uint64_t) && are_plain(at))
		at += sizeof(uint64_t);
	while (at < rest->end && is_plain((unsigned char) *at))
		at++;
	out->end = at;
	rest->at = at;
	return take(rest, '"');
}

static bool
take_digits(Rest *rest)
{
	const char *begin = rest->at;

	while (rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9')
		rest->at++;
	return rest->at > begin;
}

/* RFC 8259 section 6. */
static bool
take_number(Rest *rest)
{
	(void) take(rest, '-');
	if (!take(rest, '0') && !take_digits(rest))
		return false;
	if (take(rest, '.') && !take_digits(rest))
		return false;
	if (!take(rest, 'e') && !take(rest, 'E'))
		return true;
	if (!take(rest, '-'))
		(void) take(rest, '+');
	return take_digits(rest);
}

static bool
take_word(Rest *rest, const char *word)
{
	size_t length = strlen(word);

	if ((size_t) (rest->end - rest->at) < length ||
	    memcmp(rest->at, word, length) != 0)
		return false;
	rest->at += length;
	return true;
}

/* What may stand behind a number or a word; not more of it. */
static bool
is_at_end_of_value(const Rest *rest)
{
	return rest->at == rest->end || memchr(" \t\n\r,]}", *rest->at, 7) != NULL;
}

static bool take_members(Rest *rest, bool is_array, int depth, Member *members,
                         int *count);

static bool
take_container(Rest *rest, AsJsonType type, int depth)
{
	return depth < AS_JSON_DEPTH_MAX &&
	       take_members(rest, type == AS_JSON_ARRAY, depth + 1, NULL, NULL);
}

/* Any value, inside of depth containers. */
static bool
take_value(Rest *rest, int depth, AsJsonType *type, Span *out)
{
	bool ok;

	out->begin = rest->at;
	if (rest->at == rest->end)
		return false;
	switch (*rest->at)
	{
		case '"':
			rest->at++;
			*type = AS_JSON_STRING;
			return take_string(rest, out);
		case '{':
			*type = AS_JSON_OBJECT;
			ok = take_container(rest, *type, depth);
			break;
		case '[':
			*type = AS_JSON_ARRAY;
			ok = take_container(rest, *type, depth);
			break;
		case 't':
			*type = AS_JSON_TRUE;
			ok = take_word(rest, "true") && is_at_end_of_value(rest);
			break;
		case 'f':
			*type = AS_JSON_FALSE;
			ok = take_word(rest, "false") && is_at_end_of_value(rest);
			break;
		case 'n':
			*type = AS_JSON_NULL;
			ok = take_word(rest, "null") && is_at_end_of_value(rest);
			break;
		default:
			*type = AS_JSON_NUMBER;
			ok = take_number(rest) && is_at_end_of_value(rest);
			break;
	}
	out->end = rest->at;
	return ok;
}

static bool
take_name(Rest *rest, Span *out)
{
	if (!take(rest, '"') || !take_string(rest, out))
		return false;
	skip_blanks(rest);
	if (!take(rest, ':'))
		return false;
	skip_blanks(rest);
	return true;
}

/*
 * A container, the depth-th of those it stands in; its members, where they are
 * wanted.
 */
static bool
take_members(Rest *rest, bool is_array, int depth, Member *members, int *count)
{
	char closing = is_array ? ']' : '}';
	int n = 0;

	if (!take(rest, is_array ? '[' : '{'))
		return false;
	skip_blanks(rest);
	if (!take(rest, closing))
	{
		do
		{
			Member unwanted;
			Member *member = members == NULL ? &unwanted : &members[n];

			if (members != NULL && n++ == MAX_MEMBERS)
				return false;
			skip_blanks(rest);
			if ((!is_array && !take_name(rest, &member->name)) ||
			    !take_value(rest, depth, &member->type, &member->value))
				return false;
			skip_blanks(rest);
		} while (take(rest, ','));
		if (!take(rest, closing))
			return false;
	}
	if (count != NULL)
		*count = n;
	return true;
}

static bool
is_same(const Span *a, const Span *b)
{
	size_t length = (size_t) (a->end - a->begin);

	return (size_t) (b->end - b->begin) == length && *a->begin == *b->begin &&
	       memcmp(a->begin, b->begin, length) == 0;
}

static bool
has_name_twice(const Member *members, int count)
{
	for (int i = 1; i < count; i++)
		for (int j = 0; j < i; j++)
			if (is_same(&members[i].name, &members[j].name))
				return true;
	return false;
}

/* Shows members of a text of our own, in which each scalar can be ended. */
static bool
show(char *copy, const char *text, const Member *members, int count,
     bool is_array, AsJsonVisit visit, void *into)
{
	for (int i = 0; i < count; i++)
	{
		const Member *found = &members[i];
		char *value = copy + (found->value.begin - text);
		AsJsonMember member = {
		    .type = found->type,
		    .text = value,
		    .length = (size_t) (found->value.end - found->value.begin)};

		if (!is_array)
		{
			member.name = copy + (found->name.begin - text);
			copy[found->name.end - text] = '\0';
		}
		if (found->type != AS_JSON_ARRAY && found->type != AS_JSON_OBJECT)
			value[member.length] = '\0';
		if (!visit(&member, into))
			return false;
	}
	return true;
}

AsJsonPlain
as_json_plain_read(const char *text, size_t length, bool is_array,
                   bool unique_names, char *copy, AsJsonVisit visit, void *into)
{
	Member members[MAX_MEMBERS];
	Rest rest = {text, text + length};
	int count;

	skip_blanks(&rest);
	if (!take_members(&rest, is_array, 1, members, &count))
		return AS_JSON_NOT_PLAIN;
	skip_blanks(&rest);
	if (rest.at != rest.end)
		return AS_JSON_NOT_PLAIN;
	if (unique_names && has_name_twice(members, count))
		return AS_JSON_NOT_PLAIN;

	memcpy(copy, text, length);
	copy[length] = '\0';
	return show(copy, text, members, count, is_array, visit, into)
	           ? AS_JSON_PLAIN
	           : AS_JSON_REFUSED;
}
