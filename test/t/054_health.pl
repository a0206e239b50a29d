# Health reports and notifications against the schemas of gateway/schema: with samples, without, with
# old ones, on a standby, where the library is not preloaded, with parts broken or locked; for a superuser
# and for a member of pg_monitor.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfSessions;
use DbperfTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# Debian's Python, for which the packages are, not another one that may come first in PATH
my @validator = ('/usr/bin/python3', "$FindBin::RealBin/../lib/validate_json.py",
	"$FindBin::RealBin/../../gateway/schema");

# Lines of "schema, tab, JSON" are as the schemas say.
sub valid_ok
{
	my ($lines, $name) = @_;
	my ($out, $err) = ('', '');

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	IPC::Run::run([@validator], '<', \$lines, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
	return is($out . ($? == 0 ? '' : $err), '', $name);
}

# The reports d (database), p (performance) and t (partitions) are valid, and an expression of them
# has the same value for both users.
sub reports_ok
{
	my ($node, $expression, $expected, $name, $set) = @_;
	my @lines;

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	foreach my $user ('postgres', 'oncall')
	{
		my $reports = $node->safe_psql('app', ($set // '') . qq{;
			WITH r AS MATERIALIZED (
				SELECT dbperf.health_database() AS d, dbperf.health_performance() AS p,
					dbperf.health_partitions() AS t)
			SELECT ($expression)::text FROM r
			UNION ALL SELECT E'health_database\\t' || d::text FROM r
			UNION ALL SELECT E'health_performance\\t' || p::text FROM r
			UNION ALL SELECT E'health_partitions\\t' || t::text FROM r}, extra_params => [ '-U', $user ]);
		my ($value, @of_user) = split /\n/, $reports;
		is($value, $expected, "$name ($user)");
		push @lines, @of_user;
	}
	return valid_ok(join('', map { "$_\n" } @lines), "$name: as the schemas say");
}

my $errors = "(d -> 'errors') || (p -> 'errors') || (t -> 'errors')";
my $source = "concat_ws(' ', d #>> '{sample,source}', p #>> '{sample,stale}', t #>> '{sample,at}' IS NULL, $errors)";

my $node = PostgreSQL::Test::Cluster->new('health');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tradeassist_dbperf'
dbperf.naptime = '1d'
dbperf.sample_interval = 0
autovacuum = off
});
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE oncall LOGIN IN ROLE pg_monitor; CREATE DATABASE app');
valid_ok('', 'the schemas are strict, and say what everything is');

# --- without a sample
install_extension($node, 'app');
managed_table($node, 'app', 'ticks');
reports_ok($node, $source, 'live true t []', 'nothing was sampled: it is measured now');
managed_table($node, 'app', qq{"Odd\n\t""name"" \\ \x{c3}\x{a9}"}, "'1 day', premake => 0, drop_after => '30 days'");
$node->safe_psql('app', q{
	CREATE TABLE numbers (k bigint NOT NULL) PARTITION BY RANGE (k);
	SELECT dbperf.manage('numbers', '1000', premake => 1);
	CREATE TABLE ticks_default PARTITION OF ticks DEFAULT;
	INSERT INTO ticks VALUES ('2001-01-01', 1);
	INSERT INTO ticks SELECT now(), n FROM generate_series(1, 1000) n});
reports_ok($node,
	"concat_ws(' ', t ->> 'status', t #>> '{tables,0,parent}', t #> '{tables,0,default_has_rows}', jsonb_array_length(t -> 'tables'))",
	'degraded public.ticks true 3', 'what was done just now is there');

# --- with a sample, and one before it for the rates
$node->safe_psql('app', q{
	SET TimeZone = 'Asia/Tokyo';
	SET IntervalStyle = 'iso_8601';
	SELECT count(*) FROM dbperf.collect_health_metrics();
	UPDATE dbperf.sampler_state SET raw_at = raw_at - interval '10 s', raw_clock = raw_clock - 10;
	SELECT count(*) FROM dbperf.collect_health_metrics()});
reports_ok($node, "concat_ws(' ', $source, t #> '{partitions,at}' = t #> '{sample,at}', t #>> '{tables,0,covered_until}' LIKE '%+00')",
	'manual false f [] t t', 'by a sample, whoever took it');
reports_ok($node, "concat_ws(' ', p #>> '{queries,per_second}' IS NOT NULL, p #> '{ingest,tables,0,rows_total}', jsonb_typeof(p #> '{system,cpu_percent}'),"
	  . " jsonb_typeof(d #> '{wal,bytes_per_second}'), p #>> '{pools,0,pool}')",
	't 1001 number number default', 'which has rates');

# --- alerts, regressions, slots, pools with reports
$node->safe_psql('app', q{
	UPDATE dbperf.alert_rules SET enabled = name = 'connections';
	UPDATE dbperf.alert_rules SET warn = 1, critical = 2, clear_at = NULL WHERE name = 'connections';
	SELECT dbperf.evaluate_alerts();
	SELECT pg_create_physical_replication_slot('standby', true), pg_create_physical_replication_slot('unused');
	SELECT dbperf.track_connection_acquire(2.5);
	SELECT dbperf.report_pool_sample('{"pool": "default", "instance": "a", "size": 5, "overflow": 2, "acquire_ms": [1, 2, 3]}');
	-- worse than usual for a quarter of an hour
	SELECT dbperf.settle_monitoring();
	SELECT dbperf.create_partition('dbperf.metric_sample', now() - interval '1 hour');
	INSERT INTO dbperf.hourly_baselines
		SELECT 'query_p95_ms', 'select', n, 1, 0.1, 1000, now() FROM generate_series(0, 167) n;
	SELECT count(dbperf.store_sample(at, '{query_p95_ms}', '{select}', '{5}'))
		FROM generate_series(now() - interval '20 minutes', now(), '10 s') at});
reports_ok($node,
	"concat_ws(' ', d #>> '{alerts,list,0,rule}', d #>> '{regressions,0,metric}', d #>> '{regressions,0,ratio}',"
	  . " jsonb_array_length(d #> '{replication,slots}'), p #> '{pools,0,acquire_count}', p #> '{pools,0,client_reported,overflow}')",
	'connections query_p95_ms 5 2 4 2', 'alerts, regressions, slots and pools');

# --- every kind of notification
# What the sampler would send now is as the schema says, and is of these kinds.
sub notifications_ok
{
	my ($expected, $name) = @_;
	my @lines = split /\n/, $node->safe_psql('app', q{
		SELECT concat_ws(' ', channel, CASE WHEN octet_length(payload) >= 8000 THEN 'too long' END,
				payload::jsonb #>> '{data,event}', payload::jsonb #>> '{data,tables,0,change}') || E'\\t' || payload
		FROM dbperf.pending_notifications()});

	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is(join(', ', map { s/\t.*//r } @lines), $expected, $name);
	return valid_ok(join('', map { s/^[^\t]*/notification/r . "\n" } @lines), "$name: as the schema says");
}

# --- notifications
notifications_ok('performance_alert opened, partition_status added, database_performance', 'an alert');
$node->safe_psql('app', q{
	SELECT dbperf.acknowledge_alert(alert_id, 'mine') FROM dbperf.alerts WHERE state = 'open';
	UPDATE dbperf.alert_rules SET enabled = false;
	SELECT dbperf.evaluate_alerts();
	DROP TABLE numbers;
	UPDATE dbperf.sampler_state SET slow_at = NULL;
	SELECT count(*) FROM dbperf.collect_health_metrics()});
notifications_ok('performance_alert acknowledged, performance_alert closed, partition_status removed, database_performance',
	'the end of an alert, and of a table');
$node->safe_psql('app', 'UPDATE dbperf.alert_rules SET enabled = true');

# --- samples of a process; and of one that does not come any more
$node->safe_psql('app', "SELECT dbperf.start_monitoring('1 s')");
poll_ok($node, 'app', "SELECT dbperf.health_database() #>> '{sample,source}' = 'sampler'", 'the sampler has sampled');
reports_ok($node, "concat_ws(' ', $source, d #>> '{checks,0,name}', d #>> '{checks,0,severity}')",
	'sampler false f [] sampling ok', 'by a sample of the sampler');
$node->safe_psql('postgres', "GRANT SET ON PARAMETER dbperf.now_override TO oncall");
reports_ok($node, "concat_ws(' ', $source, d #>> '{checks,0,severity}', round((d #>> '{sample,age_seconds}')::numeric / 60))",
	'live true f [] warning 60', 'an old sample', "SET dbperf.now_override TO '" . $node->safe_psql('app', "SELECT now() + interval '1 hour'") . "'");
$node->safe_psql('app', 'SELECT dbperf.stop_monitoring()');
poll_ok($node, 'app', "SELECT state = 'off' FROM dbperf.sampler_process()", 'the sampler has left');

# --- a standby
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('health_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_slot_name = 'standby'\n");
$standby->start;
$node->safe_psql('app', 'SELECT count(*) FROM dbperf.collect_health_metrics()');
$node->wait_for_catchup($standby);
reports_ok($standby, "concat_ws(' ', $source, d #> '{server,in_recovery}', d #>> '{server,recovery,pause_state}', d #> '{server,recovery,lag_bytes}')",
	'live true f [] true not paused 0', 'a standby measures itself');
reports_ok($standby, "concat_ws(' ', t #>> '{worker,state}', jsonb_array_length(t -> 'tables'))", 'standby 3',
	'and has the partitions of the primary');
reports_ok($node, "concat_ws(' ', d #>> '{replication,standbys,0,name}', d #>> '{replication,standbys,0,state}')",
	'health_standby streaming', 'the primary shows it');
$standby->stop;

# --- parts that are broken; the rest is there
$node->safe_psql('app', q{
	ALTER VIEW dbperf.regressions RENAME TO hidden;
	ALTER VIEW dbperf.partition_health RENAME TO hidden_health;
	DELETE FROM dbperf.noted_regressions;
	UPDATE dbperf.sampler_state SET "values" = '[["connections_used"]]', slow_at = NULL});
reports_ok($node,
	"concat_ws(' ', d ->> 'status' <> 'ok', d #>> '{sample,source}', jsonb_array_length(d -> 'errors'), d #>> '{server,in_recovery}',"
	  . " d -> 'regressions', t -> 'partitions', t -> 'tables')",
	't manual 2 false null null null', 'broken parts');
$node->safe_psql('app', q{
	ALTER VIEW dbperf.hidden_health RENAME TO partition_health;
	ALTER TABLE dbperf.sampler_state RENAME TO hidden_state;
	ALTER TABLE dbperf.alert_rules RENAME TO hidden_rules});
reports_ok($node, "concat_ws(' ', d #>> '{sample,source}', jsonb_array_length(d -> 'checks'))", 'live 2', 'no state, no rules');
$node->safe_psql('app', q{
	ALTER VIEW dbperf.hidden RENAME TO regressions;
	ALTER TABLE dbperf.hidden_state RENAME TO sampler_state;
	ALTER TABLE dbperf.hidden_rules RENAME TO alert_rules;
	DELETE FROM dbperf.sampler_state});

# --- nobody is waited for
my $limit = "SET statement_timeout = '10s'";
my $user = hold($node, 'app', 'LOCK ticks, ticks_default');
reports_ok($node, "concat_ws(' ', t #>> '{partitions,tables}', $errors)", '3 []', 'tables that are locked', $limit);
release($user);
my $owner = hold($node, 'app',
	'LOCK dbperf.policy, dbperf.sampler_state, dbperf.alerts, dbperf.alert_rules, dbperf.metric_sample');
reports_ok($node, "concat_ws(' ', d ->> 'status', d -> 'alerts', t -> 'tables', d #> '{server,in_recovery}')",
	'degraded null null false', 'tables of the extension that are locked', $limit);
release($owner);

# --- without the library
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
reports_ok($node, "concat_ws(' ', $source, d #>> '{monitoring,state}', d #>> '{worker,preloaded}')", 'live true t [] not preloaded false',
	'not preloaded, no sample');
$node->safe_psql('app', 'SELECT count(*) FROM dbperf.collect_health_metrics()');
reports_ok($node, "concat_ws(' ', $source, p #> '{query_stats}')", 'manual false f [] []', 'not preloaded, with a sample');

$node->stop;
done_testing();
