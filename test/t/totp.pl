# The second factor where one psql can't show it: fifty at once, counts that no
# rollback and no restart takes back, secrets under a master key.
use strict;
use warnings;
use AuthSession;
use Digest::SHA qw(hmac_sha1);
use Test::More;

my $node = new_node('main', conf => <<'CONF');
max_connections = 150
auth_session.max_waiting_hashes = 200
auth_session.hash_wait = 60s
auth_session.lock_wait = 30s
auth_session.message_rate_per_account = 0
auth_session.resend_cooldown = 0
CONF

sub base32_decoded
{
	my ($text) = @_;
	my $bits = join '',
	  map { sprintf '%05b', index 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', $_ }
	  split //, $text;

	return pack 'B*', substr $bits, 0, 8 * int(length($bits) / 8);
}

# What an app shows (RFC 6238), steps away from now.
sub totp
{
	my ($secret, $away) = @_;
	my $step = int(time / 30) + ($away // 0);
	my $mac = hmac_sha1(pack('Q>', $step), base32_decoded($secret));
	my $at = ord(substr $mac, -1) & 15;

	return sprintf '%06d', (unpack('N', substr $mac, $at, 4) & 0x7fffffff) % 1e6;
}

# A code that isn't good now, nor soon.
sub no_totp
{
	my ($secret) = @_;
	my %good = map { totp($secret, $_) => 1 } -5 .. 15;

	return (grep { !$good{$_} } map { sprintf '%06d', $_ } 0 .. 40)[0];
}

sub scalar_of
{
	my ($sql, @arguments) = @_;
	my $dbh = sql_connect($node);
	my ($answer) = $dbh->selectrow_array($sql, {}, @arguments);

	$dbh->disconnect;
	return $answer;
}

# A user with a second factor, by its front door: id, secret, recovery codes.
sub enrolled
{
	my ($email) = @_;
	my $id = account($node, $email);
	my $dbh = sql_connect($node);

	$dbh->begin_work;
	$dbh->do('SELECT auth.authenticate($1)', {},
		signin($node, $email)->{access_token});
	my ($secret) = $dbh->selectrow_array('SELECT secret FROM auth.enroll_totp()');
	my ($codes) = $dbh->selectrow_array('SELECT auth.confirm_totp($1)',
		{}, totp($secret));
	$dbh->commit;
	$dbh->do('UPDATE auth_private.factors SET last_step = 0');
	$dbh->disconnect;
	return { id => $id, email => $email, secret => $secret, codes => $codes };
}

sub mfa_token
{
	my ($user) = @_;

	return signin($node, $user->{email})->{mfa_token};
}

# How often each SQLSTATE is among the answers of at_once.
sub outcomes
{
	my (@answers) = @_;
	my %count;

	$count{ $_->[0] }++ foreach @answers;
	return \%count;
}

my $ada = enrolled('ada@example.org');
my $wrong = no_totp($ada->{secret});

# ---- fifty at once ----

foreach my $level ('read committed', 'repeatable read', 'serializable')
{
	my $token = mfa_token($ada);

	$node->safe_psql('postgres',
		'UPDATE auth_private.factors SET last_step = 0; '
		  . 'DELETE FROM auth_private.sessions; '
		  . 'DELETE FROM auth_private.code_failures');
	my @answers = at_once($node, 50,
		'SELECT token_type FROM auth.signin_totp($1, $2)',
		[ $token, totp($ada->{secret}) ], level => $level);
	my $count = outcomes(@answers);

	is($count->{'00000'}, 1,
		"C1: of fifty uses of one mfa token at once exactly one succeeds ($level)")
	  or diag(explain($count));
	is(scalar(grep { $_->[0] !~ /^(00000|PT401|PT422|PT429|40001)$/ } @answers),
		0, "C1: the others are refused by codes of their own ($level)")
	  or diag(explain($count));
	is(scalar_of('SELECT count(*) FROM auth_private.sessions'),
		1, "C1: one session ($level)");
	scalar_of('SELECT auth_admin.unlock($1)', $ada->{id});
}

# The same code, by as many sign-ins.
$node->safe_psql('postgres', 'DELETE FROM auth_private.sessions');
my @tokens = map { mfa_token($ada) } 1 .. 50;
my $answers = outcomes(
	at_once($node, 50, 'SELECT token_type FROM auth.signin_totp(($1::text[])[1 + pg_backend_pid() % 50], $2)',
		[ \@tokens, totp($ada->{secret}, 1) ]));
is($answers->{'00000'}, 1, 'C1: of fifty sign-ins with one code of the app exactly one succeeds')
  or diag(explain($answers));
scalar_of('SELECT auth_admin.unlock($1)', $ada->{id});

# One recovery code.
@tokens = map { mfa_token($ada) } 1 .. 50;
$answers = outcomes(
	at_once($node, 50, 'SELECT token_type FROM auth.signin_totp(($1::text[])[1 + pg_backend_pid() % 50], $2)',
		[ \@tokens, $ada->{codes}[0] ]));
is($answers->{'00000'}, 1, 'C1: of fifty sign-ins with one recovery code exactly one succeeds')
  or diag(explain($answers));
is(scalar_of('SELECT count(*) FROM auth_private.recovery_codes WHERE user_id = $1', $ada->{id}),
	9, 'nine are left');

# ---- no more than five are compared ----

my $bob = enrolled('bob@example.org');
my $token = mfa_token($bob);
my @wrong = at_once($node, 50, 'SELECT token_type FROM auth.signin_totp($1, $2)',
	[ $token, no_totp($bob->{secret}) ]);
cmp_ok(scalar(grep { $_->[0] eq 'PT422' } @wrong), '<=', 5,
	'B5: of fifty wrong codes at once at most five are compared');
is(scalar(grep { $_->[0] !~ /^PT4(22|29)$/ } @wrong), 0, 'B5: the others are put off');

# ---- what was rolled back counts ----

my $eve = enrolled('eve@example.org');
my $dbh = sql_connect($node);

foreach my $try (1 .. 5)
{
	$dbh->begin_work;
	my ($mfa) = $dbh->selectrow_array(
		'SELECT mfa_token FROM auth.signin($1, $2)', {}, $eve->{email}, $PASSWORD);
	$dbh->do('SAVEPOINT before');
	eval { $dbh->do('SELECT auth.signin_totp($1, $2)', {}, $mfa, no_totp($eve->{secret})) };
	is($dbh->state, 'PT422', "B6: wrong code number $try, to be rolled back");
	$dbh->do('ROLLBACK TO before');
	$dbh->rollback;
}
is(state_of('SELECT auth.signin_totp($1, $2)', mfa_token($eve), totp($eve->{secret})),
	'PT429', 'B6: no rollback, and no new sign-in, gives a try back');
$dbh->disconnect;

sub state_of
{
	my ($sql, @arguments) = @_;
	my $handle = sql_connect($node);
	my $done = eval { $handle->do($sql, {}, @arguments) };
	my $state = $done ? '00000' : $handle->state;

	$handle->disconnect;
	return $state;
}

$node->restart;
is(state_of('SELECT auth.signin_totp($1, $2)', mfa_token($eve), totp($eve->{secret})),
	'PT429', 'B6: nor does a restart');
is(scalar_of('SELECT count(*) FROM auth_private.code_failures WHERE identifier = $1', $eve->{id}),
	5, 'five are on record');
is(state_of('SELECT auth.signin_totp($1, $2)', mfa_token($eve), $eve->{codes}[0]),
	'00000', 'B7: a recovery code is good all the same');

# A right code that is rolled back opened nothing, and is good still.
my $roll = sql_connect($node);
my $mfa = mfa_token($eve);
$node->safe_psql('postgres', 'UPDATE auth_private.factors SET last_step = 0');
my $code = totp($eve->{secret});
$roll->begin_work;
my ($access) = $roll->selectrow_array('SELECT access_token FROM auth.signin_totp($1, $2)', {}, $mfa, $code);
$roll->rollback;
$roll->disconnect;
is(state_of('SELECT auth.verify($1)', $access), 'PT401', 'a session that was rolled back is none');
is(state_of('SELECT auth.signin_totp($1, $2)', $mfa, $code), '00000', 'and token and code are not used up');

# ---- secrets at rest ----

sub set_master_key
{
	my ($byte) = @_;

	my $file = $node->data_dir . "/master$byte.key";

	open my $out, '>', $file or die "$file: $!";
	print {$out} chr($byte) x 32;
	close $out;
	chmod 0600, $file;
	$node->append_conf('postgresql.conf', "auth_session.master_key_file = '$file'");
	$node->reload;
	return $file;
}

sub sealed
{
	return scalar_of('SELECT string_agg(DISTINCT get_byte(secret, 0)::text, \' \') FROM auth_private.factors');
}

is(sealed(), '0', 'without a master key secrets are stored open');
my $first = set_master_key(1);
is(scalar_of('SELECT current_setting(\'auth_session.master_key_file\')'), $first, 'with one');
cmp_ok(scalar_of('SELECT auth_admin.seal_keys()'), '>=', 5, 'seal_keys seals those of second factors, too');
is(sealed(), '1', 'all of them');
$node->safe_psql('postgres', 'UPDATE auth_private.factors SET last_step = 0');
is(state_of('SELECT auth.signin_totp($1, $2)', mfa_token($ada), totp($ada->{secret})),
	'00000', 'and the apps of their users go on');
my $carl = enrolled('carl@example.org');
is(scalar_of('SELECT get_byte(secret, 0) FROM auth_private.factors WHERE user_id = $1', $carl->{id}),
	1, 'a new one is sealed at once');

# One user's sealed secret in another's row.
$node->safe_psql('postgres', 'CREATE TABLE kept AS SELECT * FROM auth_private.factors');
scalar_of('UPDATE auth_private.factors SET secret = (SELECT secret FROM kept WHERE user_id = $1) WHERE user_id = $2 RETURNING 1',
	$carl->{id}, $ada->{id});
isnt(state_of('SELECT auth.signin_totp($1, $2)', mfa_token($ada), totp($carl->{secret})),
	'00000', 'a sealed secret that was moved to another row opens nothing');
$node->safe_psql('postgres', 'UPDATE auth_private.factors AS f SET secret = k.secret, last_step = 0 FROM kept AS k WHERE k.id = f.id');

set_master_key(2);
cmp_ok(scalar_of('SELECT auth_admin.seal_keys($1)', $first), '>=', 6, 'seal_keys with the previous one');
is(state_of('SELECT auth.signin_totp($1, $2)', mfa_token($carl), totp($carl->{secret})),
	'00000', 'brings them under it');

$node->stop;
done_testing;
