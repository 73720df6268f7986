# D12: no more than max_sessions_per_user, whatever somebody holds. Sign-ins that
# find the account's row held go on without it (a thief's logout_all that is left
# open keeps nobody out); the recorder ends what is too many as soon as the row
# is free, the oldest, and tells the user. (Many at once that find it free:
# contention.pl.)
use strict;
use warnings;
use AuthSession;
use Test::More;

my $node = new_node('session_limit', conf => <<'CONF');
auth_session.max_sessions_per_user = 3
auth_session.signin_rate_per_account = 0
auth_session.message_rate_per_account = 0
auth_session.resend_cooldown = 0
CONF
my $database = 'postgres';
my $serial = 0;

sub value
{
	my ($sql) = @_;

	return $node->safe_psql($database, $sql);
}

sub sessions_of
{
	my ($id) = @_;

	return value("SELECT coalesce(string_agg(id::text, ' ' ORDER BY created_at), '') FROM auth_private.sessions WHERE user_id = '$id'");
}

# Those that no row of revocations ends.
sub live_sessions
{
	my ($id) = @_;

	return value("SELECT count(*) FROM auth_private.sessions AS s WHERE user_id = '$id'
		AND NOT EXISTS (SELECT FROM auth_private.revocations AS r WHERE r.user_id = s.user_id AND r.session_id = s.id)");
}

# Signs in so many times, each in a transaction, then commits them all, in turn.
sub at_once_uncommitted
{
	my ($email, $count) = @_;
	my @handles = map { sql_connect($node) } 1 .. $count;
	my @tokens;

	foreach my $dbh (@handles)
	{
		$dbh->do('BEGIN');
		push @tokens,
		  $dbh->selectrow_hashref('SELECT * FROM auth.signin($1, $2)',
			{}, $email, $PASSWORD);
	}
	$_->do('COMMIT') foreach @handles;
	$_->disconnect foreach @handles;
	return @tokens;
}

# A user with as many sessions as may be, and a connection that holds the row.
sub held_user
{
	my ($end) = @_;
	my $email = 'user' . ++$serial . '@example.org';
	my $id = account($node, $email);
	my @first = map { signin($node, $email) } 1 .. 3;
	my $holder = sql_connect($node);

	$holder->do('BEGIN');
	$holder->do($end, {}, $id);
	return { email => $email, id => $id, first => \@first, holder => $holder };
}

my %ends = (
	'a lock' => 'SELECT FROM auth_private.accounts WHERE id = $1 FOR UPDATE',
	'a change of the row' => q{UPDATE auth_private.accounts SET info = '{"a": 1}' WHERE id = $1},
);

foreach my $what (sort keys %ends)
{
	foreach my $outcome ('COMMIT', 'ROLLBACK')
	{
		my $user = held_user($ends{$what});
		my @late = at_once_uncommitted($user->{email}, 5);

		is(scalar(grep { defined $_->{access_token} } @late),
			5, "D12: $what keeps nobody from signing in");
		cmp_ok(live_sessions($user->{id}),
			'>', 3, 'D12: none of which saw the others');
		$user->{holder}->do($outcome);
		ok( $node->poll_query_until($database,
				"SELECT NOT EXISTS (SELECT FROM auth_private.revocations WHERE user_id = '$user->{id}')"),
			"D12: after its $outcome the recorder has nothing left to do");
		is( sessions_of($user->{id}),
			join(' ', map { $_->{session_id} } @late[ 2 .. 4 ]),
			'D12: the newest three are left');
		cmp_ok(
			value("SELECT count(*) FROM auth_private.outbox WHERE user_id = '$user->{id}' AND kind = 'session_revoked' AND payload ->> 'reason' = 'session_limit'"),
			'>=', 1, 'D12: and the user is told');
		foreach my $tokens (@{ $user->{first} }, @late[ 0 .. 1 ])
		{
			my ($status) = $node->psql($database,
				'SELECT auth.verify(' . quoted($tokens->{access_token}) . ')');

			isnt($status, 0, 'D12: the tokens of the others are dead');
		}
	}
}

done_testing();
