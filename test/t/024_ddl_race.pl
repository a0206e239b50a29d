# Maintenance by the worker and by two sessions at once, against DDL on its tables and inserts into
# them: the statements come from a fixed seed, their interleaving from the scheduler. No row is
# lost, no insert lacks its partition, and nothing fails but for a lock that could not be had.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

srand(20240229);
my $rounds = 500;

my $node = new_node('race', 'log_statement = none', "dbperf.naptime = '1s'");
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE ROLE one; CREATE ROLE two;
	CREATE SCHEMA race; CREATE SCHEMA other;
	GRANT ALL ON SCHEMA race, other TO one, two;
	CREATE TABLE race.steady (at timestamptz NOT NULL, who int, n int, PRIMARY KEY (at, who, n)) PARTITION BY RANGE (at);
	CREATE TABLE race.moved (at timestamptz NOT NULL, who int, n int) PARTITION BY RANGE (at);
	CREATE TABLE race.gone (at timestamptz NOT NULL, v text) PARTITION BY RANGE (at);
	CREATE TABLE race.moved_is AS SELECT 'race.moved'::regclass AS oid;
	CREATE TABLE race.done (yes bool);
	SELECT dbperf.manage('race.steady', '1 hour', premake => 4);
	SELECT dbperf.manage('race.moved', '1 hour', premake => 4, lock_budget => '50 ms');
	SELECT dbperf.manage('race.gone', '1 hour')});

sub pick
{
	my @choices = @_;
	return $choices[ int(rand(scalar @choices)) ];
}

# --- DDL, each statement a transaction of its own
my $more = 'UPDATE dbperf.policy SET premake = premake + 1 WHERE parent = %s';
my $moved = '(SELECT oid FROM race.moved_is)';

sub ddl_on_steady
{
	my ($i) = @_;
	my $c = 'c' . int(rand(4));
	return pick(
		"ALTER TABLE race.steady ADD COLUMN IF NOT EXISTS $c int DEFAULT 7",
		"ALTER TABLE race.steady ADD COLUMN IF NOT EXISTS $c int CHECK ($c > 0) DEFAULT 1",
		"ALTER TABLE race.steady DROP COLUMN IF EXISTS $c",
		"CREATE INDEX IF NOT EXISTS i_$c ON race.steady (n, who)",
		"DROP INDEX IF EXISTS race.i_$c",
		"ALTER TABLE race.steady ADD CONSTRAINT k_$i CHECK (n IS NOT NULL)",
		'ALTER TABLE race.steady ALTER who SET STATISTICS ' . int(rand(100)),
		'ALTER TABLE race.steady OWNER TO ' . pick('one', 'two', 'postgres'),
		"COMMENT ON TABLE race.steady IS '$i'",
		"CREATE STATISTICS IF NOT EXISTS race.s_$c ON who, n FROM race.steady",
		"DROP STATISTICS IF EXISTS race.s_$c",
		# one in the past, by hand
		"CREATE TABLE race.old_$i PARTITION OF race.steady FOR VALUES FROM ('2001-01-01'::timestamptz + interval '$i days')"
		  . " TO ('2001-01-02'::timestamptz + interval '$i days');\nALTER TABLE race.steady DETACH PARTITION race.old_$i "
		  . pick('', 'CONCURRENTLY') . ";\nDROP TABLE race.old_$i",
		'ALTER TABLE race.steady ENABLE ROW LEVEL SECURITY',
		'ALTER TABLE race.steady DISABLE ROW LEVEL SECURITY',
		sprintf($more, "'race.steady'::regclass"),
		# the newest partition, which nobody writes to: gone, and to be made again
		q{DO $$ BEGIN EXECUTE coalesce((SELECT format('DROP TABLE %s', partition) FROM dbperf.partitions
			WHERE parent = 'race.steady'::regclass AND lower_bound::timestamptz > now() + interval '4 hours'
			ORDER BY lower_bound::timestamptz DESC LIMIT 1), 'SELECT 1'); END $$});
}

sub ddl_on_others
{
	my ($i) = @_;
	my $alter = q{DO $$ BEGIN EXECUTE format('ALTER TABLE %%s %s', } . "$moved" . '::regclass); END $$';
	return pick(
		sprintf($alter, "RENAME TO moved_$i"),
		sprintf($alter, 'SET SCHEMA ' . pick('race', 'other')),
		sprintf($alter, 'OWNER TO ' . pick('one', 'two')),
		sprintf($alter, 'RENAME COLUMN n TO n2') . ";\n" . sprintf($alter, 'RENAME COLUMN n2 TO n'),
		sprintf($more, $moved),
		sprintf($more, $moved),
		'DROP TABLE IF EXISTS race.gone',
		"BEGIN;\nDROP TABLE IF EXISTS race.gone;\nROLLBACK",
		"CREATE TABLE IF NOT EXISTS race.gone (at timestamptz NOT NULL, v text) PARTITION BY RANGE (at)",
		"SELECT dbperf.manage(to_regclass('race.gone'), '1 hour', premake => " . int(rand(5))
		  . ") WHERE to_regclass('race.gone') IS NOT NULL",
		"SELECT dbperf.unmanage(to_regclass('race.gone')) WHERE to_regclass('race.gone') IS NOT NULL");
}

sub script
{
	my ($statement) = @_;
	return "\\set ON_ERROR_STOP 0\n\\set VERBOSITY verbose\nSET client_min_messages = warning;\nSET lock_timeout = '20s';\n"
	  . join('', map { $statement->($_) . ";\n" } 1 .. $rounds);
}

# --- beside it, until it is done
my $until_done = q{
	\set VERBOSITY verbose
	DO $$
	DECLARE
		counter int := 0;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM race.done) LOOP
			counter := counter + 1;
			%s
			COMMIT;
		END LOOP;
	END $$};
my @sessions = (
	[ 'maintainer 1', sprintf($until_done, 'CALL dbperf.maintain();') ],
	[ 'maintainer 2', sprintf($until_done, 'CALL dbperf.maintain(); PERFORM dbperf.wake();') ],
	[ 'reader', sprintf($until_done, q{
		PERFORM count(*) FROM dbperf.partitions;
		PERFORM count(*) FROM dbperf.partition_health;
		PERFORM count(*) FROM dbperf.partition_metrics;}) ],
	(map {
		[ "steady inserter $_", sprintf($until_done, qq{
			INSERT INTO race.steady (at, who, n) VALUES (now() + random() * interval '3 hours', $_, counter);}) ]
	} 1 .. 2),
	[ 'moved inserter', sprintf($until_done, q{
		BEGIN
			EXECUTE format('INSERT INTO %s (at, who, n) VALUES (now() + random() * interval ''3 hours'', 1, %s)',
				(SELECT oid::regclass FROM race.moved_is), counter);
		EXCEPTION WHEN undefined_table OR undefined_column THEN
			counter := counter - 1;		-- moved between the look and the insert
		END;}) ],
);
my $since = -s $node->logfile;
my @running = map { [ $_->[0], start_sql($node, 'app', $_->[1], app => $_->[0]) ] } @sessions;
my @ddl = map { start_sql($node, 'app', script($_), app => 'ddl') } (\&ddl_on_steady, \&ddl_on_others);

for my $session (@ddl)
{
	my ($status, undef, $err) = finish_sql($session);
	is($status, 0, 'a session of DDL came to its end');
	# a lock that cannot be had in time is the one excuse, and the price of manage() in a crowd
	my @errors = grep { /ERROR/ && !/ERROR:  55P03/ } split /\n/, $err;
	is(join("\n", @errors), '', 'and no statement failed') or diag $err;
}
$node->safe_psql('app', 'INSERT INTO race.done VALUES (true)');
for my $session (@running)
{
	my ($name, $handle) = @$session;
	my ($status, undef, $err) = finish_sql($handle);
	is($status, 0, "$name: no error") or diag $err;
	my @warnings = grep { /WARNING/ && !/could not lock table/ } split /\n/, $err;
	is(join("\n", @warnings), '', "$name: no warning but for locks") if $name =~ /maintainer/;
}

# --- what the server says of it
my $log = substr(slurp_file($node->logfile), $since);
for my $bad ('cache lookup failed', 'could not open relation', 'vanished', 'deadlock detected',
	'no partition of relation', 'tuple concurrently', 'already exists', 'would overlap', 'terminated by signal',
	'SPI_', 'invalid memory', 'reference leak', 'not closed')
{
	my @lines = $log =~ /^(.*\Q$bad\E.*)$/mg;
	# a name that another session takes at the same moment: DDL of this test, told by IF NOT EXISTS
	@lines = grep { !/NOTICE|skipping/ } @lines;
	is(join("\n", @lines), '', "the log knows nothing of \"$bad\"");
}
my @failed = grep { !/could not lock table/ } $log =~ /(maintenance of (?:table|database) .* failed: .*)/g;
is(join("\n", @failed), '', 'maintenance failed for no other reason than locks');

# --- and what came of it
my $settled = q{SELECT count(*) = 0 FROM dbperf.partition_health WHERE missing > 0 OR last_error IS NOT NULL
	OR gaps > 0 OR off_grid > 0};
ok($node->poll_query_until('app', $settled), 'left alone, the worker makes what is missing');
is($node->safe_psql('app', 'SELECT count(DISTINCT who), count(*) - sum(n) FROM (SELECT who, max(n) AS n FROM race.steady GROUP BY who) m')
	=~ /^2\|/ ? 1 : 0, 1, 'both inserters have been at work');
is($node->safe_psql('app', 'SELECT bool_and(rows = top) FROM (SELECT count(*) AS rows, max(n) AS top FROM race.steady GROUP BY who) s'),
	't', 'no row of the steady table is lost');
my $name = $node->safe_psql('app', 'SELECT oid::regclass FROM race.moved_is');
is($node->safe_psql('app', "SELECT count(*) > 0 AND count(*) = max(n) FROM $name"), 't', 'none of the moved table is');
is($node->safe_psql('app', q{
		SELECT count(*) FROM pg_class c WHERE relnamespace IN ('race'::regnamespace, 'other'::regnamespace)
		AND relkind = 'r' AND NOT relispartition AND relname ~ '_20\d\d_'}),
	0, 'nothing is half made');
is($node->safe_psql('app', q{
		SELECT count(*) FROM dbperf.policy_state s WHERE NOT EXISTS (SELECT FROM dbperf.policy p WHERE p.parent = s.parent)}),
	0, 'nothing is remembered of tables that are gone');
is($node->safe_psql('app', q{
		SELECT count(*) FROM dbperf.policy p WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.parent)}),
	0, 'nor a policy kept');
poll_ok($node, 'app', q{SELECT count(*) = 0 FROM dbperf.job_runs
	WHERE status NOT IN ('ok', 'partial', 'failed') AND pid <> coalesce((SELECT active_worker_pid FROM dbperf.worker_status), 0)},
	'every run came to an end');
cmp_ok($node->safe_psql('app', 'SELECT sum(partitions_created) FROM dbperf.job_runs'), '>', 20, 'there was work for maintenance');
is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole');
note $node->safe_psql('app', q{SELECT string_agg(format('%s %s: %s', source, status, n), ', ')
	FROM (SELECT source, status, count(*) AS n FROM dbperf.job_runs GROUP BY 1, 2) r});

$node->stop;
done_testing();
