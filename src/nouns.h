/*
 * nouns.h: the noun floor. One file per table, its statements beside its
 * struct; and what is put together from several of them.
 *
 * A noun answers with values; it raises only what the store raises (AS_BUSY)
 * and what can't happen. Lock order: value locks of identifiers, account,
 * session, token cache, outbox.
 */
#ifndef AS_NOUNS_H
#define AS_NOUNS_H

#include "ground.h"
#include "jose.h"
#include "shared.h"

/* ---- audit.c: what happened (auth_private.audit_log) ---- */

/* Whether a uuid is other than all zeros, which stands for unknown. */
extern bool as_uuid_is_known(const AsUuid *uuid);

/* Writes one row, in this transaction. */
extern void as_audit_write(const AsEvent *event);

/* Each prune deletes at most batch rows that ended by now, and says how many. */
extern int as_audit_prune(TimestampTz now, int batch);

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

/* ---- identifier.c: who claims or owns an address ---- */

/* Pending claims of one identifier that are kept, and that are ever read. */
#define AS_CLAIMS_KEPT 3
#define AS_CLAIMS_READ 16

typedef struct AsClaimList
{
	int count;
	AsUuid user_ids[AS_CLAIMS_READ]; /* newest first */
} AsClaimList;

/*
 * The canonical form of an email or phone, both in the database's encoding;
 * NULL for what is none.
 */
extern char *as_identifier_canonical(const char *typed, bool is_phone);

/* Value lock of a canonical identifier, before any account. */
extern void as_identifier_lock(const char *identifier);

extern bool as_identifier_owner(const char *identifier, AsUuid *user_id);
extern void as_identifier_claims(const char *identifier, AsClaimList *claims);
extern void as_identifier_add(const char *identifier, const AsUuid *user_id,
                              bool owned);

/* Turns a claim into ownership, under the lock and when nobody owns it. */
extern bool as_identifier_own(const char *identifier, const AsUuid *user_id);
extern void as_identifier_drop(const char *identifier, const AsUuid *user_id);

/* ---- account.c: accounts ---- */

typedef enum AsAccountStatus
{
	AS_ACCOUNT_PENDING,
	AS_ACCOUNT_ACTIVE,
	AS_ACCOUNT_BANNED
} AsAccountStatus;

extern const char *as_account_status_name(AsAccountStatus status);

typedef struct AsAccount
{
	AsUuid id;
	AsAccountStatus status;
	char *email; /* as typed; NULL when there is none */
	char *phone;
	TimestampTz email_confirmed_at;
	TimestampTz phone_confirmed_at;
	char *pending_email;
	char *pending_phone;
	AsPasswordHash hash; /* "" when there is none */
	Jsonb *info;
	Jsonb *app;
	int64 epoch;
	int code_failures;
	TimestampTz banned_until; /* AS_NO_TIME of a banned one: for ever */
	TimestampTz created_at;
} AsAccount;

/* The columns of a statement over accounts, as as_account_read takes them. */
#define AS_ACCOUNT_COLUMNS                                                  \
	"accounts.id, accounts.status, accounts.email, accounts.phone, "        \
	"accounts.email_confirmed_at, accounts.phone_confirmed_at, "            \
	"accounts.pending_email, accounts.pending_phone, "                      \
	"accounts.password_hash, accounts.info, accounts.app, accounts.epoch, " \
	"accounts.code_failures, accounts.banned_until, accounts.created_at"

/* Reads them, the first being column first of the row. */
extern void as_account_read(const AsRow *row, int first, AsAccount *account);

typedef enum AsAccountLock
{
	AS_ACCOUNT_SHARED,    /* FOR SHARE: stays as it is until we commit */
	AS_ACCOUNT_EXCLUSIVE, /* FOR NO KEY UPDATE: is about to change */
	AS_ACCOUNT_IF_FREE    /* the same, or false where somebody has it */
} AsAccountLock;

extern bool as_account_find(const AsUuid *id, AsAccount *account);
extern bool as_account_lock(const AsUuid *id, AsAccountLock lock,
                            AsAccount *account);
extern bool as_account_is_banned(const AsAccount *account, TimestampTz now);

/*
 * An address of an account if it counts: confirmed, or owned where no
 * confirmation is required; else NULL.
 */
extern const char *as_account_counts(const char *address,
                                     TimestampTz confirmed_at);

/* Inserts id, status, addresses, hash, info and times of account. */
extern void as_account_create(const AsAccount *account);

/* Saves status and what is confirmed; forgets wrong tries. */
extern void as_account_save_confirmed(const AsAccount *account);

/* A stronger hash of the same password; the epoch stays. */
extern void as_account_set_hash(const AsUuid *id, const AsPasswordHash *hash);

/* A new password; begins a new epoch. */
extern void as_account_set_password(const AsUuid *id,
                                    const AsPasswordHash *hash);
extern void as_account_set_info(const AsUuid *id, const Jsonb *info);

/* No sign-in that is in flight now will succeed. False: no such account. */
extern bool as_account_begin_epoch(const AsUuid *id);

extern void as_account_count_code_failure(const AsUuid *id);
extern void as_account_forget_code_failures(const AsUuid *id);

/* With its claims, codes, sessions and cache rows. False: there was none. */
extern bool as_account_delete(const AsUuid *id);

/*
 * Takes a claim from an account; a pending account that owns no other
 * identifier goes with it. Under the identifier's value lock.
 */
extern void as_account_give_up_claim(const AsUuid *id, const char *identifier);

/* Pending accounts that have no code left whose link is good. */
extern int as_account_prune_pending(TimestampTz now, int batch);

/* ---- session.c: sessions and their access tokens ---- */

/* Where a session was opened from; for show. */
typedef struct AsOrigin
{
	const char *address; /* NULL when unknown */
	const char *user_agent;
} AsOrigin;

typedef struct AsSession
{
	AsUuid user_id;
	AsUuid id;
	AsUuid jti;
	uint32 generation;
	AsDigest refresh_digest;
	TimestampTz created_at;
	TimestampTz renewed_at;
	TimestampTz access_expires_at;
	TimestampTz expires_at;
	TimestampTz ends_at; /* AS_NO_TIME: no absolute end */
	char *aal;
	char *amr; /* a JSON array */
} AsSession;

/* Opens a session and caches its access token; token is its first. */
extern void as_session_open(const AsUuid *user_id, const AsOrigin *origin,
                            const char *aal, const char *amr,
                            AsSession *session, AsRefreshToken *token);
extern bool as_session_find(const AsUuid *user_id, const AsUuid *id,
                            AsSession *session);

/*
 * Makes next the current refresh token if presented is it and the session
 * has not expired; a new jti, a new expiry, and session as it then is, with
 * its account. Durable. False when nothing was changed.
 */
extern bool as_session_renew(const AsRefreshToken *presented,
                             const AsRefreshToken *next, AsSession *session,
                             AsAccount *account);

/*
 * Whether jti is live: AS_OK, AS_TOKEN_EXPIRED (replaced by a renewal),
 * AS_SESSION_REVOKED or AS_SESSION_EXPIRED. Locks nothing, writes nothing.
 */
extern AsFailure as_session_check(const AsUuid *user_id, const AsUuid *id,
                                  const AsUuid *jti, TimestampTz now);

/* Ends one; false when it was gone. Durable, as the next is. */
extern bool as_session_end(const AsUuid *user_id, const AsUuid *id);

/* Ends all but keep (NULL: all); says how many. */
extern int as_session_end_all(const AsUuid *user_id, const AsUuid *keep);

/* Ends the oldest beyond most; the account is locked exclusively. */
extern void as_session_keep_newest(const AsUuid *user_id, int most);

/* Calls reader per live session with the columns of auth.session. */
extern void as_session_list(const AsUuid *user_id, const AsUuid *current,
                            AsRowReader reader, void *into);
extern int as_session_prune(TimestampTz now, int batch);

/* ---- code.c: one-time codes ---- */

typedef enum AsPurpose
{
	AS_PURPOSE_CONFIRM_EMAIL,
	AS_PURPOSE_CONFIRM_PHONE,
	AS_PURPOSE_EMAIL_CHANGE,
	AS_PURPOSE_PHONE_CHANGE,
	AS_PURPOSE_PASSWORD_RESET
} AsPurpose;

/* Wrong tries on an account from which on only links are accepted. */
#define AS_CODE_FAILURES_MOST 20

typedef struct AsCode
{
	AsUuid user_id;
	AsUuid id;
	AsPurpose purpose;
	const char *identifier;
	int attempts;
	TimestampTz code_expires_at;
	TimestampTz link_expires_at;
} AsCode;

/* Also the kind of the notification that carries such a code. */
extern const char *as_purpose_name(AsPurpose purpose);

/* Makes a code and kills an older one for the same. */
extern void as_code_issue(const AsUuid *user_id, AsPurpose purpose,
                          const char *identifier, AsCode *code);
/*
 * The same writes for an address that has nobody to send a code to: of a row
 * that is replaced by the next request for a reset, as an account's would
 * be; or, as a pending sign-up always has an older code to replace, of one
 * that is gone again.
 */
extern void as_code_issue_to_nobody(AsPurpose purpose, const char *identifier,
                                    AsCode *code);

/* Only codes whose link is still good are found. */
extern bool as_code_find(const AsUuid *user_id, const AsUuid *id, AsCode *code);
extern bool as_code_find_for(const AsUuid *user_id, AsPurpose purpose,
                             const char *identifier, AsCode *code);

/* Whether the short code can still be used, not only the link. */
extern bool as_code_accepts_digits(const AsCode *code, TimestampTz now);

/* Uses a code up: of any number of callers, one gets true. */
extern bool as_code_consume(const AsCode *code);
extern void as_code_drop(const AsUuid *user_id, AsPurpose purpose,
                         const char *identifier);
extern void as_code_drop_all(const AsUuid *user_id);

/* Counts a wrong try, for the code and its account; the recorder calls it. */
extern bool as_code_count_attempt(const AsUuid *user_id, const AsUuid *id);
extern int as_code_prune(TimestampTz now, int batch);

/* ---- outbox.c: notifications on their way ---- */

typedef struct AsNotification
{
	const char *kind;
	bool by_sms;
	const char *recipient;
	const AsUuid *user_id; /* NULL: nobody's */
	const AsUuid *code_id; /* NULL: carries no code */
	const char *payload;   /* JSON text of an object */
	bool is_decoy;         /* written for the same work, never handed out */
} AsNotification;

extern void as_outbox_add(const AsNotification *notification);

/*
 * Tells an account something, at its email or else its phone, whichever is
 * proved; payload is JSON text of an object.
 */
extern void as_outbox_tell(const AsAccount *account, const char *kind,
                           const char *payload);

/* A notification handed out; payload has the derived code and link token. */
typedef struct AsClaimed
{
	AsUuid id;
	TimestampTz created_at;
	char *kind;
	char *channel;
	char *recipient;
	bool has_user;
	AsUuid user_id;
	bool has_code;
	AsUuid code_id;
	Jsonb *payload;
} AsClaimed;

/* Leases at most most due rows for lease (an interval); oldest first. */
extern int as_outbox_claim(int most, Datum lease, AsClaimed **rows);

/* ids is a uuid[]; each says how many rows it found. */
extern int as_outbox_settle(Datum ids);
extern int as_outbox_release(Datum ids, const char *error);
extern int as_outbox_prune(TimestampTz now, int batch);

extern uint64 as_unix_milliseconds(TimestampTz at);

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

/* ---- reuse.c: a refresh token that was used before ---- */

/*
 * Ends the session of the event, tells its user, and writes the event; does
 * nothing and answers false where the session has ended already. In the
 * recorder's transaction: the caller's is lost.
 */
extern bool as_reuse_punish(const AsEvent *event);

/* ---- mac_key.c: the server's MAC key (auth_private.mac_keys) ---- */

/*
 * The key of a purpose, derived from the newest MAC key. With create, makes
 * the MAC key on first use (a write: not in a read-only transaction or on a
 * standby); without it, false where there is none. Raises where it is sealed
 * and can't be opened.
 */
extern bool as_mac_key(AsMacPurpose purpose, bool create, AsMacKey *out);

/* Seals every MAC key as as_signing_key_seal_all does; how many it sealed. */
extern int as_mac_key_seal_all(const AsMasterKey *previous);

/* ---- sealed.c: what is stored under the master key ---- */

/*
 * The form in which a secret is stored in the row that label names, in the
 * caller's memory context: sealed where auth_session.master_key_file is set,
 * else open. Raises where the file can't be used.
 */
extern uint8 *as_sealed_make(const char *label, const void *secret,
                             size_t length, size_t *stored_length);

/*
 * Opens a stored form into out of room bytes. Never raises: where the master
 * key is missing or wrong the log has why, and the outcome says so.
 */
extern AsSealOutcome as_sealed_open(const char *label, const uint8 *stored,
                                    size_t stored_length, void *out,
                                    size_t room, size_t *length);

/*
 * A stored form under the master key of today, in the caller's memory: what
 * was open, or sealed under previous (NULL: none). NULL where it is sealed
 * under today's already. Raises where it can't be opened or no file is set.
 */
extern uint8 *as_sealed_again(const char *label, const uint8 *stored,
                              size_t stored_length, const AsMasterKey *previous,
                              size_t *again_length);

/* Raises what an operator has to mend, in words that tell a client nothing. */
pg_noreturn extern void as_sealed_fail(AsSealOutcome outcome);

/* ---- signing_key.c: the keys that sign access tokens ---- */

/*
 * Signs claims (JSON text of an object, length bytes, in the database's
 * encoding) under the active key, made on first use (a write), and returns
 * the compact JWT, in the caller's memory context. Raises where the key
 * can't be had (sealed and no master key: an operator's error, never a
 * fallback), and where the token would be longer than AS_JWT_MAX.
 */
extern char *as_signing_key_sign(const char *claims, size_t length);

/*
 * Verifies form, size, key and signature of a compact JWT against the keys
 * of auth_private.signing_keys (active, next, retiring), at the newest
 * committed state. Looks at no claim; raises nothing for any input. jwt
 * points into token.
 */
extern bool as_signing_key_verify(const char *token, size_t length, AsJwt *jwt);

/* ---- key_life.c: how signing keys come, sign, retire and go ---- */

/*
 * All of these are writes, durable when they commit, and hold the lock of
 * signing_keys (the first in the lock order) to the transaction's end.
 * AS_READ_ONLY in a read-only transaction or on a standby.
 */
typedef enum AsKeyChange
{
	AS_KEY_CHANGED,
	AS_KEY_UNKNOWN,      /* no key of that kid, or a retired one */
	AS_KEY_EXISTS,       /* the kid is taken, if by a retired key */
	AS_KEY_UNACCEPTABLE, /* import: no key, or too weak; activate: it can't
						  * sign; retire: it is the active one */
} AsKeyChange;

/* Makes a key, state next, and answers its kid. */
extern void as_signing_key_create(AsAlgorithm algorithm,
                                  char kid[AS_KID_MAX + 1]);

/*
 * Takes a key over, state next. Its kid is the JWK's own, else its RFC 7638
 * thumbprint, else (HMAC) a random id.
 */
extern AsKeyChange as_signing_key_import(const char *jwk, size_t length,
                                         char kid[AS_KID_MAX + 1]);

/*
 * The key signs; the one that did verifies until its last token has expired
 * (access_token_ttl and leeway from now, and a minute).
 */
extern AsKeyChange as_signing_key_activate(const char *kid);

/* Refused at once in every backend; the private part is deleted. */
extern AsKeyChange as_signing_key_retire(const char *kid);

/*
 * A step of maintenance: retires what verifies no longer, and where
 * key_rotation_interval has passed activates the next key. Answers how many
 * keys it changed.
 */
extern int as_signing_key_rotate_if_due(void);

/*
 * Seals every secret under the master key of today; previous as in
 * as_sealed_again. Answers how many it sealed.
 */
extern int as_signing_key_seal_all(const AsMasterKey *previous);

/* ---- key_show.c: what others are told of the signing keys ---- */

/* auth.jwks(): the public keys that verify, the active one first. */
extern Jsonb *as_signing_key_public_set(void);

/*
 * The active key as a secret JWK, made on first use; NULL where it isn't an
 * HMAC key. The caller zeroes it.
 */
extern char *as_signing_key_secret_jwk(void);

/* ---- claims_hook.c: what an application adds to claims ---- */

/*
 * The claims of a user's access token, with what auth_session.claims_hook
 * adds: in the caller's memory, the same object where there is no hook. sub,
 * session_id, jti, iat, exp, iss and aud stay as they are, role becomes only
 * one of auth_session.claims_hook_roles. What goes wrong in the hook is
 * logged for the operator with its own SQLSTATE, and raised as AS_BUSY.
 */
extern Jsonb *as_claims_hook_apply(const AsUuid *user_id, Jsonb *claims);

#endif /* AS_NOUNS_H */
