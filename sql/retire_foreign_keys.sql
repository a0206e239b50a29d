--
-- Foreign keys between tables that retire: no row is left pointing to nothing
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
CREATE FUNCTION t.keys(relation regclass) RETURNS TABLE (name name, definition text) LANGUAGE sql AS $$
    SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE conrelid = relation AND contype = 'f' AND conname !~ '_fkey[0-9]+$' ORDER BY conname
$$;
\set ECHO all
-- alerts point to ticks, month by month
CREATE TABLE ticks (id int, k timestamptz, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE alerts (id int, k timestamptz, tick int, PRIMARY KEY (id, k), CONSTRAINT to_tick FOREIGN KEY (tick, k) REFERENCES ticks (id, k)) PARTITION BY RANGE (k);
SELECT dbperf.manage('ticks', '1 month', 0, drop_after => '3 months', run_order => 1),
       dbperf.manage('alerts', '1 month', 0, drop_after => '3 months', run_order => 2);
SELECT count(*) FROM dbperf.create_partitions('ticks', '2026-06-01', '2026-11-01');
SELECT count(*) FROM dbperf.create_partitions('alerts', '2026-06-01', '2026-11-01');
INSERT INTO ticks SELECT m, make_date(2026, m, 15) FROM generate_series(6, 11) m;
INSERT INTO alerts SELECT m, make_date(2026, m, 15), m FROM generate_series(6, 11) m;
SELECT parent::regclass, level FROM dbperf.retire_levels(ARRAY['ticks'::regclass, 'alerts'::regclass]::oid[]) ORDER BY level;
SELECT dbperf.can_detach_concurrently('ticks'::regclass), dbperf.can_detach_concurrently('alerts'::regclass);
-- ticks alone: rows point to them, and are counted before anything is touched
SELECT * FROM plan('ticks');
SET client_min_messages = error;
SELECT * FROM cleanup('ticks');
RESET client_min_messages;
SELECT fails($$SELECT dbperf.detach_partition('ticks_2026_06')$$);
SELECT dbperf.referencing_rows('ticks_2026_06'), dbperf.referencing_rows('ticks_2026_06', ARRAY['alerts_2026_06'::regclass]::oid[]);
SELECT count(*) FROM partitions('ticks');
SELECT status, reasons FROM dbperf.partition_health WHERE parent = 'ticks'::regclass;
-- one row that points in later than its own partition goes
INSERT INTO alerts VALUES (100, '2026-11-01', NULL);
-- both: those that point first, whatever their run order
SELECT parent, action, partition, decision, reason FROM dbperf.plan_maintenance() ORDER BY step;
SELECT parent, action, partition, status, detail FROM dbperf.cleanup_old_partitions();
SELECT * FROM partitions('ticks');
SELECT * FROM partitions('alerts');
SELECT partition, state FROM bin;
-- those in the bin have given up their foreign keys, for which it is noted what they were
SELECT original_name, foreign_keys FROM dbperf.recycle_bin ORDER BY 1;
SELECT * FROM keys('t_archive.alerts_2026_06');
SELECT * FROM keys('alerts_2026_09');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 't_archive.alerts_2026_06'::regclass;
-- foreign keys still hold for what is there
SELECT is_restricted('DELETE FROM ticks WHERE id = 9'), is_restricted($$INSERT INTO alerts VALUES (1, '2026-09-15', 77)$$);
-- both are dropped in their time, and neither keeps the other
SET dbperf.now_override = '2026-11-28 12:00:00+00';
SELECT action, partition, status, detail FROM dbperf.cleanup_old_partitions();
SELECT count(*) FROM bin;
SELECT status, reasons FROM dbperf.partition_health ORDER BY parent::text;
-- what is on its way out, and read by nobody else, still points: its target waits for it
SELECT dbperf.alter_policy('alerts', lock_budget => '200 ms', lock_tries => 1), dbperf.alter_policy('ticks', lock_budget => '200 ms', lock_tries => 1);
SELECT dbperf.create_partition('ticks', '2026-05-15'), dbperf.create_partition('alerts', '2026-05-15');
INSERT INTO ticks VALUES (5, '2026-05-15');
INSERT INTO alerts VALUES (5, '2026-05-15', 5);
BEGIN;
SELECT count(*) FROM alerts_2026_05;
PREPARE TRANSACTION 'regress_dbperf_reader';
SET client_min_messages = error;
SELECT action, partition, status FROM dbperf.cleanup_old_partitions();
RESET client_min_messages;
SELECT dbperf.referencing_rows('ticks_2026_05');
SELECT action, partition, decision FROM dbperf.plan_maintenance() ORDER BY step;
ROLLBACK PREPARED 'regress_dbperf_reader';
SELECT action, partition, status, detail FROM dbperf.cleanup_old_partitions();
SELECT original_name, foreign_keys FROM dbperf.recycle_bin ORDER BY 1;
--
-- A key of several columns, one that may be NULL, from a plain table, to a table that is not due elsewhere
--
SET dbperf.now_override = '2026-11-21 12:00:00+00';
CREATE TABLE m (a int, "b %s" text, k date, PRIMARY KEY (a, "b %s", k)) PARTITION BY RANGE (k);
CREATE TABLE m_from (i int, kb text, ka int, kk date, CONSTRAINT many FOREIGN KEY (kk, ka, kb) REFERENCES m (k, a, "b %s"));
SELECT dbperf.manage('m', '1 month', 0, detach_after => '1 month');
CREATE TABLE m_old PARTITION OF m FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE m_next PARTITION OF m FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
INSERT INTO m VALUES (1, 'x', '2026-01-05'), (1, 'y', '2026-01-05'), (1, 'x', '2026-02-05');
INSERT INTO m_from VALUES (1, 'x', 1, '2026-01-05'), (2, 'x', 1, '2026-01-05'), (3, 'y', NULL, '2026-01-05'), (4, NULL, NULL, NULL), (5, 'x', 1, '2026-02-05');
SELECT action, partition, decision, reason FROM plan('m');
SELECT dbperf.referencing_rows('m_old'), dbperf.referencing_rows('m_next');
SET client_min_messages = error;
SELECT action, partition, status, detail FROM cleanup('m');
RESET client_min_messages;
DELETE FROM m_from WHERE i < 3;
-- one of the two goes now: it does not wait for the other
SELECT action, partition, decision, reason FROM plan('m');
SET client_min_messages = error;
SELECT action, partition, status, detail FROM cleanup('m');
RESET client_min_messages;
SELECT * FROM partitions('m');
SELECT count(*) AS kept FROM t_archive.m_old;
SELECT status, reasons FROM dbperf.partition_health WHERE parent = 'm'::regclass;
DELETE FROM m_from;
SELECT action, partition, status FROM cleanup('m');
SELECT reasons FROM dbperf.partition_health WHERE parent = 'm'::regclass;
--
-- A partitioned table that points, on other bounds, and to itself; and one whose partition alone points
--
CREATE TABLE s (id int, k date, up int, upk date, PRIMARY KEY (id, k), CONSTRAINT self FOREIGN KEY (up, upk) REFERENCES s (id, k)) PARTITION BY RANGE (k);
CREATE TABLE s_from (h int, id int, k date, CONSTRAINT from_hash FOREIGN KEY (id, k) REFERENCES s) PARTITION BY HASH (h);
CREATE TABLE s_from_0 PARTITION OF s_from FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE s_from_1 PARTITION OF s_from FOR VALUES WITH (MODULUS 2, REMAINDER 1) PARTITION BY LIST (h);
CREATE TABLE s_from_1_all PARTITION OF s_from_1 DEFAULT;
CREATE TABLE s_part (h int, id int, k date) PARTITION BY LIST (h);
CREATE TABLE s_part_1 PARTITION OF s_part (CONSTRAINT from_part FOREIGN KEY (id, k) REFERENCES s) FOR VALUES IN (1);
SELECT dbperf.manage('s', '1 month', 0, detach_after => '1 month');
CREATE TABLE s_old PARTITION OF s FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO s VALUES (1, '2026-01-05', NULL, NULL), (2, '2026-01-06', 1, '2026-01-05'), (3, '2026-11-06', 2, '2026-01-06');
INSERT INTO s_from SELECT i, 1, '2026-01-05' FROM generate_series(1, 10) i;
INSERT INTO s_part VALUES (1, 2, '2026-01-06');
-- ten of the one, one of the other, and two of its own table, of which one is in the partition itself:
-- PostgreSQL does not let go of that one either
SELECT action, partition, decision, reason FROM plan('s');
DELETE FROM s_from;
SELECT decision, reason FROM plan('s');
DELETE FROM s_part;
SELECT decision, reason FROM plan('s');
UPDATE s SET up = NULL, upk = NULL WHERE id = 3;
SELECT decision, reason FROM plan('s');
SELECT fails('ALTER TABLE s DETACH PARTITION s_old') ~ '^23503' AS fails LIMIT 1;
UPDATE s SET up = NULL, upk = NULL WHERE id = 2;
SELECT decision, reason FROM plan('s');
SELECT action, partition, status, detail FROM cleanup('s');
SELECT (SELECT count(*) FROM s) AS s, (SELECT count(*) FROM t_archive.s_old) AS old;
-- a foreign key of the table's own, to a table that stays: it is kept in the bin
CREATE TABLE base (id int PRIMARY KEY);
INSERT INTO base VALUES (1), (2);
CREATE TABLE o (k date, b int CONSTRAINT to_base REFERENCES base) PARTITION BY RANGE (k);
SELECT dbperf.manage('o', '1 month', 0, drop_after => '1 month', recycle_for => '1 hour');
CREATE TABLE o_old PARTITION OF o FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO o VALUES ('2026-01-05', 1);
SELECT dbperf.can_detach_concurrently('o'::regclass);
SELECT locks FROM dbperf.plan_maintenance('o');
SELECT action, partition, status, detail FROM cleanup('o');
SELECT * FROM keys('t_archive.o_old');
SELECT is_restricted('DELETE FROM base WHERE id = 1'), is_restricted('DELETE FROM base WHERE id = 2');
SET dbperf.now_override = '2026-11-21 13:00:00+00';
SELECT action, partition, status, detail FROM cleanup('o');
DELETE FROM base;
-- a table that the owner may not read: not known is not none
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_owner;
RESET client_min_messages;
CREATE ROLE regress_dbperf_owner;
GRANT ALL ON SCHEMA t, t_archive TO regress_dbperf_owner;
CREATE TABLE r (id int, k date, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
SELECT dbperf.manage('r', '1 month', 0, detach_after => '1 month');
CREATE TABLE r_old PARTITION OF r FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
ALTER TABLE r OWNER TO regress_dbperf_owner;
ALTER TABLE r_old OWNER TO regress_dbperf_owner;
CREATE TABLE r_from (id int, k date, FOREIGN KEY (id, k) REFERENCES r);
SELECT decision, reason FROM plan('r');
SET client_min_messages = error;
SELECT status, detail FROM cleanup('r');
GRANT SELECT ON r_from TO regress_dbperf_owner;
SELECT status, detail FROM cleanup('r');
RESET client_min_messages;
SELECT * FROM partitions('r');
SELECT ok, reason FROM dbperf.verify_audit();
SET client_min_messages = warning;
DROP OWNED BY regress_dbperf_owner CASCADE;
DROP ROLE regress_dbperf_owner;
