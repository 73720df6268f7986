/*
 * word_list.c: lists of words, as settings have them, and language tags.
 */
#include "tool/tool.h"

#include <string.h>

/* Tags are this long at most (RFC 5646, section 4.4.1). */
#define LANGUAGE_MAX 35
#define SUBTAG_MAX   8

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool
as_word_is_in(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*(list += strspn(list, ", ")) != '\0')
	{
		size_t n = strcspn(list, ", ");

		if (n == length && memcmp(list, word, n) == 0)
			return true;
		list += n;
	}
	return false;
}

bool
as_is_language(const char *text)
{
	size_t n = strspn(text, LETTERS);

	if (n < 2 || n > SUBTAG_MAX || strlen(text) > LANGUAGE_MAX)
		return false;
	while (*(text += n) == '-')
	{
		text++;
		n = strspn(text, LETTERS "0123456789");
		if (n < 1 || n > SUBTAG_MAX)
			return false;
	}
	return *text == '\0';
}
