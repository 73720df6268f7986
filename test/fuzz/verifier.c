/*
 * verifier.c: libFuzzer on everything that reads a stranger's token, key or
 * stored secret.
 *
 * The first byte chooses what the rest is: a whole token, or, so that the
 * fuzzer gets behind base64 and signatures, a header, a payload, a key, a
 * sealed secret, the URL of a site or a password hash. What the tools promise is asserted: a
 * token that verifies under a key that nobody gave away was made by us.
 */
#include "jose/jose.h"
#include "memory.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define ALGORITHMS 6
#define INPUT_MAX  20000

static AsKey *keys[ALGORITHMS + 1];
static char token[4 * INPUT_MAX];

extern int LLVMFuzzerInitialize(int *argc, char ***argv);
extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
verify_with_all(const char *text, size_t length)
{
	AsJwt jwt;
	AsJwtHeader header;
	AsClaims claims;
	AsClaimsExpectation expected = {
	    .issuer = "iss", .audience = "aud", .now = 1000};
	char payload[AS_JWT_MAX + 1];
	size_t payload_length;

	if (!as_jwt_split(text, length, AS_JWT_MAX, &jwt))
		return;
	(void) as_jwt_header_read(&jwt, &header);
	for (int i = 1; i <= ALGORITHMS; i++)
	{
		if (as_jwt_verify(keys[i], &jwt))
			abort();
	}
	if (as_jwt_payload(&jwt, payload, sizeof(payload), &payload_length) &&
	    as_claims_read(payload, payload_length, &claims))
		(void) as_claims_check(&claims, &expected);
}

/* The texts under a tag, which have no parts: nobody has their key. */
static void
parse_tagged(const char *text, size_t length)
{
	static AsMacKey key;
	AsRefreshToken refresh;
	AsUuid user_id;
	AsUuid code_id;

	if (sodium_is_zero(key.bytes, sizeof(key.bytes)))
		randombytes_buf(key.bytes, sizeof(key.bytes));
	if (as_refresh_token_parse(text, length, &key, &refresh) ||
	    as_link_token_parse(text, length, &key, &user_id, &code_id))
		abort();
}

/* A URL that is taken can be put before a path, in a mail and in a header. */
static void
read_site_url(const char *text, size_t length)
{
	char *url = memcpy(palloc(length + 1), text, length);

	url[length] = '\0';
	if (as_site_url_is_sound(url) && strpbrk(url, "?#<>\" \r\n\\") != NULL)
		abort();
}

/* A token of ours with the input as a part: it verifies, whatever that is. */
static void
verify_own(const char *header, size_t header_length, const char *payload,
           size_t payload_length)
{
	char segment[AS_BASE64URL_ROOM(INPUT_MAX)];
	size_t segment_length;
	size_t length;
	AsJwt jwt;
	AsJwtHeader read;
	AsClaims claims;

	if (header_length == 0 || payload_length == 0)
		return;
	segment_length = as_base64url_encode(header, header_length, segment);
	length = as_jwt_sign(keys[AS_HS256], segment, segment_length, payload,
	                     payload_length, token);
	if (!as_jwt_split(token, length, AS_JWT_MAX, &jwt))
		return;
	(void) as_jwt_header_read(&jwt, &read);
	if (!as_jwt_verify(keys[AS_HS256], &jwt))
		abort();
	(void) as_claims_read(payload, payload_length, &claims);
}

static void
read_key(const char *text, size_t length)
{
	char kid[AS_KID_MAX + 1];
	char jwk[AS_PUBLIC_JWK_MAX];
	uint8_t signature[AS_SIGNATURE_MAX];
	AsKey *key;
	size_t signature_length;
	size_t jwk_length;

	(void) as_key_text_is_key(text, length);
	for (int i = 0; i <= ALGORITHMS; i++)
	{
		key = as_key_from_jwk(text, length, (AsAlgorithm) i, kid);
		if (key == NULL && i != AS_ALGORITHM_NONE)
			key = as_key_from_pem(text, length, (AsAlgorithm) i);
		if (key == NULL)
			continue;
		if (as_key_is_private(key))
		{
			signature_length = as_key_sign(key, "x", 1, signature);
			if (signature_length == 0 ||
			    !as_key_verify(key, "x", 1, signature, signature_length))
				abort();
		}

		/* A public part that is written is read again. */
		jwk_length = as_key_public_jwk(key, "kid", jwk);
		if (jwk_length > 0)
		{
			AsKey *again =
			    as_key_from_jwk(jwk, jwk_length, as_key_algorithm(key), NULL);

			if (again == NULL)
				abort();
			as_key_free(again);
		}
		as_key_free(key);
	}
}

/* Members as they were shown, one after the other. */
typedef struct Shown
{
	size_t length;
	char bytes[8 * INPUT_MAX];
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
visit_member(const AsJsonMember *member, void *into)
{
	append(into, &member->type, sizeof(member->type));
	append(into, &member->name_length, sizeof(member->name_length));
	append(into, &member->length, sizeof(member->length));
	append(into, member->text, member->length);
	if (member->name != NULL)
		append(into, member->name, strlen(member->name) + 1);
	if (member->type != AS_JSON_ARRAY && member->type != AS_JSON_OBJECT &&
	    member->text[member->length] != '\0')
		abort();
	return true;
}

/* What the quick reader takes the server's parser takes, and shows the same. */
static void
read_twice(const char *text, size_t length)
{
	static Shown plain;
	static Shown parsed;

	for (int how = 0; how < 6; how++)
	{
		bool is_array = how % 3 == 2;
		bool unique_names = how % 3 == 1;

		plain.length = parsed.length = 0;
		if (as_json_plain_read(text, length, is_array, unique_names,
		                       palloc(length + 1), visit_member,
		                       &plain) == AS_JSON_NOT_PLAIN)
			continue;
		if (!as_json_parse(text, length, is_array, unique_names, how >= 3,
		                   visit_member, &parsed) ||
		    parsed.length != plain.length ||
		    memcmp(parsed.bytes, plain.bytes, plain.length) != 0)
			abort();
	}
}

static void
open_secret(const uint8_t *stored, size_t length)
{
	static const AsMasterKey master = {{1}};
	uint8_t out[256];
	size_t out_length;

	(void) as_key_open(NULL, "kid", stored, length, out, sizeof(out),
	                   &out_length);
	if (as_key_open(&master, "kid", stored, length, out, sizeof(out),
	                &out_length) == AS_SEAL_OPENED &&
	    as_key_is_sealed(stored, length))
		abort();
}

/*
 * A hash that is taken is stored as it will be read again, and is affordable;
 * the cheapest are computed.
 */
static void
import_hash(const char *text, size_t length)
{
	AsPassword password = {.bytes = "password", .length = 8};
	char *string = memcpy(palloc(length + 1), text, length);
	AsPasswordHash stored;
	AsPasswordHash again;
	AsForeignHash foreign;

	string[length] = '\0';
	if (!as_password_hash_import(string, length, &stored))
		return;
	if (!as_password_hash_import(stored.phc, strlen(stored.phc), &again) ||
	    strcmp(stored.phc, again.phc) != 0)
		abort();
	if (!as_foreign_hash_read(stored.phc, &foreign) || foreign.crypt != NULL)
		return;
	if ((uint64_t) foreign.n * foreign.r > (1 << 21) || foreign.n > 5000000)
		abort();
	if ((uint64_t) foreign.n * (foreign.r + 1) * (foreign.p + 1) < 1000)
		(void) as_password_hash_verify(&stored, &password);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void) argc;
	(void) argv;
	if (sodium_init() < 0)
		abort();
	for (int i = 1; i <= ALGORITHMS; i++)
	{
		keys[i] = as_key_generate((AsAlgorithm) i);
		if (keys[i] == NULL)
			abort();
	}
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *) data + 1;
	static const char payload[] = "{\"sub\":\"1\",\"exp\":2000}";

	if (size == 0 || size > INPUT_MAX)
		return 0;
	size--;
	switch (data[0])
	{
		case 'h':
			verify_own(text, size, payload, sizeof(payload) - 1);
			break;
		case 'p':
			verify_own("{\"alg\":\"HS256\"}", 15, text, size);
			break;
		case 'k':
			read_key(text, size);
			break;
		case 's':
			open_secret(data + 1, size);
			break;
		case 'j':
			read_twice(text, size);
			break;
		case 'u':
			read_site_url(text, size);
			break;
		case 'f':
			import_hash(text, size);
			break;
		default:
			verify_with_all(text, size);
			parse_tagged(text, size);
			break;
	}
	memory_reset();
	return 0;
}
