# Percentiles against those of the sorted values: a program of its own, no server.

use strict;
use warnings;

use File::Temp;
use FindBin;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $dir = File::Temp->newdir();
my $program = "$dir/histogram";
my @command = (split(' ', $ENV{CC} // 'gcc'), '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror',
	"-I$root/src", '-o', $program, "$root/test/unit/histogram.c",
	"$root/src/metrics/histogram.c", '-lm');

system(@command) == 0 or BAIL_OUT("cannot compile: @command");
foreach my $line (split /\n/, `$program`)
{
	if ($line =~ /^(not )?ok \d+ - (.*)/) { ok(!defined $1, $2); }
	elsif ($line =~ /^# (.*)/) { note($1); }
}
is($?, 0, 'the program ends well');
done_testing();
