/*
 * sealed.c: what is stored under the master key.
 *
 * The master key is read from its file when a secret is stored or opened,
 * which is when a backend loads its keys and not on every request, and is
 * zeroed at once. A file that can't be used denies: nothing is ever stored
 * open because sealing failed. The log says what is wrong with the file; the
 * caller hears only that there is something to mend.
 */
#include "keys/keys.h"

static bool read_master_key(AsMasterKey *out);

uint8 *
as_sealed_make(const char *label, const void *secret, size_t length,
               size_t *stored_length)
{
	uint8 *stored = palloc(length + AS_SEAL_OVERHEAD);
	AsMasterKey master;

	if (auth_session_master_key_file[0] == '\0')
	{
		*stored_length = as_key_seal(NULL, label, secret, length, stored);
		return stored;
	}
	if (!read_master_key(&master))
		as_sealed_fail(AS_SEAL_NO_MASTER_KEY);
	*stored_length = as_key_seal(&master, label, secret, length, stored);
	as_wipe(&master, sizeof(master));
	return stored;
}

AsSealOutcome
as_sealed_open(const char *label, const uint8 *stored, size_t stored_length,
               void *out, size_t room, size_t *length)
{
	AsMasterKey master;
	bool has_master = false;
	AsSealOutcome outcome;

	if (as_key_is_sealed(stored, stored_length))
		has_master = read_master_key(&master);
	outcome = as_key_open(has_master ? &master : NULL, label, stored,
	                      stored_length, out, room, length);
	if (has_master)
		as_wipe(&master, sizeof(master));
	if (outcome == AS_SEAL_OTHER_MASTER_KEY)
		ereport(LOG_SERVER_ONLY,
		        (errmsg("key \"%s\" is sealed under another master key", label),
		         errhint("Set auth_session.master_key_file to the file it "
		                 "was sealed under.")));
	else if (outcome == AS_SEAL_NO_MASTER_KEY)
		ereport(
		    LOG_SERVER_ONLY,
		    (errmsg("key \"%s\" is sealed and there is no master key", label),
		     errhint("Set auth_session.master_key_file.")));
	else if (outcome == AS_SEAL_DAMAGED)
		ereport(LOG_SERVER_ONLY, (errmsg("key \"%s\" is damaged", label)));
	return outcome;
}

uint8 *
as_sealed_again(const char *label, const uint8 *stored, size_t stored_length,
                const AsMasterKey *previous, size_t *again_length)
{
	uint8 *again = palloc(stored_length + AS_SEAL_OVERHEAD);
	uint8 *secret = palloc(stored_length);
	size_t length;
	AsMasterKey master;
	AsSealOutcome outcome;
	bool is_done;

	if (!read_master_key(&master))
		as_sealed_fail(AS_SEAL_NO_MASTER_KEY);
	outcome = as_key_open(&master, label, stored, stored_length, secret,
	                      stored_length, &length);
	is_done =
	    outcome == AS_SEAL_OPENED && as_key_is_sealed(stored, stored_length);
	if (outcome == AS_SEAL_OTHER_MASTER_KEY && previous != NULL)
		outcome = as_key_open(previous, label, stored, stored_length, secret,
		                      stored_length, &length);
	if (outcome == AS_SEAL_OPENED && !is_done)
		*again_length = as_key_seal(&master, label, secret, length, again);
	as_wipe(&master, sizeof(master));
	as_wipe(secret, stored_length);
	pfree(secret);
	if (outcome != AS_SEAL_OPENED)
		as_sealed_fail(outcome);
	if (!is_done)
		return again;
	pfree(again);
	return NULL;
}

void
as_sealed_fail(AsSealOutcome outcome)
{
	ereport(ERROR,
	        (errcode(ERRCODE_CONFIG_FILE_ERROR),
	         errmsg("a key of the authentication service is not available"),
	         errdetail_log("%s", outcome == AS_SEAL_OTHER_MASTER_KEY
	                                 ? "It is sealed under another master key."
	                             : outcome == AS_SEAL_DAMAGED
	                                 ? "It is damaged."
	                                 : "The master key is missing or refused."),
	         errhint("The operator finds the reason in the server log.")));
	pg_unreachable();
}

/* Reads the file that the setting names; the log has why it can't. */
static bool
read_master_key(AsMasterKey *out)
{
	const char *why = NULL;

	if (auth_session_master_key_file[0] == '\0')
		return false;
	switch (as_master_key_read(auth_session_master_key_file, out))
	{
		case AS_MASTER_KEY_OK:
			return true;
		case AS_MASTER_KEY_MISSING:
			why = "It is no regular file that the server can read.";
			break;
		case AS_MASTER_KEY_MODE:
			why =
			    "It must belong to the user of the server and be of mode 0600.";
			break;
		case AS_MASTER_KEY_SIZE:
			why = "It must have exactly 32 bytes, not all of them zero.";
			break;
	}
	ereport(LOG_SERVER_ONLY, (errcode(ERRCODE_CONFIG_FILE_ERROR),
	                          errmsg("the master key file \"%s\" is refused",
	                                 auth_session_master_key_file),
	                          errdetail("%s", why)));
	return false;
}
