# PostgREST's stand-in behind nginx and behind Caddy, as examples/postgrest
# configures them: only ports and places of files are this test's. The client's
# address is the one that connected, whatever the client says it is; no token gets
# into a log; bodies are bounded; the pages of links are served, and tell nobody
# where they were.
#
# A server that is not installed is skipped, and says so.
use strict;
use warnings;
use AuthSession;
use File::Path qw(make_path);
use IPC::Run qw(run start);
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use Web;

my $directory = PostgreSQL::Test::Utils::tempdir;

local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
local $ENV{HOME} = $directory;
plan skip_all => 'curl and openssl are needed' if grep { !there($_) } qw(curl openssl);
plan skip_all => 'npm can\'t install pg' unless npm_install($directory, 'examples/node');

sub there
{
	my ($program) = @_;

	return scalar grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

my $node = new_node('proxy', conf => "auth_session.require_confirmation = 'none'\n");
local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{PGDATABASE} = 'postgres';
local $ENV{NODE_PATH} = "$directory/node_modules";
foreach my $script (qw(examples/notes.sql examples/postgrest/roles.sql))
{
	command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', $script ], $script);
}
$node->safe_psql('postgres', "SELECT auth.signup('ada\@example.org', '$PASSWORD')");
my $api;
{
	local $ENV{PGRST_SERVER_PORT} = 0;
	$api = listens(authenticator => 'node', 'test/lib/postgrest.mjs', 'examples/postgrest/postgrest.conf');
}

# What both serve: /srv/app, with the pages of links.
make_path("$directory/app/auth");
system('cp', 'examples/pages/confirm_email.html', "$directory/app/auth/") == 0 or die 'cp';
append_to_file("$directory/app/page.mjs", slurp_file('examples/pages/page.mjs'));

my %proxy = (
	nginx => {
		# What Debian's nginx.conf has around it, for somebody who is not root.
		configure => sub {
			my ($port, $home) = @_;
			my $own = slurp_file('examples/postgrest/nginx.conf');

			command_ok([ 'openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', 2, '-subj', '/CN=app.example',
					'-addext', 'subjectAltName=DNS:app.example', '-keyout', "$home/key", '-out', "$home/ca.crt" ],
				'a certificate');
			$own =~ s{/etc/ssl/app\.example\.pem}{$home/ca.crt};
			$own =~ s{/etc/ssl/private/app\.example\.key}{$home/key};
			$own =~ s{listen 443}{listen 127.0.0.1:$port};
			$own =~ s{/var/log/nginx/}{$home/};
			$own =~ s{http://127\.0\.0\.1:3000}{$api};
			$own =~ s{/srv/app}{$directory/app}g;
			append_to_file("$home/nginx.conf",
				"events { }\nhttp {\n"
				  . join('', map { "${_}_temp_path $home/$_;\n" } qw(client_body proxy fastcgi uwsgi scgi))
				  . "types { text/html html; text/javascript mjs; }\n$own}\n");
			return [ 'nginx', '-e', "$home/error.log", '-g', "daemon off; pid $home/pid;", '-c', "$home/nginx.conf" ];
		}
	},
	caddy => {
		# A certificate of its own authority, made on the first start.
		ca => 'caddy/pki/authorities/local/root.crt',
		configure => sub {
			my ($port, $home) = @_;
			my $own = slurp_file('examples/postgrest/Caddyfile');

			$own =~ s{/var/log/caddy/}{$home/};
			$own =~ s{127\.0\.0\.1:3000}{$api};
			$own =~ s{/srv/app}{$directory/app};
			$own =~ s{^(app\.example \{\n)}{$1\tbind 127.0.0.1\n}m;
			append_to_file("$home/Caddyfile",
				"{\nadmin off\nlocal_certs\nskip_install_trust\nauto_https disable_redirects\nhttps_port $port\n"
				  . "storage file_system $home/caddy\n}\n$own");
			return [ 'caddy', 'run', '--adapter', 'caddyfile', '--config', "$home/Caddyfile" ];
		}
	});

foreach my $name (sort keys %proxy)
{
	subtest $name => sub {
		plan skip_all => "$name is not installed" unless there($name);
		my $home = "$directory/$name";
		my $port = PostgreSQL::Test::Cluster::get_free_port();

		mkdir $home or die "$home: $!";
		my $command = $proxy{$name}{configure}->($port, $home);
		my $server = start($command, '<', \undef, '>', "$home/said", '2>&1');
		my $ca = "$home/" . ($proxy{$name}{ca} // 'ca.crt');

		# curl PATH: head and body, and the status.
		my $complaint;
		my $ask = sub {
			my ($path, @more) = @_;
			my $out = '';

			run([ 'curl', '-sS', '-i', '--http1.1', '--cacert', $ca, '--resolve', "app.example:$port:127.0.0.1",
					"https://app.example:$port$path", @more ], '<', \undef, '>', \$out, '2>', \$complaint);
			my ($head, $body) = split /\r\n\r\n/, $out, 2;
			return (($head // '') =~ m{^HTTP/\S+ (\d+)} ? $1 : 0, $head // '', $body // '');
		};
		my $status = 0;
		for (1 .. 5 * $PostgreSQL::Test::Utils::timeout_default)
		{
			($status) = $ask->('/auth/confirm_email');
			last if $status;
			Time::HiRes::usleep(100_000);
		}
		is($status, 200, 'serves the page of a link') or do {
			diag(slurp_file("$home/said") . $complaint);
			return;
		};

		my ($code, $head, $body) = $ask->('/auth/confirm_email?token=asl1_secret');
		is($code, 200, 'and with its token, too');
		like($head, qr/^Referrer-Policy: no-referrer\r?$/mi, 'which goes to nobody as a referrer');
		like($head, qr/^Cache-Control: no-store\r?$/mi, 'nor into a cache');
		like($body, qr/<h1>Confirm your address/, 'the page');
		($code) = $ask->('/page.mjs');
		is($code, 200, 'and its script');

		my @forged = ('-H', 'X-Forwarded-For: 198.51.100.7');
		my @auth = ('-H', 'Content-Profile: auth');
		my $signin = encode_json({ email => 'ada@example.org', password => $PASSWORD });
		($code, $head, $body) = $ask->('/rest/rpc/signin', @auth, @forged, '--json', $signin);
		is($code, 200, 'a sign-in through it') or diag($body);
		my $token = eval { decode_json($body)->{access_token} } // '';
		($code, $head, $body) = $ask->('/rest/rpc/sessions', '-H', 'Accept-Profile: auth', '-H', "Authorization: Bearer $token");
		my $session = eval { decode_json($body)->[0] } // {};
		is($session->{ip}, '127.0.0.1', 'is of the address that connected, not of the one that the client wrote');
		ok($session->{is_current}, 'and the token got through');

		($code) = $ask->('/rest/rpc/signin', @auth, '--json', encode_json({ email => 'ada@example.org', password => 'x' x 100_000 }));
		# Of Caddy before 2.7 it is 502.
		like($code, qr/^(413|502)$/, 'a body beyond 64 KiB does not reach PostgREST');

		$server->signal('TERM');
		$server->finish;
		my $log = slurp_file("$home/app.log");
		like($log, qr{/auth/confirm_email}, 'requests are logged');
		unlike($log, qr/asl1_secret/, 'without the token of a link');
		unlike($log, qr/\Q$token\E/, 'nor an access token');
		done_testing;
	};
}

end_all();
$node->stop;
done_testing;
