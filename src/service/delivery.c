/*
 * delivery.c: notifications handed to the bridge.
 *
 * Codes and link tokens are derived while a row is handed out and stand in
 * no row; a notification whose code is dead is settled instead. The language
 * is the user's, as it is then: nothing else that a stranger typed goes to an
 * address that nobody has confirmed.
 */
#include "service/service.h"

#include "miscadmin.h"

/*
 * After too many wrong tries at an address only links are good there, as they
 * are for an invitation.
 */
static bool
accepts_digits(const AsCode *code)
{
	AsCodeFailures failures;

	if (code->purpose == AS_PURPOSE_INVITATION ||
	    code->code_expires_at <= GetCurrentTimestamp())
		return false;
	as_code_failure_count(code->identifier, as_purpose_name(code->purpose),
	                      auth_session_code_ttl, &failures);
	return as_code_failure_allows(&failures);
}

static void
write_code(StringInfo json, const AsCode *code)
{
	char digits[AS_CODE_MAX_DIGITS + 1];
	AsMacKey key;

	if (!accepts_digits(code) || !as_mac_key(AS_MAC_CODE, true, &key))
		return;
	as_one_time_code_derive(&code->id, &key, auth_session_code_length, digits);
	as_json_text(json, "code", digits);
	as_json_time(json, "code_expires_at", code->code_expires_at);
	as_wipe(digits, sizeof(digits));
	as_wipe(&key, sizeof(key));
}

static void
write_link(StringInfo json, const AsCode *code)
{
	char link[AS_LINK_TOKEN_CHARS + 1];
	AsMacKey key;

	if (!as_mac_key(AS_MAC_LINK, true, &key))
		return;
	as_link_token_print(&code->user_id, &code->id, &key, link);
	as_json_text(json, "link_token", link);
	as_json_time(json, "link_expires_at", code->link_expires_at);
	as_wipe(link, sizeof(link));
	as_wipe(&key, sizeof(key));
}

/*
 * Adds the language, code and link token to the payload, whose own members
 * win; false when the code is dead.
 */
static bool
add_derived(AsClaimed *row)
{
	StringInfoData json;
	AsCode code;
	char *stored;

	as_json_begin(&json);
	as_json_text(&json, "locale",
	             row->language != NULL && as_is_language(row->language)
	                 ? row->language
	                 : auth_session_default_locale);
	if (as_uuid_is_known(&row->code_id))
	{
		if (!as_code_find(&row->user_id, &row->code_id, &code))
			return false;
		write_code(&json, &code);
		write_link(&json, &code);
	}

	/* What was stored follows, without its opening brace. */
	stored = as_jsonb_print(row->payload);
	if (strcmp(stored, "{}") != 0)
		appendStringInfo(&json, ",%s", stored + 1);
	else
		as_json_end(&json);
	row->payload = as_jsonb_parse(json.data);
	as_wipe(json.data, json.len);
	return true;
}

int
as_delivery_claim(int most, Datum lease, const char *channel, AsClaimed **rows)
{
	int count = as_outbox_claim(most, lease, channel, rows);
	int live = 0;

	for (int i = 0; i < count; i++)
	{
		AsClaimed *row = &(*rows)[i];

		CHECK_FOR_INTERRUPTS();
		if (strcmp(row->channel, "event") == 0 || add_derived(row))
			(*rows)[live++] = *row;
		else
			as_outbox_settle_one(&row->user_id, &row->id);
	}
	return live;
}
