/*
 * check_rights.c: what an operator should know of who may do what.
 *
 * CREATE EXTENSION leaves each object with exactly the rights that it should
 * have, and the server keeps those (pg_init_privs): what PUBLIC has now is
 * compared with them. Of auth_private nobody has anything. What an operator
 * granted to a role in auth and auth_admin is his to know.
 */
#include "service/service.h"

/*
 * Each object of the extension, its columns too, and who has which right on it,
 * but for its owner: now, and as it was made.
 */
#define RIGHTS                                                                \
	"WITH members AS ("                                                       \
	"  SELECT classid, objid FROM pg_depend"                                  \
	"   WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'"        \
	"     AND refobjid = (SELECT oid FROM pg_extension"                       \
	"                      WHERE extname = 'auth_session')"                   \
	"), objects AS ("                                                         \
	"  SELECT classid, objid, 0 AS column_number, pronamespace AS schema,"    \
	"         proowner AS owner,"                                             \
	"         coalesce(proacl, acldefault('f', proowner)) AS acl"             \
	"    FROM members JOIN pg_proc ON classid = 'pg_proc'::regclass"          \
	"     AND pg_proc.oid = objid"                                            \
	"  UNION ALL "                                                            \
	"  SELECT classid, objid, 0, relnamespace, relowner,"                     \
	"         coalesce(relacl, acldefault('r', relowner))"                    \
	"    FROM members JOIN pg_class ON classid = 'pg_class'::regclass"        \
	"     AND pg_class.oid = objid"                                           \
	"  UNION ALL "                                                            \
	"  SELECT classid, objid, attnum, relnamespace, relowner, attacl"         \
	"    FROM members JOIN pg_class ON classid = 'pg_class'::regclass"        \
	"     AND pg_class.oid = objid"                                           \
	"    JOIN pg_attribute ON attrelid = objid AND attacl IS NOT NULL"        \
	"  UNION ALL "                                                            \
	"  SELECT classid, objid, 0, oid, nspowner,"                              \
	"         coalesce(nspacl, acldefault('n', nspowner))"                    \
	"    FROM members JOIN pg_namespace"                                      \
	"      ON classid = 'pg_namespace'::regclass AND oid = objid"             \
	"), rights AS ("                                                          \
	"  SELECT classid, objid, column_number, schema, grantee, privilege_type" \
	"    FROM objects, aclexplode(acl) WHERE grantee <> owner"                \
	"), made AS ("                                                            \
	"  SELECT o.classid, o.objid, o.column_number, o.schema, a.grantee,"      \
	"         a.privilege_type"                                               \
	"    FROM objects AS o JOIN pg_init_privs AS p"                           \
	"      ON p.classoid = o.classid AND p.objoid = o.objid"                  \
	"     AND p.objsubid = o.column_number, aclexplode(p.initprivs) AS a"     \
	"   WHERE a.grantee = 0"                                                  \
	") "

static AsStatement granted = AS_READS(
    RIGHTS
    "SELECT format('%s has %s on %s',"
    "   CASE grantee WHEN 0 THEN 'PUBLIC'"
    "     ELSE 'Role ' || quote_ident(pg_get_userbyid(grantee)) END,"
    "   string_agg(DISTINCT privilege_type, ', '),"
    "   pg_describe_object(classid, objid, column_number)) AS finding,"
    " CASE WHEN grantee = 0 THEN 'Anybody who can connect has it.'"
    "   ELSE 'It can read or change what the extension keeps, and the server"
    " may run its code with the extension''s rights.' END AS risk,"
    " 'Revoke it.' AS cure"
    "  FROM (SELECT * FROM rights WHERE grantee = 0"
    "           OR schema = 'auth_private'::regnamespace"
    "        EXCEPT SELECT * FROM made) AS more"
    " GROUP BY classid, objid, column_number, grantee"
    " ORDER BY 1");

static AsStatement revoked = AS_READS(
    RIGHTS
    "SELECT format('PUBLIC lacks %s on %s',"
    "   string_agg(DISTINCT privilege_type, ', '),"
    "   pg_describe_object(classid, objid, column_number)) AS finding,"
    " 'Clients that are not granted it by name are refused: permission"
    " denied.' AS risk,"
    " 'Grant it to PUBLIC again, or to the roles of clients: each function of"
    " auth authenticates by itself.' AS cure"
    "  FROM (SELECT * FROM made EXCEPT SELECT * FROM rights) AS fewer"
    " GROUP BY classid, objid, column_number ORDER BY 1");

static AsStatement owners = AS_READS(
    "SELECT format('Role auth_session_owner %s', what) AS finding,"
    " 'Everything that the extension keeps is that role''s.' AS risk,"
    " 'Make it NOLOGIN again, without attributes and members.' AS cure"
    "  FROM (SELECT CASE WHEN rolcanlogin THEN 'can log in'"
    "                 ELSE 'has special attributes' END"
    "          FROM pg_roles WHERE rolname = 'auth_session_owner'"
    "           AND (rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb"
    "                OR rolreplication OR rolbypassrls)"
    "        UNION ALL "
    "        SELECT 'has the member ' || quote_ident(pg_get_userbyid(member))"
    "          FROM pg_auth_members"
    "         WHERE roleid = 'auth_session_owner'::regrole"
    "        UNION ALL "
    "        SELECT 'is a member of ' || quote_ident(pg_get_userbyid(roleid))"
    "          FROM pg_auth_members"
    "         WHERE member = 'auth_session_owner'::regrole) AS v (what)"
    " UNION ALL "
    "SELECT format('%s belongs to %I', pg_describe_object(classid, objid, 0),"
    "   pg_get_userbyid(owner)),"
    " 'It runs with that role''s rights, or is that role''s to change.',"
    " 'Alter its owner to auth_session_owner.'"
    "  FROM (SELECT 'pg_proc'::regclass, oid, pronamespace, proowner"
    "          FROM pg_proc WHERE prosecdef"
    "        UNION ALL SELECT 'pg_class'::regclass, oid, relnamespace, relowner"
    "          FROM pg_class WHERE relkind IN ('r', 'v')"
    "       ) AS o (classid, objid, schema, owner)"
    " WHERE schema IN ('auth'::regnamespace, 'auth_admin'::regnamespace,"
    "                  'auth_private'::regnamespace)"
    "   AND owner <> 'auth_session_owner'::regrole");

/*
 * What a policy says itself, and what the functions that it calls say. A parsed
 * expression is looked at as it is stored, where a constant's bytes are decimal
 * numbers: to be shown as SQL it has the tables of its subqueries locked, and
 * whoever may make a table could keep the answer back.
 */
#define SAYS_REQUEST_JWT " ~ ' 114 101 113 117 101 115 116 46 106 119 116 '"

static AsStatement policies = AS_READS(
    "SELECT format('Policy %I of table %s reads request.jwt.claims', polname,"
    "   polrelid::regclass) AS finding,"
    " 'Whoever can run SQL sets that to what he likes, and a token that has"
    " been logged out goes on working.' AS risk,"
    " 'Let it call auth.uid(), auth.role() or auth.jwt().' AS cure"
    "  FROM pg_policy AS p"
    " WHERE concat(polqual, ' ', polwithcheck)" SAYS_REQUEST_JWT
    "    OR EXISTS (SELECT FROM pg_depend JOIN pg_proc AS f"
    "                 ON refclassid = 'pg_proc'::regclass AND refobjid = f.oid"
    "        WHERE classid = 'pg_policy'::regclass AND objid = p.oid"
    "          AND (prosrc ~ 'request[.]jwt'"
    "           OR prosqlbody::text" SAYS_REQUEST_JWT "))"
    " UNION ALL "
    "SELECT DISTINCT format('Row-level security of table %s is off, though its"
    " policies ask who is calling', polrelid::regclass),"
    " 'Its rows are everybody''s who may read the table.',"
    " format('Run: ALTER TABLE %s ENABLE ROW LEVEL SECURITY;',"
    "   polrelid::regclass)"
    "  FROM pg_policy AS p JOIN pg_class AS c ON c.oid = polrelid"
    "  JOIN pg_depend AS d ON d.classid = 'pg_policy'::regclass"
    "   AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass"
    "  JOIN pg_proc AS f ON f.oid = d.refobjid"
    "   AND f.pronamespace = 'auth'::regnamespace"
    " WHERE NOT c.relrowsecurity");

void
as_rights_check(AsFindings *findings)
{
	as_finding_select(findings, &granted, AS_NO_ARGS);
	as_finding_select(findings, &revoked, AS_NO_ARGS);
	as_finding_select(findings, &owners, AS_NO_ARGS);
	as_finding_select(findings, &policies, AS_NO_ARGS);
}
