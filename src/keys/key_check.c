/*
 * key_check.c: what an operator should know of the keys.
 *
 * The first byte of a stored form says whether it is open, the next 16 under
 * which master key it is sealed (tool/key_seal.c): so nothing has to be opened
 * to find what could not be.
 */
#include "keys/keys.h"

/* All that is stored in that form. */
#define ALL_STORED                                                           \
	"(SELECT secret FROM auth_private.signing_keys WHERE state <> 'retired'" \
	" UNION ALL SELECT key FROM auth_private.mac_keys"                       \
	" UNION ALL SELECT secret FROM auth_private.factors) AS stored"          \
	" WHERE octet_length(secret) > 0"

static AsStatement count_open =
    AS_READS("SELECT format('%s keys and secrets of second factors are stored"
             " open, though there is a master key', count(*)) AS finding,"
             " 'Whoever reads a dump or a backup can sign tokens and derive"
             " codes.' AS risk,"
             " 'Run: SELECT auth_admin.seal_keys();' AS cure"
             "  FROM " ALL_STORED " AND get_byte(secret, 0) = 0"
             " HAVING count(*) > 0");

/* $1: the master key's name; NULL: there is none. */
static AsStatement count_foreign =
    AS_READS("SELECT format(CASE WHEN $1::bytea IS NULL"
             "   THEN '%s keys and secrets of second factors are sealed, and"
             " no master key is set'"
             "   ELSE '%s keys and secrets of second factors are sealed under"
             " another master key' END, count(*)) AS finding,"
             " 'Nobody who needs one of them can sign in.' AS risk,"
             " 'Set auth_session.master_key_file to the file that they were"
             " sealed under; or, where you have both files, run: SELECT"
             " auth_admin.seal_keys(''the former file'');' AS cure"
             "  FROM " ALL_STORED " AND get_byte(secret, 0) = 1"
             "   AND substring(secret FROM 2 FOR " CppAsString2(
                 AS_MASTER_KEY_ID_BYTES) ") IS DISTINCT FROM $1"
                                         " HAVING count(*) > 0");

/* 384 bytes of modulus are 512 characters of base64url. */
static AsStatement short_rsa = AS_READS(
    "SELECT format('RSA key %s has fewer than 3072 bits', kid) AS finding,"
    " 'Less than 128 bits of security, which ASVS asks for.' AS risk,"
    " 'Make and activate another key: SELECT"
    " auth_admin.create_signing_key(''RS256''); then retire this one.' AS cure"
    "  FROM auth_private.signing_keys"
    " WHERE algorithm = 'RS256' AND state <> 'retired'"
    "   AND length(public_jwk ->> 'n') < 512 ORDER BY kid");

/* The file's fault; NULL, and the id of its key, where it has none. */
static const char *
read_id(uint8 id[AS_MASTER_KEY_ID_BYTES])
{
	AsMasterKey master;
	const char *fault = as_master_key_fault(
	    as_master_key_read(auth_session_master_key_file, &master));

	if (fault != NULL)
		return fault;
	as_master_key_id(&master, id);
	as_wipe(&master, sizeof(master));
	return NULL;
}

void
as_keys_check(AsFindings *findings)
{
	uint8 id[AS_MASTER_KEY_ID_BYTES];
	const char *fault;

	as_finding_select(findings, &short_rsa, AS_NO_ARGS);
	if (auth_session_master_key_file[0] == '\0')
	{
		as_finding_add(
		    findings, "Keys are stored open: no master key is set",
		    "Whoever reads a dump or a backup can sign tokens and derive "
		    "codes.",
		    "As the server's user run: umask 077; head -c 32 /dev/urandom "
		    ">FILE (where no backup takes it); set "
		    "auth_session.master_key_file to its path, reload the "
		    "configuration, and run: SELECT auth_admin.seal_keys();");
		as_finding_select(findings, &count_foreign,
		                  AS_ARGS(as_arg_bytes(NULL, 0)));
		return;
	}
	fault = read_id(id);
	if (fault != NULL)
	{
		as_finding_add(findings,
		               psprintf("The master key file is refused: %s", fault),
		               "No key can be opened or stored: sign-ins and "
		               "renewals fail.",
		               "Restore the file that auth_session.master_key_file "
		               "names; the server log has which one it is.");
		return;
	}
	as_finding_select(findings, &count_open, AS_NO_ARGS);
	as_finding_select(findings, &count_foreign,
	                  AS_ARGS(as_arg_bytes(id, sizeof(id))));
}
