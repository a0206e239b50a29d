# Connection pools: connections as they are established and refused, what sessions do, reports of
# many clients at a time, and where there is no shared memory.

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

my $node = PostgreSQL::Test::Cluster->new('pools');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'auth_delay, tradeassist_dbperf'
dbperf.enabled = off
dbperf.sample_interval = 0
dbperf.max_pools = 2
restart_after_crash = on
autovacuum = off
});
$node->start;
# names are checked against the encoding
$node->safe_psql('postgres',
	"CREATE DATABASE app TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE ROLE login LOGIN PASSWORD 'right';
	CREATE ROLE refused LOGIN;
	INSERT INTO dbperf.pools (name, application_name, base_size, max_overflow) VALUES
		('web', 'web%', 2, 8), ('feed', 'feed', 1, 4);
	CREATE TABLE busy (v int)});
my $hba = slurp_file($node->data_dir . '/pg_hba.conf');
unlink $node->data_dir . '/pg_hba.conf';
$node->append_conf('pg_hba.conf',
	"local all login scram-sha-256\nlocal all refused reject\n$hba");
$node->reload;

# The exit status of a connection
sub connects
{
	my ($user, $app, $password, @more) = @_;
	local %ENV = (%ENV, PGUSER => $user, PGAPPNAME => $app);

	$ENV{PGPASSWORD} = $password if defined $password;
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'psql', '-XAtwq', '-c', 'SELECT 1', '-d', $node->connstr('app'), @more ],
		'<', \undef, '>', \$out, '2>', \$err);
	return $? >> 8;
}

# --- new connections
my $established = q{
	SELECT format('%s %s', (SELECT count(*) FROM dbperf.recent_connections() WHERE NOT failed AND application_name LIKE 'web _'),
			failed_authentications)
		|| CASE WHEN connections_per_second > 0 THEN ' now' ELSE '' END
		|| CASE WHEN establish_p50_ms > 0 AND establish_p50_ms <= establish_p95_ms
			AND establish_p95_ms <= establish_p99_ms THEN ' took time' ELSE '' END
	FROM dbperf.pool_status WHERE pool = 'web'};
query_is($node, 'app', $established, '0 0', 'no connection yet');
is(connects('login', 'web 1', 'right'), 0, 'a client connects');
is(connects('login', 'web 2', 'right'), 0, 'another one');
query_is($node, 'app', $established, '2 0 now took time', 'both are counted');
is(connects('login', 'web 1', 'wrong'), 2, 'a wrong password');
query_is($node, 'app', $established, '2 1 now took time', 'is counted as such');
is(connects('login', 'web 1'), 2, 'no password at all');
is(connects('refused', 'web 1'), 2, 'refused by pg_hba.conf');
query_is($node, 'app', $established, '2 1 now took time', 'neither is a failed authentication');
connects("J\xfcrgen", "web");
query_is($node, 'app',
	"SELECT count(*) FROM dbperf.recent_connections() WHERE username = 'J?rgen' AND application_name = 'web'",
	1, 'a name that is no text in this encoding');
$node->command_ok(
	[ 'pg_receivewal', '-d', $node->connstr('postgres') . " application_name='web 3'", '--slot', 's', '--create-slot' ],
	'a connection for replication');
query_is($node, 'app', $established, '2 1 now took time', 'is none of a pool');
query_is($node, 'app',
	"SELECT bool_and(username = 'login' AND database = 'app') FROM dbperf.recent_connections() WHERE failed",
	't', 'what failed, and whose it was');

# --- what sessions do
my $sessions = "SELECT format('%s total: %s active, %s idle, %s in transaction, %s waiting; overflow %s, %s %%: %s',"
  . " total, active, idle, idle_in_transaction, waiting, overflow_in_use, utilization_percent, status)"
  . " FROM dbperf.pool_status WHERE pool";
my $holder = hold($node, 'app', "SET application_name = 'web holder'; LOCK busy");
poll_ok($node, 'app', "$sessions = 'web'", 'one in a transaction',
	'1 total: 0 active, 0 idle, 1 in transaction, 0 waiting; overflow 0, 10 %: ok');
my @waiters = map { start_sql($node, 'app', 'INSERT INTO busy VALUES (1)', app => "web $_") } 1 .. 3;
poll_ok($node, 'app', "$sessions = 'web'", 'those that wait for it',
	'4 total: 3 active, 0 idle, 1 in transaction, 3 waiting; overflow 2, 40 %: ok');
query_is($node, 'app', "$sessions = 'feed'",
	'0 total: 0 active, 0 idle, 0 in transaction, 0 waiting; overflow 0, 0 %: ok', 'others are not');
query_is($node, 'app',
	"SELECT longest_idle_in_transaction > '0' AND oldest_connection >= longest_idle_in_transaction FROM dbperf.pool_status WHERE pool = 'web'",
	't', 'and how long');
$node->safe_psql('app', "UPDATE dbperf.pools SET max_overflow = 3 WHERE name = 'web'");
query_is($node, 'app', "SELECT status, reasons FROM dbperf.pool_status WHERE pool = 'web'",
	'warning|{"4 of 5 connections are open (80 %)"}', 'nearly full');
$node->safe_psql('app', "UPDATE dbperf.pools SET max_overflow = 2 WHERE name = 'web'");
query_is($node, 'app', "SELECT status FROM dbperf.pool_status WHERE pool = 'web'", 'critical', 'full');
release($holder);
is_deeply([ map { (finish_sql($_))[0] } @waiters ], [ 0, 0, 0 ], 'they had nothing to fear');
poll_ok($node, 'app', "SELECT total FROM dbperf.pool_status WHERE pool = 'web'", 'all gone', 0);

# --- many clients report at a time
$node->safe_psql('app', 'SELECT dbperf.reset_performance_stats()');
my $script = $node->basedir . '/report.sql';
append_to_file($script, q{
\set ms random(1, 1000)
SELECT dbperf.track_connection_acquire(:ms / 100.0, 'web');
SELECT dbperf.report_pool_sample(jsonb_build_object('pool', 'feed', 'instance', 'c' || :client_id, 'checked_out', 1,
	'timeouts', :client_id, 'acquire_ms', jsonb_build_array(:ms, 1)));
});
$node->command_ok(
	[ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', 200, '-f', $script, $node->connstr('app') ],
	'eight clients');
my $counts = "SELECT string_agg(format('%s %s', pool, acquires), ', ' ORDER BY pool) FROM dbperf.pool_acquire_times()";
query_is($node, 'app', $counts, 'feed 3200, web 1600', 'nothing is lost');
query_is($node, 'app',
	"SELECT client_reported - 'age_seconds' FROM dbperf.pool_status WHERE pool = 'feed'",
	'{"size": null, "waiting": null, "overflow": null, "timeouts": 28, "instances": 8, "checked_out": 8}',
	'the last sample of each');
# --- no more pools than there is room for
$node->safe_psql('app', "SELECT dbperf.track_connection_acquire(1)");
query_is($node, 'app', $counts, 'default 1, feed 3200',
	'the one that was not used for the longest time makes room')
  or diag $node->safe_psql('app', 'TABLE dbperf.pool_status');
query_is($node, 'app', 'SELECT max_pools, pools, evictions FROM dbperf.pool_counters_state()',
	'2|2|1', 'which is counted');
# --- another database's are its own
$node->safe_psql('postgres', 'CREATE DATABASE other');
install_extension($node, 'other');
query_is($node, 'other', "SELECT coalesce(($counts), 'none')", 'none', 'nothing of the other database');
query_is($node, 'other', 'SELECT count(*) FROM dbperf.pool_samples()', 0, 'nor samples');

# --- a real pool
my ($out, $err) = ('', '');
$node->safe_psql('app', "INSERT INTO dbperf.pools (name, application_name) VALUES ('orders', 'orders')");
{
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'app',
		PYTHONDONTWRITEBYTECODE => 1);
	IPC::Run::run(
		[ '/usr/bin/python3', "$FindBin::RealBin/../clients/pool_sqlalchemy.py" ],
		'<', \undef, '>', \$out, '2>', \$err,
		IPC::Run::timeout($PostgreSQL::Test::Utils::timeout_default));
}
is($out, "2/1/0 1/0\n2/4/2 4/1\n", 'a pool of SQLAlchemy reports on itself') or diag $err;

# --- dumps: what was changed, and a default pool that was
$node->safe_psql('app', "UPDATE dbperf.pools SET base_size = 11, comment = 'mine' WHERE name = 'default'");
my $pools = 'SELECT p FROM dbperf.pools p ORDER BY name';
my $before = $node->safe_psql('app', $pools);
for my $format ('p', 'c')
{
	my $dump = $node->basedir . "/dump.$format";
	my $into = $node->connstr("restored_$format");

	$node->command_ok([ 'pg_dump', "-F$format", '-f', $dump, $node->connstr('app') ], "dump $format");
	$node->safe_psql('postgres', "CREATE DATABASE restored_$format TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
	$node->command_ok($format eq 'p'
		? [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $dump, $into ]
		: [ 'pg_restore', '-e', '-j', 2, '-d', $into, $dump ], "restore $format");
	query_is($node, "restored_$format", $pools, $before, "pools of a dump $format");
}

# --- a standby: reads and reports
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('pools_standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
$node->wait_for_catchup($standby);
$standby->safe_psql('app', "SELECT dbperf.track_connection_acquire(1, 'web'), dbperf.report_pool_sample('{\"instance\": \"x\"}')");
query_is($standby, 'app', "SELECT acquire_count FROM dbperf.pool_status WHERE pool = 'web'", 1,
	'a standby counts');
query_is($standby, 'app', "SELECT total, client_reported ->> 'instances' FROM dbperf.pool_status WHERE pool = 'default'",
	'1|1', 'and shows');
$standby->stop;

# --- after a crash
my $victim = hold($node, 'app', 'SELECT 1');
kill 'KILL', $victim->{pid};
eval { release($victim) };
poll_ok($node, 'app', "SELECT coalesce(($counts), 'none')", 'a crash forgets', 'none');
query_is($node, 'app',
	"SELECT count(*) FROM dbperf.recent_connections() WHERE application_name LIKE 'web%'", 0,
	'connections, too');
$node->safe_psql('app', 'SELECT dbperf.track_connection_acquire(1)');
query_is($node, 'app', $counts, 'default 1', 'and it goes on');

# --- hooks in the other order
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'tradeassist_dbperf, auth_delay'\nauth_delay.milliseconds = 1\n");
$node->restart;
connects('login', 'web', $_) for 'right', 'wrong';
query_is($node, 'app',
	"SELECT count(*) FILTER (WHERE failed), count(*) FROM dbperf.recent_connections() WHERE username = 'login'",
	'1|2', 'after another one');

# --- without the library
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''\n");
$node->restart;
query_is($node, 'app',
	"SELECT total, active, acquire_count, connections_per_second, establish_p50_ms, source FROM dbperf.pool_status WHERE pool = 'default'",
	'1|1||||statistics views', 'what is known without shared memory');
query_is($node, 'app', 'SELECT preloaded, max_pools FROM dbperf.pool_counters_state()', 'f|', 'which is said');
query_is($node, 'app', "SELECT (SELECT count(*) FROM $_())", 0, "$_() is empty")
  for map { "dbperf.$_" } qw(recent_connections pool_samples pool_acquire_times);
for my $call ('track_connection_acquire(1)', q(report_pool_sample('{"instance": "x"}')))
{
	my ($status, undef, $message) = $node->psql('app', "\\set VERBOSITY verbose\nSELECT dbperf.$call");
	like($message, qr/ERROR:  55000: .*\nHINT:  Add tradeassist_dbperf to shared_preload_libraries/, "$call refuses");
}

done_testing();
