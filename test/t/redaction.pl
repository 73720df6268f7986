# No password, code, token or key shows in the log (stderr, csvlog, jsonlog),
# in pg_stat_activity, in pg_stat_statements or in the data directory, with
# everything switched on that quotes statements.
#
# Every form in which a statement can carry a secret runs in a session of its
# own, with secrets of its own. Only then the log is read: for the secrets,
# which must not be there, and for the form's application name, which must, or
# nothing was logged and nothing proved. One session without a secret shows
# that each search finds what is not masked.
#
# psql can't do it: it has no unnamed statements, no binary parameters, no say
# in the names of portals; and the log has to be read.
use strict;
use warnings;
use File::Find;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);
use Wire;

my $node = PostgreSQL::Test::Cluster->new('redaction');
$node->init;
$node->append_conf('postgresql.conf', <<'CONF');
shared_preload_libraries = 'auth_session, pg_stat_statements, auto_explain'
logging_collector = on
log_destination = 'stderr,csvlog,jsonlog'
log_directory = 'log'
log_filename = 'server.log'
log_rotation_size = 0
log_line_prefix = '%p %a '
log_statement = all
log_min_messages = debug2
log_min_error_statement = debug2
log_min_duration_statement = 0
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_nested_statements = on
pg_stat_statements.track = all
pg_stat_statements.track_utility = on
pg_stat_statements.track_planning = on
auth_session.argon2_memory = 7168
auth_session.argon2_iterations = 5
auth_session.redact_functions = 'app.login, "app".enter , login_inlined'
CONF
$node->append_conf('postgresql.conf', 'auto_explain.log_parameter_max_length = -1')
  if $node->pg_version >= 16;
$node->start;
$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION auth_session;
CREATE EXTENSION pg_stat_statements;
CREATE SCHEMA app;
CREATE FUNCTION app.login(e text, p text) RETURNS text LANGUAGE plpgsql AS
$$ BEGIN RETURN (auth.signin(e, p)).access_token; END $$;
CREATE FUNCTION app.login_inlined(e text, p text) RETURNS auth.account
LANGUAGE sql AS $$ SELECT auth.signup(e, p) $$;
CREATE PROCEDURE app.enter(e text, p text) LANGUAGE plpgsql AS
$$ BEGIN PERFORM auth.signup(e, p); END $$;
CREATE FUNCTION app.unlisted(e text, p text) RETURNS int LANGUAGE plpgsql AS
$$ BEGIN PERFORM auth.signup(e, p); RETURN p::int; END $$;
CREATE TABLE app.short (token text CHECK (length(token) < 10));
CREATE TABLE app.control (marker text);
SQL

my $data = $node->data_dir;
my @logs = map { "$data/log/server.$_" } qw(log csv json);
my $alphabet = join '', 'a' .. 'z', 'A' .. 'Z';
my %form_of;      # secret => the form that used it
my %only_logged;  # secrets that the form stored by itself: not in the files
my $form;
my $forms = 0;
my $user = 0;

sub random_word
{
	return join '', map { substr $alphabet, rand length $alphabet, 1 } 1 .. shift;
}

# Registers a secret of the form that runs; a new password by default.
sub secret
{
	my $secret = shift // 'Pw' . random_word(16);

	$form_of{$secret} = $form;
	return $secret;
}

sub email { return 'user' . ++$user . '@example.com'; }

sub slurp_binary
{
	open my $in, '<:raw', shift or die $!;
	local $/;
	return scalar <$in>;
}

# A code is digits only, and digits are everywhere. Any case: a password is
# compared with the common ones in lower case.
sub pattern
{
	my $secret = shift;

	return $secret =~ /^\d+$/ ? qr/(?<!\d)$secret(?!\d)/ : qr/\Q$secret\E/i;
}

my $watcher = Wire->new($node, user => 'postgres', application_name => 'watcher');
$watcher->query('SET log_statement = none');
$watcher->query('SET log_min_duration_statement = -1');
$watcher->query('SET auto_explain.log_min_duration = -1');

sub activity
{
	my $answer =
	  $watcher->query('SELECT query FROM pg_stat_activity WHERE pid = ' . shift);

	return $answer->{rows}[0][0] // '';
}

my $statements = '';

# Keeps what pg_stat_statements has shown, and makes it forget all, so that
# the next execution of a statement known to a session brings its text anew.
sub forget_statements
{
	my $answer = $watcher->query('SELECT query FROM pg_stat_statements');

	$statements .= join "\n", map { $_->[0] } @{ $answer->{rows} };
	$watcher->query('SELECT pg_stat_statements_reset()');
	return;
}

# Runs one form; state is the SQLSTATE that it has to end with, '' for none.
sub form
{
	my ($name, $state, $run) = @_;
	my ($wire, $answer, $activity, @shown);

	$form = $name;
	$forms++;
	$wire = Wire->new(
		$node,
		user => 'postgres',
		application_name => sprintf('form%02d', $forms));
	$answer = $run->($wire);
	is($answer->{error}{C} // '', $state, "$name: runs")
	  or diag(explain($answer));
	$activity = activity($wire->pid);
	@shown = grep { $form_of{$_} eq $name && $activity =~ pattern($_) } keys %form_of;
	is("@shown", '', "G3: $name: pg_stat_activity");
	$wire->close;
	return $answer;
}

# The tokens of a result row of auth.tokens.
sub tokens
{
	my $answer = shift;

	secret($answer->{rows}[0][0]);
	secret($answer->{rows}[0][4]);
	return $answer->{rows}[0];
}

# ---- an account to sign in to, in a form of its own ----

my $email = email();
my ($password, $code, $link);
form 'sign up', '', sub {
	my $wire = shift;
	$password = secret();
	return $wire->query("SELECT auth.signup('$email', '$password')");
};
form 'claim', '', sub {
	my $wire = shift;
	my $answer = $wire->query(<<'SQL');
SELECT payload ->> 'code', payload ->> 'link_token'
FROM auth_admin.claim_notifications(100, '1 s') WHERE kind = 'confirm_email'
SQL
	($code, $link) = @{ $answer->{rows}[0] };
	secret($code);
	secret($link);
	like($code, qr/^\d{6,10}$/, 'a code was sent');
	like($link, qr/^asl1_/, 'a link was sent');
	return $answer;
};
form 'confirm', '', sub {
	return $_[0]->query("SELECT auth.confirm('$email', '" . secret($code) . "', '" . secret($password) . "')");
};
my $session;
form 'sign in', '', sub {
	my $answer = $_[0]->query(
		"SELECT * FROM auth.signin('$email', '" . secret($password) . "')");
	$session = tokens($answer);
	return $answer;
};
form 'renew', '', sub {
	my $answer = $_[0]->query(
		"SELECT * FROM auth.renew('" . secret($session->[4]) . "')");
	$session = tokens($answer);
	return $answer;
};
form 'context', '', sub {
	my $wire = shift;
	my $new = secret();
	$wire->query('BEGIN');
	$wire->query("SELECT auth.authenticate('" . secret($session->[0]) . "')");
	my $answer = $wire->query(
		"SELECT auth.change_password('" . secret($password) . "', '$new')");
	$password = $new;
	$wire->query('COMMIT');
	return $answer;
};
form 'verify', '', sub {
	return $_[0]->query("SELECT auth.verify('" . secret($session->[0]) . "')");
};
form 'sign a token', '', sub {
	my $answer = $_[0]->query(sprintf
		q{SELECT auth.jwt_sign('{"sub":"1"}', '%s')}, secret());
	secret($answer->{rows}[0][0]);
	return $answer;
};
form 'verify a token', '', sub {
	my ($key, $token) = (secret(), secret('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIyIn0.'
			. random_word(43)));
	return $_[0]->query("SELECT * FROM auth.jwt_verify('$token', '$key')");
};

# ---- literals ----

my %literal = (
	plain => sub { "'$_[0]'" },
	"E''" => sub { "E'\\x41\\'$_[0]'" },
	"U&''" => sub { "U&'\\0041$_[0]'" },
	"U&'' with UESCAPE" => sub { "U&'!0041$_[0]' UESCAPE '!'" },
	'dollar-quoted' => sub { "\$\$$_[0]\$\$" },
	'dollar-quoted with a tag' => sub { "\$pw\$'\$\$$_[0]\$pw\$" },
	national => sub { "N'$_[0]'" },
	'doubled quotes' => sub { "'it''s''$_[0]'" },
	'in two parts' => sub { "'it'\n  '$_[0]'" },
	'after a comment with a quote' => sub { "/* it's /* */ */ '$_[0]'" },
	'cast' => sub { "'$_[0]'::varchar" },
	'typed' => sub { "text '$_[0]'" },
);
foreach my $kind (sort keys %literal)
{
	my $write = $literal{$kind};

	form "literal $kind, works", '', sub {
		$_[0]->query(sprintf "SELECT auth.signup('%s', %s)", email(), $write->(secret()));
	};
	form "literal $kind, fails", 'PT401', sub {
		$_[0]->query(sprintf "SELECT auth.signin('%s', %s)", email(), $write->(secret()));
	};
}
form 'bits', 'PT401', sub {
	my $bits = secret(join '', map { int rand 2 } 1 .. 60);
	$_[0]->query("SELECT auth.signin('x\@example.com', B'$bits'::text)");
};
form 'a code as a number', '42883', sub {
	my $number = secret(10_000_000 + int rand 80_000_000);
	$_[0]->query("SELECT auth.confirm('x\@example.com', $number)");
};
form 'a password in double quotes', '42703', sub {
	$_[0]->query(sprintf 'SELECT auth.signin("x@example.com", "%s")', secret());
};
form 'backslashes without standard_conforming_strings', 'PT401', sub {
	$_[0]->query('SET standard_conforming_strings = off');
	$_[0]->query(sprintf q(SELECT auth.signin('x@example.com', 'a\\'%s')), secret());
};

# ---- names ----

my %name = (
	'upper case' => 'AUTH.SIGNIN',
	'quoted' => '"auth"."signin"',
	'with comments' => "auth /* a */ . -- b\n signin\n/* c */\n",
	'in Unicode escapes' => 'U&"\0061uth".U&"sign\+000069n"',
	'with the database' => 'postgres.auth.signin',
);
foreach my $kind (sort keys %name)
{
	form "name $kind", 'PT401', sub {
		$_[0]->query(sprintf "SELECT %s('%s', '%s')", $name{$kind}, email(), secret());
	};
}
form 'name by search_path', 'PT401', sub {
	$_[0]->query('SET search_path = auth');
	$_[0]->query(sprintf "SELECT signin('%s', '%s')", email(), secret());
};
form 'named arguments', 'PT401', sub {
	$_[0]->query(sprintf "SELECT auth.signin(password => '%s', phone := '+15551234567')", secret());
};

# Every function that there is, by what its arguments and result are called:
# the list in redact_name.c has to keep up. With too many arguments it is only
# looked for.
my @open_functions;
foreach my $function (
	@{ $watcher->query(
		q{SELECT format('%I.%I', n.nspname, p.proname),
				 p.proargnames::text ~ '(password|code|token|secret|jwk|hash)' OR
				 p.prorettype = 'auth.tokens'::regtype OR
				 p.proname ~ '(totp|recovery_codes|jwt_secret|jwt_keys|claim_notifications|create_api_key)'
		  FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
		  WHERE n.nspname IN ('auth', 'auth_admin') AND
				p.prorettype <> 'trigger'::regtype
		  ORDER BY 1})->{rows}
	})
{
	my ($name, $is_secret) = @$function;
	my $call = "SELECT $name(" . ("'%s', " x 19) . "'%s')";

	if ($is_secret eq 't')
	{
		form "function $name", '42883', sub {
			$_[0]->query(sprintf $call, map { secret() } 1 .. 20);
		};
	}
	else
	{
		push @open_functions, $name;
	}
}
cmp_ok(scalar(grep { /^function / } values %form_of),
	'>=', 200, 'the functions with a secret were found');

# ---- statements ----

form 'several statements in one message', 'PT401', sub {
	$_[0]->query(sprintf
		  "SELECT 1; SELECT auth.signup('%s', '%s'); SELECT auth.signin('%s', '%s')",
		email(), secret(), email(), secret());
};
form 'an aborted transaction', '25P02', sub {
	$_[0]->query('BEGIN');
	$_[0]->query('SELECT 1/0');
	$_[0]->query(sprintf "SELECT auth.signin('%s', '%s')", email(), secret());
};
form 'PREPARE and EXECUTE, works', '', sub {
	$_[0]->query(sprintf
		  "PREPARE p(text, text) AS SELECT auth.signup(\$1, \$2), '%s'::text", secret());
	$_[0]->query(sprintf "EXECUTE p('%s', '%s')", email(), secret());
};
form 'PREPARE and EXECUTE, fails', 'PT401', sub {
	$_[0]->query('PREPARE "P q"(text, text) AS SELECT auth.signin($1, $2)');
	$_[0]->query(sprintf qq(EXECUTE "P q"('%s', '%s')), email(), secret());
};
form 'EXPLAIN EXECUTE', '', sub {
	$_[0]->query('PREPARE p(text, text) AS SELECT auth.signup($1, $2)');
	$_[0]->query(sprintf "EXPLAIN (ANALYZE, VERBOSE) EXECUTE p('%s', '%s')", email(), secret());
};
form 'CREATE TABLE AS EXECUTE', 'PT401', sub {
	$_[0]->query('PREPARE p(text, text) AS SELECT auth.signin($1, $2)');
	$_[0]->query(sprintf "CREATE TEMP TABLE t AS EXECUTE p('%s', '%s')", email(), secret());
};
form 'CREATE TABLE AS', '', sub {
	my $wire = shift;
	$wire->query(sprintf
		q(CREATE TEMP TABLE t AS SELECT auth.jwt_sign('{"sub":"2"}', '%s')), secret());
	my $answer = $wire->query('SELECT * FROM t');
	$only_logged{ secret($answer->{rows}[0][0]) } = 1;
	return $answer;
};
form 'DO, works', '', sub {
	$_[0]->query(sprintf
		  q(DO $$ BEGIN PERFORM auth.signup('%s', '%s'); END $$), email(), secret());
};
form 'DO, fails', 'PT401', sub {
	$_[0]->query(sprintf
		  q(DO $$ BEGIN PERFORM auth.signin('%s', '%s'); END $$), email(), secret());
};
form 'DO with a dynamic statement', 'PT401', sub {
	$_[0]->query(sprintf
		  q(DO 'BEGIN EXECUTE ''SELECT auth.signin(''''%s'''', ''''%s'''')''; END'),
		email(), secret());
};
form 'DO with a dynamic utility statement', '', sub {
	$_[0]->query(sprintf
		  q(DO $$ BEGIN EXECUTE 'COPY (SELECT auth.signup(''%s'', ''%s'')) TO ''/dev/null'''; END $$),
		email(), secret());
};
form 'DO that prints a token', '', sub {
	my $wire = shift;
	return $wire->query(sprintf
		  q(DO $$ BEGIN RAISE LOG 'token %%', auth.jwt_sign('{"sub":"3"}', '%s'); END $$),
		secret());
};
form 'COPY (query) TO', '', sub {
	$_[0]->query(sprintf "COPY (SELECT auth.signup('%s', '%s')) TO STDOUT", email(), secret());
};
form 'EXPLAIN', '', sub {
	$_[0]->query(sprintf "EXPLAIN (VERBOSE) SELECT auth.signup('%s', '%s')", email(), secret());
};
form 'DECLARE and FETCH', 'PT401', sub {
	$_[0]->query('BEGIN');
	$_[0]->query(sprintf
		  "DECLARE c CURSOR FOR SELECT auth.signin('%s', '%s')", email(), secret());
	$_[0]->query('FETCH ALL FROM c');
};
form 'CREATE FUNCTION', '', sub {
	$_[0]->query(sprintf
		  q(CREATE FUNCTION pg_temp.f() RETURNS auth.account LANGUAGE sql AS $$ SELECT auth.signup('%s', '%s') $$),
		email(), my $secret = secret());
	# It is in pg_proc, where the client put it.
	$only_logged{$secret} = 1;
	$_[0]->query('SELECT pg_temp.f()');
};
form 'a long statement', '', sub {
	$_[0]->query(sprintf "SELECT length('%s'), auth.signup('%s', '%s')",
		'x' x 5_000_000, email(), secret());
};
form 'a cancelled statement', '57014', sub {
	$_[0]->query("SET statement_timeout = '300 ms'");
	$_[0]->query(sprintf "SELECT auth.signup('%s', '%s'), pg_sleep(60)", email(), secret());
};
form 'a terminated session', '57P01', sub {
	$_[0]->query(sprintf
		  'SELECT auth.signup(\'%s\', \'%s\'), pg_terminate_backend(pg_backend_pid()), pg_sleep(60)',
		email(), secret());
};
form 'debug_print', '', sub {
	$_[0]->query('SET debug_print_parse = on; SET debug_print_plan = on;'
		  . 'SET debug_print_rewritten = on');
	$_[0]->query(sprintf "SELECT auth.signup('%s', '%s')", email(), secret());
};

# ---- errors that quote ----

form 'a syntax error after a literal', '42601', sub {
	$_[0]->query(sprintf "SELECT auth.signin('%s' '%s')", email(), secret());
};
form 'a syntax error at a word', '42601', sub {
	$_[0]->query(sprintf "SELECT auth.signin('%s', x %s)", email(), secret());
};
form 'a literal without an end', '42601', sub {
	$_[0]->query(sprintf "SELECT auth.signin('%s', '%s)", email(), secret());
};
form 'an identifier without an end', '42601', sub {
	$_[0]->query(sprintf "SELECT \"auth.signin('%s', '%s')", email(), secret());
};
form 'a name without its parenthesis', '42601', sub {
	$_[0]->query(sprintf "SELECT auth.signin '%s', '%s')", email(), secret());
};
form 'a cast of the argument', '22P02', sub {
	$_[0]->query(sprintf "SELECT auth.signin('%s', '%s'::int::text)", email(), secret());
};
form 'a cast of a token', '22P02', sub {
	my $wire = shift;
	return $wire->query(sprintf
		q(SELECT auth.jwt_sign('{"sub":"4"}', '%s')::int), secret());
};
form 'a token that breaks a constraint', '23514', sub {
	$_[0]->query(sprintf
		  q(INSERT INTO app.short SELECT auth.jwt_sign('{"sub":"5"}', '%s')), secret());
};
form 'a JSON error', '22P02', sub {
	$_[0]->query(sprintf
		q(SELECT auth.signin('a@example.com', '{"a": %s'::json ->> 'a')), secret());
};

# ---- the extended protocol ----

foreach my $binary (0, 1)
{
	my $kind = $binary ? 'binary' : 'text';

	form "$kind parameters, works", '', sub {
		my $wire = shift;
		$wire->parse('', 'SELECT auth.signup($1, $2)', 25, 25);
		$wire->bind('', '', [ email(), secret() ], [$binary]);
		$wire->execute('');
		return $wire->sync;
	};
	form "$kind parameters, fails", 'PT401', sub {
		my $wire = shift;
		$wire->parse('', 'SELECT auth.signin($1, $2)', 25, 25);
		$wire->bind('', '', [ email(), secret() ], [$binary]);
		$wire->execute('');
		return $wire->sync;
	};
}
form 'a parameter that is not one', '22P02', sub {
	my $wire = shift;
	$wire->parse('', 'SELECT auth.signin($1, $2 || $3::int)', 25, 25, 23);
	$wire->bind('', '', [ email(), secret(), secret() ]);
	return $wire->sync;
};
form 'too few parameters', '08P01', sub {
	my $wire = shift;
	$wire->parse('', sprintf("SELECT auth.signin(\$1, '%s' || \$2)", secret()), 25, 25);
	$wire->bind('', '', [ secret() ]);
	return $wire->sync;
};
form 'a syntax error in Parse', '42601', sub {
	my $wire = shift;
	$wire->parse('', sprintf("SELECT auth.signin('%s' '%s')", email(), secret()));
	return $wire->sync;
};
form 'odd names, literals, again after a reset', '', sub {
	my $wire = shift;
	$wire->parse("it's", sprintf("SELECT auth.signup(\$1, '%s')", secret()), 25);
	$wire->sync;
	foreach my $portal ('', "it's -- \$\$", '/* "')
	{
		forget_statements();
		$wire->bind($portal, "it's", [ email() ]);
		$wire->execute($portal);
		$wire->sync;
	}
	$wire->bind('', "it's", [ email() ]);
	$wire->execute('');
	return $wire->sync;
};
form 'a literal in a function, again after a reset', '', sub {
	my $wire = shift;
	$wire->query(sprintf
		q(CREATE FUNCTION pg_temp.g(e text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM auth.signup(e, '%s'); END $$),
		my $secret = secret());
	# It is in pg_proc, where the client put it.
	$only_logged{$secret} = 1;
	$wire->query("SELECT pg_temp.g('" . email() . "')");
	# Once the planner is the first to tell of it, once the executor.
	forget_statements();
	$wire->query("SELECT pg_temp.g('" . email() . "')");
	$wire->query('SET pg_stat_statements.track_planning = off');
	forget_statements();
	return $wire->query("SELECT pg_temp.g('" . email() . "')");
};
form 'row by row', 'PT401', sub {
	my $wire = shift;
	$wire->parse('', sprintf('SELECT CASE WHEN i = 3 THEN auth.signin($1, $2 || \'%s\') END FROM generate_series(1, 4) i', secret()), 25, 25);
	$wire->bind('p', '', [ email(), secret() ]);
	$wire->execute('p', 1);
	$wire->execute('p', 1);
	$wire->execute('p', 1);
	return $wire->sync;
};
form 'utility statements in Parse', 'PT401', sub {
	my $wire = shift;
	$wire->parse('', sprintf(
		q(DO $$ BEGIN PERFORM auth.signup('%s', '%s'); END $$), email(), secret()));
	$wire->bind('', '', []);
	$wire->execute('');
	$wire->sync;
	$wire->parse('', sprintf(
		"CREATE TEMP TABLE t AS SELECT auth.signin('%s', '%s')", email(), secret()));
	$wire->bind('', '', []);
	$wire->execute('');
	return $wire->sync;
};
form 'SQL EXECUTE of a protocol statement', 'PT401', sub {
	my $wire = shift;
	$wire->parse('p', 'SELECT auth.signin($1, $2)', 25, 25);
	$wire->sync;
	return $wire->query(sprintf "EXECUTE p('%s', '%s')", email(), secret());
};

# ---- wrappers ----

form 'a listed function, works', '', sub {
	my $wire = shift;
	my $answer = $wire->query(sprintf "SELECT app.login('%s', '%s')",
		$email, secret($password));
	secret($answer->{rows}[0][0]);
	return $answer;
};
form 'a listed function, fails', 'PT401', sub {
	my $wire = shift;
	$wire->parse('', 'SELECT app.login($1, $2)', 25, 25);
	$wire->bind('', '', [ email(), secret() ]);
	$wire->execute('');
	return $wire->sync;
};
form 'a listed function, unqualified', '', sub {
	$_[0]->query('SET search_path = app');
	$_[0]->query(sprintf "SELECT login_inlined('%s', '%s')", email(), secret());
};
form 'a listed procedure', '', sub {
	$_[0]->query(sprintf "CALL app.enter('%s', '%s')", email(), secret());
};
form 'a listed procedure, PREPAREd', '', sub {
	my $wire = shift;
	$wire->parse('', 'CALL app.enter($1, $2)', 25, 25);
	$wire->bind('', '', [ email(), secret() ]);
	$wire->execute('');
	return $wire->sync;
};
form 'an unlisted function, from its entry on', '22P02', sub {
	$_[0]->query('SET log_statement = none');
	$_[0]->query(sprintf "SELECT app.unlisted('%s', '%s')", email(), secret());
};
form 'an unlisted function with parameters, from its entry on', '22P02', sub {
	my $wire = shift;
	$wire->query('SET log_statement = none; SET log_min_duration_statement = -1');
	$wire->query("SET log_min_messages = log");
	$wire->parse('', 'SELECT app.unlisted($1, $2)', 25, 25);
	$wire->bind('', '', [ email(), secret() ]);
	$wire->execute('');
	return $wire->sync;
};

# ---- PostgREST ----

my $set_config = <<'SQL';
select set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true), set_config('request.path', $5, true), set_config('request.headers', $6, true), set_config('request.cookies', $7, true)
SQL
my $signin = <<'SQL';
WITH pgrst_source AS (SELECT "pgrst_call".* FROM (SELECT $1 AS json_data) pgrst_payload, LATERAL (SELECT "email", "password" FROM json_to_record(pgrst_payload.json_data) AS _("email" text, "password" text) LIMIT 1) pgrst_body , LATERAL "auth"."signin"("email" := pgrst_body."email", "password" := pgrst_body."password") pgrst_call) SELECT null::bigint AS total_result_set, 1 AS page_total, coalesce(json_agg(_postgrest_t)->0, 'null') AS body, nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted FROM (SELECT "signin".%s FROM "pgrst_source" AS "signin"   ) _postgrest_t
SQL

sub request
{
	my ($wire, $bearer, $sql, @values) = @_;

	$wire->query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE');
	$wire->parse('', $set_config, (25) x 7);
	$wire->bind('', '', ['"auth", "public"', 'postgres', '{"role":"anon"}', 'POST',
		'/rpc/signin', qq({"user-agent":"curl","authorization":"Bearer $bearer"}), '{}' ]);
	$wire->execute('');
	$wire->sync;
	$wire->parse('', $sql, 114);
	$wire->bind('', '', \@values);
	$wire->execute('');
	my $answer = $wire->sync;
	$wire->query($answer->{error} ? 'ROLLBACK' : 'COMMIT');
	return $answer;
}

form 'PostgREST, works', '', sub {
	my $wire = shift;
	my $answer = request($wire, secret($session->[0]), sprintf($signin, '*'),
		qq({"email":"$email","password":") . secret($password) . '"}');
	my ($access) = $answer->{rows}[0][2] =~ /"access_token":"([^"]+)"/;
	my ($refresh) = $answer->{rows}[0][2] =~ /"refresh_token":"([^"]+)"/;
	secret($access);
	secret($refresh);
	return $answer;
};
form 'PostgREST, fails', 'PT401', sub {
	request($_[0], secret(random_word(40)), sprintf($signin, '*'),
		qq({"email":"nobody\@example.com","password":") . secret() . '"}');
};
form 'PostgREST, malformed body', '22P02', sub {
	request($_[0], secret(random_word(40)), sprintf($signin, '*'),
		qq({"email":"nobody\@example.com","password":) . secret() . '}');
};
form 'PostgREST, a cast of the result', '22P02', sub {
	request($_[0], secret(random_word(40)),
		sprintf($signin, '"access_token","signin"."access_token"::int'),
		qq({"email":"$email","password":") . secret($password) . '"}');
};

# ---- cookies ----

# A request as PostgREST sends it, by a page that keeps its session in cookies.
sub cookie_request
{
	my ($wire, $cookies, $path, $sql, @values) = @_;

	$wire->query("SET auth_session.cookies = on; SET SESSION AUTHORIZATION web");
	$wire->query('BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE');
	$wire->parse('', $set_config, (25) x 7);
	$wire->bind('', '', [ '"auth", "public"', 'anon', '{"role":"anon"}', 'POST', $path,
		'{"user-agent":"curl","x-session":"cookie","sec-fetch-site":"same-origin"}', $cookies ]);
	$wire->execute('');
	$wire->sync;
	my $answer = $wire->query('select "auth"."check_request"()');
	if (!$answer->{error})
	{
		$wire->parse('', $sql, (114) x @values);
		$wire->bind('', '', \@values);
		$wire->execute('');
		$answer = $wire->sync;
	}
	$wire->query($answer->{error} ? 'ROLLBACK' : 'COMMIT');
	return $answer;
}

# The secrets in the Set-Cookie headers of a response, by the cookies' names.
sub set_cookies
{
	my $answer = shift;
	my %cookie = $answer->{rows}[0][3] =~ /"Set-Cookie":"([^=]+)=([^;]+);/g;

	is(join(' ', sort keys %cookie), '__Host-access __Secure-refresh', "$form: sets cookies");
	secret($_) foreach values %cookie;
	return %cookie;
}

my %cookie;
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE anon;
CREATE ROLE authenticated;
CREATE ROLE web LOGIN NOINHERIT IN ROLE anon, authenticated;
SQL
form 'cookies, sign in', '', sub {
	my $answer = cookie_request($_[0], '{}', '/rpc/signin', sprintf($signin, '*'),
		qq({"email":"$email","password":") . secret($password) . '"}');

	%cookie = set_cookies($answer);
	return $answer;
};
form 'cookies, renew', '', sub {
	my $answer = cookie_request($_[0],
		sprintf('{"__Host-access":"%s","__Secure-refresh":"%s"}', map { secret($_) } @cookie{qw(__Host-access __Secure-refresh)}),
		'/rpc/renew',
		q{SELECT null, 1, row_to_json(r)::text, current_setting('response.headers') FROM auth.renew() AS r});

	%cookie = set_cookies($answer);
	return $answer;
};
form 'cookies, fails', 'PT401', sub {
	cookie_request($_[0], sprintf('{"__Host-access":"%s"}', secret('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0In0.' . random_word(43))),
		'/notes', 'SELECT 1');
};
form 'cookies, a statement of the application fails', '22P02', sub {
	cookie_request($_[0], sprintf('{"__Host-access":"%s"}', secret($cookie{'__Host-access'})),
		'/notes', q{SELECT current_setting('request.cookies')::int});
};
form 'cookies in statements', '22P02', sub {
	my $wire = shift;
	my ($access, $refresh) = map { secret($_) } @cookie{qw(__Host-access __Secure-refresh)};
	my $all = qq({"__Host-access":"$access","__Secure-refresh":"$refresh"});

	$wire->query("SET request.cookies = '$all'");
	$wire->query("SET request.headers = '" . qq({"cookie":"__Host-access=$access; __Secure-refresh=$refresh"}) . "'");
	$wire->query("SELECT set_config('request.cookies', '$all', false)");
	$wire->query("SELECT set_config('response.headers', '[" . qq({"Set-Cookie":"__Secure-refresh=$refresh; Path=/rpc/renew"}) . "]', false)");
	$wire->query("DO \$\$ BEGIN PERFORM set_config('request.cookies', '$all', true); RAISE LOG '%', current_setting('request.cookies'); END \$\$");
	return $wire->query("SELECT '$all'::int");
};

# ---- tokens by their shape, where no function is named ----

form 'tokens by shape', '22P02', sub {
	my $wire = shift;
	my @tokens = (
		secret('asr1_' . random_word(112)),
		secret('asl1_' . random_word(86)),
		secret('eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIzIn0.' . random_word(43)));
	$wire->query("SELECT '$_'") foreach @tokens;
	$wire->query("DO \$\$ BEGIN RAISE LOG 'got $_'; END \$\$") foreach @tokens;
	$wire->query('SELECT 1 AS "' . secret('Bearer ' . random_word(30)) . '"');
	$wire->parse('', 'SELECT $1 || $2 || $3', 25, 25, 25);
	$wire->bind('', '', \@tokens);
	$wire->execute('');
	$wire->sync;
	return $wire->query("SELECT '$tokens[0]'::int");
};

# ---- what is not masked: the searches find it, and nothing is lost ----

my $marker = 'Marker' . random_word(16);
my $bystander =
  Wire->new($node, user => 'postgres', application_name => 'bystander');
$bystander->query("SELECT auth.uid(), auth.role(), '$marker' AS a");
$bystander->query(sprintf "SELECT $_(%s)", join ', ', ("'$marker'") x 20)
  foreach @open_functions;
$bystander->query("INSERT INTO app.control VALUES ('$marker')");
$bystander->query("DO \$\$ BEGIN NULL; /* $marker */ END \$\$");
$bystander->parse('', 'SELECT length($1), auth.uid()', 25);
$bystander->bind('', '', ["p$marker"]);
$bystander->execute('');
$bystander->sync;
$bystander->query("SELECT '$marker'::int");
like(activity($bystander->pid), qr/$marker/,
	'control: pg_stat_activity shows a statement without a secret');
$node->safe_psql('postgres', 'CHECKPOINT');

# The collector writes after the fact: the last line must have come through.
my $last = 'last' . random_word(16);
$bystander->query("SELECT '$last'");
my %log;
foreach my $log (@logs)
{
	my $tries = 0;

	do
	{
		usleep(100_000) if $tries > 0;
		$log{$log} = slurp_binary($log);
	} until $log{$log} =~ /$last/ || $tries++ >= 600;
	like($log{$log}, qr/$last/, "$log is complete");
	like($log{$log}, qr/statement: SELECT auth\.uid\(\), auth\.role\(\), '$marker' AS a/,
		"control: $log quotes a statement without a secret");
	my @hidden =
	  grep { $log{$log} !~ /statement: SELECT \Q$_\E\('$marker', / } @open_functions;
	is("@hidden", '', "control: $log quotes statements with other functions");
	like($log{$log}, qr/= 'p$marker'/, "control: $log quotes a parameter");
	like($log{$log}, qr/integer: \\?"*$marker/, "control: $log quotes a wrong value");
}

forget_statements();
like($statements, qr/$marker/,
	'control: pg_stat_statements shows a utility statement without a secret');

sub found
{
	my $text = shift;

	return join '; ', map { "$form_of{$_}: $_" }
	  grep { $text =~ pattern($_) } sort keys %form_of;
}

foreach my $log (@logs)
{
	my ($kind) = $log =~ /(\w+)$/;
	my @silent =
	  grep { $log{$log} !~ /$_/ } map { sprintf 'form%02d', $_ } 1 .. $forms;

	is(found($log{$log}), '', "G3: no secret in the log ($kind)");
	is("@silent", '', "every form left lines in the log ($kind)");
}
is(found($statements), '', 'G3: no secret in pg_stat_statements');

# Masked, but still there to read.
like($log{ $logs[0] }, qr/statement: SELECT auth\.signup\('\*\*\*', '\*\*\*'\)/,
	'a masked statement can still be read');
like($log{ $logs[0] }, qr/ LOG:  statement: \*\*\*\n/,
	'what is too long to be read is not shown, but what it was');
like($log{ $logs[0] }, qr/ERROR:  the credentials are not valid/,
	'an error of ours is not masked');

# ---- the data directory, WAL included ----

sub in_files
{
	my @secrets = @_;
	my $any = join '|', map { quotemeta } @secrets;
	my %found;

	find({
			no_chdir => 1,
			wanted => sub {
				return unless -f && !/\Q$data\E\/log\//;
				my $text = slurp_binary($_);
				my $file = substr $_, length $data;
				$found{"$file: $1"} = 1 while $text =~ /($any)/gi;
			}
		},
		$data);
	return sort keys %found;
}

# All has to be on disk: statistics at a shutdown too.
$_->close foreach $watcher, $bystander;
$node->stop;
my @control = in_files($marker);
ok((grep { m{^/base/} } @control), 'control: a table has the marker');
ok((grep { m{^/pg_wal/} } @control), 'control: the WAL has the marker');
is( join("\n", in_files(grep { !/^\d+$/ && !$only_logged{$_} } keys %form_of)),
	'',
	'D2, G3: no password, token or link in any file of the data directory');

# ---- remembered texts ----

$node->start;

# What was found of a text is remembered, for as long as it means the same: the
# same text must be read again where something else has changed its meaning.
{
	my $wire = Wire->new($node, user => 'postgres', application_name => 'remembered');
	my $shown = sub {
		$wire->query(shift);
		return $node->safe_psql('postgres',
			'SELECT query FROM pg_stat_activity WHERE pid = ' . $wire->pid);
	};
	my $execute = "EXECUTE p('none\@example.org', 'was plain')";
	my $wrapper = "SELECT pg_temp.later('none\@example.org', 'was plain')";
	my $signin = "SELECT auth.signin('none\@example.org', 'was plain')";
	my $plain = "SELECT 'was plain', " . ' ' x (length($signin) - 21) . '1';

	$wire->query('PREPARE p(text, text) AS SELECT $1 || $2');
	like($shown->($execute), qr/was plain/, 'a prepared statement without a secret shows') for 1, 2;
	$wire->query('DEALLOCATE p');
	$wire->query('PREPARE p(text, text) AS SELECT auth.signin($1, $2)');
	unlike($shown->($execute), qr/was plain/, 'the same text is masked once it runs another') for 1, 2;
	$wire->query('DEALLOCATE p');
	$wire->query('PREPARE p(text, text) AS SELECT $1 || $2');
	like($shown->($execute), qr/was plain/, 'and shows again');
	$wire->query('DEALLOCATE p');

	# With too few parameters no function is entered that could mask it.
	$wire->query('PREPARE p(text) AS SELECT $1');
	like($shown->("EXECUTE p('was plain')"), qr/was plain/, 'one parameter shows') for 1, 2;
	$wire->query('DEALLOCATE p');
	$wire->query('PREPARE p(text, text) AS SELECT auth.signin($1, $2)');
	unlike($shown->("EXECUTE p('was plain')"), qr/was plain/, 'the same text that fails is masked');

	$wire->query('CREATE FUNCTION pg_temp.later(text, text) RETURNS text LANGUAGE sql AS $$ SELECT $1 $$');
	like($shown->($wrapper), qr/was plain/, 'a function that is not listed shows') for 1, 2;
	$wire->query("SET auth_session.redact_functions = 'later'");
	unlike($shown->($wrapper), qr/was plain/, 'a wrapper is masked as soon as it is listed') for 1, 2;
	$wire->query('RESET auth_session.redact_functions');
	like($shown->($wrapper), qr/was plain/, 'and shows again when it is not');

	is(length $plain, length $signin, 'two texts of one length');
	foreach (1 .. 2)
	{
		like($shown->($plain), qr/was plain/, 'one of them shows');
		unlike($shown->($signin), qr/was plain/, 'the other is masked');
	}
	$wire->close;
}

# No two texts are taken for one, however many have been seen: each of a thousand
# statements is plain, and a secret between them is masked, also where its
# place has been taken over.
{
	my $wire = Wire->new($node, user => 'postgres', application_name => 'many texts');
	my $masked = 0;

	foreach my $i (1 .. 1000)
	{
		$wire->query("SELECT 'text number $i'");
		next if $i % 100;
		$wire->query("SELECT auth.signin('none\@example.org', 'number $i')");
		$masked += $node->safe_psql('postgres',
			'SELECT query FROM pg_stat_activity WHERE pid = ' . $wire->pid) !~ /number/;
	}
	is($masked, 10, 'a secret among a thousand texts is masked each time');
	$wire->close;
}

done_testing();
