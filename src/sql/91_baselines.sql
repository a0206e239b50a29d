--
-- Baselines: what is usual here, and what has become worse
--

CREATE TABLE dbperf.baselines (
    name        text PRIMARY KEY CHECK (name <> ''),
    captured_at timestamptz NOT NULL,
    from_at     timestamptz NOT NULL,
    to_at       timestamptz NOT NULL,
    comment     text
);
COMMENT ON TABLE dbperf.baselines IS 'What capture_baseline() has kept';
COMMENT ON COLUMN dbperf.baselines.from_at IS 'samples after then';
COMMENT ON COLUMN dbperf.baselines.to_at IS 'and until then';

-- No foreign key: pg_restore with several jobs fills tables of an extension in any order.
CREATE TABLE dbperf.baseline_values (
    name   text NOT NULL,
    metric text NOT NULL,
    label  text NOT NULL,
    median double precision NOT NULL,
    mad    double precision NOT NULL,
    p95    double precision NOT NULL,
    n      bigint NOT NULL,
    PRIMARY KEY (name, metric, label)
);
COMMENT ON TABLE dbperf.baseline_values IS 'Each metric in each baseline';
COMMENT ON COLUMN dbperf.baseline_values.mad IS 'median of the distances from the median';
COMMENT ON COLUMN dbperf.baseline_values.n IS 'samples';

CREATE TABLE dbperf.hourly_baselines (
    metric       text NOT NULL,
    label        text NOT NULL,
    hour_of_week integer NOT NULL CHECK (hour_of_week BETWEEN 0 AND 167),
    median       double precision NOT NULL,
    mad          double precision NOT NULL,
    n            bigint NOT NULL,
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (metric, label, hour_of_week)
);
COMMENT ON TABLE dbperf.hourly_baselines IS 'What is usual for each metric in each hour of the week, by the last five weeks but for the last day; kept by the sampler';
COMMENT ON COLUMN dbperf.hourly_baselines.hour_of_week IS 'in UTC; 0 is Monday 00:00 to 01:00';
COMMENT ON COLUMN dbperf.hourly_baselines.mad IS 'median of the distances from the median';
COMMENT ON COLUMN dbperf.hourly_baselines.n IS 'samples';

SELECT pg_catalog.pg_extension_config_dump('dbperf.baselines', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.baseline_values', '');
SELECT pg_catalog.pg_extension_config_dump('dbperf.hourly_baselines', '');

-- No time zone has a say in it: the epoch began on a Thursday.
CREATE FUNCTION dbperf.hour_of_week(at timestamptz)
RETURNS integer
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT mod(floor(extract(epoch FROM at) / 3600)::bigint + 72, 168)::integer
$$;
COMMENT ON FUNCTION dbperf.hour_of_week(timestamptz) IS 'The hour of the week in UTC: 0 is Monday 00:00 to 01:00, 167 the last of Sunday';
GRANT EXECUTE ON FUNCTION dbperf.hour_of_week(timestamptz) TO pg_monitor;

-- Values that are no numbers, or none that one could square, are left out. No index leads to a sample:
-- the bounds are those of a subquery for each week, by which partitions are pruned. The planner counts
-- them all, and would compile and start processes for a moment's work.
CREATE FUNCTION dbperf.sample_stats(since timestamptz, until timestamptz, weeks integer DEFAULT 1)
RETURNS TABLE (series integer, n bigint, median double precision, mad double precision, p95 double precision)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT g.series, g.n, c.median, d.mad, c.p95
    FROM (
        SELECT v.series, array_agg(v.value) AS values, count(*) AS n
        FROM generate_series(0, weeks - 1) week
        CROSS JOIN LATERAL (
            SELECT m.series, m.value FROM dbperf.metric_sample m
            WHERE m.at > sample_stats.since - week * interval '168 hours' AND m.at <= until - week * interval '168 hours'
            OFFSET 0) s
        CROSS JOIN LATERAL unnest(s.series, s.value) v (series, value)
        WHERE v.value BETWEEN -1e150 AND 1e150
        GROUP BY v.series) g
    CROSS JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) AS median, percentile_cont(0.95) WITHIN GROUP (ORDER BY x) AS p95
        FROM unnest(g.values) x) c
    CROSS JOIN LATERAL (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(x - c.median)) AS mad FROM unnest(g.values) x) d;
END
$$;
COMMENT ON FUNCTION dbperf.sample_stats(timestamptz, timestamptz, integer) IS 'Of each series, median, median distance from it, and 95th percentile of the samples after since and until until, and at the same time of the weeks before';
GRANT EXECUTE ON FUNCTION dbperf.sample_stats(timestamptz, timestamptz, integer) TO pg_monitor;

-- Window 0 ends at until, each of the others where the one before begins.
CREATE FUNCTION dbperf.window_medians(until timestamptz, width interval, first_window integer, last_window integer, only_series integer[])
RETURNS TABLE (series integer, window_number integer, median double precision, n bigint)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
SET jit = off
SET max_parallel_workers_per_gather = 0
AS $$
#variable_conflict use_column
DECLARE
    first timestamptz := until - (last_window + 1) * width;
    last  timestamptz := until - first_window * width;
BEGIN
    IF cardinality(only_series) = 0 THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT v.series, m.number, percentile_cont(0.5) WITHIN GROUP (ORDER BY v.value), count(*)
    FROM (SELECT s.series, s.value, floor(extract(epoch FROM until - s.at) / extract(epoch FROM width))::integer AS number
          FROM dbperf.metric_sample s
          WHERE s.at > first AND s.at <= last
          OFFSET 0) m
    CROSS JOIN LATERAL unnest(m.series, m.value) v (series, value)
    WHERE v.series = ANY (only_series) AND v.value BETWEEN -1e150 AND 1e150
    GROUP BY v.series, m.number;
END
$$;
COMMENT ON FUNCTION dbperf.window_medians(timestamptz, interval, integer, integer, integer[]) IS 'Medians of series in windows of some length that follow one another, counted back from until';
GRANT EXECUTE ON FUNCTION dbperf.window_medians(timestamptz, interval, integer, integer, integer[]) TO pg_monitor;

-- The rule that tells worse from usual. z is 0.6745 (value - median) / MAD, as Iglewicz and Hoaglin
-- have it ("How to Detect and Handle Outliers", 1993). What hardly varies would have an endless z at
-- the least change, and what is usually 0 an endless ratio: so MAD counts as no less than 5 % of the
-- median, and neither it nor what is divided by as less than a step that nobody minds.
CREATE FUNCTION dbperf.deviation(better text, unit text, median double precision, mad double precision, baseline_n bigint,
    value double precision, n bigint, OUT ratio double precision, OUT z double precision, OUT worse boolean)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    step constant double precision := CASE unit
        WHEN 'ms' THEN 0.01
        WHEN 'bytes' THEN 1024 * 1024
        WHEN 'bytes/s' THEN 100 * 1024
        WHEN '1/s' THEN 0.1
        WHEN 'periods' THEN 0.05
        ELSE 1 END;
BEGIN
    IF median IS NULL OR value IS NULL THEN
        RETURN;
    END IF;
    z := 0.6745 * CASE better WHEN 'higher' THEN median - value ELSE value - median END / greatest(mad, 0.05 * abs(median), step);
    ratio := CASE better
        WHEN 'higher' THEN greatest(median, step) / greatest(value, step)
        WHEN 'lower' THEN greatest(value, step) / greatest(median, step) END;
    IF better IS NOT NULL AND n >= 20 AND baseline_n >= 20 THEN
        worse := ratio >= 1.5 AND z >= 4;
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.deviation(text, text, double precision, double precision, bigint, double precision, bigint) IS 'How far a median of n samples is from what is usual: ratio above 1 and z above 0 are worse (z: more, if neither is better); worse: at least 1.5 times and 4 deviations; NULL: no side is better, or fewer than 20 samples';
GRANT EXECUTE ON FUNCTION dbperf.deviation(text, text, double precision, double precision, bigint, double precision, bigint) TO pg_monitor;

-- Errors: null_value_not_allowed, invalid_parameter_value.
CREATE FUNCTION dbperf.check_window("window" interval, longest interval)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF "window" IS NULL THEN
        RAISE EXCEPTION 'window must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF "window" <= interval '0' OR "window" > longest THEN
        RAISE EXCEPTION 'window must be more than 0 and at most %, not %', longest, "window"
            USING ERRCODE = 'invalid_parameter_value', HINT = 'It is the time until now that samples are taken from, such as ''1 hour''.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_window(interval, interval) IS 'Refuses a length of time that is no window';
GRANT EXECUTE ON FUNCTION dbperf.check_window(interval, interval) TO pg_monitor;

--
-- Baselines that users capture
--

-- Errors: null_value_not_allowed, invalid_parameter_value, duplicate_object,
-- object_not_in_prerequisite_state.
CREATE FUNCTION dbperf.capture_baseline(name text, "window" interval DEFAULT '1 hour', comment text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    until timestamptz := dbperf.clock();
    captured bigint;
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION 'name must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF name = '' OR octet_length(name) > 200 THEN
        RAISE EXCEPTION 'name must be 1 to 200 bytes long' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM dbperf.check_window("window", '7 days');
    INSERT INTO dbperf.baselines VALUES (capture_baseline.name, until, until - "window", until, capture_baseline.comment)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'baseline "%" already exists', name
            USING ERRCODE = 'duplicate_object', HINT = format('Take another name, or call dbperf.drop_baseline(%L) first.', name);
    END IF;
    -- of one that was deleted by hand
    DELETE FROM dbperf.baseline_values b WHERE b.name = capture_baseline.name;
    INSERT INTO dbperf.baseline_values
    SELECT capture_baseline.name, s.metric, s.label, st.median, st.mad, st.p95, st.n
    FROM dbperf.sample_stats(until - "window", until) st
    JOIN dbperf.metric_series s ON s.series = st.series;
    GET DIAGNOSTICS captured = ROW_COUNT;
    IF captured = 0 THEN
        RAISE EXCEPTION 'there are no samples of the last %', "window"
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Ask dbperf.monitoring_status whether samples are taken, and dbperf.start_monitoring() to take some; or give a longer window.';
    END IF;
    RETURN captured;
END
$$;
COMMENT ON FUNCTION dbperf.capture_baseline(text, interval, text) IS 'Keeps what is usual now, by the samples of a time until now, to compare with later; returns how many metrics (each label counts) it has';

-- Errors: null_value_not_allowed, undefined_object.
CREATE FUNCTION dbperf.check_baseline(name text)
RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF name IS NULL THEN
        RAISE EXCEPTION 'name must not be null' USING ERRCODE = 'null_value_not_allowed';
    ELSIF NOT EXISTS (SELECT FROM dbperf.baselines b WHERE b.name = $1) THEN
        RAISE EXCEPTION 'baseline "%" does not exist', name
            USING ERRCODE = 'undefined_object', HINT = 'The table dbperf.baselines has those that do.';
    END IF;
END
$$;
COMMENT ON FUNCTION dbperf.check_baseline(text) IS 'Refuses the name of a baseline that does not exist';
GRANT EXECUTE ON FUNCTION dbperf.check_baseline(text) TO pg_monitor;

CREATE FUNCTION dbperf.drop_baseline(name text)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM dbperf.check_baseline(name);
    DELETE FROM dbperf.baselines b WHERE b.name = $1;
    DELETE FROM dbperf.baseline_values b WHERE b.name = $1;
END
$$;
COMMENT ON FUNCTION dbperf.drop_baseline(text) IS 'Forgets a baseline';

-- A metric that is only here or only there is shown with NULL for the other.
-- Errors: null_value_not_allowed, invalid_parameter_value, undefined_object.
CREATE FUNCTION dbperf.compare_baseline(name text, "window" interval DEFAULT '1 hour')
RETURNS TABLE (metric text, label text, unit text, better text, baseline double precision, current double precision,
    improvement_percent double precision, regression boolean, z double precision, n bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    until timestamptz := dbperf.clock();
BEGIN
    PERFORM dbperf.check_baseline(compare_baseline.name);
    PERFORM dbperf.check_window("window", '7 days');
    RETURN QUERY
    SELECT metric, label, d.unit, d.better, b.median, c.median,
           CASE WHEN b.median = c.median AND d.better IS NOT NULL THEN 0
                WHEN d.better = 'lower' THEN 100 * (b.median - c.median) / nullif(abs(b.median), 0)
                WHEN d.better = 'higher' THEN 100 * (c.median - b.median) / nullif(abs(b.median), 0) END,
           j.worse, j.z, least(coalesce(b.n, 0), coalesce(c.n, 0))
    FROM (SELECT v.metric, v.label, v.median, v.mad, v.n FROM dbperf.baseline_values v WHERE v.name = $1) b
    FULL JOIN (
        SELECT s.metric, s.label, st.median, st.n
        FROM dbperf.sample_stats(until - "window", until) st
        JOIN dbperf.metric_series s ON s.series = st.series) c USING (metric, label)
    LEFT JOIN (SELECT m.name AS metric, m.unit, m.better FROM dbperf.metric m) d USING (metric)
    CROSS JOIN LATERAL dbperf.deviation(d.better, d.unit, b.median, b.mad, b.n, c.median, c.n) j
    ORDER BY metric COLLATE "C", label COLLATE "C";
END
$$;
COMMENT ON FUNCTION dbperf.compare_baseline(text, interval) IS 'Medians of each metric in a baseline and in the time until now; improvement_percent is positive where it has become better; regression: at least 1.5 times worse, by 4 robust deviations (z, positive if worse); NULL: neither side is better, or fewer than 20 samples; n: samples, of the two the fewer';
GRANT EXECUTE ON FUNCTION dbperf.compare_baseline(text, interval) TO pg_monitor;

--
-- Baselines by hour of week
--

-- An hour is taken in when it has been over for a day: what is being judged must not be part of what
-- it is judged by. Hours that nobody called for are made up for, those of a week at most; one without
-- samples has nothing new, which saves minutes where none were taken for days, or a dump was restored.
CREATE FUNCTION dbperf.update_hourly_baselines()
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
DECLARE
    now     timestamptz := dbperf.clock();
    until   timestamptz := date_trunc('hour', now) - interval '1 day';
    since   timestamptz;
    updated bigint;
BEGIN
    -- a row of the future was written by a clock that was wrong
    SELECT greatest(date_trunc('hour', max(b.updated_at)) - interval '1 day', until - interval '168 hours')
    INTO since FROM dbperf.hourly_baselines b WHERE b.updated_at <= now;
    INSERT INTO dbperf.hourly_baselines AS b
    SELECT s.metric, s.label, dbperf.hour_of_week(hour), st.median, st.mad, st.n, now
    FROM generate_series(since, until - interval '1 hour', '1 hour') hour
    CROSS JOIN LATERAL dbperf.sample_stats(hour, hour + interval '1 hour', 5) st
    JOIN dbperf.metric_series s ON s.series = st.series
    WHERE EXISTS (SELECT FROM dbperf.metric_sample m WHERE m.at > hour AND m.at <= hour + interval '1 hour' OFFSET 0)
    ORDER BY 1, 2, 3
    ON CONFLICT (metric, label, hour_of_week) DO UPDATE
        SET median = excluded.median, mad = excluded.mad, n = excluded.n, updated_at = excluded.updated_at;
    GET DIAGNOSTICS updated = ROW_COUNT;
    -- what is no longer measured; by their series too, since a clock that was wrong must not take the rest
    DELETE FROM dbperf.hourly_baselines b
    WHERE b.updated_at < now - interval '35 days'
        AND NOT EXISTS (SELECT FROM dbperf.metric_series s WHERE s.metric = b.metric AND s.label = b.label);
    RETURN updated;
END
$$;
COMMENT ON FUNCTION dbperf.update_hourly_baselines() IS 'Takes in the hours that have been over for a day since it was last called; returns how many baselines it wrote';

-- Windows of five minutes that end now, and before; where samples are taken so seldom that 20 do not
-- fit, longer ones. Each is judged by the hour of week that it began in. Only a series whose newest
-- window is worse is followed back, for six windows at most.
CREATE FUNCTION dbperf.baseline_deviations(only_metric text DEFAULT NULL, only_label text DEFAULT NULL)
RETURNS TABLE (metric text, label text, since timestamptz, value double precision, baseline double precision,
    ratio double precision, z double precision, windows integer, n bigint)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    until  timestamptz := dbperf.clock();
    width  interval := greatest(interval '5 minutes', 24 * dbperf.sampling_seconds() * interval '1 second');
    judged integer[] := ARRAY(
        SELECT i.series FROM dbperf.metric_series i JOIN dbperf.metric m ON m.name = i.metric
        WHERE m.better IS NOT NULL AND (only_metric IS NULL OR i.metric = only_metric) AND (only_label IS NULL OR i.label = only_label));
BEGIN
    RETURN QUERY
    WITH hours AS MATERIALIZED (
        SELECT k, dbperf.hour_of_week(until - (k + 1) * width) AS hour FROM generate_series(0, 5) k
    ), newest AS MATERIALIZED (
        SELECT i.series, i.metric, i.label, m.better, m.unit, c.median AS value, c.n, h.median AS baseline, j.ratio, j.z, j.worse
        FROM unnest(judged) one
        JOIN dbperf.metric_series i ON i.series = one
        JOIN dbperf.metric m ON m.name = i.metric
        LEFT JOIN dbperf.window_medians(until, width, 0, 0, judged) c ON c.series = i.series
        LEFT JOIN dbperf.hourly_baselines h
            ON h.metric = i.metric AND h.label = i.label AND h.hour_of_week = (SELECT o.hour FROM hours o WHERE o.k = 0)
        CROSS JOIN LATERAL dbperf.deviation(m.better, m.unit, h.median, h.mad, h.n, c.median, c.n) j
    ), earlier AS MATERIALIZED (
        SELECT w.series, w.window_number, j.worse
        FROM newest w0
        JOIN dbperf.window_medians(until, width, 1, 5, ARRAY(SELECT x.series FROM newest x WHERE x.worse)) w ON w.series = w0.series
        JOIN hours o ON o.k = w.window_number
        JOIN dbperf.hourly_baselines h ON h.metric = w0.metric AND h.label = w0.label AND h.hour_of_week = o.hour
        CROSS JOIN LATERAL dbperf.deviation(w0.better, w0.unit, h.median, h.mad, h.n, w.median, w.n) j
    ), rows AS MATERIALIZED (
        SELECT x.*, coalesce(CASE WHEN x.worse THEN (
                SELECT min(k) FROM generate_series(1, 6) k
                WHERE NOT EXISTS (SELECT FROM earlier e WHERE e.series = x.series AND e.window_number = k AND e.worse)) END, 0) AS windows
        FROM newest x
    )
    SELECT r.metric, r.label, CASE WHEN r.worse THEN until - r.windows * width END, r.value, r.baseline, r.ratio, r.z, r.windows,
           coalesce(r.n, 0)
    FROM rows r
    ORDER BY r.metric COLLATE "C", r.label COLLATE "C";
END
$$;
COMMENT ON FUNCTION dbperf.baseline_deviations(text, text) IS 'The last five minutes of each metric (of all, or of one, or of one label) against what is usual at this hour of the week; windows: for how many windows in a row until now it has been worse, 6 at most, and since when; ratio and z are as in deviation(), NULL without a baseline';
GRANT EXECUTE ON FUNCTION dbperf.baseline_deviations(text, text) TO pg_monitor;

CREATE FUNCTION dbperf.baseline_deviation(metric text, label text DEFAULT '', OUT since timestamptz, OUT value double precision,
    OUT baseline double precision, OUT ratio double precision, OUT z double precision, OUT windows integer, OUT n bigint)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT d.since, d.value, d.baseline, d.ratio, d.z, d.windows, d.n
    FROM dbperf.baseline_deviations(coalesce($1, ''), coalesce($2, '')) d
$$;
COMMENT ON FUNCTION dbperf.baseline_deviation(text, text) IS 'The same for one metric; it is a regression from 3 windows on; all NULL where no samples were ever taken of it, or neither side is better';
GRANT EXECUTE ON FUNCTION dbperf.baseline_deviation(text, text) TO pg_monitor;

CREATE VIEW dbperf.regressions AS
SELECT d.metric, d.label, d.since, d.value, d.baseline, d.ratio, d.z, d.windows
FROM dbperf.baseline_deviations() d
WHERE d.windows >= 3;
COMMENT ON VIEW dbperf.regressions IS 'Metrics that have been worse than usual at this hour of the week for at least three windows of five minutes in a row: 1.5 times, by 4 robust deviations, with 20 samples each';
COMMENT ON COLUMN dbperf.regressions.since IS 'start of the first of these windows; or earlier, if there are 6';
COMMENT ON COLUMN dbperf.regressions.value IS 'median of the newest window';
COMMENT ON COLUMN dbperf.regressions.baseline IS 'median of the hour of week';
COMMENT ON COLUMN dbperf.regressions.ratio IS 'how many times worse it is';
COMMENT ON COLUMN dbperf.regressions.z IS 'by how many robust deviations: 0.6745 times the difference by the median absolute deviation';

--
-- Trends
--

-- Errors: null_value_not_allowed, invalid_parameter_value, undefined_object.
CREATE FUNCTION dbperf.metric_trend(metric text, "window" interval DEFAULT '7 days', label text DEFAULT '')
RETURNS TABLE (slope_per_day double precision, r_squared double precision, first double precision, last double precision, n bigint,
    from_at timestamptz, to_at timestamptz, forecast_1d double precision, forecast_7d double precision, forecast_30d double precision)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET TimeZone = 'UTC'
AS $$
#variable_conflict use_column
DECLARE
    now    timestamptz := dbperf.clock();
    labels text;
BEGIN
    IF metric_trend.metric IS NULL OR metric_trend.label IS NULL THEN
        RAISE EXCEPTION 'metric and label must not be null' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    PERFORM dbperf.check_window("window", '1 year');
    IF NOT EXISTS (SELECT FROM dbperf.metric m WHERE m.name = $1) THEN
        RAISE EXCEPTION 'metric "%" does not exist', $1
            USING ERRCODE = 'undefined_object', HINT = 'The table dbperf.metric has those that do.';
    END IF;
    IF NOT EXISTS (SELECT FROM dbperf.metric_series s WHERE s.metric = $1 AND s.label = $3) THEN
        SELECT string_agg(quote_literal(l.label), ', ') INTO labels
        FROM (SELECT s.label FROM dbperf.metric_series s WHERE s.metric = $1 ORDER BY s.label COLLATE "C" LIMIT 10) l;
        IF labels IS NOT NULL THEN
            RAISE EXCEPTION 'metric "%" has no label "%"', $1, $3
                USING ERRCODE = 'undefined_object', HINT = format('Labels that it has: %s.', labels);
        END IF;
    END IF;
    RETURN QUERY
    SELECT f.slope, f.r2, f.values[1], f.values[f.n], f.n, f.from_at, f.to_at,
           f.intercept + f.slope, f.intercept + 7 * f.slope, f.intercept + 30 * f.slope
    FROM (
        SELECT CASE WHEN count(*) >= 20 THEN regr_slope(v.value, v.day) END AS slope,
               regr_intercept(v.value, v.day) AS intercept,
               CASE WHEN count(*) >= 20 THEN regr_r2(v.value, v.day) END AS r2,
               array_agg(v.value ORDER BY v.at) AS values, count(*) AS n, min(v.at) AS from_at, max(v.at) AS to_at
        FROM (
            -- in days from now, which keeps the numbers small
            SELECT r.at, r.value, extract(epoch FROM r.at - now)::double precision / 86400 AS day
            FROM dbperf.metric_range($1, now - "window", now + interval '1 microsecond', $3) r
            WHERE r.value BETWEEN -1e150 AND 1e150) v) f;
END
$$;
COMMENT ON FUNCTION dbperf.metric_trend(text, interval, text) IS 'The straight line through the samples of a metric until now: its slope a day, how much of the variance it explains, the first and the last sample and their times, and where it will be in 1, 7 and 30 days if it goes on so; NULL: fewer than 20 samples';
GRANT EXECUTE ON FUNCTION dbperf.metric_trend(text, interval, text) TO pg_monitor;
