-- auth.sessions: the caller's live sessions.
\ir helper/common.psql

BEGIN;
SELECT plan(24);

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SET LOCAL auth_session.trusted_proxies = 1;
SET LOCAL request.headers = '{"x-forwarded-for": "203.0.113.9", "user-agent": "Phone\r\n\u001b[31m\u202eX/1"}';
SELECT session_id AS s1 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SET LOCAL request.headers = '{"x-forwarded-for": "10.0.0.1, 2001:DB8:0:0::1", "user-agent": "Laptop/2"}';
SELECT access_token AS a, refresh_token AS r, session_id AS s2 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SET LOCAL request.headers = '{}';
SELECT session_id AS s3 FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS bobs FROM pg_temp.signin(pg_temp.email('bob')) \gset
RESET request.headers;

SELECT pg_temp.raises('SELECT * FROM auth.sessions()', 'not_authenticated', 'the list needs a context');

SELECT auth.authenticate(:'a') \g /dev/null
CREATE TEMP TABLE list ON COMMIT DROP AS SELECT row_number() OVER () AS n, s.* FROM auth.sessions() AS s;
SELECT results_eq('SELECT id FROM list ORDER BY n', ARRAY[:'s3', :'s2', :'s1']::uuid[], 'D11: one''s own sessions, newest first');
SELECT results_eq('SELECT id FROM list WHERE is_current', ARRAY[:'s2'::uuid], 'the one that asks is marked');
SELECT is((SELECT count(*) FROM list WHERE is_current IS NULL), 0::bigint, 'the others are not');
SELECT is(ip, '2001:db8::1', 'where a session is from, in canonical form') FROM list WHERE id = :'s2';
SELECT is(user_agent, 'Laptop/2', 'and with what') FROM list WHERE id = :'s2';
SELECT is(ip, '203.0.113.9', 'each has its own') FROM list WHERE id = :'s1';
SELECT is(user_agent, NULL, 'none where none was told') FROM list WHERE id = :'s3';
SELECT ok(user_agent !~ '[\x01-\x1f\x7f\u202a-\u202e]', 'G6: no control character or bidi mark is kept of a user agent') FROM list WHERE id = :'s1';
SELECT is(aal, 'aal1', 'the level of assurance') FROM list WHERE id = :'s1';
SELECT is(amr, ARRAY['pwd'], 'and by what') FROM list WHERE id = :'s1';
SELECT is(expires_at - created_at, interval '30 days', 'when it ends unless renewed') FROM list WHERE id = :'s1';
SELECT is(renewed_at, created_at, 'when it was renewed') FROM list WHERE id = :'s1';
SELECT set_eq(
	$$SELECT attname::text FROM pg_attribute WHERE attrelid = 'auth.session'::regclass AND attnum > 0 AND NOT attisdropped$$,
	ARRAY['id', 'created_at', 'renewed_at', 'expires_at', 'ip', 'user_agent', 'aal', 'amr', 'is_current'],
	'D11: nothing of a token is in the list');

SELECT auth.authenticate(access_token) FROM auth.renew(:'r') \g /dev/null
SELECT ok(renewed_at > created_at, 'a renewal shows') FROM auth.sessions() WHERE id = :'s2';
SELECT results_eq('SELECT id FROM auth.sessions()', ARRAY[:'s3', :'s2', :'s1']::uuid[], 'and changes no order');

UPDATE auth_private.sessions SET expires_at = clock_timestamp() WHERE id = :'s1';
SELECT results_eq('SELECT id FROM auth.sessions()', ARRAY[:'s3', :'s2']::uuid[], 'a session that has expired is not listed');
SELECT auth.logout(:'s3'::uuid) \g /dev/null
SELECT results_eq('SELECT id FROM auth.sessions()', ARRAY[:'s2'::uuid], 'nor is one that was ended');

-- In a read-only transaction, as PostgREST's GET.
CREATE FUNCTION pg_temp.read_only_count() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	answer bigint;
BEGIN
	BEGIN
		PERFORM set_config('transaction_read_only', 'on', true);
		SELECT count(*) INTO answer FROM auth.sessions();
		RAISE EXCEPTION USING errcode = 'P0002';
	EXCEPTION WHEN no_data_found THEN
		RETURN answer;
	END;
END
$$;
SELECT is(pg_temp.read_only_count(), 1::bigint, 'D8: the list can be read in a read-only transaction');

RESET auth_session.context_token;
SELECT auth.authenticate(:'bobs') \g /dev/null
SELECT is((SELECT count(*) FROM auth.sessions()), 1::bigint, 'D11: another user sees its own only');
SELECT is((SELECT count(*) FROM auth.sessions() WHERE id IN (:'s1', :'s2', :'s3')), 0::bigint, 'D11: and none of the first one''s');
SELECT auth.logout() \g /dev/null
SELECT pg_temp.raises('SELECT * FROM auth.sessions()', 'session_revoked', 'after a logout there is no list');
RESET auth_session.context_token;
SELECT pg_temp.raises('SELECT * FROM auth.sessions()', 'not_authenticated', 'nor without a context');
SET LOCAL request.headers = '{"authorization": "Bearer garbage"}';
SELECT pg_temp.raises('SELECT * FROM auth.sessions()', 'invalid_token', 'nor with a bad one');

SELECT * FROM finish();
ROLLBACK;
