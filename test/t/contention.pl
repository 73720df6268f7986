# Many at once, at every isolation level, where one psql can't be many: a code
# used by fifty, a refresh token renewed by a hundred, sign-ins beyond the most
# sessions; then every flow over few accounts for a while, with the token cache
# emptied meanwhile: no deadlock, no error but the documented ones, nothing
# left that should not be.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
max_connections = 150
deadlock_timeout = 100ms
log_line_prefix = '%m [%p] %e '
log_error_verbosity = verbose
auth_session.max_waiting_hashes = 1000
auth_session.hash_wait = 60s
auth_session.lock_wait = 30s
auth_session.signin_rate_per_account = 0
auth_session.message_rate_per_account = 0
auth_session.resend_cooldown = 0
CONF
my $database = 'postgres';
my @levels = ('read committed', 'repeatable read', 'serializable');

# How often each SQLSTATE was answered.
sub tally
{
	my %times;

	$times{ $_->[0] }++ foreach @_;
	return \%times;
}

# The states that were answered, but for those given.
sub others
{
	my ($answers, @expected) = @_;
	my %times = %{ tally(@$answers) };

	delete @times{@expected};
	return join ' ', map { "$_ x $times{$_}" } sort keys %times;
}

sub value
{
	my ($sql) = @_;

	return $node->safe_psql($database, $sql);
}

# ---- the first callers of all ----

foreach my $level (@levels)
{
	my $fresh = 'fresh_' . substr $level, 0, 4;
	value("CREATE DATABASE $fresh");
	value("ALTER DATABASE $fresh SET auth_session.require_confirmation = none");
	$node->safe_psql($fresh, 'CREATE EXTENSION auth_session');
	my @answers = at_once($node, 40, <<'SQL', [$PASSWORD], level => $level, dbname => $fresh);
SELECT t.access_token, t.refresh_token
FROM auth.signup(gen_random_uuid() || '@example.org', $1) AS a, auth.signin(a.email, $1) AS t
SQL
	my @tokens = grep { $_->[0] eq '00000' } @answers;
	my $dbh = sql_connect($node, dbname => $fresh);
	my $good = grep {
		my ($state, $access, $refresh) = @$_;
		eval {
			$dbh->do('SELECT auth.verify($1)', {}, $access);
			$dbh->do('SELECT auth.renew($1)', {}, $refresh);
		};
	} @tokens;

	cmp_ok($good, '>', 0, "B10: the first callers make the keys, $level");
	is($good, scalar @tokens, "of one set: every token is good, $level");
	is(others(\@answers, '00000', $level =~ /^read/ ? () : '40001'),
		'', "and none is told of another, $level");
	is($dbh->selectrow_array('SELECT (SELECT count(*) FROM auth_private.mac_keys) * 10
			+ (SELECT count(*) FROM auth_private.signing_keys)'),
		11, "one MAC key and one signing key, $level");
	$dbh->disconnect;
}

# ---- a code ----

my $number = 0;
foreach my $level (@levels)
{
	foreach my $what ('code', 'link_token')
	{
		my $email = 'code' . ++$number . '@example.org';
		my $dbh = sql_connect($node);

		$dbh->do('SELECT auth.signup($1, $2)', {}, $email, $PASSWORD);
		my $mail = mailed($node, 'confirm_email', $email);
		my @answers = at_once($node, 50, 'SELECT status FROM auth.confirm($1, $2, $3)',
			[ $email, $mail->{$what}, $PASSWORD ],
			level => $level);
		is(tally(@answers)->{'00000'},
			1, "C1: of fifty confirmations by one $what one succeeds, $level");
		is(others(\@answers, qw(00000 PT422 PT409 PT429), $level =~ /^read/ ? () : '40001'),
			'', "C1: the others by one $what get a documented answer, $level");
		$dbh->disconnect;
	}

	my $email = 'reset' . ++$number . '@example.org';
	account($node, $email);
	my $session = signin($node, $email);
	value('SELECT auth.request_password_reset(' . quoted($email) . ')');
	my $mail = mailed($node, 'password_reset', $email);
	my @answers = at_once($node, 50,
		'SELECT auth.reset_password(code => $1, new_password => $2)',
		[ $mail->{link_token}, 'another password' ],
		level => $level);
	is(tally(@answers)->{'00000'},
		1, "C1: of fifty resets by one link token one succeeds, $level");
	is(others(\@answers, qw(00000 PT422), $level =~ /^read/ ? () : '40001'),
		'', "C1: the others get a documented answer, $level");
	refused($node, 'SELECT auth.renew(' . quoted($session->{refresh_token}) . ')',
		'session_revoked', "the session of before is gone, $level");
}

# ---- a refresh token ----

foreach my $level (@levels)
{
	my $email = 'renew' . ++$number . '@example.org';
	account($node, $email);
	my $tokens = signin($node, $email);
	my @answers = at_once($node, $level =~ /^read/ ? 100 : 30,
		'SELECT refresh_token, auth.verify(access_token) ->> \'jti\' FROM auth.renew($1)',
		[ $tokens->{refresh_token} ],
		level => $level);
	my %successors = map { join(' ', @{$_}[ 1, 2 ]) => 1 }
	  grep { $_->[0] eq '00000' } @answers;

	is(others(\@answers, '00000', $level =~ /^read/ ? () : '40001'),
		'', "E5: many renewals of one refresh token at once, $level");
	is(scalar(keys %successors), 1, "E5: one successor and one jti, $level");
	my ($successor) = split / /, (keys %successors)[0];
	is( value('SELECT session_id FROM auth.renew(' . quoted($successor) . ')'),
		$tokens->{session_id},
		"E5: with which the session goes on, $level");
}

# ---- sessions beyond the most ----

value('ALTER SYSTEM SET auth_session.max_sessions_per_user = 3');
$node->reload;
foreach my $level (@levels)
{
	my $email = 'most' . ++$number . '@example.org';
	my $id = account($node, $email);
	my @answers = at_once($node, $level =~ /^read/ ? 50 : 20,
		'SELECT access_token FROM auth.signin($1, $2)',
		[ $email, $PASSWORD ],
		level => $level);
	my $live = grep { verifies($_->[1]) } grep { $_->[0] eq '00000' } @answers;
	my $left = value("SELECT count(*) FROM auth_private.sessions WHERE user_id = '$id'");

	is(others(\@answers, '00000', $level =~ /^read/ ? () : '40001'),
		'', "D12: many sign-ins at once, $level");
	# One that was told to try again leaves room, at the higher levels.
	cmp_ok($left, $level =~ /^read/ ? '==' : '<=',
		3, "D12: three sessions are left at most, $level");
	is($live, $left, "D12: each with its live access token, $level");
}
value('ALTER SYSTEM RESET auth_session.max_sessions_per_user');
$node->reload;

sub verifies
{
	my ($token) = @_;
	my ($status) =
	  $node->psql($database, 'SELECT auth.verify(' . quoted($token) . ')');

	return $status == 0;
}

# ---- everything at once ----

# One of the flows, for one of few accounts; every failure but a documented
# one ends the client. Addresses and phones are claimed crosswise, so that two
# sign-ups claim the same two.
$node->safe_psql($database, <<'SQL');
CREATE TABLE issued (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, access_token text, refresh_token text);
CREATE TABLE mail (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, recipient text, code text, link text);
CREATE TABLE said (flow text, failure text);
CREATE FUNCTION a_flow() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	flows text[] := ARRAY['signup', 'signup', 'confirm', 'confirm', 'resend', 'signin', 'signin', 'signin', 'renew',
		'renew', 'renew', 'retry', 'logout', 'logout_all', 'change', 'forgot', 'reset', 'info', 'verify',
		'sessions', 'mail', 'mail', 'prune', 'truncate', 'reuse'];
	flow text := flows[1 + floor(random() * cardinality(flows))];
	email text := format('u%s@example.net', floor(random() * 4));
	phone text := format('+4917000000%s', floor(random() * 4));
	passwords text[] := ARRAY['the first password', 'the second password'];
	password text := passwords[1 + floor(random() * 2)];
	given issued;
	sent mail;
	failure text;
BEGIN
	SELECT * INTO given FROM issued ORDER BY n DESC OFFSET floor(random() * 12) LIMIT 1;
	-- Early on there is nothing to go by: then NULL is refused.
	SELECT * INTO sent FROM mail WHERE kind ~ CASE flow WHEN 'reset' THEN 'password_reset' ELSE 'confirm_' END
		ORDER BY n DESC OFFSET floor(random() * 4) LIMIT 1;
	IF flow IN ('logout_all', 'change', 'info', 'sessions') THEN
		PERFORM auth.authenticate(given.access_token);
	END IF;
	CASE flow
		WHEN 'signup' THEN
			PERFORM auth.signup(email, password, CASE WHEN random() < 0.5 THEN phone END);
		WHEN 'confirm' THEN
			IF random() < 0.5 THEN
				PERFORM auth.confirm(code => sent.link, password => password);
			ELSE
				PERFORM auth.confirm(sent.recipient, sent.code, password);
			END IF;
		WHEN 'resend' THEN
			PERFORM auth.resend_confirmation(CASE WHEN random() < 0.5 THEN email ELSE phone END);
		WHEN 'signin' THEN
			INSERT INTO issued (access_token, refresh_token)
				SELECT access_token, refresh_token FROM auth.signin(email, password);
		WHEN 'renew' THEN
			INSERT INTO issued (access_token, refresh_token)
				SELECT access_token, refresh_token FROM auth.renew(given.refresh_token);
		WHEN 'retry' THEN
			PERFORM auth.renew(given.refresh_token);
			PERFORM auth.renew(given.refresh_token);
		WHEN 'reuse' THEN
			SELECT * INTO given FROM issued ORDER BY n OFFSET floor(random() * 20) LIMIT 1;
			PERFORM auth.renew(given.refresh_token);
		WHEN 'logout' THEN PERFORM auth.logout(refresh_token => given.refresh_token);
		WHEN 'logout_all' THEN PERFORM auth.logout_all(random() < 0.5);
		WHEN 'change' THEN PERFORM auth.change_password(password, passwords[1 + floor(random() * 2)]);
		WHEN 'forgot' THEN PERFORM auth.request_password_reset(email);
		WHEN 'reset' THEN PERFORM auth.reset_password(code => sent.link, new_password => password);
		WHEN 'info' THEN PERFORM auth.update_info('{"a": 1}');
		WHEN 'verify' THEN PERFORM auth.verify(given.access_token);
		WHEN 'sessions' THEN PERFORM auth.sessions();
		WHEN 'mail' THEN
			WITH claimed AS MATERIALIZED (SELECT * FROM auth_admin.claim_notifications(100, '1 hour')),
				noted AS (INSERT INTO mail (kind, recipient, code, link)
					SELECT c.kind, c.recipient, c.payload ->> 'code', c.payload ->> 'link_token' FROM claimed AS c
					RETURNING n)
			SELECT auth_admin.settle_notifications(ARRAY(SELECT id FROM claimed)) INTO failure;
		WHEN 'prune' THEN PERFORM auth_admin.prune(100);
		WHEN 'truncate' THEN TRUNCATE auth_private.token_cache;
	END CASE;
	INSERT INTO said VALUES (flow);
EXCEPTION
	WHEN SQLSTATE 'PT400' OR SQLSTATE 'PT401' OR SQLSTATE 'PT403' OR SQLSTATE 'PT409' OR SQLSTATE 'PT422'
		OR SQLSTATE 'PT405' OR SQLSTATE 'PT429' THEN
		GET STACKED DIAGNOSTICS failure = PG_EXCEPTION_DETAIL;
		INSERT INTO said VALUES (flow, failure);
END $$;
SQL

my $log = -s $node->logfile;
my $script = $node->basedir . '/flow.sql';
append_to_file($script, "SELECT a_flow();\n");
my ($out, $err);
my $ran = IPC::Run::run(
	[ 'pgbench', '-n', '-c', '12', '-j', '2', '-T', '15', '-f', $script,
		'-h', $node->host, '-p', $node->port, $database ],
	'>', \$out, '2>', \$err);
ok($ran, 'every flow beside every other: no client met an error that is not documented')
  or diag($err);

my $flows = value(q{SELECT string_agg(format('%s %s: %s', flow, coalesce(failure, 'ok'), times), ', '
	ORDER BY flow, failure) FROM (SELECT flow, failure, count(*) AS times FROM said GROUP BY 1, 2) AS s});
note($flows);
is(value(q{SELECT count(DISTINCT flow) FROM said WHERE failure IS NULL
		AND flow IN ('signup', 'confirm', 'signin', 'renew', 'retry', 'logout', 'prune', 'truncate')}),
	8, 'the flows succeeded, now and then')
  or diag($flows);
# A change or a sign-in beside changes of the same password may be told to look
# again: no hash is computed while the account's row is held.
is(value(q{SELECT count(*) FROM said WHERE failure IN ('busy', 'read_only', 'throttled')
		AND NOT (flow IN ('change', 'signin') AND failure = 'busy')}),
	0, 'nobody was told busy but for a password that was changing')
  or diag($flows);
is(value('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'),
	0, 'no deadlock was detected, not one that was told as busy either');
my $lines = slurp_file($node->logfile, $log);
unlike($lines, qr/ (XX000|40P01|40001|55P03|23505|57P0\d) |PANIC|TRAP|terminated by signal/,
	'the log has no internal error, deadlock, serialization failure or crash');

# What is left is whole.
is(value('SELECT count(*) FROM auth_private.token_cache AS c LEFT JOIN auth_private.sessions AS s
		ON s.user_id = c.user_id AND s.id = c.session_id WHERE s.id IS NULL OR s.jti <> c.jti'),
	0, 'each row of the token cache is of a session, and its access token');
is(value('SELECT count(*) FROM auth_private.sessions AS s JOIN auth_private.accounts AS a ON a.id = s.user_id
		WHERE a.status <> \'active\''),
	0, 'each session is of an active account');
value('SELECT auth_admin.prune()');
is(value('SELECT count(*) FROM (SELECT identifier FROM auth_private.identifiers WHERE NOT owned
		GROUP BY identifier HAVING count(*) > 3) AS i'),
	0, 'prune leaves three pending accounts at most that claim an address');
is(value('SELECT count(*) FROM auth_private.identifiers AS i LEFT JOIN auth_private.accounts AS a
		ON a.id = i.user_id WHERE a.id IS NULL'),
	0, 'each identifier is of an account');
is(value('SELECT count(*) FROM auth_private.accounts AS a WHERE NOT EXISTS (
		SELECT FROM auth_private.identifiers AS i WHERE i.user_id = a.id)'),
	0, 'each account has an identifier');
is(value('SELECT count(*) FROM auth_private.codes AS c JOIN auth_private.accounts AS a ON a.id = c.user_id
		WHERE a.status = \'active\' AND c.purpose LIKE \'confirm%\' AND NOT EXISTS (
			SELECT FROM auth_private.identifiers AS i WHERE i.user_id = c.user_id AND i.identifier = c.identifier
				AND NOT i.owned)'),
	0, 'no code confirms what is confirmed');

$node->stop;
done_testing();
