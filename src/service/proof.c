/*
 * proof.c: a typed code, or a link token, against code rows.
 *
 * Six digits can be guessed, so every try is counted before it is compared,
 * in shared memory where no rollback reaches it, and made durable by the
 * recorder when it was wrong. The count is of the address and the purpose:
 * whoever makes new sign-ups or asks for new codes there gains no tries. A link
 * token can't be guessed and is not counted; it still works where the digits
 * no longer do.
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
	as_code_tidy(proof->code.bytes, &proof->code.length);
	proof->is_digits = code->length == (size_t) auth_session_code_length &&
	                   code->length == strspn(code->bytes, "0123456789");
	return proof->is_digits;
}

AsFailure
as_proof_read_code(AsAttempt *attempt, FunctionCallInfo fcinfo, int argument,
                   AsProof *proof)
{
	if (PG_ARGISNULL(argument))
		return as_attempt_tell(attempt, AS_INVALID_REQUEST,
		                       "Give the code or the link token.");
	return as_call_secret(fcinfo, argument, AS_LINK_TOKEN_CHARS,
	                      &proof->code) &&
	               read_code(proof)
	           ? AS_OK
	           : AS_INVALID_CODE;
}

AsFailure
as_proof_read(AsAttempt *attempt, FunctionCallInfo fcinfo, AsProof *proof)
{
	AsFailure outcome;

	if (!as_call_identifier(fcinfo, 0, &proof->identifier))
		return as_attempt_tell(
		    attempt, AS_INVALID_REQUEST,
		    "The identifier is neither an email nor a phone.");
	outcome = as_proof_read_code(attempt, fcinfo, 1, proof);
	if (outcome != AS_OK)
		return outcome;
	if (proof->identifier.canonical == NULL && proof->is_digits)
		return as_attempt_tell(
		    attempt, AS_INVALID_REQUEST,
		    "Give the identifier that the code was sent to.");
	return AS_OK;
}

/* A genuine link token whose code row is gone, replaced or for other things. */
static AsFailure
fail_link(AsAttempt *attempt, const AsProof *proof)
{
	attempt->event.user_id = proof->user_id;
	return as_attempt_refuse(attempt, AS_INVALID_CODE, "dead link");
}

AsFailure
as_proof_follow(AsAttempt *attempt, AsProof *proof, unsigned purposes)
{
	AsIdentifier *identifier = &proof->identifier;
	AsCode code;

	if (!proof->is_link)
		return AS_OK;
	if (!as_code_find(&proof->user_id, &proof->code_id, &code) ||
	    (AS_PURPOSE_SET(code.purpose) & purposes) == 0 ||
	    (identifier->canonical != NULL &&
	     strcmp(identifier->canonical, code.identifier) != 0))
		return fail_link(attempt, proof);
	proof->purpose = code.purpose;
	identifier->canonical = code.identifier;
	identifier->is_phone = identifier->canonical[0] == '+';
	return AS_OK;
}

/* ---- trying it ---- */

/* What the wrong tries of an address and purpose are counted under. */
static StringInfoData
limit_key(const char *identifier, AsPurpose purpose)
{
	StringInfoData key;

	initStringInfo(&key);
	appendStringInfoChar(&key, (char) purpose);
	appendStringInfoString(&key, identifier);
	return key;
}

static bool
match_link(const AsProof *proof, AsCodeTry *tries, int count)
{
	bool any = false;

	for (int i = 0; i < count; i++)
	{
		tries[i].matches =
		    as_uuid_equal(&proof->user_id, &tries[i].code.user_id) &&
		    as_uuid_equal(&proof->code_id, &tries[i].code.id);
		any = any || tries[i].matches;
	}
	return any;
}

static bool
match_digits(const AsProof *proof, const AsMacKey *code_key, AsCodeTry *tries,
             int count)
{
	TimestampTz now = GetCurrentTimestamp();
	bool any = false;

	/* The same work where there is none. */
	if (count == 0)
		(void) as_one_time_code_matches(&proof->code_id, code_key,
		                                auth_session_code_length,
		                                proof->code.bytes, proof->code.length);
	for (int i = 0; i < count; i++)
	{
		tries[i].matches =
		    as_one_time_code_matches(&tries[i].code.id, code_key,
		                             auth_session_code_length,
		                             proof->code.bytes, proof->code.length) &&
		    tries[i].code.code_expires_at > now;
		any = any || tries[i].matches;
	}
	return any;
}

/*
 * Before the comparison: a try must be within the budget of the address, be
 * counted, and have its place in the queue.
 */
static AsFailure
count_try(AsAttempt *attempt, const char *identifier, AsPurpose purpose)
{
	StringInfoData key = limit_key(identifier, purpose);
	AsCodeFailures failures;
	AsFailure outcome;

	as_code_failure_count(identifier, as_purpose_name(purpose),
	                      auth_session_code_ttl, &failures);
	if (!as_code_failure_allows(&failures))
		return AS_INVALID_CODE;
	outcome = as_attempt_hold(attempt, AS_RECORD_CODE_ATTEMPT);
	if (outcome == AS_OK)
		outcome =
		    as_attempt_take(attempt, AS_LIMIT_CODE, key.data, (size_t) key.len,
		                    auth_session_code_attempts, auth_session_code_ttl);
	return outcome == AS_THROTTLED ? AS_INVALID_CODE : outcome;
}

static AsFailure
try_digits(AsAttempt *attempt, const AsProof *proof, AsPurpose purpose,
           AsCodeTry *tries, int count)
{
	AsMacKey code_key = {0};
	AsFailure outcome;
	bool any;

	/* Whoever made a code has made the key: without it there is none. */
	if (!as_mac_key(AS_MAC_CODE, false, &code_key))
		count = 0;
	outcome = count_try(attempt, proof->identifier.canonical, purpose);
	if (outcome != AS_OK)
	{
		as_wipe(&code_key, sizeof(code_key));
		return outcome;
	}

	/* Nothing from the count to the verdict can be interrupted. */
	any = match_digits(proof, &code_key, tries, count);
	as_wipe(&code_key, sizeof(code_key));
	if (any)
	{
		as_attempt_return(attempt);
		return AS_OK;
	}
	if (count == 1)
		attempt->event.user_id = tries[0].code.user_id;
	attempt->identifier = proof->identifier.canonical;
	attempt->purpose = as_purpose_name(purpose);
	(void) as_attempt_fail(attempt, AS_INVALID_CODE, "wrong code");
	attempt->record = AS_RECORD_CODE_ATTEMPT;
	return AS_INVALID_CODE;
}

AsFailure
as_proof_try(AsAttempt *attempt, const AsProof *proof, AsPurpose purpose,
             AsCodeTry *tries, int count)
{
	if (!proof->is_link)
		return try_digits(attempt, proof, purpose, tries, count);
	return match_link(proof, tries, count) ? AS_OK : fail_link(attempt, proof);
}

void
as_proof_forgive(AsAttempt *attempt, const AsProof *proof, AsPurpose purpose)
{
	const char *identifier = proof->identifier.canonical;
	StringInfoData key = limit_key(identifier, purpose);

	/* No ticket that was taken before a clearing may come back after it. */
	as_attempt_return(attempt);
	as_throttle_clear(AS_LIMIT_CODE, key.data, (size_t) key.len);
	as_code_failure_forget(identifier);
}

void
as_proof_forgive_all(const char *identifier)
{
	for (int purpose = 0; purpose < AS_PURPOSE_COUNT; purpose++)
	{
		StringInfoData key = limit_key(identifier, (AsPurpose) purpose);

		as_throttle_clear(AS_LIMIT_CODE, key.data, (size_t) key.len);
	}
	as_throttle_clear(AS_LIMIT_CODE_ACCOUNT, identifier, strlen(identifier));
	as_code_failure_forget(identifier);
}
