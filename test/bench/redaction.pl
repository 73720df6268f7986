# What the hooks that keep secrets out of the log cost statements that have
# none: the processor time of a backend with the library against one of a
# server without it, the two by turns. Tps would measure the client and the
# scheduler instead. Two servers without it differ by up to 0.05 themselves.
#
# test/bench/redaction starts the two servers; PGHOST and OTHER are their
# sockets' directories. Prints rows of the table of test/bench/run. Exit
# status 1 where a limit is missed.
use strict;
use warnings;
use Wire;

my $rounds = 100;
my $missed = 0;
my @servers = map { Wire->new(Server->new($_), user => $ENV{PGUSER} // 'postgres') }
  @ENV{qw(PGHOST OTHER)};

# Nanoseconds on a processor so far.
sub processor_time
{
	my ($wire) = @_;

	open my $in, '<', '/proc/' . $wire->pid . '/schedstat' or die $!;
	return (split ' ', <$in>)[0];
}

sub run_prepared
{
	my ($wire, $count) = @_;

	foreach (1 .. $count)
	{
		$wire->bind('', 's', []);
		$wire->execute('');
		$wire->sync;
	}
	return;
}

sub run_simple
{
	my ($wire, $count, $sql) = @_;

	$wire->query($sql) foreach 1 .. $count;
	return;
}

# The lower tenth: what else the machine does only ever adds.
sub undisturbed { return (sort { $a <=> $b } @_)[ @_ / 10 ]; }

sub row
{
	my ($figure, $limit, $run, $count, $sql) = @_;
	my (@ours, @base);

	foreach my $wire (@servers)
	{
		$wire->parse('s', $sql);
		$wire->sync;
		$run->($wire, $count, $sql);
	}
	foreach my $round (1 .. $rounds)
	{
		my @used;

		# Each goes first as often as the other.
		foreach my $i ($round % 2 ? (0, 1) : (1, 0))
		{
			my $before = processor_time($servers[$i]);

			$run->($servers[$i], $count, $sql);
			$used[$i] = (processor_time($servers[$i]) - $before) / $count / 1000;
		}
		push @ours, $used[0];
		push @base, $used[1];
	}
	$_->query('DEALLOCATE s') foreach @servers;

	my $ratio = undisturbed(@ours) / undisturbed(@base);
	$missed++ if $ratio > $limit;
	printf "| %-48s | at most %.2f | %-8.2f | %-32s | %s |\n", $figure, $limit,
	  $ratio, sprintf('%.1f us : %.1f us', undisturbed(@ours), undisturbed(@base)),
	  $ratio <= $limit ? 'reached' : 'MISSED';
	return;
}

my $longer = <<'SQL';
SELECT c.relname, n.nspname, a.attname, auth.format_type FROM pg_catalog.pg_class AS c
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid
CROSS JOIN LATERAL (SELECT pg_catalog.format_type(a.atttypid, a.atttypmod)) AS auth
WHERE c.relname = 'pg_class' AND n.nspname = 'pg_catalog' AND a.attnum = 1
SQL

row('hooks of the log, SELECT 1, prepared', 1.10, \&run_prepared, 500, 'SELECT 1');
row('hooks of the log, SELECT 1, simple', 1.10, \&run_simple, 500, 'SELECT 1');
row('hooks of the log, 430 bytes, prepared', 1.10, \&run_prepared, 200, $longer);
row('hooks of the log, 430 bytes, simple', 1.10, \&run_simple, 100, $longer);
exit($missed > 0);

package Server;

sub new { my ($class, $host) = @_; return bless { host => $host }, $class; }
sub host { return $_[0]{host}; }
sub port { return $ENV{PGPORT}; }
