# Rows are looked at without a statement only in a table that this server holds
# itself. Of one that is partitioned, or that Citus has taken over (as its catalog
# pg_dist_partition says), what lies in the table's own heap is not what counts: a
# session that has ended must not live on in it.
use strict;
use warnings;
use AuthSession;
use Test::More;

my $node = new_node('main');
my $email = 'ada@example.org';

account($node, $email);

# All of a session's life, in a backend that has served before and in a new one.
sub lives_and_ends
{
	my ($dbh, $what) = @_;
	my $tokens = signin($node, $email);
	my $other = signin($node, $email);

	is($dbh->selectrow_array(q{SELECT auth.verify($1) ->> 'session_id'}, {}, $tokens->{access_token}),
		$tokens->{session_id}, "D5: $what: a session lives");
	my $renewed = $dbh->selectrow_hashref('SELECT * FROM auth.renew($1)', {}, $tokens->{refresh_token});
	refused($node, 'SELECT auth.verify(' . quoted($tokens->{access_token}) . ')',
		'token_expired', "D5: $what: the token that a renew replaced is refused");
	is($dbh->selectrow_array(q{SELECT auth.verify($1) ->> 'session_id'}, {}, $renewed->{access_token}),
		$tokens->{session_id}, "D5: $what: its successor is good");
	$dbh->do('SELECT auth.logout(refresh_token => $1)', {}, $renewed->{refresh_token});
	refused($node, 'SELECT auth.verify(' . quoted($renewed->{access_token}) . ')',
		'session_revoked', "D5: $what: it ends with a logout");

	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {}, $other->{access_token});
	$dbh->do('SELECT auth.logout_all()');
	$dbh->commit;
	refused($node, 'SELECT auth.verify(' . quoted($other->{access_token}) . ')',
		'session_revoked', "D5: $what: with a logout of all, too");
	is($dbh->selectrow_array('SELECT count(*) FROM auth_private.token_cache'), 0, "$what: and no token stays");
	return;
}

my $old = sql_connect($node);
lives_and_ends($old, 'as it is');

# ---- Citus' catalog names the table, whose heap has rows of before ----

my $loader = sql_connect($node);
$loader->do(<<'SQL');
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass PRIMARY KEY);
SQL

# Citus tells every backend of it, as a change of the table does.
sub take_over
{
	my ($table) = @_;

	$loader->do("INSERT INTO pg_dist_partition VALUES ('auth_private.$table')");
	$loader->do("ALTER TABLE auth_private.$table SET (fillfactor = 80)");
	return;
}

my $left = signin($node, $email);
is($old->selectrow_array(q{SELECT auth.verify($1) ->> 'session_id'}, {}, $left->{access_token}),
	$left->{session_id}, 'a session that is in the cache');
take_over('token_cache');
$loader->do("SET session_replication_role = replica; DELETE FROM auth_private.sessions; RESET session_replication_role");
is($loader->selectrow_array('SELECT count(*) FROM auth_private.token_cache'), 1, 'and stays in the heap when it has ended');
foreach my $dbh ($old, sql_connect($node))
{
	is(eval { $dbh->selectrow_array('SELECT auth.verify($1)', {}, $left->{access_token}) }, undef, 'D7: is refused');
	is($dbh->state, 'PT401', 'as one that has ended');
}
$loader->do('DELETE FROM auth_private.token_cache');
lives_and_ends($_, 'with a cache of Citus\'') foreach $old, sql_connect($node);

# From then on the store works as the role that nodes know each other by.
$loader->do(<<'SQL');
CREATE ROLE auth_session_node LOGIN;
GRANT USAGE ON SCHEMA auth_private TO auth_session_node;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA auth_private TO auth_session_node;
SQL
take_over($_) foreach qw(sessions accounts);
lives_and_ends($_, 'with all of Citus\'') foreach $old, sql_connect($node);
$loader->do('TRUNCATE pg_catalog.pg_dist_partition');
$loader->do("ALTER TABLE auth_private.$_ SET (fillfactor = 80)") foreach qw(token_cache sessions accounts);
lives_and_ends($old, 'given back');

# ---- partitions ----

$loader->do(<<'SQL');
ALTER INDEX auth_private.token_cache_pkey RENAME TO token_cache_old_pkey;
ALTER TABLE auth_private.token_cache RENAME TO token_cache_old;
CREATE TABLE auth_private.token_cache (LIKE auth_private.token_cache_old, PRIMARY KEY (user_id, session_id)) PARTITION BY HASH (user_id);
CREATE TABLE auth_private.token_cache_0 PARTITION OF auth_private.token_cache FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE auth_private.token_cache_1 PARTITION OF auth_private.token_cache FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE auth_private.token_cache OWNER TO auth_session_owner;
ALTER TABLE auth_private.token_cache ADD FOREIGN KEY (user_id, session_id)
	REFERENCES auth_private.sessions (user_id, id) ON DELETE CASCADE;
SQL
lives_and_ends($_, 'with a partitioned cache') foreach $old, sql_connect($node);

# ---- where an unknown address is looked for ----

# It must be the same place each time: one that fails, or is slow, would tell the
# addresses that are known, always in one place, from all others.
$loader->do(<<'SQL');
ALTER INDEX auth_private.accounts_pkey RENAME TO accounts_old_pkey;
ALTER TABLE auth_private.accounts RENAME TO accounts_old;
CREATE TABLE auth_private.accounts (LIKE auth_private.accounts_old INCLUDING DEFAULTS, PRIMARY KEY (id)) PARTITION BY HASH (id);
SQL
$loader->do("CREATE TABLE auth_private.accounts_$_ PARTITION OF auth_private.accounts FOR VALUES WITH (MODULUS 8, REMAINDER $_)")
  foreach 0 .. 7;
$loader->do('ALTER TABLE auth_private.accounts OWNER TO auth_session_owner; INSERT INTO auth_private.accounts SELECT * FROM auth_private.accounts_old');
$loader->do("ALTER TABLE auth_private.accounts_$_ OWNER TO auth_session_owner") foreach 0 .. 7;

# The partitions of accounts that eight calls look at.
sub places
{
	my ($call) = @_;
	my $dbh = sql_connect($node);

	$dbh->begin_work;
	foreach my $try (1 .. 8)
	{
		$dbh->pg_savepoint('before');
		eval { $dbh->do($call) };
		$dbh->pg_rollback_to('before');
	}
	my $places = $dbh->selectcol_arrayref(
		q{SELECT relname FROM pg_stat_xact_user_tables WHERE relname ~ '^accounts_[0-7]$' AND coalesce(idx_scan, 0) + seq_scan > 0});
	$dbh->rollback;
	$dbh->disconnect;
	return $places;
}

$loader->do(q{ALTER SYSTEM SET auth_session.resend_cooldown = 0});
$loader->do(q{ALTER SYSTEM SET auth_session.message_rate_per_account = 0});
$loader->do('SELECT pg_reload_conf()');
foreach my $call (
	q{SELECT auth.signin('nobody@example.org', 'whatever it is')},
	q{SELECT auth.request_password_reset('nobody@example.org')},
	q{SELECT auth.reset_password('nobody@example.org', '000000', 'whatever it is')},
	q{SELECT auth.resend_confirmation('nobody@example.org')})
{
	is(@{ places($call) }, 1, "B3: an unknown address is looked for in one place: $call");
}
is(@{ places("SELECT auth.signin('$email', 'whatever it is')") }, 1, 'as a known one is');

# ---- a trigger that fires on a shard ----

# What a backend knows of the keys goes by the name of their table, whatever
# relation has changed.
$loader->do('ALTER TABLE auth_private.signing_keys DISABLE TRIGGER ALL');
$loader->do('CREATE TABLE public.signing_keys_102056 (LIKE auth_private.signing_keys)');
$loader->do('CREATE TRIGGER changed AFTER INSERT ON public.signing_keys_102056 EXECUTE FUNCTION auth_private.table_changed()');
my $signed = signin($node, $email)->{access_token};
my $verify = q{SELECT auth.verify($1) IS NOT NULL};
my $knows = sql_connect($node);
ok($knows->selectrow_array($verify, {}, $signed), 'a token of a key that is good');
$loader->do(q{UPDATE auth_private.signing_keys SET state = 'retired', secret = NULL, verifies_until = NULL});
ok($knows->selectrow_array($verify, {}, $signed), 'and was known as good, where no trigger says otherwise');
$loader->do('INSERT INTO public.signing_keys_102056 SELECT * FROM auth_private.signing_keys');
is(eval { $knows->selectrow_array($verify, {}, $signed) }, undef, 'F21: a retired key is refused when the trigger fires on a shard');
is($knows->state, 'PT401', 'as an invalid token');

done_testing();
