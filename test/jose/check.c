/*
 * check.c: the JOSE tools against vectors.txt, a line each, and the checks of
 * the files beside it. Prints TAP; exit status 0 only when every line passed.
 *
 * Fields are separated by tabs; \xNN stands for a byte. The last field of
 * each line is the assertion's description.
 *
 *   key     NAME JWK                              defines a key
 *   verify  good|bad ALGORITHM KEY TOKEN          signature and header
 *   forge   good|bad ALGORITHM KEY HEADER PAYLOAD signed as it stands, verified
 *   sign    ALGORITHM KEY HEADER PAYLOAD TOKEN    comes out byte for byte
 *   import  good|bad ALGORITHM|- JWK              reads as a key or doesn't
 *   print   KEY THUMBPRINT                        RFC 7638
 *   claims  ok|malformed|expired|early PAYLOAD    at 1000 s, leeway 10 s, issuer
 *                                                 iss, audience aud
 */
#include "check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_KEYS 32
#define MAX_LINE 65536

static int checks = 0;
static int failures = 0;

static struct
{
	char *name;
	char *jwk;
} keys[MAX_KEYS];
static int key_count = 0;

void
check(bool passed, const char *format, ...)
{
	va_list args;

	checks++;
	if (!passed)
		failures++;
	printf("%sok %d - ", passed ? "" : "not ", checks);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

bool
token_is_good(AsKey *key, const char *token, size_t length)
{
	AsJwt jwt;
	AsJwtHeader header;

	return as_jwt_split(token, length, AS_JWT_MAX, &jwt) &&
	       as_jwt_header_read(&jwt, &header) && header.is_jwt &&
	       header.algorithm == as_key_algorithm(key) &&
	       as_jwt_verify(key, &jwt);
}

const char *
token_make(AsKey *key, const char *header, const char *payload,
           size_t payload_length)
{
	static char segment[2 * MAX_LINE];
	static char token[4 * MAX_LINE];
	size_t length = as_base64url_encode(header, strlen(header), segment);

	token[0] = '\0';
	(void) as_jwt_sign(key, segment, length, payload, payload_length, token);
	return token;
}

static void
broken(int line)
{
	fprintf(stderr, "vectors.txt: line %d is no vector\n", line);
	exit(2);
}

/* The text with its \xNN replaced, in place; its length. */
static size_t
unescape(char *text)
{
	char *from = text;
	char *to = text;
	unsigned byte;

	while (*from != '\0')
	{
		if (from[0] == '\\' && from[1] == 'x' &&
		    sscanf(from + 2, "%2x", &byte) == 1)
		{
			*to++ = (char) byte;
			from += 4;
		}
		else
			*to++ = *from++;
	}
	*to = '\0';
	return (size_t) (to - text);
}

static AsAlgorithm
algorithm_named(const char *name)
{
	return as_algorithm_parse(name, strlen(name));
}

static AsKey *
key_named(const char *algorithm, const char *name, int line)
{
	for (int i = 0; i < key_count; i++)
	{
		if (strcmp(keys[i].name, name) == 0)
		{
			AsKey *key = as_key_from_jwk(keys[i].jwk, strlen(keys[i].jwk),
			                             algorithm_named(algorithm), NULL);

			if (key != NULL)
				return key;
		}
	}
	broken(line);
	return NULL;
}

static const char *
verdict_on(const char *payload, size_t length)
{
	static const AsClaimsExpectation expected = {
	    .issuer = "iss", .audience = "aud", .now = 1000, .leeway = 10};
	AsClaims claims;

	if (!as_claims_read(payload, length, &claims))
		return "malformed";
	switch (as_claims_check(&claims, &expected))
	{
		case AS_CLAIMS_OK:
			return "ok";
		case AS_CLAIMS_EXPIRED:
			return "expired";
		case AS_CLAIMS_NOT_YET:
			return "early";
		case AS_CLAIMS_MALFORMED:
			break;
	}
	return "malformed";
}

static void
run_vector(char *fields[], int count, int line)
{
	const char *kind = fields[0];
	const char *says = fields[count - 1];
	AsKey *key = NULL;

	if (strcmp(kind, "key") == 0 && count == 3 && key_count < MAX_KEYS)
	{
		keys[key_count].name = strdup(fields[1]);
		keys[key_count].jwk = strdup(fields[2]);
		key_count++;
	}
	else if (strcmp(kind, "verify") == 0 && count == 6)
	{
		key = key_named(fields[2], fields[3], line);
		check(token_is_good(key, fields[4], unescape(fields[4])) ==
		          (strcmp(fields[1], "good") == 0),
		      "%s", says);
	}
	else if (strcmp(kind, "forge") == 0 && count == 7)
	{
		const char *token;
		size_t length = unescape(fields[5]);

		(void) unescape(fields[4]);
		key = key_named(fields[2], fields[3], line);
		token = token_make(key, fields[4], fields[5], length);
		check(token_is_good(key, token, strlen(token)) ==
		          (strcmp(fields[1], "good") == 0),
		      "%s", says);
	}
	else if (strcmp(kind, "sign") == 0 && count == 7)
	{
		size_t length = unescape(fields[4]);

		(void) unescape(fields[3]);
		key = key_named(fields[1], fields[2], line);
		check(strcmp(token_make(key, fields[3], fields[4], length),
		             fields[5]) == 0,
		      "%s", says);
	}
	else if (strcmp(kind, "import") == 0 && count == 5)
	{
		size_t length = unescape(fields[3]);

		key = as_key_from_jwk(fields[3], length, algorithm_named(fields[2]),
		                      NULL);
		check((key != NULL) == (strcmp(fields[1], "good") == 0), "%s", says);
	}
	else if (strcmp(kind, "print") == 0 && count == 4)
	{
		char thumbprint[AS_THUMBPRINT_CHARS + 1] = "";

		key = key_named("", fields[1], line);
		check(as_key_thumbprint(key, thumbprint) &&
		          strcmp(thumbprint, fields[2]) == 0,
		      "%s", says);
	}
	else if (strcmp(kind, "claims") == 0 && count == 4)
	{
		const char *verdict = verdict_on(fields[2], unescape(fields[2]));

		check(strcmp(verdict, fields[1]) == 0, "%s (%s)", says, verdict);
	}
	else
		broken(line);
	as_key_free(key);
}

int
main(int argc, char **argv)
{
	static char text[MAX_LINE];
	FILE *vectors = argc == 2 ? fopen(argv[1], "r") : NULL;

	if (vectors == NULL)
	{
		fprintf(stderr, "usage: check VECTORS\n");
		return 2;
	}
	for (int line = 1; fgets(text, sizeof(text), vectors) != NULL; line++)
	{
		char *fields[8];
		int count = 0;
		char *rest = text;

		text[strcspn(text, "\n")] = '\0';
		if (text[0] == '#' || text[0] == '\0')
			continue;
		while (count < 8 && (fields[count] = strsep(&rest, "\t")) != NULL)
			count++;
		run_vector(fields, count, line);
	}
	fclose(vectors);
	check_attacks();
	check_base64();
	check_hmac();
	check_tagged();
	check_totp();
	check_plain();
	printf("1..%d\n", checks);
	return failures == 0 ? 0 : 1;
}
