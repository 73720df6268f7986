-- The sign-up hook: what it is asked, what its answer does, as whom it runs, and
-- what a caller hears of its errors.

BEGIN;
SELECT plan(36);

\set password '''correct horse battery staple'''

CREATE SCHEMA app;
CREATE ROLE hook_owner;
GRANT USAGE, CREATE ON SCHEMA app TO hook_owner;
CREATE TABLE app.asked (email text, phone text, info jsonb, asked_by text, path text);
GRANT ALL ON app.asked TO hook_owner;
CREATE TABLE app.closed ();

-- Makes the body the hook of the next sign-up.
CREATE FUNCTION pg_temp.hook(body text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('CREATE OR REPLACE FUNCTION app.hook(email text, phone text, info jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', body);
	ALTER FUNCTION app.hook(text, text, jsonb) OWNER TO hook_owner;
	PERFORM set_config('auth_session.signup_hook', 'app.hook', true);
END
$$;

CREATE FUNCTION pg_temp.kept(address text) RETURNS jsonb LANGUAGE sql AS
$$ SELECT info FROM auth.signup(address, 'correct horse battery staple', info => '{"name": "Ada"}') $$;

CREATE FUNCTION pg_temp.answer(address text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	PERFORM pg_temp.kept(address);
	RETURN 'ok';
EXCEPTION WHEN SQLSTATE 'PT403' OR SQLSTATE 'PT429' OR SQLSTATE 'PT422' OR SQLSTATE 'PT400' THEN
	GET STACKED DIAGNOSTICS answer = PG_EXCEPTION_DETAIL;
	RETURN answer;
END
$$;

SELECT is(pg_temp.kept('a@example.org'), '{"name": "Ada"}', 'without a hook the info is what was given');

-- What it is asked, and what its answer does.

SELECT pg_temp.hook($$ BEGIN INSERT INTO app.asked VALUES (email, phone, info, current_user, current_setting('search_path')); RETURN NULL; END $$);
SELECT is(pg_temp.kept('B.Lovelace@BÜCHER.Example'), '{"name": "Ada"}', 'NULL keeps the info');
SELECT results_eq('SELECT email, phone, info FROM app.asked',
	$$ VALUES ('b.lovelace@xn--bcher-kva.example', NULL::text, '{"name": "Ada"}'::jsonb) $$,
	'H1: it gets the address as it is compared, NULL for the one that was not given, and the info');
SELECT is((SELECT asked_by FROM app.asked), 'hook_owner', 'it runs as its own owner, not as auth_session_owner');
SELECT is((SELECT path FROM app.asked), 'pg_catalog, pg_temp', 'G2: under a pinned search_path');
SELECT is(current_user::text, 'postgres', 'and the caller is itself again');
SELECT is((SELECT email FROM auth_private.accounts WHERE info ->> 'name' = 'Ada' AND email LIKE 'B.%'),
	'B.Lovelace@BÜCHER.Example', 'mail goes to the address as it was typed');
SELECT auth.signup(password => :password, phone => '+436601234567');
SELECT is((SELECT count(*)::int FROM app.asked WHERE email IS NULL AND phone = '+436601234567'), 1, 'a phone, too');

SELECT pg_temp.hook($$ BEGIN RETURN info || '{"plan": "free"}'; END $$);
SELECT is(pg_temp.kept('c@example.org'), '{"name": "Ada", "plan": "free"}', 'what it returns is kept');
SELECT is((SELECT info FROM auth_private.accounts WHERE email = 'c@example.org'), '{"name": "Ada", "plan": "free"}', 'in the row');
SELECT pg_temp.hook($$ BEGIN RETURN '{}'; END $$);
SELECT is(pg_temp.kept('d@example.org'), '{}', 'also nothing');

-- Refusals.

SELECT pg_temp.hook($$ BEGIN INSERT INTO app.asked (email) VALUES ('trace'); RAISE EXCEPTION 'not from %', email; END $$);
SELECT is(pg_temp.answer('e@example.org'), 'signup_refused', 'an error that it raises refuses the sign-up');
SELECT is((SELECT count(*)::int FROM auth_private.accounts WHERE email = 'e@example.org'), 0, 'and nothing is left of it');
SELECT is((SELECT count(*)::int FROM app.asked WHERE email = 'trace'), 0, 'nor of what the hook wrote');
SELECT throws_ok($$SELECT auth.signup('e@example.org', 'correct horse battery staple')$$, 'PT403', 'sign-up is refused',
	'nothing of the hook''s message reaches the caller');
SELECT pg_temp.hook($$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'PT401', DETAIL = 'token_expired'; END $$);
SELECT is(pg_temp.answer('e@example.org'), 'signup_refused', 'whatever its SQLSTATE');
SELECT pg_temp.hook($$ BEGIN PERFORM 1 FROM app.closed; RETURN info; END $$);
SELECT is(pg_temp.answer('e@example.org'), 'signup_refused', 'its rights are its owner''s: a table that is closed to it is so for the hook');
CREATE FUNCTION pg_temp.answer_to(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	PERFORM pg_temp.hook(format('BEGIN RAISE EXCEPTION %L USING ERRCODE = %L; END', 'no', state));
	RETURN pg_temp.answer('e' || state || '@example.org');
END
$$;
SELECT is(pg_temp.answer_to(state), 'busy', state || ' is the server''s state and no word of the hook''s')
	FROM unnest(ARRAY['08006', '40001', '40P01', '53100', '53200', '55P03', '58030', 'XX000']) AS state;
SELECT pg_temp.hook($$ BEGIN SET LOCAL ROLE auth_session_owner; RETURN info; END $$);
SELECT is(pg_temp.answer('h3@example.org'), 'signup_refused', 'H3: it can become nobody else');

-- What is no info.

SELECT pg_temp.hook($$ BEGIN RETURN '[1]'; END $$);
SELECT is(pg_temp.answer('f@example.org'), 'busy', 'an answer that is no object is none');
SELECT pg_temp.hook($$ BEGIN RETURN jsonb_build_object('a', repeat('x', 17000)); END $$);
SELECT is(pg_temp.answer('f@example.org'), 'busy', 'nor is one that is too long');
SELECT pg_temp.hook($$ BEGIN RETURN '{"locale": "not a language"}'; END $$);
SELECT is(pg_temp.answer('f@example.org'), 'busy', 'nor a locale that is none');

-- Whom it is asked about: free and taken alike, and nobody who is refused before.

SELECT pg_temp.hook($$ BEGIN INSERT INTO app.asked (email) VALUES (email); RETURN info; END $$);
TRUNCATE app.asked;
SELECT pg_temp.answer('a@example.org') AS answer \gset
SELECT pg_temp.answer('a@example.org') AS answer \gset
SELECT pg_temp.answer('free@example.org') AS answer \gset
SELECT results_eq('SELECT email, count(*)::int FROM app.asked GROUP BY email ORDER BY email',
	$$ VALUES ('a@example.org', 2), ('free@example.org', 1) $$, 'B3: it is asked of a free address and of a taken one');
TRUNCATE app.asked;
SELECT is(pg_temp.answer('no address'), 'invalid_request', 'bad arguments are refused');
SELECT is((SELECT count(*)::int FROM app.asked), 0, 'before it is asked');

-- What it must be.

CREATE FUNCTION app.strict(email text, phone text, info jsonb) RETURNS jsonb LANGUAGE sql STRICT AS 'SELECT info';
CREATE FUNCTION app.other(email text, phone text, info jsonb) RETURNS text LANGUAGE sql AS 'SELECT email';
SELECT throws_like($$SET LOCAL auth_session.signup_hook = 'app.strict'$$, '%invalid value for parameter%',
	'one that is STRICT would not be asked, and can''t be set');
SELECT throws_like($$SET LOCAL auth_session.signup_hook = 'app.other'$$, '%invalid value for parameter%', 'nor one of another type');
SELECT throws_like($$SET LOCAL auth_session.signup_hook = 'app.missing'$$, '%invalid value for parameter%', 'nor one that is not there');
ALTER FUNCTION app.hook(text, text, jsonb) STRICT;
SELECT is(pg_temp.answer('g@example.org'), 'busy', 'one that has become STRICT refuses: nothing goes past it');

SELECT finish();
ROLLBACK;
