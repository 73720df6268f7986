# What the bridge reads of strangers (messages, values in templates, URLs),
# with inputs put together at random, under the sanitizers: test/fuzz/bridge.c.
#
# psql can't show it: it is the bridge's own code.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my ($made, $errors) = ('', '');
IPC::Run::run([ 'make', '-s', 'build/bridge-check' ],
	'<', \undef, '>', \$made, '2>', \$errors)
  or BAIL_OUT("could not build the check: $made$errors");

foreach my $seed (1, int rand 1_000_000)
{
	my ($said, $wrong) = ('', '');

	IPC::Run::run([ 'build/bridge-check', 50_000, $seed ],
		'<', \undef, '>', \$said, '2>', \$wrong);
	is($said . $wrong, "50000 inputs\n",
		"B13, C10: no input adds markup, a header's line or another host (seed $seed)");
}

done_testing();
