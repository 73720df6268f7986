-- auth.reauthenticate, auth.require_aal, auth.require_recent, auth.aal,
-- auth.auth_time: how surely and how lately who calls has shown who it is.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(77);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset

-- ---- without a context ----

SELECT is(auth.aal(), NULL, 'aal() is NULL without a context');
SELECT is(auth.auth_time(), NULL, 'auth_time() too');
SELECT pg_temp.raises('SELECT auth.require_aal(''aal1'')', 'not_authenticated', 'require_aal raises');
SELECT pg_temp.raises('SELECT auth.require_recent(''1 hour'')', 'not_authenticated', 'require_recent, too');
SELECT pg_temp.raises('SELECT auth.reauthenticate(''x'')', 'not_authenticated', 'and reauthenticate');

-- ---- the helpers ----

SELECT auth.authenticate(:'a') \g /dev/null
SELECT is(auth.aal(), 'aal1', 'aal() of a password');
SELECT is(auth.auth_time(), to_timestamp((pg_temp.claims(:'a') ->> 'auth_time')::bigint), 'auth_time() is the claim');
SELECT lives_ok('SELECT auth.require_aal(''aal1'')', 'aal1 is there');
SELECT pg_temp.raises('SELECT auth.require_aal(''aal2'')', 'reauthentication_required', 'aal2 is not', 'reauthenticate');
SELECT pg_temp.raises('SELECT auth.require_aal(' || level || ')', 'invalid_request', 'no level: ' || left(level, 20), 'aal1 or aal2')
FROM unnest(ARRAY['NULL', '''''', '''aal3''', '''AAL1''', 'repeat(''a'', 1048576)']) AS level;
SELECT lives_ok('SELECT auth.require_recent(''1 minute'')', 'a sign-in of just now is recent');
SELECT lives_ok('SELECT auth.require_recent(''178000000 years'')', 'and so it is for a very long time');
SELECT pg_temp.raises('SELECT auth.require_recent(' || age || ')', 'invalid_request', 'no age: ' || age, 'max_age')
FROM unnest(ARRAY['NULL', '''-1 second''', '''-1 month''']) AS age;
SELECT is(pg_temp.failure('SELECT auth.require_recent(''1 minute'')', read_only => true), '{}', 'both work in a read-only transaction');
SELECT is(pg_temp.failure('SELECT auth.require_aal(''aal1'')', read_only => true), '{}', 'as PostgREST''s GET is');

-- ---- the end of a session stays where it is ----

SET LOCAL auth_session.session_max_age = '5min';
SELECT access_token AS short, session_id AS short_id FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'short') \g /dev/null
SELECT access_token AS short FROM auth.reauthenticate(pg_temp.password()) \gset
SELECT cmp_ok((pg_temp.claims(:'short') ->> 'exp')::numeric, '<=', (SELECT extract(epoch FROM expires_at) FROM auth_private.sessions WHERE id = :'short_id'),
	'D4, E8: no access token of it lives longer than the session');
SET LOCAL auth_session.session_max_age = 0;
SELECT auth.authenticate(:'short') \g /dev/null
SELECT auth.logout() \g /dev/null
SELECT auth.authenticate(:'a') \g /dev/null

-- ---- what it refuses ----

SELECT pg_temp.raises('SELECT auth.reauthenticate()', 'invalid_request', 'something must be shown', 'password or a code');
SELECT pg_temp.raises('SELECT auth.reauthenticate('''')', 'invalid_credentials', 'an empty password is a wrong one');
SELECT pg_temp.raises('SELECT auth.reauthenticate(''not this one'')', 'invalid_credentials', 'A9: so is another');
SELECT pg_temp.raises('SELECT auth.reauthenticate(repeat(''x'', 1048576))', 'invalid_request', 'A16: a megabyte is none');
SELECT pg_temp.raises('SELECT auth.reauthenticate(code => ''123456'')', 'invalid_code', 'without a second factor there is no code');
SELECT pg_temp.raises('SELECT auth.reauthenticate(code => '''')', 'invalid_code', 'an empty code is none');
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(%L, ''123456'')', pg_temp.password()), 'invalid_code', 'the right password beside it helps nothing');
SELECT pg_temp.raises_when_read_only(format('SELECT auth.reauthenticate(%L)', pg_temp.password()), 'it writes');
SELECT is(auth.uid(), :'ada', 'after all that the session lives');

-- ---- by the password ----

UPDATE auth_private.sessions SET auth_time = clock_timestamp() - interval '1 hour', renewed_at = clock_timestamp() - interval '20 minutes' WHERE id = :'s';
SELECT renewed_at AS renewed, generation AS generation, expires_at AS ends FROM auth_private.sessions WHERE id = :'s' \gset
CREATE TEMP TABLE again ON COMMIT DROP AS SELECT * FROM auth.reauthenticate(pg_temp.password());
SELECT is(refresh_token, NULL, 'no refresh token: the one in hand stays') FROM again;
SELECT is(session_id, :'s', 'the same session') FROM again;
SELECT is(user_id, :'ada', 'the same user') FROM again;
SELECT is(mfa_token, NULL, 'and no mfa token') FROM again;
SELECT ok(expires_in BETWEEN 898 AND 900, 'a token for the usual time') FROM again;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'token_expired', 'the token before it has ended');
SELECT auth.authenticate(access_token) FROM again \g /dev/null
SELECT ok(auth.auth_time() BETWEEN clock_timestamp() - interval '1 minute' AND clock_timestamp(), 'auth_time is fresh');
SELECT is(auth.jwt() -> 'iat', auth.jwt() -> 'auth_time', 'iat too');
SELECT isnt(auth.jwt() ->> 'jti', pg_temp.claims(:'a') ->> 'jti', 'with a jti of its own');
SELECT is(auth.aal(), 'aal1', 'a password alone raises no level');
SELECT is(auth.jwt() -> 'amr', '["pwd"]', 'and says nothing twice');
SELECT results_eq(format('SELECT renewed_at, generation, expires_at FROM auth_private.sessions WHERE id = %L', :'s'),
	format('VALUES (%L::timestamptz, %s, %L::timestamptz)', :'renewed', :'generation', :'ends'),
	'E6: neither the end of the session nor the grace of an old refresh token begins anew');
SELECT results_eq(format('SELECT jti, expires_at FROM auth_private.token_cache WHERE session_id = %L', :'s'),
	format('SELECT jti, access_expires_at FROM auth_private.sessions WHERE id = %L', :'s'), 'the cache has the new token');
SELECT access_token AS a, refresh_token AS r FROM auth.renew(:'r') \gset
SELECT ok((auth.verify(:'a') ->> 'auth_time')::bigint >= extract(epoch FROM clock_timestamp())::bigint - 60, 'the refresh token in hand is good, and the renewal keeps auth_time');
SELECT is(result, 'ok', 'G6: it is in the audit log') FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'reauthenticate' AND result = 'ok' LIMIT 1;

-- ---- by a code ----

SELECT secret, recovery_codes AS codes FROM pg_temp.enroll(:'a') \gset
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', pg_temp.no_totp(:'secret')), 'invalid_code', 'a wrong code');
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(''not this one'', %L)', pg_temp.totp(:'secret')), 'invalid_credentials', 'a wrong password beside a right code');
SELECT access_token AS a2 FROM auth.reauthenticate(code => pg_temp.totp(:'secret')) \gset
SELECT auth.authenticate(:'a2') \g /dev/null
SELECT is(auth.aal(), 'aal2', 'a code raises the level, and used no step while it was refused');
SELECT is(auth.jwt() -> 'amr', '["pwd", "otp", "mfa"]', 'RFC 8176: amr says how');
SELECT lives_ok('SELECT auth.require_aal(''aal2'')', 'aal2 is there now');
SELECT is(aal || amr::text, 'aal2{pwd,otp,mfa}', 'auth.sessions() shows it') FROM auth.sessions() WHERE is_current;
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', pg_temp.totp(:'secret', -1)), 'invalid_code', 'an older code is good no more');
SELECT access_token AS a3 FROM auth.reauthenticate(code => (:'codes'::text[])[1]) \gset
SELECT auth.authenticate(:'a3') \g /dev/null
SELECT is(auth.jwt() -> 'amr', '["pwd", "otp", "mfa", "recovery"]', 'a recovery code does, too');
SELECT access_token AS a4 FROM auth.reauthenticate(pg_temp.password()) \gset
SELECT is(auth.verify(:'a4') ->> 'aal', 'aal2', 'the password lowers no level');

-- Wrong ones count, together with those of sign-ins.
SELECT auth.authenticate(:'a4') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', pg_temp.no_totp(:'secret')), 'invalid_code', 'C5: wrong code number ' || n) FROM generate_series(1, 5) AS n;
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.no_totp(:'secret')), 'throttled', 'C5: of reauthenticate and sign-ins together it is five');

-- ---- a session that ends ----

SELECT pg_temp.raises(format('SELECT auth.authenticate(%L) FROM auth.logout()', :'a4'), 'session_revoked', 'a session that has ended shows nothing');
RESET auth_session.context_token;
SELECT set_config('auth_session.trusted_claims_roles', quote_ident(session_user), true) \g /dev/null
SELECT set_config('request.jwt.claims', (auth.verify(:'a4') || '{"act": {"sub": "support"}}')::text, true) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(%L)', pg_temp.password()), 'reauthentication_required', 'who acts for the user (RFC 8693) can''t');
SELECT pg_temp.raises('SELECT auth.require_recent(''1 year'')', 'reauthentication_required', 'and is never recent');

-- ---- without a password and a factor: a code that signs in ----

RESET auth_session.context_token;
RESET auth_session.trusted_claims_roles;
SELECT set_config('request.jwt.claims', '', true) \g /dev/null
SET LOCAL auth_session.passwordless = on;
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;
SELECT id AS eli FROM auth.signup(pg_temp.email('eli')) \gset
SELECT auth.confirm(pg_temp.email('eli'), pg_temp.code(pg_temp.email('eli'), 'confirm_email')) \g /dev/null
SELECT auth.request_signin_code(pg_temp.email('eli')) \g /dev/null
SELECT access_token AS e, refresh_token AS er FROM auth.signin_code(pg_temp.email('eli'), pg_temp.code(pg_temp.email('eli'), 'signin_code')) \gset
UPDATE auth_private.sessions SET auth_time = auth_time - interval '1 hour' WHERE user_id = :'eli';
SELECT access_token AS e, refresh_token AS er FROM auth.renew(:'er') \gset
SELECT auth.authenticate(:'e') \g /dev/null
SELECT pg_temp.raises('SELECT auth.enroll_totp()', 'reauthentication_required', 'a sign-in of an hour ago is too old');
SELECT pg_temp.raises('SELECT auth.reauthenticate(code => ''000000'')', 'invalid_code', 'without a code that was sent none is right');
SELECT auth.request_signin_code(pg_temp.email('eli')) \g /dev/null
SELECT pg_temp.code(pg_temp.email('eli'), 'signin_code') AS code \gset
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', pg_temp.wrong(:'code')), 'invalid_code', 'C5: a wrong code');
SELECT access_token AS e2, refresh_token IS NULL AS alone FROM auth.reauthenticate(code => :'code') \gset
SELECT ok(:'alone', 'the right one gives an access token alone');
SELECT auth.authenticate(:'e2') \g /dev/null
SELECT is(auth.aal(), 'aal1', 'which is of one factor');
SELECT is(auth.jwt() -> 'amr', '["otp"]', 'RFC 8176: the code');
SELECT lives_ok('SELECT auth.require_recent(''1 minute'')', 'and of just now');
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', :'code'), 'invalid_code', 'C1: a code is good once');
SELECT auth.request_signin_code(pg_temp.email('eli')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('eli'), 'signin_code') AS link \gset
SELECT pg_temp.account(pg_temp.email('gus')) AS gus \gset
SELECT auth.authenticate(access_token) FROM pg_temp.signin(pg_temp.email('gus')) \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', :'link'), 'invalid_code', 'C6: for who has a password it is no code');
SELECT auth.authenticate(:'e2') \g /dev/null
SELECT isnt((auth.reauthenticate(code => :'link')).access_token, NULL, 'its link is as good');

-- With a factor on, only that one''s codes count, and a sign-in by code is half of one.
RESET auth_session.context_token;
SELECT auth.request_signin_code(pg_temp.email('eli')) \g /dev/null
SELECT (pg_temp.enroll(access_token)).secret AS factor, access_token AS e3 FROM auth.signin_code(pg_temp.email('eli'), pg_temp.code(pg_temp.email('eli'), 'signin_code')) \gset
RESET auth_session.context_token;
SELECT auth.request_signin_code(pg_temp.email('eli')) \g /dev/null
SELECT auth.authenticate(:'e3') \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.reauthenticate(code => %L)', pg_temp.code(pg_temp.email('eli'), 'signin_code')), 'invalid_code', 'with a factor on a code that was sent is none of it');
RESET auth_session.context_token;
SELECT auth.request_signin_code(pg_temp.email('eli')) \g /dev/null
SELECT access_token IS NULL AS alone, mfa_token AS m FROM auth.signin_code(pg_temp.email('eli'), pg_temp.code(pg_temp.email('eli'), 'signin_code')) \gset
SELECT ok(:'alone', 'a sign-in by code gives no token then');
SELECT is(auth.verify(access_token) -> 'amr', '["otp", "mfa"]', 'but an mfa token, and with it and a code of the factor one is signed in') FROM auth.signin_totp(:'m', pg_temp.totp(:'factor', 1));

SELECT * FROM finish();
ROLLBACK;
