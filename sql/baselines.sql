--
-- Baselines, by a fixed clock and samples made up for it; medians, MAD and z against a model that
-- works them out in another way
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
-- rounded, since the last digits are nobody's business
CREATE FUNCTION r(double precision) RETURNS numeric LANGUAGE sql AS $$ SELECT round($1::numeric, 4) $$;

-- before there is anything
SELECT fails($$SELECT dbperf.capture_baseline('a')$$);
SELECT count(*) FROM dbperf.baselines;
SELECT fails($$SELECT dbperf.capture_baseline(NULL)$$);
SELECT fails($$SELECT dbperf.capture_baseline('')$$);
SELECT fails($$SELECT dbperf.capture_baseline(repeat('x', 201))$$);
SELECT fails($$SELECT dbperf.capture_baseline('a', NULL)$$);
SELECT fails($$SELECT dbperf.capture_baseline('a', '0')$$);
SELECT fails($$SELECT dbperf.capture_baseline('a', '-1 hour')$$);
SELECT fails($$SELECT dbperf.capture_baseline('a', '8 days')$$);
SELECT fails($$SELECT dbperf.drop_baseline('a')$$);
SELECT fails($$SELECT dbperf.drop_baseline(NULL)$$);
SELECT fails($$SELECT dbperf.compare_baseline('a')$$);
SELECT fails($$SELECT dbperf.compare_baseline(NULL)$$);
SELECT * FROM dbperf.baseline_deviations();
SELECT * FROM dbperf.baseline_deviation('cpu_percent');
SELECT * FROM dbperf.baseline_deviation(NULL, NULL);
SELECT * FROM dbperf.regressions;
SELECT dbperf.update_hourly_baselines();
SELECT * FROM dbperf.metric_trend('cpu_percent');
SELECT fails($$SELECT dbperf.metric_trend('no_such_metric')$$);
SELECT fails($$SELECT dbperf.metric_trend(NULL)$$);
SELECT fails($$SELECT dbperf.metric_trend('cpu_percent', label => NULL)$$);
SELECT fails($$SELECT dbperf.metric_trend('cpu_percent', '2 years')$$);
-- what a dump has to have
SELECT c::regclass FROM pg_extension e, unnest(e.extconfig) c
WHERE e.extname = 'tradeassist_dbperf' AND c::regclass::text ~ 'baseline' ORDER BY c::regclass::text COLLATE "C";

-- lower is better: cpu_percent, query_p95_ms of two kinds, deadlocks_per_second; higher:
-- ingest_rows_per_second; neither: connections_active
CREATE TABLE metric_sample_all PARTITION OF dbperf.metric_sample FOR VALUES FROM ('2026-01-01') TO ('2027-06-01');
INSERT INTO dbperf.metric_series VALUES (1, 'cpu_percent', ''), (2, 'query_p95_ms', 'select'), (3, 'query_p95_ms', 'insert'),
    (4, 'deadlocks_per_second', ''), (5, 'ingest_rows_per_second', ''), (6, 'connections_active', '');
CREATE FUNCTION put(since timestamptz, until timestamptz, step interval, series integer, value double precision) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO dbperf.metric_sample SELECT g, ARRAY[series], ARRAY[value] FROM generate_series(since, until, step) g
$$;

--
-- The model: from ranks alone
--
CREATE VIEW "values" AS
    SELECT s.at, v.series, v.value FROM dbperf.metric_sample s, unnest(s.series, s.value) v (series, value)
    WHERE v.value NOT IN ('NaN', 'Infinity', '-Infinity');
CREATE FUNCTION model_quantile(numbers double precision[], q numeric) RETURNS double precision LANGUAGE sql AS $$
    WITH ranked AS (SELECT x, row_number() OVER (ORDER BY x) - 1 AS k, (count(*) OVER () - 1) * q AS place FROM unnest(numbers) x)
    SELECT sum(x * (1 - abs(k - place))) FROM ranked WHERE abs(k - place) < 1
$$;
CREATE FUNCTION model_mad(numbers double precision[]) RETURNS double precision LANGUAGE sql AS $$
    SELECT model_quantile(array_agg(abs(x - model_quantile(numbers, 0.5))), 0.5) FROM unnest(numbers) x
$$;
SELECT model_quantile('{3,1,2}', 0.5), model_quantile('{4,1,2,3}', 0.5), model_quantile('{5}', 0.95), model_mad('{1,1,2,2,4,6,9}');

--
-- What is captured
--
-- one series has an odd number of samples, one has none that are numbers
INSERT INTO dbperf.metric_sample
SELECT timestamptz '2026-11-21 11:00:00+00' + n * interval '10 s', '{1,2,4,5}', ARRAY[hashint4(n) % 100 / 7.0, 20 + hashint4(n + 1000) % 10, 0, hashint4(n) % 3]
FROM generate_series(1, 360) n;
SELECT put('2026-11-21 11:30', '2026-11-21 11:32', '10 s', 3, 5);
UPDATE dbperf.metric_sample SET value[1] = ('{NaN,Infinity,-Infinity}'::double precision[])[extract(minute FROM at)::integer - 19]
WHERE extract(minute FROM at) BETWEEN 20 AND 22 AND extract(second FROM at) > 30;
SELECT put('2026-11-21 11:45', '2026-11-21 11:45', '10 s', 6, 'NaN');
-- at the bounds: from is exclusive, to is inclusive
SELECT put('2026-11-21 11:00', '2026-11-21 11:00', '10 s', 3, 1e9), put('2026-11-21 12:00:00.000001', '2026-11-21 12:00:00.000001', '10 s', 3, 1e9);
SELECT dbperf.capture_baseline('first', comment => 'before');
SELECT * FROM dbperf.baselines;
SELECT metric, label, n FROM dbperf.baseline_values ORDER BY metric COLLATE "C", label COLLATE "C";
CREATE FUNCTION unlike_model(baseline text, since timestamptz, until timestamptz) RETURNS SETOF dbperf.baseline_values LANGUAGE sql AS $$
    WITH model AS (
        SELECT s.metric, s.label, count(*) AS n, array_agg(v.value) AS numbers
        FROM "values" v JOIN dbperf.metric_series s USING (series)
        WHERE v.at > since AND v.at <= until GROUP BY 1, 2)
    SELECT b.* FROM (SELECT * FROM dbperf.baseline_values WHERE name = baseline) b FULL JOIN model m USING (metric, label)
    WHERE b.n IS DISTINCT FROM m.n OR abs(b.median - model_quantile(numbers, 0.5)) > 1e-9
       OR abs(b.p95 - model_quantile(numbers, 0.95)) > 1e-9 OR abs(b.mad - model_mad(numbers)) > 1e-9
$$;
SELECT * FROM unlike_model('first', '2026-11-21 11:00', '2026-11-21 12:00');
SELECT dbperf.capture_baseline('minutes', '7 minutes 30 seconds');
SELECT * FROM unlike_model('minutes', '2026-11-21 11:52:30', '2026-11-21 12:00');
SELECT fails($$SELECT dbperf.capture_baseline('first')$$);
SELECT dbperf.drop_baseline('minutes');
SELECT DISTINCT name FROM dbperf.baseline_values;
-- a window of days has 24 hours a day, whatever the session's zone; here the clocks were put back
SET TimeZone = 'America/New_York';
SET dbperf.now_override = '2026-11-01 12:00:00+00';
SELECT put('2026-11-01 12:00+00', '2026-11-01 12:00+00', '10 s', 3, 1);
SELECT dbperf.capture_baseline('day', '1 day');
SET TimeZone = 'UTC';
SELECT to_at - from_at AS length, from_at FROM dbperf.baselines WHERE name = 'day';

--
-- The rule
--
SELECT v.*, r(d.ratio) AS ratio, r(d.z) AS z, d.worse
FROM (VALUES
    (1, 'lower', 'ms', 10, 1, 20, 16, 20),        -- 1.6 times, z 4.047
    (2, 'lower', 'ms', 10, 1, 20, 14.9, 20),      -- not 1.5 times
    (3, 'lower', 'ms', 10, 1, 20, 15, 20),        -- 1.5 times, z below 4
    (4, 'lower', 'ms', 10, 0.5, 20, 15, 20),      -- exactly 1.5 times, z above
    (5, 'lower', 'ms', 10, 1, 19, 100, 20),       -- too few
    (6, 'lower', 'ms', 10, 1, 20, 100, 19),
    (7, 'lower', 'ms', 10, 1, 20, 1, 20),         -- better
    (8, 'higher', 'ms', 10, 1, 20, 1, 20),        -- the same is worse
    (9, 'higher', 'ms', 10, 1, 20, 100, 20),
    (10, NULL, 'ms', 10, 1, 20, 100, 20),         -- neither
    (11, 'lower', 'ms', 10, 0, 20, 10.4, 20),     -- MAD of 0: by 5 % of the median
    (12, 'lower', 'ms', 10, 0, 20, 15, 20),
    (13, 'lower', '%', 0, 0, 20, 1, 20),          -- from 0: by steps
    (14, 'lower', '%', 0, 0, 20, 6, 20),
    (15, 'lower', '1/s', 0, 0, 20, 0.5, 20),
    (16, 'lower', '1/s', 0, 0, 20, 0.6, 20),
    (17, 'higher', '1/s', 1000, 10, 20, 0, 20),   -- to 0
    (18, 'lower', '%', 0, 0, 20, 0, 20),
    (19, 'lower', 'ms', NULL, NULL, NULL, 1, 20), -- no baseline
    (20, 'lower', 'ms', 1, 1, 20, NULL, 0),       -- no samples
    (21, 'higher', 'periods', 3, 0, 20, -1, 20)   -- below 0
) v (k, better, unit, median, mad, baseline_n, value, n)
CROSS JOIN LATERAL dbperf.deviation(v.better, v.unit, v.median, v.mad, v.baseline_n, v.value, v.n) d ORDER BY k;
-- where no step has a say, z is that of the model
SELECT count(*) FILTER (WHERE abs(d.z - 0.6745 * (50 - model_quantile(x, 0.5)) / model_mad(x)) > 1e-9) AS wrong, count(*)
FROM (SELECT array_agg((hashint4(k * 1000 + n) & 1023)::double precision) AS x FROM generate_series(1, 50) k, generate_series(1, 20 + k % 3) n GROUP BY k) k,
LATERAL dbperf.deviation('lower', 'ms', model_quantile(x, 0.5), model_mad(x), 20, 50, 20) d;

--
-- What is compared
--
SET dbperf.now_override = '2026-11-22 12:00:00+00';
SELECT put('2026-11-22 11:00:10', '2026-11-22 12:00:00', '10 s', 1, 60);
SELECT put('2026-11-22 11:00:10', '2026-11-22 12:00:00', '10 s', 2, 10);
SELECT put('2026-11-22 11:59:10', '2026-11-22 12:00:00', '10 s', 3, 50);
SELECT put('2026-11-22 11:00:10', '2026-11-22 12:00:00', '10 s', 4, 3);
SELECT put('2026-11-22 11:00:10', '2026-11-22 12:00:00', '10 s', 6, 7);
-- made by hand, so that the numbers are round; and one of a metric that is no more
UPDATE dbperf.baseline_values SET median = 20, mad = 2 WHERE metric IN ('cpu_percent', 'query_p95_ms') AND name = 'first';
UPDATE dbperf.baseline_values SET median = 100, mad = 2 WHERE metric = 'ingest_rows_per_second' AND name = 'first';
INSERT INTO dbperf.baseline_values VALUES ('first', 'gone', '', 1, 1, 1, 100), ('first', 'connections_active', '', 7, 0, 7, 100);
CREATE VIEW compared AS
    SELECT metric, label, unit, better, r(baseline) AS baseline, r(current) AS current, r(improvement_percent) AS improvement_percent, regression, r(z) AS z, n
    FROM dbperf.compare_baseline('first');
SELECT * FROM compared;
-- where more is better
SELECT put('2026-11-22 11:00:10', '2026-11-22 12:00:00', '10 s', 5, 50);
SELECT * FROM compared WHERE metric = 'ingest_rows_per_second';
UPDATE dbperf.metric_sample SET value = '{150}' WHERE series = '{5}' AND at > '2026-11-22';
SELECT * FROM compared WHERE metric = 'ingest_rows_per_second';
-- nothing in the window
SET dbperf.now_override = '2026-12-25 12:00:00+00';
SELECT metric, label, current, improvement_percent, regression, n FROM dbperf.compare_baseline('first');
TRUNCATE dbperf.metric_sample;
-- what was deleted by hand is no hindrance
SET dbperf.now_override = '2026-11-21 12:00:00+00';
SELECT put('2026-11-21 11:00:10', '2026-11-21 12:00:00', '10 s', 1, 60);
DELETE FROM dbperf.baselines WHERE name = 'first';
SELECT dbperf.capture_baseline('first');
SELECT * FROM dbperf.baseline_values WHERE name = 'first';
SELECT dbperf.drop_baseline(name) FROM dbperf.baselines;
SELECT count(*) FROM dbperf.baseline_values;
TRUNCATE dbperf.metric_sample;

--
-- Hours of the week
--
SELECT at, to_char(at, 'Dy HH24:MI') AS utc, dbperf.hour_of_week(at)
FROM (VALUES (timestamptz '2026-11-23 00:00:00+00'), ('2026-11-23 00:59:59.999999+00'), ('2026-11-23 01:00:00+00'), ('2026-11-22 23:59:59+00'),
             ('2026-11-21 12:30:00+00'), ('1970-01-01 00:00:00+00')) v (at);
SET TimeZone = 'Asia/Kolkata';
SELECT dbperf.hour_of_week('2026-11-23 00:00:00+00'), dbperf.hour_of_week('2026-11-23 01:00:00+05:30');
SELECT dbperf.hour_of_week(NULL);

-- five weeks of Saturdays from 11:00 to 13:00 UTC, each a minute's samples; a sixth that is too old
INSERT INTO dbperf.metric_sample
SELECT timestamptz '2026-11-21 11:00:00+00' - w * interval '168 hours' + n * interval '1 minute', '{1,2}',
       ARRAY[hashint4(w * 1000 + n) & 255, CASE WHEN w = 5 THEN 1e6 ELSE 7 END]
FROM generate_series(0, 5) w, generate_series(1, 120) n;
SET dbperf.now_override = '2026-11-22 12:00:30+00';
-- a session with half an hour's zone makes no difference
SELECT dbperf.update_hourly_baselines();
SET TimeZone = 'UTC';
SELECT metric, hour_of_week, n, updated_at FROM dbperf.hourly_baselines ORDER BY metric COLLATE "C", hour_of_week;
-- the hour that ended at 12:00 has been over for a day; the next has not, and goes by the weeks before
CREATE VIEW unlike_model_hours AS
    SELECT b.*, m.n AS model_n FROM dbperf.hourly_baselines b FULL JOIN (
        SELECT s.metric, s.label, dbperf.hour_of_week(v.at - interval '1 microsecond') AS hour_of_week, count(*) AS n, array_agg(v.value) AS numbers
        FROM "values" v JOIN dbperf.metric_series s USING (series)
        WHERE v.at > timestamptz '2026-10-20' AND v.at <= date_trunc('hour', dbperf.clock()) - interval '24 hours'
        GROUP BY 1, 2, 3) m USING (metric, label, hour_of_week)
    WHERE b.n IS DISTINCT FROM m.n OR abs(b.median - model_quantile(numbers, 0.5)) > 1e-9 OR abs(b.mad - model_mad(numbers)) > 1e-9;
SELECT metric, hour_of_week, n, model_n FROM unlike_model_hours WHERE hour_of_week = dbperf.hour_of_week('2026-11-21 11:00+00');
-- again in the same hour: nothing to do
SET dbperf.now_override = '2026-11-22 12:59:59+00';
SELECT dbperf.update_hourly_baselines();
-- the next hour
SET dbperf.now_override = '2026-11-22 13:00:00+00';
SELECT dbperf.update_hourly_baselines();
SELECT * FROM unlike_model_hours;
-- hours that were missed are made up for
SELECT put('2026-11-21 13:01', '2026-11-21 20:00', '1 minute', 1, 5);
SET dbperf.now_override = '2026-11-23 00:10:00+00';
SELECT dbperf.update_hourly_baselines();
SELECT hour_of_week, median, mad, n, updated_at FROM dbperf.hourly_baselines WHERE n = 60 ORDER BY 1;
SELECT * FROM unlike_model_hours;
-- rows of a clock that was wrong are no reason to stop
UPDATE dbperf.hourly_baselines SET updated_at = '2036-01-01' WHERE hour_of_week = dbperf.hour_of_week('2026-11-21 11:00+00');
SELECT put('2026-11-22 00:01', '2026-11-22 01:00', '1 minute', 1, 5);
SET dbperf.now_override = '2026-11-23 01:00:00+00';
SELECT dbperf.update_hourly_baselines();
-- hours without samples leave things as they are, though there are those of weeks before
SET dbperf.now_override = '2026-11-29 16:00:00+00';
SELECT dbperf.update_hourly_baselines();
SELECT put('2026-11-28 15:01', '2026-11-28 16:00', '1 minute', 1, 11);
SET dbperf.now_override = '2026-11-29 17:00:00+00';
SELECT dbperf.update_hourly_baselines();
SELECT n, median, updated_at FROM dbperf.hourly_baselines WHERE metric = 'cpu_percent' AND hour_of_week = dbperf.hour_of_week('2026-11-28 15:00+00');
-- weeks later: what is measured stays, though it was not for a while; what nobody measures is forgotten
INSERT INTO dbperf.hourly_baselines SELECT 'gone', '', 1, 1, 1, 100, at FROM (VALUES (timestamptz '2026-11-01')) v (at);
SET dbperf.now_override = '2027-01-01 00:00:00+00';
SELECT dbperf.update_hourly_baselines();
SELECT DISTINCT metric FROM dbperf.hourly_baselines ORDER BY 1;

--
-- Regressions
--
TRUNCATE dbperf.metric_sample, dbperf.hourly_baselines;
SET dbperf.now_override = '2026-11-23 12:20:00+00';
-- usual: 100 ms, 20 %, no deadlocks, 1000 rows/s; all day
INSERT INTO dbperf.hourly_baselines
SELECT v.metric, v.label, h, v.median, v.mad, 360, dbperf.clock() FROM generate_series(0, 23) h, (VALUES
    ('query_p95_ms', 'select', 100, 5), ('query_p95_ms', 'insert', 100, 5), ('cpu_percent', '', 20, 0), ('deadlocks_per_second', '', 0, 0),
    ('ingest_rows_per_second', '', 1000, 50), ('connections_active', '', 1, 1)) v (metric, label, median, mad);
CREATE VIEW deviations AS
    SELECT metric, label, since, value, baseline, r(ratio) AS ratio, r(z) AS z, windows, n FROM dbperf.baseline_deviations();
SELECT * FROM deviations;
-- as usual, for half an hour
INSERT INTO dbperf.metric_sample
SELECT g, '{1,2,3,4,5,6}', '{20,100,100,0,1000,500}' FROM generate_series(timestamptz '2026-11-23 11:50:10', '2026-11-23 12:20:00', '10 s') g;
SELECT * FROM deviations;
-- two windows are no regression, the third is what makes one
UPDATE dbperf.metric_sample SET value[2] = 300 WHERE at > '2026-11-23 12:10';
SELECT * FROM deviations WHERE label = 'select';
SELECT * FROM dbperf.regressions;
UPDATE dbperf.metric_sample SET value[2] = 300 WHERE at > '2026-11-23 12:05';
SELECT metric, label, since, value, baseline, r(ratio) AS ratio, r(z) AS z, windows FROM dbperf.regressions;
-- medians: half of the samples of a window have to be worse
UPDATE dbperf.metric_sample SET value[2] = 100 WHERE at > '2026-11-23 12:10:00' AND at <= '2026-11-23 12:12:20';
SELECT windows FROM dbperf.baseline_deviation('query_p95_ms', 'select');
UPDATE dbperf.metric_sample SET value[2] = 100 WHERE at > '2026-11-23 12:10:00' AND at <= '2026-11-23 12:13:00';
SELECT windows, since FROM dbperf.baseline_deviation('query_p95_ms', 'select');
UPDATE dbperf.metric_sample SET value[2] = 300 WHERE at > '2026-11-23 12:05';
-- 20 samples in each window are enough, 19 are not: neither in the newest nor within the row of windows
BEGIN;
DELETE FROM dbperf.metric_sample WHERE at > '2026-11-23 12:10' AND at <= '2026-11-23 12:11:40';
SELECT windows, n FROM dbperf.baseline_deviation('query_p95_ms', 'select');
DELETE FROM dbperf.metric_sample WHERE at = '2026-11-23 12:11:50';
SELECT windows, n FROM dbperf.baseline_deviation('query_p95_ms', 'select');
-- the server was down
DELETE FROM dbperf.metric_sample WHERE at > '2026-11-23 12:11' AND at <= '2026-11-23 12:19';
SELECT windows, n, z > 4 AS z FROM dbperf.baseline_deviation('query_p95_ms', 'select');
DELETE FROM dbperf.metric_sample WHERE at > '2026-11-23 12:15';
SELECT * FROM dbperf.baseline_deviation('query_p95_ms', 'select');
ROLLBACK;
-- samples that are no numbers do not count
BEGIN;
UPDATE dbperf.metric_sample SET value[2] = 'NaN' WHERE at > '2026-11-23 12:18';
SELECT windows, n FROM dbperf.baseline_deviation('query_p95_ms', 'select');
ROLLBACK;
-- a baseline of few samples is none
BEGIN;
UPDATE dbperf.hourly_baselines SET n = 19;
SELECT windows, r(ratio) AS ratio FROM dbperf.baseline_deviation('query_p95_ms', 'select');
ROLLBACK;
-- each window has its own hour: at 11:00 three times as much is usual
UPDATE dbperf.metric_sample SET value[2] = 300;
SELECT since, windows FROM dbperf.baseline_deviation('query_p95_ms', 'select');
UPDATE dbperf.hourly_baselines SET median = 300, mad = 10 WHERE label = 'select' AND hour_of_week = 11;
SELECT since, windows FROM dbperf.baseline_deviation('query_p95_ms', 'select');
-- a window that begins at 11:57 is one of 11:00
SET dbperf.now_override = '2026-11-23 12:02:00+00';
SELECT windows, baseline FROM dbperf.baseline_deviation('query_p95_ms', 'select');
-- six windows at most
SET dbperf.now_override = '2026-11-23 15:00:00+00';
SELECT put('2026-11-23 13:00:10', '2026-11-23 15:00', '10 s', 3, 1000);
SELECT since, windows FROM dbperf.baseline_deviation('query_p95_ms', 'insert');
-- MAD of 0, from 0, and where more is better
SET dbperf.now_override = '2026-11-23 18:00:00+00';
INSERT INTO dbperf.metric_sample
SELECT g, '{1,4,5,6}', '{32,0.5,0,500}' FROM generate_series(timestamptz '2026-11-23 17:30:10', '2026-11-23 18:00:00', '10 s') g;
SELECT * FROM deviations WHERE n > 0;
UPDATE dbperf.metric_sample SET value[2] = 0.7 WHERE series = '{1,4,5,6}';
SELECT metric, label, since, value, baseline, r(ratio) AS ratio, r(z) AS z, windows FROM dbperf.regressions;
SELECT metric, label, windows FROM dbperf.baseline_deviations('cpu_percent');
SELECT metric, label, windows FROM dbperf.baseline_deviations('query_p95_ms');
SELECT metric, label, windows FROM dbperf.baseline_deviations('query_p95_ms', 'insert');
SELECT * FROM dbperf.baseline_deviation('connections_active');
SELECT * FROM dbperf.baseline_deviation('no_such_metric');
-- where samples are taken each minute, a window is 24 minutes long
SET dbperf.now_override = '2026-11-23 22:00:00+00';
SELECT put('2026-11-23 20:48:01', '2026-11-23 22:00', '1 minute', 3, 1000);
SELECT windows, n FROM dbperf.baseline_deviation('query_p95_ms', 'insert');
INSERT INTO dbperf.monitoring (enabled, sample_interval) VALUES (true, '1 minute');
SELECT since, windows, n FROM dbperf.baseline_deviation('query_p95_ms', 'insert');
DELETE FROM dbperf.monitoring;

--
-- Trends
--
TRUNCATE dbperf.metric_sample;
SET dbperf.now_override = '2026-11-21 12:00:00+00';
CREATE FUNCTION trend(metric text, "window" interval, label text) RETURNS TABLE (slope numeric, r2 numeric, first numeric, last numeric, n bigint,
    from_at timestamptz, to_at timestamptz, d1 numeric, d7 numeric, d30 numeric) LANGUAGE sql AS $$
    SELECT r(slope_per_day), r(r_squared), r(first), r(last), n, from_at, to_at, r(forecast_1d), r(forecast_7d), r(forecast_30d)
    FROM dbperf.metric_trend(metric, "window", label)
$$;
-- 2.5 a day, 40 now
INSERT INTO dbperf.metric_sample
SELECT dbperf.clock() - n * interval '1 hour', '{1,2}', ARRAY[40 - 2.5 * n / 24, CASE n % 2 WHEN 0 THEN 10 ELSE 20 END] FROM generate_series(0, 24 * 9) n;
SELECT * FROM trend('cpu_percent', '7 days', '');
SELECT * FROM trend('cpu_percent', '20 hours', '');
SELECT * FROM trend('cpu_percent', '18 hours', '');
SELECT * FROM trend('query_p95_ms', '7 days', 'select');
-- the model: least squares by their definition
SELECT abs(t.slope_per_day - m.slope) < 1e-9 AS slope, abs(t.r_squared - m.r2) < 1e-9 AS r2, abs(t.forecast_7d - (m.mean_y + m.slope * (7 - m.mean_x))) < 1e-6 AS forecast
FROM dbperf.metric_trend('query_p95_ms', '7 days', 'select') t, (
    SELECT sum((x - mx) * (y - my)) / sum((x - mx) ^ 2) AS slope, sum((x - mx) * (y - my)) ^ 2 / sum((x - mx) ^ 2) / sum((y - my) ^ 2) AS r2,
           min(mx) AS mean_x, min(my) AS mean_y
    FROM (SELECT x, y, avg(x) OVER () AS mx, avg(y) OVER () AS my
          FROM (SELECT extract(epoch FROM at - dbperf.clock())::double precision / 86400 AS x, value AS y FROM "values"
                WHERE series = 2 AND at >= dbperf.clock() - interval '7 days') p) q) m;
-- a flat line, a single sample, none; what is no number, or too great a one, is left out
SELECT put(dbperf.clock() - interval '1 day', dbperf.clock(), '1 hour', 4, 3), put(dbperf.clock(), dbperf.clock(), '1 hour', 5, 3);
SELECT put(dbperf.clock() - interval '30 minutes', dbperf.clock(), '1 hour', 4, x) FROM unnest('{NaN,Infinity,-Infinity,1e300}'::double precision[]) x;
SELECT * FROM trend('deadlocks_per_second', '7 days', '');
SELECT * FROM trend('ingest_rows_per_second', '7 days', '');
SELECT * FROM trend('connections_active', '7 days', '');
SELECT fails($$SELECT dbperf.metric_trend('query_p95_ms')$$);
SELECT fails($$SELECT dbperf.metric_trend('query_p95_ms', label => 'merge')$$);

--
-- Rights: members of pg_monitor look, and change nothing
--
SELECT dbperf.capture_baseline('mine', '1 day');
SET client_min_messages = warning;
DROP ROLE IF EXISTS regress_dbperf_looker, regress_dbperf_nobody;
RESET client_min_messages;
CREATE ROLE regress_dbperf_looker IN ROLE pg_monitor;
CREATE ROLE regress_dbperf_nobody;
GRANT USAGE ON SCHEMA t TO regress_dbperf_looker, regress_dbperf_nobody;
SET ROLE regress_dbperf_looker;
SELECT count(*) FROM dbperf.regressions;
SELECT count(*) FROM dbperf.compare_baseline('mine');
SELECT windows FROM dbperf.baseline_deviation('cpu_percent');
SELECT n FROM dbperf.metric_trend('cpu_percent');
SELECT count(*) FROM dbperf.baselines;
SELECT fails($$SELECT dbperf.capture_baseline('theirs')$$);
SELECT fails($$SELECT dbperf.drop_baseline('mine')$$);
SELECT fails($$SELECT dbperf.update_hourly_baselines()$$);
SET ROLE regress_dbperf_nobody;
SELECT fails($$SELECT dbperf.compare_baseline('mine')$$);
SELECT fails($$SELECT * FROM dbperf.regressions$$);
RESET ROLE;
REVOKE USAGE ON SCHEMA t FROM regress_dbperf_looker, regress_dbperf_nobody;
DROP ROLE regress_dbperf_looker, regress_dbperf_nobody;
-- on a standby, too: these only read
BEGIN READ ONLY;
SELECT count(*) FROM dbperf.regressions;
SELECT count(*) FROM dbperf.compare_baseline('mine');
SELECT n FROM dbperf.metric_trend('cpu_percent');
ROLLBACK;
BEGIN READ ONLY;
SELECT fails($$SELECT dbperf.capture_baseline('more', '1 day')$$);
ROLLBACK;
