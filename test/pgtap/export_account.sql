-- auth.export_account: all that is kept about the caller, secrets aside.
\ir helper/common.psql

BEGIN;
SELECT plan(37);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;

SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT session_id AS sb FROM pg_temp.signin(pg_temp.email('bob')) \gset
SELECT pg_temp.raises('SELECT auth.export_account()', 'not_authenticated', 'without a context there is nothing to export');

SELECT auth_admin.set_app(:'ada', '{"plan": "pro"}') \g /dev/null
SET LOCAL auth_session.trusted_proxies = 1;
SET LOCAL request.headers = '{"x-forwarded-for": "192.0.2.77", "user-agent": "operators console"}';
SELECT auth_admin.ban(:'ada', reason => 'between operators'), auth_admin.unban(:'ada') \g /dev/null
RESET request.headers;
SET LOCAL auth_session.trusted_proxies = 0;
SELECT is((SELECT host(ip) || ' ' || user_agent FROM auth_admin.audit_log WHERE user_id = :'ada' AND action = 'ban'), '192.0.2.77 operators console', 'the log has where an operator was');
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'a') \g /dev/null
SELECT auth.update_info('{"name": "Ada"}') \g /dev/null
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT auth.change_phone(pg_temp.phone(1), pg_temp.password()) \g /dev/null
SELECT pg_temp.mail(pg_temp.email('Ada'), 'password_reset') AS reset \gset
INSERT INTO auth_private.code_failures SELECT pg_temp.email('ada'), gen_random_uuid(), 'password_reset', clock_timestamp();
INSERT INTO auth_private.code_failures SELECT pg_temp.email('bob'), gen_random_uuid(), 'password_reset', clock_timestamp();
INSERT INTO auth_private.factors (user_id, id, secret, created_at, confirmed_at, last_step)
	VALUES (:'ada', gen_random_uuid(), 'kept to ourselves', '2026-01-01Z', '2026-01-02Z', 7);
INSERT INTO auth_private.recovery_codes VALUES (:'ada', gen_random_uuid(), 'a digest of ours', '2026-01-03Z');
SELECT auth.export_account() AS export \gset

SELECT set_eq(format('SELECT jsonb_object_keys(%L::jsonb)', :'export'),
	ARRAY['account', 'sessions', 'api_keys', 'factors', 'recovery_codes', 'devices', 'codes', 'notifications', 'audit_log', 'identifiers', 'code_failures'], 'it has a member a table');

-- What is left out, on purpose, of whatever a table has about a user.
SELECT set_eq($$SELECT c.relname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'auth_private'::regnamespace AND c.relkind = 'r' AND a.attname = 'user_id'$$,
	ARRAY['identifiers', 'sessions', 'api_keys', 'factors', 'recovery_codes', 'devices', 'mfa_uses', 'revocations', 'token_cache', 'deleted_users', 'codes', 'outbox', 'audit_log'],
	'no table about users has come that the export knows nothing of');

SELECT is(:'export'::jsonb -> 'account' ->> 'id', :'ada', 'the account is the caller''s');
SELECT is(:'export'::jsonb -> 'account' ->> 'email', pg_temp.email('Ada'), 'with its email as typed');
SELECT is(:'export'::jsonb -> 'account' -> 'info', '{"name": "Ada"}', 'its info');
SELECT is(:'export'::jsonb -> 'account' -> 'app', '{"plan": "pro"}', 'what operators set');
SELECT is(:'export'::jsonb -> 'account' ->> 'pending_phone', pg_temp.phone(1), 'a change that is under way');
SELECT is(:'export'::jsonb -> 'account' -> 'has_password', 'true', 'and that it has a password');
SELECT is(:'export'::jsonb -> 'identifiers' -> 0 ->> 'identifier', pg_temp.email('ada'), 'the address as it is compared');
SELECT is(:'export'::jsonb -> 'sessions' -> 0 ->> 'id', :'s', 'the sessions');
SELECT is(jsonb_array_length(:'export'::jsonb -> 'sessions'), 1, 'that are');
SELECT set_eq(format('SELECT value ->> ''purpose'' FROM jsonb_array_elements(%L::jsonb -> ''codes'')', :'export'), ARRAY['password_reset', 'phone_change'], 'the codes under way, by purpose');
SELECT ok(EXISTS (SELECT FROM jsonb_array_elements(:'export'::jsonb -> 'notifications') WHERE value ->> 'kind' = 'new_signin' AND value ->> 'recipient' = pg_temp.email('Ada')), 'what was sent');
SELECT ok(EXISTS (SELECT FROM jsonb_array_elements(:'export'::jsonb -> 'audit_log') WHERE value ->> 'action' = 'signin' AND value ->> 'actor' = 'user'), 'what happened');
SELECT ok(EXISTS (SELECT FROM jsonb_array_elements(:'export'::jsonb -> 'audit_log') WHERE value ->> 'action' = 'ban' AND value ->> 'actor' = 'operator'), 'by operators, too');
SELECT is(strpos(:'export', 'between operators'), 0, 'but not why: that is between operators');
SELECT is(strpos(:'export', current_user::text || '"'), 0, 'nor who it was');
SELECT is(strpos(:'export', '192.0.2.77') + strpos(:'export', 'operators console'), 0, 'nor where');
SELECT is(:'export'::jsonb -> 'factors', '[{"created_at": "2026-01-01T00:00:00+00:00", "confirmed_at": "2026-01-02T00:00:00+00:00"}]', 'a second factor, without its secret');
SELECT is(:'export'::jsonb -> 'recovery_codes', '[{"created_at": "2026-01-03T00:00:00+00:00"}]', 'recovery codes, without their digests');
SELECT is(jsonb_array_length(:'export'::jsonb -> 'code_failures'), 1, 'wrong tries at the address, not those at another''s');

-- ---- no secret, and nobody else's ----

SELECT is(strpos(:'export', secret), 0, 'D2, C4, G3: not in it: ' || what)
FROM (SELECT 'the hash' AS what, password_hash AS secret FROM auth_private.accounts WHERE id = :'ada'
	UNION ALL SELECT 'the jti', jti::text FROM auth_private.sessions WHERE id = :'s'
	UNION ALL SELECT 'the digest', encode(refresh_digest, 'hex') FROM auth_private.sessions WHERE id = :'s'
	UNION ALL SELECT 'the refresh token', :'r' UNION ALL SELECT 'the access token', :'a'
	UNION ALL SELECT 'a link', :'reset'::jsonb ->> 'link_token' UNION ALL SELECT 'a code', '"' || (:'reset'::jsonb ->> 'code') || '"'
	UNION ALL SELECT 'another''s id', :'bob' UNION ALL SELECT 'another''s session', :'sb' UNION ALL SELECT 'another''s address', pg_temp.email('bob')) AS secrets;

-- Whether a new address is somebody's can't be told from it.
SELECT auth.change_email(pg_temp.email('bob'), pg_temp.password()) \g /dev/null
SELECT auth.export_account() - 'audit_log' AS taken \gset
SELECT auth.change_email(pg_temp.email('nob'), pg_temp.password()) \g /dev/null
SELECT auth.export_account() - 'audit_log' AS free \gset
SELECT is(regexp_replace(replace(:'taken', pg_temp.email('bob'), pg_temp.email('nob')), '\d\d:\d\d:\d\d(\.\d+)?', '', 'g'),
	regexp_replace(:'free', '\d\d:\d\d:\d\d(\.\d+)?', '', 'g'), 'B2: an address that is taken is exported as a free one');

-- ---- its bound, a read-only transaction, and who acts for the user ----

INSERT INTO auth_private.audit_log (id, at, action, actor, result, user_id)
SELECT gen_random_uuid(), clock_timestamp() + n * interval '1 second', 'signin', 'user', 'ok', :'ada' FROM generate_series(1, 10001) AS n;
SELECT is(jsonb_array_length(auth.export_account() -> 'audit_log'), 10000, 'of each table the newest 10,000 rows');
SELECT is((SELECT pg_temp.failure('SELECT auth.export_account()', read_only => true)), '{}', 'it can be read in a read-only transaction');
RESET auth_session.context_token;
SELECT set_config('auth_session.trusted_claims_roles', quote_ident(session_user), true) \g /dev/null
SELECT set_config('request.jwt.claims', (auth.verify(:'a') || '{"act": {"sub": "support"}}')::text, true) \g /dev/null
SELECT is(auth.export_account() -> 'account' ->> 'id', :'ada', 'who acts for the user may read it');

SELECT * FROM finish();
ROLLBACK;
