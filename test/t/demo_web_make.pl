# `make demo-web` as a newcomer types it, in a checkout of its own where nothing
# is built: it says where the page is, the page is there, a sign-up through it is
# confirmed by the mail in its second pane, and ^C leaves neither a process nor a
# file behind. That a person finds his way on the page is demo_web.pl's.
use strict;
use warnings;
use HTTP::Tiny;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();
use Web;

my $directory = PostgreSQL::Test::Utils::tempdir;
my $http = HTTP::Tiny->new;

local $ENV{HOME} = $directory;
mkdir "$directory/probe" or die $!;
plan skip_all => 'npm can\'t install pg' unless npm_install("$directory/probe", 'examples/node');

mkdir "$directory/$_" or die $! foreach qw(checkout tmp);
system('cp', '-r', qw(Makefile META.json README.md auth_session.control doc examples expected sql src test), "$directory/checkout") == 0
  or die 'cp';
unlink "$directory/checkout/src/bridge/auth-session-bridge";

# Of a terminal: in a group of its own, which ^C is sent to.
my $port = PostgreSQL::Test::Cluster::get_free_port();
my $mark = "AUTH_SESSION_DEMO=$directory";
my $said = "$directory/said";
append_to_file($said, "");
my $pid = fork // die $!;
if ($pid == 0)
{
	delete @ENV{ grep { /^(PG|AUTH_SESSION_|MAKE|MFLAGS|STAGE)/ && $_ ne 'PG_CONFIG' } keys %ENV };
	@ENV{qw(AUTH_SESSION_DEMO TMPDIR STAGE)} = ($directory, "$directory/tmp", "$directory/stage");
	# Without the server of the tests.
	$ENV{PATH} = join ':', grep { !-e "$_/postgres" } split /:/, $ENV{PATH};
	POSIX::setsid();
	open STDIN, '<', '/dev/null' or die $!;
	open STDOUT, '>>', $said or die $!;
	open STDERR, '>&', \*STDOUT or die $!;
	chdir "$directory/checkout" or die $!;
	exec 'make', 'demo-web', "PORT=$port" or die $!;
}

# Whether something is so at some time.
sub eventually
{
	my ($is_so) = @_;

	for (1 .. 20 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $is_so->();
		Time::HiRes::usleep(100_000);
	}
	return 0;
}

# What was started with the mark in its environment, by its name.
sub left
{
	return grep {
		my ($environ) = ('');

		if (open my $file, '<', "/proc/$_/environ")
		{
			local $/;
			$environ = <$file> // '';
		}
		$environ =~ /(^|\0)\Q$mark\E\0/ && $_ != $$;
	} map { m{(\d+)} } glob '/proc/[0-9]*';
}

my ($url, $status) = ('');
eventually(
	sub {
		return 1 if waitpid($pid, POSIX::WNOHANG()) == $pid;
		($url) = slurp_file($said) =~ /ready: (\S+)$/m;
		return $url;
	});
is($url, "http://localhost:$port", 'it says where the page is') or diag(slurp_file($said));
like(slurp_file($said), qr/^\[ *\d+\.\d s\] building.*^\[ *\d+\.\d s\] starting a server$/ms, 'a line for each step before, with its time');
unlike(slurp_file($said), qr/gcc|clang|install -c/, 'and none for each command');

# post(FUNCTION, ARGUMENTS): what the page's script sends.
sub post
{
	my ($function, $arguments) = @_;
	my $answer = $http->post("$url/api/rpc/$function",
		{ headers => { 'content-type' => 'application/json', 'content-profile' => 'auth' }, content => encode_json($arguments) });

	return ($answer->{status}, eval { decode_json($answer->{content}) } // $answer->{content});
}

SKIP:
{
	skip 'there is no page', 5 unless $url;
	my $page = $http->get($url);
	my ($got, $answer, $mail);

	like($page->{content}, qr/<form\b/, 'the page is there');
	($got, $answer) = post(signup => { email => 'ada@example.org', password => 'correct horse battery staple' });
	is($got, 200, 'a sign-up through it') or diag(explain($answer));
	eventually(
		sub {
			($mail) = grep { encode_json($_) =~ /ada\@example\.org/ } @{ decode_json($http->get("$url/mails")->{content}) };
			return $mail;
		});
	my $text = encode_json($mail // {});
	like($text, qr{\Q$url\E/auth/confirm_email\?token=}, 'the mail comes, with a link to this page');
	my ($code) = $text =~ /"code":"(\d{6})"/;
	($got, $answer) = post(confirm => { identifier => 'ada@example.org', code => $code, password => 'correct horse battery staple' });
	is($got, 200, 'its code confirms') or diag(explain($answer));
	($got, $answer) = post(signin => { email => 'ada@example.org', password => 'correct horse battery staple' });
	is($got, 200, 'and she signs in') or diag(explain($answer));
	cmp_ok(scalar(left()), '>', 4, 'make, its shell, a server, the bridge and the page run');
}

# ^C
kill INT => -$pid;
waitpid $pid, 0;
ok(eventually(sub { !left() }), '^C leaves no process') or diag(join "\n", map { slurp_file("/proc/$_/cmdline") } left());
is_deeply([ glob "$directory/tmp/{*,.[!.]*}" ], [], 'and no file');

END
{
	my $exit = $?;

	if ($pid)
	{
		kill KILL => left();
	}
	$? = $exit;
}

done_testing;
