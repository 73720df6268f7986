# Where a backend has found a row of the token cache it looks first
# (row_probe.c). Here the rows move, go, are replaced and come back meanwhile,
# the table shrinks and is emptied: a token is live while its session is, and no
# longer, and nothing is read behind the end of the table.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', conf => <<'CONF');
autovacuum = off
auth_session.signin_rate_per_account = 0
CONF

account($node, 'ada@example.org');
my $dbh = sql_connect($node);
my $keep = signin($node, 'ada@example.org');
my $other = signin($node, 'ada@example.org');
my $third = signin($node, 'ada@example.org');

sub says
{
	my ($tokens) = @_;
	my $claims = eval { $dbh->selectrow_array('SELECT auth.verify($1)', {}, $tokens->{access_token}) };

	return 'live' if $claims;
	return $dbh->errstr =~ /DETAIL:\s+(\w+)/ ? $1 : $dbh->errstr;
}

# As a superuser: what the extension never does to its own table.
sub ask { return $node->safe_psql('postgres', $_[0]); }

sub place_of
{
	my ($tokens) = @_;
	return ask("SELECT ctid FROM auth_private.token_cache WHERE session_id = '$tokens->{session_id}'");
}

# How often a statement asks an index of the token cache.
sub index_scans
{
	my ($sql, $token) = @_;

	$dbh->begin_work;
	my $before = scans_so_far();
	$dbh->selectrow_array($sql, {}, $token);
	my $scans = scans_so_far() - $before;
	$dbh->commit;
	return $scans;
}

# Of this backend, and not yet handed on.
sub scans_so_far
{
	return $dbh->selectrow_array(
		q{SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_xact_user_tables WHERE relname = 'token_cache'});
}

is(says($_), 'live', 'live') foreach $keep, $other, $third;
is(says($keep), 'live', 'live again');
is(index_scans('SELECT auth.verify($1)', $keep->{access_token}), 0, 'what was seen before is found without the index');

# A row that is about to be deleted was locked before.
my $gone = signin($node, 'ada@example.org');
is(index_scans('SELECT auth.logout(refresh_token => $1)', $gone->{refresh_token}), 1, 'and is deleted where it was locked');
is(says($gone), 'session_revoked', 'D1: and gone');

# A row of another session in the very place, which says what would make the
# ended one live.
my $place = place_of($other);
my ($jti) = $dbh->selectrow_array(q{SELECT auth.verify($1) ->> 'jti'}, {}, $other->{access_token});
$node->safe_psql('postgres', 'SELECT auth.logout(refresh_token => ' . quoted($other->{refresh_token}) . ')');
is(says($other), 'session_revoked', 'D1: a session has ended, elsewhere');
ask("DELETE FROM auth_private.token_cache WHERE session_id = '$third->{session_id}'");
ask('VACUUM auth_private.token_cache');
ask(<<"SQL");
INSERT INTO auth_private.token_cache (user_id, session_id, jti, expires_at, expiry_day)
SELECT user_id, id, '$jti', access_expires_at, expiry_day FROM auth_private.sessions
WHERE id = '$third->{session_id}'
SQL
is(place_of($third), $place, 'another session has its row in that place');
is(says($other), 'session_revoked', 'D1: and is not taken for the one that has ended');
is(says($third), 'live', 'nor loses by it');

# The end of the table moves over a place.
ask(<<"SQL");
INSERT INTO auth_private.sessions (user_id, id, jti, generation, refresh_digest, created_at, renewed_at,
	access_expires_at, expires_at, expiry_day, aal, amr, auth_time, epoch)
SELECT user_id, gen_random_uuid(), gen_random_uuid(), 1, '', now(), now(), now(), now(), now(), 'aal1', '{pwd}', now(), 0
FROM auth_private.sessions, generate_series(1, 2000) WHERE id = '$keep->{session_id}';
INSERT INTO auth_private.token_cache (user_id, session_id, jti, expires_at, expiry_day)
SELECT user_id, id, jti, access_expires_at, expiry_day FROM auth_private.sessions WHERE refresh_digest = '';
SQL
my $late = signin($node, 'ada@example.org');
is(says($late), 'live', 'a token whose row is far behind');
ask("DELETE FROM auth_private.token_cache WHERE ctid > '(0,1000)'");
my $size = ask("SELECT pg_relation_size('auth_private.token_cache')");
ask('VACUUM auth_private.token_cache');
cmp_ok(ask("SELECT pg_relation_size('auth_private.token_cache')"), '<', $size, 'the table has shrunk');
is(says($late), 'live', 'what was behind its end now is looked for elsewhere');

# A row that says nothing is none.
ask('ALTER TABLE auth_private.token_cache ALTER jti DROP NOT NULL');
ask('UPDATE auth_private.token_cache SET jti = NULL');
is(says($keep), 'live', 'live where its row says nothing');
ask('UPDATE auth_private.token_cache AS c SET jti = s.jti FROM auth_private.sessions AS s WHERE s.id = session_id');
ask('ALTER TABLE auth_private.token_cache ALTER jti SET NOT NULL');

# All rows are elsewhere, or nowhere.
ask('VACUUM FULL auth_private.token_cache');
is(says($_), 'live', 'live where the rows have moved') foreach $keep, $third, $late;
is(says($other), 'session_revoked', 'D1: but for what has ended');
ask('TRUNCATE auth_private.token_cache');
is(says($_), 'live', 'live without a row') foreach $keep, $third, $late;
$node->safe_psql('postgres', 'SELECT auth.logout(refresh_token => ' . quoted($keep->{refresh_token}) . ')');
is(says($keep), 'session_revoked', 'D1: until the session ends');

done_testing();
