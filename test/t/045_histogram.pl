# Percentiles, windows of time and texts without constants: programs of their own, no server.

use strict;
use warnings;

use File::Temp;
use FindBin;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $dir = File::Temp->newdir();
my $config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my $server = `$config --includedir-server`);

sub run_program
{
	my ($name, @sources) = @_;
	my $program = "$dir/$name";
	my @command = (split(' ', $ENV{CC} // 'gcc'), '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror',
		'-Wno-unused-parameter', "-I$root/src", '-isystem', $server, '-o', $program, "$root/test/unit/$name.c",
		(map { "$root/src/metrics/$_.c" } @sources), '-lm', '-pthread');

	system(@command) == 0 or BAIL_OUT("cannot compile: @command");
	foreach my $line (split /\n/, `$program`)
	{
		if ($line =~ /^(not )?ok \d+ - (.*)/) { ok(!defined $1, "$name: $2"); }
		elsif ($line =~ /^# (.*)/) { note($1); }
	}
	return is($?, 0, "$name ends well");
}

run_program('histogram', 'histogram');
run_program('windows', 'windows', 'histogram');
run_program('normalize', 'normalize');
done_testing();
