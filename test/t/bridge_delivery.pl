# How mails are delivered by servers that hang, drop, defer, refuse and restart:
# none is lost, and one comes twice only where the answer to it was lost. The
# server is scripted (test/lib/peers/mail_script.py); psql can show none of
# this.
use strict;
use warnings;
use Bridge;
use List::Util qw(sum0);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = cluster('delivery');
my $server = start_mail_script();
my @database = ('--database', $node->connstr('postgres') . ' user=bridge');
my @sender = ('--from', 'no-reply@example.org', '--poll', '1');

sub sql { return $node->safe_psql('postgres', $_[0]); }
sub records { my ($peer, $name) = @_; return lines("$peer->{dir}/$name"); }
sub to { my ($peer) = @_; return ('--to', "smtp://127.0.0.1:$peer->{port}"); }

sub open_rows
{
	return sql('SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NULL AND parked_at IS NULL');
}

# A fresh outbox, and a server without a past.
sub fresh
{
	sql('TRUNCATE auth_private.outbox');
	return start_mail_script(@_);
}

# ---- a thousand mails
{
	# The bridge rests, up to half a minute, after each answer that does not come:
	# as few of these as show what becomes of them.
	my %kinds = (
		good => 663, slow200 => 100, refuse => 60, spam => 30, defer2 => 60, later1 => 60,
		busy => 10, break => 5, cut => 4, lost => 5, hang => 3);
	my $total = 0;
	my (%copies, %rcpts, %unanswered, %table);

	foreach my $kind (sort keys %kinds)
	{
		enqueue($node, { recipient => "$kind-%\@example.org", count => $kinds{$kind} });
		$total += $kinds{$kind};
	}
	my $bridge = start_bridge(@database, to($server), @sender, '--connections', '16', '--dot-timeout', '5', '--lease', '3600');
	ok(eventually('half', sub { open_rows() < $total * 0.6 }), "$total mails on their way");
	is(stop($server, 'USR1'), 0, 'a crash of the server');
	ok(eventually('noticed', sub { metric($bridge, 'sink_failures_total') > 0 }), '  is noticed');
	$server = start_mail_script($server);
	ok(eventually('done', sub {
		# The pauses need not be sat out here, but their order is kept: the server
		# is tried with what has failed least. Leases end later.
		sql('UPDATE auth_private.outbox SET due_at = now() + least(attempts, 9) * interval $$1 second$$
			WHERE parked_at IS NULL AND settled_at IS NULL
			AND due_at BETWEEN now() + $$10 seconds$$ AND now() + $$45 minutes$$');
		return open_rows() == 0; }), '  and once it is up again each mail has its end');
	is(stop($bridge), 0, 'clean stop');

	my %ids = map { split /\|/ } split /\n/, sql('SELECT id, recipient FROM auth_private.outbox');
	$copies{ $_->{to} }++ foreach records($server, 'mails');
	$unanswered{ $_->{to} }++ foreach records($server, 'unanswered');
	$rcpts{ $_->{to} }++ foreach records($server, 'rcpts');
	# Whole or not when the server crashed, the bridge cannot know.
	my %in_doubt = map { $ids{$_} => 1 } slurp_file($bridge->{log}) =~ /event=deferred id=(\S+) .*no answer to the mail/g;
	my %parked = map { $_ => 1 } split /\n/, sql('SELECT recipient FROM auth_admin.parked_notifications');
	foreach my $address (values %ids)
	{
		my ($kind) = $address =~ /^([a-z]+)/;
		my $n = $copies{$address} // 0;
		my $fate = $parked{$address} ? 'parked' : $n == 0 ? 'lost' : $n == 1 ? 'once' : $n == 2 ? 'twice' : 'more';

		$table{$_}{$fate}++ foreach $kind, 'all';
		$table{$_}{asked}++ foreach $kind, 'all';
	}
	note(sprintf '%-8s %6s %6s %6s %6s %6s %6s', 'kind', qw(asked once twice more parked lost));
	note(sprintf '%-8s %6d %6d %6d %6d %6d %6d', $_, map { $_ // 0 } @{ $table{$_} }{qw(asked once twice more parked lost)})
	  foreach sort keys %table;
	cmp_ok(scalar(keys %unanswered), '>=', $kinds{lost} + $kinds{hang}, 'the server kept some answers to itself');
	is($table{all}{lost} // 0, 0, 'lost: none');
	is(sum0(values %copies) - keys(%copies), sum0(values %unanswered), 'twice: as many as never had their answer');
	is_deeply([ grep { !$parked{$_} && ($copies{$_} // 0) != 1 + ($unanswered{$_} // 0) } values %ids ], [],
		'  and those: one copy for each answer that was lost, besides its own');
	is_deeply([ sort grep { !/^(refuse|spam)/ } keys %parked ], [], 'parked: only what was refused for good');
	is(sql(q{SELECT count(*) FROM auth_private.outbox WHERE attempts <> 1 AND recipient = ANY (string_to_array('}
		  . join(',', grep { /^(good|slow|busy|break|refuse|spam)/ && !$in_doubt{$_} } values %ids) . q{', ','))}),
		0, "a try: what the server said of the mail, and not what was the server's own fault");
	is(sql(q{SELECT count(*) FROM auth_private.outbox WHERE attempts < 2 AND recipient = ANY (string_to_array('}
		  . join(',', keys %unanswered) . q{', ','))}), 0, '  and an answer that did not come');
	is(sql(q{SELECT string_agg(DISTINCT split_part(recipient, '-', 1) || ' ' || substring(error FROM 'answers (...)'), ', ')
		FROM auth_admin.parked_notifications}), 'refuse 550, spam 554', 'each with what was said to it');
	is($table{all}{parked}, $kinds{refuse} + $kinds{spam}, 'and all of that');
	is_deeply([ grep { /^refuse/ && $rcpts{$_} != 1 } keys %rcpts ], [], 'an address that is refused is asked for once');
}

# ---- at once
{
	my $peer = fresh();

	enqueue($node, { recipient => 'slow300-%@example.org', count => 32 });
	is((run_bridge(@database, to($peer), @sender, '--connections', '8', '--once'))[0], 0, 'slow answers, eight connections');
	my ($most) = sort { $b <=> $a } map { $_->{at_once} } records($peer, 'mails');
	is($most, 8, 'eight mails wait for theirs at once');
	is(scalar(() = records($peer, 'mails')), 32, 'and each is mailed once');
}

# ---- it claims what it can deliver soon
{
	my $peer = fresh();

	enqueue($node, { recipient => 'slow300-%@example.org', count => 200 });
	my $bridge = start_bridge(@database, to($peer), @sender, '--connections', '2', '--drain', '0');
	ok(eventually('some mailed', sub { scalar(() = records($peer, 'mails')) >= 8 }), 'a slow server');
	cmp_ok(sql('SELECT count(*) FROM auth_private.outbox WHERE attempts > 0 AND settled_at IS NULL'), '<=', 20,
		'has a few seconds\' worth of a backlog claimed for it');
	is(stop($bridge), 0, 'clean stop');
}

# ---- what a server does not take for long is another bridge's
{
	my $peer = fresh();
	my $other = start_mail_script();

	enqueue($node, { recipient => 'slow300-%@example.org', count => 40 });
	my $bridge = start_bridge(@database, to($peer), @sender, '--connections', '4', '--lease', '3600');
	ok(eventually('claimed', sub { sql('SELECT count(*) FROM auth_private.outbox WHERE attempts > 0') >= 8 }), 'a server at work');
	kill_hard($peer);
	ok(eventually('given back', sub { slurp_file($bridge->{log}) =~ /event=given_back/ }), 'is gone for long: what it was to have is given back');
	run_bridge(@database, to($other), @sender, '--once');
	is(sql('SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NULL AND error IS NULL'), 0, 'and another bridge has it, long before the lease ends');
	is(stop($bridge), 0, 'clean stop');
	stop($other);
}

# ---- a few bad ones keep nobody back; codes before notices
{
	my $peer = fresh();

	enqueue($node, { recipient => 'defer99-%@example.org', count => 12 });
	enqueue($node, { recipient => 'slow20-%@example.org', count => 200 });
	sql(q{SELECT auth.signup('good-code@example.org', 'correct horse 9')});
	my $bridge = start_bridge(@database, to($peer), @sender);
	ok(eventually('delivered', sub { scalar(() = records($peer, 'mails')) == 201 }), 'two hundred good mails behind a dozen bad ones');
	cmp_ok(sql('SELECT max(attempts) FROM auth_private.outbox WHERE settled_at IS NULL'), '<=', 2,
		'are delivered while the bad ones have had a try or two');
	my @order = map { $_->{to} } records($peer, 'mails');
	my ($place) = grep { $order[$_] eq 'good-code@example.org' } 0 .. $#order;
	cmp_ok($place, '<', 50, 'and the code, written last, is among the first');
	is(stop($bridge), 0, 'clean stop');
}

# ---- one at which connections break stands in nobody's way
{
	my $peer = fresh();

	enqueue($node, { recipient => 'break99@example.org' }, { recipient => 'good-%@example.org', count => 3 });
	my $bridge = start_bridge(@database, to($peer), @sender, '--connections', '1');
	ok(eventually('mailed', sub { scalar(() = records($peer, 'mails')) == 3 }), 'three good mails behind one at which the connection breaks are delivered');
	is(stop($bridge), 0, 'clean stop');
}

# ---- a refused recipient does not cost the connection
foreach my $pipelining ([], ['--no-pipelining'])
{
	my $peer = fresh(@$pipelining);
	my $what = @$pipelining ? 'without pipelining' : 'with pipelining';

	enqueue($node, { recipient => 'refuse-%@example.org', count => 5 }, { recipient => 'spam-%@example.org', count => 5 },
		{ recipient => 'good-%@example.org', count => 5 });
	is((run_bridge(@database, to($peer), @sender, '--connections', '1', '--once'))[0], 8, "refusals $what");
	is_deeply([ map { $_->{number} } records($peer, 'rcpts') ], [ 1 .. 15 ], 'come over one connection');
	is(scalar(() = records($peer, 'mails')), 5, 'and the good ones are mailed');
}

# ---- greylisting: the database spaces the tries, past half an hour
{
	my $peer = fresh();
	my $waited = 0;

	enqueue($node, { recipient => 'defer5-grey@example.org' });
	for my $try (1 .. 5)
	{
		is((run_bridge(@database, to($peer), @sender, '--once'))[0], 8, "greylisted, try $try");
		$waited += sql('SELECT extract(epoch FROM due_at - now()) FROM auth_private.outbox');
		sql('UPDATE auth_private.outbox SET due_at = now()');
	}
	cmp_ok($waited, '>', 30 * 60, 'five tries take longer than half an hour');
	is((run_bridge(@database, to($peer), @sender, '--once'))[0], 0, 'and the sixth is taken');
	is(scalar(() = records($peer, 'rcpts')), 6, 'having asked no more often than that');
}

# ---- the server's fault is nobody's
foreach my $fault (qw(reject close))
{
	my $peer = fresh();

	write_file("$peer->{dir}/$fault", '');
	enqueue($node, { recipient => 'good-%@example.org', count => 20 });
	my $bridge = start_bridge(@database, to($peer), @sender);
	ok(eventually('rests', sub { metric($bridge, 'sink_failures_total') >= 3 }), "$fault: the server rests");
	unlink "$peer->{dir}/$fault";
	ok(eventually('done', sub { open_rows() == 0 }), '  and when it works again, all is mailed');
	is(sql('SELECT max(attempts) || coalesce(max(error), $$$$) FROM auth_private.outbox'), '1', '  without a try that was wasted');
	is(stop($bridge), 0, '  clean stop');
}

# ---- a stop reaches a mail that waits for its answer
foreach my $kind (qw(good hang))
{
	my $peer = fresh();

	my $bridge = start_bridge(@database, to($peer), @sender, '--drain', '1', '--connections', '4');
	enqueue($node, { recipient => 'good@example.org' });
	ok(eventually('up', sub { open_rows() == 0 }), 'a server that works');
	sql('TRUNCATE auth_private.outbox');
	write_file("$peer->{dir}/mute", '') if $kind eq 'good';
	enqueue($node, { recipient => "$kind-%\@example.org", count => 10 });
	ok(eventually('claimed', sub { sql('SELECT count(*) FROM auth_private.outbox WHERE attempts > 0') >= 4 }),
		$kind eq 'good' ? '  and then says nothing' : '  and then never answers a mail');
	eventually('mailed', sub { scalar(() = records($peer, 'mails')) >= 5 }) if $kind eq 'hang';
	# Without that it would wait for five or ten minutes.
	is(stop($bridge), 0, '  a stop does not wait for it');
	is(sql('SELECT max(attempts) || coalesce(max(error), $$$$) || bool_and(due_at <= now()) FROM auth_private.outbox'),
		'0true', '  and gives everything back, at the cost of no try');
}

# ---- addresses beyond ASCII
{
	my $peer = fresh();
	my @far = ('--from', 'Exämple Gesellschaft für sehr lange Namen von Unternehmen <no-reply@exämple.org>');
	my @cyrillic = map { utf8::decode(my $s = $_); $s } 'jürgen';

	enqueue($node, { recipient => 'jürgen@bücher.example' });
	enqueue($node, { recipient => 'ascii@bücher.example' });
	is((run_bridge(@database, to($peer), @far, '--once'))[0], 0, 'international addresses');
	my %mails = map { $_->{to} => $_ } records($peer, 'mails');
	is_deeply([ sort keys %mails ], [ 'ascii@xn--bcher-kva.example', "$cyrillic[0]\@xn--bcher-kva.example" ],
		'domains are A-labels on the wire');
	is($mails{'ascii@xn--bcher-kva.example'}{mail}, 'MAIL FROM:<no-reply@xn--exmple-cua.org>', "the sender's too");
	is($mails{"$cyrillic[0]\@xn--bcher-kva.example"}{mail}, 'MAIL FROM:<no-reply@xn--exmple-cua.org> SMTPUTF8',
		'a local part beyond ASCII asks for SMTPUTF8');
	my $mail = $mails{'ascii@xn--bcher-kva.example'};
	is($mail->{ehlo}, 'xn--exmple-cua.org', 'EHLO is ASCII');
	like($mail->{data}, qr/^Message-ID: <[0-9a-f-]{36}\@xn--exmple-cua\.org>\r?$/m, 'and Message-ID');
	like($mail->{data}, qr/^To: ascii\@xn--bcher-kva\.example\r?$/m, 'and To');
	like($mail->{data}, qr/^Subject: New sign-in [ -~]*app\.example\.org\r?$/m, 'an ASCII subject stays ASCII');
	unlike($mail->{data}, qr/[^\x00-\x7f]/, 'nothing of it is beyond ASCII');
	my ($head) = split /\r?\n\r?\n/, $mail->{data};
	is_deeply([ grep { length > 76 } split /\r?\n/, $head ], [], 'no line of the header is longer than 76 columns');
	enqueue($node, { recipient => 'long@example.org', kind => 'confirm_email', payload => '{"locale": "de", "code": "1"}' });
	is((run_bridge(@database, to($peer), @far, '--site-name', 'Büchergilde der Freundinnen und Freunde schöner Einbände',
		'--envelope-from', '', '--ehlo', 'mail.example.org', '--once'))[0], 0, 'a long subject');
	$mail = (records($peer, 'mails'))[-1];
	is($mail->{mail}, 'MAIL FROM:<>', '--envelope-from: bounces to nowhere');
	is($mail->{ehlo}, 'mail.example.org', '--ehlo');
	($head) = split /\r?\n\r?\n/, $mail->{data};
	is_deeply([ grep { length > 76 } split /\r?\n/, $head ], [], 'its encoded words fill lines of 76 columns at most');
	like($head, qr/^Subject: =\?UTF-8\?B\?\S+\?=\r?\n =\?UTF-8\?B\?/m, 'and it has more than one');

	my $before = () = records($peer, 'rcpts');
	write_file("$peer->{dir}/noutf8", '');
	enqueue($node, { recipient => 'jürgen@bücher.example' });
	is((run_bridge(@database, to($peer), @far, '--once'))[0], 8, 'a server without SMTPUTF8');
	is(scalar(() = records($peer, 'rcpts')), $before, 'is not even asked');
	like(sql('SELECT error FROM auth_admin.parked_notifications'), qr/^permanent: \S+ has no SMTPUTF8 for this address$/, 'and the row parked');
	enqueue($node, { recipient => 'ascii@bücher.example' });
	is((run_bridge(@database, to($peer), @far, '--once'))[0], 0, 'an address whose domain alone is international needs none');
}

done_testing();
