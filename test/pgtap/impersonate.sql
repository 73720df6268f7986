-- auth_admin.impersonate: an operator acts for a user, and is never the user.
\ir helper/common.psql

BEGIN;
SELECT plan(44);
SET LOCAL auth_session.events = 'session_started, session_ended';

CREATE ROLE pgtap_support;
GRANT USAGE ON SCHEMA auth_admin TO pgtap_support;
GRANT EXECUTE ON FUNCTION auth_admin.impersonate TO pgtap_support;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS own, refresh_token AS own_refresh, session_id AS own_session FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT count(*) AS mails FROM auth_private.outbox WHERE user_id = :'ada' AND channel = 'email' \gset

SET LOCAL ROLE pgtap_support;
SELECT access_token AS token, refresh_token IS NULL AS has_no_refresh, session_id AS session, user_id, token_type, mfa_token IS NULL AS has_no_mfa,
	expires_in BETWEEN 598 AND 600 AS is_ten_minutes, expires_at
FROM auth_admin.impersonate(:'ada', E'ticket\t4711') \gset
RESET ROLE;

-- ---- what is answered ----

SELECT is(:'user_id'::uuid, :'ada', 'the tokens are the user''s');
SELECT ok(:'has_no_refresh' AND :'has_no_mfa' AND :'token_type' = 'bearer', 'with an access token only');
SELECT ok(:'is_ten_minutes', 'for ten minutes');
SELECT pg_temp.claims(:'token') AS claims \gset
SELECT is(:'claims'::jsonb -> 'act', '{"sub": "pgtap_support"}', 'act names the role that called (RFC 8693)');
SELECT is(:'claims'::jsonb -> 'amr', '["impersonation"]', 'amr is impersonation');
SELECT is(:'claims'::jsonb ->> 'aal', 'aal1', 'at the lowest level');
SELECT is(:'claims'::jsonb -> 'auth_time', NULL::jsonb, 'the user has not shown up');
SELECT is(:'claims'::jsonb ->> 'sub', :'ada', 'sub is the user');
SELECT is((:'claims'::jsonb ->> 'exp')::bigint, floor(extract(epoch FROM :'expires_at'::timestamptz))::bigint, 'exp is what was answered');
SELECT is(auth.verify(:'token') -> 'act' ->> 'sub', 'pgtap_support', 'it verifies');
SELECT is(pg_temp.claims(:'own') -> 'act', NULL::jsonb, 'the user''s own tokens have no act');
SELECT ok((SELECT expires_at = ends_at AND access_expires_at = ends_at AND ends_at <= created_at + interval '10 minutes' FROM auth_private.sessions WHERE id = :'session'),
	'the session ends with its token');

-- ---- who sees it ----

SELECT is((SELECT concat_ws('|', actor, result, reason, session_id) FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'impersonate'),
	'pgtap_support|ok|ticket4711|' || :'session', 'the log has who, why and which session');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND channel = 'email'), :'mails'::bigint, 'nothing is sent to the user');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'session_started'), 2::bigint, 'applications hear of the session');
SELECT auth.authenticate(:'own') \g /dev/null
SELECT is((SELECT concat_ws('|', amr, ip, user_agent, is_current) FROM auth.sessions() WHERE id = :'session'), '{impersonation}|f', 'the user sees it, and not from where');
RESET auth_session.context_token;

-- ---- what it may ----

SELECT auth.authenticate(:'token') \g /dev/null
SELECT is(auth.uid(), :'ada', 'it is the user to policies');
SELECT is((auth.account()).id, :'ada', 'it reads the account');
SELECT is((SELECT count(*) FROM auth.sessions()), 2::bigint, 'and the sessions');
SELECT pg_temp.raises('SELECT auth.update_info(''{}'')', 'reauthentication_required', 'it does not change the info');
SELECT pg_temp.raises(format('SELECT auth.change_password(%L, ''another good one'')', pg_temp.password()), 'reauthentication_required', 'nor the password, though it is right');
-- Functions that change an account, as far as there are any more of them.
SELECT is_empty($$
	SELECT p.proname FROM (VALUES ('delete_account', format('%L', pg_temp.password())), ('change_email', format('%L, %L', pg_temp.email('other'), pg_temp.password())),
		('change_phone', format('%L, %L', pg_temp.phone(1), pg_temp.password())), ('cancel_change', ''), ('enroll_totp', ''), ('confirm_totp', '''123456'''),
		('disable_totp', format('%L, ''123456''', pg_temp.password())), ('recovery_codes', format('%L', pg_temp.password())),
		('reauthenticate', format('%L', pg_temp.password())), ('create_api_key', '''name'''), ('require_recent', '''1 day''')) AS call (name, arguments)
	JOIN pg_proc AS p ON p.pronamespace = 'auth'::regnamespace AND p.proname = call.name,
	LATERAL pg_temp.failure(format('SELECT auth.%I(%s)', call.name, call.arguments)) AS got
	WHERE got ->> 'detail' IS DISTINCT FROM 'reauthentication_required'$$,
	'nor anything else');
SELECT pg_temp.raises('SELECT auth.renew(NULL)', 'invalid_request', 'there is nothing to renew it with');
SELECT lives_ok('SELECT auth.logout()', 'it logs out');
SELECT is((SELECT actor FROM auth_admin.audit_log WHERE session_id = :'session' AND action = 'logout'), 'pgtap_support', 'for which the log has the operator, and not the user');
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'token'), 'session_revoked', 'and has ended');
SELECT is(auth.verify(:'own') ->> 'sub', :'ada', 'the user''s own goes on');

-- ---- what ends it ----

SELECT access_token AS token, session_id AS session FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT auth.authenticate(:'own') \g /dev/null
SELECT auth.logout(:'session') \g /dev/null
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'token'), 'session_revoked', 'the user ends it as any session');
SELECT access_token AS token FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT auth.authenticate(:'own') \g /dev/null
SELECT is(auth.logout_all(true), 1, 'or with all others');
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'token'), 'session_revoked', 'it is gone with them');
SELECT access_token AS token FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT auth_admin.set_password(:'ada', 'chosen by an operator') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'token'), 'session_revoked', 'C11: a new password ends it');
SELECT access_token AS token FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT auth_admin.ban(:'ada') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'token'), 'session_revoked', 'D9: and so does a ban');

-- ---- whom it is refused for ----

SELECT pg_temp.raises(format('SELECT auth_admin.impersonate(%L, ''a reason'')', :'ada'), 'banned', 'B11: nobody acts for who is banned');
SELECT auth_admin.unban(:'ada') \g /dev/null
SELECT id AS pending FROM auth.signup(pg_temp.email('pending'), pg_temp.password()) \gset
SELECT pg_temp.raises(format('SELECT auth_admin.impersonate(%L, ''a reason'')', :'pending'), 'not_confirmed', 'nor for a sign-up that is pending');
SELECT pg_temp.raises(format('SELECT auth_admin.impersonate(%L, ''a reason'')', gen_random_uuid()), 'user_not_found', 'nor for nobody');
SELECT pg_temp.raises('SELECT auth_admin.impersonate(NULL, ''a reason'')', 'invalid_request', 'a user must be given');
SELECT pg_temp.raises(format('SELECT auth_admin.impersonate(%L, %L)', :'ada', reason), 'invalid_request', 'a reason must be given: ' || what)
FROM (VALUES ('none', NULL), ('empty', ''), ('too long', repeat('x', 1025))) AS bad (what, reason);
SELECT pg_temp.raises_when_read_only(format('SELECT auth_admin.impersonate(%L, ''a reason'')', :'ada'), 'not in a read-only transaction');

-- ---- limits and lives ----

SET LOCAL auth_session.max_sessions_per_user = 1;
SELECT access_token AS own FROM pg_temp.signin(pg_temp.email('ada'), 'chosen by an operator') \gset
SELECT access_token AS token FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT is(auth.verify(:'own') ->> 'sub', :'ada', 'it takes no session of the user''s away');
SELECT access_token AS own FROM pg_temp.signin(pg_temp.email('ada'), 'chosen by an operator') \gset
SELECT is(auth.verify(:'token') ->> 'sub', :'ada', 'nor does a sign-in end it: it is not counted');
SET LOCAL auth_session.max_sessions_per_user = 0;
SET LOCAL auth_session.access_token_ttl = 60;
SET LOCAL auth_session.session_max_age = 300;
SELECT cmp_ok((auth_admin.impersonate(:'ada', 'a reason')).expires_in, '<=', 300, 'session_max_age bounds it, too');

-- A hook adds what it likes, but not who acts.
CREATE SCHEMA pgtap_hook;
CREATE FUNCTION pgtap_hook.claims(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT claims - 'act' - 'amr' || '{"act": {"sub": "nobody"}}' $$;
SET LOCAL auth_session.claims_hook = 'pgtap_hook.claims';
SELECT is(pg_temp.claims((auth_admin.impersonate(:'ada', 'a reason')).access_token) #>> '{act,sub}', current_user::text, 'a hook can neither take act away nor change it');

SELECT * FROM finish();
ROLLBACK;
