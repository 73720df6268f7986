-- What test/bench/scale measures on: `live` users who have signed in and whose
-- tokens are at hand. Filler rows come later, beside them.
\set ON_ERROR_STOP 1
SELECT auth.signup('scale0@example.org', 'correct horse battery staple');

-- A hash is not bound to its account: one is computed, and all have it.
CREATE FUNCTION scale_accounts(prefix text, first int, last int) RETURNS void LANGUAGE sql AS $$
	WITH added AS MATERIALIZED (
		SELECT gen_random_uuid() AS id, format('%s%s@example.org', prefix, i) AS email FROM generate_series(first, last) AS i
	), with_account AS (
		INSERT INTO auth_private.accounts
		SELECT r.* FROM added, auth_private.accounts AS a,
			jsonb_populate_record(a, jsonb_build_object('id', added.id, 'email', added.email)) AS r
		WHERE a.email = 'scale0@example.org')
	INSERT INTO auth_private.identifiers
	SELECT r.* FROM added, auth_private.identifiers AS i,
		jsonb_populate_record(i, jsonb_build_object('user_id', added.id, 'identifier', added.email)) AS r
	WHERE i.identifier = 'scale0@example.org';
$$;

CREATE UNLOGGED TABLE scale_tokens (n int PRIMARY KEY, access text, refresh text) WITH (fillfactor = 50);
CREATE PROCEDURE scale_signin(first int, last int) LANGUAGE sql AS $$
	INSERT INTO scale_tokens
	SELECT i, (t).access_token, (t).refresh_token
	FROM (SELECT i, auth.signin(format('scale%s@example.org', i), 'correct horse battery staple') AS t
		FROM generate_series(first, last) AS i OFFSET 0) AS signed
$$;

-- Sessions of filler accounts and their rows in the cache, each of them as one
-- that was made by a sign-in.
CREATE FUNCTION scale_sessions(each int) RETURNS void LANGUAGE sql AS $$
	WITH added AS MATERIALIZED (
		SELECT id AS user_id, gen_random_uuid() AS id, gen_random_uuid() AS jti
		FROM auth_private.accounts, generate_series(1, each) WHERE email LIKE 'filler%'
	), with_session AS (
		INSERT INTO auth_private.sessions
		SELECT r.* FROM added, (SELECT s FROM auth_private.sessions AS s LIMIT 1) AS one (s),
			jsonb_populate_record(s, jsonb_build_object('user_id', added.user_id, 'id', added.id, 'jti', added.jti)) AS r)
	INSERT INTO auth_private.token_cache
	SELECT r.* FROM added, (SELECT c FROM auth_private.token_cache AS c LIMIT 1) AS one (c),
		jsonb_populate_record(c, jsonb_build_object('user_id', added.user_id, 'session_id', added.id, 'jti', added.jti)) AS r;
$$;

-- The next tokens of a session go where the former were.
CREATE FUNCTION scale_renew(of_n int) RETURNS void LANGUAGE sql AS $$
	UPDATE scale_tokens AS t SET access = r.access_token, refresh = r.refresh_token
	FROM (SELECT n, x.* FROM scale_tokens, auth.renew(refresh) AS x WHERE n = of_n) AS r WHERE t.n = r.n
$$;
