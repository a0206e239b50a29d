--
-- job_runs: what is recorded of each run, what becomes of crashed ones, and how long they are kept
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('a'), make('b'), make('c');
SELECT dbperf.manage('a', '1 month', 1), dbperf.manage('b', '1 month', 1);
CREATE VIEW runs AS
SELECT job, source, reason, parent, status, parents_checked, partitions_created, failures, tries, ms_waited >= 0 AND ms_held >= 0 AS has_times,
       error, pid = pg_backend_pid() AS own_pid, finished_at >= started_at AS finished
FROM dbperf.job_runs ORDER BY run_id;
SELECT * FROM runs;
-- nothing to do is a run, too
SELECT count(*) FROM dbperf.run_maintenance();
SELECT * FROM runs OFFSET 2;
-- one that fails among others, and one that fails alone
SELECT dbperf.manage('c', '1 month', 1, enabled => false);
UPDATE dbperf.policy SET premake = 2;
CREATE TABLE c_default PARTITION OF c DEFAULT;
INSERT INTO c VALUES ('2027-01-03');
UPDATE dbperf.policy SET enabled = true, run_order = 1 WHERE parent = 'c'::regclass;
SELECT parent, partition, status FROM dbperf.run_maintenance();
SELECT status, count(*) FROM dbperf.run_maintenance('c') GROUP BY 1;
SELECT * FROM runs OFFSET 3;
-- the procedure: the same, and its run is in sight of others while it goes on
SET dbperf.now_override = '2026-12-21 12:00:00+00';
CALL dbperf.maintain();
CALL dbperf.maintain('b');
CALL dbperf.maintain('b', 'cron');
CALL dbperf.maintain(source => 'cron');
SELECT source, reason, parent, status, parents_checked, partitions_created, failures FROM runs OFFSET 5;
SELECT fails($$CALL dbperf.maintain('b', 'worker')$$);
SELECT fails($$CALL dbperf.maintain(NULL, 'x')$$);
BEGIN;
CALL dbperf.maintain('b');
ROLLBACK;
DO $$ BEGIN CALL dbperf.maintain('b'); END $$;
-- a schedule leaves alone what failed a moment ago; a request does not
SELECT failures > 0 AS failed, next_try_at > clock_timestamp() AS later FROM dbperf.policy_state WHERE parent = 'c'::regclass;
SELECT source, partitions_created, failures FROM runs WHERE source = 'cron';

-- a run whose process has gone is a crashed one; that of a living one is not
INSERT INTO dbperf.job_runs (source, reason, pid, backend_start) VALUES
    ('worker', 'schedule', 2147483647, '2026-01-01'),
    ('worker', 'wake', pg_backend_pid(), '2026-01-01'),
    ('worker', 'wake', NULL, NULL);
CALL dbperf.maintain('b');
SELECT source, reason, status, error, finished_at IS NOT NULL AS finished FROM dbperf.job_runs WHERE source = 'worker' ORDER BY run_id;
-- runs are kept for 30 days by default, whoever made them; one that is still running is kept
SHOW dbperf.job_runs_retention;
DELETE FROM dbperf.job_runs;
INSERT INTO dbperf.job_runs (source, reason, status, started_at, finished_at, pid, backend_start)
SELECT 'worker', coalesce(d::text, 'none'), CASE WHEN d IS NULL THEN 'running' ELSE 'ok' END, now() - interval '90 days', now() - d, a.pid, a.backend_start
FROM unnest('{1 day,29 days 23 hours,30 days 1 minute,31 days,1 year,NULL}'::interval[]) d, pg_stat_get_activity(pg_backend_pid()) a;
SELECT count(*) FROM dbperf.run_maintenance('b');
SELECT reason, status FROM dbperf.job_runs WHERE source = 'worker' ORDER BY run_id;
-- only these states
SELECT fails($$INSERT INTO dbperf.job_runs (source, reason, status) VALUES ('x', 'x', 'perhaps')$$);
-- a cancelled run says so, and what was done before is kept
CREATE TABLE d (k date) PARTITION BY RANGE (k);
SELECT dbperf.manage('d', '1 day', 3, enabled => false);
CREATE FUNCTION cancel() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE o record;
BEGIN
    FOR o IN SELECT * FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP
        IF o.object_identity = 't.d_2026_12_23' THEN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60); END IF;
    END LOOP;
END $$;
\set SHOW_CONTEXT never
CREATE EVENT TRIGGER regress_dbperf_cancel ON ddl_command_end EXECUTE FUNCTION cancel();
CALL dbperf.maintain('d');
DROP EVENT TRIGGER regress_dbperf_cancel;
SELECT partition FROM partitions('d');
SELECT status, partitions_created, error, finished_at IS NOT NULL AS finished FROM dbperf.job_runs WHERE parent = 't.d' ORDER BY run_id;
CALL dbperf.maintain('d');
SELECT status, partitions_created FROM dbperf.job_runs WHERE parent = 't.d' ORDER BY run_id;
SELECT ok, reason FROM dbperf.verify_audit();
