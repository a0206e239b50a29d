--
-- A large default partition: it is read beforehand, without a lock, by the procedures only
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('ticks');
CREATE TABLE dflt PARTITION OF ticks DEFAULT;
INSERT INTO dflt SELECT timestamptz '1990-01-01' + i * interval '1 minute', repeat('x', 120) FROM generate_series(1, 20000) i;
SELECT pg_relation_size('dflt') > 2 * 1024 * 1024 AS large;
-- a function would have to read it under its lock
SELECT dbperf.manage('ticks', '1 month', 1);
SELECT fails($$SELECT dbperf.create_partition('ticks', '2026-11-21')$$);
SELECT fails($$SELECT dbperf.create_partitions('ticks', '2026-11-21', '2026-12-31')$$);
SELECT count(*) FROM partitions('ticks');
SELECT count(*) AS guards FROM pg_constraint WHERE conrelid = 'dflt'::regclass AND contype = 'c';
-- the procedures do it, and leave no guard behind
CALL dbperf.maintain('ticks');
CALL dbperf.backfill('ticks', '2026-08-01', '2026-11-01');
SELECT * FROM partitions('ticks');
SELECT count(*) AS guards FROM pg_constraint WHERE conrelid = 'dflt'::regclass AND contype = 'c';
SELECT status, default_has_rows, reasons FROM dbperf.partition_health;
-- rows that belong into the new one: refused before anything is done
INSERT INTO dflt VALUES ('2027-01-05');
SET dbperf.now_override = '2026-12-21 12:00:00+00';
CALL dbperf.maintain('ticks');
SELECT count(*) AS guards FROM pg_constraint WHERE conrelid = 'dflt'::regclass AND contype = 'c';
SELECT status, missing, reasons FROM dbperf.partition_health;
DELETE FROM dflt WHERE k = '2027-01-05';
CALL dbperf.maintain('ticks');
SELECT status, missing, reasons FROM dbperf.partition_health;
-- a guard that a crash left behind, for a range that is due and for one that is not
ALTER TABLE dflt ADD CONSTRAINT dbperf_guard_00000000 CHECK (k < '2100-01-01' OR k > '2100-02-01') NOT VALID;
SET dbperf.now_override = '2027-01-21 12:00:00+00';
CALL dbperf.maintain('ticks');
SELECT count(*) AS guards FROM pg_constraint WHERE conrelid = 'dflt'::regclass AND contype = 'c';
SELECT partition FROM partitions('ticks');
SELECT count(*), min(k), max(k) FROM dflt;
SELECT ok, reason FROM dbperf.verify_audit();
-- a partitioned default partition can be of any size, and goes the same way
SELECT make('sub');
CREATE TABLE sub_default PARTITION OF sub DEFAULT PARTITION BY LIST (v);
CREATE TABLE sub_default_x PARTITION OF sub_default FOR VALUES IN ('x');
CREATE TABLE sub_default_d PARTITION OF sub_default DEFAULT;
INSERT INTO sub VALUES ('1999-01-01', 'x'), ('1999-01-01', 'y');
SELECT dbperf.manage('sub', '1 month', 1, enabled => false);
SELECT fails($$SELECT dbperf.create_partition('sub', '2027-01-01')$$);
CALL dbperf.maintain('sub');
SELECT partition FROM partitions('sub');
SELECT conrelid::regclass, conname FROM pg_constraint WHERE conrelid::regclass::text LIKE 'sub%' AND contype = 'c';
-- rows go where they belong
INSERT INTO sub VALUES ('2027-01-21', 'x'), ('1999-01-01', 'z') RETURNING tableoid::regclass, k;

-- a row in a small default partition stands against its own range only
SELECT make('stray');
CREATE TABLE stray_default PARTITION OF stray DEFAULT;
INSERT INTO stray VALUES ('2027-01-22 10:00');
SET client_min_messages = error;
SELECT dbperf.manage('stray', '1 day', 3);
RESET client_min_messages;
SELECT * FROM partitions('stray');
SELECT status, reasons FROM dbperf.partition_health WHERE parent = 'stray'::regclass;
