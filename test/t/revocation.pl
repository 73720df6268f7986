# A revocation wins over whoever holds the rows (H7): what one session of the
# isolation tester can't show: prepared transactions, a crash, a standby, a
# dump, and many at once. test/isolation has the interleavings.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $primary = new_node('primary',
	init => [ allows_streaming => 1 ],
	conf => <<'CONF');
max_prepared_transactions = 10
max_connections = 40
auth_session.max_concurrent_hashes = 1
auth_session.max_waiting_hashes = 100
auth_session.hash_wait = 60s
auth_session.signin_rate_per_account = 0
auth_session.lock_wait = 60s
CONF
my $database = 'postgres';

account($primary, 'ada@example.org');

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;

sub logout_sql { return 'SELECT auth.logout(refresh_token => ' . quoted($_[0]{refresh_token}) . ')'; }
sub renew_sql { return 'SELECT access_token FROM auth.renew(' . quoted($_[0]{refresh_token}) . ')'; }
sub verify_sql { return 'SELECT auth.verify(' . quoted(ref $_[0] ? $_[0]{access_token} : $_[0]) . ')'; }

sub lives
{
	my ($node, $tokens, $name) = @_;
	return is($node->safe_psql($database, verify_sql($tokens) . " ->> 'session_id' IS NOT NULL"), 't', $name);
}

# Waits until the recorder has worked everything into the rows; a bound, no
# sleep: it is the condition that is waited for.
sub folded
{
	my ($name) = @_;
	return ok($primary->poll_query_until($database,
			'SELECT count(*) = 0 FROM auth_private.revocations'), $name);
}

# The longest time that a revocation took, while others held its rows.
my $longest = 0;

sub timed
{
	my ($sql) = @_;
	my $began = time;

	$primary->safe_psql($database, $sql);
	my $took = time - $began;
	$longest = $took if $took > $longest;
	return;
}

# ---- prepared transactions have no backend that could be ended ----

foreach my $end ('COMMIT', 'ROLLBACK')
{
	my $thief = signin($primary, 'ada@example.org');
	my $other = signin($primary, 'ada@example.org');
	my $stolen = $primary->safe_psql($database,
		'BEGIN; ' . renew_sql($thief) . "; PREPARE TRANSACTION 'thief'");

	timed(logout_sql($thief));
	refused($primary, verify_sql($thief), 'session_revoked',
		"$end PREPARED: a logout wins over a prepared renewal");
	lives($primary, $other, "$end PREPARED: and ends no other session");
	$primary->wait_for_catchup($standby);
	refused($standby, verify_sql($thief), 'session_revoked',
		"$end PREPARED: a standby refuses it too");
	$primary->safe_psql($database, "$end PREPARED 'thief'");
	refused($primary, verify_sql($stolen), 'session_revoked',
		"$end PREPARED: the renewed token is dead");
	folded("$end PREPARED: the recorder does the rest");
	refused($primary, verify_sql($stolen), 'session_revoked',
		"$end PREPARED: and it stays dead");
	is($primary->safe_psql($database,
			"SELECT count(*) FROM auth_private.sessions WHERE id = " . quoted($thief->{session_id})),
		'0', "$end PREPARED: its row is gone");
}

{
	my $owner = signin($primary, 'ada@example.org');
	my $late = $primary->safe_psql($database,
		"BEGIN; SELECT access_token FROM auth.signin('ada\@example.org', " . quoted($PASSWORD) . ");"
		  . "PREPARE TRANSACTION 'late'");

	timed("BEGIN; SELECT auth.authenticate(" . quoted($owner->{access_token}) . "); SELECT auth.logout_all(); COMMIT");
	$primary->safe_psql($database, "COMMIT PREPARED 'late'");
	refused($primary, verify_sql($late), 'session_revoked',
		'a sign-in that was prepared before logout_all is dead when it commits');
	folded('and is folded');

	# A logout that is prepared itself is in force with its commit.
	$owner = signin($primary, 'ada@example.org');
	my $holder = sql_connect($primary);
	$holder->begin_work;
	$holder->do(renew_sql($owner));
	$primary->safe_psql($database, 'BEGIN; ' . logout_sql($owner) . "; PREPARE TRANSACTION 'out'");
	lives($primary, $owner, 'a prepared logout is not in force');
	$primary->safe_psql($database, "COMMIT PREPARED 'out'");
	refused($primary, verify_sql($owner), 'session_revoked', 'and is from its commit on');
	$holder->commit;
	$holder->disconnect;
	folded('and is folded then');
}

# ---- what a prepared transaction wakes, COMMIT PREPARED does ----

{
	my $workers = "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'auth_session recorder' AND datname IS NOT NULL";
	my $owner = signin($primary, 'ada@example.org');
	my ($holder, $listener) = map { sql_connect($primary) } 1, 2;
	# Looks at nothing of ours, so that nobody else wakes the recorder.
	my $ends = sub {
		my ($gid, $notifies) = @_;
		ok($primary->poll_query_until($database, $workers), "$gid: nothing is left to be done");
		$listener->do('SELECT 1');
		1 while $listener->pg_notifies;
		$primary->safe_psql($database, "COMMIT PREPARED '$gid'");
		my $notified;
		foreach my $try (1 .. 600)
		{
			$listener->do('SELECT pg_sleep(0.1)');
			last if $notified = $listener->pg_notifies;
		}
		is($notified && $notified->[0], 'auth_session_outbox', "$gid: COMMIT PREPARED wakes the bridge");
	};

	$listener->do('LISTEN auth_session_outbox');
	$primary->safe_psql($database,
		"BEGIN; SELECT auth.signup('prepared\@example.org', " . quoted($PASSWORD) . "); PREPARE TRANSACTION 'signup'");
	$ends->('signup');
	$holder->begin_work;
	$holder->do(renew_sql($owner));
	$primary->safe_psql($database, 'BEGIN; ' . logout_sql($owner) . "; PREPARE TRANSACTION 'logout'");
	$holder->commit;
	$ends->('logout');
	folded('logout: and the recorder, which folds it');
	$_->disconnect foreach $holder, $listener;
}

# ---- a crash while something is pending ----

{
	my $thief = signin($primary, 'ada@example.org');
	my $other = signin($primary, 'ada@example.org');
	my $stolen = $primary->safe_psql($database,
		'BEGIN; ' . renew_sql($thief) . "; PREPARE TRANSACTION 'thief'");

	$primary->safe_psql($database, 'SET synchronous_commit = off; ' . logout_sql($thief));
	crash($primary);
	refused($primary, verify_sql($thief), 'session_revoked', 'D6: a crash revives nothing');
	lives($primary, $other, 'D7: and logs nobody out');
	$primary->safe_psql($database, "COMMIT PREPARED 'thief'");
	refused($primary, verify_sql($stolen), 'session_revoked', 'nor does a COMMIT PREPARED after it');
	lives($primary, $other, 'a look at it wakes the recorder');
	folded('which does the rest after a crash too');
}

# ---- a dump takes what is pending along ----

{
	my $thief = signin($primary, 'ada@example.org');
	my $holder = sql_connect($primary);

	$holder->begin_work;
	$holder->do(renew_sql($thief));
	$primary->safe_psql($database, logout_sql($thief));
	my $dump = $primary->basedir . '/dump.sql';
	$primary->command_ok([ 'pg_dump', '-d', $primary->connstr($database), '-f', $dump ], 'a dump');
	$primary->safe_psql($database, 'CREATE DATABASE copy');
	$primary->command_ok([ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-d', $primary->connstr('copy'), '-f', $dump ],
		'its restore');
	refused($primary, verify_sql($thief), 'session_revoked', 'the copy refuses what was revoked', 'copy');
	$holder->rollback;
	$holder->disconnect;
	folded('and the original folds it');
}

# A row that arrives beside a backend that knows of none (a restore, say).
{
	my $session = signin($primary, 'ada@example.org');
	my $knowing = sql_connect($primary);

	$knowing->do(verify_sql($session));
	$primary->safe_psql($database,
		'SET session_replication_role = replica; INSERT INTO auth_private.revocations SELECT user_id, id, id, NULL, NULL, 0, now()'
		  . ' FROM auth_private.sessions WHERE id = ' . quoted($session->{session_id}));
	ok(!eval { $knowing->do(verify_sql($session)); 1 }, 'a row that is loaded is seen by a backend that knew of none');
	$knowing->disconnect;
	$primary->safe_psql($database, 'SELECT auth.resend_confirmation(\'nobody@example.org\')');
	refused($primary, verify_sql($session), 'session_revoked', 'and by others');
	folded('and is folded, though nobody was told of it');
}

# ---- what happens to an account while a sign-in waits for its hash ----

# Signs in while others' hashes keep the only place; meanwhile SQL is run. The
# sign-in has looked the account up before, and checks its password after: or,
# with a hash that is weaker than its settings, it has looked again and computes
# a stronger one.
sub while_hashing
{
	my ($email, $sql, $strengthens) = @_; # more iterations than that
	my ($watcher, $late, @busy) = map { sql_connect($primary) } 0 .. ($strengthens ? 3 : 2);
	my $statement;

	foreach my $dbh (@busy)
	{
		$dbh->do('SET auth_session.argon2_iterations = ' . ($strengthens ? 24 : 64));
		$dbh->do('SET auth_session.argon2_memory = 65536');
	}
	my $compute = sub { $_[0]->do("SELECT auth.signin('nobody\@example.org', 'no password of anybody')", { pg_async => 1 }); };
	my $waits = sub {
		my ($dbh) = @_;
		return $watcher->selectrow_array(
			"SELECT count(*) FROM pg_stat_activity WHERE pid = $dbh->{pg_pid} AND wait_event_type = 'Extension'");
	};
	# Whether it waits, before one of those that end it has ended.
	my $comes_to_wait = sub {
		my ($dbh, @ends) = @_;
		until ($waits->($dbh))
		{
			return 0 if grep { $_->pg_ready } $dbh, @ends;
		}
		return 1;
	};
	# Of two that come at once either may have the place; the one that waits
	# for it must be the one that is looked at.
	foreach my $try (1 .. 20)
	{
		# Each that succeeds leaves a stronger hash behind.
		$late->do('SET auth_session.argon2_iterations = ' . ($strengthens + $try)) if $strengthens;
		$compute->($busy[0]);
		$statement = $late->prepare('SELECT (auth.signin($1, $2)).access_token', { pg_async => 1 });
		$statement->execute($email, $PASSWORD);
		my $is_there = $comes_to_wait->($late, $busy[0]);
		if ($is_there && $strengthens)
		{
			$compute->($busy[1]);
			$is_there = $comes_to_wait->($busy[1], $busy[0]);
			eval { $busy[0]->pg_result };
			# The line is fair: once the last computes, the sign-in has checked
			# its password, and waits again.
			until (!$is_there || (!$waits->($busy[1]) && $waits->($late)))
			{
				$is_there = 0 if $late->pg_ready || $busy[1]->pg_ready;
			}
		}
		last if $is_there;
		die 'the sign-in never waits for its hash' if $try == 20;
		eval { $_->pg_result } foreach @busy;
		eval { $late->pg_result; $statement->finish };
	}
	$primary->safe_psql($database, $sql);
	eval { $_->pg_result } foreach @busy;
	my $token = eval { $late->pg_result; ($statement->fetchrow_array)[0] };
	my ($code) = $@ =~ /^DETAIL:\s+(\w+)/m;
	$statement->finish;
	$_->disconnect foreach @busy, $late, $watcher;
	return ($token, $code);
}

{
	my ($token, $code);
	my $id = account($primary, 'eve@example.org');
	my $session = signin($primary, 'eve@example.org');
	my $as_eve = 'SELECT auth.authenticate(' . quoted($session->{access_token}) . ');';

	($token, $code) = while_hashing('eve@example.org', "BEGIN; $as_eve SELECT auth.logout_all(true); COMMIT");
	ok($token, 'H10: the right password is let in, though logout_all came in between');
	lives($primary, $token, 'and its session lives') if $token;
	# Without a hash of its own, which would have to wait for its turn.
	my $hash = $primary->safe_psql($database, 'SELECT password_hash FROM auth_private.accounts WHERE id = ' . quoted($id));
	account($primary, 'fay@example.org', password => 'a new password of hers');
	($token, $code) = while_hashing('eve@example.org',
		"UPDATE auth_private.accounts AS a SET epoch = a.epoch + 1, password_hash = f.password_hash"
		  . " FROM auth_private.accounts AS f WHERE f.email = 'fay\@example.org' AND a.id = " . quoted($id));
	is($code, 'invalid_credentials', 'the old password is refused after a change that came in between');
	$primary->safe_psql($database, 'UPDATE auth_private.accounts SET password_hash = '
		  . quoted($hash) . ' WHERE id = ' . quoted($id));
	($token, $code) = while_hashing('eve@example.org',
		"UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = " . quoted($id));
	is($code, 'banned', 'B11: nobody is let in who was banned in between');

	# Between the last look and the grant, while the stronger hash is computed.
	$primary->safe_psql($database, 'UPDATE auth_private.accounts SET banned_at = NULL WHERE id = ' . quoted($id));
	($token, $code) = while_hashing('eve@example.org',
		"UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE id = " . quoted($id), 2);
	is($code, 'banned', 'B11: nor who was while a stronger hash was computed');
	$primary->safe_psql($database, 'UPDATE auth_private.accounts SET banned_at = NULL WHERE id = ' . quoted($id));
	($token, $code) = while_hashing('eve@example.org',
		"UPDATE auth_private.accounts AS a SET epoch = a.epoch + 1, password_hash = f.password_hash"
		  . " FROM auth_private.accounts AS f WHERE f.email = 'fay\@example.org' AND a.id = " . quoted($id), 22);
	like($code, qr/^(busy|invalid_credentials)$/, 'nor by the old password where it was changed then');
}

# ---- many at once: nothing is revived, nobody is logged out by mistake ----

{
	my @users = map { "user$_\@example.org" } 1 .. 6;
	my $until = time + 12;
	my @children;
	my $results = $primary->basedir . '/stress';

	mkdir $results or die;
	account($primary, $_) foreach @users;
	foreach my $n (0 .. 5)
	{
		my $pid = fork // die 'no fork';

		if ($pid == 0)
		{
			require POSIX;
			my $wrong = eval { stress($users[$n], $until) } // "wrong: $@";
			append_to_file("$results/$n", $wrong);
			POSIX::_exit(0);
		}
		push @children, $pid;
	}
	waitpid $_, 0 foreach @children;
	my $said = join '', map { slurp_file("$results/$_") } 0 .. 5;
	unlike($said, qr/wrong/, 'what was revoked stays dead, what was not lives');
	my $checks = 0;
	$checks += $1 while $said =~ /checks (\d+)/g;
	cmp_ok($checks, '>', 100, 'over some hundreds of looks');
	folded('and all of it is folded');
	diag(sprintf 'the longest revocation beside an open transaction: %d ms; %d looks', 1000 * $longest, $checks);
}

# One user's life: sign-ins, renewals left open, and ends of them; says what
# went wrong and how many tokens were looked at.
sub stress
{
	my ($email, $until) = @_;
	my $holder = sql_connect($primary);
	my $owner = sql_connect($primary);
	my $checks = 0;
	my $wrong = '';

	while (time < $until)
	{
		my ($a, $b) = map { $owner->selectrow_hashref('SELECT * FROM auth.signin($1, $2)', {}, $email, $PASSWORD) } 1, 2;

		$holder->begin_work;
		my ($stolen) = $holder->selectrow_array(renew_sql($a));
		my $all = rand() < 0.5;
		$owner->begin_work;
		$owner->do('SELECT auth.authenticate($1)', {}, $b->{access_token});
		$owner->do($all ? 'SELECT auth.logout_all(true)' : logout_sql($a));
		$owner->commit;
		rand() < 0.5 ? $holder->commit : $holder->rollback;
		foreach my $look (1 .. 4)
		{
			foreach my $token ($a->{access_token}, $stolen)
			{
				$checks++;
				$wrong .= "wrong: revived\n" if eval { $owner->do(verify_sql($token)); 1 };
			}
			$checks++;
			$wrong .= 'wrong: logged out: ' . ($@ // '') . "\n" unless eval { $owner->do(verify_sql($b)); 1 };
			usleep(rand 20_000);
		}
		$owner->do(logout_sql($b));
	}
	$holder->disconnect;
	$owner->disconnect;
	return $wrong . "checks $checks\n";
}

$standby->stop;
$primary->stop;
done_testing;
