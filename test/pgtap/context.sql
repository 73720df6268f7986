-- Who is calling: auth.authenticate, auth.check_request, auth.verify and the
-- helpers, from each of the three sources of a context.
--
-- A context ends with its transaction, and a revocation that another
-- transaction commits must be seen: this file commits, with addresses and a
-- role of its own, and takes them away at the end.
\ir helper/common.psql

SELECT plan(209);

-- An application may cast it to json: '' would fail where NULL doesn't.
SELECT is(current_setting('request.headers', true), NULL, 'a session that has not used the context reads NULL from request.headers');
SELECT auth.uid() \g /dev/null
SELECT is(current_setting('request.headers', true), '', 'and afterwards an empty text');

SELECT 'pgtap_app_' || :'run' AS app \gset
CREATE ROLE :"app";
SELECT pg_temp.account(pg_temp.email('Ada')) AS ada \gset
SELECT pg_temp.account(pg_temp.email('bob')) AS bob \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS a_bob, session_id AS s_bob FROM pg_temp.signin(pg_temp.email('bob')) \gset

-- The five helpers at once, called as an ordinary role.
SET pgtap.app = :'app';
CREATE FUNCTION pg_temp.who() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM set_config('role', current_setting('pgtap.app'), true);
	answer := concat_ws(' ', auth.uid(), auth.session_id(), auth.role(), auth.email(), auth.jwt() ->> 'sub');
	PERFORM set_config('role', 'none', true);
	RETURN answer;
END
$$;
CREATE FUNCTION pg_temp.headers(bearer text, scheme text DEFAULT 'Bearer ') RETURNS text LANGUAGE sql AS $$
	SELECT set_config('request.headers', json_build_object('authorization', scheme || bearer)::text, true)
$$;
SELECT concat_ws(' ', :'ada', :'s', 'authenticated', pg_temp.email('Ada'), :'ada') AS as_ada,
	concat_ws(' ', :'bob', :'s_bob', 'authenticated', pg_temp.email('bob'), :'bob') AS as_bob \gset

-- ---- none ----

SELECT is(pg_temp.who(), '', 'without a context the helpers answer NULL');
SELECT lives_ok('SELECT auth.check_request()', 'check_request is silent where there is no token');
SELECT pg_temp.raises(call, 'not_authenticated', 'but this needs one: ' || call)
FROM unnest(ARRAY['SELECT auth.account()', 'SELECT * FROM auth.sessions()', 'SELECT auth.logout()', 'SELECT auth.logout_all()',
	'SELECT auth.update_info(''{}'')', 'SELECT auth.change_password(''a password'', ''another password'')']) AS call;

-- ---- auth.authenticate ----

BEGIN;
SELECT is(auth.authenticate(:'a'), :'ada', 'authenticate answers the user');
SELECT is(pg_temp.who(), :'as_ada', 'and the helpers have it from then on');
SELECT is(auth.jwt(), pg_temp.claims(:'a'), 'jwt() is all claims');
SELECT is((auth.account()).id, :'ada', 'so has account()');
SELECT lives_ok('SELECT auth.check_request()', 'check_request finds nothing wrong');
SELECT is(auth.authenticate(:'a_bob'), :'bob', 'another token');
SELECT is(pg_temp.who(), :'as_bob', 'takes its place');
COMMIT;
SELECT is(pg_temp.who(), '', 'G10: the context ends with the transaction, by COMMIT');
BEGIN;
SELECT auth.authenticate(:'a') \g /dev/null
ROLLBACK;
SELECT is(pg_temp.who(), '', 'G10: or by ROLLBACK');
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is(pg_temp.who(), '', 'G10: or with its statement, outside a transaction block');

BEGIN;
SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises('SELECT auth.authenticate(''garbage'')', 'invalid_token', 'a bad token is refused');
SELECT is(pg_temp.who(), :'as_ada', 'and leaves no context of its own');
SAVEPOINT one;
SELECT auth.authenticate(:'a_bob') \g /dev/null
SELECT is(pg_temp.who(), :'as_bob', 'a context of a subtransaction');
ROLLBACK TO one;
SELECT is(pg_temp.who(), :'as_ada', 'is rolled back with it');
SAVEPOINT two;
SELECT auth.authenticate(:'a_bob') \g /dev/null
RELEASE two;
SELECT is(pg_temp.who(), :'as_bob', 'or stays when that is released');
RESET ALL;
SELECT is(auth.uid(), NULL, 'G10: RESET ALL empties the context');
ROLLBACK;

BEGIN;
SELECT auth.authenticate(:'a') \g /dev/null
SET LOCAL ROLE :"app";
SELECT auth.uid() AS uid \gset
RESET ROLE;
SELECT is(:'uid', :'ada'::text, 'a change of role changes no context');
SELECT is(pg_temp.failure(format('SET LOCAL ROLE %I; SET LOCAL auth_session.context_token = %L', :'app', :'a_bob')) ->> 'sqlstate',
	'42501', 'an ordinary role can''t set the context past authenticate');
SELECT is(pg_temp.failure(format('SET LOCAL ROLE %I; SHOW auth_session.context_token', :'app')) ->> 'sqlstate',
	'42501', 'G3: nor read the token from it');
SELECT is(pg_temp.failure(format('SET LOCAL ROLE %I; SELECT current_setting(%L)', :'app', 'auth_session.context_token')) ->> 'sqlstate',
	'42501', 'G3: in whatever way');
SELECT is((SELECT count(*) FROM pg_settings WHERE strpos(setting, :'a') > 0), 0::bigint, 'G3: it is not in pg_settings');
ROLLBACK;

-- ---- the bearer token of request.headers ----

BEGIN;
SELECT pg_temp.headers(:'a') \g /dev/null
SELECT is(pg_temp.who(), :'as_ada', 'a bearer token in request.headers is a context');
SELECT lives_ok('SELECT auth.check_request()', 'with which check_request is content');
SELECT pg_temp.headers(:'a_bob') \g /dev/null
SELECT is(pg_temp.who(), :'as_bob', 'it changes with the setting');
SAVEPOINT headers;
SELECT pg_temp.headers(:'a') \g /dev/null
ROLLBACK TO headers;
SELECT is(pg_temp.who(), :'as_bob', 'and with a rollback of it');
ROLLBACK;
SELECT is(pg_temp.who(), '', 'G10: and ends with the transaction');
SELECT lives_ok('SELECT auth.check_request()', 'G10: an empty setting is none');

CREATE FUNCTION pg_temp.who_with(bearer text, scheme text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.headers(bearer, scheme);
	RETURN pg_temp.who();
END
$$;
CREATE FUNCTION pg_temp.who_with_headers(value text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', value, true);
	RETURN pg_temp.who();
END
$$;
SELECT is(pg_temp.who_with(:'a', scheme), :'as_ada', 'the scheme of a bearer token may be spelt "' || scheme || '"')
FROM unnest(ARRAY['bearer ', 'BEARER ', 'bEARER  ', ' Bearer ']) AS scheme;
SELECT is(pg_temp.who_with(:'a', scheme), '', 'but not "' || scheme || '"')
FROM unnest(ARRAY['', 'Bearer', 'Basic ', 'Bearer x ']) AS scheme;

SELECT is(pg_temp.who_with_headers(value), '', 'the helpers are silent about headers that are ' || what)
FROM (VALUES ('{', 'no JSON'), ('[]', 'no object'), ('null', 'null'), ('{"authorization": null}', 'without a value'), (repeat('[', 100000), 'endless'),
	('{"authorization": "Bearer ' || repeat('a', 1048576) || '"}', 'of a megabyte'), (E'{"authorization": "Bearer \\u0000"}', 'with a zero character')) AS h (value, what);
CREATE FUNCTION pg_temp.check_with(setting text, value text, statement text DEFAULT 'SELECT auth.check_request()') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config(setting, value, true);
	RETURN coalesce(pg_temp.failure(statement) ->> 'detail', 'silent');
END
$$;
SELECT is(pg_temp.check_with('request.headers', value), expected, 'check_request with headers that are ' || what)
FROM (VALUES
	('', 'silent', 'empty'), ('{}', 'silent', 'no headers'), ('{"accept": "*/*"}', 'silent', 'others'),
	('{"authorization": "Basic YTpi"}', 'silent', 'of another scheme'), ('{"authorization": 1}', 'silent', 'of another type'),
	('{"authorization": "Bearer "}', 'invalid_token', 'an empty bearer'),
	('{"authorization": "Bearer garbage"}', 'invalid_token', 'a garbage bearer'),
	('{', 'invalid_token', 'no JSON'), ('[]', 'invalid_token', 'no object'),
	('{"authorization": "Bearer ' || :'r' || '"}', 'invalid_token', 'a refresh token (E11)'),
	('{"authorization": "Bearer ' || left(:'a', -4) || 'AAAA"}', 'invalid_token', 'a forged token')
) AS h (value, expected, what);
SELECT is(pg_temp.check_with('request.headers', '{"authorization": "Bearer garbage"}', 'SELECT auth.account()'), 'invalid_token',
	'and account() says so, too');

-- ---- what is present decides, and a bad one is never skipped ----

BEGIN;
SELECT pg_temp.headers(:'a_bob') \g /dev/null
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is(pg_temp.who(), :'as_ada', 'authenticate comes before the headers');
SELECT auth.logout() \g /dev/null
SELECT is(pg_temp.who(), '', 'and is not skipped when its token is dead');
SELECT pg_temp.raises('SELECT auth.check_request()', 'session_revoked', 'which check_request says');
ROLLBACK;

-- ---- request.jwt.claims ----

SELECT pg_temp.claims(:'a')::text AS claims_ada, pg_temp.claims(:'a_bob')::text AS claims_bob \gset
BEGIN;
SELECT set_config('request.jwt.claims', :'claims_ada', true) \g /dev/null
SELECT is(pg_temp.who(), '', 'claims without a signature count for nothing');
SELECT pg_temp.raises('SELECT auth.check_request()', 'invalid_token', 'H5: and check_request passes nobody whom nothing vouches for');
SET LOCAL auth_session.trusted_claims_roles = 'somebody, else';
SELECT is(pg_temp.who(), '', 'also where other session users are trusted');
SELECT format('someone, %I', session_user) AS trusted \gset
SET LOCAL auth_session.trusted_claims_roles = :'trusted';
SELECT is(pg_temp.who(), :'as_ada', 'they count of a session user who is trusted with them');
SELECT is(auth.jwt(), :'claims_ada'::jsonb, 'as they are');
SELECT lives_ok('SELECT auth.check_request()', 'and are checked');
SELECT pg_temp.headers('garbage') \g /dev/null
SELECT is(pg_temp.who(), '', 'a bad bearer token is not skipped for them');
SELECT pg_temp.headers(:'a_bob') \g /dev/null
SELECT is(pg_temp.who(), :'as_bob', 'a good one comes before them');
SELECT pg_temp.raises('SELECT auth.check_request()', 'invalid_token', 'but check_request refuses claims of another token than the bearer');
SELECT set_config('request.jwt.claims', :'claims_bob', true) \g /dev/null
SELECT lives_ok('SELECT auth.check_request()', 'and takes those of the same');
SELECT set_config('request.headers', '{}', true) \g /dev/null
SELECT is(pg_temp.check_with('request.jwt.claims', value), expected, 'trusted claims that are ' || what)
FROM (VALUES
	('', 'silent', 'empty'),
	('{"role": "anon"}', 'silent', 'those of nobody'),
	('{', 'invalid_token', 'no JSON'),
	((:'claims_ada'::jsonb - 'jti')::text, 'invalid_token', 'without jti'),
	((:'claims_ada'::jsonb - 'session_id')::text, 'invalid_token', 'without session_id'),
	((:'claims_ada'::jsonb - 'sub')::text, 'invalid_token', 'without sub'),
	((:'claims_ada'::jsonb || jsonb_build_object('jti', gen_random_uuid()))::text, 'token_expired', 'of another jti'),
	((:'claims_ada'::jsonb || jsonb_build_object('session_id', gen_random_uuid()))::text, 'session_revoked', 'of no session'),
	((:'claims_ada'::jsonb || jsonb_build_object('sub', :'bob'))::text, 'session_revoked', 'of another user''s session'),
	((:'claims_ada'::jsonb || '{"exp": 1}')::text, 'token_expired', 'expired'),
	((:'claims_ada'::jsonb || '{"iss": "another"}')::text, 'invalid_token', 'of another issuer'),
	((:'claims_ada'::jsonb || '{"aud": "another"}')::text, 'invalid_token', 'for another audience')
) AS c (value, expected, what);
ROLLBACK;
BEGIN;
SELECT set_config('request.jwt.claims', :'claims_ada', true), pg_temp.headers(:'a_bob') \g /dev/null
SELECT pg_temp.raises('SELECT auth.check_request()', 'invalid_token', 'also where claims are not trusted, they must be the bearer''s');
SELECT set_config('request.jwt.claims', '{"role": "anon"}', true) \g /dev/null
SELECT lives_ok('SELECT auth.check_request()', 'claims without a jti tell nothing');
ROLLBACK;

-- PostgREST took role and claims from a token: what came along must be that token.
CREATE FUNCTION pg_temp.check_both(headers text, claims text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('request.headers', headers, true), set_config('request.jwt.claims', claims, true);
	RETURN coalesce(pg_temp.failure('SELECT auth.check_request()') ->> 'detail', 'silent');
END
$$;
SELECT is(pg_temp.check_both(headers, :'claims_ada'), 'invalid_token', 'H5: claims that name a session, and ' || what)
FROM (VALUES ('', 'no headers'), ('{}', 'no Authorization'), ('{"authorization": ""}', 'an empty one'), ('{"authorization": "Basic YTpi"}', 'another scheme'),
	('{"authorization": "Token x"}', 'the scheme of keys'), ('{"Authorization": []}', 'an empty array'), ('{"Authorization": ["Basic YTpi"]}', 'another scheme in an array'),
	('{"Authorization": ["Bearer ' || :'a' || '", "Basic YTpi"]}', 'another scheme in the second header'), ('{"authorization": "Bearer ' || :'a_bob' || '"}', 'another user''s token')) AS h (headers, what);
SELECT is(pg_temp.check_both('{"authorization": "Bearer ' || :'a' || '"}', claims), expected, 'H5: a live token, and claims ' || what)
FROM (VALUES (:'claims_ada', 'silent', 'of it'), ('{"role": "anon"}', 'silent', 'of nobody'), ('{}', 'silent', 'that are empty'),
	((:'claims_ada'::jsonb - 'jti')::text, 'invalid_token', 'without its jti'), ((:'claims_ada'::jsonb || '{"jti": "x"}')::text, 'invalid_token', 'with a jti that is no UUID'),
	((:'claims_ada'::jsonb || '{"jti": 1}')::text, 'invalid_token', 'with a jti that is no text'),
	((:'claims_ada'::jsonb || jsonb_build_object('sub', :'bob'))::text, 'invalid_token', 'with another sub'),
	((:'claims_ada'::jsonb || jsonb_build_object('session_id', :'s_bob'))::text, 'invalid_token', 'with another session_id'),
	('{"jti": null, "sub": null, "session_id": null}', 'silent', 'whose names are null'), ('{"sub"', 'invalid_token', 'that can''t be read')) AS c (claims, expected, what);
SELECT is(pg_temp.check_both('{}', claims), expected, 'H5: no token, and claims with ' || what)
FROM (VALUES ('{"role": "anon"}', 'silent', 'a role'), ('{"role": "anon", "exp": 1, "iss": "x", "aud": "y"}', 'silent', 'nothing that names'), ('{"sub": "service"}', 'invalid_token', 'a sub'),
	('{"session_id": "x"}', 'invalid_token', 'a session_id'), ('{"jti": "x"}', 'invalid_token', 'a jti'), ('{"sub": {}}', 'invalid_token', 'a sub of another type'),
	('{"\u0073ub": "x"}', 'invalid_token', 'an escaped name')) AS c (claims, expected, what);

-- ---- set for the session ----

-- A pool's next client: everything here is a transaction of its own.
SELECT set_config('request.headers', json_build_object('authorization', 'Bearer ' || :'a')::text, false) \g /dev/null
SELECT is(pg_temp.who(), '', 'G10: headers set for the session are the next transaction''s of nobody');
SELECT lives_ok('SELECT auth.check_request()', 'G10: and nothing to check');
BEGIN;
SELECT set_config('request.headers', current_setting('request.headers'), false) \g /dev/null
SELECT is(pg_temp.who(), :'as_ada', 'G10: they count in the transaction that sets them');
COMMIT;
BEGIN;
SELECT is(pg_temp.who(), '', 'G10: and no longer');
SAVEPOINT one;
SELECT pg_temp.headers(:'a_bob') \g /dev/null
SELECT is(pg_temp.who(), :'as_bob', 'G10: what is set in this one counts');
ROLLBACK TO one;
SELECT is(pg_temp.who(), '', 'G10: and rolled back it is nobody''s again, not the former client''s');
SAVEPOINT two;
SELECT set_config('request.headers', json_build_object('authorization', 'Bearer ' || :'a_bob')::text, false) \g /dev/null
RELEASE two;
SELECT is(pg_temp.who(), :'as_bob', 'G10: or kept with its savepoint');
ROLLBACK;
SELECT is(pg_temp.who(), '', 'G10: but not beyond the transaction');
-- PostgreSQL undoes the setting of a function after it.
CREATE FUNCTION pg_temp.who_within() RETURNS text LANGUAGE plpgsql SET request.headers = '{}' AS $$
BEGIN
	PERFORM set_config('request.headers', json_build_object('authorization', 'Bearer ' || current_setting('pgtap.bearer'))::text, true);
	RETURN pg_temp.who();
END
$$;
SELECT set_config('pgtap.bearer', :'a_bob', false) \g /dev/null
BEGIN;
SELECT is(pg_temp.who_within(), :'as_bob', 'G10: a function that sets headers has them');
SELECT is(pg_temp.who(), '', 'G10: after it they are the former client''s, and nobody''s');
SELECT pg_temp.headers(:'a') \g /dev/null
SELECT is(pg_temp.who_within() || ', ' || pg_temp.who(), :'as_bob' || ', ' || :'as_ada', 'G10: or this transaction''s own');
ROLLBACK;
BEGIN;
RESET request.headers;
SELECT is(pg_temp.who(), '', 'G10: a RESET brings no caller');
ROLLBACK;
SELECT set_config('request.jwt.claims', :'claims_ada', false) \g /dev/null
SELECT lives_ok('SELECT auth.check_request()', 'G10: claims set for the session are nobody''s, too');
BEGIN;
SET LOCAL auth_session.trusted_claims_roles = :'trusted';
SELECT is(pg_temp.who(), '', 'G10: also where claims are trusted');
SELECT set_config('request.jwt.claims', :'claims_ada', false) \g /dev/null
SELECT is(pg_temp.who(), :'as_ada', 'G10: which count in the transaction that sets them');
COMMIT;
RESET request.jwt.claims;

-- ---- verify ----

SELECT is(auth.verify(:'a'), pg_temp.claims(:'a'), 'verify answers the claims');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', bad), expected, 'verify refuses ' || what)
FROM (VALUES (NULL, 'invalid_request', 'NULL'), ('', 'invalid_token', 'an empty token'), ('garbage', 'invalid_token', 'garbage'),
	(:'r', 'invalid_token', 'a refresh token (E11)'), (left(:'a', -4) || 'AAAA', 'invalid_token', 'a forged one'),
	(' ' || :'a', 'invalid_token', 'one after a space'), (:'a' || E'\n', 'invalid_token', 'one before a line feed'),
	(repeat('a', 1048576), 'invalid_token', 'a megabyte')) AS t (bad, expected, what);
SELECT pg_temp.raises('SELECT auth.authenticate(NULL)', 'invalid_request', 'authenticate needs a token', 'access_token');
BEGIN;
SET LOCAL auth_session.issuer = 'another';
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'invalid_token', 'a token of another issuer is refused');
ROLLBACK;

-- ---- expiry, in one transaction ----

BEGIN;
SET LOCAL auth_session.access_token_ttl = 3;
SELECT access_token AS short, refresh_token AS short_r, expires_at AS short_end FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.authenticate(:'short') \g /dev/null
PREPARE verified AS SELECT auth.verify($1);
SELECT isnt(auth.uid(), NULL, 'a token is good before its end');
SELECT pg_temp.wait_until(:'short_end') \g /dev/null
SELECT is(pg_temp.who(), '', 'F15: and no context after it, in the same transaction');
SELECT pg_temp.raises(format('EXECUTE verified(%L)', :'short'), 'token_expired', 'F15: nor good in a prepared statement');
SELECT pg_temp.raises('SELECT auth.check_request()', 'token_expired', 'check_request says that it has expired', 'Renew');
SELECT auth.authenticate(access_token) FROM auth.renew(:'short_r') \g /dev/null
SELECT is(auth.uid(), :'ada', 'a renewal mends it');
ROLLBACK;
BEGIN;
-- A lost answer, asked for again within the grace, when the token in it has expired.
SET LOCAL auth_session.access_token_ttl = 1;
SELECT refresh_token AS once FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT access_token AS first, expires_at AS first_end FROM auth.renew(:'once') \gset
SELECT pg_temp.wait_until(:'first_end') \g /dev/null
SELECT is((auth.renew(:'once')).access_token, :'first', 'an expired token is signed again where it is the answer that was lost');
ROLLBACK;
DEALLOCATE verified;

-- ---- revocation that another transaction commits, at every isolation level ----

-- The recorder is the other transaction: it ends the session of a reused token.
CREATE FUNCTION pg_temp.grandparent(address text) RETURNS auth.tokens LANGUAGE plpgsql AS $$
DECLARE
	first auth.tokens := pg_temp.signin(address);
	last auth.tokens := auth.renew((auth.renew(first.refresh_token)).refresh_token);
BEGIN
	last.refresh_token := first.refresh_token;
	RETURN last;
END
$$;
SELECT access_token AS a_rc, refresh_token AS r_rc FROM pg_temp.grandparent(pg_temp.email('ada')) \gset
SELECT access_token AS a_rr, refresh_token AS r_rr FROM pg_temp.grandparent(pg_temp.email('ada')) \gset
SELECT access_token AS a_s, refresh_token AS r_s FROM pg_temp.grandparent(pg_temp.email('ada')) \gset

BEGIN ISOLATION LEVEL READ COMMITTED;
SELECT auth.authenticate(:'a_rc') \g /dev/null
SELECT is(auth.uid(), :'ada', 'D5: a context at READ COMMITTED');
SELECT pg_temp.failure(format('SELECT auth.renew(%L)', :'r_rc')) \g /dev/null
SELECT pg_temp.comes_true('SELECT auth.uid() IS NULL', 'D5: is over once another transaction has revoked it');
SELECT pg_temp.raises('SELECT auth.check_request()', 'session_revoked', 'D5: and check_request says why');
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT auth.authenticate(:'a_rr') \g /dev/null
SELECT is(auth.uid(), :'ada', 'D5: a context at REPEATABLE READ');
SELECT pg_temp.failure(format('SELECT auth.renew(%L)', :'r_rr')) \g /dev/null
SELECT is(auth.uid(), NULL, 'D5: is over as soon, whatever the transaction''s snapshot shows');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE id = (pg_temp.claims(:'a_rr') ->> 'session_id')::uuid), 1::bigint,
	'which still shows the session');
SELECT pg_temp.raises('SELECT auth.check_request()', 'session_revoked', 'D5: and check_request says why');
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT auth.authenticate(:'a_s') \g /dev/null
SELECT is(auth.uid(), :'ada', 'D5: a context at SERIALIZABLE');
SELECT pg_temp.failure(format('SELECT auth.renew(%L)', :'r_s')) \g /dev/null
SELECT is(auth.uid(), NULL, 'D5: is over as soon');
ROLLBACK;

-- ---- read-only transactions, and the cache ----

BEGIN READ ONLY;
SELECT is(auth.authenticate(:'a'), :'ada', 'D8: authenticate works in a read-only transaction');
SELECT is(auth.uid(), :'ada', 'D8: and so do the helpers');
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'D8: and verify');
SELECT lives_ok('SELECT auth.check_request()', 'D8: and check_request');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a_rr'), 'session_revoked', 'D8: which refuse what is revoked');
ROLLBACK;

BEGIN;
TRUNCATE auth_private.token_cache;
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'D7: with an empty cache a live token is good');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a_rr'), 'session_revoked', 'D7: a revoked one is not');
SELECT is((SELECT count(*) FROM auth_private.token_cache), 0::bigint, 'D7: verifying fills nothing: a refill could race with a logout');
SELECT access_token AS a_new FROM auth.renew(:'r') \gset
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a'), 'token_expired', 'D7: a token that was replaced is out of date');
SELECT is(auth.verify(:'a_new') ->> 'sub', :'ada', 'D7: its successor is good, cached again');
SELECT is(auth.verify(:'a_bob') ->> 'sub', :'bob', 'D7: a cache that is half full denies nobody');
UPDATE auth_private.token_cache SET jti = gen_random_uuid();
SELECT is(auth.verify(:'a_new') ->> 'sub', :'ada', 'D7: nor does one that is out of date');
SELECT auth.authenticate(:'a_new') \g /dev/null
SELECT auth.logout() \g /dev/null
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a_new'), 'session_revoked', 'D7: and a logout ends what it must');
ROLLBACK;
BEGIN;
TRUNCATE auth_private.token_cache;
SET TRANSACTION READ ONLY;
SELECT is(auth.authenticate(:'a'), :'ada', 'D8: also read-only with an empty cache');
SELECT is(auth.uid(), :'ada', 'D8: the helpers, too');
ROLLBACK;

-- ---- what is returned outlives the transaction (H6) ----

-- An argument of CALL is not copied, and lives on behind the COMMITs within.
CREATE TEMP TABLE returned (uid uuid, session_id uuid, role text, email text, jwt jsonb, verified jsonb, authenticated uuid, account auth.account, sessions bigint);
CREATE PROCEDURE pg_temp.keeps(authenticated uuid, uid uuid, session_id uuid, role text, email text, jwt jsonb, verified jsonb, account auth.account, token text) LANGUAGE plpgsql AS $$
BEGIN
	FOR n IN 1 .. 20 LOOP
		COMMIT;
		-- Memory of the transaction's size goes to others.
		PERFORM repeat(chr(96 + n % 26), 16 * n) FROM generate_series(1, 200);
		PERFORM auth.authenticate(token);
		PERFORM auth.uid(), auth.jwt();
		BEGIN
			PERFORM set_config('request.headers', '{"authorization": "Bearer x"}', true);
			PERFORM auth.uid();
			RAISE EXCEPTION 'back';
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
	INSERT INTO returned VALUES (uid, session_id, role, email, jwt, verified, authenticated, account);
END
$$;
CALL pg_temp.keeps(auth.authenticate(:'a'), auth.uid(), auth.session_id(), auth.role(), auth.email(), auth.jwt(), auth.verify(:'a'), auth.account(), :'a_bob');
SELECT is(uid, :'ada'::uuid, 'H6: uid() survives a COMMIT') FROM returned;
SELECT is(session_id, :'s'::uuid, 'H6: session_id()') FROM returned;
SELECT is(role || ' ' || email, 'authenticated ' || pg_temp.email('Ada'), 'H6: role() and email()') FROM returned;
SELECT is(jwt, :'claims_ada'::jsonb, 'H6: jwt()') FROM returned;
SELECT is(verified, :'claims_ada'::jsonb, 'H6: verify()') FROM returned;
SELECT is(authenticated, :'ada'::uuid, 'H6: authenticate()') FROM returned;
SELECT is((account).id, :'ada'::uuid, 'H6: account()') FROM returned;

-- The same of another caller in between, within one statement.
BEGIN;
CREATE FUNCTION pg_temp.changes(uid uuid, session_id uuid, jwt jsonb, token text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM auth.authenticate(token);
	PERFORM auth.uid(), auth.jwt();
	RETURN concat_ws(' ', uid, session_id, jwt ->> 'sub', auth.uid());
END
$$;
SELECT auth.authenticate(:'a') \g /dev/null
SELECT is(pg_temp.changes(auth.uid(), auth.session_id(), auth.jwt(), :'a_bob'), concat_ws(' ', :'ada', :'s', :'ada', :'bob'), 'H6: what is in hand is not the next caller''s');
ROLLBACK;

-- ---- the memory of a caller ----

CREATE FUNCTION pg_temp.held() RETURNS bigint LANGUAGE sql AS $$
	SELECT sum(total_bytes) FROM pg_backend_memory_contexts WHERE name IN ('TopTransactionContext', 'CurTransactionContext') OR name LIKE 'auth_session%'
$$;
BEGIN;
SELECT auth.authenticate(:'a') \g /dev/null
DO $$ BEGIN PERFORM auth.uid(), pg_temp.held(); END $$;
SELECT pg_temp.held() AS before \gset
SELECT count(auth.authenticate(CASE n % 2 WHEN 0 THEN :'a' ELSE :'a_bob' END)), count(auth.uid()) FROM generate_series(1, 10000) AS n \g /dev/null
SELECT cmp_ok(pg_temp.held() - :before, '<', 100000::bigint, '10,000 contexts of one transaction are as large as one');
SELECT pg_temp.held() AS before \gset
SELECT count(CASE n % 2 WHEN 0 THEN set_config('request.headers', '{"x": 1}', true) ELSE pg_temp.headers(:'a') END), count(auth.uid()) FROM generate_series(1, 10000) AS n \g /dev/null
SELECT cmp_ok(pg_temp.held() - :before, '<', 100000::bigint, 'and so are 10,000 headers');
DO $$ BEGIN FOR n IN 1 .. 2000 LOOP PERFORM auth.uid(); BEGIN PERFORM auth.authenticate('x'); EXCEPTION WHEN SQLSTATE 'PT401' THEN NULL; END; END LOOP; END $$;
SELECT cmp_ok(pg_temp.held() - :before, '<', 100000::bigint, 'and so are those that are refused');
ROLLBACK;

-- A place of a kept payload is taken over by others' (payload.c); what a context says stays.
BEGIN;
SELECT auth.authenticate(:'a') \g /dev/null
SELECT auth.jwt() \g /dev/null
CREATE FUNCTION pg_temp.verify_others(token text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	next auth.tokens;
	wrong bigint := 0;
BEGIN
	FOR n IN 1 .. 600 LOOP
		next := auth.renew(token);
		token := next.refresh_token;
		wrong := wrong + (auth.verify(next.access_token) IS DISTINCT FROM pg_temp.claims(next.access_token))::int;
	END LOOP;
	RETURN wrong;
END
$$;
CREATE FUNCTION pg_temp.after_others(jwt jsonb, token text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.verify_others(token);
	RETURN jwt;
END
$$;
SELECT is(pg_temp.after_others(auth.jwt(), refresh_token), :'claims_ada'::jsonb, 'H6: nor does what jwt() returned change') FROM pg_temp.signin(pg_temp.email('ada'));
SELECT is(pg_temp.verify_others(refresh_token), 0::bigint, '600 other tokens say what they say') FROM pg_temp.signin(pg_temp.email('ada'));
SELECT is(auth.jwt(), :'claims_ada'::jsonb, 'and jwt() is still the caller''s');
SELECT is(auth.email(), pg_temp.email('Ada'), 'and so is email()');
ROLLBACK;

-- Seen by the very statement that ends a session.
BEGIN;
CREATE FUNCTION pg_temp.leaves(token text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text := '';
BEGIN
	PERFORM auth.authenticate(token);
	answer := answer || (auth.uid() IS NOT NULL);
	PERFORM auth.logout();
	RETURN answer || ' ' || (auth.uid() IS NOT NULL);
END
$$;
SELECT is(pg_temp.leaves(:'a_bob'), 'true false', 'D5: within one statement a logout is seen');
ROLLBACK;

-- ---- a key has one algorithm, and never the header's (F3) ----

BEGIN;
\ir helper/forge.psql
SELECT auth_admin.jwt_secret()::jsonb ->> 'kid' AS kid \gset
SELECT is(auth.verify(pg_temp.forged(jsonb_build_object('alg', 'HS256', 'kid', :'kid'), :'a')) ->> 'sub', :'ada', 'a control: the key itself signs');
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', pg_temp.forged(header || jsonb_build_object('kid', :'kid'), :'a')), 'invalid_token', 'F3: but not under ' || header::text)
FROM unnest(ARRAY['{"alg": "HS512"}', '{"alg": "HS384"}', '{"alg": "ES256"}', '{"alg": "none"}', '{"alg": "HS256", "typ": "at+jwt"}', '{"alg": "HS256", "typ": 1}', '{}']::jsonb[]) AS header;
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', pg_temp.forged('{"alg": "HS256", "kid": "another"}', :'a')), 'invalid_token', 'F5: nor under another kid');
SELECT is(auth.verify(pg_temp.forged('{"alg": "HS256"}', :'a')) ->> 'sub', :'ada', 'without a kid the algorithm''s keys are tried');
ROLLBACK;

-- ---- row-level security ----

BEGIN;
CREATE TABLE public.pgtap_notes (owner uuid, n integer);
INSERT INTO public.pgtap_notes SELECT CASE n % 4 WHEN 0 THEN :'bob'::uuid ELSE :'ada'::uuid END, n FROM generate_series(1, 20000) AS n;
ANALYZE public.pgtap_notes;
ALTER TABLE public.pgtap_notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.pgtap_notes USING (owner = auth.uid());
GRANT SELECT ON public.pgtap_notes TO :"app";
CREATE FUNCTION pg_temp.notes() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	answer bigint;
BEGIN
	PERFORM set_config('role', current_setting('pgtap.app'), true);
	EXECUTE 'SELECT count(*) FROM public.pgtap_notes' INTO answer;
	PERFORM set_config('role', 'none', true);
	RETURN answer;
END
$$;
SELECT is(pg_temp.notes(), 0::bigint, 'a policy with uid() shows nothing without a context');
SELECT pg_temp.headers(:'a') \g /dev/null
SELECT is(pg_temp.notes(), 15000::bigint, 'and with one what is the user''s');
SELECT pg_temp.headers(:'a_bob') \g /dev/null
SELECT is(pg_temp.notes(), 5000::bigint, 'G10: another user sees its own, by the same plan');
SELECT set_config('request.jwt.claims', :'claims_ada', true), set_config('request.headers', '', true) \g /dev/null
SELECT is(pg_temp.notes(), 0::bigint, 'forged claims show nothing');
SET LOCAL parallel_setup_cost = 0;
SET LOCAL parallel_tuple_cost = 0;
SET LOCAL min_parallel_table_scan_size = 0;
SELECT pg_temp.headers(:'a') \g /dev/null
CREATE FUNCTION pg_temp.workers() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
	line text;
	found boolean := false;
BEGIN
	PERFORM set_config('role', current_setting('pgtap.app'), true);
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT count(*) FROM public.pgtap_notes' LOOP
		found := found OR line LIKE '%Workers Planned%';
	END LOOP;
	PERFORM set_config('role', 'none', true);
	RETURN found;
END
$$;
SELECT ok(pg_temp.workers(), 'a policy with uid() lets a scan be parallel');
SELECT is(pg_temp.notes(), 15000::bigint, 'and workers see what the leader sees');
SELECT auth.authenticate(:'a_bob') \g /dev/null
SELECT is(pg_temp.notes(), 5000::bigint, 'also a context by authenticate');
RESET auth_session.context_token;
SELECT auth.logout() \g /dev/null
SELECT is(pg_temp.notes(), 0::bigint, 'D5: after a logout nothing is shown, at once');
ROLLBACK;

-- ---- users that are gone ----

BEGIN;
DELETE FROM auth_private.accounts WHERE id = :'bob';
SELECT pg_temp.raises(format('SELECT auth.verify(%L)', :'a_bob'), 'session_revoked', 'B11: the token of a deleted user is refused');
ROLLBACK;

SELECT is(pg_temp.who(), '', 'G10: nothing of all that is left in the session');

SELECT * FROM finish();
SELECT pg_temp.clean_up() \g /dev/null
DROP ROLE :"app";
