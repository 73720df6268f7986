-- What test/bench/scale measures on: accounts, sessions and `live` callers among
-- them, whose tokens are at hand. Caller n is account n * stride, so that callers
-- are spread over all the rows, in tables as in indexes.
\set ON_ERROR_STOP 1
SELECT auth.signup('scale0@example.org', 'correct horse battery staple');
SELECT auth.signin('scale0@example.org', 'correct horse battery staple');

CREATE UNLOGGED TABLE scale_users (i int PRIMARY KEY, id uuid);
CREATE UNLOGGED TABLE scale_tokens (n int PRIMARY KEY, access text, refresh text) WITH (fillfactor = 50);
CREATE UNLOGGED TABLE scale_sessions (LIKE auth_private.sessions);
CREATE UNLOGGED TABLE scale_cache (LIKE auth_private.token_cache);

-- A query for rows as that of scale0, but for the columns that `added` has.
CREATE FUNCTION scale_rows(kind regclass, key text, VARIADIC own text[]) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT %s FROM added, (SELECT m.* FROM %s AS m, auth_private.accounts AS a
			WHERE m.%I = a.id AND a.email = ''scale0@example.org'') AS model',
		string_agg(format(CASE WHEN attname = ANY (own) THEN 'added.%I' ELSE 'model.%I' END, attname), ', ' ORDER BY attnum),
		kind, key)
	FROM pg_attribute WHERE attrelid = kind AND attnum > 0 AND NOT attisdropped
$$;

-- A hash is not bound to its account: one is computed, and all have it.
CREATE PROCEDURE scale_accounts(first int, last int) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('WITH added AS MATERIALIZED (
			SELECT i, id, id AS user_id, email, email AS identifier
			FROM (SELECT i, gen_random_uuid() AS id, format(''scale%%s@example.org'', i) AS email
				FROM generate_series($1, $2) AS i) AS one
		), with_account AS (INSERT INTO auth_private.accounts %s
		), with_identifier AS (INSERT INTO auth_private.identifiers %s)
		INSERT INTO scale_users SELECT i, id FROM added',
		scale_rows('auth_private.accounts', 'id', 'id', 'email'),
		scale_rows('auth_private.identifiers', 'user_id', 'user_id', 'identifier'))
	USING first, last;
END
$$;

CREATE PROCEDURE scale_signin(first int, last int, stride int) LANGUAGE sql AS $$
	INSERT INTO scale_tokens
	SELECT n, (t).access_token, (t).refresh_token
	FROM (SELECT n, auth.signin(format('scale%s@example.org', n * stride), 'correct horse battery staple') AS t
		FROM generate_series(first, last) AS n OFFSET 0) AS signed
$$;

-- The callers' sessions, out of the way until the others come.
CREATE PROCEDURE scale_keep() LANGUAGE sql AS $$
	INSERT INTO scale_sessions
	SELECT s.* FROM auth_private.sessions AS s JOIN scale_users AS u ON u.id = s.user_id;
	INSERT INTO scale_cache
	SELECT c.* FROM auth_private.token_cache AS c JOIN scale_users AS u ON u.id = c.user_id;
	DELETE FROM auth_private.token_cache AS c USING scale_users AS u WHERE u.id = c.user_id;
	DELETE FROM auth_private.sessions AS s USING scale_users AS u WHERE u.id = s.user_id;
$$;

-- The sessions of some accounts and their rows in the cache, each of them as one
-- that was made by a sign-in, in no order, and the callers' among them. Of
-- `accounts` in all, which have `sessions`.
CREATE PROCEDURE scale_sessions(first int, last int, accounts bigint, sessions bigint) LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('WITH added AS MATERIALIZED (
			SELECT u.id AS user_id, s.id, s.id AS session_id, gen_random_uuid() AS jti
			FROM scale_users AS u, LATERAL (SELECT gen_random_uuid() AS id
				FROM generate_series((u.i - 1) * $4 / $3 + 1, u.i * $4 / $3)) AS s
			WHERE u.i BETWEEN $1 AND $2
		), with_session AS (INSERT INTO auth_private.sessions SELECT * FROM (%s
			UNION ALL SELECT k.* FROM scale_sessions AS k JOIN scale_users AS u ON u.id = k.user_id
			WHERE u.i BETWEEN $1 AND $2) AS all_of_them ORDER BY random())
		INSERT INTO auth_private.token_cache SELECT * FROM (%s
			UNION ALL SELECT k.* FROM scale_cache AS k JOIN scale_users AS u ON u.id = k.user_id
			WHERE u.i BETWEEN $1 AND $2) AS all_of_them ORDER BY random()',
		scale_rows('auth_private.sessions', 'user_id', 'user_id', 'id', 'jti'),
		scale_rows('auth_private.token_cache', 'user_id', 'user_id', 'session_id', 'jti'))
	USING first, last, accounts, sessions;
END
$$;
