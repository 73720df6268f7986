--
-- CREATE EXTENSION with nothing configured, what it makes and whose that is,
-- what it refuses to adopt (G2), and what DROP EXTENSION leaves.
--
-- The role is the cluster's, and other databases may use it: it is put aside
-- under another name, so that this test meets a cluster without it.
--
\set SHOW_CONTEXT never
SELECT 'ALTER ROLE auth_session_owner RENAME TO auth_session_owner_aside'
	WHERE to_regrole('auth_session_owner') IS NOT NULL
\set ECHO none
\gexec
\set ECHO all

-- What there is of the extension here; all false after a refusal.
CREATE VIEW remains AS SELECT
	EXISTS (SELECT FROM pg_extension WHERE extname = 'auth_session') AS extension,
	EXISTS (SELECT FROM pg_namespace n JOIN pg_roles r ON r.oid = n.nspowner
		WHERE r.rolname = 'auth_session_owner') AS schemas,
	EXISTS (SELECT FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
		WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname = 'auth_session_owner'
			AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		) AS objects;

-- G2: a schema of ours that exists is never adopted, and no role is left.
CREATE SCHEMA auth;
CREATE EXTENSION auth_session;
DROP SCHEMA auth;
CREATE SCHEMA auth_admin;
CREATE EXTENSION auth_session;
DROP SCHEMA auth_admin;
CREATE SCHEMA auth_private;
CREATE EXTENSION auth_session;
DROP SCHEMA auth_private;
SELECT *, to_regrole('auth_session_owner') AS role FROM remains;

-- G2: a role of that name that could be used by somebody is refused.
CREATE ROLE auth_session_owner LOGIN;
CREATE EXTENSION auth_session;
ALTER ROLE auth_session_owner NOLOGIN SUPERUSER;
CREATE EXTENSION auth_session;
ALTER ROLE auth_session_owner NOSUPERUSER CREATEROLE;
CREATE EXTENSION auth_session;
ALTER ROLE auth_session_owner NOCREATEROLE CREATEDB;
CREATE EXTENSION auth_session;
ALTER ROLE auth_session_owner NOCREATEDB REPLICATION;
CREATE EXTENSION auth_session;
ALTER ROLE auth_session_owner NOREPLICATION BYPASSRLS;
CREATE EXTENSION auth_session;
ALTER ROLE auth_session_owner NOBYPASSRLS;
CREATE ROLE regress_intruder LOGIN;
GRANT auth_session_owner TO regress_intruder;
CREATE EXTENSION auth_session;
REVOKE auth_session_owner FROM regress_intruder;
SELECT * FROM remains;

-- Nor does it work for anybody but a superuser.
GRANT CREATE ON DATABASE :DBNAME TO regress_intruder;
SET ROLE regress_intruder;
CREATE EXTENSION auth_session;
RESET ROLE;
REVOKE CREATE ON DATABASE :DBNAME FROM regress_intruder;
SELECT * FROM remains;

-- G2: objects in schemas that anybody may write to are not found instead of
-- the server's own, whatever the search_path.
CREATE SCHEMA hostile;
CREATE FUNCTION hostile.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'hostile function called'; END $$;
CREATE FUNCTION hostile.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'hostile operator called'; END $$;
CREATE OPERATOR hostile.= (LEFTARG = text, RIGHTARG = text, FUNCTION = hostile.equal);
CREATE TABLE hostile.pg_roles (oid oid, rolname name);
CREATE DOMAIN hostile.uuid AS text CHECK (false);
CREATE TEMPORARY TABLE accounts (id int);
SET search_path = hostile, pg_temp, pg_catalog, public;

-- A role that is safe is taken as it is, one that is missing is made.
CREATE EXTENSION auth_session;
DROP EXTENSION auth_session;
RESET search_path;
DROP ROLE auth_session_owner;
SET client_min_messages = warning;
DROP SCHEMA hostile CASCADE;
RESET client_min_messages;
DROP TABLE pg_temp.accounts;
-- Without a site_url it says what messages lack.
SET auth_session.site_url = '';
CREATE EXTENSION auth_session;
RESET auth_session.site_url;
SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
		rolpassword IS NULL AS no_password,
		(SELECT count(*) FROM pg_auth_members WHERE a.oid IN (roleid, member)) AS memberships
	FROM pg_authid AS a WHERE rolname = 'auth_session_owner';

-- Every object of the extension; row and array types only from 17 on depend
-- on it by themselves, and the names of the server's types differ.
CREATE VIEW owned AS
	SELECT i.type, replace(i.identity, 'pg_catalog.', '') AS identity, d.classid, d.objid
	FROM pg_depend AS d, pg_identify_object(d.classid, d.objid, d.objsubid) AS i
	WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
		AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'auth_session')
		AND NOT (d.classid = 'pg_type'::regclass AND NOT EXISTS (
			SELECT FROM pg_type AS t JOIN pg_class AS c ON c.oid = t.typrelid
			WHERE t.oid = d.objid AND c.relkind = 'c'));
SELECT type, identity FROM owned ORDER BY type COLLATE "C", identity COLLATE "C";

-- Whatever is in the three schemas is the role's, indexes and row types too.
SELECT c.oid::regclass AS not_the_roles FROM pg_class AS c
	WHERE c.relnamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace, 'auth_private'::regnamespace)
		AND c.relowner <> 'auth_session_owner'::regrole
UNION ALL
SELECT c.oid FROM pg_proc AS c
	WHERE c.pronamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace, 'auth_private'::regnamespace)
		AND c.proowner <> 'auth_session_owner'::regrole
UNION ALL
SELECT c.oid FROM pg_type AS c
	WHERE c.typnamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace, 'auth_private'::regnamespace)
		AND c.typowner <> 'auth_session_owner'::regrole
UNION ALL
SELECT c.oid FROM pg_namespace AS c
	WHERE c.nspname IN ('auth', 'auth_admin', 'auth_private')
		AND c.nspowner <> 'auth_session_owner'::regrole;

-- And it is all in them: nothing of the extension lies elsewhere.
SELECT type, identity FROM owned
	WHERE split_part(identity, '.', 1) NOT IN ('auth', 'auth_admin', 'auth_private');

-- Every object has its comment: members, triggers, the extension, the role.
SELECT type, identity AS without_comment FROM owned
	WHERE obj_description(objid, classid::regclass::name) IS NULL
UNION ALL
SELECT 'trigger', t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
	WHERE c.relnamespace = 'auth_private'::regnamespace AND NOT t.tgisinternal
		AND obj_description(t.oid, 'pg_trigger') IS NULL
UNION ALL
SELECT 'extension', e.extname FROM pg_extension AS e
	WHERE e.extname = 'auth_session' AND obj_description(e.oid, 'pg_extension') IS NULL
UNION ALL
SELECT 'role', r.rolname FROM pg_roles AS r
	WHERE r.rolname = 'auth_session_owner' AND shobj_description(r.oid, 'pg_authid') IS NULL;

-- B10: no account, no session and no key is there from the beginning.
SELECT string_agg(format('SELECT %L AS not_empty FROM %s', t.oid::regclass, t.oid::regclass), ' UNION ALL ')
	FROM pg_class AS t
	WHERE t.relnamespace = 'auth_private'::regnamespace AND t.relkind = 'r'
		AND t.relname <> 'common_passwords'
\set ECHO none
\gexec
\set ECHO all

-- What pg_dump brings back: every table but the token cache, and of the
-- refused passwords those that an operator added.
SELECT t.relname AS dumped, c.condition
	FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS c (relation, condition)
		JOIN pg_class AS t ON t.oid = c.relation
	WHERE e.extname = 'auth_session' ORDER BY t.relname COLLATE "C";
SELECT t.relname AS not_dumped, t.relpersistence FROM pg_class AS t, pg_extension AS e
	WHERE t.relnamespace = 'auth_private'::regnamespace AND t.relkind IN ('r', 'S')
		AND e.extname = 'auth_session' AND t.oid <> ALL (e.extconfig)
	ORDER BY t.relname COLLATE "C";

-- Where it runs: a per-user table's keys contain the user, and foreign keys
-- join tables of one user only.
SELECT c.conrelid::regclass AS of_table, c.contype, pg_get_constraintdef(c.oid) AS key
	FROM pg_constraint AS c
	WHERE c.connamespace = 'auth_private'::regnamespace AND c.contype IN ('p', 'u', 'f')
	ORDER BY c.conrelid::regclass::text COLLATE "C", c.contype, c.conname;

-- A sign-up works right away, with nothing configured at all.
SELECT status FROM auth.signup('first@example.com', 'a password of mine');

-- DROP EXTENSION leaves the role and nothing else; then it can be made again.
DROP EXTENSION auth_session;
SELECT *, to_regrole('auth_session_owner') AS role FROM remains;
CREATE EXTENSION auth_session;
SELECT count(*) AS accounts FROM auth_admin.users;
SELECT status FROM auth.signup('first@example.com', 'a password of mine');
DROP EXTENSION auth_session;

DROP ROLE auth_session_owner, regress_intruder;
SELECT 'ALTER ROLE auth_session_owner_aside RENAME TO auth_session_owner'
	WHERE to_regrole('auth_session_owner_aside') IS NOT NULL
\set ECHO none
\gexec
