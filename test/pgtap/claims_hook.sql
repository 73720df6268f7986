-- The claims hook: what it may add, what it may not touch, as whom it runs,
-- and what a caller hears when it fails.

BEGIN;
SELECT plan(32);

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
SELECT isnt(:'claims'::jsonb ->> 'session_id', 'x', 'nor session_id');
SELECT isnt(:'claims'::jsonb ->> 'jti', 'x', 'nor jti');
SELECT isnt(:'claims'::jsonb ->> 'iat', '1', 'nor iat');
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
SELECT is(pg_temp.refusal(), 'PT503 busy', 'B13: an error of the hook is a plain refusal');
SELECT is(current_user::text, 'postgres', 'after which the caller is itself');
SELECT pg_temp.hook($$ BEGIN PERFORM FROM app.closed; RETURN '{}'; END $$);
SELECT is(pg_temp.refusal(), 'PT503 busy', 'what its owner may not read it may not');
SELECT pg_temp.hook($$ BEGIN SET LOCAL ROLE auth_session_owner; RETURN '{}'; END $$);
SELECT is(pg_temp.refusal(), 'PT503 busy', 'it can not become another role: the operation is security-restricted');
SELECT pg_temp.hook($$ BEGIN RETURN '[1]'; END $$);
SELECT is(pg_temp.refusal(), 'PT503 busy', 'a result that is no object');
SELECT pg_temp.hook($$ BEGIN RAISE EXCEPTION USING ERRCODE = 'serialization_failure'; END $$);
SELECT is(pg_temp.refusal(), 'PT503 busy', 'its 40001 does not get out: PostgREST would repeat it without end');
SET LOCAL auth_session.claims_hook = 'app.nothing';
SELECT is(pg_temp.refusal(), 'PT503 busy', 'a hook that does not exist refuses too');
SET LOCAL auth_session.claims_hook = 'hook';
SELECT is(pg_temp.refusal(), 'PT503 busy', 'and one without a schema');
SELECT pg_temp.hook($$ BEGIN RETURN jsonb_build_object('big', repeat('x', 20000)); END $$);
SELECT isnt(pg_temp.refusal(), 'signed in', 'F20: claims that no verifier would read are not signed');

SELECT * FROM finish();
ROLLBACK;
