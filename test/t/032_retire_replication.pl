# Partitions retire while their table is replicated, dumped, or loses its extension: no row is lost
# on either side, and what was begun can be ended.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use DbperfRetire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $pub = PostgreSQL::Test::Cluster->new('pub');
$pub->init(allows_streaming => 'logical');
$pub->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tradeassist_dbperf'
dbperf.naptime = '1d'
dbperf.enabled = off
autovacuum = off
});
$pub->start;
my $sub = new_node('sub', 'dbperf.enabled = off', 'wal_level = logical');
$pub->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($pub, 'app');

# --- logical replication: by the parent into a table that is partitioned and retired there in a way
# of its own, and partition by partition
aged_table($pub, 'app', 't', 6, "recycle_for => '0'");
$pub->safe_psql('app', q{
	CREATE TABLE ledger (id bigint, at timestamptz, done timestamptz DEFAULT clock_timestamp());
	INSERT INTO ledger SELECT id, at FROM t;
	CREATE TABLE stop (yes bool);
	CREATE PUBLICATION by_root FOR TABLE t WITH (publish_via_partition_root = true);
	CREATE PUBLICATION by_leaf FOR TABLE t WITH (publish_via_partition_root = false)});
my $leaves = $pub->safe_psql('app', q{SELECT string_agg(format('CREATE TABLE %s PARTITION OF t FOR VALUES FROM (%L) TO (%L)',
	partition, lower_bound, upper_bound), '; ') FROM dbperf.partitions WHERE parent = 't'::regclass});
my $table = 'CREATE TABLE t (id bigint, at timestamptz, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)';
my $connection = $pub->connstr('app') =~ s/'/''/gr;
for my $way ('root', 'leaf')
{
	$sub->safe_psql('postgres', "CREATE DATABASE $way");
	install_extension($sub, $way);
	$sub->safe_psql($way, $table);
	$sub->safe_psql($way, $way eq 'leaf' ? $leaves : q{
		CREATE TABLE t_rest PARTITION OF t DEFAULT;
		SELECT dbperf.manage('t', '2 days', premake => 1);
		SELECT count(*) FROM dbperf.create_partitions('t', (now() - interval '8 days')::text, now()::text)});
	$sub->safe_psql($way, "CREATE SUBSCRIPTION s_$way CONNECTION '$connection' PUBLICATION by_$way");
}
$sub->wait_for_subscription_sync($pub, "s_$_", $_) for ('root', 'leaf');

my $writer = start_sql($pub, 'app', q{
	DO $$
	DECLARE
		n bigint;
		row_at timestamptz;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM stop) LOOP
			row_at := now() - random() * interval '6 days';
			BEGIN
				INSERT INTO t (at) VALUES (row_at) RETURNING id INTO n;
				INSERT INTO ledger VALUES (n, row_at);
			EXCEPTION WHEN check_violation THEN NULL;
			END;
			COMMIT;
		END LOOP;
	END $$}, app => 'writer');
for my $days (6, 5, 4)
{
	# a transaction that has written the partition before it is marked, and commits afterwards
	my $late = hold($pub, 'app', "INSERT INTO t (at) SELECT least FROM t_was WHERE name = '" . part($pub, 'app', 't', $days) . "';"
		. " INSERT INTO ledger SELECT id, at FROM t WHERE xmin = pg_current_xact_id()::xid");
	$pub->safe_psql('app', "SELECT dbperf.alter_policy('t', detach_after => '" . ($days - 1) . " days')");
	$pub->safe_psql('app', 'CALL dbperf.maintain()');
	# half way, it would be no part of what is published, for rows that are on their way
	is($pub->safe_psql('app', "SELECT count(*) FROM pg_inherits WHERE inhparent = 't'::regclass AND inhdetachpending"), 0, "$days days: nothing is done half");
	is($pub->safe_psql('app', "SELECT count(*) FROM dbperf.recycle_bin"), 6 - $days, "$days days: a writer of the partition is waited for");
	release($late, 'COMMIT');
	poll_ok($pub, 'app', "SELECT bool_and(status = 'done') IS NOT FALSE FROM dbperf.run_maintenance('t') WHERE action <> 'create'",
		"$days days: and then it is done");
	$sub->safe_psql('root', "SELECT dbperf.alter_policy('t', detach_after => '" . ($days - 1) . " days'); CALL dbperf.maintain()");
}
is($pub->safe_psql('app', "SELECT count(*) FROM dbperf.recycle_bin WHERE state = 'detached'"), 3, 'partitions retire beneath the writer');
$pub->safe_psql('app', 'INSERT INTO stop VALUES (true)');
my ($status, undef, $err) = finish_sql($writer);
is($status, 0, 'the writer met no error') or diag $err;
$pub->safe_psql('app', "INSERT INTO t (at) VALUES (now()); INSERT INTO ledger SELECT id, at FROM t ORDER BY id DESC LIMIT 1");
$pub->wait_for_catchup("s_$_") for ('root', 'leaf');
my $ledger = $pub->safe_psql('app', "SELECT count(*), md5(string_agg(id::text, ' ' ORDER BY id)) FROM ledger");
my $of_bin = q{DO $$
	DECLARE
		r regclass;
	BEGIN
		CREATE TEMP TABLE found AS SELECT id FROM t;
		FOR r IN SELECT partition FROM dbperf.recycle_bin LOOP
			EXECUTE format('INSERT INTO found SELECT id FROM %s', r);
		END LOOP;
	END $$; SELECT count(*), md5(string_agg(id::text, ' ' ORDER BY id)) FROM found};
is($pub->safe_psql('app', $of_bin), $ledger, 'no row is lost on the publisher');
is($sub->safe_psql('root', $of_bin), $ledger, 'nor on a subscriber by the parent, which has its own retired');
is($sub->safe_psql('root', "SELECT count(*) >= 1 FROM dbperf.recycle_bin WHERE state = 'detached'"), 't', 'and did so');
is($sub->safe_psql('leaf', "SELECT count(*), md5(string_agg(id::text, ' ' ORDER BY id)) FROM t"), $ledger, 'nor on one by partitions');
# which they are, to tell how they were lost
my %arrived = map { $_ => 1 } split /\n/, $sub->safe_psql('leaf', 'SELECT id FROM t');
my @lost = grep { !$arrived{$_} } split /\n/, $pub->safe_psql('app', 'SELECT id FROM ledger ORDER BY id');
diag $pub->safe_psql('app', 'SELECT l.*, e.action, e.at FROM ledger l LEFT JOIN dbperf.partition_events e'
	. " ON e.action ~ 'detach' AND l.at >= e.lower_bound::timestamptz AND l.at < e.upper_bound::timestamptz WHERE id IN ("
	. join(', ', @lost[ 0 .. ($#lost < 9 ? $#lost : 9) ]) . ') ORDER BY l.id, e.at') if @lost;
is(count_in_log($sub, qr/ERROR:.*|logical replication .* will restart|exited with exit code 1/), 0, 'subscribers met no error');

# --- what is attached again is published again
$pub->safe_psql('app', q{SELECT dbperf.attach_partition((SELECT partition FROM dbperf.recycle_bin ORDER BY upper_at DESC LIMIT 1), '1 day');
	INSERT INTO t (at) SELECT max(upper_at) - interval '1 hour' FROM dbperf.recycle_bin WHERE state = 'attached'});
$pub->wait_for_catchup("s_$_") for ('root', 'leaf');
my $last = $pub->safe_psql('app', 'SELECT max(id) FROM t');
is($sub->safe_psql($_, "SELECT count(*) FROM t WHERE id = $last"), 1, "attached again, it is published by $_") for ('root', 'leaf');

# --- nothing is dropped that a subscriber or a standby has yet to hear of
$sub->safe_psql($_, "ALTER SUBSCRIPTION s_$_ DISABLE") for ('root', 'leaf');
$sub->safe_psql($_, "ALTER SUBSCRIPTION s_$_ SET (slot_name = NONE); DROP SUBSCRIPTION s_$_") for ('root', 'leaf');
$pub->poll_query_until('app', 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active');
$pub->safe_psql('app', 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
$pub->safe_psql('postgres', "SELECT pg_create_physical_replication_slot('far_away', true)");
$pub->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($pub, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "primary_slot_name = 'far_away'");
$standby->start;
$pub->wait_for_catchup($standby);
$standby->stop;
my $moved = $pub->safe_psql('app', "SELECT dbperf.detach_partition((SELECT partition FROM dbperf.partitions WHERE parent = 't'::regclass"
	. " AND state = 'past' ORDER BY upper_bound::timestamptz DESC LIMIT 1))::oid");
(undef, undef, $err) = $pub->psql('app', "SELECT dbperf.drop_partition($moved)");
like($err, qr/replication slot\(s\) far_away have not got to where it was detached/, 'a standby that is away keeps a partition from being dropped');
$pub->safe_psql('app', "UPDATE dbperf.recycle_bin SET hold_until = NULL WHERE state = 'attached'; SELECT dbperf.alter_policy('t', detach_after => '0', drop_after => '0')");
is($pub->safe_psql('app', "SELECT decision, reason ~ 'far_away' FROM dbperf.plan_maintenance('t') WHERE action = 'drop' AND partition = dbperf.qualified_name($moved)"),
	'wait|t', 'as the plan says');
$pub->safe_psql('app', 'CALL dbperf.maintain()');
is($pub->safe_psql('app', "SELECT count(*) FROM pg_class WHERE oid = $moved"), 1, 'and as maintenance does');
like($pub->safe_psql('app', "SELECT reasons FROM dbperf.partition_health"), qr/far_away/, 'health names it');
$standby->start;
$pub->wait_for_catchup($standby);
$pub->safe_psql('app', 'CALL dbperf.maintain()');
is($pub->safe_psql('app', "SELECT count(*) FROM pg_class WHERE oid = $moved"), 0, 'when it is back, the partition is dropped');
$pub->wait_for_catchup($standby);
is($standby->safe_psql('app', "SELECT count(*) FROM t"), $pub->safe_psql('app', 'SELECT count(*) FROM t'), 'the standby has the same');
is($standby->safe_psql('app', 'SELECT count(*) >= 0 FROM dbperf.plan_maintenance()'), 't', 'and can be asked for the plan');
(undef, undef, $err) = $standby->psql('app', "SELECT dbperf.detach_partition((SELECT partition FROM dbperf.partitions LIMIT 1))");
like($err, qr/recovery|read-only/, 'where nothing can be detached');
$standby->stop;
$pub->safe_psql('postgres', "SELECT pg_drop_replication_slot('far_away')");

# --- dump and restore of a filled recycle bin: detached, attached again, and half way
$pub->safe_psql('postgres', 'CREATE DATABASE full_bin');
install_extension($pub, 'full_bin');
aged_table($pub, 'full_bin', 't', 6, "recycle_for => '0'");
my @parts = map { part($pub, 'full_bin', 't', $_) } reverse 1 .. 6;
$pub->safe_psql('full_bin', "SELECT dbperf.detach_partition('$_')") for @parts[ 0 .. 2 ];
$pub->safe_psql('full_bin', "SELECT dbperf.attach_partition('public_archive.$parts[2]', '1 day')");
my $reader = hold($pub, 'full_bin', 'SELECT count(*) FROM t');
$pub->safe_psql('full_bin', "SELECT dbperf.alter_policy('t', detach_after => '2 days')");
$pub->safe_psql('full_bin', 'CALL dbperf.maintain()');
ok(pending_is($pub, 'full_bin', 't', 1), 'one is half way');
is(states($pub, 'full_bin', 't'), 'again 1, attached 3, detached 2, pending 1', 'a filled bin');
command_ok([ 'pg_dump', '-Fc', '-f', "$dir/full.dump", $pub->connstr('full_bin') ], 'pg_dump');
release($reader);
my $rows = $pub->safe_psql('full_bin', 'SELECT sum(rows) FROM t_was');
for my $target ([ $pub, 'same cluster' ], [ $sub, 'another cluster' ])
{
	my ($node, $name) = @$target;
	$node->safe_psql('postgres', 'CREATE DATABASE restored');
	command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), "$dir/full.dump" ], "$name: restored");
	is($node->safe_psql('restored', "SELECT string_agg(partition || ' ' || state, ', ' ORDER BY upper_at) FROM dbperf.recycle_bin"),
		"public_archive.$parts[0] detached, public_archive.$parts[1] detached, $parts[2] attached, $parts[3] detaching", "$name: the bin arrived");
	is($node->safe_psql('restored', q{SELECT count_of('t'::regclass) + (SELECT sum(count_of(partition)) FROM dbperf.recycle_bin
		WHERE partition NOT IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 't'::regclass))}), $rows, "$name: all rows");
	# the state that these tests know is by OID
	$node->safe_psql('restored', q{UPDATE t_was SET oid = coalesce(to_regclass(name), to_regclass('public_archive.' || name))});
	# a slot of the restored server's own is no reason to wait for the LSN of another one
	$node->safe_psql('restored', "SELECT pg_create_physical_replication_slot('own_slot', true)") if $node ne $pub;
	$node->safe_psql('restored', 'CALL dbperf.maintain()');
	like(states($node, 'restored', 't'), qr/^again 1, attached 3, detached 3$/, "$name: what was half way is ended");
	one_state_each($node, 'restored', 't', $name);
	$node->safe_psql('restored', "SELECT dbperf.attach_partition('public_archive.$parts[1]', '1 day')");
	like(states($node, 'restored', 't'), qr/^again 2, attached 3, detached 2$/, "$name: it can be attached");
	(undef, undef, $err) = $node->psql('restored', "SELECT dbperf.drop_partition('public_archive.$parts[0]')");
	is($err, '', "$name: and dropped");
	$node->safe_psql('restored', "SELECT pg_drop_replication_slot('own_slot')") if $node ne $pub;
	whole_is($node, 'restored', 't', "$name: queries see what is attached");
}

# --- the extension is dropped half way
$pub->safe_psql('postgres', 'CREATE DATABASE left_alone');
install_extension($pub, 'left_alone');
aged_table($pub, 'left_alone', 't', 6, "recycle_for => '0'");
@parts = map { part($pub, 'left_alone', 't', $_) } reverse 1 .. 6;
$rows = $pub->safe_psql('left_alone', 'SELECT sum(rows) FROM t_was');
$pub->safe_psql('left_alone', "SELECT dbperf.detach_partition('$parts[0]')");
$reader = hold($pub, 'left_alone', 'SELECT count(*) FROM t');
$pub->safe_psql('left_alone', "SELECT dbperf.alter_policy('t', detach_after => '4 days'); CALL dbperf.maintain()");
ok(pending_is($pub, 'left_alone', 't', 1), 'half way');
$pub->safe_psql('left_alone', 'DROP EXTENSION tradeassist_dbperf');
release($reader);
is($pub->safe_psql('left_alone', "SELECT count_of('t'::regclass) + count_of('$parts[1]'::regclass) + count_of('public_archive.$parts[0]'::regclass)"),
	$rows, 'without the extension: all tables can be read');
$pub->safe_psql('left_alone', "INSERT INTO t (at) VALUES (now()); INSERT INTO public_archive.$parts[0] SELECT * FROM public_archive.$parts[0] WHERE false;"
	. " ALTER TABLE t ADD COLUMN extra int; ALTER TABLE public_archive.$parts[0] ADD COLUMN extra int");
pass('and written, and altered');
$pub->safe_psql('left_alone', 'CREATE EXTENSION tradeassist_dbperf');
$pub->safe_psql('left_alone', "SELECT dbperf.manage('t', '1 day', premake => 1)");
is($pub->safe_psql('left_alone', "SELECT action, decision FROM dbperf.plan_maintenance('t') WHERE action <> 'create'"), 'finalize|go', 'made anew: the plan finds it');
$pub->safe_psql('left_alone', 'CALL dbperf.maintain()');
is($pub->safe_psql('left_alone', "SELECT relispartition, relnamespace::regnamespace FROM pg_class WHERE relname = '$parts[1]'"), 'f|public',
	'maintenance ends it, and leaves the table where it is');
is($pub->safe_psql('left_alone', "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), 0, 'nothing is left half way');
is($pub->safe_psql('left_alone', "SELECT count_of('t'::regclass) + count_of('$parts[1]'::regclass) + count_of('public_archive.$parts[0]'::regclass)"),
	$rows + 1, 'all rows are there');
is(audit_is_ok($pub, 'left_alone'), 'ok', 'the audit trail is whole');
is(count_in_log($pub, qr/TRAP|PANIC|cache lookup failed/) + count_in_log($sub, qr/TRAP|PANIC|cache lookup failed/), 0, 'the logs know nothing worse');
$sub->stop;
$pub->stop;
done_testing();
