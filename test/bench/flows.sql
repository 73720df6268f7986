-- What test/bench/flows.pl measures on: one user with tokens of every
-- algorithm, many sessions of others, and plain tables of the same shape.
\set ON_ERROR_STOP 1
CREATE ROLE bench_authenticator LOGIN NOINHERIT;
CREATE ROLE bench_app;
CREATE ROLE bench_anon;
GRANT bench_app, bench_anon TO bench_authenticator;
ALTER ROLE bench_authenticator SET auth_session.cookies = on;

CREATE TABLE bench_tokens (kind text, n int, access text NOT NULL, refresh text NOT NULL,
	PRIMARY KEY (kind, n));
SELECT auth.signup(format('bench%s@example.org', i), 'correct horse battery staple')
FROM generate_series(0, 9) AS i;

CREATE FUNCTION bench_signin(kind text, first int, last int) RETURNS void LANGUAGE sql AS $$
	INSERT INTO bench_tokens
	SELECT kind, i, (t).access_token, (t).refresh_token
	FROM (SELECT i, auth.signin(format('bench%s@example.org',
			CASE kind WHEN 'other' THEN i % 8 WHEN 'sessions' THEN 8 ELSE 9 END),
			'correct horse battery staple') AS t
		FROM generate_series(first, last) AS i OFFSET 0) AS signed
$$;
CREATE FUNCTION bench_key(algorithm text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM auth_admin.activate_signing_key(auth_admin.create_signing_key(algorithm));
	PERFORM bench_signin(algorithm, 1, 1);
END
$$;
SELECT bench_key('EdDSA');
SELECT bench_key('ES256');
SELECT bench_key('RS256');
SELECT bench_key('HS256');
SELECT bench_signin('other', 1, 512);
SELECT bench_signin('sessions', 1, 2);
SELECT bench_signin('logout', 1, :logouts);

-- As the extension's tables, without what makes them a service. Their pages keep
-- as much room free as its do, from the first row on.
CREATE TABLE bench_sessions WITH (fillfactor = 80) AS SELECT * FROM auth_private.sessions;
ALTER TABLE bench_sessions ADD PRIMARY KEY (user_id, id);
CREATE INDEX ON bench_sessions (expiry_day);
CREATE UNLOGGED TABLE bench_cache WITH (fillfactor = 80) AS SELECT * FROM auth_private.token_cache;
ALTER TABLE bench_cache ADD PRIMARY KEY (user_id, session_id);
CREATE INDEX ON bench_cache (expiry_day);
CREATE FUNCTION bench_nothing() RETURNS void LANGUAGE plpgsql AS 'BEGIN END';

CREATE TABLE bench_plain AS
SELECT i AS id, user_id AS owner FROM generate_series(1, 10) AS i,
	(SELECT user_id FROM auth_private.sessions LIMIT 1) AS s;
CREATE TABLE bench_owned AS SELECT * FROM bench_plain;
ALTER TABLE bench_owned ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON bench_owned USING (owner = auth.uid());
GRANT SELECT ON bench_plain, bench_owned TO bench_app;
VACUUM (ANALYZE);
