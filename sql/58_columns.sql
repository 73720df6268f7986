/*
 * What each column of the types and views is, in a line: psql shows it by \d+,
 * and doc/reference.md is made of it.
 */

COMMENT ON COLUMN auth.account.id IS 'the user id: version 4, random';
COMMENT ON COLUMN auth.account.email IS 'as it was typed; NULL where there is none';
COMMENT ON COLUMN auth.account.phone IS 'in E.164; NULL where there is none';
COMMENT ON COLUMN auth.account.email_confirmed_at IS 'NULL until it is confirmed';
COMMENT ON COLUMN auth.account.phone_confirmed_at IS 'NULL until it is confirmed';
COMMENT ON COLUMN auth.account.pending_email IS 'the new email of a change that is not confirmed yet';
COMMENT ON COLUMN auth.account.pending_phone IS 'the new phone of a change that is not confirmed yet';
COMMENT ON COLUMN auth.account.info IS 'what the user says of himself: an object of at most 16 KiB';
COMMENT ON COLUMN auth.account.created_at IS 'when it was signed up, created or, elsewhere, imported';
COMMENT ON COLUMN auth.account.status IS 'pending, active or banned';

COMMENT ON COLUMN auth.tokens.access_token IS 'a JWT for the Authorization header; NULL where a second step is asked for';
COMMENT ON COLUMN auth.tokens.token_type IS 'bearer (RFC 6750)';
COMMENT ON COLUMN auth.tokens.expires_in IS 'seconds for which the access token is valid';
COMMENT ON COLUMN auth.tokens.expires_at IS 'when the access token expires';
COMMENT ON COLUMN auth.tokens.refresh_token IS 'for auth.renew, good once; NULL where the one in hand stays good, or there is none';
COMMENT ON COLUMN auth.tokens.session_id IS 'the session, for auth.logout';
COMMENT ON COLUMN auth.tokens.user_id IS 'whose session it is';
COMMENT ON COLUMN auth.tokens.mfa_token IS 'for auth.signin_totp, good for five minutes and once; NULL where there is a session';

COMMENT ON COLUMN auth.session.id IS 'for auth.logout: version 7';
COMMENT ON COLUMN auth.session.created_at IS 'when it was opened';
COMMENT ON COLUMN auth.session.renewed_at IS 'when it was last renewed, or opened';
COMMENT ON COLUMN auth.session.expires_at IS 'when it ends unless it is renewed';
COMMENT ON COLUMN auth.session.ip IS 'from where it was opened; NULL where that is unknown';
COMMENT ON COLUMN auth.session.user_agent IS 'with what it was opened, at most 256 bytes; NULL where that is unknown';
COMMENT ON COLUMN auth.session.aal IS 'aal1, or aal2 with a second factor';
COMMENT ON COLUMN auth.session.amr IS 'how its user showed who he is: pwd, otp, recovery, mfa; impersonation';
COMMENT ON COLUMN auth.session.is_current IS 'whether it is the one that asks';

COMMENT ON COLUMN auth.totp_enrollment.secret IS 'in base32, to type in';
COMMENT ON COLUMN auth.totp_enrollment.uri IS 'the otpauth URI, to open on the device';
COMMENT ON COLUMN auth.totp_enrollment.qr_svg IS 'the URI as a QR code, to scan';

COMMENT ON COLUMN auth_admin.users.id IS 'the user id';
COMMENT ON COLUMN auth_admin.users.status IS 'pending, active, or banned as long as that lasts';
COMMENT ON COLUMN auth_admin.users.email IS 'as it was typed; of a pending account no more than a claim';
COMMENT ON COLUMN auth_admin.users.phone IS 'in E.164; of a pending account no more than a claim';
COMMENT ON COLUMN auth_admin.users.email_confirmed_at IS 'NULL until it is confirmed';
COMMENT ON COLUMN auth_admin.users.phone_confirmed_at IS 'NULL until it is confirmed';
COMMENT ON COLUMN auth_admin.users.pending_email IS 'the new email of a change, while its link is good';
COMMENT ON COLUMN auth_admin.users.pending_phone IS 'the new phone of a change, while its link is good';
COMMENT ON COLUMN auth_admin.users.info IS 'what the user says of himself';
COMMENT ON COLUMN auth_admin.users.app IS 'what operators set: the claim app';
COMMENT ON COLUMN auth_admin.users.banned_at IS 'since when; NULL for never, or no more';
COMMENT ON COLUMN auth_admin.users.banned_until IS 'the end of the ban; NULL for one without end';
COMMENT ON COLUMN auth_admin.users.ban_reason IS 'what the operator said who banned him';
COMMENT ON COLUMN auth_admin.users.created_at IS 'when it was signed up, created or, elsewhere, imported';

COMMENT ON COLUMN auth_admin.deleted_users.id IS 'the id that the user had';
COMMENT ON COLUMN auth_admin.deleted_users.deleted_at IS 'since when he is gone';

COMMENT ON COLUMN auth_admin.audit_log.id IS 'version 7: ascends with time';
COMMENT ON COLUMN auth_admin.audit_log.at IS 'when it happened';
COMMENT ON COLUMN auth_admin.audit_log.action IS 'what: the name of the function, in the main';
COMMENT ON COLUMN auth_admin.audit_log.actor IS 'by whom: user, system, or the role of an operator';
COMMENT ON COLUMN auth_admin.audit_log.result IS 'ok, or the code of the failure';
COMMENT ON COLUMN auth_admin.audit_log.reason IS 'why it failed, or what the operator said';
COMMENT ON COLUMN auth_admin.audit_log.user_id IS 'whose account; NULL where there is none';
COMMENT ON COLUMN auth_admin.audit_log.session_id IS 'whose session; NULL where there is none';
COMMENT ON COLUMN auth_admin.audit_log.ip IS 'from where; NULL where that is unknown';
COMMENT ON COLUMN auth_admin.audit_log.user_agent IS 'with what, as the client said';

COMMENT ON COLUMN auth_admin.parked_notifications.id IS 'for auth_admin.release_notifications';
COMMENT ON COLUMN auth_admin.parked_notifications.kind IS 'what it tells of';
COMMENT ON COLUMN auth_admin.parked_notifications.recipient IS 'the email or phone; empty for an event';
COMMENT ON COLUMN auth_admin.parked_notifications.error IS 'what the last try ended with';
COMMENT ON COLUMN auth_admin.parked_notifications.since IS 'when delivery was given up';

COMMENT ON COLUMN auth_admin.stats.accounts_estimate IS 'accounts, as of the last ANALYZE or VACUUM; NULL before';
COMMENT ON COLUMN auth_admin.stats.sessions_estimate IS 'sessions, as of the last ANALYZE or VACUUM; NULL before';
COMMENT ON COLUMN auth_admin.stats.notifications_waiting IS 'not delivered yet, counted up to 10,000';
COMMENT ON COLUMN auth_admin.stats.notifications_oldest_waiting IS 'when the oldest of these was written; NULL where there are none';
COMMENT ON COLUMN auth_admin.stats.notifications_parked IS 'given up, counted up to 10,000';
COMMENT ON COLUMN auth_admin.stats.notifications_last_parked_error IS 'why the last of these was';
COMMENT ON COLUMN auth_admin.stats.sessions_due IS 'ended the day before or earlier and not deleted yet, counted up to 10,000';
COMMENT ON COLUMN auth_admin.stats.signing_key_age IS 'how long the key has signed';
COMMENT ON COLUMN auth_admin.stats.keys_unsealed IS 'keys that are stored open';
COMMENT ON COLUMN auth_admin.stats.since IS 'since when the following are counted: the start of the server; NULL on a standby';
COMMENT ON COLUMN auth_admin.stats.signins IS 'sessions opened';
COMMENT ON COLUMN auth_admin.stats.renewals IS 'refresh tokens rotated';
COMMENT ON COLUMN auth_admin.stats.refresh_tokens_reused IS 'refresh tokens that were used twice, which ended their sessions';
COMMENT ON COLUMN auth_admin.stats.throttled IS 'calls refused as throttled';
COMMENT ON COLUMN auth_admin.stats.refusals IS 'refusals by code: an object of numbers';
COMMENT ON COLUMN auth_admin.stats.hash_waits IS 'hashes that had to wait for a place';
COMMENT ON COLUMN auth_admin.stats.hashes_waiting IS 'hashes that wait at this moment, in the whole server';
COMMENT ON COLUMN auth_admin.stats.records_waiting IS 'records of failures that are not committed yet';
COMMENT ON COLUMN auth_admin.stats.records_discarded IS 'records discarded with their database, in the whole server';
COMMENT ON COLUMN auth_admin.stats.last_pruned IS 'when maintenance last ran; NULL where it has not since';

COMMENT ON COLUMN auth_admin.signing_keys.kid IS 'its name in the header of tokens and in the key set';
COMMENT ON COLUMN auth_admin.signing_keys.algorithm IS 'HS256, HS384, HS512, RS256, ES256 or EdDSA';
COMMENT ON COLUMN auth_admin.signing_keys.state IS 'next, active (it signs), retiring (it verifies) or retired';
COMMENT ON COLUMN auth_admin.signing_keys.can_sign IS 'whether its private part is there';
COMMENT ON COLUMN auth_admin.signing_keys.is_sealed IS 'whether that is stored under the master key';
COMMENT ON COLUMN auth_admin.signing_keys.is_imported IS 'whether it was made elsewhere';
COMMENT ON COLUMN auth_admin.signing_keys.created_at IS 'when it was made or imported';
COMMENT ON COLUMN auth_admin.signing_keys.activated_at IS 'when it began to sign; NULL where it has not';
COMMENT ON COLUMN auth_admin.signing_keys.verifies_until IS 'when a retiring key is retired; NULL for no end';

COMMENT ON COLUMN auth.new_api_key.id IS 'of the key, for auth.delete_api_key';
COMMENT ON COLUMN auth.new_api_key.key IS 'what the program shows: kept nowhere, shown this once';
COMMENT ON COLUMN auth.new_api_key.name IS 'as the user called it';
COMMENT ON COLUMN auth.new_api_key.scopes IS 'what auth.has_scope answers true for';
COMMENT ON COLUMN auth.new_api_key.role IS 'which a request by it runs as; NULL for that of access tokens';
COMMENT ON COLUMN auth.new_api_key.expires_at IS 'NULL where it does not expire';

COMMENT ON COLUMN auth.api_key.id IS 'for auth.delete_api_key';
COMMENT ON COLUMN auth.api_key.name IS 'as the user called it';
COMMENT ON COLUMN auth.api_key.scopes IS 'what auth.has_scope answers true for';
COMMENT ON COLUMN auth.api_key.role IS 'which a request by it runs as; NULL for that of access tokens';
COMMENT ON COLUMN auth.api_key.created_at IS 'when it was made';
COMMENT ON COLUMN auth.api_key.last_used_at IS 'when it was last taken, right to the hour; NULL where never';
COMMENT ON COLUMN auth.api_key.expires_at IS 'NULL where it does not expire';

COMMENT ON COLUMN auth_admin.api_keys.user_id IS 'whose it is';
COMMENT ON COLUMN auth_admin.api_keys.id IS 'for auth_admin.delete_api_key';
COMMENT ON COLUMN auth_admin.api_keys.name IS 'as the user called it';
COMMENT ON COLUMN auth_admin.api_keys.scopes IS 'what auth.has_scope answers true for';
COMMENT ON COLUMN auth_admin.api_keys.role IS 'which a request by it runs as; NULL for that of access tokens';
COMMENT ON COLUMN auth_admin.api_keys.created_at IS 'when it was made';
COMMENT ON COLUMN auth_admin.api_keys.last_used_at IS 'when it was last taken, right to the hour; NULL where never';
COMMENT ON COLUMN auth_admin.api_keys.expires_at IS 'NULL where it does not expire';
