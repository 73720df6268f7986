-- What test/bench/prune measures on.
\set ON_ERROR_STOP 1
SELECT auth.signup(format('bench%s@example.org', i), 'correct horse battery staple')
FROM generate_series(0, 999) AS i;
CREATE TABLE bench_live AS SELECT * FROM auth.signin('bench0@example.org', 'correct horse battery staple');

-- Sessions that have ended, each with its row in the token cache, as those of a
-- sign-in are but for their times.
CREATE FUNCTION bench_ended(count int) RETURNS void LANGUAGE sql AS $$
	WITH users AS MATERIALIZED (
		SELECT (row_number() OVER () - 1) AS n, id FROM auth_private.accounts
	), added AS MATERIALIZED (
		SELECT users.id AS user_id, gen_random_uuid() AS id, gen_random_uuid() AS jti, now() - random() * interval '1 day' AS ended
		FROM generate_series(1, count) AS i JOIN users ON n = i % 1000
	), with_session AS (
		INSERT INTO auth_private.sessions
		SELECT r.* FROM added, (SELECT s FROM auth_private.sessions AS s LIMIT 1) AS one (s),
			jsonb_populate_record(s, jsonb_build_object('user_id', added.user_id, 'id', added.id, 'jti', added.jti,
				'expires_at', ended, 'access_expires_at', ended, 'expiry_day', (ended AT TIME ZONE 'UTC')::date)) AS r)
	INSERT INTO auth_private.token_cache
	SELECT r.* FROM added, (SELECT c FROM auth_private.token_cache AS c LIMIT 1) AS one (c),
		jsonb_populate_record(c, jsonb_build_object('user_id', added.user_id, 'session_id', added.id, 'jti', added.jti,
			'expires_at', ended, 'expiry_day', (ended AT TIME ZONE 'UTC')::date)) AS r;
$$;

-- Milliseconds of a processor that the calling backend has had so far.
CREATE FUNCTION bench_processor_ms() RETURNS numeric LANGUAGE sql VOLATILE AS $$
	SELECT split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::numeric / 1000000
$$;

-- Renews a session again and again until there is somebody in bench_done, each
-- time with a commit that waits for the disk.
CREATE TABLE bench_done (done boolean);
CREATE UNLOGGED TABLE bench_renewals (meanwhile text, ms float8);
CREATE PROCEDURE bench_renew(meanwhile text) LANGUAGE plpgsql AS $$
DECLARE
	token text := (SELECT refresh_token FROM bench_live);
	took float8[] := '{}';
	begun timestamptz;
BEGIN
	COMMIT;
	LOOP
		begun := clock_timestamp();
		SELECT refresh_token INTO token FROM auth.renew(token);
		COMMIT;
		took := took || (extract(epoch FROM clock_timestamp() - begun) * 1000)::float8;
		EXIT WHEN EXISTS (SELECT FROM bench_done);
	END LOOP;
	UPDATE bench_live SET refresh_token = token;
	INSERT INTO bench_renewals SELECT meanwhile, unnest(took);
END
$$;
