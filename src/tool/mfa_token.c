/*
 * mfa_token.c: what a sign-in answers that still lacks its second factor.
 *
 *     "asm1_" + base64url of
 *     user id 16 | id 16 | epoch 8 | expiry 8 | methods 1 | tag 16
 *
 * It says who has shown what, in which epoch of the account, and until when
 * that counts; so a sign-in writes no row for it. Nobody but this server can
 * make one, and none of another kind passes for it.
 */
#include "tool/tool.h"

#include <string.h>

/* The body as it is encoded; no padding between. */
typedef struct Body
{
	uint8_t user_id[16];
	uint8_t id[16];
	uint8_t epoch[8];
	uint8_t expires_at[8];
	uint8_t methods;
} Body;

static const AsTaggedKind kind = {
    .prefix = "asm1_",
    .body_bytes = sizeof(Body),
    .tag_bytes = AS_TAG_MIN_BYTES,
};

_Static_assert(AS_TAGGED_CHARS(sizeof(Body) + AS_TAG_MIN_BYTES) ==
                   AS_MFA_TOKEN_CHARS,
               "what callers make room for is what is printed");

static void
put_number(uint8_t out[8], int64_t number)
{
	for (int i = 0; i < 8; i++)
		out[i] = (uint8_t) ((uint64_t) number >> (56 - 8 * i));
}

static int64_t
get_number(const uint8_t from[8])
{
	uint64_t number = 0;

	for (int i = 0; i < 8; i++)
		number = number << 8 | from[i];
	return (int64_t) number;
}

void
as_mfa_token_print(const AsMfaToken *token, const AsMacKey *key,
                   char out[AS_MFA_TOKEN_CHARS + 1])
{
	Body body;

	memcpy(body.user_id, token->user_id.bytes, 16);
	memcpy(body.id, token->id.bytes, 16);
	put_number(body.epoch, token->epoch);
	put_number(body.expires_at, token->expires_at);
	body.methods = token->methods;
	as_tagged_print(&kind, key, &body, out);
}

bool
as_mfa_token_parse(const char *text, size_t length, const AsMacKey *key,
                   AsMfaToken *out)
{
	Body body;
	bool genuine = as_tagged_parse(&kind, key, text, length, &body);

	/* All zero where it isn't: so is the body then. */
	memcpy(out->user_id.bytes, body.user_id, 16);
	memcpy(out->id.bytes, body.id, 16);
	out->epoch = get_number(body.epoch);
	out->expires_at = get_number(body.expires_at);
	out->methods = body.methods;
	return genuine;
}
