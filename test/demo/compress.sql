-- The month of ticks as it is, and a question put to it. Then its policy may compress it, as it would
-- have done by itself: the worker is woken by that, and does it.
\pset border 1
\pset linestyle ascii
\pset expanded off
\echo
\echo 'SELECT … FROM dbperf.partitions: before it is compressed'
SELECT partition, access_method AS am, estimated_rows AS rows, pg_size_pretty(table_bytes) AS "table", pg_size_pretty(index_bytes) AS indexes,
       pg_size_pretty(total_bytes) AS total
FROM dbperf.partitions WHERE partition = 'market_data_2014_05'::regclass;
\echo 'SELECT instrument_id, count(*), min(bid), max(ask), avg(price) FROM market_data WHERE … GROUP BY 1'
\timing on
SELECT instrument_id, count(*), min(bid), max(ask), round(avg(price)::numeric, 6) AS avg_price
FROM market_data WHERE "timestamp" >= '2014-05-01' AND "timestamp" < '2014-06-01' GROUP BY 1 ORDER BY 1;
\timing off
\echo 'SELECT dbperf.alter_policy(''market_data'', compress_after => ''1 month'')'
SELECT dbperf.alter_policy('market_data', compress_after => '1 month') \g /dev/null
SELECT action, partition, sql, decision FROM dbperf.plan_maintenance('market_data') WHERE action = 'compress';
