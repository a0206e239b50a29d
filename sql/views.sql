--
-- dbperf.partitions, partition_metrics, partition_bounds(), relation_files(): shape and values
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
SELECT make('m'), make('n', 'bigint');
CREATE INDEX ON m (left(v, 10));
SELECT dbperf.manage('m', '1 month', 1), dbperf.manage('n', 100, 1);
CREATE TABLE m_default PARTITION OF m DEFAULT;
SELECT dbperf.create_partition('m', '2026-01-01');
\d dbperf.partitions
\d dbperf.partition_metrics
\d dbperf.partition_health
-- empty tables
SELECT parent, partition, lower_bound, upper_bound, is_default, state, estimated_rows, table_bytes, index_bytes > 0 AS has_index,
       toast_bytes, total_bytes = table_bytes + index_bytes + toast_bytes AS total_is_sum, access_method, tablespace, last_write
FROM dbperf.partitions ORDER BY parent::text COLLATE "C", partition::text COLLATE "C";
-- rows of a known size: bytes are those of the server, estimates follow the statistics
ALTER TABLE m_2026_11 ALTER v SET STORAGE EXTERNAL;
INSERT INTO m SELECT '2026-11-21', i::text FROM generate_series(1, 5000) i;
INSERT INTO m VALUES ('2026-11-22', repeat('x', 100000));
ANALYZE m;
SELECT partition, estimated_rows,
       table_bytes = pg_relation_size(partition) AS table_is_exact,
       total_bytes - table_bytes = pg_total_relation_size(partition) - pg_table_size(partition)
           + coalesce(pg_relation_size((SELECT reltoastrelid FROM pg_class WHERE oid = partition)), 0)
           + coalesce((SELECT sum(pg_relation_size(indexrelid)) FROM pg_index WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = partition)), 0)
           - coalesce((SELECT sum(pg_table_size(indexrelid) - pg_relation_size(indexrelid)) FROM pg_index WHERE indrelid = partition), 0) AS others_are_exact,
       toast_bytes > 100000 AS toasted
FROM dbperf.partitions WHERE partition = 'm_2026_11'::regclass;
-- without statistics of its own, the count of the statistics system; scaled when it grows
INSERT INTO m SELECT '2026-11-21', i::text FROM generate_series(1, 5000) i;
SELECT estimated_rows BETWEEN 9000 AND 11000 AS about_10000 FROM dbperf.partitions WHERE partition = 'm_2026_11'::regclass;
-- when files were last written
CHECKPOINT;
SELECT partition, last_write BETWEEN clock_timestamp() - interval '10 minutes' AND clock_timestamp() + interval '1 minute' AS just_now
FROM dbperf.partitions WHERE parent = 'm'::regclass ORDER BY partition::text COLLATE "C";
SELECT * FROM dbperf.relation_files(0);
SELECT * FROM dbperf.relation_files('m'::regclass);
-- use
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT partition, state, tuples_inserted, live_tuples, dead_tuples FROM dbperf.partition_metrics
WHERE parent = 'm'::regclass ORDER BY partition::text COLLATE "C";
SET enable_indexscan = off;
SET enable_bitmapscan = off;
SELECT count(*) FROM m WHERE k = '2026-11-22';
RESET enable_indexscan;
RESET enable_bitmapscan;
UPDATE m SET v = 'y' WHERE k = '2026-11-22';
DELETE FROM m WHERE k = '2026-11-22';
SET enable_seqscan = off;
SELECT count(*) FROM m_2026_11 WHERE left(v, 10) = '17';
RESET enable_seqscan;
SELECT pg_stat_force_next_flush() \g /dev/null
SELECT partition, seq_scans > 0 AS seq, seq_tuples_read >= 10001 AS read, index_scans > 0 AS ix, index_tuples_fetched >= 2 AS fetched,
       tuples_inserted, tuples_updated, tuples_deleted, blocks_fetched >= blocks_hit AND blocks_hit > 0 AS blocks,
       cache_hit_ratio BETWEEN 0 AND 1 AS ratio, last_vacuum, last_analyze IS NOT NULL AS analyzed
FROM dbperf.partition_metrics WHERE partition = 'm_2026_11'::regclass;
SELECT partition, tuples_inserted, blocks_fetched, cache_hit_ratio FROM dbperf.partition_metrics WHERE partition = 'm_2026_01'::regclass;
-- they show managed tables only, and follow them
SELECT dbperf.unmanage('n');
SELECT DISTINCT parent FROM dbperf.partitions UNION SELECT DISTINCT parent FROM dbperf.partition_metrics UNION SELECT parent FROM dbperf.partition_health;
-- nothing of them is locked: not a single partition, nor an index
BEGIN;
SELECT count(*) FROM dbperf.partitions;
SELECT count(*) FROM dbperf.partition_metrics;
SELECT count(*) FROM dbperf.partition_health;
SELECT DISTINCT relation::regclass FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relation IN
    (SELECT inhrelid FROM pg_inherits UNION SELECT inhparent FROM pg_inherits UNION SELECT indexrelid FROM pg_index WHERE indrelid::regclass::text LIKE 'm\_%');
COMMIT;
-- a table that has been dropped in the meantime, or was none
SELECT count(*) FROM unnest('{0,4294967295,1259}'::oid[]) o, dbperf.partition_bounds(o);
SELECT count(*) FROM unnest('{0,4294967295,1259}'::oid[]) o, dbperf.partition_gaps(o);
