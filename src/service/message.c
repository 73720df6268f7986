/*
 * message.c: what users are sent.
 *
 * A request for a message answers the same and does the same for any
 * identifier: where there is nobody to write to, a code row of nobody's and
 * a notification that is settled already are written all the same. A message
 * goes only to an address that stands in a row, never to one that a caller
 * typed: two spellings that are one to us could be two to mail. What strangers
 * typed never goes into a message to an address that has not been proved.
 */
#include "service/service.h"

/*
 * What a look-up is given, found or not: microseconds, some ten times what
 * it takes.
 */
#define LOOK_UP_TIME 500

AsFailure
as_message_allow(AsAttempt *attempt, AsMessage message,
                 const AsIdentifier *identifier, bool with_cooldown)
{
	AsFailure outcome = AS_OK;
	StringInfoData key;

	initStringInfo(&key);
	appendStringInfoChar(&key, (char) message);
	appendStringInfoString(&key, identifier->canonical);
	if (with_cooldown && auth_session_resend_cooldown > 0)
		outcome = as_attempt_charge(attempt, AS_LIMIT_RESEND, key.data,
		                            (size_t) key.len, 1,
		                            auth_session_resend_cooldown);
	if (outcome == AS_OK)
		outcome = as_attempt_charge(
		    attempt, AS_LIMIT_MESSAGE_IDENTIFIER, key.data, (size_t) key.len,
		    auth_session_message_rate_per_account, auth_session_rate_window);
	return outcome;
}

void
as_message_look_up_until(TimestampTz began)
{
	TimestampTz until = began + LOOK_UP_TIME;
	TimestampTz now;

	/* No longer than that, should the clock be set meanwhile. */
	while ((now = GetCurrentTimestamp()) < until && now >= began)
		pg_usleep((long) (until - now));
}

/*
 * The address in an account's row to which a code for identifier goes; NULL
 * where the row has none that is one with it.
 */
static const char *
recipient_of(const AsAccount *account, AsPurpose purpose,
             const AsIdentifier *identifier)
{
	const char *address = NULL;
	const char *canonical;

	if (account != NULL && purpose == AS_PURPOSE_EMAIL_CHANGE)
		address = account->pending_email;
	else if (account != NULL && purpose == AS_PURPOSE_PHONE_CHANGE)
		address = account->pending_phone;
	else if (account != NULL)
		address = identifier->is_phone ? account->phone : account->email;

	/* The same work for nobody. */
	canonical = as_identifier_canonical(address == NULL ? identifier->canonical
	                                                    : address,
	                                    identifier->is_phone);
	return canonical != NULL && strcmp(canonical, identifier->canonical) == 0
	           ? address
	           : NULL;
}

void
as_message_send_code(const AsAccount *account, AsPurpose purpose,
                     const AsIdentifier *identifier)
{
	const char *recipient = recipient_of(account, purpose, identifier);
	AsUuid nobody = as_nobody_at(identifier->canonical);
	AsCode code;
	AsNotification notification = {
	    .kind = as_purpose_kind(purpose),
	    .by_sms = identifier->is_phone,
	    .recipient = recipient == NULL ? "" : recipient,
	    .payload = "{}",
	    .is_decoy = recipient == NULL,
	};

	as_code_issue(recipient == NULL ? &nobody : &account->id, purpose,
	              identifier->canonical, &code);
	notification.user_id = &code.user_id;
	notification.code_id = &code.id;
	as_outbox_add(&notification);
}

void
as_message_send_first_code(const AsAccount *account, AsPurpose purpose,
                           const AsIdentifier *identifier,
                           const AsAccount *owner)
{
	const AsAccount *told = owner == NULL ? account : owner;
	const char *recipient = recipient_of(
	    told, owner == NULL ? purpose : AS_PURPOSE_CONFIRM_EMAIL, identifier);
	AsCode code;
	AsNotification notification = {
	    .kind = owner == NULL ? as_purpose_kind(purpose) : "account_exists",
	    .by_sms = identifier->is_phone,
	    .recipient = recipient == NULL ? "" : recipient,
	    .user_id = &told->id,
	    .payload = "{}",
	    .is_decoy = recipient == NULL,
	};

	as_code_issue(&account->id, purpose, identifier->canonical, &code);
	if (owner == NULL)
		notification.code_id = &code.id;
	as_outbox_add(&notification);
}

static void
tell_at(const AsAccount *account, bool by_sms, const char *address,
        const char *kind, const char *payload)
{
	AsNotification notification = {
	    .kind = kind,
	    .by_sms = by_sms,
	    .recipient = address,
	    .user_id = &account->id,
	    .payload = payload,
	};

	if (address != NULL)
		as_outbox_add(&notification);
}

static const char *
email_of(const AsAccount *account)
{
	return as_account_counts(account->email, account->email_confirmed_at);
}

static const char *
phone_of(const AsAccount *account)
{
	return as_account_counts(account->phone, account->phone_confirmed_at);
}

void
as_message_tell(const AsAccount *account, const char *kind, const char *payload)
{
	const char *email = email_of(account);

	tell_at(account, email == NULL, email != NULL ? email : phone_of(account),
	        kind, payload);
}

void
as_message_tell_change(const AsAccount *before, const AsAccount *after,
                       bool is_phone, const char *payload)
{
	const char *kind = is_phone ? "phone_changed" : "email_changed";
	const char *old = is_phone ? phone_of(before) : email_of(before);
	const char *new = is_phone ? phone_of(after) : email_of(after);

	/* Also at the email, where who changes a stolen phone can't hide it. */
	if (is_phone || old == NULL)
		as_message_tell(before, kind, payload);
	if (old != NULL && (!is_phone || email_of(before) != NULL))
		tell_at(before, is_phone, old, kind, payload);
	if (new != NULL && (old == NULL || strcmp(old, new) != 0))
		tell_at(after, is_phone, new, kind, payload);
}
