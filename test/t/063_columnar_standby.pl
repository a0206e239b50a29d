# A hot standby reads a table while it is compressed, recompressed and changed, and goes on with it after its
# promotion; base backups taken meanwhile, and recovery to a point in time, give the rows of that time.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfColumnar;
use DbperfSessions;
use DbperfTest;
use DbperfWire;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $db = 'app';
my $primary = columnar_node('primary', 'archive_timeout = 0');
$primary->enable_archiving;
$primary->restart;
make_twins($primary, $db, 20000);
$primary->backup('base');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
# who reads there has all the time it wants
$standby->append_conf('postgresql.conf', "archive_mode = off\nmax_standby_streaming_delay = -1\nhot_standby_feedback = off\n");
$standby->start;

my %point;

# A named point, and what the rows were then
sub mark
{
	my ($name) = @_;
	$primary->safe_psql($db, "SELECT pg_create_restore_point('$name'); SELECT pg_switch_wal()");
	$point{$name} = $primary->safe_psql($db, DbperfColumnar::row_sum('t'));
	return;
}

sub everywhere_same
{
	my ($name) = @_;
	$primary->wait_for_catchup($standby);
	same_rows($primary, $db, "$name: on the primary");
	same_rows($standby, $db, "$name: on the standby");
	return;
}

# --- a reader there holds back the replay of the swap, and sees its rows until it ends
$primary->wait_for_catchup($standby);
my $reader = DbperfWire->new($standby, $db);
$reader->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
my $first = $reader->value('SELECT count(*) || sum(id)::text FROM t');
$primary->safe_psql($db, q{SELECT dbperf.compress_partition('t', sort_by => '{sym,at}')});
both($primary, $db, 'DELETE FROM TABLE WHERE id % 10 = 0');
both($primary, $db, q{UPDATE TABLE SET note = 'changed' WHERE id % 10 = 1});
is($reader->value('SELECT count(*) || sum(id)::text FROM t'), $first, 'a reader of the standby keeps its rows while the primary compresses');
$reader->run('COMMIT');
everywhere_same('compressed and changed');
is(access_method($standby, $db), 'dbperf_columnar', 'it is columnar on the standby, too');
mark('compressed');

# --- all sorts of reads there, and no writes
for my $sql ('SELECT count(*) FROM t WHERE sym = \'S3\'', 'SELECT id, price, note FROM t WHERE id BETWEEN 100 AND 120 ORDER BY id', 'SELECT id FROM t ORDER BY at DESC, id LIMIT 5',
	'SELECT sym, count(*), sum(qty), min(at) FROM t GROUP BY sym ORDER BY sym')
{
	is($standby->safe_psql($db, $sql), $primary->safe_psql($db, $sql), "the same on both: $sql");
}
my (undef, undef, $err) = $standby->psql($db, 'DELETE FROM t WHERE id = 1');
like($err, qr/read-only transaction/, 'no deletes there');
(undef, undef, $err) = $standby->psql($db, q{SELECT dbperf.recompress_partition('t')});
like($err, qr/recovery|read-only/, 'nor recompression');
(undef, undef, $err) = $standby->psql($db, 'SELECT * FROM t WHERE id = 1 FOR UPDATE');
like($err, qr/read-only transaction/, 'nor row locks');
is($standby->safe_psql($db, q{SELECT count(*) FROM dbperf.verify_columnar('t')}), 0, 'verify_columnar() works there');
is($standby->safe_psql($db, q{SELECT batches > 0 FROM dbperf.columnar_totals('t')}), 't', 'and columnar_totals()');

# --- old snapshots there, and deletes, updates, vacuum, recompression here
$reader->run('BEGIN ISOLATION LEVEL REPEATABLE READ');
$first = $reader->value('SELECT count(*) || sum(id)::text FROM t');
both($primary, $db, 'DELETE FROM TABLE WHERE id % 10 = 2');
both($primary, $db, q{INSERT INTO TABLE SELECT 30000 + i, '2026-03-01', 'late', i, i, NULL FROM generate_series(1, 500) i});
$primary->safe_psql($db, 'VACUUM t');
is($reader->value('SELECT count(*) || sum(id)::text FROM t'), $first, 'an old snapshot there sees the same after changes and VACUUM here');
$reader->run('COMMIT');
everywhere_same('vacuumed');
mark('vacuumed');
$primary->safe_psql($db, q{SELECT dbperf.recompress_partition('t')});
everywhere_same('recompressed');
mark('recompressed');

# --- a base backup while it works
$primary->append_conf('postgresql.conf', 'dbperf.compress_pause = 300');
$primary->reload;
my $work = start_sql($primary, $db, q{SELECT dbperf.recompress_partition('t')});
my $watch = DbperfWire->new($primary, $db);
wait_for_phase($watch, 'writing');
$primary->backup('midway');
both($primary, $db, 'DELETE FROM TABLE WHERE id % 10 = 3');
my ($status, undef, $error) = finish_sql($work);
is($status, 0, 'recompression goes on during a base backup') or diag $error;
mark('midway');
my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($primary, 'midway', has_restoring => 1, standby => 0);
$copy->append_conf('postgresql.conf', "archive_mode = off\n");
$copy->start;
$copy->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
same_rows($copy, $db, 'a backup taken in the midst of it has all rows');
is($copy->safe_psql($db, DbperfColumnar::row_sum('t')), $point{midway}, 'those of the end of the log');
sound($copy, $db, 'a backup: sound');
$copy->stop;

# --- points in time
for my $name ('compressed', 'vacuumed', 'recompressed')
{
	my $then = PostgreSQL::Test::Cluster->new("then_$name");
	$then->init_from_backup($primary, 'base', has_restoring => 1, standby => 0);
	$then->append_conf('postgresql.conf', "archive_mode = off\nrecovery_target_timeline = 'current'\nrecovery_target_name = '$name'\nrecovery_target_action = promote\n");
	$then->start;
	$then->poll_query_until('postgres', 'SELECT NOT pg_is_in_recovery()') or die 'no end of recovery';
	is($then->safe_psql($db, DbperfColumnar::row_sum('t')), $point{$name}, "$name: the rows of that time");
	sound($then, $db, "$name: sound");
	$then->stop;
}

# --- the primary fails in the midst of recompression
$work = start_sql($primary, $db, q{SELECT dbperf.recompress_partition('t')});
wait_for_phase($watch, 'writing');
both($primary, $db, 'DELETE FROM TABLE WHERE id % 10 = 4');
$primary->wait_for_catchup($standby);
$primary->stop('immediate');
finish_sql($work);
$standby->promote;
$standby->append_conf('postgresql.conf', 'dbperf.compress_pause = 0');
$standby->reload;
same_rows($standby, $db, 'promoted: all rows');
sound($standby, $db, 'promoted: sound');
both($standby, $db, 'UPDATE TABLE SET price = -price WHERE id % 10 = 5');
both($standby, $db, 'DELETE FROM TABLE WHERE id % 10 = 6');
$standby->safe_psql($db, q{SELECT dbperf.recompress_partition('t')});
same_rows($standby, $db, 'promoted: changed and recompressed');
($status, undef, $error) = $standby->psql($db, 'INSERT INTO t (id) VALUES (11)');
like($error, qr/duplicate key/, 'promoted: keys are unique');
$standby->safe_psql($db, q{SELECT dbperf.decompress_partition('t')});
same_rows($standby, $db, 'promoted: decompressed');
for my $node ($primary, $standby)
{
	is(count_in_log($node, qr/TRAP:|PANIC:|invalid page|WAL contains references to invalid pages/), 0, 'nothing in the log of ' . $node->name);
}
$standby->stop;
command_ok([ 'pg_checksums', '--check', '-D', $standby->data_dir ], 'checksums are right');
done_testing();
