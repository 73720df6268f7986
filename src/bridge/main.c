/*
 * main.c
 *		auth-session-bridge: from the outbox to whoever the user hears of it.
 *
 * Loads the options, makes the sinks, and runs one of the two flows
 * (relay.c, consume.c) until it ends.  What ends it is the exit status: the
 * kinds of fault in basics.h, listed in the manual page.  What is wrong with
 * options, URLs and templates is found before anything is connected; a
 * refused login, a bad certificate or a missing grant ends the program only
 * as long as everything has not worked once.  From then on, and for mere
 * silence from the start, it tries again.
 */
#include "bridge.h"

#include <curl/curl.h>
#include <string.h>

bool
as_program_ends(const AsProgram *program, bool proven, const AsFault *fault)
{
	if (fault->kind == AS_KIND_NONE)
		return false;
	if (program->options->once)
		return true;
	return !proven && fault->kind != AS_KIND_UNREACHABLE &&
	       fault->kind != AS_KIND_INTERNAL;
}

bool
as_program_reload(AsProgram *program)
{
	AsFault fault;
	AsRoutes routes;
	AsOptions *options = as_options_load(program->argc, program->argv, &fault);

	if (options == NULL || !as_routes_make(&routes, options, &fault))
	{
		as_options_free(options);
		as_log(AS_ERROR, "reload_failed", "kind", as_fault_word(fault.kind),
		       "text", fault.text, (char *) NULL);
		return false;
	}
	as_routes_free(&program->routes);
	as_options_free(program->options);
	program->options = options;
	program->routes = routes;
	as_log_setup(options->log_format == 1, (AsLevel) options->log_level);
	as_log(AS_INFO, "reloaded", (char *) NULL);
	return true;
}

static void
report(const char *end, bool good, AsFault *fault, AsFault *first)
{
	if (good)
	{
		as_log(AS_INFO, "check_ok", "end", end, (char *) NULL);
		return;
	}
	as_log(AS_ERROR, "check_failed", "end", end, "kind",
	       as_fault_word(fault->kind), "text", fault->text, (char *) NULL);
	if (first->kind == AS_KIND_NONE)
		*first = *fault;
}

/* --check: every end is tried and reported; the first fault is the status. */
static int
check(AsProgram *program)
{
	AsFault first = {AS_KIND_NONE, ""};
	AsFault fault;
	AsSink *sinks[2];
	int n = as_routes_list(&program->routes, sinks);
	int i;

	if (program->options->consume)
		report("source", as_consume_check(program->options, &fault), &fault,
		       &first);
	else
	{
		AsOutbox *outbox = as_outbox_make(program->options);

		report("database", as_outbox_open(outbox, &fault), &fault, &first);
		as_outbox_free(outbox);
	}
	for (i = 0; i < n; i++)
		report(sinks[i]->url.name, sinks[i]->methods->open(sinks[i], &fault),
		       &fault, &first);
	return (int) first.kind;
}

static int
run(AsProgram *program)
{
	AsFault fault;
	bool good;

	as_log(AS_INFO, "started", "version", AS_VERSION, "from",
	       program->options->consume ? "broker" : "database", (char *) NULL);
	good = program->options->consume ? as_consume_run(program, &fault)
	                                 : as_relay_run(program, &fault);
	as_metrics_flush();
	if (good)
	{
		as_log(AS_INFO, "stopped", (char *) NULL);
		return 0;
	}
	as_log(AS_ERROR, "fault", "kind", as_fault_word(fault.kind), "text",
	       fault.text, (char *) NULL);
	return (int) fault.kind;
}

int
main(int argc, char **argv)
{
	AsProgram program;
	AsFault fault;
	int status;

	memset(&program, 0, sizeof(program));
	program.argc = argc;
	program.argv = argv;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
	{
		as_fault_set(&fault, AS_KIND_INTERNAL, "libcurl cannot be set up");
		goto fail;
	}
	program.options = as_options_load(argc, argv, &fault);
	if (program.options == NULL && fault.kind == AS_KIND_NONE)
		return 0;
	if (program.options == NULL)
		goto fail;
	as_log_setup(program.options->log_format == 1,
	             (AsLevel) program.options->log_level);
	if (!as_routes_make(&program.routes, program.options, &fault))
		goto fail;
	as_signals_catch();
	if (program.options->metrics &&
	    !as_metrics_start(program.options->metrics, &fault))
	{
		as_routes_free(&program.routes);
		goto fail;
	}
	status = program.options->check ? check(&program) : run(&program);
	as_routes_free(&program.routes);
	as_options_free(program.options);
	curl_global_cleanup();
	return status;
fail:
	as_options_free(program.options);
	as_log(AS_ERROR, "fault", "kind", as_fault_word(fault.kind), "text",
	       fault.text, (char *) NULL);
	return (int) fault.kind;
}
