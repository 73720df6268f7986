# G3 where the server speaks another language: its messages quote values in
# other marks, and a secret among them is masked all the same.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

# To gettext C.UTF-8 is a locale like any other, and LANGUAGE says which one.
local $ENV{LANGUAGE} = 'de';
my $node = new_node('main', conf => "lc_messages = 'C.UTF-8'\nlog_statement = all\nlog_min_error_statement = debug5\n");
my (undef, undef, $error) = $node->psql('postgres', q{SELECT 'plain'::uuid});
plan skip_all => 'no server that speaks German' if $error !~ /Eingabesyntax/;

my $offset = -s $node->logfile;
foreach my $call (
	q{auth.signin('ada@example.org', 'GEHEIM-%d'::uuid::text)},
	q{auth.renew('GEHEIM-%d'::inet::text)},
	q{auth.signup('ada@example.org', ('GEHEIM-%d'::jsonb)::text)},
	q{auth.confirm('ada@example.org', 'GEHEIM-%d'::date::text, 'x')})
{
	foreach my $n (1, 2)
	{
		$node->psql('postgres', 'SELECT ' . sprintf($call, $n));
	}
}
my $log = slurp_file($node->logfile, $offset);
my $faults = () = $log =~ /FEHLER:/g;
is($faults, 8, 'each call failed in German');
unlike($log, qr/GEHEIM/, 'G3: and no value of it is in the log');

$node->stop;
done_testing;
