# The tools that mask secrets in a text, against statements put together at
# random: every literal's secret gone, every name still there, every function
# found; and nothing read or written beyond the text (test/fuzz/redact.c).
#
# psql can't show it: it would take a hundred thousand log lines.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my ($made, $errors) = ('', '');
IPC::Run::run([ 'make', '-s', 'build/redact-check' ],
	'<', \undef, '>', \$made, '2>', \$errors)
  or die "could not build the check: $made$errors";

foreach my $seed (1, int rand 1_000_000)
{
	my ($said, $wrong) = ('', '');

	IPC::Run::run([ 'build/redact-check', 100_000, $seed ],
		'<', \undef, '>', \$said, '2>', \$wrong);
	is($said . $wrong, "100000 texts\n",
		"G3: no statement shows a literal or hides a name (seed $seed)");
}

done_testing();
