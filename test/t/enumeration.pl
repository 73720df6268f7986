# Who has an account can't be told from an answer, nor from the work behind
# it: each call is made for an address of every kind, and what it answered,
# the hashes it computed and at which cost, the statements it ran, the rows it
# wrote and the notifications it sent are compared with those for an address
# that nobody knows. (How long that takes is measured by make bench.)
#
# Hashes are counted by a library preloaded into the server.
use strict;
use warnings;
use AuthSession;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep);

my $dir = PostgreSQL::Test::Utils::tempdir;
system(split(' ', $ENV{CC} // 'cc'), '-shared', '-fPIC', '-o', "$dir/hash_log.so",
	'test/lib/hash_log.c', '-lsodium', '-ldl') == 0
  or die 'cannot build hash_log.so';
$ENV{HASH_LOG} = "$dir/hashes";

my $node = new_node(
	'enumeration',
	preload => ['pg_stat_statements'],
	extension => 0,
	start => 0,
	conf => <<'CONF');
pg_stat_statements.track = all
pg_stat_statements.track_utility = off
auth_session.resend_cooldown = 0
auth_session.message_rate_per_account = 0
auth_session.signup_rate_per_address = 0
auth_session.signin_rate_per_account = 0
auth_session.passwordless = on
autovacuum = off
CONF
{
	local $ENV{LD_PRELOAD} = "$dir/hash_log.so";
	$node->start;
}
$node->safe_psql('postgres',
	'CREATE EXTENSION auth_session; CREATE EXTENSION pg_stat_statements');

my $watcher = sql_connect($node);
my $caller = sql_connect($node);
$watcher->do('LISTEN auth_session_outbox');

# ---- addresses of every kind ----

my $serial = 0;

# A new address; both kinds are unknown until something is done with them.
sub new_email { return sprintf 'person%03d@example.org', ++$serial; }
sub new_phone { return sprintf '+1555%07d', ++$serial; }

sub confirmed
{
	my $email = new_email();

	account($node, $email);
	notifications(1);
	return $email;
}

sub pending
{
	my $email = new_email();

	$caller->do('SELECT auth.signup($1, $2)', {}, $email, $PASSWORD);
	notifications(1);
	mailed($node, 'confirm_email', $email);
	return $email;
}

sub banned
{
	my $email = confirmed();

	$watcher->do(
		q{UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE email = $1},
		{}, $email);
	return $email;
}

# Confirmed, and without a password.
sub passwordless
{
	my $email = new_email();

	$caller->do('SELECT auth.signup($1)', {}, $email);
	notifications(1);
	my $mail = mailed($node, 'confirm_email', $email);
	$caller->do('SELECT auth.confirm($1, $2)', {}, $email, $mail->{code});
	return $email;
}

# A phone that an account has confirmed.
sub confirmed_phone
{
	my $phone = new_phone();

	$caller->do('SELECT auth.signup(phone => $1, password => $2)',
		{}, $phone, $PASSWORD);
	notifications(1);
	my $mail = mailed($node, 'confirm_phone', $phone);
	$caller->do('SELECT auth.confirm($1, $2, $3)', {}, $phone, $mail->{code}, $PASSWORD);
	return $phone;
}

# Confirmed by email, the phone still missing.
sub half_confirmed
{
	my $email = new_email();

	$caller->do('SELECT auth.signup($1, $2, $3)',
		{}, $email, $PASSWORD, new_phone());
	notifications(1);
	my $mail = mailed($node, 'confirm_email', $email);
	$caller->do('SELECT auth.confirm($1, $2, $3)', {}, $email, $mail->{code}, $PASSWORD);
	return $email;
}

# ---- what one call leaves behind ----

sub hashes
{
	return -e $ENV{HASH_LOG} ? slurp_file($ENV{HASH_LOG}) : '';
}

sub table_sizes
{
	my %sizes;

	foreach my $table (
		@{ $watcher->selectcol_arrayref(
			q{SELECT relname FROM pg_class WHERE relkind = 'r' AND
			  relnamespace = 'auth_private'::regnamespace ORDER BY relname})
		})
	{
		($sizes{$table}) = $watcher->selectrow_array(
			"SELECT count(*) FROM auth_private.$table");
	}
	return %sizes;
}

# The NOTIFYs since the last look, when as many as expected have come.
sub notifications
{
	my ($expected) = @_;
	my @payloads;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$watcher->do('SELECT 1');
		while (my $notify = $watcher->pg_notifies)
		{
			push @payloads, $notify->[2];
		}
		last if @payloads >= $expected;
		usleep(100_000);
	}
	return scalar(@payloads) . ' NOTIFY "' . join('", "', @payloads) . '"';
}

# Makes one call and tells all that could tell one address from another.
sub trace
{
	my ($sql, $arguments, $notifies) = @_;
	my %trace;
	my $before = length hashes();
	my %sizes = table_sizes();
	my $statement;

	$watcher->do('SELECT pg_stat_statements_reset()');
	# Or the counts of this transaction would begin with those before it.
	$caller->do('SELECT pg_stat_force_next_flush()');
	$caller->begin_work;
	$statement = $caller->prepare($sql);
	if (eval { $statement->execute(@$arguments) })
	{
		my $row = $statement->fetchrow_hashref;

		$trace{answer} = join ', ',
		  map { $_ . (defined $row->{$_} ? '' : ' NULL') } sort keys %$row;
		$trace{written} = join ', ', map { "@$_" } @{
			$caller->selectall_arrayref(
				q{SELECT relname, n_tup_ins, n_tup_upd, n_tup_del
				  FROM pg_stat_xact_all_tables WHERE schemaname = 'auth_private'
				  AND n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY relname})
		};
		$caller->commit;
	}
	else
	{
		# SQLSTATE, message, detail, hint, and a context if there were one.
		$trace{answer} = $caller->state . ' ' . $caller->errstr;
		$caller->rollback;
	}
	$statement->finish;
	$trace{notified} = notifications($notifies);
	$trace{hashes} = substr hashes(), $before;

	# What a SELECT found is what differs; that it ran is not.
	# Whether anything is revoked at all a backend asks once, whoever signs in.
	$trace{statements} = join "\n", @{
		$watcher->selectcol_arrayref(
			q{SELECT calls || CASE WHEN query ~ '^SELECT' THEN ' ' ELSE ' * ' || rows || ' ' END || query
			  FROM pg_stat_statements
			  WHERE query ~ 'auth_private|auth[.]' AND query !~ 'pg_stat|count[(]'
				AND query !~ '^SELECT FROM auth_private.revocations LIMIT'
			  ORDER BY query})
	};
	my %after = table_sizes();
	$trace{rows} = join ', ', map { $_ . ' ' . ($after{$_} - $sizes{$_}) }
	  grep { $after{$_} != $sizes{$_} } sort keys %after;
	return \%trace;
}

# alike(ID, CALL, SQL, NOTIFIES, NAME => [ARGUMENTS]...): the call leaves the
# same for every kind of address as for the first.
sub alike
{
	my ($id, $call, $sql, $notifies, @kinds) = @_;
	my $first = shift @kinds;
	my $reference = trace($sql, shift @kinds, $notifies);

	isnt($reference->{statements}, '', "$call: statements were seen");
	while (my ($kind, $arguments) = splice @kinds, 0, 2)
	{
		my $trace = trace($sql, $arguments, $notifies);

		is_deeply($trace, $reference, "$id: $call: $kind as $first");
	}
	return $reference;
}

# Every statement and hash once before: plans are made, keys loaded.
my $signin = 'SELECT * FROM auth.signin($1, $2)';
my $signin_phone = 'SELECT * FROM auth.signin(phone => $1, password => $2)';
my $signup = 'SELECT * FROM auth.signup($1, $2)';
my $signup_both = 'SELECT * FROM auth.signup($1, $2, $3)';
my $reset = 'SELECT auth.request_password_reset($1)';
my $resend = 'SELECT auth.resend_confirmation($1)';
my $signup_passwordless = 'SELECT * FROM auth.signup($1)';
my $request_code = 'SELECT auth.request_signin_code($1)';
my $wrong = 'a wrong but long password';
eval { $caller->selectrow_hashref($signin, {}, new_email(), $wrong) };
eval { $caller->selectrow_hashref($signin_phone, {}, new_phone(), $wrong) };
$caller->selectrow_hashref($signup_both, {}, new_email(), $PASSWORD, new_phone());
notifications(1);
$caller->do($reset, {}, new_email());
notifications(1);
$caller->do($resend, {}, new_email());
notifications(1);
$caller->selectrow_hashref($signup_passwordless, {}, new_email());
notifications(1);
$caller->do($request_code, {}, new_email());
notifications(1);

# ---- sign-in ----

my $trace = alike(
	'B1, B2', 'sign-in with a wrong password', $signin, 0,
	'unknown' => [ new_email(), $wrong ],
	'known' => [ confirmed(), $wrong ],
	'pending' => [ pending(), $wrong ],
	'banned' => [ banned(), $wrong ],
	'half confirmed' => [ half_confirmed(), $wrong ],
	'without a password' => [ passwordless(), $wrong ],
	'pending, with the right password' => [ pending(), $PASSWORD ],
	'unknown again' => [ new_email(), $wrong ]);
is($trace->{hashes}, "verify m=7168,t=5,p=1\n",
	'B2: an unknown account costs one hash, at the current cost');
like($trace->{answer}, qr/^PT401 .*\nDETAIL:  invalid_credentials\nHINT: .*confirm/s,
	'B1: the one answer of a refused sign-in');
is($trace->{rows}, 'audit_log 1', 'B6: a refused sign-in is audited');

alike(
	'B1, B2', 'sign-in by phone with a wrong password', $signin_phone, 0,
	'unknown' => [ new_phone(), $wrong ],
	'known' => [ confirmed_phone(), $wrong ]);

# ---- sign-up ----

$trace = alike(
	'B3', 'sign-up', $signup, 1,
	'free' => [ new_email(), $PASSWORD ],
	'taken' => [ confirmed(), $PASSWORD ],
	'taken by a banned account' => [ banned(), $PASSWORD ],
	'pending' => [ pending(), $PASSWORD ],
	'taken and half confirmed' => [ half_confirmed(), $PASSWORD ],
	'free again' => [ new_email(), $PASSWORD ]);
is($trace->{hashes}, "make m=7168,t=5\n", 'B3: a sign-up costs one hash');
like($trace->{rows}, qr/^accounts 1, audit_log 1, codes 1, identifiers 1, outbox 1$/,
	'B3: a sign-up makes an account at any address');

my ($taken_email, $taken_phone) = (confirmed(), confirmed_phone());
alike(
	'B3', 'sign-up with two identifiers', $signup_both, 1,
	'both free' => [ new_email(), $PASSWORD, new_phone() ],
	'email taken' => [ confirmed(), $PASSWORD, new_phone() ],
	'phone taken' => [ new_email(), $PASSWORD, confirmed_phone() ],
	'both taken' => [ $taken_email, $PASSWORD, $taken_phone ]);

# The owner hears of it, the stranger gets no code.
my $owned = confirmed();
$caller->do($signup, {}, uc $owned, $PASSWORD);
notifications(1);
ok(!mailed($node, 'confirm_email', uc $owned), 'B3: no code goes to a taken address');
ok(mailed($node, 'account_exists', $owned),
	'B3, B9: its owner gets a word, at the address as stored');

$trace = alike(
	'B3', 'sign-up without a password', $signup_passwordless, 1,
	'free' => [ new_email() ],
	'taken' => [ confirmed() ],
	'taken by a banned account' => [ banned() ],
	'pending' => [ pending() ],
	'free again' => [ new_email() ]);
is($trace->{hashes}, '', 'B3: a sign-up without a password costs no hash, for anybody');

# ---- messages on request ----

my @asked = map { $_->() } \&new_email, \&confirmed, \&pending, \&banned;
foreach my $time ('first', 'second')
{
	alike(
		'B1, B2', "asking for a reset, the $time time", $reset, 1,
		'unknown' => [ $asked[0] ],
		'known' => [ $asked[1] ],
		'pending' => [ $asked[2] ],
		'banned' => [ $asked[3] ]);
}
@asked = map { $_->() } \&new_email, \&pending, \&confirmed, \&banned;
foreach my $time ('first', 'second')
{
	alike(
		'B1, B2', "asking for a confirmation, the $time time", $resend, 1,
		'unknown' => [ $asked[0] ],
		'pending' => [ $asked[1] ],
		'known' => [ $asked[2] ],
		'banned' => [ $asked[3] ]);
}

@asked = map { $_->() } \&new_email, \&confirmed, \&pending, \&banned, \&half_confirmed;
foreach my $time ('first', 'second')
{
	alike(
		'B1, B2', "asking for a code to sign in, the $time time", $request_code, 1,
		'unknown' => [ $asked[0] ],
		'known' => [ $asked[1] ],
		'pending' => [ $asked[2] ],
		'banned' => [ $asked[3] ],
		'half confirmed' => [ $asked[4] ]);
}

# ---- a new address, of a user who is signed in ----

my $changer = confirmed();
my $tokens = signin($node, $changer);
notifications(1);
foreach my $change (
	[ 'change_email', sub { new_email() }, sub { confirmed() }, sub { pending() }, sub { banned() } ],
	[ 'change_phone', sub { new_phone() }, sub { confirmed_phone() } ])
{
	my ($function, $free, $taken, @others) = @$change;
	my $sql = "SELECT auth.$function(\$1, \$2) FROM auth.authenticate(\$3)";
	my @rest = ($PASSWORD, $tokens->{access_token});

	# One that is pending already is what all find.
	$caller->do($sql, {}, $free->(), @rest);
	notifications(1);
	$trace = alike(
		'B2, B3', $function, $sql, 1,
		'free' => [ $free->(), @rest ],
		'taken' => [ $taken->(), @rest ],
		(map { ('another kind' => [ $_->(), @rest ]) } @others),
		'free again' => [ $free->(), @rest ]);
	is($trace->{hashes}, "verify m=7168,t=5,p=1\n", "C12: $function costs one hash");
	is($trace->{rows}, 'audit_log 1, outbox 1', "B3: $function claims no address");
}

# ---- wrong codes: what they answer and leave to be seen ----

sub answers
{
	my ($call, $sql, @kinds) = @_;
	my $first = shift @kinds;
	my $reference = trace($sql, shift @kinds, 0);

	while (my ($kind, $arguments) = splice @kinds, 0, 2)
	{
		my $trace = trace($sql, $arguments, 0);

		is_deeply([ @$trace{qw(answer hashes notified rows)} ],
			[ @$reference{qw(answer hashes notified rows)} ],
			"B1: $call: $kind as $first");
	}
	return;
}

answers(
	'a wrong code to confirm', 'SELECT auth.confirm($1, $2)',
	'unknown' => [ new_email(), '000000' ],
	'pending' => [ pending(), '000000' ],
	'known' => [ confirmed(), '000000' ]);
my $resetting = confirmed();
$caller->do($reset, {}, $resetting);
notifications(1);
answers(
	'a wrong code to reset', 'SELECT auth.reset_password($1, $2, $3)',
	'unknown' => [ new_email(), '000000', $PASSWORD ],
	'known' => [ $resetting, '000000', $PASSWORD ],
	'known, nothing asked for' => [ confirmed(), '000000', $PASSWORD ]);

my ($asked, $since_banned) = (confirmed(), confirmed());
foreach ($asked, $since_banned)
{
	$caller->do($request_code, {}, $_);
	notifications(1);
}
$watcher->do(q{UPDATE auth_private.accounts SET banned_at = clock_timestamp() WHERE email = $1},
	{}, $since_banned);
answers(
	'a wrong code to sign in', 'SELECT * FROM auth.signin_code($1, $2)',
	'unknown' => [ new_email(), '000000' ],
	'known' => [ $asked, '000000' ],
	'known, nothing asked for' => [ confirmed(), '000000' ],
	'pending' => [ pending(), '000000' ],
	'banned since' => [ $since_banned, '000000' ]);

# ---- throttled: the same for anybody ----

# Without a trusted proxy ten times that many may fail.
$watcher->do('ALTER SYSTEM SET auth_session.signin_rate_per_account = 1');
$watcher->do('ALTER SYSTEM SET auth_session.message_rate_per_account = 2');
$watcher->do('SELECT pg_reload_conf()');
$node->poll_query_until('postgres',
	q{SELECT current_setting('auth_session.message_rate_per_account') = '2'});
$caller->disconnect;
$caller = sql_connect($node);
my %over;
foreach my $kind ([ unknown => new_email() ], [ known => confirmed() ], [ pending => pending() ])
{
	my ($name, $email) = @$kind;

	foreach my $call ([ $signin, $wrong ], [$reset], [$request_code])
	{
		my ($sql, @arguments) = @$call;
		my @answers = map {
			eval { $caller->selectrow_array($sql, {}, $email, @arguments) };
			$caller->state . ' ' . ($caller->errstr // '')
		} 1 .. 12;

		# The seconds to wait go down meanwhile.
		($over{$sql}{$name} = $answers[-1]) =~ s/(HINT:\s+)\d+/$1N/;
	}
}
foreach my $sql ($signin, $reset, $request_code)
{
	like($over{$sql}{unknown}, qr/PT429 .*\nDETAIL:  throttled\nHINT:  N$/s,
		"B4: $sql: an unknown account is throttled");
	is($over{$sql}{known}, $over{$sql}{unknown}, "B1: $sql: a known one alike");
	is($over{$sql}{pending}, $over{$sql}{unknown}, "B1: $sql: a pending one alike");
}

$_->disconnect foreach $watcher, $caller;
$node->stop;
done_testing();
