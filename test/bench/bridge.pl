# What one bridge does: notifications per second to RabbitMQ with confirms,
# memory over 100,000 of them, and what waking it costs those who sign in and
# renew. fsync is on. Run by test/bench/bridge.
use strict;
use warnings;
use Bridge;
use POSIX ();
use PostgreSQL::Test::Utils;
use Time::HiRes qw(time usleep);

my ($seconds, $rounds) = @ENV{qw(BENCH_SECONDS BENCH_ROUNDS)};
my $clients = 16;
my $missed = 0;
# Standard output is the harness's log by now.
open my $table, '>&=', 3 or die "no descriptor 3: $!";
my $node = cluster('bench', 'fsync = on', 'max_wal_size = 4GB', 'shared_buffers = 256MB',
	'max_connections = 60', 'auth_session.argon2_memory = 7168', 'auth_session.argon2_iterations = 1',
	'auth_session.max_concurrent_hashes = 2', 'auth_session.hash_wait = 60s', 'auth_session.max_waiting_hashes = 64',
	'auth_session.signin_rate_per_account = 0', 'auth_session.signup_rate_per_address = 0',
	'auth_session.message_rate_per_account = 0', 'auth_session.resend_cooldown = 0', 'auth_session.lock_wait = 60s',
	"log_statement = 'none'");
my $rabbit = start_rabbit();
my @bridge = ('--database', $node->connstr('postgres') . ' user=bridge', '--to', $rabbit->{url});

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub row
{
	my ($figure, $limit, $reached, $measured, $how) = @_;

	$missed++ unless $reached;
	printf $table "| %-48s | %-14s | %-8s | %-36s | %s |\n", $figure, $limit, $measured, $how,
	  $reached ? 'reached' : 'MISSED';
	return;
}

# A value of /proc/PID/status, in KiB.
sub memory
{
	my ($bridge, $name) = @_;

	return slurp_file("/proc/$bridge->{pid}/status") =~ /^$name:\s+(\d+)/m ? $1 : 0;
}

# Microseconds of processor time that a process has had.
sub processor
{
	my ($pid) = @_;
	my @stat = split / /, slurp_file("/proc/$pid/stat") =~ s/^.*\) //sr;

	return ($stat[11] + $stat[12]) * 1e6 / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# ---- throughput and memory over 100,000
my $many = 100_000;
rabbit($rabbit, 'declare', 'app');
enqueue($node,
	{
		count => $many,
		recipient => 'user%@example.org',
		payload => '{"ip": "2001:db8::1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}'
	});
sql('VACUUM ANALYZE auth_private.outbox; CHECKPOINT');
my $idle = processor($rabbit->{pid});
my $start = time;
my $bridge = start_bridge(@bridge);
my ($early, $late, $done) = (0, 0, 0);
while ($done < $many)
{
	usleep(100_000);
	$done = metric($bridge, 'settled_total');
	$late = memory($bridge, 'VmHWM');
	$early = $late if !$early && $done > $many / 10;
}
my $rate = $many / (time - $start);
my ($backend) = sql("SELECT pid FROM pg_stat_activity WHERE usename = 'bridge'");
my @cost = map { sprintf '%.0f', processor($_) / $many } $bridge->{pid}, $backend;
my $broker = sprintf '%.0f', (processor($rabbit->{pid}) - $idle) / $many;
row('notifications per second to RabbitMQ, confirmed', 'at least 5000', $rate >= 5000, sprintf('%.0f', $rate),
	"us each: bridge $cost[0], backend $cost[1], broker $broker");
row('peak of memory, at the end : after a tenth', 'at most 1.10', $late <= 1.1 * $early, sprintf('%.2f', $late / $early),
	"$late : $early KiB");
stop($bridge);
rabbit($rabbit, 'delete', 'app');
sql('TRUNCATE auth_private.outbox');

# ---- notify on : off, with a bridge that is woken
rabbit($rabbit, 'declare', 'app');
system_or_bail('psql', '-qXAt', '-v', "clients=$clients", '-o', '/dev/null', '-f', 'test/bench/setup.sql',
	$node->connstr('postgres'));
my %scripts = (
	signin => "SELECT access_token FROM auth.signin('bench' || :client_id || '\@example.org', 'correct horse battery staple');\n",
	renew => <<'END');
\if :first
SELECT bench_token(:client_id) AS refresh \gset
\set first 0
\endif
SELECT refresh_token AS refresh FROM auth.renew(:refresh) \gset
END
$bridge = start_bridge(@bridge);

sub tps
{
	my ($script, $notify) = @_;
	my ($out, $err) = ('', '');
	local $ENV{PGOPTIONS} = "-c auth_session.notify=$notify";

	sql('SELECT bench_sessions()') if $script eq 'renew';
	IPC::Run::run(
		[
			'pgbench', '-n', '-M', 'prepared', '-T', $seconds, '-c', $clients, '-j', 2, '-D', 'first=1', '-D', 'refresh=0',
			'-f', write_file("$bridge->{dir}/$script.sql", $scripts{$script}), $node->connstr('postgres')
		],
		'>', \$out, '2>', \$err) or die $err;
	return $out =~ /^tps = ([\d.]+)/m ? $1 : die $out;
}

foreach my $script (qw(signin renew))
{
	my (@on, @off);

	for (1 .. $rounds)
	{
		push @on, tps($script, 'on');
		push @off, tps($script, 'off');
	}
	my ($on, $off) = map { (sort { $a <=> $b } @$_)[ @$_ / 2 ] } \@on, \@off;
	row("auth.$script at $clients clients, notify on : off", 'at least 0.95', $on >= 0.95 * $off,
		sprintf('%.2f', $on / $off), sprintf('%.0f : %.0f tps', $on, $off));
}
stop($bridge);
exit($missed > 0);
