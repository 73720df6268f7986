# auth_session.log_refusals: a line of the server log for each refusal, with the
# address of the client and the code, that bans nobody but whom it is about.
use strict;
use warnings;
use AuthSession;
use List::Util qw(sum);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('refusals', conf => "log_min_messages = log\nlog_statement = none\n");
my $offset = 0;

# What the lines since the last call say.
sub refusals
{
	my $log = slurp_file($node->logfile, $offset);
	$offset += length $log;
	return [ $log =~ /LOG:  auth_session refused (.*)$/mg ];
}

sub call
{
	my ($settings, $sql) = @_;
	$node->psql('postgres', join('; ', 'BEGIN', (map { "SET LOCAL $_" } @$settings), $sql));
	return;
}

my $wrong = q{SELECT auth.signin('ada@example.org', 'not the password')};
my @proxied = ('auth_session.trusted_proxies = 1', q{request.headers = '{"x-forwarded-for": "203.0.113.9, 192.0.2.1"}'});
account($node, 'ada@example.org');
refusals();
call(\@proxied, $wrong);
is_deeply(refusals(), [], 'off by default');

$node->safe_psql('postgres', 'ALTER DATABASE postgres SET auth_session.log_refusals = on');
call(\@proxied, $wrong);
is_deeply(refusals(), ['client 192.0.2.1: invalid_credentials'], 'one line, with the client that the trusted proxy named');
call([ $proxied[0], q{request.headers = '{"x-forwarded-for": "[2001:db8::7]:443"}'} ], $wrong);
is_deeply(refusals(), ['client 2001:db8::7: invalid_credentials'], 'an IPv6 address');
call([ $proxied[0], q{request.headers = '{"x-forwarded-for": "\n LOG: 192.0.2.9"}'} ], $wrong);
is_deeply(refusals(), ['client unknown: invalid_credentials'], 'what can\'t be read is nobody\'s address, and not the proxy\'s');
call([ $proxied[1] ], $wrong);
is_deeply(refusals(), ['connection local: invalid_credentials'], 'where no proxy is trusted it is the connection that is named');
call([ $proxied[0], q{request.headers = '{"authorization": "Bearer x", "x-forwarded-for": "192.0.2.1"}'} ], 'SELECT auth.check_request()');
is_deeply(refusals(), ['client 192.0.2.1: invalid_token'], 'refusals outside of a flow, too');
call(\@proxied, q{SELECT auth.signin('ada@example.org', 'correct horse battery staple')});
is_deeply(refusals(), [], 'what goes well is none');
unlike(slurp_file($node->logfile), qr/auth_session refused .*(ada|password)/, 'G3: a line has no identifier');

# H9: a flood has its lines, and a bound.
my $calls = 1000;
call([], <<"SQL");
DO \$\$ BEGIN FOR i IN 1 .. $calls LOOP BEGIN PERFORM auth.verify('x'); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END \$\$
SQL
my @flood = @{ refusals() };
my $lines = grep { /invalid_token/ } @flood;
my $left_out = 0;
my $more = 0;
# The last second's is told by whoever is refused in another one.
for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
{
	$left_out = sum(0, map { /^(\d+) more in one second$/ ? $1 : () } @flood);
	last if $lines + $left_out >= $calls + $more;
	call([], q{SELECT auth.verify('x')});
	$more++;
	push @flood, @{ refusals() };
	$lines = grep { /invalid_token/ } @flood;
}
is($lines + $left_out, $calls + $more, 'H9: each refusal is a line, or counted among those that were left out');
cmp_ok($left_out, '>', 0, 'of a flood some are');

$node->stop;
done_testing;
