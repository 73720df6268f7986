# A flood of the cheapest calls there are, from one client: it throttles that
# client and nobody else, in that database and no other, and writes a bounded
# number of rows. The last part does it where no proxy is trusted, and so no
# client is known. One psql can't show it: it takes several at once.
use strict;
use warnings;

use AuthSession ();
use Caller;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

use constant CALLS => 600_000;

my $node = Caller::server(
	'flood',
	'auth_session.rate_window = 1d',
	'auth_session.signup_rate_per_address = 20',
	'auth_session.max_waiting_hashes = 100',
	'auth_session.hash_wait = 60s');

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(other direct);
Caller::extension($node, $_) foreach qw(other direct);
$node->safe_psql('postgres', "ALTER DATABASE $_ SET auth_session.trusted_proxies = 1") foreach qw(postgres other);
foreach my $database (qw(postgres other direct))
{
	$node->safe_psql($database, <<'SQL');
-- From a client: what a call is answered.
CREATE FUNCTION test.from_client(client text, call text) RETURNS text LANGUAGE sql AS $$
	SELECT set_config('request.headers', json_build_object('x-forwarded-for', client)::text, true);
	SELECT test.outcome('SELECT auth.' || call);
$$;
-- So many calls of each kind from a client: how often what.
CREATE FUNCTION test.flood(client text, times int, calls text[]) RETURNS TABLE (answer text, number bigint) LANGUAGE sql AS $$
	SELECT test.from_client(client, format(calls[1 + n % array_length(calls, 1)], n)), count(*)
	FROM generate_series(1, times) AS n GROUP BY 1
$$;
-- Callers who know what they do, each from an address of its own: who is refused.
CREATE FUNCTION test.honest() RETURNS TABLE (call text, answer text) LANGUAGE sql AS $$
	SELECT call, answer FROM (
		SELECT call, test.from_client(format('198.51.100.%s', n), format(call, n)) AS answer
		FROM generate_series(1, 20) AS n, unnest(ARRAY['signin(''member%s@example.com'', ''correct horse'')',
			'signup(''new%s@example.com'', ''correct horse'')', 'request_password_reset(''member%s@example.com'')',
			'resend_confirmation(''somebody%s@example.com'')']) AS call) AS calls
	WHERE answer <> 'ok'
$$;
SELECT auth.signup(format('member%s@example.com', n), 'correct horse') FROM generate_series(1, 20) AS n;
SQL
}

# Rows that callers made, in a database.
sub rows
{
	my ($database) = @_;

	return $node->safe_psql($database,
		'SELECT (SELECT count(*) FROM auth_private.audit_log) + (SELECT count(*) FROM auth_private.codes)
			+ (SELECT count(*) FROM auth_private.outbox) + (SELECT count(*) FROM auth_private.accounts)');
}

# Two at once; the answers, how many rows and how long.
sub flood
{
	my ($database, $client, @calls) = @_;
	my $list = join ', ', map { AuthSession::quoted($_) } @calls;
	my $half = CALLS / 2;
	my $before = rows($database);
	my $began = time;
	my %answers;
	my @outs = ('', '');
	my @runs = map {
		my $out = \$outs[$_];

		IPC::Run::start(
			[
				'psql', '-XAtq', '-h', $node->host, '-p', $node->port, '-c',
				"SELECT * FROM test.flood('$client', $half, ARRAY[$list])", $database ],
			'>', $out)
	} 0, 1;
	$_->finish foreach @runs;
	foreach my $line (map { split /\n/ } @outs)
	{
		my ($answer, $number) = split /\|/, $line;
		$answers{$answer} += $number;
	}
	return (\%answers, rows($database) - $before, time - $began);
}

sub nobody_is_refused
{
	my ($database, $what) = @_;

	is($node->safe_psql($database, 'SELECT * FROM test.honest()'), '', "H9: $what: nobody else is refused");
	return;
}

# ---- from one client ----

my ($answers, $rows, $seconds) = flood('postgres', '203.0.113.1',
	q{signup('bad%s@example.com', 'baseball')},
	q{signin('nobody%s@example.com', 'correct horse')},
	q{signin('member1@example.com', NULL)},
	q{resend_confirmation('flood%s@example.com')},
	q{request_password_reset('flood%s@example.com')},
	q{confirm('flood%s@example.com', '123456')},
	q{renew('asr1_%s')},
	q{signin_totp('asm1_%s', '123456')},
	q{logout(refresh_token => 'asr1_%s')});
my $passed = 0;
$passed += $answers->{$_} foreach grep { $_ ne 'throttled' } keys %$answers;
note(sprintf '%d calls in %.1f s: %d came through, %d rows', CALLS, $seconds, $passed, $rows);
is($passed + $answers->{throttled}, CALLS, 'the calls are made');
cmp_ok($passed, '<=', 302, "H9: of them $passed came to anything");
cmp_ok($rows, '<=', 3 * 302, "H9: and $rows rows were written");
is($node->safe_psql('postgres', "SELECT test.from_client('203.0.113.1', 'signin()')"),
	'throttled', 'H9: that client is refused');
nobody_is_refused('postgres', 'a flood from one client');
nobody_is_refused('other', 'a flood in another database');

# ---- where no proxy is trusted ----

($answers, $rows, $seconds) = flood('direct', '203.0.113.1',
	q{signup('bad%s@example.com', 'baseball')},
	q{signin('member1@example.com', NULL)},
	q{confirm(NULL, NULL)}, q{renew('asr1_%s')});
note(sprintf '%d calls in %.1f s: %d rows; %s', CALLS, $seconds, $rows,
	join ', ', map { "$_ $answers->{$_}" } sort keys %$answers);
is($rows, 0, 'H9: bad arguments write no row');
nobody_is_refused('direct', 'a flood from nobody knows where');

$node->stop;
done_testing();
