# A million calls leave a backend as large as it was, those that fail too.
#
# psql can't look at the memory of its backend.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('leaks');
my $dbh = sql_connect($node);
my ($pid) = $dbh->selectrow_array('SELECT pg_backend_pid()');
my $directory = PostgreSQL::Test::Utils::tempdir;
my %pem;

plan skip_all => 'there is no /proc to read' unless -r "/proc/$pid/statm";

# The backend's resident memory in kB, without what it shares with others.
sub private_memory
{
	my (undef, $resident, $shared) = split ' ', slurp_file("/proc/$pid/statm");
	return ($resident - $shared) * 4;
}

# Asserts that a statement that takes a count grows nothing after a tenth of
# its calls. (A generate_series in FROM would store its rows.)
sub flat
{
	my ($name, $sql, $count, @arguments) = @_;
	my $statement = $dbh->prepare($sql);
	my $before;
	my $grown;

	$statement->execute($count / 10, @arguments);
	$statement->finish;
	$before = private_memory();
	$statement->execute($count, @arguments);
	$statement->finish;
	$grown = private_memory() - $before;
	cmp_ok($grown, '<', 1024, "G5: $count calls: $name ($grown kB)");
	return;
}

$pem{$_->[0]} = `openssl genpkey -algorithm $_->[1] 2>/dev/null`
  foreach [ RS256 => 'RSA -pkeyopt rsa_keygen_bits:2048' ],
  [ ES256 => 'EC -pkeyopt ec_paramgen_curve:P-256' ], [ EdDSA => 'ED25519' ];

flat('jwt_verify(jwt_sign()), HS256', <<'SQL', 1_000_000);
SELECT count(*) FROM (SELECT generate_series(1, $1::int)) AS s (i),
	auth.jwt_verify(auth.jwt_sign(json_build_object('n', i), 'secret'), 'secret') WHERE valid
SQL
flat('jwt_verify of malformed tokens', <<'SQL', 200_000);
SELECT count(*) FROM (SELECT generate_series(1, $1::int)) AS s (i),
	auth.jwt_verify((ARRAY['', 'a.b.c', 'eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.AAAA', 'eyJhbGciOiJIUzI1NiIs.e30.AA', 'e30.e30.AAAA'])[i % 5 + 1], 'secret')
SQL
foreach my $alg (sort keys %pem)
{
	flat("jwt_verify(jwt_sign()), $alg", <<'SQL', 5_000, $pem{$alg}, $alg);
SELECT count(*) FROM (SELECT generate_series(1, $1::int)) AS s (i),
	auth.jwt_verify(auth.jwt_sign(json_build_object('n', i), $2, $3), $2, $3) WHERE valid
SQL
	flat("jwt_sign, $alg, another PEM each time", <<'SQL', 300, $pem{$alg}, $alg);
SELECT count(auth.jwt_sign(json_build_object('n', i), repeat(' ', i % 100) || $2, $3))
  FROM (SELECT generate_series(1, $1::int)) AS s (i)
SQL
}
$dbh->do(<<'SQL');
CREATE FUNCTION refused(calls int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. calls LOOP
		BEGIN
			PERFORM auth.jwt_sign('{}', repeat(' ', i % 100) || '-----BEGIN PRIVATE KEY-----', 'RS256');
		EXCEPTION WHEN OTHERS THEN
		END;
	END LOOP;
END
$$;
CREATE FUNCTION reloaded(calls int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1 .. calls LOOP
		UPDATE auth_private.signing_keys SET created_at = created_at;
		BEGIN
			PERFORM auth.verify('eyJhbGciOiJIUzI1NiJ9.e30.AAAA');
		EXCEPTION WHEN OTHERS THEN
		END;
	END LOOP;
END
$$;
SQL
flat('jwt_sign that fails', 'SELECT refused($1::int)', 20_000);

account($node, 'ada@example.org');
foreach my $alg (qw(HS256 ES256 EdDSA))
{
	my ($kid) = $dbh->selectrow_array('SELECT auth_admin.create_signing_key($1)', undef, $alg);
	my $token;

	$dbh->do('SELECT auth_admin.activate_signing_key($1)', undef, $kid);
	$token = signin($node, 'ada@example.org')->{access_token};
	flat("auth.verify, $alg", 'SELECT count(auth.verify($2)) FROM (SELECT generate_series(1, $1::int)) AS s',
		5_000, $token);
}

# Every change drops the loaded keys and their OpenSSL contexts.
flat('keys loaded anew', 'SELECT reloaded($1::int)', 1_000);

done_testing();
