-- What test/bench/run measures on; prints an access token.
\set ON_ERROR_STOP 1
CREATE TABLE bench_logged (id int PRIMARY KEY, n bigint NOT NULL);
CREATE UNLOGGED TABLE bench_unlogged (id int PRIMARY KEY, n bigint NOT NULL);
INSERT INTO bench_logged SELECT i, 0 FROM generate_series(0, 255) AS i;
INSERT INTO bench_unlogged SELECT * FROM bench_logged;

-- One confirmed account for each client that pgbench may have.
CREATE FUNCTION bench_accounts(n int) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	mail record;
BEGIN
	FOR i IN 0 .. n - 1 LOOP
		PERFORM auth.signup('bench' || i || '@example.org',
							'correct horse battery staple');
	END LOOP;
	FOR mail IN SELECT * FROM auth_admin.claim_notifications(1000, '1 minute')
				WHERE kind = 'confirm_email' LOOP
		PERFORM auth.confirm(code => mail.payload ->> 'link_token',
							 password => 'correct horse battery staple');
	END LOOP;
END
$$;
SELECT bench_accounts(greatest(:clients, 64)) \g /dev/null

-- A fresh session of each, whose chain of refresh tokens is to be walked.
CREATE TABLE bench_tokens (client int PRIMARY KEY, refresh text NOT NULL);
CREATE FUNCTION bench_sessions() RETURNS void LANGUAGE sql AS $$
	TRUNCATE bench_tokens;
	INSERT INTO bench_tokens
	SELECT i, (auth.signin('bench' || i || '@example.org',
						   'correct horse battery staple')).refresh_token
	FROM generate_series(0, 63) AS i;
$$;
CREATE FUNCTION bench_token(client int) RETURNS text LANGUAGE sql STABLE AS $$
	SELECT refresh FROM bench_tokens WHERE bench_tokens.client = $1;
$$;

-- The same million rows behind a policy with the helper and one without.
CREATE ROLE bench_app LOGIN;
CREATE TABLE bench_uid AS
SELECT i AS id, '018f0000-0000-7000-8000-000000000000'::uuid AS owner
FROM generate_series(1, 1000000) AS i;
CREATE TABLE bench_constant AS SELECT * FROM bench_uid;
ALTER TABLE bench_uid ENABLE ROW LEVEL SECURITY;
ALTER TABLE bench_constant ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bench_uid USING (owner = auth.uid());
CREATE POLICY own ON bench_constant
	USING (owner = '018f0000-0000-7000-8000-000000000001'::uuid);
GRANT SELECT ON bench_uid, bench_constant TO bench_app;
VACUUM (ANALYZE, FREEZE) bench_uid, bench_constant;

SELECT access_token
FROM auth.signin('bench0@example.org', 'correct horse battery staple');
