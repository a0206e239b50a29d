# bulk_insert() of rows that no partition takes: a background worker makes the partitions while the
# call waits, or the error says why none was made, and what to do.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfSessions;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('bulk_missing', 'dbperf.enabled = off', "dbperf.partition_wait = '3min'");
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE ROLE writer LOGIN;
	GRANT USAGE ON SCHEMA dbperf TO writer;
	GRANT EXECUTE ON FUNCTION dbperf.bulk_insert(regclass, name[], "any") TO writer});

# A call that inserts rows with these times (SQL expressions).
sub bulk
{
	my ($table, @times) = @_;
	return sprintf(
		q{SELECT inserted, rejected FROM dbperf.bulk_insert('%s', '{at}', ARRAY[%s]::timestamptz[])},
		$table, join(', ', @times));
}

# The same where rows that fail are left out.
sub bulk_or_reject
{
	my $sql = bulk(@_);
	$sql =~ s/\)$/, '{"on_error": "reject"}'::jsonb)/;
	return $sql;
}

sub months
{
	my ($count) = @_;
	return "now() + interval '$count months'";
}

# Fails with these in its error, leaves rows and partitions as they are, and no worker behind.
sub fails
{
	my ($sql, $patterns, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my $state = q{SELECT (SELECT count(*) FROM ticks), (SELECT count(*) FROM pg_class
		WHERE relname ~ '^(ticks|trades)')};
	my $before = $node->safe_psql('app', $state);
	my ($ret, $out, $err) = $node->psql('app', $sql, %options);

	isnt($ret, 0, "$name: fails");
	like($err, $_, "$name: says $_") foreach @$patterns;
	query_is($node, 'app', $state, $before, "$name: leaves nothing behind");
	return;
}

sub succeeds
{
	my ($sql, $expected, $name, %options) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($ret, $out, $err) = $node->psql('app', $sql, %options);

	is($out, $expected, $name);
	is($err, '', "$name: without a word");
	return;
}

my $requests = q{SELECT count(*) FROM dbperf.job_runs WHERE reason = 'missing_partition'};
my $at_work = q{FROM pg_stat_activity WHERE backend_type = 'dbperf session worker'};

# Starts a call that waits for a worker, which waits for its locks; options as for start_sql().
sub start_waiting
{
	my ($sql, %options) = @_;
	my $session = start_sql($node, 'app', $sql, app => 'waiter', %options);

	$node->poll_query_until('app', "SELECT EXISTS (SELECT $at_work AND state = 'active')")
	  or die 'no worker came';
	return $session;
}

sub nobody_at_work
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	return poll_ok($node, 'app', "SELECT NOT EXISTS (SELECT $at_work)", "$name: the worker is gone");
}

# --- within the sanity window: one call is enough, with or without the launcher and its library
foreach my $setting ([ 'enabled off' ],
	[ 'enabled on', "dbperf.enabled = on" ],
	[ 'not preloaded', "shared_preload_libraries = ''" ])
{
	my ($name, @lines) = @$setting;

	if (@lines)
	{
		$node->append_conf('postgresql.conf', "$lines[0]\n");
		$node->restart;
	}
	managed_table($node, 'app', 'ticks', "'1 month', premake => 1, sanity_window => '2 years'");
	my $count = partition_count($node, 'app', 'ticks');
	my $run = $node->safe_psql('app', 'SELECT coalesce(max(run_id), 0) FROM dbperf.job_runs');
	my $event = $node->safe_psql('app', 'SELECT max(event_id) FROM dbperf.partition_events');

	succeeds(bulk('ticks', 'now()', months(5), months(5), months(-3)),
		'4|0', "$name: rows of two missing months");
	query_is($node, 'app', 'SELECT count(DISTINCT tableoid) FROM ticks', 3,
		"$name: are in partitions of their own");
	is(partition_count($node, 'app', 'ticks'), $count + 2, "$name: which are all that was made");
	query_is($node, 'app', qq{
			SELECT source, parent, status, partitions_created FROM dbperf.job_runs
			WHERE run_id > $run AND reason = 'missing_partition'},
		'worker|public.ticks|ok|2', "$name: in a run of their own");
	query_is($node, 'app', qq{
			SELECT count(*), min(actor) = session_user FROM dbperf.partition_events
			WHERE event_id > $event AND parent = 'public.ticks' AND action = 'create'
			AND source = 'worker'},
		'2|t', "$name: with two events, in the caller's name");
	succeeds(bulk('ticks', months(5)), '1|0', "$name: the next call finds them");
	fails(bulk('ticks', 'now()', "'9999-12-31'"),
		[ qr/no partition of relation "ticks"/, qr/row 2\b/,
			qr/key 9999-12-31 .* outside the sanity window of table public\.ticks, which is 2 years/,
			qr/dbperf\.alter_policy\(\)/ ],
		"$name: a key outside the window");
	nobody_at_work($name);
	is(audit_is_ok($node, 'app'), 'ok', "$name: the audit trail is whole");
	$node->safe_psql('app', 'DROP TABLE ticks') if $name ne 'not preloaded';
}
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = 'tradeassist_dbperf'\ndbperf.enabled = off\n");
$node->restart;

# --- rows that can have no partition are left out on request
succeeds(bulk_or_reject('ticks', "'9999-12-31'", 'now()', months(6), "'infinity'", "'-infinity'"),
	'2|3', "on_error => 'reject'");
query_is($node, 'app', q{
		SELECT string_agg(row_number || ' ' || (detail ~ 'sanity window')::text, ', '
			ORDER BY row_number)
		FROM dbperf.ingest_rejects WHERE parent = 'ticks'::regclass},
	'1 true, 4 true, 5 true', 'the rejects have row and reason');

# --- other keys
$node->safe_psql('app', q{
	CREATE TABLE days (day date NOT NULL) PARTITION BY RANGE (day);
	SELECT dbperf.manage('days', '1 day', premake => 1, sanity_window => '1 year');
	CREATE TABLE numbers (id bigint NOT NULL) PARTITION BY RANGE (id);
	SELECT dbperf.manage('numbers', 1000, premake => 1, sanity_window => '100000')});
succeeds(q{SELECT inserted FROM dbperf.bulk_insert('days', '{day}',
		(SELECT array_agg(current_date - i) FROM generate_series(1, 60) i))},
	60, 'sixty missing days');
query_is($node, 'app', q{SELECT partitions_created FROM dbperf.job_runs
		WHERE parent = 'public.days' AND reason = 'missing_partition'}, 60, 'are made by one worker');
fails(q{SELECT dbperf.bulk_insert('days', '{day}',
		(SELECT array_agg(current_date - i) FROM generate_series(100, 200) i))},
	[ qr/need 101 missing partitions of table public\.days, and at most 100/,
		qr/dbperf\.create_partitions\('public\.days', '[-0-9]+', '[-0-9]+'\)/ ],
	'too many days');
succeeds(q{SELECT inserted FROM dbperf.bulk_insert('numbers', '{id}', ARRAY[54321, 7]::bigint[])},
	2, 'numbers');
fails(q{SELECT dbperf.bulk_insert('numbers', '{id}', ARRAY[9223372036854775807])},
	[ qr/key 9223372036854775807 lies outside the sanity window/ ], 'a number far too high');

# --- nobody makes partitions of these
make_table($node, 'app', 'stranger');
fails(bulk('stranger', 'now()'), [ qr/table public\.stranger has no partition policy/,
		qr/dbperf\.manage\(\)/ ], 'a table that is not managed');
$node->safe_psql('app', q{SELECT dbperf.alter_policy('ticks', enabled => false)});
fails(bulk('ticks', months(9)), [ qr/policy of table public\.ticks is disabled/ ],
	'a disabled policy');
$node->safe_psql('app',
	q{SELECT dbperf.alter_policy('ticks', enabled => true, detach_after => '6 months')});
fails(bulk('ticks', months(-9)), [ qr/would be so old that the policy has it detached/ ],
	'a partition that would be retired at once');
$node->safe_psql('app', q{SELECT dbperf.alter_policy('ticks', detach_after => 'never')});
fails('SET dbperf.partition_wait = 0; ' . bulk('ticks', months(9)),
	[ qr/dbperf\.partition_wait is 0/, qr/Set dbperf\.partition_wait/,
		qr/dbperf\.create_partitions\('public\.ticks'/ ],
	'partition_wait 0');

# --- who may insert need not be the owner
fails(bulk('ticks', months(9)), [ qr/permission denied for table ticks/ ], 'a role without INSERT',
	extra_params => [ '-U', 'writer' ]);
$node->safe_psql('app', 'GRANT INSERT (at) ON ticks TO writer');
succeeds(bulk('ticks', months(9)), '1|0', 'a role with INSERT only',
	extra_params => [ '-U', 'writer' ]);
query_is($node, 'app', q{SELECT actor FROM dbperf.partition_events ORDER BY event_id DESC LIMIT 1},
	'writer', 'is named in the audit trail');

# --- an older snapshot does not keep a transaction from seeing the new partition
succeeds(
	'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) > 0 FROM ticks; '
	  . bulk('ticks', months(10))
	  . "; SELECT count(*) FROM ticks WHERE at > now() + interval '9 months 15 days'; COMMIT",
	"t\n1|0\n1", 'REPEATABLE READ');
succeeds('BEGIN; ' . bulk('ticks', months(11)) . '; ' . bulk('ticks', months(12)) . '; ROLLBACK',
	"1|0\n1|0", 'two missing months in one transaction');
query_is($node, 'app', "SELECT count(*) FROM ticks WHERE at > now() + interval '10 months 15 days'",
	0, 'whose rows are rolled back');
succeeds(bulk('ticks', months(11), months(12)), '2|0', 'and whose partitions stay');

# --- the call's own transaction in the way: nobody waits for that
$node->safe_psql('app', q{
	CREATE TABLE instruments (id int PRIMARY KEY);
	INSERT INTO instruments VALUES (1);
	CREATE TABLE trades (at timestamptz NOT NULL, instrument int DEFAULT 1 REFERENCES instruments)
		PARTITION BY RANGE (at);
	SELECT dbperf.manage('trades', '1 month', premake => 1)});
my $asked = $node->safe_psql('app', $requests);
fails('BEGIN; INSERT INTO instruments VALUES (2); ' . bulk('trades', months(3)),
	[ qr/your own transaction has table public\.instruments in use/, qr/Commit before/ ],
	'a row in the referenced table');
fails('BEGIN; LOCK TABLE ticks IN SHARE UPDATE EXCLUSIVE MODE; ' . bulk('ticks', months(13)),
	[ qr/your own transaction has table public\.ticks in use/ ], 'a lock of its own');
fails(q{BEGIN; CREATE TABLE ticks_new (at timestamptz NOT NULL) PARTITION BY RANGE (at);
		SELECT dbperf.manage('ticks_new', '1 month'); } . bulk('ticks_new', months(8)),
	[ qr/your own transaction has table public\.ticks_new in use/ ], 'a table of its own');
query_is($node, 'app', $requests, $asked, 'and no worker was asked');
succeeds(bulk('trades', months(3)) . '; ' . bulk('trades', months(4)), "1|0\n1|0",
	'rows with foreign keys');

# --- others in the way: waited for, but not for ever
my $holder = hold($node, 'app', 'INSERT INTO instruments VALUES (3)');
fails("SET dbperf.partition_wait = '2s'; " . bulk('trades', months(5)),
	[ qr/table "instruments" could not be locked within 2000 ms: a conflicting lock is held by process $holder->{pid}\b/ ],
	'a transaction of somebody else');
$asked = $node->safe_psql('app', $requests);
succeeds("SET dbperf.partition_wait = '2s'; "
	  . bulk_or_reject('trades', 'now()', months(5), 'NULL', months(6), 'now()'),
	'2|3', 'the same with rejects');
query_is($node, 'app', $requests, $asked + 1, 'waited for once, though the batch was tried again');
query_is($node, 'app', q{
		SELECT count(*) FROM dbperf.ingest_rejects
		WHERE parent = 'trades'::regclass AND detail ~ 'could not be locked'},
	2, 'which have the reason');
my $waiter = start_waiting(bulk('trades', months(5)));
release($holder);
my ($ret, $out, $err) = finish_sql($waiter);
is("$out$err", '1|0', 'that ends while it is waited for');
query_is($node, 'app',
	q{SELECT last_error IS NULL FROM dbperf.partition_health WHERE parent = 'trades'::regclass}, 't',
	'what was waited for in vain is no error of maintenance');

# --- whatever ends the wait ends the worker
my $lock = 'LOCK TABLE ticks IN SHARE UPDATE EXCLUSIVE MODE';
my $last_run = q{SELECT status FROM dbperf.job_runs WHERE reason = 'missing_partition'
	ORDER BY run_id DESC LIMIT 1};
my $backend = q{FROM pg_stat_activity WHERE application_name = 'waiter'};
$holder = hold($node, 'app', $lock);
fails("SET statement_timeout = '500ms'; " . bulk('ticks', months(13)),
	[ qr/canceling statement due to statement timeout/ ], 'statement_timeout');
nobody_at_work('statement_timeout');
query_is($node, 'app', $last_run, 'canceled', 'the run is recorded as canceled');

$waiter = start_waiting(bulk('ticks', months(13)));
$node->safe_psql('app', "SELECT pg_cancel_backend(pid) $backend");
like((finish_sql($waiter))[2], qr/canceling statement due to user request/, 'cancel');
nobody_at_work('cancel');

$waiter = start_waiting(bulk('ticks', months(13)));
$node->safe_psql('app', "SELECT pg_terminate_backend(pid) $backend");
like((finish_sql($waiter))[2], qr/terminating connection/, 'termination');
nobody_at_work('termination');

$waiter = start_waiting(bulk('ticks', months(13)));
$node->safe_psql('app', "SELECT pg_cancel_backend(pid) $at_work");
like((finish_sql($waiter))[2], qr/the background worker was canceled/, 'a worker that is canceled');
nobody_at_work('a worker that is canceled');
release($holder);
query_is($node, 'app', q{
		SELECT count(*) FROM pg_class c WHERE relkind = 'r' AND relname ~ '^ticks'
			AND NOT relispartition},
	0, 'no half of a partition is left');

# --- many sessions that miss the same partition have one worker make it
$holder = hold($node, 'app', $lock);
my @waiters = map { start_waiting(bulk('ticks', months(13))) } 1 .. 10;
poll_ok($node, 'app', "SELECT count(*) = 10 $backend AND state = 'active'", 'ten sessions wait');
query_is($node, 'app', "SELECT count(*) $at_work", 1, 'for one worker');
my $runs = $node->safe_psql('app', $requests);
release($holder);
is(join(' ', map { join('', (finish_sql($_))[1, 2]) } @waiters), join(' ', ('1|0') x 10),
	'all of them succeed');
query_is($node, 'app', $requests, $runs, 'with one run');
query_is($node, 'app', "SELECT count(*) FROM ticks WHERE at > now() + interval '12 months 15 days'",
	10, 'and all rows are there');

# --- when one of them gives up, another one goes on
$holder = hold($node, 'app', $lock);
@waiters = map { start_waiting(bulk('ticks', months(14))) } 1 .. 2;
$node->safe_psql('app', qq{
	SELECT pg_cancel_backend(a.pid) FROM pg_stat_activity a
	JOIN pg_stat_activity w ON w.query = 'changing partitions for PID ' || a.pid
	WHERE w.backend_type = 'dbperf session worker'});
poll_ok($node, 'app', "SELECT count(*) = 1 $backend AND state = 'active'", 'one session is left');
release($holder);
is(join(' ', sort map { (finish_sql($_))[1] } @waiters), ' 1|0', 'and is served');

# --- a partition that is being detached still has its range
my $reader = hold($node, 'app', 'SELECT count(*) FROM ticks');
my $leaving = $node->safe_psql('app', q{
	SELECT tableoid::regclass FROM ticks ORDER BY at LIMIT 1});
my $leaving_row = $node->safe_psql('app', 'SELECT quote_literal(min(at)) FROM ticks');
$node->psql('app', "SET statement_timeout = '300ms';\nALTER TABLE ticks DETACH PARTITION $leaving CONCURRENTLY");
fails(bulk('ticks', $leaving_row), [ qr/that key .* belongs to is being detached/ ],
	'a partition that is being detached');
release($reader);

# --- no process for a worker
$node->append_conf('postgresql.conf',
	"max_worker_processes = 2\nmax_logical_replication_workers = 0");
$node->restart;
$holder = hold($node, 'app', $lock);
$waiter = start_waiting(bulk('ticks', months(15)));
fails("SET dbperf.partition_wait = '300ms'; " . bulk('trades', months(7)),
	[ qr/no background worker process has been free for 300 ms/, qr/increase max_worker_processes/ ],
	'all processes in use');
my $second = start_sql($node, 'app', bulk('trades', months(7)), app => 'second');
poll_ok($node, 'app',
	q{SELECT count(*) = 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE a.application_name = 'second' AND l.locktype = 'advisory' AND l.granted},
	'another session waits for a process');
release($holder);
is((finish_sql($waiter))[1], '1|0', 'the one has its partition');
is((finish_sql($second))[1], '1|0', 'and then the other');

$node->append_conf('postgresql.conf', "max_worker_processes = 0\nshared_preload_libraries = ''");
$node->restart;
fails(bulk('ticks', months(16)),
	[ qr/max_worker_processes is 0/, qr/Increase max_worker_processes/,
		qr/dbperf\.create_partitions\('public\.ticks', '[^']+', '[^']+'\)/ ],
	'max_worker_processes 0');

# --- what the hint says is what to do
($ret, $out, $err) = $node->psql('app', bulk('ticks', months(16)));
my ($remedy) = $err =~ /(dbperf\.create_partitions\('[^)]*\))/;
succeeds("SELECT count(*) FROM $remedy; " . bulk('ticks', months(16)), "1\n1|0", 'the hint helps');

is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole');
$node->stop;
done_testing();
