# The sampler: it starts by itself, keeps its interval, is in nobody's way, comes back after faults,
# and notifies, whoever listens or does not read.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfSessions;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('sampler', "dbperf.sample_interval = 1", 'max_worker_processes = 12');
my $pid_of = "SELECT pid FROM dbperf.sampler_process()";

sub samples_go_on
{
	my ($db, $name, $samples) = @_;
	my $now = $node->safe_psql($db, 'SELECT clock_timestamp()');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return poll_ok($node, $db,
		"SELECT count(DISTINCT at) >= " . ($samples // 1) . " FROM dbperf.metric_sample WHERE at > '$now'", $name);
}

# --- by itself, once the session that made the extension has left
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
poll_ok($node, 'app', "SELECT state = 'running' FROM dbperf.sampler_process()", 'a sampler comes');
samples_go_on('app', 'and samples into the history, which it has put under management', 2);
is($node->safe_psql('app',
		"SELECT count(*) FROM dbperf.policy WHERE parent = 'dbperf.metric_sample'::regclass"),
	1, 'the history is a managed table');
is($node->safe_psql('app', 'SELECT last_error IS NULL FROM dbperf.sampler_process()'),
	't', 'without an error');
is(count_in_log($node, qr/(sampling|judging a sample|notif\w+|tidying up samples) failed/),
	0, 'and none in the log');
is($node->safe_psql('app', "SELECT min(value) > 0 FROM dbperf.metric_values WHERE metric = 'connections_max'"),
	't', 'what it samples is there');

# --- settings: the interval, off, on
$node->safe_psql('app', 'SELECT dbperf.stop_monitoring()');
poll_ok($node, 'app', "SELECT state = 'off' FROM dbperf.sampler_process()", 'stop_monitoring() ends it');
is($node->safe_psql('postgres',
		"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbperf sampler'"),
	0, 'and its process');
$node->safe_psql('app', "SELECT dbperf.start_monitoring('2 s')");
poll_ok($node, 'app', "SELECT state = 'running' FROM dbperf.sampler_process()", 'start_monitoring() starts it');
is($node->safe_psql('app', 'SELECT dbperf.sampling_seconds()'), 2, 'with that interval');
samples_go_on('app', 'and it samples again');
$node->safe_psql('app', 'SELECT dbperf.start_monitoring()');
$node->append_conf('postgresql.conf', 'dbperf.sample_interval = 0');
$node->reload;
poll_ok($node, 'app', "SELECT state = 'off' FROM dbperf.sampler_process()", 'sample_interval 0 ends it');
$node->append_conf('postgresql.conf', 'dbperf.sample_interval = 1');
$node->reload;
samples_go_on('app', 'and another one starts it');
$node->append_conf('postgresql.conf', 'dbperf.enabled = off');
$node->reload;
poll_ok($node, 'app', "SELECT pid IS NULL FROM dbperf.sampler_process()", 'dbperf.enabled = off ends it');
$node->append_conf('postgresql.conf', 'dbperf.enabled = on');
$node->reload;
samples_go_on('app', 'and on starts it');
# both a sampler that is about to leave and the launcher have to hear of it
for my $seconds (0, 1, 0, 1)
{
	$node->append_conf('postgresql.conf', "dbperf.sample_interval = $seconds");
	$node->reload;
}
samples_go_on('app', 'the last of many settings counts');

# --- in nobody's way
$node->safe_psql('postgres', 'CREATE DATABASE copied TEMPLATE app');
pass('CREATE DATABASE ... TEMPLATE goes past it');
$node->safe_psql('copied', 'SELECT dbperf.wake()');
poll_ok($node, 'copied', "SELECT state = 'running' FROM dbperf.sampler_process()", 'the copy gets one, too');
$node->safe_psql('postgres', 'ALTER DATABASE copied RENAME TO renamed');
pass('ALTER DATABASE ... RENAME goes past it');
poll_ok($node, 'renamed', "SELECT pid IS NOT NULL FROM dbperf.sampler_process()", 'and it comes back');
# who may not do it cannot keep a sampler away by trying
$node->safe_psql('postgres', 'CREATE ROLE stranger LOGIN CREATEDB');
my $unmoved = $node->safe_psql('renamed', $pid_of);
for my $command ('DROP DATABASE renamed', 'ALTER DATABASE renamed RENAME TO mine', 'CREATE DATABASE mine TEMPLATE renamed')
{
	my ($rc, $stdout, $stderr) = execute_as($node, 'postgres', 'stranger', $command);
	like($stderr, qr/must be owner|permission denied/, "nobody else may: $command");
}
is($node->safe_psql('renamed', $pid_of), $unmoved, 'the sampler has not moved');
$node->safe_psql('postgres', 'DROP DATABASE renamed');
pass('DROP DATABASE goes past it');
samples_go_on('app', 'the other one goes on, or comes back');

# DROP EXTENSION while it is in the middle of something
my $drop = hold($node, 'app', 'DROP EXTENSION tradeassist_dbperf');
poll_ok($node, 'postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity
	WHERE backend_type = 'dbperf sampler' AND datname = 'app' AND wait_event_type = 'Lock')",
	'it waits for DROP EXTENSION');
release($drop, 'COMMIT');
poll_ok($node, 'postgres',
	"SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dbperf sampler')",
	'it leaves when the extension is gone');
is(count_in_log($node, qr/(\w+ing|settings of sampling|functions for alerts|samples) failed/),
	0, 'of which the log says nothing');
install_extension($node, 'app');
samples_go_on('app', 'and comes back with it');

# --- faults
my $pid = $node->safe_psql('app', $pid_of);
$node->safe_psql('app', "SELECT pg_terminate_backend($pid)");
poll_ok($node, 'app', "SELECT pid <> $pid FROM dbperf.sampler_process()", 'it comes back after SIGTERM');
$pid = $node->safe_psql('app', $pid_of);
$node->safe_psql('app', "SELECT pg_cancel_backend($pid)");
samples_go_on('app', 'a cancel is not its end');
is($node->safe_psql('app', $pid_of), $pid, 'it is the same process');
# at rest it has nothing to cancel; with a long interval, that is where it is
$node->safe_psql('app', "SELECT dbperf.start_monitoring('1 h')");
poll_ok($node, 'app', "SELECT wait_event = 'Extension' AND state = 'idle' FROM pg_stat_activity WHERE pid = $pid",
	'it rests');
$node->safe_psql('app', "SELECT pg_cancel_backend($pid) FROM generate_series(1, 5)");
$node->safe_psql('app', "SELECT dbperf.start_monitoring('1 s')");
samples_go_on('app', 'a cancel at rest is not, either');
is($node->safe_psql('app', $pid_of), $pid, 'it is still the same process');
# it does not need the launcher, which takes 5 s to come anew
my $launcher = launcher_pid($node);
$node->safe_psql('app', "SELECT pg_terminate_backend($launcher)");
samples_go_on('app', 'samples go on while there is no launcher');
# an error that is cut for the list is cut between two characters
$node->safe_psql('app', q{
	ALTER FUNCTION dbperf.evaluate_alerts() RENAME TO evaluate_alerts_away;
	CREATE FUNCTION dbperf.evaluate_alerts() RETURNS integer LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION '%', 'x' || repeat('€', 200); END $$});
poll_ok($node, 'app', "SELECT last_error = 'x' || repeat('€', 84) FROM dbperf.sampler_process()",
	'a long failure is shown');
$node->safe_psql('app', q{
	DROP FUNCTION dbperf.evaluate_alerts();
	ALTER FUNCTION dbperf.evaluate_alerts_away() RENAME TO evaluate_alerts});
poll_ok($node, 'app', "SELECT coalesce((SELECT pid <> $launcher FROM pg_stat_activity
	WHERE backend_type = 'dbperf launcher'), false)", 'another launcher comes');
samples_go_on('app', 'samples go on under it');

# a part that fails costs the others nothing, and one line in the log
my $offset = -s $node->logfile;
$node->safe_psql('app', q{
	ALTER FUNCTION dbperf.evaluate_alerts() RENAME TO evaluate_alerts_away});
poll_ok($node, 'app', "SELECT last_error LIKE '%evaluate_alerts%' FROM dbperf.sampler_process()",
	'a failure is shown');
samples_go_on('app', 'sampling goes on without it');
is(count_in_log($node, qr/judging a sample failed/, $offset), 1, 'it is logged once');
$node->safe_psql('app', q{
	ALTER FUNCTION dbperf.evaluate_alerts_away() RENAME TO evaluate_alerts});
poll_ok($node, 'app', "SELECT last_error IS NULL FROM dbperf.sampler_process()", 'it is over');
is(count_in_log($node, qr/judging a sample works again/, $offset), 1, 'which is logged once, too');

# --- a server with more to do than it has processors for
my @busy = map { start_sql($node, 'app', "DO 'BEGIN LOOP END LOOP; END'", app => 'busy') } 1 .. 4;
poll_ok($node, 'app',
	"SELECT count(*) = 4 FROM pg_stat_activity WHERE application_name = 'busy' AND state = 'active'",
	'every processor is busy');
samples_go_on('app', 'samples go on');
is($node->safe_psql('app', "SELECT h ->> 'status' IN ('ok', 'degraded', 'critical'), h #>> '{sample,stale}', h -> 'errors'
		FROM dbperf.$_() h"),
	't|false|[]', "$_() answers, by a fresh sample")
  for qw(health_database health_performance health_partitions);
poll_ok($node, 'app',
	"SELECT value >= 4 FROM dbperf.latest_metrics() WHERE metric = 'connections_active'", 'which shows it');
$node->safe_psql('app', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'busy'");
finish_sql($_) for @busy;

# --- notifications: JSON with a version, a sequence without gaps, and the right channels
my ($in, $out, $err) = ('', '', '');
my $timer = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
my $listener = IPC::Run::start(['psql', '-XAtq', '-f', '-', '-d', $node->connstr('app')],
	'<', \$in, '>', \$out, '2>', \$err, $timer);

my $turn = 0;

sub hear
{
	my ($regexp) = @_;

	for (;;)
	{
		return 1 if $out =~ $regexp;
		return 0 if $timer->is_expired || !$listener->pumpable;
		# psql looks for notifications after each command
		$in .= "SELECT 'turn " . ++$turn . "' FROM pg_sleep(0.1);\n";
		$listener->pump until $out =~ /^turn $turn$/m || $timer->is_expired || !$listener->pumpable;
	}
}
$in .= "LISTEN database_performance; LISTEN performance_alert; LISTEN partition_status;\n";
ok(hear(qr/"database_performance" with payload "\{/), 'each sample is notified');
$node->safe_psql('app', q{
	CREATE TABLE public.ticks (at timestamptz NOT NULL) PARTITION BY RANGE (at);
	SELECT dbperf.manage('public.ticks', '1 month');
	INSERT INTO dbperf.alert_rules (name, metric, comparison, warn)
		VALUES ('always', 'connections_max', '>', 1);
	-- what is measured once a minute is measured now
	UPDATE dbperf.sampler_state SET slow_at = NULL});
ok(hear(qr/"performance_alert" with payload "\{[^\n]*always/), 'so is an alert');
ok(hear(qr/"partition_status" with payload "\{[^\n]*ticks/), 'and a table whose partitions changed');
$in .= "\\q\n";
$listener->finish;
my %seq;
push @{ $seq{$1} }, $2 while $out =~ /notification "(\w+)" with payload "\{[^\n]*?"seq": ?(\d+)/g;
is(scalar(keys %seq), 3, 'they have sequence numbers');
for my $seq (values %seq)
{
	is(scalar(grep { $seq->[$_] != $seq->[ $_ - 1 ] + 1 } 1 .. $#$seq), 0, 'of their channel, none left out')
	  or diag($out);
}
is(scalar(grep { !/"version": ?1/ } grep { /with payload/ } split /\n/, $out), 0, 'and a version');

# --- somebody who listens and never reads: a transaction that stays open
my $deaf = hold($node, 'app', "LISTEN performance_alert; COMMIT; BEGIN; SELECT 1");
my $filler = $node->safe_psql('app', q{
	SELECT count(pg_notify('filler', repeat('x', 7000) || n)) FROM generate_series(1, 200) n});
is($filler, 200, 'the queue fills a little');
samples_go_on('app', 'samples go on while somebody does not read');
query_is($node, 'app',
	"SELECT value > 0 FROM dbperf.latest_metrics() WHERE metric = 'notify_queue_percent'",
	't', 'and the queue is watched');
release($deaf);

# --- no process is left for maintenance: the sampler gives way
$node->append_conf('postgresql.conf',
	"max_worker_processes = 2\nmax_logical_replication_workers = 0\nautovacuum = off");
$node->restart;
poll_ok($node, 'app', "SELECT pid IS NOT NULL FROM dbperf.sampler_process()", 'it takes the last process');
my $last = $node->safe_psql('app', 'SELECT coalesce(max(run_id), 0) FROM dbperf.job_runs');
$node->safe_psql('app', 'SELECT dbperf.wake()');
poll_ok($node, 'app', "SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE run_id > $last AND status = 'ok')",
	'and leaves it to maintenance');

# --- a crash of the server
$node->append_conf('postgresql.conf', 'max_worker_processes = 12');
$node->restart;
samples_go_on('app', 'samples go on after a restart');
my $before = $node->safe_psql('app', 'SELECT count(*) FROM dbperf.metric_sample');
$node->stop('immediate');
$node->start;
samples_go_on('app', 'and after a crash');
is($node->safe_psql('app', q{
		SELECT count(*) FROM dbperf.metric_values
		WHERE value < 0 OR value = 'NaN' OR value = 'Infinity'}),
	0, 'no rate was ever negative');

# bounded in time, with a sampler at work
$node->stop('smart');
is(count_in_log($node, qr/FATAL:.*(sampler|database \d+ does not exist)/), 0,
	'no sampler was ended by force, nor started for a database that is gone');
done_testing();
