# End to end with a real mail transfer agent: Exim of Debian takes the mails
# and delivers them into a maildir. It runs as whoever runs the test, in a
# directory and on a port of its own. psql can show none of this.
use strict;
use warnings;
use Bridge;
use File::Temp qw(tempdir);
use PostgreSQL::Test::Utils;
use Test::More;

my $exim = '/usr/sbin/exim4';
plan skip_all => 'exim4 is not installed' unless -x $exim;

my $node = cluster('mta');
my @common = ('--database', $node->connstr('postgres') . ' user=bridge', '--from', 'Exämple <no-reply@exämple.org>', '--once');

sub sql { return $node->safe_psql('postgres', $_[0]); }

# An Exim that takes mail for anybody but refused@..., with SMTPUTF8 or without.
sub start_exim
{
	my ($utf8) = @_;
	my $user = getpwuid $<;
	my $group = getgrgid $( + 0;
	my $mta = { dir => tempdir(CLEANUP => 1), port => free_port() };
	my $dir = $mta->{dir};

	mkdir "$dir/$_" or die $! foreach qw(spool log mail);
	write_file("$dir/conf", <<"END", 0644);
exim_user = $user
exim_group = $group
never_users =
keep_environment =
spool_directory = $dir/spool
log_file_path = $dir/log/%slog
pid_file_path = $dir/pid
local_interfaces = <; [127.0.0.1]:$mta->{port}
primary_hostname = mta.example.org
tls_advertise_hosts =
smtputf8_advertise_hosts = $utf8
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = recipient
begin acl
recipient:
  deny local_parts = refused
       message = nobody of that name
  accept
begin routers
everybody:
  driver = accept
  transport = maildir
begin transports
maildir:
  driver = appendfile
  directory = $dir/mail
  maildir_format
  create_directory
  user = $user
  group = $group
  envelope_to_add
begin retry
* * F,1h,1s
END
	$mta->{pid} = Bridge::spawn('exim', "$dir/out", {}, $exim, '-C', "$dir/conf", '-bdf', '-q1m');
	eventually('exim listens', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$mta->{port}") }, 20)
	  or die slurp_file("$dir/out");
	return $mta;
}

sub to { return ('--to', "smtp://127.0.0.1:$_[0]{port}"); }
sub mails { return map { scalar slurp_file($_) } glob "$_[0]{dir}/mail/new/*"; }

# ---- fifty mails, one of them to a domain and one to a mailbox beyond ASCII
{
	my $mta = start_exim('*');
	my %copies;

	enqueue($node, { recipient => 'user%@example.org', count => 47 }, { recipient => 'ascii@bücher.example' },
		{ recipient => 'jürgen@bücher.example' }, { recipient => 'refused@example.org' });
	sql(q{SELECT auth.signup('ada@example.org', 'correct horse 9', info => '{"locale": "de"}')});
	is((run_bridge(@common, to($mta), '--connections', '4'))[0], 8, 'fifty mails and one that is refused');
	is(sql('SELECT count(*) FROM auth_private.outbox WHERE settled_at IS NOT NULL'), 50, 'fifty are accepted');
	like(sql(q{SELECT recipient || ' ' || error FROM auth_admin.parked_notifications}),
		qr/\Arefused\@example\.org permanent: \S+ answers 550 to RCPT TO\z/, 'one is parked, with what was said');
	ok(eventually('delivered', sub { scalar(() = mails($mta)) >= 50 }), 'all of them are delivered');
	is(stop($mta), 0, 'the server ends');
	foreach my $mail (mails($mta))
	{
		$copies{$1}++ if $mail =~ /^Envelope-to: (\S+)$/m;
	}
	is_deeply(\%copies,
		{ map { $_ => 1 } (map { "user$_\@example.org" } 1 .. 47), 'ada@example.org', 'ascii@xn--bcher-kva.example', 'jürgen@xn--bcher-kva.example' },
		'each once, to whom it is for');
	# Exim goes on to say so of what follows in the same connection.
	is_deeply([ grep { /^Envelope-to: jürgen/m && !/^\s+by mta\.example\.org with utf8/m } mails($mta) ], [],
		'that one needs SMTPUTF8 is said');
	my %ids = map { /^Message-I[Dd]: <(\S+)\@/m ? ($1 => 1) : () } mails($mta);
	is_deeply([ sort keys %ids ], [ split /\n/, sql('SELECT id FROM auth_private.outbox WHERE settled_at IS NOT NULL ORDER BY id::text') ],
		'whose Message-ID is its id');
	my ($signup) = grep { /^Envelope-to: ada\@/m } mails($mta);
	my ($code) = $signup =~ /^    (\d{6})$/m;
	is(sql("SELECT status FROM auth.confirm('ada\@example.org', '$code', 'correct horse 9')"), 'active', 'and whose code confirms');
}

# ---- a server without SMTPUTF8
{
	my $mta = start_exim('');

	sql('TRUNCATE auth_private.outbox');
	enqueue($node, { recipient => 'ascii@bücher.example' }, { recipient => 'jürgen@bücher.example' });
	is((run_bridge(@common, to($mta)))[0], 8, 'a server without SMTPUTF8');
	is(sql(q{SELECT string_agg(recipient || CASE WHEN settled_at IS NULL THEN ' parked' ELSE ' accepted' END, ', ' ORDER BY recipient)
		FROM auth_private.outbox}), 'ascii@bücher.example accepted, jürgen@bücher.example parked',
		'gets what is for a domain beyond ASCII, and not what is for such a mailbox');
	ok(eventually('delivered', sub { scalar(() = mails($mta)) == 1 }), 'and delivers it');
	is(stop($mta), 0, 'the server ends');
}

done_testing();
