# What ends a session or a password is durable when its transaction has
# committed, also where the caller set synchronous_commit = off. A test of one
# session can't kill the server; crash.pl does it after a logout.
#
# ROUNDS=20 makes it a hundred crashes.
use strict;
use warnings;
use AuthSession;
use Test::More;

# The WAL writer sleeps through the whole test: what a commit did not flush by
# itself is lost.
my $node = new_node('main', conf => <<'CONF');
wal_writer_delay = 10s
auth_session.refresh_reuse_grace = 0
auth_session.resend_cooldown = 0
auth_session.message_rate_per_account = 0
CONF
my $database = 'postgres';
my $password = $PASSWORD;

account($node, 'ada@example.org');
$node->safe_psql($database, 'CREATE TABLE committed_lazily (n int)');

sub lazily
{
	my ($sql) = @_;
	my ($status, $out) =
	  $node->psql($database, "SET synchronous_commit = off;\n$sql");

	return $out;
}

# Runs it, and kills the server at once.
sub then_crash
{
	my ($sql, $name) = @_;

	$node->safe_psql($database, 'TRUNCATE committed_lazily');
	my $out = lazily($sql);
	lazily('INSERT INTO committed_lazily VALUES (1)');
	crash($node);

	# Where this row is still there, the crash came too late to prove a thing.
	is($node->safe_psql($database, 'SELECT count(*) FROM committed_lazily'),
		'0', "$name: the crash lost what was committed lazily");
	return $out;
}

sub session
{
	return signin($node, 'ada@example.org', password => $password);
}

sub renewal
{
	my ($token) = @_;
	return 'SELECT refresh_token FROM auth.renew(' . quoted($token) . ')';
}

# A statement in the context of a session.
sub as_session
{
	my ($session, $sql) = @_;

	return 'BEGIN; SELECT auth.authenticate('
	  . quoted($session->{access_token})
	  . "); $sql; COMMIT";
}

foreach my $round (1 .. $ENV{ROUNDS} // 2)
{
	my $name = "D6: round $round";
	my $session = session();
	my $other = session();

	then_crash(as_session($session, 'SELECT auth.logout_all()'),
		"$name: logout_all");
	refused($node, renewal($_->{refresh_token}), 'session_revoked',
		"$name: logout_all stands")
	  foreach $session, $other;

	$session = session();
	my $next = then_crash(renewal($session->{refresh_token}), "$name: renew");
	my ($status, $after) = $node->psql($database, renewal($next));
	is($status, 0, "$name: a rotation stands: its token goes on");

	then_crash(renewal($next), "$name: reuse");
	refused($node, renewal($after), 'session_revoked',
		"$name: E3: the end of a session whose token was reused stands");

	$session = session();
	$other = session();
	my $old = $password;
	$password = "correct horse battery staple $round";
	then_crash(
		as_session($session,
			'SELECT auth.change_password(' . quoted($old) . ', ' . quoted($password) . ')'),
		"$name: change_password");
	refused($node,
		'SELECT auth.signin(email => \'ada@example.org\', password => '
		  . quoted($old) . ')',
		'invalid_credentials', "$name: a change of the password stands");
	refused($node, renewal($other->{refresh_token}), 'session_revoked',
		"$name: and ended the other sessions");

	$node->safe_psql($database,
		'SELECT auth.request_password_reset(\'ada@example.org\')');
	my $mail = mailed($node, 'password_reset', 'ada@example.org');
	$old = $password;
	$password = "correct horse battery staple reset $round";
	then_crash(
		'SELECT auth.reset_password(code => '
		  . quoted($mail->{link_token})
		  . ', new_password => ' . quoted($password) . ')',
		"$name: reset_password");
	refused($node,
		'SELECT auth.signin(email => \'ada@example.org\', password => '
		  . quoted($old) . ')',
		'invalid_credentials', "$name: a reset of the password stands");
	refused($node, renewal($session->{refresh_token}), 'session_revoked',
		"$name: and ended all sessions");
}

$node->stop;
done_testing;
