-- Who changes an account proves to own it, and not only a token of it: by the
-- password, or where the account has none, by a recent sign-in; and never
-- somebody who acts for the user.
\ir helper/common.psql

BEGIN;
SELECT plan(14);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'a') \g /dev/null

-- ---- with a password ----

SELECT pg_temp.raises('SELECT auth.change_password(NULL, ''another good one'')', 'invalid_request',
	'A9: where there is a password, a recent sign-in does not stand in for it', 'current_password');
SELECT pg_temp.raises('SELECT auth.change_password(''not this one'', ''another good one'')', 'invalid_credentials', 'A9: nor does a wrong one');

-- ---- without one ----

UPDATE auth_private.accounts SET password_hash = NULL WHERE id = :'ada';
SELECT pg_temp.raises(format('SELECT auth.change_password(%L, ''another good one'')', pg_temp.password()), 'invalid_credentials',
	'an account without a password has no right one');
UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '11 minutes' WHERE id = :'s';
SELECT access_token AS old, refresh_token AS r FROM auth.renew(:'r') \gset
SELECT is((auth.verify(:'old') ->> 'auth_time')::bigint, (SELECT extract(epoch FROM date_trunc('second', auth_time))::bigint FROM auth_private.sessions WHERE id = :'s'),
	'a renewal shows nothing anew: auth_time stays');
SELECT auth.authenticate(:'old') \g /dev/null
SELECT pg_temp.raises('SELECT auth.change_password(NULL, ''another good one'')', 'reauthentication_required',
	'a sign-in of more than ten minutes ago proves nothing');
SELECT is((SELECT password_hash FROM auth_private.accounts WHERE id = :'ada'), NULL, 'and nothing was changed');
UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '9 minutes' WHERE id = :'s';
SELECT access_token AS recent FROM auth.renew(:'r') \gset
SELECT auth.authenticate(:'recent') \g /dev/null
SELECT lives_ok('SELECT auth.change_password(NULL, ''another good one'')', 'one of less does');
SELECT is((pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), 'another good one'))), '{}', 'and gives the account its password');

-- ---- who acts for the user ----

RESET auth_session.context_token;
SELECT set_config('auth_session.trusted_claims_roles', quote_ident(session_user), true) \g /dev/null
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT auth.verify(access_token) AS claims, session_id AS bobs FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT set_config('request.jwt.claims', :'claims', true) \g /dev/null
SELECT is(auth.uid(), :'bob', 'the user');
SELECT lives_ok('SELECT auth.update_info(''{"a": 1}'')', 'changes what is the user''s');
SELECT set_config('request.jwt.claims', (:'claims'::jsonb || '{"act": {"sub": "support"}}')::text, true) \g /dev/null
SELECT is(auth.uid(), :'bob', 'who acts for the user (RFC 8693) is seen as the user');
SELECT pg_temp.raises('SELECT auth.update_info(''{"a": 2}'')', 'reauthentication_required', 'and changes nothing');
SELECT pg_temp.raises(format('SELECT auth.change_password(%L, ''another good one'')', pg_temp.password()), 'reauthentication_required', 'by the right password neither');
SELECT lives_ok('SELECT auth.logout()', 'but may log out');

SELECT * FROM finish();
ROLLBACK;
