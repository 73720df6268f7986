/*
 * service.h: the floor of what several flows share.
 *
 * Lock order: value locks of identifiers, account, session, token cache,
 * outbox.
 */
#ifndef AS_SERVICE_H
#define AS_SERVICE_H

#include "keys/keys.h"
#include "redact/redact.h"
#include "table/table.h"

#include "fmgr.h"

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

/* ---- request.c: what PostgREST says of the request ---- */

typedef struct AsRequest
{
	char *bearer;            /* NULL: none; what can't be read is "" */
	bool has_client_address; /* from a trusted proxy's header */
	char address[AS_ADDRESS_CHARS + 1]; /* "" when unknown */
	uint8 address_key[9]; /* an IPv4 address or an IPv6 /64, for limits */
	char user_agent[AS_USER_AGENT_BYTES + 1];
} AsRequest;

/* Until the next change of request.headers. */
extern const AsRequest *as_request(void);

/* The setting request.jwt.claims; NULL or "" when there is none. */
extern const char *as_request_jwt_claims(void);

/* ---- access_token.c: access tokens ---- */

typedef struct AsAccessToken
{
	AsClaims claims;
	char *payload; /* the JSON text that was signed, in UTF-8 */
	size_t payload_length;
	int place; /* payload.c's */
	uint64 serial;
} AsAccessToken;

/* ---- payload.c: what an access token says, read once ---- */

/*
 * Reads the payload of a token that was verified, into the caller's memory;
 * false where it lacks what every access token has.
 */
extern bool as_payload_read(const AsJwt *jwt, AsAccessToken *out);

/*
 * The claims as jsonb, in the caller's memory; NULL where the database's
 * encoding has not all of their characters.
 */
extern Jsonb *as_payload_jsonb(const AsAccessToken *token);

/* Made for a session as it is now, in the caller's memory. */
extern char *as_access_token_make(const AsAccount *account,
                                  const AsSession *session);

/*
 * Verifies form and signature, and that the claims are those of an access
 * token: AS_OK or AS_INVALID_TOKEN. Says nothing of time or revocation.
 */
extern AsFailure as_access_token_read(const char *token, size_t length,
                                      AsAccessToken *out);

/* Issuer, audience, times, and the session, all at this moment. */
extern AsFailure as_access_token_check(const AsAccessToken *token);

/* NumericDate of RFC 7519. */
extern int64 as_unix_seconds(TimestampTz at);

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

/* ---- password.c: which passwords are taken, hashes within the gate ---- */

/*
 * Whether the password is the hash's. Without a hash (NULL, or none that is
 * acceptable) the same work is done and the answer is no. AS_BUSY when no
 * place was had. Hold no lock.
 */
extern AsFailure as_password_verify(const AsPassword *password,
                                    const AsPasswordHash *hash, bool *matches);
extern AsFailure as_password_make_hash(const AsPassword *password,
                                       AsPasswordHash *hash);

/* Whether the settings now ask for more than the hash has. */
extern bool as_password_needs_rehash(const AsPasswordHash *hash);

/*
 * What is wrong with a password: a constant sentence, or NULL. email and
 * phone are canonical, NULL when there is none.
 */
extern const char *as_password_weakness(const AsPassword *password,
                                        size_t characters, const char *email,
                                        const char *phone);

/* Adds a word (UTF-8) to those that are refused, in any case. */
extern void as_password_forbid(const char *utf8, size_t length);

/* ---- hook.c: functions of the application's that the service calls ---- */

#define AS_HOOK_MAX_ARGS 4

typedef struct AsHookCall
{
	const char *setting;  /* the setting's name, for the log */
	const char *function; /* its value, schema.function; not empty */
	int count;
	Oid types[AS_HOOK_MAX_ARGS];
	Datum values[AS_HOOK_MAX_ARGS]; /* none is NULL */
	Oid collation;                  /* for text arguments; else InvalidOid */
	Oid result;                     /* the type it must return */
} AsHookCall;

/*
 * Calls a hook as its own owner in a security-restricted operation and
 * returns its result, in the caller's memory. What goes wrong in it is logged
 * for the operator with its own SQLSTATE, and raised as AS_BUSY; only a
 * cancelled query goes on as it is.
 */
extern Datum as_hook_call(const AsHookCall *hook, bool *is_null);

/* ---- claims_hook.c: what an application adds to claims ---- */

/*
 * The claims of a user's access token, with what auth_session.claims_hook
 * adds: in the caller's memory, the same object where there is no hook. sub,
 * session_id, jti, iat, exp, iss and aud stay as they are, role becomes only
 * one of auth_session.claims_hook_roles. What goes wrong in the hook is
 * logged for the operator with its own SQLSTATE, and raised as AS_BUSY.
 */
extern Jsonb *as_claims_hook_apply(const AsUuid *user_id, Jsonb *claims);

/* ---- reuse.c: a refresh token that was used before ---- */

/*
 * Ends the session of the event, tells its user, and writes the event; does
 * nothing and answers false where the session has ended already. In the
 * recorder's transaction: the caller's is lost.
 */
extern bool as_reuse_punish(const AsEvent *event);

#endif /* AS_SERVICE_H */
