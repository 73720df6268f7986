# Whose request it is, in what one session of psql can't show: a backend's first
# use of a context, parallel workers, a pool's next client, and a look-up that
# fails.
use strict;
use warnings;
use AuthSession;
use Test::More;

my $node = new_node('main');

account($node, 'ada@example.org');
account($node, 'bob@example.org');
my $ada = signin($node, 'ada@example.org');
my $bob = signin($node, 'bob@example.org');
my $me = getpwuid($<);

sub bearer
{
	my ($tokens) = @_;

	return qq({"authorization": "Bearer $tokens->{access_token}"});
}

sub set_headers
{
	my ($dbh, $value, $is_local) = @_;

	$dbh->do('SELECT set_config($1, $2, $3)',
		{}, 'request.headers', $value, $is_local ? 'true' : 'false');
	return;
}

sub uid
{
	my ($dbh) = @_;

	return ($dbh->selectrow_array('SELECT auth.uid()'))[0];
}

# ---- before a backend's first use the setting is none of ours ----

my $dbh = sql_connect($node);
set_headers($dbh, bearer($ada));
$dbh->begin_work;
is(uid($dbh), undef, 'G10: headers of an earlier transaction, then the first use');
is(uid($dbh), undef, 'G10: and the second');
$dbh->rollback;
$dbh->disconnect;

$dbh = sql_connect($node);
$dbh->begin_work;
set_headers($dbh, bearer($ada));
$dbh->do('SAVEPOINT one');
set_headers($dbh, bearer($bob), 1);
is(uid($dbh), $bob->{user_id}, 'G10: set twice, then the first use: the latter');
$dbh->do('ROLLBACK TO one');
is(uid($dbh), $ada->{user_id}, 'G10: rolled back, the former');
$dbh->commit;
is(uid($dbh), undef, 'G10: and nobody in the next transaction');
$dbh->disconnect;

$dbh = sql_connect($node);
set_headers($dbh, bearer($ada));
$dbh->begin_work;
$dbh->do('SAVEPOINT one');
set_headers($dbh, bearer($bob));
is(uid($dbh), $bob->{user_id}, 'G10: over those of an earlier one, then the first use');
$dbh->do('ROLLBACK TO one');
is(uid($dbh), undef, 'G10: rolled back, nobody: not the former client');
$dbh->rollback;
$dbh->disconnect;

# What a role stores for itself is nobody's request, RESET or not.
$dbh = sql_connect($node);
$dbh->do("ALTER ROLE $me SET request.headers = " . quoted(bearer($ada)));
$dbh->disconnect;
$dbh = sql_connect($node);
is(uid($dbh), undef, 'G10: a token that a role stores is nobody\'s request');
$dbh->begin_work;
$dbh->do('RESET request.headers');
is(uid($dbh), undef, 'G10: nor where a RESET brings it back');
$dbh->rollback;
$dbh->do("ALTER ROLE $me RESET request.headers");
$dbh->disconnect;

# ---- a pool's next client ----

$dbh = sql_connect($node);
is(uid($dbh), undef, 'a server connection in use');
set_headers($dbh, bearer($ada));
is(uid($dbh), undef, 'G10: of headers set for the session nothing is left');
$dbh->do('DISCARD ALL');
is(uid($dbh), undef, 'G10: nor behind DISCARD ALL');
set_headers($dbh, bearer($ada));
$dbh->begin_work;
$dbh->do('SELECT auth.authenticate($1)', {}, $bob->{access_token});
is(uid($dbh), $bob->{user_id}, 'G10: the next client is who it says');
$dbh->rollback;

# A statement that was planned for one is run for another.
$dbh->do('PREPARE who AS SELECT auth.uid()');
$dbh->begin_work;
set_headers($dbh, bearer($bob), 1);
is(($dbh->selectrow_array('EXECUTE who'))[0], $bob->{user_id},
	'G10: a prepared statement, for one client');
$dbh->commit;
is(($dbh->selectrow_array('EXECUTE who'))[0], undef, 'G10: and for the next');
$dbh->disconnect;

# ---- parallel workers ----

$node->safe_psql('postgres', <<'SQL');
CREATE TABLE notes (owner uuid, n int);
INSERT INTO notes SELECT CASE n % 4 WHEN 0 THEN (SELECT id FROM auth_private.accounts WHERE email = 'bob@example.org')
	ELSE (SELECT id FROM auth_private.accounts WHERE email = 'ada@example.org') END, n FROM generate_series(1, 20000) AS n;
ANALYZE notes;
SQL
my $count = 'SELECT count(*) FROM notes WHERE owner IS NOT DISTINCT FROM auth.uid()';
my @parallel = (
	'SET parallel_setup_cost = 0', 'SET parallel_tuple_cost = 0',
	'SET min_parallel_table_scan_size = 0', 'SET max_parallel_workers_per_gather = 2',
	'SET parallel_leader_participation = off', 'SET plan_cache_mode = force_generic_plan');

$dbh = sql_connect($node);
$dbh->do($_) foreach @parallel;
# Planned before anybody is there: the workers' is the first use of a context.
$dbh->do("PREPARE mine AS SELECT count(*) FROM notes WHERE auth.uid() IS NOT NULL AND owner = auth.uid()");
my $plan = join "\n", map { $_->[0] } @{ $dbh->selectall_arrayref("EXPLAIN EXECUTE mine") };
like($plan, qr/Workers Planned/, 'the plan is parallel');
my $mine = sub { return ($dbh->selectrow_array('EXECUTE mine'))[0] };
is($mine->(), 0, 'nobody has rows');
$dbh->begin_work;
set_headers($dbh, bearer($bob), 1);
is($mine->(), 5000, 'a worker sees what the transaction set');
$dbh->do('SAVEPOINT one');
set_headers($dbh, bearer($ada), 1);
is($mine->(), 15000, 'and what it sets next');
$dbh->do('ROLLBACK TO one');
is($mine->(), 5000, 'and what a rollback brings back');
set_headers($dbh, '{}', 1);
is($mine->(), 0, 'and that there is none');
$dbh->commit;
set_headers($dbh, bearer($ada));
is($mine->(), 0, 'G10: but not what an earlier transaction set');
$dbh->begin_work;
$dbh->do('SAVEPOINT one');
set_headers($dbh, bearer($bob));
is($mine->(), 5000, 'G10: over that its own');
$dbh->do('ROLLBACK TO one');
is($mine->(), 0, 'G10: and behind it nobody\'s');
$dbh->do('SELECT auth.authenticate($1)', {}, $bob->{access_token});
is($mine->(), 5000, 'a worker has the context of authenticate');
$dbh->rollback;
$dbh->disconnect;

# As the first use of a backend at all, with a placeholder still.
$dbh = sql_connect($node);
my $debug = $dbh->{pg_server_version} < 160000 ? 'force_parallel_mode' : 'debug_parallel_query';
$dbh->do($_) foreach @parallel, "SET $debug = on";
$dbh->begin_work;
set_headers($dbh, bearer($ada));
is(uid($dbh), $ada->{user_id}, 'a worker\'s is the first use: of this transaction');
$dbh->commit;
is(uid($dbh), undef, 'G10: and not of the next');
$dbh->disconnect;
$dbh = sql_connect($node);
$dbh->do($_) foreach @parallel, "SET $debug = on";
is(($dbh->selectrow_array("SELECT current_setting('request.headers', true)"))[0],
	undef, 'a session that never uses a context reads NULL from request.headers');
$dbh->disconnect;

# ---- a look-up that fails ----

my $holder = sql_connect($node);
$dbh = sql_connect($node);
$dbh->do(q{SET lock_timeout = '100ms'});
foreach my $table ('token_cache', 'sessions')
{
	$holder->begin_work;
	$holder->do("TRUNCATE auth_private.token_cache") if $table eq 'sessions';
	$holder->do("LOCK TABLE auth_private.$table IN ACCESS EXCLUSIVE MODE");
	$dbh->begin_work;
	$dbh->do('CREATE TEMP TABLE kept ON COMMIT DROP AS SELECT 1 AS n');
	set_headers($dbh, bearer($ada), 1);
	is(uid($dbh), undef, "the helpers answer NULL where $table can't be read");
	is_deeply(
		$dbh->selectrow_arrayref(
			'SELECT auth.session_id(), auth.role(), auth.email(), auth.jwt(), n FROM kept'),
		[ undef, undef, undef, undef, 1 ],
		'all of them, and the transaction goes on');
	ok(!eval { $dbh->do('SELECT auth.check_request()'); 1 }, 'check_request raises');
	$dbh->rollback;

	# Once per statement: not a wait for each of a million rows.
	$dbh->begin_work;
	set_headers($dbh, bearer($ada), 1);
	is(($dbh->selectrow_array(
		"SELECT count(auth.uid()) FROM generate_series(1, 100000)"))[0],
		0, 'nobody, for a hundred thousand rows');
	$holder->rollback;
	is(uid($dbh), $ada->{user_id}, 'and the next statement has the caller');
	$dbh->rollback;
}
$dbh->begin_work;
$holder->begin_work;
$holder->do('LOCK TABLE auth_private.token_cache IN ACCESS EXCLUSIVE MODE');
$dbh->do(q{SET LOCAL lock_timeout = 0});
$dbh->do(q{SET LOCAL statement_timeout = '100ms'});
set_headers($dbh, bearer($ada), 1);
ok(!eval { uid($dbh); 1 }, 'a cancel is the caller\'s');
is($dbh->state, '57014', 'and goes on as it is');
$dbh->rollback;
$holder->rollback;

# What a broken table makes of it the operator reads; the caller is nobody.
my $offset = -s $node->logfile;
$node->safe_psql('postgres', 'ALTER TABLE auth_private.token_cache RENAME TO elsewhere; ALTER TABLE auth_private.sessions RENAME TO away');
$dbh->begin_work;
set_headers($dbh, bearer($ada), 1);
is(uid($dbh), undef, 'without its tables nobody is known');
$dbh->rollback;
like(PostgreSQL::Test::Utils::slurp_file($node->logfile, $offset),
	qr/LOG:  could not look up who is calling: .*SQLSTATE/, 'which the log tells');
$node->safe_psql('postgres', 'ALTER TABLE auth_private.elsewhere RENAME TO token_cache; ALTER TABLE auth_private.away RENAME TO sessions');
$dbh->begin_work;
set_headers($dbh, bearer($ada), 1);
is(uid($dbh), $ada->{user_id}, 'and is again with them');
$dbh->rollback;
$dbh->disconnect;
$holder->disconnect;

$node->stop;
done_testing;
