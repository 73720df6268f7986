/*
 * service.h: the floor of what several flows share: the call and its answer,
 * who is calling, the attempt with its one way out, and the few places in
 * which every change to an account ends: grant, session's life, account's
 * end, consequence.
 *
 * A service answers with a failure as a value; only attempt.c, and
 * as_context_require for what reads, raise one to the caller. Calls keys,
 * table, shared, redact, jose, base and tool.
 */
#ifndef AS_SERVICE_H
#define AS_SERVICE_H

#include "keys/keys.h"
#include "redact/redact.h"
#include "table/table.h"

#include "fmgr.h"

/* ---- version.c: the library and its SQL are of one version ---- */

/*
 * Has the server log say, once for each database and start of the server, that
 * they are not. Looks once in a backend; costs nothing after that.
 */
extern void as_version_compare(void);

/* ---- call.c: entering, and reading arguments ---- */

typedef enum AsCallMode
{
	AS_CALL_READS, /* works on a standby and in a read-only transaction */
	AS_CALL_WRITES /* refused there: AS_READ_ONLY */
} AsCallMode;

/*
 * First in every function: the library must be preloaded, and the statement
 * that called is masked from here on in whatever the server logs of it. A
 * backend's first one compares the versions (version.c). as_attempt_run does it
 * for flows.
 */
extern void as_call_enter(AsCallMode mode);

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
extern bool as_call_text(FunctionCallInfo fcinfo, int argument, size_t most,
                         AsText *out);

/*
 * The same for a text that is a secret: it is zeroed when the attempt ends,
 * or at the latest when the memory of the call goes, on the way of an error
 * too.
 */
extern bool as_call_secret(FunctionCallInfo fcinfo, int argument, size_t most,
                           AsText *out);

/*
 * A password of at most AS_PASSWORD_MAX_BYTES, zeroed as a secret is;
 * characters may be NULL. False when it is missing, too long or not Unicode.
 */
extern bool as_call_password(FunctionCallInfo fcinfo, int argument,
                             AsPassword *out, size_t *characters);

/*
 * The same for a secret that is no argument: bytes are in the current memory
 * context, and go with it.
 */
extern void as_call_keep_secret(char *bytes, size_t length);

/* Zeroes the secrets that were read since a mark was taken. */
typedef struct AsSecret AsSecret;
extern AsSecret *as_call_secrets_mark(void);
extern void as_call_secrets_wipe(AsSecret *mark);

/* An email or a phone number that a caller gave. */
typedef struct AsIdentifier
{
	char *canonical; /* NULL: none */
	char *typed;
	bool is_phone;
} AsIdentifier;

/*
 * Read as_call_text and normalise; a missing argument is no identifier. False
 * when it is neither an email nor a phone; the first two take only one kind.
 */
extern bool as_call_email(FunctionCallInfo fcinfo, int argument,
                          AsIdentifier *out);
extern bool as_call_phone(FunctionCallInfo fcinfo, int argument,
                          AsIdentifier *out);
extern bool as_call_identifier(FunctionCallInfo fcinfo, int argument,
                               AsIdentifier *out);

/*
 * An info argument, {} for SQL NULL; false when it is no object, longer than
 * 16 KiB, or has a locale that is no language tag (BCP 47): a misspelt one
 * would go unnoticed until the first message in the wrong language.
 */
#define AS_INFO_HINT                                              \
	"The info is not an object of at most 16 KiB, or its locale " \
	"is no language tag such as de-AT."
extern bool as_call_info(FunctionCallInfo fcinfo, int argument, Jsonb **info);
extern bool as_info_is_sound(Jsonb *info);

/*
 * An app argument, {} for SQL NULL; false when it is no object of at most 8
 * KiB, or has what no access token could carry: deeper than 30 levels, say.
 */
#define AS_APP_HINT                                             \
	"The app is not an object of at most 8 KiB that an access " \
	"token can carry."
extern bool as_call_app(FunctionCallInfo fcinfo, int argument, Jsonb **app);

/*
 * A text[] of at most most texts of one dimension, each of at most
 * longest bytes, in UTF-8; none for SQL NULL. False for any other, or with a
 * NULL in it.
 */
extern bool as_call_texts(FunctionCallInfo fcinfo, int argument, int most,
                          size_t longest, AsTexts *out);

/* A uuid argument; false for SQL NULL. */
extern bool as_call_uuid(FunctionCallInfo fcinfo, int argument, AsUuid *out);

/* ---- answer.c: what is answered ---- */

/* The auth.account of the function's result type. */
extern Datum as_answer_account(FunctionCallInfo fcinfo,
                               const AsAccount *account);

/*
 * The auth.tokens; zeroes token, NULL where there is none to tell. Makes the
 * keys that sign on first use. to_cookies: both tokens are cookies of the
 * response, and NULL in the answer. No cache may keep either (RFC 6749 section
 * 5.1).
 */
extern Datum as_answer_tokens(FunctionCallInfo fcinfo, const AsAccount *account,
                              const AsSession *session, AsRefreshToken *token,
                              bool to_cookies);

/* The auth.tokens that is nothing but an mfa token; zeroes it. */
extern Datum as_answer_mfa_token(FunctionCallInfo fcinfo, char *mfa_token);

/* The auth.totp_enrollment; zeroes its parts. */
extern Datum as_answer_enrollment(FunctionCallInfo fcinfo, char *secret,
                                  char *uri, char *qr_svg);

/* The auth.new_api_key; zeroes text, the key. */
extern Datum as_answer_api_key(FunctionCallInfo fcinfo, const AsNewApiKey *key,
                               char *text);

/* A uuid in the caller's memory: SQL may keep what a function returned. */
extern Datum as_answer_uuid(const AsUuid *uuid);

/* One row more, as it is, of a ReturnSetInfo: an AsTupleVisit. */
extern void as_answer_row(HeapTuple tuple, TupleDesc descriptor, void *result);

/* ---- request.c: what PostgREST says of the request ---- */

/*
 * An IPv4 address or an IPv6 /64, and a byte that says which, or that all who
 * can't be told apart share one key.
 */
#define AS_ADDRESS_KEY_BYTES  9
#define AS_ADDRESS_IPV6       6
#define AS_ADDRESS_UNREADABLE 255

typedef struct AsRequest
{
	char *bearer;            /* NULL: none; what can't be read is "" */
	char *api_key;           /* NULL: none; two that differ are a bad one */
	bool has_client_address; /* a proxy is trusted to tell: limits apply */
	char address[AS_ADDRESS_CHARS + 1]; /* "" when unknown */
	uint8 address_key[AS_ADDRESS_KEY_BYTES];
	char user_agent[AS_USER_AGENT_BYTES + 1];
	bool wants_cookies;  /* x-session: cookie */
	bool is_same_origin; /* sec-fetch-site says so; a page can't forge it */
	char origin[AS_ORIGIN_ROOM]; /* "" for none; cut where it is too long */
} AsRequest;

/* What lets parallel workers know what the leader knows; from _PG_init. */
extern void as_request_init(void);

/* Of this transaction; until the next change of request.headers. */
extern const AsRequest *as_request(void);

/* request.jwt.claims, set in this transaction; NULL when there are none. */
extern const char *as_request_jwt_claims(void);

/*
 * Whether there is one: PostgREST sets its headers, "{}" at least, and its
 * method in each transaction; a client of the server itself sets neither.
 */
extern bool as_request_is_present(void);

/* Whether its method is one that changes nothing (RFC 9110 section 9.2.1). */
extern bool as_request_is_safe(void);

/* request.path; NULL where there is none. */
extern const char *as_request_path(void);

/*
 * response.headers, as this transaction set it, or an operator; NULL where there
 * is none, or what the former client of a pool has left.
 */
extern const char *as_request_response_headers(void);

/*
 * The value of a cookie, in the caller's memory; NULL where there is none, ""
 * where it can't be read.
 */
extern char *as_request_cookie(const char *name);

/* Where a session comes from, out of the request. */
extern AsOrigin as_request_origin(void);

/* {"ip": ..., "user_agent": ..., "at": ...} for a notification. */
extern char *as_request_origin_payload(void);

/* ---- access_token.c: access tokens ---- */

typedef struct AsAccessToken
{
	AsClaims claims;
	char *payload; /* the JSON text that was signed, in UTF-8 */
	size_t payload_length;
	AsJsonMember *members; /* of the payload; NULL: not listed */
	int member_count;
	int place; /* payload.c's */
	uint64 serial;
} AsAccessToken;

/*
 * Made for a session as it is now, in the caller's memory. AS_BUSY where it
 * would not verify, by what the claims hook or an operator added to it.
 */
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

/* ---- plain_jsonb.c: the Jsonb of an object that is written plainly ---- */

/*
 * As as_jsonb_parse, of an object whose members as_json_plain_list has listed;
 * NULL where one of them has too many of its own: then that has to look.
 */
extern Jsonb *as_plain_jsonb(const AsJsonMember *members, int count);

/* ---- api_key_life.c: API keys ---- */

/* A key that was given, and what stands for it from then on. */
typedef struct AsPresentedKey
{
	AsUuid user_id;
	AsUuid id;
	AsApiKeyRow row;
	char handle[AS_API_KEY_HANDLE_CHARS + 1];
} AsPresentedKey;

/*
 * Compares a key with its row: AS_OK, and its use is noted; AS_INVALID_TOKEN,
 * for one that has ended or expired too, or AS_FEATURE_DISABLED. Works on a
 * standby; of what is no key of this server's nothing is looked up.
 */
extern AsFailure as_api_key_present(const char *text, AsPresentedKey *out);

/* Which key a handle of this server's stands for. */
extern bool as_api_key_handle_read(const char *handle, AsUuid *user_id,
                                   AsUuid *id);

/* Whether a key is live at this moment, and its row; failures as above. */
extern AsFailure as_api_key_check(const AsUuid *user_id, const AsUuid *id,
                                  AsApiKeyRow *row);

/*
 * What a key says of its caller, as the claims of an access token, with
 * api_key_id and scope in place of session_id and jti; what it points to is in
 * the caller's memory. No claims hook is asked: it would be with each request.
 * False where nobody could read them.
 */
extern bool as_api_key_claims(const AsUuid *user_id, const AsUuid *id,
                              const AsApiKeyRow *row, AsAccessToken *out);

/* Whether a key may have a role: authenticated_role, or one of a list. */
extern bool as_api_key_may_have_role(const char *role);

/*
 * Ends one; false when it was gone. Durable, and waits for nobody, as the next
 * is, which ends all that have a row, whatever their epoch.
 */
extern bool as_api_key_end(const AsUuid *user_id, const AsUuid *id);
extern void as_api_key_end_all(const AsUuid *user_id);

/* ---- context.c: who is calling ---- */

typedef struct AsContext
{
	bool is_genuine;   /* signed by us, or vouched for */
	AsFailure failure; /* AS_OK: live too */
	AsUuid user_id;
	AsUuid session_id; /* all zeros for an API key, and jti too */
	AsUuid jti;
	const AsAccessToken *token; /* what a key says, in the same form */
	bool is_api_key;
	AsUuid api_key_id;
	AsTexts scopes; /* of the key */
} AsContext;

/*
 * The caller's context, live or not; NULL when it gave no token. This and what
 * it points to are the caller's only until somebody else is asked for the next:
 * copy what is to be returned, or kept while other code runs.
 */
extern const AsContext *as_context(void);

/* The same where it is live, else NULL. */
extern const AsContext *as_context_live(void);

/*
 * The same for the helpers, which never raise: NULL, too, where it can't be
 * known. Only a cancel and a serialization failure are not theirs to stop.
 */
extern const AsContext *as_context_quiet(void);

/* The caller's live context; raises what is wrong with it. */
extern const AsContext *as_context_require(void);

/*
 * A context that was looked up under this as_context_generation holds: what has
 * been set since is no source of it.
 */
extern void as_context_confirm(uint64 generation);

/* ---- response.c: headers of the response that PostgREST sends ---- */

/* Behind those that are there; value is in the database's encoding. */
extern void as_response_add_header(const char *name, const char *value);

/* Cache-Control: no-store, once; nothing where there is no request. */
extern void as_response_keep_from_caches(void);

/* ---- same_origin.c: whether a page of the application sent a request ---- */

/*
 * Whether the browser says that a page of this very origin sent it, or one of
 * site_url's or of auth_session.allowed_origins. Who says nothing is another.
 */
extern bool as_request_is_from_own_page(void);

/* ---- caller.c: a request becomes its caller's, with the role ---- */

/*
 * From here to the end of the transaction the role is this one, and
 * request.jwt.claims, JSON in the database's encoding, match it, as if
 * PostgREST had had them from a token. Whether the session user may have that role is the
 * server's check. AS_INVALID_TOKEN where it may not, where there is no such
 * role, for none and an empty one, and always where the session user is a
 * superuser, who may have any. Not in a security-definer function.
 */
extern void as_caller_switch_role(const char *role, const char *claims);

/* Whether these are the claims that the above set in this transaction. */
extern bool as_caller_set_claims(const char *claims);

/* ---- api_key_request.c: the API key of a request ---- */

/*
 * Makes the API key of a request's headers the context, with its role; false
 * where it has none. Raises what is wrong with it, as as_api_key_present.
 */
extern bool as_api_key_take(void);

/* ---- attempt.c: one attempt, one way out ---- */

#define AS_ATTEMPT_TICKETS 4

/*
 * What a flow tries, and what stays of it. A flow begins with one that is all
 * zeros, but for by_operator.
 */
typedef struct AsAttempt
{
	bool by_operator;    /* the actor is the role that called */
	AsEvent event;       /* what the audit log will have */
	const char *hint;    /* of a refusal; constant */
	const char *remark;  /* of a success: the operator's reason, or NULL */
	int wait_s;          /* of AS_THROTTLED and AS_BUSY, until a repeat */
	AsRecordKind record; /* what becomes durable of a refusal */
	bool is_silent;      /* a success that changed nothing: no audit row */

	/* Where a code was tried, and for what: AS_RECORD_CODE_ATTEMPT. */
	const char *identifier;
	const char *purpose; /* its name */

	AsRecordHold hold; /* a place in the recorder's queue */

	int ticket_count;
	AsThrottleTicket tickets[AS_ATTEMPT_TICKETS];

	struct AsAttempt *outer; /* the one that this runs within, or NULL */
} AsAttempt;

/* The steps of a flow, up to the first that fails. */
typedef AsFailure (*AsSteps)(void *flow);

/*
 * Enters the call, runs the steps of a flow, and is its one way out: on
 * success the event is written, in the caller's transaction; on a refusal it
 * is handed to the recorder as the attempt says, and then raised, as AS_BUSY
 * where the recorder can't take it: nothing is refused without a trace.
 * Tickets are given back unless the attempt is a failure, and whenever an
 * error or a cancel ends the steps. Secrets that were read are zeroed.
 *
 * Where a proxy is trusted, a function that anyone can call (attempt.c has
 * their list, by action) is refused at once to a client that has been refused
 * auth_session.refusal_rate_per_address times in this window.
 */
extern void as_attempt_run(AsAttempt *attempt, const char *action,
                           AsSteps steps, void *flow);

/*
 * Step: the caller must have a live context; it is the event's, whose actor is
 * the operator where one acts for the user.
 */
extern AsFailure as_attempt_require_context(AsAttempt *attempt);

/*
 * Counts the attempt against a limit: as a try, until it turns out to be a
 * failure or not (take), or in any case (charge). AS_THROTTLED or AS_BUSY,
 * with the wait, beyond it.
 */
extern AsFailure as_attempt_take(AsAttempt *attempt, AsLimit limit,
                                 const void *key, size_t key_length,
                                 int allowed, int window_s);
extern AsFailure as_attempt_charge(AsAttempt *attempt, AsLimit limit,
                                   const void *key, size_t key_length,
                                   int allowed, int window_s);

/*
 * Gives back all that was taken, the place in the recorder's queue too: what
 * was tried was right. To be called as soon as that is known, whatever else
 * the flow may still fail of.
 */
extern void as_attempt_return(AsAttempt *attempt);

/*
 * Step: keeps a place in the recorder's queue for what may have to become
 * durable, or is AS_BUSY: what can't be recorded must not be compared.
 */
extern AsFailure as_attempt_hold(AsAttempt *attempt, AsRecordKind kind);

/*
 * The key of the client in limits, AS_ADDRESS_KEY_BYTES of it; NULL where no
 * proxy is trusted.
 */
extern const uint8 *as_attempt_client(void);

/*
 * Each answers the failure it is given: one that is only told, with a hint or
 * NULL; one that is on record, for a reason that the audit log has; and one
 * that was compared and wrong, which is on record and whose tries are failures
 * from this moment on.
 */
extern AsFailure as_attempt_tell(AsAttempt *attempt, AsFailure failure,
                                 const char *hint);
extern AsFailure as_attempt_refuse(AsAttempt *attempt, AsFailure failure,
                                   const char *reason);
extern AsFailure as_attempt_fail(AsAttempt *attempt, AsFailure failure,
                                 const char *reason);

/* ---- cookie.c: a browser's session, in cookies ---- */

/*
 * Makes the token in the cookie __Host-access, where auth_session.cookies is
 * on, the context, with its role; false where the request has no such cookie. A
 * request that could change something must be from a page of the
 * application's, or AS_CROSS_SITE is raised. A token that is not live is, too,
 * but stops no call by which one signs in, or out: that is from nobody.
 */
extern bool as_cookie_take(void);

/* Whether the request has the cookie of an access token, of any worth. */
extern bool as_cookie_is_there(void);

/*
 * Its access token, as as_access_token_read: genuine, if expired;
 * AS_INVALID_TOKEN where there is none.
 */
extern AsFailure as_cookie_read(AsAccessToken *token);

/* Whether that is genuine, and of this session. */
extern bool as_cookie_is_of(const AsUuid *user_id, const AsUuid *session_id);

/*
 * The refresh token in the cookie, in the caller's memory, unread; NULL where
 * there is none or auth_session.cookies is off.
 */
extern char *as_cookie_refresh_token(void);

/*
 * Step: whether a request may be answered with cookies: AS_FEATURE_DISABLED
 * where they are off, AS_CROSS_SITE where it is from no page of the
 * application's, who would be signed in as somebody else. as_cookie_check: only
 * if it asks for cookies (x-session: cookie); first in each flow that answers
 * with tokens.
 */
extern AsFailure as_cookie_may_set(AsAttempt *attempt);
extern AsFailure as_cookie_check(AsAttempt *attempt);

/*
 * Cookies of the response: the tokens of a session, for as long as it lasts.
 * refresh "": the browser keeps the one that it has. AS_BUSY is raised where
 * browsers would drop the access token for its length.
 */
extern void as_cookie_set(const AsSession *session, const char *access,
                          const char *refresh);

/*
 * The browser is told to forget both, where it has any and a page of the
 * application's sent the request.
 */
extern void as_cookie_clear(void);

/* ---- signin_limit.c: how many sign-ins may fail ---- */

/*
 * Takes from the limits of an identifier and of the client address. forgiven is
 * that of the account that owns the identifier; 0 where none does.
 */
extern AsFailure as_signin_limit_take(AsAttempt *attempt,
                                      const char *identifier, int forgiven);

/* Whether so many have failed of an account that its user must hear of it. */
extern bool as_signin_limit_is_suspicious(const AsAccount *account);

/* Takes from the limit of a signed-in user who gives a password. */
extern AsFailure as_signin_limit_take_user(AsAttempt *attempt,
                                           const AsAccount *account);

/* ---- owner.c: whether who calls owns the account ---- */

/*
 * Whether the caller, whose context is live, has shown who he is in the last
 * seconds. Never true for who acts for the user.
 */
extern bool as_context_is_recent(const AsContext *context, int64 seconds);

/*
 * Step, for what changes an account: as as_attempt_require_context, but
 * AS_REAUTHENTICATION_REQUIRED for who acts for the user, and for an API key.
 */
extern AsFailure as_owner_require(AsAttempt *attempt);

typedef struct AsOwner
{
	AsAccount account; /* the caller's, with hash and epoch in force */
	bool has_given_password;
	AsPassword password;
} AsOwner;

/* Step: the same, and the caller's account. */
extern AsFailure as_owner_find(AsAttempt *attempt, AsOwner *owner);

/* Step, after one of these: the sign-in is not older than ten minutes. */
extern AsFailure as_owner_require_recent(void);

/*
 * Step: the password argument, which may be NULL only where the account has
 * none; else AS_INVALID_REQUEST with the hint, which names it.
 */
extern AsFailure as_owner_read_password(AsAttempt *attempt,
                                        FunctionCallInfo fcinfo, int argument,
                                        const char *hint, AsOwner *owner);

/*
 * Step: the password must be right (AS_INVALID_CREDENTIALS, which counts);
 * where none was given, the sign-in recent (AS_REAUTHENTICATION_REQUIRED).
 * Holds no lock.
 */
extern AsFailure as_owner_prove(AsAttempt *attempt, AsOwner *owner);

/*
 * Step, after anything that took long: the password may have changed
 * meanwhile; one that still fits goes on.
 */
extern AsFailure as_owner_look_again(AsAttempt *attempt, AsOwner *owner);

/* ---- session_life.c: sessions and their access tokens ---- */

/*
 * Opens a session and caches its access token; token is its first. One of an
 * actor (the role of an operator; NULL: the user) ends after ten minutes.
 */
extern void as_session_open(const AsAccount *account, const AsOrigin *origin,
                            const char *aal, const AsTexts *amr,
                            const char *actor, AsSession *session,
                            AsRefreshToken *token);

/*
 * Makes next the current refresh token if presented is it and the session
 * has not expired; a new jti, a new expiry, and session as it then is.
 * Durable. False when nothing was changed.
 */
extern bool as_session_renew(const AsRefreshToken *presented,
                             const AsRefreshToken *next, AsSession *session);

/*
 * The user of a session has shown anew who he is, by methods of RFC 8176: a
 * fresh auth_time, a new jti in place of the one in hand, aal (NULL: as it is),
 * and session as it then is; the refresh token stays. AS_TOKEN_EXPIRED,
 * AS_SESSION_REVOKED, AS_SESSION_EXPIRED as as_session_check. Durable.
 */
extern AsFailure as_session_prove(const AsUuid *user_id, const AsUuid *id,
                                  const AsUuid *jti, const AsTexts *methods,
                                  const char *aal, AsSession *session);

/*
 * Whether jti is live: AS_OK, AS_TOKEN_EXPIRED (replaced by a renewal),
 * AS_SESSION_REVOKED or AS_SESSION_EXPIRED. Locks nothing, writes nothing.
 */
extern AsFailure as_session_check(const AsUuid *user_id, const AsUuid *id,
                                  const AsUuid *jti, TimestampTz now);

/* Whether a revocation ends a session whose row is still there. */
extern bool as_session_is_ended(const AsUuid *user_id, const AsUuid *id);

/*
 * Ends one; false when it was gone. Durable, and waits for nobody, as the next
 * is.
 */
extern bool as_session_end(const AsUuid *user_id, const AsUuid *id);

/* Ends all but keep (NULL: all); says how many. */
extern int as_session_end_all(const AsUuid *user_id, const AsUuid *keep);

/*
 * Deletes at most batch sessions that had expired by now, and says how many.
 * Tells nobody, and waits for nobody who holds one.
 */
extern int as_session_prune(TimestampTz now, int batch);

/* ---- epoch.c: what ends all sessions of an account, and all API keys ---- */

typedef enum AsEpochEnds
{
	AS_ENDS_SESSIONS,
	AS_ENDS_SESSIONS_AND_KEYS
} AsEpochEnds;

/* The account, with the hash and the epoch that are in force now. */
extern bool as_account_find_in_force(const AsUuid *id, AsAccount *account);

/*
 * The same, for a session whose row is there: false where one of the two has
 * ended.
 */
extern bool as_account_find_of_session(const AsUuid *id,
                                       const AsUuid *session_id,
                                       AsAccount *account);

/*
 * For a sign-in: what it reads of the epoch after this holds until it commits
 * (AS_LOCKED), or is compared again then (AS_HELD). Waits for a short moment.
 */
extern AsLocked as_epoch_join(const AsUuid *user_id);

/*
 * Ends all sessions of a user but keep (NULL: none), all API keys where it says
 * so, and those that are being opened or made at this moment; hash (NULL: as it
 * is) is the password's from now on, and never NULL where keys end. Where the
 * hash in force is not the verified one any more (NULL: any) AS_BUSY;
 * AS_SESSION_REVOKED where the account is gone. Durable; waits for nobody.
 * ended gets how many sessions.
 */
extern AsFailure as_epoch_begin(const AsUuid *user_id, AsEpochEnds ends,
                                const AsUuid *keep,
                                const AsPasswordHash *verified,
                                const AsPasswordHash *hash, int *ended);

/*
 * Forgives the failed passwords of an account, from whatever client they came,
 * with this transaction's commit; ends nothing. AS_USER_NOT_FOUND. Waits for
 * nobody.
 */
extern AsFailure as_epoch_forgive(const AsUuid *user_id);

/*
 * Bans a user, which ends all sessions and API keys as as_epoch_begin does, or
 * lifts the ban; AS_USER_NOT_FOUND. Durable; waits for nobody.
 */
extern AsFailure as_epoch_ban(const AsUuid *user_id, const AsBan *ban);

/*
 * Deletes an account; where somebody holds its row, it is gone for everybody
 * all the same, and the recorder deletes it, with what hangs on it, as soon as
 * it is free. AS_USER_NOT_FOUND; AS_BUSY where the hash in force is not the
 * verified one any more (NULL: any). Durable; waits for nobody that holds the
 * account's row.
 */
extern AsFailure as_epoch_delete(const AsUuid *user_id,
                                 const AsPasswordHash *verified);

/* ---- fold.c: revocations, worked into the rows they name ---- */

/*
 * One user's, as far as nobody holds the rows, in the recorder's transaction.
 * Whether none is left of those that were there.
 */
extern bool as_fold_user(const AsUuid *user_id);

typedef enum AsFolded
{
	AS_FOLDED,    /* nothing is left that can be done now */
	AS_FOLD_HELD, /* somebody holds a row */
	AS_FOLD_MORE  /* a batch was done, and there is more */
} AsFolded;

/* How far the recorder has come with a row of everybody's; zeros: nowhere. */
typedef struct AsForAllPlace
{
	AsUuid row;
	bool is_behind_sessions;
	AsRowKey session;
	bool is_behind_accounts;
	AsPendingPlace account;
	bool is_behind_api_keys;
	AsRowKey api_key;
} AsForAllPlace;

/*
 * Ends a batch of what a row of everybody's has ended, in the recorder's
 * transaction. The place is where that goes on once the transaction has
 * committed.
 */
extern AsFolded as_fold_for_all(AsForAllPlace *place);

/* ---- session_life.c, refresh tokens ---- */

/* A refresh token that this server made; false for anything else. */
extern bool as_refresh_token_read(const AsText *text, AsRefreshToken *token);

/* ---- account_end.c: accounts that go ---- */

/*
 * With its claims, codes, sessions, API keys and cache rows. False: there was
 * none.
 */
extern bool as_account_end(const AsUuid *id);

/*
 * The same in a subtransaction: false, too, where something of a superuser's
 * keeps the account, which the log has then.
 */
extern bool as_account_end_if_possible(const AsUuid *id);

/*
 * What an account leaves behind when its row goes, by whose hand ever: its
 * sessions and API keys end, its codes die, its addresses are free, and
 * applications can follow.
 */
extern void as_account_left(const AsAccount *account);

/* Whether an address, as it stands in the row (NULL: no), is the account's. */
extern bool as_account_owns(const AsUuid *id, const char *address,
                            bool is_phone);

/*
 * Takes a claim from an account; a pending account that owns no other
 * identifier goes with it, unless an operator has invited its user: whoever
 * signs up at the address ends no invitation. Waits for nobody: false where somebody has the
 * account, and then nothing is done.
 */
extern bool as_account_give_up_claim(const AsUuid *id, const char *identifier);

/* Claims that newer ones of their address have made void. */
extern int as_account_prune_claims(int batch);

/* Pending accounts that have no code left whose link is good. */
extern int as_account_prune_pending(TimestampTz now, int batch);

/* ---- hook.c: functions of the application's that the service calls ---- */

typedef struct AsHookCall
{
	const char *setting;  /* the setting's name, for the log */
	const char *function; /* its value, schema.function; not empty */
	const AsHookShape *shape;
	Datum values[AS_HOOK_MAX_ARGS];
	bool nulls[AS_HOOK_MAX_ARGS];
	Oid collation;     /* for text arguments; else InvalidOid */
	AsFailure refusal; /* what an error of its own means, or AS_OK */
} AsHookCall;

/*
 * Calls a hook as its own owner in a security-restricted operation and
 * returns its result, in the caller's memory. What goes wrong in it is logged
 * for the operator with its own SQLSTATE, up to ten times a minute in each
 * server process, and raised as AS_BUSY; or as its refusal, where it has one,
 * unless the server's state is to blame. Only a cancelled query goes on as it
 * is. One that is not there is AS_BUSY, too, and logged once a minute.
 */
extern Datum as_hook_call(const AsHookCall *hook, bool *is_null);

/* ---- signup_hook.c: what an application says of a sign-up ---- */

/*
 * Step: asks auth_session.signup_hook, if there is one, and takes what it
 * answers for info. AS_SIGNUP_REFUSED; AS_BUSY where it is not there, or its
 * answer is no info (call.c). What a refusing hook wrote is undone.
 */
extern AsFailure as_signup_hook_apply(const AsIdentifier *email,
                                      const AsIdentifier *phone, Jsonb **info);

/* ---- claims_hook.c: what an application adds to claims ---- */

/*
 * The claims of a user's access token, with what auth_session.claims_hook
 * adds: in the caller's memory, the same object where there is no hook. sub,
 * session_id, jti, iat, exp, iss, aud, auth_time, aal, amr and act stay as they
 * are, role becomes only one of auth_session.claims_hook_roles, and an nbf,
 * email or role that would keep the token from verifying is left out, which the
 * log has. What goes wrong in the hook is logged for the operator with its own
 * SQLSTATE, and raised as AS_BUSY.
 */
extern Jsonb *as_claims_hook_apply(const AsUuid *user_id, Jsonb *claims);

/* ---- password.c: which passwords are taken, hashes within the gate ---- */

/*
 * Whether the password is the hash's. Without a hash (NULL, or none that is
 * acceptable) the same work is done and the answer is no. AS_BUSY when no
 * place or no memory was had: then nothing was compared. Hold no lock.
 */
extern AsFailure as_password_verify(const AsPassword *password,
                                    const AsPasswordHash *hash, bool *matches);
extern AsFailure as_password_make_hash(const AsPassword *password,
                                       AsPasswordHash *hash);

/*
 * Whether the settings now ask for more than the hash of this password has,
 * or it is another system's.
 */
extern bool as_password_needs_rehash(const AsPasswordHash *hash,
                                     const AsPassword *password);

/*
 * Whether there is a hash that is never computed: malformed, or dearer than
 * this server pays. A restore can bring one.
 */
extern bool as_password_is_poisoned(const AsPasswordHash *hash);

/*
 * What is wrong with a password: a constant sentence, or NULL. email and
 * phone are canonical, NULL when there is none.
 */
extern const char *as_password_weakness(const AsPassword *password,
                                        size_t characters, const char *email,
                                        const char *phone);

/* A new password of an account, and its hash. */
typedef struct AsNewPassword
{
	AsPassword password;
	size_t characters;
	AsPasswordHash hash;
} AsNewPassword;

/* Step: checks and hashes it. */
extern AsFailure as_password_take(AsAttempt *attempt, AsNewPassword *new,
                                  const AsAccount *account);

/* ---- message.c: what users are sent ---- */

/*
 * What a message that anybody can ask for is for. Each has a limit of its
 * own: whoever asks for confirmations at somebody else's address must not use
 * up the resets that its owner may need.
 */
typedef enum AsMessage
{
	AS_MESSAGE_CONFIRMATION = 1,
	AS_MESSAGE_RESET,
	AS_MESSAGE_CHANGE,
	AS_MESSAGE_SIGNIN
} AsMessage;

/*
 * Step: within auth_session.message_rate_per_account, and the cooldown when
 * with_cooldown; counts.
 */
extern AsFailure as_message_allow(AsAttempt *attempt, AsMessage message,
                                  const AsIdentifier *identifier,
                                  bool with_cooldown);

/*
 * Waits until half a millisecond after began: a row that is there takes a
 * little longer to read than one that isn't, and a request for a message
 * has no hash to hide that behind. To be called after the look-ups, before
 * any write.
 */
extern void as_message_look_up_until(TimestampTz began);

/*
 * Issues a code to an account, as its row was read, and puts its notification
 * into the outbox. It goes to the address that stands in the row, which is one
 * with identifier, and never to what a caller typed. For nobody, NULL or an
 * account that has no such address, the same writes, of rows that lead
 * nowhere.
 */
extern void as_message_send_code(const AsAccount *account, AsPurpose purpose,
                                 const AsIdentifier *identifier);

/*
 * For a sign-up, and for a change of address: issues the code of the account
 * all the same, but an address that somebody else owns hears of that instead.
 * owner as it was read, or NULL.
 */
extern void as_message_send_first_code(const AsAccount *account,
                                       AsPurpose purpose,
                                       const AsIdentifier *identifier,
                                       const AsAccount *owner);

/*
 * Tells an account something, at its email or else its phone, whichever is
 * proved; payload is JSON text of an object.
 */
extern void as_message_tell(const AsAccount *account, const char *kind,
                            const char *payload);

/* ---- factor.c: whether who calls has the second factor ---- */

/* 80 random bits. */
#define AS_RECOVERY_CODE_BYTES 10

/* Of a second factor: six digits of an app, or a recovery code. */
typedef struct AsFactorProof
{
	AsFactor factor; /* what it is tried against */
	bool is_totp;
	const char *digits; /* AS_TOTP_DIGITS of them; a secret */
	AsDigest digest;    /* of the recovery code */
	int64 step;         /* whose code it is, once it was tried */
} AsFactorProof;

/* Makes a secret the user's pending second factor, sealed. */
extern void as_factor_enroll(const AsUuid *user_id, const AsTotpSecret *secret);

/*
 * Step: reads a code argument. AS_INVALID_REQUEST where there is none,
 * AS_INVALID_CODE where it is neither form: that is compared with nothing.
 */
extern AsFailure as_factor_proof_read(AsAttempt *attempt,
                                      FunctionCallInfo fcinfo, int argument,
                                      AsFactorProof *proof);

/*
 * Step: compares with proof->factor. AS_INVALID_CODE, which counts for digits:
 * after five within five minutes AS_THROTTLED, from twenty since the last
 * success on digits are AS_INVALID_CODE without a look, while recovery codes
 * still go. AS_BUSY where too many are tried at once. Holds no lock.
 */
extern AsFailure as_factor_proof_try(AsAttempt *attempt, AsFactorProof *proof);

/*
 * Step, after that: uses the code up; AS_INVALID_CODE, which counts as well,
 * where another did. The wrong ones are forgiven, and the user hears of a
 * recovery code. Locks factor or recovery code; to be called last.
 */
extern AsFailure as_factor_proof_use(AsAttempt *attempt,
                                     const AsAccount *account,
                                     AsFactorProof *proof);

/* The method of RFC 8176 that it is: otp, or recovery. */
extern const char *as_factor_proof_method(const AsFactorProof *proof);

/*
 * Step, after as_factor_proof_try on a pending factor: turns it on, where none
 * is. Hold the account. AS_INVALID_CODE where it is pending no more.
 */
extern AsFailure as_factor_confirm(AsAttempt *attempt, AsFactorProof *proof);

/* Takes back the wrong codes of a user. */
extern void as_factor_forgive(const AsUuid *user_id);

/*
 * The second factor goes, recovery codes and pending enrolments with it, and
 * the user is told; of an operator's doing without where it came from. Durable.
 * Hold the account.
 */
extern void as_factor_remove(const AsAccount *account, bool by_operator);

/* What an account leaves behind of second factors. */
extern void as_factor_left(const AsUuid *user_id);

/*
 * Sends mfa_changed: change is a word for what happened, of totp_enabled,
 * totp_disabled, recovery_code_used, recovery_codes_replaced and
 * second_factor_reset. The payload has how many recovery codes are left.
 */
extern void as_factor_tell(const AsAccount *account, const char *change);

/* ---- recovery.c: recovery codes ---- */

/*
 * Ten fresh ones in place of those that were, as a text[] in the caller's
 * memory. Hold the account.
 */
extern Datum as_recovery_renew(const AsUuid *user_id);

/* ---- enrollment.c: a TOTP secret as apps take it ---- */

/*
 * The auth.totp_enrollment of an account; zeroes secret. AS_BUSY where there is
 * no memory for the QR code.
 */
extern Datum as_enrollment_answer(FunctionCallInfo fcinfo,
                                  const AsAccount *account,
                                  AsTotpSecret *secret);

/* ---- mfa.c: mfa tokens ---- */

/*
 * Of an account whose user has shown these methods, in the caller's memory.
 * What can be shown first is pwd and otp.
 */
extern char *as_mfa_token_make(const AsAccount *account, const AsTexts *shown);

/*
 * Step: reads one, whose user is the event's. AS_INVALID_TOKEN, also where it
 * was used, or AS_TOKEN_EXPIRED.
 */
extern AsFailure as_mfa_token_read(AsAttempt *attempt, const AsText *text,
                                   AsMfaToken *token);

/* AS_INVALID_TOKEN, on record: a genuine one that has ended. */
extern AsFailure as_mfa_token_end(AsAttempt *attempt);

/* What its user has shown, in the caller's memory. */
extern AsTexts as_mfa_token_methods(const AsMfaToken *token);
/*
 * Tells of a new email or phone: at the address of the kind that was, at the
 * new one, and of a phone at the email, too; where there was none of the kind,
 * as as_message_tell.
 */
extern void as_message_tell_change(const AsAccount *before,
                                   const AsAccount *after, bool is_phone,
                                   const char *payload);

/* ---- session_limit.c: how many sessions a user has at once ---- */

/*
 * Ends the oldest beyond auth_session.max_sessions_per_user, impersonations
 * aside, and tells the user, once.
 */
extern void as_session_keep_newest(const AsAccount *account);

/* ---- new_signin.c: whether and how a user hears of a sign-in ---- */

/*
 * Of the sign-in that this request is: as auth_session.notify_new_signin says,
 * and always where others had failed before it.
 */
extern void as_new_signin_tell(const AsAccount *account);

/* ---- grant.c: the last third of every sign-in ---- */

#define AS_GRANT_METHODS 4

typedef struct AsGrant
{
	AsAccount account;              /* as it was looked at; then as it is */
	const AsPasswordHash *stronger; /* in place of a weak one, or NULL */
	const char *aal;
	int method_count; /* amr of RFC 8176 */
	char *methods[AS_GRANT_METHODS];
	const char *actor; /* an operator's role that acts for the user, or NULL */
	AsSession session;
	AsRefreshToken token;

	/* Of a second step: what the first was answered, and what was tried. */
	const AsMfaToken *first;
	AsFactorProof *proof;

	char *mfa_token; /* in place of a session: a second step is needed */
} AsGrant;

/*
 * A second step: what the first was answered, and the second factor that was
 * tried. Both must stay.
 */
extern void as_grant_continue(AsGrant *grant, const AsMfaToken *first,
                              AsFactorProof *proof);

/* By what the user has shown who it is: pwd, otp, ...; each once. */
extern void as_grant_add_method(AsGrant *grant, const char *method);

/* Step: an account that is pending or banned is not let in. */
extern AsFailure as_grant_check_status(AsAttempt *attempt,
                                       const AsAccount *account);

/*
 * Step: locks the account, which must be as it was looked at (the epoch),
 * opens the session, ends those beyond max_sessions_per_user, and tells the
 * user. Where the account has a second factor and this is no second step, it
 * makes an mfa token and does nothing of that. A second step fails with
 * AS_INVALID_TOKEN where the first has ended or was used, and as
 * as_factor_proof_use does. Where an operator acts for the user, no factor is
 * asked for, no session ends and nobody is told.
 */
extern AsFailure as_grant_open(AsAttempt *attempt, AsGrant *grant);

/* The auth.tokens: of the session, or the mfa token. */
extern Datum as_grant_answer(FunctionCallInfo fcinfo, AsGrant *grant);

/* ---- proof.c: a typed code or a link token against code rows ---- */

/* What proves an address: six digits or so, or a link token. */
typedef struct AsProof
{
	AsIdentifier identifier; /* of the caller, or of the link's code row */
	AsText code;
	bool is_link;
	bool is_digits;
	AsUuid user_id; /* of the link token */
	AsUuid code_id;
	AsPurpose purpose; /* of the link's code row, once followed */
} AsProof;

/* A code row that a proof may be for. */
typedef struct AsCodeTry
{
	AsCode code;
	bool matches;
} AsCodeTry;

/*
 * Step: reads the arguments identifier (0) and code (1): AS_OK where the code
 * is digits and has an identifier, or a link token whose MAC is right.
 */
extern AsFailure as_proof_read(AsAttempt *attempt, FunctionCallInfo fcinfo,
                               AsProof *proof);

/* Step: the code alone; whose the digits are is known otherwise. */
extern AsFailure as_proof_read_code(AsAttempt *attempt, FunctionCallInfo fcinfo,
                                    int argument, AsProof *proof);

/*
 * Step: a link token names its code row, and so the identifier that it
 * proves: AS_OK and the identifier if the row is still there, for one of
 * a set of purposes and no other identifier than the caller's. Digits pass.
 */
extern AsFailure as_proof_follow(AsAttempt *attempt, AsProof *proof,
                                 unsigned purposes);

/*
 * Step: tries a proof against the code rows that it can be for, of one purpose
 * and its identifier, of which there may be none, and marks those that it
 * matches: AS_OK where there is one, and nothing stays counted.
 *
 * Digits are one try at the address, however many rows there are. It is counted
 * and has a place in the recorder's queue (else AS_BUSY) before it is compared:
 * of any number of parallel tries no more are compared than
 * auth_session.code_attempts allows. A try beyond that, or at an address where
 * only links are accepted, is AS_INVALID_CODE, not compared and not counted.
 */
extern AsFailure as_proof_try(AsAttempt *attempt, const AsProof *proof,
                              AsPurpose purpose, AsCodeTry *tries, int count);

/*
 * The proof has been used: the wrong tries at its address are forgotten. To be
 * called last; nothing that the attempt took stays counted.
 */
extern void as_proof_forgive(AsAttempt *attempt, const AsProof *proof,
                             AsPurpose purpose);

/* All wrong tries at an address, for any purpose. */
extern void as_proof_forgive_all(const char *identifier);

/* ---- nobody.c: whom an address stands for that has nobody ---- */

/*
 * The id for which the look-ups and writes of an address are made that nobody
 * has: of no account, and the same each time. identifier is canonical.
 */
extern AsUuid as_nobody_at(const char *identifier);

/* ---- owner_code.c: codes that are for who owns an address ---- */

/*
 * Step, the whole of a request for a code: reads the identifier (argument 0),
 * within the limits of the message, and sends a code to the account that owns
 * it and isn't banned. The same answer, work and writes for anybody.
 */
extern AsFailure as_owner_code_send(AsAttempt *attempt, FunctionCallInfo fcinfo,
                                    AsMessage message, AsPurpose purpose);

/*
 * Step: tries a proof that was read and followed, as as_proof_try does, against
 * the code that the owner of its address has for a purpose. On AS_OK account
 * and code are the owner's, whose status is for the caller to look at.
 */
extern AsFailure as_owner_code_try(AsAttempt *attempt, const AsProof *proof,
                                   AsPurpose purpose, AsAccount *account,
                                   AsCode *code);

/*
 * Step, after that: uses the code up, or AS_INVALID_CODE. To be called before
 * an account is locked: of any number who use a code at once the others wait
 * here, and holding a code keeps nobody from an account.
 */
extern AsFailure as_owner_code_use(AsAttempt *attempt, const AsCode *code);

/*
 * The account has a new password: what it was sent before is dead, an
 * invitation too, and nobody is waited for who is using it. But a pending one
 * keeps what confirms its addresses; where its user was invited, they are asked
 * for.
 */
extern void as_owner_code_end(const AsAccount *account);

/*
 * The address of a known account whose code for a purpose is the newest, for
 * digits that come without one; false where it has no address.
 */
extern bool as_owner_code_address(const AsAccount *account, AsPurpose purpose,
                                  AsIdentifier *identifier);

/* ---- claim.c: who gets an address ---- */

/* Whether what require_confirmation asks for is confirmed. */
extern bool as_account_is_whole(const AsAccount *account);

/*
 * Whether an address is free, or a user's own (NULL: no user's): else
 * AS_ALREADY_EXISTS, or AS_BUSY while its owner is being deleted.
 */
extern AsFailure as_claim_look(const char *identifier, const AsUuid *user_id);

/* The same, and it is the user's; waits for who is about to own it. */
extern AsFailure as_claim_own(const char *identifier, const AsUuid *user_id);

/* The claims of others, whose sign-ups end where they have no other address. */
extern void as_claim_drop_others(const char *identifier, const AsUuid *winner);

/* ---- address.c: an account's email and phone change ---- */

/* Of the code that confirms a new one. */
extern AsPurpose as_address_purpose(bool is_phone);

/*
 * The new address that an account's user has asked for, while its code is good;
 * else NULL. is_pending: whether it is this one, by its row alone.
 */
extern const char *as_address_pending(const AsAccount *account, bool is_phone);
extern bool as_address_is_pending(const AsAccount *account,
                                  const AsIdentifier *identifier);

/*
 * A new address is pending, in place of an older one, and has its code; or its
 * owner hears of it, after the same work and writes. The account is locked.
 */
extern void as_address_ask(AsAccount *account, const AsIdentifier *identifier);

/*
 * What is pending is so no more, and its codes are dead; only in the struct,
 * which is for the caller to save. The account is locked.
 */
extern void as_address_forget(AsAccount *account, bool is_phone);

/*
 * An address is the account's, and confirmed, in place of the one that it had;
 * both are told, with payload. AS_ALREADY_EXISTS or AS_BUSY as as_claim_own:
 * then nothing was changed. The account is locked.
 */
extern AsFailure as_address_take(AsAccount *account,
                                 const AsIdentifier *identifier,
                                 const char *payload);

/*
 * The account, which is locked, owns these addresses and no other (NULL: none
 * of the kind); what changes is told as by as_address_take.
 */
extern void as_address_restore(AsAccount *account, const char *email,
                               const char *phone);

/* Tidies up what is pending in up to batch accounts and has no good code. */
extern int as_address_prune(TimestampTz now, int batch);

/* ---- confirm_change.c: auth.confirm of a change of address ---- */

/* Whether a proof that was read, and followed, is of one. */
extern bool as_confirm_is_change(const AsProof *proof);

/* Step: account is as it then is. */
extern AsFailure as_confirm_change(AsAttempt *attempt, const AsProof *proof,
                                   AsAccount *account);

/* ---- refusal_log.c: a line of the server log for each refusal ---- */

/* From _PG_init. */
extern void as_refusal_log_init(void);

/* ---- check_server.c, check_rights.c, check_work.c: what to know of ---- */

/*
 * Each adds what an operator should know of: of the server and its settings
 * (false where the library was not preloaded, and nothing else can be said), of
 * who may do what, and of what others have to do. counts is NULL where this
 * database has none; cron, what auth_private.maintenance_jobs() answers.
 */
extern bool as_server_check(AsFindings *findings, const AsCounts *counts);
extern void as_rights_check(AsFindings *findings);
extern void as_work_check(AsFindings *findings, const AsCounts *counts,
                          const Jsonb *cron);

/* ---- export.c: all that is kept about a user ---- */

/*
 * As one object, secrets aside, a member a table, of each the newest
 * AS_EXPORT_MOST rows; in the caller's memory.
 */
extern Jsonb *as_export_account(const AsAccount *account);
/*
 * Claims the addresses of an account that don't count as its own yet, and sends
 * each its code.
 */
extern void as_claim_ask(const AsAccount *account);

/* ---- invitation.c: accounts whose user has yet to choose a password ---- */

/* Sends the link to the email, or else the phone. */
extern void as_invitation_send(const AsAccount *account);

/*
 * Step: a followed proof whose purpose is an invitation, and the new password
 * (NULL: none was given, AS_PASSWORD_REQUIRED): the account, as it then is,
 * has the address and the password. AS_INVALID_CODE, AS_WEAK_PASSWORD,
 * AS_ALREADY_EXISTS, AS_BUSY; the link is not used up by them.
 */
extern AsFailure as_invitation_accept(AsAttempt *attempt, const AsProof *proof,
                                      AsNewPassword *password,
                                      AsAccount *account);

/* ---- operator.c: what the functions of operators have in common ---- */

/* The first member of the flow of each; all zeros to begin with. */
typedef struct AsOperation
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsAccount account; /* of argument 0 */
} AsOperation;

/* as_attempt_run, with the role that called as the actor. */
extern void as_operation_run(AsOperation *operation, FunctionCallInfo fcinfo,
                             const char *action, AsSteps steps);

/* Step: argument 0 is a user's id: the account, as it is in force. */
extern AsFailure as_operation_find(AsOperation *operation);

/* Step: locks it, and reads it again. */
extern AsFailure as_operation_lock(AsOperation *operation);

/* Step: an argument that says why, for the audit log. */
extern AsFailure as_operation_read_reason(AsOperation *operation, int argument);

/*
 * Forgives the failures of an account: its passwords, with the commit, the
 * codes at its addresses, and those of its second factor. AS_USER_NOT_FOUND.
 */
extern AsFailure as_operation_forgive(const AsAccount *account);

/* ---- delivery.c: notifications handed to the bridge ---- */

/*
 * Leases at most most due rows of channel (NULL: email and sms) for lease (an
 * interval), oldest first, with code and link token in the payload; those
 * whose code is dead are settled.
 */
extern int as_delivery_claim(int most, Datum lease, const char *channel,
                             AsClaimed **rows);

/* ---- announce.c: events for applications ---- */

/*
 * Write an event, where auth_session.events names it. session_id: of that
 * session; NULL: of the account, or of several sessions.
 */
extern void as_announce(const char *event, const AsUuid *user_id,
                        const AsUuid *session_id);

/* ---- consequence.c: what follows from a refusal ---- */

/*
 * Makes durable what a record says, in the recorder's transaction: the
 * caller's is lost.
 */
extern void as_consequence_apply(const AsRecord *record);

#endif /* AS_SERVICE_H */
