--
-- Who may do what (G1, G2): every role tries every call and every table.
--
\set SHOW_CONTEXT never
SET client_min_messages = warning;
CREATE EXTENSION auth_session;

CREATE ROLE regress_anybody LOGIN;
CREATE ROLE regress_app LOGIN;
CREATE ROLE regress_bridge LOGIN;
CREATE ROLE regress_careless LOGIN;
GRANT CREATE ON SCHEMA public TO regress_app;

-- As the README has it for an application, and for the bridge.
GRANT USAGE ON SCHEMA auth_admin TO regress_app;
GRANT SELECT ON auth_admin.deleted_users TO regress_app;
GRANT USAGE ON SCHEMA auth_admin TO regress_bridge;
GRANT EXECUTE ON FUNCTION auth_admin.claim_notifications, auth_admin.settle_notifications,
	auth_admin.release_notifications TO regress_bridge;

-- A grant that is made without thinking: there is no table in auth.
GRANT ALL ON ALL TABLES IN SCHEMA auth TO regress_careless;
SELECT count(*) AS relations_in_auth FROM pg_class
	WHERE relnamespace = 'auth'::regnamespace AND relkind <> 'c';

CREATE VIEW functions AS
	SELECT p.oid, p.oid::regprocedure::text AS name, n.nspname, p.prosecdef, p.provolatile, p.proparallel,
		p.proconfig, p.proacl, p.proowner, p.prorettype, p.proargtypes, p.proargnames, p.proisstrict
	FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
	WHERE n.nspname IN ('auth', 'auth_admin', 'auth_private');
CREATE VIEW relations AS
	SELECT c.oid, c.oid::regclass::text AS name, c.relkind, c.relacl, c.relowner
	FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('auth', 'auth_admin', 'auth_private') AND c.relkind IN ('r', 'v', 'm', 'S', 'p', 'f');
GRANT SELECT ON functions, relations TO PUBLIC;

-- G1: what everybody may execute, and nothing else.
SELECT f.name AS everybody_may FROM functions AS f, aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS a
	WHERE a.grantee = 0 ORDER BY f.name COLLATE "C";

-- G1: nobody but the owner has a right on a relation, a column or a type, or
-- gets one by default; usage of auth is everybody's.
SELECT r.name, a.grantee::regrole, a.privilege_type
	FROM relations AS r, aclexplode(coalesce(r.relacl, acldefault('r', r.relowner))) AS a
	WHERE a.grantee <> r.relowner;
SELECT t.attrelid::regclass, t.attname, a.grantee::regrole, a.privilege_type
	FROM relations AS r JOIN pg_attribute AS t ON t.attrelid = r.oid, aclexplode(t.attacl) AS a;
SELECT n.nspname, a.grantee::regrole, a.privilege_type
	FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
	WHERE n.nspname IN ('auth', 'auth_admin', 'auth_private') AND a.grantee <> n.nspowner
	ORDER BY 1, 2, 3;
SELECT count(*) AS default_privileges FROM pg_default_acl;

-- G2: each function with the rights of its owner pins search_path, pg_temp
-- last; no other function has such rights.
SELECT f.name AS not_pinned FROM functions AS f
	WHERE f.prosecdef AND f.proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp'];
SELECT f.name, f.prosecdef AS definer, f.provolatile AS volatile, f.proparallel AS parallel
	FROM functions AS f ORDER BY f.name COLLATE "C";

-- PostgREST passes arguments by name, and can't choose among overloads.
SELECT nspname, split_part(name, '(', 1) AS overloaded FROM functions GROUP BY 1, 2 HAVING count(*) > 1;
SELECT f.name AS without_argument_names FROM functions AS f
	WHERE f.proargnames IS NULL AND cardinality(f.proargtypes::oid[]) > 0;

-- A11: nobody is asked for a hint or for the answer to a question.
SELECT a.attrelid::regclass::text AS object, a.attname AS name FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
	WHERE c.relnamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace, 'auth_private'::regnamespace)
		AND a.attname ~* 'hint|question|answer'
UNION ALL
SELECT f.name, a.name FROM functions AS f, unnest(f.proargnames) AS a (name)
	WHERE a.name ~* 'hint|question|answer';

-- Every role tries every call, with harmless arguments: '-' where it may not.
CREATE FUNCTION try_calls() RETURNS TABLE (call text, outcome text) LANGUAGE plpgsql AS $$
DECLARE
	f record;
BEGIN
	FOR f IN
		SELECT p.name, p.oid::regproc AS function,
			(SELECT string_agg(CASE
					WHEN NOT p.proisstrict THEN 'NULL' -- a strict function would not be called
					WHEN t IN ('json'::regtype, 'jsonb'::regtype) THEN '''{}'''
					ELSE '''''' END || '::' || format_type(t, NULL), ', ')
				FROM unnest(p.proargtypes::oid[]) AS t) AS arguments
		FROM public.functions AS p
		ORDER BY p.name COLLATE "C"
	LOOP
		call := f.name;
		outcome := 'done';
		BEGIN
			EXECUTE format('SELECT %s(%s)', f.function, f.arguments);
		EXCEPTION
			WHEN insufficient_privilege THEN outcome := '-';
			WHEN OTHERS THEN outcome := SQLSTATE;
		END;
		RETURN NEXT;
	END LOOP;
END
$$;
SET SESSION AUTHORIZATION regress_anybody;
CREATE TEMPORARY TABLE of_anybody AS SELECT * FROM try_calls();
SET SESSION AUTHORIZATION regress_careless;
CREATE TEMPORARY TABLE of_careless AS SELECT * FROM try_calls();
SET SESSION AUTHORIZATION regress_app;
CREATE TEMPORARY TABLE of_app AS SELECT * FROM try_calls();
SET SESSION AUTHORIZATION regress_bridge;
CREATE TEMPORARY TABLE of_bridge AS SELECT * FROM try_calls();
RESET SESSION AUTHORIZATION;
SELECT call, b.outcome AS anybody, c.outcome AS careless, p.outcome AS app, g.outcome AS bridge
	FROM of_anybody AS b JOIN of_careless AS c USING (call) JOIN of_app AS p USING (call)
		JOIN of_bridge AS g USING (call)
	ORDER BY call COLLATE "C";

-- Every role tries every relation: nothing is to come back at all.
CREATE FUNCTION try_relations() RETURNS TABLE (relation text, statement text) LANGUAGE plpgsql AS $$
DECLARE
	r record;
BEGIN
	FOR r IN SELECT v.name FROM public.relations AS v ORDER BY v.name COLLATE "C" LOOP
		relation := r.name;
		FOREACH statement IN ARRAY ARRAY['SELECT FROM %s', 'SELECT FROM %s FOR KEY SHARE', 'INSERT INTO %s DEFAULT VALUES',
			'DELETE FROM %s', 'TRUNCATE %s', 'LOCK TABLE %s IN ACCESS SHARE MODE', 'COPY %s TO STDOUT',
			'ALTER TABLE %s ADD COLUMN mine int', 'CREATE TRIGGER mine AFTER INSERT ON %s EXECUTE FUNCTION suppress_redundant_updates_trigger()']
		LOOP
			BEGIN
				EXECUTE format(statement, r.name);
				RETURN NEXT;
			EXCEPTION
				WHEN insufficient_privilege OR wrong_object_type
					OR object_not_in_prerequisite_state THEN NULL;
				WHEN feature_not_supported THEN
					IF statement NOT LIKE 'COPY%' THEN RETURN NEXT; END IF;
			END;
		END LOOP;
	END LOOP;
END
$$;
SET SESSION AUTHORIZATION regress_anybody;
SELECT * FROM try_relations();
SET SESSION AUTHORIZATION regress_careless;
SELECT * FROM try_relations();
SET SESSION AUTHORIZATION regress_app;
SELECT * FROM try_relations();
SET SESSION AUTHORIZATION regress_bridge;
SELECT * FROM try_relations();

-- None of them gets the role's rights.
SET SESSION AUTHORIZATION regress_anybody;
SET ROLE auth_session_owner;
CREATE TABLE auth.mine ();
CREATE FUNCTION auth.mine() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql AS 'SELECT gen_random_uuid()';
ALTER FUNCTION auth.uid() OWNER TO regress_anybody;
RESET SESSION AUTHORIZATION;

-- No setting that matters can be changed, or the context token be read, by
-- an ordinary user.
CREATE FUNCTION try_settings() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	s record;
BEGIN
	FOR s IN SELECT name, setting FROM pg_settings WHERE name LIKE 'auth\_session.%' LOOP
		BEGIN
			PERFORM set_config(s.name, s.setting, true);
			RETURN NEXT s.name;
		EXCEPTION
			WHEN insufficient_privilege OR cant_change_runtime_param THEN NULL;
		END;
	END LOOP;
END
$$;
SET SESSION AUTHORIZATION regress_anybody;
SELECT * FROM try_settings();
\set VERBOSITY sqlstate
SET auth_session.context_token = 'x';
SHOW auth_session.context_token;
SET auth_session.unheard_of = 'x';
\set VERBOSITY default
RESET SESSION AUTHORIZATION;

-- The bridge does its work, and sees the outbox only through it.
SELECT status FROM auth.signup('someone@example.com', 'a password of mine');
SET SESSION AUTHORIZATION regress_bridge;
CREATE TEMPORARY TABLE claimed AS SELECT * FROM auth_admin.claim_notifications(10, '1 minute');
SELECT kind, channel, recipient FROM claimed;
SELECT auth_admin.release_notifications(array_agg(id), 'the mail server is down') FROM claimed;
SELECT auth_admin.settle_notifications(array_agg(id)) FROM claimed;
RESET SESSION AUTHORIZATION;

-- H3: an application references nothing of ours; it follows what is deleted.
SET SESSION AUTHORIZATION regress_app;
CREATE TABLE notes (author uuid REFERENCES auth_private.accounts (id), note text);
CREATE TABLE spies (digest bytea REFERENCES auth_private.sessions (refresh_digest));
RESET SESSION AUTHORIZATION;
SELECT count(*) AS active FROM auth_admin.users WHERE status = 'active' \gset
DELETE FROM auth_private.accounts;
SET SESSION AUTHORIZATION regress_app;
SELECT count(*) = :active AS follows FROM auth_admin.deleted_users;
DELETE FROM auth_admin.deleted_users;
RESET SESSION AUTHORIZATION;

REVOKE CREATE ON SCHEMA public FROM regress_app;
DROP EXTENSION auth_session;
DROP OWNED BY regress_app, regress_bridge, regress_anybody, regress_careless;
DROP ROLE regress_app, regress_bridge, regress_anybody, regress_careless;
