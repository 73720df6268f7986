# Tokens are UTF-8 in databases of another encoding.
#
# psql is connected to one database; this compares three.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('encodings');
my %dbh;

foreach my $encoding (qw(UTF8 LATIN1 SQL_ASCII))
{
	$node->safe_psql('postgres',
		"CREATE DATABASE \L$encoding\E ENCODING '$encoding' LOCALE 'C' TEMPLATE template0");
	$node->safe_psql(lc $encoding, 'CREATE EXTENSION auth_session');
	$dbh{$encoding} = sql_connect($node, dbname => lc $encoding);
}
foreach my $dbh (@dbh{qw(UTF8 LATIN1)})
{
	$dbh->do(q{SET client_encoding = 'UTF8'});
	$dbh->{pg_enable_utf8} = 1;
}

sub one
{
	my ($encoding, $sql, @arguments) = @_;

	# Characters, or their bytes where the database knows of none.
	foreach (@arguments)
	{
		$encoding eq 'SQL_ASCII' ? utf8::encode($_) : utf8::upgrade($_);
	}
	return ($dbh{$encoding}->selectrow_array($sql, undef, @arguments))[0];
}

# "josé" under the secret "sécret".
my $payload = qq({"name":"jos\x{e9}"});
my $token = one('UTF8', 'SELECT auth.jwt_sign($1, $2)', $payload, "s\x{e9}cret");

is(one('LATIN1', 'SELECT auth.jwt_sign($1, $2)', $payload, "s\x{e9}cret"),
	$token, 'LATIN1: the same payload and secret make the same token');
is(one('LATIN1', 'SELECT valid FROM auth.jwt_verify($1, $2)', $token, "s\x{e9}cret"),
	1, 'LATIN1: which verifies');
is(one('LATIN1', q{SELECT payload ->> 'name' FROM auth.jwt_verify($1, $2)}, $token, "s\x{e9}cret"),
	"jos\x{e9}", 'LATIN1: and says what it said');

my $ascii = one('UTF8', 'SELECT auth.jwt_sign($1, $2)', '{"name":"jos\u00e9"}', 'secret');
my $emoji = one('UTF8', 'SELECT auth.jwt_sign($1, $2)', qq({"name":"\x{1f600}"}), 'secret');
my $escaped = one('UTF8', 'SELECT auth.jwt_sign($1, $2)', '{"name":"\ud83d\ude00"}', 'secret');
foreach my $encoding (sort keys %dbh)
{
	is(one($encoding, 'SELECT valid FROM auth.jwt_verify($1, $2)', $ascii, 'secret'),
		1, "$encoding: an escape is a character of JSON");
	is(one($encoding, 'SELECT valid FROM auth.jwt_verify($1, $2)', $escaped, 'secret'),
		1, "$encoding: so is a pair of surrogates");
	is(one($encoding, 'SELECT count(*) FROM auth.jwt_verify($1, $2)', "$token\x{e9}", 'secret'),
		1, "F9: $encoding: a token that is no ASCII is an answer");
	is(one($encoding, q{SELECT count(*) FROM auth_admin.signing_keys, auth.jwks()}),
		0, "$encoding: there are no keys yet");
	is(one($encoding, 'SELECT length(auth_admin.import_signing_key($1))',
			'{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'),
		43, "$encoding: a JWK is imported");
}
is(one('LATIN1', 'SELECT valid FROM auth.jwt_verify($1, $2)', $emoji, 'secret'),
	0, 'F9: LATIN1: a payload that the database can not hold is an answer, not an error');
is(one('SQL_ASCII', 'SELECT valid FROM auth.jwt_verify($1, $2)', $emoji, 'secret'),
	1, 'SQL_ASCII: bytes are bytes');

# A claim is as long as it is in the token.
is(one('LATIN1', q{SELECT length(set_config('auth_session.issuer', repeat(chr(233), 127), true))}),
	127, 'LATIN1: an issuer of 127 characters is one of 254 bytes in UTF-8');
ok(!eval { one('LATIN1', q{SELECT set_config('auth_session.issuer', repeat(chr(233), 128), true)}) },
	'LATIN1: one of 128 would be too long');
like($@, qr/at most 255 bytes in UTF-8/, 'LATIN1: which is said');

# Settings of a database are kept in the bytes of the one that set them.
account($node, 'ada@example.org', dbname => 'utf8');
$dbh{LATIN1}->do(qq{ALTER DATABASE utf8 SET auth_session.audience = 'jos\x{e9}'});
my $offset = -s $node->logfile;
refused($node, q{SELECT * FROM auth.signin('ada@example.org', 'correct horse battery staple')}, 'busy',
	'UTF8: an audience in the bytes of another encoding is in no token', 'utf8');
like(slurp_file($node->logfile, $offset), qr/LOG:  an access token with these claims would not verify/,
	'UTF8: which the operator is told');
$node->safe_psql('postgres', 'ALTER DATABASE utf8 RESET auth_session.audience');

# Access tokens: what a LATIN1 database knows of a user goes out as UTF-8.
$node->safe_psql('latin1', <<'SQL');
CREATE SCHEMA app;
CREATE FUNCTION app.hook(user_id uuid, claims jsonb) RETURNS jsonb LANGUAGE sql AS
$$ SELECT jsonb_build_object('name', 'jos' || chr(233)) $$;
ALTER SYSTEM SET auth_session.claims_hook = 'app.hook';
SELECT pg_reload_conf();
SQL
$dbh{LATIN1}->disconnect;
account($node, 'ada@example.org', dbname => 'latin1');
my $tokens = signin($node, 'ada@example.org', dbname => 'latin1');
my (undef, $segment) = split /\./, $tokens->{access_token};
is(one('UTF8', q{SELECT convert_from(decode(rpad(translate($1, '-_', '+/'), (length($1) + 3) / 4 * 4, '='), 'base64'), 'UTF8')::jsonb ->> 'name'}, $segment),
	"jos\x{e9}", 'LATIN1: an access token is UTF-8');
is($node->safe_psql('latin1', 'SELECT auth.verify(' . quoted($tokens->{access_token}) . q{) ->> 'name' = 'jos' || chr(233)}),
	't', 'LATIN1: which auth.verify reads back');

done_testing();
