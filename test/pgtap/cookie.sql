-- A session in cookies, as PostgREST hands them on: auth.check_request makes the
-- cookie's user the caller, with the role; whatever is wrong with it is refused;
-- and what changes something by it must come from a page of the application's.
--
-- A pool's next client is another transaction: this file commits, and takes away
-- what it made.
\ir helper/common.psql
\ir helper/totp.psql
\ir helper/forge.psql

-- What a pool's former client has left.
SET response.headers = 'left';

BEGIN;
SELECT plan(112);
SET LOCAL auth_session.cookies = on;
SET LOCAL auth_session.site_url = 'HTTPS://App.Example:443/base';
SET LOCAL auth_session.allowed_origins = 'https://admin.app.example, http://localhost:5173';

-- The roles of PostgREST: the one that it connects as, and those that it may take.
SELECT 'pgtap_web_' || :'run' AS web, 'pgtap_anon_' || :'run' AS anon, 'pgtap_user_' || :'run' AS "user", 'pgtap_other_' || :'run' AS other \gset
CREATE ROLE :"anon";
CREATE ROLE :"user";
CREATE ROLE :"other";
CREATE ROLE :"web" LOGIN NOINHERIT IN ROLE :"anon", :"user";
SET pgtap.web = :'web';
SET pgtap.anon = :'anon';
SET LOCAL auth_session.authenticated_role = :'user';

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a_bob, session_id AS s_bob FROM pg_temp.signin(pg_temp.email('bob')) \gset

\ir helper/postgrest.psql
CREATE FUNCTION pg_temp.cookie(token text) RETURNS jsonb LANGUAGE sql AS $$ SELECT jsonb_build_object('__Host-access', token) $$;

-- ---- what was left ----

SELECT set_config('request.headers', '{}', true) \g /dev/null
SELECT lives_ok(format('SELECT auth.renew(%L)', :'r'), 'G10: response.headers of a former client stops no call');
SELECT is(current_setting('response.headers')::jsonb, '[{"Cache-Control": "no-store"}]', 'G10: and goes with no response');
SELECT auth.renew(:'r') \g /dev/null
SELECT is(current_setting('response.headers')::jsonb, '[{"Cache-Control": "no-store"}]', 'what this transaction has set stays');

-- ---- no request ----

SELECT set_config('request.headers', '', true), set_config('request.method', '', true), set_config('response.headers', '', true) \g /dev/null
SELECT auth.renew(:'r') \g /dev/null
SELECT is(current_setting('response.headers'), '', 'a client of the server itself gets no header of a response');
SELECT set_config('request.method', 'POST', true) \g /dev/null
SELECT auth.renew(:'r') \g /dev/null
SELECT is(current_setting('response.headers')::jsonb, '[{"Cache-Control": "no-store"}]', 'a request by its method does');
SELECT set_config('request.headers', '{}', true), set_config('request.method', '', true), set_config('response.headers', '', true) \g /dev/null
SELECT auth.renew(:'r') \g /dev/null
SELECT is(current_setting('response.headers')::jsonb, '[{"Cache-Control": "no-store"}]', 'and one by its headers, though it has none');

SET LOCAL response.headers = '';
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset

-- ---- the caller ----

SELECT is(pg_temp.request('{}'), 'nobody', 'without a cookie a request is nobody''s');
SELECT is(pg_temp.request('{}', 'SELECT current_user'), :'anon', 'and has the role of nobody');
SELECT is(pg_temp.request(pg_temp.cookie(:'a')), :'ada', 'with one it is its user''s');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT current_user'), :'user', 'and has the role that the token names');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT session_user'), :'web', 'the session user stays');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT auth.session_id()'), :'s', 'the session is the token''s');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT current_setting(''request.jwt.claims'')::jsonb'), pg_temp.claims(:'a')::text,
	'request.jwt.claims are the token''s');
SELECT is(pg_temp.request(pg_temp.cookie(:'a') || '{"theme": "dark", "__host-access": "x"}'), :'ada', 'other cookies don''t matter, nor one of another case');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT auth.check_request()::text || auth.uid()'), :'ada', 'check_request can be called again: it set the claims itself');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT auth.uid()', 'HEAD'), :'ada', 'HEAD');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT auth.uid()', 'GET', '/'), :'ada', 'the OpenAPI description');
SELECT is(current_user::text, session_user::text, 'the role ends with the transaction');
SELECT is(auth.uid(), NULL, 'and so does the context');

SET LOCAL auth_session.cookies = off;
SELECT is(pg_temp.request(pg_temp.cookie(:'a')), 'nobody', 'a cookie is nothing while they are off');
SELECT is(pg_temp.request(pg_temp.cookie('garbage')), 'nobody', 'and so is a bad one');
SET LOCAL auth_session.cookies = on;

-- No helper looks at a cookie: only check_request does.
SELECT set_config('request.cookies', pg_temp.cookie(:'a')::text, true) \g /dev/null
SELECT is(auth.uid(), NULL, 'without check_request a cookie is nobody');
SELECT pg_temp.raises('SELECT auth.account()', 'not_authenticated', 'to the functions as well');

-- ---- which source ----

SELECT is(pg_temp.request(pg_temp.cookie(:'a'), headers => jsonb_build_object('authorization', 'Bearer ' || :'a_bob')), :'bob',
	'a bearer token comes before a cookie');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), 'SELECT current_user', headers => jsonb_build_object('authorization', 'Bearer ' || :'a_bob')), :'anon',
	'and leaves the role to PostgREST');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), headers => headers), 'invalid_token', 'a bad one is not skipped: ' || headers::text)
FROM (VALUES ('{"authorization": "Bearer x"}'::jsonb), ('{"authorization": "Bearer"}'), ('{"authorization": ["Bearer x"]}'), ('{"authorization": "bearer\tx"}')) AS bad (headers);
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), claims => claims), 'invalid_token', 'H5: claims that name somebody, and a cookie: ' || claims::text)
FROM (VALUES ('{"sub": "service"}'::jsonb), ('{"jti": "x"}'), ('{"session_id": "x"}')) AS c (claims);
SELECT is(pg_temp.request(pg_temp.cookie(:'a_bob'), claims => pg_temp.claims(:'a')), 'invalid_token', 'H5: claims of another token than the cookie''s');

-- ---- the role ----

SET LOCAL auth_session.authenticated_role = :'other';
SELECT (pg_temp.signin(pg_temp.email('ada'))).access_token AS not_member \gset
SET LOCAL auth_session.authenticated_role = 'pgtap_no_such_role';
SELECT (pg_temp.signin(pg_temp.email('ada'))).access_token AS not_there \gset
SET LOCAL auth_session.authenticated_role = :'web';
SELECT (pg_temp.signin(pg_temp.email('ada'))).access_token AS itself \gset
SET LOCAL auth_session.authenticated_role = :'user';
-- No setting makes these, but a token may be older than the check of the setting.
SELECT pg_temp.forged('{"alg": "HS256"}', :'a', '{"role": "none"}') AS none, pg_temp.forged('{"alg": "HS256"}', :'a', '{"role": ""}') AS empty,
	pg_temp.forged('{"alg": "HS256"}', :'a', jsonb_build_object('role', :'user')) AS forged \gset
SELECT is(pg_temp.request(pg_temp.cookie(:'forged'), 'SELECT current_user'), :'user', 'a control: one that is signed like the next two');
SELECT is(pg_temp.request(pg_temp.cookie(token)), 'invalid_token', what)
FROM (VALUES (:'not_member', 'a role that the session user is no member of'), (:'not_there', 'a role that is not there'),
	('' || :'none', 'none, which would be the role that PostgREST connects as'), (:'empty', 'no role at all')) AS bad (token, what);
SELECT is(pg_temp.request(pg_temp.cookie(:'itself'), 'SELECT current_user'), :'web', 'a role is named, and the server says whether it may be had');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), session_user_name => session_user), 'invalid_token', 'a superuser could have any role: no cookie counts');
SELECT is(pg_temp.request('{}', session_user_name => session_user), 'nobody', 'without one nothing is wrong with it');
CREATE FUNCTION public.pgtap_definer() RETURNS void SECURITY DEFINER SET search_path = pg_catalog, pg_temp LANGUAGE plpgsql AS $$ BEGIN PERFORM auth.check_request(); END $$;
SELECT is(pg_temp.request('{}', format('SELECT set_config(''request.cookies'', %L, true), public.pgtap_definer()', pg_temp.cookie(:'a'))), 'invalid_token',
	'a security-definer function can switch no role');

-- ---- what can't be read, or is dead ----

SELECT is(pg_temp.request(cookies), 'invalid_token', 'not skipped: ' || left(cookies::text, 40))
FROM (VALUES ('{"__Host-access": ""}'::jsonb), ('{"__Host-access": "x.y.z"}'), ('{"__Host-access": null}'), ('{"__Host-access": ["x"]}'), ('["__Host-access"]'), ('"x"'),
	(pg_temp.cookie(repeat('x', 20000)))) AS bad (cookies);
CREATE FUNCTION pg_temp.forged(token text) RETURNS text LANGUAGE sql AS $$
	SELECT overlay(token PLACING CASE substr(token, length(token) - 5, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM length(token) - 5 FOR 1)
$$;
SELECT is(pg_temp.request(pg_temp.cookie(pg_temp.forged(:'a'))), 'invalid_token', 'a forged one');
SELECT access_token AS gone, session_id AS s_gone FROM pg_temp.signin(pg_temp.email('ada')) \gset
SAVEPOINT out;
SELECT auth.authenticate(:'gone') \g /dev/null
SELECT auth.logout() \g /dev/null
SELECT set_config('auth_session.context_token', '', true) \g /dev/null
SELECT is(pg_temp.request(pg_temp.cookie(:'gone')), 'session_revoked', 'one whose session has ended');

-- A dead cookie stops nobody from signing in again.
SELECT is(pg_temp.request(pg_temp.cookie(:'gone'), method => 'POST', path => '/rpc/' || call), 'nobody', 'it does not stop ' || call)
FROM unnest(ARRAY['signup', 'confirm', 'resend_confirmation', 'signin', 'signin_code', 'signin_totp', 'request_signin_code', 'request_password_reset',
	'reset_password', 'renew', 'logout', 'logout_all', 'jwks']) AS call;
SELECT is(pg_temp.request(pg_temp.cookie('garbage'), 'SELECT current_user', 'POST', '/rpc/signin'), :'anon', 'nor does garbage, and the role stays');
SELECT is(pg_temp.request(pg_temp.cookie(:'gone'), method => 'POST', path => path), 'session_revoked', 'it does stop ' || path)
FROM unnest(ARRAY['/rpc/account', '/rpc/sessions', '/rpc/signin/', '/rpc/SIGNIN', '//rpc/signin', '/rpc/signin2', '/signin', '/rpc/', '/']) AS path;
SELECT is(pg_temp.request(pg_temp.cookie(:'gone'), path => '/rpc/signin', search_path => search_path), 'session_revoked', 'nor is it signin of another schema: ' || search_path)
FROM unnest(ARRAY['"public", "auth"', '"authx"', '']) AS search_path;

-- ---- where it is from ----

SELECT is(pg_temp.request(pg_temp.cookie(:'a'), method => 'POST', headers => headers), expected, format('POST with %s', headers::text))
FROM (VALUES ('{"sec-fetch-site": "same-origin"}'::jsonb, :'ada'), ('{"Sec-Fetch-Site": "same-origin"}', :'ada'), ('{"sec-fetch-site": "same-site"}', 'cross_site'),
	('{"sec-fetch-site": "cross-site"}', 'cross_site'), ('{"sec-fetch-site": "none"}', 'cross_site'), ('{}', 'cross_site'),
	('{"origin": "null"}', 'cross_site'), ('{"origin": ""}', 'cross_site'), ('{"origin": "https://app.example"}', :'ada'),
	('{"origin": "https://admin.app.example", "sec-fetch-site": "same-site"}', :'ada'), ('{"origin": "http://localhost:5173"}', :'ada'),
	('{"origin": "http://localhost:5174"}', 'cross_site'), ('{"origin": "http://app.example"}', 'cross_site'), ('{"origin": "https://app.example.evil.example"}', 'cross_site'),
	('{"origin": "https://evil.example", "sec-fetch-site": "cross-site"}', 'cross_site'), ('{"origin": "https://app.example:8443"}', 'cross_site'),
	('{"origin": "https://app.example/base"}', 'cross_site'), ('{"origin": ["https://app.example"]}', :'ada'), ('{"sec-fetch-site": 1}', 'cross_site')
	) AS page (headers, expected);
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), method => method), 'cross_site', format('"%s" can change something', method))
FROM unnest(ARRAY['POST', 'PUT', 'PATCH', 'DELETE', 'get', '']) AS method;
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), method => 'GET', headers => '{"sec-fetch-site": "cross-site"}'), :'ada', 'GET can''t: a link into the application works');
SELECT is(pg_temp.request('{}', method => 'POST', headers => '{"sec-fetch-site": "cross-site"}'), 'nobody', 'who has no cookie may come from anywhere');
SELECT is(pg_temp.request(pg_temp.cookie(:'a'), method => 'POST', headers => jsonb_build_object('authorization', 'Bearer ' || :'a_bob')), :'bob',
	'and so may who has a bearer token: no other page can send that');

-- ---- a second factor ----

SELECT pg_temp.account(pg_temp.email('eve')) AS eve \gset
SELECT (pg_temp.signin(pg_temp.email('eve'))).access_token AS a_eve \gset
SELECT (pg_temp.enroll(:'a_eve')).secret \gset
SELECT set_config('auth_session.context_token', '', true) \g /dev/null
SELECT set_config('request.headers', '{"x-session": "cookie", "sec-fetch-site": "same-origin"}', true), set_config('request.cookies', '{}', true),
	set_config('response.headers', '', true) \g /dev/null
SELECT mfa_token, access_token IS NULL AS without FROM pg_temp.signin(pg_temp.email('eve')) \gset
SELECT ok(:'without' AND :'mfa_token' <> '', 'the first step answers an mfa token');
SELECT is(current_setting('response.headers'), '[{"Cache-Control":"no-store"}]', 'and sets no cookie');
SELECT ok(access_token IS NULL AND refresh_token IS NULL AND user_id = :'eve', 'the second answers no token') FROM auth.signin_totp(:'mfa_token', pg_temp.totp(:'secret'));
SELECT matches(current_setting('response.headers'),
	'^\[{"Cache-Control":"no-store"},{"Set-Cookie":"__Host-access=eyJ[^"]+"},{"Set-Cookie":"__Secure-refresh=asr1_[^"]+"}\]$', 'but sets both cookies');

-- ---- set for the session ----

COMMIT;
SET auth_session.cookies = on;
SELECT set_config('request.cookies', pg_temp.cookie(:'a')::text, false) \g /dev/null
BEGIN;
SELECT set_config('session_authorization', :'web', true), set_config('role', :'anon', true), set_config('request.method', 'GET', true), set_config('request.headers', '{}', true) \g /dev/null
SELECT auth.check_request() \g /dev/null
SELECT auth.uid() IS NULL AND current_user = :'anon' AS is_nobody \gset
COMMIT;
SELECT ok(:'is_nobody', 'G10: cookies set for the session are not the next transaction''s');
BEGIN;
SELECT set_config('session_authorization', :'web', true), set_config('role', :'anon', true), set_config('request.method', 'GET', true), set_config('request.headers', '{}', true),
	set_config('request.cookies', current_setting('request.cookies'), false) \g /dev/null
SELECT auth.check_request() \g /dev/null
SELECT auth.uid() IS NOT NULL AND current_user = :'user' AS is_somebody \gset
COMMIT;
SELECT ok(:'is_somebody', 'G10: they count in the one that sets them');
SELECT is(current_user, session_user, 'after which the role is what it was');

SELECT * FROM finish();
DROP FUNCTION public.pgtap_definer();
DROP ROLE :"web", :"anon", :"user", :"other";
SELECT pg_temp.clean_up();
