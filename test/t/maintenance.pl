# The clean-up as pg_cron runs it: by its own worker, as the operator that
# scheduled it; and by a connection over TCP, as it does unless it is told
# otherwise, by either way that doc/operate.md knows to let it in. Waits for
# pg_cron's next minute.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('main', preload => ['pg_cron'], conf => <<'CONF');
cron.database_name = 'postgres'
cron.use_background_workers = on
max_worker_processes = 16
CONF
my $database = 'postgres';
my $schedule = '* * * * *';

$node->safe_psql($database, <<'SQL');
CREATE ROLE operator LOGIN;
GRANT USAGE ON SCHEMA auth_admin TO operator;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA auth_admin TO operator;
SQL

# Without pg_cron here: the call says what to do.
my ($status, $out, $err) = $node->psql($database,
	"SELECT auth_admin.schedule_maintenance('$schedule')",
	extra_params => [ '-U', 'operator' ]);
isnt($status, 0, 'without pg_cron the maintenance is not scheduled');
like($err, qr/CREATE EXTENSION pg_cron/i,
	'and the error names the statement that helps');

$node->safe_psql($database, 'CREATE EXTENSION pg_cron');
($status, $out, $err) = $node->psql($database, "SELECT auth_admin.schedule_maintenance('$schedule')", extra_params => [ '-U', 'operator' ]);
like($err, qr/HINT:  As a superuser run: GRANT USAGE ON SCHEMA cron TO operator;/, 'without a right in cron the error says which');
$node->safe_psql($database, 'GRANT USAGE ON SCHEMA cron TO operator');

# What check_configuration says of the maintenance, to whom.
sub found
{
	my ($user) = @_;
	return $node->safe_psql($database, q{SELECT finding FROM auth_admin.check_configuration() WHERE finding ~ 'aintenance'},
		extra_params => [ '-U', $user // 'operator' ]);
}
is(found(), 'Maintenance has not run since the server was started', 'that nothing runs it is found');

# In another database than pg_cron's: so too.
$node->safe_psql($database, 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION auth_session');
($status, $out, $err) =
  $node->psql('other', "SELECT auth_admin.schedule_maintenance('$schedule')");
isnt($status, 0, "in another database than pg_cron's it is not scheduled");
my ($statement) = $err =~ /(SELECT cron\.schedule_in_database\(.*\);?)$/m;
ok($statement, 'and the error names the exact statement')
  or diag($err);

# The statement is exact: it can be run as it stands.
if ($statement)
{
	$node->safe_psql($database, $statement);
	is( $node->safe_psql($database,
			"SELECT count(*) FROM cron.job WHERE database = 'other'"),
		'1', 'which schedules the job of that database');
	$node->safe_psql($database,
		"SELECT cron.unschedule(jobid) FROM cron.job WHERE database = 'other'");
}

# What has ended, and what has not.
account($node, 'ada@example.org');
$node->safe_psql($database,
	"ALTER SYSTEM SET auth_session.refresh_token_ttl = '1s'");
$node->reload;
my $ended = signin($node, 'ada@example.org');
$node->safe_psql($database, 'ALTER SYSTEM RESET auth_session.refresh_token_ttl');
$node->reload;
my $live = signin($node, 'ada@example.org');

# A server that pg_cron connects to over TCP, under Debian's pg_hba.conf and what
# doc/operate.md adds to it. Of three keepers one has a .pgpass, one is trusted,
# and one is what who forgets both has.
my $guide = slurp_file('doc/operate.md');
my ($pgpass) = $guide =~ /`(localhost:5432:app:auth_keeper:PASSWORD)`/;
my ($trust) = $guide =~ /`(host app auth_keeper \S+ trust)`/;
ok($pgpass && $trust, 'doc/operate.md has a line for either way');
my $tcp = new_node('tcp', preload => ['pg_cron'], extension => 0, start => 0, conf => <<'CONF');
cron.database_name = 'app'
listen_addresses = 'localhost'
max_worker_processes = 16
CONF
my $pgpass_file = PostgreSQL::Test::Utils::tempdir() . '/pgpass';
append_to_file($pgpass_file, ($pgpass =~ s/5432/$tcp->port/er =~ s/auth_keeper/by_password/r =~ s/PASSWORD/secret/r) . "\n");
chmod 0600, $pgpass_file;
unlink $tcp->data_dir . '/pg_hba.conf';
$tcp->append_conf('pg_hba.conf', "local all all trust\n" . ($trust =~ s/auth_keeper/by_trust/r) . "\n"
	. "host all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n");
{
	local $ENV{PGPASSFILE} = $pgpass_file;
	$tcp->append_conf('postgresql.conf', "cron.database_name = 'postgres'");
	$tcp->start;
	$tcp->safe_psql('postgres', 'CREATE DATABASE app');
	$tcp->append_conf('postgresql.conf', "cron.database_name = 'app'");
	$tcp->restart;
}
$tcp->safe_psql('app', <<'SQL');
CREATE EXTENSION auth_session;
CREATE EXTENSION pg_cron;
CREATE ROLE keeper;
GRANT USAGE ON SCHEMA auth_admin, cron TO keeper;
GRANT EXECUTE ON FUNCTION auth_admin.prune, auth_admin.rotate_signing_key, auth_admin.schedule_maintenance TO keeper;
GRANT EXECUTE ON PROCEDURE auth_admin.maintain TO keeper;
CREATE ROLE by_password LOGIN PASSWORD 'secret' IN ROLE keeper;
CREATE ROLE by_trust LOGIN IN ROLE keeper;
CREATE ROLE by_nothing LOGIN IN ROLE keeper;
SQL
my @keepers = qw(by_nothing by_password by_trust);
$tcp->safe_psql('app', "SELECT auth_admin.schedule_maintenance('$schedule')", extra_params => [ '-U', $_ ]) foreach @keepers;

$node->safe_psql($database,
	"SELECT auth_admin.schedule_maintenance('$schedule')",
	extra_params => [ '-U', 'operator' ]);
is( $node->safe_psql($database,
		'SELECT username, schedule FROM cron.job ORDER BY jobid'),
	"operator|$schedule", 'an operator schedules the maintenance as itself');
is(found(), '', 'a job that is scheduled is given an hour to begin');
$node->safe_psql($database, 'CREATE ROLE stranger LOGIN; GRANT USAGE ON SCHEMA auth_admin TO stranger;
	GRANT EXECUTE ON FUNCTION auth_admin.check_configuration TO stranger');
is(found('stranger'), 'Maintenance has not run since the server was started', 'which nobody knows of who may not look into pg_cron');

ok( $node->poll_query_until($database,
		"SELECT count(*) > 0 FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')"
	),
	'pg_cron ran the maintenance');
is( $node->safe_psql($database,
		"SELECT string_agg(DISTINCT status || ': ' || return_message, '; ')
		 FROM cron.job_run_details WHERE status = 'failed'"),
	'', 'without a failure');
is( $node->safe_psql($database,
		'SELECT id FROM auth_private.sessions ORDER BY id'),
	$live->{session_id}, 'D14: what has ended is gone, what lives is there');
is( $node->safe_psql($database,
		'SELECT session_id FROM auth.renew(' . quoted($live->{refresh_token}) . ')'),
	$live->{session_id}, 'D14: and can be renewed');

is(found(), '', 'maintenance that has run is no finding');

# Over TCP, whoever was let in.
ok($tcp->poll_query_until('app', q{SELECT count(DISTINCT jobid) = 3 FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')}), 'pg_cron tried each over TCP');
is($tcp->safe_psql('app', q{SELECT string_agg(DISTINCT username || ' ' || status, ', ' ORDER BY username || ' ' || status) FROM cron.job_run_details WHERE status IN ('succeeded', 'failed')}),
	'by_nothing failed, by_password succeeded, by_trust succeeded', 'a .pgpass lets it in, and so does trust');
is($tcp->safe_psql('app', 'SELECT last_pruned IS NOT NULL FROM auth_admin.stats'), 't', 'the maintenance has run');
like($tcp->safe_psql('app', q{SELECT finding || ' ' || cure FROM auth_admin.check_configuration() WHERE finding ~ 'aintenance'}),
	qr/^The last run of the maintenance by pg_cron failed: connection failed .*cron\.use_background_workers = on/, 'who is not let in is found');
$tcp->stop;

# What keeps a job from running, each by itself. pg_cron's record of a run that
# failed is written by hand: the next minute's may come in between, and it can't
# be made to fail in every way here.
my $superuser = getpwuid $<;
foreach my $case (
	[ 'UPDATE cron.job SET active = false', qr/^The job of operator that is the maintenance is switched off$/, qr/alter_job\(\d, active := true\)/, 'UPDATE cron.job SET active = true' ],
	[ 'ALTER ROLE operator NOLOGIN', qr/^Role operator, whose job the maintenance is, cannot log in$/, qr/ALTER ROLE operator LOGIN/, 'ALTER ROLE operator LOGIN' ],
	[ 'REVOKE EXECUTE ON FUNCTION auth_admin.prune FROM operator', qr/^Role operator, .* lacks a right/, qr/GRANT EXECUTE ON FUNCTION auth_admin.prune.* TO operator/, 'GRANT EXECUTE ON FUNCTION auth_admin.prune TO operator' ],
	[ q{INSERT INTO cron.job_run_details (jobid, runid, status, return_message) SELECT (SELECT jobid FROM cron.job), max(runid) + 1000, 'failed', 'connection failed' FROM cron.job_run_details},
		qr/^The last run of the maintenance by pg_cron failed: connection failed$/, qr/cron\.use_background_workers = on/, q{DELETE FROM cron.job_run_details WHERE status = 'failed'} ],
	[ q{INSERT INTO cron.job_run_details (jobid, runid, status, return_message) SELECT (SELECT jobid FROM cron.job), max(runid) + 1000, 'failed', E'ERROR: permission denied\nand more' FROM cron.job_run_details},
		qr/^The last run of the maintenance by pg_cron failed: ERROR: permission denied$/, qr/job_run_details/, q{DELETE FROM cron.job_run_details WHERE status = 'failed'} ])
{
	my ($wrong, $finding, $cure, $mended) = @$case;

	$node->safe_psql($database, $wrong);
	like(found($superuser), $finding, "$finding is found");
	like($node->safe_psql($database, q{SELECT cure FROM auth_admin.check_configuration() WHERE finding ~ 'aintenance'}), $cure, 'with its cure');
	$node->safe_psql($database, $mended);
	is(found($superuser), '', 'and is gone once that is done');
}

# A schema cron that is not pg_cron's is not looked into.
$node->safe_psql('other', <<'SQL');
CREATE SCHEMA cron;
CREATE FUNCTION cron.trap() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'run as %', current_user; END $$;
CREATE VIEW cron.job AS SELECT cron.trap() AS jobid, 'x'::text AS username, true AS active, 'other'::text AS database, 'auth_admin.maintain'::text AS command;
CREATE VIEW cron.job_run_details AS SELECT cron.trap() AS jobid, 1::bigint AS runid, 'x'::text AS status, 'x'::text AS return_message;
SQL
is($node->safe_psql('other', q{SELECT count(*) FROM auth_admin.check_configuration() WHERE finding ~ '^Maintenance has not run'}), '1',
	'tables of pg_cron\'s names that are not its own are not read');

$node->safe_psql($database, 'SELECT auth_admin.unschedule_maintenance()',
	extra_params => [ '-U', 'operator' ]);
is($node->safe_psql($database, 'SELECT count(*) FROM cron.job'),
	'0', 'it is unscheduled again');

# By hand, as an operator with the three rights that the guide grants: batch
# after batch, each with a COMMIT of its own.
$node->safe_psql($database, <<'SQL');
CREATE ROLE keeper LOGIN;
GRANT USAGE ON SCHEMA auth_admin TO keeper;
GRANT EXECUTE ON FUNCTION auth_admin.prune, auth_admin.rotate_signing_key TO keeper;
GRANT EXECUTE ON PROCEDURE auth_admin.maintain TO keeper;
INSERT INTO auth_private.audit_log (id, at, action, actor, result)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, now() - interval '1 year', 'signin', 'user', 'ok'
FROM generate_series(1, 25000) AS n;
SQL
$node->safe_psql($database, 'CALL auth_admin.maintain()', extra_params => [ '-U', 'keeper' ]);
is($node->safe_psql($database, q{SELECT count(*) FROM auth_private.audit_log WHERE at < now() - interval '90 days'}),
	'0', 'H14: maintain goes on until nothing is due');
$node->safe_psql($database, <<'SQL');
INSERT INTO auth_private.audit_log (id, at, action, actor, result)
SELECT ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, now() - interval '1 year', 'signin', 'user', 'ok'
FROM generate_series(1, 25000) AS n;
SQL
$node->safe_psql($database, q{CALL auth_admin.maintain('0 s')}, extra_params => [ '-U', 'keeper' ]);
is($node->safe_psql($database, q{SELECT count(*) FROM auth_private.audit_log WHERE at < now() - interval '90 days'}),
	'15000', 'and no longer than it may: a batch is the least');
($status, $out, $err) = $node->psql($database, "BEGIN;\nCALL auth_admin.maintain();");
like($err, qr/cannot run inside a transaction block/, 'in a transaction block it says so');
is($node->safe_psql($database, q{SELECT count(*) FROM auth_private.audit_log WHERE at < now() - interval '90 days'}),
	'15000', 'and does nothing');

# Keys that can't be rotated, say for want of the right to, keep nothing else.
$node->safe_psql($database, 'REVOKE EXECUTE ON FUNCTION auth_admin.rotate_signing_key FROM keeper');
($status, $out, $err) = $node->psql($database, 'CALL auth_admin.maintain()', extra_params => [ '-U', 'keeper' ]);
like($err, qr/permission denied for function rotate_signing_key/, 'where the keys can\'t be rotated, maintain says so');
is($node->safe_psql($database, q{SELECT count(*) FROM auth_private.audit_log WHERE at < now() - interval '90 days'}),
	'0', 'and all that is due is gone');
$node->safe_psql($database, 'GRANT EXECUTE ON FUNCTION auth_admin.rotate_signing_key TO keeper');

# H14: a key without ON DELETE is named in the log, with the account.
my $id = $node->safe_psql($database, 'SELECT id FROM auth.signup(' . quoted('kept@example.org') . ', ' . quoted($PASSWORD) . ')');
$node->safe_psql($database, "CREATE TABLE child (account uuid CONSTRAINT keeps REFERENCES auth_private.accounts (id));
	INSERT INTO child VALUES ('$id'); UPDATE auth_private.codes SET link_expires_at = now() WHERE user_id = '$id'");
my $offset = -s $node->logfile;
$node->safe_psql($database, 'CALL auth_admin.maintain()', extra_params => [ '-U', 'keeper' ]);
my $log = slurp_file($node->logfile, $offset);
# Six digits in a row are masked, since they could be a code.
my $shown = $id =~ s/\d{6,}/(?:\\d+|\\*+)/gr;
like($log, qr/LOG:  account $shown is kept by constraint keeps of table child \(SQLSTATE 23503\)/,
	'H14: the log has the account that is kept, and by what');

$node->stop;
done_testing;
