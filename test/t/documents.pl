# What the documents lead to is there: files and headings that links name, files
# and targets of make that are told to be run, functions, tables and settings.
# Without a server: doc/reference.md and doc/settings.md have every name, which
# reference.pl proves.
use strict;
use warnings;
use File::Basename qw(dirname);
use PostgreSQL::Test::Utils;
use Test::More;

plan skip_all => 'no README.md here' unless -f 'README.md';

my @documents = ('README.md', 'CHANGELOG.md', 'examples/README.md', glob 'doc/*.md');
my $reference = slurp_file('doc/reference.md') . slurp_file('doc/settings.md');
my $makefiles = join '', map { slurp_file($_) } 'Makefile', glob('src/*/*.mk'), glob('test/*.mk test/*/*.mk');

# What looks like one of ours and is not: Supabase's tables, queues of the bridge,
# a name in two halves, what a script of the examples makes, a place to fill in.
my %other = map { $_ => 1 } qw(auth.users auth.identities auth.sig mail dead examples/container/passwords
	src/entry/NAME.c test/pgtap/NAME.sql);

# The text without blocks of code, where nothing is a link or a heading.
sub prose_of
{
	my ($document) = @_;
	return slurp_file($document) =~ s/^```.*?^```$//gmsr;
}

# The anchors that GitHub makes of headings: in small letters, without
# punctuation, spaces as hyphens, numbered where they come again.
sub anchors_of
{
	my ($document) = @_;
	my (%anchors, %times);

	foreach my $heading (prose_of($document) =~ /^#+ +(.*?) *$/mg)
	{
		my $anchor = lc($heading =~ s/\[([^]]*)\]\([^)]*\)/$1/gr) =~ s/[^\w -]//gr =~ tr/ /-/r;
		my $before = $times{$anchor}++;
		$anchors{ $before ? "$anchor-$before" : $anchor } = 1;
	}
	return \%anchors;
}

# Whether a link within the project has no such file or no such heading.
sub leads_nowhere
{
	my ($document, $link) = @_;
	return 0 if $link =~ /^\w+:/;

	my ($path, $anchor) = split /#/, $link, 2;
	my $target = $path eq '' ? $document : dirname($document) . "/$path";
	return 1 unless -e $target;
	return defined $anchor && $target =~ /\.md$/ && !anchors_of($target)->{$anchor};
}

foreach my $document (@documents)
{
	my $text = slurp_file($document);
	my @links = prose_of($document) =~ s/`[^`\n]*`//gr =~ /\]\(([^)\s]+)\)/g;

	is(join(' ', grep { leads_nowhere($document, $_) } @links), '', "every link of $document leads somewhere");
	is(join(' ', grep { !-e && !$other{$_} } $text =~ m{(?<![\w/.-])((?:test|examples|src|sql|doc)/[\w./-]*\w)(?=[`\s'",;)])}g),
		'', "every file that $document names is there");
	is(join(' ', grep { $makefiles !~ /^[\w .-]*(?<![\w-])\Q$_\E(?![\w-])[\w .-]*:/m } $text =~ /(?:`|^(?:sudo )?)make ([a-z][a-z-]+)/mg),
		'', "every target of make that $document names is there");

	# The changelog may name what is no more.
	next if $document eq 'CHANGELOG.md';
	is(join(' ', grep { $reference !~ /\b\Q$_\E\b/ && !$other{$_} } $text =~ /\b(auth(?:_admin|_private)?\.(?!example|html)[a-z]\w*)(?![\w.]|=|-)/g),
		'', "every function, type and table that $document names is there");
	is(join(' ', grep { $reference !~ /`\Q$_\E`/ && !$other{$_} } $text =~ /\bauth_session\.([a-z]\w*)/g),
		'', "every setting that $document names is there");
}

done_testing;
