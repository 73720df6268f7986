/*
 * one_time_code.c: the short code and the link token of a code row.
 *
 * Both are derived by HMAC under server keys from the random id of the row,
 * so that no table, WAL record or outbox row holds either. The link token is
 *
 *     "asl1_" + base64url of user id 16 | code id 16 | MAC 32
 *
 * and so finds its row by primary key; a forged one is refused without a
 * look-up.
 */
#include "tool/tool.h"

#include <sodium.h>
#include <string.h>

#define PREFIX       "asl1_"
#define PREFIX_CHARS 5

typedef struct Packed
{
	uint8_t user_id[16];
	uint8_t code_id[16];
	uint8_t mac[AS_DIGEST_BYTES];
} Packed;

void
as_one_time_code_derive(const AsUuid *code_id, const AsMacKey *code_key,
                        int digits, char out[AS_CODE_MAX_DIGITS + 1])
{
	uint8_t mac[AS_DIGEST_BYTES];
	uint64_t number = 0;

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

static void
packed_mac(const Packed *packed, const AsMacKey *link_key,
           uint8_t mac[AS_DIGEST_BYTES])
{
	as_mac(link_key, packed, offsetof(Packed, mac), mac);
}

void
as_link_token_print(const AsUuid *user_id, const AsUuid *code_id,
                    const AsMacKey *link_key, char out[AS_LINK_TOKEN_CHARS + 1])
{
	Packed packed;

	memcpy(packed.user_id, user_id->bytes, 16);
	memcpy(packed.code_id, code_id->bytes, 16);
	packed_mac(&packed, link_key, packed.mac);
	memcpy(out, PREFIX, PREFIX_CHARS);
	(void) sodium_bin2base64(out + PREFIX_CHARS,
	                         AS_LINK_TOKEN_CHARS - PREFIX_CHARS + 1,
	                         (const unsigned char *) &packed, sizeof(packed),
	                         sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	as_wipe(&packed, sizeof(packed));
}

bool
as_link_token_parse(const char *text, size_t length, const AsMacKey *link_key,
                    AsUuid *user_id, AsUuid *code_id)
{
	Packed packed;
	uint8_t mac[AS_DIGEST_BYTES];
	size_t decoded = 0;
	const char *end = NULL;
	bool genuine;

	if (length != AS_LINK_TOKEN_CHARS ||
	    memcmp(text, PREFIX, PREFIX_CHARS) != 0)
		return false;
	if (sodium_base642bin((unsigned char *) &packed, sizeof(packed),
	                      text + PREFIX_CHARS, length - PREFIX_CHARS, NULL,
	                      &decoded, &end,
	                      sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0 ||
	    decoded != sizeof(packed) || end != text + length)
		return false;
	packed_mac(&packed, link_key, mac);
	genuine = sodium_memcmp(mac, packed.mac, sizeof(mac)) == 0;
	if (genuine)
	{
		memcpy(user_id->bytes, packed.user_id, 16);
		memcpy(code_id->bytes, packed.code_id, 16);
	}
	as_wipe(mac, sizeof(mac));
	as_wipe(&packed, sizeof(packed));
	return genuine;
}
