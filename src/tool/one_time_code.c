/*
 * one_time_code.c: the short code and the link token of a code row.
 *
 * Both are derived by HMAC under server keys from the random id of the row,
 * so that no table, WAL record or outbox row holds either. The link token is
 *
 *     "asl1_" + base64url of user id 16 | code id 16 | MAC 32
 *
 * and so finds its row by primary key; a forged one is refused without a
 * look-up. The ids are no secrets, the MAC is: it is never kept.
 */
#include "tool/tool.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

/* The body of a link token as it is encoded. */
typedef struct Body
{
	uint8_t user_id[16];
	uint8_t code_id[16];
} Body;

static const AsTaggedKind link_kind = {
    .prefix = "asl1_",
    .body_bytes = sizeof(Body),
    .tag_bytes = AS_DIGEST_BYTES,
};

_Static_assert(AS_TAGGED_CHARS(sizeof(Body) + AS_DIGEST_BYTES) ==
                   AS_LINK_TOKEN_CHARS,
               "what callers make room for is what is printed");

void
as_one_time_code_derive(const AsUuid *code_id, const AsMacKey *code_key,
                        int digits, char out[AS_CODE_MAX_DIGITS + 1])
{
	uint8_t mac[AS_DIGEST_BYTES];
	uint64_t number = 0;

	assert(digits >= 6 && digits <= AS_CODE_MAX_DIGITS);

	/* Of 64 bits a remainder below 10^10 is as good as uniform. */
	as_mac(code_key, code_id->bytes, sizeof(code_id->bytes), mac);
	for (int i = 0; i < 8; i++)
		number = number << 8 | mac[i];
	for (int i = digits - 1; i >= 0; i--)
	{
		out[i] = (char) ('0' + number % 10);
		number /= 10;
	}
	out[digits] = '\0';
	as_wipe(mac, sizeof(mac));
}

bool
as_one_time_code_matches(const AsUuid *code_id, const AsMacKey *code_key,
                         int digits, const char *typed, size_t length)
{
	char code[AS_CODE_MAX_DIGITS + 1];
	bool same;

	if (length != (size_t) digits)
		return false;
	as_one_time_code_derive(code_id, code_key, digits, code);
	same = sodium_memcmp(code, typed, length) == 0;
	as_wipe(code, sizeof(code));
	return same;
}

void
as_link_token_print(const AsUuid *user_id, const AsUuid *code_id,
                    const AsMacKey *link_key, char out[AS_LINK_TOKEN_CHARS + 1])
{
	Body body;

	memcpy(body.user_id, user_id->bytes, 16);
	memcpy(body.code_id, code_id->bytes, 16);
	as_tagged_print(&link_kind, link_key, &body, out);
}

bool
as_link_token_parse(const char *text, size_t length, const AsMacKey *link_key,
                    AsUuid *user_id, AsUuid *code_id)
{
	Body body;

	if (!as_tagged_parse(&link_kind, link_key, text, length, &body))
		return false;
	memcpy(user_id->bytes, body.user_id, 16);
	memcpy(code_id->bytes, body.code_id, 16);
	return true;
}
