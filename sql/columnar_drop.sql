--
-- DROP EXTENSION ... CASCADE does not take compressed tables along
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
\set VERBOSITY default
CREATE TABLE parent (id int, at date) PARTITION BY RANGE (at);
CREATE TABLE "Old part" (id int, at date) USING dbperf_columnar;
INSERT INTO "Old part" SELECT g, '2026-01-15' FROM generate_series(1, 10) g;
ALTER TABLE parent ATTACH PARTITION "Old part" FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');

-- without CASCADE, the server says so itself
DROP EXTENSION tradeassist_dbperf;
-- and with it, we do
DROP EXTENSION tradeassist_dbperf CASCADE;
DROP SCHEMA dbperf CASCADE;
DROP ACCESS METHOD dbperf_columnar CASCADE;
DROP FUNCTION dbperf.columnar_handler(internal) CASCADE;
BEGIN;
ALTER EXTENSION tradeassist_dbperf DROP ACCESS METHOD dbperf_columnar;
DROP ACCESS METHOD dbperf_columnar CASCADE;
ROLLBACK;
DO $$ BEGIN DROP EXTENSION tradeassist_dbperf CASCADE; END $$;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM parent;
CREATE TABLE too USING dbperf_columnar AS SELECT 1 AS one;
DROP EXTENSION tradeassist_dbperf CASCADE;
ROLLBACK;
SELECT count(*) FROM parent;

-- Of many tables, some are named
SELECT format('CREATE TABLE empty_%s () USING dbperf_columnar', g) FROM generate_series(1, 11) g \gexec
CREATE MATERIALIZED VIEW view_1 USING dbperf_columnar AS SELECT 1 AS one;
DROP EXTENSION tradeassist_dbperf CASCADE;

-- Those that are dropped before are not in the way
SET client_min_messages = warning;
BEGIN;
SELECT format('DROP TABLE empty_%s', g) FROM generate_series(1, 11) g \gexec
DROP MATERIALIZED VIEW view_1;
SAVEPOINT one;
DROP EXTENSION tradeassist_dbperf CASCADE;
ROLLBACK TO one;
DROP TABLE parent;
DROP EXTENSION tradeassist_dbperf CASCADE;
ROLLBACK;

-- A superuser may allow it
CREATE ROLE columnar_dropper;
SET ROLE columnar_dropper;
SET dbperf.allow_drop_columnar = on;
RESET ROLE;
DROP ROLE columnar_dropper;
BEGIN;
SET LOCAL dbperf.allow_drop_columnar = on;
DROP EXTENSION tradeassist_dbperf CASCADE;
SELECT count(*) FROM parent;
SELECT count(*) FROM pg_class WHERE relname ~ '^empty_';
ROLLBACK;
SELECT count(*) FROM parent;
DROP EXTENSION tradeassist_dbperf CASCADE;
DROP SCHEMA t CASCADE;
DROP EXTENSION tradeassist_dbperf;
