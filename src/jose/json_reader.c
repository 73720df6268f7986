/*
 * json_reader.c: members of a JSON object, by the server's own parser, where
 * they are not written plainly enough for json_plain.c.
 *
 * The server's parser is sound but meant for a caller who may raise: it
 * recurses as deep as the text nests, and turns \u escapes into the
 * database's encoding, which some encodings can't do. So a scan comes first
 * that bounds length and depth, insists on UTF-8, and replaces every escape
 * beyond ASCII by the character it stands for: a lone surrogate and \u0000
 * are refused here, or mended where that is asked for, and the parser sees
 * nothing that it would convert.
 *
 * Builds against the server, and with FRONTEND against libpgcommon. What was
 * read is zeroed: it may have been a key.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "common/jsonapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "jose/jose.h"

/* The most members whose names are kept to be compared. */
#define MAX_NAMES 256

/* Stands for what is no character, where that is mended. */
#define MENDED '?'

/* A callback answers from 16 on; the context's memory has an end from 17. */
#if PG_VERSION_NUM >= 160000
#define CALLBACK JsonParseErrorType
#define GO_ON    return JSON_SUCCESS
#else
#define CALLBACK void
#define GO_ON    return
#endif

typedef struct Reader
{
	JsonLexContext *lex;
	AsJsonVisit visit;
	void *into;
	bool is_array; /* what the outermost value has to be */
	bool unique_names;
	bool mend;
	bool failed;

	/* The member that is being read, of the outermost value. */
	const char *start;
	AsJsonType type;
	char *scalar;

	int name_count;
	char *names[MAX_NAMES];
} Reader;

/*
 * Whether the text is UTF-8 without a NUL and nests no deeper than
 * AS_JSON_DEPTH_MAX; and whether there is a \u in it. Brackets in strings don't
 * count; whether they match is the parser's to say.
 */
static bool
scan(const char *text, size_t length, bool *has_escape)
{
	bool in_string = false;
	int depth = 0;

	*has_escape = false;
	if (pg_encoding_verifymbstr(PG_UTF8, text, (int) length) != (int) length)
		return false;
	for (size_t i = 0; i < length; i++)
	{
		char c = text[i];

		if (in_string)
		{
			if (c == '\\')
			{
				i++;
				if (i < length && text[i] == 'u')
					*has_escape = true;
			}
			else if (c == '"')
				in_string = false;
		}
		else if (c == '"')
			in_string = true;
		else if (c == '{' || c == '[')
		{
			if (++depth > AS_JSON_DEPTH_MAX)
				return false;
		}
		else if (c == '}' || c == ']')
			depth--;
	}
	return true;
}

static bool
read_hex4(const char *text, size_t left, uint32_t *out)
{
	uint32_t value = 0;

	if (left < 4)
		return false;
	for (int i = 0; i < 4; i++)
	{
		char c = text[i];

		value <<= 4;
		if (c >= '0' && c <= '9')
			value |= (uint32_t) (c - '0');
		else if (c >= 'a' && c <= 'f')
			value |= (uint32_t) (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			value |= (uint32_t) (c - 'A' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

static size_t
put_utf8(uint32_t character, char *out)
{
	unicode_to_utf8((pg_wchar) character, (unsigned char *) out);
	return (size_t) pg_utf_mblen((unsigned char *) out);
}

/*
 * The character of the \uXXXX at *i, which moves behind it, and behind its
 * other half where it is the first of a surrogate pair. False where a text may
 * have no such character: NUL, half a pair.
 */
static bool
take_escape(const char *text, size_t length, size_t *i, uint32_t *character)
{
	uint32_t low;

	*i += 6;
	if (*character == 0 || (*character >= 0xDC00 && *character <= 0xDFFF))
		return false;
	if (*character < 0xD800 || *character > 0xDBFF)
		return true;
	if (length - *i < 6 || text[*i] != '\\' || text[*i + 1] != 'u' ||
	    !read_hex4(text + *i + 2, 4, &low) || low < 0xDC00 || low > 0xDFFF)
		return false;
	*character = 0x10000 + ((*character - 0xD800) << 10) + (low - 0xDC00);
	*i += 6;
	return true;
}

/*
 * Copies the text with every \uXXXX of at least 0x80 as UTF-8, a surrogate
 * pair as one character. The result is never longer than the text. False
 * for no four hex digits; for \u0000 and half a pair, too, unless such are to
 * be mended.
 */
static bool
replace_escapes(const char *text, size_t length, bool mend, char *out,
                size_t *out_length)
{
	size_t n = 0;
	size_t i = 0;

	while (i < length)
	{
		uint32_t character;

		if (text[i] != '\\' || i + 1 >= length)
		{
			out[n++] = text[i++];
			continue;
		}
		if (text[i + 1] != 'u')
		{
			out[n++] = text[i++];
			out[n++] = text[i++];
			continue;
		}
		if (!read_hex4(text + i + 2, length - i - 2, &character))
			return false;
		if (character > 0 && character < 0x80)
		{
			/* May be a quote or a control character: leave it escaped. */
			memcpy(out + n, text + i, 6);
			n += 6;
			i += 6;
			continue;
		}
		if (take_escape(text, length, &i, &character))
			n += put_utf8(character, out + n);
		else if (mend)
			out[n++] = MENDED;
		else
			return false;
	}
	*out_length = n;
	return true;
}

/* The outermost value must be of the kind asked for. */
static CALLBACK
on_object_start(void *state)
{
	Reader *reader = state;

	if (reader->lex->lex_level == 0 && reader->is_array)
		reader->failed = true;
	GO_ON;
}

static CALLBACK
on_array_start(void *state)
{
	Reader *reader = state;

	if (reader->lex->lex_level == 0 && !reader->is_array)
		reader->failed = true;
	GO_ON;
}

/* What was read may have been a key. */
static void
free_text(char *text)
{
	if (text == NULL)
		return;
	as_wipe(text, strlen(text));
	pfree(text);
}

/* A token is ours to free. */
static CALLBACK
on_scalar(void *state, char *token, JsonTokenType type)
{
	Reader *reader = state;

	(void) type;
	if (reader->lex->lex_level == 0)
		reader->failed = true;
	if (reader->lex->lex_level == 1 && !reader->failed)
	{
		free_text(reader->scalar);
		reader->scalar = token;
	}
	else
		free_text(token);
	GO_ON;
}

/* Notes where the value of a member begins, and of what type it is. */
static void
begin_member(Reader *reader)
{
	reader->start = reader->lex->token_start;
	switch (reader->lex->token_type)
	{
		case JSON_TOKEN_STRING:
			reader->type = AS_JSON_STRING;
			break;
		case JSON_TOKEN_NUMBER:
			reader->type = AS_JSON_NUMBER;
			break;
		case JSON_TOKEN_TRUE:
			reader->type = AS_JSON_TRUE;
			break;
		case JSON_TOKEN_FALSE:
			reader->type = AS_JSON_FALSE;
			break;
		case JSON_TOKEN_NULL:
			reader->type = AS_JSON_NULL;
			break;
		case JSON_TOKEN_ARRAY_START:
			reader->type = AS_JSON_ARRAY;
			break;
		case JSON_TOKEN_OBJECT_START:
			reader->type = AS_JSON_OBJECT;
			break;
		default:
			/* The parser will refuse it. */
			reader->failed = true;
			break;
	}
}

static CALLBACK
on_field_start(void *state, char *name, bool is_null)
{
	Reader *reader = state;

	(void) name;
	(void) is_null;
	if (reader->lex->lex_level == 1)
		begin_member(reader);
	GO_ON;
}

/* Keeps a name that hasn't occurred; otherwise the read has failed. */
static bool
is_new_name(Reader *reader, char *name)
{
	for (int i = 0; i < reader->name_count; i++)
	{
		if (strcmp(reader->names[i], name) == 0)
		{
			reader->failed = true;
			return false;
		}
	}
	if (reader->name_count == MAX_NAMES)
	{
		reader->failed = true;
		return false;
	}
	reader->names[reader->name_count++] = name;
	return true;
}

/* Shows a member to the visitor. Takes the name. */
static void
finish_member(Reader *reader, char *name)
{
	AsJsonMember member;

	if (!reader->failed)
	{
		member.name = name;
		member.name_length = name == NULL ? 0 : strlen(name);
		member.type = reader->type;
		if (reader->type == AS_JSON_ARRAY || reader->type == AS_JSON_OBJECT)
		{
			member.text = reader->start;
			member.length =
			    (size_t) (reader->lex->prev_token_terminator - reader->start);
		}
		else
		{
			member.text = reader->scalar;
			member.length = strlen(reader->scalar);
		}
		if (!reader->visit(&member, reader->into))
			reader->failed = true;
	}
	free_text(reader->scalar);
	reader->scalar = NULL;
	if (!reader->unique_names || reader->failed || !is_new_name(reader, name))
		free_text(name);
}

/* The name is ours to free. */
static CALLBACK
on_field_end(void *state, char *name, bool is_null)
{
	Reader *reader = state;

	(void) is_null;
	if (reader->lex->lex_level == 1)
		finish_member(reader, name);
	else
		free_text(name);
	GO_ON;
}

static CALLBACK
on_element_start(void *state, bool is_null)
{
	Reader *reader = state;

	(void) is_null;
	if (reader->lex->lex_level == 1)
		begin_member(reader);
	GO_ON;
}

static CALLBACK
on_element_end(void *state, bool is_null)
{
	Reader *reader = state;

	(void) is_null;
	if (reader->lex->lex_level == 1)
		finish_member(reader, NULL);
	GO_ON;
}

/* Runs the parser over a scanned text. */
static bool
parse(Reader *reader, const char *text, size_t length)
{
	JsonSemAction actions = {0};
	bool ok;

	reader->failed = false;
	reader->start = NULL;
	reader->scalar = NULL;
	reader->name_count = 0;
#if PG_VERSION_NUM >= 170000
	reader->lex =
	    makeJsonLexContextCstringLen(NULL, text, length, PG_UTF8, true);
#else
	reader->lex = makeJsonLexContextCstringLen(unconstify(char *, text),
	                                           (int) length, PG_UTF8, true);
#endif

	actions.semstate = reader;
	actions.object_start = on_object_start;
	actions.array_start = on_array_start;
	actions.scalar = on_scalar;
	actions.object_field_start = on_field_start;
	actions.object_field_end = on_field_end;
	actions.array_element_start = on_element_start;
	actions.array_element_end = on_element_end;
	ok =
	    pg_parse_json(reader->lex, &actions) == JSON_SUCCESS && !reader->failed;

	as_wipe(reader->lex->strval->data, (size_t) reader->lex->strval->maxlen);
#if PG_VERSION_NUM >= 170000
	freeJsonLexContext(reader->lex);
#else
	pfree(reader->lex->strval->data);
	pfree(reader->lex->strval);
	pfree(reader->lex);
#endif
	for (int i = 0; i < reader->name_count; i++)
		pfree(reader->names[i]);
	free_text(reader->scalar);
	return ok;
}

/* Overwrites each byte that is part of no UTF-8 character. */
static void
mend_utf8(char *text, size_t length)
{
	size_t i = 0;

	while (i < length)
	{
		int taken =
		    pg_encoding_verifymbchar(PG_UTF8, text + i, (int) (length - i));

		if (taken > 0)
			i += (size_t) taken;
		else
			text[i++] = MENDED;
	}
}

static bool
read_characters(Reader *reader, const char *text, size_t length)
{
	bool has_escape;
	char *copy;
	bool ok;

	if (!scan(text, length, &has_escape))
		return false;
	if (!has_escape)
		return parse(reader, text, length);

	copy = palloc(length + 1);
	ok = replace_escapes(text, length, reader->mend, copy, &length);
	if (ok)
	{
		copy[length] = '\0';
		ok = parse(reader, copy, length);
	}
	as_wipe(copy, length);
	pfree(copy);
	return ok;
}

static bool
read_any(Reader *reader, const char *text, size_t length)
{
	char *copy;
	bool ok;

	if (!reader->mend ||
	    pg_encoding_verifymbstr(PG_UTF8, text, (int) length) == (int) length)
		return read_characters(reader, text, length);

	copy = palloc(length + 1);
	memcpy(copy, text, length);
	copy[length] = '\0';
	mend_utf8(copy, length);
	ok = read_characters(reader, copy, length);
	as_wipe(copy, length);
	pfree(copy);
	return ok;
}

bool
as_json_parse(const char *text, size_t length, bool is_array, bool unique_names,
              bool mend, AsJsonVisit visit, void *into)
{
	Reader reader;

	reader.is_array = is_array;
	reader.unique_names = unique_names;
	reader.mend = mend;
	reader.visit = visit;
	reader.into = into;
	return read_any(&reader, text, length);
}

/* By the parser only where the text is not plain. */
static bool
read_value(const char *text, size_t length, size_t max_length, bool is_array,
           bool unique_names, bool mend, AsJsonVisit visit, void *into)
{
	AsJsonPlain plain;
	char *copy;

	if (length > max_length || length > PG_INT32_MAX / 2)
		return false;
	copy = palloc(length + 1);
	plain = as_json_plain_read(text, length, is_array, unique_names, copy,
	                           visit, into);
	as_wipe(copy, length);
	pfree(copy);
	if (plain != AS_JSON_NOT_PLAIN)
		return plain == AS_JSON_PLAIN;
	return as_json_parse(text, length, is_array, unique_names, mend, visit,
	                     into);
}

bool
as_json_read_object(const char *text, size_t length, size_t max_length,
                    bool unique_names, AsJsonVisit visit, void *into)
{
	return read_value(text, length, max_length, false, unique_names, false,
	                  visit, into);
}

bool
as_json_read_mended(const char *text, size_t length, size_t max_length,
                    AsJsonVisit visit, void *into)
{
	return read_value(text, length, max_length, false, false, true, visit,
	                  into);
}

bool
as_json_read_array(const char *text, size_t length, size_t max_length,
                   AsJsonVisit visit, void *into)
{
	return read_value(text, length, max_length, true, false, false, visit,
	                  into);
}
