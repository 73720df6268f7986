/*
 * shared.h: the shared-memory floor. What outlives a rollback.
 *
 * A caller can always undo what its transaction wrote. What must stay in
 * spite of that is counted, limited or handed over here.
 */
#ifndef AS_SHARED_H
#define AS_SHARED_H

#include "ground.h"

/* Asks for shared memory and starts the worker; from _PG_init, preloaded. */
extern void as_throttle_init(void);
extern void as_hash_gate_init(void);
extern void as_recorder_init(void);

/* ---- throttle.c: attempts counted before the work ---- */

typedef enum AsLimit
{
	AS_LIMIT_SIGNIN_ACCOUNT_ADDRESS = 1, /* failures, per account + address */
	AS_LIMIT_SIGNIN_ACCOUNT,             /* failures, per account, from all */
	AS_LIMIT_SIGNIN_ADDRESS,             /* failures, per client address */
	AS_LIMIT_SIGNUP_ADDRESS,             /* sign-ups, per client address */
	AS_LIMIT_MESSAGE_IDENTIFIER,         /* messages asked for an identifier */
	AS_LIMIT_RESEND,                     /* one message per cooldown */
	AS_LIMIT_CODE,                       /* wrong tries on one code */
	AS_LIMIT_CODE_ACCOUNT                /* wrong tries on one account */
} AsLimit;

/* What a take counted, so that a success can take back its own. */
typedef struct AsThrottleTicket
{
	AsLimit limit;
	uint64 hash;
	uint32 window;
	bool counted;
} AsThrottleTicket;

/*
 * Counts one attempt of key (bytes; per database) and answers whether it is
 * within allowed attempts per window_s seconds. Atomic: of any number of
 * parallel calls at most allowed get true. allowed 0 is no limit. On false
 * nothing stays counted and *retry_after_s has the seconds until the window
 * passes. ticket may be NULL.
 */
extern bool as_throttle_take(AsLimit limit, const void *key, size_t key_length,
                             int allowed, int window_s,
                             AsThrottleTicket *ticket, int *retry_after_s);

/* Takes back what the ticket counted, once. */
extern void as_throttle_return(AsThrottleTicket *ticket);

/* Forgets a key's attempts in the running window, as nearly as is safe. */
extern void as_throttle_clear(AsLimit limit, const void *key, size_t key_length,
                              int window_s);

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
	AS_RECORD_EVENT = 1,    /* an audit row of a failure */
	AS_RECORD_REUSE,        /* end the session of a reused refresh token */
	AS_RECORD_CODE_ATTEMPT, /* a wrong try on a one-time code */
	AS_RECORD_WAKE          /* NOTIFY the bridge after the caller's commit */
} AsRecordKind;

#define AS_USER_AGENT_BYTES 256
#define AS_ADDRESS_CHARS    45

/* What happened: one row of the audit log. */
typedef enum AsAction
{
	AS_ACTION_SIGNUP = 1,
	AS_ACTION_CONFIRM,
	AS_ACTION_RESEND,
	AS_ACTION_SIGNIN,
	AS_ACTION_RENEW,
	AS_ACTION_LOGOUT,
	AS_ACTION_LOGOUT_ALL,
	AS_ACTION_UPDATE_INFO,
	AS_ACTION_CHANGE_PASSWORD,
	AS_ACTION_REQUEST_RESET,
	AS_ACTION_RESET_PASSWORD,
	AS_ACTION_KEY
} AsAction;

/* Why, finer than the caller is told; the audit log has it. */
typedef enum AsReason
{
	AS_REASON_NONE,
	AS_REASON_UNKNOWN_ACCOUNT,
	AS_REASON_WRONG_PASSWORD,
	AS_REASON_PENDING_ACCOUNT,
	AS_REASON_BANNED_ACCOUNT,
	AS_REASON_CHANGED_MEANWHILE,
	AS_REASON_WRONG_CODE,
	AS_REASON_TOKEN_REUSED,
	AS_REASON_TOKEN_NEWER,
	AS_REASON_SESSION_GONE,
	AS_REASON_SESSION_EXPIRED,
	AS_REASON_OTHER_USER
} AsReason;

/*
 * One event, of fixed size and without a secret. A uuid of all zeros is
 * unknown. address is canonical text, "" when unknown; user_agent has no
 * control characters.
 */
typedef struct AsEvent
{
	AsAction action;
	AsFailure result;
	AsReason reason;
	TimestampTz at;
	AsUuid user_id;
	AsUuid session_id;
	char address[AS_ADDRESS_CHARS + 1];
	char user_agent[AS_USER_AGENT_BYTES + 1];
} AsEvent;

typedef struct AsRecord
{
	AsRecordKind kind;
	Oid database;
	AsEvent event;  /* always filled; the only content of AS_RECORD_EVENT */
	AsUuid code_id; /* AS_RECORD_CODE_ATTEMPT */
} AsRecord;

typedef enum AsRecordOutcome
{
	AS_RECORD_COMMITTED, /* the worker committed it */
	AS_RECORD_QUEUED,    /* not within the wait, but it will be */
	AS_RECORD_FULL       /* the queue is full: deny */
} AsRecordOutcome;

/*
 * Hands a record to the worker and waits up to wait_ms milliseconds for its
 * commit (0: doesn't wait). Fills record->database.
 */
extern AsRecordOutcome as_recorder_submit(AsRecord *record, int wait_ms);

/*
 * After this transaction's commit the worker sends one coalesced, empty
 * NOTIFY auth_session_outbox in this database. Nothing on rollback.
 */
extern void as_recorder_wake_bridge(void);

#endif /* AS_SHARED_H */
