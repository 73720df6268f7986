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
use Time::HiRes qw(time);
use Wire;

my ($mode, $small, $large, $stride) = @ARGV;
my @flows = qw(verify renew signin);

STDOUT->autoflush;

# ---- a server ----

package Server;

sub new
{
	my ($class, $host, $stride) = @_;
	my $self = bless { host => $host, stride => $stride }, $class;

	$self->{watcher} = Wire->new($self, user => 'postgres');
	$self->{wire} = Wire->new($self, user => 'postgres');
	# In an order that is no table's. Looking for a session of each, for the plain
	# statements, touches pages.
	my $answer = $self->{watcher}->query($mode eq 'processor'
		? "SELECT n, access, refresh, c.user_id, c.session_id
			FROM scale_tokens JOIN auth_private.identifiers ON identifier = format('scale%s\@example.org', n * $stride),
				LATERAL (SELECT user_id, session_id FROM auth_private.token_cache AS t
					WHERE t.user_id = identifiers.user_id LIMIT 1) AS c
			ORDER BY random()"
		: 'SELECT n, access, refresh FROM scale_tokens ORDER BY random()');
	die $answer->{error}{M} if $answer->{error};
	foreach my $row (@{ $answer->{rows} })
	{
		my %caller;

		@caller{qw(n access refresh user session)} = @$row;
		push @{ $self->{callers} }, \%caller;
	}
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
	elsif ($flow eq 'SELECT')
	{
		$self->run($self->{wire}, 'SELECT jti, expires_at FROM auth_private.token_cache
			WHERE user_id = $1::uuid AND session_id = $2::uuid', @{$caller}{qw(user session)});
	}
	elsif ($flow eq 'two UPDATEs')
	{
		$self->run($self->{wire}, 'WITH s AS (UPDATE auth_private.sessions SET renewed_at = renewed_at
				WHERE user_id = $1::uuid AND id = $2::uuid)
			UPDATE auth_private.token_cache SET expires_at = expires_at
			WHERE user_id = $1::uuid AND session_id = $2::uuid', @{$caller}{qw(user session)});
	}
	else
	{
		$self->run($self->{wire}, 'SELECT access_token FROM auth.signin($1, $2)',
			'scale' . $caller->{n} * $self->{stride} . '@example.org', 'correct horse battery staple');
	}
	return;
}

# The next of the callers, or of the first few.
sub next_caller
{
	my ($self, $few) = @_;

	return $self->{callers}[ $self->{at}++ % ($few // @{ $self->{callers} }) ];
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

# Pages a call, at the least of some tries: a worker may look at some, too.
sub pages_of
{
	my ($server, $flow, $calls, $few) = @_;
	my @least;

	foreach my $try (1 .. 3)
	{
		my @before = $server->pages;

		$server->call($flow, $server->next_caller($few)) foreach 1 .. $calls;
		my @after = $server->pages;
		my @used = map { ($after[$_] - $before[$_]) / $calls } 0, 1;
		@least = @used if !@least || $used[0] < $least[0];
	}
	return \@least;
}

# Plain statements that read or write the same rows stand beside the flows, and
# callers so few that their pages stay in the processor's caches beside all.
sub processor
{
	my %calls = (verify => 100, SELECT => 100, renew => 50, 'two UPDATEs' => 50, signin => 10);
	my @servers = (Server->new($small, 1), Server->new($large, $stride));

	foreach my $row ([ 'verify' ], [ 'SELECT' ], [ 'renew' ], [ 'two UPDATEs' ], [ 'signin' ],
		[ 'verify', 50 ], [ 'SELECT', 50 ], [ 'renew', 50 ], [ 'two UPDATEs', 50 ])
	{
		my ($flow, $few) = @$row;
		my (@used, @pages);

		foreach my $server (@servers)
		{
			$server->call($flow, $server->next_caller($few)) foreach 1 .. $calls{$flow};
			push @pages, pages_of($server, $flow, $calls{$flow}, $few);
		}
		foreach my $round (1 .. 60)
		{
			foreach my $i ($round % 2 ? (0, 1) : (1, 0))
			{
				my $before = $servers[$i]->processor_time;

				$servers[$i]->call($flow, $servers[$i]->next_caller($few)) foreach 1 .. $calls{$flow};
				push @{ $used[$i] }, ($servers[$i]->processor_time - $before) / $calls{$flow} / 1000;
			}
		}
		my @us = map { undisturbed(@$_) } @used;
		printf "| %s | %s | %.1f : %.1f | %.2f | %.1f : %.1f | %.2f : %.2f |\n", $flow, $few // 'all', @us,
		  $us[0] / $us[1], map { my $which = $_; map { $_->[$which] } @pages } 0, 1;
	}
	$_->keep_tokens foreach @servers;
	return;
}

$mode eq 'processor' ? processor() : first_touch();
