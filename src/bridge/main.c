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
br_program_ends(const BrProgram *program, bool proven, const BrFault *fault)
{
	if (fault->kind == BR_KIND_NONE)
		return false;
	if (program->options->once)
		return true;
	return !proven && fault->kind != BR_KIND_UNREACHABLE &&
	       fault->kind != BR_KIND_INTERNAL;
}

bool
br_program_reload(BrProgram *program)
{
	BrFault fault;
	BrRoutes routes;
	BrOptions *options = br_options_load(program->argc, program->argv, &fault);

	if (options == NULL || !br_routes_make(&routes, options, &fault))
	{
		br_options_free(options);
		br_log(BR_ERROR, "reload_failed", "kind", br_fault_word(fault.kind),
		       "text", fault.text, (char *) NULL);
		return false;
	}
	br_routes_free(&program->routes);
	br_options_free(program->options);
	program->options = options;
	program->routes = routes;
	br_log_setup(options->log_format == 1, (BrLevel) options->log_level);
	br_log(BR_INFO, "reloaded", (char *) NULL);
	return true;
}

static void
report(const char *end, bool good, BrFault *fault, BrFault *first)
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

/* --check: every end is tried and reported; the first fault is the status. */
static int
check(BrProgram *program)
{
	BrFault first = {BR_KIND_NONE, ""};
	BrFault fault;
	BrSink *sinks[2];
	int n = br_routes_list(&program->routes, sinks);
	int i;

	if (program->options->consume)
		report("source", br_consume_check(program->options, &fault), &fault,
		       &first);
	else
	{
		BrOutbox *outbox = br_outbox_make(program->options);

		report("database", br_outbox_open(outbox, &fault), &fault, &first);
		br_outbox_free(outbox);
	}
	for (i = 0; i < n; i++)
		report(sinks[i]->url.name, sinks[i]->methods->open(sinks[i], &fault),
		       &fault, &first);
	return (int) first.kind;
}

static int
run(BrProgram *program)
{
	BrFault fault;
	bool good;

	br_log(BR_INFO, "started", "version", BR_VERSION, "from",
	       program->options->consume ? "broker" : "database", (char *) NULL);
	good = program->options->consume ? br_consume_run(program, &fault)
	                                 : br_relay_run(program, &fault);
	br_metrics_flush();
	if (good)
	{
		br_log(BR_INFO, "stopped", (char *) NULL);
		return 0;
	}
	br_log(BR_ERROR, "fault", "kind", br_fault_word(fault.kind), "text",
	       fault.text, (char *) NULL);
	return (int) fault.kind;
}

int
main(int argc, char **argv)
{
	BrProgram program;
	BrFault fault;
	int status;

	memset(&program, 0, sizeof(program));
	program.argc = argc;
	program.argv = argv;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
	{
		br_fault_set(&fault, BR_KIND_INTERNAL, "libcurl cannot be set up");
		goto fail;
	}
	program.options = br_options_load(argc, argv, &fault);
	if (program.options == NULL && fault.kind == BR_KIND_NONE)
		return 0;
	if (program.options == NULL)
		goto fail;
	br_log_setup(program.options->log_format == 1,
	             (BrLevel) program.options->log_level);
	if (!br_routes_make(&program.routes, program.options, &fault))
		goto fail;
	br_signals_catch();
	if (program.options->metrics &&
	    !br_metrics_start(program.options->metrics, &fault))
	{
		br_routes_free(&program.routes);
		goto fail;
	}
	status = program.options->check ? check(&program) : run(&program);
	br_routes_free(&program.routes);
	br_options_free(program.options);
	curl_global_cleanup();
	return status;
fail:
	br_options_free(program.options);
	br_log(BR_ERROR, "fault", "kind", br_fault_word(fault.kind), "text",
	       fault.text, (char *) NULL);
	return (int) fault.kind;
}
