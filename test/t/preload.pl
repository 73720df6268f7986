# Without shared_preload_libraries: the library loads (pg_upgrade and pg_restore
# need that), the extension can be created, which warns, and every function says
# what to set.
use strict;
use warnings;
use AuthSession;
use Test::More;

my $node = new_node('main', start => 0);
my $database = 'postgres';

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
my ($created, undef, $warning) = $node->psql($database, 'CREATE EXTENSION auth_session');
is($created, 0, 'CREATE EXTENSION works without the library preloaded');
like($warning, qr/WARNING:  auth_session is not in shared_preload_libraries.*HINT:  Add auth_session to/s, 'and says so, and what to do');

# Every function in C that somebody can call, with arguments of its types, but
# for the one that says so in its answer (check_configuration.pl). The
# helpers of pg_dump, triggers and event triggers, can't be called.
my @calls = split /\n/, $node->safe_psql($database, <<'SQL');
SELECT format('%s(%s)', p.oid::regproc, coalesce(string_agg(format('%s::%s', quote_literal(CASE t.typcategory
		WHEN 'A' THEN '{}' WHEN 'B' THEN 'f' WHEN 'N' THEN '1' WHEN 'T' THEN '1 minute' WHEN 'D' THEN 'now'
		WHEN 'I' THEN '127.0.0.1' ELSE CASE t.typname WHEN 'uuid' THEN '00000000-0000-4000-8000-000000000000'
			WHEN 'jsonb' THEN '{}' WHEN 'json' THEN '{}' ELSE 'a' END END), a.type::regtype), ', ' ORDER BY a.n) FILTER (WHERE a.n IS NOT NULL), ''))
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
LEFT JOIN LATERAL unnest(p.proargtypes) WITH ORDINALITY AS a (type, n) ON true LEFT JOIN pg_type AS t ON t.oid = a.type
WHERE l.lanname = 'c' AND p.pronamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace)
	AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) AND p.proname <> 'check_configuration'
GROUP BY p.oid ORDER BY 1
SQL
cmp_ok(scalar @calls, '>', 30, 'there are functions: ' . @calls);

foreach my $call (@calls)
{
	my ($status, $out, $err) = $node->psql($database, "SELECT $call");
	my ($name) = $call =~ /^([^(]+)/;

	isnt($status, 0, "$name refuses");
	like($err, qr/shared_preload_libraries/, "$name says what to set");
}

is($node->psql($database, q{LOAD 'auth_session'}), 0, 'LOAD works');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'auth_session'");
$node->restart;
is($node->safe_psql($database, q{SELECT status FROM auth.signup('ada@example.org', 'correct horse battery staple')}),
	'pending', 'with the setting it works');
(undef, undef, $warning) = $node->psql($database, 'DROP EXTENSION auth_session; CREATE EXTENSION auth_session');
unlike($warning, qr/preload/, 'and CREATE EXTENSION says nothing of it');

$node->stop;
done_testing;
