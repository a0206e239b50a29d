--
-- benchmark_float(): what it says, who may run it, and that it leaves nothing behind. No figures: they
-- are of the machine.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
CREATE FUNCTION t.left_behind() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_class WHERE relname LIKE 'benchmark\_%' $$;
CREATE FUNCTION t.run(statement text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE statement; END $$;
\set ECHO all
-- a notice for each round
\set VERBOSITY sqlstate
CREATE TABLE result AS SELECT * FROM dbperf.benchmark_float("rows" => 2000, rounds => 2);
\set VERBOSITY default
SET client_min_messages = warning;
SELECT aggregate, numeric_ms > 0 AS numeric_ms, float_ms > 0 AS float_ms, abs(ratio - numeric_ms / float_ms) < 0.001 AS ratio FROM result;
SELECT left_behind();

-- what is compared: the same prices, in tables that differ in their type alone
BEGIN;
SELECT run(format('ALTER TABLE %s RENAME TO %I', dbperf.benchmark_float_table(type, 1000), name)) FROM (VALUES ('numeric(12,4)', 'before'), ('double precision', 'after')) v (type, name);
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS after, format_type(b.atttypid, b.atttypmod) AS before
FROM pg_attribute a JOIN pg_attribute b ON b.attnum = a.attnum
WHERE a.attrelid = 'after'::regclass AND b.attrelid = 'before'::regclass AND a.attnum > 0 ORDER BY a.attnum;
SELECT count(*) AS ticks, count(DISTINCT b.price) > 900 AS many, count(*) FILTER (WHERE b.price <> a.price::numeric OR b.low_price <> a.low_price::numeric) AS wrong
FROM after a JOIN before b USING ("timestamp");
ROLLBACK;

-- arguments
SELECT fails('SELECT dbperf.benchmark_float(NULL)');
SELECT fails('SELECT dbperf.benchmark_float(1000, NULL)');
SELECT fails(format('SELECT dbperf.benchmark_float(%s)', n)) FROM unnest('{-1,0,999,10000001,2147483647}'::int[]) n;
SELECT fails(format('SELECT dbperf.benchmark_float(1000, %s)', n)) FROM unnest('{-1,0,101,2147483647}'::int[]) n;

-- a cancel in the middle of it
CREATE FUNCTION cancel() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    IF tg_tag = 'CREATE TABLE AS' THEN PERFORM pg_cancel_backend(pg_backend_pid()), pg_sleep(60); END IF;
END $$;
\set SHOW_CONTEXT never
CREATE EVENT TRIGGER regress_dbperf_cancel ON ddl_command_end EXECUTE FUNCTION cancel();
SELECT dbperf.benchmark_float(1000, 1);
DROP EVENT TRIGGER regress_dbperf_cancel;
SELECT left_behind();
BEGIN READ ONLY;
SELECT dbperf.benchmark_float(1000, 1);
ROLLBACK;
-- twice in a transaction
BEGIN;
SELECT aggregate FROM dbperf.benchmark_float(1000, 1);
SELECT aggregate FROM dbperf.benchmark_float(1000, 1);
COMMIT;

-- who may: nobody unasked; then whoever can make temporary tables
CREATE ROLE regress_dbperf_bench;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_bench;
SET ROLE regress_dbperf_bench;
SELECT dbperf.benchmark_float(1000, 1);
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA dbperf TO regress_dbperf_bench;
SET ROLE regress_dbperf_bench;
SELECT aggregate FROM dbperf.benchmark_float(1000, 1);
RESET ROLE;
DROP OWNED BY regress_dbperf_bench;
DROP ROLE regress_dbperf_bench;
SELECT left_behind();
