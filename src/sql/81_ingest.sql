--
-- Bulk insert
--

CREATE FUNCTION dbperf.bulk_insert(target regclass, columns name[], VARIADIC arrays "any",
    OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_bulk_insert_arrays';
COMMENT ON FUNCTION dbperf.bulk_insert(regclass, name[], "any") IS 'Inserts rows given as one array for each column; options may follow as jsonb: batch_size, on_error, on_conflict, conflict_columns';

CREATE FUNCTION dbperf.bulk_insert(target regclass, columns name[], arrays record,
    batch_size integer DEFAULT 1000, on_error text DEFAULT 'abort', on_conflict text DEFAULT 'error',
    conflict_columns name[] DEFAULT NULL,
    OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_bulk_insert_record';
COMMENT ON FUNCTION dbperf.bulk_insert(regclass, name[], record, integer, text, text, name[]) IS 'Inserts rows given as one array for each column, all in one ROW(…)';

CREATE FUNCTION dbperf.bulk_insert(target regclass, rows jsonb,
    batch_size integer DEFAULT 1000, on_error text DEFAULT 'abort', on_conflict text DEFAULT 'error',
    conflict_columns name[] DEFAULT NULL,
    OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_bulk_insert_json';
COMMENT ON FUNCTION dbperf.bulk_insert(regclass, jsonb, integer, text, text, name[]) IS 'Inserts rows given as a JSON array of objects; a key that a row lacks gets the column''s default';

CREATE FUNCTION dbperf.bulk_insert_market_data(
    "timestamp" timestamptz[], instrument_id integer[], price double precision[],
    volume bigint[] DEFAULT NULL, bid double precision[] DEFAULT NULL, ask double precision[] DEFAULT NULL,
    bid_size bigint[] DEFAULT NULL, ask_size bigint[] DEFAULT NULL,
    open_price double precision[] DEFAULT NULL, high_price double precision[] DEFAULT NULL,
    low_price double precision[] DEFAULT NULL,
    batch_size integer DEFAULT 1000, on_error text DEFAULT 'abort', on_conflict text DEFAULT 'error',
    target regclass DEFAULT NULL,
    OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_bulk_insert_typed';
COMMENT ON FUNCTION dbperf.bulk_insert_market_data(timestamptz[], integer[], double precision[], bigint[], double precision[], double precision[], bigint[], bigint[], double precision[], double precision[], double precision[], integer, text, text, regclass) IS 'bulk_insert() into the managed table market_data, or the target; a null array means that the column is not given';

CREATE FUNCTION dbperf.bulk_insert_alert_logs(
    "timestamp" timestamptz[], rule_id integer[], instrument_id integer[],
    trigger_value double precision[] DEFAULT NULL, threshold_value double precision[] DEFAULT NULL,
    alert_message text[] DEFAULT NULL, fired_status text[] DEFAULT NULL, delivery_status text[] DEFAULT NULL,
    evaluation_time_ms double precision[] DEFAULT NULL,
    batch_size integer DEFAULT 1000, on_error text DEFAULT 'abort', on_conflict text DEFAULT 'error',
    target regclass DEFAULT NULL,
    OUT inserted bigint, OUT rejected bigint, OUT batches bigint, OUT elapsed interval, OUT skipped bigint)
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_bulk_insert_typed';
COMMENT ON FUNCTION dbperf.bulk_insert_alert_logs(timestamptz[], integer[], integer[], double precision[], double precision[], text[], text[], text[], double precision[], integer, text, text, regclass) IS 'bulk_insert() into the managed table alert_logs, or the target; a null array means that the column is not given';
