/*
 * doors.h: the top floor. One file per flow, its SQL functions in it.
 *
 * A door reads its arguments, walks down through the nouns, and has one way
 * out: what it did is in the audit log, and a failure is raised only after
 * the recorder has it.
 */
#ifndef AS_DOORS_H
#define AS_DOORS_H

#include "nouns.h"

#include "fmgr.h"

/* Declares and registers the C function of an SQL function. */
#define AS_ENTRY(name)                        \
	PGDLLEXPORT Datum name(PG_FUNCTION_ARGS); \
	PG_FUNCTION_INFO_V1(name)

/* ---- door.c: what every door does ---- */

typedef enum AsDoor
{
	AS_DOOR_READS, /* works on a standby and in a read-only transaction */
	AS_DOOR_WRITES /* refused there: AS_READ_ONLY */
} AsDoor;

/*
 * First in every function: the library must be preloaded, and the statement
 * that called is masked from here on in whatever the server logs of it.
 */
extern void as_door_enter(AsDoor door);

/* A text argument in UTF-8, NUL-terminated; bytes is NULL for SQL NULL. */
typedef struct AsText
{
	char *bytes;
	size_t length;
} AsText;

/*
 * Reads a text argument of at most most bytes: its size is looked at before
 * anything else is done with it. False when it is longer.
 */
extern bool as_door_text(FunctionCallInfo fcinfo, int argument, size_t most,
                         AsText *out);

/* Zeroes and forgets a text that held a secret. */
extern void as_text_wipe(AsText *text);

/* An email or a phone number that a caller gave. */
typedef struct AsIdentifier
{
	char *canonical; /* NULL: none */
	char *typed;
	bool is_phone;
} AsIdentifier;

/*
 * Read as_door_text and normalise; a missing argument is no identifier. False
 * when it is neither an email nor a phone; the first two take only one kind.
 */
extern bool as_door_email(FunctionCallInfo fcinfo, int argument,
                          AsIdentifier *out);
extern bool as_door_phone(FunctionCallInfo fcinfo, int argument,
                          AsIdentifier *out);
extern bool as_door_identifier(FunctionCallInfo fcinfo, int argument,
                               AsIdentifier *out);

/*
 * A password of at most AS_PASSWORD_MAX_BYTES; characters may be NULL. False
 * when it is missing, too long or not Unicode. It is zeroed when the memory
 * of the call goes, at the latest.
 */
extern bool as_door_password(FunctionCallInfo fcinfo, int argument,
                             AsPassword *out, size_t *characters);

/*
 * An info argument, {} for SQL NULL; false when it is no object or longer
 * than 16 KiB.
 */
extern bool as_door_info(FunctionCallInfo fcinfo, int argument, Jsonb **info);

/* A uuid argument; false for SQL NULL. */
extern bool as_door_uuid(FunctionCallInfo fcinfo, int argument, AsUuid *out);

/* Begins the event of a flow: when and from where. */
extern void as_event_begin(AsEvent *event, AsAction action);

/* Writes the success of a flow to the audit log. */
extern void as_door_succeed(AsEvent *event);

/*
 * Raises a failure after the recorder has its event; AS_BUSY instead when
 * the recorder can't take it: nothing is refused without a trace.
 */
pg_noreturn extern void as_door_refuse(AsEvent *event, AsFailure failure,
                                       const char *hint);

/* The auth.account and auth.tokens of the function's result type. */
extern Datum as_door_account(FunctionCallInfo fcinfo, const AsAccount *account);
extern Datum as_door_tokens(FunctionCallInfo fcinfo, const AsAccount *account,
                            const AsSession *session,
                            const AsRefreshToken *token);

/* Where a session comes from, out of the request. */
extern AsOrigin as_door_origin(void);

/* {"ip": ..., "user_agent": ..., "at": ...} for a notification. */
extern char *as_door_origin_payload(void);

/* ---- context.c: who is calling ---- */

typedef struct AsContext
{
	bool is_genuine;   /* signed by us, or vouched for */
	AsFailure failure; /* AS_OK: live too */
	AsUuid user_id;
	AsUuid session_id;
	AsUuid jti;
	const AsAccessToken *token;
} AsContext;

/* The caller's context, live or not; NULL when it gave no token. */
extern const AsContext *as_context(void);

/* The caller's live context; raises what is wrong with it. */
extern const AsContext *as_context_require(void);

/* ---- signin.c ---- */

/*
 * Takes back the failed sign-ins of a canonical identifier: those from the
 * caller's client address, and those that count for all addresses together.
 */
extern void as_signin_forgive(const char *identifier);

/* ---- code_try.c: a typed code or a link token against code rows ---- */

/* What proves an address: six digits or so, or a link token. */
typedef struct AsProof
{
	AsIdentifier identifier; /* of the caller, or of the link's code row */
	AsText code;
	bool is_link;
	bool is_digits;
	AsUuid user_id; /* of the link token */
	AsUuid code_id;
} AsProof;

/*
 * Reads the arguments identifier (0) and code (1): AS_OK where the code is
 * digits and has an identifier, or a link token whose MAC is right.
 */
extern AsFailure as_proof_read(FunctionCallInfo fcinfo, AsProof *proof,
                               const char **hint);

/*
 * A link token names its code row, and so the identifier that it proves:
 * AS_OK and the identifier if the row is still there, for one of two
 * purposes and no other identifier than the caller's. Digits pass.
 */
extern AsFailure as_proof_follow(AsProof *proof, AsPurpose email_purpose,
                                 AsPurpose phone_purpose);

/* A code row that a proof may be for. */
typedef struct AsCodeTry
{
	AsCode code;
	int account_failures; /* of the account the code belongs to */
	bool matches;
	AsThrottleTicket ticket;
} AsCodeTry;

/*
 * Tries a proof against code rows and marks those that it matches; says
 * whether there is one. Digits are counted, in shared memory, before they
 * are compared: of any number of parallel tries no more are compared than
 * auth_session.code_attempts allows.
 */
extern bool as_code_try(const AsProof *proof, AsCodeTry *tries, int count);

/*
 * Makes the wrong try on each row durable; count may be 0. Nothing where the
 * proof could not be read.
 */
extern void as_code_try_failed(AsEvent *event, const AsProof *proof,
                               const AsCodeTry *tries, int count);

/* Takes back what a right try counted. */
extern void as_code_try_succeeded(AsCodeTry *tries, int count);

/* ---- message.c: messages that anybody can ask for ---- */

/*
 * What a message is for. Each has a limit of its own: whoever asks for
 * confirmations at somebody else's address must not use up the resets that
 * its owner may need.
 */
typedef enum AsMessage
{
	AS_MESSAGE_CONFIRMATION = 1,
	AS_MESSAGE_RESET
} AsMessage;

/*
 * Within auth_session.message_rate_per_account, and the cooldown when
 * with_cooldown; counts. Else AS_THROTTLED and the seconds.
 */
extern AsFailure as_message_allowed(AsMessage message,
                                    const AsIdentifier *identifier,
                                    bool with_cooldown, int *retry_after_s);

/*
 * Waits until half a millisecond after began: a row that is there takes a
 * little longer to read than one that isn't, and a request for a message
 * has no hash to hide that behind. To be called after the look-ups, before
 * any write.
 */
extern void as_message_look_up_until(TimestampTz began);

/*
 * Issues a code to user_id and puts its notification into the outbox; for
 * nobody (NULL) the same writes, of rows that lead nowhere.
 */
extern void as_message_send_code(const AsUuid *user_id, AsPurpose purpose,
                                 const AsIdentifier *identifier,
                                 const char *recipient);

/* ---- worker_task.c: the transactions of the recorder's worker ---- */

/* Connects to a database, as the bootstrap superuser, and makes ready. */
extern void as_worker_connect(Oid database);

/*
 * Commits what it can of the records, which as_recorder_take gave, settles
 * that and puts back the rest. Changes their order.
 */
extern void as_worker_record(AsTaken *taken, int count);

/* Sends the NOTIFY; on false it could not, and has put the wake back. */
extern bool as_worker_wake_bridge(void);

#endif /* AS_DOORS_H */
