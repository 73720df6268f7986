# A streaming standby verifies what lives and refuses what was revoked, once
# it has replayed that; it can't read the unlogged token cache and writes
# nothing. After its promotion it is a server like any other.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use Test::More;
use Wire;

my $primary = new_node('primary', init => [ allows_streaming => 1 ]);
my $database = 'postgres';

account($primary, 'ada@example.org');
my $live = signin($primary, 'ada@example.org');
my $gone = signin($primary, 'ada@example.org');

account($primary, 'eve@example.org');
my $other = signin($primary, 'eve@example.org');
$primary->safe_psql($database, <<"SQL");
CREATE ROLE authenticated;
GRANT USAGE ON SCHEMA auth TO authenticated;
CREATE TABLE notes (owner uuid DEFAULT auth.uid(), body text);
GRANT SELECT, INSERT ON notes TO authenticated;
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner = (SELECT auth.uid()));
INSERT INTO notes VALUES ('$live->{user_id}', 'of ada'), ('$other->{user_id}', 'of eve');
SQL

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

sub verify
{
	my ($node, $tokens) = @_;
	return $node->safe_psql($database,
		'SELECT auth.verify(' . quoted($tokens->{access_token})
		  . ") ->> 'session_id'");
}

# What PostgREST sets for a request that carries the token, in the transaction in
# which it counts; psql ends that with its input.
sub bearer
{
	my ($tokens) = @_;
	return 'BEGIN; SET LOCAL request.headers = '
	  . quoted('{"authorization":"Bearer ' . $tokens->{access_token} . '"}')
	  . '; ';
}

is(verify($standby, $live), $live->{session_id},
	'D8: a standby verifies a live token');
is(verify($standby, $gone), $gone->{session_id}, 'D8: and the other one');
is( $standby->safe_psql($database, bearer($live) . 'SELECT auth.uid()'),
	$live->{user_id}, 'D8: the bearer token is the context there');
is( $standby->safe_psql(
		$database, bearer($live) . 'SELECT count(*) FROM auth.sessions()'),
	'2', 'D8: the sessions are listed there');

is($standby->safe_psql($database, 'SELECT auth.jwks()'), $primary->safe_psql($database, 'SELECT auth.jwks()'),
	'D8: the keys that others verify with are the same');

# What a request of PostgREST's reads there by a policy.
sub notes
{
	my ($tokens) = @_;

	return $standby->safe_psql($database, bearer($tokens)
		  . q{SELECT auth.check_request() \g /dev/null} . "\n"
		  . q{SET LOCAL ROLE authenticated; SELECT string_agg(body, ', ') FROM notes});
}

is(notes($live), 'of ada', 'D8: a policy sees whose rows they are there');
is(notes($other), 'of eve', 'D8: everybody his own');

# ---- what that costs: of interest, and no condition ----

sub processor_time
{
	my ($wire) = @_;

	open my $in, '<', '/proc/' . $wire->pid . '/schedstat' or return;
	return (split ' ', <$in>)[0];
}

sub calls
{
	my ($wire, $sql, $count) = @_;

	$wire->parse('s', $sql);
	foreach (1 .. $count)
	{
		$wire->bind('', 's', []);
		$wire->execute('');
		$wire->sync;
	}
	return;
}

# Microseconds of a processor for a call: the lower tenth of batches by turns,
# since what else the machine does only ever adds.
sub compare
{
	my ($sql) = @_;
	my @wires = map { Wire->new($_, user => scalar getpwuid($<)) } $primary, $standby;
	my @used;

	foreach my $batch (1 .. 40)
	{
		foreach my $i ($batch % 2 ? (0, 1) : (1, 0))
		{
			my $before = processor_time($wires[$i]) // return 'not known';

			calls($wires[$i], $sql, 50);
			$wires[$i]->query('DEALLOCATE s');
			push @{ $used[$i] }, (processor_time($wires[$i]) - $before) / 50 / 1000 if $batch > 10;
		}
	}
	$_->close foreach @wires;
	return sprintf '%.0f us on the primary, %.0f us on the standby', map { (sort { $a <=> $b } @$_)[ @$_ / 10 ] } @used;
}

note 'verify: ' . compare('SELECT auth.verify(' . quoted($live->{access_token}) . ')');
note 'SELECT 1: ' . compare('SELECT 1');

# ---- what is revoked ----

is($standby->safe_psql($database, q{SELECT string_agg(finding, '; ') FROM auth_admin.check_configuration()
		WHERE finding ~ 'worker|aintenance|otification'}), '', 'what is the primary\'s work is no finding of a standby');
like($standby->safe_psql($database, 'SELECT finding FROM auth_admin.check_configuration()'), qr/^No proxy is trusted/m, 'which has its own');

$primary->safe_psql($database,
	'SELECT auth.logout(refresh_token => ' . quoted($gone->{refresh_token}) . ')');
$primary->wait_for_catchup($standby);
refused($standby, 'SELECT auth.verify(' . quoted($gone->{access_token}) . ')',
	'session_revoked', 'D8: a logout on the primary is refused on the standby');
is($standby->safe_psql($database, bearer($gone) . 'SELECT auth.uid() IS NULL'),
	't', 'D8: and is no context');
refused($standby, bearer($gone) . 'SELECT auth.check_request()',
	'session_revoked', 'D8: nor passes the pre-request');

my $renewed = $primary->safe_psql($database,
	'SELECT access_token FROM auth.renew(' . quoted($live->{refresh_token}) . ')');
$primary->wait_for_catchup($standby);
refused($standby, 'SELECT auth.verify(' . quoted($live->{access_token}) . ')',
	'token_expired', 'D8: the token that a renew replaced is refused there');
is(verify($standby, { access_token => $renewed }),
	$live->{session_id}, 'D8: its successor is accepted');

refused($standby,
	"SELECT auth.signin('ada\@example.org', " . quoted($PASSWORD) . ')',
	'read_only', 'a standby says that it can sign nobody in');
refused($standby,
	"SELECT auth.signup('bob\@example.org', " . quoted($PASSWORD) . ')',
	'read_only', 'nor up');
refused($standby, 'SELECT auth.renew(' . quoted($live->{refresh_token}) . ')',
	'read_only', 'nor renew');
refused($standby,
	'SELECT auth.logout(refresh_token => ' . quoted($live->{refresh_token}) . ')',
	'read_only', 'nor log out');
refused($standby, bearer({ access_token => $renewed }) . 'SELECT auth.logout()',
	'read_only', 'nor by context');

$primary->stop('immediate');
$standby->promote;
is($standby->safe_psql($database, 'SELECT count(*) FROM auth_private.token_cache'),
	'0', 'D8: the cache is empty after a promotion');
refused($standby, 'SELECT auth.verify(' . quoted($gone->{access_token}) . ')',
	'session_revoked', 'D8: after promotion what was revoked stays so');
refused($standby, 'SELECT auth.renew(' . quoted($gone->{refresh_token}) . ')',
	'session_revoked', 'D8: and can not be renewed');
is(verify($standby, { access_token => $renewed }),
	$live->{session_id}, 'D8: what lived lives on');
ok(signin($standby, 'ada@example.org')->{access_token},
	'D8: sign-in works after promotion');

$standby->stop;
done_testing;
