/*
 * redact_name.c: whether a text names a function whose arguments or result
 * are secret.
 *
 * The log asks at any moment of a process's life, so the answer needs no
 * catalog, no memory and no error. Names are looked for everywhere, inside
 * literals and comments too, since the body of a DO block and a dynamic
 * statement are literals: a name found too many costs a readable log line,
 * one too few costs a password.
 *
 * One pass, linear in the text's length: what may stand between a name and
 * its parenthesis is looked at for GAP_MAX bytes, and only after a word that
 * could be one.
 */
#include "redact/redact.h"

#define GAP_MAX           256
#define PREPARED_NAME_MAX 63

/*
 * The functions of auth and auth_admin that take or return a password, a
 * code, a token or a key: those that the script marks as secret, from which
 * the build makes this list. The others (auth.uid() in every policy) must not
 * be in it: a statement that names one of these loses its literals.
 */
static const char *const secret_functions[] = {
#include "secret_functions.h"
};

#define SECRET_FUNCTIONS \
	(sizeof(secret_functions) / sizeof(secret_functions[0]))

/* Words that a name, or a token, begins with. */
static const char *const other_words[] = {
    "auth", "auth_admin", "execute", "u", "bearer", "authorization", "otpauth",
};

#define OTHER_WORDS (sizeof(other_words) / sizeof(other_words[0]))

static bool
same_name(const char *name, const char *word, size_t length)
{
	return name[0] == as_text_lower(word[0]) &&
	       strncasecmp(name, word, length) == 0 && name[length] == '\0';
}

/* A word of the text, and how it stands there. */
typedef struct Word
{
	const char *start;
	size_t length;
	const char *schema; /* NULL when not qualified */
	size_t schema_length;
	bool called; /* an opening parenthesis follows */
} Word;

/* A line break or tab as JSON and E'' write it. */
static bool
is_escaped_space(const char *p, const char *end)
{
	return *p == '\\' && p + 1 < end &&
	       (p[1] == 'n' || p[1] == 'r' || p[1] == 't');
}

/*
 * The end of what may stand between two parts of a name, or a name and its
 * parenthesis: white space, comments, and quotes, escaped or not. NULL when
 * it is longer than anybody writes: then anything may follow.
 */
static const char *
skip_gap(const char *p, const char *end)
{
	const char *limit = end - p > GAP_MAX ? p + GAP_MAX : end;

	while (p < limit)
	{
		if (is_escaped_space(p, limit))
			p += 2;
		else if (as_text_is_space(*p) || *p == '"' || *p == '\\')
			p++;
		else if (*p == '-' && p + 1 < limit && p[1] == '-')
		{
			while (p < limit && *p != '\n' && *p != '\r')
				p++;
		}
		else if (*p == '/' && p + 1 < limit && p[1] == '*')
		{
			int depth = 0;

			do
			{
				if (p[0] == '/' && p + 1 < limit && p[1] == '*')
				{
					depth++;
					p += 2;
				}
				else if (p[0] == '*' && p + 1 < limit && p[1] == '/')
				{
					depth--;
					p += 2;
				}
				else
					p++;
			} while (depth > 0 && p < limit);
		}
		else
			return p;
	}
	return p < end ? NULL : end;
}

/*
 * Whether one entry of a list, "name" or "schema.name" in any case and
 * quoting, names the word. A name that one of the two does not qualify
 * matches in any schema.
 */
static bool
entry_matches(const char *entry, const char *end, const Word *word)
{
	const char *p = entry;
	const char *name = NULL;
	size_t length = 0;
	const char *schema = NULL;
	size_t schema_length = 0;

	for (;;)
	{
		const char *gap = p;

		while (p < end && !as_text_is_word(*p))
			p++;
		if (p == end)
			break;
		schema = memchr(gap, '.', (size_t) (p - gap)) != NULL ? name : NULL;
		schema_length = length;
		name = p;
		p = as_text_skip(p, end, as_text_is_word);
		length = (size_t) (p - name);
	}
	return name != NULL && length == word->length &&
	       strncasecmp(name, word->start, length) == 0 &&
	       (schema == NULL || word->schema == NULL ||
	        (schema_length == word->schema_length &&
	         strncasecmp(schema, word->schema, schema_length) == 0));
}

static bool
is_listed(const char *list, const Word *word)
{
	const char *entry = list;

	while (*entry != '\0')
	{
		size_t length = strcspn(entry, ",");

		if (length >= word->length &&
		    entry_matches(entry, entry + length, word))
			return true;
		entry += length;
		entry += *entry == ',';
	}
	return false;
}

static bool
is_own(const Word *word)
{
	bool in_auth = word->schema != NULL &&
	               ((word->schema_length == 4 &&
	                 strncasecmp(word->schema, "auth", 4) == 0) ||
	                (word->schema_length == 10 &&
	                 strncasecmp(word->schema, "auth_admin", 10) == 0));
	size_t i;

	/* Found by search_path only where it is called. */
	if (!in_auth && (word->schema != NULL || !word->called))
		return false;
	for (i = 0; i < SECRET_FUNCTIONS; i++)
		if (same_name(secret_functions[i], word->start, word->length))
			return true;
	return false;
}

/* Whether what EXECUTE names, from p on, was prepared with a secret's name. */
static bool
executes_secret(const char *p, const char *end, const AsTextNames *names)
{
	char name[PREPARED_NAME_MAX + 1];
	size_t length = 0;
	bool quoted = false;
	const char *text;

	p = as_text_skip(p, end, as_text_is_space);
	if (p < end && *p == '"')
	{
		quoted = true;
		p++;
	}
	for (; p < end && length < PREPARED_NAME_MAX; p++)
	{
		if (quoted ? *p == '"' : !as_text_is_word(*p) && *p != '$')
			break;
		name[length++] = quoted ? *p : as_text_lower(*p);
	}
	name[length] = '\0';
	if (length == 0)
		return false;

	text = names->prepared(name);
	if (text != NULL)
	{
		AsTextNames of_text = {.wrappers = names->wrappers, .prepared = NULL};

		return as_text_inspect(text, strlen(text), &of_text) != AS_TEXT_PLAIN;
	}
	return false;
}

/*
 * What a pass over a text looks at: nearly every word is passed over by its
 * first letter and its length.
 */
typedef struct Interest
{
	/* Per first letter, a bit for each length, of the words looked for. */
	uint32_t lengths[26];
} Interest;

/* Classes of characters. */
#define WORD_CHAR       0x01
#define ESCAPE_CHAR     0x02
#define UNDERSCORE_CHAR 0x04 /* in the mark of a token made here */
#define JWT_CHAR        0x08 /* in the mark of a JWT */

static unsigned char classes[256];
static Interest own_interest;

static void
note_word(Interest *interest, const char *word, size_t length)
{
	int letter = as_text_lower(word[0]) - 'a';

	if (letter >= 0 && letter < 26 && length < 32)
		interest->lengths[letter] |= UINT32_C(1) << length;
}

static bool
is_interesting(const Interest *interest, const char *word, size_t length)
{
	int letter = as_text_lower(word[0]) - 'a';

	/* What has no bit is looked at. */
	if (letter < 0 || letter >= 26 || length >= 32)
		return !as_text_is_digit(word[0]);
	return (interest->lengths[letter] & (UINT32_C(1) << length)) != 0;
}

/* Makes the tables at the first use in a process. */
static void
make_tables(void)
{
	size_t i;

	for (i = 0; i < SECRET_FUNCTIONS; i++)
		note_word(&own_interest, secret_functions[i],
		          strlen(secret_functions[i]));
	for (i = 0; i < OTHER_WORDS; i++)
		note_word(&own_interest, other_words[i], strlen(other_words[i]));
	for (i = 0; i < 256; i++)
		if (as_text_is_word((char) i))
			classes[i] = WORD_CHAR;
	classes['\\'] |= ESCAPE_CHAR;
	classes['_'] |= UNDERSCORE_CHAR;
	classes['J'] |= JWT_CHAR;
}

static void
note_wrappers(Interest *interest, const char *list)
{
	while (*list != '\0')
	{
		const char *word = list;

		while (classes[(unsigned char) *list] & WORD_CHAR)
			list++;
		if (list > word)
			note_word(interest, word, (size_t) (list - word));
		else
			list++;
	}
}

/* Whether the word, of the classes seen, holds the mark of a token. */
static bool
holds_token(const char *word, const char *word_end, const char *end, int seen,
            const char **barren)
{
	const char *p;

	if (seen & UNDERSCORE_CHAR)
		for (p = word + 4; p < word_end; p++)
			if (p[0] == '_' && p[-1] == '1' &&
			    as_text_token_at(p - 4, end, barren))
				return true;
	if (seen & JWT_CHAR)
		for (p = word + 2; p < word_end; p++)
			if (p[0] == 'J' && p[-1] == 'y' &&
			    as_text_token_at(p - 2, end, barren))
				return true;
	return false;
}

/*
 * Whether what is before the word says that it belongs to another schema
 * than those looked for.
 */
static bool
is_qualified(const char *text, const char *start)
{
	while (start > text && (start[-1] == '"' || as_text_is_space(start[-1])))
		start--;
	return start > text && start[-1] == '.';
}

/* Whether the word is one that a name can be made of. */
static bool
is_known(const Word *word, const char *wrappers)
{
	const char *entry = wrappers;
	size_t i;

	for (i = 0; i < OTHER_WORDS; i++)
		if (same_name(other_words[i], word->start, word->length))
			return true;
	for (i = 0; i < SECRET_FUNCTIONS; i++)
		if (same_name(secret_functions[i], word->start, word->length))
			return true;
	while (entry != NULL && *entry != '\0')
	{
		const char *end = entry;

		while (classes[(unsigned char) *end] & WORD_CHAR)
			end++;
		if ((size_t) (end - entry) == word->length &&
		    strncasecmp(entry, word->start, word->length) == 0)
			return true;
		entry = end > entry ? end : entry + 1;
	}
	return false;
}

/*
 * Where a secret's name is, or NULL; and in *has_token, so far as the pass
 * went, whether there is a token.
 */
static const char *
find_name(const char *text, size_t length, const AsTextNames *names,
          bool *has_token)
{
	const char *end = text + length;
	const char *p = text;
	const char *barren = text;
	const char *schema = NULL;
	size_t schema_length = 0;
	bool any_wrapper = names->wrappers != NULL && names->wrappers[0] != '\0';
	const Interest *interest = &own_interest;
	Interest with_wrappers;

	*has_token = false;
	if (classes['_'] == 0)
		make_tables();
	if (any_wrapper)
	{
		with_wrappers = own_interest;
		note_wrappers(&with_wrappers, names->wrappers);
		interest = &with_wrappers;
	}

	while (p < end)
	{
		int seen = classes[(unsigned char) *p];
		Word word;
		const char *after;
		const char *next;

		if (!(seen & WORD_CHAR))
		{
			p += (seen & ESCAPE_CHAR) && is_escaped_space(p, end) ? 2 : 1;
			continue;
		}
		word.start = p;
		while (++p < end && (classes[(unsigned char) *p] & WORD_CHAR))
			seen |= classes[(unsigned char) *p];
		word.length = (size_t) (p - word.start);
		word.schema = schema;
		word.schema_length = schema_length;
		schema = NULL;
		if ((seen & ~WORD_CHAR) && !*has_token)
			*has_token = holds_token(word.start, p, end, seen, &barren);
		if (!is_interesting(interest, word.start, word.length))
			continue;
		if (!*has_token)
			*has_token = as_text_token_at(word.start, end, &barren);

		if (!is_known(&word, names->wrappers))
			continue;

		/* The next part of a qualified name, across whatever is between. */
		after = p;
		next = skip_gap(after, end);
		if (next != NULL && next < end && *next == '.')
		{
			const char *part = skip_gap(next + 1, end);

			if (part == NULL)
				return word.start;
			if (part < end && as_text_is_word(*part))
			{
				schema = word.start;
				schema_length = word.length;
				p = part;
			}
		}
		if (next == NULL)
			return word.start;
		word.called = next < end && *next == '(';
		if (word.schema == NULL && is_qualified(text, word.start))
		{
			word.schema = word.start;
			word.schema_length = 0;
		}

		if (is_own(&word))
			return word.start;
		/* A name in Unicode escapes: nobody needs one but to hide. */
		if (word.length == 1 && as_text_lower(*word.start) == 'u' &&
		    after + 1 < end && after[0] == '&' && after[1] == '"')
			return word.start;
		if (names->prepared != NULL &&
		    same_name("execute", word.start, word.length) &&
		    executes_secret(after, end, names))
			return word.start;
		if (any_wrapper && (word.called || word.schema != NULL) &&
		    is_listed(names->wrappers, &word))
			return word.start;
	}
	return NULL;
}

size_t
as_text_name_position(const char *text, size_t length, const AsTextNames *names)
{
	bool has_token;
	const char *name = find_name(text, length, names, &has_token);

	return name == NULL ? length : (size_t) (name - text);
}

AsTextVerdict
as_text_inspect(const char *text, size_t length, const AsTextNames *names)
{
	bool has_token;

	if (find_name(text, length, names, &has_token) != NULL)
		return AS_TEXT_NAMES;
	return has_token ? AS_TEXT_TOKEN : AS_TEXT_PLAIN;
}
