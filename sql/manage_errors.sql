--
-- manage(), alter_policy() and direct writes to dbperf.policy: everything that they refuse, with
-- SQLSTATE, reason and hint
--
-- tables that cannot be managed
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE TABLE plain (k int);
CREATE TABLE by_list (k int) PARTITION BY LIST (k);
CREATE TABLE by_hash (k int) PARTITION BY HASH (k);
CREATE TABLE two_columns (k int, l int) PARTITION BY RANGE (k, l);
CREATE TABLE expression (k int) PARTITION BY RANGE (abs(k));
CREATE TABLE of_text (k text) PARTITION BY RANGE (k);
CREATE TABLE of_numeric (k numeric) PARTITION BY RANGE (k);
CREATE TABLE of_smallint (k smallint) PARTITION BY RANGE (k);
CREATE TABLE of_uuid (k uuid) PARTITION BY RANGE (k);
CREATE DOMAIN my_time AS timestamptz;
CREATE TABLE of_domain (k my_time) PARTITION BY RANGE (k);
CREATE TEMP TABLE of_session (k date) PARTITION BY RANGE (k);
CREATE VIEW a_view AS SELECT 1 AS k;
SELECT r, fails(format('SELECT dbperf.manage(%L, ''1 day'')', r))
FROM unnest('{plain,by_list,by_hash,two_columns,expression,of_text,of_numeric,of_smallint,of_uuid,of_domain,of_session,a_view}'::text[]) r;
SELECT fails($$SELECT dbperf.manage('no_such_table', '1 day')$$);
SELECT fails($$SELECT dbperf.manage(0::regclass, '1 day')$$);
SELECT fails($$SELECT dbperf.manage(4294967295::regclass, '1 day')$$);
SELECT fails($$SELECT dbperf.manage(NULL, '1 day')$$);
-- an operator class of one's own could be any code, and any order
CREATE FUNCTION backwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)';
CREATE OPERATOR CLASS backwards_ops FOR TYPE int USING btree AS
    OPERATOR 1 > (int, int), OPERATOR 2 >= (int, int), OPERATOR 3 =, OPERATOR 4 <= (int, int), OPERATOR 5 < (int, int),
    FUNCTION 1 backwards(int, int);
CREATE TABLE own_order (k int) PARTITION BY RANGE (k backwards_ops);
SELECT fails($$SELECT dbperf.manage('own_order', '10')$$);

-- settings that are refused
SELECT make('t_tz'), make('t_ts', 'timestamp'), make('t_date', 'date'), make('t_int', 'integer'), make('t_big', 'bigint');
CREATE TABLE cases (n serial, parent text, args text);
INSERT INTO cases (parent, args) VALUES
    ('t_tz', $$$$),
    ('t_tz', $$, 'soon'$$),
    ('t_tz', $$, '0'$$),
    ('t_tz', $$, '-1 month'$$),
    ('t_tz', $$, '1 month -1 day'$$),
    ('t_tz', $$, '1 day -1 hour'$$),
    ('t_tz', $$, '999 milliseconds'$$),
    ('t_tz', $$, '1.5 seconds'$$),
    ('t_tz', $$, '1001 years'$$),
    ('t_date', $$, '1 hour'$$),
    ('t_date', $$, '1 day 1 hour'$$),
    ('t_date', $$, '1 day', anchor => '2026-01-01 12:00'$$),
    ('t_tz', $$, '1 day', anchor => 'infinity'$$),
    ('t_tz', $$, '1 day', anchor => '1499-12-31'$$),
    ('t_tz', $$, '1 day', anchor => '3000-01-02'$$),
    ('t_tz', $$, '1 day', anchor => '2026-01-01 00:00:00.5'$$),
    ('t_tz', $$, '1 day', anchor => 'nonsense'$$),
    ('t_tz', $$, '1 day', -1$$),
    ('t_tz', $$, '1 day', 1001$$),
    ('t_tz', $$, '1 day', time_zone => 'Mars/Olympus'$$),
    ('t_tz', $$, '1 day', time_zone => ''$$),
    ('t_tz', $$, '1 day', time_zone => 'UTC+3'$$),
    ('t_tz', $$, '1 day', epoch_unit => 'seconds'$$),
    ('t_big', $$, '1 day', epoch_unit => 'fortnights'$$),
    ('t_int', $$, '1 day', epoch_unit => 'milliseconds'$$),
    ('t_big', $$, '1 day'$$),
    ('t_big', $$$$),
    ('t_big', $$, '0'$$),
    ('t_big', $$, '-5'$$),
    ('t_int', $$, '2147483648'$$),
    ('t_big', $$, '10', anchor => '2026-01-01'$$),
    ('t_big', $$, '10', sanity_window => '1 year'$$),
    ('t_big', $$, '10', sanity_window => '-1'$$),
    ('t_tz', $$, '1 day', sanity_window => '-1 day'$$),
    ('t_tz', $$, '1 day', lock_budget => '0'$$),
    ('t_tz', $$, '1 day', lock_budget => '2 minutes'$$),
    ('t_tz', $$, '1 day', naming_pattern => ''$$),
    ('t_tz', $$, '1 day', naming_pattern => '{table}'$$),
    ('t_tz', $$, '1 day', naming_pattern => '{table}_{when}'$$),
    ('t_tz', $$, '1 day', naming_pattern => '{table}_{from'$$),
    ('t_tz', $$, '1 day', naming_pattern => '{table}_{from:}'$$),
    ('t_tz', $$, '1 day', naming_pattern => '}{from}'$$),
    ('t_tz', $$, '1 day', tablespace => 'nowhere'$$),
    ('t_tz', $$, '1 day', tablespace => 'pg_global'$$),
    ('t_tz', $$, '1 day', detach_after => 'soon'$$),
    ('t_tz', $$, '1 day', detach_after => ''$$),
    ('t_tz', $$, '1 day', detach_after => '-1 day'$$),
    ('t_tz', $$, '1 day', detach_after => '1 month -1 day'$$),
    ('t_tz', $$, '1 day', detach_after => '1 day -1 microsecond'$$),
    ('t_tz', $$, '1 day', detach_after => '1001 years'$$),
    ('t_tz', $$, '1 day', drop_after => '-1 hour'$$),
    ('t_tz', $$, '1 day', drop_after => '1 year -1 hour'$$),
    ('t_tz', $$, '1 day', drop_after => '2000 years'$$),
    ('t_tz', $$, '1 day', detach_after => '2 months', drop_after => '59 days'$$),
    ('t_date', $$, '1 day', detach_after => '1 second', drop_after => '0'$$),
    ('t_tz', $$, '1 day', detach_after => '100 x'$$),
    ('t_tz', $$, '1 day', detach_after => '90'$$),
    ('t_big', $$, '1 day', epoch_unit => 's', drop_after => ' +7.5E1 '$$),
    ('t_int', $$, '1 day', epoch_unit => 's', detach_after => '-1 day'$$),
    ('t_big', $$, '1 day', epoch_unit => 'ms', drop_after => '1 day', detach_after => '25 hours'$$),
    ('t_big', $$, '10', detach_after => '1 day'$$),
    ('t_big', $$, '10', drop_after => ''$$),
    ('t_big', $$, '10', detach_after => '-1'$$),
    ('t_big', $$, '10', drop_after => '-1'$$),
    ('t_big', $$, '10', detach_after => '100', drop_after => '99'$$),
    ('t_int', $$, '10', detach_after => '9223372036854775808'$$),
    ('t_tz', $$, '1 day', recycle_for => '-1 day'$$),
    ('t_big', $$, '10', recycle_for => '1 day -1 hour'$$),
    ('t_tz', $$, '1 day', recycle_for => '1001 years'$$),
    ('t_tz', $$, '1 day', archive_schema => 't'$$),
    ('t_tz', $$, '1 day', archive_schema => 'dbperf'$$),
    ('t_tz', $$, '1 day', archive_schema => 'pg_catalog'$$),
    ('t_tz', $$, '1 day', archive_schema => 'pg_'$$),
    ('t_tz', $$, '1 day', archive_schema => 'information_schema'$$),
    ('t_tz', $$, '1 day', quiet_hours => 'at night'$$),
    ('t_tz', $$, '1 day', quiet_hours => '22-06'$$),
    ('t_tz', $$, '1 day', quiet_hours => '9:30-16:00'$$),
    ('t_tz', $$, '1 day', quiet_hours => '22:00-24:00'$$),
    ('t_tz', $$, '1 day', quiet_hours => '22:60-06:00'$$),
    ('t_tz', $$, '1 day', quiet_hours => '22:00:00-06:00'$$),
    ('t_tz', $$, '1 day', quiet_hours => ' 22:00-06:00'$$),
    ('t_tz', $$, '1 day', quiet_hours => e'22:00-06:00\n'$$),
    ('t_tz', $$, '1 day', quiet_hours => '22:00 - 06:00'$$),
    ('t_tz', $$, '1 day', quiet_hours => '06:00-06:00'$$),
    ('t_tz', $$, '1 day', lock_tries => 0$$),
    ('t_tz', $$, '1 day', lock_tries => 21$$);
SELECT args, f AS refused_with FROM cases, fails(format('SELECT dbperf.manage(%L%s)', parent, args)) f ORDER BY n;
-- for ever is no time to wait for: PostgreSQL 16 and before do not read it, we refuse it
SELECT setting, f ~ '^22(007|023):' AS refused
FROM unnest('{detach_after,drop_after,recycle_for}'::text[]) setting, unnest('{infinity,-infinity}'::text[]) value,
    LATERAL (SELECT f FROM fails(format('SELECT dbperf.manage(''t_tz'', ''1 day'', %I => %L)', setting, value)) f LIMIT 1) f;
-- nothing came of all that
SELECT count(*) FROM dbperf.policy;
SELECT count(*) FROM dbperf.partition_events;
SELECT count(*) FROM pg_inherits WHERE inhparent::regclass::text LIKE 't\_%';

-- alter_policy() refuses the same, and what cannot be changed
SELECT dbperf.manage('t_tz', '1 day', 0), dbperf.manage('t_big', 10, 0), dbperf.manage('t_date', '1 day', 0);
SELECT fails($$SELECT dbperf.alter_policy('t_ts', premake => 3)$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', premake => -3)$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', '-1 day')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_date', interval '3 hours')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', epoch_unit => 'seconds')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_big', '1 day')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_big', -1)$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', time_zone => 'Mars/Olympus')$$);
SELECT fails($$SELECT dbperf.manage('t_tz', premake => -3)$$);
SELECT fails($$SELECT dbperf.manage('t_big', epoch_unit => 'seconds')$$);
SELECT dbperf.alter_policy('t_tz', drop_after => '10 days'), dbperf.alter_policy('t_big', drop_after => '100');
SELECT fails($$SELECT dbperf.alter_policy('t_tz', detach_after => '11 days')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', detach_after => '1000')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', detach_after => 'none')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', recycle_for => '-1 second')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', archive_schema => 't')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', archive_schema => 'pg_toast')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', quiet_hours => 'never')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_tz', lock_tries => -1)$$);
SELECT fails($$SELECT dbperf.alter_policy('t_big', detach_after => '101')$$);
SELECT fails($$SELECT dbperf.alter_policy('t_big', detach_after => '1 day')$$);
SELECT fails($$SELECT dbperf.manage('t_big', drop_after => '-100')$$);

-- and so do direct writes
SELECT fails($$UPDATE dbperf.policy SET premake = -1$$);
SELECT fails($$UPDATE dbperf.policy SET premake = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET lock_budget = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET naming_pattern = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET time_zone = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET enabled = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET partition_interval = NULL WHERE parent = 't_tz'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET partition_step = 10 WHERE parent = 't_tz'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET partition_interval = '1 day' WHERE parent = 't_big'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET epoch_unit = 'seconds' WHERE parent = 't_big'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET parent = 't_ts'::regclass WHERE parent = 't_tz'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET detach_step = 10 WHERE parent = 't_tz'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET drop_step = 10 WHERE parent = 't_tz'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET detach_after = '1 day' WHERE parent = 't_big'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET drop_after = '1 day' WHERE parent = 't_big'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET detach_step = -10 WHERE parent = 't_big'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET detach_step = 101 WHERE parent = 't_big'::regclass$$);
SELECT fails($$UPDATE dbperf.policy SET recycle_for = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET require_archive = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET lock_tries = NULL$$);
SELECT fails($$UPDATE dbperf.policy SET archive_schema = ''$$);
SELECT fails($$UPDATE dbperf.policy SET quiet_hours = ''$$);
SELECT fails($$INSERT INTO dbperf.policy (parent, partition_interval) VALUES ('plain', '1 day')$$);
SELECT fails($$INSERT INTO dbperf.policy (parent, partition_interval) VALUES (NULL, '1 day')$$);
SELECT fails($$INSERT INTO dbperf.policy (parent, partition_interval) VALUES ('t_tz', '1 day')$$);
SELECT fails($$INSERT INTO dbperf.policy (parent, partition_interval, time_zone) VALUES ('t_ts', '1 day', 'Mars/Olympus')$$);
-- a good one fills in its defaults, is audited and served
INSERT INTO dbperf.policy (parent, partition_interval) VALUES ('t_ts', '1 week');
SELECT premake, anchor, time_zone, sanity_window FROM dbperf.policy WHERE parent = 't_ts'::regclass;
UPDATE dbperf.policy SET premake = 1 WHERE parent = 't_ts'::regclass;
UPDATE dbperf.policy SET premake = 1 WHERE parent = 't_ts'::regclass;
SELECT partition, status FROM dbperf.run_maintenance('t_ts');
DELETE FROM dbperf.policy WHERE parent = 't_ts'::regclass;
SELECT action, source, detail -> 'premake' AS premake FROM dbperf.partition_events WHERE parent = 't.t_ts' ORDER BY event_id;
-- a table that was moved to its archive schema: one thing more to set right, but a restore goes on
BEGIN;
CREATE SCHEMA regress_attic;
SELECT dbperf.alter_policy('t_tz', archive_schema => 'regress_attic');
ALTER TABLE t_tz SET SCHEMA regress_attic;
SELECT fails($$SELECT dbperf.alter_policy('regress_attic.t_tz', premake => 1)$$);
SELECT dbperf.unmanage('regress_attic.t_tz');
INSERT INTO dbperf.policy (parent, partition_interval, archive_schema, created_at)
    VALUES ('regress_attic.t_tz', '1 day', 'regress_attic', '2026-01-01');
SELECT archive_schema FROM dbperf.policy WHERE parent = 'regress_attic.t_tz'::regclass;
ROLLBACK;
