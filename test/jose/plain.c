/*
 * plain.c: JSON is read in two ways, and must mean one thing.
 *
 * Texts that are written plainly are taken by the quick reader; any text that
 * it takes, of many that one or two changed bytes make of good ones, is shown
 * to a visitor as the server's parser shows it.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHANGES 400000
#define ROOM    16384

typedef struct Shown
{
	size_t length;
	char bytes[ROOM];
} Shown;

static void
append(Shown *shown, const void *bytes, size_t length)
{
	if (length > sizeof(shown->bytes) - shown->length)
		abort();
	memcpy(shown->bytes + shown->length, bytes, length);
	shown->length += length;
}

static bool
visit(const AsJsonMember *member, void *into)
{
	append(into, &member->type, sizeof(member->type));
	append(into, &member->name_length, sizeof(member->name_length));
	append(into, &member->length, sizeof(member->length));
	append(into, member->text, member->length);
	if (member->name != NULL)
		append(into, member->name, strlen(member->name) + 1);
	return true;
}

static bool
refuse(const AsJsonMember *member, void *into)
{
	(void) member;
	(void) into;
	return false;
}

static char copy[ROOM];

static AsJsonPlain
read_plain(const char *text, size_t length, bool is_array, bool unique_names,
           Shown *shown)
{
	shown->length = 0;
	return as_json_plain_read(text, length, is_array, unique_names, copy, visit,
	                          shown);
}

/* Whether both readers say the same, where the quick one says anything. */
static bool
agree(const char *text, size_t length, bool is_array, bool unique_names,
      bool mend, bool *is_taken)
{
	static Shown plain;
	static Shown parsed;

	*is_taken = read_plain(text, length, is_array, unique_names, &plain) !=
	            AS_JSON_NOT_PLAIN;
	if (!*is_taken)
		return true;
	parsed.length = 0;
	return as_json_parse(text, length, is_array, unique_names, mend, visit,
	                     &parsed) &&
	       parsed.length == plain.length &&
	       memcmp(parsed.bytes, plain.bytes, plain.length) == 0;
}

static const char *const plain_texts[] = {
    "{}",
    " { } ",
    "{\"a\":1}",
    "{\"a\":-0.5e+7,\"b\":0,\"c\":-1E5,\"\":10.25}\n",
    "\t{ \"a\" : true ,\r\n\"b\":false,\"c\" :null }",
    "{\"iss\":\"auth_session\",\"aud\":[\"a\",\"b\"],\"exp\":1767225600,"
    "\"amr\":[\"pwd\"],\"app\":{\"x\":[1,[2,{\"y\":\"]}\"}]]}}",
    "{\"host\":\"api.example.org\",\"authorization\":\"Bearer a.b.c\","
    "\"accept\":[\"*/*\",\"x\"]}",
};

/* Either no JSON at all, or nothing that stands there as it is meant. */
static const char *const other_texts[] = {
    "",
    "{",
    "1",
    "\"a\"",
    "[1]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{\"a\":1}x",
    "{\"a\":1}{}",
    "{\"a\":01}",
    "{\"a\":-}",
    "{\"a\":1.}",
    "{\"a\":.5}",
    "{\"a\":1e}",
    "{\"a\":+1}",
    "{\"a\":truex}",
    "{\"a\":tru}",
    "{\"a\":nan}",
    "{a:1}",
    "{'a':1}",
    "{\"a\":\"\\n\"}",
    "{\"a\":\"\\u0041\"}",
    "{\"a\":\"\xC3\xA4\"}",
    "{\"a\":\"\xFF\"}",
    "{\"a\":\"\x01\"}",
    "{\"a\":\"b}",
    "{\"a\":[1}",
    "{\"a\":{]}",
    "\xEF\xBB\xBF{}",
};

static void
check_kinds(void)
{
	static Shown shown;
	bool all = true;
	bool is_taken;

	for (size_t i = 0; i < sizeof(plain_texts) / sizeof(*plain_texts); i++)
		all = all &&
		      agree(plain_texts[i], strlen(plain_texts[i]), false, true, false,
		            &is_taken) &&
		      is_taken;
	check(all, "JSON that is written plainly is read quickly");

	all = true;
	for (size_t i = 0; i < sizeof(other_texts) / sizeof(*other_texts); i++)
		all = all &&
		      read_plain(other_texts[i], strlen(other_texts[i]), false, false,
		                 &shown) == AS_JSON_NOT_PLAIN &&
		      shown.length == 0;
	check(all, "all other JSON is left to the parser, and nothing shown of it");
	check(read_plain("{\"a\":1,\"b\":2,\"a\":3}", 19, false, true, &shown) ==
	              AS_JSON_NOT_PLAIN &&
	          shown.length == 0,
	      "so is a name that occurs twice where that is refused (RFC 7519 4)");
	check(read_plain("{\"a\":1,\"a\":3}", 13, false, false, &shown) ==
	          AS_JSON_PLAIN,
	      "and not where it isn't");
	check(as_json_plain_read("{\"a\":1}", 7, false, true, copy, refuse, NULL) ==
	          AS_JSON_REFUSED,
	      "a visit that says no refuses the text");
}

static void
check_bounds(void)
{
	static Shown shown;
	char text[ROOM];
	size_t length = 0;

	memset(text, '[', 33);
	memset(text + 33, ']', 33);
	check(read_plain(text + 1, 64, true, false, &shown) == AS_JSON_PLAIN,
	      "32 levels are read quickly");
	check(read_plain(text, 66, true, false, &shown) == AS_JSON_NOT_PLAIN,
	      "33 are not");
	text[length++] = '[';
	for (int i = 0; i < 64; i++)
		length += (size_t) sprintf(text + length, "%s%d", i ? "," : "", i);
	text[length] = ']';
	check(read_plain(text, length + 1, true, false, &shown) == AS_JSON_PLAIN,
	      "64 members are read quickly");
	length += (size_t) sprintf(text + length, ",64]");
	check(read_plain(text, length, true, false, &shown) == AS_JSON_NOT_PLAIN,
	      "65 are not");
}

/*
 * Characters are looked at eight at a time: what stands beside another must not
 * hide it, nor make it look like one that it isn't.
 */
static void
check_pairs(void)
{
	static const char filled[] = "[\"aaaaaaaaaaaaaaaaaaaa\"]";
	size_t length = strlen(filled);
	char text[sizeof(filled)];
	Shown *shown = malloc(sizeof(*shown));
	bool all = shown != NULL;

	memcpy(text, filled, sizeof(filled));
	for (size_t at = 2; at < 12 && all; at++)
	{
		for (unsigned pair = 0; pair < 0x10000 && all; pair++)
		{
			unsigned char a = (unsigned char) (pair >> 8);
			unsigned char b = (unsigned char) pair;
			bool is_plain = a >= 0x20 && a < 0x80 && a != '"' && a != '\\' &&
			                b >= 0x20 && b < 0x80 && b != '"' && b != '\\';

			text[at] = (char) a;
			text[at + 1] = (char) b;
			all = (read_plain(text, length, true, false, shown) ==
			       AS_JSON_PLAIN) == is_plain;
		}
		text[at] = 'a';
	}
	free(shown);
	check(all, "any two characters side by side, anywhere, are what they are");
}

/* A generator of its own, so that every run is the same. */
static uint32_t
next(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

static void
check_changed(void)
{
	static const char alphabet[] =
	    "{}[]\",:\\ \n\t019-+.eEtrufalsn\x01\x7F\xC3";
	uint32_t state = 1;
	int taken = 0;

	for (int i = 0; i < CHANGES; i++)
	{
		const char *from = plain_texts[(size_t) i % (sizeof(plain_texts) /
		                                             sizeof(*plain_texts))];
		size_t length = strlen(from);
		char text[ROOM];
		bool is_taken;

		memcpy(text, from, length + 1);
		for (uint32_t n = next(&state) % 3; n > 0; n--)
			text[next(&state) % length] =
			    alphabet[next(&state) % (sizeof(alphabet) - 1)];
		if (!agree(text, length, next(&state) % 8 == 0, next(&state) % 2,
		           next(&state) % 2, &is_taken))
		{
			check(false, "two readers, one meaning: %s", text);
			return;
		}
		taken += is_taken;
	}
	check(taken > CHANGES / 10 && taken < CHANGES,
	      "of %d changed texts the quick reader takes %d, as the parser does",
	      CHANGES, taken);
}

void
check_plain(void)
{
	check_kinds();
	check_bounds();
	check_pairs();
	check_changed();
}
