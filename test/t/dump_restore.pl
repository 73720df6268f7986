# pg_dump and pg_restore bring back every account, session, code and key: in a
# new cluster or an old one, whichever way it is done. A revocation is brought
# back too. All of it needs two servers and the client programs.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $source = new_node('source');
my $dir = PostgreSQL::Test::Utils::tempdir();
my $info = '{"name": "Ada"}';

# An application's own table refers to the accounts and asks for the user.
$source->safe_psql('postgres', <<'SQL');
CREATE TABLE notes (owner uuid NOT NULL REFERENCES auth_private.accounts (id) ON DELETE CASCADE, body text);
ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON notes USING (owner = auth.uid());
SQL
my $ada = account($source, 'ada@example.org');
account($source, 'bob@example.org');
$source->safe_psql('postgres', "INSERT INTO notes VALUES ('$ada', 'mine')");
my $live = signin($source, 'ada@example.org');
my $gone = signin($source, 'bob@example.org');
$source->safe_psql('postgres',
	'SELECT auth.logout(refresh_token => ' . quoted($gone->{refresh_token}) . ')');
$source->safe_psql('postgres',
	"SELECT auth.signup('eve\@example.org', " . quoted($PASSWORD) . ')');
my $mail = mailed($source, 'confirm_email', 'eve@example.org');
$source->safe_psql('postgres',
	"SELECT auth.signup('joe\@example.org', " . quoted($PASSWORD) . ')');

$source->command_ok([ 'pg_dump', '-Fc', '-f', "$dir/custom", $source->connstr('postgres') ],
	'pg_dump, custom format');
$source->command_ok([ 'pg_dump', '-Fd', '-T', 'notes', '-f', "$dir/directory", $source->connstr('postgres') ],
	'pg_dump, directory format, without the table that refers to the accounts');
$source->command_ok([ 'pg_dump', '-f', "$dir/plain.sql", $source->connstr('postgres') ],
	'pg_dump, plain');

# The same as the source knew.
sub restored
{
	my ($node, $database, $how) = @_;
	my $ask = sub { $node->safe_psql($database, $_[0]) };

	is( $ask->('SELECT auth.verify(' . quoted($live->{access_token}) . ") ->> 'sub'"),
		$ada, "G11: $how: a token made before verifies");
	refused($node, 'SELECT auth.verify(' . quoted($gone->{access_token}) . ')',
		'session_revoked', "G11: $how: a revoked one is still refused", $database);
	refused($node, 'SELECT auth.renew(' . quoted($gone->{refresh_token}) . ')',
		'session_revoked', "G11: $how: and so is its refresh token", $database);
	is( $ask->('SELECT session_id FROM auth.renew(' . quoted($live->{refresh_token}) . ')'),
		$live->{session_id}, "G11: $how: a session renews");
	is(signin($node, 'ada@example.org', dbname => $database)->{user_id},
		$ada, "G11: $how: an account signs in");
	refused($node,
		"SELECT auth.signin('ada\@example.org', 'another password')",
		'invalid_credentials', "G11: $how: by its own password only", $database);
	is( $ask->("SELECT status FROM auth.confirm('eve\@example.org', " . quoted($mail->{code}) . ', ' . quoted($PASSWORD) . ')'),
		'active', "G11: $how: a code mailed before confirms");
	my $waiting = mailed($node, 'confirm_email', 'joe@example.org', $database);
	is( $ask->('SELECT status FROM auth.confirm(code => ' . quoted($waiting->{link_token} // '')
			. ', password => ' . quoted($PASSWORD) . ')'),
		'active', "G11: $how: a mail that waited then is delivered");
	return;
}

sub restored_table
{
	my ($node, $database, $how) = @_;

	is($node->safe_psql($database, "SELECT body FROM notes WHERE owner = '$ada'"),
		'mine', "G11: $how: the application's rows still refer to their account");
	return;
}

my $target = new_node('target', extension => 0);
my $count = 0;
my $fresh = sub {
	my $name = 'restored_' . ++$count;
	$target->safe_psql('postgres', "CREATE DATABASE $name");
	return $name;
};
my $name = $fresh->();

is($target->safe_psql('postgres', q{SELECT count(*) FROM pg_roles WHERE rolname = 'auth_session_owner'}),
	'0', 'the new cluster has no such role');
$target->command_ok([ 'pg_restore', '-e', '-d', $target->connstr($name), "$dir/custom" ],
	'pg_restore into a cluster without the role');
restored($target, $name, 'role missing');
restored_table($target, $name, 'role missing');

$name = $fresh->();
$target->command_ok([ 'pg_restore', '-e', '-j2', '-d', $target->connstr($name), "$dir/directory" ],
	'pg_restore -j2, the role present');
restored($target, $name, '-j2');

# pg_restore doesn't know that a foreign key to a table of an extension has to
# wait for its rows: where there is one, section by section.
$name = $fresh->();
foreach my $section (qw(pre-data data post-data))
{
	$target->command_ok([ 'pg_restore', '-e', '-j2', "--section=$section", '-d', $target->connstr($name), "$dir/custom" ],
		"pg_restore -j2 --section=$section");
}
restored($target, $name, '-j2 by sections');
restored_table($target, $name, '-j2 by sections');

$name = $fresh->();
$target->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql", '-d', $target->connstr($name) ],
	'a plain dump through psql');
restored($target, $name, 'plain');
restored_table($target, $name, 'plain');

# Over an installation with accounts and keys of its own.
$name = $fresh->();
$target->safe_psql($name, 'CREATE EXTENSION auth_session');
account($target, 'old@example.org', dbname => $name);
my $old = signin($target, 'old@example.org', dbname => $name);
$target->command_ok([ 'pg_restore', '-e', '--clean', '--if-exists', '-d', $target->connstr($name), "$dir/custom" ],
	'pg_restore --clean over another installation');
restored($target, $name, '--clean');
restored_table($target, $name, '--clean');
refused($target, 'SELECT auth.verify(' . quoted($old->{access_token}) . ')',
	'invalid_token', 'G11: --clean: what was there before is gone', $name);

# Into a fresh extension, whose keys are not made before the first use.
$name = $fresh->();
$target->safe_psql($name, 'CREATE EXTENSION auth_session; CREATE TABLE notes (owner uuid NOT NULL, body text)');
$target->command_ok([ 'pg_restore', '-e', '--data-only', '-d', $target->connstr($name), "$dir/custom" ],
	'pg_restore --data-only into a fresh extension');
restored($target, $name, '--data-only');

$source->stop;
$target->stop;
done_testing;
