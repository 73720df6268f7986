# Many at once: one address signed up by a hundred, one refresh token renewed
# by fifty. One psql can't be many.
use strict;
use warnings;
use AuthSession;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
max_connections = 150
auth_session.max_waiting_hashes = 200
auth_session.hash_wait = 60s
auth_session.lock_wait = 30s
auth_session.signup_rate_per_address = 0
auth_session.message_rate_per_account = 0
CONF
my $database = 'postgres';

my @signups = at_once($node, 100, 'SELECT status FROM auth.signup($1, $2)',
	[ 'ada@example.org', $PASSWORD ]);
is(scalar(grep { $_->[0] eq '00000' && $_->[1] eq 'pending' } @signups),
	100, 'G9: a hundred sign-ups of one address at once are answered alike')
  or diag(join ' ', map { $_->[0] } @signups);
$node->safe_psql($database, 'SELECT auth_admin.prune()');
cmp_ok(
	$node->safe_psql($database, 'SELECT count(*) FROM auth_admin.users'),
	'<=', 3, 'G9: prune leaves three pending accounts at most');

my $mail = mailed($node, 'confirm_email', 'ada@example.org');
my @confirmed = at_once($node, 50,
	'SELECT status FROM auth.confirm(code => $1, password => $2)',
	[ $mail->{link_token}, $PASSWORD ]);
is(scalar(grep { $_->[0] eq '00000' } @confirmed),
	1, 'C1: of fifty confirmations with one link token exactly one succeeds');
is(scalar(grep { $_->[0] !~ /^(00000|PT422|PT409|PT429)$/ } @confirmed),
	0, 'C1: the rest are refused by a code of their own')
  or diag(join ' ', map { $_->[0] } @confirmed);
is( $node->safe_psql($database, 'SELECT count(*) FROM auth_admin.users'),
	'1', 'G9: one account is left when the address was confirmed');

my $tokens = signin($node, 'ada@example.org');
my @renewed = at_once($node, 50,
	'SELECT refresh_token, auth.verify(access_token) ->> \'jti\' FROM auth.renew($1)',
	[ $tokens->{refresh_token} ]);
my %successors = map { ($_->[1] // '') => 1 } @renewed;
my %jtis = map { ($_->[2] // '') => 1 } @renewed;
is(scalar(grep { $_->[0] ne '00000' } @renewed),
	0, 'E5: fifty renewals of one refresh token at once all succeed')
  or diag(join ' ', map { $_->[0] } @renewed);
is(scalar(keys %successors), 1, 'E5: with one successor');
is(scalar(keys %jtis), 1, 'E5: and one jti');
is( $node->safe_psql($database,
		'SELECT session_id FROM auth.renew(' . quoted((keys %successors)[0]) . ')'),
	$tokens->{session_id},
	'E5: and the session goes on from there');

$node->stop;
done_testing;
