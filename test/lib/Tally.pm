# Tally: prove's own formatter for test/lib/run: a line per finished file, in
# the form of its other lines (PART is their first word, STARTED its start), and
# at the end "PASSED FAILED", the numbers of assertions, to the file that TALLY
# names. A file that failed without a failed assertion (it died, its plan was
# wrong) counts as one.
package Tally;

use strict;
use warnings;
use TAP::Formatter::File;

our @ISA = 'TAP::Formatter::File';

sub open_test
{
	my ($self, $test, $parser) = @_;

	return Tally::Session->new(
		{ name => $test, formatter => $self, parser => $parser });
}

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

	return $failed ? $self->SUPER::summary($aggregate, @rest) : undef;
}

package Tally::Session;

use strict;
use warnings;
use File::Basename qw(fileparse);
use IO::Handle;
use TAP::Formatter::File::Session;
use Time::HiRes qw(time);

our @ISA = 'TAP::Formatter::File::Session';

# Cut off, as the shell does.
sub tenths
{
	my ($seconds) = @_;

	return sprintf '%.1f', int($seconds * 10) / 10;
}

sub close_test
{
	my ($self) = @_;
	my $parser = $self->parser;
	my $skipped = $parser->skip_all;
	my $failed = $parser->has_problems;

	# Where nobody reads any more, as after a terminal is closed, it ends.
	my $out = $self->formatter->stdout;
	printf {$out} "[%6s s] %-42s %-6s %7s s%s\n",
	  tenths(time - $ENV{STARTED} / 1e6),
	  "$ENV{PART}: " . fileparse($self->name, qr/\.[^.]*/),
	  $failed ? 'FAILED' : $skipped ? 'skip' : 'ok',
	  tenths($parser->end_time - $parser->start_time),
	  $skipped ? ": $skipped" : '';
	$out->flush or die "cannot write: $!\n";
	$self->_output_test_failure($parser) if $failed;
	return;
}

1;
