# Wire: a client that says exactly what it is told to: the frontend protocol,
# message by message. For what a driver decides by itself: when to parse, which
# parameter is binary, what a portal is called, what happens after an error.
#
#   my $wire = Wire->new($node, application_name => 'x');
#   $wire->query("SELECT 1")                     simple protocol
#   $wire->parse($name, $sql, @type_oids)        each sends one message
#   $wire->bind($portal, $name, $values, $formats, $result_formats)
#   $wire->execute($portal, $max_rows)
#   $wire->sync                                  reads up to ReadyForQuery
#
# query and sync return { rows => [[...]], tags => [...], error => {...} }: the
# fields of the first error by their letter (C SQLSTATE, M message, D detail).
package Wire;

use strict;
use warnings;
use IO::Socket::UNIX;

sub new
{
	my ($class, $node, %parameters) = @_;
	my $path = $node->host . '/.s.PGSQL.' . $node->port;
	my $self = bless {}, $class;
	my $startup;

	%parameters =
	  (user => $parameters{user} // getpwuid($<), database => 'postgres', %parameters);
	$self->{socket} = IO::Socket::UNIX->new(Peer => $path)
	  or die "cannot connect to $path: $!";
	$startup = pack('N', 196608)
	  . join('', map { "$_\0$parameters{$_}\0" } sort keys %parameters) . "\0";
	$self->{socket}->syswrite(pack('N', length($startup) + 4) . $startup);
	my $answer = $self->read_answer;
	die "connection refused: $answer->{error}{M}" if $answer->{error};
	$self->{pid} = $answer->{pid};
	return $self;
}

sub pid { return $_[0]{pid}; }

sub send_message
{
	my ($self, $type, $body) = @_;
	my $message = $type . pack('N', length($body) + 4) . $body;

	while (length $message)
	{
		my $written = $self->{socket}->syswrite($message);
		die "connection lost: $!" unless $written;
		substr($message, 0, $written) = '';
	}
	return;
}

sub read_bytes
{
	my ($self, $wanted) = @_;
	my $bytes = '';

	while (length $bytes < $wanted)
	{
		$self->{socket}->sysread($bytes, $wanted - length $bytes, length $bytes)
		  or die "connection lost";
	}
	return $bytes;
}

sub read_answer
{
	my ($self) = @_;
	my %answer = (rows => [], tags => []);

	while (1)
	{
		my ($type, $length) = unpack('aN', $self->read_bytes(5));
		my $body = $self->read_bytes($length - 4);

		if ($type eq 'D')
		{
			my $count = unpack('n', $body);
			my $at = 2;
			my @row;

			foreach (1 .. $count)
			{
				my $size = unpack('l>', substr($body, $at, 4));
				$at += 4;
				push @row, $size < 0 ? undef : substr($body, $at, $size);
				$at += $size if $size > 0;
			}
			push @{ $answer{rows} }, \@row;
		}
		elsif ($type eq 'C')
		{
			push @{ $answer{tags} }, unpack('Z*', $body);
		}
		elsif ($type eq 'E')
		{
			$answer{error} //= { map { unpack('aZ*', $_) } split /\0/, $body };
			# A FATAL one has no ReadyForQuery after it.
			return \%answer if $answer{error}{V} eq 'FATAL';
		}
		elsif ($type eq 'K')
		{
			$answer{pid} = unpack('N', $body);
		}
		elsif ($type eq 'Z')
		{
			return \%answer;
		}
	}
}

sub query
{
	my ($self, $sql) = @_;

	$self->send_message('Q', "$sql\0");
	return $self->read_answer;
}

sub parse
{
	my ($self, $name, $sql, @types) = @_;

	return $self->send_message('P',
		"$name\0$sql\0" . pack('n/N*', @types));
}

sub bind
{
	my ($self, $portal, $name, $values, $formats, $result_formats) = @_;

	return $self->send_message(
		'B',
		"$portal\0$name\0"
		  . pack('n/n*', @{ $formats // [] })
		  . pack('n', scalar @$values)
		  . join('', map { defined $_ ? pack('N/a*', $_) : pack('l>', -1) } @$values)
		  . pack('n/n*', @{ $result_formats // [] }));
}

sub execute
{
	my ($self, $portal, $max_rows) = @_;

	return $self->send_message('E', "$portal\0" . pack('N', $max_rows // 0));
}

sub sync
{
	my ($self) = @_;

	$self->send_message('S', '');
	return $self->read_answer;
}

sub close
{
	my ($self) = @_;

	# The server may have gone first.
	local $SIG{PIPE} = 'IGNORE';
	eval { $self->send_message('X', '') };
	return $self->{socket}->close;
}

1;
