# Below the limits the right password is neither refused nor counted, whatever
# comes between it and its session; only one that was compared and is wrong is
# a failure. And nothing of it stays in the memory of a backend. One psql can't
# show it: it takes callers at once, cancelled and killed ones, a server that
# has no memory left, and a look into that memory.
use strict;
use warnings;
no warnings qw(portable);

use AuthSession ();
use Caller;
use DBD::Pg ':async';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant RATE => 3;

my $node = Caller::server(
	'right_password',
	'auth_session.rate_window = 1d',
	'auth_session.signin_rate_per_account = ' . RATE,
	'auth_session.trusted_proxies = 1',
	'auth_session.max_concurrent_hashes = 1',
	'auth_session.max_waiting_hashes = 100',
	'auth_session.hash_wait = 60s');

sub statement
{
	my ($email, $password) = @_;
	return "SELECT (auth.signin(email => '$email', password => '$password')).token_type";
}

sub right { return statement($_[0], 'correct horse') }
sub wrong { return statement($_[0], 'wrong horse') }

# A session that stays, with a statement under way.
sub start
{
	my ($sql, @settings) = @_;
	my $dbh = AuthSession::sql_connect($node);

	$dbh->do($_) foreach @settings;
	my ($pid) = $dbh->selectrow_array('SELECT pg_backend_pid()');
	$dbh->do($sql, { pg_async => PG_ASYNC }) if defined $sql;
	return { dbh => $dbh, pid => $pid };
}

# What it is answered: ok, the code of the failure, or the SQLSTATE.
sub answer
{
	my ($session) = @_;
	my $dbh = $session->{dbh};

	# That a statement was cancelled a newer DBD::Pg tells by the state alone.
	return $dbh->state || 'ok' if eval { $dbh->pg_result; 1 };
	my $detail = $dbh->errstr // '';
	return $1 if $detail =~ /^DETAIL:\s+(\S+)$/m;
	return $dbh->state;
}

# Until a backend waits for a place in the gate, or anything of that name.
sub until_it_waits
{
	my ($session, $event) = @_;

	$event //= 'wait_event_type = \'Extension\'';
	$node->poll_query_until('postgres',
		"SELECT $event FROM pg_stat_activity WHERE pid = $session->{pid}")
	  or die 'it does not wait';
	return;
}

# A sign-in that computes long, and has the only place: of somebody else.
my @slow = ('SET auth_session.argon2_memory = 65536', 'SET auth_session.argon2_iterations = 64');

sub occupy
{
	my ($sql) = @_;
	my $session = start($sql // wrong('nobody' . rand() . '@example.com'), @slow);

	$node->poll_query_until('postgres',
		"SELECT state = 'active' FROM pg_stat_activity WHERE pid = $session->{pid}");
	while (!$session->{dbh}->pg_ready)
	{
		return $session if slurp_file("/proc/$session->{pid}/status") =~ /^RssAnon:\s+(\d+)/m && $1 > 32768;
	}
	die 'no hash is computed';
}

# After what was to count for nothing: one less than the limit may still fail,
# and the right password is taken after them.
sub nothing_counted
{
	my ($email, $what) = @_;

	is(Caller::call($node, wrong($email))->{code}, 'invalid_credentials', "H10: $what: nothing was counted ($_)")
	  foreach 1 .. RATE - 1;
	is(Caller::call($node, right($email))->{value}, 'bearer', "H10: $what: and the right password is taken");
	return;
}

Caller::signup($node, "$_\@example.com")
  foreach qw(crowd lock timeout cancel memory serial flight wrong fatal matched);

# ---- 25 at once ----

$node->safe_psql('postgres', "ALTER SYSTEM SET auth_session.signin_rate_per_account = 10");
$node->reload;
my %answers = Caller::at_once($node, 25, 'test.outcome($$' . right('crowd@example.com') . '$$)');
my $in = $answers{ok} // 0;
is($in + ($answers{busy} // 0), 25, "H10: of 25 right ones at once $in are in, the rest is put off");
cmp_ok($in, '>=', 10, 'H10: as many as may fail are in, at least');
$node->safe_psql('postgres', "ALTER SYSTEM SET auth_session.signin_rate_per_account = " . RATE);
$node->reload;
is(Caller::call($node, right('crowd@example.com'))->{value}, 'bearer', "H10: a repeat is in ($_)")
  foreach 1 .. 25 - $in;
nothing_counted('crowd@example.com', '25 at once');

# ---- tries in flight are told apart from failures ----

my $place = occupy();
my @tries = map { start(right('flight@example.com')) } 1 .. RATE;
until_it_waits($_) foreach @tries;
my $got = Caller::call($node, right('flight@example.com'));
is("$got->{state} $got->{code} $got->{hint}", 'PT429 busy 1', 'H10: beside as many tries as may fail one is put off');
$got = Caller::call($node, wrong('flight@example.com'));
is($got->{code}, 'busy', 'B5: and so is a wrong one, unlooked at');
is(answer($_), 'ok', 'H10: the tries turn out right') foreach @tries;
nothing_counted('flight@example.com', 'tries in flight');
answer($place);

# ---- who is put off has failed at nothing ----

$place = occupy();
my $client = Caller::from('192.0.2.77') . "SET LOCAL auth_session.refusal_rate_per_address = 1;\n";
is(Caller::call($node, "${client}SET auth_session.hash_wait = '10ms';\n" . right('flight@example.com'))->{code},
	'busy', "H10: put off for want of a place, spends neither tries nor a client's refusals ($_)")
  foreach 1 .. RATE + 1;
answer($place);
is(Caller::call($node, $client . right('flight@example.com'))->{value}, 'bearer', 'H10: and is in when there is one');

$place = occupy();
@tries = map { start(wrong('wrong@example.com')) } 1 .. RATE;
until_it_waits($_) foreach @tries;
is(Caller::call($node, right('wrong@example.com'))->{code}, 'busy', 'H10: while wrong ones are not found wrong, it is put off');
is(answer($_), 'invalid_credentials', 'they turn out wrong') foreach @tries;
$got = Caller::call($node, right('wrong@example.com'));
is($got->{code}, 'throttled', 'B4: and then it is throttled');
cmp_ok($got->{hint}, '>', 1, 'for the window');
answer($place);

# ---- a statement timeout, a cancel, the end of the backend, in the gate ----

$place = occupy();
@tries = map { start(right('timeout@example.com'), "SET statement_timeout = '50ms'") } 1 .. RATE;
is(answer($_), '57014', 'H10: a statement timeout in the gate passes as it is') foreach @tries;
answer($place);
nothing_counted('timeout@example.com', 'a statement timeout');

$place = occupy();
@tries = map { start(wrong('cancel@example.com')) } 1 .. RATE;
until_it_waits($_) foreach @tries;
$node->safe_psql('postgres', "SELECT pg_cancel_backend($_->{pid})") foreach @tries;
is(answer($_), '57014', 'H9: a cancelled call that computed no hash') foreach @tries;
answer($place);
nothing_counted('cancel@example.com', 'a cancel');

$place = occupy();
@tries = map { start(wrong('fatal@example.com')) } 1 .. RATE;
until_it_waits($_) foreach @tries;
$node->safe_psql('postgres', "SELECT pg_terminate_backend($_->{pid}, 60000)") foreach @tries;
answer($place);
nothing_counted('fatal@example.com', 'a backend that ends');

# A cancel after the comparison buys nothing: the guess counts.
foreach (1 .. RATE)
{
	my $guess = occupy(wrong('guessed@example.com'));

	$node->safe_psql('postgres', "SELECT pg_cancel_backend($guess->{pid})");
	answer($guess);
}
is(Caller::call($node, wrong('guessed@example.com'))->{code}, 'throttled', 'H9: a guess that is cancelled while it is compared counts');

# ---- a row lock that is not had within lock_wait ----

my $holder = start(undef);
$holder->{dbh}->do('BEGIN');
$holder->{dbh}->do("SELECT FROM auth_private.accounts WHERE email = 'lock\@example.com' FOR UPDATE");
foreach (1 .. RATE + 1)
{
	$got = Caller::call($node, "SET auth_session.lock_wait = '20ms';\n" . right('lock@example.com'));
	like($got->{code}, qr/^(busy)?$/, 'H10: somebody else\'s lock refuses nobody');
}
$holder->{dbh}->do('ROLLBACK');
nothing_counted('lock@example.com', 'a row lock');

# A password that matched is no try any more, whatever its session waits for.
$holder->{dbh}->do('BEGIN');
$holder->{dbh}->do('LOCK TABLE auth_private.sessions');
@tries = map { start(right('matched@example.com'), q{SET auth_session.lock_wait = '60s'}) } 1 .. RATE;
until_it_waits($_, "wait_event_type = 'Lock'") foreach @tries;
is(Caller::call($node, wrong('matched@example.com'))->{code}, 'invalid_credentials', 'H10: a match gives its try back at once');
$holder->{dbh}->do('ROLLBACK');
is(answer($_), 'ok', 'H10: (and is in)') foreach @tries;

# ---- SERIALIZABLE ----

foreach (1 .. RATE + 1)
{
	$holder->{dbh}->do('BEGIN');
	$holder->{dbh}->do("UPDATE auth_private.accounts SET info = info WHERE email = 'serial\@example.com'");
	my $try = start(undef);
	$try->{dbh}->do('BEGIN ISOLATION LEVEL SERIALIZABLE');
	$try->{dbh}->do('SELECT 1');
	$try->{dbh}->do(right('serial@example.com'), { pg_async => PG_ASYNC });
	$node->poll_query_until('postgres',
		"SELECT wait_event_type = 'Lock' OR state <> 'active' FROM pg_stat_activity WHERE pid = $try->{pid}");
	$holder->{dbh}->do('COMMIT');
	like(answer($try), qr/^(40001|busy|ok)$/, 'H10: a serialization failure is one');
}
nothing_counted('serial@example.com', 'a serialization failure');

# ---- no memory for the hash ----

SKIP:
{
	skip 'no prlimit here', 7 if system('prlimit --version >/dev/null 2>&1') != 0;

	my $poor = start(undef);
	my ($size) = slurp_file("/proc/$poor->{pid}/status") =~ /^VmSize:\s+(\d+) kB/m;
	my $outcome = sub {
		return $poor->{dbh}->selectrow_array('SELECT test.outcome($1)', {}, right('memory@example.com'));
	};

	$outcome->();
	($size) = slurp_file("/proc/$poor->{pid}/status") =~ /^VmSize:\s+(\d+) kB/m;
	system('prlimit', '--pid', $poor->{pid}, '--as=' . ($size + 3072) * 1024 . ':') == 0 or die 'prlimit failed';
	is($outcome->(), 'busy', 'H10: without memory for the hash the service is busy') foreach 1 .. RATE + 1;
	system('prlimit', '--pid', $poor->{pid}, '--as=unlimited:') == 0 or die 'prlimit failed';
	is($outcome->(), 'ok', 'H10: with it the password is right');
	nothing_counted('memory@example.com', 'no memory');
}

# ---- nothing of a password stays in the backend's memory ----

# The server has what was typed, in its own copies of the statement; what is
# normalised (NFC) is only ours.
my $typed = "U&'cafe\\0301 noir a la menthe'";
my $ours = "caf\x{c3}\x{a9} noir a la menthe";

# How often a text is in the memory of a process; -1 where nobody may look.
sub times_in_memory
{
	my ($pid, $text) = @_;
	my $times = 0;

	open my $maps, '<', "/proc/$pid/maps" or return -1;
	open my $memory, '<:raw', "/proc/$pid/mem" or return -1;
	while (my $line = <$maps>)
	{
		my ($from, $to, $path) = $line =~ /^([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ \S+\s*(.*)$/ or next;
		next if $path =~ m{^/dev/(zero|shm)|^/SYSV|\(deleted\)};
		my $bytes = '';
		sysseek $memory, hex $from, 0 or next;
		sysread $memory, $bytes, hex($to) - hex($from);
		$times += () = $bytes =~ /\Q$text\E/g;
	}
	return $times;
}

my $seen = start(undef);
my $dbh = $seen->{dbh};
SKIP:
{
	skip 'the memory of a process is closed here', 13 if times_in_memory($seen->{pid}, 'x') < 0;

	$dbh->do(q{SELECT set_config('test.canary', U&'caf\00E9 noir a la menthe', false)});
	cmp_ok(times_in_memory($seen->{pid}, $ours), '>', 0, '(what is there is found)');
	$dbh->do('RESET test.canary');
	$dbh->disconnect;

	my @calls = (
		'a sign-up' => "SELECT auth.signup('wiped\@example.com', $typed)",
		'a sign-in' => "SELECT auth.signin('wiped\@example.com', $typed)",
		'a refused sign-in' => "SELECT auth.signin('nobody\@example.com', $typed)",
		'a sign-in that its caller aborts' => "SELECT (auth.signin('wiped\@example.com', $typed)).token_type::int",
		'a sign-up that is refused' => "SELECT auth.signup('wiped\@example.com', $typed, 'no phone')",
		'a sign-in that is cancelled' => undef);

	my %calls = @calls;
	foreach my $what (grep { exists $calls{$_} } @calls)
	{
		my $session = start(undef);
		if (defined $calls{$what})
		{
			my $done = eval { $session->{dbh}->do($calls{$what}) };

			is(!$done, $what =~ /refused|aborts/, "($what)");
		}
		else
		{
			my $busy = occupy();
			$session->{dbh}->do("SET statement_timeout = '50ms'");
			eval { $session->{dbh}->do($calls{'a sign-in'}) };
			is($session->{dbh}->state, '57014', '(cancelled)');
			answer($busy);
		}
		is(times_in_memory($session->{pid}, $ours), 0, "secrets are zeroed after $what");
	}
}

$node->stop;
done_testing();
