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
		FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
		WHERE (t.typnamespace = 'auth'::pg_catalog.regnamespace AND c.relkind = 'c')
			OR (t.typnamespace = 'auth_private'::pg_catalog.regnamespace AND t.typtype = 'b' AND t.typelem = 0)
	LOOP
		EXECUTE pg_catalog.format('ALTER TYPE %s OWNER TO auth_session_owner', owned.name);
	END LOOP;
	FOR owned IN
		SELECT p.oid::pg_catalog.regprocedure AS name
		FROM pg_catalog.pg_proc AS p
		WHERE p.pronamespace IN ('auth'::pg_catalog.regnamespace, 'auth_admin'::pg_catalog.regnamespace,
			'auth_private'::pg_catalog.regnamespace)
	LOOP
		EXECUTE pg_catalog.format('ALTER ROUTINE %s OWNER TO auth_session_owner', owned.name);
	END LOOP;
END
$$;

/*
 * Whatever ALTER DEFAULT PRIVILEGES of whoever installs, or anybody since, has
 * granted or taken away: first nobody has a right but the owner, who has all.
 */
DO $$
DECLARE
	object record;
	grantee text;
BEGIN
	FOR object IN
		SELECT 'SCHEMA' AS kind, pg_catalog.quote_ident(n.nspname) AS name,
			COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner)) AS acl
		FROM pg_catalog.pg_namespace AS n
		WHERE n.nspname IN ('auth', 'auth_admin', 'auth_private')
		UNION ALL
		SELECT 'TABLE', c.oid::pg_catalog.regclass::text,
			COALESCE(c.relacl, pg_catalog.acldefault('r', c.relowner))
		FROM pg_catalog.pg_class AS c
		WHERE c.relnamespace IN ('auth_admin'::pg_catalog.regnamespace, 'auth_private'::pg_catalog.regnamespace)
			AND c.relkind IN ('r', 'v')
		UNION ALL
		-- A table's REVOKE takes the rights on its columns along.
		SELECT 'TABLE', a.attrelid::pg_catalog.regclass::text, a.attacl
		FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
		WHERE c.relnamespace IN ('auth_admin'::pg_catalog.regnamespace, 'auth_private'::pg_catalog.regnamespace)
			AND a.attacl IS NOT NULL
		UNION ALL
		SELECT 'ROUTINE', p.oid::pg_catalog.regprocedure::text,
			COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner))
		FROM pg_catalog.pg_proc AS p
		WHERE p.pronamespace IN ('auth'::pg_catalog.regnamespace, 'auth_admin'::pg_catalog.regnamespace,
			'auth_private'::pg_catalog.regnamespace)
		UNION ALL
		SELECT 'TYPE', t.oid::pg_catalog.regtype::text,
			COALESCE(t.typacl, pg_catalog.acldefault('T', t.typowner))
		FROM pg_catalog.pg_type AS t LEFT JOIN pg_catalog.pg_class AS c ON c.oid = t.typrelid
		WHERE (t.typnamespace = 'auth'::pg_catalog.regnamespace AND c.relkind = 'c')
			OR (t.typnamespace = 'auth_private'::pg_catalog.regnamespace AND t.typtype = 'b' AND t.typelem = 0)
	LOOP
		FOR grantee IN
			SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC'
				ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END
			FROM pg_catalog.aclexplode(object.acl) AS a
		LOOP
			EXECUTE pg_catalog.format('REVOKE ALL ON %s %s FROM %s CASCADE', object.kind, object.name, grantee);
		END LOOP;
		EXECUTE pg_catalog.format('GRANT ALL ON %s %s TO auth_session_owner', object.kind, object.name);
		IF object.kind OPERATOR(pg_catalog.=) 'TYPE' AND object.name OPERATOR(pg_catalog.~~) 'auth.%' THEN
			EXECUTE pg_catalog.format('GRANT USAGE ON TYPE %s TO PUBLIC', object.name);
		END IF;
	END LOOP;
END
$$;

GRANT USAGE ON SCHEMA auth TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA auth TO PUBLIC;
REVOKE EXECUTE ON FUNCTION auth.jwt_sign, auth.jwt_verify FROM PUBLIC;
