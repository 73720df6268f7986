/*
 * api_key.c: auth.create_api_key, auth.api_keys and auth.delete_api_key.
 *
 * A key lasts longer than a session and asks for no second factor, so making
 * one asks for a sign-in of the last ten minutes, with the second factor where
 * there is one, and the user is told.
 *
 * It is made with the account held, until the commit. Only then the session is
 * looked at again: whoever ended it before has ended what it could still make,
 * and whoever does from then on ends the key, too (epoch.c).
 */
#include "entry/entry.h"

#include "funcapi.h"

AS_ENTRY(auth_create_api_key);
AS_ENTRY(auth_api_keys);
AS_ENTRY(auth_delete_api_key);

#define NAME_MAX_BYTES  256
#define SCOPES_MOST     32
#define SCOPE_MAX_CHARS 64

/* The longest life that can be asked for: seconds. */
#define EXPIRES_IN_MOST (INT64_C(10) * 365 * SECS_PER_DAY)

/* ---- create_api_key ---- */

typedef struct Create
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
	AsOwner owner;
	AsNewApiKey key;
	char text[AS_API_KEY_CHARS + 1];
} Create;

/* What can be shown as it is: no control or invisible character. */
static AsFailure
read_name(Create *create)
{
	AsText text;
	char *shown;

	if (!as_call_text(create->fcinfo, 0, NAME_MAX_BYTES, &text) ||
	    text.bytes == NULL || strspn(text.bytes, " ") == text.length ||
	    (shown = as_display_text(text.bytes, text.length, NAME_MAX_BYTES)) ==
	        NULL ||
	    strcmp(shown, text.bytes) != 0 ||
	    (create->key.name = as_text_from_utf8(shown, text.length)) == NULL)
		return as_attempt_tell(&create->attempt, AS_INVALID_REQUEST,
		                       "The name is missing, longer than 256 bytes, or "
		                       "has characters that can't be seen.");
	return AS_OK;
}

/* RFC 6749 section 3.3: scope-token. */
static bool
is_scope(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if (*text <= ' ' || *text >= 0x7f || *text == '"' || *text == '\\')
			return false;
	return true;
}

static AsFailure
read_scopes(Create *create)
{
	AsTexts *scopes = &create->key.scopes;
	bool is_sound =
	    as_call_texts(create->fcinfo, 1, SCOPES_MOST, SCOPE_MAX_CHARS, scopes);

	for (int i = 0; is_sound && i < scopes->count; i++)
		is_sound = is_scope(scopes->items[i]);
	return is_sound ? AS_OK
	                : as_attempt_tell(
	                      &create->attempt, AS_INVALID_REQUEST,
	                      "The scopes are more than 32, or one is not of 1 to "
	                      "64 printing characters of ASCII without a blank, "
	                      "quote or backslash.");
}

/* How long it lives, in seconds; 0 for ever. */
static AsFailure
read_life(Create *create, int64 *life)
{
	FunctionCallInfo fcinfo = create->fcinfo;
	int64 most = auth_session_api_key_max_age;

	*life = most;
	if (PG_ARGISNULL(2))
		return AS_OK;
	*life = as_interval_seconds(PG_GETARG_INTERVAL_P(2));
	if (*life < 1 || *life > (most > 0 ? most : EXPIRES_IN_MOST))
		return as_attempt_tell(&create->attempt, AS_INVALID_REQUEST,
		                       "The key would expire at once, or later than it "
		                       "may.");
	return AS_OK;
}

/* The role of the token in hand; NULL where this database can't write it. */
static char *
own_role(void)
{
	const char *role = as_context_live()->token->claims.role;

	return as_text_from_utf8(role, strlen(role));
}

/*
 * What no operator has listed is for whom it is in the token: where a claims
 * hook gives some users a role that may less than authenticated_role, a key is
 * no way around it.
 */
static bool
may_have_role(const char *role)
{
	const char *own = own_role();

	return as_setting_lists(auth_session_api_key_roles, role) ||
	       (own != NULL && strcmp(own, auth_session_authenticated_role) == 0 &&
	        strcmp(role, own) == 0);
}

/* The token's own where none is named; stored is what isn't the usual one. */
static AsFailure
read_role(Create *create)
{
	char *role = own_role();
	AsText text;
	bool is_sound = as_call_text(create->fcinfo, 3, AS_ROLE_MAX, &text);

	if (is_sound && text.bytes != NULL)
		role = as_text_from_utf8(text.bytes, text.length);
	if (!is_sound || role == NULL || !may_have_role(role))
		return as_attempt_tell(&create->attempt, AS_INVALID_REQUEST,
		                       "No API key can have this role.");
	if (text.bytes != NULL ||
	    strcmp(role, auth_session_authenticated_role) != 0)
		create->key.role = role;
	return AS_OK;
}

/* One message each: no more of them than if all keys were replaced, twice. */
static AsFailure
charge(Create *create)
{
	struct
	{
		char mark;
		uint8 user_id[16];
	} key = {.mark = 'k'};

	memcpy(key.user_id, create->owner.account.id.bytes, sizeof(key.user_id));
	return as_attempt_charge(
	    &create->attempt, AS_LIMIT_MESSAGE_IDENTIFIER, &key, sizeof(key),
	    2 * auth_session_max_api_keys_per_user, auth_session_rate_window);
}

/*
 * Of the user that was looked at, and of his session, as they are with the
 * account held.
 */
static AsFailure
lock_account(Create *create, const AsContext *context)
{
	AsAccount *account = &create->owner.account;
	AsUuid id = account->id;
	bool is_strong = strcmp(context->token->claims.aal, "aal2") == 0;
	AsUuid session_id = context->session_id;
	AsUuid jti = context->jti;
	AsFailure outcome;

	if (!as_account_lock(&id, AS_ACCOUNT_EXCLUSIVE, account) ||
	    !as_account_find_in_force(&id, account))
		return AS_SESSION_REVOKED;
	create->key.user_id = id;
	create->key.key_epoch = account->key_epoch;
	outcome = as_session_check(&id, &session_id, &jti, GetCurrentTimestamp());
	if (outcome == AS_OK && !is_strong && as_factor_is_on(&id))
		outcome =
		    as_attempt_tell(&create->attempt, AS_REAUTHENTICATION_REQUIRED,
		                    "Call reauthenticate with a code of the second "
		                    "factor.");
	return outcome;
}

static void
tell(const Create *create)
{
	const AsNewApiKey *key = &create->key;
	AsOrigin origin = as_request_origin();
	StringInfoData json;

	as_json_begin(&json);
	as_json_text(&json, "name", key->name);
	as_json_text(&json, "ip", origin.address);
	as_json_text(&json, "user_agent", origin.user_agent);
	as_json_time(&json, "at", key->created_at);
	if (key->expires_at != AS_NO_TIME)
		as_json_time(&json, "expires_at", key->expires_at);
	as_json_end(&json);
	as_message_tell(&create->owner.account, "api_key_created", json.data);
}

/* For the audit log: which key. */
static const char *
remark_of(const AsUuid *id)
{
	StringInfoData json;

	as_json_begin(&json);
	as_json_uuid(&json, "api_key_id", id);
	as_json_end(&json);
	return json.data;
}

/* After the lock, so that the time is behind the transaction's id. */
static void
make(Create *create, int64 life)
{
	AsNewApiKey *row = &create->key;
	AsApiKey key;
	AsMacKey tag_key;

	row->created_at = GetCurrentTimestamp();
	row->expires_at =
	    life > 0 ? as_after_seconds(row->created_at, life) : AS_NO_TIME;
	row->id = as_uuid_ordered(as_unix_milliseconds(row->created_at));
	as_api_key_make(&row->user_id, &row->id, &key);
	as_api_key_digest(&key, &row->digest);
	(void) as_mac_key(AS_MAC_API_KEY, true, &tag_key);
	as_api_key_print(&key, &tag_key, create->text);
	as_wipe(&tag_key, sizeof(tag_key));
	as_wipe(&key, sizeof(key));
	as_api_key_insert(row);
	create->attempt.remark = remark_of(&row->id);
}

static AsFailure
create_api_key(void *flow)
{
	Create *create = flow;
	AsAttempt *attempt = &create->attempt;
	const AsUuid *id = &create->owner.account.id;
	AsFailure outcome;
	int64 life;

	if ((outcome = as_owner_find(attempt, &create->owner)) != AS_OK)
		return outcome;
	if (!auth_session_api_keys)
		return AS_FEATURE_DISABLED;
	if ((outcome = as_owner_require_recent()) != AS_OK ||
	    (outcome = read_name(create)) != AS_OK ||
	    (outcome = read_scopes(create)) != AS_OK ||
	    (outcome = read_life(create, &life)) != AS_OK ||
	    (outcome = read_role(create)) != AS_OK ||
	    (outcome = lock_account(create, as_context_live())) != AS_OK)
		return outcome;
	as_api_key_delete_expired(id);
	if (as_api_key_count(id) >= auth_session_max_api_keys_per_user)
		return as_attempt_tell(attempt, AS_LIMIT_REACHED,
		                       "Delete an API key first.");
	if ((outcome = charge(create)) != AS_OK)
		return outcome;
	make(create, life);
	tell(create);
	return AS_OK;
}

Datum
auth_create_api_key(PG_FUNCTION_ARGS)
{
	Create create = {.fcinfo = fcinfo};

	as_attempt_run(&create.attempt, "create_api_key", create_api_key, &create);
	PG_RETURN_DATUM(as_answer_api_key(fcinfo, &create.key, create.text));
}

/* ---- api_keys ---- */

Datum
auth_api_keys(PG_FUNCTION_ARGS)
{
	AsUuid user_id;

	as_call_enter(AS_CALL_READS);
	user_id = as_context_require()->user_id;
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	as_api_key_each(&user_id, as_answer_row, fcinfo->resultinfo);
	return (Datum) 0;
}

/* ---- delete_api_key ---- */

typedef struct Delete
{
	FunctionCallInfo fcinfo;
	AsAttempt attempt;
} Delete;

static AsFailure
delete_api_key(void *flow)
{
	Delete *delete = flow;
	AsAttempt *attempt = &delete->attempt;
	AsFailure outcome = as_owner_require(attempt);
	AsUuid id;

	if (outcome != AS_OK)
		return outcome;
	if (!as_call_uuid(delete->fcinfo, 0, &id))
		return as_attempt_tell(attempt, AS_INVALID_REQUEST, "Give the id.");
	if (!as_api_key_end(&attempt->event.user_id, &id))
		return AS_API_KEY_NOT_FOUND;
	attempt->remark = remark_of(&id);
	return AS_OK;
}

Datum
auth_delete_api_key(PG_FUNCTION_ARGS)
{
	Delete delete = {.fcinfo = fcinfo};

	as_attempt_run(&delete.attempt, "delete_api_key", delete_api_key, &delete);
	PG_RETURN_VOID();
}
