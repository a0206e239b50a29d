--
-- What health tells of retiring: what is held up, why, and nothing when all is well
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
CREATE FUNCTION t.health() RETURNS TABLE (status text, reasons text[], retire_error text, failures int, has_time boolean, tried_later boolean) LANGUAGE sql AS $$
    SELECT status, reasons, retire_error, retire_failures, retire_error_at IS NOT NULL, retire_next_try_at > retire_error_at FROM dbperf.partition_health
$$;
\set ECHO all
SELECT make('p');
SELECT dbperf.manage('p', '1 month', 0, detach_after => '1 month', drop_after => '6 months', recycle_for => '1 day', lock_budget => '10 ms', lock_tries => 1);
SELECT dbperf.create_partition('p', '2026-10-10');
SELECT * FROM health();
-- due, and not yet done, is no reason
SELECT dbperf.create_partition('p', '2026-09-09');
SELECT * FROM health();
-- a reader that stays: it is waited for, and does not count as failed
BEGIN;
SELECT count(*) FROM p;
PREPARE TRANSACTION 'regress_dbperf_reader';
CALL dbperf.maintain('p');
SELECT status, cardinality(reasons), reasons[1], failures, has_time, tried_later FROM health();
SELECT retire_error ~ '^detach of t.p_2026_09 waits for the end of transactions that may still see it: ' AS says_so FROM health();
SELECT state FROM dbperf.partitions WHERE partition = 'p_2026_09'::regclass;
CALL dbperf.maintain('p');
SELECT status, failures FROM health();
SELECT action, message FROM dbperf.partition_events WHERE action LIKE 'detach%' ORDER BY event_id;
COMMIT PREPARED 'regress_dbperf_reader';
CALL dbperf.maintain('p');
SELECT * FROM health();
SELECT action FROM dbperf.partition_events WHERE action LIKE 'detach%' ORDER BY event_id;
-- a reader of the partition alone, in a phase that needs it to itself
SELECT dbperf.create_partition('p', '2026-08-08');
BEGIN;
SELECT count(*) FROM p_2026_08;
PREPARE TRANSACTION 'regress_dbperf_reader';
SET client_min_messages = error;
CALL dbperf.maintain('p');
SELECT * FROM health();
CALL dbperf.maintain('p');
SELECT status, failures FROM health();
RESET client_min_messages;
ROLLBACK PREPARED 'regress_dbperf_reader';
CALL dbperf.maintain('p');
SELECT * FROM health();
-- the same failure again is told once, and counted
CREATE FUNCTION t.refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN IF tg_tag = 'ALTER TABLE' THEN RAISE 'no % here', tg_tag; END IF; END $$;
SELECT dbperf.create_partition('p', '2026-07-07');
CREATE EVENT TRIGGER regress_dbperf_refuse ON ddl_command_start EXECUTE FUNCTION t.refuse();
SET client_min_messages = error;
CALL dbperf.maintain('p');
CALL dbperf.maintain('p');
CALL dbperf.maintain('p');
RESET client_min_messages;
DROP EVENT TRIGGER regress_dbperf_refuse;
SELECT status, reasons[2], failures, tried_later FROM health();
SELECT action, partition, message FROM dbperf.partition_events WHERE action LIKE '%failed' ORDER BY event_id;
SELECT status, failures, error FROM dbperf.job_runs ORDER BY run_id DESC LIMIT 1;
CALL dbperf.maintain('p');
SELECT * FROM health();
-- what is blocked, by CALL and by function; what is not due is not spoken of
CREATE VIEW v AS SELECT count(*) FROM t_archive.p_2026_07;
SET dbperf.now_override = '2027-01-31 23:59:59+00';
SELECT action, status FROM cleanup('p');
CALL dbperf.maintain('p');
SELECT * FROM health();
SET dbperf.now_override = '2027-02-01 00:00:00+00';
CALL dbperf.maintain('p');
SELECT * FROM health();
DROP VIEW v;
CALL dbperf.maintain('p');
SELECT * FROM health();
-- policies that take nothing away any more have nothing held up
SELECT dbperf.create_partition('p', '2026-06-06');
CREATE TABLE p_sub PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY LIST (v);
CALL dbperf.maintain('p');
SELECT reasons, retire_error FROM health();
SELECT dbperf.alter_policy('p', detach_after => '2 months');
SELECT retire_error, retire_next_try_at FROM dbperf.partition_health;
SELECT dbperf.alter_policy('p', detach_after => 'never', drop_after => 'never');
SELECT * FROM health();
-- job_runs tells what was done
SELECT sum(partitions_detached) AS detached, sum(partitions_dropped) AS dropped FROM dbperf.job_runs;
SELECT ok, reason FROM dbperf.verify_audit();
