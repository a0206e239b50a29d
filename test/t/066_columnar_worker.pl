# A process of its own compresses old partitions by policy, while inserts go on: nothing is lost,
# nobody waits, and it makes way for whoever needs the table, or the database.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('columnar_worker', 'log_min_messages = log', 'dbperf.compress_pause = 0', 'max_prepared_transactions = 5',
	'wal_level = logical');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');

# Daily partitions from so many days ago on, with so many rows each.
sub ticks
{
	my ($db, $table, $days, $rows, $arguments) = @_;
	$node->safe_psql($db, qq{
		CREATE TABLE $table (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, sym int NOT NULL, v float8,
			note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON $table (sym, at);
		SELECT dbperf.manage('$table', '1 day', premake => 1, lock_budget => '100 ms' $arguments);
		SELECT count(*) FROM dbperf.create_partitions('$table', (now() - interval '$days days')::text, now()::text);
		INSERT INTO $table (at, sym, v, note)
			SELECT date_trunc('day', now()) - d * interval '1 day' + i * interval '1 s', i % 10, i / 7.0, CASE WHEN i % 100 = 0 THEN 'n' || i END
			FROM generate_series(0, $days) d, generate_series(1, $rows) i WHERE i * interval '1 s' < interval '1 day';
		CREATE TABLE ${table}_twin (LIKE $table);
		INSERT INTO ${table}_twin SELECT * FROM $table});
	return;
}

sub same_as_twin
{
	my ($db, $table, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, qq{
		SELECT count(*) FROM ((TABLE $table EXCEPT ALL TABLE ${table}_twin) UNION ALL (TABLE ${table}_twin EXCEPT ALL TABLE $table)) d}),
		0, $name);
	return;
}

my $columnar = "SELECT count(*) FROM dbperf.partitions WHERE access_method = 'dbperf_columnar' AND parent = 'TABLE'::regclass";
sub columnar { return $columnar =~ s/TABLE/$_[0]/r; }

# --- inserts and changes go on while it works
ticks('app', 'ticks', 6, 20000, '');
my $since = -s $node->logfile;
my $writer = start_sql($node, 'app', q{
	SET lock_timeout = '5s';
	DO $$
	BEGIN
		FOR i IN 1..400 LOOP
			INSERT INTO ticks (at, sym, v) SELECT date_trunc('day', now()) - (i % 6) * interval '1 day' + i * interval '1 ms', i % 10, i;
			DELETE FROM ticks WHERE sym = i % 10 AND at = date_trunc('day', now()) - (i % 6) * interval '1 day' + i * interval '10 s';
			UPDATE ticks SET v = v + 1000 WHERE sym = (i + 1) % 10 AND at = date_trunc('day', now()) - (i % 6) * interval '1 day' + (i + 1) * interval '20 s';
			COMMIT;
		END LOOP;
	END $$});
# what is compressed must be the same as what happens to the twin
$node->safe_psql('app', q{SELECT dbperf.alter_policy('ticks', compress_after => '1 day', sort_by => '{sym,at}')});
poll_ok($node, 'app', columnar('ticks') , 'the worker compresses what is old', 5);
my ($status, undef, $err) = finish_sql($writer);
is($status, 0, 'writers go on') or diag $err;
$node->safe_psql('app', q{
	DO $$
	BEGIN
		FOR i IN 1..400 LOOP
			INSERT INTO ticks_twin (id, at, sym, v) SELECT (SELECT max(id) + 1 FROM ticks_twin), date_trunc('day', now()) - (i % 6) * interval '1 day' + i * interval '1 ms', i % 10, i;
			DELETE FROM ticks_twin WHERE sym = i % 10 AND at = date_trunc('day', now()) - (i % 6) * interval '1 day' + i * interval '10 s';
			UPDATE ticks_twin SET v = v + 1000 WHERE sym = (i + 1) % 10 AND at = date_trunc('day', now()) - (i % 6) * interval '1 day' + (i + 1) * interval '20 s';
		END LOOP;
	END $$});
same_as_twin('app', 'ticks', 'nothing is lost, and nothing is there twice');
query_is($node, 'app', q{
	SELECT count(*), bool_and(source = 'worker'), bool_and((detail ->> 'bytes_after')::bigint < (detail ->> 'bytes_before')::bigint), max(ms_held) < 2000
	FROM dbperf.partition_events WHERE action = 'compress'}, '5|t|t|t', 'the audit trail tells of it');
query_is($node, 'app', "SELECT bool_and(job = 'compression' AND status = 'ok'), sum(partitions_compressed) >= 5 FROM dbperf.job_runs WHERE partitions_compressed > 0",
	't|t', 'and so does job_runs');
query_is($node, 'app', 'SELECT concat_ws(\' \', ok, reason) FROM dbperf.verify_audit()', 't', 'the audit trail is whole');

# --- late rows are merged when there are enough
$node->safe_psql('app', q{
	WITH new AS (INSERT INTO ticks (at, sym, v) SELECT date_trunc('day', now()) - interval '3 days' + i * interval '1 us', 1, i FROM generate_series(1, 5000) i RETURNING *)
	INSERT INTO ticks_twin SELECT * FROM new;
	SELECT dbperf.alter_policy('ticks', recompress_rows => 3000)});
poll_ok($node, 'app', q{SELECT count(*) FROM dbperf.partition_events WHERE action = 'recompress' AND source = 'worker'}, 'late rows are merged by their number', 1);
same_as_twin('app', 'ticks', 'all the same');
query_is($node, 'app', q{SELECT late_rows, recompressed_at IS NOT NULL FROM dbperf.compression WHERE recompressed_at IS NOT NULL}, '0|t', 'none are left');

# --- an old snapshot, and a transaction that has the table in use: it waits and says for whom
ticks('app', 'held', 4, 2000, '');
my $holder = hold($node, 'app', 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM ticks');
$node->safe_psql('app', 'UPDATE held SET v = v + 1; UPDATE held_twin SET v = v + 1');
poll_ok($node, 'app', "SELECT dbperf.rewrite_obstacle(('held_' || to_char(now() - interval '3 days', 'YYYY_MM_DD'))::regclass) IS NOT NULL",
	'an old snapshot is one of more than a few seconds');
$node->safe_psql('app', q{SELECT dbperf.alter_policy('held', compress_after => '1 day')});
poll_ok($node, 'app', q{SELECT status = 'warning' AND array_to_string(reasons, ' ') ~ 'compressing partitions is held up: .*older transactions may not see its rows yet: process '
	FROM dbperf.partition_health WHERE parent = 'held'::regclass}, 'health says that an old snapshot stands in the way');
query_is($node, 'app', "SELECT count(*) = 3, bool_and(decision = 'wait' AND reason ~ 'process $holder->{pid} ') FROM dbperf.plan_maintenance('held') WHERE action = 'compress'",
	't|t', 'and so does the plan');
query_is($node, 'app', columnar('held'), 0, 'nothing is compressed');
release($holder);
$node->safe_psql('app', 'UPDATE dbperf.policy_state SET compress_next_try_at = NULL; SELECT dbperf.wake()');
poll_ok($node, 'app', columnar('held'), 'when it has ended, all is', 3);
poll_ok($node, 'app', q{SELECT compress_error IS NULL FROM dbperf.policy_state WHERE parent = 'held'::regclass}, 'and forgotten');
same_as_twin('app', 'held', 'with all rows');

# --- who needs the table does not wait for it: the process makes way
$node->append_conf('postgresql.conf', 'dbperf.compress_pause = 3000');
$node->reload;
ticks('app', 'slow', 3, 20000, '');
my $busy = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'dbperf archiver' AND datname = 'DB') AND EXISTS"
	. " (SELECT FROM pg_locks WHERE mode = 'ShareUpdateExclusiveLock' AND granted AND relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'TABLE'::regclass))";
$node->safe_psql('app', q{SELECT dbperf.alter_policy('slow', compress_after => '1 day')});
poll_ok($node, 'app', $busy =~ s/DB/app/r =~ s/TABLE/slow/r, 'it is at work');
query_is($node, 'app', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbperf archiver'", 1, 'one process');
my $runs = $node->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');
ok(wake_and_wait($node, 'app'), 'maintenance goes on meanwhile');
my $started = time;
$node->safe_psql('app', q{SET statement_timeout = '20s'; ALTER TABLE slow ADD COLUMN more int; ALTER TABLE slow_twin ADD COLUMN more int});
cmp_ok(time - $started, '<', 10, 'ALTER TABLE does not wait for it');
poll_ok($node, 'app', q{SELECT coalesce(compress_error ~ 'others waited', false) OR EXISTS (SELECT FROM dbperf.job_runs WHERE job = 'compression' AND status = 'running')
	FROM dbperf.policy_state WHERE parent = 'slow'::regclass}, 'it says why');
same_as_twin('app', 'slow', 'nothing was lost by that');
$node->append_conf('postgresql.conf', 'dbperf.compress_pause = 0');
$node->reload;
$node->safe_psql('app', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dbperf archiver'});
poll_ok($node, 'app', "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbperf archiver'", 'a cancel ends it', 0);

# --- making partitions comes first, also where a foreign key needs the table that is being compressed; and
# detaching another partition does not wait for it
$node->append_conf('postgresql.conf', 'dbperf.compress_pause = 3000');
$node->reload;
$node->safe_psql('app', q{SELECT dbperf.alter_policy('slow', compress_after => 'never')});
ticks('app', 'fk', 3, 20000, '');
$node->safe_psql('app', q{
	CREATE TABLE child (id bigint, at timestamptz NOT NULL, k date NOT NULL, FOREIGN KEY (id, at) REFERENCES fk) PARTITION BY RANGE (k);
	SELECT dbperf.manage('child', '1 day', premake => 0);
	SELECT dbperf.alter_policy('fk', compress_after => '1 day')});
poll_ok($node, 'app', $busy =~ s/DB/app/r =~ s/TABLE/fk/r, 'it is at work on a table that another one points to');
ticks('app', 'leaving', 3, 100, '');
$started = time;
$node->safe_psql('app', q{SELECT dbperf.detach_partition(min(partition::text)::regclass) FROM dbperf.partitions WHERE parent = 'leaving'::regclass});
cmp_ok(time - $started, '<', 4, 'a partition of another table is detached meanwhile');
query_is($node, 'app', q{SELECT dbperf.create_partition('child', (now() + interval '5 days')::timestamptz) IS NOT NULL}, 't', 'and a partition of the other one made');
cmp_ok(time - $started, '<', 8, 'soon');
same_as_twin('app', 'fk', 'nothing was lost');

# --- DROP DATABASE
$node->safe_psql('app', q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE backend_type = 'dbperf archiver'});
$node->safe_psql('postgres', 'CREATE DATABASE gone');
install_extension($node, 'gone');
ticks('gone', 't', 3, 20000, '');
$node->safe_psql('gone', q{SELECT dbperf.alter_policy('t', compress_after => '1 day')});
poll_ok($node, 'gone', $busy =~ s/DB/gone/r =~ s/TABLE/t/r, 'in another database it is at work');
$started = time;
($status, undef, $err) = $node->psql('postgres', 'DROP DATABASE gone');
is($status, 0, 'DROP DATABASE') or diag $err;
cmp_ok(time - $started, '<', 5, 'soon');

# --- no more than dbperf.archive_workers at a time, and none with 0
$node->append_conf('postgresql.conf', "dbperf.archive_workers = 0\ndbperf.compress_pause = 0");
$node->reload;
ticks('app', 'none', 3, 100, ", compress_after => '1 day'");
ok(wake_and_wait($node, 'app'), 'a run with no archive worker');
query_is($node, 'app', "SELECT count(*), min(decision), min(reason) FROM dbperf.plan_maintenance('none') WHERE action = 'compress'",
	'2|wait|dbperf.archive_workers is 0', 'the plan says why it waits');
query_is($node, 'app', columnar('none'), 0, 'nothing is compressed');
$node->append_conf('postgresql.conf', 'dbperf.archive_workers = 2');
$node->reload;
$node->safe_psql('app', 'SELECT dbperf.wake()');
poll_ok($node, 'app', columnar('none'), 'with two it is', 2);
same_as_twin('app', 'none', 'all rows');

# --- what ends the process is not tried for ever, and costs nothing
$node->append_conf('postgresql.conf', "dbperf.archive_workers = 1\ndbperf.compress_pause = 3000");
$node->reload;
ticks('app', 'crash', 3, 20000, ", compress_after => '1 day'");
$node->safe_psql('app', 'SELECT dbperf.wake()');
poll_ok($node, 'app', $busy =~ s/DB/app/r =~ s/TABLE/crash/r, 'it is at work again');
my $pid = $node->safe_psql('app', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbperf archiver'");
kill 'KILL', $pid;
$node->poll_query_until('postgres', 'SELECT 1', '1');
$node->append_conf('postgresql.conf', 'dbperf.compress_pause = 0');
$node->restart;
same_as_twin('app', 'crash', 'after kill -9: all as it was');
$node->safe_psql('app', 'UPDATE dbperf.policy_state SET compress_next_try_at = NULL; SELECT dbperf.wake()');
poll_ok($node, 'app', columnar('crash'), 'and done later', 2);
same_as_twin('app', 'crash', 'with all rows');
query_is($node, 'app', "SELECT count(*) > 0 FROM dbperf.job_runs WHERE job = 'compression' AND status = 'crashed'", 't', 'job_runs knows of the crash');
query_is($node, 'app', 'SELECT concat_ws(\' \', ok, reason) FROM dbperf.verify_audit()', 't', 'the audit trail is whole');
is(count_in_log($node, qr/TRAP|PANIC|cache lookup failed|could not open file/, $since), 0, 'the log has nothing worse');
$node->stop;
done_testing();
