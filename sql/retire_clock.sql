--
-- A clock that has jumped: nothing is detached or dropped by it until it is known to be right
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
CREATE FUNCTION t.clock(p regclass) RETURNS TABLE (clock_at timestamptz, suspect_until timestamptz) LANGUAGE sql AS
    'SELECT clock_at, clock_suspect_until FROM dbperf.policy_state WHERE parent = p';
\set ECHO all
SHOW dbperf.clock_jump_limit;
SELECT make('p'), make('other');
SELECT dbperf.manage('p', '1 month', 0, detach_after => '3 months', drop_after => '4 months', recycle_for => '1 day'),
       dbperf.manage('other', '1 month', 0, detach_after => '3 months');
SELECT dbperf.create_partition('p', '2026-07-07'), dbperf.create_partition('p', '2026-10-10'), dbperf.create_partition('other', '2026-10-10');
-- the first look has nothing to compare with; what is detached now will be due in ten days
SELECT * FROM cleanup();
SELECT * FROM clock('p');
-- forwards, by a little less than the limit, and by a microsecond more
SELECT dbperf.clock_reason('p'::regclass) FROM set_config('dbperf.now_override', '2027-02-19 12:00:00+00', false);
SELECT dbperf.clock_reason('p'::regclass) FROM set_config('dbperf.now_override', '2027-02-19 12:00:00.000001+00', false);
SELECT dbperf.clock_reason('p'::regclass) FROM set_config('dbperf.now_override', '2026-11-21 11:59:00+00', false);
SELECT dbperf.clock_reason('p'::regclass) FROM set_config('dbperf.now_override', '2026-11-21 11:58:59.999999+00', false);
-- years ahead, as a clock without a battery may be: neither partition goes, nor the table in the bin
SET dbperf.now_override = '2033-03-03 00:00:00+00';
SELECT action, partition, decision, reason FROM plan('p') WHERE action <> 'create';
SELECT * FROM cleanup('p');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.p_2026_07')$$);
SELECT reasons FROM dbperf.partition_health WHERE parent = 'p'::regclass;
-- what only looks does not note it
SELECT * FROM clock('p');
CALL dbperf.maintain('p');
SELECT * FROM clock('p');
SELECT * FROM cleanup('p');
SELECT reasons FROM dbperf.partition_health WHERE parent = 'p'::regclass;
SELECT partition, state FROM bin;
SELECT count(*) FROM partitions('p') WHERE partition ~ '2026';
-- back where it was: that is a jump, too
SET dbperf.now_override = '2026-11-21 12:10:00+00';
SELECT * FROM cleanup('p');
CALL dbperf.maintain('p');
SELECT * FROM clock('p');
-- after a day of going on as clocks do it is trusted again
SET dbperf.now_override = '2026-11-22 12:09:59.999999+00';
SELECT dbperf.create_partition('p', '2026-06-06');
SELECT * FROM cleanup('p');
CALL dbperf.maintain('p');
SELECT * FROM clock('p');
SET dbperf.now_override = '2026-11-22 12:10:00+00';
SELECT * FROM cleanup('p');
SELECT * FROM clock('p');
SELECT status, reasons FROM dbperf.partition_health WHERE parent = 'p'::regclass;
SELECT partition, state FROM bin;
-- within the day, another jump begins it anew
UPDATE dbperf.policy_state SET clock_at = '2026-08-01', clock_suspect_until = NULL WHERE parent = 'p'::regclass;
CALL dbperf.maintain('p');
UPDATE dbperf.policy_state SET clock_at = '2026-11-22 12:11:01+00' WHERE parent = 'p'::regclass;
SET dbperf.now_override = '2026-11-22 12:10:01+00';
CALL dbperf.maintain('p');
SELECT * FROM clock('p');
UPDATE dbperf.policy_state SET clock_at = '2026-11-22 12:11:01.000001+00' WHERE parent = 'p'::regclass;
CALL dbperf.maintain('p');
SELECT * FROM clock('p');
-- a server that was off for half a year, and is right: somebody says so
SET dbperf.now_override = '2027-05-05 00:00:00+00';
SELECT * FROM cleanup();
SELECT dbperf.confirm_clock();
SELECT * FROM clock('p');
SELECT * FROM clock('other');
SELECT * FROM cleanup();
SELECT status, reasons FROM dbperf.partition_health WHERE 'the clock' = ANY (reasons) OR reasons::text LIKE '%clock%';
-- by hand a partition may be detached whatever the clock says, but not dropped
UPDATE dbperf.policy_state SET clock_at = '2001-01-01' WHERE parent = 'p'::regclass;
SELECT dbperf.create_partition('p', '2026-05-05');
SELECT dbperf.detach_partition('p_2026_05');
SET dbperf.now_override = '2027-05-06 00:00:00+00';
SELECT fails($$SELECT dbperf.drop_partition('t_archive.p_2026_05')$$);
SELECT dbperf.confirm_clock();
SELECT dbperf.drop_partition('t_archive.p_2026_05');
-- a table that does not retire is no reason for health to speak of clocks
SELECT make('plain');
SELECT dbperf.manage('plain', '1 month', 0);
UPDATE dbperf.policy_state SET clock_at = '2001-01-01' WHERE parent = 'plain'::regclass;
SELECT status, reasons FROM dbperf.partition_health WHERE parent = 'plain'::regclass;
SELECT action, status FROM run('plain');
SELECT action, count(*) FROM dbperf.partition_events WHERE action IN ('detach', 'drop') GROUP BY action ORDER BY action;
