-- An API key in a request, as PostgREST hands its headers on: auth.check_request
-- makes the key's user the caller, with the role; a bad one is refused, and what
-- is no key of ours is nothing.
\ir helper/common.psql

BEGIN;
SELECT plan(61);
SET LOCAL auth_session.api_keys = on;

-- The roles of PostgREST: the one that it connects as, and those that it may take.
SELECT 'pgtap_web_' || :'run' AS web, 'pgtap_anon_' || :'run' AS anon, 'pgtap_user_' || :'run' AS "user", 'pgtap_other_' || :'run' AS other,
	'pgtap_reader_' || :'run' AS reader \gset
CREATE ROLE :"anon";
CREATE ROLE :"user";
CREATE ROLE :"other";
CREATE ROLE :"reader";
CREATE ROLE :"web" LOGIN NOINHERIT IN ROLE :"anon", :"user", :"reader";
SET pgtap.web = :'web';
SET pgtap.anon = :'anon';
SET LOCAL auth_session.authenticated_role = :'user';
SET LOCAL auth_session.api_key_roles = :'reader', :'other';

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS b FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT id AS k, key FROM auth.create_api_key('usual', '{read}') \gset
SELECT key AS reader_key FROM auth.create_api_key('reader', role => :'reader') \gset
SELECT key AS other_key FROM auth.create_api_key('other', role => :'other') \gset
SELECT id AS ended, key AS ended_key FROM auth.create_api_key('ended') \gset
SELECT auth.delete_api_key(:'ended') \g /dev/null
SELECT auth.authenticate(:'b') \g /dev/null
SELECT key AS bobs FROM auth.create_api_key('bobs') \gset
RESET auth_session.context_token;

\ir helper/postgrest.psql
-- The same of one that has headers, and rarely a cookie.
CREATE FUNCTION pg_temp.request_with(headers jsonb, statement text DEFAULT 'SELECT auth.uid()', method text DEFAULT 'GET',
	session_user_name text DEFAULT current_setting('pgtap.web'),
	claims jsonb DEFAULT jsonb_build_object('role', current_setting('pgtap.anon')), cookies jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.request(cookies, statement, method, headers => headers, session_user_name => session_user_name, claims => claims)
$$;
CREATE FUNCTION pg_temp.basic(name text, password text) RETURNS text LANGUAGE sql AS $$
	SELECT 'Basic ' || replace(encode(convert_to(name || ':' || password, 'UTF8'), 'base64'), E'\n', '')
$$;

-- ---- where it may be ----

SELECT is(pg_temp.request_with(jsonb_build_object(header, value)), :'ada', 'a key as ' || what) FROM (VALUES
	('apikey', :'key', 'apikey'), ('ApiKey', :'key', 'ApiKey'), ('x-api-key', :'key', 'x-api-key'), ('X-API-Key', :'key', 'X-API-Key'),
	('authorization', 'Token ' || :'key', 'Authorization: Token'), ('Authorization', 'tOKEN  ' || :'key', 'in any case, behind any space'),
	('authorization', pg_temp.basic(:'key', ''), 'the user name of curl -u'), ('authorization', pg_temp.basic(:'key', 'x:y'), 'beside any password')) AS one (header, value, what);
SELECT is(pg_temp.request_with(jsonb_build_object('x-api-key', ARRAY['x', :'key'])), :'ada', 'the last entry of an array');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key', 'x-api-key', :'key', 'authorization', pg_temp.basic(:'key', ''))), :'ada', 'the same key everywhere');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key', 'x-api-key', :'bobs')), 'invalid_token', 'E10: of two keys none is the one');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', value)), 'nobody', 'of another shape it is not ours: ' || what) FROM (VALUES
	(:'a', 'supabase-js'' anonymous JWT'), ('', 'nothing'), ('ask2_' || substr(:'key', 6), 'another prefix'), (' ' || :'key', 'a blank first')) AS one (value, what);
SELECT is(pg_temp.request_with(jsonb_build_object('authorization', value)), 'nobody', 'nor is this: ' || what) FROM (VALUES
	(pg_temp.basic('ada', 'secret'), 'another user name'), (pg_temp.basic('ada', :'key'), 'the key as the password'), ('Basic ' || :'key', 'Basic, not encoded'), ('Basic', 'Basic alone'), ('Basic ****', 'no base64'),
	('Token', 'Token alone'), ('Token x', 'another token'), ('Digest ' || :'key', 'another scheme'), (:'key', 'no scheme')) AS one (value, what);
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', 'ask1_' || repeat('x', 50000))), 'invalid_token', 'E10: 50 KB of garbage is a bad key');

-- ---- who it then is ----

SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT current_user'), :'user', 'the role is that of access tokens');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'reader_key'), 'SELECT current_user'), :'reader', 'or the key''s own');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'reader_key'), 'SELECT auth.role()'), :'reader', 'which the helpers say, too');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'other_key')), 'invalid_token', 'but none that the session user may not have');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT session_user'), :'web', 'the session user stays');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT auth.session_id()'), 'nobody', 'there is no session');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT auth.has_scope(''read'') AND NOT auth.has_scope(''write'')'), 'true', 'the scopes are there');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT current_setting(''request.jwt.claims'')::jsonb = auth.jwt()'), 'true', 'request.jwt.claims are the key''s');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT current_setting(''request.jwt.claims'')::jsonb ->> ''api_key_id'''), :'k', 'and say which it is');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT auth.check_request()::text || auth.uid()'), :'ada', 'check_request can be called again');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), method => 'POST'), :'ada', 'POST');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key', 'sec-fetch-site', 'cross-site'), method => 'POST'), :'ada', 'no page can make a browser send one');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT (auth.create_api_key(''n'')).id'), 'reauthentication_required', 'a key makes no key');
SELECT is(auth.uid(), NULL, 'it is over with the transaction');
SELECT is(current_user::text, session_user::text, 'and so is the role');

-- ---- which source ----

SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'bobs', 'authorization', 'Bearer ' || :'a'), claims => pg_temp.claims(:'a')), :'ada', 'a bearer token comes before a key');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'bobs', 'authorization', 'Bearer x')), 'invalid_token', 'a bad one, too');
SET LOCAL auth_session.cookies = on;
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'bobs'), cookies => jsonb_build_object('__Host-access', :'a')), :'bob', 'a key before a cookie');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', 'ask1_x'), cookies => jsonb_build_object('__Host-access', :'a')), 'invalid_token', 'a bad one, too');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', 'x'), cookies => jsonb_build_object('__Host-access', :'a')), :'ada', 'what is no key stops nothing');
SELECT auth.authenticate(:'key') \g /dev/null
SELECT current_setting('auth_session.context_token') AS handle \gset
RESET auth_session.context_token;
SELECT is(pg_temp.request_with('{}', cookies => jsonb_build_object('__Host-access', bad)), 'invalid_token', 'D2: no cookie is ' || what) FROM (VALUES
	(:'key', 'a key'), (:'handle', 'what stands for one in a transaction')) AS no (bad, what);
SELECT is(pg_temp.request_with(jsonb_build_object('authorization', 'Bearer ' || :'handle')), 'invalid_token', 'D2: nor is that a bearer token');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'handle')), 'nobody', 'or a key');
SET LOCAL auth_session.cookies = off;
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), claims => jsonb_build_object('role', current_setting('pgtap.anon'), 'sub', :'ada')), 'invalid_token',
	'H5: who is named by claims that nobody checked is nobody');

-- ---- refused ----

SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'ended_key')), 'invalid_token', 'D5: one that was deleted');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', overlay(:'key' placing CASE right(:'key', 1) WHEN 'A' THEN 'E' ELSE 'A' END from 112))), 'invalid_token', 'E10: one whose tag is wrong');
UPDATE auth_private.api_keys SET digest = sha256('another') WHERE user_id = :'bob';
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'bobs')), 'invalid_token', 'one of whose secret the row has another digest');
UPDATE auth_private.api_keys SET expires_at = clock_timestamp() WHERE id = :'k';
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key')), 'invalid_token', 'one that has expired');
UPDATE auth_private.api_keys SET expires_at = clock_timestamp() + interval '1 hour' WHERE id = :'k';
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), 'SELECT auth.jwt() ? ''exp'''), 'true', 'one that will says when');
SET LOCAL auth_session.api_keys = off;
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key')), 'feature_disabled', 'any while they are off');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', 'ask1_x')), 'feature_disabled', 'bad ones, too');
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'a')), 'nobody', 'but nothing of another shape');
SET LOCAL auth_session.api_keys = on;
SELECT is(pg_temp.request_with(jsonb_build_object('apikey', :'key'), session_user_name => session_user::text), 'invalid_token', 'and any where the session user is a superuser');

-- No helper looks at a key in a header: only check_request does.
SELECT set_config('request.headers', jsonb_build_object('apikey', :'key')::text, true) \g /dev/null
SELECT is(auth.uid(), NULL, 'without check_request a key in a header is nobody');
SELECT pg_temp.raises('SELECT auth.account()', 'not_authenticated', 'to the functions as well');

SELECT * FROM finish();
ROLLBACK;
