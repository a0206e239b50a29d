-- Helpers of the tests of columnar storage.

-- Puts rows of a table into batches, whatever it was before, and says how many those are.
CREATE FUNCTION t.pack(target regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s', target);
    IF (SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = target) = 'heap' THEN
        SELECT rows INTO n FROM dbperf.compress_partition(target);
    ELSE
        SELECT rows INTO n FROM dbperf.recompress_partition(target);
    END IF;
    RETURN n;
END
$$;

-- All rows of a table or query, bit by bit, in one number.
CREATE FUNCTION t.bits(source text, OUT rows bigint, OUT bits numeric) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT count(*), sum((''x'' || left(md5(record_send(s)), 15))::bit(60)::bigint) FROM %s s', source)
        INTO rows, bits;
END
$$;

-- Which access method a table has.
CREATE FUNCTION t.am(target regclass) RETURNS name LANGUAGE sql AS $$
    SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = target
$$;

-- What a statement does, as a count of rows.
CREATE FUNCTION t.rows_of(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    EXECUTE statement;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;

-- How a query is executed, in one line.
CREATE FUNCTION t.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    line text;
    plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        plan := plan || line || ' ';
    END LOOP;
    RETURN plan;
END
$$;
