# Encodings of columns: round trips of random and adversarial values, damaged chunks, and the inputs that
# fuzzing has left. Programs of their own, no server.

use strict;
use warnings;

use File::Temp;
use FindBin;
use Test::More;

my $root = "$FindBin::RealBin/../..";
my $dir = File::Temp->newdir();

# Each line of a program's output that is a result becomes one here.
sub relay
{
	my ($name, $command) = @_;

	foreach my $line (split /\n/, `$command`)
	{
		if ($line =~ /^(not )?ok(?: \d+)? - (.*)/) { ok(!defined $1, "$name: $2"); }
		else { note($line); }
	}
	return is($?, 0, "$name ends well");
}

my @compile = (split(' ', $ENV{CC} // 'gcc'), '-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', "-I$root/src");
# What is out of memory is tried, too.
my @wrap = map { "-Wl,--wrap=$_" } 'malloc', 'calloc', 'realloc';

system("cd $dir && @compile -c " . join(' ', glob("$root/src/codec/*.c"))) == 0 or BAIL_OUT('cannot compile the codecs');
foreach my $name ('codec_numbers', 'codec_bytes', 'codec_memory')
{
	my @link = (@compile, '-o', "$dir/$name", "$root/test/unit/$name.c", glob("$dir/*.o"),
		$name eq 'codec_memory' ? @wrap : (), '-lzstd', '-lm');

	system(@link) == 0 or BAIL_OUT("cannot compile: @link");
	relay($name, "$dir/$name");
}
relay('fuzz', "$root/test/fuzz/replay.sh");
done_testing();
