# Sessions in cookies, over the statements that PostgREST sends (PostgREST.pm),
# with a browser's jar: signing in, acting, renewing, leaving; and what a sibling
# domain, another page or another client of the pool could make of it.
use strict;
use warnings;
use AuthSession;
use JSON::PP;
use PostgreSQL::Test::Utils;
use PostgREST;
use Test::More;

my $node = new_node('cookie', conf => <<'CONF');
auth_session.require_confirmation = 'none'
auth_session.passwordless = on
auth_session.refresh_reuse_grace = 0
CONF
my $database = 'postgres';

PostgREST::roles($node);
$node->safe_psql($database, <<'SQL');
ALTER ROLE authenticator SET auth_session.cookies = on;
ALTER ROLE authenticator SET auth_session.site_url = 'https://app.example';
CREATE TABLE public.notes (owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.notes USING (owner = auth.uid());
GRANT SELECT, INSERT ON public.notes TO authenticated;
CREATE FUNCTION public.greet() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('response.headers', '[{"X-App": "1"}, {"Set-Cookie": "theme=dark"}]', true);
END $$;
CREATE FUNCTION public.enter(email text, password text) RETURNS auth.tokens LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.greet();
	RETURN auth.signin(email, password);
END $$;
SQL

my $rest = PostgREST->new($node);
my %cookie = ('x-session' => 'cookie');
my ($answer, %users);

foreach my $name (qw(ada bob))
{
	$users{$name} = { email => "$name\@example.org", password => $PASSWORD };
	$rest->request(rpc => 'signup', body => $users{$name});
}

# A browser in which somebody has signed in.
sub signed_in
{
	my ($name) = @_;
	my $browser = $rest->browser;
	my $answer = $browser->request(rpc => 'signin', body => $users{$name}, headers => \%cookie);

	die PostgREST::outcome($answer) if $answer->{status} != 200;
	return ($browser, $answer->{body});
}

sub outcome { return PostgREST::outcome(@_) }

# The names of an answer's headers, cookies by theirs.
sub names
{
	my ($answer) = @_;

	return join ' ',
	  map { $_->[0] eq 'Set-Cookie' ? $_->[1] =~ s/=.*//r : "$_->[0]:$_->[1]" } @{ $answer->{headers} };
}

# Whether a jar's access token has a session that is live.
sub uid_of
{
	my ($browser, %option) = @_;

	return $browser->request(rpc => 'uid', kind => 'scalar', read_only => 1, %option)->{body};
}

# Ages the access token of a session, as if its time were up.
sub expire
{
	my ($session) = @_;

	$node->safe_psql($database,
		"UPDATE auth_private.sessions SET jti = gen_random_uuid() WHERE id = '$session';"
		  . "DELETE FROM auth_private.token_cache WHERE session_id = '$session'");
	return;
}

# ---- signing in ----

my $browser = $rest->browser;
$answer = $browser->request(rpc => 'signin', body => $users{ada}, headers => \%cookie);
is($answer->{status}, 200, 'POST /rpc/signin, x-session: cookie');
my $session = $answer->{body};
is($session->{$_}, undef, "F: the page gets no $_") foreach qw(access_token refresh_token);
is($session->{token_type}, 'bearer', 'but all else');
is(names($answer), 'Cache-Control:no-store __Host-access __Secure-refresh', 'two cookies, and no cache keeps them');
my ($access, $refresh) = @{ $browser->{set} };
is($access->{path}, '/', '__Host-access: for the whole host');
is($refresh->{path}, '/rpc/renew', '__Secure-refresh: for the one path that takes it');
foreach my $set ($access, $refresh)
{
	ok($set->{httponly} && $set->{secure}, "$set->{name}: no script reads it, no plain http has it");
	is($set->{samesite}, 'Strict', "$set->{name}: no other site sends it");
	ok(!exists $set->{domain}, "$set->{name}: no other host gets it");
}
my $ttl = $node->safe_psql($database,
	"SELECT extract(epoch FROM expires_at - now())::int FROM auth_private.sessions WHERE id = '$session->{session_id}'");
cmp_ok(abs($_->{'max-age'} - $ttl), '<', 60, "$_->{name}: as long as the session") foreach $access, $refresh;

$answer = $rest->request(rpc => 'signin', body => $users{ada});
ok($answer->{body}{access_token} && $answer->{body}{refresh_token}, 'without x-session tokens are answered');
is(names($answer), 'Cache-Control:no-store', 'which no cache keeps');
$answer = $rest->request(rpc => 'signin', body => $users{ada}, headers => { 'x-session' => 'other' });
ok($answer->{body}{access_token}, 'x-session: other is none of ours');

# ---- requests ----

is(uid_of($browser), $session->{user_id}, 'GET /rpc/uid is of the cookie\'s user');
$answer = $browser->request(rpc => 'sessions', kind => 'set', read_only => 1);
is(scalar(grep { $_->{is_current} } @{ $answer->{body} }), 1, 'GET /rpc/sessions');
$answer = $browser->request(table => 'notes', insert => 'mine');
is(outcome($answer), '200', 'POST /notes: grants and defaults are those of the role');
$node->safe_psql($database, q{INSERT INTO notes VALUES (gen_random_uuid(), 'not mine')});
$answer = $browser->request(table => 'notes', read_only => 1);
is_deeply([ map { $_->{body} } @{ $answer->{body} } ], ['mine'], 'GET /notes: and so are policies');
is(outcome($browser->request(table => 'notes', method => 'HEAD')), '200', 'HEAD /notes');
is(outcome($browser->request(rpc => 'uid', kind => 'scalar', method => 'OPTIONS')), '200', 'OPTIONS is not held up');
like(outcome($rest->request(table => 'notes', read_only => 1)), qr/^42501/, 'without a cookie it is the anonymous role');
$answer = $browser->request(rpc => 'update_info', form => 1, body => { info => '{"theme":"dark"}' });
is(outcome($answer), '200', 'POST /rpc/update_info with a form');
is($answer->{body}{info}{theme}, 'dark', 'works as with JSON');

# The OpenAPI description at / is of what the role may do.
my $described = q{SELECT json_agg(c.relname) AS body FROM pg_class c WHERE c.relname = 'notes' AND has_table_privilege(c.oid, 'SELECT')};
is_deeply($browser->request(sql => $described, read_only => 1, path => '/')->{body},
	['notes'], 'GET / describes what the user can do');
is($rest->request(sql => $described, read_only => 1, path => '/')->{body}, undef, 'and to nobody what nobody can');

# What the application has put into the response stays, and comes first.
$answer = $rest->request(
	sql => sprintf(
		q{WITH e AS (SELECT * FROM public.enter('%s', '%s')) SELECT row_to_json(e)::text AS body, nullif(current_setting('response.headers', true), '') AS response_headers FROM e},
		@{ $users{ada} }{qw(email password)}),
	headers => { %cookie, 'sec-fetch-site' => 'same-origin' });
is(names($answer), 'X-App:1 theme Cache-Control:no-store __Host-access __Secure-refresh', 'the application\'s own headers are kept');
foreach my $case ([ '[]', '' ], [ ' [ ] ', '' ], [ qq([\n{"X-App": "]"}\n]), 'X-App:] ' ])
{
	my ($before, $first) = @$case;

	$answer = $rest->request(
		sql => qq{WITH e AS (SELECT set_config('response.headers', '$before', true)), s AS (SELECT (auth.signin('$users{ada}{email}', '$PASSWORD')).user_id FROM e) SELECT to_json(user_id)::text AS body, current_setting('response.headers') AS response_headers FROM s});
	is(names($answer), "${first}Cache-Control:no-store", "after response.headers = $before");
}

# ---- off ----

{
	$node->safe_psql($database, 'ALTER ROLE authenticator SET auth_session.cookies = off');
	my $without = PostgREST->new($node);

	is(outcome($without->request(rpc => 'signin', body => $users{ada}, headers => \%cookie)),
		'403 feature_disabled', 'cookies are off: no token is given to a page instead');
	is(outcome($without->request(rpc => 'renew', cookies => { '__Secure-refresh' => $refresh->{value} })),
		'400 invalid_request', 'and none is taken');
	is($without->request(rpc => 'uid', kind => 'scalar', read_only => 1, cookies => { '__Host-access' => $access->{value} })->{body},
		undef, 'nobody is anybody by one');
	$without->disconnect;
	$node->safe_psql($database, 'ALTER ROLE authenticator SET auth_session.cookies = on');
}

# ---- from where ----

foreach my $case (
	[ 'same-origin', { 'sec-fetch-site' => 'same-origin' }, 1 ],
	[ 'same-site', { 'sec-fetch-site' => 'same-site' }, 0 ],
	[ 'cross-site', { 'sec-fetch-site' => 'cross-site' }, 0 ],
	[ 'none', { 'sec-fetch-site' => 'none' }, 0 ],
	[ 'no header', {}, 0 ],
	[ 'Origin: null', { origin => 'null' }, 0 ],
	[ 'the Origin of site_url', { origin => 'https://app.example' }, 1 ],
	[ 'another Origin', { origin => 'https://evil.example' }, 0 ])
{
	my ($what, $headers, $passes) = @$case;
	my ($twin) = signed_in('ada');
	my %jar = map { $_ => $twin->{jar}{$_}{value} } keys %{ $twin->{jar} };
	my %access = ('__Host-access' => $jar{'__Host-access'});
	my $wanted = $passes ? '200' : '403 cross_site';

	is(outcome($rest->request(rpc => 'signin', body => $users{bob}, headers => { %cookie, %$headers })),
		$wanted, "POST /rpc/signin that sets cookies: $what");
	is(outcome($rest->request(rpc => 'signin', body => $users{bob}, headers => $headers)),
		'200', "POST /rpc/signin that sets none: $what");
	is(outcome($rest->request(table => 'notes', insert => 'x', cookies => \%access, headers => $headers)),
		$wanted, "POST /notes by cookie: $what");
	is(outcome($rest->request(rpc => 'update_info', form => 1, body => { info => '{}' }, cookies => \%access, headers => $headers)),
		$wanted, "POST /rpc/update_info by a form: $what");
	is(outcome($rest->request(rpc => 'renew', cookies => \%jar, headers => $headers)),
		$wanted, "POST /rpc/renew by cookie: $what");
}

# ---- renewing ----

($browser, $session) = signed_in('ada');
my $before = $browser->twin;
$answer = $browser->request(rpc => 'renew');
is(outcome($answer), '200', 'POST /rpc/renew with nothing but cookies');
is($answer->{body}{$_}, undef, "F: the page gets no $_") foreach qw(access_token refresh_token);
is($answer->{body}{session_id}, $session->{session_id}, 'of the same session');
is(names($answer), 'Cache-Control:no-store __Host-access __Secure-refresh', 'both cookies are new');
isnt($browser->{jar}{$_}{value}, $before->{jar}{$_}{value}, "$_ is another") foreach keys %{ $browser->{jar} };
is(uid_of($browser), $session->{user_id}, 'and good');
is(outcome($before->request(table => 'notes', read_only => 1)), '401 token_expired', 'the old one says that it has expired, and not that nobody calls');
$answer = $browser->request(rpc => 'renew');
expire($session->{session_id});
is(outcome($browser->request(table => 'notes', read_only => 1)), '401 token_expired', 'an expired one as well');
is(outcome($browser->request(rpc => 'renew')), '200', 'E: but it renews');
is(uid_of($browser), $session->{user_id}, 'and the next is good');
is(outcome($before->request(rpc => 'renew')), '401 refresh_token_reused', 'E: a stolen refresh cookie ends the session');
is(outcome($browser->request(table => 'notes', read_only => 1)), '401 session_revoked', 'for both');
is(outcome($browser->request(rpc => 'signin', body => $users{ada}, headers => \%cookie)), '200', 'a dead cookie keeps nobody from signing in');
ok(uid_of($browser), 'whose cookie takes its place');

# x-session with a token in hand: from tokens to cookies.
my $tokens = $rest->request(rpc => 'signin', body => $users{ada})->{body};
$answer = $rest->request(rpc => 'renew', body => { refresh_token => $tokens->{refresh_token} },
	headers => { %cookie, 'sec-fetch-site' => 'same-origin' });
is(names($answer), 'Cache-Control:no-store __Host-access __Secure-refresh', 'a renewal by token can go into cookies');
is($answer->{body}{refresh_token}, undef, 'and then not to the page');

# A sibling domain plants a refresh token of its own account, or of another session.
($browser, $session) = signed_in('ada');
my ($mallory) = signed_in('bob');
my ($second) = signed_in('ada');
foreach my $case ([ 'another user\'s', $mallory ], [ 'another session\'s', $second ])
{
	my ($what, $planted) = @$case;
	my %planted = ('__Secure-refresh' => $planted->{jar}{'__Secure-refresh'}{value});
	my $victim = $browser->twin;

	$answer = $victim->request(rpc => 'renew', cookies => \%planted);
	is(outcome($answer), '403 user_mismatch', "E7: a planted refresh token, $what");
	is_deeply($victim->{set}, [], 'E7: and nothing is set');
	is(outcome($rest->request(rpc => 'renew', cookies => \%planted, headers => { 'sec-fetch-site' => 'same-origin' })),
		'403 user_mismatch', "E7: nor without an access token beside it, $what");
	is(outcome($rest->request(rpc => 'renew', headers => { 'sec-fetch-site' => 'same-origin' },
				cookies => { %planted, '__Host-access' => 'x.y.z' })),
		'403 user_mismatch', "E7: nor with one that is not genuine, $what");
	ok(uid_of($planted), 'the planted session is as it was');
}
is(outcome($browser->request(rpc => 'renew')), '200', 'its own renews');
is(outcome($browser->request(rpc => 'renew', cookies => { '__Secure-refresh' => '' })), '401 invalid_token', 'an empty one is none of ours');
is(outcome($rest->request(rpc => 'renew', headers => { 'sec-fetch-site' => 'same-origin' })), '400 invalid_request', 'and where there is none, one must be given');
is(outcome($browser->request(rpc => 'renew', read_only => 1)), '405 read_only', 'GET /rpc/renew changes nothing');

# ---- showing anew who one is, and codes ----

($browser, $session) = signed_in('ada');
$before = $browser->twin;
$answer = $browser->request(rpc => 'reauthenticate', body => { password => $PASSWORD }, headers => \%cookie);
is(names($answer), 'Cache-Control:no-store __Host-access', 'reauthenticate: another access token, the refresh token stays');
is($answer->{body}{access_token}, undef, 'F: not to the page');
is(uid_of($browser), $session->{user_id}, 'and it is good');
is(outcome($browser->request(rpc => 'renew')), '200', 'with the refresh token that was');
$answer = $browser->request(rpc => 'reauthenticate', body => { password => $PASSWORD });
is($answer->{body}{access_token}, undef, 'F: what was in a cookie stays in one, also where nobody asked for it');
ok(uid_of($browser), 'and is good');
$rest->request(rpc => 'request_signin_code', kind => 'void', body => { identifier => $users{ada}{email} });
my $code = mailed($node, 'signin_code', $users{ada}{email});
$answer = $browser->request(rpc => 'signin_code', headers => \%cookie, body => { identifier => $users{ada}{email}, code => $code->{code} });
is(names($answer), 'Cache-Control:no-store __Host-access __Secure-refresh', 'signin_code');
is(outcome($rest->request(rpc => 'signin_totp', headers => \%cookie, body => { mfa_token => 'x', code => '1' })), '403 cross_site', 'signin_totp looks where it is from first');

# ---- leaving ----

sub is_cleared
{
	my ($browser, $what) = @_;

	is_deeply([ map { "$_->{name} $_->{value} $_->{path} $_->{'max-age'}" } @{ $browser->{set} } ],
		[ '__Host-access  / 0', '__Secure-refresh  /rpc/renew 0' ], $what);
	is_deeply($browser->{jar}, {}, 'and the jar is empty');
	return;
}

sub exists_session
{
	my ($session) = @_;

	return $node->safe_psql($database, "SELECT count(*) FROM auth_private.sessions WHERE id = '$session->{session_id}'");
}

($browser, $session) = signed_in('ada');
$answer = $browser->request(rpc => 'logout', kind => 'void');
is(outcome($answer), '204', 'POST /rpc/logout');
is_cleared($browser, 'clears both cookies');
is(exists_session($session), '0', 'and the session is gone');

($browser, $session) = signed_in('ada');
expire($session->{session_id});
is(outcome($browser->request(rpc => 'logout', kind => 'void')), '204', 'by an expired cookie of a live session');
is_cleared($browser, 'too');
is(exists_session($session), '0', 'which ends');

($browser, $session) = signed_in('ada');
$before = $browser->twin;
$browser->request(rpc => 'logout', kind => 'void');
foreach my $rpc (qw(logout logout_all))
{
	my $left = $before->twin;

	$answer = $left->request(rpc => $rpc, kind => $rpc eq 'logout' ? 'void' : 'scalar');
	is($answer->{status}, $rpc eq 'logout' ? 204 : 200, "$rpc without a live session is silent");
	is_cleared($left, 'and clears');
	is(outcome($before->twin->request(rpc => $rpc, kind => 'scalar', headers => { 'sec-fetch-site' => 'cross-site' })),
		'403 cross_site', 'but for a page of the application\'s only');
}
my $garbage = $rest->browser;
$garbage->{jar}{'__Host-access'} = { value => 'garbage', path => '/' };
is(outcome($garbage->request(rpc => 'logout', kind => 'void')), '204', 'garbage is logged out');
is(scalar @{ $garbage->{set} }, 2, 'and cleared');
is(outcome($rest->request(rpc => 'logout', kind => 'void', headers => { 'sec-fetch-site' => 'same-origin' })), '401 not_authenticated', 'without a cookie there is nobody');

($browser, $session) = signed_in('ada');
my ($other, $others) = signed_in('ada');
is(outcome($browser->request(rpc => 'logout', kind => 'void', body => { session_id => $others->{session_id} })), '204', 'another session of one\'s own ends');
is_deeply($browser->{set}, [], 'and one\'s own cookies stay');
is(outcome($browser->request(rpc => 'logout_all', kind => 'scalar', body => { keep_current => JSON::PP::true })), '200', 'all but the current');
is_deeply($browser->{set}, [], 'and they stay');
is(uid_of($browser), $session->{user_id}, 'and are good');
expire($session->{session_id});
is(outcome($browser->request(rpc => 'logout_all', kind => 'scalar')), '401 token_expired', 'all of a live session wants a live token: renew and repeat');
is(outcome($browser->request(rpc => 'renew')), '200', 'renewed');
is(outcome($browser->request(rpc => 'logout_all', kind => 'scalar')), '200', 'and repeated');
is_cleared($browser, 'logout_all clears');

($browser, $session) = signed_in('ada');
$rest->request(rpc => 'request_password_reset', kind => 'void', body => { identifier => $users{ada}{email} });
$code = mailed($node, 'password_reset', $users{ada}{email});
$answer = $browser->request(rpc => 'reset_password', kind => 'void',
	body => { identifier => $users{ada}{email}, code => $code->{code}, new_password => $PASSWORD });
is(outcome($answer), '204', 'POST /rpc/reset_password');
is_cleared($browser, 'clears');

my %gone = (email => 'gone@example.org', password => $PASSWORD);
$rest->request(rpc => 'signup', body => \%gone);
$users{gone} = \%gone;
($browser, $session) = signed_in('gone');
is(outcome($browser->request(rpc => 'delete_account', kind => 'void', body => { password => $PASSWORD })), '204', 'POST /rpc/delete_account');
is_cleared($browser, 'clears');

# A failure's headers never arrive.
($browser, $session) = signed_in('bob');
$answer = $browser->request(rpc => 'signin', headers => \%cookie, body => $users{bob}, select => q{"signin"."token_type"::int});
is($answer->{status}, '22P02', 'a request that fails after it signed in');
is_deeply($browser->{set}, [], 'sets nothing');
is(uid_of($browser), $session->{user_id}, 'and the cookie that was is good');

# ---- how they are set up ----

$node->safe_psql($database, <<'SQL');
ALTER ROLE authenticator SET auth_session.cookie_refresh_path = '/api/rpc/renew';
ALTER ROLE authenticator SET auth_session.site_url = 'http://dev.example:8080';
ALTER ROLE authenticator SET auth_session.cookie_prefixes = off;
SQL
my $dev = PostgREST->new($node);
$browser = $dev->browser;
$browser->request(rpc => 'signin', body => $users{bob}, headers => { %cookie, 'sec-fetch-site' => 'none', origin => 'http://dev.example:8080' });
is_deeply([ map { "$_->{name} $_->{path} " . ($_->{secure} // 0) . " $_->{samesite} $_->{httponly}" } @{ $browser->{set} } ],
	[ 'access / 0 Strict 1', 'refresh /api/rpc/renew 0 Strict 1' ], 'over plain http: no prefixes, nothing secure');
ok(uid_of($browser), 'and they are read by these names');
$dev->disconnect;
$node->safe_psql($database, q{ALTER ROLE authenticator SET auth_session.site_url = 'https://app.example'});
$dev = PostgREST->new($node);
$browser = $dev->browser;
$browser->request(rpc => 'signin', body => $users{bob}, headers => \%cookie);
is(join(' ', map { "$_->{name} $_->{secure}" } @{ $browser->{set} }), '__Host-access 1 __Secure-refresh 1', 'where site_url is https they keep their prefixes');
$dev->disconnect;

# Browsers drop what is longer than 4096 bytes, and say nothing.
$node->safe_psql($database, q{UPDATE auth_private.accounts SET app = jsonb_build_object('x', repeat('x', 3500)) WHERE email = 'bob@example.org'});
is(outcome($rest->request(rpc => 'signin', body => $users{bob}, headers => { %cookie, 'sec-fetch-site' => 'same-origin' })), '429 busy', 'a token that fits into no cookie is not set');
like(slurp_file($node->logfile), qr{an access token does not fit into a cookie}, 'and the operator is told');
$node->safe_psql($database, q{UPDATE auth_private.accounts SET app = '{}' WHERE email = 'bob@example.org'});

# ---- a pool ----

# Two connections, whoever is next: a thousand requests of three browsers, a
# bearer token and nobody, in an order that no one of them decides.
{
	my @pool = ($rest, PostgREST->new($node));
	my @callers;
	my ($wrong, %seen) = (0);

	foreach my $name (qw(ada bob ada))
	{
		my ($browser, $body) = signed_in($name);

		push @callers, { uid => $body->{user_id}, browser => $browser };
	}
	my $token = $rest->request(rpc => 'signin', body => $users{bob})->{body};
	push @callers, { uid => $token->{user_id}, token => $token->{access_token} }, { uid => undef };
	srand 20;
	foreach my $number (1 .. 1_000)
	{
		my $caller = $callers[ rand @callers ];
		my $connection = $pool[ rand @pool ];
		my %request = (rpc => 'uid', kind => 'scalar', rest => $connection,
			method => qw(GET POST)[ rand 2 ]);
		my $answer =
			$caller->{browser} ? $caller->{browser}->request(%request)
		  : $connection->request(%request, token => $caller->{token});
		my $got = $answer->{body} // 'nobody';

		$wrong++ if $got ne ($caller->{uid} // 'nobody');
		$seen{$got}++;

		# In between one that fails, and one that signs in.
		$connection->request(table => 'nowhere', read_only => 1) if $number % 50 == 0;
		$callers[0]{browser}->request(rpc => 'renew', rest => $connection) if $number % 100 == 0;
	}
	is($wrong, 0, 'G10: of 1,000 requests over two connections none is anybody else\'s');
	is(scalar keys %seen, 3, 'G10: and all were there');
	foreach my $connection (@pool)
	{
		is($connection->statement('SELECT current_user AS u')->{u}, 'authenticator', 'G10: no role is left on a connection');
		is($connection->statement('SELECT auth.uid() AS u')->{u}, undef, 'G10: no context');
		is($connection->statement(q{SELECT current_setting('response.headers', true) AS h})->{h} // '', '', 'G10: and no cookie');
	}
}

$node->stop;
done_testing;
