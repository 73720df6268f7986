-- What the views of auth_admin show, column by column: a secret that gets into
-- one is seen here.
\ir helper/common.psql

BEGIN;
SELECT plan(4);

SELECT results_eq($$
	SELECT c.relname::text COLLATE "default", string_agg(a.attname, ', ' ORDER BY a.attnum) COLLATE "default"
	FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
	WHERE c.relnamespace = 'auth_admin'::regnamespace AND c.relkind = 'v'
	GROUP BY c.relname ORDER BY c.relname
$$, $$ VALUES
	('api_keys', 'user_id, id, name, scopes, role, created_at, last_used_at, expires_at'),
	('audit_log', 'id, at, action, actor, result, reason, user_id, session_id, ip, user_agent'),
	('deleted_users', 'id, deleted_at'),
	('parked_notifications', 'id, kind, recipient, error, since'),
	('signing_keys', 'kid, algorithm, state, can_sign, is_sealed, is_imported, created_at, activated_at, verifies_until'),
	('stats', 'accounts_estimate, sessions_estimate, notifications_waiting, notifications_oldest_waiting, notifications_parked, notifications_last_parked_error, sessions_due, signing_key_age, keys_unsealed, since, signins, renewals, refresh_tokens_reused, throttled, refusals, hash_waits, hashes_waiting, records_waiting, records_discarded, last_pruned'),
	('users', 'id, status, email, phone, email_confirmed_at, phone_confirmed_at, pending_email, pending_phone, info, app, banned_at, banned_until, ban_reason, created_at')
$$, 'G1: the columns of every view of auth_admin');

-- Nobody's events show no user, whose index serves all the same.
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS SETOF text
LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE 'EXPLAIN (COSTS off) ' || query; END $$;
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT matches(string_agg(line, ' '), 'Index Scan using audit_log_user', 'what happened to a user is found by an index')
FROM pg_temp.plan_of(format('SELECT * FROM auth_admin.audit_log WHERE user_id = %L', gen_random_uuid())) AS line;
SELECT matches(string_agg(line, ' '), 'Index Scan using audit_log_at', 'and what happened lately')
FROM pg_temp.plan_of('SELECT * FROM auth_admin.audit_log WHERE at > now() - interval ''1 hour''') AS line;
RESET enable_seqscan;
RESET enable_bitmapscan;

-- One index alone keeps an address from having two owners.
INSERT INTO auth_private.identifiers VALUES (pg_temp.email('taken'), gen_random_uuid(), true, now());
SELECT throws_ok(format($$INSERT INTO auth_private.identifiers VALUES (%L, gen_random_uuid(), true, now())$$, pg_temp.email('taken')),
	'23505', NULL, 'an address has one owner, whatever locks are taken');

SELECT * FROM finish();
ROLLBACK;
