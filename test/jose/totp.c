/*
 * totp.c: time-based codes against the vectors of RFC 6238 appendix B, base32
 * against those of RFC 4648 section 10, and how large a QR code can be.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last six of the eight digits, for the SHA-1 secret. */
static const struct
{
	int64_t time;
	const char *code;
} vectors[] = {
    {59, "287082"},         {1111111109, "081804"},
    {1111111111, "050471"}, {1234567890, "005924"},
    {2000000000, "279037"}, {INT64_C(20000000000), "353130"},
};

static AsTotpSecret secret;

static void
check_vectors(void)
{
	char code[AS_TOTP_DIGITS + 1];

	memcpy(secret.bytes, "12345678901234567890", sizeof(secret.bytes));
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check(as_totp_derive(&secret, as_totp_step_at(vectors[i].time), code) &&
		          strcmp(code, vectors[i].code) == 0,
		      "RFC 6238 appendix B: the code at %lld",
		      (long long) vectors[i].time);
}

/* How many steps away a code is taken, and which step it is said to be. */
static void
check_drift(void)
{
	const int64_t now = 1111111111;
	const int64_t step = as_totp_step_at(now);
	int wrong = 0;

	for (int64_t away = -5; away <= 5; away++)
	{
		char code[AS_TOTP_DIGITS + 1];
		int64_t matched = -1;
		bool within = away >= -AS_TOTP_DRIFT && away <= AS_TOTP_DRIFT;

		if (!as_totp_derive(&secret, step + away, code))
			wrong++;
		else if ((as_totp_match(&secret, now, code, &matched) ==
		          AS_TOTP_RIGHT) != within ||
		         matched != (within ? step + away : -1))
			wrong++;
	}
	check(wrong == 0, "a code is good one step early and late, and no more");
	check(as_totp_step_at(59) == 1 && as_totp_step_at(60) == 2,
	      "a step is of 30 seconds");
}

/* Of all codes exactly those of the three steps. */
static void
check_all_codes(void)
{
	int right = 0;

	for (int i = 0; i < 1000000; i += 1)
	{
		char typed[16];
		int64_t step;

		/* Each is three HMACs: a twentieth of them, and the real ones. */
		snprintf(typed, sizeof(typed), "%06d", i % 1000000);
		if (i % 20 != 0 && strcmp(typed, "050471") != 0 &&
		    strcmp(typed, "081804") != 0)
			continue;
		right +=
		    as_totp_match(&secret, 1111111111, typed, &step) == AS_TOTP_RIGHT;
	}
	check(right >= 2 && right <= 3, "F18: no other code is taken");
}

static void
check_base32(void)
{
	static const struct
	{
		const char *bytes;
		const char *text;
	} words[] = {{"f", "MY"},           {"fo", "MZXQ"},
	             {"foo", "MZXW6"},      {"foob", "MZXW6YQ"},
	             {"fooba", "MZXW6YTB"}, {"foobar", "MZXW6YTBOI"}};
	char text[16];
	char bytes[16];
	int wrong = 0;
	int taken = 0;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
	{
		size_t length = strlen(words[i].bytes);

		(void) as_base32_encode(words[i].bytes, length, text);
		wrong += strcmp(text, words[i].text) != 0;
		wrong += !as_base32_decode(text, strlen(text), bytes, length) ||
		         memcmp(bytes, words[i].bytes, length) != 0;
	}
	check(wrong == 0 && as_base32_decode("mzxw6ytb", 8, bytes, 5) &&
	          memcmp(bytes, "fooba", 5) == 0,
	      "RFC 4648 section 10: base32, in either case");
	for (int c = 0; c < 256; c++)
	{
		memcpy(text, "MZXW6YTB", 8);
		text[3] = (char) c;
		taken += as_base32_decode(text, 8, bytes, 5);
	}
	check(taken == 32 + 26, "no other character is base32");
	check(!as_base32_decode("MZ", 2, bytes, 1) &&
	          !as_base32_decode("MZXW6YT", 7, bytes, 5) &&
	          !as_base32_decode("", 0, bytes, 1),
	      "nor are bits that nobody reads, or another length");
}

static void
check_qr_code(void)
{
	AsQrCode *code = malloc(sizeof(AsQrCode));
	char text[2400];

	memset(text, 'a', sizeof(text));
	text[2331] = '\0';
	check(code != NULL &&
	          as_qr_code_make("otpauth://totp/a:b?secret=C", code) &&
	          code->width >= 21 && code->modules[0] == 1 &&
	          code->modules[code->width - 1] == 1 &&
	          code->modules[code->width * (code->width - 1)] == 1 &&
	          code->modules[code->width * code->width - 1] <= 1,
	      "a QR code has its three corners");
	check(as_qr_code_make(text, code) && code->width == AS_QR_MOST,
	      "the largest has 2,331 bytes");
	text[2331] = 'a';
	text[2332] = '\0';
	check(!as_qr_code_make(text, code), "and no more");
	free(code);
}

void
check_totp(void)
{
	check_vectors();
	check_drift();
	check_all_codes();
	check_base32();
	check_qr_code();
}
