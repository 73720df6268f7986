/*
 * shards.c: statements over all users, where the tables are distributed.
 *
 * What is to go is picked and deleted in one statement, which leaves alone what
 * somebody holds; across shards Citus has no such statement. So each shard runs
 * it by itself, in a transaction of its own on its node, with the values in its
 * text: times and numbers only. A shard whose node is down keeps its rows for
 * the next time.
 */
#include "base/base.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"

static AsStatement run_on_shards = AS_WRITES(
    "SELECT COALESCE(pg_catalog.sum(pg_catalog.substr(result, 8)::bigint)"
    "           FILTER (WHERE success), 0)::bigint AS changed,"
    "       pg_catalog.count(*) FILTER (WHERE NOT success) AS failed,"
    "       pg_catalog.min(result) FILTER (WHERE NOT success) AS error"
    "  FROM pg_catalog.run_command_on_shards($1::text::pg_catalog.regclass,"
    "                                        $2)");

typedef struct Outcome
{
	int64 changed;
	int64 failed;
	char *error;
} Outcome;

static const AsColumn outcome_columns[] = {
    AS_COLUMN(Outcome, INT8, changed),
    AS_COLUMN(Outcome, INT8, failed),
    AS_COLUMN(Outcome, TEXT, error),
};
static const AsShape outcome_shape = AS_SHAPE(Outcome, outcome_columns);

/* Means the same to whoever reads it, whatever he set. */
static void
append_value(StringInfo text, const AsArg *value)
{
	switch (value->type)
	{
		case INT4OID:
			appendStringInfo(text, "%d", DatumGetInt32(value->value));
			break;
		case DATEOID:
			appendStringInfo(text, "('2000-01-01'::date + %d)",
			                 DatumGetDateADT(value->value));
			break;
		case TIMESTAMPTZOID:
			appendStringInfo(
			    text, "'%s'::timestamptz",
			    timestamptz_to_str(DatumGetTimestampTz(value->value)));
			break;
		default:
			elog(ERROR, "a value of type %u can't be sent to a shard",
			     value->type);
	}
}

/* The statement for format(), which puts the shard's name in place of %1$s. */
static char *
print_for_shards(const char *sql, const char *table, AsArgs args)
{
	StringInfoData text;
	size_t length = strlen(table);

	initStringInfo(&text);
	while (*sql != '\0')
	{
		if (strncmp(sql, table, length) == 0)
		{
			appendStringInfoString(&text, "%1$s");
			sql += length;
		}
		else if (*sql == '$')
		{
			char *end;
			long number = strtol(sql + 1, &end, 10);

			Assert(number >= 1 && number <= args.count);
			append_value(&text, &args.values[number - 1]);
			sql = end;
		}
		else
		{
			Assert(*sql != '%');
			appendStringInfoChar(&text, *sql++);
		}
	}
	return text.data;
}

uint64
as_shards_run(AsStatement *statement, const char *table, AsArgs args)
{
	Outcome outcome = {0};

	if (!as_is_distributed())
		return as_store_run(statement, args);
	(void) as_store_find(
	    &run_on_shards, &outcome_shape, &outcome,
	    AS_ARGS(as_arg_text(table),
	            as_arg_text(print_for_shards(statement->sql, table, args))));
	if (outcome.failed > 0)
		ereport(LOG_SERVER_ONLY,
		        (errmsg("auth_session could not prune " INT64_FORMAT
		                " shards of %s: %s",
		                outcome.failed, table, outcome.error)));
	return (uint64) outcome.changed;
}
