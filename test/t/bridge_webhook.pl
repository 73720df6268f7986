# Webhooks, signed as Standard Webhooks says; the signature is computed here
# by another library. psql cannot show what leaves the database.
use strict;
use warnings;
use Bridge;
use Digest::SHA qw(hmac_sha256);
use File::Temp qw(tempdir);
use JSON::PP;
use MIME::Base64 qw(encode_base64 decode_base64);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = cluster('webhook');
my $tls = certificates();
my $hook = start_web_hook('--tls', "$tls/server.crt", "$tls/server.key");
my $plain = start_web_hook();
my $dir = tempdir(CLEANUP => 1);
my @keys = map { encode_base64($_, '') } 'k' x 24, 'another key of 32 bytes, as many';
my $file = write_file("$dir/keys", "whsec_$keys[0]\n", 0600);
my @common = ('--database', $node->connstr('postgres') . ' user=bridge', '--webhook-secret-file', $file,
	'--timeout', '3', '--lease', '6', '--ca-file', "$tls/ca.crt");
my @bridge = (@common, '--to', "https://localhost:$hook->{port}/hooks/auth?x=1");

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub requests { return lines("$_[0]{dir}/requests"); }
sub unsettled { return sql('SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NULL'); }

sub signature
{
	my ($request, $key) = @_;
	my $h = $request->{headers};

	utf8::encode(my $body = $request->{body});
	return 'v1,' . encode_base64(
		hmac_sha256("$h->{'webhook-id'}.$h->{'webhook-timestamp'}.$body", decode_base64($key)), '');
}

# ---- the vector that the specification's own libraries test with is our
# helper's, so that the comparison below means something
is( signature(
		{
			headers => { 'webhook-id' => 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp' => '1614265330' },
			body => '{"test": 2432232314}'
		},
		'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'),
	'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
	'the published vector of Standard Webhooks');

# ---- a delivery
enqueue($node,
	{
		kind => 'confirm_phone',
		channel => 'sms',
		recipient => '+491701234567',
		payload => '{"code": "012345", "user_agent": "Zürich"}'
	});
my $id = sql('SELECT id FROM auth_private.outbox');
my ($status, undef, $log) = run_bridge(@bridge, '--once', '--log-level', 'debug');
is($status, 0, 'a notification is posted');
my ($request) = requests($hook);
my $body = JSON::PP->new->decode($request->{body});
is($request->{path}, '/hooks/auth?x=1', 'to the path of the URL');
is($request->{headers}{'content-type'}, 'application/json', 'as JSON');
is($request->{headers}{'webhook-id'}, $id, "webhook-id is the row's id");
cmp_ok(abs($request->{headers}{'webhook-timestamp'} - time), '<', 300, 'webhook-timestamp is now');
is($request->{headers}{'webhook-signature'}, signature($request, $keys[0]), 'webhook-signature');
is($body->{type}, 'confirm_phone', 'type is the kind');
like($body->{timestamp}, qr/^\d{4}-\d\d-\d\dT.*Z$/, 'timestamp');
is($body->{data}{id}, $id, 'data has the notification');
is($body->{data}{recipient}, '+491701234567', 'its recipient');
is($body->{data}{payload}{code}, '012345', 'its payload');
is($body->{data}{message}{sms}, '012345 is your confirmation code for app.example.org. Never tell anybody the code.',
	'and the text for an SMS');
is(unsettled(), 0, 'the row is settled');
unlike($log, qr/012345|4567|whsec|$keys[0]/, 'no code, number or key in the log');
like($log, qr/to=\+49\*\*\*67/, 'but a masked number');

# ---- whatever proxy the environment names
{
	local @ENV{qw(http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY)} = ('http://127.0.0.1:' . free_port()) x 5;
	enqueue($node, {});
	is((run_bridge(@common, '--to', "http://127.0.0.1:$plain->{port}/", '--once'))[0], 0, 'a proxy of the environment');
	is(scalar(() = requests($plain)), 1, 'gets no notification: the hook has it');
}

# ---- two keys, while they are being changed
write_file($file, "whsec_$keys[1]\n$keys[0]\n", 0600);
enqueue($node, {});
is((run_bridge(@bridge, '--once'))[0], 0, 'with two keys');
$request = (requests($hook))[-1];
is($request->{headers}{'webhook-signature'}, join(' ', map { signature($request, $_) } @keys[ 1, 0 ]),
	'there are two signatures');

# ---- C14: only E.164
foreach my $bad ('0170123', '+0170123', '+49 170 123', '+1234567890123456', "+49170123\r\n", '+', 'ada@example.org')
{
	my $before = () = requests($hook);
	enqueue($node, { channel => 'sms', recipient => $bad });
	is((run_bridge(@bridge, '--once'))[0], 8, "C14: an SMS to '" . ($bad =~ s/\s+$/\\r\\n/r) . "'");
	is(scalar(() = requests($hook)), $before, 'C14: is not sent');
	sql('TRUNCATE auth_private.outbox');
}

# ---- what the hook answers
# Whom an answer is about: the notification, or the hook, for all alike.
my %answers = (
	200 => '', 204 => '',
	400 => 'permanent', 413 => 'permanent', 422 => 'permanent',
	408 => 'temporary', 425 => 'temporary', 500 => 'temporary', 501 => 'temporary',
	map { $_ => 'hook' } 301, 302, 401, 403, 404, 405, 410, 429, 502, 503, 504);
foreach my $answer (sort keys %answers)
{
	my $before = () = requests($hook);
	write_file("$hook->{dir}/status", $answer);
	enqueue($node, { recipient => 'ada@example.org' });
	($status, undef, $log) = run_bridge(@bridge, '--once');
	my $said = sql(q{SELECT coalesce(error, CASE WHEN settled_at IS NULL THEN 'hook' ELSE '' END)
		FROM auth_private.outbox});
	is($said =~ /^(permanent|temporary): \S+ answers $answer$/ ? $1 : $said,
		$answers{$answer}, "$answer " . ($answers{$answer} ? "is $answers{$answer}" : 'settles'));
	like($log, qr/sink_failed .*answers $answer/, '  the destination rests, and the log says why')
	  if $answers{$answer} eq 'hook';
	is(scalar(() = requests($hook)), $before + 1, '  after one request');
	sql('TRUNCATE auth_private.outbox');
}

# ---- a permanent refusal is parked at once, seen, and released again
write_file("$hook->{dir}/status", 400);
enqueue($node, { recipient => 'parked@example.org' });
{
	my $bridge = start_bridge(@bridge, '--poll', '1');
	my $before = () = requests($hook);

	ok(eventually('parked', sub { sql('SELECT notifications_parked FROM auth_admin.stats') }), 'a permanent refusal parks');
	is(sql('SELECT attempts FROM auth_private.outbox'), '1', 'after one try');
	like(sql('SELECT error FROM auth_admin.parked_notifications WHERE recipient = $$parked@example.org$$'),
		qr/^permanent: .*answers 400$/, 'auth_admin.parked_notifications has it, with the error');
	write_file("$hook->{dir}/status", 200);
	sql('SELECT auth_admin.release_notifications(array_agg(id), NULL) FROM auth_admin.parked_notifications');
	ok(eventually('settled', sub { unsettled() == 0 }), 'released by an operator, it is delivered');
	is(sql('SELECT notifications_parked FROM auth_admin.stats'), '0', 'and nothing is parked');

	# ---- outage: the hook rests, the rows keep their tries
	sql('TRUNCATE auth_private.outbox');
	write_file("$hook->{dir}/status", 503);
	enqueue($node, { count => 30 });
	ok(eventually('down', sub { metric($bridge, 'sink_failures_total') >= 3 }), 'a hook that is not well');
	write_file("$hook->{dir}/status", 200);
	ok(eventually('settled', sub { unsettled() == 0 }), 'gets everything when it is');
	is(sql('SELECT max(attempts) FROM auth_private.outbox'), '1', 'and no notification paid for it with a try');
	is(stop($bridge), 0, 'clean stop');
}

# ---- it says when it wants to be asked again
sql('TRUNCATE auth_private.outbox');
write_file("$hook->{dir}/status", '429 retry=1800');
enqueue($node, {});
($status, undef, $log) = run_bridge(@bridge, '--once');
my ($rest) = $log =~ /sink_failed .*answers 429.* retry_ms=(\d+)/;
is($rest, 1_800_000, 'Retry-After is honoured');
write_file("$hook->{dir}/status", '503 retry=999999');
($status, undef, $log) = run_bridge(@bridge, '--once');
($rest) = $log =~ /sink_failed .*answers 503.* retry_ms=(\d+)/;
is($rest, 3_600_000, 'up to an hour');

# ---- the status is taken, whatever follows it
foreach my $how (qw(endless drip))
{
	my $before = () = requests($hook);

	sql('TRUNCATE auth_private.outbox');
	unlink "$hook->{dir}/sent";
	write_file("$hook->{dir}/status", "200 $how");
	enqueue($node, {});
	is((run_bridge(@bridge, '--once'))[0], 0, "200 with a body that does not end ($how) delivers");
	is(unsettled(), 0, '  and the row is settled');
	is(scalar(() = requests($hook)), $before + 1, '  after one request');
	ok(eventually('sent', sub { -s "$hook->{dir}/sent" }), '  whose answer was broken off');
	cmp_ok(slurp_file("$hook->{dir}/sent"), '<', 20_000_000, '  early');
}

# ---- deliveries at once
sql('TRUNCATE auth_private.outbox');
write_file("$hook->{dir}/status", '200 slow=300');
enqueue($node, { count => 32 });
is((run_bridge(@bridge, '--once', '--connections', '8'))[0], 0, 'a hook that takes its time');
is((sort { $b <=> $a } map { $_->{at_once} } requests($hook))[0], 8, 'has eight requests at once');

# ---- a hook that hangs
write_file("$hook->{dir}/status", 'hang');
sql('TRUNCATE auth_private.outbox');
enqueue($node, {});
is((run_bridge(@bridge, '--once'))[0], 3, 'a hook that hangs is unreachable');
is(sql('SELECT error IS NULL AND settled_at IS NULL FROM auth_private.outbox'), 't', 'and no row is blamed');
write_file("$hook->{dir}/status", 200);

# ---- two sinks: one that is down does not keep the other's back
sql('TRUNCATE auth_private.outbox');
enqueue($node, { channel => 'sms', recipient => '+4917012345%', count => 20 }, { count => 20 });
{
	my $port = free_port();
	my $bridge = start_bridge(@common, '--email', "file:$dir/mails", '--sms', "https://localhost:$port/", '--poll', '1');

	ok(eventually('mails', sub { scalar(() = lines("$dir/mails")) == 20 }), 'mails go out while the SMS gateway is down');
	is(unsettled(), 20, 'the SMS wait');
	ok(eventually('metrics', sub { metric($bridge, 'email_up') && !metric($bridge, 'sms_up') }), 'the metrics tell which');
	is(stop($bridge), 0, 'clean stop');
}

# ---- TLS
sub check_hook
{
	my ($what, $expected, $kind, $url, @arguments) = @_;
	my ($status, undef, $log) = run_bridge(@common[ 0 .. 7 ], '--to', $url, @arguments, '--check');

	is($status, $expected, $what);
	like($log, $expected ? qr/check_failed end=https?:\S+ kind=$kind/ : qr/check_ok end=http/, '  and the log says why');
	return;
}
my $url = "https://localhost:$hook->{port}/";
my $before = () = requests($hook);
check_hook('a hook', 0, '', $url, '--ca-file', "$tls/ca.crt");
is(scalar(() = requests($hook)), $before, '--check posts nothing');
check_hook('a certificate that nobody trusts', 5, 'tls', $url);
check_hook('unless told not to look', 0, '', $url, '--insecure-tls');
my $other = start_web_hook('--tls', "$tls/other.crt", "$tls/other.key");
check_hook('the certificate of another host', 5, 'tls', "https://localhost:$other->{port}/", '--ca-file', "$tls/ca.crt");
{
	# As lax as OpenSSL gets: it is the bridge that asks for more.
	my $old = start_web_hook('--old', '--tls', "$tls/server.crt", "$tls/server.key");
	local $ENV{OPENSSL_CONF} = write_file("$dir/openssl.cnf", <<'END');
openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = lax
[lax]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
END
	check_hook('a hook that knows TLS 1.1 at most', 5, 'tls', "https://localhost:$old->{port}/", '--ca-file', "$tls/ca.crt");
	my $said = '';
	IPC::Run::run([ 'openssl', 's_client', '-tls1_1', '-connect', "localhost:$old->{port}" ], '<', \'', '>&', \$said);
	like($said, qr/TLSv1\.1/, '  whom others would talk to');
}
check_hook('TLS to a port without', 5, 'tls', "https://localhost:$plain->{port}/");
check_hook('a hook that is not there', 3, 'unreachable', 'https://localhost:' . free_port() . '/');
check_hook('plain http on loopback', 0, '', "http://127.0.0.1:$plain->{port}/");
{
	local @ENV{qw(http_proxy all_proxy ALL_PROXY no_proxy NO_PROXY)} = (('http://127.0.0.1:' . free_port()) x 3, '', '');
	check_hook('no proxy of the environment sees it', 0, '', "http://127.0.0.1:$plain->{port}/");
}
check_hook('a trust store that is not there', 5, 'tls', $url, '--ca-file', '/nowhere');

done_testing();
