# Faults that the background worker must stand up to: crashes, a server without free worker
# slots, a table that cannot be maintained.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Room for the launcher and one worker, and for nobody else.
my $node = new_node('faults',
	'max_worker_processes = 2',
	'max_logical_replication_workers = 0',
	'max_parallel_workers = 2',
	'dbperf.max_workers = 1');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
close_gate($node, 'app');

# A table whose partitions are due, and a worker that stands before the gate to make them.
sub worker_at_work
{
	my ($table) = @_;
	$node->safe_psql('app', "CREATE TABLE $table (at timestamptz) PARTITION BY RANGE (at)");
	$node->safe_psql('app', qq{
		INSERT INTO dbperf.policy (parent, partition_interval, anchor)
		VALUES ('$table', '1 day', '2000-01-01')});
	return wait_for_worker_at_gate($node, 'app');
}

# After a crash: the old run is recorded, the work is done, nothing is left half done.
sub check_recovery
{
	my ($table, $pid, $what) = @_;

	poll_ok($node, 'app', "SELECT status = 'crashed' FROM dbperf.job_runs WHERE pid = $pid",
		"$what: the run shows as crashed");
	open_gate($node, 'app');
	poll_ok($node, 'app',
		"SELECT count(*) = 3 FROM pg_inherits WHERE inhparent = '$table'::regclass",
		"$what: the worker makes the partitions");
	is($node->safe_psql('app', qq{
			SELECT count(*) FROM pg_class
			WHERE relname LIKE '$table%' AND relkind = 'r' AND NOT relispartition}),
		0, "$what: no table is left over");
	poll_ok($node, 'app',
		"SELECT state = 'running' AND last_run_status = 'ok' FROM dbperf.worker_status",
		"$what: all is well again");
	close_gate($node, 'app');
	return;
}

# --- kill -9
my $pid = worker_at_work('killed_worker');
kill 'KILL', $pid;
check_recovery('killed_worker', $pid, 'kill -9 of a worker');

$pid = worker_at_work('killed_launcher');
kill 'KILL', launcher_pid($node);
check_recovery('killed_launcher', $pid, 'kill -9 of the launcher');

# --- the server itself goes down: after CREATE TABLE, and after ATTACH
for my $tag ('CREATE TABLE', 'ALTER TABLE')
{
	my $table = lc('crash_after_' . substr($tag, 0, 5));
	close_gate($node, 'app', $tag);
	$pid = worker_at_work($table);
	$node->stop('immediate');
	$node->start;
	check_recovery($table, $pid, "server crash in $tag");
}
query_is($node, 'app', 'SELECT ok FROM dbperf.verify_audit()', 't', 'the audit trail is whole');

# --- no free worker slots
open_gate($node, 'app');
ok(wake_and_wait($node, 'app'), 'a quiet moment');
poll_ok($node, 'app', 'SELECT active_worker_pid IS NULL FROM dbperf.worker_status',
	'without a worker');
my $offset = -s $node->logfile;
my $forced = $node->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my $hog = $node->background_psql('postgres');
$hog->query_until(qr/begun/, qq(SET $forced = on;\n\\echo begun\nSELECT pg_sleep(600);\n));
poll_ok($node, 'postgres', q{
	SELECT EXISTS (SELECT FROM pg_stat_activity
		WHERE backend_type = 'parallel worker' AND wait_event = 'PgSleep')},
	'another worker has the only slot');

my $last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
for my $i (1 .. 5)
{
	$node->safe_psql('app', 'SELECT dbperf.wake()');
	poll_ok($node, 'app', "SELECT state = 'no worker slots' FROM dbperf.worker_status",
		"no worker slots: worker_status says so ($i)");
}
is(worker_status($node, 'app', "reason LIKE '%max_worker_processes%'"), 't', 'and what to do');
is($node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs'), $last, 'no run was made');
is(count_in_log($node, qr/waits for a free background worker slot/, $offset), 1,
	'the log says so once');

$node->safe_psql('postgres', q{
	SELECT pg_cancel_backend(pid) FROM pg_stat_activity
	WHERE backend_type = 'client backend' AND query LIKE '%pg_sleep(600)%'
		AND pid <> pg_backend_pid()});
poll_ok($node, 'app', "SELECT max(run_id) > $last FROM dbperf.job_runs",
	'when the slot is free again, the run is made');
poll_ok($node, 'app', "SELECT state = 'running' FROM dbperf.worker_status",
	'the state is restored');
is(count_in_log($node, qr/has a background worker slot again/, $offset), 1, 'the log says so once');
eval { $hog->quit };

# --- one table of twenty cannot be maintained: its owner may not create tables
$node->safe_psql('app', q{
	CREATE ROLE poor;
	DO $$
	BEGIN
		FOR i IN 1 .. 20 LOOP
			EXECUTE format('CREATE TABLE many_%s (at timestamptz) PARTITION BY RANGE (at)', i);
		END LOOP;
		ALTER TABLE many_7 OWNER TO poor;
		INSERT INTO dbperf.policy (parent, partition_interval, anchor, run_order)
		SELECT oid, '1 day', '2000-01-01', substr(relname, 6)::int
		FROM pg_class WHERE relname ~ '^many_\d+$';
	END $$});
poll_ok($node, 'app', q{
	SELECT count(*) = 19 FROM dbperf.partition_health
	WHERE parent::text LIKE 'many%' AND status = 'ok' AND future_ready = 2},
	'nineteen tables are maintained');
poll_ok($node, 'app', q{
	SELECT last_error LIKE '%permission denied%' AND failures = 1 AND next_try_at > last_error_at
		AND status = 'critical'
	FROM dbperf.partition_health WHERE parent = 'many_7'::regclass},
	'the other one shows its error and when it will be tried again');
query_is($node, 'app',
	'SELECT status, failures FROM dbperf.job_runs ORDER BY run_id DESC LIMIT 1',
	'partial|1', 'the run is recorded as partial');

$last = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
$node->append_conf('postgresql.conf', "dbperf.naptime = '1s'");
$node->reload;
poll_ok($node, 'app',
	"SELECT count(*) >= 2 FROM dbperf.job_runs WHERE run_id > $last AND status = 'ok'",
	'runs go on');
my $state_of_7 = "FROM dbperf.policy_state WHERE parent = 'many_7'::regclass";
query_is($node, 'app', "SELECT failures $state_of_7",
	1, 'but do not try the broken table before its time');
ok(wake_and_wait($node, 'app'), 'a call does');
poll_ok($node, 'app', "SELECT failures = 2 $state_of_7",
	'the broken table was tried again');
is(count_in_log($node, qr/maintenance of table "public.many_7" failed/, $offset), 1,
	'the log tells an error once');
$node->safe_psql('app', 'GRANT CREATE ON SCHEMA public TO poor');
ok(wake_and_wait($node, 'app'), 'mended');
poll_ok($node, 'app',
	"SELECT status = 'ok' AND last_error IS NULL FROM dbperf.partition_health"
	  . " WHERE parent = 'many_7'::regclass",
	'the table is maintained, and the error forgotten');

$node->stop;
done_testing();
