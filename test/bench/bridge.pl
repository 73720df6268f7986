# What one bridge does: notifications per second to RabbitMQ with confirms,
# memory over 100,000 of them, mails per second beside Postfix's own smtp-source
# to the same smtp-sink, messages per second out of the queue beside into it,
# and what waking it costs those who sign in and renew. fsync is on. Of two that
# are compared each is measured in turn, so that what else the machine does
# meets both; the medians count. Run by test/bench/bridge.
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
my @database = ('--database', $node->connstr('postgres') . ' user=bridge');
my @bridge = (@database, '--to', $rabbit->{url});

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

sub median { return (sort { $a <=> $b } @_)[ @_ / 2 ]; }

# A device of the usual length, so that a mail has the usual length.
my $payload = '{"ip": "2001:db8::1", "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}';

sub fill
{
	my ($count) = @_;

	sql('TRUNCATE auth_private.outbox');
	enqueue($node, { count => $count, recipient => 'user%@example.org', payload => $payload });
	sql('VACUUM ANALYZE auth_private.outbox; CHECKPOINT');
	return;
}

# How many a second a bridge settles, or acknowledges, of so many.
sub rate
{
	my ($count, @arguments) = @_;
	my $start = time;
	my ($status, undef, $log) = run_bridge(@arguments, '--once', '--log-level', 'warning');

	$status == 0 or die "bridge: $log";
	return $count / (time - $start);
}

# ---- throughput and memory over 100,000
sub publish_many
{
	my $many = 100_000;

	rabbit($rabbit, 'declare', 'app');
	fill($many);
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
	return;
}

# ---- mails beside smtp-source, with as many connections
sub mail_many
{
	my $many = 4000;
	my $port = free_port();
	my $sink = Bridge::spawn('smtp-sink', "$rabbit->{dir}/sink", {}, 'smtp-sink', "127.0.0.1:$port", 200);
	my $script = start_mail_script();

	# One of ours tells how long smtp-source's are to be.
	fill(1);
	rate(1, @database, '--to', "smtp://127.0.0.1:$script->{port}", '--from', 'no-reply@example.org');
	my $length = length((lines("$script->{dir}/mails"))[0]{data});
	stop($script);

	eventually('smtp-sink listens', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") }, 5)
	  or die "smtp-sink: " . slurp_file("$rabbit->{dir}/sink");
	foreach my $connections (1, 4, 16)
	{
		my (@ours, @base);

		for (1 .. $rounds)
		{
			fill($many);
			push @ours, rate($many, @database, '--to', "smtp://127.0.0.1:$port", '--from', 'no-reply@example.org',
				'--connections', $connections);
			my $start = time;
			system_or_bail('smtp-source', '-d', '-s', $connections, '-m', $many, '-l', $length, '-f', 'no-reply@example.org',
				'-t', 'user@example.org', "127.0.0.1:$port");
			push @base, $many / (time - $start);
		}
		my ($ours, $base) = (median(@ours), median(@base));
		row("mails, bridge : smtp-source, connections: $connections", 'at least 0.70', $ours >= 0.7 * $base,
			sprintf('%.2f', $ours / $base), sprintf('%.0f : %.0f per second', $ours, $base));
	}
	stop($sink);
	sql('TRUNCATE auth_private.outbox');
	return;
}

# ---- out of the queue beside into it
sub consume_many
{
	my $many = 20_000;
	my @arguments = ('--consume', $rabbit->{url}, '--to', 'file:/dev/null', '--from', 'no-reply@example.org');
	my (@in, @out);

	run_bridge(@arguments, '--check');
	for (1 .. $rounds)
	{
		fill($many);
		push @in, rate($many, @bridge);
		push @out, rate($many, @arguments);
	}
	my ($in, $out) = (median(@in), median(@out));
	row('notifications, --consume : relay', 'at least 0.80', $out >= 0.8 * $in, sprintf('%.2f', $out / $in),
		sprintf('%.0f : %.0f per second', $out, $in));
	rabbit($rabbit, 'delete', 'auth_session.mail');
	sql('TRUNCATE auth_private.outbox');
	return;
}

# ---- notify on : off, with a bridge that is woken
my %scripts = (
	signin => "SELECT access_token FROM auth.signin('bench' || :client_id || '\@example.org', 'correct horse battery staple');\n",
	renew => <<'END');
\if :first
SELECT bench_token(:client_id) AS refresh \gset
\set first 0
\endif
SELECT refresh_token AS refresh FROM auth.renew(:refresh) \gset
END

sub tps
{
	my ($bridge, $script, $notify) = @_;
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

sub wake
{
	rabbit($rabbit, 'declare', 'app');
	system_or_bail('psql', '-qXAt', '-v', "clients=$clients", '-o', '/dev/null', '-f', 'test/bench/setup.sql',
		$node->connstr('postgres'));
	my $bridge = start_bridge(@bridge);
	foreach my $script (qw(signin renew))
	{
		my (@on, @off);

		for (1 .. $rounds)
		{
			push @on, tps($bridge, $script, 'on');
			push @off, tps($bridge, $script, 'off');
		}
		my ($on, $off) = (median(@on), median(@off));
		row("auth.$script at $clients clients, notify on : off", 'at least 0.95', $on >= 0.95 * $off,
			sprintf('%.2f', $on / $off), sprintf('%.0f : %.0f tps', $on, $off));
	}
	stop($bridge);
	return;
}

my %parts = (publish => \&publish_many, mail => \&mail_many, consume => \&consume_many, wake => \&wake);
foreach my $part (split ' ', $ENV{BENCH_PARTS})
{
	($parts{$part} // die "no part $part")->();
}
exit($missed > 0);
