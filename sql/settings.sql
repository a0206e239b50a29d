--
-- Settings: names, types, units, defaults and who may change them when
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT name, vartype, unit, boot_val, min_val, max_val,
       -- fixed at server start only where the library is preloaded
       CASE WHEN name IN ('dbperf.max_workers', 'dbperf.max_tables', 'dbperf.latest_cache_size', 'dbperf.max_databases', 'dbperf.max_pools', 'dbperf.max_slow_queries') AND context IN ('postmaster', 'sighup') THEN 'as loaded' ELSE context END AS context
FROM pg_settings WHERE name LIKE 'dbperf.%' ORDER BY name COLLATE "C";
SELECT name, short_desc <> '' AS described FROM pg_settings WHERE name LIKE 'dbperf.%' AND coalesce(short_desc, '') = '';
SET dbperf.naptime = 5;
SET dbperf.enabled = off;
SET dbperf.databases = 'x';
SET dbperf.job_runs_retention = '1 day';
SET dbperf.no_such_setting = 1;
-- the clock for tests: a moment, and only for superusers
SET dbperf.now_override = '2024-02-29 12:00:00+05:30';
SHOW dbperf.now_override;
SET dbperf.now_override = '2023-02-29';
SET dbperf.now_override = 'yesterday 12:00';
SET dbperf.now_override = '-infinity';
SET dbperf.now_override = '12:00';
SET dbperf.now_override = '';
-- it holds as long as any other setting
BEGIN;
SET LOCAL dbperf.now_override = '2001-02-03 04:05:06+00';
SHOW dbperf.now_override;
ROLLBACK;
SHOW dbperf.now_override;
