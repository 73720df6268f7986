/*
 * settings.c: the settings, auth_session.*.
 *
 * An ordinary user can change none of them. Most are PGC_SUSET, so that an
 * operator can set them for a database or a role; what the whole server
 * shares is PGC_SIGHUP.
 */
#include "base/base.h"

#include <limits.h>
#include <unistd.h>

#include "utils/guc.h"

char *auth_session_issuer;
char *auth_session_audience;
int auth_session_access_token_ttl;
int auth_session_refresh_token_ttl;
int auth_session_session_max_age;
int auth_session_max_sessions_per_user;
int auth_session_refresh_reuse_grace;
int auth_session_leeway;
int auth_session_key_rotation_interval;
int auth_session_require_confirmation;
int auth_session_code_ttl;
int auth_session_link_ttl;
int auth_session_reset_link_ttl;
int auth_session_code_length;
int auth_session_code_attempts;
char *auth_session_authenticated_role;
int auth_session_argon2_memory;
int auth_session_argon2_iterations;
int auth_session_max_concurrent_hashes;
int auth_session_max_waiting_hashes;
int auth_session_hash_wait;
int auth_session_lock_wait;
int auth_session_rate_window;
int auth_session_signin_rate_per_account;
int auth_session_signin_rate_per_address;
int auth_session_signup_rate_per_address;
int auth_session_message_rate_per_account;
int auth_session_resend_cooldown;
int auth_session_password_min_length;
int auth_session_audit_retention;
char *auth_session_claims_hook;
char *auth_session_claims_hook_roles;
char *auth_session_password_hook;
bool auth_session_signup_enabled;
char *auth_session_site_url;
char *auth_session_trusted_claims_roles;
int auth_session_trusted_proxies;
char *auth_session_master_key_file;
char *auth_session_redact_functions;
bool auth_session_notify;

char *auth_session_context_token;
uint64 as_context_generation = 1;
bool as_is_preloaded = false;

static const struct config_enum_entry require_confirmation_options[] = {
    {"none", AS_CONFIRM_NONE, false},
    {"any", AS_CONFIRM_ANY, false},
    {"all", AS_CONFIRM_ALL, false},
    {NULL, 0, false}};

#define MINUTE 60
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY)

void
as_context_changed(void)
{
	as_context_generation++;
}

static void
assign_context_string(const char *newval, void *extra)
{
	as_context_changed();
}

void
as_context_token_set(const char *token)
{
	(void) set_config_option("auth_session.context_token", token, PGC_SUSET,
	                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* Half the cores, at least one: the rest is for other queries. */
static int
default_concurrent_hashes(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (int) Min(Max(cores / 2, 1), 1024);
}

static void
define_seconds(const char *name, const char *description, int *variable,
               int preset, int least, int most)
{
	DefineCustomIntVariable(name, description, NULL, variable, preset, least,
	                        most, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
}

static void
define_count(const char *name, const char *description, int *variable,
             int preset, int least, int most)
{
	DefineCustomIntVariable(name, description, NULL, variable, preset, least,
	                        most, PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_text(const char *name, const char *description, char **variable,
            const char *preset)
{
	DefineCustomStringVariable(name, description, NULL, variable, preset,
	                           PGC_SUSET, 0, NULL, NULL, NULL);
}

static void
define_token_settings(void)
{
	define_text("auth_session.issuer", "The iss claim of access tokens.",
	            &auth_session_issuer, "auth_session");
	define_text("auth_session.audience", "The aud claim of access tokens.",
	            &auth_session_audience, "authenticated");
	define_text("auth_session.authenticated_role",
	            "The role claim of access tokens.",
	            &auth_session_authenticated_role, "authenticated");
	define_seconds("auth_session.access_token_ttl",
	               "How long an access token is valid.",
	               &auth_session_access_token_ttl, 15 * MINUTE, 1, 30 * DAY);
	define_seconds("auth_session.refresh_token_ttl",
	               "How long a session lives without being renewed.",
	               &auth_session_refresh_token_ttl, 30 * DAY, 1, 10 * YEAR);
	define_seconds("auth_session.session_max_age",
	               "How long a session lives however often it is renewed; 0 "
	               "for no end.",
	               &auth_session_session_max_age, 0, 0, 10 * YEAR);
	define_count("auth_session.max_sessions_per_user",
	             "How many live sessions a user can have, the oldest ending "
	             "first; 0 for any number.",
	             &auth_session_max_sessions_per_user, 0, 0, 10000);
	define_seconds("auth_session.refresh_reuse_grace",
	               "How long a renewed refresh token still answers with the "
	               "same successor.",
	               &auth_session_refresh_reuse_grace, 10, 0, 5 * MINUTE);
	define_seconds("auth_session.leeway",
	               "By how much the clock of an issuer of imported keys may be "
	               "off.",
	               &auth_session_leeway, 0, 0, 5 * MINUTE);
	define_seconds("auth_session.key_rotation_interval",
	               "The age at which maintenance replaces the active signing "
	               "key; 0 for never.",
	               &auth_session_key_rotation_interval, 0, 0, 10 * YEAR);
	define_text("auth_session.claims_hook",
	            "schema.function(user_id uuid, claims jsonb) returns jsonb "
	            "that may add claims to access tokens.",
	            &auth_session_claims_hook, "");
	define_text("auth_session.claims_hook_roles",
	            "Roles that the claims hook may put into the role claim.",
	            &auth_session_claims_hook_roles, "");
	DefineCustomStringVariable(
	    "auth_session.master_key_file",
	    "File of 32 bytes, mode 0600, under which keys at rest are sealed.",
	    NULL, &auth_session_master_key_file, "", PGC_SIGHUP, GUC_SUPERUSER_ONLY,
	    NULL, NULL, NULL);
}

static void
define_account_settings(void)
{
	DefineCustomEnumVariable(
	    "auth_session.require_confirmation",
	    "Which of the addresses given at sign-up must be confirmed.", NULL,
	    &auth_session_require_confirmation, AS_CONFIRM_ALL,
	    require_confirmation_options, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable(
	    "auth_session.signup_enabled", "Whether strangers can sign up.", NULL,
	    &auth_session_signup_enabled, true, PGC_SUSET, 0, NULL, NULL, NULL);
	define_seconds("auth_session.code_ttl",
	               "How long a one-time code is valid.", &auth_session_code_ttl,
	               10 * MINUTE, 1, HOUR);
	define_seconds("auth_session.link_ttl",
	               "How long a link token, and so a pending sign-up, is valid.",
	               &auth_session_link_ttl, DAY, 1, 30 * DAY);
	define_seconds("auth_session.reset_link_ttl",
	               "How long the link token of a password reset is valid.",
	               &auth_session_reset_link_ttl, HOUR, 1, DAY);
	define_count("auth_session.code_length", "Digits of a one-time code.",
	             &auth_session_code_length, 6, 6, AS_CODE_MAX_DIGITS);
	define_count("auth_session.code_attempts",
	             "Wrong tries that kill a one-time code.",
	             &auth_session_code_attempts, 5, 1, 10);
	define_seconds("auth_session.resend_cooldown",
	               "How long after one message the next can be asked for; 0 "
	               "for at once.",
	               &auth_session_resend_cooldown, MINUTE, 0, DAY);
	define_count("auth_session.password_min_length",
	             "The fewest characters of a password.",
	             &auth_session_password_min_length, 8, 8, 128);
	define_text("auth_session.password_hook",
	            "schema.function(password text) returns boolean that says "
	            "whether a new password is taken.",
	            &auth_session_password_hook, "");
	define_text("auth_session.site_url",
	            "The application's URL, the only source of the links in "
	            "messages.",
	            &auth_session_site_url, "http://localhost");
	define_seconds("auth_session.audit_retention",
	               "How long audit rows are kept; 0 for ever.",
	               &auth_session_audit_retention, 90 * DAY, 0, 10 * YEAR);
}

static void
define_hash_settings(void)
{
	DefineCustomIntVariable(
	    "auth_session.argon2_memory", "Memory of one Argon2id computation.",
	    "With fewer than 19 MiB the passes are raised to OWASP's equivalents.",
	    &auth_session_argon2_memory, 19456, 7168, 1024 * 1024, PGC_SUSET,
	    GUC_UNIT_KB, NULL, NULL, NULL);
	define_count("auth_session.argon2_iterations",
	             "Passes of one Argon2id computation.",
	             &auth_session_argon2_iterations, 2, 1, 64);
	DefineCustomIntVariable(
	    "auth_session.max_concurrent_hashes",
	    "Argon2id computations that run at once in the whole server.", NULL,
	    &auth_session_max_concurrent_hashes, default_concurrent_hashes(), 1,
	    1024, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomIntVariable(
	    "auth_session.max_waiting_hashes",
	    "Callers that wait for an Argon2id computation in the whole server.",
	    NULL, &auth_session_max_waiting_hashes, 32, 0, 10000, PGC_SIGHUP, 0,
	    NULL, NULL, NULL);
	DefineCustomIntVariable(
	    "auth_session.hash_wait",
	    "How long a caller waits for an Argon2id computation.", NULL,
	    &auth_session_hash_wait, 2000, 0, 60000, PGC_SUSET, GUC_UNIT_MS, NULL,
	    NULL, NULL);
	DefineCustomIntVariable("auth_session.lock_wait",
	                        "How long a caller waits for a row lock.", NULL,
	                        &auth_session_lock_wait, 2000, 1, 60000, PGC_SUSET,
	                        GUC_UNIT_MS, NULL, NULL, NULL);
}

static void
define_rate_settings(void)
{
	define_seconds("auth_session.rate_window",
	               "The window in which attempts are counted.",
	               &auth_session_rate_window, 15 * MINUTE, 1, DAY);
	define_count("auth_session.signin_rate_per_account",
	             "Failed sign-ins per window for one account from one client "
	             "address, ten times that from all; 0 for any number.",
	             &auth_session_signin_rate_per_account, 10, 0, 1000000);
	define_count("auth_session.signin_rate_per_address",
	             "Failed sign-ins per window from one client address; 0 for "
	             "any number.",
	             &auth_session_signin_rate_per_address, 100, 0, 1000000);
	define_count("auth_session.signup_rate_per_address",
	             "Sign-ups per window from one client address; 0 for any "
	             "number.",
	             &auth_session_signup_rate_per_address, 20, 0, 1000000);
	define_count("auth_session.message_rate_per_account",
	             "Messages per window that can be asked for one identifier; 0 "
	             "for any number.",
	             &auth_session_message_rate_per_account, 5, 0, 1000000);
}

static void
define_caller_settings(void)
{
	DefineCustomStringVariable(
	    "auth_session.trusted_claims_roles",
	    "Session users whose request.jwt.claims count as verified.", NULL,
	    &auth_session_trusted_claims_roles, "", PGC_SUSET, GUC_LIST_INPUT, NULL,
	    assign_context_string, NULL);
	define_count("auth_session.trusted_proxies",
	             "Proxies whose entries in x-forwarded-for count, from the "
	             "right; 0 ignores the header.",
	             &auth_session_trusted_proxies, 0, 0, 16);
	define_text("auth_session.redact_functions",
	            "Functions of the application that pass secrets on; their "
	            "arguments are masked in the log.",
	            &auth_session_redact_functions, "");
	DefineCustomBoolVariable(
	    "auth_session.notify", "Whether a new notification wakes the bridge.",
	    NULL, &auth_session_notify, true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
	    "auth_session.context_token",
	    "The token given to auth.authenticate() in this transaction.", NULL,
	    &auth_session_context_token, "", PGC_SUSET,
	    GUC_NO_SHOW_ALL | GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE |
	        GUC_DISALLOW_IN_FILE,
	    NULL, assign_context_string, NULL);
}

void
as_settings_define(void)
{
	define_token_settings();
	define_account_settings();
	define_hash_settings();
	define_rate_settings();
	define_caller_settings();
	MarkGUCPrefixReserved("auth_session");
}
