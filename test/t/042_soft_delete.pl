# Soft delete goes through dump and restore in any format, and of a table alone, and DROP EXTENSION
# leaves tables and views that go on working.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $dir = PostgreSQL::Test::Utils::tempdir();
my $node = new_node('soft', 'dbperf.enabled = off');

sub ask
{
	my ($db, $sql) = @_;
	return $node->safe_psql($db, $sql);
}

sub refused
{
	my ($db, $sql, $regexp, $name) = @_;
	my ($status, undef, $err) = $node->psql($db, $sql);
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($status != 0 && $err =~ $regexp, $name) or diag "status $status: $err";
	return;
}

# Whatever must not change, without OIDs.
my %state = (
	tables => q{SELECT parent, active, on_delete, enabled_at FROM dbperf.soft_delete_tables ORDER BY parent::text COLLATE "C"},
	log => 'SELECT * FROM dbperf.soft_delete_log ORDER BY log_id',
	views => q{SELECT c.oid::regclass, c.relowner::regrole, c.relacl, c.reloptions, pg_get_viewdef(c.oid)
		FROM pg_class c WHERE c.relkind = 'v' AND c.relnamespace IN ('public'::regnamespace, '"S s"'::regnamespace) ORDER BY c.oid::regclass::text COLLATE "C"},
	triggers => q{SELECT tgrelid::regclass, tgname, pg_get_triggerdef(oid) FROM pg_trigger
		WHERE tgname ~ 'dbperf_on' ORDER BY tgrelid::regclass::text COLLATE "C", tgname},
	indexes => q{SELECT indrelid::regclass, pg_get_expr(indpred, indrelid), indisvalid FROM pg_index
		WHERE indpred IS NOT NULL AND indrelid::regclass::text !~ 'pg_' ORDER BY indrelid::regclass::text COLLATE "C"},
	rows => q{SELECT count(*), count(deleted_at), sum(price), (SELECT count(*) FROM market_data_active),
		(SELECT string_agg(id || coalesce(deleted_by, ''), ' ' ORDER BY id) FROM "S s"."O""dd") FROM market_data});

$node->safe_psql('postgres', 'CREATE ROLE keeper; CREATE ROLE viewer; CREATE DATABASE app');
install_extension($node, 'app');
ask('app', q{
	SET client_min_messages = warning;
	SELECT dbperf.create_market_schema();
	SELECT dbperf.enable_soft_delete('market_data', 'soft');
	SELECT dbperf.enable_soft_delete('alert_logs');
	INSERT INTO instruments (symbol) VALUES ('A');
	INSERT INTO market_data ("timestamp", instrument_id, price) SELECT now() + i * interval '1 hour', 1, i FROM generate_series(1, 500) i;
	SELECT dbperf.soft_delete_market_data(ARRAY(SELECT generate_series(1, 40)), 'ann', 'dump me', batch_size => 7);
	CREATE SCHEMA "S s" AUTHORIZATION keeper;
	CREATE TABLE "S s"."O""dd" (id int PRIMARY KEY, gone int);
	ALTER TABLE "S s"."O""dd" OWNER TO keeper;
	SELECT dbperf.enable_soft_delete('"S s"."O""dd"', 'forbid');
	ALTER TABLE "S s"."O""dd" DROP COLUMN gone;
	GRANT SELECT ON "S s"."O""dd_active" TO viewer;
	INSERT INTO "S s"."O""dd" SELECT generate_series(1, 3);
	SELECT dbperf.soft_delete('"S s"."O""dd"', ARRAY[2]);
	CREATE TABLE short_lived (id int);
	SELECT dbperf.enable_soft_delete('short_lived');
	INSERT INTO short_lived VALUES (1);
	SELECT dbperf.soft_delete_range('short_lived', NULL, NULL, 'true');
	DROP TABLE short_lived});
my %before = map { $_ => ask('app', $state{$_}) } keys %state;

my %restore = (
	plain => sub { return [ 'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-f', $_[0], '-d', $_[1] ] },
	custom => sub { return [ 'pg_restore', '-e', '-d', $_[1], $_[0] ] },
	directory => sub { return [ 'pg_restore', '-e', '-j2', '-d', $_[1], $_[0] ] });
my %format = (plain => 'p', custom => 'c', directory => 'd');

for my $how (sort keys %restore)
{
	my $db = "by_$how";
	command_ok([ 'pg_dump', '-F', $format{$how}, '-f', "$dir/$how", $node->connstr('app') ], "$how: dumped");
	ask('postgres', "CREATE DATABASE $db");
	command_ok($restore{$how}->("$dir/$how", $node->connstr($db)), "$how: restored");
	is(ask($db, $state{$_}), $before{$_}, "$how: $_ arrived") for sort keys %state;

	# and all of it is at work
	ask($db, 'DELETE FROM market_data WHERE id IN (41, 42)');
	is(ask($db, q{SELECT count(*) FROM market_data WHERE deleted_at IS NOT NULL}), 42, "$how: DELETE marks");
	refused($db, 'DELETE FROM "S s"."O""dd"', qr/cannot be deleted/, "$how: DELETE is refused");
	is(ask($db, q{SELECT dbperf.restore_market_data(ARRAY[1, 2])}), 2, "$how: rows are restored");
	is(ask($db, 'SELECT max(log_id) > ' . ask('app', 'SELECT max(log_id) FROM dbperf.soft_delete_log')
			. ' FROM dbperf.soft_delete_log'), 't', "$how: the log goes on");
	ask($db, 'ALTER TABLE market_data DROP COLUMN bid, ADD COLUMN extra int');
	is(ask($db, q{SELECT string_agg(attname, ' ') FROM pg_attribute WHERE attrelid = 'market_data_active'::regclass AND attname IN ('bid', 'extra')}),
		'extra', "$how: the view follows its table");
	is(ask($db, 'SELECT count(*) FROM market_data_active'), 460, "$how: and shows what it should");
}

# --- over what is there already (partitions with primary keys are beyond pg_restore --clean)
ask('app', 'CREATE DATABASE small TEMPLATE app');
ask('small', 'DROP TABLE market_data, alert_logs');
is(ask('small', 'SELECT parent FROM dbperf.soft_delete_tables'), '"S s"."O""dd"', 'dropped tables are forgotten');
$before{small} = ask('small', $state{triggers});
command_ok([ 'pg_dump', '-Fc', '-f', "$dir/small", $node->connstr('small') ], 'clean: dumped');
command_ok([ 'pg_restore', '-e', '--clean', '--if-exists', '-d', $node->connstr('small'), "$dir/small" ], 'clean: restored');
is(ask('small', $state{triggers}), $before{small}, 'clean: triggers arrived');
refused('small', 'DELETE FROM "S s"."O""dd"', qr/cannot be deleted/, 'clean: DELETE is refused');

# --- a dump of the tables alone, into a database without the extension, lacks only the triggers
command_ok([ 'pg_dump', '-Fp', '-t', '"S s".*', '-f', "$dir/tables", $node->connstr('app') ], 'tables alone: dumped');
ask('postgres', 'CREATE DATABASE bare');
ask('bare', 'CREATE SCHEMA "S s" AUTHORIZATION keeper');
command_ok([ 'psql', '-Xq', '-f', "$dir/tables", '-d', $node->connstr('bare') ], 'tables alone: restored');
is(ask('bare', 'SELECT count(*), (SELECT count(*) FROM "S s"."O""dd_active") FROM "S s"."O""dd"'), '3|2', 'tables alone: the view works');

# --- DROP EXTENSION
refused('app', 'DROP EXTENSION tradeassist_dbperf', qr/tables have triggers of it.*HINT.*disable_soft_delete/s,
	'DROP EXTENSION is refused while triggers need it');
ask('app', q{SELECT dbperf.enable_soft_delete('market_data', 'allow')});
refused('app', 'DROP EXTENSION tradeassist_dbperf', qr/of "S s"\."O""dd"\./, 'as long as there are any');
ask('app', 'DROP EXTENSION tradeassist_dbperf CASCADE');
is(ask('app', $state{rows}), $before{rows}, 'after DROP EXTENSION, all rows are there, and the views show what they did');
is(ask('app', $state{triggers}), '', 'and no trigger');
ask('app', q{
	DELETE FROM "S s"."O""dd" WHERE id = 1;
	UPDATE "S s"."O""dd_active" SET deleted_at = now() WHERE id = 3;
	INSERT INTO market_data_active ("timestamp", instrument_id, price) VALUES (now(), 1, 1);
	ALTER TABLE market_data ADD COLUMN extra int});
is(ask('app', 'SELECT id, deleted_by IS NULL FROM "S s"."O""dd" ORDER BY id'), "2|f\n3|t", 'the tables go on as ordinary ones');

install_extension($node, 'app');
is(ask('app', 'SELECT count(*) FROM dbperf.soft_delete_tables'), 0, 'CREATE EXTENSION begins anew');
is(ask('app', q{SELECT dbperf.enable_soft_delete('market_data', 'forbid')}), 'market_data_active', 'the view that was left is taken up');
is(ask('app', q{SELECT count(*) FROM pg_attribute WHERE attrelid = 'market_data_active'::regclass AND attname = 'extra'}), 1,
	'and brought in line');
ask('app', q{SELECT dbperf.disable_soft_delete('market_data')});
ask('app', 'DROP EXTENSION tradeassist_dbperf');
ask('app', 'DROP TABLE market_data');

# --- a server without preloaded library: everything is there all the same
$node->append_conf('postgresql.conf', "shared_preload_libraries = ''");
$node->restart;
ask('app', q{
	SET client_min_messages = warning;
	CREATE EXTENSION tradeassist_dbperf;
	CREATE TABLE plain (id int PRIMARY KEY, v int);
	SELECT dbperf.enable_soft_delete('plain', 'soft');
	INSERT INTO plain SELECT generate_series(1, 5)});
is(ask('app', 'SELECT dbperf.soft_delete(\'plain\', ARRAY[1, 2])'), 2, 'not preloaded: rows are deleted');
ask('app', 'DELETE FROM plain WHERE id = 3; ALTER TABLE plain DROP COLUMN v');
is(ask('app', 'SELECT * FROM plain_active'), "4||\n5||", 'not preloaded: DELETE marks, the view follows');

# --- a backend that is killed in the middle leaves nothing half done
ask('app', 'CREATE TABLE many (id int PRIMARY KEY); INSERT INTO many SELECT generate_series(1, 2000)');
ask('app', q{SELECT dbperf.enable_soft_delete('many')});
refused('app', q{
	CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF NEW.id = 1500 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER stop BEFORE UPDATE ON many FOR EACH ROW EXECUTE FUNCTION stop();
	SELECT dbperf.soft_delete('many', ARRAY(SELECT generate_series(1, 2000)))}, qr/terminating connection/, 'killed after 1499 rows');
is(ask('app', 'SELECT count(*) FROM many WHERE deleted_at IS NOT NULL'), 0, 'no row is deleted');
is(ask('app', q{SELECT count(*) FROM dbperf.soft_delete_log WHERE parent = 'public.many'}), 0, 'and none logged');

$node->stop;
done_testing();
