--
-- Gaps, odd lengths and open ends made by hand; filling gaps, and ranges of the past
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('ticks');
SELECT dbperf.manage('ticks', '1 month', 1);
-- a gap in the past is reported and left alone, until one asks
SELECT dbperf.create_partition('ticks', '2026-05-20');
SELECT dbperf.create_partition('ticks', '2026-08-01');
SELECT * FROM dbperf.partition_gaps('ticks');
SELECT count(*) FROM dbperf.run_maintenance('ticks');
SELECT status, gaps, reasons FROM dbperf.partition_health WHERE parent = 'ticks'::regclass;
SELECT dbperf.fill_gaps('ticks');
SELECT * FROM dbperf.partition_gaps('ticks');
SELECT dbperf.fill_gaps('ticks');
SELECT status, gaps FROM dbperf.partition_health WHERE parent = 'ticks'::regclass;
-- a gap ahead of now is closed at once
DROP TABLE ticks_2026_12;
SELECT dbperf.create_partition('ticks', '2027-01-01');
SELECT partition FROM dbperf.run_maintenance('ticks');

-- pieces of a cell: what is missing of it is made, to the microsecond
SELECT make('pieces');
CREATE TABLE p1 PARTITION OF pieces FOR VALUES FROM ('2026-11-01') TO ('2026-11-10');
CREATE TABLE p2 PARTITION OF pieces FOR VALUES FROM ('2026-11-12') TO ('2026-11-23');
CREATE TABLE p3 PARTITION OF pieces FOR VALUES FROM ('2026-12-05 10:00+00') TO ('2026-12-05 11:00+00');
CREATE TABLE p4 PARTITION OF pieces FOR VALUES FROM ('2027-01-15') TO ('2027-03-20');
SELECT dbperf.manage('pieces', '1 month', 4, anchor => '2000-01-01');
SELECT * FROM partitions('pieces');
SELECT * FROM dbperf.partition_gaps('pieces');
SELECT status, gaps, overlapping, off_grid, missing, future_ready, reasons FROM dbperf.partition_health WHERE parent = 'pieces'::regclass;
SELECT dbperf.fill_gaps('pieces');
SELECT count(*) FROM dbperf.partition_gaps('pieces');

-- open ends
SELECT make('low'), make('high');
CREATE TABLE low_min PARTITION OF low FOR VALUES FROM (MINVALUE) TO ('2026-11-15');
CREATE TABLE high_max PARTITION OF high FOR VALUES FROM ('2026-12-15') TO (MAXVALUE);
SELECT dbperf.manage('low', '1 month', 1), dbperf.manage('high', '1 month', 3);
SELECT * FROM partitions('low');
SELECT * FROM partitions('high');
SELECT parent, status, runway IS NULL AS for_ever, covered_until FROM dbperf.partition_health
WHERE parent IN ('low'::regclass, 'high'::regclass) ORDER BY parent::text COLLATE "C";
SELECT lower_bound, upper_bound, state FROM dbperf.partitions WHERE parent = 'low'::regclass;
SELECT dbperf.create_partition('low', '1970-01-01'), dbperf.create_partition('high', '9999-01-01');
INSERT INTO low VALUES ('-infinity') RETURNING tableoid::regclass;
INSERT INTO high VALUES ('infinity'), ('2027-06-01') RETURNING tableoid::regclass;

-- ranges of the past: from the one that holds the start, up to the end, which is not part of it
SELECT make('history');
SELECT dbperf.manage('history', '1 month', 0);
SELECT dbperf.create_partitions('history', '2026-03-15', '2026-06-01');
SELECT dbperf.create_partitions('history', '2026-01-01', '2026-08-01 00:00:00.000001+00');
SELECT dbperf.create_partitions('history', '2026-01-01', '2026-08-01');
SELECT bound FROM partitions('history');
SELECT fails($$SELECT dbperf.create_partitions('history', '2026-06-01', '2026-06-01')$$);
SELECT fails($$SELECT dbperf.create_partitions('history', '2026-06-01', '2026-05-01')$$);
SELECT fails($$SELECT dbperf.create_partitions('history', '-infinity', '2026-05-01')$$);
SELECT fails($$SELECT dbperf.create_partitions('history', '2026-05-01', 'infinity')$$);
SELECT fails($$SELECT dbperf.create_partitions('history', '2026-05-01', NULL)$$);
SELECT fails($$SELECT dbperf.create_partitions('history', '1900-01-01', '2026-05-01')$$);
SELECT count(*) FROM partitions('history');
-- the procedure commits each, and so cannot run inside a transaction
CALL dbperf.backfill('history', '2025-11-01', '2026-01-01');
CALL dbperf.backfill('history', '2025-11-01', '2026-01-01');
BEGIN;
CALL dbperf.backfill('history', '2024-01-01', '2026-01-01');
ROLLBACK;
SELECT fails($$CALL dbperf.backfill('history', '2024-01-01', '2026-01-01')$$);
-- neither for a table without a policy
SELECT make('unmanaged');
SELECT fails($$SELECT dbperf.create_partition('unmanaged', '2026-01-01')$$);
SELECT fails($$SELECT dbperf.create_partitions('unmanaged', '2026-01-01', '2026-05-01')$$);
SELECT fails($$SELECT dbperf.fill_gaps('unmanaged')$$);
SELECT fails($$SELECT dbperf.run_maintenance('unmanaged')$$);
-- its bounds can be seen all the same
CREATE TABLE u1 PARTITION OF unmanaged FOR VALUES FROM ('2026-11-01') TO ('2026-11-10');
CREATE TABLE u2 PARTITION OF unmanaged FOR VALUES FROM ('2026-11-12') TO (MAXVALUE);
SELECT partition, ord, lower_bound, upper_bound, state FROM dbperf.partition_bounds('unmanaged');
SELECT * FROM dbperf.partition_gaps('unmanaged');
SELECT count(*) FROM dbperf.partition_bounds('pg_class');
-- a partition whose interrupted DETACH still holds its range is not made a second time; that is
-- finished first
CREATE TABLE n (k int) PARTITION BY RANGE (k);
SELECT dbperf.manage('n', 10, 2);
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'n_10'::regclass;
SELECT count(*) FROM dbperf.make_missing('n');
SELECT partition, state FROM dbperf.partition_bounds('n');
SELECT partition, action, status FROM dbperf.run_maintenance('n');
SELECT partition, state FROM dbperf.partition_bounds('n');
SELECT ok, reason FROM dbperf.verify_audit();
