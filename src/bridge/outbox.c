/*
 * outbox.c
 *		The outbox: one connection that listens, claims, settles, releases.
 *
 * LISTEN comes before the first look at the outbox, so that nothing written
 * in between is missed; a NOTIFY can be missed all the same (a connection
 * that broke), hence the poll in flow.c.  All calls go through the three
 * functions of auth_admin that the bridge's role is granted, each in a
 * short transaction of its own.
 *
 * A refused row is released with "permanent: " or "temporary: " and the
 * reason: the database parks it at once, or counts and spaces the tries.  One
 * that was not tried is released without a reason.
 *
 * Every wait is bounded by the options' timeout.  After any failure the
 * connection is closed, and the next opening makes a new one: that an answer
 * is still to come is the only state it could have.
 */
#include "ends.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* Given back this long before the database would give the row away. */
#define LEASE_MARGIN 1000
/* What one call of settle or release takes. */
#define IDS_MOST 10000

static const char listen_sql[] = "LISTEN auth_session_outbox";
/*
 * The second column is what ALTER DATABASE and ALTER ROLE have stored of it: a
 * session has what was there when it began.
 */
static const char site_sql[] =
    "SELECT pg_catalog.current_setting('auth_session.site_url', true),"
    " (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.setdatabase,"
    "   s.setrole, e), ' ' ORDER BY s.setdatabase, s.setrole)"
    "  FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) e"
    "  WHERE e OPERATOR(pg_catalog.~~*) 'auth\\_session.site\\_url=%')";
static const char granted_sql[] =
    "SELECT pg_catalog.bool_and("
    "pg_catalog.has_function_privilege(f, 'execute')) FROM (VALUES "
    "('auth_admin.claim_notifications(int, interval, text)'), "
    "('auth_admin.settle_notifications(uuid[])'), "
    "('auth_admin.release_notifications(uuid[], text, boolean)')) v (f)";
static const char claim_sql[] =
    "SELECT id::pg_catalog.text, pg_catalog.to_char("
    "created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "kind, channel, recipient, user_id::pg_catalog.text, "
    "payload::pg_catalog.text "
    "FROM auth_admin.claim_notifications($1::pg_catalog.int4, "
    "$2::pg_catalog.interval, $3::pg_catalog.text)";
static const char settle_sql[] =
    "SELECT auth_admin.settle_notifications($1::pg_catalog.uuid[])";
static const char release_sql[] =
    "SELECT auth_admin.release_notifications($1::pg_catalog.uuid[], "
    "$2::pg_catalog.text, $3::pg_catalog.bool)";

typedef struct Outbox
{
	BrSource source;
	PGconn *connection;
	char *site_url;       /* or NULL */
	char *site_stored;    /* what the connection began with */
	int64_t site_read_at; /* br_clock_now's scale */
} Outbox;

static void
outbox_close(BrSource *source)
{
	Outbox *outbox = (Outbox *) source;

	if (outbox->connection)
		PQfinish(outbox->connection);
	outbox->connection = NULL;
	br_metrics_set(BR_GAUGE_SOURCE_UP, 0);
}

static void
outbox_free(BrSource *source)
{
	Outbox *outbox = (Outbox *) source;

	outbox_close(source);
	free(outbox->site_url);
	free(outbox->site_stored);
	free(outbox);
}

/*
 * libpq's message, with the SQLSTATE that verbose messages carry (there is
 * no other way to learn it of a failed connection), without what follows.
 */
static bool
connection_fault(const PGconn *connection, const char *doing, BrFault *fault)
{
	char *text = br_copy(connection ? PQerrorMessage(connection) : "");
	char *end = strstr(text, "\nLOCATION");
	const char *fatal;
	BrKind kind = BR_KIND_UNREACHABLE;

	if (end)
		*end = '\0';
	fatal = strstr(text, "FATAL:  ");
	if ((fatal && strncmp(fatal + 8, "28", 2) == 0) ||
	    strstr(text, "no password supplied"))
		kind = BR_KIND_LOGIN;
	else if (fatal && (strncmp(fatal + 8, "3D000", 5) == 0 ||
	                   strncmp(fatal + 8, "42501", 5) == 0))
		kind = BR_KIND_DATABASE;
	else if (strstr(text, "SSL") || strstr(text, "certificate"))
		kind = BR_KIND_TLS;
	else if (strstr(text, "invalid connection option") ||
	         strstr(text, "in connection info string"))
		kind = BR_KIND_USAGE;
	br_fault_set(fault, kind, "database: %s: %s", doing,
	             *text ? text : "no connection");
	free(text);
	return false;
}

static bool
result_fault(const PGconn *connection, const PGresult *result,
             const char *doing, BrFault *fault)
{
	const char *state =
	    result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	const char *text =
	    result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	BrKind kind = BR_KIND_UNREACHABLE;

	if (state == NULL || text == NULL)
		return connection_fault(connection, doing, fault);
	if (strncmp(state, "42", 2) == 0 || strncmp(state, "3F", 2) == 0)
		kind = BR_KIND_DATABASE;
	return br_fault_set(fault, kind, "database: %s: %s: %s", doing, state,
	                    text);
}

static void
no_notice(void *unused, const char *message)
{
	(void) unused;
	(void) message;
}

static bool
connect(Outbox *outbox, int64_t deadline, BrFault *fault)
{
	/* The conninfo may say otherwise, but for the last two. */
	const char *const names[] = {"fallback_application_name",
	                             "keepalives_idle",
	                             "keepalives_interval",
	                             "keepalives_count",
	                             "dbname",
	                             "client_encoding",
	                             NULL};
	const char *const values[] = {"auth-session-bridge",
	                              "15",
	                              "5",
	                              "3",
	                              outbox->source.options->database,
	                              "UTF8",
	                              NULL};
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;
	PGconn *connection = PQconnectStartParams(names, values, 1);

	outbox->connection = connection;
	if (connection == NULL || PQstatus(connection) == CONNECTION_BAD)
		return connection_fault(connection, "cannot connect", fault);
	(void) PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
	(void) PQsetNoticeProcessor(connection, no_notice, NULL);
	while (state != PGRES_POLLING_OK)
	{
		if (state == PGRES_POLLING_FAILED)
			return connection_fault(connection, "cannot connect", fault);
		if (!br_clock_wait(PQsocket(connection), state == PGRES_POLLING_WRITING,
		                   deadline))
			return br_fault_set(fault, BR_KIND_UNREACHABLE,
			                    "database: cannot connect: no answer in %d s",
			                    outbox->source.options->timeout);
		state = PQconnectPoll(connection);
	}
	if (PQsetnonblocking(connection, 1) != 0)
		return connection_fault(connection, "cannot connect", fault);
	return true;
}

/* Send what is pending and wait for one whole answer. */
static PGresult *
await(Outbox *outbox, const char *doing, BrFault *fault)
{
	PGconn *connection = outbox->connection;
	int64_t deadline = br_clock_now() + outbox->source.options->timeout * 1000;
	PGresult *last = NULL;
	PGresult *next;
	int flushing = 1;

	for (;;)
	{
		if (flushing > 0)
			flushing = PQflush(connection);
		if (flushing < 0 || !PQconsumeInput(connection))
		{
			(void) connection_fault(connection, doing, fault);
			break;
		}
		if (!PQisBusy(connection))
		{
			next = PQgetResult(connection);
			if (next == NULL && last != NULL)
				return last;
			if (next != NULL)
			{
				PQclear(last);
				last = next;
				continue;
			}
		}
		if (!br_clock_wait(PQsocket(connection), flushing > 0, deadline))
		{
			br_fault_set(fault, BR_KIND_UNREACHABLE,
			             "database: %s: no answer in %d s", doing,
			             outbox->source.options->timeout);
			break;
		}
	}
	PQclear(last);
	return NULL;
}

/* Run one statement; NULL with the fault, the connection closed. */
static PGresult *
run(Outbox *outbox, const char *sql, int n, const char *const *values,
    const char *doing, BrFault *fault)
{
	PGresult *result = NULL;

	if (PQsendQueryParams(outbox->connection, sql, n, NULL, values, NULL, NULL,
	                      0) != 1)
		(void) connection_fault(outbox->connection, doing, fault);
	else
		result = await(outbox, doing, fault);
	if (result != NULL && PQresultStatus(result) != PGRES_TUPLES_OK &&
	    PQresultStatus(result) != PGRES_COMMAND_OK)
	{
		(void) result_fault(outbox->connection, result, doing, fault);
		PQclear(result);
		result = NULL;
	}
	if (result == NULL)
		outbox_close(&outbox->source);
	return result;
}

/*
 * What links begin with.  That there is nothing is said when it is found, and
 * not again until there was something meanwhile.
 */
static void
keep_site(Outbox *outbox, const char *url)
{
	bool said = outbox->site_read_at != 0 && outbox->site_url == NULL;

	free(outbox->site_url);
	outbox->site_url = *url ? br_copy(url) : NULL;
	if (*url == '\0' && !said)
		br_log(BR_WARNING, "no_links", "text",
		       "auth_session.site_url is not set: no message has a link",
		       (char *) NULL);
	outbox->site_read_at = br_clock_now();
}

static PGresult *
ask_site(Outbox *outbox, BrFault *fault)
{
	return run(outbox, site_sql, 0, NULL, "reading auth_session.site_url",
	           fault);
}

static bool
read_site(Outbox *outbox, BrFault *fault)
{
	PGresult *result = ask_site(outbox, fault);

	if (result == NULL)
		return false;
	keep_site(outbox, PQgetvalue(result, 0, 0));
	free(outbox->site_stored);
	outbox->site_stored = br_copy(PQgetvalue(result, 0, 1));
	PQclear(result);
	return true;
}

static bool
outbox_open(BrSource *source, BrFault *fault)
{
	Outbox *outbox = (Outbox *) source;
	int64_t deadline = br_clock_now() + outbox->source.options->timeout * 1000;
	PGresult *result;
	bool granted;

	if (outbox->connection != NULL)
		return true;
	if (!connect(outbox, deadline, fault))
	{
		outbox_close(&outbox->source);
		return false;
	}
	result = run(outbox, listen_sql, 0, NULL, "LISTEN", fault);
	PQclear(result);
	if (result == NULL || !read_site(outbox, fault))
		return false;
	result = run(outbox, granted_sql, 0, NULL,
	             "looking for the functions of "
	             "auth_admin",
	             fault);
	if (result == NULL)
		return false;
	granted = PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
	PQclear(result);
	if (!granted)
	{
		outbox_close(&outbox->source);
		return br_fault_set(fault, BR_KIND_DATABASE,
		                    "database: the role may not execute "
		                    "auth_admin.claim_notifications, "
		                    "settle_notifications and release_notifications");
	}
	br_metrics_set(BR_GAUGE_SOURCE_UP, 1);
	return true;
}

/* One row as the body that is published. */
static json_t *
make_body(const Outbox *outbox, const PGresult *result, int row)
{
	json_t *payload = json_loads(PQgetvalue(result, row, 6), 0, NULL);
	json_t *body = json_object();
	static const char *const names[] = {"id",      "created_at", "kind",
	                                    "channel", "recipient",  "user_id"};
	int i;

	for (i = 0; i < 6; i++)
		json_object_set_new(body, names[i],
		                    PQgetisnull(result, row, i)
		                        ? json_null()
		                        : json_string(PQgetvalue(result, row, i)));
	if (outbox->site_url)
		json_object_set_new(body, "site_url", json_string(outbox->site_url));
	json_object_set_new(body, "payload",
	                    PQgetisnull(result, row, 6) ? json_object() : payload);
	return body;
}

static bool
settle(Outbox *outbox, const char *ids, BrFault *fault)
{
	PGresult *result =
	    run(outbox, settle_sql, 1, &ids, "settle_notifications", fault);

	PQclear(result);
	return result != NULL;
}

/* error NULL: given back, at the cost of no try. */
static bool
release(Outbox *outbox, const char *ids, const char *error, bool permanent,
        BrFault *fault)
{
	const char *values[] = {ids, error, permanent ? "t" : "f"};
	PGresult *result =
	    run(outbox, release_sql, 3, values, "release_notifications", fault);

	PQclear(result);
	return result != NULL;
}

/* A row that no one can read goes back with the reason; should that fail,
 * the lease runs out and it comes again. */
static bool
give_back(Outbox *outbox, const char *id, const char *why, BrFault *fault)
{
	char *ids = br_format("{%s}", id);
	char *error = br_format("permanent: %s", why);
	bool good;

	br_log(BR_WARNING, "refused", "id", id, "text", why, (char *) NULL);
	br_metrics_add(BR_COUNT_REFUSED, 1);
	good = release(outbox, ids, error, true, fault);
	free(error);
	free(ids);
	return good;
}

/* Another connection where the one there is began with another value. */
static bool
follow_site(BrSource *source, BrFault *fault)
{
	Outbox *outbox = (Outbox *) source;
	PGresult *result = ask_site(outbox, fault);
	bool is_stale;

	if (result == NULL)
		return false;
	is_stale = strcmp(PQgetvalue(result, 0, 1), outbox->site_stored) != 0;
	if (!is_stale)
		keep_site(outbox, PQgetvalue(result, 0, 0));
	PQclear(result);
	if (!is_stale)
		return true;
	outbox_close(source);
	return outbox_open(source, fault);
}

static bool
outbox_take(BrSource *source, const char *channel, size_t most, BrList *list,
            BrFault *fault)
{
	Outbox *outbox = (Outbox *) source;
	char number[32];
	char lease[32];
	const char *values[] = {number, lease, channel};
	int64_t lease_end = br_clock_now() + source->lease;
	PGresult *result;
	bool good = true;
	int row;

	if (br_clock_now() - outbox->site_read_at >= source->options->poll * 1000 &&
	    !follow_site(source, fault))
		return false;
	snprintf(number, sizeof(number), "%zu", most);
	snprintf(lease, sizeof(lease), "%d seconds", source->options->lease);
	result = run(outbox, claim_sql, 3, values, "claim_notifications", fault);
	if (result == NULL)
		return false;
	for (row = 0; row < PQntuples(result); row++)
	{
		const char *why;
		BrNotification *one =
		    br_notification_take(make_body(outbox, result, row), &why);

		if (one == NULL)
		{
			good = good &&
			       give_back(outbox, PQgetvalue(result, row, 0), why, fault);
			continue;
		}
		one->lease_end = lease_end - LEASE_MARGIN;
		br_list_push(list, one);
		br_metrics_add(BR_COUNT_CLAIMED, 1);
	}
	PQclear(result);
	return good;
}

/* Whether two ended alike, and one call tells both. */
static bool
ended_alike(const BrNotification *a, const BrNotification *b)
{
	return a->outcome == b->outcome && strcmp(a->error, b->error) == 0;
}

/* Take out of judged all that ended like its first, and write their ids. */
static char *
take_alike(BrList *judged, BrList *alike)
{
	BrNotification *first = br_list_shift(judged);
	BrList kept = {NULL, NULL, 0};
	BrNotification *n;
	char *ids;
	size_t length;
	FILE *out = br_stream_open(&ids, &length);

	fprintf(out, "{%s", first->id);
	br_list_push(alike, first);
	while ((n = br_list_shift(judged)) != NULL)
		if (alike->n < IDS_MOST && ended_alike(first, n))
		{
			fprintf(out, ",%s", n->id);
			br_list_push(alike, n);
		}
		else
			br_list_push(&kept, n);
	fputc('}', out);
	br_stream_close(out);
	*judged = kept;
	return ids;
}

static bool
tell_alike(Outbox *outbox, const BrList *alike, const char *ids, BrFault *fault)
{
	const BrNotification *first = alike->first;
	char *error = NULL;
	bool good;

	if (first->outcome == BR_DELIVERED || first->outcome == BR_EXPIRED)
	{
		good = settle(outbox, ids, fault);
		if (good)
			br_metrics_add(BR_COUNT_SETTLED, alike->n);
		return good;
	}
	if (first->outcome != BR_UNTRIED)
		error = br_format(
		    "%s: %s", first->outcome == BR_REFUSED ? "permanent" : "temporary",
		    first->error);
	good = release(outbox, ids, error, first->outcome == BR_REFUSED, fault);
	free(error);
	return good;
}

static bool
outbox_tell(BrSource *source, BrList *judged, BrFault *fault)
{
	while (judged->n > 0)
	{
		BrList alike = {NULL, NULL, 0};
		char *ids = take_alike(judged, &alike);
		bool good = tell_alike((Outbox *) source, &alike, ids, fault);

		free(ids);
		if (!good)
		{
			br_list_append(judged, &alike);
			return false;
		}
		br_list_free(&alike);
	}
	return true;
}

/* Take what has arrived; false with the fault, the connection closed. */
static bool
collect(Outbox *outbox, bool *woken, BrFault *fault)
{
	PGnotify *notify;

	if (!PQconsumeInput(outbox->connection))
	{
		(void) connection_fault(outbox->connection, "waiting", fault);
		outbox_close(&outbox->source);
		return false;
	}
	while ((notify = PQnotifies(outbox->connection)) != NULL)
	{
		*woken = true;
		PQfreemem(notify);
	}
	return true;
}

static bool
outbox_wait(BrSource *source, int64_t deadline, bool *news, BrFault *fault)
{
	Outbox *outbox = (Outbox *) source;

	*news = false;
	/* One may have come with the answer to the last claim. */
	if (!collect(outbox, news, fault))
		return false;
	if (!*news)
	{
		br_wait(PQsocket(outbox->connection), deadline);
		if (!collect(outbox, news, fault))
			return false;
	}
	if (*news)
		br_metrics_add(BR_COUNT_WAKEUPS, 1);
	return true;
}

/* The take that brought nothing said so. */
static bool
outbox_empty(BrSource *source)
{
	(void) source;
	return true;
}

static const BrSourceMethods outbox_methods = {
    outbox_open,  outbox_take,  outbox_tell, outbox_wait,
    outbox_empty, outbox_close, outbox_free};

BrSource *
br_outbox_make(const BrOptions *options)
{
	Outbox *outbox = br_alloc(sizeof(*outbox));

	outbox->source.methods = &outbox_methods;
	outbox->source.options = options;
	outbox->source.word = "database";
	outbox->source.lease = options->lease * 1000;
	return &outbox->source;
}
