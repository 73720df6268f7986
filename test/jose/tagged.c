/*
 * tagged.c: the texts that only the server can have made: refresh tokens,
 * link tokens, and codes. What a forger could try, each an assertion; and that
 * a text made by an earlier version is still what it was.
 */
#include "check.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Made by version 1.0.0 of what made_* below are. */
#define OLD_REFRESH                                                           \
	"asr1_EBESExQVFhcYGRobHB0eH6ChoqOkpaanqKmqq6ytrq8BAgMEyMnKy8zNzs_Q0dLT1N" \
	"XW19jZ2tvc3d7f4OHi4-Tl5ucNjRl4PU-BdMpLGOLXLm8T"
#define OLD_SUCCESSOR                                                         \
	"asr1_EBESExQVFhcYGRobHB0eH6ChoqOkpaanqKmqq6ytrq8BAgMFlfprGkEx6lmrkyjtlf" \
	"FpnxjMqfCmLzyyT5j0wJnMGZeYN2Bl9aOeOfPU5EsG7N4-"
#define OLD_LINK                                                              \
	"asl1_EBESExQVFhcYGRobHB0eH6ChoqOkpaanqKmqq6ytrq_qsR38a8xSzr4EpqnkLrKqy5" \
	"_0amC_ng_53MSxfR9Enw"
#define OLD_MFA                                                               \
	"asm1_EBESExQVFhcYGRobHB0eH6ChoqOkpaanqKmqq6ytrq8BAgMEBQYHCAAAABESExQVAx" \
	"UKc8aIV7OwkkUBmMwtq-w"
#define OLD_API_KEY                                                          \
	"ask1_EBESExQVFhcYGRobHB0eH6ChoqOkpaanqKmqq6ytrq_IycrLzM3Oz9DR0tPU1dbX2" \
	"Nna29zd3t_g4eLj5OXm56AOqtLvqUdqz4MtEeV-3ok"
#define OLD_CODE "5141680591"

static AsMacKey keys[AS_MAC_API_KEY_HANDLE + 1];
static AsUuid user_id;
static AsUuid other_id;
static AsRefreshToken refresh;
static AsMfaToken mfa;
static AsApiKey api_key;

/* Everything that a server has, with bytes that count up. */
static void
make_everything(void)
{
	uint8_t master[AS_MAC_KEY_BYTES];

	for (int i = 0; i < AS_MAC_KEY_BYTES; i++)
		master[i] = (uint8_t) i;
	for (int i = 0; i < 16; i++)
	{
		user_id.bytes[i] = (uint8_t) (16 + i);
		other_id.bytes[i] = (uint8_t) (160 + i);
	}
	for (int i = AS_MAC_REFRESH_TAG; i <= AS_MAC_API_KEY_HANDLE; i++)
		as_mac_key_derive(master, (AsMacPurpose) i, &keys[i]);
	refresh.user_id = user_id;
	refresh.session_id = other_id;
	refresh.generation = 0x01020304;
	for (int i = 0; i < AS_REFRESH_SECRET_BYTES; i++)
		refresh.secret[i] = (uint8_t) (200 + i);
	api_key.user_id = user_id;
	api_key.id = other_id;
	memcpy(api_key.secret, refresh.secret, sizeof(api_key.secret));
	mfa = (AsMfaToken){.user_id = user_id,
	                   .id = other_id,
	                   .epoch = 0x0102030405060708,
	                   .expires_at = 0x1112131415,
	                   .methods = 3};
}

/* Whether either reader takes a text as one of its own. */
static bool
is_refresh(const char *text, size_t length)
{
	AsRefreshToken token;

	return as_refresh_token_parse(text, length, &keys[AS_MAC_REFRESH_TAG],
	                              &token);
}

static bool
is_link(const char *text, size_t length)
{
	AsUuid user;
	AsUuid code;

	return as_link_token_parse(text, length, &keys[AS_MAC_LINK], &user, &code);
}

static bool
is_mfa(const char *text, size_t length)
{
	AsMfaToken token;

	return as_mfa_token_parse(text, length, &keys[AS_MAC_MFA], &token);
}

static bool
is_api_key(const char *text, size_t length)
{
	AsApiKey key;

	return as_api_key_parse(text, length, &keys[AS_MAC_API_KEY], &key);
}

typedef bool (*Reader)(const char *text, size_t length);

static void
check_keys(void)
{
	int same = 0;

	for (int i = AS_MAC_REFRESH_TAG; i <= AS_MAC_API_KEY_HANDLE; i++)
		for (int j = AS_MAC_REFRESH_TAG; j < i; j++)
			same += memcmp(keys[i].bytes, keys[j].bytes, AS_MAC_KEY_BYTES) == 0;
	check(same == 0, "the keys of two purposes differ");
}

static void
check_old_texts(void)
{
	char text[AS_REFRESH_TOKEN_CHARS + 1];
	char mfa_text[AS_MFA_TOKEN_CHARS + 1];
	char code[AS_CODE_MAX_DIGITS + 1];
	AsRefreshToken token;
	AsMfaToken read_mfa;
	AsUuid user;
	AsUuid row;

	as_refresh_token_print(&refresh, &keys[AS_MAC_REFRESH_TAG], text);
	check(strcmp(text, OLD_REFRESH) == 0, "a refresh token is what it was");
	check(as_refresh_token_parse(text, strlen(text), &keys[AS_MAC_REFRESH_TAG],
	                             &token) &&
	          memcmp(&token, &refresh, sizeof(token)) == 0,
	      "and reads as what it was made of");
	as_refresh_token_next(&refresh, &keys[AS_MAC_REFRESH_SUCCESSOR], &token);
	as_refresh_token_print(&token, &keys[AS_MAC_REFRESH_TAG], text);
	check(strcmp(text, OLD_SUCCESSOR) == 0, "so is its successor");

	as_link_token_print(&user_id, &other_id, &keys[AS_MAC_LINK], text);
	check(strcmp(text, OLD_LINK) == 0, "a link token is what it was");
	check(as_link_token_parse(text, strlen(text), &keys[AS_MAC_LINK], &user,
	                          &row) &&
	          memcmp(&user, &user_id, sizeof(user)) == 0 &&
	          memcmp(&row, &other_id, sizeof(row)) == 0,
	      "and reads as what it was made of");

	as_mfa_token_print(&mfa, &keys[AS_MAC_MFA], mfa_text);
	check(strcmp(mfa_text, OLD_MFA) == 0, "an mfa token is what it was");
	check(as_mfa_token_parse(mfa_text, strlen(mfa_text), &keys[AS_MAC_MFA],
	                         &read_mfa) &&
	          memcmp(&read_mfa.user_id, &user_id, sizeof(user_id)) == 0 &&
	          memcmp(&read_mfa.id, &other_id, sizeof(other_id)) == 0 &&
	          read_mfa.epoch == mfa.epoch &&
	          read_mfa.expires_at == mfa.expires_at && read_mfa.methods == 3,
	      "and reads as what it was made of");

	as_one_time_code_derive(&other_id, &keys[AS_MAC_CODE], 10, code);
	check(strcmp(code, OLD_CODE) == 0, "a code is what it was");
	check(
	    as_one_time_code_matches(&other_id, &keys[AS_MAC_CODE], 10, code, 10) &&
	        !as_one_time_code_matches(&other_id, &keys[AS_MAC_CODE], 10, code,
	                                  9) &&
	        !as_one_time_code_matches(&other_id, &keys[AS_MAC_CODE], 9, code,
	                                  10),
	    "and matches at its whole length only");
}

/* Every other character at every place, the prefix too. */
static void
check_flips(const char *what, const char *genuine, Reader reads)
{
	size_t length = strlen(genuine);
	char text[AS_REFRESH_TOKEN_CHARS + 1];
	int taken = 0;

	memcpy(text, genuine, length + 1);
	for (size_t i = 0; i < length; i++)
	{
		for (int byte = 0; byte < 256; byte++)
		{
			if ((char) byte == genuine[i])
				continue;
			text[i] = (char) byte;
			taken += reads(text, length);
		}
		text[i] = genuine[i];
	}
	check(reads(text, length) && taken == 0,
	      "a %s token with any other byte at any place is refused", what);
}

/* One text for one token: what a lenient decoder would also take. */
static void
check_twins(const char *what, const char *genuine, Reader reads)
{
	static const char *const tails[] = {"=", "==", "A", " ", "\n", ".", ""};
	size_t length = strlen(genuine);
	char text[AS_REFRESH_TOKEN_CHARS + 8];
	int taken = 0;

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++)
	{
		snprintf(text, sizeof(text), "%s%s", genuine, tails[i]);

		/* The last is the NUL behind it. */
		taken += reads(text, length + (tails[i][0] ? strlen(tails[i]) : 1));
	}
	for (size_t shorter = 0; shorter < length; shorter++)
		taken += reads(genuine, shorter);
	snprintf(text, sizeof(text), " %s", genuine);
	taken += reads(text, length) + reads(text, length + 1);
	check(taken == 0, "a %s token has no twin: padded, longer, cut, shifted",
	      what);
}

/* Who knows the format, and not the key. */
static void
check_forgeries(void)
{
	AsRefreshToken forged = refresh;
	char text[AS_REFRESH_TOKEN_CHARS + 1];
	size_t secret_at = AS_TAGGED_CHARS(36);
	int taken = 0;

	for (int i = AS_MAC_REFRESH_SUCCESSOR; i <= AS_MAC_API_KEY_HANDLE; i++)
	{
		as_refresh_token_print(&refresh, &keys[i], text);
		taken += is_refresh(text, strlen(text));
	}
	for (int i = AS_MAC_REFRESH_TAG; i < AS_MAC_LINK; i++)
	{
		as_link_token_print(&user_id, &other_id, &keys[i], text);
		taken += is_link(text, strlen(text));
	}
	for (int i = AS_MAC_REFRESH_TAG; i < AS_MAC_MFA; i++)
	{
		char mfa_text[AS_MFA_TOKEN_CHARS + 1];

		as_mfa_token_print(&mfa, &keys[i], mfa_text);
		taken += is_mfa(mfa_text, strlen(mfa_text));
	}
	check(taken == 0, "a tag under another purpose's key is refused");

	/* The secret of another token between the ids and the tag of this one. */
	memset(forged.secret, 7, sizeof(forged.secret));
	as_refresh_token_print(&forged, &keys[AS_MAC_REFRESH_TAG], text);
	check(is_refresh(text, strlen(text)), "the server can make any token");
	memcpy(text, OLD_REFRESH, secret_at);
	memcpy(text + AS_TAGGED_CHARS(68), OLD_REFRESH + AS_TAGGED_CHARS(68),
	       AS_REFRESH_TOKEN_CHARS - AS_TAGGED_CHARS(68));
	check(strcmp(text, OLD_REFRESH) != 0 && !is_refresh(text, strlen(text)),
	      "a forged secret under a genuine tag is refused");
}

/* Kinds that differ by nothing but their prefix. */
static void
check_prefixes(void)
{
	static const AsTaggedKind kinds[] = {
	    {.prefix = "asx1_", .body_bytes = 33, .tag_bytes = 16},
	    {.prefix = "asy1_", .body_bytes = 33, .tag_bytes = 16},
	    {.prefix = "asx2_", .body_bytes = 33, .tag_bytes = 16},
	};
	uint8_t body[33];
	uint8_t read[33];
	char text[AS_TAGGED_CHARS(33 + 16) + 1];
	int taken = 0;

	memset(body, 42, sizeof(body));
	as_tagged_print(&kinds[0], &keys[AS_MAC_LINK], body, text);
	check(strlen(text) == AS_TAGGED_CHARS(33 + 16) &&
	          as_tagged_parse(&kinds[0], &keys[AS_MAC_LINK], text, strlen(text),
	                          read) &&
	          memcmp(read, body, sizeof(body)) == 0,
	      "a kind of any length prints and reads");
	for (int i = 1; i < 3; i++)
		taken += as_tagged_parse(&kinds[i], &keys[AS_MAC_LINK], text,
		                         strlen(text), read);
	check(taken == 0 && sodium_is_zero(read, sizeof(read)),
	      "a token of one prefix is refused as another's, and leaves zeros");

	check(!is_link(OLD_REFRESH, strlen(OLD_REFRESH)) &&
	          !is_refresh(OLD_LINK, strlen(OLD_LINK)),
	      "a refresh token is no link, a link no refresh token");
	check(!is_mfa(OLD_REFRESH, strlen(OLD_REFRESH)) &&
	          !is_mfa(OLD_LINK, strlen(OLD_LINK)) &&
	          !is_refresh(OLD_MFA, strlen(OLD_MFA)) &&
	          !is_link(OLD_MFA, strlen(OLD_MFA)),
	      "F17: and neither is an mfa token, nor the other way round");
}

static void
check_api_key(void)
{
	char text[AS_API_KEY_CHARS + 1];
	char handle[AS_API_KEY_HANDLE_CHARS + 1];
	AsApiKey read;
	AsUuid user;
	AsUuid id;
	int taken = 0;

	as_api_key_print(&api_key, &keys[AS_MAC_API_KEY], text);
	check(strcmp(text, OLD_API_KEY) == 0, "an API key is what it was");
	check(as_api_key_parse(text, strlen(text), &keys[AS_MAC_API_KEY], &read) &&
	          memcmp(&read, &api_key, sizeof(read)) == 0,
	      "and reads as what it was made of");
	for (size_t i = 0; i < strlen(text); i++)
	{
		text[i] = text[i] == 'A' ? 'B' : 'A';
		taken += is_api_key(text, strlen(text));
		text[i] = OLD_API_KEY[i];
	}
	check(taken == 0, "E10: with another character anywhere it is none");
	check(!is_api_key(OLD_REFRESH, strlen(OLD_REFRESH)) &&
	          !is_refresh(OLD_API_KEY, strlen(OLD_API_KEY)) &&
	          !is_mfa(OLD_API_KEY, strlen(OLD_API_KEY)) &&
	          !is_link(OLD_API_KEY, strlen(OLD_API_KEY)),
	      "F17: it is no token, and no token is one");

	as_api_key_handle_print(&user_id, &other_id, &keys[AS_MAC_API_KEY_HANDLE],
	                        handle);
	check(as_api_key_handle_parse(handle, strlen(handle),
	                              &keys[AS_MAC_API_KEY_HANDLE], &user, &id) &&
	          memcmp(&user, &user_id, sizeof(user)) == 0 &&
	          memcmp(&id, &other_id, sizeof(id)) == 0,
	      "what stands for a key reads as whose and which");
	check(!is_api_key(handle, strlen(handle)) &&
	          !as_api_key_handle_parse(OLD_API_KEY, strlen(OLD_API_KEY),
	                                   &keys[AS_MAC_API_KEY_HANDLE], &user,
	                                   &id),
	      "F17: and is no key, nor a key such");
}

/* Of the characters that end in the same bits, only one is the token's. */
static void
check_unused_bits(void)
{
	size_t last = strlen(OLD_LINK) - 1;
	char text[] = OLD_LINK;
	int taken = 0;

	for (const char *c = alphabet; *c != '\0'; c++)
	{
		text[last] = *c;
		taken += is_link(text, last + 1);
	}
	check(taken == 1, "the last character of a link token has no twin");
}

/*
 * Contexts are kept by key, for fewer keys than these: whichever come in
 * between, and after all are forgotten, the answer is libsodium's, also for
 * keys of which only the last byte differs.
 */
static void
check_kept_keys(void)
{
	AsMacKey key = {{0}};
	uint8_t mac[AS_DIGEST_BYTES];
	uint8_t expected[AS_DIGEST_BYTES];
	int wrong = 0;

	for (int i = 0; i < 400; i++)
	{
		key.bytes[sizeof(key.bytes) - 1] = (uint8_t) (i * 7 % 21);
		if (i % 50 == 49)
			as_mac_forget();
		as_mac(&key, OLD_LINK, (size_t) i % 80, mac);
		(void) crypto_auth_hmacsha256(expected,
		                              (const unsigned char *) OLD_LINK,
		                              (unsigned long long) i % 80, key.bytes);
		wrong += memcmp(mac, expected, sizeof(mac)) != 0;
	}
	check(wrong == 0, "a MAC is its own key's, whichever are kept");
}

/* The same context each time, as libsodium has it. */
static void
check_digests(void)
{
	AsDigest digest;
	uint8_t expected[AS_DIGEST_BYTES];
	int wrong = 0;

	for (size_t length = 0; length < sizeof(OLD_REFRESH); length++)
	{
		as_digest(OLD_REFRESH, length, &digest);
		(void) crypto_hash_sha256(expected, (const unsigned char *) OLD_REFRESH,
		                          length);
		wrong += memcmp(digest.bytes, expected, sizeof(expected)) != 0;
	}
	check(wrong == 0, "a digest is SHA-256, whatever was hashed before");
}

/* A single bit, in every place of every length that words can end in. */
static void
check_comparing(void)
{
	uint8_t a[25];
	uint8_t b[25];
	int wrong = 0;

	randombytes_buf(a, sizeof(a));
	memcpy(b, a, sizeof(a));
	for (size_t length = 0; length <= sizeof(a); length++)
	{
		wrong += !as_is_same(a, b, length);
		for (size_t bit = 0; bit < 8 * sizeof(a); bit++)
		{
			b[bit / 8] ^= (uint8_t) (1 << bit % 8);
			wrong += as_is_same(a, b, length) != (bit / 8 >= length);
			b[bit / 8] ^= (uint8_t) (1 << bit % 8);
		}
	}
	check(wrong == 0, "secrets that differ in a single bit are not the same");
}

/* What is sealed twice shares its form and the name of its key, no more. */
static void
check_seals(void)
{
	AsMasterKey master = {{1}};
	uint8_t boxes[2][32 + AS_SEAL_OVERHEAD];
	uint8_t opened[32];
	size_t length = 0;
	size_t at = 1 + crypto_generichash_BYTES_MIN;
	int good = 0;

	for (int i = 0; i < 2; i++)
	{
		size_t written =
		    as_key_seal(&master, "row", keys[0].bytes, 32, boxes[i]);

		good += written == sizeof(boxes[i]) &&
		        as_key_open(&master, "row", boxes[i], written, opened,
		                    sizeof(opened), &length) == AS_SEAL_OPENED &&
		        length == 32 && memcmp(opened, keys[0].bytes, 32) == 0;
	}
	check(good == 2 && memcmp(boxes[0], boxes[1], at) == 0,
	      "a secret is sealed and opened, twice under one key");
	check(memcmp(boxes[0] + at, boxes[1] + at, crypto_secretbox_NONCEBYTES) !=
	              0 &&
	          memcmp(boxes[0] + at + crypto_secretbox_NONCEBYTES,
	                 boxes[1] + at + crypto_secretbox_NONCEBYTES,
	                 32 + crypto_secretbox_MACBYTES) != 0,
	      "and no two boxes have a nonce or a byte string in common");
}

void
check_tagged(void)
{
	make_everything();
	check_kept_keys();
	check_digests();
	check_comparing();
	check_keys();
	check_old_texts();
	check_flips("refresh", OLD_REFRESH, is_refresh);
	check_flips("link", OLD_LINK, is_link);
	check_flips("mfa", OLD_MFA, is_mfa);
	check_twins("refresh", OLD_REFRESH, is_refresh);
	check_twins("link", OLD_LINK, is_link);
	check_twins("mfa", OLD_MFA, is_mfa);
	check_api_key();
	check_unused_bits();
	check_forgeries();
	check_prefixes();
	check_seals();
}
