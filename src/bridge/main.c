/*
 * main.c
 *		auth-session-bridge: from the outbox to whoever the user hears of it.
 *
 * Loads the options, makes the source and the sinks, and runs the flow
 * between them until it ends; on SIGHUP with new ones.  What ends it is the
 * exit status: the kinds of fault in basics.h, listed in the manual page.
 * What is wrong with options, URLs and templates is found before anything is
 * connected; a refused login, a bad certificate or a missing grant ends the
 * program only as long as everything has not worked once.  From then on, and
 * for mere silence from the start, it tries again.
 */
#include "flow.h"

#include <curl/curl.h>
#include <string.h>

static int
fail(const BrFault *fault)
{
	br_log(BR_ERROR, "fault", "kind", br_fault_word(fault->kind), "text",
	       fault->text, (char *) NULL);
	return (int) fault->kind;
}

static BrSource *
make_source(const BrOptions *options, BrFault *fault)
{
	return options->consume ? br_queue_make(options, fault)
	                        : br_outbox_make(options);
}

/* ---- --check ---- */

static void
report(const char *end, bool good, const BrFault *fault, BrFault *first)
{
	if (good)
	{
		br_log(BR_INFO, "check_ok", "end", end, (char *) NULL);
		return;
	}
	br_log(BR_ERROR, "check_failed", "end", end, "kind",
	       br_fault_word(fault->kind), "text", fault->text, (char *) NULL);
	if (first->kind == BR_KIND_NONE)
		*first = *fault;
}

/* Every end is tried and reported; the first fault is the status. */
static int
check(const BrRoutes *routes, BrSource *source)
{
	BrFault first = {BR_KIND_NONE, "", 0};
	BrFault fault;
	BrSink *sinks[BR_SINKS_MOST];
	int n = br_routes_list(routes, sinks);
	int i;

	report(source->word, source->methods->open(source, &fault), &fault, &first);
	for (i = 0; i < n; i++)
		report(sinks[i]->url.name, br_sink_check(sinks[i], &fault), &fault,
		       &first);
	return (int) first.kind;
}

/* ---- --render ---- */

/* What a mail of that kind says, with values made up. */
static int
render(const BrOptions *options)
{
	BrFault fault;
	BrTemplates *templates;
	BrNotification *n;
	BrMessage message;
	const char *why;
	json_t *body = json_pack(
	    "{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, "
	    "s:s, s:s, s:s}}",
	    "id", "00000000-0000-4000-8000-000000000000", "kind", options->render,
	    "channel", "email", "recipient", "ada@example.org", "created_at",
	    "2026-01-31T12:00:00Z", "site_url", "https://app.example.org",
	    "payload", "code", "123456", "code_expires_at", "2026-01-31T12:15:00Z",
	    "link_token", "TOKEN", "link_expires_at", "2026-01-31T13:00:00Z", "ip",
	    "192.0.2.1", "user_agent", "Browser 1.0", "at", "2026-01-31T12:00:00Z",
	    "new_email", "new@example.org", "new_phone", "+491701234567", "name",
	    "a name");

	templates = br_templates_load(options, &fault);
	if (templates == NULL)
		return fail(&fault);
	n = br_notification_take(body, &why);
	if (n == NULL || !br_templates_kind(n->kind))
		br_fault_set(&fault, BR_KIND_TEMPLATE, "render: no kind \"%.40s\"",
		             options->render);
	else if (br_templates_render(templates, n, &message, &fault))
	{
		printf("%%%% subject\n%s\n%%%% text\n%s", message.subject,
		       message.text);
		if (message.html != NULL)
			printf("%%%% html\n%s", message.html);
		if (message.sms != NULL)
			printf("%%%% sms\n%s\n", message.sms);
		br_message_free(&message);
		fault.kind = BR_KIND_NONE;
	}
	br_notification_free(n);
	br_templates_free(templates);
	return fault.kind == BR_KIND_NONE ? 0 : fail(&fault);
}

/* ---- work ---- */

/*
 * Command lines can be read by everybody: keep a copy, which SIGHUP reads
 * again, and overwrite each value that can hold a password.
 */
static char **
hide_arguments(int argc, char **argv)
{
	char **copy = br_alloc((size_t) (argc + 1) * sizeof(*copy));
	int i;

	for (i = 0; i < argc; i++)
	{
		char *value = argv[i];

		copy[i] = br_copy(argv[i]);
		if (i == 0)
			continue;
		if (strncmp(value, "--", 2) == 0)
		{
			value = strchr(value, '=');
			if (value == NULL)
				continue;
			value++;
		}
		if (strchr(value, '@') || strstr(value, "password"))
			memset(value, 'x', strlen(value));
	}
	return copy;
}

static bool
is_same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* On SIGHUP: where the new options are wrong, the old ones stay. */
static void
reload(BrFlow *flow, const BrOptions **now, int argc, char **argv)
{
	BrAsked asked;
	BrFault fault;
	BrOptions *options = br_options_load(argc, argv, &asked, &fault);
	BrRoutes *routes = NULL;
	BrSource *source = NULL;
	bool same;

	if (options != NULL)
		routes = br_routes_make(options, &fault);
	if (routes != NULL)
	{
		same = is_same(options->database, (*now)->database) &&
		       options->consume == NULL;
		if (!same)
			source = make_source(options, &fault);
		if ((same || source != NULL) &&
		    br_flow_adopt(flow, routes, source, &fault))
		{
			*now = options;
			br_log_setup(options->log_format == 1,
			             (BrLevel) options->log_level);
			br_log(BR_INFO, "reloaded", (char *) NULL);
			return;
		}
		br_routes_free(routes);
	}
	br_log(BR_ERROR, "reload_failed", "kind", br_fault_word(fault.kind), "text",
	       fault.text, (char *) NULL);
}

static int
run(BrRoutes *routes, BrSource *source, int argc, char **argv)
{
	const BrOptions *options = routes->options;
	bool once = options->once;
	BrFlow *flow;
	BrFault fault;
	BrFlowEnd end;
	bool clean;

	br_log(BR_INFO, "started", "version", BR_VERSION, "from", source->word,
	       (char *) NULL);
	flow = br_flow_make(routes, source, &fault);
	if (flow == NULL)
		return fail(&fault);
	while ((end = br_flow_run(flow, &fault)) == BR_FLOW_RELOAD)
		reload(flow, &options, argc, argv);
	clean = br_flow_close(flow);
	br_metrics_flush();
	if (end == BR_FLOW_FAILED)
		return fail(&fault);
	if (once && !clean)
	{
		br_fault_set(&fault, BR_KIND_UNDELIVERED,
		             "some notifications were refused, or put off");
		return fail(&fault);
	}
	br_log(BR_INFO, "stopped", (char *) NULL);
	return 0;
}

static int
answer(const BrAsked *asked)
{
	BrFault fault;

	switch (asked->request)
	{
		case BR_REQUEST_HELP:
			br_options_help();
			return 0;
		case BR_REQUEST_VERSION:
			printf("auth-session-bridge %s\n", BR_VERSION);
			return 0;
		case BR_REQUEST_DUMP:
			return br_templates_dump(asked->argument, &fault) ? 0
			                                                  : fail(&fault);
		default:
			return BR_KIND_INTERNAL;
	}
}

int
main(int argc, char **argv)
{
	BrOptions *options;
	BrRoutes *routes;
	BrSource *source;
	BrAsked asked;
	BrFault fault;
	int status;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
	{
		br_fault_set(&fault, BR_KIND_INTERNAL, "libcurl cannot be set up");
		return fail(&fault);
	}
	argv = hide_arguments(argc, argv);
	options = br_options_load(argc, argv, &asked, &fault);
	if (options == NULL)
		return fault.kind == BR_KIND_NONE ? answer(&asked) : fail(&fault);
	if (options->render != NULL)
		return render(options);
	br_log_setup(options->log_format == 1, (BrLevel) options->log_level);
	routes = br_routes_make(options, &fault);
	if (routes == NULL)
		return fail(&fault);
	br_signals_catch();
	source = make_source(options, &fault);
	if (source == NULL ||
	    (options->metrics && !br_metrics_start(options->metrics, &fault)))
	{
		br_routes_free(routes);
		return fail(&fault);
	}
	if (!options->check)
		return run(routes, source, argc, argv);
	status = check(routes, source);
	source->methods->free(source);
	br_routes_free(routes);
	curl_global_cleanup();
	return status;
}
