# The page of examples/web, walked by a person in a real browser: Debian's
# Chromium (test/web/walk.mjs). Everything stands as `make demo-web` puts it: the
# front, PostgREST's stand-in with the example's configuration, the bridge, and
# sessions in cookies.
#
# A page is what a browser makes of it. Where there is no Chromium, or npm can't
# install its parts, this is skipped and says so.
use strict;
use warnings;
use AuthSession;
use File::Copy qw(copy);
use IPC::Run qw(run start);
use PostgreSQL::Test::Utils;
use Test::More;
use Web;

my $directory = PostgreSQL::Test::Utils::tempdir;
my ($chromium) = grep { -x } map { ("$_/chromium", "$_/chromium-browser") } split /:/, $ENV{PATH};
my ($bridge) = grep { -x } map { "$_/auth-session-bridge" } 'src/bridge', split /:/, $ENV{PATH};
my ($out, $err) = ('', '');

plan skip_all => 'there is no Chromium (apt-get install chromium)' unless $chromium;
plan skip_all => 'the bridge is not built' unless $bridge;
local $ENV{HOME} = $directory;
copy('test/web/walk.mjs', "$directory/walk.mjs") or die "walk.mjs: $!";
plan skip_all => 'npm can\'t install pg and playwright-core' unless npm_install($directory, 'test/web');

my $node = new_node('demo_web');
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{NODE_PATH} = "$directory/node_modules";

foreach my $script (qw(examples/notes.sql examples/postgrest/roles.sql))
{
	command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $script ], $script);
}
my $api;
{
	local $ENV{PGRST_SERVER_PORT} = 0;
	$node->safe_psql('postgres', <<'SQL');
ALTER ROLE authenticator SET auth_session.cookies = on;
ALTER ROLE authenticator SET auth_session.cookie_refresh_path = '/api/rpc/renew';
SQL
	$api = listens(authenticator => 'node', 'test/lib/postgrest.mjs', 'examples/postgrest/postgrest.conf');
}
my $url = listens(nobody => 'node', 'test/web/front.mjs', 0, 'examples/web', $api, "$directory/mails");
# The links lead to where the front is.
$node->safe_psql('postgres', "ALTER DATABASE postgres SET auth_session.site_url = '$url'");
my $relays = start([ $bridge, '--database', $node->connstr('postgres'), '--to', "file:$directory/mails", '--poll', 1 ],
	'<', \undef, '>', "$directory/bridge", '2>&1');

($out, $err) = ('', '');
run([ 'node', "$directory/walk.mjs", $chromium, $url, "$directory/page.png" ], '<', \undef, '>', \$out, '2>', \$err);
my ($planned) = $out =~ /^1\.\.(\d+)$/m;
my $seen = 0;
foreach my $line (split /\n/, $out)
{
	diag($line) if $line =~ /^#/;
	next unless $line =~ /^(not )?ok \d+ - (.*)$/;
	ok(!$1, $2);
	$seen++;
}
is($seen, $planned // -1, 'walked to the end') or diag($err . slurp_file("$directory/bridge"));
cmp_ok($seen, '>=', 30, 'through every flow');
cmp_ok(-s "$directory/page.png" // 0, '>', 10_000, 'and a picture of it was taken');

$relays->signal('TERM');
$relays->finish;
end_all();
$node->stop;
done_testing;
