/*
 * password.c: which passwords are taken, and their hashes within the gate.
 *
 * Every hash that the extension computes passes here, and so the hash
 * gate: the server never computes more at once than
 * auth_session.max_concurrent_hashes. Callers hold no lock meanwhile.
 *
 * Whoever waits for a place can be cancelled, and has tried nothing then.
 * From the place to the verdict nobody can: a cancel that came after the
 * comparison would be a guess for nothing. The flow counts the verdict before
 * it does anything that can be interrupted.
 */
#include "service/service.h"

#include <sodium.h>

#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

/*
 * OWASP's table: with less memory more passes cost an attacker the same. A
 * setting below its line is taken up to it.
 */
static AsHashCost
cost_of_settings(void)
{
	static const AsHashCost floor[] = {
	    {47104, 1}, {19456, 2}, {12288, 3}, {9216, 4}, {7168, 5}};
	AsHashCost cost = {(uint32) auth_session_argon2_memory,
	                   (uint32) auth_session_argon2_iterations};

	for (int i = 0; i < (int) lengthof(floor); i++)
	{
		if (cost.memory_kib < floor[i].memory_kib)
			continue;
		cost.iterations = Max(cost.iterations, floor[i].iterations);
		break;
	}
	return cost;
}

/*
 * A hash that no password has, at the current cost: verifying it is the same
 * work as verifying a real one.
 */
static void
make_decoy(AsPasswordHash *hash)
{
	AsHashCost cost = cost_of_settings();
	uint8 random[16 + 32];
	char salt[32];
	char digest[64];

	randombytes_buf(random, sizeof(random));
	(void) sodium_bin2base64(salt, sizeof(salt), random, 16,
	                         sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	(void) sodium_bin2base64(digest, sizeof(digest), random + 16, 32,
	                         sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
	snprintf(hash->phc, sizeof(hash->phc), "$argon2id$v=19$m=%u,t=%u,p=1$%s$%s",
	         cost.memory_kib, cost.iterations, salt, digest);
}

static bool
enter_gate(void)
{
	CHECK_FOR_INTERRUPTS();
	return as_hash_gate_enter(auth_session_max_concurrent_hashes,
	                          auth_session_max_waiting_hashes,
	                          auth_session_hash_wait);
}

AsFailure
as_password_verify(const AsPassword *password, const AsPasswordHash *hash,
                   bool *matches)
{
	AsPasswordHash decoy;
	bool is_real = hash != NULL && as_password_hash_acceptable(hash);

	AsHashVerdict verdict;

	*matches = false;
	if (!is_real)
	{
		make_decoy(&decoy);
		hash = &decoy;
	}
	if (!enter_gate())
		return AS_BUSY;
	HOLD_INTERRUPTS();
	verdict = as_password_hash_verify(hash, password);
	as_hash_gate_leave();
	RESUME_INTERRUPTS();
	*matches = verdict == AS_HASH_RIGHT && is_real;
	return verdict == AS_HASH_NO_MEMORY ? AS_BUSY : AS_OK;
}

AsFailure
as_password_make_hash(const AsPassword *password, AsPasswordHash *hash)
{
	bool made;

	if (!enter_gate())
		return AS_BUSY;
	made = as_password_hash_make(password, cost_of_settings(), hash);
	as_hash_gate_leave();
	return made ? AS_OK : AS_BUSY;
}

bool
as_password_needs_rehash(const AsPasswordHash *hash, const AsPassword *password)
{
	return as_password_hash_is_weaker(hash, password, cost_of_settings());
}

bool
as_password_is_poisoned(const AsPasswordHash *hash)
{
	return hash->phc[0] != '\0' && !as_password_hash_acceptable(hash);
}

/* ---- which passwords are taken ---- */

/* The part of a canonical email before its @. */
static char *
local_part(const char *email)
{
	const char *at = strchr(email, '@');

	return pnstrdup(email, at == NULL ? strlen(email) : (size_t) (at - email));
}

/* Whether a password is an identifier, or nothing much beyond one. */
static bool
is_built_on(const char *folded, const char *word)
{
	return strlen(word) >= 4 && strstr(folded, word) != NULL &&
	       strlen(folded) - strlen(word) < 4;
}

/*
 * Asks the application, say for a list of breached passwords. What it can't
 * answer is refused: an error as AS_BUSY, NULL and a password that the
 * database's encoding can't hold as a no.
 */
static bool
hook_accepts(const AsPassword *password)
{
	AsHookCall call = {
	    .setting = "auth_session.password_hook",
	    .function = auth_session_password_hook,
	    .shape = &as_password_hook_shape,
	    .collation = DEFAULT_COLLATION_OID,
	};
	char *plain = as_text_from_utf8(password->bytes, password->length);
	text *argument;
	bool is_null;
	bool accepted;

	if (plain == NULL)
		return false;
	argument = cstring_to_text(plain);
	call.values[0] = PointerGetDatum(argument);
	accepted = DatumGetBool(as_hook_call(&call, &is_null)) && !is_null;
	as_wipe(plain, strlen(plain));
	as_wipe(VARDATA(argument), VARSIZE(argument) - VARHDRSZ);
	return accepted;
}

const char *
as_password_weakness(const AsPassword *password, size_t characters,
                     const char *email, const char *phone)
{
	const char *weakness = NULL;
	char *folded;

	if (characters < (size_t) auth_session_password_min_length)
		return "The password has too few characters.";

	folded = as_fold_text(password->bytes, password->length);
	if (as_common_password_is(folded))
		weakness = "The password is one of the most common ones.";
	else if ((email != NULL && (is_built_on(folded, email) ||
	                            is_built_on(folded, local_part(email)))) ||
	         (phone != NULL && is_built_on(folded, phone + 1)))
		weakness = "The password is the account's own address.";
	else if (auth_session_password_hook[0] != '\0' && !hook_accepts(password))
		weakness = "The password is one of those that are refused here.";
	as_wipe(folded, strlen(folded));
	pfree(folded);
	return weakness;
}

AsFailure
as_password_take(AsAttempt *attempt, AsNewPassword *new,
                 const AsAccount *account)
{
	const char *email = account->email == NULL
	                        ? NULL
	                        : as_identifier_canonical(account->email, false);
	const char *weakness = as_password_weakness(&new->password, new->characters,
	                                            email, account->phone);

	if (weakness != NULL)
		return as_attempt_tell(attempt, AS_WEAK_PASSWORD, weakness);
	return as_password_make_hash(&new->password, &new->hash);
}
