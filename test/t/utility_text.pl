# Where the tables are distributed, Citus takes utility statements to other nodes by
# their text, and has it as it came: a SET of request.headers is no use without its
# token. Whatever shows statements has it masked as ever; and so has every library
# where nothing is distributed.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Wire;

my $dir = PostgreSQL::Test::Utils::tempdir;
my $pg_config = $ENV{PG_CONFIG} // "pg_config";
chomp(my $include = `$pg_config --includedir-server`);
plan skip_all => 'no headers of the server' unless -e "$include/postgres.h";
system('cc', '-shared', '-fPIC', "-I$include", '-o', "$dir/utility_text.so", 'test/lib/utility_text.c') == 0
  or die 'cannot build utility_text.so';
$ENV{UTILITY_TEXT} = "$dir/texts";

my $node = new_node('main', preload => [ 'pg_stat_statements', "$dir/utility_text.so" ], conf => <<'CONF');
log_statement = all
log_min_duration_statement = 0
pg_stat_statements.track = all
CONF
$node->safe_psql('postgres', 'CREATE EXTENSION pg_stat_statements');
account($node, 'ada@example.org');
my $token = signin($node, 'ada@example.org')->{access_token};
my $user = scalar getpwuid($<);

my $set = qq(SET LOCAL request.headers = '{"authorization":"Bearer $token"}');
my $execute = "EXECUTE p('$token')";
my %ways = (
	'the simple protocol' => sub { $_[0]->query($_[1]) },
	'the extended protocol' => sub {
		my ($wire, $sql) = @_;

		$wire->parse('', $sql);
		$wire->bind('', '', []);
		$wire->execute('');
		$wire->sync;
	},
	'a statement that is prepared, twice' => sub {
		my ($wire, $sql) = @_;

		$wire->parse('s', $sql);
		foreach (1 .. 2)
		{
			$wire->bind('', 's', []);
			$wire->execute('');
		}
		$wire->sync;
	});

# What the other library is given of a statement that shows the token; and nobody
# else, which is looked for when it has ended, and while it was the last one.
sub texts_of
{
	my ($way, $sql) = @_;
	my $wire = Wire->new($node, user => $user);
	my $watcher = sql_connect($node);

	$wire->query('BEGIN');
	$wire->query('PREPARE p (text) AS SELECT auth.verify($1)');
	unlink $ENV{UTILITY_TEXT};
	my $answer = $ways{$way}->($wire, $sql);
	is($answer->{error}{C}, undef, "$way: it is run");
	is($watcher->selectrow_array('SELECT count(*) FROM pg_stat_activity WHERE strpos(query, $1) > 0', {}, $token),
		0, "G3: $way: pg_stat_activity has no token");
	$wire->query('COMMIT');
	$wire->close;
	is($watcher->selectrow_array('SELECT count(*) FROM pg_stat_statements WHERE strpos(query, $1) > 0', {}, $token),
		0, "G3: $way: nor has pg_stat_statements");
	return [ grep { /^(?:SET|EXECUTE)/ } split /\n/, -e $ENV{UTILITY_TEXT} ? slurp_file($ENV{UTILITY_TEXT}) : '' ];
}

my %seen = map { my $way = $_; ($way => texts_of($way, $set)) } sort keys %ways;
foreach my $way (sort keys %seen)
{
	ok(@{ $seen{$way} } > 0, "$way: the other library is asked");
	is(scalar(grep { index($_, $token) >= 0 } @{ $seen{$way} }), 0, "G3: $way: and sees no token");
}

# ---- where the tables are distributed ----

my $loader = sql_connect($node);
$loader->do(<<'SQL');
CREATE ROLE auth_session_node LOGIN;
GRANT USAGE ON SCHEMA auth_private TO auth_session_node;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auth_private TO auth_session_node;
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass PRIMARY KEY);
INSERT INTO pg_dist_partition VALUES ('auth_private.sessions');
ALTER TABLE auth_private.sessions SET (fillfactor = 80);
SQL
foreach my $way (sort keys %ways)
{
	my $texts = texts_of($way, $set);

	ok(@$texts > 0, "$way: the other library is asked");
	is_deeply([ grep { $_ ne $set } @$texts ], [], "$way: and has the text as it came");
	is_deeply([ grep { $_ ne $execute } @{ texts_of($way, $execute) } ], [], "$way: of EXECUTE, too");
}

$node->stop;
is(index(slurp_file($node->logfile), $token), -1, 'G3: the log has no token');
done_testing();
