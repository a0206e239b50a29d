# The worker is in nobody's way: DROP and CREATE EXTENSION, DROP DATABASE and CREATE DATABASE
# TEMPLATE succeed within seconds while it is hard at work.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('ddl');

# What is longer than this is a hang. DROP DATABASE itself gives other sessions 5 s.
my $limit = "SET statement_timeout = '10s'";

# Work for half a minute: 300 partitions, each of which takes 0.1 s.
sub much_work
{
	my ($db) = @_;
	$node->safe_psql($db, q{
		DO $$
		BEGIN
			FOR i IN 1 .. 5 LOOP
				EXECUTE format('CREATE TABLE busy_%s (at timestamptz) PARTITION BY RANGE (at)', i);
			END LOOP;
			INSERT INTO dbperf.policy (parent, partition_interval, anchor, premake)
			SELECT oid, '1 day', '2000-01-01', 60
			FROM pg_class WHERE relname LIKE 'busy__' AND relkind = 'p';
		END $$});
	return;
}

sub busy_partitions
{
	my ($db) = @_;
	return $node->safe_psql($db,
		"SELECT count(*) FROM pg_inherits WHERE inhparent::regclass::text LIKE 'busy%'");
}

sub wait_until_busy
{
	my ($db) = @_;
	poll_ok($node, 'postgres', qq{
		SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE backend_type = 'dbperf worker' AND datname = '$db' AND state = 'active')},
		"the worker is at work in $db");
	return;
}

sub new_busy_database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	close_gate($node, $db, 'CREATE TABLE', 0.1);
	much_work($db);
	wait_until_busy($db);
	return;
}

# --- DROP DATABASE
my $offset = -s $node->logfile;
new_busy_database('doomed');
my ($ret, $out, $err) = $node->psql('postgres', "$limit; DROP DATABASE doomed");
is($ret, 0, 'DROP DATABASE while the worker is at work') or diag($err);
new_busy_database('doomed');
($ret, $out, $err) = $node->psql('postgres', "$limit; DROP DATABASE doomed WITH (FORCE)");
is($ret, 0, 'DROP DATABASE WITH (FORCE) while the worker is at work') or diag($err);

# --- CREATE DATABASE ... TEMPLATE
new_busy_database('model');
($ret, $out, $err) = $node->psql('postgres', "$limit; CREATE DATABASE copied TEMPLATE model");
is($ret, 0, 'CREATE DATABASE ... TEMPLATE while the worker is at work') or diag($err);
wait_until_busy('model');
$node->safe_psql('model', 'DROP EXTENSION tradeassist_dbperf');
poll_ok($node, 'postgres', q{
	SELECT NOT EXISTS (SELECT FROM pg_stat_activity
		WHERE backend_type = 'dbperf worker' AND datname = 'model')},
	'no extension, no worker');
$node->safe_psql('postgres', "$limit; ALTER DATABASE model RENAME TO renamed");
$node->safe_psql('copied', 'TRUNCATE gate.closed');
$node->safe_psql('copied', 'SELECT dbperf.wake()');
poll_ok($node, 'copied',
	"SELECT count(*) = 305 FROM pg_inherits WHERE inhparent::regclass::text LIKE 'busy%'",
	'the worker goes on with the work in the copy');

# --- DROP EXTENSION that is rolled back
new_busy_database('app');
my $before = busy_partitions('app');
my $dropper = $node->background_psql('app');
$dropper->query_safe('BEGIN');
$dropper->query_safe("SET LOCAL statement_timeout = '10s'");
$dropper->query_safe('DROP EXTENSION tradeassist_dbperf');
ok(1, 'DROP EXTENSION while the worker is at work');
poll_ok($node, 'app', 'SELECT failures > 0 FROM dbperf.worker_state()', 'the worker gives way');
query_is($node, 'app',
	'SELECT state, reason IS NOT NULL, last_error IS NOT NULL FROM dbperf.worker_state()',
	'running|t|t', 'its state can be seen all the while');
$dropper->query_safe('ROLLBACK');
poll_ok($node, 'app',
	"SELECT count(*) > $before FROM pg_inherits WHERE inhparent::regclass::text LIKE 'busy%'",
	'rolled back: the worker goes on');
is(worker_status($node, 'app', 'state'), 'running', 'and has its status again');

# --- DROP EXTENSION that is not, and CREATE EXTENSION
wait_until_busy('app');
$dropper->query_safe("SET statement_timeout = '10s'");
$dropper->query_safe('DROP EXTENSION tradeassist_dbperf');
$before = busy_partitions('app');
cmp_ok($before, '>', 0, 'DROP EXTENSION leaves the partitions');
$dropper->query_safe('CREATE EXTENSION tradeassist_dbperf');
$dropper->quit;
is(worker_status($node, 'app', 'state, last_run_status IS NULL'), 'running|t',
	'CREATE EXTENSION again');
$node->safe_psql('app', q{
	TRUNCATE gate.closed;
	INSERT INTO dbperf.policy (parent, partition_interval, anchor, premake)
	SELECT oid, '1 day', '2000-01-01', 60
	FROM pg_class WHERE relname LIKE 'busy__' AND relkind = 'p'});
poll_ok($node, 'app',
	"SELECT count(*) = 305 FROM pg_inherits WHERE inhparent::regclass::text LIKE 'busy%'",
	'the worker is back at work at once');
$node->safe_psql('app', q{
	BEGIN;
	DROP EXTENSION tradeassist_dbperf;
	CREATE EXTENSION tradeassist_dbperf;
	COMMIT});
managed_table($node, 'app', 'fresh');
ok(wake_and_wait($node, 'app'), 'dropped and made in one transaction');

# --- and all that without filling the log
is(count_in_log($node, qr/PANIC|TRAP|terminated by signal/, $offset), 0, 'nothing crashed');
is(count_in_log($node, qr/ERROR:/, $offset), 0, 'no errors in the log');
cmp_ok(count_in_log($node, qr/maintenance of database/, $offset), '<=', 4,
	'few messages of the launcher');

$node->stop;
done_testing();
