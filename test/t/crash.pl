# What a crash may and may not do. It empties the token cache, which is
# unlogged; it must neither revive a token that was revoked nor log anybody
# out. A test of one server in one session can't crash it.
use strict;
use warnings;
use AuthSession;
use Test::More;

# The WAL writer sleeps through the whole test: what a commit did not flush by
# itself is lost.
my $node = new_node('main', conf => <<'CONF');
fsync = on
wal_writer_delay = 10s
CONF
my $database = 'postgres';

account($node, 'ada@example.org');
$node->safe_psql($database, 'CREATE TABLE committed_lazily (n int)');

foreach my $round (1 .. 5)
{
	my $gone = signin($node, 'ada@example.org');
	my $live = signin($node, 'ada@example.org');

	$node->safe_psql($database, 'TRUNCATE committed_lazily');
	$node->safe_psql($database,
		"SET synchronous_commit = off;
		 SELECT auth.logout(refresh_token => " . quoted($gone->{refresh_token}) . ")");
	$node->safe_psql($database,
		'SET synchronous_commit = off; INSERT INTO committed_lazily VALUES (1)');
	crash($node);

	# Where this row is still there, the crash came too late to prove a thing.
	is($node->safe_psql($database, 'SELECT count(*) FROM committed_lazily'),
		'0', "round $round: the crash lost what was committed lazily");
	is($node->safe_psql($database, 'SELECT count(*) FROM auth_private.token_cache'),
		'0', "round $round: the crash emptied the token cache");
	refused($node, 'SELECT auth.verify(' . quoted($gone->{access_token}) . ')',
		'session_revoked',
		"D6: round $round: a logout stands, though the caller set synchronous_commit = off");
	refused($node, 'SELECT auth.renew(' . quoted($gone->{refresh_token}) . ')',
		'session_revoked', "D6: round $round: so it does for the refresh token");
	is( $node->safe_psql($database,
			'SELECT auth.verify(' . quoted($live->{access_token}) . ") ->> 'session_id'"),
		$live->{session_id},
		"D7: round $round: a live token is accepted with an empty cache");
	is( $node->safe_psql($database,
			'SELECT session_id FROM auth.renew(' . quoted($live->{refresh_token}) . ')'),
		$live->{session_id}, "D7: round $round: and its session goes on");
}

# The same without a crash, where a reader may write nothing.
my $live = signin($node, 'ada@example.org');
my $gone = signin($node, 'ada@example.org');
$node->safe_psql($database,
	'SELECT auth.logout(refresh_token => ' . quoted($gone->{refresh_token}) . ')');
$node->safe_psql($database, 'TRUNCATE auth_private.token_cache');
is( $node->safe_psql($database,
		'BEGIN READ ONLY; SELECT auth.verify(' . quoted($live->{access_token})
		  . ") ->> 'session_id'; COMMIT"),
	$live->{session_id},
	'D8: a READ ONLY transaction accepts a live token with an empty cache');
refused($node,
	'BEGIN READ ONLY; SELECT auth.verify(' . quoted($gone->{access_token}) . ')',
	'session_revoked', 'D8: and refuses a revoked one');

$node->stop;
done_testing;
