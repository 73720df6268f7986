# pg_upgrade as doc/operate.md has it: accounts, sessions, sealed keys and what
# the bridge has not fetched come along, and nobody is signed out. From the
# oldest server on this machine to the newest; where that is one and the same,
# from one cluster of it to another.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir_short();

# ---- the servers: Debian's, each with its development files; the one that the
# tests are run by is staged already.
my ($here) = run_command([ 'pg_config', '--bindir' ]);
my ($version) = (run_command([ 'pg_config', '--version' ]))[0] =~ /PostgreSQL (\d+)/;
my %bin = ($version => $here);
foreach my $bindir (glob '/usr/lib/postgresql/*/bin')
{
	my ($major) = $bindir =~ m{/(\d+)/bin$} or next;
	next if exists $bin{$major} || $major < 15 || !-x "$bindir/pg_config" || !-x "$bindir/postgres" || !-x "$bindir/pg_upgrade";
	next unless -e (run_command([ "$bindir/pg_config", '--pgxs' ]))[0];
	local $ENV{STAGE} = "$dir/stage.$major";
	local $ENV{PG_CONFIG} = "$bindir/pg_config";
	delete local $ENV{MAKEFLAGS};
	# A tree of its own: what is built is of one major version.
	system("cp -a . '$dir/tree.$major'") == 0 or die 'cp';
	system("'$dir/tree.$major/test/lib/stage' >'$dir/stage.$major.log' 2>&1") == 0
	  or die "no stage of PostgreSQL $major: " . slurp_file("$dir/stage.$major.log");
	$bin{$major} = "$dir/stage.$major$bindir";
}
my ($oldest, $newest) = (sort { $a <=> $b } keys %bin)[ 0, -1 ];
note("from PostgreSQL $oldest to $newest");

sub cluster_of
{
	my ($name, $major, $conf, @init) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name, install_path => $bin{$major} =~ s{/bin$}{}r);

	# Of one kind on either side: from 18 on initdb turns checksums on.
	$node->init(extra => [ @init, $major >= 18 ? '--no-data-checksums' : () ]);
	$node->append_conf('postgresql.conf', $conf);
	return $node;
}

# ---- the old cluster, as an operator has it
open my $key, '>:raw', "$dir/key" or die $!;
print {$key} map { chr } 1 .. 32;
close $key;
chmod 0600, "$dir/key";
my $conf = <<"CONF";
shared_preload_libraries = 'auth_session'
auth_session.argon2_memory = 7168
auth_session.argon2_iterations = 1
auth_session.master_key_file = '$dir/key'
CONF
my $old = cluster_of('old', $oldest, $conf);
$old->start;
$old->safe_psql('postgres', 'CREATE DATABASE app');
$old->safe_psql('app', <<'SQL');
CREATE EXTENSION auth_session;
ALTER DATABASE app SET auth_session.site_url = 'https://app.example';
CREATE ROLE backend LOGIN;
ALTER ROLE backend SET auth_session.trusted_proxies = 1;
CREATE TABLE notes (owner uuid NOT NULL DEFAULT auth.uid() REFERENCES auth_private.accounts ON DELETE CASCADE, body text);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes TO backend USING (owner = auth.uid());
GRANT SELECT, INSERT ON notes TO backend;
SQL
my $ada = account($old, 'ada@example.org', dbname => 'app');
account($old, 'bob@example.org', dbname => 'app');
my $live = signin($old, 'ada@example.org', dbname => 'app');
my $idle = signin($old, 'ada@example.org', dbname => 'app');
my $gone = signin($old, 'bob@example.org', dbname => 'app');
my $ask_old = sub { return $old->safe_psql('app', $_[0]) };
$ask_old->('SELECT auth.logout(refresh_token => ' . quoted($gone->{refresh_token}) . ')');
my $stale = $idle->{refresh_token};
$idle->{refresh_token} = $ask_old->('SELECT refresh_token FROM auth.renew(' . quoted($stale) . ')');
$ask_old->("BEGIN; SET LOCAL ROLE backend; SELECT auth.authenticate(" . quoted($live->{access_token}) . "); INSERT INTO notes (body) VALUES ('mine'); COMMIT");
$ask_old->("SELECT auth.signup('joe\@example.org', " . quoted($PASSWORD) . ')');
is($ask_old->('SELECT notifications_waiting > 0 FROM auth_admin.stats'), 't', 'a message waits for the bridge');
is($ask_old->('SELECT keys_unsealed FROM auth_admin.stats'), '0', 'the keys are sealed');

# ---- what the operator is told to run
my $new = cluster_of('new', $newest, $conf);
my ($block) = slurp_file('doc/operate.md') =~ /^```text\n(pg_upgrade .*?)^```$/ms;
ok($block, 'doc/operate.md has the command') or BAIL_OUT('no command');
my %path = (
	'/usr/lib/postgresql/15/bin' => $bin{$oldest}, '/usr/lib/postgresql/17/bin' => $bin{$newest},
	'/etc/postgresql/15/main' => $old->data_dir, '/etc/postgresql/17/main' => $new->data_dir);
$block =~ s/(@{[ join '|', map { quotemeta } keys %path ]})/$path{$1}/g;
$block =~ s/^pg_upgrade/$bin{$newest}\/pg_upgrade/;
my ($before) = $block =~ /^(.*)$/m;
$before .= ' --socketdir=' . $old->host . ' -p ' . $old->port . ' -P ' . $new->port;

# The end of a session whose refresh token was stolen, that the old server could
# not record any more: pg_upgrade starts it once more, which is when it is.
my $stolen = signin($old, 'bob@example.org', dbname => 'app');
my $next = $stolen->{refresh_token};
$next = $ask_old->('SELECT refresh_token FROM auth.renew(' . quoted($next) . ')') for 1 .. 2;
my $holder = sql_connect($old, dbname => 'app');
$holder->begin_work;
$holder->do('LOCK TABLE auth_private.audit_log');
refused($old, 'SELECT auth.renew(' . quoted($stolen->{refresh_token}) . ')', 'refresh_token_reused', 'a refresh token is used again', 'app');

$old->stop;
foreach my $how ('--check', '')
{
	my ($out, $err) = ('', '');
	ok(IPC::Run::run([ 'sh', '-ec', "cd '$dir'; $before $how" ], '<', \undef, '>', \$out, '2>', \$err), "pg_upgrade $how")
	  or diag($out, $err);
}
$new->start;
local $ENV{PGHOST} = $new->host;
local $ENV{PGPORT} = $new->port;
my ($after) = $block =~ /^(vacuumdb .*)$/m;
$new->command_ok([ 'sh', '-ec', $bin{$newest} . '/' . ($after // 'nothing') ], "then $after");

# ---- nobody is signed out
my $ask = sub { return $new->safe_psql('app', $_[0]) };
is($ask->('SHOW server_version_num') =~ s/....$//r, $newest, "the server is PostgreSQL $newest");
is($ask->('SELECT auth.verify(' . quoted($live->{access_token}) . ") ->> 'sub'"), $ada, 'a token of before verifies');
refused($new, 'SELECT auth.verify(' . quoted($gone->{access_token}) . ')', 'session_revoked', 'one that was revoked does not', 'app');
is($ask->('BEGIN; SET LOCAL ROLE backend; SELECT auth.authenticate(' . quoted($live->{access_token}) . '); SELECT body FROM notes; COMMIT') =~ s/.*\n//sr,
	'mine', 'and the application\'s policies show its user\'s rows');
is($ask->('SELECT session_id FROM auth.renew(' . quoted($live->{refresh_token}) . ')'), $live->{session_id}, 'a refresh token of before renews');
is($ask->('SELECT session_id FROM auth.renew(' . quoted($idle->{refresh_token}) . ')'), $idle->{session_id}, 'so does one that was renewed before');
refused($new, 'SELECT auth.renew(' . quoted($gone->{refresh_token}) . ')', 'session_revoked', 'one of a revoked session does not', 'app');
refused($new, 'SELECT auth.renew(' . quoted($stale) . ')', 'refresh_token_reused', 'and one that was renewed twice is a reuse', 'app');
refused($new, 'SELECT auth.renew(' . quoted($next) . ')', 'session_revoked', 'a session whose end was still to be recorded has ended', 'app');
is(signin($new, 'ada@example.org', dbname => 'app')->{user_id}, $ada, 'users sign in');
refused($new, "SELECT auth.signin('ada\@example.org', 'another password')", 'invalid_credentials', 'by their own password only', 'app');

# ---- the settings, the library, the bridge
is($ask->(q{SELECT current_setting('auth_session.site_url')}), 'https://app.example', 'settings of the database come along');
is($new->safe_psql('app', q{SELECT current_setting('auth_session.trusted_proxies')}, extra_params => [ '-U', 'backend' ]), '1', 'and those of roles');
my ($status, $out, $err) = $new->psql('app', 'ALTER EXTENSION auth_session UPDATE');
is($status, 0, 'ALTER EXTENSION UPDATE');
like($err, qr/NOTICE:  version "[\d.]+" of extension "auth_session" is already installed/, 'has nothing to do');
is($ask->(q{SELECT count(*) FROM auth_admin.check_configuration() WHERE finding ~ 'library|seal|master key|worker'}), '0', 'nothing is amiss with the library or the keys');
is($ask->('SELECT keys_unsealed FROM auth_admin.stats'), '0', 'the keys are sealed as they were');
$ask->('CALL auth_admin.maintain()');
my $mail = mailed($new, 'confirm_email', 'joe@example.org', 'app');
ok($mail, 'a message that waited is handed out');
is($ask->('SELECT status FROM auth.confirm(code => ' . quoted($mail->{link_token}) . ', password => ' . quoted($PASSWORD) . ')'), 'active', 'and its link confirms');

$new->stop;
done_testing;
