# The README and doc/guide.md do what they say. Their ```sql blocks are run in order, by psql in
# one session, in a database of their own; the ```sh blocks too, but for what
# installs, builds or runs the tests: of a make command only the target is
# looked up. What is not meant to be run is a ```text block. The guide's table of
# the settings is the server's: each setting, with the default that it has.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no README.md here' unless -f 'README.md';

my @blocks;
foreach my $file (qw(README.md doc/guide.md))
{
	my ($language, $first, @lines);
	open my $readme, '<', $file or die "$file: $!";
	while (my $line = <$readme>)
	{
		chomp $line;
		if (defined $language)
		{
			if ($line =~ /^\s*```\s*$/)
			{
				push @blocks, [ $language, $first, join("\n", @lines), $file ];
				undef $language;
				next;
			}
			push @lines, $line;
		}
		elsif ($line =~ /^\s*```(\w*)\s*$/)
		{
			($language, $first, @lines) = ($1, $. + 1);
		}
	}
	close $readme;
	ok(!defined $language, "every block of $file ends");
}

is(scalar(grep { $_->[0] eq '' } @blocks),
	0, 'every block says what it is');
my ($screen) = grep { $_->[0] eq 'sql' } @blocks;
cmp_ok($screen ? $screen->[1] : 1_000,
	'<', 25, 'working SQL is on the first screen');

my $node = new_node('readme', extension => 0, conf => <<'CONF');
auth_session.require_confirmation = all
CONF
$node->safe_psql('postgres', 'CREATE DATABASE readme');
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'readme';

# One psql for all blocks: a \gset of one is known to the next.
my $script = '';
foreach my $block (grep { $_->[0] eq 'sql' } @blocks)
{
	$script .= "\\echo $block->[3]:$block->[1]\n$block->[2]\n";
}
my ($out, $err) = ('', '');
my $ran = IPC::Run::run(
	[ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', '-' ],
	'<', \$script, '>', \$out, '2>', \$err);
ok($ran, 'their SQL runs as it stands')
  or diag("after " . (($out =~ /.*(\w+\.md:\d+)/s)[0] // 'the start') . ":\n$err");

# The recipes are enough for the job, and for no more.
my ($support, $monitor) = map { sql_connect($node, dbname => 'readme', user => $_) } qw(readme_support readme_monitor);
my ($ada) = $support->selectrow_array(q{SELECT id FROM auth_admin.find_user('ada@example.org')});
ok($ada, 'support finds a user');
foreach my $call (
	'sessions($1)', 'send_password_reset($1)', 'unlock($1)',
	'revoke_sessions($1)', q{ban($1, clock_timestamp() + interval '1 hour', 'a reason')}, 'unban($1)')
{
	ok(eval { $support->do("SELECT * FROM auth_admin.$call", {}, $ada); 1 }, "support: $call") or diag($@);
}
is($support->selectrow_array(q{SELECT actor FROM auth_admin.audit_log WHERE action = 'unban' AND user_id = $1}, {}, $ada),
	'readme_support', 'the log has who did it');
cmp_ok($monitor->selectrow_array('SELECT notifications_waiting FROM auth_admin.stats'), '>=', 0, 'monitoring reads figures');
is($monitor->selectrow_array(q{SELECT count(*) FROM auth_admin.check_configuration() WHERE finding IS NULL OR cure IS NULL}), 0,
	'what is amiss');
cmp_ok($monitor->selectrow_array(q{SELECT count(*) FROM auth_admin.signing_keys WHERE state = 'active'}), '==', 1, 'and which key signs');

my %granted = (
	readme_support => [qw(ban find_user revoke_session revoke_sessions send_password_reset sessions unban unlock audit_log users)],
	readme_monitor => [qw(check_configuration signing_keys stats)]);
foreach my $role (sort keys %granted)
{
	is(
		$node->safe_psql('readme', <<"SQL"), join("\n", sort @{ $granted{$role} }), "$role may do no more");
SELECT proname FROM pg_proc WHERE pronamespace = 'auth_admin'::regnamespace AND has_function_privilege('$role', oid, 'EXECUTE')
UNION ALL SELECT relname FROM pg_class
WHERE relnamespace IN ('auth_admin'::regnamespace, 'auth_private'::regnamespace)
	AND has_any_column_privilege('$role', oid, 'SELECT, INSERT, UPDATE, REFERENCES') ORDER BY 1
SQL
}
$_->disconnect foreach $support, $monitor;

# The tables of its example, as the roles that would use them: the application
# logs in as its own, and neither the owner nor another user sees ada's note.
{
	my %dbh = map { $_ => sql_connect($node, dbname => 'readme', user => 'readme_app') } qw(ada bob nobody);
	my $notes = 'SELECT count(*) FROM app.notes';

	account($node, 'bob@example.org', dbname => 'readme');
	foreach my $name (qw(ada bob))
	{
		$dbh{$name}->do('BEGIN');
		$dbh{$name}->do('SELECT auth.authenticate($1)', {},
			signin($node, "$name\@example.org", dbname => 'readme')->{access_token});
	}
	is($dbh{ada}->selectrow_array($notes), 1, 'the user sees his note');
	is($dbh{bob}->selectrow_array($notes), 0, 'another user sees nothing');
	is($dbh{bob}->do('DELETE FROM app.notes'), '0E0', 'and deletes nothing');
	is($dbh{nobody}->selectrow_array($notes), 0, 'who shows no token sees nothing');
	ok(!eval { $dbh{bob}->do(q{INSERT INTO app.notes (owner, text) VALUES ($1, 'planted')}, {}, $ada); 1 },
		'another user writes nothing in his name');
	is($dbh{bob}->state, '42501', 'since the policy forbids it');
	ok(!eval { $dbh{nobody}->do(q{INSERT INTO app.notes (text) VALUES ('of nobody')}); 1 }, 'nobody writes nothing');
	$_->do('ROLLBACK') foreach @dbh{qw(ada bob)};
	is($dbh{bob}->selectrow_array($notes), 0, 'nor is anything seen on a connection where someone was signed in before');

	is($node->safe_psql('readme', "SET ROLE readme_owner; $notes"), 0, 'nor does the owner of the tables see it');
	is($node->safe_psql('readme', 'SET ROLE readme_owner; WITH gone AS (DELETE FROM app.users RETURNING 1) SELECT count(*) FROM gone'),
		0, 'and the nightly DELETE spares who is there');
	$node->safe_psql('readme', "SELECT auth_admin.delete_user('$ada'); SET ROLE readme_owner; DELETE FROM app.users");
	is($node->safe_psql('readme', $notes), 0, 'of who is gone it takes everything');
	$_->disconnect foreach values %dbh;
}

foreach my $block (grep { $_->[0] eq 'sh' } @blocks)
{
	foreach my $line (split /\n/, $block->[2])
	{
		next if $line =~ /^\s*(#|$)/;
		my $where = "$block->[3]:$block->[1]: $line";

		if ($line =~ /^\s*(?:sudo\s+)?make\b([^#]*)/)
		{
			foreach my $target (grep { !/[=\/]/ && !/^-/ } split ' ', $1)
			{
				my $known =
				  grep { slurp_file($_) =~ /^(?:[^:=\n]*\s)?\Q$target\E(?:\s[^:=\n]*)?:/m }
				  qw(Makefile test/test.mk src/bridge/bridge.mk);
				ok($known || $target =~ /^(all|install|clean|uninstall)$/, $where);
			}
			next;
		}
		next if $line =~ /^\s*(?:sudo|apt-get|apt|git|systemctl|cd)\b/;
		is(system('sh', '-c', "$line >/dev/null"), 0, $where);
	}
}

# A row may have several settings, with a default each or one for all.
my %documented;
my ($table) = slurp_file('doc/guide.md') =~ /^## Settings$(.*?)^## /ms;
foreach my $row (split /\n/, $table // '')
{
	my ($names, $defaults) = $row =~ /^\| (`.*?) \| (.*?) \|/ or next;
	my @names = $names =~ /`(\w+)`/g;
	my @defaults = split /, /, $defaults;

	@defaults = (@defaults) x @names if @defaults == 1;
	is(scalar(@defaults), scalar(@names), "a default for each of $names");
	foreach my $name (@names)
	{
		ok(!exists $documented{$name}, "$name is documented once");
		$documented{$name} = shift @defaults;
	}
}

# As pg_settings has it: a number in the setting's own unit.
sub value_of
{
	my ($documented, $unit) = @_;
	my %factor = (
		's s' => 1, 's min' => 60, 's h' => 3600, 's d' => 86400,
		'ms ms' => 1, 'ms s' => 1000, 'kB MiB' => 1024);

	$documented =~ s/ \(.*\)$//;
	$documented =~ s/^`(.*)`$/$1/;
	return '' if $documented eq 'empty';
	return $1 * ($factor{"$unit $2"} // die "$documented is in no $unit")
	  if $documented =~ /^(\d+) (\w+)$/;
	return $documented;
}

my %server;
foreach my $line (split /\n/, $node->safe_psql('postgres', <<'SQL'))
COPY (SELECT substr(name, length('auth_session.') + 1), boot_val, coalesce(unit, '')
	FROM pg_settings WHERE name LIKE 'auth\_session.%') TO STDOUT
SQL
{
	my ($name, $default, $unit) = split /\t/, $line, -1;
	$server{$name} = { default => $default, unit => $unit };
}
is_deeply([ sort keys %documented ], [ sort keys %server ],
	'every setting of the server is in the guide, and no other');

# What depends on the machine is said in words.
$server{max_concurrent_hashes}{default} = 'half the cores';
$server{max_waiting_hashes}{default} = 'four times that';
foreach my $name (grep { exists $server{$_} } sort keys %documented)
{
	is(value_of($documented{$name}, $server{$name}{unit}),
		$server{$name}{default}, "the default of $name");
}

$node->stop;
done_testing;
