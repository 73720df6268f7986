/*
 * export.c: all that is kept about a user, secrets aside, as one object with a
 * member a table.
 *
 * The rows of a table that are keyed by an address are those at the addresses
 * that count as his: what is at one that he merely typed may be another's. Left
 * out is what follows from the rest or is gone within the second: the token
 * cache and pending revocations.
 */
#include "service/service.h"

/* What is found by the user's id; a new table that has one gets a row here. */
static const struct
{
	const char *name;
	Jsonb *(*read)(const AsUuid *user_id);
} parts[] = {
    {"account", as_account_export},
    {"sessions", as_session_export},
    {"api_keys", as_api_key_export},
    {"factors", as_factor_export},
    {"recovery_codes", as_recovery_code_export},
    {"devices", as_device_export},
    {"codes", as_code_export},
    {"notifications", as_outbox_export},
    {"audit_log", as_audit_log_export},
};

static void
add(StringInfo json, const char *name, Jsonb *part)
{
	if (part != NULL)
		as_json_raw(json, name, as_jsonb_print(part));
}

static void
add_identifier(AsTexts *identifiers, const char *address, bool is_phone)
{
	char *identifier =
	    address == NULL ? NULL : as_identifier_canonical(address, is_phone);

	if (identifier != NULL)
		identifiers->items[identifiers->count++] = identifier;
}

Jsonb *
as_export_account(const AsAccount *account)
{
	char *items[2];
	AsTexts identifiers = {.items = items};
	StringInfoData json;

	add_identifier(
	    &identifiers,
	    as_account_counts(account->email, account->email_confirmed_at), false);
	add_identifier(
	    &identifiers,
	    as_account_counts(account->phone, account->phone_confirmed_at), true);
	as_json_begin(&json);
	for (int i = 0; i < (int) lengthof(parts); i++)
		add(&json, parts[i].name, parts[i].read(&account->id));
	add(&json, "identifiers", as_identifier_export(&identifiers));
	add(&json, "code_failures", as_code_failure_export(&identifiers));
	as_json_end(&json);
	return as_jsonb_parse(json.data);
}
