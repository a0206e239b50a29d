--
-- Views: partitions, their health, their use
--

CREATE VIEW dbperf.partitions AS
SELECT p.parent,
       b.partition,
       b.lower_bound,
       b.upper_bound,
       b.is_default,
       b.state,
       CASE WHEN c.relpages > 0 AND c.reltuples >= 0
            THEN round((c.reltuples::float8 / c.relpages) * (f.bytes / current_setting('block_size')::bigint))::bigint
            ELSE pg_stat_get_live_tuples(c.oid) END AS estimated_rows,
       f.bytes AS table_bytes,
       i.bytes AS index_bytes,
       t.bytes AS toast_bytes,
       f.bytes + i.bytes + t.bytes AS total_bytes,
       a.amname AS access_method,
       coalesce(s.spcname, (SELECT ds.spcname FROM pg_database d JOIN pg_tablespace ds ON ds.oid = d.dattablespace
                            WHERE d.datname = current_database())) AS tablespace,
       f.last_write,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN z.raw_bytes END AS raw_bytes,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN f.bytes + i.bytes + t.bytes END AS compressed_bytes,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN dbperf.late_rows_now(z) END AS late_rows,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN coalesce(z.recompressed_at, z.compressed_at) END AS compressed_at,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN dbperf.recompress_at(z, p) END AS recompress_at
FROM dbperf.policy p
CROSS JOIN LATERAL dbperf.partition_bounds(p.parent) b
JOIN pg_class c ON c.oid = b.partition
LEFT JOIN dbperf.compression z ON z.partition = b.partition
LEFT JOIN pg_am a ON a.oid = c.relam
LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace
CROSS JOIN LATERAL dbperf.relation_files(c.oid) f
CROSS JOIN LATERAL (
    SELECT coalesce(sum((dbperf.relation_files(x.indexrelid)).bytes), 0)::bigint AS bytes
    FROM pg_index x WHERE x.indrelid = c.oid) i
CROSS JOIN LATERAL (
    SELECT coalesce(sum((dbperf.relation_files(x.oid)).bytes), 0)::bigint AS bytes
    FROM (SELECT c.reltoastrelid AS oid WHERE c.reltoastrelid <> 0
          UNION ALL SELECT x.indexrelid FROM pg_index x WHERE x.indrelid = c.reltoastrelid) x) t;
COMMENT ON VIEW dbperf.partitions IS 'Every partition of every managed table: bounds, state, estimated rows, bytes, last write; read without locking any';
COMMENT ON COLUMN dbperf.partitions.lower_bound IS 'inclusive, or MINVALUE';
COMMENT ON COLUMN dbperf.partitions.upper_bound IS 'exclusive, or MAXVALUE';
COMMENT ON COLUMN dbperf.partitions.state IS 'past, current, future, default, or detach pending';
COMMENT ON COLUMN dbperf.partitions.estimated_rows IS 'from the last VACUUM or ANALYZE, scaled to the present size';
COMMENT ON COLUMN dbperf.partitions.last_write IS 'when the table''s files were last written; up to a checkpoint later than the statement; NULL: never';

COMMENT ON COLUMN dbperf.partitions.raw_bytes IS 'bytes before it was compressed, with indexes and TOAST; NULL: it is not compressed, or nobody knows';
COMMENT ON COLUMN dbperf.partitions.compressed_bytes IS 'total_bytes of a compressed partition';
COMMENT ON COLUMN dbperf.partitions.late_rows IS 'about how many rows of a compressed partition were written, changed or deleted since; see late_rows() for the exact number';
COMMENT ON COLUMN dbperf.partitions.compressed_at IS 'when it was last compressed, or had late rows merged';
COMMENT ON COLUMN dbperf.partitions.recompress_at IS 'when its late rows are due to be merged; NULL: there are none, or none were found yet, or it waits for more';

CREATE VIEW dbperf.partition_health AS
WITH measured AS (
    SELECT h.*, p.premake, p.enabled, num_nonnulls(p.detach_after, p.detach_step, p.drop_after, p.drop_step) > 0 AS retires, s.last_run_at, s.last_error, s.last_error_at, s.failures, s.next_try_at, s.retire_error,
           s.retire_error_at, s.retire_failures, s.retire_next_try_at, s.compress_error, s.compress_error_at, s.compress_failures,
           s.compress_next_try_at, z.*, dbperf.clock_reason(h.parent) AS clock_reason,
           greatest(2 * current_setting('dbperf.naptime', true)::interval, interval '1 hour') AS stale_after
    FROM dbperf.policy_health() h
    JOIN dbperf.policy p ON p.parent = h.parent
    LEFT JOIN dbperf.policy_state s ON s.parent = h.parent
    CROSS JOIN LATERAL (
        SELECT count(*)::integer AS compressed, sum(q.raw_bytes)::bigint AS raw_bytes, sum(q.compressed_bytes)::bigint AS compressed_bytes,
               coalesce(sum(q.late_rows), 0)::bigint AS late_rows, min(dbperf.recompress_at(q, p)) AS recompress_at
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid LEFT JOIN dbperf.compression q ON q.partition = i.inhrelid
        WHERE i.inhparent = h.parent AND c.relam = (SELECT dbperf.columnar_am())) z
), judged AS (
    SELECT m.*,
        array_remove(ARRAY[
            CASE WHEN NOT m.covered AND m.default_partition IS NULL THEN 'no partition for the current key: inserts fail' END,
            CASE WHEN m.covered AND m.premake > 0 AND m.future_ready = 0 AND m.missing > 0 AND m.default_partition IS NULL THEN 'no future partition is ready' END
        ], NULL) AS critical,
        array_remove(ARRAY[
            CASE WHEN NOT m.covered AND m.default_partition IS NOT NULL THEN 'no partition for the current key: inserts go to the default partition' END,
            CASE WHEN m.covered AND m.missing > 0 AND (m.future_ready > 0 OR m.default_partition IS NOT NULL) THEN format('%s partition(s) that should be ready are missing', m.missing) END,
            CASE WHEN m.gaps > 0 THEN format('%s gap(s) between partitions (see partition_gaps())', m.gaps) END,
            CASE WHEN m.detaching > 0 THEN format('%s partition(s) are being detached and take no rows', m.detaching) END,
            CASE WHEN m.spanning > 0 THEN format('%s partition(s) overlap several periods', m.spanning) END,
            CASE WHEN m.dst_drift > 0 THEN format('bounds of %s partition(s) miss the period by daylight saving time', m.dst_drift) END,
            CASE WHEN m.off_grid > m.dst_drift THEN format('bounds of %s partition(s) are not those of the policy', m.off_grid - m.dst_drift) END,
            CASE WHEN m.default_has_rows THEN format('default partition %s has rows', m.default_partition) END,
            CASE WHEN m.last_error IS NOT NULL THEN format('last maintenance failed: %s', m.last_error) END,
            CASE WHEN m.retire_error IS NOT NULL THEN format('retiring partitions is held up: %s', m.retire_error) END,
            CASE WHEN m.compress_error IS NOT NULL THEN format('compressing partitions is held up: %s', m.compress_error) END,
            CASE WHEN m.retires THEN m.clock_reason END,
            CASE WHEN NOT m.enabled THEN 'the policy is disabled' END,
            CASE WHEN m.enabled AND m.last_run_at < clock_timestamp() - m.stale_after
                 THEN format('no maintenance since %s', date_trunc('second', m.last_run_at)) END
        ], NULL) AS warning
    FROM measured m
)
SELECT parent,
       CASE WHEN critical <> '{}' THEN 'critical' WHEN warning <> '{}' THEN 'warning' ELSE 'ok' END AS status,
       critical || warning AS reasons,
       partitions,
       premake,
       future_ready,
       missing,
       justify_hours(runway) AS runway,
       covered_until,
       gaps,
       spanning AS overlapping,
       off_grid,
       dst_drift,
       default_partition,
       default_has_rows,
       enabled,
       last_run_at,
       last_error,
       last_error_at,
       failures,
       next_try_at,
       retire_error,
       retire_error_at,
       retire_failures,
       retire_next_try_at,
       compressed,
       raw_bytes,
       compressed_bytes,
       late_rows,
       recompress_at,
       compress_error,
       compress_error_at,
       compress_failures,
       compress_next_try_at
FROM judged;
COMMENT ON VIEW dbperf.partition_health IS 'Health of each managed table, measured from the catalogs now; status ok, warning or critical with its reasons';
COMMENT ON COLUMN dbperf.partition_health.future_ready IS 'partitions beyond the current one, without a gap';
COMMENT ON COLUMN dbperf.partition_health.missing IS 'partitions that maintenance would make now';
COMMENT ON COLUMN dbperf.partition_health.runway IS 'time until inserts at the clock''s pace find no partition; NULL: never, or the key is a plain number';
COMMENT ON COLUMN dbperf.partition_health.covered_until IS 'first key after the current one without a partition; NULL: none';
COMMENT ON COLUMN dbperf.partition_health.overlapping IS 'partitions that cover several periods of the policy';
COMMENT ON COLUMN dbperf.partition_health.off_grid IS 'partitions with a bound that is not one of the policy''s';
COMMENT ON COLUMN dbperf.partition_health.dst_drift IS 'those that miss it by two hours or less, as after a change of daylight saving time';
COMMENT ON COLUMN dbperf.partition_health.retire_error IS 'what keeps partitions from being detached or dropped: an error, or what is waited for';
COMMENT ON COLUMN dbperf.partition_health.compressed IS 'partitions in columnar storage';
COMMENT ON COLUMN dbperf.partition_health.raw_bytes IS 'bytes that they had before, as far as that is known';
COMMENT ON COLUMN dbperf.partition_health.compressed_bytes IS 'bytes that they had after it';
COMMENT ON COLUMN dbperf.partition_health.late_rows IS 'rows of them that were written, changed or deleted since, as maintenance last counted them';
COMMENT ON COLUMN dbperf.partition_health.recompress_at IS 'when the first of these rows are due to be merged';
COMMENT ON COLUMN dbperf.partition_health.compress_error IS 'what keeps partitions from being compressed: an error, or what is waited for';
COMMENT ON COLUMN dbperf.partition_health.default_has_rows IS 'a real look into the default partition; NULL: there is none, or it is locked';

CREATE VIEW dbperf.partition_metrics AS
SELECT p.parent,
       b.partition,
       b.state,
       pg_stat_get_numscans(c.oid) AS seq_scans,
       pg_stat_get_tuples_returned(c.oid) AS seq_tuples_read,
       i.scans AS index_scans,
       i.tuples_fetched + pg_stat_get_tuples_fetched(c.oid) AS index_tuples_fetched,
       pg_stat_get_tuples_inserted(c.oid) AS tuples_inserted,
       pg_stat_get_tuples_updated(c.oid) AS tuples_updated,
       pg_stat_get_tuples_deleted(c.oid) AS tuples_deleted,
       pg_stat_get_live_tuples(c.oid) AS live_tuples,
       pg_stat_get_dead_tuples(c.oid) AS dead_tuples,
       pg_stat_get_blocks_fetched(c.oid) + i.blocks_fetched AS blocks_fetched,
       pg_stat_get_blocks_hit(c.oid) + i.blocks_hit AS blocks_hit,
       round((pg_stat_get_blocks_hit(c.oid) + i.blocks_hit)
             / nullif(pg_stat_get_blocks_fetched(c.oid) + i.blocks_fetched, 0)::numeric, 4) AS cache_hit_ratio,
       greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS last_vacuum,
       greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS last_analyze,
       a.amname AS access_method,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN z.raw_bytes END AS raw_bytes,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN z.compressed_bytes END AS compressed_bytes,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN dbperf.late_rows_now(z) END AS late_rows,
       CASE WHEN c.relam = (SELECT dbperf.columnar_am()) THEN dbperf.recompress_at(z, p) END AS recompress_at
FROM dbperf.policy p
CROSS JOIN LATERAL dbperf.partition_bounds(p.parent) b
JOIN pg_class c ON c.oid = b.partition
LEFT JOIN dbperf.compression z ON z.partition = b.partition
LEFT JOIN pg_am a ON a.oid = c.relam
CROSS JOIN LATERAL (
    SELECT coalesce(sum(pg_stat_get_numscans(x.indexrelid)), 0)::bigint AS scans,
           coalesce(sum(pg_stat_get_tuples_fetched(x.indexrelid)), 0)::bigint AS tuples_fetched,
           coalesce(sum(pg_stat_get_blocks_fetched(x.indexrelid)), 0)::bigint AS blocks_fetched,
           coalesce(sum(pg_stat_get_blocks_hit(x.indexrelid)), 0)::bigint AS blocks_hit
    FROM pg_index x WHERE x.indrelid = c.oid) i;
COMMENT ON VIEW dbperf.partition_metrics IS 'Use of every partition since the statistics were last reset: scans, rows, cache hits (table and indexes); and what became of it by being compressed';
COMMENT ON COLUMN dbperf.partition_metrics.compressed_bytes IS 'bytes after it was last compressed';
