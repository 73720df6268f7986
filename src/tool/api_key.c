/*
 * api_key.c: API keys, and what stands for one within a transaction.
 *
 *     "ask1_" + base64url of user id 16 | id 16 | secret 32 | tag 16
 *     "ash1_" + base64url of user id 16 | id 16 | tag 16
 *
 * The tag of a key covers its secret: what this server did not make is
 * refused without a look-up. A handle has no secret, and nobody is shown one:
 * once the secret was compared it is all that a transaction keeps of the key.
 */
#include "tool/tool.h"

#include <sodium.h>
#include <string.h>

/* The bodies as they are encoded; no padding between. */
typedef struct KeyBody
{
	uint8_t user_id[16];
	uint8_t id[16];
	uint8_t secret[AS_API_KEY_SECRET_BYTES];
} KeyBody;

typedef struct HandleBody
{
	uint8_t user_id[16];
	uint8_t id[16];
} HandleBody;

static const AsTaggedKind key_kind = {
    .prefix = AS_API_KEY_PREFIX,
    .body_bytes = sizeof(KeyBody),
    .tag_bytes = AS_TAG_MIN_BYTES,
};

static const AsTaggedKind handle_kind = {
    .prefix = "ash1_",
    .body_bytes = sizeof(HandleBody),
    .tag_bytes = AS_TAG_MIN_BYTES,
};

_Static_assert(AS_TAGGED_CHARS(sizeof(KeyBody) + AS_TAG_MIN_BYTES) ==
                   AS_API_KEY_CHARS,
               "what callers make room for is what is printed");
_Static_assert(AS_TAGGED_CHARS(sizeof(HandleBody) + AS_TAG_MIN_BYTES) ==
                   AS_API_KEY_HANDLE_CHARS,
               "what callers make room for is what is printed");

void
as_api_key_make(const AsUuid *user_id, const AsUuid *id, AsApiKey *out)
{
	out->user_id = *user_id;
	out->id = *id;
	randombytes_buf(out->secret, sizeof(out->secret));
}

void
as_api_key_print(const AsApiKey *key, const AsMacKey *tag_key,
                 char out[AS_API_KEY_CHARS + 1])
{
	KeyBody body;

	memcpy(body.user_id, key->user_id.bytes, 16);
	memcpy(body.id, key->id.bytes, 16);
	memcpy(body.secret, key->secret, sizeof(body.secret));
	as_tagged_print(&key_kind, tag_key, &body, out);
	as_wipe(&body, sizeof(body));
}

bool
as_api_key_parse(const char *text, size_t length, const AsMacKey *tag_key,
                 AsApiKey *out)
{
	KeyBody body;
	bool genuine = as_tagged_parse(&key_kind, tag_key, text, length, &body);

	/* All zero where it isn't: so is the body then. */
	memcpy(out->user_id.bytes, body.user_id, 16);
	memcpy(out->id.bytes, body.id, 16);
	memcpy(out->secret, body.secret, sizeof(out->secret));
	as_wipe(&body, sizeof(body));
	return genuine;
}

void
as_api_key_digest(const AsApiKey *key, AsDigest *out)
{
	as_digest(key->secret, sizeof(key->secret), out);
}

bool
as_api_key_is_one(const char *text)
{
	return strncmp(text, AS_API_KEY_PREFIX, AS_TAGGED_PREFIX_CHARS) == 0;
}

void
as_api_key_handle_print(const AsUuid *user_id, const AsUuid *id,
                        const AsMacKey *tag_key,
                        char out[AS_API_KEY_HANDLE_CHARS + 1])
{
	HandleBody body;

	memcpy(body.user_id, user_id->bytes, 16);
	memcpy(body.id, id->bytes, 16);
	as_tagged_print(&handle_kind, tag_key, &body, out);
}

bool
as_api_key_handle_is_one(const char *text)
{
	return strncmp(text, handle_kind.prefix, AS_TAGGED_PREFIX_CHARS) == 0;
}

bool
as_api_key_handle_parse(const char *text, size_t length,
                        const AsMacKey *tag_key, AsUuid *user_id, AsUuid *id)
{
	HandleBody body;
	bool genuine = as_tagged_parse(&handle_kind, tag_key, text, length, &body);

	memcpy(user_id->bytes, body.user_id, 16);
	memcpy(id->bytes, body.id, 16);
	return genuine;
}
