--
-- CREATE EXTENSION and DROP EXTENSION: what was planted before is refused, PUBLIC gets nothing,
-- every function is pinned to its search_path, every object has a comment, no user row is lost
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
-- a schema of that name may hold somebody's traps
DROP EXTENSION tradeassist_dbperf;
CREATE SCHEMA dbperf;
CREATE FUNCTION dbperf.dbp_planted() RETURNS int LANGUAGE sql AS 'SELECT 1';
SELECT fails('CREATE EXTENSION tradeassist_dbperf');
SELECT fails('CREATE EXTENSION tradeassist_dbperf SCHEMA dbperf');
DROP FUNCTION dbperf.dbp_planted();
DROP SCHEMA dbperf;
-- so do functions and operators in a schema that is searched before pg_catalog
CREATE SCHEMA planted;
CREATE FUNCTION planted.nextval(text) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION planted.format(text, VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION planted.pg_extension_config_dump(text, text) RETURNS void LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE FUNCTION planted.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE DOMAIN planted.regclass AS text CHECK (VALUE = 'trapped');
SET search_path = planted, pg_catalog, t;
CREATE EXTENSION tradeassist_dbperf;
SET search_path = t;
SELECT count(*) AS depends_on_planted
FROM pg_depend d JOIN pg_depend e ON e.classid = d.classid AND e.objid = d.objid AND e.deptype = 'e'
WHERE (d.refclassid = 'pg_namespace'::regclass AND d.refobjid = 'planted'::regnamespace)
   OR (d.refclassid = 'pg_proc'::regclass AND d.refobjid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'planted'::regnamespace));
SET client_min_messages = warning;
DROP SCHEMA planted CASCADE;
RESET client_min_messages;

SELECT extname, extversion, extrelocatable, extnamespace::regnamespace AS schema
FROM pg_extension WHERE extname = 'tradeassist_dbperf';

-- whatever the extension made is in its own schema, but the schema and the event triggers
SELECT classid::regclass::text COLLATE "C" AS outside, count(*) FROM pg_depend
WHERE deptype = 'e' AND refclassid = 'pg_extension'::regclass
  AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'tradeassist_dbperf')
  AND NOT (classid = 'pg_proc'::regclass AND objid IN (SELECT oid FROM pg_proc WHERE pronamespace = 'dbperf'::regnamespace))
  AND NOT (classid = 'pg_class'::regclass AND objid IN (SELECT oid FROM pg_class WHERE relnamespace = 'dbperf'::regnamespace))
  AND NOT (classid = 'pg_type'::regclass AND objid IN (SELECT oid FROM pg_type WHERE typnamespace = 'dbperf'::regnamespace))
GROUP BY 1 ORDER BY 1;

-- every function is in C, has its search_path pinned, or was parsed when it was made; a procedure that commits
-- must be in C
SELECT p.oid::regprocedure::text COLLATE "C" AS not_pinned
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
WHERE p.pronamespace = 'dbperf'::regnamespace AND l.lanname <> 'c'
  AND p.prosqlbody IS NULL AND NOT coalesce(p.proconfig, '{}') @> ARRAY['search_path=pg_catalog, pg_temp']
ORDER BY 1;

-- PUBLIC can do nothing
SELECT p.oid::regprocedure::text COLLATE "C" AS executable_by_public
FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
WHERE p.pronamespace = 'dbperf'::regnamespace AND a.grantee = 0
ORDER BY 1;
SELECT c.oid::regclass::text COLLATE "C" AS open_to_public, a.privilege_type
FROM pg_class c, aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", c.relowner))) a
WHERE c.relnamespace = 'dbperf'::regnamespace AND c.relkind IN ('r', 'v', 'S', 'm', 'p') AND a.grantee = 0
ORDER BY 1, 2;
SELECT a.privilege_type AS public_has_on_schema
FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
WHERE n.nspname = 'dbperf' AND a.grantee = 0;

-- a member of pg_monitor may look, and call no function that changes anything
SELECT p.oid::regprocedure::text COLLATE "C" AS executable_by_pg_monitor, p.provolatile AS volatile
FROM pg_proc p WHERE p.pronamespace = 'dbperf'::regnamespace AND has_function_privilege('pg_monitor', p.oid, 'EXECUTE')
ORDER BY 1;
SELECT c.oid::regclass::text COLLATE "C" AS unreadable_to_pg_monitor
FROM pg_class c
WHERE c.relnamespace = 'dbperf'::regnamespace AND c.relkind IN ('r', 'v') AND NOT has_table_privilege('pg_monitor', c.oid, 'SELECT')
ORDER BY 1;
SELECT c.oid::regclass::text COLLATE "C" AS writable_by_pg_monitor
FROM pg_class c
WHERE c.relnamespace = 'dbperf'::regnamespace AND c.relkind IN ('r', 'v')
  AND has_table_privilege('pg_monitor', c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
ORDER BY 1;

-- every object that a user sees has a comment
SELECT ('function ' || p.oid::regprocedure) COLLATE "C" AS no_comment
FROM pg_proc p WHERE p.pronamespace = 'dbperf'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT 'relation ' || c.oid::regclass
FROM pg_class c WHERE c.relnamespace = 'dbperf'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
  AND obj_description(c.oid, 'pg_class') IS NULL
UNION ALL
SELECT 'column policy.' || a.attname
FROM pg_attribute a WHERE a.attrelid = 'dbperf.policy'::regclass AND a.attnum > 0 AND NOT a.attisdropped
  AND col_description(a.attrelid, a.attnum) IS NULL
UNION ALL
SELECT 'schema dbperf' WHERE obj_description('dbperf'::regnamespace, 'pg_namespace') IS NULL
UNION ALL
SELECT 'extension' WHERE (SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'tradeassist_dbperf') IS NULL
ORDER BY 1;

-- pg_dump carries the data of these
SELECT unnest(extconfig)::regclass::text COLLATE "C" AS dumped FROM pg_extension WHERE extname = 'tradeassist_dbperf' ORDER BY 1;

-- nobody but a superuser may install it
CREATE ROLE regress_dbperf_nobody;
DROP EXTENSION tradeassist_dbperf;
GRANT CREATE ON DATABASE :"DBNAME" TO regress_dbperf_nobody;
SET ROLE regress_dbperf_nobody;
CREATE EXTENSION tradeassist_dbperf;
RESET ROLE;
REVOKE CREATE ON DATABASE :"DBNAME" FROM regress_dbperf_nobody;
DROP ROLE regress_dbperf_nobody;

-- DROP EXTENSION loses no row, and leaves nothing of its own
CREATE EXTENSION tradeassist_dbperf;
SELECT dbperf.create_market_schema('t');
INSERT INTO instruments (id, symbol) VALUES (1, 'ACME');
INSERT INTO market_data ("timestamp", instrument_id, price) VALUES
    ('2026-11-01', 1, 10.5), ('2026-11-30 23:59:59.999999', 1, 11), ('2027-01-31', 1, 12);
DROP EXTENSION tradeassist_dbperf;
SELECT tableoid::regclass, "timestamp", price FROM market_data ORDER BY 2;
SELECT count(*) AS partitions FROM pg_inherits i JOIN pg_class c ON c.oid = inhparent WHERE c.relkind = 'p';
SELECT to_regnamespace('dbperf') AS schema_left, (SELECT count(*) FROM pg_event_trigger) AS event_triggers_left;
-- and the tables go on living without it
DROP TABLE market_data_2026_11;
CREATE TABLE t.market_data_by_hand PARTITION OF market_data FOR VALUES FROM ('2027-02-01') TO ('2027-03-01');

-- a rolled back DROP EXTENSION
CREATE EXTENSION tradeassist_dbperf;
SELECT dbperf.manage('market_data');
BEGIN;
DROP EXTENSION tradeassist_dbperf;
ROLLBACK;
SELECT parent, partition_interval, premake FROM dbperf.policy;
SELECT count(*) FROM dbperf.run_maintenance();
