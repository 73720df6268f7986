/*
 * The role that owns everything, and the three schemas.
 *
 * Nothing that exists already is adopted, but for the role, which DROP
 * EXTENSION leaves behind and a cluster shares among its databases: it must
 * be as this script would have made it.
 */

\echo Use "CREATE EXTENSION auth_session" to load this file. \quit

DO $$
DECLARE
	found pg_catalog.pg_roles;
BEGIN
	SELECT * INTO found FROM pg_catalog.pg_roles WHERE rolname = 'auth_session_owner';
	IF found.rolname IS NULL THEN
		CREATE ROLE auth_session_owner NOLOGIN;
	ELSIF found.rolcanlogin OR found.rolsuper OR found.rolcreaterole OR found.rolcreatedb
		OR found.rolreplication OR found.rolbypassrls
		OR EXISTS (SELECT FROM pg_catalog.pg_auth_members WHERE found.oid IN (roleid, member))
	THEN
		RAISE EXCEPTION 'role "auth_session_owner" exists and is not safe to use'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			DETAIL = 'It must be NOLOGIN, without special attributes, without members, and a member of nothing.',
			HINT = 'Alter, or rename, the existing role.';
	-- What it owned would run with its rights; default privileges are owned too.
	ELSIF EXISTS (SELECT FROM pg_catalog.pg_shdepend
		WHERE refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass AND refobjid = found.oid
			AND dbid IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())))
	THEN
		RAISE EXCEPTION 'role "auth_session_owner" exists and is not safe to use'
			USING ERRCODE = 'object_not_in_prerequisite_state',
			DETAIL = 'It owns something in this database, or has been granted something.',
			HINT = 'Look at it as a superuser, then run: DROP OWNED BY auth_session_owner;';
	END IF;
END
$$;

COMMENT ON ROLE auth_session_owner IS
	'owner of the tables and functions of auth_session; nobody logs in as it, nobody is a member';

CREATE SCHEMA auth AUTHORIZATION auth_session_owner;
COMMENT ON SCHEMA auth IS
	'authentication for application clients: functions and types, no table';

CREATE SCHEMA auth_admin AUTHORIZATION auth_session_owner;
COMMENT ON SCHEMA auth_admin IS
	'authentication for operators and for the bridge: nobody may use it until granted';

CREATE SCHEMA auth_private AUTHORIZATION auth_session_owner;
COMMENT ON SCHEMA auth_private IS
	'the tables of auth_session, for its own functions only';
