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
 * How many of eight characters are plain before the first that isn't. That one
 * has its highest bit, or is too small for one of the subtractions and gets it;
 * nothing is borrowed from those before it, the less significant ones.
 */
static inline unsigned
count_plain(const char *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	if (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)
		word = __builtin_bswap64(word);
	word = (word | (word - ALL(0x20)) | ((word ^ ALL('"')) - ALL(1)) |
	        ((word ^ ALL('\\')) - ALL(1))) &
	       HIGHEST;
	return word == 0 ? 8 : (unsigned) __builtin_ctzll(word) / 8;
}

/* RFC 8259 section 7, of unescaped ASCII; behind the opening quote. */
static bool
take_string(Rest *rest, const char **text, size_t *length)
{
	const char *at = rest->at;
	unsigned plain = 8;

	while (plain == 8 && rest->end - at >= 8)
	{
		plain = count_plain(at);
		at += plain;
	}
	while (at < rest->end && is_plain((unsigned char) *at))
		at++;
	*text = rest->at;
	*length = (size_t) (at - rest->at);
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

static bool take_members(Rest *rest, bool is_array, int depth,
                         AsJsonMember *members, int *count);

static bool
take_container(Rest *rest, AsJsonType type, int depth)
{
	return depth < AS_JSON_DEPTH_MAX &&
	       take_members(rest, type == AS_JSON_ARRAY, depth + 1, NULL, NULL);
}

/* Any value, inside of depth containers. */
static bool
take_value(Rest *rest, int depth, AsJsonMember *out)
{
	bool ok;

	out->text = rest->at;
	if (rest->at == rest->end)
		return false;
	switch (*rest->at)
	{
		case '"':
			rest->at++;
			out->type = AS_JSON_STRING;
			return take_string(rest, &out->text, &out->length);
		case '{':
			out->type = AS_JSON_OBJECT;
			ok = take_container(rest, out->type, depth);
			break;
		case '[':
			out->type = AS_JSON_ARRAY;
			ok = take_container(rest, out->type, depth);
			break;
		case 't':
			out->type = AS_JSON_TRUE;
			ok = take_word(rest, "true") && is_at_end_of_value(rest);
			break;
		case 'f':
			out->type = AS_JSON_FALSE;
			ok = take_word(rest, "false") && is_at_end_of_value(rest);
			break;
		case 'n':
			out->type = AS_JSON_NULL;
			ok = take_word(rest, "null") && is_at_end_of_value(rest);
			break;
		default:
			out->type = AS_JSON_NUMBER;
			ok = take_number(rest) && is_at_end_of_value(rest);
			break;
	}
	out->length = (size_t) (rest->at - out->text);
	return ok;
}

static bool
take_name(Rest *rest, AsJsonMember *out)
{
	if (!take(rest, '"') || !take_string(rest, &out->name, &out->name_length))
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
take_members(Rest *rest, bool is_array, int depth, AsJsonMember *members,
             int *count)
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
			AsJsonMember unwanted;
			AsJsonMember *member = members == NULL ? &unwanted : &members[n];

			if (members != NULL && n++ == AS_JSON_PLAIN_MEMBERS)
				return false;
			skip_blanks(rest);
			member->name = NULL;
			member->name_length = 0;
			if ((!is_array && !take_name(rest, member)) ||
			    !take_value(rest, depth, member))
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

/* As jsonb has its keys: shorter ones first. */
static bool
is_in_order(const AsJsonMember *first, const AsJsonMember *second)
{
	return first->name_length < second->name_length ||
	       (first->name_length == second->name_length &&
	        memcmp(first->name, second->name, first->name_length) < 0);
}

static bool
is_same_name(const AsJsonMember *a, const AsJsonMember *b)
{
	return a->name_length == b->name_length &&
	       memcmp(a->name, b->name, a->name_length) == 0;
}

/* Names in order, as in the tokens that are made here, are distinct. */
static bool
has_name_twice(const AsJsonMember *members, int count)
{
	bool in_order = true;

	for (int i = 1; i < count; i++)
	{
		in_order = in_order && is_in_order(&members[i - 1], &members[i]);
		for (int j = 0; !in_order && j < i; j++)
			if (is_same_name(&members[i], &members[j]))
				return true;
	}
	return false;
}

/* Every name and scalar has a character behind it that nobody needs now. */
static void
end_texts(char *copy, const AsJsonMember *members, int count)
{
	for (int i = 0; i < count; i++)
	{
		const AsJsonMember *member = &members[i];

		if (member->name != NULL)
			copy[member->name + member->name_length - copy] = '\0';
		if (member->type != AS_JSON_ARRAY && member->type != AS_JSON_OBJECT)
			copy[member->text + member->length - copy] = '\0';
	}
}

int
as_json_plain_list(const char *text, size_t length, bool is_array,
                   bool unique_names, char *copy,
                   AsJsonMember members[AS_JSON_PLAIN_MEMBERS])
{
	Rest rest = {copy, copy + length};
	int count;

	memcpy(copy, text, length);
	copy[length] = '\0';
	skip_blanks(&rest);
	if (!take_members(&rest, is_array, 1, members, &count))
		return -1;
	skip_blanks(&rest);
	if (rest.at != rest.end)
		return -1;
	if (unique_names && !is_array && has_name_twice(members, count))
		return -1;
	end_texts(copy, members, count);
	return count;
}

AsJsonPlain
as_json_plain_read(const char *text, size_t length, bool is_array,
                   bool unique_names, char *copy, AsJsonVisit visit, void *into)
{
	AsJsonMember members[AS_JSON_PLAIN_MEMBERS];
	int count =
	    as_json_plain_list(text, length, is_array, unique_names, copy, members);

	if (count < 0)
		return AS_JSON_NOT_PLAIN;
	for (int i = 0; i < count; i++)
		if (!visit(&members[i], into))
			return AS_JSON_REFUSED;
	return AS_JSON_PLAIN;
}
