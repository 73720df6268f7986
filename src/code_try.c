/*
 * code_try.c: a typed code, or a link token, against code rows.
 *
 * Six digits can be guessed, so every try is counted before it is compared,
 * in shared memory where no rollback reaches it, and made durable by the
 * recorder when it was wrong. A link token can't be guessed and is not
 * counted; it still works where the digits no longer do.
 */
#include "doors.h"

#include <sodium.h>

/* How long a failing caller waits for the commit of its record: ms. */
#define RECORD_WAIT 1000

bool
as_proof_read(const AsText *code, AsProof *proof)
{
	AsMacKey link_key;

	memset(proof, 0, sizeof(*proof));
	if (code->length == AS_LINK_TOKEN_CHARS)
	{
		proof->is_link =
		    as_mac_key(AS_MAC_LINK, false, &link_key) &&
		    as_link_token_parse(code->bytes, code->length, &link_key,
		                        &proof->user_id, &proof->code_id);
		return proof->is_link;
	}
	if (code->length != (size_t) auth_session_code_length ||
	    code->length != strspn(code->bytes, "0123456789"))
		return false;
	proof->digits = *code;
	return true;
}

/* Counts a try of the digits of one row; false when there are none left. */
static bool
count_try(AsCodeTry *one)
{
	int retry_after_s;

	if (one->account_failures >= AS_CODE_FAILURES_MOST ||
	    !as_code_accepts_digits(&one->code, GetCurrentTimestamp()))
		return false;
	return as_throttle_take(AS_LIMIT_CODE, one->code.id.bytes,
	                        sizeof(one->code.id.bytes),
	                        auth_session_code_attempts, auth_session_code_ttl,
	                        &one->ticket, &retry_after_s);
}

static bool
matches(const AsProof *proof, AsCodeTry *one, const AsMacKey *code_key)
{
	if (proof->is_link)
		return memcmp(proof->code_id.bytes, one->code.id.bytes,
		              sizeof(one->code.id.bytes)) == 0;
	return count_try(one) &&
	       as_one_time_code_matches(&one->code.id, code_key,
	                                auth_session_code_length,
	                                proof->digits.bytes, proof->digits.length);
}

bool
as_code_try(const AsProof *proof, AsCodeTry *tries, int count)
{
	AsMacKey code_key;
	bool any = false;

	if (!as_mac_key(AS_MAC_CODE, false, &code_key))
		return false;
	for (int i = 0; i < count; i++)
	{
		tries[i].matches = matches(proof, &tries[i], &code_key);
		any = any || tries[i].matches;
	}
	sodium_memzero(&code_key, sizeof(code_key));
	return any;
}

void
as_code_try_failed(AsEvent *event, const AsProof *proof, const AsCodeTry *tries,
                   int count)
{
	AsRecord record = {.kind = AS_RECORD_CODE_ATTEMPT};

	/* What has not even the form of a code is no try. */
	if (!proof->is_link && proof->digits.length == 0)
		return;

	event->reason = AS_REASON_WRONG_CODE;
	event->result = AS_INVALID_CODE;
	record.event = *event;

	/* One record for no row at all: as slow as for one. */
	for (int i = 0; i == 0 || i < count; i++)
	{
		if (i < count)
		{
			record.event.user_id = tries[i].code.user_id;
			record.code_id = tries[i].code.id;
		}
		if (as_recorder_submit(&record, i + 1 < count ? 0 : RECORD_WAIT) ==
		    AS_RECORD_FULL)
			as_fail(AS_BUSY, NULL);
	}
}

void
as_code_try_succeeded(AsCodeTry *tries, int count)
{
	for (int i = 0; i < count; i++)
		as_throttle_return(&tries[i].ticket);
}
