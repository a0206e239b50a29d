--
-- Dropping: never sooner than drop_after and recycle_for say, never what somebody needs
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
SET client_min_messages = warning;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'regress_dbperf_slot' \g /dev/null
RESET client_min_messages;
\set ECHO all
--
-- Both waiting times must be over: here drop_after is the longer one
--
SELECT make('a');
SELECT dbperf.manage('a', '1 month', 0, detach_after => '1 month', drop_after => '2 months', recycle_for => '7 days');
SELECT dbperf.create_partition('a', '2026-09-15');
SELECT * FROM cleanup('a');
-- what is not due is no step, and nothing that health tells of
SET dbperf.now_override = '2026-11-30 23:59:59.999999+00';
SELECT * FROM plan('a') WHERE action = 'drop';
SELECT * FROM cleanup('a');
SELECT status, reasons FROM dbperf.partition_health;
SELECT fails($$SELECT dbperf.drop_partition('t_archive.a_2026_09')$$);
SET dbperf.now_override = '2026-12-01 00:00:00+00';
SELECT * FROM plan('a') WHERE action = 'drop';
SELECT * FROM cleanup('a');
SELECT count(*) FROM dbperf.recycle_bin;
SELECT to_regclass('t_archive.a_2026_09');
-- here recycle_for is
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT make('b');
SELECT dbperf.manage('b', '1 month', 0, drop_after => '1 month', recycle_for => '10 days');
SELECT dbperf.create_partition('b', '2026-01-15');
SELECT * FROM cleanup('b');
SET dbperf.now_override = '2026-12-01 11:59:59.999999+00';
SELECT * FROM cleanup('b');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.b_2026_01')$$);
SET dbperf.now_override = '2026-12-01 12:00:00+00';
SELECT * FROM cleanup('b');
-- the days in the bin are days of the policy's time zone, whatever the session's: a long day in New York
SET dbperf.now_override = '2026-10-30 12:00:00+00';
SELECT make('tz');
SELECT dbperf.manage('tz', '1 month', 0, drop_after => '1 month', recycle_for => '3 days', time_zone => 'America/New_York');
SELECT dbperf.create_partition('tz', '2026-01-15');
SELECT status FROM cleanup('tz');
SET dbperf.now_override = '2026-11-02 12:59:59.999999+00';
SET TimeZone = 'UTC';
SELECT * FROM cleanup('tz');
SET TimeZone = 'America/New_York';
SELECT * FROM cleanup('tz');
SET dbperf.now_override = '2026-11-02 13:00:00+00';
SELECT decision FROM plan('tz') WHERE action = 'drop';
SET TimeZone = 'UTC';
SELECT decision FROM plan('tz') WHERE action = 'drop';
SELECT * FROM cleanup('tz');
-- plain numbers
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT make('num', 'bigint');
SELECT dbperf.manage('num', 100, 0, detach_after => '100', drop_after => '300', recycle_for => '0');
SELECT count(*) FROM dbperf.create_partitions('num', '0', '600');
INSERT INTO num VALUES (250);
SELECT * FROM cleanup('num');
SELECT * FROM cleanup('num');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.num_0')$$);
INSERT INTO num VALUES (400);
SELECT * FROM cleanup('num');
-- detached by hand before it was due: drop_after holds
SELECT dbperf.detach_partition('num_300');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.num_300')$$);
-- a policy that never drops: only by hand, after recycle_for
SELECT make('never');
SELECT dbperf.manage('never', '1 month', 0, detach_after => '1 month', recycle_for => '1 day');
SELECT dbperf.create_partition('never', '2026-01-15'), dbperf.create_partition('never', '2026-02-15');
SELECT status FROM cleanup('never');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.never_2026_01')$$);
SET dbperf.now_override = '2026-11-22 12:00:00+00';
SELECT * FROM cleanup('never');
SELECT dbperf.drop_partition('t_archive.never_2026_01');
SELECT to_regclass('t_archive.never_2026_01') AS gone, to_regclass('t_archive.never_2026_02') AS there;
-- not in quiet hours
SELECT dbperf.alter_policy('never', quiet_hours => '12:00-13:00');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.never_2026_02')$$);
SET dbperf.now_override = '2026-11-22 13:00:00+00';
SELECT dbperf.drop_partition('t_archive.never_2026_02');
-- a changed policy counts as it is now
SELECT make('changed');
SELECT dbperf.manage('changed', '1 month', 0, drop_after => '1 month', recycle_for => '0', enabled => false);
SELECT dbperf.create_partition('changed', '2026-01-15');
SELECT dbperf.detach_partition('changed_2026_01');
SELECT dbperf.alter_policy('changed', drop_after => '10 years');
SELECT * FROM plan('changed') WHERE action = 'drop';
SELECT * FROM cleanup('changed');
SELECT dbperf.unmanage('changed');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.changed_2026_01')$$);
SELECT fails($$SELECT * FROM cleanup('changed')$$);
SELECT * FROM cleanup();
SELECT partition FROM bin WHERE parent = 'changed'::regclass;
-- somebody's DROP TABLE takes it out of the bin, and so does that of its parent
DROP TABLE t_archive.changed_2026_01;
SELECT count(*) FROM bin WHERE parent = 'changed'::regclass;
SELECT dbperf.detach_partition('b_2026_11');
SELECT count(*) FROM bin WHERE parent = 'b'::regclass;
DROP TABLE b;
SELECT count(*) FROM bin WHERE original_name LIKE 'b\_%';
SELECT to_regclass('t_archive.b_2026_11');
--
-- What keeps a table that is due
--
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT make('d');
SELECT dbperf.manage('d', '1 month', 0, drop_after => '6 months', recycle_for => '1 hour');
CREATE TABLE d_old PARTITION OF d FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE INDEX ON d_old (v);
INSERT INTO d_old SELECT '2026-01-02', i FROM generate_series(1, 5) i;
SELECT * FROM cleanup('d');
SET dbperf.now_override = '2026-11-21 13:00:00+00';
CREATE VIEW d_view AS SELECT count(*) FROM t_archive.d_old;
CREATE MATERIALIZED VIEW d_matview AS SELECT v FROM t_archive.d_old;
SELECT * FROM plan('d');
SELECT * FROM cleanup('d');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.d_old')$$);
SELECT count(*) FROM t_archive.d_old;
DROP VIEW d_view;
SELECT status, detail FROM cleanup('d');
DROP MATERIALIZED VIEW d_matview;
CREATE FUNCTION d_function() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM t_archive.d_old; END;
SELECT status, detail FROM cleanup('d');
DROP FUNCTION d_function();
CREATE FUNCTION d_row(r t_archive.d_old) RETURNS text LANGUAGE sql AS 'SELECT r.v';
SELECT status, detail FROM cleanup('d');
DROP FUNCTION d_row;
CREATE FUNCTION d_rows(r t_archive.d_old[]) RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT status, detail FROM cleanup('d');
DROP FUNCTION d_rows;
CREATE TABLE d_column (r t_archive.d_old);
SELECT status, detail FROM cleanup('d');
DROP TABLE d_column;
CREATE TABLE d_child () INHERITS (t_archive.d_old);
SELECT status, detail FROM cleanup('d');
DROP TABLE d_child;
CREATE TABLE d_policy (k int);
CREATE POLICY d_policy ON d_policy USING (k IN (SELECT v::int FROM t_archive.d_old));
SELECT status, detail FROM cleanup('d');
DROP TABLE d_policy;
CREATE TABLE d_rule (k int);
CREATE RULE d_rule AS ON INSERT TO d_rule DO ALSO DELETE FROM t_archive.d_old;
SELECT status, detail FROM cleanup('d');
DROP TABLE d_rule;
-- a foreign key that was made since
ALTER TABLE t_archive.d_old ADD UNIQUE (v);
CREATE TABLE d_points (v text REFERENCES t_archive.d_old (v));
SELECT status, detail FROM cleanup('d');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.d_old')$$);
DROP TABLE d_points;
-- what belongs to the table itself keeps nobody: all of this goes with it
CREATE TABLE d_target (i int PRIMARY KEY);
ALTER TABLE t_archive.d_old ADD id serial, ADD i int REFERENCES d_target, ADD self text REFERENCES t_archive.d_old (v), ADD CHECK (v <> ''), ADD g text GENERATED ALWAYS AS (v || v) STORED;
CREATE STATISTICS t_archive.d_old_stat ON k, v FROM t_archive.d_old;
CREATE POLICY own ON t_archive.d_old USING (v IN (SELECT o.v FROM t_archive.d_old o));
CREATE TRIGGER own BEFORE UPDATE ON t_archive.d_old FOR EACH ROW WHEN (OLD.v IS DISTINCT FROM NEW.v) EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE RULE own AS ON DELETE TO t_archive.d_old DO ALSO INSERT INTO d_target SELECT 1 FROM t_archive.d_old WHERE false;
SELECT d FROM dbperf.dependents('t_archive.d_old'::regclass) d;
-- a replication slot that has not got there
SELECT slot_name FROM pg_create_physical_replication_slot('regress_dbperf_slot', true);
SELECT status, detail FROM cleanup('d');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.d_old')$$);
SELECT pg_drop_replication_slot('regress_dbperf_slot');
SELECT status, detail FROM cleanup('d');
SELECT to_regclass('t_archive.d_old');
--
-- An archive that must be there first
--
SELECT make('e');
SELECT dbperf.manage('e', '1 month', 0, drop_after => '6 months', recycle_for => '1 hour', require_archive => true);
CREATE TABLE e_old PARTITION OF e FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO e_old SELECT '2026-01-02', i FROM generate_series(1, 5) i;
SELECT fails($$SELECT dbperf.confirm_archive('e_old', 's3://b/e_old', 5)$$);
SELECT * FROM cleanup('e');
SET dbperf.now_override = '2026-11-21 15:00:00+00';
SELECT * FROM plan('e');
SELECT * FROM cleanup('e');
SELECT fails($$SELECT dbperf.drop_partition('t_archive.e_old')$$);
SELECT fails($$SELECT dbperf.confirm_archive('t_archive.e_old', 's3://b/e_old', 4)$$);
SELECT fails($$SELECT dbperf.confirm_archive('t_archive.e_old', 's3://b/e_old', 6)$$);
SELECT fails($$SELECT dbperf.confirm_archive(NULL, 's3://b/e_old', 5)$$);
SELECT fails($$SELECT dbperf.confirm_archive('t_archive.e_old', NULL, 5)$$);
SELECT fails($$SELECT dbperf.confirm_archive('t_archive.e_old', 's3://b/e_old', NULL)$$);
SELECT archive, archive_rows, archive_verified_at FROM dbperf.recycle_bin WHERE original_name = 'e_old';
SELECT status FROM cleanup('e');
SELECT dbperf.confirm_archive('t_archive.e_old', 's3://b/e_old', 5);
SELECT archive, archive_rows, archive_verified_at FROM dbperf.recycle_bin WHERE original_name = 'e_old';
SELECT * FROM cleanup('e');
-- what was done is in the audit trail, with what was refused
SELECT source, action, partition, lower_bound, upper_bound, message FROM dbperf.partition_events
WHERE parent = 't.e' AND action <> 'manage' ORDER BY event_id;
SELECT DISTINCT action, ms_waited >= 0 AS waited, ms_held > 0 AS held, tries > 0 AS tried FROM dbperf.partition_events WHERE action = 'drop';
SELECT fails($$SELECT dbperf.confirm_archive('e_2026_11', 'nowhere', 0)$$);
SELECT ok, reason FROM dbperf.verify_audit();
SELECT sum(partitions_detached) AS detached, sum(partitions_dropped) AS dropped FROM dbperf.job_runs;
