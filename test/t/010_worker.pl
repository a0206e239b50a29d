# The background worker at its daily work: making partitions by itself, waking, napping, finding
# databases, settings, and signals that are no faults.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('worker');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');

# --- status before anything is managed
poll_ok($node, 'app', "SELECT state = 'running' FROM dbperf.worker_status", 'launcher runs');
is(worker_status($node, 'app', 'preloaded, reason IS NULL, naptime, cron_job_id IS NULL'),
	't|t|24:00:00|t', 'worker_status is at ease');
is(worker_status($node, 'app', 'launcher_pid'), launcher_pid($node), 'launcher_pid is right');
is($node->safe_psql('postgres',
		"SELECT datname IS NULL FROM pg_stat_activity WHERE backend_type = 'dbperf launcher'"),
	't', 'the launcher is connected to no database');

# --- partitions ahead, by the worker alone: the clock of the database moves two months on
managed_table($node, 'app', 'ticks');
is(partition_count($node, 'app', 'ticks'), 3, 'manage() makes what is due at once');
poll_ok($node, 'app',
	"SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE source = 'worker' AND status = 'ok')",
	'manage() wakes the worker');
set_clock($node, 'app', '2 months');
ok(wake_and_wait($node, 'app'), 'wake() makes the worker run');
is(partition_count($node, 'app', 'ticks'), 5, 'the worker made two partitions ahead');
is($node->safe_psql('app', q{
		SELECT count(*) FROM dbperf.partition_events
		WHERE source = 'worker' AND action = 'create' AND parent = 'public.ticks'}),
	2, 'they are in the audit trail');
is($node->safe_psql('app', q{
		SELECT source, reason, status, partitions_created, failures
		FROM dbperf.job_runs ORDER BY run_id DESC LIMIT 1}),
	'worker|wake|ok|2|0', 'the run is recorded');
is(worker_status($node, 'app', 'last_run_status, last_error IS NULL, active_worker_pid IS NULL, '
		. 'pending_requests, next_run_at > last_run_finished'),
	'ok|t|t|0|t', 'worker_status shows the run and plans the next');
$node->safe_psql('app', 'ALTER DATABASE app RESET dbperf.now_override');

# --- the next run is planned for the next bound, if that comes before the end of the nap
managed_table($node, 'app', 'hourly', "'1 hour'");
poll_ok($node, 'app', q{
	SELECT abs(extract(epoch FROM
		next_run_at - date_trunc('hour', last_run_finished + interval '1 hour'))) < 2
	FROM dbperf.worker_status},
	'the next run is planned for the next bound');

# --- wake() takes effect at commit, and only then
is($node->safe_psql('app', 'BEGIN; SELECT dbperf.wake(); ROLLBACK'), 't', 'wake() is heard');
is(worker_status($node, 'app', 'pending_requests'), 0, 'wake() that is rolled back is forgotten');

# --- short naps
my $last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
$node->append_conf('postgresql.conf', "dbperf.naptime = '1s'");
$node->reload;
poll_ok($node, 'app',
	"SELECT count(*) >= 2 FROM dbperf.job_runs WHERE run_id > $last AND reason = 'schedule'"
	  . " AND status = 'ok'",
	'SIGHUP: a shorter naptime counts at once, and runs go on by the clock');

# --- databases made later
$node->safe_psql('postgres', 'CREATE DATABASE later');
install_extension($node, 'later');
managed_table($node, 'later', 'ticks');
poll_ok($node, 'later',
	"SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE source = 'worker' AND status = 'ok')",
	'a database that was made later is found by itself');
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE later');
my $made = $node->safe_psql('postgres', 'SELECT now()');
poll_ok($node, 'copied',
	"SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE source = 'worker' AND started_at > '$made')",
	'so is a copy of it');

# --- dbperf.databases
$node->append_conf('postgresql.conf', "dbperf.databases = 'app, \"No such\"'");
$node->reload;
poll_ok($node, 'later', "SELECT state = 'database not listed' FROM dbperf.worker_status",
	'dbperf.databases narrows');
is(worker_status($node, 'later', "reason LIKE '%dbperf.databases%'"), 't', 'and says why');
$last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
poll_ok($node, 'app', "SELECT count(*) >= 2 FROM dbperf.job_runs WHERE run_id > $last",
	'what is listed is still looked after');
# the launcher has been round twice since; runs of the others must have ended before
$last = $node->safe_psql('later', 'SELECT max(run_id) FROM dbperf.job_runs');
ok(wake_and_wait($node, 'app'), 'the worker of the listed database is called');
is($node->safe_psql('later', 'SELECT max(run_id) FROM dbperf.job_runs'), $last,
	'what is not listed is left alone');
$node->safe_psql('later', 'SELECT dbperf.wake()');
ok(wake_and_wait($node, 'app'), 'and again');
is($node->safe_psql('later', 'SELECT max(run_id) FROM dbperf.job_runs'), $last,
	'wake() does not change that');
$node->append_conf('postgresql.conf', "dbperf.databases = ''");
$node->append_conf('postgresql.conf', "dbperf.naptime = '1d'");
$node->reload;
poll_ok($node, 'later', "SELECT max(run_id) > $last FROM dbperf.job_runs",
	'listed again, it is looked after at once');

# --- dbperf.enabled
$node->append_conf('postgresql.conf', 'dbperf.enabled = off');
$node->reload;
poll_ok($node, 'app', "SELECT state = 'disabled' FROM dbperf.worker_status", 'disabled');
poll_ok($node, 'app', 'SELECT active_worker_pid IS NULL FROM dbperf.worker_status', 'idle');
$last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
$node->safe_psql('app', 'SELECT dbperf.wake()');
is(worker_status($node, 'app', 'pending_requests'), 1, 'a call waits while disabled');
$node->append_conf('postgresql.conf', 'dbperf.enabled = on');
$node->reload;
poll_ok($node, 'app', "SELECT max(run_id) > $last FROM dbperf.job_runs",
	'enabled again, the call is answered');

# --- settings are checked
my ($ret, $out, $err) = $node->psql('app', "SET dbperf.now_override = 'tomorrow'");
like($err, qr/invalid value for parameter "dbperf.now_override"/, 'now_override wants a time');
($ret, $out, $err) = $node->psql('app', "SET dbperf.now_override = '2024-02-30'");
like($err, qr/invalid value for parameter "dbperf.now_override"/, 'and one that exists');
($ret, $out, $err) = $node->psql('app', q{ALTER SYSTEM SET dbperf.databases = '"open'});
like($err, qr/invalid value for parameter "dbperf.databases"/, 'databases wants a list');

# --- signals to the launcher
my $launcher = launcher_pid($node);
my $offset = -s $node->logfile;
$node->safe_psql('postgres', "SELECT pg_cancel_backend($launcher)");
$node->safe_psql('postgres', "SELECT pg_reload_conf()");
ok(wake_and_wait($node, 'app'), 'after SIGINT and SIGHUP the launcher works on');
is(launcher_pid($node), $launcher, 'as the same process');
$node->safe_psql('postgres', "SELECT pg_terminate_backend($launcher)");
poll_ok($node, 'app',
	"SELECT state = 'running' AND launcher_pid <> $launcher FROM dbperf.worker_status",
	'after SIGTERM the launcher comes back');
is(count_in_log($node, qr/FATAL|PANIC|ERROR:/, $offset), 0, 'and makes no fuss in the log');
ok(wake_and_wait($node, 'app'), 'the new launcher works');

# --- signals to a worker in the middle of making a table
close_gate($node, 'app');
for my $signal ('cancel', 'terminate')
{
	$node->safe_psql('app', "CREATE TABLE t_$signal (at timestamptz) PARTITION BY RANGE (at)");
	# not manage(), which would itself stand before the gate
	$node->safe_psql('app', qq{
		INSERT INTO dbperf.policy (parent, partition_interval, anchor)
		VALUES ('t_$signal', '1 day', '2000-01-01')});
	my $pid = wait_for_worker_at_gate($node, 'app');
	is(worker_status($node, 'app', 'active_worker_pid, last_run_status'), "$pid|running",
		"$signal: worker_status shows the worker at work");
	$node->safe_psql('app', "SELECT pg_${signal}_backend($pid)");
	poll_ok($node, 'app', 'SELECT active_worker_pid IS NULL FROM dbperf.worker_status',
		"$signal: the worker leaves");
	is($node->safe_psql('app', qq{
			SELECT status, error ~ 'canceling', finished_at IS NOT NULL
			FROM dbperf.job_runs WHERE pid = $pid}),
		'canceled|t|t', "$signal: the run is recorded as canceled");
	is(partition_count($node, 'app', "t_$signal"), 0, "$signal: nothing is left half done");
	is(worker_status($node, 'app', 'state, last_run_status'), 'running|canceled',
		"$signal: worker_status shows it");
	open_gate($node, 'app');
	ok(wake_and_wait($node, 'app'), "$signal: called again");
	is(partition_count($node, 'app', "t_$signal"), 3, "$signal: the work is done");
	close_gate($node, 'app') if $signal eq 'cancel';
}

# --- who may see and do what
$node->safe_psql('app', q{
	CREATE ROLE watcher LOGIN;
	GRANT pg_monitor TO watcher;
	CREATE ROLE nobody LOGIN});
query_is($node, 'app', 'SELECT state FROM dbperf.worker_status',
	'running', 'pg_monitor may look', extra_params => [ '-U', 'watcher' ]);
($ret, $out, $err) =
  $node->psql('app', 'SELECT dbperf.wake()', extra_params => [ '-U', 'nobody' ]);
like($err, qr/permission denied/, 'others may not wake the worker');
($ret, $out, $err) =
  $node->psql('app', 'SELECT * FROM dbperf.worker_state()', extra_params => [ '-U', 'nobody' ]);
like($err, qr/permission denied/, 'nor look');

# --- stop while at work: quick
$node->safe_psql('app', 'CREATE TABLE t_stop (at timestamptz) PARTITION BY RANGE (at)');
close_gate($node, 'app');
$node->safe_psql('app', q{
	INSERT INTO dbperf.policy (parent, partition_interval, anchor)
	VALUES ('t_stop', '1 day', '2000-01-01')});
wait_for_worker_at_gate($node, 'app');
$node->stop('fast');
ok(1, 'a fast shutdown does not wait for the worker');

# --- without shared_preload_libraries
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->start;
is(worker_status($node, 'app', 'preloaded, state, launcher_pid IS NULL, last_run_status'),
	'f|not preloaded|t|canceled', 'not preloaded: worker_status says so, and how the last run ended');
is($node->safe_psql('app', 'SELECT dbperf.wake()'), 'f', 'not preloaded: nobody hears wake()');
$node->stop;

done_testing();
