/*
 * redact.c: the tools that mask secrets in a text, against texts nobody
 * thought of. By libFuzzer (make fuzz), or by a random number generator with
 * a program of its own (FUZZ_MAIN; test/t/redact_text.pl runs it).
 *
 * Half of the input is taken as it is: nothing may be read or written beyond
 * it, and a masked text never grows. The other half chooses the pieces of a
 * statement, of which it is known what is a literal: each literal holds a
 * secret, which must be gone, and each name a mark, which must still be
 * there; and a function that is called somewhere in it must be found.
 */
#include "redact/redact.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 65536
#define SECRET   "hidden"
#define MARK     "shown"

typedef struct Input
{
	const uint8_t *p;
	const uint8_t *end;
} Input;

typedef struct Text
{
	char bytes[TEXT_MAX];
	size_t length;
} Text;

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned
choose(Input *input, unsigned most)
{
	return input->p < input->end ? *input->p++ % most : 0;
}

static void
add(Text *text, const char *piece)
{
	size_t length = strlen(piece);

	if (text->length + length < TEXT_MAX)
	{
		memcpy(text->bytes + text->length, piece, length);
		text->length += length;
	}
}

/* Characters that mean something to a lexer, none of them the excluded. */
static void
add_noise(Text *text, Input *input, const char *excluded)
{
	static const char noise[] = "'\"$$--/**/\\\n;(),.a1_ \xc3\xa9";
	unsigned count = choose(input, 6);
	size_t from = text->length;

	while (count-- > 0)
	{
		char c[2] = {noise[choose(input, sizeof(noise) - 1)], '\0'};

		if (strchr(excluded, c[0]) == NULL)
			add(text, c);
	}
	/* Not by two pieces of noise either. */
	for (; from + 1 < text->length; from++)
		if ((text->bytes[from] == '*' && text->bytes[from + 1] == '/') ||
		    (text->bytes[from] == '/' && text->bytes[from + 1] == '*'))
			text->bytes[from] = ' ';
}

/* A statement's piece; counts the marks that must survive. */
static void
add_piece(Text *text, Input *input, int *marks)
{
	static const char *const quotes[] = {"$$", "$a$", "$\xc3\xa9_1$"};
	const char *quote;

	switch (choose(input, 11))
	{
		case 0: /* a backslash before the quote hides the rest, by design */
			add(text, "'");
			add_noise(text, input, "'\\");
			add(text, SECRET);
			add_noise(text, input, "'\\");
			add(text, "'");
			break;
		case 1:
			add(text, "N'''" SECRET "'''''");
			break;
		case 2:
			add(text, choose(input, 2) ? "E'\\'" SECRET : "e'\\\\''" SECRET);
			add_noise(text, input, "'\\");
			add(text, "\\'" SECRET "'");
			break;
		case 3:
			add(text, "U&'\\0041" SECRET "' UESCAPE '!'");
			break;
		case 4:
			quote = quotes[choose(input, 3)];
			add(text, quote);
			add_noise(text, input, "$");
			add(text, SECRET);
			add_noise(text, input, "$");
			add(text, quote);
			break;
		case 5:
			add(text, "/*");
			add_noise(text, input, "*/");
			add(text, "/* it's " SECRET " */");
			add_noise(text, input, "*/");
			add(text, "*/");
			break;
		case 6:
			add(text, "--");
			add_noise(text, input, "\n");
			add(text, SECRET "\n");
			break;
		case 7:
			add(text, "\"");
			add_noise(text, input, "\"");
			add(text, MARK "\"\"\"");
			add(text, " AS " MARK);
			*marks += 2;
			break;
		case 8:
			add(text, MARK "$1$ ");
			*marks += 1;
			break;
		case 9:
			add(text, "$1$2 ");
			break;
		default:
			add(text, choose(input, 2) ? "12 + " : "x.y(");
			break;
	}
	add(text, choose(input, 4) ? " " : ", ");
}

static int
occurrences(const Text *text, const char *word)
{
	size_t length = strlen(word);
	int count = 0;

	for (size_t i = 0; i + length <= text->length; i++)
		count += memcmp(text->bytes + i, word, length) == 0;
	return count;
}

static void
require(bool condition, const char *what, const Text *text)
{
	if (condition)
		return;
	fprintf(stderr, "%s: %.*s\n", what, (int) text->length, text->bytes);
	abort();
}

static void
try_statement(Input *input)
{
	static const char *const calls[] = {
	    "auth.signin(",       "AUTH . \"signin\"\n(",
	    "auth/* ' */.signin", "signin --\n(",
	    "U&\"x\"(",           "app.login ("};
	static const char *const others[] = {"auth.uid(", "signins(", "app.signin(",
	                                     "zap.login("};
	static Text text;
	static Text masked;
	AsTextNames names = {.wrappers = "x.\"y z\", app.login"};
	bool is_secret = choose(input, 2);
	int marks = 0;

	text.length = 0;
	while (input->p < input->end && text.length < TEXT_MAX - 1024)
		add_piece(&text, input, &marks);

	memcpy(&masked, &text, sizeof(text));
	masked.length = as_text_mask_literals(masked.bytes, text.length, false);
	require(masked.length <= text.length, "grew", &text);
	require(occurrences(&masked, SECRET) == 0, "shows a secret", &text);
	require(occurrences(&masked, MARK) == marks, "hides a name", &text);

	memcpy(&masked, &text, sizeof(text));
	masked.length = as_text_mask_literals(masked.bytes, text.length, true);
	require(masked.length == text.length, "changed its length", &text);
	require(occurrences(&masked, SECRET) == 0, "shows a secret", &text);
	require(occurrences(&masked, MARK) == marks, "hides a name", &text);

	add(&text, " ");
	add(&text, is_secret ? calls[choose(input, 6)] : others[choose(input, 4)]);
	add(&text, "'a', 'b')");
	require((as_text_inspect(text.bytes, text.length, &names) ==
	         AS_TEXT_NAMES) == is_secret,
	        is_secret ? "misses a name" : "sees a name", &text);
}

/* In memory of exactly its size, so that a sanitizer sees one byte more. */
static void
try_bytes(Input *input)
{
	size_t length = (size_t) (input->end - input->p);
	AsTextNames names = {.wrappers = "a.b,\"c\""};
	static const uint8_t nothing[1];

	for (int how = 0; how < 6; how++)
	{
		char *text = malloc(length);
		size_t masked = length;

		memcpy(text, length > 0 ? input->p : nothing, length);
		if (how == 0)
			(void) as_text_inspect(text, length, &names);
		else if (how == 1)
			masked = as_text_mask_tokens(text, length, false);
		else if (how == 2)
			masked = as_text_mask_prose(text, length);
		else if (how == 3)
			masked = as_text_mask_values(text, length);
		else
			masked = as_text_mask_literals(text, length, how == 4);
		if (masked > length || (how == 4 && masked != length))
			abort();
		if (how == 1 && as_text_inspect(text, masked, &names) == AS_TEXT_TOKEN)
			abort();
		free(text);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input input = {data, data + size};

	if (choose(&input, 2))
		try_statement(&input);
	else
		try_bytes(&input);
	return 0;
}

#ifdef FUZZ_MAIN
int
main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 1000;

	srand(argc > 2 ? (unsigned) atol(argv[2]) : 1);
	for (long i = 0; i < count; i++)
	{
		static const char likely[] = "'\"$-/*\\eEuU&@authsignin.(){} asr1_eyJ.";
		uint8_t data[256];
		size_t size = (size_t) rand() % sizeof(data);

		for (size_t j = 0; j < size; j++)
			data[j] =
			    (uint8_t) (rand() % 4
			                   ? likely[(size_t) rand() % (sizeof(likely) - 1)]
			                   : rand());
		(void) LLVMFuzzerTestOneInput(data, size);
	}
	printf("%ld texts\n", count);
	return 0;
}
#endif
