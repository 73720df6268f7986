-- The second factor, on and off: auth.enroll_totp, auth.confirm_totp,
-- auth.disable_totp; what an app is given, and which codes are taken.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(70);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS other FROM pg_temp.signin(pg_temp.email('ada')) \gset

-- ---- the app of these tests ----

SELECT is(encode(pg_temp.sha1('abc'), 'hex'), 'a9993e364706816aba3e25717850c26c9cd0d89d', 'FIPS 180-4: the tests'' own SHA-1');
SELECT is(pg_temp.code_of('GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ', 1), '287082', 'RFC 6238 appendix B: and their own app');

-- ---- without a context ----

SELECT pg_temp.raises('SELECT auth.enroll_totp()', 'not_authenticated', 'enroll_totp needs a context');
SELECT pg_temp.raises('SELECT auth.confirm_totp(''123456'')', 'not_authenticated', 'confirm_totp needs one');
SELECT pg_temp.raises('SELECT auth.disable_totp(''x'', ''123456'')', 'not_authenticated', 'disable_totp needs one');
SELECT pg_temp.raises('SELECT auth.recovery_codes(''x'')', 'not_authenticated', 'recovery_codes needs one');
SELECT pg_temp.raises_when_read_only('SELECT auth.enroll_totp()', 'enroll_totp writes');

-- ---- what an app is given ----

SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises('SELECT auth.confirm_totp(''123456'')', 'invalid_code', 'without an enrolment there is no code for it', 'enroll_totp');
SELECT * FROM auth.enroll_totp() \gset first_
SELECT matches(:'first_secret'::text, '^[A-Z2-7]{32}$', 'a secret of 160 bits in base32 (RFC 4226 section 4, R6)');
SELECT is(:'first_uri'::text, format('otpauth://totp/auth_session:%s?secret=%s&issuer=auth_session&algorithm=SHA1&digits=6&period=30',
		replace(pg_temp.email('ada'), '@', '%40'), :'first_secret'),
	'Key URI Format: issuer, account, secret');
SELECT matches(:'first_qr_svg'::text, '^<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 (\d+) \1" [^<>]*>(<path fill="#[0f]{3}" d="[MhvzH0-9 -]+"/>){2}</svg>$',
	'a QR code as SVG: two paths and nothing else');
SELECT is(substr(secret, 1, 1), '\x00', 'without a master key it is stored open') FROM auth_private.factors WHERE user_id = :'ada';
SELECT is(substr(secret, 2), pg_temp.from_base32(:'first_secret'), 'and is what the app has') FROM auth_private.factors WHERE user_id = :'ada';
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed'), 0::bigint, 'nothing has changed yet, nobody is told');
SELECT isnt((pg_temp.signin(pg_temp.email('ada'))).access_token, NULL, 'a pending factor is asked of nobody');
SET LOCAL auth_session.issuer = 'https://Äpp.example:8443';
SELECT auth.authenticate(access_token) FROM pg_temp.signin(pg_temp.email('ada')) \g /dev/null
SELECT matches((auth.enroll_totp()).uri, '^otpauth://totp/%C3%84pp\.example%208443:[^:]+&issuer=%C3%84pp\.example%208443&', 'an issuer that is a URL: percent-encoded, without a colon');
RESET auth_session.issuer;
SELECT auth.authenticate(:'a') \g /dev/null

-- ---- a new one replaces a pending one ----

SELECT * FROM auth.enroll_totp() \gset second_
SELECT isnt(:'first_secret'::text, :'second_secret', 'each enrolment has a secret of its own');
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada'), 1::bigint, 'a new one replaces a pending one');
SELECT pg_temp.raises(format('SELECT auth.confirm_totp(%L)', pg_temp.totp(:'first_secret')), 'invalid_code', 'whose codes are good no more');

-- ---- codes that are not taken ----

SELECT pg_temp.raises('SELECT auth.confirm_totp(NULL)', 'invalid_request', 'a code must be given');
SELECT pg_temp.raises('SELECT auth.confirm_totp('''')', 'invalid_code', 'an empty one is none');
SELECT pg_temp.raises('SELECT auth.confirm_totp(''12345a'')', 'invalid_code', 'nor are letters');
SELECT pg_temp.raises('SELECT auth.confirm_totp(repeat(''1'', 1048576))', 'invalid_code', 'nor a megabyte');
SELECT pg_temp.raises('SELECT auth.confirm_totp(''AAAA-AAAA-AAAA-AAAA'')', 'invalid_code', 'a recovery code confirms nothing');
SELECT pg_temp.raises(format('SELECT auth.confirm_totp(%L)', pg_temp.totp(:'second_secret', -3)), 'invalid_code', 'the code of three steps ago');
SELECT pg_temp.raises(format('SELECT auth.confirm_totp(%L)', pg_temp.totp(:'second_secret', 3)), 'invalid_code', 'the code of three steps ahead');
SELECT is((SELECT confirmed_at FROM auth_private.factors WHERE user_id = :'ada'), NULL, 'C1: after all that it is pending still');
SELECT pg_temp.comes_true(format('SELECT count(*) = 3 FROM auth_private.code_failures WHERE identifier = %L', :'ada'), 'the three that were compared are on record');
DELETE FROM auth_private.code_failures WHERE identifier = :'ada';

-- ---- on ----

SELECT pg_temp.totp(:'second_secret') AS code \gset
SELECT auth.confirm_totp(left(:'code', 3) || ' ' || right(:'code', 3)) AS recovery \gset
SELECT results_eq(format('SELECT count(*) FILTER (WHERE confirmed_at IS NOT NULL), count(*) FILTER (WHERE confirmed_at IS NULL) FROM auth_private.factors WHERE user_id = %L', :'ada'),
	'VALUES (1::bigint, 0::bigint)', 'a code as the app shows it, with a gap, turns it on, and none is left pending');
SELECT is(array_length(:'recovery'::text[], 1), 10, 'ten recovery codes');
SELECT is((SELECT count(DISTINCT c) FROM unnest(:'recovery'::text[]) AS c WHERE c ~ '^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$'), 10::bigint, 'of 80 random bits each, all different');
SELECT isnt(confirmed_at, NULL, 'it is on') FROM auth_private.factors WHERE user_id = :'ada';
SELECT is(auth.uid(), :'ada', 'the session that turned it on goes on');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'other'), 'session_revoked', 'B12: the user''s other sessions have ended');
SELECT is(payload - '{at,id,locale}'::text[], '{"change": "totp_enabled", "recovery_codes_left": 10}', 'B12: and the user is told')
FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed';
SELECT is_empty(format('SELECT 1 FROM auth_private.outbox WHERE user_id = %L AND (strpos(payload::text, %L) > 0 OR payload::text ~ %L)', :'ada', :'second_secret', (:'recovery'::text[])[1]),
	'without secret or codes');
SELECT pg_temp.raises('SELECT auth.enroll_totp()', 'already_exists', 'with a factor on there is no other enrolment');
SELECT pg_temp.raises(format('SELECT auth.confirm_totp(%L)', pg_temp.totp(:'second_secret')), 'already_exists', 'nor another confirmation');
SELECT results_eq(format('SELECT action, result FROM auth_admin.audit_log WHERE user_id = %L AND action ~ ''totp'' AND result = ''ok'' GROUP BY 1, 2 ORDER BY 1', :'ada'),
	$$VALUES ('confirm_totp', 'ok'), ('enroll_totp', 'ok')$$, 'G6: both are in the audit log');

-- ---- off ----

SELECT pg_temp.raises(format('SELECT auth.disable_totp(%L, NULL)', pg_temp.password()), 'invalid_request', 'to turn it off takes a code');
SELECT pg_temp.raises(format('SELECT auth.disable_totp(NULL, %L)', pg_temp.totp(:'second_secret', 1)), 'invalid_request', 'and the password');
SELECT pg_temp.raises(format('SELECT auth.disable_totp(''not this one'', %L)', pg_temp.totp(:'second_secret', 1)), 'invalid_credentials', 'the right one');
SELECT pg_temp.raises(format('SELECT auth.disable_totp(%L, %L)', pg_temp.password(), :'code'), 'invalid_code', 'and no code that was used');
SELECT pg_temp.raises(format('SELECT auth.disable_totp(%L, %L)', pg_temp.password(), pg_temp.no_totp(:'second_secret')), 'invalid_code', 'nor a wrong one');
SELECT pg_temp.raises(format('SELECT auth.disable_totp(%L, ''AAAA-AAAA-AAAA-AAAA'')', pg_temp.password()), 'invalid_code', 'nor a wrong recovery code');
SELECT isnt(confirmed_at, NULL, 'it is on still') FROM auth_private.factors WHERE user_id = :'ada';
SELECT is((SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = :'ada'), 10::bigint, 'and so are ten recovery codes');
SELECT lives_ok(format('SELECT auth.disable_totp(%L, %L)', pg_temp.password(), pg_temp.totp(:'second_secret', 1)), 'with both it goes');
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada'), 0::bigint, 'the factor');
SELECT is((SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = :'ada'), 0::bigint, 'and its recovery codes');
SELECT is((SELECT count(*) FROM auth_private.code_failures WHERE identifier = :'ada'), 0::bigint, 'and the wrong tries');
SELECT is((SELECT payload ->> 'change' FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed' ORDER BY id DESC LIMIT 1), 'totp_disabled', 'B12: the user is told');
SELECT isnt((pg_temp.signin(pg_temp.email('ada'))).access_token, NULL, 'the password is enough then');
SELECT pg_temp.raises(format('SELECT auth.disable_totp(%L, ''123456'')', pg_temp.password()), 'invalid_code', 'there is nothing to turn off', 'No second factor');
SELECT pg_temp.raises(format('SELECT auth.recovery_codes(%L)', pg_temp.password()), 'invalid_request', 'and nothing that recovery codes were for', 'No second factor');

SELECT access_token AS t FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT (pg_temp.enroll(:'t')).recovery_codes[4] AS fourth \gset
SELECT lives_ok(format('SELECT auth.disable_totp(%L, %L)', pg_temp.password(), lower(replace(:'fourth', '-', ' '))), 'a recovery code turns it off, too, in lower case and without hyphens');

-- ---- without a password ----

SELECT (pg_temp.enroll(access_token)).secret AS secret, access_token AS t, session_id AS s, refresh_token AS r FROM pg_temp.signin(pg_temp.email('ada')) \gset
UPDATE auth_private.accounts SET password_hash = NULL WHERE id = :'ada';
SELECT pg_temp.raises(format('SELECT auth.disable_totp(%L, %L)', pg_temp.password(), pg_temp.totp(:'secret')), 'invalid_credentials', 'an account without a password has no right one');
SELECT lives_ok('SELECT auth.recovery_codes(NULL)', 'a recent sign-in takes its place');
UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '11 minutes' WHERE id = :'s';
SELECT access_token AS old FROM auth.renew(:'r') \gset
SELECT auth.authenticate(:'old') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.disable_totp(NULL, %L)', pg_temp.totp(:'secret')), 'reauthentication_required', 'one of more than ten minutes ago does not');
SELECT pg_temp.raises('SELECT auth.recovery_codes(NULL)', 'reauthentication_required', 'nor for recovery codes');

-- ---- who may enrol ----

RESET auth_session.context_token;
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS b, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('bob')) \gset
UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '11 minutes' WHERE id = :'s';
SELECT access_token AS old FROM auth.renew(:'r') \gset
SELECT auth.authenticate(:'old') \g /dev/null
SELECT pg_temp.raises('SELECT auth.enroll_totp()', 'reauthentication_required', 'a sign-in of more than ten minutes ago enrols nothing');
SELECT access_token AS fresh FROM auth.reauthenticate(pg_temp.password()) \gset
SELECT auth.authenticate(:'fresh') \g /dev/null
SELECT (auth.enroll_totp()).secret AS bobs \gset
SELECT pg_temp.raises(format('SELECT auth.confirm_totp(%L)', pg_temp.totp(:'secret')), 'invalid_code', 'another user''s code confirms nothing');
UPDATE auth_private.factors SET created_at = clock_timestamp() - interval '61 minutes' WHERE user_id = :'bob';
SELECT pg_temp.raises(format('SELECT auth.confirm_totp(%L)', pg_temp.totp(:'bobs')), 'invalid_code', 'an enrolment is good for an hour', 'enroll_totp');
SELECT cmp_ok(auth_admin.prune(10), '>', 0, 'and then is pruned');
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'bob'), 0::bigint, 'G11: nothing is left of it');
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada'), 1::bigint, 'a factor that is on is never pruned');

RESET auth_session.context_token;
SELECT set_config('auth_session.trusted_claims_roles', quote_ident(session_user), true) \g /dev/null
SELECT set_config('request.jwt.claims', (auth.verify(:'fresh') || '{"act": {"sub": "support"}}')::text, true) \g /dev/null
SELECT pg_temp.raises('SELECT auth.enroll_totp()', 'reauthentication_required', 'who acts for the user (RFC 8693) enrols nothing');
SELECT pg_temp.raises('SELECT auth.confirm_totp(''123456'')', 'reauthentication_required', 'nor confirms');
SELECT pg_temp.raises(format('SELECT auth.recovery_codes(%L)', pg_temp.password()), 'reauthentication_required', 'nor gets recovery codes');
SELECT set_config('request.jwt.claims', '', true) \g /dev/null

-- ---- an account that goes takes all of it along ----

SELECT auth_admin.delete_user(:'ada') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada') + (SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = :'ada'),
	0::bigint, 'a deleted account leaves neither factor nor recovery codes');

SELECT * FROM finish();
ROLLBACK;
