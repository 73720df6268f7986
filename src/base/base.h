/*
 * base.h: the ground of what runs in the server: settings, failures, the
 * store, JSON, encodings.
 *
 * What every floor above stands on, and nothing that knows any of them: calls
 * tool only. failure.c is the only one that raises to callers, store.c the
 * only one that calls SPI.
 */
#ifndef AS_BASE_H
#define AS_BASE_H

#include "postgres.h"

#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "tool/tool.h"

/* The role that owns everything, and where the tables are. */
#define AS_OWNER_ROLE     "auth_session_owner"
#define AS_PRIVATE_SCHEMA "auth_private"

/* ---- settings.c: the settings, a row of setting_list.h each ---- */

/* Defines them all; from _PG_init. */
extern void as_settings_define(void);

typedef enum AsRequireConfirmation
{
	AS_CONFIRM_NONE,
	AS_CONFIRM_ANY,
	AS_CONFIRM_ALL
} AsRequireConfirmation;

/*
 * auth_session.x is auth_session_x, of the type and in the unit of its row:
 * extern int auth_session_lock_wait, for one, in milliseconds.
 */
#define AS_SETTING_TEXT char *
#define AS_SETTING_INT  int
#define AS_SETTING_BOOL bool
#define AS_SETTING_ENUM int

#define SETTING(name, type, ...) extern AS_SETTING_##type auth_session_##name;
#include "base/setting_list.h"
#undef SETTING

/*
 * Grows whenever something that decides the caller's context is assigned:
 * what was worked out under another generation is stale.
 */
extern uint64 as_context_generation;
extern void as_context_changed(void);

/* Sets auth_session_context_token as SET LOCAL does. */
extern void as_context_token_set(const char *token);

/* Whether the library came in by shared_preload_libraries. */
extern bool as_is_preloaded;

/* ---- failure.c: what callers are told ---- */

/*
 * Every failure that a caller can see, one row of spec.md's table each. The
 * code is the DETAIL, the SQLSTATE is PT + the HTTP status, the message is
 * one constant line.
 */
typedef enum AsFailure
{
	AS_OK,
	AS_INVALID_REQUEST,
	AS_INVALID_CREDENTIALS,
	AS_INVALID_TOKEN,
	AS_TOKEN_EXPIRED,
	AS_SESSION_REVOKED,
	AS_SESSION_EXPIRED,
	AS_REFRESH_TOKEN_REUSED,
	AS_NOT_AUTHENTICATED,
	AS_NOT_CONFIRMED,
	AS_BANNED,
	AS_SIGNUP_DISABLED,
	AS_REAUTHENTICATION_REQUIRED,
	AS_USER_MISMATCH,
	AS_SESSION_NOT_FOUND,
	AS_ALREADY_EXISTS,
	AS_WEAK_PASSWORD,
	AS_INVALID_CODE,
	AS_PASSWORD_REQUIRED,
	AS_THROTTLED,
	AS_BUSY,
	AS_READ_ONLY
} AsFailure;

/* The machine-readable code, e.g. "invalid_credentials". */
extern const char *as_failure_code(AsFailure failure);

/* The SQLSTATE of any failure but AS_OK, as in ErrorData. */
extern int as_failure_sqlstate(AsFailure failure);

/*
 * Raises a failure; never returns. hint is a constant sentence, or NULL for
 * the failure's own. Never put user input or a secret into it.
 */
pg_noreturn extern void as_fail(AsFailure failure, const char *hint);

/* Raises AS_THROTTLED; the hint is the seconds to wait, a bare integer. */
pg_noreturn extern void as_fail_throttled(int seconds);

/*
 * Raises unless the library was preloaded: says what to set. Every function
 * calls it first.
 */
extern void as_require_preloaded(void);

/* ---- store.c: kept plans, the only caller of SPI ---- */

#define AS_STORE_MAX_ARGS 24

/* A constant statement, kept as a plan by each backend from its first use. */
typedef struct AsStatement
{
	const char *sql;
	bool is_qualified;
	SPIPlanPtr plan;
} AsStatement;

#define AS_STATEMENT(text) \
	{                      \
		.sql = (text)      \
	}

/*
 * One whose every name and operator is schema-qualified. It means the same
 * under any search_path, so it runs under the caller's: for what is run so
 * often that pinning the path would be felt.
 */
#define AS_STATEMENT_QUALIFIED(text)        \
	{                                       \
		.sql = (text), .is_qualified = true \
	}

typedef enum AsAccess
{
	/*
	 * Reads at the newest committed state, own changes included, whatever
	 * the caller's isolation level; writes nothing and locks no row. In a
	 * parallel operation the query's own snapshot is used.
	 */
	AS_READ,

	/*
	 * Writes or locks rows, in the caller's transaction, but finds them where
	 * AS_READ does: what is to end must not outlive a caller whose snapshot is
	 * too old to show it, and what was looked at is what is changed. Only rows
	 * that somebody changes at that moment, and cascades to rows newer than
	 * the caller's snapshot, are a serialization failure at the higher
	 * isolation levels. A lock not had within auth_session.lock_wait, or a
	 * deadlock, raises AS_BUSY.
	 */
	AS_WRITE
} AsAccess;

/* The parameters of one execution, added in the order of $1, $2, ... */
typedef struct AsArgs
{
	int count;
	Oid types[AS_STORE_MAX_ARGS];
	Datum values[AS_STORE_MAX_ARGS];
	char nulls[AS_STORE_MAX_ARGS];
} AsArgs;

/* Each adds one parameter; a NULL pointer is SQL NULL. */
extern void as_arg_uuid(AsArgs *args, const AsUuid *uuid);
extern void as_arg_text(AsArgs *args, const char *text);
extern void as_arg_bytes(AsArgs *args, const void *bytes, size_t length);
extern void as_arg_int(AsArgs *args, int32 value);
extern void as_arg_int8(AsArgs *args, int64 value);
extern void as_arg_bool(AsArgs *args, bool value);
extern void as_arg_jsonb(AsArgs *args, const Jsonb *value);
extern void as_arg_date(AsArgs *args, TimestampTz utc_day_of);
/* AS_NO_TIME is SQL NULL, in both directions. */
#define AS_NO_TIME DT_NOBEGIN
extern void as_arg_time(AsArgs *args, TimestampTz value);
/* Adds any other value, e.g. an array the caller built. */
extern void as_arg_datum(AsArgs *args, Oid type, Datum value, bool is_null);

/* One row of a result, columns counted from 1, while a reader looks at it. */
typedef struct AsRow
{
	HeapTuple tuple;
	TupleDesc descriptor;
} AsRow;

extern bool as_row_is_null(const AsRow *row, int column);
extern Datum as_row_datum(const AsRow *row, int column, bool *is_null);
/* False and all zeros for SQL NULL. */
extern bool as_row_uuid(const AsRow *row, int column, AsUuid *out);
/* In the caller's memory; NULL for SQL NULL. */
extern char *as_row_text(const AsRow *row, int column);
extern Jsonb *as_row_jsonb(const AsRow *row, int column);
/* Copies a bytea of exactly length bytes; false for any other, and NULL. */
extern bool as_row_bytes(const AsRow *row, int column, void *out,
                         size_t length);
/* A bytea of any length in the caller's memory; NULL for SQL NULL. */
extern uint8 *as_row_bytea(const AsRow *row, int column, size_t *length);
/* 0, false and AS_NO_TIME for SQL NULL. */
extern int32 as_row_int(const AsRow *row, int column);
extern int64 as_row_int8(const AsRow *row, int column);
extern bool as_row_bool(const AsRow *row, int column);
extern TimestampTz as_row_time(const AsRow *row, int column);

/*
 * Called per row, in the memory context of as_store_run's caller: what it
 * allocates stays.
 */
typedef void (*AsRowReader)(const AsRow *row, void *into);

/*
 * Runs a statement as auth_session_owner with the pinned search_path and
 * returns the number of rows it found, or changed. reader may be NULL.
 */
extern uint64 as_store_run(AsStatement *statement, AsAccess access,
                           const AsArgs *args, AsRowReader reader, void *into);

/*
 * Looks for the row with two uuids as its primary key, in a table of
 * auth_private whose first three columns are uuids and the first two its key,
 * and copies the third. As AS_READ sees it, but without the executor, for the
 * one look-up that every request makes; and only among the rows that this
 * server holds itself, so false must mean no more than "look properly".
 */
extern bool as_store_probe(const char *table, const char *primary_key,
                           const AsUuid *first, const AsUuid *second,
                           AsUuid *third);

/*
 * Takes an exclusive lock on a value that need not have a row yet, until the
 * transaction ends: table is a relation of auth_private, key any number. The
 * first in the lock order, before any account. AS_BUSY after lock_wait.
 */
extern void as_store_lock_value(const char *table, uint32 key);

/*
 * The commit of this transaction waits for its local flush, whatever
 * synchronous_commit the caller set, before or after.
 */
extern void as_store_make_durable(void);

/* The relation's Oid, InvalidOid where it doesn't exist. */
extern Oid as_store_relation(const char *table);

/* The owner's Oid; raises where the role is missing. */
extern Oid as_store_owner(void);

/* ---- json_writer.c: small JSON objects ---- */

/* Members between begin and end; a NULL text is left out. */
extern void as_json_begin(StringInfo json);
extern void as_json_text(StringInfo json, const char *name, const char *text);
extern void as_json_uuid(StringInfo json, const char *name, const AsUuid *uuid);
extern void as_json_number(StringInfo json, const char *name, int64 number);

/* RFC 3339, whole seconds, UTC, whatever DateStyle and TimeZone are. */
extern void as_json_time(StringInfo json, const char *name, TimestampTz at);

/* value is JSON text already. */
extern void as_json_raw(StringInfo json, const char *name, const char *value);
extern void as_json_end(StringInfo json);

extern Jsonb *as_jsonb_parse(const char *json);
extern char *as_jsonb_print(Jsonb *value);

/* ---- encoding.c: tokens and their JSON are UTF-8 ---- */

/*
 * A text of the database's encoding, *length bytes, as UTF-8 in the caller's
 * memory, with a NUL behind it; *length becomes its length. Raises for what
 * is no text of that encoding.
 */
extern char *as_text_to_utf8(const char *text, size_t *length);

/*
 * The other way; utf8 is valid UTF-8. NULL where the database's encoding has
 * not all of its characters. Never raises.
 */
extern char *as_text_from_utf8(const char *utf8, size_t length);

/*
 * How many bytes a text of the database's encoding has in UTF-8. Never raises:
 * where that can't be found out, outside a transaction for one, its own bytes
 * are counted.
 */
extern size_t as_utf8_length(const char *text);

#endif /* AS_BASE_H */
