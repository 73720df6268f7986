# Hooks that are named and not there: who is told, when it is set and when it is
# called. H12: nothing is signed without a hook that was asked for.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

# The server starts with a name that no function can have.
my $node = new_node('main',
	conf => "auth_session.require_confirmation = none\nauth_session.claims_hook = 'hook'\n");
my $tokens = 'SELECT access_token FROM auth.signin(' . quoted('ada@example.org') . ', ' . quoted($PASSWORD) . ')';

# What the log has got since an offset of lines that match.
sub logged
{
	my ($offset, $pattern) = @_;
	my @lines = slurp_file($node->logfile, $offset) =~ /($pattern)/g;

	return scalar @lines;
}

$node->safe_psql('postgres',
	'SELECT auth.signup(' . quoted('ada@example.org') . ', ' . quoted($PASSWORD) . ')');
my $offset = -s $node->logfile;
my $dbh = sql_connect($node);
foreach my $n (1 .. 5)
{
	ok(!eval { $dbh->selectrow_array($tokens); 1 }, "sign-in $n without its hook is refused");
	like($dbh->errstr, qr/^DETAIL:\s+busy$/m, 'as busy: not without the hook\'s claims');
}
is(logged($offset, qr/LOG:  auth_session\.claims_hook "hook" cannot be called/), 1,
	'and the operator is told once, not five times');
is(logged($offset, qr/DETAIL:  The name must be schema\.function/), 1, 'why');
$dbh->disconnect;

my ($status, $out, $err) = $node->psql('postgres', q{ALTER SYSTEM SET auth_session.claims_hook = 'a.b.c'});
like($err, qr/The name must be schema\.function/, 'ALTER SYSTEM refuses such a name');
$node->safe_psql('postgres', q{ALTER SYSTEM SET auth_session.claims_hook = 'app.later'});
$node->reload;
pass('but takes one that may still be made');

# For a database, a role: told, and taken. A dump restores settings before functions.
($status, $out, $err) = $node->psql('postgres', q{ALTER DATABASE postgres SET auth_session.claims_hook = 'app.later'});
is($status, 0, 'ALTER DATABASE takes a hook that is still to come');
like($err, qr/NOTICE:  the hook "app\.later" cannot be called in this database/, 'and says that it is not there');
($status, $out, $err) = $node->psql('postgres', q{ALTER DATABASE postgres SET auth_session.claims_hook = 'later'});
isnt($status, 0, 'but no name that no function can have');
($status, $out, $err) = $node->psql('postgres', 'SHOW auth_session.claims_hook');
is("$out$err", 'app.later', 'a session starts with what is stored for it, silently');
refused($node, $tokens, 'busy', 'and calls are refused until it is there');
($status, $out, $err) = $node->psql('postgres', q{SET auth_session.claims_hook = 'app.later'});
like($err, qr/There is no such function of these arguments/, 'SET refuses what is not there');

$node->safe_psql('postgres', <<'SQL');
CREATE SCHEMA app;
CREATE FUNCTION app.later(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('plan', 'gold', 'nbf', 'soon', 'email', 5)
$$;
SQL
$offset = -s $node->logfile;
my $claims = $node->safe_psql('postgres', "SELECT auth.verify(access_token) ->> 'plan' FROM ($tokens) AS t");
is($claims, 'gold', 'and then the hook\'s claims are in the token');
is(logged($offset, qr/LOG:  what the claims hook returns as "(?:nbf|email)" is left out/), 2,
	'H12: a line in the log for each that would not verify');
$node->safe_psql('postgres', <<'SQL');
CREATE OR REPLACE FUNCTION app.later(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT (repeat('{"a":', 200) || '"tell-tale"' || repeat('}', 200))::jsonb
$$;
SQL
$offset = -s $node->logfile;
refused($node, $tokens, 'busy', 'H12: claims that no verifier reads are not signed');
is(logged($offset, qr/LOG:  an access token with these claims would not verify/), 1, 'H12: with one line in the log');
is(logged($offset, qr/tell-tale/), 0, 'G3: that has nothing of them');

# Errors of a hook are told up to a limit, and what was left out is counted.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION app.no(email text, phone text, info jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'not today';
END $$;
ALTER DATABASE postgres SET auth_session.signup_hook = 'app.no';
SQL
$offset = -s $node->logfile;
$dbh = sql_connect($node);
my $refused = 0;
foreach my $n (1 .. 25)
{
	my $call = 'SELECT auth.signup(' . quoted("u$n\@example.org") . ', ' . quoted($PASSWORD) . ')';
	eval { $dbh->do($call); 1 } or $refused += $dbh->errstr =~ /^DETAIL:\s+signup_refused$/m;
}
is($refused, 25, 'a hook that raises refuses each sign-up');
is(logged($offset, qr/LOG:  auth_session\.signup_hook "app\.no" refused: not today \(SQLSTATE P0001\)/), 10,
	'and ten of them are in the log, not twenty-five');
$dbh->disconnect;

$node->stop;
done_testing;
