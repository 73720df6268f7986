-- auth.signup: a pending account, and a message to each address.
\ir helper/common.psql

BEGIN;
SELECT plan(69);

-- ---- what is answered, and what is sent ----

CREATE TEMP TABLE answer ON COMMIT DROP AS
SELECT * FROM auth.signup(pg_temp.email('Ada'), pg_temp.password(), info => '{"name": "Ada"}');

SELECT is(email, pg_temp.email('Ada'), 'sign-up answers with the address as it was typed') FROM answer;
SELECT is(status, 'pending', 'an account is pending at first') FROM answer;
SELECT is(info, '{"name": "Ada"}', 'sign-up keeps the info') FROM answer;
SELECT is(substr(id::text, 15, 1), '4', 'an account''s id is a random UUID, version 4') FROM answer;
SELECT ok(created_at BETWEEN now() AND clock_timestamp(), 'an account knows when it was made') FROM answer;
SELECT is(jsonb_strip_nulls(to_jsonb(answer) - '{id,email,status,info,created_at}'::text[]), '{}',
	'nothing else is known of a pending account') FROM answer;
SELECT results_eq(
	$$SELECT kind, channel, recipient FROM auth_private.outbox WHERE user_id = (SELECT id FROM answer)$$,
	$$VALUES ('confirm_email', 'email', pg_temp.email('Ada'))$$,
	'one confirmation goes to the address as typed');
SELECT matches(pg_temp.code(pg_temp.email('Ada')), '^[0-9]{6}$', 'C3: the code has six digits');
SELECT matches(pg_temp.link(pg_temp.email('Ada')), '^[A-Za-z0-9_-]{40,}$', 'the link token is made for a URL');
SELECT is(pg_temp.mail(pg_temp.email('Ada')) - '{id,kind,channel,code,code_expires_at,link_token,link_expires_at,locale}'::text[],
	'{}', 'nothing that a stranger typed is in a message to an unproved address');
SELECT results_eq(
	$$SELECT action, result, reason FROM auth_admin.audit_log WHERE user_id = (SELECT id FROM answer)$$,
	$$VALUES ('signup', 'ok', NULL)$$,
	'G6: a sign-up is in the audit log');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = (SELECT id FROM answer)), 0::bigint,
	'sign-up opens no session');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('Ada'), pg_temp.password()),
	'invalid_credentials', 'B11: a pending account can''t sign in');

-- ---- by phone, and by both ----

SELECT is((auth.signup(phone => pg_temp.phone(1), password => pg_temp.password())).phone, pg_temp.phone(1),
	'one can sign up by phone alone');
SELECT results_eq(
	$$SELECT kind, channel FROM auth_private.outbox WHERE recipient = pg_temp.phone(1)$$,
	$$VALUES ('confirm_phone', 'sms')$$,
	'C14: an SMS goes to the phone');
SELECT lives_ok(format('SELECT auth.signup(%L, %L, %L)', pg_temp.email('both'), pg_temp.password(), pg_temp.phone(2)),
	'one can sign up with both');
SELECT set_eq(
	$$SELECT kind FROM auth_private.outbox WHERE recipient IN (pg_temp.email('both'), pg_temp.phone(2))$$,
	ARRAY['confirm_email', 'confirm_phone'], 'each address gets a confirmation');
SELECT isnt(pg_temp.code(pg_temp.email('both')), pg_temp.code(pg_temp.phone(2)), 'each with a code of its own');

-- ---- what is refused ----

SELECT pg_temp.raises('SELECT auth.signup()', 'invalid_request', 'sign-up needs an identifier', 'email.*phone');
SELECT pg_temp.raises(format('SELECT auth.signup(password => %L)', pg_temp.password()), 'invalid_request',
	'a password alone is not enough', 'email.*phone');
SELECT pg_temp.raises(format('SELECT auth.signup(%L)', pg_temp.email('nopass')), 'invalid_request',
	'sign-up needs a password', 'password');
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L)', 'not an email', pg_temp.password()), 'invalid_request',
	'an email must be one', 'email');
SELECT pg_temp.raises(format('SELECT auth.signup(phone => %L, password => %L)', '030 123456', pg_temp.password()),
	'invalid_request', 'a phone must be an E.164 number', 'phone');
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L, %L)', pg_temp.email('good'), pg_temp.password(), '12'),
	'invalid_request', 'a bad phone beside a good email is refused', 'phone');
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L)', pg_temp.email('short'), 'seven77'), 'weak_password',
	'A1: a password of seven characters is too short', 'few');
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L, info => %L)', pg_temp.email('info'), pg_temp.password(), bad),
	'invalid_request', 'info must be an object: ' || bad, 'info')
FROM unnest(ARRAY['[]', '"text"', '1', 'null', '{"locale": "de_AT"}', '{"locale": 7}']) AS bad;
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L, info => jsonb_build_object(%L, repeat(%L, 16377)))',
	pg_temp.email('info'), pg_temp.password(), 'a', 'x'), 'invalid_request', 'info has at most 16 KiB', 'info');
SELECT lives_ok(format('SELECT auth.signup(%L, %L, info => jsonb_build_object(%L, repeat(%L, 16375)))',
	pg_temp.email('info'), pg_temp.password(), 'a', 'x'), 'info of 16 KiB is taken');
-- A number of ten bytes can be 131,072 digits: what is too long is refused before its text is made.
CREATE FUNCTION pg_temp.most_memory() RETURNS integer LANGUAGE sql VOLATILE AS $$
	SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+) kB')::integer
$$;
CREATE FUNCTION pg_temp.numbers(count integer) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
	SELECT format('{"a": [%s]}', array_to_string(array_fill('1e131071'::text, ARRAY[count]), ','))::jsonb
$$;
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L, info => pg_temp.numbers(%s))',
	pg_temp.email('numbers'), pg_temp.password(), 1), 'invalid_request', 'info has at most 16 KiB with its numbers as text', 'info');
SELECT pg_temp.most_memory() AS before \gset
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L, info => pg_temp.numbers(%s))',
	pg_temp.email('numbers'), pg_temp.password(), 1500), 'invalid_request', 'H9: also of 1,500 such numbers', 'info');
SELECT pg_temp.raises(format('SELECT auth_admin.create_user(%L, app => pg_temp.numbers(%s))',
	pg_temp.email('numbers'), 500), 'invalid_request', 'H9: and of app', 'app');
SELECT cmp_ok(pg_temp.most_memory() - :before, '<', 32768, 'H9: which takes no memory of 200 MB');
SELECT is((auth.signup(pg_temp.email('null'), pg_temp.password(), info => NULL)).info, '{}',
	'no info is an empty object');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.signup(%L, %L)', pg_temp.email('ro'), pg_temp.password()),
	'sign-up in a read-only transaction says so');
SET LOCAL auth_session.signup_enabled = off;
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L)', pg_temp.email('off'), pg_temp.password()),
	'signup_disabled', 'sign-up can be turned off');
SET LOCAL auth_session.signup_enabled = on;
SELECT is((SELECT count(*) FROM auth_admin.users WHERE email IN (pg_temp.email('nopass'), pg_temp.email('good'),
		pg_temp.email('short'), pg_temp.email('ro'), pg_temp.email('off'))), 0::bigint,
	'a refused sign-up leaves no account');

-- ---- what a stranger can't give himself ----

SELECT is((auth.signup(pg_temp.email('mallory'), pg_temp.password(), info =>
		'{"role": "postgres", "is_admin": true, "status": "active", "email_confirmed_at": "2020-01-01", "id": 1, "app": {"admin": true}}')
	).status, 'pending', 'G4: info makes no status');
SELECT results_eq(
	$$SELECT status, app, email_confirmed_at FROM auth_admin.users WHERE email = pg_temp.email('mallory')$$,
	$$VALUES ('pending', '{}'::jsonb, NULL::timestamptz)$$,
	'G4: nor confirms, nor reaches what operators set');
SELECT auth.confirm(code => pg_temp.link(pg_temp.email('mallory')), password => pg_temp.password()) \g /dev/null
SELECT results_eq(
	$$SELECT claims ->> 'role', claims -> 'app' FROM pg_temp.claims((pg_temp.signin(pg_temp.email('mallory'))).access_token) AS claims$$,
	$$VALUES ('authenticated', '{}'::jsonb)$$,
	'G4: nor does it get into the token');

-- ---- a taken address ----

SELECT pg_temp.account(pg_temp.email('Owner')) AS owner \gset

CREATE TEMP TABLE written (what text, taken boolean, rows bigint) ON COMMIT DROP;
CREATE FUNCTION pg_temp.count_rows(is_taken boolean, sign integer) RETURNS void LANGUAGE sql AS $$
	INSERT INTO written
	SELECT 'accounts', is_taken, sign * count(*) FROM auth_private.accounts UNION ALL
	SELECT 'identifiers', is_taken, sign * count(*) FROM auth_private.identifiers UNION ALL
	SELECT 'codes', is_taken, sign * count(*) FROM auth_private.codes UNION ALL
	SELECT 'outbox', is_taken, sign * count(*) FROM auth_private.outbox UNION ALL
	SELECT 'audit', is_taken, sign * count(*) FROM auth_private.audit_log
$$;
SELECT pg_temp.count_rows(false, -1) \g /dev/null
CREATE TEMP TABLE free_answer ON COMMIT DROP AS
SELECT * FROM auth.signup(pg_temp.email('free'), pg_temp.password(), pg_temp.phone(3));
SELECT pg_temp.count_rows(false, 1), pg_temp.count_rows(true, -1) \g /dev/null
CREATE TEMP TABLE taken_answer ON COMMIT DROP AS
SELECT * FROM auth.signup(pg_temp.email('OWNER'), pg_temp.password(), pg_temp.phone(4));
SELECT pg_temp.count_rows(true, 1) \g /dev/null

SELECT is((SELECT jsonb_strip_nulls(to_jsonb(taken_answer) - '{id,email,phone,created_at}'::text[]) FROM taken_answer),
	(SELECT jsonb_strip_nulls(to_jsonb(free_answer) - '{id,email,phone,created_at}'::text[]) FROM free_answer),
	'B3: a taken address answers as a free one does');
SELECT is((SELECT email FROM taken_answer), pg_temp.email('OWNER'), 'B3: with what was typed, not what is stored');
SELECT isnt((SELECT id FROM taken_answer), :'owner', 'B3: and with a new id');
SELECT results_eq(
	'SELECT what, sum(rows) FROM written WHERE taken GROUP BY 1 ORDER BY 1',
	'SELECT what, sum(rows) FROM written WHERE NOT taken GROUP BY 1 ORDER BY 1',
	'B3: and writes as many rows everywhere');
SELECT results_eq(
	format($$SELECT kind, recipient FROM auth_private.outbox WHERE user_id = %L AND kind <> 'confirm_email'$$, :'owner'),
	$$VALUES ('account_exists', pg_temp.email('Owner'))$$,
	'B3: its owner hears of it, at the stored address');
SELECT is(pg_temp.mail(pg_temp.email('Owner'), 'account_exists') - '{id,kind,channel,locale}'::text[], '{}',
	'B3: without a code, or anything the stranger typed');
SELECT is(pg_temp.mail(pg_temp.phone(4)) ->> 'kind', 'confirm_phone',
	'B3: the free one of the two identifiers gets its code');
SELECT isnt((pg_temp.signin(pg_temp.email('Owner'))).access_token, NULL, 'the owner is not disturbed');

-- The other way round: the phone is taken and the email is free.
SELECT id AS phoned FROM auth.signup(phone => pg_temp.phone(5), password => pg_temp.password()) \gset
SELECT auth.confirm(pg_temp.phone(5), pg_temp.code(pg_temp.phone(5)), pg_temp.password()) \g /dev/null
CREATE TEMP TABLE phone_taken ON COMMIT DROP AS SELECT * FROM auth.signup(pg_temp.email('free2'), pg_temp.password(), pg_temp.phone(5));
SELECT is((SELECT jsonb_strip_nulls(to_jsonb(phone_taken) - '{id,email,phone,created_at}'::text[]) FROM phone_taken),
	(SELECT jsonb_strip_nulls(to_jsonb(free_answer) - '{id,email,phone,created_at}'::text[]) FROM free_answer),
	'B3: a taken phone answers as a free one does, too');
SELECT results_eq(format($$SELECT channel, recipient FROM auth_private.outbox WHERE user_id = %L AND kind = 'account_exists'$$, :'phoned'),
	$$VALUES ('sms', pg_temp.phone(5))$$, 'B3: its owner hears of it by SMS');
SELECT is((auth.confirm(pg_temp.email('free2'), pg_temp.code(pg_temp.email('free2')), pg_temp.password())).status, 'pending',
	'B3: confirming the free one tells nothing of the taken one');
SELECT is((SELECT id FROM auth.signin(phone => pg_temp.phone(5), password => pg_temp.password()) AS t, auth_admin.users WHERE id = t.user_id), :'phoned',
	'and the owner of the phone stays who it was');

-- ---- no more than three claims ----

SELECT auth.signup(pg_temp.email('claimed'), 'the password of ' || n, info => jsonb_build_object('n', n))
FROM generate_series(1, 4) AS n \g /dev/null
SELECT pg_temp.code(pg_temp.email('claimed')) AS code \gset
SELECT pg_temp.raises(format('SELECT auth.confirm(%L, %L, %L)', pg_temp.email('claimed'), :'code', 'the password of 1'), 'invalid_code',
	'of four sign-ups at one address the oldest doesn''t count');
SELECT auth_admin.prune() \g /dev/null
SELECT set_eq(
	$$SELECT (info ->> 'n')::integer FROM auth_admin.users WHERE email = pg_temp.email('claimed')$$,
	ARRAY[2, 3, 4], 'and is pruned');
SELECT is(info, '{"n": 2}', 'while the others do')
FROM auth.confirm(pg_temp.email('claimed'), :'code', 'the password of 2');

-- ---- an account that is deleted ----

SELECT pg_temp.account(pg_temp.email('gone')) AS gone \gset
SELECT auth.request_password_reset(pg_temp.email('gone')) \g /dev/null
DELETE FROM auth_private.accounts WHERE id = :'gone';
SELECT is((SELECT count(*) FROM auth_private.identifiers WHERE user_id = :'gone') + (SELECT count(*) FROM auth_private.codes WHERE user_id = :'gone'),
	0::bigint, 'a deleted account owns no address, whoever deleted it, and has no code');
SELECT isnt(pg_temp.account(pg_temp.email('gone')), :'gone', 'its address can be confirmed by another at once');
-- A row of one that went without the trigger.
INSERT INTO auth_private.identifiers VALUES (pg_temp.email('orphan'), :'gone', true, now());
SELECT isnt(pg_temp.account(pg_temp.email('orphan')), NULL, 'so can one whose owner is no account');

-- ---- one owner ----

SELECT throws_ok(format('INSERT INTO auth_private.identifiers VALUES (%L, %L, true, now())', pg_temp.email('owner'), gen_random_uuid()),
	'23505', NULL, 'an address has one owner, whatever else is written');

-- ---- require_confirmation ----

SET LOCAL auth_session.require_confirmation = 'none';
SELECT is((auth.signup(pg_temp.email('quick'), pg_temp.password())).status, 'active',
	'without confirmation an account is active at once');
SELECT is(claims ->> 'email', pg_temp.email('quick'), 'and its address counts')
FROM pg_temp.claims((pg_temp.signin(pg_temp.email('quick'))).access_token) AS claims;
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient = pg_temp.email('quick') AND kind = 'confirm_email'),
	0::bigint, 'and nothing is sent to confirm');
SELECT pg_temp.raises(format('SELECT auth.signup(%L, %L)', upper(pg_temp.email('quick')), pg_temp.password()),
	'already_exists', 'without confirmation a taken address is told');
SELECT is(pg_temp.failure(format('SELECT auth.signup(%L, %L)', pg_temp.email('quick'), pg_temp.password()))
		-> 'constraint', '""', 'B3: without naming key or constraint');
SELECT pg_temp.comes_true(
	format($$SELECT count(*) = 2 FROM auth_admin.audit_log WHERE action = 'signup' AND result = 'already_exists' AND at >= %L$$, now()),
	'G6: the refusals are in the audit log although they were rolled back');

SELECT * FROM finish();
ROLLBACK;
