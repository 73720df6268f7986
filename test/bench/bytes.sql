-- What test/bench/bytes prints, on top of prune.sql and scale.sql.
\set ON_ERROR_STOP 1
CREATE TABLE bench_sessions (i int PRIMARY KEY, refresh text) WITH (fillfactor = 50);

-- WAL of a call, a transaction each, by the mean of a hundred.
CREATE PROCEDURE bench_wal(call text, INOUT bytes bigint DEFAULT 0) LANGUAGE plpgsql AS $$
DECLARE
	before pg_lsn;
	token text;
BEGIN
	FOR at IN 1 .. 100 LOOP
		SELECT refresh INTO token FROM bench_sessions AS s WHERE s.i = at;
		COMMIT;
		before := pg_current_wal_insert_lsn();
		EXECUTE call INTO token USING token, format('bench%s@example.org', at);
		COMMIT;
		bytes := bytes + (pg_current_wal_insert_lsn() - before);
		INSERT INTO bench_sessions VALUES (at, token) ON CONFLICT ON CONSTRAINT bench_sessions_pkey DO UPDATE SET refresh = token;
		COMMIT;
	END LOOP;
	bytes := bytes / 100;
END
$$;

\set signin 'SELECT refresh_token FROM auth.signin($2, ''correct horse battery staple'')'
\set renew 'SELECT refresh_token FROM auth.renew($1)'
CALL bench_wal(:'signin') \gset signin_
CALL bench_wal(:'renew') \gset renew_
SET auth_session.audit_renewals = on;
CALL bench_wal(:'renew') \gset audited_
RESET auth_session.audit_renewals;
CALL bench_wal('SELECT auth.logout(refresh_token => $1)') \gset logout_
SELECT 'WAL of a sign-in', :signin_bytes;
SELECT 'WAL of a renewal', :renew_bytes;
SELECT 'WAL of a renewal, with audit_renewals', :audited_bytes;
SELECT 'WAL of a logout', :logout_bytes;

-- A row of each, its indexes with it, by the mean of many that came in no order.
CREATE FUNCTION bench_size(VARIADIC tables regclass[]) RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(pg_total_relation_size(t)) FROM unnest(tables) AS t
$$;
SET session_replication_role = replica;
SELECT bench_size('auth_private.accounts', 'auth_private.identifiers') AS accounts,
	bench_size('auth_private.sessions') AS sessions, bench_size('auth_private.token_cache') AS cache \gset
CALL scale_accounts(1, :rows);
ANALYZE scale_users;
CALL scale_sessions(1, :rows, :rows, :rows);
SELECT 'an account and its address',
	(bench_size('auth_private.accounts', 'auth_private.identifiers') - :accounts) / :rows;
SELECT 'a session', (bench_size('auth_private.sessions') - :sessions) / :rows;
SELECT 'its row in the token cache', (bench_size('auth_private.token_cache') - :cache) / :rows;

SELECT bench_size('auth_private.sessions') AS sessions \gset
UPDATE auth_private.sessions AS s SET ip = '203.0.113.77',
	user_agent = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'
FROM auth_private.accounts AS a WHERE a.id = s.user_id AND a.email = 'scale0@example.org';
CALL scale_sessions(1, :rows, :rows, :rows);
SELECT 'a session with an address and a browser''s name', (bench_size('auth_private.sessions') - :sessions) / :rows;
