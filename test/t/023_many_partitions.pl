# Thousands of partitions: the work of views and maintenance grows no faster than their number (in
# pages read, which unlike time is the same on every machine), and the lock table stays small.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $quiet = 'SET client_min_messages = warning;';

my $node = new_node('many', 'max_connections = 100', 'dbperf.enabled = off');
is($node->safe_psql('postgres', 'SHOW max_locks_per_transaction'), 64, 'the lock table is as by default');
$node->safe_psql('postgres', "CREATE DATABASE $_") for ('wide', 'many');
install_extension($node, $_) for ('wide', 'many');

# Pages that a query asks for, in a session of its own.
sub pages
{
	my ($db, $query) = @_;
	my $plan = $node->safe_psql($db,
		"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF, FORMAT JSON) $query");
	my ($hit) = $plan =~ /"Shared Hit Blocks": (\d+)/;
	my ($read) = $plan =~ /"Shared Read Blocks": (\d+)/;
	return $hit + $read;
}

my %queries = (
	partitions => 'SELECT * FROM dbperf.partitions',
	partition_health => 'SELECT * FROM dbperf.partition_health',
	partition_metrics => 'SELECT * FROM dbperf.partition_metrics',
	run_maintenance => 'SELECT * FROM dbperf.run_maintenance()',
);

sub measure
{
	my ($db) = @_;
	# the size of catalogs is to count, not what is known of it
	$node->safe_psql($db, 'ANALYZE pg_class; ANALYZE pg_index; ANALYZE pg_inherits');
	return { map { $_ => pages($db, $queries{$_}) } keys %queries };
}

# Twice as much may cost twice as much, and a little for the depth of indexes.
sub check_growth
{
	my ($before, $after, $name) = @_;
	for my $query (sort keys %queries)
	{
		cmp_ok($after->{$query}, '<', 2.5 * $before->{$query} + 100, "$name: pages of $query")
		  or diag "$before->{$query} before, $after->{$query} after";
		note "$name: $query $before->{$query} $after->{$query}";
	}
	return;
}

sub check_locks
{
	my ($db, $name) = @_;
	for my $query (sort keys %queries)
	{
		my $locks = (split /\n/, $node->safe_psql($db,
			"$quiet BEGIN; SELECT count(*) FROM ($queries{$query}) q;"
			  . ' SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid()'))[-1];
		cmp_ok($locks, '<', 100, "$name: locks that $query holds");
	}
	return;
}

# --- one parent of 3000 partitions
$node->safe_psql('wide', q{
	ALTER DATABASE wide SET dbperf.now_override = '2024-06-15 12:30+00';
	SET dbperf.now_override = '2024-06-15 12:30+00';
	CREATE TABLE t (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	SELECT dbperf.manage('t', '1 hour', premake => 2)});
my $backfill = "$quiet CALL dbperf.backfill('t',"
  . " (timestamptz '2024-06-15 12:30+00' - interval '%d hours')::text, '2024-06-15 12:30+00')";
$node->safe_psql('wide', sprintf($backfill, 1500));
my $half = measure('wide');
$node->safe_psql('wide', sprintf($backfill, 3000));
is($node->safe_psql('wide', q{
		SELECT count(*), count(DISTINCT lower_bound) FROM dbperf.partitions WHERE parent = 't'::regclass}),
	'3003|3003', 'backfill over thousands of partitions');
is($node->safe_psql('wide', q{
		SELECT status, partitions, gaps, off_grid, overlapping FROM dbperf.partition_health}),
	'ok|3003|0|0|0', 'they are in order');
check_growth($half, measure('wide'), '1 parent of 3000');
check_locks('wide', '1 parent of 3000');
is($node->safe_psql('wide', q{
		CALL dbperf.maintain();
		SELECT status, parents_checked, partitions_created FROM dbperf.job_runs ORDER BY run_id DESC LIMIT 1}),
	'ok|1|0', 'maintain() finds nothing to do');
is(audit_is_ok($node, 'wide'), 'ok', 'the audit trail of thousands of events is whole');

# --- too many for one transaction
my ($status, undef, $err) = $node->psql('wide',
	q{SELECT count(*) FROM dbperf.create_partitions('t', '2001-01-01 00:00+00', '2001-02-01 00:00+00')});
like($err, qr/ERROR:  744 partitions are too many for one transaction/, 'too many at once are refused');
like($err, qr/HINT:  .*dbperf\.backfill/, 'with a hint');
is(partition_count($node, 'wide', 't'), 3003, 'and nothing is left behind');

# as many as are allowed fit into the lock table, for a table with foreign keys and four indexes
$node->safe_psql('wide', q{
	SELECT dbperf.create_market_schema();
	SELECT dbperf.alter_policy('market_data', '1 hour', premake => 0)});
is($node->safe_psql('wide', q{
		SELECT count(*) FROM dbperf.create_partitions('market_data', '2001-01-01 00:00+00', '2001-01-21 20:00+00')}),
	500, 'what is allowed is possible');
$node->safe_psql('wide', q{
	SELECT dbperf.alter_policy('alert_logs', '1 day', premake => 1000, anchor => '2100-01-01')});
(undef, undef, $err) = $node->psql('wide', "SELECT count(*) FROM dbperf.run_maintenance('alert_logs')");
like($err, qr/more partitions are due than one transaction should make/, 'run_maintenance() stops in time');
is(partition_count($node, 'wide', 'alert_logs') >= 500, 1, 'having done its part');

# --- cancel in the middle
$node->safe_psql('wide', q{
	CREATE TABLE c (at timestamptz NOT NULL, v text) PARTITION BY RANGE (at);
	SELECT dbperf.manage('c', '1 day', premake => 0);
	SELECT dbperf.alter_policy('c', premake => 1000)});
my $half_made = q{
	SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
	AND NOT relispartition AND relname ~ '^c_'};
# several times, since it may hit a step or its commit
for my $call ((q{CALL dbperf.backfill('c', '1950-01-01', '2000-01-01')}) x 6, (q{CALL dbperf.maintain('c')}) x 3)
{
	my $before = partition_count($node, 'wide', 'c');
	my $session = start_sql($node, 'wide', $call, app => 'canceled');
	$node->poll_query_until('wide',
		"SELECT count(*) > $before + 20 FROM pg_inherits WHERE inhparent = 'c'::regclass")
	  or die "$call does not come off the ground";
	my $pid = $node->safe_psql('wide', q{
		SELECT pid FROM pg_stat_activity WHERE application_name = 'canceled'});
	$node->safe_psql('wide', "SELECT pg_cancel_backend($pid)");
	my ($exit, undef, $stderr) = finish_sql($session);
	like($stderr, qr/canceling statement due to user request/, "$call is canceled");
	is($node->safe_psql('wide', qq{
			SELECT status, finished_at IS NOT NULL, partitions_created >= 20, error ~ 'cancel'
			FROM dbperf.job_runs WHERE pid = $pid}),
		'canceled|t|t|t', 'the run shows as canceled');
	is($node->safe_psql('wide', $half_made), 0, 'nothing is half made');
	is($node->safe_psql('wide', q{
			SELECT count(*) FROM pg_inherits WHERE inhparent = 'c'::regclass}),
		$node->safe_psql('wide', q{
			SELECT count(*) FROM dbperf.partition_events WHERE action = 'create' AND parent = 'public.c'}),
		'an event for each partition');
	is(audit_is_ok($node, 'wide'), 'ok', 'the audit trail is whole');
}

# --- 200 parents of 12
my $make = q{
	DO $$
	BEGIN
		FOR i IN %d..%d LOOP
			EXECUTE format('CREATE TABLE p%%s (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at))'
				' PARTITION BY RANGE (at)', i);
			INSERT INTO dbperf.policy (parent, partition_interval, premake) VALUES (('p' || i)::regclass, '1 month', 11);
		END LOOP;
	END $$};
$node->safe_psql('many', sprintf($make, 1, 100));
$node->safe_psql('many', "$quiet CALL dbperf.maintain()");
$half = measure('many');
$node->safe_psql('many', sprintf($make, 101, 200));
$node->append_conf('postgresql.conf', 'dbperf.enabled = on');
$node->reload;
$node->safe_psql('many', 'SELECT dbperf.wake()');
ok($node->poll_query_until('many', q{
		SELECT count(*) = 200 AND bool_and(status = 'ok') AND sum(partitions) = 2400 FROM dbperf.partition_health}),
	'the worker serves 200 parents, slice by slice');
$node->append_conf('postgresql.conf', 'dbperf.enabled = off');
$node->reload;
check_growth($half, measure('many'), '200 parents of 12');
check_locks('many', '200 parents of 12');
is($node->safe_psql('many', q{
		CALL dbperf.maintain();
		SELECT status, parents_checked, partitions_created FROM dbperf.job_runs ORDER BY run_id DESC LIMIT 1}),
	'ok|200|0', 'maintain() looks at all and finds nothing to do');
is(audit_is_ok($node, 'many'), 'ok', 'the audit trail is whole');

unlike(slurp_file($node->logfile), qr/out of shared memory/, 'the lock table was never full');
$node->stop;
done_testing();
