--
-- plan_maintenance(): what it says of each step; and that run_maintenance() does exactly that
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set retire :abs_srcdir '/sql/lib/retire.sql'
\set ECHO none
\i :setup
\i :retire
CREATE TABLE t.planned (n serial, action text, partition text, decision text, reason text);
CREATE TABLE t.done (n serial, action text, partition text, status text, detail text);
-- Notes the plan, and then, in a statement of its own, what came of it.
CREATE FUNCTION t.note_plan(parent regclass DEFAULT NULL) RETURNS TABLE (action text, partition text, decision text, reason text) LANGUAGE sql AS $$
    DELETE FROM t.planned;
    DELETE FROM t.done;
    INSERT INTO t.planned (action, partition, decision, reason) SELECT * FROM t.plan(parent);
    SELECT p.action, p.partition, p.decision, p.reason FROM t.planned p ORDER BY n;
$$;
CREATE FUNCTION t.note_run(parent regclass DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    INSERT INTO t.done (action, partition, status, detail) SELECT * FROM t.run(parent);
    SELECT CASE WHEN d = '{}' THEN format('all %s as planned', (SELECT count(*) FROM t.done)) ELSE d::text END
    FROM (SELECT ARRAY(
        SELECT 'not done: ' || x::text FROM (
            SELECT p.action, p.partition, CASE p.decision WHEN 'go' THEN 'done' WHEN 'wait' THEN 'waiting' ELSE p.decision END FROM t.planned p
            EXCEPT ALL SELECT d.action, d.partition, d.status FROM t.done d) x
        UNION ALL
        SELECT 'not planned: ' || x::text FROM (
            SELECT d.action, d.partition, d.status FROM t.done d
            EXCEPT ALL SELECT p.action, p.partition, CASE p.decision WHEN 'go' THEN 'done' WHEN 'wait' THEN 'waiting' ELSE p.decision END FROM t.planned p) x
        UNION ALL
        -- for the same reason, in the same order
        SELECT format('%s of %s waits for "%s", not "%s"', p.action, p.partition, d.detail, p.reason) FROM t.planned p JOIN t.done d USING (action, partition)
            WHERE d.status IN ('waiting', 'blocked') AND p.reason IS DISTINCT FROM d.detail
            -- a run notes what the clock was
            AND NOT (p.reason LIKE 'the clock has moved%' AND d.detail LIKE 'the clock has jumped%')
        UNION ALL
        SELECT 'in another order' WHERE
            (SELECT array_agg(p.partition ORDER BY p.n) FROM t.planned p WHERE p.action <> 'create') IS DISTINCT FROM
            (SELECT array_agg(d.partition ORDER BY d.n) FROM t.done d WHERE d.action <> 'create')
        ) AS d) s
$$;
\set ECHO all
--
-- What a step shows
--
CREATE TABLE p (id int, k timestamptz NOT NULL, v text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE INDEX ON p (v);
GRANT SELECT ON p TO pg_monitor;
SELECT dbperf.manage('p', '1 month', 1, detach_after => '3 months', drop_after => '4 months', recycle_for => '1 hour');
SELECT count(*) FROM dbperf.create_partitions('p', '2026-06-01', '2026-11-01');
GRANT SELECT ON p_2026_06 TO pg_monitor;
INSERT INTO p SELECT i, '2026-06-15', repeat('x', 100) FROM generate_series(1, 1000) i;
ANALYZE p_2026_06;
DROP TABLE p_2026_12;
SELECT parent, step, action, partition, sql, locks, expected_ms > 0 AS expected, estimated_rows, blockers, decision, reason FROM dbperf.plan_maintenance('p');
SELECT m.action, m.bytes = CASE WHEN m.action = 'create' THEN 0 ELSE (
    SELECT sum(pg_relation_size(x)) FROM pg_class c LEFT JOIN pg_index i ON i.indrelid IN (c.oid, c.reltoastrelid),
        LATERAL unnest(ARRAY[i.indexrelid]) x WHERE c.oid = m.partition::regclass)
    + pg_relation_size(m.partition::regclass) END AS bytes
FROM dbperf.plan_maintenance('p') m;
SELECT * FROM note_plan('p');
SELECT note_run('p');
-- the next ones are expected to take what the last ones took
SELECT action, expected_ms > 0 AS known FROM dbperf.plan_maintenance('p');
SELECT dbperf.create_partition('p', '2026-05-05');
SELECT action, expected_ms > 0 AS known, sql FROM dbperf.plan_maintenance('p');
SELECT * FROM note_plan('p');
SELECT note_run('p');
-- dropping
SET dbperf.now_override = '2026-11-21 13:00:00+00';
SELECT action, partition, sql, locks, decision FROM dbperf.plan_maintenance('p') ORDER BY step;
SELECT * FROM note_plan('p');
SELECT note_run('p');
SELECT * FROM note_plan('p');
SELECT note_run('p');
--
-- Each thing that waits or blocks, with all its neighbours
--
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT make('a'), make('b', 'bigint'), make('c', 'date'), make('d'), make('e'), make('f'), make('g');
SELECT dbperf.manage('a', '1 month', 1, detach_after => '1 month', quiet_hours => '11:00-13:00'),
       dbperf.manage('b', 100, 2, detach_after => '200'),
       dbperf.manage('c', '1 week', 0, drop_after => '1 month', recycle_for => '1 hour'),
       dbperf.manage('d', '1 month', 0, detach_after => '1 month'),
       dbperf.manage('e', '1 month', 0, drop_after => '1 month', recycle_for => '1 hour', require_archive => true),
       dbperf.manage('f', '1 month', 0, detach_after => '1 month'),
       dbperf.manage('g', '1 month', 0, detach_after => '1 month', enabled => false);
SELECT dbperf.create_partition('a', '2026-06-06'), dbperf.create_partition('c', '2026-06-06'), dbperf.create_partition('c', '2026-07-07'),
       dbperf.create_partition('d', '2026-06-06'), dbperf.create_partition('e', '2026-06-06'), dbperf.create_partition('f', '2026-05-06'),
       dbperf.create_partition('f', '2026-06-06'), dbperf.create_partition('g', '2026-06-06');
INSERT INTO b SELECT 50;
SELECT count(*) FROM dbperf.create_partitions('b', '-300', '0');
-- sub-partitioned; another owner's
CREATE TABLE d_sub PARTITION OF d FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY LIST (v);
CREATE TABLE d_other PARTITION OF d FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
ALTER TABLE d_other OWNER TO pg_monitor;
-- the clock has jumped for one of them
UPDATE dbperf.policy_state SET clock_at = dbperf.clock() - interval '91 days' WHERE parent = 'f'::regclass;
SELECT * FROM note_plan();
SELECT note_run();
-- again, when some are in the recycle bin: one of them in a view
CREATE VIEW in_use AS SELECT count(*) FROM t_archive.c_2026_06_01;
SET dbperf.now_override = '2026-11-21 13:00:00+00';
SELECT * FROM note_plan();
SELECT note_run();
SELECT * FROM note_plan();
SELECT note_run();
-- one by its name, that is disabled
SELECT * FROM note_plan('g');
SELECT note_run('g');
-- what was attached again is held
SELECT dbperf.attach_partition('t_archive.g_2026_06', '1 day');
SELECT * FROM note_plan('g');
SELECT note_run('g');
-- foreign keys: those that point leave first, but one row keeps its target
CREATE TABLE x (id int, k date, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
CREATE TABLE y (id int, k date, xk date, FOREIGN KEY (id, xk) REFERENCES x) PARTITION BY RANGE (k);
SELECT dbperf.manage('x', '1 month', 0, detach_after => '1 month', run_order => 1), dbperf.manage('y', '1 month', 0, detach_after => '1 month', run_order => 2);
SELECT count(*) FROM dbperf.create_partitions('x', '2026-05-01', '2026-07-01');
SELECT count(*) FROM dbperf.create_partitions('y', '2026-05-01', '2026-07-01');
INSERT INTO x SELECT 1, make_date(2026, m, 15) FROM generate_series(5, 6) m;
INSERT INTO y SELECT 1, make_date(2026, m, 15), make_date(2026, m, 15) FROM generate_series(5, 6) m;
INSERT INTO y VALUES (1, '2026-11-11', '2026-06-15');
UPDATE dbperf.policy SET enabled = parent IN ('x'::regclass, 'y'::regclass);
SET client_min_messages = error;
SELECT * FROM note_plan();
SELECT note_run();
SELECT * FROM note_plan();
SELECT note_run();
RESET client_min_messages;
-- beside a default partition, and with one reader in the way
SELECT make('h');
CREATE TABLE h_default PARTITION OF h DEFAULT;
SELECT dbperf.manage('h', '1 month', 0, detach_after => '1 month', lock_budget => '10 ms', lock_tries => 1);
SELECT dbperf.create_partition('h', '2026-06-06'), dbperf.create_partition('h', '2026-07-06');
BEGIN;
SELECT count(*) FROM h_2026_06;
PREPARE TRANSACTION 'regress_dbperf_reader';
SELECT action, partition, decision FROM note_plan('h');
SET client_min_messages = error;
SELECT action, partition, status FROM run('h');
RESET client_min_messages;
ROLLBACK PREPARED 'regress_dbperf_reader';
SELECT * FROM note_plan('h');
SELECT note_run('h');
-- concurrently: begun, and finished when the reader has gone; nothing else of that table meanwhile
SELECT make('i');
SELECT dbperf.manage('i', '1 month', 1, detach_after => '1 month', lock_budget => '10 ms', lock_tries => 1);
SELECT dbperf.create_partition('i', '2026-06-06'), dbperf.create_partition('i', '2026-07-06');
DROP TABLE i_2026_12;
BEGIN;
SELECT count(*) FROM i;
PREPARE TRANSACTION 'regress_dbperf_reader';
SELECT * FROM plan('i');
SELECT action, partition, status FROM cleanup('i');
SELECT * FROM plan('i');
SELECT action, partition, status FROM cleanup('i');
ROLLBACK PREPARED 'regress_dbperf_reader';
SELECT action, partition, sql, locks, decision FROM dbperf.plan_maintenance('i') ORDER BY step;
SELECT * FROM note_plan('i');
SELECT note_run('i');
SELECT * FROM note_plan('i');
SELECT note_run('i');
-- what may be dropped as soon as it is detached: only then it is a step
SELECT make('j');
SELECT dbperf.manage('j', '1 month', 0, drop_after => '1 month', recycle_for => '0');
SELECT dbperf.create_partition('j', '2026-06-06');
SELECT * FROM note_plan('j');
SELECT * FROM run('j');
-- a plan does nothing, and nothing is left of it
SELECT make('k');
SELECT dbperf.manage('k', '1 month', 1, detach_after => '1 month');
SELECT dbperf.create_partition('k', '2026-06-06');
SELECT clock_at FROM dbperf.policy_state WHERE parent = 'k'::regclass;
BEGIN READ ONLY;
SELECT * FROM plan('k');
SELECT relation::regclass FROM pg_locks WHERE pid = pg_backend_pid() AND relation IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'k'::regclass UNION SELECT 'k'::regclass);
COMMIT;
SELECT clock_at FROM dbperf.policy_state WHERE parent = 'k'::regclass;
SELECT count(*) FROM partitions('k');
