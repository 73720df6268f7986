/*
 * base.h: the floor that what runs in the server stands on: settings,
 * failures, the store, the clock, JSON, encodings.
 *
 * What every floor above stands on, and nothing that knows any of them: calls
 * tool only. failure.c is the only one that raises to callers, store.c the
 * only one that calls SPI.
 */
#ifndef AS_BASE_H
#define AS_BASE_H

#include "postgres.h"

#include "access/genam.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/planner_list.h"
#include "tool/tool.h"

/* The role that owns everything, and where the tables are. */
#define AS_OWNER_ROLE     "auth_session_owner"
#define AS_NODE_ROLE      "auth_session_node"
#define AS_PRIVATE_SCHEMA "auth_private"

/* Several texts, and bytes of any length, in the owner's memory context. */
typedef struct AsTexts
{
	int count;
	char **items;
} AsTexts;

typedef struct AsBytes
{
	uint8 *bytes;
	size_t length;
} AsBytes;

/* ---- settings.c: the settings, a row of setting_list.h each ---- */

/* The longest attribute of a cookie that browsers take (RFC 6265bis). */
#define AS_COOKIE_PATH_MAX 1024

/* Defines them all; from _PG_init. */
extern void as_settings_define(void);

typedef enum AsRequireConfirmation
{
	AS_CONFIRM_NONE,
	AS_CONFIRM_ANY,
	AS_CONFIRM_ALL
} AsRequireConfirmation;

typedef enum AsNotifyNewSignin
{
	AS_NOTIFY_ALWAYS,
	AS_NOTIFY_NEW_DEVICE,
	AS_NOTIFY_NEVER
} AsNotifyNewSignin;

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

/*
 * Sets a setting of anybody's as SET LOCAL does, with the rights of who calls
 * and the server's own checks, which raise.
 */
extern void as_setting_put(const char *name, const char *value);

/*
 * Whether a setting that is a list of identifiers, as SQL writes them, has a
 * name. False, too, where it can't be read.
 */
extern bool as_setting_lists(const char *list, const char *name);

/* Sets auth_session_context_token as SET LOCAL does. */
extern void as_context_token_set(const char *token);

/* Sets auth_session_request_is_set as SET LOCAL does. */
extern void as_request_is_set_put(int is_set);

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
	AS_SIGNUP_REFUSED,
	AS_REAUTHENTICATION_REQUIRED,
	AS_USER_MISMATCH,
	AS_CROSS_SITE,
	AS_FEATURE_DISABLED,
	AS_SESSION_NOT_FOUND,
	AS_API_KEY_NOT_FOUND,
	AS_USER_NOT_FOUND,
	AS_ALREADY_EXISTS,
	AS_LIMIT_REACHED,
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

/* Called with each failure that is raised; or NULL. */
extern void (*as_failure_hook)(AsFailure failure);

/* The same where auth_session.log_refusals is on. */
extern void (*as_failure_log)(AsFailure failure);

/*
 * Raises a failure; never returns. hint is a constant sentence, or NULL for
 * the failure's own. Never put user input or a secret into it.
 */
pg_noreturn extern void as_fail(AsFailure failure, const char *hint);

/*
 * Raises AS_THROTTLED or AS_BUSY; the hint is the seconds to wait, a bare
 * integer.
 */
pg_noreturn extern void as_fail_for_now(AsFailure failure, int seconds);

/*
 * Raises unless the library was preloaded: says what to set. Every function
 * calls it first.
 */
extern void as_require_preloaded(void);

/* ---- hook_name.c: the functions of the application's that settings name ---- */

#define AS_HOOKS         3
#define AS_HOOK_MAX_ARGS 4

/* The arguments that a hook gets, and the type it must return. */
typedef struct AsHookShape
{
	int count;
	Oid types[AS_HOOK_MAX_ARGS];
	Oid result;
	bool takes_nulls; /* an argument can be NULL: no STRICT function fits */
} AsHookShape;

extern const AsHookShape as_claims_hook_shape;
extern const AsHookShape as_password_hook_shape;
extern const AsHookShape as_signup_hook_shape;

typedef struct AsHook
{
	Oid function;
	Oid owner;
} AsHook;

/* The two parts of schema.function; false for any other text. */
extern bool as_hook_name_parse(const char *name, char **schema,
                               char **function);

/*
 * Finds the function of that name and shape: NULL, or what is wrong, a constant
 * sentence. In a transaction.
 */
extern const char *as_hook_find(const char *name, const AsHookShape *shape,
                                AsHook *hook);

/* ---- clock.c: times, as the standards count them ---- */

/* NumericDate of RFC 7519, rounded down; AS_NO_TIME is not for here. */
extern int64 as_unix_seconds(TimestampTz at);
extern TimestampTz as_from_unix_seconds(int64 seconds);
extern uint64 as_unix_milliseconds(TimestampTz at);

extern TimestampTz as_after_seconds(TimestampTz from, int64 seconds);

/* Whole seconds, which is what a token counts in; a month has 30 days. */
extern int64 as_interval_seconds(const Interval *interval);

/* Milliseconds by a clock that nobody can set, the same in all processes. */
extern int64 as_clock_ms(void);

/* ---- relation.c: tables and indexes by their names ---- */

/*
 * The relation's Oid, InvalidOid where it doesn't exist. table is a constant:
 * it is known again by its address.
 */
extern Oid as_store_relation(const char *table);

/* ---- distributed.c: whether this server holds a table's rows itself ---- */

/*
 * False where only a statement finds a table's rows: they are not all in its
 * own heap, since it is partitioned, of another access method, or Citus'.
 */
extern bool as_is_local(Oid relation);

/*
 * True where Citus has the tables, and other servers their rows: a lock on
 * anything but a row is then this server's alone. In a transaction.
 */
extern bool as_is_distributed(void);

/* ---- frame.c: the conditions under which the store works ---- */

#define AS_PLANNER_MEMBER(type, name, value) type name;

/* What is changed of the backend's state, to be put back. */
typedef struct AsFrame
{
	bool is_statement;
	bool is_distributed;
	bool waits_for_node; /* this one, of frames within each other */
	int isolation;
	Oid user;
	int security_context;
	int replication_role;
	int guc_level; /* 0: search_path was pinned already */
	int lock_timeout;
	MemoryContext callers;
	struct
	{
		AS_PLANNER_SETTINGS(AS_PLANNER_MEMBER)
	} planner;
} AsFrame;

/* The Oid of auth_session_owner; raises where the role is missing. */
extern Oid as_owner_role(void);

/*
 * Around a statement; and around what reads or locks a row without one, where
 * no code of anybody's runs: only lock_wait, and what becomes of errors.
 */
extern void as_frame_enter(AsFrame *frame, bool pin_search_path);
extern void as_frame_enter_direct(AsFrame *frame);
extern void as_frame_leave(const AsFrame *frame);

/*
 * In PG_CATCH: undoes the frame and throws on: AS_BUSY where a lock was not
 * had or the server can't do the work now (classes 53, 08, 57P0x) or a node is
 * not heard of for lock_wait and five seconds more, which the
 * log has once a minute; anything else as it was. Its level of settings is left
 * to the abort that follows.
 */
pg_noreturn extern void as_frame_fail(const AsFrame *frame);

/* ---- subtransaction.c: work that may fail, and leaves nothing then ---- */

/*
 * Runs work in a subtransaction: NULL, or the error that it ended with, in the
 * caller's memory, and then nothing of the work is left.
 */
extern ErrorData *as_subtransaction_run(void (*work)(void *argument),
                                        void *argument);

/* ---- store.c: kept plans, the only caller of SPI ---- */

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
	 * isolation levels.
	 */
	AS_WRITE
} AsAccess;

/* A constant statement, kept as a plan by each backend from its first use. */
typedef struct AsStatement
{
	const char *sql;
	AsAccess access;
	bool is_qualified;
	bool is_distributed; /* as the tables were when it was planned */
	SPIPlanPtr plan;
} AsStatement;

#define AS_READS(text)                    \
	{                                     \
		.sql = (text), .access = AS_READ, \
	}
#define AS_WRITES(text)                    \
	{                                      \
		.sql = (text), .access = AS_WRITE, \
	}

/*
 * One whose every name and operator is schema-qualified. It means the same
 * under any search_path, so it runs under the caller's: for what is run so
 * often that pinning the path would be felt.
 */
#define AS_READS_QUALIFIED(text)                                \
	{                                                           \
		.sql = (text), .access = AS_READ, .is_qualified = true, \
	}

/* AS_NO_TIME is SQL NULL, in both directions. */
#define AS_NO_TIME DT_NOBEGIN

/* One parameter. */
typedef struct AsArg
{
	Oid type;
	Datum value;
	bool is_null;
} AsArg;

/* Of a value; a NULL pointer is SQL NULL. What they allocate is the caller's.
 */
extern AsArg as_arg_uuid(const AsUuid *uuid);
extern AsArg as_arg_uuids(const AsUuid *uuids, int count);
extern AsArg as_arg_text(const char *text);

/* An address as text, which must be one. */
extern AsArg as_arg_inet(const char *address);
extern AsArg as_arg_texts(const AsTexts *texts);
extern AsArg as_arg_bytes(const void *bytes, size_t length);
extern AsArg as_arg_int(int32 value);
extern AsArg as_arg_int8(int64 value);
extern AsArg as_arg_bool(bool value);
extern AsArg as_arg_jsonb(const Jsonb *value);
extern AsArg as_arg_date(TimestampTz utc_day_of);
extern AsArg as_arg_time(TimestampTz value);
/* Any other value, e.g. an array that the caller was given. */
extern AsArg as_arg_datum(Oid type, Datum value);

/* The parameters of one execution, in the order of $1, $2, ... */
typedef struct AsArgs
{
	int count;
	const AsArg *values;
} AsArgs;

#define AS_STORE_MAX_ARGS 24

#define AS_ARGS(...)                                                \
	((AsArgs){sizeof((const AsArg[]){__VA_ARGS__}) / sizeof(AsArg), \
	          (const AsArg[]){__VA_ARGS__}})
#define AS_NO_ARGS ((AsArgs){0, NULL})

/* How a column becomes a member of a struct. */
typedef enum AsColumnType
{
	AS_COLUMN_UUID,  /* AsUuid; all zeros for NULL */
	AS_COLUMN_TEXT,  /* char *; NULL for NULL */
	AS_COLUMN_CHARS, /* char[size]; "" for NULL, and for what is longer */
	AS_COLUMN_TEXTS, /* AsTexts, of a text[] */
	AS_COLUMN_NAME,  /* an enum: the index in names of a text */
	AS_COLUMN_INT,   /* int32; 0 for NULL, as the next */
	AS_COLUMN_INT8,  /* int64 */
	AS_COLUMN_BOOL,  /* bool; false for NULL */
	AS_COLUMN_TIME,  /* TimestampTz; AS_NO_TIME for NULL */
	AS_COLUMN_JSONB, /* Jsonb *; NULL for NULL */
	AS_COLUMN_BYTES, /* AsBytes; none for NULL */
	AS_COLUMN_FIXED, /* uint8[size]; zeros for NULL, and another length */
	AS_COLUMN_PLACE  /* ItemPointerData, of ctid */
} AsColumnType;

typedef struct AsColumn
{
	const char *name; /* in the result; asserted in an assert build */
	AsColumnType type;
	size_t offset;
	size_t size;              /* AS_COLUMN_CHARS, AS_COLUMN_FIXED */
	const char *const *names; /* AS_COLUMN_NAME; NULL at the end */
} AsColumn;

/*
 * A column that becomes the member of its name; one of another name; one
 * whose texts are names; and the only column, which becomes the whole.
 */
#define AS_COLUMN(of, kind, member) AS_COLUMN_AS(#member, of, kind, member)
#define AS_COLUMN_AS(column, of, kind, member)                                 \
	{                                                                          \
		.name = (column), .type = AS_COLUMN_##kind,                            \
		.offset = offsetof(of, member), .size = sizeof(((of *) NULL)->member), \
	}
#define AS_COLUMN_NAMED(of, member, all)                \
	{                                                   \
		.name = #member, .type = AS_COLUMN_NAME,        \
		.offset = offsetof(of, member), .names = (all), \
	}
#define AS_COLUMN_ONLY(column, kind)                \
	{                                               \
		.name = (column), .type = AS_COLUMN_##kind, \
	}

/* The struct that a statement's rows become, its columns in their order. */
typedef struct AsShape
{
	size_t size;
	int count;
	const AsColumn *columns;
} AsShape;

#define AS_SHAPE(type, columns)                    \
	{                                              \
		sizeof(type), lengthof(columns), (columns) \
	}

/*
 * column.c: the value of a column into its member, which is all zeros before.
 * What it points to is allocated in the current memory context.
 */
extern void as_column_read(const AsColumn *column, Datum value, bool is_null,
                           char *member);

/*
 * Each runs a statement as auth_session_owner with the pinned search_path; a
 * lock not had within auth_session.lock_wait, or a deadlock, raises AS_BUSY.
 * What rows hold is allocated in the caller's memory context.
 */

/* The number of rows that were found, or changed. */
extern uint64 as_store_run(AsStatement *statement, AsArgs args);

/*
 * The same for a write that a unique index may refuse: false then, and nothing
 * of the statement stays. It waits for whoever is about to have the value, as
 * any write waits for a lock.
 */
extern bool as_store_try(AsStatement *statement, AsArgs args, uint64 *changed);

/* Reads the first row into a struct, which stays as it is without one. */
extern bool as_store_find(AsStatement *statement, const AsShape *shape,
                          void *into, AsArgs args);

/* The jsonb kept, the only column of the first row; NULL for none. */
extern Jsonb *as_store_jsonb(AsStatement *statement, AsArgs args);

/* Reads all rows into an array of structs, and answers how many. */
extern int as_store_list(AsStatement *statement, const AsShape *shape,
                         void *rows, AsArgs args);

/* Calls visit per row as it is, for what is handed on to SQL. */
typedef void (*AsTupleVisit)(HeapTuple tuple, TupleDesc descriptor, void *into);
extern uint64 as_store_each(AsStatement *statement, AsTupleVisit visit,
                            void *into, AsArgs args);

typedef enum AsLocked
{
	AS_LOCKED,
	AS_HELD,  /* by somebody else's transaction */
	AS_ABSENT /* there is no such row now */
} AsLocked;

/*
 * Locks the newest version of the row with a key of one or two uuids (second
 * NULL), FOR UPDATE or else FOR KEY SHARE, until the transaction ends; waits
 * for nobody. Without the executor, as as_row_probe; of a table that is local.
 * Says in place (NULL: not wanted) where a row is that it locked.
 */
extern AsLocked as_store_try_lock(const char *table, const char *primary_key,
                                  const AsUuid *first, const AsUuid *second,
                                  bool for_update, ItemPointer place);

/*
 * The same by statements, for a table that is not local: lock selects the row
 * FOR ... SKIP LOCKED, look selects it alone.
 */
extern AsLocked as_store_lock_by(AsStatement *lock, AsStatement *look,
                                 AsArgs key);

/*
 * Takes an exclusive lock on a value that need not have a row yet, until the
 * transaction ends: table is a relation of auth_private, key any number. The
 * first in the lock order, before any account. AS_BUSY after lock_wait. Only
 * callers of this server heed it, where tables are distributed.
 */
extern void as_store_lock_value(const char *table, uint32 key);

/*
 * The commit of this transaction waits for its local flush, whatever
 * synchronous_commit the caller set, before or after.
 */
extern void as_store_make_durable(void);

/* ---- shards.c: statements over all users ---- */

/*
 * as_store_run for a statement that deletes rows of any users from one table,
 * named as it is in the statement ("auth_private.codes"), with times, dates and
 * numbers only. Where that is distributed, each shard runs it, so that what
 * bounds a batch bounds it for each; it is committed at once.
 */
extern uint64 as_shards_run(AsStatement *statement, const char *table,
                            AsArgs args);

/* ---- row.c: one row by its primary key, or a new one, without a statement ---- */

/* A column of a row, and the value that it is to have. */
typedef struct AsNewValue
{
	const char *column;
	AsArg value;
} AsNewValue;

#define AS_ROW_MAX_NEW 8

/*
 * What is to become of a row as it is now: writes the new values, and answers
 * how many; 0 leaves it alone. row is that of as_row_revise. Called again with
 * a newer version where somebody else was quicker.
 */
typedef int (*AsRowRevise)(void *row, AsNewValue values[AS_ROW_MAX_NEW],
                           const void *context);

typedef enum AsRevised
{
	AS_REVISED,
	AS_UNFIT,       /* the row was left alone, or deleted meanwhile */
	AS_BY_STATEMENT /* nothing was done: only a statement can say */
} AsRevised;

/*
 * Changes the newest version of the row with a key of two uuids, as an UPDATE
 * at READ COMMITTED does that has the condition of revise; waits for whoever
 * holds the row, lock_wait at most (AS_BUSY). shape says what revise wants to
 * read, by the names of the columns, into row; NULL: nothing. Columns of the
 * key must not be among the new values.
 */
extern AsRevised as_row_revise(const char *table, const char *primary_key,
                               const AsUuid *first, const AsUuid *second,
                               const AsShape *shape, void *row,
                               AsRowRevise revise, const void *context);

/*
 * Inserts a row of these values, NULL for every other column; false where
 * nothing was done, since only a statement may. A unique index refuses it as it
 * does a statement.
 */
extern bool as_row_insert(const char *table, const AsNewValue *values,
                          int count);

/*
 * A key of two uuids, and where the row was seen to be, all zeros where that
 * isn't known. It is looked for there first, and if it is not there by its key.
 */
typedef struct AsRowKey
{
	AsUuid first;
	AsUuid second;
	ItemPointerData place;
} AsRowKey;

#define AS_NOT_DELETED (-1)

/*
 * Deletes the newest versions of rows with these keys, which differ, likewise;
 * says how many there were, or AS_NOT_DELETED: only a statement may. No row may
 * point to them but of child (NULL: none), and the caller must know that of
 * child none does: what a foreign key has to do there is not done.
 */
extern int as_row_delete(const char *table, const char *primary_key,
                         const AsRowKey *keys, int count, const char *child);

/*
 * Reads the row with one uuid as its key, as AS_READ sees it. AS_ROW_ELSEWHERE
 * where this server holds no row of the table: a statement has to look, then.
 */
typedef enum AsRowFound
{
	AS_ROW_FOUND,
	AS_ROW_ABSENT,
	AS_ROW_ELSEWHERE
} AsRowFound;

extern AsRowFound as_row_find(const char *table, const char *primary_key,
                              const AsUuid *key, const AsShape *shape,
                              void *row);

/* ---- row_lookup.c: a row by the index of its primary key ---- */

/* What a look-up holds until it ends. */
typedef struct AsRowLookup
{
	Relation relation;
	SysScanDesc scan;
	Buffer buffer;         /* InvalidBuffer: the scan has the version */
	HeapTupleData version; /* in the buffer */
	bool is_short_of_room; /* for a newer version in the same page */
} AsRowLookup;

/*
 * Begins one, and answers the version that the snapshot sees of the row with a
 * key of one or two uuids (second NULL); NULL where it sees none. Of a table
 * that is local. The version is valid until the look-up ends, which it must in
 * either case; a failure ends it.
 */
extern HeapTuple as_row_lookup_begin(AsRowLookup *lookup, Relation relation,
                                     Snapshot snapshot, const char *primary_key,
                                     const AsUuid *first, const AsUuid *second);
extern void as_row_lookup_end(AsRowLookup *lookup);

/* ---- row_probe.c: whether a row is there ---- */

/*
 * Reads the row at a place of a table whose first two columns are uuids and its
 * key, if it is there with this key and the snapshot sees it. The buffer is the
 * caller's to release then; the tuple is in it.
 */
extern bool as_row_read_at(Relation relation, Snapshot snapshot,
                           const ItemPointerData *place, const AsUuid *first,
                           const AsUuid *second, HeapTuple tuple,
                           Buffer *buffer);

/*
 * Looks for the row with two uuids as its primary key, in a table of
 * auth_private whose first three columns are uuids and the first two its key,
 * and copies the third. As AS_READ sees it, but without the executor, and where
 * it was found before without the index; only among the rows that this server
 * holds itself, so false must mean no more than "look properly". The last four
 * bytes of second are to be random.
 */
extern bool as_row_probe(const char *table, const char *primary_key,
                         const AsUuid *first, const AsUuid *second,
                         AsUuid *third);

/* ---- finding.c: what an operator should know of, gathered ---- */

/* What was found, what may come of it, and what to do: a sentence or two each. */
typedef struct AsFinding
{
	char *finding;
	char *risk;
	char *cure;
} AsFinding;

/* In the order in which they were added; all zeros to begin with. */
typedef struct AsFindings
{
	List *list; /* of AsFinding, in the memory of whoever adds */
} AsFindings;

/* Adds one; copies the texts. */
extern void as_finding_add(AsFindings *findings, const char *finding,
                           const char *risk, const char *cure);

/* Adds those that a statement answers with: columns finding, risk, cure. */
extern void as_finding_select(AsFindings *findings, AsStatement *check,
                              AsArgs args);

/* ---- installed.c: the extension as the catalog has it ---- */

/*
 * The version that CREATE or ALTER EXTENSION has installed in this database,
 * in the caller's memory; NULL where there is none.
 */
extern char *as_installed_version(void);

/* ---- watch.c: whether a table has changed ---- */

typedef enum AsWatched
{
	AS_WATCH_SIGNING_KEYS,
	AS_WATCH_MAC_KEYS,
	AS_WATCH_REVOCATIONS
} AsWatched;

/*
 * The version of a table, never 0, which changes with it. What is read after
 * this was called holds as long as it answers the same.
 */
extern uint64 as_watch_version(AsWatched which);

/*
 * For the triggers on these tables: when this transaction commits, every
 * backend of the database, and of its standbys, sees another version; this
 * one at its next command. Goes by the tables' names, so that whatever
 * relation the trigger fired on, it is theirs that are invalidated.
 */
extern void as_watch_changed(void);

/* ---- json_writer.c: small JSON objects ---- */

/*
 * Members between begin and end; a NULL text is left out. Nothing of a name
 * needs escaping.
 */
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

/*
 * Whether its text has at most so many bytes. The text of what is longer is not
 * made, which could be ten thousand times what the caller sent.
 */
extern bool as_jsonb_prints_within(Jsonb *value, size_t most);

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
