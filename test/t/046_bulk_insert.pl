# bulk_insert() in bulk: memory is bounded however many rows come, whatever ends a call leaves nothing
# of it behind, and what it inserted is where replication, a crash and prepared transactions want it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfSessions;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('bulk');
$node->init(allows_streaming => 'logical');
$node->append_conf('postgresql.conf', q{
shared_preload_libraries = 'tradeassist_dbperf'
dbperf.enabled = off
dbperf.partition_wait = 0
autovacuum = off
shared_buffers = 16MB
max_prepared_transactions = 10
max_wal_size = 4GB
});
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE EXTENSION amcheck;
	CREATE TABLE instruments (id int PRIMARY KEY);
	INSERT INTO instruments SELECT generate_series(1, 1000);
	CREATE TABLE ticks (id int, at timestamptz NOT NULL, instrument int REFERENCES instruments, price float8 CHECK (price >= 0), PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE ticks1 PARTITION OF ticks FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
	CREATE TABLE ticks2 PARTITION OF ticks FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
	-- holds calls up between two batches while somebody has the gate closed
	CREATE TABLE gate (after int);
	CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF (SELECT count(*) FROM ticks1) >= (SELECT after FROM gate) THEN
			PERFORM pg_advisory_xact_lock_shared(1);
		END IF;
		RETURN NULL;
	END $$;
	CREATE TRIGGER wait_at_gate BEFORE INSERT ON ticks EXECUTE FUNCTION wait_at_gate()});

# A call for n rows a second apart, numbered from 1 on unless options say otherwise; other options are
# those of the function.
sub bulk
{
	my ($rows, $options, $first) = @_;
	$options = defined $options ? ", $options" : '';
	$first //= 1;
	return qq{SELECT inserted, rejected, batches FROM
		(SELECT array_agg($first + i - 1 ORDER BY i) AS id, array_agg('2026-01-01'::timestamptz + i * interval '1 s' ORDER BY i) AS at, array_agg(i % 1000 + 1 ORDER BY i) AS instrument
			FROM generate_series(1, $rows) i) a,
		dbperf.bulk_insert('ticks', '{id,at,instrument}', ROW(a.id, a.at, a.instrument)$options)};
}

sub count_is
{
	my ($count, $name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	query_is($node, 'app', 'SELECT count(*) FROM ticks', $count, $name);
	query_is($node, 'app', q{
		SELECT count(bt_index_check(indexrelid, true)) FROM pg_index WHERE indrelid IN ('ticks1'::regclass, 'ticks2'::regclass)},
		2, "$name: the indexes agree");
	return;
}

# --- memory, of the whole process, but for the arguments and the shared buffers
$node->safe_psql('app', q{
	CREATE TABLE args (at timestamptz[], id int[], price float8[]);
	ALTER TABLE args ALTER at SET STORAGE EXTERNAL, ALTER id SET STORAGE EXTERNAL, ALTER price SET STORAGE EXTERNAL;
	INSERT INTO args (id) SELECT array_agg(i ORDER BY i) FROM generate_series(1, 10000000) i;
	UPDATE args SET at = (SELECT array_agg('2026-01-01'::timestamptz + i * interval '10 ms' ORDER BY i) FROM generate_series(1, 10000000) i);
	UPDATE args SET price = (SELECT array_agg(i::float8 ORDER BY i) FROM generate_series(1, 10000000) i);
	CREATE TABLE million AS SELECT at[1:1000000] AS at, id[1:1000000] AS id, price[1:1000000] AS price FROM args;
	CREATE TABLE plain (at timestamptz, id int, price float8, note text DEFAULT repeat('x', 20)) PARTITION BY RANGE (at);
	CREATE TABLE plain1 PARTITION OF plain FOR VALUES FROM ('2026-01-01') TO ('2026-01-02');
	CREATE TABLE plain2 PARTITION OF plain FOR VALUES FROM ('2026-01-02') TO ('2026-01-03');
	CREATE TABLE keyed (at timestamptz, id int PRIMARY KEY, price float8 CHECK (price::bigint % 1000 <> 7));
	CREATE FUNCTION memory_kb() RETURNS bigint LANGUAGE sql AS $$
		SELECT substring(pg_read_file('/proc/self/status') FROM 'VmHWM:\s+(\d+)')::bigint $$});

sub bounded
{
	my ($name, $args, $megabytes, $call, $expected) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($before, $result, $after) = split /\n/, $node->safe_psql('app', "
		SET client_min_messages = warning;
		SELECT memory_kb();
		SELECT inserted, rejected, batches FROM $args, $call;
		SELECT memory_kb()");
	my $used = int(($after - $before) / 1024);

	is($result, $expected, "$name: all rows");
	# of a new session: what it learns of the catalog, and of shared memory it touches all
	cmp_ok($used, '<', $megabytes + 16 + 24, "$name: in $used MB, with $megabytes of arguments");
	return;
}

SKIP:
{
	skip 'no /proc', 10 unless -r '/proc/self/status';
	my $arrays = "'{at,id,price}', at, id, price";

	bounded('ten million rows', 'args', 191, "dbperf.bulk_insert('plain', $arrays)",
		'10000000|0|10000');
	$node->safe_psql('app', 'TRUNCATE plain');
	bounded('a million, those that fail left out', 'million', 19,
		qq{dbperf.bulk_insert('plain', $arrays, '{"on_error": "reject"}')}, '1000000|0|1000');
	bounded('a million by statements', 'million', 19,
		qq{dbperf.bulk_insert('keyed', '{at,id}', at, id, '{"on_conflict": "nothing"}')},
		'1000000|0|1000');
	$node->safe_psql('app', 'TRUNCATE keyed');
	bounded('a million, one of a thousand bad', 'million', 19,
		qq{dbperf.bulk_insert('keyed', $arrays, '{"on_error": "reject"}')}, '999000|1000|1000');
	query_is($node, 'app', q{
			SELECT count(*), min(row_number), max(row_number), bool_and(row_number % 1000 = 7) FROM dbperf.ingest_rejects},
		'1000|7|999007|t', 'and the rejects are those');
	query_is($node, 'app', "SELECT count(*) FROM keyed WHERE id % 1000 <> 7", 999000,
		'and the rows are the others');
}
$node->safe_psql('app', 'DROP TABLE plain, keyed, args, million; DELETE FROM dbperf.ingest_rejects');

# --- whatever ends the call in the middle of it
my $gate = hold($node, 'app', 'SELECT pg_advisory_lock(1)');
$node->safe_psql('app', 'INSERT INTO gate VALUES (3000)');
my $at_gate = q{SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'background'
	AND wait_event = 'advisory'};

foreach my $options ('on_error => \'abort\'', 'on_error => \'reject\'', 'on_conflict => \'nothing\'')
{
	my $call = bulk(100000, $options);

	# psql goes on after the error: the session is as good as new
	my $session = start_sql($node, 'app',
		"\\set ON_ERROR_STOP 0\n$call;\nUPDATE gate SET after = 1000000;\n" . bulk(2000, $options));
	poll_ok($node, 'app', $at_gate, "$options: a call is at work");
	query_is($node, 'app', 'SELECT count(*) FROM ticks', 0, "$options: others see nothing of it");
	$node->safe_psql('app',
		"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'background'");
	my ($ret, $out, $err) = finish_sql($session);
	like($err, qr/canceling statement due to user request/, "$options: canceled");
	is($out, '2000|0|2', "$options: and the session goes on");
	count_is(2000, "$options: with nothing left of it");
	$node->safe_psql('app', 'TRUNCATE ticks; UPDATE gate SET after = 3000');

	($ret, $out, $err) = $node->psql('app', "SET statement_timeout = '2s'; $call");
	like($err, qr/canceling statement due to statement timeout/, "$options: statement_timeout");
	like($err, qr/bulk_insert into "ticks", rows 3001 to 4000/, "$options: the error says where");
	count_is(0, "$options: nothing is left");

	$session = start_sql($node, 'app', $call);
	poll_ok($node, 'app', $at_gate, "$options: another call is at work");
	$node->safe_psql('app',
		"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'background'");
	like((finish_sql($session))[2], qr/terminating connection/, "$options: terminated");
	count_is(0, "$options: nothing is left of that");
}
query_is($node, 'app', 'SELECT count(*) FROM dbperf.ingest_rejects', 0, 'no row was to blame');

# while it works rather than waits
$node->safe_psql('app', 'TRUNCATE ticks; UPDATE gate SET after = 1000000000');
my $session = start_sql($node, 'app', bulk(5000000, q{batch_size => 100000}) =~ s/'1 s'/'10 ms'/r);
poll_ok($node, 'app', q{SELECT pg_relation_size('ticks1') > 1000000}, 'rows are being written');
$node->safe_psql('app',
	"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'background'");
like((finish_sql($session))[2], qr/canceling statement due to user request/, 'canceled at work');
count_is(0, 'nothing is left of its rows');

# a lock that does not come is nothing that a row has done
my $other = hold($node, 'app', "INSERT INTO ticks VALUES (5, '2026-01-01 00:00:05', 1)");
foreach my $options ("on_error => 'reject'", "on_error => 'reject', on_conflict => 'nothing'")
{
	my ($ret, $out, $err) = $node->psql('app', "SET lock_timeout = '100ms'; " . bulk(10, $options));
	like($err, qr/canceling statement due to lock timeout/, "$options: lock_timeout");
}
release($other);
count_is(0, 'nothing is left, as nobody waited long enough');
query_is($node, 'app', 'SELECT count(*) FROM dbperf.ingest_rejects', 0, 'and nothing was rejected');

# --- a crash in the middle of it
$node->safe_psql('app', 'TRUNCATE ticks; UPDATE gate SET after = 3000');
$node->safe_psql('app', bulk(100, "on_error => 'reject'"));
$session = start_sql($node, 'app', bulk(100000, q{on_error => 'reject'}, 101));
poll_ok($node, 'app', $at_gate, 'a call is at work again');
# its first batches reach the disk
$node->safe_psql('app', 'CHECKPOINT');
$node->stop('immediate');
finish_sql($session);
$gate->{run}->finish;
$node->start;
count_is(100, 'after a crash, nothing is left of it');
query_is($node, 'app', 'SELECT count(*) FROM dbperf.ingest_rejects', 0, 'nor any reject');
$node->safe_psql('app', 'TRUNCATE ticks; DELETE FROM gate');
query_is($node, 'app', bulk(100000), '100000|0|100', 'the same call succeeds then');
count_is(100000, 'with all its rows');

# --- no space left: on a device that is always full
$node->safe_psql('app', q{
	CREATE TABLE full_parts (id int, k int) PARTITION BY RANGE (k);
	CREATE TABLE full_parts1 PARTITION OF full_parts FOR VALUES FROM (0) TO (10);
	CREATE TABLE full_parts2 PARTITION OF full_parts FOR VALUES FROM (10) TO (20)});
my $file = $node->data_dir . '/' . $node->safe_psql('app', q{SELECT pg_relation_filepath('full_parts2')});
$node->stop;
unlink $file or die "could not remove $file: $!";
symlink '/dev/full', $file or die "could not make a link at $file: $!";
$node->start;
foreach my $options ('abort', 'reject')
{
	my ($ret, $out, $err) = $node->psql('app', qq{
		SELECT * FROM (SELECT array_agg(i) AS id, array_agg(i / 500) AS k FROM generate_series(1, 9999) i) a,
			dbperf.bulk_insert('full_parts', '{id,k}', a.id, a.k, '{"on_error": "$options"}')}, extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	# PostgreSQL 16 and later may ask the device for more at once than it knows how to give
	like($err, qr/ERROR:  53100: could not extend file .*No space left on device|could not extend file/,
		"$options: no space left");
	like($err, qr/bulk_insert into "full_parts", rows 4001 to 5000/, "$options: the error says where");
	query_is($node, 'app', 'SELECT count(*) FROM full_parts1', 0, "$options: and nothing is left");
}
query_is($node, 'app', 'SELECT count(*) FROM dbperf.ingest_rejects', 0, 'no row is to blame for that');
query_is($node, 'app', q{
		SELECT inserted FROM dbperf.bulk_insert('full_parts', '{id,k}', ARRAY[1, 2], ARRAY[1, 2])},
	2, 'where there is space, rows go in');
$node->safe_psql('app', 'DROP TABLE full_parts');

# --- many sessions at a time: nothing is lost, nothing waits for ever
$node->safe_psql('app', 'TRUNCATE ticks');
my @sessions = map {
	my $first = $_ * 10000;
	my $error = $_ % 2 ? 'reject' : 'abort';

	start_sql($node, 'app', qq{
		DO \$\$
		BEGIN
			FOR n IN 1 .. 20 LOOP
				PERFORM dbperf.bulk_insert('ticks', '{id,at,instrument,price}',
					ROW(array_agg(i ORDER BY i), array_agg('2026-01-01'::timestamptz + i * interval '3 s'), array_agg(i % 1000 + 1), array_agg(CASE WHEN i % 50 = 0 AND '$error' = 'reject' THEN -1 ELSE i END ORDER BY i)),
					batch_size => 30, on_error => '$error')
				FROM generate_series($first + n * 100, $first + n * 100 + 99) i;
				COMMIT;
			END LOOP;
		END \$\$})
} 0 .. 5;
is(join('', map { (finish_sql($_))[2] } @sessions), '', 'six sessions insert at a time');
count_is(6 * 20 * 100 - 3 * 20 * 2, 'all rows are there but the bad ones');
query_is($node, 'app', 'SELECT count(*), count(DISTINCT "row" ->> \'id\') FROM dbperf.ingest_rejects',
	'120|120', 'which are rejects');

# --- more subtransactions than a snapshot holds, and a prepared transaction
$node->safe_psql('app', 'TRUNCATE ticks; DELETE FROM dbperf.ingest_rejects');
$other = hold($node, 'app', bulk(1000, q{batch_size => 5, on_error => 'reject'}));
query_is($node, 'app', 'SELECT count(*) FROM ticks', 0, 'what is not committed is not seen');
release($other, 'COMMIT');
count_is(1000, 'and then it is');
$node->safe_psql('app', 'TRUNCATE ticks; BEGIN; ' . bulk(1000, q{on_error => 'reject'}) . "; PREPARE TRANSACTION 'p'");
$node->restart;
query_is($node, 'app', 'SELECT count(*) FROM ticks', 0, 'what is prepared is not seen');
$node->safe_psql('app', "COMMIT PREPARED 'p'");
count_is(1000, 'what was prepared is there, also after a restart');

# --- a partition is detached by a worker while rows go into it
$node->safe_psql('app', q{TRUNCATE ticks; SELECT dbperf.manage('ticks', '1 day', premake => 0, enabled => false)});
my $writer = hold($node, 'app', bulk(100000));
$session = start_sql($node, 'app', "SELECT dbperf.detach_partition('ticks1')");
poll_ok($node, 'app', q{SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'ticks1'::regclass},
	'a worker is about to detach it');
my ($ret, $out, $err) = $node->psql('app', bulk(100001, q{on_error => 'reject'}, 1000001));
is($out, '13602|86399|101', 'another call has no partition for those rows');
query_is($node, 'app', q{SELECT count(*), count(DISTINCT reason), bool_and(row_number < 86400) FROM dbperf.ingest_rejects},
	'86399|1|t', 'and rejects them');
release($writer, 'COMMIT');
like((finish_sql($session))[1], qr/ticks1/, 'when the rows are committed it goes');
query_is($node, 'app', q{SELECT count(*) FROM public_archive.ticks1}, 86399, 'with all of its rows');

# --- replication
$node->safe_psql('app', q{
	CREATE TABLE sent (id int PRIMARY KEY, v text DEFAULT 'default', k int CHECK (k > 0), big text);
	CREATE PUBLICATION p FOR TABLE sent});
my $sub = new_node('sub', 'dbperf.enabled = off');
$sub->safe_psql('postgres', 'CREATE TABLE sent (id int PRIMARY KEY, v text, k int, big text)');
my $connection = $node->connstr('app') =~ s/'/''/gr;
$sub->safe_psql('postgres', "CREATE SUBSCRIPTION s CONNECTION '$connection' PUBLICATION p");
$sub->wait_for_subscription_sync($node, 's');
$node->safe_psql('app', q{
	SELECT b.inserted FROM (SELECT array_agg(i) AS id, array_agg(i) AS k, array_agg(repeat(md5(i::text), i % 200)) AS big FROM generate_series(1, 5000) i) a,
		dbperf.bulk_insert('sent', '{id,k,big}', a.id, a.k, a.big) b;
	SELECT b.inserted FROM (SELECT array_agg(i) AS id, array_agg(i % 10) AS k FROM generate_series(5001, 8000) i) a,
		dbperf.bulk_insert('sent', '{id,k}', a.id, a.k, '{"on_error": "reject", "batch_size": 7}') b;
	SELECT b.inserted FROM dbperf.bulk_insert('sent', '[{"id": 1, "v": "new"}, {"id": 9000, "k": 1}, {"id": 2, "v": "newer"}]', on_conflict => 'update') b});
$node->wait_for_catchup('s');
my $digest = q{SELECT count(*), md5(string_agg(s::text, ';' ORDER BY id)) FROM sent s};
my $sent = $node->safe_psql('app', $digest);
like($sent, qr/^7701\|/, 'rows to be sent');
query_is($sub, 'postgres', $digest, $sent, 'all of them arrive');

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
($ret, $out, $err) = $standby->psql('app', bulk(10));
like($err, qr/ERROR:  cannot execute bulk_insert\(\) during recovery/, 'not on a standby');
like($err, qr/HINT:  Insert on the primary server/, 'but on its primary');
$node->safe_psql('app', q{
	SELECT b.inserted FROM (SELECT array_agg(i) AS id FROM generate_series(10001, 20000) i) a, dbperf.bulk_insert('sent', '{id}', a.id) b});
$node->wait_for_catchup($standby);
query_is($standby, 'app', "SELECT bt_index_check('sent_pkey', true); SELECT count(*) FROM sent",
	"\n17701", 'where the rows arrive');
done_testing();
