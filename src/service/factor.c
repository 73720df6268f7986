/*
 * factor.c: whether who calls has the second factor.
 *
 * Six digits can be guessed: a try is counted before it is compared, in shared
 * memory where no rollback reaches it, and made durable by the recorder when it
 * was wrong. The count is the user's, whatever the try was for, so another
 * sign-in gains no tries. Past a number of them only recovery codes are looked
 * at, which nobody can guess: who knows the password can keep the owner from
 * the app's codes, but not out.
 *
 * A code is compared with no lock held, and used up with the account held, as
 * the last thing that can refuse.
 */
#include "service/service.h"

/* Wrong codes of a user in a window: how many, and seconds. */
#define TRIES  5
#define WINDOW 300

/* What wrong codes are for, among the failures of codes; no AsPurpose. */
#define PURPOSE "totp"

/* The longest that is looked at: a recovery code, however it was typed. */
#define CODE_MAX_BYTES 64

/* ---- the secret at rest ---- */

/* Which row a secret is sealed for; seal_keys.c has it, too. */
static char *
label_of(const AsUuid *user_id, const AsUuid *id)
{
	char user[AS_UUID_CHARS + 1];
	char row[AS_UUID_CHARS + 1];

	as_uuid_print(user_id, user);
	as_uuid_print(id, row);
	return psprintf("%s/%s", user, row);
}

void
as_factor_enroll(const AsUuid *user_id, const AsTotpSecret *secret)
{
	AsUuid id = as_uuid_random();
	AsTotpSecret copy = *secret;

	as_factor_add(
	    user_id, &id,
	    as_sealed_arg(label_of(user_id, &id), copy.bytes, sizeof(copy.bytes)));
}

/* Raises where it can't be opened: an operator's to mend. */
static void
open_secret(AsFactor *factor, AsTotpSecret *out)
{
	size_t length = 0;
	AsSealOutcome outcome =
	    as_sealed_open(label_of(&factor->user_id, &factor->id), &factor->secret,
	                   out->bytes, sizeof(out->bytes), &length);

	if (outcome == AS_SEAL_OPENED && length != sizeof(out->bytes))
		outcome = AS_SEAL_DAMAGED;
	if (outcome != AS_SEAL_OPENED)
		as_sealed_fail(outcome);
}

/* ---- counting ---- */

static const char *
failure_key(const AsUuid *user_id)
{
	char *text = palloc(AS_UUID_CHARS + 1);

	as_uuid_print(user_id, text);
	return text;
}

/* Among the keys of AS_LIMIT_CODE, which begin with an AsPurpose. */
typedef struct LimitKey
{
	uint8 mark;
	AsUuid user_id;
} LimitKey;

static LimitKey
limit_key(const AsUuid *user_id)
{
	return (LimitKey){.mark = 255, .user_id = *user_id};
}

static AsFailure
count_try(AsAttempt *attempt, const AsUuid *user_id)
{
	LimitKey key = limit_key(user_id);
	AsCodeFailures failures;
	AsFailure outcome;

	as_code_failure_count(failure_key(user_id), PURPOSE, WINDOW, &failures);
	if (failures.since_success >= AS_CODE_FAILURES_MOST)
		return as_attempt_tell(attempt, AS_INVALID_CODE,
		                       "Too many codes were wrong: use a recovery "
		                       "code.");
	attempt->wait_s = WINDOW;
	if (failures.in_window >= TRIES)
		return AS_THROTTLED;
	outcome = as_attempt_hold(attempt, AS_RECORD_CODE_ATTEMPT);
	if (outcome != AS_OK)
		attempt->wait_s = 0;
	return outcome != AS_OK ? outcome
	                        : as_attempt_take(attempt, AS_LIMIT_CODE, &key,
	                                          sizeof(key), TRIES, WINDOW);
}

static void
forgive(AsAttempt *attempt, const AsUuid *user_id)
{
	/* No ticket that was taken before a clearing may come back after it. */
	as_attempt_return(attempt);
	as_factor_forgive(user_id);
}

void
as_factor_forgive(const AsUuid *user_id)
{
	LimitKey key = limit_key(user_id);

	as_throttle_clear(AS_LIMIT_CODE, &key, sizeof(key));
	as_code_failure_forget(failure_key(user_id));
}

/* ---- what the user hears ---- */

/* origin is NULL where it is nothing of the user's. */
static void
tell(const AsAccount *account, const char *change, const AsOrigin *origin)
{
	int left = as_recovery_code_count(&account->id);
	StringInfoData json;

	as_json_begin(&json);
	as_json_text(&json, "change", change);
	if (left > 0 || strcmp(change, "recovery_code_used") == 0)
		as_json_number(&json, "recovery_codes_left", left);
	if (origin != NULL)
	{
		as_json_text(&json, "ip", origin->address);
		as_json_text(&json, "user_agent", origin->user_agent);
	}
	as_json_time(&json, "at", GetCurrentTimestamp());
	as_json_end(&json);
	as_message_tell(account, "mfa_changed", json.data);
}

void
as_factor_tell(const AsAccount *account, const char *change)
{
	AsOrigin origin = as_request_origin();

	tell(account, change, &origin);
}

/* ---- a code, read and tried ---- */

AsFailure
as_factor_proof_read(AsAttempt *attempt, FunctionCallInfo fcinfo, int argument,
                     AsFactorProof *proof)
{
	AsText code;
	uint8 bytes[AS_RECOVERY_CODE_BYTES];
	bool is_recovery;

	if (PG_ARGISNULL(argument))
		return as_attempt_tell(attempt, AS_INVALID_REQUEST,
		                       "Give the code of the second factor, or a "
		                       "recovery code.");
	if (!as_call_secret(fcinfo, argument, CODE_MAX_BYTES, &code))
		return AS_INVALID_CODE;
	as_code_tidy(code.bytes, &code.length);
	proof->is_totp = code.length == AS_TOTP_DIGITS &&
	                 strspn(code.bytes, "0123456789") == AS_TOTP_DIGITS;
	if (proof->is_totp)
	{
		proof->digits = code.bytes;
		return AS_OK;
	}
	is_recovery =
	    as_base32_decode(code.bytes, code.length, bytes, sizeof(bytes));
	if (is_recovery)
		as_digest(bytes, sizeof(bytes), &proof->digest);
	as_wipe(bytes, sizeof(bytes));
	return is_recovery ? AS_OK : AS_INVALID_CODE;
}

static AsFailure
fail_totp(AsAttempt *attempt, const AsUuid *user_id, const char *reason)
{
	attempt->identifier = failure_key(user_id);
	attempt->purpose = PURPOSE;
	(void) as_attempt_fail(attempt, AS_INVALID_CODE, reason);
	attempt->record = AS_RECORD_CODE_ATTEMPT;
	return as_attempt_tell(attempt, AS_INVALID_CODE,
	                       "Give the code that the app shows now, each code "
	                       "once.");
}

static AsFailure
fail_recovery(AsAttempt *attempt)
{
	(void) as_attempt_refuse(attempt, AS_INVALID_CODE, "wrong recovery code");
	return as_attempt_tell(attempt, AS_INVALID_CODE,
	                       "Each recovery code is good once.");
}

static AsFailure
try_totp(AsAttempt *attempt, AsFactorProof *proof)
{
	AsFactor *factor = &proof->factor;
	AsTotpSecret secret;
	AsTotpVerdict verdict;
	AsFailure outcome = count_try(attempt, &factor->user_id);

	if (outcome != AS_OK)
		return outcome;
	open_secret(factor, &secret);
	verdict = as_totp_match(&secret, as_unix_seconds(GetCurrentTimestamp()),
	                        proof->digits, &proof->step);
	as_wipe(&secret, sizeof(secret));
	if (verdict == AS_TOTP_NO_MEMORY)
		return AS_BUSY;
	if (verdict == AS_TOTP_WRONG)
		return fail_totp(attempt, &factor->user_id, "wrong code");
	if (proof->step <= factor->last_step)
		return fail_totp(attempt, &factor->user_id, "code used before");
	return AS_OK;
}

AsFailure
as_factor_proof_try(AsAttempt *attempt, AsFactorProof *proof)
{
	if (proof->is_totp)
		return try_totp(attempt, proof);
	return as_recovery_code_is(&proof->factor.user_id, &proof->digest)
	           ? AS_OK
	           : fail_recovery(attempt);
}

AsFailure
as_factor_proof_use(AsAttempt *attempt, const AsAccount *account,
                    AsFactorProof *proof)
{
	const AsFactor *factor = &proof->factor;

	if (proof->is_totp && !as_factor_use_step(factor, proof->step))
		return fail_totp(attempt, &factor->user_id, "code used before");
	if (!proof->is_totp &&
	    !as_recovery_code_consume(&factor->user_id, &proof->digest))
		return fail_recovery(attempt);
	forgive(attempt, &factor->user_id);
	if (!proof->is_totp)
		as_factor_tell(account, "recovery_code_used");
	return AS_OK;
}

const char *
as_factor_proof_method(const AsFactorProof *proof)
{
	return proof->is_totp ? "otp" : "recovery";
}

/* ---- on and off ---- */

AsFailure
as_factor_confirm(AsAttempt *attempt, AsFactorProof *proof)
{
	const AsUuid *user_id = &proof->factor.user_id;

	/* Another enrolment took its place since the code was compared. */
	if (!as_factor_turn_on(&proof->factor, proof->step))
		return as_attempt_tell(attempt, AS_INVALID_CODE,
		                       "Give a code of the newest enrolment.");
	forgive(attempt, user_id);
	return AS_OK;
}

void
as_factor_left(const AsUuid *user_id)
{
	as_factor_delete_all(user_id);
	as_recovery_code_delete_all(user_id);
	as_mfa_use_delete_all(user_id);
	as_code_failure_forget(failure_key(user_id));
}

void
as_factor_remove(const AsAccount *account, bool by_operator)
{
	AsOrigin origin = as_request_origin();

	as_store_make_durable();
	as_factor_delete_all(&account->id);
	as_recovery_code_delete_all(&account->id);
	as_factor_forgive(&account->id);
	tell(account, by_operator ? "second_factor_reset" : "totp_disabled",
	     by_operator ? NULL : &origin);
}
