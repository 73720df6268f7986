# Mails as a real mail server gets them: aiosmtpd with STARTTLS and AUTH.
# psql cannot show what leaves the database.
use strict;
use warnings;
use Bridge;
use Encode qw(decode);
use File::Temp qw(tempdir);
use MIME::Base64 qw(decode_base64);
use MIME::QuotedPrint qw(decode_qp);
use PostgreSQL::Test::Utils;
use Test::More;

my $node = cluster('mail');
my $database = $node->connstr('postgres') . ' user=bridge';
my $tls = certificates();
my $server = start_mail_server();
my @common = (
	'--database', $database, '--from', 'Exämple Inc <no-reply@example.org>',
	'--log-level', 'debug', '--timeout', '3', '--mail-timeout', '3', '--dot-timeout', '3',
	'--lease', '6');
my @bridge = (@common, '--to', "smtp://127.0.0.1:$server->{port}");

# Headers (unfolded) and body of a mail as it came over the wire.
sub parse
{
	my ($text) = @_;
	my ($head, $body) = split /\r?\n\r?\n/, $text, 2;
	my %headers;

	$head =~ s/\r?\n[ \t]+/ /g;
	foreach my $line (split /\r?\n/, $head)
	{
		my ($name, $value) = split /:\s*/, $line, 2;
		push @{ $headers{ lc $name } }, $value;
	}
	return (\%headers, $body);
}

# The parts of a multipart mail, by type, decoded.
sub parts
{
	my ($headers, $body) = @_;
	my ($boundary) = $headers->{'content-type'}[0] =~ /boundary="?([^";]+)/;
	my %parts;

	foreach my $part (split /\r?\n?--\Q$boundary\E(?:--)?\r?\n/, $body)
	{
		my ($h, $b) = parse($part);
		next unless $h->{'content-type'};
		my ($type) = $h->{'content-type'}[0] =~ /^([^;]+)/;
		$parts{$type} = decode('UTF-8', decode_qp($b));
		$parts{$type} =~ s/\r\n/\n/g;
	}
	return \%parts;
}

# RFC 2047
sub unword
{
	my ($text) = @_;

	$text =~ s/\?= =\?/?==?/g;
	$text =~ s/=\?UTF-8\?B\?([^?]*)\?=/decode_base64($1)/ge;
	return decode('UTF-8', $text);
}

sub mails { return lines("$server->{dir}/mails"); }

# What the database says of a recipient: settled, or the error.
sub fate
{
	my ($recipient) = @_;

	$recipient =~ s/'/''/g;
	return $node->safe_psql('postgres', qq{
		SELECT coalesce(error, CASE WHEN settled_at IS NOT NULL
			THEN 'settled' ELSE 'open' END)
		FROM auth_private.outbox WHERE recipient = E'$recipient'});
}

# ---- a confirmation
enqueue($node,
	{
		kind => 'confirm_email',
		recipient => 'ada@example.org',
		payload => '{"code": "012345", "link_token": "abc-_~&<x>", "locale": "de-AT"}'
	});
my $id = $node->safe_psql('postgres', 'SELECT id FROM auth_private.outbox');
my ($status, $out, $log) = run_bridge(@bridge, '--once');
is($status, 0, 'a mail is delivered');
my ($mail) = mails();
is($mail->{from}, 'no-reply@example.org', 'its envelope sender');
is_deeply($mail->{to}, ['ada@example.org'], 'its envelope recipient');
my ($headers, $body) = parse($mail->{data});
is(unword($headers->{subject}[0]), "Best\x{e4}tigen Sie Ihre E-Mail-Adresse f\x{fc}r app.example.org",
	'the subject, in the locale of the payload');
is(unword($headers->{from}[0]), "Ex\x{e4}mple Inc <no-reply\@example.org>", 'From');
is($headers->{to}[0], 'ada@example.org', 'To');
is($headers->{'message-id'}[0], "<$id\@example.org>", "Message-ID is the row's id");
is($headers->{'auto-submitted'}[0], 'auto-generated', 'Auto-Submitted (RFC 3834)');
is(lc $headers->{'mime-version'}[0], '1.0', 'MIME-Version');
like($headers->{date}[0], qr/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}$/, 'Date (RFC 5322)');
like($headers->{'content-type'}[0], qr{^multipart/alternative}, 'text and HTML as alternatives');
is_deeply([ grep { @{ $headers->{$_} } != 1 } keys %$headers ], [], 'no header twice');
like($mail->{data}, qr/--\r?\n\z/, 'no line behind the last (RFC 5321, section 4.1.1.4: the dot stands on its own)');
my $parts = parts($headers, $body);
like($parts->{'text/plain'}, qr/^    012345$/m, 'the code in the text');
like($parts->{'text/plain'}, qr{^    https://app\.example\.org/auth/confirm_email\?token=abc-_~%26%3Cx%3E$}m,
	'the link in the text: host from auth_session.site_url, token escaped');
like($parts->{'text/html'}, qr/<strong>012345<\/strong>/, 'the code in the HTML');
like($parts->{'text/html'}, qr{<a href="https://app\.example\.org/auth/confirm_email\?token=abc-_~%26%3Cx%3E">},
	'the link in the HTML');
is(fate('ada@example.org'), 'settled', 'the row is settled');
unlike($log, qr/012345|abc-_|ada\@/, 'no code, token or address in the log');
like($log, qr/event=delivered id=$id kind=confirm_email to=a\*\*\*\@example\.org/, 'but the id');

# ---- C10: the host comes from the setting only; the payload can't change it
enqueue($node,
	{
		kind => 'password_reset',
		recipient => 'host@example.org',
		payload => '{"link_token": "t", "site_url": "https://evil.example.com", "link": "https://evil.example.com", "site": "evil", "host": "evil", "locale": "../../etc/passwd"}'
	});
is((run_bridge(@bridge, '--once'))[0], 0, 'a payload that wants another host');
unlike((mails())[-1]{data}, qr/evil/, 'C10: the payload cannot choose the host of a link');
like(parts(parse((mails())[-1]{data}))->{'text/plain'}, qr{https://app\.example\.org/auth/password_reset\?token=t},
	'C10: auth_session.site_url does');

# ---- G6, B13: hostile values
enqueue($node,
	{
		recipient => 'html@example.org',
		payload => '{"ip": "10.0.0.1", "user_agent": "<script>alert(\"1\")</script> & {{code}}\r\n.\r\nSubject: x\u2028y"}'
	});
is((run_bridge(@bridge, '--once'))[0], 0, 'a user agent of markup and line breaks');
$parts = parts(parse((mails())[-1]{data}));
like($parts->{'text/html'}, qr/&lt;script&gt;alert\(&quot;1&quot;\)&lt;\/script&gt; &amp; \{\{code\}\}/,
	'is escaped in HTML');
like($parts->{'text/plain'}, qr/^Device: <script>.*\{\{code\}\}  \.  Subject: x y$/m,
	'its line breaks are spaces in the text');

foreach my $bad ("cr\@example.org\r\nRCPT TO:<x\@example.org>", "lf\@example.org\nx",
	"a\@b\@example.org", 'no-at', '<x@example.org>', 'two@example.org,x@example.org',
	'sp ace@example.org', "nel\x{85}\@example.org", '@example.org', 'x@', '')
{
	utf8::encode(my $bytes = $bad);
	my $before = () = mails();
	enqueue($node, { recipient => $bytes });
	($status, undef, $log) = run_bridge(@bridge, '--once');
	(my $shown = $bad) =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
	is($status, 8, "recipient '$shown' is refused");
	is(scalar(() = mails()), $before, '  and nothing is mailed');
	like($node->safe_psql('postgres', 'SELECT error FROM auth_private.outbox WHERE settled_at IS NULL'),
		qr/^permanent: the recipient is not a mail address$/, '  for good');
	like($log, qr/event=refused .*to=\(invalid\)/, '  and logged without it');
	$node->safe_psql('postgres', 'UPDATE auth_private.outbox SET settled_at = now() WHERE settled_at IS NULL');
}
enqueue($node, { recipient => 'jürgen@example.org' });
is((run_bridge(@bridge, '--once'))[0], 0, 'an address beyond ASCII (RFC 6531)');
is((mails())[-1]{to}[0], decode('UTF-8', 'jürgen@example.org'), 'is mailed as it stands');
my @templates = ('--templates', tempdir(CLEANUP => 1));
mkdir "$templates[1]/en";
write_file("$templates[1]/en/new_signin.tmpl",
	"# ours\n%% subject\nFrom {{user_agent}}\n%% text\nLine\n.\n..two\n{{^ip}}no address{{/ip}}\n");
enqueue($node, { recipient => 'header@example.org', payload => '{"user_agent": "x\r\nBcc: y@example.org"}' });
is((run_bridge(@bridge, @templates, '--once'))[0], 8, 'a value with CR/LF in a header');
like(fate('header@example.org'), qr/^permanent: .*"user_agent" would break the subject/, 'is refused');

# ---- a template of one's own
enqueue($node, { recipient => 'own@example.org', payload => '{"user_agent": "Fürefox <1>"}' });
is((run_bridge(@bridge, @templates, '--once'))[0], 0, 'a template of the directory');
($headers, $body) = parse((mails())[-1]{data});
is(unword($headers->{subject}[0]), "From F\x{fc}refox <1>", 'its subject, without HTML escapes');
like($headers->{'content-type'}[0] . $body, qr{text/plain}, 'without HTML there is one part');
like(decode_qp($body), qr/Line\r?\n\.\r?\n\.\.two\r?\nno address/, 'dots at the start of a line survive');
enqueue($node, { kind => 'never_heard_of', recipient => 'kind@example.org' });
is((run_bridge(@bridge, '--once'))[0], 8, 'a kind without template');
is(fate('kind@example.org'), 'permanent: missing template: no locale has one for never_heard_of', 'is refused');
$node->safe_psql('postgres', 'TRUNCATE auth_private.outbox');
enqueue($node, {}, map { { kind => $_ % 2 ? 'none_of_ours' : 'nor_this_one' } } 1 .. 40);
is((run_bridge(@bridge, '--once'))[0], 8, 'many that are refused at once');
is($node->safe_psql('postgres', q{SELECT count(*) FROM auth_private.outbox WHERE error = 'permanent: missing template: no locale has one for ' || kind}), 40,
	'keep each the error of its own');
enqueue($node, { channel => 'sms', recipient => '+491701234567' });
is((run_bridge(@bridge, '--once'))[0], 8, 'an SMS for a mail server');
like(fate('+491701234567'), qr/^permanent: the recipient is not a mail address/, 'is refused');
$node->safe_psql('postgres', 'TRUNCATE auth_private.outbox');
enqueue($node, map { { kind => $_, recipient => "$_\@example.org" } }
	qw(confirm_email confirm_phone account_exists new_signin password_reset signin_code password_changed
	email_change email_changed phone_changed session_revoked mfa_changed invitation api_key_created));
my $before = () = mails();
is((run_bridge(@bridge, '--once'))[0], 0, 'every kind, without any member in the payload');
is(scalar(() = mails()), $before + 14, 'has a mail');
unlike(join('', map { $_->{data} } mails()), qr/\{\{[#^\/]/, 'and none shows a placeholder of its template');

# ---- what the server says
enqueue($node, map { { recipient => "$_\@example.org" } } qw(refuse spam greylist));
($status, undef, $log) = run_bridge(@bridge, '--once', '--connections', '1');
is(fate('refuse@example.org'), "permanent: smtp://127.0.0.1:$server->{port} answers 550 5.1.1 to RCPT TO",
	'550 to a recipient is permanent');
is(fate('spam@example.org'), "permanent: smtp://127.0.0.1:$server->{port} answers 554 5.7.1 to DATA",
	'554 to the mail is permanent');
is(fate('greylist@example.org'), "temporary: smtp://127.0.0.1:$server->{port} answers 451 4.7.1 to RCPT TO",
	'451 is not');
unlike($log, qr/no refuse/, "the server's words, which have the address, are not logged");
enqueue($node, map { { recipient => "$_\@example.org" } } qw(break good1 good2));
{
	my $bridge = start_bridge(@bridge, '--poll', '1', '--connections', '1');
	ok(eventually('it breaks', sub { fate('break@example.org') =~ /^temporary: .*: no answer to the mail/ }),
		'a mail at which the connection breaks is released');
	ok(eventually('the others arrive', sub {
		fate('good1@example.org') eq 'settled' && fate('good2@example.org') eq 'settled' }),
		'one that breaks connections does not stand in the way of the others');
	is(stop($bridge), 0, 'SIGTERM ends it with status 0');
}
$node->safe_psql('postgres', 'TRUNCATE auth_private.outbox');

# ---- an outage costs nobody a try
write_file("$server->{dir}/sender", '');
enqueue($node, { recipient => 'later@example.org' });
{
	my $bridge = start_bridge(@bridge, '--poll', '1', '--lease', '60');
	ok(eventually('it fails', sub { metric($bridge, 'sink_failures_total') >= 2 }),
		'a server that refuses our sender');
	is($node->safe_psql('postgres', 'SELECT attempts FROM auth_private.outbox'), '1',
		'costs the row its claim and no more');
	unlink "$server->{dir}/sender";
	ok(eventually('it arrives', sub { fate('later@example.org') eq 'settled' }),
		'and when it takes us again, the mail goes out under the same claim');

	write_file("$server->{dir}/hang", '');
	enqueue($node, { recipient => 'hang@example.org' });
	ok(eventually('it times out', sub { metric($bridge, 'deferred_total') >= 1 }), 'a server that hangs after DATA times out');
	unlink "$server->{dir}/hang";
	ok(eventually('it arrives', sub { fate('hang@example.org') ne 'open' && mails() && 1 }), 'and the row is released');
	is(stop($bridge), 0, 'clean stop');
	my $cpu = slurp_file($bridge->{log});
	unlike($cpu, qr/level=error/, 'no error in its log');
}
$node->safe_psql('postgres', 'TRUNCATE auth_private.outbox');

# ---- the connection to the database breaks as it is told of a mail
write_file("$server->{dir}/hang", '');
enqueue($node, { recipient => 'told@example.org' });
{
	my $bridge = start_bridge(@bridge, '--mail-timeout', '120', '--dot-timeout', '120', '--lease', '900');
	ok(eventually('claimed', sub { $node->safe_psql('postgres', 'SELECT attempts FROM auth_private.outbox') }), 'a mail is on its way');
	my $lock = $node->background_psql('postgres');
	$lock->query_safe('BEGIN');
	$lock->query_safe('SELECT FROM auth_private.outbox FOR UPDATE');
	my $before = () = mails();
	unlink "$server->{dir}/hang";
	ok(eventually('telling', sub { $node->safe_psql('postgres',
		q{SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'bridge' AND wait_event_type = 'Lock'}) }),
		'whose bridge loses the database as it tells');
	$lock->query_safe('ROLLBACK');
	$lock->quit;
	ok(eventually('settled', sub { fate('told@example.org') eq 'settled' }), 'tells again, long before the lease ends');
	is(scalar(() = mails()), $before + 1, 'and has mailed it once');
	is(stop($bridge), 0, 'clean stop');
}
$node->safe_psql('postgres', 'TRUNCATE auth_private.outbox');

# ---- TLS and login
sub check_peer
{
	my ($what, $expected, $kind, @arguments) = @_;
	my ($status, undef, $log) = run_bridge(@common, @arguments, '--check');

	is($status, $expected, $what);
	like($log, $expected ? qr/check_failed end=smtp\S+ kind=$kind/ : qr/check_ok end=smtp/, '  and the log says why');
	unlike($log, qr/geheim/, '  without the password');
	return;
}
my $starttls = start_mail_server('--tls', "$tls/server.crt", "$tls/server.key", '--login', 'me', 'geheim');
my $url = "smtp://me:geheim\@localhost:$starttls->{port}/?starttls=required";
my @trust = ('--ca-file', "$tls/ca.crt");
check_peer('STARTTLS and login', 0, '', '--to', $url, @trust);
check_peer('a certificate that nobody trusts', 5, 'tls', '--to', $url);
check_peer('unless told not to look', 0, '', '--to', $url, '--insecure-tls');
(my $wrong = $url) =~ s/geheim/geheim2/;
check_peer('a refused login', 4, 'login', '--to', $wrong, @trust);
check_peer('STARTTLS that is not offered', 5, 'tls', '--to', "smtp://127.0.0.1:$server->{port}/?starttls=required");
enqueue($node, { recipient => 'tls@example.org' });
is((run_bridge(@common, '--to', $url, @trust, '--once'))[0], 0, 'a mail over STARTTLS');
my ($secured) = lines("$starttls->{dir}/mails");
ok($secured->{tls} && $secured->{login}, 'is encrypted and logged in');
# curl knows by itself that a name below localhost is this machine; to the
# bridge it is a host like any other.
check_peer('a server on the network that offers no STARTTLS', 5, 'tls', '--to', "smtp://mail.localhost:$server->{port}");
check_peer('unless TLS is only to be tried', 0, '', '--to', "smtp://mail.localhost:$server->{port}/?starttls=try");
{
	my $tried = start_mail_server('--tls', "$tls/server.crt", "$tls/server.key");

	enqueue($node, { recipient => 'try@example.org' });
	is((run_bridge(@common, '--to', "smtp://localhost:$tried->{port}/?starttls=try", @trust, '--once'))[0], 0, 'STARTTLS that is tried');
	ok((lines("$tried->{dir}/mails"))[0]{tls}, 'is taken where it is offered');
	my $good = start_mail_server('--implicit', '--tls', "$tls/server.crt", "$tls/server.key");
	enqueue($node, { recipient => 'smtps@example.org' });
	is((run_bridge(@common, '--to', "smtps://localhost:$good->{port}", @trust, '--once'))[0], 0, 'a mail over smtps');
	is((lines("$good->{dir}/mails"))[0]{to}[0], 'smtps@example.org', 'arrives');
	local @ENV{qw(all_proxy ALL_PROXY)} = ('socks5h://127.0.0.1:' . free_port()) x 2;
	enqueue($node, { recipient => 'direct@example.org' });
	is((run_bridge(@bridge, '--once'))[0], 0, 'a proxy of the environment gets no mail');
}
my $smtps = start_mail_server('--implicit', '--tls', "$tls/other.crt", "$tls/other.key");
check_peer('smtps with the certificate of another host', 5, 'tls', '--to', "smtps://localhost:$smtps->{port}", @trust);
check_peer('a server that is not there', 3, 'unreachable', '--to', 'smtp://127.0.0.1:' . free_port());

done_testing();
