# Without shared_preload_libraries: the library loads (pg_upgrade and pg_restore
# need that), the extension can be created, and every function says what to set.
use strict;
use warnings;
use AuthSession;
use Test::More;

my $node = new_node('main', start => 0);
my $database = 'postgres';

$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
is($node->psql($database, 'CREATE EXTENSION auth_session'),
	0, 'CREATE EXTENSION works without the library preloaded');

my @calls = split /\n/, <<'SQL';
auth.signup('ada@example.org', 'correct horse battery staple')
auth.confirm('ada@example.org', '123456')
auth.resend_confirmation('ada@example.org')
auth.signin('ada@example.org', 'correct horse battery staple')
auth.renew('asr1_')
auth.logout()
auth.logout_all()
auth.sessions()
auth.verify('a.b.c')
auth.authenticate('a.b.c')
auth.check_request()
auth.account()
auth.update_info('{}')
auth.uid()
auth.session_id()
auth.role()
auth.email()
auth.jwt()
auth_admin.claim_notifications(1, '1 minute')
auth_admin.prune(10)
SQL

foreach my $call (@calls)
{
	my ($status, $out, $err) = $node->psql($database, "SELECT $call");
	my ($name) = $call =~ /^([^(]+)/;

	isnt($status, 0, "$name refuses");
	like($err, qr/shared_preload_libraries/, "$name says what to set");
}

is($node->psql($database, q{LOAD 'auth_session'}), 0, 'LOAD works');

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'auth_session'");
$node->restart;
is($node->safe_psql($database, q{SELECT status FROM auth.signup('ada@example.org', 'correct horse battery staple')}),
	'pending', 'with the setting it works');

$node->stop;
done_testing;
