# Alerts, their rules and callbacks in dumps of every format, also beside alerts that are there
# already, and where the library is not preloaded.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('alerts', 'dbperf.enabled = off');

# A sample at a time of the day, and what the rules make of it.
sub sample
{
	my ($db, $at, $cpu) = @_;
	return $node->safe_psql($db, qq{
		SET dbperf.now_override = '2026-11-21 $at+00';
		UPDATE dbperf.sampler_state SET at = dbperf.clock(), "values" = '[["cpu_percent", "", $cpu]]';
		SELECT dbperf.evaluate_alerts()});
}

my $tell = "SELECT count(*) FROM dbperf.pending_notifications() WHERE channel = 'performance_alert'";

sub prepare
{
	my ($db, $warn) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	$node->safe_psql($db, qq{
		INSERT INTO dbperf.alert_rules (name, metric, warn, cooldown) VALUES ('cpu', 'cpu_percent', $warn, '0');
		CREATE SCHEMA cb;
		CREATE FUNCTION cb.hear(jsonb) RETURNS void LANGUAGE sql AS '';
		SELECT dbperf.add_alert_callback('cb.hear(jsonb)')});
	return;
}

prepare('app', 80);
$node->safe_psql('app', q{
	UPDATE dbperf.alert_rules SET warn = 70, clear_at = NULL WHERE name = 'connections';
	SELECT dbperf.silence_alert('xid_age', 'infinity')});
sample('app', @$_) for [ '12:00:00', 90 ], [ '12:01:00', 0 ], [ '12:02:00', 95 ];
is($node->safe_psql('app', $tell), 3, 'there is something to dump');
$node->safe_psql('app', q{SELECT dbperf.acknowledge_alert(max(alert_id), 'a note') FROM dbperf.alerts});

my %all = map { $_ => "SELECT x FROM dbperf.$_ x ORDER BY x::text COLLATE \"C\"" } qw(alert_rules alerts alert_events alert_functions);
my %before = map { $_ => $node->safe_psql('app', $all{$_}) } keys %all;

my %options = (plain => ['-Fp'], custom => ['-Fc'], directory => ['-Fd']);
my %restore = (plain => [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f' ], custom => [ 'pg_restore', '-e' ], directory => [ 'pg_restore', '-e', '-j2' ]);
for my $format (sort keys %restore)
{
	my $db = "r_$format";
	command_ok([ 'pg_dump', '-f', "$dir/$format", @{ $options{$format} }, $node->connstr('app') ], "$format: dumped");
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	command_ok([ @{ $restore{$format} }, "$dir/$format", '-d', $node->connstr($db) ], "$format: restored");
	query_is($node, $db, $all{$_}, $before{$_}, "$format: $_") for sort keys %all;
	is(sample($db, '12:03:00', 0), 1, "$format: the open alert is closed");
	is($node->safe_psql($db, $tell), 2, "$format: what was not told is");
	query_is($node, $db, 'SELECT count(*) FROM dbperf.next_callbacks()', 5, "$format: and the function is to be called");
}

# the rows alone, beside more alerts than the dump has: their numbers stay, and the sequences are set back
prepare('r_rows', 10);
sample('r_rows', "13:0$_:00", $_ % 2 ? 0 : 90) for 0 .. 8;
is($node->safe_psql('r_rows', $tell), 9, 'data only: there are alerts');
my $own = $node->safe_psql('r_rows', $all{alerts});
command_ok([ 'pg_restore', '-e', '--data-only', '-n', 'dbperf', '-d', $node->connstr('r_rows'), "$dir/custom" ], 'data only: restored');
query_is($node, 'r_rows', $all{alerts}, $own, 'data only: what is there stays');
query_is($node, 'r_rows', q{SELECT warn FROM dbperf.alert_rules WHERE name IN ('cpu', 'connections') ORDER BY 1}, "70\n80", 'data only: rules come from the dump');
is(sample('r_rows', '14:00:00', 0) . sample('r_rows', '14:01:00', 90), '11', 'data only: alerts go on');
cmp_ok($node->safe_psql('r_rows', $tell), '>=', 2, 'data only: and are told');

# --- where the library is not preloaded
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
query_is($node, 'app', q{SELECT new_level FROM dbperf.alert_judgements WHERE rule = 'cpu'}, 1, 'not preloaded: rules are shown');
query_is($node, 'app', 'SELECT dbperf.prune_alerts()', 0, 'not preloaded: history is pruned');
is(sample('app', '12:04:00', 0), 1, 'not preloaded: samples are judged');
$node->stop;
done_testing();
