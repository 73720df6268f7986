-- Whatever a caller has set or made, the flows go as they go, and nothing of
-- the caller's is run with the owner's rights.
\ir helper/common.psql

BEGIN;
SELECT plan(48);
SET LOCAL auth_session.resend_cooldown = 0;
SET LOCAL auth_session.message_rate_per_account = 0;
SET LOCAL auth_session.signin_rate_per_account = 0;

SELECT 'pgtap_app_' || :'run' AS app \gset
CREATE ROLE :"app";
SET LOCAL pgtap.app = :'app';
SELECT current_database() AS database \gset
GRANT CREATE ON DATABASE :"database" TO :"app";

CREATE FUNCTION pg_temp.mailed_link(address text) RETURNS text LANGUAGE sql SET search_path = pg_catalog, public AS $$
	SELECT pg_temp.link(address, 'confirm_email')
$$;

-- As an ordinary role, with the settings of the caller: all five flows, and what is around them.
CREATE FUNCTION pg_temp.flows(name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	address text := pg_temp.email(name);
	link text;
	account auth.account;
	tokens auth.tokens;
	next auth.tokens;
	uid uuid;
	live bigint;
	done text := '';
BEGIN
	PERFORM pg_catalog.set_config('role', pg_catalog.current_setting('pgtap.app'), true);
	account := auth.signup(address, 'correct horse battery', info => '{"n": 1.50, "at": "2026-01-02"}');
	done := done || account.status;
	PERFORM pg_catalog.set_config('role', 'none', true);
	link := pg_temp.mailed_link(address);
	PERFORM pg_catalog.set_config('role', pg_catalog.current_setting('pgtap.app'), true);
	account := auth.confirm(code => link, password => 'correct horse battery');
	done := done || ' ' || account.status;
	tokens := auth.signin(address, 'correct horse battery');
	next := auth.renew(tokens.refresh_token);
	uid := auth.authenticate(next.access_token);
	done := done || CASE WHEN uid OPERATOR(pg_catalog.=) account.id AND auth.uid() OPERATOR(pg_catalog.=) uid
		AND auth.email() OPERATOR(pg_catalog.=) address THEN ' in' END;
	SELECT count(*) INTO live FROM auth.sessions() WHERE is_current;
	done := done || ' ' || live;
	account := auth.update_info('{"b": [1e2]}');
	PERFORM auth.change_password('correct horse battery', 'another good one');
	PERFORM auth.logout();
	BEGIN
		PERFORM auth.verify(next.access_token);
	EXCEPTION WHEN SQLSTATE 'PT401' THEN
		done := done || ' out';
	END;
	PERFORM pg_catalog.set_config('role', 'none', true);
	RETURN done;
END
$$;
CREATE FUNCTION pg_temp.flows_with(setting text, value text, name text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	answer text;
BEGIN
	-- The subtransaction takes the setting back.
	BEGIN
		PERFORM pg_catalog.set_config(setting, value, true);
		answer := pg_temp.flows(name);
		RAISE EXCEPTION USING errcode = 'P0002', message = answer;
	EXCEPTION WHEN no_data_found THEN
		RETURN SQLERRM;
	END;
END
$$;
SELECT is(pg_temp.flows_with('application_name', 'pgtap', 'plain'), 'pending active in 1 out', 'all flows as an ordinary role');
SELECT is(pg_temp.flows_with(setting, value, 's' || row_number() OVER ()), 'pending active in 1 out', format('all flows with %s = %s', setting, value))
FROM (VALUES
	('DateStyle', 'SQL, DMY'), ('DateStyle', 'German'), ('IntervalStyle', 'sql_standard'), ('TimeZone', 'Pacific/Kiritimati'), ('TimeZone', 'America/St_Johns'),
	('extra_float_digits', '-15'), ('bytea_output', 'escape'), ('standard_conforming_strings', 'off'), ('backslash_quote', 'on'), ('row_security', 'off'),
	('lc_messages', 'C'), ('search_path', ''), ('search_path', 'pg_temp'),
	('enable_seqscan', 'off'), ('enable_indexscan', 'off'), ('plan_cache_mode', 'force_custom_plan'),
	('session_replication_role', 'replica'), ('check_function_bodies', 'off'), ('xmloption', 'document'), ('transform_null_equals', 'on'),
	('array_nulls', 'off'), ('quote_all_identifiers', 'on'), ('default_tablespace', ''), ('work_mem', '64kB'), ('jit_above_cost', '0'),
	('lock_timeout', '10s'), ('idle_in_transaction_session_timeout', '1min'), ('synchronous_commit', 'off'), ('default_toast_compression', 'pglz'),
	('max_parallel_workers_per_gather', '0'), ('debug_print_plan', 'off'), ('log_statement', 'none'), ('password_encryption', 'md5')
) AS settings (setting, value);

-- ---- objects of the caller's that bear the names of others (CVE-2018-1058 and its like) ----

-- A sequence keeps what a rolled-back subtransaction would take back.
CREATE TEMP SEQUENCE trap;
GRANT USAGE ON SEQUENCE trap TO PUBLIC;
CREATE FUNCTION pg_temp.sprung(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING 'called: % as %', what, current_user;
	PERFORM pg_catalog.nextval('pg_temp.trap');
END
$$;
SET LOCAL ROLE :"app";
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.eq(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('= (uuid, uuid)'); RETURN true; END $$;
CREATE OPERATOR hostile.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = hostile.eq);
CREATE FUNCTION hostile.eq(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('= (text, text)'); RETURN true; END $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.eq);
CREATE FUNCTION hostile.gt(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('>'); RETURN true; END $$;
CREATE OPERATOR hostile.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = hostile.gt);
CREATE FUNCTION hostile.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('now()'); RETURN 'infinity'; END $$;
CREATE FUNCTION hostile.count(anyelement) RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('count()'); RETURN 0; END $$;
CREATE FUNCTION hostile.array_to_json(anyarray) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('array_to_json()'); RETURN '["admin"]'; END $$;
CREATE FUNCTION hostile.to_text(jsonb) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_temp.sprung('jsonb to text'); RETURN ''; END $$;
CREATE DOMAIN hostile.uuid AS text CHECK (value IS NULL);
CREATE DOMAIN hostile.inet AS text CHECK (value IS NULL);
CREATE DOMAIN hostile.text AS pg_catalog.text CHECK (value IS NULL);
CREATE TABLE hostile.accounts (id int);
CREATE TEMP TABLE accounts (id int);
CREATE TEMP TABLE sessions (id int);
CREATE TEMP TABLE token_cache (id int);
RESET ROLE;
SELECT is(pg_temp.flows_with('search_path', 'hostile, pg_temp, pg_catalog, public', 'trapped'), 'pending active in 1 out', 'G2: all flows under a hostile search_path');
SELECT is(is_called, false, 'G2: in which nothing of the caller''s was called') FROM trap;
CREATE FUNCTION pg_temp.spring() RETURNS boolean LANGUAGE plpgsql SET search_path = hostile, pg_temp, pg_catalog, public AS $$
BEGIN
	RETURN 'x'::pg_catalog.text = 'y'::pg_catalog.text;
END
$$;
SET LOCAL client_min_messages = error;
SELECT is(pg_temp.spring(), true, 'a control: what looks names up there');
SELECT is(is_called, true, 'calls it') FROM trap;

-- The caller's role is its own all the time.
SET LOCAL ROLE :"app";
SELECT current_user AS before \gset
SELECT auth.uid(), auth.email() \g /dev/null
RESET ROLE;
SELECT is(:'before'::text, :'app', 'the caller is who it was');
SELECT is(current_user::text, session_user::text, 'and so is the session');
SELECT pg_temp.failure('SELECT auth.signin(''x'', ''y'')') \g /dev/null
SELECT is(current_user::text, session_user::text, 'also after a failure');
SELECT is(current_setting('search_path'), '"$user", public', 'the search_path is the caller''s, too');
SELECT is(current_setting('lock_timeout'), '0', 'and the lock_timeout');

-- ---- by every way to call ----

SELECT pg_temp.account(pg_temp.email('ada')) AS ada \gset
PREPARE signin (text, text) AS SELECT (auth.signin($1, $2)).user_id;
SELECT results_eq(format('EXECUTE signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), ARRAY[:'ada'::uuid], 'from a prepared statement');
DEALLOCATE signin;
DECLARE c CURSOR FOR SELECT user_id FROM auth.signin(pg_temp.email('ada'), pg_temp.password());
SELECT results_eq('c'::refcursor, ARRAY[:'ada'::uuid], 'from a cursor');
SELECT lives_ok(format('DO $x$ BEGIN PERFORM auth.signin(%L, %L); END $x$', pg_temp.email('ada'), pg_temp.password()), 'from DO');
SELECT lives_ok(format('CREATE TEMP TABLE made AS SELECT * FROM auth.signin(%L, %L)', pg_temp.email('ada'), pg_temp.password()), 'from CREATE TABLE AS');
SELECT is((SELECT count(*) FROM auth_private.sessions WHERE user_id = :'ada'), 4::bigint, 'each is a session');

SELECT * FROM finish();
ROLLBACK;
