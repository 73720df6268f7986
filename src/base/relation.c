/*
 * relation.c: the tables and indexes of auth_private by their names.
 */
#include "base/base.h"

#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/*
 * Relations by the constants that name them, till a message says that some
 * relation or schema has changed its name.
 */
static struct
{
	const char *name;
	Oid relation;
} known[16];
static int known_count = 0;

static void
forget_names(Datum argument, int cache, uint32 hash)
{
	known_count = 0;
}

Oid
as_store_relation(const char *table)
{
	static bool is_registered = false;
	Oid relation;

	if (!is_registered)
	{
		CacheRegisterSyscacheCallback(RELNAMENSP, forget_names, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACENAME, forget_names, (Datum) 0);
	}
	is_registered = true;
	for (int i = 0; i < known_count; i++)
		if (known[i].name == table)
			return known[i].relation;

	relation =
	    get_relname_relid(table, get_namespace_oid(AS_PRIVATE_SCHEMA, true));
	if (OidIsValid(relation) && known_count < (int) lengthof(known))
	{
		known[known_count].name = table;
		known[known_count].relation = relation;
		known_count++;
	}
	return relation;
}
