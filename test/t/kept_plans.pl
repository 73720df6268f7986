# H13: a plan that is kept from when a table was small is no scan when it is
# large, and the caller's settings of the planner never reach it. Counted by the
# server: how often a table of ours was read from end to end, and how many entries
# of each index were: one that is read through is no better.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
autovacuum = off
auth_session.rate_window = 1d
auth_session.signin_rate_per_account = 0
auth_session.resend_cooldown = 0
auth_session.message_rate_per_account = 0
CONF
my @tables = qw(accounts identifiers sessions token_cache codes code_failures outbox revocations audit_log);
my $settings = join '; ', map { "SET $_ = off" }
  qw(enable_indexscan enable_indexonlyscan enable_bitmapscan enable_nestloop);

account($node, 'ada@example.org');

# Every flow by which anybody is served, in one backend.
sub flows
{
	my ($dbh, $n) = @_;
	my $email = quoted('ada@example.org');
	my $password = quoted($PASSWORD);
	my $tokens = $dbh->selectrow_hashref("SELECT * FROM auth.signin($email, $password)");
	my $other = $dbh->selectrow_hashref("SELECT * FROM auth.signin($email, $password)");

	$dbh->selectrow_array('SELECT auth.verify($1)', {}, $tokens->{access_token});
	$tokens = $dbh->selectrow_hashref('SELECT * FROM auth.renew($1)', {}, $tokens->{refresh_token});
	$dbh->begin_work;
	$dbh->selectrow_array('SELECT auth.authenticate($1)', {}, $tokens->{access_token});
	$dbh->selectall_arrayref('SELECT * FROM auth.sessions()');
	$dbh->selectrow_array('SELECT id FROM auth.account()');
	$dbh->selectrow_array(q{SELECT id FROM auth.update_info('{}')});
	$dbh->selectrow_array('SELECT auth.logout($1)', {}, $other->{session_id});
	$dbh->selectrow_array('SELECT auth.logout_all(true)');
	$dbh->commit;
	eval { $dbh->do("SELECT auth.signup('new$n\@example.org', $password)") };
	$dbh->do("SELECT auth.resend_confirmation('new$n\@example.org')");
	eval { $dbh->do("SELECT auth.confirm('new$n\@example.org', '000000', $password)") };
	$dbh->do("SELECT auth.request_password_reset($email)");
	eval { $dbh->do("SELECT auth.reset_password($email, '000000', $password)") };
	$dbh->do('SELECT auth.logout(refresh_token => $1)', {}, $tokens->{refresh_token});
	$dbh->do(q{SELECT auth_admin.settle_notifications(array_agg(id)) FROM auth_admin.claim_notifications(10, '1 minute')});
	$dbh->do('SELECT auth_admin.prune(100)');
	return;
}

# How often each table was read from end to end, by whoever has left.
sub scans
{
	my $dbh = sql_connect($node);
	my $rows = $dbh->selectall_arrayref(
		q{SELECT relname, seq_scan FROM pg_stat_user_tables WHERE schemaname = 'auth_private'});

	$dbh->disconnect;
	my %scans = map { $_->[0] => $_->[1] } @$rows;
	return { map { $_ => $scans{$_} } @tables };
}

# Which indexes gave more entries than all flows together could need, since.
sub read_through
{
	my ($before) = @_;
	my $dbh = sql_connect($node);
	my $rows = $dbh->selectall_arrayref(
		q{SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE schemaname = 'auth_private'});

	$dbh->disconnect;
	my %reads = map { $_->[0] => $_->[1] } @$rows;
	return \%reads unless $before;
	return [ sort grep { $reads{$_} - $before->{$_} > 2000 } keys %reads ];
}

# Its statistics are there once it has left.
sub leave
{
	my ($dbh) = @_;
	my ($pid) = $dbh->selectrow_array('SELECT pg_backend_pid()');

	$dbh->disconnect;
	$node->poll_query_until('postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = $pid")
	  or die 'it does not leave';
	return;
}

my $old = sql_connect($node);
flows($old, 0);

my $loader = sql_connect($node);
$loader->do(<<'SQL');
INSERT INTO auth_private.accounts (id, status, info, app, epoch, created_at)
SELECT gen_random_uuid(), 'active', '{}', '{}', 0, now() FROM generate_series(1, 50000);
INSERT INTO auth_private.identifiers (identifier, user_id, owned, created_at)
SELECT id || '@example.net', id, true, now() FROM auth_private.accounts;
INSERT INTO auth_private.sessions (user_id, id, jti, generation, refresh_digest, created_at, renewed_at,
	access_expires_at, expires_at, expiry_day, aal, amr, auth_time, epoch)
SELECT id, gen_random_uuid(), gen_random_uuid(), 1, '', now(), now(), now(), now() + interval '1 day',
	(now() + interval '1 day')::date, 'aal1', '{pwd}', now(), 0 FROM auth_private.accounts;
INSERT INTO auth_private.outbox (id, created_at, kind, channel, recipient, user_id, payload, attempts, due_at)
SELECT gen_random_uuid(), now(), 'new_signin', 'email', id || '@example.net', id, '{}', 0, now() FROM auth_private.accounts;
INSERT INTO auth_private.codes (user_id, id, purpose, identifier, created_at, code_expires_at, link_expires_at)
SELECT id, gen_random_uuid(), 'password_reset', id || '@example.net', now(), now(), now() + interval '1 day' FROM auth_private.accounts;
INSERT INTO auth_private.audit_log (user_id, id, at, action, actor, result)
SELECT id, gen_random_uuid(), now(), 'signin', 'user', 'ok' FROM auth_private.accounts;
SQL
leave($loader);

foreach my $case ([ 'that planned when all was small', $old, '' ], [ 'under hostile settings', sql_connect($node), $settings ],
	[ 'that would plan anew each time', sql_connect($node), 'SET plan_cache_mode = force_custom_plan; SET jit_above_cost = 0' ])
{
	my ($name, $dbh, $set) = @$case;
	my $before = scans();
	my $reads = read_through();

	$dbh->do($set) if $set;
	flows($dbh, $name =~ s/\W//gr);
	leave($dbh);
	is_deeply(scans(), $before, "H13: no table is read from end to end by a backend $name");
	is_deeply(read_through($reads), [], "H13: nor is an index");
}

done_testing();
