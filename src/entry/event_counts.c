/*
 * event_counts.c: auth_private.event_counts, the part of auth_admin.stats that
 * no table has.
 *
 * On a standby nothing is signed in or renewed, and what it refuses is not what
 * a monitor wants to know of the service: there all of it is NULL.
 */
#include "entry/entry.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "funcapi.h"
#include "miscadmin.h"

AS_ENTRY(auth_private_event_counts);

/* By code, those that there have been. */
static Jsonb *
refusals_of(const AsCounts *counts)
{
	StringInfoData json;

	as_json_begin(&json);
	for (int i = AS_OK + 1; i < AS_FAILURES_MOST; i++)
		if (counts->refusals[i] > 0)
			as_json_number(&json, as_failure_code((AsFailure) i),
			               counts->refusals[i]);
	as_json_end(&json);
	return as_jsonb_parse(json.data);
}

static void
put_counts(const AsCounts *counts, Datum values[9], bool nulls[9])
{
	values[0] = TimestampTzGetDatum(counts->since);
	values[1] = Int64GetDatum(counts->counts[AS_COUNT_SIGNINS]);
	values[2] = Int64GetDatum(counts->counts[AS_COUNT_RENEWALS]);
	values[3] = JsonbPGetDatum(refusals_of(counts));
	values[4] = Int64GetDatum(counts->counts[AS_COUNT_HASH_WAITS]);
	values[5] = Int32GetDatum(as_hash_gate_waiting());
	values[6] = Int32GetDatum(as_recorder_waiting(MyDatabaseId));
	values[7] = Int64GetDatum(counts->discarded);
	values[8] = TimestampTzGetDatum(counts->pruned_at);
	memset(nulls, false, 9 * sizeof(bool));
	nulls[8] = counts->pruned_at == AS_NO_TIME;
}

Datum
auth_private_event_counts(PG_FUNCTION_ARGS)
{
	Datum values[9] = {0};
	bool nulls[9];
	TupleDesc type;
	AsCounts counts;

	if (get_call_result_type(fcinfo, NULL, &type) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "the function must return a composite type");
	memset(nulls, true, sizeof(nulls));
	if (!RecoveryInProgress() && as_counters_read(&counts))
		put_counts(&counts, values, nulls);
	PG_RETURN_DATUM(HeapTupleGetDatum(
	    heap_form_tuple(BlessTupleDesc(type), values, nulls)));
}
