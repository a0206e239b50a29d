--
-- Default partitions: what they hold, and taking it to partitions of its own
--

CREATE FUNCTION dbperf.partition_default_status(parent regclass, OUT default_partition regclass, OUT lower_bound text,
    OUT upper_bound text, OUT row_count bigint, OUT obstacle text)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'dbperf_partition_default_status';
COMMENT ON FUNCTION dbperf.partition_default_status(regclass) IS 'The rows in a managed table''s default partition, counted by the ranges of the partitions that drain_default() would make for them; obstacle says why it would leave them';

CREATE FUNCTION dbperf.drain_default(INOUT parent regclass, batch_size integer DEFAULT 1000, OUT partition text, OUT action text, OUT status text, OUT detail text)
RETURNS SETOF record
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_drain_default';
COMMENT ON FUNCTION dbperf.drain_default(regclass, integer) IS 'Makes partitions for the rows in a managed table''s default partition and moves them there, a transaction for each partition; a row for each step';
