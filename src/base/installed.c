/*
 * installed.c: the version of the extension in this database, by the catalog.
 *
 * The library comes with the server's start, its SQL with ALTER EXTENSION, so
 * that each may be there before the other. Read without a statement: nothing
 * of the extension can be taken for granted where the two differ.
 */
#include "base/base.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_extension.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#define EXTENSION "auth_session"

char *
as_installed_version(void)
{
	Relation extensions = table_open(ExtensionRelationId, AccessShareLock);
	char *version = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple tuple;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
	            F_NAMEEQ, CStringGetDatum(EXTENSION));
	scan = systable_beginscan(extensions, ExtensionNameIndexId, true, NULL, 1,
	                          &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		bool is_null;
		Datum value = heap_getattr(tuple, Anum_pg_extension_extversion,
		                           RelationGetDescr(extensions), &is_null);

		version = is_null ? NULL : TextDatumGetCString(value);
	}
	systable_endscan(scan);
	table_close(extensions, AccessShareLock);
	return version;
}
