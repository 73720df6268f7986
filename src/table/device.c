/*
 * device.c: from where a user has signed in, in auth_private.devices.
 *
 * A row is one network and one family of user agents, on a day: nothing is
 * unique here, so a sign-in waits for no other, and an address that is used
 * every day adds a row a day until prune.
 */
#include "table/table.h"

/* Networks as providers hand them out: /24, and /48 of IPv6. */
#define DEVICE                                                            \
	"COALESCE(pg_catalog.text(pg_catalog.network(pg_catalog.set_masklen(" \
	"    $2::pg_catalog.inet,"                                            \
	"    CASE pg_catalog.family($2::pg_catalog.inet)"                     \
	"    WHEN 4 THEN 24 ELSE 48 END))) || COALESCE(' ' || $3, ''), $3, '')"

static AsStatement select_seen = AS_READS(
    "SELECT FROM auth_private.devices"
    " WHERE user_id = $1 AND device = " DEVICE "   AND seen_at > $4 LIMIT 1");

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.devices (user_id, device, id, seen_at)"
              " VALUES ($1, " DEVICE ", $4, $5)");

static AsStatement delete_all =
    AS_WRITES("DELETE FROM auth_private.devices WHERE user_id = $1");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, device, id FROM auth_private.devices"
              "      WHERE seen_at <= $1"
              "      ORDER BY seen_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.devices"
              "  WHERE (user_id, device, id) IN"
              "        (SELECT user_id, device, id FROM batch)");

static AsStatement export =
    AS_EXPORTS("device, seen_at", "devices WHERE user_id = $1", "seen_at DESC");

#define DAYS(n) ((n) *USECS_PER_DAY)

/* How long a device is known. */
#define KNOWN DAYS(90)

static bool
is_seen_after(const AsUuid *user_id, const char *address, const char *family,
              TimestampTz after)
{
	return as_store_run(&select_seen,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_text(address),
	                            as_arg_text(family), as_arg_time(after))) > 0;
}

bool
as_device_is_new(const AsUuid *user_id, const char *address, const char *family)
{
	TimestampTz now = GetCurrentTimestamp();
	bool is_new = !is_seen_after(user_id, address, family, now - KNOWN);
	AsUuid id = as_uuid_random();

	if (is_new || !is_seen_after(user_id, address, family, now - DAYS(1)))
		(void) as_store_run(&insert,
		                    AS_ARGS(as_arg_uuid(user_id), as_arg_text(address),
		                            as_arg_text(family), as_arg_uuid(&id),
		                            as_arg_time(now)));
	return is_new;
}

void
as_device_delete_all(const AsUuid *user_id)
{
	(void) as_store_run(&delete_all, AS_ARGS(as_arg_uuid(user_id)));
}

int
as_device_prune(TimestampTz now, int batch)
{
	return (int) as_shards_run(
	    &prune, "auth_private.devices",
	    AS_ARGS(as_arg_time(now - KNOWN), as_arg_int(batch)));
}

Jsonb *
as_device_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}
