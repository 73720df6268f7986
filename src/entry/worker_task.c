/*
 * worker_task.c: the transactions of the recorder's worker.
 *
 * Records that are due are committed together. When that fails, each is
 * tried in a transaction of its own, so that none takes others down. What
 * failed stays queued and is tried again, for ever: for want of a lock or of
 * room on the disk it is only ever a matter of time; any other error is
 * logged, and the pauses grow. Only where the extension is gone from the
 * database, records go with it.
 *
 * Locks are waited for briefly. A caller may hold the very row while it waits
 * for its record, which no deadlock detector sees.
 *
 * Interrupts are held off from the commit until the records are settled, so
 * that no commit is followed by a second try.
 */
#include "entry/entry.h"

#include "access/xact.h"
#include "commands/async.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

/* How long a record waits for a lock, and how long one that had to before. */
#define LOCK_WAIT   "25ms"
#define RELOCK_WAIT "5ms"

/* How long a node may take for the statements of a transaction. */
#define NODE_WAIT_MS 2000

/* Until the next try after a failure that passes by itself. */
#define RETRY_MIN_MS 50
#define RETRY_MAX_MS 1000

/* After one for another reason, and how many of them make a line in the log. */
#define REDO_MIN_MS    1000
#define REDO_MAX_MS    60000
#define TRIES_PER_LINE 10

/* Uses of API keys that are written in one transaction. */
#define KEY_USES 100

/* Users whose revocations are worked off between two looks at the list. */
#define FOLD_USERS 100

#define CHANNEL           "auth_session_outbox"
#define POSTGREST_CHANNEL "pgrst" /* its db-channel, unless set otherwise */

/* What is in it lives until the next task. */
static MemoryContext task_context = NULL;

/* How long a record waits for a lock, in the store or elsewhere. */
static void
worker_set_lock_wait(const char *wait)
{
	SetConfigOption("lock_timeout", wait, PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("auth_session.lock_wait", wait, PGC_SUSET, PGC_S_OVERRIDE);
}

void
as_worker_connect(Oid database)
{
	BackgroundWorkerInitializeConnectionByOid(database, InvalidOid,
	                                          BGWORKER_BYPASS_ALLOWCONN);

	/* Settings of the database must not get in the way of the records. */
	SetConfigOption("default_transaction_isolation", "read committed",
	                PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_deferrable", "off", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("session_replication_role", "origin", PGC_SUSET,
	                PGC_S_OVERRIDE);
	SetConfigOption("statement_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
	SetConfigOption("exit_on_error", "off", PGC_SUSET, PGC_S_OVERRIDE);
#if PG_VERSION_NUM >= 170000
	SetConfigOption("transaction_timeout", "0", PGC_SUSET, PGC_S_OVERRIDE);
#endif
	task_context = AllocSetContextCreate(TopMemoryContext, AS_WORKER_NAME,
	                                     ALLOCSET_DEFAULT_SIZES);
}

static void
worker_forget_last_task(void)
{
	MemoryContextReset(task_context);
	MemoryContextSwitchTo(task_context);
}

/*
 * Begins a transaction; it ends with worker_commit or worker_rescue. In a
 * block, as a client's BEGIN makes it: Citus takes statements outside of one
 * for transactions of their own. A node that doesn't answer holds up the
 * records of its users only, and those who wait beside them for so long.
 */
static void
worker_begin(const char *activity)
{
	pgstat_report_activity(STATE_RUNNING, activity);
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	BeginTransactionBlock();
	CommitTransactionCommand();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	if (as_is_distributed())
		enable_timeout_after(STATEMENT_TIMEOUT, NODE_WAIT_MS);
}

static void
worker_commit(void)
{
	disable_timeout(STATEMENT_TIMEOUT, false);
	PopActiveSnapshot();
	(void) EndTransactionBlock(false);
	CommitTransactionCommand();
	pgstat_report_stat(true);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* In PG_CATCH: the error, in the worker's memory; the transaction is over. */
static ErrorData *
worker_rescue(void)
{
	ErrorData *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(task_context);
	error = CopyErrorData();
	disable_timeout(STATEMENT_TIMEOUT, false);
	QueryCancelPending = false;
	FlushErrorState();
	AbortOutOfAnyTransaction();
	RESUME_INTERRUPTS();
	pgstat_report_activity(STATE_IDLE, NULL);
	return error;
}

/* Whether the failure passes by itself, and the record can wait for that. */
static bool
worker_can_wait(const ErrorData *error)
{
	switch (ERRCODE_TO_CATEGORY(error->sqlerrcode))
	{
		case ERRCODE_TRANSACTION_ROLLBACK: /* deadlocks, too */
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
			return true;
		default:
			return error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE ||
			       error->sqlerrcode == as_failure_sqlstate(AS_BUSY);
	}
}

static const char *
worker_record_name(AsRecordKind kind)
{
	switch (kind)
	{
		case AS_RECORD_NONE:
			return "nothing";
		case AS_RECORD_EVENT:
			return "an audit row";
		case AS_RECORD_REUSE:
			return "the end of a session whose refresh token was reused";
		case AS_RECORD_CODE_ATTEMPT:
			return "a wrong try on a one-time code";
	}
	pg_unreachable();
}

/*
 * Commits records in one transaction, and settles them. NULL, or the error
 * that undid it; *gone when the extension is no longer in the database.
 */
static ErrorData *
worker_try(const AsTaken *taken, int count, bool *gone)
{
	ErrorData *volatile error = NULL;
	int i;

	*gone = false;
	PG_TRY();
	{
		worker_begin("auth_session: recording");
		if (OidIsValid(as_store_relation("audit_log")))
		{
			Oid user;
			int context;

			GetUserIdAndSecContext(&user, &context);
			SetUserIdAndSecContext(as_owner_role(),
			                       context | SECURITY_LOCAL_USERID_CHANGE);
			for (i = 0; i < count; i++)
				as_consequence_apply(&taken[i].record);
			SetUserIdAndSecContext(user, context);
			as_store_make_durable();
		}
		else
			*gone = true;

		HOLD_INTERRUPTS();
		worker_commit();
		as_recorder_settle(taken, count);
		RESUME_INTERRUPTS();
	}
	PG_CATCH();
	{
		error = worker_rescue();
	}
	PG_END_TRY();
	return error;
}

static void
worker_failed(AsTaken *taken, const ErrorData *error)
{
	const char *name = worker_record_name(taken->record.kind);
	int delay_ms;

	if (worker_can_wait(error))
	{
		delay_ms = Min(RETRY_MIN_MS << Min(taken->waits, 5), RETRY_MAX_MS);
		taken->waits++;
		as_recorder_put_back(taken, delay_ms);
		return;
	}

	if (taken->tries % TRIES_PER_LINE == 0)
		ereport(LOG,
		        (errcode(error->sqlerrcode),
		         errmsg("auth_session could not record %s, and tries again: %s",
		                name, error->message)));
	delay_ms = Min(REDO_MIN_MS << Min(taken->tries, 6), REDO_MAX_MS);
	taken->tries++;
	as_recorder_put_back(taken, delay_ms);
}

/*
 * Tries each record alone. Those that failed before are to wait for a lock
 * no longer than it takes to see that it is still held.
 */
static int
worker_record_singly(AsTaken *taken, int count)
{
	int discarded = 0;
	int i;

	for (i = 0; i < count; i++)
	{
		bool gone;
		ErrorData *error;

		worker_set_lock_wait(taken[i].waits > 0 ? RELOCK_WAIT : LOCK_WAIT);
		error = worker_try(&taken[i], 1, &gone);
		if (error != NULL)
			worker_failed(&taken[i], error);
		else if (gone)
			discarded++;
		CHECK_FOR_INTERRUPTS();
	}
	return discarded;
}

static bool
worker_is_fresh(const AsTaken *taken)
{
	return taken->waits + taken->tries == 0;
}

/* The fresh ones first, the older before the newer. */
static int
worker_order(const void *a, const void *b)
{
	const AsTaken *left = a;
	const AsTaken *right = b;
	TimestampTz difference = left->record.event.at - right->record.event.at;

	if (worker_is_fresh(left) != worker_is_fresh(right))
		return worker_is_fresh(left) ? -1 : 1;
	return difference < 0 ? -1 : difference > 0;
}

void
as_worker_record(AsTaken *taken, int count)
{
	int fresh = 0;
	int discarded = 0;
	bool gone;

	worker_forget_last_task();
	qsort(taken, (size_t) count, sizeof(AsTaken), worker_order);
	while (fresh < count && worker_is_fresh(&taken[fresh]))
		fresh++;

	worker_set_lock_wait(LOCK_WAIT);
	if (fresh > 0 && worker_try(taken, fresh, &gone) == NULL)
		discarded = gone ? fresh : 0;
	else
		discarded = worker_record_singly(taken, fresh);
	discarded += worker_record_singly(&taken[fresh], count - fresh);
	if (discarded > 0)
		ereport(LOG, (errmsg("auth_session discarded %d records of database "
		                     "%u, which no longer has the extension",
		                     discarded, MyDatabaseId)));
}

/* A commit that a crash may lose is worth no flush here. */
static void
worker_commit_lazily(void)
{
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
	                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/*
 * NOTIFY takes a lock of the whole cluster until its commit is flushed; an
 * empty wake-up is worth no flush.
 */
static bool
worker_notify(AsWork work, const char *channel, const char *payload)
{
	bool volatile woken = true;

	worker_forget_last_task();
	PG_TRY();
	{
		worker_begin(work == AS_WORK_BRIDGE
		                 ? "auth_session: waking the bridge"
		                 : "auth_session: telling PostgREST");
		worker_commit_lazily();
		Async_Notify(channel, payload);
		worker_commit();
	}
	PG_CATCH();
	{
		ErrorData *error = worker_rescue();

		woken = false;
		as_dispatch_put_back_work(work);
		ereport(LOG, (errcode(error->sqlerrcode),
		              errmsg("auth_session could not notify \"%s\": %s",
		                     channel, error->message)));
	}
	PG_END_TRY();
	return woken;
}

bool
as_worker_wake_bridge(void)
{
	return worker_notify(AS_WORK_BRIDGE, CHANNEL, NULL);
}

bool
as_worker_tell_postgrest(void)
{
	return worker_notify(AS_WORK_KEYS, POSTGREST_CHANNEL, "reload config");
}

static void
worker_write_key_uses(const AsKeyUse *uses, int count)
{
	for (int i = 0; i < count; i++)
		if (as_api_key_try_lock(&uses[i].user_id, &uses[i].id) == AS_LOCKED)
			as_api_key_set_used(&uses[i].user_id, &uses[i].id, uses[i].at);
}

/* What could not be written is noted again with a later use. */
void
as_worker_note_key_uses(void)
{
	AsKeyUse uses[KEY_USES];
	int volatile count = KEY_USES;

	while (count == KEY_USES)
	{
		worker_forget_last_task();
		count = as_key_use_take(uses, KEY_USES);
		PG_TRY();
		{
			worker_begin("auth_session: noting uses of API keys");
			if (OidIsValid(as_store_relation("api_keys")))
				worker_write_key_uses(uses, count);
			worker_commit_lazily();
			worker_commit();
		}
		PG_CATCH();
		{
			ErrorData *error = worker_rescue();

			if (!worker_can_wait(error))
				ereport(LOG,
				        (errcode(error->sqlerrcode),
				         errmsg("auth_session could not write when API keys "
				                "were last used: %s",
				                error->message)));
		}
		PG_END_TRY();
		CHECK_FOR_INTERRUPTS();
	}
}

/*
 * The next users of whom revocations are pending, in the memory of the task;
 * NULL where they can't be listed now.
 */
static int
worker_list_users(const AsUuid *after, AsUuid **users)
{
	int volatile count = -1;

	PG_TRY();
	{
		MemoryContext task = CurrentMemoryContext;

		worker_begin("auth_session: folding revocations");
		MemoryContextSwitchTo(task);
		count = OidIsValid(as_store_relation("revocations"))
		            ? as_revocation_list_users(after, FOLD_USERS, users)
		            : 0;
		worker_commit();
	}
	PG_CATCH();
	{
		(void) worker_rescue();
	}
	PG_END_TRY();
	return count;
}

static void
worker_fold_failed(const ErrorData *error)
{
	if (!worker_can_wait(error))
		ereport(LOG, (errcode(error->sqlerrcode),
		              errmsg("auth_session could not work revocations into "
		                     "sessions, and tries again: %s",
		                     error->message)));
}

/* Whether nothing is left to be done for a user. */
static bool
worker_fold_user(const AsUuid *user)
{
	bool volatile done = false;

	PG_TRY();
	{
		worker_begin("auth_session: folding revocations");
		done = as_fold_user(user);
		worker_commit();
	}
	PG_CATCH();
	{
		worker_fold_failed(worker_rescue());
		done = false;
	}
	PG_END_TRY();
	return done;
}

/* How far what everybody's have ended has been worked off. */
static AsForAllPlace for_all_place;

static AsFolded
worker_fold_for_all(void)
{
	AsForAllPlace place = for_all_place;
	AsFolded volatile folded = AS_FOLD_HELD;

	/* From the beginning, unless this commits. */
	memset(&for_all_place, 0, sizeof(for_all_place));
	PG_TRY();
	{
		worker_begin("auth_session: folding revocations");
		folded = OidIsValid(as_store_relation("revocations"))
		             ? as_fold_for_all(&place)
		             : AS_FOLDED;
		worker_commit();
		for_all_place = place;
	}
	PG_CATCH();
	{
		worker_fold_failed(worker_rescue());
		folded = AS_FOLD_HELD;
	}
	PG_END_TRY();
	return folded;
}

AsFolded
as_worker_fold(void)
{
	AsUuid after = {{0}};
	bool done = true;
	int count;
	AsFolded for_all;

	worker_set_lock_wait(RELOCK_WAIT);
	do
	{
		AsUuid *users;

		worker_forget_last_task();
		count = worker_list_users(&after, &users);
		for (int i = 0; i < count; i++)
		{
			done = worker_fold_user(&users[i]) && done;
			after = users[i];
			CHECK_FOR_INTERRUPTS();
		}
	} while (count == FOLD_USERS);
	worker_forget_last_task();
	for_all = worker_fold_for_all();
	worker_set_lock_wait(LOCK_WAIT);
	return for_all == AS_FOLDED && !(done && count >= 0) ? AS_FOLD_HELD
	                                                     : for_all;
}
