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
	'makes a pending account and sends a confirmation to each address given; the answer is the same where an address is taken. Where passwordless is on, one with a single address needs no password. Fails with invalid_request, weak_password, signup_disabled, throttled, busy, read_only; already_exists only where require_confirmation is none';

-- Secret: masked in the log.
CREATE FUNCTION auth.confirm(identifier text DEFAULT NULL, code text DEFAULT NULL, password text DEFAULT NULL)
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_confirm';
COMMENT ON FUNCTION auth.confirm(text, text, text) IS
	'proves an address by a one-time code, or by a link token, which needs no identifier, and the sign-up by its password, which is asked for (password_required) only after the right code or link; one without a password needs none where no other with one is pending at the address, and keeps its info only by the typed code. The link of an invitation takes a new password, checked as at sign-up. Fails with invalid_request, invalid_code, password_required, weak_password, already_exists, throttled, busy, read_only';

CREATE FUNCTION auth.resend_confirmation(identifier text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_resend_confirmation';
COMMENT ON FUNCTION auth.resend_confirmation(text) IS
	'sends a new code to a pending sign-up and kills the old one; answers the same for any identifier. Fails with invalid_request, throttled, busy, read_only';

-- Secret: masked in the log.
CREATE FUNCTION auth.signin(email text DEFAULT NULL, password text DEFAULT NULL, phone text DEFAULT NULL)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_signin';
COMMENT ON FUNCTION auth.signin(text, text, text) IS
	'opens a session by exactly one of email and phone, and the password. Fails with invalid_request, invalid_credentials, not_confirmed and banned (both only after the right password), throttled, busy, read_only';

-- Secret: masked in the log.
CREATE FUNCTION auth.renew(refresh_token text)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_renew';
COMMENT ON FUNCTION auth.renew(text) IS
	'makes the next tokens of a session; the former access token ends. The same token within refresh_reuse_grace answers the same again. Fails with invalid_request, invalid_token, user_mismatch, session_revoked, session_expired, refresh_token_reused, busy, read_only';

-- Secret: masked in the log.
CREATE FUNCTION auth.logout(session_id uuid DEFAULT NULL, refresh_token text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_logout';
COMMENT ON FUNCTION auth.logout(uuid, text) IS
	'ends a session of the caller, its own by default; or the one of a refresh token, without a context (RFC 7009). Fails with invalid_request, invalid_token, session_not_found, busy, read_only, and those of a context';

CREATE FUNCTION auth.logout_all(keep_current boolean DEFAULT false)
RETURNS integer
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_logout_all';
COMMENT ON FUNCTION auth.logout_all(boolean) IS
	'ends all sessions of the caller, but the current one when asked to keep it; answers how many. Fails with busy, read_only, and those of a context';

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
	'the claims of a live access token. Fails with invalid_request, invalid_token, token_expired, session_revoked, session_expired';

-- Secret: masked in the log.
CREATE FUNCTION auth.authenticate(access_token text)
RETURNS uuid
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_authenticate';
COMMENT ON FUNCTION auth.authenticate(text) IS
	'makes an access token the context of this transaction and answers the user id. Fails as auth.verify does';

CREATE FUNCTION auth.check_request()
RETURNS void
LANGUAGE c VOLATILE SECURITY INVOKER PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'auth_check_request';
COMMENT ON FUNCTION auth.check_request() IS
	'for the db-pre-request of PostgREST: fails on a bad, expired or revoked bearer token, with invalid_token, token_expired, session_revoked or session_expired, and with invalid_token where request.jwt.claims name somebody else than the token; silent when there is neither';

CREATE FUNCTION auth.account()
RETURNS auth.account
LANGUAGE c STABLE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_account';
COMMENT ON FUNCTION auth.account() IS
	'the account of the caller. Fails with those of a context: not_authenticated, invalid_token, token_expired, session_revoked, session_expired';

CREATE FUNCTION auth.update_info(info jsonb)
RETURNS auth.account
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_update_info';
COMMENT ON FUNCTION auth.update_info(jsonb) IS
	'replaces the info of the caller, an object of at most 16 KiB, whose locale (a language tag, BCP 47) is the language of messages. Fails with invalid_request, busy, read_only, and those of a context';

-- Secret: masked in the log.
CREATE FUNCTION auth.change_password(current_password text, new_password text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_change_password';
COMMENT ON FUNCTION auth.change_password(text, text) IS
	'changes the password of the caller and ends the other sessions. Fails with invalid_request, invalid_credentials, weak_password, throttled, busy, read_only, and those of a context';

CREATE FUNCTION auth.request_password_reset(identifier text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_request_password_reset';
COMMENT ON FUNCTION auth.request_password_reset(text) IS
	'sends a code with which the password can be reset; changes nothing and answers the same for any identifier. Fails with invalid_request, throttled, busy, read_only';

-- Secret: masked in the log.
CREATE FUNCTION auth.reset_password(identifier text DEFAULT NULL, code text DEFAULT NULL, new_password text DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_reset_password';
COMMENT ON FUNCTION auth.reset_password(text, text, text) IS
	'sets a new password by a one-time code, or by a link token, which needs no identifier; ends all sessions and signs nobody in. Fails with invalid_request, invalid_code, weak_password, busy, read_only';

CREATE FUNCTION auth.request_signin_code(identifier text)
RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_request_signin_code';
COMMENT ON FUNCTION auth.request_signin_code(text) IS
	'sends a code with which one can sign in, where passwordless is on; changes nothing and answers the same for any identifier. Fails with feature_disabled, invalid_request, throttled, busy, read_only';

-- Secret: masked in the log.
CREATE FUNCTION auth.signin_code(identifier text DEFAULT NULL, code text DEFAULT NULL)
RETURNS auth.tokens
LANGUAGE c VOLATILE SECURITY DEFINER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'auth_signin_code';
COMMENT ON FUNCTION auth.signin_code(text, text) IS
	'opens a session by a one-time code, or by a link token, which needs no identifier, where passwordless is on. Fails with feature_disabled, invalid_request, invalid_code, not_confirmed and banned (both only after the right code), throttled, busy, read_only';

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
	'the session id of the caller, from the verified context; NULL without a live one. Never fails';

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

CREATE FUNCTION auth.jwt()
RETURNS jsonb
LANGUAGE c STABLE SECURITY INVOKER PARALLEL SAFE
AS 'MODULE_PATHNAME', 'auth_jwt';
COMMENT ON FUNCTION auth.jwt() IS
	'the claims of the caller, from the verified context; NULL without a live one. Never fails';
