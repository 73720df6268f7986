# The clean-up as pg_cron runs it: by its own worker, as the operator that
# scheduled it. Waits for pg_cron's next minute.
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
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA auth_admin TO operator;
SQL

# Without pg_cron here: the call says what to do.
my ($status, $out, $err) = $node->psql($database,
	"SELECT auth_admin.schedule_maintenance('$schedule')",
	extra_params => [ '-U', 'operator' ]);
isnt($status, 0, 'without pg_cron the maintenance is not scheduled');
like($err, qr/CREATE EXTENSION pg_cron/i,
	'and the error names the statement that helps');

$node->safe_psql($database,
	'CREATE EXTENSION pg_cron; GRANT USAGE ON SCHEMA cron TO operator');

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

$node->safe_psql($database,
	"SELECT auth_admin.schedule_maintenance('$schedule')",
	extra_params => [ '-U', 'operator' ]);
is( $node->safe_psql($database,
		'SELECT username, schedule FROM cron.job ORDER BY jobid'),
	"operator|$schedule", 'an operator schedules the maintenance as itself');

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

$node->safe_psql($database, 'SELECT auth_admin.unschedule_maintenance()',
	extra_params => [ '-U', 'operator' ]);
is($node->safe_psql($database, 'SELECT count(*) FROM cron.job'),
	'0', 'it is unscheduled again');

$node->stop;
done_testing;
