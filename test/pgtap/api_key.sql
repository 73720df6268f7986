-- API keys: who can make one, what it may, and what ends it. auth.authenticate
-- takes one over SQL; how a request carries one is api_key_request.sql's.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(109);
SET LOCAL auth_session.signin_rate_per_account = 0;
SET LOCAL auth_session.api_keys = on;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS b FROM pg_temp.signin(pg_temp.email('bob')) \gset

-- Whether a key is taken, or why it isn't; who calls afterwards is as before.
CREATE FUNCTION pg_temp.who(key text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	PERFORM auth.authenticate(key);
	RAISE EXCEPTION USING DETAIL = 'taken';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN detail;
END
$$;

-- ---- off ----

SELECT pg_temp.raises('SELECT auth.create_api_key(''ci'')', 'not_authenticated', 'a key needs a context');
SELECT auth.authenticate(:'a') \g /dev/null
SET LOCAL auth_session.api_keys = off;
SELECT pg_temp.raises('SELECT auth.create_api_key(''ci'')', 'feature_disabled', 'without api_keys none is made');
SET LOCAL auth_session.api_keys = on;

-- ---- made ----

SELECT id AS k, key, name, scopes, role IS NULL AS has_usual_role, expires_at IS NULL AS is_endless FROM auth.create_api_key('ci of the blog', '{posts:read,posts:write}') \gset
SELECT matches(:'key'::text, '^ask1_[A-Za-z0-9_-]{107}$', 'the key: a prefix and 80 bytes in base64url');
SELECT is(length(:'key'), 112, 'of one length');
SELECT is(:'name'::text, 'ci of the blog', 'its name');
SELECT is(:'scopes'::text[], '{posts:read,posts:write}'::text[], 'its scopes');
SELECT ok(:'has_usual_role' AND :'is_endless', 'of the usual role, and without an end');
SELECT is(decode(translate(substr(:'key', 6), '-_', '+/') || '=', 'base64') IS NOT NULL, true, 'it is base64url');
SELECT is(encode(substr(decode(translate(substr(:'key', 6), '-_', '+/') || '=', 'base64'), 1, 32), 'hex'),
	replace(:'ada' || :'k', '-', ''), 'that begins with whose it is, and which');
SELECT is((SELECT digest FROM auth_private.api_keys WHERE id = :'k'),
	sha256(substr(decode(translate(substr(:'key', 6), '-_', '+/') || '=', 'base64'), 33, 32)), 'D2: stored is the SHA-256 of its secret');
SELECT is((SELECT count(*) FROM auth_private.api_keys AS kept WHERE strpos(kept::text, substr(:'key', 50, 20)) > 0), 0::bigint, 'and not the key');
SELECT is((SELECT payload - '{at}'::text[] FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'api_key_created'), '{"name": "ci of the blog"}', 'the user is told');
SELECT is((SELECT recipient FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'api_key_created'), pg_temp.email('ada'), 'at the own address');
SELECT is((SELECT concat_ws('|', actor, result, reason) FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'create_api_key' AND result = 'ok'),
	format('user|ok|{"api_key_id":"%s"}', :'k'), 'the log has which');
SELECT is((SELECT array_agg(to_jsonb(k) - 'created_at') FROM auth.api_keys() AS k),
	ARRAY[jsonb_build_object('id', :'k', 'name', 'ci of the blog', 'scopes', :'scopes'::text[], 'role', null, 'last_used_at', null, 'expires_at', null)], 'it is listed');
SELECT is(auth.scopes(), NULL, 'a session has no scopes');
SELECT is(auth.has_scope('posts:read'), true, 'and may all that a scope is for');
SELECT is(auth.has_scope(NULL), NULL, 'NULL is no scope');

-- ---- what it is and may ----

SELECT is(auth.authenticate(:'key'), :'ada'::uuid, 'authenticate takes it and answers whose it is');
SELECT is(auth.uid(), :'ada'::uuid, 'it is the user to policies');
SELECT is(auth.session_id(), NULL, 'without a session');
SELECT is(auth.aal(), 'aal1', 'at the lowest level');
SELECT is(auth.auth_time(), NULL, 'nobody has shown up');
SELECT is(auth.role(), 'authenticated', 'with the role of access tokens');
SELECT is(auth.email(), pg_temp.email('ada'), 'and the email');
SELECT is(auth.jwt() - 'iss' - 'aud', jsonb_build_object('sub', :'ada', 'api_key_id', :'k', 'role', 'authenticated', 'email', pg_temp.email('ada'),
	'aal', 'aal1', 'amr', '{api_key}'::text[], 'scope', 'posts:read posts:write', 'app', '{}'::jsonb), 'its claims');
SELECT is(auth.scopes(), '{posts:read,posts:write}'::text[], 'its scopes');
SELECT is(array_agg(auth.has_scope(scope) ORDER BY n), '{t,t,f,f,NULL}', 'has_scope') FROM unnest('{posts:read,posts:write,posts,"",NULL}'::text[]) WITH ORDINALITY AS one (scope, n);
SELECT is((SELECT count(*) FROM auth.api_keys()), 1::bigint, 'it reads: keys');
SELECT is((SELECT count(*) FROM auth.sessions()), 1::bigint, 'sessions');
SELECT is((auth.account()).id, :'ada'::uuid, 'the account');
SELECT is(auth.export_account() -> 'api_keys' -> 0 ->> 'name', 'ci of the blog', 'and all that is kept');
SELECT is(strpos((auth.export_account() -> 'api_keys')::text, 'digest'), 0, 'but for the digest');
SELECT is(current_setting('auth_session.context_token') ~ '^ash1_', true, 'G3: the transaction keeps no key, but what stands for it');
SELECT is(strpos(current_setting('auth_session.context_token'), substr(:'key', 50, 20)), 0, 'which has none of its secret');
SELECT is_empty($$
	SELECT call.name FROM (VALUES ('update_info', '''{}'''), ('delete_account', format('%L', pg_temp.password())), ('change_email', format('%L, %L', pg_temp.email('other'), pg_temp.password())),
		('change_phone', format('%L, %L', pg_temp.phone(1), pg_temp.password())), ('cancel_change', ''), ('enroll_totp', ''), ('confirm_totp', '''123456'''),
		('disable_totp', format('%L, ''123456''', pg_temp.password())), ('recovery_codes', format('%L', pg_temp.password())),
		('change_password', format('%L, ''another good one''', pg_temp.password())), ('reauthenticate', format('%L', pg_temp.password())),
		('create_api_key', '''name'''), ('delete_api_key', '''00000000-0000-4000-8000-000000000000'''), ('require_recent', '''10 years'''), ('require_aal', '''aal2''')) AS call (name, arguments),
	LATERAL pg_temp.failure(format('SELECT auth.%I(%s)', call.name, call.arguments)) AS got
	WHERE got ->> 'detail' IS DISTINCT FROM 'reauthentication_required'$$, 'it changes no account, factor or key');
SELECT lives_ok('SELECT auth.require_aal(''aal1'')', 'aal1 is enough where it is');
SELECT pg_temp.raises('SELECT auth.logout()', 'session_not_found', 'it has no session to log out of');
SELECT lives_ok('SELECT auth.logout_all(true)', 'but ends those that there are');
SELECT is(auth.uid(), :'ada'::uuid, 'and goes on');
RESET auth_session.context_token;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'session_revoked', 'which they do not');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'key'), 'invalid_token', 'it is no access token');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'key'), 'invalid_token', 'nor a refresh token');

-- ---- what is no key ----

SELECT is(pg_temp.who(bad), 'invalid_token', 'E10: no key: ' || what) FROM (VALUES
	('ask1_', 'the prefix'), (left(:'key', -1), 'a character short'), (:'key' || 'A', 'one too many'), (' ' || :'key', 'a blank before'), (:'key' || '=', 'padding'),
	(overlay(:'key' placing 'ash1_' from 1), 'another prefix'), (overlay(:'key' placing CASE substr(:'key', 60, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 60), 'another secret'),
	(overlay(:'key' placing CASE substr(:'key', 12, 1) WHEN 'A' THEN 'B' ELSE 'A' END from 12), 'another user'), ('ask1_' || repeat('A', 107), 'zeros'), (upper(:'key'), 'capitals')) AS no (bad, what);
SET LOCAL auth_session.api_keys = off;
SELECT is(pg_temp.who(:'key'), 'feature_disabled', 'nor is one taken where they are off');
SET LOCAL auth_session.api_keys = on;
SELECT is(pg_temp.who(:'key'), 'taken', 'and then it is again');

-- ---- arguments ----

SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.create_api_key(%s)', arguments), 'invalid_request', 'B13: refused: ' || what, hint) FROM (VALUES
	('NULL', 'no name', '^The name'), ('''''', 'an empty one', '^The name'), ('''  ''', 'blanks', '^The name'), ('repeat(''n'', 257)', 'one too long', '^The name'), ('E''a\nb''', 'a line break in it', '^The name'), ('E''a\u202eb''', 'a bidi mark in it', '^The name'),
	('''n'', ''{"a b"}''', 'a blank in a scope', '^The scopes'), ('''n'', ''{""}''', 'an empty scope', '^The scopes'), ('''n'', ARRAY[repeat(''s'', 65)]', 'a scope too long', '^The scopes'),
	('''n'', array_fill(''s''::text, ARRAY[33])', 'too many', '^The scopes'), ('''n'', ''{{a},{b}}''', 'two dimensions', '^The scopes'), ('''n'', ''{NULL}''', 'a NULL', '^The scopes'), ('''n'', ''{ä}''', 'none of ASCII', '^The scopes'),
	('''n'', ''{}'', ''0''', 'no time', 'expire'), ('''n'', ''{}'', ''-1 day''', 'the past', 'expire'), ('''n'', ''{}'', ''3651 days''', 'longer than ten years', 'expire'), ('''n'', ''{}'', ''178000000 years''', 'for ever', 'expire'),
	('''n'', role => ''postgres''', 'a role that is not listed', 'role'), ('''n'', role => ''none''', 'none', 'role'), ('''n'', role => ''''', 'an empty role', 'role')) AS bad (arguments, what, hint);
SELECT is((auth.create_api_key('üñí', array_fill(repeat('s', 64), ARRAY[32]), '3650 days')).name, 'üñí', 'the most that is taken');
SELECT is((auth.create_api_key('n', NULL, NULL, NULL)).scopes, '{}', 'NULL is what it is by default');
SET LOCAL auth_session.api_key_max_age = '30 d';
SELECT is(date_trunc('minute', (auth.create_api_key('n')).expires_at - clock_timestamp() + '1 minute'), '30 days', 'api_key_max_age is an end for all');
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'', ''{}'', ''31 days'')', 'invalid_request', 'nothing goes beyond');
SET LOCAL auth_session.api_key_max_age = 0;

-- ---- roles ----

CREATE ROLE pgtap_reader;
SET LOCAL auth_session.api_key_roles = 'pgtap_reader, "Odd Role"';
SELECT key AS reader FROM auth.create_api_key('n', role => 'pgtap_reader') \gset
SELECT is((auth.create_api_key('n', role => 'Odd Role')).role, 'Odd Role', 'a role as SQL quotes it');
SELECT is((auth.create_api_key('n', role => 'authenticated')).role, 'authenticated', 'the usual one can be named');
SELECT auth.authenticate(:'reader') \g /dev/null
SELECT is(auth.role(), 'pgtap_reader', 'a key may have a role of api_key_roles');
SET LOCAL auth_session.api_key_roles = '';
SELECT is(pg_temp.who(:'reader'), 'invalid_token', 'D16: until it is taken from the list');

-- Of a user to whom the claims hook gives a role that may less than the usual one.
CREATE FUNCTION public.pgtap_demote(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('role', 'pgtap_reader') $$;
SET LOCAL auth_session.claims_hook = 'public.pgtap_demote';
SET LOCAL auth_session.claims_hook_roles = 'pgtap_reader';
SELECT access_token AS demoted FROM pg_temp.signin(pg_temp.email('ada')) \gset
SET LOCAL auth_session.claims_hook = '';
SELECT auth.authenticate(:'demoted') \g /dev/null
SELECT is(auth.role(), 'pgtap_reader', 'a token may have a role of its own');
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'')', 'invalid_request', 'E7: a key is no way to the usual one', 'role');
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'', role => ''authenticated'')', 'invalid_request', 'E7: nor by its name', 'role');
SET LOCAL auth_session.api_key_roles = 'pgtap_reader';
SELECT is((auth.create_api_key('n')).role, 'pgtap_reader', 'but has the token''s own where that is listed');
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'', role => ''authenticated'')', 'invalid_request', 'E7: and no other', 'role');
SET LOCAL auth_session.api_key_roles = '';

-- ---- how many ----

SELECT auth.authenticate(:'a') \g /dev/null
SELECT count(*) AS live FROM auth.api_keys() \gset
SET LOCAL auth_session.max_api_keys_per_user = :live;
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'')', 'limit_reached', 'no more than max_api_keys_per_user', 'Delete');
UPDATE auth_private.api_keys SET expires_at = clock_timestamp() WHERE user_id = :'ada' AND expires_at IS NOT NULL;
SELECT lives_ok('SELECT auth.create_api_key(''n'')', 'that live');
SELECT is((SELECT count(*) FROM auth_private.api_keys WHERE user_id = :'ada' AND expires_at <= clock_timestamp()), 0::bigint, 'an expired one makes room');
SELECT throws_matching('DO $$ BEGIN FOR i IN 1 .. 40 LOOP PERFORM auth.delete_api_key((auth.create_api_key(''n'')).id); END LOOP; END $$', 'too many attempts', 'nor as many messages again and again');
RESET auth_session.context_token;

-- ---- who may make one ----

UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '11 minutes' WHERE user_id = :'bob';
SELECT access_token AS b, refresh_token AS rb FROM pg_temp.signin(pg_temp.email('bob')) \gset
UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '11 minutes' WHERE user_id = :'bob';
SELECT auth.authenticate(access_token) FROM auth.renew(:'rb') \g /dev/null
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'')', 'reauthentication_required', 'a sign-in of eleven minutes ago is none');
RESET auth_session.context_token;
SELECT auth.authenticate(access_token) FROM pg_temp.signin(pg_temp.email('bob')) \g /dev/null
SELECT id AS kb, key AS key_bob FROM auth.create_api_key('bobs') \gset
SELECT secret AS totp FROM auth.enroll_totp() \gset
SELECT auth.confirm_totp(pg_temp.totp(:'totp')) \g /dev/null
SELECT pg_temp.raises('SELECT auth.create_api_key(''n'')', 'reauthentication_required', 'with a second factor on, a sign-in without it is none', 'second factor');
SELECT is(pg_temp.who(:'key_bob'), 'taken', 'keys that are there go on');
SELECT auth.authenticate(access_token) FROM auth.reauthenticate(NULL, pg_temp.totp(:'totp', 1)) \g /dev/null
SELECT lives_ok('SELECT auth.create_api_key(''n'')', 'with it, it is');
SELECT pg_temp.raises(format('SELECT auth.delete_api_key(%L)', :'k'), 'api_key_not_found', 'D11: another user''s key can''t be found');
SELECT pg_temp.raises('SELECT auth.delete_api_key(NULL)', 'invalid_request', 'NULL is no key');
SELECT pg_temp.raises_when_read_only('SELECT auth.create_api_key(''n'')', 'none is made in a read-only transaction');
SELECT lives_ok(format('SELECT auth.delete_api_key(%L)', :'kb'), 'one''s own is deleted');
SELECT pg_temp.raises(format('SELECT auth.delete_api_key(%L)', :'kb'), 'api_key_not_found', 'once');
SELECT is(pg_temp.who(:'key_bob'), 'invalid_token', 'D5: and is dead');
RESET auth_session.context_token;

-- ---- within a transaction ----

SELECT auth.authenticate(:'key') \g /dev/null
SELECT is(auth.uid(), :'ada'::uuid, 'a key that lives');
SELECT auth_admin.delete_api_key(:'ada', :'k') \g /dev/null
SELECT is(auth.uid(), NULL, 'D5: and is deleted is nobody in the next statement');
SELECT pg_temp.raises('SELECT auth.account()', 'invalid_token', 'D5: and refused');
RESET auth_session.context_token;
SELECT is((SELECT concat_ws('|', actor, result, reason) FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'delete_api_key' AND actor <> 'user'),
	format('%s|ok|{"api_key_id":"%s"}', current_user, :'k'), 'the log has the operator');
SELECT pg_temp.raises(format('SELECT auth_admin.delete_api_key(%L, %L)', :'ada', :'k'), 'api_key_not_found', 'and nobody finds it again');
SELECT pg_temp.raises(format('SELECT auth_admin.delete_api_key(%L, %L)', :'k', :'k'), 'user_not_found', 'of nobody');
SELECT set_eq('SELECT attname::text FROM pg_attribute WHERE attrelid = ''auth_admin.api_keys''::regclass AND attnum > 0',
	ARRAY['user_id', 'id', 'name', 'scopes', 'role', 'created_at', 'last_used_at', 'expires_at'], 'the operator''s view has nothing that is secret');

SELECT * FROM finish();
ROLLBACK;
