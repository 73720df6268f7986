# PostgREST: the statements that PostgREST 13 sends, as it sends them: extended
# protocol, each prepared on its own, the role switched by set_config, one
# transaction a request, db-pre-request = auth.check_request.
#
#   PostgREST::roles($node);                   the roles that it needs
#   my $rest = PostgREST->new($node);          one connection of its pool
#   my $answer = $rest->request(rpc => 'signin', body => { email => ... });
#   my $browser = $rest->browser;              keeps cookies, sends them back
#   $browser->request(rpc => 'logout', kind => 'void');
package PostgREST;

use strict;
use warnings;

use AuthSession;
use DBD::Pg ':pg_types';
use JSON::PP;
use MIME::Base64;

my $json = JSON::PP->new->canonical;

# anon, authenticated and the authenticator, which may become both.
sub roles
{
	my ($node, %option) = @_;

	$node->safe_psql($option{dbname} // 'postgres', <<'SQL');
CREATE ROLE anon NOLOGIN;
CREATE ROLE authenticated NOLOGIN;
CREATE ROLE authenticator LOGIN NOINHERIT;
GRANT anon, authenticated TO authenticator;
SQL
	return;
}

sub new
{
	my ($class, $node, %option) = @_;
	my $dbh = sql_connect($node, user => 'authenticator', %option);

	$dbh->do("SET client_encoding = 'UTF8'");
	$dbh->do('SET client_min_messages TO WARNING');
	return bless { dbh => $dbh }, $class;
}

sub dbh { return shift->{dbh} }

sub disconnect { return shift->{dbh}->disconnect }

# Prepares, executes and reads one statement; each is prepared by the server.
# The body of a request is a json, all else is of unknown type.
sub statement
{
	my ($self, $sql, @arguments) = @_;
	my $prepared = $self->{dbh}
	  ->prepare($sql, { pg_server_prepare => 1, pg_switch_prepared => 1 });

	$prepared->bind_param($_ + 1,
		ref $arguments[$_] ? @{ $arguments[$_] } : $arguments[$_])
	  foreach 0 .. $#arguments;
	$prepared->execute;
	return $prepared->{NUM_OF_FIELDS} ? $prepared->fetchrow_hashref : undef;
}

# The claims of a token, unverified.
sub claims_of
{
	my (undef, $payload) = split /\./, shift;

	$payload =~ tr{-_}{+/};
	return decode_json(decode_base64($payload));
}

# request(OPTION => VALUE...): one HTTP request. rpc: the function; body: its
# arguments, as JSON or as a form (form => 1); or table: the table to read, or to
# write to (insert); or sql: another main statement. token: of the first
# Authorization header, which role and claims are taken from, and which is passed
# on but where there is another one in headers, or without_header. cookies: by
# name. kind (scalar, set, void or row), method, read_only (GET), select (the
# columns), no_pre_request. Answers with the status, as PostgREST derives it,
# the body, and headers, [NAME, VALUE] each; the failure's code where there is
# one, and then, as PostgREST drops them, no headers.
sub request
{
	my ($self, %option) = @_;
	my $body = $option{body} || {};
	my $method = $option{method} // ($option{read_only} ? 'GET' : 'POST');
	my $read_only = $option{read_only} || $method eq 'GET' || $method eq 'HEAD';
	my $headers = {
		'user-agent'   => 'curl/7.88.1',
		'content-type' => 'application/json',
		'host'         => '127.0.0.1:3000',
		'accept'       => '*/*',
		%{ $option{headers} || {} }
	};
	my $claims = { role => 'anon' };
	my $result;

	$headers->{'content-type'} = 'application/x-www-form-urlencoded'
	  if $option{form};
	if ($option{token})
	{
		$claims = claims_of($option{token});
		$headers->{authorization} //= "Bearer $option{token}"
		  unless $option{without_header};
	}

	my $done = eval {
		$self->{dbh}->do('BEGIN ISOLATION LEVEL READ COMMITTED READ '
			  . ($read_only ? 'ONLY' : 'WRITE'));
		$self->statement(
			q{select set_config('search_path', $1, true), set_config('role', $2, true), set_config('request.jwt.claims', $3, true), set_config('request.method', $4, true), set_config('request.path', $5, true), set_config('request.headers', $6, true), set_config('request.cookies', $7, true)},
			'"auth", "public"',
			$claims->{role},
			$json->encode($claims),
			$method,
			$option{path} // ($option{rpc} ? "/rpc/$option{rpc}" : '/' . ($option{table} // '')),
			$json->encode($headers),
			$json->encode($option{cookies} || {}));
		$self->statement('select "auth"."check_request"()')
		  unless $option{no_pre_request};
		$result = $self->statement(main_statement(%option, method => $method),
			  !%$body        ? ()
			: $option{form} ? map { $body->{$_} } sort keys %$body
			: [ $json->encode($body), { pg_type => PG_JSON } ]);
		$self->{dbh}->do('COMMIT');
		1;
	};
	if (!$done)
	{
		my $state = $self->{dbh}->state;
		my $error = $self->{dbh}->errstr // $@;
		my ($detail) = $error =~ /^DETAIL:\s+(\S+)$/m;

		$self->{dbh}->do('ABORT');
		return {
			status => $state =~ /^PT(\d{3})$/ ? $1 : $state,
			code   => $detail // $error
		};
	}
	return {
		status => ($option{kind} // '') eq 'void' ? 204 : 200,
		body => defined $result->{body} && length $result->{body}
		? JSON::PP->new->allow_nonref->decode($result->{body})
		: undef,
		headers => [ map { [ %$_ ] } @{ decode_json($result->{response_headers} // '[]') } ]
	};
}

# What a request that failed, or didn't, was answered: '401 token_expired', '200'.
sub outcome
{
	my ($answer) = @_;

	return join ' ', $answer->{status}, $answer->{code} // ();
}

sub main_statement
{
	my (%option) = @_;
	my %type = (
		keep_current => 'boolean', session_id => 'uuid', info => 'jsonb',
		id => 'uuid', scopes => 'text[]', expires_in => 'interval');
	my @names = sort keys %{ $option{body} || {} };
	my $kind = $option{kind} // 'row';
	my $tail = q{nullif(current_setting('response.headers', true), '') AS response_headers, nullif(current_setting('response.status', true), '') AS response_status, '' AS response_inserted};
	my ($source, $call);

	return $option{sql} if $option{sql};
	if ($option{insert})
	{
		return
		  qq{WITH pgrst_source AS (INSERT INTO "public"."$option{table}"("body") VALUES ('$option{insert}') RETURNING 1) SELECT '' AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, null AS body, $tail FROM (SELECT * FROM pgrst_source) _postgrest_t};
	}
	if ($option{table})
	{
		my $body = $option{method} eq 'HEAD' ? q{''::text} : q{coalesce(json_agg(_postgrest_t), '[]')};

		return qq{WITH pgrst_source AS ( SELECT "public"."$option{table}".* FROM "public"."$option{table}"   )  SELECT null::bigint AS total_result_set, pg_catalog.count(_postgrest_t) AS page_total, $body AS body, $tail FROM ( SELECT * FROM pgrst_source ) _postgrest_t};
	}

	my $columns = join ', ', map { qq{"$_"} } @names;
	my $typed = join ', ', map { qq{"$_" } . ($type{$_} // 'text') } @names;
	my $number = 0;
	my $passed = join ', ', map {
		qq{"$_" := }
		  . ($option{form} ? '$' . ++$number . '::' . ($type{$_} // 'text') : qq{pgrst_body."$_"})
	} @names;
	$call = qq{"auth"."$option{rpc}"($passed)};
	my $from = @names && !$option{form}
	  ? qq{(SELECT \$1 AS json_data) pgrst_payload, LATERAL (SELECT $columns FROM json_to_record(pgrst_payload.json_data) AS _($typed) LIMIT 1) pgrst_body , LATERAL }
	  : '';

	if ($kind eq 'scalar' || $kind eq 'void')
	{
		return qq{WITH pgrst_source AS (SELECT pgrst_call.pgrst_scalar FROM $from(SELECT $call pgrst_scalar) pgrst_call) SELECT null::bigint AS total_result_set, 1 AS page_total, coalesce(json_agg(_postgrest_t.pgrst_scalar)->0, 'null') AS body, $tail FROM (SELECT "$option{rpc}".* FROM "pgrst_source" AS "$option{rpc}"   ) _postgrest_t};
	}
	my $select = $option{select} // qq{"$option{rpc}".*};
	my $aggregate = $kind eq 'set'
	  ? q{coalesce(json_agg(_postgrest_t), '[]')}
	  : q{coalesce(json_agg(_postgrest_t)->0, 'null')};
	return qq{WITH pgrst_source AS (SELECT "pgrst_call".* FROM $from$call pgrst_call) SELECT null::bigint AS total_result_set, 1 AS page_total, $aggregate AS body, $tail FROM (SELECT $select FROM "pgrst_source" AS "$option{rpc}"   ) _postgrest_t};
}

# ---- a browser ----

# One that is on a page of the application's own origin.
sub browser
{
	my ($self) = @_;

	return bless { rest => $self, jar => {} }, 'PostgREST::Browser';
}

package PostgREST::Browser;

# As of PostgREST, with the cookies of the jar, whose path must fit (RFC 6265
# section 5.1.4); and takes those of the answer.
sub request
{
	my ($self, %option) = @_;
	my $path = $option{path} // ($option{rpc} ? "/rpc/$option{rpc}" : '/' . ($option{table} // ''));
	my %cookies = map { $_ => $self->{jar}{$_}{value} }
	  grep {
		my $at = $self->{jar}{$_}{path};

		$at eq '/' || $path eq $at || $path =~ m{^\Q$at\E/}
	  } keys %{ $self->{jar} };
	my $answer = ($option{rest} // $self->{rest})->request(
		%option,
		cookies => { %cookies, %{ $option{cookies} || {} } },
		headers => { 'sec-fetch-site' => 'same-origin', %{ $option{headers} || {} } });

	$self->{set} = [];
	foreach my $header (@{ $answer->{headers} || [] })
	{
		$self->take($header->[1]) if lc $header->[0] eq 'set-cookie';
	}
	return $answer;
}

sub take
{
	my ($self, $line) = @_;
	my ($pair, @attributes) = split /; */, $line;
	my ($name, $value) = split /=/, $pair, 2;
	my %attribute = map { my ($n, $v) = split /=/, $_, 2; (lc $n => $v // 1) } @attributes;

	push @{ $self->{set} }, { name => $name, value => $value, %attribute };
	if ($attribute{'max-age'} > 0)
	{
		$self->{jar}{$name} = { value => $value, %attribute };
	}
	else
	{
		delete $self->{jar}{$name};
	}
	return;
}

# A copy: what is done with it stays its own.
sub twin
{
	my ($self) = @_;

	return bless { rest => $self->{rest}, jar => { %{ $self->{jar} } } }, ref $self;
}

1;
