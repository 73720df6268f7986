/*
 * new_signin.c: whether and how a user hears of a sign-in.
 *
 * A sign-in that others had failed before is always told. Otherwise it is as
 * auth_session.notify_new_signin says; a device is a network and a family of
 * user agents, so that an update of a browser makes no new one.
 */
#include "service/service.h"

typedef struct Word
{
	const char *token; /* in a user agent */
	const char *name;
} Word;

/* Many name others, too: the first that is found counts. */
static const Word browsers[] = {{"Edg", "Edge"},
                                {"OPR/", "Opera"},
                                {"SamsungBrowser/", "Samsung"},
                                {"FxiOS/", "Firefox"},
                                {"Firefox/", "Firefox"},
                                {"CriOS/", "Chrome"},
                                {"Chrome/", "Chrome"},
                                {"Safari/", "Safari"},
                                {NULL, NULL}};
static const Word systems[] = {
    {"iPhone", "iOS"},      {"iPad", "iOS"},       {"Android", "Android"},
    {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Macintosh", "macOS"},
    {"CrOS", "ChromeOS"},   {"Linux", "Linux"},    {NULL, NULL}};

static const char *
find_name(const char *user_agent, const Word *words)
{
	for (; words->token != NULL; words++)
		if (strstr(user_agent, words->token) != NULL)
			return words->name;
	return NULL;
}

/* Of what is no browser, its first word without the version. */
static char *
family_of(const char *user_agent)
{
	const char *browser;
	const char *system;

	if (user_agent == NULL)
		return pstrdup("");
	browser = find_name(user_agent, browsers);
	system = find_name(user_agent, systems);
	if (browser == NULL)
		return pnstrdup(user_agent, strcspn(user_agent, "/ "));
	return psprintf("%s %s", browser, system == NULL ? "" : system);
}

static bool
is_due(const AsAccount *account, const AsOrigin *origin)
{
	if (auth_session_notify_new_signin == AS_NOTIFY_NEW_DEVICE)
		return as_device_is_new(&account->id, origin->address,
		                        family_of(origin->user_agent));
	return auth_session_notify_new_signin == AS_NOTIFY_ALWAYS;
}

void
as_new_signin_tell(const AsAccount *account)
{
	AsOrigin origin = as_request_origin();
	bool follows_failures = as_signin_limit_is_suspicious(account);
	StringInfoData json;

	if (!is_due(account, &origin) && !follows_failures)
		return;
	as_json_begin(&json);
	as_json_text(&json, "reason", follows_failures ? "after_failures" : NULL);
	as_json_text(&json, "ip", origin.address);
	as_json_text(&json, "user_agent", origin.user_agent);
	as_json_time(&json, "at", GetCurrentTimestamp());
	as_json_end(&json);
	as_message_tell(account, "new_signin", json.data);
}
