/*
 * code.c: one-time codes, in auth_private.codes.
 *
 * A row stands for a short code and a link token at once; both are derived
 * from its random id (one_time_code.c), so there is nothing in it to read.
 * It is bound to a user, a purpose and an identifier, and of those for the same
 * the newest that is committed counts, for links too. A new one is only added:
 * anybody can ask for a code for anybody, and must not be able to take a good
 * one away, or keep it, by leaving a transaction open. Using it deletes it;
 * the rest goes when its time is over, mostly as soon as a newer one counts.
 */
#include "table/table.h"

#define CODE_COLUMNS \
	"user_id, id, purpose, identifier, code_expires_at, link_expires_at"

static AsStatement insert =
    AS_WRITES("INSERT INTO auth_private.codes"
              "       (user_id, id, purpose, identifier, created_at,"
              "        code_expires_at, link_expires_at)"
              " VALUES ($1, $2, $3, $4, $5, $6, $7)");

static AsStatement select_one = AS_READS(
    "SELECT " CODE_COLUMNS " FROM auth_private.codes AS code"
    " WHERE user_id = $1 AND id = $2 AND link_expires_at > $3"
    "   AND NOT " AS_MADE_BEFORE(
        "code.created_at") " AND NOT EXISTS ("
                           "       SELECT FROM auth_private.codes AS newer"
                           "        WHERE newer.user_id = $1 AND newer.purpose "
                           "= code.purpose"
                           "          AND newer.identifier = code.identifier"
                           "          AND (newer.created_at, newer.id) > "
                           "(code.created_at, code.id))");

static AsStatement select_for =
    AS_READS("SELECT " CODE_COLUMNS " FROM ("
             "       SELECT * FROM auth_private.codes"
             "        WHERE user_id = $1 AND purpose = $2 AND identifier = $3"
             "        ORDER BY created_at DESC, id DESC LIMIT 1) AS newest"
             " WHERE link_expires_at > $4"
             "   AND NOT " AS_MADE_BEFORE("newest.created_at"));

static AsStatement select_live =
    AS_READS("SELECT FROM auth_private.codes"
             " WHERE user_id = $1 AND link_expires_at > $2 LIMIT 1");

static AsStatement select_live_for =
    AS_READS("SELECT FROM auth_private.codes"
             " WHERE user_id = $1 AND purpose = $2 AND link_expires_at > $3"
             " LIMIT 1");

static AsStatement delete_one =
    AS_WRITES("DELETE FROM auth_private.codes WHERE user_id = $1 AND id = $2");

static AsStatement delete_for =
    AS_WRITES("DELETE FROM auth_private.codes"
              " WHERE user_id = $1 AND purpose = $2 AND identifier = $3");

static AsStatement delete_of_purpose =
    AS_WRITES("DELETE FROM auth_private.codes"
              " WHERE user_id = $1 AND purpose = $2");

/* But one that is being used at this moment: nobody is waited for. */
static AsStatement lock_until =
    AS_WRITES("SELECT id FROM auth_private.codes"
              " WHERE user_id = $1 AND created_at <= $2"
              "   FOR UPDATE SKIP LOCKED");

/* As lock_until, and not what confirms a sign-up. */
static AsStatement lock_but_confirmations =
    AS_WRITES("SELECT id FROM auth_private.codes"
              " WHERE user_id = $1"
              "   AND purpose NOT IN ('confirm_email', 'confirm_phone')"
              "   FOR UPDATE SKIP LOCKED");

static AsStatement delete_locked =
    AS_WRITES("DELETE FROM auth_private.codes"
              " WHERE user_id = $1 AND id = ANY ($2)");

static AsStatement prune =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.codes"
              "      WHERE link_expires_at <= $1"
              "      ORDER BY link_expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.codes"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

static AsStatement export = AS_EXPORTS(
    "purpose, identifier, created_at, code_expires_at, link_expires_at",
    "codes WHERE user_id = $1", "created_at DESC");

/*
 * Behind the codes of the last hour, by the index that prune has anyway: a code
 * is hardly ever followed by another later, and then goes in its time.
 */
static AsStatement prune_older =
    AS_WRITES("WITH recent AS MATERIALIZED ("
              "     SELECT user_id, purpose, identifier, created_at, id"
              "       FROM auth_private.codes WHERE link_expires_at > $1"
              "      ORDER BY link_expires_at DESC LIMIT $2),"
              " batch AS MATERIALIZED ("
              "     SELECT code.user_id, code.id"
              "       FROM recent JOIN auth_private.codes AS code"
              "            USING (user_id, purpose, identifier)"
              "      WHERE (code.created_at, code.id)"
              "            < (recent.created_at, recent.id)"
              "      LIMIT $2 FOR UPDATE OF code SKIP LOCKED)"
              " DELETE FROM auth_private.codes"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

static AsStatement delete_made_before =
    AS_WRITES("WITH batch AS MATERIALIZED ("
              "     SELECT user_id, id FROM auth_private.codes"
              "      WHERE created_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)"
              " DELETE FROM auth_private.codes"
              "  WHERE (user_id, id) IN (SELECT user_id, id FROM batch)");

static AsStatement select_made_before =
    AS_READS("SELECT FROM auth_private.codes WHERE created_at < $1 LIMIT 1");

static const char *const purpose_names[] = {
    [AS_PURPOSE_CONFIRM_EMAIL] = "confirm_email",
    [AS_PURPOSE_CONFIRM_PHONE] = "confirm_phone",
    [AS_PURPOSE_EMAIL_CHANGE] = "email_change",
    [AS_PURPOSE_PHONE_CHANGE] = "phone_change",
    [AS_PURPOSE_PASSWORD_RESET] = "password_reset",
    [AS_PURPOSE_SIGNIN_CODE] = "signin_code",
    [AS_PURPOSE_INVITATION] = "invitation",
    NULL,
};

static const AsColumn code_columns[] = {
    AS_COLUMN(AsCode, UUID, user_id),
    AS_COLUMN(AsCode, UUID, id),
    AS_COLUMN_NAMED(AsCode, purpose, purpose_names),
    AS_COLUMN(AsCode, TEXT, identifier),
    AS_COLUMN(AsCode, TIME, code_expires_at),
    AS_COLUMN(AsCode, TIME, link_expires_at),
};
static const AsColumn id_columns[] = {
    AS_COLUMN_ONLY("id", UUID),
};
static const AsShape id_shape = AS_SHAPE(AsUuid, id_columns);
static const AsShape code_shape = AS_SHAPE(AsCode, code_columns);

const char *
as_purpose_name(AsPurpose purpose)
{
	return purpose_names[purpose];
}

/* A phone hears the same of its code, whatever account it is to be of. */
const char *
as_purpose_kind(AsPurpose purpose)
{
	return purpose == AS_PURPOSE_PHONE_CHANGE
	           ? purpose_names[AS_PURPOSE_CONFIRM_PHONE]
	           : purpose_names[purpose];
}

/* What gives an account away by itself is good for less long. */
static int
link_ttl_of(AsPurpose purpose)
{
	return purpose == AS_PURPOSE_PASSWORD_RESET ||
	               purpose == AS_PURPOSE_SIGNIN_CODE
	           ? auth_session_reset_link_ttl
	           : auth_session_link_ttl;
}

void
as_code_issue(const AsUuid *user_id, AsPurpose purpose, const char *identifier,
              AsCode *code)
{
	TimestampTz now = GetCurrentTimestamp();

	code->user_id = *user_id;
	code->id = as_uuid_random();
	code->purpose = purpose;
	code->identifier = pstrdup(identifier);
	code->code_expires_at = as_after_seconds(now, auth_session_code_ttl);
	code->link_expires_at = as_after_seconds(now, link_ttl_of(purpose));
	(void) as_store_run(
	    &insert,
	    AS_ARGS(as_arg_uuid(&code->user_id), as_arg_uuid(&code->id),
	            as_arg_text(purpose_names[purpose]), as_arg_text(identifier),
	            as_arg_time(now), as_arg_time(code->code_expires_at),
	            as_arg_time(code->link_expires_at)));
}

bool
as_code_find(const AsUuid *user_id, const AsUuid *id, AsCode *code)
{
	return as_store_find(&select_one, &code_shape, code,
	                     AS_ARGS(as_arg_uuid(user_id), as_arg_uuid(id),
	                             as_arg_time(GetCurrentTimestamp())));
}

bool
as_code_find_for(const AsUuid *user_id, AsPurpose purpose,
                 const char *identifier, AsCode *code)
{
	return as_store_find(
	    &select_for, &code_shape, code,
	    AS_ARGS(as_arg_uuid(user_id), as_arg_text(purpose_names[purpose]),
	            as_arg_text(identifier), as_arg_time(GetCurrentTimestamp())));
}

bool
as_code_is_live(const AsUuid *user_id, TimestampTz now)
{
	return as_store_run(&select_live,
	                    AS_ARGS(as_arg_uuid(user_id), as_arg_time(now))) > 0;
}

bool
as_code_is_live_for(const AsUuid *user_id, AsPurpose purpose, TimestampTz now)
{
	return as_store_run(&select_live_for,
	                    AS_ARGS(as_arg_uuid(user_id),
	                            as_arg_text(purpose_names[purpose]),
	                            as_arg_time(now))) > 0;
}

bool
as_code_consume(const AsCode *code)
{
	return as_store_run(&delete_one, AS_ARGS(as_arg_uuid(&code->user_id),
	                                         as_arg_uuid(&code->id))) > 0;
}

void
as_code_drop(const AsUuid *user_id, AsPurpose purpose, const char *identifier)
{
	(void) as_store_run(&delete_for,
	                    AS_ARGS(as_arg_uuid(user_id),
	                            as_arg_text(purpose_names[purpose]),
	                            as_arg_text(identifier)));
}

void
as_code_drop_purpose(const AsUuid *user_id, AsPurpose purpose)
{
	(void) as_store_run(
	    &delete_of_purpose,
	    AS_ARGS(as_arg_uuid(user_id), as_arg_text(purpose_names[purpose])));
}

void
as_code_drop_all(const AsUuid *user_id)
{
	as_code_drop_until(user_id, DT_NOEND);
}

static void
drop_locked(const AsUuid *user_id, AsStatement *lock, AsArgs args)
{
	AsUuid *ids;
	int count = as_store_list(lock, &id_shape, &ids, args);

	if (count > 0)
		(void) as_store_run(&delete_locked, AS_ARGS(as_arg_uuid(user_id),
		                                            as_arg_uuids(ids, count)));
}

void
as_code_drop_until(const AsUuid *user_id, TimestampTz at)
{
	drop_locked(user_id, &lock_until,
	            AS_ARGS(as_arg_uuid(user_id), as_arg_time(at)));
}

void
as_code_drop_but_confirmations(const AsUuid *user_id)
{
	drop_locked(user_id, &lock_but_confirmations,
	            AS_ARGS(as_arg_uuid(user_id)));
}

int
as_code_prune(TimestampTz now, int batch)
{
	TimestampTz an_hour_ago =
	    as_after_seconds(now, auth_session_link_ttl - SECS_PER_HOUR);

	return (int) (as_shards_run(&prune, "auth_private.codes",
	                            AS_ARGS(as_arg_time(now), as_arg_int(batch))) +
	              as_shards_run(
	                  &prune_older, "auth_private.codes",
	                  AS_ARGS(as_arg_time(an_hour_ago), as_arg_int(batch))));
}

Jsonb *
as_code_export(const AsUuid *user_id)
{
	return as_store_jsonb(
	    &export, AS_ARGS(as_arg_uuid(user_id), as_arg_int(AS_EXPORT_MOST)));
}

int
as_code_delete_made_before(TimestampTz made_before, int batch)
{
	return (int) as_shards_run(
	    &delete_made_before, "auth_private.codes",
	    AS_ARGS(as_arg_time(made_before), as_arg_int(batch)));
}

bool
as_code_is_made_before(TimestampTz made_before)
{
	return as_store_run(&select_made_before,
	                    AS_ARGS(as_arg_time(made_before))) > 0;
}
