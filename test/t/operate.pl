# doc/operate.md does what it says: its ```sql blocks are run one by one by a
# superuser in the application's database, its ```sh blocks by the shell, in
# order, and what they are for has come about. What stands for a path of another
# machine is a path of this test. What it says of figures is in monitoring.pl, of
# pg_cron in maintenance.pl, of pg_upgrade and pgbouncer in theirs.
use strict;
use warnings;
use AuthSession;
use File::Temp qw(tempdir);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no doc/operate.md here' unless -f 'doc/operate.md';

my $dir = tempdir(CLEANUP => 1);
my $node = new_node('operate', extension => 0);
$node->safe_psql('postgres', 'CREATE DATABASE app');
$node->safe_psql('app', 'CREATE EXTENSION auth_session');
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'app';
$node->safe_psql('app', q{INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, payload, attempts, due_at, parked_at, error)
	VALUES (gen_random_uuid(), now(), 'new_signin', 'email', 'x@example.org', '{}', 1, now(), now(), 'refused')});
my $ada = account($node, 'ada@example.org', dbname => 'app');
my $tokens = signin($node, 'ada@example.org', dbname => 'app');

sub ask { return $node->safe_psql('app', $_[0]); }
sub live { return ask('SELECT count(*) FROM auth_admin.sessions(' . quoted($ada) . ')'); }

# What has to be true once the block that has these words has been run.
my @after = (
	[ qr/CREATE ROLE auth_monitor/, sub { is(ask(q{SET ROLE auth_monitor; SELECT count(*) FROM auth_admin.stats}), '1', 'auth_monitor reads figures');
			cmp_ok(ask(q{SET ROLE auth_monitor; SELECT count(*) FROM auth_admin.check_configuration()}), '>', 0, 'and what is amiss');
			is(ask(q{SELECT has_table_privilege('auth_monitor', 'auth_admin.users', 'SELECT') OR has_any_column_privilege('auth_monitor', 'auth_private.sessions', 'SELECT')}), 'f', 'and no user'); } ],
	[ qr/site_url = /, sub { is(ask(q{SELECT count(*) FROM auth_admin.check_configuration() WHERE finding ~ 'site_url'}), '0', 'links have a URL'); } ],
	[ qr/trusted_proxies = 1/, sub { is(ask(q{SELECT count(*) FROM auth_admin.check_configuration() WHERE finding ~ 'No proxy'}), '0', 'clients have addresses'); } ],
	[ qr/master_key_file/, sub { ok($node->poll_query_until('app', q{SELECT current_setting('auth_session.master_key_file') <> ''}), 'the master key is set'); } ],
	[ qr/seal_keys\(\)/, sub { is(ask('SELECT keys_unsealed FROM auth_admin.stats'), '0', 'keys are sealed'); } ],
	[ qr/CALL auth_admin.maintain/, sub { is(ask('SELECT last_pruned IS NOT NULL FROM auth_admin.stats'), 't', 'maintenance has run'); } ],
	[ qr/pg_dump/, sub { ok(-s "$dir/app.dump", 'there is a dump'); } ],
	[ qr/log_refusals/, sub {
			my $offset = -s $node->logfile;
			$node->psql('app', q{BEGIN; SET LOCAL auth_session.trusted_proxies = 1; SET LOCAL request.headers = '{"x-forwarded-for": "192.0.2.1"}'; SELECT auth.verify('x')});
			like(slurp_file($node->logfile, $offset), qr/LOG:  auth_session refused client 192\.0\.2\.1: invalid_token$/m, 'a refusal is a line'); } ],
	[ qr/activate_signing_key/, sub { is(ask(q{SELECT algorithm FROM auth_admin.signing_keys WHERE state = 'active'}), 'ES256', 'another key signs'); } ],
	[ qr/revoke_all/, sub { is(live(), '0', 'nobody is signed in'); } ],
	[ qr/release_notifications/, sub { is(ask('SELECT count(*) FROM auth_admin.parked_notifications'), '0', 'nothing is parked'); } ]);
my %is_due = map { $_ => 1 } 0 .. $#after;

my ($language, @lines);
my $count = 0;
foreach my $line (split /\n/, slurp_file('doc/operate.md'))
{
	if (!defined $language) { ($language, @lines) = ($1) if $line =~ /^```(\w*)$/; next; }
	if ($line ne '```') { push @lines, $line; next; }

	my $block = join "\n", @lines;
	my $kind = $language;
	my ($out, $err) = ('', '');
	undef $language;
	isnt($kind, '', 'a block says what it is');
	next if $kind eq 'text';

	# The master key is lost where that is what the block is for.
	if ($block =~ /reset_second_factor/)
	{
		open my $key, '>:raw', "$dir/auth_session.key" or die $!;
		print {$key} join '', map { chr } 1 .. 32;
		close $key;
		is((() = ask(q{SELECT finding FROM auth_admin.check_configuration() WHERE finding ~ 'under another master key'})), 1, 'the master key is lost');
	}
	signin($node, 'ada@example.org', dbname => 'app') if $block =~ /revoke_all/ && $block !~ /reset_second_factor/;

	$block =~ s{/etc/postgresql/}{$dir/}g;
	$block =~ s{app\.dump}{$dir/app.dump}g;
	ok(IPC::Run::run($kind eq 'sql' ? [ 'psql', '-X', '-v', 'ON_ERROR_STOP=1', '-f', '-' ] : [ 'sh', '-e' ], '<', \$block, '>', \$out, '2>', \$err),
		(split /\n/, $block)[-1]) or diag($err);
	$count++;
	foreach my $i (grep { $block =~ $after[$_][0] } 0 .. $#after)
	{
		$after[$i][1]->();
		delete $is_due{$i};
	}
}
cmp_ok($count, '>', 15, "blocks that were run: $count");
is_deeply([ keys %is_due ], [], 'each thing that is looked at was done');
ok(signin($node, 'ada@example.org', dbname => 'app')->{access_token}, 'after all of it users sign in');

# ---- a restore, as far as it can be shown in the same cluster
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-d', $node->connstr('restored'), "$dir/app.dump" ], 'the dump is restored');

$node->stop;
done_testing;
