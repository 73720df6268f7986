/*
 * claim.c
 *		The outbox: one connection that listens, claims, settles, releases.
 *
 * LISTEN comes before the first look at the outbox, so that nothing written
 * in between is missed; a NOTIFY can be missed all the same (a connection
 * that broke), hence the poll in relay.c.  All calls go through the three
 * functions of auth_admin that the bridge's role is granted, each in a
 * short transaction of its own.
 *
 * Every wait is bounded by the options' timeout.  After any failure the
 * connection is closed, and the next br_outbox_open makes a new one: that
 * an answer is still to come is the only state it could have.
 */
#include "bridge.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

/* Given back this long before the database would give the row away. */
#define LEASE_MARGIN 1000

static const char listen_sql[] = "LISTEN auth_session_outbox";
static const char site_sql[] =
    "SELECT pg_catalog.current_setting('auth_session.site_url', true)";
static const char granted_sql[] =
    "SELECT pg_catalog.bool_and("
    "pg_catalog.has_function_privilege(f, 'execute')) FROM (VALUES "
    "('auth_admin.claim_notifications(int, interval)'), "
    "('auth_admin.settle_notifications(uuid[])'), "
    "('auth_admin.release_notifications(uuid[], text)')) v (f)";
static const char claim_sql[] =
    "SELECT id::pg_catalog.text, pg_catalog.to_char("
    "created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "kind, channel, recipient, user_id::pg_catalog.text, "
    "payload::pg_catalog.text "
    "FROM auth_admin.claim_notifications($1::pg_catalog.int4, "
    "$2::pg_catalog.interval)";
static const char settle_sql[] =
    "SELECT auth_admin.settle_notifications($1::pg_catalog.uuid[])";
static const char release_sql[] =
    "SELECT auth_admin.release_notifications($1::pg_catalog.uuid[], "
    "$2::pg_catalog.text)";

struct BrOutbox
{
	const BrOptions *options;
	char *conninfo; /* the one that connection was made with */
	PGconn *connection;
	char *site_url; /* or NULL */
};

BrOutbox *
br_outbox_make(const BrOptions *options)
{
	BrOutbox *outbox = br_alloc(sizeof(*outbox));

	outbox->options = options;
	outbox->conninfo = br_copy(options->database);
	return outbox;
}

void
br_outbox_close(BrOutbox *outbox)
{
	if (outbox->connection)
		PQfinish(outbox->connection);
	outbox->connection = NULL;
	br_metrics_set(BR_GAUGE_SOURCE_UP, 0);
}

void
br_outbox_free(BrOutbox *outbox)
{
	br_outbox_close(outbox);
	br_free_secret(outbox->conninfo);
	free(outbox->site_url);
	free(outbox);
}

void
br_outbox_adopt(BrOutbox *outbox, const BrOptions *options)
{
	outbox->options = options;
	if (strcmp(outbox->conninfo, options->database) == 0)
		return;
	br_outbox_close(outbox);
	br_free_secret(outbox->conninfo);
	outbox->conninfo = br_copy(options->database);
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
connect(BrOutbox *outbox, int64_t deadline, BrFault *fault)
{
	/* The conninfo may say otherwise, but for the last two. */
	const char *const names[] = {"fallback_application_name",
	                             "keepalives_idle",
	                             "keepalives_interval",
	                             "keepalives_count",
	                             "dbname",
	                             "client_encoding",
	                             NULL};
	const char *const values[] = {"auth-session-bridge", "15",   "5", "3",
	                              outbox->conninfo,      "UTF8", NULL};
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
			                    outbox->options->timeout);
		state = PQconnectPoll(connection);
	}
	if (PQsetnonblocking(connection, 1) != 0)
		return connection_fault(connection, "cannot connect", fault);
	return true;
}

/* Send what is pending and wait for one whole answer. */
static PGresult *
await(BrOutbox *outbox, const char *doing, BrFault *fault)
{
	PGconn *connection = outbox->connection;
	int64_t deadline = br_clock_now() + outbox->options->timeout * 1000;
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
			             outbox->options->timeout);
			break;
		}
	}
	PQclear(last);
	return NULL;
}

/* Run one statement; NULL with the fault, the connection closed. */
static PGresult *
run(BrOutbox *outbox, const char *sql, int n, const char *const *values,
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
		br_outbox_close(outbox);
	return result;
}

bool
br_outbox_refresh(BrOutbox *outbox, BrFault *fault)
{
	PGresult *result =
	    run(outbox, site_sql, 0, NULL, "reading auth_session.site_url", fault);

	if (result == NULL)
		return false;
	free(outbox->site_url);
	outbox->site_url = NULL;
	if (PQntuples(result) == 1 && *PQgetvalue(result, 0, 0))
		outbox->site_url = br_copy(PQgetvalue(result, 0, 0));
	PQclear(result);
	return true;
}

bool
br_outbox_open(BrOutbox *outbox, BrFault *fault)
{
	int64_t deadline = br_clock_now() + outbox->options->timeout * 1000;
	PGresult *result;
	bool granted;

	if (outbox->connection != NULL)
		return true;
	if (!connect(outbox, deadline, fault))
	{
		br_outbox_close(outbox);
		return false;
	}
	result = run(outbox, listen_sql, 0, NULL, "LISTEN", fault);
	PQclear(result);
	if (result == NULL || !br_outbox_refresh(outbox, fault))
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
		br_outbox_close(outbox);
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
make_body(const BrOutbox *outbox, const PGresult *result, int row)
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

/* Rows that no one can read go back with the reason. */
static void
give_back(BrOutbox *outbox, const char *id, const char *why)
{
	BrVerdict verdict;
	BrFault ignored;
	char *error = br_format("permanent: %s", why);

	br_log(BR_WARNING, "refused", "id", id, "text", why, (char *) NULL);
	br_metrics_add(BR_COUNT_REFUSED, 1);
	snprintf(verdict.id, sizeof(verdict.id), "%s", id);
	verdict.error = error;
	/* Should this fail, the lease runs out and it comes again. */
	if (outbox->connection)
		(void) br_outbox_tell(outbox, &verdict, 1, &ignored);
	free(error);
}

bool
br_outbox_claim(BrOutbox *outbox, int most, BrNotification **list, size_t *n,
                BrFault *fault)
{
	char number[16];
	char lease[32];
	const char *values[2] = {number, lease};
	int64_t lease_end = br_clock_now() + outbox->options->lease * 1000;
	PGresult *result;
	int row;

	*n = 0;
	snprintf(number, sizeof(number), "%d", most);
	snprintf(lease, sizeof(lease), "%d seconds", outbox->options->lease);
	result = run(outbox, claim_sql, 2, values, "claim_notifications", fault);
	if (result == NULL)
		return false;
	for (row = 0; row < PQntuples(result); row++)
	{
		const char *why;
		BrNotification *one =
		    br_notification_take(make_body(outbox, result, row), &why);

		if (one == NULL)
		{
			give_back(outbox, PQgetvalue(result, row, 0), why);
			continue;
		}
		one->lease_end = lease_end - LEASE_MARGIN;
		list[(*n)++] = one;
	}
	br_metrics_add(BR_COUNT_CLAIMED, *n);
	PQclear(result);
	return true;
}

/* Call one function for the verdicts whose error is this one. */
static bool
tell_group(BrOutbox *outbox, const BrVerdict *verdicts, size_t n,
           const char *error, BrFault *fault)
{
	char *ids;
	size_t length;
	FILE *out = br_stream_open(&ids, &length);
	const char *values[2];
	PGresult *result;
	size_t i;
	size_t told = 0;

	fputc('{', out);
	for (i = 0; i < n; i++)
		if ((verdicts[i].error == NULL) == (error == NULL) &&
		    (error == NULL || strcmp(verdicts[i].error, error) == 0))
			fprintf(out, "%s%s", told++ ? "," : "", verdicts[i].id);
	fputc('}', out);
	br_stream_close(out);
	values[0] = ids;
	values[1] = error;
	result =
	    run(outbox, error ? release_sql : settle_sql, error ? 2 : 1, values,
	        error ? "release_notifications" : "settle_notifications", fault);
	free(ids);
	PQclear(result);
	if (result != NULL && error == NULL)
		br_metrics_add(BR_COUNT_SETTLED, told);
	return result != NULL;
}

bool
br_outbox_tell(BrOutbox *outbox, const BrVerdict *verdicts, size_t n,
               BrFault *fault)
{
	size_t i;
	size_t j;

	/* Each error once, at its first appearance. */
	for (i = 0; i < n; i++)
	{
		for (j = 0; j < i; j++)
			if ((verdicts[i].error == NULL) == (verdicts[j].error == NULL) &&
			    (verdicts[i].error == NULL ||
			     strcmp(verdicts[i].error, verdicts[j].error) == 0))
				break;
		if (j == i &&
		    !tell_group(outbox, verdicts, n, verdicts[i].error, fault))
			return false;
	}
	return true;
}

/* Take what has arrived; false with the fault, the connection closed. */
static bool
collect(BrOutbox *outbox, bool *woken, BrFault *fault)
{
	PGnotify *notify;

	if (!PQconsumeInput(outbox->connection))
	{
		(void) connection_fault(outbox->connection, "waiting", fault);
		br_outbox_close(outbox);
		return false;
	}
	while ((notify = PQnotifies(outbox->connection)) != NULL)
	{
		*woken = true;
		PQfreemem(notify);
	}
	return true;
}

bool
br_outbox_wait(BrOutbox *outbox, int64_t deadline, bool *woken, BrFault *fault)
{
	*woken = false;
	/* One may have come with the answer to the last claim. */
	if (!collect(outbox, woken, fault))
		return false;
	if (!*woken)
	{
		br_signals_wait(PQsocket(outbox->connection), deadline);
		if (!collect(outbox, woken, fault))
			return false;
	}
	if (*woken)
		br_metrics_add(BR_COUNT_WAKEUPS, 1);
	return true;
}
