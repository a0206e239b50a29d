--
-- Detaching beside a default partition: in one transaction, under locks that are had all at once
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
\set ECHO all
CREATE TABLE p (id int, k timestamptz NOT NULL, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE p_default PARTITION OF p DEFAULT;
SELECT dbperf.manage('p', '1 month', 0, detach_after => '3 months');
SELECT count(*) FROM dbperf.create_partitions('p', '2026-05-01', '2026-11-01');
INSERT INTO p SELECT 1, make_date(2026, m, 15) FROM generate_series(5, 11) m;
SELECT dbperf.can_detach_concurrently('p'::regclass);
SELECT action, partition, sql, locks, decision FROM dbperf.plan_maintenance('p') ORDER BY step;
SELECT * FROM cleanup('p');
SELECT * FROM partitions('p');
SELECT partition, state, lower_bound, upper_bound FROM bin;
SELECT conname, convalidated FROM pg_constraint WHERE conrelid = 't_archive.p_2026_05'::regclass AND contype = 'c';
SELECT source, action, partition, message, tries FROM dbperf.partition_events WHERE action LIKE 'detach%' ORDER BY event_id;
-- the range is free: rows go to the default partition from now on
INSERT INTO p VALUES (2, '2026-05-15');
SELECT tableoid::regclass, * FROM p WHERE id = 2;
SELECT count(*) FROM t_archive.p_2026_05;
-- by hand
SELECT dbperf.detach_partition('p_2026_08');
SELECT fails($$SELECT dbperf.detach_partition('p_default')$$);
-- a reader of the parent: tried until the budget is spent, then it waits for the next run; nothing is half done
SELECT dbperf.alter_policy('p', detach_after => '1 month', lock_budget => '20 ms', lock_tries => 2);
BEGIN;
SELECT count(*) FROM p;
PREPARE TRANSACTION 'regress_dbperf_reader';
SELECT action, partition, decision, blockers -> 0 ->> 'relation' AS blocked_on, blockers -> 0 ->> 'mode' AS mode, jsonb_array_length(blockers) AS blockers
FROM dbperf.plan_maintenance('p') ORDER BY step;
SET client_min_messages = error;
SELECT * FROM cleanup('p');
RESET client_min_messages;
SELECT f FROM fails($$SELECT dbperf.detach_partition('p_2026_09')$$) f WHERE f NOT LIKE '  detail%';
SELECT count(*) FROM p;
INSERT INTO p VALUES (3, '2026-09-15');
SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'p'::regclass AND inhdetachpending;
SELECT count(*) FROM bin WHERE state = 'detaching';
SELECT conname FROM pg_constraint WHERE conrelid = 'p_2026_09'::regclass AND conname = 'dbperf_bound';
SELECT status, reasons FROM dbperf.partition_health;
SELECT retire_failures, retire_next_try_at > retire_error_at AS tried_later FROM dbperf.partition_health;
COMMIT PREPARED 'regress_dbperf_reader';
SELECT * FROM cleanup('p');
SELECT status, reasons FROM dbperf.partition_health;
SELECT retire_error, retire_failures, retire_next_try_at FROM dbperf.partition_health;
-- a partitioned default partition, with one below it in use
SELECT make('q');
SELECT dbperf.manage('q', '1 month', 0, detach_after => '3 months', lock_budget => '20 ms', lock_tries => 1);
CREATE TABLE q_default PARTITION OF q DEFAULT PARTITION BY LIST (v);
CREATE TABLE q_default_x PARTITION OF q_default FOR VALUES IN ('x');
CREATE TABLE q_old PARTITION OF q FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT unnest(locks) FROM dbperf.plan_maintenance('q');
BEGIN;
INSERT INTO q_default_x VALUES ('2026-03-03', 'x');
PREPARE TRANSACTION 'regress_dbperf_writer';
SET client_min_messages = error;
SELECT * FROM cleanup('q');
RESET client_min_messages;
ROLLBACK PREPARED 'regress_dbperf_writer';
SELECT * FROM cleanup('q');
-- the default partition goes: concurrently again
DROP TABLE q_default;
CREATE TABLE q_old2 PARTITION OF q FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
SELECT unnest(locks) FROM dbperf.plan_maintenance('q');
SELECT * FROM cleanup('q');
SELECT action, count(*) FROM dbperf.partition_events WHERE parent = 't.q' AND action LIKE 'detach%' GROUP BY action ORDER BY action;
SELECT ok, reason FROM dbperf.verify_audit();
