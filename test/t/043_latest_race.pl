# The last rows are never others than those of a plain query under the same snapshot, while they are
# inserted late and early, deleted and restored, moved, prepared, undone, and partitions come and go; and
# many of them come from the cache. Active rows come from indexes, backwards, and are never sorted.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $transactions = 800;    # of each of the writers
my $writers = 4;

my $node = new_node('latest', 'dbperf.enabled = off', 'log_statement = none', 'max_prepared_transactions = 20',
	'deadlock_timeout = 100ms', "session_preload_libraries = 'auto_explain'");
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');

# s1 has a default partition, s2 has none: only so can a partition be detached CONCURRENTLY; the third
# partition of both comes and goes. That of s3 stay.
$node->safe_psql('app', q{
	DO $$
	BEGIN
		EXECUTE format('CREATE FUNCTION base() RETURNS timestamptz LANGUAGE sql IMMUTABLE AS %L',
			format('SELECT %L::timestamptz', date_trunc('month', now(), 'UTC')));
		FOR n IN 1..3 LOOP
			PERFORM dbperf.create_market_schema('s' || n);
			EXECUTE format('INSERT INTO s%s.instruments (symbol) SELECT i::text FROM generate_series(1, 15) i', n);
			EXECUTE format('INSERT INTO s%s.market_data ("timestamp", instrument_id, price)
				SELECT base() + i * interval ''1 hour'', 1 + i %% 12, i FROM generate_series(0, 1200) i', n);
			EXECUTE format('ALTER TABLE %s RENAME TO third',
				(SELECT partition FROM dbperf.partition_bounds(format('s%s.market_data', n)::regclass) ORDER BY ord DESC LIMIT 1));
			EXECUTE format('INSERT INTO s%1$s.third (id, "timestamp", instrument_id, price)
				SELECT 1000000 + i, (SELECT lower_bound::timestamptz FROM dbperf.partition_bounds(''s%1$s.market_data'') WHERE partition = ''s%1$s.third''::regclass), i, i
				FROM generate_series(1, 6) i', n);
		END LOOP;
		CREATE TABLE s1.market_data_default PARTITION OF s1.market_data DEFAULT;
		INSERT INTO s1.market_data (id, "timestamp", instrument_id, price) VALUES (2000000, base() - interval '1 year', 13, 1), (2000001, base() + interval '1 year', 14, 1);
	END $$;
	-- what the function returns, and what a query does
	CREATE FUNCTION latest(n int) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
	DECLARE
		found text[];
	BEGIN
		SELECT array_agg(l::text) INTO found
		FROM dbperf.get_latest_market_data(ARRAY(SELECT generate_series(1, 16)), format('s%s.market_data', n)::regclass) l;
		RETURN found;
	END $$;
	CREATE FUNCTION plain(n int) RETURNS text[] LANGUAGE plpgsql STABLE AS $$
	DECLARE
		found text[];
	BEGIN
		EXECUTE format('SELECT array_agg(q::text) FROM (SELECT DISTINCT ON (instrument_id) id, "timestamp", instrument_id, price, volume,
			bid, ask, bid_size, ask_size, open_price, high_price, low_price, created_at, updated_at FROM s%s.market_data
			WHERE instrument_id BETWEEN 1 AND 16 AND deleted_at IS NULL ORDER BY instrument_id, "timestamp" DESC, id DESC) q', n) INTO found;
		RETURN found;
	END $$;
	CREATE FUNCTION writing() RETURNS boolean LANGUAGE sql AS $$
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'writer') $$;
	-- A partition that is attached comes to be seen by old snapshots at once: so what is found must be
	-- what a query found just before, or finds just after.
	CREATE PROCEDURE read_repeatable(OUT compared int, OUT differences int) LANGUAGE plpgsql AS $$
	DECLARE
		before text[];
		cold text[];
		warm text[];
		after text[];
		n int;
	BEGIN
		compared := 0;
		differences := 0;
		WHILE writing() LOOP
			COMMIT;
			SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
			n := 1 + compared / 2 % 2;
			before := plain(n);
			cold := latest(n);
			warm := latest(n);
			after := plain(n);
			compared := compared + 2;
			differences := differences + (cold IS DISTINCT FROM before AND cold IS DISTINCT FROM after)::int
				+ (warm IS DISTINCT FROM before AND warm IS DISTINCT FROM after)::int;
		END LOOP;
	END $$;
	CREATE PROCEDURE read_committed(OUT compared int, OUT differences int) LANGUAGE plpgsql AS $$
	DECLARE
		same boolean;
	BEGIN
		compared := 0;
		differences := 0;
		WHILE writing() LOOP
			COMMIT;
			SELECT a IS NOT DISTINCT FROM p AND b IS NOT DISTINCT FROM p INTO same
			FROM (SELECT latest(3) AS a, latest(3) AS b, plain(3) AS p OFFSET 0) q;
			compared := compared + 2;
			differences := differences + (NOT same)::int;
		END LOOP;
	END $$});

# --- the writers
my %scripts = (
	insert => q{INSERT INTO s:n.market_data ("timestamp", instrument_id, price) VALUES (base() + :m * interval '1 minute', :i, :m);},
	delete => q{UPDATE s:n.market_data SET deleted_at = now() WHERE id IN (SELECT id FROM s:n.market_data WHERE instrument_id = :i AND deleted_at IS NULL ORDER BY "timestamp" DESC, id DESC LIMIT 2);},
	restore => q{UPDATE s:n.market_data SET deleted_at = NULL WHERE id IN (SELECT id FROM s:n.market_data WHERE instrument_id = :i AND deleted_at IS NOT NULL ORDER BY "timestamp" DESC, id DESC LIMIT 2);},
	move => q{UPDATE s:n.market_data SET "timestamp" = base() + :m * interval '1 minute' WHERE id IN (SELECT id FROM s:n.market_data WHERE instrument_id = :i AND id < 1000000 ORDER BY "timestamp" DESC, id DESC LIMIT 1);},
	remove => q{DELETE FROM s:n.market_data WHERE id IN (SELECT id FROM s:n.market_data WHERE instrument_id = :i AND id < 1000000 ORDER BY "timestamp" DESC, id DESC LIMIT 1);},
);
$scripts{abort} = "BEGIN;\n$scripts{insert}\n$scripts{delete}\nROLLBACK;";
$scripts{savepoints} = "BEGIN;\nSAVEPOINT a;\n$scripts{delete}\nROLLBACK TO a;\n$scripts{insert}\nSAVEPOINT b;\n$scripts{insert}\nRELEASE b;\nCOMMIT;";
$scripts{prepared} = "BEGIN;\n$scripts{insert}\n$scripts{restore}\nPREPARE TRANSACTION 'p:client_id';\nCOMMIT PREPARED 'p:client_id';";
$scripts{unprepared} = "BEGIN;\n$scripts{insert}\n$scripts{delete}\nPREPARE TRANSACTION 'p:client_id';\nROLLBACK PREPARED 'p:client_id';";

my @command = ('pgbench', '-n', '-c', $writers, '-j', 2, '-t', $transactions, '--max-tries=1000', '--random-seed=20261121');
for my $name (sort keys %scripts)
{
	my $file = PostgreSQL::Test::Utils::tempdir() . "/$name.sql";
	append_to_file($file, "\\set n random(1, 3)\n\\set i random(1, 12)\n\\set m random(0, 80000)\n$scripts{$name}\n");
	push @command, '-f', $file;
}
my ($out, $err) = ('', '');
my $load = IPC::Run::start([ @command, $node->connstr('app') . " application_name='writer'" ],
	'<', \undef, '>', \$out, '2>', \$err, IPC::Run::timeout(3 * $PostgreSQL::Test::Utils::timeout_default));
ok($node->poll_query_until('app', 'SELECT writing()'), 'writers are at work');

# --- partitions that come and go; now and then one of them is in the way of the other, and tries again
my (@ddl, @found);
for my $n (1, 2)
{
	my $how = $n == 1 ? '' : 'CONCURRENTLY';
	my $bounds = $node->safe_psql('app', "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE oid = 's$n.third'::regclass");
	my $file = PostgreSQL::Test::Utils::tempdir() . "/ddl$n.sql";

	append_to_file($file, qq{
		SET lock_timeout = '1s';
		ALTER TABLE s$n.market_data DETACH PARTITION s$n.third $how;
		ALTER TABLE s$n.market_data DETACH PARTITION s$n.third FINALIZE;
		SELECT 'out' WHERE NOT (SELECT relispartition FROM pg_class WHERE oid = 's$n.third'::regclass);
		ALTER TABLE s$n.market_data ATTACH PARTITION s$n.third $bounds;
		SELECT 'in' WHERE (SELECT relispartition FROM pg_class WHERE oid = 's$n.third'::regclass);
	} x 30);
	my $found = '';
	push @found, \$found;
	push @ddl, IPC::Run::start([ 'psql', '-XAtq', '-f', $file, '-d', $node->connstr('app') ], '<', \undef,
		'>', \$found, '2>', \my $errors, IPC::Run::timeout(3 * $PostgreSQL::Test::Utils::timeout_default));
}

my @readers = map { start_sql($node, 'app', $_) }
  ('CALL read_repeatable(NULL, NULL)', 'CALL read_repeatable(NULL, NULL)', 'CALL read_repeatable(NULL, NULL)', 'CALL read_committed(NULL, NULL)');
$load->finish;
is($load->result(0), 0, 'no writer has failed') or diag($err);
$_->finish for @ddl;
like($$_, qr/out\nin\nout\nin/, 'partitions have come and gone') for @found;

my ($compared, $differences) = (0, 0);
for my $reader (@readers)
{
	my ($status, $result, $errors) = finish_sql($reader);
	is($status, 0, 'a reader has come to its end') or diag($errors);
	my ($c, $d) = $result =~ /(\d+)\|(\d+)/;
	$compared += $c // 0;
	$differences += $d // 1;
}
my $hits = $node->safe_psql('app', "SELECT sum(cache_hits) FROM dbperf.operation_counters() WHERE operation = 'get_latest'");
note("$compared comparisons, $hits rows from the cache");
cmp_ok($compared, '>', 1000, 'thousands of comparisons');
is($differences, 0, 'no difference');
cmp_ok($hits, '>', 1000, 'some of the rows came from the cache');
for my $n (1 .. 3)
{
	query_is($node, 'app', "SELECT latest($n) IS NOT DISTINCT FROM plain($n) AND latest($n) IS NOT DISTINCT FROM plain($n)", 't', "s$n: the same in the end");
}

# --- a restart leaves nothing behind, a standby keeps nothing
$node->restart;
query_is($node, 'app', 'SELECT latest(2) IS NOT DISTINCT FROM plain(2)', 't', 'after a restart');
$node->safe_psql('app', 'SELECT latest(2)');
cmp_ok($node->safe_psql('app', "SELECT sum(cache_hits) FROM dbperf.operation_counters() WHERE operation = 'get_latest'"), '>', 0, 'the cache fills again');

# --- the plan of get_active_market_data()
sub plan_of
{
	my ($n, $arguments) = @_;
	my ($status, $result, $plan) = $node->psql('app', qq{
		SET auto_explain.log_min_duration = 0;
		SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_analyze = on;
		SET enable_indexscan = off;
		SET client_min_messages = log;
		SELECT count(*) FROM dbperf.get_active_market_data($arguments, target => 's$n.market_data')});
	is($status, 0, 'active rows') or diag($plan);
	# the statement inside comes first
	$plan =~ s/LOG:  duration: \S+ ms  plan:\s+Query Text: SELECT count.*//s;
	return $plan;
}
my $plan = plan_of(3, '3');
like($plan, qr/Index Scan Backward/, 'an index is read backwards');
unlike($plan, qr/Sort|Bitmap|Seq Scan/, 'nothing is sorted');
like($plan, qr/third/, 'all partitions without a range');
$plan = plan_of(3, "3, base(), base() + interval '1 day'");
like($plan, qr/Index Scan Backward/, 'a range: an index is read backwards');
unlike($plan, qr/Sort|Bitmap|Seq Scan|Append|third/, 'a range: of one partition only');
$plan = plan_of(1, '3');
like($plan, qr/Merge Append.*Index Scan Backward/s, 'with a default partition: indexes are merged');
unlike($plan, qr/Sort Key.*Sort Key|Sort Method|Bitmap|Seq Scan/s, 'with a default partition: nothing is sorted');

$node->stop;
done_testing();
