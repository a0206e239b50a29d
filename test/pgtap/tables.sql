-- The tables of schema dbperf: each column with its type, default and NOT NULL; keys and triggers.
BEGIN;
SELECT no_plan();

CREATE FUNCTION pg_temp.columns(rel regclass)
RETURNS TABLE (col text, type text, default_value text, not_null boolean) LANGUAGE sql AS $$
    SELECT a.attname, format_type(a.atttypid, a.atttypmod), coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attnotnull
    FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
$$;

SELECT tables_are('dbperf', ARRAY['alert_events', 'alert_functions', 'alert_pending', 'alert_rules', 'alerts', 'audit_head', 'baseline_values', 'baselines', 'compression', 'hourly_baselines', 'index_snapshots', 'ingest_rejects', 'ingest_rules', 'job_runs', 'metric', 'metric_sample', 'metric_series', 'monitoring', 'noted_regressions', 'notified_partitions', 'partition_events', 'policy', 'policy_state', 'pools', 'recycle_bin', 'sampler_state', 'soft_delete_log', 'soft_delete_tables']);

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.policy')$$, $$VALUES
    ('parent', 'regclass', '', true),
    ('partition_interval', 'interval', '', false),
    ('partition_step', 'bigint', '', false),
    ('epoch_unit', 'text', '', false),
    ('premake', 'integer', '2', true),
    ('anchor', 'timestamp without time zone', '', false),
    ('anchor_key', 'bigint', '', false),
    ('time_zone', 'text', '''UTC''::text', true),
    ('naming_pattern', 'text', '''{table}_{from}''::text', true),
    ('tablespace', 'name', '', false),
    ('enabled', 'boolean', 'true', true),
    ('run_order', 'integer', '100', true),
    ('lock_budget', 'interval', '''00:00:00.2''::interval', true),
    ('sanity_window', 'interval', '', false),
    ('sanity_step', 'bigint', '', false),
    ('detach_after', 'interval', '', false),
    ('detach_step', 'bigint', '', false),
    ('drop_after', 'interval', '', false),
    ('drop_step', 'bigint', '', false),
    ('recycle_for', 'interval', '''7 days''::interval', true),
    ('archive_schema', 'name', '', false),
    ('require_archive', 'boolean', 'false', true),
    ('quiet_hours', 'text', '', false),
    ('lock_tries', 'integer', '4', true),
    ('compress_after', 'interval', '', false),
    ('compress_step', 'bigint', '', false),
    ('sort_by', 'text[]', '', false),
    ('recompress_after', 'interval', '''1 day''::interval', false),
    ('recompress_rows', 'bigint', '100000', true),
    ('created_at', 'timestamp with time zone', 'now()', true)
$$, 'columns of policy');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.ingest_rules')$$, $$VALUES
    ('parent', 'regclass', '', true),
    ('name', 'name', '', true),
    ('expression', 'text', '', true),
    ('created_at', 'timestamp with time zone', 'now()', true)
$$, 'columns of ingest_rules');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.ingest_rejects')$$, $$VALUES
    ('reject_id', 'bigint', 'nextval(''dbperf.ingest_rejects_reject_id_seq''::regclass)', true),
    ('at', 'timestamp with time zone', 'clock_timestamp()', true),
    ('parent', 'regclass', '', true),
    ('rejected_by', 'name', '', true),
    ('row_number', 'bigint', '', true),
    ('sqlstate', 'text', '', true),
    ('reason', 'text', '', true),
    ('detail', 'text', '', false),
    ('column_name', 'name', '', false),
    ('row', 'jsonb', '', false)
$$, 'columns of ingest_rejects');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.soft_delete_tables')$$, $$VALUES
    ('parent', 'regclass', '', true),
    ('active', 'regclass', '', false),
    ('on_delete', 'text', '', true),
    ('enabled_at', 'timestamp with time zone', 'now()', true)
$$, 'columns of soft_delete_tables');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.soft_delete_log')$$, $$VALUES
    ('log_id', 'bigint', 'nextval(''dbperf.soft_delete_log_log_id_seq''::regclass)', true),
    ('at', 'timestamp with time zone', 'clock_timestamp()', true),
    ('relation', 'regclass', '', false),
    ('parent', 'text', '', true),
    ('action', 'text', '', true),
    ('deleted_by', 'text', '', false),
    ('actor', 'text', 'SESSION_USER', true),
    ('reason', 'text', '', false),
    ('row_count', 'bigint', '', true),
    ('keys', 'text[]', '', false),
    ('from_at', 'text', '', false),
    ('to_at', 'text', '', false),
    ('predicate', 'text', '', false),
    ('deleted_before', 'timestamp with time zone', '', false)
$$, 'columns of soft_delete_log');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.policy_state')$$, $$VALUES
    ('parent', 'regclass', '', true),
    ('last_run_at', 'timestamp with time zone', '', false),
    ('last_error', 'text', '', false),
    ('last_error_at', 'timestamp with time zone', '', false),
    ('failures', 'integer', '0', true),
    ('next_try_at', 'timestamp with time zone', '', false),
    ('retire_error', 'text', '', false),
    ('retire_error_at', 'timestamp with time zone', '', false),
    ('retire_failures', 'integer', '0', true),
    ('retire_next_try_at', 'timestamp with time zone', '', false),
    ('compress_error', 'text', '', false),
    ('compress_error_at', 'timestamp with time zone', '', false),
    ('compress_failures', 'integer', '0', true),
    ('compress_next_try_at', 'timestamp with time zone', '', false),
    ('clock_at', 'timestamp with time zone', '', false),
    ('clock_suspect_until', 'timestamp with time zone', '', false),
    ('boot_id', 'text', '', false),
    ('boot_at', 'timestamp with time zone', '', false),
    ('attempt_run', 'bigint', '', false),
    ('attempts', 'integer', '0', true),
    ('restored_by', 'integer', '', false),
    ('restorer_start', 'timestamp with time zone', '', false)
$$, 'columns of policy_state');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.compression')$$, $$VALUES
    ('partition', 'regclass', '', true),
    ('compressed_at', 'timestamp with time zone', '', false),
    ('recompressed_at', 'timestamp with time zone', '', false),
    ('rows', 'bigint', '', false),
    ('raw_bytes', 'bigint', '', false),
    ('compressed_bytes', 'bigint', '', false),
    ('late_rows', 'bigint', '0', true),
    ('kept_rows', 'bigint', '0', true),
    ('late_since', 'timestamp with time zone', '', false),
    ('counted_at', 'timestamp with time zone', '', false),
    ('changes', 'bigint', '', false),
    ('hold_until', 'timestamp with time zone', '', false),
    ('attempt_run', 'bigint', '', false),
    ('attempts', 'integer', '0', true)
$$, 'columns of compression');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.job_runs')$$, $$VALUES
    ('run_id', 'bigint', 'nextval(''dbperf.job_runs_run_id_seq''::regclass)', true),
    ('job', 'text', '''maintenance''::text', true),
    ('source', 'text', '', true),
    ('reason', 'text', '', true),
    ('parent', 'text', '', false),
    ('started_at', 'timestamp with time zone', 'clock_timestamp()', true),
    ('finished_at', 'timestamp with time zone', '', false),
    ('status', 'text', '''running''::text', true),
    ('parents_checked', 'integer', '0', true),
    ('partitions_created', 'integer', '0', true),
    ('partitions_detached', 'integer', '0', true),
    ('partitions_dropped', 'integer', '0', true),
    ('partitions_compressed', 'integer', '0', true),
    ('failures', 'integer', '0', true),
    ('ms_waited', 'numeric(14,3)', '0', true),
    ('ms_held', 'numeric(14,3)', '0', true),
    ('tries', 'integer', '0', true),
    ('error', 'text', '', false),
    ('pid', 'integer', '', false),
    ('backend_start', 'timestamp with time zone', '', false)
$$, 'columns of job_runs');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.partition_events')$$, $$VALUES
    ('event_id', 'bigint', 'nextval(''dbperf.partition_events_event_id_seq''::regclass)', true),
    ('at', 'timestamp with time zone', 'clock_timestamp()', true),
    ('source', 'text', '', true),
    ('actor', 'text', 'SESSION_USER', true),
    ('action', 'text', '', true),
    ('parent', 'text', '', false),
    ('partition', 'text', '', false),
    ('lower_bound', 'text', '', false),
    ('upper_bound', 'text', '', false),
    ('ms_waited', 'numeric(14,3)', '', false),
    ('ms_held', 'numeric(14,3)', '', false),
    ('tries', 'integer', '', false),
    ('message', 'text', '', false),
    ('detail', 'jsonb', '', false),
    ('seq', 'bigint', '', false),
    ('prev_hash', 'bytea', '', false),
    ('hash', 'bytea', '', false)
$$, 'columns of partition_events');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.audit_head')$$, $$VALUES
    ('only_row', 'boolean', 'true', true),
    ('seq', 'bigint', '', true),
    ('hash', 'bytea', '', false)
$$, 'columns of audit_head');

SELECT results_eq($$SELECT * FROM pg_temp.columns('dbperf.recycle_bin')$$, $$VALUES
    ('partition', 'regclass', '', true),
    ('parent', 'regclass', '', true),
    ('state', 'text', '', true),
    ('lower_bound', 'text', '', true),
    ('upper_bound', 'text', '', true),
    ('upper_at', 'timestamp with time zone', '', false),
    ('upper_key', 'bigint', '', false),
    ('original_schema', 'name', '', true),
    ('original_name', 'name', '', true),
    ('place', 'text', '', false),
    ('grants', 'text[]', '', true),
    ('parent_columns', 'name[]', '', true),
    ('parent_attnums', 'smallint[]', '', true),
    ('inherited_constraints', 'name[]', '', true),
    ('foreign_keys', 'text[]', '''{}''::text[]', true),
    ('started_at', 'timestamp with time zone', '', true),
    ('waits_for', 'text[]', '', false),
    ('waits_since_start', 'timestamp with time zone', '', false),
    ('detached_at', 'timestamp with time zone', '', false),
    ('detached_lsn', 'pg_lsn', '', false),
    ('hold_until', 'timestamp with time zone', '', false),
    ('archive', 'text', '', false),
    ('archive_rows', 'bigint', '', false),
    ('archive_verified_at', 'timestamp with time zone', '', false),
    ('inherited', 'jsonb', '', false)
$$, 'columns of recycle_bin');

SELECT col_is_pk('dbperf', 'policy', 'parent', 'parent of policy');
SELECT col_is_pk('dbperf', 'policy_state', 'parent', 'parent of policy_state');
SELECT col_is_pk('dbperf', 'recycle_bin', 'partition', 'partition of recycle_bin');
SELECT col_is_pk('dbperf', 'compression', 'partition', 'partition of compression');
SELECT col_is_pk('dbperf', 'job_runs', 'run_id', 'run_id of job_runs');
SELECT col_is_pk('dbperf', 'partition_events', 'event_id', 'event_id of partition_events');
SELECT col_is_unique('dbperf', 'partition_events', 'seq', 'seq of partition_events');
SELECT triggers_are('dbperf', 'policy', ARRAY['before_check_sample_policy', 'check_policy', 'note_policy_change']);
SELECT triggers_are('dbperf', 'partition_events', ARRAY['chain_event', 'number_row', 'refuse_delete', 'refuse_truncate', 'refuse_update']);
SELECT triggers_are('dbperf', 'recycle_bin', ARRAY['note_inherited']);
SELECT throws_ok(format('INSERT INTO dbperf.recycle_bin (partition, parent, state, lower_bound, upper_bound, original_schema, original_name, grants, '
    'parent_columns, parent_attnums, inherited_constraints, started_at) VALUES (%L, %L, %L, %L, %L, %L, %L, %L, %L, %L, %L, now())',
    'pg_class', 'pg_class', 'dropped', '', '', '', '', '{}', '{}', '{}', '{}'), '23514', NULL, 'a state that is none');
-- what a restored dump needs: the tables whose rows are users' own
SELECT is(ARRAY(SELECT c.relname FROM pg_extension e, unnest(e.extconfig) o JOIN pg_class c ON c.oid = o
                WHERE e.extname = 'tradeassist_dbperf' AND c.relkind = 'r' ORDER BY 1)::text[],
          '{alert_events,alert_functions,alert_rules,alerts,audit_head,baseline_values,baselines,compression,hourly_baselines,index_snapshots,ingest_rejects,ingest_rules,job_runs,metric_series,monitoring,partition_events,policy,pools,recycle_bin,soft_delete_log,soft_delete_tables}', 'tables that are dumped');
SELECT has_index('dbperf', 'job_runs', 'job_runs_finished_at_idx', 'finished_at');
SELECT has_index('dbperf', 'partition_events', 'partition_events_parent_at_idx', ARRAY['parent', 'at']);

-- what is not said, is filled in
CREATE TABLE by_time (k timestamptz) PARTITION BY RANGE (k);
CREATE TABLE by_week (k date) PARTITION BY RANGE (k);
CREATE TABLE by_number (k bigint) PARTITION BY RANGE (k);
INSERT INTO dbperf.policy (parent, partition_interval) VALUES ('by_time', '1 day'), ('by_week', '1 week');
INSERT INTO dbperf.policy (parent, partition_step, premake) VALUES ('by_number', 1000, 4);
SELECT results_eq($$SELECT parent::text, premake, anchor, anchor_key, time_zone, sanity_window, sanity_step FROM dbperf.policy ORDER BY 1$$, $$VALUES
    ('by_number', 4, NULL::timestamp, 0::bigint, 'UTC', NULL::interval, 50000::bigint),
    ('by_time', 2, '2000-01-01', NULL, 'UTC', '1 year', NULL),
    ('by_week', 2, '2000-01-03', NULL, 'UTC', '1 year', NULL)
$$, 'defaults that depend on the key');
SELECT is_empty($$SELECT parent FROM dbperf.policy
    WHERE num_nonnulls(detach_after, detach_step, drop_after, drop_step, archive_schema, quiet_hours) > 0$$,
    'nothing retires unless the policy says so');

SELECT * FROM finish();
ROLLBACK;
