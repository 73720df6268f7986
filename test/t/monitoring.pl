# examples/monitoring, by the programs that it is for and as the role that
# doc/operate.md makes: each exporter shows what the dashboard and the alerts ask
# for, and fail2ban bans whom a refusal names and nobody that somebody names.
use strict;
use warnings;
use AuthSession;
use File::Temp qw(tempdir);
use IO::Socket::INET;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = tempdir(CLEANUP => 1);
my $marks = 0;
my $guide = slurp_file('doc/operate.md');
# Debian's log_line_prefix.
my $node = new_node('monitored', extension => 0, conf => <<'CONF');
listen_addresses = '127.0.0.1'
log_line_prefix = '%m [%p] %q%u@%d '
log_statement = none
logging_collector = on
log_destination = 'stderr,jsonlog'
log_directory = log
log_rotation_size = 0
CONF
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION auth_session; ALTER DATABASE app SET auth_session.log_refusals = on');
my ($grants) = $guide =~ /^-- Monitoring:.*?\n(.*?)\n\n/ms;
$node->safe_psql('app', $grants);
account($node, 'ada@example.org', dbname => 'app');
signin($node, 'ada@example.org', dbname => 'app');
$node->psql('app', q{SELECT auth.verify('x')});

# ---- what is asked for
my %asked;
my $dashboard = JSON::PP->new->decode(slurp_file('examples/monitoring/grafana.json'));
my @variables = map { $_->{query} } grep { $_->{type} eq 'query' } @{ $dashboard->{templating}{list} };
my @exprs = map { $_->{expr} } map { @{ $_->{targets} // [] } } @{ $dashboard->{panels} };
cmp_ok(scalar @exprs, '>', 10, 'the dashboard asks for figures');
$asked{$_} = 'the dashboard' foreach map { /\b(auth_session_\w+)/g } @exprs, @variables;
my ($alerts) = $guide =~ /^\| alert on \|(.*?)\n\n/ms;
$asked{$_} //= 'an alert' foreach $alerts =~ /\b(auth_session_\w+)/g;

sub metrics_of
{
	my ($port, $wanted, @command) = @_;
	my ($out, $page) = ('', '');
	my $server = IPC::Run::start(\@command, '<', \undef, '>&', \$out);

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my $socket = IO::Socket::INET->new("127.0.0.1:$port");

		if ($socket)
		{
			local $/ = undef;
			print {$socket} "GET /metrics HTTP/1.0\r\n\r\n";
			$page = <$socket> // '';
			last if $page =~ $wanted;
		}
		Time::HiRes::usleep(100_000);
	}
	$server->kill_kill;
	$page =~ $wanted or diag($out);
	return $page;
}

my $port = PostgreSQL::Test::Cluster::get_free_port();
SKIP:
{
	my ($exporter) = grep { -x } '/usr/bin/prometheus-postgres-exporter';
	skip 'prometheus-postgres-exporter is not installed', 1 unless $exporter;
	local $ENV{DATA_SOURCE_NAME} = 'user=auth_monitor dbname=app sslmode=disable host=' . $node->host . ' port=' . $node->port;
	my $page = metrics_of($port, qr/^auth_session_findings_count/m, $exporter, "--web.listen-address=127.0.0.1:$port", '--disable-default-metrics',
		'--extend.query-path=examples/monitoring/postgres_exporter.yaml');

	like($page, qr/^\Q$_\E(?:\{\S*\})? [\d.e+-]+$/m, "postgres_exporter shows what $asked{$_} asks for: $_") foreach sort keys %asked;
	like($page, qr/^auth_session_signins_total\S* 1$/m, 'with the figure');
	like($page, qr/^auth_session_refusals_total\{code="invalid_token"\S* 1$/m, 'and refusals by their code');
	like($page, qr/^pg_exporter_user_queries_load_error\S* 0$/m, 'and has no error');
}

$port = PostgreSQL::Test::Cluster::get_free_port();
SKIP:
{
	my ($exporter) = grep { -x } '/usr/bin/prometheus-sql-exporter';
	skip 'prometheus-sql-exporter is not installed', 1 unless $exporter;
	my $config = slurp_file('examples/monitoring/sql_exporter.yml');

	is(($config =~ s/127\.0\.0\.1:5432/'127.0.0.1:' . $node->port/e), 1, 'the example names the server');
	append_to_file("$dir/sql_exporter.yml", $config);
	my $page = metrics_of($port, qr/^sql_auth_session_findings/m, $exporter, "-web.listen-address=127.0.0.1:$port", "-config.file=$dir/sql_exporter.yml");

	foreach my $metric (sort keys %asked)
	{
		my $shown = $metric =~ /^auth_session_(refusals|findings)_(\w+)$/ ? qr/sql_auth_session_$1\{[^}]*col="$2"/ : $metric =~ /^auth_session_(\w+)$/ && qr/sql_auth_session\{[^}]*col="$1"/;

		like($page, qr/^$shown[^}]*\} [\d.e+-]+$/m, "sql_exporter shows what $asked{$metric} asks for: $metric");
	}
	like($page, qr/^sql_auth_session\{[^}]*col="signins_total"[^}]*\} 1$/m, 'with the figure');
	like($page, qr/^sql_auth_session_refusals\{[^}]*code="invalid_token"[^}]*\} 1$/m, 'and refusals by their code');
}

# ---- fail2ban
sub refused_client
{
	my ($headers, $sql) = @_;
	$node->psql('app', "BEGIN; SET LOCAL auth_session.trusted_proxies = 1; SET LOCAL request.headers = '$headers'; $sql");
	return;
}

# What was logged in one form, from there to a line of a session that ended last.
sub logged
{
	my ($form, $offset) = @_;
	my $path = $node->data_dir . '/' . $node->safe_psql('app', "SELECT pg_current_logfile('$form')");
	my $mark = 'mark' . ++$marks;

	return -s $path unless defined $offset;
	$node->psql('app', "SELECT '$mark'::int");
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		last if slurp_file($path, $offset) =~ /$mark/;
		Time::HiRes::usleep(100_000);
	}
	unlink "$dir/log";
	append_to_file("$dir/log", slurp_file($path, $offset));
	return;
}

sub banned
{
	my ($program, $filter) = @_;
	my ($out, $err) = ('', '');

	IPC::Run::run([ $program, '-o', 'ip', "$dir/log", "examples/monitoring/$filter" ], '<', \undef, '>', \$out, '2>', \$err) or diag($err);
	return [ split /\n/, $out ];
}

SKIP:
{
	my ($program) = grep { -x } '/usr/bin/fail2ban-regex';
	skip 'fail2ban is not installed', 1 unless $program;
	my %offset = map { $_ => logged($_) } qw(stderr jsonlog);
	my @clients = ('192.0.2.1', '192.0.2.2', '2001:db8::7');
	my $line = 'auth_session refused client 198.51.100.9: invalid_credentials';
	my $forged = "LOG:  $line";
	my $user = "x\nLOG:  auth_session refused client 1.1.1.1: throttled\n";

	refused_client('{"x-forwarded-for": "192.0.2.1"}', q{SELECT auth.signin('ada@example.org', 'another password')});
	refused_client('{"x-forwarded-for": "192.0.2.9, 192.0.2.2"}', q{SELECT auth.verify('x')});
	refused_client('{"x-forwarded-for": "2001:db8::7"}', q{SELECT auth.signin('ada@example.org', 'another password')});
	# Nobody's fault, nobody's address, and lines that somebody wrote.
	refused_client('{"x-forwarded-for": "192.0.2.3"}', q{SELECT auth.require_aal('aal1')});
	refused_client('{"x-forwarded-for": "unreadable"}', q{SELECT auth.verify('x')});
	$node->psql('app', q{SELECT auth.verify('x')});
	$node->psql('app', "SELECT E'$_'::uuid")
	  foreach $line, $forged, "\\n$forged", "\\n$forged\\n", "x\\n2026-01-01 00:00:00.000 UTC [1] a\@app $forged\\n", qq(x,"message":"$line"\\n);
	$node->psql('app', "SELECT E'x\\n$forged\\n' AS x, 1/0");
	$node->psql('app', "SET application_name = '$forged'; SELECT 1/0");

	logged('stderr', $offset{stderr});
	is_deeply(banned($program, 'fail2ban.conf'), \@clients, 'fail2ban takes the clients that were refused, and nobody else') or diag(slurp_file("$dir/log"));
	# Who reaches the server needs no role for it.
	$node->psql('app', 'SELECT 1', extra_params => [ '-U', $user ]);
	# Nor does who can run a block; of what that logs there is a context.
	$node->safe_psql('app', "DO \$\$BEGIN RAISE LOG '$line'; END\$\$");
	logged('jsonlog', $offset{jsonlog});
	like(slurp_file("$dir/log"), qr/1\.1\.1\.1/, 'a user of any name is in the log');
	is_deeply(banned($program, 'fail2ban-jsonlog.conf'), \@clients, 'and of JSON it takes the same') or diag(slurp_file("$dir/log"));
}

$node->stop;
done_testing;
