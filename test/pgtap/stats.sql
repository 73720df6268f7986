-- auth_admin.stats: what a monitor reads, at no more cost with many rows.
\ir helper/common.psql

BEGIN;
SELECT plan(16);

SELECT columns_are('auth_admin', 'stats', ARRAY['accounts_estimate', 'sessions_estimate', 'notifications_waiting',
	'notifications_oldest_waiting', 'notifications_parked', 'notifications_last_parked_error', 'sessions_due',
	'signing_key_age', 'keys_unsealed'], 'counts, and nothing that is secret');
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
