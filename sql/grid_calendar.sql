--
-- Grids of the calendar: leap days, month ends, anchors on the 29th, 30th and 31st, weeks,
-- quarters, and intervals that do not divide a day, a month or a year
--
-- The bounds of a table's partitions in one line, without what is the same in all.
\getenv abs_srcdir PG_ABS_SRCDIR
\set setup :abs_srcdir '/sql/lib/setup.sql'
\set ECHO none
\i :setup
\set ECHO all
CREATE FUNCTION bounds(parent regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(replace(replace(lower_bound, ' 00:00:00', ''), '+00', ''), ' | ' ORDER BY ord)
           || ' | ' || (array_agg(replace(replace(upper_bound, ' 00:00:00', ''), '+00', '') ORDER BY ord DESC))[1]
    FROM dbperf.partition_bounds(parent)
$$;
CREATE FUNCTION grid(len text, anchored text, at text, ahead int DEFAULT 4, zone text DEFAULT 'UTC', type text DEFAULT 'timestamptz')
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    made text;
BEGIN
    PERFORM set_config('dbperf.now_override', at, true);
    DROP TABLE IF EXISTS g;
    PERFORM make('g', type);
    PERFORM dbperf.manage('g', len, ahead, anchor => anchored, time_zone => zone, naming_pattern => 'g_{from:YYYYMMDDHH24MISS}');
    made := bounds('g');
    -- contiguous, and nothing to do a second time
    IF EXISTS (SELECT FROM dbperf.partition_gaps('g')) OR EXISTS (SELECT FROM dbperf.run_maintenance('g')) THEN
        made := made || ' NOT CONTIGUOUS';
    END IF;
    RETURN made;
END
$$;
SET client_min_messages = warning;

-- month ends come back to the anchor's day after a short month
SELECT grid('1 month', '2000-01-31', '2027-01-31 00:00+00', 5);
SELECT grid('1 month', '2000-01-31', '2028-01-30 23:59+00', 5) AS leap_year;
SELECT grid('1 month', '2000-01-30', '2027-02-27 23:59:59+00', 3);
SELECT grid('1 month', '2000-01-29', '2027-02-28 12:00+00', 3);
SELECT grid('1 month', '2000-01-29', '2028-02-29 00:00+00', 3) AS leap_year;
SELECT grid('1 month', '2000-02-29', '2028-02-28 23:59:59.999999+00', 3);
SELECT grid('3 months', '2000-11-30', '2027-02-28 00:00+00', 4);
-- a leap day as the anchor of years
SELECT grid('1 year', '2000-02-29', '2026-03-01 00:00+00', 4);
SELECT grid('4 years', '2000-02-29', '2098-01-01 00:00+00', 2) AS without_1900_2100;
-- an anchor in the future, and one in another century
SELECT grid('1 month', '2099-12-31', '2027-02-28 00:00+00', 2);
SELECT grid('1 month', '1582-10-15', '2027-02-28 00:00+00', 2);
-- leap days in days and weeks
SELECT grid('1 day', '2000-01-01', '2028-02-28 12:00+00', 3);
SELECT grid('1 day', '2000-01-01', '2100-02-28 12:00+00', 2) AS no_leap_year;
SELECT grid('1 week', NULL, '2028-02-27 12:00+00', 2) AS mondays;
SELECT grid('2 weeks', '2026-01-04', '2026-11-21 12:00+00', 2) AS sundays;
-- quarters and halves, from January and from a fiscal year
SELECT grid('3 months', NULL, '2026-12-31 23:59:59.999999+00', 2);
SELECT grid('3 months', '2000-02-01', '2026-11-21 12:00+00', 2);
SELECT grid('6 months', '2000-04-06', '2026-11-21 12:00+00', 2);
-- intervals that divide nothing
SELECT grid('5 hours', '2026-11-21', '2026-11-21 23:00+00', 4);
SELECT grid('7 hours', '2026-11-21', '2026-11-21 23:00+00', 4);
SELECT grid('90 minutes', '2026-11-21', '2026-11-21 23:00+00', 3);
SELECT grid('10 days', NULL, '2026-11-21 12:00+00', 3);
SELECT grid('5 months', NULL, '2026-11-21 12:00+00', 3);
SELECT grid('1 month 15 days', NULL, '2026-11-21 12:00+00', 3);
SELECT grid('1 day 6 hours', '2026-11-21', '2026-11-21 12:00+00', 3);
SELECT grid('1 month', '2026-01-10 06:30:15', '2026-11-21 12:00+00', 1);
-- dates and local times
SELECT grid('1 month', '2000-01-31', '2027-02-28 12:00+00', 3, 'UTC', 'date');
SELECT grid('7 days', '2000-01-01', '2027-02-28 12:00+00', 1, 'UTC', 'date') AS saturdays;
SELECT grid('7 hours', '2026-11-21', '2026-11-21 23:00+00', 2, 'UTC', 'timestamp');
-- at a bound to the microsecond: the new partition is the current one
SELECT grid('1 month', NULL, '2026-12-01 00:00:00+00', 0), grid('1 month', NULL, '2026-11-30 23:59:59.999999+00', 0);
