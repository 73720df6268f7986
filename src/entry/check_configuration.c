/*
 * check_configuration.c: auth_admin.check_configuration, what an operator
 * should know of, a row a finding.
 *
 * It changes nothing, and works where little else does: on a standby, and
 * where the library was not preloaded, which is the one finding then. It reads
 * as auth_session_owner; only what pg_cron has of jobs is read as the caller,
 * who sees his own, or a superuser all.
 */
#include "entry/entry.h"

#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

AS_ENTRY(auth_admin_check_configuration);

/*
 * What auth_private.maintenance_jobs() answers (sql/57_check.sql): found by the
 * catalog alone, since the caller may not use that schema.
 */
static const Jsonb *
maintenance_jobs(void)
{
	LOCAL_FCINFO(call, 0);
	FmgrInfo info;
	Datum jobs;
	Oid function = GetSysCacheOid3(
	    PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum("maintenance_jobs"),
	    PointerGetDatum(buildoidvector(NULL, 0)),
	    ObjectIdGetDatum(get_namespace_oid(AS_PRIVATE_SCHEMA, false)));

	/* The SQL of another version. */
	if (!OidIsValid(function))
		return NULL;
	fmgr_info(function, &info);
	InitFunctionCallInfoData(*call, &info, 0, InvalidOid, NULL, NULL);
	jobs = FunctionCallInvoke(call);
	return call->isnull ? NULL : DatumGetJsonbP(jobs);
}

static void
check(AsFindings *findings)
{
	AsCounts read;
	const AsCounts *counts = as_counters_read(&read) ? &read : NULL;

	if (!as_server_check(findings, counts))
		return;
	as_rights_check(findings);
	as_keys_check(findings);
	/* Somebody else's work, on a standby. */
	if (!RecoveryInProgress())
		as_work_check(findings, counts, maintenance_jobs());
}

Datum
auth_admin_check_configuration(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsFindings findings = {0};
	ListCell *cell;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	check(&findings);
	foreach (cell, findings.list)
	{
		const AsFinding *found = lfirst(cell);
		Datum values[] = {CStringGetTextDatum(found->finding),
		                  CStringGetTextDatum(found->risk),
		                  CStringGetTextDatum(found->cure)};
		bool nulls[lengthof(values)] = {false};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
