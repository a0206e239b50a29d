# Functions of users that are called for alerts: as their owner, each in a transaction of its own,
# and whatever they do, the sampler goes on.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use DbperfTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_node('callbacks', 'dbperf.sample_interval = 1', "dbperf.callback_timeout = '300ms'",
	'max_worker_processes = 12');
install_extension($node, 'postgres');
$node->safe_psql('postgres', q{
	SELECT dbperf.start_monitoring();
	UPDATE dbperf.alert_rules SET enabled = false;
	CREATE ROLE caller LOGIN;
	CREATE ROLE group_owner NOLOGIN;
	GRANT USAGE ON SCHEMA dbperf TO caller;
	GRANT EXECUTE ON FUNCTION dbperf.add_alert_callback(regprocedure) TO caller;
	CREATE SCHEMA cb;
	GRANT CREATE, USAGE ON SCHEMA cb TO caller, group_owner;
	CREATE TABLE cb.secret (x int);
	CREATE TABLE cb.heard (fn text, who name, sess name, payload jsonb, at timestamptz DEFAULT clock_timestamp());
	GRANT SELECT, INSERT ON cb.heard TO caller, group_owner;
	CREATE TABLE cb.parent (id int PRIMARY KEY);
	INSERT INTO cb.parent VALUES (1);
	CREATE TABLE cb.child (id int REFERENCES cb.parent DEFERRABLE INITIALLY DEFERRED);
	GRANT ALL ON cb.child, cb.parent TO caller, group_owner;
	CREATE FUNCTION cb.deferred() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO cb.heard VALUES ('at commit', current_user, session_user); RETURN NULL; END $$;
	CREATE CONSTRAINT TRIGGER deferred AFTER INSERT ON cb.child DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION cb.deferred();

	SET ROLE caller;
	CREATE FUNCTION cb.good(alert jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO cb.heard VALUES ('good', current_user, session_user, alert);
		INSERT INTO cb.child VALUES (1);
	END $$;
	CREATE FUNCTION cb.raises(alert jsonb) RETURNS void LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO cb.heard VALUES ('raises'); RAISE EXCEPTION 'as it is'; END $$;
	CREATE FUNCTION cb.blocks(alert jsonb) RETURNS void LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_sleep(1000); END $$;
	CREATE FUNCTION cb.stubborn(alert jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(1000);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
	END $$;
	CREATE FUNCTION cb.suicidal(alert jsonb) RETURNS void LANGUAGE plpgsql AS
		$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(10); END $$;
	CREATE FUNCTION cb.drops_itself(alert jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		INSERT INTO cb.heard VALUES ('drops_itself');
		DROP FUNCTION cb.drops_itself(jsonb);
	END $$;
	CREATE FUNCTION cb.climbs(alert jsonb) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		command text;
	BEGIN
		FOREACH command IN ARRAY ARRAY['RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET ROLE postgres',
			'SET SESSION AUTHORIZATION postgres', 'INSERT INTO cb.secret VALUES (1)', 'ALTER ROLE caller SUPERUSER']
		LOOP
			BEGIN
				EXECUTE command;
				INSERT INTO cb.heard VALUES ('climbed by ' || command, current_user, session_user);
			EXCEPTION WHEN OTHERS THEN NULL;
			END;
			BEGIN
				INSERT INTO cb.secret VALUES (2);
			EXCEPTION WHEN insufficient_privilege THEN NULL;
			END;
		END LOOP;
		INSERT INTO cb.heard VALUES ('climbs', current_user, session_user);
	END $$;
	RESET ROLE;
	SET ROLE group_owner;
	CREATE FUNCTION cb.of_group(alert jsonb) RETURNS int LANGUAGE plpgsql AS
		$$ BEGIN INSERT INTO cb.heard VALUES ('of_group', current_user, session_user); RETURN 1; END $$;
	RESET ROLE});

$node->safe_psql('postgres', "SET ROLE caller; SELECT dbperf.add_alert_callback(('cb.' || f || '(jsonb)')::regprocedure)
	FROM unnest('{raises,blocks,stubborn,suicidal,drops_itself,climbs,good}'::text[]) f");
$node->safe_psql('postgres', "SELECT dbperf.add_alert_callback('cb.of_group(jsonb)')");
my ($rc, $out, $err) = $node->psql('postgres',
	"SET ROLE caller; SELECT dbperf.add_alert_callback('cb.of_group(jsonb)')");
like($err, qr/must be owner|permission denied/, 'nobody registers the function of another');

$node->safe_psql('postgres', q{
	INSERT INTO dbperf.alert_rules (name, metric, comparison, warn)
		VALUES ('always', 'connections_max', '>', 1)});
poll_ok($node, 'postgres', "SELECT EXISTS (SELECT FROM cb.heard WHERE fn = '$_')", "$_ is called")
  for qw(drops_itself climbs good of_group);

is($node->safe_psql('postgres', "SELECT payload ->> 'rule' = 'always' OR payload -> 'data' ->> 'rule' = 'always'
	OR payload::text LIKE '%always%' FROM cb.heard WHERE fn = 'good' LIMIT 1"),
	't', 'it is told of the alert');
is($node->safe_psql('postgres', "SELECT DISTINCT who, sess FROM cb.heard WHERE fn IN ('good', 'climbs')"),
	'caller|caller', 'functions run as their owner');
is($node->safe_psql('postgres', "SELECT DISTINCT who, sess FROM cb.heard WHERE fn = 'of_group'"),
	'group_owner|group_owner', 'also when the owner cannot log in');
is($node->safe_psql('postgres', "SELECT DISTINCT who, sess FROM cb.heard WHERE fn = 'at commit'"),
	'caller|caller', 'what the commit sets off is done by the owner as well');
is($node->safe_psql('postgres', "SELECT count(*) FROM cb.secret"), 0, 'nobody climbs');
is($node->safe_psql('postgres', "SELECT count(*) FROM cb.heard WHERE fn LIKE 'climbed%'"),
	0, 'nor gets anything done that would help');
is($node->safe_psql('postgres', "SELECT count(*) FROM cb.heard WHERE fn = 'raises'"),
	0, 'what raises is rolled back');

poll_ok($node, 'postgres', "SELECT last_error LIKE '%as it is%' FROM dbperf.alert_callbacks
	WHERE callback = 'cb.raises(jsonb)'::regprocedure", 'an error is noted');
poll_ok($node, 'postgres', "SELECT last_error LIKE '%statement timeout%' FROM dbperf.alert_callbacks
	WHERE callback = 'cb.blocks(jsonb)'::regprocedure", 'one that blocks is canceled');
poll_ok($node, 'postgres', "SELECT last_error LIKE '%ended before%' FROM dbperf.alert_callbacks
	WHERE callback = 'cb.stubborn(jsonb)'::regprocedure", 'one that does not heed that is ended with its process');
poll_ok($node, 'postgres', "SELECT last_error LIKE '%terminate%' FROM dbperf.alert_callbacks
	WHERE callback = 'cb.suicidal(jsonb)'::regprocedure", 'one cannot end the process itself');
is($node->safe_psql('postgres', "SELECT min(calls), max(calls), max(failures) FROM dbperf.alert_callbacks"),
	'1|1|1', 'each was called once, also those behind the one that was ended');
poll_ok($node, 'postgres', "SELECT NOT EXISTS (SELECT FROM dbperf.alert_callbacks c
	WHERE NOT EXISTS (SELECT FROM pg_proc p WHERE p.oid = c.callback::oid))", 'the one that is gone is forgotten');

my $now = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
poll_ok($node, 'postgres', "SELECT count(DISTINCT at) > 2 FROM dbperf.metric_sample WHERE at > '$now'",
	'and samples have gone on');
is($node->safe_psql('postgres', "SELECT last_error IS NULL FROM dbperf.sampler_process()"),
	't', 'the sampler has no error of its own');

# --- its process is in nobody's way
$node->safe_psql('postgres', q{
	SELECT dbperf.stop_monitoring();
	CREATE DATABASE doomed});
install_extension($node, 'doomed');
$node->safe_psql('doomed', q{
	SELECT dbperf.start_monitoring();
	CREATE FUNCTION public.stubborn(alert jsonb) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN
		LOOP
			BEGIN
				PERFORM pg_sleep(1000);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
	END $$;
	SELECT dbperf.add_alert_callback('public.stubborn(jsonb)');
	INSERT INTO dbperf.alert_rules (name, metric, comparison, warn)
		VALUES ('always', 'connections_max', '>', 1)});
$node->append_conf('postgresql.conf', "dbperf.callback_timeout = '10min'");
$node->reload;
poll_ok($node, 'postgres', "SELECT EXISTS (SELECT FROM pg_stat_activity
	WHERE backend_type = 'dbperf alert callbacks' AND datname = 'doomed' AND wait_event = 'PgSleep')",
	'a function is being called');
$node->safe_psql('postgres', 'DROP DATABASE doomed');
pass('DROP DATABASE goes past it');
$node->stop;
done_testing();
