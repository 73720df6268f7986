# The JOSE tools against the vectors of the RFCs and the known attacks.
#
# psql can't show it: RFC 7520 signs a text that is no JSON, hostile bytes
# don't fit into a text, and nothing of SQL should stand between an attack
# and the code that has to refuse it. A program links that code without a
# server; its assertions are passed on, each under its own name. It is built
# with AddressSanitizer and UBSan; what may leak is jose_leaks' to find, since
# here nothing resets the memory that the server's JSON parser counts on.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my ($made, $errors) = ('', '');
IPC::Run::run([ 'make', '-s', 'build/jose-check' ],
	'<', \undef, '>', \$made, '2>', \$errors)
  or die "could not build the checks: $made$errors";

local $ENV{ASAN_OPTIONS} = 'detect_leaks=0';
open my $tap, '-|', 'build/jose-check', 'test/jose/vectors.txt'
  or die "could not run the checks: $!";
my $planned = 0;
my $seen = 0;
while (my $line = <$tap>)
{
	if ($line =~ /^(not )?ok \d+ - (.*)$/)
	{
		ok(!$1, $2);
		$seen++;
	}
	$planned = $1 if $line =~ /^1\.\.(\d+)$/;
}
close $tap;
is($?, 0, 'G5: nothing for AddressSanitizer or UBSan to report');
is($seen, $planned, 'the checks ran to their end');
cmp_ok($seen, '>', 300, 'every vector was read');

done_testing();
