# pg_cron, the real one, in place of the worker.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('cron');
$node->init;
$node->append_conf('postgresql.conf', "autovacuum = off\n");
$node->start;
plan skip_all => 'pg_cron is not installed'
  if $node->safe_psql('postgres',
	"SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_cron'") == 0;
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');

sub fails_with_hint
{
	my ($db, $sql, $message, $hint, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($ret, $out, $err) = $node->psql($db, $sql);
	like($err, $message, "$name: error");
	like($err, $hint, "$name: hint");
	return;
}

# --- without pg_cron
fails_with_hint('app', 'SELECT dbperf.schedule_with_cron()', qr/pg_cron is not loaded/,
	qr/HINT: .*shared_preload_libraries.*cron\.database_name = 'app'/, 'not loaded');
fails_with_hint('app', 'SELECT dbperf.unschedule_cron()', qr/pg_cron is not loaded/, qr/HINT/,
	'not loaded, unschedule');

# neither the worker nor the library's own preloading is needed
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_cron'
cron.database_name = 'app'
cron.use_background_workers = on
});
$node->restart;
fails_with_hint('app', 'SELECT dbperf.schedule_with_cron()', qr/"pg_cron" is not installed/,
	qr/CREATE EXTENSION pg_cron/, 'not installed');

# --- pg_cron's jobs live in another database
$node->safe_psql('postgres', 'CREATE DATABASE "o\'ther"');
install_extension($node, "o'ther");
my $for_the_other = "schedule_in_database('dbperf maintenance o''ther', '5 4 * * *',"
  . " 'CALL dbperf.maintain(source => ''cron'')', 'o''ther')";
fails_with_hint("o'ther", "SELECT dbperf.schedule_with_cron('5 4 * * *')",
	qr/pg_cron keeps its jobs in database "app"/,
	qr/\Qcron.$for_the_other\E/,
	'elsewhere');
is(worker_status($node, "o'ther", 'cron_job_id IS NULL'), 't', 'no job is shown there');

# --- schedule, change, unschedule
$node->safe_psql('app', 'CREATE EXTENSION pg_cron');
is($node->safe_psql('app', 'SELECT dbperf.unschedule_cron()'), 'f', 'nothing to unschedule yet');
is(worker_status($node, 'app', 'state, cron_job_id IS NULL'), 'not preloaded|t', 'status before');
my $job = $node->safe_psql('app', 'SELECT dbperf.schedule_with_cron()');
query_is($node, 'app',
	'SELECT jobid, jobname, schedule, command, database, active FROM cron.job',
	"$job|dbperf maintenance app|0 3 * * *|CALL dbperf.maintain(source => 'cron')|app|t",
	'the job is as promised');
is(worker_status($node, 'app', 'cron_job_id'), $job, 'worker_status names it');
is($node->safe_psql('app', "SELECT dbperf.schedule_with_cron('30 4 * * 1')"), $job,
	'scheduled again, it is the same job');
is($node->safe_psql('app', 'SELECT string_agg(schedule, $$;$$) FROM cron.job'), '30 4 * * 1',
	'with the new schedule');
fails_with_hint('app', 'SELECT dbperf.schedule_with_cron(NULL)', qr/must not be null/, qr/HINT/,
	'NULL');
my ($ret, $out, $err) = $node->psql('app', "SELECT dbperf.schedule_with_cron('whenever')");
like($err, qr/invalid schedule/, 'pg_cron checks the schedule');

# what the hint for the other database says, works
$node->safe_psql('app', "SELECT cron.$for_the_other");
is(worker_status($node, 'app', 'cron_job_id'), $job, 'the job of the other is not taken for ours');

# --- who may
$node->safe_psql('app', q{
	CREATE ROLE admin LOGIN;
	GRANT USAGE ON SCHEMA dbperf, cron TO admin;
	CREATE ROLE watcher LOGIN;
	GRANT pg_monitor TO watcher});
($ret, $out, $err) =
  $node->psql('app', 'SELECT dbperf.schedule_with_cron()', extra_params => [ '-U', 'admin' ]);
like($err, qr/permission denied/, 'PUBLIC may not schedule');
query_is($node, 'app', 'SELECT cron_job_id FROM dbperf.worker_status',
	$job, 'pg_monitor sees the job', extra_params => [ '-U', 'watcher' ]);
$node->safe_psql('app', q{
	GRANT EXECUTE ON FUNCTION dbperf.schedule_with_cron(text), dbperf.require_cron(text),
		dbperf.cron_job_id(), dbperf.cron_job_name() TO admin});
($ret, $out, $err) =
  $node->psql('app', 'SELECT dbperf.schedule_with_cron()', extra_params => [ '-U', 'admin' ]);
like($err, qr/another user has scheduled maintenance.*cron\.unschedule\($job\)/s,
	'two jobs for one database are refused');

# --- pg_cron runs it; @reboot saves the test from waiting for the next minute
managed_table($node, 'app', 'ticks');
set_clock($node, 'app', '2 months');
query_is($node, 'app', "SELECT dbperf.schedule_with_cron('\@reboot')", $job, 'at the next start');
$node->restart;
poll_ok($node, 'app', q{
	SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE source = 'cron' AND reason = 'schedule'
		AND status = 'ok' AND partitions_created = 2)},
	'pg_cron ran the maintenance, which made two partitions');
is(partition_count($node, 'app', 'ticks'), 5, 'they are there');
query_is($node, 'app',
	"SELECT count(DISTINCT parent) FROM dbperf.partition_events WHERE source = 'cron'",
	1, 'the audit trail names pg_cron');
poll_ok($node, 'app', "SELECT status = 'succeeded' FROM cron.job_run_details WHERE jobid = $job",
	'pg_cron is content, too');

is($node->safe_psql('app', 'SELECT dbperf.unschedule_cron()'), 't', 'unscheduled');
query_is($node, 'app', "SELECT count(*) FROM cron.job WHERE database = 'app'", 0,
	'the job is gone');
is(worker_status($node, 'app', 'cron_job_id IS NULL'), 't', 'and not shown any more');

$node->stop;
done_testing();
