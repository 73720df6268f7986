--
-- What callers are told: for every failure code its SQLSTATE, message, DETAIL
-- and HINT, all constant, without a context line, and none of what was typed.
--
-- busy takes a second session: test/isolation has it.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION auth_session;
SET auth_session.argon2_memory = '7MB';

-- Runs a statement: what it raised, or '-' and its outcome.
CREATE FUNCTION said(statement text) RETURNS TABLE (state text, message text, failure text, hint text)
LANGUAGE plpgsql AS $$
DECLARE
	context text;
BEGIN
	state := '-';
	EXECUTE statement INTO message;
	RETURN NEXT;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
		failure = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	-- EXECUTE makes two lines of context; any other were ours.
	IF context NOT SIMILAR TO 'SQL statement [^\n]*\nPL/pgSQL function said[^\n]*' THEN
		message := message || ' CONTEXT ' || context;
	END IF;
	RETURN NEXT;
END
$$;

-- The code and the link token of the last message of a kind to somebody.
CREATE FUNCTION mailed(to_kind text, to_recipient text, member text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	found text;
BEGIN
	SELECT payload ->> member INTO STRICT found
		FROM auth_admin.claim_notifications(1000, '0 seconds')
		WHERE kind = to_kind AND recipient = to_recipient ORDER BY id DESC LIMIT 1;
	RETURN found;
END
$$;

SELECT status FROM auth.signup('ada@example.com', 'a password of Ada''s');
SELECT status FROM auth.confirm('ada@example.com', mailed('confirm_email', 'ada@example.com', 'code'), 'a password of Ada''s');
SELECT * FROM auth.signin('ada@example.com', 'a password of Ada''s') \gset ada_
SELECT status FROM auth.signup('bob@example.com', 'a password of Bob''s');
SELECT status FROM auth.confirm(code => mailed('confirm_email', 'bob@example.com', 'link_token'), password => 'a password of Bob''s');
SELECT * FROM auth.signin('bob@example.com', 'a password of Bob''s') \gset bob_

\x on
\t on

-- invalid_request: the hint says which argument.
SELECT * FROM said($$SELECT auth.signup()$$);
SELECT * FROM said($$SELECT auth.signup('no address', 'a password of mine')$$);
SELECT * FROM said($$SELECT auth.signup('eve@example.com')$$);
SELECT * FROM said($$SELECT auth.signup('eve@example.com', repeat('long', 257))$$);
SELECT * FROM said($$SELECT auth.signup(phone => '0123', password => 'a password of mine')$$);
SELECT * FROM said($$SELECT auth.signup('eve@example.com', 'a password of mine', info => '[1]')$$);
SELECT * FROM said($$SELECT auth.signup('eve@example.com', 'a password of mine', info => jsonb_build_object('a', repeat('long', 4096)))$$);
SELECT * FROM said($$SELECT auth.confirm()$$);
SELECT * FROM said($$SELECT auth.confirm('no address', '123456')$$);
SELECT * FROM said($$SELECT auth.confirm(code => '123456')$$);
SELECT * FROM said($$SELECT auth.confirm('eve@example.com', '123456', repeat('long', 257))$$);
SELECT * FROM said($$SELECT auth.resend_confirmation(NULL)$$);
SELECT * FROM said($$SELECT auth.resend_confirmation('no address')$$);
SELECT * FROM said($$SELECT auth.signin()$$);
SELECT * FROM said($$SELECT auth.signin('ada@example.com', 'a password', '+491700000000')$$);
SELECT * FROM said($$SELECT auth.signin('no address', 'a password')$$);
SELECT * FROM said($$SELECT auth.signin(phone => '0123', password => 'a password')$$);
SELECT * FROM said($$SELECT auth.signin('ada@example.com')$$);
SELECT * FROM said($$SELECT auth.renew(NULL)$$);
SELECT * FROM said($$SELECT auth.logout('00000000-0000-4000-8000-000000000000', 'asr1_')$$);
SELECT * FROM said($$SELECT auth.verify(NULL)$$);
SELECT * FROM said($$SELECT auth.authenticate(NULL)$$);
SELECT * FROM said($$SELECT auth.request_password_reset('no address')$$);
SELECT * FROM said($$SELECT auth.reset_password()$$);
SELECT * FROM said($$SELECT auth.reset_password('ada@example.com', '123456')$$);
SELECT * FROM said($$SELECT auth.reset_password(code => '123456', new_password => 'a new password')$$);
SELECT * FROM said($$SELECT auth_admin.prune(0)$$);
SELECT * FROM said($$SELECT auth_admin.claim_notifications(0, '1 minute')$$);
SELECT * FROM said($$SELECT auth_admin.claim_notifications(1, NULL)$$);
SELECT * FROM said($$SELECT auth_admin.settle_notifications(NULL)$$);
SELECT * FROM said($$SELECT auth_admin.settle_notifications(ARRAY[NULL::uuid])$$);
SELECT * FROM said($$SELECT auth_admin.release_notifications(NULL, 'an error')$$);
SELECT * FROM said($$SELECT auth_admin.forbid_password(NULL)$$);

-- invalid_credentials: the same for a wrong password, an unknown account and
-- one that is not confirmed.
SELECT status FROM auth.signup('eve@example.com', 'a password of Eve''s');
SELECT * FROM said($$SELECT auth.signin('ada@example.com', 'another password')$$);
SELECT * FROM said($$SELECT auth.signin('nobody@example.com', 'another password')$$);
SELECT * FROM said($$SELECT auth.signin('eve@example.com', 'a password of Eve''s')$$);

-- invalid_token: malformed, forged, of an unknown key, of the wrong kind.
SELECT * FROM said($$SELECT auth.renew('asr1_')$$);
SELECT * FROM said(format('SELECT auth.renew(%L)', :'ada_access_token'));
SELECT * FROM said(format('SELECT auth.renew(%L)', overlay(:'ada_refresh_token' PLACING 'AAAA' FROM 70)));
SELECT * FROM said($$SELECT auth.logout(refresh_token => 'asr1_')$$);
SELECT * FROM said($$SELECT auth.verify('')$$);
SELECT * FROM said(format('SELECT auth.verify(%L)', :'ada_refresh_token'));
SELECT * FROM said($$SELECT auth.verify(auth.jwt_sign('{}', 'a secret of somebody else'))$$);
SELECT * FROM said(format('SELECT auth.authenticate(%L)', :'ada_access_token' || 'A'));

-- not_authenticated: no context.
SELECT * FROM said($$SELECT auth.logout()$$);
SELECT * FROM said($$SELECT auth.logout_all()$$);
SELECT * FROM said($$SELECT auth.sessions()$$);
SELECT * FROM said($$SELECT auth.account()$$);
SELECT * FROM said($$SELECT auth.update_info('{}')$$);
SELECT * FROM said($$SELECT auth.change_password('a password', 'another one')$$);
SELECT * FROM said($$SELECT auth.change_email('new@example.com', 'a password')$$);
SELECT * FROM said($$SELECT auth.change_phone('+436601234567', 'a password')$$);
SELECT * FROM said($$SELECT auth.cancel_change()$$);
SELECT * FROM said($$SELECT auth.delete_account('a password')$$);
SELECT * FROM said($$SELECT auth.export_account()$$);

-- With a context: another user's session, the wrong kind of info, passwords.
BEGIN;
SELECT auth.authenticate(:'ada_access_token') = :'ada_user_id';
SELECT * FROM said(format('SELECT auth.logout(%L)', :'bob_session_id'));
SELECT * FROM said($$SELECT auth.logout('00000000-0000-4000-8000-000000000000')$$);
SELECT * FROM said(format('SELECT auth.renew(%L)', :'bob_refresh_token'));
SELECT * FROM said($$SELECT auth.update_info('[1]')$$);
SELECT * FROM said($$SELECT auth.change_password(NULL, 'a new password')$$);
SELECT * FROM said($$SELECT auth.change_password('a password', NULL)$$);
SELECT * FROM said($$SELECT auth.change_password('the wrong one', 'a new password')$$);
SELECT * FROM said($$SELECT auth.change_password('a password of Ada''s', 'short')$$);
SELECT * FROM said($$SELECT auth.change_email('no email', 'a password of Ada''s')$$);
SELECT * FROM said($$SELECT auth.change_email('new@example.com', 'the wrong one')$$);
SELECT * FROM said($$SELECT auth.change_email('new@example.com', NULL)$$);
SELECT * FROM said($$SELECT auth.change_phone('0660', 'a password of Ada''s')$$);
SELECT * FROM said($$SELECT auth.delete_account('the wrong one')$$);
SELECT * FROM said($$SELECT auth.delete_account(NULL)$$);
ROLLBACK;

-- weak_password: the hint says why.
SELECT * FROM said($$SELECT auth.signup('fay@example.com', '1234567')$$);
SELECT * FROM said($$SELECT auth.signup('fay@example.com', 'Password1')$$);
SELECT * FROM said($$SELECT auth.signup('fay.summers@example.com', 'Fay.Summers')$$);

-- feature_disabled: what is off by default.
SELECT * FROM said($$SELECT auth.request_signin_code('ada@example.com')$$);
SELECT * FROM said($$SELECT auth.signin_code('ada@example.com', '123456')$$);

-- signup_disabled, already_exists.
SET auth_session.signup_enabled = off;
SELECT * FROM said($$SELECT auth.signup('fay@example.com', 'a password of Fay''s')$$);
RESET auth_session.signup_enabled;
SET auth_session.require_confirmation = none;
SELECT * FROM said($$SELECT auth.signup('ada@example.com', 'a password of Fay''s')$$);
RESET auth_session.require_confirmation;

-- invalid_code: wrong, unknown address, of another purpose. password_required:
-- the right link, and nothing that says whose sign-up it is.
SELECT * FROM said($$SELECT auth.confirm('eve@example.com', 'no code')$$);
SELECT * FROM said($$SELECT auth.confirm('nobody@example.com', '123456')$$);
SELECT * FROM said(format('SELECT auth.reset_password(code => %L, new_password => %L)',
	mailed('confirm_email', 'eve@example.com', 'link_token'), 'a new password'));
SELECT * FROM said(format('SELECT auth.confirm(code => %L)', mailed('confirm_email', 'eve@example.com', 'link_token')));
SELECT * FROM said(format('SELECT auth.confirm(code => %L, password => %L)',
	mailed('confirm_email', 'eve@example.com', 'link_token'), 'not one of theirs'));

-- not_confirmed and banned, both only after the right password.
SELECT status FROM auth.signup('gil@example.com', 'a password of Gil''s', '+491700000001');
SELECT status FROM auth.confirm('gil@example.com', mailed('confirm_email', 'gil@example.com', 'code'), 'a password of Gil''s');
SELECT * FROM said($$SELECT auth.signin('gil@example.com', 'a password of Gil''s')$$);
SELECT * FROM said($$SELECT auth.signin('gil@example.com', 'another password')$$);
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE email = 'gil@example.com';
SELECT * FROM said($$SELECT auth.signin('gil@example.com', 'a password of Gil''s')$$);
SELECT * FROM said($$SELECT auth.signin('gil@example.com', 'another password')$$);

-- token_expired: replaced by a renewal.
SELECT * FROM auth.renew(:'ada_refresh_token') \gset next_
SELECT * FROM said(format('SELECT auth.verify(%L)', :'ada_access_token'));
BEGIN;
SELECT set_config('request.headers', json_build_object('authorization', 'Bearer ' || :'ada_access_token')::text, true) <> '';
SELECT * FROM said($$SELECT auth.check_request()$$);
SELECT * FROM said($$SELECT auth.sessions()$$);
SELECT * FROM said($$SELECT auth.uid()$$);
ROLLBACK;

-- check_request: a bearer token and claims that are not of one token.
BEGIN;
SELECT set_config('request.headers', json_build_object('authorization', 'Bearer ' || :'next_access_token')::text, true) <> '';
SELECT * FROM said($$SELECT auth.check_request()$$);
SELECT set_config('request.jwt.claims', '{"jti": "00000000-0000-4000-8000-000000000000"}', true) <> '';
SELECT * FROM said($$SELECT auth.check_request()$$);
ROLLBACK;

-- API keys: feature_disabled, limit_reached, api_key_not_found; an API key that
-- is none, or that changes the account.
BEGIN;
SELECT FROM auth.authenticate(:'next_access_token');
SELECT * FROM said($$SELECT auth.create_api_key('ci')$$);
SET LOCAL auth_session.api_keys = on;
SET LOCAL auth_session.max_api_keys_per_user = 1;
SELECT * FROM said($$SELECT auth.create_api_key('')$$);
SELECT key AS ada_key FROM auth.create_api_key('ci') \gset
SELECT * FROM said($$SELECT auth.create_api_key('ci')$$);
SELECT * FROM said($$SELECT auth.delete_api_key('00000000-0000-4000-8000-000000000000')$$);
SELECT * FROM said(format('SELECT auth.authenticate(%L)', overlay(:'ada_key' placing 'xx' from 50)));
SELECT FROM auth.authenticate(:'ada_key');
SELECT * FROM said($$SELECT auth.update_info('{}')$$);
ROLLBACK;

-- refresh_token_reused, after the grace; then the session is gone.
SET auth_session.refresh_reuse_grace = 0;
SELECT * FROM said(format('SELECT auth.renew(%L)', :'ada_refresh_token'));
SELECT * FROM said(format('SELECT auth.renew(%L)', :'next_refresh_token'));
SELECT * FROM said(format('SELECT auth.verify(%L)', :'next_access_token'));
SELECT * FROM said(format('SELECT auth.logout(refresh_token => %L)', :'next_refresh_token'));

-- session_expired.
UPDATE auth_private.sessions SET expires_at = now() WHERE id = :'bob_session_id';
DELETE FROM auth_private.token_cache WHERE session_id = :'bob_session_id';
SELECT * FROM said(format('SELECT auth.renew(%L)', :'bob_refresh_token'));
SELECT * FROM said(format('SELECT auth.verify(%L)', :'bob_access_token'));

-- throttled: the hint is the seconds to wait, a bare integer.
SELECT state, message, failure, hint ~ '^[1-9][0-9]*$' AS hint_is_a_number FROM said($$SELECT auth.resend_confirmation('nobody@example.com')$$);
SELECT state, message, failure, hint ~ '^[1-9][0-9]*$' AS hint_is_a_number FROM said($$SELECT auth.resend_confirmation('nobody@example.com')$$);

-- read_only.
BEGIN READ ONLY;
SELECT * FROM said($$SELECT auth.signin('ada@example.com', 'a password of Ada''s')$$);
SELECT * FROM said(format('SELECT auth.renew(%L)', :'bob_refresh_token'));
ROLLBACK;

DROP EXTENSION auth_session;
