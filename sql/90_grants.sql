/*
 * Ownership and every role's rights, in one place. The owner is a role that
 * can do nothing else; functions of auth are for anyone, each authenticates
 * by itself; the rest is for nobody until an operator grants it.
 */

DO $$
DECLARE
	owned record;
BEGIN
	FOR owned IN
		SELECT c.oid::pg_catalog.regclass AS name,
			CASE c.relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
		FROM pg_catalog.pg_class AS c
		WHERE c.relnamespace IN ('auth_admin'::pg_catalog.regnamespace, 'auth_private'::pg_catalog.regnamespace)
			AND c.relkind IN ('r', 'v')
	LOOP
		EXECUTE pg_catalog.format('ALTER %s %s OWNER TO auth_session_owner', owned.kind, owned.name);
	END LOOP;
	FOR owned IN
		SELECT t.oid::pg_catalog.regtype AS name
		FROM pg_catalog.pg_type AS t JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
		WHERE t.typnamespace = 'auth'::pg_catalog.regnamespace AND c.relkind = 'c'
	LOOP
		EXECUTE pg_catalog.format('ALTER TYPE %s OWNER TO auth_session_owner', owned.name);
	END LOOP;
	FOR owned IN
		SELECT p.oid::pg_catalog.regprocedure AS name
		FROM pg_catalog.pg_proc AS p
		WHERE p.pronamespace IN ('auth'::pg_catalog.regnamespace, 'auth_admin'::pg_catalog.regnamespace,
			'auth_private'::pg_catalog.regnamespace)
	LOOP
		EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO auth_session_owner', owned.name);
	END LOOP;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA auth, auth_admin, auth_private FROM PUBLIC;

GRANT USAGE ON SCHEMA auth TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA auth TO PUBLIC;
REVOKE EXECUTE ON FUNCTION auth.jwt_sign, auth.jwt_verify FROM PUBLIC;
