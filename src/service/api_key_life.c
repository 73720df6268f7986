/*
 * api_key_life.c: how an API key is known, what it may do, and how it ends.
 *
 * A key says whose it is and which, under a tag that is looked at first. Then
 * its row decides, at this moment: whatever ends keys is seen by the next
 * statement of any backend, and of a standby that has replayed it. Once the
 * secret was compared, a transaction keeps a handle in its place, which is
 * nobody's to have and leaves no secret behind.
 *
 * Ending one waits for nobody: where somebody holds its row, a row of
 * revocations is appended, as for a session.
 */
#include "service/service.h"

/* What last_used_at is right to: seconds. */
#define USE_STEP 3600

AsFailure
as_api_key_check(const AsUuid *user_id, const AsUuid *id, AsApiKeyRow *row)
{
	if (!auth_session_api_keys)
		return AS_FEATURE_DISABLED;
	if (!as_api_key_find(user_id, id, as_revocation_may_decide(user_id), row))
		return AS_INVALID_TOKEN;
	if (row->expires_at != AS_NO_TIME &&
	    row->expires_at <= GetCurrentTimestamp())
		return AS_INVALID_TOKEN;
	/* An operator may have taken it from the list since. */
	if (row->role != NULL && !as_api_key_may_have_role(row->role))
		return AS_INVALID_TOKEN;
	return AS_OK;
}

bool
as_api_key_may_have_role(const char *role)
{
	return strcmp(role, auth_session_authenticated_role) == 0 ||
	       as_setting_lists(auth_session_api_key_roles, role);
}

/* ---- from a key to its handle ---- */

static bool
read_key(const char *text, AsApiKey *key)
{
	AsMacKey tag_key;
	bool is_genuine;

	if (!as_mac_key(AS_MAC_API_KEY, false, &tag_key))
		return false;
	is_genuine = as_api_key_parse(text, strlen(text), &tag_key, key);
	as_wipe(&tag_key, sizeof(tag_key));
	return is_genuine;
}

/* The secret is compared though the tag has it: MAC keys may be leaked alone. */
static AsFailure
compare(const AsApiKey *key, AsPresentedKey *out)
{
	AsFailure failure = as_api_key_check(&key->user_id, &key->id, &out->row);
	AsDigest digest;

	if (failure != AS_OK)
		return failure;
	as_api_key_digest(key, &digest);
	if (!as_digest_equal(&digest, &out->row.digest))
		return AS_INVALID_TOKEN;
	out->user_id = key->user_id;
	out->id = key->id;
	return AS_OK;
}

static void
print_handle(AsPresentedKey *key)
{
	AsMacKey tag_key;

	(void) as_mac_key(AS_MAC_API_KEY_HANDLE, false, &tag_key);
	as_api_key_handle_print(&key->user_id, &key->id, &tag_key, key->handle);
	as_wipe(&tag_key, sizeof(tag_key));
}

static void
note_use(const AsPresentedKey *key)
{
	TimestampTz last = key->row.last_used_at;
	TimestampTz now = GetCurrentTimestamp();

	if (last == AS_NO_TIME || as_after_seconds(last, USE_STEP) <= now)
		as_key_use_note(&key->user_id, &key->id, now);
}

AsFailure
as_api_key_present(const char *text, AsPresentedKey *out)
{
	AsApiKey key;
	AsFailure failure;

	if (!auth_session_api_keys)
		return AS_FEATURE_DISABLED;
	if (!read_key(text, &key))
		return AS_INVALID_TOKEN;
	failure = compare(&key, out);
	as_wipe(&key, sizeof(key));
	if (failure != AS_OK)
		return failure;
	print_handle(out);
	note_use(out);
	return AS_OK;
}

bool
as_api_key_handle_read(const char *handle, AsUuid *user_id, AsUuid *id)
{
	AsMacKey tag_key;
	bool is_genuine;

	if (!as_mac_key(AS_MAC_API_KEY_HANDLE, false, &tag_key))
		return false;
	is_genuine =
	    as_api_key_handle_parse(handle, strlen(handle), &tag_key, user_id, id);
	as_wipe(&tag_key, sizeof(tag_key));
	return is_genuine;
}

/* ---- what a key says, in the form of an access token's claims ---- */

/* RFC 8693 section 4.2: separated by blanks, which no scope has. */
static char *
joined(const AsTexts *scopes)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < scopes->count; i++)
		appendStringInfo(&text, "%s%s", i == 0 ? "" : " ", scopes->items[i]);
	return text.data;
}

static char *
claims_of(const AsUuid *user_id, const AsUuid *id, const AsApiKeyRow *row)
{
	StringInfoData json;

	as_json_begin(&json);
	as_json_text(&json, "iss", auth_session_issuer);
	as_json_text(&json, "aud", auth_session_audience);
	as_json_uuid(&json, "sub", user_id);
	as_json_uuid(&json, "api_key_id", id);
	if (row->expires_at != AS_NO_TIME)
		as_json_number(&json, "exp", as_unix_seconds(row->expires_at));
	as_json_text(&json, "role",
	             row->role == NULL ? auth_session_authenticated_role
	                               : row->role);
	as_json_text(&json, "email",
	             as_account_counts(row->email, row->email_confirmed_at));
	as_json_text(&json, "phone",
	             as_account_counts(row->phone, row->phone_confirmed_at));
	as_json_text(&json, "aal", "aal1");
	as_json_raw(&json, "amr", "[\"api_key\"]");
	as_json_text(&json, "scope", joined(&row->scopes));
	as_json_raw(&json, "app", as_jsonb_print(row->app));
	as_json_end(&json);
	return json.data;
}

bool
as_api_key_claims(const AsUuid *user_id, const AsUuid *id,
                  const AsApiKeyRow *row, AsAccessToken *out)
{
	char *claims = claims_of(user_id, id, row);

	memset(out, 0, sizeof(*out));
	out->payload_length = strlen(claims);
	out->payload = as_text_to_utf8(claims, &out->payload_length);
	return as_claims_read(out->payload, out->payload_length, &out->claims);
}

/* ---- how keys end ---- */

static bool
lives(const AsUuid *user_id, const AsUuid *id)
{
	AsApiKeyRow row;

	return as_api_key_find(user_id, id, as_revocation_may_decide(user_id),
	                       &row);
}

static void
end_one(const AsUuid *user_id, const AsUuid *id)
{
	AsLocked locked = as_api_key_try_lock(user_id, id);

	if (locked == AS_LOCKED)
		as_api_key_delete(user_id, id);
	else if (locked == AS_HELD)
		as_revocation_add(user_id, id, NULL, NULL, 0);
}

bool
as_api_key_end(const AsUuid *user_id, const AsUuid *id)
{
	if (!lives(user_id, id))
		return false;
	as_store_make_durable();
	end_one(user_id, id);
	as_context_changed();
	return true;
}

void
as_api_key_end_all(const AsUuid *user_id)
{
	AsApiKeyFate *fates;
	int count = as_api_key_list_fates(user_id, &fates);

	if (count == 0)
		return;
	as_store_make_durable();
	for (int i = 0; i < count; i++)
		end_one(user_id, &fates[i].id);
	as_context_changed();
}
