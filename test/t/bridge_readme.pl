# The guide's commands of the bridge start as they are written, with the role
# that its SQL makes, let in as the peer of its system user, and a key made as
# it says. What stands for another's host is a peer on loopback here; trusted
# certificates and the port of the socket come from the environment, so that
# nothing of the commands' own is added or left out. psql can run none of it.
use strict;
use warnings;
use Bridge;
use File::Temp qw(tempdir);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $readme = slurp_file('doc/guide.md');
my ($block) = $readme =~ /^```text\n(auth-session-bridge .*?)^```/ms;
my @commands = split /\n/, ($block // '') =~ s/\s*\\\n\s*/ /gr;
is(scalar @commands, 3, 'the guide has three commands of the bridge');
my ($grants) = $readme =~ /^-- The bridge: [^\n]*\n(.*?)\n\n/ms;
my ($make_key) = $readme =~ /`(echo "whsec_[^`]*)`/;
my ($role) = $grants =~ /CREATE ROLE (\w+) LOGIN/;

# ---- one name for the role and its system user
like(slurp_file('src/bridge/auth-session-bridge.service.in'), qr/^User=\Q$role\E$/m, 'the unit runs as a user of the role\'s name');
like(slurp_file('src/bridge/auth-session-bridge.conf.in'), qr/^database = .* user=\Q$role\E$/m, 'the sample configuration has it');
like(slurp_file('doc/auth-session-bridge.1'), qr/^CREATE ROLE \Q$role\E LOGIN;$/m, 'and so has the manual page');

# ---- the peers
my $node = PostgreSQL::Test::Cluster->new('bridge_readme');
my $rabbit = start_rabbit();
my $server = start_mail_server();
my $hook = start_web_hook('--tls', "$rabbit->{tls}/server.crt", "$rabbit->{tls}/server.key");
my $dir = tempdir(CLEANUP => 1);
my $user = getpwuid $<;

$node->init;
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'auth_session'\nauth_session.site_url = 'https://app.example'");
write_file($node->data_dir . '/pg_hba.conf', "local app $role peer map=bridge\n" . slurp_file($node->data_dir . '/pg_hba.conf'));
$node->append_conf('pg_ident.conf', "bridge $user $role");
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', "CREATE EXTENSION auth_session; $grants");
is(system("umask 077; $make_key >$dir/key"), 0, 'the command that makes a key');

my %stands_for = (
	'/var/run/postgresql' => $node->host,
	'smtp://127.0.0.1' => "smtp://127.0.0.1:$server->{port}",
	'https://sms.example' => "https://localhost:$hook->{port}",
	'amqps://user:password@broker.example' => "amqps://bridge:secret\@localhost:$rabbit->{tls_port}",
	'/etc/auth-session-bridge.key' => "$dir/key");
local $ENV{PGPORT} = $node->port;
local $ENV{AUTH_SESSION_BRIDGE_CA_FILE} = "$rabbit->{tls}/ca.crt";

sub run_as_written
{
	my ($command, $more) = @_;
	my ($out, $err) = ('', '');

	foreach my $there (sort keys %stands_for)
	{
		$command =~ s/\Q$there\E(?=[\s\/']|$)/$stands_for{$there}/g;
	}
	ok(IPC::Run::run([ 'sh', '-c', "$command $more" ], '<', \'', '>', \$out, '2>', \$err), "$more: $command") or diag($err);
	return;
}

# ---- mail and SMS; to the broker; from the broker
run_as_written($_, '--check') foreach @commands[ 0, 2, 1 ];
$node->safe_psql('app', q{SELECT auth.signup('ada@example.org', 'correct horse 9'), auth.signup(phone => '+4917012345678', password => 'correct horse 9')});
run_as_written($commands[0], '--once');
is_deeply([ map { @{ $_->{to} } } lines("$server->{dir}/mails") ], ['ada@example.org'], 'the mail is sent');
is_deeply([ map { JSON::PP->new->decode($_->{body})->{data}{recipient} } lines("$hook->{dir}/requests") ], ['+4917012345678'], 'and the SMS');
$node->safe_psql('app', q{SELECT auth.signup('bob@example.org', 'correct horse 9')});
run_as_written($_, '--once') foreach @commands[ 1, 2 ];
is((lines("$server->{dir}/mails"))[-1]{to}[0], 'bob@example.org', 'by way of the broker, too');

# ---- the sample configuration, as it is shipped, where the local mail server is
my $sample = slurp_file('src/bridge/auth-session-bridge.conf.in') =~ s{\@sysconfdir\@/auth-session-bridge\.key}{$dir/key}r;
write_file("$dir/conf", $sample =~ s{\@socketdir\@}{$node->host}er =~ s{(smtp://127\.0\.0\.1)$}{$1:$server->{port}}mr, 0600);
my ($status, undef, $log) = run_bridge('--config', "$dir/conf", '--check');
is($status, 0, 'the sample configuration starts as it is') or diag($log);

# Whole.
write_file("$dir/conf", $sample =~ s/^#((?!consume)[a-z-]+ = )/$1/gmr
	  =~ s/127\.0\.0\.1:5672/'127.0.0.1:' . free_port()/er =~ s{\@socketdir\@}{/nowhere}r
	  =~ s{^templates = .*\n|^metrics = .*\n}{}gmr, 0600);
($status, undef, $log) = run_bridge('--config', "$dir/conf", '--check');
is($status, 3, 'and whole it is understood') or diag($log);

# ---- mail alone, by one option: what is for SMS is left where it is
$node->safe_psql('app', q{SELECT auth.signup('eve@example.org', 'correct horse 9'), auth.signup(phone => '+4917012345679', password => 'correct horse 9')});
($status, undef, $log) = run_bridge('--database', 'host=' . $node->host . " dbname=app user=$role", '--from', 'a@example.org',
	'--email', "smtp://127.0.0.1:$server->{port}", '--once');
is($status, 0, 'a bridge with --email alone') or diag($log);
like($log, qr/event=no_destination channel=sms/, 'says what it leaves');
is((lines("$server->{dir}/mails"))[-1]{to}[0], 'eve@example.org', 'mails');
is($node->safe_psql('app', q{SELECT string_agg(recipient, ' ') FROM auth_admin.claim_notifications(10, '0 s', 'sms')}),
	'+4917012345679', 'and leaves the SMS to another');
is($node->safe_psql('app', q{SELECT count(*) FROM auth_admin.parked_notifications}), 0, 'nothing is parked');

done_testing();
