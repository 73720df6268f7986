/*
 * shared.h: the shared-memory floor. What outlives a rollback.
 *
 * A caller can always undo what its transaction wrote. What must stay in
 * spite of that is counted, limited or handed over here. Calls base only.
 */
#ifndef AS_SHARED_H
#define AS_SHARED_H

#include "base/base.h"

/* Each asks for its shared memory; from _PG_init, preloaded. */
extern void as_throttle_init(void);
extern void as_hash_gate_init(void);
extern void as_counters_init(void);
/* Also has the postmaster start the worker. */
extern void as_recorder_init(void);
extern void as_prepared_init(void);
extern void as_key_use_init(void);

/* ---- shared_area.c: one named piece of shared memory ---- */

typedef struct AsSharedArea
{
	const char *name;
	Size size;
	const char *lock_tranche; /* of one LWLock, or NULL */
	/* Called once per server start, and where a process attaches anew. */
	void (*attach)(void *memory, bool is_new);
} AsSharedArea;

/* Asks for an area, which must be static; from _PG_init, preloaded. */
extern void as_shared_area_add(const AsSharedArea *area);

/* ---- throttle.c: attempts counted before the work ---- */

typedef enum AsLimit
{
	AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS = 1, /* failures, per account + address */
	AS_LIMIT_SIGNIN_ACCOUNT,             /* failures, per account, from all */
	AS_LIMIT_SIGNIN_ADDRESS,             /* failures, per client address */
	AS_LIMIT_SIGNUP_ADDRESS,             /* sign-ups, per client address */
	AS_LIMIT_MESSAGE_IDENTIFIER,         /* messages asked for an identifier */
	AS_LIMIT_RESEND,                     /* one message per cooldown */
	AS_LIMIT_CODE,         /* wrong codes, per address and purpose */
	AS_LIMIT_CODE_ACCOUNT, /* wrong passwords beside a right code */
	AS_LIMIT_REFUSAL       /* refusals, per client address */
} AsLimit;

#define AS_LIMIT_COUNT AS_LIMIT_REFUSAL

/* A try that is under way, until it turns out right or wrong. */
typedef struct AsThrottleTicket
{
	AsLimit limit;
	uint64 hash;
	int sketch;
	uint32 window;
	uint32 end; /* of the window it was counted in */
	bool is_open;
} AsThrottleTicket;

/*
 * Each judges one attempt of key (bytes of any length; per database) against
 * allowed failures per window_s seconds (1 to a day); allowed 0 is no limit.
 * AS_OK; AS_THROTTLED where as many have failed; AS_BUSY where as many have
 * failed or are being tried: then *retry_after_s has the seconds until it may
 * be repeated. Atomic, so of any number of parallel calls no more than allowed
 * fail. Only on AS_OK anything is counted: by count a failure, by take a try,
 * by look nothing.
 *
 * For AS_LIMIT_RESEND window_s is a cooldown: one attempt (allowed 1), then
 * none until window_s seconds after it.
 */
extern AsFailure as_throttle_look(AsLimit limit, const void *key,
                                  size_t key_length, int allowed, int window_s,
                                  int *retry_after_s);
extern AsFailure as_throttle_count(AsLimit limit, const void *key,
                                   size_t key_length, int allowed, int window_s,
                                   int *retry_after_s);
extern AsFailure as_throttle_take(AsLimit limit, const void *key,
                                  size_t key_length, int allowed, int window_s,
                                  AsThrottleTicket *ticket, int *retry_after_s);

/*
 * The try was wrong: from now on it is a failure; or it was not: it is
 * forgotten. Once for each ticket, further calls do nothing.
 */
extern void as_throttle_fail(AsThrottleTicket *ticket);
extern void as_throttle_return(AsThrottleTicket *ticket);

/*
 * Forgets a key's failures in the running window. Where all cells of the key
 * are shared with other keys (see throttle.c for the odds), some of theirs
 * are forgotten with them.
 */
extern void as_throttle_clear(AsLimit limit, const void *key,
                              size_t key_length);

/* ---- hash_gate.c: how many Argon2 computations run at once ---- */

/*
 * Waits for a place for at most wait_ms milliseconds, interruptibly, as one
 * of at most max_waiting. False when none came free or too many wait. The
 * place is given back by leave, on error and on exit too. Hold no lock here.
 */
extern bool as_hash_gate_enter(int max_running, int max_waiting, int wait_ms);
extern void as_hash_gate_leave(void);

/* How many wait at this moment, in the whole server. */
extern int as_hash_gate_waiting(void);

/* ---- counters.c: how often what has happened ---- */

typedef enum AsCounter
{
	AS_COUNT_SIGNINS,   /* sessions that were opened */
	AS_COUNT_RENEWALS,  /* refresh tokens that were rotated */
	AS_COUNT_HASH_WAITS /* hashes that had to wait for a place */
} AsCounter;

#define AS_COUNTERS (AS_COUNT_HASH_WAITS + 1)

/* At least as many as there are values of AsFailure. */
#define AS_FAILURES_MOST 64

typedef struct AsCounts
{
	TimestampTz since;        /* the server's start, or its last crash */
	TimestampTz pruned_at;    /* AS_NO_TIME: not since then */
	TimestampTz forwarded_at; /* as_counters_forwarded; AS_NO_TIME: never */
	int64 discarded;          /* records, in the whole server */
	int64 counts[AS_COUNTERS];
	int64 refusals[AS_FAILURES_MOST];
} AsCounts;

/* One more, of this database; refusals are counted as they are raised. */
extern void as_counter_add(AsCounter counter);

/* Of a database that has been dropped. */
extern void as_counters_discarded(int count);

/* When prune last ran in this database. */
extern void as_counters_pruned(TimestampTz at);

/*
 * A client address was passed on in vain, no proxy being trusted; true for the
 * first time since the server was started.
 */
extern bool as_counters_forwarded(void);

/*
 * The library is of another version than the extension of this database; true
 * for the first time since the server was started.
 */
extern bool as_counters_mismatched(void);

/* Lines about refusals that a database gets in a second. */
#define AS_REFUSAL_LINES 100

/*
 * Whether a line about a refusal may be logged now, and how many were left out
 * in the last second that had any, which are told once.
 */
extern bool as_counters_may_log(int *left_out);

/* The counts of this database; false where it has none. */
extern bool as_counters_read(AsCounts *out);

/* ---- recorder.c: what must become durable though the caller fails ---- */

typedef enum AsRecordKind
{
	AS_RECORD_NONE,        /* nothing is recorded */
	AS_RECORD_EVENT,       /* an audit row of a failure */
	AS_RECORD_REUSE,       /* end the session of a reused refresh token */
	AS_RECORD_CODE_ATTEMPT /* a wrong try on a one-time code */
} AsRecordKind;

#define AS_USER_AGENT_BYTES 256
#define AS_ADDRESS_CHARS    45

#define AS_EVENT_NAME_CHARS 31

/* Who did it: the user, this service by itself, or an operator's role. */
#define AS_ACTOR_USER   "user"
#define AS_ACTOR_SYSTEM "system"

/*
 * What happened: one row of the audit log, of fixed size and without a
 * secret. A uuid of all zeros is unknown, and so is what is "".
 */
typedef struct AsEvent
{
	char action[AS_EVENT_NAME_CHARS + 1]; /* the function's name, mostly */
	char actor[NAMEDATALEN];
	char reason[AS_EVENT_NAME_CHARS + 1]; /* finer than the caller is told */
	AsFailure result;
	TimestampTz at;
	AsUuid user_id;
	AsUuid session_id;
	char address[AS_ADDRESS_CHARS + 1];       /* canonical text */
	char user_agent[AS_USER_AGENT_BYTES + 1]; /* no control characters */
} AsEvent;

/* An identifier in the database's encoding: at most twice what it is in UTF-8. */
#define AS_IDENTIFIER_BYTES (2 * AS_EMAIL_MAX_BYTES)

typedef struct AsRecord
{
	AsRecordKind kind;
	Oid database;
	AsEvent event; /* always filled; the only content of AS_RECORD_EVENT */

	/* AS_RECORD_CODE_ATTEMPT: at which address, and what the code is for. */
	char identifier[AS_IDENTIFIER_BYTES + 1];
	char purpose[AS_EVENT_NAME_CHARS + 1];

	/* The recorder's own: */
	int times;        /* that it happened, as one record */
	bool is_unlogged; /* beyond the audit rows of a second: it makes none */
} AsRecord;

typedef enum AsRecordOutcome
{
	AS_RECORD_COMMITTED, /* the worker committed it */
	AS_RECORD_QUEUED,    /* not within the wait, but it will be */
	AS_RECORD_COUNTED, /* an audit row too many in this second: none is made */
	AS_RECORD_FULL,    /* no room, or no worker: deny, with AS_BUSY */
	AS_RECORD_IMPOSSIBLE /* a standby, where nothing can be recorded */
} AsRecordOutcome;

/* A place in the queue that is kept for a record to come; id 0: none. */
typedef struct AsRecordHold
{
	int slot;
	uint64 id;
} AsRecordHold;

/*
 * Keeps a place for a record of a kind, before something is compared that
 * must be on record when it is wrong. False where there is no room, or no
 * worker. Submit uses it up, or it is let go of, at the latest when the
 * transaction or the process ends.
 */
extern bool as_recorder_hold(AsRecordKind kind, AsRecordHold *hold);
extern void as_recorder_let_go(AsRecordHold *hold);

/*
 * Hands a record to the worker and waits up to wait_ms milliseconds for its
 * commit (0: doesn't wait), interruptibly; a cancelled caller leaves the
 * record queued. hold is the place kept for it, or NULL. Fills the record's
 * database and the recorder's own members. Whatever the outcome, the caller
 * goes on to raise its failure; only AS_RECORD_FULL turns it into AS_BUSY.
 *
 * Hold no lock here that the record's own rows need: the worker could only
 * wait for it, and this for the worker, until wait_ms is over.
 */
extern AsRecordOutcome as_recorder_submit(AsRecord *record, AsRecordHold *hold,
                                          int wait_ms);

/* ---- recorder.c, the worker's side ---- */

/* A record in the worker's hands. */
typedef struct AsTaken
{
	int slot;
	int waits; /* how often it had to wait for a lock or for room, */
	int tries; /* and how often it failed for another reason */
	AsRecord record;
} AsTaken;

/*
 * Takes up to most records of this database that are due, oldest first, and
 * returns how many; few of them are such that failed before. When none is
 * due, *wait_ms is how long until one will be (-1: until woken). What the
 * process has in hand when it exits, in whatever way but a crash, is queued
 * again.
 */
extern int as_recorder_take(AsTaken *taken, int most, long *wait_ms);
/* They are committed, or never can be: forgets them, and wakes who waits. */
extern void as_recorder_settle(const AsTaken *taken, int count);
/* Queues one again, to be taken after delay_ms, waits and tries as given. */
extern void as_recorder_put_back(const AsTaken *taken, int delay_ms);
/* Forgets all records of a database and returns how many there were. */
extern int as_recorder_discard(Oid database);

/* How many records of a database are not committed yet. */
extern int as_recorder_waiting(Oid database);

/* ---- key_use.c: when API keys were last used ---- */

typedef struct AsKeyUse
{
	AsUuid user_id;
	AsUuid id;
	TimestampTz at;
} AsKeyUse;

/*
 * Notes a use, for the worker to write, at most once a minute and key; one may
 * be lost. Raises nothing; does nothing on a standby.
 */
extern void as_key_use_note(const AsUuid *user_id, const AsUuid *id,
                            TimestampTz at);

/* In the worker: up to most that wait in this database; says how many. */
extern int as_key_use_take(AsKeyUse *uses, int most);

/* Of a database that has been dropped. */
extern void as_key_use_forget(Oid database);

/* ---- record_file.c: what is queued while the server is down ---- */

/* Keeps records in a file, and takes them from there: postmaster only. */
extern void as_record_file_write(const AsRecord *records, int count);
extern int as_record_file_read(AsRecord *records, int most);

/* ---- commit_wake.c: what a commit wakes the worker for ---- */

/* What a worker does besides the records, once for any number of wakes. */
typedef enum AsWork
{
	AS_WORK_BRIDGE = 1,  /* one empty NOTIFY auth_session_outbox */
	AS_WORK_FOLD = 2,    /* revocations are worked into the rows they name */
	AS_WORK_KEYS = 4,    /* PostgREST is told to load the keys again */
	AS_WORK_KEY_USES = 8 /* when API keys were last used is written */
} AsWork;

#define AS_WORK_ALL \
	(AS_WORK_BRIDGE | AS_WORK_FOLD | AS_WORK_KEYS | AS_WORK_KEY_USES)

/*
 * After this transaction's commit the worker does this work in this database,
 * but sends no NOTIFY where auth_session.notify is off. Nothing on rollback; a
 * savepoint rolled back in a transaction that commits wakes for nothing. Of a
 * prepared transaction COMMIT PREPARED sees to it (prepared.c).
 */
extern void as_wake_on_commit(AsWork work);

/* ---- dispatch.c: which databases have work, and who serves them ---- */

/* What the postmaster calls (worker.c), and what it is called in views. */
#define AS_WORKER_MAIN "auth_session_worker_main"
#define AS_WORKER_NAME "auth_session recorder"

/* Asks for its shared memory and has the postmaster start the dispatcher. */
extern void as_dispatch_init(void);

/*
 * A database has one more record in the queue: wakes its worker, or the
 * dispatcher. False when too many databases have work already. The record
 * must be in the queue by now, so its removal may come first: the count is
 * below zero for that moment.
 */
extern bool as_dispatch_add(Oid database);
/* It has count records less. */
extern void as_dispatch_remove(Oid database, int count);

/* There is such work in this database. Raises nothing. */
extern void as_dispatch_wake(AsWork work);
/* In its worker: whether that is so; once. */
extern bool as_dispatch_take_work(AsWork work);
/* It could not be done, or not all: to be tried again. */
extern void as_dispatch_put_back_work(AsWork work);

/* This process is the dispatcher, until it exits. */
extern void as_dispatch_begin(void);

/*
 * Whether there is a dispatcher, or was one a few seconds ago: what is queued
 * without is recorded by nobody.
 */
extern bool as_dispatch_is_served(void);

/* How many background workers could be started at this moment. */
extern int as_free_worker_slots(void);

/*
 * The database that has waited longest for a worker, or InvalidOid when none
 * waits or most_served have one; then *wait_ms is how long until the next
 * look (-1: until woken). The database is STARTING from now on, until
 * as_dispatch_serve_end, or as_dispatch_cancel when no worker could be had
 * for it. *doubtful is one that could not be connected to *failures times in
 * a row, at least AS_DISPATCH_DOUBTFUL, else InvalidOid: look whether it is still there. It is tried again
 * and again in any case, until as_dispatch_forget.
 */
#define AS_DISPATCH_DOUBTFUL 3
extern Oid as_dispatch_next(int most_served, long *wait_ms, Oid *doubtful,
                            int *failures);
extern void as_dispatch_cancel(Oid database);

/* A database is gone, and what it wanted with it, but for records. */
extern void as_dispatch_forget(Oid database);

/*
 * Whether as many databases have been waiting for a worker, for longer than
 * this, that the turn is at this process to make room.
 */
#define AS_DISPATCH_YIELD_MS 20
extern bool as_dispatch_must_yield(void);

/*
 * This process serves a database from now on, until as_dispatch_serve_end or
 * its exit; false when another does. To be called before it connects.
 */
extern bool as_dispatch_serve_begin(Oid database);
/* The connection stands. */
extern void as_dispatch_serve_connected(void);
/* Ends it, unless there is work and only_idle: then false. */
extern bool as_dispatch_serve_end(bool only_idle);

#endif /* AS_SHARED_H */
