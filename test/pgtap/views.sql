-- The views of schema dbperf: each column with its type, in order.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.columns(rel regclass) RETURNS TABLE (col text, type text) LANGUAGE sql AS $$
    SELECT a.attname, format_type(a.atttypid, a.atttypmod)
    FROM pg_attribute a WHERE a.attrelid = rel AND a.attnum > 0 ORDER BY a.attnum
$$;

SELECT views_are('dbperf', ARRAY['alert_callbacks', 'alert_judgements', 'columnar_chunks', 'compression_progress', 'ingest_rate', 'metric_values', 'monitoring_status', 'partition_health', 'partition_metrics', 'partitions', 'pool_status', 'query_stats', 'regressions', 'slow_queries', 'worker_status']);

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.partitions')$$, $$VALUES
    ('parent', 'regclass'),
    ('partition', 'regclass'),
    ('lower_bound', 'text'),
    ('upper_bound', 'text'),
    ('is_default', 'boolean'),
    ('state', 'text'),
    ('estimated_rows', 'bigint'),
    ('table_bytes', 'bigint'),
    ('index_bytes', 'bigint'),
    ('toast_bytes', 'bigint'),
    ('total_bytes', 'bigint'),
    ('access_method', 'name'),
    ('tablespace', 'name'),
    ('last_write', 'timestamp with time zone'),
    ('raw_bytes', 'bigint'),
    ('compressed_bytes', 'bigint'),
    ('late_rows', 'bigint'),
    ('compressed_at', 'timestamp with time zone'),
    ('recompress_at', 'timestamp with time zone')
$$, 'columns of partitions');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.ingest_rate')$$, $$VALUES
    ('relation', 'regclass'),
    ('source', 'text'),
    ('rows_total', 'bigint'),
    ('batches_total', 'bigint'),
    ('rows_per_second_1m', 'double precision'),
    ('rows_per_second_5m', 'double precision'),
    ('rows_per_second_15m', 'double precision'),
    ('batch_p50_ms', 'double precision'),
    ('batch_p95_ms', 'double precision'),
    ('batch_p99_ms', 'double precision'),
    ('late_rows', 'bigint'),
    ('rejected_rows', 'bigint'),
    ('since', 'timestamp with time zone')
$$, 'columns of ingest_rate');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.partition_health')$$, $$VALUES
    ('parent', 'regclass'),
    ('status', 'text'),
    ('reasons', 'text[]'),
    ('partitions', 'integer'),
    ('premake', 'integer'),
    ('future_ready', 'integer'),
    ('missing', 'integer'),
    ('runway', 'interval'),
    ('covered_until', 'text'),
    ('gaps', 'integer'),
    ('overlapping', 'integer'),
    ('off_grid', 'integer'),
    ('dst_drift', 'integer'),
    ('default_partition', 'regclass'),
    ('default_has_rows', 'boolean'),
    ('enabled', 'boolean'),
    ('last_run_at', 'timestamp with time zone'),
    ('last_error', 'text'),
    ('last_error_at', 'timestamp with time zone'),
    ('failures', 'integer'),
    ('next_try_at', 'timestamp with time zone'),
    ('retire_error', 'text'),
    ('retire_error_at', 'timestamp with time zone'),
    ('retire_failures', 'integer'),
    ('retire_next_try_at', 'timestamp with time zone'),
    ('compressed', 'integer'),
    ('raw_bytes', 'bigint'),
    ('compressed_bytes', 'bigint'),
    ('late_rows', 'bigint'),
    ('recompress_at', 'timestamp with time zone'),
    ('compress_error', 'text'),
    ('compress_error_at', 'timestamp with time zone'),
    ('compress_failures', 'integer'),
    ('compress_next_try_at', 'timestamp with time zone')
$$, 'columns of partition_health');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.partition_metrics')$$, $$VALUES
    ('parent', 'regclass'),
    ('partition', 'regclass'),
    ('state', 'text'),
    ('seq_scans', 'bigint'),
    ('seq_tuples_read', 'bigint'),
    ('index_scans', 'bigint'),
    ('index_tuples_fetched', 'bigint'),
    ('tuples_inserted', 'bigint'),
    ('tuples_updated', 'bigint'),
    ('tuples_deleted', 'bigint'),
    ('live_tuples', 'bigint'),
    ('dead_tuples', 'bigint'),
    ('blocks_fetched', 'bigint'),
    ('blocks_hit', 'bigint'),
    ('cache_hit_ratio', 'numeric'),
    ('last_vacuum', 'timestamp with time zone'),
    ('last_analyze', 'timestamp with time zone'),
    ('access_method', 'name'),
    ('raw_bytes', 'bigint'),
    ('compressed_bytes', 'bigint'),
    ('late_rows', 'bigint'),
    ('recompress_at', 'timestamp with time zone')
$$, 'columns of partition_metrics');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.worker_status')$$, $$VALUES
    ('preloaded', 'boolean'),
    ('state', 'text'),
    ('reason', 'text'),
    ('launcher_pid', 'integer'),
    ('launcher_started_at', 'timestamp with time zone'),
    ('last_alive', 'timestamp with time zone'),
    ('naptime', 'interval'),
    ('active_worker_pid', 'integer'),
    ('active_since', 'timestamp with time zone'),
    ('last_run_started', 'timestamp with time zone'),
    ('last_run_finished', 'timestamp with time zone'),
    ('last_run_status', 'text'),
    ('last_error', 'text'),
    ('next_run_at', 'timestamp with time zone'),
    ('pending_requests', 'integer'),
    ('cron_job_id', 'bigint')
$$, 'columns of worker_status');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.columnar_chunks')$$, $$VALUES
    ('relation', 'regclass'),
    ('batch_id', 'oid'),
    ('place', 'tid'),
    ('rows', 'integer'),
    ('tombstones', 'integer'),
    ('column_name', 'name'),
    ('encoding', 'text'),
    ('bytes', 'bigint'),
    ('raw_bytes', 'bigint'),
    ('ratio', 'numeric'),
    ('nulls', 'integer'),
    ('min', 'text'),
    ('max', 'text')
$$, 'columns of columnar_chunks');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.compression_progress')$$, $$VALUES
    ('pid', 'integer'),
    ('datid', 'oid'),
    ('datname', 'name'),
    ('relid', 'oid'),
    ('command', 'text'),
    ('phase', 'text'),
    ('rows_total', 'bigint'),
    ('rows_read', 'bigint'),
    ('rows_written', 'bigint'),
    ('batches', 'bigint'),
    ('bytes_written', 'bigint')
$$, 'columns of compression_progress');

-- without a managed table they are empty, but for the worker's one row
SELECT is_empty('SELECT * FROM dbperf.' || v, v || ' is empty') FROM unnest('{partitions,partition_health,partition_metrics}'::text[]) v;
SELECT results_eq('SELECT count(*) FROM dbperf.worker_status', 'VALUES (1::bigint)', 'worker_status has one row');
SELECT ok(state IS NOT NULL AND (state = 'running') = (reason IS NULL), 'worker_status says why a worker is not running')
FROM dbperf.worker_status;

SELECT * FROM finish();
ROLLBACK;
