# The findings of auth_admin.check_configuration that need a server of their
# own: each appears, and goes away once it is mended. The others are in
# test/pgtap/check_configuration.sql.
use strict;
use warnings;
use AuthSession;
use File::Temp qw(tempdir);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = tempdir(CLEANUP => 1);
my $node = new_node('check', conf => "max_worker_processes = 8\n");

# The findings that match, as whoever asks.
sub found
{
	my ($pattern, %option) = @_;
	my $at = $option{node} // $node;

	return $at->safe_psql('postgres',
		'SELECT finding FROM auth_admin.check_configuration() WHERE finding ~ ' . quoted($pattern) . ' ORDER BY 1',
		extra_params => [ '-U', $option{user} // getpwuid $< ]);
}

sub cure
{
	my ($pattern) = @_;
	return $node->safe_psql('postgres', 'SELECT cure FROM auth_admin.check_configuration() WHERE finding ~ ' . quoted($pattern));
}

sub set_server
{
	my ($setting, $value) = @_;
	$node->append_conf('postgresql.conf', "$setting = " . quoted($value));
	$node->restart;
	return;
}

# ---- the library
is(found('.', node => $node) =~ /shared_preload_libraries/, '', 'a library that is preloaded is no finding');
set_server('shared_preload_libraries', '');
is(found('.'), 'auth_session is not in shared_preload_libraries', 'one that is not is the one finding');
set_server('shared_preload_libraries', 'auth_session');

# A newer version is installed, and the server was not restarted. The files of
# the server are linked into a directory of their own, but for that one.
{
	my ($bin) = run_command([ 'pg_config', '--bindir' ]);
	my ($share) = run_command([ 'pg_config', '--sharedir' ]);
	my @above = split m{/}, $bin;
	my $root;

	# The least directory that has all of it.
	$root = join '/', @above[ 0 .. $#above ];
	$root =~ s{/[^/]+$}{} until index("$share/", "$root/") == 0;
	system('cp', '-a', $root, "$dir/server") == 0 or die 'cp';
	my $other = PostgreSQL::Test::Cluster->new('newer', install_path => "$dir/server" . substr($bin =~ s{/bin$}{}r, length $root));
	$other->init;
	$other->append_conf('postgresql.conf', "shared_preload_libraries = 'auth_session'\n");
	$other->start;
	$other->safe_psql('postgres', 'CREATE EXTENSION auth_session');
	is(found('installed', node => $other), '', 'the version that is installed is the one that runs');
	my $control = "$dir/server" . substr($share, length $root) . '/extension/auth_session.control';
	write_control($control, slurp_file($control) =~ s/^default_version = '.*'/default_version = '99.0'/mr);
	like(found('installed', node => $other), qr/^Version 99\.0 is installed, and the server still runs \d/, 'a newer one is found');
	$other->stop;
}

sub write_control
{
	my ($path, $text) = @_;
	unlink $path;
	open my $file, '>', $path or die "$path: $!";
	print {$file} $text;
	close $file;
	return;
}

# The extension is of another version than the library: a finding, and a line in
# the log, one for each database and start of the server, whoever calls.
my $version = $node->safe_psql('postgres', q{SELECT extversion FROM pg_extension WHERE extname = 'auth_session'});

sub told
{
	my ($offset) = @_;
	my @databases = slurp_file($node->logfile, $offset)
	  =~ /LOG:  the server runs the auth_session library of version \Q$version\E, and the extension in database "(\w+)" is 0\.9\n/g;

	return join ' ', sort @databases;
}

$node->safe_psql('postgres', 'CREATE DATABASE second');
$node->safe_psql('second', 'CREATE EXTENSION auth_session');
$node->restart;
foreach my $case ([ 'one version of both', $version, '' ], [ 'two versions', '0.9', 'postgres second' ], [ 'and after a restart two', '0.9', 'postgres second' ])
{
	my ($name, $installed, $databases) = @$case;
	my $offset = -s $node->logfile;
	my $client = '';

	$node->safe_psql($_, "UPDATE pg_extension SET extversion = '$installed' WHERE extname = 'auth_session'") foreach qw(postgres second);
	$client .= ($node->psql($_, q{SET client_min_messages = log; SELECT auth.verify('x'); SELECT auth.verify('x')}, on_error_stop => 0))[2]
	  foreach qw(postgres second postgres postgres second);
	is(told($offset), $databases, "$name: a line in the log for each database");
	is((() = $client =~ /invalid_token/g), 10, "$name: calls go on");
	unlike($client, qr/0\.9/, "$name: the client is not told");
	is(found('library'), $databases && "The server runs the library of version $version, and the extension in this database is 0.9", "$name: a finding");
	$node->restart;
}
$node->safe_psql('postgres', "DROP DATABASE second");
$node->safe_psql('postgres', "UPDATE pg_extension SET extversion = '$version' WHERE extname = 'auth_session'");

# ---- workers: the server's own logical replication takes one
is(found('worker'), '', 'workers enough are no finding');
set_server('max_worker_processes', 2);
ok($node->poll_query_until('postgres', q{SELECT finding ~ 'No background worker is free' FROM auth_admin.check_configuration() WHERE finding ~ 'worker'}),
	'that none is free is found');
set_server('max_worker_processes', 0);
ok($node->poll_query_until('postgres', q{SELECT finding ~ 'No worker records what outlives a rollback' FROM auth_admin.check_configuration() WHERE finding ~ 'worker'}),
	'that there is none is found');
set_server('max_worker_processes', 8);
ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM auth_admin.check_configuration() WHERE finding ~ 'worker'}), 'and both are gone');

# ---- records that wait for a lock
{
	account($node, 'ada@example.org');
	my $locker = sql_connect($node);
	$locker->begin_work;
	$locker->do('LOCK TABLE auth_private.audit_log');
	at_once($node, 20, 'SELECT FROM auth.signin($1, $2)', [ 'ada@example.org', 'wrong' ]) for 1 .. 8;
	my $waiting = $node->safe_psql('postgres', 'SELECT records_waiting FROM auth_admin.stats');
	SKIP:
	{
		skip "only $waiting records wait", 1 if $waiting < 100;
		like(found('records of failures wait'), qr/^\d+ records/, 'records that wait are found');
	}
	$locker->rollback;
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM auth_admin.check_configuration() WHERE finding ~ 'records of failures'}),
		'and are gone once they are made');
}

# ---- a client's address that is passed on in vain
{
	my $offset = -s $node->logfile;
	my $request = q{BEGIN; SET LOCAL request.headers = '{"X-Forwarded-For": "192.0.2.1"}'; SELECT auth.check_request()};

	is(found('x-forwarded-for'), '', 'where nobody sends it, it is no finding');
	$node->safe_psql('postgres', "SET auth_session.trusted_proxies = 1; $request");
	is(found('x-forwarded-for'), '', 'where it is trusted, neither');
	$node->safe_psql('postgres', $request) for 1 .. 2;
	like(found('x-forwarded-for'), qr/no proxy is trusted/, 'where it is not, it is found');
	my @lines = slurp_file($node->logfile, $offset) =~ /LOG:  x-forwarded-for is sent by a role for which no proxy is trusted/g;
	is(scalar @lines, 1, 'and told in the log, once');
	$node->restart;
	is(found('x-forwarded-for'), '', 'it is told anew of each start');
}

# ---- policies, of whoever may make a table
{
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE held (owner uuid);
CREATE TABLE notes (owner uuid);
CREATE FUNCTION holds(uuid) RETURNS boolean LANGUAGE sql STABLE
	RETURN EXISTS (SELECT FROM held WHERE owner = $1 AND current_setting('request.jwt.claims', true) <> '');
CREATE POLICY own ON notes USING (EXISTS (SELECT FROM held WHERE held.owner = notes.owner)) WITH CHECK (holds(owner));
SQL
	my $locker = sql_connect($node);
	$locker->begin_work;
	$locker->do('LOCK TABLE held, notes');
	is(found('^Policy'), 'Policy own of table public.notes reads request.jwt.claims',
		'a policy is looked at though somebody holds the tables that it reads');
	$locker->rollback;
	$node->safe_psql('postgres', 'DROP TABLE notes, held CASCADE');
}

# ---- the master key
sub key_file
{
	my ($name, $bytes, $mode) = @_;
	open my $file, '>:raw', "$dir/$name" or die "$name: $!";
	print {$file} $bytes;
	close $file;
	chmod $mode, "$dir/$name";
	return "$dir/$name";
}

sub use_key
{
	my ($path) = @_;
	$node->safe_psql('postgres', "ALTER SYSTEM SET auth_session.master_key_file = '$path'");
	$node->reload;
	$node->poll_query_until('postgres', "SELECT current_setting('auth_session.master_key_file') = '$path'");
	return;
}

my $first = key_file('first', join('', map { chr } 1 .. 32), 0600);
my $second = key_file('second', join('', map { chr } 2 .. 33), 0600);
signin($node, 'ada@example.org');
like(found('key'), qr/^Keys are stored open: no master key is set$/, 'no master key is found');
use_key($first);
like(found('key'), qr/^2 keys and secrets .* are stored open, though there is a master key$/, 'keys that were stored before are found');
is(cure('stored open, though'), 'Run: SELECT auth_admin.seal_keys();', 'with the call that seals them');
$node->safe_psql('postgres', 'SELECT auth_admin.seal_keys()');
is(found('key'), '', 'and are gone once it was made');
use_key($second);
like(found('key'), qr/^2 keys .* are sealed under another master key$/, 'a wrong file is found');
use_key('');
like(found('key'), qr/^2 keys .* are sealed, and no master key is set$/m, 'none is found, too');

my %faults = (
	"$dir/missing" => qr/no regular file that the server can read/,
	key_file('open', join('', map { chr } 1 .. 32), 0644) => qr/mode 0600/,
	key_file('short', 'x' x 31, 0600) => qr/exactly 32 bytes/);
foreach my $path (sort keys %faults)
{
	my $offset = -s $node->logfile;

	use_key($path);
	like(found('key'), qr/^The master key file is refused: .*$faults{$path}/, "$faults{$path} is found");
	unlike(found('key'), qr/\Q$path\E/, 'without its name, which is a superuser\'s');
	like(slurp_file($node->logfile, $offset), qr/WARNING:  the master key file "\Q$path\E" is refused\n.*DETAIL:  .*$faults{$path}/, 'and told in the log when it is set');
	$offset = -s $node->logfile;
	$node->restart;
	like(slurp_file($node->logfile, $offset), qr/WARNING:  the master key file "\Q$path\E" is refused/, 'and at start, which it does not stop');
}
use_key($first);
is(found('key'), '', 'the right file is no finding');
$node->stop;

done_testing;
