# The worker detaches and drops by policy, in time and not before; functions do it by a worker of
# their own, whether the library is preloaded or not; and all of it runs as the owner of the table.

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

my $node = new_node('retire', 'log_min_messages = log');
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE ROLE keeper NOLOGIN;
	CREATE ROLE reader LOGIN;
	CREATE SCHEMA desk AUTHORIZATION keeper;
	GRANT USAGE ON SCHEMA desk TO reader});

# --- by the clock: nobody wakes the worker, which knows when the next partition is due
aged_table($node, 'app', 'desk.ticks', 4);
$node->safe_psql('app', q{
	GRANT SELECT ON desk.ticks TO reader;
	DO $$
	DECLARE
		r regclass;
	BEGIN
		ALTER TABLE desk.ticks OWNER TO keeper;
		FOR r IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'desk.ticks'::regclass LOOP
			EXECUTE format('ALTER TABLE %s OWNER TO keeper; GRANT SELECT ON %s TO reader', r, r);
		END LOOP;
	END $$});
my $oldest = part($node, 'app', 'desk.ticks', 4);
my $second = part($node, 'app', 'desk.ticks', 3);
# the oldest is due in four seconds from now, the second one a day later
$node->safe_psql('app', qq{
	SELECT dbperf.alter_policy('desk.ticks', detach_after => (now() - upper_bound::timestamptz + interval '4 s')::text,
		drop_after => (now() - upper_bound::timestamptz + interval '7 s')::text, recycle_for => '2 s')
	FROM dbperf.partitions WHERE partition = '$oldest'::regclass});
my $due = "upper_at + (SELECT detach_after FROM dbperf.policy WHERE parent = 'desk.ticks'::regclass)";
ok(wake_and_wait($node, 'app'), 'a run before it is due');
is(states($node, 'app', 'desk.ticks'), 'attached 5', 'does nothing before its time');
is($node->safe_psql('app', "SELECT count(*) FROM dbperf.plan_maintenance('desk.ticks') WHERE action <> 'create'"), 0,
	'and plans nothing');
poll_ok($node, 'app', "SELECT EXISTS (SELECT FROM dbperf.recycle_bin WHERE state = 'detached')", 'the worker detaches it');
query_is($node, 'app', "SELECT started_at >= $due, detached_at < $due + interval '3 s', original_name = split_part('$oldest', '.', 2)"
	. ' FROM dbperf.recycle_bin', 't|t|t', 'when it is due, and soon');
query_is($node, 'app', "SELECT partition::text LIKE 'desk_archive.%' FROM dbperf.recycle_bin", 't', 'it is in the archive schema');
my ($status, undef, $err) = execute_as($node, 'app', 'reader',
	$node->safe_psql('app', "SELECT 'SELECT * FROM ' || partition FROM dbperf.recycle_bin"));
like($err, qr/permission denied/, 'where only its owner may read it');
(undef, undef, $err) = execute_as($node, 'app', 'reader', "SELECT * FROM $second");
is($err, '', 'others are as readable as before');
whole_is($node, 'app', 'desk.ticks', 'queries see the rest');
my $wait = "SELECT count(*) = 0 FROM dbperf.recycle_bin WHERE state = 'detached'";
poll_ok($node, 'app', $wait, 'the worker drops it');
is(states($node, 'app', 'desk.ticks'), 'attached 4, dropped 1', 'it alone is dropped');
query_is($node, 'app', q{
	SELECT string_agg(action || ' by ' || source, ', ' ORDER BY seq) FROM dbperf.partition_events
	WHERE parent = 'desk.ticks' AND action ~ '^(detach|drop)'},
	'detach_begin by worker, detach by worker, drop by worker', 'the audit trail tells the steps');
query_is($node, 'app', q{
	SELECT d.at >= t.at + interval '2 s', d.at >= d.upper_bound::timestamptz + p.drop_after,
		min(least(b.tries, t.tries, d.tries)) >= 1, min(least(b.ms_held, t.ms_held, d.ms_held)) > 0
	FROM dbperf.partition_events b, dbperf.partition_events t, dbperf.partition_events d, dbperf.policy p
	WHERE b.action = 'detach_begin' AND t.action = 'detach' AND d.action = 'drop'
	GROUP BY 1, 2}, 't|t|t|t', 'dropped not before its time in the bin was over, with waits and tries');
query_is($node, 'app', q{
	SELECT string_agg(concat_ws(' ', reason, status, partitions_detached, partitions_dropped), ', ' ORDER BY run_id),
		bool_and(ms_held > 0 AND tries > 0) FROM dbperf.job_runs WHERE partitions_detached + partitions_dropped > 0},
	'schedule ok 1 0, schedule ok 0 1|t', 'job_runs counts them');
query_is($node, 'app', q{
	SELECT count(*) FROM dbperf.job_runs j CROSS JOIN LATERAL (
		SELECT sum(e.ms_held) AS ms_held, sum(e.tries) AS tries FROM dbperf.partition_events e
		WHERE e.action IN ('detach', 'drop') AND e.at BETWEEN j.started_at AND j.finished_at) s
	WHERE j.partitions_detached + j.partitions_dropped > 0
	AND (s.tries IS DISTINCT FROM j.tries OR abs(s.ms_held - j.ms_held) > 0.1)}, 0,
	'with what the events say');
one_state_each($node, 'app', 'desk.ticks', 'by the clock');

# --- a reader that stays
my $reader = hold($node, 'app', 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM desk.ticks', user => 'reader');
$node->safe_psql('app', q{SELECT dbperf.alter_policy('desk.ticks', detach_after => '1 day', drop_after => 'never')});
ok(pending_is($node, 'app', 'desk.ticks', 1), 'with a reader, it is pending');
poll_ok($node, 'app', q{SELECT status = 'warning' AND array_to_string(reasons, ' ') ~ 'transactions that may still see it: process '
	FROM dbperf.partition_health WHERE parent = 'desk.ticks'::regclass}, 'health says whom it waits for');
query_is($node, 'app', "SELECT retire_error ~ 'process $reader->{pid}\\M' FROM dbperf.policy_state", 't', 'by number');
query_is($node, 'app', q{SELECT jsonb_path_exists(blockers, '$[*].pid') AND decision = 'go' OR reason LIKE '%process %'
	FROM dbperf.plan_maintenance('desk.ticks') WHERE action = 'finalize'}, 't', 'and so does the plan');
query_is($node, 'app', "SELECT count(*) FROM dbperf.job_runs WHERE status NOT IN ('ok')", 0, 'a wait is no failure');
whole_is($node, 'app', 'desk.ticks', 'new queries see what is left');
$node->safe_psql('app', q{SET lock_timeout = '200ms'; INSERT INTO desk.ticks (at, v) VALUES (now(), 'y');
	UPDATE desk.ticks SET v = 'z' WHERE v = 'y'; DELETE FROM desk.ticks WHERE v = 'z'});
pass('nobody waits for the reader');
my $before = $node->safe_psql('app', 'SELECT clock_timestamp()');
release($reader, "SELECT 'sees ' || count(*) FROM desk.ticks; COMMIT");
like($reader->{out}, qr/^(\d+)\n(?s:.*)^sees \1$/m, 'the reader has seen all until its end');
poll_ok($node, 'app', "SELECT count(*) = 2 FROM dbperf.recycle_bin WHERE state = 'detached'",
	'it is finalized when the reader ends, and so is the next');
query_is($node, 'app', "SELECT max(detached_at) < '$before'::timestamptz + interval '8 s' FROM dbperf.recycle_bin", 't', 'within seconds');
poll_ok($node, 'app', 'SELECT retire_error IS NULL FROM dbperf.policy_state', 'health has forgotten it');
is(states($node, 'app', 'desk.ticks'), 'attached 2, detached 2, dropped 1', 'as far as the policy says');

# --- by hand, with a reader: the caller waits, and is told for whom
$reader = hold($node, 'app', 'SELECT count(*) FROM desk.ticks');
my $call = start_sql($node, 'app', "SELECT dbperf.detach_partition('" . part($node, 'app', 'desk.ticks', 1) . "')", app => 'caller');
ok(pending_is($node, 'app', 'desk.ticks', 1), 'detach_partition() marks it');
poll_ok($node, 'app', "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'caller' AND state = 'active')", 'and waits');
release($reader);
($status, my $out, $err) = finish_sql($call);
is("$status $out", '0 desk_archive.' . $node->safe_psql('app',
	"SELECT original_name FROM dbperf.recycle_bin ORDER BY detached_at DESC LIMIT 1"), 'to the end') or diag $err;
(undef, undef, $err) = $node->psql('app', q{BEGIN; SELECT count(*) FROM desk.ticks;
	SELECT dbperf.detach_partition((SELECT inhrelid FROM pg_inherits WHERE inhparent = 'desk.ticks'::regclass LIMIT 1))});
like($err, qr/your own transaction has table "\w+" in use/, 'a caller that stands in its own way is told at once');
one_state_each($node, 'app', 'desk.ticks', 'by hand');

# --- hostile owners. evil.note() tells the log who it runs as, and tries to profit from it.
$node->safe_psql('app', q{
	CREATE ROLE mallory LOGIN;
	CREATE ROLE ghost NOLOGIN;
	GRANT ghost TO mallory;
	CREATE TABLE public.secret AS SELECT 'treasure' AS v;
	CREATE FUNCTION public.try(label text, command text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE command;
		RAISE LOG 'EVIL SUCCEEDED in % as %: %', label, current_user, command;
	EXCEPTION WHEN OTHERS THEN NULL;
	END $$;
	CREATE FUNCTION public.note(label text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		command text;
	BEGIN
		RAISE LOG 'EVIL runs % as %.', label, current_user;
		-- in a session of one's own there is nothing to gain
		IF session_user = 'mallory' THEN RETURN; END IF;
		FOREACH command IN ARRAY ARRAY['ALTER ROLE mallory SUPERUSER', 'SET ROLE BOSS', 'RESET ROLE', 'RESET SESSION AUTHORIZATION',
			'SELECT * FROM public.secret', 'UPDATE dbperf.policy SET enabled = false', 'DELETE FROM dbperf.recycle_bin',
			'INSERT INTO dbperf.partition_events (source, action) VALUES (''manual'', ''forged'')',
			'CREATE TEMP TABLE pg_class (oid oid)', 'COPY (SELECT 1) TO PROGRAM ''true''']
		LOOP
			PERFORM public.try(label, command);
		END LOOP;
		PERFORM set_config('search_path', 'evil, public, pg_catalog', false);
	EXCEPTION WHEN OTHERS THEN NULL;
	END $$} =~ s/BOSS/$superuser/gr);
for my $role ('mallory', 'ghost')
{
	$node->safe_psql('app', "CREATE SCHEMA $role AUTHORIZATION $role");
	($status, undef, $err) = execute_as($node, 'app', 'mallory', qq{
		SET ROLE $role;
		SET search_path = $role, public;
		CREATE FUNCTION f(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS \$\$BEGIN PERFORM public.note('immutable'); RETURN x; END\$\$;
		CREATE FUNCTION tr() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN PERFORM public.note('trigger'); RETURN coalesce(NEW, OLD); END\$\$;
		CREATE TABLE other (id int PRIMARY KEY CHECK ($role.f(1) = 1));
		INSERT INTO other VALUES (1);
		CREATE TABLE t (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, v text DEFAULT 'x', o int DEFAULT 1 REFERENCES other,
			g int GENERATED ALWAYS AS ($role.f(o)) STORED, CHECK ($role.f(1) = 1), CHECK ($role.f(o) = o), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON t ((f(o))) WHERE $role.f(1) = 1;
		CREATE INDEX ON t (($role.f(1) + o));
		CREATE TRIGGER row_after AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION tr();
		CREATE CONSTRAINT TRIGGER row_deferred AFTER DELETE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tr();
		CREATE TABLE d (id bigint GENERATED ALWAYS AS IDENTITY, at timestamptz NOT NULL, v text DEFAULT 'x', PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE d_default PARTITION OF d DEFAULT;
		ALTER TABLE d_default ADD CHECK ($role.f(1) = 1 OR v = 'x');
		CREATE TABLE pointing (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES d, CHECK ($role.f(1) = 1));
		CREATE INDEX ON pointing (id) WHERE $role.f(1) = 1;
		ALTER TABLE pointing ENABLE ROW LEVEL SECURITY; ALTER TABLE pointing FORCE ROW LEVEL SECURITY;
		CREATE POLICY p ON pointing USING ($role.f(1) = 1)});
	is($status, 0, "$role: prepared") or diag $err;
	for my $table ("$role.t", "$role.d")
	{
		$node->safe_psql('app', "SET search_path = public; SELECT dbperf.manage('$table', '1 day', premake => 1);"
			. " SELECT count(*) FROM dbperf.create_partitions('$table', (now() - interval '6 days')::text, now()::text)");
		execute_as($node, 'app', 'mallory', "SET ROLE $role; INSERT INTO $table (at) SELECT now() - i * interval '1 day' FROM generate_series(0, 6) i");
		# as if they were made by hand: with a CHECK of their own beside that of the bound
		execute_as($node, 'app', 'mallory', qq{SET ROLE $role; DO \$\$ DECLARE r regclass; BEGIN
			FOR r IN SELECT inhrelid FROM pg_inherits WHERE inhparent = '$table'::regclass LOOP
				EXECUTE format('ALTER TABLE %s ADD CHECK ($role.f(2) = 2 AND v IS NOT NULL)', r);
			END LOOP; END \$\$});
	}
}
my $since = -s $node->logfile;
for my $table ('mallory.t', 'ghost.t', 'mallory.d', 'ghost.d')
{
	# by a superuser's hand
	my @parts = split /\n/, $node->safe_psql('app', "SELECT partition FROM dbperf.partitions WHERE parent = '$table'::regclass AND state = 'past' ORDER BY lower_bound::timestamptz");
	is($node->safe_psql('app', "SELECT count(*) FROM dbperf.plan_maintenance('$table')"), 0, "$table: the plan reads");
	$node->safe_psql('app', "SELECT dbperf.detach_partition('$parts[0]')");
	$node->safe_psql('app', "SELECT dbperf.detach_partition('$parts[1]')");
	$node->safe_psql('app', "SELECT dbperf.attach_partition(partition) FROM dbperf.recycle_bin WHERE parent = '$table'::regclass ORDER BY upper_at LIMIT 1");
	$node->safe_psql('app', "SELECT dbperf.alter_policy('$table', detach_after => '1 day', drop_after => '3 days', recycle_for => '0', enabled => false)");
	$node->safe_psql('app', "SELECT dbperf.drop_partition(partition) FROM dbperf.recycle_bin WHERE parent = '$table'::regclass AND state = 'detached'");
	is($node->safe_psql('app', "SELECT count(*) FROM dbperf.partition_events WHERE parent = '$table' AND action IN ('detach', 'attach', 'drop')"),
		4, "$table: by hand");
}
# by the worker
$node->safe_psql('app', "UPDATE dbperf.recycle_bin SET hold_until = NULL WHERE state = 'attached'; UPDATE dbperf.policy SET enabled = true");
ok(wake_and_wait($node, 'app'), 'the worker is called');
poll_ok($node, 'app', q{SELECT count(*) = 4 FROM dbperf.partition_health WHERE parent::text ~ '^(mallory|ghost)\.' AND retire_error IS NULL
	AND EXISTS (SELECT FROM dbperf.partition_events e WHERE e.parent = parent::text AND e.source = 'worker' AND e.action = 'drop')}, 'and retires');
my $log = substr(slurp_file($node->logfile), $since);
my %ran = map { $_ => 1 } $log =~ /EVIL runs (\w+ as \w+)\./g;
ok($ran{'immutable as mallory'} && $ran{'immutable as ghost'}, 'functions of the owners did run, as the owners') or diag join ', ', keys %ran;
is(join(', ', grep { !/ as (mallory|ghost)$/ } sort keys %ran), '', 'and none as anybody else');
is(join("\n", $log =~ /(EVIL SUCCEEDED in .*)/g), '', 'there was nothing to gain');
is($node->safe_psql('app', "SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname IN ('mallory', 'ghost')"), 0, 'no new superuser');
is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole');
is(count_in_log($node, qr/TRAP|PANIC|terminated by signal|cache lookup failed/), 0, 'the log has nothing worse');
$node->stop;

# --- a server that does not preload the library, with room for one background process
my $plain = PostgreSQL::Test::Cluster->new('plain');
$plain->init;
$plain->append_conf('postgresql.conf',
	"max_worker_processes = 1\nmax_logical_replication_workers = 0\nmax_parallel_workers = 1\nautovacuum = off\n");
$plain->start;
$plain->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($plain, 'app');
aged_table($plain, 'app', 't', 6);
is($plain->safe_psql('app', "SELECT dbperf.detach_partition('" . part($plain, 'app', 't', 6) . "')::text ~ '^public_archive\\.'"), 't',
	'not preloaded: detach_partition()');
$plain->safe_psql('app', "SELECT dbperf.alter_policy('t', drop_after => '4 days', recycle_for => '0')");
is($plain->safe_psql('app', 'SELECT dbperf.drop_partition(partition) FROM dbperf.recycle_bin'), 't', 'not preloaded: drop_partition()');
# what is detached by a call may be dropped by the next one
is($plain->safe_psql('app', "SELECT string_agg(action || ' ' || status, ', ' ORDER BY action) FROM (SELECT * FROM dbperf.cleanup_old_partitions('t')"
		. " UNION ALL SELECT * FROM dbperf.cleanup_old_partitions('t')) c"), 'detach done, drop done', 'not preloaded: cleanup_old_partitions()');
my $forced = $plain->pg_version >= 16 ? 'debug_parallel_query' : 'force_parallel_mode';
my $hog = start_sql($plain, 'postgres', "SET $forced = on; SELECT pg_sleep(600)", app => 'hog');
poll_ok($plain, 'postgres', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'parallel worker' AND wait_event = 'PgSleep')},
	'another has the only process');
$plain->safe_psql('app', "SELECT dbperf.alter_policy('t', drop_after => '3 days')");
for my $sql ("SELECT dbperf.detach_partition('" . part($plain, 'app', 't', 4) . "')", 'SELECT * FROM dbperf.cleanup_old_partitions()')
{
	(undef, undef, $err) = $plain->psql('app', "\\set VERBOSITY verbose\n$sql");
	like($err, qr/ERROR:  53400: no background worker process is free/, "no process: the error is clear ($sql)");
	like($err, qr/HINT:  .*max_worker_processes.*CALL dbperf.maintain\(\)/, 'and helps');
}
is(states($plain, 'app', 't'), 'attached 5, dropped 2', 'nothing was begun');
$plain->safe_psql('app', 'CALL dbperf.maintain(); CALL dbperf.maintain()');
is(states($plain, 'app', 't'), 'attached 4, dropped 3', 'CALL maintain() needs no process');
$plain->safe_psql('postgres', q{SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'hog' AND backend_type = 'client backend'});
finish_sql($hog);
is($plain->safe_psql('app', "SELECT dbperf.detach_partition('" . part($plain, 'app', 't', 3) . "')::text ~ '^public_archive\\.'"), 't',
	'when it is free again, it is used');
one_state_each($plain, 'app', 't', 'not preloaded');
$plain->stop;
done_testing();
