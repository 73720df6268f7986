/*
 * code_try.c: a typed code, or a link token, against code rows.
 *
 * Six digits can be guessed, so every try is counted before it is compared,
 * in shared memory where no rollback reaches it, and made durable by the
 * recorder when it was wrong. A link token can't be guessed and is not
 * counted; it still works where the digits no longer do.
 */
#include "service/service.h"

#include <sodium.h>

/* How long a failing caller waits for the commit of its record: ms. */
#define RECORD_WAIT 1000

/* Whether the code is one of the two by its form, and a link's MAC right. */
static bool
read_code(AsProof *proof)
{
	const AsText *code = &proof->code;
	AsMacKey link_key;

	if (code->length == AS_LINK_TOKEN_CHARS)
	{
		proof->is_link =
		    as_mac_key(AS_MAC_LINK, false, &link_key) &&
		    as_link_token_parse(code->bytes, code->length, &link_key,
		                        &proof->user_id, &proof->code_id);
		sodium_memzero(&link_key, sizeof(link_key));
		return proof->is_link;
	}
	proof->is_digits = code->length == (size_t) auth_session_code_length &&
	                   code->length == strspn(code->bytes, "0123456789");
	return proof->is_digits;
}

AsFailure
as_proof_read(FunctionCallInfo fcinfo, AsProof *proof, const char **hint)
{
	if (!as_door_identifier(fcinfo, 0, &proof->identifier))
		*hint = "The identifier is neither an email nor a phone.";
	else if (PG_ARGISNULL(1))
		*hint = "Give the code or the link token.";
	else if (!as_door_text(fcinfo, 1, AS_LINK_TOKEN_CHARS, &proof->code) ||
	         !read_code(proof))
		return AS_INVALID_CODE;
	else if (proof->identifier.canonical == NULL && proof->is_digits)
		*hint = "Give the identifier that the code was sent to.";
	return *hint == NULL ? AS_OK : AS_INVALID_REQUEST;
}

AsFailure
as_proof_follow(AsProof *proof, AsPurpose email_purpose,
                AsPurpose phone_purpose)
{
	AsIdentifier *identifier = &proof->identifier;
	AsCode code;

	if (!proof->is_link)
		return AS_OK;
	if (!as_code_find(&proof->user_id, &proof->code_id, &code) ||
	    (code.purpose != email_purpose && code.purpose != phone_purpose) ||
	    (identifier->canonical != NULL &&
	     strcmp(identifier->canonical, code.identifier) != 0))
		return AS_INVALID_CODE;
	identifier->canonical = pstrdup(code.identifier);
	identifier->is_phone = identifier->canonical[0] == '+';
	return AS_OK;
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
	                                auth_session_code_length, proof->code.bytes,
	                                proof->code.length);
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
	if (!proof->is_link && !proof->is_digits)
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
