# Ingest rules and rejects go through dumps in every format, and rejects are kept as long as
# dbperf.ingest_rejects_retention says.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('main', 'dbperf.enabled = off');
$node->safe_psql('postgres', q{
	CREATE ROLE keeper;
	CREATE ROLE app;
	CREATE DATABASE app});
install_extension($node, 'app');

my $rules = q{
	SELECT parent, name, expression, created_at FROM dbperf.ingest_rules
	ORDER BY parent::text COLLATE "C", name};
my $rejects = q{SELECT r FROM dbperf.ingest_rejects r JOIN pg_class c ON c.oid = r.parent ORDER BY reject_id};
my $setup = q{
	SELECT dbperf.create_market_schema();
	CREATE SCHEMA "Odd Schema" AUTHORIZATION keeper;
	CREATE FUNCTION "Odd Schema"."is fine"(float8) RETURNS boolean LANGUAGE sql AS 'SELECT $1 <> 13';
	CREATE TABLE "Odd Schema"."A ""quoted"" näme" ("v 'x'" float8, b int);
	ALTER TABLE "Odd Schema"."A ""quoted"" näme" OWNER TO keeper;
	SELECT dbperf.add_ingest_rule('"Odd Schema"."A ""quoted"" näme"', 'It''s fine', '"Odd Schema"."is fine"("v ''x''")');
	SELECT dbperf.add_ingest_rule('"Odd Schema"."A ""quoted"" näme"', 'b', 'b > 0');
	CREATE TABLE broken (a int, b int);
	SELECT dbperf.add_ingest_rule('broken', 'broken', 'a > 0'), dbperf.add_ingest_rule('broken', 'whole', 'b > 0');
	ALTER TABLE broken RENAME COLUMN a TO c;
	CREATE VIEW seen AS SELECT a.* FROM "Odd Schema"."A ""quoted"" näme" a;
	SELECT dbperf.add_ingest_rule('seen', 'of view', 'b < 5');
	SELECT dbperf.bulk_insert('"Odd Schema"."A ""quoted"" näme"',
		'[{"v ''x''": 13}, {"b": 1}, {"b": -1}, {"b": "x"}, {"none": 1}]', on_error => 'reject');
	CREATE TEMP TABLE temporary (a int NOT NULL);
	SELECT dbperf.bulk_insert('temporary', '[{"a": null}]', on_error => 'reject');
	CREATE TABLE gone (a int NOT NULL);
	SELECT dbperf.bulk_insert('gone', '[{"a": null}]', on_error => 'reject');
	DROP TABLE gone;
	UPDATE dbperf.ingest_rejects SET rejected_by = 'app' WHERE row_number = 1};
$node->safe_psql('app', $setup);
query_is($node, 'app', 'SELECT count(*) FROM dbperf.ingest_rules', 8, 'there are rules');
query_is($node, 'app', 'SELECT count(*), count(*) FILTER (WHERE c.oid IS NULL) FROM dbperf.ingest_rejects r LEFT JOIN pg_class c ON c.oid = r.parent',
	'5|1', 'and rejects, one of a temporary table that is no more');
my %before = map { $_ => $node->safe_psql('app', $_) } ($rules, $rejects);
my $last = $node->safe_psql('app', 'SELECT max(reject_id) FROM dbperf.ingest_rejects');

my %restore = (
	plain => sub { return [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $_[0], '-d', $_[1] ] },
	inserts => sub { return [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $_[0], '-d', $_[1] ] },
	custom => sub { return [ 'pg_restore', '-e', '-d', $_[1], $_[0] ] },
	directory => sub { return [ 'pg_restore', '-e', '-j2', '-d', $_[1], $_[0] ] },
);
my %options = (
	plain => ['-Fp'], inserts => [ '-Fp', '--column-inserts' ],
	custom => ['-Fc'], directory => [ '-Fd', '-j2' ]);

# With a temporary table in another session: its name cannot be restored.
my $other = hold($node, 'app', q{
	CREATE TEMP TABLE temporary (a int NOT NULL);
	SELECT dbperf.bulk_insert('temporary', '[{"a": null}]', on_error => 'reject');
	COMMIT});
for my $format (sort keys %restore)
{
	command_ok([ 'pg_dump', '-f', "$dir/$format", @{ $options{$format} }, $node->connstr('app') ],
		"$format: dumped");
	$node->safe_psql('postgres', "CREATE DATABASE r_$format");
	my $db = "r_$format";
	command_ok($restore{$format}->("$dir/$format", $node->connstr($db)), "$format: restored");
	query_is($node, $db, $rules, $before{$rules}, "$format: the rules arrived");
	query_is($node, $db, 'SELECT r FROM dbperf.ingest_rejects r ORDER BY reject_id', $before{$rejects}, "$format: the rejects, too");
	query_is($node, $db, q{
		SELECT inserted, rejected FROM dbperf.bulk_insert('"Odd Schema"."A ""quoted"" näme"',
			'[{"v ''x''": 13}, {"b": 1}]', on_error => 'reject')}, '1|1', "$format: rules are at work");
	query_is($node, $db, "SELECT min(reject_id) > $last, count(*) FROM dbperf.ingest_rejects WHERE reject_id > $last", 't|1',
		"$format: numbers go on");
	my ($code, $out, $err) = $node->psql($db, q{SELECT dbperf.bulk_insert('broken', '[{}]')});
	like($err, qr/ingest rule "broken" of table "broken" can no longer be checked/, "$format: what was broken is so still");
}
release($other);

# --- the time that rejects are kept
my $old = q{
	DELETE FROM dbperf.ingest_rejects;
	INSERT INTO dbperf.ingest_rejects (at, parent, rejected_by, row_number, sqlstate, reason)
		SELECT clock_timestamp() - make_interval(hours => h), 'broken', 'app', h, '23514', 'old'
		FROM unnest(ARRAY[0, 1, 3, 24000]) h};
my $left = 'SELECT string_agg(row_number::text, \' \' ORDER BY row_number) FROM dbperf.ingest_rejects';
for my $case ([ '2h', '0 1' ], [ '0', '0 1 3 24000' ], [ '30d', '0 1 3' ])
{
	$node->safe_psql('postgres', "ALTER SYSTEM SET dbperf.ingest_rejects_retention = '$case->[0]'");
	$node->reload;
	poll_ok($node, 'app', 'SHOW dbperf.ingest_rejects_retention', "retention of $case->[0]", $case->[0]);
	$node->safe_psql('app', $old);
	$node->safe_psql('app', 'CALL dbperf.maintain()');
	query_is($node, 'app', $left, $case->[1], 'is kept to');
}
# a session that is about to remove some of them holds up nobody
my $slow = hold($node, 'app', 'DELETE FROM dbperf.ingest_rejects WHERE row_number = 0');
$node->safe_psql('postgres', q{ALTER SYSTEM SET dbperf.ingest_rejects_retention = '1min'});
$node->reload;
poll_ok($node, 'app', 'SHOW dbperf.ingest_rejects_retention', 'a short retention', '1min');
$node->safe_psql('app', q{UPDATE dbperf.ingest_rejects SET at = at - interval '1 day' WHERE row_number > 0});
$node->safe_psql('app', q{SET lock_timeout = '10s'; CALL dbperf.maintain(); DROP TABLE broken});
release($slow);
query_is($node, 'app', $left, '0', 'maintenance and DROP TABLE leave alone what another is about to remove');

$node->stop;
done_testing();
