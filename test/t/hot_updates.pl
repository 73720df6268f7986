# A look-up by the key prunes a page only once it is nearly full (row_lookup.c).
# So a renewal's new versions must still find room beside the old ones: the
# indexes get no new entries and the tables no new pages, however often sessions
# are renewed, in pages that loading has filled to their fillfactor.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $SESSIONS = 60;
my $RENEWALS = 20;

my $node = new_node('main', conf => <<'CONF');
autovacuum = off
auth_session.signin_rate_per_account = 0
CONF

account($node, 'ada@example.org');
my $dbh = sql_connect($node);
my @tokens = map { signin($node, 'ada@example.org')->{refresh_token} } 1 .. $SESSIONS;

sub ask { return $node->safe_psql('postgres', $_[0]); }

sub sizes
{
	return ask(q{SELECT string_agg(pg_relation_size(oid)::text, ' ' ORDER BY relname) FROM pg_class
		WHERE oid IN ('auth_private.sessions'::regclass, 'auth_private.sessions_pkey'::regclass,
			'auth_private.token_cache'::regclass, 'auth_private.token_cache_pkey'::regclass)});
}

my %before = map { $_ => ask("SELECT n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'auth_private.$_'::regclass") }
  qw(sessions token_cache);
my $sizes = sizes();

foreach my $turn (1 .. $RENEWALS)
{
	$_ = $dbh->selectrow_array('SELECT refresh_token FROM auth.renew($1)', {}, $_) foreach @tokens;
}
$dbh->do('SELECT pg_stat_force_next_flush()');
$dbh->disconnect;

is(ask('SELECT sum(generation) FROM auth_private.sessions'), $SESSIONS * ($RENEWALS + 1), 'every renewal was one');
foreach my $table (qw(sessions token_cache))
{
	my ($all, $cold) = split /\|/,
	  ask("SELECT n_tup_upd, n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'auth_private.$table'::regclass");

	cmp_ok($all, '>=', $SESSIONS * $RENEWALS, "$table: as many updates");
	# At midnight each session's day of expiry changes, which has an index.
	cmp_ok($cold - $before{$table}, '<=', $SESSIONS, "$table: within their pages");
}
is(sizes(), $sizes, 'tables and indexes have not grown');

done_testing();
