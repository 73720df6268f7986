-- auth.change_password, auth.request_password_reset, auth.reset_password.
\ir helper/common.psql

BEGIN;
SELECT plan(89);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

CREATE FUNCTION pg_temp.signs_in(address text, password text) RETURNS text LANGUAGE sql AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.signin(%L, %L)', address, password)) ->> 'detail', 'signed in')
$$;

-- ---- change_password ----

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS other_a, refresh_token AS other_r FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a_bob FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Ada'), 'password_reset') AS reset_link \gset

SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises('SELECT auth.change_password(''a wrong password'', ''another good one'')', 'invalid_credentials',
	'A9: a change needs the current password');
SELECT pg_temp.comes_true(format($$SELECT count(*) = 1 FROM auth_admin.audit_log WHERE user_id = %L AND action = 'change_password'
		AND result = 'invalid_credentials' AND reason = 'wrong password'$$, :'ada'), 'G6: the refusal is in the audit log');
SELECT pg_temp.raises(format('SELECT auth.change_password(%L, %L)', pg_temp.password(), bad), expected, what, hint)
FROM (VALUES
	('seven77', 'weak_password', 'A1: a new password has eight characters', 'few'),
	('iloveyou', 'weak_password', 'A6: and is none of the common ones', 'common'),
	('ILOVEYOU', 'weak_password', 'A6: in whatever case', 'common'),
	(upper(split_part(pg_temp.email('ada'), '@', 1)), 'weak_password', 'A8: nor the own address', 'address'),
	(repeat('x', 1025), 'invalid_request', 'A16: and has at most 1,024 bytes', 'new_password'),
	(NULL, 'invalid_request', 'A1: and is there', 'new_password')
) AS new (bad, expected, what, hint);
SELECT pg_temp.raises('SELECT auth.change_password(NULL, ''another good one'')', 'invalid_request', 'A9: so is the current one', 'current_password');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.change_password(%L, %L)', pg_temp.password(), 'another good one'),
	'a change in a read-only transaction says so');
SELECT is(pg_temp.signs_in(pg_temp.email('ada'), pg_temp.password()), 'signed in', 'a refused change has changed nothing');

SELECT is(auth.change_password(pg_temp.password(), 'another good one')::text, '', 'the password can be changed');
SELECT is(pg_temp.signs_in(pg_temp.email('ada'), pg_temp.password()), 'invalid_credentials', 'the old one is none any more');
SELECT is(auth.session_id(), :'s', 'D10: the session that changed it lives');
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'D10: with its access token');
SELECT matches((auth.renew(:'r')).refresh_token, '^asr1_', 'D10: and its refresh token');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'other_a'), 'session_revoked', 'D10: the others are dead');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'other_r'), 'session_revoked', 'E9: with their refresh tokens');
SELECT is(auth.verify(:'a_bob') ->> 'sub', :'bob', 'D10: another user''s are not');
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'reset_link', 'a third good one'),
	'invalid_code', 'C9: codes from before a change are dead');
SELECT is(pg_temp.signs_in(pg_temp.email('ada'), 'another good one'), 'signed in', 'the new password signs in');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'password_changed' AND recipient = pg_temp.email('Ada')),
	1::bigint, 'B12: the user is told, once');
SELECT results_eq(format($$SELECT result, session_id FROM auth_admin.audit_log WHERE user_id = %L AND action = 'change_password' AND result = 'ok'$$, :'ada'),
	format($$VALUES ('ok', %L::uuid)$$, :'s'), 'G6: the change is in the audit log');

-- A wrong current password is a failed attempt: at most ten in a window, which doesn't end during this file.
SET LOCAL auth_session.rate_window = '1d';
SELECT auth.authenticate(:'a_bob') \g /dev/null
SELECT is(string_agg(DISTINCT pg_temp.failure('SELECT auth.change_password(''wrong number ' || n || ''', ''another good one'')') ->> 'detail', ','),
	'invalid_credentials', 'A9: ten wrong current passwords') FROM generate_series(1, 10) AS n;
SELECT pg_temp.raises(format('SELECT auth.change_password(%L, %L)', pg_temp.password(), 'another good one'),
	'throttled', 'A9: are all, also for the right one', '^[1-9][0-9]*$');
RESET auth_session.context_token;

-- ---- request_password_reset ----

SELECT pg_temp.account(pg_temp.email('Cyd')) AS cyd \gset
SELECT access_token AS a, refresh_token AS r FROM pg_temp.signin(pg_temp.email('cyd')) \gset
SELECT auth.signup(pg_temp.email('pending'), pg_temp.password()) \g /dev/null
SELECT pg_temp.account(pg_temp.email('banned')) AS banned \gset
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = :'banned';

CREATE TEMP TABLE written (who text, what text, rows bigint) ON COMMIT DROP;
CREATE FUNCTION pg_temp.count_rows(who text, sign integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO written
	SELECT who, 'accounts', sign * count(*) FROM auth_private.accounts UNION ALL
	SELECT who, 'identifiers', sign * count(*) FROM auth_private.identifiers UNION ALL
	SELECT who, 'codes', sign * count(*) FROM auth_private.codes UNION ALL
	SELECT who, 'outbox', sign * count(*) FROM auth_private.outbox UNION ALL
	SELECT who, 'audit', sign * count(*) FROM auth_private.audit_log
$$;
CREATE FUNCTION pg_temp.request(who text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM pg_temp.count_rows(who, -1);
	answer := auth.request_password_reset(pg_temp.email(who));
	PERFORM pg_temp.count_rows(who, 1);
	RETURN answer;
END
$$;
SET LOCAL auth_session.site_url = 'https://app.example';
SET LOCAL request.headers = '{"host": "evil.example", "x-forwarded-host": "evil.example", "origin": "https://evil.example", "user-agent": "evil"}';
SELECT is(pg_temp.request('cyd'), '', 'a reset can be asked for');
SELECT pg_temp.mail(pg_temp.email('Cyd'), 'password_reset') AS mail \gset
SELECT matches(:'mail'::jsonb ->> 'code', '^[0-9]{6}$', 'with a code');
SELECT isnt(:'mail'::jsonb ->> 'link_token', NULL, 'and a link');
SELECT ok((:'mail'::jsonb ->> 'link_expires_at')::timestamptz BETWEEN clock_timestamp() + interval '59 minutes' AND clock_timestamp() + interval '1 hour',
	'which is good for an hour');
SELECT is(strpos(:'mail'::text, 'evil'), 0, 'C10: no header of the request gets into the message');
RESET request.headers;
SELECT is(pg_temp.request(who), '', 'B3: the same answer where the account is ' || who) FROM unnest(ARRAY['unknown', 'pending', 'banned']) AS who;
SELECT results_eq(
	format($$SELECT what, sum(rows) FROM written WHERE who = %L GROUP BY 1 ORDER BY 1$$, who),
	$$SELECT what, sum(rows) FROM written WHERE who = 'cyd' GROUP BY 1 ORDER BY 1$$,
	'B3: and the same rows are written: ' || who)
FROM unnest(ARRAY['unknown', 'pending', 'banned']) AS who;
SELECT is(pg_temp.mail(pg_temp.email(who), 'password_reset'), NULL, 'but nothing is sent: ' || who) FROM unnest(ARRAY['unknown', 'pending', 'banned']) AS who;
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), pg_temp.password()), 'signed in', 'C8: asking changes no password');
SELECT is(auth.verify(:'a') ->> 'sub', :'cyd', 'C8: and ends no session');
SELECT matches((auth.renew(:'r')).refresh_token, '^asr1_', 'C8: none at all');
SELECT results_eq(format($$SELECT result FROM auth_admin.audit_log WHERE user_id = %L AND action = 'request_password_reset'$$, :'cyd'),
	ARRAY['ok'], 'G6: the request is in the audit log');
SELECT pg_temp.raises(format('SELECT auth.request_password_reset(%L)', bad), 'invalid_request', 'no identifier: ' || coalesce(bad, 'NULL'), 'identifier')
FROM unnest(ARRAY[NULL, '', 'nonsense']) AS bad;
SELECT pg_temp.raises_when_read_only(format('SELECT auth.request_password_reset(%L)', pg_temp.email('cyd')),
	'a request in a read-only transaction says so');
SET LOCAL auth_session.resend_cooldown = 60;
SELECT lives_ok(format('SELECT auth.request_password_reset(%L)', pg_temp.email(who)), 'C14: with a cooldown, once: ' || who)
FROM unnest(ARRAY['bob', 'nobody']) AS who;
SELECT pg_temp.raises(format('SELECT auth.request_password_reset(%L)', upper(pg_temp.email(who))), 'throttled',
	'C14: and not twice: ' || who, '^([1-9]|[1-5][0-9]|60)$')
FROM unnest(ARRAY['bob', 'nobody']) AS who;
SET LOCAL auth_session.resend_cooldown = 0;

-- ---- reset_password ----

SELECT pg_temp.code(pg_temp.email('Cyd'), 'password_reset') AS code, pg_temp.link(pg_temp.email('Cyd'), 'password_reset') AS link \gset
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('cyd'), pg_temp.wrong(:'code'), 'a new good one'),
	'invalid_code', 'C5: a wrong code resets nothing');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('bob'), :'link', 'a new good one'),
	'invalid_code', 'C6: a link is for one address');
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L)', pg_temp.email('cyd'), proof), 'invalid_code', 'C6: what is for a reset confirms nothing')
FROM unnest(ARRAY[:'code', :'link']) AS proof;
SELECT pg_temp.code(pg_temp.email('pending'), 'confirm_email') AS confirm_code, pg_temp.link(pg_temp.email('pending'), 'confirm_email') AS confirm_link \gset
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('pending'), proof, 'a new good one'),
	'invalid_code', 'C6: what is for a confirmation resets nothing') FROM unnest(ARRAY[:'confirm_code', :'confirm_link']) AS proof;
SELECT is(
	pg_temp.failure(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('unknown'), '123456', 'a new good one')),
	pg_temp.failure(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('cyd'), pg_temp.wrong(:'code'), 'a new good one')),
	'B1: an unknown address answers as a wrong code does');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('cyd'), :'code', bad), expected, what, hint)
FROM (VALUES
	('seven77', 'weak_password', 'A1: a new password has eight characters', 'few'),
	('iloveyou', 'weak_password', 'A6: and is none of the common ones', 'common'),
	(split_part(pg_temp.email('cyd'), '@', 1), 'weak_password', 'A8: nor the own address', 'address'),
	(repeat('x', 1025), 'invalid_request', 'A16: and has at most 1,024 bytes', 'new_password'),
	(NULL, 'invalid_request', 'A1: and is there', 'new_password')
) AS new (bad, expected, what, hint);
SELECT pg_temp.raises('SELECT auth.reset_password()', 'invalid_request', 'a reset needs a code', 'code');
SELECT pg_temp.raises('SELECT auth.reset_password(code => ''123456'', new_password => ''a new good one'')', 'invalid_request',
	'a short code needs its identifier', 'identifier');
SELECT pg_temp.raises('SELECT auth.reset_password(''nonsense'', ''123456'', ''a new good one'')', 'invalid_request', 'which must be one', 'identifier');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('cyd'), :'code', 'a new good one'),
	'a reset in a read-only transaction says so');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), pg_temp.password()), 'signed in', 'a refused reset has changed nothing');

SELECT access_token AS a, refresh_token AS r FROM pg_temp.signin(pg_temp.email('cyd')) \gset
SELECT id AS mallory FROM auth.signup(pg_temp.email('cyd'), 'the attacker''s word') \gset
SELECT count(*) AS sessions FROM auth_private.sessions WHERE user_id = :'cyd' \gset
SELECT ok(:'sessions'::int > 1, 'several sessions');
SELECT is(auth.reset_password(upper(pg_temp.email('cyd')), :'code', 'a new good one')::text, '', 'a code resets the password');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'cyd')
	+ (SELECT count(*) FROM auth_private.token_cache WHERE user_id = :'cyd'), 0::bigint, 'C9: all sessions are gone, and nobody is signed in');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'session_revoked', 'C9: with their access tokens');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r'), 'session_revoked', 'C9: and refresh tokens');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), pg_temp.password()), 'invalid_credentials', 'C9: the old password is none any more');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), 'the attacker''s word'), 'invalid_credentials', 'C13: nor is that of a stranger''s sign-up at the address');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), 'a new good one'), 'signed in', 'C9: the new one signs in');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('cyd'), :'code', 'yet another one'), 'invalid_code', 'C1: a code works once');
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'yet another one'), 'invalid_code', 'C1: and takes its link with it');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'cyd' AND kind = 'password_changed' AND recipient = pg_temp.email('Cyd')),
	1::bigint, 'B12: the user is told, once');
SELECT results_eq(format($$SELECT result FROM auth_admin.audit_log WHERE user_id = %L AND action = 'reset_password' AND result = 'ok'$$, :'cyd'),
	ARRAY['ok'], 'G6: the reset is in the audit log');

-- By link, which names the address itself.
SELECT auth.request_password_reset(pg_temp.email('cyd')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Cyd'), 'password_reset') AS old_link \gset
SELECT auth.request_password_reset(pg_temp.email('cyd')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Cyd'), 'password_reset') AS link \gset
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'old_link', 'a linked good one'), 'invalid_code',
	'C7: another request kills the earlier link');
SELECT lives_ok(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'a linked good one'), 'a link resets the password');
SELECT is(pg_temp.signs_in(pg_temp.email('cyd'), 'a linked good one'), 'signed in', 'which signs in');

-- The address must still be the account's, and the account allowed.
SELECT auth.request_password_reset(pg_temp.email('cyd')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('Cyd'), 'password_reset') AS link \gset
SAVEPOINT address;
DELETE FROM auth_private.identifiers WHERE identifier = pg_temp.email('cyd');
INSERT INTO auth_private.identifiers VALUES (pg_temp.email('cyd'), :'bob', true, now());
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'yet another one'), 'invalid_code',
	'C6: an address that is another''s now resets nothing');
ROLLBACK TO address;
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = :'cyd';
SELECT pg_temp.raises(format('SELECT auth.reset_password(code => %L, new_password => %L)', :'link', 'yet another one'), 'invalid_code',
	'B11: nor does a banned account''s');

-- By phone, and by one of two addresses.
SELECT id AS two FROM auth.signup(pg_temp.email('two'), pg_temp.password(), pg_temp.phone(1)) \gset
SELECT auth.confirm(pg_temp.email('two'), pg_temp.code(pg_temp.email('two'), 'confirm_email'), pg_temp.password()) \g /dev/null
SELECT auth.confirm(pg_temp.phone(1), pg_temp.code(pg_temp.phone(1), 'confirm_phone'), pg_temp.password()) \g /dev/null
SELECT auth.request_password_reset(pg_temp.phone(1)) \g /dev/null
SELECT is(pg_temp.mail(pg_temp.phone(1), 'password_reset') ->> 'channel', 'sms', 'a reset by phone goes by SMS');
SELECT pg_temp.raises(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.phone(1), pg_temp.code(pg_temp.phone(1), 'password_reset'), ltrim(pg_temp.phone(1), '+')),
	'weak_password', 'A8: the phone is no password');
SELECT lives_ok(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.phone(1), pg_temp.code(pg_temp.phone(1), 'password_reset'), 'a new good one'),
	'and its code resets the password');
SELECT is(pg_temp.signs_in(pg_temp.email('two'), 'a new good one'), 'signed in', 'which is that of both addresses');

SELECT * FROM finish();
ROLLBACK;
