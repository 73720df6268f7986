/*
 * refresh_token.c: the opaque token of a session.
 *
 * "asr1_" + base64url of
 *
 *     user id 16 | session id 16 | generation 4 | secret 32 | tag 16
 *
 * Its tag makes that a forged token is refused without a look-up and can
 * revoke nothing, and that a genuine old one is known for what it is without a
 * table of history: its generation says how old. The secret of the next
 * generation is derived from the presented one under another server key, so
 * that a repeated renew answers the same without any plaintext being stored.
 */
#include "tool/tool.h"

#include <sodium.h>
#include <string.h>

/* The body as it is encoded; no padding between. */
typedef struct Body
{
	uint8_t user_id[16];
	uint8_t session_id[16];
	uint8_t generation[4];
	uint8_t secret[AS_REFRESH_SECRET_BYTES];
} Body;

static const AsTaggedKind kind = {
    .prefix = "asr1_",
    .body_bytes = sizeof(Body),
    .tag_bytes = AS_TAG_MIN_BYTES,
};

_Static_assert(AS_TAGGED_CHARS(sizeof(Body) + AS_TAG_MIN_BYTES) ==
                   AS_REFRESH_TOKEN_CHARS,
               "what callers make room for is what is printed");

void
as_refresh_token_first(const AsUuid *user_id, const AsUuid *session_id,
                       AsRefreshToken *out)
{
	out->user_id = *user_id;
	out->session_id = *session_id;
	out->generation = 1;
	randombytes_buf(out->secret, sizeof(out->secret));
}

void
as_refresh_token_next(const AsRefreshToken *presented,
                      const AsMacKey *successor_key, AsRefreshToken *out)
{
	uint8_t seed[16 + AS_REFRESH_SECRET_BYTES];

	/* The session goes in, so that no two sessions ever share a chain. */
	memcpy(seed, presented->session_id.bytes, 16);
	memcpy(seed + 16, presented->secret, AS_REFRESH_SECRET_BYTES);
	out->user_id = presented->user_id;
	out->session_id = presented->session_id;
	out->generation = presented->generation + 1;
	as_mac(successor_key, seed, sizeof(seed), out->secret);
	as_wipe(seed, sizeof(seed));
}

void
as_refresh_token_print(const AsRefreshToken *token, const AsMacKey *tag_key,
                       char out[AS_REFRESH_TOKEN_CHARS + 1])
{
	Body body;

	memcpy(body.user_id, token->user_id.bytes, 16);
	memcpy(body.session_id, token->session_id.bytes, 16);
	for (int i = 0; i < 4; i++)
		body.generation[i] = (uint8_t) (token->generation >> (24 - 8 * i));
	memcpy(body.secret, token->secret, sizeof(body.secret));
	as_tagged_print(&kind, tag_key, &body, out);
	as_wipe(&body, sizeof(body));
}

bool
as_refresh_token_parse(const char *text, size_t length, const AsMacKey *tag_key,
                       AsRefreshToken *out)
{
	Body body;
	bool genuine = as_tagged_parse(&kind, tag_key, text, length, &body);

	/* All zero where it isn't: so is the body then. */
	memcpy(out->user_id.bytes, body.user_id, 16);
	memcpy(out->session_id.bytes, body.session_id, 16);
	out->generation = 0;
	for (int i = 0; i < 4; i++)
		out->generation = out->generation << 8 | body.generation[i];
	memcpy(out->secret, body.secret, sizeof(out->secret));
	as_wipe(&body, sizeof(body));
	return genuine;
}

void
as_refresh_token_digest(const AsRefreshToken *token, AsDigest *out)
{
	as_digest(token->secret, sizeof(token->secret), out);
}
