--
-- manage(), alter_policy(), unmanage(): what they do when all is well
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('ticks');
SELECT dbperf.manage('ticks', '1 month');
SELECT * FROM partitions('ticks');
SELECT jsonb_pretty(to_jsonb(p) - 'created_at') AS policy FROM dbperf.policy p;

-- again: nothing is made, and what is given is changed
SELECT dbperf.manage('ticks');
SELECT dbperf.manage('ticks', '1 month', 3);
SELECT * FROM partitions('ticks');
SELECT partition_interval, premake FROM dbperf.policy;

-- every argument by name
SELECT make('named');
SELECT dbperf.manage(parent => 'named', partition_interval => '1 day', premake => 1, anchor => '2026-01-01 06:00',
    time_zone => 'Asia/Tokyo', epoch_unit => NULL, naming_pattern => '{table}__{from:YYYYMMDDHH24}',
    tablespace => 'pg_default', enabled => true, run_order => 7, lock_budget => '150 ms', sanity_window => '10 days');
SELECT * FROM partitions('named');
SELECT jsonb_strip_nulls(to_jsonb(p) - 'parent' - 'created_at') AS policy FROM dbperf.policy p WHERE parent = 'named'::regclass;

-- an interval and a number as such, and by position
SELECT make('as_interval', 'date'), make('as_bigint', 'bigint'), make('as_integer', 'integer');
SELECT dbperf.manage('as_interval', interval '2 weeks', 0);
SELECT dbperf.manage('as_bigint', 1000, 1);
SELECT dbperf.manage('as_integer', 5000000000 / 1000000, 0, anchor => '3');
SELECT p.parent, b.* FROM dbperf.policy p, partitions(p.parent) b
WHERE p.parent::text LIKE 'as%' ORDER BY p.parent::text COLLATE "C", b.partition;

-- an epoch unit, too, may be given again, but not another one
SELECT make('epoch', 'bigint');
SELECT dbperf.manage('epoch', '1 month', 0, epoch_unit => 'ms');
SELECT dbperf.manage('epoch', '1 month', 0, epoch_unit => 'Milliseconds');
SELECT fails($$SELECT dbperf.manage('epoch', epoch_unit => 'seconds')$$);
SELECT epoch_unit FROM dbperf.policy WHERE parent = 'epoch'::regclass;

-- intervals and times mean the same under any DateStyle and IntervalStyle
SELECT make('styles');
SET DateStyle = 'SQL, DMY';
SET TimeZone = 'Asia/Kolkata';
SET IntervalStyle = 'sql_standard';
SELECT dbperf.manage('styles', interval '1 hour', 0);
SELECT dbperf.create_partition('styles', timestamptz '2027-06-30 20:30 UTC');
SELECT dbperf.unmanage('styles');
SELECT dbperf.manage('styles', premake => 0);
SELECT dbperf.alter_policy('styles', interval '1 month 2 days 3 hours');
SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SELECT anchor, time_zone, partition_interval FROM dbperf.policy WHERE parent = 'styles'::regclass;
SELECT dbperf.unmanage('styles');

-- a disabled policy makes nothing, until it is enabled
SELECT make('later');
SELECT dbperf.manage('later', '1 year', enabled => false);
SELECT count(*) FROM partitions('later');
SELECT count(*) FROM dbperf.run_maintenance();
SELECT dbperf.alter_policy('later', enabled => true);
SELECT status, partition FROM dbperf.run_maintenance();

-- alter_policy() changes what it is given, and nothing at once
SELECT dbperf.alter_policy('later', '6 months', premake => 4, time_zone => 'Asia/Tokyo', naming_pattern => 'x_{from}',
    tablespace => 'pg_default', run_order => 1, lock_budget => '1 second', sanity_window => '1 day');
SELECT jsonb_strip_nulls(to_jsonb(p) - 'parent' - 'created_at') AS policy FROM dbperf.policy p WHERE parent = 'later'::regclass;
SELECT dbperf.alter_policy('later');
SELECT dbperf.alter_policy('later', tablespace => '');
SELECT dbperf.alter_policy('later', interval '3 months');
SELECT dbperf.alter_policy('as_bigint', 2000);
SELECT dbperf.alter_policy('as_bigint', '500', anchor => '250', sanity_window => '77');
SELECT partition_interval, tablespace FROM dbperf.policy WHERE parent = 'later'::regclass;
SELECT partition_step, anchor_key, sanity_step FROM dbperf.policy WHERE parent = 'as_bigint'::regclass;

-- when partitions retire: nothing by itself, all by name, and with each type of interval by position
CREATE VIEW retirement AS
    SELECT parent, detach_after, detach_step, drop_after, drop_step, recycle_for, archive_schema, require_archive, quiet_hours, lock_tries
    FROM dbperf.policy WHERE parent::text LIKE 'old%' ORDER BY parent::text COLLATE "C";
SELECT make('old'), make('old_date', 'date'), make('old_epoch', 'bigint'), make('old_ids', 'bigint'), make('old_seconds', 'integer');
SELECT dbperf.manage('old', '1 month', enabled => false), dbperf.manage('old_ids', 1000, enabled => false);
SELECT * FROM retirement;
SELECT dbperf.manage('old', detach_after => '3 months', drop_after => '1 year', recycle_for => '30 days', archive_schema => 'attic',
    require_archive => true, quiet_hours => '22:00-06:00', lock_tries => 9);
SELECT dbperf.manage('old_ids', 1000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    '5000', '9000000000', '1 day', 'id_attic', true, '09:30-16:00', 20);
SELECT dbperf.manage('old_date', interval '1 week', 0, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL,
    '36 hours', '36 hours', '0', 'Date "attic"', false, '00:00-23:59', 1);
-- an integer key that counts time waits for times
SELECT dbperf.manage('old_epoch', '1 day', epoch_unit => 'ms', enabled => false, drop_after => 'P1M'),
       dbperf.manage('old_seconds', '1 day', epoch_unit => 's', enabled => false, detach_after => '0');
SELECT * FROM retirement;
SELECT dbperf.alter_policy('old_date', interval '1 week', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    '2 days', '3 days', '4 days', 'x', true, '23:59-00:00', 2);
SELECT dbperf.alter_policy('old_ids', 1000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    '0', '0', '5 days', 'y', false, '00:00-00:01', 3);
SELECT dbperf.alter_policy('old_epoch', '1 day', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    '1 day', NULL, '6 days', 'z', true, '05:00-06:00', 5);
-- what is not given stays
SELECT dbperf.alter_policy('old', detach_after => '2 months');
SELECT * FROM retirement;
-- and goes when it is taken back, one by one
SELECT dbperf.alter_policy('old', detach_after => 'never', quiet_hours => ''),
       dbperf.alter_policy('old_date', drop_after => 'Never', archive_schema => '', require_archive => false),
       dbperf.alter_policy('old_epoch', detach_after => 'never', drop_after => 'never', archive_schema => 'none'),
       dbperf.alter_policy('old_ids', drop_after => 'NEVER', quiet_hours => 'none'),
       dbperf.manage('old_seconds', detach_after => 'never');
SELECT * FROM retirement;
SELECT dbperf.alter_policy('old_ids', detach_after => 'never', archive_schema => '');
SELECT dbperf.unmanage('old_epoch');
SELECT dbperf.manage('old_epoch', '1 day', epoch_unit => 'us', enabled => false, detach_after => 'never', drop_after => 'never',
    archive_schema => '', quiet_hours => '');
SELECT * FROM retirement WHERE parent IN ('old_epoch'::regclass, 'old_ids'::regclass);
SELECT count(dbperf.unmanage(parent)) FROM retirement;

-- policies are served in their order
SELECT make('one'), make('two'), make('three');
SELECT dbperf.manage('one', '1 month', enabled => false, run_order => 3),
       dbperf.manage('two', '1 month', enabled => false, run_order => 1),
       dbperf.manage('three', '1 month', enabled => false, run_order => 2);
UPDATE dbperf.policy SET enabled = parent IN ('one'::regclass, 'two'::regclass, 'three'::regclass), premake = 0;
SELECT parent, partition, action, status, detail FROM dbperf.run_maintenance();

-- unmanage() leaves the partitions, and says whether there was anything to end
SELECT dbperf.unmanage('ticks');
SELECT dbperf.unmanage('ticks');
SELECT count(*) FROM partitions('ticks');
SELECT count(*) FROM dbperf.policy WHERE parent = 'ticks'::regclass;
SELECT count(*) FROM dbperf.policy_state WHERE parent = 'ticks'::regclass;
-- and management can begin anew
SELECT dbperf.manage('ticks');

-- a dropped table takes its policy along, and the audit still names it
DROP TABLE two;
SELECT parent FROM dbperf.policy WHERE parent::text LIKE 't%' ORDER BY parent::text COLLATE "C";
SELECT action, parent FROM dbperf.partition_events WHERE action = 'unmanage' ORDER BY event_id;
BEGIN;
DROP TABLE three;
ROLLBACK;
SELECT parent FROM dbperf.policy WHERE parent = 'three'::regclass;
CREATE SCHEMA regress_gone CREATE TABLE g (k date) PARTITION BY RANGE (k);
SELECT dbperf.manage('regress_gone.g', '1 day');
SET client_min_messages = warning;
DROP SCHEMA regress_gone CASCADE;
RESET client_min_messages;
SELECT action, parent FROM dbperf.partition_events WHERE parent LIKE '%gone%' AND action <> 'create' ORDER BY event_id;
SELECT count(*) AS without_table FROM dbperf.policy p WHERE NOT EXISTS (SELECT FROM pg_class WHERE oid = p.parent);
-- a renamed or moved table keeps its policy, under its new name
ALTER TABLE one RENAME TO uno;
SELECT dbperf.alter_policy('uno', premake => 1);
SELECT partition FROM dbperf.run_maintenance('uno');
SELECT ok, reason FROM dbperf.verify_audit();
