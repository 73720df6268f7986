/*
 * redact.c: keeps secrets out of the log, pg_stat_activity and
 * pg_stat_statements.
 *
 * PostgreSQL shows a statement in many places and asks nobody before. What it
 * does offer are hooks, and each covers what the others can't:
 *
 * - a line about to be logged: whatever it quotes is masked, which also
 *   reaches the client. The only chance before a statement is analysed.
 * - parse analysis: from here on the server needs the text for positions
 *   only, so the client's own copy is overwritten, literal by literal and to
 *   the same length, and reported anew to pg_stat_activity.
 * - planner, executor, utility: the text that they hand to pg_stat_statements
 *   and auto_explain is another copy (of a prepared statement, a portal, a
 *   function's statement): overwritten where it is known to be the portal's,
 *   else exchanged.
 *   Where the tables are distributed, the next library takes utility statements
 *   to other nodes by their text: there it has the text as it came, under no
 *   query identifier, without which pg_stat_statements keeps none.
 * - entry of a function that takes a secret: nobody may have named it (an
 *   unlisted wrapper's caller did not), but from now on every line of this
 *   client statement is one about a secret.
 *
 * A statement counts that names such a function, shows a token, or executes
 * a prepared statement that does. The log hook never raises, allocates
 * nothing and looks at no catalog, so that it works in any process at any
 * moment; a text too long to be looked at is not shown.
 */
#include "base/base.h"
#include "redact/redact.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "storage/ipc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/backend_status.h"
#include "utils/portal.h"

/* A longer text is not shown by the log at all, whatever it says. */
#define LINE_MAX_BYTES (1024 * 1024)

/* A longer text that holds a secret is not lexed but dropped. */
#define LEX_MAX_BYTES (4 * 1024 * 1024)

/*
 * What is known of the client's statement. Its text is debug_query_string as
 * long as that points there, in the message that began at this time.
 */
typedef struct ClientStatement
{
	const char *text;
	TimestampTz began_at;
	AsTextTag tag; /* of the text as it came */
	AsTextVerdict verdict;
	AsTextVerdict masked; /* as such a text, it has been */
} ClientStatement;

static ClientStatement current;

/* When the statement began in which a function took a secret; 0: none. */
static TimestampTz entered_at;

static emit_log_hook_type next_emit_log;
static post_parse_analyze_hook_type next_post_parse_analyze;
static planner_hook_type next_planner;
static ExecutorStart_hook_type next_executor_start;
static ProcessUtility_hook_type next_process_utility;
static shmem_startup_hook_type next_shmem_startup;

/* ---- what a text says ---- */

/* Whether a text was looked at that says less than it will run. */
static bool asked_for_prepared;

/* The text that EXECUTE runs; the server's own table, no catalog. */
static const char *
prepared_text(const char *name)
{
	PreparedStatement *prepared = FetchPreparedStatement(name, false);

	asked_for_prepared = true;
	return prepared != NULL ? prepared->plansource->query_string : NULL;
}

static AsTextVerdict
inspect(const char *text, size_t length)
{
	AsTextNames names = {.wrappers = auth_session_redact_functions,
	                     .prepared = prepared_text};

	return as_text_inspect(text, length, &names);
}

/*
 * The same of a statement, which will come again; with its tag. What EXECUTE
 * runs may be another text by then.
 */
static AsTextKnown
inspect_statement(const char *text, AsTextTag *tag)
{
	AsTextKnown known = {AS_TEXT_PLAIN, AS_TEXT_PLAIN};
	size_t length = strlen(text);

	as_text_tag(text, length, auth_session_redact_functions, tag);
	if (as_text_recall(tag, &known))
		return known;
	asked_for_prepared = false;
	known.verdict = inspect(text, length);
	if (!asked_for_prepared)
		as_text_remember(tag, known);
	return known;
}

/* Whether text is the client's statement, of which current tells. */
static bool
is_current(const char *text)
{
	return text != NULL && text == current.text &&
	       current.began_at == GetCurrentStatementStartTimestamp();
}

/*
 * The verdict on the client's statement, worked out once per message:
 * a message of many statements would otherwise be read once for each.
 */
static AsTextVerdict
client_verdict(void)
{
	if (debug_query_string == NULL)
		return AS_TEXT_PLAIN;
	if (!is_current(debug_query_string))
	{
		AsTextKnown known = inspect_statement(debug_query_string, &current.tag);

		current.text = debug_query_string;
		current.began_at = GetCurrentStatementStartTimestamp();
		current.verdict = known.verdict;
		current.masked = known.masked;
	}
	return current.verdict;
}

/* ---- statements ---- */

/* Overwrites what must not be read in a text, to the same length. */
static void
overwrite(char *text, AsTextVerdict verdict)
{
	size_t length = strlen(text);

	if (length > LEX_MAX_BYTES)
		memset(text, ' ', length);
	else if (verdict == AS_TEXT_NAMES)
		(void) as_text_mask_literals(text, length, true);
	else if (verdict == AS_TEXT_TOKEN)
		(void) as_text_mask_tokens(text, length, true);
}

/*
 * Whether this process runs a client's statements, whose text came in a
 * message or is a prepared statement's: memory of its own. What other
 * processes name as theirs may be a constant.
 */
static bool
serves_client(void)
{
	return MyBackendType == B_BACKEND || MyBackendType == B_WAL_SENDER;
}

/*
 * Overwrites a text of this tag. One in which that changes nothing need not be
 * masked again: so is a prepared statement from its second execution on.
 */
static void
overwrite_known(char *text, AsTextVerdict verdict, const AsTextTag *tag)
{
	AsTextTag after;
	AsTextKnown known;

	overwrite(text, verdict);
	as_text_tag(text, strlen(text), auth_session_redact_functions, &after);
	if (memcmp(&after, tag, sizeof(after)) != 0 || !as_text_recall(tag, &known))
		return;
	known.masked = verdict;
	as_text_remember(tag, known);
}

/*
 * Overwrites the client's statement where the server keeps it, and tells
 * pg_stat_activity. Only once it has been parsed.
 */
static void
mask_client_statement(AsTextVerdict verdict)
{
	if (!serves_client() || debug_query_string == NULL ||
	    current.masked >= verdict)
		return;
	overwrite_known(unconstify(char *, debug_query_string), verdict,
	                &current.tag);
	current.masked = verdict;
	pgstat_report_activity(STATE_RUNNING, debug_query_string);
}

/*
 * The text to go on with instead of one that the server hands on to others:
 * the same, or what may be read of it.
 */
static const char *
readable(const char *text)
{
	AsTextKnown known;
	AsTextTag tag;
	char *copy;

	mask_client_statement(client_verdict());
	if (text == NULL)
		return NULL;
	if (is_current(text))
	{
		known = (AsTextKnown){current.verdict, current.masked};
		tag = current.tag;
	}
	else
		known = inspect_statement(text, &tag);
	if (known.masked >= known.verdict)
		return text;

	/* A portal has a copy of its own, which the log quotes again. */
	if (serves_client() && ActivePortal != NULL &&
	    text == ActivePortal->sourceText)
	{
		overwrite_known(unconstify(char *, text), known.verdict, &tag);
		return text;
	}
	copy = pstrdup(text);
	overwrite_known(copy, known.verdict, &tag);
	return copy;
}

/* ---- utility statements that go on to other nodes ---- */

/*
 * The client's statement as it came, of the message that began at this time;
 * NULL where it was not kept.
 */
static struct Original
{
	char *text;
	TimestampTz began_at;
} original;

static void
wipe_original(void *text)
{
	explicit_bzero(text, strlen(text));
	if (original.text == text)
		original.text = NULL;
}

/* A copy that is gone with the message. */
static char *
copy_original(const char *text)
{
	MemoryContextCallback *callback =
	    MemoryContextAllocZero(MessageContext, sizeof(*callback));
	char *copy = MemoryContextStrdup(MessageContext, text);

	callback->func = wipe_original;
	callback->arg = copy;
	MemoryContextRegisterResetCallback(MessageContext, callback);
	return copy;
}

static bool
goes_to_nodes(void)
{
	return next_process_utility != NULL && serves_client() &&
	       IsTransactionState() && as_is_distributed();
}

/* Before the client's statement is overwritten. */
static void
keep_original(const Query *query)
{
	TimestampTz began_at = GetCurrentStatementStartTimestamp();

	if (query->commandType != CMD_UTILITY ||
	    client_verdict() <= current.masked || !goes_to_nodes())
		return;
	original.text = copy_original(debug_query_string);
	original.began_at = began_at;
}

/* The text of a utility statement as it came; NULL where that is no secret. */
static const char *
original_of(const char *text)
{
	AsTextKnown known;
	AsTextTag tag;

	if (text == NULL || next_process_utility == NULL)
		return NULL;
	(void) client_verdict();
	if (is_current(text))
	{
		known = (AsTextKnown){current.verdict, current.masked};
		if (known.verdict != AS_TEXT_PLAIN && original.text != NULL &&
		    original.began_at == current.began_at)
			return original.text;
	}
	else
		known = inspect_statement(text, &tag);
	return known.masked < known.verdict && goes_to_nodes() ? copy_original(text)
	                                                       : NULL;
}

/* Whether nothing is left of the client's statement, not even its form. */
static bool
was_dropped(void)
{
	return is_current(debug_query_string) && current.masked != AS_TEXT_PLAIN &&
	       strlen(debug_query_string) > LEX_MAX_BYTES;
}

/*
 * In a text that was dropped there are no constants to be found: of those that
 * lie before its first character pg_stat_statements has an assertion.
 */
static void
redact_post_parse_analyze(ParseState *pstate, Query *query, JumbleState *jstate)
{
	if (pstate->p_sourcetext == debug_query_string)
	{
		keep_original(query);
		mask_client_statement(client_verdict());
		if (jstate != NULL && was_dropped())
			jstate->clocations_count = 0;
	}
	if (next_post_parse_analyze)
		next_post_parse_analyze(pstate, query, jstate);
}

static PlannedStmt *
redact_planner(Query *parse, const char *query_string, int cursor_options,
               ParamListInfo params)
{
	query_string = readable(query_string);
	if (next_planner)
		return next_planner(parse, query_string, cursor_options, params);
	return standard_planner(parse, query_string, cursor_options, params);
}

static void
redact_executor_start(QueryDesc *query, int flags)
{
	query->sourceText = readable(query->sourceText);
	if (next_executor_start)
		next_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
redact_process_utility(PlannedStmt *statement, const char *query_string,
                       bool read_only_tree, ProcessUtilityContext context,
                       ParamListInfo params, QueryEnvironment *environment,
                       DestReceiver *receiver, QueryCompletion *completion)
{
	const char *as_it_came = original_of(query_string);

	query_string = readable(query_string);
	if (as_it_came != NULL)
	{
		/* Not put back: it may be gone behind a ROLLBACK. */
		statement->queryId = 0;
		query_string = as_it_came;
	}
	if (next_process_utility)
		next_process_utility(statement, query_string, read_only_tree, context,
		                     params, environment, receiver, completion);
	else
		standard_ProcessUtility(statement, query_string, read_only_tree,
		                        context, params, environment, receiver,
		                        completion);
}

void
as_redact_statement(void)
{
	TimestampTz began_at = GetCurrentStatementStartTimestamp();

	if (entered_at == began_at)
		return;
	entered_at = began_at;
	(void) client_verdict();
	mask_client_statement(AS_TEXT_NAMES);
}

/* ---- lines of the log ---- */

/* Each text of a line may be NULL; none grows. */
static void
set_text(char *text, const char *constant)
{
	if (text != NULL)
		strlcpy(text, constant, strlen(text) + 1);
}

static void
mask_tokens(char *text)
{
	if (text != NULL)
		text[as_text_mask_tokens(text, strlen(text), false)] = '\0';
}

static void
mask_prose(char *text)
{
	if (text != NULL)
		text[as_text_mask_prose(text, strlen(text))] = '\0';
}

static bool
is_ascii(const char *text)
{
	while (*text != '\0' && !IS_HIGHBIT_SET(*text))
		text++;
	return *text == '\0';
}

/*
 * A message that quotes values: in double quotes in English. In others all
 * that is known is the English format, which then becomes the message.
 */
static void
mask_values(char *message, const char *format)
{
	char *out = message;
	char *end = message + strlen(message);

	if (is_ascii(message))
	{
		message[as_text_mask_values(message, strlen(message))] = '\0';
		return;
	}
	if (format == NULL)
		format = "%s";
	while (*format != '\0' && out < end)
	{
		char c = *format++;

		if (c == '%')
		{
			format += strcspn(format, "cdiouxXeEfgGsp%m");
			if (*format != '\0')
				format++;
			c = '*';
		}
		*out++ = c;
	}
	*out = '\0';
}

/* Where the server quotes the client's statement: at the end, as it came. */
static char *
statement_in(char *text)
{
	size_t length = strlen(text);
	size_t tail = debug_query_string ? strlen(debug_query_string) : 0;

	if (tail == 0 || tail > length ||
	    memcmp(text + length - tail, debug_query_string, tail) != 0)
		return NULL;
	return text + length - tail;
}

/*
 * The message of a LOG line about a statement that holds a secret. What
 * others than the server write (auto_explain, pgaudit) may quote it in any
 * form, and so the statements that it causes here, with their parameters:
 * nothing is shown from the function's, or our table's, name on.
 */
static void
mask_statement_message(char *message)
{
	char *statement = statement_in(message);
	char *table = strstr(message, AS_PRIVATE_SCHEMA ".");
	AsTextNames names = {.wrappers = auth_session_redact_functions};

	if (statement != NULL)
	{
		statement[as_text_mask_literals(statement, strlen(statement), false)] =
		    '\0';
		return;
	}
	if (table != NULL)
		set_text(table, "***");
	set_text(message + as_text_name_position(message, strlen(message), &names),
	         "***");
	mask_prose(message);
}

/*
 * Errors that quote what they complain about: data exceptions, syntax errors
 * and names that don't exist (a password in double quotes is a name).
 */
static bool
quotes_values(int sqlstate)
{
	return ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_DATA_EXCEPTION ||
	       sqlstate == ERRCODE_SYNTAX_ERROR ||
	       sqlstate == ERRCODE_UNDEFINED_COLUMN;
}

/*
 * The context of such an error: a line of JSON or of COPY's input comes
 * without quotes, so only lines that say where in the code it was are kept.
 */
static void
mask_value_context(char *context)
{
	char *in = context;
	char *out = context;

	while (*in != '\0')
	{
		size_t length = strcspn(in, "\n");

		if (strncmp(in, "PL/", 3) == 0 || strncmp(in, "SQL ", 4) == 0)
		{
			memmove(out, in, length);
			out += length;
		}
		else if (length > 0)
			*out++ = '*';
		in += length;
		if (*in == '\n')
			*out++ = *in++;
	}
	*out = '\0';
}

/* A line of, or about, a statement that holds a secret. */
static void
mask_secret_line(ErrorData *error)
{
	bool quotes = quotes_values(error->sqlerrcode);

	if (error->message != NULL)
	{
		if (error->elevel < INFO)
			mask_statement_message(error->message);
		else
		{
			if (quotes)
				mask_values(error->message, error->message_id);
			mask_prose(error->message);
		}
	}

	/* A row that breaks a constraint, a parse tree: values without quotes. */
	if (quotes ||
	    ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
	        ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION ||
	    (error->detail != NULL &&
	     strchr("{(", error->detail[strspn(error->detail, " \n")]) != NULL))
		set_text(error->detail, "***");
	mask_prose(error->detail);
	mask_prose(error->detail_log);

	if (error->context != NULL && quotes)
		mask_value_context(error->context);
	mask_prose(error->context);

	if (error->internalquery != NULL)
		overwrite(error->internalquery, AS_TEXT_NAMES);
}

/* Whether a text of a line names a function; one too long is gone. */
static bool
names_secret(char *text)
{
	size_t length;

	if (text == NULL)
		return false;
	length = strnlen(text, LINE_MAX_BYTES);
	if (length == LINE_MAX_BYTES)
	{
		char *statement = statement_in(text);

		set_text(statement != NULL ? statement : text, "***");
		return false;
	}
	return inspect(text, length) == AS_TEXT_NAMES;
}

/*
 * A syntax error may be a literal without its quotes: nothing of the
 * statement is shown from the first function's name on.
 */
static void
drop_arguments(char *statement)
{
	AsTextNames names = {.wrappers = auth_session_redact_functions};
	size_t length = strlen(statement);
	size_t name = as_text_name_position(statement, length, &names);

	memset(statement + name, ' ', length - name);
	memcpy(statement + name, "***", Min(length - name, 3));
	pgstat_report_activity(STATE_RUNNING, statement);
}

/*
 * The client's statement in the STATEMENT line. An error ends the statement,
 * so its text can be overwritten though it may never have been analysed;
 * pg_stat_activity would show it until the client sends the next.
 */
static void
mask_statement_line(ErrorData *error, AsTextVerdict verdict)
{
	if (error->elevel >= ERROR && error->elevel < PANIC &&
	    CritSectionCount == 0)
		mask_client_statement(verdict);
	if (!is_current(debug_query_string) || current.masked < verdict)
		error->hide_stmt = true;
	else if (error->sqlerrcode == ERRCODE_SYNTAX_ERROR)
		drop_arguments(unconstify(char *, debug_query_string));
}

static void
redact_emit_log(ErrorData *error)
{
	char *const texts[] = {error->message,    error->detail,
	                       error->detail_log, error->hint,
	                       error->context,    error->internalquery};
	AsTextVerdict verdict = AS_TEXT_PLAIN;
	bool is_secret = false;
	size_t i;

	if (debug_query_string != NULL)
	{
		if (is_current(debug_query_string) ||
		    strnlen(debug_query_string, LINE_MAX_BYTES) < LINE_MAX_BYTES)
			verdict = client_verdict();
		else
			verdict = AS_TEXT_NAMES;
		if (entered_at == GetCurrentStatementStartTimestamp())
			verdict = AS_TEXT_NAMES;
	}

	for (i = 0; i < lengthof(texts); i++)
		is_secret |= names_secret(texts[i]);
	if (is_secret || verdict == AS_TEXT_NAMES)
		mask_secret_line(error);
	for (i = 0; i < lengthof(texts); i++)
		mask_tokens(texts[i]);
	if (verdict != AS_TEXT_PLAIN)
		mask_statement_line(error, verdict);

	if (next_emit_log)
		next_emit_log(error);
}

/* ---- load ---- */

/*
 * Libraries preloaded after this one have installed their hooks by now: from
 * here, what they see comes through those installed here.
 */
static void
redact_install(void)
{
	static bool is_installed = false;

	if (next_shmem_startup)
		next_shmem_startup();
	/* Called again when shared memory is made anew after a crash. */
	if (is_installed)
		return;
	is_installed = true;

	next_emit_log = emit_log_hook;
	emit_log_hook = redact_emit_log;
	next_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = redact_post_parse_analyze;
	next_planner = planner_hook;
	planner_hook = redact_planner;
	next_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = redact_executor_start;
	next_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = redact_process_utility;
}

void
as_redact_init(void)
{
	as_text_memory_init();
	next_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = redact_install;
}
