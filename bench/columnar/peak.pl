#!/usr/bin/perl
# What the processes below one have used: peak.pl PID FILE watches the children of PID until it gets a
# SIGTERM, and then writes for each a line to FILE: microseconds of processor time, most kB of memory
# of its own (RssAnon) and in all (VmHWM, shared memory included), its title.
use strict;
use warnings;

my ($parent, $file) = @ARGV;
my $stop = 0;
my %seen;
$SIG{TERM} = sub { $stop = 1 };

sub content
{
	my ($path) = @_;
	open(my $in, '<', $path) or return '';
	local $/;
	my $content = <$in>;
	return defined $content ? $content : '';
}

# A process that is ending is no longer in a state to say anything.
sub look
{
	for my $pid (split ' ', content("/proc/$parent/task/$parent/children"))
	{
		my $status = content("/proc/$pid/status");
		my ($anon) = $status =~ /^RssAnon:\s+(\d+)/m or next;
		my ($peak) = $status =~ /^VmHWM:\s+(\d+)/m;
		my ($ran) = content("/proc/$pid/schedstat") =~ /^(\d+)/ or next;
		my $process = $seen{$pid} //= { first => $ran, anon => 0 };
		$process->{ran} = $ran;
		$process->{peak} = $peak;
		$process->{anon} = $anon if $anon > $process->{anon};
		my $title = content("/proc/$pid/cmdline");
		$process->{title} = $title =~ s/[\0\n]+/ /gr if $title ne '';
	}
}

# Those that are there in the beginning have had a past; the others have not.
look();
$seen{$_}{past} = $seen{$_}{first} for keys %seen;
$| = 1;
print "ready\n";
until ($stop)
{
	look();
	select(undef, undef, undef, 0.02);
}
open(my $out, '>', $file) or die "$file: $!\n";
for my $process (values %seen)
{
	printf $out "%d %d %d %s\n", ($process->{ran} - ($process->{past} // 0)) / 1000, $process->{anon}, $process->{peak}, $process->{title} // '';
}
close($out) or die "$file: $!\n";
