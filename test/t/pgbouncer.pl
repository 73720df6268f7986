# What doc/operate.md says of pgbouncer, in either pool mode: the five flows and
# a request's first statement run through it; statements that are prepared by
# the protocol do, too; ALTER ROLE reaches what is connected after RECONNECT; and
# LISTEN is no client's own, so that the bridge needs a connection past it. What
# of one client's transaction could be left for the next is in pooler.pl.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'usleep';

my $pgbouncer = (grep { -x } map { "$_/pgbouncer" } split(/:/, $ENV{PATH}), '/usr/sbin')[0];
plan skip_all => 'pgbouncer is not installed' unless $pgbouncer;

# From 1.21 on it knows of statements that are prepared by name.
my ($major, $minor) = (run_command([ $pgbouncer, '-V' ]))[0] =~ /(\d+)\.(\d+)/;
my $follows = $major > 1 || $minor >= 21;
my $node = new_node('main');
my $dir = PostgreSQL::Test::Utils::tempdir_short();
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $user = getpwuid($<);
my $pid;

$node->safe_psql('postgres', <<'SQL');
CREATE ROLE backend LOGIN;
CREATE TABLE notes (owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes TO backend USING (owner = auth.uid());
GRANT SELECT, INSERT ON notes TO backend;
SQL
account($node, "$_\@example.org") foreach qw(ada bob);

sub start_pool
{
	my ($mode) = @_;

	unlink glob "$dir/*";
	append_to_file("$dir/users", qq{"$user" ""\n"backend" ""\n});
	append_to_file("$dir/ini", <<"INI");
[databases]
postgres = host=@{[ $node->host ]} port=@{[ $node->port ]} dbname=postgres
[pgbouncer]
listen_addr =
listen_port = $port
unix_socket_dir = $dir
auth_type = trust
auth_file = $dir/users
admin_users = $user
pool_mode = $mode
default_pool_size = 1
@{[ $follows ? 'max_prepared_statements = 100' : '' ]}
logfile = $dir/log
pidfile = $dir/pid
INI
	system_or_bail($pgbouncer, '-q', '-d', "$dir/ini");
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if -S "$dir/.s.PGSQL.$port" && -s "$dir/pid";
		usleep(100_000);
	}
	($pid) = slurp_file("$dir/pid") =~ /(\d+)/;
	return;
}

sub stop_pool
{
	kill 'TERM', $pid;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last unless kill 0, $pid;
		usleep(100_000);
	}
	undef $pid;
	return;
}

END
{
	my $status = $?;
	kill 'TERM', $pid if $pid;
	$? = $status;
}

sub pooled
{
	my (%option) = @_;
	my $prepare = delete $option{prepare} // 0;
	my $dbh = sql_connect($node, host => $dir, port => $port, user => 'backend', %option);

	$dbh->{pg_server_prepare} = $prepare;
	return $dbh;
}

sub failure
{
	my ($dbh, $sql, @arguments) = @_;

	return 'none' if eval { $dbh->do($sql, {}, @arguments); 1 };
	return $dbh->errstr =~ /^DETAIL:\s+(\S+)$/m ? $1 : $dbh->errstr;
}

# One statement that says whose request it is.
my $request = q{SELECT auth.check_request(), auth.require_aal('aal1') FROM set_config('request.headers', $1, true) AS headers};
my $headers = sub { return qq({"authorization": "Bearer $_[0]", "x-forwarded-for": "192.0.2.1"}) };

foreach my $mode (qw(transaction session))
{
	start_pool($mode);
	my $dbh = pooled();
	my $ada = $dbh->selectrow_hashref('SELECT * FROM auth.signin($1, $2)', {}, 'ada@example.org', $PASSWORD);
	my $bob = $dbh->selectrow_hashref('SELECT * FROM auth.signin($1, $2)', {}, 'bob@example.org', $PASSWORD);

	is(($dbh->selectrow_array(q{SELECT auth.verify($1) ->> 'sub'}, {}, $ada->{access_token}))[0], $ada->{user_id}, "$mode: signs in and verifies");
	foreach my $tokens ($ada, $bob)
	{
		$dbh->begin_work;
		$dbh->do($request, {}, $headers->($tokens->{access_token}));
		is(($dbh->selectrow_array('SELECT auth.uid()'))[0], $tokens->{user_id}, "$mode: a request's first statement says whose it is");
		$dbh->do(q{INSERT INTO notes (body) VALUES ('mine')});
		is(($dbh->selectrow_array('SELECT count(DISTINCT owner) FROM notes'))[0], 1, "$mode: and shows its rows alone");
		$dbh->commit;
	}
	is(($dbh->selectrow_array('SELECT count(*) FROM notes'))[0], 0, "$mode: nobody's rows are shown after it");
	# By itself, without a transaction block, it is a request of one statement.
	is(failure($dbh, $request, $headers->('x')), 'invalid_token', "$mode: it refuses a token that is none");
	is(failure($dbh, $request, '{}'), 'not_authenticated', "$mode: and who has none");

	my $renewed = $dbh->selectrow_hashref('SELECT * FROM auth.renew($1)', {}, $ada->{refresh_token});
	is($renewed->{session_id}, $ada->{session_id}, "$mode: renews");
	$dbh->do('SELECT auth.logout(refresh_token => $1)', {}, $renewed->{refresh_token});
	is(failure($dbh, 'SELECT auth.verify($1)', $renewed->{access_token}), 'session_revoked', "$mode: a logout is in force at once");
	$dbh->disconnect;

	# Prepared by the protocol, by name where the mode allows, and run many times.
	my $prepared = pooled(prepare => $mode eq 'session' || $follows ? 1 : 0);
	my $statement = $prepared->prepare(q{SELECT auth.verify($1) ->> 'sub'});
	my %sub;
	for (1 .. 5)
	{
		$statement->execute($bob->{access_token});
		$sub{ ($statement->fetchrow_array)[0] }++;
	}
	is_deeply(\%sub, { $bob->{user_id} => 5 }, "$mode: a statement that is prepared runs again and again");
	$statement->finish;
	$prepared->disconnect;

	# ALTER ROLE: what is connected keeps what it began with.
	my $setting = sub {
		my $client = pooled();
		my ($value) = $client->selectrow_array(q{SELECT current_setting('auth_session.trusted_proxies')});
		$client->disconnect;
		return $value;
	};
	is($setting->(), 0, "$mode: no proxy is trusted");
	$node->safe_psql('postgres', 'ALTER ROLE backend SET auth_session.trusted_proxies = 1');
	is($setting->(), 0, "$mode: ALTER ROLE does not reach a connection that is open");
	$node->command_ok([ 'psql', '-X', '-h', $dir, '-p', $port, '-U', $user, '-d', 'pgbouncer', '-c', 'RECONNECT' ], "$mode: RECONNECT on the console");
	my $value = 0;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if $value = $setting->();
		usleep(100_000);
	}
	is($value, 1, "$mode: after which it does");
	$node->safe_psql('postgres', 'ALTER ROLE backend RESET auth_session.trusted_proxies');
	stop_pool();
}

# ---- LISTEN is the server connection's, and whoever has that one hears of it
start_pool('transaction');
my ($listener, $other) = (pooled(), pooled());
$listener->do('LISTEN auth_session_outbox');
is(($other->selectrow_array('SELECT count(*) FROM pg_listening_channels()'))[0], 1, 'transaction: what one client listens to, another would hear');
$other->disconnect;
$listener->disconnect;
stop_pool();

$node->stop;
done_testing;
