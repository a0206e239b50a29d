# The server dies in every state of a partition's life: afterwards each partition is in exactly one
# state with all its rows, the audit trail is whole, and maintenance goes on where it was cut.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use DbperfRetire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('crash', 'dbperf.enabled = off');

# A database of its own for each case: five partitions of the past, and gates.
sub prepare
{
	my ($db, $arguments) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	aged_table($node, $db, 't', 5, $arguments);
	bin_gates($node, $db);
	return map { part($node, $db, 't', $_) } reverse 1 .. 5;
}

sub die_at_once
{
	my (@sessions) = @_;
	$node->stop('immediate');
	# before the new server inherits the pipes to them
	finish_sql($_) for @sessions;
	$node->start;
	return;
}

sub wait_for_process
{
	my ($db, $app) = @_;
	my $there = "FROM pg_stat_activity WHERE application_name = '$app' AND datname = '$db'";
	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT $there)") or die "no $app in $db";
	return $node->safe_psql('postgres', "SELECT pid $there");
}

# What was due is done in the end, and nothing else.
sub goes_on
{
	my ($db, $name, $left) = @_;
	one_state_each($node, $db, 't', $name);
	whole_is($node, $db, 't', "$name: queries see what is attached");
	$node->safe_psql($db, q{
		UPDATE dbperf.recycle_bin SET hold_until = now() - interval '1 s' WHERE state = 'attached';
		SELECT dbperf.alter_policy('t', detach_after => '3 days', drop_after => '4 days', recycle_for => '0', enabled => true)});
	switch_worker($node, $db, 'on');
	poll_ok($node, $db, q{SELECT count(*) FILTER (WHERE state <> 'detached') = 0 AND NOT EXISTS (
			SELECT FROM dbperf.retire_steps(ARRAY['t'::regclass])) FROM dbperf.recycle_bin}, "$name: the worker finishes it");
	one_state_each($node, $db, 't', "$name, in the end");
	is(states($node, $db, 't'), $left, "$name: and leaves what is not due");
	is($node->safe_psql($db, "SELECT count(*) FROM dbperf.job_runs WHERE status = 'running' AND finished_at IS NULL"), 0,
		"$name: no run is left running");
	$node->safe_psql($db, "INSERT INTO t (at) VALUES (now())");
	switch_worker($node, $db, 'off');
	return;
}

# uppers lie 4, 3, 2, 1 and 0 days back and some hours: after three days, two are due, one to be dropped
my $usual = 'attached 4, detached 1, dropped 1';

# Each case: what is done by hand in a session of its own, at which gate, after what, and the states then
my @cases = (
	[ 'before the mark, waiting for a lock', undef, undef, 'lock', 'attached 6', $usual ],
	[ 'marking', 'SELECT dbperf.detach_partition(%s)', 'INSERT detaching', undef, 'attached 6', $usual ],
	[ 'marked', 'SELECT dbperf.detach_partition(%s)', undef, 'reader', 'attached 5, pending 1', $usual ],
	[ 'finalizing', 'SELECT dbperf.detach_partition(%s)', 'UPDATE detached', undef, 'attached 5, pending 1', $usual ],
	[ 'detaching plainly', 'SELECT dbperf.detach_partition(%s)', 'UPDATE detached', 'default', 'attached 6', $usual ],
	[ 'in the bin', undef, undef, 'detached', 'attached 5, detached 1', $usual ],
	[ 'attaching', 'SELECT dbperf.attach_partition(%s)', 'UPDATE attached', 'detached', 'attached 5, detached 1', $usual ],
	[ 'attached again', undef, undef, 'again', 'again 1, attached 5', $usual ],
	[ 'dropping', 'SELECT dbperf.drop_partition(%s)', 'DELETE', 'detached', 'attached 5, detached 1', $usual ],
	[ 'dropped', undef, undef, 'dropped', 'attached 5, dropped 1', $usual ],
);

for my $i (0 .. $#cases)
{
	my ($name, $sql, $gate, $before, $then, $end) = @{ $cases[$i] };
	my $db = "db$i";
	my ($oldest) = prepare($db, "recycle_for => '0', enabled => false");
	my $oid = $node->safe_psql($db, "SELECT '$oldest'::regclass::oid");
	my @sessions;

	$before //= '';
	$node->safe_psql($db, 'CREATE TABLE t_default PARTITION OF t DEFAULT') if $before eq 'default';
	$node->safe_psql($db, "SELECT dbperf.detach_partition($oid)") if $before =~ /detached|again|dropped/;
	$node->safe_psql($db, "SELECT dbperf.attach_partition($oid, '1 hour')") if $before eq 'again';
	$node->safe_psql($db, "SELECT dbperf.drop_partition($oid)") if $before eq 'dropped';
	push @sessions, hold($node, $db, 'SELECT count(*) FROM t') if $before eq 'reader';
	if ($before eq 'lock')
	{
		$node->safe_psql($db, "SELECT dbperf.alter_policy('t', lock_budget => '30 s')");
		push @sessions, hold($node, $db, 'LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE');
		$sql = 'SELECT dbperf.detach_partition(%s)';
	}
	close_bin_gate($node, $db, $gate) if defined $gate;
	push @sessions, start_sql($node, $db, sprintf($sql, $oid), app => 'call') if defined $sql;
	wait_at_step($node, $db, $sql =~ /attach_partition/ && $sql !~ /detach/ ? 'call' : 'dbperf session worker') if defined $gate;
	wait_for_process($db, 'dbperf session worker') if $before eq 'lock';
	pending_is($node, $db, 't', 1) if $before eq 'reader';
	die_at_once(@sessions);
	is(states($node, $db, 't'), $then, "$name: after recovery");
	goes_on($db, $name, $end);
}

# --- kill -9 between the two phases: of the worker of a call, of the scheduled one, of the session
for my $who ('dbperf session worker', 'dbperf worker', 'call')
{
	my $db = 'kill_' . ($who =~ s/ /_/gr);
	my ($oldest) = prepare($db, "recycle_for => '0', enabled => false");
	my $reader = hold($node, $db, 'SELECT count(*) FROM t');
	my $since = -s $node->logfile;
	my @sessions = ($reader);

	if ($who eq 'dbperf worker')
	{
		$node->safe_psql($db, "SELECT dbperf.alter_policy('t', lock_budget => '1 minute', detach_after => '4 days', enabled => true)");
		switch_worker($node, $db, 'on');
	}
	else
	{
		push @sessions, start_sql($node, $db, "SELECT dbperf.detach_partition('$oldest')", app => 'call');
	}
	ok(pending_is($node, $db, 't', 1), "kill -9 of $who: between the phases");
	my $pid = wait_for_process($db, $who);
	# what is there after the crash is looked at before the worker is
	$node->append_conf('postgresql.conf', 'dbperf.enabled = off');
	kill 'KILL', $pid;
	$node->wait_for_log(qr/all server processes terminated; reinitializing/, $since);
	$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not recover';
	finish_sql($_) for @sessions;
	is(states($node, $db, 't'), 'attached 5, pending 1', "kill -9 of $who: it is still marked");
	$node->safe_psql($db, "SELECT dbperf.alter_policy('t', lock_budget => '200 ms')");
	goes_on($db, "kill -9 of $who", $usual);
}

# --- the client goes, or is sent away; the reader is still there
for my $how ('kill -9', 'terminate', 'cancel')
{
	my $db = 'client_' . ($how =~ s/\W//gr);
	my ($oldest) = prepare($db, "recycle_for => '0', enabled => false");
	my $reader = hold($node, $db, 'SELECT count(*) FROM t');
	my $call = start_sql($node, $db, "SET client_connection_check_interval = '100ms'; SELECT dbperf.detach_partition('$oldest')", app => 'call');

	ok(pending_is($node, $db, 't', 1), "$how of the client: between the phases");
	my $pid = wait_for_process($db, 'call');
	if ($how eq 'kill -9')
	{
		$call->{run}->signal('KILL');
	}
	else
	{
		$node->safe_psql('postgres', "SELECT pg_${how}_backend($pid)");
	}
	eval { finish_sql($call) };
	poll_ok($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '$db'"
		. " AND (application_name = 'call' OR backend_type LIKE 'dbperf%')", "$how of the client: nobody waits any more");
	is(states($node, $db, 't'), 'attached 5, pending 1', "$how of the client: it is marked");
	my ($status, undef, $err) = $node->psql($db, "SELECT dbperf.attach_partition('$oldest')");
	like($err, qr/still being detached|already/, "$how of the client: and cannot be attached at that");
	release($reader);
	goes_on($db, "$how of the client", $usual);
}

is(count_in_log($node, qr/TRAP|PANIC|cache lookup failed|could not open relation/), 0, 'the log knows nothing worse');
$node->stop;
done_testing();
