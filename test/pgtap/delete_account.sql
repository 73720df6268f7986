-- auth.delete_account: the user's own, with the password, at once and for good.
\ir helper/common.psql

BEGIN;
SELECT plan(41);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.events = 'user_deleted, session_ended';

CREATE FUNCTION pg_temp.deletion(password text DEFAULT pg_temp.password()) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT auth.delete_account(%L)', password)
$$;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a2, refresh_token AS r2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset

-- ---- refused ----

SELECT pg_temp.raises(pg_temp.deletion(), 'not_authenticated', 'without a context nothing is deleted');
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises_when_read_only(pg_temp.deletion(), 'nor in a read-only transaction');
SELECT pg_temp.raises(pg_temp.deletion('a wrong password'), 'invalid_credentials', 'nor with a wrong password');
SELECT pg_temp.raises(pg_temp.deletion(''), 'invalid_credentials', 'nor with an empty one');
SELECT pg_temp.raises(pg_temp.deletion(NULL), 'invalid_request', 'nor without one', 'password');
SELECT pg_temp.raises(pg_temp.deletion(repeat('a', 1048576)), 'invalid_request', 'a megabyte is no password', 'password');
SET LOCAL auth_session.signin_rate_per_account = 3;
SELECT pg_temp.failure(pg_temp.deletion('a wrong password')) FROM generate_series(1, 3) \g /dev/null
SELECT pg_temp.raises(pg_temp.deletion(), 'throttled', 'wrong ones count');
SET LOCAL auth_session.signin_rate_per_account = 0;
SELECT is((SELECT count(*) FROM auth_private.accounts WHERE id = :'ada'), 1::bigint, 'the account is there after all that');
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'and so is its session');

-- ---- deleted ----

SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada'), 'password_reset') AS reset \gset
SELECT auth.change_email(pg_temp.email('ada2'), pg_temp.password()) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada2'), 'email_change') AS change \gset
SELECT is(pg_temp.failure(pg_temp.deletion()), '{}', 'the right password deletes it');
SELECT is(auth.uid(), NULL, 'the very next look finds nobody');
SELECT pg_temp.raises(pg_temp.deletion(), 'session_revoked', 'and nothing is left to delete');
SELECT pg_temp.raises('SELECT auth.account()', 'session_revoked', 'nor to show');
SELECT pg_temp.raises('SELECT auth.export_account()', 'session_revoked', 'nor to export');
RESET auth_session.context_token;
SELECT is_empty(format('SELECT FROM auth_private.%I WHERE %I = %L', t, c, :'ada'), 'no row is left in ' || t)
FROM (VALUES ('accounts', 'id'), ('identifiers', 'user_id'), ('sessions', 'user_id'), ('token_cache', 'user_id'), ('codes', 'user_id')) AS v (t, c);
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a2'), 'session_revoked', 'D9, B11: verify');
SELECT pg_temp.raises(format('SELECT auth.authenticate(%L)', :'a2'), 'session_revoked', 'B11: list, and whatever needs a context');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r'), 'session_revoked', 'B11: renew');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r2'), 'session_revoked', 'B11: of whatever session');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'invalid_credentials', 'B1, B11: sign-in, as for an unknown account');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset'), 'invalid_code', 'B11: recovery');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L)', :'change'), 'invalid_code', 'B11: confirm');
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT is(pg_temp.mail(pg_temp.email('ada'), 'password_reset'), NULL, 'B11: nothing is sent any more');
SELECT is((SELECT count(*) FROM auth_admin.deleted_users WHERE id = :'ada'), 1::bigint, 'H3: applications follow');
SELECT is((SELECT string_agg(kind, ', ' ORDER BY kind) FROM auth_private.outbox WHERE user_id = :'ada' AND channel = 'event'), 'session_ended, user_deleted', 'and hear of it');
SELECT is((SELECT concat_ws('|', actor, result) FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'delete_account' AND result = 'ok'), 'user|ok', 'the log has it');
SELECT is((SELECT count(*) FROM auth_private.accounts WHERE id = :'bob'), 1::bigint, 'nobody else is touched');
SELECT isnt(pg_temp.account(pg_temp.email('ada')), :'ada', 'the address is free, for a new account');

-- ---- without a password ----

SELECT access_token AS b, refresh_token AS rb, session_id AS sb FROM pg_temp.signin(pg_temp.email('bob')) \gset
UPDATE auth_private.accounts SET password_hash = NULL WHERE id = :'bob';
UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '11 minutes' WHERE id = :'sb';
SELECT access_token AS b, refresh_token AS rb FROM auth.renew(:'rb') \gset
SELECT auth.authenticate(:'b') \g /dev/null
SELECT pg_temp.raises(pg_temp.deletion(NULL), 'reauthentication_required', 'an account without a password takes a recent sign-in');
SELECT pg_temp.raises(pg_temp.deletion('any password'), 'invalid_credentials', 'and no password is right');
UPDATE auth_private.sessions SET auth_time = clock_timestamp() WHERE id = :'sb';
SELECT access_token AS b FROM auth.renew(:'rb') \gset
RESET auth_session.context_token;

-- ---- who acts for the user ----

SELECT set_config('auth_session.trusted_claims_roles', quote_ident(session_user), true) \g /dev/null
SELECT set_config('request.jwt.claims', (auth.verify(:'b') || '{"act": {"sub": "support"}}')::text, true) \g /dev/null
SELECT pg_temp.raises(pg_temp.deletion(NULL), 'reauthentication_required', 'who acts for the user deletes nothing');
SELECT set_config('request.jwt.claims', '', true) \g /dev/null
SELECT auth.authenticate(:'b') \g /dev/null
SELECT is(pg_temp.failure(pg_temp.deletion(NULL)), '{}', 'a recent sign-in does it');
SELECT is_empty(format('SELECT FROM auth_private.accounts WHERE id = %L', :'bob'), 'and the account is gone');

-- ---- where triggers are off ----

SELECT pg_temp.account(pg_temp.email('eve')) AS eve \gset
SELECT access_token AS e, refresh_token AS re FROM pg_temp.signin(pg_temp.email('eve')) \gset
SELECT auth.authenticate(:'e') \g /dev/null
SET LOCAL session_replication_role = replica;
SELECT is(pg_temp.failure(pg_temp.deletion()), '{}', 'session_replication_role = replica keeps nobody from deleting an account');
SELECT is(current_setting('session_replication_role'), 'replica', 'which is the caller''s again after it');
SET LOCAL session_replication_role = origin;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'e'), 'session_revoked', 'D9: nor its sessions from ending with it');
SELECT is_empty(format('SELECT FROM auth_private.identifiers WHERE user_id = %L', :'eve'), 'nor its address from being free');

SELECT * FROM finish();
ROLLBACK;
