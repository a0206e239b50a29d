--
-- dbperf.partition_health: every reason, alone, with the status that it makes
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE FUNCTION health(what regclass) RETURNS TABLE (status text, reasons text[]) LANGUAGE sql AS $$
    SELECT status, reasons FROM dbperf.partition_health WHERE parent = what
$$;
SELECT make('h');
-- ok
SELECT dbperf.manage('h', '1 month', 2);
SELECT * FROM health('h');
SELECT partitions, premake, future_ready, missing, runway, covered_until, gaps, overlapping, off_grid, dst_drift,
       default_partition, default_has_rows, enabled, last_run_at IS NOT NULL AS has_run, last_error, last_error_at, failures, next_try_at
FROM dbperf.partition_health;
-- premake partitions missing: a warning while one is ready, critical when none is
SET dbperf.now_override = '2026-12-15 00:00+00';
SELECT * FROM health('h');
SET dbperf.now_override = '2027-01-15 00:00+00';
SELECT * FROM health('h');
-- no partition for now
SET dbperf.now_override = '2027-02-15 00:00+00';
SELECT * FROM health('h');
SELECT runway, covered_until, future_ready FROM dbperf.partition_health;
-- the same with a default partition, which takes the rows
CREATE TABLE h_default PARTITION OF h DEFAULT;
SELECT * FROM health('h');
SELECT default_partition, default_has_rows FROM dbperf.partition_health;
INSERT INTO h VALUES ('2020-01-01');
SET dbperf.now_override = '2026-11-21 12:00+00';
SELECT * FROM health('h');
-- a real look, not an estimate: dead rows are none
DELETE FROM h;
SELECT * FROM health('h');
BEGIN;
INSERT INTO h VALUES ('2020-01-01');
SELECT default_has_rows FROM dbperf.partition_health;
ROLLBACK;
SELECT default_has_rows FROM dbperf.partition_health;
DROP TABLE h_default;
-- a gap
SELECT dbperf.create_partition('h', '2027-03-03');
SELECT * FROM health('h');
SELECT dbperf.fill_gaps('h');
-- other bounds than the policy's
CREATE TABLE h_odd PARTITION OF h FOR VALUES FROM ('2027-04-01') TO ('2027-04-11');
SELECT * FROM health('h');
DROP TABLE h_odd;
-- over several periods
CREATE TABLE h_long PARTITION OF h FOR VALUES FROM ('2027-04-01') TO ('2027-07-01');
SELECT * FROM health('h');
SELECT overlapping, off_grid FROM dbperf.partition_health;
DROP TABLE h_long;
-- off by daylight saving time
CREATE TABLE h_dst PARTITION OF h FOR VALUES FROM ('2027-04-01') TO ('2027-05-01 01:00+00');
SELECT * FROM health('h');
DROP TABLE h_dst;
-- disabled
SELECT dbperf.alter_policy('h', enabled => false);
SELECT * FROM health('h');
SELECT dbperf.alter_policy('h', enabled => true);
-- nobody has looked for long (by the clock of the machine)
UPDATE dbperf.policy_state SET last_run_at = '2001-02-03 04:05:06+00';
SELECT * FROM health('h');
DELETE FROM dbperf.policy_state;
SELECT * FROM health('h');
-- the last run failed
UPDATE dbperf.policy SET naming_pattern = repeat('x', 59) || '{from:YYYY}';
CREATE TABLE xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx2027 ();
SET dbperf.now_override = '2027-02-15 00:00+00';
SET client_min_messages = error;
SELECT status, detail FROM dbperf.run_maintenance('h');
SELECT status, detail FROM dbperf.run_maintenance('h');
RESET client_min_messages;
SELECT * FROM health('h');
SELECT last_error, last_error_at IS NOT NULL AS has_time, failures, next_try_at > last_error_at AS tried_later FROM dbperf.partition_health;
-- mended: it is tried at once, and all is well
SELECT dbperf.alter_policy('h', naming_pattern => 'y_{from}');
SELECT next_try_at, failures FROM dbperf.partition_health;
SELECT status, partition FROM dbperf.run_maintenance('h');
SELECT * FROM health('h');
SELECT last_error, failures, next_try_at FROM dbperf.partition_health;
-- a partitioned default partition is not looked into
SELECT make('sub');
CREATE TABLE sub_default PARTITION OF sub DEFAULT PARTITION BY LIST (v);
SELECT dbperf.manage('sub', '1 month', 0, enabled => false);
SELECT default_partition, default_has_rows FROM dbperf.partition_health WHERE parent = 'sub'::regclass;
-- numbers: no time until inserts fail, but what is ready
SELECT make('n', 'bigint');
SELECT dbperf.manage('n', 100, 2);
INSERT INTO n VALUES (250);
SELECT status, reasons, future_ready, missing, runway, covered_until FROM dbperf.partition_health WHERE parent = 'n'::regclass;
SELECT count(*) FROM dbperf.run_maintenance('n');
SELECT status, reasons, future_ready, missing, runway, covered_until FROM dbperf.partition_health WHERE parent = 'n'::regclass;
-- an empty table
SELECT make('empty');
SELECT dbperf.manage('empty', '1 day', enabled => false);
SELECT status, reasons, partitions, runway FROM dbperf.partition_health WHERE parent = 'empty'::regclass;
-- every managed table has its row, in any time zone that the session is in
SET TimeZone = 'Asia/Kolkata';
SELECT parent, status, covered_until FROM dbperf.partition_health ORDER BY parent::text COLLATE "C";
