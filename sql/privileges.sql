--
-- Who may do what: PUBLIC nothing, members of pg_monitor look, an administrator without superuser
-- manages what it owns and nothing else
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_admin, regress_dbperf_other, regress_dbperf_oncall, regress_dbperf_nobody, regress_dbperf_team;
RESET client_min_messages;
CREATE ROLE regress_dbperf_team NOLOGIN;
CREATE ROLE regress_dbperf_admin IN ROLE regress_dbperf_team;
CREATE ROLE regress_dbperf_other;
CREATE ROLE regress_dbperf_oncall IN ROLE pg_monitor;
CREATE ROLE regress_dbperf_nobody;
GRANT ALL ON SCHEMA t TO regress_dbperf_admin, regress_dbperf_other, regress_dbperf_team;
GRANT USAGE ON SCHEMA t TO PUBLIC;
-- as README says
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_admin;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO regress_dbperf_admin;
GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO regress_dbperf_admin;
GRANT INSERT, UPDATE, DELETE ON dbperf.policy TO regress_dbperf_admin;
-- every call of an interface that somebody could try, on a table of another's
CREATE TABLE calls (n serial, call text);
INSERT INTO calls (call) VALUES
    ($$SELECT dbperf.manage(%L, '1 month')$$), ($$SELECT dbperf.manage(%L, interval '1 month')$$), ($$SELECT dbperf.alter_policy(%L, premake => 9)$$),
    ($$SELECT dbperf.unmanage(%L)$$), ($$SELECT dbperf.create_partition(%L, '2030-01-01')$$),
    ($$SELECT dbperf.create_partition(%L, timestamptz '2030-01-01')$$), ($$SELECT dbperf.create_partitions(%L, '2030-01-01', '2031-01-01')$$),
    ($$SELECT dbperf.create_market_data_partition('2030-01-01', %L)$$), ($$SELECT dbperf.fill_gaps(%L)$$), ($$SELECT dbperf.run_maintenance(%L)$$),
    ($$CALL dbperf.backfill(%L, '2030-01-01', '2031-01-01')$$), ($$CALL dbperf.maintain(%L)$$),
    ($$UPDATE dbperf.policy SET premake = 9 WHERE parent = %L::regclass$$), ($$DELETE FROM dbperf.policy WHERE parent = %L::regclass$$),
    ($$INSERT INTO dbperf.policy (parent, partition_interval) VALUES (%L, '1 day')$$);
GRANT SELECT ON calls TO PUBLIC;

-- an administrator, for its own tables and those of its team
SET ROLE regress_dbperf_admin;
SELECT make('own'), make('managed');
CREATE TABLE of_team (k timestamptz) PARTITION BY RANGE (k);
ALTER TABLE of_team OWNER TO regress_dbperf_team;
SELECT dbperf.manage('own', '1 month', 1), dbperf.manage('of_team', '1 month', 1);
SELECT dbperf.alter_policy('own', premake => 2);
UPDATE dbperf.policy SET run_order = 5 WHERE parent = 'own'::regclass;
SELECT partition, status FROM dbperf.run_maintenance();
SELECT dbperf.create_partition('of_team', '2026-08-08'), dbperf.create_market_data_partition('2026-08-08', 'own');
SELECT dbperf.fill_gaps('of_team');
SELECT count(*) FROM dbperf.create_partitions('own', '2026-01-01', '2026-03-01');
CALL dbperf.backfill('own', '2026-03-01', '2026-05-01');
CALL dbperf.maintain('own');
CALL dbperf.maintain();
SELECT relname COLLATE "C" AS relname, relowner::regrole FROM pg_class WHERE relname ~ '^(own|of_team)_2026_1' ORDER BY 1;
SELECT parent, status FROM dbperf.partition_health ORDER BY parent::text COLLATE "C";
SELECT DISTINCT actor = session_user AS session_user_is_recorded FROM dbperf.partition_events;
SELECT ok FROM dbperf.verify_audit();
-- nothing of another's
RESET ROLE;
ALTER TABLE managed OWNER TO regress_dbperf_other;
SELECT dbperf.manage('managed', '1 month', 0);
SELECT make('unmanaged');
SET dbperf.now_override = '2027-03-03 00:00+00';
SET ROLE regress_dbperf_admin;
SELECT n, f FROM calls, fails(format(call, 'managed')) f ORDER BY n;
SELECT n, f FROM calls, fails(format(call, 'unmanaged')) f WHERE call ~ 'manage\(|INSERT' ORDER BY n;
-- without a name: only its own
SELECT parent, count(*) FROM dbperf.run_maintenance() GROUP BY parent ORDER BY parent::text COLLATE "C";
CALL dbperf.maintain();
-- nor the records, nor what belongs to the extension
SELECT fails('UPDATE dbperf.partition_events SET actor = NULL');
SELECT fails('DELETE FROM dbperf.job_runs');
SELECT fails($$INSERT INTO dbperf.partition_events (source, action) VALUES ('manual', 'forged')$$);
SELECT fails('UPDATE dbperf.audit_head SET seq = 0');
SELECT fails('UPDATE dbperf.policy_state SET failures = 0');
SELECT fails('TRUNCATE dbperf.policy');
SELECT fails('CREATE TABLE dbperf.planted ()');
-- no policy can be smuggled in as if a dump had brought it, nor grow older later
CREATE TABLE smuggled (k date) PARTITION BY RANGE (k);
INSERT INTO dbperf.policy (parent, partition_interval, created_at) VALUES ('smuggled', '1 day', '2001-01-01');
UPDATE dbperf.policy SET created_at = '2001-01-01' WHERE parent = 'smuggled'::regclass;
SELECT created_at > '2002-01-01' AS new FROM dbperf.policy WHERE parent = 'smuggled'::regclass;
SELECT action FROM dbperf.partition_events WHERE parent = 't.smuggled';
SELECT restored_by FROM dbperf.policy_state WHERE parent = 'smuggled'::regclass;
DROP TABLE smuggled;
-- triggers that write the records cannot be borrowed for a table of one's own
CREATE TABLE forge (LIKE dbperf.policy);
CREATE TABLE forge_events (LIKE dbperf.partition_events);
CREATE TRIGGER f AFTER INSERT OR DELETE ON forge FOR EACH ROW EXECUTE FUNCTION dbperf.note_policy_change();
CREATE TRIGGER f AFTER INSERT ON forge_events FOR EACH ROW EXECUTE FUNCTION dbperf.chain_event();
CREATE TRIGGER n BEFORE INSERT ON forge_events FOR EACH ROW EXECUTE FUNCTION dbperf.number_row();
SELECT fails($$INSERT INTO forge SELECT * FROM dbperf.policy$$);
SELECT fails($$INSERT INTO forge_events SELECT * FROM dbperf.partition_events LIMIT 1$$);
DROP TABLE forge, forge_events;
RESET ROLE;
SELECT count(*) FROM dbperf.partition_events WHERE action = 'manage' GROUP BY parent ORDER BY 1 DESC LIMIT 1;
SELECT count(*) FROM partitions('managed');

-- on call: every view and table, and no function that does anything
SET ROLE regress_dbperf_oncall;
DO $$
DECLARE r regclass; n bigint;
BEGIN
    FOR r IN SELECT c.oid::regclass FROM pg_class c WHERE relnamespace = 'dbperf'::regnamespace AND relkind IN ('r', 'v') ORDER BY relname COLLATE "C" LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT * FROM %s) s', r) INTO n;
        -- statements that were slow are of the whole server, whoever ran them before
        RAISE NOTICE '%: %', r, CASE WHEN r = 'dbperf.slow_queries'::regclass THEN 'some rows or none' WHEN n > 0 THEN 'rows' ELSE 'no rows' END;
    END LOOP;
END $$;
SELECT ok FROM dbperf.verify_audit();
SELECT count(*) > 0 AS bounds FROM dbperf.partition_bounds('managed');
SELECT n, f FROM calls, fails(format(call, 'managed')) f ORDER BY n;
SELECT fails('SELECT dbperf.wake()'), fails('SELECT dbperf.schedule_with_cron()'), fails($$SELECT dbperf.create_market_schema('t')$$);
-- everybody else: nothing
SET ROLE regress_dbperf_nobody;
SELECT DISTINCT f FROM calls, fails(format(call, 'managed')) f;
SELECT fails('SELECT * FROM dbperf.partitions'), fails('SELECT dbperf.verify_audit()');
RESET ROLE;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_nobody;
SET ROLE regress_dbperf_nobody;
SELECT DISTINCT f COLLATE "C" AS f FROM calls, fails(format(call, 'managed')) f ORDER BY 1;
SELECT fails('SELECT * FROM dbperf.partitions'), fails('SELECT dbperf.verify_audit()');
RESET ROLE;
SELECT ok, reason FROM dbperf.verify_audit();
DROP OWNED BY regress_dbperf_admin, regress_dbperf_other, regress_dbperf_oncall, regress_dbperf_nobody, regress_dbperf_team CASCADE;
DROP ROLE regress_dbperf_admin, regress_dbperf_other, regress_dbperf_oncall, regress_dbperf_nobody, regress_dbperf_team;
SELECT count(*) FROM dbperf.policy;
