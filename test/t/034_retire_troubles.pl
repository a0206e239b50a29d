# What users of other partition managers complain of: a child that is locked before its parent, one
# bad table that stops the rest, maintenance that queues behind a reader and stops all inserts, and
# failures that nobody hears of.

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

my $node = new_node('troubles', 'deadlock_timeout = 100ms', 'dbperf.enabled = off');

sub database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	return;
}

# --- a child locked before its parent: those who lock the parent first and go down to the children
# meet maintenance in a deadlock
database('deadlock');
aged_table($node, 'deadlock', 't', 12, "recycle_for => '0', lock_budget => '100 ms'");
aged_table($node, 'deadlock', 'd', 12, "recycle_for => '0', lock_budget => '100 ms'");
$node->safe_psql('deadlock', q{CREATE TABLE d_default PARTITION OF d DEFAULT; CREATE TABLE done (yes bool)});
my @downwards = map { start_sql($node, 'deadlock', qq{
	DO \$\$
	DECLARE
		n int;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM done) LOOP
			LOCK TABLE ONLY $_ IN ROW EXCLUSIVE MODE;
			SELECT count(*) INTO n FROM $_;
			INSERT INTO $_ (at) VALUES (now());
			COMMIT;
		END LOOP;
	END \$\$}, app => "down $_") } ('t', 't', 'd', 'd');
for my $table ('t', 'd')
{
	for my $days (8, 4, 1)
	{
		$node->safe_psql('deadlock', "SELECT dbperf.alter_policy('$table', detach_after => '$days days', drop_after => '" . ($days + 2) . " days')");
		poll_ok($node, 'deadlock', "SELECT bool_and(status = 'done') IS NOT FALSE FROM dbperf.run_maintenance('$table') WHERE action IN ('detach', 'drop', 'finalize')",
			"$table, $days days: maintenance comes to its end beneath traffic");
	}
}
$node->safe_psql('deadlock', 'INSERT INTO done VALUES (true)');
for my $session (@downwards)
{
	my ($status, undef, $err) = finish_sql($session);
	is($status, 0, 'traffic from parent to child met no error') or diag $err;
}
is($node->safe_psql('postgres', "SELECT deadlocks FROM pg_stat_database WHERE datname = 'deadlock'"), 0, 'there was no deadlock');
$node->safe_psql('deadlock', "SELECT dbperf.alter_policy('d', detach_after => '0')");
is($node->safe_psql('deadlock', q{SELECT count(*) > 0, bool_and(array_position(locks, 'ACCESS EXCLUSIVE on public.d') < array_position(locks, 'ACCESS EXCLUSIVE on ' || partition))
	FROM dbperf.plan_maintenance('d') WHERE action = 'detach'}), 't|t', 'the plan has the parent before its partitions');

# --- one bad table, in each way that there is
database('bad');
$node->safe_psql('bad', q{
	CREATE ROLE poor; CREATE ROLE rich; CREATE SCHEMA others AUTHORIZATION rich;
	CREATE TABLE forbidden (name text);
	GRANT SELECT ON forbidden TO PUBLIC;
	CREATE FUNCTION forbid() RETURNS event_trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF EXISTS (SELECT FROM pg_event_trigger_ddl_commands() c JOIN public.forbidden f ON c.object_identity LIKE f.name) THEN
			RAISE EXCEPTION 'the rules of this house forbid it';
		END IF;
	END $$;
	CREATE EVENT TRIGGER forbid ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION forbid()});
my %bad = (
	bad_ddl => "CREATE TABLE bad_ddl_default PARTITION OF bad_ddl DEFAULT; INSERT INTO forbidden VALUES ('%bad_ddl%')",
	bad_archive => "SELECT dbperf.alter_policy('bad_archive', archive_schema => 'others');"
	  . ' DO $$ DECLARE r regclass; BEGIN ALTER TABLE bad_archive OWNER TO poor; FOR r IN SELECT inhrelid FROM pg_inherits'
	  . " WHERE inhparent = 'bad_archive'::regclass LOOP EXECUTE format('ALTER TABLE %s OWNER TO poor', r); END LOOP; END \$\$",
	bad_owner => 'DO $$ BEGIN EXECUTE format(\'ALTER TABLE %s OWNER TO rich\', (SELECT name FROM bad_owner_was ORDER BY least LIMIT 1)); END $$',
	bad_clock => "INSERT INTO dbperf.policy_state (parent, clock_at) VALUES ('bad_clock', now() - interval '20 years')"
	  . ' ON CONFLICT (parent) DO UPDATE SET clock_at = excluded.clock_at');
for my $table (sort(keys %bad), 'good')
{
	aged_table($node, 'bad', $table, 3, "recycle_for => '0', run_order => " . ($table eq 'good' ? 100 : 1));
	$node->safe_psql('bad', $bad{$table}) if defined $bad{$table};
	$node->safe_psql('bad', "SELECT dbperf.alter_policy('$table', detach_after => '2 days')");
}
my $since = -s $node->logfile;
switch_worker($node, 'bad', 'on');
poll_ok($node, 'bad', "SELECT count(*) = 1 FROM dbperf.recycle_bin WHERE parent = 'good'::regclass AND state = 'detached'",
	'a table that comes after bad ones is served');
poll_ok($node, 'bad', q{SELECT count(*) = 1 FROM dbperf.job_runs WHERE partitions_detached = 1 AND status IN ('ok', 'partial')}, 'in one run');
is(states($node, 'bad', 'good'), 'attached 3, detached 1', 'as its policy says');

# --- and the failure is not silent: health, runs, events and log tell it, once; and forget it in the end
my %tells = (bad_ddl => qr/the rules of this house/, bad_archive => qr/its owner may not make tables in schema \W*others/, bad_owner => qr/belongs to another role/, bad_clock => qr/clock has (moved|jumped)/);
for my $table (sort keys %bad)
{
	poll_ok($node, 'bad', "SELECT status = 'warning' FROM dbperf.partition_health WHERE parent = '$table'::regclass", "$table: health warns");
	like($node->safe_psql('bad', "SELECT reasons FROM dbperf.partition_health WHERE parent = '$table'::regclass"), $tells{$table}, "$table: and says why");
	like($node->safe_psql('bad', "SELECT string_agg(decision || ' ' || reason, ' ') FROM dbperf.plan_maintenance('$table') WHERE decision <> 'go'"),
		qr/^blocked .*$tells{$table}/, "$table: so does the plan") if $table ne 'bad_ddl';
	one_state_each($node, 'bad', $table, $table);
}
is($node->safe_psql('bad', "SELECT count(*) FROM dbperf.partition_events WHERE parent = 'public.bad_ddl' AND action = 'detach_failed' AND message ~ 'rules of this house'"), 1,
	'an event tells of the failure');
poll_ok($node, 'bad', q{SELECT bool_or(status = 'partial' AND failures >= 1 AND error ~ 'rules of this house') FROM dbperf.job_runs}, 'and so does the run');
ok(wake_and_wait($node, 'bad'), 'another run');
my @told = substr(slurp_file($node->logfile), $since) =~ /LOG:  (\w+ of partition \S+ failed: the rules of this house.*)/g;
my %once = map { $_ => 1 } @told;
is(scalar @told, scalar keys %once, 'the log tells it once') or diag join "\n", @told;
cmp_ok(scalar @told, '>=', 1, 'and does tell it');
is($node->safe_psql('bad', "SELECT retire_failures >= 2 AND retire_next_try_at > now() FROM dbperf.partition_health WHERE parent = 'bad_ddl'::regclass"), 't',
	'the failures are counted, and the next try comes later');
$node->safe_psql('bad', q{ALTER SCHEMA others OWNER TO poor; DELETE FROM forbidden; SELECT dbperf.confirm_clock();
	DO $$ BEGIN EXECUTE format('ALTER TABLE %s OWNER TO CURRENT_USER', (SELECT name FROM bad_owner_was ORDER BY least LIMIT 1)); END $$});
ok(wake_and_wait($node, 'bad'), 'mended');
poll_ok($node, 'bad', q{SELECT count(*) = 5 AND (SELECT bool_and(retire_error IS NULL) FROM dbperf.partition_health)
	FROM dbperf.recycle_bin WHERE state = 'detached'}, 'all are served, and the errors forgotten')
  or diag $node->safe_psql('bad', q{SELECT parent, reasons, (SELECT array_agg(partition || ' ' || state) FROM dbperf.recycle_bin b WHERE b.parent = h.parent)
	FROM dbperf.partition_health h});
switch_worker($node, 'bad', 'off');

# --- maintenance behind a reader of minutes: nobody else waits, neither where a partition can be
# detached concurrently nor where it takes the strongest lock, nor for the drop of one that is read
database('queue');
for my $table ('t', 'd')
{
	aged_table($node, 'queue', $table, 4, "recycle_for => '0', lock_budget => '100 ms', lock_tries => 3");
}
$node->safe_psql('queue', q{CREATE TABLE d_default PARTITION OF d DEFAULT; CREATE TABLE done (yes bool); CREATE TABLE waits (what text, ms float8)});
my @readers = (hold($node, 'queue', 'SELECT count(*) FROM t'), hold($node, 'queue', 'SELECT count(*) FROM d'));
my @inserters = map { start_sql($node, 'queue', qq{
	DO \$\$
	DECLARE
		start timestamptz;
		longest float8 := 0;
		n int;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM done) LOOP
			start := clock_timestamp();
			INSERT INTO $_ (at) VALUES (now());
			SELECT count(*) INTO n FROM $_ WHERE at > now() - interval '1 hour';
			COMMIT;
			longest := greatest(longest, extract(epoch FROM clock_timestamp() - start) * 1000);
		END LOOP;
		INSERT INTO waits VALUES ('$_', longest);
	END \$\$}, app => "insert $_") } ('t', 'd');
my $before = $node->safe_psql('queue', 'SELECT clock_timestamp()');
for my $table ('t', 'd')
{
	$node->safe_psql('queue', "SELECT dbperf.alter_policy('$table', detach_after => '2 days')");
	my ($status, $out, $err) = $node->psql('queue', "SELECT action, status, detail FROM dbperf.run_maintenance('$table') WHERE action <> 'create'");
	like($out, qr/^detach\|waiting\|/, "$table: maintenance does not wait for the reader") or diag $err;
	like($node->safe_psql('queue', "SELECT reasons FROM dbperf.partition_health WHERE parent = '$table'::regclass"), qr/retiring partitions is held up/,
		"$table: and says that it is held up");
}
is($node->safe_psql('queue', "SELECT clock_timestamp() < '$before'::timestamptz + interval '10 s'"), 't', 'all that took seconds only');
$node->safe_psql('queue', 'INSERT INTO done VALUES (true)');
for my $session (@inserters)
{
	my ($status, undef, $err) = finish_sql($session);
	is($status, 0, 'inserts went on') or diag $err;
}
# half of the lock budget may be spent in the queue; the rest is for a busy machine
is($node->safe_psql('queue', 'SELECT * FROM waits WHERE ms > 1000'), '', 'no insert waited for the reader')
  or diag $node->safe_psql('queue', 'TABLE waits');
release($_) for @readers;
for my $table ('t', 'd')
{
	is($node->safe_psql('queue', "SELECT string_agg(status, ' ') FROM dbperf.run_maintenance('$table') WHERE action IN ('detach', 'finalize')") =~ /^done( done)*$/ ? 1 : 0,
		1, "$table: when the reader has gone, it is done");
}
my $binned = $node->safe_psql('queue', "SELECT partition FROM dbperf.recycle_bin ORDER BY upper_at LIMIT 1");
my $reader = hold($node, 'queue', "SELECT count(*) FROM $binned");
my ($status, undef, $err) = $node->psql('queue', "SELECT dbperf.drop_partition('$binned')");
like($err, qr/could not lock table "\w+" within 3 tries/, 'a detached table that is read is not dropped');
$node->safe_psql('queue', "SELECT count(*) FROM $binned");
pass('and can be read by others');
release($reader);
is($node->safe_psql('queue', "SELECT dbperf.drop_partition('$binned')"), 't', 'afterwards it is');

# --- the parent is changed while a partition is half way: what passes it by is made up for later, and
# the table is not left with columns that are inherited of nobody
database('halfway');
$node->safe_psql('halfway', q{
	CREATE TABLE elsewhere (v int);
	CREATE FUNCTION own(relation oid) RETURNS text LANGUAGE sql AS $$
		SELECT concat_ws('; ', (SELECT string_agg(attname || ' ' || attinhcount || attislocal, ', ' ORDER BY attname) FROM pg_attribute
				WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND (attinhcount > 0 OR NOT attislocal)),
			(SELECT string_agg(conname || ' ' || coninhcount || conislocal, ', ' ORDER BY conname) FROM pg_constraint
				WHERE conrelid = relation AND contype = 'c' AND (coninhcount > 0 OR NOT conislocal))) $$});
aged_table($node, 'halfway', 't', 3, "recycle_for => '0', enabled => false");
$node->safe_psql('halfway', 'ALTER TABLE t ADD COLUMN note text, ADD COLUMN c1 int, ADD CONSTRAINT k1 CHECK (id > 0), ADD CONSTRAINT k2 CHECK (id > -1)');
my $half = $node->safe_psql('halfway', "SELECT '" . part($node, 'halfway', 't', 3) . "'::regclass::oid");
$reader = hold($node, 'halfway', 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM elsewhere');
my $call = start_sql($node, 'halfway', "SELECT dbperf.detach_partition($half)", app => 'call');
ok(pending_is($node, 'halfway', 't', 1), 'one is half way');
$node->safe_psql('halfway', 'ALTER TABLE t RENAME note TO remark; ALTER TABLE t DROP COLUMN c1; ALTER TABLE t DROP CONSTRAINT k2;'
	. ' ALTER TABLE t RENAME CONSTRAINT k1 TO k3; ALTER TABLE t ADD COLUMN c2 int');
release($reader);
($status, undef, $err) = finish_sql($call);
is($status, 0, 'it is detached all the same') or diag $err;
is($node->safe_psql('halfway', "SELECT own($half)"), '', 'what it has is its own');
$node->safe_psql('halfway', "SELECT dbperf.attach_partition($half)");
is($node->safe_psql('halfway', "SELECT own($half) = own(i.inhrelid) FROM pg_inherits i WHERE i.inhparent = 't'::regclass AND i.inhrelid <> $half LIMIT 1"), 't',
	'it can be attached, and is like the others then');
$node->safe_psql('halfway', 'ALTER TABLE t RENAME remark TO note; ALTER TABLE t DROP COLUMN c2; ALTER TABLE t DROP CONSTRAINT k3');
one_state_each($node, 'halfway', 't', 'changed half way');

# --- what would go with CASCADE elsewhere keeps a partition here, and says so
$node->safe_psql('queue', q{DO $$ BEGIN EXECUTE format('CREATE VIEW looks AS SELECT * FROM %s',
		(SELECT partition FROM dbperf.recycle_bin WHERE parent = 't'::regclass ORDER BY upper_at LIMIT 1)); END $$;
	SELECT dbperf.alter_policy('t', drop_after => '2 days')});
like($node->safe_psql('queue', "SELECT action, status, detail FROM dbperf.run_maintenance('t') WHERE action = 'drop'"),
	qr/^drop\|blocked\|view public\.looks depend/m, 'a view keeps a table from being dropped');
is($node->safe_psql('queue', 'SELECT count(*) >= 0 FROM looks'), 't', 'and can be read');
is($node->safe_psql($_, 'SELECT ok FROM dbperf.verify_audit()'), 't', "$_: the audit trail is whole") for ('deadlock', 'bad', 'queue');
is(count_in_log($node, qr/TRAP|PANIC|cache lookup failed|deadlock detected|terminated by signal/), 0, 'the log knows nothing worse');
$node->stop;
done_testing();
