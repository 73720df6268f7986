# Signing keys as several backends see them: made once, refused at once,
# rotated under load, restored, and sealed under a master key.
#
# One psql can't be two backends, and the master key is a file that the
# server reads.
use strict;
use warnings;
use AuthSession;
use DBD::Pg ':async';
use File::stat;
use MIME::Base64 qw(decode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

my $node = new_node('keys', init => [ allows_streaming => 1 ], conf => <<'CONF');
max_connections = 60
auth_session.access_token_ttl = 1h
auth_session.lock_wait = 30s
auth_session.signin_rate_per_account = 0
CONF
account($node, 'ada@example.org');

sub header { return decode_base64url((split /\./, $_[0])[0]) }

# What a connection says of a token: "live" or the failure's code.
sub says
{
	my ($dbh, $token) = @_;

	return 'live'
	  if eval { $dbh->selectrow_array('SELECT auth.verify($1)', undef, $token); 1 };
	return $dbh->errstr =~ /^DETAIL:\s+(\w+)/m ? $1 : $dbh->errstr;
}

sub one { return $node->safe_psql('postgres', $_[0]) }

# ---- first use by many: one key ----

one('TRUNCATE auth_private.signing_keys');
{
	my @handles = map { sql_connect($node) } 1 .. 20;
	my @statements;
	my %kids;

	foreach my $dbh (@handles)
	{
		my $statement =
		  $dbh->prepare('SELECT auth_admin.jwt_secret()', { pg_async => PG_ASYNC });
		$statement->execute;
		push @statements, $statement;
	}
	foreach my $i (0 .. $#handles)
	{
		$handles[$i]->pg_result;
		my ($jwk) = $statements[$i]->fetchrow_array;
		$kids{$1}++ if $jwk =~ /"kid": "([^"]+)"/;
		$statements[$i]->finish;
		$handles[$i]->disconnect;
	}
	is(join(',', values %kids), '20', 'twenty first uses at once get the same key');
	is(one('SELECT count(*) FROM auth_private.signing_keys'), '1', 'and there is one');
}

# ---- retired: refused at once in every open backend ----

my $signer = sql_connect($node);
my $idle = sql_connect($node);
my $in_transaction = sql_connect($node);
my $repeatable = sql_connect($node);
my $prepared = sql_connect($node);
my $token = signin($node, 'ada@example.org')->{access_token};
my $old = one("SELECT kid FROM auth_admin.signing_keys WHERE state = 'active'");
my $new = one("SELECT auth_admin.create_signing_key('ES256')");

one("SELECT auth_admin.activate_signing_key('$new')");
$in_transaction->begin_work;
$repeatable->begin_work;
$repeatable->do('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
$prepared->do('SET plan_cache_mode = force_generic_plan');
$prepared->do("PREPARE check_it AS SELECT auth.verify('$token')");
$prepared->do('EXECUTE check_it');
is(says($_->[1], $token), 'live', "F21: the former key's token is live $_->[0]")
  foreach [ 'in an idle backend', $idle ],
  [ 'in a transaction', $in_transaction ],
  [ 'under REPEATABLE READ', $repeatable ];

one("SELECT auth_admin.retire_signing_key('$old')");
is(says($idle, $token), 'invalid_token', 'F21: retired, it is refused in an idle backend');
is(says($in_transaction, $token),
	'invalid_token', 'F21: refused in a transaction that began before');
is(says($repeatable, $token),
	'invalid_token', 'F21: refused under REPEATABLE READ, in a snapshot of before');
ok(!eval { $prepared->do('EXECUTE check_it'); 1 },
	'F15, F21: refused by a prepared generic plan with the token as a literal');
$_->rollback foreach $in_transaction, $repeatable;
is(says(sql_connect($node), $token), 'invalid_token', 'F21: refused in a new backend');

# ---- nothing stays of a transaction that came to nothing ----

my $session = signin($node, 'ada@example.org');
like(header($session->{access_token}), qr/"kid":"\Q$new\E"/, 'the new key signs');
$signer->begin_work;
my ($undone) = $signer->selectrow_array(q{SELECT auth_admin.create_signing_key('EdDSA')});
$signer->do('SELECT auth_admin.activate_signing_key($1)', undef, $undone);
my ($inside) = $signer->selectrow_array(
	'SELECT access_token FROM auth.renew($1)', undef, $session->{refresh_token});
like(header($inside), qr/"kid":"\Q$undone\E"/, 'a key signs in the transaction that made it');
is(says($idle, $inside), 'invalid_token', 'and nowhere else, before its commit');
$signer->rollback;
is(says($signer, $inside), 'invalid_token',
	'F21: rolled back, the very backend that made it knows it no more');
like(
	header($signer->selectrow_array(
		'SELECT access_token FROM auth.renew($1)', undef, $session->{refresh_token})),
	qr/"kid":"\Q$new\E"/,
	'and signs with the key before');

# ---- a change by hand reaches them too ----

$token = signin($node, 'ada@example.org')->{access_token};
is(says($idle, $token), 'live', 'a token is live');
one("UPDATE auth_private.signing_keys SET state = 'retired' WHERE kid = '$new'");
is(says($idle, $token), 'invalid_token', 'F21: a key that is retired by hand is refused at once');
one("UPDATE auth_private.signing_keys SET state = 'active' WHERE kid = '$new'");
is(says($idle, $token), 'live', 'and taken back at once');
one("SET session_replication_role = replica; UPDATE auth_private.signing_keys SET state = 'retired' WHERE kid = '$new'");
is(says($idle, $token), 'invalid_token', 'F21: also where ordinary triggers are off');
one("UPDATE auth_private.signing_keys SET state = 'active' WHERE kid = '$new'");

# ---- on a standby ----

{
	my $standby = PostgreSQL::Test::Cluster->new('standby');
	my $theirs = one("SELECT auth_admin.create_signing_key('HS256')");
	my ($reader, $its);

	one("SELECT auth_admin.activate_signing_key('$theirs')");
	$its = signin($node, 'ada@example.org')->{access_token};
	$node->backup('base');
	$standby->init_from_backup($node, 'base', has_streaming => 1);
	$standby->start;
	$node->wait_for_catchup($standby);
	$reader = sql_connect($standby);
	is(says($reader, $its), 'live', 'a token is live on a standby');
	one("SELECT auth_admin.activate_signing_key('$new')");
	one("SELECT auth_admin.retire_signing_key('$theirs')");
	$node->wait_for_catchup($standby);
	is(says($reader, $its), 'invalid_token',
		'F21, D8: a key that is retired is refused in an open backend of a standby');
	ok( !eval { $reader->do(q{SELECT auth_admin.create_signing_key('HS256')}); 1 }
		  && $reader->state eq 'PT405',
		'a standby makes no key, and says that it is one');
	$reader->disconnect;
	$standby->stop;
}

# ---- durable, whatever the caller set ----

my $doomed = one("SELECT auth_admin.create_signing_key('HS256')");
one("SET synchronous_commit = off; SELECT auth_admin.retire_signing_key('$doomed')");
crash($node);
is(one("SELECT state FROM auth_admin.signing_keys WHERE kid = '$doomed'"),
	'retired', 'D6: a key that is retired without synchronous_commit stays so over a crash');

# ---- rotation under load ----

{
	my @algorithms = ('ES256', 'HS256', 'EdDSA', 'HS512', 'ES256', 'HS384');
	my @clients = map { sql_connect($node) } 1 .. 4;
	my @sessions = map { signin($node, 'ada@example.org') } @clients;
	my $admin = sql_connect($node);
	my ($requests, $renewals, $rotations, $next) = (0, 0, 0, time);
	my (@failed, %kids);

	while ($rotations < 6 || time < $next)
	{
		if (time >= $next)
		{
			my ($kid) = $admin->selectrow_array('SELECT auth_admin.create_signing_key($1)',
				undef, $algorithms[$rotations++]);
			$admin->do('SELECT auth_admin.activate_signing_key($1)', undef, $kid);
			$next = time + 1;
		}
		foreach my $i (0 .. $#clients)
		{
			my $verdict = says($clients[$i], $sessions[$i]{access_token});
			$requests++;
			push @failed, $verdict if $verdict ne 'live';
			next if rand() > 0.05;
			my $renewed = $clients[$i]->selectrow_hashref('SELECT * FROM auth.renew($1)',
				undef, $sessions[$i]{refresh_token});
			$sessions[$i] = $renewed;
			$kids{ header($renewed->{access_token}) }++;
			$renewals++;
		}
	}
	is(join(' ', @failed), '',
		'F21: no request fails while keys rotate every second');
	cmp_ok($requests, '>', 100, 'requests were made');
	cmp_ok($renewals, '>', 5, 'and tokens renewed');
	cmp_ok(scalar(keys %kids), '>', 2, 'under several keys');
}

# ---- at rest ----

my $files = PostgreSQL::Test::Utils::tempdir;
my %key_of = (first => 'a' x 32, second => 'b' x 32, short => 'c' x 31, long => 'd' x 33,
	zero => "\0" x 32, open => 'e' x 32);
foreach my $name (keys %key_of)
{
	open my $file, '>:raw', "$files/$name" or die "$name: $!";
	print $file $key_of{$name};
	close $file;
	chmod $name eq 'open' ? 0640 : 0600, "$files/$name";
}

# The master key file of the running server; '' for none.
sub master_key
{
	my ($path) = @_;

	one("ALTER SYSTEM SET auth_session.master_key_file = '$path'");
	one('SELECT pg_reload_conf()');
	$node->poll_query_until('postgres',
		"SELECT current_setting('auth_session.master_key_file') = '$path'")
	  or die "the setting did not arrive";
}

sub sealed { return one('SELECT count(*) FILTER (WHERE is_sealed) || $$/$$ || count(*) FROM auth_admin.signing_keys WHERE can_sign') }

# PostgREST keeps the keys: it is told of each change once it is committed.
{
	my $listener = sql_connect($node);
	my $keys = sql_connect($node);
	my $told;

	$listener->do('LISTEN pgrst');
	$keys->begin_work;
	$keys->do("SELECT auth_admin.create_signing_key('HS256')");
	$keys->rollback;
	$keys->do("SELECT auth_admin.create_signing_key('HS256')");
	foreach my $try (1 .. 600)
	{
		$listener->do('SELECT pg_sleep(0.1)');
		last if $told = $listener->pg_notifies;
	}
	is($told && "$told->[0] $told->[2]", 'pgrst reload config', 'F21: PostgREST is told that there is another key');
	$_->disconnect foreach $listener, $keys;
}

# Whether a file of secrets occurs in the tables' text.
sub stored { return one(q{SELECT string_agg(secret::text, ' ') FROM auth_private.signing_keys} ) . one('SELECT string_agg(key::text, $$ $$) FROM auth_private.mac_keys') }

refused_with($node, 'SELECT auth_admin.seal_keys()', 'invalid_request',
	'without a master key there is nothing to seal under');
my $hmac = one("SELECT auth_admin.create_signing_key('HS256')");
one("SELECT auth_admin.activate_signing_key('$hmac')");
my $secret = one('SELECT auth_admin.jwt_secret()');
my $bytes = unpack 'H*', decode_base64url($secret =~ /"k": "([^"]+)"/ ? $1 : '');
my $before = signin($node, 'ada@example.org');
my $count = one('SELECT (SELECT count(*) FROM auth_private.mac_keys) + (SELECT count(*) FROM auth_private.signing_keys WHERE secret IS NOT NULL)');

like(stored(), qr/$bytes/, 'without a master key a secret is stored as it is');
master_key("$files/first");
is(one('SELECT auth_admin.seal_keys()'), $count, 'what was stored open is sealed, MAC keys too');
unlike(stored(), qr/$bytes/, 'no table has the secret any more');
is(one('SELECT auth_admin.seal_keys()'), '0', 'a second time there is nothing to do');
is(sealed(), one('SELECT count(*) || $$/$$ || count(*) FROM auth_admin.signing_keys WHERE can_sign'), 'the view says so');
is(one('SELECT auth_admin.jwt_secret()'), $secret, 'the secret is the same');
is(says(sql_connect($node), $before->{access_token}), 'live', 'tokens made before verify');
my $renewed = one('SELECT access_token FROM auth.renew(' . quoted($before->{refresh_token}) . ')');
is(says($idle = sql_connect($node), $renewed), 'live', 'and renewal works: the MAC key opens');
my $made = one("SELECT auth_admin.create_signing_key('RS256')");
is(one("SELECT is_sealed FROM auth_admin.signing_keys WHERE kid = '$made'"),
	't', 'a key that is made now is sealed at once');

# Another file, or none: denied, and nothing is overwritten.
my $rows = stored();
foreach my $case (
	[ "$files/second", 'another master key' ],
	[ '', 'no master key' ],
	[ "$files/missing", 'a file that is missing' ],
	[ "$files/short", 'a file of 31 bytes' ],
	[ "$files/long", 'a file of 33 bytes' ],
	[ "$files/zero", 'a file of zeros' ],
	[ "$files/open", 'a file that others may read' ],
	[ $files, 'a directory' ])
{
	my ($path, $what) = @$case;
	my ($out, $err) = ('', '');

	master_key($path);
	is( $node->psql('postgres',
			"SELECT auth.signin('ada\@example.org', '$PASSWORD')",
			stdout => \$out, stderr => \$err),
		3, "G7: $what: no token is signed");
	like($err, qr/a key of the authentication service is not available/, "$what: the error is clear");
	unlike($err, qr/\Q$files\E/, "$what: and tells a client no path");
	isnt($node->psql('postgres', 'SELECT auth_admin.seal_keys()'), 0, "$what: seal_keys refuses")
	  if $path ne "$files/first";
	is(says(sql_connect($node), $renewed), 'invalid_token', "G7: $what: no HMAC token verifies");
}
ok(stored() eq $rows, 'nothing was overwritten');
like(slurp_file($node->logfile), qr/"\Q$files\E\/open" is refused/, 'the log has the reason');

# Under the right file again, in a backend that was refused.
master_key("$files/second");
is(says($idle, $renewed), 'invalid_token', 'a backend under the wrong file refuses');
master_key("$files/first");
my $until = time + 30;
usleep(50_000) while says($idle, $renewed) ne 'live' && time < $until;
is(says($idle, $renewed), 'live', 'and takes up again when the file is right');

# A new master key: the one before is given once.
master_key("$files/second");
is(one("SELECT auth_admin.seal_keys('$files/first')"), $count + 1, 'keys are sealed again under a new master key');
is(one('SELECT auth_admin.jwt_secret()'), $secret, 'which opens them');
is(says(sql_connect($node), $renewed), 'live', 'tokens verify');
isnt($node->psql('postgres', "SELECT auth_admin.seal_keys('$files/open')"), 0,
	'a previous key that others may read is refused');
$node->restart;
is(says(sql_connect($node), $renewed), 'live', 'over a restart too');

# A sealed secret opens in its own row only.
one("UPDATE auth_private.signing_keys AS a SET secret = b.secret FROM auth_private.signing_keys AS b WHERE a.kid = '$hmac' AND b.kid = '$made'");
isnt($node->psql('postgres', 'SELECT auth_admin.jwt_secret()'), 0,
	"another row's sealed secret does not open");

done_testing();

sub refused_with
{
	my ($on, $sql, $code, $name) = @_;
	my $err = '';

	$on->psql('postgres', $sql, stderr => \$err);
	like($err, qr/^DETAIL:\s+$code$/m, $name);
}
