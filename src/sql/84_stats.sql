--
-- Statistics: what is done with each table, and how fast
--

CREATE FUNCTION dbperf.counters_state(
    OUT preloaded boolean,
    OUT max_tables integer,
    OUT tables integer,
    OUT evictions bigint,
    OUT since timestamptz)
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_counters_state';
COMMENT ON FUNCTION dbperf.counters_state() IS 'The counters in shared memory: tables that have some and that may (of all databases), how often one was forgotten to make room, and since when a table without counters has had nothing to count';

CREATE FUNCTION dbperf.operation_counters(
    OUT relid oid,
    OUT operation text,
    OUT calls bigint,
    OUT rows bigint,
    OUT total_ms double precision,
    OUT p50_ms double precision,
    OUT p95_ms double precision,
    OUT p99_ms double precision,
    OUT cache_hits bigint,
    OUT cache_misses bigint,
    OUT since timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_operation_counters';
COMMENT ON FUNCTION dbperf.operation_counters() IS 'What shared memory says of this database; see get_performance_stats()';

CREATE FUNCTION dbperf.table_counters(
    OUT relid oid,
    OUT rows_total bigint,
    OUT batches_total bigint,
    OUT rows_per_second_1m double precision,
    OUT rows_per_second_5m double precision,
    OUT rows_per_second_15m double precision,
    OUT batch_p50_ms double precision,
    OUT batch_p95_ms double precision,
    OUT batch_p99_ms double precision,
    OUT late_rows bigint,
    OUT rejected_rows bigint,
    OUT since timestamptz)
RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'dbperf_table_counters';
COMMENT ON FUNCTION dbperf.table_counters() IS 'What shared memory says of this database; see the view ingest_rate';

CREATE FUNCTION dbperf.reset_performance_stats()
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'dbperf_reset_counters';
COMMENT ON FUNCTION dbperf.reset_performance_stats() IS 'Forgets what was counted in this database, at once, whatever becomes of the transaction';

-- Where nothing is counted in shared memory. pg_partition_tree() would lock every partition.
CREATE FUNCTION dbperf.inserted_rows(parent oid)
RETURNS bigint
LANGUAGE sql STABLE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE tree AS (
        SELECT parent AS relid
        UNION ALL
        SELECT i.inhrelid FROM pg_inherits i JOIN tree t ON t.relid = i.inhparent
    )
    SELECT coalesce(sum(pg_stat_get_tuples_inserted(relid)), 0)::bigint FROM tree
$$;
COMMENT ON FUNCTION dbperf.inserted_rows(oid) IS 'Rows that were inserted into the present partitions of a table, by the statistics views';

CREATE VIEW dbperf.ingest_rate AS
SELECT c.oid::regclass AS relation,
       'shared memory'::text AS source,
       coalesce(m.rows_total, 0) AS rows_total,
       coalesce(m.batches_total, 0) AS batches_total,
       coalesce(m.rows_per_second_1m, 0) AS rows_per_second_1m,
       coalesce(m.rows_per_second_5m, 0) AS rows_per_second_5m,
       coalesce(m.rows_per_second_15m, 0) AS rows_per_second_15m,
       m.batch_p50_ms,
       m.batch_p95_ms,
       m.batch_p99_ms,
       coalesce(m.late_rows, 0) AS late_rows,
       coalesce(m.rejected_rows, 0) AS rejected_rows,
       coalesce(m.since, s.since) AS since
FROM dbperf.counters_state() s
CROSS JOIN pg_class c
LEFT JOIN dbperf.table_counters() m ON m.relid = c.oid
LEFT JOIN dbperf.policy p ON p.parent = c.oid
WHERE s.preloaded AND (m.relid IS NOT NULL OR p.parent IS NOT NULL)
UNION ALL
SELECT p.parent, 'statistics views', dbperf.inserted_rows(p.parent), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM dbperf.counters_state() s
CROSS JOIN dbperf.policy p
JOIN pg_class c ON c.oid = p.parent
WHERE NOT s.preloaded;
COMMENT ON VIEW dbperf.ingest_rate IS 'Rows that came in by INSERT, COPY and bulk_insert(), for each managed table, and for others that have counters';
COMMENT ON COLUMN dbperf.ingest_rate.source IS 'shared memory; or statistics views where the library is not preloaded: rows_total of the present partitions, and no more';
COMMENT ON COLUMN dbperf.ingest_rate.batches_total IS 'statements of INSERT and COPY, batches of bulk_insert()';
COMMENT ON COLUMN dbperf.ingest_rate.rows_per_second_1m IS 'rows committed in the last minute, by its 60 seconds';
COMMENT ON COLUMN dbperf.ingest_rate.rows_per_second_5m IS 'the same over five minutes';
COMMENT ON COLUMN dbperf.ingest_rate.rows_per_second_15m IS 'the same over fifteen minutes';
COMMENT ON COLUMN dbperf.ingest_rate.batch_p50_ms IS 'half of the batches took this long or less; percentiles are within 1.6 %';
COMMENT ON COLUMN dbperf.ingest_rate.late_rows IS 'rows of bulk_insert() for a partition before the current one';
COMMENT ON COLUMN dbperf.ingest_rate.rejected_rows IS 'rows that bulk_insert() left out with on_error => ''reject''';
COMMENT ON COLUMN dbperf.ingest_rate.since IS 'everything since then was counted: the start of the server, or when counters were last reset or forgotten';

CREATE FUNCTION dbperf.get_performance_stats()
RETURNS TABLE (
    relation        regclass,
    operation       text,
    calls           bigint,
    rows            bigint,
    total_ms        double precision,
    mean_ms         double precision,
    p50_ms          double precision,
    p95_ms          double precision,
    p99_ms          double precision,
    rows_per_second double precision,
    cache_hits      bigint,
    cache_misses    bigint,
    since           timestamptz)
LANGUAGE sql VOLATILE PARALLEL RESTRICTED
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.oid::regclass, o.operation, o.calls, o.rows, o.total_ms, o.total_ms / o.calls, o.p50_ms, o.p95_ms, o.p99_ms,
           o.rows / nullif(o.total_ms, 0) * 1000, o.cache_hits, o.cache_misses, o.since
    FROM dbperf.operation_counters() o JOIN pg_class c ON c.oid = o.relid
    UNION ALL
    SELECT r.relation, 'insert', NULL, r.rows_total, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM dbperf.ingest_rate r
    WHERE r.source = 'statistics views' AND r.rows_total > 0
$$;
COMMENT ON FUNCTION dbperf.get_performance_stats() IS 'Calls, rows and times of each operation on each table since the server started: insert, copy, bulk_insert, soft_delete, restore, purge (batches), get_active, get_latest (calls); rows_per_second is by the time spent in the operation; where the library is not preloaded, rows inserted by the statistics views';
