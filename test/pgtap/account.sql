-- auth.account and auth.update_info: the caller's own account.
\ir helper/common.psql

BEGIN;
SELECT plan(44);

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a_bob FROM pg_temp.signin(pg_temp.email('bob')) \gset

SELECT pg_temp.raises('SELECT auth.account()', 'not_authenticated', 'an account needs a context');
SELECT pg_temp.raises('SELECT auth.update_info(''{}'')', 'not_authenticated', 'so does its info');

-- ---- account ----

SELECT auth.authenticate(:'a') \g /dev/null
CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT * FROM auth.account();
SELECT is(id, :'ada', 'one''s own account') FROM mine;
SELECT is(email, pg_temp.email('Ada'), 'with the address as it was typed') FROM mine;
SELECT is(status, 'active', 'its status') FROM mine;
SELECT ok(email_confirmed_at >= created_at, 'when it was made and confirmed') FROM mine;
SELECT is(info, '{}', 'its info') FROM mine;
SELECT is(jsonb_strip_nulls(to_jsonb(mine) - '{id,email,status,info,created_at,email_confirmed_at}'::text[]), '{}', 'and nothing else') FROM mine;
SELECT set_eq(
	$$SELECT attname::text FROM pg_attribute WHERE attrelid = 'auth.account'::regclass AND attnum > 0 AND NOT attisdropped$$,
	ARRAY['id', 'email', 'phone', 'email_confirmed_at', 'phone_confirmed_at', 'pending_email', 'pending_phone', 'info', 'created_at', 'status'],
	'A11: no hash and no hint of a password is in the type');
SELECT is((SELECT count(*) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
		WHERE c.relnamespace IN ('auth'::regnamespace, 'auth_private'::regnamespace, 'auth_admin'::regnamespace)
			AND a.attname ~ 'hint|question|answer'), 0::bigint,
	'A11: no column for a hint or a secret question anywhere');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace)
			AND array_to_string(proargnames, ' ') ~ 'hint|question|answer'), 0::bigint,
	'A11: nor an argument');

-- ---- update_info ----

SELECT is((auth.update_info('{"name": "Ada", "a": {"b": [1, null]}}')).info, '{"name": "Ada", "a": {"b": [1, null]}}', 'info can be changed');
SELECT is((auth.update_info('{"lang": "de"}')).info, '{"lang": "de"}', 'which replaces it whole');
SELECT is((auth.account()).info, '{"lang": "de"}', 'and stays');
SELECT is((auth.update_info('{"id": "x", "status": "banned", "app": {"admin": true}, "role": "postgres"}')).status, 'active',
	'G4: nothing else of the account can be set by it');
SELECT is((SELECT app FROM auth_admin.users WHERE id = :'ada'), '{}', 'G4: nor what operators set');
SELECT is((auth.update_info('{}')).info, '{}', 'info can be emptied');
SELECT pg_temp.raises(format('SELECT auth.update_info(%L)', bad), 'invalid_request', 'info must be an object: ' || coalesce(bad, 'NULL'), 'info')
FROM unnest(ARRAY[NULL, '[]', '"text"', '1', 'true', 'null']) AS bad;
SELECT pg_temp.raises('SELECT auth.update_info(jsonb_build_object(''a'', repeat(''x'', 16377)))', 'invalid_request', 'of at most 16 KiB', 'info');
SELECT pg_temp.raises('SELECT auth.update_info(jsonb_build_object(''a'', repeat(''x'', 1048576)))', 'invalid_request', 'also where it compresses well', 'info');
SELECT lives_ok('SELECT auth.update_info(jsonb_build_object(''a'', repeat(''x'', 16375)))', '16 KiB are taken');
SELECT pg_temp.raises(format('SELECT auth.update_info(%L)', jsonb_build_object('locale', bad)), 'invalid_request', 'no language: ' || bad::text, 'language tag')
FROM unnest(ARRAY['""', '"de_AT"', '"de; visit http://evil.example"', '"e"', '"en-"', '7', '["de"]', 'true', '{}']::jsonb[]) AS bad;
SELECT is((auth.update_info(good)).info, good, 'a language: ' || good::text)
FROM unnest(ARRAY['{"locale": "de-AT"}', '{"locale": "zh-Hant-TW"}', '{"locale": null}', '{"a": {"locale": 7}}']::jsonb[]) AS good;
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'update_info' AND result = 'ok'), 9::bigint,
	'G6: each change is in the audit log');
SELECT pg_temp.raises_when_read_only('SELECT auth.update_info(''{}'')', 'a change in a read-only transaction says so');
SELECT is((SELECT info FROM auth_admin.users WHERE id = :'bob'), '{}', 'another user''s info is as it was');

SELECT auth.logout() \g /dev/null
SELECT pg_temp.raises('SELECT auth.account()', 'session_revoked', 'after a logout there is no account');
SELECT pg_temp.raises('SELECT auth.update_info(''{}'')', 'session_revoked', 'and no changing it');

SELECT * FROM finish();
ROLLBACK;
