# DROP EXTENSION loses no row and leaves ordinary tables, CREATE EXTENSION takes them up again; what
# is dropped is forgotten, what is renamed or moved is followed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('drop');
$node->safe_psql('postgres', 'CREATE DATABASE app');
install_extension($node, 'app');
$node->safe_psql('app', q{
	SELECT dbperf.create_market_schema();
	INSERT INTO instruments (symbol) VALUES ('A'), ('B');
	INSERT INTO market_data ("timestamp", instrument_id, price)
		SELECT now() + i * interval '2 hours', 1 + i % 2, i FROM generate_series(1, 600) i;
	CREATE TABLE defaulted (at timestamptz, v int) PARTITION BY RANGE (at);
	CREATE TABLE defaulted_default PARTITION OF defaulted DEFAULT;
	INSERT INTO defaulted VALUES ('1980-01-01', 1), ('2300-01-01', 2);
	SELECT dbperf.manage('defaulted', '1 day')});

my $tables = q{
	SELECT c.oid, c.oid::regclass, c.relowner, c.relfilenode, pg_get_expr(c.relpartbound, c.oid)
	FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ORDER BY c.oid};
my $rows = q{
	SELECT count(*), sum(price), (SELECT count(*) FROM defaulted), (SELECT count(*) FROM instruments) FROM market_data};
my %before = map { $_ => $node->safe_psql('app', $_) } ($tables, $rows);

# --- what belongs to the extension, and what does not
is($node->safe_psql('app', q{
		SELECT count(*) FROM pg_depend d WHERE refclassid = 'pg_extension'::regclass
		AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tradeassist_dbperf')
		AND classid = 'pg_class'::regclass
		AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)}),
	0, 'no table of the user is a member of the extension');
my (undef, undef, $err) = $node->psql('app', 'DROP TABLE dbperf.policy');
like($err, qr/because extension tradeassist_dbperf requires it/, 'its own tables cannot be dropped alone');
($err) = ($node->psql('app', 'ALTER EXTENSION tradeassist_dbperf SET SCHEMA public'))[2];
like($err, qr/does not support SET SCHEMA/, 'it stays in its schema');
($err) = ($node->psql('app', "ALTER EXTENSION tradeassist_dbperf UPDATE TO '99.0'"))[2];
like($err, qr/has no update path/, 'there is no way to a version that does not exist');
is(($node->psql('app', 'ALTER EXTENSION tradeassist_dbperf UPDATE'))[0], 0, 'an update to the same version is nothing');

# --- DROP EXTENSION, with and without CASCADE, rolled back and for good
for my $how ('', ' CASCADE')
{
	$node->safe_psql('app', "BEGIN; DROP EXTENSION tradeassist_dbperf$how; ROLLBACK");
	is($node->safe_psql('app', 'SELECT count(*) FROM dbperf.policy'), 3, "DROP EXTENSION$how, rolled back: all is there");
	ok(wake_and_wait($node, 'app'), "DROP EXTENSION$how, rolled back: the worker, too");
	%before = map { $_ => $node->safe_psql('app', $_) } ($tables, $rows);

	$node->safe_psql('app', "DROP EXTENSION tradeassist_dbperf$how");
	is($node->safe_psql('app', $tables), $before{$tables}, "DROP EXTENSION$how: every table stays as it is");
	is($node->safe_psql('app', $rows), $before{$rows}, "DROP EXTENSION$how: every row is there");
	is($node->safe_psql('app', q{
			SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'dbperf'),
				(SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_proc WHERE prosrc ~ 'dbperf')}),
		'0|0|0', "DROP EXTENSION$how: nothing of the extension stays");
	$node->safe_psql('app', q{
		INSERT INTO market_data ("timestamp", instrument_id, price) VALUES (now(), 1, -1);
		DELETE FROM market_data WHERE price = -1;
		CREATE TABLE own PARTITION OF market_data FOR VALUES FROM ('2200-01-01') TO ('2200-02-01');
		DROP TABLE own;
		ALTER TABLE market_data ADD COLUMN extra int;
		ALTER TABLE market_data DROP COLUMN extra});

	install_extension($node, 'app');
	is($node->safe_psql('app', q{SELECT count(*) FROM dbperf.policy}), 0, "CREATE EXTENSION$how: it begins empty");
	is(audit_is_ok($node, 'app'), 'ok', "CREATE EXTENSION$how: with an empty audit trail");
	$node->safe_psql('app', q{
		SELECT dbperf.manage('market_data'); SELECT dbperf.manage('alert_logs'); SELECT dbperf.manage('defaulted')});
	is($node->safe_psql('app', $tables), $before{$tables}, "CREATE EXTENSION$how: the partitions are taken up as they are");
	is($node->safe_psql('app', q{
			SELECT string_agg(format('%s %s %s', parent, partition_interval, premake), ', ' ORDER BY parent::text COLLATE "C")
			FROM dbperf.policy}),
		'alert_logs 3 mons 1, defaulted 1 day 2, market_data 1 mon 2', "CREATE EXTENSION$how: and carried on as they were");
	is($node->safe_psql('app', q{
			SELECT count(*) FROM dbperf.partition_health
			WHERE status <> 'ok' AND parent <> 'defaulted'::regclass OR off_grid > 0 OR missing > 0}),
		0, "CREATE EXTENSION$how: all in order");
}

# --- what goes is forgotten
sub policies
{
	return $node->safe_psql('app', q{
		SELECT coalesce(string_agg(coalesce(to_regclass(parent::text)::text, 'LOST'), ' ' ORDER BY parent), '')
		FROM dbperf.policy WHERE parent::text NOT IN ('market_data', 'alert_logs', 'defaulted')});
}
my $table = '(at timestamptz) PARTITION BY RANGE (at)';
$node->safe_psql('app', qq{
	CREATE ROLE leaver;
	CREATE SCHEMA s1; CREATE SCHEMA s2; CREATE SCHEMA s3 AUTHORIZATION leaver;
	CREATE TYPE s2.of_type AS (at timestamptz);
	CREATE TABLE s1.a $table; CREATE TABLE s1.b $table; CREATE TABLE s2.c $table;
	CREATE TABLE s2.d OF s2.of_type PARTITION BY RANGE (at);
	CREATE TABLE s3.e $table;
	ALTER TABLE s3.e OWNER TO leaver});
$node->safe_psql('app', "SELECT dbperf.manage('$_', '1 day')") for ('s1.a', 's1.b', 's2.c', 's2.d', 's3.e');
is(policies(), 's1.a s1.b s2.c s2.d s3.e', 'five are managed');
$node->safe_psql('app', 'DROP TABLE s1.a');
is(policies(), 's1.b s2.c s2.d s3.e', 'DROP TABLE');
$node->safe_psql('app', 'BEGIN; DROP TABLE s1.b; ROLLBACK');
is(policies(), 's1.b s2.c s2.d s3.e', 'DROP TABLE, rolled back');
$node->safe_psql('app', 'DROP TYPE s2.of_type CASCADE');
is(policies(), 's1.b s2.c s3.e', 'DROP TYPE CASCADE');
$node->safe_psql('app', 'DROP SCHEMA s2 CASCADE');
is(policies(), 's1.b s3.e', 'DROP SCHEMA CASCADE');
$node->safe_psql('app', 'DROP OWNED BY leaver');
is(policies(), 's1.b', 'DROP OWNED');
$node->safe_psql('app', 'DROP ROLE leaver');
is($node->safe_psql('app', q{SELECT count(*) FROM dbperf.policy_state s
		WHERE NOT EXISTS (SELECT FROM dbperf.policy p WHERE p.parent = s.parent)}), 0, 'with all that was known of them');
is($node->safe_psql('app', "SELECT count(*) FROM dbperf.partition_events WHERE action = 'unmanage'"), 4,
	'the audit trail says so');
is($node->safe_psql('app', q{SELECT count(*) FROM dbperf.partition_events WHERE parent ~ '^\d+$'}), 0,
	'and by name');

# somebody who has no rights on the extension drops a table
$node->safe_psql('app', qq{
	CREATE ROLE owner LOGIN; CREATE SCHEMA owned AUTHORIZATION owner;
	CREATE TABLE owned.t $table; ALTER TABLE owned.t OWNER TO owner; SELECT dbperf.manage('owned.t', '1 day')});
is((execute_as($node, 'app', 'owner', 'DROP TABLE owned.t'))[0], 0, 'an owner without rights on the extension can drop');
is(policies(), 's1.b', 'and it is forgotten, too');

# a partition that is dropped is no parent; it is made again
$node->safe_psql('app', 'DROP TABLE ' . $node->safe_psql('app', q{
	SELECT partition FROM dbperf.partitions WHERE parent = 's1.b'::regclass ORDER BY lower_bound DESC LIMIT 1}));
is($node->safe_psql('app', q{SELECT missing FROM dbperf.partition_health WHERE parent = 's1.b'::regclass}), 1,
	'a dropped partition is missed');
$node->safe_psql('app', "CALL dbperf.maintain('s1.b')");
is($node->safe_psql('app', q{SELECT missing FROM dbperf.partition_health WHERE parent = 's1.b'::regclass}), 0,
	'and made again');

# --- what is renamed or moved is followed
my $on = sub {
	my ($name, $parent) = @_;
	$node->safe_psql('app', "SELECT dbperf.alter_policy('$parent', premake => premake + 1) FROM dbperf.policy WHERE parent = '$parent'::regclass");
	ok(wake_and_wait($node, 'app'), "$name: the worker has been there");
	is($node->safe_psql('app', qq{
			SELECT status, missing, (SELECT bool_and(c.relnamespace = p.relnamespace AND c.relowner = p.relowner)
				FROM dbperf.partition_events e JOIN pg_class c ON c.oid = to_regclass(e.partition)
				JOIN pg_class p ON p.oid = h.parent WHERE e.action = 'create'
				AND e.event_id = (SELECT max(event_id) FROM dbperf.partition_events WHERE action = 'create'))
			FROM dbperf.partition_health h WHERE parent = '$parent'::regclass}),
		'ok|0|t', "$name: followed");
};
$node->safe_psql('app', 'ALTER TABLE s1.b RENAME TO "B 2"');
is(policies(), 's1."B 2"', 'ALTER TABLE RENAME');
$on->('ALTER TABLE RENAME', 's1."B 2"');
$node->safe_psql('app', 'CREATE SCHEMA s4; ALTER TABLE s1."B 2" SET SCHEMA s4');
$on->('SET SCHEMA', 's4."B 2"');
$node->safe_psql('app', 'ALTER SCHEMA s4 RENAME TO "S 5"');
$on->('ALTER SCHEMA RENAME', '"S 5"."B 2"');
$node->safe_psql('app', 'GRANT ALL ON SCHEMA "S 5" TO owner; ALTER TABLE "S 5"."B 2" OWNER TO owner');
$on->('OWNER TO', '"S 5"."B 2"');
$node->safe_psql('app', 'ALTER TABLE "S 5"."B 2" RENAME COLUMN at TO "the time"');
$on->('RENAME COLUMN', '"S 5"."B 2"');
is(audit_is_ok($node, 'app'), 'ok', 'the audit trail is whole');

# a view or a function of the user's that needs ours is named before it is lost
$node->safe_psql('app', 'CREATE VIEW own_health AS SELECT * FROM dbperf.partition_health');
($err) = ($node->psql('app', 'DROP EXTENSION tradeassist_dbperf'))[2];
like($err, qr/view own_health depends on view dbperf\.partition_health/, 'DROP EXTENSION says what needs it');
$node->safe_psql('app', 'DROP EXTENSION tradeassist_dbperf CASCADE');
is($node->safe_psql('app', $rows), $before{$rows}, 'CASCADE takes the view, and still no row');

# --- pg_upgrade
my ($major) = $node->safe_psql('postgres', 'SHOW server_version_num') =~ /^(\d\d)/;
my ($newer) = grep { -x "/usr/lib/postgresql/$_/bin/pg_upgrade" && -e "/usr/lib/postgresql/$_/lib/tradeassist_dbperf.so" }
  ($major + 1 .. $major + 5);
SKIP:
{
	skip 'pg_upgrade needs a second server version with this extension, and there is none', 5
	  unless defined $newer;

	install_extension($node, 'app');
	$node->safe_psql('app', q{
		SELECT dbperf.manage('market_data'); SELECT dbperf.manage('alert_logs'); SELECT dbperf.manage('defaulted')});
	my $policies = $node->safe_psql('app', 'SELECT to_jsonb(p) FROM dbperf.policy p ORDER BY parent');
	$node->stop;
	my $new = PostgreSQL::Test::Cluster->new('newer', install_path => "/usr/lib/postgresql/$newer");
	# on by default since 18; both sides must agree
	$new->init(extra => $newer >= 18 ? ['--no-data-checksums'] : []);
	$new->append_conf('postgresql.conf', "shared_preload_libraries = 'tradeassist_dbperf'");
	my ($dir) = PostgreSQL::Test::Utils::tempdir();
	chdir $dir;
	command_ok([ "/usr/lib/postgresql/$newer/bin/pg_upgrade", '--no-sync', '-d', $node->data_dir, '-D', $new->data_dir,
			'-b', $node->config_data('--bindir'), '-B', "/usr/lib/postgresql/$newer/bin",
			'-s', $new->host, '-p', $node->port, '-P', $new->port ], 'pg_upgrade');
	$new->start;
	is($new->safe_psql('app', 'SELECT to_jsonb(p) FROM dbperf.policy p ORDER BY parent'), $policies, 'the policies arrived');
	is($new->safe_psql('app', $rows), $before{$rows}, 'the rows, too');
	is(audit_is_ok($new, 'app'), 'ok', 'the audit trail is whole');
	ok(wake_and_wait($new, 'app'), 'the worker carries on');
	$new->stop;
}

$node->stop unless defined $newer;
done_testing();
