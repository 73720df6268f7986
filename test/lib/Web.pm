# Web: what the tests of pages and HTTP servers share.
#
#   npm_install($directory, 'test/web') or ...   the parts of a package.json
#   my $url = listens(postgres => 'node', ...);  a program that says where it is
#   says(qr/(...)/); said()                      what the last one said; its file
#   end_all();                                   ends them
package Web;

use strict;
use warnings;
use Exporter 'import';
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use IPC::Run qw(run start);
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(npm_install listens said says end_all);

my $directory = tempdir(CLEANUP => 1);
my @running;
my $said;

# npm_install(TO, FROM): TO/node_modules has what FROM/package.json names; false
# where npm can't get it.
sub npm_install
{
	my ($to, $from) = @_;
	my $out = '';

	copy("$from/package.json", "$to/package.json") or die "$from/package.json: $!";
	return 1 if eval {
		run([ 'npm', 'install', '--prefix', $to, '--no-audit', '--no-fund', '--ignore-scripts',
			'--no-package-lock', '--loglevel=error' ], '<', \undef, '>', \$out, '2>&1');
	};
	note("npm: $out$@");
	return 0;
}

sub said { return $said }

# What the program that was started last says must match at some time: what the
# pattern captures.
sub says
{
	my ($pattern) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		my @found = slurp_file($said) =~ $pattern;

		return $found[0] if @found;
		Time::HiRes::usleep(100_000);
	}
	die slurp_file($said);
}

# listens(ROLE, COMMAND...): starts a program, which finds the database as that
# role; the URL that it says it listens on.
sub listens
{
	my ($role, @command) = @_;
	local $ENV{PGUSER} = $role;

	$said = "$directory/" . @running;
	push @running, start(\@command, '<', \undef, '>', $said, '2>&1');
	return says(qr/^listening on (\S+)\n/m);
}

sub end_all
{
	$_->signal('TERM') foreach @running;
	$_->finish foreach @running;
	@running = ();
	return;
}

# Nothing outlives a test that died.
END
{
	my $status = $?;

	$_->kill_kill foreach @running;
	$? = $status;
}

1;
