--
-- What must never happen: data dropped that is in use, or a policy that gives its owner power
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS regress_dbperf_victim, squat_archive, squat CASCADE;
DROP ROLE IF EXISTS regress_dbperf_mallory, regress_dbperf_victim;
RESET client_min_messages;
\set ECHO all
-- what has been detached is in use again, in one way or another
CREATE TABLE p (k timestamptz NOT NULL, v int) PARTITION BY RANGE (k);
SELECT dbperf.manage('p', '1 month', 0, enabled => false);
SELECT count(*) FROM dbperf.create_partitions('p', '2026-01-01', '2026-06-01');
INSERT INTO p SELECT '2026-01-01'::timestamptz + i * interval '1 day', i FROM generate_series(0, 149) i;
SELECT dbperf.alter_policy('p', detach_after => '1 month', recycle_for => '0');
SELECT count(*) FROM dbperf.cleanup_old_partitions('p') WHERE status = 'done';
CREATE TABLE hist (k timestamptz NOT NULL, v int) PARTITION BY RANGE (k);
ALTER TABLE hist ATTACH PARTITION t_archive.p_2026_01 FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
ALTER TABLE p ATTACH PARTITION t_archive.p_2026_02 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE TABLE keep (k timestamptz NOT NULL, v int);
ALTER TABLE t_archive.p_2026_03 INHERIT keep;
ALTER TABLE t_archive.p_2026_04 SET SCHEMA t;
ALTER TABLE p_2026_04 RENAME TO rescued;
SELECT dbperf.alter_policy('p', drop_after => '1 month', detach_after => '1 month');
SELECT fails(format('SELECT dbperf.drop_partition(%L)', c.oid::regclass)) FROM pg_class c
WHERE relname IN ('p_2026_01', 'p_2026_02', 'p_2026_03', 'rescued') AND relkind = 'r' ORDER BY relname;
SELECT action, partition, status, detail FROM dbperf.cleanup_old_partitions('p') ORDER BY 2;
SELECT (SELECT count(*) FROM hist) AS hist, (SELECT count(*) FROM keep) AS keep, (SELECT count(*) FROM rescued) AS rescued;
-- what was attached by hand is no business of the recycle bin any more
SELECT partition FROM dbperf.recycle_bin ORDER BY partition::text COLLATE "C";
-- no owner gets a schema that is a role's own, nor one that another could drop the tables of
CREATE ROLE regress_dbperf_mallory;
CREATE ROLE regress_dbperf_victim;
CREATE SCHEMA squat;
GRANT ALL ON SCHEMA squat TO regress_dbperf_mallory;
CREATE TABLE squat.m (k timestamptz NOT NULL) PARTITION BY RANGE (k);
SELECT dbperf.manage('squat.m', '1 month', 0, enabled => false, detach_after => '1 month');
SELECT dbperf.create_partition('squat.m', '2026-01-01');
ALTER TABLE squat.m OWNER TO regress_dbperf_mallory;
ALTER TABLE squat.m_2026_01 OWNER TO regress_dbperf_mallory;
GRANT USAGE ON SCHEMA dbperf, t TO regress_dbperf_mallory;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO regress_dbperf_mallory;
GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO regress_dbperf_mallory;
GRANT INSERT, UPDATE, DELETE ON dbperf.policy TO regress_dbperf_mallory;
SET ROLE regress_dbperf_mallory;
SELECT dbperf.alter_policy('squat.m', archive_schema => 'regress_dbperf_victim');
SELECT fails($$SELECT dbperf.detach_partition('squat.m_2026_01')$$);
SELECT decision, reason FROM dbperf.plan_maintenance('squat.m') WHERE action = 'detach';
RESET ROLE;
SELECT count(*) FROM pg_namespace WHERE nspname = 'regress_dbperf_victim';
SELECT dbperf.alter_policy('squat.m', archive_schema => '');
CREATE SCHEMA squat_archive AUTHORIZATION regress_dbperf_victim;
GRANT ALL ON SCHEMA squat_archive TO PUBLIC;
SELECT decision, reason FROM dbperf.plan_maintenance('squat.m') WHERE action = 'detach';
DROP SCHEMA squat_archive;
-- the schema by default may be made for an owner who may not
SET ROLE regress_dbperf_mallory;
SELECT dbperf.detach_partition('squat.m_2026_01');
RESET ROLE;
SELECT nspowner::regrole = current_user::regrole AS ours, has_schema_privilege('regress_dbperf_mallory', oid, 'CREATE') AS may
FROM pg_namespace WHERE nspname = 'squat_archive';
-- one table with a problem is none for the others, and says so
CREATE TABLE far (k timestamptz NOT NULL) PARTITION BY RANGE (k);
SELECT dbperf.manage('far', '1 month', 0, enabled => false);
CREATE TABLE far_end PARTITION OF far FOR VALUES FROM ('2027-01-01') TO ('294270-01-01');
SELECT dbperf.alter_policy('far', drop_after => '900 years');
SELECT dbperf.detach_partition('far_end');
CREATE TABLE zone (k timestamptz NOT NULL) PARTITION BY RANGE (k);
SELECT dbperf.manage('zone', '1 month', 0, enabled => false, detach_after => '1 month');
ALTER TABLE dbperf.policy DISABLE TRIGGER USER;
UPDATE dbperf.policy SET time_zone = 'Mars/Olympus' WHERE parent = 'zone'::regclass;
UPDATE dbperf.policy SET enabled = true WHERE parent IN ('p'::regclass, 'far'::regclass, 'zone'::regclass);
ALTER TABLE dbperf.policy ENABLE ALWAYS TRIGGER check_policy;
ALTER TABLE dbperf.policy ENABLE ALWAYS TRIGGER note_policy_change;
SELECT dbperf.create_partition('p', '2026-07-01');
SELECT DISTINCT parent::text, action, partition, decision, reason FROM dbperf.plan_maintenance() WHERE decision <> 'go' OR action = 'detach' ORDER BY 1, 2, 3;
SET client_min_messages = error;
CALL dbperf.maintain();
RESET client_min_messages;
SELECT partition FROM dbperf.recycle_bin WHERE parent = 'p'::regclass AND original_name = 'p_2026_07';
SELECT parent, status, retire_error FROM dbperf.partition_health WHERE parent = 'zone'::regclass;
-- one row with a key that is far too high retires nothing
CREATE TABLE num (k bigint NOT NULL) PARTITION BY RANGE (k);
SELECT dbperf.manage('num', '100', 1, detach_after => '300', enabled => false);
SELECT count(*) FROM dbperf.create_partitions('num', '0', '300');
INSERT INTO num SELECT generate_series(0, 250);
SELECT dbperf.create_partition('num', 2950);
INSERT INTO num VALUES (2950);
SELECT action, partition, status FROM dbperf.cleanup_old_partitions('num');
SELECT count(*) FROM num;
SELECT ok, reason FROM dbperf.verify_audit();
SET client_min_messages = warning;
DROP SCHEMA squat, squat_archive CASCADE;
DROP OWNED BY regress_dbperf_mallory, regress_dbperf_victim CASCADE;
DROP ROLE regress_dbperf_mallory, regress_dbperf_victim;
