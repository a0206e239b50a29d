# A published table whose old partitions are compressed by policy while a subscriber follows: nothing is
# lost, nothing comes twice, and changes of compressed rows are published as such. So compressing does not
# have to wait for a publication. Published through the parent and by partition, with a key, with
# all columns as identity.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $publisher = new_node('publisher', 'wal_level = logical', 'dbperf.compress_pause = 0', 'log_min_messages = log',
	'max_prepared_transactions = 5', 'max_wal_senders = 10', 'max_replication_slots = 10');
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init;
$subscriber->start;
install_extension($publisher, 'postgres');

my @tables = ('by_root', 'by_part', 'whole');
for my $table (@tables)
{
	$publisher->safe_psql('postgres', qq{
		CREATE TABLE $table (id bigint NOT NULL, at timestamptz NOT NULL, sym int NOT NULL, v numeric, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		SELECT dbperf.manage('$table', '1 day', premake => 0);
		SELECT count(*) FROM dbperf.create_partitions('$table', (now() - interval '4 days')::text, now()::text);
		INSERT INTO $table SELECT i, date_trunc('day', now()) - (i % 5) * interval '1 day' + i * interval '1 s', i % 10, i / 8.0,
			CASE WHEN i % 50 = 0 THEN repeat('n' || i, 50) END FROM generate_series(1, 10000) i});
	# on the other side, one table, or as many as there are partitions
	my $columns = '(id bigint NOT NULL, at timestamptz NOT NULL, sym int NOT NULL, v numeric, note text, PRIMARY KEY (id, at))';
	if ($table eq 'by_part')
	{
		$subscriber->safe_psql('postgres', "CREATE TABLE $_ $columns")
		  for split /\n/, $publisher->safe_psql('postgres', "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '$table'::regclass");
		$subscriber->safe_psql('postgres', "CREATE VIEW $table AS " . join(' UNION ALL ', map { "TABLE $_" }
			split /\n/, $publisher->safe_psql('postgres', "SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = '$table'::regclass")));
	}
	else
	{
		$subscriber->safe_psql('postgres', "CREATE TABLE $table $columns");
	}
}
$publisher->safe_psql('postgres', q{
	DO $$ DECLARE r regclass; BEGIN
		FOR r IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'whole'::regclass LOOP EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', r); END LOOP;
	END $$;
	CREATE PUBLICATION root FOR TABLE by_root, whole WITH (publish_via_partition_root = true);
	CREATE PUBLICATION part FOR TABLE by_part});
my $connstr = $publisher->connstr . ' dbname=postgres';
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION root CONNECTION '$connstr' PUBLICATION root; CREATE SUBSCRIPTION part CONNECTION '$connstr' PUBLICATION part");
$subscriber->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_subscription_rel WHERE srsubstate NOT IN ('r', 's')}) or die 'no sync';

sub same_everywhere
{
	my ($name) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	$publisher->wait_for_catchup($_) for 'root', 'part';
	for my $table (@tables)
	{
		my $sum = "SELECT count(*), count(DISTINCT (id, at)), md5(string_agg(concat_ws(' ', id, at, sym, v, note), ',' ORDER BY id, at)) FROM $table";
		is($subscriber->safe_psql('postgres', "SET TimeZone = 'UTC'; $sum"), $publisher->safe_psql('postgres', "SET TimeZone = 'UTC'; $sum"), "$name: $table");
	}
	return;
}

same_everywhere('at first');

# changes of all kinds go on while the partitions are compressed
my $writer = start_sql($publisher, 'postgres', q{
	DO $$
	DECLARE
		t text;
	BEGIN
		FOR i IN 1..150 LOOP
			FOREACH t IN ARRAY '{by_root,by_part,whole}'::text[] LOOP
				EXECUTE format('INSERT INTO %I SELECT 20000 + %s, date_trunc(''day'', now()) - (%2$s %% 5) * interval ''1 day'', 1, %2$s, ''new''', t, i);
				EXECUTE format('UPDATE %I SET v = v + 1, note = ''changed'' WHERE id = %s', t, i * 7);
				EXECUTE format('DELETE FROM %I WHERE id = %s', t, i * 11);
			END LOOP;
			COMMIT;
		END LOOP;
	END $$});
$publisher->safe_psql('postgres', "SELECT dbperf.alter_policy('$_', compress_after => '1 day')") for @tables;
poll_ok($publisher, 'postgres', q{SELECT count(*) FROM dbperf.partitions WHERE access_method = 'dbperf_columnar'}, 'all that is old is compressed', 9);
my ($status, undef, $err) = finish_sql($writer);
is($status, 0, 'writers go on') or diag $err;
same_everywhere('compressed under way');
query_is($publisher, 'postgres', q{SELECT count(*) FROM dbperf.partition_health WHERE compress_error IS NOT NULL}, 0, 'nothing had to wait for a publication');

# rows of batches: changed, deleted, moved to another partition and back, rolled back, prepared
$publisher->safe_psql('postgres', q{
	DO $$
	DECLARE
		t text;
	BEGIN
		FOREACH t IN ARRAY '{by_root,by_part,whole}'::text[] LOOP
			EXECUTE format('UPDATE %I SET v = -v, note = coalesce(note, ''x'') || ''!'' WHERE sym = 3', t);
			EXECUTE format('DELETE FROM %I WHERE sym = 4', t);
			EXECUTE format('UPDATE %I SET id = id + 1000000 WHERE sym = 5 AND id < 3000', t);
			EXECUTE format('UPDATE %I SET at = at + interval ''1 day'' WHERE sym = 6 AND at < now() - interval ''3 days''', t);
			EXECUTE format('INSERT INTO %I SELECT id, at, sym, v, note FROM %1$I WHERE sym = 7 ON CONFLICT (id, at) DO UPDATE SET note = ''again''', t);
		END LOOP;
	END $$});
$publisher->safe_psql('postgres', "BEGIN; UPDATE $_ SET note = 'never' WHERE sym = 8; DELETE FROM $_ WHERE sym = 9; ROLLBACK;"
	. " BEGIN; UPDATE $_ SET note = 'kept' WHERE sym = 8 AND id < 2000; SAVEPOINT a; DELETE FROM $_ WHERE sym = 8; ROLLBACK TO a; DELETE FROM $_ WHERE sym = 9 AND id < 500; COMMIT;"
	. " BEGIN; DELETE FROM $_ WHERE sym = 2 AND id < 1000; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'") for @tables;
same_everywhere('changes of compressed rows');

# merged, and decompressed again
$publisher->safe_psql('postgres', "SELECT dbperf.alter_policy('$_', recompress_rows => 10)") for @tables;
poll_ok($publisher, 'postgres', q{SELECT count(DISTINCT partition) FROM dbperf.partition_events WHERE action = 'recompress'}, 'late rows are merged', 9);
same_everywhere('recompressed');
$publisher->safe_psql('postgres', "DELETE FROM $_ WHERE sym = 1; UPDATE $_ SET note = 'last' WHERE sym = 0") for @tables;
$publisher->safe_psql('postgres', q{SELECT dbperf.decompress_partition(partition) FROM (SELECT min(partition::text)::regclass AS partition FROM dbperf.partitions
	WHERE access_method = 'dbperf_columnar' GROUP BY parent) p});
same_everywhere('decompressed');
is(count_in_log($publisher, qr/TRAP|PANIC|cache lookup failed|could not open file/), 0, 'nothing in the log of the publisher');
is(count_in_log($subscriber, qr/ERROR|TRAP|conflict|did not find row/), 0, 'nor in that of the subscriber');
$subscriber->stop;
$publisher->stop;
done_testing();
