--
-- Queries on rows that are not deleted
--

CREATE FUNCTION dbperf.get_latest_market_data(instrument_ids integer[], target regclass DEFAULT NULL)
RETURNS TABLE (id bigint, "timestamp" timestamptz, instrument_id integer, price double precision, volume bigint,
    bid double precision, ask double precision, bid_size bigint, ask_size bigint,
    open_price double precision, high_price double precision, low_price double precision,
    created_at timestamptz, updated_at timestamptz)
LANGUAGE c STABLE PARALLEL RESTRICTED
ROWS 100 COST 1000
AS 'MODULE_PATHNAME', 'dbperf_get_latest_market_data';
COMMENT ON FUNCTION dbperf.get_latest_market_data(integer[], regclass) IS 'The last row of each instrument that is not deleted, in the order of their numbers';

CREATE FUNCTION dbperf.get_latest(row_type anyelement, "by" name, keys anycompatiblearray, target regclass DEFAULT NULL)
RETURNS SETOF anyelement
LANGUAGE c STABLE PARALLEL RESTRICTED
ROWS 100 COST 1000
AS 'MODULE_PATHNAME', 'dbperf_get_latest';
COMMENT ON FUNCTION dbperf.get_latest(anyelement, name, anycompatiblearray, regclass) IS 'The last row of each key that is not deleted, of any table partitioned by RANGE on one column: that with the greatest partition key, and of those, with the greatest primary key';

CREATE FUNCTION dbperf.get_active_market_data(instrument_id integer, start_time timestamptz DEFAULT NULL,
    end_time timestamptz DEFAULT NULL, "limit" integer DEFAULT 1000, target regclass DEFAULT NULL)
RETURNS TABLE (id bigint, "timestamp" timestamptz, instrument_id integer, price double precision, volume bigint,
    bid double precision, ask double precision, bid_size bigint, ask_size bigint,
    open_price double precision, high_price double precision, low_price double precision,
    created_at timestamptz, updated_at timestamptz)
LANGUAGE c STABLE PARALLEL RESTRICTED
ROWS 1000 COST 1000
AS 'MODULE_PATHNAME', 'dbperf_get_active_market_data';
COMMENT ON FUNCTION dbperf.get_active_market_data(integer, timestamptz, timestamptz, integer, regclass) IS 'The newest rows of an instrument that are not deleted, from start_time (inclusive) to end_time (exclusive), newest first; NULL: no bound, no limit';
