# A default partition with many rows is drained beside traffic: whoever looks sees each row once, nobody
# waits for long, and nothing is told to subscribers. Where it is cut short, by whatever means, all rows
# are where they were, nothing is left behind, and the next call goes on from there.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('drain', 'dbperf.enabled = off', 'wal_level = logical', 'max_wal_senders = 5', 'max_replication_slots = 5',
	'deadlock_timeout = 100ms', 'timezone = UTC', "dbperf.now_override = '2026-11-21 12:00+00'");
my $first = "timestamptz '2026-05-01 00:00+00'";
my $worker = 'dbperf session worker';

# A database with a default partition that has so many rows of six months: row i is at a time that
# follows from i.
sub prepare
{
	my ($db, $rows) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db");
	install_extension($node, $db);
	my $step = int(183 * 86400 / $rows);
	$node->safe_psql($db, qq{
		CREATE FUNCTION at_of(i bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS \$\$ SELECT $first + i * interval '$step s' \$\$;
		CREATE TABLE ticks (at timestamptz NOT NULL, id bigint NOT NULL, who int NOT NULL, n int NOT NULL DEFAULT 0, v text,
			PRIMARY KEY (at, id, who)) PARTITION BY RANGE (at);
		CREATE TABLE ticks_default PARTITION OF ticks DEFAULT;
		INSERT INTO ticks SELECT at_of(i), i, 0, 0, 'v' || i FROM generate_series(1, $rows) i;
		SELECT dbperf.manage('ticks', '1 month', 0, time_zone => 'UTC', lock_budget => '100 ms', enabled => false)});
	return;
}

# What there must be of the rows that it began with, in one line.
my $whole = 'SELECT count(*), count(DISTINCT id), min(id), max(id), count(*) FILTER (WHERE at <> at_of(id)) FROM ticks WHERE who = 0';

sub whole_is
{
	my ($db, $rows, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, $whole), "$rows|$rows|1|$rows|0", "$name: each row is there once");
	is($node->safe_psql($db, "SET enable_seqscan = off; SET enable_bitmapscan = off; $whole"), "$rows|$rows|1|$rows|0", "$name: by the index as well");
	return;
}

# Tables that are no partitions, constraints of ours, indexes that are half made, processes.
sub nothing_is_left
{
	my ($db, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	is($node->safe_psql($db, q{
		SELECT string_agg(what, ', ' ORDER BY what) FROM (
			SELECT c.relname AS what FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'ticks\_%'
				AND c.relkind IN ('r', 'p') AND NOT c.relispartition
			UNION ALL SELECT k.conname FROM pg_constraint k WHERE k.conname LIKE 'dbperf%' OR NOT k.convalidated
			UNION ALL SELECT i.indexrelid::regclass::text FROM pg_index i WHERE NOT i.indisvalid
			UNION ALL SELECT c.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhdetachpending
			UNION ALL SELECT a.backend_type FROM pg_stat_activity a WHERE a.backend_type LIKE 'dbperf session%'
			UNION ALL SELECT 'locks of ' || l.pid FROM pg_locks l WHERE l.locktype IN ('relation', 'advisory') AND l.granted
				AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) x}),
		'', "$name: nothing is left behind");
	is(audit_is_ok($node, $db), 'ok', "$name: the audit trail is whole");
	return;
}

sub partitions
{
	my ($db) = @_;
	return $node->safe_psql($db, q{SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'ticks'::regclass AND c.relname ~ 'ticks_2026_(0|10)'});
}
my $months = join ' ', map { sprintf 'ticks_2026_%02d', $_ } 5 .. 10;

# --- beneath traffic: readers, writers, a subscriber by the parent
my $rows = 60000;
prepare('traffic', $rows);
$node->safe_psql('traffic', q{
	CREATE TABLE done (yes bool);
	CREATE TABLE expected AS SELECT date_trunc('month', at) AS month, count(*) AS n FROM ticks GROUP BY 1;
	CREATE TABLE tally (who text, name text, n bigint);
	CREATE PUBLICATION pub FOR TABLE ticks WITH (publish_via_partition_root = true);
	SELECT pg_create_logical_replication_slot('mirror', 'pgoutput');
	SELECT pg_create_logical_replication_slot('peek', 'pgoutput')});
$node->safe_psql('postgres', 'CREATE DATABASE mirror');
my $connection = $node->connstr('traffic') =~ s/'/''/gr;
$node->safe_psql('mirror', qq{
	CREATE TABLE ticks (at timestamptz NOT NULL, id bigint NOT NULL, who int NOT NULL, n int NOT NULL, v text, PRIMARY KEY (at, id, who));
	CREATE SUBSCRIPTION mirror CONNECTION '$connection' PUBLICATION pub WITH (create_slot = false, slot_name = mirror)});
$node->wait_for_subscription_sync($node, 'mirror', 'mirror');

# What may come, and is to be retried: that a row was moved while one wanted to change it, or that a
# snapshot is older than a move.
my $loop = q{
	DO $$
	DECLARE
		rounds bigint := 0;
		retries bigint := 0;
		wrong text;
		found record;
		counter bigint := 0;
		changes bigint := 0;
		gone bigint := 0;
		i bigint;
		month timestamptz;
		began timestamptz;
		longest float8 := 0;
	BEGIN
		WHILE NOT EXISTS (SELECT FROM done) LOOP
			rounds := rounds + 1;
			began := clock_timestamp();
			BEGIN
				%s
			EXCEPTION WHEN serialization_failure THEN
				retries := retries + 1;
				-- what a writer had begun was taken back
				counter := greatest(counter - 1, 0);
			END;
			longest := greatest(longest, extract(epoch FROM clock_timestamp() - began) * 1000);
			IF wrong IS NOT NULL THEN
				RAISE EXCEPTION 'round %%: %%', rounds, wrong;
			END IF;
			COMMIT;
			%s
		END LOOP;
		INSERT INTO tally VALUES ('%s', 'rounds', rounds), ('%s', 'retries', retries), ('%s', 'longest', longest),
			('%s', 'inserted', counter), ('%s', 'changes', changes), ('%s', 'gone', gone);
	END $$};

sub traffic
{
	my ($name, $before, $work, $pause) = @_;
	return [ $name, start_sql($node, 'traffic', $before . sprintf($loop, $work, "PERFORM pg_sleep($pause);", ($name) x 6), app => $name) ];
}
my $look = qq{
	SELECT count(*) AS n, count(DISTINCT id) AS ids, sum(id) AS total INTO found FROM ticks WHERE who = 0;
	IF (found.n, found.ids, found.total) IS DISTINCT FROM (${rows}::bigint, ${rows}::bigint, $rows * ($rows + 1)::numeric / 2) THEN
		wrong := found::text;
	END IF;};
my $pruned = qq{
	month := $first + (rounds % 6) * interval '1 month';
	SELECT count(*) AS n, count(DISTINCT id) AS ids INTO found FROM ticks WHERE at >= month AND at < month + interval '1 month' AND who = 0;
	SELECT n INTO i FROM expected e WHERE e.month = $first + (rounds % 6) * interval '1 month';
	IF (found.n, found.ids) IS DISTINCT FROM (i, i) THEN wrong := month || ' ' || found; END IF;};
my $one = qq{
	i := 1 + (rounds * 7919) % $rows;
	FOR found IN EXECUTE format('SELECT count(*) AS n, max(v) AS v FROM ticks WHERE at = %L AND id = %s AND who = 0', at_of(i), i) LOOP
		IF (found.n, found.v) IS DISTINCT FROM (1::bigint, 'v' || i) THEN wrong := i || ' ' || found; END IF;
	END LOOP;
	SELECT count(*) AS n, max(v) AS v INTO found FROM ticks WHERE at = at_of(i) AND id = i;
	IF (found.n, found.v) IS DISTINCT FROM (1::bigint, 'v' || i) THEN wrong := i || ' generic ' || found; END IF;};
# each writer has rows of its own, which it also changes and deletes at times
my $write = q{
	counter := counter + 1;
	INSERT INTO ticks (at, id, who, v) VALUES (timestamptz '2026-05-01 00:00+00' + (counter * 7919 %% 15800) * interval '1000 s', counter, WHO, 'w');
	IF counter %% 20 = 0 THEN
		i := counter - (counter / 20 %% 5) * 20;
		UPDATE ticks SET n = n + 1 WHERE id = i AND who = WHO AND at = timestamptz '2026-05-01 00:00+00' + (i * 7919 %% 15800) * interval '1000 s';
		GET DIAGNOSTICS i = ROW_COUNT;
		changes := changes + i;
	ELSIF counter %% 50 = 7 THEN
		DELETE FROM ticks WHERE id = counter - 3 AND who = WHO;
		GET DIAGNOSTICS i = ROW_COUNT;
		gone := gone + i;
	END IF;};
$write =~ s/%%/%/g;
my @running = (
	traffic('all', '', $look, 0.03),
	traffic('month', '', $pruned, 0.01),
	traffic('month, generic', "SET plan_cache_mode = force_generic_plan;\n", $pruned, 0.01),
	traffic('one', '', $one, 0.001),
	traffic('writer 1', '', $write =~ s/WHO/1/gr, 0.002),
	traffic('writer 2', '', $write =~ s/WHO/2/gr, 0.002),
);
poll_ok($node, 'traffic', 'SELECT count(DISTINCT who) = 3 FROM ticks', 'the traffic is there');

my $calls = 0;
my %said;
for (1 .. 60)
{
	$calls++;
	my ($status, $out, $err) = $node->psql('traffic', "SELECT status, detail FROM dbperf.drain_default('ticks', 200)");
	is($status, 0, "drain_default(), call $calls") or diag $err;
	for my $line (split /\n/, $out)
	{
		my ($what, $detail) = split /\|/, $line, 2;
		$said{$what}++;
		note $detail if $what ne 'done';
		like($detail, qr/others wait to change rows|older transactions could miss rows|could not lock table|rows keep coming|changed by somebody else|was changed at this moment/,
			'what it waits for is somebody else') if $what ne 'done';
	}
	last if partitions('traffic') eq $months;
}
is(partitions('traffic'), $months, 'every month has a partition of its own');
note "calls: $calls, " . join ', ', map { "$_ $said{$_}" } sort keys %said;
is($said{failed} // 0, 0, 'no step failed');
is($said{done}, 6, 'each was made once');
# and the traffic goes on, into them
my $round = $node->safe_psql('traffic', 'SELECT max(id) FROM ticks WHERE who = 1');
poll_ok($node, 'traffic', "SELECT max(id) > $round + 20 FROM ticks WHERE who = 1", 'writers go on');
$node->safe_psql('traffic', 'INSERT INTO done VALUES (true)');
for my $session (@running)
{
	my ($name, $handle) = @$session;
	my ($status, undef, $err) = finish_sql($handle);
	is($status, 0, "$name: no error") or diag $err;
}
note $node->safe_psql('traffic', "SELECT string_agg(who || ': ' || name || ' ' || n, ', ' ORDER BY who, name) FROM tally WHERE n > 0");
is($node->safe_psql('traffic', 'SELECT count(*) FROM ticks_default'), 0, 'the default partition is empty');
whole_is('traffic', $rows, 'beneath traffic');
nothing_is_left('traffic', 'beneath traffic');
is($node->safe_psql('traffic', q{SELECT string_agg(concat_ws(' ', t.who, r.n = t.inserted - t.gone, r.ids = r.n, r.changes = t.changes), ', ' ORDER BY t.who)
	FROM (SELECT right(who, 1)::int AS who, max(n) FILTER (WHERE name = 'inserted') AS inserted, max(n) FILTER (WHERE name = 'gone') AS gone,
			max(n) FILTER (WHERE name = 'changes') AS changes FROM tally WHERE who LIKE 'writer%' GROUP BY 1) t
	JOIN LATERAL (SELECT count(*) AS n, count(DISTINCT id) AS ids, coalesce(sum(n), 0) AS changes FROM ticks k WHERE k.who = t.who) r ON true}),
	'1 t t t, 2 t t t', "what the writers did is there, and only that") or diag $node->safe_psql('traffic', 'SELECT who, count(*), sum(n) FROM ticks GROUP BY 1');
cmp_ok($node->safe_psql('traffic', "SELECT max(n) FROM tally WHERE name = 'longest' AND who LIKE 'writer%'"), '<', 4000, 'no writer waited for long');
$node->wait_for_catchup('mirror');
my $sum = "SELECT count(*), sum(id), sum(n), md5(string_agg(concat_ws(' ', who, id, n, v), ',' ORDER BY who, id)) FROM ticks";
is($node->safe_psql('mirror', $sum), $node->safe_psql('traffic', $sum), 'the subscriber has the same');
# I, U, D: as many as the writers made; none is of a row that was moved
is($node->safe_psql('traffic', q{SELECT string_agg(chr(kind) || ' ' || n, ', ' ORDER BY kind) FROM (
		SELECT get_byte(data, 0) AS kind, count(*) AS n FROM pg_logical_slot_get_binary_changes('peek', NULL, NULL, 'proto_version', '1', 'publication_names', 'pub')
		WHERE get_byte(data, 0) IN (68, 73, 85) GROUP BY 1) m}),
	$node->safe_psql('traffic', q{SELECT string_agg(kind || ' ' || n, ', ' ORDER BY kind) FROM (
		SELECT CASE name WHEN 'inserted' THEN 'I' WHEN 'changes' THEN 'U' ELSE 'D' END AS kind, sum(n) AS n FROM tally
		WHERE name IN ('inserted', 'changes', 'gone') GROUP BY 1 HAVING sum(n) > 0) t}), 'logical decoding tells of what the writers did alone');
is($node->safe_psql('traffic', q{SELECT count(*), bool_and(partition LIKE 'public.ticks_2026_%') FROM dbperf.partition_events WHERE action = 'drain'}),
	'6|t', 'the audit trail tells of each step');
is($node->safe_psql('traffic', "SELECT count(*) FROM dbperf.drain_default('ticks')"), 0, 'another call finds nothing to do');
is(count_in_log($node, qr/logical replication .* exited with exit code 1/), 0, 'the subscriber met no error');
$node->safe_psql('mirror', 'ALTER SUBSCRIPTION mirror DISABLE; ALTER SUBSCRIPTION mirror SET (slot_name = NONE); DROP SUBSCRIPTION mirror');
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM pg_replication_slots WHERE active') or die 'the slot is in use';
$node->safe_psql('postgres', 'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');

# --- cut short. A check constraint is looked at for each row that is moved: its function is a gate in
# the middle of a cell. Another one is closed while the new partition is attached, under all locks. The
# table that says which is closed is unlogged: a crash opens it.
sub add_gates
{
	my ($db) = @_;
	$node->safe_psql($db, q{
		CREATE SCHEMA gate;
		CREATE UNLOGGED TABLE gate.closed (step text);
		CREATE FUNCTION gate.pass(id bigint) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
		BEGIN
			IF current_setting('application_name') = 'dbperf session worker' THEN
				WHILE EXISTS (SELECT FROM gate.closed WHERE step = 'row ' || id) LOOP
					PERFORM pg_sleep(0.01);
				END LOOP;
			END IF;
			RETURN true;
		END $$;
		CREATE FUNCTION gate.attached() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
		BEGIN
			WHILE EXISTS (SELECT FROM gate.closed JOIN pg_class c ON step = 'attached ' || c.relname WHERE c.relispartition) LOOP
				PERFORM pg_sleep(0.01);
			END LOOP;
		END $$;
		ALTER TABLE ticks ADD CONSTRAINT gate CHECK (gate.pass(id));
		CREATE EVENT TRIGGER attached ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION gate.attached()});
	return;
}

# Begins a call, and returns with its worker at the gate, whose pid is the second.
sub drain_to_gate
{
	my ($db, $gate) = @_;
	$node->safe_psql($db, "INSERT INTO gate.closed VALUES ('$gate')");
	my $call = start_sql($node, $db, "SELECT partition, status, detail FROM dbperf.drain_default('ticks', 50)", app => 'call');
	return ($call, wait_at_step($node, $db, $worker));
}

# The rest of it, and that it is the rest.
sub goes_on
{
	my ($db, $rows, $name, $left) = @_;
	$node->safe_psql($db, 'DELETE FROM gate.closed');
	is($node->safe_psql($db, "SELECT string_agg(right(partition, 7) || ' ' || status, ', ' ORDER BY partition) FROM dbperf.drain_default('ticks')"),
		join(', ', map { "$_ done" } @$left), "$name: the next call goes on");
	is(partitions($db), $months, "$name: to the end");
	is($node->safe_psql($db, 'SELECT count(*) FROM ticks_default'), 0, "$name: the default partition is empty");
	whole_is($db, $rows, "$name, in the end");
	nothing_is_left($db, "$name, in the end");
	return;
}

# May and June are done, July is in work
my $small = 6000;
prepare('cut', $small);
add_gates('cut');
my @left = map { sprintf '2026_%02d', $_ } 7 .. 10;
my $id = 2400;
my %end = (
	'kill -9 of the worker' => sub {
		my ($db, $call, $pid) = @_;
		my $since = -s $node->logfile;
		kill 'KILL', $pid;
		$node->wait_for_log(qr/all server processes terminated; reinitializing/, $since);
		$node->poll_query_until('postgres', 'SELECT true') or die 'the server did not recover';
		return finish_sql($call);
	},
	'immediate stop' => sub {
		my ($db, $call) = @_;
		$node->stop('immediate');
		my @result = finish_sql($call);
		$node->start;
		return @result;
	},
	'cancel of the caller' => sub {
		my ($db, $call) = @_;
		$node->safe_psql('postgres', "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'call' AND datname = '$db'");
		return finish_sql($call);
	},
	'terminated caller' => sub {
		my ($db, $call) = @_;
		$node->safe_psql('postgres', "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'call' AND datname = '$db'");
		return finish_sql($call);
	},
	'cancel of the worker' => sub {
		my ($db, $call, $pid) = @_;
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
		return finish_sql($call);
	},
	'terminated worker' => sub {
		my ($db, $call, $pid) = @_;
		$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
		return finish_sql($call);
	},
);
my %message = (
	'cancel of the caller' => qr/canceling statement due to user request/,
	'terminated caller' => qr/terminating connection due to administrator command/,
	'cancel of the worker' => qr/cancel/,
	'terminated worker' => qr/cancel|terminat/,
);
my $number = 0;
for my $how (sort keys %end)
{
	for my $gate ("row $id", 'attached ticks_2026_07')
	{
		next if $gate =~ /attached/ && $how =~ /terminated|of the worker$/ && $how !~ /kill/;
		my $db = 'cut' . $number++;
		my $name = "$how, " . ($gate =~ /row/ ? 'while rows are moved' : 'while it is attached');
		$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE cut");
		my ($call, $pid) = drain_to_gate($db, $gate);
		is($node->safe_psql($db, q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbperf session worker' AND wait_event = 'PgSleep'
			AND backend_xid IS NOT NULL}), 1, "$name: in the middle of it") if $gate =~ /row/;
		if ($gate =~ /row/ && $how eq 'immediate stop')
		{
			# while it takes its time for that, nobody waits for it, but for a row that it has in hand
			my ($status, undef, $err) = $node->psql($db, "SET lock_timeout = '1 s'; $whole;"
				. " INSERT INTO ticks VALUES (at_of(10) + interval '1 s', 1, 9), (at_of($id) + interval '1 s', 2, 9); DELETE FROM ticks WHERE who = 9;"
				. " UPDATE ticks SET n = 0 WHERE id IN (10, $small) AND at IN (at_of(10), at_of($small))");
			is($status, 0, "$name: others read and write") or diag $err;
			whole_is($db, $small, "$name, in work");
		}
		my (undef, $out, $err) = $end{$how}->($db, $call, $pid);
		like($err, $message{$how}, "$name: the caller hears of it") if $message{$how};
		poll_ok($node, 'postgres', "SELECT count(*) = 0 FROM pg_stat_activity WHERE datname = '$db' AND (application_name = 'call' OR backend_type LIKE 'dbperf%')",
			"$name: nobody is at work any more");
		is(partitions($db), 'ticks_2026_05 ticks_2026_06', "$name: what was committed stays");
		whole_is($db, $small, $name);
		nothing_is_left($db, $name);
		goes_on($db, $small, $name, \@left);
	}
}

# --- large, and without an index on the key
$node->safe_psql('postgres', 'CREATE DATABASE plain');
install_extension($node, 'plain');
$node->safe_psql('plain', qq{
	CREATE TABLE ticks (at timestamptz NOT NULL, id bigint NOT NULL, v text) PARTITION BY RANGE (at);
	CREATE TABLE "Ticks default" PARTITION OF ticks DEFAULT;
	INSERT INTO ticks SELECT $first + i * interval '30 minutes', i, repeat('x', 300) FROM generate_series(1, 8700) i;
	SELECT dbperf.manage('ticks', '1 month', 0, time_zone => 'UTC', enabled => false)});
is($node->safe_psql('plain', q{SELECT pg_relation_size('"Ticks default"') > 2 * 1024 * 1024}), 't', 'a default partition of more than 2 MB');
my ($status, undef, $err) = $node->psql('plain', "\\set VERBOSITY verbose\nSELECT * FROM dbperf.drain_default('ticks')");
isnt($status, 0, 'without an index on the key it is refused');
like($err, qr/ERROR:  55000: default partition "Ticks default" is large and has no index on column "at"/, 'with a reason');
my ($remedy) = $err =~ /HINT:  (CREATE INDEX CONCURRENTLY .*;)$/m;
is($remedy, 'CREATE INDEX CONCURRENTLY ON public."Ticks default" (at);', 'and a remedy');
is(partition_count($node, 'plain', 'ticks'), 1, 'nothing was begun');
$node->safe_psql('plain', $remedy // 'SELECT 1');
is($node->safe_psql('plain', "SELECT count(*), bool_and(status = 'done') FROM dbperf.drain_default('ticks')"), '6|t', 'which helps');
is($node->safe_psql('plain', 'SELECT count(*), count(DISTINCT id) FROM ticks'), '8700|8700', 'each row is there once');

is(count_in_log($node, qr/TRAP|PANIC|cache lookup failed|could not open relation|SPI_|reference leak|not closed/), 0, 'the log knows nothing worse');
$node->stop;
done_testing();
