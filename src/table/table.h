/*
 * table.h: the floor of the tables. One file per table, its statements beside
 * its struct; none calls another.
 *
 * A table answers with values; it raises only what the store raises (AS_BUSY)
 * and what can't happen. Calls shared, base and tool.
 */
#ifndef AS_TABLE_H
#define AS_TABLE_H

#include "shared/shared.h"

/* ---- audit.c: what happened (auth_private.audit_log) ---- */

/* Whether a uuid is other than all zeros, which stands for unknown. */
extern bool as_uuid_is_known(const AsUuid *uuid);

/* Writes one row, in this transaction. */
extern void as_audit_write(const AsEvent *event);

/* Each prune deletes at most batch rows that ended by now, and says how many. */
extern int as_audit_prune(TimestampTz now, int batch);

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

#endif /* AS_TABLE_H */
