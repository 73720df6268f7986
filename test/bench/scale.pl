# What test/bench/scale measures by one backend: its two servers are running.
#
#   scale.pl memory|disk SMALL LARGE STRIDE   callers that nobody has called for since
#                                             the start, on the large one
#   scale.pl processor SMALL LARGE STRIDE     processor time and pages, both by turns
#
# SMALL and LARGE are the directories of the clusters, STRIDE what a caller's
# number is multiplied by on the large one to have its account's.
use strict;
use warnings;
use List::Util qw(shuffle sum);
use Time::HiRes qw(time);
use Wire;

my ($mode, $small, $large, $stride) = @ARGV;
my @flows = qw(verify renew signin);

# ---- a server ----

package Server;

sub new
{
	my ($class, $host, $stride) = @_;
	my $self = bless { host => $host, stride => $stride }, $class;

	$self->{watcher} = Wire->new($self, user => 'postgres');
	$self->{wire} = Wire->new($self, user => 'postgres');
	my $rows = $self->{watcher}->query('SELECT n, access, refresh FROM scale_tokens ORDER BY random()')->{rows};
	$self->{callers} = [ map { { n => $_->[0], access => $_->[1], refresh => $_->[2] } } @$rows ];
	$self->{at} = 0;
	return $self;
}

sub host { return $_[0]{host}; }
sub port { return 5432; }

# A prepared statement with text parameters; its first row.
sub run
{
	my ($self, $wire, $sql, @values) = @_;
	my $name = $wire->{prepared}{$sql};

	if (!defined $name)
	{
		$name = $wire->{prepared}{$sql} = 's' . keys %{ $wire->{prepared} };
		$wire->parse($name, $sql);
	}
	$wire->bind('', $name, \@values);
	$wire->execute('');
	my $answer = $wire->sync;
	die "$sql: $answer->{error}{M}" if $answer->{error};
	return $answer->{rows}[0];
}

# One call for a caller.
sub call
{
	my ($self, $flow, $caller) = @_;

	if ($flow eq 'verify')
	{
		$self->run($self->{wire}, 'SELECT auth.verify($1)', $caller->{access});
	}
	elsif ($flow eq 'renew')
	{
		@{$caller}{qw(access refresh)} = @{
			$self->run($self->{wire}, 'SELECT access_token, refresh_token FROM auth.renew($1)', $caller->{refresh}) };
		$caller->{renewed} = 1;
	}
	else
	{
		$self->run($self->{wire}, 'SELECT access_token FROM auth.signin($1, $2)',
			'scale' . $caller->{n} * $self->{stride} . '@example.org', 'correct horse battery staple');
	}
	return;
}

# The next caller, in an order that is no table's.
sub next_caller
{
	my ($self) = @_;

	return $self->{callers}[ $self->{at}++ % @{ $self->{callers} } ];
}

# Nanoseconds of a processor so far.
sub processor_time
{
	my ($self) = @_;

	open my $in, '<', '/proc/' . $self->{wire}->pid . '/schedstat' or die $!;
	return (split ' ', <$in>)[0];
}

# Pages asked for so far, and those of them that were not in shared buffers.
sub pages
{
	my ($self) = @_;

	$self->{wire}->query('SELECT pg_stat_force_next_flush()');
	return @{ $self->{watcher}->query(q{SELECT blks_hit + blks_read, blks_read
		FROM pg_stat_database WHERE datname = 'postgres'})->{rows}[0] };
}

# Whoever measures next finds the tokens that are good.
sub keep_tokens
{
	my ($self) = @_;

	$self->run($self->{watcher}, 'UPDATE scale_tokens SET access = $2, refresh = $3 WHERE n = $1::int',
		@{$_}{qw(n access refresh)}) foreach grep { $_->{renewed} } @{ $self->{callers} };
	return;
}

# ---- what is measured ----

package main;

# Milliseconds of a call for each of them.
sub each_once
{
	my ($server, $flow, @callers) = @_;
	my $began = time;

	$server->call($flow, $_) foreach @callers;
	return (time - $began) / @callers * 1000;
}

# The callers of each flow are others: what one has touched is there for the next.
sub first_touch
{
	my $server = Server->new($large, $stride);

	foreach my $flow (@flows)
	{
		my @callers = map { $server->next_caller } 1 .. 300;

		# The backend's own caches are not what is measured.
		$server->call($flow, $server->next_caller) foreach 1 .. 10;
		my (undef, $before) = $server->pages;
		my $first = each_once($server, $flow, @callers);
		my (undef, $after) = $server->pages;
		my $second = each_once($server, $flow, @callers);
		printf "| %s | %s | %.2f | %.2f | %.1f |\n", $mode eq 'disk' ? 'the disk' : 'the system\'s memory',
		  $flow, $first, $second, ($after - $before) / @callers;
	}
	$server->keep_tokens;
	return;
}

# The lower tenth: what else the machine does only adds.
sub undisturbed { return (sort { $a <=> $b } @_)[ @_ / 10 ]; }

sub processor
{
	my %calls = (verify => 100, renew => 50, signin => 10);
	my @servers = (Server->new($small, 1), Server->new($large, $stride));

	foreach my $flow (@flows)
	{
		my (@used, @pages);

		foreach my $server (@servers)
		{
			$server->call($flow, $server->next_caller) foreach 1 .. $calls{$flow};
		}
		foreach my $i (0, 1)
		{
			my @before = $servers[$i]->pages;

			$servers[$i]->call($flow, $servers[$i]->next_caller) foreach 1 .. $calls{$flow};
			my @after = $servers[$i]->pages;
			push @pages, [ map { ($after[$_] - $before[$_]) / $calls{$flow} } 0, 1 ];
		}
		foreach my $round (1 .. 60)
		{
			foreach my $i ($round % 2 ? (0, 1) : (1, 0))
			{
				my $before = $servers[$i]->processor_time;

				$servers[$i]->call($flow, $servers[$i]->next_caller) foreach 1 .. $calls{$flow};
				push @{ $used[$i] }, ($servers[$i]->processor_time - $before) / $calls{$flow} / 1000;
			}
		}
		my @us = map { undisturbed(@$_) } @used;
		printf "| %s | %.1f : %.1f | %.2f | %.1f : %.1f | %.2f : %.2f |\n", $flow, @us, $us[0] / $us[1],
		  map { my $which = $_; map { $_->[$which] } @pages } 0, 1;
	}
	$_->keep_tokens foreach @servers;
	return;
}

$mode eq 'processor' ? processor() : first_touch();
