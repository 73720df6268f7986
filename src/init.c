/*
 * init.c: what the server calls when it loads the library.
 *
 * The library belongs into shared_preload_libraries: what must survive a
 * caller's rollback lives in shared memory. Loaded otherwise (by pg_upgrade,
 * pg_restore, or a forgotten setting) it loads without complaint, and each
 * function says what to set.
 */
#include "redact/redact.h"
#include "service/service.h"
#include "shared/shared.h"

#include <sodium.h>

#include "fmgr.h"
#include "miscadmin.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	if (sodium_init() < 0)
		ereport(ERROR, (errcode(ERRCODE_SYSTEM_ERROR),
		                errmsg("could not initialize libsodium")));

	as_settings_define();
	if (!process_shared_preload_libraries_in_progress)
		return;
	as_is_preloaded = true;
	as_redact_init();
	as_throttle_init();
	as_hash_gate_init();
	as_counters_init();
	as_recorder_init();
	as_prepared_init();
	as_key_use_init();
	as_request_init();
	as_refusal_log_init();
}
