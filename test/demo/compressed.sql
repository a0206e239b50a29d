-- The same partition, and the same question, when the worker has compressed it.
\pset border 1
\pset linestyle ascii
\pset expanded off
\echo
\echo 'SELECT … FROM dbperf.partitions: compressed'
SELECT partition, access_method AS am, estimated_rows AS rows, pg_size_pretty(table_bytes) AS "table", pg_size_pretty(index_bytes) AS indexes,
       pg_size_pretty(toast_bytes) AS toast, pg_size_pretty(total_bytes) AS total, round(raw_bytes::numeric / total_bytes, 1) AS times_smaller
FROM dbperf.partitions WHERE partition = 'market_data_2014_05'::regclass;
\echo 'SELECT instrument_id, count(*), min(bid), max(ask), avg(price) FROM market_data WHERE … GROUP BY 1'
\timing on
SELECT instrument_id, count(*), min(bid), max(ask), round(avg(price)::numeric, 6) AS avg_price
FROM market_data WHERE "timestamp" >= '2014-05-01' AND "timestamp" < '2014-06-01' GROUP BY 1 ORDER BY 1;
\timing off
\echo 'It is written to as before: INSERT, UPDATE, DELETE'
INSERT INTO market_data ("timestamp", instrument_id, price) VALUES ('2014-05-15 12:00+00', 1, 1.3716);
UPDATE market_data SET volume = 1 WHERE "timestamp" = '2014-05-15 12:00+00' AND instrument_id = 1;
DELETE FROM market_data WHERE "timestamp" = '2014-05-15 12:00+00' AND instrument_id = 1 AND price = 1.3716;
SELECT dbperf.late_rows('market_data_2014_05') AS late_rows;
\echo 'SELECT … FROM dbperf.partition_events'
SELECT action, partition, source, detail ->> 'rows' AS rows, pg_size_pretty((detail ->> 'bytes_before')::bigint) AS before,
       pg_size_pretty((detail ->> 'bytes_after')::bigint) AS after, ms_waited, ms_held
FROM dbperf.partition_events WHERE action = 'compress' ORDER BY event_id;
