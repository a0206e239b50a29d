--
-- pool_config() and validate_configuration(), and what is said where no PgBouncer is configured. That
-- programs accept the configurations is tested by t/052_pgbouncer.pl.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
-- The machine and the run are none of the test's business.
CREATE FUNCTION t.config(format text, pool text DEFAULT 'default') RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(regexp_replace(replace(replace(replace(line, s.host, 'HOST'), s.tcp_host, 'HOST'), s.database, 'DATABASE'),
        '(port ?= ?|HOST:)' || s.port, '\1PORT'), '(user(?:name)?="?)' || session_user, '\1USER')
    FROM dbperf.pool_settings(pool) s, regexp_split_to_table(dbperf.pool_config(format, pool), '\n') line
$$;
\set ECHO all
\pset tuples_only on
\pset format unaligned
SELECT config('sqlalchemy');
SELECT config('asyncpg');
SELECT config('hikari');
SELECT config('pgbouncer');
SELECT config('libpq');
-- another pool: names that have to be quoted, no age limit, part of a second, through PgBouncer
INSERT INTO dbperf.pools (name, application_name, username, base_size, max_overflow, acquire_timeout, recycle_after, pgbouncer_pool)
VALUES ('über:"feed"\ ''1''', 'my\_app "x"', 'o''user', 0, 5, '2.5 s', '0', 'db');
SELECT config('sqlalchemy', name) FROM dbperf.pools WHERE base_size = 0;
SELECT config('asyncpg', name) FROM dbperf.pools WHERE base_size = 0;
SELECT config('hikari', name) FROM dbperf.pools WHERE base_size = 0;
SELECT config('pgbouncer', name) FROM dbperf.pools WHERE base_size = 0;
SELECT config('libpq', name) FROM dbperf.pools WHERE base_size = 0;
-- patterns name nobody; an age that HikariCP finds too short
UPDATE dbperf.pools SET name = 'short', application_name = 'feed%', username = '%', recycle_after = '20 s' WHERE base_size = 0;
SELECT c FROM config('hikari', 'short') c WHERE c ~ '^(username|jdbcUrl|maxLifetime|idleTimeout|keepaliveTime)';
SELECT dbperf.configuration_value(v, s) FROM (VALUES ('a b&c=d?é€𝄞%', 'url'), (' a\b é€𝄞', 'property'), ('', 'property'), (E'a"\n\\', 'python'), ('a''\', 'libpq'), ('a''\', 'ini')) x (v, s);
\pset tuples_only off
\pset format aligned
SELECT fails(format('SELECT dbperf.pool_config(%s)', a)) FROM unnest('{"NULL",''yaml'',''SQLAlchemy'',"''libpq'', ''nowhere''","''libpq'', NULL"}'::text[]) a;

-- settings: in this session
CREATE FUNCTION checked(names text) RETURNS TABLE (setting text, current_value text, severity text, ok boolean) LANGUAGE sql AS $$
    SELECT v.setting, v.current_value, v.severity, v.ok FROM dbperf.validate_configuration() v WHERE v.setting = ANY (names::text[]) ORDER BY v.setting COLLATE "C"
$$;
-- there are all, each once and with a reason
SELECT count(*) > 25 AS many, count(DISTINCT v.setting) = count(*) AS once, bool_and(s.name IS NOT NULL) AS exist, bool_and(why <> '' AND recommended <> '') AS explained,
       bool_and((severity = 'ok') = coalesce(ok, false)) AS agrees, bool_and(requires_restart = (s.context = 'postmaster')) AS restart
FROM dbperf.validate_configuration() v LEFT JOIN pg_settings s ON s.name = v.setting;
-- what is recommended is a value of the setting
SELECT v.setting, recommended FROM dbperf.validate_configuration() v JOIN pg_settings s ON s.name = v.setting
WHERE CASE s.vartype WHEN 'bool' THEN recommended NOT IN ('on', 'off') WHEN 'enum' THEN recommended <> ALL (s.enumvals)
    WHEN 'real' THEN recommended::float8 NOT BETWEEN s.min_val::float8 AND s.max_val::float8
    WHEN 'integer' THEN recommended !~ CASE WHEN s.unit IN ('8kB', 'kB', 'MB') THEN '^\d+(MB|GB)$' WHEN s.unit IN ('ms', 's', 'min') THEN '^\d+min$' ELSE '^\d+$' END ELSE false END;
SELECT setting FROM dbperf.validate_configuration() WHERE severity = 'critical' AND setting NOT IN ('autovacuum', 'fsync');
SET synchronous_commit = off;
SET work_mem = '64GB';
SET jit = off;
SET random_page_cost = 1.5;
SET enable_partition_pruning = off;
SET idle_in_transaction_session_timeout = '1h';
SET track_counts = off;
SELECT * FROM checked('{synchronous_commit,work_mem,jit,random_page_cost,enable_partition_pruning,idle_in_transaction_session_timeout,track_counts,shared_preload_libraries}');
RESET ALL;
SET search_path = t;
SET dbperf.now_override = '2026-11-21 12:00:00+00';
-- pools that need more than the server has, and tables whose partitions need more locks
SELECT ok FROM dbperf.validate_configuration() WHERE setting = 'max_connections';
UPDATE dbperf.pools SET base_size = 100000, max_overflow = 62143 WHERE name = 'default';
SELECT ok, severity, recommended::int - 162143 - 5 BETWEEN 3 AND 20 AS enough FROM dbperf.validate_configuration() WHERE setting = 'max_connections';
SELECT ok, severity, why FROM dbperf.validate_configuration() WHERE setting = 'max_locks_per_transaction';
CREATE TABLE wide (k bigint NOT NULL) PARTITION BY RANGE (k);
SELECT dbperf.manage('wide', '10', premake => 3);
SELECT regexp_replace(why, 'room for \d+', 'room for N') FROM dbperf.validate_configuration() WHERE setting = 'max_locks_per_transaction';
-- where the machine does not tell, nothing is held against it
BEGIN;
ALTER EXTENSION tradeassist_dbperf DROP FUNCTION dbperf.system_stats();
ALTER FUNCTION dbperf.system_stats() RENAME TO system_stats_hidden;
CREATE FUNCTION dbperf.system_stats(OUT metric text, OUT label text, OUT value double precision, OUT is_counter boolean) RETURNS SETOF record LANGUAGE sql AS 'SELECT NULL::text, NULL::text, NULL::double precision, NULL::boolean WHERE false';
SELECT setting, severity, ok FROM dbperf.validate_configuration() WHERE ok IS NULL ORDER BY setting COLLATE "C";
SELECT count(*) FILTER (WHERE recommended IS NULL) FROM dbperf.validate_configuration();
-- with 64 GB and much disk, and with little of everything
CREATE OR REPLACE FUNCTION dbperf.system_stats(OUT metric text, OUT label text, OUT value double precision, OUT is_counter boolean) RETURNS SETOF record LANGUAGE sql AS
    $$ VALUES ('memory_total_bytes', '', 64 * 1073741824.0, false), ('cpu_count', '', 32, false), ('disk_total_bytes', 'pg_wal', 1e12, false) $$;
SELECT setting, recommended FROM dbperf.validate_configuration() WHERE setting IN ('shared_buffers', 'effective_cache_size', 'maintenance_work_mem', 'max_wal_size', 'autovacuum_max_workers') ORDER BY setting COLLATE "C";
CREATE OR REPLACE FUNCTION dbperf.system_stats(OUT metric text, OUT label text, OUT value double precision, OUT is_counter boolean) RETURNS SETOF record LANGUAGE sql AS
    $$ VALUES ('memory_total_bytes', '', 512 * 1048576.0, false), ('cpu_count', '', 1, false), ('disk_total_bytes', 'pg_default', 8e9, false) $$;
SELECT setting, recommended FROM dbperf.validate_configuration() WHERE setting IN ('shared_buffers', 'effective_cache_size', 'maintenance_work_mem', 'max_wal_size', 'autovacuum_max_workers') ORDER BY setting COLLATE "C";
-- what is recommended is good enough when it is done, though it was rounded
SELECT setting, set_config(setting, recommended, true) IS NOT NULL AS done FROM dbperf.validate_configuration() WHERE setting IN ('work_mem', 'maintenance_work_mem', 'effective_cache_size') ORDER BY setting COLLATE "C";
SELECT * FROM checked('{work_mem,maintenance_work_mem,effective_cache_size}');
-- max_wal_size, which is 1 GB here: enough, too little, and more than half of the disk
CREATE TABLE disk (bytes double precision);
CREATE OR REPLACE FUNCTION dbperf.system_stats(OUT metric text, OUT label text, OUT value double precision, OUT is_counter boolean) RETURNS SETOF record LANGUAGE sql AS
    $$ SELECT 'disk_total_bytes', 'pg_wal', bytes, false FROM t.disk $$;
CREATE FUNCTION wal_size(disk text) RETURNS TABLE (recommended text, ok boolean) LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM disk;
    INSERT INTO disk VALUES (pg_size_bytes(disk));
    RETURN QUERY SELECT v.recommended, v.ok FROM dbperf.validate_configuration() v WHERE v.setting = 'max_wal_size';
END $$;
SELECT d, w.* FROM unnest('{1 GB,2 GB,4.003 GB,14 GB,1 TB}'::text[]) d, wal_size(d) w;
ROLLBACK;

-- PgBouncer
SELECT fails('SELECT dbperf.pgbouncer_pools()');
SELECT fails('SELECT dbperf.pgbouncer_stats()');

-- members of pg_monitor may see all this
CREATE ROLE regress_dbperf_monitor IN ROLE pg_monitor;
SET ROLE regress_dbperf_monitor;
SELECT count(*) > 25 AS many, count(current_value) = count(*) AS complete FROM dbperf.validate_configuration();
SELECT length(dbperf.pool_config(f)) > 100 AS has_text FROM unnest('{sqlalchemy,asyncpg,hikari,pgbouncer,libpq}'::text[]) f;
SELECT * FROM dbperf.pgbouncer_pools();
SELECT * FROM dbperf.pgbouncer_stats();
RESET ROLE;
DROP ROLE regress_dbperf_monitor;
CREATE ROLE regress_dbperf_nobody;
GRANT USAGE ON SCHEMA dbperf TO regress_dbperf_nobody;
SET ROLE regress_dbperf_nobody;
SELECT dbperf.pool_config('libpq');
SELECT dbperf.validate_configuration();
SELECT dbperf.pgbouncer_pools();
RESET ROLE;
DROP OWNED BY regress_dbperf_nobody;
DROP ROLE regress_dbperf_nobody;
