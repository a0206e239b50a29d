-- metric_history(), metric_range() and metric_values, on samples made by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\i :setup
SET client_min_messages = warning;

SELECT dbperf.settle_monitoring();
SELECT count(*) FROM dbperf.create_partitions('dbperf.metric_sample', '2026-11-01', '2026-11-21');

-- a sample each 10 s for two hours; one label is there for the first hour only
SELECT count(dbperf.store_sample(at, ARRAY['load1', 'pool_waiting'], ARRAY['', 'a'], ARRAY[i, i % 7]))
FROM (SELECT i, timestamptz '2026-11-21 10:00:00+00' + i * interval '10 s' FROM generate_series(0, 359) i) s (i, at);
SELECT count(dbperf.store_sample(at, ARRAY['pool_waiting', 'load1'], ARRAY['b', ''], ARRAY[100, 1000]))
FROM (SELECT i, timestamptz '2026-11-21 11:00:00+00' + i * interval '10 s' FROM generate_series(0, 359) i) s (i, at);
-- nothing to keep, and a sample of long ago
SELECT dbperf.store_sample('2026-11-21 10:00:00+00', '{}', '{}', '{}');
SELECT dbperf.store_sample('2026-11-01 00:00:00+00', '{load1}', '{""}', '{-1}');
SELECT count(*) FROM dbperf.metric_sample;
SELECT metric, label FROM dbperf.metric_series ORDER BY 1, 2;

SELECT metric, label, count(*), sum(value), min(at), max(at) FROM dbperf.metric_values
WHERE at >= '2026-11-21 10:30+00' AND at < '2026-11-21 11:30+00' GROUP BY 1, 2 ORDER BY 1, 2;
SELECT label, count(*), sum(value) FROM dbperf.metric_range('pool_waiting', '2026-11-21 10:30+00', '2026-11-21 11:30+00') GROUP BY 1 ORDER BY 1;
SELECT label, count(*), sum(value) FROM dbperf.metric_range('pool_waiting', '2026-11-21 10:30+00', '2026-11-21 11:30+00', 'a') GROUP BY 1;

-- the last hour is what one gets, in buckets of 30 s
SELECT count(*), min(bucket), max(bucket), sum(samples), min(min), max(max) FROM dbperf.metric_history('load1');
SELECT * FROM dbperf.metric_history('load1', '2026-11-21 10:00+00', '2026-11-21 11:20+00', '20 minutes');
SELECT * FROM dbperf.metric_history('pool_waiting', '2026-11-21 10:58+00', '2026-11-21 11:02+00', '1 minute');
SELECT * FROM dbperf.metric_history('pool_waiting', '2026-11-21 10:58+00', '2026-11-21 11:02+00', '2 minutes', for_label => 'b');
-- buckets begin at whole steps, whatever the time that is asked for
SELECT bucket, samples, last FROM dbperf.metric_history('load1', '2026-11-21 10:07+00', '2026-11-21 10:33+00', '15 minutes');
-- steps of its own choice
SELECT d.span, min(lead - bucket) AS step FROM (VALUES (interval '1 minute'), ('1 hour'), ('2 hours'), ('1 day'), ('30 days'), ('3 years')) d (span),
    LATERAL (SELECT bucket, lead(bucket) OVER (ORDER BY bucket) FROM dbperf.metric_history('load1', '2026-11-21 12:00+00'::timestamptz - d.span, '2026-11-21 12:00+00')) h
GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM dbperf.metric_history('load1', '2026-11-21 13:00+00', '2026-11-21 14:00+00');
SELECT count(*) FROM dbperf.metric_history('load5');
SELECT count(*) FROM dbperf.metric_history('pool_waiting', for_label => 'none');
-- a metric of more series than are looked for one by one
SELECT dbperf.store_sample('2026-11-21 13:30:00+00', array_fill('pool_acquire_p95_ms'::text, ARRAY[20]), array_agg('p' || i), array_agg(i)) FROM generate_series(1, 20) i;
SELECT count(*), sum(avg) FROM dbperf.metric_history('pool_acquire_p95_ms', '2026-11-21 13:00+00', '2026-11-21 14:00+00');
SELECT * FROM dbperf.metric_range('pool_acquire_p95_ms', '2026-11-21 13:30+00', '2026-11-21 14:00+00', 'p7');
SELECT count(*) FROM dbperf.metric_range('pool_acquire_p95_ms', '2026-11-21 13:00+00', '2026-11-21 13:30+00');
-- only the partitions that hold the time are read
CREATE FUNCTION t.partitions_read(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || query LOOP
        RETURN QUERY SELECT m[1] FROM regexp_matches(line, '(metric_sample_[0-9_]+)') m;
    END LOOP;
END
$$;
SELECT t.partitions_read($$SELECT * FROM dbperf.metric_values WHERE metric = 'load1' AND at >= '2026-11-20 10:00+00' AND at < '2026-11-21 11:00+00'$$);

SELECT t.fails($$SELECT dbperf.metric_history('load_1')$$);
SELECT t.fails($$SELECT dbperf.metric_history(NULL)$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', '2026-11-21 12:00+00', '2026-11-21 11:00+00')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', '2026-11-21 12:00+00', '2026-11-21 12:00+00')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', '-infinity')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', step => '0')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', step => '-1 minute')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', step => '1 month')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', step => '0.1 s')$$);
SELECT t.fails($$SELECT dbperf.metric_history('load1', '2020-01-01', '2026-01-01', '1 hour')$$);
SELECT count(*) FROM dbperf.metric_history('load1', '0001-01-01', '2026-11-22');
