# Retiring by the worker and by hand against DDL on parent and partitions and the writes of three
# sessions, all from a fixed seed: nothing fails that should not, and in the end every row that was
# ever committed is in the table, in the recycle bin, or in the range of a partition that was dropped.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# what the statements are comes from the seed; how they meet, from the scheduler
my $seed = $ENV{DBPERF_TEST_SEED} // 20261121;
my $rounds = 200;
note("seed $seed");
srand($seed);

my $node = new_node('random', 'log_statement = none', "dbperf.naptime = '1s'", 'deadlock_timeout = 200ms');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE TABLE ref (id int PRIMARY KEY);
	INSERT INTO ref SELECT generate_series(0, 9);
	CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, who int, r int DEFAULT 1, note text,
		PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE other (v int);
	CREATE TABLE ledger (id bigint PRIMARY KEY, at timestamptz, gone bool NOT NULL DEFAULT false);
	CREATE TABLE done (yes bool);
	SELECT dbperf.manage('t', '1 day', premake => 1, lock_budget => '50 ms');
	SELECT count(*) FROM dbperf.create_partitions('t', (now() - interval '20 days')::text, now()::text);
	CREATE FUNCTION any_part(wanted text) RETURNS regclass LANGUAGE sql AS $$
		SELECT partition FROM dbperf.partitions WHERE parent = 't'::regclass AND state = wanted ORDER BY random() LIMIT 1 $$;
	CREATE FUNCTION any_binned() RETURNS regclass LANGUAGE sql AS $$
		SELECT partition FROM dbperf.recycle_bin WHERE state = 'detached' ORDER BY random() LIMIT 1 $$;
	CREATE FUNCTION on_part(wanted text, command text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		p regclass := any_part(wanted);
	BEGIN
		IF p IS NOT NULL THEN EXECUTE format(command, p); END IF;
	EXCEPTION WHEN undefined_table OR undefined_object OR duplicate_table OR duplicate_object THEN NULL;
	END $$});

sub pick
{
	my @choices = @_;
	return $choices[ int(rand(scalar @choices)) ];
}

sub maintenance
{
	my ($i) = @_;
	my $days = 4 + int(rand(14));
	return pick(
		'CALL dbperf.maintain()', 'SELECT dbperf.wake()',
		"SELECT count(*) FROM dbperf.plan_maintenance('t')",
		'SELECT count(*) FROM dbperf.cleanup_old_partitions()',
		"SELECT count(*) FROM dbperf.run_maintenance('t')",
		"SELECT dbperf.detach_partition(any_part('past')) WHERE any_part('past') IS NOT NULL",
		"SELECT dbperf.detach_partition(any_part('past')) WHERE any_part('past') IS NOT NULL",
		"SELECT dbperf.attach_partition(any_binned(), '1 s') WHERE any_binned() IS NOT NULL",
		"SELECT dbperf.attach_partition(any_binned(), '1 s') WHERE any_binned() IS NOT NULL",
		'SELECT dbperf.drop_partition(any_binned()) WHERE any_binned() IS NOT NULL',
		"SELECT dbperf.alter_policy('t', detach_after => '$days days', recycle_for => '" . int(rand(3)) . " s', drop_after => '"
		  . ($days + int(rand(6))) . " days')",
		"SELECT dbperf.alter_policy('t', detach_after => 'never', drop_after => 'never')",
		"SELECT count(*) FROM dbperf.fill_gaps('t')");
}

sub ddl
{
	my ($i) = @_;
	my $c = 'c' . int(rand(3));
	return pick(
		"ALTER TABLE t ADD COLUMN IF NOT EXISTS $c int DEFAULT 7", "ALTER TABLE t ADD COLUMN IF NOT EXISTS $c text",
		"ALTER TABLE t DROP COLUMN IF EXISTS $c",
		"CREATE INDEX IF NOT EXISTS i_$c ON t (who, r)", "DROP INDEX IF EXISTS i_$c",
		"ALTER TABLE t ADD CONSTRAINT k_$i CHECK (id > 0)",
		q{DO $$ BEGIN EXECUTE coalesce((SELECT format('ALTER TABLE t DROP CONSTRAINT %I', conname) FROM pg_constraint
			WHERE conrelid = 't'::regclass AND contype IN ('c', 'f') ORDER BY random() LIMIT 1), 'SELECT 1'); END $$},
		"ALTER TABLE t ADD CONSTRAINT f_$i FOREIGN KEY (r) REFERENCES ref",
		"SELECT on_part('past', 'ALTER TABLE %s ADD CONSTRAINT own_$i CHECK (id > 0)')",
		"SELECT on_part('past', 'CREATE INDEX own_$i ON %s (r)')",
		"SELECT on_part('past', 'ALTER TABLE %s RENAME TO renamed_$i')",
		'ALTER TABLE t RENAME COLUMN note TO remark', 'ALTER TABLE t RENAME COLUMN remark TO note',
		"SELECT on_part('past', 'ANALYZE %s')", 'ANALYZE t', 'VACUUM t', 'TRUNCATE other',
		"SELECT on_part('past', 'LOCK TABLE %s IN ACCESS SHARE MODE')",
		"BEGIN; SELECT count(*) FROM t; SELECT pg_sleep(0.05); COMMIT",
		"BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t; SELECT pg_sleep(0.05); SELECT count(*) FROM t; COMMIT");
}

sub script
{
	my ($statement) = @_;
	return "\\set ON_ERROR_STOP 0\n\\set VERBOSITY verbose\nSET client_min_messages = error;\nSET lock_timeout = '2s';\n"
	  . join('', map { my $sql = $statement->($_); "\\echo $_\n$sql;\nROLLBACK;\n" } 1 .. $rounds);
}

# Each row is noted in the same transaction that writes or deletes it; a deadlock is tried again.
my $writer = q{
	\set VERBOSITY verbose
	SELECT setseed(%s);
	DO $$
	DECLARE
		new_id bigint;
		new_at timestamptz;
		dice float8;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM done) LOOP
			new_at := now() - random() * interval '20 days';
			dice := random();
			BEGIN
				IF dice < 0.7 THEN
					INSERT INTO t (at, who) VALUES (new_at, 1) RETURNING id INTO new_id;
					INSERT INTO ledger (id, at) VALUES (new_id, new_at);
				ELSIF dice < 0.8 THEN
					UPDATE t SET r = (r + 1) %% 10 WHERE id = (SELECT max(id) - 50 FROM ledger);
				ELSIF dice < 0.85 THEN
					WITH d AS (DELETE FROM t WHERE id = (SELECT max(id) - 20 FROM ledger) RETURNING id)
					UPDATE ledger SET gone = true WHERE id IN (SELECT id FROM d);
				ELSIF dice < 0.9 THEN
					PERFORM count(*) FROM (SELECT FROM t WHERE at > now() - interval '3 days' LIMIT 20 FOR UPDATE) s;
				ELSE
					PERFORM count(*) FROM t WHERE at BETWEEN new_at AND new_at + interval '1 day';
				END IF;
			EXCEPTION
				WHEN check_violation THEN NULL;		-- its partition has gone
				WHEN deadlock_detected THEN NULL;
				WHEN internal_error THEN
					-- PostgreSQL's own: a statement from before a partition was marked as being detached
					-- meets the parent with a column that has come since
					IF SQLERRM NOT LIKE 'could not find inherited attribute %%' THEN
						RAISE;
					END IF;
			END;
			COMMIT;
			PERFORM pg_sleep(0.0005);
		END LOOP;
	END $$};
my $since = -s $node->logfile;
my @writers = map { start_sql($node, 'app', sprintf($writer, $_ / 10), app => "writer $_") } 1 .. 3;
my @scripts = map { start_sql($node, 'app', script($_), app => 'script') } (\&maintenance, \&ddl);

# SQLSTATEs that a crowd explains: locks, deadlocks, cancels of one's own wait, a partition that somebody
# else was faster with, names and constraints that are there already or no more
my $expected = '55P03|40P01|40001|55006|55000|42P01|42704|42809|42710|42P07|42701|42703|2BP01|0A000|23514';
for my $session (@scripts)
{
	my ($status, $out, $err) = finish_sql($session);
	is($status, 0, 'a script came to its end');
	like($out, qr/^$rounds$/m, 'with all of its rounds');
	my @errors = grep { /ERROR/ && !/ERROR:  (?:$expected):/ } split /\n/, $err;
	is(join("\n", @errors), '', 'and met no error but those of a crowd') or diag substr($err, 0, 3000);
}
$node->safe_psql('app', 'INSERT INTO done VALUES (true)');
for my $session (@writers)
{
	my ($status, undef, $err) = finish_sql($session);
	is($status, 0, 'a writer met no error') or diag $err;
}

# --- what the server says of it
my $log = substr(slurp_file($node->logfile), $since);
for my $bad ('cache lookup failed', 'could not open relation', 'vanished', 'tuple concurrently', 'would overlap', 'terminated by signal',
	'SPI_', 'invalid memory', 'reference leak', 'not closed', 'no partition of table', 'unexpected', 'XX000', 'TRAP')
{
	my @lines = $log =~ /^(.*\Q$bad\E.*)$/mg;
	is(join("\n", @lines), '', "the log knows nothing of \"$bad\"");
}

# --- and what came of it: left alone, the worker ends what was begun
$node->safe_psql('app', q{SELECT dbperf.alter_policy('t', detach_after => 'never', drop_after => 'never')});
poll_ok($node, 'app', q{SELECT NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 't'::regclass AND inhdetachpending)
	AND NOT EXISTS (SELECT FROM dbperf.recycle_bin WHERE state = 'detaching')}, 'left alone, the worker ends what was begun');
$node->safe_psql('app', q{
	DO $$
	DECLARE
		r regclass;
	BEGIN
		CREATE TABLE found AS SELECT id, at, 't' AS place FROM t;
		FOR r IN SELECT partition FROM dbperf.recycle_bin WHERE state = 'detached' LOOP
			EXECUTE format('INSERT INTO found SELECT id, at, ''bin'' FROM %s', r);
		END LOOP;
	END $$});
my $stats = $node->safe_psql('app', q{
	SELECT format('rows %s, found %s in the table and %s in the bin; detached %s, attached %s, dropped %s',
		(SELECT count(*) FROM ledger), (SELECT count(*) FROM found WHERE place = 't'), (SELECT count(*) FROM found WHERE place = 'bin'),
		count(*) FILTER (WHERE action = 'detach'), count(*) FILTER (WHERE action = 'attach'), count(*) FILTER (WHERE action = 'drop'))
	FROM dbperf.partition_events});
note($stats);
is($node->safe_psql('app', q{
	SELECT l.* FROM ledger l WHERE NOT l.gone AND NOT EXISTS (SELECT FROM found f WHERE f.id = l.id AND f.at = l.at)
	AND NOT EXISTS (SELECT FROM dbperf.partition_events e WHERE e.action = 'drop'
		AND l.at >= e.lower_bound::timestamptz AND l.at < e.upper_bound::timestamptz) LIMIT 10}), '', 'no row is lost');
is($node->safe_psql('app', 'SELECT f.* FROM found f LEFT JOIN ledger l USING (id) WHERE l.id IS NULL OR l.gone LIMIT 10'), '', 'none has come back');
is($node->safe_psql('app', 'SELECT id FROM found GROUP BY id HAVING count(*) > 1 LIMIT 10'), '', 'none is there twice');
is($node->safe_psql('app', q{SELECT b.partition, b.state FROM dbperf.recycle_bin b JOIN pg_class c ON c.oid = b.partition
	WHERE (b.state = 'attached') <> c.relispartition}), '', 'the recycle bin is right');
is($node->safe_psql('app', q{SELECT count(*) FILTER (WHERE action = 'detach') >= 5 AND count(*) FILTER (WHERE action = 'attach') >= 2
	AND count(*) FILTER (WHERE action = 'drop') >= 1 FROM dbperf.partition_events}), 't', "much has been done: $stats");
is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole');
$node->stop;
done_testing();
