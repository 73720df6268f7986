-- auth.renew: rotation, the grace, reuse.
--
-- What a reuse leaves behind is committed by the recorder in a transaction of
-- its own, which sees only what is committed: this file commits, with
-- addresses of its own, and takes its rows away at the end.
\ir helper/common.psql

SELECT plan(89);

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset

-- ---- the next tokens ----

SELECT access_token AS a1, refresh_token AS r1, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
SELECT * FROM auth_private.sessions WHERE id = :'s' \gset before_
CREATE TEMP TABLE tokens AS SELECT * FROM auth.renew(:'r1');
SELECT access_token AS a2, refresh_token AS r2 FROM tokens \gset

SELECT is(session_id, :'s', 'E1: a renewal is of the same session') FROM tokens;
SELECT is(user_id, :'ada', 'E7: and of the same user') FROM tokens;
SELECT is(token_type, 'bearer', 'with the type of the token') FROM tokens;
SELECT ok(expires_in BETWEEN 898 AND 900, 'and its life') FROM tokens;
SELECT isnt(:'r2'::text, :'r1', 'E1: with a new refresh token');
SELECT isnt(:'a2'::text, :'a1', 'E1: and a new access token');
SELECT is(auth.verify(:'a2') ->> 'session_id', :'s', 'which is good');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a1'), 'token_expired',
	'E1: the former access token is out of date at once', '[Rr]enew');
SELECT is(pg_temp.claims(:'a2') - '{jti,iat,exp}'::text[], pg_temp.claims(:'a1') - '{jti,iat,exp}'::text[],
	'E7: no claim but jti, iat and exp has changed');
SELECT isnt(pg_temp.claims(:'a2') ->> 'jti', pg_temp.claims(:'a1') ->> 'jti', 'jti has');
SELECT results_eq(
	format('SELECT jti::text FROM auth_private.token_cache WHERE session_id = %L', :'s'),
	ARRAY[pg_temp.claims(:'a2') ->> 'jti'], 'the cache has the new access token in place of the old');
SELECT is(created_at::text, :'before_created_at', 'the session is as old as it was') FROM auth_private.sessions WHERE id = :'s';
SELECT ok(renewed_at > :'before_renewed_at', 'knows when it was renewed') FROM auth_private.sessions WHERE id = :'s';
SELECT is(expires_at - renewed_at, interval '30 days', 'and lives 30 days from then') FROM auth_private.sessions WHERE id = :'s';
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE session_id = :'s' AND action = 'renew'), 0::bigint,
	'G6: a renewal that succeeds is not audited');
SELECT refresh_token AS audited, session_id AS audited_id FROM pg_temp.signin(pg_temp.email('bob')) \gset
SET auth_session.audit_renewals = on;
SELECT FROM auth.renew(:'audited');
RESET auth_session.audit_renewals;
SELECT results_eq(
	format('SELECT action, actor, result, user_id FROM auth_admin.audit_log WHERE session_id = %L AND action = ''renew''', :'audited_id'),
	format('VALUES (''renew'', ''user'', ''ok'', %L::uuid)', :'bob'), 'G6: unless audit_renewals is on');

-- ---- the grace ----

SELECT xmin AS xmin, jti FROM auth_private.token_cache WHERE session_id = :'s' \gset cached_
CREATE TEMP TABLE retry AS SELECT * FROM auth.renew(:'r1');
SELECT is(refresh_token, :'r2', 'E6: the same renewal again gives the same successor') FROM retry;
SELECT is(pg_temp.claims(access_token) ->> 'jti', pg_temp.claims(:'a2') ->> 'jti', 'E6: and an access token with the same jti') FROM retry;
SELECT is(auth.verify(access_token) ->> 'sub', :'ada', 'E6: which works') FROM retry;
SELECT is(auth.verify(:'a2') ->> 'sub', :'ada', 'E6: beside the first answer');
SELECT is(xmin::text, :'cached_xmin', 'a retry within the grace writes no cache row') FROM auth_private.token_cache WHERE session_id = :'s';
SELECT is(generation, :'before_generation' + 1, 'nor rotates') FROM auth_private.sessions WHERE id = :'s';

-- ---- theft: the grand-parent ----

SELECT access_token AS other_access, refresh_token AS other_refresh FROM pg_temp.signin(pg_temp.email('Ada')) \gset
SELECT access_token AS a3, refresh_token AS r3 FROM auth.renew(:'r2') \gset
SELECT is((auth.renew(:'r2')).refresh_token, :'r3', 'E6: the parent is within the grace');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'refresh_token_reused',
	'E4: the grand-parent never is', 'Sign in');
SELECT pg_temp.comes_true(format('SELECT NOT EXISTS (SELECT FROM auth_private.sessions WHERE id = %L)', :'s'),
	'E3: its session is ended although the call failed and was rolled back');
SELECT is((SELECT count(*) FROM auth_private.token_cache WHERE session_id = :'s'), 0::bigint, 'E2: and so is its cache row');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a3'), 'session_revoked', 'E2: its access token is dead');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', t), 'session_revoked', 'E2: and every refresh token of it')
FROM unnest(ARRAY[:'r1', :'r2', :'r3']) AS t;
SELECT is(auth.verify(:'other_access') ->> 'sub', :'ada', 'E2: the user''s other session lives');
SELECT results_eq(
	format($$SELECT result, reason, user_id FROM auth_admin.audit_log WHERE session_id = %L AND result = 'refresh_token_reused'$$, :'s'),
	format($$VALUES ('refresh_token_reused', 'refresh token reused', %L::uuid)$$, :'ada'),
	'E12: one audit row');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'session_revoked'), 1::bigint,
	'E12: and one message to the user');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND strpos(payload::text, 'asr1_') > 0), 0::bigint,
	'E12: without a token in it');

-- ---- theft: the parent after the grace ----

SELECT refresh_token AS r1, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
SELECT refresh_token AS r2 FROM auth.renew(:'r1') \gset
SET auth_session.refresh_reuse_grace = '1s';
BEGIN;
SAVEPOINT theirs;
SELECT pg_temp.comes_true(format('SELECT pg_temp.failure(%L) ->> %L = %L', format('SELECT auth.renew(%L)', :'r1'), 'detail', 'refresh_token_reused'),
	'E2: the parent after the grace is a theft');
ROLLBACK TO theirs;
ROLLBACK;
RESET auth_session.refresh_reuse_grace;
SELECT pg_temp.comes_true(format('SELECT NOT EXISTS (SELECT FROM auth_private.sessions WHERE id = %L)', :'s'),
	'E3: ROLLBACK TO SAVEPOINT and ROLLBACK revive nothing');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r2'), 'session_revoked', 'E3: the thief''s token is dead, too');

-- ---- a renewal that was rolled back ----

SELECT refresh_token AS r1, access_token AS a1, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
BEGIN;
SELECT refresh_token AS lost FROM auth.renew(:'r1') \gset
ROLLBACK;
SELECT is(auth.verify(:'a1') ->> 'session_id', :'s', 'a renewal that was rolled back has replaced nothing');
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'lost'), 'invalid_token', 'its token is newer than the session, and not valid');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE id = :'s'), 1::bigint, 'which revokes nothing');
SELECT is((auth.renew(:'r1')).refresh_token, :'lost', 'the same renewal gives the same successor');

-- ---- a row that the UPDATE misses, though it knows the token ----

SELECT refresh_token AS r1, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
CREATE FUNCTION pg_temp.miss() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('pgtap.misses', (current_setting('pgtap.misses')::integer - 1)::text, true);
	RETURN CASE WHEN current_setting('pgtap.misses')::integer < 0 THEN NEW END;
END $$;
BEGIN;
CREATE TRIGGER miss BEFORE UPDATE ON auth_private.sessions FOR EACH ROW EXECUTE FUNCTION pg_temp.miss();
SET LOCAL pgtap.misses = 1;
SELECT matches((auth.renew(:'r1')).refresh_token, '^asr1_', 'is renewed at the second try: it may be moving to another node');
ROLLBACK;
BEGIN;
CREATE TRIGGER miss BEFORE UPDATE ON auth_private.sessions FOR EACH ROW EXECUTE FUNCTION pg_temp.miss();
SET LOCAL pgtap.misses = 2;
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'busy', 'which is the only one');
ROLLBACK;
SELECT matches((auth.renew(:'r1')).refresh_token, '^asr1_', 'and costs nobody the session');

-- ---- whose token ----

SELECT access_token AS bob_access FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT refresh_token AS r1, access_token AS a1, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
BEGIN;
SELECT auth.authenticate(:'bob_access') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'user_mismatch', 'E7: not in the context of another user');
ROLLBACK;
BEGIN;
SELECT set_config('request.headers', json_build_object('authorization', 'Bearer ' || :'bob_access')::text, true) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'user_mismatch', 'E7: nor with another user''s bearer token');
ROLLBACK;
SELECT is(generation, 1, 'E7: which leaves the session alone') FROM auth_private.sessions WHERE id = :'s';
BEGIN;
SELECT auth.authenticate(:'a1') \g /dev/null
SELECT matches((auth.renew(:'r1')).refresh_token, '^asr1_', 'in the context of the same user it goes on');
ROLLBACK;
CREATE FUNCTION pg_temp.renew_with(bearer text, token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', json_build_object('authorization', 'Bearer ' || bearer)::text, true);
	RETURN (auth.renew(token)).refresh_token;
END
$$;
SELECT matches(pg_temp.renew_with(bearer, :'r1'), '^asr1_', 'a bearer that is ' || what || ' counts as no context')
FROM (VALUES ('garbage', 'garbage'), (:'a3', 'revoked'), (left(:'bob_access', -3) || 'AAA', 'forged'), ('', 'empty')) AS bad (bearer, what);

-- What operators set counts from the next renewal on (D16).
BEGIN;
UPDATE auth_private.accounts SET app = '{"plan": "gold"}' WHERE id = :'ada';
SELECT is(pg_temp.claims(access_token) -> 'app', '{"plan": "gold"}', 'D16: a renewal has what operators set meanwhile') FROM auth.renew(:'r1');
ROLLBACK;

-- Under other keys, as of another server.
BEGIN;
DELETE FROM auth_private.mac_keys;
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'invalid_token', 'E10: a token of another environment is none');
SELECT refresh_token AS others FROM pg_temp.signin(pg_temp.email('Ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'invalid_token', 'E10: nor is it where that has keys');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE id = :'s'), 1::bigint, 'E10: which revokes nothing');
ROLLBACK;
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'others'), 'invalid_token', 'E10: and the other way round');

-- ---- what the tokens are made of (D1) ----

CREATE TEMP TABLE chain (n integer, secret bytea, jti text);
CREATE FUNCTION pg_temp.chain(token text, most integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	tokens auth.tokens;
BEGIN
	FOR n IN 1 .. most LOOP
		tokens := auth.renew(token);
		token := tokens.refresh_token;
		-- After the two ids and the generation: the secret.
		INSERT INTO chain VALUES (n, substr(decode(translate(substr(token, 6), '-_', '+/'), 'base64'), 37, 32),
			pg_temp.claims(tokens.access_token) ->> 'jti');
	END LOOP;
END
$$;
BEGIN;
SELECT pg_temp.chain(:'r1', 300) \g /dev/null
SELECT is(count(DISTINCT secret), 300::bigint, 'D1: of 300 refresh tokens no two are alike') FROM chain;
SELECT is(count(DISTINCT jti), 300::bigint, 'F23: nor two access tokens') FROM chain;
SELECT is(min(length(secret)), 32, 'D1: 256 bits each') FROM chain;
-- 76,800 bits, half of them ones: 139 is one standard deviation, seven are 1e-12 of the cases.
SELECT ok(abs(sum(bit_count(secret)) - 38400) < 970, 'D1: as many ones as zeros (monobit)') FROM chain;
ROLLBACK;

-- ---- what is none ----

SELECT refresh_token AS r1, access_token AS a1, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
SELECT refresh_token AS bobs FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.failure(format('SELECT auth.renew(%L)', 'garbage')) AS refusal \gset
SELECT is(:'refusal'::jsonb ->> 'detail', 'invalid_token', 'E10: garbage is invalid_token');
SELECT is(pg_temp.failure(format('SELECT auth.renew(%L)', bad)), :'refusal'::jsonb, 'E10: ' || what || ' is refused alike')
FROM (VALUES
	('', 'an empty token'),
	(left(:'r1', -1), 'a token cut short'),
	(:'r1' || 'A', 'a token that goes on'),
	(:'r1' || '=', 'a padded token'),
	(' ' || :'r1', 'a token after a space'),
	(replace(:'r1', 'asr1_', 'asr2_'), 'a token of another version'),
	(overlay(:'r1' PLACING CASE substr(:'r1', 10, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 10), 'a token of another user, forged'),
	(overlay(:'r1' PLACING substr(:'bobs', 6, 42) FROM 6), 'a token with the head of another'),
	(overlay(:'r1' PLACING CASE substr(:'r1', 54, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 54), 'a token with another secret'),
	(overlay(:'r1' PLACING CASE substr(:'r1', 100, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM 100), 'a token with another tag'),
	('asr1_' || repeat('A', 112), 'a token of zeros')
) AS bad (bad, what);
SELECT is(pg_temp.failure(format('SELECT auth.renew(%L)', :'a1')), :'refusal'::jsonb, 'E11: an access token is no refresh token');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE id = :'s'), 1::bigint, 'E10: guessing revokes nothing');
SELECT matches((auth.renew(:'r1')).refresh_token, '^asr1_', 'E10: and the token itself still works');
SELECT pg_temp.raises('SELECT auth.renew(NULL)', 'invalid_request', 'a renewal needs a token', 'refresh_token');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.renew(%L)', :'bobs'), 'a renewal in a read-only transaction says so');

-- ---- expiry ----

SET auth_session.refresh_token_ttl = 3;
SELECT refresh_token AS idle, access_token AS idle_access, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
RESET auth_session.refresh_token_ttl;
SELECT expires_at FROM auth_private.sessions WHERE id = :'s' \gset
SELECT is(auth.verify(:'idle_access') ->> 'session_id', :'s', 'a session is good before its idle end');
SELECT pg_temp.wait_until(:'expires_at') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'idle'), 'session_expired', 'E8: not renewed in time, a session has expired');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'idle_access'), 'token_expired',
	'D4: and its access token ends with it, whatever its own life was to be');

SET auth_session.session_max_age = 4;
SELECT refresh_token AS r1, expires_at AS access_end, session_id AS s FROM pg_temp.signin(pg_temp.email('Ada')) \gset
SELECT expires_at, ends_at FROM auth_private.sessions WHERE id = :'s' \gset
SELECT is(:'expires_at'::text, :'ends_at', 'D4: a session with a greatest age ends with it');
SELECT is(:'access_end'::text, :'ends_at', 'D4: and so does its access token');
SET auth_session.session_max_age = 0;
CREATE TEMP TABLE aged AS SELECT * FROM auth.renew(:'r1');
SELECT is(s.expires_at::text, :'ends_at', 'D4: no renewal moves that end') FROM auth_private.sessions AS s WHERE id = :'s';
SELECT ok(expires_at <= :'ends_at', 'D4: nor outlives it') FROM aged;
SELECT pg_temp.wait_until(:'ends_at') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', refresh_token), 'session_expired', 'E8: at its greatest age a session has expired') FROM aged;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', access_token), 'token_expired', 'D4: and its access token') FROM aged;
RESET auth_session.session_max_age;

-- ---- accounts that may not ----

SELECT refresh_token AS r1 FROM pg_temp.signin(pg_temp.email('bob')) \gset
UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = :'bob';
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'session_revoked', 'B11: a banned user renews nothing');
DELETE FROM auth_private.accounts WHERE id = :'bob';
SELECT pg_temp.raises(format('SELECT auth.renew(%L)', :'r1'), 'session_revoked', 'B11: nor does one that is gone');

SELECT * FROM finish();
SELECT pg_temp.clean_up() \g /dev/null
