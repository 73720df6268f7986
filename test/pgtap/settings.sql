-- The settings: their ranges, and that an ordinary user can loosen none.
\ir helper/common.psql

BEGIN;
SELECT plan(136);

SELECT 'pgtap_app_' || :'run' AS app \gset
CREATE ROLE :"app" LOGIN;

-- All of them, for the tests below: a setting that is added is tested.
CREATE TEMP TABLE settings ON COMMIT DROP AS
	SELECT substr(name, length('auth_session.') + 1) AS name, vartype, min_val, max_val, boot_val, context, short_desc
	FROM pg_settings WHERE name LIKE 'auth\_session.%';
SELECT cmp_ok((SELECT count(*) FROM settings), '>=', 40::bigint, 'the settings are there');

-- Whether a value is taken; it isn't where the server says that it is no value for the setting.
CREATE FUNCTION pg_temp.is_taken(setting text, value text) RETURNS boolean LANGUAGE sql AS $$
	SELECT pg_temp.failure(format('SET LOCAL auth_session.%I = %L', setting, value)) ->> 'sqlstate' IS DISTINCT FROM '22023'
$$;

-- ---- ranges ----

-- The defaults themselves are compared with the README's, by readme.pl.
SELECT is_empty($$SELECT name FROM settings WHERE context = 'superuser'
	AND pg_temp.failure(format('SET LOCAL auth_session.%I = %L', name, boot_val)) <> '{}'$$, 'every default is in range');
SELECT is_empty($$SELECT name FROM settings WHERE vartype = 'integer' AND context = 'superuser'
	AND pg_temp.is_taken(name, (min_val::bigint - 1)::text)$$, 'no number is taken below its range');
SELECT is_empty($$SELECT name FROM settings WHERE vartype = 'integer' AND context = 'superuser'
	AND pg_temp.is_taken(name, (max_val::bigint + 1)::text)$$, 'nor above it');
SELECT is_empty($$SELECT name FROM settings WHERE vartype IN ('bool', 'enum') AND pg_temp.is_taken(name, 'perhaps')$$,
	'nor a word that is none of the choices');
SELECT is_empty($$SELECT name FROM settings WHERE vartype = 'integer' AND (min_val::int < 0 OR max_val::int > 315360000)$$,
	'every number has an end, and none is negative');

-- What somebody's security hangs on: were a range widened, this would say so.
SELECT ok(NOT pg_temp.is_taken(setting, value), format('out of range: %s = %s', setting, value))
FROM (VALUES ('access_token_ttl', '31d'), ('refresh_reuse_grace', '301'), ('leeway', '301'), ('code_ttl', '61min'), ('reset_link_ttl', '25h'),
	('code_length', '5'), ('code_attempts', '11'), ('password_min_length', '7'), ('argon2_memory', '7167'), ('argon2_iterations', '0'),
	('lock_wait', '0'), ('trusted_proxies', '17')) AS bad (setting, value);

-- ---- values that could not work ----

SELECT ok(pg_temp.is_taken(setting, repeat('x', most)), format('%s bytes of %s are taken', most, setting))
FROM (VALUES ('issuer', 255), ('audience', 255), ('authenticated_role', 63)) AS longest (setting, most);
SELECT ok(NOT pg_temp.is_taken(setting, repeat('x', most + 1)), format('%s bytes are not: no token would verify', most + 1))
FROM (VALUES ('issuer', 255), ('audience', 255), ('authenticated_role', 63)) AS longest (setting, most);
SELECT ok(NOT pg_temp.is_taken('issuer', repeat(chr(233), 128)), 'bytes are counted, not characters');

SELECT ok(pg_temp.is_taken(setting, value) = taken, format('H12: %s: "%s" is %s', setting, value, CASE WHEN taken THEN 'taken' ELSE 'not' END))
FROM unnest(ARRAY['trusted_claims_roles', 'api_key_roles', 'claims_hook_roles']) AS setting,
	(VALUES ('', true), ('editor', true), ('"Ed,itor" , reader', true), ('none', false), ('editor, NONE', false), ('editor,,reader', false),
		(' , ', false), ('"editor', false)) AS lists (value, taken);
SELECT ok(NOT pg_temp.is_taken('authenticated_role', value), format('H12: authenticated_role: "%s" is not taken: no role of a user''s', value))
FROM unnest(ARRAY['', 'none']) AS value;

SELECT ok(pg_temp.is_taken('site_url', url), format('site_url: "%s" is taken', url))
FROM unnest(ARRAY['', 'https://app.example', 'https://app.example/', 'http://localhost:3000', 'HTTPS://App.Example', 'http://[::1]:8080/base',
	'https://app.example/a/b%20c/~d;e=1,2', 'https://xn--bcher-kva.example.', 'http://192.0.2.1']) AS url;
SELECT ok(NOT pg_temp.is_taken('site_url', url), format('site_url: "%s" is not', replace(left(url, 40), E'\n', '\n')))
FROM unnest(ARRAY['app.example', 'https://app.example/?x=1', 'https://app.example?', 'https://app.example/#top', 'https://user:pw@app.example',
	'https://app.example@evil.example', 'javascript:alert(1)', 'ftp://app.example', 'https:app.example', 'https:///path', 'https://', ' https://app.example',
	'https://app.example ', 'https://app example', E'https://app.example/\nBcc: x', 'https://app..example', 'https://.example', 'https://app.example:0',
	'https://app.example:', 'https://app.example:65536', 'https://app.example:80x', 'https://[::1', 'https://[::g]', 'https://[::1]x', 'https://app.example/%2',
	'https://app.example/"><b>', 'https://app.example\@evil.example', 'https://b' || chr(252) || 'cher.example',
	'https://app.example/' || repeat('x', 1024)]) AS url;
SELECT ok(pg_temp.is_taken('allowed_origins', list), format('allowed_origins: "%s" is taken', list))
FROM unnest(ARRAY['', 'https://app.example', 'HTTPS://App.Example:443', 'https://a.example, http://localhost:5173,http://[::1]:80']) AS list;
SELECT ok(NOT pg_temp.is_taken('allowed_origins', list), format('allowed_origins: "%s" is not', list))
FROM unnest(ARRAY['*', 'null', 'app.example', 'https://app.example/', 'https://a.example https://', 'https://a.example, *', 'https://*.app.example', 'https://a.example;https://b.example']) AS list;
SELECT ok(pg_temp.is_taken('cookie_refresh_path', path) = taken, format('cookie_refresh_path: "%s" is %s', left(path, 40), CASE WHEN taken THEN 'taken' ELSE 'not' END))
FROM (VALUES ('/', true), ('/api/rpc/renew', true), ('/' || repeat('x', 1023), true), ('/' || repeat('x', 1024), false), ('', false), ('rpc/renew', false),
	('/a; Domain=evil.example', false), ('/a,b', false), ('/a b', false), (E'/a\r\nSet-Cookie: x=y', false), ('/' || chr(228), false)) AS paths (path, taken);
SET LOCAL auth_session.site_url = '';
SELECT ok(NOT pg_temp.is_taken('cookie_prefixes', 'off'), 'cookie_prefixes: not off without a site_url');
SET LOCAL auth_session.site_url = 'http://app.example';
SELECT ok(pg_temp.is_taken('cookie_prefixes', 'off'), 'off over plain http');
SET LOCAL auth_session.site_url = 'https://app.example';
SELECT ok(NOT pg_temp.is_taken('cookie_prefixes', 'off'), 'not off over https');
SET LOCAL auth_session.site_url = 'HTTPS://App.Example/Base';
SELECT is(current_setting('auth_session.site_url'), 'https://App.Example/Base', 'a scheme has no case, and is read in lower case');

-- ---- who may set them ----

-- Each setting there is, by each way there is, as an ordinary role; what got through is listed.
CREATE FUNCTION pg_temp.loosened(way text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting record;
	got jsonb;
BEGIN
	-- These two are no settings to be changed; they are not in pg_settings either.
	FOR setting IN SELECT 'auth_session.' || name AS name, boot_val FROM settings UNION ALL VALUES ('auth_session.context_token', ''), ('auth_session.request_is_set', '0') LOOP
		got := pg_temp.failure(format('SET LOCAL ROLE %I; ' || way, 'pgtap_app_' || current_setting('pgtap.run'), setting.name, setting.boot_val));
		IF got ->> 'sqlstate' IS NULL OR got ->> 'sqlstate' NOT IN ('42501', '55P02') THEN
			RETURN NEXT setting.name || ' ' || coalesce(got ->> 'message', 'was set');
		END IF;
	END LOOP;
END
$$;
SELECT is_empty(format('SELECT * FROM pg_temp.loosened(%L)', way), 'an ordinary user can loosen no setting by ' || what)
FROM (VALUES
	('SET %2$s = %3$L', 'SET'), ('SET LOCAL %2$s = %3$L', 'SET LOCAL'), ('SELECT set_config(%2$L, %3$L, false)', 'set_config'),
	('SELECT set_config(%2$L, %3$L, true)', 'set_config for a transaction'), ('RESET %2$s', 'RESET'), ('SET %2$s TO DEFAULT', 'SET TO DEFAULT'),
	('ALTER ROLE %1$I SET %2$s = %3$L', 'ALTER ROLE'), ('ALTER ROLE %1$I IN DATABASE postgres SET %2$s = %3$L', 'ALTER ROLE IN DATABASE'),
	('CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SET %2$s = %3$L AS ''SELECT 1''; SELECT pg_temp.f()', 'a function that sets it')
) AS ways (way, what);
SELECT is(pg_temp.failure(format('SET LOCAL ROLE %I; SET auth_session.anything = 1', :'app')) ->> 'sqlstate', '42602',
	'nor make one of its own: the prefix is reserved');
SELECT is_empty($$SELECT name FROM settings WHERE context NOT IN ('superuser', 'sighup')$$, 'no setting is for ordinary users');
SELECT results_eq($$SELECT name FROM settings WHERE context <> 'superuser' ORDER BY name$$,
	ARRAY['master_key_file', 'max_concurrent_hashes', 'max_waiting_hashes'], 'what the whole server shares is set in its configuration');
SELECT is(pg_temp.failure(format('SET LOCAL ROLE %I; SHOW auth_session.master_key_file', :'app')) ->> 'sqlstate', '42501',
	'G3: where the master key is, is nothing for ordinary users');
SELECT is_empty($$SELECT name FROM settings WHERE short_desc !~ '\.$'$$, 'each setting says what it is');

-- ---- that they work for whom they were set ----

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SET LOCAL auth_session.access_token_ttl = '1h';
SET LOCAL auth_session.issuer = 'https://issuer.example';
SET LOCAL auth_session.audience = 'app';
SET LOCAL auth_session.authenticated_role = 'member';
CREATE TEMP TABLE tokens ON COMMIT DROP AS SELECT * FROM pg_temp.signin(pg_temp.email('ada'));
SELECT ok(expires_in BETWEEN 3598 AND 3600, 'access_token_ttl') FROM tokens;
SELECT is(auth.verify(access_token) ->> 'iss', 'https://issuer.example', 'issuer') FROM tokens;
SELECT is(auth.verify(access_token) ->> 'aud', 'app', 'audience') FROM tokens;
SELECT is(auth.verify(access_token) ->> 'role', 'member', 'authenticated_role') FROM tokens;
RESET auth_session.issuer;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', access_token), 'invalid_token', 'F16: another issuer''s token') FROM tokens;
SET LOCAL auth_session.issuer = 'https://issuer.example';
RESET auth_session.audience;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', access_token), 'invalid_token', 'F16: and one for another audience are refused') FROM tokens;

SELECT * FROM finish();
ROLLBACK;
