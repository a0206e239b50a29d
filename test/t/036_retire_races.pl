# Moments at which retiring meets somebody else, each of which has been, or could be, a mistake: rows that
# point nowhere, rows that a transaction loses sight of, sessions that wait for each other for ever.

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

my $node = new_node('races', 'dbperf.enabled = off', 'max_worker_processes = 20', 'deadlock_timeout = 100ms');
my $worker = 'dbperf session worker';
my $started = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');

sub database
{
	my ($db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	return;
}

# Tables with three partitions of the past, of two rows each, and one of these days.
sub make_tables
{
	my ($db, @tables) = @_;
	for my $table (@tables)
	{
		my $prefix = substr($table, -1);
		$node->safe_psql($db, qq{
			CREATE SCHEMA IF NOT EXISTS s;
			CREATE TABLE $table (k int PRIMARY KEY) PARTITION BY RANGE (k)});
		$node->safe_psql($db, "CREATE TABLE s.$prefix$_ PARTITION OF $table FOR VALUES FROM (${_}0) TO (" . ($_ + 1) . "0);"
			. " INSERT INTO $table VALUES (${_}1), (${_}2)") for 1 .. 4;
		$node->safe_psql($db, "SELECT dbperf.manage('$table', '10', 0, anchor => '0', enabled => false, lock_budget => '100 ms')");
	}
	return;
}

# So many workers are at work for sessions of a database.
sub poll_waiting
{
	my ($db, $count, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return poll_ok($node, 'postgres', "SELECT count(*) = $count FROM pg_stat_activity WHERE datname = '$db' AND backend_type = '$worker'", $name);
}

sub poll_alone
{
	my ($db, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return poll_ok($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '$db' AND backend_type LIKE 'dbperf%'", $name);
}

# --- begun first, since they take some seconds: two callers, each of which has in use what the other
# detaches a partition of
database('crossed');
make_tables('crossed', 's.x', 's.y');
my @holds = map { hold($node, 'crossed', "SELECT count(*) FROM s.$_") } ('y', 'x');
for my $i (0, 1)
{
	$holds[$i]->{in} .= "\\set VERBOSITY verbose\nSELECT dbperf.detach_partition('s." . ('x1', 'y1')[$i] . "');\nCOMMIT;\n\\q\n";
	$holds[$i]->{timer}->start;
	$holds[$i]->{run}->pump_nb;
}

# --- and a REPEATABLE READ caller that waits in detach_partition(), while another session detaches a
# partition of a table which the first may yet come to
database('snapshot');
make_tables('snapshot', 's.x', 's.y');
my $reader = hold($node, 'snapshot', 'SELECT count(*) FROM s.x');
my $first = start_sql($node, 'snapshot', q{
	BEGIN ISOLATION LEVEL REPEATABLE READ;
	SELECT 1;
	SELECT dbperf.detach_partition('s.x1');
	SELECT count(*), count(*) FILTER (WHERE k < 20) FROM s.y;
	SELECT count(*) FROM s.y WHERE k = 11;
	COMMIT}, app => 'first');
ok(pending_is($node, 'snapshot', 's.x', 1), 'a REPEATABLE READ caller waits for a reader');
my $second = start_sql($node, 'snapshot', "\\set VERBOSITY verbose\nSELECT dbperf.detach_partition('s.y1')", app => 'second');
ok(pending_is($node, 'snapshot', 's.y', 1), 'another detaches a partition of another table meanwhile');

# --- and a worker whose owner's code takes no cancel for an answer
database('stubborn');
$node->safe_psql('stubborn', q{
	CREATE FUNCTION stay(k int) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
	BEGIN
		WHILE k = 15 AND current_setting('application_name') = 'dbperf session worker' LOOP
			BEGIN
				PERFORM pg_sleep(1000);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
		RETURN true;
	END $$;
	CREATE TABLE t (k int CHECK (stay(k))) PARTITION BY RANGE (k);
	CREATE TABLE t_default PARTITION OF t DEFAULT;
	INSERT INTO t SELECT generate_series(1, 30);
	SELECT dbperf.manage('t', '10', 0, anchor => '0', enabled => false)});
my $call = start_sql($node, 'stubborn', "SELECT * FROM dbperf.drain_default('t')", app => 'call');
my $stubborn = wait_at_step($node, 'stubborn', $worker);
$node->safe_psql('postgres', q{SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'call'});
finish_sql($call);

# --- a foreign key to the parent comes between plan and mark: the next partition must not go concurrently
for my $pointing (0, 1)
{
	my $db = "foreign_key$pointing";
	database($db);
	make_tables($db, 's.p');
	$node->safe_psql($db, qq{
		CREATE TABLE s.f (k int);
		INSERT INTO s.f SELECT 21 WHERE $pointing = 1;
		SELECT dbperf.alter_policy('s.p', detach_after => '10', lock_budget => '20 s', lock_tries => 1)});
	my $holder = hold($node, $db, 'SELECT count(*) FROM s.p');
	my $run = start_sql($node, $db, "CALL dbperf.maintain('s.p')", app => 'run');
	ok(pending_is($node, $db, 's.p', 1), 'one partition waits for a reader');
	is($node->safe_psql($db, "SELECT inhrelid::regclass FROM pg_inherits WHERE inhdetachpending"), 's.p1', 'the first');
	$node->safe_psql($db, "SET lock_timeout = '5 s'; ALTER TABLE s.f ADD FOREIGN KEY (k) REFERENCES s.p");
	my $late = hold($node, $db, 'INSERT INTO s.f VALUES (41)');
	release($late, 'COMMIT');
	release($holder, 'COMMIT');
	my ($status, undef, $err) = finish_sql($run);
	is($status, 0, 'maintenance comes to its end') or diag $err;
	is($node->safe_psql($db, 'SELECT count(*) FROM s.f WHERE NOT EXISTS (SELECT FROM s.p WHERE p.k = f.k)'), 0, 'no row points nowhere');
	is($node->safe_psql($db, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending"), 0, 'nothing is done by half');
	is($node->safe_psql($db, "SELECT string_agg(inhrelid::regclass::text, ' ' ORDER BY inhrelid::regclass::text) FROM pg_inherits WHERE inhparent = 's.p'::regclass"),
		$pointing ? 's.p2 s.p3 s.p4' : 's.p3 s.p4', $pointing ? 'what is pointed to stays' : 'what is not leaves');
	is($node->safe_psql($db, "SELECT string_agg(original_name || ' ' || action, ', ' ORDER BY event_id) FROM dbperf.partition_events e"
			. " JOIN dbperf.recycle_bin b ON b.lower_bound = e.lower_bound WHERE action LIKE 'detach%'"),
		'p1 detach_begin, p1 detach' . ($pointing ? '' : ', p2 detach'), 'and not concurrently');
	# the foreign key holds, in both directions
	for my $sql ('INSERT INTO s.f VALUES (11)', 'DELETE FROM s.p WHERE k = 41', $pointing ? 'DELETE FROM s.p WHERE k = 21' : 'INSERT INTO s.f VALUES (21)')
	{
		(undef, undef, $err) = $node->psql($db, $sql);
		like($err, qr/violates foreign key constraint/, "the foreign key holds: $sql");
	}
	next unless $pointing;
	like($node->safe_psql($db, 'SELECT retire_error FROM dbperf.partition_health'), qr/1 rows of other tables point to partition/, 'health says why it stays');
	(undef, undef, $err) = $node->psql($db, "SELECT dbperf.detach_partition('s.p2')");
	like($err, qr/1 rows of other tables point to partition/, 'nor does it leave by hand');
	$node->safe_psql($db, "DELETE FROM s.f WHERE k = 21; SELECT dbperf.detach_partition('s.p2')");
	is($node->safe_psql($db, "SELECT count(*) FROM pg_inherits WHERE inhparent = 's.p'::regclass"), 2, 'but when it is free');
}

# --- two callers at READ COMMITTED, in transactions that have written something and go on, at the same time
database('pair');
make_tables('pair', 's.x', 's.y');
$node->safe_psql('pair', 'CREATE TABLE notes (who text)');
my @readers = map { hold($node, 'pair', "SELECT count(*) FROM s.$_") } ('x', 'y');
my @callers = map { start_sql($node, 'pair', "BEGIN; INSERT INTO notes VALUES ('$_'); SELECT dbperf.detach_partition('s.${_}1'); SELECT count(*) FROM s.x; SELECT count(*) FROM s.y; COMMIT",
		app => "caller $_") } ('x', 'y');
ok(pending_is($node, 'pair', "s.$_", 1), "both wait at the same time: $_") for ('x', 'y');
poll_waiting('pair', 2, 'each with a worker');
release($_) for @readers;
for my $caller (@callers)
{
	my ($status, $out, $err) = finish_sql($caller);
	is($status, 0, 'two callers do not wait for each other') or diag $err;
	like($out, qr/^s_archive\.[xy]1\n[68]\n[68]$/, 'and go on');
}
is($node->safe_psql('pair', "SELECT count(*) FILTER (WHERE state = 'detached'), (SELECT count(*) FROM notes) FROM dbperf.recycle_bin"), '2|2', 'both have detached theirs');

# --- a reader of hours while several are due: tried less and less often, but at least once a minute; and
# told once, not each time
database('patience');
aged_table($node, 'patience', 't', 6, "recycle_for => '0', lock_budget => '50 ms', lock_tries => 1");
my $hours = hold($node, 'patience', 'SELECT count(*) FROM t');
$node->safe_psql('patience', "SELECT dbperf.alter_policy('t', detach_after => '2 days')");
my $log = -s $node->logfile;
switch_worker($node, 'patience', 'on');
ok(pending_is($node, 'patience', 't', 1), 'with a reader, one is pending');
my @pauses;
for my $round (1 .. 8)
{
	ok($node->poll_query_until('patience', "SELECT retire_failures = $round FROM dbperf.policy_state"), "tried $round times");
	push @pauses, $node->safe_psql('patience', 'SELECT round(extract(epoch FROM retire_next_try_at - retire_error_at)) FROM dbperf.policy_state');
	last if $round == 8;
	# as if the time had come
	$node->safe_psql('patience', 'UPDATE dbperf.policy_state SET retire_next_try_at = NULL; SELECT dbperf.wake()');
}
is("@pauses", '5 10 20 40 60 60 60 60', 'the pauses grow, up to a minute');
is(states($node, 'patience', 't'), 'attached 6, pending 1', 'one is on its way, the others stay as long');
like($node->safe_psql('patience', 'SELECT reasons FROM dbperf.partition_health'), qr/process $hours->{pid}\b/, 'health says whom it waits for');
is($node->safe_psql('patience', q{SELECT string_agg(action || ' ' || n, ', ' ORDER BY action) FROM (
	SELECT action, count(*) AS n FROM dbperf.partition_events WHERE parent = 'public.t' AND action ~ 'detach' GROUP BY 1) e}),
	'detach_begin 1', 'there is one event of it');
# the crossed callers of the other database are told at about this time
my @lines = grep { !/would wait for a session/ }
	substr(slurp_file($node->logfile), $log) =~ /^.*(?:LOG|WARNING|ERROR):  (?!statement:)(.*partition.*)$/mg;
cmp_ok(scalar @lines, '<=', 1, 'and at most one line in the log') or diag join "\n", @lines;
release($hours);
$node->safe_psql('patience', 'UPDATE dbperf.policy_state SET retire_next_try_at = NULL; SELECT dbperf.wake()');
poll_ok($node, 'patience', q{SELECT count(*) = 4 FROM dbperf.recycle_bin WHERE state = 'detached'}, 'when the reader ends, all that are due leave');
poll_ok($node, 'patience', 'SELECT retire_failures = 0 AND retire_error IS NULL AND retire_next_try_at IS NULL FROM dbperf.policy_state', 'and it is forgotten');
one_state_each($node, 'patience', 't', 'after a reader of hours');
switch_worker($node, 'patience', 'off');

# --- unmanage() while a partition is on its way out
for my $after ('by hand', 'managed again')
{
	my $db = 'unmanage_' . ($after =~ s/ /_/gr);
	database($db);
	make_tables($db, 's.p');
	my $holder = hold($node, $db, 'SELECT count(*) FROM s.p');
	$node->safe_psql($db, "SELECT dbperf.alter_policy('s.p', detach_after => '20'); CALL dbperf.maintain('s.p')");
	ok(pending_is($node, $db, 's.p', 1), "$after: one is pending");
	my ($status, $out, $err) = $node->psql($db, "SELECT dbperf.unmanage('s.p')");
	is("$status $out", '0 t', "$after: unmanage()");
	like($err, qr/WARNING:  a partition of table s\.p is still being detached/, "$after: warns");
	like($err, qr/HINT:  ALTER TABLE \.\.\. DETACH PARTITION \.\.\. FINALIZE ends that; dbperf\.manage\(\) has it ended for you/, "$after: and says what to do");
	(undef, undef, $err) = $node->psql($db, "SELECT dbperf.attach_partition('s.p1')");
	like($err, qr/ERROR:  partition s\.p1 is still being detached|ERROR:  table "p" has no partition policy/, "$after: it cannot be attached as yet");
	release($holder);
	$node->safe_psql($db, 'ALTER TABLE s.p DETACH PARTITION s.p1 FINALIZE') if $after eq 'by hand';
	$node->safe_psql($db, "SELECT dbperf.manage('s.p', '10', 0, anchor => '0', enabled => false)");
	if ($after eq 'managed again')
	{
		$node->safe_psql($db, "CALL dbperf.maintain('s.p')");
		is($node->safe_psql($db, 'SELECT partition, state FROM dbperf.recycle_bin'), 's_archive.p1|detached', "$after: maintenance ends it");
	}
	is($node->safe_psql($db, "SELECT dbperf.attach_partition((SELECT partition FROM dbperf.recycle_bin), '1 hour')"), 's.p1', "$after: attach_partition()");
	is($node->safe_psql($db, 'SELECT count(*), min(k) FROM s.p'), '8|11', "$after: all rows are there");
	is($node->safe_psql($db, "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'dbperf%'"), 0, "$after: and nothing of us");
	is($node->safe_psql($db, 'SELECT state, hold_until IS NOT NULL FROM dbperf.recycle_bin'), 'attached|t', "$after: it is held");
	is(audit_is_ok($node, $db), 'ok', "$after: the audit trail is whole");
}

# --- the clock is moved while the machine runs
database('clock');
aged_table($node, 'clock', 't', 4, "recycle_for => '0', enabled => false");
$node->safe_psql('clock', "SELECT dbperf.alter_policy('t', detach_after => '1 year'); CALL dbperf.maintain('t')");
SKIP:
{
	skip 'the system does not tell when it was started', 1 unless $node->safe_psql('clock', 'SELECT id IS NOT NULL FROM dbperf.boot()') eq 't';
	is($node->safe_psql('clock', 'SELECT boot_id = b.id, abs(extract(epoch FROM boot_at - b.at)) < 60 FROM dbperf.policy_state, dbperf.boot() b'), 't|t',
		'the start of the machine is noted');
	$node->safe_psql('clock', q{SELECT dbperf.alter_policy('t', detach_after => '2 days');
		UPDATE dbperf.policy_state SET boot_at = boot_at - interval '2 days'});
	my $moved = 'the clock has been moved by 2 days';
	like($node->safe_psql('clock', "SELECT DISTINCT decision || ' ' || reason FROM dbperf.plan_maintenance('t') WHERE action = 'detach'"),
		qr/^blocked $moved/, 'the plan says that the clock has been moved');
	like($node->safe_psql('clock', "SELECT DISTINCT status || ' ' || detail FROM dbperf.run_maintenance('t') WHERE action = 'detach'"),
		qr/^blocked $moved/, 'run_maintenance() detaches nothing');
	$node->safe_psql('clock', "CALL dbperf.maintain('t')");
	is(states($node, 'clock', 't'), 'attached 5', 'nor does maintain()');
	like($node->safe_psql('clock', 'SELECT reasons FROM dbperf.partition_health'), qr/the clock has (jumped|been moved)/, 'health tells');
	like($node->safe_psql('clock', "SELECT DISTINCT reason FROM dbperf.plan_maintenance('t') WHERE action = 'detach'"),
		qr/confirm_clock/, 'it is not trusted at the next look either, when it goes on as clocks do');
	$node->safe_psql('clock', 'SELECT dbperf.confirm_clock()');
	is($node->safe_psql('clock', "SELECT string_agg(DISTINCT status, ' ') FROM dbperf.run_maintenance('t') WHERE action = 'detach'"), 'done', 'confirm_clock() frees it');
	is(states($node, 'clock', 't'), 'attached 3, detached 2', 'what is due, and nothing else');
	one_state_each($node, 'clock', 't', 'clock');
}

# --- a worker that is told to end again and again, at whatever it is
database('signals');
make_tables('signals', 's.x');
my $keeper = hold($node, 'signals', 'SELECT count(*) FROM s.x');
for my $round (1 .. 12)
{
	my $caller = start_sql($node, 'signals', "SELECT dbperf.detach_partition('s.x1')", app => 'caller');
	my $there = "SELECT pid FROM pg_stat_activity WHERE datname = 'signals' AND backend_type = '$worker'";
	$node->poll_query_until('postgres', "SELECT EXISTS ($there)") or die 'no worker came';
	ok(pending_is($node, 'signals', 's.x', 1), 'it is at work') if $round > 6;
	my $pid = $node->safe_psql('postgres', $there);
	# as fast as they can be sent, until it has gone
	my $count = 0;
	if ($pid ne '')
	{
		while (kill('TERM', $pid) && $count < 20000)
		{
			$count++;
		}
	}
	my ($status, undef, $err) = finish_sql($caller);
	isnt($status, 0, "round $round: the caller hears of it");
	like($err, qr/ERROR:  (canceling|terminating|the background worker (ended early|could not be started))/, "round $round: as an error") or diag $err;
	poll_alone('signals', "round $round: it has ended");
}
release($keeper);
is($node->safe_psql('signals', "SELECT dbperf.detach_partition('s.x1')"), 's_archive.x1', 'the next one ends what was begun');

# --- what was begun first. The stubborn one has been given its time.
poll_alone('stubborn', 'a worker that takes no cancel ends as well');
is($node->safe_psql('stubborn', 'SELECT count(*), count(DISTINCT k) FROM t'), '30|30', 'its rows are where they were');
is($node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE pid = $stubborn"), 0, 'its process has gone');

my @results;
for my $session (@holds)
{
	$session->{run}->finish;
	push @results, $session->{run}->result(0) // 255;
}
my $error = join '', map { $_->{err} } @holds;
isnt("@results", '0 0', 'two callers that have each other\'s table in use: one of them is told') or diag $error;
like($error, qr/ERROR:  55006: detaching partition s\.[xy]1 would wait for a session that waits for maintenance itself: process \d+/, 'what it is');
like($error, qr/HINT:  The next maintenance ends what has been begun/, 'and that it will come');
poll_alone('crossed', 'nobody waits any more');
for my $part ('x1', 'y1')
{
	$node->psql('crossed', "SELECT dbperf.detach_partition('s.$part') WHERE to_regclass('s.$part') IS NOT NULL");
}
is($node->safe_psql('crossed', "SELECT string_agg(partition::text || ' ' || state, ', ' ORDER BY partition::text) FROM dbperf.recycle_bin"),
	's_archive.x1 detached, s_archive.y1 detached', 'which it does');

my ($status, undef, $err) = finish_sql($second);
isnt($status, 0, 'a partition that a REPEATABLE READ caller may still come to is not detached');
like($err, qr/ERROR:  55006: detaching partition s\.y1 would wait for a session that waits for maintenance itself/, 'but an error');
is($node->safe_psql('snapshot', "SELECT count(*) FROM pg_inherits WHERE inhrelid = 's.y1'::regclass AND inhdetachpending"), 1, 'it stays on its way out');
release($reader);
($status, my $out, $err) = finish_sql($first);
is("$status $out", "0 1\ns_archive.x1\n8|2\n1", 'the REPEATABLE READ caller sees all rows of the other table') or diag $err;
is($node->safe_psql('snapshot', 'SELECT count(*) FROM s.y'), 6, 'others have not seen them for long');
is($node->safe_psql('snapshot', "SELECT dbperf.detach_partition('s.y1')"), 's_archive.y1', 'and when it has ended, so does the detaching');

is($node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()'), $started, 'it is the same server');
is(count_in_log($node, qr/TRAP|PANIC|terminated by signal|reinitializing|cache lookup failed|could not open relation|deadlock detected/), 0,
	'the log knows nothing worse');
$node->stop;
done_testing();
