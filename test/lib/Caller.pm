# Caller: calls that may fail, one and many, on a server where a sign-up needs
# no confirmation.
#
#   my $node = Caller::server('name', 'setting = value', ...);
#   my $got = Caller::call($node, 'SELECT ...', dbname => 'd');
#
# call runs SQL with psql and answers with what a caller is told: {value} is
# what the statements answer, and after a failure {state}, {code}, {hint} are
# the SQLSTATE, the DETAIL and the HINT ('' where there is none).
package Caller;

use strict;
use warnings;

use AuthSession ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

sub server
{
	my ($name, @settings) = @_;
	my $node = AuthSession::new_node(
		$name,
		extension => 0,
		conf => join("\n",
			"auth_session.require_confirmation = 'none'",
			'auth_session.signup_rate_per_address = 0',
			'max_connections = 60',
			@settings, ''));

	extension($node, 'postgres');
	return $node;
}

# The extension in a database, and test.outcome(statement): what a caller of
# it is told, 'ok' or the code of the failure.
sub extension
{
	my ($node, $dbname) = @_;

	$node->safe_psql($dbname, <<'SQL');
CREATE EXTENSION auth_session;
CREATE SCHEMA test;
CREATE FUNCTION test.outcome(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text;
BEGIN
	EXECUTE statement;
	RETURN 'ok';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = PG_EXCEPTION_DETAIL;
	RETURN COALESCE(NULLIF(code, ''), SQLSTATE);
END $$;
SQL
	return;
}

sub call
{
	my ($node, $sql, %option) = @_;
	my ($stdout, $stderr) = ('', '');

	$node->psql(
		$option{dbname} // 'postgres',
		$sql,
		stdout => \$stdout,
		stderr => \$stderr,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	my ($state) = $stderr =~ /(?:ERROR|FATAL):\s+([0-9A-Z]{5}):/;
	my ($code) = $stderr =~ /^DETAIL:\s+(.*)$/m;
	my ($hint) = $stderr =~ /^HINT:\s+(.*)$/m;
	return {
		value => $stdout,
		state => $state // '',
		code => $code // '',
		hint => $hint // '',
		error => $stderr };
}

# An account with the password 'correct horse': its id.
sub signup
{
	my ($node, $email, %option) = @_;

	return $node->safe_psql($option{dbname} // 'postgres',
		"SELECT (auth.signup(email => '$email', password => 'correct horse')).id"
	);
}

# What to put before a statement to call from a client address: in one
# transaction with it, which ends with the session.
sub from
{
	my ($address) = @_;

	return "BEGIN; SELECT set_config('request.headers', "
	  . "'{\"x-forwarded-for\":\"$address\"}', true) \\g /dev/null\n";
}

# Runs a statement that answers with a text in $clients sessions at once: how
# often it answered what.
sub at_once
{
	my ($node, $clients, $statement) = @_;
	my $script = PostgreSQL::Test::Utils::tempdir_short() . '/script.sql';

	$node->safe_psql('postgres',
		'DROP TABLE IF EXISTS test.answer; CREATE TABLE test.answer (code text)');
	PostgreSQL::Test::Utils::append_to_file($script,
		"INSERT INTO test.answer SELECT $statement;\n");
	$node->command_ok(
		[
			'pgbench', '-n', '-c', $clients, '-j', 1, '-t', 1, '-f', $script,
			'postgres' ],
		"$clients sessions run side by side");
	return map { split /\|/ } split /\n/,
	  $node->safe_psql('postgres',
		'SELECT code, count(*) FROM test.answer GROUP BY 1');
}

1;
