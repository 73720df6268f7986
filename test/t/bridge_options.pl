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
refuses('no destination for sms', 2, 'usage', qr/no destination for sms/,
	'--database', 'x', '--email', 'stdout:');
refuses('no destination for email', 2, 'usage', qr/no destination for email/,
	'--database', 'x', '--sms', 'stdout:');
refuses('unknown option', 2, 'usage', qr/--bogus/, @good, '--bogus');
refuses('option without its value', 2, 'usage', qr/--lease: needs a value/, @good, '--lease');
refuses('stray argument', 2, 'usage', qr/stray argument/, @good, 'stray');
refuses('number out of range', 2, 'usage', qr/batch: .*from 1 to 10000/, @good, '--batch', '0');
refuses('no number', 2, 'usage', qr/batch: .*12x/, @good, '--batch', '12x');
refuses('number that overflows', 2, 'usage', qr/batch/, @good, '--batch', '99999999999999999999');
refuses('unknown word', 2, 'usage', qr/log-format: .*xml/, @good, '--log-format', 'xml');
refuses('lease shorter than two timeouts', 2, 'usage', qr/lease/, @good, '--lease', '20', '--timeout', '15');
refuses('link path without slash', 2, 'usage', qr/link-path/, @good, '--link-path', 'x');
refuses('link path that is no template', 6, 'template', qr/link-path/, @good, '--link-path', '/{{x');
refuses('metrics elsewhere than loopback', 2, 'usage', qr/metrics: .*loopback/, @good,
	'--metrics', '192.0.2.1:9000');

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
refuses('mail without sender', 2, 'usage', qr/give --from/, @good, '--email', 'smtp://127.0.0.1/');
refuses('sender with a line break', 2, 'usage', qr/from: /, '--database', 'x', '--to',
	'smtp://127.0.0.1/', '--from', "a\@example.org\r\nBcc: b\@example.org");
refuses('sender that is no address', 2, 'usage', qr/from: /, '--database', 'x', '--to',
	'smtp://127.0.0.1/', '--from', 'Nobody <nobody>');
refuses('a broker behind --consume', 2, 'usage', qr/does not feed a broker/, '--consume',
	'amqp://127.0.0.1/', '--to', 'amqp://127.0.0.1/');
refuses('--consume of no broker', 2, 'usage', qr/consume: .*not a broker/, '--consume',
	'smtp://127.0.0.1/', '--to', 'stdout:');

# ---- keys of webhooks
my @hook = ('--database', 'x', '--to', 'https://127.0.0.1/');
refuses('missing key file', 2, 'usage', qr/cannot read \S*nokey/, @hook,
	'--webhook-secret-file', "$dir/nokey");
foreach my $bad ('', 'whsec_!!!!', 'whsec_c2hvcnQ=', "whsec_" . 'A' x 100)
{
	write_file("$dir/key", "$bad\n");
	refuses("key '" . substr($bad, 0, 20) . "'", 2, 'usage', qr/key:1: expected/, @hook,
		'--webhook-secret-file', "$dir/key");
}

# ---- the configuration file
sub refuses_file
{
	my ($what, $content, $status, $kind, $text) = @_;

	write_file("$dir/conf", $content);
	return refuses($what, $status, $kind, $text, '--config', "$dir/conf");
}
refuses('missing configuration file', 2, 'usage', qr/cannot read \S*nofile/,
	'--config', "$dir/nofile");
refuses_file('unknown setting', "# a comment\n\nbogus = 1\n", 2, 'usage', qr/conf:3: unknown setting/);
refuses_file('no assignment', "database\n", 2, 'usage', qr/conf:1: expected/);
refuses_file('flag that is neither', "once = maybe\n", 2, 'usage', qr/conf:1: once: .*yes nor no/);
refuses_file('URL in the file', "to = nope://u:geheim\@host/\ndatabase = x\n", 2, 'usage', qr/to: unknown scheme/);
{
	write_file("$dir/conf", "database = host=/nowhere\n to =  file:$dir/out \nlog-format = json\n");
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
refuses('open section', 6, 'template', qr/part text, line 1: a section is not closed/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n{{#ip}}Hi\n"));
refuses('crossed sections', 6, 'template', qr/line 2: a section ends/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n\n{{#a}}{{#b}}{{/a}}{{/b}}\n"));
refuses('unescaped value', 6, 'template', qr/placeholder/, @good,
	templates('en/new_signin.tmpl' => "%% subject\nHi\n%% text\n{{{ip}}}\n"));
refuses('unknown part', 6, 'template', qr/:5: unknown or repeated part/, @good,
	templates('en/new_signin.tmpl' => "$whole%% pdf\n"));
{
	my ($status, $out) = run_bridge('--dump-templates', "$dir/dump");
	is($status, 0, '--dump-templates');
	my @dumped = glob "$dir/dump/*/*.tmpl";
	is(scalar @dumped, 22, 'writes eleven kinds in two languages');
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
