# Dumps in every format go into a fresh cluster with the worker on: policies and history arrive, the
# audit trail stays whole, and the worker carries on by itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my @settings = ('allow_in_place_tablespaces = on');
my $roles_and_spaces = q{
	CREATE ROLE keeper;
	CREATE TABLESPACE cold LOCATION ''};

# Two months on, so that there is something to do after a restore.
my $later = q{
	DO $$
	BEGIN
		EXECUTE format('ALTER DATABASE %I SET dbperf.now_override = %L', current_database(),
			now() + interval '70 days');
	END $$};

# Whatever must not change, without OIDs.
my $policies = q{
	SELECT c.oid::regclass, c.relowner::regrole, to_jsonb(p) - 'parent'
	FROM dbperf.policy p JOIN pg_class c ON c.oid = p.parent ORDER BY c.oid::regclass::text COLLATE "C"};
my $events = 'SELECT e FROM dbperf.partition_events e ORDER BY event_id';
my $runs = 'SELECT j FROM dbperf.job_runs j ORDER BY run_id';

my $source = new_node('source', @settings);
$source->safe_psql('postgres', $roles_and_spaces);
$source->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($source, 'app');
my $odd = q{"A ""quoted"" näme.with; $odd' % {braces} parts"};
my $odd_literal = q{'"Odd Schema".} . ($odd =~ s/'/''/gr) . q{'};
$source->safe_psql('app', qq{
	SELECT dbperf.create_market_schema();
	CREATE SCHEMA "Odd Schema" AUTHORIZATION keeper;
	CREATE TABLE "Odd Schema".$odd (at timestamp NOT NULL, "v ""x""" int) PARTITION BY RANGE (at);
	ALTER TABLE "Odd Schema".$odd OWNER TO keeper;
	SELECT dbperf.manage($odd_literal, '1 day', premake => 3, time_zone => 'America/New_York',
		naming_pattern => '{from:YYYY-MM-DD} "x"', archive_schema => 'Ödd "attic"', quiet_hours => '22:00-06:00');
	CREATE TABLE days (d date PRIMARY KEY, v text) PARTITION BY RANGE (d);
	SELECT dbperf.manage('days', '1 week', tablespace => 'cold', run_order => 7, detach_after => '20 years', sort_by => '{d}',
		drop_after => '30 years 1 month', recycle_for => '12:30', require_archive => true, lock_tries => 20);
	CREATE TABLE ids (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
	SELECT dbperf.manage('ids', 1000, anchor => '-500', detach_after => '1000000', drop_after => '9223372036854775807',
		compress_after => '500000', recompress_after => 'never', recompress_rows => 77);
	CREATE TABLE small (id int) PARTITION BY RANGE (id);
	SELECT dbperf.manage('small', 10, enabled => false);
	CREATE TABLE asleep (d date) PARTITION BY RANGE (d);
	SELECT dbperf.manage('asleep', '1 day', enabled => false);
	CREATE TABLE millis (ms bigint NOT NULL) PARTITION BY RANGE (ms);
	SELECT dbperf.manage('millis', '1 day', epoch_unit => 'milliseconds', sanity_window => '3 days',
		lock_budget => '150 ms', drop_after => '20 years', recycle_for => '0');
	CREATE TABLE anchored (at timestamptz) PARTITION BY RANGE (at);
	CREATE TABLE anchored_default PARTITION OF anchored DEFAULT;
	SELECT dbperf.manage('anchored', '1 month', anchor => '2000-01-29 09:30', time_zone => 'Asia/Kolkata');
	INSERT INTO instruments (symbol) SELECT 'S' || i FROM generate_series(1, 5) i;
	INSERT INTO market_data ("timestamp", instrument_id, price)
		SELECT now() + i * interval '1 hour', 1 + i % 5, i FROM generate_series(1, 500) i;
	INSERT INTO ids SELECT generate_series(-400, 1200);
	SELECT dbperf.create_partitions('days', (current_date - 100)::text, current_date::text);
	SELECT dbperf.unmanage('small');
	SELECT dbperf.manage('small', 10);
	CALL dbperf.maintain()});
# compressed, with a late row and a deleted one
$source->safe_psql('app', q{
	SELECT dbperf.compress_partition(partition) FROM dbperf.partitions WHERE parent = 'ids'::regclass AND lower_bound = '500';
	DELETE FROM ids WHERE id = 600;
	INSERT INTO ids VALUES (600)});
ok(wake_and_wait($source, 'app'), 'the worker of the source has written history, too');
$source->append_conf('postgresql.conf', 'dbperf.enabled = off');
$source->reload;
$source->poll_query_until('app',
	"SELECT state = 'disabled' AND active_worker_pid IS NULL FROM dbperf.worker_status")
  or die 'the worker cannot be disabled';
is(audit_is_ok($source, 'app'), 'ok', 'the audit trail of the source is whole');

# a column that has its default everywhere would prove nothing
is($source->safe_psql('app', q{
		SELECT string_agg(a.attname, ' ') FROM pg_attribute a
		WHERE a.attrelid = 'dbperf.policy'::regclass AND a.attnum > 0 AND NOT a.attisdropped
		AND (SELECT count(DISTINCT to_jsonb(p) -> a.attname::text) FROM dbperf.policy p) < 2}),
	'', 'the policies of the source differ in every column');
my %before = map { $_ => $source->safe_psql('app', $_) } ($policies, $events, $runs);
my $rows = $source->safe_psql('app', 'SELECT count(*), sum(price) FROM market_data');
my $compressed = q{SELECT count(*), sum(id), (SELECT string_agg(concat_ws(' ', p.partition, c.rows, c.raw_bytes > 0), ',') FROM dbperf.partitions p
	JOIN dbperf.compression c USING (partition) WHERE access_method = 'dbperf_columnar') FROM ids};
my $ids = $source->safe_psql('app', $compressed);
like($ids, qr/\|ids_500 \d+ t$/, 'one partition is compressed');
my $last_event = $source->safe_psql('app', 'SELECT max(event_id) FROM dbperf.partition_events');
my $last_run = $source->safe_psql('app', 'SELECT max(run_id) FROM dbperf.job_runs');

my $target = new_node('target', @settings);
$target->safe_psql('postgres', $roles_and_spaces);

sub dump_to
{
	my ($name, @options) = @_;
	command_ok([ 'pg_dump', '-f', "$dir/$name", @options, $source->connstr('app') ], "pg_dump @options");
	return "$dir/$name";
}

# What must hold in a database that was restored from the whole dump.
sub check_restored
{
	my ($node, $db, $name) = @_;

	is($node->safe_psql($db, $policies), $before{$policies}, "$name: the policies arrived");
	my $arrived = $node->safe_psql($db,
		"SELECT e FROM dbperf.partition_events e WHERE event_id <= $last_event ORDER BY event_id");
	is($arrived, $before{$events}, "$name: the events arrived");
	$arrived = $node->safe_psql($db,
		"SELECT j FROM dbperf.job_runs j WHERE run_id <= $last_run ORDER BY run_id");
	is($arrived, $before{$runs}, "$name: the runs arrived");
	is($node->safe_psql($db, 'SELECT count(*), sum(price) FROM market_data'), $rows, "$name: the rows, too");
	is($node->safe_psql($db, $compressed), $ids, "$name: what was compressed is so again, and known");
	is(audit_is_ok($node, $db), 'ok', "$name: the audit trail is whole");
	return;
}

sub check_carries_on
{
	my ($node, $db, $name, $by_itself) = @_;

	$node->safe_psql($db, $later);
	poll_ok($node, $db,
		"SELECT EXISTS (SELECT FROM dbperf.job_runs WHERE source = 'worker' AND run_id > $last_run"
		  . " AND status = 'ok')",
		"$name: the worker carries on by itself")
	  if $by_itself;
	ok(wake_and_wait($node, $db), "$name: the worker carries on");
	is($node->safe_psql($db,
			"SELECT count(*), count(*) FILTER (WHERE missing = 0 AND last_error IS NULL) FROM dbperf.partition_health WHERE enabled"),
		'8|8', "$name: all is made for the time that has come");
	is($node->safe_psql($db,
			"SELECT count(*) > 5, min(event_id) > $last_event FROM dbperf.partition_events"
			  . " WHERE action = 'create' AND at > (SELECT max(at) FROM dbperf.partition_events WHERE event_id = $last_event)"),
		't|t', "$name: new events go on from the old numbers");
	is(audit_is_ok($node, $db), 'ok', "$name: the audit trail goes on");
	is($node->safe_psql($db, "SELECT DISTINCT tablespace FROM dbperf.partitions WHERE parent = 'days'::regclass"),
		'cold', "$name: in the tablespace of the policy");
	$node->safe_psql($db, "SELECT dbperf.alter_policy('ids', premake => 4); SELECT dbperf.run_maintenance('ids')");
	is(audit_is_ok($node, $db), 'ok', "$name: and on");
	return;
}

# --- every format, into the cluster where the worker is on the watch for new databases
my %restore = (
	plain => sub { return [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $_[0], '-d', $_[1] ] },
	inserts => sub { return [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $_[0], '-d', $_[1] ] },
	custom => sub { return [ 'pg_restore', '-e', '-d', $_[1], $_[0] ] },
	single => sub { return [ 'pg_restore', '-e', '-1', '-d', $_[1], $_[0] ] },
	directory => sub { return [ 'pg_restore', '-e', '-j2', '-d', $_[1], $_[0] ] },
);
my %options = (
	plain => ['-Fp'], inserts => [ '-Fp', '--column-inserts' ], custom => ['-Fc'],
	single => ['-Fc'], directory => [ '-Fd', '-j2' ]);
for my $format (sort keys %restore)
{
	my $file = dump_to($format, @{ $options{$format} });

	$target->safe_psql('postgres', "CREATE DATABASE r_$format");
	# the launcher is to have looked at it before, and to come again while it is filled
	$target->safe_psql('postgres', 'SELECT pg_reload_conf()');
	command_ok($restore{$format}->($file, $target->connstr("r_$format")), "$format: restored");
	check_restored($target, "r_$format", $format);
	# it looks every few seconds whether a restore has ended: to wait for that twice is enough
	check_carries_on($target, "r_$format", $format, $format eq 'plain' || $format eq 'directory');
}

# --- schema only, then data only
dump_to('schema', '-Fc', '--schema-only');
dump_to('data', '-Fc', '--data-only');
$target->safe_psql('postgres', 'CREATE DATABASE r_halves');
command_ok([ 'pg_restore', '-e', '-d', $target->connstr('r_halves'), "$dir/schema" ],
	'schema only: restored');
is($target->safe_psql('r_halves',
		'SELECT (SELECT count(*) FROM dbperf.policy), (SELECT count(*) FROM dbperf.partition_events)'),
	'0|0', 'schema only: no policy and no history');
is(audit_is_ok($target, 'r_halves'), 'ok', 'schema only: an empty audit trail is whole');
command_ok([ 'pg_restore', '-e', '-d', $target->connstr('r_halves'), "$dir/data" ],
	'data only: restored');
check_restored($target, 'r_halves', 'schema and data apart');
check_carries_on($target, 'r_halves', 'schema and data apart');

# --- a dump taken while maintenance is at work, from a copy
$source->safe_psql('postgres', 'CREATE DATABASE busy TEMPLATE app');
my $backfill = start_sql($source, 'busy', q{
	CALL dbperf.backfill('market_data', '1990-01-01', '2020-01-01')}, app => 'backfill');
$source->poll_query_until('busy', q{
	SELECT count(*) > 20 FROM pg_inherits WHERE inhparent = 'market_data'::regclass})
  or die 'no backfill';
command_ok([ 'pg_dump', '-Fc', '-f', "$dir/busy", $source->connstr('busy') ], 'pg_dump during a backfill');
my ($status, undef, $err) = finish_sql($backfill);
is($status, 0, 'the dump does not disturb the backfill') or diag $err;
$target->safe_psql('postgres', 'CREATE DATABASE r_busy');
command_ok([ 'pg_restore', '-e', '-j2', '-d', $target->connstr('r_busy'), "$dir/busy" ],
	'a dump from the middle of a backfill: restored');
is(audit_is_ok($target, 'r_busy'), 'ok', 'from the middle: the audit trail is whole');
is($target->safe_psql('r_busy', q{
		SELECT count(*) FROM dbperf.partition_events
		WHERE action = 'create' AND to_regclass(partition) IS NULL}),
	0, 'from the middle: for each event there is a partition');
poll_ok($target, 'r_busy', q{
		SELECT count(*) = 0 FROM dbperf.job_runs WHERE status = 'running' AND source <> 'worker'},
	'from the middle: the run that was cut by the dump does not stay "running"');
check_carries_on($target, 'r_busy', 'from the middle');

# --- pg_dumpall into another cluster
$source->safe_psql('postgres', 'DROP DATABASE busy');
command_ok([ 'pg_dumpall', '--no-sync', '-f', "$dir/all", '-d', $source->connstr('postgres') ], 'pg_dumpall');
my $all = new_node('all', @settings);
# without the tablespace of a policy, all policies arrive
$all->safe_psql('postgres', 'CREATE DATABASE r_nospace');
$all->safe_psql('postgres', 'CREATE ROLE keeper');
command_ok([ 'pg_restore', '-e', '--no-tablespaces', '-d', $all->connstr('r_nospace'), "$dir/custom" ],
	'no tablespaces: restored');
is($all->safe_psql('r_nospace',
		'SELECT count(*), count(tablespace), bool_and(created_at < now()) FROM dbperf.policy'),
	'9|0|t', 'no tablespaces: the policies arrived without');
is(audit_is_ok($all, 'r_nospace'), 'ok', 'no tablespaces: the audit trail is whole');
# the two clusters of this test cannot share a directory
$all->safe_psql('postgres', q{CREATE TABLESPACE cold LOCATION ''});
command_ok([ 'psql', '-Xq', '-f', "$dir/all", '-d', $all->connstr('postgres') ], 'pg_dumpall: restored');
check_restored($all, 'app', 'pg_dumpall');
check_carries_on($all, 'app', 'pg_dumpall');

$_->stop for ($source, $target, $all);
done_testing();
