# Past one machine: auth_admin.distribute on a cluster of Citus, one coordinator
# and two workers, and every flow from each of the three.
use strict;
use warnings;
use AuthSession;
use Digest::SHA qw(hmac_sha1);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my $library = `$pg_config --pkglibdir`);
plan skip_all => "no citus.so in $library" unless -e "$library/citus.so";

my $database = 'postgres';
my %nodes;

foreach my $name (qw(coordinator worker1 worker2))
{
	$nodes{$name} = new_node($name, start => 0, conf => <<'CONF');
shared_preload_libraries = 'citus,auth_session'
max_prepared_transactions = 50
wal_level = logical
max_wal_senders = 10
max_replication_slots = 10
max_connections = 100
log_line_prefix = '%m [%p] %q%u@%d '
log_statement = 'all'
citus.node_conninfo = 'sslmode=prefer'
auth_session.signin_rate_per_account = 0
auth_session.api_keys = on
auth_session.max_waiting_hashes = 50
auth_session.hash_wait = 60s
auth_session.lock_wait = 2s
CONF
	$nodes{$name}->append_conf('postgresql.conf', "citus.local_hostname = '" . $nodes{$name}->host . "'");
	$nodes{$name}->start;
	$nodes{$name}->safe_psql($database, 'CREATE EXTENSION citus');
}
my ($coordinator, @workers) = @nodes{qw(coordinator worker1 worker2)};
my @entries = ($coordinator, @workers);

sub node_at { return quoted($_[0]->host) . ', ' . $_[0]->port; }
sub verify_sql { return 'SELECT auth.verify(' . quoted($_[0]{access_token}) . ") ->> 'session_id' IS NOT NULL"; }
sub logout_sql { return 'SELECT auth.logout(refresh_token => ' . quoted($_[0]{refresh_token}) . ')'; }
sub renew_sql { return 'SELECT * FROM auth.renew(' . quoted($_[0]{refresh_token}) . ')'; }

sub lives
{
	my ($node, $tokens, $name) = @_;
	my ($status, $out, $err) = $node->psql($database, verify_sql($tokens));

	return is($out . ($err // ''), 't', $name);
}

# The SQLSTATE and the message that a statement ends with.
sub failure
{
	my ($node, $sql) = @_;
	my $dbh = sql_connect($node);

	return 'none' if eval { $dbh->selectall_arrayref($sql); 1 };
	return $dbh->state . ' ' . $dbh->errstr;
}

# How many statements nodes were sent as auth_session_node while code ran.
my %read;

sub log_since
{
	my ($node) = @_;
	my $log = slurp_file($node->logfile);
	my $new = substr $log, $read{ $node->name } // 0;

	$read{ $node->name } = length $log;
	return $new;
}

# ---- before ----

$coordinator->safe_psql($database, 'CREATE EXTENSION auth_session');
like(failure($coordinator, 'SELECT auth_admin.distribute()'),
	qr/^55000 .*one of its own nodes/s,
	'a coordinator that is no node of its cluster is refused');

$coordinator->safe_psql($database,
	'SELECT citus_set_coordinator_host(' . node_at($coordinator) . ')');
$coordinator->safe_psql($database, 'SELECT citus_add_node(' . node_at($_) . ')')
  foreach @workers;

account($coordinator, 'early@example.org');
my $early = signin($coordinator, 'early@example.org');
my $cached = signin($coordinator, 'early@example.org');
my $renewed = signin($coordinator, 'early@example.org');
lives($coordinator, $_, 'a session of before') foreach $early, $cached, $renewed;

my $planned = $coordinator->safe_psql($database,
	'SELECT auth_admin.distribute(8, dry_run => true)');
is($coordinator->safe_psql($database, 'SELECT count(*) FROM pg_dist_partition'),
	'0', 'a dry run does nothing');
like(failure($workers[0], 'SELECT auth_admin.distribute()'),
	qr/^55000 .*one of its own nodes/s, 'a worker is refused');

# What was asked for before the tables were taken goes on in this session.
my $open = sql_connect($coordinator);
$open->selectrow_array(verify_sql($early));

my $done = $coordinator->safe_psql($database, 'SELECT auth_admin.distribute(8)');
is($done, $planned, 'what is done is what the dry run said');
is($coordinator->safe_psql($database, 'SELECT auth_admin.distribute(8)'),
	'', 'done once, there is nothing left to do');
is($coordinator->safe_psql($database, q{
		SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
		WHERE relnamespace = 'auth_private'::regnamespace AND relkind = 'r'
			AND oid NOT IN (SELECT logicalrelid FROM pg_dist_partition)
			AND oid NOT IN (SELECT (c.relname || '_' || s.shardid)::regclass FROM pg_dist_shard AS s
				JOIN pg_class AS c ON c.oid = logicalrelid WHERE false)
			AND relname !~ '_[0-9]+$'}),
	'token_cache', 'every table but the token cache is distributed');
is($coordinator->safe_psql($database, q{
		SELECT string_agg(DISTINCT colocationid::text, ' ') FROM pg_dist_partition
		WHERE partmethod = 'h' AND logicalrelid::text NOT IN ('auth_private.identifiers', 'auth_private.code_failures')}),
	$coordinator->safe_psql($database,
		q{SELECT colocationid FROM pg_dist_partition WHERE logicalrelid = 'auth_private.accounts'::regclass}),
	'what is a user\'s is in one place');
is($coordinator->safe_psql($database, q{SELECT pg_relation_size('auth_private.accounts') + pg_relation_size('auth_private.signing_keys')}),
	'0', 'no hash and no key is left where they were');

# ---- who nodes connect as ----

foreach my $node (@entries)
{
	is($node->safe_psql($database, q{
			SELECT rolname, rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls FROM pg_roles
			WHERE rolname IN ('auth_session_owner', 'auth_session_node') ORDER BY rolname}),
		"auth_session_node|t|f\nauth_session_owner|f|f",
		$node->name . ': nodes connect as a role of their own, nobody as the owner');
	is($node->safe_psql($database, q{
			SELECT count(*) FROM pg_class AS c, aclexplode(relacl) AS a
			WHERE grantee = 'auth_session_node'::regrole
				AND privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')}),
		'0', $node->name . ': it has rights on rows only');
	is($node->safe_psql($database, q{
			SELECT count(*) FROM pg_proc WHERE pronamespace IN ('auth_admin'::regnamespace, 'auth_private'::regnamespace)
				AND has_function_privilege('auth_session_node', oid, 'EXECUTE')}),
		'0', $node->name . ': and may call no function but what anybody may');
}

# ---- A1, and sessions of before ----

is($open->selectrow_array(verify_sql($early)), 1,
	'an open session verifies what was issued before');
lives($_, $early, $_->name . ' verifies a token of before') foreach @entries;
isnt($coordinator->safe_psql($database, renew_sql($renewed)), '',
	'a refresh token of before renews');
$coordinator->safe_psql($database, logout_sql($cached));
foreach my $node (@entries)
{
	refused($node, verify_sql($cached), 'session_revoked',
		$node->name . ': a session that was cached before has ended (A1)');
}
eval { $open->selectrow_array(verify_sql($cached)) };
like($@, qr/session_revoked/, 'in the session that had it cached, too');
$open->disconnect;
is(signin($workers[0], 'early@example.org')->{user_id},
	$early->{user_id}, 'and an account of before signs in, at a worker');

# ---- all flows, from each ----

foreach my $node (@entries)
{
	my $name = $node->name;
	my $email = "$name\@example.org";
	my $id = account($node, $email);
	my $tokens = signin($node, $email);
	my $dbh = sql_connect($node);

	is($tokens->{user_id}, $id, "$name: signs up, confirms and signs in");
	lives($_, $tokens, "$name: its token verifies at " . $_->name) foreach @entries;
	my $next = $dbh->selectrow_hashref(renew_sql($tokens));
	lives($_, $next, "$name: renewed, at " . $_->name) foreach @entries;
	refused($workers[1], verify_sql($tokens), 'token_expired', "$name: the one before is over");

	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {}, $next->{access_token});
	is($dbh->selectrow_array('SELECT auth.uid()'), $id, "$name: uid");
	is($dbh->selectrow_array('SELECT count(*) FROM auth.sessions()'), 1, "$name: sessions");
	is($dbh->selectrow_array('SELECT email FROM auth.account()'), $email, "$name: account");
	$dbh->do(q{SELECT auth.update_info('{"a": 1}')});
	is($dbh->selectrow_array(q{SELECT auth.export_account() #>> '{account,info,a}'}), '1', "$name: export");
	$dbh->do('SELECT auth.change_password($1, $2)', {}, $PASSWORD, "$PASSWORD again");
	$dbh->commit;

	refused($node, 'SELECT auth.signin(' . quoted($email) . ', ' . quoted($PASSWORD) . ')',
		'invalid_credentials', "$name: the password is another");
	$dbh->do('SELECT auth.request_password_reset($1)', {}, $email);
	my $mail = mailed($node, 'password_reset', $email);
	$dbh->do('SELECT auth.reset_password($1, $2, $3)', {}, $email, $mail->{code}, $PASSWORD);
	refused($coordinator, verify_sql($next), 'session_revoked', "$name: a reset ends sessions");

	my $kept = signin($node, $email);
	$node->safe_psql($database, "SELECT auth_admin.ban('$id')");
	refused($workers[0], verify_sql($kept), 'session_revoked', "$name: a ban ends sessions");
	$node->safe_psql($database, "SELECT auth_admin.unban('$id')");
	is($node->safe_psql($database, 'SELECT auth_admin.prune(1000) >= 0'), 't', "$name: prunes");
	my $last = signin($node, $email);
	$node->safe_psql($database, "SELECT auth_admin.delete_user('$id')");
	refused($coordinator, verify_sql($last), 'session_revoked', "$name: an account that is gone");
	is($coordinator->safe_psql($database, "SELECT count(*) FROM auth_admin.deleted_users WHERE id = '$id'"),
		'1', "$name: can be followed");
	is($coordinator->safe_psql($database,
			"SELECT count(*) FROM auth_private.identifiers WHERE identifier = " . quoted($email)),
		'0', "$name: and its address is free");
	$dbh->disconnect;
}

# ---- a second factor and API keys, from each ----

# What an app shows (RFC 6238), steps away from now.
sub totp
{
	my ($secret, $away) = @_;
	my $bits = join '', map { sprintf '%05b', index 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', $_ } split //, $secret;
	my $mac = hmac_sha1(pack('Q>', int(time / 30) + $away), pack('B*', $bits));
	my $at = ord(substr $mac, -1) & 15;

	return sprintf '%06d', (unpack('N', substr $mac, $at, 4) & 0x7fffffff) % 1e6;
}

# Sends one statement down each of some handles before it reads any answer: what
# each answers, a hash, or the SQLSTATE where it was refused.
sub each_at_once
{
	my ($sql, @calls) = @_;
	my @sent;

	foreach my $call (@calls)
	{
		my ($dbh, @arguments) = @$call;
		my $statement = $dbh->prepare($sql, { pg_async => DBD::Pg::PG_ASYNC() });

		$statement->execute(@arguments);
		push @sent, $statement;
	}
	return map {
		my $i = $_;
		eval { $calls[$i][0]->pg_result; $sent[$i]->fetchrow_hashref } // $calls[$i][0]->state
	} 0 .. $#calls;
}

foreach my $i (0 .. $#entries)
{
	my ($node, $other) = @entries[ $i, ($i + 1) % @entries ];
	my $name = $node->name;
	my $email = "factor$i\@example.org";
	my $id = account($node, $email);
	my $dbh = sql_connect($node);
	my $elsewhere = sql_connect($other);

	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {}, signin($other, $email)->{access_token});
	my ($secret) = $dbh->selectrow_array('SELECT secret FROM auth.enroll_totp()');
	$dbh->do('SELECT auth.confirm_totp($1)', {}, totp($secret, 0));
	$dbh->commit;

	my @first = map { signin($_, $email) } $node, $other;
	is($first[1]{access_token}, undef, "$name: a factor that was turned on is asked for elsewhere");
	my $code = totp($secret, 1);
	my @answers = each_at_once('SELECT * FROM auth.signin_totp($1, $2)',
		[ $dbh, $first[0]{mfa_token}, $code ], [ $elsewhere, $first[1]{mfa_token}, $code ]);
	my ($tokens) = grep { ref } @answers;
	is(scalar(grep { ref } @answers), 1, "$name: of two nodes one takes a code");
	lives($_, $tokens, "$name: for a session, at " . $_->name) foreach @entries;

	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
	is($dbh->selectrow_array('SELECT auth.aal()'), 'aal2', "$name: of both factors");
	my ($key_id, $key) = $dbh->selectrow_array(q{SELECT id, key FROM auth.create_api_key('ci', '{read}')});
	$dbh->commit;
	is($_->safe_psql($database, "SELECT auth.authenticate('$key')"), $id, "$name: an API key of it, at " . $_->name)
	  foreach @entries;
	my @open = map { sql_connect($_) } @entries;
	$_->selectrow_array('SELECT auth.authenticate($1)', {}, $key) foreach @open;
	$other->safe_psql($database, "SELECT auth_admin.delete_api_key('$id', '$key_id')");
	foreach my $at (0 .. $#open)
	{
		eval { $open[$at]->selectrow_array('SELECT auth.authenticate($1)', {}, $key) };
		like($@, qr/invalid_token/, "$name: refused once it is deleted, in a session at " . $entries[$at]->name);
		$open[$at]->disconnect;
	}
	$_->disconnect foreach $dbh, $elsewhere;
}

# ---- A2 ----

{
	account($coordinator, 'keys@example.org');
	my $old = signin($coordinator, 'keys@example.org');
	my @handles = map { sql_connect($_) } @entries;

	$_->selectrow_array(verify_sql($old)) foreach @handles;
	my $was = $workers[1]->safe_psql($database, q{SELECT kid FROM auth_admin.signing_keys WHERE state = 'active'});
	my $kid = $workers[1]->safe_psql($database, q{SELECT auth_admin.create_signing_key('HS256')});
	$workers[1]->safe_psql($database, "SELECT auth_admin.activate_signing_key('$kid')");
	$workers[1]->safe_psql($database, "SELECT auth_admin.retire_signing_key('$was')");
	foreach my $i (0 .. 2)
	{
		eval { $handles[$i]->selectrow_array(verify_sql($old)) };
		like($@, qr/invalid_token/, $entries[$i]->name . ': a retired key is refused in an open session (A2)');
		lives($coordinator, signin($entries[$i], 'keys@example.org'), 'and the new one signs');
	}
	is($coordinator->safe_psql($database, 'SELECT count(*) FROM auth_private.mac_keys'), '1',
		'there is one MAC key for all nodes');
}

# ---- A3 ----

foreach my $level ('repeatable read', 'serializable')
{
	foreach my $entry (@entries)
	{
		my $tokens = signin($coordinator, 'keys@example.org');
		my $dbh = sql_connect($entry);

		$dbh->do("BEGIN ISOLATION LEVEL $level");
		$dbh->selectrow_array(verify_sql($tokens));
		$workers[0]->safe_psql($database, logout_sql($tokens));
		eval { $dbh->selectrow_array(verify_sql($tokens)) };
		like($@, qr/session_revoked/, $entry->name . ": $level sees a session that ended elsewhere (A3)");
		$dbh->disconnect;
	}
}

# ---- A4 ----

foreach my $node (@entries)
{
	my $log = slurp_file($node->logfile);

	unlike($log, qr/ auth_session_node\@\S+ LOG: /, $node->name . ' logs no statement of another node (A4)');
	unlike($log, qr/\$argon2id\$/, $node->name . ' logs no password hash');
	unlike($log, qr/\Q$PASSWORD\E/, $node->name . ' logs no password');
}
{
	my ($status, $out, $err) = $coordinator->psql($database,
		"SET citus.log_remote_commands = on; SET client_min_messages = debug4;\n"
		  . 'SELECT auth.signin(' . quoted('keys@example.org') . ', ' . quoted($PASSWORD) . ')');

	unlike($err, qr/argon2id|_private|issuing (?!COMMIT)/, 'and no caller is shown one');
}

# ---- A5 ----

{
	my $id = account($coordinator, 'held@example.org');
	my $holder = sql_connect($coordinator);

	$holder->begin_work;
	$holder->do("SELECT FROM auth_private.accounts WHERE id = '$id' FOR UPDATE");
	refused($_, "SELECT auth_admin.set_app('$id', '{}')", 'busy', $_->name . ': a held row is busy after lock_wait (A5)')
	  foreach @entries;
	my $tokens = signin($workers[0], 'held@example.org');
	$workers[1]->safe_psql($database, "SELECT auth_admin.revoke_sessions('$id')");
	refused($_, verify_sql($tokens), 'session_revoked', $_->name . ': a revocation waits for nobody') foreach @entries;
	refused($_, renew_sql($tokens), 'session_revoked', $_->name . ': nor is such a session renewed') foreach @entries;
	$holder->rollback;
	$holder->disconnect;
	ok($coordinator->poll_query_until($database,
			"SELECT NOT EXISTS (SELECT FROM auth_private.revocations WHERE user_id = '$id')"),
		'and is worked in when the row is free');
	refused($_, verify_sql($tokens), 'session_revoked', $_->name . ': the same after that') foreach @entries;
}

# ---- two claim an address on two nodes ----

{
	my $address = 'both@example.org';
	my @codes;

	foreach my $node (@workers)
	{
		$node->safe_psql($database, 'SELECT auth.signup(' . quoted($address) . ', ' . quoted($PASSWORD) . ')');
		push @codes, mailed($node, 'confirm_email', $address)->{code};
	}
	my @handles = map { sql_connect($_) } @workers;
	my @answers = each_at_once('SELECT id FROM auth.confirm($1, $2, $3)',
		map { [ $handles[$_], $address, $codes[$_], $PASSWORD ] } 0, 1);
	is(scalar(grep { ref } @answers), 1, 'one of two that claim an address at once owns it');
	like((grep { !ref } @answers)[0] // '', qr/^PT4/, 'the other is told so, and no index');
	$_->disconnect foreach @handles;
}

# ---- how many commands ----

{
	account($coordinator, 'count@example.org');
	$coordinator->safe_psql($database, q{ALTER ROLE auth_session_node SET log_statement = 'all'});
	my $dbh = sql_connect($coordinator);
	my %sent;
	my $measure = sub {
		my ($flow, $sql) = @_;
		my $answer;

		log_since($_) foreach @workers;
		$answer = eval { $dbh->selectrow_hashref($sql) };
		my $text = join '', map { log_since($_) } @workers;
		my @lines = $text =~ /auth_session_node\@\S+ LOG:  (?:statement|execute [^:]*): ([^\n]*)/g;
		$sent{$flow} = grep { !/^SET |^SELECT pg_cancel/ } @lines;
		$sent{"$flow text"} = join "\n", @lines;
		return $answer;
	};
	my $credentials = '(' . quoted('count@example.org') . ', ' . quoted($PASSWORD) . ')';

	# Connections are made, and plans.
	$measure->('warm', "SELECT * FROM auth.signin$credentials") for 1 .. 2;
	my $tokens = $measure->('signin', "SELECT * FROM auth.signin$credentials");
	$measure->('verify', verify_sql($tokens)) for 1 .. 2;
	$measure->('renew', renew_sql($tokens));
	$measure->('wrong', q{SELECT * FROM auth.signin('count@example.org', 'wrong')});
	cmp_ok($sent{verify}, '<=', 1, 'a verification is one command') or diag $sent{'verify text'};
	cmp_ok($sent{renew}, '<=', 4, 'a renewal at most four') or diag $sent{'renew text'};
	cmp_ok($sent{signin}, '<=', 10, 'a sign-in at most ten') or diag $sent{'signin text'};
	# What the recorder writes comes after the answer, or before.
	$sent{wrong} = grep { /^SELECT/ } split /\n/, $sent{'wrong text'};
	cmp_ok($sent{wrong}, '<=', 2, 'a wrong password two') or diag $sent{'wrong text'};
	note "commands: $_ $sent{$_}" foreach qw(verify renew signin wrong);
	note $sent{"$_ text"} foreach qw(verify renew signin wrong);
	$dbh->disconnect;
	$coordinator->safe_psql($database, q{ALTER ROLE auth_session_node SET log_statement = 'none'});
}

# ---- users of one worker ----

my %user_at;

sub home
{
	my ($id) = @_;

	return $coordinator->safe_psql($database, qq{
		SELECT nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
		WHERE shardid = get_shard_id_for_distribution_column('auth_private.accounts', '$id'::uuid)});
}

# Users of each worker whose addresses are there, too.
for (my $i = 0; $i < 60 && keys %user_at < 2; $i++)
{
	my $email = "down$i\@example.org";
	my $at = $coordinator->safe_psql($database, qq{
		SELECT nodeport FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
		WHERE shardid = get_shard_id_for_distribution_column('auth_private.identifiers', '$email'::text)});
	my $id = account($coordinator, $email);

	$user_at{$at} //= { id => $id, email => $email, tokens => signin($coordinator, $email) }
	  if $at == home($id);
}
my ($up, $down) = map { $user_at{ $_->port } } @workers;

# ---- a worker stands still ----

# What nodes have open there, and all of it.
sub node_backends
{
	return split /\n/, $workers[1]->safe_psql($database,
		q{SELECT pid FROM pg_stat_activity WHERE usename = 'auth_session_node'});
}

sub postmaster_of { return slurp_file($_[0]->data_dir . '/postmaster.pid') =~ /^(\d+)/; }

{
	# A bound for this test, far beyond that of the service.
	my $bounded = sub { my $dbh = sql_connect($coordinator); $dbh->do(q{SET statement_timeout = '60s'}); return $dbh; };
	my $dbh = $bounded->();
	my $verifies = sub {
		return eval { ($dbh->selectrow_array(verify_sql($_[0])))[0] } // $dbh->state;
	};

	is($verifies->($_->{tokens}), '1', 'a session that is connected to both workers') foreach $up, $down;
	my @still = node_backends();
	kill 'STOP', @still;
	is($verifies->($up->{tokens}), '1', 'where processes of one stand still, users of the other go on');
	is($verifies->($down->{tokens}), 'PT429', 'its own are told busy');
	is($verifies->($up->{tokens}), '1', 'and the session goes on');
	refused($coordinator, 'SELECT auth.signin(' . quoted($up->{email}) . q{, 'wrong')}, 'invalid_credentials',
		'a wrong password is answered meanwhile');
	ok($coordinator->poll_query_until($database,
			"SELECT EXISTS (SELECT FROM auth_private.audit_log WHERE user_id = '$up->{id}' AND result = 'invalid_credentials')"),
		'and recorded');
	kill 'CONT', @still;
	is($verifies->($down->{tokens}), '1', 'afterwards all is well');
	$dbh->disconnect;

	my ($postmaster) = postmaster_of($workers[1]);
	$dbh = $bounded->();
	kill 'STOP', $postmaster;
	is($verifies->($down->{tokens}), 'PT429', 'where it takes no connections, its users are told busy');
	is($verifies->($up->{tokens}), '1', 'and the others go on');
	kill 'CONT', $postmaster;
	is($verifies->($down->{tokens}), '1', 'until it does again');
	$dbh->disconnect;
}

# ---- a worker is down ----

$workers[1]->stop('immediate');
lives($coordinator, $up->{tokens}, 'with a worker down the users of the other go on');
is(signin($workers[0], $up->{email})->{user_id}, $up->{id}, 'and sign in');
like(failure($coordinator, $_), qr/^PT429 ERROR:  the service is busy\nDETAIL:  busy\nHINT:[^\n]*\z/,
	'its own users are told busy, and no host: ' . substr $_, 0, 20)
  foreach verify_sql($down->{tokens}), renew_sql($down->{tokens}),
  'SELECT auth.signin(' . quoted($down->{email}) . ', ' . quoted($PASSWORD) . ')';
refused($coordinator, 'SELECT auth.signin(' . quoted($up->{email}) . q{, 'wrong')}, 'invalid_credentials',
	'a wrong password is answered');
ok($coordinator->poll_query_until($database,
		"SELECT count(*) = 2 FROM auth_private.audit_log WHERE user_id = '$up->{id}' AND result = 'invalid_credentials'"),
	'and recorded');
$workers[1]->start;
ok($coordinator->poll_query_until($database, verify_sql($down->{tokens})),
	'when it is back nobody was logged out');
isnt($workers[0]->safe_psql($database, renew_sql($down->{tokens})), '', 'and sessions renew');

# ---- the coordinator is killed ----

sub rows
{
	my ($column, $from) = @_;

	return $coordinator->safe_psql($database, "SELECT string_agg(DISTINCT $column, ' ' ORDER BY $column) FROM $from");
}

# A server that waits for a standby which there is not has done what it was told
# by PREPARE or COMMIT, and doesn't say so.
sub keep_silent
{
	my ($is_silent, @nodes) = @_;

	foreach my $node (@nodes)
	{
		$node->safe_psql($database, "ALTER SYSTEM SET synchronous_standby_names = '" . ($is_silent ? 'nobody' : '') . "'");
		$node->reload;
		$node->poll_query_until($database, "SELECT current_setting('synchronous_standby_names') = '" . ($is_silent ? 'nobody' : '') . "'");
	}
	return;
}

sub prepared
{
	my ($node) = @_;

	return $node->poll_query_until($database, q{SELECT count(*) > 0 FROM pg_prepared_xacts WHERE gid LIKE 'citus%'});
}

# Sign-ups, of which the account and the address are on two nodes, mostly; @silent
# keep them where they are when the coordinator is killed.
sub crash_while_signing_up
{
	my ($prefix, $until, @silent) = @_;
	my @handles = map { sql_connect($coordinator) } 1 .. 12;

	keep_silent(1, @silent);
	my @sent = map { $_->prepare('SELECT auth.signup($1, $2)', { pg_async => DBD::Pg::PG_ASYNC() }) } @handles;
	$sent[$_]->execute("$prefix$_\@example.org", $PASSWORD) foreach 0 .. $#sent;
	ok($until->(), "$prefix: sign-ups have come so far");
	crash($coordinator);
	keep_silent(0, @silent);
	ok($coordinator->poll_query_until($database, q{
			SELECT recover_prepared_transactions() IS NOT NULL AND NOT EXISTS (SELECT FROM run_command_on_workers(
				$$SELECT count(*) FROM pg_prepared_xacts WHERE gid LIKE 'citus%'$$) WHERE result <> '0')}),
		"$prefix: what was prepared has come to an end");

	my $addresses = rows('user_id::text', "auth_private.identifiers WHERE identifier LIKE '$prefix%'");
	is(rows('id::text', "auth_private.accounts WHERE email LIKE '$prefix%'"), $addresses,
		"$prefix: no address is without its account, and none the other way");
	my $list = join(',', map { "'$_'" } split / /, $addresses) || 'NULL';
	is(rows('user_id::text', "auth_private.outbox WHERE recipient LIKE '$prefix%'"), $addresses,
		"$prefix: nor without its message");
	is(rows('user_id::text', "auth_private.audit_log WHERE action = 'signup' AND user_id IN ($list)"), $addresses,
		"$prefix: nor without its row in the log");
	eval { $_->disconnect } foreach @handles;
	return scalar split / /, $addresses;
}

crash_while_signing_up('crash', sub { return 1 });
cmp_ok(crash_while_signing_up('prepare', sub { return prepared($workers[0]) && prepared($workers[1]) }, @workers),
	'<', 12, 'what was prepared only is undone');
is(crash_while_signing_up('commit', sub {
			return $coordinator->poll_query_until($database, q{
				SELECT count(*) FILTER (WHERE wait_event = 'SyncRep') > 0
					AND count(*) FILTER (WHERE wait_event = 'SyncRep' OR state = 'idle') = 12
				FROM pg_stat_activity WHERE backend_type = 'client backend' AND query LIKE '%auth.signup%'
					AND pid <> pg_backend_pid()});
		}, $coordinator),
	12, 'what was committed is done, though no node was told');

# ---- row-level security ----

{
	my $dbh = sql_connect($coordinator);
	my $tokens = signin($coordinator, $up->{email});

	$dbh->do($_) foreach 'CREATE ROLE reader LOGIN', 'CREATE TABLE public.notes (owner uuid PRIMARY KEY, note text)',
	  q{SELECT create_distributed_table('public.notes', 'owner', colocate_with => 'none')},
	  "INSERT INTO public.notes VALUES ('$up->{id}', 'mine'), (gen_random_uuid(), 'not mine')",
	  'GRANT SELECT ON public.notes TO reader';
	my $uid = sub { $dbh->selectrow_array('SELECT auth.uid()') };
	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
	$dbh->do('SET LOCAL ROLE reader');
	is($dbh->selectrow_array('SELECT note FROM public.notes WHERE owner = $1', {}, $uid->()), 'mine',
		'who asks by his id finds his rows');
	$dbh->rollback;
	$dbh->do($_) foreach 'ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY',
	  'CREATE POLICY own ON public.notes USING (owner = auth.uid())';
	$dbh->disconnect;
	$dbh = sql_connect($coordinator);
	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
	$dbh->do('SET LOCAL ROLE reader');
	eval { $dbh->selectrow_array('SELECT note FROM public.notes') };
	like($@, qr/nobody is signed in on the node/, 'a policy that asks for the caller on another node is an error, never no rows');
	$dbh->rollback;
	$dbh->disconnect;
}

# ---- a shard moves under load ----

{
	my $tokens = signin($workers[0], $up->{email});
	my ($shard, $from, $to) = split /\|/, $coordinator->safe_psql($database, qq{
		SELECT shardid, f.nodeport, t.nodeport FROM pg_dist_placement JOIN pg_dist_node AS f USING (groupid),
			pg_dist_node AS t
		WHERE shardid = get_shard_id_for_distribution_column('auth_private.accounts', '$up->{id}'::uuid)
			AND t.groupid NOT IN (0, f.groupid)});
	my $mover = sql_connect($coordinator);

	# Citus copies a shard as its owner.
	$mover->do('ALTER ROLE auth_session_owner LOGIN');
	my $renewals = 0;
	my $lost = 0;

	for my $round (1 .. 4)
	{
		my ($a, $b) = $round % 2 ? ($from, $to) : ($to, $from);
		my $host = quoted($coordinator->host);
		$mover->do("SELECT citus_move_shard_placement($shard, $host, $a, $host, $b, 'force_logical')",
			{ pg_async => DBD::Pg::PG_ASYNC() });
		my $dbh = sql_connect($entries[ $round % 3 ]);
		until ($mover->pg_ready)
		{
			my $next = eval { $dbh->selectrow_hashref(renew_sql($tokens)) };

			if ($next) { $tokens = $next; $renewals++ }
			elsif ($@ !~ /busy/) { $lost++; diag $@; last }
		}
		$mover->pg_result;
		$dbh->disconnect;
	}
	$mover->do('ALTER ROLE auth_session_owner NOLOGIN');
	is($lost, 0, 'no renewal is lost while its shard moves');
	cmp_ok($renewals, '>', 0, "and some were made ($renewals)");
	lives($_, $tokens, $_->name . ': the last token is good') foreach @entries;
}

done_testing();
