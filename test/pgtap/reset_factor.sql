-- auth_admin.reset_second_factor, and what auth_admin.unlock forgives: for a
-- user who has lost the app.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(16);

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT secret, t.access_token AS a FROM pg_temp.signin(pg_temp.email('ada')) AS t, LATERAL pg_temp.enroll(t.access_token) \gset
RESET auth_session.context_token;

-- ---- unlock ----

INSERT INTO auth_private.code_failures (identifier, id, purpose, failed_at)
SELECT :'ada', gen_random_uuid(), 'totp', clock_timestamp() FROM generate_series(1, 20);
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret')), 'invalid_code', 'after twenty wrong codes none is looked at', 'recovery code');
SELECT auth_admin.unlock(:'ada') \g /dev/null
SELECT isnt((auth.signin_totp(:'m', pg_temp.totp(:'secret', -1))).access_token, NULL, 'B7: unlock forgives them');

-- ---- reset_second_factor ----

SELECT pg_temp.raises('SELECT auth_admin.reset_second_factor(NULL)', 'invalid_request', 'a user must be named', 'user_id');
SELECT pg_temp.raises('SELECT auth_admin.reset_second_factor(gen_random_uuid())', 'user_not_found', 'who is there');
SELECT pg_temp.raises_when_read_only(format('SELECT auth_admin.reset_second_factor(%L)', :'ada'), 'it writes');
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('ada')) \gset
SET LOCAL request.headers = '{"user-agent": "Operator/1.0"}';
SELECT auth_admin.reset_second_factor(:'ada') \g /dev/null
RESET request.headers;
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada'), 0::bigint, 'C11: the factor goes');
SELECT is((SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = :'ada'), 0::bigint, 'C11: with its recovery codes');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), 0::bigint, 'C11: and all sessions');
SELECT pg_temp.raises(format('SELECT auth.signin_totp(%L, %L)', :'m', pg_temp.totp(:'secret')), 'invalid_token', 'and mfa tokens');
SELECT is((SELECT payload - 'at' FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed' ORDER BY id DESC LIMIT 1),
	'{"change": "second_factor_reset"}', 'B12: the user is told, and not where the operator is');
SELECT is(actor, current_user::text, 'the audit log has who did it') FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'reset_second_factor' AND result = 'ok';
SELECT isnt((pg_temp.signin(pg_temp.email('ada'))).access_token, NULL, 'the password is enough then');

SELECT count(*) AS told FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed' \gset
SELECT auth_admin.reset_second_factor(:'ada') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), 1::bigint, 'where none is on nothing ends');
SELECT is((SELECT count(*) FROM auth_private.outbox WHERE user_id = :'ada' AND kind = 'mfa_changed'), :'told'::bigint, 'and nobody is told');

-- ---- what else goes ----

SELECT pg_temp.enroll(access_token) FROM pg_temp.signin(pg_temp.email('ada')) \g /dev/null
RESET auth_session.context_token;
SELECT auth_admin.ban(:'ada') \g /dev/null
SELECT auth_admin.reset_second_factor(:'ada') \g /dev/null
SELECT is((SELECT count(*) FROM auth_private.factors WHERE user_id = :'ada'), 0::bigint, 'it works for who is banned');
SELECT pg_temp.raises(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'banned', 'who stays so');

SELECT * FROM finish();
ROLLBACK;
