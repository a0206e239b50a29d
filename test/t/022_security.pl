# Hostile owners of tables and databases: nothing of theirs ever runs as a superuser, one of them
# does not stop the maintenance of the others, and PUBLIC can do nothing.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use DbperfSessions;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('security', 'log_min_messages = log');
my $superuser = $node->safe_psql('postgres', 'SELECT current_user');

# The questions of this test itself are not to fall into the traps on the search path.
sub safely
{
	my ($code) = @_;
	local $ENV{PGOPTIONS} = '-c search_path=pg_catalog';
	return $code->();
}

sub ask
{
	my ($sql, $db) = @_;
	return safely(sub { $node->safe_psql($db // 'app', $sql) });
}

sub refused
{
	my ($role, $sql, $regexp, $name) = @_;
	my ($status, undef, $err) = safely(sub { execute_as($node, 'app', $role, $sql) });
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok($status != 0 && $err =~ $regexp, $name) or diag "status $status: $err";
	return;
}

# --- what the owner of a database can prepare before CREATE EXTENSION
$node->safe_psql('postgres', q{
	CREATE ROLE mallory LOGIN;
	CREATE ROLE ghost NOLOGIN;
	GRANT ghost TO mallory;
	CREATE ROLE nobody LOGIN;
	CREATE ROLE monitor LOGIN IN ROLE pg_monitor;
	CREATE ROLE alice LOGIN;
	CREATE ROLE bob LOGIN});
$node->safe_psql('postgres', 'CREATE DATABASE app OWNER mallory');
$node->safe_psql('postgres', 'CREATE DATABASE squatted OWNER mallory');
$node->safe_psql('postgres', 'GRANT CREATE ON DATABASE app TO ghost');

$node->safe_psql('squatted', q{
	CREATE SCHEMA dbperf;
	CREATE FUNCTION dbperf.wake() RETURNS boolean LANGUAGE sql AS 'SELECT true'},
	extra_params => [ '-U', 'mallory' ]);
my ($status, $out, $err) = $node->psql('squatted', 'CREATE EXTENSION tradeassist_dbperf');
like($err, qr/schema "dbperf" already exists/, 'a schema that was there before is refused');
like($err, qr/HINT: .*Rename or drop/, 'with a hint');

# evil.note() tells the server log who it runs as, and tries to profit from it.
safely(sub { execute_as($node, 'app', 'mallory', q{
	CREATE SCHEMA evil;
	GRANT ALL ON SCHEMA evil TO PUBLIC;
	CREATE TABLE evil.switch (spoil text);
	GRANT ALL ON evil.switch TO PUBLIC;
	CREATE FUNCTION evil.try(label text, command text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		EXECUTE command;
		RAISE LOG 'EVIL SUCCEEDED in % as %: %', label, current_user, command;
	EXCEPTION WHEN OTHERS THEN NULL;
	END $$;
	CREATE FUNCTION evil.deferred() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		RAISE LOG 'EVIL runs deferred as %.', current_user;
		PERFORM evil.try('deferred', 'ALTER ROLE mallory SUPERUSER');
		RETURN NULL;
	END $$;
	CREATE TABLE evil.trap (x int);
	GRANT ALL ON evil.trap TO PUBLIC;
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON evil.trap DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION evil.deferred();
	CREATE FUNCTION evil.note(label text) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		command text;
	BEGIN
		RAISE LOG 'EVIL runs % as %.', label, current_user;
		IF session_user <> 'BOSS' THEN
			RETURN;		-- in a session of one's own there is nothing to gain
		END IF;
		FOREACH command IN ARRAY ARRAY[
			'ALTER ROLE mallory SUPERUSER', 'SET ROLE BOSS', 'RESET ROLE', 'SET ROLE NONE',
			'SET SESSION AUTHORIZATION DEFAULT', 'RESET SESSION AUTHORIZATION',
			'UPDATE dbperf.policy SET enabled = false', 'DELETE FROM dbperf.policy_state',
			'INSERT INTO dbperf.partition_events (source, action) VALUES (''manual'', ''forged'')',
			'INSERT INTO evil.trap VALUES (1)', 'CREATE TEMP TABLE pg_class (oid oid)',
			'GRANT ALL ON SCHEMA dbperf TO mallory', 'COPY (SELECT 1) TO PROGRAM ''true''']
		LOOP
			PERFORM evil.try(label, command);
		END LOOP;
		-- what outlives this function would bend the statements that follow
		PERFORM set_config('search_path', 'evil, public, pg_catalog', false);
		PERFORM set_config('row_security', 'off', false);
		PERFORM set_config('default_tablespace', 'nowhere', false);
	EXCEPTION WHEN OTHERS THEN NULL;
	END $$} =~ s/BOSS/$superuser/gr) });

# Traps: operators and functions of pg_catalog under the same names and with the same arguments, in
# a schema that comes first for everybody, the worker and superusers included.
safely(sub { execute_as($node, 'app', 'mallory', q{
	DO $do$
	DECLARE
		o record;
		n int := 0;
	BEGIN
		FOR o IN SELECT oprname, oprleft::regtype AS l, oprright::regtype AS r, oprresult::regtype AS res,
				oprcode::oid::regproc AS code
			FROM pg_operator WHERE oprkind = 'b' AND oprcode <> 0
			AND oprleft = ANY (ARRAY['text', 'name', 'oid', 'int4', 'int8', 'timestamptz', 'timestamp',
				'interval', 'bytea', 'bool', 'jsonb', 'char', 'float8']::regtype[])
			AND oprright = ANY (ARRAY['text', 'name', 'oid', 'int4', 'int8', 'timestamptz', 'timestamp',
				'interval', 'bytea', 'bool', 'jsonb', 'char', 'float8']::regtype[])
		LOOP
			n := n + 1;
			EXECUTE format($f$CREATE FUNCTION evil.op_%s(%s, %s) RETURNS %s LANGUAGE plpgsql AS
				$$BEGIN PERFORM evil.note('operator'); RETURN $1 OPERATOR(pg_catalog.%s) $2; END$$ $f$,
				n, o.l, o.r, o.res, o.oprname);
			EXECUTE format('CREATE OPERATOR evil.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = evil.op_%s)',
				o.oprname, o.l, o.r, n);
		END LOOP;
		FOR o IN SELECT p.oid, p.proname, p.prorettype::regtype AS res, p.pronargs,
				pg_get_function_identity_arguments(p.oid) AS args
			FROM pg_proc p WHERE pronamespace = 'pg_catalog'::regnamespace AND NOT proretset AND provariadic = 0
			AND proname IN ('quote_ident', 'now', 'clock_timestamp', 'to_regclass', 'pg_has_role', 'upper', 'lower',
				'age', 'date_trunc', 'pg_get_userbyid', 'pg_backend_pid', 'convert_to', 'round', 'isfinite')
		LOOP
			EXECUTE format($f$CREATE FUNCTION evil.%I(%s) RETURNS %s LANGUAGE plpgsql AS
				$$BEGIN PERFORM evil.note('function'); RETURN pg_catalog.%I(%s); END$$ $f$,
				o.proname, o.args, o.res, o.proname,
				(SELECT string_agg('$' || i, ', ') FROM generate_series(1, o.pronargs) i));
		END LOOP;
	END $do$;
	ALTER DATABASE app SET search_path = evil, public, pg_catalog}) });
is(ask('SELECT count(*) > 100 FROM pg_operator WHERE oprnamespace = \'evil\'::regnamespace'), 't',
	'the traps are set');

$node->safe_psql('app', 'CREATE EXTENSION tradeassist_dbperf');

# --- hostile tables
my $hostile = q{
	CREATE SCHEMA OWNER;
	SET search_path = OWNER;
	CREATE FUNCTION f(x int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
		$$BEGIN PERFORM evil.note('immutable'); RETURN x; END$$;
	CREATE FUNCTION v() RETURNS int LANGUAGE plpgsql AS
		$$BEGIN PERFORM evil.note('volatile'); RETURN 1; END$$;
	CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS
		$$BEGIN PERFORM evil.note('trigger'); RETURN NEW; END$$;
	CREATE DOMAIN d AS int DEFAULT OWNER.f(1) CHECK (OWNER.f(value) = value AND OWNER.f(1) = 1);
	CREATE TABLE other (id int PRIMARY KEY CHECK (OWNER.f(1) = 1));
	INSERT INTO other VALUES (1);
	CREATE TABLE t (id bigint, at timestamptz NOT NULL, o int REFERENCES other, dom d,
		a int DEFAULT OWNER.v(), g int GENERATED ALWAYS AS (OWNER.f(o)) STORED,
		CONSTRAINT c1 CHECK (OWNER.f(1) = 1), CONSTRAINT c2 CHECK (OWNER.f(o) = o OR OWNER.f(2) = 2),
		PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE INDEX ON t (OWNER.f(o)) WHERE OWNER.f(1) = 1;
	CREATE INDEX ON t ((OWNER.f(1) + o));
	CREATE STATISTICS s ON (OWNER.f(o)), a FROM t;
	CREATE TRIGGER row_before BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION OWNER.t();
	CREATE CONSTRAINT TRIGGER row_deferred AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION OWNER.t();
	ALTER TABLE t ENABLE ROW LEVEL SECURITY;
	ALTER TABLE t FORCE ROW LEVEL SECURITY;
	CREATE POLICY p ON t USING (OWNER.f(1) = 1) WITH CHECK (OWNER.v() = 1);
	CREATE TABLE t_default PARTITION OF t DEFAULT;
	INSERT INTO t (id, at, o, dom) VALUES (1, '1999-01-01', 1, 1);
	CREATE TABLE numbers (id bigint CHECK (OWNER.f(1) = 1), o int DEFAULT OWNER.v()) PARTITION BY RANGE (id);
	CREATE INDEX ON numbers (OWNER.f(o))};
for my $schema ('mallory', 'ghost')
{
	($status, undef, $err) = safely(sub {
		execute_as($node, 'app', 'mallory',
			"SET ROLE $schema; " . ($hostile =~ s/OWNER/$schema/gr)) });
	is($status, 0, "tables of $schema") or diag $err;
}

# by hand: the superuser does not look at the search path before calling
my $since = -s $node->logfile;
for my $schema ('mallory', 'ghost')
{
	$node->safe_psql('app', "SELECT dbperf.manage('$schema.t', '1 month', premake => 3)");
	$node->safe_psql('app', "SELECT dbperf.manage('$schema.numbers', 1000)");
	is(ask("SELECT count(*) FROM pg_inherits WHERE inhparent = '$schema.t'::regclass"), 5,
		"$schema: partitions by manage()");
	$node->safe_psql('app', "SELECT dbperf.alter_policy('$schema.t', premake => 5)");
	$node->safe_psql('app', "SELECT dbperf.run_maintenance('$schema.t')");
	$node->safe_psql('app', "SELECT dbperf.create_partition('$schema.t', '2020-05-05'::timestamptz)");
	$node->safe_psql('app', "SELECT dbperf.create_partitions('$schema.t', '2020-07-05', '2020-09-01')");
	$node->safe_psql('app', "CALL dbperf.backfill('$schema.t', '2021-07-05', '2021-09-01')");
	$node->safe_psql('app', "SELECT dbperf.alter_policy('$schema.t', premake => 7)");
	$node->safe_psql('app', 'CALL dbperf.maintain()');
	$node->safe_psql('app', "SELECT dbperf.fill_gaps('$schema.numbers')");
	is(ask("SELECT count(*) FROM pg_inherits WHERE inhparent = '$schema.t'::regclass"), 14,
		"$schema: partitions by every way");
	is(ask(qq{SELECT DISTINCT relowner::regrole FROM pg_class WHERE relnamespace = '$schema'::regnamespace}),
		$schema, "$schema: they are the owner's");
}
$node->safe_psql('app', $_) for (
	'TABLE dbperf.partitions', 'TABLE dbperf.partition_health', 'TABLE dbperf.partition_metrics',
	'TABLE dbperf.worker_status', 'TABLE dbperf.partition_events', 'TABLE dbperf.job_runs',
	'SELECT dbperf.verify_audit()', "SELECT dbperf.partition_gaps('mallory.t')", 'SELECT dbperf.wake()',
	"SELECT dbperf.create_market_schema('market')", "SELECT dbperf.unmanage('market.alert_logs')",
	"SELECT dbperf.create_market_data_partition('2020-02-02')");

# by the worker
ask(q{DO $$
	BEGIN
		EXECUTE format('ALTER DATABASE app SET dbperf.now_override = %L', now() + interval '1 year');
	END $$});
safely(sub { ok(wake_and_wait($node, 'app'), 'the worker has come') });
is(ask("SELECT status, failures FROM dbperf.job_runs WHERE job = 'maintenance' ORDER BY run_id DESC LIMIT 1"), 'ok|0', 'and met no error');
for my $schema ('mallory', 'ghost')
{
	is(ask(qq{SELECT missing, last_error IS NULL FROM dbperf.partition_health WHERE parent = '$schema.t'::regclass}),
		'0|t', "$schema: partitions by the worker");
}
is(ask(q{SELECT count(*) FROM dbperf.partition_events WHERE source = 'worker' AND action = 'create'}) >= 12, 1,
	'the worker made them');

ask('ALTER DATABASE app RESET dbperf.now_override');

# --- who it all ran as
my $log = substr(slurp_file($node->logfile), $since);
my @ran = $log =~ /EVIL runs (\w+ as \w+)\./g;
my %ran = map { $_ => 1 } @ran;
ok($ran{'immutable as mallory'} && $ran{'immutable as ghost'}, 'functions of the owners did run, as the owners');
is(join(', ', grep { / as $superuser/ } sort keys %ran), '', 'and none as a superuser');
my @gains = $log =~ /(EVIL SUCCEEDED in .*)/g;
is(join("\n", @gains), '', 'there was nothing to gain');
is(ask("SELECT count(*) FROM pg_roles WHERE rolsuper AND rolname IN ('mallory', 'ghost')"), 0, 'no new superuser');
is(ask("SELECT count(*) FROM dbperf.policy WHERE NOT enabled"), 0, 'no policy was touched');
is(ask("SELECT count(*) FROM dbperf.partition_events WHERE action = 'forged'"), 0, 'no event was forged');
is(safely(sub { audit_is_ok($node, 'app') }), 'ok', 'the audit trail is whole');

# --- PUBLIC can do nothing: every function and every table
my $calls = ask(q{
	SELECT string_agg(format('%s dbperf.%I(%s);', CASE prokind WHEN 'p' THEN 'CALL' ELSE 'SELECT' END, proname,
		(SELECT string_agg(format('NULL::%s', CASE WHEN t = '"any"'::regtype THEN 'integer[]'
				WHEN t IN ('anyarray'::regtype, 'anycompatiblearray'::regtype) THEN 'integer[]'
				WHEN t = 'anyelement'::regtype THEN 'integer' ELSE format_type(t, NULL) END), ', ' ORDER BY i)
		 FROM unnest(proargtypes) WITH ORDINALITY AS a (t, i))), E'\n')
	FROM pg_proc WHERE pronamespace = 'dbperf'::regnamespace AND 'internal'::regtype <> ALL (proargtypes)});
my $accesses = ask(q{
	SELECT string_agg(format(s, relname), E'\n') FROM pg_class,
		unnest(CASE WHEN relkind = 'S' THEN ARRAY['SELECT nextval(''dbperf.%I'');', 'SELECT setval(''dbperf.%I'', 1);',
				'TABLE dbperf.%I;']
			ELSE ARRAY['TABLE dbperf.%I;', 'INSERT INTO dbperf.%I DEFAULT VALUES;', 'DELETE FROM dbperf.%I;'] ||
				CASE WHEN relkind = 'r' THEN ARRAY['TRUNCATE dbperf.%I;', 'LOCK TABLE dbperf.%I;',
					'CREATE TRIGGER x BEFORE INSERT ON dbperf.%I FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();',
					'ALTER TABLE dbperf.%I DISABLE TRIGGER ALL;', 'DROP TABLE dbperf.%I;'] ELSE '{}' END END) s
	WHERE relnamespace = 'dbperf'::regnamespace AND relkind IN ('r', 'v', 'S')});

sub all_refused
{
	my ($role, $sql, $name) = @_;
	my @statements = split /\n/, $sql;
	my @errors;
	my (undef, $stdout, $stderr) = safely(sub {
		$node->psql('app', join("\n", map { "BEGIN;\n$_\nROLLBACK;" } @statements),
			on_error_stop => 0, extra_params => [ '-U', $role ]) });
	my @denied = $stderr =~ /(ERROR:  (?:permission denied|must be owner|cannot (?:insert into|delete from) view) .*)/g;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	ok(@statements > 10, "$name: there is something to try");
	is(scalar @denied, scalar @statements, "$name: each of " . @statements . ' statements is refused')
	  or diag join("\n", "$stdout", $stderr);
	return;
}
all_refused('nobody', $calls, 'functions');
all_refused('nobody', $accesses, 'tables');
ask('GRANT USAGE ON SCHEMA dbperf TO nobody');
all_refused('nobody', $calls, 'functions, with USAGE on the schema');
# who may read this one table sees only rows that are his
(my $refusable = $accesses) =~ s/^TABLE dbperf\.ingest_rejects;\n//m;
all_refused('nobody', $refusable, 'tables, with USAGE on the schema');
ask(q{INSERT INTO dbperf.ingest_rejects (parent, rejected_by, row_number, sqlstate, reason)
	SELECT parent, current_user, 1, '23514', 'a secret' FROM dbperf.policy LIMIT 1});
is(ask('SELECT count(*) FROM dbperf.ingest_rejects'), 1, 'there is a rejected row');
for my $role (qw(nobody monitor))
{
	my (undef, $rows) = safely(sub { $node->psql('app', 'SELECT count(*) FROM dbperf.ingest_rejects', extra_params => [ '-U', $role ]) });
	is($rows, 0, "$role does not see it");
}
refused('nobody', 'CREATE TABLE dbperf.x ()', qr/permission denied for schema/, 'nothing can be planted there');
refused('nobody', "SET dbperf.now_override = '2020-01-01'", qr/permission denied/, 'nor can the clock be set');
refused('mallory', 'DROP EXTENSION tradeassist_dbperf', qr/must be owner/, 'the owner of the database does not own it');
refused('mallory', 'DROP SCHEMA dbperf CASCADE', qr/must be owner/, 'nor the schema');

# --- members of pg_monitor read everything and change nothing
my $reads = ask(q{SELECT string_agg(format('SELECT count(*) FROM dbperf.%I;', relname), ' ') FROM pg_class
	WHERE relnamespace = 'dbperf'::regnamespace AND relkind IN ('r', 'v')});
($status, undef, $err) = safely(sub { execute_as($node, 'app', 'monitor', "$reads SELECT dbperf.verify_audit()") });
is($status, 0, 'pg_monitor reads all tables and views') or diag $err;
all_refused('monitor', join("\n", grep { !/^TABLE dbperf\.(?!.*seq)/ && !/LOCK TABLE/ && !/seq/ } split(/\n/, $accesses)),
	'pg_monitor, changes');
refused('monitor', $_, qr/permission denied/, "pg_monitor: $_") for (
	'CALL dbperf.maintain()', 'SELECT dbperf.run_maintenance()', 'SELECT dbperf.wake()',
	"SELECT dbperf.manage('mallory.t')");

# --- administrators as in the README: their own tables, and no others
ask(qq{
	GRANT USAGE ON SCHEMA dbperf TO alice, bob;
	GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO alice, bob;
	GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO alice, bob;
	GRANT INSERT, UPDATE, DELETE ON dbperf.policy TO alice, bob;
	CREATE SCHEMA alice AUTHORIZATION alice;
	CREATE SCHEMA bob AUTHORIZATION bob;
	GRANT USAGE ON SCHEMA bob TO alice});
for my $role ('alice', 'bob')
{
	($status, undef, $err) = safely(sub { execute_as($node, 'app', $role, qq{
		SELECT dbperf.create_market_schema('$role');
		CREATE TABLE $role.t (at timestamptz) PARTITION BY RANGE (at);
		SELECT dbperf.manage('$role.t', '1 day');
		SELECT dbperf.alter_policy('$role.t', premake => 3);
		SELECT dbperf.run_maintenance('$role.t');
		CALL dbperf.maintain('$role.t');
		CALL dbperf.maintain();
		CALL dbperf.backfill('$role.t', '2020-01-01', '2020-01-04');
		SELECT dbperf.create_partition('$role.t', '2020-01-09');
		SELECT dbperf.create_partitions('$role.t', '2020-01-05', '2020-01-06');
		SELECT dbperf.fill_gaps('$role.market_data');
		UPDATE dbperf.policy SET run_order = 5 WHERE parent = '$role.t'::regclass;
		SELECT dbperf.wake();
		SELECT dbperf.unmanage('$role.alert_logs')}) });
	is($status, 0, "$role manages tables of $role") or diag $err;
	is(ask("SELECT count(*) FROM dbperf.partitions WHERE parent = '$role.t'::regclass"), 9, "$role: with success");
}
is(ask("SELECT DISTINCT actor FROM dbperf.partition_events WHERE parent = 'alice.t'"), 'alice',
	'the audit trail knows who it was');
refused('alice', $_, qr/must be owner of table/, "not of others: $_") for (
	"SELECT dbperf.manage('bob.alert_logs')", "SELECT dbperf.manage('bob.t', premake => 9)",
	"SELECT dbperf.alter_policy('bob.t', premake => 9)", "SELECT dbperf.unmanage('bob.t')",
	"SELECT dbperf.run_maintenance('bob.t')", "CALL dbperf.maintain('bob.t')",
	"CALL dbperf.backfill('bob.t', '2000-01-01', '2000-01-04')", "SELECT dbperf.fill_gaps('bob.t')",
	"SELECT dbperf.create_partition('bob.t', '2000-01-01')",
	"SELECT dbperf.create_partitions('bob.t', '2000-01-01', '2000-01-02')",
	"SELECT dbperf.create_market_data_partition('2000-01-01', 'bob.market_data')",
	"DELETE FROM dbperf.policy WHERE parent = 'bob.t'::regclass",
	"UPDATE dbperf.policy SET premake = 9 WHERE parent = 'bob.t'::regclass",
	"UPDATE dbperf.policy SET parent = 'bob.alert_logs' WHERE parent = 'alice.t'::regclass",
	"INSERT INTO dbperf.policy (parent, partition_interval) VALUES ('bob.alert_logs', '1 day')");
refused('alice', $_, qr/permission denied/, "not behind the scenes: $_") for (
	'DELETE FROM dbperf.policy_state', 'UPDATE dbperf.job_runs SET status = NULL', 'DELETE FROM dbperf.partition_events',
	"INSERT INTO dbperf.partition_events (source, action) VALUES ('manual', 'create')", 'UPDATE dbperf.audit_head SET seq = 1',
	'TRUNCATE dbperf.policy', 'CREATE TRIGGER x BEFORE INSERT ON dbperf.policy FOR EACH ROW EXECUTE FUNCTION dbperf.refuse_change()');
refused('alice', "CALL dbperf.maintain(NULL, 'worker')", qr/source must be/, 'nobody can pose as the worker');

# trigger functions of ours on a table of theirs forge nothing
my $events = ask('SELECT count(*) FROM dbperf.partition_events');
for my $function (split /\n/, ask(q{SELECT proname FROM pg_proc
	WHERE pronamespace = 'dbperf'::regnamespace AND prorettype = 'trigger'::regtype}))
{
	safely(sub { execute_as($node, 'app', 'alice', qq{
		CREATE TABLE alice.policy AS SELECT p.*, 1::bigint AS event_id, NULL::bigint AS seq, 1::bigint AS run_id
			FROM dbperf.policy p WHERE parent = 'bob.t'::regclass;
		CREATE TRIGGER forge AFTER INSERT OR UPDATE OR DELETE ON alice.policy FOR EACH ROW
			EXECUTE FUNCTION dbperf.$function();
		INSERT INTO alice.policy SELECT * FROM alice.policy}) });
	safely(sub { execute_as($node, 'app', 'alice', 'DROP TABLE IF EXISTS alice.policy') });
}
is(ask('SELECT count(*) FROM dbperf.partition_events'), $events, 'trigger functions cannot be borrowed');

# posing as a restore would keep policies out of the audit trail and the worker away
my $pose = hold($node, 'app', q{SET search_path = pg_catalog;
	CREATE TABLE alice.posed (at timestamptz) PARTITION BY RANGE (at);
	INSERT INTO dbperf.policy (parent, partition_interval, created_at) VALUES ('alice.posed', '1 day', '2000-01-01');
	COMMIT; BEGIN}, user => 'alice');
is(ask("SELECT count(*) FROM dbperf.partition_events WHERE parent = 'alice.posed' AND action = 'manage'"), 1,
	'an administrator cannot pose as a restore');
is(ask('SELECT dbperf.restore_in_progress()'), 'f', 'nor keep the worker away');
release($pose);
is(safely(sub { audit_is_ok($node, 'app') }), 'ok', 'the audit trail is whole after all that');

# --- owners that spoil: the others are served all the same
my %spoils = (
	canceled => "RAISE EXCEPTION 'spoiled' USING ERRCODE = 'query_canceled'",
	asserted => "ASSERT false, 'spoiled'",
	shut => "RAISE EXCEPTION 'spoiled' USING ERRCODE = 'admin_shutdown'",
	corrupt => "RAISE EXCEPTION 'spoiled' USING ERRCODE = 'data_corrupted'",
	endless => 'PERFORM pg_sleep(3600)');
for my $spoil (sort keys %spoils)
{
	($status, undef, $err) = safely(sub { execute_as($node, 'app', 'mallory', qq{
		CREATE FUNCTION mallory.$spoil() RETURNS int IMMUTABLE LANGUAGE plpgsql AS \$\$
		BEGIN
			IF EXISTS (SELECT FROM evil.switch) THEN $spoils{$spoil}; END IF;
			RETURN 1;
		END \$\$;
		CREATE TABLE mallory.$spoil (at timestamptz, CHECK (mallory.$spoil() = 1)) PARTITION BY RANGE (at);
		CREATE INDEX ON mallory.$spoil ((mallory.$spoil() + extract(epoch FROM at AT TIME ZONE 'UTC')))}) });
	is($status, 0, "$spoil: prepared") or diag $err;
	ask("INSERT INTO dbperf.policy (parent, partition_interval, run_order, enabled)"
		. " VALUES ('mallory.$spoil', '1 day', 1, false)");
}
ask(q{CREATE TABLE public.good (at timestamptz) PARTITION BY RANGE (at);
	INSERT INTO dbperf.policy (parent, partition_interval, run_order, enabled) VALUES ('public.good', '1 day', 100, false);
	UPDATE evil.switch SET spoil = ''; INSERT INTO evil.switch VALUES ('all')});
ask("UPDATE dbperf.policy SET enabled = true WHERE partition_interval = '1 day'");
ok(safely(sub { $node->poll_query_until('app', "SELECT missing = 0 FROM dbperf.partition_health WHERE parent = 'public.good'::regclass") }),
	'one that comes after the spoilers is served');
for my $spoil (sort keys %spoils)
{
	ok(safely(sub { $node->poll_query_until('app',
		"SELECT last_error IS NOT NULL FROM dbperf.partition_health WHERE parent = 'mallory.$spoil'::regclass") }),
		"$spoil: its error is shown");
}
ask('DELETE FROM evil.switch');
ask('CALL dbperf.maintain()');
is(ask("SELECT count(*) FROM dbperf.partition_health WHERE missing > 0"), 0, 'all is well once they stop');

# one that catches the cancel as well
ask(q{ALTER SYSTEM SET dbperf.step_timeout = '100ms'; SELECT pg_reload_conf()});
($status, undef, $err) = safely(sub { execute_as($node, 'app', 'mallory', q{
	CREATE FUNCTION mallory.stubborn() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
	BEGIN
		WHILE EXISTS (SELECT FROM evil.switch) LOOP
			BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END;
		END LOOP;
		RETURN 1;
	END $$;
	CREATE TABLE mallory.stubborn (at timestamptz, CHECK (mallory.stubborn() = 1)) PARTITION BY RANGE (at);
	CREATE INDEX ON mallory.stubborn ((mallory.stubborn() + extract(epoch FROM at AT TIME ZONE 'UTC')))}) });
is($status, 0, 'stubborn: prepared') or diag $err;
ask(q{CREATE TABLE public.better (at timestamptz) PARTITION BY RANGE (at);
	INSERT INTO evil.switch VALUES ('all');
	INSERT INTO dbperf.policy (parent, partition_interval, run_order, lock_budget)
	VALUES ('mallory.stubborn', '1 day', 1, '100 ms'), ('public.better', '1 day', 100, '100 ms')});
ok(safely(sub { $node->poll_query_until('app', "SELECT missing = 0 FROM dbperf.partition_health WHERE parent = 'public.better'::regclass") }),
	'one that comes after a stubborn one is served');
like(ask("SELECT last_error FROM dbperf.partition_health WHERE parent = 'mallory.stubborn'::regclass"),
	qr/ended each time while it made a partition/, 'stubborn: its error is shown');
ask('DELETE FROM evil.switch');
ask('CALL dbperf.maintain()');
is(ask("SELECT count(*) FROM dbperf.partition_health WHERE missing > 0"), 0, 'all is well once it stops');

# an owner that may not create tables in the schema any more
ask(q{CREATE SCHEMA closed; GRANT ALL ON SCHEMA closed TO bob});
safely(sub { execute_as($node, 'app', 'bob', 'CREATE TABLE closed.t (at timestamptz) PARTITION BY RANGE (at)') });
ask('REVOKE ALL ON SCHEMA closed FROM bob');
(undef, undef, $err) = safely(sub { $node->psql('app', "SELECT dbperf.manage('closed.t', '1 day')") });
like($err, qr/permission denied for schema closed/, 'maintenance has no more rights than the owner, even by a superuser');
is(ask("SELECT count(*) FROM pg_inherits WHERE inhparent = 'closed.t'::regclass"), 0, 'nothing was made');

$node->stop;
done_testing();
