-- auth.signin_totp: the second step of a sign-in: what an mfa token is good for,
-- how often, how long, and how many codes can be tried.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(71);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT (pg_temp.enroll(access_token)).secret AS secret, access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
RESET auth_session.context_token;

-- ---- the first step ----

SELECT count(*) AS signins FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'new_signin' \gset
SELECT count(*) AS sessions FROM auth_private.sessions WHERE user_id = :'ada' \gset
CREATE TEMP TABLE first ON COMMIT DROP AS SELECT * FROM auth.signin(pg_temp.email('ada'), pg_temp.password());
SELECT results_eq('SELECT access_token, token_type, expires_in, expires_at, refresh_token, session_id, user_id FROM first',
	'VALUES (NULL::text, NULL::text, NULL::integer, NULL::timestamptz, NULL::text, NULL::uuid, NULL::uuid)', 'the password alone gives no token and no session');
SELECT matches(mfa_token, '^asm1_[A-Za-z0-9_-]{87}$', 'but an mfa token') FROM first;
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), :'sessions'::bigint, 'no session is opened');
SELECT is((SELECT count(*) FROM auth_private.token_cache WHERE user_id = :'ada'), :'sessions'::bigint, 'GHSA-xg6x-h9c9-2m83: and nothing is in the cache');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'new_signin'), :'signins'::bigint, 'nobody is told of a sign-in');
SELECT is(reason, 'second factor asked for', 'G6: the audit log has what it was')
FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'signin' ORDER BY id DESC LIMIT 1;
SELECT pg_temp.raises(format('SELECT auth.signin(%L, ''not this one'')', pg_temp.email('ada')), 'invalid_credentials', 'a wrong password is refused as ever');

-- ---- kinds of tokens ----

SELECT mfa_token AS m FROM first \gset
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'m'), 'invalid_token', 'F17: an mfa token is no access token');
SELECT pg_temp.raises(format('SELECT auth.authenticate(%L)', :'m'), 'invalid_token', 'F17: makes no context');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'m'), 'invalid_token', 'F17: is no refresh token');
SELECT pg_temp.raises(format('SELECT auth.logout(refresh_token => %L)', :'m'), 'invalid_token', 'F17: not for a logout either');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'m', pg_temp.password()), 'invalid_code', 'F17: and no link');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', token, pg_temp.totp(:'secret')), 'invalid_token', 'F17: ' || what || ' is no mfa token')
FROM (VALUES (:'a', 'an access token'), ('', 'nothing'), (upper(:'m'), 'another case'), (:'m' || '=', 'a padded one'), (left(:'m', -1), 'a shortened one'),
	('asm2_' || substr(:'m', 6), 'another version'), (replace(:'m', 'asm1_', 'asr1_'), 'another prefix'),
	(overlay(:'m' PLACING CASE substr(:'m', 70, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 70 FOR 1), 'a forged one'), (repeat('a', 1048576), 'a megabyte')) AS t (token, what);
SELECT pg_temp.raises(format('SELECT auth.signin_totp(NULL, %L)', pg_temp.totp(:'secret')), 'invalid_request', 'without a token', 'mfa_token');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, NULL)', :'m'), 'invalid_request', 'without a code', 'code');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, '''')', :'m'), 'invalid_code', 'with an empty code');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, repeat(''1'', 1048576))', :'m'), 'invalid_code', 'with a megabyte');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, ''1234567'')', :'m'), 'invalid_code', 'with seven digits');
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = :'ada'), 0::bigint, 'nothing of that was compared, and nothing counted');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret')), 'it writes');

-- ---- the second step ----

SELECT pg_temp.totp(:'secret') AS code \gset
CREATE TEMP TABLE second ON COMMIT DROP AS SELECT * FROM auth.signin_totp(:'m', :'code');
SELECT is(user_id, :'ada', 'with the code the user is signed in') FROM second;
SELECT is(mfa_token, NULL, 'and nothing more is asked for') FROM second;
SELECT ok(expires_in BETWEEN 898 AND 900 AND refresh_token ~ '^asr1_', 'by tokens as ever') FROM second;
SELECT is(auth.verify(access_token) ->> 'aal', 'aal2', 'aal2 in the token') FROM second;
SELECT is(auth.verify(access_token) -> 'amr', '["pwd", "otp", "mfa"]', 'RFC 8176: amr in the token') FROM second;
SELECT is(auth.verify(access_token) -> 'auth_time', auth.verify(access_token) -> 'iat', 'auth_time is now') FROM second;
SELECT results_eq(format('SELECT aal, amr FROM auth_private.sessions WHERE user_id = %L AND id = (SELECT session_id FROM second)', :'ada'),
	$$VALUES ('aal2', ARRAY['pwd', 'otp', 'mfa'])$$, 'both in the session');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'new_signin'), :'signins'::bigint + 1, 'and now the user is told of the sign-in');
SELECT is(result, 'ok', 'G6: the second step is in the audit log') FROM auth_admin.audit_log
WHERE user_id = :'ada' AND action = 'signin_totp' AND session_id = (SELECT session_id FROM second);
SELECT is(auth.verify((auth.renew(refresh_token)).access_token) ->> 'aal', 'aal2', 'a renewal keeps the level') FROM second;

-- ---- once ----

SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret', 1)), 'invalid_token', 'C1: an mfa token is good once, whatever the code', 'Sign in again');
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', :'code'), 'invalid_code', 'RFC 6238 section 5.2: and so is a code');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret', -1)), 'invalid_code', 'nor is an older one');
SELECT isnt((auth.signin_totp(:'m', pg_temp.totp(:'secret', 1))).access_token, NULL, 'the next one is');
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = :'ada'), 0::bigint, 'after which nothing counts');

-- Two steps early or late: an hour's worth of both is refused.
SELECT pg_temp.forget_steps(:'ada') \g /dev/null
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret', 3)), 'invalid_code', 'a clock that is a minute ahead is refused');
SELECT isnt((auth.signin_totp(:'m', pg_temp.totp(:'secret', -1))).access_token, NULL, 'one that is a step behind is not');

-- Two first steps at once: each can be ended.
SELECT pg_temp.forget_steps(:'ada') \g /dev/null
SELECT mfa_token AS m1 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT mfa_token AS m2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT isnt((auth.signin_totp(:'m2', pg_temp.totp(:'secret', -1))).access_token, NULL, 'of two sign-ins at once the later goes on');
SELECT isnt((auth.signin_totp(:'m1', pg_temp.totp(:'secret', 0))).access_token, NULL, 'and the other too');

-- ---- what ends an mfa token ----

CREATE FUNCTION pg_temp.ends(what text, statement text, code text DEFAULT 'invalid_token') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	ada uuid := (SELECT id FROM auth_private.accounts WHERE email = pg_temp.email('ada'));
	secret text := current_setting('pgtap.secret');
	token text;
	got jsonb;
BEGIN
	PERFORM pg_temp.forget_steps(ada);
	token := (auth.signin(pg_temp.email('ada'), pg_temp.password())).mfa_token;
	EXECUTE statement;
	got := pg_temp.failure(format('SELECT auth.signin_totp(%L, %L)', token, pg_temp.totp(secret)));
	RETURN is(got ->> 'detail', code, what);
END
$$;
SELECT set_config('pgtap.secret', :'secret', true) \g /dev/null
SELECT pg_temp.ends('nothing ends one by itself', 'SELECT 1', NULL);
SELECT pg_temp.ends('D10: an operator''s end of all sessions', format('SELECT auth_admin.revoke_sessions(%L)', :'ada'));
SELECT pg_temp.ends('D9: a ban', format('SELECT auth_admin.ban(%L)', :'ada'));
SELECT auth_admin.unban(:'ada') \g /dev/null
SELECT pg_temp.ends('a new password', format('SELECT auth_admin.set_password(%L, %L)', :'ada', pg_temp.password()));
SELECT pg_temp.ends('a factor that went meanwhile', format('UPDATE auth_private.factors SET confirmed_at = NULL WHERE user_id = %L', :'ada'));
UPDATE auth_private.factors SET confirmed_at = now() WHERE user_id = :'ada';
SELECT pg_temp.ends('new server keys', 'DELETE FROM auth_private.mac_keys');

-- ---- a reset skips nothing ----

SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT auth.reset_password(code => pg_temp.link(pg_temp.email('ada'), 'password_reset'), new_password => pg_temp.password()) \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada' AND confirmed_at IS NOT NULL), 1::bigint, 'C9: a reset removes no second factor');
SELECT pg_temp.forget_steps(:'ada') \g /dev/null
SELECT mfa_token AS m, access_token AS none FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT isnt(:'m'::text, '', 'C9: and the new password is asked for it, too');
SELECT access_token AS a FROM auth.signin_totp(:'m', pg_temp.totp(:'secret')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT auth.change_password(pg_temp.password(), pg_temp.password()) \g /dev/null
RESET auth_session.context_token;
SELECT isnt((pg_temp.signin(pg_temp.email('ada'))).mfa_token, NULL, 'nor does a change of password');

-- ---- how many codes can be tried ----

SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT secret AS bobs, recovery_codes[1] AS recovery1, recovery_codes[2] AS recovery2
FROM pg_temp.signin(pg_temp.email('bob')) AS t, LATERAL pg_temp.enroll(t.access_token) \gset
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', mfa_token, pg_temp.no_totp(:'bobs')), 'invalid_code', 'C5: wrong code number ' || n)
FROM generate_series(1, 5) AS n, LATERAL pg_temp.signin(pg_temp.email('bob'), CASE WHEN n > 0 THEN pg_temp.password() END);
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'bobs')), 'throttled',
	'C5: after five no more is looked at, a right one neither; a new sign-in refills nothing', '^[0-9]+$');
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = :'bob' AND purpose = 'totp'), 5::bigint, 'C5: five are on record, whatever was rolled back');
SELECT auth.authenticate(access_token) FROM auth.signin_totp(:'m', :'recovery1') \g /dev/null
SELECT is(auth.uid(), :'bob', 'a recovery code is still good');
RESET auth_session.context_token;
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT isnt((auth.signin_totp(:'m', pg_temp.totp(:'bobs'))).access_token, NULL, 'and forgives the wrong codes');

-- Twenty since the last success, however long ago the earlier ones were.
SELECT pg_temp.forget_steps(:'bob') \g /dev/null
INSERT INTO auth_private.code_failures (identifier, id, purpose, failed_at)
SELECT :'bob', gen_random_uuid(), 'totp', clock_timestamp() - interval '1 hour' FROM generate_series(1, 19);
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.no_totp(:'bobs')), 'invalid_code', 'the twentieth is compared', 'app shows');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'bobs')), 'invalid_code',
	'B7: from then on the app''s codes are not looked at', 'recovery code');
SELECT isnt((auth.signin_totp(:'m', :'recovery2')).access_token, NULL, 'B7: but recovery codes are: nobody can lock the owner out');

-- ---- a token of another's ----

SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret')), 'invalid_code', 'another user''s code is a wrong one');

-- ---- what is left of it ----

UPDATE auth_private.mfa_uses SET expires_at = clock_timestamp() WHERE user_id IN (:'ada', :'bob');
SELECT cmp_ok(auth_admin.prune(100), '>=', 5, 'uses of tokens that have expired are pruned');
SELECT is((SELECT count(*) FROM auth_private.mfa_uses WHERE user_id IN (:'ada', :'bob')), 0::bigint, 'all of them');

SELECT * FROM finish();
ROLLBACK;
