# From the broker to the inbox: --consume takes messages off a real RabbitMQ
# and mails them, acknowledges after the 250, and sends poison to the
# dead-letter exchange. psql can show none of this.
use strict;
use warnings;
use Bridge;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = cluster('consume');
my $rabbit = start_rabbit();
my $server = start_mail_server();
my @relay = ('--database', $node->connstr('postgres') . ' user=bridge', '--to', $rabbit->{url}, '--once');
my @consume = ('--consume', $rabbit->{url}, '--to', "smtp://127.0.0.1:$server->{port}",
	'--from', 'no-reply@example.org', '--timeout', '5', '--mail-timeout', '5', '--dot-timeout', '5',
	'--retry', '1');
my $queue = 'auth_session.mail';
my $dead = 'auth_session.dead';

sub mails { return lines("$server->{dir}/mails"); }
sub count { return (rabbit($rabbit, 'count', $_[0]))[0]; }

# The text of a mail, without quoted-printable's soft line breaks.
sub text
{
	my ($mail) = @_;
	my $text = $mail->{data};

	$text =~ s/=\r?\n//g;
	$text =~ s/=3D/=/g;
	return $text;
}

# ---- the way of a mail
is((run_bridge(@consume, '--check'))[0], 0, '--check makes the queue');
is((run_bridge(@consume, '--once'))[0], 0, 'an empty queue is done at once');
$node->safe_psql('postgres', q{SELECT auth.signup('ada@example.org', 'correct horse 9')});
is((run_bridge(@relay))[0], 0, 'a sign-up is relayed to the broker');
is(count($queue), 1, 'and waits in the queue');
my ($status, undef, $log) = run_bridge(@consume, '--once', '--log-level', 'debug');
is($status, 0, 'the other bridge takes it');
my ($mail) = mails();
is_deeply($mail->{to}, ['ada@example.org'], 'it is mailed');
my ($code) = text($mail) =~ /^    (\d{6})\r?$/m;
ok($code, 'with the code');
like(text($mail), qr{https://app\.example\.org/auth/confirm_email\?token=[A-Za-z0-9_-]+}, 'and the link');
is($node->safe_psql('postgres', "SELECT status FROM auth.confirm('ada\@example.org', '$code', 'correct horse 9')"), 'active',
	'which confirms the account');
my $id = $node->safe_psql('postgres', q{SELECT id FROM auth_private.outbox WHERE kind = 'confirm_email'});
like($mail->{data}, qr/^Message-ID: <$id\@example\.org>\r?$/mi, "Message-ID is the outbox row's id");
is(count($queue), 0, 'the message is acknowledged');
unlike($log, qr/$code|ada\@/, 'no code or address in the log');

# ---- poison
my $good = decode_json('{"id":"", "kind":"new_signin", "channel":"email", "recipient":"", "created_at":"2026-11-24T07:00:00Z", "payload":{}}');
my $serial = 0;

sub message
{
	my (%more) = @_;

	return JSON::PP->new->canonical->encode(
		{
			%$good,
			id => sprintf('00000000-0000-4000-8000-%012d', ++$serial),
			recipient => "user$serial\@example.org",
			%more
		});
}
my %poison = (
	'not JSON' => [ '{"id": "x"', 'malformed JSON' ],
	'nothing' => [ '', 'malformed JSON' ],
	'bytes that are no UTF-8' => [ qq({"id": "\xff"}), 'malformed JSON' ],
	'a NUL in a string' => [ '{"id": "a\u0000b"}', 'malformed JSON' ],
	'deep nesting' => [ '[' x 30000, 'malformed JSON' ],
	'more than one value' => [ message() . message(), 'malformed JSON' ],
	'a name twice' => [ '{"id": 1, "id": 2}', 'malformed JSON' ],
	'another type' => [ '[1, 2]', 'not a JSON object' ],
	'no id' => [ message(id => undef), 'id is not a UUID' ],
	'an id that is none' => [ message(id => "x\ny"), 'id is not a UUID' ],
	'a kind that is a path' => [ message(kind => '../../x'), 'kind is not a word' ],
	'no recipient' => [ message(recipient => [1]), 'recipient is not a string' ],
	'no payload' => [ message(payload => 'x'), 'payload is not an object' ],
	'too long' => [ message(filler => 'x' x 70000), 'longer than 64 KiB' ],
	'another channel' => [ message(channel => 'pigeon'), 'no destination for channel pigeon' ],
	'a recipient with CR/LF' => [ message(recipient => "a\@b\r\nRCPT TO:<c\@d>"), 'not a mail address' ],
	'a kind without template' => [ message(kind => 'unheard_of'), 'missing template' ],
	'an address that the server refuses' => [ message(recipient => 'refuse@example.org'), '550 5.1.1' ],
);
my $before = () = mails();
foreach my $what (sort keys %poison)
{
	my ($body, $why) = @{ $poison{$what} };

	rabbit($rabbit, 'publish', $queue, $body);
	($status, undef, $log) = run_bridge(@consume, '--once');
	subtest "poison: $what" => sub {
		is($status, 8, 'is refused');
		like($log, qr/event=dead_lettered .*\Q$why\E/, 'with the reason');
		is(count($queue), 0, 'and does not stay');
		my ($buried) = map { decode_json($_) } rabbit($rabbit, 'take', $dead);
		is(length($buried->{body} // ''), length($body), 'it is in the dead-letter queue')
		  unless $what =~ /UTF-8/;
		like($buried->{headers}{'x-death'} // '', qr/rejected/, 'with its history');
	};
}
is(scalar(() = mails()), $before, 'none was mailed');

# ---- one more in the middle of good ones
rabbit($rabbit, 'publish', $queue, message());
rabbit($rabbit, 'publish', $queue, 'poison');
rabbit($rabbit, 'publish', $queue, message());
is((run_bridge(@consume, '--once'))[0], 8, 'poison among good messages');
is(scalar(() = mails()), $before + 2, 'does not keep them back');
rabbit($rabbit, 'take', $dead);

# ---- later is later: the retry queue hands it back
rabbit($rabbit, 'publish', $queue, message(recipient => 'once@example.org'));
is((run_bridge(@consume, '--once'))[0], 8, 'a recipient that is refused for now');
ok(eventually('back', sub { count($queue) == 1 }), 'is put off, and comes back');
is((run_bridge(@consume, '--once'))[0], 0, 'to be tried again');
is((mails())[-1]{to}[0], 'once@example.org', 'and is mailed with the next try');
rabbit($rabbit, 'publish', $queue, message(recipient => 'greylist@example.org'));
is((run_bridge(@consume, '--once', '--tries', '2'))[0], 8, 'one that is refused every time');
ok(eventually('back', sub { count($queue) == 1 }), 'comes back too');
is((run_bridge(@consume, '--once', '--tries', '2'))[0], 8, 'is refused again');
is(count($dead), 1, 'and buried after the tries');
rabbit($rabbit, 'take', $dead);

# ---- a retry queue that takes no more
rabbit($rabbit, 'delete', "$queue.retry.1");
rabbit($rabbit, 'full', "$queue.retry.1");
rabbit($rabbit, 'publish', $queue, message(recipient => 'greylist@example.org'));
{
	my @arguments = @consume;

	$arguments[1] .= '/?declare=no';
	($status, undef, $log) = run_bridge(@arguments, '--once');
	is($status, 3, 'a retry queue that is full');
	like($log, qr/broker_failed .*a retry queue does not take more/, 'is said to be');
	is(count($queue), 1, 'and the message is where it was');
	rabbit($rabbit, 'delete', "$queue.retry.1");
	rabbit($rabbit, 'delete', $queue);
	is((run_bridge(@consume, '--check'))[0], 0, 'declared again');
}

# ---- a link is http or https, whatever the message says
rabbit($rabbit, 'publish', $queue, message(kind => 'password_reset', site_url => $_, payload => { code => '123456', link_token => 'abc' }))
	foreach 'javascript:alert(1)//', "https://app.example.org\n", 'https://app.example.org';
$before = () = mails();
is((run_bridge(@consume, '--once'))[0], 0, 'messages that say where a link leads');
is_deeply([ sort map { scalar(() = text($_) =~ /token=abc/g) > 0 ? 'link' : 'none' } (mails())[ $before .. $before + 2 ] ], [qw(link none none)],
	'have one if that is a site');

# ---- a code that died on the way
{
	my %payload = (code => '012345', link_token => 'abc', link_expires_at => '2001-01-01T00:00:00+00:00');

	rabbit($rabbit, 'publish', $queue, message(kind => 'confirm_email', payload => { %payload, code_expires_at => '2001-01-01T00:00:00Z' }));
	$before = () = mails();
	is((run_bridge(@consume, '--once'))[0], 0, 'a code and a link that are dead');
	is(scalar(() = mails()), $before, 'are not mailed');
	is(count($queue) + count($dead), 0, 'and dropped');
	rabbit($rabbit, 'publish', $queue, message(kind => 'confirm_email',
		payload => { %payload, code_expires_at => '2001-01-01T00:00:00Z', link_expires_at => '2999-01-01T00:00:00.5+02:00' }));
	is((run_bridge(@consume, '--once'))[0], 0, 'a dead code with a link that lives');
	unlike(text((mails())[-1]), qr/012345/, 'the code is not mailed');
	like(text((mails())[-1]), qr/^Subject: Confirm your email address/m, 'but the mail is');
}

# ---- a duplicate
my $twice = message();
rabbit($rabbit, 'publish', $queue, $twice) for 1, 2;
$before = () = mails();
is((run_bridge(@consume, '--once'))[0], 0, 'the same id twice');
is(scalar(() = mails()), $before + 1, 'is mailed once');
is(count($queue), 0, 'and acknowledged twice');

# ---- not acknowledged before the 250
rabbit($rabbit, 'publish', $queue, my $kept = message());
write_file("$server->{dir}/hang", '');
{
	my $bridge = start_bridge(@consume);

	ok(eventually('taken', sub { metric($bridge, 'claimed_total') == 1 }), 'a message on its way to a mail server that hangs');
	kill_hard($bridge);
	ok(eventually('back', sub { count($queue) == 1 }), 'killed with -9: it is back in the queue');
	unlink "$server->{dir}/hang";
}

# ---- nor is a duplicate of what is still on its way
run_bridge(@consume, '--once');
write_file("$server->{dir}/hang", '');
rabbit($rabbit, 'publish', $queue, $_) for ($kept = message()) x 2, message();
{
	my $bridge = start_bridge(@consume);

	ok(eventually('taken', sub { metric($bridge, 'held') == 2 }), 'a message, its duplicate and another, of which two are on their way');
	kill_hard($bridge);
	ok(eventually('back', sub { count($queue) == 3 }), 'killed: all three are back');
	unlink "$server->{dir}/hang";
}

# ---- no more of the queue is taken than can be on its way
run_bridge(@consume, '--once');
enqueue($node, { recipient => 'many%@example.org', count => 200 });
is((run_bridge(@relay))[0], 0, 'two hundred messages');
write_file("$server->{dir}/hang", '');
{
	my $bridge = start_bridge(@consume, '--connections', '1');

	ok(eventually('taken', sub { metric($bridge, 'claimed_total') >= 64 }), 'while a mail server hangs');
	is(count($queue), 136, 'the queue keeps the rest, for others');
	kill_hard($bridge);
	unlink "$server->{dir}/hang";
	ok(eventually('back', sub { count($queue) == 200 }), 'killed: all are back');
	$before = () = mails();
	is((run_bridge(@consume, '--once'))[0], 0, 'and all are mailed');
	my %to = map { $_->{to}[0] => 1 } (mails())[ $before .. $before + 199 ];
	is(scalar(keys %to), 200, 'to each');
}

# ---- what comes back is not taken for a duplicate
{
	my $bridge = start_bridge(@consume);

	rabbit($rabbit, 'publish', $queue, message(recipient => 'once.more@example.org'));
	ok(eventually('mailed', sub { grep { $_->{to}[0] eq 'once.more@example.org' } mails() }), 'one bridge puts off and mails');
	ok(eventually('acknowledged', sub { metric($bridge, 'settled_total') >= 2 }), 'and acknowledges both');
	is(stop($bridge), 0, 'clean stop');
}

# ---- outages of the mail server and of the broker
{
	my $bridge = start_bridge(@consume);
	$before = () = mails();
	rabbit($rabbit, 'publish', $queue, message());
	ok(eventually('mailed', sub { scalar(() = mails()) == $before + 1 }), 'a bridge at work');
	write_file("$server->{dir}/sender", '');
	rabbit($rabbit, 'publish', $queue, message()) for 1 .. 5;
	ok(eventually('failed', sub { metric($bridge, 'sink_failures_total') >= 2 }), 'the mail server refuses us for a while');
	unlink "$server->{dir}/sender";
	$before = () = mails();
	ok(eventually('mailed', sub { mails() == $before + 5 || scalar(() = mails()) == $before + 5 }), 'everything is mailed afterwards');
	is(metric($bridge, 'dead_lettered_total'), 0, 'and nothing buried');
	stop_rabbit($rabbit);
	ok(eventually('noticed', sub { metric($bridge, 'source_failures_total') >= 2 }), 'the broker is stopped');
	start_rabbit($rabbit);
	$before = () = mails();
	rabbit($rabbit, 'publish', $queue, message());
	ok(eventually('mailed', sub { scalar(() = mails()) == $before + 1 }), 'and started: the bridge goes on');
	rabbit($rabbit, 'delete', $queue);
	ok(eventually('noticed', sub { slurp_file($bridge->{log}) =~ /queue \\"\Q$queue\E\\" is gone/ }), 'its queue is deleted');
	ok(eventually('made', sub { eval { count($queue); 1 } }), 'and made again');
	is(stop($bridge), 0, 'SIGTERM ends it with status 0');
}

# ---- what is wrong with a queue
{
	my $other = $rabbit->{url} . '/?queue=app';

	rabbit($rabbit, 'declare', 'app');
	my @arguments = @consume;
	$arguments[1] = $other;
	($status, undef, $log) = run_bridge(@arguments, '--check');
	is($status, 9, 'a queue of that name without the dead-letter exchange');
	like($log, qr/kind=topology .*queue \\"app\\"/, 'is not silently taken');
	$arguments[1] = "$other&declare=no";
	is((run_bridge(@arguments, '--check'))[0], 9, 'nor without its retry queue');
	rabbit($rabbit, 'declare', 'app.retry.1');
	is((run_bridge(@arguments, '--check'))[0], 0, 'unless it is said to be as it should be');
	$arguments[1] = "$rabbit->{url}/?queue=none&declare=no";
	is((run_bridge(@arguments, '--check'))[0], 9, 'a queue that is to be there and is not');
}

done_testing();
