-- A token that this backend has verified before (verified.c) is refused for
-- all that one is refused for that it sees for the first time.
\ir helper/common.psql

BEGIN;
SELECT plan(21);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS other FROM pg_temp.signin(pg_temp.email('ada')) \gset

CREATE FUNCTION pg_temp.says(token text) RETURNS text LANGUAGE sql VOLATILE AS $$
	SELECT coalesce(pg_temp.failure(format('SELECT auth.verify(%L)', token)) ->> 'detail', 'live')
$$;

-- What is said once it is no longer live; time must pass for that.
CREATE FUNCTION pg_temp.says_at_last(token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. 600 LOOP
		EXIT WHEN pg_temp.says(token) <> 'live';
		PERFORM pg_sleep(0.05);
	END LOOP;
	RETURN pg_temp.says(token);
END
$$;

SELECT is(pg_temp.says(:'a'), 'live', 'a token is live') FROM generate_series(1, 2);

-- The same but for one character, anywhere: of header, payload, signature.
CREATE FUNCTION pg_temp.changed(token text, at int) RETURNS text LANGUAGE sql IMMUTABLE AS $$
	SELECT overlay(token PLACING CASE substr(token, at, 1) WHEN 'A' THEN 'B' ELSE 'A' END FROM at)
$$;
SELECT is(count(*) FILTER (WHERE pg_temp.says(pg_temp.changed(:'a', i)) = 'live'), 0::bigint,
	'no token that differs in one character is taken for it')
FROM generate_series(1, length(:'a') - 1) AS i;
SELECT is(pg_temp.says(:'a' || 'A'), 'invalid_token', 'nor a longer one');
SELECT is(pg_temp.says(left(:'a', -1)), 'invalid_token', 'nor a shorter one');
SELECT is(pg_temp.says(split_part(:'other', '.', 1) || '.' || split_part(:'other', '.', 2) || '.' || split_part(:'a', '.', 3)),
	'invalid_token', 'nor another payload under its signature');
SELECT is(auth.verify(:'other') ->> 'session_id' <> auth.verify(:'a') ->> 'session_id', true, 'another token says what it says');
SELECT is(pg_temp.says(:'a'), 'live', 'and it is live all the while');

-- Settings count as they are.
SET LOCAL auth_session.issuer = 'somebody else';
SELECT is(pg_temp.says(:'a'), 'invalid_token', 'its issuer is another''s now');
RESET auth_session.issuer;
SET LOCAL auth_session.audience = 'somebody else';
SELECT is(pg_temp.says(:'a'), 'invalid_token', 'its audience is another');
RESET auth_session.audience;
SELECT is(pg_temp.says(:'a'), 'live', 'it is live again with the settings it was made under');

-- Its session.
SELECT refresh_token AS r2, access_token AS a2 FROM auth.renew(:'r') \gset
SELECT is(pg_temp.says(:'a'), 'token_expired', 'D7: replaced by a renew');
SELECT is(pg_temp.says(:'a2'), 'live', 'the next is live') FROM generate_series(1, 2);
SELECT auth.logout(refresh_token => :'r2') \g /dev/null
SELECT is(pg_temp.says(:'a2'), 'session_revoked', 'D1: revoked');

-- Its own end.
SET LOCAL auth_session.access_token_ttl = '2 s';
SELECT access_token AS short FROM pg_temp.signin(pg_temp.email('ada')) \gset
RESET auth_session.access_token_ttl;
SELECT auth.verify(:'short') \g /dev/null
SELECT is(pg_temp.says_at_last(:'short'), 'token_expired', 'F15: past its exp');

-- Its key's end, which comes without a change of the table.
SELECT auth_admin.activate_signing_key(auth_admin.create_signing_key('ES256')) \g /dev/null
SELECT is(pg_temp.says(:'other'), 'live', 'F21: the former key verifies');
UPDATE auth_private.signing_keys SET verifies_until = clock_timestamp() + '2 s' WHERE state = 'retiring';
SELECT auth.verify(:'other') \g /dev/null
SELECT is(pg_temp.says_at_last(:'other'), 'invalid_token', 'F21: until its end');

-- The session's row decides where the cache has none.
SELECT access_token AS last, session_id AS last_id FROM pg_temp.signin(pg_temp.email('ada')) \gset
DELETE FROM auth_private.token_cache WHERE session_id = :'last_id';
SELECT is(pg_temp.says(:'last'), 'live', 'a token whose cache row is lost is live');
UPDATE auth_private.sessions SET expires_at = clock_timestamp() - interval '1 second' WHERE id = :'last_id';
SELECT is(pg_temp.says(:'last'), 'session_expired', 'E8: but not beyond its session');

UPDATE auth_private.sessions SET expires_at = clock_timestamp() + interval '1 hour',
	jti = overlay(jti::text PLACING CASE right(jti::text, 1) WHEN '0' THEN '1' ELSE '0' END FROM 36)::uuid WHERE id = :'last_id';
SELECT is(pg_temp.says(:'last'), 'token_expired', 'nor where the row has another jti, to its last digit');

SELECT * FROM finish();
ROLLBACK;
