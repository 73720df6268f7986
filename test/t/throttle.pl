# Attempts are counted where no rollback reaches, before the hash is
# computed. One psql can't show it: it takes many sessions at once, one after
# the other, several databases, and a clock that does as it is told: that part
# is a program without a server (test/throttle), under AddressSanitizer and
# UBSan. (test/pgtap/throttle.sql has the rest.)
use strict;
use warnings;

use AuthSession ();
use Caller;
use Test::More;

AuthSession::passes('throttle');

# A window as long as can be: it starts with the server, and lasts.
my $node = Caller::server(
	'throttle',
	'auth_session.rate_window = 1d',
	'auth_session.trusted_proxies = 1',
	'auth_session.max_waiting_hashes = 1000',
	'auth_session.hash_wait = 60s',
	'max_connections = 230');

sub wrong
{
	my ($email) = @_;
	return "SELECT auth.signin(email => '$email', password => 'wrong horse')";
}

sub right
{
	my ($email) = @_;
	return
	  "SELECT (auth.signin(email => '$email', password => 'correct horse')).token_type";
}

Caller::signup($node, "$_\@example.com")
  foreach qw(parallel rollback owner window);

# ---- B5: as many comparisons as the limit, whatever comes at once ----

foreach my $email ('parallel@example.com', 'nobody@example.com')
{
	my %answers = Caller::at_once($node, 200,
		"test.outcome(\$\$" . wrong($email) . "\$\$)");

	my $refused = ($answers{throttled} // 0) + ($answers{busy} // 0);

	is($answers{invalid_credentials}, 10,
		"B5: of 200 parallel wrong guesses at $email 10 are compared");
	is($refused, 190, 'B5: the others are put off');
}

my $known = Caller::call($node, wrong('parallel@example.com'));
my $unknown = Caller::call($node, wrong('nobody@example.com'));

is($known->{state}, 'PT429', 'over the limit is PT429');
is($unknown->{state}, $known->{state}, 'B1: for an unknown account, too');
is($unknown->{code}, $known->{code}, 'B1: with the same code');
like($known->{hint}, qr/^[1-9][0-9]*$/,
	'the hint is the seconds to wait, a bare integer');
cmp_ok($known->{hint}, '<=', 86400, 'and no more than the window');
is(Caller::call($node, right('parallel@example.com'))->{state},
	'PT429', 'B4: the right password is refused, too');

# ---- B6: neither ROLLBACK nor SAVEPOINT nor a new session resets ----

Caller::call($node, "BEGIN;\n" . wrong('rollback@example.com') . ";\nROLLBACK")
  foreach 1 .. 4;
$node->psql('postgres',
	"BEGIN;\n"
	  . join('',
		map { "SAVEPOINT s;\n" . wrong('rollback@example.com') . ";\nROLLBACK TO s;\n" }
		  1 .. 6)
	  . 'COMMIT;',
	on_error_stop => 0);
is(Caller::call($node, right('rollback@example.com'))->{code},
	'throttled', 'B6: failures in transactions that were rolled back count');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM auth_admin.audit_log AS l
		 JOIN auth_private.identifiers AS i USING (user_id)
		 WHERE i.identifier = 'rollback\@example.com' AND l.result = 'invalid_credentials'"),
	10, 'B6: and each left its audit row');

# ---- B7: an attacker can't lock the owner out ----

Caller::call($node, Caller::from('203.0.113.1') . wrong('owner@example.com'))
  foreach 1 .. 11;
is( Caller::call($node, Caller::from('203.0.113.1') . right('owner@example.com'))
	  ->{code},
	'throttled', "B7: locked out from the attacker's address");
is( Caller::call($node, Caller::from('198.51.100.7') . right('owner@example.com'))
	  ->{value},
	'bearer', 'B7: the owner gets in from another at once');

# ---- databases are apart, and the window passes ----

$node->safe_psql('postgres', 'CREATE DATABASE other');
Caller::extension($node, 'other');
is( Caller::call($node, wrong('nobody@example.com'), dbname => 'other')
	  ->{code},
	'invalid_credentials', 'another database counts for itself');

# Few enough attempts that a slow machine, too, makes them within one window.
$node->append_conf('postgresql.conf', <<'CONF');
auth_session.signin_rate_per_account = 1
auth_session.rate_window = 2s
CONF
$node->reload;
$node->poll_query_until('postgres',
	"SELECT current_setting('auth_session.rate_window') = '2s'");
$node->poll_query_until('postgres',
	"SELECT 'throttled' = ANY (array_agg(test.outcome(\$\$"
	  . wrong('window@example.com')
	  . '$$))) FROM generate_series(1, 3)')
  or die 'the limit of the short window was never reached';
ok( $node->poll_query_until('postgres',
		"SELECT test.outcome(\$\$" . right('window@example.com') . "\$\$)", 'ok'),
	'B7: when the window has passed the owner gets in again');

$node->stop;
done_testing();
