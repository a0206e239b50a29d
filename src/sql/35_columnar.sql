--
-- Compressing, decompressing and recompressing tables
--

-- A table is rewritten by a background worker in transactions of its own, while others read and write; only
-- temporary tables, and those that the calling transaction has locked or made, are rewritten in that
-- transaction, and are locked until its end.
CREATE FUNCTION dbperf.compress_partition(partition regclass, sort_by text[] DEFAULT NULL,
    OUT rows bigint, OUT late_rows bigint, OUT batches bigint, OUT bytes_before bigint, OUT bytes_after bigint,
    OUT ratio numeric, OUT ms_held double precision)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_compress_partition';
COMMENT ON FUNCTION dbperf.compress_partition(regclass, text[]) IS 'Turns a partition, or any table, into columnar storage by a background worker, in place; sort_by: columns by which its rows are sorted (default: as its policy says, or the first other column of an index, then the partition column). Returns rows in batches, rows that stay row tuples for now, batches, bytes with TOAST and indexes, their ratio, and for how long others were locked out (milliseconds)';

CREATE FUNCTION dbperf.decompress_partition(partition regclass,
    OUT rows bigint, OUT late_rows bigint, OUT batches bigint, OUT bytes_before bigint, OUT bytes_after bigint,
    OUT ratio numeric, OUT ms_held double precision)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_decompress_partition';
COMMENT ON FUNCTION dbperf.decompress_partition(regclass) IS 'Turns a compressed partition, or table, back into an ordinary one (heap); returns what compress_partition() does';

CREATE FUNCTION dbperf.recompress_partition(partition regclass, sort_by text[] DEFAULT NULL,
    OUT rows bigint, OUT late_rows bigint, OUT batches bigint, OUT bytes_before bigint, OUT bytes_after bigint,
    OUT ratio numeric, OUT ms_held double precision)
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'dbperf_recompress_partition';
COMMENT ON FUNCTION dbperf.recompress_partition(regclass, text[]) IS 'Merges late rows of a compressed partition, or table, into its batches, and leaves out what was deleted; sort_by: a new order (default: as it was asked for before)';

CREATE FUNCTION dbperf.compression_progress(OUT pid integer, OUT datid oid, OUT relid oid, OUT command text, OUT phase text,
    OUT rows_total bigint, OUT rows_read bigint, OUT rows_written bigint, OUT batches bigint, OUT bytes_written bigint)
RETURNS SETOF record
LANGUAGE c VOLATILE STRICT
AS 'MODULE_PATHNAME', 'dbperf_compression_progress';
COMMENT ON FUNCTION dbperf.compression_progress() IS 'How far compressing, decompressing and recompressing has got, for every process of the server that is at it';

GRANT EXECUTE ON FUNCTION dbperf.compression_progress() TO pg_monitor;

CREATE VIEW dbperf.compression_progress AS
    SELECT p.pid, p.datid, d.datname, p.relid, p.command, p.phase, p.rows_total, p.rows_read, p.rows_written, p.batches, p.bytes_written
    FROM dbperf.compression_progress() p LEFT JOIN pg_database d ON d.oid = p.datid;
COMMENT ON VIEW dbperf.compression_progress IS 'Tables that are being compressed, decompressed or recompressed now; while indexes are built, pg_stat_progress_create_index has them instead';
COMMENT ON COLUMN dbperf.compression_progress.phase IS 'waiting (for the first lock), copying, sorting, writing, locking (waiting until nobody uses the table), swapping (nobody can use it), analyzing';
COMMENT ON COLUMN dbperf.compression_progress.rows_total IS 'rows of the table, estimated; NULL: unknown';
COMMENT ON COLUMN dbperf.compression_progress.bytes_written IS 'in batches, or as rows when decompressing, without indexes';
