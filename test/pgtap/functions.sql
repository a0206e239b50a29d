-- The functions and procedures that a user calls: arguments with names, types and defaults; results.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.signatures(names name[])
RETURNS TABLE (name name, arguments text, result text) LANGUAGE sql AS $$
    SELECT p.proname, pg_get_function_arguments(p.oid), coalesce(pg_get_function_result(p.oid), 'procedure')
    FROM pg_proc p WHERE p.pronamespace = 'dbperf'::regnamespace AND p.proname = ANY (names)
    ORDER BY p.proname, pg_get_function_arguments(p.oid) COLLATE "C"
$$;

-- manage() and alter_policy() take the same, with three types of interval
SELECT results_eq(format('SELECT arguments, result FROM pg_temp.signatures(ARRAY[%L::name])', f), format($$
    SELECT 'parent regclass, partition_interval ' || i || ', premake integer DEFAULT NULL::integer, anchor text DEFAULT NULL::text, '
        'time_zone text DEFAULT NULL::text, epoch_unit text DEFAULT NULL::text, naming_pattern text DEFAULT NULL::text, '
        'tablespace name DEFAULT NULL::name, enabled boolean DEFAULT NULL::boolean, run_order integer DEFAULT NULL::integer, '
        'lock_budget interval DEFAULT NULL::interval, sanity_window text DEFAULT NULL::text, '
        'detach_after text DEFAULT NULL::text, drop_after text DEFAULT NULL::text, recycle_for interval DEFAULT NULL::interval, '
        'archive_schema name DEFAULT NULL::name, require_archive boolean DEFAULT NULL::boolean, '
        'quiet_hours text DEFAULT NULL::text, lock_tries integer DEFAULT NULL::integer, compress_after text DEFAULT NULL::text, '
        'sort_by text[] DEFAULT NULL::text[], recompress_after text DEFAULT NULL::text, recompress_rows bigint DEFAULT NULL::bigint', 'void'
    FROM unnest('{bigint,interval,text DEFAULT NULL::text}'::text[]) i$$), f || '()')
FROM unnest('{manage,alter_policy}'::text[]) f;

CREATE TEMP TABLE expected (name name, arguments text, result text);
INSERT INTO expected VALUES
    ('attach_partition', 'partition regclass, hold_for interval DEFAULT NULL::interval', 'regclass'),
    ('backfill', 'IN parent regclass, IN from_at text, IN to_at text', 'procedure'),
    ('cleanup_old_partitions', 'INOUT parent regclass DEFAULT NULL::regclass, OUT partition text, OUT action text, OUT status text, OUT detail text', 'SETOF record'),
    ('confirm_archive', 'partition regclass, archive text, row_count bigint', 'void'),
    ('confirm_clock', '', 'void'),
    ('create_alert_log_partition', 'at timestamp with time zone, parent regclass DEFAULT NULL::regclass', 'regclass'),
    ('create_market_data_partition', 'at timestamp with time zone, parent regclass DEFAULT NULL::regclass', 'regclass'),
    ('create_market_schema', 'schema name DEFAULT ''public''::name', 'void'),
    ('create_partition', 'parent regclass, at bigint', 'regclass'),
    ('create_partition', 'parent regclass, at date', 'regclass'),
    ('create_partition', 'parent regclass, at text', 'regclass'),
    ('create_partition', 'parent regclass, at timestamp without time zone', 'regclass'),
    ('create_partition', 'parent regclass, at timestamp with time zone', 'regclass'),
    ('create_partitions', 'parent regclass, from_at text, to_at text', 'SETOF regclass'),
    ('detach_partition', 'partition regclass', 'regclass'),
    ('drain_default', 'INOUT parent regclass, batch_size integer DEFAULT 1000, OUT partition text, OUT action text, OUT status text, OUT detail text', 'SETOF record'),
    ('drop_partition', 'partition regclass', 'boolean'),
    ('fill_gaps', 'parent regclass', 'SETOF regclass'),
    ('maintain', 'IN parent regclass DEFAULT NULL::regclass, IN source text DEFAULT ''manual''::text', 'procedure'),
    ('partition_bounds', 'parent regclass, OUT partition regclass, OUT ord integer, OUT lower_bound text, OUT upper_bound text, OUT is_default boolean, OUT detach_pending boolean, OUT state text', 'SETOF record'),
    ('partition_default_status', 'parent regclass, OUT default_partition regclass, OUT lower_bound text, OUT upper_bound text, OUT row_count bigint, OUT obstacle text', 'SETOF record'),
    ('partition_gaps', 'parent regclass, OUT lower_bound text, OUT upper_bound text', 'SETOF record'),
    ('plan_maintenance', 'INOUT parent regclass DEFAULT NULL::regclass, OUT step integer, OUT action text, OUT partition text, OUT sql text, OUT locks text[], OUT expected_ms numeric, OUT estimated_rows bigint, OUT bytes bigint, OUT blockers jsonb, OUT decision text, OUT reason text', 'SETOF record'),
    ('run_maintenance', 'INOUT parent regclass DEFAULT NULL::regclass, OUT partition text, OUT action text, OUT status text, OUT detail text', 'SETOF record'),
    ('schedule_with_cron', 'schedule text DEFAULT ''0 3 * * *''::text', 'bigint'),
    ('unmanage', 'parent regclass', 'boolean'),
    ('unschedule_cron', '', 'boolean'),
    ('verify_audit', 'OUT ok boolean, OUT events bigint, OUT broken_event bigint, OUT reason text', 'record'),
    ('add_ingest_rule', '"table" regclass, name name, check_expression text', 'void'),
    ('add_market_data_rules', '"table" regclass', 'void'),
    ('benchmark_insert', 'rows integer DEFAULT 100000, rounds integer DEFAULT 3, schema name DEFAULT NULL::name', 'TABLE(variant text, rows_per_second double precision, wal_bytes_per_row double precision, index_bytes bigint, table_bytes bigint, improvement_percent double precision)'),
    ('bulk_insert', 'target regclass, columns name[], VARIADIC arrays "any", OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint', 'record'),
    ('bulk_insert', 'target regclass, columns name[], arrays record, batch_size integer DEFAULT 1000, on_error text DEFAULT ''abort''::text, on_conflict text DEFAULT ''error''::text, conflict_columns name[] DEFAULT NULL::name[], OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint', 'record'),
    ('bulk_insert', 'target regclass, rows jsonb, batch_size integer DEFAULT 1000, on_error text DEFAULT ''abort''::text, on_conflict text DEFAULT ''error''::text, conflict_columns name[] DEFAULT NULL::name[], OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint', 'record'),
    ('bulk_insert_alert_logs', '"timestamp" timestamp with time zone[], rule_id integer[], instrument_id integer[], trigger_value double precision[] DEFAULT NULL::double precision[], threshold_value double precision[] DEFAULT NULL::double precision[], alert_message text[] DEFAULT NULL::text[], fired_status text[] DEFAULT NULL::text[], delivery_status text[] DEFAULT NULL::text[], evaluation_time_ms double precision[] DEFAULT NULL::double precision[], batch_size integer DEFAULT 1000, on_error text DEFAULT ''abort''::text, on_conflict text DEFAULT ''error''::text, target regclass DEFAULT NULL::regclass, OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint', 'record'),
    ('bulk_insert_market_data', '"timestamp" timestamp with time zone[], instrument_id integer[], price double precision[], volume bigint[] DEFAULT NULL::bigint[], bid double precision[] DEFAULT NULL::double precision[], ask double precision[] DEFAULT NULL::double precision[], bid_size bigint[] DEFAULT NULL::bigint[], ask_size bigint[] DEFAULT NULL::bigint[], open_price double precision[] DEFAULT NULL::double precision[], high_price double precision[] DEFAULT NULL::double precision[], low_price double precision[] DEFAULT NULL::double precision[], batch_size integer DEFAULT 1000, on_error text DEFAULT ''abort''::text, on_conflict text DEFAULT ''error''::text, target regclass DEFAULT NULL::regclass, OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint', 'record'),
    ('clear_ingest_rejects', '"table" regclass DEFAULT NULL::regclass, reject_ids bigint[] DEFAULT NULL::bigint[], older_than interval DEFAULT NULL::interval', 'bigint'),
    ('counters_state', 'OUT preloaded boolean, OUT max_tables integer, OUT tables integer, OUT evictions bigint, OUT since timestamp with time zone', 'record'),
    ('disable_soft_delete', '"table" regclass', 'boolean'),
    ('drop_ingest_rule', '"table" regclass, name name', 'boolean'),
    ('enable_soft_delete', '"table" regclass, on_delete text DEFAULT ''allow''::text, with_index boolean DEFAULT true', 'regclass'),
    ('get_active_market_data', 'instrument_id integer, start_time timestamp with time zone DEFAULT NULL::timestamp with time zone, end_time timestamp with time zone DEFAULT NULL::timestamp with time zone, "limit" integer DEFAULT 1000, target regclass DEFAULT NULL::regclass', 'TABLE(id bigint, "timestamp" timestamp with time zone, instrument_id integer, price double precision, volume bigint, bid double precision, ask double precision, bid_size bigint, ask_size bigint, open_price double precision, high_price double precision, low_price double precision, created_at timestamp with time zone, updated_at timestamp with time zone)'),
    ('get_latest', 'row_type anyelement, by name, keys anycompatiblearray, target regclass DEFAULT NULL::regclass', 'SETOF anyelement'),
    ('get_latest_market_data', 'instrument_ids integer[], target regclass DEFAULT NULL::regclass', 'TABLE(id bigint, "timestamp" timestamp with time zone, instrument_id integer, price double precision, volume bigint, bid double precision, ask double precision, bid_size bigint, ask_size bigint, open_price double precision, high_price double precision, low_price double precision, created_at timestamp with time zone, updated_at timestamp with time zone)'),
    ('get_performance_stats', '', 'TABLE(relation regclass, operation text, calls bigint, rows bigint, total_ms double precision, mean_ms double precision, p50_ms double precision, p95_ms double precision, p99_ms double precision, rows_per_second double precision, cache_hits bigint, cache_misses bigint, since timestamp with time zone)'),
    ('purge_deleted', '"table" regclass, older_than interval, batch_size integer DEFAULT 1000', 'bigint'),
    ('reset_performance_stats', '', 'void'),
    ('restore', '"table" regclass, ids anyarray, restored_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, batch_size integer DEFAULT 500, key name DEFAULT NULL::name', 'bigint'),
    ('restore_market_data', 'ids bigint[], restored_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, batch_size integer DEFAULT 500, target regclass DEFAULT NULL::regclass', 'bigint'),
    ('restore_range', '"table" regclass, from_at text, to_at text, predicate text DEFAULT NULL::text, restored_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, batch_size integer DEFAULT 500', 'bigint'),
    ('soft_delete', '"table" regclass, ids anyarray, deleted_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, batch_size integer DEFAULT 500, key name DEFAULT NULL::name', 'bigint'),
    ('soft_delete_market_data', 'ids bigint[], deleted_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, batch_size integer DEFAULT 500, target regclass DEFAULT NULL::regclass', 'bigint'),
    ('soft_delete_range', '"table" regclass, from_at text, to_at text, predicate text DEFAULT NULL::text, deleted_by text DEFAULT CURRENT_USER, reason text DEFAULT NULL::text, batch_size integer DEFAULT 500', 'bigint'),
    ('columnar_candidates', 'relation regclass', 'TABLE(column_number smallint, encoding text, bytes bigint)'),
    ('columnar_info', 'relation regclass', 'TABLE(column_name name, batches bigint, rows bigint, late_rows bigint, tombstones bigint, nulls bigint, raw_bytes bigint, bytes bigint, ratio numeric, bits_per_value numeric, encodings jsonb, candidates jsonb)'),
    ('compress_partition', 'partition regclass, sort_by text[] DEFAULT NULL::text[], OUT rows bigint, OUT late_rows bigint, OUT batches bigint, OUT bytes_before bigint, OUT bytes_after bigint, OUT ratio numeric, OUT ms_held double precision', 'record'),
    ('decompress_partition', 'partition regclass, OUT rows bigint, OUT late_rows bigint, OUT batches bigint, OUT bytes_before bigint, OUT bytes_after bigint, OUT ratio numeric, OUT ms_held double precision', 'record'),
    ('late_rows', 'relation regclass', 'bigint'),
    ('recompress_partition', 'partition regclass, sort_by text[] DEFAULT NULL::text[], OUT rows bigint, OUT late_rows bigint, OUT batches bigint, OUT bytes_before bigint, OUT bytes_after bigint, OUT ratio numeric, OUT ms_held double precision', 'record'),
    ('verify_columnar', 'relation regclass', 'TABLE(batch_id oid, place tid, column_name name, row_number integer, problem text)'),
    ('wake', '', 'boolean');
SELECT results_eq('SELECT * FROM pg_temp.signatures(ARRAY(SELECT name FROM expected))',
                  'SELECT * FROM expected ORDER BY name, arguments COLLATE "C"', 'all the others');

-- every one of them is kept from PUBLIC, and has a comment
SELECT ok(NOT EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
          AND obj_description(p.oid, 'pg_proc') <> '', p.oid::regprocedure::text)
FROM (SELECT * FROM pg_proc ORDER BY oid::regprocedure::text COLLATE "C") p WHERE p.pronamespace = 'dbperf'::regnamespace;
-- those that act for their owner may be no path to anything else
SELECT results_eq($$SELECT proname FROM pg_proc WHERE pronamespace = 'dbperf'::regnamespace AND prosecdef ORDER BY proname$$,
                  $$VALUES ('acknowledge_alert'::name), ('chain_event'), ('collect_health_metrics'), ('cron_job_id'), ('forget_dropped'), ('note_policy_change'), ('number_row'), ('require_cron'), ('settle_events'), ('silence_alert'), ('start_monitoring'), ('stop_monitoring'), ('take_sample')$$,
                  'SECURITY DEFINER: triggers, two that read, and what is done about an alert');

SELECT * FROM finish();
ROLLBACK;
