-- Ticks of this minute by one call, a bad one among them, and what came of it.
\pset border 1
\pset linestyle ascii
\pset expanded off
\echo 'SELECT … FROM dbperf.bulk_insert_market_data(…, on_error => ''reject'')'
SELECT inserted, rejected, batches, elapsed
FROM (SELECT array_agg(now() - (10000 - i) * interval '5 ms') AS times,
             array_agg(1 + i % 2) AS instruments,
             array_agg(CASE WHEN i = 777 THEN -1 ELSE 1.38 + (i % 100) / 10000.0 END::float8) AS prices
      FROM generate_series(1, 10000) i) ticks
CROSS JOIN LATERAL dbperf.bulk_insert_market_data(ticks.times, ticks.instruments, ticks.prices, on_error => 'reject');
\echo 'SELECT … FROM dbperf.ingest_rejects'
SELECT row_number, sqlstate, reason, "row" ->> 'price' AS price FROM dbperf.ingest_rejects;
\echo 'SELECT … FROM dbperf.get_latest_market_data(ARRAY[1, 2])'
SELECT instrument_id, "timestamp", price FROM dbperf.get_latest_market_data(ARRAY[1, 2]);
\echo 'SELECT dbperf.soft_delete_market_data(…), and the last rows again'
SELECT dbperf.soft_delete_market_data(ARRAY(SELECT id FROM dbperf.get_latest_market_data(ARRAY[1])), reason => 'demo');
SELECT instrument_id, "timestamp", price FROM dbperf.get_latest_market_data(ARRAY[1, 2]);
\echo 'SELECT … FROM dbperf.ingest_rate'
SELECT relation, rows_total, batches_total, round(rows_per_second_1m::numeric, 1) AS per_second, round(batch_p95_ms::numeric, 1) AS batch_p95_ms, rejected_rows
FROM dbperf.ingest_rate;
