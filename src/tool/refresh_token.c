/*
 * refresh_token.c: the opaque token of a session.
 *
 * "asr1_" + base64url of
 *
 *     user id 16 | session id 16 | generation 4 | secret 32 | tag 16
 *
 * The tag is a MAC under a server key over all before it. So a forged token
 * is refused without a look-up and can revoke nothing, and a genuine old one
 * is known for what it is without a table of history: its generation says
 * how old. The secret of the next generation is derived from the presented
 * one under another server key, so that a repeated renew answers the same
 * without any plaintext being stored.
 */
#include "tool/tool.h"

#include <sodium.h>
#include <string.h>

#define PREFIX       "asr1_"
#define PREFIX_CHARS 5
#define TAG_BYTES    16

/* The bytes behind the prefix, as they are encoded; no padding between. */
typedef struct Packed
{
	uint8_t user_id[16];
	uint8_t session_id[16];
	uint8_t generation[4];
	uint8_t secret[AS_REFRESH_SECRET_BYTES];
	uint8_t tag[TAG_BYTES];
} Packed;

static void
packed_tag(const Packed *packed, const AsMacKey *tag_key,
           uint8_t tag[TAG_BYTES])
{
	uint8_t mac[AS_DIGEST_BYTES];

	as_mac(tag_key, packed, offsetof(Packed, tag), mac);
	memcpy(tag, mac, TAG_BYTES);
}

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
	Packed packed;

	memcpy(packed.user_id, token->user_id.bytes, 16);
	memcpy(packed.session_id, token->session_id.bytes, 16);
	for (int i = 0; i < 4; i++)
		packed.generation[i] = (uint8_t) (token->generation >> (24 - 8 * i));
	memcpy(packed.secret, token->secret, sizeof(packed.secret));
	packed_tag(&packed, tag_key, packed.tag);

	memcpy(out, PREFIX, PREFIX_CHARS);
	(void) sodium_bin2base64(out + PREFIX_CHARS,
	                         AS_REFRESH_TOKEN_CHARS - PREFIX_CHARS + 1,
	                         (const unsigned char *) &packed, sizeof(packed),
	                         sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	as_wipe(&packed, sizeof(packed));
}

static bool
packed_read(const char *text, size_t length, const AsMacKey *tag_key,
            Packed *packed)
{
	size_t decoded = 0;
	const char *end = NULL;
	uint8_t tag[TAG_BYTES];

	if (length != AS_REFRESH_TOKEN_CHARS ||
	    memcmp(text, PREFIX, PREFIX_CHARS) != 0)
		return false;
	if (sodium_base642bin((unsigned char *) packed, sizeof(*packed),
	                      text + PREFIX_CHARS, length - PREFIX_CHARS, NULL,
	                      &decoded, &end,
	                      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    decoded != sizeof(*packed) || end != text + length)
		return false;
	packed_tag(packed, tag_key, tag);
	return sodium_memcmp(tag, packed->tag, TAG_BYTES) == 0;
}

bool
as_refresh_token_parse(const char *text, size_t length, const AsMacKey *tag_key,
                       AsRefreshToken *out)
{
	Packed packed;
	bool genuine = packed_read(text, length, tag_key, &packed);

	memset(out, 0, sizeof(*out));
	if (genuine)
	{
		memcpy(out->user_id.bytes, packed.user_id, 16);
		memcpy(out->session_id.bytes, packed.session_id, 16);
		for (int i = 0; i < 4; i++)
			out->generation = out->generation << 8 | packed.generation[i];
		memcpy(out->secret, packed.secret, sizeof(out->secret));
	}
	as_wipe(&packed, sizeof(packed));
	return genuine;
}

void
as_refresh_token_digest(const AsRefreshToken *token, AsDigest *out)
{
	as_digest(token->secret, sizeof(token->secret), out);
}
