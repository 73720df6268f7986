# What the bridge says of wrong options, URLs, files, templates and peers: one
# line that says what and where, and an exit status by kind. psql cannot show
# a program's exit status.
use strict;
use warnings;
use Bridge;
use File::Temp qw(tempdir);
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = tempdir(CLEANUP => 1);
my @good = ('--database', 'host=/nowhere', '--to', "file:$dir/out");

# Runs it and looks at the exit status and the one line of the log.
sub refuses
{
	my ($what, $status, $kind, $text, @arguments) = @_;
	my ($got, $out, $log) = run_bridge('--check', @arguments);
	my @errors = grep { /level=error/ } split /\n/, $log;

	subtest $what => sub {
		is($got, $status, 'exit status');
		is($out, '', 'nothing on standard output');
		is(scalar(grep { /$text/ } @errors), 1, 'one line');
		like($errors[-1] // '', qr/kind=$kind\b/, 'its kind');
		like($errors[-1] // '', $text, 'what and where');
		unlike($log, qr/geheim/, 'without the password');
	};
	return;
}

# ---- the command line
refuses('no source', 2, 'usage', qr/--database or --consume/, '--to', 'stdout:');
refuses('two sources', 2, 'usage', qr/--database or --consume/, @good, '--consume', 'amqp://h');
refuses('no destination', 2, 'usage', qr/no destination/, '--database', 'x');
refuses('unknown option', 2, 'usage', qr/--bogus/, @good, '--bogus');
refuses('option without its value', 2, 'usage', qr/--lease: needs a value/, @good, '--lease');
refuses('stray argument', 2, 'usage', qr/stray argument/, @good, 'stray');
refuses('number out of range', 2, 'usage', qr/batch: .*from 1 to 10000/, @good, '--batch', '0');
refuses('no number', 2, 'usage', qr/batch: .*12x/, @good, '--batch', '12x');
refuses('number that overflows', 2, 'usage', qr/batch/, @good, '--batch', '99999999999999999999');
refuses('unknown word', 2, 'usage', qr/log-format: .*xml/, @good, '--log-format', 'xml');
refuses('lease shorter than two timeouts', 2, 'usage', qr/lease: must be 30 s/, @good, '--lease', '20', '--timeout', '15');
refuses('lease shorter than the answer to a mail', 2, 'usage', qr/lease: must be 602 s/, '--database', 'x', '--to',
	'smtp://127.0.0.1', '--from', 'a@example.org', '--lease', '600');
refuses('metrics in no directory', 1, 'internal', qr/metrics: cannot write/, @good, '--metrics', "$dir/no/file");
refuses('pauses that are none', 2, 'usage', qr/retry: up to/, '--consume', 'amqp://h', '--to', 'stdout:', '--retry', '5 x');
refuses('link path without slash', 2, 'usage', qr/link-path/, @good, '--link-path', 'x');
refuses('link path that is no template', 6, 'template', qr/link-path/, @good, '--link-path', '/{{x');
# ---- URLs
my @to = ('--database', 'host=/nowhere', '--from', 'a@example.org', '--to');
refuses('unknown scheme', 2, 'usage', qr/to: unknown scheme \\"gopher\\"/, @to, 'gopher://u:geheim@host/');
refuses('no URL', 2, 'usage', qr/to: not a URL/, @to, 'nonsense');
refuses('URL without host', 2, 'usage', qr/to: not a URL/, @to, 'amqp:///x');
refuses('port out of range', 2, 'usage', qr/to: not a URL/, @to, 'amqp://u:geheim@host:99999/');
refuses('unknown URL option', 2, 'usage', qr/unknown option \\"colour\\"/, @to,
	'amqp://u:geheim@host/?colour=red');
refuses('URL option without value', 2, 'usage', qr/name=value/, @to, 'amqp://u:geheim@host/?queue');
refuses('file: without path', 2, 'usage', qr/names no path/, @to, 'file:');
refuses('plain http to the network', 2, 'usage', qr/loopback only/, @to, 'http://u:geheim@192.0.2.1/');
refuses('webhook without key', 2, 'usage', qr/webhook-secret-file/, @to, 'https://192.0.2.1/');
refuses('STARTTLS word', 2, 'usage', qr/starttls is/, @to, 'smtp://192.0.2.1/?starttls=maybe');
refuses('login in the clear', 2, 'usage', qr/a login over the network/, @to,
	'smtp://u:geheim@192.0.2.1/?starttls=no');
refuses('login where TLS is only tried', 2, 'usage', qr/a login over the network/, @to,
	'smtp://u:geheim@192.0.2.1/?starttls=try');
foreach my $host (qw(localhost.example.org localhostile.example 128.0.0.1 127.example.org))
{
	refuses("plain http to $host", 2, 'usage', qr/loopback only/, @to, "http://u:geheim\@$host/");
	refuses("login in the clear to $host", 2, 'usage', qr/a login over the network/, @to,
		"smtp://u:geheim\@$host/?starttls=no");
}
refuses('mail without sender', 2, 'usage', qr/give --from/, @good, '--email', 'smtp://127.0.0.1/');
refuses('sender with a line break', 2, 'usage', qr/from: /, '--database', 'x', '--to',
	'smtp://127.0.0.1/', '--from', "a\@example.org\r\nBcc: b\@example.org");
refuses('sender that is no address', 2, 'usage', qr/from: /, '--database', 'x', '--to',
	'smtp://127.0.0.1/', '--from', 'Nobody <nobody>');
refuses('a broker behind --consume', 2, 'usage', qr/does not feed a broker/, '--consume',
	'amqp://127.0.0.1/', '--to', 'amqp://127.0.0.1/');
refuses('events to a mail server', 2, 'usage', qr/events: \S+ is not a broker/, @to, 'stdout:', '--events', 'smtp://127.0.0.1/');
refuses('events from a queue', 2, 'usage', qr/events: come from a database/, '--consume',
	'amqp://127.0.0.1/', '--to', 'stdout:', '--events', 'amqp://127.0.0.1/');
refuses('--consume of no broker', 2, 'usage', qr/consume: .*not a broker/, '--consume',
	'smtp://127.0.0.1/', '--to', 'stdout:');

# ---- keys of webhooks
my @hook = ('--database', 'x', '--to', 'https://127.0.0.1/');
refuses('missing key file', 2, 'usage', qr/cannot read \S*nokey/, @hook,
	'--webhook-secret-file', "$dir/nokey");
foreach my $bad ('', 'whsec_!!!!', 'whsec_c2hvcnQ=', "whsec_" . 'A' x 100)
{
	write_file("$dir/key", "$bad\n", 0600);
	refuses("key '" . substr($bad, 0, 20) . "'", 2, 'usage', qr/key:1: expected/, @hook,
		'--webhook-secret-file', "$dir/key");
}

# ---- the configuration file
sub refuses_file
{
	my ($what, $content, $status, $kind, $text) = @_;

	write_file("$dir/conf", $content, 0600);
	return refuses($what, $status, $kind, $text, '--config', "$dir/conf");
}
refuses('missing configuration file', 2, 'usage', qr/cannot read \S*nofile/,
	'--config', "$dir/nofile");
refuses_file('unknown setting', "# a comment\n\nbogus = 1\n", 2, 'usage', qr/conf:3: unknown setting/);
refuses_file('no assignment', "database\n", 2, 'usage', qr/conf:1: expected/);
refuses_file('flag that is neither', "once = maybe\n", 2, 'usage', qr/conf:1: once: .*yes nor no/);
refuses_file('URL in the file', "to = nope://u:geheim\@host/\ndatabase = x\n", 2, 'usage', qr/to: unknown scheme/);
{
	write_file("$dir/conf", "database = host=/nowhere\n to =  file:$dir/out \nlog-format = json\n", 0600);
	my ($status, $out, $log) = run_bridge('--config', "$dir/conf", '--check');
	my @events = map { decode_json($_) } split /\n/, $log;
	is($status, 3, 'the file is used: unreachable database');
	is_deeply(
		[ map { "$_->{event} $_->{end}" } @events ],
		[ 'check_failed database', "check_ok file:$dir/out" ],
		'both ends are tried, and told as JSON');
	($status) = run_bridge('--config', "$dir/conf", '--to', 'nope:', '--check');
	is($status, 2, 'the command line wins over the file');
}

# ---- what others can read is no place for a password
write_file("$dir/open", "to = stdout:\n", 0604);
refuses('configuration that others can read', 2, 'usage', qr/config: \S*open is open to others/, '--config', "$dir/open");
chmod 0660, "$dir/open";
refuses('configuration that the group can write', 2, 'usage', qr/config: \S*open is open to others/, '--config', "$dir/open");
write_file("$dir/key", 'whsec_' . 'A' x 32 . "\n", 0644);
refuses('key that others can read', 2, 'usage', qr/webhook-secret-file: \S*key is open to others/, @hook,
	'--webhook-secret-file', "$dir/key");
write_file("$dir/conninfo", "host=/nowhere password=geheim\nmore\n", 0644);
refuses('conninfo that others can read', 2, 'usage', qr/database: \S*conninfo is open/, '--database', "\@$dir/conninfo", '--to', 'stdout:');
chmod 0640, "$dir/conninfo";
refuses('conninfo from a file', 3, 'unreachable', qr{database: cannot connect: .*/nowhere}, '--database', "\@$dir/conninfo",
	'--to', "file:$dir/out");
{
	local $ENV{AUTH_SESSION_BRIDGE_DATABASE} = 'host=/nowhere2 password=geheim';
	local $ENV{AUTH_SESSION_BRIDGE_TO} = "file:$dir/out";

	refuses('settings from the environment', 3, 'unreachable', qr{/nowhere2});
	refuses('the command line wins over it', 3, 'unreachable', qr{/nowhere3}, '--database', 'host=/nowhere3');
}
{
	my $bridge = start_bridge('--database', 'host=/nowhere password=geheim', '--to=amqp://u:geheim@127.0.0.1:' . free_port());

	ok(eventually('started', sub { slurp_file($bridge->{log}) =~ /database_failed/ }), 'a command line with passwords');
	my $line = slurp_file("/proc/$bridge->{pid}/cmdline");
	like($line, qr/--database/, 'whose options can be read by everybody');
	unlike($line, qr/geheim/, 'shows none of them');
	is(stop($bridge), 0, 'clean stop');
}

# ---- templates
sub templates
{
	my (%files) = @_;
	my $made = tempdir(CLEANUP => 1);

	foreach my $path (keys %files)
	{
		my ($locale) = split m{/}, $path;
		mkdir "$made/$locale";
		write_file("$made/$path", $files{$path});
	}
	return ('--templates', $made);
}
my $whole = "%% subject\nHi\n%% text\nHi\n";
refuses('missing directory', 6, 'template', qr/cannot read \S*none/, @good, '--templates', "$dir/none");
refuses('missing template', 6, 'template', qr/missing template: locale \\"fr\\"/, @good, '--locale', 'fr');
refuses('missing template, some there', 6, 'template', qr/missing template: locale \\"fr\\"/, @good,
	'--locale', 'fr', templates('fr/new_signin.tmpl' => $whole));
refuses('missing part', 6, 'template', qr{en/new_signin.tmpl: missing part .*text}, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n"));
refuses('subject of two lines', 6, 'template', qr/subject is not one line/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\nBcc: x\n%% text\nHi\n"));
refuses('misspelt kind', 6, 'template', qr{en/new_sigin.tmpl: there is no kind}, @good,
	templates('en/new_sigin.tmpl' => $whole));
refuses('misspelt placeholder', 6, 'template', qr{part text, line 2: a placeholder that .* never have}, @good,
	templates('en/confirm_email.tmpl' => "%% subject\nHi\n%% text\nHi\n{{coed}}\n"));
refuses('code in a notice', 6, 'template', qr{part text, line 1: a placeholder that .* never have}, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n{{code}}\n"));
{
	my @render = ('--render', 'confirm_email');
	my ($status, $out) = run_bridge(@render);

	is($status, 0, '--render shows a template, without database or destination');
	like($out, qr/\A%% subject\nConfirm your email address.*\n    123456\n.*\n%% html\n.*\n%% sms\n/s, 'all its parts');
	like((run_bridge(@render, '--locale', 'de-AT'))[1], qr/^Best\xc3\xa4tigen/m, 'de-AT is German where nothing is nearer');
	like((run_bridge(@render, '--locale', 'de-AT', templates('de-AT/confirm_email.tmpl' => "%% subject\nServus {{code}}\n%% text\nHi\n")))[1],
		qr/^Servus 123456$/m, 'or Austrian');
	is((run_bridge('--render', 'new_sigin'))[0], 6, 'a kind that is none is refused');
}
refuses('open section', 6, 'template', qr/part text, line 1: a section is not closed/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n{{#ip}}Hi\n"));
refuses('crossed sections', 6, 'template', qr/line 2: a section ends/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n\n{{#ip}}{{#at}}{{/ip}}{{/at}}\n"));
refuses('unescaped value', 6, 'template', qr/placeholder/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n{{{ip}}}\n"));
refuses('unknown part', 6, 'template', qr/:5: unknown or repeated part/, @good,
	templates('en/new_signin.tmpl' => "$whole%% pdf\n"));
{
	my ($status, $out) = run_bridge('--dump-templates', "$dir/dump");
	is($status, 0, '--dump-templates');
	my @dumped = glob "$dir/dump/*/*.tmpl";
	is(scalar @dumped, 28, 'writes fourteen kinds in two languages');
	($status) = run_bridge(@good, '--check', '--templates', "$dir/dump");
	is($status, 3, 'what it wrote is taken as templates');
	($status) = run_bridge('--dump-templates', "$dir/dump");
	is($status, 1, 'and is not overwritten');
}

# ---- peers that are not there
my $port = free_port();
refuses('unreachable broker', 3, 'unreachable', qr{amqp://127.0.0.1:$port: cannot connect},
	'--consume', "amqp://u:geheim\@127.0.0.1:$port", '--to', "file:$dir/out", '--check');
refuses('unreachable database', 3, 'unreachable', qr/database: cannot connect/,
	'--database', "host=127.0.0.1 port=$port password=geheim", '--to', "file:$dir/out", '--check');
refuses('conninfo that is none', 2, 'usage', qr/database: cannot connect: .*bogus/,
	'--database', 'bogus=1', '--to', "file:$dir/out", '--check');
refuses('file that cannot be written', 3, 'unreachable', qr/cannot open .nowhere/,
	'--database', 'host=/nowhere', '--to', 'file:/nowhere/out');

# ---- the build
{
	my $said = `make -n all PKG_CONFIG=false 2>&1`;

	like($said, qr/apt-get install .*librabbitmq-dev libcurl4-openssl-dev/,
		'where its libraries are missing, make says what to install');
	unlike($said, qr/-o src\/bridge/, 'and builds the extension alone');
	my $library = `pg_config --pkglibdir`;
	chomp $library;
	unlike(`ldd $library/auth_session.so`, qr/libpq|librabbitmq|libcurl|libjansson/,
		'the extension is linked with none of its libraries');
}

# ---- help and version
{
	my ($status, $out, $log) = run_bridge('--help');
	is($status, 0, '--help');
	my @options = $out =~ /^  (--[a-z-]+)/mg;
	cmp_ok(scalar @options, '>', 25, 'lists the options');
	($status, $out) = run_bridge('--version');
	is($status, 0, '--version');
	like($out, qr/^auth-session-bridge \d+\.\d+/, 'says it');
	my $manual = slurp_file('doc/auth-session-bridge.1');
	$manual =~ s/\\-/-/g;
	is_deeply([ grep { index($manual, $_) < 0 } @options ], [], 'the manual page has every option');
}

done_testing();
