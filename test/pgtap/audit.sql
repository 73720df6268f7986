-- auth_admin.audit_log: one row per event, for failures too.
--
-- A failure's row is committed by the recorder, whether or not the caller's
-- transaction is: this file commits in part, with addresses of its own, and
-- takes its rows away at the end.
\ir helper/common.psql

SELECT plan(35);

SELECT clock_timestamp() AS began \gset
CREATE FUNCTION pg_temp.log_of(account uuid, of_action text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT concat_ws(', ', result, reason) FROM auth_admin.audit_log WHERE user_id = account AND action = of_action ORDER BY id
$$;

-- ---- each flow ----

SET auth_session.audit_renewals = on;
SET auth_session.trusted_proxies = 1;
-- They count in the transaction that sets them.
\set client 'SET LOCAL request.headers = ''{"x-forwarded-for": "192.0.2.33", "user-agent": "Agent\\r\\n2026-01-01 signin ok\\u001b[2J\\u202e/7"}'';'
BEGIN; :client SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
COMMIT;
BEGIN; :client SELECT access_token AS a, refresh_token AS r1, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
COMMIT;
BEGIN; :client SELECT refresh_token AS r2 FROM auth.renew(:'r1') \gset
COMMIT;
BEGIN; :client SELECT pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), 'a wrong password')) \g /dev/null
COMMIT;
BEGIN; :client SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
COMMIT;
BEGIN; :client SELECT pg_temp.code(pg_temp.email('Ada'), 'password_reset') AS code, pg_temp.link(pg_temp.email('Ada'), 'password_reset') AS link \gset
COMMIT;
BEGIN; :client SELECT pg_temp.failure(format('SELECT auth.reset_password(%L, %L, %L)', pg_temp.email('ada'), pg_temp.wrong(:'code'), 'a new good one')) \g /dev/null
COMMIT;
BEGIN; :client SELECT auth.reset_password(code => :'link', new_password => 'a new good one') \g /dev/null
COMMIT;
BEGIN; :client SELECT pg_temp.failure(format('SELECT auth.renew(%L)', :'r2')) \g /dev/null
COMMIT;
BEGIN; :client SELECT access_token AS a FROM pg_temp.signin(pg_temp.email('ada'), 'a new good one') \gset
COMMIT;
BEGIN; :client
SELECT auth.authenticate(:'a'), auth.update_info('{"secret": "of info"}'), auth.change_password('a new good one', 'the last good one'), auth.logout() \g /dev/null
COMMIT;

SELECT pg_temp.comes_true(format($$SELECT count(*) >= 12 FROM auth_admin.audit_log WHERE user_id = %L$$, :'ada'), 'G6: the events are on record');
SELECT results_eq(format('SELECT pg_temp.log_of(%L, %L)', :'ada', action), format('SELECT unnest(%L::text[])', expected), 'G6: ' || action)
FROM (VALUES
	('signup', ARRAY['ok']), ('confirm', ARRAY['ok']), ('signin', ARRAY['ok', 'invalid_credentials, wrong password', 'ok']),
	('renew', ARRAY['ok', 'session_revoked, session has ended']), ('request_password_reset', ARRAY['ok']),
	('reset_password', ARRAY['invalid_code, wrong code', 'ok']), ('update_info', ARRAY['ok']), ('change_password', ARRAY['ok']), ('logout', ARRAY['ok'])
) AS events (action, expected);
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'ada' AND (at NOT BETWEEN :'began' AND clock_timestamp() OR ip IS DISTINCT FROM '192.0.2.33')),
	0::bigint, 'G6: with when, and from where');
SELECT is(string_agg(DISTINCT user_agent, '|'), 'Agent2026-01-01 signin ok[2J/7', 'G6: a line feed, an escape or a bidi mark forges no line')
FROM auth_admin.audit_log WHERE user_id = :'ada';
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'ada' AND action IN ('renew', 'logout', 'update_info', 'change_password') AND session_id IS NULL),
	0::bigint, 'G6: and of which session');
SELECT is((SELECT count(*) FROM auth_admin.audit_log WHERE user_id = :'ada'
		AND EXISTS (SELECT FROM auth_admin.audit_log AS b WHERE b.user_id = :'ada' AND b.id > audit_log.id AND b.at < audit_log.at - interval '1 ms')),
	0::bigint, 'ids ascend with time');
SELECT is((SELECT array_agg(DISTINCT actor) FROM auth_admin.audit_log WHERE user_id = :'ada'), ARRAY['user'], 'by whom: the user');
SELECT set_eq($$SELECT attname::text FROM pg_attribute WHERE attrelid = 'auth_admin.audit_log'::regclass AND attnum > 0 AND NOT attisdropped$$,
	ARRAY['id', 'at', 'action', 'actor', 'result', 'reason', 'user_id', 'session_id', 'ip', 'user_agent'], 'what a row has');

-- No secret is in any of them.
SELECT is((SELECT count(*) FROM auth_private.audit_log WHERE strpos(audit_log::text, secret) > 0), 0::bigint, 'G6: the log has no ' || what)
FROM (VALUES (pg_temp.password(), 'password'), ('a wrong password', 'wrong password'), ('a new good one', 'new password'), ('of info', 'info'),
	(:'a', 'access token'), (:'r1', 'refresh token'), (:'link', 'link token'), (pg_temp.email('Ada'), 'address')) AS secrets (secret, what);
RESET auth_session.trusted_proxies;

-- ---- who is unknown ----

SELECT clock_timestamp() AS began \gset
SELECT pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('nobody'), 'a wrong password')) \g /dev/null
SELECT pg_temp.comes_true(format($$SELECT count(*) = 1 FROM auth_admin.audit_log WHERE at >= %L AND action = 'signin' AND user_id IS NULL
		AND result = 'invalid_credentials' AND reason = 'unknown account'$$, :'began'), 'G6: an unknown account is on record as nobody');

-- ---- what fails, survives; what succeeds and is rolled back, was not ----

SELECT clock_timestamp() AS began \gset
BEGIN;
SELECT auth.signin(pg_temp.email('ada'), 'the last good one') \g /dev/null
SELECT pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('ada'), 'a wrong password')) \g /dev/null
ROLLBACK;
SELECT pg_temp.comes_true(format($$SELECT array_agg(result) = ARRAY['invalid_credentials'] FROM auth_admin.audit_log WHERE user_id = %L AND at >= %L$$, :'ada', :'began'),
	'B6: after a ROLLBACK the failure is on record and the success is not');
SELECT clock_timestamp() AS began \gset
DO $$
BEGIN
	FOR n IN 1 .. 3 LOOP
		BEGIN
			PERFORM auth.signin(pg_temp.email('ada'), 'a wrong password');
		EXCEPTION WHEN SQLSTATE 'PT401' THEN
			NULL;
		END;
	END LOOP;
END
$$;
SELECT pg_temp.comes_true(format($$SELECT count(*) = 3 FROM auth_admin.audit_log WHERE user_id = %L AND at >= %L AND result = 'invalid_credentials'$$, :'ada', :'began'),
	'B6: failures that a caller swallows are on record, too');

-- ---- what is not worth a row ----

SELECT clock_timestamp() AS began \gset
SELECT pg_temp.failure(call) FROM unnest(ARRAY['SELECT auth.signin()', 'SELECT auth.renew(''garbage'')', 'SELECT auth.verify(''garbage'')', 'SELECT auth.logout()',
	'SELECT auth.confirm(''nobody@pgtap.example'', ''12'')', 'SELECT auth.signup(''nonsense'', ''x'')', 'SELECT auth.logout(refresh_token => ''garbage'')']) AS call \g /dev/null
SELECT pg_temp.failure(format('SELECT auth.signin(%L, %L)', pg_temp.email('last'), 'a wrong password')) \g /dev/null
SELECT pg_temp.comes_true(format($$SELECT array_agg(action || ' ' || reason) = ARRAY['signin unknown account'] FROM auth_admin.audit_log WHERE at >= %L$$, :'began'),
	'a refusal that cost no hash and met no genuine token is not recorded');

-- ---- the log is not the caller's to change ----

SELECT is(pg_temp.failure(format('SET LOCAL ROLE pg_monitor; %s', statement)) ->> 'sqlstate', '42501', 'G6: no role but the owner''s can ' || left(statement, 6))
FROM unnest(ARRAY['INSERT INTO auth_private.audit_log DEFAULT VALUES', 'UPDATE auth_private.audit_log SET result = ''ok''', 'DELETE FROM auth_private.audit_log',
	'TRUNCATE auth_private.audit_log', 'UPDATE auth_admin.audit_log SET result = ''ok''', 'DELETE FROM auth_admin.audit_log', 'SELECT FROM auth_admin.audit_log']) AS statement;

SELECT * FROM finish();
DELETE FROM auth_private.audit_log WHERE user_id = '00000000-0000-0000-0000-000000000000' AND at >= :'began';
SELECT pg_temp.clean_up() \g /dev/null
