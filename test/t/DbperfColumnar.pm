# What the tests of columnar tables share: a table beside a heap that is its twin, gates in the midst of
# statements, and what has to hold after whatever has happened.

package DbperfColumnar;

use strict;
use warnings;

use DbperfTest;
use DbperfWire;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time usleep);

our @EXPORT = qw(
  columnar_node make_twins both same_rows sound orphans wait_for_phase wait_at_gate close_at access_method late_rows
);

# A server with page checksums. Further arguments are lines for postgresql.conf.
sub columnar_node
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	my %streaming = grep({ /wal_level = minimal/ } @lines) ? () : (allows_streaming => 1);

	$node->init(extra => ['--data-checksums'], %streaming);
	$node->append_conf('postgresql.conf', join("\n", "shared_preload_libraries = 'tradeassist_dbperf'", 'dbperf.enabled = off',
			'dbperf.sample_interval = 0', 'restart_after_crash = on', 'autovacuum = off', 'max_prepared_transactions = 5',
			'dbperf.compress_pause = 0', "timezone = 'UTC'", @lines) . "\n");
	$node->start;
	return $node;
}

# A gate: a function that does not return while gate.closed has its number. The table is unlogged, so a crash
# opens all gates.
my $gates = q{
	CREATE SCHEMA gate;
	CREATE UNLOGGED TABLE gate.closed (what text, id bigint);
	CREATE FUNCTION gate.passes(what text, id bigint) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
	BEGIN
		WHILE EXISTS (SELECT FROM gate.closed c WHERE c.what = passes.what AND c.id = passes.id) LOOP
			PERFORM pg_sleep(0.01);
		END LOOP;
		RETURN true;
	END $$;
	CREATE FUNCTION gate.of_index(id bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM gate.passes(''index'', id); RETURN id % 10; END';
	CREATE FUNCTION gate.of_row() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM gate.passes(lower(TG_OP), CASE WHEN TG_OP = 'DELETE' THEN OLD.id ELSE NEW.id END);
		RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
	END $$};

# A table t of so many rows that is to become columnar, and t_twin, which stays a heap.
sub make_twins
{
	my ($node, $db, $rows) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db") if $db ne 'postgres';
	install_extension($node, $db);
	$node->safe_psql($db, $gates);
	for my $table ('t', 't_twin')
	{
		$node->safe_psql($db, qq{
			CREATE TABLE $table (id bigint NOT NULL, at timestamptz, sym text, price float8, qty numeric, note text);
			INSERT INTO $table SELECT i, '2026-01-01'::timestamptz + i * interval '1 s', 'S' || i % 7, 100 + i % 50 / 8.0, i % 1000 / 100.0,
				CASE WHEN i % 20 = 0 THEN repeat('n' || i, 1 + i % 100) END FROM generate_series(1, $rows) i;
			ALTER TABLE $table ADD PRIMARY KEY (id)});
	}
	$node->safe_psql($db, q{
		CREATE INDEX t_gate ON t (gate.of_index(id)) WHERE id < 0 OR id > 900000;
		CREATE TRIGGER t_row BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION gate.of_row()});
	return;
}

# The same on both; TABLE stands for the name.
sub both
{
	my ($node, $db, $sql) = @_;
	$node->safe_psql($db, $sql =~ s/TABLE/$_/gr) for 't', 't_twin';
	return;
}

sub row_sum { return "SELECT count(*), sum(('x' || left(md5(record_send(x)), 15))::bit(60)::bigint) FROM $_[0] x" }

sub same_rows
{
	my ($node, $db, $name, %options) = @_;
	my ($table, $twin) = ($options{table} // 't', $options{twin} // 't_twin');
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($node->safe_psql($db, row_sum($table)), $node->safe_psql($options{twin_db} // $db, row_sum($twin)), $name);
}

# Storage and indexes are sound, and every index has what it is to have.
sub sound
{
	my ($node, $db, $name, $table) = @_;
	$table //= 't';
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $found = $node->safe_psql($db, qq{
		CREATE EXTENSION IF NOT EXISTS amcheck;
		SET client_min_messages = warning;
		SELECT 'verify_columnar: ' || v::text FROM pg_class c JOIN pg_am a ON a.oid = c.relam CROSS JOIN LATERAL dbperf.verify_columnar(c.oid) v
			WHERE c.oid = '$table'::regclass AND a.amname = 'dbperf_columnar';
		SELECT 'verify_heapam: ' || v::text FROM pg_class c CROSS JOIN LATERAL verify_heapam(c.reltoastrelid) v
			WHERE c.oid = '$table'::regclass AND c.reltoastrelid <> 0;
		SELECT bt_index_check(i.indexrelid, c.reltoastrelid = i.indrelid) FROM pg_class c JOIN pg_index i ON i.indrelid IN (c.oid, c.reltoastrelid)
			JOIN pg_class x ON x.oid = i.indexrelid AND x.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') WHERE c.oid = '$table'::regclass});
	$found =~ s/^\s*$//mg;
	$found =~ s/\n+//g;
	return is($found, '', $name);
}

sub access_method
{
	my ($node, $db, $table) = @_;
	$table //= 't';
	return $node->safe_psql($db, "SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = '$table'::regclass");
}

# Files of the database that belong to nothing.
sub orphans
{
	my ($node, $db) = @_;
	# the first file of a relation that was dropped stays until the next checkpoint
	$node->safe_psql($db, 'CHECKPOINT');
	return $node->safe_psql($db, q{
		SELECT string_agg(f, ' ' ORDER BY f) FROM (SELECT 'base/' || oid AS dir FROM pg_database WHERE datname = current_database()) d, pg_ls_dir(dir) f
		WHERE f ~ '^t?[0-9]' AND substring(f from '^[0-9]+')::bigint NOT IN (SELECT pg_relation_filenode(oid) FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL)});
}

# The pid of who compresses, once it has come to a phase; dies if it never comes.
sub wait_for_phase
{
	my ($session, @phases) = @_;
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	my $list = join ', ', map { "'$_'" } @phases;
	$session->run('SET log_statement = none');
	while (time < $until)
	{
		my $pid = $session->value("SELECT pid FROM dbperf.compression_progress WHERE phase IN ($list)");
		return $pid if defined $pid;
		usleep(500);
	}
	die "nobody came to @phases";
}

# Closes a gate for the row of that number.
sub close_at { my ($node, $db, $what, $id) = @_; $node->safe_psql($db, "INSERT INTO gate.closed VALUES ('$what', $id)"); return }

# The pid of who stands at a gate.
sub wait_at_gate
{
	my ($node, $db) = @_;
	my $session = DbperfWire->new($node, $db);
	my $until = time + $PostgreSQL::Test::Utils::timeout_default;
	$session->run('SET log_statement = none');
	while (time < $until)
	{
		my $pid = $session->value(q{SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'});
		return $pid if defined $pid;
		usleep(2_000);
	}
	die 'nobody came to the gate';
}

sub late_rows
{
	my ($node, $db, $table) = @_;
	$table //= 't';
	return $node->safe_psql($db, "SELECT late_rows FROM dbperf.columnar_totals('$table')");
}

1;
