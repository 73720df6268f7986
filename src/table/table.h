/*
 * table.h: the floor of the tables. One file per table of auth_private, its
 * statements beside its struct; none calls another: what touches several is
 * service. (The tables of the server's own keys are with the keys.)
 *
 * A table answers with values; it raises only what the store raises (AS_BUSY)
 * and what can't happen. Calls shared, base and tool.
 *
 * Lock order: account, identifier, code, mfa use, factor, session, token cache,
 * outbox. For an API key's row nobody waits.
 */
#ifndef AS_TABLE_H
#define AS_TABLE_H

#include "shared/shared.h"

/* ---- what a table keeps about a user, for himself ---- */

/* Of each table, the newest rows. */
#define AS_EXPORT_MOST 10000

/*
 * A statement that answers rows of a table of auth_private as one array, the
 * newest first: $1 is whose, $2 how many.
 */
#define AS_EXPORTS(columns, from, order)                          \
	AS_READS("SELECT COALESCE(pg_catalog.jsonb_agg("              \
	         "       pg_catalog.to_jsonb(kept)), '[]') AS kept"   \
	         "  FROM (SELECT " columns " FROM auth_private." from \
	         "         ORDER BY " order " LIMIT $2) AS kept")

/* ---- identifier.c: who claims or owns an address ---- */

/* Pending claims of one identifier that count: the newest. */
#define AS_CLAIMS_KEPT 3

typedef struct AsClaimList
{
	int count;
	AsUuid *user_ids; /* newest first */
} AsClaimList;

typedef struct AsClaim
{
	char *identifier;
	AsUuid user_id;
} AsClaim;

/*
 * The canonical form of an email or phone, both in the database's encoding;
 * NULL for what is none.
 */
extern char *as_identifier_canonical(const char *typed, bool is_phone);

extern bool as_identifier_owner(const char *identifier, AsUuid *user_id);

/* The newest that are committed, and this transaction's own; at most most. */
extern void as_identifier_claims(const char *identifier, int most,
                                 AsClaimList *claims);

/* Adds a claim, where the user has none; waits for nobody. */
extern void as_identifier_claim(const char *identifier, const AsUuid *user_id);

/* Adds an owner; false where there is one. Waits for who is about to be. */
extern bool as_identifier_take(const char *identifier, const AsUuid *user_id);

/*
 * Turns a claim into ownership; waits as as_identifier_take does. False where
 * another owns it, or the claim is gone.
 */
extern bool as_identifier_own(const char *identifier, const AsUuid *user_id);
extern void as_identifier_drop(const char *identifier, const AsUuid *user_id);

/* Of several addresses, which are the user's. */
extern Jsonb *as_identifier_export(const AsTexts *identifiers);

/* Up to most claims that don't count, for newer ones of their address. */
extern int as_identifier_list_surplus(int most, AsClaim **claims);

/* ---- account.c: accounts ---- */

typedef enum AsAccountStatus
{
	AS_ACCOUNT_PENDING,
	AS_ACCOUNT_ACTIVE
} AsAccountStatus;

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
	int64 key_epoch;          /* the same of API keys */
	int32 forgiven;           /* how often its failed passwords were */
	TimestampTz banned_at;    /* AS_NO_TIME: never, or the ban was lifted */
	TimestampTz banned_until; /* AS_NO_TIME of a banned one: for ever */
	TimestampTz created_at;
} AsAccount;

/* A ban from at until until; lifted where at is AS_NO_TIME. */
typedef struct AsBan
{
	TimestampTz at;
	TimestampTz until;
	char *reason; /* the operator's words, or NULL */
} AsBan;

typedef enum AsAccountLock
{
	AS_ACCOUNT_EXCLUSIVE, /* FOR NO KEY UPDATE: is about to change */
	AS_ACCOUNT_IF_FREE    /* the same, or false where somebody has it */
} AsAccountLock;

extern bool as_account_find(const AsUuid *id, AsAccount *account);

/*
 * The same, with the hash, the epoch, the ban and what was forgiven that
 * revocations put in force; none where one of them has deleted it.
 */
extern bool as_account_find_revoked(const AsUuid *id, AsAccount *account);

/* The same, where a session of it lives, too: both in one snapshot. */
extern bool as_account_find_in_session(const AsUuid *id,
                                       const AsUuid *session_id,
                                       AsAccount *account);
extern bool as_account_lock(const AsUuid *id, AsAccountLock lock,
                            AsAccount *account);
extern bool as_account_is_banned(const AsAccount *account, TimestampTz now);

/* pending, active, or banned at this moment. */
extern const char *as_account_status_name(const AsAccount *account);

/*
 * An address of an account if it counts: confirmed, or owned where no
 * confirmation is required; else NULL.
 */
extern const char *as_account_counts(const char *address,
                                     TimestampTz confirmed_at);

/*
 * Inserts all of account but what is pending, a ban and the epoch; false where
 * there is one of that id. Waits for who is about to insert it.
 */
extern bool as_account_create(const AsAccount *account);

/* Saves status and what is confirmed. */
extern void as_account_save_confirmed(const AsAccount *account);

/*
 * A stronger hash of the same password, in place of the one that was
 * verified; the epoch stays.
 */
extern void as_account_set_hash(const AsUuid *id, const AsPasswordHash *old,
                                const AsPasswordHash *hash);

/* The epoch in force from now on, and the hash with it (NULL: as it is). */
extern void as_account_set_epoch(const AsUuid *id, int64 epoch,
                                 const AsPasswordHash *hash);
extern void as_account_set_key_epoch(const AsUuid *id, int64 key_epoch);

/* Its failed passwords are forgiven, so many times more. */
extern void as_account_forgive(const AsUuid *id, int times);
extern void as_account_set_info(const AsUuid *id, const Jsonb *info);
extern void as_account_set_app(const AsUuid *id, const Jsonb *app);
extern void as_account_set_ban(const AsUuid *id, const AsBan *ban);

/* Saves status, addresses, what is pending of them and what is confirmed. */
extern void as_account_save_addresses(const AsAccount *account);

/* Up to most accounts with a pending address, but no code for one, at now. */
extern int as_account_list_changes_ended(TimestampTz now, int most,
                                         AsUuid **ids);

/* Calls visit with the row of auth_admin.users, where there is one. */
extern void as_account_show(const AsUuid *id, AsTupleVisit visit, void *into);

/* The row as one object, without the hash. */
extern Jsonb *as_account_export(const AsUuid *id);

/* FOR UPDATE, or else FOR KEY SHARE; waits for nobody. */
extern AsLocked as_account_try_lock(const AsUuid *id, bool for_update);

/* The row alone: as_account_end takes what hangs on it too. */
extern bool as_account_delete_row(const AsUuid *id);

/* Where a pending account stands in the order in which they end. */
typedef struct AsPendingPlace
{
	TimestampTz created_at;
	AsUuid id;
} AsPendingPlace;

/*
 * Up to most pending accounts without a code whose link is good at now, behind
 * a place (all zeros: from the first).
 */
extern int as_account_list_ended(TimestampTz now, const AsPendingPlace *after,
                                 int most, AsPendingPlace **places);

/* The same, of those that were made before a time, whatever their codes. */
extern int as_account_list_made_before(TimestampTz made_before,
                                       const AsPendingPlace *after, int most,
                                       AsPendingPlace **places);

/* ---- deleted_user.c: accounts that are gone ---- */

extern void as_deleted_user_forget(const AsUuid *user_id);
extern void as_deleted_user_note(const AsUuid *user_id, TimestampTz at);
extern int as_deleted_user_prune(TimestampTz now, int batch);

/* ---- session.c: sessions ---- */

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
	int32 generation;
	AsDigest refresh_digest;
	TimestampTz created_at;
	TimestampTz renewed_at;
	TimestampTz access_expires_at;
	TimestampTz expires_at;
	TimestampTz ends_at; /* AS_NO_TIME: no absolute end */
	char *aal;
	AsTexts amr;
	TimestampTz auth_time; /* when its user last showed who he is */
	int64 epoch;           /* of the account, as the sign-in saw it */
	char *actor; /* the operator's role that acts for the user, or NULL */
} AsSession;

extern void as_session_insert(const AsSession *session, const AsOrigin *origin);
extern bool as_session_find(const AsUuid *user_id, const AsUuid *id,
                            AsSession *session);

/* What decides about an access token; false when the session has no row. */
typedef struct AsSessionToken
{
	AsUuid jti;
	TimestampTz expires_at; /* of the session */
} AsSessionToken;

extern bool as_session_find_token(const AsUuid *user_id, const AsUuid *id,
                                  AsSessionToken *token);

/*
 * For a user of whom revocations are pending: the same, false also when one
 * of them ends the session; and all sessions, with what becomes of them.
 */
extern bool as_session_find_live(const AsUuid *user_id, const AsUuid *id,
                                 AsSessionToken *token);

typedef struct AsSessionFate
{
	AsUuid id;
	bool lives;
} AsSessionFate;

extern int as_session_list_fates(const AsUuid *user_id, AsSessionFate **fates);

/*
 * Makes next the current refresh token if presented is it and the session
 * has not expired; jti the current access token, a new expiry, and session as
 * it then is. False when nothing was changed.
 */
extern bool as_session_rotate(const AsRefreshToken *presented,
                              const AsRefreshToken *next, const AsUuid *jti,
                              AsSession *session);

/*
 * What its user has shown of himself by now, in place of the access token jti:
 * next is the current one then, and session as it then is. False where jti
 * isn't current any more, or the session has expired.
 */
extern bool as_session_set_proof(const AsUuid *user_id, const AsUuid *id,
                                 const AsUuid *jti, const AsUuid *next,
                                 const AsTexts *amr, const char *aal,
                                 AsSession *session);

/* How many that have not expired were made before a time, and live. */
extern int64 as_session_count_made_before(TimestampTz made_before);

/* Up to most that were made before a time, in the order of their keys. */
extern int as_session_list_made_before(TimestampTz made_before,
                                       const AsRowKey *after, int most,
                                       AsRowKey **keys);

/* The epoch that the session is of from now on. */
extern void as_session_set_epoch(const AsUuid *user_id, const AsUuid *id,
                                 int64 epoch);

/* The rows alone: as_session_end and as_session_end_all end sessions. */
extern void as_session_delete(const AsUuid *user_id, const AsUuid *id);

/*
 * The same of a session that the caller has locked, and then found that it has
 * no row in the token cache, or deleted that: no cascade is needed.
 */
extern void as_session_delete_alone(const AsRowKey *key);

/*
 * Of many, by user and session. False where not all could be deleted without a
 * statement: as_session_delete has to see to each, then.
 */
extern bool as_session_delete_each(const AsRowKey *keys, int count);

extern int as_session_delete_all(const AsUuid *user_id, const AsUuid *keep);

/*
 * Locks all but keep (NULL: all) that nobody holds. Whether that was all.
 */
extern bool as_session_lock_all(const AsUuid *user_id, const AsUuid *keep);

/* Says where the row is that it locked; NULL: that is not wanted. */
extern AsLocked as_session_try_lock(const AsUuid *user_id, const AsUuid *id,
                                    ItemPointer place);

/*
 * A user's live ones but for the most newest, impersonations aside; by_rule
 * where revocations of the user are pending.
 */
extern int as_session_list_oldest(const AsUuid *user_id, int most, bool by_rule,
                                  AsUuid **ids);

/*
 * Calls visit per live session with the columns of auth.session; by_rule
 * where revocations of the user are pending.
 */
extern void as_session_each(const AsUuid *user_id, const AsUuid *current,
                            bool by_rule, AsTupleVisit visit, void *into);

/* All but the digest of the token and the jti. */
extern Jsonb *as_session_export(const AsUuid *user_id);

/*
 * Locks FOR UPDATE at most batch sessions that had ended by now, but none that
 * somebody else holds, and says how many.
 */
extern int as_session_lock_ended(TimestampTz now, int batch, AsRowKey **keys);

/* Deletes them at once, where no token cache hangs on them. */
extern int as_session_delete_ended(TimestampTz now, int batch);

/* ---- api_key.c: API keys ---- */

/* What decides about a use of a key, and what it is then known by. */
typedef struct AsApiKeyRow
{
	AsDigest digest;
	AsTexts scopes;
	char *role; /* NULL: that of access tokens */
	TimestampTz last_used_at;
	TimestampTz expires_at; /* AS_NO_TIME: never */

	/* Of the account. */
	char *email;
	char *phone;
	TimestampTz email_confirmed_at;
	TimestampTz phone_confirmed_at;
	Jsonb *app;
} AsApiKeyRow;

/*
 * One that lives: of the account's key_epoch, and by_rule, where revocations of
 * the user are pending, ended by none of them. It may have expired.
 */
extern bool as_api_key_find(const AsUuid *user_id, const AsUuid *id,
                            bool by_rule, AsApiKeyRow *row);

typedef struct AsNewApiKey
{
	AsUuid user_id;
	AsUuid id;
	AsDigest digest;
	char *name;
	AsTexts scopes;
	char *role;      /* NULL: that of access tokens */
	int64 key_epoch; /* of the account, in force */
	TimestampTz created_at;
	TimestampTz expires_at; /* AS_NO_TIME: never */
} AsNewApiKey;

/* Hold the account. */
extern void as_api_key_insert(const AsNewApiKey *key);

/* How many of a user live, and have not expired. */
extern int as_api_key_count(const AsUuid *user_id);

/* Calls visit per such key with the columns of auth.api_key; newest first. */
extern void as_api_key_each(const AsUuid *user_id, AsTupleVisit visit,
                            void *into);

/* All that have a row, and whether each lives. */
typedef struct AsApiKeyFate
{
	AsUuid id;
	bool lives;
} AsApiKeyFate;

extern int as_api_key_list_fates(const AsUuid *user_id, AsApiKeyFate **fates);

/* Up to most that were made before a time, in the order of their keys. */
extern int as_api_key_list_made_before(TimestampTz made_before,
                                       const AsRowKey *after, int most,
                                       AsRowKey **keys);

extern AsLocked as_api_key_try_lock(const AsUuid *user_id, const AsUuid *id);

/* The row alone: as_key_end ends one. Lock it first. */
extern void as_api_key_delete(const AsUuid *user_id, const AsUuid *id);

/* Later than it was; locked. */
extern void as_api_key_set_used(const AsUuid *user_id, const AsUuid *id,
                                TimestampTz at);

/* A user's that have expired; waits for nobody. */
extern void as_api_key_delete_expired(const AsUuid *user_id);
extern int as_api_key_prune(TimestampTz now, int batch);

/* All but the digest. */
extern Jsonb *as_api_key_export(const AsUuid *user_id);

/* ---- revocation.c: ends of sessions whose rows are held ---- */

typedef struct AsRevocation
{
	AsUuid user_id;
	AsUuid
	    session_id; /* or an API key's; all zeros: all sessions of the user */
	AsUuid id;
	AsUuid keep;         /* all zeros: none */
	AsPasswordHash hash; /* "": as it was */
	int32 weight;
	bool changes_ban; /* ban is in force from then on */
	AsBan ban;
	bool deletes;   /* the account, with all that hangs on it */
	bool forgives;  /* its failed passwords */
	bool ends_keys; /* all API keys of the user end, too */
	bool keeps_addresses;
	char *email; /* of the account, from then on; NULL: none */
	char *phone;
} AsRevocation;

/*
 * Ends a session or an API key, or all sessions of a user (session_id NULL) but
 * keep (NULL: none); waits for nobody. Durable; wakes the recorder.
 */
extern void as_revocation_add(const AsUuid *user_id, const AsUuid *session_id,
                              const AsUuid *keep, const AsPasswordHash *hash,
                              int weight);

/*
 * The same for all sessions of a user but keep, and where it ends_keys for all
 * API keys, with a new password, and the addresses that the account owns (NULL:
 * none), which it has when the row is worked in, unless they were let change
 * since.
 */
extern void as_revocation_add_password(const AsUuid *user_id,
                                       const AsUuid *keep, bool ends_keys,
                                       const AsPasswordHash *hash,
                                       const char *email, const char *phone);

/* With the account locked, so that no row is being worked in. */
extern void as_revocation_let_addresses_change(const AsUuid *user_id);

/*
 * The same for all sessions and API keys of a user, of whom ban is in force
 * from now on (where it was lifted, nothing ends); for an account that is
 * deleted; and for one whose failed passwords are forgiven, where no session ends.
 */
extern void as_revocation_add_ban(const AsUuid *user_id, const AsBan *ban);
extern void as_revocation_add_deletion(const AsUuid *user_id);
extern void as_revocation_add_forgiveness(const AsUuid *user_id);

/*
 * Ends what was made before a time, whoever's: sessions, API keys, codes and
 * pending sign-ups, those too that are still uncommitted. Durable, waits for
 * nobody, wakes the recorder. It counts for at least AS_FOR_ALL_KEPT seconds,
 * for what has no row that could be deleted.
 */
#define AS_FOR_ALL_KEPT 600
extern void as_revocation_add_for_all(TimestampTz made_before);

/*
 * Whether that ended what was made at a time, where no row of a table says so:
 * a token of less than AS_FOR_ALL_KEPT seconds. A comparison, mostly.
 */
extern bool as_revocation_ends(TimestampTz made_at);

/*
 * Whether there are any of a user, or of everybody; a comparison where there
 * are none at all.
 */
extern bool as_revocation_is_pending(const AsUuid *user_id);

/* Whether the rule is to be asked: where there are any, or can't be known. */
extern bool as_revocation_may_decide(const AsUuid *user_id);

/* A row of everybody's; is_over: no transaction of before it is left. */
typedef struct AsForAll
{
	AsUuid id;
	TimestampTz made_before;
	TimestampTz at;
	int64 next_xid; /* 0: the recorder has worked it off */
	bool is_over;
} AsForAll;

/* The newest time first; and whether one was written on this server. */
extern int as_revocation_list_for_all(AsForAll **rows);
extern bool as_revocation_is_native(const AsForAll *row);

/* As if it were written now; worked off; gone. */
extern void as_revocation_adopt_for_all(const AsForAll *row);
extern void as_revocation_settle_for_all(const AsForAll *row);
extern void as_revocation_delete_for_all(const AsForAll *row);

/* Oldest first. */
extern int as_revocation_list(const AsUuid *user_id, AsRevocation **rows);

/* Up to most users of whom there are any, in the order of their ids. */
extern int as_revocation_list_users(const AsUuid *after, int most,
                                    AsUuid **user_ids);
extern void as_revocation_delete(const AsRevocation *row);

/*
 * For statements: what was made at a time, by its column, has ended with a row
 * of everybody's.
 */
#define AS_NOBODY "'00000000-0000-0000-0000-000000000000'"
#define AS_MADE_BEFORE(column)                                \
	"EXISTS (SELECT FROM auth_private.revocations AS for_all" \
	"         WHERE for_all.user_id = " AS_NOBODY             \
	"           AND for_all.made_before > " column ")"

/*
 * For statements whose $1 is the user: whether no revocation ends the session
 * of the row of sessions that is looked at.
 */
#define AS_SESSION_LIVES                                                \
	"NOT EXISTS (SELECT FROM auth_private.revocations AS r"             \
	"             WHERE r.user_id = $1 AND r.session_id = sessions.id)" \
	" AND sessions.epoch ="                                             \
	"     (SELECT accounts.epoch FROM auth_private.accounts"            \
	"       WHERE accounts.id = $1)"                                    \
	"     + COALESCE((SELECT pg_catalog.sum(r.weight)"                  \
	"                   FROM auth_private.revocations AS r"             \
	"                  WHERE r.user_id = $1"                            \
	"                    AND r.keep IS DISTINCT FROM sessions.id), 0)"  \
	" AND NOT " AS_MADE_BEFORE("sessions.created_at")

/* ---- token_cache.c: the allow-list of access tokens ---- */

/* A session's row, where this server has it; a miss means nothing. */
extern bool as_token_cache_probe(const AsUuid *user_id,
                                 const AsUuid *session_id, AsUuid *jti);

/* Puts what a session's row says there, in place of what was. */
extern void as_token_cache_put(const AsSession *session);
extern void as_token_cache_delete(const AsRowKey *key);
extern void as_token_cache_delete_all(const AsUuid *user_id,
                                      const AsUuid *keep);

/* As for sessions. */
extern bool as_token_cache_lock_all(const AsUuid *user_id, const AsUuid *keep);
extern AsLocked as_token_cache_try_lock(const AsUuid *user_id,
                                        const AsUuid *session_id,
                                        ItemPointer place);

/*
 * Deletes the rows of sessions, those that there are. False where only the
 * cascade of a statement that deletes the sessions may.
 */
extern bool as_token_cache_delete_each(const AsRowKey *sessions, int count);

extern int as_token_cache_prune(TimestampTz now, int batch);

/* ---- code.c: one-time codes ---- */

typedef enum AsPurpose
{
	AS_PURPOSE_CONFIRM_EMAIL,
	AS_PURPOSE_CONFIRM_PHONE,
	AS_PURPOSE_EMAIL_CHANGE,
	AS_PURPOSE_PHONE_CHANGE,
	AS_PURPOSE_PASSWORD_RESET,
	AS_PURPOSE_SIGNIN_CODE,
	AS_PURPOSE_INVITATION /* its link only, never its digits */
} AsPurpose;

#define AS_PURPOSE_COUNT (AS_PURPOSE_INVITATION + 1)

/* Purposes, as a set. */
#define AS_PURPOSE_SET(purpose) (1u << (purpose))

typedef struct AsCode
{
	AsUuid user_id;
	AsUuid id;
	AsPurpose purpose;
	char *identifier;
	TimestampTz code_expires_at;
	TimestampTz link_expires_at;
} AsCode;

extern const char *as_purpose_name(AsPurpose purpose);

/* The kind of the notification that carries such a code. */
extern const char *as_purpose_kind(AsPurpose purpose);

/*
 * Makes a code, which takes the place of an older one for the same with the
 * commit: only a row is added, and nobody waits.
 */
extern void as_code_issue(const AsUuid *user_id, AsPurpose purpose,
                          const char *identifier, AsCode *code);

/* The newest for the same, and only if its link is still good, is found. */
extern bool as_code_find(const AsUuid *user_id, const AsUuid *id, AsCode *code);
extern bool as_code_find_for(const AsUuid *user_id, AsPurpose purpose,
                             const char *identifier, AsCode *code);

/* Whether a user has any code whose link is good at now. */
extern bool as_code_is_live(const AsUuid *user_id, TimestampTz now);
extern bool as_code_is_live_for(const AsUuid *user_id, AsPurpose purpose,
                                TimestampTz now);

/* The same of one purpose, for whatever address. */
extern bool as_code_is_live_for(const AsUuid *user_id, AsPurpose purpose,
                                TimestampTz now);

/* Uses a code up: of any number of callers, one gets true. */
extern bool as_code_consume(const AsCode *code);
extern void as_code_drop(const AsUuid *user_id, AsPurpose purpose,
                         const char *identifier);

/*
 * Those of one purpose, for whatever address; and all, but one that is being
 * used at this moment.
 */
extern void as_code_drop_purpose(const AsUuid *user_id, AsPurpose purpose);
extern void as_code_drop_all(const AsUuid *user_id);

/* As all, but those that confirm a sign-up. */
extern void as_code_drop_but_confirmations(const AsUuid *user_id);

/* Those that were made by then. */
extern void as_code_drop_until(const AsUuid *user_id, TimestampTz at);

/* What for, where to and until when. */
extern Jsonb *as_code_export(const AsUuid *user_id);

/* Also those behind newer ones, of which the last hour's are looked at. */
extern int as_code_prune(TimestampTz now, int batch);

/*
 * Deletes up to batch codes that were made before a time: how many; and
 * whether there are any left, that somebody uses at this moment.
 */
extern int as_code_delete_made_before(TimestampTz made_before, int batch);
extern bool as_code_is_made_before(TimestampTz made_before);

/* ---- code_failure.c: wrong tries on the short codes of an address ---- */

/* Wrong tries at an address from which on only links are accepted. */
#define AS_CODE_FAILURES_MOST 20

typedef struct AsCodeFailures
{
	int since_success; /* of any purpose */
	int in_window;     /* of one purpose, lately */
} AsCodeFailures;

/*
 * Adds one, by the recorder. A purpose is as as_purpose_name has it, or
 * factor.c's own, which counts under the user's id in place of an address.
 */
extern void as_code_failure_add(const char *identifier, const char *purpose,
                                TimestampTz at);
extern void as_code_failure_count(const char *identifier, const char *purpose,
                                  int window_s, AsCodeFailures *failures);

/* Whether short codes are looked at, and not only links. */
extern bool as_code_failure_allows(const AsCodeFailures *failures);

/* After a success. Waits for nobody. */
extern void as_code_failure_forget(const char *identifier);

/* At several addresses, which are the user's. */
extern Jsonb *as_code_failure_export(const AsTexts *identifiers);

/* Those of addresses that nobody has tried wrongly for a day. */
extern int as_code_failure_prune(TimestampTz now, int batch);

/* ---- factor.c: second factors ---- */

/* How long one that is pending can be turned on: seconds. */
#define AS_FACTOR_PENDING_S 3600

typedef struct AsFactor
{
	AsUuid user_id;
	AsUuid id;
	AsBytes secret; /* as it is stored: sealed */
	TimestampTz confirmed_at;
	int64 last_step; /* the newest of which a code was taken */
} AsFactor;

/* A pending one, in place of others; secret is in its stored form. */
extern void as_factor_add(const AsUuid *user_id, const AsUuid *id,
                          AsArg secret);

/* The one that is on; and whether there is any. */
extern bool as_factor_find(const AsUuid *user_id, AsFactor *factor);
extern bool as_factor_is_on(const AsUuid *user_id);

/* The newest that is pending. */
extern bool as_factor_find_pending(const AsUuid *user_id, AsFactor *factor);

/*
 * Turns one on that is pending, step being used then. False where it is gone
 * or on. Hold the account.
 */
extern bool as_factor_turn_on(const AsFactor *factor, int64 step);

/*
 * Uses a step up: of any number of callers, one gets true; false, too, for a
 * step before one that was used. Waits for who is using one.
 */
extern bool as_factor_use_step(const AsFactor *factor, int64 step);

/* The rows alone: as_factor_remove takes what belongs to them too. */
extern void as_factor_delete_all(const AsUuid *user_id);
extern int as_factor_prune(TimestampTz now, int batch);

/* Since when, and since when on; not the secret. */
extern Jsonb *as_factor_export(const AsUuid *user_id);

/* ---- recovery_code.c: what stands in for a lost factor ---- */

extern void as_recovery_code_add(const AsUuid *user_id, const AsDigest *digest);
extern bool as_recovery_code_is(const AsUuid *user_id, const AsDigest *digest);
extern int as_recovery_code_count(const AsUuid *user_id);

/* Uses one up: of any number of callers, one gets true. */
extern bool as_recovery_code_consume(const AsUuid *user_id,
                                     const AsDigest *digest);
extern void as_recovery_code_delete_all(const AsUuid *user_id);

/* Since when there is each; not the digest. */
extern Jsonb *as_recovery_code_export(const AsUuid *user_id);

/* ---- device.c: from where a user has signed in ---- */

/*
 * Whether no sign-in of the user within the last 90 days came from the network
 * of an address (NULL: unknown) by a user agent of this family; from now on one
 * has.
 */
extern bool as_device_is_new(const AsUuid *user_id, const char *address,
                             const char *family);
extern void as_device_delete_all(const AsUuid *user_id);
extern int as_device_prune(TimestampTz now, int batch);
extern Jsonb *as_device_export(const AsUuid *user_id);

/* ---- mfa_use.c: mfa tokens that have had their use ---- */

/* Of any number of uses of a token, one gets true. */
extern bool as_mfa_use_add(const AsMfaToken *token);
extern bool as_mfa_use_is(const AsMfaToken *token);
extern void as_mfa_use_delete_all(const AsUuid *user_id);
extern int as_mfa_use_prune(TimestampTz now, int batch);

/* ---- outbox.c: notifications on their way ---- */

typedef struct AsNotification
{
	const char *kind;
	bool by_sms;
	const char *channel; /* NULL: email, or sms */
	const char *recipient;
	const AsUuid *user_id; /* NULL: nobody's */
	const AsUuid *code_id; /* NULL: carries no code */
	const char *payload;   /* JSON text of an object */
	bool is_decoy;         /* written for the same work, never handed out */
} AsNotification;

extern void as_outbox_add(const AsNotification *notification);

/* A notification handed out, as it is stored. */
typedef struct AsClaimed
{
	AsUuid id;
	TimestampTz created_at;
	char *kind;
	char *channel;
	char *recipient;
	AsUuid user_id; /* all zeros: nobody's */
	AsUuid code_id; /* all zeros: carries no code */
	Jsonb *payload;
	char *language;         /* what the user's info has as locale, or NULL */
	int32 place;            /* of outbox.c */
	TimestampTz was_due_at; /* before it was leased */
} AsClaimed;

/*
 * Leases at most most due rows of channel (email, sms, event; NULL: the first
 * two) for lease (an interval); oldest first.
 */
extern int as_outbox_claim(int most, Datum lease, const char *channel,
                           AsClaimed **rows);

/* ids is a uuid[]; each says how many rows it found. */
extern int as_outbox_settle(Datum ids);
extern int as_outbox_release(Datum ids, const char *error, bool is_permanent);

/* Settles one that was claimed and must not be delivered. */
extern void as_outbox_settle_one(const AsUuid *user_id, const AsUuid *id);

/* What was sent to a user, but what carries a code. */
extern Jsonb *as_outbox_export(const AsUuid *user_id);

extern int as_outbox_prune(TimestampTz now, int batch);

/* ---- audit_log.c: what happened ---- */

/*
 * Writes one row, in this transaction; remark, where it isn't NULL, in place of
 * the event's reason.
 */
extern void as_audit_log_write(const AsEvent *event, const char *remark);
/* What happened to a user; of operators only that it was one. */
extern Jsonb *as_audit_log_export(const AsUuid *user_id);

extern int as_audit_log_prune(TimestampTz now, int batch);

/* ---- common_password.c: words that are no passwords ---- */

/* Of a word as as_fold_text has it. */
extern bool as_common_password_is(const char *folded);
extern void as_common_password_add(const char *folded);

#endif /* AS_TABLE_H */
