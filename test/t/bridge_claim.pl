# What claiming and settling cost with a backlog of a million, also while a
# dump holds its snapshot, so that no vacuum can remove what was settled: the
# outbox is never read whole, and the pages are those of the batch and not of
# the backlog; and that what was committed behind the point from which a lane is
# read is found all the same. EXPLAIN counts the pages of what the functions run; their plans
# are no one's to see. It takes one session for all claims, as the bridge has,
# beside another that holds the snapshot: pgTAP has one.
use strict;
use warnings;
use Bridge;
use DBI;
use JSON::PP qw(decode_json);
use List::Util qw(max);
use PostgreSQL::Test::Utils;
use Test::More;

my ($backlog, $batch, $claims, $settled) = (1_000_000, 10, 10, 20_000);
my $node = cluster('claim', 'autovacuum = off', 'max_wal_size = 4GB');

sub session
{
	return DBI->connect('dbi:Pg:' . $node->connstr('postgres') =~ s/ /;/gr, undef, undef,
		{ RaiseError => 1, PrintError => 0 });
}

# Pages that one claim and settle took, and how often they read the outbox whole.
sub claim
{
	my ($bridge) = @_;

	$bridge->do('BEGIN');
	my ($json) = $bridge->selectrow_array(
		"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
		WITH claimed AS MATERIALIZED (SELECT id FROM auth_admin.claim_notifications($batch, '1 hour'))
		SELECT auth_admin.settle_notifications(array_agg(id)) FROM claimed");
	my ($whole) = $bridge->selectrow_array(
		q{SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = 'auth_private.outbox'::regclass});
	$bridge->do('COMMIT');
	my $said = decode_json($json)->[0];
	my $plan = $said->{Plan};
	return {
		pages => $plan->{'Shared Hit Blocks'} + $plan->{'Shared Read Blocks'},
		spilt => $plan->{'Temp Written Blocks'},
		whole => $whole,
		time => $said->{'Execution Time'}
	};
}

sub claims
{
	my ($what) = @_;
	my $bridge = session();

	# What they have to find their way past.
	$bridge->do("WITH c AS MATERIALIZED (SELECT id FROM auth_admin.claim_notifications(1000, '1 hour'))
		SELECT auth_admin.settle_notifications(array_agg(id)) FROM c") for 1 .. $settled / 1000;
	my @made = map { claim($bridge) } 1 .. $claims;

	is(max(map { $_->{whole} } @made), 0, "$what: the outbox is never read whole");
	is(max(map { $_->{spilt} } @made), 0, '  and nothing is sorted on disk');
	note("$what: pages @{[ map { $_->{pages} } @made ]}");
	note("$what: ms @{[ map { sprintf '%.1f', $_->{time} } @made ]}");
	$bridge->disconnect;
	return map { $_->{pages} } @made;
}

# A claim that is full before the turn of a lane has not read it.
$node->safe_psql('postgres', "INSERT INTO auth_private.outbox (id, created_at, due_at, attempts, kind, channel, recipient, payload)
	SELECT gen_random_uuid(), now(), now() - interval '1 hour', 0, kind, 'sms', '+4917012345', '{}'
	FROM unnest(ARRAY['confirm_phone', 'password_changed', 'unheard_of']) AS kind");
{
	my $few = session();
	my $claim = "SELECT count(*) FROM auth_admin.claim_notifications(%s, '1 hour', 'sms')";

	is(($few->selectrow_array(sprintf $claim, 1))[0], 1, 'a claim that is full with the first lane');
	is(($few->selectrow_array(sprintf $claim, 10))[0], 2, '  leaves the others to the next');
	$few->disconnect;
	$node->safe_psql('postgres', 'TRUNCATE auth_private.outbox');
}

# Of a channel that no other claim here asks for. Its lanes are found empty, and
# are not read from their beginning again before a minute is over; so the end of
# this file asks for it.
my $late = session();
my $claim_late = q{SELECT count(*) FROM auth_admin.claim_notifications(10, '1 hour', 'event')};
is(($late->selectrow_array($claim_late))[0], 0, 'a channel without anything');
$node->safe_psql('postgres', "INSERT INTO auth_private.outbox (id, created_at, due_at, attempts, kind, channel, recipient, payload)
	VALUES (gen_random_uuid(), now(), now() - interval '1 hour', 0, 'user_created', 'event', '', '{}')");

# From an hour ago: what may have been committed late is always read.
$node->safe_psql('postgres', "INSERT INTO auth_private.outbox (id, created_at, due_at, attempts, kind, channel, recipient, payload)
	SELECT gen_random_uuid(), now(), now() - interval '1 hour' + n * interval '1 ms', 0, 'new_signin', 'email', 'ada\@example.org', '{}'
	FROM generate_series(1, $backlog) AS n");
$node->safe_psql('postgres', 'VACUUM ANALYZE auth_private.outbox');
my @free = claims('a million');
# To find, lock, update and settle a row, with its entries in three indexes.
cmp_ok(max(@free), '<=', 60 * $batch, '  and each row costs some pages');

my $dump = session();
$dump->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
$dump->do('SELECT 1');
my @held = claims('with a snapshot held');
cmp_ok(max(@held), '<=', 60 * $batch, '  and no claim reads again what all before it have settled');
is( $node->safe_psql('postgres', 'SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NOT NULL'),
	2 * ($settled + $claims * $batch), 'and each claim had its rows');
$dump->disconnect;

ok(eventually('found', sub { ($late->selectrow_array($claim_late))[0] == 1 }), 'what was committed late is found once more than a minute is over');
$late->disconnect;

done_testing();
