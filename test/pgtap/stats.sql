-- auth_admin.stats: what a monitor reads, at no more cost with many rows.
\ir helper/common.psql

BEGIN;
SELECT plan(28);

SELECT columns_are('auth_admin', 'stats', ARRAY['accounts_estimate', 'sessions_estimate', 'notifications_waiting',
	'notifications_oldest_waiting', 'notifications_parked', 'notifications_last_parked_error', 'sessions_due',
	'signing_key_age', 'keys_unsealed', 'since', 'signins', 'renewals', 'refresh_tokens_reused', 'throttled', 'refusals',
	'hash_waits', 'hashes_waiting', 'records_waiting', 'records_discarded', 'last_pruned'], 'counts, and nothing that is secret');
SELECT is(count(*), 1::bigint, 'one row') FROM auth_admin.stats;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
ANALYZE auth_private.accounts;
ANALYZE auth_private.sessions;
SELECT is(accounts_estimate, (SELECT count(*) FROM auth_private.accounts), 'accounts, as of the last ANALYZE') FROM auth_admin.stats;
SELECT is(sessions_estimate, (SELECT count(*) FROM auth_private.sessions), 'and sessions') FROM auth_admin.stats;

-- ---- what prune has left ----

SELECT sessions_due AS due FROM auth_admin.stats \gset
UPDATE auth_private.sessions SET expires_at = clock_timestamp() - interval '2 days', expiry_day = current_date - 2 WHERE id = :'s';
SELECT is(sessions_due, :due + 1::bigint, 'a session that prune should have deleted is due') FROM auth_admin.stats;
SELECT auth_admin.prune() \g /dev/null
SELECT is(sessions_due, 0::bigint, 'and no more after it') FROM auth_admin.stats;

-- ---- what has happened ----

CREATE FUNCTION pg_temp.refusals(code text) RETURNS bigint
LANGUAGE sql AS $$ SELECT coalesce((refusals ->> code)::bigint, 0) FROM auth_admin.stats $$;

SELECT ok(since BETWEEN pg_postmaster_start_time() - interval '1 minute' AND clock_timestamp(), 'counted since the server was started')
	FROM auth_admin.stats;
SELECT signins, renewals, refresh_tokens_reused AS reused, throttled, pg_temp.refusals('invalid_credentials') AS wrong,
	pg_temp.refusals('invalid_token') AS forged, pg_temp.refusals('throttled') AS refused FROM auth_admin.stats \gset before_
SELECT refresh_token AS r FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT is(signins, :before_signins + 1::bigint, 'sign-ins') FROM auth_admin.stats;
SELECT refresh_token AS r2 FROM auth.renew(:'r') \gset
SELECT FROM auth.renew(:'r');
SELECT is(renewals, :before_renewals + 1::bigint, 'renewals, of which one repeated within the grace is none') FROM auth_admin.stats;
SELECT pg_temp.failure(format('SELECT pg_temp.signin(pg_temp.email(''ada''), %L)', 'a wrong one')) \g /dev/null
SELECT is(pg_temp.refusals('invalid_credentials'), :before_wrong + 1::bigint, 'refusals by code, whatever was rolled back');
SELECT pg_temp.failure('SELECT auth.verify(''x'')') \g /dev/null
SELECT is(pg_temp.refusals('invalid_token'), :before_forged + 1::bigint, 'those of a token, too');
SELECT FROM auth.renew(:'r2');
SET LOCAL auth_session.refresh_reuse_grace = 0;
SELECT pg_temp.failure(format('SELECT auth.renew(%L)', :'r')) \g /dev/null
SELECT is(refresh_tokens_reused, :before_reused + 1::bigint, 'refresh tokens that were used twice') FROM auth_admin.stats;
SET LOCAL auth_session.signin_rate_per_account = 1;
SELECT pg_temp.failure(format('SELECT pg_temp.signin(pg_temp.email(''ada''), %L)', 'a wrong one')) FROM generate_series(1, 11) \g /dev/null
SELECT cmp_ok(throttled, '>', :before_throttled::bigint, 'calls that were throttled') FROM auth_admin.stats;
RESET auth_session.signin_rate_per_account;
SELECT results_eq('SELECT hash_waits >= 0, hashes_waiting, records_waiting >= 0, records_discarded >= 0 FROM auth_admin.stats',
	'VALUES (true, 0, true, true)', 'nobody waits for a place to hash in');
SELECT ok(last_pruned BETWEEN date_trunc('second', now()) AND clock_timestamp(), 'when prune last ran, to the second') FROM auth_admin.stats;
SELECT ok(NOT refusals ? 'ok' AND jsonb_typeof(refusals) = 'object', 'what went well is no refusal') FROM auth_admin.stats;

CREATE ROLE pgtap_monitor;
GRANT USAGE ON SCHEMA auth_admin TO pgtap_monitor;
GRANT SELECT ON auth_admin.stats TO pgtap_monitor;
SET LOCAL ROLE pgtap_monitor;
SELECT isnt(since, NULL, 'a monitor needs a right to the view alone') FROM auth_admin.stats;
SELECT throws_ok('SELECT ''''::auth_private.event_counts', '42501', NULL, 'and has none to what is behind it');
RESET ROLE;

-- ---- keys ----

SELECT ok(signing_key_age BETWEEN interval '0' AND interval '1 hour', 'the age of the key that signs') FROM auth_admin.stats;
SELECT keys_unsealed AS unsealed FROM auth_admin.stats \gset
SELECT cmp_ok(:unsealed, '>=', 2, 'keys that are stored open: one that signs, the one of MACs');
UPDATE auth_private.mac_keys SET key = '\x01'::bytea || substr(key, 2);
SELECT is(keys_unsealed, :unsealed - 1::bigint, 'one that is sealed is not of them') FROM auth_admin.stats;

-- ---- notifications ----

DELETE FROM auth_private.outbox;
INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, payload, attempts, due_at, settled_at)
SELECT gen_random_uuid(), clock_timestamp(), 'new_signin', 'email', 'x', '{}', 0, clock_timestamp(), clock_timestamp()
FROM generate_series(1, 30000);
INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, payload, attempts, due_at)
VALUES (gen_random_uuid(), '2026-01-01 12:00Z', 'new_signin', 'email', 'x', '{}', 0, clock_timestamp()),
	(gen_random_uuid(), '2026-01-02 12:00Z', 'new_signin', 'email', 'x', '{}', 0, clock_timestamp());
INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, payload, attempts, due_at, parked_at, error)
VALUES (gen_random_uuid(), '2025-01-01 12:00Z', 'new_signin', 'email', 'x', '{}', 0, clock_timestamp(), '2026-01-02 12:00Z', 'the last'),
	(gen_random_uuid(), '2025-01-01 12:00Z', 'new_signin', 'email', 'x', '{}', 0, clock_timestamp(), '2026-01-01 12:00Z', 'the first');
SELECT results_eq('SELECT notifications_waiting, notifications_oldest_waiting, notifications_parked, notifications_last_parked_error FROM auth_admin.stats',
	$$VALUES (2::bigint, '2026-01-01 12:00Z'::timestamptz, 2::bigint, 'the last')$$, 'what waits, since when, what is parked, and why');

ANALYZE auth_private.outbox;
CREATE FUNCTION pg_temp.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	lines text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
		lines := lines || E'\n' || line;
	END LOOP;
	RETURN lines;
END
$$;
SELECT unalike(pg_temp.plan_of('SELECT * FROM auth_admin.stats'), '%Seq Scan on outbox%', 'what is settled is not read');
SELECT alike(pg_temp.plan_of('SELECT * FROM auth_admin.stats'), '%outbox_due%', 'what waits is counted by its index');
SELECT alike(pg_temp.plan_of('SELECT * FROM auth_admin.stats'), '%outbox_parked%', 'what is parked by its own');
SELECT unalike(pg_temp.plan_of('SELECT * FROM auth_admin.stats'), '% on accounts%', 'accounts are not read at all');
SET LOCAL enable_seqscan = off;
SELECT alike(pg_temp.plan_of('SELECT * FROM auth_admin.stats'), '%Index Cond: (expiry_day <%', 'sessions that are due are found by their day');
RESET enable_seqscan;

UPDATE auth_private.outbox SET settled_at = NULL, parked_at = NULL;
SELECT is(notifications_waiting, 10000::bigint, 'nobody counts beyond 10,000') FROM auth_admin.stats;

SELECT * FROM finish();
ROLLBACK;
