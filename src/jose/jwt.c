/*
 * jwt.c: the compact form of a signed token (RFC 7515 section 7.1).
 *
 * What is compared is always what was signed: the characters of the token.
 * Nothing is decoded before sizes are known, and a signature is decoded
 * strictly, so that one token has one text.
 */
#include "jose/jose.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* RFC 7515 section 4.1: what the visitor finds in a header. */
typedef struct HeaderRead
{
	AsJwtHeader *out;
	bool has_algorithm;
} HeaderRead;

bool
as_jwt_split(const char *token, size_t length, size_t max, AsJwt *out)
{
	const char *end = token + length;
	const char *first;
	const char *second;

	if (length > max)
		return false;
	first = memchr(token, '.', length);
	if (first == NULL)
		return false;
	second = memchr(first + 1, '.', (size_t) (end - first - 1));
	if (second == NULL)
		return false;
	if (memchr(second + 1, '.', (size_t) (end - second - 1)) != NULL)
		return false;

	out->header = token;
	out->header_length = (size_t) (first - token);
	out->payload = first + 1;
	out->payload_length = (size_t) (second - first - 1);
	out->signature = second + 1;
	out->signature_length = (size_t) (end - second - 1);
	return out->header_length > 0 && out->payload_length > 0 &&
	       out->signature_length > 0;
}

static bool
visit_header(const AsJsonMember *member, void *into)
{
	HeaderRead *read = into;

	if (strcmp(member->name, "alg") == 0)
	{
		if (member->type != AS_JSON_STRING)
			return false;
		read->has_algorithm = true;
		read->out->algorithm = as_algorithm_parse(member->text, member->length);
		return true;
	}
	if (strcmp(member->name, "kid") == 0)
	{
		if (member->type != AS_JSON_STRING || member->length > AS_KID_MAX)
			return false;
		memcpy(read->out->kid, member->text, member->length + 1);
		return true;
	}

	if (strcmp(member->name, "typ") == 0)
	{
		read->out->is_jwt = member->type == AS_JSON_STRING &&
		                    strcasecmp(member->text, "JWT") == 0;
		return true;
	}

	/*
	 * No extension is understood (RFC 7515 section 4.1.11), the payload is
	 * always encoded (RFC 7797), never packed, and never a token itself.
	 */
	if (strcmp(member->name, "crit") == 0 || strcmp(member->name, "b64") == 0 ||
	    strcmp(member->name, "zip") == 0 || strcmp(member->name, "cty") == 0)
		return false;
	return true;
}

bool
as_jwt_header_read(const AsJwt *jwt, AsJwtHeader *out)
{
	char text[AS_BASE64URL_BYTES(AS_JWT_HEADER_MAX)];
	size_t length;
	HeaderRead read = {.out = out, .has_algorithm = false};

	out->algorithm = AS_ALGORITHM_NONE;
	out->kid[0] = '\0';
	out->is_jwt = true;
	if (jwt->header_length > AS_JWT_HEADER_MAX ||
	    !as_base64url_decode(jwt->header, jwt->header_length, text,
	                         sizeof(text), &length))
		return false;
	return as_json_read_object(text, length, sizeof(text), true, visit_header,
	                           &read) &&
	       read.has_algorithm;
}

size_t
as_jwt_header_write(AsAlgorithm algorithm, const char *kid,
                    char out[AS_JWT_OWN_HEADER_ROOM])
{
	char text[AS_KID_MAX + 64];
	int length;

	if (kid == NULL)
		length =
		    snprintf(text, sizeof(text), "{\"alg\":\"%s\",\"typ\":\"JWT\"}",
		             as_algorithm_name(algorithm));
	else
		length = snprintf(text, sizeof(text),
		                  "{\"alg\":\"%s\",\"typ\":\"JWT\",\"kid\":\"%.*s\"}",
		                  as_algorithm_name(algorithm), AS_KID_MAX, kid);
	return as_base64url_encode(text, (size_t) length, out);
}

size_t
as_jwt_room(const AsKey *key, size_t header_length, size_t payload_length)
{
	return header_length + 1 + AS_BASE64URL_ROOM(payload_length) + 1 +
	       AS_BASE64URL_ROOM(as_key_signature_length(key));
}

size_t
as_jwt_sign(AsKey *key, const char *header, size_t header_length,
            const void *payload, size_t payload_length, char *out)
{
	uint8_t signature[AS_SIGNATURE_MAX];
	size_t signature_length;
	size_t length = header_length;

	memcpy(out, header, header_length);
	out[length++] = '.';
	length += as_base64url_encode(payload, payload_length, out + length);
	signature_length = as_key_sign(key, out, length, signature);
	if (signature_length == 0)
		return 0;
	out[length++] = '.';
	length += as_base64url_encode(signature, signature_length, out + length);
	return length;
}

bool
as_jwt_verify(AsKey *key, const AsJwt *jwt)
{
	uint8_t signature[AS_SIGNATURE_MAX];
	size_t length;

	/* The length is the key's before a character is decoded. */
	if (jwt->signature_length !=
	    AS_BASE64URL_CHARS(as_key_signature_length(key)))
		return false;
	if (!as_base64url_decode(jwt->signature, jwt->signature_length, signature,
	                         sizeof(signature), &length))
		return false;
	return as_key_verify(key, jwt->header,
	                     jwt->header_length + 1 + jwt->payload_length,
	                     signature, length);
}

bool
as_jwt_payload(const AsJwt *jwt, char *out, size_t room, size_t *length)
{
	if (room == 0 || !as_base64url_decode(jwt->payload, jwt->payload_length,
	                                      out, room - 1, length))
		return false;
	out[*length] = '\0';
	return true;
}
