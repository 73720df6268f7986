/*
 * version.c: the library and its SQL are of one version, or the log says so.
 *
 * After a package was upgraded and the server restarted nothing else tells that
 * ALTER EXTENSION is still to come, or the other way round. A backend compares
 * once, in its first call, since a comparison is a look into the catalog; the
 * line comes once for each database and start of the server, however many
 * backends find it. Not to the client, whom it is none of.
 */
#include "service/service.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"

static bool is_compared = false;

static void
compare(void)
{
	char *installed = as_installed_version();

	is_compared = true;
	if (installed != NULL && strcmp(installed, AS_VERSION) != 0 &&
	    as_counters_mismatched())
		ereport(LOG_SERVER_ONLY,
		        (errmsg("the server runs the auth_session library of version "
		                "%s, and the extension in database \"%s\" is %s",
		                AS_VERSION, get_database_name(MyDatabaseId), installed),
		         errdetail("Functions may be missing, or do other things than "
		                   "they should."),
		         errhint("Install one version of both, restart the server, "
		                 "and run: ALTER EXTENSION auth_session UPDATE;"),
		         errhidestmt(true), errhidecontext(true)));
}

void
as_version_compare(void)
{
	if (unlikely(!is_compared))
		compare();
}
