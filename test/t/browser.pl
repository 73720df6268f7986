# A real browser, Debian's Chromium, on a page of an application whose sessions
# are in cookies: what it keeps, hides and sends, and what other pages can make it
# do. In PostgREST's place is its stand-in (test/lib/postgrest.mjs) behind
# a front (test/web/front.mjs).
#
# psql has no cookies. Where there is no Chromium, or npm can't install its parts,
# it is skipped and says so.
use strict;
use warnings;
use AuthSession;
use File::Copy qw(copy);
use IPC::Run qw(run);
use JSON::PP;
use PostgREST;
use PostgreSQL::Test::Utils;
use Test::More;
use Web;

my $directory = PostgreSQL::Test::Utils::tempdir;
my ($chromium) = grep { -x } map { ("$_/chromium", "$_/chromium-browser", "$_/google-chrome") } split /:/, $ENV{PATH};

plan skip_all => 'there is no Chromium (apt-get install chromium)' unless $chromium;
local $ENV{HOME} = $directory;
mkdir "$directory/page" or die $!;
copy("test/browser/$_", "$directory/$_") or die "$_: $!"
  foreach qw(browser.mjs page/index.html);
plan skip_all => 'npm can\'t install pg and playwright-core' unless npm_install($directory, 'test/web');

my $node = new_node('browser', conf => "auth_session.require_confirmation = 'none'\n");
my $email = 'ada@example.org';

PostgREST::roles($node);
$node->safe_psql('postgres', <<'SQL');
ALTER ROLE authenticator SET auth_session.cookies = on;
ALTER ROLE authenticator SET auth_session.cookie_refresh_path = '/api/rpc/renew';
CREATE TABLE public.notes (owner uuid NOT NULL DEFAULT auth.uid(), body text);
ALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.notes USING (owner = auth.uid());
GRANT SELECT, INSERT ON public.notes TO authenticated;
SQL
my $user = $node->safe_psql('postgres', "SELECT (auth.signup('$email', '$PASSWORD')).id");

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{NODE_PATH} = "$directory/node_modules";
append_to_file("$directory/postgrest.conf", <<'CONF');
db-schemas = "auth, public"
db-anon-role = "anon"
db-pre-request = "auth.check_request"
db-pool = 2
server-port = 0
CONF
my $api = listens(authenticator => 'node', 'test/lib/postgrest.mjs', "$directory/postgrest.conf");
my ($port) = listens(nobody => 'node', 'test/web/front.mjs', 0, "$directory/page", $api, "$directory/mails") =~ /(\d+)$/;

my ($printed, $complained) = ('', '');
ok( run(
		[ 'node', "$directory/browser.mjs", $chromium, $port, $email, $PASSWORD ],
		'>', \$printed, '2>', \$complained,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default)),
	'the browser does what it is told') or diag($complained);
my $seen = decode_json($printed || '{}');

is($seen->{nobody}, undef, 'at first it is nobody');
is($seen->{signin}{status}, 200, 'signs in');
is($seen->{signin}{body}{$_}, undef, "gets no $_") foreach qw(access_token refresh_token);
is_deeply(
	[ map { [ @{$_}{qw(name path sameSite)}, $_->{httpOnly} && $_->{secure} ? 'hidden' : 'open' ] } @{ $seen->{cookies} } ],
	[ [ '__Host-access', '/', 'Strict', 'hidden' ], [ '__Secure-refresh', '/api/rpc/renew', 'Strict', 'hidden' ] ],
	'it keeps two cookies');
is($seen->{script}, '', 'of which a script of the page sees none');
is($seen->{uid}, $user, 'and is known by them');
is_deeply($seen->{sentToRead}, ['__Host-access'], 'it sends the access token with a request');
is_deeply($seen->{empty}{body}, [], 'reads');
is($seen->{written}, 201, 'writes');
is_deeply($seen->{read}, ['mine'], 'and reads what it wrote');

is($seen->{sameSiteForm}{site}, 'same-site', 'a form of another host of the site');
ok($seen->{sameSiteForm}{cookie}, 'comes with the cookie');
is("$seen->{sameSiteForm}{status} $seen->{sameSiteForm}{code}", '403 cross_site', 'and is refused');
is($seen->{crossSiteForm}{site}, 'cross-site', 'a form of another site');
ok(!$seen->{crossSiteForm}{cookie}, 'comes without');
is("$seen->{crossSiteForm}{status} $seen->{crossSiteForm}{code}", '401 not_authenticated', 'and is nobody\'s');
is_deeply($seen->{info}, {}, 'neither changed anything');
is($seen->{signedInFromElsewhere}, 'not sent', 'no other page signs it in');

is($seen->{renew}{status}, 200, 'it renews');
is($seen->{renew}{body}{access_token}, undef, 'and gets no token');
is_deeply($seen->{sentToRenew}, [qw(__Host-access __Secure-refresh)], 'where both go');
is_deeply($seen->{renewed}, [ JSON::PP::true, JSON::PP::true ], 'and both are new');
is($seen->{stillThere}, $user, 'and good');

is($seen->{logoutAll}, 2, 'from another device all sessions end');
is($seen->{clearedOnDevice}, 0, 'which forgets its cookies');
is("$seen->{dead}{status} $seen->{dead}{body}{details}", '401 session_revoked', 'this one is told');
is($seen->{deadCookies}, 2, 'and keeps them: an error sets nothing');
is($seen->{again}, 200, 'which doesn\'t keep it from signing in');
is_deeply($seen->{readAgain}, ['mine'], 'as whom it was');
is($seen->{logout}, 204, 'it logs out');
is($seen->{left}, 0, 'and no cookie is left');
is($seen->{nobodyAgain}, undef, 'it is nobody again');

end_all();
$node->stop;
done_testing;
