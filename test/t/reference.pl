# doc/reference.md and doc/settings.md say what the catalog says: every function,
# type, view, table and column with its comment, every setting, failure and
# notification. `make reference` writes them anew.
use strict;
use warnings;
use AuthSession;
use File::Temp qw(tempdir);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('reference');
my $dir = tempdir(CLEANUP => 1);
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';

is(system('test/lib/reference', $dir), 0, 'the reference can be made');
foreach my $name (qw(reference.md settings.md))
{
	my $kept = -f "doc/$name" ? slurp_file("doc/$name") : '';

	ok($kept eq slurp_file("$dir/$name"), "doc/$name is what make reference writes")
	  or diag(`diff -u doc/$name $dir/$name`);
}

# Each name that somebody can come across is in there.
my $text = slurp_file('doc/reference.md') . slurp_file('doc/settings.md');
foreach my $name (split /\n/, $node->safe_psql('postgres', <<'SQL'))
SELECT p.oid::regproc::text FROM pg_proc AS p WHERE p.pronamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace)
UNION ALL SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relkind IN ('r', 'v', 'c')
	AND c.relnamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace, 'auth_private'::regnamespace)
UNION ALL SELECT substr(name, 14) FROM pg_settings WHERE name LIKE 'auth\_session.%'
SQL
{
	like($text, qr/`\Q$name\E`/, "$name is documented");
}
foreach my $kind (map { s/.*\/|\.tmpl$//gr } glob 'src/bridge/templates/en/*.tmpl')
{
	like($text, qr/^\| `\Q$kind\E` \|/m, "notifications of kind $kind are documented");
}

# What \df+ shows fits a terminal; the rest stands behind it ("Reference:").
is($node->safe_psql('postgres', <<'SQL'), '', 'the comment of every function of clients and operators is one line');
SELECT oid::regprocedure FROM pg_proc WHERE pronamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace)
	AND (obj_description(oid, 'pg_proc') ~ '\n' OR length(obj_description(oid, 'pg_proc')) > 120)
SQL

# Comments of columns are a line that a terminal shows whole.
is($node->safe_psql('postgres', <<'SQL'), '', 'every column of a type or view has a comment of one line');
SELECT format('%s.%s', a.attrelid::regclass, a.attname) FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace IN ('auth'::regnamespace, 'auth_admin'::regnamespace) AND c.relkind IN ('v', 'c') AND a.attnum > 0 AND NOT a.attisdropped
	AND coalesce(length(col_description(a.attrelid, a.attnum)) > 100 OR col_description(a.attrelid, a.attnum) ~ '\n', true)
SQL

$node->stop;
done_testing;
