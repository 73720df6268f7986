# What the server can't do just now is busy to the caller, without a word of
# the server's, and told to the operator once; a cancel goes on as it is, without
# our statement for its context. A trigger of a superuser's stands in for the
# full disk, the node that is down and the rest, each under its own SQLSTATE.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main');
my $signin = 'SELECT token_type FROM auth.signin(' . quoted('ada@example.org') . ', ' . quoted($PASSWORD) . ')';

account($node, 'ada@example.org');
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION public.trouble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'trouble at /some/path with %', NEW.user_id USING ERRCODE = current_setting('test.sqlstate');
END
$$;
CREATE TRIGGER trouble BEFORE INSERT ON auth_private.sessions FOR EACH ROW EXECUTE FUNCTION public.trouble();
SQL

my $dbh = sql_connect($node);

sub asked
{
	my ($state) = @_;

	$dbh->do("SET test.sqlstate = '$state'");
	eval { $dbh->selectrow_array($signin); 1 } and return ('00000', '');
	return ($dbh->state, $dbh->errstr);
}

foreach my $state (qw(53000 53100 53200 53300 53400 08000 08006 57P01 57P03))
{
	my $offset = -s $node->logfile;
	my ($sqlstate, $message) = asked($state);

	is($sqlstate, 'PT429', "G7: $state is busy");
	like($message, qr/^DETAIL:\s+busy$/m, 'by its code');
	like($message, qr/^HINT:\s+\d+$/m, 'with the seconds to wait');
	unlike($message, qr/trouble|sessions/, 'and nothing of the server\'s');
	asked($state) for 1 .. 3;
	is(() = slurp_file($node->logfile, $offset) =~ /could not do its work now: .*SQLSTATE $state/g, 1,
		'the operator is told, once');
}

my ($sqlstate, $message) = asked('57014');
is($sqlstate, '57014', 'a cancel goes on as it is');
unlike($message, qr/INSERT INTO|auth_private/, 'without our statement in its context');
($sqlstate) = asked('40001');
is($sqlstate, '40001', 'and so does a serialization failure');
($sqlstate) = asked('22012');
is($sqlstate, '22012', 'and what is somebody\'s mistake');

$node->safe_psql('postgres', 'DROP TRIGGER trouble ON auth_private.sessions');
is(($dbh->selectrow_array($signin))[0], 'bearer', 'H10: after it the right password signs in');

# Whoever locks a table of ours for long has callers wait no longer than
# lock_wait, the look into the token cache too.
my $token = signin($node, 'ada@example.org')->{access_token};
my $holder = sql_connect($node);
$holder->begin_work;
$holder->do('LOCK TABLE auth_private.token_cache');
$dbh->do(q{SET auth_session.lock_wait = '50ms'});
ok(!eval { $dbh->selectrow_array('SELECT auth.verify($1)', {}, $token); 1 }, 'a locked cache denies');
like($dbh->errstr, qr/^DETAIL:\s+busy$/m, 'as busy, under no other name');
$holder->rollback;
ok($dbh->selectrow_array('SELECT auth.verify($1)', {}, $token), 'and once it is free, verifies');

# What asks who is calling never raises: a node that is down makes nobody of the
# caller, and the functions that must say why say busy.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION public.trouble_at() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'trouble at another node' USING ERRCODE = pg_catalog.current_setting('test.sqlstate');
END $$;
ALTER TABLE auth_private.sessions RENAME TO sessions_kept;
CREATE VIEW auth_private.sessions AS SELECT * FROM auth_private.sessions_kept WHERE public.trouble_at();
ALTER VIEW auth_private.sessions OWNER TO auth_session_owner;
DELETE FROM auth_private.token_cache;
SQL
my $bearer = quoted(qq({"authorization":"Bearer $token"}));
foreach my $state (qw(08006 57P01))
{
	$dbh->begin_work;
	$dbh->do("SET LOCAL test.sqlstate = '$state'");
	$dbh->do("SET LOCAL request.headers = $bearer");
	is_deeply($dbh->selectrow_arrayref('SELECT auth.uid(), auth.session_id(), auth.email()'), [ undef, undef, undef ],
		"$state below a helper is NULL");
	ok(!eval { $dbh->do('SELECT auth.check_request()'); 1 }, "$state below the pre-request is refused");
	like($dbh->errstr, qr/^DETAIL:\s+busy$/m, 'as busy');
	$dbh->rollback;
}

done_testing();
