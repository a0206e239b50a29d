--
-- Statements that clients sent, and statements that name a partitioned table: what counts, as what,
-- and how often
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\set VERBOSITY terse
-- What has been counted for this database since the last call: calls/rows, and errors of them. A
-- call of this function does not count.
CREATE TABLE seen (kind text, calls bigint, rows bigint, errors bigint);
CREATE FUNCTION counted() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
BEGIN
    SELECT coalesce(string_agg(format('%s %s/%s', kind, calls, rows) || CASE WHEN errors > 0 THEN format(' (%s failed)', errors) ELSE '' END,
                               ', ' ORDER BY kind COLLATE "C"), 'nothing')
    INTO result
    FROM (SELECT c.kind, c.calls - coalesce(s.calls, 0) - (c.kind = 'select')::int AS calls,
                 c.rows - coalesce(s.rows, 0) - (c.kind = 'select')::int AS rows, c.errors - coalesce(s.errors, 0) AS errors
          FROM dbperf.query_counters(0) c LEFT JOIN t.seen s ON s.kind = c.kind
          WHERE c.database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND c.kind <> 'all') d
    WHERE calls <> 0 OR rows <> 0 OR errors <> 0;
    TRUNCATE t.seen;
    INSERT INTO t.seen
    SELECT kind, calls, rows, errors FROM dbperf.query_counters(0)
    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database());
    RETURN result;
END
$$;
CREATE TABLE plain (k int PRIMARY KEY, v int);
SELECT count(*) FROM (SELECT counted()) c;
-- nothing by itself
SELECT counted();

-- kinds
INSERT INTO plain SELECT g, g FROM generate_series(1, 10) g;
SELECT k FROM plain WHERE k <= 3;
UPDATE plain SET v = 0 WHERE k <= 4;
DELETE FROM plain WHERE k = 10;
MERGE INTO plain p USING (VALUES (1), (11)) s (k) ON s.k = p.k WHEN MATCHED THEN UPDATE SET v = 7 WHEN NOT MATCHED THEN INSERT VALUES (s.k, 0);
VALUES (1), (2);
SELECT k FROM plain ORDER BY k LIMIT 1;
INSERT INTO plain VALUES (12, 1), (13, 1) RETURNING k;
WITH w AS (DELETE FROM plain WHERE k > 11 RETURNING k) SELECT count(*) FROM w;
SELECT counted();
SELECT k FROM plain WHERE k = 1 FOR UPDATE;
SELECT counted();
CREATE TABLE other (k int);
SET application_name = 'x';
SHOW application_name;
LOCK TABLE other;
ANALYZE other;
DO $$ BEGIN NULL; END $$;
LISTEN something;
SELECT counted();
-- transaction control is none, and what is rolled back was executed
BEGIN;
INSERT INTO plain VALUES (100, 1);
SAVEPOINT s;
INSERT INTO plain VALUES (101, 1);
ROLLBACK TO s;
RELEASE s;
ROLLBACK;
SELECT counted();
-- several in one message
INSERT INTO plain VALUES (100, 1)\; SELECT 1\; SELECT 2\; DELETE FROM plain WHERE k = 100;
SELECT counted();

-- what could not be parsed or planned has not been executed
SELECT nothing;
SELEC;
SELECT 1/0;
SELECT counted();
-- errors of all kinds
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
INSERT INTO plain VALUES (50, 0), (1, 0);
UPDATE plain SET k = 2 WHERE k = 1;
DELETE FROM plain WHERE 1 / (k - 1) = 0;
CREATE TABLE plain (k int);
DO $$ BEGIN RAISE 'raised'; END $$;
SELECT counted();
-- before it is run
CREATE ROLE regress_nobody;
GRANT USAGE ON SCHEMA t TO regress_nobody;
SET ROLE regress_nobody;
SELECT count(*) FROM plain;
RESET ROLE;
DROP OWNED BY regress_nobody;
DROP ROLE regress_nobody;
SELECT counted();
-- a foreign key, after it
CREATE TABLE child (k int REFERENCES plain);
INSERT INTO child VALUES (1000);
SELECT counted();
-- cancelled
SET statement_timeout = '10ms';
SELECT pg_sleep(60);
DO $$ BEGIN PERFORM pg_sleep(60); END $$;
RESET statement_timeout;
SELECT counted();
-- what follows an error in its transaction is refused, and no statement of ours
BEGIN;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
SELECT 1;
COMMIT;
SELECT counted();
-- a savepoint
BEGIN;
SAVEPOINT s;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
ROLLBACK TO s;
SELECT 1;
COMMIT;
SELECT counted();

-- what functions, triggers and DO run is theirs
CREATE FUNCTION inserts(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO t.other VALUES (i);
    END LOOP;
    FOR r IN SELECT k FROM t.other LOOP
        BEGIN
            PERFORM 1 / (r.k - 1);
        EXCEPTION WHEN division_by_zero THEN
            CREATE TEMP TABLE made_here (k int);
            DROP TABLE made_here;
        END;
    END LOOP;
    RETURN n;
END
$$;
CREATE FUNCTION in_sql(n int) RETURNS SETOF int LANGUAGE sql VOLATILE AS $$ INSERT INTO t.other VALUES (n); SELECT k FROM t.other $$;
SELECT counted();
SELECT inserts(10);
SELECT count(*) FROM in_sql(3);
DO $$ BEGIN PERFORM t.inserts(2); PERFORM 1 FROM t.in_sql(2); END $$;
SELECT counted();
CREATE FUNCTION on_plain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM t.inserts(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON plain DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION on_plain();
CREATE TRIGGER now AFTER UPDATE ON plain FOR EACH STATEMENT EXECUTE FUNCTION on_plain();
SELECT counted();
-- also at the end of the transaction
UPDATE plain SET v = 8 WHERE k = 1;
BEGIN;
UPDATE plain SET v = 9 WHERE k <= 2;
COMMIT;
SELECT counted();
DROP TRIGGER later ON plain;
DROP TRIGGER now ON plain;
ALTER TABLE child ALTER CONSTRAINT child_k_fkey DEFERRABLE INITIALLY DEFERRED;
SELECT counted();
INSERT INTO child VALUES (1);
BEGIN;
INSERT INTO child VALUES (1000);
COMMIT;
SELECT counted();
-- constants that the planner works out, conditions of domains
CREATE FUNCTION folded(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN (SELECT count(*) FROM t.plain) + n; END $$;
CREATE FUNCTION folded_sql(n int) RETURNS bigint LANGUAGE sql IMMUTABLE SET work_mem = '1MB' AS $$ SELECT count(*) + n FROM t.plain $$;
CREATE DOMAIN checked AS int CHECK (folded(VALUE) > 0);
SELECT counted();
SELECT folded(1) > 0 AND folded_sql(2) > 0;
SELECT '1'::checked;
SELECT counted();

-- procedures that end transactions
CREATE PROCEDURE steps(fail boolean) LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    INSERT INTO t.other VALUES (1);
    COMMIT;
    PERFORM t.inserts(1);
    ROLLBACK;
    FOR r IN SELECT k FROM t.plain LIMIT 2 LOOP
        UPDATE t.other SET k = r.k;
        COMMIT;
    END LOOP;
    BEGIN
        PERFORM 1 / (k - 1) FROM t.plain WHERE k = 1;
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
    ROLLBACK;
    PERFORM 1;
    IF fail THEN
        RAISE 'raised';
    END IF;
END
$$;
CREATE PROCEDURE steps_of_steps() LANGUAGE plpgsql AS $$ BEGIN CALL t.steps(false); COMMIT; CALL t.steps(false); END $$;
SELECT counted();
CALL steps(false);
CALL steps(true);
CALL steps_of_steps();
DO $$ BEGIN PERFORM 1; COMMIT; PERFORM 2; ROLLBACK; PERFORM 3; END $$;
SELECT counted();
SELECT 1;
SELECT counted();

-- a cursor is one statement: rows and time of all that was fetched
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
FETCH 2 FROM c;
SELECT counted();
MOVE 1 FROM c;
FETCH ALL FROM c;
CLOSE c;
SELECT counted();
-- not closed, not fetched from
DECLARE c CURSOR FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
DECLARE d CURSOR FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
FETCH c;
COMMIT;
SELECT counted();
-- held beyond its transaction
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
COMMIT;
FETCH 2 FROM c;
CLOSE c;
SELECT counted();
-- taken along by an error elsewhere: no error of its own
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
FETCH 3 FROM c;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
ROLLBACK;
SELECT counted();
BEGIN;
DECLARE c CURSOR FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
FETCH 3 FROM c;
SAVEPOINT s;
DECLARE d CURSOR FOR SELECT k FROM plain WHERE k <= 5 ORDER BY k;
FETCH 1 FROM d;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
ROLLBACK TO s;
FETCH 1 FROM c;
COMMIT;
SELECT counted();
-- errors in FETCH: of the cursor's statement, and of nothing else
BEGIN;
DECLARE c CURSOR FOR SELECT 1 / (k - 3) FROM plain ORDER BY k;
FETCH 1 FROM c;
FETCH 2 FROM c;
ROLLBACK;
SELECT counted();
FETCH 1 FROM nowhere;
CLOSE nowhere;
DECLARE outside CURSOR FOR SELECT 1;
SELECT counted();
BEGIN;
SAVEPOINT a;
DECLARE c CURSOR FOR SELECT 1 / (k - 3) FROM plain ORDER BY k;
SAVEPOINT b;
FETCH 3 FROM c;
ROLLBACK TO b;
SELECT 1;
COMMIT;
SELECT counted();
-- psql uses one by itself
\set FETCH_COUNT 2
SELECT k FROM plain WHERE k <= 5 ORDER BY k;
\set FETCH_COUNT 0
SELECT counted();
-- opened by a function
CREATE FUNCTION opens(c refcursor) RETURNS refcursor LANGUAGE plpgsql AS $$ BEGIN OPEN c FOR SELECT k FROM t.plain ORDER BY k; RETURN c; END $$;
BEGIN;
SELECT opens('o');
FETCH 2 FROM o;
COMMIT;
SELECT counted();

-- prepared statements
PREPARE q(int) AS SELECT k FROM plain WHERE k <= $1 ORDER BY k;
PREPARE i(int) AS INSERT INTO other VALUES ($1), ($1);
SELECT counted();
EXECUTE q(2);
EXECUTE i(2);
EXECUTE i(inserts(1));
EXECUTE q(folded_sql(0)::int - 8);
SELECT counted();
EXECUTE q('x');
EXECUTE nothing;
EXECUTE q(inserts(NULL));
SELECT counted();
PREPARE e AS SELECT 1 / (k - 1) FROM plain;
EXECUTE e;
SELECT counted();

-- CREATE TABLE AS and EXPLAIN ANALYZE are what they run
CREATE TABLE made AS SELECT k FROM plain WHERE k <= 3;
SELECT k INTO made_2 FROM plain WHERE k <= 2;
CREATE TABLE made_3 AS EXECUTE q(2);
CREATE TABLE made_4 AS SELECT k FROM plain WITH NO DATA;
CREATE TABLE made AS SELECT k FROM plain;
CREATE TABLE made_5 AS SELECT 1 / (k - 1) AS k FROM plain;
SELECT counted();
CREATE MATERIALIZED VIEW mat AS SELECT k FROM plain WHERE k <= 3;
REFRESH MATERIALIZED VIEW mat;
SELECT counted();
-- what it prints is not the same everywhere
\o /dev/null
EXPLAIN SELECT 1;
EXPLAIN EXECUTE q(1);
\o
SELECT counted();
\o /dev/null
EXPLAIN ANALYZE SELECT k FROM plain WHERE k <= 3;
EXPLAIN ANALYZE INSERT INTO other VALUES (1), (2);
EXPLAIN (ANALYZE, TIMING OFF) EXECUTE q(2);
EXPLAIN ANALYZE CREATE TABLE made_6 AS SELECT k FROM plain WHERE k <= 3;
EXPLAIN ANALYZE DECLARE c CURSOR FOR SELECT 1;
\o
EXPLAIN ANALYZE SELECT 1 / (k - 1) FROM plain;
SELECT counted();

-- COPY
COPY plain FROM stdin;
201	1
202	2
\.
COPY plain FROM stdin;
203	1
201	2
\.
COPY plain TO '/dev/null';
COPY (SELECT k FROM plain WHERE k <= 2) TO stdout;
COPY (SELECT 1 / (k - 1) FROM plain ORDER BY k) TO stdout;
COPY nowhere TO stdout;
SELECT counted();

-- of what rules make of a statement, one counts
CREATE TABLE ruled (k int);
CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO other VALUES (new.k);
CREATE RULE instead AS ON UPDATE TO ruled DO INSTEAD INSERT INTO other VALUES (new.k), (new.k);
CREATE RULE nothing AS ON DELETE TO ruled DO INSTEAD NOTHING;
SELECT counted();
INSERT INTO ruled VALUES (1);
UPDATE ruled SET k = 2;
DELETE FROM ruled;
SELECT counted();

-- workers of a parallel plan count nothing
CREATE TABLE big AS SELECT g AS k FROM generate_series(1, 20000) g;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT counted();
EXPLAIN (COSTS OFF) SELECT count(*) FROM big WHERE k % 2 = 0;
SELECT counted();
SELECT count(*) FROM big WHERE k % 2 = 0;
CREATE TABLE made_7 AS SELECT k FROM big WHERE k % 2 = 0;
SELECT counted();
RESET max_parallel_workers_per_gather;

-- off: nothing
SELECT counted();
SET dbperf.track_queries = off;
INSERT INTO other VALUES (1);
SELECT inserts(1);
CREATE TABLE made_8 (k int);
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
SET dbperf.track_queries = on;
SELECT counted();

-- tables: every statement that names one, at any depth
CREATE TABLE p (k int, v int) PARTITION BY RANGE (k);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (100) PARTITION BY RANGE (v);
CREATE TABLE p_1_1 PARTITION OF p_1 FOR VALUES FROM (0) TO (100);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (100) TO (200);
CREATE TABLE r (k int) PARTITION BY RANGE (k);
CREATE TABLE r_1 PARTITION OF r FOR VALUES FROM (0) TO (1000);
CREATE VIEW of_tables AS
    SELECT relation, kind, calls, rows, errors FROM dbperf.query_stats
    WHERE relation IS NOT NULL AND window_minutes = 0 ORDER BY relation::text COLLATE "C", kind COLLATE "C";
SELECT dbperf.reset_performance_stats();
INSERT INTO p SELECT g, 1 FROM generate_series(0, 199) g;
INSERT INTO p_2 VALUES (100, 1);
SELECT count(*) FROM p;
SELECT count(*) FROM p_1_1;
SELECT k FROM p a JOIN p b USING (k) WHERE k < 3;
UPDATE p SET v = 2 WHERE k = 5;
DELETE FROM p_1 WHERE k = 5;
INSERT INTO r SELECT k FROM p WHERE k < 3;
SELECT count(*) FROM plain;
SELECT * FROM of_tables;
-- errors, roll-backs, functions, views, WITH, cursors
SELECT dbperf.reset_performance_stats();
INSERT INTO p VALUES (1000, 1);
SELECT 1 / k FROM p WHERE k = 0;
BEGIN;
DELETE FROM p WHERE k < 2;
ROLLBACK;
CREATE VIEW of_p AS SELECT * FROM p;
SELECT count(*) FROM of_p;
DO $$
BEGIN
    FOR i IN 1..3 LOOP
        BEGIN
            INSERT INTO t.r VALUES (i);
            PERFORM 1 / (i - 2);
        EXCEPTION WHEN division_by_zero THEN
            NULL;
        END;
    END LOOP;
    PERFORM FROM t.p WHERE k = 1;
END
$$;
CREATE FUNCTION of_r() RETURNS bigint LANGUAGE sql VOLATILE AS $$ SELECT count(*) FROM t.r; SELECT count(*) FROM t.r $$;
SELECT of_r();
WITH w AS (DELETE FROM r WHERE k = 1 RETURNING k) SELECT count(*) FROM w;
WITH w AS (INSERT INTO r VALUES (1), (2) RETURNING k) INSERT INTO p SELECT k, 1 FROM w;
MERGE INTO p USING (VALUES (1)) s (k) ON s.k = p.k WHEN MATCHED THEN DO NOTHING;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM r;
FETCH 1 FROM c;
SELECT k FROM p FOR UPDATE LIMIT 1;
SELECT 1 / (k - 1) FROM plain WHERE k = 1;
ROLLBACK;
SELECT * FROM of_tables;
-- COPY, once
SELECT dbperf.reset_performance_stats();
COPY p FROM stdin;
1	1
150	1
\.
COPY p_2 FROM stdin;
1	1
\.
COPY (SELECT * FROM r LIMIT 1) TO stdout;
COPY r_1 TO '/dev/null';
ALTER TABLE p_2 ENABLE ROW LEVEL SECURITY;
COPY p_2 TO '/dev/null';
SELECT * FROM of_tables;
-- a bulk insert is not made of statements
SELECT dbperf.reset_performance_stats();
SELECT inserted FROM dbperf.bulk_insert('p', '[{"k": 1, "v": 1}, {"k": 2, "v": 2}]'::jsonb);
SELECT * FROM of_tables;
-- ingest_rate has only those that something came into
SELECT count(*) FROM r;
SELECT relation FROM dbperf.ingest_rate;

-- windows, by the clock
SELECT dbperf.reset_performance_stats();
CREATE VIEW windows AS
    SELECT kind, window_minutes AS minutes, calls, round(calls_per_second::numeric, 2) AS per_second FROM dbperf.query_stats
    WHERE relation = 'r'::regclass AND kind = 'all' ORDER BY 2;
CREATE PROCEDURE of_r(n int) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..n LOOP PERFORM FROM t.r; END LOOP; END $$;
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT dbperf.reset_performance_stats();
SET dbperf.now_override = '2026-11-21 12:00:09+00';
CALL of_r(90);
SELECT * FROM windows;
SET dbperf.now_override = '2026-11-21 12:01:09+00';
SELECT * FROM windows;
SET dbperf.now_override = '2026-11-21 12:01:10+00';
CALL of_r(10);
SELECT * FROM windows;
SET dbperf.now_override = '2026-11-21 12:05:59+00';
SELECT * FROM windows;
SET dbperf.now_override = '2026-11-21 12:06:30+00';
SELECT * FROM windows;
SET dbperf.now_override = '2026-11-21 12:15:59+00';
SELECT * FROM windows;
SET dbperf.now_override = '2026-11-21 12:17:00+00';
SELECT * FROM windows;
-- the clock steps back
SET dbperf.now_override = '2026-11-21 11:00:00+00';
CALL of_r(5);
SELECT * FROM windows;
RESET dbperf.now_override;
-- percentiles: in order, no more than the most, none of nothing
SELECT bool_and(p50_ms <= p90_ms AND p90_ms <= p95_ms AND p95_ms <= p99_ms AND p99_ms <= p999_ms AND p999_ms <= max_ms AND mean_ms <= max_ms)
FROM dbperf.query_stats WHERE calls > 0;
SELECT num_nonnulls(mean_ms, p50_ms, p999_ms, max_ms) FROM dbperf.query_stats WHERE relation = 'r'::regclass AND kind = 'all' AND window_minutes = 1;
SELECT relation IS NULL AS of_database, kind = 'all' AS all, count(DISTINCT window_minutes) FROM dbperf.query_stats
WHERE database = current_database() AND (kind IN ('all', 'select')) GROUP BY 1, 2 ORDER BY 1, 2;
SELECT calls = (SELECT sum(calls) FROM dbperf.query_stats WHERE database = current_database() AND kind <> 'all' AND relation IS NULL AND window_minutes = 0) AS sum
FROM dbperf.query_stats WHERE database = current_database() AND kind = 'all' AND relation IS NULL AND window_minutes = 0;

-- a dropped table is not shown; a reset holds, whatever becomes of the transaction
DROP TABLE r CASCADE;
SELECT count(*) FROM dbperf.query_stats WHERE relation IS NOT NULL AND relation::text LIKE 'r%';
BEGIN;
SELECT dbperf.reset_performance_stats();
ROLLBACK;
SELECT kind, window_minutes, calls, rows FROM dbperf.query_stats WHERE database = current_database() AND kind <> 'all' ORDER BY 1, 2;
SELECT preloaded, max_databases >= databases AND databases > 0 AS databases, uncounted_statements, max_tables, tables >= 0 AS tables, evictions >= 0 AS evictions, since <= now() AS since FROM dbperf.query_state();

-- arguments, and who may look
SELECT fails('SELECT * FROM dbperf.query_counters(2)');
SELECT fails('SELECT * FROM dbperf.query_counters(NULL)');
SELECT fails('SELECT * FROM dbperf.table_query_counters(-1)');
CREATE ROLE regress_reader;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA t TO regress_reader, regress_monitor;
GRANT EXECUTE ON FUNCTION fails(text) TO regress_reader, regress_monitor;
SET ROLE regress_monitor;
SELECT count(*) > 0 FROM dbperf.query_stats;
SELECT preloaded FROM dbperf.query_state();
SELECT fails('SET dbperf.track_queries = off');
SET ROLE regress_reader;
SELECT fails('SELECT * FROM dbperf.query_stats');
SELECT fails('SELECT * FROM dbperf.query_counters(0)');
SELECT fails('SELECT * FROM dbperf.table_query_counters(0)');
SELECT fails('SELECT * FROM dbperf.query_state()');
RESET ROLE;
DROP OWNED BY regress_reader, regress_monitor;
DROP ROLE regress_reader, regress_monitor;
