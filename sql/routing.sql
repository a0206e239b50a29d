--
-- Rows at and beside every bound, without a partition, and in a default partition
--
-- Every bound of a month grid: the microsecond before, the bound itself, the microsecond after.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('ticks');
SELECT dbperf.manage('ticks', '1 month');
INSERT INTO ticks
SELECT b.lower_bound::timestamptz + d, 'x'
FROM dbperf.partition_bounds('ticks') b, unnest('{0,1 microsecond}'::interval[]) d
UNION ALL
SELECT b.upper_bound::timestamptz - interval '1 microsecond', 'x' FROM dbperf.partition_bounds('ticks') b;
SELECT tableoid::regclass AS partition, k FROM ticks ORDER BY k;
-- one microsecond outside, at both ends
SELECT fails($$INSERT INTO ticks VALUES ('2026-10-31 23:59:59.999999+00')$$);
SELECT fails($$INSERT INTO ticks VALUES ('2027-02-01 00:00+00')$$);
-- without limit, and far away: no partition of limited length can hold them
SELECT fails($$INSERT INTO ticks VALUES ('-infinity')$$);
SELECT fails($$INSERT INTO ticks VALUES ('infinity')$$);
SELECT fails($$INSERT INTO ticks VALUES ('9999-12-31')$$);
SELECT fails($$SELECT dbperf.create_partition('ticks', '-infinity')$$);
-- far-future and ancient rows do not lead maintenance astray
SELECT dbperf.create_partition('ticks', '9999-12-31');
SELECT dbperf.create_partition('ticks', '0900-05-05');
INSERT INTO ticks VALUES ('9999-12-31'), ('0900-05-05') RETURNING tableoid::regclass, k;
SELECT count(*) FROM dbperf.run_maintenance('ticks');
SET dbperf.now_override = '2026-12-01 00:00+00';
SELECT partition, detail FROM dbperf.run_maintenance('ticks');
SELECT status, future_ready, gaps FROM dbperf.partition_health WHERE parent = 'ticks'::regclass;
-- rows move when their key is updated over a bound
UPDATE ticks SET k = k + interval '2 microseconds' WHERE k = '2026-12-31 23:59:59.999999+00'
    RETURNING tableoid::regclass, k;

-- dates, numbers and epochs at their bounds
SELECT make('d', 'date'), make('n', 'bigint'), make('ms', 'bigint');
SELECT dbperf.manage('d', '1 month', 1), dbperf.manage('n', 10, 1), dbperf.manage('ms', '1 month', 1, epoch_unit => 'ms');
INSERT INTO d VALUES ('2026-12-01'), ('2026-12-31'), ('2027-01-01'), ('2027-01-31') RETURNING tableoid::regclass, k;
INSERT INTO n VALUES (0), (9), (10), (19) RETURNING tableoid::regclass, k;
INSERT INTO ms SELECT extract(epoch FROM t) * 1000 FROM unnest('{2026-12-01 00:00,2026-12-31 23:59:59.999,2027-01-01 00:00}'::timestamptz[]) t
    RETURNING tableoid::regclass, k;
SELECT fails($$INSERT INTO d VALUES ('2027-02-01')$$);
SELECT fails($$INSERT INTO d VALUES ('-infinity')$$);
SELECT fails($$INSERT INTO n VALUES (-1)$$);
SELECT fails($$INSERT INTO n VALUES (20)$$);

-- a default partition: empty, it is in nobody's way
SELECT make('with_default');
CREATE TABLE dflt PARTITION OF with_default DEFAULT;
SELECT dbperf.manage('with_default', '1 month', 1);
SELECT * FROM partitions('with_default');
-- rows far from what is to be made: neither
INSERT INTO with_default VALUES ('-infinity'), ('infinity'), ('1999-01-01'), ('3000-01-01');
SET dbperf.now_override = '2027-01-15 00:00+00';
SELECT partition, status FROM dbperf.run_maintenance('with_default');
SELECT status, default_partition, default_has_rows, reasons FROM dbperf.partition_health WHERE parent = 'with_default'::regclass;
-- rows that belong into the next one: it cannot be made, which is said and shown; no row is lost
INSERT INTO with_default VALUES ('2027-03-10', 'early');
SET dbperf.now_override = '2027-02-15 00:00+00';
SELECT partition, status, detail FROM dbperf.run_maintenance('with_default');
SELECT status, missing, reasons FROM dbperf.partition_health WHERE parent = 'with_default'::regclass;
SELECT action, source, lower_bound, upper_bound, message FROM dbperf.partition_events WHERE action = 'create_failed';
SELECT fails($$SELECT dbperf.create_partition('with_default', '2027-03-10')$$);
SELECT count(*) FROM with_default;
-- others are not stopped by it, and the same failure is not told twice
SELECT parent, status FROM dbperf.run_maintenance() WHERE parent <> 'd'::regclass ORDER BY parent::text COLLATE "C", status;
SELECT count(*) FROM dbperf.partition_events WHERE action = 'create_failed';
-- once the row is elsewhere, it is made, and the error is forgotten
BEGIN;
WITH moved AS (DELETE FROM dflt WHERE k = '2027-03-10' RETURNING *) SELECT count(*) FROM moved;
SELECT dbperf.create_partition('with_default', '2027-03-10');
INSERT INTO with_default VALUES ('2027-03-10', 'early') RETURNING tableoid::regclass;
COMMIT;
SELECT count(*) FROM dbperf.run_maintenance('with_default');
SELECT status, last_error, failures, reasons FROM dbperf.partition_health WHERE parent = 'with_default'::regclass;
-- no guard is left behind
SELECT conname FROM pg_constraint WHERE conrelid = 'dflt'::regclass AND contype = 'c';
