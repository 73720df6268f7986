-- auth_admin.revoke_all: after a restore or a leak, all that was made before
-- is dead. What others hold open is in isolation/revoke_all_wins, restores,
-- crashes and standbys in t/revoke_all.pl.
\ir helper/common.psql

BEGIN;
SELECT plan(50);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

CREATE ROLE pgtap_support;
GRANT USAGE ON SCHEMA auth_admin TO pgtap_support;
GRANT EXECUTE ON FUNCTION auth_admin.revoke_all TO pgtap_support;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS access, refresh_token AS refresh, session_id AS session FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS acting FROM auth_admin.impersonate(:'ada', 'a reason') \gset
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.mail(pg_temp.email('ada'), 'password_reset') AS mail \gset
SELECT :'mail'::jsonb ->> 'code' AS reset_code, :'mail'::jsonb ->> 'link_token' AS reset_link \gset
SELECT id AS eve FROM auth.signup(pg_temp.email('eve'), pg_temp.password()) \gset
SELECT pg_temp.mail(pg_temp.email('eve'), 'confirm_email') AS mail \gset
SELECT :'mail'::jsonb ->> 'code' AS eve_code, :'mail'::jsonb ->> 'link_token' AS eve_link \gset
SELECT auth.signup(pg_temp.email('waiting'), pg_temp.password()) \g /dev/null
SELECT count(*) AS living FROM auth_private.sessions WHERE expires_at > clock_timestamp() \gset
CREATE TEMP TABLE keys ON COMMIT DROP AS SELECT kid FROM auth_private.signing_keys;

-- ---- arguments ----

SELECT pg_temp.raises('SELECT auth_admin.revoke_all(clock_timestamp() + interval ''1 minute'')', 'invalid_request', 'the time does not lie in the future', 'future');
SELECT pg_temp.raises('SELECT auth_admin.revoke_all(''infinity'')', 'invalid_request', 'nor at its end');
SELECT pg_temp.raises('SELECT auth_admin.revoke_all(NULL)', 'invalid_request', 'it must be given');
SELECT pg_temp.raises('SELECT auth_admin.revoke_all(new_keys => NULL)', 'invalid_request', 'and so must new_keys');
SELECT pg_temp.raises_when_read_only('SELECT auth_admin.revoke_all()', 'not in a read-only transaction');
SELECT is(auth_admin.revoke_all('2000-01-01'), 0::bigint, 'nothing was made so long ago');
SELECT is(auth_admin.revoke_all('-infinity'), 0::bigint, 'nor before all time');
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'what was made since lives');
SELECT is((SELECT count(*) FROM auth.renew(:'refresh')), 1::bigint, 'and renews');
SELECT access_token AS access, refresh_token AS refresh FROM auth.renew(:'refresh') \gset
SELECT is(auth_admin.revoke_all((SELECT created_at FROM auth_private.sessions WHERE id = :'session')) < :living, true, 'the very moment is not before it');
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'a session of that moment lives');

-- ---- what is dead ----

SAVEPOINT before;
SET LOCAL ROLE pgtap_support;
SELECT auth_admin.revoke_all() AS ended \gset
RESET ROLE;
SELECT cmp_ok(:ended::bigint, '>=', 2::bigint, 'D15: it says how many sessions it ended');
SELECT is(auth_admin.revoke_all(), 0::bigint, 'and the second time none');
SELECT matches((SELECT concat_ws('|', actor, result, reason) FROM auth_admin.audit_log WHERE action = 'revoke_all' AND actor = 'pgtap_support'),
	'^pgtap_support\|ok\|\{"before": ?"\d{4}-.*Z", ?"new_keys": ?false\}$', 'the log has who, and before when');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'session_revoked', 'D15: dead: an access token');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'acting'), 'session_revoked', 'D15: an operator''s');
SELECT pg_temp.raises(format('SELECT auth.authenticate(%L)', :'access'), 'session_revoked', 'D15: a context');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'refresh'), 'session_revoked', 'D15: a refresh token');
SELECT lives_ok(format('SELECT auth.logout(refresh_token => %L)', :'refresh'), 'to log out of what is gone is no error');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, ''another good one'')', pg_temp.email('ada'), :'reset_code'), 'invalid_code', 'D15: a code');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset_link'), 'invalid_code', 'D15: a link');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('eve'), :'eve_code', pg_temp.password()), 'invalid_code', 'D15: a code of a sign-up');
SELECT pg_temp.raises(format('SELECT auth.confirm(code => %L, password => %L)', :'eve_link', pg_temp.password()), 'invalid_code', 'D15: its link');
SELECT is(pg_temp.mail(pg_temp.email('waiting'), 'confirm_email'), NULL, 'D15: a code that waits is not handed out');
SELECT auth.resend_confirmation(pg_temp.email('eve')) \g /dev/null
SELECT is(pg_temp.mail(pg_temp.email('eve'), 'confirm_email'), NULL, 'D15: a sign-up of before gets no new code');
SELECT pg_temp.raises(format('SELECT auth_admin.set_app(%L, ''{}'')', :'eve'), 'user_not_found', 'D15: nor is it there for operators');

-- ---- what lives ----

SELECT access_token AS new_access, refresh_token AS new_refresh FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is(auth.verify(:'new_access') ->> 'sub', :'ada', 'the right password signs in');
SELECT access_token AS new_access FROM auth.renew(:'new_refresh') \gset
SELECT is(auth.verify(:'new_access') ->> 'sub', :'ada', 'the new session renews');
SELECT auth.authenticate(:'new_access') \g /dev/null
SELECT results_eq('SELECT is_current FROM auth.sessions()', 'VALUES (true)', 'and is the only one to be seen');
SELECT results_eq(format('SELECT count(*) FROM auth_admin.sessions(%L)', :'ada'), 'VALUES (1::bigint)', 'for operators, too');
SELECT is(auth.logout_all(true), 0, 'there is no other to end');
RESET auth_session.context_token;
SELECT is((auth.signup(pg_temp.email('eve'), pg_temp.password())).status, 'pending', 'one signs up anew');
SELECT is((auth.confirm(pg_temp.email('eve'), pg_temp.code(pg_temp.email('eve'), 'confirm_email'), pg_temp.password())).status, 'active', 'and confirms');
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT lives_ok(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', pg_temp.link(pg_temp.email('ada'), 'password_reset')), 'a new link resets');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'new_access'), 'session_revoked', 'which ends sessions as ever');
SELECT is((SELECT count(DISTINCT kid) FROM auth_private.signing_keys JOIN keys USING (kid)), (SELECT count(*) FROM keys), 'the keys are the same');
SELECT auth_admin.revoke_all('2000-01-01') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'session_revoked', 'an earlier time takes nothing back');
ROLLBACK TO before;
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'what is rolled back has revoked nothing');

-- ---- new keys ----

SELECT auth_admin.create_signing_key('ES256') AS es \gset
SELECT auth_admin.activate_signing_key(:'es') \g /dev/null
SELECT auth_admin.create_signing_key('RS256') AS next \gset
SELECT access_token AS access, refresh_token AS refresh, session_id AS session FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'signed by a key of today');
SAVEPOINT keys;
SELECT auth_admin.revoke_all('2000-01-01', true) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'invalid_token', 'F21: with new keys no access token verifies');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'refresh'), 'invalid_token', 'D15: no refresh token, whenever its session began');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset_link'), 'invalid_code', 'D15: no link');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, ''another good one'')', pg_temp.email('ada'), :'reset_code'), 'invalid_code', 'D15: no code');
SELECT results_eq('SELECT algorithm, can_sign FROM auth_admin.signing_keys WHERE state <> ''retired''', $$VALUES ('ES256', true)$$, 'one key is left, of the algorithm that was in use');
SELECT isnt((SELECT kid FROM auth_admin.signing_keys WHERE state = 'active'), :'es', 'and it is another');
SELECT is_empty('SELECT FROM auth_private.signing_keys WHERE state = ''retired'' AND secret IS NOT NULL', 'no private part of the old ones is kept');
SELECT is((SELECT count(*) FROM auth_private.mac_keys), 1::bigint, 'nor an old MAC key');
SELECT is(jsonb_array_length(auth.jwks() -> 'keys'), 1, 'others are told of the new one only');
SELECT access_token AS new_access, refresh_token AS new_refresh FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is(auth.verify((auth.renew(:'new_refresh')).access_token) ->> 'sub', :'ada', 'a new sign-in is good, and renews');
ROLLBACK TO keys;
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'what is rolled back has replaced no key');

SELECT * FROM finish();
ROLLBACK;
