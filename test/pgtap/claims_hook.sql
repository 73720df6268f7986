-- The claims hook: what it may add, what it may not touch, as whom it runs,
-- and what a caller hears when it fails.

BEGIN;
SELECT plan(87);

SET LOCAL auth_session.require_confirmation = 'none';

CREATE FUNCTION pg_temp.claims(token text) RETURNS jsonb LANGUAGE sql AS $$
    SELECT convert_from(decode(rpad(translate(segment, '-_', '+/'), (length(segment) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb
      FROM split_part(token, '.', 2) AS segment
$$;

CREATE SCHEMA app;
CREATE ROLE hook_owner;
GRANT USAGE, CREATE ON SCHEMA app TO hook_owner;
CREATE TABLE app.plan (user_id uuid PRIMARY KEY, name text);
GRANT SELECT ON app.plan TO hook_owner;
CREATE TABLE app.closed ();

-- Makes the body the hook of the next sign-in.
CREATE FUNCTION pg_temp.hook(body text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE OR REPLACE FUNCTION app.hook(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', body);
    ALTER FUNCTION app.hook(uuid, jsonb) OWNER TO hook_owner;
    PERFORM set_config('auth_session.claims_hook', 'app.hook', true);
END
$$;

CREATE FUNCTION pg_temp.signin() RETURNS jsonb LANGUAGE sql AS
$$ SELECT pg_temp.claims(access_token) FROM auth.signin('hook@example.org', 'correct horse battery staple') $$;

SELECT id AS user_id FROM auth.signup('hook@example.org', 'correct horse battery staple') \gset
INSERT INTO app.plan VALUES (:'user_id', 'gold');

SELECT is(pg_temp.signin() ->> 'role', 'authenticated', 'without a hook the claims are as they are');

SELECT pg_temp.hook($$ BEGIN RETURN jsonb_build_object('plan', (SELECT p.name FROM app.plan AS p WHERE p.user_id = hook.user_id), 'n', 1, 'deep', '{"a":[1,{"b":null}]}'::jsonb); END $$);
SELECT pg_temp.signin() AS claims \gset
SELECT is(:'claims'::jsonb ->> 'plan', 'gold', 'it adds what it finds for the user');
SELECT is(:'claims'::jsonb -> 'deep', '{"a":[1,{"b":null}]}', 'of any form');
SELECT is(:'claims'::jsonb ->> 'sub', :'user_id', 'the rest stays');
SELECT is(:'claims'::jsonb ->> 'email', 'hook@example.org', 'all of it');
SELECT is((SELECT auth.verify(access_token) ->> 'plan' FROM auth.signin('hook@example.org', 'correct horse battery staple')), 'gold', 'auth.verify shows it');

SELECT pg_temp.hook($$ BEGIN RETURN claims || '{"seen":true}'; END $$);
SELECT is(pg_temp.signin() ->> 'seen', 'true', 'it may return the claims that it got, with more');

SELECT pg_temp.hook($$ BEGIN RETURN NULL; END $$);
SELECT is(pg_temp.signin() ->> 'role', 'authenticated', 'NULL adds nothing');
SELECT pg_temp.hook($$ BEGIN RETURN '{}'; END $$);
SELECT is(pg_temp.signin() ->> 'role', 'authenticated', '{} adds nothing');

SELECT pg_temp.hook($$ BEGIN RETURN '{"sub":"00000000-0000-4000-8000-000000000000","session_id":"x","jti":"x","iat":1,"exp":4102444800,"iss":"evil","aud":"evil","other":1}'; END $$);
SELECT pg_temp.signin() AS claims \gset
SELECT is(:'claims'::jsonb ->> 'other', '1', 'of a result that wants too much the rest is taken');
SELECT is(:'claims'::jsonb ->> 'sub', :'user_id', 'E7: sub is never the hook''s');
SELECT is(:'claims'::jsonb ->> 'session_id', (SELECT id::text FROM auth_private.sessions ORDER BY id DESC LIMIT 1), 'nor session_id');
SELECT is(:'claims'::jsonb ->> 'jti', (SELECT jti::text FROM auth_private.sessions ORDER BY id DESC LIMIT 1), 'nor jti');
SELECT cmp_ok((:'claims'::jsonb ->> 'iat')::numeric, '>', extract(epoch FROM now()) - 60, 'nor iat');
SELECT cmp_ok((:'claims'::jsonb ->> 'exp')::numeric, '<', 4102444800::numeric, 'nor exp');
SELECT is(:'claims'::jsonb ->> 'iss', 'auth_session', 'nor iss');
SELECT is(:'claims'::jsonb ->> 'aud', 'authenticated', 'nor aud');

SELECT pg_temp.hook($$ BEGIN RETURN '{"role":"admin"}'; END $$);
SELECT is(pg_temp.signin() ->> 'role', 'authenticated', 'E7: a role that is not in claims_hook_roles is not taken');
SET LOCAL auth_session.claims_hook_roles = 'editor, admin';
SELECT is(pg_temp.signin() ->> 'role', 'admin', 'one that is in it is');
SELECT pg_temp.hook($$ BEGIN RETURN '{"role":["admin"]}'; END $$);
SELECT is(pg_temp.signin() ->> 'role', 'authenticated', 'a role that is no string is not taken');

-- as whom

SELECT pg_temp.hook($$ BEGIN RETURN jsonb_build_object('user', current_user, 'path', current_setting('search_path')); END $$);
SELECT is(pg_temp.signin() ->> 'user', 'hook_owner', 'it runs as its own owner, not as auth_session_owner');
SELECT is(pg_temp.signin() ->> 'path', 'pg_catalog, pg_temp', 'G2: under a pinned search_path');
SELECT is(current_user::text, 'postgres', 'and the caller is itself again');

-- what fails: the operator's log has the error, the caller a refusal

CREATE FUNCTION pg_temp.refusal() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; message text; detail text; hint text; context text;
BEGIN
    PERFORM pg_temp.signin();
    RETURN 'signed in';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN CASE WHEN concat(message, detail, hint, context) ~ 'tell-tale|app\.|hook\(' THEN 'it says: ' || concat_ws(' / ', message, detail, hint, context)
        ELSE state || ' ' || detail END;
END
$$;
SELECT pg_temp.hook($$ BEGIN RAISE EXCEPTION 'tell-tale' USING ERRCODE = 'XX123'; END $$);
SELECT matches(pg_temp.refusal(), ' busy$', 'B13: an error of the hook is a plain refusal');
SELECT is(current_user::text, 'postgres', 'after which the caller is itself');
SELECT pg_temp.hook($$ BEGIN PERFORM FROM app.closed; RETURN '{}'; END $$);
SELECT matches(pg_temp.refusal(), ' busy$', 'what its owner may not read it may not');
SELECT pg_temp.hook($$ BEGIN SET LOCAL ROLE auth_session_owner; RETURN '{}'; END $$);
SELECT matches(pg_temp.refusal(), ' busy$', 'it can not become another role: the operation is security-restricted');
SELECT pg_temp.hook($$ BEGIN RETURN '[1]'; END $$);
SELECT matches(pg_temp.refusal(), ' busy$', 'a result that is no object');
SELECT pg_temp.hook($$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$);
SELECT matches(pg_temp.refusal(), ' busy$', 'its 40001 does not get out: PostgREST would repeat it without end');
SAVEPOINT gone;
DROP FUNCTION app.hook;
SELECT matches(pg_temp.refusal(), ' busy$', 'a hook that is gone refuses too');
ROLLBACK TO gone;
CREATE FUNCTION app.of_text(user_id uuid, claims jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '{"a": 1}' $$;
CREATE FUNCTION app.of_int(user_id uuid, claims jsonb) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION app.of_set(user_id uuid, claims jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
CREATE FUNCTION app.of_one(claims jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT claims $$;
CREATE FUNCTION app.step(state jsonb, user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT claims $$;
CREATE AGGREGATE app.of_aggregate (user_id uuid, claims jsonb) (sfunc = app.step, stype = jsonb);
CREATE PROCEDURE app.no_function(user_id uuid, claims jsonb) LANGUAGE sql AS $$ SELECT 1 $$;
CREATE FUNCTION pg_temp.of_temp(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS $$ SELECT claims $$;
-- One that was right when it was set, and is another by now.
SAVEPOINT other;
DROP FUNCTION app.hook;
CREATE FUNCTION app.hook(user_id uuid, claims jsonb) RETURNS text LANGUAGE sql AS $$ SELECT '{"a": 1}' $$;
SELECT matches(pg_temp.refusal(), ' busy$', 'one that returns text is none: it would be read as jsonb');
DROP FUNCTION app.hook;
CREATE FUNCTION app.hook(user_id uuid, claims jsonb) RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;
SELECT matches(pg_temp.refusal(), ' busy$', 'and one that returns a number');
DROP FUNCTION app.hook;
CREATE FUNCTION app.hook(user_id uuid, claims jsonb) RETURNS SETOF jsonb LANGUAGE sql AS $$ SELECT '{}'::jsonb $$;
SELECT matches(pg_temp.refusal(), ' busy$', 'and one that returns a set');
ROLLBACK TO other;

-- names are checked when they are set

CREATE FUNCTION pg_temp.setting(setting text, value text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    state text; detail text;
BEGIN
    EXECUTE format('SET LOCAL auth_session.%I = %L', setting, value);
    RETURN 'set';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, detail = PG_EXCEPTION_DETAIL;
    RETURN state || ' ' || detail;
END
$$;
SELECT matches(pg_temp.setting('claims_hook', value), '^22023 ' || says, 'H12: no claims hook: ' || value)
  FROM (VALUES ('hook', 'The name must be schema.function'), ('a.b.c', 'The name must be'), ('app.', 'The name must be'), ('.hook', 'The name must be'), ('app.hook()', 'There is no such function'), ('app hook', 'The name must be'),
        ('app.nothing', 'There is no such function'), ('nowhere.hook', 'There is no such function'), ('app.of_one', 'There is no such function'), ('app.of_text', 'The function returns another type'), ('app.of_int', 'The function returns another'),
        ('app.of_set', 'The function returns another'), ('app.no_function', 'The function returns another'), ('app.of_aggregate', 'The function returns another'), ('pg_temp.of_temp', 'There is no such function')) AS v (value, says);
SELECT matches(pg_temp.setting('claims_hook', format('%s.of_temp', pg_my_temp_schema()::regnamespace)), '^22023 A temporary function is no hook', 'H12: nor a temporary function');
SELECT matches(pg_temp.setting('password_hook', value), '^22023 ', 'H12: no password hook: ' || value) FROM unnest('{hook,app.hook,app.nothing}'::text[]) AS value;
CREATE FUNCTION app."Accepts"(password text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
SELECT is(pg_temp.setting('password_hook', 'app."Accepts"'), 'set', 'one that is there is taken, in quotes too');
SELECT is(pg_temp.setting('claims_hook', value), 'set', 'so is ' || value) FROM unnest('{app.hook,APP.Hook,"\"app\".\"hook\""}'::text[]) AS value;
SELECT is(pg_temp.setting('claims_hook', ''), 'set', 'and none');
SELECT is(pg_temp.setting('password_hook', ''), 'set', 'of either');

-- H12: what we sign our own verifier accepts

CREATE FUNCTION pg_temp.verified(body text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    token text;
BEGIN
    PERFORM pg_temp.hook(body);
    token := (auth.signin('hook@example.org', 'correct horse battery staple')).access_token;
    RETURN auth.verify(token);
EXCEPTION WHEN OTHERS THEN
    RETURN to_jsonb(SQLSTATE || ' ' || SQLERRM);
END
$$;
CREATE FUNCTION pg_temp.object(claims text) RETURNS text LANGUAGE sql AS $$ SELECT format('BEGIN RETURN %s; END', claims) $$;
SELECT pg_temp.verified(pg_temp.object('jsonb_build_object(''nbf'', extract(epoch FROM now()), ''a'', 1)')) AS claims \gset
SELECT is(:'claims'::jsonb ->> 'role', 'authenticated', 'H12: an nbf as PostgreSQL writes a time verifies');
SELECT matches(:'claims'::jsonb ->> 'nbf', '^[0-9]+\.[0-9]+$', 'H12: as it is');
SELECT is(pg_temp.verified(pg_temp.object('jsonb_build_object(''nbf'', extract(epoch FROM clock_timestamp()))')) ->> 'role', 'authenticated', 'H12: also one of this very moment');
SELECT is(claims ->> 'role' || ' ' || (claims ->> 'a') || ' ' || coalesce(claims ->> 'nbf', 'none'), 'authenticated 1 none', 'H12: an nbf that would not verify is left out: ' || nbf)
  FROM unnest(ARRAY['''soon''::text', 'true', 'NULL::int', '-1', '1e30::numeric', 'extract(epoch FROM now() + interval ''1 hour'')', 'ARRAY[1]']) AS nbf,
       LATERAL pg_temp.verified(pg_temp.object('jsonb_build_object(''nbf'', ' || nbf || ', ''a'', 1)')) AS claims;
SELECT is(claims ->> 'role' || ' ' || (claims ->> 'a') || ' ' || (claims ->> 'email'), 'authenticated 1 hook@example.org', 'H12: nor is an email: ' || left(email, 30))
  FROM unnest(ARRAY['5', 'true', 'repeat(''x'', 255)', 'ARRAY[''a'']', 'jsonb_build_object()']) AS email,
       LATERAL pg_temp.verified(pg_temp.object('jsonb_build_object(''email'', ' || email || ', ''a'', 1)')) AS claims;
SELECT is(pg_temp.verified(pg_temp.object('jsonb_build_object(''email'', ''other@example.org'')')) ->> 'email', 'other@example.org', 'one that verifies is the hook''s');
SELECT is(pg_temp.verified(pg_temp.object('jsonb_build_object(''email'', NULL)')) -> 'email', 'null', 'so is none');
SELECT ok(coalesce(claims ->> 'role', '') = 'authenticated' OR claims #>> '{}' ~ 'busy', 'H12: verified or busy, never signed for nobody: ' || what)
  FROM (VALUES ('200 levels', '(repeat(''{"a":'', 200) || ''1'' || repeat(''}'', 200))::jsonb'), ('30 levels', '(repeat(''{"a":'', 30) || ''1'' || repeat(''}'', 30))::jsonb'), ('32 levels', '(repeat(''{"a":'', 32) || ''1'' || repeat(''}'', 32))::jsonb'),
        ('33 levels', '(repeat(''{"a":'', 33) || ''1'' || repeat(''}'', 33))::jsonb'), ('300 names', '(SELECT jsonb_object_agg(''n'' || n, n) FROM generate_series(1, 300) AS n)'), ('12,000 bytes', 'jsonb_build_object(''x'', repeat(''x'', 12000))'),
        ('20,000 bytes', 'jsonb_build_object(''x'', repeat(''x'', 20000))'), ('a name of a megabyte', 'jsonb_build_object(repeat(''x'', 1048576), 1)')) AS v (what, claims_text), LATERAL pg_temp.verified(pg_temp.object(claims_text)) AS claims;
SELECT is(pg_temp.verified(pg_temp.object('(repeat(''{"a":'', 30) || ''1'' || repeat(''}'', 30))::jsonb')) ->> 'role', 'authenticated', 'H12: 30 levels are signed');
SELECT matches(pg_temp.verified(pg_temp.object('(repeat(''{"a":'', 200) || ''1'' || repeat(''}'', 200))::jsonb')) #>> '{}', 'busy', 'H12: 200 are refused: a claim of the application''s is not dropped');
SELECT pg_temp.hook($$ BEGIN RETURN jsonb_build_object('big', repeat('x', 20000)); END $$);
SELECT matches(pg_temp.refusal(), ' busy$', 'F20: claims that no verifier would read are not signed');
-- The same of what an operator gave the account.
SELECT pg_temp.setting('claims_hook', '') \g /dev/null
UPDATE auth_private.accounts SET app = (repeat('{"a":', 200) || '1' || repeat('}', 200))::jsonb WHERE id = :'user_id';
SELECT matches(pg_temp.refusal(), ' busy$', 'H12: nor is app data of 200 levels');

SELECT * FROM finish();
ROLLBACK;
