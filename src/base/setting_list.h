/*
 * setting_list.h: every setting, auth_session.*, one row each.
 *
 * The only place where one is added. SETTING is the includer's: base.h makes a
 * declaration of each row, settings.c a variable and its registration, so this
 * file has no guard. auth_session.x is the variable auth_session_x.
 *
 *   name      without its auth_session.
 *   type      TEXT (char *), INT (int), BOOL (bool) or ENUM (int)
 *   default   in its unit
 *   range     FROM_TO(least, most), ONE_OF(options), or ANY
 *   unit      S, MS or KB; NONE for counts, and where there is no number
 *   context   SUSET, so that an operator can set it for a database or a role, or
 *             SIGHUP for what the whole server shares. Never USERSET: an
 *             ordinary user can change none.
 *
 * and below it
 *
 *   flags     the server's, GUC_*
 *   check     refuses a value that could not work, when it is set; or NULL
 *   assign    is told of each new value; or NULL
 *   and what it is, in a sentence.
 *
 * doc/guide.md has them for users, and test/t/readme.pl compares.
 */
/* clang-format off */
/*      name                      type  default             range                           unit  context
        flags, check, assign, description */

/* ---- tokens and keys ---- */
SETTING(issuer,                   TEXT, "auth_session",     ANY,                            NONE, SUSET,
        0, check_issuer, NULL, "The iss claim of access tokens.")
SETTING(audience,                 TEXT, "authenticated",    ANY,                            NONE, SUSET,
        0, check_audience, NULL, "The aud claim of access tokens.")
SETTING(authenticated_role,       TEXT, "authenticated",    ANY,                            NONE, SUSET,
        0, check_role, NULL, "The role claim of access tokens.")
SETTING(access_token_ttl,         INT,  15 * MINUTE,        FROM_TO(1, 30 * DAY),           S,    SUSET,
        0, NULL, NULL, "How long an access token is valid.")
SETTING(refresh_token_ttl,        INT,  30 * DAY,           FROM_TO(1, 10 * YEAR),          S,    SUSET,
        0, NULL, NULL, "How long a session lives without being renewed.")
SETTING(session_max_age,          INT,  0,                  FROM_TO(0, 10 * YEAR),          S,    SUSET,
        0, NULL, NULL, "How long a session lives however often it is renewed; 0 for no end.")
SETTING(max_sessions_per_user,    INT,  0,                  FROM_TO(0, 10000),              NONE, SUSET,
        0, NULL, NULL, "How many live sessions a user can have, the oldest ending first; 0 for any number.")
SETTING(refresh_reuse_grace,      INT,  10,                 FROM_TO(0, 5 * MINUTE),         S,    SUSET,
        0, NULL, NULL, "How long a renewed refresh token still answers with the same successor.")
SETTING(leeway,                   INT,  0,                  FROM_TO(0, 5 * MINUTE),         S,    SUSET,
        0, NULL, NULL, "By how much the clock of an issuer of imported keys may be off.")
SETTING(key_rotation_interval,    INT,  0,                  FROM_TO(0, 10 * YEAR),          S,    SUSET,
        0, NULL, NULL, "The age at which maintenance replaces the active signing key; 0 for never.")
SETTING(claims_hook,              TEXT, "",                 ANY,                            NONE, SUSET,
        0, check_claims_hook, NULL, "schema.function(user_id uuid, claims jsonb) returns jsonb that may add claims to access tokens.")
SETTING(claims_hook_roles,        TEXT, "",                 ANY,                            NONE, SUSET,
        0, check_roles, NULL, "Roles that the claims hook may put into the role claim.")
SETTING(master_key_file,          TEXT, "",                 ANY,                            NONE, SIGHUP,
        GUC_SUPERUSER_ONLY, check_master_key_file, NULL, "File of 32 bytes, mode 0600, under which keys at rest are sealed.")

/* ---- API keys ---- */
SETTING(api_keys,                 BOOL, false,              ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether API keys are made, and taken.")
SETTING(api_key_roles,            TEXT, "",                 ANY,                            NONE, SUSET,
        GUC_LIST_INPUT, check_roles, NULL, "Roles that any user may make an API key for, besides authenticated_role.")
SETTING(api_key_max_age,          INT,  0,                  FROM_TO(0, 10 * YEAR),          S,    SUSET,
        0, NULL, NULL, "How long an API key lives at most; 0 for as long as its user says.")
SETTING(max_api_keys_per_user,    INT,  20,                 FROM_TO(1, 1000),               NONE, SUSET,
        0, NULL, NULL, "How many live API keys a user can have.")

/* ---- accounts, codes and messages ---- */
SETTING(require_confirmation,     ENUM, AS_CONFIRM_ALL,     ONE_OF(confirmations),          NONE, SUSET,
        0, NULL, NULL, "Which of the addresses given at sign-up must be confirmed.")
SETTING(signup_hook,              TEXT, "",                 ANY,                            NONE, SUSET,
        0, check_signup_hook, NULL, "schema.function(email text, phone text, info jsonb) returns jsonb that may refuse a sign-up, or say what info is kept.")
SETTING(signup_enabled,           BOOL, true,               ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether strangers can sign up.")
SETTING(passwordless,             BOOL, false,              ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether users sign in by a code sent to them, and sign up without a password.")
SETTING(code_ttl,                 INT,  10 * MINUTE,        FROM_TO(1, HOUR),               S,    SUSET,
        0, NULL, NULL, "How long a one-time code is valid.")
SETTING(link_ttl,                 INT,  DAY,                FROM_TO(1, 30 * DAY),           S,    SUSET,
        0, NULL, NULL, "How long a link token, and so a pending sign-up, is valid.")
SETTING(reset_link_ttl,           INT,  HOUR,               FROM_TO(1, DAY),                S,    SUSET,
        0, NULL, NULL, "How long the link token of a password reset or a sign-in is valid.")
SETTING(code_length,              INT,  6,                  FROM_TO(6, AS_CODE_MAX_DIGITS), NONE, SUSET,
        0, NULL, NULL, "Digits of a one-time code.")
SETTING(code_attempts,            INT,  5,                  FROM_TO(1, 10),                 NONE, SUSET,
        0, NULL, NULL, "Wrong tries that kill a one-time code.")
SETTING(resend_cooldown,          INT,  MINUTE,             FROM_TO(0, DAY),                S,    SUSET,
        0, NULL, NULL, "How long after one message the next can be asked for; 0 for at once.")
SETTING(password_min_length,      INT,  8,                  FROM_TO(8, 128),                NONE, SUSET,
        0, NULL, NULL, "The fewest characters of a password.")
SETTING(password_hook,            TEXT, "",                 ANY,                            NONE, SUSET,
        0, check_password_hook, NULL, "schema.function(password text) returns boolean that says whether a new password is taken.")
SETTING(site_url,                 TEXT, "",                 ANY,                            NONE, SUSET,
        0, check_site_url, NULL, "The application's URL, the only source of the links in messages.")
SETTING(notify_new_signin,        ENUM, AS_NOTIFY_ALWAYS,   ONE_OF(signin_notices),         NONE, SUSET,
        0, NULL, NULL, "Of which sign-ins a user is told: always, new_device, never.")
SETTING(notify,                   BOOL, true,               ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether a new notification wakes the bridge.")
SETTING(events,                   TEXT, "",                 ANY,                            NONE, SUSET,
        0, check_events, NULL, "Which events are written for applications: user_created, user_confirmed, user_changed, user_banned, user_deleted, session_started, session_ended.")
SETTING(default_locale,           TEXT, "en",               ANY,                            NONE, SUSET,
        0, check_locale, NULL, "The language (BCP 47) of messages to users whose info has no locale.")
SETTING(audit_retention,          INT,  90 * DAY,           FROM_TO(0, 10 * YEAR),          S,    SUSET,
        0, NULL, NULL, "How long audit rows are kept; 0 for ever.")
SETTING(log_refusals,             BOOL, false,              ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether each refusal is a line of the server log, with the client's address and the code.")
SETTING(audit_renewals,           BOOL, false,              ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether renewals that succeed are written to the audit log.")

SETTING(deleted_retention,        INT,  400 * DAY,          FROM_TO(0, 10 * YEAR),          S,    SUSET,
        0, NULL, NULL, "How long auth_admin.deleted_users tells of an account that is gone; 0 for ever.")

/* ---- what a hash costs, and how long a caller waits ---- */
SETTING(argon2_memory,            INT,  19456,              FROM_TO(7168, 1024 * 1024),     KB,   SUSET,
        0, NULL, NULL, "Memory of one Argon2id computation; with fewer than 19 MiB the passes are raised to OWASP's equivalents.")
SETTING(argon2_iterations,        INT,  2,                  FROM_TO(1, 64),                 NONE, SUSET,
        0, NULL, NULL, "Passes of one Argon2id computation.")
SETTING(max_concurrent_hashes,    INT,  half_the_cores(),   FROM_TO(1, 1024),               NONE, SIGHUP,
        0, NULL, NULL, "Argon2id computations that run at once in the whole server.")
SETTING(max_waiting_hashes,       INT,  4 * half_the_cores(), FROM_TO(0, 10000),              NONE, SIGHUP,
        0, NULL, NULL, "Callers that wait for an Argon2id computation in the whole server.")
SETTING(hash_wait,                INT,  2000,               FROM_TO(0, 60000),              MS,   SUSET,
        0, NULL, NULL, "How long a caller waits for an Argon2id computation.")
SETTING(lock_wait,                INT,  2000,               FROM_TO(1, 60000),              MS,   SUSET,
        0, NULL, NULL, "How long a caller waits for a row lock.")

/* ---- rates ---- */
SETTING(rate_window,              INT,  15 * MINUTE,        FROM_TO(1, DAY),                S,    SUSET,
        0, NULL, NULL, "The window in which attempts are counted.")
SETTING(signin_rate_per_account,  INT,  10,                 FROM_TO(0, 1000000),            NONE, SUSET,
        0, NULL, NULL, "Failed sign-ins per window for one account from one client address, ten times that from all; 0 for any number.")
SETTING(signin_rate_per_address,  INT,  100,                FROM_TO(0, 1000000),            NONE, SUSET,
        0, NULL, NULL, "Failed sign-ins per window from one client address; 0 for any number.")
SETTING(signup_rate_per_address,  INT,  20,                 FROM_TO(0, 1000000),            NONE, SUSET,
        0, NULL, NULL, "Sign-ups per window from one client address; 0 for any number.")
SETTING(refusal_rate_per_address, INT,  300,                FROM_TO(0, 1000000),            NONE, SUSET,
        0, NULL, NULL, "Refusals per window of one client address, over all that can be called without a token; 0 for any number.")
SETTING(message_rate_per_account, INT,  5,                  FROM_TO(0, 1000000),            NONE, SUSET,
        0, NULL, NULL, "Messages per window that can be asked for one identifier; 0 for any number.")

/* ---- who is calling, and what is masked ---- */
SETTING(trusted_proxies,          INT,  0,                  FROM_TO(0, 16),                 NONE, SUSET,
        0, NULL, NULL, "Proxies whose entries in x-forwarded-for count, from the right; 0 ignores the header.")
SETTING(trusted_claims_roles,     TEXT, "",                 ANY,                            NONE, SUSET,
        GUC_LIST_INPUT, check_roles, context_assigned, "Session users whose request.jwt.claims count as verified.")
SETTING(cookies,                  BOOL, false,              ANY,                            NONE, SUSET,
        0, NULL, NULL, "Whether browsers can keep their session in cookies.")
SETTING(cookie_refresh_path,      TEXT, "/rpc/renew",       ANY,                            NONE, SUSET,
        0, check_cookie_path, NULL, "The path at which browsers reach auth.renew, and send the refresh token to.")
SETTING(cookie_prefixes,          BOOL, true,               ANY,                            NONE, SUSET,
        0, check_cookie_prefixes, NULL, "Whether cookies are bound to their host and to https; off only where site_url is http.")
SETTING(allowed_origins,          TEXT, "",                 ANY,                            NONE, SUSET,
        GUC_LIST_INPUT, check_allowed_origins, NULL, "Origins besides that of site_url whose pages may act with a session in cookies.")
SETTING(redact_functions,         TEXT, "",                 ANY,                            NONE, SUSET,
        0, NULL, NULL, "Functions of the application that pass secrets on; their arguments are masked in the log.")

/*
 * The token given to auth.authenticate() in this transaction, "" when none: no
 * setting of an operator's, but SET LOCAL ends it with the transaction or a
 * rolled-back savepoint, and parallel workers get it. Only the library sets it.
 */
SETTING(context_token,            TEXT, "",                 ANY,                            NONE, SUSET,
        HIDDEN, NULL, context_assigned, "The token given to auth.authenticate() in this transaction.")

/*
 * Which settings of a request this transaction set: the leader's verdict, for
 * parallel workers only.
 */
SETTING(request_is_set,           INT,  0,                  FROM_TO(0, 255),                NONE, SUSET,
        HIDDEN, NULL, NULL, "Which settings of a request were set in this transaction.")
