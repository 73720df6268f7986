-- B13: hostile text into every text argument of every function: documented
-- failures only, nothing of the input in them, nothing changed.
--
-- The functions are taken from the catalog, so that a new one is tried, too;
-- one whose arguments have no good value here fails the first test.
\ir helper/common.psql
\ir helper/totp.psql

BEGIN;
SELECT plan(15);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.signin_rate_per_account = 0;
-- Passwords that get as far as a hash: as cheap as can be.
SET LOCAL auth_session.argon2_memory = 7168;
SET LOCAL auth_session.argon2_iterations = 1;
SET LOCAL auth_session.code_attempts = 10;
SET LOCAL auth_session.passwordless = on;
SET LOCAL auth_session.api_keys = on;

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
SELECT access_token AS a, refresh_token AS r, session_id AS s FROM pg_temp.signin(pg_temp.email('ada')) \gset
SELECT auth.request_password_reset(pg_temp.email('ada')) \g /dev/null
SELECT pg_temp.link(pg_temp.email('ada'), 'password_reset') AS reset_link \gset
SELECT auth.request_signin_code(pg_temp.email('ada')) \g /dev/null
SELECT auth.signup(pg_temp.email('pending'), pg_temp.password()) \g /dev/null
SELECT pg_temp.link(pg_temp.email('pending'), 'confirm_email') AS confirm_link \gset
SELECT pg_temp.account(pg_temp.email('eve')) AS eve \gset
SELECT pg_temp.enroll(access_token) FROM pg_temp.signin(pg_temp.email('eve')) \g /dev/null
SELECT mfa_token AS m FROM pg_temp.signin(pg_temp.email('eve')) \gset

-- ---- what is tried ----

CREATE TEMP TABLE hostile (what text, value text) ON COMMIT DROP;
INSERT INTO hostile VALUES
	('NULL', NULL), ('empty', ''), ('a space', ' '), ('spaces', repeat(' ', 100)),
	('control characters', (SELECT string_agg(chr(n), '') FROM generate_series(1, 31) AS n)), ('DEL and C1', E'\u007f\u0080\u009f'),
	('CR LF', E'attacker@pgtap.example\r\nBcc: all@pgtap.example'), ('an escape sequence', E'\u001b[2J\u001b[31mred'),
	('bidi marks', U&'attacker\202Egnissecca\202C@pgtap.example'), ('zero-width characters', U&'atta\200Bcker\2060@pgtap.example'), ('a byte order mark', U&'\FEFFattacker@pgtap.example'),
	('emoji', repeat(U&'\+01F469\200D\+01F469\200D\+01F467', 20)), ('a noncharacter', U&'\FFFEattacker\FFFF'), ('combining marks', 'attacker' || repeat(U&'\0301', 1000)),
	('single quotes', repeat('''', 9)), ('double quotes', repeat('"', 9)), ('backslashes', repeat('\', 9)), ('dollar quotes', '$$attacker$$ $a$'),
	('SQL', 'attacker''); DROP TABLE auth_private.accounts; --'), ('more SQL', 'attacker'' OR ''1''=''1'), ('format', '%s%n%x%1$s%%attacker'), ('a path', '../../../../etc/passwd'),
	('HTML', '<script>attacker()</script>'), ('JSON', '{"attacker": [null]}'), ('a number', '-9223372036854775809'), ('a UUID', '00000000-0000-0000-0000-000000000000'),
	('an email without dots', 'attacker@'), ('two @', 'attacker@a@pgtap.example'), ('a phone with letters', '+49attacker'), ('a long phone', '+' || repeat('9', 40)),
	('digits', repeat('1', 64)), ('an access token', :'a'), ('a refresh token', :'r'), ('a link token', :'reset_link'), ('another link token', :'confirm_link'), ('an mfa token', :'m'),
	('a token without a signature', 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJhdHRhY2tlciJ9.'), ('a megabyte', repeat('attacker', 131072)),
	('a megabyte of emoji', repeat(U&'\+01F469', 262144)), ('a megabyte of marks', 'e' || repeat(U&'\0301', 524287)), ('a megabyte of dots', repeat('.', 1048576)),
	('a megabyte of spaces', repeat(' ', 1048576));

-- A good value for each argument, so that only one is bad at a time.
CREATE TEMP TABLE good (argument text, value text) ON COMMIT DROP;
INSERT INTO good VALUES
	('email', pg_temp.email('new')), ('phone', NULL), ('password', pg_temp.password()), ('identifier', pg_temp.email('ada')), ('code', '123456'),
	('channel', 'email'), ('permanent', 'false'), ('refresh_token', :'r'), ('access_token', :'a'), ('current_password', pg_temp.password()), ('new_password', 'another good one'),
	('new_email', pg_temp.email('changed')), ('new_phone', pg_temp.phone(7)), ('mfa_token', :'m'), ('level', 'aal1'), ('max_age', '1 hour'), ('error', 'an error'), ('word', 'a word of their own'),
	('schedule', '*/5 * * * *'), ('info', '{}'), ('session_id', NULL), ('keep_current', 'true'), ('max', '1'), ('lease', '0'), ('ids', '{}'), ('batch', '1'),
	('user_id', :'ada'), ('until', NULL), ('app', '{}'), ('password_hash', NULL), ('id', :'s'), ('before', '2000-01-01'), ('new_keys', 'false'),
	('email_confirmed', 'true'), ('phone_confirmed', 'true'), ('hash', NULL), ('confirmed', 'true'), ('created_at', NULL), ('reason', 'a reason'),
	('name', 'a name'), ('scopes', '{a}'), ('expires_in', NULL), ('role', NULL), ('scope', 'a');

-- jwt_*, keys and distribute have files of their own; the scheduler is pg_cron's.
CREATE TEMP TABLE functions ON COMMIT DROP AS
SELECT p.oid, p.pronamespace::regnamespace || '.' || p.proname AS name, p.pronargs, a.position, a.argument, a.type::regtype AS type
FROM pg_proc AS p, LATERAL unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) WITH ORDINALITY AS a (argument, type, position)
WHERE p.pronamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace)
	AND p.prokind = 'f' AND p.proname !~ '^jwt_|signing_key|^seal_keys|schedule_maintenance|^distribute';
SELECT is_empty('SELECT DISTINCT argument FROM functions WHERE argument NOT IN (SELECT argument FROM good) ORDER BY 1',
	'every argument of every function has a good value to be tried with');

CREATE FUNCTION pg_temp.call(of_oid oid, bad_argument text, bad_value text) RETURNS text LANGUAGE sql AS $$
	SELECT format('SELECT * FROM %s(%s)', min(f.name), string_agg(format('%I => %s', f.argument,
		CASE WHEN f.argument = bad_argument THEN quote_nullable(bad_value)
			-- One of two identifiers is enough; a sign-in takes no other.
			WHEN f.argument = 'email' AND bad_argument = 'phone' AND f.name = 'auth.signin' THEN 'NULL'
			WHEN f.argument = 'refresh_token' AND bad_argument = 'session_id' THEN 'NULL'
			ELSE quote_nullable(g.value) END || '::' || f.type), ', '))
	FROM functions AS f JOIN good AS g USING (argument) WHERE f.oid = of_oid
$$;

-- Everything but what the recorder may have added meanwhile: audit rows.
CREATE FUNCTION pg_temp.state() RETURNS text LANGUAGE sql AS $$
	SELECT md5(concat(
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.accounts AS t),
		(SELECT string_agg(t::text, '' ORDER BY identifier, user_id) FROM auth_private.identifiers AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.sessions AS t),
		(SELECT string_agg(t::text, '' ORDER BY session_id) FROM auth_private.token_cache AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.api_keys AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.codes AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.factors AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.recovery_codes AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.mfa_uses AS t),
		(SELECT string_agg(t::text, '' ORDER BY id) FROM auth_private.outbox AS t)))
$$;

-- The answer to a call; what it did is undone, also where it went well.
CREATE FUNCTION pg_temp.answer(statement text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
	got jsonb;
BEGIN
	BEGIN
		got := pg_temp.failure(statement);
		IF got = '{}' THEN
			RAISE EXCEPTION USING errcode = 'P0002';
		END IF;
	EXCEPTION WHEN no_data_found THEN
		NULL;
	END;
	RETURN got;
END
$$;

SELECT pg_temp.state() AS before \gset
SELECT auth.authenticate(:'a') \g /dev/null
CREATE TEMP TABLE answers ON COMMIT DROP AS
SELECT f.name, f.argument, h.what, h.value, pg_temp.answer(pg_temp.call(f.oid, f.argument, h.value)) AS got
FROM functions AS f, hostile AS h WHERE f.type = 'text'::regtype;
RESET auth_session.context_token;

SELECT cmp_ok(count(DISTINCT name || argument), '>=', 20::bigint, 'B13: every text argument of every function') FROM answers;
SELECT is_empty($$SELECT name, argument, what, got ->> 'sqlstate', got ->> 'message' FROM answers
		WHERE got <> '{}' AND coalesce(pg_temp.sqlstate_of(got ->> 'detail'), '') <> got ->> 'sqlstate'$$,
	'B13: documented failures only');
SELECT is_empty($$SELECT name, argument, what, got FROM answers WHERE got ->> 'message' ~ E'[\r\n]' OR length(got ->> 'message') > 80$$,
	'B13: with one short line as the message');
SELECT is_empty($$SELECT name, argument, what, got FROM answers
		WHERE length(value) > 4 AND value !~ '^ +$' AND strpos(concat(got ->> 'message', got ->> 'hint', got ->> 'detail', got ->> 'context'), left(value, 12)) > 0$$,
	'B13: nothing of the input is in message, detail, hint or context');
SELECT is_empty($$SELECT name, argument, what, got FROM answers WHERE got ->> 'table' <> '' OR got ->> 'constraint' <> ''$$,
	'B3: nor the name of a table or constraint');
SELECT is(pg_temp.state(), :'before', 'B13: nothing has changed');
SELECT is_empty($$SELECT name, argument, what FROM answers WHERE what = 'a megabyte' AND got = '{}' AND argument <> 'scope'$$, 'B13: a megabyte is taken nowhere');
-- Only a password may hold what is no address, no code and no token, and a word or an error that an operator gives;
-- the name of a key, and a scope, which is only compared.
SELECT is_empty($$SELECT name, argument, what FROM answers WHERE got = '{}' AND value IS NOT NULL
		AND argument NOT LIKE '%password' AND argument NOT IN ('word', 'error', 'reason', 'name', 'scope')
		AND NOT (argument IN ('access_token', 'refresh_token', 'code') AND what LIKE '%token')$$,
	'B13: no hostile text is taken for an address, a code or a token');
SELECT is_empty($$SELECT name, argument, what FROM answers WHERE got = '{}' AND argument = 'access_token' AND what <> 'an access token'
		UNION ALL SELECT name, argument, what FROM answers WHERE got = '{}' AND argument = 'refresh_token' AND value IS NOT NULL AND what <> 'a refresh token'$$,
	'E11: no token of another kind is taken for one');
SELECT is_empty($$SELECT name, argument, what, got FROM answers
		WHERE argument = 'mfa_token' AND value <> '' AND what <> 'an mfa token' AND got ->> 'detail' <> 'invalid_token'$$,
	'F17: what is no mfa token is invalid_token');
SELECT is(auth.verify(:'a') ->> 'sub', :'ada', 'E10: the session lives after all that');
SELECT is((SELECT count(*) FROM pg_tables WHERE schemaname = 'auth_private' AND tablename = 'accounts'), 1::bigint, 'G4: and so does the table');

-- ---- wrong UUIDs ----

SELECT auth.authenticate(:'a') \g /dev/null
SELECT pg_temp.raises('SELECT auth.logout(''00000000-0000-0000-0000-000000000000''::uuid)', 'session_not_found', 'B13: a UUID of zeros is no session');
SELECT is(pg_temp.failure('SELECT auth.logout(session_id => ''nonsense'')') ->> 'sqlstate', '22P02', 'B13: and what is no UUID is none of PostgreSQL''s');

SELECT * FROM finish();
ROLLBACK;
