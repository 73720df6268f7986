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
/* Also has the postmaster start the worker. */
extern void as_recorder_init(void);

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
	AS_LIMIT_CODE,        /* wrong codes, per address and purpose */
	AS_LIMIT_CODE_ACCOUNT /* wrong passwords beside a right code */
} AsLimit;

#define AS_LIMIT_COUNT AS_LIMIT_CODE_ACCOUNT

/* What a take counted, so that a success can take back its own. */
typedef struct AsThrottleTicket
{
	AsLimit limit;
	uint64 hash;
	uint64 end_ms; /* of the window it was counted in */
	bool counted;
} AsThrottleTicket;

/*
 * Counts one attempt of key (bytes of any length; per database) and answers
 * whether it is within allowed attempts per window_s seconds (at least 1).
 * Atomic: of any number of parallel calls at most allowed get true. allowed
 * 0 is no limit. On false nothing stays counted and *retry_after_s has the
 * seconds until the window passes. ticket may be NULL.
 *
 * For AS_LIMIT_RESEND window_s is a cooldown: one attempt (allowed 1), then
 * none until window_s seconds after it.
 */
extern bool as_throttle_take(AsLimit limit, const void *key, size_t key_length,
                             int allowed, int window_s,
                             AsThrottleTicket *ticket, int *retry_after_s);

/* Takes back what the ticket counted, once, while its window runs. */
extern void as_throttle_return(AsThrottleTicket *ticket);

/*
 * Forgets a key's attempts in the running window. Where all cells of the key
 * are shared with other keys (see throttle.c for the odds), some of theirs
 * are forgotten with them. A ticket taken before must not be returned after.
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
} AsRecord;

typedef enum AsRecordOutcome
{
	AS_RECORD_COMMITTED, /* the worker committed it */
	AS_RECORD_QUEUED,    /* not within the wait, but it will be */
	AS_RECORD_FULL,      /* the queue is full: deny, with AS_BUSY */
	AS_RECORD_IMPOSSIBLE /* a standby, where nothing can be recorded */
} AsRecordOutcome;

/*
 * Hands a record to the worker and waits up to wait_ms milliseconds for its
 * commit (0: doesn't wait), interruptibly; a cancelled caller leaves the
 * record queued. Fills record->database. Whatever the outcome, the caller
 * goes on to raise its failure; only AS_RECORD_FULL turns it into AS_BUSY.
 *
 * Hold no lock here that the record's own rows need: the worker could only
 * wait for it, and this for the worker, until wait_ms is over.
 */
extern AsRecordOutcome as_recorder_submit(AsRecord *record, int wait_ms);

/* What a worker does besides the records, once for any number of wakes. */
typedef enum AsWork
{
	AS_WORK_BRIDGE = 1, /* one empty NOTIFY auth_session_outbox */
	AS_WORK_FOLD = 2    /* revocations are worked into the rows they name */
} AsWork;

/*
 * Keeps a place in the queue for the next record that this backend submits, of
 * something that must not happen where it can't be recorded. False when the
 * queue is full. One at a time; given back by unreserve, and on exit.
 */
extern bool as_recorder_reserve(void);
extern void as_recorder_unreserve(void);

/*
 * After this transaction's commit the worker does this work in this database.
 * Nothing on rollback; a savepoint rolled back in a transaction that commits
 * wakes for nothing.
 */
extern void as_recorder_wake(AsWork work);

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
/* They are committed, or never can be: forgets them, wakes who waits. */
extern void as_recorder_settle(const AsTaken *taken, int count);
/* Queues one again, to be taken after delay_ms, waits and tries as given. */
extern void as_recorder_put_back(const AsTaken *taken, int delay_ms);
/* Forgets all records of a database and returns how many there were. */
extern int as_recorder_discard(Oid database);

/* ---- record_file.c: what is queued while the server is down ---- */

/* Keeps records in a file, and takes them from there: postmaster only. */
extern void as_record_file_write(const AsRecord *records, int count);
extern int as_record_file_read(AsRecord *records, int most);

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
 * The database that has waited longest for a worker, or InvalidOid when none
 * waits or most_served have one; then *wait_ms is how long until the next
 * look (-1: until woken). The database is STARTING from now on, until
 * as_dispatch_serve_end, or as_dispatch_cancel when no worker could be had
 * for it. *hopeless is a database that could not be connected to time and
 * again, else InvalidOid: discard its records.
 */
extern Oid as_dispatch_next(int most_served, long *wait_ms, Oid *hopeless);
extern void as_dispatch_cancel(Oid database);

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
