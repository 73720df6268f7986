# Scripts that no test runs to their end (make demo-web, benchmarks) call only
# functions that test/lib/cluster has.
use strict;
use warnings;
use PostgreSQL::Test::Utils;
use Test::More;

my $cluster = slurp_file('test/lib/cluster') . slurp_file('test/lib/ending');
my %is_function = map { $_ => 1 } $cluster =~ /^(\w+)\(\)/mg;
# Its own variables are no functions.
my %is_variable = map { $_ => 1 } $cluster =~ /\b(cluster_\w+)=/g;

foreach my $script (grep { -f && !/\.\w+$/ } glob 'test/* test/*/*')
{
	my $text = slurp_file($script);
	next unless $text =~ m{^#!.*sh\n} && $text =~ m{^\. .*test/lib/cluster|^\. .*/cluster"}m;

	is(join(' ', grep { !$is_function{$_} && !$is_variable{$_} } $text =~ /^\s*((?:cluster_|at_end)\w*)\b(?!=)/mg),
		'', "what $script calls of test/lib/cluster is there");
}

done_testing;
