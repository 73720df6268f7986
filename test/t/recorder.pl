# What a failure leaves behind survives the caller's rollback: a background
# worker commits it. One psql can't show it: it takes several sessions and
# databases, killed workers, and a server that is stopped meanwhile. Who gets a
# place in a queue that somebody fills is shown without a server, by a program
# (test/recorder) under AddressSanitizer and UBSan.
use strict;
use warnings;

use AuthSession ();
use Caller;
use IPC::Run;
use List::Util qw(max);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

AuthSession::passes('recorder');

my $node = Caller::server(
	'recorder',
	'auth_session.refresh_reuse_grace = 0',
	'auth_session.signin_rate_per_account = 0',
	'auth_session.max_waiting_hashes = 100',
	'restart_after_crash = on');

my $user = Caller::signup($node, 'a@example.com');
my $wrong =
  "SELECT auth.signin(email => 'a\@example.com', password => 'wrong horse')";

# A new session: its id and its current refresh token.
sub signin
{
	my (%option) = @_;

	return split /\|/,
	  $node->safe_psql($option{dbname} // 'postgres',
		"SELECT t.session_id, t.refresh_token
		 FROM auth.signin(email => 'a\@example.com', password => 'correct horse') AS t"
	  );
}

sub renew
{
	my ($token) = @_;
	return "SELECT (auth.renew('$token')).refresh_token";
}

# A session whose first token has been used: its id, that token, the current.
sub used_token
{
	my ($session, $first) = signin();

	return ($session, $first, $node->safe_psql('postgres', renew($first)));
}

sub is_live
{
	my ($session) = @_;
	return $node->safe_psql('postgres',
		"SELECT count(*) FROM auth_private.sessions WHERE id = '$session'");
}

sub ends_soon
{
	my ($session, $name) = @_;

	ok( $node->poll_query_until('postgres',
			"SELECT count(*) = 0 FROM auth_private.sessions WHERE id = '$session'"),
		$name);
	return;
}

sub audit_rows
{
	my ($where, %option) = @_;
	return $node->safe_psql($option{dbname} // 'postgres',
		"SELECT count(*) FROM auth_admin.audit_log WHERE $where");
}

# A session that stays, for a transaction that stays open.
sub stay
{
	my ($dbname, $server) = @_;
	my %session = (in => '', out => '');

	$server //= $node;
	$session{limit} = IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default,
		exception => 'a session does not answer');
	$session{run} = IPC::Run::start(
		[
			'psql', '-XAtq', '-h', $server->host, '-p', $server->port, $dbname ],
		'<', \$session{in}, '>', \$session{out}, '2>&1', $session{limit});
	return \%session;
}

# Sends statements to it, and waits until they are done, or dies.
sub ask
{
	my ($session, $sql) = @_;

	$session->{limit}->start;
	$session->{out} = '';
	$session->{in} .= "$sql\n;\\echo done\n";
	$session->{run}->pump
	  until $session->{out} =~ /^done$/m || !$session->{run}->pumpable;
	return $session->{out};
}

sub finish
{
	my ($session) = @_;

	$session->{limit}->start;
	$session->{in} .= "\\q\n";
	eval { $session->{run}->finish };
	return;
}

# In a database: the dispatcher is in none, and seen once it has looked for one.
my $workers =
  "FROM pg_stat_activity WHERE backend_type = 'auth_session recorder' AND datname IS NOT NULL";

# ---- E2: reuse ends the session, and nothing else ----

my ($other) = signin();
my ($session, $old, $current) = used_token();
my $got = Caller::call($node, renew($old));

is("$got->{state} $got->{code}", 'PT401 refresh_token_reused',
	'E2: a used refresh token is refused');
is(is_live($session), 0, 'E2: and its session has ended at once');
is(Caller::call($node, renew($current))->{code},
	'session_revoked', 'E2: its current token, too');
is(is_live($other), 1, "E2: the user's other session lives");

# ---- E12: one row, one message ----

Caller::call($node, renew($old)) foreach 1 .. 3;
is( audit_rows("session_id = '$session' AND result = 'refresh_token_reused'"),
	1, 'E12: reuse makes one audit row, however often it is tried');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM auth_private.outbox
		 WHERE kind = 'session_revoked' AND user_id = '$user'"),
	1, 'E12: and one message to the user');

# ---- E3: neither a rollback nor a savepoint undoes it ----

($session, $old) = used_token();
Caller::call($node, "BEGIN;\n" . renew($old));
is(is_live($session), 0, 'E3: it survives the end of the connection');

($session, $old) = used_token();
$node->psql('postgres', "BEGIN;\n" . renew($old) . ";\nROLLBACK;",
	on_error_stop => 0);
is(is_live($session), 0, 'E3: it survives ROLLBACK');

($session, $old) = used_token();
$node->psql('postgres',
	"BEGIN;\nSAVEPOINT s;\n" . renew($old) . ";\nROLLBACK TO s;\nCOMMIT;",
	on_error_stop => 0);
is(is_live($session), 0, 'E3: it survives ROLLBACK TO SAVEPOINT');

($session, $old) = used_token();
$node->psql('postgres',
	"SELECT 1 / (length(test.outcome(\$\$" . renew($old) . "\$\$)) * 0)");
is(is_live($session), 0, 'E3: it survives an error raised after it');

# ---- B6, G6: failures are on record, rolled back or not ----

my $before = audit_rows("result = 'invalid_credentials'");
$node->psql('postgres',
	"BEGIN;\nSAVEPOINT s;\n$wrong;\nROLLBACK TO s;\n$wrong;\nROLLBACK;",
	on_error_stop => 0);
is(audit_rows("result = 'invalid_credentials'"),
	$before + 2, 'B6: failures in transactions rolled back leave audit rows');
is( audit_rows(
		"result = 'invalid_credentials' AND action = 'signin' AND user_id = '$user'
		 AND reason = 'wrong password' AND at > now() - interval '1 hour'"),
	$before + 2, 'G6: which say who, what, why and when');

Caller::call($node,
	"BEGIN;\nSELECT set_config('request.headers', '{\"user-agent\":\"evil\\r\\n2026 forged \\u001b[2J\"}', true);\n$wrong"
);
is(audit_rows("user_agent LIKE '%evil%'"),
	1, 'G6: with the user agent of the caller');
is(audit_rows("user_agent ~ '[[:cntrl:]]'"),
	0, 'G6: from which no control character forges a line');

$node->safe_psql('postgres', 'CREATE ROLE app');
foreach my $attempt (
	'DELETE FROM auth_private.audit_log',
	'UPDATE auth_admin.audit_log SET result = NULL')
{
	is(Caller::call($node, "SET ROLE app;\n$attempt")->{state},
		'42501', "G6: an application can't: $attempt");
}

# ---- the caller's own lock only delays it ----

($session, $old, $current) = used_token();
my $caller = stay('postgres');
ask($caller, "BEGIN;\n" . renew($current) . ";\nSAVEPOINT s");
like(ask($caller, renew($old)), qr/has been used before/,
	'a caller that holds the row is answered');
is(is_live($session), 1, 'while its lock delays the record');
$before = audit_rows("result = 'invalid_credentials'");
Caller::call($node, $wrong);
is(audit_rows("result = 'invalid_credentials'"),
	$before + 1, 'which delays no other');

# ---- a killed worker loses nothing ----

# The next one has what the owner of a database can set: it would end with every
# lock that it doesn't get.
$node->safe_psql('postgres', 'ALTER DATABASE postgres SET exit_on_error = on');
my $log_end = -s $node->logfile;
is($node->safe_psql('postgres', "SELECT bool_and(pg_terminate_backend(pid)) $workers"),
	't', 'the worker is killed while it has the record');
$before = audit_rows("result = 'invalid_credentials'");
Caller::call($node, $wrong);
is(audit_rows("result = 'invalid_credentials'"),
	$before + 1, 'and the next one delays no other either');
ask($caller, 'ROLLBACK');
ends_soon($session, 'E3: and when the lock is gone the session ends');
finish($caller);
unlike(slurp_file($node->logfile, $log_end),
	qr/lock timeout|exited with exit code [^01]/,
	"and exit_on_error of the database's owner ends no worker");
$node->safe_psql('postgres', 'ALTER DATABASE postgres RESET exit_on_error');

# ---- C5: wrong tries on a code ----

$node->safe_psql('postgres',
	"SELECT auth.request_password_reset('a\@example.com')");
my $mail = AuthSession::mailed($node, 'password_reset', 'a@example.com');
my $guess = sprintf '%06d', ($mail->{code} + 1) % 1000000;

sub reset_with
{
	my ($code) = @_;
	return
	  "SELECT auth.reset_password('a\@example.com', '$code', 'correct horse')";
}

my $attempt = "BEGIN;\n" . reset_with($guess) . ";\nROLLBACK;\n";
$node->psql('postgres', $attempt x 5, on_error_stop => 0);
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM auth_private.code_failures WHERE identifier = 'a\@example.com'"),
	5, 'C5: wrong tries are on record, though each was rolled back');

# ---- the queue survives a restart ----

($session, $old) = used_token();
$caller = stay('postgres');
ask($caller, 'BEGIN; LOCK TABLE auth_private.audit_log');
Caller::call($node, renew($old));
is(is_live($session), 1, 'a record is still queued');
$node->restart;
ends_soon($session, 'E3: it is committed after a restart of the server');
finish($caller);
ok(!-e $node->data_dir . '/pg_stat/auth_session.records',
	'and the file that kept it is gone');
is(Caller::call($node, reset_with($mail->{code}))->{code},
	'invalid_code', 'C5: the code is as dead after the restart');

# ---- H8: what waits for a lock takes nobody's place ----

# A statement so often down each of four connections.
sub flood
{
	my ($times, $statement) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir_short() . '/flood.sql';

	append_to_file($script, "$statement;\n" x $times);
	my @runs = map {
		IPC::Run::start(
			[
				'psql', '-XAtq', '-h', $node->host, '-p', $node->port,
				'-f', $script, 'postgres' ],
			'>', '/dev/null', '2>', '/dev/null')
	} 1 .. 4;
	$_->finish foreach @runs;
	return;
}

$node->safe_psql('postgres', 'CREATE DATABASE next_door');
Caller::extension($node, 'next_door');
my $log_start = -s $node->logfile;
($session, $old, $current) = used_token();
$caller = stay('postgres');
ask($caller, "BEGIN;\n" . renew($current) . ";\nSAVEPOINT s");
flood(3, renew($old));
is(is_live($session), 1, 'H8: reuses of one session wait for its lock');

my ($second, $second_old) = used_token();
$got = Caller::call($node, renew($second_old));
is($got->{code}, 'refresh_token_reused', 'H8: a reuse of another session is told');
is(is_live($second), 0, 'H8: and has ended it at once');
$before = audit_rows("result = 'invalid_credentials'");
Caller::call($node, $wrong);
is(audit_rows("result = 'invalid_credentials'"),
	$before + 1, 'H8: a failure is recorded beside them');
Caller::call($node, $wrong, dbname => 'next_door');
is(audit_rows("result = 'invalid_credentials'", dbname => 'next_door'),
	1, 'H8: and one in another database');
unlike(slurp_file($node->logfile, $log_start),
	qr/queue of the auth_session recorder is full/,
	'H8: the queue is far from full');
ask($caller, 'ROLLBACK');
finish($caller);
ends_soon($session, 'H8: when the lock is gone the session ends');
is( audit_rows("session_id = '$session' AND result = 'refresh_token_reused'"),
	1, 'H8: with one audit row for all of them');

# As many as one login can lock.
$node->safe_psql('postgres',
	"SELECT auth.signup(email => 'locker\@example.com', password => 'correct horse')");
my @used = map { [ split /\|/ ] } split /\n/,
  $node->safe_psql('postgres',
	"WITH opened AS MATERIALIZED (SELECT t.* FROM generate_series(1, 24),
		LATERAL auth.signin(email => 'locker\@example.com', password => 'correct horse' || left(generate_series::text, 0)) AS t),
	renewed AS MATERIALIZED (SELECT session_id, refresh_token, (auth.renew(refresh_token)).session_id AS again FROM opened)
	SELECT session_id, refresh_token FROM renewed");
$caller = stay('postgres');
ask($caller,
	"BEGIN; SELECT count(*) FROM (SELECT FROM auth_private.sessions AS s JOIN auth_private.accounts AS a ON a.id = s.user_id
		WHERE a.email = 'locker\@example.com' FOR UPDATE OF s) AS locked");
my %said;
foreach my $used (@used)
{
	my $began = time;

	$said{ Caller::call($node, renew($used->[1]))->{code} }++;
	$said{slowest} = max($said{slowest} // 0, time - $began);
}
is($said{refresh_token_reused}, scalar @used, 'H8: reuses whose rows somebody holds are told');
note(sprintf 'the slowest took %.0f ms', 1000 * $said{slowest});
($second, $second_old) = used_token();
Caller::call($node, renew($second_old));
is(is_live($second), 0, "H8: another user's session ends meanwhile");
ask($caller, 'ROLLBACK');
finish($caller);
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = $said{refresh_token_reused} FROM auth_admin.audit_log AS l JOIN auth_private.accounts AS a ON a.id = l.user_id
		 WHERE a.email = 'locker\@example.com' AND l.result = 'refresh_token_reused'"),
	'H8: every one is on record');
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = 0 FROM auth_private.sessions AS s JOIN auth_private.accounts AS a ON a.id = s.user_id WHERE a.email = 'locker\@example.com'"),
	'H8: and their sessions are gone');

# ---- H9: so many audit rows of refusals in a second ----

my ($ended, $ended_token) = signin();
$node->safe_psql('postgres', "SELECT auth.logout(refresh_token => '$ended_token')");
$node->poll_query_until('postgres', "SELECT count(*) = 0 $workers");
my ($rows, $from) = split /\|/,
  $node->safe_psql('postgres', 'SELECT count(*), extract(epoch FROM clock_timestamp()) FROM auth_admin.audit_log');
flood(250, renew($ended_token));
my ($made, $seconds) = split /\|/, $node->safe_psql('postgres',
	"SELECT count(*) - $rows, ceil(extract(epoch FROM clock_timestamp()) - $from) FROM auth_admin.audit_log");
cmp_ok($made, '<=', 50 * ($seconds + 1),
	"H9: 1,000 refusals in $seconds s made $made audit rows");
cmp_ok($made, '>', 0, 'H9: but some');
($session, $old) = used_token();
flood(25, renew($ended_token));
Caller::call($node, renew($old));
is(is_live($session), 0, 'H9: what else a record does is done without one');

# ---- NOTIFY, after the commit only ----

my $listener = stay('postgres');
ask($listener, 'LISTEN auth_session_outbox');
signin();
for (1 .. 600)
{
	last if ask($listener, 'SELECT pg_sleep(0.1)') =~ /notification "auth_session_outbox"/;
}
like($listener->{out}, qr/"auth_session_outbox" received/,
	'G8: the bridge is woken by a sign-in');
unlike($listener->{out}, qr/payload/, 'G3: by a notification without a payload');
$node->poll_query_until('postgres', "SELECT count(*) = 0 $workers");
ask($listener, 'SELECT 1');
$node->safe_psql('postgres',
	"BEGIN; SELECT auth.signin(email => 'a\@example.com', password => 'correct horse') IS NULL; ROLLBACK"
);
is($node->safe_psql('postgres', "SELECT count(*) $workers"),
	0, 'G8: no worker stirs for a sign-in that is rolled back');
unlike(ask($listener, 'SELECT 1'),
	qr/auth_session_outbox/, 'G8: and the bridge sleeps on');
$node->safe_psql('postgres',
	"SET auth_session.notify = off; SELECT auth.signin(email => 'a\@example.com', password => 'correct horse') IS NULL"
);
is($node->safe_psql('postgres', "SELECT count(*) $workers"),
	0, 'none stirs for one where auth_session.notify is off');
unlike(ask($listener, 'SELECT 1'),
	qr/auth_session_outbox/, 'and nobody is woken');
finish($listener);

# ---- several databases ----

my @databases = map { "d$_" } 1 .. 6;
$node->safe_psql('postgres', "CREATE DATABASE $_") foreach @databases;
Caller::extension($node, $_) foreach @databases;
my @calls = map {
	IPC::Run::start(
		[
			'psql', '-XAtq', '-h', $node->host, '-p', $node->port,
			'-c', "SELECT test.outcome(\$\$$wrong\$\$) FROM generate_series(1, 20)",
			$_ ],
		'>', '/dev/null')
} @databases;
$_->finish foreach @calls;
foreach my $database (@databases)
{
	ok( $node->poll_query_until($database,
			"SELECT count(*) = 20 FROM auth_admin.audit_log WHERE result = 'invalid_credentials'"
		),
		"20 failures in database $database are on record there");
}

# ---- it holds up nobody who changes the databases ----

foreach my $statement (
	'DROP DATABASE d1',
	'CREATE DATABASE d7 TEMPLATE d2')
{
	my ($database) = $statement =~ /(d[12])$/;

	Caller::call($node, $wrong, dbname => $database);
	is(Caller::call($node, $statement)->{error},
		'', "$statement right after a failure in it");
}

# The worker is at work on what has piled up in d3.
my $locker = stay('d3');
ask($locker, 'BEGIN; LOCK TABLE auth_private.audit_log');
Caller::call($node, "SET statement_timeout = '200ms';\n$wrong", dbname => 'd3')
  foreach 1 .. 5;
ask($locker, 'ROLLBACK');
is(Caller::call($node, 'DROP EXTENSION auth_session', dbname => 'd3')->{error},
	'', 'DROP EXTENSION while records are queued');
finish($locker);
$node->safe_psql('d3', 'CREATE EXTENSION auth_session');
# One of the five may have outlived the DROP in the queue: the new one is told
# by its user agent.
Caller::call($node, q{BEGIN; SET LOCAL request.headers = '{"user-agent": "again"}';} . "\n$wrong", dbname => 'd3');
is( audit_rows("result = 'invalid_credentials' AND user_agent = 'again'", dbname => 'd3'),
	1, 'and when it is created again it records again');

# A record whose database goes is given up, and holds up nothing.
$caller = stay('d4');
ask($caller, 'BEGIN; LOCK TABLE auth_private.audit_log');
Caller::call($node, $wrong, dbname => 'd4');
$log_start = -s $node->logfile;
$node->safe_psql('postgres', 'DROP DATABASE d4 WITH (FORCE)');
finish($caller);
$node->wait_for_log(qr/auth_session discarded 1 records of database \d+, which was dropped/, $log_start);
Caller::call($node, $wrong, dbname => 'd5');
is( audit_rows("result = 'invalid_credentials'", dbname => 'd5'),
	21, 'a record of a database that was dropped holds up no other database');

# ---- H8: a database that can't be connected to keeps its records ----

my $oid = $node->safe_psql('postgres', "SELECT oid FROM pg_database WHERE datname = 'd6'");
my $version = $node->data_dir . "/base/$oid/PG_VERSION";
$locker = stay('d6');
ask($locker, 'BEGIN; LOCK TABLE auth_private.audit_log');
Caller::call($node, "SET statement_timeout = '200ms';\n$wrong", dbname => 'd6');
rename $version, "$version.away" or die "cannot rename: $!";
$log_start = -s $node->logfile;
$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) $workers AND datname = 'd6'");
ask($locker, 'ROLLBACK');
finish($locker);
$node->wait_for_log(qr/auth_session cannot connect to database $oid, and keeps its records/, $log_start);
Caller::call($node, $wrong, dbname => 'd5');
is( audit_rows("result = 'invalid_credentials'", dbname => 'd5'),
	22, 'H8: which holds up no other database');
unlike(slurp_file($node->logfile, $log_start), qr/auth_session discarded/, 'H8: nothing is discarded');
rename "$version.away", $version or die "cannot rename: $!";
ok( $node->poll_query_until('d6',
		"SELECT count(*) = 21 FROM auth_admin.audit_log WHERE result = 'invalid_credentials'"),
	'H8: and what it kept is made when it can be');

# ---- a crash of the worker ----

$node->poll_query_until('postgres', "SELECT count(*) = 0 $workers");
Caller::call($node, $wrong);
my $pid = $node->safe_psql('postgres', "SELECT pid $workers AND datname = 'postgres'");
kill 'KILL', $pid;
$node->poll_query_until('postgres',
	"SELECT test.outcome(\$\$$wrong\$\$) = 'invalid_credentials' AND count(*) = 0
	 $workers AND pid = $pid")
  or die 'the server does not start again';
($session, $old) = used_token();
Caller::call($node, renew($old));
ends_soon($session, 'after kill -9 of the worker the next one records');

$node->stop;

# ---- without a free slot the one static worker serves all ----

my $crowded = Caller::server(
	'crowded',
	'max_worker_processes = 1',
	'max_logical_replication_workers = 0',
	'shared_preload_libraries = \'auth_session\'');
$crowded->safe_psql('postgres', <<'SQL');
CREATE DATABASE d1;
CREATE DATABASE d2;
SQL
Caller::extension($crowded, $_) foreach qw(d1 d2);
foreach my $round (1 .. 3)
{
	Caller::call($crowded, $wrong, dbname => $_) foreach qw(postgres d1 d2);
}
foreach my $database (qw(postgres d1 d2))
{
	ok( $crowded->poll_query_until($database,
			"SELECT count(*) = 3 FROM auth_admin.audit_log WHERE result = 'invalid_credentials'"
		),
		"without a free worker slot: database $database is served");
}
is(Caller::call($crowded, 'DROP DATABASE d1')->{error},
	'', 'and can be dropped');
# A dropped database is seen to also by a worker that serves others itself.
Caller::call($crowded, $wrong, dbname => 'd2');
$caller = stay('d2', $crowded);
ask($caller, 'BEGIN; LOCK TABLE auth_private.audit_log');
Caller::call($crowded, $wrong, dbname => 'd2');
$crowded->safe_psql('postgres', 'DROP DATABASE d2 WITH (FORCE)');
finish($caller);
$crowded->wait_for_log(qr/auth_session discarded \d records of database \d+, which was dropped/);
Caller::call($crowded, $wrong);
ok( $crowded->poll_query_until('postgres',
		"SELECT count(*) = 4 FROM auth_admin.audit_log WHERE result = 'invalid_credentials'"),
	'without a free worker slot: a dropped database holds up nobody');
$crowded->stop;

# ---- H8: without any worker at all ----

$crowded->append_conf('postgresql.conf', 'max_worker_processes = 0');
$log_start = -s $crowded->logfile;
$crowded->start;
like(slurp_file($crowded->logfile, $log_start),
	qr/auth_session records nothing: max_worker_processes is 0/,
	'H8: the log says at start that nothing is recorded');
ok( $crowded->poll_query_until('postgres', "SELECT test.outcome(\$\$$wrong\$\$) = 'busy'"),
	'H8: a failure that must be recorded is busy');
Caller::signup($crowded, 'b@example.com');
my @codes = map { $_->{code} } map { Caller::call($crowded, $wrong) } 1 .. 3;
is("@codes", 'busy busy busy', 'H8: and stays so');
is(() = slurp_file($crowded->logfile, $log_start) =~ /auth_session recorder is not running/g,
	1, 'H8: the log says so once a minute');
like(slurp_file($crowded->logfile, $log_start), qr/HINT:  Raise max_worker_processes/, 'H8: and what to set');
is( Caller::call($crowded,
		"SELECT (auth.signin(email => 'b\@example.com', password => 'correct horse')).token_type")->{value},
	'bearer', 'H10: the right password is taken');
$crowded->safe_psql('postgres', "SELECT auth.request_password_reset('b\@example.com')");
$mail = AuthSession::mailed($crowded, 'password_reset', 'b@example.com');
foreach my $code ($guess, $mail->{code})
{
	is(Caller::call($crowded, reset_with($code) =~ s/a\@/b\@/r)->{code},
		'busy', 'H8: no code is compared whose failure could not be counted');
}
is($crowded->safe_psql('postgres', "SELECT count(*) FROM auth_private.code_failures"),
	0, 'C5: what was not compared is not counted');
is(Caller::call($crowded, reset_with($mail->{link_token}) =~ s/a\@/b\@/r)->{error},
	'', 'H8: a link, which cannot be guessed, is');
$crowded->stop;
done_testing();
