--
-- When a partition is due: keys of every type, calendars, quiet hours, bounds without an end
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
\set ECHO all
-- every type that counts time; 2026-11-21 12:00 UTC is 1795262400 s
SELECT make('by_tz'), make('by_ts', 'timestamp'), make('by_date', 'date'), make('by_s', 'int'), make('by_ms', 'bigint'), make('by_us', 'bigint');
SELECT dbperf.manage('by_tz', '1 day', 0, detach_after => '36 hours'),
       dbperf.manage('by_ts', '1 day', 0, detach_after => '36 hours', time_zone => 'Asia/Tokyo'),
       dbperf.manage('by_date', '1 day', 0, detach_after => '36 hours'),
       dbperf.manage('by_s', '1 day', 0, epoch_unit => 's', detach_after => '36 hours'),
       dbperf.manage('by_ms', '1 day', 0, epoch_unit => 'ms', detach_after => '36 hours'),
       dbperf.manage('by_us', '1 day', 0, epoch_unit => 'us', detach_after => '36 hours');
SELECT count(dbperf.create_partition(p::regclass, '2026-11-19')), count(dbperf.create_partition(p::regclass, '2026-11-20'))
FROM unnest('{by_tz,by_ts,by_date}'::text[]) p;
SELECT dbperf.create_partition('by_s', 1795132799), dbperf.create_partition('by_s', 1795132800),
       dbperf.create_partition('by_ms', 1795132799999), dbperf.create_partition('by_ms', 1795132800000),
       dbperf.create_partition('by_us', 1795132799999999), dbperf.create_partition('by_us', 1795132800000000);
SELECT parent, partition, action, decision FROM dbperf.plan_maintenance() ORDER BY parent::text COLLATE "C", step;
SELECT parent, partition, status FROM dbperf.cleanup_old_partitions() ORDER BY parent::text COLLATE "C", partition COLLATE "C";
SELECT original_name, lower_bound, upper_bound, upper_at, upper_key FROM dbperf.recycle_bin ORDER BY parent::text COLLATE "C", upper_at;
SELECT c.conrelid::regclass, pg_get_constraintdef(c.oid) FROM pg_constraint c JOIN dbperf.recycle_bin b ON b.partition = c.conrelid
WHERE c.conname = 'dbperf_bound' ORDER BY 1::text COLLATE "C";
-- to the microsecond, in calendar units of the policy's time zone: one month is 28 days, or 31 and
-- an hour less
SELECT make('ny');
SELECT dbperf.manage('ny', '1 month', 0, time_zone => 'America/New_York', detach_after => '1 month', enabled => false);
SELECT dbperf.create_partition('ny', '2026-01-15');
SELECT is_due('ny', '2026-03-01 04:59:59.999999+00'), is_due('ny', '2026-03-01 05:00:00+00');
SELECT status FROM cleanup('ny');
SELECT dbperf.create_partition('ny', '2026-02-15');
SELECT is_due('ny', '2026-04-01 03:59:59.999999+00'), is_due('ny', '2026-04-01 04:00:00+00');
-- whatever time zone the session is in
SET TimeZone = 'Asia/Kolkata';
SELECT is_due('ny', '2026-04-01 03:59:59.999999+00'), is_due('ny', '2026-04-01 04:00:00+00');
SET TimeZone = 'UTC';
-- the 31st: the last day of a short month will do
SELECT make('eom', 'date');
SELECT dbperf.manage('eom', '1 day', 0, detach_after => '1 month', enabled => false);
SELECT dbperf.create_partition('eom', '2026-01-30');
SELECT is_due('eom', '2026-02-27 23:59:59.999999+00'), is_due('eom', '2026-02-28 00:00+00');
-- an hour that does not exist, and one that comes twice
SELECT make('dst');
SELECT dbperf.manage('dst', '1 hour', 0, time_zone => 'America/New_York', detach_after => '1 day', enabled => false);
CREATE TABLE dst_spring PARTITION OF dst FOR VALUES FROM ('2026-03-07 06:30+00') TO ('2026-03-07 07:30+00');
SELECT is_due('dst', '2026-03-08 07:29:59+00'), is_due('dst', '2026-03-08 07:30+00');
DROP TABLE dst_spring;
CREATE TABLE dst_autumn PARTITION OF dst FOR VALUES FROM ('2026-10-31 04:30+00') TO ('2026-10-31 05:30+00');
SELECT is_due('dst', '2026-11-01 05:29:59+00'), is_due('dst', '2026-11-01 06:30+00');
-- plain numbers: behind the highest partition that has rows
SELECT make('num', 'bigint');
SELECT dbperf.manage('num', 100, 1, detach_after => '250');
SELECT count(*) FROM dbperf.create_partitions('num', '-300', '500');
SELECT action, partition, decision FROM plan('num');
INSERT INTO num VALUES (5);
SELECT action, partition, decision FROM plan('num') WHERE action = 'detach';
INSERT INTO num VALUES (149);
SELECT action, partition, decision FROM plan('num') WHERE action = 'detach';
INSERT INTO num VALUES (399);
SELECT * FROM cleanup('num');
SELECT original_name, lower_bound, upper_bound, upper_at, upper_key FROM dbperf.recycle_bin WHERE parent = 'num'::regclass ORDER BY upper_key;
-- the one in use never goes, nor what is to come
SELECT dbperf.alter_policy('num', detach_after => '0');
SELECT * FROM cleanup('num');
SELECT * FROM partitions('num');
SELECT dbperf.alter_policy('by_tz', detach_after => '0');
SELECT * FROM cleanup('by_tz');
SELECT * FROM partitions('by_tz');
-- at the ends of bigint
SELECT make('big', 'bigint');
SELECT dbperf.manage('big', 100, 0, detach_after => '9223372036854775807', enabled => false);
CREATE TABLE big_low PARTITION OF big FOR VALUES FROM (MINVALUE) TO (-9223372036854775800);
CREATE TABLE big_mid PARTITION OF big FOR VALUES FROM (0) TO (9223372036854775807);
INSERT INTO big VALUES (7);
SELECT * FROM cleanup('big');
SELECT dbperf.alter_policy('big', detach_after => '9223372036854775800');
SELECT * FROM cleanup('big');
SELECT lower_bound, upper_bound, upper_key FROM dbperf.recycle_bin WHERE parent = 'big'::regclass;
-- without a start, and without an end
SELECT make('ends');
CREATE TABLE ends_first PARTITION OF ends FOR VALUES FROM (MINVALUE) TO ('2026-01-01');
CREATE TABLE ends_last PARTITION OF ends FOR VALUES FROM ('2026-02-01') TO (MAXVALUE);
SELECT dbperf.manage('ends', '1 month', 0, anchor => '2026-01-01', detach_after => '1 month', drop_after => '2 months', recycle_for => '0', enabled => false);
SELECT * FROM plan('ends');
SELECT * FROM cleanup('ends');
SELECT lower_bound, upper_bound, upper_at FROM bin NATURAL JOIN dbperf.recycle_bin WHERE parent = 'ends'::regclass;
-- by hand it goes to the bin, but is never old enough to be dropped
SELECT dbperf.detach_partition('ends_last');
SELECT * FROM cleanup('ends');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.ends_last')$$);
-- no due date at all, or only one for dropping
SELECT make('never'), make('via_drop');
SELECT dbperf.manage('never', '1 month', 0), dbperf.manage('via_drop', '1 month', 0, drop_after => '6 months');
SELECT count(dbperf.create_partition(p::regclass, '2000-01-01')), count(dbperf.create_partition(p::regclass, '2026-06-01')) FROM unnest('{never,via_drop}'::text[]) p;
SELECT * FROM cleanup('never');
SELECT * FROM cleanup('via_drop');
-- quiet hours, in the policy's time zone: 2026-11-21 12:00 UTC is 07:00 in New York
SELECT make('quiet');
SELECT dbperf.manage('quiet', '1 month', 0, detach_after => '1 month', time_zone => 'America/New_York', quiet_hours => '07:00-09:30');
SELECT dbperf.create_partition('quiet', '2026-06-06');
SELECT * FROM plan('quiet');
SELECT * FROM cleanup('quiet');
SELECT reasons FROM dbperf.partition_health WHERE parent = 'quiet'::regclass;
SELECT q AS quiet_hours, z AS time_zone, dbperf.in_quiet_hours(q, z)
FROM unnest('{07:00-09:30,06:59-07:00,07:01-06:59,07:01-07:00,22:00-07:01,22:00-06:00,12:00-12:01,00:00-23:59}'::text[]) q, unnest('{America/New_York,UTC}'::text[]) z;
SET dbperf.now_override = '2026-11-21 14:29:59+00';
SELECT status, detail FROM cleanup('quiet');
SET dbperf.now_override = '2026-11-21 14:30:00+00';
SELECT status, detail FROM cleanup('quiet');
SELECT reasons FROM dbperf.partition_health WHERE parent = 'quiet'::regclass;
-- by hand, at any hour
SELECT dbperf.create_partition('quiet', '2026-07-06');
SET dbperf.now_override = '2026-11-21 14:00:00+00';
SELECT dbperf.detach_partition('quiet_2026_07');
-- a disabled policy is served only by its name
SELECT make('off');
SELECT dbperf.manage('off', '1 month', 0, detach_after => '1 month', enabled => false);
SELECT dbperf.create_partition('off', '2026-06-06');
SELECT * FROM plan() WHERE partition LIKE 't.off%';
SELECT * FROM cleanup() WHERE partition LIKE 't.off%';
SELECT * FROM run() WHERE partition LIKE 't.off%';
CALL dbperf.maintain();
SELECT * FROM partitions('off');
SELECT action, partition, decision FROM plan('off');
SELECT action, partition, status FROM cleanup('off');
-- what was attached again is left alone for as long as was said
SELECT dbperf.attach_partition('t_archive.off_2026_06', '2 days');
SELECT * FROM plan('off') WHERE action = 'detach';
SELECT * FROM cleanup('off');
SET dbperf.now_override = '2026-11-23 13:59:59+00';
SELECT status, detail FROM cleanup('off');
SET dbperf.now_override = '2026-11-23 14:00:00+00';
SELECT action, partition, status, detail FROM cleanup('off');
SELECT state, hold_until FROM dbperf.recycle_bin WHERE parent = 'off'::regclass;
-- CALL maintain() detaches as well
SELECT make('called');
SELECT dbperf.manage('called', '1 month', 0, detach_after => '1 month');
SELECT dbperf.create_partition('called', '2026-06-06'), dbperf.create_partition('called', '2026-07-06');
CALL dbperf.maintain('called');
SELECT * FROM partitions('called');
SELECT partition, state FROM bin WHERE parent = 'called'::regclass;
