--
-- A clock that goes on, jumps ahead and jumps back; premake 0
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('daily');
SELECT dbperf.manage('daily', '1 day', 1);
SELECT partition FROM partitions('daily');
-- nothing is due until the next bound, to the microsecond
SET dbperf.now_override = '2026-11-21 23:59:59.999999+00';
SELECT count(*) FROM dbperf.run_maintenance();
SET dbperf.now_override = '2026-11-22 00:00:00+00';
SELECT partition FROM dbperf.run_maintenance();
-- ahead by a month: what is current and next is made, the days between are reported as a gap
SET dbperf.now_override = '2026-12-24 18:00:00+00';
SELECT status, future_ready, missing, reasons FROM dbperf.partition_health;
SELECT partition FROM dbperf.run_maintenance();
SELECT status, gaps, reasons FROM dbperf.partition_health;
-- back again: what was made ahead stays, nothing is dropped or made twice
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT count(*) FROM dbperf.run_maintenance();
SELECT partition, state FROM dbperf.partitions ORDER BY lower_bound;
SELECT status, future_ready, missing, runway, covered_until FROM dbperf.partition_health;
-- back to before the first partition
SET dbperf.now_override = '2020-02-28 12:00:00+00';
SELECT status, covered_until, runway, reasons FROM dbperf.partition_health;
SELECT partition FROM dbperf.run_maintenance();
SELECT partition, state FROM dbperf.partitions ORDER BY lower_bound LIMIT 3;
-- by centuries
SET dbperf.now_override = '2999-12-31 23:00:00+00';
SELECT partition FROM dbperf.run_maintenance();
-- beyond what can be a bound: nothing to make, and no error
SET dbperf.now_override = '294276-12-31 12:00:00+00';
SELECT count(*) FROM dbperf.run_maintenance();
SELECT status, reasons FROM dbperf.partition_health;
SET dbperf.now_override = '4713-01-01 12:00:00+00 BC';
SELECT count(*) FROM dbperf.run_maintenance();
-- only a moment can be the clock
SET dbperf.now_override = 'tomorrow';
SET dbperf.now_override = 'now';
SET dbperf.now_override = 'infinity';
SET dbperf.now_override = '2026-13-01';
CREATE ROLE regress_dbperf_clock;
SET ROLE regress_dbperf_clock;
SET dbperf.now_override = '2026-11-21';
RESET ROLE;
DROP ROLE regress_dbperf_clock;
-- the clock of the machine is not stuck
SET dbperf.now_override = '';
SELECT count(*) <= 2 AS at_most_two FROM dbperf.run_maintenance();
SELECT count(*) AS covers_now FROM dbperf.partitions
WHERE state = 'current' AND clock_timestamp() BETWEEN lower_bound::timestamptz AND upper_bound::timestamptz;

-- premake 0: only the current one, and none ahead is no fault
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT make('zero');
SELECT dbperf.manage('zero', '1 hour', 0);
SELECT * FROM partitions('zero');
SELECT status, future_ready, missing, runway FROM dbperf.partition_health WHERE parent = 'zero'::regclass;
SET dbperf.now_override = '2026-11-21 13:00:00+00';
SELECT status, missing, reasons FROM dbperf.partition_health WHERE parent = 'zero'::regclass;
SELECT partition FROM dbperf.run_maintenance('zero');
-- the most that can be made in one go
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT make('many', 'date');
SELECT dbperf.manage('many', '1 day', 501, enabled => false);
SELECT count(*) FROM dbperf.run_maintenance('many');
SELECT count(*) FROM dbperf.run_maintenance('many');
SELECT count(*) FROM dbperf.run_maintenance('many');
SELECT future_ready, status FROM dbperf.partition_health WHERE parent = 'many'::regclass;
