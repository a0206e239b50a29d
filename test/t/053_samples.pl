# Samples through a restart, a crash, on a standby, in a dump, and where the library is not preloaded;
# and the process that takes them.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = PostgreSQL::Test::Cluster->new('primary');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tradeassist_dbperf'
dbperf.naptime = '1d'
dbperf.enabled = off
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
managed_table($node, 'app', 'ticks', "'1 day', premake => 2");

# Takes a sample, when the one before is old enough for rates; then: rates by counters of the server, by
# WAL, and any that is negative.
sub rates
{
	my ($n) = @_;
	$n->poll_query_until('app', "SELECT coalesce(raw_at < clock_timestamp() - interval '1 s', true) FROM dbperf.sampler_state")
	  or die 'no time passes';
	$n->safe_psql('app', 'SELECT count(*) FROM dbperf.collect_health_metrics()');
	return $n->safe_psql('app', q{
		SELECT count(*) FILTER (WHERE metric = 'transactions_per_second'),
			count(*) FILTER (WHERE metric = 'wal_bytes_per_second'),
			count(*) FILTER (WHERE metric ~ '_per_second$' AND value < 0)
		FROM dbperf.latest_metrics()});
}

# --- counters
is(rates($node), '0|0|0', 'the first sample has no rates');
is(rates($node), '1|1|0', 'the second one has');
$node->restart;
is(rates($node), '1|1|0', 'rates go on after a restart');
$node->stop('immediate');
$node->start;
is(rates($node), '0|1|0', 'after a crash, statistics begin anew; WAL goes on');
is(rates($node), '1|1|0', 'and then there are rates again');
query_is($node, 'app', 'SELECT count(DISTINCT m.at), bool_and(s.error IS NULL) FROM dbperf.metric_sample m, dbperf.sampler_state s',
	'5|t', 'every sample was kept');

# --- two at once
my $holder = hold($node, 'app', "INSERT INTO ticks VALUES (now()); SELECT dbperf.take_sample('manual')");
is($node->safe_psql('app', "SET lock_timeout = '10 ms'; SELECT dbperf.take_sample('manual')"), 'f',
	'while another transaction takes a sample, nobody waits for it');
query_is($node, 'app', 'SELECT count(*) > 30 FROM dbperf.collect_health_metrics()', 't', 'and gets the last one');
query_is($node, 'app', q{SELECT value >= 1 FROM dbperf.collect_health_metrics() WHERE metric = 'connections_used'},
	't', 'who is connected is counted');
release($holder, 'COMMIT');
query_is($node, 'app', 'SELECT count(DISTINCT at) FROM dbperf.metric_sample', 6, 'which was kept');

# --- a standby
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->poll_query_until('app', "SELECT count(*) = 1 FROM pg_stat_replication WHERE replay_lsn IS NOT NULL")
  or die 'no standby';
is(rates($node), '1|1|0', 'the primary goes on');
query_is($node, 'app',
	q{SELECT metric, label, value >= 0 FROM dbperf.latest_metrics() WHERE metric LIKE 'replication%' ORDER BY metric},
	"replication_lag_bytes|standby|t\nreplication_lag_seconds|standby|t", 'it measures how far the standby is behind');
$node->wait_for_catchup($standby);
my $latest = 'SELECT metric, label, value, at FROM dbperf.latest_metrics() ORDER BY 1, 2';
query_is($standby, 'app', $latest, $node->safe_psql('app', $latest), 'on the standby, the last sample can be read');
query_is($standby, 'app', q{SELECT sum(samples) FROM dbperf.metric_history('load1')}, 7, 'and the history');
query_is($standby, 'app', q{
		SELECT count(*) > 30, count(*) FILTER (WHERE metric = 'transactions_per_second'),
			count(*) FILTER (WHERE metric LIKE 'replication%' AND label = 'this server'),
			count(*) FILTER (WHERE metric = 'partition_status')
		FROM dbperf.collect_health_metrics()},
	't|0|2|2', 'and it measures itself, without rates');
query_is($standby, 'app', q{SELECT reason LIKE '%standby%' FROM dbperf.monitoring_status}, 't', 'its status says so');
my ($ret, $out, $err) = $standby->psql('app', 'SELECT dbperf.start_monitoring()');
like($err, qr/read-only transaction/, 'nothing is started there');
$standby->append_conf('postgresql.conf', "primary_conninfo = ''");
$standby->reload;
$standby->poll_query_until('app', 'SELECT count(*) = 0 FROM pg_stat_wal_receiver') or die 'it stays connected';
query_is($standby, 'app', q{SELECT value > 0 FROM dbperf.collect_health_metrics() WHERE metric = 'replication_lag_seconds'},
	't', 'it does not claim to be up to date once it is cut off');
$standby->stop;

# --- dumps, with history
$node->safe_psql('app', "SELECT dbperf.start_monitoring('7 s'); SELECT dbperf.alter_policy('dbperf.metric_sample', drop_after => '60 days')");
my $history = 'SELECT * FROM dbperf.metric_values ORDER BY at, metric, label';
my $all = $node->safe_psql('app', $history);
my %restore = (
	custom => [ 'pg_restore', '-e' ],
	directory => [ 'pg_restore', '-e', '-j', '2' ],
	plain => [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f' ]);
my %options = (custom => ['-Fc'], directory => [ '-Fd', '-j2' ], plain => [ '-Fp', '--inserts', '--rows-per-insert=100' ]);
for my $format (sort keys %restore)
{
	command_ok([ 'pg_dump', '-f', "$dir/$format", @{ $options{$format} }, $node->connstr('app') ], "$format: dumped");
	$node->safe_psql('postgres', "CREATE DATABASE r_$format");
	command_ok([ @{ $restore{$format} }, "$dir/$format", '-d', $node->connstr("r_$format") ], "$format: restored");
	query_is($node, "r_$format", $history, $all, "$format: the history is there");
	query_is($node, "r_$format", q{
			SELECT m.enabled, m.sample_interval, p.drop_after, s.settled_at IS NULL, s.samples
			FROM dbperf.monitoring m, dbperf.policy p, dbperf.sampler_state s WHERE p.parent = 'dbperf.metric_sample'::regclass},
		't|00:00:07|60 days|t|0', "$format: and what was set");
	$node->safe_psql("r_$format", 'SELECT dbperf.collect_health_metrics()');
	query_is($node, "r_$format", q{
			SELECT count(DISTINCT at), (SELECT count(*) FROM dbperf.metric_series) = count(DISTINCT (metric, label)),
				(SELECT error IS NULL AND settled_at IS NOT NULL FROM dbperf.sampler_state)
			FROM dbperf.metric_values},
		'8|t|t', "$format: samples go on in the same series");
}

# the rows alone, where samples are taken already
$node->safe_psql('postgres', 'CREATE DATABASE r_rows');
command_ok([ 'pg_restore', '-e', '--schema-only', '-d', $node->connstr('r_rows'), "$dir/custom" ], 'schema only: restored');
$node->safe_psql('r_rows', "SELECT dbperf.start_monitoring('9 s'); SELECT dbperf.collect_health_metrics()");
# rows of the user's own tables and of the audit trail are no matter of this test
$node->safe_psql('r_rows', 'SELECT dbperf.unmanage(parent) FROM dbperf.policy WHERE parent = \'ticks\'::regclass');
my $tables = $node->safe_psql('app', q{
	SELECT string_agg('--table=dbperf.' || relname, ' ') FROM pg_class
	WHERE relname IN ('metric_series', 'monitoring', 'policy') OR relname ~ '^metric_sample_'});
command_ok([ 'pg_restore', '-e', '--data-only', map({ s/dbperf\.//r } split(' ', $tables)),
		'-n', 'dbperf', '-d', $node->connstr('r_rows'), "$dir/custom" ],
	'data only: restored beside new samples');
query_is($node, 'r_rows', q{SELECT count(DISTINCT at) FROM dbperf.metric_values}, 8, 'data only: old and new samples are there');
query_is($node, 'r_rows', q{
		SELECT sample_interval, drop_after FROM dbperf.monitoring, dbperf.policy WHERE parent = 'dbperf.metric_sample'::regclass},
	'00:00:09|60 days', 'data only: what was set here stays, the policy comes from the dump');

# --- somebody who is no superuser
$node->safe_psql('postgres', 'CREATE DATABASE granted');
install_extension($node, 'granted');
$node->safe_psql('granted', q{
	CREATE ROLE monitoring_admin;
	GRANT USAGE ON SCHEMA dbperf TO monitoring_admin;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO monitoring_admin;
	SET ROLE monitoring_admin;
	SELECT dbperf.collect_health_metrics();
	SELECT dbperf.start_monitoring('5 s')});
query_is($node, 'granted', q{SELECT count(m.at), bool_and(s.error IS NULL), bool_and(s.settled_at IS NOT NULL) FROM dbperf.metric_sample m, dbperf.sampler_state s},
	'1|t|t', 'whoever may execute the functions needs no other rights');

# --- while something is restored, the sampler writes nothing of its own
$node->safe_psql('postgres', 'CREATE DATABASE fresh');
my $installer = hold($node, 'fresh', 'CREATE EXTENSION tradeassist_dbperf; COMMIT; BEGIN');
my $tick = q{SELECT dbperf.take_sample('sampler') FROM generate_series(1, 3)};
my $kept = 'SELECT (SELECT samples FROM dbperf.sampler_state), (SELECT count(*) FROM dbperf.metric_sample), (SELECT count(*) FROM dbperf.policy)';
$node->safe_psql('fresh', $tick);
query_is($node, 'fresh', $kept, '3|0|0', 'not while the session that made the extension is at work');
release($installer);
$node->poll_query_until('fresh', "SELECT NOT dbperf.dump_is_arriving()") or die 'the session does not end';
my $restore = start_sql($node, 'fresh', 'SELECT pg_sleep(1000)', app => 'pg_restore');
$node->poll_query_until('fresh', "SELECT dbperf.dump_is_arriving()") or die 'no restore';
$node->safe_psql('fresh', $tick);
query_is($node, 'fresh', $kept, '6|0|0', 'nor while pg_restore is');
$node->safe_psql('fresh', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pg_restore'");
finish_sql($restore);
$node->poll_query_until('fresh', "SELECT NOT dbperf.dump_is_arriving()") or die 'pg_restore does not end';
$node->safe_psql('fresh', $tick);
query_is($node, 'fresh', $kept, '9|2|1', 'after two quiet looks, samples are kept');

# --- history is retired as partitions of any table are
$node->safe_psql('fresh', q{
	SELECT dbperf.create_partition('dbperf.metric_sample', now() - interval '40 days');
	SELECT dbperf.store_sample(now() - interval '40 days', '{load1}', '{""}', '{1}')});
my $old = q{SELECT count(*) FILTER (WHERE at < now() - interval '30 days'), count(*) FROM dbperf.metric_sample};
query_is($node, 'fresh', $old, '1|3', 'a sample of long ago');
$node->safe_psql('fresh', q{CALL dbperf.maintain('dbperf.metric_sample')});
query_is($node, 'fresh', $old, '0|2', 'goes into the recycle bin');
$node->safe_psql('fresh', q{SELECT dbperf.alter_policy('dbperf.metric_sample', recycle_for => '0')});
$node->safe_psql('fresh', q{CALL dbperf.maintain('dbperf.metric_sample')});
query_is($node, 'fresh', q{
		SELECT (SELECT status FROM dbperf.partition_health WHERE parent = 'dbperf.metric_sample'::regclass),
			count(*) FROM pg_class WHERE relname ~ '^metric_sample_' AND relkind = 'r'},
	'ok|3', 'and is dropped');

# --- the process that takes them
$node->append_conf('postgresql.conf', "dbperf.enabled = on\ndbperf.databases = 'app'");
$node->reload;
$node->safe_psql('app', "SELECT dbperf.start_monitoring('1 s')");
my $before = $node->safe_psql('app', 'SELECT samples FROM dbperf.sampler_state');
poll_ok($node, 'app', "SELECT running AND samples >= $before + 3 AND last_sample_source = 'sampler' FROM dbperf.monitoring_status",
	'a process takes samples each second');
query_is($node, 'app', "SELECT reason IS NULL, last_error, pid = (SELECT pid FROM pg_stat_activity WHERE backend_type LIKE 'dbperf sampler%')"
	  . ' FROM dbperf.monitoring_status', 't||t', 'its status is fine');
poll_ok($node, 'app', "SELECT count(DISTINCT at) > 2 FROM dbperf.metric_values WHERE metric = 'worker_silent_seconds'",
	'the samples are kept');
$node->safe_psql('app', 'SELECT dbperf.stop_monitoring()');
poll_ok($node, 'app', "SELECT NOT running AND NOT enabled AND reason LIKE '%start_monitoring%' FROM dbperf.monitoring_status",
	'until they are stopped');
$node->safe_psql('app', "SELECT dbperf.start_monitoring('1 h')");
poll_ok($node, 'app', 'SELECT running AND sample_interval = \'1 h\' FROM dbperf.monitoring_status', 'and started again');

# --- not preloaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
query_is($node, 'app', q{SELECT running, state, reason LIKE '%shared_preload_libraries%' FROM dbperf.monitoring_status},
	'f|not preloaded|t', 'not preloaded: the status says so');
($ret, $out, $err) = $node->psql('app', "SELECT dbperf.start_monitoring('5 s')");
is($ret, 0, 'not preloaded: an interval can be set');
like($err, qr/WARNING:.*no process takes samples.*HINT:.*shared_preload_libraries/s, 'not preloaded: with a warning');
rates($node);
$node->safe_psql('app', 'INSERT INTO ticks SELECT now() FROM generate_series(1, 1000); SELECT pg_stat_force_next_flush()');
rates($node);
query_is($node, 'app', q{
		SELECT (SELECT value > 0 FROM dbperf.latest_metrics() WHERE metric = 'insert_rows_per_second' AND label = 'public.ticks'),
			(SELECT value > 0 FROM dbperf.latest_metrics() WHERE metric = 'ingest_rows_per_second'),
			(SELECT count(*) FROM dbperf.latest_metrics() WHERE metric IN ('worker_silent_seconds', 'query_p50_ms', 'pool_acquire_p95_ms')),
			(SELECT error FROM dbperf.sampler_state)},
	't|t|0|', 'not preloaded: rows are counted by the statistics views');

$node->stop;
done_testing();
