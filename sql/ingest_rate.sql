--
-- What is counted of INSERT and COPY, when it counts, and rates by a fixed clock
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT dbperf.reset_performance_stats();
-- rows and batches of the tables of this test
CREATE VIEW counted AS
    SELECT relation, rows_total, batches_total FROM dbperf.ingest_rate
    WHERE rows_total + batches_total + late_rows + rejected_rows > 0 ORDER BY relation::text COLLATE "C";
CREATE VIEW operations AS
    SELECT relation, operation, calls, rows FROM dbperf.get_performance_stats() ORDER BY relation::text COLLATE "C", operation COLLATE "C";
SELECT make('m');
SELECT make('plain_parent');
CREATE TABLE plain_parent_all PARTITION OF plain_parent DEFAULT;
CREATE TABLE plain (k timestamptz, v text);
SELECT dbperf.manage('m', '1 month', 2);
-- a managed table is shown from the beginning
SELECT relation, source, rows_total, batches_total, rows_per_second_1m, rows_per_second_5m, rows_per_second_15m,
       batch_p50_ms, batch_p95_ms, batch_p99_ms, late_rows, rejected_rows, since <= now() AS since
FROM dbperf.ingest_rate;
SELECT * FROM dbperf.get_performance_stats();
SELECT preloaded, max_tables, since <= now() AS since FROM dbperf.counters_state();

-- each statement is a batch
INSERT INTO m VALUES ('2026-11-21', 'one');
INSERT INTO m VALUES ('2026-11-21', 'two'), ('2026-12-21', 'three');
INSERT INTO m SELECT '2026-11-22', g FROM generate_series(1, 10) g;
INSERT INTO m SELECT '2026-11-22', 'none' WHERE false;
INSERT INTO m VALUES ('2026-11-21', 'returned') RETURNING v;
SELECT * FROM counted;
SELECT relation, operation, calls, rows, total_ms > 0 AS total, abs(mean_ms * calls - total_ms) < 0.001 AS mean,
       p50_ms <= p95_ms AND p95_ms <= p99_ms AS percentiles, rows_per_second > 0 AS speed, cache_hits, cache_misses, since <= now() AS since
FROM dbperf.get_performance_stats();
SELECT batch_p50_ms <= batch_p95_ms AND batch_p95_ms <= batch_p99_ms AS percentiles FROM dbperf.ingest_rate;
COPY m FROM stdin;
2026-11-23	a
2026-12-23	b
\.
SELECT * FROM operations;

-- a table that is not managed counts if it is partitioned
INSERT INTO plain_parent VALUES ('2026-11-21', 'x');
INSERT INTO plain VALUES ('2026-11-21', 'x');
COPY plain FROM stdin;
2026-11-23	a
\.
SELECT * FROM operations;

-- what goes into a partition counts for the topmost table
CREATE TABLE deep (k int, l int) PARTITION BY RANGE (k);
CREATE TABLE deep_1 PARTITION OF deep FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (l);
CREATE TABLE deep_1_1 PARTITION OF deep_1 FOR VALUES FROM (0) TO (10);
INSERT INTO deep_1_1 VALUES (1, 1);
INSERT INTO deep_1 VALUES (1, 1), (2, 2);
COPY deep_1_1 FROM stdin;
3	3
\.
SELECT * FROM operations WHERE relation = 'deep'::regclass;
-- and no longer when it is none any more, or of another
ALTER TABLE deep DETACH PARTITION deep_1;
INSERT INTO deep_1_1 VALUES (1, 1);
SELECT * FROM counted WHERE relation::text LIKE 'deep%';
CREATE TABLE deeper (k int, l int) PARTITION BY RANGE (k);
ALTER TABLE deeper ATTACH PARTITION deep_1 FOR VALUES FROM (0) TO (10);
INSERT INTO deep_1_1 VALUES (1, 1);
ALTER TABLE deep_1 DETACH PARTITION deep_1_1;
INSERT INTO deep_1_1 VALUES (1, 1);
SELECT * FROM counted WHERE relation::text LIKE 'deep%';

-- a statement that fails does not count
CREATE UNIQUE INDEX ON plain_parent_all (v);
SELECT dbperf.reset_performance_stats();
INSERT INTO plain_parent VALUES ('2026-11-21', 'y'), ('2026-11-21', 'x');
INSERT INTO m VALUES ('2036-11-21', 'x');
COPY m FROM stdin;
2026-11-23	a
2036-11-23	b
\.
SELECT * FROM counted;
-- nor one that is only explained
EXPLAIN (COSTS OFF) INSERT INTO plain_parent VALUES ('2026-11-21', 'y');
SELECT * FROM counted;
DO $$ BEGIN EXECUTE 'EXPLAIN ANALYZE INSERT INTO t.plain_parent VALUES (''2026-11-21'', ''explained'')'; END $$;
SELECT * FROM counted;

-- ON CONFLICT: what was inserted or updated
CREATE TABLE up (k int PRIMARY KEY, v text) PARTITION BY RANGE (k);
CREATE TABLE up_1 PARTITION OF up FOR VALUES FROM (0) TO (100);
INSERT INTO up VALUES (1, 'a'), (2, 'b');
INSERT INTO up VALUES (2, 'c'), (3, 'd') ON CONFLICT DO NOTHING;
INSERT INTO up VALUES (3, 'e'), (4, 'f') ON CONFLICT (k) DO UPDATE SET v = excluded.v;
UPDATE up SET v = 'g';
DELETE FROM up WHERE k = 4;
SELECT * FROM operations WHERE relation = 'up'::regclass;

-- transactions: nothing counts before the commit, or after a rollback
SELECT dbperf.reset_performance_stats();
BEGIN;
INSERT INTO up VALUES (10, 'a');
SELECT * FROM counted;
COMMIT;
SELECT * FROM counted;
BEGIN;
INSERT INTO up VALUES (11, 'a');
COPY up FROM stdin;
12	a
\.
ROLLBACK;
SELECT * FROM counted;
BEGIN;
INSERT INTO up VALUES (11, 'a');
SELECT 1/0;
COMMIT;
SELECT * FROM counted;
-- savepoints
BEGIN;
INSERT INTO up VALUES (11, 'counts');
SAVEPOINT a;
INSERT INTO up VALUES (12, 'does not'), (13, 'does not');
SAVEPOINT b;
INSERT INTO up VALUES (14, 'does not');
RELEASE b;
ROLLBACK TO a;
INSERT INTO up VALUES (12, 'counts');
SAVEPOINT c;
INSERT INTO up VALUES (13, 'counts');
INSERT INTO plain_parent VALUES ('2026-11-21', 'counts');
SAVEPOINT d;
INSERT INTO up VALUES (14, 'counts');
INSERT INTO up VALUES (15, 'counts');
RELEASE d;
RELEASE c;
SAVEPOINT e;
INSERT INTO up VALUES (16, 'does not');
INSERT INTO plain_parent VALUES ('2026-11-21', 'does not');
ROLLBACK TO e;
COMMIT;
SELECT * FROM counted;
SELECT count(*) FROM up WHERE v = 'counts';
-- subtransactions of plpgsql, many of them
SELECT dbperf.reset_performance_stats();
TRUNCATE up;
DO $$
BEGIN
    FOR i IN 0..99 LOOP
        BEGIN
            INSERT INTO up VALUES (i, 'x');
            INSERT INTO plain_parent VALUES ('2026-11-21', i);
            IF i % 4 = 0 THEN
                RAISE EXCEPTION 'away with it';
            END IF;
        EXCEPTION WHEN raise_exception THEN
            NULL;
        END;
    END LOOP;
END
$$;
SELECT * FROM counted;
SELECT count(*) FROM up;
-- procedures that commit
CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE t.up;
    INSERT INTO t.up VALUES (1), (2);
    COMMIT;
    INSERT INTO t.up VALUES (3);
    ROLLBACK;
    INSERT INTO t.up VALUES (4);
END
$$;
SELECT dbperf.reset_performance_stats();
CALL steps();
SELECT * FROM counted;
-- a prepared transaction counts when it is prepared
BEGIN;
INSERT INTO up VALUES (5), (6);
PREPARE TRANSACTION 'ingest_rate';
SELECT * FROM counted;
COMMIT PREPARED 'ingest_rate';
SELECT * FROM counted;

-- functions, triggers, prepared statements, deferred triggers
SELECT dbperf.reset_performance_stats();
TRUNCATE up;
CREATE FUNCTION add_plpgsql(k int) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t.up VALUES (k); END $$;
CREATE FUNCTION add_sql(k int) RETURNS void LANGUAGE sql AS $$ INSERT INTO t.up VALUES (k); INSERT INTO t.up VALUES (k + 1) $$;
SELECT add_plpgsql(g) FROM generate_series(1, 3) g;
SELECT add_sql(10);
PREPARE add AS INSERT INTO up VALUES ($1), ($1 + 1);
EXECUTE add(20);
EXECUTE add(30);
DEALLOCATE add;
SELECT * FROM operations;
CREATE FUNCTION log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t.plain_parent VALUES ('2026-11-21', 'log ' || new.k); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER log AFTER INSERT ON up DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION log();
INSERT INTO up VALUES (40), (41);
SELECT * FROM operations;
COPY up (k) FROM stdin;
42
\.
SELECT * FROM operations;
DROP TRIGGER log ON up;
-- INSERT inside WITH is not seen, the one around it is
SELECT dbperf.reset_performance_stats();
WITH w AS (INSERT INTO up VALUES (50), (51) RETURNING k) SELECT count(*) FROM w;
WITH w AS (INSERT INTO up VALUES (52), (53) RETURNING k) INSERT INTO plain_parent SELECT '2026-11-21', 'of ' || k FROM w;
SELECT * FROM operations;
-- views and rules
CREATE VIEW up_view AS SELECT * FROM up;
CREATE TABLE ruled (k int);
CREATE RULE r AS ON INSERT TO ruled DO INSTEAD INSERT INTO up VALUES (new.k);
INSERT INTO up_view VALUES (60);
INSERT INTO ruled VALUES (61);
SELECT * FROM operations;

-- rates, by the clock: buckets of 10 s, the oldest one in part
SELECT dbperf.reset_performance_stats();
CREATE VIEW rates AS
    SELECT rows_total, rows_per_second_1m AS r1, rows_per_second_5m AS r5, rows_per_second_15m AS r15
    FROM dbperf.ingest_rate WHERE relation = 'plain_parent'::regclass;
CREATE PROCEDURE add_rows(n int) LANGUAGE sql AS $$ INSERT INTO t.plain_parent SELECT '2026-11-21', gen_random_uuid() FROM generate_series(1, n) $$;
CALL add_rows(900);
TABLE rates;
SET dbperf.now_override = '2026-11-21 12:00:59+00';
TABLE rates;
-- 12:00:00 to 12:00:10 lies within the last minute by half
SET dbperf.now_override = '2026-11-21 12:01:05+00';
TABLE rates;
SET dbperf.now_override = '2026-11-21 12:01:10+00';
TABLE rates;
CALL add_rows(600);
TABLE rates;
SET dbperf.now_override = '2026-11-21 12:06:00+00';
TABLE rates;
SET dbperf.now_override = '2026-11-21 12:15:00+00';
TABLE rates;
SET dbperf.now_override = '2026-11-21 12:15:10+00';
TABLE rates;
-- nothing for a while: the ring has come around, and what is left in it is old
SET dbperf.now_override = '2026-11-21 12:17:00+00';
TABLE rates;
SET dbperf.now_override = '2026-11-21 13:00:00+00';
CALL add_rows(60);
TABLE rates;
SET dbperf.now_override = '2026-11-25 00:00:00+00';
TABLE rates;
-- the clock steps back: what seems to be of the future does not count, and rows do not go astray
SET dbperf.now_override = '2026-11-21 12:30:00+00';
TABLE rates;
CALL add_rows(120);
TABLE rates;
-- a steady 10 rows a second
SELECT dbperf.reset_performance_stats();
DO $$
BEGIN
    FOR i IN 0..90 LOOP
        PERFORM set_config('dbperf.now_override', (timestamptz '2026-11-21 14:00:00+00' + i * interval '10 s')::text, false);
        CALL t.add_rows(100);
        COMMIT;
    END LOOP;
END
$$;
SET dbperf.now_override = '2026-11-21 14:15:07+00';
SELECT rows_total, round(r1::numeric, 1) AS r1, round(r5::numeric, 1) AS r5, round(r15::numeric, 1) AS r15 FROM rates;
RESET dbperf.now_override;

-- a dropped table is not shown, a managed one without counters is
DROP TABLE plain_parent, up, deep, deeper CASCADE;
SELECT relation, rows_total FROM dbperf.ingest_rate ORDER BY 1;
SELECT * FROM operations;
-- a reset holds, whatever becomes of the transaction
INSERT INTO m VALUES ('2026-11-21', 'one');
BEGIN;
SELECT dbperf.reset_performance_stats();
ROLLBACK;
SELECT * FROM counted;

-- members of pg_monitor may look, others may not, and only whom the owner lets may reset
CREATE ROLE regress_reader;
CREATE ROLE regress_monitor IN ROLE pg_monitor;
GRANT USAGE ON SCHEMA t TO regress_reader, regress_monitor;
GRANT EXECUTE ON FUNCTION fails(text) TO regress_reader, regress_monitor;
SET ROLE regress_monitor;
SELECT relation, rows_total FROM dbperf.ingest_rate;
SELECT count(*) FROM dbperf.get_performance_stats();
SELECT fails('SELECT dbperf.reset_performance_stats()');
SET ROLE regress_reader;
SELECT fails('SELECT * FROM dbperf.ingest_rate');
SELECT fails('SELECT * FROM dbperf.get_performance_stats()');
RESET ROLE;
DROP OWNED BY regress_reader, regress_monitor;
DROP ROLE regress_reader, regress_monitor;
