# What a call of each flow costs: test/bench/flows starts the server.
#
#   flows.pl cpu DIR [FLOW...]           a backend's processor time, into DIR/cpu
#   flows.pl instructions DIR [FLOW...]  under valgrind; prints the table
#
# Both sides of a flow run by turns in batches, and the lower tenth counts:
# what else the machine does only ever adds. Under valgrind a call of pg_sleep
# ends what is counted, so a batch between two of them is exact but for the
# rest of that statement, which an empty batch measures.
use strict;
use warnings;
use Wire;

my ($mode, $dir, @only) = @ARGV;
my $calls = 100;
my $warm = 40;
my $missed = 0;

# ---- what the flows run ----

my $plain = Wire->new(Server->new, user => 'postgres');

sub value
{
	my ($sql) = @_;
	my $answer = $plain->query($sql);

	die $answer->{error}{M} if $answer->{error};
	return map { $_->[0] } @{ $answer->{rows} };
}

# A statement with text parameters, prepared once a connection; answers rows.
sub run
{
	my ($wire, $sql, @values) = @_;
	my $name = $wire->{prepared}{$sql};

	if (!defined $name)
	{
		$name = $wire->{prepared}{$sql} = 's' . keys %{ $wire->{prepared} };
		$wire->parse($name, $sql);
	}
	$wire->bind('', $name, \@values);
	$wire->send_message('D', "P\0");
	$wire->execute('');
	my $answer = $wire->sync;
	die "$sql: $answer->{error}{M} $answer->{error}{D}" if $answer->{error};
	return $answer->{rows};
}

my @others = value("SELECT access FROM bench_tokens WHERE kind = 'other' ORDER BY n");
my @logouts = value("SELECT refresh FROM bench_tokens WHERE kind = 'logout' ORDER BY n DESC");
my ($two) = value("SELECT access FROM bench_tokens WHERE kind = 'sessions' AND n = 1");
my ($base_session, @base_logouts) =
  value("SELECT user_id || ' ' || session_id FROM bench_cache ORDER BY session_id");
my ($two_user) =
  value('SELECT user_id FROM bench_sessions GROUP BY user_id HAVING count(*) = 2');
# Tokens that can be used only once are shared out between the two modes.
my ($refresh) = value("SELECT refresh FROM bench_tokens WHERE kind = 'other' AND n = "
	  . ($mode eq 'cpu' ? 500 : 501));
my $at = 0;
@logouts = @logouts[ grep { $_ % 2 == ($mode eq 'cpu') } 0 .. $#logouts ];
@base_logouts = @base_logouts[ grep { $_ % 2 == ($mode eq 'cpu') } 0 .. $#base_logouts ];

sub of_algorithm
{
	my ($algorithm) = @_;
	my ($token) = value("SELECT access FROM bench_tokens WHERE kind = '$algorithm'");

	return sub { run($_[0], 'SELECT auth.verify($1)', $token); };
}

sub select_one
{
	my ($wire) = @_;

	return run($wire, 'SELECT $1', $others[0]);
}

# What PostgREST sends for a request that reads a table, by a bearer token or by
# the same in a cookie.
sub request
{
	my ($pre_request, $table, $by_cookie) = @_;
	my $headers = '{"host":"api.example.org","user-agent":"Mozilla/5.0 (X11; Linux x86_64)",'
	  . '"accept":"application/json","accept-encoding":"gzip, deflate, br","x-forwarded-for":"192.0.2.1"';
	my ($claims) = value("SELECT auth.verify('$others[1]')");
	my ($role, $cookies) = ('bench_app', '{}');

	if ($by_cookie)
	{
		($role, $claims) = ('bench_anon', '{"role":"bench_anon"}');
		$headers .= ',"sec-fetch-site":"same-origin"}';
		$cookies = qq({"__Host-access":"$others[1]"});
	}
	else
	{
		$headers .= qq(,"authorization":"Bearer $others[1]"});
	}

	return sub {
		my ($wire) = @_;

		run($wire, 'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY');
		run($wire, q{SELECT set_config('search_path', $1, true), set_config('role', $2, true),
			set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true),
			set_config('request.path', $5, true), set_config('request.headers', $6, true),
			set_config('request.cookies', $7, true)},
			'"public"', $role, $claims, 'GET', '/notes', $headers, $cookies);
		run($wire, "SELECT $pre_request()");
		run($wire, "SELECT count(*) FROM $table");
		run($wire, 'COMMIT');
	};
}

# Makes the user of two sessions the connection's caller.
sub become
{
	my ($wire) = @_;

	return if $wire->{is_somebody}++;
	$wire->query('BEGIN');
	run($wire, 'SELECT auth.authenticate($1)', $two);
	return;
}

# Each: name, most thousand instructions, user, ours, base, the base's name; and,
# where the base is ours as well, the most times of it.
my @flows = (
	[ 'verify, seen before, HS256', 58, 'postgres',
		sub { run($_[0], 'SELECT auth.verify($1)', $others[0]); },
		\&select_one, 'SELECT $1' ],
	(map { [ "verify, seen before, $_", 58, 'postgres', of_algorithm($_), \&select_one, 'SELECT $1' ] }
		qw(EdDSA ES256 RS256)),
	[ 'verify, another each call', 110, 'postgres',
		sub { run($_[0], 'SELECT auth.verify($1)', $others[ ++$at % 490 ]); },
		\&select_one, 'SELECT $1' ],
	[ 'request, check_request', 240, 'bench_authenticator',
		request('auth.check_request', 'bench_plain'),
		request('bench_nothing', 'bench_plain'), 'no-op pre-request' ],
	[ 'request, policy on uid()', 250, 'bench_authenticator',
		request('auth.check_request', 'bench_owned'),
		request('bench_nothing', 'bench_plain'), 'no-op pre-request' ],
	[ 'request by cookie', 500, 'bench_authenticator',
		request('auth.check_request', 'bench_owned', 1),
		request('auth.check_request', 'bench_owned'), 'by bearer token', 1.05 ],
	[ 'renew', 180, 'postgres',
		sub {
			$refresh = run($_[0], 'SELECT * FROM auth.renew($1)', $refresh)->[0][4];
		},
		sub {
			run($_[0], q{WITH s AS (UPDATE bench_sessions SET jti = gen_random_uuid(),
				generation = generation + 1, refresh_digest = $3::bytea, renewed_at = $4::timestamptz,
				access_expires_at = $4::timestamptz, expires_at = $4::timestamptz
				WHERE user_id = $1::uuid AND id = $2::uuid)
				UPDATE bench_cache SET jti = gen_random_uuid(), expires_at = $4::timestamptz
				WHERE user_id = $1::uuid AND session_id = $2::uuid},
				(split ' ', $base_session), '\x' . '00' x 32, '2030-01-01 00:00:00Z');
		}, 'two UPDATEs' ],
	[ 'logout(refresh_token)', 190, 'postgres',
		sub { run($_[0], 'SELECT auth.logout(refresh_token => $1)', shift @logouts); },
		sub {
			run($_[0], q{WITH s AS (DELETE FROM bench_sessions WHERE user_id = $1::uuid AND id = $2::uuid)
				DELETE FROM bench_cache WHERE user_id = $1::uuid AND session_id = $2::uuid},
				split ' ', shift @base_logouts);
		}, 'two DELETEs' ],
	[ 'sessions(), 2 rows', 140, 'postgres',
		sub { become($_[0]); run($_[0], 'SELECT * FROM auth.sessions()'); },
		sub {
			become($_[0]);
			run($_[0], q{SELECT id, created_at, renewed_at, expires_at, ip, user_agent, aal, amr,
				id IS NOT DISTINCT FROM $2::uuid FROM bench_sessions
				WHERE user_id = $1::uuid AND expires_at > $3::timestamptz
				ORDER BY created_at DESC, id DESC},
				$two_user, '00000000-0000-0000-0000-000000000000', '2026-01-01 00:00:00Z');
		}, 'the same SELECT' ]);

if (@only)
{
	@flows = grep { my $name = $_->[0]; grep { index($name, $_) >= 0 } @only } @flows;
}

# ---- processor time ----

# Nanoseconds on a processor so far.
sub processor_time
{
	my ($wire) = @_;

	open my $in, '<', '/proc/' . $wire->pid . '/schedstat' or die $!;
	return (split ' ', <$in>)[0];
}

sub undisturbed { return (sort { $a <=> $b } @_)[ @_ / 10 ]; }

# Microseconds of ours and of the base, per call.
sub measure_time
{
	my ($user, @sides) = @_;
	my @wires = map { Wire->new(Server->new, user => $user) } @sides;
	my @used = ([], []);

	foreach my $i (0, 1)
	{
		$sides[$i]->($wires[$i]) foreach 1 .. $warm;
	}
	foreach my $round (1 .. 30)
	{
		foreach my $i ($round % 2 ? (0, 1) : (1, 0))
		{
			my $before = processor_time($wires[$i]);

			$sides[$i]->($wires[$i]) foreach 1 .. 20;
			push @{ $used[$i] }, (processor_time($wires[$i]) - $before) / 20 / 1000;
		}
	}
	$_->close foreach @wires;
	return map { undisturbed(@$_) } @used;
}

# ---- instructions ----

# What the backend ran between its last two calls of pg_sleep.
sub last_count
{
	my ($pid) = @_;
	my @parts = sort { ($a =~ /(\d+)$/)[0] <=> ($b =~ /(\d+)$/)[0] }
	  glob "$dir/callgrind.$pid.*";

	open my $in, '<', $parts[-1] or die "no counts of $pid: $!";
	while (<$in>)
	{
		return ($1, $parts[-1]) if /^(?:totals|summary): (\d+)/;
	}
	die "no total in $parts[-1]";
}

sub mark { return $_[0]->query('SELECT pg_sleep(0)'); }

# Thousands of instructions of ours and of the base, per call.
sub measure_instructions
{
	my ($name, $user, @sides) = @_;
	my @counts;

	foreach my $i (0, 1)
	{
		my $wire = Wire->new(Server->new, user => $user);
		my ($nothing, $count, $file);

		$sides[$i]->($wire) foreach 1 .. $warm;
		mark($wire) foreach 1 .. 3;
		($nothing) = last_count($wire->pid);
		$sides[$i]->($wire) foreach 1 .. $calls;
		mark($wire);
		($count, $file) = last_count($wire->pid);
		push @counts, ($count - $nothing) / $calls / 1000;
		if ($ENV{BENCH_PROFILE})
		{
			(my $to = "$name-" . ('ours', 'base')[$i]) =~ s/[^\w-]+/_/g;
			system('cp', $file, "$ENV{BENCH_PROFILE}/$to") == 0 or die;
		}
		$wire->close;
	}
	return @counts;
}

# ---- both ----

if ($mode eq 'cpu')
{
	open my $out, '>', "$dir/cpu" or die $!;
	printf {$out} "%s\t%.1f\t%.1f\n", $_->[0], measure_time(@{$_}[ 2 .. 4 ]) foreach @flows;
	close $out;
	exit 0;
}

open my $in, '<', "$dir/cpu" or die $!;
my %time = map { chomp; my @fields = split /\t/; ($fields[0] => [ @fields[ 1, 2 ] ]) } <$in>;
open $in, '<', '/proc/cpuinfo' or die $!;
my ($model) = map { /^model name\s*:\s*(.*)/ } <$in>;
my ($version) = value('SHOW server_version');

print "\nPer call, $model, PostgreSQL $version: thousand instructions, and microseconds of a backend.\n\n";
printf "| %-28s | %-18s | %-7s | %-7s | %-7s | %-15s | %-6s | %s |\n", 'flow', 'base',
  'base', 'ours', 'at most', 'us, base : ours', 'ratio', '';
print "|---|---|---|---|---|---|---|---|\n";
foreach my $flow (@flows)
{
	my ($name, $limit, $user, $ours, $base, $base_name, $times) = @$flow;
	my @counts = measure_instructions($name, $user, $ours, $base);
	my @us = @{ $time{$name} };

	$limit = $times * $counts[1] if defined $times;
	$missed++ if $counts[0] > $limit;
	printf "| %-28s | %-18s | %-7.1f | %-7.1f | %-7d | %-15s | %-6.2f | %s |\n", $name,
	  $base_name, @counts[ 1, 0 ], $limit, sprintf('%.1f : %.1f', @us[ 1, 0 ]),
	  $us[1] / $us[0], $counts[0] <= $limit ? 'reached' : 'MISSED';
}
exit($missed > 0);

package Server;

sub new { return bless {}, shift; }
sub host { return $ENV{PGHOST}; }
sub port { return $ENV{PGPORT}; }
