# API keys where one psql can't show it: through the statements that PostgREST
# sends, on several connections of its pool and on a standby; what ends them
# while others hold the rows (H7); when they were last used; and that no log
# has one (G3).
use strict;
use warnings;
use AuthSession;
use MIME::Base64;
use PostgREST;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes 'usleep';

# Whoever waits for a lock would wait for longer than the test does.
my $node = new_node('primary',
	init => [ allows_streaming => 1 ],
	conf => <<'CONF');
max_prepared_transactions = 10
auth_session.api_keys = on
auth_session.lock_wait = 60s
auth_session.signin_rate_per_account = 0
auth_session.resend_cooldown = 0
auth_session.message_rate_per_account = 0
auth_session.max_api_keys_per_user = 1000
log_statement = all
log_min_duration_statement = 0
log_parameter_max_length_on_error = -1
CONF
my $database = 'postgres';

PostgREST::roles($node);
$node->safe_psql($database, <<'SQL');
CREATE TABLE public.notes (owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.notes USING (owner = auth.uid());
GRANT SELECT, INSERT ON public.notes TO authenticated;
SQL
account($node, 'ada@example.org');
account($node, 'bob@example.org');
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;

my ($rest, $other) = map { PostgREST->new($node) } 1, 2;
my $far = PostgREST->new($standby);

sub outcome { return PostgREST::outcome(@_) }

# A key of a user, made through PostgREST.
sub key_of
{
	my ($email, %body) = @_;
	my $answer = $rest->request(rpc => 'create_api_key',
		token => signin($node, $email)->{access_token},
		body => { name => 'test', %body });

	die outcome($answer) unless $answer->{status} == 200;
	return $answer->{body};
}

# What a GET with a key is answered.
sub get
{
	my ($connection, $key, %option) = @_;

	return $connection->request(rpc => 'uid', kind => 'scalar', read_only => 1,
		headers => { apikey => $key }, %option);
}

sub make_sql { return "SELECT id, key FROM auth.create_api_key('test')"; }

# Everybody's stays for minutes.
sub folded
{
	my ($name) = @_;
	return ok($node->poll_query_until($database,
			'SELECT count(*) = 0 FROM auth_private.revocations WHERE made_before IS NULL'), $name);
}

# Waits for a condition while requests come in: of everybody's revocation it is
# they that wake the recorder.
sub comes_true
{
	my ($condition, $of) = @_;

	foreach my $try (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $node->safe_psql($database, $condition) eq 't';
		get($other, $of);
		usleep(100_000);
	}
	return 0;
}

# ---- requests ----

my $key = key_of('ada@example.org', scopes => ['notes']);
my $bob = key_of('bob@example.org');
my $ada_id = $node->safe_psql($database, "SELECT id FROM auth_private.accounts WHERE email = 'ada\@example.org'");
my $bob_id = $node->safe_psql($database, "SELECT id FROM auth_private.accounts WHERE email = 'bob\@example.org'");

is(get($rest, $key->{key})->{body}, $ada_id, 'GET /rpc/uid with a key');
is($rest->request(table => 'notes', insert => 'mine', headers => { 'x-api-key' => $key->{key} })->{status}, 200, 'POST /notes with a key');
is_deeply($other->request(table => 'notes', read_only => 1, headers => { authorization => "Token $key->{key}" })->{body},
	[ { owner => $ada_id, body => 'mine' } ], 'GET /notes of another connection shows it to the key\'s user');
is_deeply($other->request(table => 'notes', read_only => 1, headers => { apikey => $bob->{key} })->{body}, [], 'and to nobody else');
is($rest->request(table => 'notes', method => 'HEAD', headers => { apikey => $key->{key} })->{status}, 200, 'HEAD /notes');
is($rest->request(rpc => 'has_scope', kind => 'scalar', form => 1, body => { scope => 'notes' }, headers => { apikey => $key->{key} })->{body}, 1, 'a form posted');
is(outcome($rest->request(table => 'notes', read_only => 1)), '42501 ' . 'ERROR:  permission denied for table notes', 'the next request without a key has no right')
  or diag('the role of a key must end with its request');
is(outcome($rest->request(rpc => 'create_api_key', body => { name => 'n' }, headers => { apikey => $key->{key} })), '403 reauthentication_required', 'POST /rpc/create_api_key');

# Pooled: who asks changes with every request, and so does the answer.
{
	my %expected = (ada => $ada_id, bob => $bob_id);
	my $session = signin($node, 'bob@example.org')->{access_token};
	my @kinds = (
		[ $ada_id, headers => { apikey => $key->{key} } ],
		[ $bob_id, headers => { authorization => 'Basic ' . encode_base64("$bob->{key}:", '') } ],
		[ $bob_id, token => $session ],
		[ undef ],
		[ undef, headers => { apikey => 'not ours' } ],
		[ 'invalid_token', headers => { apikey => 'ask1_bad' } ]);
	my $wrong = 0;
	my $random = 42;

	foreach my $i (1 .. 1000)
	{
		$random = ($random * 1103515245 + 12345) % 2147483648;
		my ($wanted, %option) = @{ $kinds[ ($random >> 8) % @kinds ] };
		my $answer = ($i % 2 ? $rest : $other)->request(rpc => 'uid', kind => 'scalar', read_only => $random & 65536, %option);
		my $got = $answer->{code} // $answer->{body};

		$wrong++ if ($got // '') ne ($wanted // '');
	}
	is($wrong, 0, 'G10: 1,000 mixed requests over two connections, each its own caller\'s');
}

# ---- on a standby, and in the next GET of another connection ----

$node->wait_for_catchup($standby);
is(get($far, $key->{key})->{body}, $ada_id, 'D8: a standby takes a key');
is($standby->safe_psql($database, 'SELECT auth.authenticate(' . quoted($key->{key}) . ')'), $ada_id, 'D8: over SQL, too');
get($other, $key->{key});
$rest->request(rpc => 'delete_api_key', kind => 'void', body => { id => $key->{id} },
	token => signin($node, 'ada@example.org')->{access_token});
is(outcome(get($other, $key->{key})), '401 invalid_token', 'D5: a key that was deleted is refused on the next GET of another connection');
$node->wait_for_catchup($standby);
is(outcome(get($far, $key->{key})), '401 invalid_token', 'D8: and on a standby');

# ---- when it was last used ----

sub last_used
{
	my ($id) = @_;
	return "SELECT last_used_at FROM auth_private.api_keys WHERE id = '$id'";
}

{
	my ($one, $two, $old) = map { key_of('ada@example.org') } 1 .. 3;

	$node->safe_psql($database, "UPDATE auth_private.api_keys SET last_used_at = clock_timestamp() - interval '61 minutes' WHERE id = '$old->{id}'");
	get($rest, $one->{key});
	ok($node->poll_query_until($database, 'SELECT (' . last_used($one->{id}) . ') IS NOT NULL'), 'a GET, which is read only, is noted');
	my $noted = $node->safe_psql($database, last_used($one->{id}));
	get($rest, $one->{key});
	get($rest, $old->{key});
	$rest->dbh->do('BEGIN');
	$rest->dbh->do('SELECT auth.authenticate($1)', {}, $two->{key});
	$rest->dbh->do('ROLLBACK');
	ok($node->poll_query_until($database, 'SELECT (' . last_used($two->{id}) . ') IS NOT NULL'), 'and what is rolled back');
	ok($node->poll_query_until($database, 'SELECT (' . last_used($old->{id}) . ") > clock_timestamp() - interval '10 minutes'"), 'anew after an hour');
	is($node->safe_psql($database, last_used($one->{id})), $noted, 'within the hour it is not');
	is($rest->request(rpc => 'api_keys', kind => 'set', read_only => 1, headers => { apikey => $two->{key} })->{body}[-1]{id}, $one->{id},
		'GET /rpc/api_keys, newest first') or diag explain $rest->request(rpc => 'api_keys', kind => 'set', read_only => 1, headers => { apikey => $two->{key} });

	# Its row is somebody's: the request goes on, and so does the recorder.
	my $held = key_of('ada@example.org');
	my $holder = sql_connect($node);
	$holder->begin_work;
	$holder->do("SELECT FROM auth_private.api_keys WHERE id = '$held->{id}' FOR UPDATE");
	is(get($rest, $held->{key})->{body}, $ada_id, 'a key whose row is held is taken');
	my $free = key_of('ada@example.org');
	get($rest, $free->{key});
	ok($node->poll_query_until($database, 'SELECT (' . last_used($free->{id}) . ') IS NOT NULL'), 'and others\' uses are written meanwhile');
	$holder->rollback;
	$holder->disconnect;
}

# ---- what ends keys, whoever holds the rows ----

sub reset_sql
{
	my ($email) = @_;

	$node->safe_psql($database, 'SELECT auth.request_password_reset(' . quoted($email) . ')');
	return 'SELECT auth.reset_password(code => '
	  . quoted(mailed($node, 'password_reset', $email)->{link_token})
	  . ', new_password => ' . quoted($PASSWORD) . ')';
}

my %ends = (
	'a ban' => sub { 'SELECT auth_admin.ban(' . quoted($_[1]) . ')' },
	'a reset' => sub { reset_sql($_[0]) },
	'set_password' => sub { 'SELECT auth_admin.set_password(' . quoted($_[1]) . ', ' . quoted($PASSWORD) . ')' },
	'delete_user' => sub { 'SELECT auth_admin.delete_user(' . quoted($_[1]) . ')' },
	'revoke_all' => sub { 'SELECT auth_admin.revoke_all()' });
my $number = 0;

foreach my $end (sort keys %ends)
{
	# Everything free: in place.
	my $email = 'user' . ++$number . '@example.org';
	my $id = account($node, $email);
	my $mine = key_of($email);
	my $spared = key_of('bob@example.org');

	is(get($other, $mine->{key})->{body}, $id, "$end: a key lives");
	$node->safe_psql($database, $ends{$end}->($email, $id));
	is(outcome(get($other, $mine->{key})), '401 invalid_token', "$end: and is dead at once");
	is(get($other, $spared->{key})->{body}, $bob_id, "$end: another user's is not") unless $end eq 'revoke_all';
	folded("$end: nothing is left of it") unless $end eq 'revoke_all';
	$node->wait_for_catchup($standby);
	is(outcome(get($far, $mine->{key})), '401 invalid_token', "$end: a standby refuses it");

	foreach my $how ('COMMIT', 'PREPARED')
	{
		# A thief's: one key that he is just making, one that he is just deleting.
		$email = 'user' . ++$number . '@example.org';
		$id = account($node, $email);
		my $held = key_of($email);
		my $tokens = signin($node, $email);
		my $end_sql = $ends{$end}->($email, $id);
		my ($maker, $holder) = map { sql_connect($node) } 1, 2;

		$maker->begin_work;
		$maker->do('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
		my $late = $maker->selectrow_hashref(make_sql());
		$holder->begin_work;
		$holder->do("SELECT FROM auth_private.api_keys WHERE id = '$held->{id}' FOR UPDATE");
		$maker->do("PREPARE TRANSACTION 'late'") if $how eq 'PREPARED';

		is($node->psql($database, $end_sql), 0, "$end, $how: it waits for nobody");
		is(outcome(get($other, $held->{key})), '401 invalid_token', "$end, $how: a key whose row is held is dead");
		if ($how eq 'PREPARED')
		{
			$node->safe_psql($database, "COMMIT PREPARED 'late'");
		}
		else
		{
			$maker->commit;
		}
		is(outcome(get($other, $late->{key})), '401 invalid_token', "$end, $how: one that is committed after it is dead, too");
		$holder->rollback;
		is(outcome(get($other, $held->{key})), '401 invalid_token', "$end, $how: and the held one, when it is free");
		if ($end ne 'revoke_all')
		{
			folded("$end, $how: the recorder does the rest");
		}
		ok(comes_true("SELECT count(*) = 0 FROM auth_private.api_keys WHERE id IN ('$held->{id}', '$late->{id}')", $late->{key}),
			"$end, $how: their rows go");
		is(outcome(get($other, $late->{key})), '401 invalid_token', "$end, $how: and they stay dead");
		$_->disconnect foreach $maker, $holder;
		if ($end =~ /reset|set_password/)
		{
			my $new = key_of($email);
			is(get($other, $new->{key})->{body}, $id, "$end, $how: a key that is made then lives");
		}
	}
	if ($end eq 'revoke_all')
	{
		# Nothing made before it is left; not even bob's.
		is(outcome(get($other, $spared->{key})), '401 invalid_token', 'revoke_all: everybody\'s');
		$bob = key_of('bob@example.org');
		is(get($other, $bob->{key})->{body}, $bob_id, 'revoke_all: what is made since lives');
	}
}

# A key that is made while the end of all is pending.
{
	my $email = 'pending@example.org';
	my $id = account($node, $email);
	my $before = key_of($email);
	my $holder = sql_connect($node);

	$holder->begin_work;
	$holder->do('SELECT FROM auth_private.accounts WHERE id = $1 FOR KEY SHARE', {}, $id);
	$node->safe_psql($database, $ends{set_password}->($email, $id));
	is($node->safe_psql($database, "SELECT count(*) FROM auth_private.revocations WHERE user_id = '$id' AND ends_keys"), 1, 'an end of keys that is pending');
	my $after = key_of($email);
	is(outcome(get($other, $before->{key})), '401 invalid_token', 'ends those before it');
	is(get($other, $after->{key})->{body}, $id, 'and none after it');
	is($node->safe_psql($database, "SELECT string_agg(id::text, ',') FROM auth_admin.api_keys WHERE user_id = '$id'"), $after->{id}, 'the operator\'s view has the same');
	$holder->commit;
	folded('it is worked in');
	is(outcome(get($other, $before->{key})), '401 invalid_token', 'and those before stay dead');
	is(get($other, $after->{key})->{body}, $id, 'those after alive');

	# A thief's delete_api_key that is left open and rolled back keeps nothing alive.
	$holder->begin_work;
	$holder->do("DELETE FROM auth_private.api_keys WHERE id = '$after->{id}'");
	$node->safe_psql($database, "SELECT auth_admin.delete_api_key('$id', '$after->{id}')");
	is(outcome(get($other, $after->{key})), '401 invalid_token', 'H7: delete_api_key waits for nobody');
	$holder->rollback;
	folded('H7: and is worked in when the row is free');
	is(outcome(get($other, $after->{key})), '401 invalid_token', 'H7: it stays dead');
	$holder->disconnect;
}

# A session that has ended makes no key, though it was live when it asked.
{
	my $email = 'race@example.org';
	my $id = account($node, $email);
	my $tokens = signin($node, $email);
	my ($holder, $thief) = map { sql_connect($node) } 1, 2;

	$holder->begin_work;
	$holder->do('SELECT FROM auth_private.accounts WHERE id = $1 FOR UPDATE', {}, $id);
	$thief->begin_work;
	$thief->do('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
	my $statement = $thief->prepare(make_sql(), { pg_async => DBD::Pg::PG_ASYNC() });
	$statement->execute;
	ok($node->poll_query_until($database, "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = " . $thief->{pg_pid}), 'a stolen session asks for a key');
	$node->safe_psql($database, $ends{set_password}->($email, $id));
	$holder->commit;
	ok(!eval { $thief->pg_result; 1 }, 'and has none after the new password');
	like($thief->errstr, qr/session_revoked/, 'since it has ended');
	$thief->rollback;
	$_->disconnect foreach $holder, $thief;
	folded('which is worked in');
}

# What ends sessions only.
{
	my $email = 'stays@example.org';
	my $id = account($node, $email);
	my $mine = key_of($email);
	my $in = 'BEGIN; SELECT auth.authenticate(' . quoted(signin($node, $email)->{access_token}) . '); ';

	$node->safe_psql($database, $in . 'SELECT auth.change_password(' . quoted($PASSWORD) . ', ' . quoted("another $PASSWORD") . '); COMMIT');
	is(get($other, $mine->{key})->{body}, $id, 'change_password ends no key');
	$node->safe_psql($database, $in . 'SELECT auth.logout_all(); COMMIT');
	is(get($other, $mine->{key})->{body}, $id, 'nor does logout_all');
	$node->safe_psql($database, "SELECT auth_admin.revoke_sessions('$id')");
	is(get($other, $mine->{key})->{body}, $id, 'nor revoke_sessions');
	is($node->safe_psql($database, "UPDATE auth_private.api_keys SET expires_at = clock_timestamp() WHERE id = '$mine->{id}'; SELECT auth_admin.prune() > 0"), 't', 'prune');
	is($node->safe_psql($database, "SELECT count(*) FROM auth_private.api_keys WHERE id = '$mine->{id}'"), 0, 'takes those that have expired');
}

# ---- no log has a key ----

{
	my $shown = key_of('bob@example.org');
	my ($secret) = $shown->{key} =~ /^ask1_.{45}(.{20})/;
	my $basic = encode_base64("$shown->{key}:", '');

	get($rest, $shown->{key});
	$rest->request(rpc => 'uid', kind => 'scalar', headers => { authorization => "Basic $basic" });
	$rest->request(rpc => 'uid', kind => 'scalar', headers => { authorization => "Token $shown->{key}" });
	eval { $rest->dbh->do('SELECT auth.authenticate($1), 1 / 0', {}, $shown->{key}) };
	$node->psql($database, 'SELECT auth.authenticate(' . quoted($shown->{key}) . ')');
	$node->psql($database, "SELECT (auth.create_api_key('n')).key::int", extra_params => [ '-c', 'SELECT 1' ]);
	$node->psql($database, 'SELECT ' . quoted($shown->{key}) . '::int');
	eval { $rest->dbh->selectrow_array('SELECT $1::text::int', {}, $shown->{key}) };
	is($node->safe_psql($database, q{SELECT count(*) FROM pg_stat_activity WHERE query ~ 'ask1_[A-Za-z0-9_-]{20}'}), 0, 'G3: nor has pg_stat_activity');
	my $log = slurp_file($node->logfile);
	unlike($log, qr/\Q$secret\E/, 'G3: the server\'s log has no key');
	unlike($log, qr/\Q@{[ substr $basic, 70, 40 ]}\E/, 'G3: nor one as a user name');
	unlike($log, qr/ask1_[A-Za-z0-9_-]{20}/, 'G3: none of all that were used here');
	like($log, qr/ask1_\*/, 'but says that there was one');
	unlike(slurp_file($standby->logfile), qr/ask1_[A-Za-z0-9_-]{20}/, 'G3: nor has the standby\'s');
}

done_testing;
