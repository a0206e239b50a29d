--
-- The table access method dbperf_columnar
--

CREATE FUNCTION dbperf.columnar_handler(internal)
RETURNS table_am_handler
LANGUAGE c
AS 'MODULE_PATHNAME', 'dbperf_columnar_handler';
COMMENT ON FUNCTION dbperf.columnar_handler(internal) IS 'Table access method dbperf_columnar';

CREATE ACCESS METHOD dbperf_columnar TYPE TABLE HANDLER dbperf.columnar_handler;
COMMENT ON ACCESS METHOD dbperf_columnar IS 'Tables of compressed batches of columns, and of rows';
