/*
 * proof.c: a typed code, or a link token, against code rows.
 *
 * Six digits can be guessed, so every try is counted before it is compared,
 * in shared memory where no rollback reaches it, and made durable by the
 * recorder when it was wrong. A link token can't be guessed and is not
 * counted; it still works where the digits no longer do.
 */
#include "service/service.h"

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
		as_wipe(&link_key, sizeof(link_key));
		return proof->is_link;
	}
	proof->is_digits = code->length == (size_t) auth_session_code_length &&
	                   code->length == strspn(code->bytes, "0123456789");
	return proof->is_digits;
}

AsFailure
as_proof_read(AsAttempt *attempt, FunctionCallInfo fcinfo, AsProof *proof)
{
	if (!as_call_identifier(fcinfo, 0, &proof->identifier))
		return as_attempt_tell(
		    attempt, AS_INVALID_REQUEST,
		    "The identifier is neither an email nor a phone.");
	if (PG_ARGISNULL(1))
		return as_attempt_tell(attempt, AS_INVALID_REQUEST,
		                       "Give the code or the link token.");
	if (!as_call_secret(fcinfo, 1, AS_LINK_TOKEN_CHARS, &proof->code) ||
	    !read_code(proof))
		return AS_INVALID_CODE;
	if (proof->identifier.canonical == NULL && proof->is_digits)
		return as_attempt_tell(
		    attempt, AS_INVALID_REQUEST,
		    "Give the identifier that the code was sent to.");
	return AS_OK;
}

AsFailure
as_proof_follow(AsAttempt *attempt, AsProof *proof, AsPurpose email_purpose,
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
		return as_proof_fail(attempt, proof, NULL, 0);
	identifier->canonical = code.identifier;
	identifier->is_phone = identifier->canonical[0] == '+';
	return AS_OK;
}

/* Counts a try of the digits of one row; false when there are none left. */
static bool
count_try(AsAttempt *attempt, const AsCodeTry *one)
{
	return one->account_failures < AS_CODE_FAILURES_MOST &&
	       as_code_accepts_digits(&one->code, GetCurrentTimestamp()) &&
	       as_attempt_take(attempt, AS_LIMIT_CODE, one->code.id.bytes,
	                       sizeof(one->code.id.bytes),
	                       auth_session_code_attempts,
	                       auth_session_code_ttl) == AS_OK;
}

static bool
matches(AsAttempt *attempt, const AsProof *proof, const AsCodeTry *one,
        const AsMacKey *code_key)
{
	if (proof->is_link)
		return as_uuid_equal(&proof->code_id, &one->code.id);
	return count_try(attempt, one) &&
	       as_one_time_code_matches(&one->code.id, code_key,
	                                auth_session_code_length, proof->code.bytes,
	                                proof->code.length);
}

AsFailure
as_proof_try(AsAttempt *attempt, const AsProof *proof, AsCodeTry *tries,
             int count)
{
	AsMacKey code_key;
	bool any = false;

	Assert(count <= AS_ATTEMPT_CODES);
	if (as_mac_key(AS_MAC_CODE, false, &code_key))
	{
		for (int i = 0; i < count; i++)
		{
			tries[i].matches = matches(attempt, proof, &tries[i], &code_key);
			any = any || tries[i].matches;
		}
	}
	as_wipe(&code_key, sizeof(code_key));
	return any ? AS_OK : as_proof_fail(attempt, proof, tries, count);
}

AsFailure
as_proof_fail(AsAttempt *attempt, const AsProof *proof, const AsCodeTry *tries,
              int count)
{
	if (proof->identifier.canonical == NULL)
		return AS_INVALID_CODE;
	for (int i = 0; i < count; i++)
	{
		attempt->codes[i].user_id = tries[i].code.user_id;
		attempt->codes[i].id = tries[i].code.id;
	}
	attempt->code_count = count;
	(void) as_attempt_fail(attempt, AS_INVALID_CODE, "wrong code");
	attempt->record = AS_RECORD_CODE_ATTEMPT;
	return AS_INVALID_CODE;
}
