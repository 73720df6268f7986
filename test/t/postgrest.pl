# The statements that PostgREST sends (PostgREST.pm): the service must work
# through them without a line of glue.
use strict;
use warnings;
use AuthSession;
use JSON::PP;
use PostgREST;
use Test::More;

my $json = JSON::PP->new->canonical;
my $node = new_node('main');
my $database = 'postgres';

PostgREST::roles($node);
$node->safe_psql($database, <<'SQL');
CREATE TABLE public.notes (owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.notes USING (owner = auth.uid());
GRANT SELECT, INSERT ON public.notes TO authenticated;
SQL

my $rest = PostgREST->new($node);
my $dbh = $rest->dbh;

sub request { return $rest->request(@_) }

my %ada = (email => 'ada@example.org', password => $PASSWORD);
my $answer;

$answer = request(rpc => 'signup', body => { %ada, info => { name => 'Ada' } });
is($answer->{status}, 200, 'POST /rpc/signup');
is($answer->{body}{status}, 'pending', 'answers with the pending account');
my $mail = mailed($node, 'confirm_email', $ada{email});
$answer = request(rpc => 'confirm',
	body => { identifier => $ada{email}, code => $mail->{code}, password => $PASSWORD });
is($answer->{body}{status}, 'active', 'POST /rpc/confirm');

$answer = request(rpc => 'signin', body => { %ada, password => 'not this one' });
is("$answer->{status} $answer->{code}", '401 invalid_credentials',
	'POST /rpc/signin with a wrong password');
$answer = request(rpc => 'signin', body => \%ada);
is($answer->{body}{token_type}, 'bearer', 'POST /rpc/signin');
my $tokens = $answer->{body};

$answer = request(rpc => 'sessions', kind => 'set', token => $tokens->{access_token});
is_deeply([ map { $_->{id} } @{ $answer->{body} } ],
	[ $tokens->{session_id} ], 'POST /rpc/sessions with the token');
is($answer->{body}[0]{user_agent}, 'curl/7.88.1', 'which knows the user agent');
$answer = request(rpc => 'sessions', kind => 'set', read_only => 1,
	token => $tokens->{access_token});
is(scalar @{ $answer->{body} }, 1, 'D8: GET /rpc/sessions, READ ONLY');
$answer = request(rpc => 'sessions', kind => 'set');
is("$answer->{status} $answer->{code}", '401 not_authenticated',
	'POST /rpc/sessions without a token');
$answer = request(rpc => 'uid', kind => 'scalar', read_only => 1,
	token => $tokens->{access_token});
is($answer->{body}, $tokens->{user_id}, 'GET /rpc/uid');
$answer = request(rpc => 'uid', kind => 'scalar', read_only => 1);
is($answer->{body}, undef, 'GET /rpc/uid without a token is null');

$node->safe_psql($database,
	"INSERT INTO notes VALUES ('$tokens->{user_id}', 'mine'), (gen_random_uuid(), 'not mine')");
$answer = request(table => 'notes', read_only => 1, token => $tokens->{access_token});
is_deeply([ map { $_->{body} } @{ $answer->{body} } ],
	['mine'], 'GET /notes shows the own rows only');

# The caller aborts the statement after the function returned.
$answer = request(rpc => 'signin', body => \%ada,
	select => q{"signin"."access_token", "signin"."token_type"::int});
is($answer->{status}, '22P02', 'POST /rpc/signin?select=token_type::int fails');
unlike($answer->{code}, qr/eyJ/, 'G3: and shows no token');

$answer = request(rpc => 'renew', body => { refresh_token => $tokens->{refresh_token} });
is($answer->{status}, 200, 'POST /rpc/renew without a token');
my $renewed = $answer->{body};
$answer = request(rpc => 'renew', no_pre_request => 1,
	token => $tokens->{access_token},
	body => { refresh_token => $renewed->{refresh_token} });
is($answer->{status}, 200,
	'POST /rpc/renew with an outdated bearer, which counts as none');
$renewed = $answer->{body};
$answer = request(table => 'notes', read_only => 1, token => $tokens->{access_token});
is("$answer->{status} $answer->{code}", '401 token_expired',
	'GET /notes with the token that a renew replaced');

$answer = request(rpc => 'logout', kind => 'void', token => $renewed->{access_token});
is($answer->{status}, 204, 'POST /rpc/logout');
$answer = request(table => 'notes', read_only => 1, token => $renewed->{access_token});
is("$answer->{status} $answer->{code}", '401 session_revoked',
	'D5: GET /notes with the token of a session that logged out');
$answer = request(table => 'notes', read_only => 1, no_pre_request => 1,
	token => $renewed->{access_token});
is_deeply($answer->{body}, [],
	'D5: without db-pre-request the policy shows it nothing');
$answer = request(rpc => 'renew', body => { refresh_token => $renewed->{refresh_token} });
is("$answer->{status} $answer->{code}", '401 session_revoked',
	'D5: and its refresh token is refused');

# H5: PostgREST took role and claims from the first Authorization header, with
# any white space after the scheme, and passed the last one on. Nothing of the
# revoked session gets through, to read or to write.
my $live = request(rpc => 'signin', body => \%ada)->{body};
my $other = request(rpc => 'signin', body => \%ada)->{body};
my $revoked = $renewed->{access_token};
foreach my $case (
	[ 'a tab', "Bearer\t$revoked", 'session_revoked' ],
	[ 'VT', "Bearer\x0b$revoked", 'session_revoked' ],
	[ 'FF', "Bearer\x0c$revoked", 'session_revoked' ],
	[ 'several spaces', "BEARER   $revoked", 'session_revoked' ],
	[ 'Basic last', 'Basic YTpi', 'invalid_token' ],
	[ 'Token last', 'Token x', 'invalid_token' ],
	[ 'an empty one last', '', 'invalid_token' ],
	[ 'the scheme alone last', 'Bearer', 'invalid_token' ],
	[ 'garbage last', 'Bearer x.y.z', 'invalid_token' ],
	[ 'a live token of another session last', "Bearer $live->{access_token}", 'invalid_token' ],
	[ 'none passed on', undef, 'invalid_token' ])
{
	my ($what, $header, $code) = @$case;
	my %given = (
		table => 'notes',
		token => $revoked,
		defined $header
		? (headers => { authorization => $header })
		: (without_header => 1));

	$answer = request(%given, read_only => 1);
	is("$answer->{status} " . ($answer->{code} // 'passed'), "401 $code", "H5: GET /notes, $what");
	$answer = request(%given, insert => 'not to be');
	is("$answer->{status} " . ($answer->{code} // 'passed'), "401 $code", "H5: POST /notes, $what");
	$answer = request(%given, table => undef, rpc => 'signin', body => \%ada);
	is("$answer->{status} " . ($answer->{code} // 'passed'), "401 $code", "H5: POST /rpc/signin, $what");
}
is($node->safe_psql($database, q{SELECT count(*) FROM notes WHERE body = 'not to be'}), '0', 'H5: no row was written');
foreach my $header ("Bearer\t", "Bearer\x0b", "bearer \x0c ")
{
	$answer = request(table => 'notes', insert => 'to be', token => $live->{access_token},
		headers => { authorization => $header . $live->{access_token} });
	is($answer->{status}, 200, 'the same white space before a live token');
}
is($node->safe_psql($database, qq{SELECT DISTINCT owner FROM notes WHERE body = 'to be'}), $live->{user_id}, 'which is its user\'s');
$answer = request(table => 'notes', read_only => 1, token => $other->{access_token},
	headers => { authorization => "Bearer $live->{access_token}" });
is("$answer->{status} $answer->{code}", '401 invalid_token', 'H5: two live tokens of one user are two sessions');
request(rpc => 'logout', kind => 'void', token => $_->{access_token}) foreach $live, $other;

# Another token's claims beside the bearer's.
my $one = request(rpc => 'signin', body => \%ada)->{body};
$dbh->do('BEGIN');
$rest->statement(q{select set_config('request.headers', $1, true), set_config('request.jwt.claims', $2, true)},
	$json->encode({ authorization => "Bearer $one->{access_token}" }),
	$json->encode({ jti => '00000000-0000-4000-8000-000000000000' }));
ok(!eval { $rest->statement('select "auth"."check_request"()'); 1 },
	'claims of another token than the bearer are refused');
like($dbh->errstr, qr/^DETAIL:\s+invalid_token$/m, 'as an invalid token');
$dbh->do('ABORT');

# Nothing of a request is left on the connection.
$dbh->do('BEGIN');
is($rest->statement('select auth.uid() AS u')->{u}, undef,
	'G10: the next transaction of the connection has no context');
$dbh->do('COMMIT');

$dbh->disconnect;
$node->stop;
done_testing;
