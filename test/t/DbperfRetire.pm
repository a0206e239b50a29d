# What the tests of retiring share: tables with partitions of the past, the state that each of them
# is in, and gates in the middle of its transactions.

package DbperfRetire;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  aged_table states whole_is bin_gates close_bin_gate pending_is one_state_each switch_worker part
);

# A table with daily partitions from so many days ago on, all of which have rows. What there is at
# first is noted in TABLE_was. Further arguments are those of manage().
sub aged_table
{
	my ($node, $db, $table, $days, $arguments) = @_;
	$arguments = defined $arguments ? ", $arguments" : '';
	$node->safe_psql($db, qq{
		CREATE TABLE $table (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, v text DEFAULT 'x',
			PRIMARY KEY (id, at)) PARTITION BY RANGE (at)});
	fill_aged_table($node, $db, $table, $days, $arguments);
	return;
}

sub fill_aged_table
{
	my ($node, $db, $table, $days, $arguments) = @_;
	$node->safe_psql($db, qq{
		SELECT dbperf.manage('$table', '1 day', premake => 1$arguments);
		SELECT count(*) FROM dbperf.create_partitions('$table', (now() - interval '$days days')::text, now()::text);
		INSERT INTO $table (at) SELECT now() - i * interval '12 hours' FROM generate_series(0, 2 * $days) i;
		CREATE TABLE ${table}_was AS SELECT tableoid AS oid, tableoid::regclass::text AS name, count(*) AS rows,
			min(at) AS least FROM $table GROUP BY tableoid;
		CREATE OR REPLACE FUNCTION public.count_of(relation oid) RETURNS bigint LANGUAGE plpgsql AS \$\$
		DECLARE
			n bigint;
		BEGIN
			IF NOT EXISTS (SELECT FROM pg_class WHERE oid = relation) THEN RETURN NULL; END IF;
			EXECUTE format('SELECT count(*) FROM %s', relation::regclass) INTO n;
			RETURN n;
		END \$\$});
	return;
}

# The name of the partition that was made for so many days ago.
sub part
{
	my ($node, $db, $table, $days) = @_;
	return $node->safe_psql($db,
		"SELECT name FROM ${table}_was ORDER BY least OFFSET (SELECT count(*) - 1 FROM ${table}_was) - $days LIMIT 1");
}

# Which state every partition is in, by the catalogs, the recycle bin and the audit trail together.
my $states = q{
	SELECT w.name, w.rows, count_of(w.oid) AS now, CASE
		WHEN c.relispartition AND i.inhparent = 'TABLE'::regclass AND NOT i.inhdetachpending AND b.partition IS NULL THEN 'attached'
		WHEN c.relispartition AND i.inhparent = 'TABLE'::regclass AND NOT i.inhdetachpending AND b.state = 'attached' THEN 'again'
		WHEN c.relispartition AND i.inhparent = 'TABLE'::regclass AND i.inhdetachpending AND b.state = 'detaching' THEN 'pending'
		WHEN NOT c.relispartition AND i.inhrelid IS NULL AND b.state = 'detached' AND b.detached_at IS NOT NULL
			AND n.nspname = dbperf.archive_schema('TABLE'::regclass) THEN 'detached'
		WHEN c.oid IS NULL AND b.partition IS NULL AND e.n = 1 THEN 'dropped'
		ELSE format('BROKEN (partition %s, pending %s, bin %s, schema %s, drops %s)', c.relispartition, i.inhdetachpending, b.state, n.nspname, e.n)
		END AS state
	FROM TABLE_was w LEFT JOIN pg_class c ON c.oid = w.oid LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
	LEFT JOIN pg_inherits i ON i.inhrelid = w.oid LEFT JOIN dbperf.recycle_bin b ON b.partition = w.oid
	CROSS JOIN LATERAL (SELECT count(*) AS n FROM dbperf.partition_events v
		WHERE v.action = 'drop' AND w.least >= v.lower_bound::timestamptz AND w.least < v.upper_bound::timestamptz
		AND v.parent = dbperf.qualified_name('TABLE'::regclass)) e};

# How many are in each state: "attached 3, detached 2".
sub states
{
	my ($node, $db, $table) = @_;
	my $sql = $states =~ s/TABLE/$table/gr;
	return $node->safe_psql($db,
		"SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM (SELECT state, count(*) AS n FROM ($sql) s GROUP BY state) t");
}

# Every partition is in one state, has all its rows, and the audit trail is whole.
sub one_state_each
{
	my ($node, $db, $table, $name) = @_;
	my $sql = $states =~ s/TABLE/$table/gr;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, "SELECT name, state FROM ($sql) s WHERE state LIKE 'BROKEN%'"), '',
		"$name: every partition is in one state");
	is($node->safe_psql($db, "SELECT name, state, rows, now FROM ($sql) s WHERE state <> 'dropped' AND rows IS DISTINCT FROM now"),
		'', "$name: all rows are there");
	is($node->safe_psql($db, "SELECT concat_ws(' ', ok, reason) FROM dbperf.verify_audit()"), 't',
		"$name: the audit trail is whole");
	return;
}

# What queries of the parent see is what the partitions have that are attached.
sub whole_is
{
	my ($node, $db, $table, $name) = @_;
	my $sql = $states =~ s/TABLE/$table/gr;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, "SELECT (SELECT count(*) FROM $table) - (SELECT sum(now) FROM ($sql) s WHERE state IN ('attached', 'again'))"),
		0, $name);
	return;
}

sub pending_is
{
	my ($node, $db, $table, $count) = @_;
	return $node->poll_query_until($db,
		"SELECT count(*) = $count FROM pg_inherits WHERE inhparent = '$table'::regclass AND inhdetachpending");
}

# Gates in the middle of a transaction that writes the recycle bin: an unlogged table names those
# that are closed, so that a crash opens them.
sub bin_gates
{
	my ($node, $db) = @_;
	$node->safe_psql($db, q{
		CREATE SCHEMA gate;
		GRANT USAGE ON SCHEMA gate TO PUBLIC;
		CREATE UNLOGGED TABLE gate.closed (step text);
		GRANT SELECT ON gate.closed TO PUBLIC;
		CREATE FUNCTION gate.wait() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
		BEGIN
			WHILE EXISTS (SELECT FROM gate.closed WHERE step = concat_ws(' ', tg_op, CASE WHEN tg_op <> 'DELETE' THEN NEW.state END)) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
			RETURN CASE WHEN tg_op = 'DELETE' THEN OLD ELSE NEW END;
		END $$;
		CREATE TRIGGER zz_gate BEFORE INSERT OR UPDATE OF state OR DELETE ON dbperf.recycle_bin
			FOR EACH ROW EXECUTE FUNCTION gate.wait()});
	return;
}

# INSERT detaching, UPDATE detached, UPDATE attached, DELETE
sub close_bin_gate
{
	my ($node, $db, $step) = @_;
	$node->safe_psql($db, "INSERT INTO gate.closed VALUES ('$step')");
	return;
}

# The scheduled worker, on or off, before any session that connects afterwards comes to it.
sub switch_worker
{
	my ($node, $db, $on) = @_;
	$node->append_conf('postgresql.conf', "dbperf.enabled = $on");
	$node->reload;
	$node->poll_query_until($db, $on eq 'off'
		? "SELECT state = 'disabled' AND active_worker_pid IS NULL FROM dbperf.worker_status"
		: "SELECT state <> 'disabled' FROM dbperf.worker_status")
	  or die "the worker cannot be switched $on";
	return;
}

1;
