-- auth.signin: from a password to a session, and one answer for whatever is
-- wrong.
\ir helper/common.psql

BEGIN;
SELECT plan(66);

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
UPDATE auth_private.outbox SET settled_at = now() WHERE user_id = :'ada';

-- ---- what is answered ----

SET LOCAL request.headers = '{"user-agent": "Browser/1.0", "x-forwarded-for": "198.51.100.7"}';
SET LOCAL auth_session.trusted_proxies = 1;
SELECT now() AS began \gset
CREATE TEMP TABLE tokens ON COMMIT DROP AS SELECT * FROM auth.signin(pg_temp.email('ada'), pg_temp.password());

SELECT is(user_id, :'ada', 'a sign-in answers with the user') FROM tokens;
SELECT is(token_type, 'bearer', 'the type of the access token') FROM tokens;
SELECT ok(expires_in BETWEEN 898 AND 900, 'its life in seconds') FROM tokens;
SELECT ok(expires_at BETWEEN clock_timestamp() + interval '840 s' AND clock_timestamp() + interval '900 s', 'and its end') FROM tokens;
SELECT is(mfa_token, NULL, 'no second factor is asked for') FROM tokens;
SELECT matches(refresh_token, '^asr1_[A-Za-z0-9_-]{112}$', 'D1: a refresh token of 84 bytes, 32 of them random') FROM tokens;
SELECT is(substr(session_id::text, 15, 1), '7', 'a session''s id is a UUID, version 7') FROM tokens;

CREATE TEMP TABLE claims ON COMMIT DROP AS SELECT auth.verify(access_token) AS c FROM tokens;
SELECT set_eq('SELECT jsonb_object_keys(c) FROM claims',
	ARRAY['iss', 'aud', 'sub', 'session_id', 'jti', 'iat', 'exp', 'role', 'email', 'auth_time', 'aal', 'amr', 'app'],
	'the claims of an access token');
SELECT is(c ->> 'iss', 'auth_session', 'iss') FROM claims;
SELECT is(c ->> 'aud', 'authenticated', 'aud') FROM claims;
SELECT is(c ->> 'sub', :'ada', 'sub') FROM claims;
SELECT is(c ->> 'session_id', (SELECT session_id::text FROM tokens), 'session_id') FROM claims;
SELECT is(c ->> 'jti', (SELECT jti::text FROM auth_private.sessions WHERE user_id = :'ada'), 'jti') FROM claims;
SELECT is((c ->> 'exp')::bigint - (c ->> 'iat')::bigint, 900::bigint, 'exp is access_token_ttl after iat') FROM claims;
SELECT is(c ->> 'role', 'authenticated', 'role') FROM claims;
SELECT is(c ->> 'email', pg_temp.email('Ada'), 'email') FROM claims;
SELECT is(c ->> 'auth_time', c ->> 'iat', 'auth_time is when the user signed in') FROM claims;
SELECT is(c ->> 'aal', 'aal1', 'aal') FROM claims;
SELECT is(c -> 'amr', '["pwd"]', 'amr') FROM claims;
SELECT is(c -> 'app', '{}', 'app') FROM claims;
SELECT results_eq(
	$$SELECT h ->> 'typ', h ->> 'alg', length(h ->> 'kid') > 0
		FROM tokens, convert_from(decode(rpad(translate(split_part(access_token, '.', 1), '-_', '+/'),
			(length(split_part(access_token, '.', 1)) + 3) / 4 * 4, '='), 'base64'), 'UTF8') AS text,
		CAST(text AS jsonb) AS h$$,
	$$VALUES ('JWT', 'HS256', true)$$, 'the header of an access token');

-- ---- what is written ----

SELECT results_eq(
	format($$SELECT id, ip, user_agent, aal, amr, expires_at - created_at FROM auth_private.sessions WHERE user_id = %L$$, :'ada'),
	$$SELECT session_id, inet '198.51.100.7', 'Browser/1.0', 'aal1', ARRAY['pwd'], interval '30 days' FROM tokens$$,
	'a session row, for 30 days');
SELECT results_eq(
	format($$SELECT session_id, jti, expires_at FROM auth_private.token_cache WHERE user_id = %L$$, :'ada'),
	$$SELECT session_id, (c ->> 'jti')::uuid, expires_at FROM tokens, claims$$,
	'the access token in the cache');
SELECT is((SELECT count(*) FROM auth_private.sessions, tokens
		WHERE strpos(sessions::text, refresh_token) > 0 OR strpos(sessions::text, access_token) > 0), 0::bigint,
	'D2: no token is in the row');
SELECT is((pg_temp.mail(pg_temp.email('Ada'), 'new_signin') - '{id,kind,channel,at,locale}'::text[]),
	'{"ip": "198.51.100.7", "user_agent": "Browser/1.0"}', 'the user is told of the new sign-in, and from where');
SELECT results_eq(
	format($$SELECT result, reason, session_id, ip, user_agent FROM auth_admin.audit_log WHERE user_id = %L AND action = 'signin'$$, :'ada'),
	$$SELECT 'ok', NULL, session_id, inet '198.51.100.7', 'Browser/1.0' FROM tokens$$,
	'G6: the sign-in is in the audit log');
RESET request.headers;
RESET auth_session.trusted_proxies;

-- ---- every sign-in is another session ----

CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM auth.signin(pg_temp.email('ada'), pg_temp.password());
SELECT isnt(again.session_id, tokens.session_id, 'D3: another sign-in is another session') FROM again, tokens;
SELECT isnt(again.refresh_token, tokens.refresh_token, 'D3: with other tokens') FROM again, tokens;
SELECT isnt(auth.verify(access_token), NULL, 'the first session lives on') FROM tokens;
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), 2::bigint, 'two sessions');

-- Whoever comes with a token of an earlier session gets no say in the new one.
SELECT auth.authenticate(access_token) FROM tokens \g /dev/null
SELECT isnt(session_id, (SELECT session_id FROM tokens), 'D3: also where a session of the past is presented')
FROM auth.signin(pg_temp.email('ada'), pg_temp.password());
RESET auth_session.context_token;

-- ---- one answer for all that is wrong ----

SELECT auth.signup(pg_temp.email('pending'), pg_temp.password()) \g /dev/null
SELECT pg_temp.account(pg_temp.email('banned')) AS banned \gset
SELECT pg_temp.account(pg_temp.email('deleted')) AS deleted \gset
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = :'banned';
DELETE FROM auth_private.identifiers WHERE user_id = :'deleted';
DELETE FROM auth_private.accounts WHERE id = :'deleted';
SELECT pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), 'a wrong password')) AS refusal \gset
SELECT is(:'refusal'::jsonb - 'message' - 'context',
	'{"sqlstate": "PT401", "detail": "invalid_credentials", "table": "", "constraint": "",
		"hint": "If you have just signed up, confirm the address first."}',
	'a wrong password is invalid_credentials, with a hint for everybody');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('nobody'), pg_temp.password())), :'refusal'::jsonb,
	'B1: an unknown account answers alike');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('pending'), pg_temp.password())), :'refusal'::jsonb,
	'B1: a pending one with the right password');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('pending'), 'a wrong password')), :'refusal'::jsonb,
	'B1: a pending one with a wrong one');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('banned'), 'a wrong password')), :'refusal'::jsonb,
	'B1: a banned one with a wrong one');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('deleted'), pg_temp.password())), :'refusal'::jsonb,
	'B11: a deleted one');
SELECT is(pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), '')), :'refusal'::jsonb,
	'B1: an empty password');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('banned'), pg_temp.password()),
	'banned', 'B11: a banned owner is told, after the right password');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE recipient IN (pg_temp.email('nobody'), pg_temp.email('deleted'))
		AND kind = 'new_signin'), 0::bigint, 'B1: no refusal sends a message');
SELECT pg_temp.comes_true(
	format($$SELECT array_agg(DISTINCT reason ORDER BY reason) =
		ARRAY['banned account', 'unknown account', 'wrong password'] FROM auth_admin.audit_log
		WHERE action = 'signin' AND result <> 'ok' AND at >= %L$$, :'began'),
	'G6: the finer reason is in the audit log, for operators');

-- A ban that is over.
UPDATE auth_private.accounts SET banned_until = clock_timestamp() + interval '1 hour' WHERE id = :'banned';
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('banned'), pg_temp.password()),
	'banned', 'D9: a ban with an end lasts until then');
UPDATE auth_private.accounts SET banned_until = clock_timestamp() - interval '1 second' WHERE id = :'banned';
SELECT refresh_token AS after_ban FROM auth.signin(pg_temp.email('banned'), pg_temp.password()) \gset
SELECT matches(:'after_ban'::text, '^asr1_', 'a ban that is over bars nobody');
SELECT is((auth.renew(:'after_ban')).user_id, :'banned', 'and such a session can be renewed');

-- An account without a password, and one with a hash that is none (A17).
SELECT pg_temp.account(pg_temp.email('poisoned')) AS poisoned \gset
CREATE TEMP TABLE bad_hashes (hash text, what text) ON COMMIT DROP;
INSERT INTO bad_hashes VALUES
	(NULL, 'no hash'), ('', 'an empty hash'), ('correct horse battery', 'a plain password'),
	('$argon2id$v=19$m=8388608,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9v', 'a hash of 8 GiB'),
	('$argon2id$v=19$m=19456,t=1000,p=1$c29tZXNhbHRzb21lc2FsdA$Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9v', 'a hash of 1,000 passes'),
	('$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ', 'a hash cut short');
CREATE FUNCTION pg_temp.signin_with_hash(id uuid, hash text, address text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	UPDATE auth_private.accounts SET password_hash = $2 WHERE accounts.id = $1;
	RETURN pg_temp.failure(format('SELECT auth.signin(%L, %L)', address, pg_temp.password()));
END
$$;
SELECT is(pg_temp.signin_with_hash(:'poisoned', hash, pg_temp.email('poisoned')), :'refusal'::jsonb,
	'A17: ' || what || ' signs nobody in') FROM bad_hashes;

-- ---- by phone ----

SELECT id AS phoned FROM auth.signup(phone => pg_temp.phone(1), password => pg_temp.password()) \gset
SELECT auth.confirm(pg_temp.phone(1), pg_temp.code(pg_temp.phone(1)), pg_temp.password()) \g /dev/null
CREATE TEMP TABLE by_phone ON COMMIT DROP AS SELECT * FROM auth.signin(phone => pg_temp.phone(1), password => pg_temp.password());
SELECT is(user_id, :'phoned', 'one can sign in by phone') FROM by_phone;
SELECT is(c ->> 'phone' || coalesce(c ->> 'email', ''), pg_temp.phone(1), 'whose token has the phone and no email')
FROM by_phone, auth.verify(access_token) AS c;
SELECT is(pg_temp.mail(pg_temp.phone(1), 'new_signin') ->> 'channel', 'sms', 'and who is told by SMS');

-- ---- what is refused ----

SELECT pg_temp.raises('SELECT auth.signin()', 'invalid_request', 'a sign-in needs an identifier', 'email.*phone');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L, %L)', pg_temp.email('ada'), pg_temp.password(), pg_temp.phone(1)),
	'invalid_request', 'and not two', 'either');
SELECT pg_temp.raises(format('SELECT auth.signin(%L)', pg_temp.email('ada')), 'invalid_request', 'and a password', 'password');
SELECT pg_temp.raises('SELECT auth.signin(''nonsense'', ''a password'')', 'invalid_request', 'an email must be one', 'email');
SELECT pg_temp.raises('SELECT auth.signin(phone => ''nonsense'', password => ''a password'')', 'invalid_request', 'and a phone', 'phone');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()),
	'a sign-in in a read-only transaction says so');

-- ---- a password has no age ----

SELECT pg_temp.account(pg_temp.email('old')) AS old \gset
UPDATE auth_private.accounts SET created_at = created_at - interval '400 days',
	email_confirmed_at = email_confirmed_at - interval '400 days' WHERE id = :'old';
SELECT is((pg_temp.signin(pg_temp.email('old'))).user_id, :'old', 'A10: a password of 400 days ago still signs in');
SELECT is_empty($$SELECT name FROM pg_settings WHERE name ~ '^auth_session.*password.*(age|expir|ttl|history)'$$,
	'A10: and no setting makes one expire');

-- ---- at most so many sessions ----

SET LOCAL auth_session.max_sessions_per_user = 2;
CREATE TEMP TABLE three ON COMMIT DROP AS
SELECT n, t.* FROM generate_series(1, 3) AS n, LATERAL pg_temp.signin(pg_temp.email('ada'), overlay(pg_temp.password() PLACING '' FROM n FOR 0)) AS t;
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), 2::bigint, 'D12: no more than max_sessions_per_user live');
SELECT set_eq(format('SELECT id FROM auth_private.sessions WHERE user_id = %L', :'ada'), 'SELECT session_id FROM three WHERE n > 1',
	'D12: the oldest went');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', access_token), 'session_revoked', 'D12: and its token with it')
FROM three WHERE n = 1;
SELECT is((SELECT count(*) FROM auth_private.token_cache WHERE user_id = :'ada'), 2::bigint, 'D12: the cache knows two');

-- One that has expired takes nobody's place, however new.
UPDATE auth_private.sessions SET expires_at = clock_timestamp() - interval '1 second' FROM three WHERE id = session_id AND n = 3;
SELECT session_id AS fourth FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT set_has(format('SELECT id FROM auth_private.sessions WHERE user_id = %L', :'ada'),
	format('SELECT session_id FROM three WHERE n = 2 UNION SELECT %L', :'fourth'), 'D12: an expired session counts for none');

SELECT * FROM finish();
ROLLBACK;
