--
-- What compressed tables are made of, and whether they are whole
--

CREATE FUNCTION dbperf.columnar_table_chunks(relation regclass)
RETURNS TABLE (batch_id oid, place tid, rows integer, tombstones integer, column_number smallint, column_name name,
    encoding text, bytes bigint, raw_bytes bigint, nulls integer, min text, max text)
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
ROWS 10000 COST 100000
AS 'MODULE_PATHNAME', 'dbperf_columnar_table_chunks';
COMMENT ON FUNCTION dbperf.columnar_table_chunks(regclass) IS 'The columns of each batch of a compressed table; reads all of it';
GRANT EXECUTE ON FUNCTION dbperf.columnar_table_chunks(regclass) TO pg_monitor;

CREATE FUNCTION dbperf.columnar_totals(relation regclass, OUT batches bigint, OUT rows bigint, OUT late_rows bigint,
    OUT tombstones bigint, OUT bytes bigint)
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
COST 10000
AS 'MODULE_PATHNAME', 'dbperf_columnar_totals';
COMMENT ON FUNCTION dbperf.columnar_totals(regclass) IS 'Batches of a compressed table, rows in them, rows beside them, rows of batches that are deleted or changed, bytes of the batches';
GRANT EXECUTE ON FUNCTION dbperf.columnar_totals(regclass) TO pg_monitor;

CREATE FUNCTION dbperf.columnar_candidates(relation regclass)
RETURNS TABLE (column_number smallint, encoding text, bytes bigint)
LANGUAGE c STABLE STRICT PARALLEL RESTRICTED
ROWS 100 COST 100000
AS 'MODULE_PATHNAME', 'dbperf_columnar_candidates';
COMMENT ON FUNCTION dbperf.columnar_candidates(regclass) IS 'What each encoding that was in question would take for the columns of the batch in the middle of a compressed table';
GRANT EXECUTE ON FUNCTION dbperf.columnar_candidates(regclass) TO pg_monitor;

-- The raw bytes are those of a heap, which has 28 more for each row, and pads values where they have
-- to be aligned: those are left out.
CREATE FUNCTION dbperf.columnar_info(relation regclass)
RETURNS TABLE (column_name name, batches bigint, rows bigint, late_rows bigint, tombstones bigint, nulls bigint,
    raw_bytes bigint, bytes bigint, ratio numeric, bits_per_value numeric, encodings jsonb, candidates jsonb)
LANGUAGE sql STABLE STRICT PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    WITH chunks AS MATERIALIZED (
        SELECT * FROM dbperf.columnar_table_chunks(relation)
    ), by_encoding AS (
        SELECT c.column_number, c.column_name, c.encoding, count(*) AS batches, sum(c.rows)::bigint AS rows,
               sum(c.nulls)::bigint AS nulls, sum(c.raw_bytes)::bigint AS raw_bytes, sum(c.bytes)::bigint AS bytes
        FROM chunks c
        WHERE c.column_number IS NOT NULL
        GROUP BY c.column_number, c.column_name, c.encoding
    ), by_column AS (
        SELECT e.column_number, e.column_name, sum(e.batches)::bigint AS batches, sum(e.rows)::bigint AS rows,
               sum(e.nulls)::bigint AS nulls, sum(e.raw_bytes)::bigint AS raw_bytes, sum(e.bytes)::bigint AS bytes,
               jsonb_object_agg(e.encoding, e.batches) AS encodings
        FROM by_encoding e
        GROUP BY e.column_number, e.column_name
    ), weighed AS (
        SELECT w.column_number, jsonb_agg(jsonb_build_object('encoding', w.encoding, 'bytes', w.bytes) ORDER BY w.bytes, w.encoding) AS candidates
        FROM dbperf.columnar_candidates(relation) w
        GROUP BY w.column_number
    )
    SELECT x.column_name, x.batches, x.rows, x.late_rows, x.tombstones, x.nulls, x.raw_bytes, x.bytes,
           round(x.raw_bytes::numeric / nullif(x.bytes, 0), 2), round(8.0 * x.bytes / nullif(x.rows, 0), 2), x.encodings, x.candidates
    FROM (
        SELECT 0 AS number, NULL::name AS column_name, t.batches, t.rows, t.late_rows, t.tombstones, NULL::bigint AS nulls,
               (SELECT coalesce(sum(c.raw_bytes), 0) FROM by_column c)::bigint + 28 * t.rows AS raw_bytes, t.bytes, NULL::jsonb AS encodings, NULL::jsonb AS candidates
        FROM dbperf.columnar_totals(relation) t
        UNION ALL
        SELECT c.column_number, coalesce(c.column_name, '(dropped)'), c.batches, c.rows, NULL, NULL, c.nulls, c.raw_bytes, c.bytes, c.encodings, w.candidates
        FROM by_column c
        LEFT JOIN weighed w USING (column_number)
    ) x
    ORDER BY x.number
$$;
COMMENT ON FUNCTION dbperf.columnar_info(regclass) IS 'What a compressed table takes: a row for the table (column_name is NULL), and one for each column. rows: in batches; late_rows: beside them; tombstones: of rows in batches that are deleted or changed; ratio: of the bytes of a heap; bits_per_value: of the table, bits per row; encodings: how many batches have which; candidates: why, by the batch in the middle of the table';
GRANT EXECUTE ON FUNCTION dbperf.columnar_info(regclass) TO pg_monitor;

CREATE VIEW dbperf.columnar_chunks AS
    WITH tables AS MATERIALIZED (
        SELECT c.oid::regclass AS relation
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_am a ON a.oid = c.relam AND a.amname = 'dbperf_columnar'
        WHERE NOT pg_catalog.pg_is_other_temp_schema(c.relnamespace)
        AND (pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.pg_has_role('pg_monitor', 'USAGE'))
    )
    SELECT t.relation, c.batch_id, c.place, c.rows, c.tombstones, c.column_name, c.encoding, c.bytes, c.raw_bytes,
           pg_catalog.round(c.raw_bytes::numeric / nullif(c.bytes, 0), 2) AS ratio, c.nulls, c.min, c.max
    FROM tables t
    CROSS JOIN LATERAL dbperf.columnar_table_chunks(t.relation) c;
COMMENT ON VIEW dbperf.columnar_chunks IS 'The columns of each batch of the compressed tables that the user may look into; reads all of them';
COMMENT ON COLUMN dbperf.columnar_chunks.place IS 'TID of the batch in the main fork';
COMMENT ON COLUMN dbperf.columnar_chunks.rows IS 'rows of the batch, those with tombstones included';
COMMENT ON COLUMN dbperf.columnar_chunks.column_name IS 'NULL: the column has been dropped';
COMMENT ON COLUMN dbperf.columnar_chunks.raw_bytes IS 'what the values would take in a heap';
COMMENT ON COLUMN dbperf.columnar_chunks.min IS 'smallest value, of text and bytea no more than 16 bytes; NULL for types without zone maps, and for who may not read the column';

CREATE FUNCTION dbperf.verify_columnar(relation regclass)
RETURNS TABLE (batch_id oid, place tid, column_name name, row_number integer, problem text)
LANGUAGE c STABLE STRICT PARALLEL UNSAFE
ROWS 10 COST 1000000
AS 'MODULE_PATHNAME', 'dbperf_verify_columnar';
COMMENT ON FUNCTION dbperf.verify_columnar(regclass) IS 'What is damaged in a compressed table, a row for each: checksums and content of all batches, zone maps, tombstones, TOAST table, rows beside batches, uniqueness of keys; no rows: all is well. place: TID in the main fork, or in the TOAST table where problem says so';
GRANT EXECUTE ON FUNCTION dbperf.verify_columnar(regclass) TO pg_monitor;
