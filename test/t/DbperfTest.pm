# What the tests of the background worker share.
#
# Waiting is always polling with a limit (PG_TEST_TIMEOUT_DEFAULT): nothing here or in the tests
# sleeps for a time that would have to be long enough.

package DbperfTest;

use strict;
use warnings;

use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

our @EXPORT = qw(
  new_node install_extension make_table managed_table partition_count set_clock query_is poll_ok
  worker_status
  launcher_pid count_in_log close_gate open_gate wait_for_worker_at_gate wake_and_wait
);

# A running server with the worker, whose naps are so long that nothing happens by the clock
# alone; no samples are taken. Further arguments are lines for postgresql.conf.
sub new_node
{
	my ($name, @lines) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$node->init;
	$node->append_conf('postgresql.conf', join("\n",
			"shared_preload_libraries = 'tradeassist_dbperf'",
			"dbperf.naptime = '1d'",
			"dbperf.sample_interval = 0",
			"restart_after_crash = on",
			"autovacuum = off",
			@lines) . "\n");
	$node->start;
	return $node;
}

sub install_extension
{
	my ($node, $db) = @_;
	$node->safe_psql($db, 'CREATE EXTENSION tradeassist_dbperf');
	return;
}

sub make_table
{
	my ($node, $db, $table) = @_;
	$node->safe_psql($db,
		"CREATE TABLE $table (at timestamptz NOT NULL, v int) PARTITION BY RANGE (at)");
	return;
}

# A table with monthly partitions, two of them ahead.
sub managed_table
{
	my ($node, $db, $table, $arguments) = @_;
	$arguments //= "'1 month', premake => 2";
	make_table($node, $db, $table);
	$node->safe_psql($db, "SELECT dbperf.manage('$table', $arguments)");
	return;
}

sub partition_count
{
	my ($node, $db, $table) = @_;
	return $node->safe_psql($db,
		"SELECT count(*) FROM pg_inherits WHERE inhparent = '$table'::regclass");
}

# What time a database takes it to be, from now on, in sessions that begin later.
sub set_clock
{
	my ($node, $db, $from_now) = @_;
	$node->safe_psql($db, qq{
		DO \$\$
		BEGIN
			EXECUTE format('ALTER DATABASE $db SET dbperf.now_override = %L',
				now() + interval '$from_now');
		END \$\$});
	return;
}

sub query_is
{
	my ($node, $db, $query, $expected, $name, @params) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return is($node->safe_psql($db, $query, @params), $expected, $name);
}

# The query comes to return true ('t') or the expected text.
sub poll_ok
{
	my ($node, $db, $query, $name, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return ok($node->poll_query_until($db, $query, $expected // 't'), $name);
}

sub worker_status
{
	my ($node, $db, $columns) = @_;
	return $node->safe_psql($db, "SELECT $columns FROM dbperf.worker_status");
}

sub launcher_pid
{
	my ($node) = @_;
	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbperf launcher'");
}

# Lines of the server log from an offset on that match.
sub count_in_log
{
	my ($node, $regexp, $offset) = @_;
	my $log = substr(slurp_file($node->logfile), $offset // 0);
	my @lines = ($log =~ /$regexp/g);
	return scalar @lines;
}

# Calls the worker of a database and waits until a run that began later has ended.
sub wake_and_wait
{
	my ($node, $db) = @_;
	my $last = $node->safe_psql($db, 'SELECT coalesce(max(run_id), 0) FROM dbperf.job_runs');

	$node->safe_psql($db, 'SELECT dbperf.wake()');
	return $node->poll_query_until($db,
		"SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE run_id > $last AND reason = 'wake' AND job = 'maintenance'"
		  . " AND status <> 'running')");
}

# A gate, by which a worker can be caught in the middle of making a partition: an event trigger
# that does not return to a worker from a command (CREATE TABLE, or ALTER TABLE for what comes
# after ATTACH) while gate.closed names it. With a number, it only holds the worker up for so many
# seconds each time, which makes much work of little.
sub close_gate
{
	my ($node, $db, $tag, $seconds) = @_;
	$tag //= 'CREATE TABLE';
	$seconds //= 1000000;
	$node->safe_psql($db, qq{
		CREATE SCHEMA IF NOT EXISTS gate;
		GRANT USAGE ON SCHEMA gate TO PUBLIC;
		CREATE TABLE IF NOT EXISTS gate.closed (tag text, seconds float8);
		GRANT SELECT ON gate.closed TO PUBLIC;
		CREATE OR REPLACE FUNCTION gate.wait() RETURNS event_trigger LANGUAGE plpgsql
		SET search_path = pg_catalog, pg_temp AS \$\$
		DECLARE
			started timestamptz := clock_timestamp();
		BEGIN
			WHILE current_setting('application_name') = 'dbperf worker'
				AND EXISTS (SELECT FROM gate.closed WHERE tag = TG_TAG
					AND clock_timestamp() < started + seconds * interval '1 s')
			LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		END \$\$;
		DO \$\$
		BEGIN
			IF NOT EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'gate') THEN
				CREATE EVENT TRIGGER gate ON ddl_command_end EXECUTE FUNCTION gate.wait();
			END IF;
		END \$\$;
		TRUNCATE gate.closed;
		INSERT INTO gate.closed VALUES ('$tag', $seconds)});
	return;
}

sub open_gate
{
	my ($node, $db) = @_;
	$node->safe_psql($db, 'DELETE FROM gate.closed');
	return;
}

# Returns the pid of the worker that stands before the closed gate.
sub wait_for_worker_at_gate
{
	my ($node, $db) = @_;
	my $there = "FROM pg_stat_activity WHERE backend_type = 'dbperf worker' AND datname = '$db'";

	$node->poll_query_until('postgres', "SELECT EXISTS (SELECT $there AND wait_event = 'PgSleep')")
	  or die "no worker came to the gate in $db";
	# between two sleeps it waits for nothing
	return $node->safe_psql('postgres', "SELECT pid $there");
}

1;
