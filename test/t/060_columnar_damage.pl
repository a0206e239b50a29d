# Bytes of compressed tables that flip while the server is down, its checksums of pages off: every
# read gives the right rows or data_corrupted, verify_columnar() finds what reads find, and no
# process of the server dies. DBPERF_TEST_SEED repeats a run, DBPERF_TEST_ROUNDS makes it longer.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $seed = $ENV{DBPERF_TEST_SEED} // time();
my $rounds = $ENV{DBPERF_TEST_ROUNDS} // 1;
my $tables = 16;    # of each kind, in each round
print "# seed $seed\n";
srand($seed);

my $node = new_node('damage', "statement_timeout = '60s'", 'max_parallel_workers_per_gather = 0');
$node->stop;
system_log('pg_checksums', '--disable', '-D', $node->data_dir);
$node->start;
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	CREATE TYPE mood AS ENUM ('low', 'high');
	CREATE TABLE source AS
		SELECT n AS id, timestamptz '2024-01-01' + n * interval '1 s' AS at, n % 7 = 0 AS flag, (n % 100)::smallint AS small,
			sqrt(n) AS root, (n / 4.0)::float4 AS quarter, (n % 500) / 100.0 AS price, 'word ' || n % 90 AS word,
			md5(n::text) AS hash, md5(n::text)::uuid AS uid, CASE WHEN n % 3 = 0 THEN jsonb_build_object('n', n) END AS doc,
			ARRAY[n, NULL, n % 10] AS list, (CASE n % 2 WHEN 0 THEN 'low' ELSE 'high' END)::mood AS mood,
			int4range(n, n + 5) AS span, ('x' || n % 30)::name AS tag, decode(md5(n::text), 'hex') AS raw
		FROM generate_series(1, 8500) n;

	-- What reads of a table should give, less some of the rows.
	CREATE TABLE expected (gone text, query text, result text);
	DO $$
	DECLARE
		col   text;
		query text;
		gone  text;
		found text;
	BEGIN
		FOREACH gone IN ARRAY ARRAY['{}', '{3,77,4000,8001,8499}'] LOOP
			FOREACH col IN ARRAY (SELECT array_agg(attname ORDER BY attnum) || ARRAY['*', 'rows']
				FROM pg_attribute WHERE attrelid = 'source'::regclass AND attnum > 0)
			LOOP
				query := CASE col WHEN '*' THEN 'SELECT md5(string_agg(s::text, '','')) FROM %s s'
					WHEN 'rows' THEN 'SELECT count(*) FROM %s s'
					ELSE format('SELECT md5(string_agg(s.%I::text, '','')) FROM %%s s', col) END;
				EXECUTE format(query || ' WHERE NOT id = ANY (%L)', 'source', gone) INTO found;
				INSERT INTO expected VALUES (gone, query, found);
			END LOOP;
		END LOOP;
	END
	$$;

	-- What they give: nothing, if they are right, or whatever else.
	CREATE FUNCTION damage_seen(damaged text, without text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		e     expected;
		found text;
	BEGIN
		FOR e IN SELECT * FROM expected WHERE gone = without LOOP
			BEGIN
				EXECUTE format(e.query, damaged) INTO found;
				IF found IS DISTINCT FROM e.result THEN
					RETURN NEXT 'WRONG ' || e.query;
				END IF;
			EXCEPTION WHEN OTHERS THEN
				RETURN NEXT SQLSTATE || ' ' || SQLERRM;
			END;
		END LOOP;
	END
	$$;

	-- The same of writes: they are not looked at but for their errors.
	CREATE FUNCTION damage_felt(damaged text) RETURNS SETOF text LANGUAGE plpgsql AS $$
	DECLARE
		command text;
	BEGIN
		FOREACH command IN ARRAY ARRAY['DELETE FROM %s WHERE id %% 1000 = 3', 'UPDATE %s SET word = ''new'' WHERE id IN (5, 8400)',
			'INSERT INTO %s (id) VALUES (100000)', 'INSERT INTO %s SELECT * FROM source WHERE id = 8400 ON CONFLICT DO NOTHING',
			'ANALYZE %s', 'SELECT count(*) FROM dbperf.columnar_table_chunks(%L)', 'SELECT count(*) FROM dbperf.columnar_info(%L)']
		LOOP
			BEGIN
				EXECUTE format(command, damaged);
			EXCEPTION WHEN OTHERS THEN
				RETURN NEXT SQLSTATE || ' ' || SQLERRM;
			END;
		END LOOP;
	END
	$$;
});

sub slurp_raw
{
	my ($file) = @_;
	open my $fh, '<:raw', $file or die "$file: $!";
	local $/;
	return scalar <$fh>;
}

# Where the tuples of a file are that wanted() takes: offset and length of tuple and of its body.
sub tuples
{
	my ($bytes, $wanted) = @_;
	my @found;

	for (my $page = 0; $page < length $bytes; $page += 8192)
	{
		my $lower = unpack 'x12 S', substr $bytes, $page, 24;
		for (my $item = 24; $item < $lower; $item += 4)
		{
			my $pointer = unpack 'L', substr $bytes, $page + $item, 4;
			my ($offset, $flags, $length) = ($pointer & 0x7fff, $pointer >> 15 & 3, $pointer >> 17);
			next if $flags != 1;
			my $tuple = substr $bytes, $page + $offset, $length;
			my $hoff = ord substr $tuple, 22, 1;
			next unless $wanted->($tuple, $hoff);
			push @found, { at => $page + $offset, length => $length, hoff => $hoff, item => $page + $item };
		}
	}
	return @found;
}

sub is_batch
{
	my ($tuple, $hoff) = @_;
	return (unpack('x18 S', $tuple) & 0x7ff) == 0 && length $tuple > $hoff;
}

sub is_tombstone
{
	my ($tuple, $hoff) = @_;
	return unpack("x$hoff x4 L", $tuple) >= 0x40000000;
}

sub any_of
{
	return $_[ int rand @_ ];
}

# One bit, or any
sub flip
{
	my ($file, $at) = @_;
	my $byte = substr slurp_raw($file), $at, 1;
	my $new = $byte ^ chr(any_of(1 << int rand 8, 1 << int rand 8, 1 + int rand 255));

	write_at($file, $at, $new);
	return sprintf '%s byte %d: %02x -> %02x', $file, $at, ord $byte, ord $new;
}

sub write_at
{
	my ($file, $at, $bytes) = @_;

	open my $fh, '+<:raw', $file or die "$file: $!";
	seek $fh, $at, 0;
	print $fh $bytes;
	close $fh or die;
	return;
}

my @crc_table = map {
	my $c = $_;
	$c = $c & 1 ? 0x82f63b78 ^ ($c >> 1) : $c >> 1 for 1 .. 8;
	$c;
} 0 .. 255;

sub crc32c
{
	my ($bytes) = @_;
	my $crc = 0xffffffff;
	$crc = $crc_table[($crc ^ $_) & 0xff] ^ ($crc >> 8) for unpack 'C*', $bytes;
	return $crc ^ 0xffffffff;
}

# The checksums of a batch tuple's body (see batch.h), made right again
sub forge
{
	my ($file, $batch) = @_;
	my $at = $batch->{at} + $batch->{hoff};
	my $body = substr slurp_raw($file), $at, $batch->{length} - $batch->{hoff};

	substr($body, 32, 4) = pack 'L', crc32c(substr $body, 36);
	substr($body, 4, 4) = pack 'L', crc32c(substr $body, 8);
	write_at($file, $at, $body);
	return;
}

# Kinds of damage: what is flipped, given the contents of both files. Where it is not strict, other
# bytes than ours are: what a batch's or a tombstone's xmin, or a line pointer becomes may be believed.
# And so may be what is forged: a batch tuple with the right checksums.
my %kinds = (
	toast => {
		strict => 1,
		choose => sub { my ($main, $toast) = @_; return (1, int rand length $toast) } },
	batch => {
		strict => 1,
		choose => sub {
			my ($main, $toast) = @_;
			my $batch = any_of(tuples($main, \&is_batch));
			return (0, $batch->{at} + $batch->{hoff} + int rand($batch->{length} - $batch->{hoff}));
		} },
	tombstone => {
		strict => 1,
		gone => 1,
		choose => sub {
			my ($main, $toast) = @_;
			my $tombstone = any_of(tuples($toast, \&is_tombstone));
			return (1, $tombstone->{at} + $tombstone->{hoff} + int rand($tombstone->{length} - $tombstone->{hoff}));
		} },
	toast_with_tombstones => {
		gone => 1,
		choose => sub { my ($main, $toast) = @_; return (1, int rand length $toast) } },
	# all of the header but the number of columns: without that, it would be a row
	header => {
		choose => sub {
			my ($main, $toast) = @_;
			my $batch = any_of(tuples($main, \&is_batch));
			return (0, $batch->{at} + any_of(0 .. 17, 20 .. 23));
		} },
	forged => {
		choose => sub {
			my ($main, $toast) = @_;
			my $batch = any_of(tuples($main, \&is_batch));
			return (0, $batch->{at} + $batch->{hoff} + 8 + int rand($batch->{length} - $batch->{hoff} - 8), $batch);
		} });

my %totals;

for my $round (1 .. $rounds)
{
	my @damaged;

	for my $kind (sort keys %kinds)
	{
		my $gone = $kinds{$kind}{gone} ? '{3,77,4000,8001,8499}' : '{}';

		for my $i (1 .. $tables)
		{
			my $name = "d_${kind}_$i";

			$node->safe_psql('app', qq{
				CREATE TABLE $name USING dbperf_columnar AS SELECT * FROM source;
				ALTER TABLE $name ADD PRIMARY KEY (id);
				DELETE FROM $name WHERE id = ANY ('$gone')});
			my $files = $node->safe_psql('app', qq{
				SELECT pg_relation_filepath(c.oid), pg_relation_filepath(c.reltoastrelid) FROM pg_class c WHERE c.oid = '$name'::regclass});
			push @damaged, { name => $name, kind => $kind, gone => $gone,
				files => [ map { $node->data_dir . "/$_" } split /\|/, $files ] };
		}
	}
	$node->stop;
	for my $table (@damaged)
	{
		my ($file, $at, $forged) = $kinds{ $table->{kind} }{choose}->(map { slurp_raw($_) } @{ $table->{files} });
		$table->{flipped} = flip($table->{files}[$file], $at);
		forge($table->{files}[$file], $forged) if $forged;
	}
	$node->start;
	my $postmaster = slurp_file($node->data_dir . '/postmaster.pid');

	my (@wrong, @missed, @died);
	for my $table (@damaged)
	{
		my $what = "$table->{name}, $table->{flipped}";
		my ($ret, $out, $err) = $node->psql('app', "SELECT damage_seen('$table->{name}', '$table->{gone}')");
		my @seen = split /\n/, $out;
		my ($vret, $problems, $verr) = $node->psql('app', "SELECT count(*) FROM dbperf.verify_columnar('$table->{name}')");
		my ($fret, $felt, $ferr) = $node->psql('app', "SELECT damage_felt('$table->{name}')");

		push @died, "$what: $err$verr$ferr" if $ret != 0 || $vret != 0 || $fret != 0;
		$totals{ $table->{kind} }{ @seen ? 'found' : 'harmless' }++;
		next unless $kinds{ $table->{kind} }{strict};
		push @wrong, map { "$what: $_" } grep { !/^XX001 / } @seen;
		push @missed, $what if @seen && !$problems;
	}
	is(join("\n", @wrong), '', "round $round: right rows or data_corrupted");
	is(join("\n", @missed), '', "round $round: verify_columnar() finds it, too");
	is(join("\n", @died), '', "round $round: no session is lost");
	is(slurp_file($node->data_dir . '/postmaster.pid'), $postmaster, "round $round: the server has not been started anew");
	is(count_in_log($node, qr/was terminated by signal|PANIC|TRAP/), 0, "round $round: no process died");
	$node->safe_psql('app', join '; ', map { "DROP TABLE $_->{name}" } @damaged);
}
for my $kind (sort keys %kinds)
{
	note("$kind: " . join ', ', map { "$_ $totals{$kind}{$_}" } sort keys %{ $totals{$kind} });
}
cmp_ok($totals{batch}{found} // 0, '>', 0, 'damage was done');

# Tuples that are gone altogether: whose absence is noticed by what they leave behind.
my %lost = (
	batch => { file => 0, wanted => \&is_batch, says => qr/value \d+ of "pg_toast_\d+" belongs to no batch and no row/ },
	piece => { file => 1, wanted => sub { my ($tuple, $hoff) = @_; return unpack("x$hoff L", $tuple) > 2 && !is_tombstone(@_) },
		says => qr/the piece at offset \d+ is missing.*its pieces have \d+ bytes instead of \d+/s },
	run => { file => 1, wanted => sub { my ($tuple, $hoff) = @_; return unpack("x$hoff L", $tuple) == 1 }, says => qr/no run of batches has it/ },
	mark => { file => 1, wanted => sub { my ($tuple, $hoff) = @_; return unpack("x$hoff L", $tuple) == 2 },
		says => qr/there are tombstones, but no mark that there are any/ });
for my $what (sort keys %lost)
{
	$node->safe_psql('app', "CREATE TABLE lost_$what USING dbperf_columnar AS SELECT * FROM source; DELETE FROM lost_$what WHERE id = 7");
	$lost{$what}{files} = $node->safe_psql('app', qq{
		SELECT pg_relation_filepath(c.oid), pg_relation_filepath(c.reltoastrelid) FROM pg_class c WHERE c.oid = 'lost_$what'::regclass});
}
$node->stop;
for my $what (sort keys %lost)
{
	my $file = $node->data_dir . '/' . (split /\|/, $lost{$what}{files})[ $lost{$what}{file} ];
	write_at($file, (tuples(slurp_raw($file), $lost{$what}{wanted}))[0]{item}, pack 'L', 0);
}
$node->start;
for my $what (sort keys %lost)
{
	like($node->safe_psql('app', "SELECT problem FROM dbperf.verify_columnar('lost_$what')"), $lost{$what}{says},
		"verify_columnar() notices that a $what is gone");
}

$node->stop;
done_testing();
