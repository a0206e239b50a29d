-- What every test begins with: the extension, a schema of the test's own, settings that do not
-- depend on the machine, a fixed clock, and some helpers.
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS t, t_archive CASCADE;
DROP EXTENSION IF EXISTS tradeassist_dbperf;
CREATE EXTENSION tradeassist_dbperf;
CREATE SCHEMA t;
SET search_path = t;
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET dbperf.now_override = '2026-11-21 12:00:00+00';
RESET client_min_messages;

-- The error that a statement ends in: SQLSTATE and message, then detail and hint.
CREATE FUNCTION t.fails(statement text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    state   text;
    message text;
    detail  text;
    hint    text;
BEGIN
    EXECUTE statement;
    RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT,
        detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN NEXT state || ': ' || message;
    -- some details hold rows, with times and OIDs in them
    IF detail <> '' AND detail NOT LIKE 'Failing row contains%' AND state <> '23505' THEN
        RETURN NEXT '  detail: ' || detail;
    END IF;
    IF hint <> '' THEN
        RETURN NEXT '  hint: ' || hint;
    END IF;
END
$$;

-- Whether a foreign key refuses it: PostgreSQL 18 has an error of its own for ON DELETE RESTRICT.
CREATE FUNCTION t.is_restricted(statement text) RETURNS boolean LANGUAGE sql AS $$
    SELECT f ~ '^(23503|23001):' FROM t.fails(statement) f LIMIT 1
$$;

-- The partitions of a table as the server itself prints them, in order of their bounds.
CREATE FUNCTION t.partitions(parent regclass, OUT partition name, OUT bound text) RETURNS SETOF record
LANGUAGE sql AS $$
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    LEFT JOIN dbperf.partition_bounds(parent) b ON b.partition = c.oid
    WHERE i.inhparent = parent
    ORDER BY b.ord
$$;

-- A table partitioned by RANGE on column k of a type.
CREATE FUNCTION t.make(name text, key_type text DEFAULT 'timestamptz') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE t.%I (k %s NOT NULL, v text) PARTITION BY RANGE (k)', name, key_type);
END
$$;
