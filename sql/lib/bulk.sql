-- What the tests of bulk_insert() share, after setup.sql. No worker is asked for partitions.
SET dbperf.partition_wait = 0;

-- The error that a statement ends in: SQLSTATE and message, then detail, hint, and where
-- bulk_insert() says that it was.
CREATE FUNCTION t.fails_at(statement text) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    state   text;
    message text;
    detail  text;
    hint    text;
    context text;
BEGIN
    EXECUTE statement;
    RETURN NEXT 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
    RETURN NEXT state || ': ' || message;
    IF detail <> '' THEN
        RETURN NEXT '  detail: ' || detail;
    END IF;
    IF hint <> '' THEN
        RETURN NEXT '  hint: ' || hint;
    END IF;
    RETURN QUERY SELECT '  ' || line FROM regexp_split_to_table(context, '\n') line WHERE line ~ '^bulk_insert into';
END
$$;

-- The rejects of a table, which are taken away.
CREATE FUNCTION t.rejects(parent regclass, OUT row_number bigint, OUT sqlstate text, OUT "column" name, OUT reason text, OUT "row" jsonb)
RETURNS SETOF record
LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM dbperf.ingest_rejects r WHERE r.parent = rejects.parent RETURNING r.*)
    SELECT g.row_number, g.sqlstate, g.column_name, g.reason, g."row" FROM gone g ORDER BY g.row_number, g.reject_id
$$;
