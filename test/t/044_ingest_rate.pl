# Counters in shared memory: exact under concurrency, bounded, apart for each database, with other
# extensions' hooks, on a standby, after a crash, and where there are none.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $counted = "SELECT string_agg(format('%s %s/%s', relation, rows_total, batches_total), ', '"
  . " ORDER BY relation::text COLLATE \"C\") FROM dbperf.ingest_rate WHERE batches_total > 0";

sub make_tables
{
	my ($node, $db, $from, $to) = @_;
	$node->safe_psql($db, join('', map {
		"CREATE TABLE p$_ (k int, v int) PARTITION BY RANGE (k);"
		  . "CREATE TABLE p${_}_1 PARTITION OF p$_ FOR VALUES FROM (0) TO (1000000);"
	} $from .. $to));
	return;
}

my $node = PostgreSQL::Test::Cluster->new('counters');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_stat_statements, tradeassist_dbperf, auto_explain'
dbperf.enabled = off
dbperf.max_tables = 3
autovacuum = off
max_prepared_transactions = 5
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_nested_statements = on
pg_stat_statements.track = all
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
make_tables($node, 'app', 1, 5);

# --- hooks of others before and after
$node->safe_psql('app', 'CREATE EXTENSION pg_stat_statements');
$node->safe_psql('app', 'INSERT INTO p1 VALUES (1), (2)');
$node->safe_psql('app', q{DO $$ BEGIN INSERT INTO p1 VALUES (3); INSERT INTO p1 VALUES (4); END $$});
query_is($node, 'app', $counted, 'p1 4/3', 'counts beside other extensions');
query_is($node, 'app',
	"SELECT sum(rows) FROM pg_stat_statements WHERE query LIKE 'INSERT INTO p1%'",
	4, 'and they do');

# --- many sessions at a time
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'tradeassist_dbperf, pg_stat_statements'\n");
$node->restart;
query_is($node, 'app', "SELECT coalesce(($counted), 'none')", 'none', 'a restart forgets');
$node->safe_psql('app', 'SELECT pg_stat_statements_reset(); INSERT INTO p1 VALUES (1)');
query_is($node, 'app',
	"SELECT wal_bytes > 0 FROM pg_stat_statements WHERE query LIKE 'INSERT INTO p1%'",
	't', 'an extension that comes after finds what it measures');
$node->safe_psql('app', 'TRUNCATE p1; SELECT dbperf.reset_performance_stats()');
my $script = $node->basedir . '/insert.sql';
append_to_file($script, q{
\set k random(1, 1000)
INSERT INTO p1 VALUES (:k), (:k);
BEGIN;
INSERT INTO p2 VALUES (:k);
SAVEPOINT s;
INSERT INTO p2_1 VALUES (:k);
ROLLBACK TO s;
INSERT INTO p1_1 VALUES (:k);
COMMIT;
BEGIN;
INSERT INTO p1 VALUES (:k);
ROLLBACK;
});
$node->command_ok(
	[ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 200, '-f', $script, $node->connstr('app') ],
	'8 sessions insert');
query_is($node, 'app', $counted, 'p1 4800/3200, p2 1600/1600', 'every row was counted, once');
query_is($node, 'app', 'SELECT count(*) FROM p1 UNION ALL SELECT count(*) FROM p2', "4800\n1600",
	'as many as there are');
query_is($node, 'app', 'SELECT round(rows_per_second_15m * 900) = rows_total FROM dbperf.ingest_rate',
	"t\nt", 'and all came in within the last minutes');

# --- a parallel plan below the INSERT
$node->safe_psql('app', q{
	SELECT dbperf.reset_performance_stats();
	SET min_parallel_table_scan_size = 0;
	SET parallel_setup_cost = 0;
	SET parallel_tuple_cost = 0;
	SET parallel_leader_participation = off;
	INSERT INTO p3 SELECT count(*), v FROM p1 GROUP BY v;
});
query_is($node, 'app', $counted, 'p3 1/1', 'workers of a parallel plan count nothing');

# --- the table used least recently makes room
$node->safe_psql('app', 'SELECT dbperf.reset_performance_stats()');
my $evictions = $node->safe_psql('app', 'SELECT evictions FROM dbperf.counters_state()');
$node->safe_psql('app', "INSERT INTO p$_ VALUES ($_)") foreach (1, 2, 3, 1, 4);
query_is($node, 'app', $counted, 'p1 2/2, p3 1/1, p4 1/1', 'p2 made room for p4');
query_is($node, 'app', "SELECT tables, max_tables, evictions - $evictions FROM dbperf.counters_state()",
	'3|3|1', 'which was counted');
$node->safe_psql('app', 'DROP TABLE p3');
query_is($node, 'app', $counted, 'p1 2/2, p4 1/1', 'a dropped table is not shown');
$node->safe_psql('app', "INSERT INTO p$_ VALUES ($_)") foreach (1, 4, 5);
query_is($node, 'app', $counted, 'p1 3/3, p4 2/2, p5 1/1', 'and makes room');
# all at once
$node->safe_psql('app', 'BEGIN;' . join('', map { "INSERT INTO p$_ VALUES ($_);" } (1, 2, 4, 5)) . 'COMMIT');
query_is($node, 'app', 'SELECT tables FROM dbperf.counters_state()', 3,
	'a transaction with more tables than there is room');

# --- another database with the same OIDs
$node->safe_psql('app', 'SELECT dbperf.reset_performance_stats()');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE app');
query_is($node, 'app', "SELECT 'p1'::regclass::oid",
	$node->safe_psql('copy', "SELECT 'p1'::regclass::oid"), 'a copy of the database');
$node->safe_psql('app', 'INSERT INTO p1 VALUES (1)');
$node->safe_psql('copy', 'INSERT INTO p1 VALUES (1), (2)');
query_is($node, 'app', $counted, 'p1 1/1', 'counts its own');
query_is($node, 'copy', $counted, 'p1 2/1', 'and so does the copy');
$node->safe_psql('copy', 'SELECT dbperf.reset_performance_stats()');
query_is($node, 'app', $counted, 'p1 1/1', 'a reset is for one database');
query_is($node, 'copy', "SELECT coalesce(($counted), 'none')", 'none', 'only');

# --- a standby: nothing is written there, but its counters can be read
$node->safe_psql('app', "CREATE TABLE m (at timestamptz NOT NULL) PARTITION BY RANGE (at);"
	  . "SELECT dbperf.manage('m', '1 month', premake => 1)");
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('counters_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->safe_psql('app', 'INSERT INTO m VALUES (now())');
$node->wait_for_catchup($standby);
query_is($standby, 'app',
	'SELECT relation, source, rows_total, rows_per_second_1m FROM dbperf.ingest_rate',
	'm|shared memory|0|0', 'what the primary counted is not the standby\'s');
query_is($standby, 'app', 'SELECT count(*) FROM dbperf.get_performance_stats()', 0,
	'nor its operations');
$standby->stop;

# --- a crash
query_is($node, 'app', $counted, 'm 1/1, p1 1/1', 'before a crash');
$node->stop('immediate');
$node->start;
query_is($node, 'app', "SELECT coalesce(($counted), 'none')", 'none', 'after it');
$node->safe_psql('app', 'INSERT INTO m VALUES (now())');
query_is($node, 'app', $counted, 'm 1/1', 'it counts on');

# --- without shared memory
$node->safe_psql('app', 'SELECT pg_stat_reset()');
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
$node->safe_psql('app', "INSERT INTO m VALUES (now()), (now() + interval '20 days'); INSERT INTO p1 VALUES (1)");
poll_ok($node, 'app', 'SELECT rows_total = 2 FROM dbperf.ingest_rate',
	'not preloaded: rows by the statistics views');
query_is($node, 'app',
	'SELECT relation, source, rows_total, num_nonnulls(batches_total, rows_per_second_1m,'
	  . ' rows_per_second_5m, rows_per_second_15m, batch_p50_ms, late_rows, since) FROM dbperf.ingest_rate',
	'm|statistics views|2|0', 'of managed tables, and no more');
query_is($node, 'app', 'SELECT relation, operation, calls, rows FROM dbperf.get_performance_stats()',
	'm|insert||2', 'as operation insert');
query_is($node, 'app', 'SELECT preloaded, tables FROM dbperf.counters_state()', 'f|',
	'which the state says');
my ($ret, $out, $err) = $node->psql('app', 'SELECT dbperf.reset_performance_stats()');
like($err, qr/nothing is counted.*HINT: .*shared_preload_libraries/s, 'and reset');

is(count_in_log($node, qr/TRAP|PANIC|terminated by signal/), 0, 'no process crashed');
$node->stop;
done_testing();
