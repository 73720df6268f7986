# B2: can time tell who has an account? Sign-in, sign-up, the request for a
# reset and for a confirmation, a wrong code at a pending sign-up and for a
# reset, each timed for addresses that have an account
# and for addresses that nobody knows, by turns and in random order. The two
# samples are compared by the Mann-Whitney U test: p is how often samples of
# one and the same distribution would differ as much. One call in a hundred
# does so by chance, so a p of 0.01 or less is looked at a second time.
#
# Runs against the server of PGHOST and PGPORT, as a superuser; prints rows of
# the table that test/bench/run prints. Exit status 1 where a limit is missed.
use strict;
use warnings;
use List::Util 'shuffle';
use Time::HiRes 'time';
use Wire;

my $calls = $ENV{BENCH_CALLS} // 250;
my $limit = 0.01;
my $password = 'correct horse battery staple';
my $missed = 0;
my $serial = 0;
my $wire = Wire->new(Server->new, user => $ENV{PGUSER} // 'postgres');

sub ask
{
	my ($sql, @values) = @_;

	$wire->parse('', $sql);
	$wire->bind('', '', \@values);
	$wire->execute('');
	my $answer = $wire->sync;
	return $answer;
}

sub new_email { return sprintf 'bench-%d-%d@example.org', $$, ++$serial; }

# Sign-ups that wait for their confirmation.
sub new_pending
{
	my @emails = map { new_email() } 1 .. shift;

	ask('SELECT auth.signup($1, $2)', $_, $password) foreach @emails;
	$wire->query('VACUUM auth_private.accounts, auth_private.identifiers, auth_private.codes');
	return @emails;
}

# Accounts that have asked for a reset.
sub new_resetting
{
	my @emails = new_accounts(shift);

	ask('SELECT auth.request_password_reset($1)', $_) foreach @emails;
	$wire->query('VACUUM auth_private.codes');
	return @emails;
}

# As many accounts as calls: each is used once, as strangers are.
sub new_accounts
{
	my @emails = map { new_email() } 1 .. shift;
	my %code;

	ask('SELECT auth.signup($1, $2)', $_, $password) foreach @emails;
	while (1)
	{
		my $answer = ask(
			q{SELECT recipient, payload ->> 'code'
			  FROM auth_admin.claim_notifications(1000, '1 hour')});
		last unless @{ $answer->{rows} };
		$code{ $_->[0] } = $_->[1] foreach @{ $answer->{rows} };
	}
	ask('SELECT auth.confirm($1, $2, $3)', $_, $code{$_}, $password) foreach @emails;
	# Not the first to read these rows after the transaction that made them.
	$wire->query('VACUUM auth_private.accounts, auth_private.identifiers, auth_private.codes');
	return @emails;
}

# Microseconds of one call, from the first byte sent to the last received.
sub timed
{
	my ($sql, @values) = @_;

	$wire->parse('', $sql);
	$wire->sync;
	my $start = time;
	$wire->bind('', '', \@values);
	$wire->execute('');
	$wire->sync;
	return (time - $start) * 1e6;
}

# The upper tail of the normal distribution, doubled: 2 (1 - Phi(|z|)), by
# the series of Abramowitz and Stegun, 7.1.26.
sub two_tails
{
	my ($z) = @_;
	my $x = abs($z) / sqrt 2;
	my $t = 1 / (1 + 0.3275911 * $x);

	return ((((1.061405429 * $t - 1.453152027) * $t + 1.421413741) * $t
			- 0.284496736) * $t + 0.254829592) * $t * exp(-$x * $x);
}

# The p value of the U test, by the normal approximation.
sub mann_whitney
{
	my ($one, $two) = @_;
	my @all = sort { $a->[0] <=> $b->[0] }
	  (map { [ $_, 1 ] } @$one), (map { [ $_, 0 ] } @$two);
	my ($n, $m) = (scalar @$one, scalar @$two);
	my $ranks = 0;

	$ranks += $all[$_][1] * ($_ + 1) foreach 0 .. $#all;
	my $u = $ranks - $n * ($n + 1) / 2;
	return two_tails(($u - $n * $m / 2) / sqrt($n * $m * ($n + $m + 1) / 12));
}

sub median { return (sort { $a <=> $b } @_)[ @_ / 2 ]; }

sub compare
{
	my ($sql, $known, $unknown, @rest) = @_;
	my (%sample, @order);

	@order = shuffle((map { [ known => $_ ] } @$known),
		(map { [ unknown => $_ ] } @$unknown));
	# Plans are made and keys loaded by the first calls.
	timed($sql, new_email(), @rest) foreach 1 .. 10;
	push @{ $sample{ $_->[0] } }, timed($sql, $_->[1], @rest) foreach @order;
	return (
		mann_whitney(@sample{qw(known unknown)}),
		median(@{ $sample{known} }),
		median(@{ $sample{unknown} }));
}

sub row
{
	my ($figure, $make, $sql, @rest) = @_;
	my ($p, $known, $unknown);

	foreach my $look (1, 2)
	{
		($p, $known, $unknown) = compare(
			$sql, [ $make->($calls) ],
			[ map { new_email() } 1 .. $calls ], @rest);
		last if $p > $limit;
	}
	$missed++ if $p <= $limit;
	printf "| %-48s | at least %.2f | %-8.3f | %-32s | %s |\n",
	  "$figure, known : unknown, p", $limit, $p,
	  sprintf('%.0f us : %.0f us', $known, $unknown),
	  $p > $limit ? 'reached' : 'MISSED';
	return;
}

ask("SET $_") foreach 'auth_session.resend_cooldown = 0',
  'auth_session.message_rate_per_account = 0',
  'auth_session.signin_rate_per_account = 0';

row('sign-in, wrong password', \&new_accounts, 'SELECT auth.signin($1, $2)', 'not the password');
row('sign-up', \&new_accounts, 'SELECT auth.signup($1, $2)', $password);
row('request for a reset', \&new_accounts, 'SELECT auth.request_password_reset($1)');
row('request for a confirmation', \&new_accounts, 'SELECT auth.resend_confirmation($1)');
row('wrong code to confirm', \&new_pending, 'SELECT auth.confirm($1, $2)', '000000');
row('wrong code to reset', \&new_resetting, 'SELECT auth.reset_password($1, $2, $3)', '000000', $password);
exit($missed > 0);

package Server;

sub new { return bless {}, shift; }
sub host { return $ENV{PGHOST}; }
sub port { return $ENV{PGPORT}; }
