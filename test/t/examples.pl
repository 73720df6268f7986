# The programs of examples/, each walked through every flow by a client over
# HTTP (test/examples/walk.mjs): sign-up and its link, sign-in, notes of one's
# own, renewal, logout of a device, reset. They connect as their own role.
#
# What a driver does to the statements, and what a pool keeps from one request
# to the next, no psql shows. A back end whose language or driver is missing is
# left out, and says so.
use strict;
use warnings;
use AuthSession;
use File::Copy qw(copy);
use IPC::Run qw(run start);
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'Node.js 18 or later is not installed'
  unless `node --version 2>&1` =~ /^v(\d+)/ && $1 >= 18;

# Room for a renewal to be repeated on a busy machine.
my $node = new_node('examples', conf => <<'CONF');
auth_session.refresh_reuse_grace = '60s'
auth_session.site_url = 'https://app.example'
log_statement = all
CONF
my $directory = PostgreSQL::Test::Utils::tempdir;

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{HOME} = $directory;
local $ENV{PYTHONDONTWRITEBYTECODE} = 1;

command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', 'examples/notes.sql' ], 'the roles and tables of the examples');

system('cp', '-r', 'examples', "$directory/examples") == 0 or die 'cp';

# Debian's python3 has Debian's drivers; another one on the PATH has not.
my ($python) = grep { -x } qw(/usr/bin/python3 /usr/local/bin/python3);

sub has_modules
{
	return defined $python && run([ $python, '-c', "import $_[0]" ], '>', \my $out, '2>', \my $err);
}

# The packages of a folder of ours, from the npm registry.
sub npm_installed
{
	my ($folder) = @_;
	my @install = ('npm', 'install', '--prefix', $folder, '--no-audit', '--no-fund',
		'--ignore-scripts', '--no-package-lock', '--loglevel=error');
	my ($out, $err) = ('', '');

	return 1 if eval { run(\@install, '>', \$out, '2>', \$err) };
	note("$err$@");
	return 0;
}

# Starts a back end; the process and where it listens.
sub served
{
	my ($user, @command) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGUSER} = $user;
	local $ENV{PORT} = 0;
	local $ENV{PGRST_SERVER_PORT} = 0;
	local $ENV{NODE_PATH} = "$directory/examples/node/node_modules";
	my $process = start(\@command, '<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));

	until ($out =~ /^listening on .*\n/m)
	{
		die "@command: $err" unless $process->pumpable;
		$process->pump;
	}
	return ($process, $out =~ m{listening on (http://\S+)});
}

# Walks one, and passes on what the walk asserts.
sub walked
{
	my ($name, $client, $prefix, $user, $pages, @command) = @_;
	my ($process, $url) = served($user, @command);
	my ($out, $err, $planned, $seen) = ('', '', -1, 0);

	run([ 'node', 'test/examples/walk.mjs', $client, $url, $prefix, $pages ? 'pages' : () ],
		'<', \undef, '>', \$out, '2>', \$err);
	foreach my $line (split /\n/, $out)
	{
		$planned = $1 if $line =~ /^1\.\.(\d+)$/;
		diag($line) if $line =~ /^#/;
		next unless $line =~ /^(not )?ok \d+ - (.*)$/;
		ok(!$1, "$name: $2");
		$seen++;
	}
	is($seen, $planned, "$name: walked to the end") or diag($err);
	is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE usename = '$user' AND state <> 'idle'"),
		0, "$name: no connection is left in a transaction");
	$process->signal('TERM');
	ok($process->finish, "$name: ends when it is asked to") or diag(join "\n", $process->results);
	return;
}

my $client = "$directory/examples/client.mjs";

SKIP:
{
	skip 'npm or its registry is missing, and so Node.js\' pg', 1
	  unless npm_installed("$directory/examples/node");
	# As the README starts it: what is asked to end is npm.
	walked('node', $client, 'node', 'notes_app', 1, 'npm', 'start', '--prefix', "$directory/examples/node");

	# The proxy in front is the walk itself.
	local $ENV{FORWARDED} = '127.0.0.1';
	command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', 'examples/postgrest/roles.sql' ], 'the roles of PostgREST');
	walked('postgrest', "$directory/examples/postgrest/client.mjs", 'postgrest', 'authenticator', 0,
		'node', 'test/lib/postgrest.mjs', 'examples/postgrest/postgrest.conf');
}
foreach my $driver ([ 'psycopg', 'psycopg, psycopg_pool', 'python3-psycopg and python3-psycopg-pool' ],
	[ 'psycopg2', 'psycopg2', 'python3-psycopg2' ])
{
	my ($name, $modules, $packages) = @$driver;
  SKIP:
	{
		skip "$packages are not installed", 1 unless has_modules($modules);
		walked($name, $client, $name, 'notes_app', 1, $python, "$directory/examples/python/server.py", $name);
	}
}

unlike(slurp_file($node->logfile), qr/horse battery/, 'G1: no password is in the log');

$node->stop;
done_testing;
