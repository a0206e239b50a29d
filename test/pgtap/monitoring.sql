-- The interface of monitoring: functions, tables and views with their columns, and what is there from the start.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.signatures(names name[])
RETURNS TABLE (name name, arguments text, result text) LANGUAGE sql AS $$
    SELECT p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid)
    FROM pg_proc p WHERE p.pronamespace = 'dbperf'::regnamespace AND p.proname = ANY (names)
    ORDER BY p.proname, pg_get_function_arguments(p.oid) COLLATE "C"
$$;

CREATE FUNCTION pg_temp.columns(rel regclass)
RETURNS TABLE (col text, type text) LANGUAGE sql AS $$
    SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
    WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
$$;

CREATE TEMP TABLE expected (name name, arguments text, result text);
INSERT INTO expected VALUES
    ('acknowledge_alert', 'alert_id bigint, note text DEFAULT NULL::text', 'boolean'),
    ('add_alert_callback', 'callback regprocedure', 'void'),
    ('baseline_deviation', 'metric text, label text DEFAULT ''''::text, OUT since timestamp with time zone, OUT value double precision, OUT baseline double precision, OUT ratio double precision, OUT z double precision, OUT windows integer, OUT n bigint', 'record'),
    ('benchmark_float', 'rows integer DEFAULT 1000000, rounds integer DEFAULT 5', 'TABLE(aggregate text, numeric_ms double precision, float_ms double precision, ratio double precision)'),
    ('capture_baseline', 'name text, "window" interval DEFAULT ''01:00:00''::interval, comment text DEFAULT NULL::text', 'bigint'),
    ('collect_health_metrics', '', 'TABLE(metric text, label text, value double precision, unit text, at timestamp with time zone)'),
    ('compare_baseline', 'name text, "window" interval DEFAULT ''01:00:00''::interval', 'TABLE(metric text, label text, unit text, better text, baseline double precision, current double precision, improvement_percent double precision, regression boolean, z double precision, n bigint)'),
    ('drop_baseline', 'name text', 'void'),
    ('health_database', '', 'jsonb'),
    ('health_partitions', '', 'jsonb'),
    ('health_performance', '', 'jsonb'),
    ('index_report', '"table" regclass', 'TABLE(index regclass, table_name regclass, kind text, definition text, bytes bigint, scans bigint, rows_written bigint, write_share double precision, detail text, suggestion text)'),
    ('index_report_compare', '"table" regclass, label text', 'TABLE(index text, change text, bytes_before bigint, bytes_now bigint, change_percent double precision, scans_before bigint, scans_now bigint, kinds_before text[], kinds_now text[], definition_before text, definition_now text)'),
    ('index_report_drop', '"table" regclass, label text', 'boolean'),
    ('index_report_save', '"table" regclass, label text', 'bigint'),
    ('latest_metrics', '', 'TABLE(metric text, label text, value double precision, at timestamp with time zone)'),
    ('metric_history', 'metric text, "from" timestamp with time zone DEFAULT NULL::timestamp with time zone, "to" timestamp with time zone DEFAULT NULL::timestamp with time zone, step interval DEFAULT NULL::interval, for_label text DEFAULT NULL::text', 'TABLE(bucket timestamp with time zone, label text, min double precision, avg double precision, max double precision, last double precision, samples bigint)'),
    ('metric_range', 'metric text, "from" timestamp with time zone, "to" timestamp with time zone, for_label text DEFAULT NULL::text', 'TABLE(at timestamp with time zone, label text, value double precision)'),
    ('metric_trend', 'metric text, "window" interval DEFAULT ''7 days''::interval, label text DEFAULT ''''::text', 'TABLE(slope_per_day double precision, r_squared double precision, first double precision, last double precision, n bigint, from_at timestamp with time zone, to_at timestamp with time zone, forecast_1d double precision, forecast_7d double precision, forecast_30d double precision)'),
    ('pgbouncer_pools', 'OUT database text, OUT "user" text, OUT cl_active bigint, OUT cl_waiting bigint, OUT sv_active bigint, OUT sv_idle bigint, OUT sv_used bigint, OUT sv_tested bigint, OUT sv_login bigint, OUT maxwait double precision, OUT pool_mode text', 'SETOF record'),
    ('pgbouncer_stats', 'OUT database text, OUT total_xact_count bigint, OUT total_query_count bigint, OUT total_received bigint, OUT total_sent bigint, OUT total_xact_time bigint, OUT total_query_time bigint, OUT total_wait_time bigint, OUT avg_xact_count bigint, OUT avg_query_count bigint, OUT avg_recv bigint, OUT avg_sent bigint, OUT avg_xact_time bigint, OUT avg_query_time bigint, OUT avg_wait_time bigint', 'SETOF record'),
    ('pool_config', 'format text, pool text DEFAULT ''default''::text', 'text'),
    ('query_state', 'OUT preloaded boolean, OUT max_databases integer, OUT databases integer, OUT uncounted_statements bigint, OUT max_tables integer, OUT tables integer, OUT evictions bigint, OUT since timestamp with time zone', 'record'),
    ('remove_alert_callback', 'callback regprocedure', 'boolean'),
    ('report_pool_sample', 'sample jsonb', 'void'),
    ('silence_alert', 'rule text, until timestamp with time zone', 'integer'),
    ('slow_query_count', '"window" interval, OUT recent bigint, OUT total bigint', 'record'),
    ('start_monitoring', 'sample_interval interval DEFAULT NULL::interval', 'void'),
    ('stop_monitoring', '', 'void'),
    ('system_stats', 'OUT metric text, OUT label text, OUT value double precision, OUT is_counter boolean', 'SETOF record'),
    ('track_connection_acquire', 'ms double precision, pool text DEFAULT ''default''::text', 'void'),
    ('validate_configuration', '', 'TABLE(setting text, current_value text, recommended text, why text, severity text, ok boolean, requires_restart boolean, pending_restart boolean)');
SELECT results_eq('SELECT * FROM pg_temp.signatures(ARRAY(SELECT name FROM expected))',
                  'SELECT * FROM expected ORDER BY name, arguments COLLATE "C"', 'functions');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.metric')$$, $$VALUES
    ('name', 'text'),
    ('unit', 'text'),
    ('better', 'text'),
    ('label', 'text'),
    ('description', 'text')
$$, 'columns of metric');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.metric_series')$$, $$VALUES
    ('series', 'integer'),
    ('metric', 'text'),
    ('label', 'text')
$$, 'columns of metric_series');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.metric_sample')$$, $$VALUES
    ('at', 'timestamp with time zone'),
    ('series', 'integer[]'),
    ('value', 'double precision[]')
$$, 'columns of metric_sample');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.monitoring')$$, $$VALUES
    ('only_row', 'boolean'),
    ('enabled', 'boolean'),
    ('sample_interval', 'interval'),
    ('changed_at', 'timestamp with time zone')
$$, 'columns of monitoring');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.pools')$$, $$VALUES
    ('name', 'text'),
    ('application_name', 'text'),
    ('username', 'text'),
    ('datname', 'text'),
    ('base_size', 'integer'),
    ('max_overflow', 'integer'),
    ('acquire_timeout', 'interval'),
    ('recycle_after', 'interval'),
    ('priority', 'integer'),
    ('pgbouncer_pool', 'text'),
    ('comment', 'text'),
    ('modified_at', 'timestamp with time zone')
$$, 'columns of pools');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.baselines')$$, $$VALUES
    ('name', 'text'),
    ('captured_at', 'timestamp with time zone'),
    ('from_at', 'timestamp with time zone'),
    ('to_at', 'timestamp with time zone'),
    ('comment', 'text')
$$, 'columns of baselines');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.baseline_values')$$, $$VALUES
    ('name', 'text'),
    ('metric', 'text'),
    ('label', 'text'),
    ('median', 'double precision'),
    ('mad', 'double precision'),
    ('p95', 'double precision'),
    ('n', 'bigint')
$$, 'columns of baseline_values');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.hourly_baselines')$$, $$VALUES
    ('metric', 'text'),
    ('label', 'text'),
    ('hour_of_week', 'integer'),
    ('median', 'double precision'),
    ('mad', 'double precision'),
    ('n', 'bigint'),
    ('updated_at', 'timestamp with time zone')
$$, 'columns of hourly_baselines');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.alert_rules')$$, $$VALUES
    ('name', 'text'),
    ('metric', 'text'),
    ('comparison', 'text'),
    ('warn', 'double precision'),
    ('critical', 'double precision'),
    ('for_duration', 'interval'),
    ('critical_for', 'interval'),
    ('clear_at', 'double precision'),
    ('cooldown', 'interval'),
    ('enabled', 'boolean'),
    ('label', 'text'),
    ('silenced_until', 'timestamp with time zone'),
    ('description', 'text'),
    ('built_in', 'boolean'),
    ('modified_at', 'timestamp with time zone')
$$, 'columns of alert_rules');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.alerts')$$, $$VALUES
    ('alert_id', 'bigint'),
    ('rule', 'text'),
    ('metric', 'text'),
    ('label', 'text'),
    ('severity', 'text'),
    ('state', 'text'),
    ('value', 'double precision'),
    ('threshold', 'double precision'),
    ('message', 'text'),
    ('opened_at', 'timestamp with time zone'),
    ('last_value', 'double precision'),
    ('last_seen_at', 'timestamp with time zone'),
    ('missing_since', 'timestamp with time zone'),
    ('reopened', 'integer'),
    ('acknowledged_at', 'timestamp with time zone'),
    ('acknowledged_by', 'text'),
    ('note', 'text'),
    ('closed_at', 'timestamp with time zone'),
    ('close_reason', 'text'),
    ('notified_severity', 'text'),
    ('notified_at', 'timestamp with time zone'),
    ('critical_told_at', 'timestamp with time zone')
$$, 'columns of alerts');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.alert_events')$$, $$VALUES
    ('event_id', 'bigint'),
    ('alert_id', 'bigint'),
    ('at', 'timestamp with time zone'),
    ('event', 'text'),
    ('data', 'jsonb'),
    ('seq', 'bigint')
$$, 'columns of alert_events');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.index_snapshots')$$, $$VALUES
    ('relation', 'text'),
    ('label', 'text'),
    ('index', 'text'),
    ('definition', 'text'),
    ('kinds', 'text[]'),
    ('bytes', 'bigint'),
    ('scans', 'bigint'),
    ('rows_written', 'bigint'),
    ('taken_at', 'timestamp with time zone')
$$, 'columns of index_snapshots');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.metric_values')$$, $$VALUES
    ('at', 'timestamp with time zone'),
    ('metric', 'text'),
    ('label', 'text'),
    ('value', 'double precision')
$$, 'columns of metric_values');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.monitoring_status')$$, $$VALUES
    ('enabled', 'boolean'),
    ('sample_interval', 'interval'),
    ('running', 'boolean'),
    ('state', 'text'),
    ('pid', 'integer'),
    ('started_at', 'timestamp with time zone'),
    ('last_sample_at', 'timestamp with time zone'),
    ('last_sample_age', 'interval'),
    ('last_sample_source', 'text'),
    ('last_sample_ms', 'double precision'),
    ('samples', 'bigint'),
    ('errors', 'bigint'),
    ('last_error', 'text'),
    ('settled_at', 'timestamp with time zone'),
    ('reason', 'text')
$$, 'columns of monitoring_status');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.pool_status')$$, $$VALUES
    ('pool', 'text'),
    ('status', 'text'),
    ('reasons', 'text[]'),
    ('active', 'bigint'),
    ('idle', 'bigint'),
    ('idle_in_transaction', 'bigint'),
    ('waiting', 'bigint'),
    ('total', 'bigint'),
    ('base_size', 'integer'),
    ('max_overflow', 'integer'),
    ('overflow_in_use', 'bigint'),
    ('utilization_percent', 'double precision'),
    ('oldest_connection', 'interval'),
    ('recycle_after', 'interval'),
    ('past_recycle_age', 'bigint'),
    ('longest_idle_in_transaction', 'interval'),
    ('connections_per_second', 'double precision'),
    ('establish_p50_ms', 'double precision'),
    ('establish_p95_ms', 'double precision'),
    ('establish_p99_ms', 'double precision'),
    ('failed_authentications', 'bigint'),
    ('acquire_p50_ms', 'double precision'),
    ('acquire_p95_ms', 'double precision'),
    ('acquire_p99_ms', 'double precision'),
    ('acquire_count', 'bigint'),
    ('acquire_timeouts', 'bigint'),
    ('client_reported', 'jsonb'),
    ('source', 'text')
$$, 'columns of pool_status');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.query_stats')$$, $$VALUES
    ('database', 'name'),
    ('relation', 'regclass'),
    ('kind', 'text'),
    ('window_minutes', 'integer'),
    ('calls', 'bigint'),
    ('rows', 'bigint'),
    ('errors', 'bigint'),
    ('calls_per_second', 'double precision'),
    ('mean_ms', 'double precision'),
    ('p50_ms', 'double precision'),
    ('p90_ms', 'double precision'),
    ('p95_ms', 'double precision'),
    ('p99_ms', 'double precision'),
    ('p999_ms', 'double precision'),
    ('max_ms', 'double precision'),
    ('since', 'timestamp with time zone')
$$, 'columns of query_stats');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.slow_queries')$$, $$VALUES
    ('slow_id', 'bigint'),
    ('database', 'name'),
    ('username', 'name'),
    ('queryid', 'bigint'),
    ('kind', 'text'),
    ('started', 'timestamp with time zone'),
    ('duration_ms', 'double precision'),
    ('rows', 'bigint'),
    ('error', 'boolean'),
    ('query', 'text'),
    ('calls_total', 'bigint'),
    ('mean_ms_total', 'double precision')
$$, 'columns of slow_queries');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.regressions')$$, $$VALUES
    ('metric', 'text'),
    ('label', 'text'),
    ('since', 'timestamp with time zone'),
    ('value', 'double precision'),
    ('baseline', 'double precision'),
    ('ratio', 'double precision'),
    ('z', 'double precision'),
    ('windows', 'integer')
$$, 'columns of regressions');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.alert_judgements')$$, $$VALUES
    ('rule', 'text'),
    ('label', 'text'),
    ('metric', 'text'),
    ('comparison', 'text'),
    ('value', 'double precision'),
    ('at', 'timestamp with time zone'),
    ('level', 'integer'),
    ('new_level', 'integer'),
    ('old_level', 'integer'),
    ('threshold', 'double precision'),
    ('alert_id', 'bigint'),
    ('action', 'text'),
    ('close_reason', 'text'),
    ('state', 'text'),
    ('notice', 'text'),
    ('cooldown', 'interval'),
    ('quiet', 'boolean'),
    ('now', 'timestamp with time zone'),
    ('pending', 'text'),
    ('since', 'timestamp with time zone'),
    ('critical_since', 'timestamp with time zone')
$$, 'columns of alert_judgements');
SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.alert_callbacks')$$, $$VALUES
    ('callback', 'regprocedure'),
    ('owner', 'name'),
    ('enabled', 'boolean'),
    ('calls', 'bigint'),
    ('failures', 'integer'),
    ('last_run_at', 'timestamp with time zone'),
    ('last_ms', 'double precision'),
    ('last_error', 'text'),
    ('last_error_at', 'timestamp with time zone')
$$, 'columns of alert_callbacks');

-- what is there from the start
SELECT results_eq('SELECT name, metric, comparison, warn, critical, for_duration::text FROM dbperf.alert_rules ORDER BY name COLLATE "C"', $$VALUES
    ('acquire_time', 'pool_acquire_p95_ms', '>=', 5::double precision, 100::double precision, '00:00:00'),
    ('archive_space', 'disk_free_percent', '<', 15::double precision, 5::double precision, '00:00:00'),
    ('callback_failing', 'callback_failures', '>=', 10::double precision, NULL::double precision, '00:00:00'),
    ('connections', 'connections_used_percent', '>=', 80::double precision, 90::double precision, '00:00:00'),
    ('connections_waiting', 'connections_waiting', '>=', 1::double precision, 21::double precision, '00:01:00'),
    ('default_partition', 'partition_default_rows', '>=', 1::double precision, NULL::double precision, '00:00:00'),
    ('idle_in_transaction', 'idle_in_transaction_seconds', '>=', 300::double precision, 1800::double precision, '00:00:00'),
    ('insert_degradation', 'ingest_rows_per_second', 'baseline', 1.5::double precision, 3::double precision, '00:00:00'),
    ('notify_queue', 'notify_queue_percent', '>=', 50::double precision, 80::double precision, '00:00:00'),
    ('overdue_work', 'partition_overdue', '>=', 1::double precision, NULL::double precision, '00:00:00'),
    ('partition_health', 'partition_status', '>=', 1::double precision, 2::double precision, '00:00:00'),
    ('partition_missing', 'partition_missing', '>=', 1::double precision, NULL::double precision, '00:10:00'),
    ('partition_runway', 'partition_runway_periods', '<', 1::double precision, 0.25::double precision, '00:00:00'),
    ('partition_status_change', 'partition_status', 'changed', NULL::double precision, NULL::double precision, '00:00:00'),
    ('pool_usage', 'pool_utilization_percent', '>=', 80::double precision, 90::double precision, '00:00:00'),
    ('replication_lag', 'replication_lag_seconds', '>=', 30::double precision, 300::double precision, '00:00:00'),
    ('slot_retained', 'slot_retained_bytes', '>=', 10737418240::double precision, 53687091200::double precision, '00:00:00'),
    ('slow_query', 'slow_queries', '>=', 1::double precision, 60::double precision, '00:00:00'),
    ('worker_dead', 'worker_silent_seconds', '>=', 180::double precision, 600::double precision, '00:00:00'),
    ('xid_age', 'xid_age_percent', '>=', 80::double precision, 90::double precision, '00:00:00')
$$, 'default rules');
SELECT results_eq('SELECT name, base_size, max_overflow, acquire_timeout::text, recycle_after::text FROM dbperf.pools',
                  $$VALUES ('default', 20, 50, '00:00:30', '01:00:00')$$, 'the default pool');
SELECT is_empty('SELECT r.metric FROM dbperf.alert_rules r WHERE NOT EXISTS (SELECT FROM dbperf.metric m WHERE m.name = r.metric)', 'rules name metrics of the catalogue');

SELECT * FROM finish();
ROLLBACK;
