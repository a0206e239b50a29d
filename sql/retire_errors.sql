--
-- Retiring: what is refused, and how it says so
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_admin, regress_dbperf_other, regress_dbperf_nobody;
DROP SCHEMA IF EXISTS regress_dbperf_attic CASCADE;
RESET client_min_messages;
\set ECHO all
SELECT make('p'), make('unmanaged');
SELECT dbperf.manage('p', '1 month', 0, detach_after => '5 months', drop_after => '6 months', recycle_for => '0');
SELECT dbperf.create_partition('p', '2026-09-09'), dbperf.create_partition('p', '2026-08-08');
CREATE TABLE un_old PARTITION OF unmanaged FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE plain (k int);
CREATE TABLE parent_i (k int);
CREATE TABLE child_i () INHERITS (parent_i);
CREATE VIEW view_p AS SELECT * FROM p;
-- no table, or none of ours
CREATE TABLE cases (n serial, what text);
INSERT INTO cases (what) VALUES ('NULL'), ('0'), ('4294967295'), ($$'p'$$), ($$'plain'$$), ($$'child_i'$$), ($$'view_p'$$), ($$'un_old'$$), ($$'pg_class'$$), ($$'dbperf.recycle_bin'$$);
SELECT what, f FROM cases, fails(format('SELECT dbperf.detach_partition(%s)', what)) f ORDER BY n;
SELECT what, f FROM cases, fails(format('SELECT dbperf.drop_partition(%s)', what)) f ORDER BY n;
SELECT what, f FROM cases, fails(format('SELECT dbperf.confirm_archive(%s, $$x$$, 1)', what)) f WHERE what <> 'NULL' ORDER BY n;
SELECT what, f FROM cases, fails(format('SELECT * FROM dbperf.plan_maintenance(%s)', what)) f WHERE what NOT IN ('NULL', $$'p'$$) ORDER BY n;
SELECT what, f FROM cases, fails(format('SELECT * FROM dbperf.cleanup_old_partitions(%s)', what)) f WHERE what NOT IN ('NULL', '0', $$'p'$$) ORDER BY n;
-- attached: it is detached first
SELECT fails($$SELECT dbperf.drop_partition('p_2026_08')$$);
SELECT fails($$SELECT dbperf.detach_partition('nowhere')$$);
-- partitions that are not ours to move about
CREATE TABLE p_default PARTITION OF p DEFAULT;
CREATE TABLE p_sub PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY LIST (v);
CREATE TABLE p_sub_x PARTITION OF p_sub FOR VALUES IN ('x');
SELECT fails($$SELECT dbperf.detach_partition('p_default')$$);
SELECT fails($$SELECT dbperf.detach_partition('p_sub')$$);
SELECT fails($$SELECT dbperf.detach_partition('p_sub_x')$$);
SELECT * FROM cleanup('p') WHERE partition = 't.p_sub';
DROP TABLE p_default, p_sub;
-- twice
SELECT dbperf.create_partition('p', '2026-07-07');
SELECT dbperf.detach_partition('p_2026_07');
SELECT fails($$SELECT dbperf.detach_partition('t_archive.p_2026_07')$$);
SELECT dbperf.create_partition('p', '2026-06-06');
SELECT dbperf.detach_partition('p_2026_06');
SELECT * FROM cleanup('p');
-- in a transaction that holds what the worker needs: at once, not after a wait
BEGIN;
SELECT dbperf.create_partition('p', '2026-05-05');
SELECT fails($$SELECT dbperf.detach_partition('p_2026_05')$$);
ROLLBACK;
SELECT dbperf.create_partition('p', '2026-05-05'), dbperf.create_partition('p', '2026-04-04');
BEGIN;
SELECT count(*) FROM p;
SELECT fails($$SELECT dbperf.detach_partition('p_2026_05')$$);
SELECT fails($$SELECT * FROM cleanup('p')$$);
SELECT fails($$SELECT * FROM run('p')$$);
ROLLBACK;
BEGIN;
LOCK TABLE p_2026_05 IN ACCESS SHARE MODE;
SELECT fails($$SELECT dbperf.detach_partition('p_2026_05')$$);
-- another one is free
SELECT dbperf.detach_partition('p_2026_04');
ROLLBACK;
BEGIN;
LOCK TABLE t_archive.p_2026_04 IN ACCESS SHARE MODE;
SELECT fails($$SELECT dbperf.drop_partition('t_archive.p_2026_04')$$);
SELECT fails($$SELECT * FROM cleanup('p')$$);
ROLLBACK;
-- a transaction that holds nothing of the kind may call it, also with a snapshot of its own
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM plain;
SELECT dbperf.detach_partition('p_2026_05');
SELECT dbperf.drop_partition('t_archive.p_2026_04');
COMMIT;
-- what the worker does is done, whatever becomes of the caller
SELECT dbperf.create_partition('p', '2026-05-06');
BEGIN;
SELECT masked(dbperf.detach_partition('p_2026_05')::text);
ROLLBACK;
SELECT masked(partition::text) AS partition, state FROM bin;
-- a table that only this transaction knows is nothing for a worker
BEGIN;
CREATE TABLE mine (k timestamptz NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE mine_old PARTITION OF mine FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
SELECT dbperf.manage('mine', '1 month', 0, detach_after => '1 month');
SELECT fails($$SELECT dbperf.detach_partition('mine_old')$$);
SELECT fails($$SELECT * FROM cleanup('mine')$$);
SELECT decision FROM plan('mine') WHERE action = 'detach';
ROLLBACK;
-- in a transaction that may not write
BEGIN READ ONLY;
SELECT fails($$SELECT dbperf.detach_partition('p_2026_09')$$);
SELECT fails($$SELECT dbperf.drop_partition('t_archive.p_2026_05')$$);
SELECT fails($$SELECT * FROM cleanup('p')$$);
SELECT left(f, 5) FROM fails($$SELECT * FROM run('p')$$) f LIMIT 1;
SELECT count(*) FROM plan('p');
ROLLBACK;
-- CALL in a transaction block
BEGIN;
CALL dbperf.maintain('p');
ROLLBACK;
-- roles with fewer rights
CREATE ROLE regress_dbperf_admin;
CREATE ROLE regress_dbperf_other;
CREATE ROLE regress_dbperf_nobody;
GRANT USAGE ON SCHEMA t TO PUBLIC;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_admin, regress_dbperf_other, regress_dbperf_nobody;
GRANT EXECUTE ON ALL ROUTINES IN SCHEMA dbperf TO regress_dbperf_admin, regress_dbperf_other;
GRANT SELECT ON ALL TABLES IN SCHEMA dbperf TO regress_dbperf_admin, regress_dbperf_other;
GRANT INSERT, UPDATE, DELETE ON dbperf.policy TO regress_dbperf_admin, regress_dbperf_other;
CREATE TABLE calls (n serial, call text);
INSERT INTO calls (call) VALUES ($$SELECT dbperf.detach_partition('p_2026_09')$$), ($$SELECT dbperf.drop_partition('t_archive.p_2026_05')$$),
    ($$SELECT * FROM dbperf.cleanup_old_partitions('p')$$), ($$SELECT count(*) FROM dbperf.cleanup_old_partitions()$$),
    ($$SELECT * FROM dbperf.plan_maintenance('p')$$), ($$SELECT count(*) FROM dbperf.plan_maintenance()$$),
    ($$SELECT dbperf.confirm_archive('t_archive.p_2026_05', 'x', 0)$$),
    ($$SELECT dbperf.referencing_rows('p_2026_09')$$),
    ($$SELECT dbperf.bin_put('p'::regclass, 'p_2026_09'::regclass)$$), ($$SELECT dbperf.bin_detached('p_2026_09'::regclass)$$),
    ($$SELECT dbperf.confirm_clock()$$),
    ($$DELETE FROM dbperf.recycle_bin$$), ($$UPDATE dbperf.recycle_bin SET detached_at = '2001-01-01'$$);
GRANT SELECT ON calls TO PUBLIC;
-- one with all rights of an administrator, for tables of another's: nothing
GRANT USAGE ON SCHEMA t_archive TO regress_dbperf_admin, regress_dbperf_other;
SET ROLE regress_dbperf_other;
SELECT n, f FROM calls, fails(call) f ORDER BY n;
SET ROLE regress_dbperf_nobody;
SELECT DISTINCT split_part(f, ' for ', 1) AS f FROM calls, fails(call) f WHERE f NOT LIKE '  %' ORDER BY 1;
RESET ROLE;
-- the same for its own: it may, without being a superuser
GRANT CREATE ON SCHEMA t TO regress_dbperf_admin;
CREATE SCHEMA regress_dbperf_attic AUTHORIZATION regress_dbperf_admin;
SET ROLE regress_dbperf_admin;
CREATE TABLE own (k timestamptz NOT NULL, v text) PARTITION BY RANGE (k);
SELECT dbperf.manage('own', '1 month', 0, detach_after => '1 month', drop_after => '6 months', recycle_for => '0', archive_schema => 'regress_dbperf_attic', require_archive => true);
SELECT dbperf.create_partition('own', '2026-05-05'), dbperf.create_partition('own', '2026-04-04');
SELECT partition, decision FROM dbperf.plan_maintenance() WHERE action = 'detach';
SELECT parent, partition, action, status FROM dbperf.cleanup_old_partitions();
SELECT dbperf.confirm_archive('regress_dbperf_attic.own_2026_04', 'x', 0);
SELECT dbperf.drop_partition('regress_dbperf_attic.own_2026_04');
SELECT fails($$SELECT dbperf.confirm_clock()$$);
SELECT count(*) FROM dbperf.partition_events WHERE parent = 't.own' AND actor = session_user AND action IN ('detach', 'drop', 'confirm_archive');
RESET ROLE;
-- partitions that belong to another role than their parent
ALTER TABLE p_2026_09 OWNER TO regress_dbperf_other;
SELECT fails($$SELECT dbperf.detach_partition('p_2026_09')$$);
SELECT dbperf.alter_policy('p', detach_after => '1 month');
SELECT decision, reason FROM plan('p') WHERE partition = 't.p_2026_09';
ALTER TABLE t_archive.p_2026_05 OWNER TO regress_dbperf_other;
SET ROLE regress_dbperf_other;
SELECT fails($$SELECT dbperf.drop_partition('t_archive.p_2026_05')$$);
RESET ROLE;
SELECT count(*) FROM bin WHERE state = 'detaching';
SELECT ok, reason FROM dbperf.verify_audit();
SET client_min_messages = warning;
DROP SCHEMA regress_dbperf_attic CASCADE;
DROP OWNED BY regress_dbperf_admin, regress_dbperf_other, regress_dbperf_nobody CASCADE;
DROP ROLE regress_dbperf_admin, regress_dbperf_other, regress_dbperf_nobody;
