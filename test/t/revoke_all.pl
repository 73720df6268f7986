# revoke_all (D15): what one session can't show. A restore of an older backup,
# a crash, a standby, prepared transactions, backends that are open, and many
# sessions. test/isolation has the interleavings.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_node('primary',
	init => [ allows_streaming => 1 ],
	conf => <<'CONF');
max_prepared_transactions = 10
auth_session.signin_rate_per_account = 0
auth_session.message_rate_per_account = 0
auth_session.resend_cooldown = 0
auth_session.lock_wait = 60s
CONF
my $database = 'postgres';
my $dir = PostgreSQL::Test::Utils::tempdir();

account($primary, 'ada@example.org');

sub ask { return $primary->safe_psql($database, $_[0]); }
sub verify_sql { return 'SELECT auth.verify(' . quoted(ref $_[0] ? $_[0]{access_token} : $_[0]) . ')'; }
sub renew_sql { return 'SELECT access_token FROM auth.renew(' . quoted($_[0]{refresh_token}) . ')'; }
sub signin_sql { return "SELECT access_token FROM auth.signin('ada\@example.org', " . quoted($PASSWORD) . ')'; }

sub lives
{
	my ($node, $tokens, $name, $in) = @_;
	return is($node->safe_psql($in // $database, verify_sql($tokens) . " ->> 'session_id' IS NOT NULL"), 't', $name);
}

# Waits until the recorder has worked off what was revoked. A look at a token
# is what makes it look; a bound, no sleep: it is the condition that is waited for.
sub worked_off
{
	my ($name) = @_;
	return ok($primary->poll_query_until($database, 'SELECT worked_off()'), $name);
}

ask(<<'SQL');
CREATE FUNCTION worked_off() RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM auth.verify((SELECT max(access_token) FROM looked));
	RETURN false;
EXCEPTION WHEN OTHERS THEN
	RETURN NOT EXISTS (SELECT FROM auth_private.revocations
		WHERE next_xid IS NOT NULL OR user_id <> '00000000-0000-0000-0000-000000000000');
END $$;
SQL
ask('CREATE TABLE looked (access_token text)');
ask('INSERT INTO looked VALUES (' . quoted(signin($primary, 'ada@example.org')->{access_token}) . ')');

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

# ---- D15: an older backup brings back what was revoked since ----

{
	my $gone = signin($primary, 'ada@example.org');
	my $live = signin($primary, 'ada@example.org');
	ask("SELECT auth.request_password_reset('ada\@example.org')");
	my $reset = mailed($primary, 'password_reset', 'ada@example.org');
	ask("SELECT auth.signup('eve\@example.org', " . quoted($PASSWORD) . ')');
	my $confirm = mailed($primary, 'confirm_email', 'eve@example.org');

	$primary->command_ok([ 'pg_dump', '-Fc', '-T', 'looked', '-f', "$dir/older", $primary->connstr($database) ], 'a backup');
	ask('SELECT auth.logout(refresh_token => ' . quoted($gone->{refresh_token}) . ')');
	ask('CREATE DATABASE restored');
	$primary->command_ok([ 'pg_restore', '-d', $primary->connstr('restored'), "$dir/older" ], 'its restore');
	lives($primary, $gone, 'D15: which knows nothing of a logout since', 'restored');

	# Another connection, open before.
	my $open = sql_connect($primary, dbname => 'restored');
	is($open->selectrow_array(verify_sql($gone) . " ->> 'session_id' IS NOT NULL"), '1', 'nor does a backend that is open');
	is($primary->safe_psql('restored', 'SELECT auth_admin.revoke_all() >= 2'), 't', 'D15: revoke_all there');
	foreach my $session ($gone, $live)
	{
		refused($primary, verify_sql($session), 'session_revoked', 'D15: ends every session: its access token', 'restored');
		refused($primary, renew_sql($session), 'session_revoked', 'D15: and its refresh token', 'restored');
	}
	ok(!eval { $open->do(verify_sql($gone)); 1 } && $@ =~ /session/, 'D15: at once in the backend that was open');
	$open->disconnect;
	refused($primary, 'SELECT auth.reset_password(code => ' . quoted($reset->{link_token}) . ", new_password => 'another good one')",
		'invalid_code', 'D15: a link that was mailed', 'restored');
	refused($primary, "SELECT auth.confirm('eve\@example.org', " . quoted($confirm->{code}) . ', ' . quoted($PASSWORD) . ')',
		'invalid_code', 'D15: a sign-up', 'restored');
	is(signin($primary, 'ada@example.org', dbname => 'restored')->{token_type}, 'bearer', 'and one signs in');

	# A backup that is taken meanwhile carries it.
	$primary->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/newer", $primary->connstr('restored') ], 'a backup while it is pending');
	ask('CREATE DATABASE again');
	$primary->command_ok([ 'pg_restore', '-d', $primary->connstr('again'), "$dir/newer" ], 'its restore');
	refused($primary, verify_sql($gone), 'session_revoked', 'D15: a session is dead there too', 'again');
	lives($primary, $live, 'and goes on where nothing was revoked');
}

# ---- prepared transactions ----

foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $thief = signin($primary, 'ada@example.org');
	my $stolen = ask('BEGIN; ' . renew_sql($thief) . "; PREPARE TRANSACTION 'thief'");
	my $late = ask('BEGIN; ' . signin_sql() . "; PREPARE TRANSACTION 'late'");

	ask('SELECT auth_admin.revoke_all()');
	my $fresh = signin($primary, 'ada@example.org');
	$primary->wait_for_catchup($standby);
	refused($_, verify_sql($thief), 'session_revoked', "$end PREPARED: a session is dead on " . $_->name)
	  foreach $primary, $standby;
	lives($_, $fresh, "$end PREPARED: one that began since lives on " . $_->name) foreach $primary, $standby;
	ask("$end PREPARED 'thief'");
	is(ask('SELECT count(*) FROM auth_private.revocations WHERE next_xid IS NOT NULL'), '1',
		"$end PREPARED: the row stays while something older may commit");
	ask("$end PREPARED 'late'");
	refused($primary, verify_sql($_), 'session_revoked', "$end PREPARED: what was prepared is dead") foreach $stolen, $late;
	worked_off("$end PREPARED: the recorder works it off");
	refused($primary, verify_sql($_), 'session_revoked', "$end PREPARED: and it stays dead") foreach $stolen, $late;
	$primary->wait_for_catchup($standby);
	refused($standby, verify_sql($late), 'session_revoked', "$end PREPARED: on a standby, too");
	is(ask('SELECT count(*) FROM auth_private.sessions'), '1', "$end PREPARED: nothing of it is left");
}

# ---- many sessions: batch after batch, and none but those ----

{
	my $old = signin($primary, 'ada@example.org');
	ask(<<"SQL");
INSERT INTO auth_private.sessions
SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()))).*
FROM auth_private.sessions AS s, generate_series(1, 1700) WHERE s.id = '$old->{session_id}'
SQL
	my $before = ask('SELECT clock_timestamp()');
	my $new = signin($primary, 'ada@example.org');
	is(ask('SELECT auth_admin.revoke_all(' . quoted($before) . ')'), '1702', 'it says how many of them there were');
	refused($primary, verify_sql($old), 'session_revoked', 'one of before is dead');
	lives($primary, $new, 'one of after lives');
	worked_off('the recorder deletes them batch by batch');
	is(ask('SELECT id FROM auth_private.sessions'), $new->{session_id}, 'and none but those');
	lives($primary, $new, 'which lives');
	ask("UPDATE auth_private.revocations SET at = at - interval '11 minutes'");
	ask('SELECT auth_admin.revoke_all(' . quoted($before) . ')');
	ok($primary->poll_query_until($database, "SELECT count(*) = 1 FROM auth_private.revocations"),
		'rows that have counted long enough go');
	lives($primary, $new, 'it lives still');
}

# ---- a crash right after the commit, whatever the caller set ----

{
	my $session = signin($primary, 'ada@example.org');
	ask('SET synchronous_commit = off; SELECT auth_admin.revoke_all()');
	crash($primary);
	refused($primary, verify_sql($session), 'session_revoked', 'D6: a crash revives nothing');
	worked_off('and the recorder goes on');
	refused($primary, verify_sql($session), 'session_revoked', 'after which it is dead all the same');
}

# ---- new keys, in every backend that is open ----

{
	my $session = signin($primary, 'ada@example.org');
	my $verifies = sql_connect($primary);
	my $signs = sql_connect($primary);
	is($verifies->selectrow_array(verify_sql($session) . " ->> 'session_id'"), $session->{session_id}, 'a backend that knows the keys');
	ok($signs->selectrow_array(signin_sql()), 'and one that signs');
	# A transaction open at this moment.
	$signs->begin_work;
	my $signed = $signs->selectrow_array(signin_sql());

	ask("SELECT auth_admin.revoke_all('2000-01-01', true)");
	ok(!eval { $verifies->do(verify_sql($session)); 1 } && $@ =~ /token/, 'F21: the old keys are refused at once in an open backend');
	$primary->wait_for_catchup($standby);
	refused($standby, verify_sql($session), 'invalid_token', 'F21: and on a standby');
	my $later = $signs->selectrow_array(signin_sql());
	$signs->commit;
	refused($primary, verify_sql($signed), 'invalid_token', 'D15: what a transaction signed before is dead when it commits');
	is(ask(verify_sql($later) . " ->> 'sub' IS NOT NULL"), 't', 'what it signed after is good');
	refused($primary, renew_sql($session), 'invalid_token', 'D15: refresh tokens die with the MAC key');
	is(signin($primary, 'ada@example.org')->{token_type}, 'bearer', 'and one signs in');
	$_->disconnect foreach $verifies, $signs;
}

$standby->stop;
$primary->stop;
done_testing();
