# Two users whose transactions take turns on one server connection, as behind
# pgbouncer in transaction mode: nothing of one is left for the other.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'usleep';

my $pgbouncer = (grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}),
	'/usr/sbin')[0];
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

my $node = new_node('main');
my $database = 'postgres';
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid($<);

account($node, 'ada@example.org');
account($node, 'bob@example.org');
my $ada = signin($node, 'ada@example.org');
my $bob = signin($node, 'bob@example.org');

foreach my $discard (0, 1)
{
	my $mode = $discard ? 'with DISCARD ALL' : 'as it comes';

	unlink "$dir/ini", "$dir/users";
	append_to_file("$dir/users", qq{"$user" ""\n});
	append_to_file("$dir/ini", <<"INI");
[databases]
postgres = host=@{[$node->host]} port=@{[$node->port]} dbname=postgres user=$user
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users
pool_mode = transaction
default_pool_size = 1
server_reset_query = DISCARD ALL
server_reset_query_always = $discard
logfile = $dir/log
pidfile = $dir/pid
INI
	system_or_bail($pgbouncer, '-q', '-d', "$dir/ini");
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if -S "$dir/.s.PGSQL.$port";
		usleep(100_000);
	}

	my @handle = map {
		my $dbh = sql_connect($node, host => $dir, port => $port);
		$dbh->{pg_server_prepare} = 0;
		$dbh;
	} 1 .. 2;
	my %backend;
	my $context = sub {
		my ($dbh) = @_;
		my ($uid, $pid) =
		  $dbh->selectrow_array('SELECT auth.uid(), pg_backend_pid()');
		$backend{$pid} = 1;
		return $uid;
	};

	foreach my $turn (1 .. 3)
	{
		foreach my $who ([ $handle[0], $ada ], [ $handle[1], $bob ])
		{
			my ($dbh, $tokens) = @$who;

			$dbh->begin_work;
			is($context->($dbh), undef,
				"G10: $mode, turn $turn: a transaction begins without a context");
			$dbh->do('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
			is($context->($dbh), $tokens->{user_id},
				"G10: $mode, turn $turn: it has its own");
			$dbh->commit;
		}
		# The other way that a context comes in, and one that fails.
		$handle[0]->begin_work;
		$handle[0]->do(q{SELECT set_config('request.headers', $1, true)}, {},
			qq({"authorization":"Bearer $ada->{access_token}"}));
		is($context->($handle[0]), $ada->{user_id},
			"G10: $mode, turn $turn: the bearer token is the context");
		$handle[0]->rollback;
		$handle[1]->begin_work;
		is($context->($handle[1]), undef,
			"G10: $mode, turn $turn: not the next transaction's");
		$handle[1]->rollback;

		# Set for the session, and the pool hands the session on.
		$handle[0]->do(q{SELECT set_config('request.headers', $1, false)}, {},
			qq({"authorization":"Bearer $ada->{access_token}"}));
		is($context->($handle[1]), undef,
			"G10: $mode, turn $turn: headers of the session are not the next client's");
		$handle[1]->begin_work;
		is($context->($handle[1]), undef,
			"G10: $mode, turn $turn: nor in a transaction");
		$handle[1]->do('SAVEPOINT one');
		$handle[1]->do(q{SELECT set_config('request.headers', $1, true)}, {},
			qq({"authorization":"Bearer $bob->{access_token}"}));
		is($context->($handle[1]), $bob->{user_id},
			"G10: $mode, turn $turn: over them its own count");
		$handle[1]->do('ROLLBACK TO one');
		is($context->($handle[1]), undef,
			"G10: $mode, turn $turn: and rolled back nobody's");
		$handle[1]->rollback;
	}
	is(scalar(keys %backend), 1, "G10: $mode: all on one server connection");

	$_->disconnect foreach @handle;
	my ($pid) = slurp_file("$dir/pid") =~ /(\d+)/;
	kill 'TERM', $pid;
	my $gone = 0;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if $gone = !kill 0, $pid;
		usleep(100_000);
	}
	ok($gone, "G10: $mode: pgbouncer stopped");
}

$node->stop;
done_testing;
