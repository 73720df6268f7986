# The bridge's end in the database: what its role may do, and what it says of
# a database that is not as it should be. psql cannot show a program's exit
# status.
use strict;
use warnings;
use Bridge;
use File::Copy qw(copy);
use PostgreSQL::Test::Utils;
use Test::More;

my $tls = certificates();
my $port = free_port();
my $node = cluster('database', "ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'");
my $data = $node->data_dir;

sub sql { return $node->safe_psql('postgres', $_[0]); }

# As the bridge's role: status and error.
sub as_bridge
{
	my ($statement) = @_;
	my ($status, $out, $err) = $node->psql('postgres', $statement, extra_params => [ '-U', 'bridge' ]);

	return $status == 0 ? 'allowed' : $err =~ /permission denied/ ? 'denied' : $err;
}

# ---- G1: three functions and nothing else
my @relations = split /\n/, sql(
	q{SELECT c.oid::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
	WHERE nspname IN ('auth', 'auth_admin', 'auth_private') AND relkind IN ('r', 'v', 'm', 'p', 'S')
	ORDER BY 1});
cmp_ok(scalar @relations, '>', 8, 'the extension has relations');
is_deeply([ grep { as_bridge("SELECT * FROM $_ LIMIT 1") ne 'denied' } @relations ], [],
	"G1: the bridge's role can read none of them");
is_deeply([ grep { as_bridge("DELETE FROM $_") ne 'denied' } grep { /auth_private/ } @relations ], [],
	'G1: nor write to a table');
is( sql(q{SELECT string_agg(p.proname, ' ' ORDER BY proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
	WHERE nspname IN ('auth_admin', 'auth_private') AND has_schema_privilege('bridge', n.oid, 'usage')
	AND has_function_privilege('bridge', p.oid, 'execute')}),
	'claim_notifications release_notifications settle_notifications',
	'G1: of auth_admin and auth_private it can call just three functions');
is(as_bridge('SELECT count(*) FROM auth_admin.claim_notifications(1, $$1 s$$)'), 'allowed', 'these it can call');
is(as_bridge("SHOW auth_session.site_url"), 'allowed', "and it can read the site's URL");

# ---- what is wrong with a database
sub check_database
{
	my ($what, $expected, $kind, $conninfo, $text) = @_;
	my ($status, undef, $log) = run_bridge('--database', $conninfo, '--to', 'stdout:', '--check', '--timeout', '5');

	is($status, $expected, $what);
	like($log, $expected ? qr/check_failed end=database kind=$kind text=.*$text/ : qr/check_ok end=database/,
		'  and the log says what');
	unlike($log, qr/geheim/, '  without the password');
	return;
}
my $good = $node->connstr('postgres') . ' user=bridge';
check_database('a database that is as it should be', 0, '', $good, '');
{
	my @check = ('--database', $good, '--to', 'stdout:', '--check');
	my $said = qr/level=warning event=no_links text="auth_session.site_url is not set/;

	unlike((run_bridge(@check))[2], $said, 'a site that is set is not remarked on');
	sql(q{ALTER ROLE bridge SET auth_session.site_url = ''});
	my ($status, undef, $log) = run_bridge(@check);
	is($status, 0, 'one that is not set is no fault');
	is(scalar(() = $log =~ /$said/g), 1, 'but --check says so');
	my $bridge = start_bridge('--database', $good, '--to', "file:$data/../unlinked", '--poll', '1');
	ok(eventually('said', sub { slurp_file($bridge->{log}) =~ $said }), 'and so does the start');
	sql(q{SELECT auth.signup('nolink@example.org', 'correct horse 9')});
	ok(eventually('mail', sub { lines("$data/../unlinked") }), 'a mail comes all the same');
	my ($mail) = lines("$data/../unlinked");
	like($mail->{message}{text}, qr/^    \d{6}$/m, 'with a code');
	unlike(join('', values %{ $mail->{message} }), qr{https?:|localhost}, 'and no link');

	# A connection keeps the setting that it began with: a bridge that runs
	# follows ALTER DATABASE and ALTER ROLE all the same, both ways.
	sql(q{ALTER ROLE bridge RESET auth_session.site_url; ALTER DATABASE postgres SET auth_session.site_url = 'https://moved.example'});
	ok(eventually('the new URL', sub {
		sql(q{SELECT auth.signup('link' || (random() * 1e9)::int || '@example.org', 'correct horse 9')});
		(join '', map { values %{ $_->{message} } } lines("$data/../unlinked")) =~ m{https://moved\.example/}
	}), 'what is set while the bridge runs reaches it');
	sql('ALTER DATABASE postgres RESET auth_session.site_url');
	ok(eventually('the old URL', sub {
		sql(q{SELECT auth.signup('link' || (random() * 1e9)::int || '@example.org', 'correct horse 9')});
		((lines("$data/../unlinked"))[-1]{message}{text} // '') !~ m{https://moved\.example/}
	}), 'and what is reset');
	is(stop($bridge), 0, 'clean stop');
	sql('ALTER ROLE bridge RESET auth_session.site_url; TRUNCATE auth_private.outbox');
}
check_database('no such database', 7, 'database', $node->connstr('nowhere') . ' user=bridge', '3D000');
check_database('no extension in it', 7, 'database', $node->connstr('template1') . ' user=bridge', 'auth_admin');
sql('CREATE ROLE nobody LOGIN');
check_database('no USAGE on the schema', 7, 'database', $node->connstr('postgres') . ' user=nobody', 'permission denied for schema');
sql('GRANT USAGE ON SCHEMA auth_admin TO nobody');
check_database('no EXECUTE on the functions', 7, 'database', $node->connstr('postgres') . ' user=nobody', 'may not execute');
check_database('no such role', 4, 'login', $node->connstr('postgres') . ' user=stranger', '28000');
check_database('no conninfo', 2, 'usage', 'host=x bogus', 'missing');

# Over TCP, with passwords and TLS.
foreach my $file (qw(server.crt server.key))
{
	copy("$tls/$file", "$data/$file") or die $!;
	chmod 0600, "$data/$file";
}
sql("ALTER ROLE bridge PASSWORD 'geheim'");
$node->append_conf('postgresql.conf', "ssl = on\nlisten_addresses = '127.0.0.1'\nport = $port\n");
$node->append_conf('pg_hba.conf', "hostssl all bridge 127.0.0.1/32 scram-sha-256\n");
{
	# The last lines win, but for the socket's directory and pg_hba's order.
	my $hba = slurp_file("$data/pg_hba.conf");
	write_file("$data/pg_hba.conf", "hostssl all bridge 127.0.0.1/32 scram-sha-256\n$hba");
}
my $tcp = "hostaddr=127.0.0.1 host=localhost port=$port dbname=postgres user=bridge sslmode=require";
$node->stop;
$node->{_port} = $port;
$node->start;
check_database('TLS and password', 0, '', "$tcp password=geheim sslmode=verify-full sslrootcert=$tls/ca.crt", '');
check_database('a wrong password', 4, 'login', "$tcp password=geheim2 sslmode=verify-full sslrootcert=$tls/ca.crt", '28P01');
check_database('no password', 4, 'login', "$tcp sslmode=verify-full sslrootcert=$tls/ca.crt", 'no password supplied');
check_database('a certificate of another authority', 5, 'tls',
	"$tcp password=geheim sslmode=verify-full sslrootcert=$tls/other.crt", 'certificate verify failed');
check_database('the certificate of another host', 5, 'tls',
	"$tcp password=geheim sslmode=verify-full sslrootcert=$tls/ca.crt host=db.example.org", 'does not match');

# ---- a refusal ends it at the start, silence does not
my ($status) = run_bridge('--database', "$tcp password=geheim2", '--to', 'stdout:');
is($status, 4, 'without --check a refused login at the start ends it too');
{
	$node->stop;
	my $bridge = start_bridge('--database', "$tcp password=geheim", '--to', "file:$data/../mails", '--poll', '1');
	ok(eventually('tried', sub { metric($bridge, 'source_failures_total') >= 2 }), 'a database that is not there yet is waited for');
	$node->start;
	ok(eventually('up', sub { metric($bridge, 'source_up') }), 'until it is');
	sql(q{SELECT auth.signup('ada@example.org', 'correct horse 9')});
	ok(eventually('mail', sub { lines("$data/../mails") }), 'and then the work begins');
	sql("ALTER ROLE bridge PASSWORD 'other'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bridge'");
	ok(eventually('refused', sub { slurp_file($bridge->{log}) =~ /database_failed kind=login/ }), 'a login that is refused later');
	sql("ALTER ROLE bridge PASSWORD 'geheim'");
	ok(eventually('up', sub { metric($bridge, 'source_up') }), 'is tried again');
	is(stop($bridge), 0, 'clean stop');
	my ($mail) = lines("$data/../mails");
	is($mail->{kind}, 'confirm_email', 'file: has the notification, one object per line');
	my ($code) = $mail->{message}{text} =~ /^    (\d{6})$/m;
	is($code, $mail->{payload}{code}, 'with the rendered text');
	is(sql("SELECT status FROM auth.confirm('ada\@example.org', '$code', 'correct horse 9')"), 'active', 'whose code confirms');
	is((stat "$data/../mails")[2] & 0777, 0600, 'and only its owner can read it');
}

# ---- dead codes are not sent
sql(q{SELECT auth.signup('late@example.org', 'correct horse 9')});
sql(q{UPDATE auth_private.codes SET code_expires_at = now() - interval '1 s', link_expires_at = now() - interval '1 s'
	WHERE code_expires_at > now()});
my ($rc, $out) = run_bridge('--database', "$tcp password=geheim", '--to', 'stdout:', '--once');
is($rc, 0, 'a code that has died before it could be sent');
unlike($out, qr/late\@example/, 'is not sent');

done_testing();
