# CREATE EXTENSION in a database where somebody was before: it refuses what it
# can't trust, changes nothing then, and is not led astray by what else is
# there. The role is cluster-wide: each case has a database of its own.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use Test::More;

my $node = new_node('main', extension => 0);
my $database = 'postgres';
my $cases = 0;

# What a database and the cluster's roles look like.
sub state_of
{
	my ($name) = @_;
	return $node->safe_psql($name, <<'SQL');
SELECT rolname, rolcanlogin, rolsuper, rolinherit, rolcreaterole, rolcreatedb,
	   rolreplication, rolbypassrls, rolconnlimit
FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname;
SELECT roleid::regrole, member::regrole FROM pg_auth_members
WHERE roleid >= 16384 OR member >= 16384 ORDER BY 1, 2;
SELECT nspname, nspowner::regrole, nspacl FROM pg_namespace ORDER BY 1;
SELECT extname FROM pg_extension ORDER BY 1;
SELECT oid::regprocedure FROM pg_proc WHERE oid >= 16384 ORDER BY 1;
SELECT oid::regclass FROM pg_class WHERE oid >= 16384 ORDER BY 1;
SQL
}

# refuses(WHAT, BEFORE, AFTER, PATTERN): with BEFORE done, CREATE EXTENSION
# fails with an error like PATTERN and changes nothing; AFTER cleans up.
sub refuses
{
	my ($what, $before, $after, $pattern) = @_;
	my $name = 'case_' . ++$cases;

	$node->safe_psql($database, "CREATE DATABASE $name");
	$node->safe_psql($name, $before);
	my $state = state_of($name);
	my ($status, $out, $err) = $node->psql($name, 'CREATE EXTENSION auth_session');
	isnt($status, 0, "G2: refuses to install where $what");
	like($err, $pattern, "G2: says so, where $what");
	is(state_of($name), $state, "G2: changes nothing, where $what");
	$node->safe_psql($name, $after);
	return;
}

my $role = 'auth_session_owner';
my $drop = "DROP ROLE $role;";

foreach my $attribute (
	qw(LOGIN SUPERUSER CREATEDB CREATEROLE REPLICATION BYPASSRLS))
{
	refuses("the role exists with $attribute",
		"CREATE ROLE $role NOLOGIN; ALTER ROLE $role $attribute", $drop, qr/$role/);
}
refuses(
	'the role has a member',
	"CREATE ROLE $role NOLOGIN; CREATE ROLE stranger; GRANT $role TO stranger",
	"$drop DROP ROLE stranger",
	qr/$role/);
refuses(
	'the role is a member of another',
	"CREATE ROLE $role NOLOGIN; GRANT pg_read_all_data TO $role", $drop, qr/$role.*member of nothing/s);
refuses(
	'the role owns a function',
	"CREATE ROLE $role NOLOGIN;
	 CREATE FUNCTION public.back_door(statement text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS
		\$\$ BEGIN EXECUTE statement; END \$\$;
	 ALTER FUNCTION public.back_door(text) OWNER TO $role",
	"DROP OWNED BY $role; $drop", qr/owns something in this database/);
refuses(
	'the role has default privileges',
	"CREATE ROLE $role NOLOGIN; CREATE ROLE stranger;
	 ALTER DEFAULT PRIVILEGES FOR ROLE $role GRANT SELECT ON TABLES TO stranger",
	"DROP OWNED BY $role; $drop DROP ROLE stranger", qr/owns something in this database/);
foreach my $schema (qw(auth auth_admin auth_private))
{
	refuses(
		"the schema $schema exists", "CREATE SCHEMA $schema",
		"DROP SCHEMA $schema", qr/schema "?$schema"? already exists|$schema/);
}
refuses(
	'the schema auth is a stranger\'s',
	'CREATE ROLE stranger; CREATE SCHEMA auth AUTHORIZATION stranger;
	 CREATE FUNCTION auth.signin(email text, password text) RETURNS text LANGUAGE sql AS \'SELECT $2\'',
	'DROP SCHEMA auth CASCADE; DROP ROLE stranger',
	qr/auth/);

# A plain role of that name is what an earlier installation left.
$node->safe_psql($database, 'CREATE DATABASE first');
$node->safe_psql($database, "CREATE ROLE $role NOLOGIN");
is($node->psql('first', 'CREATE EXTENSION auth_session'),
	0, 'an existing role without any attribute or member is accepted');
$node->safe_psql('first', 'DROP EXTENSION auth_session');
is( $node->safe_psql('first',
		q{SELECT count(*) FROM pg_namespace WHERE nspname ~ '^auth'}),
	'0', 'DROP EXTENSION leaves no schema');
is($node->psql('first', 'CREATE EXTENSION auth_session'),
	0, 'and it can be created again');
$node->safe_psql($database, 'CREATE DATABASE second');
$node->safe_psql('second', 'DROP SCHEMA public');
is($node->psql('second', 'CREATE EXTENSION auth_session'),
	0, 'in a second database, and where public was dropped');

# H4: what whoever installs gives away, or withholds, by default changes no
# right on any object.
sub rights
{
	my ($name) = @_;
	return $node->safe_psql($name, <<'SQL');
SELECT kind, name, a.grantee::regrole, a.privilege_type, a.is_grantable
FROM (
	SELECT 'schema', nspname::text, coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE nspname ~ '^auth(_admin|_private)?$'
	UNION ALL
	SELECT 'relation', c.oid::regclass::text, coalesce(relacl, acldefault('r', relowner)) FROM pg_class c
	WHERE relnamespace::regnamespace::text ~ '^auth(_admin|_private)?$' AND relkind IN ('r', 'v', 'S')
	UNION ALL
	SELECT 'column', attrelid::regclass || '.' || attname, attacl FROM pg_attribute WHERE attacl IS NOT NULL AND attrelid >= 16384
	UNION ALL
	SELECT 'routine', p.oid::regprocedure::text, coalesce(proacl, acldefault('f', proowner)) FROM pg_proc p
	WHERE pronamespace::regnamespace::text ~ '^auth(_admin|_private)?$'
	UNION ALL
	SELECT 'type', t.oid::regtype::text, coalesce(typacl, acldefault('T', typowner)) FROM pg_type t
	WHERE typnamespace::regnamespace::text ~ '^auth(_admin|_private)?$' AND typtype = 'c'
		AND EXISTS (SELECT FROM pg_class c WHERE c.oid = typrelid AND relkind = 'c')
) AS object (kind, name, acl), aclexplode(acl) AS a
ORDER BY 1, 2, 3, 4;
SQL
}
$node->safe_psql($database, 'CREATE DATABASE generous; CREATE ROLE friend');
foreach my $kind ([ TABLES => 'ALL' ], [ SEQUENCES => 'ALL' ], [ ROUTINES => 'EXECUTE' ], [ TYPES => 'USAGE' ], [ SCHEMAS => 'ALL' ])
{
	my ($objects, $privilege) = @$kind;

	$node->safe_psql('generous', "ALTER DEFAULT PRIVILEGES GRANT $privilege ON $objects TO PUBLIC");
	$node->safe_psql('generous', "ALTER DEFAULT PRIVILEGES GRANT $privilege ON $objects TO friend WITH GRANT OPTION");
	$node->safe_psql('generous', "ALTER DEFAULT PRIVILEGES REVOKE $privilege ON $objects FROM CURRENT_USER");
}
$node->safe_psql('generous', 'CREATE EXTENSION auth_session');
is(rights('generous'), rights('second'), 'H4: default privileges change no right on anything');
unlike(rights('generous'), qr/^\w+\|auth_private[^|]*\|(?!auth_session_owner)/m, 'H3: in auth_private nobody has any');
is_deeply([ grep { !/\|auth_session_owner\|/ && !/^(routine\|auth\.|type\|auth\.|schema\|auth\|-\|USAGE\|f$)/ } split /\n/, rights('generous') ], [],
	'H4: and elsewhere only the schema auth is for anyone');

# Ready without configuration, and empty.
is( $node->safe_psql('second', 'SELECT count(*) FROM auth_admin.users'),
	'0', 'B10: there is no account after the installation');
is($node->safe_psql('second', 'SELECT count(*) FROM auth_private.signing_keys'),
	'0', 'B10: there is no key before the first use');
account($node, 'ada@example.org', dbname => 'first');
account($node, 'ada@example.org', dbname => 'second');
my $first = signin($node, 'ada@example.org', dbname => 'first');
refused($node, 'SELECT auth.verify(' . quoted($first->{access_token}) . ')',
	'invalid_token', 'B10: two installations have different keys', 'second');
refused($node, 'SELECT auth.renew(' . quoted($first->{refresh_token}) . ')',
	'invalid_token', 'E10: a refresh token of another installation is unknown',
	'second');

# Objects that shadow the server's, in the caller's way, are never used.
$node->safe_psql('first', <<'SQL');
CREATE SCHEMA evil;
CREATE FUNCTION evil.boom() RETURNS boolean LANGUAGE plpgsql AS
	$$ BEGIN RAISE EXCEPTION 'evil code ran as %', current_user; END $$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE sql AS
	$$ SELECT CASE WHEN evil.boom() THEN pg_catalog.now() END $$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
	$$ SELECT CASE WHEN evil.boom() THEN pg_catalog.now() END $$;
CREATE FUNCTION evil.equal(uuid, uuid) RETURNS boolean LANGUAGE sql AS
	$$ SELECT evil.boom() $$;
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE sql AS
	$$ SELECT evil.boom() $$;
CREATE FUNCTION evil.later(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS
	$$ SELECT evil.boom() $$;
CREATE OPERATOR evil.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = evil.equal);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.equal);
CREATE OPERATOR evil.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
CREATE OPERATOR evil.< (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.later);
SQL
my $evil = 'SET search_path = evil, pg_catalog, auth, auth_private;
	CREATE TEMP TABLE sessions (LIKE auth_private.sessions);
	CREATE TEMP TABLE accounts (LIKE auth_private.accounts);';
my ($status, $out, $err) = $node->psql('first', "SET search_path = evil, pg_catalog; SELECT now()");
like($err, qr/evil code ran/, 'G2: the trap works');
my $renewed = $node->safe_psql('first',
	"$evil SELECT access_token FROM auth.renew(" . quoted($first->{refresh_token}) . ')');
is( $node->safe_psql('first',
		"$evil SELECT pg_catalog.jsonb_extract_path_text(auth.verify(" . quoted($renewed) . "), 'sub')"),
	$first->{user_id}, 'G2: verify and renew do not fall into it');
is( $node->safe_psql('first',
		"$evil SELECT auth.authenticate(" . quoted($renewed)
		  . ") \\g /dev/null\nBEGIN; SELECT auth.authenticate(" . quoted($renewed)
		  . ') \g /dev/null
		  SELECT auth.uid(); SELECT auth.logout() \g /dev/null
		  COMMIT'),
	$first->{user_id}, 'G2: nor do the context and logout');
ok( $node->safe_psql('first',
		"$evil SELECT access_token FROM auth.signin('ada\@example.org', "
		  . quoted($PASSWORD) . ')'),
	'G2: nor does sign-in');

# Every function that runs with its owner's rights pins its path, pg_temp last.
is( $node->safe_psql('first', <<'SQL'), '', 'G2: every SECURITY DEFINER function pins its search_path');
SELECT p.oid::regprocedure
FROM pg_proc p
JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
WHERE e.extname = 'auth_session' AND p.prosecdef
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);
SQL

$node->stop;
done_testing;
