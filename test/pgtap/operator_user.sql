-- What operators do to a user: find, ban, unban, unlock, delete, set a
-- password, app data and addresses, send a reset, see and end sessions.
\ir helper/common.psql

BEGIN;
SELECT plan(78);
SET LOCAL auth_session.events = 'user_created, user_changed, user_banned, user_deleted, session_ended';
SET LOCAL auth_session.resend_cooldown = 0;

-- The newest audit row of an action about a user.
CREATE FUNCTION pg_temp.audited(of_user uuid, of_action text) RETURNS text LANGUAGE sql AS $$
	SELECT concat_ws('|', actor, result, reason) FROM auth_admin.audit_log
	WHERE user_id = of_user AND action = of_action ORDER BY id DESC LIMIT 1
$$;
CREATE FUNCTION pg_temp.event(of_user uuid, of_kind text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM auth_private.outbox WHERE user_id = of_user AND kind = of_kind AND channel = 'event'
$$;
CREATE ROLE pgtap_support;
GRANT USAGE ON SCHEMA auth_admin TO pgtap_support;
GRANT EXECUTE ON FUNCTION auth_admin.ban TO pgtap_support;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset

-- ---- find_user ----

SELECT is((SELECT id FROM auth_admin.find_user(upper(pg_temp.email('ada')))), :'ada', 'an account is found by its email, in whatever case');
SELECT is_empty(format('SELECT FROM auth_admin.find_user(%L)', pg_temp.email('nobody')), 'an unknown one is not');
SELECT auth.signup(pg_temp.email('ada'), 'another password of mine') \g /dev/null
SELECT auth.signup(pg_temp.email('ada'), 'another password of mine') \g /dev/null
SELECT results_eq(format('SELECT id = %L, status FROM auth_admin.find_user(%L)', :'ada', pg_temp.email('ada')),
	$$VALUES (true, 'active'), (false, 'pending'), (false, 'pending')$$, 'the owner comes first, then whoever is pending there');
SELECT pg_temp.raises('SELECT auth_admin.find_user(''nonsense'')', 'invalid_request', 'what is no address is told');
SELECT pg_temp.raises('SELECT auth_admin.find_user(NULL)', 'invalid_request', 'and so is NULL');

-- ---- ban and unban ----

SELECT access_token AS access, refresh_token AS refresh FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada'), 'password_reset') AS reset \gset
SET LOCAL ROLE pgtap_support;
SELECT auth_admin.ban(:'ada', reason => E'sent\tspam') \g /dev/null
RESET ROLE;
SELECT is(pg_temp.audited(:'ada', 'ban'), 'pgtap_support|ok|sentspam', 'the log has a ban, the role that called as its actor, and why');
SELECT is((SELECT concat_ws('|', status, banned_until, ban_reason) FROM auth_admin.users WHERE id = :'ada'), 'banned|sentspam', 'users shows it');
SELECT is(pg_temp.event(:'ada', 'user_banned'), 1::bigint, 'applications hear of it');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'session_revoked', 'D9, B11: a ban ends the sessions: verify');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'refresh'), 'session_revoked', 'B11: renew');
SELECT pg_temp.raises(format('SELECT auth.authenticate(%L)', :'access'), 'session_revoked', 'B11: list, and whatever needs a context');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'banned', 'B11: sign-in, after the right password');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, ''a wrong password'')', pg_temp.email('ada')), 'invalid_credentials', 'B1: and not after a wrong one');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset'), 'invalid_code', 'B11: recovery');
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT is(pg_temp.mail(pg_temp.email('ada'), 'password_reset'), NULL, 'B11: nothing is sent to a banned user');
SELECT auth_admin.unban(:'ada') \g /dev/null
SELECT is(pg_temp.audited(:'ada', 'unban'), current_user || '|ok', 'the log has who lifted it');
SELECT is((SELECT concat_ws('|', status, banned_at, ban_reason) FROM auth_admin.users WHERE id = :'ada'), 'active', 'the account is what it was');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'session_revoked', 'its old sessions stay ended');
SELECT is((pg_temp.signin(pg_temp.email('ada'))).user_id, :'ada', 'and it signs in');
SELECT count(*) AS rows FROM auth_admin.audit_log WHERE user_id = :'ada' \gset
SELECT auth_admin.unban(:'ada') \g /dev/null
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'ada'), :'rows', 'to lift no ban is silent');

SELECT auth_admin.ban(:'ada', clock_timestamp() + interval '50 milliseconds') \g /dev/null
SELECT pg_temp.wait_until(clock_timestamp() + interval '50 milliseconds') \g /dev/null
SELECT is((pg_temp.signin(pg_temp.email('ada'))).user_id, :'ada', 'D9: a ban with an end ends by itself');
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'ada'), 'active', 'and is shown no more');
SELECT access_token AS access FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth_admin.unban(:'ada') \g /dev/null
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'D9: to lift one that has ended ends no session');
SELECT pg_temp.raises(format('SELECT auth_admin.ban(%L, ''yesterday'')', :'ada'), 'invalid_request', 'a ban does not end in the past');
SELECT pg_temp.raises(format('SELECT auth_admin.ban(%L, ''-infinity'')', :'ada'), 'invalid_request', 'nor before all time');
SELECT pg_temp.raises(format('SELECT auth_admin.ban(%L, NULL, repeat(''x'', 1025))', :'ada'), 'invalid_request', 'a reason has a bound');
SELECT auth_admin.ban(:'ada', 'infinity') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'banned', 'for ever is for ever');
SELECT auth_admin.unban(:'ada') \g /dev/null

-- A pending sign-up is pending again after its ban.
SELECT id AS eve FROM auth.signup(pg_temp.email('eve'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('eve')) AS code \gset
SELECT auth_admin.ban(:'eve') \g /dev/null
SELECT auth_admin.unban(:'eve') \g /dev/null
SELECT is((SELECT status FROM auth_admin.users WHERE id = :'eve'), 'pending', 'a sign-up that was banned is pending again');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('eve'), :'code', pg_temp.password()), 'invalid_code', 'its codes died of the ban');
SELECT auth.resend_confirmation(pg_temp.email('eve')) \g /dev/null
SELECT is((auth.confirm(pg_temp.email('eve'), pg_temp.code(pg_temp.email('eve'), 'confirm_email'), pg_temp.password())).status, 'active', 'and it can be confirmed');

-- ---- unlock ----

SET LOCAL auth_session.signin_rate_per_account = 1;
SELECT pg_temp.failure(format('SELECT auth.signin(%L, ''a wrong password'')', pg_temp.email('bob'))) ->> 'detail' FROM generate_series(1, 10) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('bob'), pg_temp.password()), 'throttled', 'B4: after too many failures the right password is refused');
SELECT auth_admin.unlock(:'bob') \g /dev/null
SELECT is((pg_temp.signin(pg_temp.email('bob'))).user_id, :'bob', 'B7: an operator forgives them');
SELECT is(pg_temp.audited(:'bob', 'unlock'), current_user || '|ok', 'and the log has it');
RESET auth_session.signin_rate_per_account;

-- So are passwords that were tried beside a right code.
SELECT id AS pat FROM auth.signup(pg_temp.email('pat'), pg_temp.password()) \gset
SELECT pg_temp.code(pg_temp.email('pat')) AS code \gset
SELECT is(count(*) FILTER (WHERE pg_temp.failure(format('SELECT auth.confirm(%L, %L, ''a wrong password'')', pg_temp.email('pat'), :'code')) ->> 'detail' = 'throttled'), 1::bigint,
	'B4: of 21 wrong passwords at a right code one is not looked at') FROM generate_series(1, 21);
SELECT auth_admin.unlock(:'pat') \g /dev/null
SELECT is((auth.confirm(pg_temp.email('pat'), :'code', pg_temp.password())).status, 'active', 'B7: an operator forgives these, too');

-- ---- set_password ----

SELECT access_token AS access, refresh_token AS refresh FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT auth.request_password_reset(pg_temp.email('bob')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('bob'), 'password_reset') AS reset \gset
SELECT auth_admin.set_password(:'bob', 'chosen by an operator') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'access'), 'session_revoked', 'C11: a password that an operator sets ends the sessions');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'refresh'), 'session_revoked', 'C11: and their refresh tokens');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset'), 'invalid_code', 'C11: and the codes');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('bob'), pg_temp.password()), 'invalid_credentials', 'the old password is no more');
SELECT is((pg_temp.signin(pg_temp.email('bob'), 'chosen by an operator')).user_id, :'bob', 'the new one signs in');
SELECT isnt(pg_temp.mail(pg_temp.email('bob'), 'password_changed'), NULL, 'C11, B12: the user is told');
SELECT is(pg_temp.mail(pg_temp.email('bob'), 'password_changed') ->> 'ip', NULL, 'but not from where');
SELECT is(pg_temp.audited(:'bob', 'set_password'), current_user || '|ok', 'the log has who did it');
SELECT pg_temp.raises(format('SELECT auth_admin.set_password(%L, ''password'')', :'bob'), 'weak_password', 'C11: the rules are those of everybody');
SELECT pg_temp.raises(format('SELECT auth_admin.set_password(%L, NULL)', :'bob'), 'invalid_request', 'a password must be given');

-- ---- set_app ----

SELECT auth_admin.set_app(:'bob', '{"plan": "pro"}') \g /dev/null
SELECT refresh_token AS refresh FROM pg_temp.signin(pg_temp.email('bob'), 'chosen by an operator') \gset
SELECT is(pg_temp.claims((auth.renew(:'refresh')).access_token) -> 'app', '{"plan": "pro"}', 'app data are in the next access token');
SELECT is(pg_temp.event(:'bob', 'user_changed'), 1::bigint, 'applications hear of it');
SELECT pg_temp.raises(format('SELECT auth_admin.set_app(%L, %L)', :'bob', app), 'invalid_request', 'app data are an object that a token can carry: ' || what)
FROM (VALUES ('an array', '[]'::jsonb), ('a number', '1'), ('too large', jsonb_build_object('a', repeat('x', 8192))),
	('too deep', (repeat('{"a":', 40) || '1' || repeat('}', 40))::jsonb), ('none', NULL)) AS bad (what, app);

-- ---- set_email and set_phone ----

SELECT access_token AS access FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada'), 'password_reset') AS reset \gset
SELECT pg_temp.raises(format('SELECT auth_admin.set_email(%L, %L)', :'ada', pg_temp.email('bob')), 'already_exists', 'an address of another''s is refused');
SELECT id AS squatter FROM auth.signup(pg_temp.email('ada2'), 'another password of mine') \gset
SELECT auth_admin.set_email(:'ada', pg_temp.email('Ada2')) \g /dev/null
SELECT is((SELECT concat_ws('|', email, email_confirmed_at IS NOT NULL) FROM auth_admin.users WHERE id = :'ada'), pg_temp.email('Ada2') || '|t', 'an operator''s word confirms an address');
SELECT is((pg_temp.signin(pg_temp.email('ada2'))).user_id, :'ada', 'it signs in by the new address');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'invalid_credentials', 'and not by the old one');
SELECT is(auth.verify(:'access') ->> 'sub', :'ada', 'its sessions go on');
SELECT isnt(pg_temp.mail(pg_temp.email('ada'), 'email_changed'), NULL, 'B12: the old address is told');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => ''another good one'')', :'reset'), 'invalid_code', 'C6: what was sent there is good for nothing');
SELECT is_empty(format('SELECT FROM auth_admin.users WHERE id = %L', :'squatter'), 'C13: who was pending at the new address is gone');
SELECT is((auth.signup(pg_temp.email('ada'), pg_temp.password())).status, 'pending', 'and the old one is free');
SELECT auth_admin.set_email(:'ada', pg_temp.email('ADA2')) \g /dev/null
SELECT is((SELECT email FROM auth_admin.users WHERE id = :'ada'), pg_temp.email('ADA2'), 'one''s own address can be written anew');
SELECT auth_admin.set_phone(:'ada', pg_temp.phone(1)) \g /dev/null
SELECT is((auth.signin(phone => pg_temp.phone(1), password => pg_temp.password())).user_id, :'ada', 'a phone is given in the same way');
SELECT isnt(pg_temp.mail(pg_temp.email('ADA2'), 'phone_changed'), NULL, 'B12: and told');
SELECT pg_temp.raises(format('SELECT auth_admin.set_phone(%L, ''no phone'')', :'ada'), 'invalid_request', 'what is no phone is told');

-- ---- send_password_reset ----

SELECT auth_admin.send_password_reset(:'ada') \g /dev/null
SELECT auth.reset_password(code => pg_temp.link(pg_temp.email('ADA2'), 'password_reset'), new_password => 'chosen by herself') \g /dev/null
SELECT is((pg_temp.signin(pg_temp.email('ada2'), 'chosen by herself')).user_id, :'ada', 'an operator has a reset sent, by which the user chooses a password');
SELECT id AS pending FROM auth.signup(pg_temp.email('pending'), pg_temp.password()) \gset
SELECT pg_temp.raises(format('SELECT auth_admin.send_password_reset(%L)', :'pending'), 'invalid_request', 'not to an address that nobody has confirmed');

-- ---- sessions ----

SELECT auth_admin.revoke_sessions(:'ada') \g /dev/null
SELECT session_id AS s1, access_token AS a1 FROM pg_temp.signin(pg_temp.email('ada2'), 'chosen by herself') \gset
SELECT session_id AS s2, access_token AS a2 FROM pg_temp.signin(pg_temp.email('ada2'), 'chosen by herself') \gset
SELECT results_eq(format('SELECT id, is_current FROM auth_admin.sessions(%L)', :'ada'), format('VALUES (%L::uuid, false), (%L, false)', :'s2', :'s1'), 'the sessions of a user, newest first');
SELECT pg_temp.raises(format('SELECT auth_admin.revoke_session(%L, %L)', :'bob', :'s1'), 'session_not_found', 'D11: another''s session is not found');
SELECT auth_admin.revoke_session(:'ada', :'s1') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a1'), 'session_revoked', 'D10: an operator ends one');
SELECT is(auth_admin.revoke_sessions(:'ada'), 1, 'D10: or all');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a2'), 'session_revoked', 'at once');

-- ---- delete_user ----

SELECT auth_admin.delete_user(:'bob') \g /dev/null
SELECT is_empty(format('SELECT FROM auth_admin.users WHERE id = %L', :'bob'), 'an operator deletes an account');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, ''chosen by an operator'')', pg_temp.email('bob')), 'invalid_credentials', 'B11: which signs in no more');
SELECT is((SELECT concat_ws('|', pg_temp.event(:'bob', 'user_deleted'), count(*)) FROM auth_admin.deleted_users WHERE id = :'bob'), '1|1', 'applications hear of it');

-- ---- nobody ----

SELECT is(string_agg(pg_temp.failure(format('SELECT auth_admin.%s', call)) ->> 'detail', ' '), trim(repeat('user_not_found ', 11)), 'nobody is found by any of them')
FROM unnest(ARRAY['ban(gen_random_uuid())', 'unban(gen_random_uuid())', 'unlock(gen_random_uuid())', 'delete_user(gen_random_uuid())', 'set_app(gen_random_uuid(), ''{}'')',
	'set_password(gen_random_uuid(), ''a good password'')', format('set_email(gen_random_uuid(), %L)', pg_temp.email('x')), 'send_password_reset(gen_random_uuid())',
	'sessions(gen_random_uuid())', 'revoke_session(gen_random_uuid(), gen_random_uuid())', 'revoke_sessions(gen_random_uuid())']) AS call;
SELECT is(string_agg(DISTINCT pg_temp.failure(format('SELECT auth_admin.%s', call)) ->> 'detail', ' '), 'invalid_request', 'and NULL is no user')
FROM unnest(ARRAY['ban(NULL)', 'unban(NULL)', 'unlock(NULL)', 'delete_user(NULL)', 'set_app(NULL, ''{}'')', 'set_password(NULL, ''a good password'')',
	format('set_email(NULL, %L)', pg_temp.email('x')), 'send_password_reset(NULL)', 'sessions(NULL)', 'revoke_session(NULL, NULL)', 'revoke_sessions(NULL)']) AS call;
SELECT pg_temp.raises_when_read_only(format('SELECT auth_admin.ban(%L)', :'ada'), 'a read-only transaction bans nobody');

SELECT * FROM finish();
ROLLBACK;
