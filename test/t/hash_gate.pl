# At most max_concurrent_hashes Argon2 computations run at once. One psql
# can't show it: it takes a storm of sign-ins, killed and cancelled callers,
# and a look at the memory of all of them.
use strict;
use warnings;

use Caller;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'only Linux tells the memory of a process'
  if !-e '/proc/self/status';

use constant { PLACES => 2, MEMORY_KB => 65536 };

my $node = Caller::server(
	'hash_gate',
	'auth_session.max_concurrent_hashes = ' . PLACES,
	'auth_session.max_waiting_hashes = 1000',
	'auth_session.hash_wait = 60s',
	'auth_session.argon2_memory = ' . MEMORY_KB,
	'auth_session.signin_rate_per_account = 0',
	'max_connections = 230');

my $wrong =
  "SELECT auth.signin(email => 'a\@example.com', password => 'wrong horse')";
my $right =
  "SELECT (auth.signin(email => 'a\@example.com', password => 'correct horse')).token_type";

Caller::signup($node, 'a@example.com');

sub reconfigure
{
	my ($name, $value) = @_;

	$node->safe_psql('postgres', "ALTER SYSTEM SET $name = '$value'");
	$node->reload;
	$node->poll_query_until('postgres',
		"SELECT current_setting('$name') = '$value'")
	  or die "$name is not reloaded";
	return;
}

# The private memory of a process, in kB; 0 when it is gone.
sub memory_of
{
	my ($pid) = @_;
	my $memory = 0;

	open my $status, '<', "/proc/$pid/status" or return 0;
	while (my $line = <$status>)
	{
		$memory = $1 if $line =~ /^RssAnon:\s+(\d+) kB/;
	}
	close $status;
	return $memory;
}

sub children_of
{
	my ($parent) = @_;

	open my $children, '<', "/proc/$parent/task/$parent/children" or return;
	my $line = <$children> // '';
	close $children;
	return split ' ', $line;
}

# ---- A15: a storm ----

my $script = PostgreSQL::Test::Utils::tempdir_short() . '/storm.sql';
append_to_file($script, "SELECT test.outcome(\$\$$wrong\$\$) AS o \\gset\n");
my $postmaster = (split /\n/, slurp_file($node->data_dir . '/postmaster.pid'))[0];
my ($out, $err) = ('', '');
my $storm = IPC::Run::start(
	[
		'pgbench', '-n', '-c', 200, '-j', 1, '-t', 1, '-f', $script,
		'-h', $node->host, '-p', $node->port, 'postgres' ],
	'>', \$out, '2>', \$err);
my ($most, $answers) = (0, 0);

while ($storm->pumpable)
{
	my $now = 0;

	$now += memory_of($_) foreach children_of($postmaster);
	$most = $now if $now > $most;
	$answers++ if $node->safe_psql('postgres', 'SELECT 1') eq '1';
	$storm->pump_nb;
}
$storm->finish;
is($storm->result(0), 0, 'A15: 200 simultaneous sign-ins are all answered');
cmp_ok($answers, '>', 10, 'A15: and SELECT 1 of others is, meanwhile');

# 220 processes of a few MB each, and the places.
my $limit = 220 * 4096 + PLACES * MEMORY_KB;

cmp_ok($most, '>', MEMORY_KB, 'A15: the measurement saw computations');
cmp_ok($most, '<', $limit,
	    "A15: the memory of all stayed at $most kB, below $limit kB ("
	  . 200 * MEMORY_KB
	  . ' kB without a gate)');

# ---- the line is bounded, and can be left ----

# A sign-in of another session whose computation takes long: many passes.
sub slow_signin
{
	my ($name) = @_;
	my ($stdout, $stderr) = ('', '');
	my $psql = IPC::Run::start(
		[
			'psql', '-XAtq',
			'-h', $node->host,
			'-p', $node->port,
			'-c', "SET application_name = '$name'",
			'-c', 'SET auth_session.argon2_iterations = 64',
			'-c', "SELECT auth.signin(email => 'unknown\@example.com', password => 'wrong horse')",
			'postgres' ],
		'>', \$stdout, '2>', \$stderr);

	return { name => $name, psql => $psql };
}

sub pid_of
{
	my ($slow) = @_;
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE application_name = '$slow->{name}'"
	);
}

sub until_it_computes
{
	my ($slow) = @_;

	for (my $i = 0; $i < 1800; $i++)
	{
		my $pid = pid_of($slow);

		return if $pid ne '' && memory_of($pid) > MEMORY_KB / 2;
		die "$slow->{name} has ended" if !$slow->{psql}->pumpable;
		$slow->{psql}->pump_nb;
	}
	die "$slow->{name} computes no hash";
}

sub until_it_waits
{
	my ($slow) = @_;

	return $node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Extension' FROM pg_stat_activity
		 WHERE application_name = '$slow->{name}'")
	  || die "$slow->{name} does not wait";
}

# Whether the session is over, after waiting for that.
sub ends
{
	my ($slow) = @_;
	my $gone = $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = '$slow->{name}'"
	);

	$slow->{psql}->finish;
	return $gone;
}

sub signal
{
	my ($function, $slow) = @_;

	$node->safe_psql('postgres',
		"SELECT $function(pid) FROM pg_stat_activity WHERE application_name = '$slow->{name}'"
	);
	return;
}

sub is_busy
{
	my ($sql, $name) = @_;
	my $got = Caller::call($node, $sql);

	is("$got->{state} $got->{code} $got->{hint}", 'PT429 busy 1', $name);
	return;
}

reconfigure('auth_session.max_concurrent_hashes', 1);
reconfigure('auth_session.max_waiting_hashes', 1);

my $first = slow_signin('first');
until_it_computes($first);
my $second = slow_signin('second');
until_it_waits($second);
is_busy($wrong, 'with the line full the next one is busy');

is( $node->safe_psql('postgres',
		"SELECT string_agg(l.mode, ' ') FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
		 WHERE a.application_name = 'second'
		 AND (l.locktype IN ('transactionid', 'tuple') OR l.mode IN ('RowShareLock', 'RowExclusiveLock'))"
	),
	'',
	'who waits for a place holds no lock on a row');

signal('pg_cancel_backend', $second);
ok(ends($second), 'a cancelled caller leaves the line');
my $third = slow_signin('third');
ok(until_it_waits($third), 'and the next one has its place there');
signal('pg_terminate_backend', $third);
ok(ends($third), 'a killed caller leaves the line');

# ---- whoever leaves wakes the next in line ----

ok(ends($first), 'the one that computes is done');
$first = slow_signin('first again');
until_it_computes($first);
my $next = slow_signin('next');
until_it_waits($next);
ok(ends($first), 'and so is another');
# Who is not woken sleeps on, and a newcomer finds the place free.
my $newcomer = slow_signin('newcomer');
ok(until_it_waits($newcomer), 'a newcomer waits for who was first in line');
ok(ends($next), 'who has the place');
ok(ends($newcomer), 'and leaves it to the newcomer');
$first = slow_signin('first of all');
until_it_computes($first);

# ---- hash_wait ----

is_busy("SET auth_session.hash_wait = '10ms';\n$wrong",
	'who has waited for hash_wait is told so');

# ---- a killed backend gives its place back ----

signal('pg_terminate_backend', $first);
ok(ends($first), 'a backend is killed while it computes');
is(Caller::call($node, $right)->{value},
	'bearer', 'and the next caller has its place');

# ---- max_concurrent_hashes is read anew ----

my $fourth = slow_signin('fourth');
until_it_computes($fourth);
reconfigure('auth_session.max_waiting_hashes', 0);
is_busy($wrong, 'with one place, taken, and no line the next one is busy');
reconfigure('auth_session.max_concurrent_hashes', 2);
is(Caller::call($node, $right)->{value},
	'bearer', 'a second place is there after a reload');
reconfigure('auth_session.max_concurrent_hashes', 1);
is_busy($wrong, 'and gone after another');
signal('pg_terminate_backend', $fourth);
ok(ends($fourth), 'the last one ends');

$node->stop;
done_testing();
