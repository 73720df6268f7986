# The bridge's unit, as it is installed: systemd reads it without a complaint,
# and finds it as closed as the sample says. It is not started: that takes a
# machine of systemd's.
use strict;
use warnings;
use File::Temp qw(tempdir);
use PostgreSQL::Test::Utils;
use Test::More;

my ($analyze) = grep { -x } map { "$_/systemd-analyze" } split(/:/, $ENV{PATH}), '/usr/bin';
plan skip_all => 'systemd is not installed' unless $analyze;

my ($bindir) = run_command([ 'pg_config', '--bindir' ]);
my ($stage, $inside) = $bindir =~ m{^(.*?)(/usr/lib/postgresql/.*)$};
my ($installed) = grep { -f } map { ($stage // '') . "$_/systemd/system/auth-session-bridge.service" } qw(/usr/lib /lib /usr/local/lib /etc);
plan skip_all => 'no unit is installed beside the server' unless $installed;

my $dir = tempdir(CLEANUP => 1);
my $text = slurp_file($installed);
my ($program) = $text =~ /^ExecStart=(\S+)/m;

ok(-x "$stage$program", 'the program that the unit starts is installed');
# Of what every Debian has: verify looks at no other program than the first.
my ($reload) = $text =~ /^ExecReload=(\S+)/m;
like($reload, qr{^/bin/sh$}, 'a reload takes no more than a shell');
$text =~ s/^ExecStart=\Q$program\E/ExecStart=$stage$program/m;
append_to_file("$dir/auth-session-bridge.service", $text);

sub analyze
{
	my (@arguments) = @_;
	my $out = '';
	my $is_ok = IPC::Run::run([ $analyze, '--no-pager', @arguments, "$dir/auth-session-bridge.service" ], '<', \undef, '>&', \$out);

	return ($is_ok, $out);
}

my ($is_sound, $said) = analyze('--man=no', 'verify');
ok($is_sound, 'systemd-analyze verify') or diag($said);
is($said =~ s/^(?!.*auth-session-bridge).*\n//mgr, '', 'has nothing to say of it');
# In tenths of what systemd calls its exposure: 10 would take a service that
# reaches no network.
my ($is_closed, $table) = analyze('--offline=true', '--threshold=15', 'security');
ok($is_closed, 'systemd-analyze security: 1.5 at the most') or diag($table);
foreach my $closed (qw(NoNewPrivileges CapabilityBoundingSet=~CAP_SYS_ADMIN ProtectSystem ProtectHome MemoryDenyWriteExecute SystemCallFilter=~@privileged))
{
	like($table, qr/^✓ \Q$closed\E/m, "$closed is set");
}

# The threshold is near: a unit with less is found open.
$text =~ s/^(?:SystemCallFilter|ProtectSystem|CapabilityBoundingSet)=.*\n//mg;
unlink "$dir/auth-session-bridge.service";
append_to_file("$dir/auth-session-bridge.service", $text);
($is_closed) = analyze('--offline=true', '--threshold=15', 'security');
ok(!$is_closed, 'without its restrictions it is found open');

done_testing;
