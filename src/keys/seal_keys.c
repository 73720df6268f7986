/*
 * seal_keys.c: all keys under the master key of today.
 *
 * What an operator asks for who sets a master key for the first time, or
 * another one: all keys or, where one can't be opened, none. The secrets of
 * second factors are keys, too: who changes the master key must not lock their
 * users out.
 */
#include "keys/keys.h"

/* The label is factor.c's of the services. */
static AsStatement select_factors = AS_READS(
    "SELECT user_id::text || '/' || id::text AS label, secret AS stored"
    "  FROM auth_private.factors ORDER BY user_id, id");

static AsStatement update_factor =
    AS_WRITES("UPDATE auth_private.factors SET secret = $2"
              " WHERE user_id = split_part($1, '/', 1)::uuid"
              "   AND id = split_part($1, '/', 2)::uuid");

static int
seal_all(const AsMasterKey *previous)
{
	return as_signing_key_seal(previous) + as_mac_key_seal(previous) +
	       as_sealed_renew(&select_factors, &update_factor, previous);
}

AsSealing
as_keys_seal(const char *previous_file, int *sealed)
{
	AsMasterKey key;

	if (auth_session_master_key_file[0] == '\0')
		return AS_SEALING_NO_FILE;
	if (previous_file != NULL &&
	    as_master_key_read(previous_file, &key) != AS_MASTER_KEY_OK)
		return AS_SEALING_PREVIOUS_REFUSED;
	PG_TRY();
	{
		*sealed = seal_all(previous_file == NULL ? NULL : &key);
	}
	PG_FINALLY();
	{
		as_wipe(&key, sizeof(key));
	}
	PG_END_TRY();
	return AS_SEALING_DONE;
}
