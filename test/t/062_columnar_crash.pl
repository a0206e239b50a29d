# The server dies in the midst of everything that is done with a columnar table: afterwards all of it has
# happened, or nothing, rows are the same as those of a heap to which the same was done, storage is sound, and the
# next attempt succeeds.

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

# What is done; "at" says where it is caught:
#   phase   of compression_progress
#   gate    what row is held up: [what, id]
#   lock    somebody reads the table
#   vacuum  phase of pg_stat_progress_vacuum
#   done    just after its commit
# twin: what is then done to the twin
my $compress = q{SELECT dbperf.compress_partition('t', sort_by => '{sym,at}')};
my $recompress = q{SELECT dbperf.recompress_partition('t')};
my @cases = (
	{ name => 'compress, copying', sql => $compress, phase => [ 'copying', 'sorting', 'writing' ], am => 'heap', pause => 400 },
	{ name => 'compress, writing', sql => $compress, phase => ['writing'], am => 'heap', pause => 400 },
	{ name => 'compress, locking', sql => $compress, lock => 1, am => 'heap' },
	{ name => 'compress, building indexes', sql => $compress, gate => [ 'index', 900001 ], am => 'heap' },
	{ name => 'compress in the own transaction', sql => "BEGIN; LOCK TABLE t; $compress; SELECT gate.passes('own', 1); COMMIT", gate => [ 'own', 1 ], am => 'heap' },
	{ name => 'SET ACCESS METHOD', sql => q{BEGIN; ALTER TABLE t SET ACCESS METHOD dbperf_columnar; SELECT gate.passes('own', 1); COMMIT}, gate => [ 'own', 1 ], am => 'heap' },
	{ name => 'compress, done', sql => $compress, done => 1, am => 'heap' },
	{ name => 'recompress, writing', sql => $recompress, phase => [ 'sorting', 'writing' ], pause => 400 },
	{ name => 'recompress, locking', sql => $recompress, lock => 1 },
	{ name => 'recompress, building indexes', sql => $recompress, gate => [ 'index', 900001 ] },
	{ name => 'recompress, done', sql => $recompress, done => 1 },
	{ name => 'decompress, building indexes', sql => q{SELECT dbperf.decompress_partition('t')}, gate => [ 'index', 900001 ] },
	{ name => 'insert', sql => 'INSERT INTO t SELECT id + 100000, at, sym, price, qty, note FROM t WHERE id < 9000', gate => [ 'insert', 106000 ] },
	{ name => 'insert, done', sql => 'INSERT INTO t SELECT id + 100000, at, sym, price, qty, note FROM t WHERE id < 3000', done => 1,
		twin => 'INSERT INTO t_twin SELECT id + 100000, at, sym, price, qty, note FROM t_twin WHERE id < 3000' },
	{ name => 'delete', sql => 'DELETE FROM t WHERE id % 3 = 0', gate => [ 'delete', 8001 ] },
	{ name => 'delete, done', sql => 'DELETE FROM t WHERE id % 13 = 0', done => 1, twin => 'DELETE FROM t_twin WHERE id % 13 = 0' },
	{ name => 'update', sql => 'UPDATE t SET price = price + 1', gate => [ 'update', 8500 ] },
	{ name => 'update, done', sql => q{UPDATE t SET note = 'new' WHERE id % 17 = 0}, done => 1, twin => q{UPDATE t_twin SET note = 'new' WHERE id % 17 = 0} },
	{ name => 'prepared', sql => q{BEGIN; DELETE FROM t WHERE id % 19 = 0; UPDATE t SET qty = 0 WHERE id % 19 = 1; PREPARE TRANSACTION 'crash'}, done => 1,
		after => q{COMMIT PREPARED 'crash'}, twin => q{DELETE FROM t_twin WHERE id % 19 = 0; UPDATE t_twin SET qty = 0 WHERE id % 19 = 1} },
	{ name => 'vacuum', sql => q{SET vacuum_cost_delay = '20ms'; SET vacuum_cost_limit = 20; VACUUM t}, vacuum => 1 },
	{ name => 'vacuum, done', sql => 'VACUUM (FREEZE) t', done => 1 },
	{ name => 'vacuum full', sql => 'VACUUM FULL t', gate => [ 'index', 900001 ] },
	{ name => 'vacuum full, done', sql => 'VACUUM FULL t', done => 1 },
	{ name => 'create index', sql => 'CREATE INDEX again ON t (gate.of_index(id)) WHERE id > 900000', gate => [ 'index', 900001 ] },
	{ name => 'truncate', sql => q{BEGIN; TRUNCATE t; INSERT INTO t (id) VALUES (1); SELECT gate.passes('own', 1); COMMIT}, gate => [ 'own', 1 ] },
	{ name => 'create table as', sql => q{BEGIN; CREATE TABLE other USING dbperf_columnar AS SELECT * FROM t; SELECT gate.passes('own', 1); COMMIT}, gate => [ 'own', 1 ] },
);

sub catch
{
	my ($node, $db, $case) = @_;
	my $session;
	my $watch = DbperfWire->new($node, $db);
	my $holder;
	my $pid;

	close_at($node, $db, @{ $case->{gate} }) if $case->{gate};
	$holder = hold($node, $db, 'SELECT count(*) FROM t') if $case->{lock};
	$node->append_conf('postgresql.conf', 'dbperf.compress_pause = ' . ($case->{pause} // 0));
	$node->reload;
	if ($case->{done})
	{
		for my $sql (split /; (?=SET|VACUUM)/, $case->{sql})
		{
			my $result = $watch->query($sql);
			is($result->{state}, '00000', "$case->{name}: done") or diag $result->{message};
		}
		return $watch->pid;
	}
	$session = start_sql($node, $db, $case->{sql} =~ s/; /;\n/gr);
	$pid = wait_for_phase($watch, @{ $case->{phase} }) if $case->{phase};
	$pid = wait_for_phase($watch, 'locking') if $case->{lock};
	$pid = wait_at_gate($node, $db) if $case->{gate};
	if ($case->{vacuum})
	{
		$node->poll_query_until($db, q{SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE phase <> 'initializing')}) or die 'no vacuum';
		$pid = $node->safe_psql($db, 'SELECT pid FROM pg_stat_progress_vacuum LIMIT 1');
	}
	return ($pid, $session, $holder);
}

sub crash
{
	my ($node, $db, $case, $how) = @_;
	my ($pid, $session, $holder) = catch($node, $db, $case);

	if ($how eq 'kill')
	{
		my $since = -s $node->logfile;
		kill 'KILL', $pid;
		# all others are thrown out, and the server comes back by itself
		for (1 .. 1000)
		{
			last if count_in_log($node, qr/database system is ready to accept connections/, $since);
			select(undef, undef, undef, 0.05);
		}
	}
	else
	{
		$node->stop('immediate');
		$node->start;
	}
	finish_sql($session) if $session;
	eval { release($holder) } if $holder;
	return;
}

for my $wal_level ('minimal', 'logical')
{
	my $node = columnar_node("crash_$wal_level", "wal_level = $wal_level", $wal_level eq 'minimal' ? 'max_wal_senders = 0' : ());
	my $db = 'crash';
	my $n = 0;
	my $orphans = '';

	make_twins($node, $db, 12000);
	for my $case (@cases)
	{
		# half of the cases by one way, half by the other, and with the other log level the other way round
		my $how = ($n++ + ($wal_level eq 'minimal')) % 2 ? 'kill' : 'immediate';
		my $name = "$wal_level, $case->{name}, $how";

		if (($case->{am} // '') eq 'heap')
		{
			$node->safe_psql($db, q{SELECT dbperf.decompress_partition('t')}) if access_method($node, $db) ne 'heap';
		}
		elsif (access_method($node, $db) eq 'heap')
		{
			$node->safe_psql($db, $compress);
		}
		# late rows, for which indexes have entries, since somebody is there who does not see them; rows that are gone
		my $old = hold($node, $db, 'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_am');
		both($node, $db, 'DELETE FROM TABLE WHERE id > 900000');
		both($node, $db, "INSERT INTO TABLE SELECT 900000 + i, '2026-06-01', 'late', i, i, 'late' FROM generate_series(1, 10) i");
		both($node, $db, "DELETE FROM TABLE WHERE id = 100 * $n + 7");
		my $before = access_method($node, $db);
		release($old) unless $case->{gate};
		crash($node, $db, $case, $how);
		release($old) if $case->{gate};
		$node->safe_psql($db, $case->{after}) if $case->{after};
		$node->safe_psql($db, $case->{twin}) if $case->{twin};
		same_rows($node, $db, "$name: all or nothing");
		is(access_method($node, $db), $case->{done} && $case->{name} =~ /^compress/ ? 'dbperf_columnar' : $before, "$name: the storage that it had") unless $case->{twin};
		sound($node, $db, "$name: sound");
		# PostgreSQL leaves behind the files of a relation that was made by a transaction that crashed, nothing else
		my %known = map { $_ => 1 } split / /, $orphans;
		$orphans = orphans($node, $db);
		my @new = grep { !$known{$_} } split / /, $orphans;
		if ($case->{done} || $case->{vacuum} || $case->{sql} =~ /^(INSERT|DELETE|UPDATE)/)
		{
			is("@new", '', "$name: no file is left over");
		}
		# and then it works
		if (!$case->{done} && $case->{sql} =~ /^SELECT dbperf/)
		{
			my ($status, undef, $err) = $node->psql($db, $case->{sql});
			is($status, 0, "$name: the next time it works") or diag $err;
			same_rows($node, $db, "$name: and nothing is lost");
		}
	}
	is(count_in_log($node, qr/TRAP:|PANIC:|invalid page|could not read block/), 0, "$wal_level: no complaint in the log");
	# what ends without a crash leaves nothing behind
	$node->append_conf('postgresql.conf', 'dbperf.compress_pause = 0');
	$node->reload;
	$node->safe_psql($db, $_) for $recompress, q{SELECT dbperf.decompress_partition('t')}, $compress, 'VACUUM FULL t', 'TRUNCATE t';
	is(orphans($node, $db), $orphans, "$wal_level: no files are left where nothing crashed");
	$node->stop;
	command_ok([ 'pg_checksums', '--check', '-D', $node->data_dir ], "$wal_level: checksums are right");
}
done_testing();
