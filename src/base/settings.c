/*
 * settings.c: the settings, auth_session.*.
 *
 * setting_list.h has one row for each. Here is what its rows are made of: the
 * variables, the registration, and the functions that a row names.
 */
#include "base/base.h"

#include <limits.h>
#include <unistd.h>

#include "access/parallel.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#define MINUTE 60
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY)

/* A row's range, as arguments. */
#define FROM_TO(least, most) least, most
#define ONE_OF(options)      options
#define ANY                  0

#define GUC_UNIT_NONE 0

/* What is kept in a setting but is none of an operator's. */
#define HIDDEN                                                  \
	(GUC_NO_SHOW_ALL | GUC_SUPERUSER_ONLY | GUC_NOT_IN_SAMPLE | \
	 GUC_DISALLOW_IN_FILE)

/*
 * From 16 on an assertion of the server compares a variable with its default
 * before it is registered, and takes zero for not set, but of an enum.
 */
#define INITIAL_TEXT(value) NULL
#define INITIAL_INT(value)  0
#define INITIAL_BOOL(value) false
#define INITIAL_ENUM(value) value

#define SETTING(name, type, value, ...) \
	AS_SETTING_##type auth_session_##name = INITIAL_##type(value);
#include "base/setting_list.h"
#undef SETTING

uint64 as_context_generation = 1;
bool as_is_preloaded = false;

static const struct config_enum_entry confirmations[] = {
    {"none", AS_CONFIRM_NONE, false},
    {"any", AS_CONFIRM_ANY, false},
    {"all", AS_CONFIRM_ALL, false},
    {NULL, 0, false}};

static const struct config_enum_entry signin_notices[] = {
    {"always", AS_NOTIFY_ALWAYS, false},
    {"new_device", AS_NOTIFY_NEW_DEVICE, false},
    {"never", AS_NOTIFY_NEVER, false},
    {NULL, 0, false}};

/* At least one: the rest of the cores is for other queries. */
static int
half_the_cores(void)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	return (int) Min(Max(cores / 2, 1), 1024);
}

/* A token with a longer claim would be signed, and never verify. */
static bool
claim_fits(const char *value, int most)
{
	if (as_utf8_length(value) <= (size_t) most)
		return true;
	GUC_check_errdetail("It can have at most %d bytes in UTF-8.", most);
	return false;
}

static bool
check_issuer(char **newval, void **extra, GucSource source)
{
	return claim_fits(*newval, AS_ISSUER_MAX);
}

static bool
check_audience(char **newval, void **extra, GucSource source)
{
	return claim_fits(*newval, AS_AUDIENCE_MAX);
}

/* SET ROLE none is a return to the role that has logged in, never a user's. */
static bool
can_be_a_users(const char *role)
{
	if (role[0] != '\0' && strcmp(role, "none") != 0)
		return true;
	GUC_check_errdetail("A role is named, and it is not \"none\".");
	return false;
}

static bool
check_role(char **newval, void **extra, GucSource source)
{
	return can_be_a_users(*newval) && claim_fits(*newval, AS_ROLE_MAX);
}

/* Of a list that can't be read nobody is a member: it would do nothing. */
static bool
check_roles(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	List *names = NIL;
	ListCell *cell;
	bool is_sound = SplitIdentifierString(copy, ',', &names);

	if (!is_sound)
		GUC_check_errdetail("It must be a list of role names, with commas "
		                    "between.");
	else
		foreach (cell, names)
			is_sound = is_sound && can_be_a_users(lfirst(cell));
	list_free(names);
	pfree(copy);
	return is_sound;
}

static bool
check_events(char **newval, void **extra, GucSource source)
{
	static const char known[] =
	    "user_created, user_confirmed, user_changed, user_banned, "
	    "user_deleted, session_started, session_ended";
	const char *list = *newval;

	while (*(list += strspn(list, ", ")) != '\0')
	{
		size_t n = strcspn(list, ", ");
		char *word = pnstrdup(list, n);
		bool is_known = as_word_is_in(known, word);

		pfree(word);
		if (!is_known)
		{
			GUC_check_errdetail("There are %s.", known);
			return false;
		}
		list += n;
	}
	return true;
}

static bool
check_locale(char **newval, void **extra, GucSource source)
{
	if (as_is_language(*newval))
		return true;
	GUC_check_errdetail("It must be a language tag, such as en or de-AT.");
	return false;
}

/*
 * Empty is no URL, and no links. The scheme becomes lower case, the form in
 * which whoever makes a link finds it.
 */
static bool
check_site_url(char **newval, void **extra, GucSource source)
{
	char *url = *newval;

	if (*url == '\0')
		return true;
	if (!as_site_url_is_sound(url))
	{
		GUC_check_errdetail("It must be an http or https URL of a host, with a "
		                    "port and a path if need be, but without user, "
		                    "query or fragment.");
		GUC_check_errhint("For example: https://app.example");
		return false;
	}
	for (; *url != ':'; url++)
		*url = pg_ascii_tolower((unsigned char) *url);
	return true;
}

/* An origin is all of the URL: a path behind it would promise a limit. */
static bool
is_origin(const char *text)
{
	char origin[AS_ORIGIN_ROOM];
	const char *host = strstr(text, "://");

	return host != NULL && strchr(host + 3, '/') == NULL &&
	       as_url_origin(text, origin);
}

static bool
check_allowed_origins(char **newval, void **extra, GucSource source)
{
	const char *list = *newval;

	while (*(list += strspn(list, ", ")) != '\0')
	{
		size_t n = strcspn(list, ", ");
		char *item = pnstrdup(list, n);
		bool is_sound = is_origin(item);

		pfree(item);
		if (!is_sound)
		{
			GUC_check_errdetail("Each must be an http or https URL of a host, "
			                    "with a port if need be, and nothing else.");
			GUC_check_errhint("For example: https://admin.app.example");
			return false;
		}
		list += n;
	}
	return true;
}

/*
 * Whether somebody is there to be told that a value is refused. One that a
 * server or session starts with is taken whatever it is: in its place there
 * would be no hook at all, and a name that leads nowhere refuses the call.
 */
static bool
is_being_set(GucSource source)
{
	return IsTransactionState() && !IsParallelWorker() &&
	       (source == PGC_S_FILE || source == PGC_S_TEST ||
	        source >= PGC_S_INTERACTIVE);
}

/* RFC 6265 section 4.1.1, path-av: what would end the attribute is no path. */
static bool
check_cookie_path(char **newval, void **extra, GucSource source)
{
	const char *at = *newval;
	bool is_sound = *at == '/' && strlen(at) <= AS_COOKIE_PATH_MAX;

	for (; is_sound && *at != '\0'; at++)
		is_sound = *at > ' ' && *at <= '~' && *at != ';' && *at != ',';
	if (is_sound)
		return true;
	GUC_check_errdetail("It must be a path such as /rpc/renew, of at most %d "
	                    "characters.",
	                    AS_COOKIE_PATH_MAX);
	return false;
}

/*
 * Without their prefixes cookies are for development. What is set before
 * site_url is known is taken, and counts only where that is http (cookie.c).
 */
static bool
check_cookie_prefixes(bool *newval, void **extra, GucSource source)
{
	if (*newval || !is_being_set(source) || source == PGC_S_FILE ||
	    strncmp(auth_session_site_url, "http://", 7) == 0)
		return true;
	if (source == PGC_S_TEST)
	{
		ereport(NOTICE, (errmsg("cookies keep their prefixes unless "
		                        "auth_session.site_url is http")));
		return true;
	}
	GUC_check_errdetail("It can be off only where auth_session.site_url is "
	                    "http.");
	return false;
}

/*
 * A hook's name. What is set for a database, a role or the server may be meant
 * for another database, or for a function that is still to come: of that a
 * notice.
 */
static bool
check_hook(const char *name, const AsHookShape *shape, GucSource source)
{
	char *schema;
	char *function;
	const char *fault;
	AsHook hook;

	if (name[0] == '\0' || !is_being_set(source))
		return true;
	if (!as_hook_name_parse(name, &schema, &function))
	{
		GUC_check_errdetail("The name must be schema.function.");
		return false;
	}
	if (source == PGC_S_FILE || !OidIsValid(MyDatabaseId))
		return true;
	fault = as_hook_find(name, shape, &hook);
	if (fault == NULL)
		return true;
	if (source == PGC_S_TEST)
	{
		ereport(
		    NOTICE,
		    (errmsg("the hook \"%s\" cannot be called in this database", name),
		     errdetail_internal("%s", fault)));
		return true;
	}
	GUC_check_errdetail("%s", fault);
	return false;
}

static bool
check_claims_hook(char **newval, void **extra, GucSource source)
{
	return check_hook(*newval, &as_claims_hook_shape, source);
}

static bool
check_password_hook(char **newval, void **extra, GucSource source)
{
	return check_hook(*newval, &as_password_hook_shape, source);
}

static bool
check_signup_hook(char **newval, void **extra, GucSource source)
{
	return check_hook(*newval, &as_signup_hook_shape, source);
}

/*
 * The postmaster says at start, and at each reload, what no session would come
 * to know before it needs a key. The value is taken all the same: a server that
 * does not start helps nobody, and without the file every key is refused.
 */
static bool
check_master_key_file(char **newval, void **extra, GucSource source)
{
	AsMasterKey key;
	const char *fault;

	if (IsUnderPostmaster || (*newval)[0] == '\0')
		return true;
	fault = as_master_key_fault(as_master_key_read(*newval, &key));
	as_wipe(&key, sizeof(key));
	if (fault != NULL)
		ereport(WARNING,
		        (errcode(ERRCODE_CONFIG_FILE_ERROR),
		         errmsg("the master key file \"%s\" is refused", *newval),
		         errdetail_internal("%s", fault),
		         errhint("No key can be opened or stored until it is "
		                 "mended.")));
	return true;
}

void
as_context_changed(void)
{
	as_context_generation++;
}

static void
context_assigned(const char *newval, void *extra)
{
	as_context_changed();
}

bool
as_setting_lists(const char *list, const char *name)
{
	char *copy = pstrdup(list);
	List *names = NIL;
	ListCell *cell;

	if (!SplitIdentifierString(copy, ',', &names))
		return false;
	foreach (cell, names)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

void
as_setting_put(const char *name, const char *value)
{
	(void) set_config_option(name, value, superuser() ? PGC_SUSET : PGC_USERSET,
	                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

void
as_context_token_set(const char *token)
{
	(void) set_config_option("auth_session.context_token", token, PGC_SUSET,
	                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

void
as_request_is_set_put(int is_set)
{
	char text[12];

	snprintf(text, sizeof(text), "%d", is_set);
	(void) set_config_option("auth_session.request_is_set", text, PGC_SUSET,
	                         PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

/* A registration per type; what a type has no use for is left out. */
#define DEFINE_TEXT(name, text, variable, preset, any, ...) \
	DefineCustomStringVariable(name, text, NULL, variable, preset, __VA_ARGS__)
#define DEFINE_INT(name, text, variable, preset, least, most, ...)           \
	DefineCustomIntVariable(name, text, NULL, variable, preset, least, most, \
	                        __VA_ARGS__)
#define DEFINE_BOOL(name, text, variable, preset, any, ...) \
	DefineCustomBoolVariable(name, text, NULL, variable, preset, __VA_ARGS__)
#define DEFINE_ENUM(name, text, variable, preset, options, ...)           \
	DefineCustomEnumVariable(name, text, NULL, variable, preset, options, \
	                         __VA_ARGS__)

void
as_settings_define(void)
{
#define SETTING(name, type, preset, range, unit, context, flags, check,      \
                assign, text)                                                \
	DEFINE_##type("auth_session." #name, text, &auth_session_##name, preset, \
	              range, PGC_##context, (flags) | GUC_UNIT_##unit, check,    \
	              assign, NULL);
#include "base/setting_list.h"
#undef SETTING

	MarkGUCPrefixReserved("auth_session");
}
