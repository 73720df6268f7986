-- The settings: their defaults, their ranges, and that an ordinary user can
-- loosen none.
\ir helper/common.psql

BEGIN;
SELECT plan(81);

SELECT 'pgtap_app_' || :'run' AS app \gset
CREATE ROLE :"app" LOGIN;

-- ---- defaults, as documented ----

CREATE TEMP TABLE documented (name text, value text) ON COMMIT DROP;
INSERT INTO documented VALUES
	('issuer', 'auth_session'), ('audience', 'authenticated'), ('access_token_ttl', '15min'), ('refresh_token_ttl', '30d'),
	('session_max_age', '0'), ('max_sessions_per_user', '0'), ('refresh_reuse_grace', '10s'), ('require_confirmation', 'all'),
	('code_ttl', '10min'), ('link_ttl', '1d'), ('reset_link_ttl', '1h'), ('code_length', '6'), ('code_attempts', '5'), ('authenticated_role', 'authenticated'),
	('argon2_memory', '19MB'), ('argon2_iterations', '2'), ('max_waiting_hashes', '32'), ('hash_wait', '2s'), ('lock_wait', '2s'),
	('rate_window', '15min'), ('signin_rate_per_account', '10'), ('signin_rate_per_address', '100'), ('signup_rate_per_address', '20'),
	('message_rate_per_account', '5'), ('resend_cooldown', '1min'), ('password_min_length', '8'), ('claims_hook', ''), ('password_hook', ''),
	('signup_enabled', 'on'), ('trusted_claims_roles', ''), ('trusted_proxies', '0'), ('master_key_file', ''),
	('redact_functions', ''), ('notify', 'on'), ('leeway', '0');
SELECT is(current_setting('auth_session.' || name), value, 'default: ' || name) FROM documented;
SELECT cmp_ok(current_setting('auth_session.max_concurrent_hashes')::int, '>=', 1, 'default: max_concurrent_hashes');
SELECT isnt(current_setting('auth_session.site_url', true), NULL, 'default: site_url');

-- ---- ranges ----

SELECT throws_ok(format('SET LOCAL auth_session.%s = %L', name, value), '22023', NULL, format('out of range: %s = %s', name, value))
FROM (VALUES ('access_token_ttl', '0'), ('access_token_ttl', '31d'), ('refresh_token_ttl', '0'), ('session_max_age', '-1'), ('max_sessions_per_user', '-1'),
	('refresh_reuse_grace', '-1'), ('refresh_reuse_grace', '301'), ('require_confirmation', 'some'), ('code_ttl', '0'), ('link_ttl', '0'), ('code_length', '5'),
	('code_attempts', '0'), ('code_attempts', '11'), ('argon2_memory', '7167'), ('argon2_iterations', '0'), ('hash_wait', '-1'), ('lock_wait', '0'),
	('rate_window', '0'), ('signin_rate_per_account', '-1'), ('password_min_length', '7'), ('trusted_proxies', '-1'), ('trusted_proxies', '17'),
	('leeway', '301'), ('signup_enabled', 'perhaps')) AS bad (name, value);

-- ---- who may set them ----

-- Each setting there is, by each way there is, as an ordinary role; what got through is listed.
CREATE FUNCTION pg_temp.loosened(way text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	setting record;
	got jsonb;
BEGIN
	-- The context token is no setting to be changed; it is not in pg_settings either.
	FOR setting IN SELECT name, boot_val FROM pg_settings WHERE name LIKE 'auth\_session.%'
		UNION ALL SELECT 'auth_session.context_token', '' LOOP
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
SELECT is((SELECT count(*) FROM pg_settings WHERE name LIKE 'auth\_session.%' AND context = 'user'), 0::bigint, 'no setting is for ordinary users');
SELECT results_eq($$SELECT name FROM pg_settings WHERE name LIKE 'auth\_session.%' AND context <> 'superuser' ORDER BY name$$,
	ARRAY['auth_session.master_key_file', 'auth_session.max_concurrent_hashes', 'auth_session.max_waiting_hashes'], 'what the whole server shares is set in its configuration');
SELECT is(pg_temp.failure(format('SET LOCAL ROLE %I; SHOW auth_session.master_key_file', :'app')) ->> 'sqlstate', '42501',
	'G3: where the master key is, is nothing for ordinary users');
SELECT is((SELECT count(*) FROM pg_settings WHERE name LIKE 'auth\_session.%' AND short_desc !~ '\.$'), 0::bigint, 'each setting says what it is');

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
