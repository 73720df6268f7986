# Bridge: what the tests of auth-session-bridge share. Throw-away peers on
# loopback (RabbitMQ with an epmd of its own, a mail server, a webhook), each
# stopped by its own pid at the latest when the test ends; certificates; and
# the bridge itself, run to its end or in the background.
package Bridge;

use strict;
use warnings;
use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP qw(decode_json);
use POSIX qw(setsid :sys_wait_h);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

our @EXPORT = qw(certificates cluster bridge_role enqueue start_rabbit
  start_mail_server start_mail_script start_web_hook rabbit run_bridge start_bridge stop finish
  kill_hard stop_rabbit rabbitmqctl eventually lines metric write_file free_port);

my $peers = abs_path(dirname(__FILE__) . '/peers');
my %running;    # pid => name

# Polls for a condition; the test's own time limit ends it.
sub eventually
{
	my ($what, $condition, $seconds) = @_;

	$seconds //= $PostgreSQL::Test::Utils::timeout_default;
	for (1 .. $seconds * 20)
	{
		my $result = $condition->();
		return $result if $result;
		usleep(50_000);
	}
	diag("never happened: $what");
	return 0;
}

sub free_port { return PostgreSQL::Test::Cluster::get_free_port(); }

sub write_file
{
	my ($path, $text, $mode) = @_;

	open my $out, '>', $path or die "cannot write $path: $!";
	print $out $text;
	close $out or die "cannot write $path: $!";
	chmod $mode, $path if defined $mode;
	return $path;
}

# Each line of a file that is whole, decoded from JSON.
sub lines
{
	my ($path) = @_;

	return () unless -e $path;
	return map { decode_json($_) }
	  grep { /\n\z/ } split /(?<=\n)/, slurp_file($path);
}

# Starts a program in a session of its own; its output goes to a file.
sub spawn
{
	my ($name, $log, $env, @command) = @_;
	my $pid = fork;

	die "cannot fork: $!" unless defined $pid;
	if ($pid == 0)
	{
		setsid();
		local $SIG{__DIE__};
		@ENV{ keys %$env } = values %$env;
		open STDIN, '<', '/dev/null';
		open STDOUT, '>>', $log;
		open STDERR, '>&', \*STDOUT;
		exec { $command[0] } @command or POSIX::_exit(127);
	}
	$running{$pid} = $name;
	return $pid;
}

# Waits for the end; the exit status, or the signal as a negative number.
sub finish
{
	my ($bridge) = @_;
	my $pid = ref $bridge ? $bridge->{pid} : $bridge;

	return undef unless exists $running{$pid};
	for (1 .. $PostgreSQL::Test::Utils::timeout_default * 20)
	{
		if (waitpid($pid, WNOHANG) == $pid)
		{
			delete $running{$pid};
			return $? & 127 ? -($? & 127) : $? >> 8;
		}
		usleep(50_000);
	}
	diag("$running{$pid} does not end");
	return undef;
}

sub stop
{
	my ($bridge, $signal) = @_;

	kill $signal // 'TERM', ref $bridge ? $bridge->{pid} : $bridge;
	return finish($bridge);
}

sub kill_hard { return stop($_[0], 'KILL'); }

END
{
	my $status = $?;

	# Each is the leader of a group, in which its own children are.
	kill 'CONT', keys %running;
	kill '-KILL', keys %running;
	kill 'KILL', keys %running;
	waitpid $_, 0 for keys %running;
	$? = $status;
}

# A certificate authority, and a certificate of it for localhost and
# 127.0.0.1; and one for another host.
sub certificates
{
	my $dir = tempdir(CLEANUP => 1);
	my $days = '-days 2 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';

	system("openssl req -x509 $days -keyout $dir/ca.key -out $dir/ca.crt "
		  . "-subj /CN=test-ca 2>$dir/log") == 0
	  or die slurp_file("$dir/log");
	my %names = (
		server => 'DNS:localhost,IP:127.0.0.1',
		other => 'DNS:elsewhere.example.org');
	foreach my $name (keys %names)
	{
		system("openssl req -x509 -CA $dir/ca.crt -CAkey $dir/ca.key $days "
			  . "-keyout $dir/$name.key -out $dir/$name.crt -subj /CN=$name "
			  . "-addext basicConstraints=critical,CA:false "
			  . "-addext subjectAltName=$names{$name} 2>$dir/log") == 0
		  or die slurp_file("$dir/log");
	}
	return $dir;
}

# A cluster with the extension and the bridge's role.
sub cluster
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', join "\n",
		"shared_preload_libraries = 'auth_session'",
		"auth_session.site_url = 'https://app.example.org'",
		@lines, '');
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION auth_session');
	bridge_role($node);
	return $node;
}

# Rows of the outbox, as if the extension had written them.
sub enqueue
{
	my ($node, @rows) = @_;

	foreach my $row (@rows)
	{
		my %r = (
			kind => 'new_signin',
			channel => 'email',
			recipient => 'ada@example.org',
			payload => '{}',
			count => 1,
			%$row);
		$r{$_} =~ s/'/''/g for qw(kind channel recipient payload);
		$node->safe_psql(
			'postgres', qq{
			INSERT INTO auth_private.outbox (id, created_at, due_at, attempts,
				kind, channel, recipient, payload)
			SELECT gen_random_uuid(), clock_timestamp(), now(), 0, '$r{kind}', '$r{channel}',
				replace('$r{recipient}', '%', g::text), '$r{payload}'
			FROM generate_series(1, $r{count}) g});
	}
	return;
}

# The role, with the grants that the manual page asks for.
sub bridge_role
{
	my ($node) = @_;

	$node->safe_psql(
		'postgres', q{
		CREATE ROLE bridge LOGIN;
		GRANT USAGE ON SCHEMA auth_admin TO bridge;
		GRANT EXECUTE ON FUNCTION
			auth_admin.claim_notifications(int, interval, text),
			auth_admin.settle_notifications(uuid[]),
			auth_admin.release_notifications(uuid[], text, boolean) TO bridge;});
	return;
}

# Its own epmd too, so that no other Erlang node is ever met. Started again
# with the same hash it finds its queues.
sub start_rabbit
{
	my ($rabbit) = @_;
	my @server = glob '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server';

	if (!$rabbit)
	{
		my $dir = tempdir(CLEANUP => 1);
		$rabbit = {
			dir => $dir,
			port => free_port(),
			tls_port => free_port(),
			epmd_port => free_port(),
			dist_port => free_port(),
			tls => certificates()
		};
		$rabbit->{url} = "amqp://bridge:secret\@127.0.0.1:$rabbit->{port}";
		write_file("$dir/rabbitmq.conf", <<"END");
listeners.tcp.default = 127.0.0.1:$rabbit->{port}
listeners.ssl.default = 127.0.0.1:$rabbit->{tls_port}
ssl_options.certfile = $rabbit->{tls}/server.crt
ssl_options.keyfile = $rabbit->{tls}/server.key
default_user = bridge
default_pass = secret
END
		write_file("$dir/plugins", "[].\n");
		$rabbit->{epmd} =
		  spawn('epmd', "$dir/epmd.log", {}, 'epmd', '-port',
			$rabbit->{epmd_port}, '-address', '127.0.0.1');
		# Without one, Erlang would start a daemon that nobody stops.
		eventually('epmd listens',
			sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$rabbit->{epmd_port}") })
		  or die 'epmd does not listen';
	}
	my $dir = $rabbit->{dir};
	unlink "$dir/pid", "$dir/out";
	$rabbit->{env} = {
			HOME => $dir,
			ERL_EPMD_PORT => $rabbit->{epmd_port},
			ERL_EPMD_ADDRESS => '127.0.0.1',
			RABBITMQ_NODENAME => "test$rabbit->{port}\@localhost",
			RABBITMQ_DIST_PORT => $rabbit->{dist_port},
			RABBITMQ_MNESIA_BASE => "$dir/mnesia",
			RABBITMQ_LOG_BASE => "$dir/log",
			RABBITMQ_CONFIG_FILE => "$dir/rabbitmq.conf",
			RABBITMQ_ENABLED_PLUGINS_FILE => "$dir/plugins",
			RABBITMQ_PID_FILE => "$dir/pid",
			RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS => '+S 2:2 +sbwt none',
	};
	$rabbit->{shell} = spawn('rabbitmq-server', "$dir/out", $rabbit->{env}, $server[0]);
	eventually('rabbitmq starts',
		sub { -e "$dir/out" && slurp_file("$dir/out") =~ /completed with \d+ plugins/ })
	  or die "rabbitmq: " . slurp_file("$dir/out");
	$rabbit->{pid} = slurp_file("$dir/pid") + 0;
	$running{ $rabbit->{pid} } = 'beam';
	return $rabbit;
}

# The broker's process (the Erlang machine) is the shell's child, not ours.
sub stop_rabbit
{
	my ($rabbit, $signal) = @_;

	kill $signal // 'TERM', $rabbit->{pid};
	delete $running{ $rabbit->{pid} };
	return finish($rabbit->{shell});
}

# The broker's own tool.
sub rabbitmqctl
{
	my ($rabbit, @arguments) = @_;
	my ($tool) = glob '/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmqctl';
	local %ENV = (%ENV, %{ $rabbit->{env} });
	my $out = '';

	IPC::Run::run([ $tool, '-q', @arguments ], '<', \'', '>&', \$out)
	  or die "rabbitmqctl @arguments: $out";
	return;
}

# Looks into it; the lines of the answer.
sub rabbit
{
	my ($rabbit, $command, $queue, $input) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ "$peers/rabbit.py", $rabbit->{url}, $command, $queue ],
		'<', \($input // ''), '>', \$out, '2>', \$err)
	  or die "rabbit $command $queue: $err";
	return split /\n/, $out;
}

# With a peer as the last argument, that one is started again.
sub start_python
{
	my ($name, $script, @arguments) = @_;
	my $peer = ref $arguments[-1] ? pop @arguments : { dir => tempdir(CLEANUP => 1), port => free_port() };

	write_file("$peer->{dir}/log", '');

	$peer->{pid} =
	  spawn($name, "$peer->{dir}/log", {}, "$peers/$script", $peer->{dir},
		$peer->{port}, @arguments);
	eventually("$name starts",
		sub { -e "$peer->{dir}/log" && slurp_file("$peer->{dir}/log") =~ /ready/ })
	  or die "$name: " . slurp_file("$peer->{dir}/log");
	return $peer;
}

sub start_mail_server { return start_python('mail server', 'mail_server.py', @_); }
sub start_mail_script { return start_python('mail script', 'mail_script.py', @_); }
sub start_web_hook { return start_python('web hook', 'web_hook.py', @_); }

# Runs the bridge to its end: status, standard output, log.
sub run_bridge
{
	my (@arguments) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run(
		[ 'auth-session-bridge', @arguments ],
		'<', \'', '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return ($? & 127 ? -($? & 127) : $? >> 8, $out, $err);
}

# In the background, with metrics in a file that is written often.
sub start_bridge
{
	my (@arguments) = @_;
	my $dir = tempdir(CLEANUP => 1);
	my $bridge = { dir => $dir, log => write_file("$dir/log", ''), metrics => "$dir/metrics" };

	$bridge->{pid} = spawn('bridge', $bridge->{log}, {}, 'auth-session-bridge',
		'--metrics', "$dir/metrics", @arguments);
	return $bridge;
}

sub metric
{
	my ($bridge, $name) = @_;

	return 0 unless -e $bridge->{metrics};
	return slurp_file($bridge->{metrics}) =~ /^auth_session_bridge_$name (\d+)$/m
	  ? $1
	  : 0;
}

1;
