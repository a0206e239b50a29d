/* tradeassist_dbperf: partitions that look after themselves */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION tradeassist_dbperf" to load this file. \quit

-- A schema that is there already may hold somebody's functions under our names.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'dbperf') THEN
        RAISE EXCEPTION 'schema "dbperf" already exists'
            USING ERRCODE = 'duplicate_schema',
                  HINT = 'The extension makes this schema itself. Rename or drop the one that is there.';
    END IF;
END
$$;

CREATE SCHEMA dbperf;
COMMENT ON SCHEMA dbperf IS 'tradeassist_dbperf: policies, functions and health of partitioned tables';
