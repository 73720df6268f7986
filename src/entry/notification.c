/*
 * notification.c: auth_admin.claim_notifications, settle_notifications and
 * release_notifications: what the bridge calls.
 */
#include "entry/entry.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

AS_ENTRY(auth_admin_claim_notifications);
AS_ENTRY(auth_admin_settle_notifications);
AS_ENTRY(auth_admin_release_notifications);

#define CLAIM_MOST         10000
#define LEASE_MOST         USECS_PER_DAY
#define ERROR_MOST_BYTES   1000
#define CHANNEL_MOST_BYTES 16

static void
put_claimed(ReturnSetInfo *result, const AsClaimed *row)
{
	Datum values[7];
	bool nulls[7] = {false};

	values[0] = PointerGetDatum(&row->id);
	values[1] = TimestampTzGetDatum(row->created_at);
	values[2] = CStringGetTextDatum(row->kind);
	values[3] = CStringGetTextDatum(row->channel);
	values[4] = CStringGetTextDatum(row->recipient);
	values[5] = PointerGetDatum(&row->user_id);
	nulls[5] = !as_uuid_is_known(&row->user_id);
	values[6] = PointerGetDatum(row->payload);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

static bool
is_lease(const Interval *lease)
{
	return lease->month == 0 && lease->day >= 0 && lease->day <= 1 &&
	       lease->time >= 0 && lease->time <= LEASE_MOST &&
	       lease->day * USECS_PER_DAY + lease->time <= LEASE_MOST;
}

static bool
is_channel(const char *channel)
{
	return channel == NULL || as_word_is_in("email, sms, event", channel);
}

Datum
auth_admin_claim_notifications(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	AsClaimed *rows;
	AsText channel;
	int most;
	int count;

	as_call_enter(AS_CALL_WRITES);
	most = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	if (most < 1 || most > CLAIM_MOST)
		as_fail(AS_INVALID_REQUEST, "max is not from 1 to 10000.");
	if (PG_ARGISNULL(1) || !is_lease(PG_GETARG_INTERVAL_P(1)))
		as_fail(AS_INVALID_REQUEST, "The lease is not from 0 to 24 hours.");
	if (!as_call_text(fcinfo, 2, CHANNEL_MOST_BYTES, &channel) ||
	    !is_channel(channel.bytes))
		as_fail(AS_INVALID_REQUEST,
		        "The channel is none of email, sms and event.");

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	count = as_delivery_claim(most, PG_GETARG_DATUM(1), channel.bytes, &rows);
	for (int i = 0; i < count; i++)
		put_claimed(result, &rows[i]);
	return (Datum) 0;
}

/* A uuid[] of bounded length without NULLs. */
static Datum
require_ids(FunctionCallInfo fcinfo)
{
	ArrayType *ids;

	if (PG_ARGISNULL(0))
		as_fail(AS_INVALID_REQUEST, "Give ids.");
	ids = PG_GETARG_ARRAYTYPE_P(0);
	if (ARR_HASNULL(ids) ||
	    ArrayGetNItems(ARR_NDIM(ids), ARR_DIMS(ids)) > CLAIM_MOST)
		as_fail(AS_INVALID_REQUEST, "ids is too long, or contains NULL.");
	return PointerGetDatum(ids);
}

Datum
auth_admin_settle_notifications(PG_FUNCTION_ARGS)
{
	as_call_enter(AS_CALL_WRITES);
	PG_RETURN_INT32(as_outbox_settle(require_ids(fcinfo)));
}

Datum
auth_admin_release_notifications(PG_FUNCTION_ARGS)
{
	AsText error;

	as_call_enter(AS_CALL_WRITES);
	if (!as_call_text(fcinfo, 1, 64 * ERROR_MOST_BYTES, &error))
		as_fail(AS_INVALID_REQUEST, "The error is too long.");
	PG_RETURN_INT32(as_outbox_release(
	    require_ids(fcinfo),
	    error.bytes == NULL
	        ? NULL
	        : as_display_text(error.bytes, error.length, ERROR_MOST_BYTES),
	    !PG_ARGISNULL(2) && PG_GETARG_BOOL(2)));
}
