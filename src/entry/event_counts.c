/*
 * event_counts.c: auth_private.event_counts, the part of auth_admin.stats that
 * no table has.
 *
 * A type, and not a function, because of who may: sql/50_admin.sql says it. Its
 * values are those of jsonb.
 *
 * On a standby nothing is signed in or renewed, and what it refuses is not what
 * a monitor wants to know of the service: there nothing is counted.
 */
#include "entry/entry.h"

#include "access/xlog.h"
#include "miscadmin.h"

AS_ENTRY(auth_private_event_counts_in);
AS_ENTRY(auth_private_event_counts_out);

/* By code, those that there have been. */
static char *
print_refusals(const AsCounts *counts)
{
	StringInfoData json;

	as_json_begin(&json);
	for (int i = AS_OK + 1; i < AS_FAILURES_MOST; i++)
		if (counts->refusals[i] > 0)
			as_json_number(&json, as_failure_code((AsFailure) i),
			               counts->refusals[i]);
	as_json_end(&json);
	return json.data;
}

static void
put_counts(StringInfo json, const AsCounts *counts)
{
	as_json_time(json, "since", counts->since);
	as_json_number(json, "signins", counts->counts[AS_COUNT_SIGNINS]);
	as_json_number(json, "renewals", counts->counts[AS_COUNT_RENEWALS]);
	as_json_raw(json, "refusals", print_refusals(counts));
	as_json_number(json, "hash_waits", counts->counts[AS_COUNT_HASH_WAITS]);
	as_json_number(json, "hashes_waiting", as_hash_gate_waiting());
	as_json_number(json, "records_waiting", as_recorder_waiting(MyDatabaseId));
	as_json_number(json, "records_discarded", counts->discarded);
	if (counts->pruned_at != AS_NO_TIME)
		as_json_time(json, "last_pruned", counts->pruned_at);
}

Datum
auth_private_event_counts_in(PG_FUNCTION_ARGS)
{
	StringInfoData json;
	AsCounts counts;

	as_json_begin(&json);
	if (!RecoveryInProgress() && as_counters_read(&counts))
		put_counts(&json, &counts);
	as_json_end(&json);
	PG_RETURN_JSONB_P(as_jsonb_parse(json.data));
}

Datum
auth_private_event_counts_out(PG_FUNCTION_ARGS)
{
	PG_RETURN_CSTRING(as_jsonb_print(PG_GETARG_JSONB_P(0)));
}
