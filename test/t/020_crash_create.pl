# The server dies at every step of making a partition: afterwards nothing is half made, the run
# that was cut shows as crashed, the audit trail is whole, and maintenance carries on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('crash');
my $premake = 3;

# Pages and files of a transaction that was cut may be left; tables may not.
my $half_made = q{
	SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = 'public' AND c.relkind IN ('r', 'i') AND NOT c.relispartition};

sub set_worker
{
	my ($on) = @_;
	$node->append_conf('postgresql.conf', "dbperf.enabled = $on");
	return;
}

# A database with gates, and a policy that nobody has worked on yet.
sub prepare
{
	my ($db) = @_;
	set_worker('off');
	$node->reload;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	make_gates($node, $db);
	$node->poll_query_until($db, "SELECT state = 'disabled' FROM dbperf.worker_status")
	  or die 'the worker cannot be disabled';
	$node->safe_psql($db, qq{
		CREATE TABLE t (id bigint, at timestamptz NOT NULL, note text CHECK (note <> ''),
			PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON t (note);
		INSERT INTO dbperf.policy (parent, partition_interval, premake) VALUES ('t', '1 month', $premake)});
	return;
}

sub crash
{
	my ($way, $pid, @sessions) = @_;
	if ($way eq 'kill9')
	{
		my $since = -s $node->logfile;
		kill 'KILL', $pid;
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $since);
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not recover';
		finish_sql($_) for @sessions;
		return;
	}
	$node->stop('immediate');
	# before the new server inherits the pipes to them
	finish_sql($_) for @sessions;
	set_worker('on');
	$node->start;
	return;
}

sub check_after_crash
{
	my ($db, $name, $pid, $partitions) = @_;

	is(partition_count($node, $db, 't'), $partitions, "$name: whole partitions only")
	  if defined $partitions;
	set_worker('on');
	$node->reload;
	poll_ok($node, $db, "SELECT status = 'ok' AND last_run_at IS NOT NULL FROM dbperf.partition_health",
		"$name: the worker carries on by itself");
	is(partition_count($node, $db, 't'), $premake + 1, "$name: all partitions are there");
	is($node->safe_psql($db, $half_made), 0, "$name: nothing is half made");
	is($node->safe_psql($db, q{
			SELECT count(*) FROM dbperf.partition_events WHERE action = 'create'
			AND to_regclass(partition) IS NOT NULL}),
		$premake + 1, "$name: an event for each partition");
	is($node->safe_psql($db,
			"SELECT count(*) FROM dbperf.partition_events WHERE action = 'create'"),
		$premake + 1, "$name: and no event without one");
	is(audit_is_ok($node, $db), 'ok', "$name: the audit trail is whole");
	if (defined $pid)
	{
		is($node->safe_psql($db, qq{
				SELECT status, finished_at >= started_at, error IS NOT NULL
				FROM dbperf.job_runs WHERE pid = $pid ORDER BY run_id LIMIT 1}),
			'crashed|t|t', "$name: the run shows as crashed");
		is($node->safe_psql($db, "SELECT count(*) FROM dbperf.job_runs WHERE status = 'running'"),
			0, "$name: no run is left running");
	}
	$node->safe_psql($db, 'INSERT INTO t VALUES (1, now()), (2, now() + interval \'1 month\')');
	return;
}

my @cases = (
	# step, who is at work, partitions made before, how the server dies
	[ 'ddl_command_start CREATE TABLE', 'call', 0, 'kill9' ],
	[ 'ddl_command_end CREATE TABLE', 'worker', 0, 'immediate' ],
	[ 'ddl_command_end CREATE TABLE', 'call', 2, 'kill9' ],
	[ 'ddl_command_start ALTER TABLE', 'call', 1, 'immediate' ],
	[ 'ddl_command_start ALTER TABLE', 'worker', 1, 'kill9' ],
	# that a partition is attached is seen by the gate itself
	[ 'ddl_command_end ALTER TABLE', 'call', 3, 'immediate' ],
	[ 'ddl_command_end ALTER TABLE', 'worker', 1, 'immediate' ],
);

for my $i (0 .. $#cases)
{
	my ($step, $who, $before, $way) = @{ $cases[$i] };
	my $db = "db$i";
	my $name = "$way of $who at $step, $before partitions";
	my $whole = $step eq 'ddl_command_end ALTER TABLE' ? $before - 1 : $before;
	my ($pid, $call);

	prepare($db);
	close_step($node, $db, $step, $before);
	if ($who eq 'worker')
	{
		set_worker('on');
		$node->reload;
		$pid = wait_at_step($node, $db, 'dbperf worker');
		# so that what is there after the crash can be seen before it works on
		set_worker('off') if $way eq 'kill9';
	}
	else
	{
		$call = start_sql($node, $db, 'CALL dbperf.maintain()', app => 'call');
		$pid = wait_at_step($node, $db, 'call');
	}
	is($node->safe_psql($db, "SELECT status, partitions_created FROM dbperf.job_runs WHERE pid = $pid"),
		'running|0', "$name: that it runs is known while it does");
	crash($way, $pid, defined $call ? $call : ());
	check_after_crash($db, $name, $pid, $way eq 'kill9' && $who eq 'call' ? $whole : undef);
}

# --- between the last statement and the commit: the chain of events is locked by somebody else
for my $way ('kill9', 'immediate')
{
	my $db = "commit_$way";
	my $name = "$way before commit";

	prepare($db);
	# it looks whether the chain is free before it begins, so that is locked only later
	close_step($node, $db, 'ddl_command_end ALTER TABLE', 1);
	my $call = start_sql($node, $db, 'CALL dbperf.maintain()', app => 'call');
	wait_at_step($node, $db, 'call');
	my $holder = hold($node, $db, 'SELECT FROM dbperf.audit_head FOR UPDATE');
	open_steps($node, $db);
	my $waiting = "FROM pg_stat_activity WHERE application_name = 'call' AND wait_event_type = 'Lock'";
	ok($node->poll_query_until($db, "SELECT EXISTS (SELECT $waiting)"), "$name: it has come to commit");
	my $pid = $node->safe_psql($db, "SELECT pid $waiting");
	is(partition_count($node, $db, 't'), 0, "$name: nothing is to be seen before commit");
	crash($way, $pid, $call, $holder);
	check_after_crash($db, $name, $pid, $way eq 'kill9' ? 0 : undef);
}

# --- in the middle of a function of one transaction, and of a long backfill
for my $what ('SELECT dbperf.create_partitions', 'CALL dbperf.backfill')
{
	my ($db) = $what =~ /\.(\w+)/;
	my $name = "kill9 in $db";

	prepare($db);
	close_step($node, $db, 'ddl_command_end CREATE TABLE', 4);
	my $call = start_sql($node, $db,
		"$what('t', (now() - interval '20 months')::text, now()::text)", app => 'call');
	my $pid = wait_at_step($node, $db, 'call');
	crash('kill9', $pid, $call);
	is(partition_count($node, $db, 't'), $db eq 'backfill' ? 4 : 0,
		"$name: what was committed is there, and nothing else");
	is($node->safe_psql($db, $half_made), 0, "$name: nothing is half made");
	is(audit_is_ok($node, $db), 'ok', "$name: the audit trail is whole");
	$node->safe_psql($db, "$what('t', (now() - interval '20 months')::text, now()::text)");
	is($node->safe_psql($db, 'SELECT count(*) FROM dbperf.partition_gaps(\'t\')'), 0,
		"$name: called again, it does the rest");
}

$node->stop;
done_testing();
