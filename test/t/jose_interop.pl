# Tokens between auth_session and what was not written here: npm's jose and
# jsonwebtoken, and openssl.
#
# psql alone has no other library to ask. The libraries come from the npm
# registry; where npm is not installed, or the registry out of reach, their
# part is skipped and says so.
use strict;
use warnings;
use AuthSession;
use File::Copy qw(copy);
use IPC::Run qw(run);
use JSON::PP;
use MIME::Base64 qw(encode_base64url decode_base64url);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @algorithms = qw(HS256 HS384 HS512 RS256 ES256 EdDSA);
my $json = JSON::PP->new->canonical->utf8;
my $node = new_node('interop');
my $dbh = sql_connect($node);
my $directory = PostgreSQL::Test::Utils::tempdir;

account($node, 'ada@example.org');

sub one { return ($dbh->selectrow_array(shift, undef, @_))[0] }

# Runs a command with an input; its output, or undef where it failed or is
# not installed.
sub output_of
{
	my ($input, @command) = @_;
	my ($out, $err) = ('', '');

	# run dies where there is no such program.
	return $out
	  if eval { run \@command, '<', \$input, '>', \$out, '2>', \$err };
	note("@command: $err$@");
	return;
}

# ---- openssl ----

my $payload = '{"sub":"1234567890","name":"John Doe","admin":true}';

foreach my $bits (256, 384, 512)
{
	my $signed = encode_base64url(qq({"alg":"HS$bits","typ":"JWT"})) . '.'
	  . encode_base64url($payload);
	my $mac = output_of($signed, 'openssl', 'dgst', "-sha$bits", '-hmac', 'a secret', '-binary');

	is( one('SELECT auth.jwt_sign($1, $2, $3)', $payload, 'a secret', "HS$bits"),
		$signed . '.' . encode_base64url($mac),
		"HS$bits: jwt_sign and openssl agree byte for byte");
}

my %made_by = (
	RS256 => [ 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048' ],
	ES256 => [ 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256' ],
	EdDSA => ['ED25519']);
foreach my $alg (sort keys %made_by)
{
	my ($key, $public, $data, $signature) =
	  map { "$directory/$alg.$_" } qw(key public data signature);
	my @sign =
	  $alg eq 'EdDSA'
	  ? ('pkeyutl', '-sign', '-rawin', '-inkey', $key, '-in', $data, '-out', $signature)
	  : ('dgst', '-sha256', '-sign', $key, '-out', $signature, $data);
	my @verify =
	  $alg eq 'EdDSA'
	  ? ('pkeyutl', '-verify', '-rawin', '-pubin', '-inkey', $public, '-in', $data, '-sigfile',
		$signature)
	  : ('dgst', '-sha256', '-verify', $public, '-signature', $signature, $data);
	my $pem;
	my $token;
	my @parts;

	output_of('', 'openssl', 'genpkey', '-algorithm', @{ $made_by{$alg} }, '-out', $key);
	output_of('', 'openssl', 'pkey', '-in', $key, '-pubout', '-out', $public);
	$pem = slurp_file($key);
	$token = one('SELECT auth.jwt_sign($1, $2, $3)', $payload, $pem, $alg);
	@parts = split /\./, $token;
	spew($data, "$parts[0].$parts[1]");

	# ES256: r and s side by side here, DER there.
	spew($signature, $alg eq 'ES256' ? der(decode_base64url($parts[2])) : decode_base64url($parts[2]));
	ok(defined output_of('', 'openssl', @verify), "$alg: openssl verifies what jwt_sign made");

	ok(defined output_of('', 'openssl', @sign), "$alg: openssl signs");
	if ($alg ne 'ES256')
	{
		is(encode_base64url(slurp_file($signature)), $parts[2],
			"$alg: jwt_sign and openssl agree byte for byte");
	}
	my $theirs = slurp_file($signature);
	$theirs = raw($theirs) if $alg eq 'ES256';
	is( one('SELECT valid FROM auth.jwt_verify($1, $2, $3)',
			"$parts[0].$parts[1]." . encode_base64url($theirs),
			slurp_file($public), $alg),
		1,
		"$alg: jwt_verify verifies what openssl made");
}

# ---- npm ----

SKIP:
{
	my (%kid, @tokens, $input, $out, $sub, $claims);

	skip 'npm is not installed (apt-get install npm)', 1
	  unless defined output_of('', 'npm', '--version');
	copy("test/interop/$_", "$directory/$_") or die "$_: $!"
	  foreach qw(package.json interop.mjs);
	local $ENV{HOME} = $directory;
	unless (defined output_of('', 'npm', 'install', '--prefix', $directory, '--no-audit',
			'--no-fund', '--ignore-scripts', '--no-package-lock', '--loglevel=error'))
	{
		skip 'npm could not install jose and jsonwebtoken from its registry', 1;
	}

	# Ours to them: a token of every algorithm.
	foreach my $alg (@algorithms)
	{
		my $kid = one('SELECT auth_admin.create_signing_key($1)', $alg);
		my $session;

		$dbh->do('SELECT auth_admin.activate_signing_key($1)', undef, $kid);
		$session = signin($node, 'ada@example.org');
		$sub = $session->{user_id};
		push @tokens,
		  { alg => $alg, token => $session->{access_token}, sub => $sub,
			($alg =~ /^HS/ ? (secret => $json->decode(one('SELECT auth_admin.jwt_secret()'))) : ()) };
	}
	$input = $json->encode({
		jwks => $json->decode(one('SELECT auth.jwks()')),
		issuer => 'auth_session', audience => 'authenticated', tokens => \@tokens });
	$out = output_of($input, 'node', "$directory/interop.mjs", 'verify') // '';
	my $seen = 0;
	while ($out =~ /^(not )?ok \d+ - (.*)$/mg)
	{
		ok(!$1, "F23: $2");
		$seen++;
	}
	is($seen, 6 * 2 + 5, 'both libraries were asked about every algorithm that they know');

	# Theirs to us: claims of a live session, signed by keys that are imported.
	$claims = $json->decode(one('SELECT auth.verify($1)', $tokens[-1]{token}));
	$out = output_of($json->encode({ claims => $claims }), 'node', "$directory/interop.mjs", 'make');
	my $made = $json->decode($out // '[]');
	is(scalar(@$made), 11, 'both libraries made what they can');
	foreach my $one (@$made)
	{
		my $what = "$one->{alg} of $one->{by}";

		unless ($kid{ $one->{jwk}{kid} }++)
		{
			ok( !eval { one('SELECT auth.verify($1)', $one->{token}) },
				"F5: $what is refused before its key is imported");
			is( one('SELECT auth_admin.import_signing_key($1)', $json->encode($one->{jwk})),
				$one->{jwk}{kid}, "the $one->{alg} key of jose is imported");
		}
		is( eval { one(q{SELECT auth.verify($1) ->> 'sub'}, $one->{token}) } // $@,
			$sub, "$what verifies with the imported key");
		is( one('SELECT valid FROM auth.jwt_verify($1, $2, $3)',
				$one->{token}, $one->{publicKey}, $one->{alg}),
			1, "$what verifies with the public key as text");
		next if $one->{by} ne 'jose';
		is( one('SELECT valid FROM auth.jwt_verify(auth.jwt_sign($1, $2, $3), $4, $3)',
				$payload, $one->{key}, $one->{alg}, $one->{publicKey}),
			1, "$one->{alg}: a private key that jose wrote signs");
	}

	# Theirs as our signing keys, for them again.
	@tokens = ();
	foreach my $one (grep { $_->{by} eq 'jose' } @$made)
	{
		$dbh->do('SELECT auth_admin.activate_signing_key($1)', undef, $one->{jwk}{kid});
		push @tokens,
		  { alg => $one->{alg}, token => signin($node, 'ada@example.org')->{access_token},
			sub => $sub, ($one->{alg} =~ /^HS/ ? (secret => $one->{jwk}) : ()) };
	}
	$input = $json->encode({
		jwks => $json->decode(one('SELECT auth.jwks()')),
		issuer => 'auth_session', audience => 'authenticated', tokens => \@tokens });
	$out = output_of($input, 'node', "$directory/interop.mjs", 'verify') // '';
	$seen = 0;
	while ($out =~ /^(not )?ok \d+ - (.*)$/mg)
	{
		ok(!$1, "an imported key signs: $2");
		$seen++;
	}
	is($seen, 6 * 2 + 5, 'with every key');
}

done_testing();

sub spew
{
	my ($path, $bytes) = @_;

	open my $file, '>:raw', $path or die "$path: $!";
	print $file $bytes;
	close $file;
	return;
}

# r and s as an ECDSA-Sig-Value, and back.
sub der
{
	my $body = join '', map {
		my $number = $_ =~ s/^\0+(?=.)//sr;
		$number = "\0$number" if ord($number) > 127;
		"\x02" . chr(length $number) . $number;
	} unpack 'a32 a32', $_[0];

	return "\x30" . chr(length $body) . $body;
}

sub raw
{
	my ($r_length) = unpack 'x3 C', $_[0];
	my ($r) = unpack "x4 a$r_length", $_[0];
	my ($s) = substr $_[0], 6 + $r_length;

	return join '', map { substr "\0" x 32 . $_, -32 } $r, $s;
}
