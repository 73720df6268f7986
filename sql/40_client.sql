/*
 * What application clients call. Each function authenticates by itself and
 * runs as auth_session_owner under a pinned search_path. What every request
 * or every row calls runs as its caller, which is cheaper, and becomes the
 * owner in C for the look-up that it needs.
 */

-- Secret: masked in the log.
CREATE FUNCTION auth.signup(email text DEFAULT NULL, password text DEFAULT NULL, phone text DEFAULT NULL, info jsonb DEFAULT '{}')
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_signup';
COMMENT ON FUNCTION auth.signup(text, text, text, jsonb) IS
	'makes a pending account and sends a confirmation to each address given';
-- Reference: The answer is the same where an address is taken. Where passwordless is on, one with a single address
-- needs no password. Fails with invalid_request, weak_password, signup_disabled, signup_refused, throttled, busy,
-- read_only; already_exists only where require_confirmation is none.

-- Secret: masked in the log.
CREATE FUNCTION auth.confirm(identifier text DEFAULT NULL, code text DEFAULT NULL, password text DEFAULT NULL)
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_confirm';
COMMENT ON FUNCTION auth.confirm(text, text, text) IS
	'proves an address by a code or a link token, and the sign-up by its password';
-- Reference: Proves an address by a one-time code, or by a link token, which needs no identifier, and the sign-up
-- by its password, which is asked for (password_required) only after the right code or link; one without a
-- password needs none where no other with one is pending at the address, and keeps its info only by the typed
-- code. The link of an invitation takes a new password, checked as at sign-up; of a change of address instead,
-- signed in as the user who asked for it. Fails with invalid_request, invalid_code, password_required,
-- weak_password, already_exists, throttled, busy, read_only; of a change also with user_mismatch,
-- reauthentication_required, and those of a context.

CREATE FUNCTION auth.resend_confirmation(identifier text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_resend_confirmation';
COMMENT ON FUNCTION auth.resend_confirmation(text) IS
	'sends a new code to a pending sign-up and kills the old one';
-- Reference: Answers the same for any identifier. Fails with invalid_request, throttled, busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.signin(email text DEFAULT NULL, password text DEFAULT NULL, phone text DEFAULT NULL)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_signin';
COMMENT ON FUNCTION auth.signin(text, text, text) IS
	'opens a session by exactly one of email and phone, and the password';
-- Reference: Where the account has a second factor, answers nothing but an mfa_token, for signin_totp. Where the
-- request has the header x-session: cookie, and auth_session.cookies is on, both tokens are cookies of the
-- response and NULL in the answer. Fails with feature_disabled, cross_site, invalid_request, invalid_credentials,
-- not_confirmed and banned (both only after the right password), throttled, busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.renew(refresh_token text DEFAULT NULL)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_renew';
COMMENT ON FUNCTION auth.renew(text) IS
	'makes the next tokens of a session';
-- Reference: The former access token ends. The same token within refresh_reuse_grace answers the same again.
-- Without an argument it is the token in the cookie __Secure-refresh, where auth_session.cookies is on and
-- __Host-access is of the same session; then, and where the request has the header x-session: cookie, both tokens
-- are cookies of the response and NULL in the answer. Fails with feature_disabled, cross_site, invalid_request,
-- invalid_token, user_mismatch, session_revoked, session_expired, refresh_token_reused, busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.logout(session_id uuid DEFAULT NULL, refresh_token text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_logout';
COMMENT ON FUNCTION auth.logout(uuid, text) IS
	'ends a session of the caller, its own by default';
-- Reference: Or the one of a refresh token, without a context (RFC 7009). Without a context the session is that of
-- the cookie __Host-access, also where that has expired; the cookies of a session that has ended are cleared.
-- Fails with cross_site, invalid_request, invalid_token, session_not_found, busy, read_only, and those of a
-- context.

CREATE FUNCTION auth.logout_all(keep_current boolean DEFAULT false)
RETURNS integer
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_logout_all';
COMMENT ON FUNCTION auth.logout_all(boolean) IS
	'ends all sessions of the caller, but the current one when asked to keep it';
-- Reference: Answers how many, and clears the cookies of the current one if it ends. Fails with cross_site, busy,
-- read_only, and those of a context.

CREATE FUNCTION auth.sessions()
RETURNS SETOF auth.session
LANGUAGE c STABLE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_sessions';
COMMENT ON FUNCTION auth.sessions() IS
	'the live sessions of the caller, newest first. Fails with those of a context';

-- Secret: masked in the log.
CREATE FUNCTION auth.verify(access_token text)
RETURNS jsonb
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_verify';
COMMENT ON FUNCTION auth.verify(text) IS
	'the claims of a live access token';
-- Reference: Fails with invalid_request, invalid_token, token_expired, session_revoked, session_expired.

-- Secret: masked in the log.
CREATE FUNCTION auth.authenticate(access_token text)
RETURNS uuid
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_authenticate';
COMMENT ON FUNCTION auth.authenticate(text) IS
	'makes an access token, or an API key, the context of this transaction and answers the user id';
-- Reference: Fails as auth.verify does; of an API key with invalid_token, also where it has ended or expired,
-- and feature_disabled.

CREATE FUNCTION auth.check_request()
RETURNS void
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_check_request';
COMMENT ON FUNCTION auth.check_request() IS
	'for the db-pre-request of PostgREST: fails on a request whose token, API key, cookie or claims are no good';
-- Reference: For the db-pre-request of PostgREST: fails on a bad, expired or revoked bearer token, with
-- invalid_token, token_expired, session_revoked or session_expired, and with invalid_token where
-- request.jwt.claims name somebody else than the token; silent when there is neither. Where nobody is named, an
-- API key in a header (apikey, x-api-key, Authorization: Token, or the user name of Basic), if
-- auth_session.api_keys is on, or else the token in the cookie __Host-access becomes the context, if
-- auth_session.cookies is on, and role and request.jwt.claims are set to match, until the transaction ends; fails on a bad one likewise, but of calls by
-- which one signs in or out, and with cross_site where a request that can change something is from no page of the
-- application.

CREATE FUNCTION auth.account()
RETURNS auth.account
LANGUAGE c STABLE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_account';
COMMENT ON FUNCTION auth.account() IS
	'the account of the caller';
-- Reference: Fails with those of a context: not_authenticated, invalid_token, token_expired, session_revoked,
-- session_expired.

CREATE FUNCTION auth.update_info(info jsonb)
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_update_info';
COMMENT ON FUNCTION auth.update_info(jsonb) IS
	'replaces the info of the caller';
-- Reference: Replaces the info of the caller, an object of at most 16 KiB, whose locale (a language tag, BCP 47)
-- is the language of messages. Fails with invalid_request, busy, read_only, and those of a context.

-- Secret: masked in the log.
CREATE FUNCTION auth.change_email(new_email text, password text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_change_email';
COMMENT ON FUNCTION auth.change_email(text, text) IS
	'sends a code to a new email, which is the caller''s once auth.confirm is given it, signed in as the same user';
-- Reference: Until then auth.account shows it as pending. Takes the password, or where the account has none (NULL)
-- a sign-in of the last ten minutes. Answers the same where the address is taken. Fails with invalid_request,
-- invalid_credentials, reauthentication_required, throttled, busy, read_only, and those of a context.

-- Secret: masked in the log.
CREATE FUNCTION auth.change_phone(new_phone text, password text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_change_phone';
COMMENT ON FUNCTION auth.change_phone(text, text) IS
	'the same for a phone. Fails as auth.change_email does';

CREATE FUNCTION auth.cancel_change()
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_cancel_change';
COMMENT ON FUNCTION auth.cancel_change() IS
	'forgets the new addresses that the caller has not confirmed yet';
-- Reference: Silent where there are none. Fails with reauthentication_required, busy, read_only, and those of a
-- context.

-- Secret: masked in the log.
CREATE FUNCTION auth.change_password(current_password text, new_password text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_change_password';
COMMENT ON FUNCTION auth.change_password(text, text) IS
	'changes the password of the caller and ends the other sessions';
-- Reference: Fails with invalid_request, invalid_credentials, weak_password, throttled, busy, read_only, and those
-- of a context.

CREATE FUNCTION auth.request_password_reset(identifier text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_request_password_reset';
COMMENT ON FUNCTION auth.request_password_reset(text) IS
	'sends a code with which the password can be reset';
-- Reference: Changes nothing and answers the same for any identifier. Fails with invalid_request, throttled, busy,
-- read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.reset_password(identifier text DEFAULT NULL, code text DEFAULT NULL, new_password text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_reset_password';
COMMENT ON FUNCTION auth.reset_password(text, text, text) IS
	'sets a new password by a one-time code, or by a link token, which needs no identifier';
-- Reference: Ends all sessions and API keys, signs nobody in, and clears the cookies of the request. Fails with
-- invalid_request, invalid_code, weak_password, busy, read_only.

CREATE FUNCTION auth.request_signin_code(identifier text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_request_signin_code';
COMMENT ON FUNCTION auth.request_signin_code(text) IS
	'sends a code with which one can sign in, where passwordless is on';
-- Reference: Changes nothing and answers the same for any identifier. Fails with feature_disabled,
-- invalid_request, throttled, busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.signin_code(identifier text DEFAULT NULL, code text DEFAULT NULL)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_signin_code';
COMMENT ON FUNCTION auth.signin_code(text, text) IS
	'opens a session by a code or a link token, where passwordless is on';
-- Reference: Opens a session by a one-time code, or by a link token, which needs no identifier, where passwordless
-- is on. Where the request has the header x-session: cookie, and auth_session.cookies is on, both tokens are
-- cookies of the response and NULL in the answer. Fails with feature_disabled, cross_site, invalid_request,
-- invalid_code, not_confirmed and banned (both only after the right code), throttled, busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.enroll_totp()
RETURNS auth.totp_enrollment
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_enroll_totp';
COMMENT ON FUNCTION auth.enroll_totp() IS
	'makes a secret for an authenticator app, shown this once, which confirm_totp turns on within an hour';
-- Reference: In place of one that is pending. Fails with reauthentication_required where the sign-in is older than
-- ten minutes, already_exists where a second factor is on, busy, read_only, and those of a context.

-- Secret: masked in the log.
CREATE FUNCTION auth.confirm_totp(code text)
RETURNS text[]
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_confirm_totp';
COMMENT ON FUNCTION auth.confirm_totp(text) IS
	'turns the second factor on by a code of the app, and answers ten recovery codes';
-- Reference: Turns the second factor on by a code of the app, ends the other sessions of the caller, and answers
-- ten recovery codes, shown this once. Fails with invalid_request, invalid_code, already_exists, throttled, busy,
-- read_only, and those of a context.

-- Secret: masked in the log.
CREATE FUNCTION auth.disable_totp(password text, code text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_disable_totp';
COMMENT ON FUNCTION auth.disable_totp(text, text) IS
	'turns the second factor off by the password and a code';
-- Reference: Turns the second factor off by the password (NULL where the account has none, after a recent sign-in)
-- and a code of the app or a recovery code. Fails with invalid_request, invalid_credentials, invalid_code,
-- reauthentication_required, throttled, busy, read_only, and those of a context.

-- Secret: masked in the log.
CREATE FUNCTION auth.recovery_codes(password text)
RETURNS text[]
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_recovery_codes';
COMMENT ON FUNCTION auth.recovery_codes(text) IS
	'ten fresh recovery codes, shown this once';
-- Reference: The old ones die. The password as in disable_totp. Fails with invalid_request (without a second
-- factor, too), invalid_credentials, reauthentication_required, throttled, busy, read_only, and those of a
-- context.

-- Secret: masked in the log.
CREATE FUNCTION auth.signin_totp(mfa_token text, code text)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_signin_totp';
COMMENT ON FUNCTION auth.signin_totp(text, text) IS
	'the second step of a sign-in that answered an mfa_token';
-- Reference: The second step of a sign-in that answered an mfa_token, good for five minutes and once: opens the
-- session by a code of the app or a recovery code. Where the request has the header x-session: cookie, and
-- auth_session.cookies is on, both tokens are cookies of the response and NULL in the answer. Fails with
-- feature_disabled, cross_site, invalid_request, invalid_token, token_expired, invalid_code, banned, throttled,
-- busy, read_only.

-- Secret: masked in the log.
CREATE FUNCTION auth.reauthenticate(password text DEFAULT NULL, code text DEFAULT NULL)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_reauthenticate';
COMMENT ON FUNCTION auth.reauthenticate(text, text) IS
	'shows anew who the caller is: another access token of the same session';
-- Reference: Shows anew who the caller is, by password, code of the second factor, or both: another access token
-- of the same session with a fresh auth_time, and aal2 with a code; the old one ends, the refresh token in hand
-- stays good. A token that was in a cookie is replaced there, and NULL in the answer, as where the request has the
-- header x-session: cookie. Fails with feature_disabled, cross_site, invalid_request, invalid_credentials,
-- invalid_code, reauthentication_required (for who acts for the user), throttled, busy, read_only, and those of a
-- context.

-- Secret: masked in the log.
CREATE FUNCTION auth.delete_account(password text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_delete_account';
COMMENT ON FUNCTION auth.delete_account(text) IS
	'deletes the account of the caller, at once and for good';
-- Reference: Deletes the account of the caller with its addresses, codes, sessions and API keys, at once and for good,
-- and clears its cookies. Takes the password, or where the account has none (NULL) a sign-in of the last ten minutes.
-- Fails with invalid_request, invalid_credentials, reauthentication_required, throttled, busy, read_only, and
-- those of a context.

CREATE FUNCTION auth.export_account()
RETURNS jsonb
LANGUAGE c STABLE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_export_account';
COMMENT ON FUNCTION auth.export_account() IS
	'all that is kept about the caller, secrets aside, by table, of each the newest 10,000 rows';
-- Reference: Fails with those of a context.

-- Secret: masked in the log.
CREATE FUNCTION auth.create_api_key(name text, scopes text[] DEFAULT '{}', expires_in interval DEFAULT NULL, role text DEFAULT NULL)
RETURNS auth.new_api_key
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_create_api_key';
COMMENT ON FUNCTION auth.create_api_key(text, text[], interval, text) IS
	'makes an API key of the caller, shown this once, and tells the user';
-- Reference: A name of 1 to 256 bytes; at most 32 scopes, names of 1 to 64 printing characters of ASCII without
-- a blank, quote or backslash (RFC 6749 section 3.3); for at most 10 years or api_key_max_age (a month counts
-- 30 days), NULL for as long as that or without end; a role of api_key_roles, or authenticated_role where the
-- access token in hand has it, NULL for that of this token: one that a claims hook gives must be listed, too.
-- Waits for who changes the account. Fails with feature_disabled, reauthentication_required where the sign-in
-- is older than ten minutes, or was without the second factor that is on, invalid_request, limit_reached beyond
-- max_api_keys_per_user, throttled, busy, read_only, and those of a context.

CREATE FUNCTION auth.api_keys()
RETURNS SETOF auth.api_key
LANGUAGE c STABLE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_api_keys';
COMMENT ON FUNCTION auth.api_keys() IS
	'the live API keys of the caller, newest first, without anything that is secret';
-- Reference: Fails with those of a context.

CREATE FUNCTION auth.delete_api_key(id uuid)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_delete_api_key';
COMMENT ON FUNCTION auth.delete_api_key(uuid) IS
	'ends an API key of the caller, whoever holds its row';
-- Reference: Fails with invalid_request, api_key_not_found (another user's, too), reauthentication_required,
-- busy, read_only, and those of a context.

CREATE FUNCTION auth.uid()
RETURNS uuid
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_uid';
COMMENT ON FUNCTION auth.uid() IS
	'the user id of the caller, from the verified context; NULL without a live one. Never fails';

CREATE FUNCTION auth.session_id()
RETURNS uuid
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_session_id';
COMMENT ON FUNCTION auth.session_id() IS
	'the session id of the caller, from the verified context; NULL without a live one, and for an API key. Never fails';

CREATE FUNCTION auth.role()
RETURNS text
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_role';
COMMENT ON FUNCTION auth.role() IS
	'the role claim of the caller, from the verified context; NULL without a live one. Never fails';

CREATE FUNCTION auth.email()
RETURNS text
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_email';
COMMENT ON FUNCTION auth.email() IS
	'the confirmed email of the caller, from the verified context; NULL without a live one. Never fails';

CREATE FUNCTION auth.aal()
RETURNS text
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_aal';
COMMENT ON FUNCTION auth.aal() IS
	'how surely the caller is who the context says: aal1, or aal2 with a second factor (NIST SP 800-63B)';
-- Reference: NULL without a live context. Never fails.

CREATE FUNCTION auth.auth_time()
RETURNS timestamptz
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_auth_time';
COMMENT ON FUNCTION auth.auth_time() IS
	'when the caller last showed who he is, by a sign-in or reauthenticate';
-- Reference: NULL without a live context. Never fails.

CREATE FUNCTION auth.require_aal(level text)
RETURNS void
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_require_aal';
COMMENT ON FUNCTION auth.require_aal(text) IS
	'for functions: fails where the context is of less than aal1 or aal2';
-- Reference: For functions: fails with reauthentication_required where the context is of less than aal1 or aal2.
-- Fails with invalid_request and those of a context, too.

CREATE FUNCTION auth.require_recent(max_age interval)
RETURNS void
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_require_recent';
COMMENT ON FUNCTION auth.require_recent(interval) IS
	'for functions: fails where the caller has shown who he is longer ago than this';
-- Reference: For functions: fails with reauthentication_required where the caller has shown who he is longer ago
-- than this (a month counts 30 days), and always for who acts for a user. Fails with invalid_request and those of
-- a context, too.

CREATE FUNCTION auth.jwt()
RETURNS jsonb
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_jwt';
COMMENT ON FUNCTION auth.jwt() IS
	'the claims of the caller, from the verified context; NULL without a live one. Never fails';

CREATE FUNCTION auth.scopes()
RETURNS text[]
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_scopes';
COMMENT ON FUNCTION auth.scopes() IS
	'the scopes of the API key that calls, which restrict nothing by themselves';
-- Reference: NULL for a session, and without a live context. Never fails.

CREATE FUNCTION auth.has_scope(scope text)
RETURNS boolean
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_has_scope';
COMMENT ON FUNCTION auth.has_scope(text) IS
	'whether the caller has a scope: an API key those that it was made with, a session all';
-- Reference: NULL without a live context. Never fails.
