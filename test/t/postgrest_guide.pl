# doc/postgrest.md does what it says: its ```sh blocks are run in order by one
# bash, against PostgREST's stand-in with the configuration and the roles of
# examples/postgrest, and each answer is held against the ```json block that
# follows, line by line. In that "..." stands for whatever a text ends in.
#
# The rest is about keys: PostgREST is told of each change, and no request fails
# while they change.
use strict;
use warnings;
use AuthSession;
use IPC::Run qw(run);
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Web;

my $json = JSON::PP->new->allow_nonref->canonical;
my ($out, $err) = ('', '');

foreach my $needed ('bash', 'curl', 'jq', 'npm', 'oathtool')
{
	plan skip_all => "$needed is not installed"
	  unless eval { run([ $needed, '--version' ], '>', \$out, '2>', \$err) };
}

my $node = new_node('postgrest_guide', extension => 0);
my $directory = PostgreSQL::Test::Utils::tempdir;

local $ENV{PGHOST} = $node->host;
local $ENV{PGPORT} = $node->port;
local $ENV{HOME} = $directory;
system('cp', '-r', 'examples', "$directory/examples") == 0 or die 'cp';
plan skip_all => 'npm\'s pg can\'t be had' unless npm_install("$directory/examples/node", 'examples/node');

# As the guide sets it up.
$node->safe_psql('postgres', 'CREATE DATABASE app');
local $ENV{PGDATABASE} = 'app';
foreach my $step ([ '-c', 'CREATE EXTENSION auth_session' ],
	[ '-c', q{ALTER DATABASE app SET auth_session.site_url = 'https://app.example'} ],
	[ '-f', 'examples/notes.sql' ], [ '-f', 'examples/postgrest/roles.sql' ])
{
	command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', @$step ], "set up: $step->[1]");
}

my $url;
{
	local $ENV{PGRST_SERVER_PORT} = 0;
	local $ENV{NODE_PATH} = "$directory/examples/node/node_modules";
	$url = listens(authenticator => 'node', 'test/lib/postgrest.mjs', 'examples/postgrest/postgrest.conf');
}

# [LINE, LANGUAGE, TEXT] of each block.
my @blocks;
{
	my ($language, $first, $text);
	open my $guide, '<', 'doc/postgrest.md' or die "doc/postgrest.md: $!";
	while (my $line = <$guide>)
	{
		if (defined $language)
		{
			if ($line =~ /^```$/)
			{
				push @blocks, [ $first, $language, $text ];
				undef $language;
				next;
			}
			$text .= $line;
		}
		elsif ($line =~ /^```(\w+)$/)
		{
			($language, $first, $text) = ($1, $. + 1, '');
		}
	}
	close $guide;
}
cmp_ok(scalar(grep { $_->[1] eq 'sh' } @blocks), '>', 10, 'the guide has its commands');

# Whether an answer is as expected, "..." standing for any rest of a text.
sub is_like
{
	my ($got, $expected) = @_;

	return !defined $got if !defined $expected;
	return 0 if !defined $got || ref $got ne ref $expected;
	return @$got == @$expected && !grep { !is_like($got->[$_], $expected->[$_]) } 0 .. $#$expected
	  if ref $expected eq 'ARRAY';
	return keys %$got == keys %$expected
	  && !grep { !exists $got->{$_} || !is_like($got->{$_}, $expected->{$_}) } keys %$expected
	  if ref $expected eq 'HASH';
	return $got =~ /^\Q$1\E./s if !ref $expected && $expected =~ /^(.*)\.\.\.$/s;
	return $json->encode($got) eq $json->encode($expected);
}

# One bash, in which a variable of a block is known to the next. After the one
# that makes a key it makes the reader's pause, PostgREST has to have it, and
# after the one that reloads the configuration, too: it has to be told.
my $script = "set -u -o pipefail; cd '$directory'\n";
my $number = 0;
my $pauses = 0;
foreach my $block (grep { $_->[1] eq 'sh' } @blocks)
{
	$block->[3] = "$directory/answer." . $number++;
	$script .= "{\n$block->[2]} >'$block->[3]' 2>&1\n";
	my $until =
	    $block->[2] =~ /create_signing_key/ ? "grep -q 'with 2 keys' '" . said() . "'"
	  : $block->[2] =~ /pg_reload_conf/     ? "grep -q '\"auth_session.passwordless\" changed' '" . $node->logfile . "'"
	  :                                       next;
	$script .= "for ((i = 0; i < 1000; i++)); do $until && break; sleep 0.1; done\n";
	$pauses++;
}
is($pauses, 2, 'the guide rotates a key and changes a setting');
$script =~ s{http://127\.0\.0\.1:3000}{$url}g;
append_to_file("$directory/script", $script);
run([ 'bash', "$directory/script" ], '<', \undef, '>', \$out, '2>', \$err);
is($out . $err, '', 'and bash has nothing to say');

foreach my $i (0 .. $#blocks)
{
	my ($line, $language, $text, $file) = @{ $blocks[$i] };
	next unless $language eq 'sh';
	my $answer = slurp_file($file);
	my $expected = $i < $#blocks && $blocks[ $i + 1 ][1] eq 'json' ? $blocks[ $i + 1 ][2] : '';
	my @got = split /\n/, $answer;
	my @expected = split /\n/, $expected;

	is(scalar(@got), scalar(@expected), "doc/postgrest.md:$line answers as many lines") or diag($answer);
	foreach my $j (0 .. $#expected)
	{
		my $got = eval { $json->decode($got[$j] // 'null') };

		ok(defined $got && is_like($got, $json->decode($expected[$j])), "doc/postgrest.md:$line, answer " . ($j + 1))
		  or diag("got $got[$j]\nexpected $expected[$j]");
	}
}

# Whoever looks for the keys finds no secret in what PostgREST runs with.
unlike(slurp_file('examples/postgrest/postgrest.conf'), qr/^\s*(jwt-secret|db-uri)/m, 'the configuration has no secret');
is($node->safe_psql('app', q{SELECT count(*) FROM pg_db_role_setting WHERE array_to_string(setconfig, ' ') LIKE '%jwt%'}),
	0, 'nor has a role');

# A retired key is gone from PostgREST, too.
$node->safe_psql('app', q{SELECT auth_admin.retire_signing_key(kid) FROM auth_admin.signing_keys WHERE state = 'retiring'});
ok(says(qr/verifies with 2 keys\n(?:.*\n)*verifies with 1 keys$/m), 'a key that is retired is taken from PostgREST');

end_all();
$node->stop;
done_testing;
