# Publishing to a real RabbitMQ: content and confirm, outages of the broker,
# of the database and of the bridge itself. Every notification arrives at
# least once; a duplicate has the same id. psql can show none of this.
use strict;
use warnings;
use Bridge;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = cluster('broker');
my $rabbit = start_rabbit();
my @database = ('--database', $node->connstr('postgres') . ' user=bridge');
my @bridge = (@database, '--to', $rabbit->{url}, '--poll', '1');
my @quick = ('--timeout', '2', '--lease', '5');

sub sql { return $node->safe_psql('postgres', $_[0]); }

sub reset_all
{
	sql('TRUNCATE auth_private.outbox');
	rabbit($rabbit, 'ids', 'app');
	return;
}

sub unsettled
{
	return sql('SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NULL');
}

# What a message says: its body, which is decoded already.
sub body_of { return JSON::PP->new->decode($_[0]{body}); }

# On their way: leased and neither settled nor released.
sub claimed
{
	return sql('SELECT count(*) FROM auth_private.outbox
		WHERE settled_at IS NULL AND attempts > 0 AND due_at > now()');
}

# Takes all messages; how many there were, and how many of which ids.
sub taken
{
	my @messages = rabbit($rabbit, 'ids', 'app');
	my %ids;

	$ids{$_}++ for @messages;
	return (scalar @messages, \%ids);
}

# All rows of the outbox are among the messages, nothing else is.
sub complete
{
	my ($what, $ids) = @_;
	my @rows = split /\n/, sql('SELECT id FROM auth_private.outbox ORDER BY id');

	return is_deeply([ sort keys %$ids ], \@rows, $what);
}

# ---- no queue: mandatory
enqueue($node, { kind => 'new_signin', recipient => 'ada@example.org' });
my ($status, $out, $log) = run_bridge(@bridge, '--once');
is($status, 3, 'a message that no queue takes');
like($log, qr/sink_failed .*no queue is bound to exchange \\"auth_session\\" for new_signin/,
	'comes back: the broker rests, with the reason');
is(sql('SELECT error IS NULL AND settled_at IS NULL FROM auth_private.outbox'), 't', 'and no row is blamed');

# ---- the relay may start before there is a queue; a queue may vanish under it
sql('TRUNCATE auth_private.outbox');
enqueue($node, { recipient => 'early@example.org' });
{
	my $bridge = start_bridge(@bridge);

	ok(eventually('rests', sub { metric($bridge, 'sink_failures_total') >= 2 }), 'a relay without a consumer');
	rabbit($rabbit, 'declare', 'later');
	ok(eventually('settled', sub { unsettled() == 0 }), 'publishes when there is one');
	rabbit($rabbit, 'delete', 'later');
	is(stop($bridge), 0, 'clean stop');
	$bridge = start_bridge(@database, '--to', "$rabbit->{url}/?queue=own&dead_letter=", '--poll', '1');
	ok(eventually('declared', sub { eval { rabbit($rabbit, 'count', 'own'); 1 } }), 'a relay that declares its queue');
	rabbit($rabbit, 'delete', 'own');
	enqueue($node, { recipient => 'again@example.org' });
	ok(eventually('settled', sub { unsettled() == 0 }), 'declares it again when it vanished');
	is((rabbit($rabbit, 'count', 'own'))[0], 1, 'and the message is in it');
	is(sql('SELECT max(attempts) || coalesce(max(error), $$$$) FROM auth_private.outbox'), '1', 'at the cost of no try');
	rabbit($rabbit, 'delete', 'own');

	# A queue that is full.
	rabbit($rabbit, 'full', 'app');
	enqueue($node, { recipient => 'full@example.org' });
	is(stop($bridge), 0, 'clean stop');
	$bridge = start_bridge(@bridge);
	ok(eventually('refused', sub { slurp_file($bridge->{log}) =~ /sink_failed .*the broker did not take it/ }),
		'a queue that takes no more');
	is(unsettled(), 1, 'settles nothing');
	rabbit($rabbit, 'delete', 'app');
	rabbit($rabbit, 'declare', 'app');
	ok(eventually('settled', sub { unsettled() == 0 }), 'and the row waits for one that does');
	is((taken())[0], 1, 'which gets it');
	is(stop($bridge), 0, 'clean stop');
	rabbit($rabbit, 'delete', 'app');
}

# ---- one message
rabbit($rabbit, 'declare', 'app');
reset_all();
enqueue($node,
	{
		kind => 'confirm_email',
		recipient => 'ada@example.org',
		payload => '{"code": "012345", "user_agent": "Zürich \"x\"\n"}'
	});
($status, $out, $log) = run_bridge(@bridge, '--once', '--log-level', 'debug', '--log-format', 'json');
is($status, 0, 'a message is published');
my ($message) = map { decode_json($_) } rabbit($rabbit, 'take', 'app');
my $body = body_of($message);
my $row = sql('SELECT to_json(o) FROM auth_private.outbox o');
$row = decode_json($row);
is($message->{message_id}, $row->{id}, "message-id is the row's id");
is($message->{routing_key}, 'confirm_email', 'the routing key is the kind');
is($message->{exchange}, 'auth_session', 'the exchange');
is($message->{content_type}, 'application/json', 'JSON');
is($message->{delivery_mode}, 2, 'persistent');
is($body->{$_}, $row->{$_}, "the body's $_") for qw(id kind channel recipient);
is($body->{user_id}, undef, 'and whose it is: nobody\'s');
is(delete $body->{payload}{locale}, 'en', 'the language');
is_deeply($body->{payload}, $row->{payload}, 'the payload');
is($body->{site_url}, 'https://app.example.org', 'auth_session.site_url');
like($body->{created_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'created_at in UTC');
ok($row->{settled_at}, 'the row is settled');
unlike($log, qr/012345|ada\@|secret/, 'no code, address or password in the log');
is_deeply([ grep { !eval { decode_json($_) } } split /\n/, $log ], [], 'whose lines are JSON');
ok((grep { decode_json($_)->{event} eq 'delivered' && decode_json($_)->{id} eq $row->{id} }
		split /\n/, $log), 'one of them says delivered');

# ---- G8: NOTIFY wakes it and carries nothing
reset_all();
my $listener = $node->background_psql('postgres');
$listener->query_safe('LISTEN auth_session_outbox');
{
	my $bridge = start_bridge(@database, '--to', $rabbit->{url}, '--poll', '3600');
	ok(eventually('up', sub { metric($bridge, 'source_up') }), 'a bridge that polls once an hour');
	sql(q{SELECT auth.signup('wake@example.org', 'correct horse 9')});
	ok(eventually('woken', sub { rabbit($rabbit, 'count', 'app') }), 'is woken by a sign-up');
	my $heard = $listener->query('SELECT 1');
	like($heard, qr/Asynchronous notification "auth_session_outbox" received from server process/,
		'G3: another role hears it too');
	unlike($heard, qr/payload/, 'G3: and hears nothing but that');
	is(stop($bridge), 0, 'SIGTERM ends it with status 0');
}
$listener->quit;
($message) = map { decode_json($_) } rabbit($rabbit, 'take', 'app');
like(body_of($message)->{payload}{code}, qr/^\d{6}$/, 'the message has the code');
cmp_ok($message->{expiration} // 0, '>', 0, 'and lives no longer than that and its link');
cmp_ok($message->{expiration}, '<=', 86400 * 7 * 1000, 'in milliseconds');

# ---- a clean stop finishes what is claimed
reset_all();
enqueue($node, { count => 3000 });
{
	my $bridge = start_bridge(@bridge, '--batch', '500');
	eventually('the first batch', sub { unsettled() < 3000 });
	is(stop($bridge), 0, 'SIGTERM under load');
	my ($n, $ids) = taken();
	is(claimed(), '0', 'leaves no lease behind');
	is($n, sql('SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NOT NULL'),
		'and what it published is settled');
}

# ---- two bridges share the work
reset_all();
enqueue($node, { count => 5000 });
{
	my @bridges = map { start_bridge(@bridge, '--batch', '100') } 1, 2;
	ok(eventually('all settled', sub { unsettled() == 0 }), 'two bridges');
	my @shares = map { stop($_); metric($_, 'delivered_total') } @bridges;
	cmp_ok($_, '>', 0, 'each has a share') for @shares;
	my ($n, $ids) = taken();
	is($n, 5000, 'no row twice');
	complete('and every row once', $ids);
}

# ---- G7: the broker is stopped in the middle of 10,000 and started again
reset_all();
enqueue($node, { count => 10000 });
{
	my $bridge = start_bridge(@bridge, '--batch', '200');
	eventually('some delivered', sub { unsettled() < 8000 });
	stop_rabbit($rabbit);
	my $left = unsettled();
	cmp_ok($left, '>', 0, "broker stopped with $left notifications to go");
	ok(eventually('noticed', sub { metric($bridge, 'sink_failures_total') >= 2 }), 'the bridge notices');
	start_rabbit($rabbit);
	ok(eventually('all settled', sub { unsettled() == 0 }), 'started again: the rest is delivered');
	my ($n, $ids) = taken();
	complete("all 10,000 arrive, " . ($n - 10000) . " of them twice, with the same id", $ids);
	is(sql('SELECT max(attempts) FROM auth_private.outbox'), '1', 'and none paid for it with a try');

	# A bridge that waits costs next to nothing.
	my @stat = split / /, slurp_file("/proc/$bridge->{pid}/stat");
	cmp_ok($stat[13] + $stat[14], '<', 500, 'and without spinning meanwhile');
	is(stop($bridge), 0, 'clean stop');
}

# ---- a hanging broker delays the bridge, never a sign-up or sign-in
reset_all();
sql(q{ALTER SYSTEM SET auth_session.require_confirmation = 'none'; SELECT pg_reload_conf()});
sql(q{SELECT auth.signup('hang@example.org', 'correct horse 9')});
{
	my $bridge = start_bridge(@bridge, @quick);
	ok(eventually('up', sub { metric($bridge, 'email_up') && unsettled() == 0 }), 'a bridge at work');
	kill 'STOP', $rabbit->{pid};
	enqueue($node, { count => 10 });
	ok(eventually('claimed', sub { claimed() == 10 }), 'waits for a broker that hangs');
	is(sql(q{SET statement_timeout = '10s';
			SELECT count(*) FROM generate_series(1, 5),
			LATERAL auth.signin('hang@example.org', 'correct horse 9')}), '5',
		'G7: sign-ins commit all the same');
	ok(eventually('timed out', sub { metric($bridge, 'sink_failures_total') >= 1 }), 'its wait has an end');
	kill 'CONT', $rabbit->{pid};
	ok(eventually('all settled', sub { unsettled() == 0 }), 'and when it goes on, everything is delivered');
	my ($n, $ids) = taken();
	complete('nothing is lost', $ids);
	is(stop($bridge), 0, 'clean stop');
}

# ---- a broker that is short of memory blocks its publishers
reset_all();
{
	my $bridge = start_bridge(@bridge, '--timeout', '2', '--lease', '60');

	ok(eventually('up', sub { metric($bridge, 'email_up') }), 'a bridge that is connected');
	rabbitmqctl($rabbit, 'set_vm_memory_high_watermark', 'absolute', '1');
	enqueue($node, { count => 10 });
	ok(eventually('blocked', sub { slurp_file($bridge->{log}) =~ /event=broker_blocked/ }), 'is told that the broker blocks');
	enqueue($node, { recipient => 'later@example.org' });
	# Leased for 60 s: past the time limit of 2 s, which does not count now.
	eventually('three seconds', sub {
		sql("SELECT bool_or(clock_timestamp() > due_at - interval '57 s')
			FROM auth_private.outbox WHERE attempts > 0") eq 't' });
	is(metric($bridge, 'sink_failures_total'), 0, 'waits for it on the same connection');
	rabbitmqctl($rabbit, 'set_vm_memory_high_watermark', '0.4');
	ok(eventually('all settled', sub { unsettled() == 0 }), 'and goes on');
	my ($n, $ids) = taken();
	is($n, 11, 'without a duplicate');
	complete('and without a loss', $ids);
	is(stop($bridge), 0, 'clean stop');
}

# ---- kill -9 between publish and settle
reset_all();
{
	my $locker = $node->background_psql('postgres');
	my $bridge = start_bridge(@bridge, '--timeout', '30');

	ok(eventually('up', sub { metric($bridge, 'email_up') }), 'a bridge that is connected');
	kill 'STOP', $rabbit->{pid};
	enqueue($node, { count => 20 });
	ok(eventually('claimed', sub { claimed() == 20 }), 'twenty notifications are published');
	$locker->query_safe('BEGIN; LOCK TABLE auth_private.outbox IN EXCLUSIVE MODE');
	kill 'CONT', $rabbit->{pid};
	ok(eventually('settling', sub {
		sql(q{SELECT count(*) FROM pg_stat_activity WHERE usename = 'bridge'
			AND wait_event_type = 'Lock' AND query LIKE '%settle_notifications%'}) }),
		'confirmed, and their settlement waits');
	kill_hard($bridge);
	sql(q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'bridge'});
	$locker->query_safe('ROLLBACK');
	$locker->quit;
	is(unsettled(), '20', 'killed with -9: nothing is settled');
	sql('UPDATE auth_private.outbox SET due_at = now()');    # the lease ends
	is((run_bridge(@bridge, '--once'))[0], 0, 'another bridge');
	my ($n, $ids) = taken();
	is($n, 40, 'delivers them again');
	complete('under the same ids', $ids);
	is_deeply([ grep { $_ != 2 } values %$ids ], [], 'each twice');
}

# ---- the database is restarted under it
reset_all();
enqueue($node, { count => 4000 });
{
	my $bridge = start_bridge(@bridge, '--batch', '100');
	eventually('some delivered', sub { unsettled() < 3000 });
	$node->stop('immediate');
	$node->start;
	ok(eventually('noticed', sub { metric($bridge, 'source_failures_total') }), 'the database crashes under it');
	ok(eventually('all settled', sub { unsettled() == 0 }), 'it reconnects and goes on');
	enqueue($node, { recipient => 'after@example.org' });
	ok(eventually('all settled', sub { unsettled() == 0 }), 'and hears of what comes later');
	my ($n, $ids) = taken();
	complete('nothing is lost', $ids);
	is($n, 4001, 'and what was published before the crash is told after it, and not published again');
	$node->stop('fast');
	ok(eventually('noticed', sub { metric($bridge, 'source_failures_total') >= 2 }), 'the database is gone');
	is(stop($bridge), 0, 'SIGTERM then ends it too');
	$node->start;
}

# ---- SIGHUP
{
	my $conf = write_file("$rabbit->{dir}/bridge.conf", "to = $rabbit->{url}\n", 0600);
	my $bridge = start_bridge(@database, '--config', $conf, '--poll', '1');
	my $told = sub { my ($event) = @_; return scalar(() = slurp_file($bridge->{log}) =~ /event=$event\b/g); };

	reset_all();
	ok(eventually('up', sub { metric($bridge, 'email_up') }), 'a bridge with a configuration file');
	write_file($conf, "to = nonsense\n", 0600);
	kill 'HUP', $bridge->{pid};
	ok(eventually('refused', sub { $told->('reload_failed') }), 'SIGHUP with a wrong one is refused');
	enqueue($node, { recipient => 'old@example.org' });
	ok(eventually('settled', sub { unsettled() == 0 }), 'and it goes on with the old one');
	is((taken())[0], 1, 'to the old destination');
	write_file($conf, "to = file:$rabbit->{dir}/file\n");
	kill 'HUP', $bridge->{pid};
	ok(eventually('reloaded', sub { $told->('reloaded') }), 'SIGHUP with a right one');
	enqueue($node, { recipient => 'new@example.org' });
	ok(eventually('settled', sub { unsettled() == 0 }), 'takes effect');
	is((lines("$rabbit->{dir}/file"))[0]{recipient}, 'new@example.org', 'at the new destination');
	is(stop($bridge), 0, 'clean stop');
}

# ---- what is wrong with a broker
sub check_broker
{
	my ($what, $expected, $kind, $url, @arguments) = @_;
	my ($status, undef, $log) = run_bridge(@database, '--to', $url, @arguments, '--check');

	is($status, $expected, $what);
	like($log, $expected ? qr/check_failed end=amqps?:\S+ kind=$kind/ : qr/check_ok end=amqp/, '  and the log says why');
	unlike($log, qr/geheim|secret/, '  without the password');
	return;
}
my $tls_url = "amqps://bridge:secret\@localhost:$rabbit->{tls_port}";
my @trust = ('--ca-file', "$rabbit->{tls}/ca.crt");
check_broker('a broker that is as it should be', 0, '', $rabbit->{url});
check_broker('a refused login', 4, 'login', "amqp://bridge:geheim\@127.0.0.1:$rabbit->{port}");
check_broker('a virtual host that is not there', 4, 'login', "$rabbit->{url}/nowhere");
check_broker('a broker that is not there', 3, 'unreachable', 'amqp://127.0.0.1:' . free_port());
{
	# It accepts, and says nothing.
	my $silent = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die $!;
	my $port = $silent->sockport;

	check_broker('a broker that hangs', 3, 'unreachable', "amqp://bridge:geheim\@127.0.0.1:$port", '--timeout', '1');
	check_broker('and one that hangs before TLS', 3, 'unreachable', "amqps://bridge:geheim\@127.0.0.1:$port", '--timeout', '1');
}
check_broker("a heartbeat of '$_'", 2, 'usage', "$rabbit->{url}/?heartbeat=$_") foreach qw(often 10s -1 3601);
check_broker('an exchange of another type', 9, 'topology', "$rabbit->{url}/?exchange=amq.direct");
check_broker('an exchange that is to be there', 9, 'topology', "$rabbit->{url}/?exchange=mine&declare=no");
check_broker('amqps', 0, '', $tls_url, @trust);
check_broker('a certificate that nobody trusts', 5, 'tls', $tls_url);
check_broker('the certificate of another host', 5, 'tls',
	"amqps://bridge:secret\@localhost.localdomain:$rabbit->{tls_port}", @trust)
  if gethostbyname('localhost.localdomain');
check_broker('amqps to a port without TLS', 5, 'tls', "amqps://bridge:secret\@localhost:$rabbit->{port}", @trust);
reset_all();
enqueue($node, { recipient => 'tls@example.org' });
is((run_bridge(@database, '--to', $tls_url, @trust, '--once'))[0], 0, 'a message over TLS');
is((taken())[0], 1, 'arrives');

# ---- events for applications, on an exchange of their own
{
	my @events = (@bridge, '--events', "$rabbit->{url}/?queue=events&dead_letter=", '--once');
	my ($address, $other) = ('told@example.org', 'told.anew@example.org');

	# What the broker has of them, as "kind key..."; and each message.
	my $told = sub {
		is((run_bridge(@events))[0], 0, '  the bridge has delivered it');
		my @messages = map { decode_json($_) } rabbit($rabbit, 'take', 'events');
		return ([ sort map { join ' ', $_->{routing_key}, sort keys %{ body_of($_)->{payload} } } @messages ], @messages);
	};

	reset_all();
	sql(q{ALTER SYSTEM SET auth_session.events =
		'user_created, user_confirmed, user_changed, user_banned, user_deleted, session_started, session_ended'});
	sql('SELECT pg_reload_conf()');
	ok(eventually('on', sub { sql('SHOW auth_session.events') =~ /user_banned/ }), 'events are switched on');
	sql('TRUNCATE auth_private.outbox');
	my $user = sql(q{SELECT id FROM auth_admin.users WHERE email = 'hang@example.org'});

	sql(q{SELECT auth.signin('hang@example.org', 'correct horse 9')});
	my ($kinds, @messages) = $told->();
	is_deeply($kinds, ['session_started session_id'], 'a sign-in is one event, that says which session');
	is("$messages[0]{exchange} $messages[0]{routing_key}", 'auth_session.events session_started', 'on the exchange for events');
	my $body = body_of($messages[0]);
	is($body->{user_id}, $user, 'that says whose');
	is($body->{recipient}, '', 'to nobody');
	is($messages[0]{message_id}, sql(q{SELECT id FROM auth_private.outbox WHERE channel = 'event'}), "its message-id is the row's id");
	is_deeply([ map { decode_json($_)->{routing_key} } rabbit($rabbit, 'take', 'app') ], ['new_signin'],
		'the notice goes its own way');
	is(unsettled(), 0, 'both are settled');
	sql(q{SELECT auth_admin.revoke_sessions(id) FROM auth_admin.users WHERE email = 'hang@example.org'});
	is_deeply(($told->())[0], ['session_ended'], 'the end of all sessions is one');

	# The life of an account. What an event says nothing of: passwords,
	# addresses, reasons.
	$user = sql("SELECT id FROM auth.signup('$address', 'correct horse 9')");
	my @life = (
		[ 'user_created', q{SELECT 1} ],
		[ 'user_changed', qq{BEGIN; SELECT auth.authenticate((auth.signin('$address', 'correct horse 9')).access_token);
			UPDATE auth_private.outbox SET settled_at = now() WHERE kind = 'session_started';
			SELECT auth.update_info('{"nickname": "geheim"}'); COMMIT} ],
		[ 'user_changed', "SELECT auth_admin.set_email('$user', '$other')" ],
		[ 'user_changed', qq{SELECT auth_admin.set_app('$user', '{"plan": "geheim"}')} ],
		[ 'user_banned', "SELECT auth_admin.ban('$user', reason => 'geheim')" ],
		[ 'user_changed', "SELECT auth_admin.unban('$user')" ],
		[ 'user_deleted', "SELECT auth_admin.delete_user('$user')" ]);
	foreach my $step (@life)
	{
		my ($kind, $statement) = @$step;

		sql("BEGIN; $statement; ROLLBACK") unless $statement =~ /BEGIN/ || $kind eq 'user_created';
		is(sql(qq{SELECT count(*) FROM auth_private.outbox WHERE channel = 'event' AND settled_at IS NULL
			AND kind <> 'user_created'}), 0, "$kind: what is rolled back tells nobody");
		sql($statement);
		my ($said, @one) = $told->();
		is_deeply([ grep { !/^session_ended/ } @$said ], [$kind], "  what is committed is one event");
		my ($message) = grep { $_->{routing_key} eq $kind } @one;
		is(body_of($message)->{user_id}, $user, '  of that user');
		is($message->{message_id}, sql("SELECT id FROM auth_private.outbox WHERE channel = 'event' AND kind = '$kind' ORDER BY id DESC LIMIT 1"),
			"  whose id is the row's");
		unlike($_->{body}, qr/geheim|horse|told|\@/, '  and it says no more') foreach @one;
	}
	is(sql(qq{SELECT string_agg(kind, ' ' ORDER BY id) FROM auth_private.outbox
		WHERE channel = 'event' AND user_id = '$user' AND kind LIKE 'user%'}),
		join(' ', map { $_->[0] } @life), 'each once, and in their order');

	# One transaction with what it tells of.
	$user = sql("SELECT id FROM auth.signup('$address', 'correct horse 9')");
	my ($same) = split /\n/, sql(qq{BEGIN; SELECT auth_admin.ban('$user');
		SELECT (SELECT xmin::text FROM auth_private.accounts WHERE id = '$user') IN
			(SELECT xmin::text FROM auth_private.outbox WHERE user_id = '$user' AND kind = 'user_banned'); COMMIT}) =~ s/^\n//r;
	is($same, 't', 'an event is of the transaction of its change');
	$told->();

	# An account that never was anything to anybody.
	sql(q{ALTER SYSTEM RESET auth_session.require_confirmation; SELECT pg_reload_conf()});
	ok(eventually('reloaded', sub { sql('SHOW auth_session.require_confirmation') eq 'all' }), 'sign-ups are to be confirmed');
	$user = sql(q{SELECT id FROM auth.signup('never@example.org', 'correct horse 9')});
	sql(qq{UPDATE auth_private.codes SET created_at = created_at - interval '100 d', code_expires_at = now() - interval '99 d',
		link_expires_at = now() - interval '99 d' WHERE user_id = '$user';
		UPDATE auth_private.accounts SET created_at = now() - interval '100 d' WHERE id = '$user'});
	eventually('pruned', sub { sql('SELECT auth_admin.prune()') == 0 });
	is(sql("SELECT count(*) FROM auth_admin.users WHERE id = '$user'"), 0, 'a sign-up that nobody confirmed is pruned');
	is_deeply(($told->())[0], [], 'and applications, which never heard of it, do not now');

	rabbit($rabbit, 'delete', 'events');
	sql('ALTER SYSTEM RESET auth_session.events; SELECT pg_reload_conf()');
	reset_all();
}

# ---- metrics, as node_exporter's textfile collector reads them
{
	my $bridge = start_bridge(@bridge);

	ok(eventually('metrics', sub { metric($bridge, 'source_up') }), 'metrics in a file');
	my $text = slurp_file($bridge->{metrics});
	like($text, qr/^# TYPE auth_session_bridge_delivered_total counter$/m, 'with types');
	is_deeply([ grep { !/^(# (HELP|TYPE) .*|auth_session_bridge_[a-z_]+ \d+)$/ } split /\n/, $text ], [],
		'in the text format of Prometheus');
	is(stop($bridge), 0, 'clean stop');
}

done_testing();
