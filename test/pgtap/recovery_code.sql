-- Recovery codes: what stands in for a lost authenticator app.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(23);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT secret, recovery_codes AS codes, t.access_token AS a
FROM pg_temp.signin(pg_temp.email('ada')) AS t, LATERAL pg_temp.enroll(t.access_token) \gset

-- ---- how they are kept ----

SELECT is((SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = :'ada'), 10::bigint, 'ten of them');
SELECT results_eq(format('SELECT digest FROM auth_private.recovery_codes WHERE user_id = %L ORDER BY 1', :'ada'),
	format('SELECT sha256(pg_temp.from_base32(replace(code, ''-'', ''''))) FROM unnest(%L::text[]) AS code ORDER BY 1', :'codes'),
	'C4: as SHA-256 of their 80 bits');
SELECT is_empty(format('SELECT 1 FROM auth_private.recovery_codes AS r, unnest(%L::text[]) AS code WHERE strpos(r::text, code) > 0', :'codes'), 'C4: and never as they are typed');

-- ---- one use each ----

RESET auth_session.context_token;
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a2 FROM auth.signin_totp(:'m', (:'codes'::text[])[1]) \gset
SELECT is(auth.verify(:'a2') -> 'amr', '["pwd", "recovery", "mfa"]', 'RFC 8176: amr says how');
SELECT is(auth.verify(:'a2') ->> 'aal', 'aal2', 'it is a second factor');
SELECT is(payload - '{at}'::text[], '{"change": "recovery_code_used", "recovery_codes_left": 9}', 'B12: the user is told, and how many are left')
FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed' ORDER BY id DESC LIMIT 1;
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', (:'codes'::text[])[1]), 'invalid_code', 'C1: it is good once');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', 'AAAA-AAAA-AAAA-AAAA'), 'invalid_code', 'a wrong one is none');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', (:'codes'::text[])[2] || 'A'), 'invalid_code', 'nor is a longer one');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', left((:'codes'::text[])[2], -1)), 'invalid_code', 'nor a shorter');
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = :'ada'), 0::bigint, 'wrong ones use up no try of the app''s');
SELECT isnt((auth.signin_totp(:'m', ' ' || lower((:'codes'::text[])[2]) || ' ')).access_token, NULL, 'in lower case it is good');

-- ---- what each use says, until none is left ----

CREATE FUNCTION pg_temp.use(code text) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	PERFORM auth.signin_totp((pg_temp.signin(pg_temp.email('ada'))).mfa_token, code);
	RETURN (SELECT (payload ->> 'recovery_codes_left')::bigint FROM auth_private.outbox
		WHERE recipient = pg_temp.email('ada') AND kind = 'mfa_changed' ORDER BY id DESC LIMIT 1);
END
$$;
SELECT is((SELECT array_agg(pg_temp.use((:'codes'::text[])[n]) ORDER BY n) FROM generate_series(3, 10) AS n), '{7,6,5,4,3,2,1,0}'::bigint[],
	'B12: each use is told with what is left, two and none of them, too');

-- ---- fresh ones ----

SELECT auth.authenticate(:'a2') \g /dev/null
SELECT pg_temp.raises('SELECT auth.recovery_codes(''not this one'')', 'invalid_credentials', 'fresh ones take the password');
SELECT pg_temp.raises('SELECT auth.recovery_codes(NULL)', 'invalid_request', 'which must be given', 'password');
SELECT pg_temp.raises('SELECT auth.recovery_codes(repeat(''x'', 1048576))', 'invalid_request', 'and be no megabyte');
SELECT auth.recovery_codes(pg_temp.password()) AS fresh \gset
SELECT is((SELECT count(*) FROM unnest(:'fresh'::text[]) AS f WHERE f <> ALL (:'codes'::text[])), 10::bigint, 'ten others');
SELECT is((SELECT payload - '{at}'::text[] FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed' ORDER BY id DESC LIMIT 1),
	'{"change": "recovery_codes_replaced", "recovery_codes_left": 10}', 'B12: the user is told');
SELECT auth.recovery_codes(pg_temp.password()) AS fresher \gset
RESET auth_session.context_token;
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', (:'fresh'::text[])[1]), 'invalid_code', 'the old ones are dead');

-- New server keys, as after a leak: what is on paper stays good.
DELETE FROM auth_private.mac_keys;
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', (:'fresher'::text[])[1]), 'invalid_token', 'new keys end mfa tokens');
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT isnt((auth.signin_totp(:'m', (:'fresher'::text[])[1])).access_token, NULL, 'recovery codes survive new keys');

-- ---- another user's ----

SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT pg_temp.enroll(access_token) FROM pg_temp.signin(pg_temp.email('bob')) \g /dev/null
RESET auth_session.context_token;
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', (:'fresher'::text[])[2]), 'invalid_code', 'another user''s recovery code is none');
SELECT is((SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = :'ada'), 9::bigint, 'and is not used up');

SELECT * FROM finish();
ROLLBACK;
