--
-- benchmark_insert(): what it says, who may run it, and that it leaves nothing behind. No figures:
-- they are of the machine.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
CREATE FUNCTION t.left_behind() RETURNS bigint LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'dbperf\_benchmark%')
         + (SELECT count(*) FROM pg_class WHERE relname LIKE 'benchmark\_%')
$$;
-- The process is part of the tables' names, and the database is whichever the test runs in.
CREATE FUNCTION t.fails_masked(statement text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT replace(replace(f, pg_backend_pid()::text, 'PID'), quote_ident(current_database()), 'DATABASE') FROM t.fails(statement) f
$$;
CREATE FUNCTION t.run(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN EXECUTE replace(statement, 'PID', pg_backend_pid()::text); END
$$;
\set ECHO all
CREATE TABLE result AS SELECT 0 AS run, * FROM dbperf.benchmark_insert(1000, 1) LIMIT 0;
-- a notice for each round
\set VERBOSITY sqlstate
INSERT INTO result SELECT 1, * FROM dbperf.benchmark_insert("rows" => 2000, rounds => 2);
\set VERBOSITY default
SET client_min_messages = warning;
CREATE SCHEMA "My ""own"" schéma";
INSERT INTO result SELECT 2, * FROM dbperf.benchmark_insert(1000, 1, 'My "own" schéma');
SELECT run, variant, rows_per_second > 0 AS is_fast, wal_bytes_per_row > 0 AS has_wal, table_bytes > 0 AS has_table,
       index_bytes > min(index_bytes) OVER (PARTITION BY run) AS more_indexes, improvement_percent IS NULL AS stands_alone
FROM result ORDER BY run, variant DESC;
-- the improvement is that of the rates
SELECT a.run, abs(a.improvement_percent - (100 * a.rows_per_second / b.rows_per_second - 100)) < 0.001 AS agrees
FROM result a JOIN result b ON b.run = a.run AND a.variant = 'after' AND b.variant = 'before' ORDER BY 1;
SELECT left_behind();

-- what is compared: five indexes against two beside the primary key, and the prices' type
BEGIN;
SELECT dbperf.benchmark_tables('t', 1000);
SELECT run(format('ALTER TABLE t.benchmark_%s_PID RENAME TO %1$s', name)) FROM unnest('{before,after,ticks}'::text[]) name;
SELECT indrelid::regclass AS variant, count(*) FILTER (WHERE NOT indisprimary) AS indexes FROM pg_index
WHERE indrelid IN ('before'::regclass, 'after'::regclass) GROUP BY 1 ORDER BY 1;
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS after, format_type(b.atttypid, b.atttypmod) AS before
FROM pg_attribute a JOIN pg_attribute b ON b.attnum = a.attnum
WHERE a.attrelid = 'after'::regclass AND b.attrelid = 'before'::regclass AND a.attnum > 0
AND (a.atttypid <> b.atttypid OR a.attname <> b.attname OR a.attnotnull <> b.attnotnull) ORDER BY a.attnum;
-- the ticks: the same prices in both types, and none that market_data would refuse
SELECT count(*) AS ticks, count(DISTINCT instrument_id) AS instruments, count(*) FILTER (WHERE price_before <> price_after::numeric
    OR low_after > price_after OR high_after < price_after OR bid_after > ask_after OR bid_after <= 0) AS wrong,
    bool_or(price_after <> open_after) AS moves FROM ticks;
ROLLBACK;

-- arguments
SELECT fails('SELECT dbperf.benchmark_insert(NULL)');
SELECT fails('SELECT dbperf.benchmark_insert(1000, NULL)');
SELECT fails(format('SELECT dbperf.benchmark_insert(%s)', n)) FROM unnest('{-1,0,999,10000001,2147483647}'::int[]) n;
SELECT fails(format('SELECT dbperf.benchmark_insert(1000, %s)', n)) FROM unnest('{-1,0,101,2147483647}'::int[]) n;
SELECT fails(format('SELECT dbperf.benchmark_insert(1000, 1, %L)', n)) FROM unnest('{nowhere,"",pg_temp,pg_catalog}'::name[]) n;
SELECT left_behind();

-- an error and a cancel in the middle of it
SELECT run('CREATE TABLE t.benchmark_after_PID ()');
SELECT fails_masked('SELECT dbperf.benchmark_insert(1000, 1, ''t'')');
SELECT run('DROP TABLE t.benchmark_after_PID');
SELECT left_behind();
CREATE FUNCTION cancel() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_tag = 'CREATE TABLE AS' THEN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60); END IF;
END $$;
\set SHOW_CONTEXT never
CREATE EVENT TRIGGER regress_dbperf_cancel ON ddl_command_end EXECUTE FUNCTION cancel();
SELECT dbperf.benchmark_insert(1000, 1);
SELECT left_behind();
DROP EVENT TRIGGER regress_dbperf_cancel;
BEGIN READ ONLY;
SELECT dbperf.benchmark_insert(1000, 1);
ROLLBACK;
-- twice in a transaction, and undone with it
BEGIN;
SELECT variant FROM dbperf.benchmark_insert(1000, 1);
SAVEPOINT s;
SELECT variant FROM dbperf.benchmark_insert(1000, 1, 't');
ROLLBACK;
SELECT left_behind();

-- who may: nobody unasked; then whoever can make a schema, or tables in one
CREATE ROLE regress_dbperf_bench;
GRANT USAGE ON SCHEMA t, dbperf TO regress_dbperf_bench;
SET ROLE regress_dbperf_bench;
SELECT fails('SELECT dbperf.benchmark_insert(1000, 1)');
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_bench;
SET ROLE regress_dbperf_bench;
SELECT fails_masked('SELECT dbperf.benchmark_insert(1000, 1)');
SELECT fails('SELECT dbperf.benchmark_insert(1000, 1, ''t'')');
RESET ROLE;
GRANT CREATE ON SCHEMA t TO regress_dbperf_bench;
SET ROLE regress_dbperf_bench;
SELECT variant FROM dbperf.benchmark_insert(1000, 1, 't');
RESET ROLE;
GRANT CREATE ON DATABASE :"DBNAME" TO regress_dbperf_bench;
SET ROLE regress_dbperf_bench;
SELECT variant FROM dbperf.benchmark_insert(1000, 1);
RESET ROLE;
DROP OWNED BY regress_dbperf_bench;
DROP ROLE regress_dbperf_bench;
SELECT left_behind();
SELECT ok, reason FROM dbperf.verify_audit();
