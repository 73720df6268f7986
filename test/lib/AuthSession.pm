# AuthSession: what the TAP tests share. A server with the extension, an
# account that is confirmed, a session, and the form of a refusal.
package AuthSession;

use strict;
use warnings;
use DBD::Pg ':async';
use DBI;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(
  new_node crash sql_connect at_once account mailed signin refused quoted
  $PASSWORD
);

our $PASSWORD = 'correct horse battery staple';

# Passwords cost what the floor allows: these tests are not about Argon2.
my $CHEAP = <<'CONF';
auth_session.argon2_memory = 7168
auth_session.argon2_iterations = 1
CONF

# new_node(NAME, OPTION => VALUE...): a running server. Options: conf (lines
# of postgresql.conf), preload (libraries besides auth_session), init
# (arguments of the node's init), extension (0: don't create it), start (0).
sub new_node
{
	my ($name, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my $libraries = join ',', 'auth_session', @{ $option{preload} || [] };

	$node->init(@{ $option{init} || [] });
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '$libraries'\n" . $CHEAP
		  . ($option{conf} // ''));
	return $node if defined $option{start} && !$option{start};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION auth_session')
	  unless defined $option{extension} && !$option{extension};
	return $node;
}

# Kills the postmaster as a power cut would and starts the server again, as
# soon as the system has let go of the old one's process and memory.
sub crash
{
	my ($node) = @_;
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;

	$node->kill9;
	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return if !kill(0, $pid) && $node->start(fail_ok => 1);
		Time::HiRes::usleep(100_000);
	}
	die 'the server does not start after a crash';
}

# A DBI handle, errors raised, placeholders as $1. user: the role; the rest
# goes into the connection string.
sub sql_connect
{
	my ($node, %option) = @_;
	my $user = delete $option{user} // getpwuid($<);
	my %at = (
		host   => $node->host,
		port   => $node->port,
		dbname => 'postgres',
		%option);

	return DBI->connect('dbi:Pg:' . join(';', map { "$_=$at{$_}" } sort keys %at),
		$user, undef,
		{
			RaiseError => 1,
			PrintError => 0,
			AutoCommit => 1,
			pg_placeholder_dollaronly => 1
		});
}

# at_once(NODE, COUNT, SQL, ARGUMENTS, OPTION => VALUE...): sends one statement
# down many connections before it reads any answer; the answers: [STATE,
# COLUMNS...] each, STATE being 00000 or the SQLSTATE. The options are
# sql_connect's, and level, the transactions' isolation.
sub at_once
{
	my ($node, $count, $sql, $arguments, %option) = @_;
	my $level = delete $option{level} // 'read committed';
	my @handles = map { sql_connect($node, %option) } 1 .. $count;
	my @statements;
	my @answers;

	foreach my $dbh (@handles)
	{
		$dbh->do("SET default_transaction_isolation = '$level'");
	}
	foreach my $dbh (@handles)
	{
		my $statement = $dbh->prepare($sql, { pg_async => PG_ASYNC });

		$statement->execute(@$arguments);
		push @statements, $statement;
	}
	foreach my $i (0 .. $#handles)
	{
		my $row = eval {
			$handles[$i]->pg_result;
			$statements[$i]->fetchrow_arrayref;
		};

		push @answers, $row ? [ '00000', @$row ] : [ $handles[$i]->state ];
		$statements[$i]->finish;
		$handles[$i]->disconnect;
	}
	return @answers;
}

# A text as an SQL literal.
sub quoted
{
	my ($text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# What the bridge was handed so far, by server and database.
my %delivered;

# Takes every waiting notification as the bridge does, and answers with the
# newest of a kind to an address, a hash with code and link_token; undef where
# there was none. A notification is answered once.
sub mailed
{
	my ($node, $kind, $recipient, $database) = @_;
	my $dbh = sql_connect($node, dbname => $database // 'postgres');
	my $mails = $delivered{ $node->name . '/' . $dbh->{pg_db} } //= [];

	push @$mails,
	  @{
		$dbh->selectall_arrayref(
			q{SELECT n.*, n.payload ->> 'code' AS code,
					 n.payload ->> 'link_token' AS link_token
			  FROM auth_admin.claim_notifications(1000, interval '1 hour') AS n
			  ORDER BY n.created_at}, { Slice => {} })
	  };
	$dbh->do('SELECT auth_admin.settle_notifications($1)',
		{}, [ map { $_->{id} } @$mails ]);
	$dbh->disconnect;

	foreach my $i (reverse 0 .. $#$mails)
	{
		next
		  unless $mails->[$i]{kind} eq $kind
		  && $mails->[$i]{recipient} eq $recipient;
		return splice @$mails, $i, 1;
	}
	return;
}

# Signs up and confirms an email; the user's id.
sub account
{
	my ($node, $email, %option) = @_;
	my $database = $option{dbname} // 'postgres';
	my $dbh = sql_connect($node, dbname => $database);
	my $id;

	$dbh->do('SELECT auth.signup($1, $2)',
		{}, $email, $option{password} // $PASSWORD);
	my $mail = mailed($node, 'confirm_email', $email, $database)
	  or die "no confirmation mail to $email";
	($id) = $dbh->selectrow_array('SELECT id FROM auth.confirm($1, $2, $3)',
		{}, $email, $mail->{code}, $option{password} // $PASSWORD);
	$dbh->disconnect;
	return $id;
}

# Signs in; the auth.tokens as a hash.
sub signin
{
	my ($node, $email, %option) = @_;
	my $dbh = sql_connect($node, dbname => $option{dbname} // 'postgres');
	my $tokens = $dbh->selectrow_hashref('SELECT * FROM auth.signin($1, $2)',
		{}, $email, $option{password} // $PASSWORD);

	$dbh->disconnect;
	return $tokens;
}

# Runs a program of checks that links a part of the extension without a server
# (test/fuzz/fuzz.mk) and passes on its assertions, each under its own name.
sub passes
{
	my ($name) = @_;
	my ($out, $err, $planned, $seen) = ('', '', -1, 0);

	IPC::Run::run([ 'make', '-s', "build/$name-check" ],
		'<', \undef, '>', \$out, '2>', \$err)
	  or die "could not build the checks: $out$err";
	IPC::Run::run(["build/$name-check"], '<', \undef, '>', \$out, '2>', \$err);
	foreach my $line (split /\n/, $out)
	{
		$planned = $1 if $line =~ /^1\.\.(\d+)$/;
		next unless $line =~ /^(not )?ok \d+ - (.*)$/;
		ok(!$1, $2);
		$seen++;
	}
	is($err, '', 'G5: nothing for AddressSanitizer or UBSan to report');
	is($seen, $planned, 'the checks ran to their end');
	return;
}

# Asserts that a statement is refused with a failure code of spec.md.
sub refused
{
	my ($node, $sql, $code, $name, $database) = @_;
	my ($status, $out, $err) = $node->psql($database // 'postgres', $sql);
	my ($detail) = $err =~ /^DETAIL:\s+(\S+)$/m;

	is($detail // $err . $out, $code, $name);
	return;
}

1;
