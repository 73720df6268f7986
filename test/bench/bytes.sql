-- What test/bench/bytes prints, on top of prune.sql.
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

SELECT pg_total_relation_size('auth_private.sessions') AS sessions, pg_total_relation_size('auth_private.token_cache') AS cache \gset
SELECT bench_ended(100000) \g /dev/null
SELECT 'a session', (pg_total_relation_size('auth_private.sessions') - :sessions) / 100000;
SELECT 'its row in the token cache', (pg_total_relation_size('auth_private.token_cache') - :cache) / 100000;
