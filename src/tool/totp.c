/*
 * totp.c: time-based one-time passwords (RFC 6238), as authenticator apps make
 * them: HMAC-SHA-1, steps of 30 seconds since 1970, six digits.
 */
#include "tool/tool.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>

/* Of an HMAC-SHA-1. */
#define MAC_BYTES 20

void
as_totp_secret_random(AsTotpSecret *out)
{
	randombytes_buf(out->bytes, sizeof(out->bytes));
}

int64_t
as_totp_step_at(int64_t unix_seconds)
{
	return unix_seconds / AS_TOTP_PERIOD;
}

/* The dynamic truncation of RFC 4226 section 5.3. */
static void
truncate_mac(const uint8_t mac[MAC_BYTES], char out[AS_TOTP_DIGITS + 1])
{
	const uint8_t *at = mac + (mac[MAC_BYTES - 1] & 15);
	uint32_t number = (uint32_t) (at[0] & 127) << 24 | (uint32_t) at[1] << 16 |
	                  (uint32_t) at[2] << 8 | at[3];

	for (int i = AS_TOTP_DIGITS - 1; i >= 0; i--)
	{
		out[i] = (char) ('0' + number % 10);
		number /= 10;
	}
	out[AS_TOTP_DIGITS] = '\0';
}

bool
as_totp_derive(const AsTotpSecret *secret, int64_t step,
               char out[AS_TOTP_DIGITS + 1])
{
	uint8_t counter[8];
	uint8_t mac[MAC_BYTES];
	size_t written = 0;
	bool is_made;

	for (int i = 0; i < 8; i++)
		counter[i] = (uint8_t) ((uint64_t) step >> (56 - 8 * i));
	is_made = EVP_Q_mac(NULL, "HMAC", NULL, "SHA1", NULL, secret->bytes,
	                    sizeof(secret->bytes), counter, sizeof(counter), mac,
	                    sizeof(mac), &written) != NULL &&
	          written == MAC_BYTES;
	if (is_made)
		truncate_mac(mac, out);
	else
		ERR_clear_error();
	as_wipe(mac, sizeof(mac));
	return is_made;
}

AsTotpVerdict
as_totp_match(const AsTotpSecret *secret, int64_t unix_seconds,
              const char typed[AS_TOTP_DIGITS], int64_t *step)
{
	int64_t now = as_totp_step_at(unix_seconds);
	AsTotpVerdict verdict = AS_TOTP_WRONG;
	char code[AS_TOTP_DIGITS + 1];

	/* All of them, whichever it is: the time says nothing. */
	for (int64_t at = now - AS_TOTP_DRIFT; at <= now + AS_TOTP_DRIFT; at++)
	{
		if (!as_totp_derive(secret, at, code))
		{
			verdict = AS_TOTP_NO_MEMORY;
			break;
		}
		if (sodium_memcmp(code, typed, AS_TOTP_DIGITS) == 0)
		{
			verdict = AS_TOTP_RIGHT;
			*step = at;
		}
	}
	as_wipe(code, sizeof(code));
	return verdict;
}
