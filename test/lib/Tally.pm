# Tally: prove's own formatter, which also writes "PASSED FAILED", the
# numbers of assertions, to the file that TALLY names. A file that failed
# without a failed assertion (it died, its plan was wrong) counts as one.
package Tally;

use strict;
use warnings;
use TAP::Formatter::Console;
use TAP::Formatter::File;

# As prove chooses: rulers and counters only where somebody watches.
our @ISA = (-t STDOUT ? 'TAP::Formatter::Console' : 'TAP::Formatter::File');

sub summary
{
	my ($self, $aggregate, @rest) = @_;
	my $failed = $aggregate->failed;

	foreach my $parser ($aggregate->parsers)
	{
		$failed++ if $parser->has_problems && !$parser->failed;
	}
	open my $out, '>', $ENV{TALLY} or die "cannot write $ENV{TALLY}: $!";
	print $out $aggregate->passed + 0, " ", $failed + 0, "\n";
	close $out or die "cannot write $ENV{TALLY}: $!";

	return $self->SUPER::summary($aggregate, @rest);
}

1;
