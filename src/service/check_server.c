/*
 * check_server.c: what an operator should know of the server and its settings.
 *
 * Settings are those of the session that asks, as ALTER SYSTEM, ALTER DATABASE
 * and ALTER ROLE have made them; where one is meant for another role, those of
 * all roles are looked at.
 */
#include "service/service.h"

#include "access/xlog.h"
#include "miscadmin.h"

/* What ALTER ROLE and ALTER DATABASE have set for sessions of this database. */
#define SET_FOR_ROLES                                                   \
	"(SELECT lower(split_part(entry, '=', 1)) AS name,"                 \
	"        substr(entry, strpos(entry, '=') + 1) AS value"            \
	"   FROM pg_db_role_setting, unnest(setconfig) AS entry"            \
	"  WHERE setdatabase IN (0, (SELECT oid FROM pg_database"           \
	"                             WHERE datname = current_database()))" \
	"    AND entry LIKE 'auth\\_session.%') AS set_for_roles"

/* $1: the version of the library that runs. */
static AsStatement versions = AS_READS(
    "SELECT format('The server runs the library of version %s, and the"
    " extension in this database is %s', $1, extversion) AS finding,"
    " 'Functions may be missing, or do other things than they should.' AS risk,"
    " 'Install one version of both, restart the server, and run: ALTER"
    " EXTENSION auth_session UPDATE;' AS cure"
    "  FROM pg_extension WHERE extname = 'auth_session' AND extversion <> $1"
    " UNION ALL "
    "SELECT format('Version %s is installed, and the server still runs %s',"
    "   default_version, $1),"
    " 'What the installed version mends is not mended yet.',"
    " 'Restart the server, then run: ALTER EXTENSION auth_session UPDATE;'"
    "  FROM pg_available_extensions()"
    " WHERE name = 'auth_session' AND default_version <> $1");

static AsStatement no_site_url = AS_READS(
    "SELECT 'auth_session.site_url is not set' AS finding,"
    " 'Messages have codes but no links; invitations, which are links only,"
    " lead nowhere.' AS risk,"
    " format('Run: ALTER DATABASE %I SET auth_session.site_url ="
    " ''https://...'';', current_database()) AS cure"
    " WHERE current_setting('auth_session.site_url') = ''"
    " UNION ALL "
    "SELECT 'auth_session.site_url is a URL without TLS',"
    " 'Whoever is on the way reads the link tokens of confirmations and"
    " resets.',"
    " 'Set it to an https URL.'"
    " WHERE current_setting('auth_session.site_url') ~ '^http://'"
    "   AND current_setting('auth_session.site_url') !~"
    "       '^http://(localhost|127[.]|\\[::1\\])'");

static AsStatement no_proxy = AS_READS(
    "SELECT 'No proxy is trusted: no client has an address' AS finding,"
    " 'The limits per client address are off, and whoever fails often enough"
    " locks any account for everybody, its owner too.' AS risk,"
    " 'For the role that speaks for clients (PostgREST''s authenticator, or the"
    " back end''s) run: ALTER ROLE ... SET auth_session.trusted_proxies = 1;"
    " and let it pass x-forwarded-for in request.headers.' AS cure"
    " WHERE current_setting('auth_session.trusted_proxies')::int = 0"
    "   AND NOT EXISTS (SELECT FROM " SET_FOR_ROLES
    "     WHERE name = 'auth_session.trusted_proxies' AND value <> '0')");

static AsStatement trusted_roles = AS_READS(
    "SELECT DISTINCT format('request.jwt.claims of %s count as verified',"
    "   value) AS finding,"
    " 'Whatever runs as such a session user and can set request.jwt.claims,"
    " an SQL injection or a function that is exposed, becomes any user with a"
    " live session.' AS risk,"
    " 'Let PostgREST pass the bearer token, which is verified, and empty"
    " auth_session.trusted_claims_roles.' AS cure"
    "  FROM (SELECT current_setting('auth_session.trusted_claims_roles')"
    "   UNION ALL SELECT value FROM " SET_FOR_ROLES
    "     WHERE name = 'auth_session.trusted_claims_roles') AS v (value)"
    " WHERE btrim(value) <> ''");

static AsStatement short_passwords = AS_READS(
    "SELECT format('Passwords of %s characters are accepted',"
    "   current_setting('auth_session.password_min_length')) AS finding,"
    " 'NIST SP 800-63B-4 asks for 15 where the password is the only factor;"
    " OWASP ASVS level 1 for 8.' AS risk,"
    " format('Where users have no second factor, run: ALTER DATABASE %I SET"
    " auth_session.password_min_length = 15;', current_database()) AS cure"
    " WHERE current_setting('auth_session.password_min_length')::int < 15");

static void
check_hook(AsFindings *findings, const char *setting, const char *name,
           const AsHookShape *shape)
{
	const char *fault;
	AsHook found;

	if (name[0] == '\0')
		return;
	fault = as_hook_find(name, shape, &found);
	if (fault == NULL)
		return;
	as_finding_add(
	    findings,
	    psprintf("auth_session.%s, %s, cannot be called: %s", setting, name,
	             fault),
	    "Every call that needs it is refused as busy.",
	    psprintf("Create the function, or reset auth_session.%s.", setting));
}

/* ---- shared memory ---- */

static void
check_workers(AsFindings *findings)
{
	if (!as_dispatch_is_served())
		as_finding_add(
		    findings, "No worker records what outlives a rollback",
		    "Failures are refused as busy, and the bridge is not woken.",
		    "Raise max_worker_processes and restart the server: auth_session "
		    "needs one, and up to four where several databases use it.");
	else if (as_free_worker_slots() == 0)
		as_finding_add(
		    findings, "No background worker is free at this moment",
		    "What several databases have to record waits for one worker; "
		    "parallel queries and pg_cron compete for the same.",
		    "Raise max_worker_processes by four and restart the server.");
}

/* More than wait while a lock is held for a moment. */
#define RECORDS_WAITING 100

static void
check_counts(AsFindings *findings, const AsCounts *counts)
{
	int waiting = as_recorder_waiting(MyDatabaseId);

	if (waiting >= RECORDS_WAITING)
		as_finding_add(
		    findings, psprintf("%d records of failures wait", waiting),
		    "A crash of the server loses them; once the queue is full, "
		    "failures are refused as busy.",
		    "Look in pg_stat_activity for transactions that hold locks on "
		    "tables of auth_private, and in the server log for what keeps the "
		    "worker of auth_session from the database.");
	if (counts->forwarded_at != AS_NO_TIME &&
	    GetCurrentTimestamp() - counts->forwarded_at < USECS_PER_HOUR)
		as_finding_add(
		    findings,
		    "x-forwarded-for was sent within the last hour by a role for which "
		    "no proxy is trusted",
		    "It is ignored: the limits per client address are off there, and "
		    "anybody can lock any account.",
		    "For that role run: ALTER ROLE ... SET "
		    "auth_session.trusted_proxies = 1; (as many as stand before it), "
		    "and let it connect anew.");
}

bool
as_server_check(AsFindings *findings, const AsCounts *counts)
{
	if (!as_is_preloaded)
	{
		as_finding_add(
		    findings, "auth_session is not in shared_preload_libraries",
		    "Every function of it fails.",
		    "Add it to shared_preload_libraries and restart the server.");
		return false;
	}
	as_finding_select(findings, &versions, AS_ARGS(as_arg_text(AS_VERSION)));
	/* A standby writes nothing, and so has no worker. */
	if (!RecoveryInProgress())
		check_workers(findings);
	if (counts != NULL)
		check_counts(findings, counts);
	as_finding_select(findings, &no_proxy, AS_NO_ARGS);
	as_finding_select(findings, &trusted_roles, AS_NO_ARGS);
	as_finding_select(findings, &no_site_url, AS_NO_ARGS);
	as_finding_select(findings, &short_passwords, AS_NO_ARGS);
	check_hook(findings, "claims_hook", auth_session_claims_hook,
	           &as_claims_hook_shape);
	check_hook(findings, "password_hook", auth_session_password_hook,
	           &as_password_hook_shape);
	check_hook(findings, "signup_hook", auth_session_signup_hook,
	           &as_signup_hook_shape);
	return true;
}
