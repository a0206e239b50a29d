# Counts of statements: exact with every protocol, with many sessions, with other extensions' hooks
# and whatever ends a statement; bounded; apart for each database; after a crash, on a standby and
# where there are none.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfSessions;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('queries');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'pg_stat_statements, tradeassist_dbperf, auto_explain'
dbperf.enabled = off
dbperf.max_tables = 20
dbperf.max_databases = 3
dbperf.max_slow_queries = 16
restart_after_crash = on
autovacuum = off
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_nested_statements = on
pg_stat_statements.track = all
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, $_) foreach ('postgres', 'app');

# Statements of a database since the last forget_counts(), as another one sees them
sub counted
{
	my ($db) = @_;
	return qq{
		SELECT string_agg(format('%s %s/%s', kind, calls, rows)
			|| CASE WHEN errors > 0 THEN format(' (%s failed)', errors) ELSE '' END, ', ' ORDER BY kind)
		FROM (SELECT kind, calls - (kind = 'utility')::int AS calls, rows, errors FROM dbperf.query_stats
			WHERE database = '$db' AND relation IS NULL AND window_minutes = 0 AND kind <> 'all') c
		WHERE calls > 0};
}

sub forget_counts
{
	my ($db) = @_;
	$node->safe_psql($db, 'DO $$ BEGIN PERFORM dbperf.reset_performance_stats(); END $$');
	return;
}

sub counts_are
{
	my ($expected, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return query_is($node, 'postgres', counted('app'), $expected, $name);
}

sub pgbench
{
	my ($script, @options) = @_;
	my $file = $node->basedir . '/script.sql';
	unlink $file;
	append_to_file($file, $script);
	return $node->run_log([ 'pgbench', '-n', '-t', 1, @options, '-f', $file, $node->connstr('app') ]);
}

$node->safe_psql('app', q{
	CREATE TABLE plain (k int PRIMARY KEY, v int);
	INSERT INTO plain SELECT g, g FROM generate_series(1, 100) g;
	CREATE TABLE p (k int, v int) PARTITION BY RANGE (k);
	CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (1000000);
	CREATE FUNCTION nested(n int) RETURNS int LANGUAGE plpgsql AS $$
		BEGIN FOR i IN 1..n LOOP INSERT INTO p VALUES (i, i); END LOOP; RETURN n; END $$;
	CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
		BEGIN PERFORM nested(2); COMMIT; PERFORM nested(2); ROLLBACK; PERFORM nested(1); END $$;
});

# --- every protocol, with hooks before and after ours, in both orders
my $everything = q{
SELECT v FROM plain WHERE k <= 3;
INSERT INTO p VALUES (1, 1), (2, 2);
UPDATE plain SET v = 0 WHERE k <= 4;
DELETE FROM plain WHERE k > 1000;
SELECT nested(3);
CALL steps();
BEGIN;
SELECT v FROM plain WHERE k = 1;
INSERT INTO plain VALUES (2000, 1) RETURNING k;
SELECT v FROM plain WHERE k <= 2;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT v FROM plain;
FETCH 5 FROM c;
FETCH 5 FROM c;
END;
};
foreach my $order ('as configured', 'tradeassist_dbperf, auto_explain, pg_stat_statements')
{
	if ($order ne 'as configured')
	{
		$node->append_conf('postgresql.conf', "shared_preload_libraries = '$order'\n");
		$node->restart;
	}
	foreach my $protocol (qw(simple extended prepared))
	{
		forget_counts('app');
		ok(pgbench($everything, '-M', $protocol), "$protocol protocol, libraries $order");
		counts_are('delete 1/0, insert 2/3, select 5/17, update 1/4, utility 1/0', 'each statement was counted, once');
		query_is($node, 'app', "SELECT string_agg(format('%s %s/%s', kind, calls, rows), ', ' ORDER BY kind)"
			  . " FROM dbperf.query_stats WHERE relation = 'p'::regclass AND window_minutes = 0",
			'all 9/10, insert 9/10', 'and those inside functions for their table');
	}
}
$node->safe_psql('app', q{
	CREATE EXTENSION pg_stat_statements;
	SELECT pg_stat_statements_reset();
	SET dbperf.slow_query_threshold = 0;
	SELECT v FROM plain WHERE k = 17;
	SELECT v FROM plain WHERE k = 18;
});
query_is($node, 'app',
	"SELECT kind, rows, calls_total, mean_ms_total > 0, queryid IS NOT NULL FROM dbperf.slow_queries WHERE query LIKE '%plain WHERE k = ?'",
	"select|1|2|t|t\nselect|1|2|t|t", 'pg_stat_statements is asked where it is there');

# --- what the planner works out is not what EXPLAIN is about, though auto_explain measures it
forget_counts('app');
$node->safe_psql('app', q{
	CREATE FUNCTION folded() RETURNS bigint LANGUAGE sql IMMUTABLE SET work_mem = '1MB' AS $$ SELECT count(*) FROM plain $$;
	EXPLAIN ANALYZE INSERT INTO p SELECT 1, folded() WHERE false;
});
counts_are('insert 1/0, utility 1/0', 'EXPLAIN ANALYZE counts as what it explains');

# --- text in the encoding of who reads it
$node->safe_psql('postgres', "CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
$node->safe_psql('latin', "SET client_encoding = UTF8;\nSET dbperf.slow_query_threshold = 0;\nSELECT 1 AS \"fl\xc3\xa4che\"");
$node->safe_psql('app', "SET client_encoding = UTF8;\nSET dbperf.slow_query_threshold = 0;\nSELECT 1 AS \"\xe2\x82\xac\"");
install_extension($node, 'latin');
my $texts = "FROM dbperf.slow_queries WHERE database IN ('latin', 'app') AND (query IS NULL OR query !~ '^[ -~]*\$') AND kind = 'select'";
query_is($node, 'app', "SELECT count(*), min(encode(convert_to(query, 'UTF8'), 'escape')) $texts AND database = 'latin'",
	'1|SELECT ? AS "fl\303\244che"', 'converted');
query_is($node, 'latin', "SELECT database, octet_length(query) $texts ORDER BY 1", "app|\nlatin|20", 'where that can be done');
$node->safe_psql('postgres', 'DROP DATABASE latin');

# --- a pipeline: nothing after an error is executed
forget_counts('app');
ok(pgbench(q{
\startpipeline
SELECT v FROM plain WHERE k = 1;
SELECT v FROM plain WHERE k = 2;
UPDATE plain SET v = 1 WHERE k = 1;
\endpipeline
}, '-M', 'extended'), 'a pipeline');
counts_are('select 2/2, update 1/1', 'is counted');
pgbench(q{
\startpipeline
SELECT v FROM plain WHERE k = 1;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
SELECT v FROM plain WHERE k = 2;
\endpipeline
}, '-M', 'extended');
counts_are('select 4/3 (1 failed), update 1/1', 'up to an error');

# --- many sessions
forget_counts('app');
$node->command_ok([ 'pgbench', '-n', '-M', 'prepared', '-c', 8, '-j', 2, '-t', 250, '-f', do {
		my $file = $node->basedir . '/many.sql';
		append_to_file($file, q{
\set k random(1, 100)
SELECT v FROM plain WHERE k = :k;
INSERT INTO p VALUES (:k, 1);
SELECT nested(1);
});
		$file;
	}, $node->connstr('app') ], '8 sessions');
counts_are('insert 2000/2000, select 4000/4000', 'every statement was counted');
query_is($node, 'app', "SELECT calls, rows FROM dbperf.query_stats WHERE relation = 'p'::regclass AND kind = 'all' AND window_minutes = 15",
	'4000|4000', 'also for the table, in windows');
query_is($node, 'app', 'SELECT count(*) FROM p', 4000 + 48, 'as many as there are');

# --- parallel workers, with something in each to be counted
forget_counts('app');
$node->safe_psql('app', q{
	CREATE FUNCTION looks(k int) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS $$
		BEGIN RETURN (SELECT count(*) FROM p WHERE p.k = looks.k); END $$;
	SET min_parallel_table_scan_size = 0;
	SET parallel_setup_cost = 0;
	SET parallel_tuple_cost = 0;
	SET parallel_leader_participation = off;
	SELECT sum(looks(k)) FROM plain WHERE k <= 10;
});
counts_are('select 1/1, utility 5/0', 'workers count nothing for the database');

# --- whatever ends a statement
sub end_in
{
	my ($statement, $how) = @_;
	my $it = "application_name = 'sleeper'";

	forget_counts('app');
	my $session = start_sql($node, 'app', $statement, app => 'sleeper');
	poll_ok($node, 'postgres', "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE $it", "in $statement");
	$node->safe_psql('postgres', "SELECT $how(pid) FROM pg_stat_activity WHERE $it");
	finish_sql($session);
	return poll_ok($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE $it", $how);
}
foreach my $how (qw(pg_cancel_backend pg_terminate_backend))
{
	end_in('SELECT pg_sleep(600)', $how);
	counts_are('select 1/0 (1 failed)', 'a query');
	end_in('DO $$ BEGIN PERFORM 1; PERFORM pg_sleep(600); END $$', $how);
	counts_are('utility 1/0 (1 failed)', 'a utility statement');
	end_in('COPY (SELECT k, pg_sleep(600) FROM p) TO stdout', $how);
	counts_are('copy 1/0 (1 failed)', 'COPY');
	query_is($node, 'app',
		"SELECT kind, calls, errors FROM dbperf.query_stats WHERE relation = 'p'::regclass AND window_minutes = 0 AND kind <> 'all'",
		'copy|1|1', 'for the table, too');
	end_in('PREPARE s AS SELECT pg_sleep(600); EXECUTE s', $how);
	counts_are('select 1/0 (1 failed), utility 1/0', 'a prepared statement');
	end_in('BEGIN; DECLARE c CURSOR FOR SELECT k, pg_sleep(k * 600) FROM (VALUES (0), (1)) v (k);'
		  . ' FETCH 1 FROM c; FETCH 1 FROM c', $how);
	counts_are('select 1/1 (1 failed)', 'a cursor');
	end_in('BEGIN; DECLARE c CURSOR FOR SELECT k FROM plain; FETCH 3 FROM c; INSERT INTO p SELECT 1, 1 FROM pg_sleep(600)', $how);
	counts_are('insert 1/0 (1 failed), select 1/3', 'and what was open beside it');
}

# --- a bounded number of databases; a dropped one makes room
foreach my $db (qw(third fourth))
{
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	$node->safe_psql($db, 'SELECT 1');
}
query_is($node, 'postgres', 'SELECT databases, max_databases, uncounted_statements FROM dbperf.query_state()',
	'3|3|1', 'statements of a database too many are known of');
$node->safe_psql('postgres', 'DROP DATABASE third');
$node->safe_psql('fourth', 'SELECT 1, 2');
query_is($node, 'postgres', "SELECT calls FROM dbperf.query_stats WHERE database = 'fourth' AND kind = 'all' AND window_minutes = 0",
	1, 'a dropped one makes room');
query_is($node, 'postgres', 'SELECT databases, uncounted_statements FROM dbperf.query_state()', '3|1', 'for another');

# --- 10,000 tables, and as many queries
forget_counts('app');
my $evictions = $node->safe_psql('app', 'SELECT evictions FROM dbperf.query_state()');
$node->safe_psql('app', q{
	CREATE SCHEMA many;
	DO $$
	BEGIN
		FOR i IN 1..10000 LOOP
			EXECUTE format('CREATE TABLE many.t%s (k int) PARTITION BY RANGE (k)', i);
			EXECUTE format('SELECT FROM many.t%s', i);
			IF i % 1000 = 0 THEN
				COMMIT;
			END IF;
		END LOOP;
	END
	$$;
});
query_is($node, 'app', "SELECT tables, evictions - $evictions >= 9980 FROM dbperf.query_state()", '20|t',
	'of 10,000 tables, those used last have counts');
query_is($node, 'app', "SELECT count(*), sum(calls) FROM dbperf.query_stats WHERE relation IS NOT NULL AND kind = 'select'",
	'20|20', 'of what was done with them');
forget_counts('app');
my $many = $node->basedir . '/queries.sql';
append_to_file($many, "SET dbperf.slow_query_threshold = 0;\n" . join('', map { "SELECT 1 AS column_$_;\n" } 1 .. 10000));
$node->command_ok([ 'psql', '-X', '-q', '-o', '/dev/null', '-f', $many, $node->connstr('app') ], '10,000 queries');
counts_are('select 10000/10000, utility 1/0', 'are counted');
query_is($node, 'app', "SELECT count(*), max(query), max(slow_id) - min(slow_id) FROM dbperf.slow_queries",
	'16|SELECT ? AS column_9999|15', 'the last slow ones are remembered');
query_is($node, 'app', "SELECT * FROM dbperf.slow_query_count('1 hour')", '16|10001', 'and how many there were');

# --- a standby counts its own
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('queries_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$standby->safe_psql('app', 'SELECT v FROM plain WHERE k = 1');
$standby->psql('app', 'INSERT INTO plain VALUES (3000, 1)');
query_is($standby, 'postgres',
	"SELECT kind, calls, rows, errors FROM dbperf.query_stats WHERE database = 'app' AND relation IS NULL AND window_minutes = 0 AND kind <> 'all' ORDER BY kind",
	"insert|1|0|1\nselect|1|1|0", 'a standby counts its own');
$standby->stop;

# --- a crash: new counts, which count
my $since = $node->safe_psql('app', 'SELECT since FROM dbperf.query_state()');
kill 'KILL', $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'");
poll_ok($node, 'app', "SELECT since > '$since' FROM dbperf.query_state()", 'kill -9: counts begin anew');
forget_counts('app');
$node->safe_psql('app', 'SELECT 1; SELECT nested(1)');
counts_are('select 2/2', 'it counts on');

# --- without shared memory
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
query_is($node, 'app', 'SELECT preloaded, num_nonnulls(max_databases, databases, uncounted_statements, tables, since) FROM dbperf.query_state()',
	'f|0', 'not preloaded: the state says so');
query_is($node, 'app', "SELECT count(*) FROM dbperf.query_stats UNION ALL SELECT count(*) FROM dbperf.slow_queries", "0\n0", 'and there is nothing');
query_is($node, 'app', "SELECT num_nonnulls(recent, total) FROM dbperf.slow_query_count('1 minute')", 0, 'not even a number');

is(count_in_log($node, qr/TRAP|PANIC/), 0, 'no process crashed by itself');
$node->stop;
done_testing();
