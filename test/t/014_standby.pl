# On a standby the worker idles; after the promotion it takes over.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = PostgreSQL::Test::Cluster->new('primary');
$primary->init(allows_streaming => 1);
$primary->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tradeassist_dbperf'
dbperf.naptime = '1d'
autovacuum = off
});
$primary->start;
$primary->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($primary, 'app');
managed_table($primary, 'app', 'ticks');
my $well = "SELECT state = 'running' AND last_run_status = 'ok' FROM dbperf.worker_status";
poll_ok($primary, 'app', $well,
	'the worker of the primary runs');

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

# --- idle
is(worker_status($standby, 'app',
		"state, launcher_pid IS NULL, reason LIKE '%promotion%', last_run_status"),
	'standby|t|t|ok', 'the standby says so');
query_is($standby, 'postgres',
	"SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dbperf%'",
	0, 'no process of ours runs there');
is($standby->safe_psql('app', 'SELECT dbperf.wake()'), 'f', 'nobody hears wake() there');
my ($ret, $out, $err) = $standby->psql('app', 'INSERT INTO ticks VALUES (now())');
like($err, qr/read-only transaction/, 'it is a standby');

# --- what the primary makes arrives
set_clock($primary, 'app', '2 months');
ok(wake_and_wait($primary, 'app'), 'the primary works on');
$primary->wait_for_catchup($standby);
is(partition_count($standby, 'app', 'ticks'), 5, 'its partitions arrive');

# --- the primary fails, with work undone
set_clock($primary, 'app', '4 months');
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
$standby->promote;
poll_ok($standby, 'app',
	"SELECT count(*) = 7 FROM pg_inherits WHERE inhparent = 'ticks'::regclass",
	'promoted, the standby makes the partitions');
poll_ok($standby, 'app', $well,
	'and its worker runs');
query_is($standby, 'app', 'SELECT ok FROM dbperf.verify_audit()', 't',
	'the audit trail goes on unbroken');
is(count_in_log($standby, qr/maintenance of (table|database)|PANIC/), 0, 'without a complaint');

$standby->stop;
done_testing();
